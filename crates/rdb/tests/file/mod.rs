//! Files in tests: what to write, written, and read a few bytes at a time.

#![allow(dead_code, missing_docs)]

use crate::model::{Model, NOW_MS, SETTINGS, model, options, stored, text};
use proptest::prelude::*;
use redpoll_rdb::encode::{Hint, Meta, Options};
use redpoll_rdb::file::{Assembly, Built, Error, Item, ReadOptions, Reader, Summary, Writer, show};
use redpoll_rdb::{Loaded, Version};
use std::io::{self, Read};

/// Bytes that come so many at a time, and a check that nobody makes much more room than has come.
pub struct Trickle<'a> {
    pub rest: &'a [u8],
    pub step: usize,
    pub given: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        assert!(
            buf.len() <= self.given.max(256 << 10),
            "room for {}",
            buf.len()
        );
        let n = self.step.min(buf.len());
        let n = self.rest.read(&mut buf[..n])?;
        self.given += n;
        Ok(n)
    }
}

pub fn reader(bytes: &[u8], step: usize, options: ReadOptions) -> Reader<Trickle<'_>> {
    let source = Trickle {
        rest: bytes,
        step,
        given: 0,
    };
    Reader::new(source, options)
}

/// An entry as it was read: database, key, expiry, hint, value.
pub type Shown = (u32, Vec<u8>, Option<u64>, Option<Hint>, String);

#[derive(Debug, Default, PartialEq)]
pub struct Contents {
    pub entries: Vec<Shown>,
    pub other: Vec<String>,
    pub pieces: usize,
}

pub fn read(bytes: &[u8], step: usize, options: ReadOptions) -> Result<(Contents, Summary), Error> {
    let mut reader = reader(bytes, step, options);
    let mut contents = Contents::default();
    let mut assembly = Assembly::new();
    while let Some(item) = reader.next()? {
        match item {
            Item::Entry(entry) => {
                contents.pieces += usize::from(entry.piece.is_some());
                let shown = match assembly.add(&entry, &SETTINGS)? {
                    Built::More => continue,
                    Built::Value(value) => show(&value, NOW_MS),
                    Built::Nothing => "nothing".to_owned(),
                };
                let key = entry.key.to_vec();
                contents
                    .entries
                    .push((entry.db, key, entry.expiry_ms, entry.hint, shown));
            }
            other => contents.other.push(format!("{other:?}")),
        }
    }
    Ok((contents, reader.summary().expect("it has come to the end")))
}

pub fn shown(model: &Model) -> String {
    let dict = stored(model);
    let entry = dict.get(1, b"key").unwrap();
    if let Some(object) = entry.own_object() {
        return show(&Loaded::Object(object.clone()), NOW_MS);
    }
    let payload = redpoll_rdb::payload::dump(&entry, &options(false)).unwrap();
    let value = redpoll_rdb::payload::restore(&payload, &SETTINGS);
    show(&value.unwrap(), NOW_MS)
}

#[derive(Clone, Debug)]
pub struct Put {
    pub db: u32,
    pub key: Vec<u8>,
    pub expiry_ms: Option<u64>,
    pub hint: Option<Hint>,
    pub value: Model,
}

pub fn put() -> impl Strategy<Value = Put> {
    let hint = prop_oneof![
        2 => Just(None),
        1 => (0u64..1 << 20).prop_map(|s| Some(Hint::Idle(s))),
        1 => any::<u8>().prop_map(|n| Some(Hint::Frequency(n))),
    ];
    let expiry = prop_oneof![2 => Just(None), 1 => (0u64..1 << 50).prop_map(Some)];
    (0u32..3, text(), expiry, hint, model()).prop_map(|(db, key, expiry_ms, hint, value)| Put {
        db,
        key,
        expiry_ms,
        hint,
        value,
    })
}

pub fn has_timed_fields(model: &Model) -> bool {
    matches!(model, Model::Hash(fields) if fields.values().any(|(_, due)| due.is_some()))
}

pub fn options_of(version: Version, compress: bool) -> Options {
    Options {
        version,
        ..options(compress)
    }
}

pub fn written(puts: &[Put], version: Version, compress: bool, checksum: bool) -> Vec<u8> {
    let options = options_of(version, compress);
    let mut writer = Writer::new(Vec::new(), version, checksum);
    writer.aux("redis-ver", b"8.0.0").unwrap();
    writer.aux("redis-bits", b"64").unwrap();
    writer
        .function(b"#!lua name=f\nreturn 1", compress)
        .unwrap();
    let mut db = None;
    for put in puts {
        if db != Some(put.db) {
            db = Some(put.db);
            writer.select(put.db).unwrap();
            writer.resize(puts.len() as u64, 7).unwrap();
        }
        let meta = Meta {
            key: &put.key,
            expiry_ms: put.expiry_ms,
            hint: put.hint,
            kept: false,
        };
        let dict = stored(&put.value);
        let entry = dict.get(1, b"key").unwrap();
        let before = writer.len();
        let done = writer.entry(&meta, &entry, &options).unwrap();
        if version < Version::V11 && has_timed_fields(&put.value) {
            assert!(done.is_err(), "there is no form for it");
            assert_eq!(writer.len(), before);
        } else {
            assert_eq!(done, Ok(true));
        }
    }
    writer.finish().unwrap().0
}

pub fn expected(puts: &[Put], version: Version) -> Vec<Shown> {
    puts.iter()
        .filter(|put| version >= Version::V11 || !has_timed_fields(&put.value))
        .map(|put| {
            let text = sayable(version, &put.value, shown(&put.value));
            (put.db, put.key.clone(), put.expiry_ms, put.hint, text)
        })
        .collect()
}

/// What of a value's text the version can say: the first form of streams has few numbers, whose readers make them up from
/// what is there; the second does not know when a consumer was last active.
pub fn sayable(version: Version, model: &Model, text: String) -> String {
    let cut = match (model, version) {
        (Model::Stream(_), Version::V9) => " last ",
        (Model::Stream(_), Version::V10) => ", consumer ",
        _ => return text,
    };
    text.split(cut).next().unwrap_or_default().to_owned()
}

pub fn comparable(version: Version, puts: &[Put], mut entries: Vec<Shown>) -> Vec<Shown> {
    let held = puts
        .iter()
        .filter(|put| version >= Version::V11 || !has_timed_fields(&put.value));
    for (entry, put) in entries.iter_mut().zip(held) {
        entry.4 = sayable(version, &put.value, std::mem::take(&mut entry.4));
    }
    entries
}
