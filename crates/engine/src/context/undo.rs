//! What has to start over: a script, or a transaction with scripts in it, that found out late which shards it needs.
//!
//! Such a one begins *undoable* ([`Ctx::undo`]): before a command writes to a key, the key's old value is kept. Where it cannot
//! go on, it says why ([`Ctx::restart`]), everything is put back, all locks are released, and it begins again with the locks of all it
//! has touched so far. Nothing of the first try can be seen: announcements wait for the end. What cannot be kept cheaply (a large
//! collection, FLUSHALL) makes it *definite*: it takes the keyspace's one [`Token`](store::keyspace::Token), with which it may
//! wait for further shards while it holds others.

use crate::context::command::Entry;
use crate::context::ctx::Ctx;
use crate::door::known::PlacedKey;
use crate::table::positions::{each_key, has_patterns};

use crate::table::row::{
    ALL_SHARDS, CHANGES_READ_KEYS, KS_RO, OTHER_DB, OWN_LOCKS, PATTERN_KEYS, WRITE,
};

/// Why something cannot go on and has to be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    /// It needs a shard that it does not hold.
    Shard(usize),
    /// It is to do what cannot be undone, and somebody else has the token.
    Token,
    /// It is slow, and this is a worker.
    Elsewhere,
    /// The server stops.
    Stopping,
    /// Changes are put off since a moment when it held nothing.
    AtTheGate,
}

impl Ctx<'_> {
    /// From here on everything can be taken back.
    pub(crate) fn begin_undoable(&mut self) {
        self.undo = Some(self.keys.undo_from_here());
    }

    /// Gets ready for a command that is about to be carried out as part of something undoable: keeps what it changes, or makes
    /// the whole definite. The shards of its keys, `placed`, are held.
    pub(crate) fn keep_what_changes(
        &mut self,
        entry: &Entry,
        argv: &[&[u8]],
        placed: &[PlacedKey],
    ) -> Result<(), Restart> {
        let command = entry.command;
        if self.undo.is_none() || !command.has(WRITE) {
            return Ok(());
        }
        // Some write into another database.
        let anywhere = command.has(ALL_SHARDS | OWN_LOCKS | OTHER_DB);
        if anywhere || command.has(PATTERN_KEYS) && has_patterns(argv) {
            return self.become_definite();
        }
        let (keys, mut kept) = (&self.keys, true);
        if let Some(undo) = &mut self.undo {
            let mut places = placed.iter().peekable();
            each_key(entry, argv, |i, flags| {
                let known = places.next_if(|key| key.index as usize == i);
                let place = known.map_or_else(|| keys.ks.place(argv[i]), |key| key.place);
                // Whoever stores what it makes of a set first removes what has expired of it.
                if flags & KS_RO == 0
                    || command.has(CHANGES_READ_KEYS)
                    || keys.has_due_elements(argv[i], place)
                {
                    kept = kept && keys.save(undo, keys.db, (argv[i], place));
                }
            });
        }
        match kept {
            true => Ok(()),
            false => self.become_definite(),
        }
    }

    /// Nothing is taken back any more.
    fn become_definite(&mut self) -> Result<(), Restart> {
        if self.keys.token.is_none() {
            let token = self.engine.keyspace().try_token();
            self.keys.token = Some(token.ok_or(Restart::Token)?);
        }
        self.undo = None;
        Ok(())
    }

    /// Takes back all that was done since [`Ctx::begin_undoable`], while its locks are held.
    pub(crate) fn take_back(&mut self) {
        let Some(undo) = self.undo.take() else {
            return;
        };
        self.keys.take_back(undo);
        if !self.keys.changes.is_empty() {
            let client = self.session.client.clone();
            self.engine.follow.apply(&mut self.keys, Some(&client));
        }
        // Now, for without the locks others could come between it and what is written down of it.
        self.engine
            .write_down(&mut self.keys, &mut self.session.clock);
    }
}
