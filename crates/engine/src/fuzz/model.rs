//! What commands do, in maps of the standard library: keys with expiries, strings, and how a call is drawn from an input.
//!
//! A method takes what it needs from the input, does to the model what the command does, and returns the call with its reply.

use super::Input;
use resp::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A call and what it has to answer.
pub(crate) struct Call {
    pub argv: Vec<Vec<u8>>,
    pub reply: Reply,
}

/// An expected reply.
#[derive(Debug)]
pub(crate) enum Reply {
    Is(Value),
    /// An array in any order.
    Members(BTreeSet<Vec<u8>>),
    /// A flat array of pairs in any order.
    Pairs(BTreeMap<Vec<u8>, Vec<u8>>),
}

impl Reply {
    /// Whether it is this one.
    pub fn is(&self, reply: &Value) -> bool {
        let bulks = || -> Option<Vec<Vec<u8>>> {
            let Value::Array(items) = reply else {
                return None;
            };
            let bulk = |item: &Value| match item {
                Value::Bulk(bytes) => Some(bytes.clone()),
                _ => None,
            };
            items.iter().map(bulk).collect()
        };
        match self {
            Reply::Is(value) => value == reply,
            Reply::Members(set) => bulks().is_some_and(|items| {
                items.len() == set.len() && items.iter().all(|item| set.contains(item))
            }),
            Reply::Pairs(map) => bulks().is_some_and(|items| {
                let (pairs, rest) = items.as_chunks::<2>();
                rest.is_empty()
                    && pairs.len() == map.len()
                    && pairs
                        .iter()
                        .all(|[name, value]| map.get(name) == Some(value))
            }),
        }
    }
}

