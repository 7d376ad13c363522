//! Reading a log back.
//!
//! [`LogReader::next`] gives its parts in order: the RDB a file may begin with, then runs of whole commands, as bytes. What it
//! gave is final: a piece comes only after its checksum was found right, and a transaction only with its EXEC.
//!
//! # Where the bytes are not what they should be
//!
//! Only the last file may end anywhere, and only there may something be cut; anywhere else is an error. There:
//!
//! - The file ends within a piece, a command or a transaction. That is a *torn* end, cut back to before it if
//!   `aof-load-truncated` allows.
//! - A piece is not what its checksum says, its line is unreadable, or what follows is neither. If a line further on vouches that
//!   the place was on the disk, or numbers do not follow each other, it is *damage*. If lines further on do not, or
//!   the piece is the very last, or zeros stand where it ends or where its line should be, it is what a power failure leaves of
//!   writes that were never synced: torn too, however much looks whole behind it. Files of `appendfsync no` vouch for nothing; only
//!   zeros are evidence there.
//! - Behind room that is laid out for pieces (`room.rs`) stands something before the room ends: it was written after something that is
//!   missing, and not synced with it, unless a line further on vouches for that. Torn, from where the room begins.
//! - Commands of other servers have no checksum. Zeros from some place up to the end count as torn, other bytes as damage.
//!
//! Damage no larger than `aof-load-corrupt-tail-max-size`, counted to the end of the file, is cut as well. Nothing is changed
//! here: a [`Cut`] says what has to be done, and does it when asked to.

use crate::command::{self, Found, MAX_ANNOTATION, Word};
use crate::disk::Disk;
use crate::error::{LogError, LogErrorKind};
use crate::folder::AofFolder;
use crate::piece::{Header, MAX_LINE, PREFIX, ReadHeader, StreamLine};
use crate::room;
pub use damage::Cut;
use damage::{Wrong, look_ahead};
use std::path::{Path, PathBuf};
use std::sync::Arc;
pub use window::RdbPart;
use window::Window;

mod damage;
mod window;

/// What may be cut from the last file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// `aof-load-truncated`
    pub load_truncated: bool,
    /// `aof-load-corrupt-tail-max-size`
    pub corrupt_tail_max: u64,
}

impl Default for ReadOptions {
    fn default() -> ReadOptions {
        ReadOptions {
            load_truncated: true,
            corrupt_tail_max: 0,
        }
    }
}

/// A part of a log.
#[derive(Debug)]
pub enum Event<'a> {
    /// The file begins with an RDB: to be read up to its end, not further, before the next part is asked for.
    Rdb(RdbPart<'a>),
    /// Whole commands.
    Commands(Commands<'a>),
    /// There is nothing more.
    End(Summary),
}

/// Whole commands that follow each other, transactions complete.
#[derive(Debug)]
pub struct Commands<'a> {
    /// Arrays of bulk strings, nothing between them.
    pub bytes: &'a [u8],
    /// How many.
    pub count: u64,
    path: &'a Path,
    segments: &'a [Segment],
}

impl Commands<'_> {
    /// The error that the command at this place in `bytes` cannot be carried out.
    pub fn refuse(&self, at: usize, what: impl Into<String>) -> LogError {
        LogError::at(LogErrorKind::Refused, self.path, self.offset(at), what)
    }

    /// Where in the file a place in `bytes` is.
    pub fn offset(&self, at: usize) -> u64 {
        let after = self.segments.partition_point(|s| s.start <= at);
        match self.segments[..after].last() {
            Some(segment) => segment.offset + (at - segment.start) as u64,
            None => at as u64,
        }
    }
}

/// Where a stretch of given bytes comes from.
#[derive(Clone, Copy, Debug)]
struct Segment {
    start: usize,
    offset: u64,
}

/// What was found in a whole log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The last piece's number; 0 if there are none.
    pub last: u64,
    /// The last piece that the log vouches for.
    pub synced: Option<u64>,
    /// Commands that were given.
    pub commands: u64,
    /// Bytes of all files, without what is to be cut and room.
    pub bytes: u64,
    /// Bytes behind them, at the end of the last file, that are room for pieces to come.
    pub room: u64,
    /// What has to be cut before the log is used any further.
    pub cut: Option<Cut>,
    /// Where it was not read any further, since what follows is later than was asked for ([`LogReader::only_until`]).
    pub later: Option<Later>,
    /// The name of the stream of changes that replicas follow, and its bytes so far, where the log ends. None if that is not known.
    pub stream: Option<StreamLine>,
}

