//! Walks over all keys by SCAN: `--scan`, `--bigkeys`, `--memkeys`, `--hotkeys`.

use super::format::Form;
use super::quote::quoted;
use super::session::{Failure, Session, show};
use crate::link::{Connection, Reply};
use std::fmt::Write;
use std::io;
use std::time::Duration;

/// The words of a request.
type Request = Vec<Vec<u8>>;

/// After so many keys the walk says how far it is.
const TELL_EVERY: u64 = 1_000_000;

/// A walk over the keyspace, one reply of SCAN after the other.
pub(super) struct Walk {
    cursor: Option<Vec<u8>>,
    pattern: Option<Vec<u8>>,
    count: Option<String>,
    pause: Option<Duration>,
    /// Calls of SCAN between two pauses.
    every: u32,
    calls: u32,
}

impl Walk {
    pub fn new(session: &Session, every: u32) -> Walk {
        Walk {
            cursor: Some(session.options.cursor.to_string().into_bytes()),
            pattern: session.options.pattern.clone(),
            count: session.options.count.map(|count| count.to_string()),
            pause: session.options.interval,
            every,
            calls: 0,
        }
    }

    /// Where it goes on; None when all have been seen.
    pub fn cursor(&self) -> Option<&[u8]> {
        self.cursor.as_deref()
    }

    /// The next keys; None when all have been seen.
    pub fn next(&mut self, connection: &mut Connection) -> Result<Option<Vec<Vec<u8>>>, Failure> {
        let Some(cursor) = self.cursor.take() else {
            return Ok(None);
        };
        if let Some(pause) = self.pause
            && self.calls > 0
            && self.calls.is_multiple_of(self.every)
        {
            io::Write::flush(&mut io::stdout()).ok();
            std::thread::sleep(pause);
        }
        self.calls += 1;
        let mut request: Vec<&[u8]> = vec![b"SCAN", &cursor];
        if let Some(pattern) = &self.pattern {
            request.extend([&b"MATCH"[..], pattern]);
        }
        if let Some(count) = &self.count {
            request.extend([&b"COUNT"[..], count.as_bytes()]);
        }
        let reply = connection.call(&request)?;
        if let Some(error) = reply.error() {
            return Err(format!("SCAN error: {error}").into());
        }
        let Some([next, keys]) = reply.elements() else {
            return Err("Non ARRAY response from SCAN!".into());
        };
        let next = next.bytes().unwrap_or_default().to_vec();
        self.cursor = (next != b"0").then_some(next);
        let keys = keys.elements().unwrap_or_default();
        let keys = keys
            .iter()
            .filter_map(|key| key.bytes().map(<[u8]>::to_vec));
        Ok(Some(keys.collect()))
    }
}

/// Prints all keys.
pub fn all(session: &mut Session) -> Result<(), Failure> {
    let mut walk = Walk::new(session, 1);
    let is_pretty = session.style.form == Form::Pretty;
    while let Some(keys) = walk.next(session.connection()?)? {
        let mut text = Vec::new();
        for key in &keys {
            match is_pretty {
                true => text.extend(quoted(key).bytes()),
                false => text.extend(key),
            }
            text.push(b'\n');
        }
        show(&text)?;
    }
    Ok(())
}

/// By what a key is big.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// How many elements it has, or bytes, if it is a string.
    Elements,
    /// Bytes of memory, estimated from so many elements (or the server's default).
    Memory(Option<u64>),
}

/// The command for a type's size in elements, and what those are called; None of a module's type.
pub(super) fn size_of(kind: &str) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        "string" => ("STRLEN", "bytes"),
        "list" => ("LLEN", "items"),
        "set" => ("SCARD", "members"),
        "zset" => ("ZCARD", "members"),
        "hash" => ("HLEN", "fields"),
        "stream" => ("XLEN", "entries"),
        _ => return None,
    })
}

/// What is known of a type's keys.
struct Kind {
    name: String,
    /// The command for its size in elements, and what those are called.
    size: Option<(&'static str, &'static str)>,
    keys: u64,
    total: u64,
    biggest: Option<(Vec<u8>, u64)>,
}

impl Kind {
    fn new(name: &str) -> Kind {
        Kind {
            name: name.to_owned(),
            size: size_of(name),
            keys: 0,
            total: 0,
            biggest: None,
        }
    }

