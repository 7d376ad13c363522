//! Finding where the items of a file begin and end, without building any value, from bytes that come bit by bit.

use super::batch::{Batch, Lead, PieceOf, Place, lead};
use super::error::{Error, What};
use super::shape::{Stop, Walk};
use crate::cursor::{Cursor, Short};
use crate::version::{self, Dialect};
use crate::{Malformed, crc64, kinds, metadata, opcode};
use std::io;
use std::ops::Range;

/// How a file is read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// Compare the checksum (`rdbchecksum`).
    pub verify: bool,
    /// Go past data of modules instead of stopping at it. Their values are handed out like others but cannot be loaded.
    pub skip_modules: bool,
    /// How many bytes of items make a batch.
    pub batch_bytes: usize,
    /// Collections of more bytes than this come in pieces of about this size.
    pub piece_bytes: usize,
    /// How long the file is, if that is known: what says that it is longer is then refused at once.
    pub total: Option<u64>,
}

impl Default for ReadOptions {
    fn default() -> ReadOptions {
        ReadOptions {
            verify: true,
            skip_modules: false,
            batch_bytes: 256 << 10,
            piece_bytes: 4 << 20,
            total: None,
        }
    }
}

/// What a scanner has come to.
#[derive(Debug)]
pub enum Step {
    /// Items.
    Batch(Batch),
    /// So many more bytes are needed at least, before anything else can be said.
    More(u64),
    /// The file's end.
    End(Summary),
}

/// What is known of a file at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The number in its header.
    pub version: u16,
    /// Whose it is.
    pub dialect: Dialect,
    /// How its checksum was.
    pub checksum: Checksum,
    /// How many bytes it has, checksum included.
    pub bytes: u64,
}

/// A wrong checksum is an error; this is the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It is that of the bytes.
    Right,
    /// The file has none.
    Absent,
    /// It was not looked at.
    Unverified,
}

/// Finds the items of a file. Feed it bytes ([`Scanner::feed`], [`Scanner::read_from`]) whenever [`Scanner::step`] wants
/// more.
#[derive(Debug)]
pub struct Scanner {
    options: ReadOptions,
    /// Bytes of the file up to `filled`, then room.
    buf: Vec<u8>,
    filled: usize,
    /// Where `buf` begins in the file.
    base: u64,
    /// Where the batch begins in `buf`.
    start: usize,
    /// Where the next item begins in `buf`.
    at: usize,
    ends: Vec<usize>,
    state: State,
    /// No more bytes will come.
    ended: bool,
    version: u16,
    dialect: Dialect,
    crc: u64,
    db: u32,
    /// The database in which the batch begins.
    batch_db: u32,
    /// The entry that is being gone past.
    open: Option<Open>,
    /// A buffer to use again.
    spare: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Header,
    Items,
    Checksum,
    Done(Summary),
}

/// An entry whose end is not known yet. Positions count from where the item begins.
#[derive(Debug)]
struct Open {
    kind: u8,
    key: Range<usize>,
    lead: Lead,
    walk: Walk,
    /// How far the walk has come.
    at: usize,
    /// Once a piece of it has been handed out: its key.
    in_pieces: Option<Vec<u8>>,
    /// A piece is ready.
    ready: bool,
}

/// Why no item was found.
enum Stopped {
    Missing(u64),
    /// An error at a place in the item.
    Wrong(usize, What),
}

enum Found {
    /// An item of so many bytes.
    Item(usize),
    /// A piece of so many bytes of the open entry.
    Piece(usize, Place),
    End,
}

/// So much is read at once.
const CHUNK: usize = 256 << 10;
const HEADER: usize = 9;

impl Scanner {
    /// At the beginning of a file.
    pub fn new(options: ReadOptions) -> Scanner {
        Scanner {
            options,
            buf: Vec::new(),
            filled: 0,
            base: 0,
            start: 0,
            at: 0,
            ends: Vec::new(),
            state: State::Header,
            ended: false,
            version: 0,
            dialect: Dialect::Redis,
            crc: 0,
            db: 0,
            batch_db: 0,
            open: None,
            spare: Vec::new(),
        }
    }

