//! What tests of replication need: a random write load of all types, a look at a whole data set, and a link that can be cut.

use crate::client::Client;
use crate::diff::grammar::{Dialect, Grammar};
use crate::diff::rows::{self, Row};
use crate::peers::Peer;
use crate::rng::Rng;
use crate::server::{Folder, Server, eventually};
use resp::Value;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What lets a server be looked into.
pub const DEBUG: [&str; 2] = ["--enable-debug-command", "yes"];

/// A real server that sends copies of its data set at once.
pub fn real(peer: &Peer, args: &[&str]) -> Server {
    let at_once = ["--repl-diskless-sync-delay", "0"];
    Server::peer(peer, &[&DEBUG[..], &at_once, args].concat())
}

/// Random commands that change all types of values.
pub struct Load {
    rng: Rng,
    grammars: BTreeMap<&'static str, Grammar>,
    sent: usize,
    without: &'static str,
}

/// The groups of commands that are drawn from.
const TABLES: [&[Row]; 9] = [
    rows::STRING,
    rows::GENERIC,
    rows::HASH,
    rows::LIST,
    rows::SET_GROUP,
    rows::SORTED_SET,
    rows::STREAM,
    rows::BITMAP,
    rows::HYPERLOGLOG_WHOLE,
];

/// Words that commands begin with which look at more than the data, end the server, or wait.
const NOT: [&str; 17] = [
    "DEBUG",
    "OBJECT",
    "CONFIG",
    "CLIENT",
    "BLPOP",
    "BRPOP",
    "BLMOVE",
    "BZPOP",
    "BLMPOP",
    "BZMPOP",
    "BRPOPLPUSH",
    "XREAD",
    "SELECT",
    "SHUTDOWN",
    "WAIT",
    // Of what this does, versions of the real servers differ.
    "XSETID",
    // With a field named twice it makes Redis 8.6.2 crash.
    "HSETEX",
];

impl Load {
    /// All that it sends follows from the seed.
    pub fn new(seed: u64) -> Load {
        Load {
            rng: Rng::new(seed),
            grammars: BTreeMap::new(),
            sent: 0,
            without: "(none)",
        }
    }

    /// Without commands that begin with a word.
    pub fn without(mut self, word: &'static str) -> Load {
        self.without = word;
        self
    }

    fn one(&mut self) -> Vec<Vec<u8>> {
        loop {
            let table = TABLES[self.rng.below(TABLES.len())];
            let row = &table[self.rng.below(table.len())];
            let without = NOT.iter().chain([&self.without]);
            if row.dialect != Dialect::Common
                || without.into_iter().any(|w| row.name.starts_with(w))
            {
                continue;
            }
            let grammar = self
                .grammars
                .entry(row.args)
                .or_insert_with(|| Grammar::parse(row.args));
            let now_ms = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |t| t.as_millis() as u64);
            let (_, args) = grammar.generate(&mut self.rng, Dialect::Common, now_ms);
            let mut argv: Vec<Vec<u8>> =
                row.name.split(' ').map(|w| w.as_bytes().to_vec()).collect();
            argv.extend(args);
            // Redis 7.0 makes the key for it, or makes it longer, and tells nobody if nothing is set then.
            let fails = |word: &Vec<u8>| word.eq_ignore_ascii_case(b"FAIL");
            if row.name == "BITFIELD" && argv.iter().any(fails) {
                continue;
            }
            return argv;
        }
    }

    /// Sends so many commands, some of them in transactions and some from scripts, in several databases. Errors do not matter.
    pub fn send(&mut self, client: &mut Client, commands: usize) {
        self.try_send(client, commands)
            .expect("the server stays where it is");
    }

    /// The same to a server that may go away.
    ///
    /// # Errors
    /// The connection's.
    pub fn try_send(&mut self, client: &mut Client, commands: usize) -> io::Result<()> {
        for _ in 0..commands {
            self.sent += 1;
            match self.rng.below(40) {
                0 => {
                    let db = self.rng.below(3).to_string();
                    client.try_call(&["SELECT", &db])?;
                }
                1..4 => {
                    client.try_call(&["MULTI"])?;
                    for _ in 0..self.rng.below(6) {
                        let argv = self.one();
                        client.try_call(&argv)?;
                    }
                    client.try_call(&["EXEC"])?;
                }
                4..7 => {
                    let n = self.sent.to_string();
                    let script = "redis.call('INCR', KEYS[1]) redis.call('RPUSH', KEYS[2], ARGV[1], ARGV[1]) \
                                  redis.call('SET', 'late:' .. ARGV[1] % 7, redis.call('TIME')[1]) return redis.call('SPOP', 'script:set')";
                    client.try_call(&["EVAL", script, "2", "script:count", "script:list", &n])?;
                    client.try_call(&["SADD", "script:set", &n, &format!("m{n}")])?;
                }
                7 => {
                    let n = self.rng.below(3);
                    let code = format!(
                        "#!lua name=lib{n}\nredis.register_function('f{n}', function() return {} end)",
                        self.sent
                    );
                    client.try_call(&["FUNCTION", "LOAD", "REPLACE", &code])?;
                }
                8 => {
                    let key = format!("short:{}", self.sent);
                    client.try_call(&["SET", &key, "v", "PX", "5"])?;
                }
                9 => {
                    let key = format!("long:{}", self.sent % 50);
                    client.try_call(&["SET", &key, "v", "EX", "100000"])?;
                }
                _ => {
                    let argv = self.one();
                    // An error is an answer like any other.
                    client.try_call(&argv)?;
                }
            }
        }
        client.try_call(&["SELECT", "0"])?;
        Ok(())
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Bulk(bytes) => bytes.escape_ascii().to_string(),
        Value::Simple(text) | Value::Error(text) => text.clone(),
        Value::Int(n) => n.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(text).collect();
            format!("[{}]", items.join(" "))
        }
        other => format!("{other:?}"),
    }
}

fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        other => panic!("no array: {other:?}"),
    }
}

/// The data set as a server shows it: by database and key its value and expiry, and the libraries of functions.
pub fn contents(client: &mut Client) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for db in 0..16 {
        let db = db.to_string();
        client.call(&["SELECT", &db]);
        for key in array(client.call(&["KEYS", "*"])) {
            let Value::Bulk(key) = key else { continue };
            let kind = text(&client.call(&[&b"TYPE"[..], &key]));
            // Newer servers make other digests of streams.
            let value = if kind == "stream" {
                let entries = text(&client.call(&[&b"XRANGE"[..], &key, b"-", b"+"]));
                let groups = array(client.call(&[&b"XINFO"[..], b"GROUPS", &key]));
                let names: Vec<String> = groups
                    .into_iter()
                    .map(|group| {
                        let fields = array(group);
                        let at = |name: &str| {
                            let mut pairs = fields.chunks(2);
                            pairs
                                .find(|p| text(&p[0]) == name)
                                .map(|p| text(&p[1]))
                                .unwrap_or_default()
                        };
                        format!(
                            "{} {} {}",
                            at("name"),
                            at("pending"),
                            at("last-delivered-id")
                        )
                    })
                    .collect();
                format!("{entries} {names:?}")
            } else if kind == "hash" {
                // What a digest makes of fields whose time is over is each server's own.
                let pairs = array(client.call(&[&b"HGETALL"[..], &key]));
                let mut pairs: Vec<String> = pairs
                    .chunks(2)
                    .map(|pair| format!("{} {}", text(&pair[0]), text(&pair[1])))
                    .collect();
                pairs.sort();
                pairs.join(" ")
            } else if kind == "zset" {
                // Old servers make the digest of another text of the same score. And a score of -0, which a skip list keeps, is 0
                // where a copy of the data set makes a listpack of it: so it is on all replicas, and on no primary.
                let pairs = array(client.call(&[&b"ZRANGE"[..], &key, b"0", b"-1", b"WITHSCORES"]));
                let pairs = pairs.chunks(2).map(|pair| {
                    let score = text(&pair[1])
                        .parse::<f64>()
                        .map_or(0, |score| (score + 0.0).to_bits());
                    format!("{} {score:x}", text(&pair[0]))
                });
                pairs.collect::<Vec<_>>().join(" ")
            } else {
                text(&client.call(&[&b"DEBUG"[..], b"DIGEST-VALUE", &key]))
            };
            let until = text(&client.call(&[&b"PEXPIRETIME"[..], &key]));
            all.insert(
                format!("{db} {}", key.escape_ascii()),
                format!("{kind} {value} until {until}"),
            );
        }
    }
    client.call(&["SELECT", "0"]);
    let mut libraries: Vec<String> = array(client.call(&["FUNCTION", "LIST", "WITHCODE"]))
        .iter()
        .map(text)
        .collect();
    libraries.sort();
    all.insert("functions".into(), libraries.join(" "));
    all
}

/// A field of INFO; empty if there is none.
pub fn info(client: &mut Client, field: &str) -> String {
    let Value::Bulk(info) = client.call(&["INFO", "everything"]) else {
        return String::new();
    };
    let info = String::from_utf8_lossy(&info).into_owned();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().to_owned()
}

/// Waits until a replica has all that its primary has done.
#[track_caller]
pub fn in_sync(primary: &mut Client, replica: &mut Client) {
    // What was done is part of the stream some milliseconds later, or when somebody asks who has it. (A replica does not answer that.)
    let _ = primary.call(&["WAIT", "0", "1"]);
    eventually("the replica has what the primary has", || {
        // Said by the primary, so that it is not taken for its own past.
        let offset = info(primary, "master_repl_offset");
        info(replica, "master_link_status") == "up" && info(replica, "slave_repl_offset") == offset
    });
}

/// A key's whole value, for a message.
fn shown(client: &mut Client, name: &str) -> String {
    let (db, key) = name.split_once(' ').unwrap_or(("0", name));
    client.call(&["SELECT", db]);
    let mut all = Vec::new();
    for line in [
        &["GET", key][..],
        &["HGETALL", key],
        &["LRANGE", key, "0", "-1"],
        &["SMEMBERS", key],
        &["ZRANGE", key, "0", "-1", "WITHSCORES"],
    ] {
        match client.call(line) {
            Value::Error(_) => {}
            value => all.push(text(&value)),
        }
    }
    client.call(&["SELECT", "0"]);
    all.join(" ")
}

