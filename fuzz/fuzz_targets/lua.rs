//! See `targets/src/lua.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::lua::run(data));
