//! FAILOVER: the role of the primary goes to a replica, nothing is lost, and there is one primary in the end, whatever breaks.

use redpoll_tests::check::{check, show};
use redpoll_tests::cut::Cable;
use redpoll_tests::pretender::{EOF, Pretender};
use redpoll_tests::replication::{Stopping, info, real};
use redpoll_tests::{Client, Peers, Server, eventually, every_peer};
use resp::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// Copies are not waited for, and no signs of life come in between.
fn primary(args: &[&str]) -> Server {
    let usual = [
        "--repl-diskless-sync-delay",
        "0",
        "--repl-ping-replica-period",
        "3600",
    ];
    Server::redpoll_with(&[&usual, args].concat())
}

fn text(value: &Value) -> String {
    match value {
        Value::Bulk(text) => String::from_utf8_lossy(text).into_owned(),
        other => show(other),
    }
}

fn number(c: &mut Client, field: &str) -> u64 {
    info(c, field).parse().expect("a number")
}

fn is_linked(c: &mut Client) -> bool {
    info(c, "master_link_status") == "up"
}

/// Sets the next numbers until it is told to stop; the last that was acknowledged. Whoever may not write here goes where it may.
fn count_on(a: &Server, b: &Server, stop: &AtomicBool) -> i64 {
    let (mut n, mut at) = (0, 0);
    let mut clients = [a.connect(), b.connect()];
    while !stop.load(SeqCst) {
        match clients[at].call(&["SET", "count", &(n + 1).to_string()]) {
            Value::Simple(_) => n += 1,
            _ => at = 1 - at,
        }
    }
    n
}

#[test]
fn a_failover_loses_nothing() {
    let Some(peers) = Peers::find().or_skip("a_failover_loses_nothing") else {
        return;
    };
    for peer in [&peers.redis7, &peers.redis8_6, &peers.valkey]
        .into_iter()
        .flatten()
    {
        let server = primary(&[]);
        let port = server.port().to_string();
        let follower = Server::peer(peer, &["--replicaof", "127.0.0.1", &port]);
        let (mut c, mut r) = (server.connect(), follower.connect());
        eventually("it follows", || c.run("WAIT 1 10") == Value::Int(1));
        let port = follower.port().to_string();
        let stop = AtomicBool::new(false);
        let counted = thread::scope(|scope| {
            let counting = scope.spawn(|| count_on(&server, &follower, &stop));
            // Should something not be so, the counting ends all the same.
            let _stopping = Stopping(&stop);
            eventually("some is counted", || show(&c.run("GET count")) != "nil");
            let begun = c.call(&["FAILOVER", "TO", "127.0.0.1", &port, "TIMEOUT", "20000"]);
            assert_eq!(show(&begun), "OK");
            eventually("the roles have changed", || {
                info(&mut r, "role") == "master" && info(&mut c, "role") == "slave"
            });
            eventually("it is over", || {
                info(&mut c, "master_failover_state") == "no-failover"
            });
            eventually("it follows now", || is_linked(&mut c));
            stop.store(true, SeqCst);
            counting.join().expect("no panic")
        });
        // One more may have been done, and not been answered.
        let there = text(&r.run("GET count"));
        assert_eq!(there, counted.to_string());
        eventually("both have it", || text(&c.run("GET count")) == there);
        // It went on where it was.
        assert_eq!(number(&mut r, "sync_full"), 0, "{}", server.log());
        assert_eq!(number(&mut r, "sync_partial_ok"), 1);
    }
}

/// Both ended up as primaries: who took over dropped all links that had the stream under its old name, and with them the one on which it
/// had been asked to.
#[test]
fn a_failover_between_two_of_ours_leaves_one_primary() {
    let server = primary(&[]);
    let port = server.port();
    let follower = Server::redpoll_with(&["--replicaof", &format!("127.0.0.1 {port}")]);
    let (mut c, mut r) = (server.connect(), follower.connect());
    eventually("it follows", || c.run("WAIT 1 10") == Value::Int(1));
    c.run("SET k v");
    assert_eq!(show(&c.run("FAILOVER")), "OK");
    eventually("the roles have changed", || {
        info(&mut r, "role") == "master" && info(&mut c, "role") == "slave"
    });
    eventually("it is over", || {
        info(&mut c, "master_failover_state") == "no-failover"
    });
    assert_eq!(text(&r.run("GET k")), "v");
    assert_eq!(number(&mut r, "sync_full"), 0, "{}", server.log());
}

