//! While one client has something long done, everybody else is served: on every worker, whichever connection it is.
//!
//! Nobody's clock is asked. Several connections, spread over all workers, send PING after PING for as long as the long command
//! takes, and count the replies. If a worker stood still, those of its connections would have next to none, where others have hundreds.

use redpoll_tests::check::show;
use redpoll_tests::transcript::words;
use redpoll_tests::{Client, Server};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

/// Elements of each collection.
const ELEMENTS: usize = 150_000;

/// Connections that send PING.
const PROBES: usize = 6;

/// The commands, of which each line is sent after the reply to the one before; only the last one counts.
const LONG: &[&str] = &[
    "SORT list ALPHA STORE sorted",
    "SORT list ALPHA LIMIT 0 10",
    "SORT_RO set ALPHA DESC",
    "SUNIONSTORE target set other",
    "SINTERSTORE target set set",
    "SDIFFSTORE target set other",
    "SUNION set other",
    "SMEMBERS set",
    "LRANGE list 0 -1",
    "LREM list 0 nothing",
    "HGETALL hash",
    "HVALS hash",
    "ZRANGE sorted-set 0 -1 WITHSCORES",
    "ZUNIONSTORE target 2 sorted-set other-sorted",
    "ZRANGESTORE target sorted-set 0 -1",
    "XRANGE stream - +",
    "DUMP sorted-set",
    "COPY hash target REPLACE",
    "KEYS *x*",
    "DEBUG DIGEST",
    "BITCOUNT bits",
    "MULTI\nSUNIONSTORE target set other\nEXEC",
    "MULTI\nLRANGE list 0 -1\nEXEC",
    "MULTI\nLRANGE list 0 9000\nZRANGE sorted-set 0 9000\nHGETALL hash\nEXEC",
    "MULTI\nSET k v\nEVAL \"return #redis.call('smembers','set')\" 1 set\nEXEC",
    "EVAL \"return redis.call('sunionstore','target','set','other')\" 3 target set other",
    "EVAL \"local n = 0 for i = 1, 20000 do n = n + redis.call('scard','set') end return n\" 1 set",
    "EVAL \"for i = 1, 20000 do redis.call('rpush',KEYS[1],i) end return 1\" 1 pushed",
    "EVAL \"local t = {} for i = 1, 100000 do t[i] = 'x' .. i end return #cjson.encode(t)\" 0",
];

fn fill(client: &mut Client) {
    let add = |client: &mut Client, command: &str, before: Option<&str>, name: &str| {
        for part in 0..ELEMENTS / 5000 {
            let mut call: Vec<String> = command.split(' ').map(str::to_owned).collect();
            for i in 0..5000 {
                call.extend(before.map(str::to_owned));
                call.push(format!("{name}x{part}:{i}"));
                call.extend((before == Some("")).then(|| "value".to_owned()));
            }
            // A field stands before its value, a score before its member.
            call.retain(|word| !word.is_empty());
            let reply = show(&client.call(&call));
            assert!(!reply.starts_with('-'), "{reply}");
        }
    };
    add(client, "RPUSH list", None, "a");
    add(client, "SADD set", None, "a");
    add(client, "SADD other", None, "b");
    add(client, "HSET hash", Some(""), "a");
    add(client, "ZADD sorted-set", Some("1.5"), "a");
    add(client, "ZADD other-sorted", Some("2"), "b");
    let xadd = "for i = 1, 1000 do redis.call('xadd', KEYS[1], '*', 'field', 'value') end";
    for _ in 0..ELEMENTS / 1000 {
        client.call(&["EVAL", xadd, "1", "stream"]);
    }
    client.run(&format!("DEBUG POPULATE {ELEMENTS} x"));
    client.run("SETRANGE bits 100000000 x");
}

/// How often it is tried. A worker that stands still does so each time; that a connection's thread is not let run by a busy machine
/// does not happen to the same ones again and again.
const TRIES: usize = 8;

/// Whether all connections had replies while `long` was carried out, and how many each.
fn is_fair(server: &Server, client: &mut Client, long: &str) -> (bool, Vec<usize>) {
    let mut probes: Vec<Client> = (0..PROBES).map(|_| server.connect()).collect();
    probes.iter_mut().for_each(|probe| drop(probe.run("PING")));
    let lines: Vec<&str> = long.lines().collect();
    let (last, before) = lines.split_last().expect("a command");
    before
        .iter()
        .for_each(|line| drop(client.call(&words(line))));
    let running = AtomicBool::new(true);
    let served: Vec<AtomicUsize> = (0..PROBES).map(|_| AtomicUsize::new(0)).collect();
    thread::scope(|scope| {
        for (probe, served) in probes.iter_mut().zip(&served) {
            let running = &running;
            scope.spawn(move || {
                while running.load(Relaxed) {
                    probe.run("PING");
                    if running.load(Relaxed) {
                        served.fetch_add(1, Relaxed);
                    }
                }
            });
        }
        client.send(&words(last));
        let reply = client.read_raw();
        running.store(false, Relaxed);
        assert!(
            reply[0] != b'-',
            "{long}: {}",
            reply[..reply.len().min(200)].escape_ascii()
        );
    });
    let served: Vec<usize> = served.iter().map(|n| n.load(Relaxed)).collect();
    let (least, most) = (served.iter().min(), served.iter().max());
    let (least, most) = (*least.expect("probes"), *most.expect("probes"));
    // One that is over within a few round trips holds up nobody.
    (most < 20 || least * 20 > most, served)
}

#[test]
fn everybody_is_served_while_something_is_long() {
    let server = Server::redpoll_with(&["--threads", "2", "--enable-debug-command", "yes"]);
    let mut client = server.connect();
    fill(&mut client);
    for long in LONG {
        let mut seen = Vec::new();
        let served = (0..TRIES).any(|_| {
            let (fair, served) = is_fair(&server, &mut client, long);
            seen.push(served);
            fair
        });
        assert!(served, "{long}: replies of each, try by try: {seen:?}");
    }
}
