//! The calls that led a thread to where it stands, read from outside: from its registers, its stack, and the tables that
//! compilers write for unwinding.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Most calls that are shown.
const MOST: usize = 128;

/// Bytes of a function's name that are shown: those of generic ones may fill pages.
const MOST_NAME: usize = 120;

/// Bytes next to the end of a stack within which an access is one of a call that found no room.
const NEAR: u64 = 64 << 10;

/// What of a thread's registers unwinding begins with.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    /// The instruction, the stack, and the frame.
    pub ip: u64,
    pub sp: u64,
    fp: u64,
    /// Where the function returns to, on processors that have a register for it.
    #[cfg(target_arch = "aarch64")]
    lr: u64,
}

impl Registers {
    /// Those that a handler finds in its context.
    #[cfg(target_arch = "x86_64")]
    pub fn of(context: &libc::ucontext_t) -> Registers {
        let of = |register: i32| context.uc_mcontext.gregs[register as usize] as u64;
        Registers {
            ip: of(libc::REG_RIP),
            sp: of(libc::REG_RSP),
            fp: of(libc::REG_RBP),
        }
    }

    /// Those that a handler finds in its context.
    #[cfg(target_arch = "aarch64")]
    pub fn of(context: &libc::ucontext_t) -> Registers {
        let machine = &context.uc_mcontext;
        Registers {
            ip: machine.pc,
            sp: machine.sp,
            fp: machine.regs[29],
            lr: machine.regs[30],
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn to_unwind(self) -> framehop::x86_64::UnwindRegsX86_64 {
        framehop::x86_64::UnwindRegsX86_64::new(self.ip, self.sp, self.fp)
    }

    #[cfg(target_arch = "aarch64")]
    fn to_unwind(self) -> framehop::aarch64::UnwindRegsAarch64 {
        framehop::aarch64::UnwindRegsAarch64::new(self.lr, self.sp, self.fp)
    }
}

/// What is needed to read a stack, found before it is needed: the tables of the program and of its libraries, and the process's own
/// memory as a file, in which what cannot be read is an error and no fault.
pub struct Stack {
    unwinder: framehop::UnwinderNative<&'static [u8], framehop::MayAllocateDuringUnwind>,
    memory: Option<File>,
}

impl Stack {
    /// Looks at what is loaded.
    pub fn find() -> Stack {
        use framehop::Unwinder;
        let mut unwinder = framehop::UnwinderNative::new();
        for module in modules() {
            unwinder.add_module(module);
        }
        Stack {
            unwinder,
            memory: File::open("/proc/self/mem").ok(),
        }
    }

    /// The calls, the innermost first; each line begins with a line feed.
    pub fn trace(&self, registers: &Registers) -> String {
        use framehop::Unwinder;
        let mut read = |address: u64| {
            let mut word = [0; 8];
            let memory = self.memory.as_ref().ok_or(())?;
            let read = memory.read_exact_at(&mut word, address);
            read.map(|()| u64::from_ne_bytes(word)).map_err(|_| ())
        };
        let mut cache = framehop::CacheNative::new();
        let mut calls =
            self.unwinder
                .iter_frames(registers.ip, registers.to_unwind(), &mut cache, &mut read);
        let mut text = String::new();
        for n in 0..=MOST {
            match calls.next() {
                Ok(Some(_)) if n == MOST => text.push_str("\n  and so on"),
                Ok(Some(call)) => show(&mut text, n, call.address_for_lookup()),
                Ok(None) => break,
                Err(error) => {
                    // Writing to a string does not fail.
                    let _ = write!(text, "\n  and from here on it cannot be followed: {error}");
                    break;
                }
            }
        }
        text
    }
}

/// Shows the functions at an address, of which there are several where some were inlined.
fn show(text: &mut String, n: usize, address: u64) {
    let mut found = false;
    // One further: a return address is what is looked up, and lies behind its call.
    backtrace::resolve((address + 1) as *mut _, |symbol| {
        found = true;
        if let Some(name) = symbol.name() {
            let name = format!("{name:#}");
            let shown = &name[..name.floor_char_boundary(MOST_NAME)];
            let more = if shown.len() < name.len() { "..." } else { "" };
            let _ = write!(text, "\n  {n:>3}: {shown}{more}");
        }
        if let (Some(file), Some(line)) = (symbol.filename(), symbol.lineno()) {
            let _ = write!(text, "\n         at {}:{line}", file.display());
        }
    });
    if !found {
        let _ = write!(text, "\n  {n:>3}: {address:#x}");
    }
}

/// The program and its libraries, as they lie in memory.
fn modules() -> Vec<framehop::Module<&'static [u8]>> {
    unsafe extern "C" fn add(
        info: *mut libc::dl_phdr_info,
        _: usize,
        into: *mut std::ffi::c_void,
    ) -> std::ffi::c_int {
        // SAFETY: the pointer is the one that is passed below; the loader describes what is mapped, and nothing here unloads it.
        unsafe {
            let into = &mut *into.cast::<Vec<framehop::Module<&'static [u8]>>>();
            into.extend(module(&*info));
        }
        0
    }
    let mut found: Vec<framehop::Module<&'static [u8]>> = Vec::new();
    // SAFETY: the callback gets the list, which lives longer than the call.
    unsafe { libc::dl_iterate_phdr(Some(add), (&raw mut found).cast()) };
    found
}

/// One of them; None if it has no tables.
///
/// # Safety
///
/// What the loader says of it is true, and it stays mapped.
unsafe fn module(info: &libc::dl_phdr_info) -> Option<framehop::Module<&'static [u8]>> {
    let base = info.dlpi_addr;
    // SAFETY: so many headers there are.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let loaded = || headers.iter().filter(|h| h.p_type == libc::PT_LOAD);
    let of = |h: &libc::Elf64_Phdr| h.p_vaddr..h.p_vaddr + h.p_memsz;
    let code = loaded().find(|h| h.p_flags & libc::PF_X != 0).map(of)?;
    let index = headers
        .iter()
        .find(|h| h.p_type == libc::PT_GNU_EH_FRAME)
        .map(of)?;
    let bytes = |range: &std::ops::Range<u64>| {
        let start = (base + range.start) as *const u8;
        // SAFETY: the range lies in a segment that is loaded and can be read.
        unsafe { std::slice::from_raw_parts(start, (range.end - range.start) as usize) }
    };
    // The index begins with four bytes, of which the second says how the address of the table behind them is written: mostly as a
    // distance from its own place.
    let header = bytes(&index);
    let (1, 0x1b) = (*header.first()?, *header.get(1)?) else {
        return None;
    };
    let distance = i32::from_ne_bytes(header.get(4..8)?.try_into().ok()?);
    let table = (index.start + 4).checked_add_signed(distance.into())?;
    // It ends by itself, before its segment does.
    let segment = loaded().map(of).find(|range| range.contains(&table))?;
    let table = table..segment.end;
    let start = loaded().map(|h| h.p_vaddr).min()?;
    let end = loaded().map(|h| h.p_vaddr + h.p_memsz).max()?;
    Some(framehop::Module::new(
        String::new(),
        base + start..base + end,
        base,
        framehop::ExplicitModuleSectionInfo {
            base_svma: 0,
            text_svma: Some(code),
            eh_frame_hdr: Some(header),
            eh_frame_hdr_svma: Some(index),
            eh_frame: Some(bytes(&table)),
            eh_frame_svma: Some(table),
            ..Default::default()
        },
    ))
}

