//! Where a value ends: what each type consists of, and going past it in small steps.
//!
//! A value is elements of one shape, behind their number, or a single one; a stream has more behind its nodes. A [`Walk`]
//! goes past one element after the other and can be interrupted between any two of them when the bytes run out, so that
//! nothing is looked at twice however the bytes come in.

use crate::cursor::{Cursor, Short};
use crate::version::Dialect;
use crate::{kinds, metadata};

/// A part of an element.
#[derive(Clone, Copy, Debug)]
enum Part {
    Text,
    Number,
    Bytes(u64),
    /// A double as text.
    Score,
    /// A module's data.
    Module,
}

use Part::{Bytes, Module, Number, Score, Text};

#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Bytes before everything else.
    head: u64,
    /// Whether elements stand behind their number; else there is one.
    counted: bool,
    element: &'static [Part],
}

/// The shape of a type's values; `None` if the type is unknown.
fn shape(kind: u8, dialect: Dialect) -> Option<Shape> {
    let redis = dialect == Dialect::Redis;
    let (head, counted, element): (u64, bool, &'static [Part]) = match kind {
        kinds::STRING
        | kinds::HASH_ZIPMAP
        | kinds::LIST_ZIPLIST
        | kinds::SET_INTSET
        | kinds::ZSET_ZIPLIST
        | kinds::HASH_ZIPLIST
        | kinds::HASH_LISTPACK
        | kinds::ZSET_LISTPACK
        | kinds::SET_LISTPACK => (0, false, &[Text]),
        kinds::MODULE_2 => (0, false, &[Number, Module]),
        kinds::LIST | kinds::SET | kinds::LIST_QUICKLIST => (0, true, &[Text]),
        kinds::SET_TIMED if redis => (0, true, &[Text, Bytes(8)]),
        kinds::ZSET => (0, true, &[Text, Score]),
        kinds::ZSET_2 => (0, true, &[Text, Bytes(8)]),
        kinds::HASH => (0, true, &[Text, Text]),
        kinds::LIST_QUICKLIST_2 => (0, true, &[Number, Text]),
        kinds::HASH_22 if redis => (0, true, &[Number, Text, Text]),
        kinds::HASH_22 => (0, true, &[Text, Text, Bytes(8)]),
        kinds::HASH_LISTPACK_EX_RC if redis => (0, false, &[Text]),
        kinds::HASH_METADATA if redis => (8, true, &[Number, Text, Text]),
        kinds::HASH_LISTPACK_EX if redis => (8, false, &[Text]),
        kinds::STREAM_LISTPACKS | kinds::STREAM_LISTPACKS_2 | kinds::STREAM_LISTPACKS_3 => {
            (0, true, &[Text, Text])
        }
        kinds::STREAM_LISTPACKS_4 | kinds::STREAM_LISTPACKS_5 if redis => (0, true, &[Text, Text]),
        _ => return None,
    };
    Some(Shape {
        head,
        counted,
        element,
    })
}

/// Where in a value a walk is.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Head,
    Elements(u64),
    /// Of a stream: its counters and the number of its groups.
    Counters,
    /// So many groups are left.
    Groups(u64),
    Pending {
        groups: u64,
        left: u64,
    },
    ConsumerCount {
        groups: u64,
    },
    Consumers {
        groups: u64,
        left: u64,
    },
    Owned {
        groups: u64,
        consumers: u64,
        left: u64,
    },
    /// What belongs to no consumer.
    Unowned {
        groups: u64,
        left: u64,
    },
    /// What Redis 8.6 remembers of producers: settings and their number.
    Producers,
    Producer {
        left: u64,
    },
    Messages {
        producers: u64,
        left: u64,
    },
    /// Its counters.
    Ending,
    Done,
}

/// What stopped a walk.
#[derive(Debug)]
pub(super) enum Stop {
    /// The value's end.
    End,
    /// As many bytes as were asked for, between two elements.
    Enough,
}

/// A value that is being gone past.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    kind: u8,
    shape: Shape,
    stage: Stage,
    /// Elements passed since this was set to zero.
    pub(super) passed: u64,
}

impl Walk {
    /// At the beginning of a value; `None` if its type is unknown.
    pub(super) fn new(kind: u8, dialect: Dialect) -> Option<Walk> {
        Some(Walk {
            kind,
            shape: shape(kind, dialect)?,
            stage: Stage::Head,
            passed: 0,
        })
    }

    /// Goes on, past about `most` bytes of elements. When bytes are missing, everything up to `r` has been gone past.
    pub(super) fn go(&mut self, r: &mut Cursor<'_>, most: usize) -> Result<Stop, Short> {
        if self.shape.counted || self.kind == kinds::MODULE_2 {
            return self.go_counted(r, most);
        }
        // The usual case: one text.
        let mut at = r.clone();
        at.skip(self.shape.head)?;
        at.skip_string()?;
        *r = at;
        Ok(Stop::End)
    }

