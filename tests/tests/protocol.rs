//! Protocol torture: what arrives in pieces, what is malformed, what is too big, and clients that do not read.

use redpoll_tests::check::{check, check_args, show};
use redpoll_tests::client::encode;
use redpoll_tests::{Client, Server, env_number, eventually};

/// A pipeline of every form a command can take, and what it answers.
fn mixed_pipeline() -> (Vec<u8>, Vec<u8>) {
    let mut bytes = Vec::new();
    encode(&["SET", "key", "value"], &mut bytes);
    bytes.extend_from_slice(b"PING\r\n\r\n*0\r\n");
    encode(
        &[&b"SET"[..], b"bin\r\n\x00", b"*3\r\n$3\r\n\xff"],
        &mut bytes,
    );
    encode(&[&b"GET"[..], b"bin\r\n\x00"], &mut bytes);
    bytes.extend_from_slice(b"SET inline \"a\\x42\\r\\n\" \n");
    encode(&["GET", "inline"], &mut bytes);
    encode(&["SET", "empty", ""], &mut bytes);
    encode(&["STRLEN", "empty"], &mut bytes);
    encode(&["NOSUCH"], &mut bytes);
    encode(&["ECHO", "the end"], &mut bytes);
    let replies =
        b"+OK\r\n+PONG\r\n+OK\r\n$9\r\n*3\r\n$3\r\n\xff\r\n+OK\r\n$4\r\naB\r\n\r\n+OK\r\n:0\r\n\
        -ERR unknown command 'NOSUCH', with args beginning with: \r\n$7\r\nthe end\r\n";
    (bytes, replies.to_vec())
}

/// Reads as many replies as the mixed pipeline has.
fn mixed_replies(client: &mut Client) -> Vec<u8> {
    (0..10).flat_map(|_| client.read_raw()).collect()
}

#[test]
fn commands_split_at_every_byte() {
    let server = Server::redpoll();
    let (bytes, expected) = mixed_pipeline();
    let mut other = server.connect();
    for at in 1..bytes.len() {
        let mut client = server.connect();
        client
            .send_raw(&bytes[..at])
            .expect("the server takes the first part");
        // A reply on another connection gives the server time to read the first part; the result must not depend on it.
        check(&mut other, "PING", "PONG");
        client
            .send_raw(&bytes[at..])
            .expect("the server takes the second part");
        let replies = mixed_replies(&mut client);
        assert_eq!(
            replies.escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "split at byte {at}"
        );
    }
}

