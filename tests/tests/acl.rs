//! Access control lists, held against real servers: random users by random rules, what ACL DRYRUN says of random commands, and what
//! becomes of those commands when the users send them; transcripts; and what only a whole server shows: files, starting, connections.

use redpoll_tests::check::{check, show, show_command};
use redpoll_tests::peers::Peer;
use redpoll_tests::rng::Rng;
use redpoll_tests::server::{fresh_dir, run_redpoll};
use redpoll_tests::{Client, Peers, Server, env_number, eventually, transcript};
use resp::Value;

const TEXTS: &[&str] = &["a", "b", "ab", "a*", "*b", "?", "[ab]", "*", "x:*"];

const COMMANDS: &[&str] = &[
    "get",
    "set",
    "mget",
    "del",
    "config",
    "config|get",
    "client",
    "client|id",
    "client|list",
    "acl",
    "acl|whoami",
    "eval",
    "publish",
    "subscribe",
    "sort",
    "object",
    "object|encoding",
    "select",
    "exec",
    "multi",
    "xadd",
    "xinfo|stream",
    "memory|usage",
    "copy",
    "getex",
    "zadd",
    "sunionstore",
    "GET",
    "Config|Set",
    "nosuch",
    "config|nosuch",
    "get|x",
    "auth",
];

const CATEGORIES: &[&str] = &[
    "read",
    "write",
    "keyspace",
    "string",
    "set",
    "sortedset",
    "list",
    "hash",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
    "all",
    "nosuch",
    "geo",
    "bitmap",
    "hyperloglog",
];

/// One rule, without those about databases.
fn rule(rng: &mut Rng, inside: bool) -> String {
    let text = *rng.pick(TEXTS);
    let sign = *rng.pick(&["+", "+", "+", "-"]);
    match rng.below(if inside { 13 } else { 17 }) {
        0..3 => format!("{sign}{}", rng.pick(COMMANDS)),
        3..6 => format!("{sign}@{}", rng.pick(CATEGORIES)),
        6 | 7 => format!("~{text}"),
        8 => format!(
            "{}{text}",
            rng.pick(&["%R~", "%W~", "%RW~", "%r~", "%~", "%X~"])
        ),
        9 | 10 => format!("&{text}"),
        11 => (*rng.pick(&[
            "+select|0",
            "+select|1",
            "+object|",
            "+set|x",
            "+config|get|x",
        ]))
        .into(),
        12 => (*rng.pick(&[
            "allkeys",
            "resetkeys",
            "allchannels",
            "resetchannels",
            "allcommands",
            "nocommands",
        ]))
        .into(),
        13 => (*rng.pick(&[
            "on",
            "off",
            "nopass",
            "resetpass",
            "reset",
            "clearselectors",
            "nosuch",
        ]))
        .into(),
        14 => (*rng.pick(&[">p", ">q", "<p", "#abc", "!abc"])).into(),
        _ => {
            let rules: Vec<String> = (0..1 + rng.below(4)).map(|_| rule(rng, true)).collect();
            format!("({})", rules.join(" "))
        }
    }
}

