//! Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! Dispatch does the queueing (see [`crate::context::multi`]) and takes all locks that EXEC needs before it runs the handler
//! here, so all that is left to do is to carry out one command after the other.

use crate::base::args::Args;
use crate::base::clock::unix_nanos;
use crate::base::error::{Error, Result};
use crate::base::ticks;
use crate::cmd::dump::LONG_VALUE;
use crate::cmd::long::LONG_WORK;
use crate::context::command::{
    ALLOW_BUSY, CHANGES_SESSION, Command, FAST, Group, IN_MULTI, KS_RO, KeySpec, LOADING, NO_MULTI,
    NOSCRIPT, RUNS_QUEUE, SKIP_SLOWLOG, STALE, row,
};
use crate::context::ctx::Ctx;
use crate::context::gate::{self, EXEC};
use crate::context::multi::{Multi, watched_key_changed};
use crate::context::next::Next;
use crate::context::undo::Restart;
use crate::door::held::Held;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("discard", 1, CHANGES_SESSION | NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY | IN_MULTI,
            Group::Transactions, "2.0.0", discard)
        .docs("Leaves a transaction without executing it.",
              "O(N), N being the number of queued commands"),
    row("exec", 1, RUNS_QUEUE | CHANGES_SESSION | NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG | IN_MULTI, Group::Transactions, "1.2.0", exec)
        .docs("Executes the commands of a transaction.",
              "Depends on the commands in the transaction"),
    row("multi", 1, CHANGES_SESSION | NOSCRIPT | LOADING | STALE | FAST | NO_MULTI | ALLOW_BUSY | IN_MULTI,
            Group::Transactions, "1.2.0", multi)
        .docs("Begins a transaction.", "O(1)"),
    row("unwatch", 1, CHANGES_SESSION | NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
            Group::Transactions, "2.2.0", unwatch)
        .docs("Forgets the keys that are being watched.", "O(1)"),
    row("watch", -2, CHANGES_SESSION | NOSCRIPT | LOADING | STALE | FAST | NO_MULTI | ALLOW_BUSY | IN_MULTI,
            Group::Transactions, "2.2.0", watch)
        .keys(&[KeySpec::range(1, -1, 1, KS_RO)]).args("key...")
        .docs("Watches keys, so that the next transaction fails if one of them changes.",
              "O(1) for each key"),
];

fn multi(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    if ctx.session.multi.is_some() {
        return Err(Error::new("ERR MULTI calls can not be nested"));
    }
    ctx.session.begin_multi();
    ctx.out.ok();
    Ok(())
}

fn discard(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    if ctx.session.multi.is_none() {
        return Err(Error::new("ERR DISCARD without MULTI"));
    }
    ctx.session.end_multi();
    ctx.session.unwatch();
    ctx.out.ok();
    Ok(())
}

/// So many commands are long together.
const LONG_QUEUE: usize = 2000;

/// After how long a transaction on a worker makes room for others, in microseconds.
const LONG_MICROS: u64 = 1000;

