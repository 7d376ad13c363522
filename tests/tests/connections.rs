//! Ten thousand connections at once, and what becomes of the server when they go.

use redpoll_tests::check::{check, show};
use redpoll_tests::{Client, Server, eventually, skip};
use resp::Value;
use rustix::process::{Resource, getrlimit, setrlimit};

const CONNECTIONS: usize = 10_000;
/// What one idle connection may keep resident in the server.
const BYTES_EACH: u64 = 4096;

#[test]
fn ten_thousand_connections() {
    if !raise_descriptor_limit() {
        skip(
            "ten_thousand_connections",
            "fewer than 10,100 file descriptors allowed; see ulimit -Hn",
        );
        return;
    }
    let limit = 64 << 20;
    let server =
        Server::redpoll_with(&["--maxclients", "10050", "--maxmemory", &limit.to_string()]);
    let mut first = server.connect();
    check(&mut first, "PING", "PONG");
    let before = server.resident_bytes();
    let mut clients: Vec<Client> = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        clients.push(server.connect());
    }
    // Every connection is served: all commands are under way before the first reply is read.
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(&["INCRBY", "sum", &i.to_string()]);
    }
    for client in &mut clients {
        assert!(matches!(client.read(), Value::Int(_)));
    }
    let sum = CONNECTIONS * (CONNECTIONS - 1) / 2;
    check(&mut first, "GET sum", &format!("\"{sum}\""));
    let each = server.resident_bytes().saturating_sub(before) / CONNECTIONS as u64;
    println!("{each} bytes resident for each connection");
    assert!(
        each <= BYTES_EACH,
        "{each} bytes resident for each connection"
    );
    // The limit, a tenth of it, and 64 MB.
    let peak = server.peak_resident_bytes();
    assert!(
        peak < limit + limit / 10 + (64 << 20),
        "{peak} bytes resident"
    );
    eventually("all connections are counted", || {
        show(&first.run("INFO clients")).contains("connected_clients:10001\\r")
    });
    drop(clients);
    eventually("all connections but one are forgotten", || {
        show(&first.run("INFO clients")).contains("connected_clients:1\\r")
    });
    check(&mut first, "PING", "PONG");
}

#[test]
fn connections_beyond_maxclients_are_refused() {
    let server = Server::redpoll_with(&["--maxclients", "4"]);
    let mut first = server.connect();
    eventually("the harness's own connection is gone", || {
        show(&first.run("INFO clients")).contains("connected_clients:1\\r")
    });
    let mut others: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    for client in &mut others {
        check(client, "PING", "PONG");
    }
    let mut refused = server.connect();
    assert_eq!(
        refused.read_to_close(),
        b"-ERR max number of clients reached\r\n"
    );
    drop(others);
    eventually("there is room again", || {
        let mut client = server.connect();
        client
            .try_call(&["PING"])
            .is_ok_and(|reply| show(&reply) == "PONG")
    });
}

#[test]
fn idle_connections_are_closed_after_the_timeout() {
    let server = Server::redpoll();
    let mut idle = server.connect();
    let mut other = server.connect();
    check(&mut idle, "PING", "PONG");
    check(&mut other, "CONFIG SET timeout 1", "OK");
    assert_eq!(idle.read_to_close(), b"");
    eventually("the server goes on", || {
        server.connect().try_call(&["PING"]).is_ok()
    });
}

/// Who sends a command bit by bit, or waits for the server to execute it, is not idle: `timeout` used to look at the last command
/// that had been executed, so that CLIENT PAUSE or a slow upload ended the connection.
#[test]
fn who_sends_slowly_or_waits_for_the_server_is_not_idle() {
    let server = Server::redpoll();
    let mut other = server.connect();
    let mut paused = server.connect();
    let mut uploads = server.connect();
    check(&mut other, "CONFIG SET timeout 2", "OK");
    check(&mut other, "CLIENT PAUSE 5000 WRITE", "OK");
    paused.send(&["SET", "k", "v"]);
    let value = "v".repeat(300_000);
    let upload = format!("*2\r\n$4\r\nECHO\r\n${}\r\n{value}\r\n", value.len());
    let (short, long) = upload.split_at(40);
    let beginning = short.as_bytes().chunks(10);
    for piece in beginning.chain(long.as_bytes().chunks(30_000)) {
        uploads.send_raw(piece).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(400));
    }
    assert_eq!(show(&uploads.read()), format!("{value:?}"));
    assert_eq!(show(&paused.read()), "OK");
}

/// Raises the soft limit of open files to the hard one; servers started afterwards inherit it.
fn raise_descriptor_limit() -> bool {
    let limit = getrlimit(Resource::Nofile);
    let wanted = rustix::process::Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let _ = setrlimit(Resource::Nofile, wanted);
    getrlimit(Resource::Nofile)
        .current
        .is_none_or(|current| current >= CONNECTIONS as u64 + 100)
}
