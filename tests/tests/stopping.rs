//! How a server stops. Replicas of a primary get all there is, while it goes on to serve what changes nothing, and that can be given up.
//! What is being written in the background is not waited for.

use redpoll_tests::check::{check, show};
use redpoll_tests::replication::info;
use redpoll_tests::server::Folder;
use redpoll_tests::{Client, Server, eventually};
use rustix::process::Signal;
use std::path::Path;

/// Signs of life come once an hour, so that there is nothing for a replica to have but changes.
const QUIET: [&str; 4] = [
    "--repl-diskless-sync-delay",
    "0",
    "--repl-ping-replica-period",
    "3600",
];

const FAILED: &str = "-ERR Errors trying to SHUTDOWN. Check logs.";

/// A primary that goes on until its replica has all, and the replica, which does not run and lacks a change.
fn with_lagging_replica(args: &[&str]) -> (Server, Server, Client) {
    let patient = ["--shutdown-timeout", "3600"];
    let primary = Server::redpoll_with(&[&QUIET[..], &patient, args].concat());
    let port = primary.port().to_string();
    let replica = Server::redpoll_with(&["--replicaof", &format!("127.0.0.1 {port}")]);
    let mut c = primary.connect();
    check(&mut c, "SET k 1", "OK");
    eventually("it follows", || show(&c.run("WAIT 1 10")) == "1");
    replica.signal(Signal::STOP);
    eventually("none of its threads runs", || stands_still(&replica));
    check(&mut c, "INCR k", "2");
    (primary, replica, c)
}

/// Whether all threads of a server are stopped.
fn stands_still(server: &Server) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    tasks.flatten().all(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // Behind the name, which may hold anything.
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" T"))
    })
}

fn waits_for_replicas(c: &mut Client) -> bool {
    let left = info(c, "shutdown_in_milliseconds");
    left.parse::<u64>().is_ok_and(|ms| ms > 0)
}

fn blocked(c: &mut Client) -> String {
    info(c, "blocked_clients")
}

#[test]
fn a_stop_waits_for_replicas_and_serves_meanwhile() {
    for by_signal in [true, false] {
        let (mut primary, replica, mut c) = with_lagging_replica(&[]);
        let mut stopper = primary.connect();
        match by_signal {
            true => primary.signal(Signal::TERM),
            false => stopper.send(&["SHUTDOWN"]),
        }
        eventually("it waits", || waits_for_replicas(&mut c));
        check(&mut c, "GET k", "\"2\"");
        assert_eq!(info(&mut c, "paused_actions"), "write");
        assert_eq!(info(&mut c, "paused_reason"), "shutdown_in_progress");
        // A pause of somebody else's ends, and this one goes on.
        check(&mut c, "CLIENT UNPAUSE", "OK");
        let mut writer = primary.connect();
        writer.send(&["SET", "k", "3"]);
        let all = if by_signal { "1" } else { "2" };
        eventually("the change is put off", || blocked(&mut c) == all);
        replica.signal(Signal::CONT);
        assert_eq!(primary.wait().code(), Some(0));
        assert_eq!(writer.read_to_close(), b"", "by signal: {by_signal}");
        assert_eq!(stopper.read_to_close(), b"");
        check(&mut replica.connect(), "GET k", "\"2\"");
        let log = primary.log();
        assert!(log.contains("1 of 1 replicas are in sync"), "{log}");
        assert!(!log.contains("Lagging replica"), "{log}");
    }
}

