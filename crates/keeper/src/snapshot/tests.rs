//! Snapshots against a model: commands of every kind come between any two holds of a lock, and what is in the file is what there
//! was at the snapshot's moment.

use super::*;
use crate::load;
use disk::RealDisk;
use engine::{Config, NoHost};
use redpoll::{Db, Value as Reply};
use std::path::PathBuf;

/// Random numbers.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

fn engine() -> Arc<Engine> {
    let mut config = Config::default();
    for (directive, value) in [
        ("list-max-listpack-size", "3"),
        ("stream-node-max-entries", "4"),
        ("zset-max-listpack-entries", "6"),
        ("set-max-listpack-entries", "6"),
        ("hash-max-listpack-entries", "6"),
        ("save", ""),
    ] {
        config.directive(directive, &[value]).expect(directive);
    }
    Engine::new(config, Arc::new(NoHost))
}

/// Carries out a line; what it answers does not matter, errors neither.
fn run(db: &Db, line: &str) -> Reply {
    db.execute(line.split(' ')).unwrap_or(Reply::Null)
}

const KINDS: [&str; 6] = ["zset", "set", "hash", "list", "stream", "text"];

/// A random key: of each kind a few, some of which may hold another kind by now.
fn key(rng: &mut Rng, kind: &str) -> String {
    format!("{kind}:{}", rng.below(3))
}

/// A random command for keys of elements `0..n`.
fn command(rng: &mut Rng, n: u64) -> String {
    let kind = KINDS[rng.below(6) as usize];
    let key = key(rng, kind);
    let of = KINDS[rng.below(6) as usize];
    let other = self::key(rng, of);
    let (m, v) = (rng.below(n), rng.below(n));
    // What concerns whole keys is rare, so that collections live for some time.
    if rng.below(40) == 0 {
        return match rng.below(12) {
            9 => "SWAPDB 0 1".to_owned(),
            10 => "FLUSHDB".to_owned(),
            11 => "FLUSHALL".to_owned(),
            0 => format!("DEL {key}"),
            1 => format!("UNLINK {key}"),
            2 => format!("RENAME {key} {other}"),
            3 => format!("COPY {key} {other} REPLACE"),
            4 => format!("SET {key} {v}"),
            5 => format!("MOVE {key} 1"),
            6 => format!("PEXPIREAT {key} 99999999{m:05}"),
            7 => format!("PERSIST {key}"),
            _ => format!("RENAMENX {key} new:{m}"),
        };
    }
    let which = rng.below(10);
    match kind {
        "zset" => match which {
            0..4 => format!("ZADD {key} {v} m{m}"),
            4 => format!("ZINCRBY {key} {} m{m}", v as i64 - n as i64 / 2),
            5 => format!("ZREM {key} m{m} m{v}"),
            6 => format!("ZREMRANGEBYRANK {key} {m} {}", m + 3),
            7 => format!("ZPOPMIN {key} 2"),
            8 => format!("ZPOPMAX {key} 2"),
            _ => format!("ZADD {key} 0 m{m} -0.5 m{v}"),
        },
        "set" => match which {
            0..5 => format!("SADD {key} m{m} m{v}"),
            5..8 => format!("SREM {key} m{m} m{v}"),
            8 => format!("SPOP {key} 3"),
            _ => format!("SMOVE {key} {other} m{m}"),
        },
        "hash" => match which {
            0..4 => format!("HSET {key} f{m} {v} f{v} {m}"),
            4 => format!("HINCRBY {key} f{m} {v}"),
            5 | 6 => format!("HDEL {key} f{m} f{v}"),
            7 => format!("HPEXPIREAT {key} 99999999{v:05} FIELDS 1 f{m}"),
            8 => format!("HPERSIST {key} FIELDS 1 f{m}"),
            _ => format!("HSET {key} f{m} {}", "long".repeat(rng.below(30) as usize)),
        },
        "list" => match which {
            0 => format!("LPUSH {key} {} {m}", v % 9),
            1 => format!("RPUSH {key} {0} {0} {m} {0} {0}", v % 9),
            2 => format!("LPOP {key} 3"),
            3 => format!("RPOP {key} 3"),
            4 => format!("LSET {key} {m} {}", "x".repeat(rng.below(60) as usize)),
            5 => format!("LINSERT {key} BEFORE {m} {v}"),
            6 => format!("LINSERT {key} AFTER {m} {v}"),
            7 => format!("LREM {key} {} {}", rng.below(3), m % 9),
            8 => format!("LTRIM {key} {} -{}", rng.below(5), 1 + rng.below(5)),
            _ => format!("LMOVE {key} {key} LEFT RIGHT"),
        },
        "stream" => match which {
            0..3 => format!("XADD {key} * f {v}"),
            3 | 4 => format!("XDEL {key} {}-1 {}-1", m + 1, v + 1),
            5 => format!("XTRIM {key} MAXLEN {}", n - n.min(rng.below(n / 2))),
            6 => format!("XGROUP CREATE {key} g{} 0", rng.below(3)),
            7 => format!(
                "XREADGROUP GROUP g{} c COUNT 3 STREAMS {key} >",
                rng.below(3)
            ),
            8 => format!("XACK {key} g{} {}-1", rng.below(3), m + 1),
            _ => match rng.below(7) {
                0 => format!("XGROUP DESTROY {key} g{}", rng.below(3)),
                1 => format!("XGROUP SETID {key} g{} {}-1", rng.below(3), m + 1),
                2 => format!("XDEL {key} {}-1", n),
                // So that entries come below IDs that there were.
                3 if v % 4 == 0 => format!("XTRIM {key} MAXLEN 0"),
                3 | 4 => format!("XSETID {key} {m}-0"),
                5 => format!("XADD {key} {m}-{v} f {v}"),
                _ => format!("XADD {key} {}-{} again 1", n, m + 1),
            },
        },
        _ => match which {
            0..4 => format!("APPEND {key} {v}"),
            4..7 => format!("SETRANGE {key} {m} {v}"),
            _ => format!("SET {key} {}", "text".repeat(1 + rng.below(90) as usize)),
        },
    }
}

