//! Restarts of a primary or of its replica: what was kept says where in the stream it ends, so that nothing is copied anew, and that is true
//! wherever one of them was killed.

use redpoll_tests::check::show;
use redpoll_tests::cut::Cable;
use redpoll_tests::pretender::{EOF, Pretender};
use redpoll_tests::replication::{Stopping, in_sync, info, same, says};
use redpoll_tests::server::Folder;
use redpoll_tests::{Client, Peers, Server, eventually};
use resp::Value;
use rustix::process::Signal;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

/// Copies are not waited for, no signs of life come in between, a restart misses less than is kept, and DEBUG may be asked.
const USUAL: &[&str] = &[
    "--repl-diskless-sync-delay",
    "0",
    "--repl-ping-replica-period",
    "3600",
    "--repl-backlog-size",
    "256mb",
    "--enable-debug-command",
    "yes",
];

fn ours(args: &[&str]) -> Server {
    Server::redpoll_with(&[USUAL, args].concat())
}

fn number(c: &mut Client, field: &str) -> u64 {
    info(c, field).parse().expect("a number")
}

fn is_linked(c: &mut Client) -> bool {
    info(c, "master_link_status") == "up"
}

#[test]
fn after_a_restart_no_copy_is_needed() {
    let Some(peers) = Peers::find().or_skip("after_a_restart_no_copy_is_needed") else {
        return;
    };
    let Some(peer) = &peers.valkey else { return };
    for kept in [
        &["--save", "3600 1"][..],
        &["--appendonly", "yes"],
        &["--appendonly", "yes", "--aof-use-rdb-preamble", "no"],
    ] {
        let folder = Folder::new();
        let args = [kept, &["--dir", folder.text()]].concat();
        let mut server = ours(&args);
        let cable = Cable::to(server.addr());
        let port = cable.port().to_string();
        let follower = Server::peer(
            peer,
            &[
                "--enable-debug-command",
                "yes",
                "--replicaof",
                "127.0.0.1",
                &port,
            ],
        );
        let mut r = follower.connect();
        eventually("it is linked", || is_linked(&mut r));
        for round in 1..3 {
            let mut c = server.connect();
            for n in 0..300 {
                c.run(&format!("SET k{n} {round}"));
            }
            if round == 2 && kept.contains(&"--appendonly") {
                // It is killed when the log says how far the replica is.
                eventually("it has all", || {
                    let end = number(&mut c, "master_repl_offset");
                    end == number(&mut r, "slave_repl_offset") && says(&folder, end)
                });
                server.signal(Signal::KILL);
                server.wait();
            } else {
                // There is no reply to it.
                c.send(&["SHUTDOWN"]);
                assert!(server.wait().success(), "{}", server.log());
            }
            server = ours(&args);
            cable.lead_to(server.addr());
            let mut c = server.connect();
            eventually("it goes on", || number(&mut c, "sync_partial_ok") == 1);
            assert_eq!(number(&mut c, "sync_full"), 0, "{kept:?}: {}", server.log());
            c.run(&format!("SET after {round}"));
            in_sync(&mut c, &mut r);
            same("it", &mut c, &mut r);
        }
    }
}

/// Changes of which each, done twice or not at all, shows.
fn count(c: &mut Client, n: usize) {
    let n = n.to_string();
    c.call(&["INCR", "count"]);
    c.call(&["RPUSH", "list", &n]);
    c.run("LTRIM list -100 -1");
    c.call(&["MULTI"]);
    c.call(&["INCR", "twin:a"]);
    c.call(&["INCRBY", "twin:b", &n]);
    c.call(&["EXEC"]);
    c.call(&["APPEND", &format!("text:{}", n.len()), "x"]);
    c.run("SELECT 3");
    c.run("INCR other");
    c.run("SELECT 0");
}

/// Counts until the end of what is done meanwhile.
fn counting<R>(server: &Server, then: impl FnOnce() -> R) -> R {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for from in 1..3 {
            let (mut c, stop) = (server.connect(), &stop);
            scope.spawn(move || {
                let mut n = from * 1_000_000;
                while !stop.load(SeqCst) {
                    n += 1;
                    count(&mut c, n);
                }
            });
        }
        // What comes to a replica at once takes it some time.
        let (mut c, stop) = (server.connect(), &stop);
        scope.spawn(move || {
            while !stop.load(SeqCst) {
                const TOGETHER: usize = 2000;
                for n in 0..TOGETHER {
                    c.send(&["INCR", &format!("pile:{}", n % 10)]);
                }
                (0..TOGETHER).for_each(|_| drop(c.read()));
            }
        });
        let _stopping = Stopping(stop);
        then()
    })
}

