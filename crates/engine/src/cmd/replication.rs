//! What clients ask of replicas and other servers: WAIT, WAITAOF, ROLE, FAILOVER, MIGRATE; and what replicas say: REPLCONF, PSYNC,
//! SYNC.
//!
//! Whoever speaks to other servers ([`crate::config::host::Replication`]) does what they ask. Without it nobody acknowledges
//! anything, and who waits for that waits in vain for as long as it says.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::replication::{Announced, Filter, StreamWish};
use crate::config::host::{Failover, Migration, Replication, RoleReport, Tell};
use crate::context::command::{
    ADMIN, ALLOW_BUSY, BLOCKING, Command, FAST, Group, KS_ACCESS, KS_DELETE, KS_INCOMPLETE, KS_RW,
    KeySpec, LOADING, MOVABLEKEYS, NO_ASYNC_LOADING, NO_MULTI, NOSCRIPT, STALE, Secret, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::context::next::Next;
use crate::follow::waiting::{self, Empty, Wait, Waiter};
use crate::table::categories::{CAT_ADMIN, CAT_CONNECTION, CAT_DANGEROUS, CAT_KEYSPACE};
use crate::table::docs::SYSCMD;
use std::sync::Arc;
use std::time::Duration;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("failover", -1, ADMIN | NOSCRIPT | STALE, Group::Server, "6.2.0", failover)
        .args("[TO target{host port:int [FORCE]}] [ABORT] [TIMEOUT milliseconds:int]")
        .docs("Gives the role of the primary to a replica, without losing a change.", "O(1)"),
    row("migrate", -6, WRITE | MOVABLEKEYS, Group::Generic, "2.6.0", migrate)
        .keys(&[KeySpec::at(3, KS_RW | KS_ACCESS | KS_DELETE),
                KeySpec::after("KEYS", -2, -1, 0, KS_RW | KS_ACCESS | KS_DELETE | KS_INCOMPLETE)])
        .args("host port:int key-selector(key#0 | empty-string='') destination-db:int timeout:int [COPY@3.0.0] \
               [REPLACE@3.0.0] [authentication(AUTH auth<password>@4.0.7 | AUTH2 auth2{username password}@6.0.0)] \
               [KEYS keys<key>:key#1...@3.0.6]").secret(Secret::Peer)
        .acl(CAT_KEYSPACE | CAT_DANGEROUS).tips(&["nondeterministic_output"])
        .docs("Moves keys to another server.", "That of DUMP, RESTORE and DEL, and of sending N bytes")
        .history(&[("3.0.0", "New options COPY and REPLACE."), ("3.0.6", "New option KEYS."),
                   ("4.0.7", "New option AUTH."), ("6.0.0", "New option AUTH2.")]),
    row("psync", -3, ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI, Group::Server, "2.8.0", psync)
        .args("replicationid offset:int").docs("Asks for the stream of changes, as replicas do.", ""),
    row("replconf", -1, ADMIN | NOSCRIPT | LOADING | STALE | ALLOW_BUSY | SYSCMD, Group::Server, "3.0.0", replconf)
        .docs("Says something about a replica, as replicas do.", "O(1)"),
    row("role", 1, NOSCRIPT | LOADING | STALE | FAST, Group::Server, "2.8.12", role)
        .acl(CAT_ADMIN | CAT_DANGEROUS)
        .docs("Returns whether this server is a primary or a replica, and how far those are that follow it.", "O(1)"),
    row("sync", 1, ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI, Group::Server, "1.0.0", sync)
        .docs("Asks for a copy of the data set and the stream of changes, as old replicas do.", ""),
    row("wait", 3, BLOCKING, Group::Generic, "3.0.0", wait)
        .args("numreplicas:int timeout:int").acl(CAT_CONNECTION)
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .docs("Waits until replicas have what this connection has written.", "O(1)"),
    row("waitaof", 4, BLOCKING, Group::Generic, "7.2.0", waitaof)
        .args("numlocal:int numreplicas:int timeout:int").acl(CAT_CONNECTION)
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .docs("Waits until what this connection has written is in append-only files, here and on replicas.", "O(1)"),
];

/// Who speaks to replicas.
fn hub(ctx: &Ctx<'_>) -> Option<Arc<dyn Replication>> {
    ctx.engine.replication().cloned()
}

