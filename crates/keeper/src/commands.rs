//! The data set as commands, for a base of the log without RDB in it (`aof-use-rdb-preamble no`).
//!
//! A snapshot is written as an RDB; what it is written into here makes commands of it on its way to the file, the ones that real
//! servers write: a collection in calls of at most 64 elements, times absolute. One value at a time is held in memory.

use rdb::Loaded;
use rdb::file::{Assembly, Batch, Built, Entry, Item, ReadOptions, Scanner, Step};
use resp::{format_f64_shortest, write_command};
use std::io::{self, Write};
use store::types::hash::Hash;
use store::types::list::List;
use store::types::set::Set;
use store::types::sorted_set::SortedSet;

use store::types::stream::{Group, NOBODY, Stream, StreamId};
use store::{Collection, Object};

/// Elements of a collection in one command.
const AT_ONCE: usize = 64;

/// Takes an RDB and writes the commands that make what is in it.
pub(crate) struct AsCommands<W> {
    into: W,
    scanner: Scanner,
    settings: rdb::Settings,
    assembly: Assembly,
    db: Option<u32>,
    /// The next key is never to be evicted.
    kept: bool,
    /// Commands on their way.
    out: Vec<u8>,
}

impl<W: Write> AsCommands<W> {
    /// `settings`: those that values are built with meanwhile. `unix_seconds`: a timestamp that stands first, if there is to be one.
    pub fn new(into: W, settings: rdb::Settings, unix_seconds: Option<u64>) -> AsCommands<W> {
        let stamp = unix_seconds.map_or_else(String::new, |time| format!("#TS:{time}\r\n"));
        let options = ReadOptions {
            verify: false,
            ..ReadOptions::default()
        };
        AsCommands {
            into,
            scanner: Scanner::new(options),
            // What has expired is written too, for it is removed by commands of its own.
            settings: rdb::Settings {
                now_ms: 0,
                ..settings
            },
            assembly: Assembly::new(),
            db: None,
            kept: false,
            out: stamp.into_bytes(),
        }
    }

    /// After the whole RDB: what it was written into.
    pub fn finish(mut self) -> io::Result<W> {
        self.scanner.end_of_input();
        if !self.advance()? {
            return Err(io::Error::other("a snapshot that has no end"));
        }
        // Of a data set without keys too.
        self.into.write_all(&self.out)?;
        Ok(self.into)
    }

    /// Goes on with what has come; whether the end has.
    fn advance(&mut self) -> io::Result<bool> {
        loop {
            match self.scanner.step().map_err(io::Error::other)? {
                Step::Batch(batch) => {
                    self.batch(&batch)?;
                    self.into.write_all(&self.out)?;
                    self.out.clear();
                    self.scanner.recycle(batch);
                }
                Step::More(_) => return Ok(false),
                Step::End(_) => return Ok(true),
            }
        }
    }

