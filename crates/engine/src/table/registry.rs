//! The table of all commands, found by name.

use crate::table::row::{Begin, Command, Facts, Find, KS_NOT_KEY};

/// Where dispatch finds the keys whose shards a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLayout {
    /// It has none.
    None,
    /// One, at this argument.
    One(usize),
    /// From `first`, every `step`th, up to `last` (from the end if negative).
    #[allow(missing_docs)]
    Range {
        first: usize,
        last: i32,
        step: usize,
    },
    /// As its key specs say.
    General,
}

/// A command with what is worked out about it once.
pub struct Entry<H: 'static> {
    /// Its row.
    pub command: &'static Command<H>,
    /// Index of its counters: dense, from 0.
    pub id: usize,
    /// Where its keys are.
    pub keys: KeyLayout,
    /// Its subcommands, by their own short names.
    pub subs: Vec<Entry<H>>,
    /// Its first word alone says that it is meant: it is no subcommand and has none.
    pub one_word: bool,
}

impl<H> Entry<H> {
    fn new(command: &'static Command<H>, next_id: &mut usize) -> Entry<H> {
        let id = *next_id;
        *next_id += 1;
        Entry {
            command,
            id,
            keys: layout(command),
            one_word: command.subs.is_empty() && !command.name.contains('|'),
            subs: command
                .subs
                .iter()
                .map(|c| Entry::new(c, next_id))
                .collect(),
        }
    }

    /// The subcommand of this name, in any case.
    pub fn sub(&self, name: &[u8]) -> Option<&Entry<H>> {
        self.subs
            .iter()
            .find(|e| e.short_name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Itself, or the subcommand that a call of it means.
    #[inline]
    pub(crate) fn meant(&self, argv: &[&[u8]]) -> Option<&Entry<H>> {
        match argv.get(1) {
            Some(sub) if !self.subs.is_empty() => self.sub(sub),
            _ => Some(self),
        }
    }

    /// The name without the container's.
    pub(crate) fn short_name(&self) -> &'static str {
        let name = self.command.name;
        name.split_once('|').map_or(name, |(_, sub)| sub)
    }
}

fn layout(c: &Facts) -> KeyLayout {
    let mut specs = c.keys.iter().filter(|k| k.flags & KS_NOT_KEY == 0);
    let Some(only) = specs.next() else {
        return KeyLayout::None;
    };
    if specs.next().is_some() {
        return KeyLayout::General;
    }
    match (only.begin, only.find) {
        (Begin::Index(first), Find::Range { last: 0, .. }) => KeyLayout::One(first as usize),
        (
            Begin::Index(first),
            Find::Range {
                last,
                step,
                limit: 0 | 1,
            },
        ) => KeyLayout::Range {
            first: first as usize,
            last: if last < 0 { last } else { first + last },
            step: step as usize,
        },
        _ => KeyLayout::General,
    }
}

/// See the module's page.
pub struct Registry<H: 'static> {
    entries: Vec<Entry<H>>,
    /// Open-addressed by [`slot_of`]: index into `entries` plus one.
    slots: Box<[u16; SLOTS]>,
    ids: usize,
}

const SLOTS: usize = 2048;

/// A hash of a short name in any case: its first eight bytes with the bit for lower case set, and its length.
#[inline]
fn slot_of(name: &[u8]) -> usize {
    let mut head = [0u8; 8];
    let n = name.len().min(8);
    head[..n].copy_from_slice(&name[..n]);
    let word = u64::from_le_bytes(head) | 0x2020_2020_2020_2020;
    let tail = name.last().map_or(0, |b| u64::from(b | 0x20));
    let mixed = (word ^ tail << 32 ^ (name.len() as u64) << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 53) as usize
}

impl<H> Registry<H> {
    /// Builds the table from families of rows.
    ///
    /// # Panics
    /// If a name stands twice.
    pub fn new(families: &[&'static [Command<H>]]) -> Registry<H> {
        let mut ids = 0;
        let mut entries: Vec<Entry<H>> = Vec::new();
        let mut slots = Box::new([0u16; SLOTS]);
        for command in families.iter().flat_map(|f| f.iter()) {
            let mut slot = slot_of(command.name.as_bytes());
            while slots[slot] != 0 {
                assert_ne!(
                    entries[slots[slot] as usize - 1].command.name,
                    command.name,
                    "a command declared twice"
                );
                slot = (slot + 1) % SLOTS;
            }
            entries.push(Entry::new(command, &mut ids));
            slots[slot] = entries.len() as u16;
        }
        Registry {
            entries,
            slots,
            ids,
        }
    }

    /// The command of this name, in any case.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&Entry<H>> {
        let mut slot = slot_of(name);
        loop {
            match self.slots[slot] {
                0 => return None,
                i => {
                    let e = &self.entries[i as usize - 1];
                    if e.command.name.as_bytes().eq_ignore_ascii_case(name) {
                        return Some(e);
                    }
                }
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// The command or subcommand that a call means; a container's first word alone means the container.
    #[inline]
    pub fn resolve(&self, argv: &[&[u8]]) -> Option<&Entry<H>> {
        self.get(argv[0])?.meant(argv)
    }

    /// The command called `name`, or the subcommand called `container|name`.
    pub fn by_full_name(&self, name: &[u8]) -> Option<&Entry<H>> {
        match name.iter().position(|&b| b == b'|') {
            None => self.get(name),
            Some(bar) => self.get(&name[..bar])?.sub(&name[bar + 1..]),
        }
    }

    /// All commands in the order of their families, subcommands inside their containers.
    pub fn iter(&self) -> impl Iterator<Item = &Entry<H>> {
        self.entries.iter()
    }

    /// All commands and subcommands.
    pub fn iter_all(&self) -> impl Iterator<Item = &Entry<H>> {
        self.entries
            .iter()
            .flat_map(|e| std::iter::once(e).chain(e.subs.iter()))
    }

    /// Number of commands, subcommands not counted.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no commands.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of ids given out.
    pub fn ids(&self) -> usize {
        self.ids
    }
}
