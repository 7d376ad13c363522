//! CLIENT WAITS: who waits for whom. Blocked clients with the keys they wait for, clients whose commands are parked because
//! somebody holds their keys' shards, and the scripts that have been running for some time, which is who holds them most often.

use crate::base::args::Args;
use crate::base::clock::unix_ms;
use crate::base::error::Result;
use crate::client::clients::Client;
use crate::context::ctx::Ctx;
use crate::follow::waiting::Waiter;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// A client that waits.
enum Why {
    Blocked(Arc<Waiter>),
    /// For this lock, since that Unix millisecond.
    Parked(usize, u64),
}

pub(super) fn client_waits(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let mut waits: Vec<(Arc<Client>, Why)> = Vec::new();
    for client in ctx.engine.clients().list() {
        if let Some(waiter) = client.waits_for::<Waiter>() {
            waits.push((client, Why::Blocked(waiter)));
        } else if let Some(lock) = client.parked_for.load(Relaxed).checked_sub(1) {
            let since = client.parked_ms.load(Relaxed);
            waits.push((client, Why::Parked(lock, since)));
        }
    }
    ctx.out.map(3);
    ctx.out.bulk(b"blocked");
    blocked(ctx, &waits);
    ctx.out.bulk(b"parked");
    parked(ctx, &waits);
    ctx.out.bulk(b"scripts");
    scripts(ctx);
    Ok(())
}

/// What is told of any client: three pairs.
fn about(ctx: &mut Ctx<'_>, client: &Client) {
    let user = client.words.lock().user.clone();
    ctx.out.bulk(b"id");
    ctx.out.int(client.id as i64);
    ctx.out.bulk(b"addr");
    ctx.out.bulk(client.addr.as_bytes());
    ctx.out.bulk(b"user");
    ctx.out.bulk(user.as_bytes());
}

fn blocked(ctx: &mut Ctx<'_>, waits: &[(Arc<Client>, Why)]) {
    let (registry, now) = (ctx.registry(), Instant::now());
    let begun = ctx.out.begin_array();
    let mut n = 0;
    for (client, why) in waits {
        let Why::Blocked(waiter) = why else { continue };
        n += 1;
        let name = registry.iter_all().find(|entry| entry.id == waiter.command);
        ctx.out.map(7);
        about(ctx, client);
        ctx.out.bulk(b"command");
        ctx.out
            .bulk(name.map_or("", |entry| entry.command.name).as_bytes());
        ctx.out.bulk(b"db");
        ctx.out.int(waiter.db as i64);
        ctx.out.bulk(b"keys");
        ctx.out.array(waiter.keys.len());
        for (_, key) in &waiter.keys {
            ctx.out.bulk(key);
        }
        ctx.out.bulk(b"timeout-ms");
        match waiter.until {
            Some(until) => {
                let left = until.saturating_duration_since(now);
                ctx.out.int(left.as_millis() as i64);
            }
            None => ctx.out.null(),
        }
    }
    ctx.out.end_array(begun, n);
}

fn parked(ctx: &mut Ctx<'_>, waits: &[(Arc<Client>, Why)]) {
    let (now_ms, token) = (unix_ms(), ctx.engine.keyspace().token_index());
    let begun = ctx.out.begin_array();
    let mut n = 0;
    for (client, why) in waits {
        let Why::Parked(lock, since_ms) = why else {
            continue;
        };
        n += 1;
        ctx.out.map(5);
        about(ctx, client);
        ctx.out.bulk(b"waited-ms");
        ctx.out.int(now_ms.saturating_sub(*since_ms) as i64);
        ctx.out.bulk(b"shard");
        match *lock == token {
            // Of those who may wait while they hold locks there is one at a time.
            true => ctx.out.bulk(b"token"),
            false => ctx.out.int(*lock as i64),
        }
    }
    ctx.out.end_array(begun, n);
}

fn scripts(ctx: &mut Ctx<'_>) {
    let (running, now_ms) = (ctx.engine.scripts.all_running(), unix_ms());
    ctx.out.array(running.len());
    for script in running {
        ctx.out.map(5);
        ctx.out.bulk(b"name");
        ctx.out.bulk(&script.name);
        ctx.out.bulk(b"kind");
        ctx.out.bulk(if script.is_function {
            b"function"
        } else {
            b"script"
        });
        ctx.out.bulk(b"client");
        ctx.out.int(script.client as i64);
        ctx.out.bulk(b"running-ms");
        ctx.out.int(now_ms.saturating_sub(script.started_ms) as i64);
        ctx.out.bulk(b"wrote");
        ctx.out.bool(script.end.wrote());
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::TestClient;

    #[test]
    fn blocked_clients_are_told_with_their_keys() {
        let mut c = TestClient::new();
        c.check("CLIENT WAITS", r#"["blocked" [] "parked" [] "scripts" []]"#);
        let mut other = c.another();
        other.block("BLPOP x y 0");
        let told = c.run("CLIENT WAITS");
        assert!(
            told.contains(r#""command" "blpop" "db" 0 "keys" ["x" "y"] "timeout-ms" nil"#),
            "{told}"
        );
        c.run("RPUSH y 1");
        c.check("CLIENT WAITS", r#"["blocked" [] "parked" [] "scripts" []]"#);
    }

    #[test]
    fn parked_clients_are_told_with_their_shard() {
        let mut c = TestClient::new();
        let other = c.another();
        let mut session = other.session;
        session.stand(3);
        let told = c.run("CLIENT WAITS");
        assert!(told.contains(r#""shard" 3"#), "{told}");
        session.leave_lines();
        assert!(!c.run("CLIENT WAITS").contains(r#""shard" 3"#));
    }
}
