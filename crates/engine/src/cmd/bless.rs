//! BLESS: keys that are never evicted.
//!
//! The reference is the published documentation of Redis 8.12 (redis.io, BLESS SET and its like) and what its pull request says
//! (redis/redis 15649), where no server is at hand. The protection belongs to the key, not to its value: it stays when the key is
//! given another value, goes along with RENAME and MOVE, and ends with the key. Files hold it where every server reads past it.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::cmd::command::help;
use crate::cmd::generic::{parse_cursor, scan_keys};
use crate::context::command::{
    Command, DENYOOM, FAST, Group, KS_RO, KS_RW, KeySpec, LOADING, OWN_LOCKS, STALE, WRITE,
    container, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use crate::table::categories::{CAT_DANGEROUS, CAT_KEYSPACE};
use store::Dict;

/// The command of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    container("bless", Group::Generic, "8.12.0", BLESS_COMMANDS)
        .docs("Protects keys from eviction.", "Depends on the subcommand"),
];

/// Its subcommands.
#[rustfmt::skip]
const BLESS_COMMANDS: &[Command] = &[
    row("bless|clear", 4, WRITE | FAST, Group::Generic, "8.12.0", clear)
        .keys(&[KeySpec::at(2, KS_RW)]).args("key NO-EVICT").acl(CAT_DANGEROUS)
        .docs("Lets a key be evicted again.", "O(1)"),
    row("bless|get", 3, FAST, Group::Generic, "8.12.0", get)
        .keys(&[KeySpec::at(2, KS_RO)]).args("key").acl(CAT_KEYSPACE)
        .docs("Returns from what a key is protected.", "O(1)"),
    row("bless|help", 2, LOADING | STALE, Group::Generic, "8.12.0", help).acl(CAT_KEYSPACE)
        .docs("Lists the subcommands of BLESS.", "O(1)"),
    row("bless|scan", -4, OWN_LOCKS, Group::Generic, "8.12.0", scan)
        .args("cursor:int NO-EVICT [COUNT count:int]").acl(CAT_KEYSPACE)
        .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"])
        .docs("Goes through the protected keys of the database step by step.",
              "O(1) for a call, O(N) for a full pass, N being the number of keys in parts of the database that have protected ones"),
    row("bless|set", 4, WRITE | DENYOOM | FAST, Group::Generic, "8.12.0", set)
        .keys(&[KeySpec::at(2, KS_RW)]).args("key NO-EVICT").acl(CAT_DANGEROUS)
        .docs("Protects a key from being evicted.", "O(1)"),
];

/// Reads what a key is protected from, the one thing that there is.
fn take_flag(args: &mut Args<'_>) -> Result {
    match args.keyword("NO-EVICT") {
        true => Ok(()),
        false => Err(Error::SYNTAX),
    }
}

fn keep(ctx: &mut Ctx<'_>, mut args: Args<'_>, on: bool, event: Event) -> Result {
    let (_, key) = (args.take(), args.take());
    take_flag(&mut args)?;
    let changed = match ctx.keys.write(key) {
        None => return Err(Error::NO_SUCH_KEY),
        Some(mut found) => found.set_kept(on),
    };
    if changed {
        ctx.keys.changed(key, event);
    }
    ctx.out.int(i64::from(changed));
    Ok(())
}

fn set(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    keep(ctx, args, true, Event::generic("bless"))
}

fn clear(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    keep(ctx, args, false, Event::generic("unbless"))
}

fn get(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (_, key) = (args.take(), args.take());
    let found = ctx.keys.peek_or_expire(key);
    let kept = found.ok_or(Error::NO_SUCH_KEY)?.is_kept();
    ctx.out.array(usize::from(kept));
    if kept {
        ctx.out.bulk(b"NO-EVICT");
    }
    Ok(())
}

