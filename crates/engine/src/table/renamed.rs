//! Commands that a configuration has given other names, or taken away (`rename-command`).
//!
//! These are the names that clients and scripts call commands by. Logs, replicas, rules of users and all that is shown keep the
//! commands' own: so a log can be read, and a replica can follow, whatever either of them renames.

use crate::table::registry::{Entry, Registry};
use smallvec::SmallVec;
use std::collections::HashMap;

/// What clients call differently than by its own name.
#[derive(Default)]
pub struct Renamed {
    /// By what a client may say, in lower case: the command's own name, or none where there is no such command any more.
    names: HashMap<Box<[u8]>, Option<&'static str>>,
    /// Bytes of the longest of these, so that no longer word is looked at.
    longest: usize,
}

/// A call's arguments with the command's own name first.
pub type OwnCall<'a> = SmallVec<[&'a [u8]; 8]>;

impl Renamed {
    /// The command that this name means, in any case.
    pub fn get<'a, H>(&self, registry: &'a Registry<H>, name: &[u8]) -> Option<&'a Entry<H>> {
        if name.len() > self.longest {
            return registry.get(name);
        }
        let lower: SmallVec<[u8; 32]> = name.iter().map(u8::to_ascii_lowercase).collect();
        match self.names.get(&*lower) {
            Some(own) => registry.get((*own)?.as_bytes()),
            None => registry.get(name),
        }
    }

    /// A command gets another name, or none at all if that is empty. The error is the reason.
    pub fn rename<H>(
        &mut self,
        registry: &Registry<H>,
        from: &str,
        to: &str,
    ) -> Result<(), &'static str> {
        let Some(entry) = self.get(registry, from.as_bytes()) else {
            return Err("No such command in rename-command");
        };
        let own = entry.command.name;
        self.insert(from, None);
        if to.is_empty() {
            return Ok(());
        }
        if self.get(registry, to.as_bytes()).is_some() {
            return Err("Target command name already exists");
        }
        self.insert(to, Some(own));
        Ok(())
    }

    fn insert(&mut self, name: &str, own: Option<&'static str>) {
        self.longest = self.longest.max(name.len());
        let lower = name.to_ascii_lowercase().into_bytes().into();
        self.names.insert(lower, own);
    }

    /// Whether a command, or the one whose subcommand it is, can be called by any name.
    pub fn has<H>(&self, entry: &Entry<H>) -> bool {
        let own = own_name(entry);
        self.names.values().any(|of| *of == Some(own)) || !self.names.contains_key(own.as_bytes())
    }
}

/// A call by the command's own name, if it is one by another.
pub fn by_own_name<'a, H>(entry: &Entry<H>, argv: &[&'a [u8]]) -> Option<OwnCall<'a>> {
    let own = own_name(entry).as_bytes();
    (!argv[0].eq_ignore_ascii_case(own)).then(|| {
        let mut argv = SmallVec::from_slice(argv);
        argv[0] = own;
        argv
    })
}

/// The first word of a call of this command.
fn own_name<H>(entry: &Entry<H>) -> &'static str {
    let name = entry.command.name;
    name.split_once('|').map_or(name, |(first, _)| first)
}
