//! Values of every type through dump and restore, and payloads that something happened to on the way.

mod model;

use model::{
    Model, NOW_MS, SETTINGS, build, cases, dumped, loaded, model, object, options, shown, stream_of,
};
use proptest::prelude::*;
use redpoll_rdb::encode::Options;
use redpoll_rdb::payload::{self, Refused, restore, seal};
use redpoll_rdb::{Loaded, Version, kinds, put};
use std::collections::{BTreeMap, BTreeSet};
use store::types::hash::{Expiry, Hash};
use store::types::list::List;
use store::types::set::Set;
use store::types::sorted_set::SortedSet;
use store::types::stream::Stream;
use store::{Collection, Dict, NewValue};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(600)))]

    #[test]
    fn round_trip(model in model(), compress in any::<bool>()) {
        let payload = build(&model, compress);
        match &model {
            Model::String(text) => match restore(&payload, &SETTINGS) {
                Ok(Loaded::String(read)) => prop_assert_eq!(&*read, &text[..]),
                other => panic!("{other:?}"),
            },
            Model::List(items) => {
                let object = loaded(&payload);
                let list = List::of(&object).unwrap();
                let read: Vec<_> = list.view().iter().texts().collect();
                prop_assert_eq!(&read, items);
            }
            Model::Set(members) => {
                let object = loaded(&payload);
                let mut read = BTreeSet::new();
                Set::of(&object).unwrap().view().for_each(|m| { read.insert(m.to_vec()); });
                prop_assert_eq!(&read, members);
            }
            Model::SortedSet(members) => {
                let object = loaded(&payload);
                let set = SortedSet::of(&object).unwrap();
                let read: BTreeMap<_, _> = set.view().entries().map(|(m, s)| (m.to_vec(), s)).collect();
                prop_assert_eq!(&read, members);
            }
            Model::Hash(fields) => {
                let object = loaded(&payload);
                let hash = Hash::of(&object).unwrap();
                let read: BTreeMap<_, _> = hash
                    .view()
                    .iter(NOW_MS)
                    .map(|(name, f)| (name.to_vec(), (f.value.to_vec(), f.due_ms)))
                    .collect();
                prop_assert_eq!(&read, fields);
            }
            Model::Stream(entries) => {
                let object = loaded(&payload);
                prop_assert_eq!(shown(Stream::of(&object).unwrap()), shown(&stream_of(entries)));
            }
        }
    }

    /// A checksum keeps accidents away, not intent: whatever stands before a right one must be harmless.
    #[test]
    fn damage_is_harmless(
        model in model(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..4),
        version in prop_oneof![Just(10u16), Just(12), Just(80)],
    ) {
        let mut bytes = build(&model, false);
        bytes.truncate(bytes.len() - 10);
        for (at, byte, how) in damage {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 if bytes.len() > 1 => { bytes.remove(at); }
                _ => bytes.truncate(at + 1),
            }
        }
        seal(&mut bytes, version);
        if let Ok(Loaded::Object(object)) = restore(&bytes, &SETTINGS) {
            // What was taken can be written and read again.
            if !object.is_empty() {
                let again = dumped(NewValue::Object(Box::new(object)), true);
                prop_assert!(restore(&again, &SETTINGS).is_ok());
            }
        }
    }

    /// Any bytes at all, as every type there is.
    #[test]
    fn any_bytes_are_harmless(kind in 0u8..30, body in prop::collection::vec(any::<u8>(), 0..120)) {
        let mut bytes = [&[kind], body.as_slice()].concat();
        seal(&mut bytes, 12);
        let _ = restore(&bytes, &SETTINGS);
        // The same inside of a string, where packed forms stand.
        let mut bytes = vec![kind];
        put::string(&mut bytes, &body, false);
        seal(&mut bytes, 80);
        let _ = restore(&bytes, &SETTINGS);
    }
}

#[test]
fn footers_are_checked() {
    let good = dumped(NewValue::Int(5), true);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert_eq!(
            restore(&bad, &SETTINGS).unwrap_err(),
            Refused::Footer,
            "byte {at}"
        );
    }
    for version in [15, 40, 79, 81, u16::MAX] {
        let mut bytes = good[..good.len() - 10].to_vec();
        seal(&mut bytes, version);
        assert_eq!(
            restore(&bytes, &SETTINGS).unwrap_err(),
            Refused::Footer,
            "version {version}"
        );
    }
    assert_eq!(restore(b"", &SETTINGS).unwrap_err(), Refused::Footer);
    let mut unsummed = good;
    let end = unsummed.len();
    unsummed[end - 8..].fill(0);
    assert_eq!(restore(&unsummed, &SETTINGS).unwrap_err(), Refused::Footer);
}

