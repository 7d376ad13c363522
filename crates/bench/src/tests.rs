//! Whole stages against a small server of our own, so that what was sent can be looked at.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use clap::Parser;

use crate::args::{Args, Plan};
use crate::stage::{Outcome, Stage, run};
use crate::template::Template;

/// Requests received, as their arguments joined by blanks.
type Received = Arc<Mutex<Vec<String>>>;

/// Answers every request with what `answer` makes of its arguments, until the connection closes.
fn serve(
    stream: TcpStream,
    received: &Received,
    answer: impl Fn(&str, &TcpStream) -> String,
) -> Option<()> {
    let mut replies = stream.try_clone().ok()?;
    let mut requests = BufReader::new(stream);
    let header = |requests: &mut BufReader<TcpStream>| -> Option<usize> {
        let mut line = String::new();
        requests.read_line(&mut line).ok()?;
        line.get(1..)?.trim_end().parse().ok()
    };
    loop {
        let args = header(&mut requests)?;
        let mut words = Vec::new();
        for _ in 0..args {
            let mut word = vec![0; header(&mut requests)? + 2];
            requests.read_exact(&mut word).ok()?;
            word.truncate(word.len() - 2);
            words.push(String::from_utf8(word).ok()?);
        }
        let request = words.join(" ");
        let reply = answer(&request, &replies);
        received.lock().expect("not poisoned").push(request);
        replies.write_all(reply.as_bytes()).ok()?;
    }
}

/// A server on a free port. Its threads end with their connections.
fn server(answer: fn(&str) -> String) -> (SocketAddr, Received) {
    server_with(move |request: &str, _: &TcpStream| answer(request))
}

/// The same for an answer that needs to know the connection.
fn server_with(
    answer: impl Fn(&str, &TcpStream) -> String + Clone + Send + 'static,
) -> (SocketAddr, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let received = Received::default();
    let shared = Arc::clone(&received);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let received = Arc::clone(&shared);
            let answer = answer.clone();
            thread::spawn(move || serve(stream, &received, answer));
        }
    });
    (address, received)
}

fn plan(address: SocketAddr, options: &str) -> Plan {
    let line = format!("--port {} {options}", address.port());
    let args = Args::try_parse_from(line.split_whitespace()).expect("valid options");
    Plan::new(&args).expect("a plan")
}

fn measure(plan: &Plan) -> Outcome {
    run(plan, &Stage::measure(plan)).expect("a run")
}

fn ok(_: &str) -> String {
    "+OK\r\n".to_string()
}

#[test]
fn sends_exactly_the_requests_asked_for() {
    let (address, received) = server(ok);
    let plan = plan(
        address,
        "--requests 1003 --threads 2 --connections 5 --pipeline 7 --ratio 1:1 --keys 50",
    );
    let outcome = measure(&plan);
    assert_eq!(outcome.requests, 1003);
    assert_eq!(outcome.latencies.len(), 1003);
    assert_eq!(outcome.errors.total, 0);
    assert_eq!(outcome.received, 1003 * 5);
    let received = received.lock().expect("not poisoned");
    assert_eq!(received.len(), 1003);
    let sets = received.iter().filter(|r| r.starts_with("SET ")).count();
    assert!((350..650).contains(&sets), "{sets} SETs");
    assert!(received.iter().all(|r| r[4..].starts_with("key:00000000")));
}

#[test]
fn loading_sets_every_key_once() {
    let (address, received) = server(ok);
    let plan = plan(
        address,
        "--load --load-only --keys 1000 --threads 3 --connections 9 --value-size 8",
    );
    let template = plan.load.as_ref().expect("a load command");
    let outcome = run(&plan, &Stage::load(&plan, template)).expect("a run");
    assert_eq!(outcome.requests, 1000);
    let received = received.lock().expect("not poisoned");
    let keys: HashSet<&str> = received
        .iter()
        .map(|request| request.split(' ').nth(1).expect("a key"))
        .collect();
    assert_eq!((received.len(), keys.len()), (1000, 1000));
}

#[test]
fn commands_sent_together_are_one_request() {
    let (address, received) = server(ok);
    let mut plan = plan(
        address,
        "--requests 300 --connections 3 --pipeline 4 --command PING",
    );
    let compile = |text: &str| Template::new(text, &plan.fill).expect("a template");
    plan.commands = vec![
        (compile("MULTI ; SET {key} {value:8} ; EXEC"), 1),
        (compile("PING"), 1),
    ];
    let outcome = measure(&plan);
    assert_eq!((outcome.requests, outcome.latencies.len()), (300, 300));
    let received = received.lock().expect("not poisoned");
    let [multi, exec, ping] =
        ["MULTI", "EXEC", "PING"].map(|name| received.iter().filter(|r| *r == name).count());
    assert_eq!(multi, exec);
    assert_eq!(multi + ping, 300);
    assert!(multi > 50 && ping > 50, "{multi} and {ping}");
    assert_eq!(outcome.received as usize, 5 * received.len());
}

