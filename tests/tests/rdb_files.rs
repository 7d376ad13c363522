//! Files of RDB between the real servers and the crate that reads and writes them.
//!
//! Each server is filled with every type and encoding and told to save. What the crate reads in the file must be what the
//! server answers. Then the crate writes it again in each version that another server loads, and that one must answer the
//! same. `REDPOLL_BLESS=1` puts the servers' files, with what they answered, into the corpus of the crate.

use rdb::encode::{Hint, Meta, Options};
use rdb::file::{
    Assembly, Built, Checksum, Item, ReadOptions, Reader, Writer, check, kind_name, show,
};
use rdb::{Loaded, Settings, Version};
use redpoll_tests::peers::Peer;
use redpoll_tests::server::Folder;
use redpoll_tests::{Client, Server, every_peer};
use resp::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use store::{Dict, NewValue, Object};

/// Fields that expire do so long after any test.
const NOW_MS: u64 = 1_700_000_000_000;

const SETTINGS: Settings = Settings::usual(NOW_MS);

/// By database and key: expiry and value, as one line of text.
type Contents = BTreeMap<(u32, Vec<u8>), String>;

/// What a server can do, for that decides what it is filled with and how its answers are compared.
#[derive(Clone, Copy)]
struct Abilities {
    /// Fields expire.
    field_expiry: bool,
    /// It knows when consumers were last active.
    activity: bool,
    /// Streams remember what producers have sent.
    idempotency: bool,
}

fn abilities(peer: &Peer) -> Abilities {
    let parts: Vec<u32> = peer
        .version
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect();
    let version = (parts[0], parts[1]);
    let redis = peer.name == "redis";
    Abilities {
        field_expiry: version >= if redis { (7, 4) } else { (9, 0) },
        activity: version >= (7, 2),
        idempotency: redis && version >= (8, 6),
    }
}

/// The versions that a server loads.
fn loads(peer: &Peer) -> Vec<Version> {
    let can = abilities(peer);
    let mut versions = vec![Version::V9, Version::V10];
    if can.activity {
        versions.push(Version::V11);
    }
    if can.field_expiry && peer.name == "redis" {
        versions.push(Version::V12);
    } else if can.field_expiry {
        versions.push(Version::Valkey80);
    }
    versions
}

