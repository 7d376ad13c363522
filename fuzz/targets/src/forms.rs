//! At which sizes collections change their form, for the targets that read them from RDB.

use rdb::Settings;
use store::types::{hash, list, set, sorted_set, stream};

/// The time for these targets, in Unix milliseconds.
pub(crate) const NOW_MS: u64 = 1_700_000_000_000;

/// Collections change their form at sizes that this byte of the input chooses.
pub(crate) fn settings(size: u8) -> Settings {
    let entries = usize::from(size);
    Settings {
        now_ms: NOW_MS,
        list: list::Limits {
            max_listpack_size: i32::from(size as i8),
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
    }
}
