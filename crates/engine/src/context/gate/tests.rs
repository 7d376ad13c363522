//! Every gate, for every way in.

use super::*;
use crate::testing::TestClient;
use std::fmt::Write;

#[test]
fn every_gate_says_for_which_ways_in_it_holds() {
    let ways = [CLIENT, QUEUE, EXEC, SCRIPT, LIBRARY, UPDATE];
    let mut table =
        String::from("                client  queue   exec    script  library update\n");
    for (name, holds) in GATES {
        let _ = write!(table, "{name:16}");
        for way in ways {
            let _ = write!(table, "{:8}", if holds & way != 0 { "x" } else { "" });
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
    }
    assert_eq!(
        table,
        "                client  queue   exec    script  library update
arity           x       x               x               x
authentication  x       x
in MULTI                x
in scripts                              x
permissions     x       x       x       x
script reads                            x
in updates                                              x
memory          x       x       x       x       x       x
replication     x       x               x       x
subscribed      x       x
monitoring      x       x
stale           x       x       x       x       x
loading         x       x                       x
kept            x       x                       x
paused          x       x                       x
held up         x                               x
log queue       x                               x
busy script     x                               x
"
    );
}

/// A client in the state that a gate is about, a command that it refuses, and what the reply says.
type Case = (
    &'static str,
    u8,
    &'static [&'static str],
    &'static str,
    &'static str,
);

