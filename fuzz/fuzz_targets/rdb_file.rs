//! See `targets/src/rdb_file.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::rdb_file::run(data));