fn scan(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (_, cursor) = (args.take(), args.take());
    let cursor = parse_cursor(cursor)?;
    take_flag(&mut args)?;
    let mut count = 1024;
    if args.keyword_with_value("COUNT") {
        count = args.int_in(1..=i64::MAX, Error::SYNTAX) as usize;
    }
    args.finish()?;
    scan_keys(ctx, cursor, count, &|dict: &Dict| dict.kept() > 0, &|e| {
        e.is_kept()
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::TestClient;

    const NO_KEY: &str = "-ERR no such key";
    const SYNTAX: &str = "-ERR syntax error";
    const KEPT: &str = r#"["NO-EVICT"]"#;

    #[test]
    fn as_documented() {
        let mut c = TestClient::new();
        for (line, reply) in [
            ("SET session:42 \"some value\"; BLESS GET session:42", "[]"),
            ("BLESS SET session:42 NO-EVICT", "1"),
            ("BLESS SET session:42 no-evict", "0"),
            ("BLESS GET session:42", KEPT),
            ("SET cache:100 x; BLESS SET cache:100 NO-EVICT", "1"),
            ("BLESS CLEAR session:42 NO-EVICT", "1"),
            ("BLESS CLEAR session:42 NO-EVICT", "0"),
            ("BLESS GET session:42", "[]"),
            ("BLESS SCAN 0 NO-EVICT", r#"["0" ["cache:100"]]"#),
            ("BLESS SET missing-key NO-EVICT", NO_KEY),
            ("BLESS CLEAR missing-key NO-EVICT", NO_KEY),
            ("BLESS GET missing-key", NO_KEY),
            ("BLESS SET cache:100 bogus", SYNTAX),
            ("BLESS SET cache:100 NONE", SYNTAX),
            ("BLESS SCAN 0 bogus", SYNTAX),
            ("BLESS SCAN 0 NO-EVICT COUNT 0", SYNTAX),
            ("BLESS SCAN x NO-EVICT", "-ERR invalid cursor"),
            (
                "BLESS SET cache:100",
                "-ERR wrong number of arguments for 'bless|set' command",
            ),
            (
                "BLESS SET cache:100 NO-EVICT NO-EVICT",
                "-ERR wrong number of arguments for 'bless|set' command",
            ),
            (
                "BLESS SCAN 0",
                "-ERR wrong number of arguments for 'bless|scan' command",
            ),
            ("COMMAND GETKEYS BLESS SET k NO-EVICT", r#"["k"]"#),
        ] {
            c.check(line, reply);
        }
    }

    /// What becomes of it, as the tests of Redis 8.12 have it.
    #[test]
    fn it_stays_with_the_key() {
        for (lines, key, kept) in [
            ("SET k w", "k", true),
            (
                "SET k 12345678901234567890123456789012345678901234567890",
                "k",
                true,
            ),
            ("SET k w EX 100", "k", true),
            (
                "EXPIRE k 100; PERSIST k; APPEND k x; INCRBYFLOAT n 1",
                "k",
                true,
            ),
            ("SUNIONSTORE k s", "k", true),
            ("SORT s ALPHA STORE k", "k", true),
            ("GETSET k w; SETRANGE k 100 x; SETBIT k 7 1", "k", true),
            ("DEL k; SET k w", "k", false),
            ("SUNIONSTORE k none; SET k w", "k", false),
            ("GETDEL k; SET k w", "k", false),
            ("RENAME k j", "j", true),
            ("RENAME s k", "k", false),
            ("COPY k j", "j", false),
            ("COPY s k REPLACE", "k", true),
            ("MOVE k 1; SELECT 1", "k", true),
            ("SWAPDB 0 1; SELECT 1", "k", true),
            ("RPUSH l a; BLESS SET l NO-EVICT; RPUSH l b c", "l", true),
            (
                "RPUSH l a; BLESS SET l NO-EVICT; LPOP l; RPUSH l a",
                "l",
                false,
            ),
            (
                "EVAL \"redis.call('bless','set',KEYS[1],'no-evict')\" 1 s",
                "s",
                true,
            ),
            ("MULTI; BLESS SET s NO-EVICT; EXEC", "s", true),
            ("FLUSHALL; SET k v", "k", false),
        ] {
            let mut c = TestClient::new();
            c.run("SET k v; SADD s a b c; BLESS SET k NO-EVICT");
            c.run(lines);
            let reply = if kept { KEPT } else { "[]" };
            assert_eq!(c.run(&format!("BLESS GET {key}")), reply, "after {lines}");
            let ks = c.engine.keyspace();
            let sum = (0..ks.databases()).map(|db| {
                let parts = (0..ks.shards()).map(|shard| ks.lock(shard).db_ref(db).kept());
                parts.sum::<usize>()
            });
            assert_eq!(ks.kept(), sum.sum::<usize>(), "after {lines}");
        }
        // RESTORE REPLACE keeps it, and a payload has none.
        let mut c = TestClient::new();
        c.run("SET k v; SET plain v; BLESS SET k NO-EVICT");
        let Some(resp::Value::Bulk(payload)) = c.call(&["DUMP", "k"]) else {
            panic!("a payload")
        };
        for key in ["new", "k", "plain"] {
            c.call(&[b"RESTORE", key.as_bytes(), b"0", &payload, b"REPLACE"]);
        }
        c.check("BLESS GET new", "[]");
        c.check("BLESS GET plain", "[]");
        c.check("BLESS GET k", KEPT);
    }

    #[test]
    fn protected_keys_are_gone_through() {
        let mut c = TestClient::new();
        for n in 0..500 {
            c.run(&format!("SET k{n} v"));
            if n % 5 == 0 {
                c.check(&format!("BLESS SET k{n} NO-EVICT"), "1");
            }
        }
        assert_eq!(c.engine.keyspace().kept(), 100);
        for count in ["", " COUNT 1", " COUNT 7", " COUNT 100000"] {
            let (mut cursor, mut found, mut calls) = ("0".to_owned(), Vec::new(), 0);
            loop {
                let reply = c.run(&format!("BLESS SCAN {cursor} NO-EVICT{count}"));
                let mut words = reply.split('"').skip(1).step_by(2).map(str::to_owned);
                cursor = words.next().expect("a cursor");
                found.extend(words);
                calls += 1;
                if cursor == "0" {
                    break;
                }
            }
            found.sort();
            found.dedup();
            assert_eq!(found.len(), 100, "{count}");
            assert!(
                found
                    .iter()
                    .all(|k| k[1..].parse::<u32>().unwrap() % 5 == 0)
            );
            assert!(calls > 1 || count != " COUNT 1");
        }
        c.run("FLUSHALL ASYNC");
        assert_eq!(c.engine.keyspace().kept(), 0);
        c.check("BLESS SCAN 0 NO-EVICT", r#"["0" []]"#);
    }

    #[test]
    fn events_and_watch() {
        let mut c = TestClient::new();
        c.run("SET k v");
        c.check_events("BLESS SET k NO-EVICT; BLESS SET k NO-EVICT", "bless k");
        c.check_events(
            "BLESS CLEAR k NO-EVICT; BLESS CLEAR k NO-EVICT",
            "unbless k",
        );
        let mut other = c.another();
        c.run("WATCH k");
        other.run("BLESS SET k NO-EVICT");
        c.check("MULTI; PING; EXEC", "nil");
    }
}
