//! Any bytes as a payload of RESTORE, with the checksum made right: no panic, no memory that the bytes do not account
//! for, and what was taken can be written and read again.
//!
//! The first two bytes choose the version and the sizes at which collections change their form.

use rdb::encode::Options;
use rdb::payload::{dump, restore, seal};
use rdb::{Loaded, Settings, Version};
use store::types::{hash, list, set, sorted_set, stream};
use store::{Dict, NewValue};

const NOW_MS: u64 = 1_700_000_000_000;

/// Runs one input; panics if anything is wrong.
pub fn run(data: &[u8]) {
    let [version, size, value @ ..] = data else {
        return;
    };
    let entries = usize::from(*size);
    let settings = Settings {
        now_ms: NOW_MS,
        list: list::Limits {
            max_listpack_size: i32::from(*size as i8),
            packed_threshold: 0,
            compress_depth: 1,
        },
        set: set::Limits {
            intset_entries: entries,
            listpack_entries: entries,
            listpack_value: 20,
        },
        hash: hash::Limits { entries, value: 20 },
        sorted_set: sorted_set::Limits {
            entries,
            member: 20,
        },
        stream: stream::Limits {
            node_bytes: 4096,
            node_entries: entries,
        },
    };
    let mut payload = value.to_vec();
    seal(&mut payload, [10, 12, 80][usize::from(*version) % 3]);
    let Ok(Loaded::Object(object)) = restore(&payload, &settings) else {
        return;
    };
    let mut dict = Dict::new();
    dict.set(1, b"key", NewValue::Object(Box::new(object)), None, 0);
    let options = Options {
        version: Version::ALL[usize::from(*version / 2) % Version::ALL.len()],
        compress: version % 2 == 0,
        now_ms: NOW_MS,
        for_replica: version % 4 >= 2,
    };
    let entry = dict.get(1, b"key").expect("just put there");
    // A hash of expired fields has no payload.
    if let Some(again) = dump(&entry, &options) {
        restore(&again, &settings).expect("what we write we read");
    }
}
