//! TLS: clients as they are published, certificates good and bad, handshakes that are slow, cut or never end.

mod secure;

use redis::{ClientTlsConfig, Commands, TlsCertificates};
use redpoll_tests::certificates::{Pair, path};
use redpoll_tests::check::{check, show};
use redpoll_tests::eventually;
use redpoll_tests::program::{node, on_path, python, run};
use redpoll_tests::server::{free_port, run_redpoll};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};
use secure::{Files, Secure, connect};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Sends bytes and reads until as many have come as are expected, or fails.
fn ask(stream: &mut Secure, request: &[u8], expected: &[u8]) -> std::io::Result<()> {
    stream.write_all(request)?;
    let mut reply = vec![0; expected.len()];
    stream.read_exact(&mut reply)?;
    assert!(
        reply == expected,
        "{} instead of {}",
        reply.escape_ascii(),
        expected.escape_ascii()
    );
    Ok(())
}

fn is_served(config: &Arc<ClientConfig>, port: u16) -> bool {
    ask(
        &mut connect(config, port, "localhost"),
        b"PING\r\n",
        b"+PONG\r\n",
    )
    .is_ok()
}

#[test]
fn redis_cli_speaks_both_versions() {
    let Some(cli) = on_path("tls_redis_cli", "redis-cli") else {
        return;
    };
    let files = Files::new();
    for version in ["TLSv1.2", "TLSv1.3", "TLSv1.2 TLSv1.3"] {
        let (server, port) = files.start(&["--tls-protocols", version]);
        let call = |args: &[&str]| {
            run(Command::new(&cli)
                .args(["--tls", "-h", "127.0.0.1", "-p", &port.to_string()])
                .args(["--cacert", path(&files.ca)])
                .args([
                    "--cert",
                    path(&files.client.cert),
                    "--key",
                    path(&files.client.key),
                ])
                .args(args))
        };
        assert_eq!(call(&["SET", "k", version]), "OK\n");
        assert_eq!(call(&["GET", "k"]), format!("{version}\n"));
        let info = call(&["INFO", "server"]);
        assert!(
            info.contains(&format!("listener1:name=tls,bind=127.0.0.1,port={port}")),
            "{info}"
        );
        assert!(server.log().contains("Ready to accept connections tls"));
    }
}

#[test]
fn libraries_of_other_languages() {
    let files = Files::new();
    let (_server, port) = files.start(&[]);
    let args: Vec<String> = [
        &port.to_string(),
        path(&files.ca),
        path(&files.client.cert),
        path(&files.client.key),
    ]
    .map(|arg| arg.to_owned())
    .into();
    python("tls_redis_py", &["redis"], "tls_redis_py.py", &args);
    node("tls_ioredis", &["ioredis"], "tls_ioredis.js", &args);
}

#[test]
fn redis_rs() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let files = Files::new();
    let (_server, port) = files.start(&[]);
    let read = |path: &Path| std::fs::read(path).unwrap();
    let client = |host: &str, shown: Option<&Pair>| {
        redis::Client::build_with_tls(
            format!("rediss://{host}:{port}"),
            TlsCertificates {
                client_tls: shown.map(|pair| ClientTlsConfig {
                    client_cert: read(&pair.cert),
                    client_key: read(&pair.key),
                }),
                root_cert: Some(read(&files.ca)),
            },
        )
        .unwrap()
    };
    let mut connection = client("localhost", Some(&files.client))
        .get_connection()
        .unwrap();
    let () = connection.set("k", vec![7u8; 3 << 20]).unwrap();
    let value: Vec<u8> = connection.get("k").unwrap();
    assert_eq!(value, vec![7; 3 << 20]);
    let ping = |client: redis::Client| {
        let mut connection = client.get_connection()?;
        redis::cmd("PING").query::<String>(&mut connection)
    };
    assert!(ping(client("localhost", None)).is_err());
    assert!(ping(client("localhost", Some(&files.untrusted))).is_err());
}