#[test]
fn a_failover_that_does_not_work_is_given_up() {
    let server = primary(&[]);
    let mut c = server.connect();
    check(&mut c, "FAILOVER ABORT", "-ERR No failover in progress.");
    check(
        &mut c,
        "FAILOVER",
        "-ERR FAILOVER requires connected replicas.",
    );
    check(
        &mut c,
        "FAILOVER TIMEOUT 0",
        "-ERR FAILOVER timeout must be greater than 0",
    );
    check(&mut c, "FAILOVER NOW", "-ERR syntax error");
    let mut one = Pretender::to(&server, &[EOF, &["REPLCONF", "listening-port", "1"]]);
    let (_, offset) = one.take_copy();
    one.ack(offset);
    eventually("it is online", || c.run("WAIT 1 10") == Value::Int(1));
    check(
        &mut c,
        "FAILOVER TO 127.0.0.1 2",
        "-ERR FAILOVER target HOST and PORT is not a replica.",
    );
    check(
        &mut c,
        "FAILOVER TO 127.0.0.1 1 FORCE",
        "-ERR FAILOVER with force option requires both a timeout and target HOST and IP.",
    );
    // It never has what was done last.
    c.run("SET k v");
    check(&mut c, "FAILOVER", "OK");
    check(&mut c, "FAILOVER", "-ERR FAILOVER already in progress.");
    assert_eq!(info(&mut c, "master_failover_state"), "waiting-for-sync");
    let mut waiting = server.connect();
    waiting.send(&["SET", "k", "w"]);
    check(&mut c, "GET k", "\"v\"");
    check(&mut c, "FAILOVER ABORT", "OK");
    assert_eq!(show(&waiting.read()), "OK");
    check(&mut c, "FAILOVER TIMEOUT 20", "OK");
    // Its time is over, and changes go on.
    check(&mut waiting, "SET k x", "OK");
    eventually("it is over", || {
        info(&mut c, "master_failover_state") == "no-failover"
    });
    assert_eq!(info(&mut c, "role"), "master");
    // Nobody listens where it says.
    let end = number(&mut c, "master_repl_offset");
    one.ack(end + 1000);
    check(&mut c, "FAILOVER", "OK");
    check(&mut waiting, "SET k y", "OK");
    assert_eq!(info(&mut c, "role"), "master");
}

/// The link over which a replica is asked to take over breaks, anywhere in what it says there. It may have heard it or not: in the
/// end one of the two is the primary, and the other follows it.
#[test]
fn a_failover_over_a_link_that_breaks_leaves_one_primary() {
    let peers = Peers::find();
    for (bytes, real) in [
        (1, None),
        (7, None),
        (24, None),
        (60, None),
        (50, Some(&peers.redis8_6)),
        (70, Some(&peers.redis8_6)),
        (100, Some(&peers.redis8_6)),
        (80, Some(&peers.valkey)),
    ] {
        let server = primary(&["--repl-timeout", "5"]);
        let port = server.port().to_string();
        let args = ["--replicaof", "127.0.0.1", &port];
        let follower = match real {
            None => Server::redpoll_with(&args),
            Some(Some(peer)) => Server::peer(peer, &args),
            Some(None) => continue,
        };
        let cable = Cable::to(follower.addr());
        let (mut c, mut r) = (server.connect(), follower.connect());
        // It says another port, behind which it is, and links itself anew.
        r.call(&[
            "CONFIG",
            "SET",
            "replica-announce-port",
            &cable.port().to_string(),
        ]);
        c.run("CLIENT KILL TYPE replica");
        c.run("SET k v");
        eventually("it follows", || c.run("WAIT 1 10") == Value::Int(1));
        cable.cut_after(bytes);
        assert_eq!(show(&c.run("FAILOVER")), "OK");
        eventually("it is over", || {
            info(&mut c, "master_failover_state") == "no-failover"
        });
        eventually("the other follows", || {
            is_linked_or_primary(&mut c) && is_linked_or_primary(&mut r)
        });
        let mut roles = [info(&mut c, "role"), info(&mut r, "role")];
        roles.sort();
        assert_eq!(roles, ["master", "slave"], "{bytes}: {}", server.log());
        assert_eq!(text(&r.run("GET k")), "v");
    }
}

fn is_linked_or_primary(c: &mut Client) -> bool {
    info(c, "role") == "master" || is_linked(c)
}

