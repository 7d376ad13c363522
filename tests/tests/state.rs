//! State that one client changes under another: keys that have expired and are still there, databases that change places, pauses,
//! settings, and what is counted of commands that wait. Held against the real servers.

use redpoll_tests::check::show;
use redpoll_tests::rng::Rng;
use redpoll_tests::transcript::agree;
use redpoll_tests::{Client, Peers, Server, eventually, skip};

/// Expired keys stay where they are, so that it is seen who removes them.
const DEBUG: &[&str] = &["--enable-debug-command", "yes"];

const EXPIRED: &[&str] = &[
    // WATCH of what had expired, or comes expired by SWAPDB.
    r#"
    c: DEBUG SET-ACTIVE-EXPIRE 0
    c: SELECT 1
    c: SET k v PX 1
    c: DEBUG SLEEP 0.01
    a: WATCH k
    c: SWAPDB 0 1
    a: MULTI
    a: PING
    a: EXEC
    c: SELECT 0
    c: DBSIZE
    a: WATCH k
    c: SET k new
    a: MULTI
    a: PING
    a: EXEC
    c: SET k v PX 1
    c: DEBUG SLEEP 0.01
    a: WATCH k
    c: FLUSHALL
    a: MULTI
    a: PING
    a: EXEC
    c: SET k v PX 300
    a: WATCH k
    c: DEBUG SLEEP 0.35
    c: FLUSHALL
    a: MULTI
    a: PING
    a: EXEC
    "#,
    // Nothing expires during a pause.
    r#"
    c: DEBUG SET-ACTIVE-EXPIRE 0
    c: SET k v PX 1
    c: SET other v
    c: DEBUG SLEEP 0.01
    c: CLIENT PAUSE 100000 WRITE
    a: GET k
    a: EXISTS k other
    a: TTL k
    a: SCAN 0 COUNT 100
    a: RANDOMKEY
    a: DBSIZE
    c: CLIENT UNPAUSE
    a: DBSIZE
    a: GET k
    a: DBSIZE
    "#,
    // Who looks for keys removes those that have expired.
    r#"
    c: DEBUG SET-ACTIVE-EXPIRE 0
    c: CONFIG SET notify-keyspace-events Ex
    a: SUBSCRIBE __keyevent@0__:expired
    c: SET k v PX 1
    c: DEBUG SLEEP 0.01
    c: KEYS *
    c: DBSIZE
    c: SCAN 0 COUNT 1000
    a<
    c: DBSIZE
    c: SET k v PX 1
    c: DEBUG SLEEP 0.01
    c: RANDOMKEY
    a<
    c: DBSIZE
    c: CONFIG SET notify-keyspace-events ""
    "#,
];

/// Errors that clients get who wait.
const ERRORS: &str = r#"
    c: CONFIG RESETSTAT
    c: XGROUP CREATE s g 0 MKSTREAM
    a~ XREADGROUP GROUP g c BLOCK 0 STREAMS s >
    c: XGROUP DESTROY s g
    a<
    c: INFO errorstats
    c: SADD set x
    a~ BLMOVE list set LEFT LEFT 0
    c: LPUSH list x
    a<
    c: INFO errorstats
    a~ BLMPOP 0 1 none LEFT
    b~ BZMPOP 0 1 none MIN
    c: ZADD none 1 x
    b<
    c: DEL none
    c: SET list x
    c: INFO errorstats
    "#;

fn with_peers(name: &str, mut f: impl FnMut(&Server, &Server)) {
    let Some(peers) = Peers::find().or_skip(name) else {
        return;
    };
    let ours = Server::redpoll_with(&[DEBUG, &["--threads", "3"]].concat());
    for peer in [&peers.redis8, &peers.valkey] {
        match peer {
            Some(peer) => f(&ours, &Server::peer(peer, DEBUG)),
            None => skip(name, "one of the real servers is not there"),
        }
    }
}

#[test]
fn what_has_expired_and_is_still_there() {
    with_peers("state::expired", |ours, theirs| {
        agree(ours, theirs, EXPIRED);
    });
}

#[test]
fn errors_of_those_who_wait_are_counted() {
    with_peers("state::errors", |ours, theirs| {
        agree(ours, theirs, &[ERRORS]);
    });
}

/// A random conversation about two keys in two databases that expire now and then, with pauses in which one only reads.
fn conversation(rng: &mut Rng) -> String {
    let mut lines = vec!["c: DEBUG SET-ACTIVE-EXPIRE 0".to_owned()];
    let mut paused = false;
    let mut queueing = false;
    for _ in 0..30 {
        let key = *rng.pick(&["k", "l"]);
        let line = match rng.below(if paused { 7 } else { 18 }) {
            0 => format!("b: GET {key}"),
            1 => "b: DBSIZE".to_owned(),
            2 => format!("b: EXISTS {key} k l"),
            3 if queueing => format!("a: GET {key}"),
            3 => format!("a: WATCH {key} k"),
            4 => {
                queueing = !queueing;
                if queueing { "a: MULTI" } else { "a: EXEC" }.to_owned()
            }
            5 => {
                paused = !paused;
                match paused {
                    true => "b: CLIENT PAUSE 100000 WRITE".to_owned(),
                    false => "b: CLIENT UNPAUSE".to_owned(),
                }
            }
            6 => "b: DEBUG SLEEP 0.003".to_owned(),
            7 | 8 => "b: SWAPDB 0 1".to_owned(),
            9 => format!("b: SELECT {}", rng.below(2)),
            10..=12 => format!("b: SET {key} v PX 1"),
            13 => format!("b: SET {key} v"),
            14 => format!("b: DEL {key}"),
            15 => "b: FLUSHDB".to_owned(),
            16 => format!("b: PERSIST {key}"),
            _ => "b: RENAME k l".to_owned(),
        };
        // What is to expire has expired: which side of a millisecond a command falls on is no server's fault.
        let expires = line.contains("PX");
        lines.push(line);
        if expires {
            lines.push("b: DEBUG SLEEP 0.005".to_owned());
        }
    }
    if paused {
        lines.push("b: CLIENT UNPAUSE".to_owned());
    }
    if queueing {
        lines.push("a: EXEC".to_owned());
    }
    lines.push("b: SWAPDB 0 1".to_owned());
    lines.push("b: DBSIZE".to_owned());
    lines.join("\n")
}

