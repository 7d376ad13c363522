//! The HTTP port with TLS: metrics, health and the console's API as without; certificates as the other listeners want them.

mod secure;

use redpoll_tests::certificates::path;
use redpoll_tests::check::{check, show};
use redpoll_tests::http::{Answer, get, read, written};
use redpoll_tests::{Server, eventually};
use rustls::ClientConfig;
use secure::{Files, connect};
use std::io::{BufReader, Write};
use std::net::SocketAddr;
use std::sync::Arc;

/// A server whose HTTP port speaks TLS.
struct Https {
    server: Server,
    to: SocketAddr,
}

impl Https {
    fn start(files: &Files, more: &[&str]) -> Https {
        let (server, _) = files.start(more);
        let mut client = server.connect();
        check(&mut client, "CONFIG SET http-tls yes", "OK");
        let to = redpoll_tests::http::open_by(&mut client);
        Https { server, to }
    }

    /// Asks for something; the error is what the handshake failed for.
    fn ask(
        &self,
        config: &Arc<ClientConfig>,
        (method, path): (&str, &str),
        head: &[&str],
        body: &str,
    ) -> std::io::Result<Answer> {
        let mut stream = connect(config, self.to.port(), "127.0.0.1");
        stream.write_all(written(self.to, method, path, head, body).as_bytes())?;
        // Whoever is refused in a handshake of TLS 1.3 learns that when it reads.
        let mut reader = BufReader::new(stream);
        std::io::BufRead::fill_buf(&mut reader)?;
        Ok(read(&mut reader))
    }
}

#[test]
fn metrics_health_and_the_page_are_served_over_tls() {
    let files = Files::new();
    let https = Https::start(&files, &["--tls-auth-clients", "no"]);
    let config = files.config(None);
    let get = |path: &str, head: &[&str]| {
        let answer = https.ask(&config, ("GET", path), head, "");
        answer.expect("an answer")
    };
    assert_eq!(get("/healthz", &[]).text(), "ok\n");
    assert_eq!(get("/readyz", &[]).text(), "ready\n");
    let metrics = get("/metrics", &[]);
    assert_eq!(metrics.status, 200);
    assert!(
        metrics
            .text()
            .contains("redpoll_connected_clients{kind=\"tcp\"}")
    );
    let page = get("/", &[]);
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-security-policy")
            .contains("script-src")
    );
    // A token is asked for as without TLS.
    let mut client = https.server.connect();
    check(&mut client, "CONFIG SET http-token t0ken", "OK");
    let token = |token: &str| get("/metrics", &[&format!("Authorization: Bearer {token}")]);
    assert_eq!(token("t0ken").status, 200);
    assert_eq!(token("t0kem").status, 401);
}

#[test]
fn who_logs_in_over_tls_gets_a_cookie_that_goes_over_nothing_else() {
    let files = Files::new();
    let https = Https::start(&files, &["--tls-auth-clients", "no"]);
    let config = files.config(None);
    let post = |path: &str, head: &[&str], body: &str| {
        let answer = https.ask(&config, ("POST", path), head, body);
        answer.expect("an answer")
    };
    let login = post("/api/login", &[], r#"{"user":"default","password":""}"#);
    assert_eq!(login.status, 200, "{}", login.text());
    let cookie = login.header("set-cookie").to_owned();
    for part in ["; Secure", "; HttpOnly", "; SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap_or_default());
    let text = login.text();
    let token = text
        .split("\"csrf\":\"")
        .nth(1)
        .and_then(|t| t.split('"').next());
    let token = format!("X-CSRF-Token: {}", token.expect("a token"));
    let run = r#"{"args":["SET","k","v"]}"#;
    let done = post("/api/command", &[&cookie, &token], run);
    assert!(
        done.text().starts_with(r#"{"reply":{"status":"OK"}"#),
        "{}",
        done.text()
    );
    assert_eq!(show(&https.server.connect().run("GET k")), "\"v\"");
    // A page of the same name without TLS is another origin, and a wrong password is one here too.
    let plain = format!("Origin: http://{}", https.to);
    let own = format!("Origin: https://{}", https.to);
    assert_eq!(
        post("/api/command", &[&cookie, &token, &plain], run).status,
        403
    );
    assert_eq!(
        post("/api/command", &[&cookie, &token, &own], run).status,
        200
    );
    let wrong = post(
        "/api/login",
        &[],
        r#"{"user":"default","password":"x","extra":1}"#,
    );
    assert_ne!(wrong.status, 500);
    check(
        &mut https.server.connect(),
        "CONFIG SET requirepass pw",
        "OK",
    );
    let wrong = post("/api/login", &[], r#"{"user":"default","password":"no"}"#);
    assert_eq!(wrong.status, 401);
}

#[test]
fn certificates_of_browsers_and_scrapers_are_asked_for_as_of_other_clients() {
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
        let https = Https::start(&files, &["--tls-auth-clients", mode]);
        for (name, pair) in shown {
            let answer = https.ask(&files.config(pair), ("GET", "/healthz"), &[], "");
            let served = answer.is_ok_and(|answer| answer.status == 200);
            assert_eq!(
                served,
                let_in.contains(&name),
                "{name} with tls-auth-clients {mode}"
            );
        }
        check(&mut https.server.connect(), "PING", "PONG");
    }
}

#[test]
fn nothing_is_told_without_tls_and_a_changed_certificate_is_shown() {
    let files = Files::new();
    let https = Https::start(&files, &["--tls-auth-clients", "no"]);
    // Somebody who speaks plain HTTP gets no answer in it.
    let mut stream = redpoll_tests::http::begin(https.to, "GET", "/metrics", &[], "");
    let mut heard = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut heard);
    assert!(!heard.starts_with(b"HTTP/"), "{}", heard.escape_ascii());
    // A server whose certificate is not for this name, or is over, is refused by who checks.
    let config = files.config(None);
    let is_served = || {
        let answer = https.ask(&config, ("GET", "/healthz"), &[], "");
        answer.is_ok_and(|answer| answer.status == 200)
    };
    assert!(is_served());
    let mut client = https.server.connect();
    for pair in [&files.expired, &files.untrusted] {
        let set = [
            "CONFIG",
            "SET",
            "tls-cert-file",
            path(&pair.cert),
            "tls-key-file",
            path(&pair.key),
        ];
        assert_eq!(show(&client.call(&set)), "OK");
        assert!(!is_served());
    }
    // Without TLS again, on the same port.
    check(&mut client, "CONFIG SET http-tls no", "OK");
    eventually("the port speaks plain HTTP", || {
        std::net::TcpStream::connect(https.to).is_ok()
            && get(https.to, "/healthz", &[]).status == 200
    });
}
