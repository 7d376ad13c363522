//! Changes that were let in are asked about again once they have their locks: whoever closes a gate while holding all of them finds
//! each change wholly before that, or refused or put off.

use crate::base::replication::{CHANGES_HELD, READ_ONLY_REPLICA};
use crate::context::engine::Engine;
use crate::context::gate::Intent;
use crate::ops::strings;
use crate::testing::TestClient;
use resp::{Out, Proto};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use store::Value;

/// How the counter is raised.
type Way = fn(&mut TestClient);

fn typed(db: &mut TestClient) {
    let counters = db.worker.counters().clone();
    // Refused is refused.
    let _ = db
        .engine
        .with_key(0, b"n", Intent::Grow, &counters, |keys| {
            strings::add(keys, b"n", 1)
        });
}

fn in_an_update(db: &mut TestClient) {
    let mut out = Out::new(Proto::Resp2);
    let TestClient {
        worker, session, ..
    } = db;
    let _ = worker.update(session, &[b"n"], &mut out, |mut update| {
        let done = update.with_key(b"n", Intent::Grow, |keys| strings::add(keys, b"n", 1));
        (done, update)
    });
}

const WAYS: &[(&str, Way)] = &[
    ("a command", |db| drop(db.run("INCR n"))),
    ("a transaction", |db| drop(db.run("MULTI; INCR n; EXEC"))),
    ("a script", |db| {
        drop(db.run("EVAL \"return redis.call('INCR', KEYS[1])\" 1 n"));
    }),
    ("a script that names no key", |db| {
        drop(db.run("EVAL \"return redis.call('INCR', 'n')\" 0"));
    }),
    ("a transaction around such a script", |db| {
        drop(db.run("MULTI; EVAL \"return redis.call('INCR', 'n')\" 0; EXEC"));
    }),
    ("a typed call", typed),
    ("an update", in_an_update),
];

/// What the counter is; `work` is done meanwhile, with all locks held.
fn count(engine: &Engine, work: impl FnOnce()) -> i64 {
    let ks = engine.keyspace();
    let place = ks.place(b"n");
    let all = ks.lock_all();
    work();
    let shard = all.get(place.shard()).expect("all of them");
    match shard.db_ref(0).get(place.hash(), b"n").map(|e| e.value()) {
        Some(Value::Int(n)) => n,
        _ => 0,
    }
}

fn close(engine: &Engine, gate: &str, closed: bool) {
    match (gate, closed) {
        ("replica", _) => engine.standing.close(READ_ONLY_REPLICA, closed),
        ("loading", true) => engine.loading.begin(),
        ("loading", false) => engine.loading.end(),
        ("failover", _) => engine.standing.close(CHANGES_HELD, closed),
        (_, true) => engine.pause.start(1, i64::MAX as u64, true),
        (_, false) => engine.pause.stop(),
    }
}

#[test]
fn nothing_changes_behind_a_gate_that_was_closed_with_all_locks() {
    for gate in ["replica", "failover", "pause", "loading"] {
        for (name, way) in WAYS {
            let db = TestClient::with(&[("shards", "4")]);
            let (engine, over) = (db.engine.clone(), Arc::new(AtomicBool::new(false)));
            let writer = {
                let (mut client, over) = (db.another(), over.clone());
                std::thread::spawn(move || {
                    while !over.load(Relaxed) {
                        way(&mut client);
                    }
                })
            };
            let mut last = 0;
            for round in 0..200 {
                // It is at work.
                while count(&engine, || ()) == last {
                    std::thread::yield_now();
                }
                let then = count(&engine, || close(&engine, gate, true));
                for _ in 0..5 {
                    std::thread::yield_now();
                    last = count(&engine, || ());
                    assert_eq!(last, then, "{name} behind {gate}, round {round}");
                }
                close(&engine, gate, false);
            }
            over.store(true, Relaxed);
            writer.join().expect("the writer");
        }
    }
}
