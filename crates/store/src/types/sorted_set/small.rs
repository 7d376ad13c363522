//! The packed form of a small sorted set.
//!
//! ```text
//! 2 bytes     number of members; 0xffff: at least as many, to be counted
//! member, score, member, score ...   in the order of scores, then members
//! ```
//!
//! Members and scores are elements as of [`crate::types::packed`]: a score that is a whole number is stored as such, any other
//! as the eight bytes of the double. A set without members is no bytes at all.

use super::range::{LexRange, ScoreRange};
use crate::types::packed::{self, Item};
use std::cmp::Ordering;
use std::ops::Range;

const HEAD: usize = 2;
const MANY: usize = 0xffff;
/// Whole numbers up to here are exact in a double.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// One member with its score and the bytes it takes.
#[derive(Clone)]
pub struct Pair<'a> {
    pub range: Range<usize>,
    pub member: Item<'a>,
    pub score: f64,
}

impl Pair<'_> {
    /// How it compares to another place in the order.
    fn order(&self, score: f64, member: &[u8]) -> Ordering {
        let by_score = self.score.partial_cmp(&score).unwrap_or(Ordering::Equal);
        by_score.then_with(|| self.member.text(&mut [0; 20]).cmp(member))
    }
}

/// The members in order.
#[derive(Clone)]
pub struct Pairs<'a>(packed::Items<'a>);

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    #[inline]
    fn next(&mut self) -> Option<Pair<'a>> {
        let (first, member) = self.0.next()?;
        let (second, score) = self.0.next()?;
        Some(Pair {
            range: first.start..second.end,
            member,
            score: score_of(score),
        })
    }
}

fn score_of(item: Item<'_>) -> f64 {
    match item {
        Item::Int(n) => n as f64,
        Item::Bytes(b) => b.try_into().map_or(0.0, f64::from_le_bytes),
    }
}

/// The members from byte `at` on.
pub fn pairs_from(bytes: &[u8], at: usize) -> Pairs<'_> {
    Pairs(packed::items_from(bytes, at))
}

/// All members.
pub fn pairs(bytes: &[u8]) -> Pairs<'_> {
    pairs_from(bytes, HEAD)
}

/// Number of members.
#[inline]
pub fn len(bytes: &[u8]) -> usize {
    match bytes {
        [] => 0,
        [0xff, 0xff, ..] => pairs(bytes).count(),
        [low, high, ..] => u16::from_le_bytes([*low, *high]) as usize,
        _ => 0,
    }
}

fn set_len(bytes: &mut [u8], n: usize) {
    bytes[..HEAD].copy_from_slice(&(n.min(MANY) as u16).to_le_bytes());
}

/// A member's place and score.
#[inline]
pub fn find(bytes: &[u8], member: &[u8]) -> Option<(Range<usize>, f64)> {
    let found = packed::find(bytes, HEAD, 2, Item::of(member))?;
    let (score, len) = packed::first(bytes.get(found.end..)?)?;
    Some((found.start..found.end + len, score_of(score)))
}

/// Inserts a member that is not there.
pub fn insert(bytes: &mut Vec<u8>, member: &[u8], score: f64) {
    if bytes.is_empty() {
        bytes.extend_from_slice(&[0; HEAD]);
    }
    let n = len(bytes);
    let at = pairs(bytes)
        .find(|pair| pair.order(score, member) == Ordering::Greater)
        .map_or(bytes.len(), |pair| pair.range.start);
    insert_at(bytes, at, member, score);
    set_len(bytes, n + 1);
}

/// Appends a member that comes after all that are there.
pub fn push(bytes: &mut Vec<u8>, member: Item<'_>, score: f64) {
    if bytes.is_empty() {
        bytes.extend_from_slice(&[0; HEAD]);
    }
    let n = len(bytes);
    member.push_to(bytes);
    push_score(bytes, score);
    set_len(bytes, n + 1);
}

fn push_score(bytes: &mut Vec<u8>, score: f64) {
    // Of the two zeros only the positive one is kept, as in Redis.
    if score.trunc() == score && score.abs() < WHOLE {
        Item::Int(score as i64).push_to(bytes);
    } else {
        Item::Bytes(&score.to_le_bytes()).push_to(bytes);
    }
}

fn insert_at(bytes: &mut Vec<u8>, at: usize, member: &[u8], score: f64) {
    let end = bytes.len();
    Item::of(member).push_to(bytes);
    push_score(bytes, score);
    let added = bytes.len() - end;
    bytes[at..].rotate_right(added);
}

/// Gives a member another score, its place being known.
pub fn rescore(bytes: &mut Vec<u8>, range: Range<usize>, member: &[u8], score: f64) {
    let n = len(bytes);
    bytes.drain(range);
    let at = pairs(bytes)
        .find(|pair| pair.order(score, member) == Ordering::Greater)
        .map_or(bytes.len(), |pair| pair.range.start);
    insert_at(bytes, at, member, score);
    set_len(bytes, n);
}

/// Removes `n` members that take these bytes.
pub fn remove(bytes: &mut Vec<u8>, range: Range<usize>, n: usize) {
    let left = len(bytes) - n;
    bytes.drain(range);
    if left == 0 {
        bytes.clear();
    } else {
        set_len(bytes, left);
    }
}

/// The bytes of these ranks, which must be there.
pub fn bytes_of(bytes: &[u8], ranks: &Range<usize>) -> Range<usize> {
    let mut it = pairs(bytes);
    let start = it
        .by_ref()
        .nth(ranks.start)
        .map_or(bytes.len()..bytes.len(), |pair| pair.range);
    if ranks.len() <= 1 {
        return start;
    }
    start.start
        ..it.nth(ranks.len() - 2)
            .map_or(bytes.len(), |pair| pair.range.end)
}

/// The ranks of a range of scores.
pub fn ranks_by_score(bytes: &[u8], range: &ScoreRange) -> Range<usize> {
    let start = pairs(bytes)
        .take_while(|pair| !range.above_min(pair.score))
        .count();
    let within = pairs(bytes)
        .skip(start)
        .take_while(|pair| range.below_max(pair.score))
        .count();
    start..start + within
}

/// The ranks of a range of members. Where scores differ, which makes the range meaningless, it is what is found looking
/// upwards (or downwards) from the first member that is not too low (high) to the next that is too high (low).
pub fn ranks_by_lex(bytes: &[u8], range: &LexRange<'_>, downwards: bool) -> Range<usize> {
    let mut buf = [0; 20];
    let mut above = |pair: &Pair<'_>| range.above_min(pair.member.text(&mut buf));
    let mut buf = [0; 20];
    let mut below = |pair: &Pair<'_>| range.below_max(pair.member.text(&mut buf));
    let (Some(first), Some(last)) = (pairs(bytes).next(), pairs(bytes).last()) else {
        return 0..0;
    };
    if !above(&last) || !below(&first) {
        return 0..0;
    }
    if !downwards {
        let start = pairs(bytes).take_while(|pair| !above(pair)).count();
        let within = pairs(bytes)
            .skip(start)
            .take_while(|pair| below(pair))
            .count();
        return start..start + within;
    }
    let end = pairs(bytes)
        .enumerate()
        .filter(|(_, pair)| below(pair))
        .last()
        .map_or(0, |(at, _)| at + 1);
    let outside = pairs(bytes)
        .take(end)
        .enumerate()
        .filter(|(_, pair)| !above(pair))
        .last();
    outside.map_or(0, |(at, _)| at + 1)..end
}