/// A replica is killed in the middle of carrying out what comes, again and again. It does nothing twice, leaves nothing out, and
/// never needs a copy. `fed`: one of its own has had a copy of it each time before.
fn a_killed_replica_goes_on(server: &Server, kept: &[&str], fed: bool) {
    let folder = Folder::new();
    let mut c = server.connect();
    c.run("FLUSHALL");
    let port = server.port().to_string();
    let args = [
        kept,
        &["--dir", folder.text(), "--replicaof", "127.0.0.1", &port],
    ]
    .concat();
    let full = number(&mut c, "sync_full");
    let follower = counting(server, || {
        let mut follower = ours(&args);
        for round in 0..4 {
            let mut r = follower.connect();
            eventually("it is linked", || is_linked(&mut r));
            assert_eq!(number(&mut c, "sync_full"), full + 1, "{}", follower.log());
            let port = follower.port().to_string();
            let below = fed.then(|| ours(&["--replicaof", "127.0.0.1", &port]));
            if let Some(below) = &below {
                let mut b = below.connect();
                eventually("it has a copy", || is_linked(&mut b));
            }
            let before = number(&mut r, "slave_repl_offset");
            // Behind a copy the log is written anew, and until then the old one stands.
            eventually("it goes on, and its log", || {
                number(&mut r, "slave_repl_offset") > before + 100_000
                    && number(&mut r, "aof_rewrite_in_progress") == 0
                    && number(&mut r, "aof_current_size") > 50_000
            });
            if round == 3 {
                // There is no reply to it.
                r.send(&["SHUTDOWN"]);
                assert!(follower.wait().success(), "{}", follower.log());
            } else {
                follower.signal(Signal::KILL);
                follower.wait();
            }
            follower = ours(&args);
        }
        follower
    });
    let mut r = follower.connect();
    eventually("it is linked", || is_linked(&mut r));
    in_sync(&mut c, &mut r);
    same(server.name(), &mut c, &mut r);
    assert_eq!(number(&mut c, "sync_full"), full + 1, "{}", follower.log());
}

#[test]
fn a_killed_replica_does_nothing_twice() {
    let server = ours(&[]);
    for preamble in ["yes", "no"] {
        a_killed_replica_goes_on(
            &server,
            &["--appendonly", "yes", "--aof-use-rdb-preamble", preamble],
            false,
        );
    }
}

/// What it was on its own had been given to the stream since, though there it stands as the primary sent it: its log was cut in the middle
/// of what was carried out together, with the place in the stream from before that.
#[test]
fn a_killed_replica_with_one_of_its_own_does_nothing_twice() {
    a_killed_replica_goes_on(&ours(&[]), &["--appendonly", "yes"], true);
}

#[test]
fn a_killed_replica_of_a_real_server_does_nothing_twice() {
    let Some(peers) = Peers::find().or_skip("a_killed_replica_of_a_real_server") else {
        return;
    };
    for peer in [&peers.redis7, &peers.redis8_6, &peers.valkey]
        .into_iter()
        .flatten()
    {
        let server = Server::peer(peer, USUAL);
        a_killed_replica_goes_on(&server, &["--appendonly", "yes"], false);
    }
}

/// A primary of ours is killed and comes back, with a replica of ours that is restarted too: nothing that one of them says is wrong,
/// and where the log had all that the replica has, no copy is needed.
#[test]
fn either_of_two_of_ours_restarts() {
    let (top, below) = (Folder::new(), Folder::new());
    let args = ["--appendonly", "yes", "--dir", top.text()];
    let mut server = ours(&args);
    let cable = Cable::to(server.addr());
    let port = cable.port().to_string();
    let theirs = [
        "--appendonly",
        "yes",
        "--dir",
        below.text(),
        "--replicaof",
        "127.0.0.1",
        &port,
    ];
    let mut follower = ours(&theirs);
    for round in 0..4 {
        let (mut c, mut r) = (server.connect(), follower.connect());
        eventually("it is linked", || is_linked(&mut r));
        for n in 0..200 {
            count(&mut c, round * 1000 + n);
        }
        in_sync(&mut c, &mut r);
        let end = number(&mut c, "master_repl_offset");
        eventually("both logs say so", || says(&top, end) && says(&below, end));
        server.signal(Signal::KILL);
        server.wait();
        if round % 2 == 1 {
            follower.signal(Signal::KILL);
            follower.wait();
            follower = ours(&theirs);
        }
        server = ours(&args);
        cable.lead_to(server.addr());
        let (mut c, mut r) = (server.connect(), follower.connect());
        eventually("it goes on", || is_linked(&mut r));
        assert_eq!(number(&mut c, "sync_full"), 0, "{}", server.log());
        assert_eq!(show(&c.run("INCR after")), (round + 1).to_string());
        in_sync(&mut c, &mut r);
        same("ours", &mut c, &mut r);
    }
}

