//! What a client sees of a connection: framing, order, backpressure, limits and endings.

mod common;

use common::{Client, TestServer, bulk, command};
use engine::Host;
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering::Relaxed;

/// Sends until the server has stopped reading, or all is sent; returns how much was.
fn send_until_stuck(client: &mut Client, bytes: &[u8]) -> usize {
    client.0.set_nonblocking(true).unwrap();
    let (mut sent, mut stuck) = (0, 0);
    while sent < bytes.len() && stuck < 200 {
        match client.0.write(&bytes[sent..]) {
            Ok(n) => (sent, stuck) = (sent + n, 0),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                // Gives the server a chance to read on; how long it takes does not decide the test.
                std::thread::sleep(std::time::Duration::from_millis(5));
                stuck += 1;
            }
            Err(_) => break,
        }
    }
    client.0.set_nonblocking(false).unwrap();
    sent
}

#[test]
fn a_pipeline_may_be_cut_anywhere() {
    let server = TestServer::start(&[]);
    let mut stream = command(&[b"SET", b"key", b"a\r\nb\0"]);
    stream.extend(b"GET key\r\n\r\n");
    stream.extend(b"SET other \"quoted \\x41\"\r\nGET other\r\n");
    stream.extend(command(&[b"STRLEN", b"key"]));
    let expected = b"+OK\r\n$5\r\na\r\nb\0\r\n+OK\r\n$8\r\nquoted A\r\n:5\r\n";
    for cut in 0..=stream.len() {
        let mut client = server.connect();
        client.0.set_nodelay(true).unwrap();
        client.send(&stream[..cut]);
        // The server has read the first part once it has executed what came before the cut on another connection's
        // account; a round trip elsewhere makes that likely without depending on time.
        server.connect().send(b"");
        client.send(&stream[cut..]);
        client.expect(expected);
    }
    let mut client = server.connect();
    client.0.set_nodelay(true).unwrap();
    for byte in &stream {
        client.send([*byte]);
    }
    client.expect(expected);
}

#[test]
fn a_deep_pipeline_is_answered_in_order() {
    let server = TestServer::start(&[]);
    let mut client = server.connect();
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    for n in 1..=100_000 {
        requests.extend(b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n");
        replies.extend(format!(":{n}\r\n").into_bytes());
    }
    let mut sender = Client(client.0.try_clone().unwrap());
    let sending = std::thread::spawn(move || sender.send(requests));
    client.expect(replies);
    sending.join().unwrap();
}

#[test]
fn a_client_may_send_all_before_it_reads_anything() {
    let server = TestServer::start(&[]);
    let mut client = server.connect();
    let value = [b'v'; 64];
    client.send(command(&[b"SET", b"k", &value]));
    client.expect(b"+OK\r\n");
    // Far more than the sockets hold in either direction, so that the server has to set requests and replies aside.
    let count = 1_000_000;
    let requests = command(&[b"GET", b"k"]).repeat(count);
    assert_eq!(send_until_stuck(&mut client, &requests), requests.len());
    client.expect(bulk(&value).repeat(count));
    client.send("STRLEN k\r\n");
    client.expect(b":64\r\n");
}

#[test]
fn unexecuted_requests_are_bounded() {
    let server = TestServer::start(&[("client-query-buffer-limit", &["1mb"])]);
    let mut client = server.connect();
    let value = vec![b'v'; 1_000_000];
    client.send(command(&[b"SET", b"k", &value]));
    client.expect(b"+OK\r\n");
    let requests = command(&[b"GET", b"k"]).repeat(2_000_000);
    assert!(send_until_stuck(&mut client, &requests) < requests.len());
    // It is gone, and others are served.
    client.rest();
    let mut other = server.connect();
    other.send("STRLEN k\r\n");
    other.expect(b":1000000\r\n");
}

/// A command of very many short arguments takes more memory for where they are than for what they are.
#[test]
fn where_arguments_are_is_counted() {
    let server = TestServer::start(&[]);
    let count = 100_000;
    let [mut client, mut other] = std::array::from_fn(|_| {
        let mut client = server.connect();
        client.send("PING\r\n");
        client.expect("+PONG\r\n");
        client
    });
    client.send(format!("*{}\r\n{}", 2 * count, "$1\r\na\r\n".repeat(count)));
    let sender = || {
        server
            .engine
            .clients()
            .list()
            .into_iter()
            .next()
            .expect("the first")
    };
    while sender().argument_bytes.load(Relaxed) < 16 * count {
        std::thread::yield_now();
    }
    assert!(sender().memory() > 23 * count);
    let shown = format!("argv-mem={} ", sender().argument_bytes.load(Relaxed));
    other.send("MULTI\r\nSET k v\r\n");
    other.expect("+OK\r\n+QUEUED\r\n");
    let mut asks = server.connect();
    asks.send("CLIENT LIST\r\nQUIT\r\n");
    let list = String::from_utf8(asks.rest()).unwrap();
    let line = |id: &str| list.lines().find(|line| line.contains(id)).unwrap();
    assert!(line("id=1 ").contains(&shown), "{list}");
    assert!(line("id=1 ").contains(" multi-mem=0 "), "{list}");
    assert!(line("id=2 ").contains(" argv-mem=0 "), "{list}");
    assert!(!line("id=2 ").contains(" multi-mem=0 "), "{list}");
}

/// What the sockets of many do not take of the same message is there once.
#[test]
fn an_unsent_message_to_many_takes_memory_once() {
    let server = TestServer::start(&[("client-output-buffer-limit", &["pubsub", "0", "0", "0"])]);
    let mut subscribers: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = server.connect();
            client.send("SUBSCRIBE x\r\n");
            client.expect("*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n");
            client
        })
        .collect();
    let (mut publisher, message) = (server.connect(), vec![b'm'; 24 << 20]);
    publisher.send(command(&[b"PUBLISH", b"x", &message]));
    publisher.expect(":20\r\n");
    let clients = server.engine.clients();
    let stuck = |c: &std::sync::Arc<engine::Client>| {
        !c.subscribes() || c.outbox.is_empty() && c.reply_bytes.load(Relaxed) > 1 << 20
    };
    while !clients.list().iter().all(stuck) {
        std::thread::yield_now();
    }
    let each: Vec<usize> = clients.list().iter().map(|c| c.memory()).collect();
    assert!(each.iter().sum::<usize>() > 60 << 20);
    assert!(
        clients.memory() < 50 << 20,
        "{} of {each:?}",
        clients.memory()
    );
    // The last who has it bears all of it.
    subscribers.truncate(1);
    let bears_all = || clients.memory() > 20 << 20;
    while clients.len() > 2 || !bears_all() {
        std::thread::yield_now();
    }
}

