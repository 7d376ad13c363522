//! What a file holds, and what is wrong with it.

use super::batch::{Assembly, Built, Item};
use super::error::{Error, What};
use super::reader::Reader;
use super::scanner::{Checksum, ReadOptions, Summary};
use crate::{Loaded, Settings, kinds};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use store::Type;

/// What [`check`] found.
#[derive(Debug, Default)]
pub struct Report {
    /// Version, checksum and size, if the end was reached.
    pub summary: Option<Summary>,
    /// The version in the header; 0 if there was none.
    pub version: u16,
    /// Bytes that were gone past.
    pub bytes: u64,
    /// What is said about the file, in its order.
    pub aux: Vec<(Vec<u8>, Vec<u8>)>,
    /// By number.
    pub databases: BTreeMap<u32, Database>,
    /// By the number of type and encoding.
    pub types: BTreeMap<u8, TypeCount>,
    /// Libraries of functions.
    pub functions: u64,
    /// Modules that have left something beside the keys.
    pub modules: Vec<String>,
    /// Values that make no sense, each with its place. Reading goes on behind them.
    pub damaged: Vec<Error>,
    /// How many there are, also of those past [`Report::MOST`].
    pub damaged_count: u64,
    /// What made it impossible to go on.
    pub fatal: Option<Error>,
}

/// The keys of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// All of them.
    pub keys: u64,
    /// Those that expire.
    pub expiring: u64,
    /// Those that had expired at the time that was given.
    pub expired: u64,
}

/// The keys of one type and encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeCount {
    /// How many.
    pub keys: u64,
    /// Elements of their values: fields, members, entries; of a string, one.
    pub elements: u64,
    /// Bytes of their values in the file.
    pub bytes: u64,
}

impl Report {
    /// So many damaged values are listed.
    pub const MOST: usize = 100;

    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.fatal.is_none() && self.damaged_count == 0
    }

    fn damage(&mut self, error: Error) {
        self.damaged_count += 1;
        if self.damaged.len() < Report::MOST {
            self.damaged.push(error);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        writeln!(f, "version {}, {} bytes", self.version, self.bytes)?;
        for (name, value) in &self.aux {
            writeln!(f, "{}: {}", text(name), text(value))?;
        }
        for (number, db) in &self.databases {
            writeln!(
                f,
                "database {number}: {} keys, {} expire, {} have expired",
                db.keys, db.expiring, db.expired
            )?;
        }
        for (kind, count) in &self.types {
            writeln!(
                f,
                "type {kind} ({}): {} keys, {} elements, {} bytes",
                kind_name(*kind),
                count.keys,
                count.elements,
                count.bytes
            )?;
        }
        if self.functions > 0 {
            writeln!(f, "libraries of functions: {}", self.functions)?;
        }
        for module in &self.modules {
            writeln!(f, "data of module {module}")?;
        }
        for error in &self.damaged {
            writeln!(f, "damaged {error}")?;
        }
        if self.damaged_count > self.damaged.len() as u64 {
            let more = self.damaged_count - self.damaged.len() as u64;
            writeln!(f, "damaged: {more} more values")?;
        }
        match (&self.fatal, &self.summary) {
            (Some(error), _) => writeln!(f, "cannot be read further {error}"),
            (None, Some(summary)) => match summary.checksum {
                Checksum::Right => writeln!(f, "checksum is right"),
                Checksum::Absent => writeln!(f, "no checksum in the file"),
                Checksum::Unverified => writeln!(f, "checksum was not compared"),
            },
            (None, None) => Ok(()),
        }
    }
}

/// Reads all of a file and builds each value once, to see that it can be. Data of modules is gone past.
pub fn check(source: impl Read, options: ReadOptions, settings: &Settings) -> Report {
    let mut report = Report::default();
    let options = ReadOptions {
        skip_modules: true,
        ..options
    };
    let mut reader = Reader::new(source, options);
    let mut assembly = Assembly::new();
    loop {
        let item = match reader.next() {
            Ok(Some(item)) => item,
            Ok(None) => break,
            // A string that does not decompress; where the next item begins is known all the same.
            Err(error) if matches!(error.what, What::Malformed(_)) && error.key.is_none() => {
                report.damage(error);
                if report.damaged_count > 1_000_000 {
                    break;
                }
                continue;
            }
            Err(error) => {
                report.fatal = Some(error);
                break;
            }
        };
        report.item(item, &mut assembly, settings);
    }
    report.version = reader.version().0;
    report.bytes = reader.offset();
    report.summary = reader.summary();
    report
}

