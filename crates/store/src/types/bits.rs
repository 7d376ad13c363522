//! Strings as arrays of bits: counting, searching, combining, and integers at any bit.
//!
//! Bit 0 is the most significant bit of byte 0, as in all bitmap commands. Everything here works on plain byte
//! slices, eight or more bytes at a time: the loops are written over fixed-size blocks so that the compiler turns
//! them into vector instructions of whatever width it may use.

/// The bit at `offset`; bits past the end are 0.
#[inline]
pub fn get(bytes: &[u8], offset: u64) -> bool {
    usize::try_from(offset / 8)
        .ok()
        .and_then(|i| bytes.get(i))
        .is_some_and(|b| b & (0x80 >> (offset % 8)) != 0)
}

/// Sets the bit at `offset`, which must be inside, and returns what it was.
#[inline]
pub fn set(bytes: &mut [u8], offset: u64, on: bool) -> bool {
    let byte = &mut bytes[(offset / 8) as usize];
    let mask = 0x80u8 >> (offset % 8);
    let was = *byte & mask != 0;
    *byte = if on { *byte | mask } else { *byte & !mask };
    was
}

/// Words that are counted side by side.
const LANES: usize = 4;
type Words = [u64; LANES];
/// Bytes of one step of [`count`]: sixteen groups of words.
const STEP: usize = 16 * 8 * LANES;

/// Number of set bits.
///
/// Harley and Seal's way: carry-save adders condense sixteen groups of words into one group of weight 16 and the
/// remainders of smaller weights, so that bits are counted once for every sixteen words.
pub fn count(bytes: &[u8]) -> u64 {
    let (steps, rest) = bytes.as_chunks::<STEP>();
    let (mut ones, mut twos, mut fours, mut eights): (Words, Words, Words, Words) =
        Default::default();
    let mut total = 0;
    for step in steps {
        let group = |i: usize| -> Words {
            let (words, _) = step[i * 8 * LANES..].as_chunks::<8>();
            std::array::from_fn(|lane| u64::from_le_bytes(words[lane]))
        };
        // Sums of weight 8 out of groups 8n to 8n + 7.
        let mut eight = |from: usize| {
            let mut four = |from: usize| {
                let (a, sum) = add(ones, group(from), group(from + 1));
                let (b, sum) = add(sum, group(from + 2), group(from + 3));
                ones = sum;
                let (carry, sum) = add(twos, a, b);
                twos = sum;
                carry
            };
            let (a, b) = (four(from), four(from + 4));
            let (carry, sum) = add(fours, a, b);
            fours = sum;
            carry
        };
        let (a, b) = (eight(0), eight(8));
        let (sixteens, sum) = add(eights, a, b);
        eights = sum;
        total += weight(sixteens);
    }
    let (words, tail) = rest.as_chunks::<8>();
    16 * total
        + 8 * weight(eights)
        + 4 * weight(fours)
        + 2 * weight(twos)
        + weight(ones)
        + words
            .iter()
            .map(|w| u64::from(u64::from_le_bytes(*w).count_ones()))
            .sum::<u64>()
        + tail.iter().map(|b| u64::from(b.count_ones())).sum::<u64>()
}

/// Adds three bits in each bit position: (carry, sum).
#[inline(always)]
fn add(a: Words, b: Words, c: Words) -> (Words, Words) {
    (
        std::array::from_fn(|i| (a[i] & b[i]) | ((a[i] ^ b[i]) & c[i])),
        std::array::from_fn(|i| a[i] ^ b[i] ^ c[i]),
    )
}

#[inline(always)]
fn weight(words: Words) -> u64 {
    words.iter().map(|w| u64::from(w.count_ones())).sum()
}

/// Number of set bits from bit `first` to bit `last`, both inside.
pub fn count_range(bytes: &[u8], first: u64, last: u64) -> u64 {
    let (head, tail) = ((first / 8) as usize, (last / 8) as usize);
    let before = bytes[head] & !(0xff >> (first % 8));
    let after = bytes[tail] & (0x7f >> (last % 8));
    count(&bytes[head..=tail]) - u64::from(before.count_ones() + after.count_ones())
}