/// Both have the same data.
#[track_caller]
pub fn same(what: &str, one: &mut Client, other: &mut Client) {
    // What expires at this very moment is there for one of them: both are asked again.
    let mut found = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..5 {
        found = (contents(one), contents(other));
        if found.0 == found.1 {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let (first, second) = found;
    let mut wrong: Vec<String> = Vec::new();
    for key in first.keys().chain(second.keys()) {
        if first.get(key) != second.get(key) && wrong.len() < 8 {
            let (here, there) = (shown(one, key), shown(other, key));
            let digests = (first.get(key), second.get(key));
            wrong.push(format!("{key}: {digests:?}\n    {here}\n    {there}"));
        }
    }
    let (here, there) = (first.len(), second.len());
    panic!(
        "{what}: {here} keys and {there}, of which differ\n  {}",
        wrong.join("\n  ")
    );
}

struct Shared {
    to: Mutex<SocketAddr>,
    /// Whether connections are taken at all.
    open: AtomicBool,
    /// Bytes from the server that may still pass; `u64::MAX` for all.
    left: AtomicU64,
    /// Milliseconds to rest after each kilobyte.
    slow: AtomicUsize,
    passed: AtomicU64,
    connections: AtomicUsize,
    sockets: Mutex<Vec<TcpStream>>,
}

/// A link between two servers that can be cut.
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

impl Proxy {
    /// To a server.
    pub fn to(server: &Server) -> Proxy {
        Proxy::to_addr(server.addr())
    }

    /// To whoever listens there.
    pub fn to_addr(addr: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
        let port = listener
            .local_addr()
            .expect("a listener has an address")
            .port();
        let shared = Arc::new(Shared {
            to: Mutex::new(addr),
            open: AtomicBool::new(true),
            left: AtomicU64::new(u64::MAX),
            slow: AtomicUsize::new(0),
            passed: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            sockets: Mutex::default(),
        });
        let for_thread = shared.clone();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let shared = for_thread.clone();
                if !shared.open.load(SeqCst) {
                    continue;
                }
                let to = *shared.to.lock().expect("no panic");
                let Ok(far) = TcpStream::connect(to) else {
                    continue;
                };
                shared.connections.fetch_add(1, SeqCst);
                let both = [near.try_clone(), far.try_clone()];
                shared
                    .sockets
                    .lock()
                    .expect("no panic")
                    .extend(both.into_iter().flatten());
                let (Ok(near2), Ok(far2)) = (near.try_clone(), far.try_clone()) else {
                    continue;
                };
                let there = shared.clone();
                thread::spawn(move || pass(near2, far2, &there, false));
                thread::spawn(move || pass(far, near, &shared, true));
            }
        });
        Proxy { shared, port }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Leads to another server from now on.
    pub fn lead_to(&self, server: &Server) {
        self.lead_to_addr(server.addr());
    }

    /// Leads there from now on.
    pub fn lead_to_addr(&self, addr: SocketAddr) {
        *self.shared.to.lock().expect("no panic") = addr;
    }

    /// Lets so many more bytes of the server pass, then cuts the connection.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.left.store(bytes, SeqCst);
    }

    /// Cuts all connections now.
    pub fn cut(&self) {
        for socket in self.shared.sockets.lock().expect("no panic").drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Takes connections, or none.
    pub fn open(&self, open: bool) {
        self.shared.open.store(open, SeqCst);
        if open {
            self.shared.left.store(u64::MAX, SeqCst);
        }
    }

    /// Rests so many milliseconds after each kilobyte of the server.
    pub fn slow(&self, ms: usize) {
        self.shared.slow.store(ms, SeqCst);
    }

    /// Bytes of the server that have passed.
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(SeqCst)
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, shared: &Shared, bounded: bool) {
    let mut buf = [0; 1024];
    while let Ok(n @ 1..) = from.read(&mut buf) {
        if !bounded {
            if to.write_all(&buf[..n]).is_err() {
                break;
            }
            continue;
        }
        let left = shared.left.load(SeqCst);
        let now = (n as u64).min(left) as usize;
        if left != u64::MAX {
            shared.left.store(left - now as u64, SeqCst);
        }
        if to.write_all(&buf[..now]).is_err() {
            break;
        }
        shared.passed.fetch_add(now as u64, SeqCst);
        if now < n || left == now as u64 {
            break;
        }
        match shared.slow.load(SeqCst) {
            0 => {}
            ms => thread::sleep(Duration::from_millis(ms as u64)),
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Tells to stop when it is dropped.
pub struct Stopping<'a>(pub &'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Whether the log of a folder says that the stream is so long.
pub fn says(folder: &Folder, offset: u64) -> bool {
    let line = format!("#RS:{offset}");
    let files = std::fs::read_dir(folder.0.join("appendonlydir")).expect("a folder");
    files.flatten().any(|file| {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        bytes.windows(line.len()).any(|w| w == line.as_bytes())
    })
}
