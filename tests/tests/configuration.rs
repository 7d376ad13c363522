//! Configuration files of other servers, what CONFIG REWRITE makes of one, and the folder that files are in.

use redpoll_tests::check::{check, check_args, show};
use redpoll_tests::client::Client;
use redpoll_tests::server::{Folder, run_redpoll};
use redpoll_tests::{Peers, Server, eventually, every_peer};
use resp::Value;

/// All of a server's directives with their values.
fn all(client: &mut Client) -> Vec<(String, String)> {
    let Value::Array(items) = client.call(&["CONFIG", "GET", "*"]) else {
        panic!("CONFIG GET * is no array");
    };
    let text = |item: &Value| match item {
        Value::Bulk(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?} in CONFIG GET *"),
    };
    items
        .chunks(2)
        .map(|pair| (text(&pair[0]), text(&pair[1])))
        .collect()
}

/// Directives whose default cannot be the same: places of the machine that the server stands in.
const PLACES: &[&str] = &["dir", "port", "bind", "logfile", "pidfile"];

/// Values that a real server has by default and Redpoll refuses, with the reason why it may.
const OTHERWISE: &[(&str, &str)] = &[
    // The harness sets it.
    ("save", "the command line says otherwise"),
    // It promises figures.
    ("latency-tracking", "not built yet"),
];

/// Every directive that a real server knows is known, and takes the value that the real server has when nothing is set.
#[test]
fn whatever_another_server_has_by_default_starts_redpoll() {
    for peer in every_peer("whatever_another_server_has_by_default_starts_redpoll") {
        let theirs = {
            let server = Server::peer(&peer, &[]);
            all(&mut server.connect())
        };
        assert!(theirs.len() > 150, "{} directives", theirs.len());
        let mut file = String::new();
        for (name, value) in &theirs {
            let otherwise = OTHERWISE.iter().any(|(other, _)| other == name);
            if !PLACES.contains(&name.as_str()) && !otherwise {
                let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
                let several = ["client-output-buffer-limit", "oom-score-adj-values"];
                if several.contains(&name.as_str()) || name.ends_with("percentiles") {
                    file.push_str(&format!("{name} {value}\n"));
                } else {
                    file.push_str(&format!("{name} \"{quoted}\"\n"));
                }
            }
        }
        let server = Server::redpoll_with_file(&file, &[]);
        let mut client = server.connect();
        for (name, _) in &theirs {
            let Value::Array(answer) = client.call(&["CONFIG", "GET", name]) else {
                panic!("CONFIG GET {name}");
            };
            assert_eq!(
                answer.len(),
                2,
                "{} {} knows {name}",
                peer.name,
                peer.version
            );
        }
    }
}

#[test]
fn rewrite_keeps_what_people_wrote_and_another_start_finds_what_held() {
    let file = "# the port is set below\n\ntimeout 7\n# not much\nmaxclients   100\nproto-max-bulk-len 1mb\n\nsave 3600 1\n\
                # the end\n";
    let server = Server::redpoll_with_file(file, &[]);
    let mut client = server.connect();
    check(
        &mut client,
        "CONFIG SET timeout 9 hash-max-listpack-entries 77",
        "OK",
    );
    check_args(
        &mut client,
        &["CONFIG", "SET", "notify-keyspace-events", "KEx"],
        "OK",
    );
    // As a sentinel sends it.
    check(&mut client, "MULTI", "OK");
    check(&mut client, "CONFIG REWRITE", "QUEUED");
    check(&mut client, "EXEC", "[OK]");
    check(&mut client, "CONFIG REWRITE", "OK");
    let path = server.dir().join("redis.conf");
    let text = std::fs::read_to_string(&path).unwrap();
    // The harness sets these on the command line.
    for line in ["save \"\"", "bind 127.0.0.1"] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    for kept in [
        "# the port is set below\n\ntimeout 9\n# not much\nmaxclients   100\nproto-max-bulk-len 1mb\n\n",
        "\n# the end\n",
        "\nhash-max-listpack-entries 77\n",
        "\nnotify-keyspace-events \"xKE\"\n",
    ] {
        assert!(text.contains(kept), "{kept:?} is not in\n{text}");
    }
    let names: Vec<_> = std::fs::read_dir(server.dir()).unwrap().collect();
    assert!(
        !names.iter().any(|entry| entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains(".tmp")),
        "{names:?}"
    );
    let before = all(&mut client);
    let again = Server::redpoll_with_file(&text, &[]);
    for (name, value) in before {
        if !["dir", "port"].contains(&name.as_str()) {
            check_args(
                &mut again.connect(),
                &["CONFIG", "GET", &name],
                &format!("[\"{name}\", {value:?}]"),
            );
        }
    }
}

