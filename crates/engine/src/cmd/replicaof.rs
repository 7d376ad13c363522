//! Following another server: REPLICAOF, and its old name SLAVEOF.
//!
//! Who moves the stream (`Replication`) does the work. It waits for what is under way, which may hold locks of the keyspace, so it is
//! asked on a helper thread, or on one of its own from inside of a transaction, whose locks are held: a sentinel sends SLAVEOF so,
//! and looks at INFO for what came of it. Whatever thread does it, what was asked for last is what is done last.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::replication::READ_ONLY_REPLICA;
use crate::context::command::{ADMIN, Command, Group, NO_ASYNC_LOADING, NOSCRIPT, STALE, row};
use crate::context::ctx::Ctx;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("replicaof", 3, ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING, Group::Server, "5.0.0", replicaof)
        .args("args(host-port{host port:int} | no-one{NO ONE})")
        .docs("Follows a primary, as its replica, or nobody any more.", "O(1)"),
    row("slaveof", 3, ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING, Group::Server, "1.0.0", replicaof)
        .args("args(host-port{host port:int} | no-one{NO ONE})")
        .deprecated("5.0.0", "`REPLICAOF`")
        .docs("Follows a primary, as its replica, or nobody any more.", "O(1)"),
];

fn replicaof(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (host, port) = (args.take(), args.take());
    let engine = ctx.engine.handle();
    let Some(replication) = engine.replication().cloned() else {
        return Err(Error::new(
            "ERR this program follows no other server with its database",
        ));
    };
    let failing_over = || Error::new("ERR REPLICAOF not allowed while failing over.");
    if replication.is_failing_over() {
        return Err(failing_over());
    }
    let none = host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one");
    let primary = if none {
        None
    } else {
        let number = resp::parse_i64(port).and_then(|n| u16::try_from(n).ok());
        let port = number.ok_or(Error::new("ERR Invalid master port"))?;
        let host = str::from_utf8(host).ok().filter(|host| {
            !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control())
        });
        let host = host.ok_or(Error::new("ERR Invalid master host"))?;
        Some((host.to_owned(), port))
    };
    let text = primary
        .as_ref()
        .map_or_else(String::new, |(host, port)| format!("{host} {port}"));
    if primary.is_some()
        && engine.standing.is_replica()
        && engine.config().text("replicaof") == text
    {
        ctx.out.simple("OK Already connected to specified master");
        return Ok(());
    }
    // A transaction's answer is there before that is done, and what stands behind it in there is carried out before. So a failover may
    // not begin in between, which would decide on the role: what is answered here is done.
    let known = primary.clone().filter(|_| ctx.nested);
    let turn = (engine.roles)
        .ask(known, || replication.is_failing_over())
        .ok_or_else(failing_over)?;
    // What CONFIG REWRITE of the same transaction writes.
    engine
        .config()
        .record("replicaof", &text)
        .map_err(|why| Error::new(format!("ERR {why}")))?;
    let follow = move || {
        turn.wait();
        let primary = primary.as_ref().map(|(host, port)| (&**host, *port));
        replication.follow(primary)
    };
    if !ctx.nested {
        ctx.offload(Box::new(move |out| match follow() {
            Ok(text) => out.simple(text),
            Err(text) => out.error(&text),
        }));
        return Ok(());
    }
    if !text.is_empty() && engine.config().flag("replica-read-only") {
        engine.standing.close(READ_ONLY_REPLICA, true);
    }
    let spawned = std::thread::Builder::new()
        .name("replicaof".into())
        .spawn(move || {
            if let Err(why) = follow() {
                tracing::warn!("REPLICAOF: {why}");
            }
        });
    spawned.map_err(|e| Error::new(format!("ERR no thread to do that: {e}")))?;
    ctx.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn what_does_not_fit() {
        check(
            "REPLICAOF a",
            "-ERR wrong number of arguments for 'replicaof' command",
        );
        check(
            "REPLICAOF a 1",
            "-ERR this program follows no other server with its database",
        );
    }
}
