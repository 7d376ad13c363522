//! Writing replies.
//!
//! An [`Out`] collects the replies to one connection's batch of commands in a single byte buffer, so that they leave
//! in a single write. Handlers say what they mean (`map`, `double`, `null`) and `Out` chooses the RESP2 or RESP3 form.
//!
//! Large strings are not copied: [`Out::shared`] keeps a reference to the stored bytes and remembers at which place
//! of the buffer they belong. The socket then gets a vectored write of buffer, string, buffer, string ...
//! ([`Out::slices`]); a buffer with no such strings is one slice ([`Out::as_bytes`]).
//!
//! Some replies know their length only once they are written. [`Out::begin_array`] returns a [`Mark`], and
//! [`Out::end_array`] inserts the header there by moving what follows. Marks nest; ending or rolling back to a mark
//! invalidates the marks taken after it.

use std::fmt::{Display, Write as _};
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

use crate::number::{format_f64, format_i64};
use crate::{Proto, ProtocolError};

/// Strings shorter than this are copied by [`Out::shared`]: below it a copy costs less than one more slice in a write.
pub const SHARE_THRESHOLD: usize = 16 * 1024;

/// [`Out::clear`] keeps a buffer up to this capacity, so that one big reply does not pin memory on an idle connection.
const KEEP_CAPACITY: usize = 64 * 1024;

/// A reference-counted string spliced into the buffer.
#[derive(Clone, Debug)]
struct Chunk {
    /// The string goes before `buf[at]`.
    at: usize,
    /// Bytes of all chunks before this one, so that `at + before` is the chunk's place in the whole output.
    before: usize,
    bytes: Arc<Vec<u8>>,
    range: Range<usize>,
}

/// Replies of one connection's batch: a byte buffer plus large reference-counted strings spliced in without copying.
#[derive(Clone, Debug, Default)]
pub struct Out {
    proto: Proto,
    buf: Vec<u8>,
    chunks: Vec<Chunk>,
    /// Total bytes of `chunks`.
    shared: usize,
    /// Bytes that may still be added, in all, before it is over; 0: as many as there are.
    bound: usize,
    over: bool,
}

/// A place in an [`Out`], to insert a header at ([`Out::end_array`]) or to go back to ([`Out::rollback`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Mark {
    buf: usize,
    chunks: usize,
}

/// A header line, `*12\r\n`, built on the stack.
struct Header {
    bytes: [u8; 24],
    len: usize,
}

