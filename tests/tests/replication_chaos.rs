//! A primary, a replica with a replica of its own, and one more, under a load of all types, while links are cut, servers are killed and
//! begin again, and the roles change. Whenever all is quiet they have the same data, and what a replica has acknowledged is there
//! when it becomes the primary.
//!
//! A failure prints the seed to set as `REDPOLL_SEED`; what threads do meanwhile does not follow from it. `REDPOLL_CHAOS_SECONDS` says
//! for how long.

use redpoll_tests::check::show;
use redpoll_tests::peers::Peer;
use redpoll_tests::replication::{DEBUG, Load, Proxy, Stopping, contents, in_sync, info, same};
use redpoll_tests::rng::Rng;
use redpoll_tests::server::{Folder, free_port};
use redpoll_tests::{Client, Peers, Server, env_number, eventually, skip};
use resp::Value;
use rustix::process::Signal;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What runs on a port, again and again in the same folder.
struct Node {
    port: u16,
    folder: Folder,
    /// None: Redpoll.
    peer: Option<Peer>,
    args: Vec<&'static str>,
    server: Option<Server>,
    /// The link to whom it follows, and who that is.
    link: Proxy,
    follows: Option<usize>,
}

impl Node {
    fn new(peer: Option<&Peer>, args: &[&'static str]) -> Node {
        let port = free_port();
        let mut node = Node {
            port,
            folder: Folder::new(),
            peer: peer.cloned(),
            args: args.to_vec(),
            server: None,
            link: Proxy::to_addr(SocketAddr::from(([127, 0, 0, 1], port))),
            follows: None,
        };
        node.start(false);
        node
    }

    /// `as_replica`: it begins as the replica that it is, else as a primary for a moment.
    fn start(&mut self, as_replica: bool) {
        let dir = ["--dir", self.folder.text()];
        let small = [
            "--repl-backlog-size",
            "64kb",
            "--repl-diskless-sync-delay",
            "0",
        ];
        let upstream = format!("127.0.0.1 {}", self.link.port());
        let replica = ["--replicaof", &upstream];
        let replica = if as_replica { &replica[..] } else { &[] };
        let args = [&DEBUG[..], &dir, &small, &self.args, replica].concat();
        let server = match &self.peer {
            None => Server::redpoll_on(self.port, &args),
            Some(peer) => Server::peer_on(self.port, peer, &args),
        };
        self.server = Some(server);
        let loaded = || !matches!(self.client().call(&["DBSIZE"]), Value::Error(_));
        eventually("its data set is loaded", loaded);
        if self.follows.is_some() && !as_replica {
            self.follow_again();
        }
    }

    fn client(&self) -> Client {
        self.server.as_ref().expect("it runs").connect()
    }

    /// Kills it, or has it end by itself.
    fn stop(&mut self, kill: bool) {
        let mut server = self.server.take().expect("it runs");
        server.signal(if kill { Signal::KILL } else { Signal::TERM });
        server.wait();
    }

    fn follow_again(&self) {
        let port = self.link.port().to_string();
        // While a copy is loaded it is refused.
        eventually("it follows", || {
            let reply = self.client().call(&["REPLICAOF", "127.0.0.1", &port]);
            matches!(reply, Value::Simple(_))
        });
    }
}

/// What the threads of clients are told.
struct Shared {
    /// Where the primary is.
    primary: AtomicU16,
    ports: Vec<u16>,
    /// All are to end.
    over: AtomicBool,
    /// Held by each who writes, and by who wants quiet.
    writing: Vec<Mutex<()>>,
    sent: AtomicU64,
}

impl Shared {
    /// Nobody writes until that is let go.
    fn hold_writers(&self) -> Vec<MutexGuard<'_, ()>> {
        let writers = self.writing.iter();
        writers.map(|w| w.lock().expect("no panic")).collect()
    }
}

fn to(port: u16) -> std::io::Result<Client> {
    let client = Client::try_connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
    client.set_read_timeout(Duration::from_secs(20))?;
    Ok(client)
}

