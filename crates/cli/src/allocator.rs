//! The program's allocator, and what has to be asked of it beside memory.
//!
//! Most of what a server holds is small and lives long; mimalloc wastes little on it and is quick about it. A thread frees what another
//! has allocated by putting it on a list of the page it came from, which the other one looks through when it allocates
//! again: one that does not has to be told to.

use libmimalloc_sys as mi;
use std::sync::OnceLock;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs before anything is allocated. The allocator asks for huge pages, of which each thread's first few bytes would take one: 2 MB
/// each, several times of what a server takes that holds little. So there are none until it holds more.
// SAFETY: the loader calls what stands in this section, with arguments that a function which takes none does not look at.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = begin_small;

extern "C" fn begin_small() {
    // If it cannot be, the process is larger than it has to be, and works.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Lets the kernel use huge pages from now on.
pub fn allow_huge_pages() {
    let _ = rustix::thread::disable_transparent_huge_pages(false);
}

/// Its name and version.
pub fn name() -> String {
    // SAFETY: the call reads a constant.
    let version = unsafe { mi::mi_version() };
    // 3 digits in old versions, 5 in new ones: major, minor, patch.
    let (major, minor, patch) = match version {
        0..1000 => (version / 100, version / 10 % 10, version % 10),
        _ => (version / 10_000, version / 100 % 100, version % 100),
    };
    format!("mimalloc-{major}.{minor}.{patch}")
}

/// Its own statistics, as it writes them.
pub fn stats() -> String {
    unsafe extern "C" fn add(text: *const std::ffi::c_char, into: *mut std::ffi::c_void) {
        // SAFETY: the allocator passes on the pointer it was given, and a text that ends with a zero.
        let (into, text) =
            unsafe { (&mut *into.cast::<Vec<u8>>(), std::ffi::CStr::from_ptr(text)) };
        into.extend_from_slice(text.to_bytes());
    }
    let mut text: Vec<u8> = Vec::new();
    // SAFETY: `add` gets the vector it expects, for the time of the call.
    unsafe { mi::mi_stats_print_out(Some(add), (&raw mut text).cast()) };
    String::from_utf8_lossy(&text).into_owned()
}

/// The option of how long what is free is kept before it goes back to the system, in milliseconds. The bindings have no name for it.
const PURGE_DELAY: mi::mi_option_t = 15;

/// Has what is freed go back to the system after so many milliseconds, or after the usual while: that is quicker, and takes memory
/// meanwhile.
pub fn give_back_after(ms: Option<u32>) {
    static USUAL: OnceLock<std::ffi::c_long> = OnceLock::new();
    // SAFETY: the calls read and write a number of the allocator's, which looks at it anew each time.
    unsafe {
        let usual = *USUAL.get_or_init(|| mi::mi_option_get(PURGE_DELAY));
        mi::mi_option_set(PURGE_DELAY, ms.map_or(usual, std::ffi::c_long::from));
    }
}

/// Gives back to the system what the calling thread has of memory that was freed.
pub fn collect() {
    // SAFETY: the call works on the calling thread's own heap and on arenas, which it locks.
    unsafe { mi::mi_collect(true) };
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_name_has_a_version() {
        let name = super::name();
        let version = name.strip_prefix("mimalloc-").expect("its name");
        assert_eq!(version.split('.').count(), 3, "{name}");
        super::collect();
        // The option is the one that it is taken for: it has the allocator's own default.
        // SAFETY: the call reads a number.
        let delay = unsafe { super::mi::mi_option_get(super::PURGE_DELAY) };
        assert_eq!(delay, 1000);
        super::give_back_after(Some(7));
        super::give_back_after(None);
        // SAFETY: the call reads a number.
        let again = unsafe { super::mi::mi_option_get(super::PURGE_DELAY) };
        assert_eq!(again, delay);
        let stats = super::stats();
        assert!(
            stats.contains("committed") || stats.contains("commit"),
            "{stats}"
        );
    }
}