impl Header {
    #[inline]
    fn new(tag: u8, n: usize) -> Header {
        let mut bytes = [0; 24];
        bytes[0] = tag;
        let mut digits = [0; 20];
        // Lengths come from slices and collections, which hold at most isize::MAX elements.
        let digits = format_i64(i64::try_from(n).unwrap_or(i64::MAX), &mut digits);
        let end = 1 + digits.len();
        bytes[1..end].copy_from_slice(digits);
        bytes[end] = b'\r';
        bytes[end + 1] = b'\n';
        Header {
            bytes,
            len: end + 2,
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Out {
    /// An empty output; nothing is allocated until the first reply.
    pub fn new(proto: Proto) -> Out {
        Out {
            proto,
            ..Out::default()
        }
    }

    /// The version replies are written in.
    pub fn proto(&self) -> Proto {
        self.proto
    }

    /// Changes the version for what is written from now on.
    pub fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
    }

    /// Bounds what is added from now on to so many bytes, `usize::MAX` being no bound. Once more is added than that the output
    /// is over: what is in it is dropped, and all that is still added, so that it takes no more memory. The bound is kept to
    /// where memory is asked for, not to the byte.
    #[inline]
    pub fn bound(&mut self, bytes: usize) {
        self.bound = match bytes {
            usize::MAX => 0,
            bytes => self.len().saturating_add(bytes).max(1),
        };
    }

    /// Whether more was added than the bound allows. Until [`Out::clear`] it stays so.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Makes room for so many bytes.
    #[inline]
    fn room(&mut self, bytes: usize) {
        if self.buf.capacity() - self.buf.len() < bytes {
            self.grow(bytes);
        }
    }

    #[cold]
    fn grow(&mut self, bytes: usize) {
        self.weigh(bytes);
        self.buf.reserve(bytes);
    }

    /// Drops everything if so many bytes more are too many.
    fn weigh(&mut self, bytes: usize) {
        if self.over || self.bound > 0 && self.len() + bytes > self.bound {
            self.over = true;
            self.buf.clear();
            self.chunks.clear();
            self.shared = 0;
        }
    }

    fn resp3(&self) -> bool {
        self.proto == Proto::Resp3
    }

    /// Writes `tag n CR LF`. Lengths below 100 cover nearly all replies and take the short ways.
    #[inline]
    fn header(&mut self, tag: u8, n: usize) {
        if n < 10 {
            self.buf
                .extend_from_slice(&[tag, b'0' + n as u8, b'\r', b'\n']);
        } else if n < 100 {
            let n = n as u8;
            self.buf
                .extend_from_slice(&[tag, b'0' + n / 10, b'0' + n % 10, b'\r', b'\n']);
        } else {
            self.buf.extend_from_slice(Header::new(tag, n).as_bytes());
        }
    }

    /// Writes `tag text CR LF`, line breaks in the text becoming spaces.
    fn line(&mut self, tag: u8, text: &[u8]) {
        self.room(text.len() + 3);
        self.buf.push(tag);
        self.buf.extend(
            text.iter()
                .map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }),
        );
        self.buf.extend_from_slice(b"\r\n");
    }