    fn go_counted(&mut self, r: &mut Cursor<'_>, most: usize) -> Result<Stop, Short> {
        let start = r.left();
        loop {
            let mut at = r.clone();
            if let Stage::Elements(left) = &mut self.stage {
                while *left > 0 {
                    if start - at.left() >= most {
                        *r = at;
                        return Ok(Stop::Enough);
                    }
                    let before = at.clone();
                    if let Err(short) = element(&mut at, self.shape.element) {
                        *r = before;
                        return Err(short);
                    }
                    *left -= 1;
                    self.passed += 1;
                }
                *r = at;
                if !self.is_stream() {
                    self.stage = Stage::Done;
                    return Ok(Stop::End);
                }
                self.stage = Stage::Counters;
                continue;
            }
            self.stage = self.next(&mut at)?;
            *r = at;
            if let Stage::Done = self.stage {
                return Ok(Stop::End);
            }
        }
    }

    fn is_stream(&self) -> bool {
        matches!(
            self.kind,
            kinds::STREAM_LISTPACKS
                | kinds::STREAM_LISTPACKS_2
                | kinds::STREAM_LISTPACKS_3
                | kinds::STREAM_LISTPACKS_4
                | kinds::STREAM_LISTPACKS_5
        )
    }

    /// Goes past one step of what is not an element, and says what comes then.
    fn next(&self, r: &mut Cursor<'_>) -> Result<Stage, Short> {
        let numbers = |r: &mut Cursor<'_>, n: usize| -> Result<(), Short> {
            for _ in 0..n {
                r.length()?;
            }
            Ok(())
        };
        let after_groups = if self.kind >= kinds::STREAM_LISTPACKS_4 {
            Stage::Producers
        } else {
            Stage::Done
        };
        let counters = self.kind != kinds::STREAM_LISTPACKS;
        let active = self.kind >= kinds::STREAM_LISTPACKS_3;
        Ok(match self.stage {
            Stage::Head => {
                r.skip(self.shape.head)?;
                if self.shape.counted {
                    Stage::Elements(r.length()?)
                } else {
                    Stage::Elements(1)
                }
            }
            Stage::Counters => {
                numbers(r, if counters { 8 } else { 3 })?;
                Stage::Groups(r.length()?)
            }
            Stage::Groups(0) => after_groups,
            Stage::Groups(groups) => {
                r.skip_string()?;
                numbers(r, if counters { 3 } else { 2 })?;
                let left = r.length()?;
                let groups = groups - 1;
                Stage::Pending { groups, left }
            }
            Stage::Pending { groups, left: 0 } => Stage::ConsumerCount { groups },
            Stage::Pending { groups, left } => {
                r.skip(24)?;
                r.length()?;
                let left = left - 1;
                Stage::Pending { groups, left }
            }
            Stage::ConsumerCount { groups } => {
                let left = r.length()?;
                Stage::Consumers { groups, left }
            }
            Stage::Consumers { groups, left: 0 } if self.kind >= kinds::STREAM_LISTPACKS_5 => {
                let left = r.length()?;
                Stage::Unowned { groups, left }
            }
            Stage::Consumers { groups, left: 0 } => Stage::Groups(groups),
            Stage::Unowned { groups, left: 0 } => Stage::Groups(groups),
            Stage::Unowned { groups, left } => {
                r.skip(16)?;
                let left = left - 1;
                Stage::Unowned { groups, left }
            }
            Stage::Consumers { groups, left } => {
                r.skip_string()?;
                r.skip(if active { 16 } else { 8 })?;
                Stage::Owned {
                    groups,
                    consumers: left - 1,
                    left: r.length()?,
                }
            }
            Stage::Owned {
                groups,
                consumers,
                left,
            } => {
                // All of the same length, so that they can be passed together.
                let there = (r.left() as u64 / 16).min(left);
                if there == 0 && left > 0 {
                    return Err(Short::Missing(16 - r.left() as u64));
                }
                r.skip(there * 16)?;
                if there < left {
                    let left = left - there;
                    Stage::Owned {
                        groups,
                        consumers,
                        left,
                    }
                } else {
                    Stage::Consumers {
                        groups,
                        left: consumers,
                    }
                }
            }
            Stage::Producers => {
                numbers(r, 2)?;
                Stage::Producer { left: r.length()? }
            }
            Stage::Producer { left: 0 } => Stage::Ending,
            Stage::Producer { left } => {
                r.skip_string()?;
                Stage::Messages {
                    producers: left - 1,
                    left: r.length()?,
                }
            }
            Stage::Messages { producers, left: 0 } => Stage::Producer { left: producers },
            Stage::Messages { producers, left } => {
                r.skip_string()?;
                numbers(r, 2)?;
                let left = left - 1;
                Stage::Messages { producers, left }
            }
            Stage::Ending => {
                numbers(r, 2)?;
                Stage::Done
            }
            Stage::Elements(_) | Stage::Done => Stage::Done,
        })
    }
}

#[inline]
fn element(r: &mut Cursor<'_>, parts: &[Part]) -> Result<(), Short> {
    for part in parts {
        match part {
            Text => r.skip_string()?,
            Number => drop(r.length()?),
            Bytes(n) => r.skip(*n)?,
            Score => r.skip_double_text()?,
            Module => metadata::skip_module_data(r)?,
        }
    }
    Ok(())
}