/// Writes to whoever is the primary until it is over.
fn write(shared: &Shared, number: usize, seed: u64) {
    // Asked of a server that is a replica meanwhile it notes the count there alone, as on a real one.
    let mut load = Load::new(seed).without("PFCOUNT");
    while !shared.over.load(SeqCst) {
        let Ok(writing) = shared.writing[number].lock() else {
            return;
        };
        let result = to(shared.primary.load(SeqCst)).and_then(|mut client| {
            for _ in 0..20 {
                load.try_send(&mut client, 10)?;
                shared.sent.fetch_add(10, SeqCst);
                if shared.over.load(SeqCst) {
                    break;
                }
            }
            Ok(())
        });
        drop(writing);
        if result.is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::yield_now();
    }
}

/// Reads from all of them until it is over. What they answer does not matter.
fn read(shared: &Shared, seed: u64) {
    let mut rng = Rng::new(seed);
    while !shared.over.load(SeqCst) {
        let _ = to(*rng.pick(&shared.ports)).and_then(|mut client| {
            for line in [
                "SCAN 0",
                "DBSIZE",
                "RANDOMKEY",
                "GET script:count",
                "LRANGE script:list 0 9",
                "INFO replication",
            ] {
                let words: Vec<&str> = line.split(' ').collect();
                client.try_call(&words)?;
            }
            Ok(())
        });
        std::thread::sleep(Duration::from_millis(2));
    }
}

struct Chaos {
    nodes: Vec<Node>,
    root: usize,
    rng: Rng,
    shared: Arc<Shared>,
    /// Number of the last mark that was written.
    mark: u64,
    past: Vec<String>,
    /// Both sides of all links are Redpoll.
    alone: bool,
}