/// A primary is killed, its replica is promoted, and what was the primary comes back with less than that and follows it. What it lacks
/// begins in the middle of the old stream, which does not say again in which database it is. (What was kept said it was the first: the
/// rest of what was done in another one went there.)
#[test]
fn a_killed_primary_goes_on_in_the_database_that_its_stream_was_in() {
    for kept in [&["--save", "3600 1"][..], &["--appendonly", "yes"]] {
        let folder = Folder::new();
        let server = ours(&[kept, &["--dir", folder.text()]].concat());
        let port = server.addr().port().to_string();
        let other = ours(&["--replicaof", "127.0.0.1", &port]);
        let (mut c, mut r) = (server.connect(), other.connect());
        eventually("it is linked", || is_linked(&mut r));
        c.run("SELECT 3");
        c.run("SET kept 1");
        in_sync(&mut c, &mut r);
        let end = number(&mut c, "master_repl_offset");
        match kept.contains(&"--appendonly") {
            true => eventually("the log says so", || says(&folder, end)),
            false => assert_eq!(show(&c.run("SAVE")), "OK"),
        }
        let then = folder.copy();
        c.run("SET missed 2");
        in_sync(&mut c, &mut r);
        server.signal(Signal::KILL);
        assert_eq!(show(&r.run("REPLICAOF NO ONE")), "OK");
        r.run("SELECT 3");
        r.run("SET later 3");
        let port = other.addr().port().to_string();
        let args = ["--dir", then.text(), "--replicaof", "127.0.0.1", &port];
        let back = ours(&[kept, &args].concat());
        let mut b = back.connect();
        in_sync(&mut r, &mut b);
        assert_eq!(number(&mut r, "sync_partial_ok"), 1, "{}", back.log());
        same("what came back", &mut r, &mut b);
    }
}

/// A replica that takes writes of its own and has promised to keep them (`always`) gives them to its log between two commands of its
/// primary's, and answers no earlier.
#[test]
fn a_writable_replica_keeps_what_it_has_answered() {
    let primary = ours(&[]);
    let folder = Folder::new();
    let kept = ["--appendonly", "yes", "--appendfsync", "always", "--dir"];
    let kept = [&kept[..], &[folder.text()]].concat();
    let replica_of = format!("127.0.0.1 {}", primary.port());
    let follows = ["--replica-read-only", "no", "--replicaof", &replica_of];
    let mut server = ours(&[&kept[..], &follows].concat());
    let mut r = server.connect();
    eventually("it is linked", || is_linked(&mut r));
    // The log begins anew with the copy of the primary's data. Nothing is promised before its base is there.
    eventually("its log has a base", || {
        info(&mut r, "aof_rewrite_in_progress") == "0"
    });
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut p = primary.connect();
            while !stop.load(SeqCst) {
                p.run("INCR theirs");
            }
        });
        for n in 0..300 {
            assert_eq!(show(&r.run(&format!("SET own:{n} {n}"))), "OK");
        }
        server.signal(Signal::KILL);
        stop.store(true, SeqCst);
    });
    server.wait();
    let server = ours(&kept);
    let mut c = server.connect();
    for n in 0..300 {
        assert_eq!(show(&c.run(&format!("GET own:{n}"))), format!("\"{n}\""));
    }
}

/// Keys whose time is over when a primary starts again are removed on those too that go on without a copy.
#[test]
fn what_expired_before_a_restart_goes_from_replicas() {
    let folder = Folder::new();
    let args = ["--save", "3600 1", "--dir", folder.text()];
    let mut server = ours(&args);
    let cable = Cable::to(server.addr());
    let replica_of = format!("127.0.0.1 {}", cable.port());
    let follower = ours(&["--replicaof", &replica_of]);
    let (mut c, mut r) = (server.connect(), follower.connect());
    eventually("it is linked", || is_linked(&mut r));
    c.run("DEBUG SET-ACTIVE-EXPIRE 0");
    for n in 0..100 {
        c.run(&format!("SET k{n} v PX 1"));
    }
    c.run("HSET h f v");
    c.run("HPEXPIRE h 1 FIELDS 1 f");
    c.run("SET stays v");
    in_sync(&mut c, &mut r);
    assert_eq!(show(&r.run("DBSIZE")), "102");
    c.send(&["SHUTDOWN"]);
    assert!(server.wait().success(), "{}", server.log());
    server = ours(&args);
    cable.lead_to(server.addr());
    let mut c = server.connect();
    assert_eq!(info(&mut c, "rdb_last_load_keys_expired"), "100");
    eventually("it goes on", || number(&mut c, "sync_partial_ok") == 1);
    eventually("they are gone", || show(&r.run("DBSIZE")) == "1");
    assert_eq!(show(&c.run("DBSIZE")), "1");
    in_sync(&mut c, &mut r);
    assert_eq!(number(&mut c, "sync_full"), 0);
    c.run("CONFIG RESETSTAT");
    assert_eq!(number(&mut c, "sync_partial_ok"), 0);
}