/// A key's value.
#[derive(Clone)]
pub(super) enum Data {
    Text(Vec<u8>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    List(VecDeque<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    Sorted(BTreeMap<Vec<u8>, f64>),
}

#[derive(Clone)]
pub(super) struct Entry {
    pub data: Data,
    pub expiry_ms: Option<u64>,
}

/// All keys, and the time.
pub(crate) struct Model {
    pub now_ms: u64,
    keys: BTreeMap<Vec<u8>, Entry>,
}

pub(super) type Answer = Result<Reply, &'static str>;

pub(super) const WRONG_TYPE: &str =
    "WRONGTYPE Operation against a key holding the wrong kind of value";
pub(super) const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
pub(super) const OVERFLOW: &str = "ERR increment or decrement would overflow";
pub(super) const NO_SUCH_KEY: &str = "ERR no such key";

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const WORDS: [&[u8]; 16] = [
    b"",
    b"x",
    b"y",
    b"zz",
    b"10",
    b"-3",
    b"0",
    b"3.5",
    b"007",
    b"\x00\xff\r\n",
    b"9223372036854775807",
    b"1",
    b"2",
    b"3",
    b"a string of more than sixty-four bytes, which no packed collection takes in",
    b"forty-five bytes, one over the embedded limit",
];

/// A method that draws a call, changes the model, and says what is answered.
type Draw = fn(&mut Model, &mut Input<'_>, &mut Vec<Vec<u8>>) -> Answer;

const STRINGS_AND_KEYS: Family = &[
    ("SET", Model::set),
    ("SET", Model::set),
    ("GET", Model::get),
    ("GETDEL", Model::getdel),
    ("APPEND", Model::append),
    ("STRLEN", Model::strlen),
    ("INCRBY", Model::incrby),
    ("SETRANGE", Model::setrange),
    ("GETRANGE", Model::getrange),
    ("MSET", Model::mset),
    ("MGET", Model::mget),
    ("DEL", Model::del),
    ("EXISTS", Model::exists),
    ("PEXPIREAT", Model::pexpireat),
    ("PEXPIREAT", Model::pexpireat),
    ("PERSIST", Model::persist),
    ("PEXPIRETIME", Model::pexpiretime),
    ("TYPE", Model::type_of),
    ("RENAME", Model::rename),
    ("COPY", Model::copy),
];

/// Adds a number or a word to the arguments.
pub(super) fn push(argv: &mut Vec<Vec<u8>>, word: impl ToString) {
    argv.push(word.to_string().into_bytes());
}

pub(super) fn int(n: usize) -> Answer {
    Ok(Reply::Is(Value::Int(n as i64)))
}

pub(super) fn null() -> Answer {
    Ok(Reply::Is(Value::Null))
}

pub(super) fn bulk(bytes: impl Into<Vec<u8>>) -> Answer {
    Ok(Reply::Is(Value::Bulk(bytes.into())))
}

pub(super) fn bulk_or_null(bytes: Option<Vec<u8>>) -> Answer {
    bytes.map_or_else(null, bulk)
}

pub(super) fn array(items: impl IntoIterator<Item = Vec<u8>>) -> Answer {
    let items = items.into_iter().map(Value::Bulk).collect();
    Ok(Reply::Is(Value::Array(items)))
}

pub(super) fn ok() -> Answer {
    Ok(Reply::Is(Value::Simple("OK".into())))
}

/// A whole number as Redis takes one.
pub(super) fn number(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let n: i64 = text.parse().ok()?;
    (n.to_string() == text).then_some(n)
}

/// The part of `len` elements that two indexes mean, which count from the end when they are negative.
pub(super) fn range(len: usize, first: i64, last: i64) -> std::ops::Range<usize> {
    let len = len as i64;
    let from_end = |i: i64| if i < 0 { len + i } else { i };
    let (first, last) = (from_end(first).max(0), from_end(last).min(len - 1));
    if first > last {
        0..0
    } else {
        first as usize..last as usize + 1
    }
}

impl Input<'_> {
    pub(super) fn key(&mut self, argv: &mut Vec<Vec<u8>>) -> Vec<u8> {
        let key = self.of(&KEYS).as_bytes().to_vec();
        argv.push(key.clone());
        key
    }

    pub(super) fn word(&mut self, argv: &mut Vec<Vec<u8>>) -> Vec<u8> {
        let byte = self.byte();
        // Half of them few, so that commands meet; the others many, so that collections grow.
        let word = match byte {
            0..128 => WORDS[byte % WORDS.len()].to_vec(),
            _ => format!("m{}", byte % 64).into_bytes(),
        };
        argv.push(word.clone());
        word
    }

    pub(super) fn words(&mut self, argv: &mut Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        (0..1 + self.byte() % 5).map(|_| self.word(argv)).collect()
    }

    pub(super) fn index(&mut self, argv: &mut Vec<Vec<u8>>) -> i64 {
        let n = self.of(&[0, 1, 2, 3, 7, 100, -1, -2, -3, -8, -100]);
        push(argv, n);
        n
    }

    /// One of these words, or none.
    pub(super) fn option(
        &mut self,
        argv: &mut Vec<Vec<u8>>,
        options: &[&'static str],
    ) -> &'static str {
        let byte = self.byte();
        let option = if byte.is_multiple_of(2) {
            ""
        } else {
            options[byte / 2 % options.len()]
        };
        if !option.is_empty() {
            push(argv, option);
        }
        option
    }
}

impl Model {
    pub fn new(now_ms: u64) -> Model {
        Model {
            now_ms,
            keys: BTreeMap::new(),
        }
    }

    /// Draws a call.
    pub fn call(&mut self, input: &mut Input<'_>) -> Call {
        let families = [
            STRINGS_AND_KEYS,
            super::collections::HASHES,
            super::collections::LISTS,
            super::collections::SETS,
            super::collections::SORTED_SETS,
        ];
        let family = input.of(&families);
        let (name, draw) = input.of(family);
        let mut argv = vec![name.as_bytes().to_vec()];
        let reply = match draw(self, input, &mut argv) {
            Ok(reply) => reply,
            Err(error) => Reply::Is(Value::Error(error.to_owned())),
        };
        Call { argv, reply }
    }

    /// Calls that look at all keys and all that they hold.
    pub fn everything(&mut self) -> Vec<Call> {
        let mut calls = Vec::new();
        for key in KEYS {
            let key = key.as_bytes();
            let mut ask = |words: &[&str], reply: Reply| {
                let mut argv = vec![words[0].as_bytes().to_vec(), key.to_vec()];
                argv.extend(words[1..].iter().map(|word| word.as_bytes().to_vec()));
                calls.push(Call { argv, reply });
            };
            let Some(entry) = self.entry(key).cloned() else {
                ask(&["EXISTS"], Reply::Is(Value::Int(0)));
                continue;
            };
            let expiry = entry.expiry_ms.map_or(-1, |ms| ms as i64);
            ask(&["PEXPIRETIME"], Reply::Is(Value::Int(expiry)));
            match entry.data {
                Data::Text(text) => ask(&["GET"], Reply::Is(Value::Bulk(text))),
                Data::Hash(hash) => ask(&["HGETALL"], Reply::Pairs(hash)),
                Data::Set(set) => ask(&["SMEMBERS"], Reply::Members(set)),
                Data::List(list) => {
                    let items = list.into_iter().map(Value::Bulk).collect();
                    ask(&["LRANGE", "0", "-1"], Reply::Is(Value::Array(items)));
                }
                Data::Sorted(sorted) => {
                    let items = super::collections::with_scores(&sorted);
                    ask(&["ZRANGE", "0", "-1", "WITHSCORES"], Reply::Is(items));
                }
            }
        }
        calls
    }

    /// A key that has not expired.
    pub(super) fn entry(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let now_ms = self.now_ms;
        let over = |entry: &Entry| entry.expiry_ms.is_some_and(|at| at <= now_ms);
        if self.keys.get(key).is_some_and(over) {
            self.keys.remove(key);
        }
        self.keys.get_mut(key)
    }

    /// Puts a value in a key's place, with its expiry if `expiry_ms` is that of the old one.
    pub(super) fn put(&mut self, key: &[u8], data: Data, expiry_ms: Option<u64>) {
        self.keys.insert(key.to_vec(), Entry { data, expiry_ms });
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        self.entry(key)?;
        self.keys.remove(key)
    }

    fn text(&mut self, key: &[u8]) -> Result<Option<&mut Vec<u8>>, &'static str> {
        match self.entry(key).map(|entry| &mut entry.data) {
            None => Ok(None),
            Some(Data::Text(text)) => Ok(Some(text)),
            Some(_) => Err(WRONG_TYPE),
        }
    }

    fn text_or_new(&mut self, key: &[u8]) -> Result<&mut Vec<u8>, &'static str> {
        if self.text(key)?.is_none() {
            self.put(key, Data::Text(Vec::new()), None);
        }
        Ok(self.text(key)?.expect("just put there"))
    }

