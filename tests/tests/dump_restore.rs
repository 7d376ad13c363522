//! Payloads of DUMP between Redpoll and the real servers, in both directions.
//!
//! Every value is made by commands on the server that dumps it. Its payload is restored under another key on that server
//! and on the other one, and everything a client can see of the two must be the same, encodings included.

use redpoll_tests::check::show;
use redpoll_tests::peers::Peer;
use redpoll_tests::{Client, Peers, Server, skip};
use resp::Value;

/// A value: its name, and the commands that make it under the key `k`.
type Made = (String, Vec<Vec<Vec<u8>>>);

fn command(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|w| w.to_vec()).collect()
}

/// A command written as words with spaces between them.
fn line(text: &str) -> Vec<Vec<u8>> {
    text.split(' ').map(|w| w.as_bytes().to_vec()).collect()
}

/// Bytes that no compression shortens.
fn noise(n: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(n)
    .collect()
}

fn strings() -> Vec<Made> {
    let mut texts: Vec<Vec<u8>> = [
        "",
        "0",
        "-1",
        "127",
        "128",
        "-128",
        "-129",
        "32767",
        "32768",
        "-32769",
        "2147483647",
        "2147483648",
        "-2147483648",
        "-2147483649",
        "12345678901",
        "123456789012",
        "9223372036854775807",
        "-9223372036854775808",
        "007",
        "hello",
        "a text of forty-four bytes, which is a limit",
    ]
    .map(|t| t.as_bytes().to_vec())
    .into();
    texts.extend([
        vec![b'a'; 45],
        b"0123456789".repeat(2000),
        [
            b"abcabcabc".repeat(100),
            noise(300),
            b"abcabcabc".repeat(100),
        ]
        .concat(),
        noise(63),
        noise(64),
        noise(16_384),
        noise(100_000),
    ]);
    texts
        .into_iter()
        .map(|t| {
            (
                format!("a string of {} bytes", t.len()),
                vec![command(&[b"SET", b"k", &t])],
            )
        })
        .collect()
}

/// Numbers around the limits of every width.
fn numbers() -> Vec<Vec<u8>> {
    let mut numbers = Vec::new();
    for bits in [0, 4, 6, 7, 8, 12, 13, 15, 16, 23, 24, 31, 32, 47, 62] {
        for n in [
            1i64 << bits,
            (1i64 << bits) - 1,
            -(1i64 << bits),
            -(1i64 << bits) - 1,
        ] {
            numbers.push(n.to_string().into_bytes());
        }
    }
    numbers.extend([i64::MAX, i64::MIN].map(|n| n.to_string().into_bytes()));
    numbers.sort();
    numbers.dedup();
    numbers
}

/// A command with these arguments behind its words.
fn with(words: &str, args: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    line(words).into_iter().chain(args).collect()
}

fn many(n: usize, stem: &str) -> Vec<Vec<u8>> {
    (0..n).map(|i| format!("{stem}{i}").into_bytes()).collect()
}

/// Redis 7.0 shows these scores with more digits than later servers.
const ODD_SCORES: &str = "a sorted set of odd scores";

