//! Clients as they are published, unmodified: redis-cli, redis-benchmark, redis-rs, redis-py, ioredis, node-redis.
//!
//! The scripts of the last three are in `tests/clients/`; each takes a port, checks, and says at its end how many checks passed.

use redis::{Commands, RedisResult};
use redpoll_tests::Server;
use redpoll_tests::program::{node, on_path, python, run};
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn redis_cli() {
    let Some(cli) = on_path("redis_cli", "redis-cli") else {
        return;
    };
    let server = Server::redpoll();
    let call = |args: &[&str]| {
        run(Command::new(&cli)
            .args(["-p", &server.port().to_string()])
            .args(args))
    };
    assert_eq!(call(&["SET", "greeting", "hello world"]), "OK\n");
    assert_eq!(call(&["GET", "greeting"]), "hello world\n");
    assert_eq!(call(&["-3", "GET", "missing"]), "\n");
    assert_eq!(call(&["--no-raw", "INCR", "n"]), "(integer) 1\n");
    assert_eq!(call(&["-n", "5", "DBSIZE"]), "0\n");
    assert_eq!(
        call(&["--no-raw", "INCR", "greeting"]),
        "(error) ERR value is not an integer or out of range\n"
    );
    assert!(call(&["INFO", "server"]).contains("redis_version:"));
    assert_eq!(call(&["--scan", "--pattern", "gree*"]), "greeting\n");
    let big = call(&["--bigkeys"]);
    assert!(big.contains("Sampled 2 keys"), "{big}");
    let memory = call(&["--memkeys"]);
    assert!(memory.contains("Sampled 2 keys"), "{memory}");
}

#[test]
fn redis_cli_mass_insertion() {
    let Some(cli) = on_path("redis_cli_mass_insertion", "redis-cli") else {
        return;
    };
    let server = Server::redpoll();
    let mut child = Command::new(&cli)
        .args(["-p", &server.port().to_string(), "--pipe"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-cli can be started");
    let mut input = Vec::new();
    for i in 0..50_000 {
        redpoll_tests::client::encode(&["SET", &format!("key:{i}"), &i.to_string()], &mut input);
    }
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    stdin.write_all(&input).expect("redis-cli takes all input");
    drop(stdin);
    let out = child.wait_with_output().expect("redis-cli ends");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("errors: 0, replies: 50000"), "{text}");
    redpoll_tests::check::check(&mut server.connect(), "DBSIZE", "50000");
}

#[test]
fn redis_benchmark() {
    let Some(benchmark) = on_path("redis_benchmark", "redis-benchmark") else {
        return;
    };
    let server = Server::redpoll();
    for pipeline in ["1", "16"] {
        let text = run(Command::new(&benchmark)
            .args([
                "-p",
                &server.port().to_string(),
                "-q",
                "-n",
                "5000",
                "-c",
                "20",
                "-P",
                pipeline,
            ])
            .args([
                "-r",
                "1000",
                "-t",
                "ping_inline,ping_mbulk,set,get,incr,mset",
            ]));
        let last_lines = text.replace('\r', "\n");
        for test in [
            "PING_INLINE",
            "PING_MBULK",
            "SET",
            "GET",
            "INCR",
            "MSET (10 keys)",
        ] {
            let result = format!("\n{test}: ");
            let found = last_lines.lines().any(|l| {
                format!("\n{l}").starts_with(&result) && l.contains("requests per second")
            });
            assert!(found, "no result for {test}:\n{last_lines}");
        }
        assert!(!text.contains("ERR") && !text.contains("WARNING"), "{text}");
    }
}

#[test]
fn redis_rs() -> RedisResult<()> {
    let server = Server::redpoll();
    for resp3 in [false, true] {
        let protocol = if resp3 { "?protocol=resp3" } else { "" };
        let client =
            redis::Client::open(format!("redis://127.0.0.1:{}/{protocol}", server.port()))?;
        let mut connection = client.get_connection()?;
        redis::cmd("FLUSHALL").exec(&mut connection)?;
        let () = connection.set("key", b"\x00\xffvalue")?;
        let value: Vec<u8> = connection.get("key")?;
        assert_eq!(value, b"\x00\xffvalue");
        let missing: Option<String> = connection.get("missing")?;
        assert_eq!(missing, None);
        let sum: i64 = connection.incr("n", 41)?;
        assert_eq!(sum, 41);
        let () = connection.mset(&[("a", 1), ("b", 2)])?;
        let both: Vec<Option<i64>> = connection.mget(&["a", "missing", "b"])?;
        assert_eq!(both, [Some(1), None, Some(2)]);
        let () = connection.set_ex("short", "lived", 100)?;
        let left: i64 = connection.ttl("short")?;
        assert!((90..=100).contains(&left));
        let (x, y): (String, i64) = redis::pipe()
            .cmd("SET")
            .arg("p")
            .arg("q")
            .cmd("STRLEN")
            .arg("p")
            .query(&mut connection)?;
        assert_eq!((x.as_str(), y), ("OK", 1));
        let mut keys: Vec<String> = connection.scan::<String>()?.collect();
        keys.sort();
        assert_eq!(keys, ["a", "b", "key", "n", "p", "short"]);
        let wrong = redis::cmd("INCR").arg("key").exec(&mut connection);
        assert!(wrong.is_err_and(|e| e.to_string().contains("not an integer")));
        let bits: (i64, i64) = (connection.bitcount("key")?, connection.strlen("key")?);
        assert_eq!(bits.1, 7);
    }
    Ok(())
}

#[test]
fn redis_py() {
    let server = Server::redpoll();
    let port = [server.port().to_string()];
    python("redis_py", &["redis"], "redis_py.py", &port);
}

#[test]
fn ioredis() {
    let server = Server::redpoll();
    let port = [server.port().to_string()];
    node("ioredis", &["ioredis"], "ioredis.js", &port);
}

#[test]
fn node_redis() {
    let server = Server::redpoll();
    let port = [server.port().to_string()];
    node("node_redis", &["redis"], "node_redis.js", &port);
}
