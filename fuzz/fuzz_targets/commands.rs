//! The engine against a model of what its commands do: see `crates/engine/src/fuzz/`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| engine::fuzz::commands(data));
