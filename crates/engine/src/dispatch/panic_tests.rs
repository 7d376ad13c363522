//! Commands that panic, wherever one can, and what is left then.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::context::command::{BLOCKING, Command, Group, KS_RW, KeySpec, WRITE, row};
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use crate::context::gate::Intent;
use crate::door::change::Event;
use crate::door::keys::Keys;
use crate::follow::waiting::Wait;
use crate::testing::{Asked, TestClient};
use resp::Out;
use std::panic::{AssertUnwindSafe, catch_unwind};
use store::types::list::{End, Item, Limits, List};

/// The commands of this file.
#[rustfmt::skip]
pub(crate) const COMMANDS: &[Command] = &[
    row("panic.push", 3, WRITE, Group::List, "1.0.0", push).keys(&[KeySpec::at(1, KS_RW)]),
    row("panic.set", 3, WRITE, Group::String, "1.0.0", set).keys(&[KeySpec::at(1, KS_RW)]),
    row("panic.pop", 2, WRITE | BLOCKING, Group::List, "1.0.0", pop).keys(&[KeySpec::at(1, KS_RW)]),
    row("panic.block", 2, WRITE | BLOCKING, Group::List, "1.0.0", block).keys(&[KeySpec::at(1, KS_RW)]),
    row("panic.job", 1, 0, Group::Generic, "1.0.0", job),
    row("panic.stray", 3, 0, Group::String, "1.0.0", stray).keys(&[KeySpec::at(1, KS_RW)]),
    row("panic.select", 1, 0, Group::Generic, "1.0.0", select),
];

/// Pushes, says so, and panics.
fn push(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, item) = (args.take(), args.take());
    ctx.out.array(3);
    ctx.keys.edit_or_create(key, |list: &mut List| {
        let items = std::iter::once(Item::Bytes(item));
        list.push(End::Back, items, Limits::default())
    })?;
    ctx.keys.changed(key, Event::list("rpush"));
    panic!("told to");
}

/// Looks at a key that its row does not say it has, so that the gate has not been asked about it.
fn stray(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let there = ctx.keys.peek(args.argv()[2]).is_some();
    ctx.out.int(i64::from(there));
    Ok(())
}

/// In builds with debug assertions, where a handler that works on a key which its row does not name is a panic.
#[test]
#[cfg(debug_assertions)]
fn handlers_see_only_keys_that_the_gate_has_checked() {
    let mut db = TestClient::with_panics();
    db.check("panic.stray a a", "0");
    db.check("panic.stray a b", "-ERR internal error");
    db.check(
        "EVAL \"return redis.pcall('panic.stray', 'a', 'b')\" 2 a b",
        "-ERR internal error",
    );
}

/// Sets, writes a part of a reply, and panics before it has said that it has set.
fn set(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, value) = (args.take(), args.take());
    ctx.keys.set(key, store::new_value(value), None);
    ctx.out.bulk(b"half");
    panic!("told to");
}

/// Waits for an element, takes it, and panics.
fn pop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let attempt = Box::new(|keys: &mut Keys<'_>, key: &[u8], out: &mut Out| {
        keys.edit(key, |list: &mut List| {
            list.pop(End::Front, Limits::default(), |_| ())
        })?;
        out.array(2);
        panic!("told to");
    });
    ctx.block(Wait::new(&args.argv()[1..], None, attempt));
    Ok(())
}

/// Begins to wait and panics.
fn block(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    pop(ctx, args)?;
    panic!("told to");
}

/// Leaves its reply to a job, which panics.
fn job(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.offload(Box::new(|out| {
        out.array(2);
        panic!("told to");
    }));
    Ok(())
}

/// Panics with another database selected.
fn select(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.keys.db = 3;
    panic!("told to");
}

const ERROR: &str = "-ERR internal error";

/// What a test leaves behind is as it should be: nothing is locked, and so many panics were counted.
#[track_caller]
fn check_left(db: &mut TestClient, panics: u64) {
    let engine = db.engine.clone();
    let ks = engine.keyspace();
    assert!((0..ks.shards()).all(|shard| ks.try_lock(shard).is_some()));
    check_memory(&engine);
    assert_eq!(db.engine.stats().sum(|c| c.panics.get()), panics);
    assert!(!db.engine.scripts.any_running());
    db.check("ECHO on; DBSIZE; SET after x", "OK");
    db.check("GET after; DEL after", "1");
    assert_eq!(db.session.db, 0);
    let info = db.run("CLIENT INFO");
    assert!(info.contains(" multi=-1 watch=0 "), "{info}");
    check_memory(&engine);
}

