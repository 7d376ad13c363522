//! What others read of INFO and of metrics: Prometheus's exporter for Redis, which has to find here whatever it finds at Valkey, and
//! a parser of metrics that is not ours.

use redpoll_tests::http::{get, open};
use redpoll_tests::program::{on_path, python};
use redpoll_tests::server::free_port;
use redpoll_tests::{Client, Peers, Server, eventually};
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What the exporter finds at Valkey and not here, with the reason.
const NAMED: &[(&str, &str)] = &[(
    "redis_db_keys_cached",
    "the fourth number of a database's line, which Valkey gives to hashes whose fields expire",
)];

/// What is done before the exporter looks.
const DONE: &[&str] = &[
    "SET k v",
    "SET t v EX 1000",
    "LPUSH l 1",
    "XADD s 1-1 a b",
    "XGROUP CREATE s g 0",
    "GET k",
    "GET nosuch",
    "NOSUCH",
    "CONFIG SET slowlog-log-slower-than 0",
    "GET k",
];

/// The exporter, as long as it is there.
struct Exporter(Child);

impl Drop for Exporter {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The names of the metrics that the exporter makes of a server.
fn exported(program: &Path, server: &Server) -> BTreeSet<String> {
    let mut client: Client = server.connect();
    for line in DONE {
        client.run(line);
    }
    let mut tries = 0;
    let (_exporter, to) = loop {
        let to = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut child = Command::new(program)
            .arg(format!("-redis.addr=redis://{}", server.addr()))
            .arg(format!("-web.listen-address={to}"))
            .args(["-include-system-metrics", "-export-client-list"])
            .args(["-check-streams=db0=s", "-check-keys=db0=k"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the exporter can be started");
        let mut ended = false;
        eventually("the exporter listens", || {
            ended = child.try_wait().is_ok_and(|status| status.is_some());
            ended || TcpStream::connect(to).is_ok()
        });
        if !ended {
            break (Exporter(child), to);
        }
        tries += 1;
        assert!(tries < 8, "the exporter does not start");
    };
    let text = get(to, "/metrics", &[]).text();
    let lines = text.lines().filter(|line| line.starts_with("redis_"));
    lines
        .map(|line| line.split(['{', ' ']).next().unwrap_or(line).to_owned())
        .collect()
}

#[test]
fn the_exporter_finds_what_it_finds_at_valkey() {
    const TEST: &str = "exporter::the_exporter_finds_what_it_finds_at_valkey";
    let Some(program) = on_path(TEST, "prometheus-redis-exporter") else {
        return;
    };
    let Some(valkey) = Peers::find().or_skip(TEST).and_then(|peers| peers.valkey) else {
        return;
    };
    for log in ["no", "yes"] {
        let args = ["--appendonly", log];
        let theirs = exported(&program, &Server::peer(&valkey, &args));
        let ours = exported(&program, &Server::redpoll_with(&args));
        assert!(theirs.len() > 100, "{theirs:?}");
        let missing: Vec<&String> = theirs
            .difference(&ours)
            .filter(|name| !NAMED.iter().any(|(known, _)| known == name))
            .collect();
        assert!(missing.is_empty(), "appendonly {log}: {missing:?}");
    }
}

#[test]
fn metrics_are_read_by_others_and_answer_the_dashboard() {
    let server = Server::redpoll_with(&["--appendonly", "yes"]);
    let mut client = server.connect();
    for line in DONE {
        client.run(line);
    }
    let to = open(&server);
    python(
        "exporter::metrics_are_read_by_others",
        &["prometheus_client"],
        "metrics.py",
        &[to.port().to_string()],
    );
}
