//! What replication promises whatever happens: what was acknowledged is there, whoever is killed goes on where it was, a link may be cut
//! at any byte, and a primary that sends rubbish harms nobody.

use redpoll::Db;
use redpoll_tests::check::show;
use redpoll_tests::cut::Cable;
use redpoll_tests::peers::Peer;
use redpoll_tests::pretender::{EOF, Pretender};
use redpoll_tests::replication::{DEBUG, Load, Proxy, Stopping, in_sync, info, real, same};
use redpoll_tests::rng::Rng;
use redpoll_tests::server::Folder;
use redpoll_tests::{Client, Peers, Server, env_number, eventually};
use resp::Value;
use rustix::process::Signal;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

const AT_ONCE: [&str; 2] = ["--repl-diskless-sync-delay", "0"];

fn redpoll(args: &[&str]) -> Server {
    Server::redpoll_with(&[&DEBUG[..], &AT_ONCE, args].concat())
}

/// Redpoll, or a real server.
fn server(peer: Option<&Peer>, args: &[&str]) -> Server {
    match peer {
        Some(peer) => real(peer, args),
        None => redpoll(args),
    }
}

fn follow(replica: &mut Client, port: u16) {
    let reply = replica.call(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    assert_eq!(show(&reply), "OK");
}

fn number(c: &mut Client, field: &str) -> u64 {
    info(c, field).parse().unwrap_or(0)
}

/// Writes numbers, each of which has to be acknowledged by `wait`, until the server is gone; those that were.
fn write_until_killed(
    server: &Server,
    first: usize,
    wait: &[&str],
    (count, stop): (&AtomicUsize, &AtomicBool),
) -> Vec<usize> {
    let mut c = server.connect();
    let mut kept = Vec::new();
    for n in first.. {
        if stop.load(SeqCst) {
            break;
        }
        let set = c.try_call(&["SET", &format!("key:{n}"), &n.to_string()]);
        let Ok(acknowledged) = set.and_then(|_| c.try_call(wait)) else {
            break;
        };
        if replicas_of(&acknowledged) >= 1 {
            kept.push(n);
            count.fetch_add(1, SeqCst);
        }
    }
    kept
}

/// The replicas that an answer to WAIT or WAITAOF speaks of.
fn replicas_of(answer: &Value) -> i64 {
    match answer {
        Value::Int(n) => *n,
        Value::Array(both) => both.last().map_or(0, replicas_of),
        _ => 0,
    }
}

/// Four clients write; when so many writes were acknowledged, `kill` is called, which ends the server. Those that were.
fn kill_while_writing(
    primary: &Server,
    (wait, enough): (&[&str], usize),
    kill: impl FnOnce(&Server),
) -> Vec<usize> {
    let (count, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let (count, stop) = (&count, &stop);
        let writers = [0, 1, 2, 3].map(|n| {
            scope.spawn(move || write_until_killed(primary, n * 1_000_000, wait, (count, stop)))
        });
        let stopping = Stopping(stop);
        eventually("some are acknowledged", || count.load(SeqCst) >= enough);
        kill(primary);
        let kept = writers.map(|writer| writer.join().expect("no panic"));
        drop(stopping);
        kept.concat()
    })
}

fn all_are_there(server: &Server, kept: &[usize]) {
    let mut c = server.connect();
    for n in kept {
        let value = show(&c.call(&["GET", &format!("key:{n}")]));
        assert_eq!(
            value,
            format!("\"{n}\""),
            "key:{n} of {} on {}",
            kept.len(),
            server.name()
        );
    }
}

