//! Several keys of a program at one moment: what the library's `update` works with.
//!
//! The locks of all keys that it declares are held from its beginning to its end, and nothing it does needs another. So it is a
//! transaction whose commands are decided on while it runs: nobody sees a state in between, what it changed is announced and
//! written down as a whole when it is done, and it can neither wait for somebody nor be waited for in a circle.

use crate::base::clock::{unix_ms, unix_nanos};
use crate::base::error::{Error, Result};
use crate::base::stats::Counters;
use crate::context::command::{Command, Group, PATTERN_KEYS, WRITE, row};
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use crate::context::gate::{self, Closed, Intent, LIBRARY, Request, UPDATE};
use crate::context::next::Next;
use crate::context::session::Session;
use crate::direct::{carry_out, write_up};
use crate::dispatch::worker::Worker;
use crate::door::held::Held;
use crate::door::keys::{Garbage, Keys};
use crate::door::known::{KnownKey, KnownKeys, PlacedKey};
use crate::table::positions::{each_key, has_patterns};
use resp::Out;
use smallvec::SmallVec;
use std::cell::Cell;
use std::num::NonZeroU64;
use std::sync::atomic::Ordering::Relaxed;
use store::Place;
use store::locks::Indices;

/// What runs, as far as nothing of it is a command.
static ROW: Command = row("update", 0, WRITE, Group::Generic, "", |_, _| {
    Err(Error::INTERNAL)
});

/// The keys of an update while it runs. Made by [`Worker::update`].
pub struct Update<'e> {
    ctx: Ctx<'e>,
    declared: &'e [&'e [u8]],
    /// Where each of them belongs.
    places: Places,
}

/// Places of keys, in their order.
type Places = SmallVec<[Place; 4]>;

impl Update<'_> {
    /// Where a key belongs, or that it is not declared.
    fn declared(&self, key: &[u8]) -> Result<Place> {
        let at = self.declared.iter().position(|declared| *declared == key);
        at.map(|at| self.places[at]).ok_or_else(|| undeclared(key))
    }

    /// Carries a command out; its reply, or its error, is added to [`Update::out`].
    pub fn call(&mut self, argv: &[&[u8]]) {
        let ctx = &mut self.ctx;
        if argv.is_empty() {
            return ctx.out.error_bytes(Error::SYNTAX.bytes());
        }
        let Some((entry, own)) = ctx.engine.resolve_nested(argv) else {
            let error = gate::unknown(ctx.engine, UPDATE, argv);
            ctx.keys.counters.error(error.code());
            return ctx.out.error_bytes(error.bytes());
        };
        let argv = own.as_deref().unwrap_or(argv);
        if let Err(closed) = gate::admit::<UPDATE>(&ctx.request(entry, argv)) {
            return ctx.refuse(entry, &closed.into_error());
        }
        if entry.command.has(PATTERN_KEYS) && has_patterns(argv) {
            return ctx.refuse(entry, &Error::not_in_update(entry.command.name));
        }
        let mut keys: Result<SmallVec<[PlacedKey; 4]>> = Ok(SmallVec::new());
        each_key(entry, argv, |i, _| {
            match (&mut keys, self.declared(argv[i])) {
                (Ok(keys), Ok(place)) => keys.push(PlacedKey::new(i, place)),
                (Ok(_), Err(error)) => keys = Err(error),
                (Err(_), _) => {}
            }
        });
        let ctx = &mut self.ctx;
        match keys {
            Ok(keys) => ctx.call(entry, argv, &keys),
            Err(error) => ctx.refuse(entry, &error),
        }
        ctx.next = Next::Done;
    }

    /// Where replies of commands are.
    pub fn out(&mut self) -> &mut Out {
        self.ctx.out
    }

    /// Lets `work` have one of the keys, as [`Engine::with_key`] does.
    ///
    /// # Errors
    /// The key is not declared, or the gate's error, or that of `work`.
    pub fn with_key<R>(
        &mut self,
        key: &[u8],
        intent: Intent,
        work: impl FnOnce(&mut Keys<'_>) -> Result<R>,
    ) -> Result<R> {
        let place = self.declared(key)?;
        let ctx = &mut self.ctx;
        let request = Request {
            engine: ctx.engine,
            session: Some(ctx.session),
            facts: intent.facts(),
            entry: None,
            within: ROW.name,
            argv: &[],
            more: 0,
            now_ms: ctx.keys.now_ms,
            in_reader: false,
            short: false,
            counters: ctx.keys.counters,
        };
        gate::admit::<UPDATE>(&request).map_err(Closed::into_error)?;
        ctx.keys.known.set_one(key, place);
        let result = carry_out(&mut ctx.keys, key, intent, work);
        if ctx.keys.recording {
            write_up(&mut ctx.keys, key);
        }
        ctx.keys.known.forget();
        result
    }
}