/// The first bit that is `on` (or clear) from bit `first` to bit `last`, both inside.
pub fn find(bytes: &[u8], on: bool, first: u64, last: u64) -> Option<u64> {
    // Looking for a set bit in the string, or in its complement.
    let flip = if on { 0 } else { 0xff };
    let (head, tail) = ((first / 8) as usize, (last / 8) as usize);
    let in_byte = |i: usize, mask: u8| {
        let b = (bytes[i] ^ flip) & mask;
        (b != 0).then(|| i as u64 * 8 + u64::from(b.leading_zeros()))
    };
    let (from_first, to_last) = (0xff >> (first % 8), !(0x7f >> (last % 8)));
    if head == tail {
        return in_byte(head, from_first & to_last);
    }
    in_byte(head, from_first)
        .or_else(|| {
            let i = head + 1 + find_byte(&bytes[head + 1..tail], flip)?;
            in_byte(i, 0xff)
        })
        .or_else(|| in_byte(tail, to_last))
}

/// Index of the first byte that differs from `not`.
fn find_byte(bytes: &[u8], not: u8) -> Option<usize> {
    const BLOCK: usize = 128;
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let differs = |block: &[u8; BLOCK]| block.iter().fold(0, |any, b| any | (b ^ not)) != 0;
    let skipped = BLOCK * blocks.iter().position(differs).unwrap_or(blocks.len());
    let at = bytes[skipped..].iter().position(|b| *b != not)?;
    Some(skipped + at)
}

/// The operations of BITOP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Set in all.
    And,
    /// Set in any.
    Or,
    /// Set in an odd number.
    Xor,
    /// Not set in the first and only.
    Not,
    /// Set in the first and in no other.
    Diff,
    /// Set in another, but not in the first.
    Diff1,
    /// Set in the first and in another.
    AndOr,
    /// Set in exactly one.
    One,
}

/// Bytes combined at a time: the result's part stays in the first-level cache while all sources pass over it.
const BLOCK: usize = 8 << 10;

/// Combines strings bit by bit; shorter ones count as if padded with zeros to the longest. There must be at least one.
pub fn combine(op: Op, sources: &[&[u8]]) -> Vec<u8> {
    let len = sources.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut result = vec![0; len];
    let (first, others) = (sources[0], &sources[1..]);
    for (n, block) in result.chunks_mut(BLOCK).enumerate() {
        let at = n * BLOCK;
        let end = at + block.len();
        let part = |s: &[u8]| at.min(s.len())..end.min(s.len());
        let first = &first[part(first)];
        let others = others.iter().map(|s| &s[part(s)]);
        match op {
            Op::Diff | Op::Diff1 | Op::AndOr => {
                for other in others {
                    apply(block, other, |d, s| d | s);
                }
                match op {
                    Op::AndOr => masked(block, first, |d, s| d & s),
                    Op::Diff => masked(block, first, |d, s| !d & s),
                    _ => apply(block, first, |d, s| d & !s),
                }
            }
            Op::One => {
                let mut several = [0; BLOCK];
                block[..first.len()].copy_from_slice(first);
                for other in others {
                    for ((d, t), s) in block.iter_mut().zip(&mut several).zip(other) {
                        *t |= *d & s;
                        *d ^= s;
                    }
                }
                apply(block, &several, |d, t| d & !t);
            }
            Op::Not => apply(block, first, |_, s| !s),
            Op::And | Op::Or | Op::Xor => {
                block[..first.len()].copy_from_slice(first);
                for other in others {
                    match op {
                        Op::And => masked(block, other, |d, s| d & s),
                        Op::Or => apply(block, other, |d, s| d | s),
                        _ => apply(block, other, |d, s| d ^ s),
                    }
                }
            }
        }
    }
    result
}

/// Combines a source into the bytes of a block that it reaches.
#[inline(always)]
fn apply(block: &mut [u8], source: &[u8], f: impl Fn(u8, u8) -> u8) {
    for (d, s) in block.iter_mut().zip(source) {
        *d = f(*d, *s);
    }
}

/// The same for an operation that leaves nothing where the source has ended.
#[inline(always)]
fn masked(block: &mut [u8], source: &[u8], f: impl Fn(u8, u8) -> u8) {
    apply(block, source, f);
    block[source.len()..].fill(0);
}

