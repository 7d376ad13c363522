//! What a selector's rules were about, in the order in which they came, and found by name: users may have thousands of rules, and
//! each of them has to look whether it makes another one void.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

/// Rules of commands, by their names in lower case.
#[derive(Clone, Debug, Default)]
pub(super) struct CommandRules {
    /// Each with its number, and whether it allows.
    rules: BTreeMap<Box<[u8]>, (u64, bool)>,
    next: u64,
}

/// How they are numbered does not matter, only their order.
impl PartialEq for CommandRules {
    fn eq(&self, other: &CommandRules) -> bool {
        self.in_order() == other.in_order()
    }
}

impl Eq for CommandRules {}

impl CommandRules {
    pub fn clear(&mut self) {
        *self = CommandRules::default();
    }

    /// Adds a rule behind all others, in place of those that it makes void: of the same command and of its subcommands.
    pub fn note(&mut self, allow: bool, name: &[u8]) {
        let name = name.to_ascii_lowercase();
        let mut below = name.clone();
        below.push(b'|');
        loop {
            let from = Bound::Excluded(&below[..]);
            let next = self.rules.range::<[u8], _>((from, Bound::Unbounded)).next();
            match next.filter(|(known, _)| known.starts_with(&below)) {
                Some((known, _)) => {
                    let known = known.clone();
                    self.rules.remove(&known);
                }
                None => break,
            }
        }
        self.rules.remove(&below[..]);
        self.rules.insert(name.into(), (self.next, allow));
        self.next += 1;
    }

    /// All of them, in order.
    pub fn in_order(&self) -> Vec<(bool, &[u8])> {
        let mut rules: Vec<_> = self.rules.iter().collect();
        rules.sort_unstable_by_key(|(_, (number, _))| *number);
        rules
            .into_iter()
            .map(|(name, (_, allow))| (*allow, &**name))
            .collect()
    }
}

/// Patterns, each of which is there once.
#[derive(Clone, Debug)]
pub(super) struct Patterns<T> {
    list: Vec<T>,
    /// Their places, once there are many.
    places: HashMap<Box<[u8]>, usize>,
}

impl<T> Default for Patterns<T> {
    fn default() -> Patterns<T> {
        Patterns {
            list: Vec::new(),
            places: HashMap::new(),
        }
    }
}

impl<T: PartialEq> PartialEq for Patterns<T> {
    fn eq(&self, other: &Patterns<T>) -> bool {
        self.list == other.list
    }
}

impl<T: Eq> Eq for Patterns<T> {}

/// Of so few, looking at each is quick.
const FEW: usize = 16;

impl<T: AsRef<[u8]>> Patterns<T> {
    pub fn clear(&mut self) {
        *self = Patterns::default();
    }

    /// The one with this text.
    pub fn find(&mut self, text: &[u8]) -> Option<&mut T> {
        let at = match self.list.len() {
            ..=FEW => self.list.iter().position(|known| known.as_ref() == text),
            _ => self.places.get(text).copied(),
        };
        self.list.get_mut(at?)
    }

    /// Adds one that is not there.
    pub fn push(&mut self, pattern: T) {
        self.list.push(pattern);
        let from = match self.list.len() {
            ..=FEW => return,
            _ if self.places.is_empty() => 0,
            len => len - 1,
        };
        for (at, pattern) in self.list.iter().enumerate().skip(from) {
            self.places.insert(pattern.as_ref().into(), at);
        }
    }

    /// All of them, in order.
    pub fn list(&self) -> &[T] {
        &self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_rules_replace_those_that_they_make_void() {
        let mut rules = CommandRules::default();
        for (allow, name) in [
            (true, "get"),
            (true, "config|get"),
            (false, "@read"),
            (true, "select|1"),
            (true, "configs"),
            (true, "SELECT|2"),
            (false, "get"),
            (false, "config"),
            (true, "select|1"),
        ] {
            rules.note(allow, name.as_bytes());
        }
        let text: Vec<String> = rules
            .in_order()
            .iter()
            .map(|(allow, name)| {
                format!("{}{}", if *allow { '+' } else { '-' }, name.escape_ascii())
            })
            .collect();
        assert_eq!(
            text.join(" "),
            "-@read +configs +select|2 -get -config +select|1"
        );
    }

    #[test]
    fn patterns_are_found_among_few_and_many() {
        let mut patterns: Patterns<Box<[u8]>> = Patterns::default();
        for i in 0..100 {
            let text = format!("p{i}");
            assert!(patterns.find(text.as_bytes()).is_none());
            patterns.push(text.as_bytes().into());
            for known in 0..=i {
                let text = format!("p{known}");
                let found = patterns.find(text.as_bytes()).expect("it was added");
                assert_eq!(**found, *text.as_bytes());
            }
        }
        assert_eq!(patterns.list().len(), 100);
        assert_eq!(*patterns.list()[99], *b"p99");
    }
}
