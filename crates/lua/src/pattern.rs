//! Lua's patterns, matched in steps that can be counted and stopped.
//!
//! The matcher of Lua's own library calls itself for every item of a pattern and cannot be interrupted, and a pattern of forty
//! characters can keep it busy for years. This one keeps the ways it has not tried yet in a list, so that neither time
//! nor the C stack is taken without bound: after so many steps it asks whether to go on. What it finds, and the faults it
//! finds in patterns, are those of Lua 5.1, to which a test compares it.
//!
//! As there, a pattern ends at its first NUL.

/// Most captures of a pattern.
pub(crate) const MAX_CAPTURES: usize = 32;

/// Steps between two looks at whether to go on.
pub(crate) const STEPS: usize = 50_000;

/// A part of the text that a pattern has captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capture {
    pub start: usize,
    pub extent: Extent,
}

/// How far a capture reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Its end has not been met.
    Open,
    /// `()`: it is a place, and has no extent.
    Place,
    /// So many bytes.
    Bytes(usize),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault<S> {
    /// The pattern is wrong, with Lua's words for it.
    Malformed(&'static str),
    /// It was not to go on.
    Stopped(S),
}

/// What is to be tried, or taken back, when the way that is being tried fails.
#[derive(Clone, Copy)]
pub(crate) enum Choice {
    /// An item that has been taken more often than it must: `more` times can be given back from `text` on.
    Fewer {
        text: usize,
        more: usize,
        pattern: usize,
    },
    /// An item that may be taken once more at `text`.
    Another {
        text: usize,
        item: usize,
        end: usize,
    },
    /// An item that need not be taken.
    Without { text: usize, pattern: usize },
    /// The last capture was begun.
    Began,
    /// This capture was ended.
    Ended(usize),
}

/// Who is asked every [`STEPS`] steps whether to go on.
pub(crate) trait GoOn {
    /// Why not.
    type No;
    fn go_on(&mut self) -> Result<(), Self::No>;
}

/// What a pattern has captured.
pub(crate) struct Captures {
    all: [Capture; MAX_CAPTURES],
    /// Those that have been begun.
    level: usize,
}

impl Captures {
    /// None yet.
    pub const fn new() -> Captures {
        let none = Capture {
            start: 0,
            extent: Extent::Open,
        };
        Captures {
            all: [none; MAX_CAPTURES],
            level: 0,
        }
    }

    /// The captures of the last match.
    pub fn get(&self) -> &[Capture] {
        &self.all[..self.level]
    }
}

/// Matches one pattern against one text.
pub(crate) struct Matcher<'a, G> {
    text: &'a [u8],
    pattern: &'a [u8],
    captures: &'a mut Captures,
    choices: &'a mut Vec<Choice>,
    steps: usize,
    go_on: G,
}

