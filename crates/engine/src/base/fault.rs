//! A fault on purpose, for tests of what a crash leaves behind.

/// Has the kernel send this thread SIGSEGV, as a bug would: by writing where nobody may.
pub fn segfault() {
    // SAFETY: an anonymous mapping at an address of the kernel's choice takes nothing that anybody uses.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page != libc::MAP_FAILED {
        // SAFETY: nothing lies there that could be overwritten, and the kernel lets nobody write.
        unsafe { page.cast::<u8>().write_volatile(1) };
    }
}