/// A stop that waits for nobody asks nobody either: the question would be behind what replicas have, and in what is kept.
#[test]
fn a_stop_at_once_adds_nothing_to_the_stream() {
    let folder = Folder::new();
    let args = ["--save", "3600 1", "--dir", folder.text()];
    let mut server = ours(&args);
    let mut c = server.connect();
    let mut one = Pretender::to(&server, &[EOF]);
    let (_, offset) = one.take_copy();
    one.ack(offset);
    eventually("it is online", || c.run("WAIT 1 10") == Value::Int(1));
    c.run("SET k v");
    // It has not said that it has this.
    let end = number(&mut c, "master_repl_offset");
    assert!(end > offset);
    c.send(&["SHUTDOWN", "NOW"]);
    assert!(server.wait().success(), "{}", server.log());
    server = ours(&args);
    let mut c = server.connect();
    assert_eq!(number(&mut c, "master_repl_offset"), end);
}

/// What was done while nobody followed, and nothing was kept for replicas, is in the copy that the next one gets: who waits for that is told, once
/// the replica's log has it.
#[test]
fn who_waits_for_what_was_done_with_nobody_there_is_told() {
    let (above, below) = (Folder::new(), Folder::new());
    let log = ["--appendonly", "yes", "--dir"];
    let server = ours(&[&log[..], &[above.text()]].concat());
    let follower = ours(&[&log[..], &[below.text()]].concat());
    let (mut c, mut r) = (server.connect(), follower.connect());
    c.run("SET k v");
    // A base that takes its time: until it is there, nothing is on that disk.
    for n in 0..20 {
        c.run(&format!("SET k{n} v"));
    }
    let [mut wait, mut waitaof] = [server.connect(), server.connect()];
    for client in [&mut wait, &mut waitaof] {
        client.run("INCR n");
    }
    wait.send(&["WAIT", "1", "0"]);
    waitaof.send(&["WAITAOF", "0", "1", "0"]);
    eventually("both wait", || info(&mut c, "blocked_clients") == "2");
    r.run("CONFIG SET rdb-key-save-delay 100000");
    let base = || {
        let manifest =
            std::path::Path::new(below.text()).join("appendonlydir/appendonly.aof.manifest");
        let manifest = std::fs::read_to_string(manifest).expect("the list of the log's files");
        let base = manifest.lines().find(|line| line.ends_with("type b"));
        base.expect("a base").to_owned()
    };
    let of_before = base();
    let port = server.port().to_string();
    assert_eq!(show(&r.call(&["REPLICAOF", "127.0.0.1", &port])), "OK");
    assert_eq!(wait.read(), Value::Int(1));
    let both = show(&waitaof.read());
    assert!(both.ends_with("1]"), "{both}");
    assert_ne!(base(), of_before, "what was copied is in the log");
}

/// While its log is rewritten, what carries out the stream is held up so that the snapshot need not hold back too much. The rewrite waited
/// for the end of the unit, and the unit for the rewrite.
#[test]
fn a_replica_rewrites_its_log_while_large_values_change() {
    let server = ours(&[]);
    let mut c = server.connect();
    let (value, words) = ("x".repeat(1 << 20), 5000);
    for n in 0..200 {
        assert_eq!(show(&c.call(&["SET", &format!("large:{n}"), &value])), "OK");
    }
    let port = server.port().to_string();
    let follower = ours(&["--appendonly", "yes", "--replicaof", "127.0.0.1", &port]);
    let mut r = follower.connect();
    eventually("it is linked", || is_linked(&mut r));
    let rewritten =
        |r: &mut Client| number(r, "aof_rewrites") - number(r, "aof_rewrite_in_progress");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let stop = &stop;
        for _ in 0..3 {
            let mut c = server.connect();
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    for n in 0..words {
                        c.send(&["SETRANGE", &format!("large:{}", n % 200), "5", "y"]);
                    }
                    (0..words).for_each(|_| drop(c.read()));
                }
            });
        }
        let _stopping = Stopping(stop);
        for _ in 0..3 {
            eventually("nothing is rewritten", || {
                number(&mut r, "aof_rewrite_in_progress") == 0
            });
            let before = rewritten(&mut r);
            r.run("BGREWRITEAOF");
            eventually("it is rewritten", || rewritten(&mut r) > before);
            let at = number(&mut r, "slave_repl_offset");
            eventually("it goes on", || number(&mut r, "slave_repl_offset") > at);
        }
    });
    in_sync(&mut c, &mut r);
    same("it", &mut c, &mut r);
}