    fn unit(&self, measure: Measure) -> &'static str {
        match (measure, self.size) {
            (Measure::Memory(_), _) => "bytes",
            (_, Some((_, unit))) => unit,
            (_, None) => "?",
        }
    }
}

/// What TYPE says; None of what is gone since SCAN saw it.
pub(super) fn type_of(reply: &Reply) -> Result<Option<String>, Failure> {
    match reply {
        Reply::Status(name) if name == b"none" => Ok(None),
        Reply::Status(name) => Ok(Some(String::from_utf8_lossy(name).into_owned())),
        Reply::Error(error) => {
            Err(format!("TYPE failed: {}", String::from_utf8_lossy(error)).into())
        }
        other => Err(format!("Invalid reply from TYPE: {other:?}").into()),
    }
}

fn announce(what: &str) -> String {
    format!(
        "\n# Scanning the entire keyspace to find {what} keys as well as\n\
         # average sizes per key type.  You can use -i 0.1 to sleep 0.1 sec\n\
         # per 100 SCAN commands (not usually needed).\n\n"
    )
}

/// The number of keys, for how far the walk is.
pub(super) fn count(connection: &mut Connection) -> Result<u64, Failure> {
    let reply = connection.call(&["DBSIZE"])?;
    if let Some(error) = reply.error() {
        return Err(format!("Couldn't determine DBSIZE: {error}").into());
    }
    Ok(reply.int().unwrap_or_default().unsigned_abs())
}

/// How much of the keyspace has been seen.
pub(super) fn percent(seen: u64, total: u64) -> f64 {
    match total {
        0 => 0.0,
        total => 100.0 * seen as f64 / total as f64,
    }
}

/// Prints the biggest key of each type, and what all of them have.
pub fn biggest(session: &mut Session, measure: Measure) -> Result<(), Failure> {
    show(announce("biggest").as_bytes())?;
    let mut walk = Walk::new(session, 100);
    let mut kinds: Vec<Kind> = ["string", "list", "set", "zset", "hash", "stream"]
        .map(Kind::new)
        .into();
    let (mut seen, mut key_bytes) = (0, 0);
    let connection = session.connection()?;
    let total = count(connection)?;
    while let Some(keys) = walk.next(connection)? {
        let so_far = percent(seen, total);
        let types = connection.pipeline(&requests(&keys, &["TYPE"], &[]))?;
        let mut asked: Vec<(&Vec<u8>, usize, Request)> = Vec::new();
        for (key, reply) in keys.iter().zip(&types) {
            let Some(name) = type_of(reply)? else {
                continue;
            };
            let index = kinds
                .iter()
                .position(|kind| kind.name == name)
                .unwrap_or_else(|| {
                    kinds.push(Kind::new(&name));
                    kinds.len() - 1
                });
            let request: Request = match (measure, kinds[index].size) {
                (Measure::Memory(samples), _) => {
                    let mut request = vec![b"MEMORY".to_vec(), b"USAGE".to_vec(), key.clone()];
                    if let Some(samples) = samples {
                        request.push(b"SAMPLES".to_vec());
                        request.push(samples.to_string().into_bytes());
                    }
                    request
                }
                (Measure::Elements, Some((command, _))) => {
                    vec![command.as_bytes().to_vec(), key.clone()]
                }
                // Nobody knows how to measure it: it is counted only.
                (Measure::Elements, None) => vec![b"EXISTS".to_vec(), key.clone()],
            };
            asked.push((key, index, request));
        }
        let requests: Vec<Request> = asked.iter().map(|(_, _, r)| r.clone()).collect();
        let sizes = connection.pipeline(&requests)?;
        for ((key, index, _), size) in asked.iter().zip(&sizes) {
            let kind = &mut kinds[*index];
            // What has become another type meanwhile, or is gone.
            let Reply::Int(size) = size else {
                continue;
            };
            let size = match (measure, kind.size) {
                (Measure::Elements, None) => 0,
                _ => size.unsigned_abs(),
            };
            kind.keys += 1;
            kind.total += size;
            key_bytes += key.len() as u64;
            seen += 1;
            if kind.biggest.as_ref().is_none_or(|(_, most)| *most < size) && size > 0 {
                let line = format!(
                    "[{so_far:05.2}%] Biggest {:<6} found so far '{}' with {size} {}\n",
                    kind.name,
                    quoted(key),
                    kind.unit(measure)
                );
                show(line.as_bytes())?;
                kind.biggest = Some(((*key).clone(), size));
            }
            if seen % TELL_EVERY == 0 {
                let line = format!(
                    "[{:05.2}%] Sampled {seen} keys so far\n",
                    percent(seen, total)
                );
                show(line.as_bytes())?;
            }
        }
    }
    show(summary(&kinds, measure, seen, key_bytes).as_bytes())
}

