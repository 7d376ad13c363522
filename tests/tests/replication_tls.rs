//! Replication over TLS, and moving a data set over it: Redpoll and a real server that speaks TLS, at either end.

use redpoll_tests::certificates::{Authority, Pair, path};
use redpoll_tests::check::show;
use redpoll_tests::cut::Cable;
use redpoll_tests::replication::{DEBUG, Load, Proxy, contents, in_sync, info, same};
use redpoll_tests::server::{Folder, free_port, run_redpoll};
use redpoll_tests::{Client, Peers, Server, eventually};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// Certificates for both ends, and an authority that has signed neither.
struct Files {
    folder: Folder,
    ca: PathBuf,
    other_ca: PathBuf,
    server: Pair,
    /// Without any name, as of a server that is known by its address.
    nameless: Pair,
    untrusted: Pair,
}

impl Files {
    fn new() -> Files {
        let folder = Folder::new();
        let (ours, other) = (Authority::new("ours"), Authority::new("another"));
        let (ca, other_ca) = (folder.0.join("ca.crt"), folder.0.join("other.crt"));
        std::fs::write(&ca, &ours.pem).expect("a file");
        std::fs::write(&other_ca, &other.pem).expect("a file");
        let sign =
            |by: &Authority, name: &str, names: &[&str]| by.sign(&folder.0, name, names, false);
        Files {
            server: sign(&ours, "server", &["localhost", "127.0.0.1"]),
            nameless: sign(&ours, "nameless", &[]),
            untrusted: sign(&other, "untrusted", &["localhost", "127.0.0.1"]),
            ca,
            other_ca,
            folder,
        }
    }
}

/// A server with a port for TLS beside its plain one.
struct Secured {
    server: Server,
    tls_port: u16,
}

impl Secured {
    /// Redpoll, or the real server that speaks TLS.
    fn start(real: bool, pair: &Pair, ca: &Path, more: &[&str]) -> Option<Secured> {
        let tls_port = free_port();
        let port = tls_port.to_string();
        let mut args = vec!["--tls-port", &port, "--tls-cert-file", path(&pair.cert)];
        args.extend(["--tls-key-file", path(&pair.key)]);
        args.extend(["--tls-ca-cert-file", path(ca)]);
        args.extend([
            "--repl-diskless-sync-delay",
            "0",
            "--tls-replication",
            "yes",
        ]);
        args.extend(DEBUG);
        args.extend(more);
        let server = match real {
            true => Server::peer(&Peers::find().redis7?, &args),
            false => Server::redpoll_with(&args),
        };
        Some(Secured { server, tls_port })
    }

    fn connect(&self) -> Client {
        self.server.connect()
    }

    fn tls_addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.tls_port))
    }
}

/// Which ends are the real server: primary, replica. Those pairs that there are here.
fn pairs(test: &str) -> Vec<(bool, bool)> {
    let mut pairs = vec![(false, false)];
    if Peers::find()
        .or_skip(test)
        .is_some_and(|p| p.redis7.is_some())
    {
        pairs.extend([(true, false), (false, true)]);
    }
    pairs
}

