//! The commands as rules name them: `get`, `config|set`, `@read`. Made of the table of commands once, so that rules need not know
//! what carries a command out.

use crate::table::categories::categories;
use crate::table::registry::{Entry, Registry};
use std::collections::HashMap;

/// A command or subcommand.
#[derive(Debug)]
pub(crate) struct Known {
    /// In lower case; a subcommand's is `container|sub`.
    pub name: &'static str,
    /// See [`crate::table::categories`].
    pub categories: u64,
    /// It is a subcommand.
    pub is_sub: bool,
    /// The ids of its subcommands.
    pub subs: Vec<usize>,
}

/// All commands by [id](Entry::id) and by name.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    known: Vec<Known>,
    by_name: HashMap<&'static str, usize>,
}

impl Catalog {
    /// Of all commands that there are.
    pub fn new<H>(registry: &Registry<H>) -> Catalog {
        let mut all: Vec<&Entry<H>> = registry.iter_all().collect();
        all.sort_by_key(|entry| entry.id);
        let known = |entry: &&Entry<H>| Known {
            name: entry.command.name,
            categories: categories(entry.command),
            is_sub: entry.command.name.contains('|'),
            subs: entry.subs.iter().map(|sub| sub.id).collect(),
        };
        let known: Vec<Known> = all.iter().map(known).collect();
        let by_name = known
            .iter()
            .enumerate()
            .map(|(id, command)| (command.name, id))
            .collect();
        Catalog { known, by_name }
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// The command of an id.
    pub fn get(&self, id: usize) -> &Known {
        &self.known[id]
    }

    /// The command or subcommand of this name, in any case.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        let name = str::from_utf8(name).ok()?.to_ascii_lowercase();
        self.by_name.get(&*name).copied()
    }

    /// The ids of all commands and subcommands that belong to one of these categories.
    pub fn of_category(&self, category: u64) -> impl Iterator<Item = usize> {
        let belongs = move |(_, command): &(usize, &Known)| command.categories & category != 0;
        self.known
            .iter()
            .enumerate()
            .filter(belongs)
            .map(|(id, _)| id)
    }
}