/// For every gate and way in, one command that it refuses; those that wait are below.
const CASES: &[Case] = &[
    (
        "arity",
        CLIENT,
        &[],
        "GET",
        "wrong number of arguments for 'get'",
    ),
    (
        "arity",
        QUEUE,
        &["MULTI"],
        "GET",
        "wrong number of arguments for 'get'",
    ),
    ("arity", SCRIPT, &[], "GET", "Wrong number of args calling"),
    (
        "arity",
        UPDATE,
        &[],
        "GET",
        "wrong number of arguments for 'get'",
    ),
    (
        "in updates",
        UPDATE,
        &[],
        "FLUSHALL",
        "'flushall' is not possible inside",
    ),
    ("authentication", CLIENT, &["locked"], "GET k", "NOAUTH"),
    (
        "authentication",
        QUEUE,
        &["MULTI", "locked"],
        "GET k",
        "NOAUTH",
    ),
    (
        "in MULTI",
        QUEUE,
        &["MULTI"],
        "SHUTDOWN",
        "not allowed inside a transaction",
    ),
    (
        "in scripts",
        SCRIPT,
        &[],
        "MULTI",
        "not allowed from script",
    ),
    (
        "permissions",
        CLIENT,
        &["restricted"],
        "GET k",
        "NOPERM User u has no permissions",
    ),
    (
        "permissions",
        QUEUE,
        &["MULTI", "restricted"],
        "GET k",
        "NOPERM User u has no permissions",
    ),
    (
        "permissions",
        EXEC,
        &["MULTI", "GET k", "restricted"],
        "GET k",
        "NOPERM ACLs rules changed",
    ),
    (
        "permissions",
        SCRIPT,
        &["restricted"],
        "GET k",
        "ERR ACL failure in script",
    ),
    (
        "script reads",
        SCRIPT,
        &["reader"],
        "SET k v",
        "not allowed from read-only scripts",
    ),
    ("memory", CLIENT, &["over"], "SET k v", "OOM command"),
    (
        "memory",
        QUEUE,
        &["MULTI", "over"],
        "SET k v",
        "OOM command",
    ),
    ("memory", EXEC, &["over"], "SET k v", "OOM command"),
    ("memory", SCRIPT, &["over"], "SET k v", "OOM command"),
    ("memory", LIBRARY, &["over"], "SET k v", "OOM command"),
    ("memory", UPDATE, &["over"], "SET k v", "OOM command"),
    ("replication", CLIENT, &["lonely"], "SET k v", "NOREPLICAS"),
    (
        "replication",
        QUEUE,
        &["MULTI", "follows"],
        "SET k v",
        "READONLY",
    ),
    ("replication", SCRIPT, &["follows"], "SET k v", "READONLY"),
    ("replication", LIBRARY, &["follows"], "", "READONLY"),
    ("stale", CLIENT, &["stale"], "GET k", "MASTERDOWN"),
    ("stale", QUEUE, &["MULTI", "stale"], "GET k", "MASTERDOWN"),
    (
        "stale",
        EXEC,
        &["MULTI", "EVAL \"return 1\" 0", "stale"],
        "EVAL",
        "MASTERDOWN",
    ),
    (
        "stale",
        SCRIPT,
        &["stale"],
        "GET k",
        "ERR Can not execute the command on a stale replica",
    ),
    ("stale", LIBRARY, &["stale"], "", "MASTERDOWN"),
    (
        "subscribed",
        CLIENT,
        &["SUBSCRIBE c"],
        "GET k",
        "Can't execute 'get'",
    ),
    (
        "subscribed",
        QUEUE,
        &["MULTI", "subscribed"],
        "GET k",
        "Can't execute 'get'",
    ),
    (
        "monitoring",
        CLIENT,
        &["MONITOR"],
        "GET k",
        "Replica can't interact",
    ),
    (
        "monitoring",
        QUEUE,
        &["MONITOR", "MULTI"],
        "GET k",
        "Replica can't interact",
    ),
    ("loading", CLIENT, &["loading"], "GET k", "LOADING"),
    ("loading", QUEUE, &["MULTI", "loading"], "GET k", "LOADING"),
    ("loading", LIBRARY, &["loading"], "", ""),
    ("kept", CLIENT, &["refusing"], "SET k v", "MISCONF"),
    ("kept", QUEUE, &["MULTI", "refusing"], "SET k v", "MISCONF"),
    ("paused", CLIENT, &["CLIENT PAUSE 100000"], "GET k", ""),
    ("paused", QUEUE, &["MULTI", "paused"], "GET k", ""),
    ("paused", LIBRARY, &["CLIENT PAUSE 100000"], "", ""),
    ("kept", LIBRARY, &["refusing"], "", "MISCONF"),
    ("busy script", LIBRARY, &["busy"], "", "BUSY"),
    ("held up", CLIENT, &["pressed"], "SET k v", ""),
    ("held up", LIBRARY, &["pressed"], "", ""),
    ("log queue", CLIENT, &["log full"], "SET k v", ""),
    ("log queue", LIBRARY, &["log full"], "", ""),
    ("busy script", CLIENT, &["busy"], "GET k", "BUSY"),
];

#[test]
fn every_gate_is_tried_for_every_way_in_that_it_holds_for() {
    let mut tried: Vec<(&str, u8)> = CASES.iter().map(|c| (c.0, c.1)).collect();
    let mut holds = Vec::new();
    for (name, ways) in GATES {
        for way in [CLIENT, QUEUE, EXEC, SCRIPT, LIBRARY, UPDATE] {
            if ways & way != 0 {
                holds.push((*name, way));
            }
        }
    }
    tried.sort_unstable();
    holds.sort_unstable();
    assert_eq!(tried, holds);
    for case in CASES {
        check(case);
    }
}

