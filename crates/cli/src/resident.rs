//! What is resident of the program's own file, and of the libraries it is linked with.
//!
//! Starting runs through much code that serving never needs again: reading the configuration, building tables, loading files. The
//! kernel maps what lies around it too, so that half of the program counts as resident from then on. So once the server is ready,
//! all of it is unmapped; what is in use comes back at once, from the page cache, and the rest does not.

use std::ffi::{CStr, c_int, c_void};

/// Unmaps the code and the constants of the program and of its libraries. Whoever uses some of them next has a few pages mapped anew,
/// which takes about a microsecond each time. Breakpoints that a debugger has put into the code before are gone.
pub fn let_go_of_code() {
    // SAFETY: the function that is called for each object has the right type, and does not panic.
    unsafe { libc::dl_iterate_phdr(Some(let_go), std::ptr::null_mut()) };
}

unsafe extern "C" fn let_go(object: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    // SAFETY: the loader passes a description that is valid during the call, with a name that ends with a zero and so many segments.
    let (base, name, segments) = unsafe {
        let object = &*object;
        let segments = match object.dlpi_phdr.is_null() {
            true => &[][..],
            false => std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()),
        };
        let name = match object.dlpi_name.is_null() {
            true => c"",
            false => CStr::from_ptr(object.dlpi_name),
        };
        (object.dlpi_addr, name, segments)
    };
    // The program itself has no name, libraries have a path. What the kernel maps in has neither, and is no file.
    if !name.is_empty() && !name.to_bytes().starts_with(b"/") {
        return 0;
    }
    let page = rustix::param::page_size() as u64;
    for segment in segments {
        if segment.p_type != libc::PT_LOAD || segment.p_flags & libc::PF_W != 0 {
            continue;
        }
        let begin = (base + segment.p_vaddr).next_multiple_of(page);
        let end = (base + segment.p_vaddr + segment.p_memsz) / page * page;
        if begin < end {
            // SAFETY: these are whole pages of a segment that is mapped from a file and that nobody may write to, so what is read there
            // next is the same. (Where the loader writes, relocations, is in segments that may be written to when they are mapped.)
            // If it fails, the pages stay.
            unsafe {
                libc::madvise(
                    begin as *mut c_void,
                    (end - begin) as usize,
                    libc::MADV_DONTNEED,
                )
            };
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    /// Where the code that this test is part of is mapped, and how many kilobytes of it are resident.
    fn code() -> (Range<usize>, u64) {
        let here = super::let_go_of_code as fn() as usize;
        let text = std::fs::read_to_string("/proc/self/smaps").expect("what is mapped");
        let mut at = None;
        for line in text.lines() {
            let first = line.split(' ').next().unwrap_or_default();
            if let Some((begin, end)) = first.split_once('-') {
                let number = |hex| usize::from_str_radix(hex, 16).expect("an address");
                at = Some(number(begin)..number(end)).filter(|range| range.contains(&here));
            } else if first == "Rss:"
                && let Some(range) = at
            {
                let size = line.split_whitespace().nth(1);
                return (range, size.and_then(|n| n.parse().ok()).expect("a size"));
            }
        }
        panic!("the code is mapped nowhere");
    }

    #[test]
    fn code_that_is_not_used_goes_and_comes_back_when_it_is() {
        let (range, _) = code();
        // SAFETY: it is the code, and stays as it is.
        let error =
            unsafe { libc::madvise(range.start as *mut _, range.len(), libc::MADV_POPULATE_READ) };
        if error != 0 {
            // A kernel older than 5.14: how much is resident is not known.
            super::let_go_of_code();
            return;
        }
        let before = code().1;
        super::let_go_of_code();
        let after = code().1;
        assert!(after < before, "{before} {after}");
    }
}
