//! Whether two servers hold the same values, by what they answer.
//!
//! Payloads of DUMP differ between versions, and DEBUG DIGEST is rarely allowed; so values are read, put into an order that does not
//! depend on the server, and compared.

use super::client::{Server, keyspace};
use resp::Value;

/// How many keys are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// So many, spread over the databases.
    Some(usize),
    /// All of them.
    All,
}

/// Keys that are asked for at once.
const TOGETHER: usize = 100;

/// Expiries may differ by the rounding of old servers.
const CLOSE_MS: i64 = 1000;

/// A key as a server shows it.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    kind: String,
    left_ms: i64,
    value: Vec<Vec<u8>>,
}

fn flat(value: &Value, into: &mut Vec<Vec<u8>>) {
    match value {
        Value::Bulk(text) => into.push(text.clone()),
        Value::Simple(text) | Value::Error(text) => into.push(text.clone().into_bytes()),
        Value::Int(n) => into.push(n.to_string().into_bytes()),
        Value::Array(items) | Value::Set(items) => items.iter().for_each(|item| flat(item, into)),
        Value::Map(pairs) => pairs.iter().for_each(|(k, v)| {
            flat(k, into);
            flat(v, into);
        }),
        other => into.push(format!("{other:?}").into_bytes()),
    }
}

/// What shows the value of a type, and how many elements belong together; 0 where their order is the server's own.
fn reading(kind: &str, key: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let words = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>();
    match kind {
        "string" => Some((words(&[b"GET", key]), 0)),
        "list" => Some((words(&[b"LRANGE", key, b"0", b"-1"]), 0)),
        "set" => Some((words(&[b"SMEMBERS", key]), 1)),
        "zset" => Some((words(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]), 0)),
        "hash" => Some((words(&[b"HGETALL", key]), 2)),
        "stream" => Some((words(&[b"XRANGE", key, b"-", b"+"]), 0)),
        _ => None,
    }
}

fn show(server: &mut Server, keys: &[Vec<u8>]) -> Result<Vec<Shown>, String> {
    let mut asks: Vec<Vec<Vec<u8>>> = Vec::new();
    for key in keys {
        asks.push(vec![b"TYPE".to_vec(), key.clone()]);
        asks.push(vec![b"PTTL".to_vec(), key.clone()]);
    }
    let replies = server.pipeline(&asks)?;
    let mut shown = Vec::new();
    let mut readings = Vec::new();
    for (pair, key) in replies.chunks(2).zip(keys) {
        let mut kind = Vec::new();
        flat(&pair[0], &mut kind);
        let kind = String::from_utf8_lossy(&kind.concat()).into_owned();
        let left_ms = match pair[1] {
            Value::Int(n) => n,
            _ => return Err(format!("{}: PTTL gave no number", server.address)),
        };
        match reading(&kind, key) {
            Some((command, _)) => readings.push(command),
            None if kind == "none" => readings.push(vec![b"EXISTS".to_vec(), key.clone()]),
            None => {
                return Err(format!(
                    "{}: a key of type {kind} cannot be compared",
                    server.address
                ));
            }
        }
        shown.push(Shown {
            kind,
            left_ms,
            value: Vec::new(),
        });
    }
    for (shown, reply) in shown.iter_mut().zip(server.pipeline(&readings)?) {
        let mut value = Vec::new();
        flat(&reply, &mut value);
        if shown.kind == "zset" {
            value.iter_mut().skip(1).step_by(2).for_each(as_number);
        }
        shown.value = match reading(&shown.kind, b"").map_or(0, |(_, together)| together) {
            0 => value,
            n => {
                let mut parts: Vec<&[Vec<u8>]> = value.chunks(n).collect();
                parts.sort();
                parts.concat()
            }
        };
    }
    Ok(shown)
}

/// A score as its number: Redis 7.0 shows 1e-7 as 9.9999999999999995e-08.
fn as_number(score: &mut Vec<u8>) {
    if let Some(number) = resp::parse_f64(score) {
        *score = number.to_bits().to_be_bytes().to_vec();
    }
}

fn same(one: &Shown, other: &Shown) -> bool {
    let lasting = |left: i64| left < 0;
    one.kind == other.kind
        && one.value == other.value
        && lasting(one.left_ms) == lasting(other.left_ms)
        && (one.left_ms - other.left_ms).abs() <= CLOSE_MS
}

/// Compares keys; returns how many. Writes are held back.
///
/// # Errors
/// The first that is not the same.
pub fn compare(old: &mut Server, new: &mut Server, extent: Extent) -> Result<usize, String> {
    let databases = keyspace(&old.info()?);
    let mut compared = 0;
    for (db, keys) in &databases {
        let most = match extent {
            Extent::All => usize::MAX,
            Extent::Some(0) => continue,
            Extent::Some(n) => n.div_ceil(databases.len()).max(1),
        };
        let db = db.to_string();
        old.call(&["SELECT", &db])?;
        new.call(&["SELECT", &db])?;
        let (mut cursor, mut done) = ("0".to_owned(), 0);
        loop {
            let reply = old.call(&["SCAN", &cursor, "COUNT", &TOGETHER.to_string()])?;
            let Value::Array(parts) = reply else {
                return Err(format!("{}: SCAN gave no array", old.address));
            };
            let mut texts = Vec::new();
            flat(&Value::Array(parts), &mut texts);
            if texts.is_empty() {
                return Err(format!("{}: SCAN gave no cursor", old.address));
            }
            cursor = String::from_utf8_lossy(&texts.remove(0)).into_owned();
            texts.truncate(most - done);
            for keys in texts.chunks(TOGETHER) {
                let (mine, its) = (show(old, keys)?, show(new, keys)?);
                let wrong = keys
                    .iter()
                    .zip(mine.iter().zip(&its))
                    .find(|(_, (mine, its))| {
                        // What expires at this moment may be there for one of them.
                        let expiring =
                            mine.kind == "none" || its.kind == "none" && mine.left_ms >= 0;
                        !expiring && !same(mine, its)
                    });
                if let Some((key, (mine, its))) = wrong {
                    return Err(format!(
                        "key '{}' of database {db} is not the same: a {} of {} parts on the old server, a {} of {} on the new one",
                        key.escape_ascii(),
                        mine.kind,
                        mine.value.len(),
                        its.kind,
                        its.value.len()
                    ));
                }
                done += keys.len();
            }
            if cursor == "0" || done >= most {
                break;
            }
        }
        let _ = keys;
        compared += done;
    }
    Ok(compared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_numbers_however_they_are_shown() {
        let of = |text: &str| {
            let mut score = text.as_bytes().to_vec();
            as_number(&mut score);
            score
        };
        assert_eq!(of("9.9999999999999995e-08"), of("1e-7"));
        assert_eq!(of("inf"), of("inf"));
        assert_ne!(of("1"), of("1.5"));
        assert_eq!(of("no number"), b"no number");
    }
}
