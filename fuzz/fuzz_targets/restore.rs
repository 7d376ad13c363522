//! See `targets/src/restore.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::restore::run(data));