#[test]
fn random_conversations_about_expired_keys() {
    with_peers("state::random", |ours, theirs| {
        let mut rng = Rng::new(redpoll_tests::env_number("REDPOLL_SEED", 11));
        let scripts: Vec<String> = (0..60).map(|_| conversation(&mut rng)).collect();
        let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
        agree(ours, theirs, &scripts);
    });
}

/// A limit that is lowered below what a client has unsent ends it, though nothing else happens to it.
#[test]
fn unsent_replies_heed_a_limit_that_is_lowered() {
    let server = Server::redpoll();
    let mut first = server.connect();
    first.call(&["SET", "k", &"x".repeat(1_000_000)]);
    let mut slow = server.connect();
    for _ in 0..20 {
        slow.send(&["GET", "k"]);
    }
    eventually("much of it is unsent", || {
        let list = show(&first.run("CLIENT LIST"));
        let mut lines = list.split("\\n");
        lines.any(|line| line.contains("cmd=get ") && !line.contains(" omem=0 "))
    });
    let limit = "normal 100000 0 0";
    let set = first.call(&["CONFIG", "SET", "client-output-buffer-limit", limit]);
    assert_eq!(show(&set), "OK");
    eventually("the client is disconnected", || {
        show(&first.run("INFO stats")).contains("client_output_buffer_limit_disconnections:1\\r")
    });
}

/// Who has not said who it is, and takes no replies, is disconnected: else whoever knows no password could fill the memory.
#[test]
fn strangers_who_do_not_read_are_disconnected() {
    let server = Server::redpoll_with(&["--requirepass", "x"]);
    let mut known = server.connect();
    assert_eq!(show(&known.run("AUTH x")), "OK");
    let mut stranger = server.connect();
    let pings = b"*1\r\n$4\r\nPING\r\n".repeat(10_000);
    eventually("it is disconnected", || stranger.send_raw(&pings).is_err());
    let disconnected = "client_output_buffer_limit_disconnections:1\\r";
    eventually("that is counted", || {
        show(&known.run("INFO stats")).contains(disconnected)
    });
}

/// A reply that grows over the client's limit ends it while it is being made, however it is made.
#[test]
fn replies_are_bounded_while_they_grow() {
    let server = Server::redpoll_with(&["--client-output-buffer-limit", "normal 100000 0 0"]);
    let mut first = server.connect();
    let value = "x".repeat(15_000);
    for i in 0..10 {
        first.call(&["RPUSH", "list", &value]);
        first.call(&["SET", &format!("key:{i}:{}", "y".repeat(15_000)), &value]);
    }
    for command in [
        "LRANGE list 0 -1",
        "KEYS *",
        "SORT list ALPHA",
        "EVAL \"return redis.call('lrange', 'list', 0, -1)\" 0",
    ] {
        let mut client = server.connect();
        client.send(&redpoll_tests::transcript::words(command));
        assert_eq!(client.read_to_close(), b"", "{command}");
    }
    let disconnected = "client_output_buffer_limit_disconnections:4\\r";
    eventually("all are counted", || {
        show(&first.run("INFO stats")).contains(disconnected)
    });
    assert!(show(&first.run("LRANGE list 0 4")).len() > 75_000);
}

/// Memory that was freed goes back to the system, though nobody asks for more; at once when told to.
#[test]
fn freed_memory_goes_back() {
    const KEYS: usize = 20_000;
    let server = Server::redpoll_with(&["--threads", "2"]);
    let mut clients = [server.connect(), server.connect()];
    let before = server.resident_bytes();
    let value = "x".repeat(3000);
    let fill = |clients: &mut [Client; 2]| {
        for i in 0..KEYS {
            clients[i % 2].send(&["SET", &format!("key:{i}"), &value]);
        }
        for i in 0..KEYS {
            assert_eq!(show(&clients[i % 2].read()), "OK");
        }
    };
    let little = |bytes: u64| bytes < before + (20 << 20);
    fill(&mut clients);
    assert!(server.resident_bytes() > before + (50 << 20));
    clients[0].run("FLUSHALL");
    eventually("what was flushed goes", || little(server.resident_bytes()));
    // Each connection's worker frees what the other's has allocated.
    fill(&mut clients);
    for i in 0..KEYS {
        clients[(i + 1) % 2].send(&["DEL", &format!("key:{i}")]);
    }
    for i in 0..KEYS {
        assert_eq!(show(&clients[(i + 1) % 2].read()), "1");
    }
    assert_eq!(show(&clients[0].run("MEMORY PURGE")), "OK");
    assert!(little(server.resident_bytes()));
}
