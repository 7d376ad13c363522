//! DEBUG, of keys, tables and replies.

use crate::client::clients::{Kind, Origin};
use crate::testing::TestClient;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

fn client() -> TestClient {
    TestClient::with(&[("enable-debug-command", "yes")])
}

#[track_caller]
fn check(line: &str, expected: &str) {
    client().check(line, expected);
}

#[test]
fn it_has_to_be_allowed() {
    let refused = "-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run \
                   it from a local connection, otherwise you need to set this option in the configuration file, and \
                   then restart the server.";
    TestClient::new().check("DEBUG LOG x", refused);
    TestClient::new().check(
        "DEBUG",
        "-ERR wrong number of arguments for 'debug' command",
    );
    let mut c = TestClient::with(&[("enable-debug-command", "local")]);
    c.check("DEBUG LOG x", "OK");
    for (addr, kind, expected) in [
        ("10.1.2.3:4", Kind::Tcp, refused),
        ("[2001:db8::1]:4", Kind::Tcp, refused),
        ("[::1]:4", Kind::Tcp, "OK"),
        ("[::ffff:127.0.0.1]:4", Kind::Tcp, "OK"),
        ("/tmp/socket:0", Kind::Unix, "OK"),
    ] {
        c.session = c.engine.session(Origin {
            addr: addr.into(),
            laddr: String::new(),
            fd: 1,
            kind,
            waker: None,
        });
        c.check("DEBUG LOG x", expected);
    }
}

#[test]
fn unknown_subcommands_and_wrong_counts() {
    for (line, name) in [
        ("DEBUG FOO", "FOO"),
        ("DEBUG Sleep", "Sleep"),
        ("DEBUG SLEEP 0 0", "SLEEP"),
        ("DEBUG HELP a", "HELP"),
        ("DEBUG OBJECT", "OBJECT"),
        ("DEBUG POPULATE 1 a 1 1", "POPULATE"),
    ] {
        let error = format!(
            "-ERR unknown subcommand or wrong number of arguments for '{name}'. Try DEBUG HELP."
        );
        check(line, &error);
    }
    let help = client().run("DEBUG HELP");
    assert!(
        help.starts_with("[DEBUG <subcommand>") && help.ends_with("HELP     Prints this help.]"),
        "{help}"
    );
}

/// Nobody is served meanwhile, whoever asks.
#[test]
fn everybody_sleeps() {
    let mut c = client();
    let began = Instant::now();
    let sleeper = std::thread::spawn({
        let mut other = c.another();
        move || {
            other.check("DEBUG SLEEP 0.2", "OK");
            other.check("MULTI", "OK");
        }
    });
    while !c.engine.is_asleep() && !sleeper.is_finished() {
        std::thread::yield_now();
    }
    c.check("PING", "PONG");
    assert!(began.elapsed() >= Duration::from_millis(200));
    sleeper.join().expect("it wakes up");
    c.check("DEBUG SLEEP 0", "OK");
    c.check("DEBUG SLEEP -1", "OK");
    c.check("DEBUG SLEEP \"0\\r\\n\"", "OK");
    for bad in ["x", "1e300", "inf"] {
        c.check(
            &format!("DEBUG SLEEP {bad}"),
            "-ERR value is not a valid float",
        );
    }
}

/// What has expired and is still there is seen by OBJECT alone.
#[test]
fn what_has_expired_is_seen() {
    let mut c = client();
    c.run("SET k v PX 1; DEBUG SLEEP 0.003");
    let object = c.run("DEBUG OBJECT k");
    assert!(object.contains("encoding:embstr"), "{object}");
    c.check("DEBUG SDSLEN k", "-ERR no such key");
    c.check("GET k", "nil");
    c.check("DEBUG OBJECT k", "-ERR no such key");
}