fn follow(replica: &mut Client, port: u16) {
    let reply = replica.call(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    assert_eq!(show(&reply), "OK");
}

/// The copy, the stream, and what was missed while the link was cut, wherever that was: handshake, copy, stream. Most of it is waiting
/// for the next attempt: the pairs wait at the same time.
#[test]
fn links_over_tls_carry_everything_and_are_resumed() {
    let pairs = pairs("links_over_tls_carry_everything_and_are_resumed");
    std::thread::scope(|scope| {
        for (real_primary, real_replica) in pairs {
            scope.spawn(move || a_link_that_is_cut(real_primary, real_replica));
        }
    });
}

fn a_link_that_is_cut(real_primary: bool, real_replica: bool) {
    let files = Files::new();
    let start = |real, more: &[&str]| Secured::start(real, &files.nameless, &files.ca, more);
    let primary = start(real_primary, &["--rdbcompression", "no"]).expect("a server");
    let replica = start(real_replica, &["--repl-timeout", "20"]).expect("a server");
    let name = format!("{} to {}", primary.server.name(), replica.server.name());
    let (mut p, mut r) = (primary.connect(), replica.connect());
    let mut load = Load::new(11);
    load.send(&mut p, 600);
    p.call(&["SET", "large", &"x".repeat(300_000)]);
    r.run("SET old 1");
    let proxy = Proxy::to_addr(primary.tls_addr());
    // In the handshake of TLS, in that of the two servers, and in the copy: nothing is gone before it is whole.
    let tried_again = |before: usize| {
        eventually("it was cut and tried again", || {
            proxy.connections() > before + 1
        });
    };
    for (at, bytes) in [0, 1, 60, 700, 2_500, 100_000].into_iter().enumerate() {
        let before = proxy.connections();
        proxy.cut_after(bytes);
        if at == 0 {
            follow(&mut r, proxy.port());
        }
        tried_again(before);
        if !real_replica {
            assert_eq!(show(&r.run("GET old")), "\"1\"", "{name} at {bytes}");
        }
    }
    proxy.open(true);
    in_sync(&mut p, &mut r);
    same(&name, &mut p, &mut r);
    let full = info(&mut p, "sync_full");
    for bytes in [1, 20, 300, 5_000] {
        let (before, resumed) = (proxy.connections(), info(&mut p, "sync_partial_ok"));
        proxy.cut_after(bytes);
        load.send(&mut p, 150);
        p.call(&["SET", "more", &"y".repeat(20_000)]);
        tried_again(before);
        proxy.open(true);
        eventually("it goes on where it was", || {
            info(&mut p, "sync_partial_ok") != resumed
        });
    }
    // In the middle of a handshake, when there is much to go on with.
    for bytes in [10, 500, 1_500] {
        let before = proxy.connections();
        proxy.cut_after(bytes);
        proxy.cut();
        // If the handshake takes less, it is cut behind it.
        p.call(&["SET", "more", &"z".repeat(20_000)]);
        tried_again(before);
    }
    proxy.open(true);
    load.send(&mut p, 150);
    in_sync(&mut p, &mut r);
    same(&name, &mut p, &mut r);
    assert_eq!(info(&mut p, "sync_full"), full, "{name}");
    if !real_replica {
        assert_eq!(info(&mut r, "redpoll_stream_errors"), "0", "{name}");
    }
}

/// A replica in the middle passes the stream on over TLS, too, to whichever server follows it.
#[test]
fn a_chain_over_tls() {
    let files = Files::new();
    let start = |real| Secured::start(real, &files.server, &files.ca, &[]);
    let (first, middle) = (
        start(false).expect("a server"),
        start(false).expect("a server"),
    );
    let (mut p, mut m) = (first.connect(), middle.connect());
    let mut load = Load::new(5);
    load.send(&mut p, 300);
    follow(&mut m, first.tls_port);
    let mut leaves: Vec<Secured> = start(false).into_iter().collect();
    if Peers::find().or_skip("a_chain_over_tls").is_some() {
        leaves.extend(start(true));
    }
    in_sync(&mut p, &mut m);
    for leaf in &leaves {
        follow(&mut leaf.connect(), middle.tls_port);
    }
    load.send(&mut p, 300);
    for leaf in &leaves {
        let mut l = leaf.connect();
        in_sync(&mut p, &mut l);
        same(leaf.server.name(), &mut p, &mut l);
        assert_eq!(info(&mut l, "master_port"), middle.tls_port.to_string());
    }
}

/// Who does not trust the primary, or is not let in by it, says so and tries again; it keeps what it has, and follows once it can.
#[test]
fn certificates_that_do_not_fit() {
    for real_primary in [false, true] {
        let files = Files::new();
        let (pair, ca) = (&files.server, &files.ca);
        let Some(primary) = Secured::start(real_primary, pair, ca, &["--tls-auth-clients", "yes"])
        else {
            continue;
        };
        let (untrusted, other) = (&files.untrusted, &files.other_ca);
        let replica = Secured::start(false, untrusted, other, &[]).expect("a server");
        let (mut p, mut r) = (primary.connect(), replica.connect());
        p.run("SET k new");
        r.run("SET k old");
        let before = contents(&mut r);
        let cable = Cable::to(primary.tls_addr());
        follow(&mut r, cable.port());
        let is_refused = |r: &mut Client, why: &str| {
            eventually("it says why", || {
                info(r, "redpoll_link_error").contains(why)
            });
            let connections = cable.connections();
            eventually("it tries again", || cable.connections() > connections + 1);
            let error = info(r, "redpoll_link_error");
            assert!(error.contains(why), "{error}");
            assert_eq!(info(r, "master_link_status"), "down");
            assert_eq!(contents(r), before);
        };
        is_refused(&mut r, "invalid peer certificate: UnknownIssuer");
        // It trusts the primary now, but the primary does not know who has signed its own.
        r.call(&["CONFIG", "SET", "tls-ca-cert-file", path(&files.ca)]);
        is_refused(&mut r, "alert");
        // The port without TLS is no place to speak TLS to: it waits for the end of a line.
        r.run("CONFIG SET repl-timeout 1");
        follow(&mut r, primary.server.port());
        eventually("it says that nobody speaks TLS there", || {
            let error = info(&mut r, "redpoll_link_error");
            error.contains("no answer to the TLS handshake") || error.contains("closed")
        });
        r.run("CONFIG SET repl-timeout 60");
        assert_eq!(contents(&mut r), before);
        follow(&mut r, cable.port());
        let pair = &files.nameless;
        r.call(&[
            "CONFIG",
            "SET",
            "tls-cert-file",
            path(&pair.cert),
            "tls-key-file",
            path(&pair.key),
        ]);
        in_sync(&mut p, &mut r);
        assert_eq!(show(&r.run("GET k")), "\"new\"");
        assert_eq!(info(&mut p, "sync_full"), "1");
    }
}

/// A primary that says nothing in a handshake holds nobody up who wants something else.
#[test]
fn a_handshake_that_never_ends() {
    let files = Files::new();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let start = || Secured::start(false, &files.server, &files.ca, &["--repl-timeout", "3600"]);
    let (primary, mut replica) = (start().expect("a server"), start().expect("a server"));
    let (mut p, mut r) = (primary.connect(), replica.connect());
    p.run("SET k v");
    let connecting = |r: &mut Client| {
        follow(r, port);
        let (_held, _) = silent.accept().expect("it connects");
        let role = show(&r.run("ROLE"));
        assert!(role.contains("\"connecting\""), "{role}");
        _held
    };
    let first = connecting(&mut r);
    assert_eq!(show(&r.run("REPLICAOF NO ONE")), "OK");
    assert_eq!(show(&r.run("SET mine 1")), "OK");
    let second = connecting(&mut r);
    follow(&mut r, primary.tls_port);
    in_sync(&mut p, &mut r);
    assert_eq!(show(&r.run("MGET k mine")), "[\"v\", nil]");
    let third = connecting(&mut r);
    // The server ends all the same.
    r.send(&["SHUTDOWN", "NOSAVE"]);
    assert!(replica.server.wait().success());
    drop((first, second, third));
}

/// `redpoll migrate` between ports that speak TLS: there, and the old server follows over TLS afterwards.
#[test]
fn migrate_over_tls() {
    let mut kinds = vec![false];
    if Peers::find()
        .or_skip("migrate_over_tls")
        .is_some_and(|p| p.redis7.is_some())
    {
        kinds.push(true);
    }
    for real_old in kinds {
        let files = Files::new();
        // Nothing is said of TLS for replication before.
        let plain = ["--tls-replication", "no", "--tls-auth-clients", "no"];
        let start = |real, ca| Secured::start(real, &files.server, ca, &plain);
        let old = start(real_old, &files.ca).expect("a server");
        let new = start(false, &files.other_ca).expect("a server");
        let (mut o, mut n) = (old.connect(), new.connect());
        Load::new(3).send(&mut o, 300);
        let from = format!("rediss://127.0.0.1:{}", old.tls_port);
        let to = format!("rediss://localhost:{}", new.tls_port);
        let migrate = |more: &[&str]| {
            let base = ["migrate", "--from", &from, "--to", &to];
            run_redpoll(&[&base[..], more].concat(), &[])
        };
        // Whoever is not trusted is not spoken to.
        let run = migrate(&["--cacert", path(&files.other_ca)]);
        assert!(!run.status.success());
        assert!(run.stderr.contains("UnknownIssuer"), "{}", run.stderr);
        let trust = ["--cacert", path(&files.ca)];
        let run = migrate(&[&trust[..], &["--to-sni", "elsewhere", "--check"]].concat());
        assert!(run.stderr.contains("not valid for name"), "{}", run.stderr);
        // Neither is the new server made to follow whom it does not trust.
        let run = migrate(&trust);
        assert!(!run.status.success(), "{}", run.stdout);
        assert!(
            run.stderr.contains("does not trust the old one")
                && run.stderr.contains("UnknownIssuer"),
            "{}",
            run.stderr
        );
        assert_eq!(info(&mut n, "role"), "master");
        let setting = |c: &mut Client| show(&c.run("CONFIG GET tls-replication"));
        assert_eq!(setting(&mut n), "[\"tls-replication\", \"no\"]");
        n.call(&["CONFIG", "SET", "tls-ca-cert-file", path(&files.ca)]);
        let run = migrate(&[&trust[..], &["--verify", "all"]].concat());
        assert!(run.status.success(), "{}{}", run.stdout, run.stderr);
        assert_eq!(setting(&mut n), "[\"tls-replication\", \"no\"]");
        assert_eq!(setting(&mut o), "[\"tls-replication\", \"yes\"]");
        assert_eq!(info(&mut o, "master_port"), new.tls_port.to_string());
        n.run("SET after 1");
        in_sync(&mut n, &mut o);
        same(old.server.name(), &mut n, &mut o);
    }
    // A server that has no TLS cannot follow, which is said before.
    let files = Files::new();
    let old = Secured::start(false, &files.server, &files.ca, &[]).expect("a server");
    let new = Server::redpoll();
    let (from, to) = (
        format!("rediss://127.0.0.1:{}", old.tls_port),
        format!("redis://127.0.0.1:{}", new.port()),
    );
    let (cert, key) = (path(&files.server.cert), path(&files.server.key));
    let mut args = vec!["migrate", "--from", &from, "--to", &to, "--check"];
    args.extend(["--cacert", path(&files.ca), "--cert", cert, "--key", key]);
    let run = run_redpoll(&args, &[]);
    assert!(!run.status.success());
    assert!(
        run.stdout.contains("it trusts no certificate"),
        "{}",
        run.stdout
    );
    // What is said of the way to the other server counts.
    let plain = format!("redis://127.0.0.1:{}", old.server.port());
    args.extend(["--from-as", &plain]);
    let run = run_redpoll(&args, &[]);
    assert!(run.status.success(), "{}{}", run.stdout, run.stderr);
    drop(files.folder);
}