/// What WAIT 1 acknowledged is on the replica that has got furthest, whichever servers they are. And while nothing gets through to a
/// replica, nothing is acknowledged, though the primary has sent it.
#[test]
fn what_wait_acknowledged_is_on_the_replica_that_is_promoted() {
    let peers = Peers::find();
    let (redis, valkey) = (peers.redis8_6.as_ref(), peers.valkey.as_ref());
    let mut trios = vec![(None, [None, None])];
    if redis.is_some() && valkey.is_some() {
        trios.push((None, [redis, valkey]));
        trios.push((redis, [None, None]));
        trios.push((valkey, [None, None]));
    } else {
        redpoll_tests::skip(
            "what_wait_acknowledged",
            "Redis 8.6 and Valkey 9 are needed",
        );
    }
    for (first, others) in trios {
        let primary = server(first, &[]);
        let cable = Cable::to(primary.addr());
        let replicas = others.map(|peer| server(peer, &[]));
        for replica in &replicas {
            follow(&mut replica.connect(), cable.port());
            in_sync(&mut primary.connect(), &mut replica.connect());
        }
        let kept = kill_while_writing(&primary, (&["WAIT", "1", "1000"], 30), |primary| {
            cable.hold(true);
            let mut c = primary.connect();
            c.run("SET held back");
            assert_eq!(c.run("WAIT 1 50"), Value::Int(0), "{}", primary.name());
            primary.signal(Signal::KILL);
            cable.refuse(true);
            cable.cut();
        });
        cable.hold(false);
        let how_far = |replica: &&Server| number(&mut replica.connect(), "slave_repl_offset");
        let ahead = replicas.iter().max_by_key(how_far).expect("two of them");
        ahead.connect().run("REPLICAOF NO ONE");
        all_are_there(ahead, &kept);
    }
}

/// What WAITAOF 0 1 acknowledged is in the replica's log, though both are killed.
#[test]
fn what_waitaof_acknowledged_is_in_the_log() {
    for fsync in ["always", "everysec"] {
        let primary = redpoll(&[]);
        let replica_of = format!("127.0.0.1 {}", primary.port());
        let folder = Folder::new();
        let logs = ["--appendonly", "yes", "--appendfsync", fsync];
        let logs = [&logs[..], &["--dir", folder.text()]].concat();
        let mut replica = redpoll(&[&logs[..], &["--replicaof", &replica_of]].concat());
        in_sync(&mut primary.connect(), &mut replica.connect());
        let wait = ["WAITAOF", "0", "1", "5000"];
        let kept = kill_while_writing(&primary, (&wait, 10), |primary| {
            replica.signal(Signal::KILL);
            primary.signal(Signal::KILL);
        });
        replica.wait();
        drop(replica);
        let again = redpoll(&logs);
        all_are_there(&again, &kept);
    }
}

/// Changes of all kinds from one client until told to stop.
fn loading<R>(server: &Server, seed: u64, then: impl FnOnce() -> R) -> R {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut c, mut load) = (server.connect(), Load::new(seed));
            while !stop.load(SeqCst) {
                load.send(&mut c, 40);
            }
        });
        let _stopping = Stopping(&stop);
        then()
    })
}

/// Either side is killed while a copy is on its way. Who was to get it has what it had, also after a restart, and gets another.
#[test]
fn either_side_is_killed_while_a_copy_comes() {
    let (above, below) = (Folder::new(), Folder::new());
    let log = ["--appendonly", "yes", "--rdbcompression", "no", "--dir"];
    let theirs = [&log[..], &[below.text()]].concat();
    let ours = [&log[..], &[above.text()]].concat();
    let mut primary = redpoll(&ours);
    let mut p = primary.connect();
    Load::new(5).send(&mut p, 300);
    for n in 0..60 {
        p.call(&["SETRANGE", &format!("large{n}"), "20000", &n.to_string()]);
    }
    // It is on the disk.
    assert_eq!(show(&p.run("WAITAOF 1 0 20000")), "[1, 0]");
    let proxy = Proxy::to(&primary);
    let mut replica = redpoll(&theirs);
    let mut r = replica.connect();
    r.run("SET old 1");
    assert_eq!(show(&r.run("WAITAOF 1 0 20000")), "[1, 0]");
    let half_there = |r: &mut Client| {
        eventually("some of a copy is there", || {
            (200_000..1_000_000).contains(&number(r, "master_sync_read_bytes"))
        });
        assert_eq!(show(&r.run("GET old")), "\"1\"");
    };
    for way in ["disabled", "swapdb"] {
        proxy.slow(1);
        proxy.open(true);
        r.call(&["CONFIG", "SET", "repl-diskless-load", way]);
        // The replica is killed.
        follow(&mut r, proxy.port());
        half_there(&mut r);
        replica.signal(Signal::KILL);
        replica.wait();
        replica = redpoll(&[&theirs[..], &["--repl-diskless-load", way]].concat());
        r = replica.connect();
        assert_eq!(show(&r.run("GET old")), "\"1\"", "{way}");
        // The primary is.
        follow(&mut r, proxy.port());
        half_there(&mut r);
        primary.signal(Signal::KILL);
        primary.wait();
        eventually("it is told", || {
            !info(&mut r, "redpoll_link_error").is_empty() && info(&mut r, "async_loading") == "0"
        });
        assert_eq!(show(&r.run("GET old")), "\"1\"", "{way}");
        primary = redpoll(&ours);
        proxy.slow(0);
        proxy.lead_to(&primary);
        let mut p = primary.connect();
        loading(&primary, 6, || {
            eventually("it is linked", || {
                info(&mut r, "master_link_status") == "up"
            });
        });
        in_sync(&mut p, &mut r);
        same(way, &mut p, &mut r);
        r.run("REPLICAOF NO ONE");
        r.run("SET old 1");
        assert_eq!(show(&r.run("WAITAOF 1 0 20000")), "[1, 0]");
    }
}