#[test]
fn unsent_replies_are_bounded() {
    let server = TestServer::start(&[("client-output-buffer-limit", &["normal", "8mb", "0", "0"])]);
    let mut client = server.connect();
    let value = vec![b'v'; 60 << 20];
    client.send(command(&[b"SET", b"k", &value]));
    client.expect(b"+OK\r\n");
    client.send("GET k\r\n");
    assert!(client.rest().len() < value.len());
    let server = TestServer::start(&[("client-output-buffer-limit", &["normal", "0", "1mb", "1"])]);
    let mut client = server.connect();
    client.send(command(&[b"SET", b"k", &value]));
    client.expect(b"+OK\r\n");
    client.send("GET k\r\n");
    // Nobody reads; the soft limit's second passes, and the client is closed without being asked anything.
    while !server.engine.clients().is_empty() {
        std::thread::yield_now();
    }
    assert!(client.rest().len() < value.len());
}

#[test]
fn long_values_travel_whole() {
    let server = TestServer::start(&[]);
    let mut client = server.connect();
    let value: Vec<u8> = (0..40u32 << 20).map(|n| (n ^ n >> 8) as u8).collect();
    let mut requests = command(&[b"SET", b"big", &value]);
    requests.extend(command(&[b"STRLEN", b"big"]));
    requests.extend(command(&[b"GETRANGE", b"big", b"0", b"9"]));
    client.send(&requests);
    client.expect(format!("+OK\r\n:{}\r\n", value.len()));
    client.expect(bulk(&value[..10]));
    client.send(command(&[b"GET", b"big"]));
    client.expect(bulk(&value));
}

#[test]
fn a_malformed_request_is_answered_after_those_before_it() {
    let server = TestServer::start(&[]);
    let mut client = server.connect();
    client.send(b"SET k 1\r\n*1\r\n!4\r\nPING\r\nINCR k\r\n");
    let rest = String::from_utf8(client.rest()).unwrap();
    assert_eq!(
        rest,
        "+OK\r\n-ERR Protocol error: expected '$', got '!'\r\n"
    );
    let mut client = server.connect();
    client.send(b"GET k\r\n");
    client.expect(bulk(b"1"));
}