/// An integer of some width, as BITFIELD writes it: `u8`, `i16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Whether it is in two's complement.
    pub signed: bool,
    /// 1 to 63, or to 64 if signed.
    pub bits: u32,
}

/// What happens to a number that does not fit its field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Its lowest bits stay.
    #[default]
    Wrap,
    /// The nearest number that fits is taken.
    Saturate,
    /// Nothing is stored.
    Fail,
}

impl Field {
    /// Reads `i16`, `u8` and the like.
    pub fn parse(text: &[u8]) -> Option<Field> {
        let (signed, digits) = match text {
            [b'i', digits @ ..] => (true, digits),
            [b'u', digits @ ..] => (false, digits),
            _ => return None,
        };
        let bits = crate::types::number::canonical_i64(digits)?;
        let most = if signed { 64 } else { 63 };
        (1..=most).contains(&bits).then_some(Field {
            signed,
            bits: bits as u32,
        })
    }

    fn min(self) -> i128 {
        if self.signed {
            -(1 << (self.bits - 1))
        } else {
            0
        }
    }

    fn max(self) -> i128 {
        (1 << (self.bits - u32::from(self.signed))) - 1
    }

    /// The number whose lowest bits are those of `n`.
    fn wrap(self, n: i128) -> i64 {
        let unused = 64 - self.bits;
        let n = (n as i64) << unused;
        if self.signed {
            n >> unused
        } else {
            (n as u64 >> unused) as i64
        }
    }

    /// Makes a number fit, or says that it does not.
    pub fn fit(self, n: i128, overflow: Overflow) -> Option<i64> {
        if (self.min()..=self.max()).contains(&n) {
            return Some(n as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.wrap(n)),
            Overflow::Saturate => Some(n.clamp(self.min(), self.max()) as i64),
            Overflow::Fail => None,
        }
    }

    /// Reads the number that starts at bit `offset`; bits past the end are 0.
    pub fn get(self, bytes: &[u8], offset: u64) -> i64 {
        let from = usize::try_from(offset / 8)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        // A field touches nine bytes at most.
        let near = &bytes[from..bytes.len().min(from.saturating_add(9))];
        let mut window = [0; 16];
        window[..near.len()].copy_from_slice(near);
        let n = u128::from_be_bytes(window) << (offset % 8) >> (128 - self.bits);
        self.wrap(n as i128)
    }

