//! The server and its databases as wholes: emptying, swapping, counting them, and stopping.

use crate::base::args::Args;
use crate::base::clock::unix_nanos;
use crate::base::error::{Error, Result};
use crate::base::random::random_below;
use crate::base::version::{REDIS_VERSION, VERSION};
use crate::config::host::{SaveMode, ShutdownMode};
use crate::context::command::{
    ADMIN, ALL_SHARDS, ALLOW_BUSY, CHANGES_SESSION, Command, Databases, FAST, Group, LOADING,
    NO_MULTI, NOSCRIPT, OWN_LOCKS, READONLY, STALE, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::context::next::Next;
use crate::door::change::Change;
use crate::follow::waiting::Wait;
use crate::table::categories::{CAT_DANGEROUS, CAT_KEYSPACE};
use resp::number::parse_i64;
use std::num::NonZeroU64;
use std::sync::atomic::Ordering::Relaxed;
use store::Dict;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("dbsize", 1, READONLY | FAST | OWN_LOCKS, Group::Server, "1.0.0", dbsize)
        .acl(CAT_KEYSPACE).tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .docs("Counts the keys of the database.", "O(1)"),
    row("flushall", -1, WRITE | ALL_SHARDS, Group::Server, "1.0.0", flushall)
        .databases(Databases::All)
        .args("[flush-type(ASYNC@4.0.0 | SYNC@6.2.0)]").acl(CAT_KEYSPACE | CAT_DANGEROUS)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs("Deletes all keys of all databases.",
              "O(N), N being the number of keys in all databases")
        .history(&[("4.0.0", "New option ASYNC."), ("6.2.0", "New option SYNC.")]),
    row("flushdb", -1, WRITE | ALL_SHARDS, Group::Server, "1.0.0", flushdb)
        .args("[flush-type(ASYNC@4.0.0 | SYNC@6.2.0)]").acl(CAT_KEYSPACE | CAT_DANGEROUS)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs("Deletes all keys of the database.",
              "O(N), N being the number of keys in the database")
        .history(&[("4.0.0", "New option ASYNC."), ("6.2.0", "New option SYNC.")]),
    row("lolwut", -1, READONLY | FAST, Group::Server, "5.0.0", lolwut)
        .args("[VERSION version:int]")
        .docs("Draws a piece of computer art and tells the version.", ""),
    row("monitor", 1, CHANGES_SESSION | ADMIN | NOSCRIPT | LOADING | STALE, Group::Server, "1.0.0", monitor)
        .docs("Sends this connection every command the server executes.", ""),
    row("shutdown", -1, ADMIN | NOSCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY,
            Group::Server, "1.0.0", shutdown)
        .args("[abort-selector(save-selector-block{[save-selector(NOSAVE \
               | SAVE)] [NOW@7.0.0] [FORCE@7.0.0] [SAFE@9.0.0] [FAILOVER@9.0.0]} | ABORT@7.0.0)]")
        .docs("Stops the server, with or without saving.",
              "O(N) when saving, N being the number of keys in all databases, else O(1)")
        .history(&[
            ("7.0.0", "New options NOW, FORCE and ABORT."),
            ("9.0.0", "New options SAFE and FAILOVER."),
        ]),
    row("swapdb", 3, WRITE | FAST | ALL_SHARDS, Group::Server, "4.0.0", swapdb)
        .databases(Databases::Named(&[1, 2]))
        .args("index1:int index2:int").acl(CAT_KEYSPACE | CAT_DANGEROUS)
        .docs("Swaps the contents of two databases.",
              "O(N), N being the number of clients watching or waiting for keys of either"),
    row("time", 1, LOADING | STALE | FAST, Group::Server, "2.6.0", time)
        .tips(&["nondeterministic_output"])
        .docs("Returns the server's time.", "O(1)"),
];