fn line(text: &str) -> Vec<Vec<u8>> {
    text.split(' ')
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

/// The commands that fill a server.
fn commands(can: Abilities) -> Vec<Vec<Vec<u8>>> {
    let mut all: Vec<Vec<Vec<u8>>> = [
        "SET int:0 0",
        "SET int:8 -128",
        "SET int:16 -129",
        "SET int:32 2147483647",
        "SET int:64 2147483648",
        "SET int:min -9223372036854775808",
        "SET int:not 007",
        "SET 12345 number-as-a-key",
        "SET empty \"\"",
        "SET text hello",
        "SETBIT bits 70000 1",
        "PFADD hll a b c",
        "SET expiring soon PXAT 33333333333333",
        "RPUSH list:small a b 1 -5 70000 12345678901",
        "SADD set:16 1 2 -300",
        "SADD set:32 1 70000",
        "SADD set:64 1 123456789012",
        "SADD set:small a b 17 c",
        "ZADD zset:small 1.5 a -inf b 3 c inf d 0.125 e -1024.75 17",
        "HSET hash:small f v 1 2 g -70000",
        "HSET hash:expiring f v",
        "PEXPIREAT hash:expiring 33333333333334",
        "XADD stream:one 5-1 f v g w",
        "XADD stream:one 5-2 f v2 g w2",
        "XADD stream:one 6-0 other fields here too",
        "XADD stream:gone 5-1 f v",
        "XDEL stream:gone 5-1",
        "XGROUP CREATE stream:new group $ MKSTREAM",
        "SELECT 3",
        "SET text other",
        "LPUSH list:small x",
        "SELECT 0",
    ]
    .map(line)
    .into();
    let many = |words: &str, args: &mut dyn Iterator<Item = String>| -> Vec<Vec<u8>> {
        let mut command = line(words);
        command.extend(args.map(String::into_bytes));
        command
    };
    let range = || 0..300i64;
    all.extend([
        line("SET long"),
        many(
            "RPUSH list:large",
            &mut range().map(|i| format!("item {i}")),
        ),
        many(
            "RPUSH list:numbers",
            &mut range().map(|i| (i * i * i * 7919).to_string()),
        ),
        many(
            "SADD set:large",
            &mut range().map(|i| format!("member {i}")),
        ),
        many("SADD set:ints", &mut range().map(|i| (i * 3).to_string())),
        many(
            "ZADD zset:large",
            &mut range().flat_map(|i| [(i as f64 / 4.0).to_string(), format!("member {i}")]),
        ),
        many(
            "HSET hash:large",
            &mut range().flat_map(|i| [format!("field {i}"), (i * 1000).to_string()]),
        ),
    ]);
    let long = all.iter().position(|c| c == &line("SET long")).unwrap_or(0);
    all[long].push(b"abc".repeat(5000));
    // An element too large for a node.
    let mut plain = line("RPUSH list:plain before");
    plain.extend([vec![b'p'; 9000], b"after".to_vec()]);
    all.push(plain);
    let mut value = line("HSET hash:long f");
    value.push(vec![b'v'; 100]);
    all.push(value);
    for i in 1..=250 {
        all.push(line(&format!(
            "XADD stream:large {i}-{} temperature {} unit C",
            i % 3,
            i * 7 % 40
        )));
    }
    for text in [
        "XDEL stream:large 20-2",
        "XGROUP CREATE stream:large readers 0",
        "XGROUP CREATE stream:large nobody 9-0",
        "XREADGROUP GROUP readers alice COUNT 5 STREAMS stream:large >",
        "XREADGROUP GROUP readers bob COUNT 3 STREAMS stream:large >",
        "XACK stream:large readers 2-2",
        "XGROUP CREATECONSUMER stream:large readers carol",
        "XSETID stream:large 300-7",
    ] {
        all.push(line(text));
    }
    if can.field_expiry {
        for text in [
            "HSET hash:timed f v g w 1 2",
            "HPEXPIREAT hash:timed 33333333333333 FIELDS 1 f",
            "HPEXPIREAT hash:timed 33333333334444 FIELDS 1 1",
        ] {
            all.push(line(text));
        }
        all.push(many(
            "HSET hash:timed:large",
            &mut range().flat_map(|i| [format!("field {i}"), i.to_string()]),
        ));
        for i in (0..300).step_by(7) {
            all.push(vec![
                b"HPEXPIREAT".to_vec(),
                b"hash:timed:large".to_vec(),
                format!("{}", 33_333_333_333_333u64 + i).into_bytes(),
                b"FIELDS".to_vec(),
                b"1".to_vec(),
                format!("field {i}").into_bytes(),
            ]);
        }
    }
    if can.idempotency {
        for text in [
            "XADD stream:idempotent IDMP producer message-1 * f v",
            "XADD stream:idempotent IDMP producer message-2 * f w",
            "XADD stream:idempotent IDMPAUTO other * f x",
        ] {
            all.push(line(text));
        }
    }
    all
}

fn call(client: &mut Client, words: &[&[u8]]) -> Value {
    let reply = client.call(words);
    assert!(!matches!(reply, Value::Error(_)), "{words:?}: {reply:?}");
    reply
}

fn fill(client: &mut Client, can: Abilities) {
    for command in commands(can) {
        // An empty string as an argument.
        let words: Vec<&[u8]> = command
            .iter()
            .map(|w| if w == b"\"\"" { b"" } else { w.as_slice() })
            .collect();
        let reply = client.call(&words);
        if let (Value::Error(error), true) = (&reply, words[0] == b"XADD") {
            // With an ID of one's own, servers of 8.6 may not take what IDMP names.
            panic!("{words:?}: {error}");
        }
        assert!(!matches!(reply, Value::Error(_)), "{words:?}: {reply:?}");
    }
}

fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        Value::Map(pairs) => pairs.into_iter().flat_map(|(k, v)| [k, v]).collect(),
        other => panic!("no array: {other:?}"),
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::Bulk(text) => text.clone(),
        Value::Simple(text) => text.clone().into_bytes(),
        Value::Int(n) => n.to_string().into_bytes(),
        other => panic!("no text: {other:?}"),
    }
}