#[test]
fn switches_switch() {
    let mut c = client();
    let engine = c.engine.clone();
    let expiring = || engine.config().live.active_expire.load(Relaxed);
    assert!(expiring());
    c.check("DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    assert!(!expiring());
    c.check("debug set-active-expire 1", "OK");
    assert!(expiring());
    c.check(
        "DEBUG SET-ACTIVE-EXPIRE x",
        "-ERR value is not an integer or out of range",
    );
    c.check("DEBUG PAUSE-CRON 1", "OK");
    assert!(engine.maintenance_paused.load(Relaxed));
    c.check("DEBUG PAUSE-CRON 0", "OK");
    assert!(!engine.maintenance_paused.load(Relaxed));
}

#[test]
fn object_describes_a_value() {
    let mut c = client();
    let mut of = |value: &str| {
        let text = c.run(&format!("SET k {value}; DEBUG OBJECT k"));
        let (head, tail) = text.split_once(" refcount:1 ").unwrap();
        assert!(head.starts_with("Value at:0x"), "{text}");
        tail.split_once(" lru:").unwrap().0.to_owned()
    };
    assert_eq!(of("5"), "encoding:int serializedlength:2");
    assert_eq!(of("-129"), "encoding:int serializedlength:3");
    assert_eq!(of("70000"), "encoding:int serializedlength:5");
    assert_eq!(of("3000000000"), "encoding:int serializedlength:11");
    assert_eq!(of("abc"), "encoding:embstr serializedlength:4");
    assert_eq!(of(&"x".repeat(64)), "encoding:raw serializedlength:66");
    assert_eq!(
        of(&"x".repeat(20000)),
        "encoding:raw serializedlength:20005"
    );
    assert!(!c.run("DEBUG OBJECT k FAST").contains("serializedlength"));
    c.check("DEBUG OBJECT nosuch", "-ERR no such key");
    c.check("SET gone x PXAT 1; DEBUG OBJECT gone", "-ERR no such key");
}

#[test]
fn lengths_of_strings() {
    let mut c = client();
    let text = c.run("SET key abc; DEBUG SDSLEN key");
    assert!(
        text.starts_with("key_sds_len:3, key_sds_avail:0, key_zmalloc: "),
        "{text}"
    );
    assert!(
        text.ends_with(", val_sds_len:3, val_sds_avail:0, val_zmalloc: 0"),
        "{text}"
    );
    let text = c.run("SETRANGE big 9999 x; DEBUG SDSLEN big");
    assert!(text.contains(", val_sds_len:10000, "), "{text}");
    c.check("SET n 5; DEBUG SDSLEN n", "-ERR Not an sds encoded string.");
    c.check("DEBUG SDSLEN nosuch", "-ERR no such key");
}

#[test]
fn probes_of_other_encodings() {
    let mut c = client();
    c.run("SET k v");
    c.check("DEBUG LISTPACK k", "-ERR Not a listpack encoded object.");
    c.check("DEBUG LISTPACK nosuch", "-ERR no such key");
    c.check(
        "DEBUG QUICKLIST k 1",
        "-ERR Not a quicklist encoded object.",
    );
    let error = "-ERR The value stored at the specified key is not represented using an hash table";
    c.check("DEBUG HTSTATS-KEY k full", error);
    c.run("SADD small a b; SADD ints 1 2");
    let text = c.run("DEBUG LISTPACK small");
    assert!(
        text.starts_with("Listpack of ") && text.ends_with(" bytes"),
        "{text}"
    );
    c.check("DEBUG LISTPACK ints", "-ERR Not a listpack encoded object.");
    c.check("DEBUG HTSTATS-KEY small", error);
    for n in 0..1000 {
        c.run(&format!("SADD large member:{n}"));
    }
    let text = c.run("DEBUG HTSTATS-KEY large");
    assert!(text.contains(r"\n number of elements: 1000\n"), "{text}");
    c.check(
        "DEBUG QUICKLIST large",
        "-ERR Not a quicklist encoded object.",
    );
}

/// The digests are those that Redis 7.0.15, Redis 8.2.3 and Valkey 9.1.2 answer to the same commands.
#[test]
fn digests_are_those_of_other_servers() {
    let mut c = client();
    c.check("DEBUG DIGEST", &"0".repeat(40));
    c.check(
        "SET a 1; DEBUG DIGEST",
        "943d800368fb9c0e951138f1bc0e313ac769d91f",
    );
    c.check(
        "SELECT 3; SET bb xyz; DEBUG DIGEST",
        "d4a87a3e39c095897c21ea83a4d37a9e6dbcede6",
    );
    c.check(
        "PEXPIREAT bb 99999999999999; DEBUG DIGEST",
        "41628b845a7f51c54583239f53da9ccf4f986677",
    );
    c.check(
        "DEBUG DIGEST-VALUE bb nosuch",
        &format!(
            "[56c84b94eec67961205b4c8ad864248193bb824c {}]",
            "0".repeat(40)
        ),
    );
    c.check(
        "SELECT 0; DEBUG DIGEST-VALUE a",
        "[b4fc66738120fba0b5aa500ab5c2bf89cea1c5da]",
    );
    c.check("DEBUG DIGEST-VALUE", "[]");
    c.check("FLUSHALL; DEBUG DIGEST", &"0".repeat(40));
}

/// As above. Sorted sets are written as Redis 8 and Valkey write them.
#[test]
fn digests_of_collections() {
    let mut c = client();
    for (line, digest) in [
        (
            "SADD k a b 17 -5",
            "ae80b3a94b325b5a960beeacefc820ce3055e038",
        ),
        (
            r#"SADD k a b c x """#,
            "92f32a74e32c17cdf768b679f37a0e8ce497fd09",
        ),
        (
            "SADD k 1 2 3 500",
            "d27c12035e09c4a02e8bc461ae14c6a7ab5c2a51",
        ),
        (
            "ZADD k 1 a 2.5 b 0.1 c -inf d 1e300 e -0.001 f 3 17 1e20 g 123456789012345678 h",
            "d2f559004f15af6e3f2143055a0a8d618c91b4bf",
        ),
        (
            "XADD k 1-1 a b; XADD k 1-2 a b c d",
            "0724f2238e16b10fe59dfef5da352c930ed37b56",
        ),
        (
            "XADD k 1-1 a b; XADD k 1-2 a b c d; XADD k 5-0 n 5; XDEL k 1-1; XGROUP CREATE k g 0",
            "7220b74c5a64c94653e126bf8b8be3b500ae8d13",
        ),
        ("ZADD k 1e17 a", "865dfe692ba47395ddd673188be31a88f4f3a760"),
        (
            "HSET k f v g 12",
            "8530acc75d5274eb0fc0da86f28ed5533274a6d4",
        ),
        (
            r#"RPUSH k a 12 b """#,
            "174df9c2931a1bbba9573ceaed38dee1227fe2ac",
        ),
    ] {
        // Families of commands that this build does not have are skipped.
        if !c
            .run(&format!("DEL k; {line}"))
            .starts_with("-ERR unknown command")
        {
            c.check("DEBUG DIGEST-VALUE k", &format!("[{digest}]"));
        }
    }
}

#[test]
fn a_digest_does_not_depend_on_where_keys_are() {
    let mut c = client();
    c.run("DEBUG POPULATE 3000");
    let digest = c.run("DEBUG DIGEST");
    // Another seed puts the keys elsewhere.
    let mut other = client();
    other.run("DEBUG POPULATE 5000");
    assert_ne!(other.run("DEBUG DIGEST"), digest);
    for n in 3000..5000 {
        other.run(&format!("DEL key:{n}"));
    }
    assert_eq!(other.run("DEBUG DIGEST"), digest);
}

#[test]
fn populate_adds_numbered_keys() {
    let mut c = client();
    c.check("SET p:1 mine; DEBUG POPULATE 3 p 10", "OK");
    c.check("DBSIZE", "3");
    c.check("GET p:0", r#""value:0\x00\x00\x00""#);
    c.check("GET p:1", r#""mine""#);
    c.check("DEBUG POPULATE 1 q 3; GET q:0", r#""val""#);
    c.check("DEBUG POPULATE 1; GET key:0", r#""value:0""#);
    c.check("DEBUG POPULATE 1 big 20000; STRLEN big:0", "20000");
    for bad in ["a", "-1", "1 p -1", "1 p x"] {
        c.check(
            &format!("DEBUG POPULATE {bad}"),
            "-ERR value is out of range, must be positive",
        );
    }
    c.check(
        "DEBUG POPULATE 1 p 99999999999",
        "-ERR string exceeds maximum allowed size (proto-max-bulk-len)",
    );
}

#[test]
fn tables_have_a_shape() {
    let mut c = client();
    c.check("DEBUG HTSTATS 0", r#""[Dictionary HT]\n[Expires HT]\n""#);
    c.run("DEBUG POPULATE 5000; SET t v EX 1000");
    let text = c.run("DEBUG HTSTATS 0 full");
    assert!(text.contains(r"\n number of elements: 5001\n"), "{text}");
    assert!(text.contains(r"[Expires HT]\nHash table 0 stats (main hash table):\n table size: 0\n number of elements: 1\n"));
    let number = |name: &str| -> usize {
        let rest = &text[text.find(name).unwrap() + name.len()..];
        rest.chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
            .parse()
            .unwrap()
    };
    let (size, buckets) = (number("table size: "), number("buckets: "));
    assert!(
        size == buckets * 7 && (5001..30_000).contains(&size),
        "{text}"
    );
    assert_eq!(number("shards: "), 256);
    assert!(!c.run("DEBUG HTSTATS 0").contains("shards"));
    c.check(
        "DEBUG HTSTATS a",
        "-ERR value is not an integer or out of range",
    );
    c.check("DEBUG HTSTATS 16", "-ERR Out of range database");
}

#[test]
fn protocol_shows_every_type_in_both_versions() {
    let mut two = client();
    let mut three = client().resp3();
    for (kind, resp2, resp3) in [
        ("string", "$11\r\nHello World\r\n", "$11\r\nHello World\r\n"),
        ("integer", ":12345\r\n", ":12345\r\n"),
        ("double", "$5\r\n3.141\r\n", ",3.141\r\n"),
        (
            "bignum",
            "$37\r\n1234567999999999999999999999999999999\r\n",
            "(1234567999999999999999999999999999999\r\n",
        ),
        ("null", "$-1\r\n", "_\r\n"),
        (
            "array",
            "*3\r\n:0\r\n:1\r\n:2\r\n",
            "*3\r\n:0\r\n:1\r\n:2\r\n",
        ),
        (
            "set",
            "*3\r\n:0\r\n:1\r\n:2\r\n",
            "~3\r\n:0\r\n:1\r\n:2\r\n",
        ),
        (
            "map",
            "*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n",
            "%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n",
        ),
        (
            "attrib",
            "$39\r\nSome real reply following the attribute\r\n",
            "|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n\
             $39\r\nSome real reply following the attribute\r\n",
        ),
        (
            "push",
            "-ERR RESP2 is not supported by this command\r\n",
            "$40\r\nSome real reply following the push reply\r\n>2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n",
        ),
        (
            "verbatim",
            "$25\r\nThis is a verbatim\nstring\r\n",
            "=29\r\ntxt:This is a verbatim\nstring\r\n",
        ),
        ("TRUE", ":1\r\n", "#t\r\n"),
        ("false", ":0\r\n", "#f\r\n"),
    ] {
        let text =
            |c: &mut TestClient| String::from_utf8(c.raw(&["DEBUG", "PROTOCOL", kind])).unwrap();
        assert_eq!(
            (text(&mut two).as_str(), text(&mut three).as_str()),
            (resp2, resp3),
            "{kind}"
        );
    }
    assert!(
        two.run("DEBUG PROTOCOL foo")
            .starts_with("-ERR Wrong protocol type name. Please use one of")
    );
}

#[test]
fn errors_are_answered_as_given() {
    let mut c = client();
    assert_eq!(
        c.raw(&["DEBUG", "ERROR", "MYCODE a\r\nb"]),
        b"-MYCODE a  b\r\n"
    );
    assert_eq!(c.raw(&["DEBUG", "ERROR", ""]), b"-\r\n");
    assert_eq!(c.engine.stats().errors().get("MYCODE"), Some(&1));
}

#[test]
fn globs_can_be_tried() {
    check("DEBUG STRINGMATCH-LEN a*b axxb", "1");
    check("DEBUG STRINGMATCH-LEN a*b axxc", "0");
    check(
        "DEBUG STRINGMATCH-TEST",
        "The matcher came through all random patterns: test passed",
    );
}

#[test]
fn what_is_not_built_is_said() {
    for line in ["RELOAD NOSAVE", "LOADAOF"] {
        let reply = client().run(&format!("DEBUG {line}"));
        assert_eq!(reply, "-ERR this database is not kept in files");
    }
    check(
        "DEBUG RELOAD FOO",
        "-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
    );
    let mut c = client();
    c.check("DEBUG QUICKLIST-PACKED-THRESHOLD 100b", "OK");
    let live = &c.engine.config().live;
    assert_eq!(live.quicklist_packed_threshold.load(Relaxed), 100);
    check(
        "DEBUG QUICKLIST-PACKED-THRESHOLD 5gb",
        "-ERR argument must be a memory value bigger than 1 and smaller than 4gb",
    );
    let reply = client().run("DEBUG SET-SKIP-CHECKSUM-VALIDATION 0");
    assert!(reply.ends_with(", which is not built yet"), "{reply}");
    for line in ["REPLYBUFFER RESIZING 0", "DICT-RESIZING 1"] {
        let reply = client().run(&format!("DEBUG {line}"));
        assert!(reply.contains(" has nothing to switch here: "), "{reply}");
    }
}

/// A transaction holds all locks already: what looks at keys must not wait for them.
#[test]
fn in_transactions() {
    let mut db = client();
    for line in [
        "DEBUG OBJECT l",
        "DEBUG SDSLEN s",
        "DEBUG LISTPACK l",
        "DEBUG DIGEST",
        "DEBUG DIGEST-VALUE l",
        "DEBUG HTSTATS 0",
        "DEBUG HTSTATS-KEY l",
        "DEBUG SLEEP 0",
        "DEBUG POPULATE 3",
    ] {
        let alone = db.run(&format!("FLUSHALL; RPUSH l 1; SET s x; {line}"));
        db.run("FLUSHALL; RPUSH l 1; SET s x; MULTI");
        db.run(line);
        let in_transaction = db.run("EXEC");
        let address = |reply: &str| {
            reply
                .split(' ')
                .filter(|word| !word.starts_with("at:"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            address(&in_transaction),
            format!("[{}]", address(&alone)),
            "{line}"
        );
    }
    db.check("DBSIZE", "5");
}

#[test]
fn populate_announces_its_keys() {
    let mut db = client();
    let mut watching = db.another();
    watching.run("WATCH key:1");
    db.check("DEBUG POPULATE 2", "OK");
    watching.check("MULTI; PING; EXEC", "nil");
    watching.run("WATCH key:1");
    db.check("DEBUG POPULATE 2", "OK");
    watching.check("MULTI; PING; EXEC", "[PONG]");
}

#[test]
fn pools_of_clients_are_not_made_up() {
    let mut c = client();
    c.check(
        "DEBUG CLIENT-EVICTION",
        "-ERR maxmemory-clients is disabled.",
    );
    c.check("CONFIG SET maxmemory-clients 100mb", "OK");
    c.check(
        "DEBUG CLIENT-EVICTION",
        "-ERR clients that may be evicted stand in no pools here",
    );
}
