//! Versions of RDB: who writes and who reads which.
//!
//! Redis counts up: 9 since Redis 5, 10 with 7.0, 11 with 7.2, 12 with 7.4, 13 with 8.6, 14 with 8.8. Valkey 7.2 and 8 write 11, and 9
//! counts on from 80 under a name of its own. Valkey refuses Redis's 12 and up, Redis all of Valkey's own, so that 11 is the
//! highest that both read.

/// The versions of Redis that are understood in files, up to that of 8.8.
pub(crate) const REDIS: std::ops::RangeInclusive<u16> = 1..=14;
/// The first with a checksum, that of 2.6.
pub(crate) const FIRST_CHECKED: u16 = 5;
/// The versions of Valkey that are understood.
pub(crate) const VALKEY: std::ops::RangeInclusive<u16> = 80..=80;
/// From here on a number is Valkey's.
pub(crate) const FIRST_VALKEY: u16 = 80;

/// Whose numbers a payload or file uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Dialect {
    Redis,
    Valkey,
}

impl Dialect {
    /// The dialect of a version.
    pub fn of(version: u16) -> Dialect {
        if version >= FIRST_VALKEY {
            Dialect::Valkey
        } else {
            Dialect::Redis
        }
    }
}

/// A version that can be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Redis 5 and 6, and all later ones. No listpacks but in streams.
    V9,
    /// Redis 7.0 and later.
    V10,
    /// Redis 7.2 and later, Valkey 7.2 and later.
    #[default]
    V11,
    /// Redis 7.4 and later: fields that expire.
    V12,
    /// Valkey 9.0 and later: fields that expire, in Valkey's dialect.
    Valkey80,
}

impl Version {
    /// All there are.
    pub const ALL: [Version; 5] = [
        Version::V9,
        Version::V10,
        Version::V11,
        Version::V12,
        Version::Valkey80,
    ];

    /// The version with a number.
    pub fn of(number: u16) -> Option<Version> {
        Version::ALL.into_iter().find(|v| v.number() == number)
    }

    /// Its number.
    pub fn number(self) -> u16 {
        match self {
            Version::V9 => 9,
            Version::V10 => 10,
            Version::V11 => 11,
            Version::V12 => 12,
            Version::Valkey80 => 80,
        }
    }

    /// The first bytes of a file.
    pub fn magic(self) -> &'static [u8; 9] {
        match self {
            Version::V9 => b"REDIS0009",
            Version::V10 => b"REDIS0010",
            Version::V11 => b"REDIS0011",
            Version::V12 => b"REDIS0012",
            Version::Valkey80 => b"VALKEY080",
        }
    }

    /// Whose numbers it uses.
    pub fn dialect(self) -> Dialect {
        Dialect::of(self.number())
    }
}