fn quoted(value: &Value) -> String {
    format!("\"{}\"", bytes(value).escape_ascii())
}

fn plain(value: &Value) -> String {
    String::from_utf8_lossy(&bytes(value)).into_owned()
}

/// The value behind a name in a flat array of names and values.
fn named(fields: &[Value], name: &str) -> Option<Value> {
    fields
        .chunks(2)
        .find(|pair| plain(&pair[0]) == name)
        .map(|pair| pair[1].clone())
}

fn pairs(items: &[Value], separator: &str) -> String {
    let texts: Vec<String> = items
        .chunks(2)
        .map(|pair| format!("{}{separator}{}", quoted(&pair[0]), quoted(&pair[1])))
        .collect();
    format!("{{{}}}", texts.join(", "))
}

fn stream_answer(client: &mut Client, key: &[u8], can: Abilities) -> String {
    let entries: Vec<String> = array(call(client, &[b"XRANGE", key, b"-", b"+"]))
        .into_iter()
        .map(|entry| {
            let entry = array(entry);
            format!(
                "{} {}",
                plain(&entry[0]),
                pairs(&array(entry[1].clone()), ": ")
            )
        })
        .collect();
    let info = array(call(
        client,
        &[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"],
    ));
    let of = |fields: &[Value], name: &str| named(fields, name).unwrap_or(Value::Null);
    let mut out = format!(
        "[{}] last {}, highest deleted {}, {} added",
        entries.join(", "),
        plain(&of(&info, "last-generated-id")),
        plain(&of(&info, "max-deleted-entry-id")),
        plain(&of(&info, "entries-added")),
    );
    for group in array(of(&info, "groups")) {
        let group = array(group);
        out += &format!(
            ", group {} at {}",
            quoted(&of(&group, "name")),
            plain(&of(&group, "last-delivered-id"))
        );
        if let Value::Int(n) = of(&group, "entries-read") {
            out += &format!(", {n} read");
        }
        for consumer in array(of(&group, "consumers")) {
            let consumer = array(consumer);
            out += &format!(
                ", consumer {} seen {}",
                quoted(&of(&consumer, "name")),
                plain(&of(&consumer, "seen-time"))
            );
            match of(&consumer, "active-time") {
                Value::Int(ms) if can.activity && ms >= 0 => out += &format!(" active {ms}"),
                _ => {}
            }
            let pending: Vec<String> = array(of(&consumer, "pending"))
                .into_iter()
                .map(|one| {
                    let one = array(one);
                    format!(
                        "{} at {} times {}",
                        plain(&one[0]),
                        plain(&one[1]),
                        plain(&one[2])
                    )
                })
                .collect();
            out += &format!(" [{}]", pending.join(", "));
        }
    }
    out
}

/// A key's value as [`show`] would print it, from a server's answers.
fn answer(client: &mut Client, key: &[u8], can: Abilities) -> String {
    let kind = plain(&call(client, &[b"TYPE", key]));
    match kind.as_str() {
        "string" => quoted(&call(client, &[b"GET", key])),
        "list" => {
            let items = array(call(client, &[b"LRANGE", key, b"0", b"-1"]));
            let items: Vec<String> = items.iter().map(quoted).collect();
            format!("[{}]", items.join(", "))
        }
        "set" => {
            let members = array(call(client, &[b"SMEMBERS", key]));
            let members: BTreeSet<Vec<u8>> = members.iter().map(bytes).collect();
            let texts: Vec<String> = members
                .iter()
                .map(|member| format!("\"{}\"", member.escape_ascii()))
                .collect();
            format!("{{{}}}", texts.join(", "))
        }
        "zset" => {
            let items = array(call(client, &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]));
            let texts: Vec<String> = items
                .chunks(2)
                .map(|pair| format!("{}: {}", quoted(&pair[0]), plain(&pair[1])))
                .collect();
            format!("{{{}}}", texts.join(", "))
        }
        "hash" => {
            let items = array(call(client, &[b"HGETALL", key]));
            let fields: BTreeMap<Vec<u8>, Vec<u8>> = items
                .chunks(2)
                .map(|pair| (bytes(&pair[0]), bytes(&pair[1])))
                .collect();
            let texts: Vec<String> = fields
                .iter()
                .map(|(name, value)| {
                    let mut text =
                        format!("\"{}\": \"{}\"", name.escape_ascii(), value.escape_ascii());
                    if can.field_expiry {
                        let reply = call(client, &[b"HPEXPIRETIME", key, b"FIELDS", b"1", name]);
                        if let [Value::Int(ms @ 0..)] = array(reply)[..] {
                            text += &format!(" until {ms}");
                        }
                    }
                    text
                })
                .collect();
            format!("{{{}}}", texts.join(", "))
        }
        "stream" => stream_answer(client, key, can),
        other => panic!("a {other}"),
    }
}