fn collections() -> Vec<Made> {
    let pairs = |names: Vec<Vec<u8>>| {
        names
            .into_iter()
            .enumerate()
            .flat_map(|(i, n)| [n, format!("{i}").into_bytes()])
    };
    let scored = |names: Vec<Vec<u8>>| {
        let score = |i: usize| {
            [
                "1.5",
                "-inf",
                "3",
                "inf",
                "0.125",
                "-1024.75",
                "1099511627776",
                "-0",
            ][i % 8]
                .as_bytes()
                .to_vec()
        };
        names
            .into_iter()
            .enumerate()
            .flat_map(move |(i, n)| [score(i), n])
    };
    let lengths = [
        0, 1, 62, 63, 64, 65, 126, 127, 128, 250, 4090, 4095, 4096, 9000, 20_000,
    ];
    let texts: Vec<Vec<u8>> = lengths.into_iter().map(noise).collect();
    let one = |name: &str, command: Vec<Vec<u8>>| (name.to_owned(), vec![command]);
    vec![
        one("a short list", line("RPUSH k a b 1 -5")),
        one("a list of numbers", with("RPUSH k", numbers())),
        one("a list of texts of many lengths", with("RPUSH k", texts)),
        one(
            "a list of large elements",
            with("RPUSH k", [noise(9000), noise(70_000), b"x".to_vec()]),
        ),
        one("a long list", with("RPUSH k", many(3000, "element:"))),
        one("a set of 16-bit integers", line("SADD k 3 1 2 -5")),
        one("a set of 32-bit integers", line("SADD k 3 1 70000")),
        one(
            "a set of 64-bit integers",
            line("SADD k 3 1 5000000000 -5000000000"),
        ),
        one("a set of many integers", with("SADD k", many(2000, ""))),
        one("a short set", line("SADD k a b 1 c")),
        one("a set of many texts", with("SADD k", many(700, "member:"))),
        one(
            "a set with a long member",
            with("SADD k", [noise(100), b"a".to_vec()]),
        ),
        one("a short sorted set", with("ZADD k", scored(many(8, "m")))),
        one("a sorted set of numbers", with("ZADD k", scored(numbers()))),
        one(
            "a long sorted set",
            with("ZADD k", scored(many(1000, "member:"))),
        ),
        one(
            "a sorted set with a long member",
            with("ZADD k 1", [noise(100)]),
        ),
        one(
            ODD_SCORES,
            line("ZADD k 0.1 a -7e-10 b 1e300 c 5e-324 d 1e17 e 0.30000000000000004 f"),
        ),
        one("a short hash", line("HSET k f v g 1 2 -3")),
        one("a hash of numbers", with("HSET k", pairs(numbers()))),
        one("a long hash", with("HSET k", pairs(many(1000, "field:")))),
        one("a hash with a long value", with("HSET k f", [noise(5000)])),
    ]
}

fn streams() -> Vec<Made> {
    let entries = |n: usize, f: fn(usize) -> String| (0..n).map(move |i| line(&f(i)));
    let same: Vec<_> = entries(250, |i| format!("XADD k {i}-1 name n{i} n {i}")).collect();
    let mixed: Vec<_> = entries(120, |i| {
        format!(
            "XADD k 5-{} f{} {} g x{}",
            i + 1,
            i % 3,
            i * 7919,
            if i % 5 == 0 { " h y" } else { "" }
        )
    })
    .collect();
    let then = |first: &[Vec<Vec<u8>>], more: &[&str]| {
        first
            .iter()
            .cloned()
            .chain(more.iter().map(|l| line(l)))
            .collect::<Vec<_>>()
    };
    vec![
        ("a short stream".into(), vec![line("XADD k 1-1 f v")]),
        ("a stream of like entries".into(), same.clone()),
        ("a stream of unlike entries".into(), mixed.clone()),
        (
            "a stream with deleted entries".into(),
            then(
                &same,
                &[
                    "XDEL k 0-1 7-1 249-1 100-1",
                    "XTRIM k MAXLEN 150",
                    "XADD k 1000-5 other x",
                ],
            ),
        ),
        (
            "an empty stream that was not".into(),
            vec![
                line("XADD k 5-5 f v"),
                line("XDEL k 5-5"),
                line("XGROUP CREATE k g $"),
            ],
        ),
        (
            "a stream with groups".into(),
            then(
                &mixed,
                &[
                    "XGROUP CREATE k g 0",
                    "XGROUP CREATE k other 5-50",
                    "XGROUP CREATE k unread $",
                    "XGROUP CREATECONSUMER k g idle",
                    "XREADGROUP GROUP g alice COUNT 70 STREAMS k >",
                    "XREADGROUP GROUP g bob COUNT 20 STREAMS k >",
                    "XREADGROUP GROUP other carol STREAMS k >",
                    "XACK k g 5-3 5-4 5-80",
                    "XCLAIM k g bob 0 5-9 RETRYCOUNT 7",
                    "XDEL k 5-20",
                ],
            ),
        ),
    ]
}