#[test]
fn commands_that_arrive_byte_by_byte() {
    let server = Server::redpoll();
    let (bytes, expected) = mixed_pipeline();
    let mut client = server.connect();
    for _ in 0..3 {
        for byte in &bytes {
            client.send_raw(&[*byte]).expect("the server takes a byte");
        }
        assert_eq!(
            mixed_replies(&mut client).escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
    }
}

/// What is sent, and what comes back before the connection closes.
const MALFORMED: &[(&[u8], &str)] = &[
    (b"*abc\r\n", "invalid multibulk length"),
    (b"*\r\n", "invalid multibulk length"),
    (b"* 1\r\n", "invalid multibulk length"),
    (b"*+1\r\n", "invalid multibulk length"),
    (b"*01\r\n", "invalid multibulk length"),
    (b"*2147483648\r\n", "invalid multibulk length"),
    (b"*9223372036854775808\r\n", "invalid multibulk length"),
    (b"*1\r\n\r\n", "expected '$', got ' '"),
    (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
    (b"*1\r\n:1\r\n", "expected '$', got ':'"),
    (b"*1\r\n*1\r\n", "expected '$', got '*'"),
    (
        b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfoo\r\n",
        "expected '$', got 'f'",
    ),
    (b"*1\r\n$\r\n", "invalid bulk length"),
    (b"*1\r\n$abc\r\n", "invalid bulk length"),
    (b"*1\r\n$-1\r\n", "invalid bulk length"),
    (b"*1\r\n$+4\r\nPING\r\n", "invalid bulk length"),
    (b"*1\r\n$04\r\nPING\r\n", "invalid bulk length"),
    (b"*1\r\n$536870913\r\n", "invalid bulk length"),
    (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
    (b"PING \"abc\r\n", "unbalanced quotes in request"),
    (b"PING 'a\r\n", "unbalanced quotes in request"),
];

#[test]
fn malformed_frames_are_named_and_the_connection_closes() {
    let server = Server::redpoll();
    for (bytes, text) in MALFORMED {
        let mut client = server.connect();
        // The command before is answered, the one after never runs.
        client
            .send_raw(&[b"PING\r\n", *bytes, b"\r\nSET canary dead\r\n"].concat())
            .expect("the server takes it");
        let replies = client.read_to_close();
        let expected = format!("+PONG\r\n-ERR Protocol error: {text}\r\n");
        assert_eq!(
            String::from_utf8_lossy(&replies),
            expected,
            "{}",
            bytes.escape_ascii()
        );
    }
    check(&mut server.connect(), "EXISTS canary", "0");
}

#[test]
fn endless_lines_are_refused() {
    let server = Server::redpoll();
    let endless: [(&[u8], &[u8], &str); 3] = [
        (b"", b"a", "too big inline request"),
        (b"*", b"1", "too big mbulk count string"),
        (b"*1\r\n$", b"1", "too big bulk count string"),
    ];
    for (beginning, filler, text) in endless {
        let mut client = server.connect();
        let bytes = [beginning, &filler.repeat(70_000)].concat();
        // The server may close before all of it is sent.
        let _ = client.send_raw(&bytes);
        let reply = String::from_utf8_lossy(&client.read_to_close()).into_owned();
        assert_eq!(reply, format!("-ERR Protocol error: {text}\r\n"));
    }
}

#[test]
fn inline_commands() {
    let server = Server::redpoll();
    let mut client = server.connect();
    let lines: &[(&[u8], &str)] = &[
        (b"PING\r\n", "PONG"),
        (b"PING\n", "PONG"),
        (b"  \r\n\r\nPING\r\n", "PONG"),
        (b"\tECHO\t hi \r\n", "\"hi\""),
        (
            b"ECHO \"a b\\x41\\n\\t\\\"\\\\\"\r\n",
            "\"a bA\\n\\t\\\"\\\\\"",
        ),
        (b"ECHO 'a\\'b\\n'\r\n", "\"a\\'b\\\\n\""),
        (b"ECHO \"\\xzz\\q\"\r\n", "\"xzzq\""),
        (b"ECHO \"\"\r\n", "\"\""),
        (
            b"\"\"\r\n",
            "-ERR unknown command '', with args beginning with: ",
        ),
        (b"*-1\r\nPING\r\n", "PONG"),
        (b"*-10\r\n*0\r\nPING\r\n", "PONG"),
        (
            b"*1\r\n$0\r\n\r\n",
            "-ERR unknown command '', with args beginning with: ",
        ),
    ];
    for (line, expected) in lines {
        client.send_raw(line).expect("the server takes a line");
        assert_eq!(show(&client.read()), *expected, "{}", line.escape_ascii());
    }
}

#[test]
fn http_requests_are_closed_without_a_reply() {
    let server = Server::redpoll();
    for request in [
        &b"POST / HTTP/1.1\r\nSET a b\r\n\r\n"[..],
        b"Host: 127.0.0.1\r\nSET a b\r\n",
    ] {
        let mut client = server.connect();
        client
            .send_raw(request)
            .expect("the server takes a request");
        assert_eq!(client.read_to_close(), b"");
    }
    check(&mut server.connect(), "EXISTS a", "0");
}

#[test]
fn announced_sizes_reserve_no_memory() {
    let server = Server::redpoll();
    check(&mut server.connect(), "PING", "PONG");
    let (resident, mapped) = (server.resident_bytes(), server.mapped_bytes());
    let mut clients: Vec<Client> = (0..64).map(|_| server.connect()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        let frame: &[u8] = match i % 3 {
            0 => b"PING\r\n*1048576\r\n$3\r\nDEL\r\n",
            1 => b"PING\r\n*2\r\n$3\r\nGET\r\n$536870912\r\nabc",
            _ => b"PING\r\n*2147483647\r\n$536870912\r\nabc",
        };
        client
            .send_raw(frame)
            .expect("the server takes the beginning");
        assert_eq!(client.read_raw(), b"+PONG\r\n");
    }
    // A second round trip: what followed the PING has been read by now.
    for client in &mut clients {
        client
            .send_raw(b"d")
            .expect("the server takes one more byte");
    }
    check(&mut server.connect(), "PING", "PONG");
    let more_resident = server.resident_bytes().saturating_sub(resident);
    let more_mapped = server.mapped_bytes().saturating_sub(mapped);
    assert!(
        more_resident < 32 << 20,
        "{more_resident} bytes more are resident"
    );
    assert!(more_mapped < 1 << 30, "{more_mapped} bytes more are mapped");
}

#[test]
fn strangers_may_not_send_big_frames() {
    let server = Server::redpoll_with(&["--requirepass", "secret"]);
    let too_much: [(&[u8], &str); 2] = [
        (b"*11\r\n", "unauthenticated multibulk length"),
        (
            b"*2\r\n$4\r\nECHO\r\n$16385\r\n",
            "unauthenticated bulk length",
        ),
    ];
    for (bytes, text) in too_much {
        let mut client = server.connect();
        client.send_raw(bytes).expect("the server takes a header");
        let reply = String::from_utf8_lossy(&client.read_to_close()).into_owned();
        assert_eq!(reply, format!("-ERR Protocol error: {text}\r\n"));
    }
    let mut client = server.connect();
    check(&mut client, "AUTH secret", "OK");
    let reply = client.call(&["ECHO", &"x".repeat(20_000)]);
    assert_eq!(show(&reply).len(), 20_002);
}

#[test]
fn a_pipeline_of_100_000_commands() {
    let server = Server::redpoll();
    let mut reader = server.connect();
    let mut bytes = Vec::new();
    for _ in 0..100_000 {
        encode(&["INCR", "n"], &mut bytes);
    }
    reader.send_and_read(&bytes, 100_000, |i, raw| {
        assert_eq!(raw, format!(":{}\r\n", i + 1).as_bytes());
    });
    check(&mut reader, "GET n", "\"100000\"");
}

#[test]
fn values_of_megabytes() {
    let server = Server::redpoll();
    let mut client = server.connect();
    // 512 MB is the limit of a value; it takes several copies of it in memory and some seconds, so it is asked for.
    let megabytes = env_number("REDPOLL_BIG_MB", 48) as usize;
    let value: Vec<u8> = (0..megabytes << 20).map(|i| (i % 251) as u8).collect();
    check_args(&mut client, &[b"SET", b"big".as_slice(), &value], "OK");
    check(&mut client, "STRLEN big", &value.len().to_string());
    client.send(&["GET", "big"]);
    let reply = client.read_raw();
    let header = format!("${}\r\n", value.len());
    assert!(reply.starts_with(header.as_bytes()) && reply.ends_with(b"\r\n"));
    assert!(
        reply[header.len()..reply.len() - 2] == value[..],
        "the value comes back changed"
    );
    check(&mut client, "DEL big", "1");
    let key = vec![0xA5; 1 << 20];
    check_args(&mut client, &[b"SET".as_slice(), &key, b"v"], "OK");
    check_args(&mut client, &[b"GET".as_slice(), &key], "\"v\"");
}

#[test]
fn keys_of_any_bytes() {
    let server = Server::redpoll();
    let mut client = server.connect();
    for byte in 0..=255u8 {
        check_args(
            &mut client,
            &[b"SET".as_slice(), &[byte], &[byte, byte]],
            "OK",
        );
    }
    check(&mut client, "DBSIZE", "256");
    for byte in 0..=255u8 {
        client.send(&[b"GET".as_slice(), &[byte]]);
        assert_eq!(
            client.read_raw(),
            [b"$2\r\n", [byte, byte].as_slice(), b"\r\n"].concat()
        );
    }
}

/// A server whose limit for unread replies is 8 MB, a connection to it, and a value of 1 MB under `mb`.
fn with_output_limit() -> (Server, Client) {
    let server = Server::redpoll();
    let mut client = server.connect();
    check_args(
        &mut client,
        &[
            "CONFIG",
            "SET",
            "client-output-buffer-limit",
            "normal 8mb 0 0",
        ],
        "OK",
    );
    check_args(&mut client, &["SET", "mb", &"x".repeat(1 << 20)], "OK");
    (server, client)
}

#[test]
fn unread_replies_to_a_pipeline_are_bounded() {
    let (server, mut other) = with_output_limit();
    let before = server.resident_bytes();
    let mut silent = server.connect();
    let mut gets = Vec::new();
    for _ in 0..100 {
        encode(&["GET", "mb"], &mut gets);
    }
    // Four gigabytes are asked for. The server may close the connection, or leave commands unread until replies are read.
    for _ in 0..40 {
        let sent = silent.send_raw(&gets);
        check(&mut other, "PING", "PONG");
        if sent.is_err() {
            break;
        }
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more are resident");
}

#[test]
fn a_client_that_does_not_read_one_big_reply_is_cut_off() {
    let (server, mut other) = with_output_limit();
    let mut silent = server.connect();
    let id = show(&silent.run("CLIENT ID"));
    silent.send(&[vec!["MGET"], vec!["mb"; 100]].concat());
    eventually("the connection is closed", || {
        show(&other.run(&format!("CLIENT LIST ID {id}"))) == "\"\""
    });
    let received = silent.read_to_close().len();
    assert!(
        received < 100 << 20,
        "all {received} bytes of the reply came"
    );
}

#[test]
fn hello_and_the_two_protocols() {
    let server = Server::redpoll_with(&["--requirepass", "secret"]);
    let mut c = server.connect();
    check(
        &mut c,
        "HELLO 3",
        "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
    );
    check(&mut c, "HELLO 4", "-NOPROTO unsupported protocol version");
    check(
        &mut c,
        "HELLO x",
        "-ERR Protocol version is not an integer or out of range",
    );
    check(
        &mut c,
        "HELLO 3 AUTH default wrong",
        "-WRONGPASS invalid username-password pair or user is disabled.",
    );
    check(&mut c, "GET k", "-NOAUTH Authentication required.");
    let hello = show(&c.run("HELLO 3 AUTH default secret SETNAME me"));
    assert!(
        hello.starts_with('{')
            && hello.contains("\"proto\": 3")
            && hello.contains("\"role\": \"master\""),
        "{hello}"
    );
    check(&mut c, "CLIENT GETNAME", "\"me\"");
    c.send(&["GET", "missing"]);
    assert_eq!(c.read_raw(), b"_\r\n");
    c.send(&["CONFIG", "GET", "databases"]);
    assert_eq!(c.read_raw(), b"%1\r\n$9\r\ndatabases\r\n$2\r\n16\r\n");
    let hello = show(&c.run("HELLO 2"));
    assert!(
        hello.starts_with('[') && hello.contains("\"proto\", 2"),
        "{hello}"
    );
    c.send(&["GET", "missing"]);
    assert_eq!(c.read_raw(), b"$-1\r\n");
    check(&mut c, "RESET", "RESET");
    check(&mut c, "GET k", "-NOAUTH Authentication required.");
}

#[test]
fn replies_can_be_turned_off() {
    let server = Server::redpoll();
    let mut c = server.connect();
    c.send_raw(b"CLIENT REPLY SKIP\r\nPING\r\nECHO one\r\n")
        .expect("the server takes a pipeline");
    assert_eq!(show(&c.read()), "\"one\"");
    c.send_raw(b"CLIENT REPLY OFF\r\nPING\r\nSET k v\r\nNOSUCH\r\nCLIENT REPLY ON\r\nGET k\r\n")
        .expect("the server takes a pipeline");
    assert_eq!(show(&c.read()), "OK");
    assert_eq!(show(&c.read()), "\"v\"");
}

#[test]
fn quit_answers_and_closes() {
    let server = Server::redpoll();
    let mut c = server.connect();
    c.send_raw(b"SET k v\r\nQUIT\r\nSET k other\r\n")
        .expect("the server takes a pipeline");
    assert_eq!(c.read_to_close(), b"+OK\r\n+OK\r\n");
    check(&mut server.connect(), "GET k", "\"v\"");
}

/// An inline command with escapes is rewritten outside of the input; one that had to wait for a helper thread was lost with
/// the rewriting, and its client never got a reply.
#[test]
fn a_quoted_inline_command_that_takes_long_is_answered() {
    let server = Server::redpoll();
    let mut client = server.connect();
    let mut fill = vec!["SADD".to_owned(), "big".to_owned()];
    fill.extend((0..30_000).map(|i| format!("member:{i}")));
    client.call(&fill);
    client
        .send_raw(b"SMEMBERS \"b\\x69g\"\r\nPING\r\n")
        .expect("the connection takes it");
    let resp::Value::Array(members) = client.read() else {
        panic!("SMEMBERS answers an array")
    };
    assert_eq!(members.len(), 30_000);
    assert_eq!(show(&client.read()), "PONG");
}
