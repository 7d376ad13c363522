//! MIGRATE: moving keys to another server, one after the other, over a connection of its own.
//!
//! No lock is held while the other server is waited for. A key that has changed between its being read and its being confirmed there is
//! sent again, so that what is deleted here in the end is what is there.

use crate::wire::{Dial, Leash, Wire, reply};
use engine::{Counters, Engine, Event, Intent, Keys, Migration, unix_ms};
use parking_lot::Mutex;
use rdb::encode::Options;
use rdb::{Version, payload};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How often a key is sent again that goes on changing.
const ATTEMPTS: usize = 16;

/// Payloads of this version or a later one hold fields that expire, and are written in the dialect of who reads them.
const TIMED: u16 = 12;

/// See the module's page.
pub(crate) struct Migrate {
    dial: Arc<Dial>,
    /// What threads count with that look at keys here, one at a time. None: nobody has yet.
    counting: Mutex<Option<Arc<Counters>>>,
}

/// A key on its way.
struct Item {
    key: Vec<u8>,
    payload: Vec<u8>,
    expiry_ms: Option<u64>,
}

/// What became here of a key that was sent.
enum Fate {
    /// It was as it was sent, and is deleted.
    Moved,
    /// Somebody has deleted it meanwhile.
    Gone,
    /// Somebody has changed it meanwhile.
    Changed,
}

/// Why it went wrong.
enum Failed {
    Connect,
    Write,
    Read,
    /// The whole reply, without the dash.
    Other(String),
}

impl Failed {
    fn reply(self) -> String {
        match self {
            Failed::Connect => "IOERR error or timeout connecting to the client".into(),
            Failed::Write => "IOERR error or timeout writing to target instance".into(),
            Failed::Read => "IOERR error or timeout reading from target instance".into(),
            Failed::Other(text) => text,
        }
    }
}

/// The value of a key as the other server is sent it.
fn take(keys: &Keys<'_>, key: &[u8], version: Version) -> Option<(Vec<u8>, Option<u64>)> {
    let e = keys.peek(key)?;
    let options = Options {
        version,
        compress: true,
        now_ms: unix_ms(),
        for_replica: false,
    };
    Some((payload::dump(&e, &options)?, e.expiry_ms()))
}

fn version_of(payload: &[u8]) -> u16 {
    match payload {
        [.., a, b, _, _, _, _, _, _, _, _] => u16::from_le_bytes([*a, *b]),
        _ => 0,
    }
}

/// A connection to the other server.
struct Target(Wire);

impl Target {
    fn send<A: AsRef<[u8]>>(&mut self, argv: &[A]) -> Result<(), Failed> {
        self.0.command(argv).map_err(|_| Failed::Write)
    }

    /// The next reply; the error is one of the other server.
    fn read(&mut self) -> Result<Result<resp::Value, String>, Failed> {
        reply(&mut self.0)
            .map_err(|_| Failed::Read)
            .map(|value| match value {
                resp::Value::Error(text) => Err(text),
                value => Ok(value),
            })
    }

    /// Whether it is a Valkey that knows fields that expire.
    fn is_valkey_9(&mut self) -> Result<bool, Failed> {
        self.send(&["INFO", "server"])?;
        let Ok(resp::Value::Bulk(info)) = self.read()? else {
            return Ok(false);
        };
        let info = String::from_utf8_lossy(&info).into_owned();
        let version = info
            .lines()
            .find_map(|line| line.strip_prefix("valkey_version:"));
        let major = version.and_then(|v| v.split('.').next()?.parse::<u32>().ok());
        Ok(major.is_some_and(|major| major >= 9))
    }
}

fn refused(text: &str) -> Failed {
    Failed::Other(format!("ERR Target instance replied with error: {text}"))
}

impl Migrate {
    /// One that connects to other servers like this.
    pub fn new(dial: Arc<Dial>) -> Migrate {
        Migrate {
            dial,
            counting: Mutex::new(None),
        }
    }

    fn with_key<R>(
        &self,
        engine: &Engine,
        (db, key): (usize, &[u8]),
        intent: Intent,
        work: impl FnOnce(&mut Keys<'_>) -> R,
    ) -> Result<R, Failed> {
        let mut counting = self.counting.lock();
        let counters = counting.get_or_insert_with(|| engine.add_counters());
        let done = engine.with_key(db, key, intent, counters, |keys| Ok(work(keys)));
        done.map_err(|error| Failed::Other(error.text().into_owned()))
    }

    /// MIGRATE. What to answer after the plus; the error is the whole reply, without the dash.
    pub fn run(&self, engine: &Arc<Engine>, what: &Migration) -> Result<&'static str, String> {
        self.move_keys(engine, what).map_err(Failed::reply)
    }

