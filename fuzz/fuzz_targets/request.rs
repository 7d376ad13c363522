//! See `targets/src/request.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::request::run(data));
