//! What clients ask of replicas and other servers: WAIT, WAITAOF, MIGRATE.
//!
//! There are no replicas, so nobody acknowledges anything, and who waits for that waits in vain for as long as it says. The log of
//! this server there may be, and WAITAOF waits until what its connection has written is on the disk.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::context::command::{
    BLOCKING, Command, Group, KS_ACCESS, KS_DELETE, KS_INCOMPLETE, KS_RW, KeySpec, MOVABLEKEYS,
    WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::context::next::Next;
use crate::follow::waiting::{self, Empty, Wait};
use crate::table::categories::{CAT_CONNECTION, CAT_DANGEROUS, CAT_KEYSPACE};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("migrate", -6, WRITE | MOVABLEKEYS, Group::Generic, "2.6.0", migrate)
        .keys(&[KeySpec::at(3, KS_RW | KS_ACCESS | KS_DELETE),
                KeySpec::after("KEYS", -2, -1, 0, KS_RW | KS_ACCESS | KS_DELETE | KS_INCOMPLETE)])
        .args("host port:int key-selector(key#0 | empty-string='') destination-db:int timeout:int [COPY@3.0.0] \
               [REPLACE@3.0.0] [authentication(AUTH auth<password>@4.0.7 | AUTH2 auth2{username password}@6.0.0)] \
               [KEYS keys<key>:key#1...@3.0.6]")
        .acl(CAT_KEYSPACE | CAT_DANGEROUS).tips(&["nondeterministic_output"])
        .docs("Moves keys to another server.", "That of DUMP, RESTORE and DEL, and of sending N bytes")
        .history(&[("3.0.0", "New options COPY and REPLACE."), ("3.0.6", "New option KEYS."),
                   ("4.0.7", "New option AUTH."), ("6.0.0", "New option AUTH2.")]),
    row("wait", 3, BLOCKING, Group::Generic, "3.0.0", wait)
        .args("numreplicas:int timeout:int").acl(CAT_CONNECTION)
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .docs("Waits until replicas have what this connection has written.", "O(1)"),
    row("waitaof", 4, BLOCKING, Group::Generic, "7.2.0", waitaof)
        .args("numlocal:int numreplicas:int timeout:int").acl(CAT_CONNECTION)
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .docs("Waits until what this connection has written is in append-only files, here and on replicas.", "O(1)"),
];

/// Waits for what nobody will say, for as long as the client wants to.
fn wait_in_vain(ctx: &mut Ctx<'_>, timeout: &[u8], nothing: Empty, is_enough: bool) -> Result {
    let timeout = waiting::timeout_ms(timeout, ctx.keys.now_ms)?;
    if is_enough {
        nothing.write(ctx.out);
        return Ok(());
    }
    ctx.block(Wait {
        keys: SmallVec::new(),
        timeout,
        attempt: Box::new(|_, _, _| Ok(false)),
        empty: nothing,
        further: None,
        on_delete: false,
    });
    Ok(())
}

fn wait(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let replicas = args.int();
    args.check()?;
    wait_in_vain(ctx, args.take(), Empty::Zero, replicas <= 0)
}

fn waitaof(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let local = args.int();
    args.check()?;
    if !(0..=1).contains(&local) {
        return Err(Error::new(
            "ERR value is out of range, value must between 0 and 1",
        ));
    }
    let replicas = args.int_in(0..=i64::MAX, Error::NOT_POSITIVE);
    args.check()?;
    let timeout = args.take();
    let until = waiting::timeout_ms(timeout, ctx.keys.now_ms)?;
    let keeper = ctx.engine.persistence().filter(|k| k.has_log()).cloned();
    if local > 0 && keeper.is_none() {
        return Err(Error::new(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    let piece = ctx.session.piece;
    let here = keeper.as_ref().is_some_and(|k| k.is_on_disk(piece));
    let in_logs = Empty::Logs(Arc::new(AtomicBool::new(here)));
    if replicas == 0 && (local == 0 || here) {
        in_logs.write(ctx.out);
        return Ok(());
    }
    ctx.block(Wait {
        keys: SmallVec::new(),
        timeout: until,
        attempt: Box::new(|_, _, _| Ok(false)),
        empty: in_logs.clone(),
        further: None,
        on_delete: false,
    });
    if let (Some(keeper), Next::Block(waiter), Empty::Logs(in_log)) = (keeper, &ctx.next, in_logs)
        && !here
    {
        let (engine, waiter) = (ctx.engine.handle(), waiter.clone());
        let tell = move |kept: bool| {
            if !kept {
                return;
            }
            in_log.store(true, Relaxed);
            if replicas == 0 {
                engine.count_job(|counters| {
                    let answer = |out: &mut resp::Out| Empty::Logs(in_log).write(out);
                    engine.follow.answer(&waiter, counters, answer);
                });
            }
        };
        keeper.when_on_disk(piece, Box::new(tell));
    }
    Ok(())
}

fn migrate(_: &mut Ctx<'_>, _: Args<'_>) -> Result {
    Err(Error::new(
        "ERR MIGRATE is not built yet: this server opens no connections to others",
    ))
}

#[cfg(test)]
mod tests {
    use crate::follow::waiting::GiveUp;
    use crate::testing::{TestClient, check};

    #[test]
    fn nobody_acknowledges_anything() {
        check("WAIT 0 0", "0");
        check("WAIT -1 1", "0");
        check("WAITAOF 0 0 0", "[0 0]");
        check("MULTI; WAIT 1 0; WAITAOF 0 1 0; EXEC", "[0 [0 0]]");
        check("EVAL \"return redis.call('WAITAOF', 0, 1, 0)\" 0", "[0 0]");
        let mut db = TestClient::new();
        for (call, reply) in [("WAIT 1 0", "0"), ("WAITAOF 0 3 1000", "[0 0]")] {
            db.block(call);
            assert!(db.give_up(GiveUp::Timeout));
            db.check_blocked(reply);
        }
    }

    #[test]
    fn what_does_not_fit() {
        let integer = "-ERR value is not an integer or out of range";
        let timeout = "-ERR timeout is not an integer or out of range";
        for (call, error) in [
            ("WAIT x 1", integer),
            ("WAIT 1 x", timeout),
            ("WAIT 1 -1", "-ERR timeout is negative"),
            ("WAITAOF x 0 0", integer),
            ("WAITAOF 0 0 -1", "-ERR timeout is negative"),
            (
                "WAITAOF 2 0 1",
                "-ERR value is out of range, value must between 0 and 1",
            ),
            (
                "WAITAOF 0 -1 1",
                "-ERR value is out of range, must be positive",
            ),
            (
                "WAITAOF 1 0 0",
                "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
            ),
        ] {
            check(call, error);
        }
    }

    #[test]
    fn keys_of_migrate_are_known() {
        check("COMMAND GETKEYS MIGRATE host 6379 k 0 1000", "[\"k\"]");
        check(
            "COMMAND GETKEYS MIGRATE host 6379 \"\" 0 1000 KEYS a b",
            "[\"a\" \"b\"]",
        );
        assert!(
            crate::testing::run("MIGRATE h 1 k 0 1").starts_with("-ERR MIGRATE is not built yet")
        );
    }
}
