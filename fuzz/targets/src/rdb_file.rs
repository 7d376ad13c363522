//! Any bytes as a file of RDB: no panic, no memory that the bytes do not account for, and what was taken can be written and
//! read again. Start it with the files that real servers wrote: `cargo +nightly fuzz run rdb_file ../crates/rdb/tests/corpus`.
//!
//! The first three bytes choose the sizes of batches and pieces, those at which collections change their form, and the
//! version to write.

use crate::forms::{NOW_MS, settings};
use rdb::encode::{Meta, Options};
use rdb::file::{Assembly, Built, Item, ReadOptions, Reader, Writer, check};
use rdb::{Loaded, Version};
use store::{Dict, NewValue};

/// Runs one input; panics if anything is wrong.
pub fn run(data: &[u8]) {
    let (choice, file) = match data {
        // A file as it is.
        [b'R' | b'V', ..] => ([0, 100, 2], data),
        [a, b, c, file @ ..] => ([*a, *b, *c], file),
        _ => return,
    };
    let settings = settings(choice[1]);
    let options = ReadOptions {
        // A checksum keeps the fuzzer out.
        verify: false,
        batch_bytes: 1 + usize::from(choice[0]),
        piece_bytes: 1 + usize::from(choice[0]),
        ..ReadOptions::default()
    };
    let version = Version::ALL[usize::from(choice[2]) % Version::ALL.len()];
    let write = Options {
        version,
        compress: choice[2] >= 128,
        now_ms: NOW_MS,
        for_replica: choice[2] % 16 >= 8,
    };
    let _ = check(file, options, &settings);
    let mut reader = Reader::new(file, options);
    let mut assembly = Assembly::new();
    let mut writer = Writer::new(Vec::new(), version, true);
    while let Ok(Some(item)) = reader.next() {
        let Item::Entry(entry) = item else {
            continue;
        };
        let mut dict = Dict::new();
        match assembly.add(&entry, &settings) {
            Ok(Built::Value(Loaded::String(text))) => {
                drop(dict.set(1, &entry.key, store::new_value(&text), None, 0));
            }
            Ok(Built::Value(Loaded::Object(object))) => {
                let value = NewValue::Object(Box::new(object));
                drop(dict.set(1, &entry.key, value, None, 0));
            }
            Ok(Built::More | Built::Nothing) => continue,
            Err(_) => break,
        }
        let meta = Meta {
            key: &entry.key,
            expiry_ms: entry.expiry_ms,
            hint: entry.hint,
            kept: entry.hint.is_some(),
        };
        let stored = dict.get(1, &entry.key).expect("just put there");
        let _ = writer
            .entry(&meta, &stored, &write)
            .expect("memory does not fail");
    }
    let (again, _) = writer.finish().expect("memory does not fail");
    let report = check(&again[..], ReadOptions::default(), &settings);
    assert!(report.is_good(), "{report:?}");
}