#[test]
fn users_are_rewritten_with_the_rest() {
    let file = "user ann on nopass ~a* +get\n# who else\nuser bob on >secret ~* +@all\n";
    let server = Server::redpoll_with_file(file, &[]);
    let mut client = server.connect();
    check(&mut client, "ACL SETUSER carl on >word ~c* &* +set", "OK");
    check(&mut client, "ACL DELUSER bob", "1");
    check(&mut client, "CONFIG REWRITE", "OK");
    let text = std::fs::read_to_string(server.dir().join("redis.conf")).unwrap();
    assert!(
        text.contains("# who else\n") && !text.contains("bob"),
        "{text}"
    );
    let again = Server::redpoll_with_file(&text, &[]);
    let users =
        |server: &Server| redpoll_tests::check::show(&server.connect().call(&["ACL", "LIST"]));
    assert_eq!(users(&again), users(&server));
}

#[test]
fn a_configuration_file_that_cannot_be_written_is_an_error_and_is_left_alone() {
    let server = Server::redpoll_with_file("timeout 7\n", &[]);
    let mut client = server.connect();
    let path = server.dir().join("redis.conf");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    check(
        &mut client,
        "CONFIG REWRITE",
        "-ERR Rewriting config file: Is a directory",
    );
    std::fs::remove_dir(&path).unwrap();
    // One that is gone is made anew, as real servers do.
    check(&mut client, "CONFIG REWRITE", "OK");
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .contains("\ntimeout 7\n")
    );
}

#[test]
fn what_changes_nothing_is_said_once_at_the_start() {
    let server = Server::redpoll_with(&[
        "--lazyfree-lazy-expire",
        "yes",
        "--lazyfree-lazy-user-del",
        "yes",
        "--hz",
        "100",
    ]);
    check(&mut server.connect(), "PING", "PONG");
    let log = server.log();
    assert!(
        log.contains("lazyfree-lazy-expire, lazyfree-lazy-user-del change nothing: large values"),
        "{log}"
    );
    assert!(log.contains("hz changes nothing: "), "{log}");
}

/// Commands that a configuration gives other names, or takes away, are called as on a real server, by clients and by scripts.
#[test]
fn commands_have_the_names_that_the_configuration_gives_them() {
    const TEST: &str = "commands_have_the_names_that_the_configuration_gives_them";
    let file = "# as hardening guides have it\nrename-command CONFIG k0nfig\nrename-command FLUSHALL \"\"\n\
                rename-command GET fetch\nrename-command SET get\nrename-command DEL \"\"\n\
                rename-command DEBUG \"d e\"\nenable-debug-command yes\n";
    let folder = Folder::new();
    let log = [
        "--dir",
        folder.text(),
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
    ];
    let peers = Peers::find().or_skip(TEST);
    let mut servers: Vec<Server> = (peers.and_then(|peers| peers.redis8).iter())
        .map(|peer| Server::peer_with_file(peer, file, &[]))
        .collect();
    servers.push(Server::redpoll_with_file(file, &log));
    for server in &servers {
        let mut client = server.connect();
        for (line, reply) in [
            (
                "FLUSHALL",
                "-ERR unknown command 'FLUSHALL', with args beginning with: ",
            ),
            (
                "config get port",
                "-ERR unknown command 'config', with args beginning with: 'get' 'port' ",
            ),
            ("K0NFIG SET timeout 0", "OK"),
            (
                "k0nfig gett",
                "-ERR unknown subcommand 'gett'. Try K0NFIG HELP.",
            ),
            (
                "k0nfig get",
                "-ERR wrong number of arguments for 'config|get' command",
            ),
            ("GET a 1", "OK"),
            ("FETCH a", "\"1\""),
            (
                "fetch a 2",
                "-ERR wrong number of arguments for 'get' command",
            ),
            (
                "SET a 2",
                "-ERR unknown command 'SET', with args beginning with: 'a' '2' ",
            ),
            (
                "del a",
                "-ERR unknown command 'del', with args beginning with: 'a' ",
            ),
            ("MULTI", "OK"),
            ("get b 2", "QUEUED"),
            ("EXEC", "[OK]"),
            ("COMMAND INFO flushall del", "[nil, nil]"),
            ("COMMAND GETKEYS get k v", "[\"k\"]"),
            ("COMMAND GETKEYS del k", "-ERR Invalid command specified"),
            ("ACL SETUSER who on nopass +get +config|get", "OK"),
            ("ACL DRYRUN who del a", "-ERR Command 'del' not found"),
            (
                "ACL DRYRUN who get a b",
                "\"User who has no permissions to run the \\'set\\' command\"",
            ),
        ] {
            check(&mut client, line, reply);
        }
        check_args(&mut client, &["d e", "sleep", "0"], "OK");
        check_args(
            &mut client,
            &[
                "EVAL",
                "redis.call('get', 'c', '3') return redis.call('fetch', 'c')",
                "0",
            ],
            "\"3\"",
        );
        check_args(
            &mut client,
            &["EVAL", "return redis.pcall('del', 'c').err", "0"],
            "\"ERR Unknown Redis command called from script\"",
        );
        check(&mut client, "K0NFIG REWRITE", "OK");
        let text = std::fs::read_to_string(server.dir().join("redis.conf")).unwrap();
        assert!(text.starts_with(file), "{text}");
    }
    // The log has the commands' own names: a server that gives them others, or none, reads it.
    drop(servers);
    for file in [file, ""] {
        let server = Server::redpoll_with_file(file, &log);
        let get = if file.is_empty() { "GET" } else { "FETCH" };
        for (key, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
            check(
                &mut server.connect(),
                &format!("{get} {key}"),
                &format!("{value:?}"),
            );
        }
    }
}