/// Takes the connections of who asks, and answers the first requests for the stream so, each on a link of its own; an empty answer
/// breaks the link. What was asked.
fn answers(listener: TcpListener, answers: Vec<String>) -> thread::JoinHandle<Vec<String>> {
    thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a link");
            let patience = Some(Duration::from_secs(30));
            stream.set_read_timeout(patience).expect("a socket");
            let (mut parser, mut bytes) = (resp::Parser::new(), Vec::new());
            loop {
                let mut argv: Vec<&[u8]> = Vec::new();
                let limits = resp::Limits::default();
                let used = parser.next(&bytes, &limits, &mut argv).expect("a request");
                let Some(used) = used else {
                    let mut more = [0; 512];
                    match stream.read(&mut more).expect("more comes") {
                        0 => panic!("it has left"),
                        n => bytes.extend_from_slice(&more[..n]),
                    }
                    continue;
                };
                let words: Vec<_> = argv.iter().map(|a| String::from_utf8_lossy(a)).collect();
                let line = words.join(" ");
                bytes.drain(..used);
                if line.starts_with("PSYNC") {
                    asked.push(line);
                    let _ = stream.write_all(answer.as_bytes());
                    break;
                }
                stream.write_all(b"+OK\r\n").expect("it is there");
            }
        }
        asked
    })
}

/// Who was asked to take over and did not answer may be the primary: until that is known, the old one is none.
#[test]
fn nobody_is_the_primary_while_another_may_be() {
    const REPLICA: &str = "-NOMASTERLINK Can't SYNC while not connected with my master\r\n";
    const NEW: &str = "+CONTINUE 0123456789abcdef0123456789abcdef01234567\r\n";
    let silence = String::new;
    for (said, role, asked) in [
        (vec![silence(), NEW.into()], "slave", "F-"),
        (vec![silence(), REPLICA.into(), NEW.into()], "slave", "F-F"),
        (
            vec![
                silence(),
                REPLICA.into(),
                "-ERR no\r\n".into(),
                REPLICA.into(),
            ],
            "master",
            "F-F-",
        ),
        (vec!["-ERR no\r\n".into()], "master", "F"),
    ] {
        let server = primary(&[]);
        let mut c = server.connect();
        let (listener, mut one, offset) = online(&server, &mut c);
        let waits = said.len() > 1;
        let target = answers(listener, said);
        one.ack(offset + 1000);
        check(&mut c, "FAILOVER", "OK");
        if waits {
            eventually("it is a replica", || info(&mut c, "role") == "slave");
            eventually("it says so", || {
                show(&c.run("SET k v")).starts_with("-READONLY")
            });
        }
        let lines = target.join().expect("no panic");
        eventually("it is over", || {
            info(&mut c, "master_failover_state") == "no-failover"
        });
        assert_eq!(info(&mut c, "role"), role, "{}", server.log());
        let kinds: String = lines
            .iter()
            .map(|line| if line.ends_with("FAILOVER") { 'F' } else { '-' })
            .collect();
        assert_eq!(kinds, asked);
    }
}

/// A replica that has what the primary has: where it says that it listens, itself, and how far it is.
fn online(server: &Server, c: &mut Client) -> (TcpListener, Pretender, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener
        .local_addr()
        .expect("an address")
        .port()
        .to_string();
    let mut one = Pretender::to(server, &[EOF, &["REPLCONF", "listening-port", &port]]);
    let (_, offset) = one.take_copy();
    one.ack(offset);
    eventually("it is online", || c.run("WAIT 1 10") == Value::Int(1));
    (listener, one, offset)
}

/// As long as nobody answers, it is given up by hand alone.
#[test]
fn a_failover_that_nobody_knows_the_end_of_is_given_up_by_hand() {
    let server = primary(&[]);
    let mut c = server.connect();
    let (listener, mut one, offset) = online(&server, &mut c);
    one.ack(offset + 1000);
    let target = answers(listener, vec![String::new()]);
    check(&mut c, "FAILOVER", "OK");
    assert!(target.join().expect("no panic")[0].ends_with("FAILOVER"));
    eventually("it says so", || {
        show(&c.run("SET k v")).starts_with("-READONLY")
    });
    check(
        &mut c,
        "REPLICAOF NO ONE",
        "-ERR REPLICAOF not allowed while failing over.",
    );
    assert_eq!(
        info(&mut c, "master_failover_state"),
        "failover-in-progress"
    );
    check(&mut c, "FAILOVER ABORT", "OK");
    eventually("it is the primary", || info(&mut c, "role") == "master");
    eventually("it takes changes", || show(&c.run("SET k v")) == "OK");
}