#[test]
fn a_stop_that_waits_can_be_given_up() {
    let (mut primary, replica, mut c) = with_lagging_replica(&[]);
    check(&mut c, "SHUTDOWN ABORT", "-ERR No shutdown in progress.");
    // Who comes later joins in, whatever his own words say.
    let mut stoppers = [primary.connect(), primary.connect(), primary.connect()];
    for (stopper, words) in stoppers.iter_mut().zip([
        &["SHUTDOWN"][..],
        &["SHUTDOWN", "NOSAVE", "NOW", "FORCE"],
        &["SHUTDOWN", "SAVE"],
    ]) {
        stopper.send(words);
        eventually("it waits", || waits_for_replicas(&mut c));
    }
    eventually("all wait", || blocked(&mut c) == "3");
    let mut writer = primary.connect();
    writer.send(&["INCR", "k"]);
    eventually("the change is put off", || blocked(&mut c) == "4");
    check(&mut c, "SHUTDOWN ABORT", "OK");
    for stopper in &mut stoppers {
        assert_eq!(show(&stopper.read()), FAILED);
        check(stopper, "PING", "PONG");
    }
    assert_eq!(show(&writer.read()), "3");
    assert_eq!(info(&mut c, "paused_reason"), "none");
    assert!(!waits_for_replicas(&mut c));
    check(&mut c, "SHUTDOWN ABORT", "-ERR No shutdown in progress.");
    // What a signal asked for can be given up too, and asked for again.
    primary.signal(Signal::INT);
    eventually("it waits", || waits_for_replicas(&mut c));
    check(&mut c, "SHUTDOWN ABORT", "OK");
    primary.signal(Signal::INT);
    eventually("it waits again", || waits_for_replicas(&mut c));
    // The client that has asked may go: the server stops all the same.
    drop(stoppers);
    replica.signal(Signal::CONT);
    assert_eq!(primary.wait().code(), Some(0));
    check(&mut replica.connect(), "GET k", "\"3\"");
}

#[test]
fn only_a_second_sigint_ends_the_wait() {
    let (mut primary, _replica, mut c) = with_lagging_replica(&["--save", "3600 1000"]);
    primary.signal(Signal::TERM);
    eventually("it waits", || waits_for_replicas(&mut c));
    primary.signal(Signal::TERM);
    check(&mut c, "GET k", "\"2\"");
    assert!(waits_for_replicas(&mut c));
    primary.signal(Signal::INT);
    assert_eq!(primary.wait().code(), Some(0));
    assert!(!primary.dir().join("dump.rdb").exists());
}

/// A replica in the middle of a chain waits for those who follow it, and carries out nothing of its primary's meanwhile.
#[test]
fn a_replica_waits_for_those_who_follow_it() {
    let following = |port: u16| ["--replicaof".to_owned(), format!("127.0.0.1 {port}")];
    let start = |above: &Server| {
        let following = following(above.port());
        let args = following.each_ref().map(String::as_str);
        Server::redpoll_with(&[&QUIET[..], &["--shutdown-timeout", "3600"], &args].concat())
    };
    let top = Server::redpoll_with(&QUIET);
    let mut middle = start(&top);
    let (mut t, mut m) = (top.connect(), middle.connect());
    eventually("it follows", || info(&mut m, "master_link_status") == "up");
    let bottom = start(&middle);
    // What was done before it had its copy may be in that.
    let mut b = bottom.connect();
    eventually("it has a copy", || {
        info(&mut b, "master_link_status") == "up"
    });
    check(&mut t, "SET k 0", "OK");
    eventually("the stream comes", || show(&b.run("GET k")) == "\"0\"");
    bottom.signal(Signal::STOP);
    eventually("none of its threads runs", || stands_still(&bottom));
    check(&mut t, "SET k 1", "OK");
    eventually("the change has come", || show(&m.run("GET k")) == "\"1\"");
    middle.signal(Signal::TERM);
    eventually("it waits", || waits_for_replicas(&mut m));
    check(&mut t, "SET k 2", "OK");
    let came = |m: &mut Client| {
        let [came, done] = ["slave_read_repl_offset", "slave_repl_offset"].map(|of| {
            let offset = info(m, of);
            offset.parse::<u64>().expect("an offset")
        });
        came > done
    };
    eventually("what comes waits", || came(&mut m));
    check(&mut m, "GET k", "\"1\"");
    check(&mut m, "SHUTDOWN ABORT", "OK");
    eventually("the stream goes on", || show(&m.run("GET k")) == "\"2\"");
    middle.signal(Signal::TERM);
    eventually("it waits again", || waits_for_replicas(&mut m));
    check(&mut t, "SET k 3", "OK");
    eventually("what comes waits", || came(&mut m));
    bottom.signal(Signal::CONT);
    assert_eq!(middle.wait().code(), Some(0));
    check(&mut bottom.connect(), "GET k", "\"2\"");
    let log = middle.log();
    assert!(log.contains("1 of 1 replicas are in sync"), "{log}");
}

