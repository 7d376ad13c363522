//! With which limits values are built.

use store::types::{hash, list, set, sorted_set, stream};

/// What decides the form in which a value that was read is stored, and when that is.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Settings {
    /// Unix milliseconds: fields that expired before are left out.
    pub now_ms: u64,
    pub list: list::Limits,
    pub set: set::Limits,
    pub hash: hash::Limits,
    pub sorted_set: sorted_set::Limits,
    pub stream: stream::Limits,
}

impl Settings {
    /// With the limits that servers have by default.
    pub const fn usual(now_ms: u64) -> Settings {
        Settings {
            now_ms,
            list: list::Limits {
                max_listpack_size: -2,
                packed_threshold: 0,
                compress_depth: 0,
            },
            set: set::Limits {
                intset_entries: 512,
                listpack_entries: 128,
                listpack_value: 64,
            },
            hash: hash::Limits {
                entries: 128,
                value: 64,
            },
            sorted_set: sorted_set::Limits {
                entries: 128,
                member: 64,
            },
            stream: stream::Limits {
                node_bytes: 4096,
                node_entries: 100,
            },
        }
    }
}
