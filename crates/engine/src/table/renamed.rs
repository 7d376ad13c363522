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
    names: HashMap<Vec<u8>, Option<&'static str>>,
}

impl Renamed {
    /// The command that this name means, in any case.
    pub fn get<'a, H>(&self, registry: &'a Registry<H>, name: &[u8]) -> Option<&'a Entry<H>> {
        match self.names.get(&name.to_ascii_lowercase()) {
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
        self.names.insert(from.to_ascii_lowercase().into(), None);
        if to.is_empty() {
            return Ok(());
        }
        if self.get(registry, to.as_bytes()).is_some() {
            return Err("Target command name already exists");
        }
        self.names.insert(to.to_ascii_lowercase().into(), Some(own));
        Ok(())
    }

    /// Whether a command, or the one whose subcommand it is, can be called by any name.
    pub fn has<H>(&self, entry: &Entry<H>) -> bool {
        let own = own_name(entry);
        self.names.values().any(|of| *of == Some(own)) || !self.names.contains_key(own.as_bytes())
    }
}

/// A call by the command's own name, if it is one by another.
pub fn by_own_name<'a, H>(entry: &Entry<H>, argv: &[&'a [u8]]) -> Option<SmallVec<[&'a [u8]; 8]>> {
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
