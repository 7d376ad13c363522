//! `redpoll cli` beside redis-cli: the same command lines give the same bytes on both outputs and the same status, whatever form of
//! output is asked for. And what people do with it and with `redpoll top` on a terminal, driven by `tests/clients/terminal.py`.

use redpoll_tests::program::{on_path, python};
use redpoll_tests::server::{free_port, fresh_dir, redpoll_binary};
use redpoll_tests::{Client, Peers, Server, peers_dir, skip};
use resp::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a program wrote and how it ended.
#[derive(Debug, PartialEq)]
struct Outcome {
    stdout: String,
    stderr: String,
    status: Option<i32>,
}

/// Runs a client with this input.
fn run(mut command: Command, args: &[&str], input: &[u8], dir: &Path) -> Outcome {
    let mut child = command
        .args(args)
        .current_dir(dir)
        .env_remove("REDISCLI_AUTH")
        .env("HOME", dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a client can be started");
    let mut stdin = child.stdin.take().expect("input is a pipe");
    // Who fails at once reads nothing.
    let _ = stdin.write_all(input);
    drop(stdin);
    let out = child.wait_with_output().expect("a client ends");
    Outcome {
        stdout: out.stdout.escape_ascii().to_string().replace("\\n", "\n"),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        status: out.status.code(),
    }
}

/// Both clients and a server.
struct Both {
    theirs: PathBuf,
    server: Server,
    dir: PathBuf,
}

impl Both {
    fn or_skip(test: &str, args: &[&str]) -> Option<Both> {
        Some(Both {
            theirs: on_path(test, "redis-cli")?,
            server: Server::redpoll_with(args),
            dir: fresh_dir(),
        })
    }

    /// The data that every command line begins with.
    fn seed(&self) {
        let mut client = self.server.connect();
        client.run("FLUSHALL");
        client.call(&[&b"SET"[..], b"k", b"a\"b\\c\x01\xff\n\t\xc3\xa9/"]);
        client.run("SET n 1");
        client.run("RPUSH l a b c d e f g h i j k");
        client.run("HSET h f1 v1 f2 v2");
        client.run("ZADD z 1.5 a 2 b");
        client.run("SADD s m");
    }

    fn ours(&self, args: &[&str], input: &[u8]) -> Outcome {
        let mut command = Command::new(redpoll_binary());
        command.arg("cli");
        self.seed();
        run(command, args, input, &self.dir)
    }

    fn theirs(&self, args: &[&str], input: &[u8]) -> Outcome {
        self.seed();
        run(Command::new(&self.theirs), args, input, &self.dir)
    }

    /// Both say the same, to the server or to nobody, as the arguments have it.
    #[track_caller]
    fn same(&self, args: &[&str], input: &[u8]) {
        let port = self.server.port().to_string();
        let mut all = vec!["-p", &port];
        all.extend(args);
        let (theirs, ours) = (self.theirs(&all, input), self.ours(&all, input));
        assert_eq!(
            theirs, ours,
            "redis-cli (left) and redpoll cli with {args:?}"
        );
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

const FORMS: [&[&str]; 9] = [
    &[],
    &["--raw"],
    &["--no-raw"],
    &["--csv"],
    &["--json"],
    &["--json", "-2"],
    &["--no-raw", "-3"],
    &["--raw", "-3"],
    &["--csv", "-3"],
];

#[test]
fn replies_are_written_as_redis_cli_does() {
    let Some(both) = Both::or_skip("terminal::replies", &["--enable-debug-command", "yes"]) else {
        return;
    };
    let setresp3 = |script: &str| format!("redis.setresp(3) return {script}");
    let scripts = [
        "{map={a={1}}}",
        "{map={a={{1,2}}}}",
        "{map={a={},b={set={x=true,y=true}},c={map={d=1}}}}",
        "{{1},{2,{3,false,{}}},{{{}}}}",
        "{map={[1]={1},['a b']={{1}}}}",
        "{ok='fine'}",
        "{{ok='fine'},{err='ERR bad'},'',false,true}",
        "{double=1e300}",
    ]
    .map(setresp3);
    let mut lines: Vec<Vec<&str>> = [
        "get k",
        "get nos",
        "lrange l 0 -1",
        "lrange nos 0 -1",
        "hgetall h",
        "hgetall nos",
        "smembers s",
        "smembers nos",
        "zrange z 0 -1 withscores",
        "zscore z a",
        "hrandfield h 2 withvalues",
        "mget k nos",
        "exists k",
        "nosuch a",
        "set k",
        "set k v",
        "config get maxmemory*",
        "command info get",
        "info keyspace",
        "memory doctor",
        "debug protocol string",
        "debug protocol integer",
        "debug protocol double",
        "debug protocol null",
        "debug protocol array",
        "debug protocol set",
        "debug protocol map",
        "debug protocol verbatim",
        "debug protocol true",
        "debug protocol false",
        "multi",
        "quit",
    ]
    .iter()
    .map(|line| line.split(' ').collect())
    .collect();
    for script in &scripts {
        lines.push(vec!["eval", script, "0"]);
    }
    for form in FORMS {
        for line in &lines {
            both.same(&[form, line].concat(), b"");
        }
    }
    // A quote within --quoted-json is the one thing that is written otherwise: as JSON has it.
    for line in lines
        .iter()
        .filter(|line| line[..] != ["get", "k"] && line[..] != ["mget", "k", "nos"])
    {
        both.same(&[&["--quoted-json"], &line[..]].concat(), b"");
    }
}

#[test]
fn options_mean_what_they_mean_to_redis_cli() {
    let Some(both) = Both::or_skip("terminal::options", &[]) else {
        return;
    };
    std::fs::write(
        both.dir.join("e.lua"),
        "return {KEYS[1],ARGV[1],#KEYS,#ARGV}",
    )
    .expect("a file can be written");
    std::fs::write(both.dir.join("bad.lua"), "return foo(").expect("a file can be written");
    let url = format!("redis://127.0.0.1:{}/3", both.server.port());
    let dead = free_port().to_string();
    let lines: &[(&[&str], &str)] = &[
        (&["-e", "nosuch"], ""),
        (&["-e", "ping"], ""),
        (&["-a", "wrong", "ping"], ""),
        (&["-a", "wrong", "--no-auth-warning", "ping"], ""),
        (&["--user", "bob", "--pass", "wrong", "ping"], ""),
        (&["-n", "99", "get", "k"], ""),
        (&["-n", "1", "get", "k"], ""),
        (&["-r", "3", "ping"], ""),
        (&["-r", "2", "-i", "0.01", "incr", "n"], ""),
        (&["-x", "set", "kx"], "hello\n"),
        (&["-X", "tag", "set", "kx", "tag"], "hello\n"),
        (&["-X", "tag", "set", "kx", "foo"], "hello\n"),
        (&["-d", ",", "lrange", "l", "0", "2"], ""),
        (&["-D", "X", "lrange", "l", "0", "2"], ""),
        (&["--quoted-input", "set", r#""a\x00b""#, "v"], ""),
        (&["--show-pushes", "no", "ping"], ""),
        (&["-u", &url, "set", "x", "y"], ""),
        (&["-u", "foo://x", "ping"], ""),
        (&["--nosuch"], ""),
        (&["-p"], ""),
        (&["-p", &dead, "ping"], ""),
        (&["-p", &dead], "ping\n"),
        (&["-s", "/nosuch/socket", "ping"], ""),
        (&["--eval", "e.lua", "a", ",", "b"], ""),
        (&["--eval", "e.lua", "a", "b", "c"], ""),
        (&["--eval", "bad.lua"], ""),
        (&["--eval", "nosuch.lua"], ""),
        (&["--scan", "--pattern", "k"], ""),
        (&["--scan", "--quoted-pattern", r#""\x6b""#], ""),
        (&["--scan", "--no-raw", "--pattern", "k"], ""),
        (&["--latency", "--bad"], ""),
    ];
    for (args, input) in lines {
        both.same(args, input.as_bytes());
    }
}

#[test]
fn lines_of_standard_input_are_commands() {
    let Some(both) = Both::or_skip("terminal::lines", &[]) else {
        return;
    };
    let input = "PING\nSET a \"b c\"\r\nGET a\n\n   \n# foo\nBAD \"x\nnosuch\n3 incr n\nGET nos\nLRANGE l 0 1\n\
                 multi\nset a c\nget a\nexec\nselect 3\nget a\nhello 3\nselect 0\nhgetall h\n'single' quotes\nquit\nPING\n";
    for form in FORMS {
        if form.contains(&"--json") {
            // What HELLO answers has the connection's number in it.
            both.same(form, input.replace("hello 3\n", "").as_bytes());
            continue;
        }
        let input = input.replace("hello 3\n", "");
        both.same(form, input.as_bytes());
    }
}

#[test]
fn big_keys_are_found_as_by_redis_cli() {
    let Some(both) = Both::or_skip("terminal::bigkeys", &[]) else {
        return;
    };
    let port = both.server.port().to_string();
    // The order of types is that of a random hash there.
    let sorted = |mut outcome: Outcome| {
        let mut lines: Vec<&str> = outcome.stdout.lines().collect();
        lines.sort_unstable();
        outcome.stdout = lines.join("\n");
        outcome
    };
    for mode in [
        &["--bigkeys"][..],
        &["--memkeys"],
        &["--memkeys-samples", "3"],
        &["--bigkeys", "--pattern", "nosuch*"],
        &["--hotkeys", "--pattern", "nosuch*"],
    ] {
        let mut args = vec!["-p", &port];
        args.extend(mode);
        let (theirs, ours) = (both.theirs(&args, b""), both.ours(&args, b""));
        assert_eq!(sorted(theirs), sorted(ours), "{mode:?}");
    }
}

/// The redis-cli of a newer version that `cargo xtask fetch` brings, or a test that is skipped.
fn newer_cli(test: &str) -> Option<PathBuf> {
    let binary = peers_dir().join("redis-cli-8/redis-cli");
    match binary.is_file() {
        true => Some(binary),
        false => {
            skip(test, "there is no redis-cli 8");
            None
        }
    }
}

#[test]
fn statistics_of_keys_are_those_of_redis_cli() {
    let Some(theirs) = newer_cli("terminal::keystats") else {
        return;
    };
    let server = Server::redpoll();
    let mut client = server.connect();
    let dir = fresh_dir();
    let same = |args: &[&str]| {
        let port = server.port().to_string();
        let args = [&["-p", &port], args].concat();
        let mut ours = Command::new(redpoll_binary());
        ours.arg("cli");
        let ours = run(ours, &args, b"", &dir);
        let theirs = run(Command::new(&theirs), &args, b"", &dir);
        assert_eq!(
            theirs, ours,
            "redis-cli (left) and redpoll cli with {args:?}"
        );
    };
    // Names and values of many lengths, with some that are equal.
    for n in 0..400_usize {
        let key = format!("key:{n}{}", "x".repeat(n * n % 300));
        let call = match n % 6 {
            0 => vec!["SET".to_owned(), key, "v".repeat(n * n * n % 60_000)],
            1 => vec!["RPUSH".to_owned(), key],
            2 => vec!["SADD".to_owned(), key],
            3 => vec!["HSET".to_owned(), key],
            4 => vec!["ZADD".to_owned(), key],
            _ => ["XADD", &key, "1-1", "a", "b"].map(str::to_owned).into(),
        };
        let elements = 2 * (n * n % 150 + 1);
        let rest = (0..elements).map(|i| match i % 2 == 0 && n % 6 == 4 {
            true => i.to_string(),
            false => format!("e{i}"),
        });
        let call: Vec<String> = match n % 6 {
            1..=4 => call.into_iter().chain(rest).collect(),
            _ => call,
        };
        client.call(&call);
    }
    for args in [
        &["--keystats"][..],
        &["--keystats", "--top", "3"],
        &["--keystats", "--top", "0"],
        &["--keystats-samples", "2", "--count", "7"],
        &["--keystats", "--pattern", "key:1*", "--cursor", "0"],
        &["--keystats", "--cursor", "x"],
        &["--keystats", "--cursor", "-1"],
        &["--keystats", "--top", "x"],
        &["--keystats-samples", "-1"],
        &["--memkeys-samples", "x"],
        &["-t", "x", "ping"],
        &["-2", "-3", "ping"],
    ] {
        same(args);
    }
    // A few keys, of which some are of no size, some of one, and one has a name that no terminal shows as it is.
    client.run("FLUSHALL");
    client.run("SET alone 5");
    same(&["--keystats"]);
    client.run("DEL alone");
    client.run("SET empty ''");
    client.run("SET one 1");
    client.call(&[&b"SADD"[..], b"a \"b\"", b"1"]);
    same(&["--keystats"]);
    let _ = std::fs::remove_dir_all(&dir);
}

#[test]
fn a_load_as_caches_have_it_finds_what_there_is_room_for() {
    let server = Server::redpoll();
    let port = server.port().to_string();
    let mut child = Command::new(redpoll_binary())
        .args(["cli", "-p", &port, "--lru-test", "100"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a client can be started");
    let mut lines = BufReader::new(child.stdout.take().expect("output is a pipe")).lines();
    let line = lines.next().expect("a line").expect("text");
    let _ = child.kill();
    let _ = child.wait();
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[1..4], ["Gets/sec", "|", "Hits:"], "{line}");
    let keys = server.connect().run("DBSIZE");
    assert!(matches!(keys, Value::Int(1..=100)), "{keys:?}");
}

#[test]
fn hot_keys_are_those_with_the_highest_counters() {
    let Some(both) = Both::or_skip("terminal::hotkeys", &["--maxmemory-policy", "allkeys-lfu"])
    else {
        return;
    };
    both.seed();
    let mut client = both.server.connect();
    for _ in 0..2000 {
        client.run("GET k");
    }
    let port = both.server.port().to_string();
    let mut command = Command::new(redpoll_binary());
    command.arg("cli");
    let out = run(command, &["-p", &port, "--hotkeys"], b"", &both.dir);
    let first = out
        .stdout
        .lines()
        .find(|line| line.starts_with("hot key found with counter: "));
    assert!(
        first.is_some_and(|line| line.ends_with(r#"keyname: \"k\""#)),
        "{out:?}"
    );
    assert_eq!(out.status, Some(0));
}

#[test]
fn mass_insertion_counts_replies() {
    let Some(both) = Both::or_skip("terminal::pipe", &[]) else {
        return;
    };
    let mut input = b"*1\r\n$4\r\nPING\r\nSET a b\r\nNOSUCH\r\n".to_vec();
    both.same(&["--pipe"], &input);
    both.same(&["--pipe"], b"");
    both.same(&["--pipe"], b"SET a b\r\nSET a c");
    // More than any socket holds, in both directions.
    input.clear();
    let value = "x".repeat(100);
    for n in 0..50_000 {
        input.extend(format!("SET key:{n} {value}\r\nGET key:{n}\r\n").bytes());
    }
    both.same(&["--pipe"], &input);
    assert_eq!(both.server.connect().run("EXISTS key:49999"), Value::Int(1));
}

#[test]
fn snapshots_are_fetched_from_a_real_server() {
    let Some(peer) = Peers::find()
        .or_skip("terminal::rdb")
        .and_then(|peers| peers.redis8)
    else {
        return;
    };
    let server = Server::peer(&peer, &["--repl-diskless-sync-delay", "0"]);
    let mut client = server.connect();
    client.run("SET k v");
    client.call(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=lib\nredis.register_function('f', function() return 1 end)",
    ]);
    let dir = fresh_dir();
    let port = server.port().to_string();
    let fetch = |option: &str, file: &str| {
        let mut command = Command::new(redpoll_binary());
        command.arg("cli");
        let out = run(command, &["-p", &port, option, file], b"", &dir);
        assert_eq!(out.status, Some(0), "{out:?}");
        assert!(
            out.stderr.contains("Transfer finished with success"),
            "{out:?}"
        );
        out
    };
    let check = |file: &str| {
        let mut command = Command::new(redpoll_binary());
        command.arg("check-rdb");
        let out = run(command, &[file], b"", &dir);
        assert_eq!(out.status, Some(0), "{out:?}");
    };
    fetch("--rdb", "all.rdb");
    check("all.rdb");
    fetch("--functions-rdb", "functions.rdb");
    check("functions.rdb");
    let bytes = |name: &str| std::fs::read(dir.join(name)).expect("it was written");
    assert!(bytes("all.rdb").len() > bytes("functions.rdb").len());
    assert!(fetch("--rdb", "-").stdout.starts_with("REDIS"));
    let _ = std::fs::remove_dir_all(&dir);
}

#[test]
fn urls_users_and_passwords() {
    let server = Server::redpoll_with(&["--requirepass", "secret"]);
    let mut admin = Client::connect(server.addr());
    admin.run("AUTH secret");
    admin.run("ACL SETUSER bob on >pw ~* +@all");
    let dir = fresh_dir();
    let port = server.port().to_string();
    let whoami = |args: &[&str], auth: Option<&str>| {
        let mut command = Command::new(redpoll_binary());
        command.arg("cli");
        let mut child = command
            .args(["-p", &port])
            .args(args)
            .args(["acl", "whoami"])
            .current_dir(&dir)
            .env_remove("REDISCLI_AUTH");
        if let Some(auth) = auth {
            child = child.env("REDISCLI_AUTH", auth);
        }
        let out = child.stdin(Stdio::null()).output().expect("it runs");
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    };
    let url = format!("redis://bob:pw@127.0.0.1:{port}");
    assert_eq!(whoami(&["-u", &url], None), "bob");
    assert_eq!(whoami(&["--user", "bob", "--pass", "pw"], None), "bob");
    assert_eq!(whoami(&["-a", "secret"], None), "default");
    assert_eq!(whoami(&[], Some("secret")), "default");
    assert!(whoami(&[], None).starts_with("NOAUTH"));
    assert!(whoami(&["--user", "bob"], Some("wrong")).starts_with("NOAUTH"));
    let _ = std::fs::remove_dir_all(&dir);
}

/// What a person does at a terminal.
#[test]
fn people_at_a_terminal() {
    let server = Server::redpoll_with(&["--enable-debug-command", "yes"]);
    let args = [
        server.port().to_string(),
        redpoll_binary().display().to_string(),
    ];
    python("people_at_a_terminal", &["redis"], "terminal.py", &args);
}

#[test]
fn a_picture_of_now_without_a_terminal() {
    let server = Server::redpoll();
    server.connect().run("SET k v");
    let port = server.port().to_string();
    let peers = Peers::find();
    let others = [peers.redis7, peers.redis8_6, peers.valkey];
    let others: Vec<Server> = others
        .iter()
        .flatten()
        .map(|peer| Server::peer(peer, &[]))
        .collect();
    let dir = fresh_dir();
    let ports = others.iter().map(|server| server.port().to_string());
    for port in std::iter::once(port).chain(ports) {
        let mut command = Command::new(redpoll_binary());
        command.arg("top");
        let out = run(command, &["-p", &port, "-i", "0.1"], b"", &dir);
        assert_eq!(out.status, Some(0), "{out:?}");
        for part in ["operations", "memory", "durability", "slow commands", "up "] {
            assert!(out.stdout.contains(part), "{part}: {}", out.stdout);
        }
    }
    let mut command = Command::new(redpoll_binary());
    command.arg("top");
    let out = run(command, &["-p", &free_port().to_string()], b"", &dir);
    assert_eq!(out.status, Some(1), "{out:?}");
    let _ = std::fs::remove_dir_all(&dir);
}

/// Runs a client that goes on until it is ended: until a line satisfies `is_last`. Once it has written `ready` to standard error,
/// `then` happens.
fn until(
    mut command: Command,
    args: &[&str],
    (ready, then): (&str, &dyn Fn()),
    is_last: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut child = command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a client can be started");
    if !ready.is_empty() {
        let stderr = child.stderr.take().expect("errors are a pipe");
        let mut lines = BufReader::new(stderr).lines();
        assert!(
            lines.any(|line| line.is_ok_and(|line| line.contains(ready))),
            "{args:?} never says {ready}"
        );
        then();
        // What else it says is read by nobody, and little.
        std::mem::forget(lines);
    }
    let stdout = child.stdout.take().expect("output is a pipe");
    let mut found = Vec::new();
    for line in BufReader::new(stdout).lines() {
        found.push(line.expect("text"));
        if is_last(&found[found.len() - 1]) {
            break;
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    found
}

/// A text with every number in it replaced.
fn without_numbers(text: &str) -> String {
    let mut shape = String::new();
    for c in text.chars() {
        match c.is_ascii_digit() || c == '.' {
            true if shape.ends_with('N') => {}
            true => shape.push('N'),
            false => shape.push(c),
        }
    }
    shape
}

#[test]
fn distributions_of_latency_look_like_redis_clis() {
    let Some(both) = Both::or_skip("terminal::distributions", &[]) else {
        return;
    };
    let port = both.server.port().to_string();
    let args = ["-p", &port, "-i", "0.02", "--latency-dist"];
    // Until the legend comes again.
    let of = |command: Command| {
        let rules = std::cell::Cell::new(0);
        until(command, &args, ("", &|| ()), |line| {
            rules.set(rules.get() + u32::from(line.starts_with("-----")));
            rules.get() == 4
        })
    };
    let mut ours = Command::new(redpoll_binary());
    ours.arg("cli");
    let (theirs, ours) = (of(Command::new(&both.theirs)), of(ours));
    assert_eq!(theirs[..8], ours[..8], "the legend");
    let shapes = |lines: &[String]| -> Vec<String> {
        // Which colours there are is chance.
        let shape = |line: &String| {
            let parts = line.split("\x1b[48;5;").map(|part| {
                let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
                rest.to_owned()
            });
            parts.collect()
        };
        lines.iter().map(shape).collect()
    };
    assert_eq!(shapes(&theirs[8..]), shapes(&ours[8..]));
    let tail = |outcome: Outcome| -> Vec<String> {
        let lines: Vec<&str> = outcome.stdout.lines().collect();
        let last = &lines[lines.len() - 3..];
        let first = lines[0];
        assert!(lines.iter().filter(|line| **line != first).count() >= 3);
        assert_eq!(outcome.status, Some(0));
        [&[first], last]
            .concat()
            .iter()
            .map(|line| without_numbers(line))
            .collect()
    };
    let (theirs, ours) = (
        tail(both.theirs(&["--intrinsic-latency", "1"], b"")),
        tail(both.ours(&["--intrinsic-latency", "1"], b"")),
    );
    assert_eq!(theirs, ours);
}

#[test]
fn a_primarys_stream_is_shown_as_redis_cli_does() {
    let Some(both) = Both::or_skip("terminal::replica", &["--repl-diskless-sync-delay", "0"])
    else {
        return;
    };
    let port = both.server.port().to_string();
    let writes = || {
        let mut client = both.server.connect();
        client.call(&[&b"SET"[..], b"k", b"a \"b\" \xff\n"]);
        client.run("SELECT 3");
        client.run("RPUSH l 1 2 3");
        client.run("MULTI");
        client.run("INCR n");
        client.run("APPEND n x");
        client.run("EXEC");
        client.run("DEL l last");
    };
    let of = |command: Command| -> Vec<String> {
        let mut client = both.server.connect();
        client.run("FLUSHALL");
        client.run("SET last 1");
        let args = ["-p", &*port, "--replica"];
        let lines = until(command, &args, ("Logging commands", &writes), |line| {
            line.contains("\"last\"") && line.to_ascii_lowercase().contains("\"del\"")
        });
        // Which database is selected first depends on what the stream had in it before.
        lines
            .into_iter()
            .filter(|line| !line.to_ascii_lowercase().contains("\"ping\""))
            .filter(|line| line != "\"SELECT\",\"0\"")
            .collect()
    };
    let mut ours = Command::new(redpoll_binary());
    ours.arg("cli");
    let (theirs, ours) = (of(Command::new(&both.theirs)), of(ours));
    assert_eq!(theirs, ours);
    assert!(ours.len() >= 7, "{ours:?}");
}

#[test]
fn options_of_newer_versions_are_there_or_say_why_not() {
    let Some(both) = Both::or_skip("terminal::newer", &[]) else {
        return;
    };
    let port = both.server.port().to_string();
    let ours = |args: &[&str]| both.ours(&[&["-p", &port], args].concat(), b"");
    let all = ours(&["--scan"]);
    let mut monitor = both.server.connect();
    monitor.run("MONITOR");
    assert_eq!(ours(&["--scan", "--count", "1000"]).stdout, all.stdout);
    let shown = loop {
        let line = redpoll_tests::check::show(&monitor.read());
        if line.contains("SCAN") {
            break line;
        }
    };
    assert!(shown.contains("COUNT") && shown.contains("1000"), "{shown}");
    for args in [&["-4", "PING"][..], &["-6", "PING"], &["-t", "9.5", "PING"]] {
        assert_eq!(ours(args).stdout, "PONG\n", "{args:?}");
    }
    for option in ["--cluster", "--ldb", "--mptcp", "--vset-recall"] {
        let outcome = ours(&[option, "x"]);
        assert_eq!(outcome.status, Some(1));
        let expected = format!("redpoll cli has no {option}: ");
        assert!(outcome.stderr.starts_with(&expected), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
}