fn answers(client: &mut Client, can: Abilities) -> Contents {
    let mut contents = Contents::new();
    for db in [0u32, 3] {
        call(client, &[b"SELECT", db.to_string().as_bytes()]);
        for key in array(call(client, &[b"KEYS", b"*"])) {
            let key = bytes(&key);
            let mut text = answer(client, &key, can);
            if let Value::Int(ms @ 0..) = call(client, &[b"PEXPIRETIME", &key]) {
                text += &format!(" until {ms}");
            }
            contents.insert((db, key), text);
        }
    }
    contents
}

/// Database, key, expiry, hint and value.
type Held = (u32, Vec<u8>, Option<u64>, Option<Hint>, Loaded<'static>);

/// A file as it was read.
struct Read {
    contents: Contents,
    values: Vec<Held>,
    kinds: BTreeSet<u8>,
    functions: Vec<Vec<u8>>,
    version: u16,
}

fn read(bytes: &[u8], options: ReadOptions) -> Read {
    let mut reader = Reader::new(bytes, options);
    let mut assembly = Assembly::new();
    let (mut values, mut functions) = (Vec::new(), Vec::new());
    let (mut contents, mut kinds) = (Contents::new(), BTreeSet::new());
    loop {
        let item = match reader.next() {
            Ok(Some(item)) => item,
            Ok(None) => break,
            Err(error) => panic!("{error}"),
        };
        match item {
            Item::Function(source) => functions.push(source.to_vec()),
            Item::Entry(entry) => {
                kinds.insert(entry.kind);
                let value = match assembly.add(&entry, &SETTINGS) {
                    Ok(Built::More) => continue,
                    Ok(Built::Value(value)) => value,
                    Ok(Built::Nothing) => panic!("nothing left of {:?}", entry.key),
                    Err(error) => panic!("{error}"),
                };
                let mut text = show(&value, NOW_MS);
                if let Some(ms) = entry.expiry_ms {
                    text += &format!(" until {ms}");
                }
                let key = entry.key.to_vec();
                contents.insert((entry.db, key.clone()), text);
                let value = match value {
                    Loaded::String(text) => Loaded::String(rdb::Text::from_vec(text.into_vec())),
                    Loaded::Object(object) => Loaded::Object(object),
                };
                values.push((entry.db, key, entry.expiry_ms, entry.hint, value));
            }
            _ => {}
        }
    }
    let summary = reader.summary().expect("the end was reached");
    assert_eq!(summary.checksum, Checksum::Right);
    Read {
        contents,
        values,
        kinds,
        functions,
        version: summary.version,
    }
}

/// Everything that was read, written in a version, but for what has no form in it.
fn write(read: &Read, version: Version, compress: bool) -> Vec<u8> {
    let options = Options {
        version,
        compress,
        now_ms: NOW_MS,
        for_replica: false,
    };
    let mut writer = Writer::new(Vec::new(), version, true);
    let done = (|| {
        writer.aux("redis-ver", b"255.255.255")?;
        writer.aux("redis-bits", b"64")?;
        writer.aux("ctime", b"1700000000")?;
        writer.aux("used-mem", b"1000000")?;
        writer.aux("aof-base", b"0")?;
        if version > Version::V9 {
            for source in &read.functions {
                writer.function(source, compress)?;
            }
        }
        let mut current = None;
        for (db, key, expiry_ms, hint, value) in &read.values {
            if current != Some(*db) {
                current = Some(*db);
                writer.select(*db)?;
                writer.resize(read.values.len() as u64, 3)?;
            }
            let mut dict = Dict::new();
            match value {
                Loaded::String(text) => drop(dict.set(1, key, store::new_value(text), None, 0)),
                Loaded::Object(object) => {
                    let value = NewValue::Object(Box::new(object.clone()));
                    drop(dict.set(1, key, value, None, 0));
                }
            }
            let Some(entry) = dict.get(1, key) else {
                continue;
            };
            let meta = Meta {
                key,
                expiry_ms: *expiry_ms,
                hint: *hint,
                kept: false,
            };
            let written = writer.entry(&meta, &entry, &options)?;
            assert!(written.is_ok() || has_timed_fields(value), "{key:?}");
        }
        writer.flush()
    })();
    done.expect("memory does not fail");
    writer.finish().expect("memory does not fail").0
}

fn has_timed_fields(value: &Loaded<'_>) -> bool {
    use store::Collection;
    match value {
        Loaded::Object(Object::Hash(hash)) => hash
            .view()
            .iter(NOW_MS)
            .any(|(_, field)| field.due_ms.is_some()),
        _ => false,
    }
}

/// Whether it is a stream that knows what producers have sent.
fn remembers_producers(value: &Loaded<'_>) -> bool {
    use store::Collection;
    match value {
        Loaded::Object(Object::Stream(stream)) => stream.view().idempotency().is_some(),
        _ => false,
    }
}

/// Leaves out what a version cannot say, or a server does not know.
fn sayable(contents: &Contents, version: Version, activity: bool) -> Contents {
    let mut out = Contents::new();
    for (key, text) in contents {
        let stream = key.1.starts_with(b"stream");
        let mut text = text.clone();
        if key.1.starts_with(b"hash:timed") && version < Version::V11 {
            continue;
        }
        if stream && version == Version::V9 {
            // Without counters; the rest follows from the entries.
            text = text.split(" last ").next().unwrap_or_default().to_owned();
        } else if stream && (version == Version::V10 || !activity) {
            text = without_activity(&text);
        }
        out.insert(key.clone(), text);
    }
    out
}

fn without_activity(text: &str) -> String {
    let mut out = String::new();
    for (n, part) in text.split(" active ").enumerate() {
        out += if n == 0 {
            part
        } else {
            part.trim_start_matches(|c: char| c.is_ascii_digit())
        };
    }
    out
}

#[track_caller]
fn assert_same(what: &str, ours: &Contents, theirs: &Contents) {
    let names = |contents: &Contents| contents.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(ours), names(theirs), "{what}: keys");
    for (key, text) in ours {
        let other = &theirs[key];
        assert!(
            text == other,
            "{what}: {} in {}:\nours   {text}\ntheirs {other}",
            key.1.escape_ascii(),
            key.0
        );
    }
}