/// What is known of the memory of each shard is what its dictionaries take.
#[track_caller]
fn check_memory(engine: &Engine) {
    let ks = engine.keyspace();
    for shard in 0..ks.shards() {
        let taken = ks.read(shard, |shard| {
            (0..shard.databases())
                .map(|db| shard.db_ref(db).bytes())
                .sum::<usize>()
        });
        assert_eq!(ks.shard_bytes(shard), taken, "shard {shard}");
    }
}

#[test]
fn a_command() {
    let mut db = TestClient::with_panics();
    let mut watches = db.another();
    watches.run("WATCH k; MULTI; PING");
    let replies = db.pipeline(&[
        "ECHO a",
        "PANIC.SET k v",
        "ECHO b",
        "GET k",
        "PANIC.SELECT",
        "GET k",
    ]);
    assert_eq!(replies, format!("$1 a {ERROR} $1 b $1 v {ERROR} $1 v"));
    // It said nothing, but it has changed the key.
    watches.check("EXEC", "nil");
    let stats = db.run("INFO commandstats");
    let line = stats
        .split("\\r\\n")
        .find(|line| line.starts_with("cmdstat_panic.set:"));
    let line = line.expect("it was called");
    assert!(line.starts_with("cmdstat_panic.set:calls=1,"), "{line}");
    assert!(line.ends_with("rejected_calls=0,failed_calls=1"), "{line}");
    check_left(&mut db, 2);
}

