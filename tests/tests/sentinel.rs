//! Unmodified Sentinels of real servers watch Redpoll: they find its replicas and each other, promote one when the primary is gone,
//! and make the old primary a replica when it is back. Clients that ask a Sentinel for the primary go on.

use redpoll_tests::check::show;
use redpoll_tests::cut::Cable;
use redpoll_tests::peers::Peer;
use redpoll_tests::replication::{in_sync, info, same};
use redpoll_tests::{Client, Peers, Server, eventually, program};
use resp::Value;
use rustix::process::Signal;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

const NAME: &str = "mymaster";
const DEBUG: [&str; 2] = ["--enable-debug-command", "yes"];

/// Three Sentinels that watch the server on this port.
fn watch(peer: &Peer, port: u16) -> Vec<Server> {
    let configuration = format!(
        "sentinel monitor {NAME} 127.0.0.1 {port} 2\n\
         sentinel down-after-milliseconds {NAME} 1000\n\
         sentinel failover-timeout {NAME} 6000\n\
         sentinel parallel-syncs {NAME} 2\n"
    );
    let sentinels: Vec<Server> = (0..3)
        .map(|_| Server::sentinel(peer, &configuration))
        .collect();
    for sentinel in &sentinels {
        // They look around every two and every ten seconds otherwise, and do nothing for thirty when the machine has stood still for two.
        let often = [
            "INFO-PERIOD",
            "500",
            "PUBLISH-PERIOD",
            "500",
            "TILT-PERIOD",
            "1000",
        ];
        let reply = sentinel
            .connect()
            .call(&[&["SENTINEL", "DEBUG"], &often[..]].concat());
        assert_eq!(show(&reply), "OK");
    }
    sentinels
}

/// A number that a Sentinel has of the primary.
fn number(sentinel: &mut Client, field: &str) -> usize {
    let Value::Array(all) = sentinel.call(&["SENTINEL", "MASTER", NAME]) else {
        return 0;
    };
    let texts: Vec<String> = all
        .iter()
        .map(|v| show(v).trim_matches('"').to_owned())
        .collect();
    let at = texts.iter().position(|text| text == field);
    at.and_then(|at| texts.get(at + 1)?.parse().ok())
        .unwrap_or(0)
}

fn all_are_known(sentinels: &[Server], replicas: usize) {
    eventually("the sentinels know the replicas and each other", || {
        sentinels.iter().all(|sentinel| {
            let mut client = sentinel.connect();
            number(&mut client, "num-slaves") == replicas
                && number(&mut client, "num-other-sentinels") == sentinels.len() - 1
        })
    });
}

/// INFO replication; nothing if a Sentinel has closed all connections at that moment, as it does to those that it reconfigures.
fn replication_of(server: &Server) -> String {
    let reply = Client::try_connect(server.addr())
        .and_then(|mut client| client.try_call(&["INFO", "replication"]));
    match reply {
        Ok(Value::Bulk(text)) => String::from_utf8_lossy(&text).into_owned(),
        _ => String::new(),
    }
}

/// Where the primary is, as a Sentinel says.
fn primary_port(sentinel: SocketAddr) -> Option<u16> {
    let reply = Client::try_connect(sentinel)
        .and_then(|mut client| client.try_call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]));
    match reply.ok()? {
        Value::Array(all) => show(all.get(1)?).trim_matches('"').parse().ok(),
        _ => None,
    }
}

/// A client that writes numbers and keeps those that a replica has, at whichever server is the primary.
struct Writer {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    thread: thread::JoinHandle<(Vec<usize>, Duration)>,
}

impl Writer {
    fn start(sentinel: SocketAddr) -> Writer {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let thread = {
            let (stop, count) = (stop.clone(), Arc::clone(&acknowledged));
            thread::spawn(move || write(sentinel, &stop, &count))
        };
        Writer {
            stop,
            acknowledged,
            thread,
        }
    }

    /// Waits until so many more writes are acknowledged.
    fn goes_on(&self, more: usize) {
        let until = self.acknowledged.load(SeqCst) + more;
        eventually("writes are acknowledged", || {
            self.acknowledged.load(SeqCst) >= until
        });
    }