/// Where what is later than some moment begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Later {
    /// The file.
    pub path: PathBuf,
    /// The place in it.
    pub offset: u64,
    /// It is the last file.
    pub is_last: bool,
    /// Something stands before that in the file.
    pub follows: bool,
}

/// Reads the files of a log one after the other.
pub struct LogReader {
    disk: Arc<dyn Disk>,
    options: ReadOptions,
    /// With the piece that came before, where that is known.
    files: Vec<(PathBuf, Option<u64>)>,
    /// What a line in a piece said last of the stream.
    stream: StreamLine,
    /// The last piece, once that is known.
    last: Option<u64>,
    /// The file after the one being read.
    next_file: usize,
    window: Option<Window>,
    rdb_given: bool,
    /// Bytes of the files before this one, and of all.
    bytes_before: u64,
    total: u64,
    /// What is given next.
    out: Vec<u8>,
    segments: Vec<Segment>,
    count: u64,
    /// A transaction that is open, where it began in `out` and in the file, and the count of commands before it.
    multi: Option<(usize, u64, u64)>,
    /// What came last in this file is one of our pieces.
    after_piece: bool,
    /// What came last is room, which begins there; and it has ended.
    room: Option<(u64, bool)>,
    /// What a timestamp says is later is not read (seconds since 1970).
    until: Option<u64>,
    /// This file has a command, or an RDB.
    has_any: bool,
    summary: Summary,
    ended: bool,
}

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogReader")
            .field("files", &self.files)
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

/// Bytes of commands that are given at once, or a little more.
const GIVE: usize = 256 * 1024;

impl LogReader {
    /// The log that a manifest lists.
    pub fn open(folder: &AofFolder, options: ReadOptions) -> Result<LogReader, LogError> {
        LogReader::of(folder.disk(), folder.chain(), options)
    }

    /// A log of one file.
    pub fn file(
        disk: &Arc<dyn Disk>,
        path: &Path,
        options: ReadOptions,
    ) -> Result<LogReader, LogError> {
        LogReader::of(disk, vec![(path.to_owned(), None)], options)
    }

    pub(crate) fn of(
        disk: &Arc<dyn Disk>,
        files: Vec<(PathBuf, Option<u64>)>,
        options: ReadOptions,
    ) -> Result<LogReader, LogError> {
        let mut total = 0;
        for (path, _) in &files {
            let size = disk.size(path);
            let size = size.map_err(|e| LogError::io(path, "look at it", &e))?;
            total += size.ok_or_else(|| LogError::manifest(path, "is missing"))?;
        }
        Ok(LogReader {
            disk: Arc::clone(disk),
            options,
            files,
            stream: StreamLine::default(),
            last: None,
            next_file: 0,
            window: None,
            rdb_given: false,
            bytes_before: 0,
            total,
            out: Vec::new(),
            segments: Vec::new(),
            count: 0,
            multi: None,
            after_piece: false,
            room: None,
            until: None,
            has_any: false,
            summary: Summary::default(),
            ended: false,
        })
    }

    /// Ends where a timestamp (`aof-timestamp-enabled`) is later than this, in seconds since 1970.
    #[must_use]
    pub(crate) fn only_until(mut self, unix_seconds: u64) -> LogReader {
        self.until = Some(unix_seconds);
        self
    }

    /// Bytes read so far, and bytes of all files.
    pub fn position(&self) -> (u64, u64) {
        let here = self.window.as_ref().map_or(0, |w| w.offset);
        (self.bytes_before + here, self.total)
    }