    /// Adds bytes of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buf.truncate(self.filled);
        self.buf.extend_from_slice(bytes);
        self.filled = self.buf.len();
    }

    /// Adds what one call of `source.read` gives; never reserves more than has already come, or a fixed amount. `missing` is
    /// what [`Step::More`] said. Returns the number of bytes; zero ends the file.
    pub(crate) fn read_from(
        &mut self,
        source: &mut impl io::Read,
        missing: u64,
    ) -> io::Result<usize> {
        let have = self.filled;
        let want = usize::try_from(missing)
            .unwrap_or(usize::MAX)
            .min(have)
            .max(CHUNK);
        // Room is made anew only where little is left, for it has to be cleared.
        if self.buf.len() - have < want.min(CHUNK / 2).max(missing.min(want as u64) as usize) {
            self.buf.resize(have + want, 0);
        }
        let read = loop {
            match source.read(&mut self.buf[have..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match read {
            Ok(0) => self.ended = true,
            // No reader may say that it gave more than there was room for.
            Ok(n) => self.filled = (have + n).min(self.buf.len()),
            Err(_) => {}
        }
        read
    }

    /// Says that there are no more bytes.
    pub fn end_of_input(&mut self) {
        self.ended = true;
    }

    /// Bytes that have been gone past.
    pub fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// The number in the header, and whose it is; zero before the header has come.
    pub fn version(&self) -> (u16, Dialect) {
        (self.version, self.dialect)
    }

    /// Bytes that have come but stand behind the end of the file, once that has been found.
    pub fn rest(&self) -> &[u8] {
        &self.buf[self.at..self.filled]
    }

    /// Gives back the memory of a batch, to be used for another.
    pub fn recycle(&mut self, mut batch: Batch) {
        if self.ends.is_empty() && self.ends.capacity() < batch.ends.capacity() {
            batch.ends.clear();
            self.ends = batch.ends;
        }
        if batch.bytes.capacity() > self.spare.capacity() && batch.bytes.capacity() <= 8 * CHUNK {
            self.spare = batch.bytes;
        }
    }

    /// Goes on with the bytes that are there. After an error there is nothing more.
    pub fn step(&mut self) -> Result<Step, Error> {
        loop {
            let stopped = match self.state {
                State::Done(summary) => return Ok(Step::End(summary)),
                State::Header => match self.header() {
                    Ok(()) => continue,
                    Err(stopped) => stopped,
                },
                State::Checksum => match self.checksum() {
                    Ok(()) => continue,
                    Err(stopped) => stopped,
                },
                State::Items => match self.item() {
                    Ok(Found::Item(len)) => {
                        self.at += len;
                        self.ends.push(self.at);
                        if self.at - self.start >= self.options.batch_bytes {
                            return Ok(Step::Batch(self.batch(None)));
                        }
                        continue;
                    }
                    Ok(Found::Piece(len, place)) => {
                        if !self.ends.is_empty() {
                            // What is before it first.
                            return Ok(Step::Batch(self.batch(None)));
                        }
                        return Ok(Step::Batch(self.piece(len, place)));
                    }
                    Ok(Found::End) => {
                        self.at += 1;
                        self.state = State::Checksum;
                        let batch = self.batch(None);
                        if batch.is_empty() {
                            self.recycle(batch);
                            continue;
                        }
                        return Ok(Step::Batch(batch));
                    }
                    Err(stopped) => stopped,
                },
            };
            match stopped {
                Stopped::Missing(n) => {
                    let there = self.base + self.filled as u64;
                    let beyond = self
                        .options
                        .total
                        .is_some_and(|total| there.saturating_add(n) > total);
                    if self.ended || beyond {
                        let at = self.filled - self.at;
                        return Err(self.error(at, What::Truncated));
                    }
                    if self.at - self.start >= self.options.batch_bytes / 4 && !self.ends.is_empty()
                    {
                        return Ok(Step::Batch(self.batch(None)));
                    }
                    return Ok(Step::More(n));
                }
                Stopped::Wrong(at, what) => return Err(self.error(at, what)),
            }
        }
    }

    fn error(&self, at: usize, what: What) -> Error {
        let key = self.open.as_ref().map(|open| match &open.in_pieces {
            Some(key) => key.clone(),
            None => {
                let mut r = Cursor::new(&self.buf[self.at..][open.key.clone()]);
                r.string().map(|key| key.into_vec()).unwrap_or_default()
            }
        });
        Error {
            offset: self.base + (self.at + at) as u64,
            db: key.is_some().then_some(self.db),
            key,
            what,
        }
    }

    fn header(&mut self) -> Result<(), Stopped> {
        let header = &self.buf[self.at..self.filled];
        let wrong = |what| Err(Stopped::Wrong(0, what));
        // Say it as soon as it is sure.
        let begins = |magic: &[u8]| header.iter().zip(magic).all(|(a, b)| a == b);
        if !begins(b"REDIS") && !begins(b"VALKEY") {
            return wrong(What::NotRdb);
        }
        let Some(header) = header.first_chunk::<HEADER>() else {
            return Err(Stopped::Missing((HEADER - header.len()) as u64));
        };
        let valkey = header.starts_with(b"VALKEY");
        let digits = &header[if valkey { 6 } else { 5 }..];
        let Some(number) = std::str::from_utf8(digits)
            .ok()
            .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|text| text.parse::<u16>().ok())
            .filter(|n| *n > 0)
        else {
            return wrong(What::NotRdb);
        };
        let known = if valkey {
            version::VALKEY.contains(&number)
        } else {
            version::REDIS.contains(&number)
        };
        if !known {
            return wrong(What::Version(header.escape_ascii().to_string()));
        }
        self.version = number;
        self.dialect = if valkey {
            Dialect::Valkey
        } else {
            Dialect::Redis
        };
        self.crc = crc64::update(0, header);
        self.at += HEADER;
        self.start = self.at;
        self.state = State::Items;
        Ok(())
    }

    fn checksum(&mut self) -> Result<(), Stopped> {
        if self.version < version::FIRST_CHECKED {
            return self.end_unchecked();
        }
        let Some(stored) = self.buf[self.at..self.filled].first_chunk() else {
            return Err(Stopped::Missing((8 - (self.filled - self.at)) as u64));
        };
        let stored = u64::from_le_bytes(*stored);
        let checksum = if !self.options.verify {
            Checksum::Unverified
        } else if stored == 0 {
            Checksum::Absent
        } else if stored == self.crc {
            Checksum::Right
        } else {
            let computed = self.crc;
            return Err(Stopped::Wrong(0, What::Checksum { computed, stored }));
        };
        self.at += 8;
        self.state = State::Done(Summary {
            version: self.version,
            dialect: self.dialect,
            checksum,
            bytes: self.offset(),
        });
        Ok(())
    }

    /// The end of a file that has no checksum. Nothing may stand behind it: one flipped bit of the version would be enough to have that of
    /// a newer file ignored.
    fn end_unchecked(&mut self) -> Result<(), Stopped> {
        const BEHIND: Malformed = Malformed("a file without a checksum goes on behind its end");
        if self.filled > self.at {
            return Err(Stopped::Wrong(0, What::Malformed(BEHIND)));
        }
        if !self.ended && self.options.total != Some(self.offset()) {
            return Err(Stopped::Missing(1));
        }
        self.state = State::Done(Summary {
            version: self.version,
            dialect: self.dialect,
            checksum: Checksum::Absent,
            bytes: self.offset(),
        });
        Ok(())
    }

    /// Finds the next item from `at` on.
    #[inline]
    fn item(&mut self) -> Result<Found, Stopped> {
        let bytes = &self.buf[self.at..self.filled];
        if self.open.is_none() {
            let mut r = Cursor::new(bytes);
            let at = |r: &Cursor<'_>| bytes.len() - r.left();
            match begin(&mut r, self.dialect, self.options.skip_modules) {
                Ok(Begun::Item(db)) => {
                    self.db = db.unwrap_or(self.db);
                    return Ok(Found::Item(at(&r)));
                }
                Ok(Begun::End) => return Ok(Found::End),
                Ok(Begun::Entry(open)) => self.open = Some(open),
                Err(Begin::Short(Short::Missing(n))) => return Err(Stopped::Missing(n)),
                Err(Begin::Short(Short::Bad(m))) => {
                    return Err(Stopped::Wrong(at(&r), What::Malformed(m)));
                }
                Err(Begin::Wrong(what)) => return Err(Stopped::Wrong(at(&r), what)),
                Err(Begin::InEntry(open, what)) => {
                    self.open = Some(*open);
                    return Err(Stopped::Wrong(at(&r), what));
                }
            }
        }
        let Some(open) = &mut self.open else {
            return Err(Stopped::Missing(1));
        };
        if open.ready {
            return Ok(Found::Piece(open.at, Place::First));
        }
        let mut r = Cursor::new(&bytes[open.at..]);
        let most = self.options.piece_bytes.saturating_sub(open.at);
        let stop = open.walk.go(&mut r, most);
        open.at = bytes.len() - r.left();
        match stop {
            Ok(Stop::End) if open.in_pieces.is_some() => Ok(Found::Piece(open.at, Place::Last)),
            Ok(Stop::End) => {
                let len = open.at;
                self.open = None;
                Ok(Found::Item(len))
            }
            Ok(Stop::Enough) => {
                open.ready = true;
                Ok(Found::Piece(open.at, Place::First))
            }
            Err(Short::Missing(n)) => Err(Stopped::Missing(n)),
            Err(Short::Bad(m)) => Err(Stopped::Wrong(open.at, What::Malformed(m))),
        }
    }

    /// Hands out everything up to `at`.
    fn batch(&mut self, piece: Option<PieceOf>) -> Batch {
        let mut rest = std::mem::take(&mut self.spare);
        let tail = &self.buf[self.at..self.filled];
        // What a spare one holds need not be cleared.
        if rest.len() < tail.len() {
            rest.clear();
            rest.extend_from_slice(tail);
        } else {
            rest[..tail.len()].copy_from_slice(tail);
        }
        self.filled = tail.len();
        let mut bytes = std::mem::replace(&mut self.buf, rest);
        bytes.truncate(self.at);
        if self.options.verify {
            self.crc = crc64::update(self.crc, &bytes[self.start..]);
        }
        let batch = Batch {
            start: self.start,
            ends: std::mem::take(&mut self.ends),
            base: self.base,
            db: self.batch_db,
            dialect: self.dialect,
            piece,
            bytes,
        };
        self.base += self.at as u64;
        self.start = 0;
        self.at = 0;
        self.batch_db = self.db;
        batch
    }

    /// Hands out a piece of the open entry.
    fn piece(&mut self, len: usize, place: Place) -> Batch {
        let mut piece = None;
        if let Some(open) = &mut self.open {
            let first = open.in_pieces.is_none();
            let key = open.in_pieces.take().unwrap_or_else(|| {
                let mut r = Cursor::new(&self.buf[self.at..][open.key.clone()]);
                r.string().map(|key| key.into_vec()).unwrap_or_default()
            });
            piece = Some(PieceOf {
                place: match place {
                    Place::Last => Place::Last,
                    _ if first => Place::First,
                    _ => Place::Middle,
                },
                elements: std::mem::take(&mut open.walk.passed),
                kind: open.kind,
                key: key.clone(),
                lead: open.lead.clone(),
            });
            open.in_pieces = Some(key);
            open.ready = false;
            open.at = 0;
        }
        if place == Place::Last {
            self.open = None;
        }
        self.at += len;
        self.ends.push(self.at);
        self.batch(piece)
    }
}

enum Begun {
    /// An item that is no entry; it may select a database.
    Item(Option<u32>),
    Entry(Open),
    End,
}

enum Begin {
    Short(Short),
    Wrong(What),
    InEntry(Box<Open>, What),
}

impl From<Short> for Begin {
    fn from(short: Short) -> Begin {
        Begin::Short(short)
    }
}

impl From<Malformed> for Begin {
    fn from(malformed: Malformed) -> Begin {
        Begin::Short(malformed.into())
    }
}

/// Goes past an item, or up to the value of an entry.
#[inline]
fn begin(r: &mut Cursor<'_>, dialect: Dialect, skip_modules: bool) -> Result<Begun, Begin> {
    let whole = r.left();
    let (lead, byte) = lead(r, dialect)?;
    let mut db = None;
    if byte >= opcode::METADATA_OR_IMPORT && lead.any {
        return Err(Begin::Wrong(What::Malformed(Malformed(
            "an expiry or hint that no key follows",
        ))));
    }
    match byte {
        opcode::AUX => {
            r.skip_string()?;
            r.skip_string()?;
        }
        opcode::SELECT => {
            let number = u32::try_from(r.length()?)
                .map_err(|_| Short::Bad(Malformed("the number of a database is out of range")))?;
            db = Some(number);
        }
        opcode::RESIZE => {
            r.length()?;
            r.length()?;
        }
        opcode::SLOT => {
            r.length()?;
            r.length()?;
            r.length()?;
        }
        opcode::FUNCTION => r.skip_string()?,
        opcode::FUNCTION_RC => return Err(Begin::Wrong(What::OldFunction)),
        opcode::METADATA_OR_IMPORT => {
            r.skip_string()?;
            for _ in 0..r.length()? {
                r.length()?;
                r.length()?;
            }
        }
        opcode::MODULE_AUX => {
            let id = r.length()?;
            if !skip_modules {
                return Err(Begin::Wrong(What::Module(metadata::module_name(id))));
            }
            r.length()?;
            r.length()?;
            metadata::skip_module_data(r)?;
        }
        opcode::END => return Ok(Begun::End),
        kind => {
            let Some(walk) = Walk::new(kind, dialect) else {
                if kind != kinds::MODULE {
                    return Err(Begin::Wrong(What::Unknown(kind)));
                }
                return Err(Begin::Wrong(What::Module("of before GA".to_owned())));
            };
            let key_at = whole - r.left();
            r.skip_string()?;
            let open = Open {
                kind,
                key: key_at..whole - r.left(),
                lead,
                walk,
                at: whole - r.left(),
                in_pieces: None,
                ready: false,
            };
            if !skip_modules {
                if let Some(class) = open.lead.class.clone() {
                    return Err(Begin::InEntry(Box::new(open), What::Metadata(class)));
                }
                if kind == kinds::MODULE_2 {
                    let name = metadata::module_name(r.length()?);
                    return Err(Begin::InEntry(Box::new(open), What::Module(name)));
                }
            }
            return Ok(Begun::Entry(open));
        }
    }
    Ok(Begun::Item(db))
}