#[test]
fn the_requests_before_a_half_close_are_answered() {
    let server = TestServer::start(&[]);
    let mut client = server.connect();
    let value = vec![b'v'; 3_000_000];
    client.send(command(&[b"SET", b"k", &value]));
    client.expect(b"+OK\r\n");
    client.send(b"GET k\r\nGET k\r\nSTRLEN k\r\nSTRLE");
    client.finish();
    let mut expected = bulk(&value).repeat(2);
    expected.extend(b":3000000\r\n");
    assert!(client.rest() == expected);
}

#[test]
fn one_client_too_many_is_told_so() {
    let server = TestServer::start(&[("maxclients", &["2"])]);
    let mut clients = [server.connect(), server.connect()];
    for client in &mut clients {
        client.send("SET k v\r\n");
        client.expect(b"+OK\r\n");
    }
    assert_eq!(
        server.connect().rest(),
        b"-ERR max number of clients reached\r\n"
    );
    drop(clients);
    while !server.engine.clients().is_empty() {
        std::thread::yield_now();
    }
    let mut stats = String::new();
    server.host.info("stats", &mut stats);
    assert!(
        stats.contains("total_connections_received:2\r\nrejected_connections:1\r\n"),
        "{stats}"
    );
}

#[test]
fn killed_and_idle_clients_are_closed() {
    let server = TestServer::start(&[]);
    let mut client = server.connect();
    client.send("SET k v\r\n");
    client.expect(b"+OK\r\n");
    server.engine.clients().list()[0].kill();
    assert_eq!(client.rest(), b"");
    let mut client = server.connect();
    client.send("SET k v\r\n");
    client.expect(b"+OK\r\n");
    server.engine.config().live.timeout_s.store(1, Relaxed);
    assert_eq!(client.rest(), b"");
}

#[test]
fn authentication_lifts_the_limits_of_the_next_request() {
    let server = TestServer::start(&[("requirepass", &["secret"])]);
    let value = vec![b'v'; 20_000];
    let set = command(&[b"SET", b"k", &value]);
    let mut client = server.connect();
    client.send([b"AUTH secret\r\n", set.as_slice(), b"STRLEN k\r\n"].concat());
    client.expect(b"+OK\r\n+OK\r\n:20000\r\n");
    let mut stranger = server.connect();
    stranger.send([b"GET k\r\n", set.as_slice()].concat());
    assert_eq!(
        String::from_utf8(stranger.rest()).unwrap(),
        "-NOAUTH Authentication required.\r\n-ERR Protocol error: unauthenticated bulk length\r\n"
    );
}

#[test]
fn shutdown_ends_the_server_without_a_reply() {
    let mut server = TestServer::start(&[]);
    let mut client = server.connect();
    client.send("SET k v\r\nSHUTDOWN NOSAVE\r\nSET k w\r\n");
    assert_eq!(client.rest(), b"+OK\r\n");
    server.join();
}

#[test]
fn info_and_config_reach_the_server() {
    let server = TestServer::start(&[]);
    let mut client = server.connect();
    client.send("INFO server\r\nINFO stats\r\nCONFIG RESETSTAT\r\nINFO stats\r\nCONFIG SET port 0\r\nQUIT\r\n");
    let text = String::from_utf8(client.rest()).unwrap();
    let port = server.address.port();
    assert!(
        text.contains(&format!(
            "listener0:name=tcp,bind=127.0.0.1,port={port}\r\n"
        )),
        "{text}"
    );
    assert!(text.contains("total_connections_received:1\r\n"), "{text}");
    assert!(text.contains("total_connections_received:0\r\n"), "{text}");
    assert!(text.ends_with("+OK\r\n+OK\r\n"), "{text}");
}

#[test]
fn a_paused_command_waits_and_keeps_its_place() {
    let server = TestServer::start(&[]);
    let mut other = server.connect();
    other.send("CLIENT PAUSE 100000 WRITE\r\n");
    other.expect(b"+OK\r\n");
    let mut client = server.connect();
    client.send("GET k\r\nSET k v\r\nGET k\r\n");
    client.expect(b"$-1\r\n");
    other.send("GET k\r\nCLIENT UNPAUSE\r\n");
    other.expect(b"$-1\r\n+OK\r\n");
    client.expect(b"+OK\r\n$1\r\nv\r\n");
}