/// What it said before is announced, and who waits for it gets it.
#[test]
fn a_command_that_others_follow() {
    let mut db = TestClient::with_panics();
    let mut waits = db.another();
    waits.block("BLPOP l 0");
    db.check("PANIC.PUSH l x", ERROR);
    waits.check_blocked(r#"["l" "x"]"#);
    db.check_events("PANIC.PUSH l x", "rpush l,  l");
    check_left(&mut db, 2);
}

#[test]
fn a_command_that_replies_are_not_wanted_of() {
    let mut db = TestClient::with_panics();
    db.run("CLIENT REPLY SKIP");
    let replies = db.pipeline(&["PANIC.SET k v", "ECHO b"]);
    assert_eq!(replies, "$1 b");
    check_left(&mut db, 1);
}

/// One of a transaction costs its place in the reply; all others are carried out, and announced.
#[test]
fn exec() {
    let mut db = TestClient::with_panics();
    let (mut waits, mut watches) = (db.another(), db.another());
    waits.block("BLPOP l 0");
    watches.run("WATCH k; MULTI; PING");
    db.run("WATCH other; MULTI; SET a 1; PANIC.PUSH l x; PANIC.SET k v; SET b 2; PANIC.JOB; PANIC.BLOCK none; GET b");
    db.check(
        "EXEC",
        &format!(r#"[OK {ERROR} {ERROR} OK {ERROR} {ERROR} "2"]"#),
    );
    waits.check_blocked(r#"["l" "x"]"#);
    watches.check("EXEC", "nil");
    db.check("EXEC", "-ERR EXEC without MULTI");
    db.check("MGET a k b", r#"["1" "v" "2"]"#);
    db.check("DEL a k b", "3");
    check_left(&mut db, 4);
}

/// Below a script it is an error like others.
#[test]
fn a_script() {
    let mut db = TestClient::with_panics();
    let (mut waits, mut watches) = (db.another(), db.another());
    waits.block("BLPOP l 0");
    watches.run("WATCH k; MULTI; PING");
    let script = "redis.call('SELECT', 0) redis.call('SET', 'a', '1') \
        local e = redis.pcall('PANIC.PUSH', 'l', 'x') \
        redis.call('SET', 'b', e.err) return redis.call('PANIC.SET', 'k', 'v')";
    let reply = db.run(&format!("EVAL \"{script}\" 0"));
    assert!(reply.starts_with(&format!("{ERROR} script: ")), "{reply}");
    waits.check_blocked(r#"["l" "x"]"#);
    watches.check("EXEC", "nil");
    db.check("MGET a b k", r#"["1" "ERR internal error" "v"]"#);
    // In a transaction the time goes on after it.
    db.run("MULTI; EVAL \"return redis.call('PANIC.SET', 'k', 'v')\" 1 k; GET k");
    let reply = db.run("EXEC");
    assert!(
        reply.starts_with(&format!("[{ERROR} script: ")) && reply.ends_with(" \"v\"]"),
        "{reply}"
    );
    db.run("DEL a b k");
    // It takes long to write a panic to the log: the script may have been undone, and run again on a helper thread.
    let panics = db.engine.stats().sum(|c| c.panics.get());
    check_left(&mut db, panics);
}

/// Who pushes and who waits behind it do not notice.
#[test]
fn a_client_that_waits() {
    let mut db = TestClient::with_panics();
    let (mut first, mut second) = (db.another(), db.another());
    first.block("PANIC.POP l");
    second.block("BLPOP l 0");
    db.check("RPUSH l x y z", "3");
    first.check_blocked(ERROR);
    second.check_blocked(r#"["l" "y"]"#);
    db.check("LRANGE l 0 -1", r#"["z"]"#);
    // The last element: the key is gone, and that is announced.
    first.block("PANIC.POP m");
    db.check_events("RPUSH m x", "rpush m, del m,  m");
    first.check_blocked(ERROR);
    let info = db.run("INFO clients");
    assert!(info.contains("blocked_clients:0"), "{info}");
    db.run("DEL l");
    check_left(&mut db, 2);
}

#[test]
fn one_that_has_begun_to_wait() {
    let mut db = TestClient::with_panics();
    db.check("PANIC.BLOCK l", ERROR);
    assert_eq!(db.asked, Asked::Nothing);
    db.check("RPUSH l x; LLEN l", "1");
    let info = db.run("INFO clients");
    assert!(info.contains("blocked_clients:0"), "{info}");
    db.run("DEL l");
    check_left(&mut db, 1);
}

#[test]
fn a_job_on_a_helper_thread() {
    let mut db = TestClient::with_panics();
    db.check("PANIC.JOB", ERROR);
    check_left(&mut db, 1);
}

/// The look ahead costs nobody a reply but the command that it was for, and the look into collections nobody.
#[test]
fn the_look_ahead() {
    let mut db = TestClient::with_panics();
    let panics = "ECHO 'panic in the look ahead'";
    let replies = db.pipeline(&["ECHO a", "ECHO b", panics, "ECHO c", panics]);
    assert_eq!(replies, format!("$1 a $1 b {ERROR} $1 c {ERROR}"));
    let replies = db.pipeline(&["SADD s a", "SADD s 'panic in the look into'", "SCARD s"]);
    assert_eq!(replies, ":1 :1 :2");
    db.run("DEL s");
    // Each stretch was planned again from the command on.
    let panics = db.engine.stats().sum(|c| c.panics.get());
    check_left(&mut db, panics);
}

/// A typed call is an error, when all is as it should be.
#[test]
fn a_typed_call() {
    let mut db = TestClient::with_panics();
    let mut watches = db.another();
    watches.run("WATCH k; MULTI; PING");
    let (engine, counters) = (db.engine.clone(), db.worker.counters().clone());
    let done: Result = engine.with_key(0, b"k", Intent::Grow, &counters, |keys| {
        keys.set(b"k", store::new_value(b"v"), None);
        panic!("told to");
    });
    assert_eq!(done, Err(Error::INTERNAL));
    watches.check("EXEC", "nil");
    let caught = catch_unwind(AssertUnwindSafe(|| {
        engine.look(0, b"k", true, &counters, |_| panic!("told to"))
    }));
    assert!(caught.is_err());
    db.check("GET k; DEL k", "1");
    check_left(&mut db, 1);
}

/// What a handler had done when it panicked is counted, and so is its going.
#[test]
fn memory_is_counted_whatever_panics() {
    let long = "x".repeat(10_000);
    for line in [
        "PANIC.PUSH l LONG",
        "MULTI; PANIC.PUSH l LONG; EXEC",
        "EVAL \"return redis.pcall('PANIC.PUSH', 'l', ARGV[1])\" 1 l LONG",
        "MULTI; EVAL \"return redis.pcall('PANIC.PUSH', 'l', ARGV[1])\" 1 l LONG; EXEC",
        // The first is taken by who waits, whose handler panics.
        "RPUSH l LONG LONG",
    ] {
        let mut db = TestClient::with_panics();
        let engine = db.engine.clone();
        let mut waits = db.another();
        if line.starts_with("RPUSH") {
            waits.block("PANIC.POP l");
        }
        let before = engine.keyspace().bytes();
        db.run(&line.replace("LONG", &long));
        // A script that takes long to panic may run again.
        assert!(engine.stats().sum(|c| c.panics.get()) > 0, "{line}");
        let after = engine.keyspace().bytes() - before;
        assert!((10_000..40_000).contains(&after), "{line}: {after}");
        check_memory(&engine);
        db.check("DEL l", "1");
        // A table and a page stay.
        let left = engine.keyspace().bytes() - before;
        assert!(left < 1000, "{line}: {left}");
        check_memory(&engine);
    }
}