fn monitor(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    if ctx.nested {
        return Err(Error::new(
            "ERR MONITOR isn't allowed for DENY BLOCKING client",
        ));
    }
    // Real servers do not answer a second time either.
    if ctx.session.begin_to_monitor() {
        ctx.out.ok();
    }
    Ok(())
}

fn dbsize(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let len = ctx.engine.keyspace().len(ctx.keys.db);
    ctx.out.int(len as i64);
    Ok(())
}

/// Databases of at most so many bytes are freed where they were flushed: a few microseconds.
const SMALL_FLUSH: usize = 64 << 10;

fn flushdb(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let db = ctx.keys.db;
    flush(ctx, args, Some(db))
}

fn flushall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    flush(ctx, args, None)
}

/// Empties a database, or all, at one moment, by taking their contents out under all locks. Freeing them comes after: ASYNC does
/// not wait for it, SYNC (which is what no option means) does, but not on the worker if there is much to free.
fn flush(ctx: &mut Ctx<'_>, mut args: Args<'_>, db: Option<usize>) -> Result {
    let mut in_background = args.keyword("ASYNC");
    if !in_background && !args.keyword("SYNC") {
        in_background = ctx.engine.config().live.lazy_user_flush.load(Relaxed);
    }
    args.finish()?;
    ctx.engine.follow.touch_before_flush(&ctx.keys, db);
    let keeper = ctx.engine.persistence().filter(|_| db.is_none()).cloned();
    let mut saves = keeper.filter(|keeper| keeper.all_flushed());
    if ctx.session.replays && !ctx.session.follows {
        saves = None;
    }
    let dbs = match db {
        Some(db) => db..db + 1,
        None => 0..ctx.engine.keyspace().databases(),
    };
    let (mut taken, mut keys): (Vec<Dict>, usize) = (Vec::new(), 0);
    for shard in ctx.keys.all_shards() {
        for db in dbs.clone() {
            if shard.db_ref(db).bytes() > 0 {
                let dict = shard.take_db(db);
                keys += dict.len();
                // A copy of the data set for replicas that is being written goes on with it.
                taken.extend(dict.let_go());
            }
        }
    }
    if db.is_none() {
        ctx.engine.own_expiries.clear();
    }
    ctx.keys.happened(Change::Flushed(db));
    ctx.keys.count_changes(keys);
    if in_background {
        ctx.engine.reclaimer.dicts(std::mem::take(&mut taken));
    }
    // A transaction goes on with all locks held, and a primary waits for its replica.
    if (ctx.nested || ctx.session.follows)
        && let Some(keeper) = saves.take()
    {
        keeper.save_flushed(true);
    }
    if saves.is_some() || taken.iter().map(Dict::bytes).sum::<usize>() > SMALL_FLUSH {
        ctx.offload(Box::new(move |out| {
            drop(taken);
            if let Some(keeper) = saves {
                keeper.save_flushed(false);
            }
            out.ok();
        }));
        return Ok(());
    }
    ctx.out.ok();
    Ok(())
}

fn swapdb(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let mut index = |which: &str| {
        // Read as Redis reads them: 32 bits.
        let n = parse_i64(args.take()).and_then(|n| i32::try_from(n).ok());
        n.ok_or_else(|| Error::new(format!("ERR invalid {which} DB index")))
    };
    let (a, b) = (index("first")?, index("second")?);
    let databases = ctx.engine.keyspace().databases();
    let in_range = |n: i32| {
        usize::try_from(n)
            .ok()
            .filter(|&n| n < databases)
            .ok_or(Error::DB_INDEX)
    };
    let (a, b) = (in_range(a)?, in_range(b)?);
    for shard in ctx.keys.all_shards() {
        shard.swap_dbs(a, b);
    }
    ctx.engine.own_expiries.swap(a, b);
    ctx.keys.happened(Change::Swapped(a, b));
    ctx.keys.count_changes(1);
    ctx.out.ok();
    Ok(())
}

