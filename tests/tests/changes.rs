//! As how many changes towards a save point things count that are no single command: transactions, scripts, functions, clients that
//! waited. Single commands are compared in a part of the rounds of `differential.rs`.

use redpoll_tests::check::show;
use redpoll_tests::{Client, Server, eventually, every_peer};

fn changes(client: &mut Client) -> i64 {
    let info = show(&client.run("INFO persistence"));
    let at = info.find("rdb_changes_since_last_save:").expect("a number");
    let digits = info[at..].split(':').nth(1).unwrap_or_default();
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    digits[..end].parse().expect("a number")
}

const LIBRARY: &str = "#!lua name=lib\nredis.register_function('f', function(keys, args) \
     return redis.call('RPUSH', keys[1], unpack(args)) end)";

/// What each step counts as, on a server of its own.
fn played(server: &Server) -> Vec<(String, i64)> {
    let mut client = server.connect();
    let mut counts = Vec::new();
    let mut before = changes(&mut client);
    let mut note = |client: &mut Client, step: &str| {
        let now = changes(client);
        counts.push((step.to_owned(), now - before));
        before = now;
    };
    let steps: &[&[&str]] = &[
        &[
            "MULTI",
            "SET a 1 EX 100",
            "RPUSH l 1 2 3",
            "GET a",
            "DEL a b l",
            "EXEC",
        ],
        &["MULTI", "SET a 1", "EXEC"],
        &["MULTI", "SET a 1", "DISCARD"],
        &["WATCH a", "SET a 2", "MULTI", "SET a 3", "EXEC"],
        &[
            "SADD s 1 2 3 4",
            "SPOP s 9",
            "SADD s 1 2",
            "SMOVE s t 1",
            "SMOVE s t 9",
        ],
        // Until its time is over, and the millisecond after that.
        &["SET gone 1 PX 1", "BLPOP nothing 0.01", "GET gone"],
        &[
            "ZADD z 1 a 2 b 3 c",
            "ZPOPMIN z 2",
            "ZADD z 1 a",
            "ZADD z XX 5 q",
        ],
        &[
            "SORT l STORE d",
            "RPUSH l 3 1 2",
            "SORT l STORE d",
            "SORT nothing STORE d",
        ],
        &[
            "GEOADD g 1 2 x 3 4 y",
            "GEOSEARCHSTORE h g FROMLONLAT 1 2 BYRADIUS 9999 km",
        ],
        &[
            "COPY d e",
            "RENAME d f",
            "MOVE f 1",
            "SWAPDB 0 1",
            "SWAPDB 0 1",
            "RENAME e e",
        ],
        &[
            "EXPIRE e 100",
            "PERSIST e",
            "PERSIST e",
            "EXPIRE e -1",
            "EXPIRE e 10",
        ],
        &[
            "PUBLISH c m",
            "SCRIPT FLUSH",
            "CONFIG SET timeout 0",
            "SELECT 0",
            "TOUCH e",
        ],
        &[
            "FLUSHDB",
            "SET a 1",
            "SET b 2",
            "FLUSHALL",
            "FUNCTION FLUSH",
        ],
    ];
    for (i, steps) in steps.iter().enumerate() {
        for step in *steps {
            client.run(step);
        }
        note(&mut client, &format!("{i}: {}", steps.join("; ")));
    }
    let script = "redis.call('SET', 'a', 1, 'EX', 9) redis.call('RPUSH', 'l', 1, 2) return redis.call('GET', 'a')";
    client.call(&["EVAL", script, "0"]);
    note(&mut client, "EVAL");
    client.call(&[
        "EVAL",
        "redis.call('SADD', KEYS[1], 1, 2) error('stop')",
        "1",
        "set",
    ]);
    note(&mut client, "EVAL that fails");
    client.call(&["FUNCTION", "LOAD", LIBRARY]);
    note(&mut client, "FUNCTION LOAD");
    client.call(&["FCALL", "f", "1", "l", "a", "b", "c"]);
    note(&mut client, "FCALL");
    client.call(&["FUNCTION", "DELETE", "lib"]);
    note(&mut client, "FUNCTION DELETE");
    // Those that wait are served by who comes with something.
    for (waits, comes) in [
        ("BLPOP w 0", "RPUSH w 1 2 3"),
        ("BLMOVE x y LEFT RIGHT 0", "RPUSH x 1"),
        ("BLMPOP 0 1 v LEFT COUNT 2", "RPUSH v 1 2 3"),
        ("BZPOPMIN u 0", "ZADD u 1 a 2 b"),
        ("BZMPOP 0 1 r MIN COUNT 9", "ZADD r 1 a 2 b"),
    ] {
        let mut other = server.connect();
        let words: Vec<&str> = waits.split(' ').collect();
        other.send(&words);
        eventually("it waits", || {
            show(&client.run("INFO clients")).contains("blocked_clients:1\r")
                || show(&client.run("INFO clients")).contains("blocked_clients:1\\r")
        });
        client.run(comes);
        other.read();
        note(&mut client, &format!("{waits}, then {comes}"));
    }
    counts
}

#[test]
fn they_count_as_in_real_servers() {
    let ours = played(&Server::redpoll());
    for peer in every_peer("they_count_as_in_real_servers") {
        // Older ones count some things in another way.
        if !peer.version.starts_with("8.") && !peer.version.starts_with("9.") {
            continue;
        }
        let theirs = played(&Server::peer(&peer, &[]));
        assert_eq!(ours, theirs, "{} {}", peer.name, peer.version);
    }
}