    fn move_keys(&self, engine: &Arc<Engine>, what: &Migration) -> Result<&'static str, Failed> {
        let read = |key: &[u8], version| {
            let item = self.with_key(engine, (what.from_db, key), Intent::Look, |keys| {
                take(keys, key, version)
            })?;
            Ok::<_, Failed>(item.map(|(payload, expiry_ms)| Item {
                key: key.to_vec(),
                payload,
                expiry_ms,
            }))
        };
        let mut items = Vec::new();
        for key in &what.keys {
            items.extend(read(key, Version::V12)?);
        }
        if items.is_empty() {
            return Ok("NOKEY");
        }
        let patience = Duration::from_millis(what.timeout_ms);
        let mut target = self
            .reach(engine, what, patience)
            .map_err(|_| Failed::Connect)?;
        let auth: Option<Vec<&[u8]>> = what.password.as_ref().map(|password| match &what.user {
            Some(user) => vec![&b"AUTH"[..], user, password],
            None => vec![&b"AUTH"[..], password],
        });
        if let Some(auth) = auth {
            target.send(&auth)?;
            target.read()?.map_err(|text| refused(&text))?;
        }
        target.send(&[&b"SELECT"[..], what.to_db.to_string().as_bytes()])?;
        target.read()?.map_err(|text| refused(&text))?;
        let mut version = Version::V12;
        if items.iter().any(|item| version_of(&item.payload) >= TIMED) && target.is_valkey_9()? {
            version = Version::Valkey80;
            let mut again = Vec::new();
            for item in &items {
                again.extend(read(&item.key, version)?);
            }
            items = again;
        }
        let mut failed = None;
        let mut replace = what.replace;
        for _ in 0..ATTEMPTS {
            for item in &items {
                let left = match item.expiry_ms {
                    None => 0,
                    // What has just expired goes there for a moment, as with real servers.
                    Some(at) => at.saturating_sub(unix_ms()).max(1),
                };
                let left = left.to_string();
                let mut restore: Vec<&[u8]> =
                    vec![b"RESTORE", &item.key, left.as_bytes(), &item.payload];
                if replace {
                    restore.push(b"REPLACE");
                }
                target.send(&restore)?;
            }
            let (mut changed, mut gone) = (Vec::new(), Vec::new());
            for item in &items {
                match target.read()? {
                    Err(text) => {
                        failed.get_or_insert(refused(&text));
                    }
                    Ok(_) if what.copy => {}
                    Ok(_) => match self.delete_if_same(engine, what.from_db, item, version)? {
                        Fate::Moved => {}
                        Fate::Gone => gone.push(&item.key),
                        Fate::Changed => match read(&item.key, version)? {
                            Some(item) => changed.push(item),
                            None => gone.push(&item.key),
                        },
                    },
                }
            }
            for key in &gone {
                target.send(&[&b"DEL"[..], key])?;
            }
            for _ in &gone {
                if let Err(text) = target.read()? {
                    failed.get_or_insert(refused(&text));
                }
            }
            items = changed;
            // What is there now came from here.
            replace = true;
            if items.is_empty() {
                return failed.map_or(Ok("OK"), Err);
            }
        }
        Err(Failed::Other(format!(
            "ERR the key '{}' changes faster than it can be sent; it is on both servers",
            items[0].key.escape_ascii()
        )))
    }

    fn reach(&self, engine: &Engine, what: &Migration, patience: Duration) -> io::Result<Target> {
        let port = what.port.ok_or(io::ErrorKind::InvalidInput)?;
        let channel = (self.dial)(engine, &what.host, port, patience)?;
        Wire::new(channel, Leash::default(), patience).map(Target)
    }

    /// Deletes a key here if it is as it was sent.
    fn delete_if_same(
        &self,
        engine: &Engine,
        db: usize,
        item: &Item,
        version: Version,
    ) -> Result<Fate, Failed> {
        self.with_key(engine, (db, &item.key), Intent::Change, |keys| {
            match take(keys, &item.key, version) {
                None => Fate::Gone,
                Some((payload, expiry_ms))
                    if payload == item.payload && expiry_ms == item.expiry_ms =>
                {
                    keys.remove(&item.key);
                    keys.changed(&item.key, Event::DEL);
                    keys.record(&[b"DEL", &item.key]);
                    Fate::Moved
                }
                Some(_) => Fate::Changed,
            }
        })
    }
}
