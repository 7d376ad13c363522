//! The HTTP port: metrics, health, and what the console's page asks of the server, with those who may not have it.

use redpoll_tests::check::show;
use redpoll_tests::http::{Login, begin, get, open, open_by, read_head, request};
use redpoll_tests::{Server, eventually};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// The part of an answer of `/api/command` that does not differ from run to run.
fn reply(answer: &str) -> &str {
    answer
        .rsplit_once(",\"us\":")
        .map_or(answer, |(reply, _)| reply)
}

#[test]
fn there_is_no_port_unless_one_is_asked_for() {
    let server = Server::redpoll();
    let mut client = server.connect();
    assert_eq!(
        show(&client.run("CONFIG GET http-port")),
        r#"["http-port", "0"]"#
    );
    let to = open(&server);
    assert_eq!(get(to, "/healthz", &[]).text(), "ok\n");
    assert_eq!(get(to, "/readyz", &[]).text(), "ready\n");
    client.run("CONFIG SET http-port 0");
    eventually("the port is closed", || TcpStream::connect(to).is_err());
    // A port that somebody has is refused, and the setting stays.
    let taken = format!("CONFIG SET http-port {}", server.port());
    assert!(
        show(&client.run(&taken)).contains("ERR"),
        "the server's own port"
    );
    assert_eq!(
        show(&client.run("CONFIG GET http-port")),
        r#"["http-port", "0"]"#
    );
}

