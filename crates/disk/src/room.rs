//! Room for pieces, laid out ahead of them.
//!
//! A file that grows with every write has the file system write its own journal with every sync too: where blocks are, and how long the
//! file is. With `appendfsync always` the increment that is written is therefore longer than its pieces. Behind them stands *room*:
//! lines of annotation, which Redis and Valkey skip, and which the next pieces are written over.
//!
//! ```text
//! #RP:7:...            the last piece
//! #........            what is left of a line
//! #........            lines of LINE bytes, each at a multiple of that
//! #RE                  the end of the room
//! ```
//!
//! What stands at a place in the room depends on the place alone, but for the [`seam`] behind the last piece, which makes an annotation
//! of what is left of the line there. So wherever a write stops, or a block of it never reaches the disk, what is there instead is known
//! for room. Nothing but room may follow until its end: whatever else does was written after something that is missing. Behind the end
//! other servers may append.

/// Bytes of a line: no more than the blocks that a disk writes as a whole, so that of a block that was not written whole lines
/// are seen; and less than half of what other servers take for a line.
pub(crate) const LINE: usize = 512;

/// How room ends.
pub(crate) const END: &[u8] = b"#RE\r\n";

/// Bytes that must be there to tell whether room begins with them: two lines may be one.
pub(crate) const MOST: usize = 2 * LINE;

/// What stands at this place of a line.
fn byte(at: usize) -> u8 {
    match at {
        0 => b'#',
        n if n == LINE - 2 => b'\r',
        n if n == LINE - 1 => b'\n',
        _ => b'.',
    }
}

/// A line.
pub(crate) fn line() -> [u8; LINE] {
    std::array::from_fn(byte)
}

fn place(offset: u64) -> usize {
    (offset % LINE as u64) as usize
}

/// What is written behind a piece that ends here within room: a beginning for what is left of the line. Of a line of which only its
/// end is left nothing stays: what begins there goes on with the next one.
pub(crate) fn seam(end: u64) -> &'static [u8] {
    match place(end) {
        0 => b"",
        n if n == LINE - 2 => b"#.",
        _ => b"#",
    }
}

/// Where room ends that has at least so many bytes from here on.
pub(crate) fn end_of(from: u64, bytes: u64) -> u64 {
    (from + bytes).next_multiple_of(LINE as u64) + END.len() as u64
}

/// How far pieces may reach in room that ends here.
pub(crate) fn limit(end: u64) -> u64 {
    end.saturating_sub((END.len() + LINE) as u64)
}

/// The bytes of room between these places, the end included.
pub(crate) fn lay(from: u64, end: u64) -> Vec<u8> {
    let bytes = usize::try_from(end - from).unwrap_or(usize::MAX);
    let (line, mut out) = (line(), Vec::with_capacity(bytes));
    out.extend_from_slice(&line[place(from)..]);
    while out.len() < bytes {
        out.extend_from_slice(&line);
    }
    out.truncate(bytes - END.len());
    out.extend_from_slice(END);
    let seam = seam(from);
    out[..seam.len()].copy_from_slice(seam);
    out
}

/// What begins with some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// So many bytes of room.
    Room(usize),
    /// So many bytes, which end it.
    End(usize),
    /// It begins like room, and is not or not yet.
    Like,
    /// Something else.
    Other,
}

/// Looks whether room begins with these bytes, [`MOST`] of them or all that there are, which stand at this place in a file.
pub(crate) fn find(bytes: &[u8], offset: u64) -> Found {
    let at = place(offset);
    if at == 0 && bytes.starts_with(END) {
        return Found::End(END.len());
    }
    let seam = seam(offset);
    let expected = |n: usize, seamed: bool| match seam.get(n) {
        Some(&other) if seamed => other,
        _ => byte((at + n) % LINE),
    };
    for seamed in [true, false] {
        // Where the end of this line was written over, it goes on to that of the next.
        let over = seamed && at + seam.len() > LINE - 2 && at > 0;
        let length = LINE - at + if over { LINE } else { 0 };
        let same = (bytes.iter().take(length).enumerate())
            .take_while(|&(n, &byte)| byte == expected(n, seamed))
            .count();
        if same == length {
            return Found::Room(length);
        }
        // One byte is the beginning of anything.
        if same > 1 {
            return Found::Like;
        }
    }
    // A seam that is damaged.
    let rest = bytes.get(1..9).unwrap_or_default();
    let room = (rest.iter().enumerate()).all(|(n, &byte)| byte == expected(n + 1, false));
    match room && !rest.is_empty() {
        true => Found::Like,
        false => Found::Other,
    }
}

/// Whether a line that begins here, and should be one that is followed by a piece, ends as room does: its rest was never written.
/// `bytes`: what stands there.
pub(crate) fn ends_line(bytes: &[u8], offset: u64) -> bool {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return false;
    };
    place(offset + end as u64) == LINE - 1 && bytes[..end].ends_with(b"\r")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_known_wherever_a_piece_ends() {
        let end = end_of(0, 4 * LINE as u64);
        let whole = lay(0, end);
        for from in 1..=2 * LINE as u64 {
            // Laid from there on, and written over up to there, are the same.
            let laid = lay(from, end);
            let mut over = whole.clone();
            let seam = seam(from);
            over[from as usize..][..seam.len()].copy_from_slice(seam);
            assert_eq!(over[from as usize..], laid, "from {from}");
            // And so it is where the seam is missing.
            for bytes in [&laid[..], &whole[from as usize..]] {
                let (mut at, mut lines) = (0, 0);
                loop {
                    match find(&bytes[at..], from + at as u64) {
                        Found::Room(n) => at += n,
                        Found::End(n) => break at += n,
                        found => panic!("from {from} at {at}: {found:?}"),
                    }
                    lines += 1;
                }
                assert_eq!(at, bytes.len());
                assert!((2..=5).contains(&lines), "from {from}: {lines}");
            }
            // Other servers see lines of annotation.
            for line in laid.split_inclusive(|&b| b == b'\n') {
                assert!(line.starts_with(b"#") && line.ends_with(b"\r\n"));
                assert!(line.len() < 1024);
            }
        }
    }

    #[test]
    fn what_is_no_room_is_not_taken_for_it() {
        for text in [&b"#RP:1:"[..], b"#TS:1\r\n", b"*1\r\n", b"#", b"\0\0", b"."] {
            for at in [0, 1, 17, 509, 510, 511] {
                assert_eq!(find(text, at), Found::Other, "{}", text.escape_ascii());
            }
        }
        assert_eq!(find(b"#...\0", 0), Found::Like);
        assert_eq!(find(b"..\r\n", 100), Found::Like);
        assert_eq!(find(b"!........\r\n", 100), Found::Like);
    }
}