fn wait(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let replicas = args.int();
    args.check()?;
    let timeout = waiting::timeout_ms(args.take(), ctx.keys.now_ms)?;
    if ctx.engine.standing.is_replica() {
        return Err(Error::new(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
             configured to be writable (which is not the default) writes to replicas are just local and are not propagated.",
        ));
    }
    let (hub, piece) = (hub(ctx), ctx.session.piece);
    let have = move |hub: &Option<Arc<dyn Replication>>| {
        let have = hub.as_ref().map_or(0, |hub| hub.acknowledged(piece, false));
        i64::try_from(have).unwrap_or(i64::MAX)
    };
    let now = have(&hub);
    if now >= replicas || ctx.nested {
        ctx.out.int(now);
        return Ok(());
    }
    let counted = hub.clone();
    let empty = Empty::Told(Arc::new(move |out| out.int(have(&counted))));
    wait_for_replicas(ctx, timeout, empty, hub, piece, replicas, false);
    Ok(())
}

/// Waits until so many replicas have what the connection has written; then, or when its time is over, `answer` is the reply.
fn wait_for_replicas(
    ctx: &mut Ctx<'_>,
    timeout: Option<Duration>,
    answer: Empty,
    hub: Option<Arc<dyn Replication>>,
    piece: u64,
    replicas: i64,
    on_disk: bool,
) {
    block(ctx, timeout, answer.clone());
    if let (Some(hub), Next::Block(waiter)) = (hub, &ctx.next) {
        let engine = ctx.engine.handle();
        let tell = Tell::new(waiter, move |waiter| {
            engine.count_job(|counters| {
                let write = |out: &mut resp::Out| answer.write(out);
                engine.follow.answer(waiter, counters, write);
            });
        });
        let replicas = usize::try_from(replicas).unwrap_or(usize::MAX);
        hub.when_acknowledged(piece, replicas, on_disk, tell);
    }
}