/// A server that sends `message(n)` to all subscribers for the n-th PUBLISH.
fn broker(message: fn(usize) -> String) -> SocketAddr {
    let subscribers: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let published = Arc::new(Mutex::new(0));
    let (address, _) = server_with(move |request: &str, connection: &TcpStream| {
        let mut subscribers = subscribers.lock().expect("not poisoned");
        if request == "SUBSCRIBE news" {
            subscribers.push(connection.try_clone().expect("a socket"));
            return "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n".to_string();
        }
        let mut published = published.lock().expect("not poisoned");
        *published += 1;
        for subscriber in &mut *subscribers {
            // One that has gone takes nothing.
            let _ = subscriber.write_all(message(*published).as_bytes());
        }
        format!(":{}\r\n", subscribers.len())
    });
    address
}

#[test]
fn messages_to_subscribers_are_counted() {
    let address = broker(|_| "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n".to_string());
    let plan = plan(
        address,
        "--requests 200 --threads 2 --connections 2 --subscribers 3 --channel news --command PUBLISH",
    );
    let outcome = measure(&plan);
    assert_eq!(outcome.requests, 200);
    let delivered = outcome.delivered.expect("there are subscribers");
    // The last ones may still be under way at the end; on a busy machine these are many.
    assert!((100..=600).contains(&delivered), "{delivered}");
}

#[test]
fn messages_of_other_lengths_end_the_run() {
    let address = broker(|n| format!("*2\r\n+message\r\n+{}\r\n", "x".repeat(n)));
    let plan = plan(
        address,
        "--requests 200 --connections 1 --subscribers 1 --channel news --command PUBLISH",
    );
    let why = run(&plan, &Stage::measure(&plan)).err();
    assert!(why.is_some_and(|why| why.contains("differ in length")));
}

#[test]
fn errors_are_counted_by_code() {
    let (address, _) = server(|request| match request {
        "A" => "-ERR no such thing\r\n".to_string(),
        "B" => "*2\r\n-WRONGTYPE inside\r\n$3\r\nabc\r\n".to_string(),
        _ => "$-1\r\n".to_string(),
    });
    let plan = plan(
        address,
        "--requests 600 --connections 2 --command A --command B --command C",
    );
    let outcome = measure(&plan);
    assert_eq!(outcome.requests, 600);
    let [err, wrong] = ["ERR", "WRONGTYPE"].map(|code| outcome.errors.by_code[code]);
    assert!(err > 100 && wrong > 100, "{err} and {wrong}");
    assert_eq!(outcome.errors.total, err + wrong);
}

#[test]
fn an_open_loop_sends_its_requests_too() {
    let (address, received) = server(ok);
    let plan = plan(
        address,
        "--requests 200 --connections 3 --rate 20000 --command PING",
    );
    assert_eq!(measure(&plan).requests, 200);
    assert_eq!(received.lock().expect("not poisoned").len(), 200);
}

#[test]
fn an_open_loop_charges_a_stall_to_every_request_it_delayed() {
    // One connection, and a server that keeps the first request for 100 ms: the 99 others were due meanwhile. A closed
    // loop would see a single slow request.
    let (address, _) = server(|request| {
        if request == "HOLD 1" {
            thread::sleep(std::time::Duration::from_millis(100));
        }
        ok(request)
    });
    let mut plan = plan(address, "--requests 100 --connections 1 --rate 10000");
    let template = Template::new("HOLD {seq}", &plan.fill).expect("a template");
    plan.commands = vec![(template, 1)];
    let outcome = measure(&plan);
    let delayed = outcome.latencies.count_between(50_000_000, u64::MAX);
    assert!(delayed >= 90, "{delayed} of 100 requests show the stall");
}

#[test]
fn a_server_that_leaves_or_babbles_ends_the_run() {
    for nonsense in ["HTTP/1.1 400 Bad Request\r\n", "+OK\r\n+OK\r\n"] {
        let answer = match nonsense {
            "+OK\r\n+OK\r\n" => |_: &str| "+OK\r\n+OK\r\n".to_string(),
            _ => |_: &str| "HTTP/1.1 400 Bad Request\r\n".to_string(),
        };
        let (address, _) = server(answer);
        let plan = plan(address, "--requests 100 --connections 1 --command PING");
        assert!(run(&plan, &Stage::measure(&plan)).is_err(), "{nonsense}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            drop(stream);
        }
    });
    let plan = plan(address, "--requests 100 --connections 1");
    assert!(run(&plan, &Stage::measure(&plan)).is_err());
}

#[test]
fn a_refused_password_is_reported() {
    let (address, _) = server(|_| "-WRONGPASS invalid\r\n".to_string());
    let plan = plan(address, "--password x --requests 1");
    let why = run(&plan, &Stage::measure(&plan)).err();
    assert!(why.is_some_and(|why| why.contains("WRONGPASS invalid")));
}
