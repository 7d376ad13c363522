//! LZF, the compression of long strings in RDB.
//!
//! Compressed data is a row of instructions. A byte below 32 says that one more than so many bytes follow as they are.
//! Any other byte says to repeat earlier output: its top three bits are the length minus two (7: one more byte of length
//! follows and is added), the other five and the next byte how far back it starts, minus one.

use crate::{Malformed, Result};

/// Longest run of literal bytes.
const MAX_LITERALS: usize = 32;
/// Furthest repetition back.
const MAX_BACK: usize = 1 << 13;
/// Longest repetition.
const MAX_REPEAT: usize = 7 + 255 + 2;
/// Bytes that one byte of compressed data can become at most: three say "repeat 264".
const MAX_RATIO: usize = MAX_REPEAT / 3;

/// Compresses `input`; `None` if the result would be longer than `most`.
pub fn compress(input: &[u8], most: usize) -> Option<Vec<u8>> {
    let bits = (input.len().max(1).ilog2() + 1).clamp(6, 14);
    // Where three bytes with this hash were last seen, plus one.
    let mut seen = vec![0u32; 1 << bits];
    let slot = |at: usize| {
        let word = u32::from_le_bytes([input[at], input[at + 1], input[at + 2], 0]);
        (word.wrapping_mul(0x9e37_79b1) >> (32 - bits)) as usize
    };
    let mut out = Vec::with_capacity(most.min(input.len()));
    let (mut at, mut literals) = (0, 0);
    while at + 2 < input.len() {
        let before = std::mem::replace(&mut seen[slot(at)], at as u32 + 1) as usize;
        let repeats = before > 0
            && at - (before - 1) <= MAX_BACK
            && input[before - 1..before + 2] == input[at..at + 3];
        if !repeats {
            at += 1;
            continue;
        }
        let start = before - 1;
        let longest = MAX_REPEAT.min(input.len() - at);
        let length = (3..longest)
            .find(|&n| input[start + n] != input[at + n])
            .unwrap_or(longest);
        push_literals(&mut out, &input[literals..at]);
        let back = at - start - 1;
        let code = length - 2;
        if code < 7 {
            out.push((code << 5 | back >> 8) as u8);
        } else {
            out.extend([(7 << 5 | back >> 8) as u8, (code - 7) as u8]);
        }
        out.push(back as u8);
        if out.len() > most {
            return None;
        }
        at += length;
        literals = at;
    }
    push_literals(&mut out, &input[literals..]);
    (out.len() <= most).then_some(out)
}

fn push_literals(out: &mut Vec<u8>, bytes: &[u8]) {
    for run in bytes.chunks(MAX_LITERALS) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

/// Decompresses to exactly `length` bytes.
pub fn decompress(input: &[u8], length: usize) -> Result<Vec<u8>> {
    const BAD: Malformed = Malformed("bad compressed string");
    if length / MAX_RATIO > input.len() {
        return Err(BAD);
    }
    let mut out = Vec::with_capacity(length.min(input.len() * 4));
    let mut rest = input.iter();
    while let Some(&head) = rest.next() {
        let head = usize::from(head);
        if head < MAX_LITERALS {
            let run = rest.as_slice().get(..=head).ok_or(BAD)?;
            out.extend_from_slice(run);
            rest = rest.as_slice()[head + 1..].iter();
        } else {
            let mut n = head >> 5;
            if n == 7 {
                n += usize::from(*rest.next().ok_or(BAD)?);
            }
            let n = n + 2;
            let back = (head & 0x1f) << 8 | usize::from(*rest.next().ok_or(BAD)?);
            let start = out.len().checked_sub(back + 1).ok_or(BAD)?;
            if back + 1 >= n {
                out.extend_from_within(start..start + n);
            } else {
                // It repeats what it writes.
                for i in start..start + n {
                    out.push(out[i]);
                }
            }
        }
        if out.len() > length {
            return Err(BAD);
        }
    }
    if out.len() == length {
        Ok(out)
    } else {
        Err(BAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn repetition_shrinks() {
        let text = b"abcabcabc".repeat(1000);
        let small = compress(&text, text.len()).unwrap();
        assert!(small.len() < text.len() / 50, "{}", small.len());
        assert_eq!(decompress(&small, text.len()).unwrap(), text);
        assert!(decompress(&small, text.len() - 1).is_err());
        assert!(decompress(&small, usize::MAX).is_err());
        assert_eq!(compress(b"no repetition", 12), None);
    }

    proptest! {
        #[test]
        fn round_trip(parts in prop::collection::vec((prop::collection::vec(0u8..4, 0..40), 1usize..60), 0..20)) {
            let text: Vec<u8> = parts.iter().flat_map(|(part, n)| part.repeat(*n)).collect();
            let small = compress(&text, usize::MAX).unwrap();
            prop_assert_eq!(decompress(&small, text.len()).unwrap(), text);
        }

        #[test]
        fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0usize..20_000) {
            if let Ok(out) = decompress(&bytes, length) {
                prop_assert_eq!(out.len(), length);
            }
        }
    }
}