/// Whoever is told that it is given up can rely on that: it is over, this server is the primary, and changes go on.
#[test]
fn a_failover_is_over_when_its_abort_is_answered() {
    let server = primary(&[]);
    let mut c = server.connect();
    let (_listener, _one, _) = online(&server, &mut c);
    for round in 0..40 {
        // The replica never has this.
        c.call(&["SET", "k", &round.to_string()]);
        check(&mut c, "FAILOVER", "OK");
        if round % 2 == 0 {
            check(&mut c, "FAILOVER ABORT", "OK");
            assert_eq!(info(&mut c, "master_failover_state"), "no-failover");
        } else {
            c.run("MULTI");
            c.run("FAILOVER ABORT");
            c.run("INFO replication");
            let replies = show(&c.run("EXEC"));
            assert!(
                replies.contains("master_failover_state:no-failover"),
                "{replies}"
            );
        }
        check(&mut c, "FAILOVER ABORT", "-ERR No failover in progress.");
        check(&mut c, "SET k v", "OK");
    }
}

/// Who is told in a transaction to follow somebody is a replica from then on, though that is not done before the transaction's end: no
/// failover begins in between and leaves a primary that takes no changes.
#[test]
fn no_failover_begins_behind_a_replicaof_of_the_same_transaction() {
    let mut servers: Vec<Server> = every_peer("a FAILOVER behind a REPLICAOF")
        .iter()
        .map(|peer| real(peer, &[]))
        .collect();
    servers.push(primary(&[]));
    for server in servers {
        let mut c = server.connect();
        let (_listener, _one, _) = online(&server, &mut c);
        // The replica never has this.
        check(&mut c, "SET k v", "OK");
        c.run("MULTI");
        c.run("REPLICAOF 127.0.0.1 1");
        c.run("FAILOVER");
        let refused = "[OK, -ERR FAILOVER is not valid when server is a replica.]";
        assert_eq!(show(&c.run("EXEC")), refused, "{}", server.name());
        check(&mut c, "FAILOVER ABORT", "-ERR No failover in progress.");
        assert_eq!(info(&mut c, "role"), "slave", "{}", server.name());
        check(&mut c, "REPLICAOF NO ONE", "OK");
        check(&mut c, "SET k v", "OK");
        check(&mut c, "CONFIG GET replicaof", "[\"replicaof\", \"\"]");
        // Nor the other way round.
        let (_listener, _one, _) = online(&server, &mut c);
        check(&mut c, "SET k v", "OK");
        c.run("MULTI");
        c.run("FAILOVER");
        c.run("REPLICAOF 127.0.0.1 1");
        let refused = "[OK, -ERR REPLICAOF not allowed while failing over.]";
        assert_eq!(show(&c.run("EXEC")), refused, "{}", server.name());
        check(&mut c, "FAILOVER ABORT", "OK");
        check(&mut c, "SET k v", "OK");
        check(&mut c, "CONFIG GET replicaof", "[\"replicaof\", \"\"]");
    }
}

/// At any moment, also when the replica has been asked already: then it may have taken over, and there are two primaries, as with
/// real servers.
#[test]
fn a_failover_is_given_up_at_any_moment_or_done() {
    let server = primary(&[]);
    let port = server.port().to_string();
    let follower = Server::redpoll_with(&["--replicaof", "127.0.0.1", &port]);
    let (mut c, mut r) = (server.connect(), follower.connect());
    let (mut given_up, mut done) = (0, 0);
    for round in 0_u32..60 {
        eventually("it follows", || {
            // It may have heard only now that it was to take over.
            if info(&mut r, "role") == "master" {
                r.call(&["REPLICAOF", "127.0.0.1", &port]);
            }
            c.run("WAIT 1 10") == Value::Int(1)
        });
        check(&mut c, "FAILOVER", "OK");
        // It takes some milliseconds.
        thread::sleep(Duration::from_micros(u64::from(round) * 100));
        match &*show(&c.run("FAILOVER ABORT")) {
            "OK" => {
                given_up += 1;
                assert_eq!(info(&mut c, "master_failover_state"), "no-failover");
                assert_eq!(info(&mut c, "role"), "master", "{}", server.log());
                check(&mut c, "SET k v", "OK");
            }
            "-ERR No failover in progress." => {
                done += 1;
                assert_eq!(info(&mut c, "master_failover_state"), "no-failover");
                assert_eq!(info(&mut c, "role"), "slave", "{}", server.log());
                check(&mut c, "REPLICAOF NO ONE", "OK");
            }
            other => panic!("{other}"),
        }
        // Otherwise it rests for a second before it links itself anew.
        check(&mut r, "REPLICAOF NO ONE", "OK");
    }
    assert!(given_up > 0, "{done} were done");
}