    /// The next part. After an error or the end there is nothing more to ask for.
    // Not an iterator: what it gives is lent.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Event<'_>, LogError> {
        self.out.clear();
        self.segments.clear();
        self.count = 0;
        while !self.ended && (self.multi.is_some() || self.out.len() < GIVE) {
            let Some(window) = &mut self.window else {
                if !self.open_next()? {
                    self.ended = true;
                }
                continue;
            };
            if window.offset == 0 && !self.rdb_given {
                self.rdb_given = true;
                let start = window.peek(6)?;
                if start.starts_with(b"REDIS") || start.starts_with(b"VALKEY") {
                    self.has_any = true;
                    break;
                }
            }
            if window.left() == 0 {
                if let Some((_, at, _)) = self.multi {
                    self.wrong(at, Wrong::EndsUnchecked, "a transaction without its EXEC")?;
                    continue;
                }
                let end = self.room.map_or(window.size, |(at, _)| at);
                self.summary.room = window.size - end;
                self.bytes_before += end;
                self.window = None;
                if !self.out.is_empty() {
                    // What is given comes from one file.
                    break;
                }
                continue;
            }
            self.step()?;
        }
        if self.out.is_empty() {
            return match &mut self.window {
                Some(window) if !self.ended => Ok(Event::Rdb(RdbPart { window })),
                _ => {
                    self.summary.bytes = self.bytes_before;
                    Ok(Event::End(self.summary.clone()))
                }
            };
        }
        self.summary.commands += self.count;
        Ok(Event::Commands(Commands {
            bytes: &self.out,
            count: self.count,
            path: &self.files[self.next_file - 1].0,
            segments: &self.segments,
        }))
    }

    fn open_next(&mut self) -> Result<bool, LogError> {
        let Some((path, after)) = self.files.get(self.next_file) else {
            return Ok(false);
        };
        if let Some(after) = *after {
            if let Some(last) = self.last.filter(|&last| last != after) {
                let what =
                    format!("follows piece {after}, but the files before it end with {last}");
                return Err(LogError::at(LogErrorKind::Damaged, path, 0, what));
            }
            self.last = Some(after);
            self.summary.last = after;
        }
        let window = Window::open(&*self.disk, path);
        self.window = Some(window.map_err(|e| LogError::io(path, "open it", &e))?);
        self.next_file += 1;
        self.rdb_given = false;
        self.has_any = false;
        self.after_piece = false;
        self.room = None;
        self.summary.room = 0;
        Ok(true)
    }

    /// One command, annotation or piece.
    fn step(&mut self) -> Result<(), LogError> {
        let Some(window) = &mut self.window else {
            return Ok(());
        };
        let at = window.offset;
        let bytes = window.peek(MAX_LINE)?;
        if !(bytes.starts_with(b"*") || bytes.starts_with(PREFIX)) {
            let bytes = window.peek(room::MOST)?;
            let begins = self.room.map_or(at, |(begins, _)| begins);
            match room::find(bytes, at) {
                room::Found::Room(length) => {
                    window.skip(length);
                    self.room = Some((begins, false));
                    return Ok(());
                }
                room::Found::End(length) => {
                    window.skip(length);
                    self.room = Some((begins, true));
                    return Ok(());
                }
                room::Found::Like => {
                    return self.wrong(begins, Wrong::Room, "room for pieces is not whole");
                }
                room::Found::Other => {}
            }
        }
        if let Some((begins, ended)) = self.room.take()
            && !ended
        {
            let what = "something stands behind room for pieces";
            return self.wrong(begins, Wrong::Room, what);
        }
        let bytes = window.peek(MAX_LINE)?;
        if bytes.starts_with(PREFIX) || PREFIX.starts_with(bytes) {
            return match Header::read(bytes) {
                ReadHeader::Line(header, length) => self.piece(at, header, length),
                ReadHeader::Incomplete if bytes.len() < MAX_LINE => {
                    self.wrong(at, Wrong::Ends, "the line before a piece ends early")
                }
                ReadHeader::Incomplete | ReadHeader::Invalid => self.wrong(
                    at,
                    Wrong::Differs,
                    "the line before a piece is not readable",
                ),
            };
        }
        let mut need = MAX_LINE;
        loop {
            let bytes = window.peek(need)?;
            let have = bytes.len();
            match command::find(bytes) {
                Found::Command(length, word) => {
                    let start = self.out.len();
                    match self.segments.last() {
                        Some(s) if s.offset + (start - s.start) as u64 == at => {}
                        _ => self.segments.push(Segment { start, offset: at }),
                    }
                    match (word, self.multi) {
                        (Word::Multi, None) => self.multi = Some((start, at, self.count)),
                        (Word::Exec, Some(_)) => self.multi = None,
                        _ => {}
                    }
                    window.take(length, &mut self.out)?;
                    self.count += 1;
                    self.has_any = true;
                    self.summary.stream = None;
                    self.after_piece = false;
                    return Ok(());
                }
                Found::Annotation(length) => {
                    let line = &bytes[..length];
                    // One of our lines whose first bytes are damaged must not pass for somebody's remark: what is behind it
                    // would count without being checked.
                    let readable = line.trim_ascii_end().iter().all(u8::is_ascii_graphic);
                    if !readable || self.last.is_some() && !line.starts_with(b"#TS:") {
                        return self.wrong(at, Wrong::Differs, "an annotation of an unknown kind");
                    }
                    if is_later(line, self.until) {
                        self.end_before(at);
                        return Ok(());
                    }
                    window.skip(length);
                    return Ok(());
                }
                Found::Incomplete(more) => {
                    let left = window.left();
                    if have as u64 >= left || more as u64 > left {
                        return self.wrong(at, Wrong::EndsUnchecked, "a command ends early");
                    }
                    need = more.max(have + 1);
                }
                Found::Invalid(what) => return self.wrong(at, Wrong::Differs, what),
            }
        }
    }

    fn piece(&mut self, at: u64, header: Header, line: usize) -> Result<(), LogError> {
        let Some(window) = &mut self.window else {
            return Ok(());
        };
        let number = header.number;
        if self.multi.is_some() {
            return self.wrong(at, Wrong::Gap, "a piece begins inside a transaction");
        }
        let next = number.checked_sub(u64::from(!header.is_mark()));
        if let Some(last) = self.last.filter(|&last| next != Some(last)) {
            let what = format!("piece {number} follows piece {last}");
            return self.wrong(at, Wrong::Gap, &what);
        }
        if header.bytes > window.left() - line as u64 {
            let what = format!("piece {number} ends early");
            return self.wrong(at, Wrong::Ends, &what);
        }
        // No more than the file has.
        let length = header.bytes as usize;
        let start = self.out.len();
        window.skip(line);
        let offset = window.offset;
        window.take(length, &mut self.out)?;
        if self.out.len() - start != length || crc32c::crc32c(&self.out[start..]) != header.crc {
            self.out.truncate(start);
            let what = format!("piece {number} is not what its checksum says");
            return self.wrong(at, Wrong::Piece(header), &what);
        }
        if is_later(&self.out[start..], self.until) {
            self.out.truncate(start);
            self.end_before(at);
            return Ok(());
        }
        self.has_any |= !header.is_mark();
        if !header.is_mark() {
            // It says so itself, or it is not known any more.
            self.summary.stream = None;
        }
        if let Err((position, what)) = self.commands(start, offset) {
            self.out.truncate(start);
            return Err(LogError::at(
                LogErrorKind::Damaged,
                &self.files[self.next_file - 1].0,
                position,
                format!("piece {number} was written wrong: {what}"),
            ));
        }
        self.last = Some(number);
        self.summary.last = number;
        self.summary.synced = self.summary.synced.max(header.synced);
        self.after_piece = true;
        Ok(())
    }

    /// Walks through the commands of a piece in `out`, and takes out annotations. The error says where in the file.
    fn commands(&mut self, start: usize, offset: u64) -> Result<(), (u64, &'static str)> {
        let (mut at, mut taken_out) = (start, 0);
        let mut transaction = false;
        let mut expect_segment = true;
        while at < self.out.len() {
            let position = offset + (at - start + taken_out) as u64;
            match command::find(&self.out[at..]) {
                Found::Command(length, word) => {
                    if std::mem::take(&mut expect_segment) {
                        self.segments.push(Segment {
                            start: at,
                            offset: position,
                        });
                    }
                    match word {
                        Word::Multi => transaction = true,
                        Word::Exec => transaction = false,
                        Word::Other => {}
                    }
                    self.count += 1;
                    at += length;
                }
                Found::Annotation(length) => {
                    if self.stream.read(&self.out[at..at + length]) {
                        self.summary.stream = Some(self.stream.clone());
                    }
                    self.out.drain(at..at + length);
                    taken_out += length;
                    expect_segment = true;
                }
                Found::Incomplete(_) => return Err((position, "its last command is not whole")),
                Found::Invalid(what) => return Err((position, what)),
            }
        }
        if transaction {
            return Err((
                offset + (at - start + taken_out) as u64,
                "its transaction has no EXEC",
            ));
        }
        Ok(())
    }

    /// What follows is later than was asked for.
    fn end_before(&mut self, at: u64) {
        let Some(window) = self.window.take() else {
            return;
        };
        let mut offset = at;
        if let Some((start, at, count)) = self.multi.take() {
            // Nothing of an open transaction counts.
            self.out.truncate(start);
            (self.count, offset) = (count, at);
        }
        self.summary.later = Some(Later {
            path: window.path,
            offset,
            is_last: self.next_file == self.files.len(),
            follows: self.has_any,
        });
        self.bytes_before += offset;
        self.ended = true;
    }

    /// Something is wrong from this offset on: either it is to be cut, and that is the end, or it is an error.
    fn wrong(&mut self, at: u64, wrong: Wrong, what: &str) -> Result<(), LogError> {
        let Some(window) = &self.window else {
            return Ok(());
        };
        let path = window.path.clone();
        let error = |kind, what: String| Err(LogError::at(kind, &path, at, what));
        if self.next_file < self.files.len() {
            let what = format!("{what}; only the last file of a log may be cut");
            return error(LogErrorKind::Damaged, what);
        }
        let (torn, pieces_behind, why) = self.judge(window, at, wrong)?;
        let why = format!("{what}{why}");
        // Nothing of an open transaction counts.
        let offset = self.multi.map_or(at, |(_, at, _)| at);
        let bytes = window.size - offset;
        let max = self.options.corrupt_tail_max;
        if !(torn && self.options.load_truncated || bytes <= max) {
            return if torn {
                let what = format!(
                    "{why}; aof-load-truncated is off, so that the {bytes} bytes from there on are not cut"
                );
                error(LogErrorKind::Torn, what)
            } else {
                let what = format!(
                    "{why}; the {bytes} bytes from there on are more than aof-load-corrupt-tail-max-size ({max}) allows to cut"
                );
                error(LogErrorKind::Damaged, what)
            };
        }
        if let Some((start, _, count)) = self.multi.take() {
            self.out.truncate(start);
            self.count = count;
        }
        self.summary.cut = Some(Cut {
            path,
            offset,
            bytes,
            why,
            damaged: !torn,
            pieces_behind,
            keep: !matches!(wrong, Wrong::Ends | Wrong::EndsUnchecked),
        });
        self.bytes_before += offset;
        self.window = None;
        self.ended = true;
        Ok(())
    }

    /// Whether what is wrong from here on is what a crash leaves of writes that nobody was promised, and what speaks for that
    /// or against it.
    fn judge(
        &self,
        window: &Window,
        at: u64,
        wrong: Wrong,
    ) -> Result<(bool, u64, String), LogError> {
        if wrong == Wrong::Ends {
            // What looks like lines further on is text within the piece.
            return Ok((true, 0, String::new()));
        }
        let found = look_ahead(window, at, self.last.unwrap_or(0), wrong)
            .map_err(|e| LogError::io(&window.path, "read it", &e))?;
        let missing = self.last.unwrap_or(0) + 1;
        if let Some(vouched) = found.synced.filter(|&synced| synced >= missing) {
            let why = format!(
                ", though it was on the disk: a line further on vouches for everything up to piece {vouched}"
            );
            return Ok((false, found.pieces, why));
        }
        let ours = self.after_piece || found.ours || found.pieces > 0;
        let torn = match wrong {
            Wrong::Ends | Wrong::EndsUnchecked | Wrong::Room => true,
            Wrong::Gap => false,
            Wrong::Differs if found.ends_as_room => true,
            Wrong::Differs | Wrong::Piece(_) if found.zeros_from_here => true,
            Wrong::Differs | Wrong::Piece(_) if !ours => false,
            Wrong::Differs | Wrong::Piece(_)
                if found.ends_in_zeros || found.zeros_in_line || found.pieces > 0 =>
            {
                found.all_synced || found.ends_in_zeros
            }
            Wrong::Differs => false,
            Wrong::Piece(header) => found.alone && header.synced.is_some(),
        };
        let why = if torn && ours && wrong != Wrong::EndsUnchecked {
            ", and no line further on says that it was on the disk"
        } else {
            ""
        };
        Ok((torn, found.pieces, why.to_owned()))
    }
}

/// Whether bytes begin with a timestamp that is later than this.
fn is_later(bytes: &[u8], until: Option<u64>) -> bool {
    let Some(until) = until else { return false };
    let Some(digits) = bytes.strip_prefix(b"#TS:") else {
        return false;
    };
    let end = digits.iter().position(|b| !b.is_ascii_digit());
    let time = str::from_utf8(&digits[..end.unwrap_or(digits.len())]).map(str::parse::<u64>);
    matches!(time, Ok(Ok(time)) if time > until)
}

/// Longest annotations are longer than our lines, so that what is looked at for the one suffices for the other.
const _: () = assert!(MAX_LINE < MAX_ANNOTATION);