/// Fills keys of every kind with `n` elements each.
fn fill(db: &Db, rng: &mut Rng, n: u64) {
    for copy in 0..3 {
        for i in 0..n {
            run(db, &format!("ZADD zset:{copy} {} m{i}", rng.below(n)));
            run(db, &format!("SADD set:{copy} m{i}"));
            run(db, &format!("HSET hash:{copy} f{i} {i}"));
            run(db, &format!("RPUSH list:{copy} {i}"));
            run(db, &format!("XADD stream:{copy} {}-1 f {i}", i + 1));
        }
        run(db, &format!("SET text:{copy} {}", "text".repeat(50)));
        run(db, &format!("XGROUP CREATE stream:{copy} g0 0"));
        run(
            db,
            &format!("XREADGROUP GROUP g0 c COUNT 9 STREAMS stream:{copy} >"),
        );
    }
    for i in 0..n {
        run(db, &format!("SET small:{i} {i}"));
    }
}

fn show(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(text) => String::from_utf8_lossy(text).into_owned(),
        Reply::Array(items) => {
            let items: Vec<String> = items.iter().map(show).collect();
            format!("[{}]", items.join(" "))
        }
        other => format!("{other:?}"),
    }
}

fn lines(reply: &Reply, sorted: usize) -> Vec<String> {
    let Reply::Array(items) = reply else {
        return vec![show(reply)];
    };
    let mut lines: Vec<String> = match sorted {
        0 => items.iter().map(show).collect(),
        by => (items.chunks(by))
            .map(|chunk| chunk.iter().map(show).collect::<Vec<_>>().join(" "))
            .collect(),
    };
    if sorted > 0 {
        lines.sort();
    }
    lines
}

/// All there is in a database, as text.
fn contents(db: &Db) -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    // Asked in the second protocol, pairs are flat.
    let mut c = db.connect().unwrap();
    c.execute(["HELLO", "2"]).expect("hello");
    let mut ask = |line: &str| c.execute(line.split(' ')).expect(line);
    let Reply::Array(keys) = ask("KEYS *") else {
        panic!("a list of keys")
    };
    for key in keys {
        let Reply::Bulk(key) = key else {
            panic!("a key")
        };
        let key = String::from_utf8(key).expect("text");
        let mut of = match show(&ask(&format!("TYPE {key}"))) {
            kind if kind.contains("zset") => {
                lines(&ask(&format!("ZRANGE {key} 0 -1 WITHSCORES")), 0)
            }
            kind if kind.contains("set") => lines(&ask(&format!("SMEMBERS {key}")), 1),
            kind if kind.contains("hash") => {
                let mut fields = lines(&ask(&format!("HGETALL {key}")), 2);
                let Reply::Array(names) = ask(&format!("HKEYS {key}")) else {
                    panic!("names")
                };
                let mut times: Vec<String> = (names.iter())
                    .map(|name| {
                        let Reply::Bulk(name) = name else {
                            panic!("a name")
                        };
                        let name = String::from_utf8_lossy(name);
                        let ask = ask(&format!("HPEXPIRETIME {key} FIELDS 1 {name}"));
                        format!("{name} {}", show(&ask))
                    })
                    .collect();
                times.sort();
                fields.append(&mut times);
                fields
            }
            kind if kind.contains("list") => lines(&ask(&format!("LRANGE {key} 0 -1")), 0),
            kind if kind.contains("stream") => {
                let mut entries = lines(&ask(&format!("XRANGE {key} - +")), 0);
                // But for the numbers of nodes, which are not kept.
                let full = show(&ask(&format!("XINFO STREAM {key} FULL COUNT 0")));
                let at = full.find("last-generated-id").expect("a field");
                entries.push(full[at..].to_owned());
                entries
            }
            _ => vec![show(&ask(&format!("GET {key}")))],
        };
        of.push(show(&ask(&format!("PEXPIRETIME {key}"))));
        all.push((key, of));
    }
    all.sort();
    all
}