fn check(&(name, way, before, line, text): &Case) {
    let mut db = TestClient::new();
    let mut reader = "";
    let mut busy = None;
    for step in before {
        match *step {
            "locked" => db.session.authenticated = false,
            "restricted" => {
                db.another().run("ACL SETUSER u on nopass +eval +exec");
                assert!(db.session.sign_in_as(b"u"));
            }
            "reader" => reader = "_RO",
            "loading" => db.engine.loading.begin(),
            "lonely" => db.engine.standing.close(TOO_FEW_REPLICAS, true),
            "follows" => db.engine.standing.close(READ_ONLY_REPLICA, true),
            "stale" => db.engine.standing.close(STALE_REPLICA, true),
            "refusing" => db.engine.journal.refuse(true),
            "pressed" => press(&db.engine, true),
            "log full" => db.engine.journal.log_has_grown(|| 1 << 40),
            "over" => {
                let mut other = db.another();
                // More than what has begun may go on with.
                other.run("SETRANGE big 20000000 x; CONFIG SET maxmemory 1");
            }
            "paused" => drop(db.another().run("CLIENT PAUSE 100000")),
            // A client of RESP3 may do so and then say that it speaks RESP2.
            "subscribed" => db
                .session
                .subscribe(crate::follow::messages::Kind::Channel, b"c"),
            "busy" => {
                let scripts = &db.engine.scripts;
                busy = Some(scripts.begin(crate::script::known::Running {
                    started_ms: 1,
                    is_function: false,
                    name: Vec::new(),
                    client: 0,
                    command: Vec::new(),
                    end: Default::default(),
                }));
            }
            step => drop(db.run(step)),
        }
    }
    let what = format!("{name}: {line}");
    if way == EXEC && name == "memory" {
        let request = Request {
            engine: &db.engine,
            session: None,
            facts: &db.engine.registry().get(b"SET").expect("SET").command.facts,
            entry: None,
            within: "",
            argv: &[],
            more: 0,
            now_ms: crate::base::clock::unix_ms(),
            in_reader: false,
            short: false,
            counters: db.worker.counters(),
        };
        match admit::<EXEC>(&request) {
            Err(Closed::Until(_)) => assert!(text.is_empty(), "{what}"),
            Err(Closed::Refused(error)) => {
                assert!(error.text().contains(text), "{what}: {error:?}")
            }
            Ok(()) => panic!("{what} came in"),
        }
        return;
    }
    // Somebody holds what the command needs.
    let engine = db.engine.clone();
    let ks = engine.keyspace();
    let held = busy.is_some().then(|| ks.lock(ks.place(b"k").shard()));
    if way == LIBRARY {
        if text.is_empty() {
            let closed = admit::<LIBRARY>(&Request {
                engine: &engine,
                session: None,
                facts: Intent::Grow.facts(),
                entry: None,
                within: "",
                argv: &[],
                more: 0,
                now_ms: crate::base::clock::unix_ms(),
                in_reader: false,
                short: false,
                counters: db.worker.counters(),
            });
            assert!(matches!(closed, Err(Closed::Until(_))), "{what}");
            return;
        }
        let counters = db.worker.counters();
        let refused = engine.with_key(0, b"k", Intent::Grow, counters, |_| Ok(()));
        let error = refused.expect_err("a closed gate");
        assert!(error.text().contains(text), "{what}: {error:?}");
        return;
    }
    let reply = match way {
        EXEC => {
            let replies = db.run("EXEC");
            replies.trim_matches(['[', ']']).to_owned()
        }
        UPDATE => {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let mut out = resp::Out::new(Proto::Resp2);
            let (worker, session) = (&mut db.worker, &mut db.session);
            let done = worker.update(session, &[b"k"], &mut out, |mut update| {
                update.call(&words);
                ((), update)
            });
            assert!(done.is_ok(), "{what}");
            String::from_utf8_lossy(&out.to_vec()).trim_end().to_owned()
        }
        SCRIPT => {
            let words: Vec<String> = line.split(' ').map(|w| format!("'{w}'")).collect();
            let words = words.join(", ");
            // Without this it would not run at all where data are stale.
            let header = match name {
                "stale" => "#!lua flags=allow-stale\\n",
                _ => "",
            };
            let script = format!("{header}return redis.pcall({words})");
            db.run(&format!("EVAL{reader} \"{script}\" 0"))
        }
        _ => db.run(line),
    };
    drop(held);
    if text.is_empty() {
        assert!(
            matches!(db.asked, crate::testing::Asked::Retry(_)),
            "{what}"
        );
        assert!(!db.finished, "{what}");
        return;
    }
    assert!(
        reply.starts_with('-') && reply.contains(text),
        "{what}: {reply}"
    );
    let command = line.split(' ').next().expect("a word").to_lowercase();
    if let Some(running) = busy {
        db.engine.scripts.end(&running);
    }
    let mut other = db.another();
    let stats = other.run("INFO commandstats");
    let line = stats
        .split("\\r\\n")
        .find(|l| l.starts_with(&format!("cmdstat_{command}:calls=0,")));
    let rejected = line.is_some_and(|line| line.contains(",rejected_calls=1,"));
    assert!(rejected, "{what}: {stats}");
    // Of EXEC, whatever it is refused for, and of a transaction that something was refused for.
    if way == QUEUE {
        db.session.authenticated = true;
        db.session
            .unsubscribe(crate::follow::messages::Kind::Channel, b"c");
        let exec = db.run("EXEC");
        assert_eq!(
            exec, "-EXECABORT Transaction discarded because of previous errors.",
            "{what}"
        );
    }
}

