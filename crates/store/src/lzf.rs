//! LZF, the compression of long strings in RDB, and of the inner nodes of lists with `list-compress-depth`.
//!
//! Compressed data is a row of instructions. A byte below 32 says that one more than so many bytes follow as they are.
//! Any other byte says to repeat earlier output: its top three bits are the length minus two (7: one more byte of length
//! follows and is added), the other five and the next byte how far back it starts, minus one.

/// Longest run of literal bytes.
const MAX_LITERALS: usize = 32;
/// Furthest repetition back.
const MAX_BACK: usize = 1 << 13;
/// Longest repetition.
const MAX_REPEAT: usize = 7 + 255 + 2;
/// Bytes that one byte of compressed data can become at most: three say "repeat 264".
const MAX_RATIO: usize = MAX_REPEAT / 3;

/// After so many bytes (a power of two) without a repetition every other byte is looked at, then every third, and so on:
/// what cannot be compressed is soon gone past.
const PATIENCE: u32 = 6;

/// Compresses `input`; `None` if the result would be longer than `most`.
pub fn compress(input: &[u8], most: usize) -> Option<Vec<u8>> {
    // Where three bytes with a hash were last seen, plus one. Most inputs are short; clearing the table is most of the work
    // then.
    if input.len() <= 512 {
        compress_with(input, most, 9, &mut [0u16; 1 << 9])
    } else if input.len() < 1 << 16 {
        compress_with(input, most, 12, &mut [0u16; 1 << 12])
    } else {
        compress_with(input, most, 14, &mut vec![0u32; 1 << 14])
    }
}

/// A place in the input.
trait Place: Copy {
    fn of(at: usize) -> Self;
    fn at(self) -> usize;
}

impl Place for u16 {
    fn of(at: usize) -> u16 {
        at as u16
    }
    fn at(self) -> usize {
        self.into()
    }
}

impl Place for u32 {
    fn of(at: usize) -> u32 {
        at as u32
    }
    fn at(self) -> usize {
        self as usize
    }
}

#[inline(always)]
fn compress_with<P: Place>(
    input: &[u8],
    most: usize,
    bits: u32,
    seen: &mut [P],
) -> Option<Vec<u8>> {
    let three = |at: usize| {
        let bytes = input.get(at..at + 3)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]))
    };
    let mut out = Vec::new();
    let (mut at, mut literals, mut misses) = (0, 0, 1 << PATIENCE);
    while let Some(word) = three(at) {
        let slot = &mut seen[(word.wrapping_mul(0x9e37_79b1) >> (32 - bits)) as usize];
        let before = slot.at();
        *slot = P::of(at + 1);
        if before == 0 || at - (before - 1) > MAX_BACK || three(before - 1) != Some(word) {
            at += misses >> PATIENCE;
            misses += 1;
            continue;
        }
        misses = 1 << PATIENCE;
        let start = before - 1;
        let longest = MAX_REPEAT.min(input.len() - at);
        let length = 3 + input[start + 3..]
            .iter()
            .zip(&input[at + 3..at + longest])
            .take_while(|(a, b)| a == b)
            .count();
        if out.capacity() == 0 {
            out.reserve(most.min(input.len()));
        }
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
    let left = &input[literals..];
    if out.len() + left.len() + left.len().div_ceil(MAX_LITERALS) > most {
        return None;
    }
    push_literals(&mut out, left);
    Some(out)
}

fn push_literals(out: &mut Vec<u8>, bytes: &[u8]) {
    for run in bytes.chunks(MAX_LITERALS) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

/// Decompresses to exactly `length` bytes; `None` if that is not what was compressed.
pub fn decompress(input: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    decompress_into(&mut out, input, length).then_some(out)
}

/// The same in place of what `out` holds, whose memory is used again. False if it is not `length` bytes that were compressed.
pub(crate) fn decompress_into(out: &mut Vec<u8>, input: &[u8], length: usize) -> bool {
    out.clear();
    if length / MAX_RATIO > input.len() {
        return false;
    }
    out.reserve(length.min(input.len() * 4));
    expand(out, input, length).is_some() && out.len() == length
}

fn expand(out: &mut Vec<u8>, input: &[u8], length: usize) -> Option<()> {
    let mut rest = input.iter();
    while let Some(&head) = rest.next() {
        let head = usize::from(head);
        if head < MAX_LITERALS {
            let run = rest.as_slice().get(..=head)?;
            out.extend_from_slice(run);
            rest = rest.as_slice()[head + 1..].iter();
        } else {
            let mut n = head >> 5;
            if n == 7 {
                n += usize::from(*rest.next()?);
            }
            let n = n + 2;
            let back = (head & 0x1f) << 8 | usize::from(*rest.next()?);
            let start = out.len().checked_sub(back + 1)?;
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
            return None;
        }
    }
    Some(())
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
        assert!(decompress(&small, text.len() - 1).is_none());
        assert!(decompress(&small, usize::MAX).is_none());
        assert_eq!(compress(b"no repetition", 12), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: crate::testing::cases(256), ..ProptestConfig::default() })]
        #[test]
        fn round_trip(parts in prop::collection::vec((prop::collection::vec(0u8..4, 0..40), 1usize..60), 0..20)) {
            let text: Vec<u8> = parts.iter().flat_map(|(part, n)| part.repeat(*n)).collect();
            let small = compress(&text, usize::MAX).unwrap();
            prop_assert_eq!(decompress(&small, text.len()).unwrap(), text);
        }

        #[test]
        fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0usize..20_000) {
            if let Some(out) = decompress(&bytes, length) {
                prop_assert_eq!(out.len(), length);
            }
        }
    }
}