/// Messages go to replicas too, so that they wait as changes do.
#[test]
fn messages_wait_for_a_stop_that_may_be_given_up() {
    let (primary, _replica, mut c) = with_lagging_replica(&[]);
    let mut stopper = primary.connect();
    stopper.send(&["SHUTDOWN"]);
    eventually("it waits", || waits_for_replicas(&mut c));
    let mut senders = [primary.connect(), primary.connect()];
    let [direct, queued] = &mut senders;
    direct.send(&["PUBLISH", "c", "m"]);
    check(queued, "MULTI", "OK");
    check(queued, "GET k", "QUEUED");
    queued.send(&["SPUBLISH", "c", "m"]);
    queued.send(&["EXEC"]);
    eventually("they are put off", || blocked(&mut c) == "3");
    // What may be done is queued, and nothing else.
    assert!(show(&c.run("CLIENT LIST")).contains(" multi=1 "));
    check(&mut c, "SHUTDOWN ABORT", "OK");
    assert_eq!(show(&senders[0].read()), "0");
    assert_eq!(show(&senders[1].read()), "QUEUED");
    assert!(show(&senders[1].read()).ends_with(", 0]"));
}

#[test]
fn a_wait_for_replicas_has_an_end() {
    let stop = |args: &[&str], words: &[&str]| {
        let (mut primary, _replica, mut c) = with_lagging_replica(args);
        c.send(words);
        assert_eq!(primary.wait().code(), Some(0), "{words:?}");
        let log = primary.log();
        // However long it was waited for, that is said once.
        assert_eq!(log.matches("Lagging replica").count(), 1, "{log}");
        log
    };
    let waited = stop(&["--shutdown-timeout", "1"], &["SHUTDOWN"]);
    assert!(waited.contains("0 of 1 replicas are in sync"), "{waited}");
    for (args, words) in [
        (&[][..], &["SHUTDOWN", "NOW"][..]),
        (&["--shutdown-timeout", "0"], &["SHUTDOWN"]),
    ] {
        let log = stop(args, words);
        assert!(!log.contains("Waiting for replicas"), "{log}");
    }
    // What is under way for ever does not make it longer.
    let (mut primary, _replica, mut c) = with_lagging_replica(&["--shutdown-timeout", "1"]);
    let mut stuck = primary.connect();
    stuck.send(&["EVAL", "while true do end", "1", "k"]);
    eventually("the script runs", || {
        !show(&c.run("FUNCTION STATS")).starts_with("[\"running_script\", nil")
    });
    c.send(&["SHUTDOWN", "NOSAVE"]);
    assert_eq!(primary.wait().code(), Some(0));
}

#[test]
fn a_stop_whose_save_fails_goes_on_with_changes() {
    let (mut primary, replica, mut c) = with_lagging_replica(&[]);
    // Nothing can take the place of a folder.
    let dump = primary.dir().join("dump.rdb");
    std::fs::create_dir(&dump).unwrap();
    let mut stopper = primary.connect();
    stopper.send(&["SHUTDOWN", "SAVE"]);
    eventually("it waits", || waits_for_replicas(&mut c));
    replica.signal(Signal::CONT);
    assert_eq!(show(&stopper.read()), FAILED);
    check(&mut c, "SET k 9", "OK");
    assert!(primary.log().contains("Errors trying to shut down"));
    std::fs::remove_dir(&dump).unwrap();
    c.send(&["SHUTDOWN", "SAVE"]);
    assert_eq!(primary.wait().code(), Some(0));
    assert!(dump.is_file());
    check(&mut replica.connect(), "GET k", "\"9\"");
}

