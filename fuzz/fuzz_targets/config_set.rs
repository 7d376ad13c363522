//! See `crates/engine/src/fuzz/settings.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| engine::fuzz::config_set(data));
