//! The locks a command needs, in ascending order of shard (see [`store::locks`]).

use crate::context::command::{
    ALL_SHARDS, Entry, IN_MULTI, OWN_LOCKS, PATTERN_KEYS, RUNS_QUEUE, RUNS_SCRIPT, WRITE,
};
use crate::context::engine::Engine;
use crate::context::multi::{Wanted, locks_of};
use crate::context::session::Session;
use crate::dispatch::look_ahead::Planned;
use crate::door::held::Held;
use crate::door::known::KnownKey;
use crate::table::registry::KeyLayout;
use store::keyspace::Token;
use store::locks::Indices;
use store::table::{Probe, fetch_all};

/// Multi-key commands start fetching the entries of this many keys at once.
const KEYS_AHEAD: usize = 32;

/// Room for the places of so many keys is kept for the next command.
const KEEP: usize = 1024;

/// What a command holds while it runs.
pub(super) struct Locked<'e> {
    pub held: Held<'e>,
    /// The first key.
    pub first: KnownKey,
    pub token: Option<Token<'e>>,
}

impl<'e> Locked<'e> {
    fn of(held: Held<'e>, first: KnownKey) -> Locked<'e> {
        Locked {
            held,
            first,
            token: None,
        }
    }
}

/// Takes the locks a command needs; the places of several keys are left in `known`. If that is not possible within some tens of microseconds, nothing is held, and the error is
/// what the session has to stand in line for.
#[inline]
pub(super) fn lock<'e>(
    engine: &'e Engine,
    session: &mut Session,
    entry: &Entry,
    planned: &Planned,
    argv: &[&[u8]],
    known: &mut Vec<KnownKey>,
) -> Result<Locked<'e>, usize> {
    let ks = engine.keyspace();
    known.clear();
    if let KeyLayout::One(i) = entry.keys
        && let Some(place) = planned.place()
    {
        let shard = place.shard();
        let may_serve = || entry.command.has(WRITE) && engine.follow.effects.needs_further(shard);
        if !may_serve() {
            let guard = match ks.try_lock(shard) {
                Some(guard) => guard,
                None => ks.lock_soon(shard, session.ticket()).ok_or(shard)?,
            };
            // Asked again with the lock held, under which whoever waits for the key was listed meanwhile.
            if !may_serve() {
                let first = KnownKey::new(argv[i], place);
                return Ok(Locked::of(Held::One(shard, guard), first));
            }
        }
    }
    lock_several(engine, session, entry, planned, argv, known)
}

fn lock_several<'e>(
    engine: &'e Engine,
    session: &mut Session,
    entry: &Entry,
    planned: &Planned,
    argv: &[&[u8]],
    known: &mut Vec<KnownKey>,
) -> Result<Locked<'e>, usize> {
    let ks = engine.keyspace();
    let command = entry.command;
    let mut wanted = Wanted::default();
    let mut ahead: smallvec::SmallVec<[(Probe, u64); KEYS_AHEAD]> = smallvec::SmallVec::new();
    if known.capacity() > KEEP {
        *known = Vec::new();
    }
    if command.has(ALL_SHARDS)
        || command.has(PATTERN_KEYS) && crate::table::positions::has_patterns(argv)
    {
        wanted.all = true;
    } else if command.has(RUNS_QUEUE) {
        locks_of(session, &mut wanted);
    } else if !command.has(OWN_LOCKS) {
        let db = session.db;
        let mut add = |key: &[u8]| {
            let planned = planned.place().filter(|_| known.is_empty());
            let place = planned.unwrap_or_else(|| ks.place(key));
            known.push(KnownKey::new(key, place));
            wanted.shards.push(place.shard());
            if ahead.len() < KEYS_AHEAD {
                ahead.push(ks.find_home(db, place));
            }
        };
        match entry.keys {
            // Any lock will do to be wholly before, or wholly after, the moment of a copy or of another role.
            KeyLayout::None if command.has(WRITE) => wanted.shards.push(0),
            KeyLayout::None => {}
            KeyLayout::One(i) => argv.get(i).into_iter().for_each(|key| add(key)),
            KeyLayout::Range { first, last, step } => {
                let last = if last < 0 {
                    argv.len().saturating_sub(last.unsigned_abs() as usize)
                } else {
                    (last as usize).min(argv.len() - 1)
                };
                let mut i = first;
                while i <= last && i < argv.len() {
                    add(argv[i]);
                    i += step;
                }
            }
            KeyLayout::General => {
                crate::table::positions::each_key(entry, argv, |i, _| add(argv[i]))
            }
        }
    }
    fetch_all(&ahead, false);
    if let Some(parked) = &session.parked {
        wanted.shards.extend_from_slice(&parked.needs);
        wanted.token |= parked.needs_token;
    }
    let token = match wanted.token {
        true => Some(match ks.try_token() {
            Some(token) => token,
            None => ks.token_soon(session.ticket()).ok_or(ks.token_index())?,
        }),
        false => None,
    };
    if wanted.all {
        wanted.shards = (0..ks.shards()).collect();
    }
    let mut held = match wanted.shards[..] {
        [] => Held::None,
        [shard] => Held::One(
            shard,
            match ks.try_lock(shard) {
                Some(guard) => guard,
                None => ks.lock_soon(shard, session.ticket()).ok_or(shard)?,
            },
        ),
        _ => Held::of_many(ks.lock_many_soon(&mut wanted.shards, session.ticket())?),
    };
    // Clients that wait for these keys may, when they are served, change keys of further shards.
    if engine.follow.effects.listening()
        && !wanted.all
        && command.has(WRITE | IN_MULTI | RUNS_SCRIPT)
    {
        loop {
            let mut more = Indices::new();
            held.each(|shard| {
                engine
                    .follow
                    .effects
                    .further_shards(shard, &mut |s| more.push(s))
            });
            more.retain(|shard| !held.has(*shard));
            if more.is_empty() {
                break;
            }
            held.each(|shard| more.push(shard));
            drop(held);
            held = Held::of_many(ks.lock_many_soon(&mut more, session.ticket())?);
        }
    }
    let first = known.first().copied().unwrap_or_default();
    Ok(Locked { held, first, token })
}