fn time(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let us = ctx.moment.map_or_else(unix_nanos, NonZeroU64::get) / 1000;
    ctx.out.array(2);
    ctx.out.bulk_int((us / 1_000_000) as i64);
    ctx.out.bulk_int((us % 1_000_000) as i64);
    Ok(())
}

fn shutdown(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let mut mode = ShutdownMode::default();
    let (mut abort, mut failover) = (false, false);
    let options = args.left();
    while args.left() > 0 {
        if args.keyword("NOW") {
            mode.now = true;
        } else if args.keyword("FORCE") {
            mode.force = true;
        } else if args.keyword("ABORT") {
            abort = true;
        } else if args.keyword("FAILOVER") {
            failover = true;
        } else if args.keyword("SAVE") && mode.save != SaveMode::NoSave {
            mode.save = SaveMode::Save;
        } else if args.keyword("NOSAVE") && mode.save != SaveMode::Save {
            mode.save = SaveMode::NoSave;
        // SAFE keeps a primary of a cluster from leaving at a bad time; this one is alone, and any time will do.
        } else if !args.keyword("SAFE") {
            return Err(Error::SYNTAX);
        }
    }
    if abort && options > 1 {
        return Err(Error::SYNTAX);
    }
    let host = ctx.engine.host();
    if abort {
        if !host.abort_shutdown() {
            return Err(Error::new("ERR No shutdown in progress."));
        }
        ctx.out.ok();
        return Ok(());
    }
    if mode.save == SaveMode::Save && ctx.engine.persistence().is_none() {
        return Err(Error::new("ERR this database is not kept in files"));
    }
    if failover {
        return Err(Error::new(
            "ERR SHUTDOWN FAILOVER needs a cluster, and this server is on its own",
        ));
    }
    // Its client waits until the server has gone, or does not go.
    ctx.block(Wait::new(&[], None, Box::new(|_, _, _| Ok(false))));
    let waiter = match &ctx.next {
        Next::Block(waiter) => waiter.clone(),
        _ => return Ok(()),
    };
    let (engine, told) = (ctx.engine.handle(), waiter.clone());
    let failed = Box::new(move |why: &str| {
        engine.count_job(|counters| {
            engine.follow.fail(&told, why, counters);
        });
    });
    host.shutdown(mode, failed).map_err(|text| {
        ctx.engine.follow.leave(&waiter);
        ctx.next = Next::Done;
        Error::new(format!("ERR {text}"))
    })
}

// ---- LOLWUT

/// Width and height of the picture in dots; a braille character shows 2 by 4 of them.
const PICTURE: (usize, usize) = (144, 72);

