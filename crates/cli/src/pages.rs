//! Pages of the program and of its libraries that only the start has used.
//!
//! The start reads a configuration of hundreds of directives, builds the engine and resolves addresses all over the program. Each page of the
//! file that it touches, and fifteen beside it, is counted as resident from then on, though most are never looked at again. The kernel would
//! drop them when memory is short; a server that has just started drops them itself, so that what it is seen to take is what it takes. A
//! page that is wanted again comes from the kernel's cache of the file.

use std::ffi::{c_int, c_void};

/// Unmaps the pages of everything loaded that nobody can have written to: code, constants, tables of the loader. Does nothing below a
/// debugger, whose breakpoints are written into pages of code.
pub fn drop_what_the_start_used() {
    if is_traced() {
        return;
    }
    // SAFETY: the function is called with a description of each loaded object, and gets no data.
    unsafe { libc::dl_iterate_phdr(Some(drop_pages), std::ptr::null_mut()) };
}

/// Whether a debugger or the like follows the process. Yes where the system does not tell.
fn is_traced() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let tracer = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_none_or(|pid| pid.trim() != "0")
}

unsafe extern "C" fn drop_pages(
    object: *mut libc::dl_phdr_info,
    _size: usize,
    _data: *mut c_void,
) -> c_int {
    let page = rustix::param::page_size();
    // SAFETY: the loader describes an object that stays loaded during the call, and its table of segments.
    let (base, segments) = unsafe {
        let object = &*object;
        let count = usize::from(object.dlpi_phnum);
        let segments = match count {
            0 => &[][..],
            _ => std::slice::from_raw_parts(object.dlpi_phdr, count),
        };
        (object.dlpi_addr as usize, segments)
    };
    for segment in segments {
        if segment.p_type != libc::PT_LOAD || segment.p_flags & libc::PF_W != 0 {
            continue;
        }
        // The last page may be shared with a segment that is written to.
        let start = base.wrapping_add(segment.p_vaddr as usize);
        let end = start.wrapping_add(segment.p_filesz as usize) / page * page;
        let start = start / page * page;
        if start < end {
            // SAFETY: the segment is mapped from a file, privately, and is never written to, so that what is dropped is read again as it
            // was. An error leaves everything as it is.
            unsafe { libc::madvise(start as *mut c_void, end - start, libc::MADV_DONTNEED) };
        }
    }
    0
}

#[cfg(test)]
mod tests {
    /// Bytes of files that are resident in this process.
    fn resident_of_files() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("a status");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssFile:"))
            .expect("a line");
        let kb = line.trim().trim_end_matches("kB").trim();
        kb.parse::<u64>().expect("a number") * 1024
    }

    #[test]
    fn what_the_start_used_is_dropped_and_comes_back() {
        let usage = || super::super::USAGE.bytes().map(u64::from).sum::<u64>();
        let sum = usage();
        let mut help = Vec::new();
        for row in engine::config::directives() {
            help.extend_from_slice(row.doc.as_bytes());
        }
        let before = resident_of_files();
        super::drop_what_the_start_used();
        let after = resident_of_files();
        assert!(after < before, "{after} of {before} bytes");
        assert_eq!(usage(), sum);
        let again: Vec<u8> = engine::config::directives()
            .iter()
            .flat_map(|row| row.doc.bytes())
            .collect();
        assert_eq!(help, again);
    }
}