#[test]
fn client_list_tells_what_is_waiting() {
    let server = TestServer::start(&[]);
    let mut client = server.connect();
    client.send(command(&[b"SET", b"k", &vec![b'v'; 30 << 20]]));
    client.expect(b"+OK\r\n");
    client.send("GET k\r\nGET k\r\nGE");
    client.expect(b"$31457280\r\n");
    let info = &server.engine.clients().list()[0];
    // The socket is full: one reply is being sent and the second command waits with the start of a third.
    while info.reply_bytes.load(Relaxed) == 0 || info.query_bytes.load(Relaxed) != 9 {
        std::thread::yield_now();
    }
    let value = vec![b'v'; 30 << 20];
    client.expect(&value);
    client.expect(b"\r\n");
    client.expect(bulk(&value));
    while info.reply_bytes.load(Relaxed) != 0 || info.query_bytes.load(Relaxed) != 2 {
        std::thread::yield_now();
    }
}

#[test]
fn a_stop_sends_what_was_executed_and_frees_the_port() {
    let mut server = TestServer::start(&[]);
    let mut idle = server.connect();
    let mut slow = server.connect();
    let value = vec![b'v'; 30 << 20];
    slow.send(command(&[b"SET", b"k", &value]));
    slow.expect(b"+OK\r\n");
    slow.send("GET k\r\n");
    // The reply has begun to arrive, so the command has been executed.
    slow.expect(format!("${}\r\n", value.len()));
    server.stop();
    assert_eq!(idle.rest(), b"");
    let rest = slow.rest();
    assert_eq!(rest.len(), value.len() + 2);
    server.join();
    assert!(server.engine.clients().is_empty());
    std::net::TcpListener::bind(server.address).unwrap();
}

#[test]
fn a_stop_does_not_wait_forever_for_a_client_that_never_reads() {
    let mut server = TestServer::start(&[("shutdown-timeout", &["0"])]);
    let mut slow = server.connect();
    slow.send(command(&[b"SET", b"k", &vec![b'v'; 30 << 20]]));
    slow.expect(b"+OK\r\n");
    slow.send("GET k\r\n");
    slow.expect(b"$");
    server.stop();
    server.join();
    // Whoever was not waited for leaves in its own time.
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !server.engine.clients().is_empty() {
        assert!(
            std::time::Instant::now() < patience,
            "somebody stays connected"
        );
        std::thread::yield_now();
    }
}

#[test]
fn connections_go_to_the_worker_with_the_fewest() {
    let server = TestServer::start(&[]);
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("SET k v\r\n");
        client.expect(b"+OK\r\n");
    }
    assert_eq!(server.host.connections(), [50, 50]);
    // They were dealt out in turn, so this leaves one worker with nobody.
    let mut at = 0;
    clients.retain(|_| {
        at += 1;
        at % 2 == 0
    });
    while server.engine.clients().len() > 50 {
        std::thread::yield_now();
    }
    assert_eq!(server.host.connections().iter().min(), Some(&0));
    for _ in 0..40 {
        let mut client = server.connect();
        client.send("SET k v\r\n");
        client.expect(b"+OK\r\n");
        clients.push(client);
    }
    let mut connections = server.host.connections();
    connections.sort_unstable();
    assert_eq!(connections, [40, 50]);
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn config_set_port_moves_the_server() {
    let server = TestServer::start(&[("bind", &["127.0.0.1"])]);
    let config = server.engine.config();
    let set = |port: u16| config.set(&[(b"port", port.to_string().as_bytes())], &*server.host);
    let ask = |client: &mut Client| {
        client.send("SET k v\r\n");
        client.expect(b"+OK\r\n");
    };
    let old = free_port();
    set(old).unwrap();
    let mut first = Client(TcpStream::connect(("127.0.0.1", old)).unwrap());
    ask(&mut first);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let new = taken.local_addr().unwrap().port();
    let error = set(new).unwrap_err();
    assert!(
        error
            .text()
            .ends_with("'port') - Unable to listen on this port. Check server logs."),
        "{error:?}"
    );
    assert_eq!(config.port(), old);
    drop(taken);
    set(new).unwrap();
    ask(&mut Client(TcpStream::connect(("127.0.0.1", new)).unwrap()));
    // Who is connected stays connected.
    ask(&mut first);
}