/// LOLWUT `[VERSION n] [number...]`: the only version with a picture is 0, and the default; of the numbers it takes the first, if there is
/// such a rule. What else is sent is passed over, as by real servers, of which each version has a use of its own for it; those that draw
/// by numbers want some.
fn lolwut(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (mut version, mut rest) = (0, &args.argv()[1..]);
    if args.keyword_with_value("VERSION") {
        version = args.int();
        args.check()?;
        rest = &args.argv()[3..];
    }
    let numbers = rest.iter().map(|word| parse_i64(word));
    if matches!(version, 5 | 6) && numbers.clone().take(3).any(|n| n.is_none()) {
        return Err(Error::NOT_AN_INTEGER);
    }
    let asked = numbers.flatten().next();
    let rule = asked.and_then(|n| u8::try_from(n).ok());
    let any = || INTERESTING[random_below(INTERESTING.len() as u64) as usize];
    let rule = rule.unwrap_or_else(any);
    let mut text = String::new();
    if version == 0 {
        text = automaton(rule, PICTURE.0, PICTURE.1);
        text += &format!(
            "\nEvery row follows from the one above it by rule {rule}: three cells decide about one.\n"
        );
    }
    text += &format!("Redpoll ver. {VERSION}, like Redis ver. {REDIS_VERSION}\n");
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Rules whose pictures are worth looking at.
const INTERESTING: [u8; 8] = [18, 30, 45, 60, 90, 105, 110, 150];

/// Draws an elementary cellular automaton that starts with one living cell, in braille.
fn automaton(rule: u8, width: usize, height: usize) -> String {
    let mut cells = vec![false; width];
    cells[width / 2] = true;
    // Dots of a braille character are numbered down its left column, then down its right, then along the bottom.
    const DOT: [[u32; 2]; 4] = [[0, 3], [1, 4], [2, 5], [6, 7]];
    let mut text = String::new();
    for _ in 0..height / 4 {
        let mut line = vec![0u32; width / 2];
        for dots in DOT {
            for (x, alive) in cells.iter().enumerate() {
                line[x / 2] |= u32::from(*alive) << dots[x % 2];
            }
            let at = |x: usize| usize::from(cells[x % width]);
            cells = (0..width)
                .map(|x| rule >> (at(x + width - 1) << 2 | at(x) << 1 | at(x + 1)) & 1 == 1)
                .collect();
        }
        text.extend(line.iter().filter_map(|dots| char::from_u32(0x2800 | dots)));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::host::{Host, OnFailure};
    use crate::testing::{Asked, TestClient, check, check3, run};
    use parking_lot::Mutex;
    use std::sync::Arc;

    #[test]
    fn flushing_empties_one_database_or_all() {
        let mut c = TestClient::new();
        c.run("SET a 1; SET b 2; SELECT 3; SET c 3");
        c.check("DBSIZE", "1");
        c.check("FLUSHDB", "OK");
        c.check("DBSIZE", "0");
        c.check("SELECT 0; DBSIZE", "2");
        c.check("FLUSHALL async", "OK");
        c.check("DBSIZE", "0");
        c.check("SET a 1; FLUSHALL SYNC; GET a", "nil");
        for bad in ["FLUSHALL now", "FLUSHDB ASYNC SYNC", "FLUSHALL SYNC SYNC"] {
            c.check(bad, "-ERR syntax error");
        }
    }

    /// Counts are read where the holder of a shard leaves them, not under its lock.
    #[test]
    fn counting_waits_for_nobody() {
        let mut c = TestClient::new();
        c.run("SET a 1; SET b 2 EX 100; LPUSH c 1 2 3");
        let engine = c.engine.clone();
        let held = engine.keyspace().lock_all();
        c.check("DBSIZE", "3");
        assert!(c.run("MEMORY STATS").contains("keys.count"));
        assert!(c.run("INFO memory").contains("used_memory:"));
        drop(held);
    }

    #[test]
    fn much_is_freed_on_a_helper_thread() {
        let mut c = TestClient::new();
        c.run("SETRANGE big 1000000 x; SETRANGE big2 1000000 x; CLIENT REPLY SKIP");
        // The harness runs the job; its reply is not wanted either.
        c.check("FLUSHALL SYNC", "");
        c.check("DBSIZE", "0");
        c.check("SETRANGE big 1000000 x; FLUSHALL", "OK");
        assert_eq!(c.engine.keyspace().counts(0).bytes, 0);
    }

    #[test]
    fn swapdb_exchanges_contents() {
        let mut c = TestClient::new();
        c.check("SET a 1; SWAPDB 0 5; GET a", "nil");
        c.check("SELECT 5; GET a", r#""1""#);
        c.check("SWAPDB 5 5; GET a", r#""1""#);
        c.check("SWAPDB a 0", "-ERR invalid first DB index");
        c.check("SWAPDB 0 99999999999", "-ERR invalid second DB index");
        c.check("SWAPDB 0 16", "-ERR DB index is out of range");
        c.check("SWAPDB -1 0", "-ERR DB index is out of range");
    }

    #[test]
    fn time_is_two_numbers() {
        let reply = run("TIME");
        let words: Vec<u64> = reply
            .trim_matches(&['[', ']'][..])
            .split(' ')
            .map(|w| w.trim_matches('"').parse().unwrap())
            .collect();
        assert!(
            words.len() == 2 && words[0] > 1_700_000_000 && words[1] < 1_000_000,
            "{reply}"
        );
    }

    /// The last line of what LOLWUT answers: client libraries look for `Redis ver.` there.
    fn signature() -> String {
        format!("Redpoll ver. {VERSION}, like Redis ver. {REDIS_VERSION}\\n")
    }

    #[test]
    fn lolwut_draws() {
        assert_eq!(automaton(90, 8, 4), "\u{2880}\u{2894}\u{2891}\u{2884}\n");
        let picture = run("LOLWUT VERSION 0 30");
        assert!(
            picture.ends_with(&format!("{}\"", signature())),
            "{picture}"
        );
        assert!(picture.contains("rule 30"));
        check3("LOLWUT VERSION 5", &format!("=txt:\"{}\"", signature()));
        check(
            "LOLWUT VERSION x",
            "-ERR value is not an integer or out of range",
        );
        check3(
            "LOLWUT VERSION 5 10 20 30",
            &format!("=txt:\"{}\"", signature()),
        );
        check(
            "LOLWUT VERSION 5 x",
            "-ERR value is not an integer or out of range",
        );
        for words in ["256", "x", "1 2 3", "VERSION"] {
            let picture = run(&format!("LOLWUT {words}"));
            assert!(picture.contains("rule"), "{words}: {picture}");
        }
    }

    #[derive(Default)]
    struct Stopping(Mutex<Vec<(ShutdownMode, OnFailure)>>);

    impl Host for Stopping {
        fn shutdown(
            &self,
            mode: ShutdownMode,
            failed: OnFailure,
        ) -> std::result::Result<(), String> {
            self.0.lock().push((mode, failed));
            Ok(())
        }
        fn abort_shutdown(&self) -> bool {
            let asked = std::mem::take(&mut *self.0.lock());
            let any = !asked.is_empty();
            asked.into_iter().for_each(|(_, failed)| failed("no stop"));
            any
        }
        fn applied(&self, _: &str, _: &Config) -> std::result::Result<(), String> {
            Ok(())
        }
        fn info(&self, _: &str, _: &mut String) {}
    }

    #[test]
    fn shutdown_asks_the_host_and_answers_nothing() {
        let host = Arc::new(Stopping::default());
        let mut c = TestClient::behind(host.clone(), &[]);
        c.check("SHUTDOWN nosave NOW safe", "");
        assert_eq!(c.asked, Asked::Block);
        let mode = ShutdownMode {
            save: SaveMode::NoSave,
            now: true,
            force: false,
        };
        assert_eq!(host.0.lock()[0].0, mode);
        // Nobody but the host ends that.
        let mut other = c.another();
        let unblock = format!("CLIENT UNBLOCK {}", c.session.client.id);
        other.check(&unblock, "0");
        let blocked = |other: &mut TestClient, clients: usize| {
            let info = other.run("INFO clients");
            info.contains(&format!("blocked_clients:{clients}\\r\\n"))
        };
        assert!(blocked(&mut other, 1));
        other.check("SHUTDOWN ABORT", "OK");
        assert!(blocked(&mut other, 0));
        c.check_blocked("-ERR no stop");
        for bad in ["foo", "SAVE NOSAVE", "NOSAVE SAVE", "ABORT NOW", "NOW foo"] {
            c.check(&format!("SHUTDOWN {bad}"), "-ERR syntax error");
        }
        c.check("SHUTDOWN ABORT", "-ERR No shutdown in progress.");
        assert!(
            c.run("SHUTDOWN SAVE")
                .starts_with("-ERR this database is not kept in files")
        );
        assert!(
            c.run("SHUTDOWN FAILOVER")
                .starts_with("-ERR SHUTDOWN FAILOVER needs a cluster")
        );
        assert!(host.0.lock().is_empty());
        check(
            "SHUTDOWN",
            "-ERR the program that embeds this database decides when it ends",
        );
    }
}