/// Calls whose replies are the same wherever they are made, and some that are only asked about.
const CALLS: &[&str] = &[
    "GET k",
    "SET k v",
    "SET k v GET",
    "SET k v NX",
    "GETEX k",
    "GETEX k PERSIST",
    "GETDEL k",
    "APPEND k v",
    "MGET k k",
    "MSET k 1 k 2",
    "DEL k k",
    "EXISTS k k",
    "TYPE k",
    "RENAME k k",
    "COPY k k",
    "OBJECT ENCODING k",
    "STRLEN k",
    "BITFIELD k GET u8 0",
    "BITFIELD k SET u8 0 1",
    "BITOP AND k k",
    "PFMERGE k k",
    "PFCOUNT k k",
    "LPUSH k 1",
    "LMOVE k k LEFT RIGHT",
    "LMPOP 2 k k LEFT",
    "SADD k m",
    "SUNIONSTORE k k k",
    "SINTERCARD 2 k k",
    "SMOVE k k m",
    "ZADD k 1 m",
    "ZUNIONSTORE k 2 k k",
    "ZUNION 1 k",
    "ZRANGESTORE k k 0 -1",
    "HSET k f v",
    "HGETALL k",
    "HEXPIRE k 100 FIELDS 1 f",
    "XADD k 1-1 f v",
    "XLEN k",
    "XREAD STREAMS k k 0 0",
    "XGROUP CREATE k g 0",
    "XREADGROUP GROUP g c STREAMS k >",
    "XINFO STREAM k",
    "GEOADD k 1 1 m",
    "GEOSEARCHSTORE k k FROMMEMBER m BYRADIUS 1 m",
    "GEORADIUS k 1 1 1 m STORE k",
    "SORT k",
    "SORT k BY x* GET y*",
    "SORT k STORE k",
    "SORT_RO k GET #",
    "SORT k BY nosort",
    "PUBLISH k m",
    "SPUBLISH k m",
    "PING",
    "ECHO x",
    "SELECT 0",
    "SELECT 1",
    "CONFIG GET port",
    "CONFIG SET timeout 0",
    "CLIENT ID",
    "CLIENT GETNAME",
    "ACL WHOAMI",
    "ACL USERS",
    "MULTI",
    "UNWATCH",
    "WATCH k",
    "DBSIZE",
    "KEYS k",
    "SCAN 0",
    "RANDOMKEY",
    "TIME",
    "LASTSAVE",
    "INFO nosuch",
    "EVAL return(1) 0",
    "EVAL return(1) 2 k k",
    "EVAL return(redis.call('get','k')) 0",
    "EVAL return(redis.pcall('set','k','v')) 0",
    "EVAL_RO return(1) 1 k",
    "EVAL return(redis.pcall('config','get','port')) 0",
    "SCRIPT EXISTS x",
    "FUNCTION LIST",
    "FCALL f 1 k",
    "DUMP k",
    "TOUCH k k",
    "EXPIRE k 100",
    "TTL k",
    "PERSIST k",
    "LCS k k",
    "MEMORY USAGE k",
    "DEBUG OBJECT k",
    "WAIT 0 0",
    "LATENCY RESET",
    "SLOWLOG LEN",
    "BLPOP k k 0.01",
    "BLMOVE k k LEFT RIGHT 0.01",
    "COMMAND COUNT",
    "COMMAND GETKEYS get k",
    "LOLWUT",
    "RESTORE k 0 x",
    "AUTH x",
    "HELLO 9",
    "PUBSUB NUMPAT",
    "PUBSUB CHANNELS",
    "FLUSHDB",
    "SWAPDB 0 0",
    "MOVE k 1",
    "BITCOUNT k",
    "GETBIT k 0",
    "SETBIT k 0 1",
    "INCR k",
];

/// What ACL DRYRUN is also asked about.
const ASKED: &[&str] = &[
    "SUBSCRIBE k k",
    "PSUBSCRIBE k",
    "SSUBSCRIBE k",
    "UNSUBSCRIBE k",
    "PUNSUBSCRIBE",
    "MONITOR",
    "SHUTDOWN",
    "RESET",
    "QUIT",
    "EXEC",
    "SAVE",
    "BGSAVE",
    "REPLICAOF NO ONE",
    "GET",
    "NOSUCH k",
    "CONFIG NOSUCH",
    "MIGRATE h 1 k 0 1",
];

/// Replies that are each server's own whoever asks: only refusals are compared.
const OWN: &[&str] = &[
    "CLIENT ID",
    "TIME",
    "LASTSAVE",
    "COMMAND COUNT",
    "LOLWUT",
    "MEMORY USAGE",
    "DEBUG OBJECT",
    "CONFIG GET",
    "ACL USERS",
    "RANDOMKEY",
    "KEYS",
    "SCAN",
    "HELLO",
    "AUTH",
    "XINFO STREAM",
    "DUMP",
    "FUNCTION LIST",
    "FCALL",
    "LATENCY",
    "SLOWLOG",
    "WAIT",
    "BITFIELD",
    "GEORADIUS",
    "ZUNION",
    "INFO",
    "EVAL",
    "FLUSHDB",
    "HELLO",
    "PFMERGE",
    "PFCOUNT",
    "MGET",
    "OBJECT",
    "SCRIPT",
    "EXPIRE",
    "XREADGROUP",
    "RESTORE",
    "SORT",
    "BLPOP",
    "BLMOVE",
    "LCS",
    "EVAL_RO",
    "MULTI",
    "SELECT",
    "SWAPDB",
    "MOVE",
    "HEXPIRE",
];