#[cold]
fn undeclared(key: &[u8]) -> Error {
    Error::quoting(
        "ERR an update works on the keys that it declares only, not on '{}'",
        &[key],
    )
}

impl Worker {
    /// Takes the locks of all of `keys` and lets `work` have the keys, and only them. `work` gives back what it gets.
    ///
    /// Waits while CLIENT PAUSE is in force, and as long as somebody else has one of the locks.
    ///
    /// # Errors
    /// The gate's; `work` has not been called then.
    pub fn update<R>(
        &mut self,
        session: &mut Session,
        keys: &[&[u8]],
        out: &mut Out,
        work: impl for<'e> FnOnce(Update<'e>) -> (R, Update<'e>),
    ) -> Result<R> {
        let engine = &*self.engine;
        let (held, places) = loop {
            engine.wait_at_the_gate(Intent::Change, unix_ms(), &self.counters)?;
            let locked = lock(engine, keys, &self.counters)?;
            // It may have been closed on the way here.
            if !(engine.may_close_to_changes() && engine.closes_to_changes(unix_ms())) {
                break locked;
            }
        };
        // For all that it does the time stands still.
        let now = unix_nanos();
        let now_ms = now / 1_000_000;
        let ctx = Ctx {
            keys: Keys {
                ks: engine.keyspace(),
                held,
                db: session.db,
                now_ms,
                frozen: false,
                coarse: false,
                clock: engine.config().live.aging.clock(now_ms),
                aging: &engine.config().live.aging,
                known: KnownKeys::new(KnownKey::default(), &mut self.known),
                counters: &self.counters,
                no_touch: session.client.no_touch.load(Relaxed),
                garbage: Garbage::new(),
                prepared: &[],
                listening: &engine.follow.effects.listening,
                changes: &mut self.changes,
                emptied: None,
                recording: engine.journal.is_on(),
                records: &mut self.records,
                own_expiries: engine.own_expiries(session.replays),
                token: None,
                room: engine.room(),
                #[cfg(debug_assertions)]
                named: Default::default(),
            },
            out,
            session,
            engine,
            command: &ROW,
            helper: true.into(),
            runner: &mut self.runner,
            nested: true,
            in_script: false,
            moment: NonZeroU64::new(now),
            undo: None,
            restart: Cell::new(None),
            stays_until_ms: Cell::new(0),
            next: Next::Done,
        };
        let (result, update) = work(Update {
            ctx,
            declared: keys,
            places,
        });
        let mut ctx = update.ctx;
        if !ctx.keys.changes.is_empty() {
            let client = ctx.session.client.clone();
            engine.follow.apply(&mut ctx.keys, Some(&client));
        }
        if ctx.keys.recording
            && let Some(piece) = engine.write_down(&mut ctx.keys, &mut ctx.session.clock)
        {
            ctx.session.piece = piece;
        }
        let Keys { held, garbage, .. } = ctx.keys;
        drop(held);
        for freed in garbage {
            engine.reclaimer.take(freed);
        }
        Ok(result)
    }
}

/// The places of keys, with their locks and those of the further keys that clients who wait for them will need when they are served.
fn lock<'e>(engine: &'e Engine, keys: &[&[u8]], counters: &Counters) -> Result<(Held<'e>, Places)> {
    let ks = engine.keyspace();
    let places: Places = keys.iter().map(|key| ks.place(key)).collect();
    let declared: Indices = places.iter().map(|place| place.shard()).collect();
    let mut wanted = declared.clone();
    loop {
        if wanted.is_empty() {
            return Ok((Held::None, places));
        }
        let Some(many) = ks.lock_many_for(&mut wanted, engine.until_busy()) else {
            let request = Request {
                engine,
                session: None,
                facts: Intent::Change.facts(),
                entry: None,
                within: ROW.name,
                argv: &[],
                more: 0,
                now_ms: unix_ms(),
                in_reader: false,
                short: false,
                counters,
            };
            gate::admit_parked::<LIBRARY>(&request).map_err(Closed::into_error)?;
            wanted.clone_from(&declared);
            continue;
        };
        let held = Held::of_many(many);
        let mut more = Indices::new();
        if engine.follow.effects.listening() {
            let effects = &engine.follow.effects;
            held.each(|shard| effects.further_shards(shard, &mut |s| more.push(s)));
            more.retain(|shard| !held.has(*shard));
        }
        if more.is_empty() {
            return Ok((held, places));
        }
        held.each(|shard| more.push(shard));
        drop(held);
        wanted = more;
    }
}
