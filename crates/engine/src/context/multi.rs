//! What MULTI collects and WATCH guards.
//!
//! Between MULTI and EXEC dispatch only checks commands (that they exist, that their number of arguments fits) and puts
//! them into the session's [`Multi`]. EXEC then needs the locks of all their keys at once, so that nobody sees a state
//! between two of them: [`locks_of`] adds them up, together with those of the watched keys, whose expiry is looked at.

use crate::context::command::Entry;
use crate::context::command::{ALL_SHARDS, NOSCRIPT, OWN_LOCKS, PATTERN_KEYS, RUNS_SCRIPT, WRITE};
use crate::context::ctx::Ctx;
use crate::context::session::Session;
use crate::door::known::PlacedKey;
use crate::follow::effects::Watch;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use store::Place;
use store::locks::Indices;

/// Memory of a queue that is kept for the next one, in bytes.
const KEEP_BYTES: usize = 64 << 10;

struct Queued {
    entry: *const Entry,
    first_arg: usize,
    argc: usize,
    first_key: usize,
}

/// Queued commands.
#[derive(Default)]
pub struct Multi {
    commands: Vec<Queued>,
    /// Where each argument ends in `bytes`.
    ends: Vec<usize>,
    bytes: Vec<u8>,
    /// The keys of each command, one after the other.
    keys: Vec<PlacedKey>,
    /// A command was refused: EXEC will fail.
    pub aborted: bool,
    /// What they do: all flags that one of them has, as the [gate](crate::context::gate) sees them.
    pub flags: u64,
    /// All flags that one of their rows does not have.
    pub missing_flags: u64,
    /// How many there are up to the last one that runs a script.
    pub(crate) scripts_end: usize,
    /// One of them does more than what can be taken back, which is what a script may do.
    beyond_undoing: bool,
    /// What EXEC has found out that it needs beside what it knows, when it was tried before.
    pub(crate) learned: Learned,
}

/// What a transaction with scripts in it has found out.
#[derive(Default)]
pub(crate) struct Learned {
    /// Shards that it needs.
    pub shards: Indices,
    /// It also needs the keyspace's token.
    pub token: bool,
    /// How often it has started over.
    pub restarts: u32,
}

// SAFETY: the pointers lead into the registry of the session's engine, which the session keeps alive and which never
// changes.
unsafe impl Send for Multi {}

impl Multi {
    /// Number of commands.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Number of arguments of all of them.
    pub(crate) fn words(&self) -> usize {
        self.ends.len()
    }

    /// Bytes that it takes.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.commands.capacity() * size_of::<Queued>()
            + self.keys.capacity() * size_of::<PlacedKey>()
    }

    /// Adds a command of the session's engine with the keys that it names. `flags`: what it does.
    pub(crate) fn push(&mut self, entry: &Entry, argv: &[&[u8]], keys: &[PlacedKey], flags: u64) {
        self.missing_flags |= !entry.command.facts.flags;
        self.commands.push(Queued {
            entry,
            first_arg: self.ends.len(),
            argc: argv.len(),
            first_key: self.keys.len(),
        });
        self.keys.extend_from_slice(keys);
        for arg in argv {
            self.bytes.extend_from_slice(arg);
            self.ends.push(self.bytes.len());
        }
        self.flags |= flags;
        match entry.command.has(RUNS_SCRIPT) {
            true => self.scripts_end = self.commands.len(),
            false => self.beyond_undoing |= entry.command.has(NOSCRIPT),
        }
    }

    /// Whether it has scripts in it, which may turn out to need further shards, and all that it does can be taken back then.
    pub(crate) fn is_undoable(&self) -> bool {
        self.scripts_end > 0 && !self.beyond_undoing
    }

    fn argv<'a>(&'a self, command: &Queued, into: &mut SmallVec<[&'a [u8]; 8]>) {
        into.clear();
        let mut from = match command.first_arg {
            0 => 0,
            n => self.ends[n - 1],
        };
        for &end in &self.ends[command.first_arg..command.first_arg + command.argc] {
            into.push(&self.bytes[from..end]);
            from = end;
        }
    }

    /// Calls `f` with every command: its row, its arguments, and the keys among them.
    pub(crate) fn each(&self, mut f: impl FnMut(&Entry, &[&[u8]], &[PlacedKey])) {
        let mut argv = SmallVec::new();
        for (at, command) in self.commands.iter().enumerate() {
            // SAFETY: the registry outlives the session that this belongs to; see above.
            let entry = unsafe { &*command.entry };
            self.argv(command, &mut argv);
            let next = self.commands.get(at + 1);
            let end = next.map_or(self.keys.len(), |next| next.first_key);
            f(entry, &argv, &self.keys[command.first_key..end]);
        }
    }

    fn clear(&mut self) {
        self.commands.clear();
        self.ends.clear();
        self.bytes.clear();
        self.keys.clear();
        self.aborted = false;
        self.flags = 0;
        self.missing_flags = 0;
        self.scripts_end = 0;
        self.beyond_undoing = false;
        self.learned = Learned::default();
    }
}