#[test]
fn certificates_of_clients_are_asked_for_as_configured() {
    let files = Files::new();
    let shown = [
        ("good", Some(&files.client)),
        ("none", None),
        ("expired", Some(&files.expired)),
        ("untrusted", Some(&files.untrusted)),
    ];
    for (mode, let_in) in [
        ("yes", vec!["good"]),
        ("optional", vec!["good", "none"]),
        ("no", vec!["good", "none", "expired", "untrusted"]),
    ] {
        let (server, port) = files.start(&["--tls-auth-clients", mode]);
        for (name, pair) in shown {
            let served = is_served(&files.config(pair), port);
            assert_eq!(
                served,
                let_in.contains(&name),
                "{name} with tls-auth-clients {mode}"
            );
        }
        check(&mut server.connect(), "PING", "PONG");
    }
}

/// A certificate makes its client a user, if there is one of its name who is on; who has none is listed.
#[test]
fn clients_are_users_by_their_certificates() {
    let files = Files::new();
    for (mode, named, user) in [
        ("off", &files.client, "default"),
        ("cn", &files.client, "client"),
        ("cn", &files.named, "default"),
        ("uri", &files.named, "spiffe://ann"),
        ("uri", &files.client, "default"),
    ] {
        let (server, port) = files.start(&["--tls-auth-clients-user", mode]);
        let mut control = server.connect();
        check(&mut control, "ACL SETUSER client on >pw ~* +@all", "OK");
        check(&mut control, "ACL SETUSER named off nopass ~* +@all", "OK");
        check(&mut control, "ACL SETUSER spiffe://ann on ~* +@all", "OK");
        let config = files.config(Some(named));
        let mut client = connect(&config, port, "localhost");
        let reply = format!("${}\r\n{user}\r\n", user.len());
        ask(&mut client, b"ACL WHOAMI\r\n", reply.as_bytes()).unwrap();
        let refused = u8::from(mode != "off" && user == "default");
        let info = show(&control.run("INFO stats"));
        assert!(
            info.contains(&format!("acl_access_denied_tls_cert:{refused}\\r")),
            "{mode}: {info}"
        );
        let log = show(&control.run("ACL LOG"));
        assert_eq!(log.contains("\"tls-cert\""), refused == 1, "{mode}: {log}");
        let info = show(&control.run("INFO tls"));
        assert!(
            info.contains("tls_server_cert_serial:")
                && !info.contains("tls_server_cert_serial:none")
                && info.contains("tls_client_cert_serial:none"),
            "{info}"
        );
    }
}

/// The certificate that is shown to other servers, if it is another than clients are shown.
#[test]
fn info_tells_of_the_certificate_for_other_servers() {
    let files = Files::new();
    let (server, _) = files.start(&[
        "--tls-client-cert-file",
        path(&files.client.cert),
        "--tls-client-key-file",
        path(&files.client.key),
    ]);
    let info = show(&server.connect().run("INFO tls"));
    let serial = |whose: &str| {
        let (_, rest) = info.split_once(&format!("tls_{whose}_cert_serial:"))?;
        Some(rest.split_once('\\')?.0.to_owned())
    };
    let (own, other) = (serial("server"), serial("client"));
    assert!(own.is_some() && other.is_some() && own != other, "{info}");
    assert_ne!(other.as_deref(), Some("none"), "{info}");
}

#[test]
fn a_client_sees_whom_it_speaks_to() {
    let files = Files::new();
    let (server, port) = files.start(&["--tls-auth-clients", "no"]);
    let config = files.config(None);
    let wrong = ask(
        &mut connect(&config, port, "example.org"),
        b"PING\r\n",
        b"+PONG\r\n",
    );
    assert!(
        wrong
            .unwrap_err()
            .to_string()
            .contains("not valid for name")
    );
    // The certificate is changed while the server runs, and a connection that is open does not notice.
    let mut before = connect(&config, port, "localhost");
    ask(&mut before, b"PING\r\n", b"+PONG\r\n").unwrap();
    let set = |pair: &Pair| {
        format!(
            "CONFIG SET tls-cert-file {} tls-key-file {}",
            path(&pair.cert),
            path(&pair.key)
        )
    };
    let mut client = server.connect();
    check(&mut client, &set(&files.expired), "OK");
    let error = ask(
        &mut connect(&config, port, "localhost"),
        b"PING\r\n",
        b"+PONG\r\n",
    );
    assert!(error.unwrap_err().to_string().contains("expired"));
    assert!(server.log().contains("has expired"), "{}", server.log());
    ask(&mut before, b"PING\r\n", b"+PONG\r\n").unwrap();
    // What cannot be used changes nothing: one of the two alone, a file that is not there, one that is no certificate.
    check(&mut client, &set(&files.server), "OK");
    let refused = |name: &str| {
        format!(
            "-ERR CONFIG SET failed (possibly related to argument '{name}') - Unable to update TLS configuration. \
             Check server logs."
        )
    };
    for (line, name) in [
        (
            format!("CONFIG SET tls-key-file {}", path(&files.client.key)),
            "tls-key-file",
        ),
        (
            format!(
                "CONFIG SET timeout 7 tls-cert-file {}/none",
                path(&files.dir)
            ),
            "tls-cert-file",
        ),
        (
            format!("CONFIG SET tls-cert-file {}", path(&files.server.key)),
            "tls-cert-file",
        ),
        ("CONFIG SET tls-ciphers RC4".to_owned(), "tls-ciphers"),
    ] {
        check(&mut client, &line, &refused(name));
        assert!(is_served(&config, port), "after {line}");
    }
    check(&mut client, "CONFIG GET timeout", "[\"timeout\", \"0\"]");
    // The port moves and goes.
    let other = free_port();
    check(&mut client, &format!("CONFIG SET tls-port {other}"), "OK");
    assert!(is_served(&config, other));
    check(&mut client, "CONFIG SET tls-port 0", "OK");
    eventually("nobody listens", || {
        TcpStream::connect(("127.0.0.1", other)).is_err()
    });
}

