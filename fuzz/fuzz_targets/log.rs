//! See `targets/src/log.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::log::run(data));