/// All that a client can see of a key, orders that mean nothing put in one.
fn seen(client: &mut Client, key: &str, encodings: bool) -> Vec<String> {
    let mut ask = |text: &str, unordered: usize| {
        let reply = client.run(&text.replace('@', key));
        let Value::Array(items) = &reply else {
            return show(&reply).replace(&format!("'{key}'"), "KEY");
        };
        let mut parts: Vec<String> = items
            .chunks(unordered.max(1))
            .map(|c| c.iter().map(show).collect())
            .collect();
        if unordered > 0 {
            parts.sort();
        }
        parts.join("\n")
    };
    let kind = ask("TYPE @", 0);
    let mut seen = vec![kind.clone(), ask("PEXPIRETIME @", 0)];
    if encodings {
        // How long a string may be embedded depends on the length of its key, in a way of each server's own.
        seen.push(ask("OBJECT ENCODING @", 0).replace("embstr", "raw"));
    }
    match kind.as_str() {
        "string" => seen.push(ask("GET @", 0)),
        "list" => seen.push(ask("LRANGE @ 0 -1", 0)),
        "set" => seen.push(ask("SMEMBERS @", 1)),
        "zset" => seen.push(ask("ZRANGE @ 0 -1 WITHSCORES", 0)),
        "hash" => seen.push(ask("HGETALL @", 2)),
        "stream" => {
            seen.push(ask("XRANGE @ - +", 0));
            for group in ["g", "other", "unread"] {
                seen.push(ask(&format!("XPENDING @ {group}"), 0));
            }
            seen.push(ask("XINFO GROUPS @", 0));
            // Numbers of the tree that the entries are stored in are each server's own.
            for group in ["g", "other"] {
                // Entry, consumer, number of deliveries; not the time since the last, which goes on.
                if let Value::Array(pending) =
                    client.run(&format!("XPENDING {key} {group} - + 200"))
                {
                    for entry in &pending {
                        let Value::Array(parts) = entry else {
                            panic!("a pending entry is an array")
                        };
                        seen.push([0, 1, 3].map(|i| show(&parts[i])).join(" "));
                    }
                }
            }
            let Value::Array(fields) = client.run(&format!("XINFO STREAM {key}")) else {
                panic!("XINFO STREAM is a map")
            };
            for pair in fields.chunks(2) {
                let name = show(&pair[0]);
                if [
                    "last-generated-id",
                    "max-deleted",
                    "entries-added",
                    "recorded-first",
                    "length",
                    "groups",
                ]
                .iter()
                .any(|wanted| name.contains(wanted))
                {
                    seen.push(format!("{name} {}", show(&pair[1])));
                }
            }
        }
        other => panic!("no such type: {other}"),
    }
    seen
}

#[track_caller]
fn dump(client: &mut Client, key: &str) -> Vec<u8> {
    match client.call(&["DUMP", key]) {
        Value::Bulk(payload) => payload,
        other => panic!("DUMP replied {}", show(&other)),
    }
}

/// Makes a value at `from`, restores its payload there and at `to`, and compares.
fn crosses(
    from: (&str, &mut Client),
    to: (&str, &mut Client),
    (name, commands): &Made,
    encodings: bool,
) {
    let ((from_name, from), (to_name, to)) = (from, to);
    from.run("FLUSHALL");
    to.run("FLUSHALL");
    for command in commands {
        let reply = from.call(command);
        assert!(
            !matches!(reply, Value::Error(_)),
            "{name} cannot be made at {from_name}: {}",
            show(&reply)
        );
    }
    let payload = dump(from, "k");
    for (at, client) in [(from_name, &mut *from), (to_name, &mut *to)] {
        let reply = client.call(&[
            b"RESTORE".as_slice(),
            b"copy",
            b"33333333333333",
            &payload,
            b"ABSTTL",
        ]);
        assert_eq!(show(&reply), "OK", "{name} of {from_name} at {at}");
    }
    let (there, here) = (seen(to, "copy", encodings), seen(from, "copy", encodings));
    for (a, b) in there.iter().zip(&here) {
        assert!(
            a == b,
            "{name} of {from_name} at {to_name}:\n{}\ninstead of\n{}",
            clip(a),
            clip(b)
        );
    }
    assert_eq!(there.len(), here.len());
    // And what it was made of is what its payload became, if both know what they write.
    let original = seen(from, "k", false);
    let copy = seen(from, "copy", false);
    assert_eq!(
        original[2..],
        copy[2..],
        "{name} of {from_name}, restored where it comes from"
    );
}