/// In a chain of three the one in the middle, or the last, is killed under load, again and again: all go on where they were.
#[test]
fn any_of_a_chain_is_killed() {
    let folders = [Folder::new(), Folder::new()];
    let logs = [0, 1].map(|at| ["--appendonly", "yes", "--dir", folders[at].text()]);
    let top = redpoll(&["--repl-backlog-size", "64mb"]);
    Load::new(8).send(&mut top.connect(), 300);
    let to_top = Cable::to(top.addr());
    let start = |at: usize, above: u16| {
        let replica_of = format!("127.0.0.1 {above}");
        let usual = ["--repl-backlog-size", "64mb", "--replicaof", &replica_of];
        redpoll(&[&logs[at][..], &usual].concat())
    };
    let mut middle = start(0, to_top.port());
    let to_middle = Cable::to(middle.addr());
    let mut last = start(1, to_middle.port());
    let linked = |server: &Server| {
        let mut c = server.connect();
        eventually("it is linked", || {
            info(&mut c, "master_link_status") == "up"
        });
    };
    [&middle, &last].into_iter().for_each(linked);
    loading(&top, 9, || {
        for round in 0..4 {
            let gets_on = |server: &Server| {
                let mut c = server.connect();
                let before = number(&mut c, "slave_repl_offset");
                // Behind a copy the log is written anew, and until then the old one stands.
                eventually("it goes on, and its log", || {
                    number(&mut c, "slave_repl_offset") > before + 5_000
                        && number(&mut c, "aof_rewrite_in_progress") == 0
                        && number(&mut c, "aof_base_size") > 1_000
                });
            };
            [&middle, &last].into_iter().for_each(gets_on);
            match round % 2 {
                0 => {
                    middle.signal(Signal::KILL);
                    middle.wait();
                    middle = start(0, to_top.port());
                    to_middle.lead_to(middle.addr());
                }
                _ => {
                    last.signal(Signal::KILL);
                    last.wait();
                    last = start(1, to_middle.port());
                }
            }
            [&middle, &last].into_iter().for_each(linked);
        }
    });
    let (mut t, mut m, mut l) = (top.connect(), middle.connect(), last.connect());
    in_sync(&mut t, &mut m);
    in_sync(&mut t, &mut l);
    same("the middle", &mut t, &mut m);
    same("the last", &mut t, &mut l);
    for (one, log) in [(&mut m, middle.log()), (&mut l, last.log())] {
        assert_eq!(info(one, "redpoll_stream_errors"), "0", "{log}");
    }
    assert_eq!(info(&mut t, "sync_full"), "1", "{}", middle.log());
}

/// Who lacks more than is kept gets another copy: Redpoll of Redpoll and of real servers, whose stream goes on meanwhile.
#[test]
fn a_replica_that_lacks_too_much_takes_another_copy() {
    let peers = Peers::find();
    for peer in [
        None,
        peers.redis7.as_ref(),
        peers.redis8_6.as_ref(),
        peers.valkey.as_ref(),
    ] {
        let primary = server(peer, &["--repl-backlog-size", "20kb"]);
        let (cable, replica) = (Cable::to(primary.addr()), redpoll(&[]));
        let (mut p, mut r) = (primary.connect(), replica.connect());
        follow(&mut r, cable.port());
        in_sync(&mut p, &mut r);
        cable.refuse(true);
        cable.cut();
        eventually("it is gone", || info(&mut p, "connected_slaves") == "0");
        let large = "x".repeat(100_000);
        loading(&primary, 12, || {
            for n in 0..5 {
                p.call(&["SET", &format!("large{n}"), &large]);
            }
            cable.refuse(false);
            eventually("another copy", || {
                info(&mut r, "redpoll_link_full_syncs") == "2"
                    && info(&mut r, "master_link_status") == "up"
            });
        });
        in_sync(&mut p, &mut r);
        same(primary.name(), &mut p, &mut r);
        assert_eq!(
            info(&mut r, "redpoll_stream_errors"),
            "0",
            "{}",
            replica.log()
        );
    }
}