/// What lies at an address that was accessed.
pub fn mapping_of(address: u64, registers: Option<&Registers>) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mapping = maps.lines().find(|line| {
        let mut ends = line.split([' ', '-']).take(2);
        let mut end = || u64::from_str_radix(ends.next()?, 16).ok();
        matches!((end(), end()), (Some(from), Some(to)) if (from..to).contains(&address))
    });
    let words: Vec<&str> = mapping.unwrap_or_default().split_whitespace().collect();
    let rights = words.get(1).copied().unwrap_or_default();
    if !rights.starts_with("rw") && registers.is_some_and(|r| r.sp.abs_diff(address) < NEAR) {
        return "at the end of the thread's stack, which has overflowed".to_owned();
    }
    match (mapping, words.get(5)) {
        (None, _) => "where nothing is".to_owned(),
        (_, None) => format!("in memory of the process ({rights})"),
        (_, Some(file)) => format!("in {file} ({rights})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_at_an_address_is_told() {
        let here = 1u8;
        let mut registers = Registers {
            ip: 0,
            sp: &raw const here as u64,
            fp: 0,
            #[cfg(target_arch = "aarch64")]
            lr: 0,
        };
        let own = mapping_of(registers.sp, Some(&registers));
        assert!(own.contains("(rw"), "{own}");
        let code = what_lies_at_an_address_is_told as fn() as usize as u64;
        let code = mapping_of(code, None);
        assert!(
            code.starts_with("in /") && code.ends_with("(r-xp)"),
            "{code}"
        );
        assert_eq!(mapping_of(0, Some(&registers)), "where nothing is");
        registers.sp = 8;
        assert_eq!(
            mapping_of(0, Some(&registers)),
            "at the end of the thread's stack, which has overflowed"
        );
    }
}