#[test]
fn files_that_change_are_looked_at_again_if_asked() {
    let files = Files::new();
    let (_server, port) = files.start(&[
        "--tls-auth-clients",
        "no",
        "--tls-auto-reload-interval",
        "1",
    ]);
    let config = files.config(None);
    assert!(is_served(&config, port));
    // Both at once as far as the server can see: a look in between finds a pair that does not fit and leaves it.
    std::fs::copy(&files.expired.cert, &files.server.cert).unwrap();
    std::fs::copy(&files.expired.key, &files.server.key).unwrap();
    eventually("the other certificate is shown", || {
        !is_served(&config, port)
    });
}

#[test]
fn what_cannot_be_used_is_one_line_at_the_start() {
    let files = Files::new();
    let port = free_port().to_string();
    let fails = |args: &[&str], text: &str| {
        let mut all = vec!["--port", "0", "--save", "", "--tls-port", &port];
        all.extend(args);
        let run = run_redpoll(&all, &[]);
        assert!(!run.status.success(), "{args:?} is accepted");
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(run.stderr.contains(text), "{text} is not in {}", run.stderr);
    };
    let (cert, key) = (path(&files.server.cert), path(&files.server.key));
    fails(&[], "tls-ca-cert-file");
    fails(&["--tls-auth-clients", "no"], "tls-cert-file is not set");
    let no = |more: &[&'static str]| [&["--tls-auth-clients", "no"], more].concat();
    let with = |more: &[&'static str]| no(more);
    let mut args = with(&[]);
    args.extend(["--tls-cert-file", cert]);
    fails(&args, "tls-key-file is not set");
    args.extend(["--tls-key-file", path(&files.client.key)]);
    fails(&args, "is not the key of tls-cert-file");
    args.truncate(2);
    args.extend(["--tls-cert-file", "/none.crt", "--tls-key-file", key]);
    fails(&args, "tls-cert-file '/none.crt': No such file");
    args.truncate(2);
    args.extend(["--tls-cert-file", key, "--tls-key-file", key]);
    fails(&args, "no certificate in PEM form");
    args.truncate(2);
    args.extend(["--tls-cert-file", cert, "--tls-key-file", cert]);
    fails(&args, "no private key in PEM form");
    args.truncate(2);
    args.extend([
        "--tls-cert-file",
        cert,
        "--tls-key-file",
        key,
        "--tls-protocols",
        "TLSv1.1",
    ]);
    fails(&args, "'TLSv1.1' is none of TLSv1.2 and TLSv1.3");
    fails(
        &["--tls-cert-file", cert, "--tls-key-file", key],
        "set tls-ca-cert-file or tls-ca-cert-dir",
    );
}

#[test]
fn a_key_may_have_a_password_and_trust_a_folder() {
    let Some(openssl) = on_path("tls_key_password", "openssl") else {
        return;
    };
    let files = Files::new();
    let sealed = files.dir.join("sealed.key");
    run(Command::new(openssl)
        .args([
            "pkcs8",
            "-topk8",
            "-in",
            path(&files.server.key),
            "-out",
            path(&sealed),
        ])
        .args(["-passout", "pass:a secret"]));
    let trusted = files.dir.join("trusted");
    std::fs::create_dir(&trusted).unwrap();
    std::fs::copy(&files.ca, trusted.join("ours.pem")).unwrap();
    std::fs::write(trusted.join("README"), "not a certificate").unwrap();
    let with = |password: &'static str| {
        [
            "--tls-key-file",
            path(&sealed),
            "--tls-key-file-pass",
            password,
        ]
    };
    let mut args = with("a secret").to_vec();
    args.extend([
        "--tls-ca-cert-file",
        "",
        "--tls-ca-cert-dir",
        path(&trusted),
    ]);
    let (_server, port) = files.start(&args);
    assert!(is_served(&files.config(Some(&files.client)), port));
    assert!(!is_served(&files.config(None), port));
    for (password, text) in [
        ("", "tls-key-file-pass is not set"),
        ("wrong", "does not open it"),
    ] {
        let mut args = vec!["--port", "0", "--tls-port", "1", "--tls-auth-clients", "no"];
        args.extend(["--tls-cert-file", path(&files.server.cert)]);
        args.extend(with(password));
        let run = run_redpoll(&args, &[]);
        assert!(run.stderr.contains(text), "{}", run.stderr);
        assert!(!run.stderr.contains("wrong"), "{}", run.stderr);
    }
}

#[test]
fn whatever_is_sent_at_once_is_answered_in_order() {
    let files = Files::new();
    let (server, port) = files.start(&["--tls-auth-clients", "no"]);
    let config = files.config(None);
    let mut stream = connect(&config, port, "localhost");
    // More than a record each way, more than the socket takes, and cut anywhere.
    let mut value = Vec::new();
    for at in 0..(20u32 << 20) / 4 {
        value.extend_from_slice(&at.wrapping_mul(2_654_435_761).to_le_bytes());
    }
    let mut request = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", value.len()).into_bytes();
    request.extend_from_slice(&value);
    request.extend_from_slice(b"\r\n");
    ask(&mut stream, &request, b"+OK\r\n").unwrap();
    let mut expected = format!("${}\r\n", value.len()).into_bytes();
    expected.extend_from_slice(&value);
    expected.extend_from_slice(b"\r\n");
    ask(&mut stream, b"GET k\r\n", &expected).unwrap();
    for (count, size) in [(50_000, 10), (2_000, 3_000)] {
        let word = "x".repeat(size);
        let (mut request, mut expected) = (Vec::new(), Vec::new());
        for number in 0..count {
            request.extend_from_slice(format!("ECHO {number}{word}\r\n").as_bytes());
            let text = format!("{number}{word}");
            expected.extend_from_slice(format!("${}\r\n{text}\r\n", text.len()).as_bytes());
        }
        for piece in request.chunks(200_000) {
            stream.write_all(piece).unwrap();
        }
        let mut reply = vec![0; expected.len()];
        stream.read_exact(&mut reply).unwrap();
        assert!(reply == expected);
    }
    // What others send arrives too, without being asked for.
    ask(
        &mut stream,
        b"SUBSCRIBE c\r\n",
        b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n",
    )
    .unwrap();
    check(&mut server.connect(), "PUBLISH c hello", "1");
    ask(
        &mut stream,
        b"",
        b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n",
    )
    .unwrap();
    // The last reply comes before the end, and the end is announced.
    ask(&mut stream, b"QUIT\r\n", b"+OK\r\n").unwrap();
    assert_eq!(
        stream.read(&mut [0; 10]).unwrap(),
        0,
        "an end without notice would be an error"
    );
}

#[test]
fn a_client_that_does_not_read_is_served_when_it_does() {
    let files = Files::new();
    let (server, port) = files.start(&["--tls-auth-clients", "no"]);
    let mut stream = connect(&files.config(None), port, "localhost");
    let value = "v".repeat(100_000);
    let mut client = server.connect();
    assert_eq!(
        client.call(&["SET", "k", &value]),
        resp::Value::Simple("OK".into())
    );
    let gets = 200;
    stream
        .write_all("GET k\r\n".repeat(gets).as_bytes())
        .unwrap();
    eventually("the server has more to send than the socket takes", || {
        let list = show(&client.call(&["CLIENT", "LIST"]));
        list.split(" omem=")
            .any(|part| !part.starts_with('0') && part.starts_with(|c: char| c.is_ascii_digit()))
    });
    let expected = format!("$100000\r\n{value}\r\n").repeat(gets);
    ask(&mut stream, b"", expected.as_bytes()).unwrap();
}

#[test]
fn sessions_are_resumed_unless_that_is_off() {
    let files = Files::new();
    for (caching, versions) in [
        ("yes", "TLSv1.3"),
        ("yes", "TLSv1.2"),
        ("no", "TLSv1.3"),
        ("no", "TLSv1.2"),
    ] {
        let (_server, port) = files.start(&[
            "--tls-session-caching",
            caching,
            "--tls-protocols",
            versions,
        ]);
        let config = files.config(Some(&files.client));
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut stream = connect(&config, port, "localhost");
            ask(&mut stream, b"PING\r\n", b"+PONG\r\n").unwrap();
            kinds.push(stream.conn.handshake_kind().unwrap());
        }
        assert_eq!(kinds[0], HandshakeKind::Full);
        assert_eq!(
            kinds[1] == HandshakeKind::Resumed,
            caching == "yes",
            "{versions}"
        );
    }
}

