//! What is left of links that break in the middle of a copy of the data set: nothing, on either side. And what of copies that cannot be
//! loaded when the data set that was there is gone.

use redpoll_tests::check::show;
use redpoll_tests::cut::Cable;
use redpoll_tests::fake_primary::{FakePrimary, rdb, with_length};
use redpoll_tests::pretender::{EOF, Pretender};
use redpoll_tests::replication::{DEBUG, in_sync, info};
use redpoll_tests::rng::Rng;
use redpoll_tests::{Client, Server, env_number, eventually};
use std::fs;

/// How often a link breaks.
const BREAKS: usize = 50;

/// A copy has more bytes than this, and more than wait for a slow replica in memory.
const BYTES: usize = 36 << 20;

/// What is used for copies and links may be kept for the next ones, but not much of it.
const KEPT: u64 = 12 << 20;

fn redpoll() -> Server {
    let usual = [
        "--repl-diskless-sync-delay",
        "0",
        "--rdbcompression",
        "no",
        "--repl-backlog-size",
        "1mb",
    ];
    Server::redpoll_with(&[&DEBUG[..], &usual].concat())
}

fn fill(c: &mut Client) {
    let large = "x".repeat(1 << 20);
    for n in 0..BYTES >> 20 {
        c.call(&["SET", &format!("k{n}"), &format!("{n}{large}")]);
    }
}

/// What a process has of threads, of open files (those without a name too), and of files in its folder. The threads that helpers run on
/// come and go.
#[derive(Debug, PartialEq, Eq)]
struct Has {
    threads: Vec<String>,
    files: usize,
    folder: Vec<String>,
}