impl Report {
    fn item(&mut self, item: Item<'_>, assembly: &mut Assembly, settings: &Settings) {
        let entry = match item {
            Item::Aux { name, value } => {
                if self.aux.len() < 10_000 {
                    self.aux.push((name.to_vec(), value.to_vec()));
                }
                return;
            }
            Item::Function(_) => {
                self.functions += 1;
                return;
            }
            Item::ModuleAux(name) => {
                if !self.modules.contains(&name) {
                    self.modules.push(name);
                }
                return;
            }
            Item::Select(_) | Item::Resize { .. } | Item::Slot { .. } | Item::SlotImport => return,
            Item::Entry(entry) => entry,
        };
        let count = self.types.entry(entry.kind).or_default();
        count.bytes += entry.bytes.len() as u64;
        if entry
            .piece
            .is_none_or(|piece| piece.place == super::Place::First)
        {
            count.keys += 1;
            let database = self.databases.entry(entry.db).or_default();
            database.keys += 1;
            database.expiring += u64::from(entry.expiry_ms.is_some());
            database.expired += u64::from(entry.expiry_ms.is_some_and(|ms| ms <= settings.now_ms));
        }
        if entry.kind == kinds::MODULE_2 {
            return;
        }
        match assembly.add(&entry, settings) {
            Ok(Built::Value(Loaded::String(_))) => count.elements += 1,
            Ok(Built::Value(Loaded::Object(object))) => count.elements += object.len() as u64,
            Ok(Built::More | Built::Nothing) => {}
            Err(error) => self.damage(error),
        }
    }
}

/// The name of a type and encoding, as reports and INFO-like texts call it.
pub fn kind_name(kind: u8) -> &'static str {
    match kind {
        kinds::STRING => "string",
        kinds::LIST => "list",
        kinds::SET => "set",
        kinds::ZSET => "sorted set, scores as text",
        kinds::ZSET_2 => "sorted set",
        kinds::HASH => "hash",
        kinds::MODULE | kinds::MODULE_2 => "value of a module",
        kinds::HASH_ZIPMAP => "hash, zipmap",
        kinds::LIST_ZIPLIST => "list, ziplist",
        kinds::SET_INTSET => "set, integers",
        kinds::ZSET_ZIPLIST => "sorted set, ziplist",
        kinds::HASH_ZIPLIST => "hash, ziplist",
        kinds::LIST_QUICKLIST => "list, nodes of ziplists",
        kinds::LIST_QUICKLIST_2 => "list, nodes of listpacks",
        kinds::HASH_LISTPACK => "hash, listpack",
        kinds::ZSET_LISTPACK => "sorted set, listpack",
        kinds::SET_LISTPACK => "set, listpack",
        kinds::STREAM_LISTPACKS => "stream",
        kinds::STREAM_LISTPACKS_2 => "stream with counters",
        kinds::STREAM_LISTPACKS_3 => "stream with activity",
        kinds::STREAM_LISTPACKS_4 => "stream with producers",
        kinds::STREAM_LISTPACKS_5 => "stream with entries given back",
        kinds::SET_TIMED => "set with member expiry",
        kinds::HASH_22 | kinds::HASH_METADATA => "hash with field expiry",
        kinds::HASH_LISTPACK_EX | kinds::HASH_LISTPACK_EX_RC => "hash with field expiry, listpack",
        _ => "unknown",
    }
}

/// The type of values of a kind; `None` for modules' and unknown ones.
pub fn type_of(kind: u8) -> Option<Type> {
    Some(match kind {
        kinds::STRING => Type::String,
        kinds::LIST | kinds::LIST_ZIPLIST | kinds::LIST_QUICKLIST | kinds::LIST_QUICKLIST_2 => {
            Type::List
        }
        kinds::SET | kinds::SET_INTSET | kinds::SET_LISTPACK | kinds::SET_TIMED => Type::Set,
        kinds::ZSET | kinds::ZSET_2 | kinds::ZSET_ZIPLIST | kinds::ZSET_LISTPACK => Type::SortedSet,
        kinds::HASH
        | kinds::HASH_ZIPMAP
        | kinds::HASH_ZIPLIST
        | kinds::HASH_LISTPACK
        | kinds::HASH_22
        | kinds::HASH_METADATA
        | kinds::HASH_LISTPACK_EX
        | kinds::HASH_LISTPACK_EX_RC => Type::Hash,
        kinds::STREAM_LISTPACKS
        | kinds::STREAM_LISTPACKS_2
        | kinds::STREAM_LISTPACKS_3
        | kinds::STREAM_LISTPACKS_4
        | kinds::STREAM_LISTPACKS_5 => Type::Stream,
        _ => return None,
    })
}
