//! Any bytes as a payload of RESTORE, with the checksum made right: no panic, no memory that the bytes do not account
//! for, and what was taken can be written and read again.
//!
//! The first two bytes choose the version and the sizes at which collections change their form.

use crate::forms::{NOW_MS, settings};
use rdb::encode::Options;
use rdb::payload::{dump, restore, seal};
use rdb::{Loaded, Version};
use store::{Dict, NewValue};

/// Runs one input; panics if anything is wrong.
pub fn run(data: &[u8]) {
    let [version, size, value @ ..] = data else {
        return;
    };
    let settings = settings(*size);
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
