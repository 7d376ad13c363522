//! How fast files are written and read, on one core and from memory:
//! `cargo run --release -p redpoll-rdb --example speed [keys] [bytes of a value]`.
//!
//! Figures are megabytes of file a second.

use redpoll_rdb::encode::{Head, Meta, Options, Pieces};
use redpoll_rdb::file::{Item, ReadOptions, Reader, Writer};
use redpoll_rdb::{Loaded, Settings, Version, crc64};
use std::hint::black_box;
use std::time::Instant;
use store::packed::Item as Element;
use store::types::hash;
use store::{Dict, NewValue};

const SETTINGS: Settings = Settings::usual(1_700_000_000_000);

fn options(compress: bool) -> Options {
    Options {
        version: Version::V11,
        compress,
        now_ms: SETTINGS.now_ms,
        for_replica: false,
    }
}

/// Runs something three times and prints the best speed.
fn measure<T>(what: &str, bytes: usize, mut f: impl FnMut() -> T) -> T {
    let mut best = f64::MAX;
    let mut last = None;
    for _ in 0..3 {
        let start = Instant::now();
        last = Some(black_box(f()));
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{what:<50} {:>7.0} MB/s", bytes as f64 / 1e6 / best);
    match last {
        Some(last) => last,
        None => unreachable!("it ran three times"),
    }
}

/// Bytes that no compression shortens.
fn noise(n: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(n)
    .collect()
}

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|a| a.parse().ok());
    let keys: usize = args.next().unwrap_or(3_000_000);
    let size: usize = args.next().unwrap_or(256);

    let plain = noise(64 << 20, 1);
    measure("checksum", plain.len(), || crc64::update(0, &plain));

    let values: Vec<Vec<u8>> = (0..64).map(|i| noise(size, i + 2)).collect();
    let mut dict = Dict::new();
    for (i, value) in values.iter().enumerate() {
        drop(dict.set(i as u64, &i.to_le_bytes(), store::new_value(value), None, 0));
    }
    let entries: Vec<_> = (0..64usize)
        .filter_map(|i| dict.get(i as u64, &i.to_le_bytes()))
        .collect();
    let write = |checksum: bool, compress: bool| {
        let mut writer = Writer::new(Vec::with_capacity(1 << 30), Version::V11, checksum);
        let options = options(compress);
        let mut key = *b"key:000000000000";
        for i in 0..keys {
            let mut n = i;
            for digit in key[4..].iter_mut().rev() {
                *digit = b'0' + (n % 10) as u8;
                n /= 10;
            }
            let meta = Meta {
                key: &key,
                expiry_ms: None,
                hint: None,
                kept: false,
            };
            let written = writer.entry(&meta, &entries[i % 64], &options);
            assert!(matches!(written, Ok(Ok(true))));
        }
        match writer.finish() {
            Ok((bytes, _)) => bytes,
            Err(error) => panic!("{error}"),
        }
    };
    let bytes = keys * (size + 20);
    println!("{keys} strings of {size} bytes");
    measure("written, no checksum, no compression", bytes, || {
        write(false, false).len()
    });
    measure(
        "written, checksum, compression tried in vain",
        bytes,
        || write(true, true).len(),
    );
    let file = measure("written, checksum, no compression", bytes, || {
        write(true, false)
    });
    read_all("", &file);

    let mut hash = <hash::Hash as store::Collection>::new();
    for i in 0..10 {
        let (name, value) = (format!("field{i}"), format!("a value of {i}"));
        let (name, value) = (name.as_bytes(), value.as_bytes());
        hash.set(name, value, hash::Expiry::Clear, 0, SETTINGS.hash);
    }
    let object = store::Collection::into_object(hash);
    let mut dict = Dict::new();
    drop(dict.set(1, b"h", NewValue::Object(Box::new(object)), None, 0));
    if let Some(entry) = dict.get(1, b"h") {
        let n = keys / 4;
        let write = |compress| {
            let mut writer = Writer::new(Vec::new(), Version::V11, true);
            let options = options(compress);
            for i in 0..n {
                let key = i.to_string();
                let meta = Meta {
                    key: key.as_bytes(),
                    expiry_ms: None,
                    hint: None,
                    kept: false,
                };
                assert!(matches!(
                    writer.entry(&meta, &entry, &options),
                    Ok(Ok(true))
                ));
            }
            writer.finish().map(|(bytes, _)| bytes).unwrap_or_default()
        };
        println!("{n} hashes of 10 fields");
        let file = write(false);
        measure("written, compression", file.len(), || write(true).len());
        measure("written, no compression", file.len(), || write(false).len());
        read_all("", &file);
        read_all(" compressed", &write(true));
    }

    let members = keys as u64;
    println!("a sorted set of {members} members");
    let write = || {
        let mut writer = Writer::new(Vec::new(), Version::V11, true);
        let (options, mut out) = (options(true), Vec::new());
        let meta = Meta {
            key: b"large",
            expiry_ms: None,
            hint: None,
            kept: false,
        };
        let head = Head::SortedSet(members);
        if let Ok(mut pieces) = Pieces::begin(&mut out, &meta, head, &options) {
            for i in (0..members).rev() {
                let member = format!("member:{i:09}");
                let _ = pieces.scored(&mut out, Element::Bytes(member.as_bytes()), i as f64);
                if out.len() > 100_000 {
                    let _ = writer.encoded(&out);
                    out.clear();
                }
            }
            let _ = writer.encoded(&out);
        }
        writer.finish().map(|(bytes, _)| bytes).unwrap_or_default()
    };
    let file = write();
    measure("written in pieces", file.len(), || write().len());
    read_all("", &file);
}

fn read_all(what: &str, file: &[u8]) {
    let items = |options: ReadOptions, load: bool| {
        let mut reader = Reader::new(file, options);
        let mut bytes = 0;
        let mut assembly = redpoll_rdb::file::Assembly::new();
        loop {
            match reader.next() {
                Ok(Some(Item::Entry(entry))) if load => match assembly.add(&entry, &SETTINGS) {
                    Ok(redpoll_rdb::file::Built::Value(Loaded::String(text))) => {
                        bytes += text.len()
                    }
                    Ok(_) => bytes += 1,
                    Err(error) => panic!("{error}"),
                },
                Ok(Some(_)) => bytes += 1,
                Ok(None) => return bytes,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let unverified = ReadOptions {
        verify: false,
        ..ReadOptions::default()
    };
    let found = |options| {
        let mut reader = Reader::new(file, options);
        let mut bytes = 0;
        loop {
            match reader.next_batch() {
                Ok(Some(batch)) => {
                    bytes += batch.len();
                    reader.recycle(batch);
                }
                Ok(None) => return bytes,
                Err(error) => panic!("{error}"),
            }
        }
    };
    measure(&format!("found{what}, no checksum"), file.len(), || {
        found(unverified)
    });
    measure(&format!("found{what}, checksum"), file.len(), || {
        found(ReadOptions::default())
    });
    measure(
        &format!("read{what}, checksum, values built"),
        file.len(),
        || items(ReadOptions::default(), true),
    );
}