impl<'a, G: GoOn> Matcher<'a, G> {
    /// `choices` is memory that it may use.
    pub fn new(
        text: &'a [u8],
        pattern: &'a [u8],
        captures: &'a mut Captures,
        choices: &'a mut Vec<Choice>,
        go_on: G,
    ) -> Matcher<'a, G> {
        Matcher {
            text,
            pattern: until_nul(pattern),
            captures,
            choices,
            steps: 0,
            go_on,
        }
    }

    /// Steps since it was last asked whether to go on.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Where a match that begins at `text` ends. The pattern is read from `pattern` on.
    pub fn match_at(&mut self, text: usize, pattern: usize) -> Result<Option<usize>, Fault<G::No>> {
        self.captures.level = 0;
        self.choices.clear();
        let (mut s, mut p) = (text, pattern);
        loop {
            if let Some(end) = self.follow(s, p)? {
                return Ok(Some(end));
            }
            match self.go_back()? {
                Some(way) => (s, p) = way,
                None => return Ok(None),
            }
        }
    }

    /// Follows the pattern from `p` on with the text from `s` on, noting other ways, to its end or to where it fails.
    fn follow(&mut self, mut s: usize, mut p: usize) -> Result<Option<usize>, Fault<G::No>> {
        loop {
            self.spend(1)?;
            let after = self.byte(p + 1);
            match self.byte(p) {
                0 => return Ok(Some(s)),
                b'(' => {
                    let place = after == b')';
                    let level = self.captures.level;
                    if level >= MAX_CAPTURES {
                        return Err(Fault::Malformed("too many captures"));
                    }
                    self.captures.all[level] = Capture {
                        start: s,
                        extent: if place { Extent::Place } else { Extent::Open },
                    };
                    self.captures.level += 1;
                    self.choices.push(Choice::Began);
                    p += if place { 2 } else { 1 };
                    continue;
                }
                b')' => {
                    let open = |c: &Capture| c.extent == Extent::Open;
                    let Some(at) = self.captures.get().iter().rposition(open) else {
                        return Err(Fault::Malformed("invalid pattern capture"));
                    };
                    let capture = &mut self.captures.all[at];
                    capture.extent = Extent::Bytes(s - capture.start);
                    self.choices.push(Choice::Ended(at));
                    p += 1;
                    continue;
                }
                b'$' if after == 0 => {
                    return Ok((s == self.text.len()).then_some(s));
                }
                b'%' if after == b'b' => match self.balanced(s, p + 2)? {
                    Some(end) => {
                        (s, p) = (end, p + 4);
                        continue;
                    }
                    None => return Ok(None),
                },
                b'%' if after == b'f' => {
                    p += 2;
                    if self.byte(p) != b'[' {
                        return Err(Fault::Malformed("missing '[' after '%f' in pattern"));
                    }
                    let end = self.item_end(p)?;
                    let before = match s {
                        0 => 0,
                        s => self.text[s - 1],
                    };
                    let here = self.text.get(s).copied().unwrap_or(0);
                    if self.in_set(before, p, end - 1) || !self.in_set(here, p, end - 1) {
                        return Ok(None);
                    }
                    p = end;
                    continue;
                }
                b'%' if after.is_ascii_digit() => {
                    let part = self.captured_text(after)?;
                    match part {
                        Some((start, len))
                            if self.text[s..].starts_with(&self.text[start..start + len]) =>
                        {
                            self.spend(len / 16)?;
                            (s, p) = (s + len, p + 2);
                            continue;
                        }
                        _ => return Ok(None),
                    }
                }
                _ => {}
            }
            // One item of the pattern and how often it may be there.
            let end = self.item_end(p)?;
            match self.byte(end) {
                b'*' | b'+' => {
                    let most = self.run_length(s, p, end)?;
                    let least = usize::from(self.byte(end) == b'+');
                    if most < least {
                        return Ok(None);
                    }
                    if most > least {
                        self.choices.push(Choice::Fewer {
                            text: s + least,
                            more: most - least,
                            pattern: end + 1,
                        });
                    }
                    (s, p) = (s + most, end + 1);
                }
                b'-' => {
                    self.choices.push(Choice::Another {
                        text: s,
                        item: p,
                        end,
                    });
                    p = end + 1;
                }
                b'?' => {
                    if self.is_item(s, p, end)? {
                        self.choices.push(Choice::Without {
                            text: s,
                            pattern: end + 1,
                        });
                        s += 1;
                    }
                    p = end + 1;
                }
                _ => {
                    if !self.is_item(s, p, end)? {
                        return Ok(None);
                    }
                    (s, p) = (s + 1, end);
                }
            }
        }
    }

    /// The next way to try; None if there is none.
    fn go_back(&mut self) -> Result<Option<(usize, usize)>, Fault<G::No>> {
        while let Some(choice) = self.choices.pop() {
            self.spend(1)?;
            match choice {
                Choice::Fewer {
                    text,
                    more,
                    pattern,
                } => {
                    let more = more - 1;
                    if more > 0 {
                        self.choices.push(Choice::Fewer {
                            text,
                            more,
                            pattern,
                        });
                    }
                    return Ok(Some((text + more, pattern)));
                }
                Choice::Another { text, item, end } => {
                    if self.is_item(text, item, end)? {
                        let text = text + 1;
                        self.choices.push(Choice::Another { text, item, end });
                        return Ok(Some((text, end + 1)));
                    }
                }
                Choice::Without { text, pattern } => return Ok(Some((text, pattern))),
                Choice::Began => self.captures.level -= 1,
                Choice::Ended(at) => self.captures.all[at].extent = Extent::Open,
            }
        }
        Ok(None)
    }

    #[inline]
    fn spend(&mut self, steps: usize) -> Result<(), Fault<G::No>> {
        self.steps += steps;
        if self.steps >= STEPS {
            self.steps = 0;
            self.go_on.go_on().map_err(Fault::Stopped)?;
        }
        Ok(())
    }

    /// The byte of the pattern at `at`; 0 at its end.
    #[inline]
    fn byte(&self, at: usize) -> u8 {
        self.pattern.get(at).copied().unwrap_or(0)
    }

    /// Where the item at `p` ends.
    fn item_end(&mut self, p: usize) -> Result<usize, Fault<G::No>> {
        match self.byte(p) {
            b'%' if p + 1 >= self.pattern.len() => {
                Err(Fault::Malformed("malformed pattern (ends with '%')"))
            }
            b'%' => Ok(p + 2),
            b'[' => {
                // The first member may be a bracket.
                let mut at = p + 1 + usize::from(self.byte(p + 1) == b'^');
                loop {
                    match self.pattern.get(at) {
                        None => return Err(Fault::Malformed("malformed pattern (missing ']')")),
                        Some(b'%') => at += 2,
                        Some(_) => at += 1,
                    }
                    if self.byte(at) == b']' {
                        break;
                    }
                }
                self.spend((at - p) / 4)?;
                Ok(at + 1)
            }
            _ => Ok(p + 1),
        }
    }

    /// Whether the byte of the text at `s` is what the item stands for.
    #[inline]
    fn is_item(&mut self, s: usize, item: usize, end: usize) -> Result<bool, Fault<G::No>> {
        let Some(&byte) = self.text.get(s) else {
            return Ok(false);
        };
        Ok(match self.pattern[item] {
            b'.' => true,
            b'%' => in_class(byte, self.pattern[item + 1]),
            b'[' => {
                self.spend((end - item) / 4)?;
                self.in_set(byte, item, end - 1)
            }
            own => own == byte,
        })
    }

    /// How many bytes from `s` on are what the item stands for.
    fn run_length(&mut self, s: usize, item: usize, end: usize) -> Result<usize, Fault<G::No>> {
        let mut at = s;
        while self.is_item(at, item, end)? {
            self.spend(1)?;
            at += 1;
        }
        Ok(at - s)
    }

    /// Whether a byte is in the set between the brackets at `open` and `close`.
    fn in_set(&self, byte: u8, open: usize, close: usize) -> bool {
        let mut at = open + 1;
        let negated = self.byte(at) == b'^';
        at += usize::from(negated);
        while at < close {
            let found = match self.pattern[at] {
                b'%' => {
                    at += 1;
                    in_class(byte, self.byte(at))
                }
                low if self.byte(at + 1) == b'-' && at + 2 < close => {
                    at += 2;
                    (low..=self.pattern[at]).contains(&byte)
                }
                own => own == byte,
            };
            if found {
                return !negated;
            }
            at += 1;
        }
        negated
    }

    /// Where a stretch ends that begins at `s` with the first of two bytes of the pattern and has as many of the second.
    fn balanced(&mut self, s: usize, p: usize) -> Result<Option<usize>, Fault<G::No>> {
        let (open, close) = (self.byte(p), self.byte(p + 1));
        if open == 0 || close == 0 {
            return Err(Fault::Malformed("unbalanced pattern"));
        }
        if self.text.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1usize;
        let mut at = s + 1;
        while let Some(&byte) = self.text.get(at) {
            self.spend(1)?;
            at += 1;
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at));
                }
            } else if byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    /// The start and the length of what the capture with this digit has; None if it is a place, which nothing equals.
    fn captured_text(&self, digit: u8) -> Result<Option<(usize, usize)>, Fault<G::No>> {
        let capture = usize::from(digit)
            .checked_sub(usize::from(b'1'))
            .and_then(|at| self.captures.get().get(at));
        match capture {
            None
            | Some(Capture {
                extent: Extent::Open,
                ..
            }) => Err(Fault::Malformed("invalid capture index")),
            Some(Capture {
                start,
                extent: Extent::Bytes(len),
            }) => Ok(Some((*start, *len))),
            Some(_) => Ok(None),
        }
    }
}

/// Whether a pattern without special characters is meant: a plain search finds what it would.
pub(crate) fn is_plain(pattern: &[u8]) -> bool {
    !until_nul(pattern)
        .iter()
        .any(|byte| b"^$*+?.([%-".contains(byte))
}

pub(crate) fn until_nul(text: &[u8]) -> &[u8] {
    match memchr::memchr(0, text) {
        Some(end) => &text[..end],
        None => text,
    }
}

/// Whether a byte is of the class of a letter, `%a`; capitals stand for all others, and what is no letter for itself.
fn in_class(byte: u8, class: u8) -> bool {
    let found = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | 9..=13),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    found != class.is_ascii_uppercase()
}
