//! See `targets/src/number.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::number::run(data));