#[test]
fn a_name_that_no_command_has_cannot_be_given_away() {
    for (line, why) in [
        ("nosuch x", "No such command in rename-command"),
        ("config|get x", "No such command in rename-command"),
        ("get set", "Target command name already exists"),
        ("get", "wrong number of arguments"),
    ] {
        let run = run_redpoll(
            &["redis.conf"],
            &[("redis.conf", &format!("port 0\nrename-command {line}\n"))],
        );
        assert!(!run.status.success(), "{line}");
        assert!(run.stderr.contains(why), "{line}: {}", run.stderr);
    }
}

/// The files of data lie in one folder: it is changed only while nothing is written or read there, and is locked wherever it is.
#[test]
fn the_folder_changes_only_while_no_file_of_it_is_in_use() {
    let (one, other) = (Folder::new(), Folder::new());
    let days = "1000000000";
    let start = |folder: &Folder, args: &[&str]| {
        let usual = ["--dir", folder.text(), "--enable-protected-configs", "yes"];
        Server::redpoll_at_once(&[&usual[..], args].concat())
    };
    let dir = |folder: &Folder| format!("CONFIG SET dir {}", folder.text());
    let refused =
        |why: &str| format!("-ERR CONFIG SET failed (possibly related to argument 'dir') - {why}");
    let names = |folder: &Folder| {
        let mut names: Vec<String> = std::fs::read_dir(&folder.0)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    {
        let mut server = start(&one, &["--save", "3600 1", "--rdb-key-save-delay", days]);
        let mut c = server.connect();
        check(&mut c, "SET k v", "OK");
        check(&mut c, "BGSAVE", "Background saving started");
        let busy = "files are being written to the present one: try again when that is done";
        check(&mut c, &dir(&other), &refused(busy));
        // Where it is already it may be said to be at any time.
        check(&mut c, &dir(&one), "OK");
        check(&mut c, "CONFIG SET rdb-key-save-delay 0", "OK");
        check(&mut c, "BGSAVE CANCEL", "Background saving cancelled");
        eventually("nothing is written", || {
            show(&c.run("INFO persistence")).contains("rdb_bgsave_in_progress:0")
        });
        check(&mut c, &dir(&other), "OK");
        check(&mut c, "SAVE", "OK");
        assert_eq!(names(&one), ["redpoll.lock"]);
        assert_eq!(names(&other), ["dump.rdb", "redpoll.lock"]);
        // Another server may have the first one, and then it is no place to go back to.
        let _another = start(&one, &["--save", "3600 1"]);
        let reply = show(&c.run(&dir(&one)));
        assert!(reply.contains("is in use by the process"), "{reply}");
        check(
            &mut c,
            "CONFIG SET dir /dev/null",
            &refused("Not a directory"),
        );

        check(&mut c, "CONFIG SET appendonly yes", "OK");
        let log = "the append-only file is in the present one: turn it off first (appendonly no)";
        let third = Folder::new();
        check(&mut c, &dir(&third), &refused(log));
        check(&mut c, "SET k w", "OK");
        check(&mut c, "CONFIG SET appendonly no", "OK");
        eventually("the log is off", || {
            show(&c.run(&dir(&third))).contains("OK")
        });
        check(&mut c, &dir(&other), "OK");
        assert!(names(&third).is_empty() || names(&third) == ["redpoll.lock"]);
        c.send(&["SHUTDOWN", "NOSAVE"]);
        assert_eq!(server.wait().code(), Some(0));
    }
    let server = start(&other, &["--save", "3600 1", "--key-load-delay", days]);
    let mut c = server.connect();
    let loading = "-LOADING Redis is loading the dataset in memory";
    check(&mut c, &dir(&one), loading);
}