/// A client's first message, as bytes.
fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(config.clone(), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// Writes everything byte by byte.
struct Slow(TcpStream);

impl Read for Slow {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let most = into.len().min(3);
        self.0.read(&mut into[..most])
    }
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::thread::sleep(Duration::from_micros(50));
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn slow_cut_and_senseless_handshakes_harm_nobody() {
    let files = Files::new();
    let (server, port) = files.start(&[]);
    let config = files.config(Some(&files.client));
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(config.clone(), name).unwrap();
    let mut slow = StreamOwned::new(connection, Slow(socket));
    slow.write_all(b"PING\r\n").unwrap();
    let mut reply = [0; 7];
    slow.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"+PONG\r\n");
    drop(slow);

    let hello = hello(&config);
    for cut in [0, 1, 5, 6, 50, hello.len() - 1, hello.len()] {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.write_all(&hello[..cut]).unwrap();
    }
    for nonsense in [
        &b"PING\r\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 0xff, 0xff, 1],
        &[0xff; 20_000],
    ] {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        // It may be closed while it still writes.
        let _ = socket.write_all(nonsense);
        let mut answer = Vec::new();
        if nonsense.len() > 6 || nonsense[0] == b'P' {
            let _ = socket.read_to_end(&mut answer);
            assert!(
                !answer.starts_with(b"+") && !answer.starts_with(b"-"),
                "{}",
                answer.escape_ascii()
            );
        }
    }
    // A client of TLS at the port without it is no client.
    let mut wrong = connect(&config, server.port(), "localhost");
    let shortly = Some(Duration::from_millis(300));
    wrong.sock.set_read_timeout(shortly).unwrap();
    assert!(ask(&mut wrong, b"PING\r\n", b"+PONG\r\n").is_err());
    drop(wrong);
    assert!(is_served(&config, port));
    eventually("nothing is left of them", || {
        show(&server.connect().call(&["INFO", "clients"])).contains("connected_clients:1\\r")
    });
    assert!(!server.log().contains("panic"), "{}", server.log());
}

#[test]
fn a_flood_of_clients_that_never_finish_keeps_nobody_out() {
    let files = Files::new();
    let (server, port) = files.start(&["--maxclients", "4000"]);
    let config = files.config(Some(&files.client));
    let mut inside = connect(&config, port, "localhost");
    ask(&mut inside, b"PING\r\n", b"+PONG\r\n").unwrap();
    let hello = hello(&config);
    let mut half_open = Vec::new();
    for number in 0..1500 {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        if number % 2 == 0 {
            let _ = socket.write_all(&hello);
        }
        half_open.push(socket);
        if number % 100 == 0 {
            ask(&mut inside, b"PING\r\n", b"+PONG\r\n").unwrap();
        }
    }
    assert!(is_served(&config, port));
    // The first had to make room: it is closed although its time is not up. (Those of odd numbers got nothing.)
    let first = &mut half_open[1];
    first
        .set_read_timeout(Some(Duration::from_secs(9)))
        .unwrap();
    assert_eq!(first.read(&mut [0; 100]).unwrap(), 0);
    check(&mut server.connect(), "PING", "PONG");
}