#[test]
fn metrics_are_told_in_both_formats() {
    let server = Server::redpoll();
    let to = open(&server);
    let mut client = server.connect();
    client.run("SET k v");
    client.run("GET k");
    client.run("GET nosuch");
    client.run("INCR k");
    let plain = get(to, "/metrics", &[]);
    assert_eq!(
        plain.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = plain.text();
    for line in [
        "redpoll_commands_total{cmd=\"get\"} 2",
        "redpoll_commands_failed_total{cmd=\"incr\"} 1",
        "redpoll_command_latency_seconds_count{cmd=\"set\"} 1",
        "redpoll_keyspace_hits_total 1",
        "redpoll_keyspace_misses_total 1",
        "redpoll_errors_total{code=\"ERR\"} 1",
        "redpoll_db_keys{db=\"db0\"} 1",
        "# TYPE redpoll_commands_total counter",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    let open = get(
        to,
        "/metrics",
        &["Accept: application/openmetrics-text; version=1.0.0"],
    );
    assert!(
        open.header("content-type")
            .starts_with("application/openmetrics-text")
    );
    assert!(open.text().ends_with("# EOF\n"));
}

/// Anybody may have a name point here, and make a browser of this machine ask under it.
#[test]
fn names_of_keys_are_not_told_to_strangers() {
    let server = Server::redpoll();
    let to = open(&server);
    let mut client = server.connect();
    client.run("CONFIG SET http-token t0ken");
    client.run("SET secret v");
    let told = |head: &[&str]| get(to, "/metrics", head).text();
    let has_names = |text: &str| text.contains("key=\"secret\"");
    eventually("a key is hot", || {
        client.run("GET secret");
        has_names(&told(&[]))
    });
    assert!(has_names(&told(&["Host: localhost:1"])));
    let stranger = told(&["Host: evil.example"]);
    assert!(!has_names(&stranger) && stranger.contains("redpoll_hottest_key_ratio{"));
    assert!(!has_names(&told(&["Origin: http://evil.example"])));
    let token = "Authorization: Bearer t0ken";
    assert!(has_names(&told(&["Host: db.example", token])));
}

#[test]
fn metrics_are_for_users_who_may_run_info_and_for_who_has_the_token() {
    let server = Server::redpoll_with(&["--requirepass", "pw"]);
    let mut client = server.connect();
    client.run("AUTH pw");
    let to = open_by(&mut client);
    client.run("ACL SETUSER prom on >secret -@all +info");
    client.run("ACL SETUSER none on >secret -@all +ping");
    let status = |head: &[&str]| get(to, "/metrics", head).status;
    assert_eq!(status(&[]), 401);
    assert!(
        get(to, "/metrics", &[])
            .header("www-authenticate")
            .starts_with("Basic")
    );
    // prom:secret, none:secret, prom:wrong, and no pair at all.
    assert_eq!(status(&["Authorization: Basic cHJvbTpzZWNyZXQ="]), 200);
    assert_eq!(status(&["Authorization: Basic bm9uZTpzZWNyZXQ="]), 403);
    assert_eq!(status(&["Authorization: Basic cHJvbTp3cm9uZw=="]), 401);
    assert_eq!(status(&["Authorization: Basic ???"]), 401);
    assert_eq!(status(&["Authorization: Bearer "]), 401);
    client.run("CONFIG SET http-token t0ken");
    assert_eq!(status(&["Authorization: Bearer t0ken"]), 200);
    assert_eq!(status(&["Authorization: Bearer t0kem"]), 401);
    // Health is for everybody.
    assert_eq!(get(to, "/healthz", &[]).status, 200);
    assert_eq!(get(to, "/readyz", &[]).status, 200);
}

#[test]
fn commands_are_carried_out_for_who_is_logged_in() {
    let server = Server::redpoll();
    let to = open(&server);
    let login = Login::new(to, "default", "").expect("the default user needs no password");
    let run = |body: &str| reply(&login.command(body)).to_owned();
    assert_eq!(
        run(r#"{"args":["SET","k","v"]}"#),
        r#"{"reply":{"status":"OK"}"#
    );
    assert_eq!(run(r#"{"args":["GET","k"]}"#), r#"{"reply":"v""#);
    assert_eq!(run(r#"{"args":["GET","k"],"db":1}"#), r#"{"reply":null"#);
    assert_eq!(
        run(r#"{"commands":[["MULTI"],["INCR","n"],["INCR","n"],["EXEC"]]}"#),
        r#"{"replies":[{"status":"OK"},{"status":"QUEUED"},{"status":"QUEUED"},[1,2]]"#
    );
    // Nothing of one request is left for the next.
    assert_eq!(run(r#"{"args":["MULTI"]}"#), r#"{"reply":{"status":"OK"}"#);
    assert_eq!(run(r#"{"args":["GET","n"]}"#), r#"{"reply":"2""#);
    assert_eq!(
        run(r#"{"args":["SELECT","5"]}"#),
        r#"{"reply":{"status":"OK"}"#
    );
    assert_eq!(run(r#"{"args":["GET","n"]}"#), r#"{"reply":"2""#);
    // Any bytes, in and out.
    run(r#"{"args":["SET",{"b64":"/wA="},{"b64":"AP4="}]}"#);
    assert_eq!(
        run(r#"{"args":["GET",{"b64":"/wA="}]}"#),
        r#"{"reply":{"b64":"AP4=","len":2}"#
    );
    // A value of which only the beginning is wanted.
    run(r#"{"args":["SETRANGE","big","8000000","x"]}"#);
    assert_eq!(
        run(r#"{"args":["GETRANGE","big","7999999","-1"]}"#),
        "{\"reply\":\"\\u0000x\""
    );
    assert_eq!(
        run(r#"{"args":["GET","big"],"limit":2}"#),
        r#"{"reply":{"text":"\u0000\u0000","len":8000001,"cut":true}"#
    );
    // One that blocks, and is served.
    let blocked = std::thread::scope(|scope| {
        let waits = scope.spawn(|| run(r#"{"args":["BLPOP","q","0"]}"#));
        let mut client = server.connect();
        eventually("it waits", || {
            show(&client.run("INFO clients")).contains("blocked_clients:1")
        });
        client.run("RPUSH q x");
        waits.join().expect("a reply")
    });
    assert_eq!(blocked, r#"{"reply":["q","x"]"#);
    let wrong = login.post("/api/command", r#"{"args":["GET"],"db":99}"#);
    assert_eq!(wrong.status, 400);
    let wrong = login.post("/api/command", "{");
    assert_eq!(wrong.status, 400);
    assert!(run(r#"{"args":["GET"]}"#).contains("wrong number of arguments"));
}

#[test]
fn a_login_is_its_user_and_no_more() {
    let server = Server::redpoll();
    let to = open(&server);
    let mut client = server.connect();
    client.run("ACL SETUSER reader on >pw ~a:* +get +scan");
    client.run("SET a:1 x");
    client.run("SET b:1 y");
    assert_eq!(
        Login::new(to, "reader", "wrong").err().map(|a| a.status),
        Some(401)
    );
    assert_eq!(
        Login::new(to, "nosuch", "").err().map(|a| a.status),
        Some(401)
    );
    // Of strangers nothing long is read.
    let long = Login::new(to, "reader", &"x".repeat(20_000));
    assert_eq!(long.err().map(|a| a.status), Some(413));
    let login = Login::new(to, "reader", "pw").expect("a login");
    assert!(login.command(r#"{"args":["GET","a:1"]}"#).contains("\"x\""));
    for body in [r#"{"args":["GET","b:1"]}"#, r#"{"args":["SET","a:1","z"]}"#] {
        assert!(login.command(body).contains("NOPERM"), "{body}");
    }
    assert_eq!(login.get("/api/history").status, 403);
    assert!(
        login
            .get("/api/session")
            .text()
            .contains("\"user\":\"reader\"")
    );
    // What it may is asked anew each time.
    client.run("ACL SETUSER reader +set");
    assert!(
        login
            .command(r#"{"args":["SET","a:1","z"]}"#)
            .contains("OK")
    );
    // It is one client, and goes with its user.
    assert!(show(&client.run("CLIENT LIST")).contains("name=console"));
    client.run("ACL DELUSER reader");
    assert_eq!(login.get("/api/history").status, 401);
    assert_eq!(
        login
            .post("/api/command", r#"{"args":["GET","a:1"]}"#)
            .status,
        401
    );
    let login = Login::new(to, "default", "").expect("a login");
    assert_eq!(login.get("/api/history?seconds=5").status, 200);
    assert_eq!(login.post("/api/logout", "{}").status, 200);
    assert_eq!(login.get("/api/history").status, 401);
}

#[test]
fn the_page_can_ask_what_its_user_may() {
    let server = Server::redpoll();
    let to = open(&server);
    let mut client = server.connect();
    client.run("ACL SETUSER reader on >pw ~a:* +get +scan");
    client.run("ACL LOG RESET");
    let login = Login::new(to, "reader", "pw").expect("a login");
    let may = |body: &str| login.post("/api/may", body);
    let body =
        r#"{"commands":[["GET","a:1"],["GET","b:1"],["SET","a:1","x"],["NOSUCH"],["SCAN","0"]]}"#;
    assert_eq!(may(body).text(), r#"{"may":[true,false,false,false,true]}"#);
    assert_eq!(may("{}").status, 400);
    assert_eq!(may(r#"{"args":["GET","a:1"],"db":9999}"#).status, 400);
    // Nothing was run, and nobody was refused anything.
    assert_eq!(show(&client.run("ACL LOG")), "[]");
    assert_eq!(show(&client.run("EXISTS a:1")), "0");
    let cookie = [login.cookie()];
    assert_eq!(request(to, "POST", "/api/may", &cookie, body).status, 403);
    // What directives mean is told to whoever is logged in.
    let told = login.get("/api/directives").text();
    assert!(told.contains(r#""maxmemory":{"#), "{told}");
    assert_eq!(get(to, "/api/directives", &[]).status, 401);
}

#[test]
fn requests_of_other_sites_are_refused() {
    let server = Server::redpoll();
    let to = open(&server);
    let login = Login::new(to, "default", "").expect("a login");
    let body = r#"{"args":["PING"]}"#;
    let post = |head: &[&str]| request(to, "POST", "/api/command", head, body).status;
    assert_eq!(post(&[login.cookie(), login.csrf()]), 200);
    assert_eq!(post(&[login.csrf()]), 401);
    assert_eq!(post(&[login.cookie()]), 403);
    assert_eq!(post(&[login.cookie(), "X-CSRF-Token: 0"]), 403);
    let foreign = "Origin: http://evil.example";
    assert_eq!(post(&[login.cookie(), login.csrf(), foreign]), 403);
    let cross = "Sec-Fetch-Site: cross-site";
    assert_eq!(post(&[login.cookie(), login.csrf(), cross]), 403);
    assert_eq!(
        get(to, "/api/history", &[login.cookie(), foreign]).status,
        403
    );
    let own = format!("Origin: http://{to}");
    assert_eq!(post(&[login.cookie(), login.csrf(), &own]), 200);
    // A name that somebody has pointed here gets nobody in without a password.
    let enter = r#"{"user":"default","password":""}"#;
    let rebound = request(to, "POST", "/api/login", &["Host: evil.example"], enter);
    assert_eq!(rebound.status, 403);
    // A form cannot be sent as JSON.
    let plain = "Content-Type: text/plain";
    let length = format!("Content-Length: {}", enter.len());
    let mut stream = begin(to, "POST", "/api/login", &[plain, &length], "");
    stream.write_all(enter.as_bytes()).expect("a body is sent");
    assert_eq!(read_head(&mut BufReader::new(stream)).0, 415);
    let page = get(to, "/", &[]);
    assert!(
        page.header("content-security-policy")
            .contains("script-src 'self'")
    );
    assert_eq!(page.header("x-frame-options"), "DENY");
}

#[test]
fn many_wrong_passwords_have_to_wait() {
    let server = Server::redpoll_with(&["--requirepass", "pw"]);
    let mut client = server.connect();
    client.run("AUTH pw");
    let to = open_by(&mut client);
    let wrong = |_| Login::new(to, "default", "guess").err().map(|a| a.status);
    // On a slow machine the earlier ones may have been forgotten.
    assert!((0..1000).map(wrong).any(|status| status == Some(429)));
}

#[test]
fn events_are_told_as_they_come() {
    let server = Server::redpoll();
    let to = open(&server);
    let mut client = server.connect();
    client.run("CONFIG SET slowlog-log-slower-than 0");
    let login = Login::new(to, "default", "").expect("a login");
    let path = "/api/events?stats=1&slow=1&monitor=1&channel=news&pattern=__key*";
    let stream = begin(to, "GET", path, &[login.cookie()], "");
    let mut from = BufReader::new(stream);
    assert_eq!(read_head(&mut from).0, 200);
    let mut told = String::new();
    let mut until = |wanted: &str| {
        while !told.contains(wanted) {
            assert_ne!(from.read_line(&mut told).expect("an event"), 0, "{told}");
        }
    };
    until("event: hello");
    eventually("it listens", || {
        show(&client.run("CLIENT LIST")).contains("cmd=monitor")
    });
    client.run("CONFIG SET notify-keyspace-events KEA");
    client.run("PUBLISH news hello");
    until(r#"{"channel":"news","data":"hello"}"#);
    client.run("SET k v");
    until(r#""data":"set""#);
    until(r#"\"SET\" \"k\" \"v\""#);
    until(r#""args":["SET","k","v"]"#);
    until("event: stats");
    client.run("CLIENT KILL TYPE normal SKIPME yes");
    client.run("CLIENT KILL TYPE pubsub");
    until("event: ended");
}

#[test]
fn what_a_user_may_not_hear_is_said() {
    let server = Server::redpoll();
    let to = open(&server);
    let mut client = server.connect();
    client.run("ACL SETUSER some on >pw &open -@all +subscribe");
    let login = Login::new(to, "some", "pw").expect("a login");
    let path = "/api/events?stats=1&slow=1&monitor=1&channel=open&channel=shut";
    let stream = begin(to, "GET", path, &[login.cookie()], "");
    let mut from = BufReader::new(stream);
    read_head(&mut from);
    let mut told = String::new();
    while told.matches("event: refused").count() < 4 || !told.ends_with("\n\n") {
        assert_ne!(from.read_line(&mut told).expect("an event"), 0, "{told}");
    }
    for what in ["stats", "slow", "monitor", "shut"] {
        assert!(told.contains(&format!("\"what\":\"{what}\"")), "{told}");
    }
}

/// What nobody reads costs no more than its limit, and goes with its connection.
#[test]
fn a_stream_that_is_not_read_is_ended_and_gives_its_memory_back() {
    let server = Server::redpoll();
    let to = open(&server);
    let mut client = server.connect();
    client.run("CONFIG SET client-output-buffer-limit \"pubsub 1mb 0 0\"");
    let login = Login::new(to, "default", "").expect("a login");
    let stream = begin(to, "GET", "/api/events?channel=c", &[login.cookie()], "");
    eventually("it listens", || {
        show(&client.run("PUBSUB NUMSUB c")) == r#"["c", 1]"#
    });
    let message = "m".repeat(50_000);
    let publish = format!("PUBLISH c {message}");
    eventually("nobody listens any more", || {
        show(&client.run(&publish)) == "0"
    });
    assert!(!show(&client.run("CLIENT LIST")).contains("name=console-events"));
    // Its connection goes too, with all that it had to send, and not with the end of a whole answer.
    let mut sent = Vec::new();
    let _ = BufReader::new(stream).read_to_end(&mut sent);
    assert!(!sent.ends_with(b"0\r\n\r\n"));
}

#[test]
fn a_login_has_so_many_streams_and_no_more() {
    let server = Server::redpoll();
    let to = open(&server);
    let login = Login::new(to, "default", "").expect("a login");
    let stream = || {
        let mut stream = BufReader::new(begin(to, "GET", "/api/events", &[login.cookie()], ""));
        (read_head(&mut stream).0, stream)
    };
    let mut open: Vec<_> = (0..16).map(|_| stream()).collect();
    assert!(open.iter().all(|(status, _)| *status == 200));
    assert_eq!(stream().0, 429);
    open.pop();
    eventually("there is room again", || stream().0 == 200);
}

/// Metrics, logins and commands of others find their threads, and what nobody waits for any more is given up.
#[test]
fn commands_that_block_hold_up_nobody_for_long() {
    let server = Server::redpoll();
    let to = open(&server);
    let mut client = server.connect();
    let login = Login::new(to, "default", "").expect("a login");
    let blocks: Vec<&str> = vec![r#"["BLPOP","nolist","0"]"#; 100];
    let body = format!("{{\"commands\":[{}]}}", blocks.join(","));
    let head = [login.cookie(), login.csrf()];
    let waiting: Vec<_> = (0..32)
        .map(|_| begin(to, "POST", "/api/command", &head, &body))
        .collect();
    eventually("some block", || {
        !show(&client.run("INFO clients")).contains("blocked_clients:0")
    });
    assert_eq!(get(to, "/metrics", &[]).status, 200);
    assert!(Login::new(to, "default", "").is_ok());
    // All of them have gone.
    drop(waiting);
    eventually("none blocks", || {
        show(&client.run("INFO clients")).contains("blocked_clients:0")
    });
    assert!(login.command(r#"{"args":["PING"]}"#).contains("PONG"));
}

/// A pause of all clients is no reason for the port to stand still.
#[test]
fn a_pause_of_clients_does_not_hold_up_the_port() {
    let server = Server::redpoll();
    let to = open(&server);
    let mut client = server.connect();
    let login = Login::new(to, "default", "").expect("a login");
    client.run("CLIENT PAUSE 1000000 ALL");
    let path = "/api/events?channel=c";
    let stream = begin(to, "GET", path, &[login.cookie()], "");
    let mut from = BufReader::new(stream);
    assert_eq!(read_head(&mut from).0, 200);
    assert_eq!(get(to, "/metrics", &[]).status, 200);
    let login = Login::new(to, "default", "").unwrap_or(login);
    let late = login.command(r#"{"args":["GET","k"]}"#);
    assert!(late.contains("BUSY this was not run"), "{late}");
}

#[test]
fn nonsense_is_refused_and_the_next_is_served() {
    let server = Server::redpoll();
    let to = open(&server);
    for bytes in [
        &b"nonsense\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{",
    ] {
        let mut stream = TcpStream::connect(to).expect("the port is open");
        stream.write_all(bytes).expect("bytes are sent");
        stream.shutdown(std::net::Shutdown::Write).expect("an end");
        let mut answer = Vec::new();
        // It may be closed before it has said anything.
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    }
    assert_eq!(get(to, "/nosuch", &[]).status, 404);
    assert_eq!(get(to, "/api/nosuch", &[]).status, 404);
    assert_eq!(request(to, "PUT", "/api/login", &[], "").status, 405);
    assert_eq!(get(to, "/healthz", &[]).status, 200);
}