/// EXEC that is refused ends its transaction and says why.
#[test]
fn a_refused_exec_ends_the_transaction() {
    for (before, exec, reply) in [
        (
            "MULTI; SET k v",
            "EXEC now",
            "wrong number of arguments for 'exec' command",
        ),
        (
            "SUBSCRIBE c",
            "EXEC",
            "Can't execute 'exec': only (P|S)SUBSCRIBE",
        ),
    ] {
        let mut db = TestClient::new();
        db.run(before);
        let got = db.run(exec);
        let start = format!("-EXECABORT Transaction discarded because of: {reply}");
        assert!(got.starts_with(&start), "{got}");
        db.run("RESET");
        db.check("EXEC", "-ERR EXEC without MULTI");
        db.check("EXISTS k", "0");
    }
}

/// While the data set is loaded, what real servers let through goes on, in a transaction too, but not what was queued before;
/// and what a log holds is carried out.
#[test]
fn while_loading_only_what_needs_no_keys_runs() {
    let mut db = TestClient::new();
    let mut queued = db.another();
    queued.run("MULTI; SET k v; PUBLISH c m");
    db.engine.loading.begin();
    let loading = "-LOADING Redis is loading the dataset in memory";
    for line in [
        "PING",
        "SET k v",
        "DBSIZE",
        "EVAL \"return 1\" 0",
        "WAIT 0 0",
        "BGSAVE",
    ] {
        db.check(line, loading);
    }
    db.check("SELECT 1", "OK");
    db.check("PUBLISH c m", "0");
    db.check("MULTI; EXEC", "[]");
    db.check("MULTI; PUBLISH c m; EXEC", "[0]");
    queued.check(
        "EXEC",
        "-EXECABORT Transaction discarded because of: LOADING Redis is loading the dataset in memory",
    );
    let mut log = db.another();
    log.session.replay();
    log.check("SET k v", "OK");
    log.check("EVAL \"return redis.call('GET', 'k')\" 0", "\"v\"");
    db.engine.loading.end();
    db.check("SELECT 0; GET k", "\"v\"");
}

/// While another data set is loaded beside the one that is served, that one goes on, but for what real servers refuse then.
#[test]
fn while_loading_beside_the_data_set_nothing_is_saved_or_sent_on() {
    let mut db = TestClient::new();
    let mut queued = db.another();
    queued.run("MULTI; SET k v; BGSAVE");
    db.engine.loading.beside(true);
    let loading = "-LOADING Redis is loading the dataset in memory";
    for line in [
        "SAVE",
        "BGSAVE",
        "BGREWRITEAOF",
        "REPLICAOF NO ONE",
        "SLAVEOF h 1",
        "PSYNC ? -1",
        "SYNC",
    ] {
        db.check(line, loading);
    }
    db.check("SET k w", "OK");
    db.check("EVAL \"return redis.call('GET', 'k')\" 0", "\"w\"");
    db.check("MULTI; BGSAVE", loading);
    db.run("DISCARD");
    queued.check(
        "EXEC",
        "-EXECABORT Transaction discarded because of: LOADING Redis is loading the dataset in memory",
    );
    db.engine.loading.beside(false);
    db.check("GET k", "\"w\"");
    assert!(!db.run("BGSAVE").starts_with("-LOADING"));
}