/// A primary that plays what it is told; from its second connection on it goes on where the replica is.
struct Fake {
    port: u16,
    /// Connections at which a copy was asked for, and at which it could go on.
    asked: Arc<Mutex<[usize; 2]>>,
    /// The last connection; none is taken any more once it has left.
    last: Arc<Mutex<Option<TcpStream>>>,
    left: Arc<AtomicBool>,
}

const ID: &str = "0123456789abcdef0123456789abcdef01234567";
const BEGIN: usize = 100;

impl Fake {
    /// Sends the copy and the stream, of which the first connection gets so many bytes.
    fn new(copy: Vec<u8>, stream: Vec<u8>, first: usize) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::<Mutex<[usize; 2]>>::default();
        let (last, left) = (Arc::<Mutex<_>>::default(), Arc::<AtomicBool>::default());
        let fake = Fake {
            port,
            asked: asked.clone(),
            last: Arc::clone(&last),
            left: left.clone(),
        };
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                *last.lock().expect("no panic") = socket.try_clone().ok();
                if left.load(SeqCst) {
                    break;
                }
                // Whatever goes wrong ends the connection.
                let _ = serve(socket, &copy, &stream, first, &asked);
                last.lock().expect("no panic").take();
            }
        });
        fake
    }

    /// Ends the connection, and takes no other.
    fn leave(&self) {
        self.left.store(true, SeqCst);
        if let Some(socket) = &*self.last.lock().expect("no panic") {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn asked(&self) -> [usize; 2] {
        *self.asked.lock().expect("no panic")
    }
}

fn serve(
    mut socket: TcpStream,
    copy: &[u8],
    stream: &[u8],
    first: usize,
    asked: &Mutex<[usize; 2]>,
) -> io::Result<()> {
    let (mut buf, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let n = socket.read(&mut chunk)?;
        if n == 0 {
            return Ok(());
        }
        // Signs of life stand between commands.
        let new = &chunk[..n];
        let blank = new
            .iter()
            .take_while(|byte| buf.is_empty() && **byte == b'\n');
        let blank = blank.count();
        buf.extend_from_slice(&new[blank..]);
        while let Ok(Some((value, used))) = resp::decode(&buf) {
            buf.drain(..used);
            let line = show(&value);
            let words: Vec<&str> = line.trim_matches(['[', ']']).split(", ").collect();
            match words[0].trim_matches('"') {
                "PSYNC" if line.contains(ID) => {
                    asked.lock().expect("no panic")[1] += 1;
                    let from: usize = words[2].trim_matches('"').parse().expect("an offset");
                    socket.write_all(b"+CONTINUE\r\n")?;
                    socket.write_all(&stream[from - 1 - BEGIN..])?;
                }
                "PSYNC" => {
                    asked.lock().expect("no panic")[0] += 1;
                    socket.write_all(format!("+FULLRESYNC {ID} {BEGIN}\r\n").as_bytes())?;
                    socket.write_all(copy)?;
                    socket.write_all(&stream[..first])?;
                    if first < stream.len() {
                        return Ok(());
                    }
                }
                "PING" => socket.write_all(b"+PONG\r\n")?,
                _ if line.contains("ACK") => {}
                _ => socket.write_all(b"+OK\r\n")?,
            }
        }
    }
}

fn stream_of(lines: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        redpoll_tests::client::encode(&line.split(' ').collect::<Vec<_>>(), &mut bytes);
    }
    bytes
}

fn with_length(file: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", file.len()).as_bytes(), file].concat()
}