fn call(rng: &mut Rng, calls: &[&str]) -> Vec<String> {
    let names = ["a", "b", "ab", "x:1", "bb"];
    let line = *rng.pick(calls);
    let words = line.split(' ');
    words
        .map(|word| {
            if word == "k" {
                (*rng.pick(&names)).into()
            } else {
                word.replace("'k'", &format!("'{}'", rng.pick(&names)))
            }
        })
        .collect()
}

/// A line of ACL LIST as Redpoll prints it, without what one of the servers does not print.
fn common(text: String) -> String {
    text.replace(" skip-sanitize-payload", "")
        .replace(" sanitize-payload", "")
        .replace("%RW~*", "~*")
}

/// What of a reply is compared.
fn comparable(args: &[String], reply: &Value) -> String {
    let line = args.join(" ").to_uppercase();
    match reply {
        Value::Error(text) if text.contains("unknown") => text.clone(),
        Value::Error(text) if text.contains("NOPERM") || text.contains("ACL") => {
            text.split(" script:").next().unwrap_or(text).to_owned()
        }
        _ if OWN.iter().any(|own| line.starts_with(own)) => "let through".into(),
        reply => show(reply),
    }
}

/// Compares random users with those of another server. `is_redis`: it prints what Redis prints.
fn compare(theirs: &Server, is_redis: bool, seed: u64) {
    let ours = Server::redpoll_with(&[
        "--enable-debug-command",
        "yes",
        "--slowlog-log-slower-than",
        "-1",
    ]);
    let rounds = env_number("REDPOLL_ACL_ROUNDS", 60);
    let mut rng = Rng::new(seed);
    let mut refused = [0usize; 2];
    for round in 0..rounds {
        let mut admins = [ours.connect(), theirs.connect()];
        for admin in &mut admins {
            admin.run("FLUSHALL");
            admin.run("ACL DELUSER u");
        }
        // Half of the users can do much, so that what is refused is not all refused for the same.
        let mut first = vec![
            "ACL".to_owned(),
            "SETUSER".into(),
            "u".into(),
            "on".into(),
            "nopass".into(),
        ];
        if rng.chance(60) {
            first.extend([
                "+@all".into(),
                format!("{}{}", rng.pick(&["~", "%R~", "%W~"]), rng.pick(TEXTS)),
            ]);
        }
        let mut lines = vec![first];
        for _ in 0..1 + rng.below(6) {
            let rules = (0..1 + rng.below(3)).map(|_| rule(&mut rng, false));
            lines.push(
                ["ACL", "SETUSER", "u"]
                    .map(String::from)
                    .into_iter()
                    .chain(rules)
                    .collect(),
            );
        }
        for line in &lines {
            let [a, b] = admins.each_mut().map(|admin| show(&admin.call(line)));
            assert_eq!(a, b, "seed {seed}, round {round}: {}", show_command(line));
        }
        let told = |what: &str| format!("seed {seed}, round {round}, {what} after {lines:?}");
        let [a, b] = admins
            .each_mut()
            .map(|admin| common(show(&admin.run("ACL LIST"))));
        assert_eq!(a, b, "{}", told("ACL LIST"));
        if is_redis {
            let [a, b] = admins
                .each_mut()
                .map(|admin| show(&admin.run("ACL GETUSER u")).replace("%RW~*", "~*"));
            assert_eq!(a, b, "{}", told("ACL GETUSER"));
        }
        for _ in 0..40 {
            let calls = if rng.chance(70) { CALLS } else { ASKED };
            let asked = call(&mut rng, calls);
            let line: Vec<String> = ["ACL", "DRYRUN", "u"]
                .map(String::from)
                .into_iter()
                .chain(asked)
                .collect();
            let [a, b] = admins.each_mut().map(|admin| show(&admin.call(&line)));
            // Commands that Redpoll does not have are no commands to it.
            if !a.contains("not found") {
                assert_eq!(a, b, "{}", told(&show_command(&line)));
            }
        }
        for admin in &mut admins {
            admin.run("ACL SETUSER u on nopass");
        }
        let mut users: [Client; 2] = [ours.connect(), theirs.connect()];
        for user in &mut users {
            check(user, "AUTH u x", "OK");
        }
        for _ in 0..30 {
            let args = call(&mut rng, CALLS);
            let [a, b] = users
                .each_mut()
                .map(|user| comparable(&args, &user.call(&args)));
            if a.contains("unknown command") {
                continue;
            }
            refused[usize::from(a.contains("NOPERM"))] += 1;
            assert_eq!(a, b, "{}", told(&show_command(&args)));
            for user in &mut users {
                // Neither a transaction nor another database is left open.
                user.run("DISCARD");
            }
        }
    }
    assert!(
        rounds < 30 || refused.iter().all(|n| *n > 100),
        "let through and refused: {refused:?}"
    );
}