struct Saved {
    name: String,
    bytes: Vec<u8>,
    answers: Contents,
}

/// Fills a server, tells it to save, and returns the file with what the server answers.
fn saved(peer: &Peer, args: &[&str]) -> Saved {
    let can = abilities(peer);
    let server = Server::peer(peer, args);
    let mut client = server.connect();
    fill(&mut client, can);
    let library = b"#!lua name=lib\nredis.register_function('f', function() return 'f' end)";
    call(&mut client, &[b"FUNCTION", b"LOAD", library]);
    call(&mut client, &[b"SAVE"]);
    Saved {
        name: format!("{}-{}", peer.name, peer.version),
        bytes: std::fs::read(server.dir().join("dump.rdb")).expect("the server has saved"),
        answers: answers(&mut client, can),
    }
}

#[test]
fn what_servers_save_is_read() {
    for peer in every_peer("what_servers_save_is_read") {
        let can = abilities(&peer);
        let saved = saved(&peer, &[]);
        let name = &saved.name;
        let with = |contents: &Contents| {
            let version = if can.activity {
                Version::V11
            } else {
                Version::V10
            };
            sayable(contents, version, can.activity)
        };
        for piece_bytes in [4 << 20, 500] {
            let options = ReadOptions {
                piece_bytes,
                ..ReadOptions::default()
            };
            let read = read(&saved.bytes, options);
            assert_same(name, &with(&read.contents), &with(&saved.answers));
            assert_eq!(read.functions.len(), 1, "{name}");
            assert!(
                read.kinds.len() >= 9,
                "{name}: only {:?}",
                read.kinds.iter().map(|k| kind_name(*k)).collect::<Vec<_>>()
            );
            let timed = read.kinds.iter().any(|k| (22..=25).contains(k));
            assert_eq!(timed, can.field_expiry, "{name}");
            assert_eq!(read.kinds.contains(&26), can.idempotency, "{name}");
        }
        let report = check(&saved.bytes[..], ReadOptions::default(), &SETTINGS);
        assert!(report.is_good(), "{name}: {report:?}");
        if std::env::var_os("REDPOLL_BLESS").is_some() {
            bless(&saved);
        }
    }
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/rdb/tests/corpus")
}