fn clip(text: &str) -> String {
    text.chars().take(2000).collect()
}

fn both_ways(test: &str, pick: fn(Peers) -> Option<Peer>, encodings: bool) {
    let Some(peer) = pick(Peers::find()) else {
        return skip(test, "the peer was not found");
    };
    let (ours, theirs) = (Server::redpoll(), Server::peer(&peer, &[]));
    let (mut a, mut b) = (ours.connect(), theirs.connect());
    let knows_streams = matches!(a.run("XADD probe 1-1 f v"), Value::Bulk(_))
        && matches!(a.run("XINFO STREAM probe"), Value::Array(_));
    let mut values = strings();
    values.extend(collections());
    values.retain(|(name, _)| encodings || name != ODD_SCORES);
    if knows_streams {
        values.extend(streams());
    } else {
        skip(test, "Redpoll does not know streams yet");
    }
    for value in &values {
        crosses(
            ("Redpoll", &mut a),
            (theirs.name(), &mut b),
            value,
            encodings,
        );
        crosses(
            (theirs.name(), &mut b),
            ("Redpoll", &mut a),
            value,
            encodings,
        );
    }
    // The same without compression.
    for client in [&mut a, &mut b] {
        assert_eq!(show(&client.run("CONFIG SET rdbcompression no")), "OK");
    }
    for value in &values {
        crosses(
            ("Redpoll", &mut a),
            (theirs.name(), &mut b),
            value,
            encodings,
        );
        crosses(
            (theirs.name(), &mut b),
            ("Redpoll", &mut a),
            value,
            encodings,
        );
    }
}

#[test]
fn redis_7() {
    // Redis 7.0 has fewer encodings.
    both_ways("redis_7", |peers| peers.redis7, false);
}

#[test]
fn redis_8() {
    both_ways("redis_8", |peers| peers.redis8, true);
}

#[test]
fn redis_8_6() {
    both_ways("redis_8_6", |peers| peers.redis8_6, true);
}