fn random_against(test: &str, peer: fn(Peers) -> Option<Peer>, is_redis: bool, seed: u64) {
    let Some(peer) = Peers::find().or_skip(test).and_then(peer) else {
        return;
    };
    let args = [
        "--enable-debug-command",
        "yes",
        "--slowlog-log-slower-than",
        "-1",
    ];
    let seed = env_number("REDPOLL_SEED", seed);
    compare(&Server::peer(&peer, &args), is_redis, seed);
}

#[test]
fn random_users_and_commands_against_redis_8_2() {
    random_against(
        "random_users_and_commands_against_redis_8_2",
        |peers| peers.redis8,
        true,
        82,
    );
}

#[test]
fn random_users_and_commands_against_redis_8_6() {
    random_against(
        "random_users_and_commands_against_redis_8_6",
        |peers| peers.redis8_6,
        true,
        86,
    );
}

#[test]
fn random_users_and_commands_against_valkey() {
    random_against(
        "random_users_and_commands_against_valkey",
        |peers| peers.valkey,
        false,
        91,
    );
}

/// Errors, GETUSER and the rest word for word as Redis 8.6 has them, in both protocols.
#[test]
fn transcripts_against_redis_8_6() {
    let Some(Peers {
        redis8_6: Some(peer),
        ..
    }) = Peers::find().or_skip("transcripts_against_redis_8_6")
    else {
        return;
    };
    let theirs = Server::peer(&peer, &[]);
    let ours = Server::redpoll();
    let script = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| format!("a: {line}\n"))
            .collect::<String>()
    };
    let questions = script(&[
        "ACL WHOAMI",
        "ACL LIST",
        "ACL USERS",
        "ACL GETUSER default",
        "ACL GETUSER nosuch",
        "ACL CAT",
        "ACL CAT nosuch",
        "ACL GENPASS 0",
        "ACL GENPASS x",
        "ACL NOSUCH",
        "ACL SETUSER",
        "ACL LOG x",
        "ACL LOG 1 2",
        "ACL LOG RESET",
        "ACL LOG",
        "ACL DELUSER default",
        "ACL LOAD",
        "ACL SAVE",
        "ACL DRYRUN nosuch get k",
        "ACL DRYRUN default",
        "ACL DRYRUN default nosuch",
        "ACL DRYRUN default get",
        "ACL DRYRUN default get k",
        "CLIENT KILL USER nosuch",
        "AUTH x",
        "AUTH a b c",
        "AUTH default anything",
    ]);
    let a_user = script(&[
        "ACL SETUSER t on >p ~a %R~b &c +@read -get (+set ~x) (+config|get)",
        "ACL GETUSER t",
        "ACL LIST",
        "ACL SETUSER t -@read",
        "ACL GETUSER t",
        "ACL SETUSER t +@all",
        "ACL GETUSER t",
        "ACL SETUSER t reset",
        "ACL GETUSER t",
        // Refused as a whole.
        "ACL DELUSER t default",
        "ACL GETUSER t",
        "ACL DELUSER t t nosuch",
        "AUTH t p",
        "HELLO 3 AUTH t p",
    ]);
    transcript::agree(&ours, &theirs, &[&questions, &a_user]);
}

