//! A mistake made on purpose, to prove that memcheck would find it: a value that is read after its key is gone.
//!
//! `cargo xtask memcheck` asks for it by the variable [`PLANT`] and expects valgrind to complain. While entries came from slab
//! pages, as they do without the feature `memcheck`, valgrind would see nothing: a page stays the process's own.

use super::{Dict, NewValue, Value};

/// Set to anything, it lets the test make its mistake.
const PLANT: &str = "STORE_PLANT_USE_AFTER_FREE";

#[test]
fn a_value_is_read_after_its_key_is_gone() {
    let mut dict = Dict::new();
    dict.insert(1, b"key", NewValue::Inline(b"value"), None, false, 0);
    let first = match dict.get(1, b"key").map(|entry| entry.value()) {
        Some(Value::Inline(bytes)) => bytes.as_ptr(),
        _ => panic!("a short value lies in its entry"),
    };
    if std::env::var_os(PLANT).is_none() {
        // SAFETY: the entry is there and not written to.
        assert_eq!(unsafe { first.read_volatile() }, b'v');
        return;
    }
    drop(dict.find(1, b"key").map(|found| found.change().remove()));
    // SAFETY: there is none. That is what memcheck has to say.
    std::hint::black_box(unsafe { first.read_volatile() });
}