/// The keys a session watches.
#[derive(Default)]
pub struct Watching {
    pub(crate) watch: Arc<Watch>,
    /// By database and name, and where each belongs.
    pub(crate) keys: HashMap<(usize, Box<[u8]>), Place>,
}

impl Session {
    /// Begins to queue commands.
    pub(crate) fn begin_multi(&mut self) {
        self.multi = Some(self.spare_multi.take().unwrap_or_default());
        self.client.queued.store(1, Relaxed);
    }

    /// Stops queueing; what is queued is forgotten.
    pub(crate) fn end_multi(&mut self) {
        if let Some(multi) = self.multi.take() {
            self.keep_multi(multi);
        }
    }

    /// Keeps a queue's memory for the next one.
    pub(crate) fn keep_multi(&mut self, mut multi: Box<Multi>) {
        self.client.queued.store(0, Relaxed);
        self.client.queued_bytes.store(0, Relaxed);
        if multi.memory() <= KEEP_BYTES {
            multi.clear();
            self.spare_multi = Some(multi);
        }
    }

    /// Forgets all watched keys.
    pub(crate) fn unwatch(&mut self) {
        let Some(watching) = self.watching.take() else {
            return;
        };
        for ((db, key), place) in &watching.keys {
            self.engine
                .follow
                .effects
                .unwatch(place.shard(), *db, key, &watching.watch);
        }
        let bytes: usize = watching.keys.keys().map(|(_, key)| key.len()).sum();
        self.client.listed_bytes.fetch_sub(bytes, Relaxed);
        self.client.watched.store(0, Relaxed);
        self.engine.follow.effects.watching.fetch_sub(1, Relaxed);
    }
}

/// Whether a watched key has changed, or has expired since. The locks of the watched keys are held.
pub(crate) fn watched_key_changed(ctx: &Ctx<'_>) -> bool {
    let Some(watching) = &ctx.session.watching else {
        return false;
    };
    let now_ms = ctx.keys.now_ms;
    watching.watch.dirty.load(Relaxed)
        || watching.keys.iter().any(|((db, key), place)| {
            let expiry = ctx.keys.expiry_at(*place, *db, key).flatten();
            expiry.is_some_and(|ms| ms <= now_ms) && {
                let effects = &ctx.engine.follow.effects;
                !effects.had_expired(place.shard(), *db, key, &watching.watch)
            }
        })
}

/// Which locks a command needs.
#[derive(Default)]
pub(crate) struct Wanted {
    /// Every shard's.
    pub all: bool,
    /// These shards'.
    pub shards: Indices,
    /// It may turn out to need more while it runs, and could not be undone then.
    pub token: bool,
}

/// What EXEC needs.
pub(crate) fn locks_of(session: &Session, wanted: &mut Wanted) {
    if let Some(watching) = &session.watching {
        let places = watching.keys.values();
        wanted.shards.extend(places.map(|place| place.shard()));
    }
    let Some(multi) = &session.multi else {
        return;
    };
    wanted.shards.extend_from_slice(&multi.learned.shards);
    wanted.token |= multi.learned.token || multi.scripts_end > 0 && !multi.is_undoable();
    multi.each(|entry, argv, keys| {
        let command = entry.command;
        if command.has(ALL_SHARDS | OWN_LOCKS)
            || command.has(PATTERN_KEYS) && crate::table::positions::has_patterns(argv)
        {
            wanted.all = true;
        } else if command.has(WRITE) && keys.is_empty() {
            // As dispatch has it.
            wanted.shards.push(0);
        } else {
            wanted
                .shards
                .extend(keys.iter().map(|key| key.place.shard()));
        }
    });
}