fn press(engine: &Engine, unwritten: bool) {
    for shard in 0..engine.keyspace().shards() {
        engine.pressure.set_shard(shard, unwritten);
    }
    engine.pressure.set(true);
}

/// Only changes wait, and only those of shards that are still to be written; a transaction waits when it is carried out.
#[test]
fn what_a_snapshot_cannot_hold_back_waits() {
    use crate::testing::Asked;
    let waits = |db: &mut TestClient, line: &str| {
        db.run(line);
        matches!(db.asked, Asked::Retry(_))
    };
    let mut db = TestClient::new();
    db.run("SET k v");
    press(&db.engine, true);
    for (line, wait) in [
        ("GET k", false),
        ("SET k w", true),
        ("PUBLISH c m", false),
        ("FLUSHALL", false),
        ("EVAL_RO \"return 1\" 0", false),
        ("EVAL \"return 1\" 0", true),
        ("MULTI", false),
        ("SET k w", false),
        ("EXEC", true),
    ] {
        // Another client each time, but in the transaction: one that waits goes on with what it waits for.
        if db.session.multi.is_none() {
            db = db.another();
        }
        assert_eq!(waits(&mut db, line), wait, "{line}");
    }
    assert!(db.engine.pressure.waits() >= 3);
    press(&db.engine, false);
    let mut db = db.another();
    assert!(!waits(&mut db, "SET k w"), "its shard is written");
    db.engine.pressure.set(false);
}

/// Who only reads does not wait for the log.
#[test]
fn what_the_disk_is_too_slow_for_waits() {
    use crate::testing::Asked;
    let mut db = TestClient::new();
    db.run("SET k v");
    db.engine.journal.log_has_grown(|| 1 << 40);
    for (line, wait) in [
        ("GET k", false),
        ("INFO", false),
        ("PUBLISH c m", false),
        ("EVAL_RO \"return 1\" 0", false),
        ("SET k w", true),
        ("FLUSHALL", true),
        ("EVAL \"return 1\" 0", true),
        ("MULTI", false),
        ("SET k w", false),
        ("EXEC", true),
    ] {
        if db.session.multi.is_none() {
            db = db.another();
        }
        db.run(line);
        assert_eq!(matches!(db.asked, Asked::Retry(_)), wait, "{line}");
    }
    assert_eq!(db.engine.journal.queue.waits(), 4);
    // Who carries out a primary's stream has waited before, where nothing of it was half done.
    let mut link = db.another();
    link.session.follow();
    link.check("SET k w", "OK");
    db.engine.journal.log_has_got_to(0);
    db.another().check("SET k w", "OK");
}

/// While a stop or a failover puts changes off, MULTI queues nothing that would change something or be sent on to replicas, and what it has
/// queued before waits with EXEC.
#[test]
fn what_is_put_off_is_not_queued() {
    use crate::testing::Asked;
    let (mut db, mut earlier) = (TestClient::new(), TestClient::new());
    let hold = |db: &TestClient, held| db.engine.standing.close(CHANGES_HELD, held);
    earlier.run("MULTI; PUBLISH c m");
    hold(&db, true);
    hold(&earlier, true);
    for (line, waits) in [
        ("MULTI", false),
        ("GET k", false),
        ("EVAL_RO \"return 1\" 0", false),
        ("SET k v", true),
        ("PUBLISH c m", true),
        ("PFCOUNT k", true),
        ("EVAL \"return 1\" 0", true),
    ] {
        if db.session.multi.is_none() {
            db = db.another();
            db.run("MULTI");
        }
        db.run(line);
        assert_eq!(matches!(db.asked, Asked::Retry(_)), waits, "{line}");
    }
    hold(&db, false);
    earlier.run("EXEC");
    assert!(matches!(earlier.asked, Asked::Retry(_)));
    hold(&earlier, false);
    earlier.check("EXEC", "[0]");
}