#[test]
fn what_no_server_writes_is_refused() {
    let refused = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        seal(&mut bytes, 10);
        assert!(
            matches!(restore(&bytes, &SETTINGS), Err(Refused::Value(_))),
            "{bytes:?}"
        );
    };
    refused(&[]);
    // Collections without elements, counts beyond the bytes there are, a module's value, something left over.
    refused(&[kinds::SET, 0]);
    refused(&[kinds::HASH, 0]);
    refused(&[
        kinds::SET,
        0x81,
        0xff,
        0xff,
        0xff,
        0xff,
        0xff,
        0xff,
        0xff,
        0xff,
    ]);
    refused(&[
        kinds::STRING,
        0x81,
        0xff,
        0xff,
        0xff,
        0xff,
        0xff,
        0xff,
        0xff,
        0xff,
    ]);
    refused(&[7, 0]);
    refused(&[kinds::STRING, 1, b'a', 0]);
    // Twice the same member, and a score that is no number.
    refused(&[kinds::SET, 2, 1, b'a', 1, b'a']);
    let nan = [
        &[kinds::ZSET_2, 1, 1, b'a'],
        f64::NAN.to_le_bytes().as_slice(),
    ]
    .concat();
    refused(&nan);
    // A short string that claims to become a huge one.
    refused(&[
        kinds::STRING,
        0xc3,
        2,
        0x81,
        0,
        0,
        0,
        0xff,
        0xff,
        0xff,
        0xff,
        0xff,
        0,
        b'a',
    ]);
}

#[test]
fn hashes_of_every_dialect() {
    let read = |body: &[u8], version: u16| -> Vec<(Vec<u8>, Vec<u8>, Option<u64>)> {
        let mut bytes = body.to_vec();
        seal(&mut bytes, version);
        let object = loaded(&bytes);
        let hash = Hash::of(&object).unwrap().view();
        let mut fields: Vec<_> = hash
            .iter(NOW_MS)
            .map(|(name, f)| (name.to_vec(), f.value.to_vec(), f.due_ms))
            .collect();
        fields.sort();
        fields
    };
    let due = NOW_MS + 1000;
    let expected = vec![
        (b"a".to_vec(), b"1".to_vec(), None),
        (b"b".to_vec(), b"2".to_vec(), Some(due)),
    ];
    let mut body = vec![kinds::HASH_METADATA];
    body.extend(due.to_le_bytes());
    body.extend([2, 0, 1, b'a', 1, b'1', 1, 1, b'b', 1, b'2']);
    assert_eq!(read(&body, 12), expected);
    let mut body = vec![kinds::HASH_22, 2, 1, b'a', 1, b'1'];
    body.extend(u64::MAX.to_le_bytes());
    body.extend([1, b'b', 1, b'2']);
    body.extend(due.to_le_bytes());
    assert_eq!(read(&body, 80), expected);
    let mut body = vec![kinds::HASH_22, 2, 0, 1, b'a', 1, b'1'];
    put::length(&mut body, due);
    body.extend([1, b'b', 1, b'2']);
    assert_eq!(read(&body, 12), expected);
    // Fields that have expired are not there; without them the hash may be empty.
    let mut body = vec![kinds::HASH_22, 1, 1, b'a', 1, b'1'];
    body.extend((NOW_MS - 1).to_le_bytes());
    assert_eq!(read(&body, 80), vec![]);
}

