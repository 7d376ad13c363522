//! See `targets/src/decode.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::decode::run(data));
