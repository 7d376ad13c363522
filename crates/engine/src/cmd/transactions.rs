//! Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! Dispatch does the queueing (see [`crate::context::multi`]) and takes all locks that EXEC needs before it runs the handler
//! here, so all that is left to do is to carry out one command after the other.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::context::command::{
    ALLOW_BUSY, Command, FAST, Group, IN_MULTI, KS_RO, KeySpec, LOADING, NO_MULTI, NOSCRIPT,
    SKIP_SLOWLOG, STALE, row,
};
use crate::context::ctx::Ctx;
use crate::context::multi::watched_key_changed;
use std::sync::atomic::Ordering::Relaxed;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("discard", 1, NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY | IN_MULTI,
            Group::Transactions, "2.0.0", discard)
        .docs("Leaves a transaction without executing it.",
              "O(N), N being the number of queued commands"),
    row("exec", 1, NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG | IN_MULTI, Group::Transactions, "1.2.0", exec)
        .docs("Executes the commands of a transaction.",
              "Depends on the commands in the transaction"),
    row("multi", 1, NOSCRIPT | LOADING | STALE | FAST | NO_MULTI | ALLOW_BUSY | IN_MULTI,
            Group::Transactions, "1.2.0", multi)
        .docs("Begins a transaction.", "O(1)"),
    row("unwatch", 1, NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
            Group::Transactions, "2.2.0", unwatch)
        .docs("Forgets the keys that are being watched.", "O(1)"),
    row("watch", -2, NOSCRIPT | LOADING | STALE | FAST | NO_MULTI | ALLOW_BUSY | IN_MULTI,
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

fn exec(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let Some(multi) = ctx.session.multi.take() else {
        return Err(Error::new("ERR EXEC without MULTI"));
    };
    let failed = watched_key_changed(ctx);
    ctx.session.unwatch();
    if multi.aborted {
        ctx.session.keep_multi(multi);
        return Err(Error::new(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    if failed {
        ctx.out.null_array();
    } else {
        ctx.out.array(multi.len());
        multi.each(|entry, argv, first| ctx.call(entry, argv, first));
    }
    ctx.session.keep_multi(multi);
    Ok(())
}

fn watch(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    if ctx.session.multi.is_some() {
        return Err(Error::new("ERR WATCH inside MULTI is not allowed"));
    }
    let (engine, db) = (ctx.engine, ctx.keys.db);
    let ks = engine.keyspace();
    // What has expired is gone, and has been announced, before the keys are watched.
    for key in args.rest() {
        let _ = ctx.keys.peek_or_expire(key);
    }
    if !ctx.keys.changes.is_empty() {
        let client = ctx.session.client.clone();
        engine.apply(&mut ctx.keys, Some(&client));
    }
    while args.left() > 0 {
        let key = args.take();
        if ctx.session.watching.is_none() {
            engine.effects.watching.fetch_add(1, Relaxed);
        }
        let watching = ctx.session.watching.get_or_insert_default();
        if watching.keys.iter().any(|(d, k)| *d == db && **k == *key) {
            continue;
        }
        watching.keys.push((db, key.into()));
        let shard = ks.shard_of(ks.hash(key));
        engine.effects.watch(shard, db, key, &watching.watch);
        ctx.session
            .client
            .watched
            .store(watching.keys.len(), Relaxed);
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
        let now = crate::context::engine::unix_ms();
        while crate::context::engine::unix_ms() < now + 2 {
            std::thread::yield_now();
        }
        db.run("WATCH other k; MULTI; PING");
        db.check("EXEC", "[PONG]");
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