/// Payloads of before listpacks, as Redis 5 and 6 write them.
#[test]
fn ziplists() {
    let ziplist = |entries: &[u8], count: u8| {
        let mut z = Vec::new();
        z.extend((entries.len() as u32 + 11).to_le_bytes());
        z.extend([10, 0, 0, 0, count, 0]);
        z.extend_from_slice(entries);
        z.push(0xff);
        z
    };
    let payload = |kind: u8, head: &[u8], z: &[u8]| {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(head);
        put::string(&mut bytes, z, false);
        seal(&mut bytes, 9);
        bytes
    };
    // "ab", 5, -2, 1000, 100000
    let entries = [
        0, 2, b'a', b'b', 4, 0xf6, 2, 0xfe, 0xfe, 3, 0xc0, 0xe8, 3, 4, 0xf0, 0xa0, 0x86, 1,
    ];
    let z = ziplist(&entries, 5);
    let expected: Vec<Vec<u8>> = ["ab", "5", "-2", "1000", "100000"]
        .map(|t| t.as_bytes().to_vec())
        .into();
    for bytes in [
        payload(kinds::LIST_QUICKLIST, &[1], &z),
        payload(kinds::LIST_ZIPLIST, &[], &z),
    ] {
        let object = loaded(&bytes);
        let read: Vec<_> = List::of(&object).unwrap().view().iter().texts().collect();
        assert_eq!(read, expected);
    }
    let pair = ziplist(&[0, 1, b'm', 3, 3, b'1', b'.', b'5'], 2);
    let object = loaded(&payload(kinds::ZSET_ZIPLIST, &[], &pair));
    assert_eq!(
        SortedSet::of(&object).unwrap().view().score(b"m"),
        Some(1.5)
    );
    let object = loaded(&payload(kinds::HASH_ZIPLIST, &[], &pair));
    let field = Hash::of(&object).unwrap().view().get(b"m", NOW_MS).unwrap();
    assert_eq!(field.value.to_vec(), b"1.5");
    let half = ziplist(&entries, 5);
    assert!(restore(&payload(kinds::HASH_ZIPLIST, &[], &half), &SETTINGS).is_err());
}

#[test]
fn the_version_is_the_lowest_that_will_do() {
    let version =
        |bytes: &[u8]| u16::from_le_bytes([bytes[bytes.len() - 10], bytes[bytes.len() - 9]]);
    let mut hash = Hash::new();
    hash.set(b"f", b"v", Expiry::Clear, NOW_MS, SETTINGS.hash);
    assert_eq!(version(&dumped(object(hash.clone()), true)), 10);
    hash.set_expiry(b"f", Some(NOW_MS + 5));
    assert_eq!(version(&dumped(object(hash.clone()), true)), 12);
    // Nothing is left of it when all has expired.
    let mut dict = Dict::new();
    dict.set(1, b"key", object(hash), None, 0);
    let later = Options {
        now_ms: NOW_MS + 6,
        ..options(true)
    };
    assert_eq!(payload::dump(&dict.get(1, b"key").unwrap(), &later), None);
}

/// Redis 8.6 puts what modules know of a key before the value.
#[test]
fn metadata_before_a_value() {
    let payload = |flags: u8, version: u16| {
        let class = (1u32 << 8 | u32::from(flags)).to_le_bytes();
        let mut bytes = [&[243, 1][..], &class, &[2, 7, 0, kinds::STRING, 1, b'v']].concat();
        seal(&mut bytes, version);
        bytes
    };
    match restore(&payload(1, 13), &SETTINGS) {
        Ok(Loaded::String(text)) => assert_eq!(&*text, b"v"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        restore(&payload(0, 13), &SETTINGS),
        Err(Refused::Value(_))
    ));
    // In Valkey the byte means something else, which no payload has.
    assert!(matches!(
        restore(&payload(1, 80), &SETTINGS),
        Err(Refused::Value(_))
    ));
}

#[test]
fn fields_that_expire_are_dumped_in_the_dialect_asked_for() {
    let due = NOW_MS + 1000;
    let mut hash = Hash::new();
    hash.set(b"f", b"v", Expiry::Clear, NOW_MS, SETTINGS.hash);
    hash.set(b"g", b"w", Expiry::At(due), NOW_MS, SETTINGS.hash);
    let mut dict = Dict::new();
    dict.set(1, b"key", object(hash), None, 0);
    let entry = dict.get(1, b"key").unwrap();
    for (asked, kind, version) in [
        (Version::V9, kinds::HASH_METADATA, 12u16),
        (Version::V11, kinds::HASH_METADATA, 12),
        (Version::V12, kinds::HASH_METADATA, 12),
        (Version::Valkey80, kinds::HASH_22, 80),
    ] {
        let options = Options {
            version: asked,
            ..options(true)
        };
        let bytes = payload::dump(&entry, &options).unwrap();
        let footer = &bytes[bytes.len() - 10..][..2];
        assert_eq!((bytes[0], footer), (kind, &version.to_le_bytes()[..]));
        let object = loaded(&bytes);
        let read = Hash::of(&object).unwrap().view();
        assert_eq!(read.get(b"g", NOW_MS).unwrap().due_ms, Some(due));
        assert_eq!(read.get(b"f", NOW_MS).unwrap().due_ms, None);
    }
}