fn has(server: &Server) -> Has {
    let of_process = format!("/proc/{}", server.pid());
    let entries = |folder: &str| {
        let entries = fs::read_dir(folder).expect("a folder").flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let mut threads: Vec<String> = entries(&format!("{of_process}/task"))
        .iter()
        .filter_map(|task| fs::read_to_string(task.join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.starts_with("worker-"))
        .collect();
    threads.sort();
    let folder = entries(&server.dir().to_string_lossy());
    let mut folder: Vec<String> = folder
        .iter()
        .map(|path| path.to_string_lossy().into_owned())
        // A copy that was taken whole is kept.
        .filter(|path| !path.ends_with("dump.rdb"))
        .collect();
    folder.sort();
    Has {
        threads,
        files: entries(&format!("{of_process}/fd")).len(),
        folder,
    }
}

fn used(c: &mut Client) -> u64 {
    info(c, "used_memory").parse().expect("a number")
}

/// Breaks links, in a way of its own, and holds what the server has afterwards against what it had after the first of them, when all is
/// there that is kept for good.
fn leaves_nothing(server: &Server, c: &mut Client, mut breaks: impl FnMut(&mut Client, usize)) {
    breaks(c, 0);
    let settled = |c: &mut Client| {
        let mut seen = (has(server), used(c));
        eventually("it is at rest", || {
            std::thread::sleep(std::time::Duration::from_millis(300));
            let before = std::mem::replace(&mut seen, (has(server), used(c)));
            before == seen
        });
        seen
    };
    let (had, bytes) = settled(c);
    let resident = server.resident_bytes();
    for round in 1..=BREAKS {
        breaks(c, round);
    }
    eventually("threads and files are gone", || {
        let now = has(server);
        if now != had {
            eprintln!("{now:?} and not {had:?}");
        }
        now == had
    });
    eventually("memory is back", || used(c) < bytes + KEPT);
    eventually("the system has it back", || {
        server.resident_bytes() < resident + 2 * KEPT
    });
}

/// Where a link breaks: often in the handshake or near the copy's beginning, sometimes near its end.
fn somewhere(rng: &mut Rng) -> usize {
    let most = [400, 100_000, BYTES][rng.below(3)];
    rng.below(most)
}

/// Replicas leave, in the middle of a copy that waits for them in memory and on the disk.
#[test]
fn a_primary_keeps_nothing_for_those_who_left() {
    let server = redpoll();
    let mut c = server.connect();
    fill(&mut c);
    let mut rng = Rng::new(env_number("REDPOLL_SEED", 1));
    leaves_nothing(&server, &mut c, |c, round| {
        // Of those who cannot do without its length nobody is sent anything before the copy is whole.
        let said: &[&[&str]] = if round % 2 == 0 { &[EOF] } else { &[] };
        let mut slow = Pretender::to(&server, said);
        slow.say(&["PSYNC", "?", "-1"]);
        assert!(slow.line().starts_with("+FULLRESYNC"));
        if round % 5 == 0 {
            eventually("it is written, and waits", || {
                info(c, "rdb_bgsave_in_progress") == "0"
            });
        }
        slow.bytes(somewhere(&mut rng));
        drop(slow);
        eventually("it is gone", || info(c, "connected_slaves") == "0");
    });
    assert_eq!(info(&mut c, "redpoll_repl_spilled_bytes"), "0");
    assert_eq!(info(&mut c, "sync_full"), (BREAKS + 1).to_string());
}

/// The primary is gone, in the middle of a copy that is taken in each way.
#[test]
fn a_replica_keeps_nothing_of_copies_that_broke_off() {
    let primary = redpoll();
    let mut p = primary.connect();
    fill(&mut p);
    let cable = Cable::to(primary.addr());
    let server = redpoll();
    let mut r = server.connect();
    let mut rng = Rng::new(env_number("REDPOLL_SEED", 1));
    let port = cable.port().to_string();
    leaves_nothing(&server, &mut r, |r, round| {
        // Through a file where there is something to lose, into memory and a file where there is nothing.
        let (way, own) = [
            ("disabled", "SET own v"),
            ("disabled", "FLUSHALL"),
            ("swapdb", "SET own v"),
            ("flush-before-load", "SET own v"),
        ][round % 4];
        assert_eq!(show(&r.run(own)), "OK");
        r.call(&["CONFIG", "SET", "repl-diskless-load", way]);
        cable.cut_after(somewhere(&mut rng));
        assert_eq!(show(&r.call(&["REPLICAOF", "127.0.0.1", &port])), "OK");
        eventually("it breaks", || !info(r, "redpoll_link_error").is_empty());
        // While a copy is loaded beside the data set nobody else is followed.
        eventually("it follows nobody", || {
            show(&r.run("REPLICAOF NO ONE")) == "OK"
        });
    });
    // It can still take one.
    cable.cut_after(usize::MAX >> 1);
    assert_eq!(show(&r.call(&["REPLICAOF", "127.0.0.1", &port])), "OK");
    in_sync(&mut p, &mut r);
    assert_eq!(show(&r.run("DBSIZE")), (BYTES >> 20).to_string());
}

/// With the data set its place in the stream is gone, in memory and in the log: a primary that grants to go on there would do so with
/// nothing.
#[test]
fn no_place_in_the_stream_outlives_its_data() {
    let server = Server::redpoll_with(&["--appendonly", "yes"]);
    let mut r = server.connect();
    let key = &b"\0\x01k\x01v"[..];
    let good = FakePrimary::new(with_length(&rdb(key)), Vec::new());
    r.call(&["REPLICAOF", "127.0.0.1", &good.port.to_string()]);
    eventually("the copy is there", || show(&r.run("GET k")) == "\"v\"");
    // That is found only when keys are put in place, and what there was is gone then.
    let twice = with_length(&rdb(&[key, key].concat()));
    let bad = FakePrimary::new(twice, Vec::new());
    r.call(&["REPLICAOF", "127.0.0.1", &bad.port.to_string()]);
    let syncs = || -> Vec<String> {
        let all = bad.asked();
        all.into_iter().filter(|c| c.contains("PSYNC")).collect()
    };
    eventually("it asks again", || syncs().len() > 1);
    assert!(syncs()[0].contains("\", \"101\"]"), "{:?}", syncs());
    assert!(syncs()[1].contains("\"?\", \"-1\"]"), "{:?}", syncs());
    assert_eq!(show(&r.run("DBSIZE")), "0");
}