    fn batch(&mut self, batch: &Batch) -> io::Result<()> {
        for item in batch.items() {
            match item.map_err(io::Error::other)? {
                Item::Function(source) => {
                    write_command(&mut self.out, &[&b"FUNCTION"[..], b"LOAD", &source]);
                }
                Item::Aux { name, .. } if *name == *rdb::encode::KEPT.as_bytes() => {
                    self.kept = true;
                }
                Item::Entry(entry) => {
                    let built = self.assembly.add(&entry, &self.settings);
                    if let Built::Value(value) = built.map_err(io::Error::other)? {
                        self.entry(&entry, value);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>, value: Loaded<'_>) {
        let out = &mut self.out;
        if self.db != Some(entry.db) {
            self.db = Some(entry.db);
            write_command(out, &[b"SELECT", entry.db.to_string().as_bytes()]);
        }
        let key = &*entry.key;
        match value {
            Loaded::String(text) => write_command(out, &[b"SET", key, &text]),
            Loaded::Object(Object::List(list)) => list_commands(out, key, &list),
            Loaded::Object(Object::Set(set)) => set_commands(out, key, &set),
            Loaded::Object(Object::SortedSet(set)) => sorted_set_commands(out, key, &set),
            Loaded::Object(Object::Hash(hash)) => hash_commands(out, key, &hash),
            Loaded::Object(Object::Stream(stream)) => stream_commands(out, key, &stream),
        }
        if let Some(at) = entry.expiry_ms {
            write_command(out, &[b"PEXPIREAT", key, at.to_string().as_bytes()]);
        }
        if std::mem::take(&mut self.kept) {
            write_command(out, &[&b"BLESS"[..], b"SET", key, b"NO-EVICT"]);
        }
    }
}

impl<W: Write> Write for AsCommands<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.scanner.feed(bytes);
        self.advance()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

/// Commands that add elements, so many at a time.
struct Adding<'a> {
    out: &'a mut Vec<u8>,
    head: [&'a [u8]; 2],
    args: Vec<Vec<u8>>,
    elements: usize,
}

impl<'a> Adding<'a> {
    fn new(out: &'a mut Vec<u8>, command: &'a [u8], key: &'a [u8]) -> Adding<'a> {
        Adding {
            out,
            head: [command, key],
            args: Vec::new(),
            elements: 0,
        }
    }

    /// Adds an element, which is some arguments.
    fn add(&mut self, args: impl IntoIterator<Item = Vec<u8>>) {
        self.args.extend(args);
        self.elements += 1;
        if self.elements == AT_ONCE {
            self.end();
        }
    }

    fn end(&mut self) {
        if self.elements > 0 {
            let mut argv: Vec<&[u8]> = self.head.to_vec();
            argv.extend(self.args.iter().map(|arg| &arg[..]));
            write_command(self.out, &argv);
        }
        self.args.clear();
        self.elements = 0;
    }
}

fn list_commands(out: &mut Vec<u8>, key: &[u8], list: &List) {
    let mut adding = Adding::new(out, b"RPUSH", key);
    list.view()
        .iter()
        .for_each(usize::MAX, |item| adding.add([item.to_vec()]));
    adding.end();
}

fn set_commands(out: &mut Vec<u8>, key: &[u8], set: &Set) {
    let mut adding = Adding::new(out, b"SADD", key);
    set.view().for_each(|item| adding.add([item.to_vec()]));
    adding.end();
}

fn sorted_set_commands(out: &mut Vec<u8>, key: &[u8], set: &SortedSet) {
    let mut adding = Adding::new(out, b"ZADD", key);
    for (member, score) in set.view().entries() {
        let mut text = Vec::new();
        format_f64_shortest(score, &mut text);
        adding.add([text, member.to_vec()]);
    }
    adding.end();
}

fn hash_commands(out: &mut Vec<u8>, key: &[u8], hash: &Hash) {
    let mut adding = Adding::new(out, b"HMSET", key);
    for (field, found) in hash.view().iter(0) {
        adding.add([field.to_vec(), found.value.to_vec()]);
    }
    adding.end();
    for (field, found) in hash.view().iter(0) {
        if let Some(at) = found.due_ms {
            let at = at.to_string();
            write_command(
                out,
                &[b"HPEXPIREAT", key, at.as_bytes(), b"FIELDS", b"1", field],
            );
        }
    }
}

fn stream_commands(out: &mut Vec<u8>, key: &[u8], stream: &Stream) {
    let view = stream.view();
    let last = view.last_id().to_string();
    if view.is_empty() {
        // There is no other way to a stream without entries.
        let id = match view.last_id().is_zero() {
            true => "0-1",
            false => &last,
        };
        write_command(
            out,
            &[b"XADD", key, b"MAXLEN", b"0", id.as_bytes(), b"x", b"y"],
        );
    }
    for entry in view.range(StreamId::MIN, StreamId::MAX) {
        let mut argv = vec![
            b"XADD".to_vec(),
            key.to_vec(),
            entry.id.to_string().into_bytes(),
        ];
        for (name, value) in entry.pairs() {
            argv.extend([name.to_vec(), value.to_vec()]);
        }
        let argv: Vec<&[u8]> = argv.iter().map(|arg| &arg[..]).collect();
        write_command(out, &argv);
    }
    write_command(
        out,
        &[
            b"XSETID",
            key,
            last.as_bytes(),
            b"ENTRIESADDED",
            view.entries_added().to_string().as_bytes(),
            b"MAXDELETEDID",
            view.max_deleted_id().to_string().as_bytes(),
        ],
    );
    if let Some(known) = view.idempotency() {
        let (duration, max) = (known.duration_s().to_string(), known.max().to_string());
        let (duration, max) = (duration.as_bytes(), max.as_bytes());
        write_command(
            out,
            &[
                b"XCFGSET",
                key,
                b"IDMP-DURATION",
                duration,
                b"IDMP-MAXSIZE",
                max,
            ],
        );
        for (producer, names) in known.producers(0) {
            for (name, id) in names {
                let id = id.to_string();
                write_command(
                    out,
                    &[&b"XIDMPRECORD"[..], key, producer, name, id.as_bytes()],
                );
            }
        }
    }
    for (name, group) in view.groups() {
        group_commands(out, key, name, group);
    }
}

fn group_commands(out: &mut Vec<u8>, key: &[u8], name: &[u8], group: &Group) {
    write_command(
        out,
        &[
            b"XGROUP",
            b"CREATE",
            key,
            name,
            group.last_id.to_string().as_bytes(),
            b"ENTRIESREAD",
            group.entries_read.unwrap_or(-1).to_string().as_bytes(),
        ],
    );
    for consumer in group.consumers() {
        write_command(
            out,
            &[&b"XGROUP"[..], b"CREATECONSUMER", key, name, &consumer.name],
        );
        for id in consumer.pending_from(StreamId::MIN) {
            let Some(pending) = group.pending(id) else {
                continue;
            };
            write_command(
                out,
                &[
                    b"XCLAIM",
                    key,
                    name,
                    &consumer.name,
                    b"0",
                    id.to_string().as_bytes(),
                    b"TIME",
                    pending.delivered_ms.to_string().as_bytes(),
                    b"RETRYCOUNT",
                    pending.deliveries.to_string().as_bytes(),
                    b"JUSTID",
                    b"FORCE",
                ],
            );
        }
    }
    // What was given back belongs to nobody.
    let unowned = group
        .pending_from(StreamId::MIN)
        .filter(|(_, pending)| pending.consumer == NOBODY);
    for (id, pending) in unowned {
        write_command(
            out,
            &[
                b"XNACK",
                key,
                name,
                b"FAIL",
                b"IDS",
                b"1",
                id.to_string().as_bytes(),
                b"RETRYCOUNT",
                pending.deliveries.to_string().as_bytes(),
                b"FORCE",
            ],
        );
    }
}