/// Wherever in the stream a link is cut, also between a CR and its LF: the replica goes on there, leaves nothing out and does nothing twice.
#[test]
fn a_stream_may_be_cut_at_any_byte() {
    let copy = with_length(&[&b"REDIS0011\0\x01n\x015\xff"[..], &[0; 8]].concat());
    let stream = stream_of(&[
        "SELECT 0",
        "INCR n",
        "MULTI",
        "INCR n",
        "RPUSH l x",
        "EXEC",
        "INCR n",
    ]);
    let cuts: Vec<usize> = (0..stream.len()).collect();
    for some in cuts.chunks(40) {
        let copies: Vec<(usize, Fake, Db)> = some
            .iter()
            .map(|cut| {
                let fake = Fake::new(copy.clone(), stream.clone(), *cut);
                let url = format!("redis://127.0.0.1:{}", fake.port);
                (*cut, fake, Db::replicate(&url).expect("a copy"))
            })
            .collect();
        for (cut, fake, db) in &copies {
            eventually("it has gone on", || fake.asked()[1] == 1);
            let n = || db.get("n").expect("a string").map(|n| n == "8");
            eventually(&format!("all is there, cut after {cut} bytes"), || {
                n() == Some(true)
            });
            assert_eq!(db.llen("l"), Ok(1), "cut after {cut} bytes");
            assert_eq!(fake.asked(), [1, 1]);
        }
    }
}

/// Copies and streams with bytes flipped, cut out, doubled and cut off: the replica lives, says what is wrong or takes what it got, and
/// where it could not take it has what it had.
#[test]
fn rubbish_of_a_primary_harms_nobody() {
    let source = redpoll(&[]);
    Load::new(3).send(&mut source.connect(), 250);
    let file = Pretender::to(&source, &[EOF]).take_copy().0;
    let stream = stream_of(&[
        "SELECT 1",
        "SET k v",
        "MULTI",
        "HSET h f 1",
        "ZADD z 1 m",
        "EXEC",
        "XADD s 1-1 f v",
        "REPLCONF GETACK *",
        "FUNCTION FLUSH",
        "PING",
    ]);
    let seed = env_number("REDPOLL_SEED", 1);
    let mut rng = Rng::new(seed);
    let server = redpoll(&[]);
    let mut r = server.connect();
    for round in 0..40 {
        let way = ["disabled", "swapdb", "disabled", "on-empty-db"][round % 4];
        r.call(&["CONFIG", "SET", "repl-diskless-load", way]);
        r.run("SET old 1");
        let (mut file, mut stream) = (file.clone(), stream.clone());
        // Without its checksum it has to be found out by reading it.
        let end = file.len() - 8;
        file[end..].fill(0);
        match round % 3 {
            0 => spoil(&mut stream, &mut rng),
            _ => spoil(&mut file, &mut rng),
        }
        let mark = [b'm'; 40];
        let copy = match round % 2 {
            0 => with_length(&file),
            _ => [b"$EOF:", &mark[..], b"\r\n", &file, &mark].concat(),
        };
        let first = stream.len();
        let fake = Fake::new(copy, stream, first);
        let copies = |r: &mut Client| info(r, "redpoll_link_full_syncs");
        follow(&mut r, fake.port);
        eventually(
            &format!("it is taken or refused, round {round} of {seed}"),
            || {
                copies(&mut r) != "0"
                    || !info(&mut r, "redpoll_link_error").is_empty()
                    || waits(&mut r)
            },
        );
        eventually(
            &format!("the old data or the new, round {round} of {seed}"),
            || {
                // It may just be loaded.
                let old = show(&r.run("GET old"));
                old == "\"1\"" || copies(&mut r) != "0" && !old.starts_with('-')
            },
        );
        // While a copy is loaded beside the data set nobody else is followed.
        fake.leave();
        eventually("it follows nobody", || {
            show(&r.run("REPLICAOF NO ONE")) == "OK"
        });
        assert_eq!(show(&r.run("PING")), "PONG");
    }
    assert!(!server.log().contains("A panic"), "{}", server.log());
    r.run("FLUSHALL");
    assert_eq!(show(&r.run("DBSIZE")), "0");
}

/// It has been told that more will come, and waits for that.
fn waits(r: &mut Client) -> bool {
    let in_progress = info(r, "master_sync_in_progress") == "1";
    if in_progress {
        thread::sleep(std::time::Duration::from_millis(30));
    }
    in_progress && info(r, "master_sync_in_progress") == "1"
}

fn spoil(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..=rng.below(3) {
        let at = rng.below(bytes.len());
        match rng.below(5) {
            0 => bytes[at] = rng.below(256) as u8,
            1 => bytes[at] ^= 1 << rng.below(8),
            2 => drop(bytes.drain(at..(at + 1 + rng.below(9)).min(bytes.len()))),
            3 => {
                let more = bytes[at..(at + 1 + rng.below(40)).min(bytes.len())].to_vec();
                bytes.splice(at..at, more);
            }
            _ if bytes.len() > 40 => bytes.truncate(bytes.len() - rng.below(30)),
            _ => {}
        }
    }
}