/// A rewrite of the log and a copy for a replica keep nobody from stopping: they are given up, and nothing that was acknowledged is lost,
/// whether the server is stopped or killed then.
#[test]
fn a_stop_gives_up_what_is_being_written() {
    for (copies, how) in [
        (false, "SHUTDOWN"),
        (false, "SHUTDOWN NOSAVE"),
        (false, "SHUTDOWN SAVE"),
        (false, "TERM"),
        (false, "KILL"),
        (true, "SHUTDOWN SAVE"),
        (true, "TERM"),
        (true, "SHUTDOWN NOSAVE"),
    ] {
        let folder = Folder::new();
        let kept = ["--appendonly", "yes", "--appendfsync", "always"];
        let kept = [&kept[..], &["--save", "3600 1000", "--dir", folder.text()]].concat();
        let mut server = Server::redpoll_with(&[&QUIET[..], &kept].concat());
        let mut c = server.connect();
        check(&mut c, "SET before 1", "OK");
        // Only what begins now takes its time.
        check(&mut c, "CONFIG SET rdb-key-save-delay 1000000000", "OK");
        let replicaof = format!("127.0.0.1 {}", server.port());
        let _replica = copies.then(|| Server::redpoll_with(&["--replicaof", &replicaof]));
        if copies {
            eventually("the copy is being written", || {
                info(&mut c, "slave0").contains("state=wait_bgsave")
            });
        } else {
            check(
                &mut c,
                "BGREWRITEAOF",
                "Background append only file rewriting started",
            );
            eventually("it is being written", || {
                info(&mut c, "aof_rewrite_in_progress") == "1"
            });
        }
        eventually("the delay has been looked at", || {
            info(&mut c, "current_save_keys_processed") != "0"
        });
        check(&mut c, "CONFIG SET rdb-key-save-delay 0", "OK");
        check(&mut c, "INCR before", "2");
        check(&mut c, "SET after 3", "OK");
        match how {
            "TERM" => server.signal(Signal::TERM),
            "KILL" => server.signal(Signal::KILL),
            words => c.send(&words.split(' ').collect::<Vec<_>>()),
        }
        let status = server.wait();
        let log = server.log();
        let unfinished = || -> Vec<String> {
            std::fs::read_dir(Path::new(folder.text()).join("appendonlydir"))
                .unwrap()
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .filter(|name| name.starts_with("temp"))
                .collect()
        };
        // Who is killed leaves that to the next start.
        assert_eq!(unfinished().len(), usize::from(how == "KILL"), "{how}");
        if how != "KILL" {
            assert_eq!(status.code(), Some(0), "{how}, copies: {copies}\n{log}");
        }
        if how.contains("SAVE") && !copies && !how.contains("NOSAVE") {
            assert!(log.contains("The log is not rewritten: given up"), "{log}");
        }
        let server = Server::redpoll_with(&kept);
        let mut c = server.connect();
        check(&mut c, "GET before", "\"2\"");
        check(&mut c, "GET after", "\"3\"");
        let left = unfinished();
        assert!(left.is_empty(), "{how}: {left:?}");
        // It may be rewritten.
        check(
            &mut c,
            "BGREWRITEAOF",
            "Background append only file rewriting started",
        );
        eventually("it is rewritten", || {
            info(&mut c, "aof_rewrite_in_progress") == "0"
        });
        assert_eq!(info(&mut c, "aof_last_bgrewrite_status"), "ok");
    }
}