/// A text, or for a long one what it can be known by.
fn short(text: &str) -> String {
    if text.len() <= 200 {
        return text.to_owned();
    }
    let sum = rdb::crc64::update(0, text.as_bytes());
    format!("{} bytes of text, checksum {sum:016x}", text.len())
}

/// Puts a file into the corpus, with what the server answered.
fn bless(saved: &Saved) {
    let dir = corpus();
    std::fs::create_dir_all(&dir).expect("a folder can be made");
    let text: String = saved
        .answers
        .iter()
        .map(|((db, key), text)| format!("{db} \"{}\" {}\n", key.escape_ascii(), short(text)))
        .collect();
    let write = |ending: &str, bytes: &[u8]| {
        std::fs::write(dir.join(format!("{}.{ending}", saved.name)), bytes)
            .expect("a file can be written");
    };
    write("rdb", &saved.bytes);
    write("txt", text.as_bytes());
}

#[test]
fn uses_of_keys_are_read() {
    for peer in every_peer("uses_of_keys_are_read") {
        for (policy, field) in [("allkeys-lru", "IDLETIME"), ("allkeys-lfu", "FREQ")] {
            let server = Server::peer(&peer, &["--maxmemory-policy", policy]);
            let mut client = server.connect();
            let payload = {
                client.run("SET k v");
                bytes(&call(&mut client, &[b"DUMP", b"k"]))
            };
            let restore: [&[u8]; 6] = [
                b"RESTORE",
                b"used",
                b"0",
                &payload,
                field.as_bytes(),
                b"100",
            ];
            call(&mut client, &restore);
            call(&mut client, &[b"SAVE"]);
            let bytes = std::fs::read(server.dir().join("dump.rdb")).expect("it has saved");
            let read = read(&bytes, ReadOptions::default());
            let used = read.values.iter().find(|v| v.1 == b"used").expect("a key");
            match used.3 {
                Some(Hint::Idle(seconds)) => {
                    assert!(
                        field == "IDLETIME" && (100..130).contains(&seconds),
                        "{seconds}"
                    );
                }
                Some(Hint::Frequency(n)) => assert!(field == "FREQ" && n == 100, "{n}"),
                None => panic!("{} with {policy}: no hint", peer.path.display()),
            }
            // And back.
            let file = write(&read, Version::V10, true);
            let loaded = load(&peer, &file, &["--maxmemory-policy", policy]);
            let mut client = loaded.0.connect();
            let reply = call(&mut client, &[b"OBJECT", field.as_bytes(), b"used"]);
            assert!(matches!(reply, Value::Int(98..=130)), "{policy}: {reply:?}");
        }
    }
}

/// Starts a server on a file; both are gone with what is returned.
fn load(peer: &Peer, file: &[u8], args: &[&str]) -> (Server, Folder) {
    let folder = Folder::new();
    std::fs::write(folder.0.join("ours.rdb"), file).expect("a file can be written");
    let dir = folder.0.display().to_string();
    let all = [&["--dir", &dir, "--dbfilename", "ours.rdb"], args].concat();
    (Server::peer(peer, &all), folder)
}