/// What a stream remembers of its producers goes with it: an entry that is sent again is known wherever the stream was restored.
#[test]
fn streams_that_remember_producers() {
    let Some(peers) = Peers::find().or_skip("streams_that_remember_producers") else {
        return;
    };
    let Some(peer) = peers.redis8_6 else {
        return;
    };
    let (ours, theirs) = (Server::redpoll(), Server::peer(&peer, &[]));
    let (mut a, mut b) = (ours.connect(), theirs.connect());
    let remembered = |c: &mut Client| {
        let Value::Array(fields) = c.run("XINFO STREAM copy") else {
            panic!("XINFO STREAM is a map")
        };
        let wanted = ["idmp-", "pids-tracked", "iids-tracked"];
        let mut all: Vec<String> = fields
            .chunks(2)
            .map(|pair| format!("{} {}", show(&pair[0]), show(&pair[1])))
            .filter(|line| wanted.iter().any(|word| line.contains(word)))
            .collect();
        all.sort();
        all
    };
    // (how it is made, which of its entries are sent again)
    let many: Vec<String> = (0..150)
        .map(|i| format!("XADD k IDMP producer-{} message-{i} * n {i}", i % 7))
        .collect();
    let mut few = vec![
        "XADD k * f u".to_owned(),
        "XCFGSET k IDMP-DURATION 1000 IDMP-MAXSIZE 50".to_owned(),
        "XADD k IDMP p one * f v".to_owned(),
        "XADD k IDMP p two * f w".to_owned(),
        "XADD k IDMP q one * f x".to_owned(),
    ];
    few.push("XADD k IDMP q 2 * f y".to_owned());
    few.push("XGROUP CREATE k g 0".to_owned());
    few.push("XREADGROUP GROUP g c COUNT 2 STREAMS k >".to_owned());
    for (commands, version) in [(&many, None), (&few, None), (&few, Some("no"))] {
        if let Some(compressed) = version {
            for c in [&mut a, &mut b] {
                c.run(&format!("CONFIG SET rdbcompression {compressed}"));
            }
        }
        for turn in 0..2 {
            let (from, to) = if turn == 0 {
                (&mut a, &mut b)
            } else {
                (&mut b, &mut a)
            };
            from.run("FLUSHALL");
            to.run("FLUSHALL");
            let mut ids = Vec::new();
            for text in commands {
                let reply = from.run(text);
                assert!(!matches!(reply, Value::Error(_)), "{text}: {reply:?}");
                ids.push((text, show(&reply)));
            }
            let payload = dump(from, "k");
            for c in [&mut *from, &mut *to] {
                let words = [b"RESTORE".as_slice(), b"copy", b"0", &payload];
                assert_eq!(show(&c.call(&words)), "OK", "turn {turn}");
            }
            let kept = remembered(from);
            assert_eq!(remembered(to), kept, "turn {turn}");
            assert!(kept.len() >= 4, "{kept:?}");
            for c in [&mut *from, &mut *to] {
                // Those that are not forgotten.
                let last = ids.iter().filter(|(text, _)| text.contains("IDMP p")).rev();
                for (text, id) in last.take(20) {
                    let again = text.replacen(" k ", " copy ", 1);
                    assert_eq!(show(&c.run(&again)), *id, "turn {turn}: {again}");
                }
            }
            // Dumped again it still is the same.
            let words = [
                b"RESTORE".as_slice(),
                b"copy",
                b"0",
                &dump(to, "copy"),
                b"REPLACE",
            ];
            assert_eq!(show(&from.call(&words)), "OK");
            let kept = remembered(to);
            assert_eq!(remembered(from), kept);
        }
    }
}

#[test]
fn valkey_9() {
    both_ways("valkey_9", |peers| peers.valkey, true);
}

/// Hashes with expiring fields have no form that all servers know: ours is that of Redis, and both are read.
#[test]
fn fields_that_expire() {
    let Some(peers) = Peers::find().or_skip("fields_that_expire") else {
        return;
    };
    let ours = Server::redpoll();
    let mut a = ours.connect();
    let many: Vec<_> = (0..600).map(|i| format!("f{i} {i}")).collect();
    let short = "HSET k f v g w 1 2";
    let long = format!("HSET k {}", many.join(" "));
    for (make, expire) in [
        (short, "HPEXPIREAT k 33333333333333 FIELDS 1 f"),
        (short, "HPEXPIREAT k 33333333333399 FIELDS 2 f 1"),
        (
            long.as_str(),
            "HPEXPIREAT k 33333333333333 FIELDS 3 f0 f599 f77",
        ),
    ] {
        let later = "HPEXPIREAT k 33333333334444 FIELDS 1 g";
        let value: Made = (
            format!("{} fields", make.len()),
            vec![line(make), line(expire), line(later)],
        );
        let fields = |client: &mut Client| {
            ["HPEXPIRETIME copy FIELDS 6 f g 1 f0 f599 f77", "HLEN copy"]
                .map(|l| show(&client.run(l)))
        };
        for peer in [&peers.redis8, &peers.valkey].into_iter().flatten() {
            let theirs = Server::peer(peer, &[]);
            let mut b = theirs.connect();
            // Valkey has one encoding less.
            let encodings = peer.name == "redis";
            crosses(
                (theirs.name(), &mut b),
                ("Redpoll", &mut a),
                &value,
                encodings,
            );
            assert_eq!(fields(&mut a), fields(&mut b), "from {}", theirs.name());
            if peer.name == "redis" {
                crosses(
                    ("Redpoll", &mut a),
                    (theirs.name(), &mut b),
                    &value,
                    encodings,
                );
                assert_eq!(fields(&mut a), fields(&mut b), "to {}", theirs.name());
            }
        }
    }
}
