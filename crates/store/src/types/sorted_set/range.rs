//! Ranges of scores and of members.

use super::tree::{Seek, key_of};

/// A range of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    /// The lowest score; not a NaN.
    pub min: f64,
    /// The highest score; not a NaN.
    pub max: f64,
    /// Whether `min` itself is outside.
    pub min_open: bool,
    /// Whether `max` itself is outside.
    pub max_open: bool,
}

impl ScoreRange {
    /// The scores from `min` to `max`, both included.
    pub fn closed(min: f64, max: f64) -> ScoreRange {
        ScoreRange {
            min,
            max,
            min_open: false,
            max_open: false,
        }
    }

    /// Whether a score is not too low.
    pub(crate) fn above_min(&self, score: f64) -> bool {
        if self.min_open {
            score > self.min
        } else {
            score >= self.min
        }
    }

    /// Whether a score is not too high.
    pub(crate) fn below_max(&self, score: f64) -> bool {
        if self.max_open {
            score < self.max
        } else {
            score <= self.max
        }
    }

    pub(super) fn ends(&self) -> [Seek<'static>; 2] {
        [
            Seek::Score {
                key: key_of(self.min),
                after: self.min_open,
            },
            Seek::Score {
                key: key_of(self.max),
                after: !self.max_open,
            },
        ]
    }
}

/// An end of a [`LexRange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Before all members: `-`.
    Min,
    /// Behind all members: `+`.
    Max,
    /// This member, which is inside: `[m`.
    Closed(&'a [u8]),
    /// This member, which is outside: `(m`.
    Open(&'a [u8]),
}

impl LexBound<'_> {
    fn is_low_end_of(&self, member: &[u8]) -> bool {
        match *self {
            LexBound::Min => true,
            LexBound::Max => false,
            LexBound::Closed(m) => member >= m,
            LexBound::Open(m) => member > m,
        }
    }

    fn is_high_end_of(&self, member: &[u8]) -> bool {
        match *self {
            LexBound::Min => false,
            LexBound::Max => true,
            LexBound::Closed(m) => member <= m,
            LexBound::Open(m) => member < m,
        }
    }
}

/// A range of members by their bytes. It means something in a set whose scores are all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexRange<'a> {
    /// The low end.
    pub min: LexBound<'a>,
    /// The high end.
    pub max: LexBound<'a>,
}

impl LexRange<'_> {
    /// Whether a member is not too low.
    pub(crate) fn above_min(&self, member: &[u8]) -> bool {
        self.min.is_low_end_of(member)
    }

    /// Whether a member is not too high.
    pub(crate) fn below_max(&self, member: &[u8]) -> bool {
        self.max.is_high_end_of(member)
    }
}