    /// Writes the number at bit `offset`; all its bits must be inside.
    pub fn set(self, bytes: &mut [u8], offset: u64, n: i64) {
        let from = (offset / 8) as usize;
        let near_len = (bytes.len() - from).min(9);
        let near = &mut bytes[from..from + near_len];
        let mut window = [0; 16];
        window[..near_len].copy_from_slice(near);
        let shift = 128 - self.bits - (offset % 8) as u32;
        let mask = (u128::MAX >> (128 - self.bits)) << shift;
        let n = (n as u128) << shift & mask;
        let window = (u128::from_be_bytes(window) & !mask | n).to_be_bytes();
        near.copy_from_slice(&window[..near_len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(bytes: &[u8]) -> Vec<bool> {
        (0..bytes.len() as u64 * 8).map(|i| get(bytes, i)).collect()
    }

    /// Mostly runs of equal bytes, so that searches have something to skip.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![4 => Just(0u8), 4 => Just(0xff), 1 => any::<u8>()];
        prop::collection::vec((byte, 1usize..400), 1..8)
            .prop_map(|runs| runs.into_iter().flat_map(|(b, n)| vec![b; n]).collect())
    }

    proptest! {
        #[test]
        fn counting_and_searching(bytes in bytes(), a: prop::sample::Index, b: prop::sample::Index) {
            let bits = bits(&bytes);
            let (a, b) = (a.index(bits.len()), b.index(bits.len()));
            let (first, last) = (a.min(b), a.max(b));
            let range = &bits[first..=last];
            let set = range.iter().filter(|b| **b).count() as u64;
            prop_assert_eq!(count_range(&bytes, first as u64, last as u64), set);
            prop_assert_eq!(count(&bytes), bits.iter().filter(|b| **b).count() as u64);
            for on in [false, true] {
                let at = range.iter().position(|b| *b == on).map(|i| (first + i) as u64);
                prop_assert_eq!(find(&bytes, on, first as u64, last as u64), at);
            }
        }

        #[test]
        fn combining(sources in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6), far: bool) {
            // Past the first block as well as inside it.
            let sources: Vec<Vec<u8>> = sources
                .into_iter()
                .map(|s| [vec![0x5a; if far { BLOCK - 20 } else { 0 }], s].concat())
                .collect();
            let slices: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
            let len = slices.iter().map(|s| s.len()).max().unwrap_or(0);
            for op in [Op::And, Op::Or, Op::Xor, Op::Not, Op::Diff, Op::Diff1, Op::AndOr, Op::One] {
                let result = combine(op, &slices);
                prop_assert_eq!(result.len(), len);
                for i in (len as u64 * 8).saturating_sub(700)..len as u64 * 8 {
                    let first = get(slices[0], i);
                    let others = slices[1..].iter().filter(|s| get(s, i)).count();
                    let set = others + usize::from(first);
                    let want = match op {
                        Op::And => set == slices.len(),
                        Op::Or => set > 0,
                        Op::Xor => set % 2 == 1,
                        // Of a single source, which is the longest there is.
                        Op::Not => !first && i < slices[0].len() as u64 * 8,
                        Op::Diff => first && others == 0,
                        Op::Diff1 => !first && others > 0,
                        Op::AndOr => first && others > 0,
                        Op::One => set == 1,
                    };
                    prop_assert_eq!(get(&result, i), want, "{:?} bit {}", op, i);
                }
            }
        }

        #[test]
        fn fields(mut bytes in prop::collection::vec(any::<u8>(), 9..24), at in 0u64..64, bits in 1u32..=64, signed: bool, n: i64) {
            let signed = signed || bits == 64;
            let field = Field { signed, bits };
            let before = bytes.clone();
            let old = field.get(&bytes, at);
            let mut by_bit = 0i128;
            for i in 0..u64::from(bits) {
                by_bit = by_bit << 1 | i128::from(get(&bytes, at + i));
            }
            if signed && by_bit > field.max() {
                by_bit -= 1 << bits;
            }
            prop_assert_eq!(i128::from(old), by_bit);
            if (bytes.len() as u64) * 8 >= at + u64::from(bits) {
                let n = field.wrap(n.into());
                field.set(&mut bytes, at, n);
                prop_assert_eq!(field.get(&bytes, at), n);
                field.set(&mut bytes, at, old);
                prop_assert_eq!(bytes, before);
            }
        }
    }

    #[test]
    fn overflow() {
        let (i8, u8) = (
            Field {
                signed: true,
                bits: 8,
            },
            Field {
                signed: false,
                bits: 8,
            },
        );
        for (field, n, wrapped, saturated) in [
            (i8, 127, 127, 127),
            (i8, 128, -128, 127),
            (i8, -129, 127, -128),
            (u8, 256, 0, 255),
            (u8, -1, 255, 0),
            (
                Field {
                    signed: true,
                    bits: 64,
                },
                1 << 63,
                i64::MIN,
                i64::MAX,
            ),
            (
                Field {
                    signed: false,
                    bits: 63,
                },
                1 << 63,
                0,
                i64::MAX,
            ),
            (
                Field {
                    signed: true,
                    bits: 1,
                },
                1,
                -1,
                0,
            ),
        ] {
            assert_eq!(field.fit(n, Overflow::Wrap), Some(wrapped));
            assert_eq!(field.fit(n, Overflow::Saturate), Some(saturated));
            let fits = wrapped == saturated;
            assert_eq!(field.fit(n, Overflow::Fail), fits.then_some(wrapped));
        }
    }

    #[test]
    fn field_names() {
        assert_eq!(
            Field::parse(b"i64"),
            Some(Field {
                signed: true,
                bits: 64
            })
        );
        assert_eq!(
            Field::parse(b"u63"),
            Some(Field {
                signed: false,
                bits: 63
            })
        );
        for bad in ["", "u", "u64", "i65", "u0", "U8", "u08", "u+8", "x8", "8"] {
            assert_eq!(Field::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