    /// A time around now.
    fn time(&self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> u64 {
        let at = self.now_ms + input.of(&[1, 8, 100, 5000, 100_000]) - input.of(&[0, 0, 0, 1, 9]);
        push(argv, at);
        at
    }

    fn set(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let key = input.key(argv);
        let value = input.word(argv);
        let condition = input.option(argv, &["NX", "XX"]);
        let get = input.option(argv, &["GET"]) == "GET";
        let expiry = input.option(argv, &["PXAT", "KEEPTTL"]);
        let at = (expiry == "PXAT").then(|| self.time(input, argv));
        let old = if get { self.text(&key)?.cloned() } else { None };
        let there = self.entry(&key).is_some();
        let written = match condition {
            "NX" => !there,
            "XX" => there,
            _ => true,
        };
        if written {
            let kept = self.entry(&key).and_then(|entry| entry.expiry_ms);
            let expiry_ms = if expiry == "KEEPTTL" { kept } else { at };
            self.put(&key, Data::Text(value), expiry_ms);
        }
        match (get, written) {
            (true, _) => bulk_or_null(old),
            (false, true) => ok(),
            (false, false) => null(),
        }
    }

    fn get(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let key = input.key(argv);
        bulk_or_null(self.text(&key)?.cloned())
    }

    fn getdel(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let key = input.key(argv);
        let old = self.text(&key)?.cloned();
        self.remove(&key);
        bulk_or_null(old)
    }

    fn append(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let key = input.key(argv);
        let more = input.word(argv);
        let text = self.text_or_new(&key)?;
        text.extend(more);
        int(text.len())
    }

    fn strlen(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let key = input.key(argv);
        int(self.text(&key)?.map_or(0, |text| text.len()))
    }

    fn incrby(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let key = input.key(argv);
        let by: i64 = input.of(&[1, 2, -1, 100, -1_000_000, i64::MAX]);
        push(argv, by);
        let was = match self.text(&key)? {
            Some(text) => number(text).ok_or(NOT_AN_INTEGER)?,
            None => 0,
        };
        let n = was.checked_add(by).ok_or(OVERFLOW)?;
        *self.text_or_new(&key)? = n.to_string().into_bytes();
        Ok(Reply::Is(Value::Int(n)))
    }

    fn setrange(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let key = input.key(argv);
        let at = input.of(&[0, 1, 5, 60]);
        push(argv, at);
        let part = input.word(argv);
        if part.is_empty() {
            return int(self.text(&key)?.map_or(0, |text| text.len()));
        }
        let text = self.text_or_new(&key)?;
        let len = text.len().max(at + part.len());
        text.resize(len, 0);
        text[at..at + part.len()].copy_from_slice(&part);
        int(len)
    }

    fn getrange(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let key = input.key(argv);
        let (first, last) = (input.index(argv), input.index(argv));
        let text = self.text(&key)?.cloned().unwrap_or_default();
        // Two ends before the beginning, the wrong way round, are nothing; else what lies before it counts as the first byte.
        let backwards = first < 0 && last < 0 && first > last;
        let (len, last) = (
            text.len(),
            if last < -(text.len() as i64) { 0 } else { last },
        );
        let part = if backwards {
            0..0
        } else {
            range(len, first, last)
        };
        bulk(&text[part])
    }

    fn mset(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        for _ in 0..1 + input.byte() % 3 {
            let key = input.key(argv);
            let value = input.word(argv);
            self.put(&key, Data::Text(value), None);
        }
        ok()
    }

    fn mget(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let mut values = Vec::new();
        for _ in 0..1 + input.byte() % 4 {
            let key = input.key(argv);
            let text = self.text(&key).ok().flatten().cloned();
            values.push(text.map_or(Value::Null, Value::Bulk));
        }
        Ok(Reply::Is(Value::Array(values)))
    }

    fn del(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let mut count = 0;
        for _ in 0..1 + input.byte() % 2 {
            let key = input.key(argv);
            count += usize::from(self.remove(&key).is_some());
        }
        int(count)
    }

    fn exists(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let mut count = 0;
        for _ in 0..1 + input.byte() % 3 {
            let key = input.key(argv);
            count += usize::from(self.entry(&key).is_some());
        }
        int(count)
    }

    fn pexpireat(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let key = input.key(argv);
        let at = self.time(input, argv);
        let condition = input.option(argv, &["NX", "XX", "GT", "LT"]);
        let Some(entry) = self.entry(&key) else {
            return int(0);
        };
        let changes = match (condition, entry.expiry_ms) {
            ("NX", was) => was.is_none(),
            ("XX", was) => was.is_some(),
            ("GT", was) => was.is_some_and(|was| at > was),
            ("LT", was) => was.is_none_or(|was| at < was),
            _ => true,
        };
        if changes {
            entry.expiry_ms = Some(at);
        }
        int(usize::from(changes))
    }

    fn persist(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let key = input.key(argv);
        let had = self.entry(&key).and_then(|entry| entry.expiry_ms.take());
        int(usize::from(had.is_some()))
    }

    fn pexpiretime(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let key = input.key(argv);
        let at = self.entry(&key).map(|entry| entry.expiry_ms);
        let time = at.map_or(-2, |at| at.map_or(-1, |at| at as i64));
        Ok(Reply::Is(Value::Int(time)))
    }

    fn type_of(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let key = input.key(argv);
        let name = match self.entry(&key).map(|entry| &entry.data) {
            None => "none",
            Some(Data::Text(_)) => "string",
            Some(Data::Hash(_)) => "hash",
            Some(Data::List(_)) => "list",
            Some(Data::Set(_)) => "set",
            Some(Data::Sorted(_)) => "zset",
        };
        Ok(Reply::Is(Value::Simple(name.into())))
    }

    fn rename(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let (from, to) = (input.key(argv), input.key(argv));
        let entry = self.remove(&from).ok_or(NO_SUCH_KEY)?;
        self.keys.insert(to, entry);
        ok()
    }

    fn copy(&mut self, input: &mut Input<'_>, argv: &mut Vec<Vec<u8>>) -> Answer {
        let (from, to) = (input.key(argv), input.key(argv));
        let replaces = input.option(argv, &["REPLACE"]) == "REPLACE";
        if from == to {
            return Err("ERR source and destination objects are the same");
        }
        let there = self.entry(&to).is_some();
        match self.entry(&from).cloned() {
            Some(entry) if replaces || !there => {
                self.keys.insert(to, entry);
                int(1)
            }
            _ => int(0),
        }
    }
}

/// Commands of a family, each with its method; more often drawn if it is there twice.
pub(super) type Family = &'static [(&'static str, Draw)];