/// While only writes are paused, scripts are judged by what they declare, alone and in a transaction.
#[test]
fn a_pause_of_writes_lets_scripts_run_that_only_read() {
    use crate::testing::Asked;
    let mut db = TestClient::new();
    let mut other = db.another();
    other.run("CLIENT PAUSE 100000 WRITE");
    let mut waits = |line: &str| {
        db.run(line);
        matches!(db.asked, Asked::Retry(_))
    };
    assert!(waits("EVAL \"return 1\" 0"));
    assert!(waits("EVAL \"#!lua\\nreturn 1\" 0"));
    assert!(waits("PUBLISH c m"));
    assert!(!waits("EVAL \"#!lua flags=no-writes\\nreturn 1\" 0"));
    assert!(!waits("EVAL_RO \"return 1\" 0"));
    assert!(!waits("MULTI"));
    assert!(!waits("EVAL \"#!lua flags=no-writes\\nreturn 1\" 0"));
    assert!(!waits("GET k"));
    assert!(waits("SET k v"));
    assert!(!waits("EXEC"));
    // What was queued before waits as a whole.
    let mut db = TestClient::new();
    db.run("MULTI; SET k v");
    db.another().run("CLIENT PAUSE 100000 WRITE");
    db.run("EXEC");
    assert!(matches!(db.asked, Asked::Retry(_)));
}

/// Closes a gate, or opens it, and the line of those who wait for it.
type Gate = (
    &'static str,
    u8,
    fn(&Engine, bool),
    fn(&Engine) -> &Arc<WaitList>,
);

/// Each of these is open for nobody until somebody opens it: neither time nor asking again helps.
const WAITED_FOR: &[Gate] = &[
    (
        "paused",
        CLIENT | LIBRARY,
        |engine, closed| match closed {
            true => engine.pause.start(1, u64::MAX, false),
            false => engine.pause.stop(),
        },
        |engine| &engine.pause.line,
    ),
    (
        "changes held",
        CLIENT | LIBRARY,
        |engine, closed| engine.standing.close(CHANGES_HELD, closed),
        |engine| &engine.standing.held,
    ),
    (
        "loading",
        LIBRARY,
        |engine, closed| match closed {
            true => engine.loading.begin(),
            false => engine.loading.end(),
        },
        |engine| &engine.loading.line,
    ),
    (
        "held up",
        CLIENT | LIBRARY,
        |engine, closed| match closed {
            true => press(engine, true),
            false => engine.pressure.set(false),
        },
        |engine| &engine.pressure.line,
    ),
    (
        "log queue",
        CLIENT | LIBRARY,
        |engine, closed| match closed {
            true => engine.journal.log_has_grown(|| 1 << 40),
            false => engine.journal.log_has_got_to(0),
        },
        |engine| &engine.journal.queue.line,
    ),
    (
        "held up, its shard",
        CLIENT,
        |engine, closed| match closed {
            true => press(engine, true),
            false => {
                let shard = engine.keyspace().place(b"k").shard();
                engine.pressure.set_shard(shard, false);
            }
        },
        |engine| &engine.pressure.line,
    ),
];

