//! The title that `ps` shows of the process (`set-proc-title`).
//!
//! The kernel shows what stands where the arguments of the program were put when it began, and behind them those of its environment. So
//! that a title may be longer than the arguments were, the environment is moved away from there, before there is a second thread.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// The arguments and the environment, as the loader has them: arrays of pointers with a null at their ends.
static ARGUMENTS: AtomicPtr<*mut c_char> = AtomicPtr::new(ptr::null_mut());
static ENVIRONMENT: AtomicPtr<*mut c_char> = AtomicPtr::new(ptr::null_mut());

// SAFETY: the loader calls what stands in this section with the arguments of main, and does so before anything else runs.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn(c_int, *mut *mut c_char, *mut *mut c_char) = note;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
extern "C" fn note(_count: c_int, arguments: *mut *mut c_char, environment: *mut *mut c_char) {
    ARGUMENTS.store(arguments, Relaxed);
    ENVIRONMENT.store(environment, Relaxed);
}

/// Where titles are written.
pub struct Title(Mutex<Place>);

struct Place {
    start: *mut u8,
    len: usize,
}

// SAFETY: the memory is the process's own for as long as it lives, and nothing but `Title` uses it.
unsafe impl Send for Place {}

impl Title {
    /// Takes the place of the arguments and of the environment. None if the system does not tell where that is.
    ///
    /// # Safety
    /// The process has one thread, its arguments have been taken, and nobody keeps a pointer into its environment: what was read
    /// through `std` is a copy.
    pub unsafe fn take() -> Option<Title> {
        let (arguments, environment) = (ARGUMENTS.load(Relaxed), ENVIRONMENT.load(Relaxed));
        if arguments.is_null() || environment.is_null() {
            return None;
        }
        // SAFETY: both are arrays that end with a null, of strings that end with a zero; the caller promises that nobody else looks.
        unsafe {
            let start: *mut c_char = *arguments;
            if start.is_null() {
                return None;
            }
            let mut end = start;
            let mut each = arguments;
            // The strings lie one behind the other; what does not is not part of the place.
            while !(*each).is_null() && ptr::eq(*each, end) {
                end = end.add(CStr::from_ptr(*each).to_bytes_with_nul().len());
                each = each.add(1);
            }
            let mut each = environment;
            while !(*each).is_null() {
                let text = CStr::from_ptr(*each);
                if ptr::eq(*each, end) {
                    end = end.add(text.to_bytes_with_nul().len());
                }
                // For as long as the process lives.
                *each = text.to_owned().into_raw();
                each = each.add(1);
            }
            Some(Title(Mutex::new(Place {
                start: start.cast(),
                len: end.offset_from_unsigned(start),
            })))
        }
    }

    /// Shows a title, as much of it as there is room for.
    pub fn show(&self, title: &str) {
        let place = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let shown = title.len().min(place.len.saturating_sub(1));
        // SAFETY: `shown` bytes and at least one zero fit the place, which nobody else uses while the lock is held.
        unsafe {
            ptr::copy_nonoverlapping(title.as_ptr(), place.start, shown);
            ptr::write_bytes(place.start.add(shown), 0, place.len - shown);
        }
    }
}
