//! A program's own data set in files: found again after every kind of end.

use redpoll::door;
use redpoll::{Config, Db, Durability, ErrorKind, Files, Value};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, SeqCst);
        let name = format!("redpoll-files-{}-{n}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        Folder(folder)
    }

    /// What a crash would leave at this moment, as far as the process is concerned: a copy of the files as they are.
    fn crashed(&self) -> Folder {
        let copy = Folder::new();
        copy_all(&self.0, &copy.0);
        let _ = std::fs::remove_file(copy.0.join("redpoll.lock"));
        copy
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_all(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn digest(db: &Db) -> Value {
    db.execute(["DEBUG", "DIGEST"]).unwrap()
}

/// A configuration with DEBUG.
fn config(directives: &[(&str, &str)]) -> Config {
    let mut config = Config::default();
    config.directive("enable-debug-command", &["yes"]).unwrap();
    config.directive("save", &[""]).unwrap();
    for (name, value) in directives {
        config.directive(name, &[value]).unwrap();
    }
    config
}

fn fill(db: &Db) {
    for i in 0..200i64 {
        db.set(format!("s:{i}"), format!("value {i}")).unwrap();
        db.incr_by("sum", i).unwrap();
        db.rpush("list", i.to_string()).unwrap();
        db.sadd("set", format!("m{i}")).unwrap();
        db.hset("hash", format!("f{i}"), i.to_string()).unwrap();
        db.zadd("zset", format!("m{i}"), i as f64 / 3.0).unwrap();
    }
    db.expire("s:1", std::time::Duration::from_secs(10_000))
        .unwrap();
    db.del("s:2").unwrap();
    db.execute(["XADD", "stream", "5-1", "f", "v"]).unwrap();
    db.execute(["EVAL", "redis.call('SET', 'scripted', 1)", "0"])
        .unwrap();
    let other = db.select(3).unwrap();
    other.append("elsewhere", "abc").unwrap();
    let mut connection = db.connect().unwrap();
    for command in [&["MULTI"][..], &["INCR", "a"], &["INCR", "b"], &["EXEC"]] {
        connection.execute(command).unwrap();
    }
}

#[test]
fn what_was_dropped_is_found_again() {
    let folder = Folder::new();
    let open = |durability| {
        let files = Files::at(&folder.0).config(config(&[]));
        Db::open(files.durability(durability)).unwrap()
    };
    let mut before = None;
    for durability in [Durability::No, Durability::EverySecond, Durability::Always] {
        let db = open(durability);
        if let Some(before) = before {
            assert_eq!(digest(&db), before);
        } else {
            fill(&db);
        }
        db.incr("opened").unwrap();
        // A connection keeps the data set open, whoever else has let go of it.
        let mut connection = db.connect().unwrap();
        drop(db);
        assert!(connection.execute(["INCR", "opened"]).is_ok());
        let last = connection.execute(["DEBUG", "DIGEST"]).unwrap();
        drop(connection);
        let db = open(durability);
        assert_eq!(digest(&db), last);
        let opened = db.get("opened").unwrap().unwrap();
        assert_eq!(opened.to_string_lossy().parse::<i64>().unwrap() % 2, 0);
        assert_eq!(db.get("sum").unwrap().unwrap(), "19900");
        before = Some(digest(&db));
    }
}

#[test]
fn what_is_durable_is_in_the_files_when_the_call_returns() {
    let folder = Folder::new();
    let db = Db::open(Files::at(&folder.0).durability(Durability::Always)).unwrap();
    for i in 0..20 {
        // Typed calls, commands and connections alike.
        db.set(format!("typed:{i}"), i.to_string()).unwrap();
        db.execute(["SET", &format!("command:{i}"), "x"]).unwrap();
        let mut connection = db.connect().unwrap();
        connection.execute(["MULTI"]).unwrap();
        connection
            .execute(["SET", &format!("multi:{i}"), "x"])
            .unwrap();
        connection.execute(["EXEC"]).unwrap();
        db.update([format!("update:{i}")], |t| t.incr(format!("update:{i}")))
            .unwrap();
        if i % 5 == 0 {
            let crashed = folder.crashed();
            let db = Db::open(&*crashed.0).unwrap();
            for kind in ["typed", "command", "multi", "update"] {
                assert!(db.exists(format!("{kind}:{i}")).unwrap(), "{kind}:{i}");
            }
        }
    }
}

#[test]
fn a_handle_may_ask_for_more_than_the_log_does() {
    let folder = Folder::new();
    let db = Db::open(Files::at(&folder.0).durability(Durability::No)).unwrap();
    db.set("before", "1").unwrap();
    db.with_durability(Durability::Always)
        .set("k", "v")
        .unwrap();
    let crashed = folder.crashed();
    let found = Db::open(&*crashed.0).unwrap();
    assert!(found.exists("k").unwrap() && found.exists("before").unwrap());
    drop(found);
    db.set("later", "1").unwrap();
    db.sync().unwrap();
    let crashed = folder.crashed();
    assert!(Db::open(&*crashed.0).unwrap().exists("later").unwrap());
    // One that asks for less does not wait for a log that does more.
    let less = db.with_durability(Durability::No);
    less.set("x", "1").unwrap();
    assert_eq!(less.select(1).unwrap().index(), 1);
}

#[test]
fn saves_and_rewrites() {
    let folder = Folder::new();
    let db = Db::open(Files::at(&folder.0).config(config(&[("appendonly", "yes")]))).unwrap();
    for i in 0..1000 {
        db.set("k", i.to_string()).unwrap();
    }
    db.sync().unwrap();
    let size = |folder: &Path| -> u64 {
        let files = std::fs::read_dir(folder.join("appendonlydir")).unwrap();
        files.map(|f| f.unwrap().metadata().unwrap().len()).sum()
    };
    let long = size(&folder.0);
    db.rewrite().unwrap();
    assert!(size(&folder.0) < long / 4, "{} of {long}", size(&folder.0));
    db.save().unwrap();
    assert!(folder.0.join("dump.rdb").exists());
    drop(db);
    // Without its log the snapshot is there.
    let db = Db::open(Files::at(&folder.0).config(config(&[]))).unwrap();
    assert_eq!(db.get("k").unwrap().unwrap(), "999");
}

#[test]
fn a_folder_belongs_to_one() {
    let folder = Folder::new();
    let db = Db::open(&*folder.0).unwrap();
    let error = Db::open(&*folder.0).unwrap_err();
    assert!(
        error.to_string().contains("redpoll.lock") || error.to_string().contains("in use"),
        "{error}"
    );
    drop(db);
    assert!(Db::open(&*folder.0).is_ok());
}

#[test]
fn a_configuration_with_a_log_is_kept_in_its_folder() {
    let folder = Folder::new();
    let dir = folder.0.to_str().unwrap();
    let open = || Db::open(config(&[("dir", dir), ("appendonly", "yes")])).unwrap();
    open().set("k", "v").unwrap();
    let db = open();
    assert_eq!(db.get("k").unwrap().unwrap(), "v");
    let shown = db.execute(["CONFIG", "GET", "dir"]).unwrap();
    assert!(format!("{shown:?}").len() > dir.len());
    let Value::Verbatim(_, info) = db.execute(["INFO", "persistence"]).unwrap() else {
        panic!("INFO is text");
    };
    assert!(String::from_utf8_lossy(&info).contains("aof_enabled:1"));
}

#[test]
fn loading_tells_how_far_it_is() {
    let folder = Folder::new();
    let db = Db::open(&*folder.0).unwrap();
    let value = "x".repeat(1000);
    for i in 0..4000 {
        db.set(format!("k:{i}"), &*value).unwrap();
    }
    drop(db);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let total = Arc::new(AtomicU64::new(0));
    let files = {
        let (seen, total) = (seen.clone(), total.clone());
        Files::at(&folder.0).on_load(move |p| {
            total.store(p.total_bytes, SeqCst);
            seen.lock().unwrap().push(p.loaded_bytes);
        })
    };
    let db = Db::open(files).unwrap();
    assert_eq!(db.execute(["DBSIZE"]).unwrap(), Value::Int(4000));
    let seen = seen.lock().unwrap();
    assert!(total.load(SeqCst) > 4_000_000);
    // How often depends on how the threads that load get along.
    assert!(!seen.is_empty() && seen.is_sorted(), "{seen:?}");
    assert!(seen.iter().all(|n| *n <= total.load(SeqCst)), "{seen:?}");
}

#[test]
fn damage_is_an_error_that_names_the_file() {
    let folder = Folder::new();
    let db = Db::open(&*folder.0).unwrap();
    for i in 0..100 {
        db.set(format!("k:{i}"), "value").unwrap();
        db.sync().unwrap();
    }
    drop(db);
    let log = folder.0.join("appendonlydir/appendonly.aof.1.incr.aof");
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let error = Db::open(&*folder.0).unwrap_err();
    assert!(
        error.to_string().contains("appendonly.aof.1.incr.aof"),
        "{error}"
    );
}

/// After the end nothing is changed any more that nobody would keep.
#[test]
fn who_still_has_the_engine_changes_nothing_after_the_end() {
    let folder = Folder::new();
    let db = Db::open(&*folder.0).unwrap();
    let engine = door::engine_of(&db).clone();
    drop(db);
    let late = door::handle_to(engine).unwrap();
    assert_eq!(late.set("k", "v").unwrap_err().kind(), ErrorKind::Misconf);
}

/// The example: a program that is killed again and again and finds all that it promised.
#[test]
fn a_program_that_is_killed_finds_its_data() {
    let test = std::env::current_exe().unwrap();
    let example = test.ancestors().nth(2).unwrap().join("examples/killed");
    // A run of all tests builds examples with them. Built alone, most of what they stand on would be built once more, with
    // other features.
    if !example.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", "redpoll"])
            .args(["--example", "killed"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "the example does not build"
        );
    }
    let run = Command::new(example).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert!(
        said.contains("everything that was promised was there"),
        "{said}"
    );
}

#[test]
fn a_path_that_is_no_folder_is_told() {
    let folder = Folder::new();
    std::fs::create_dir_all(&folder.0).unwrap();
    let file = folder.0.join("file");
    std::fs::write(&file, "x").unwrap();
    let error = Db::open(&*file).expect_err("no database").to_string();
    assert!(error.ends_with("/file is not a folder"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"x");
}