#[test]
fn who_waits_is_called_by_who_opens() {
    use crate::testing::Asked;
    let soon = Duration::from_secs(60);
    for (name, ways, turn, line) in WAITED_FOR {
        let mut db = TestClient::new();
        let engine = db.engine.clone();
        turn(&engine, true);
        if ways & CLIENT != 0 {
            db.run("SET k v");
            assert!(matches!(db.asked, Asked::Retry(_)), "{name}");
            assert!(!db.session.is_called(), "{name}");
            // Who comes for another reason, a message say, keeps its place.
            db.run("SET k v");
            assert_eq!(line(&engine).waiting(), 1, "{name}");
            turn(&engine, false);
            assert!(db.session.is_called(), "{name}");
            db.check("SET k v", "OK");
            assert!(db.session.in_line.is_none(), "{name}");
            turn(&engine, true);
            // Who leaves is not called.
            let mut gone = db.another();
            gone.run("SET k v");
            assert_eq!(line(&engine).waiting(), 1, "{name}");
            drop(gone);
            assert_eq!(line(&engine).waiting(), 0, "{name}");
        }
        if ways & LIBRARY != 0 {
            let (done, is_done) = std::sync::mpsc::channel();
            let thread = std::thread::spawn({
                let engine = engine.clone();
                move || {
                    let counters = engine.add_counters();
                    let changed = engine.with_key(0, b"k", Intent::Grow, &counters, |_| Ok(()));
                    done.send(changed).expect("somebody listens");
                }
            });
            while line(&engine).waiting() == 0 {
                std::thread::yield_now();
            }
            turn(&engine, false);
            assert_eq!(is_done.recv_timeout(soon), Ok(Ok(())), "{name}");
            thread.join().expect("no panic");
            assert_eq!(line(&engine).waiting(), 0, "{name}");
        }
    }
}

/// Only those go on whom it concerns.
#[test]
fn a_shard_that_is_written_calls_those_who_change_it() {
    let db = TestClient::new();
    let engine = db.engine.clone();
    press(&engine, true);
    let shard = |key: &str| engine.keyspace().place(key.as_bytes()).shard();
    let other = (0..).map(|n| format!("k{n}"));
    let other = (other.into_iter()).find(|key| shard(key) != shard("k"));
    let other = other.expect("a key elsewhere");
    let (mut here, mut there, mut script) = (db.another(), db.another(), db.another());
    here.run("SET k v");
    there.run(&format!("SET {other} v"));
    script.run("EVAL \"return 1\" 0");
    assert_eq!(engine.pressure.waits(), 3);
    engine.pressure.set_shard(shard("k"), false);
    let called = |clients: [&TestClient; 3]| clients.map(|client| client.session.is_called());
    assert_eq!(called([&here, &there, &script]), [true, false, false]);
    engine.pressure.set(false);
    assert_eq!(called([&here, &there, &script]), [true; 3]);
    assert_eq!(engine.pressure.waits(), 3, "counted once for each");
}

/// Who has to take further locks, for those who wait for its key, lets go of the first for a moment: the gate may be closed in it.
#[test]
fn a_typed_call_that_takes_further_locks_looks_at_the_gate_again() {
    let db = TestClient::new();
    let engine = db.engine.clone();
    let ks = engine.keyspace();
    let shard = |key: &str| ks.place(key.as_bytes()).shard();
    let mut names = (0..).map(|n| format!("to:{n}"));
    let to = names
        .find(|name| shard(name) != shard("from"))
        .expect("one");
    let mut waits = db.another();
    waits.block(&format!("BLMOVE from {to} LEFT LEFT 0"));
    let further = ks.try_lock(shard(&to)).expect("nobody has it");
    let thread = std::thread::spawn({
        let engine = engine.clone();
        move || {
            let counters = engine.add_counters();
            engine.with_key(0, b"from", Intent::Grow, &counters, |_| Ok(()))
        }
    });
    // Until it waits for the other lock.
    std::thread::sleep(Duration::from_millis(50));
    engine
        .standing
        .close(crate::base::replication::STOPPING, true);
    drop(further);
    std::thread::sleep(Duration::from_millis(50));
    assert!(!thread.is_finished(), "it did not look again");
    engine
        .standing
        .close(crate::base::replication::STOPPING, false);
    assert_eq!(thread.join().expect("no panic"), Ok(()));
}
