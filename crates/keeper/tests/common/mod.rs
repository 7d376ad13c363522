//! An engine whose data are kept on a disk in memory.

#![allow(dead_code, reason = "each test program uses a part")]

use disk::faulty::FaultyDisk;
use engine::{Config, Engine, Kind, Next, NoHost, Origin, Persistence};
use redpoll_keeper::Keeper;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// An engine kept on a disk in memory, and one client of it.
pub struct Kept {
    pub engine: Arc<Engine>,
    pub keeper: Arc<Keeper>,
    worker: engine::Worker,
    pub session: engine::Session,
}

fn config(directives: &[(&str, &str)]) -> Config {
    let mut config = Config::default();
    let usual = [("save", ""), ("enable-debug-command", "yes")];
    for (name, value) in usual.iter().chain(directives) {
        config.directive(name, &[value]).expect("a directive");
    }
    config
}

fn session(engine: &Arc<Engine>) -> engine::Session {
    engine.session(Origin {
        addr: String::new(),
        laddr: String::new(),
        fd: -1,
        kind: Kind::Embedded,
        waker: None,
    })
}

impl Kept {
    /// With a log that is synced so.
    pub fn open(disk: &FaultyDisk, fsync: &str) -> Result<Kept, String> {
        Kept::open_with(disk, &[("appendonly", "yes"), ("appendfsync", fsync)])
    }

    /// With these directives; without them there is neither a log nor a save point.
    pub fn open_with(disk: &FaultyDisk, directives: &[(&str, &str)]) -> Result<Kept, String> {
        let engine = Engine::new(config(directives), Arc::new(NoHost));
        let keeper = Keeper::open_on(&engine, Arc::new(disk.clone()), Path::new("/d"))?;
        let session = session(&engine);
        Ok(Kept {
            worker: engine.worker(),
            engine,
            keeper,
            session,
        })
    }

    /// Another client of the same engine.
    pub fn another(&self) -> Kept {
        Kept {
            worker: self.engine.worker(),
            engine: self.engine.clone(),
            keeper: self.keeper.clone(),
            session: session(&self.engine),
        }
    }

    /// A command's reply, as the protocol has it. What it changed is on the disk, as far as that is promised, or that is said.
    pub fn run(&mut self, line: &str) -> (String, Result<(), String>) {
        let reply = self.run_unkept(line);
        let piece = self.session.piece();
        let kept = match self.keeper.promises() && piece > 0 {
            true => self.keeper.sync(piece),
            false => Ok(()),
        };
        (reply, kept)
    }

    /// The same, before anybody has given the log what it changed.
    pub fn run_unkept(&mut self, line: &str) -> String {
        self.run_words(&line.split(' ').collect::<Vec<_>>())
    }

    /// A command whose words may have spaces in them.
    pub fn run_words(&mut self, words: &[&str]) -> String {
        let argv: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let mut batch = resp::Batch::new();
        batch.push(&argv);
        let mut out = resp::Out::new(resp::Proto::Resp2);
        let mut from = 0;
        while from < batch.len() {
            let progress = self
                .worker
                .run_long(&mut self.session, &batch, from, &mut out);
            from = progress.executed;
            match progress.next {
                Next::Offload(job) => job(&mut out),
                Next::Retry(time)
                    if !self
                        .session
                        .client()
                        .set_waker(&store::parked::this_thread()) =>
                {
                    std::thread::park_timeout(time);
                }
                _ => {}
            }
        }
        String::from_utf8_lossy(&out.to_vec()).into_owned()
    }

    /// The reply of one that must succeed, promise and all.
    pub fn ok(&mut self, line: &str) -> String {
        let (reply, kept) = self.run(line);
        assert_eq!(kept, Ok(()), "{line}");
        assert!(!reply.starts_with('-'), "{line}: {reply}");
        reply
    }

    /// The number that a key holds; 0 if there is none.
    pub fn number(&mut self, key: &str) -> usize {
        let (reply, _) = self.run(&format!("GET {key}"));
        let digits = reply.lines().nth(1).unwrap_or("0");
        digits.parse().expect("a number")
    }

    /// A value of INFO's section on persistence.
    pub fn info(&mut self, name: &str) -> String {
        let (text, _) = self.run("INFO persistence");
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in INFO"))
            .to_owned()
    }

    /// Waits until a value of INFO is this.
    pub fn await_info(&mut self, name: &str, wanted: &str) {
        for _ in 0..20_000 {
            if self.info(name) == wanted {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("{name} is {}", self.info(name));
    }

    /// Begins a save that ends when it is given up.
    pub fn begin_save(&mut self) {
        self.ok("CONFIG SET rdb-key-save-delay 1000000000");
        self.ok("BGSAVE");
        self.await_info("current_save_keys_total", "1");
        self.ok("CONFIG SET rdb-key-save-delay 0");
    }
}
