//! What is left in the log of a server that a fatal signal has ended, and of a panic, which ends one command.

use redpoll_tests::check::{check, check_args};
use redpoll_tests::{Server, eventually};
use resp::Value;
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;

/// Has the server crash by a command of a client that has said who it is, and returns its log.
fn crash(args: &[&str]) -> String {
    let mut server = Server::redpoll_with(&[&["--enable-debug-command", "local"], args].concat());
    let mut client = server.connect();
    check(&mut client, "CLIENT SETINFO LIB-NAME crashtestdummy", "OK");
    check(&mut client, "SELECT 3", "OK");
    check(&mut client, "SET hidden-key hidden-value", "OK");
    check(&mut client, "GET hidden-key", "\"hidden-value\"");
    client
        .send_raw(b"DEBUG SEGFAULT\r\n")
        .expect("a command is sent");
    assert_eq!(client.read_to_close(), b"");
    let status = server.wait();
    assert_eq!(
        status.signal(),
        Some(Signal::SEGV.as_raw()),
        "it ends as without a report"
    );
    server.log()
}

fn has(log: &str, parts: &[&str]) {
    for part in parts {
        assert!(log.contains(part), "no {part:?} in\n{log}");
    }
}

#[test]
fn a_crash_is_reported_before_it_ends_the_server() {
    let log = crash(&[]);
    has(
        &log,
        &[
            "=== report of a crash: the server ends by signal 11 (SIGSEGV), code 2 ===",
            " worker-",
            "in memory of the process (---p)",
            "command: debug with 1 arguments of 8 bytes",
            "client: id ",
            "user default, library crashtestdummy",
            "database 3",
            "the latest first: get set select",
            "version: ",
            // From the instruction outwards.
            "  0: ",
            "base/fault.rs:",
            "cmd/debug.rs:",
            "dispatch/batch.rs:",
            "tokio::runtime",
            "=== end of the report of a crash ===",
        ],
    );
    assert!(!log.contains("hidden"), "what a client has sent:\n{log}");
    assert!(!log.contains("SEGFAULT"), "what a client has sent:\n{log}");
    assert!(!log.contains("cannot be followed"), "{log}");
}

#[test]
fn a_report_of_a_crash_has_what_clients_sent_if_that_is_asked_for() {
    let log = crash(&["--hide-user-data-from-log", "no"]);
    has(&log, &["argument 0: \"DEBUG\"", "argument 1: \"SEGFAULT\""]);
    let log = crash(&["--crash-log-enabled", "no"]);
    assert!(!log.contains("report"), "{log}");
}

#[test]
fn whatever_ends_a_process_is_reported_also_where_no_command_runs() {
    for signal in [
        Signal::SEGV,
        Signal::BUS,
        Signal::FPE,
        Signal::ILL,
        Signal::ABORT,
    ] {
        let mut server = Server::redpoll();
        server.signal(signal);
        assert_eq!(server.wait().signal(), Some(signal.as_raw()));
        let log = server.log();
        let sent = format!("sent by process {} of user", std::process::id());
        has(
            &log,
            &[
                "=== report of a crash: the server ends by signal",
                &sent,
                "It was at no command",
                "=== end of the report of a crash ===",
            ],
        );
    }
}

#[test]
fn what_a_script_runs_is_told_with_what_it_is_part_of() {
    let mut server = Server::redpoll_with(&["--enable-debug-command", "local"]);
    let mut client = server.connect();
    client
        .send_raw(b"MULTI\r\nPING\r\nDEBUG SEGFAULT\r\nEXEC\r\n")
        .expect("a transaction is sent");
    client.read_to_close();
    server.wait();
    has(
        &server.log(),
        &[
            "command: debug with 1 arguments of 8 bytes, in a transaction",
            "part of: exec",
        ],
    );
}

#[test]
fn a_panic_ends_one_command_and_is_reported_without_what_clients_sent_unless_asked() {
    let server = Server::redpoll_with(&["--enable-debug-command", "local"]);
    let mut client = server.connect();
    let panics = |reply: Value| matches!(reply, Value::Error(text) if text.contains("internal"));
    assert!(panics(client.run("DEBUG PANIC")));
    has(
        &server.log(),
        &[
            "=== report of a panic: one command has failed, the server goes on ===",
            "command: debug with 1 arguments of 5 bytes",
        ],
    );
    assert!(!server.log().contains("argument 0"));
    has(&server.log(), &["told to by DEBUG PANIC"]);
    // What a panic says may have been made of what a client has sent.
    assert!(panics(client.run("DEBUG PANIC from-a-client")));
    has(
        &server.log(),
        &["its words may have user data in them, and hide-user-data-from-log is on"],
    );
    assert!(!server.log().contains("from-a-client"));
    check(&mut client, "CONFIG SET hide-user-data-from-log no", "OK");
    assert!(panics(client.run("DEBUG PANIC")));
    eventually("what the client sent is told", || {
        server.log().contains("argument 1: \"PANIC\"")
    });
    assert!(panics(client.run("DEBUG PANIC from-a-client")));
    eventually("what the panic says is told", || {
        server.log().contains("told to: from-a-client")
    });
    check_args(&mut client, &["PING"], "PONG");
}
