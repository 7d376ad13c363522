//! RDB: values as bytes, the form in which Redis and Valkey keep them in files and hand them out with DUMP.
//!
//! A payload of DUMP is one value by itself: a byte for its type and encoding, the value, a version, a checksum
//! ([`payload`]). A file is many of them under their keys, with what is to be known beside ([`file`](mod@file)). The value inside is
//! the same: [`encode`] writes one in a form that a given version's readers know, [`decode`] reads all that Redis 5 to 8.6
//! and Valkey 7 to 9.1 write. Below these are the building blocks: lengths and strings ([`cursor`], [`put`]), the packed
//! sequences that small collections are stored as ([`listpack`], [`ziplist`]), compression ([`store::lzf`]) and the checksum
//! ([`crc64`]).
//!
//! Payloads come from clients and files from disks, so nothing in them is believed: each length is compared with the bytes
//! that are there before anything is reserved, and whatever does not fit is an error, never a panic. Values are built element
//! by element, so that each is checked in full, whatever `sanitize-dump-payload` says: there is no cheaper way to leave out.
//! Nothing here opens a file or a socket.

pub mod crc64;
pub mod cursor;
pub mod decode;
pub mod encode;
pub mod file;
pub mod kinds;
pub mod listpack;
mod malformed;
mod metadata;
mod opcode;
pub mod payload;
pub mod put;
mod settings;
mod stream;
pub mod version;
pub mod ziplist;

pub use cursor::Text;
pub use decode::Loaded;
pub use malformed::{Malformed, Result};
pub use settings::Settings;
pub use version::{Dialect, Version};