struct Temp(PathBuf);

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn options(version: rdb::Version) -> Options {
    Options {
        version,
        compress: true,
        now_ms: 0,
        for_replica: false,
    }
}

/// One run: what there was, and what another engine finds in the file.
fn one(seed: u64, n: u64) {
    let engine = engine();
    let db = redpoll::door::handle_to(engine.clone()).unwrap();
    let mut rng = Rng(seed * 0x9e37_79b9 + 77);
    fill(&db, &mut rng, n);
    for _ in 0..rng.below(200) {
        let line = command(&mut rng, n);
        if !line.starts_with("FLUSH") {
            run(&db, &line);
        }
    }
    let want = [contents(&db), contents(&db.select(1).expect("a database"))];
    let pace = 1 + rng.below(12);
    let rng = Mutex::new(rng);
    let writer = db.clone();
    let pressure = engine.pressure.clone();
    let sizes = Sizes {
        long: 20,
        large: 0,
        bound: if seed.is_multiple_of(4) {
            3000
        } else {
            64 << 20
        },
        most: 1 + (seed % 9) as usize,
        between: Box::new(move || {
            let mut rng = rng.lock();
            for _ in 0..rng.below(pace) {
                // This thread would wait for itself.
                if pressure.any() {
                    return;
                }
                let line = command(&mut rng, n);
                run(&writer, &line);
            }
        }),
    };
    let version = [rdb::Version::V11, rdb::Version::V12, rdb::Version::Valkey80][seed as usize % 3];
    let (snapshot, ()) = Snapshot::take_with(&engine, options(version), sizes, |_| ());
    let shared = snapshot.shared().clone();
    let file = Writer::new(Vec::new(), version, true);
    let bytes = match snapshot.write(&engine, file, &[]) {
        Ok(bytes) => bytes,
        Err(failed) => panic!("seed {seed}: {failed:?}"),
    };
    assert!(shared.collections.load(Relaxed) > 0, "seed {seed}");
    assert!(!engine.pressure.any());
    // One command may exceed the bound, by what it changes.
    let (peak, bound) = (shared.peak_bytes.load(Relaxed), shared.bound_bytes);
    assert!(
        peak < bound + (16 << 10),
        "seed {seed}: {peak} of {bound} bytes"
    );
    let path =
        Temp(std::env::temp_dir().join(format!("snapshot-{}-{seed}-{n}.rdb", std::process::id())));
    std::fs::write(&path.0, bytes).expect("a file");
    let other = self::engine();
    load::snapshot(&other, &RealDisk::shared(), &path.0, load::Twice::Refuse)
        .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    let found = redpoll::door::handle_to(other).unwrap();
    for (index, want) in want.into_iter().enumerate() {
        let found = contents(&found.select(index).expect("a database"));
        let keys = |of: &[(String, Vec<String>)]| -> Vec<String> {
            of.iter().map(|(key, _)| key.clone()).collect()
        };
        assert_eq!(keys(&want), keys(&found), "seed {seed}, database {index}");
        for ((key, want), (_, found)) in want.iter().zip(&found) {
            assert_eq!(want, found, "seed {seed}, database {index}, {key}");
        }
    }
    // Nobody watches any more.
    let ks = engine.keyspace();
    for shard in 0..ks.shards() {
        let mut guard = ks.lock(shard);
        for db in 0..2 {
            assert!(!guard.db(db).is_observed());
            guard.db(db).for_each(|e| {
                assert_eq!(e.own_object().and_then(store::Object::watcher), None);
            });
        }
    }
}

#[test]
fn a_file_holds_one_moment_whatever_changes() {
    let runs = std::env::var("REDPOLL_SNAPSHOT_RUNS");
    let runs = runs.ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    for seed in 1..=runs {
        one(seed, 20 + (seed * 37) % 180);
    }
}

/// A hash with fields that expire has no form in version 10: the snapshot fails, and says why, instead of beginning again.
#[test]
fn what_cannot_be_written_ends_the_snapshot() {
    for large in [0, usize::MAX] {
        let engine = engine();
        let db = redpoll::door::handle_to(engine.clone()).unwrap();
        fill(&db, &mut Rng(9), 20);
        run(&db, "HPEXPIREAT hash:1 9999999900000 FIELDS 1 f3");
        let sizes = Sizes {
            large,
            ..Sizes::default()
        };
        let (snapshot, ()) =
            Snapshot::take_with(&engine, options(rdb::Version::V10), sizes, |_| ());
        let file = Writer::new(Vec::new(), rdb::Version::V10, true);
        let failed = snapshot.write(&engine, file, &[]);
        let Err(Failed::Io(why)) = failed else {
            panic!("it was written")
        };
        assert!(why.to_string().contains("version before 11"), "{why}");
    }
}