fn exec(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let Some(multi) = ctx.session.multi.take() else {
        return Err(Error::new("ERR EXEC without MULTI"));
    };
    // For all that it does the time stands still.
    let now = unix_nanos();
    ctx.stand_still_at(now);
    let failed = watched_key_changed(ctx);
    if !failed && !multi.aborted && !ctx.helper.get() {
        let mut bytes = 0;
        multi.each(|entry, argv, keys| {
            ctx.keys.known.set(argv, keys);
            bytes += ctx.goes_through(entry, argv);
        });
        let long = bytes > LONG_VALUE || multi.len() > LONG_QUEUE || multi.words() > LONG_WORK;
        if long && ctx.moves_elsewhere() {
            // There it begins anew, and the watched keys are looked at again.
            ctx.session.multi = Some(multi);
            return Ok(());
        }
    }
    if multi.aborted {
        ctx.session.unwatch();
        ctx.session.keep_multi(multi);
        return Err(Error::new(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    if failed {
        ctx.out.null_array();
    } else {
        let db = ctx.session.db;
        carry_out_queue(ctx, &multi);
        if let Some(restart) = ctx.restart.take() {
            return start_over(ctx, multi, restart, db);
        }
    }
    // Only now: one that starts over is to hear of changes in between.
    ctx.session.unwatch();
    ctx.session.keep_multi(multi);
    Ok(())
}

/// Carries the commands out, up to one that cannot go on.
fn carry_out_queue(ctx: &mut Ctx<'_>, multi: &Multi) {
    if multi.is_undoable() && ctx.keys.token.is_none() {
        ctx.begin_undoable();
    }
    ctx.out.array(multi.len());
    let (mut n, began) = (0, ticks::now());
    multi.each(|entry, argv, keys| {
        if ctx.restart.get().is_some() {
            return;
        }
        if let Err(closed) = gate::admit::<EXEC>(&ctx.request(entry, argv)) {
            ctx.refuse(entry, &closed.into_error());
        } else if let Err(restart) = ctx.keep_what_changes(entry, argv, keys) {
            ctx.restart.set(Some(restart));
        } else {
            ctx.call(entry, argv, keys);
        }
        n += 1;
        if n == multi.scripts_end && ctx.restart.get().is_none() {
            // What follows needs no more than what is held.
            ctx.undo = None;
        }
        if !ctx.helper.get()
            && (ctx.engine).is_slow(ticks::now() - began, ticks::of_micros(LONG_MICROS))
        {
            ctx.leave_the_others();
        }
    });
}

/// So often a transaction is taken back for a further shard that was not free; then it waits for the right to wait.
const RESTARTS: u32 = 2;

/// Takes back what a transaction did that cannot go on, and has it tried again with all that it turned out to need. `db`: what was
/// selected before.
#[cold]
fn start_over(ctx: &mut Ctx<'_>, mut multi: Box<Multi>, why: Restart, db: usize) -> Result {
    ctx.take_back();
    ctx.session.select(db);
    ctx.keys.db = db;
    let learned = &mut multi.learned;
    let ks = ctx.engine.keyspace();
    let wants = match why {
        Restart::Elsewhere => {
            ctx.session.multi = Some(multi);
            ctx.next = Next::Elsewhere;
            return Ok(());
        }
        Restart::AtTheGate => {
            ctx.session.multi = Some(multi);
            ctx.next = Next::Retry(Duration::ZERO);
            return Ok(());
        }
        Restart::Stopping => {
            ctx.session.unwatch();
            ctx.session.keep_multi(multi);
            return Err(Error::new("ERR The server is shutting down"));
        }
        Restart::Token => ks.token_index(),
        Restart::Shard(shard) => {
            learned.shards.push(shard);
            shard
        }
    };
    ctx.engine.scripts.restarts.fetch_add(1, Relaxed);
    learned.restarts += 1;
    learned.token |= why == Restart::Token || learned.restarts > RESTARTS;
    ctx.keys.held.each(|shard| learned.shards.push(shard));
    learned.shards.sort_unstable();
    learned.shards.dedup();
    ctx.keys.held = Held::None;
    ctx.keys.token = None;
    ctx.session.multi = Some(multi);
    ctx.park(wants).inspect_err(|_| {
        ctx.session.end_multi();
        ctx.session.unwatch();
    })
}

fn watch(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    if ctx.session.multi.is_some() {
        return Err(Error::new("ERR WATCH inside MULTI is not allowed"));
    }
    let (engine, db) = (ctx.engine, ctx.keys.db);
    while args.left() > 0 {
        let key = args.take();
        if ctx.session.watching.is_none() {
            engine.follow.effects.watching.fetch_add(1, Relaxed);
        }
        let watching = ctx.session.watching.get_or_insert_default();
        let place = ctx.keys.place(key);
        if watching.keys.insert((db, key.into()), place).is_some() {
            continue;
        }
        let expiry_ms = ctx.keys.expiry_at(place, db, key).flatten();
        let expired = expiry_ms.is_some_and(|ms| ms <= ctx.keys.now_ms);
        engine
            .follow
            .effects
            .watch(place, db, key, &watching.watch, expired);
        let client = &ctx.session.client;
        client.listed_bytes.fetch_add(key.len(), Relaxed);
        client.watched.store(watching.keys.len(), Relaxed);
    }
    ctx.out.ok();
    Ok(())
}

fn unwatch(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.session.unwatch();
    ctx.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Asked, TestClient};

    /// A key that had expired before it was watched does not fail the transaction, whoever else listens.
    #[test]
    fn watching_what_has_expired() {
        let mut db = TestClient::new();
        db.run("SET k v PX 1");
        let now = crate::base::clock::unix_ms();
        while crate::base::clock::unix_ms() < now + 2 {
            std::thread::yield_now();
        }
        db.run("WATCH other k; MULTI; PING");
        db.check("EXEC", "[PONG]");
    }

    /// What SWAPDB and FLUSHALL do to watched keys that have expired and are still there, as real servers see it.
    #[test]
    fn watched_keys_that_have_expired_and_are_swapped() {
        let passes = "[PONG]";
        for (before, between, reply) in [
            // It comes expired in place of none.
            (
                "SELECT 1; SET k v PXAT 5; SELECT 0; WATCH k",
                "SWAPDB 0 1",
                passes,
            ),
            ("SELECT 1; SET k v; SELECT 0; WATCH k", "SWAPDB 0 1", "nil"),
            ("WATCH k", "SWAPDB 0 1", passes),
            // It had expired, and is gone, is still so, or is not.
            ("SET k v PXAT 5; WATCH k", "SWAPDB 0 1", passes),
            (
                "SELECT 1; SET k v PXAT 5; SELECT 0; SET k v PXAT 5; WATCH k",
                "SWAPDB 0 1",
                passes,
            ),
            (
                "SELECT 1; SET k v; SELECT 0; SET k v PXAT 5; WATCH k",
                "SWAPDB 0 1",
                "nil",
            ),
            ("SET k v PXAT 5; WATCH k", "GET k", passes),
            ("SET k v PXAT 5; WATCH k", "SET k v", "nil"),
            ("SET k v PXAT 5; WATCH k", "FLUSHALL", passes),
            ("SET k v; WATCH k", "FLUSHALL", "nil"),
            ("SET k v; WATCH k", "SWAPDB 0 0", passes),
            // It is there, and has come to be, at a time that has passed since.
            ("SET k v PX 100; WATCH k", "LATER; PING", "nil"),
            ("SET k v PX 100; WATCH k", "LATER; FLUSHDB", "nil"),
            ("SET k v PX 100; WATCH k", "LATER; SWAPDB 0 1", "nil"),
        ] {
            let mut db = TestClient::new();
            let mut other = db.another();
            // An absolute time in the past deletes: it is set while it is still to come, also on a busy machine.
            let in_a_moment = (crate::base::clock::unix_ms() + 100).to_string();
            for line in before.split("; ") {
                if line.starts_with("WATCH") && before.contains("PXAT") {
                    pass(&in_a_moment);
                }
                db.run(&line.replace("PXAT 5", &format!("PXAT {in_a_moment}")));
            }
            db.run("SELECT 0");
            for line in between.split("; ") {
                match line {
                    "LATER" => pass(&(crate::base::clock::unix_ms() + 101).to_string()),
                    _ => drop(other.run(line)),
                }
            }
            db.run("MULTI; PING");
            db.check("EXEC", reply);
        }
    }

    /// Waits until a time in Unix milliseconds has passed.
    fn pass(time: &str) {
        let time: u64 = time.parse().expect("a time");
        while crate::base::clock::unix_ms() <= time {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// One shard is all shards.
    #[test]
    fn a_single_shard_is_enough() {
        let mut db = TestClient::with(&[("shards", "1")]);
        db.run("SET k v");
        db.check("SWAPDB 0 1", "OK");
        db.check(
            "EVAL \"redis.call('FLUSHALL') return redis.call('DBSIZE')\" 0",
            "0",
        );
        db.run("SET k v; MULTI; FLUSHDB; DBSIZE");
        db.check("EXEC", "[OK 0]");
        db.run("SET k v");
        db.check("FLUSHALL", "OK");
    }

    /// A queue is bounded like other input.
    #[test]
    fn a_queue_that_grows_too_long_ends_the_connection() {
        let mut db = TestClient::with(&[("client-query-buffer-limit", "1mb")]);
        let value = "x".repeat(200_000);
        db.run("MULTI");
        let mut sent = 0;
        while db.asked != Asked::CloseNow {
            db.raw(&["SET", "k", &value]);
            sent += 1;
            assert!(sent < 10, "nothing bounds the queue");
        }
    }
}