fn summary(kinds: &[Kind], measure: Measure, seen: u64, key_bytes: u64) -> String {
    let average = |sum: u64, n: u64| match n {
        0 => 0.0,
        n => sum as f64 / n as f64,
    };
    let mut text = format!(
        "\n-------- summary -------\n\nSampled {seen} keys in the keyspace!\n\
         Total key length in bytes is {key_bytes} (avg len {:.2})\n\n",
        average(key_bytes, seen)
    );
    for kind in kinds {
        if let Some((key, size)) = &kind.biggest {
            let _ = writeln!(
                text,
                "Biggest {:>6} found '{}' has {size} {}",
                kind.name,
                quoted(key),
                kind.unit(measure)
            );
        }
    }
    text.push('\n');
    for kind in kinds {
        let _ = writeln!(
            text,
            "{} {}s with {} {} ({:05.2}% of keys, avg size {:.2})",
            kind.keys,
            kind.name,
            kind.total,
            kind.unit(measure),
            percent(kind.keys, seen),
            average(kind.total, kind.keys)
        );
    }
    text
}

pub(super) fn requests(keys: &[Vec<u8>], before: &[&str], after: &[&str]) -> Vec<Request> {
    let words = |words: &[&str]| words.iter().map(|w| w.as_bytes().to_vec()).collect();
    keys.iter()
        .map(|key| {
            let mut request: Vec<Vec<u8>> = words(before);
            request.push(key.clone());
            let rest: Vec<Vec<u8>> = words(after);
            request.extend(rest);
            request
        })
        .collect()
}

/// Prints the keys with the highest counters of use, so many.
pub fn hottest(session: &mut Session, most: usize) -> Result<(), Failure> {
    show(announce("hot").as_bytes())?;
    let mut walk = Walk::new(session, 100);
    let connection = session.connection()?;
    let total = count(connection)?;
    let mut seen = 0;
    // The hottest last.
    let mut hot: Vec<(u64, Vec<u8>)> = Vec::new();
    while let Some(keys) = walk.next(connection)? {
        let so_far = percent(seen, total);
        let counters = connection.pipeline(&requests(&keys, &["OBJECT", "FREQ"], &[]))?;
        for (key, counter) in keys.iter().zip(&counters) {
            seen += 1;
            if seen % TELL_EVERY == 0 {
                let line = format!(
                    "[{:05.2}%] Sampled {seen} keys so far\n",
                    percent(seen, total)
                );
                show(line.as_bytes())?;
            }
            let counter = match counter {
                Reply::Int(n) => n.unsigned_abs(),
                // Gone since SCAN saw it.
                Reply::Nil => continue,
                Reply::Error(text) if text.starts_with(b"ERR no such key") => continue,
                Reply::Error(text) => {
                    return Err(format!("Error: {}", String::from_utf8_lossy(text)).into());
                }
                other => return Err(format!("Invalid reply from OBJECT FREQ: {other:?}").into()),
            };
            let least = hot.first().map_or(0, |(least, _)| *least);
            if counter == 0 || (hot.len() == most && counter <= least) {
                continue;
            }
            if hot.len() == most {
                hot.remove(0);
            }
            let place = hot.partition_point(|(other, _)| *other < counter);
            hot.insert(place, (counter, key.clone()));
            let line = format!(
                "[{so_far:05.2}%] Hot key '{}' found so far with counter {counter}\n",
                quoted(key)
            );
            show(line.as_bytes())?;
        }
    }
    let mut text = format!("\n-------- summary -------\n\nSampled {seen} keys in the keyspace!\n");
    for (counter, key) in hot.iter().rev() {
        let _ = writeln!(
            text,
            "hot key found with counter: {counter}\tkeyname: {}",
            quoted(key)
        );
    }
    show(text.as_bytes())
}