impl Chaos {
    fn replicas(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|at| *at != self.root)
            .collect()
    }

    fn children(&self) -> Vec<usize> {
        let of_root = |at: &usize| self.nodes[*at].follows == Some(self.root);
        (0..self.nodes.len()).filter(of_root).collect()
    }

    fn note(&mut self, what: String) {
        eprintln!("{what}");
        self.past.push(what);
    }

    fn follow(&mut self, at: usize, whom: usize) {
        let port = self.nodes[whom].port;
        self.nodes[at]
            .link
            .lead_to_addr(SocketAddr::from(([127, 0, 0, 1], port)));
        self.nodes[at].link.open(true);
        self.nodes[at].link.cut();
        self.nodes[at].follows = Some(whom);
        self.nodes[at].follow_again();
    }

    fn becomes_root(&mut self, at: usize) {
        self.root = at;
        self.nodes[at].follows = None;
        self.shared.primary.store(self.nodes[at].port, SeqCst);
    }

    /// Whether the first is in the chain above the second.
    fn is_above(&self, at: usize, below: usize) -> bool {
        let mut next = Some(below);
        while let Some(here) = next {
            if here == at {
                return true;
            }
            next = self.nodes[here].follows;
        }
        false
    }

    fn event(&mut self) {
        let replicas = self.replicas();
        let at = *self.rng.pick(&replicas);
        match self.rng.below(20) {
            0 | 1 => {
                self.note(format!("the link of {at} is cut"));
                self.nodes[at].link.cut();
            }
            2 => {
                let bytes = self.rng.below(40_000) as u64;
                self.note(format!("the link of {at} is cut after {bytes} bytes"));
                self.nodes[at].link.cut_after(bytes);
                std::thread::sleep(Duration::from_millis(100));
                self.nodes[at].link.open(true);
            }
            3 => {
                self.note(format!("{at} has no link for some time"));
                self.nodes[at].link.open(false);
                self.nodes[at].link.cut();
                let ms = self.rng.below(300) as u64;
                std::thread::sleep(Duration::from_millis(ms));
                self.nodes[at].link.open(true);
            }
            4 | 5 => self.restart(at),
            6 => self.restart(self.root),
            7 => {
                let choices: Vec<usize> = (0..self.nodes.len())
                    .filter(|whom| !self.is_above(at, *whom))
                    .collect();
                let whom = *self.rng.pick(&choices);
                self.note(format!("{at} follows {whom}"));
                self.follow(at, whom);
            }
            8 => self.fail_over(),
            9 => self.promote_behind_a_kill(),
            10 => {
                self.note(format!("{at} is a primary for a moment"));
                let mut client = self.nodes[at].client();
                eventually("it follows nobody", || {
                    show(&client.call(&["REPLICAOF", "NO", "ONE"])) == "OK"
                });
                let mut load = Load::new(self.rng.next_u64());
                load.send(&mut client, 30);
                let whom = self.nodes[at].follows.expect("a replica follows somebody");
                self.follow(at, whom);
            }
            11 => {
                self.note(format!("{at} is written to"));
                let mut client = self.nodes[at].client();
                client.call(&["CONFIG", "SET", "replica-read-only", "no"]);
                for n in 0..20 {
                    let ms = (1 + self.rng.below(50)).to_string();
                    client.call(&["SET", &format!("own:{n}"), "v", "PX", &ms]);
                    // Together, since the primary swaps databases.
                    let hash = format!("own:h{n}");
                    client.call(&["MULTI"]);
                    client.call(&["HSET", &hash, "f", "v"]);
                    client.call(&["PEXPIRE", &hash, &ms]);
                    client.call(&["EXEC"]);
                }
                client.call(&["CONFIG", "SET", "replica-read-only", "yes"]);
            }
            12 => {
                let how = if self.rng.chance(50) {
                    "swapdb"
                } else {
                    "disabled"
                };
                self.set(at, &["repl-diskless-load", how]);
            }
            13 => {
                let size = *self.rng.pick(&["16kb", "64kb", "1mb", "10mb"]);
                let any = self.rng.below(self.nodes.len());
                self.set(any, &["repl-backlog-size", size]);
            }
            14 => {
                let how = if self.rng.chance(50) { "yes" } else { "no" };
                let any = self.rng.below(self.nodes.len());
                self.set(any, &["repl-diskless-sync", how]);
            }
            15 => {
                let any = self.rng.below(self.nodes.len());
                let what: &[&str] = if self.rng.chance(50) {
                    &["BGREWRITEAOF"]
                } else {
                    &["BGSAVE", "SCHEDULE"]
                };
                self.note(format!("{any}: {}", what.join(" ")));
                self.nodes[any].client().call(what);
            }
            16 => {
                let any = self.rng.below(self.nodes.len());
                let kind = *self.rng.pick(&["replica", "master", "normal"]);
                self.note(format!("clients of {any} are killed: {kind}"));
                self.nodes[any]
                    .client()
                    .call(&["CLIENT", "KILL", "TYPE", kind]);
            }
            17 => {
                self.note("the primary pauses".into());
                self.nodes[self.root]
                    .client()
                    .call(&["CLIENT", "PAUSE", "60", "WRITE"]);
            }
            _ => {
                self.note("nothing".into());
            }
        }
    }

    fn set(&mut self, at: usize, what: &[&str]) {
        self.note(format!("{at}: CONFIG SET {}", what.join(" ")));
        let reply = self.nodes[at]
            .client()
            .call(&[&["CONFIG", "SET"], what].concat());
        assert_eq!(show(&reply), "OK");
    }

    fn restart(&mut self, at: usize) {
        let kill = self.rng.chance(70);
        self.note(format!("{at} begins again, killed: {kill}"));
        self.nodes[at].stop(kill);
        let ms = self.rng.below(100) as u64;
        std::thread::sleep(Duration::from_millis(ms));
        let as_replica = self.nodes[at].follows.is_some() && self.rng.chance(50);
        self.nodes[at].start(as_replica);
    }

    /// Hands the role to a replica, and takes note of who has it then.
    fn fail_over(&mut self) {
        let children = self.children();
        if children.is_empty() {
            return;
        }
        let to = *self.rng.pick(&children);
        self.note(format!("failover to {to}"));
        let mut old = self.nodes[self.root].client();
        let port = self.nodes[to].port.to_string();
        let reply = old.call(&["FAILOVER", "TO", "127.0.0.1", &port, "TIMEOUT", "3000"]);
        if matches!(reply, Value::Error(_)) {
            // It is not connected, or not known yet.
            self.note(format!("no failover: {}", show(&reply)));
            return;
        }
        let before = self.root;
        eventually("the failover has ended", || {
            info(&mut old, "master_failover_state") == "no-failover"
        });
        if info(&mut old, "role") == "slave" {
            self.becomes_root(to);
            eventually("it has the role", || {
                info(&mut self.nodes[to].client(), "role") == "master"
            });
            self.follow(before, to);
        } else {
            self.note("the failover was given up".into());
        }
    }

    /// Kills the primary and has the replica that is furthest take its place: what one has acknowledged is there.
    fn promote_behind_a_kill(&mut self) {
        // Others may have been on their own before, with what is nobody else's.
        let is_up = |at: &usize| info(&mut self.nodes[*at].client(), "master_link_status") == "up";
        let children: Vec<usize> = self.children().into_iter().filter(is_up).collect();
        if children.is_empty() {
            return;
        }
        self.mark += 1;
        let mark = self.mark.to_string();
        let mut client = self.nodes[self.root].client();
        // Which the load neither writes to nor swaps with another.
        client.call(&["SELECT", "9"]);
        let set = client.call(&["SET", "mark", &mark]);
        let acknowledged = show(&client.call(&["WAIT", "1", "1000"])) != "0" && show(&set) == "OK";
        let old = self.root;
        self.note(format!(
            "{old} is killed behind mark {mark}, acknowledged: {acknowledged}"
        ));
        self.nodes[old].stop(true);
        // What has come is carried out before there is no primary any more.
        let mut furthest = (0, children[0]);
        for at in children {
            let mut client = self.nodes[at].client();
            eventually("it knows of its loss", || {
                info(&mut client, "master_link_status") == "down"
            });
            let offset = info(&mut client, "slave_repl_offset")
                .parse::<u64>()
                .unwrap_or(0);
            furthest = furthest.max((offset, at));
        }
        let new = furthest.1;
        let mut client = self.nodes[new].client();
        eventually("it follows nobody", || {
            show(&client.call(&["REPLICAOF", "NO", "ONE"])) == "OK"
        });
        client.call(&["SELECT", "9"]);
        let there = show(&client.call(&["GET", "mark"]));
        if acknowledged {
            assert_eq!(there, format!("\"{mark}\""), "{new} has acknowledged it");
        }
        self.becomes_root(new);
        for at in self.replicas() {
            if at != old && self.nodes[at].follows == Some(old) {
                self.follow(at, new);
            }
        }
        // It begins again as the replica that it is to be.
        self.nodes[old].follows = None;
        self.nodes[old].start(false);
        self.follow(old, new);
    }

    /// Nobody writes, and all have the same.
    fn quiet(&mut self) {
        let shared = self.shared.clone();
        let held = shared.hold_writers();
        let mut root = self.nodes[self.root].client();
        // What is there for a moment only has gone.
        std::thread::sleep(Duration::from_millis(60));
        let mut below = vec![self.root];
        while let Some(whom) = below.pop() {
            for at in self.replicas() {
                if self.nodes[at].follows == Some(whom) {
                    self.nodes[at].link.open(true);
                    in_sync(&mut root, &mut self.nodes[at].client());
                    below.push(at);
                }
            }
        }
        for at in self.replicas() {
            self.equal(at);
            if self.nodes[at].peer.is_none() {
                let refused = info(&mut self.nodes[at].client(), "unexpected_error_replies");
                assert_eq!(
                    refused, "0",
                    "commands of the stream that {at} refused, behind {:#?}",
                    self.past
                );
            }
        }
        drop(held);
    }

    fn equal(&self, at: usize) {
        let mut clients = [self.root, at].map(|at| self.nodes[at].client());
        if self.alone {
            let mut digest = || {
                clients
                    .each_mut()
                    .map(|c| show(&c.call(&["DEBUG", "DIGEST"])))
            };
            let until = Instant::now() + Duration::from_secs(5);
            while Instant::now() < until {
                let [one, other] = digest();
                if one == other {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let [one, other] = &mut clients;
        same(
            &format!("{} and {at}, behind {:#?}", self.root, self.past),
            one,
            other,
        );
        assert!(!self.alone, "digests differ, behind {:#?}", self.past);
    }

    /// The primary begins again with what it had, be it killed or not.
    fn same_behind_a_restart(&mut self) {
        let shared = self.shared.clone();
        let held = shared.hold_writers();
        let mut client = self.nodes[self.root].client();
        // What expires, or what its clients did, is written down.
        let logged = show(&client.call(&["CONFIG", "GET", "appendonly"])).contains("yes");
        client.call(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
        let kill = match logged {
            true => {
                client.call(&["WAITAOF", "1", "0", "5000"]);
                self.rng.chance(50)
            }
            false => {
                // Beside one that is being written it is refused.
                eventually("it is saved", || show(&client.call(&["SAVE"])) == "OK");
                true
            }
        };
        let before = contents(&mut client);
        self.note(format!(
            "{} begins again, and is to have the same, killed: {kill}",
            self.root
        ));
        self.nodes[self.root].stop(kill);
        self.nodes[self.root].start(false);
        let after = contents(&mut self.nodes[self.root].client());
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("it is later");
        for (key, value) in &before {
            let until = value
                .rsplit_once(" until ")
                .and_then(|(_, ms)| ms.parse::<i64>().ok());
            // Or did while it was looked at.
            let has_expired = until.is_some_and(|ms| ms != -1 && ms <= now.as_millis() as i64);
            let there = after.get(key);
            assert!(
                there == Some(value) || has_expired,
                "{key}: {value}, and then {there:?}, behind {:#?}",
                self.past
            );
        }
        let new: Vec<&String> = after
            .keys()
            .filter(|key| !before.contains_key(*key))
            .collect();
        assert!(new.is_empty(), "{new:?}, behind {:#?}", self.past);
        drop(held);
    }
}

/// A chain of the first three, and the fourth beside the second.
fn chaos(nodes: Vec<Node>, alone: bool, seconds: u64) {
    let seed = match std::env::var("REDPOLL_SEED").as_deref() {
        Ok("random") => u64::from(std::process::id()) << 32 | u64::from(free_port()),
        _ => env_number("REDPOLL_SEED", 1),
    };
    eprintln!("REDPOLL_SEED={seed}");
    let shared = Arc::new(Shared {
        primary: AtomicU16::new(nodes[0].port),
        ports: nodes.iter().map(|node| node.port).collect(),
        over: AtomicBool::new(false),
        writing: (0..2).map(|_| Mutex::new(())).collect(),
        sent: AtomicU64::new(0),
    });
    let mut chaos = Chaos {
        nodes,
        root: 0,
        rng: Rng::new(seed),
        shared: shared.clone(),
        mark: 0,
        past: Vec::new(),
        alone,
    };
    for at in 1..chaos.nodes.len() {
        chaos.follow(at, [0, 0, 1, 0][at]);
    }
    std::thread::scope(|scope| {
        let shared = &*shared;
        let _stop = Stopping(&shared.over);
        for number in 0..shared.writing.len() {
            scope.spawn(move || write(shared, number, seed + number as u64));
        }
        scope.spawn(move || read(shared, seed));
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut rounds = 0;
        while Instant::now() < until || rounds < 2 {
            rounds += 1;
            for _ in 0..2 + chaos.rng.below(8) {
                let ms = chaos.rng.below(250) as u64;
                std::thread::sleep(Duration::from_millis(ms));
                chaos.event();
            }
            chaos.quiet();
            if chaos.alone && chaos.rng.chance(30) {
                chaos.same_behind_a_restart();
            }
        }
        chaos.note(format!(
            "{rounds} rounds, {} commands",
            shared.sent.load(SeqCst)
        ));
        assert!(shared.sent.load(SeqCst) > 100, "somebody wrote");
    });
}

fn seconds() -> u64 {
    env_number("REDPOLL_CHAOS_SECONDS", 20)
}

const LOG: [&str; 2] = ["--appendonly", "yes"];

#[test]
fn all_have_the_same_whatever_happens_meanwhile() {
    let nodes = vec![
        Node::new(None, &LOG),
        Node::new(None, &["--appendonly", "yes", "--appendfsync", "always"]),
        Node::new(None, &["--save", "1 100"]),
        Node::new(
            None,
            &["--appendonly", "yes", "--repl-diskless-load", "swapdb"],
        ),
    ];
    chaos(nodes, true, seconds());
}

/// The same with a real server among them.
fn with_a_real_one(test: &str, find: impl Fn(Peers) -> Option<Peer>) {
    let Some(peer) = find(Peers::find()) else {
        return skip(test, "no such server");
    };
    let nodes = vec![
        Node::new(None, &LOG),
        Node::new(Some(&peer), &LOG),
        Node::new(None, &["--save", "1 100"]),
    ];
    chaos(nodes, false, seconds() / 2);
}

#[test]
fn with_redis_among_them() {
    with_a_real_one("with_redis_among_them", |peers| peers.redis8_6);
}

#[test]
fn with_valkey_among_them() {
    with_a_real_one("with_valkey_among_them", |peers| peers.valkey);
}