/// The rules about databases are Valkey's.
#[test]
fn databases_against_valkey() {
    let Some(Peers {
        valkey: Some(peer), ..
    }) = Peers::find().or_skip("databases_against_valkey")
    else {
        return;
    };
    let (theirs, ours) = (Server::peer(&peer, &[]), Server::redpoll());
    let mut admins = [ours.connect(), theirs.connect()];
    let mut users = [ours.connect(), theirs.connect()];
    let mut rng = Rng::new(env_number("REDPOLL_SEED", 7));
    let calls = &[
        "GET k",
        "SET k v",
        "SELECT 0",
        "SELECT 1",
        "SELECT 2",
        "KEYS *",
        "DBSIZE",
        "SCAN 0",
        "FLUSHDB",
        "FLUSHALL",
        "SWAPDB 0 1",
        "SWAPDB 1 1",
        "MOVE k 1",
        "COPY k k DB 1",
        "COPY k k",
        "COPY k k DB 0",
        "EVAL return(1) 0",
        "PUBLISH a b",
        "PING",
        "RANDOMKEY",
        "WATCH k",
        "UNWATCH",
        "EVAL return(redis.pcall('select',1)) 0",
        "TTL k",
        "TYPE k",
        "OBJECT ENCODING k",
        "SORT k",
        "XLEN k",
        "TIME",
        "CLIENT GETNAME",
    ];
    for _ in 0..60 {
        let rule = match rng.below(6) {
            0 => "alldbs".to_owned(),
            1 => "resetdbs".to_owned(),
            _ => format!(
                "db={}",
                (0..1 + rng.below(2))
                    .map(|_| rng.below(3).to_string())
                    .collect::<Vec<_>>()
                    .join(",")
            ),
        };
        for admin in &mut admins {
            check(
                admin,
                &format!("ACL SETUSER u on nopass +@all ~* &* {rule}")
                    .replace("~* &*", "allkeys allchannels"),
                "OK",
            );
        }
        for user in &mut users {
            check(user, "AUTH u x", "OK");
        }
        for _ in 0..20 {
            let args = call(&mut rng, calls);
            let [a, b] = users
                .each_mut()
                .map(|user| comparable(&args, &user.call(&args)));
            assert_eq!(a, b, "{rule}: {}", show_command(&args));
        }
    }
}