    /// A simple string, `+OK`. Line breaks, which it cannot hold, become spaces.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.buf.extend_from_slice(b"+OK\r\n");
    }

    /// An error; `line` starts with its code, as in `"ERR syntax error"`. Line breaks at either end are dropped,
    /// those inside become spaces.
    pub fn error(&mut self, line: &str) {
        self.error_bytes(line.as_bytes());
    }

    /// [`Out::error`] for a line that quotes bytes of the request, which need not be UTF-8.
    pub fn error_bytes(&mut self, line: &[u8]) {
        let breaks = |b: &u8| matches!(b, b'\r' | b'\n');
        let start = line.iter().position(|b| !breaks(b)).unwrap_or(line.len());
        let end = line
            .iter()
            .rposition(|b| !breaks(b))
            .map_or(start, |last| last + 1);
        self.line(b'-', &line[start..end]);
    }

    /// `-ERR Protocol error: ...`, the last reply before the connection closes.
    pub fn protocol_error(&mut self, error: &ProtocolError) {
        let mut line = b"ERR Protocol error: ".to_vec();
        error.write_text(&mut line);
        self.error_bytes(&line);
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, n: i64) {
        if (0..10).contains(&n) {
            self.buf
                .extend_from_slice(&[b':', b'0' + n as u8, b'\r', b'\n']);
        } else {
            let mut digits = [0; 20];
            let digits = format_i64(n, &mut digits);
            self.room(digits.len() + 3);
            self.buf.push(b':');
            self.buf.extend_from_slice(digits);
            self.buf.extend_from_slice(b"\r\n");
        }
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.room(bytes.len() + 26);
        self.header(b'$', bytes.len());
        self.buf.extend_from_slice(bytes);
        self.buf.extend_from_slice(b"\r\n");
    }

    /// An integer as a bulk string, as GET answers for a value stored as an integer.
    pub fn bulk_int(&mut self, n: i64) {
        let mut digits = [0; 20];
        let digits = format_i64(n, &mut digits);
        self.bulk(digits);
    }

    /// Anything printable as a bulk string.
    pub fn bulk_display(&mut self, text: impl Display) {
        struct Append<'a>(&'a mut Vec<u8>);
        impl std::fmt::Write for Append<'_> {
            fn write_str(&mut self, s: &str) -> std::fmt::Result {
                self.0.extend_from_slice(s.as_bytes());
                Ok(())
            }
        }
        let mark = self.mark();
        // Appending to memory cannot fail; a Display that gives up halfway leaves what it wrote, still well framed.
        let _ = write!(Append(&mut self.buf), "{text}");
        self.insert_header(mark, b'$', self.buf.len() - mark.buf);
        self.buf.extend_from_slice(b"\r\n");
    }

    /// No value: `$-1` in RESP2, `_` in RESP3.
    #[inline]
    pub fn null(&mut self) {
        self.buf
            .extend_from_slice(if self.resp3() { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// No array: `*-1` in RESP2, `_` in RESP3.
    pub fn null_array(&mut self) {
        self.buf
            .extend_from_slice(if self.resp3() { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// The header of an array; `n` replies must follow.
    #[inline]
    pub fn array(&mut self, n: usize) {
        self.header(b'*', n);
    }

    /// The header of a map; `pairs` times two replies must follow. In RESP2 an array of twice as many.
    pub fn map(&mut self, pairs: usize) {
        let (tag, n) = self.map_form(pairs);
        self.header(tag, n);
    }

    /// The header of a set; `n` replies must follow. In RESP2 an array.
    pub fn set(&mut self, n: usize) {
        let tag = self.set_tag();
        self.header(tag, n);
    }

    /// The header of a push message; `n` replies must follow. In RESP2 an array.
    pub fn push(&mut self, n: usize) {
        let tag = if self.resp3() { b'>' } else { b'*' };
        self.header(tag, n);
    }

    /// The header of an attribute that annotates the reply after it; `pairs` times two replies must follow.
    ///
    /// RESP2 has no attributes: nothing is written, false is returned, and the caller must leave the pairs out.
    #[must_use]
    pub fn attribute(&mut self, pairs: usize) -> bool {
        if self.resp3() {
            self.header(b'|', pairs);
        }
        self.resp3()
    }

    fn map_form(&self, pairs: usize) -> (u8, usize) {
        if self.resp3() {
            (b'%', pairs)
        } else {
            (b'*', pairs * 2)
        }
    }

    fn set_tag(&self) -> u8 {
        if self.resp3() { b'~' } else { b'*' }
    }

    /// A double: `,3.5` in RESP3, a bulk string in RESP2; the text is that of [`format_f64`].
    pub fn double(&mut self, value: f64) {
        if self.resp3() {
            self.buf.push(b',');
            format_f64(value, &mut self.buf);
        } else {
            let mark = self.mark();
            format_f64(value, &mut self.buf);
            self.insert_header(mark, b'$', self.buf.len() - mark.buf);
        }
        self.buf.extend_from_slice(b"\r\n");
    }

    /// A boolean: `#t` or `#f` in RESP3, `:1` or `:0` in RESP2.
    pub fn bool(&mut self, value: bool) {
        self.buf.extend_from_slice(match (self.resp3(), value) {
            (true, true) => b"#t\r\n",
            (true, false) => b"#f\r\n",
            (false, true) => b":1\r\n",
            (false, false) => b":0\r\n",
        });
    }

    /// An integer of any size given as its decimal digits: `(123` in RESP3, a bulk string in RESP2.
    pub fn big_number(&mut self, digits: &str) {
        if self.resp3() {
            self.line(b'(', digits.as_bytes());
        } else {
            self.bulk(digits.as_bytes());
        }
    }

    /// Text with a three-letter format (`txt`, `mkd`): a verbatim string in RESP3, a bulk string in RESP2.
    ///
    /// A shorter `ext` is filled up with spaces and a longer one cut, as the format has exactly three bytes.
    pub fn verbatim(&mut self, ext: &str, bytes: &[u8]) {
        if !self.resp3() {
            return self.bulk(bytes);
        }
        let mut tag = [b' ', b' ', b' ', b':'];
        for (to, from) in tag[..3].iter_mut().zip(ext.bytes()) {
            *to = from;
        }
        self.room(bytes.len() + 30);
        self.header(b'=', bytes.len() + tag.len());
        self.buf.extend_from_slice(&tag);
        self.buf.extend_from_slice(bytes);
        self.buf.extend_from_slice(b"\r\n");
    }

    /// A bulk string by reference, without copying it; one below [`SHARE_THRESHOLD`] is copied after all.
    pub fn shared(&mut self, bytes: &Arc<Vec<u8>>) {
        self.shared_range(bytes, 0..bytes.len());
    }

    /// Part of a bulk string by reference, as for GETRANGE. A range beyond the end is cut to it.
    pub fn shared_range(&mut self, bytes: &Arc<Vec<u8>>, range: Range<usize>) {
        let end = range.end.min(bytes.len());
        let start = range.start.min(end);
        let len = end - start;
        if len < SHARE_THRESHOLD {
            return self.bulk(&bytes[start..end]);
        }
        self.weigh(len);
        self.header(b'$', len);
        let chunk = Chunk {
            at: self.buf.len(),
            before: self.shared,
            bytes: Arc::clone(bytes),
            range: start..end,
        };
        self.chunks.push(chunk);
        self.shared += len;
        self.buf.extend_from_slice(b"\r\n");
    }

    /// This place, for [`Out::rollback`].
    pub fn mark(&self) -> Mark {
        Mark {
            buf: self.buf.len(),
            chunks: self.chunks.len(),
        }
    }

    /// Bytes written since `mark`.
    pub fn since(&self, mark: Mark) -> usize {
        let chunks = self.chunks.get(mark.chunks..).unwrap_or_default();
        let shared: usize = chunks.iter().map(|chunk| chunk.range.len()).sum();
        self.buf.len().saturating_sub(mark.buf) + shared
    }

    /// Forgets everything written since `mark`: for a handler that fails after part of its reply.
    pub fn rollback(&mut self, mark: Mark) {
        self.buf.truncate(mark.buf);
        if let Some(first) = self.chunks.get(mark.chunks) {
            self.shared = first.before;
            self.chunks.truncate(mark.chunks);
        }
    }

    /// Starts an array whose length is not known yet; [`Out::end_array`] completes it.
    pub fn begin_array(&mut self) -> Mark {
        self.mark()
    }

    /// Makes what was written since `mark` an array of `n` elements.
    pub fn end_array(&mut self, mark: Mark, n: usize) {
        self.insert_header(mark, b'*', n);
    }

    /// Makes what was written since `mark` a set of `n` elements.
    pub fn end_set(&mut self, mark: Mark, n: usize) {
        self.insert_header(mark, self.set_tag(), n);
    }

    /// Makes what was written since `mark` a map of `pairs` pairs.
    pub fn end_map(&mut self, mark: Mark, pairs: usize) {
        let (tag, n) = self.map_form(pairs);
        self.insert_header(mark, tag, n);
    }

    /// Moves what follows `mark` to make room for a header there.
    fn insert_header(&mut self, mark: Mark, tag: u8, n: usize) {
        let header = Header::new(tag, n);
        let Some(moved) = self.buf.len().checked_sub(mark.buf) else {
            // The mark is older than a rollback or clear: there is nothing it could be a header of.
            return self.header(tag, n);
        };
        self.buf.extend_from_slice(header.as_bytes());
        if moved > 0 {
            self.buf
                .copy_within(mark.buf..mark.buf + moved, mark.buf + header.len);
            self.buf[mark.buf..mark.buf + header.len].copy_from_slice(header.as_bytes());
        }
        for chunk in self.chunks.iter_mut().skip(mark.chunks) {
            chunk.at += header.len;
        }
    }

    /// Appends bytes that are already in the protocol's form.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.room(bytes.len());
        self.buf.extend_from_slice(bytes);
    }

    /// The same for bytes that others send as well, by reference unless they are below [`SHARE_THRESHOLD`].
    pub fn raw_shared(&mut self, bytes: &Arc<Vec<u8>>) {
        if bytes.len() < SHARE_THRESHOLD {
            return self.raw(bytes);
        }
        self.chunks.push(Chunk {
            at: self.buf.len(),
            before: self.shared,
            bytes: Arc::clone(bytes),
            range: 0..bytes.len(),
        });
        self.shared += bytes.len();
    }

    /// Appends all of `other`, its shared strings by reference, and leaves it empty.
    pub fn append(&mut self, other: &mut Out) {
        self.over |= other.over;
        self.weigh(other.len());
        for mut chunk in other.chunks.drain(..) {
            chunk.at += self.buf.len();
            chunk.before += self.shared;
            self.chunks.push(chunk);
        }
        self.shared += other.shared;
        self.room(other.buf.len());
        self.buf.extend_from_slice(&other.buf);
        other.clear();
    }

    /// Bytes to send, shared strings included.
    pub fn len(&self) -> usize {
        self.buf.len() + self.shared
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory this output holds on its own account: the shared strings belong to the keyspace as well.
    pub fn capacity(&self) -> usize {
        self.buf.capacity() + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// Bytes of the shared strings that are others' account, if everybody who has one of them bears an equal part of it.
    pub fn borne_by_others(&self) -> usize {
        let part = |chunk: &Chunk| chunk.range.len() / Arc::strong_count(&chunk.bytes);
        let own: usize = self.chunks.iter().map(part).sum();
        self.shared - own
    }

    /// Forgets everything, its bound too. Keeps the buffer if it is at most 64 KiB, shrinks it to that if it is larger.
    pub fn clear(&mut self) {
        self.buf.clear();
        if self.buf.capacity() > KEEP_CAPACITY {
            self.buf.shrink_to(KEEP_CAPACITY);
        }
        self.chunks.clear();
        if self.chunks.capacity() > 64 {
            self.chunks = Vec::new();
        }
        self.shared = 0;
        (self.bound, self.over) = (0, false);
    }

    /// The pieces in order, starting `skip` bytes in, for a vectored write; at most `max` of them.
    ///
    /// Pieces are appended to `into`, none of them empty. Finding the first takes logarithmic time, so that a long
    /// output can go out in many writes.
    pub fn slices<'a>(&'a self, skip: usize, into: &mut Vec<IoSlice<'a>>, max: usize) {
        let full = into.len().saturating_add(max);
        let first = self
            .chunks
            .partition_point(|c| c.at + c.before + c.range.len() <= skip);
        // Where in `buf` and in the whole output the piece after the skipped chunks starts.
        let (mut from, mut place) = match first.checked_sub(1).map(|last| &self.chunks[last]) {
            Some(last) => (last.at, last.at + last.before + last.range.len()),
            None => (0, 0),
        };
        let mut emit = |piece: &'a [u8], place: usize| {
            let piece = piece.get(skip.saturating_sub(place)..).unwrap_or_default();
            if !piece.is_empty() && into.len() < full {
                into.push(IoSlice::new(piece));
            }
            into.len() < full
        };
        for chunk in &self.chunks[first..] {
            if !emit(&self.buf[from..chunk.at], place) {
                return;
            }
            place += chunk.at - from;
            from = chunk.at;
            if !emit(&chunk.bytes[chunk.range.clone()], place) {
                return;
            }
            place += chunk.range.len();
        }
        emit(&self.buf[from..], place);
    }

    /// All bytes as one slice if there are no shared strings: the common case, for a plain write.
    #[inline]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        self.chunks.is_empty().then_some(&self.buf[..])
    }

    /// All bytes as one vector, shared strings copied in: for tests, scripts and embedded calls.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut slices = Vec::new();
        self.slices(0, &mut slices, usize::MAX);
        let mut all = Vec::with_capacity(self.len());
        for slice in slices {
            all.extend_from_slice(&slice);
        }
        all
    }

    /// Takes everything, leaving an empty output of the same version.
    pub fn take(&mut self) -> Out {
        std::mem::replace(self, Out::new(self.proto))
    }
}