/// Blocks the client on no key.
fn block(ctx: &mut Ctx<'_>, timeout: Option<Duration>, empty: Empty) {
    ctx.block(Wait {
        empty,
        ..Wait::new(&[], timeout, Box::new(|_, _, _| Ok(false)))
    });
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
    let timeout = waiting::timeout_ms(args.take(), ctx.keys.now_ms)?;
    if ctx.engine.standing.is_replica() {
        return Err(Error::new(
            "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and \
             are not propagated.",
        ));
    }
    let keeper = ctx.engine.persistence().filter(|k| k.has_log()).cloned();
    if local > 0 && keeper.is_none() {
        return Err(Error::new(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    let (hub, piece) = (hub(ctx), ctx.session.piece);
    let here = {
        let keeper = keeper.clone();
        move || keeper.as_ref().is_some_and(|k| k.is_on_disk(piece))
    };
    let there = {
        let hub = hub.clone();
        move || {
            let have = hub.as_ref().map_or(0, |hub| hub.acknowledged(piece, true));
            i64::try_from(have).unwrap_or(i64::MAX)
        }
    };
    let enough = {
        let (here, there) = (here.clone(), there.clone());
        move || (local == 0 || here()) && there() >= replicas
    };
    let (is_enough, is_here) = (enough(), here());
    let answer = Empty::Told(Arc::new(move |out| {
        out.array(2);
        out.int(i64::from(here()));
        out.int(there());
    }));
    if is_enough || ctx.nested {
        answer.write(ctx.out);
        return Ok(());
    }
    // Whichever comes last answers.
    block(ctx, timeout, answer.clone());
    let Next::Block(waiter) = &ctx.next else {
        return Ok(());
    };
    let engine = ctx.engine.handle();
    let tell = Arc::new(move |waiter: &Arc<Waiter>| {
        if enough() {
            engine.count_job(|counters| {
                let write = |out: &mut resp::Out| answer.write(out);
                engine.follow.answer(waiter, counters, write);
            });
        }
    });
    if let Some(keeper) = keeper
        && !is_here
    {
        let (tell, waiter) = (tell.clone(), waiter.clone());
        keeper.when_on_disk(piece, Box::new(move |_| tell(&waiter)));
    }
    if let (Some(hub), Ok(replicas @ 1..)) = (hub, usize::try_from(replicas)) {
        let tell = Tell::new(waiter, move |waiter| tell(waiter));
        hub.when_acknowledged(piece, replicas, true, tell);
    }
    Ok(())
}

fn failover(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let Some(hub) = hub(ctx) else {
        return Err(Error::new("ERR this database has no replicas"));
    };
    if args.left() == 1 && args.keyword("ABORT") {
        if ctx.nested {
            // The locks that it may have to wait for are held.
            hub.abort_failover(false).map_err(Error::new)?;
            ctx.out.ok();
            return Ok(());
        }
        ctx.offload(Box::new(move |out| match hub.abort_failover(true) {
            Ok(()) => out.simple("OK"),
            Err(text) => out.error(&text),
        }));
        return Ok(());
    }
    let mut how = Failover::default();
    while args.left() > 0 {
        if how.timeout_ms == 0 && args.left() > 1 && args.keyword("TIMEOUT") {
            let timeout = args.int();
            args.check()?;
            how.timeout_ms = u64::try_from(timeout)
                .ok()
                .filter(|ms| *ms > 0)
                .ok_or_else(|| Error::new("ERR FAILOVER timeout must be greater than 0"))?;
        } else if how.to.is_none() && args.left() > 2 && args.keyword("TO") {
            let host = String::from_utf8_lossy(args.take()).into_owned();
            let port = args.int();
            args.check()?;
            let port = u16::try_from(port).unwrap_or(0);
            how.to = Some((host, port));
        } else if args.keyword("FORCE") {
            how.force = true;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    // Who was told to follow somebody is a replica, though that may not be done yet.
    if ctx.engine.about_to_follow().is_some() {
        return Err(Error::new(
            "ERR FAILOVER is not valid when server is a replica.",
        ));
    }
    let begun = ctx.engine.roles.while_none_asks(|| hub.failover(how));
    begun
        .unwrap_or_else(|| Err("ERR FAILOVER is not valid while REPLICAOF is carried out.".into()))
        .map_err(Error::new)?;
    ctx.out.ok();
    Ok(())
}

fn role(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let report = match hub(ctx) {
        Some(hub) => hub.role(),
        None => RoleReport::Primary(ctx.engine.standing.offset(), Vec::new()),
    };
    let out = &mut *ctx.out;
    match report {
        RoleReport::Primary(offset, replicas) => {
            out.array(3);
            out.bulk(b"master");
            out.int(offset as i64);
            out.array(replicas.len());
            for (ip, port, offset) in replicas {
                out.array(3);
                out.bulk(ip.as_bytes());
                out.bulk(port.to_string().as_bytes());
                out.bulk(offset.to_string().as_bytes());
            }
        }
        RoleReport::Replica(host, port, state, offset) => {
            out.array(5);
            out.bulk(b"slave");
            out.bulk(host.as_bytes());
            out.int(i64::from(port));
            out.bulk(state.as_bytes());
            out.int(offset);
        }
    }
    Ok(())
}

/// Version text as one number.
fn version(text: &[u8]) -> Option<u32> {
    let text = str::from_utf8(text).ok()?;
    let mut numbers = text.split('.').map(|n| n.parse::<u8>());
    let mut next = || numbers.next()?.ok();
    let (major, minor, patch) = (next()?, next()?, next()?);
    Some(u32::from_be_bytes([0, major, minor, patch]))
}

fn replconf(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    if !args.left().is_multiple_of(2) {
        return Err(Error::SYNTAX);
    }
    while args.left() > 0 {
        let option = args.take().to_ascii_lowercase();
        let value = args.take();
        let said = || {
            let number = resp::number::parse_i64(value);
            number.ok_or(Error::NOT_AN_INTEGER)
        };
        let announced = ctx.session.announced.get_or_insert_default();
        match &*option {
            b"listening-port" => announced.port = said()? as u16,
            b"ip-address" if value.len() < 255 => {
                announced.ip = String::from_utf8_lossy(value).into_owned();
            }
            b"ip-address" => {
                return Err(Error::new(format!(
                    "ERR REPLCONF ip-address provided by replica instance is too long: {} bytes",
                    value.len()
                )));
            }
            b"capa" => match &*value.to_ascii_lowercase() {
                b"eof" => announced.eof = true,
                b"psync2" => announced.psync2 = true,
                b"rdb-channel-repl" => announced.redis_8 = true,
                b"redpoll" => announced.redpoll = true,
                // What is not known is not needed.
                _ => {}
            },
            b"version" => {
                announced.version =
                    version(value).ok_or_else(|| Error::new("ERR Unrecognized version format"))?;
            }
            // They are for a replica's link, and get no reply.
            b"ack" | b"getack" => return Ok(()),
            b"rdb-only" => announced.rdb_only = said()? == 1,
            b"rdb-filter-only" => {
                announced.filter = Filter::All;
                for word in value
                    .split(|b| b.is_ascii_whitespace())
                    .filter(|w| !w.is_empty())
                {
                    if !word.eq_ignore_ascii_case(b"functions") {
                        return Err(Error::quoting(
                            "ERR Unsupported rdb-filter-only option: {}",
                            &[word],
                        ));
                    }
                    announced.filter = Filter::OnlyFunctions;
                }
            }
            _ => {
                return Err(Error::quoting(
                    "ERR Unrecognized REPLCONF option: {}",
                    &[&option],
                ));
            }
        }
    }
    ctx.out.ok();
    Ok(())
}

fn psync(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let id = args.take();
    let from = args.int();
    args.check()?;
    let failover = args.left() > 0;
    if failover && !args.keyword("FAILOVER") {
        return Err(Error::SYNTAX);
    }
    args.finish()?;
    let known = id != b"?";
    give_away(
        ctx,
        StreamWish {
            announced: Announced::default(),
            id: match known {
                true => String::from_utf8_lossy(id).into_owned(),
                false => String::new(),
            },
            from: u64::try_from(from).ok().filter(|_| known),
            failover,
            old_style: false,
        },
    )
}

fn sync(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let wish = StreamWish {
        old_style: true,
        ..StreamWish::default()
    };
    give_away(ctx, wish)
}

/// Gives the connection to whoever speaks to replicas.
fn give_away(ctx: &mut Ctx<'_>, wish: StreamWish) -> Result {
    let Some(hub) = hub(ctx) else {
        return Err(Error::new("ERR this database has no replicas"));
    };
    let announced = ctx.session.announced.as_deref().cloned();
    let wish = StreamWish {
        announced: announced.unwrap_or_default(),
        ..wish
    };
    hub.admit(&wish).map_err(Error::new)?;
    let client = ctx.session.client.id;
    ctx.next = Next::GiveAway(Box::new(move |session, wire| {
        hub.take(Box::new(session), client, wish, wire);
    }));
    Ok(())
}

fn migrate(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (host, port, key) = (args.take(), args.take(), args.take());
    let (to_db, timeout) = (args.take(), args.take());
    let (mut copy, mut replace) = (false, false);
    let (mut user, mut password) = (None, None);
    let mut keys: Vec<Vec<u8>> = vec![key.to_vec()];
    while args.left() > 0 {
        if args.keyword("COPY") {
            copy = true;
        } else if args.keyword("REPLACE") {
            replace = true;
        } else if args.keyword_with_value("AUTH") {
            password = Some(args.take().to_vec());
        } else if args.left() > 2 && args.keyword("AUTH2") {
            user = Some(args.take().to_vec());
            password = Some(args.take().to_vec());
        } else if args.keyword("KEYS") {
            if !key.is_empty() {
                return Err(Error::new(
                    "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                ));
            }
            keys.clear();
            while args.left() > 0 {
                keys.push(args.take().to_vec());
            }
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let timeout = resp::parse_i64(timeout).ok_or(Error::NOT_AN_INTEGER)?;
    let to_db = resp::parse_i64(to_db).ok_or(Error::NOT_AN_INTEGER)?;
    // Whether there are keys to be moved is looked at before the other server is thought of.
    let port = resp::parse_i64(port).and_then(|n| u16::try_from(n).ok());
    let Some(hub) = hub(ctx) else {
        return Err(Error::new(
            "ERR this program opens no connections to other servers for its database",
        ));
    };
    if ctx.nested {
        // What belongs together holds its locks, and nobody is waited for with locks.
        return Err(Error::new(
            "ERR MIGRATE waits for another server, which is not done inside of a transaction or a script",
        ));
    }
    let what = Migration {
        host: String::from_utf8_lossy(host).into_owned(),
        port,
        to_db,
        from_db: ctx.keys.db,
        timeout_ms: u64::try_from(timeout)
            .ok()
            .filter(|ms| *ms > 0)
            .unwrap_or(1000),
        copy,
        replace,
        user,
        password,
        keys,
    };
    ctx.offload(Box::new(move |out| match hub.migrate(&what) {
        Ok(text) => out.simple(text),
        Err(text) => out.error(&text),
    }));
    Ok(())
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
        for (call, error) in [
            (
                "MIGRATE h 1 k 0 1",
                "-ERR this program opens no connections",
            ),
            (
                "MIGRATE h 1 k 0 1 KEYS a",
                "-ERR When using MIGRATE KEYS option",
            ),
            ("MIGRATE h 1 k 0 1 NOSUCH", "-ERR syntax error"),
            ("MIGRATE h 1 k x 1", "-ERR value is not an integer"),
        ] {
            let reply = crate::testing::run(call);
            assert!(reply.starts_with(error), "{call}: {reply}");
        }
    }
}