    /// The numbers that were acknowledged, and the longest time without one.
    fn end(self) -> (Vec<usize>, Duration) {
        self.stop.store(true, SeqCst);
        self.thread.join().expect("no panic")
    }
}

fn write(sentinel: SocketAddr, stop: &AtomicBool, count: &AtomicUsize) -> (Vec<usize>, Duration) {
    let (mut kept, mut client) = (Vec::new(), None);
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    let mut next = 0;
    while !stop.load(SeqCst) {
        if client.is_none() {
            let connected = primary_port(sentinel)
                .map(|port| Client::try_connect((Ipv4Addr::LOCALHOST, port).into()));
            client = connected.and_then(Result::ok);
        }
        next += 1;
        let written = client.as_mut().and_then(|client: &mut Client| {
            client.set_read_timeout(Duration::from_millis(1500)).ok()?;
            let reply = client.try_call(&["SET", &format!("key:{next}"), &next.to_string()]);
            if !matches!(reply.ok()?, Value::Simple(_)) {
                return None;
            }
            match client.try_call(&["WAIT", "1", "1000"]).ok()? {
                Value::Int(replicas) => Some(replicas),
                _ => None,
            }
        });
        match written {
            Some(1..) => {
                kept.push(next);
                count.fetch_add(1, SeqCst);
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            Some(_) => {}
            None => {
                client = None;
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
    (kept, longest)
}

/// What a Sentinel's users do to a primary.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Ends it at once; it comes back on its port, with nothing.
    Kill,
    /// It stands still for some seconds, and goes on as if nothing had been.
    Pause,
}

/// A primary with two replicas has some trouble: another takes over, what was acknowledged is there, the old one follows.
fn survives(peer: Option<Peer>, trouble: Trouble, test: &str) {
    let Some(peer) = peer else {
        if Peers::find().or_skip(test).is_some() {
            redpoll_tests::skip(test, "this Sentinel was not found");
        }
        return;
    };
    let primary = Server::redpoll_with(&DEBUG);
    let port = primary.port();
    let replica_of = format!("127.0.0.1 {port}");
    let follows = [&DEBUG[..], &["--replicaof", &replica_of]].concat();
    let replicas = [
        Server::redpoll_with(&follows),
        Server::redpoll_with(&follows),
    ];
    for replica in &replicas {
        in_sync(&mut primary.connect(), &mut replica.connect());
    }
    let sentinels = watch(&peer, port);
    all_are_known(&sentinels, 2);
    let writer = Writer::start(sentinels[0].addr());
    writer.goes_on(50);
    let mut old = Some(primary);
    match trouble {
        Trouble::Kill => old = None,
        Trouble::Pause => old.iter().for_each(|old| old.signal(Signal::STOP)),
    }
    eventually("the sentinels have another primary", || {
        sentinels
            .iter()
            .all(|sentinel| primary_port(sentinel.addr()).is_some_and(|now| now != port))
    });
    writer.goes_on(50);
    match trouble {
        Trouble::Kill => old = Some(Server::redpoll_on(port, &DEBUG)),
        Trouble::Pause => old.iter().for_each(|old| old.signal(Signal::CONT)),
    }
    let old = old.expect("it is back");
    eventually("the old primary follows the new one", || {
        replication_of(&old).contains("role:slave")
            && replication_of(&old).contains("master_link_status:up")
    });
    writer.goes_on(50);
    let (kept, longest) = writer.end();
    println!(
        "{} {}: {longest:?} without a write",
        peer.name, peer.version
    );
    let now = primary_port(sentinels[0].addr()).expect("a primary");
    let new = replicas
        .iter()
        .find(|replica| replica.port() == now)
        .expect("one of the replicas took over");
    let mut client = new.connect();
    assert_eq!(info(&mut client, "role"), "master");
    for number in &kept {
        let value = client.call(&["GET", &format!("key:{number}")]);
        assert_eq!(
            value,
            Value::Bulk(number.to_string().into_bytes()),
            "what WAIT 1 acknowledged: key:{number}"
        );
    }
    for other in replicas.iter().chain([&old]).filter(|s| s.port() != now) {
        in_sync(&mut client, &mut other.connect());
        same(
            "of the new primary and another",
            &mut client,
            &mut other.connect(),
        );
    }
}

#[test]
fn sentinel_of_redis_7_replaces_a_primary_that_is_killed() {
    let peer = Peers::find().redis7;
    survives(
        peer,
        Trouble::Kill,
        "sentinel_of_redis_7_replaces_a_primary_that_is_killed",
    );
}

#[test]
fn sentinel_of_valkey_replaces_a_primary_that_is_killed() {
    let peer = Peers::find().valkey;
    survives(
        peer,
        Trouble::Kill,
        "sentinel_of_valkey_replaces_a_primary_that_is_killed",
    );
}

#[test]
fn sentinel_of_redis_8_replaces_a_primary_that_is_killed() {
    let peer = Peers::find().redis8_6;
    survives(
        peer,
        Trouble::Kill,
        "sentinel_of_redis_8_replaces_a_primary_that_is_killed",
    );
}

#[test]
fn sentinel_of_redis_8_replaces_a_primary_that_stands_still() {
    let peer = Peers::find().redis8_6;
    survives(
        peer,
        Trouble::Pause,
        "sentinel_of_redis_8_replaces_a_primary_that_stands_still",
    );
}

/// A primary is cut off from its replicas and all Sentinels, but not from a client that goes on to write there: what either side was
/// told to be on a replica is there afterwards, the client is refused in the end (`min-replicas-to-write`), and the others go on.
fn survives_being_cut_off(peer: Option<Peer>, test: &str) {
    let Some(peer) = Peers::find().or_skip(test).and(peer) else {
        return;
    };
    let bound = [
        "--min-replicas-to-write",
        "1",
        "--min-replicas-max-lag",
        "3",
    ];
    let usual = [&DEBUG[..], &bound].concat();
    let primary = Server::redpoll_with(&usual);
    // Everybody but that client knows it by this address.
    let cable = Cable::to(primary.addr());
    let port = cable.port();
    let announced = ["CONFIG", "SET", "replica-announce-port", &port.to_string()];
    assert_eq!(show(&primary.connect().call(&announced)), "OK");
    let replica_of = format!("127.0.0.1 {port}");
    let follows = [&usual[..], &["--replicaof", &replica_of]].concat();
    let replicas = [
        Server::redpoll_with(&follows),
        Server::redpoll_with(&follows),
    ];
    for replica in &replicas {
        in_sync(&mut primary.connect(), &mut replica.connect());
    }
    let sentinels = watch(&peer, port);
    all_are_known(&sentinels, 2);
    let writer = Writer::start(sentinels[0].addr());
    let (stop, refused) = (AtomicBool::new(false), AtomicBool::new(false));
    let near_count = AtomicUsize::new(0);
    thread::scope(|scope| {
        let near = scope.spawn(|| {
            let (mut kept, mut client) = (Vec::new(), primary.connect());
            for number in 1.. {
                if stop.load(SeqCst) {
                    break;
                }
                let set = ["SET", &format!("near:{number}"), &number.to_string()].map(String::from);
                match client.try_call(&set) {
                    Ok(Value::Simple(_)) => {}
                    Ok(Value::Error(text)) => {
                        refused.fetch_or(text.starts_with("NOREPLICAS"), SeqCst);
                        thread::sleep(Duration::from_millis(5));
                        continue;
                    }
                    // A Sentinel that reconfigures it closes all connections.
                    _ => {
                        client = primary.connect();
                        continue;
                    }
                }
                if let Ok(Value::Int(1..)) = client.try_call(&["WAIT", "1", "300"]) {
                    kept.push(number);
                    near_count.fetch_add(1, SeqCst);
                }
            }
            kept
        });
        writer.goes_on(50);
        eventually("both write", || near_count.load(SeqCst) > 50);
        cable.hold(true);
        eventually("the sentinels have another primary", || {
            sentinels
                .iter()
                .all(|sentinel| primary_port(sentinel.addr()).is_some_and(|now| now != port))
        });
        writer.goes_on(50);
        eventually("who writes on the other side is refused", || {
            refused.load(SeqCst)
        });
        cable.hold(false);
        eventually("the old primary follows the new one", || {
            replication_of(&primary).contains("role:slave")
                && replication_of(&primary).contains("master_link_status:up")
        });
        writer.goes_on(50);
        stop.store(true, SeqCst);
        let near = near.join().expect("no panic");
        let (far, _) = writer.end();
        let now = primary_port(sentinels[0].addr()).expect("a primary");
        let new = replicas.iter().find(|replica| replica.port() == now);
        let mut client = new.expect("one of the replicas took over").connect();
        for (who, kept) in [("near", near), ("key", far)] {
            for number in kept {
                let value = client.call(&["GET", &format!("{who}:{number}")]);
                let expected = Value::Bulk(number.to_string().into_bytes());
                assert_eq!(value, expected, "what WAIT 1 acknowledged: {who}:{number}");
            }
        }
        for other in replicas
            .iter()
            .chain([&primary])
            .filter(|s| s.port() != now)
        {
            in_sync(&mut client, &mut other.connect());
            same(
                "of the new primary and another",
                &mut client,
                &mut other.connect(),
            );
        }
    });
}

#[test]
fn sentinel_of_redis_7_replaces_a_primary_that_is_cut_off() {
    let test = "sentinel_of_redis_7_replaces_a_primary_that_is_cut_off";
    survives_being_cut_off(Peers::find().redis7, test);
}

#[test]
fn sentinel_of_valkey_replaces_a_primary_that_is_cut_off() {
    let test = "sentinel_of_valkey_replaces_a_primary_that_is_cut_off";
    survives_being_cut_off(Peers::find().valkey, test);
}

/// SENTINEL FAILOVER: by hand, with a real primary in front: the way to move that Sentinel's users know.
#[test]
fn sentinel_moves_from_redis_to_redpoll_and_back() {
    let test = "sentinel_moves_from_redis_to_redpoll_and_back";
    let Some(peer) = Peers::find().or_skip(test).and_then(|peers| peers.redis7) else {
        return;
    };
    let redis = Server::peer(&peer, &["--repl-diskless-sync-delay", "0"]);
    let redpoll = Server::redpoll_with(&["--replicaof", &format!("127.0.0.1 {}", redis.port())]);
    redis.connect().run("SET from redis");
    in_sync(&mut redis.connect(), &mut redpoll.connect());
    let sentinels = watch(&peer, redis.port());
    all_are_known(&sentinels, 1);
    let writer = Writer::start(sentinels[0].addr());
    writer.goes_on(20);
    for to in [redpoll.port(), redis.port()] {
        eventually("a failover is taken", || {
            let reply = sentinels[1].connect().call(&["SENTINEL", "FAILOVER", NAME]);
            show(&reply) == "OK"
        });
        eventually("the sentinels have the other primary", || {
            sentinels
                .iter()
                .all(|sentinel| primary_port(sentinel.addr()) == Some(to))
        });
        writer.goes_on(20);
    }
    let (kept, _) = writer.end();
    let mut client = redis.connect();
    in_sync(&mut client, &mut redpoll.connect());
    for number in kept {
        let value = client.call(&["GET", &format!("key:{number}")]);
        assert_ne!(value, Value::Null, "key:{number}");
    }
    assert_eq!(show(&redpoll.connect().run("GET from")), "\"redis\"");
}

/// redis-py's and ioredis's Sentinel support: they find primary and replicas, and go on when another takes over.
#[test]
fn clients_that_ask_a_sentinel_go_on() {
    let test = "clients_that_ask_a_sentinel_go_on";
    let Some(peer) = Peers::find().or_skip(test).and_then(|peers| peers.redis8_6) else {
        return;
    };
    for script in ["sentinel.py", "sentinel.js"] {
        let primary = Server::redpoll();
        let follows = format!("127.0.0.1 {}", primary.port());
        let replica = Server::redpoll_with(&["--replicaof", &follows]);
        in_sync(&mut primary.connect(), &mut replica.connect());
        let sentinels = watch(&peer, primary.port());
        all_are_known(&sentinels, 1);
        let ports: Vec<String> = sentinels.iter().map(|s| s.port().to_string()).collect();
        let running = thread::spawn(move || match script {
            "sentinel.py" => program::python(test, &["redis"], script, &ports),
            _ => program::node(test, &["ioredis"], script, &ports),
        });
        eventually("the client has written something", || {
            running.is_finished() || show(&primary.connect().run("GET written")) != "nil"
        });
        drop(primary);
        running.join().expect("the client's checks pass");
    }
}