/// What a server's own tool says about a file, if the tool can be started.
fn their_check(peer: &Peer, file: &[u8]) -> Option<(bool, String)> {
    let folder = Folder::new();
    let path = folder.0.join("ours.rdb");
    std::fs::write(&path, file).expect("a file can be written");
    // The tool is the server under another name. A server started through a script cannot be given one.
    let is_program = std::fs::read(&peer.path).ok()?.starts_with(b"\x7fELF");
    if !is_program {
        return None;
    }
    let run = std::process::Command::new(&peer.path)
        .arg0(format!("{}-check-rdb", peer.name))
        .arg(&path)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    Some((run.status.success(), text))
}

#[test]
fn what_is_written_is_loaded_by_servers() {
    let peers = every_peer("what_is_written_is_loaded_by_servers");
    // Those who know most: the newest of either.
    let sources: Vec<&Peer> = ["redis", "valkey"]
        .iter()
        .filter_map(|name| peers.iter().rev().find(|p| p.name == *name))
        .collect();
    for source in sources {
        let saved = saved(source, &[]);
        let read = read(&saved.bytes, ReadOptions::default());
        for peer in &peers {
            let can = abilities(peer);
            for version in loads(peer) {
                for compress in [true, false] {
                    let what = format!(
                        "of {}, as {version:?} for {} {}",
                        saved.name, peer.name, peer.version
                    );
                    let mut held = Read {
                        contents: read.contents.clone(),
                        values: Vec::new(),
                        kinds: BTreeSet::new(),
                        functions: read.functions.clone(),
                        version: read.version,
                    };
                    let knows = |key: &[u8], value: &Loaded<'_>| {
                        let timed = has_timed_fields(value);
                        // Version 11 has Redis's dialect, which Valkey refuses.
                        let loads = can.field_expiry
                            && (peer.name == "redis" || version == Version::Valkey80);
                        // What producers have sent versions 11 and 12 say in a form of Redis 8.6.
                        let newest = matches!(version, Version::V11 | Version::V12)
                            && remembers_producers(value);
                        !key.is_empty() && (!timed || loads) && (!newest || can.idempotency)
                    };
                    for (db, key, expiry, hint, value) in &read.values {
                        if knows(key, value) {
                            let value = match value {
                                Loaded::String(text) => Loaded::String(text.clone()),
                                Loaded::Object(object) => Loaded::Object(object.clone()),
                            };
                            held.values.push((*db, key.clone(), *expiry, *hint, value));
                        } else {
                            held.contents.remove(&(*db, key.clone()));
                        }
                    }
                    let file = write(&held, version, compress);
                    if let Some((good, text)) = their_check(peer, &file) {
                        assert!(good && text.contains("OK"), "{what}:\n{text}");
                    }
                    let (server, _folder) = load(peer, &file, &[]);
                    let mut client = server.connect();
                    let theirs = answers(&mut client, can);
                    assert_same(
                        &what,
                        &sayable(&held.contents, version, can.activity),
                        &sayable(&theirs, version, can.activity),
                    );
                    if version > Version::V9 {
                        let reply = client.call(&["FCALL", "f", "0"]);
                        assert_eq!(reply, Value::Bulk(b"f".to_vec()), "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn damage_is_noticed_as_by_their_tools() {
    let Some(peer) = every_peer("damage_is_noticed_as_by_their_tools")
        .into_iter()
        .next()
    else {
        return;
    };
    let saved = saved(&peer, &[]);
    for at in [20, saved.bytes.len() / 2, saved.bytes.len() - 3] {
        let mut damaged = saved.bytes.clone();
        damaged[at] ^= 0x10;
        let report = check(&damaged[..], ReadOptions::default(), &SETTINGS);
        assert!(!report.is_good(), "byte {at}");
        if let Some((good, text)) = their_check(&peer, &damaged) {
            assert!(!good, "byte {at}:\n{text}");
        }
    }
}