/// `user` lines and files, from the start of a server on.
#[test]
fn users_of_files() {
    let server = Server::redpoll_with_file(
        "user bob on >pw ~a* +@read (+set ~x)\nuser default on >admin allkeys allcommands\n",
        &[],
    );
    let mut client = server.connect();
    check(&mut client, "PING", "-NOAUTH Authentication required.");
    check(&mut client, "AUTH bob pw", "OK");
    check(&mut client, "GET a1", "nil");
    check(
        &mut client,
        "GET b",
        "-NOPERM No permissions to access a key",
    );
    check(&mut client, "SET x 1", "OK");
    check(&mut client, "AUTH admin", "OK");
    check(
        &mut client,
        "CONFIG GET requirepass",
        "[\"requirepass\", \"\"]",
    );

    let dir = fresh_dir();
    let file = dir.join("users.acl");
    std::fs::write(
        &file,
        "user default on nopass ~* &* +@all\nuser bob on >pw +get ~a\n",
    )
    .expect("a file");
    let path = file.display().to_string();
    let server = Server::redpoll_with(&["--aclfile", &path]);
    let mut client = server.connect();
    let mut bob = server.connect();
    check(&mut bob, "AUTH bob pw", "OK");
    check(&mut client, "ACL SETUSER eve on nopass +@all ~*", "OK");
    check(&mut client, "ACL SAVE", "OK");
    let saved = std::fs::read_to_string(&file).expect("the file");
    assert_eq!(saved.lines().count(), 3);
    assert!(
        saved.starts_with("user bob on sanitize-payload #"),
        "{saved}"
    );
    let names: Vec<_> = std::fs::read_dir(&dir)
        .expect("a folder")
        .map(|e| e.expect("a file").file_name())
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    std::fs::write(&file, "user bob on >pw +ping\nuser eve nope\nuser eve on").expect("a file");
    let error = format!(
        "-ERR {path}:2: Syntax error. WARNING: Duplicate user 'eve' found on line 3. WARNING: ACL errors detected, no change to the previously \
         active ACL rules was performed"
    );
    check(&mut client, "ACL LOAD", &error);
    check(&mut bob, "GET a", "nil");
    // Eve is not in the file: her connection is closed. Bob's goes on.
    let mut eve = server.connect();
    check(&mut eve, "AUTH eve x", "OK");
    std::fs::write(&file, "user bob on >pw +ping").expect("a file");
    check(&mut client, "ACL LOAD", "OK");
    check(&mut bob, "PING", "PONG");
    check(
        &mut bob,
        "GET a",
        "-NOPERM User bob has no permissions to run the 'get' command",
    );
    eve.read_to_close();

    for (args, text, says) in [
        (
            vec!["--aclfile", "users.acl"],
            Some("user bob nope"),
            "users.acl:1: Syntax error.",
        ),
        (
            vec!["--aclfile", "users.acl"],
            None,
            "opening file 'users.acl': No such file or directory",
        ),
        (
            vec!["--user", "bob on >secret nope"],
            None,
            "Spaces not allowed in ACL usernames",
        ),
        (
            vec!["--user", "bob", "on", ">secret", "nope"],
            None,
            "Error in user declaration 'bob': Syntax error",
        ),
    ] {
        let files: Vec<(&str, &str)> = text.iter().map(|text| ("users.acl", *text)).collect();
        let run = run_redpoll(&args, &files);
        assert!(
            !run.status.success() && run.stderr.contains(says),
            "{args:?}: {}",
            run.stderr
        );
        assert!(
            !run.stderr.contains("secret") && run.stderr.trim_end().lines().count() == 1,
            "{}",
            run.stderr
        );
    }
}

/// Whose channels are taken away is disconnected, wherever it is served; others go on.
#[test]
fn subscribers_that_lose_their_channels_are_disconnected() {
    let server = Server::redpoll();
    let mut admin = server.connect();
    check(&mut admin, "ACL SETUSER u on nopass +@all &a* &b*", "OK");
    let mut listeners: Vec<Client> = (0..6).map(|_| server.connect()).collect();
    for (i, client) in listeners.iter_mut().enumerate() {
        check(client, "AUTH u x", "OK");
        client.run(if i % 2 == 0 {
            "SUBSCRIBE a1"
        } else {
            "PSUBSCRIBE b*"
        });
    }
    check(&mut admin, "ACL SETUSER u resetchannels &a*", "OK");
    for (i, client) in listeners.iter_mut().enumerate() {
        if i % 2 == 1 {
            client.read_to_close();
        }
    }
    check(&mut admin, "PUBLISH a1 m", "3");
    check(&mut admin, "ACL DELUSER u", "1");
    for client in listeners.iter_mut().step_by(2) {
        client.read_to_close();
    }
    eventually("their connections are gone", || {
        show(&admin.run("PUBLISH a1 m")) == "0"
    });
}

/// Before it has said who it is, a client may send little.
#[test]
fn requests_are_small_before_authentication() {
    let server = Server::redpoll_with(&["--requirepass", "pw"]);
    let mut client = server.connect();
    client.send_raw(b"*11\r\n").expect("sent");
    assert_eq!(
        client.read_to_close(),
        b"-ERR Protocol error: unauthenticated multibulk length\r\n"
    );
    let mut client = server.connect();
    client.send_raw(b"*2\r\n$16385\r\n").expect("sent");
    assert_eq!(
        client.read_to_close(),
        b"-ERR Protocol error: unauthenticated bulk length\r\n"
    );
    let mut client = server.connect();
    check(&mut client, "AUTH pw", "OK");
    let long = "x".repeat(20_000);
    assert_eq!(show(&client.call(&["ECHO", &long])).len(), long.len() + 2);
}
