//! Values of every type through dump and restore, and payloads that something happened to on the way.

use proptest::prelude::*;
use redpoll_rdb::encode::Options;
use redpoll_rdb::payload::{self, Refused, dump, restore, seal};
use redpoll_rdb::{Loaded, Settings, kinds, writer};
use std::collections::{BTreeMap, BTreeSet};
use store::types::hash::{self, Expiry, Hash};
use store::types::list::{self, End, Item, List};
use store::types::set::{self, Set};
use store::types::sorted_set::{self, SortedSet};
use store::types::stream::{self, Group, Pending, Stream, StreamId};
use store::{Collection, Dict, NewValue, Object};

/// Cases a property test runs: `RDB_PROPTEST_CASES` if set, else `default`.
fn cases(default: u32) -> u32 {
    std::env::var("RDB_PROPTEST_CASES")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

const NOW_MS: u64 = 1_700_000_000_000;

/// Limits so small that a few elements reach every form.
const SETTINGS: Settings = Settings {
    now_ms: NOW_MS,
    list: list::Limits {
        max_listpack_size: 4,
        packed_threshold: 100,
    },
    set: set::Limits {
        intset_entries: 6,
        listpack_entries: 4,
        listpack_value: 20,
    },
    hash: hash::Limits {
        entries: 4,
        value: 20,
    },
    sorted_set: sorted_set::Limits {
        entries: 4,
        member: 20,
    },
    stream: stream::Limits {
        node_bytes: 200,
        node_entries: 3,
    },
};

fn options(compress: bool) -> Options {
    Options {
        compress,
        now_ms: NOW_MS,
        stream: SETTINGS.stream,
    }
}

/// The payload of a value that a key is given.
fn dumped(value: NewValue<'_>, compress: bool) -> Vec<u8> {
    let mut dict = Dict::new();
    dict.set(1, b"key", value, None, 0);
    dump(&dict.get(1, b"key").unwrap(), &options(compress)).unwrap()
}

fn object(collection: impl Collection) -> NewValue<'static> {
    NewValue::Object(Box::new(collection.into_object()))
}

fn loaded(payload: &[u8]) -> Object {
    match restore(payload, &SETTINGS) {
        Ok(Loaded::Object(object)) => object,
        other => panic!("no collection: {other:?}"),
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..8),
        3 => (-10_000_000_000i64..10_000_000_000).prop_map(|n| n.to_string().into_bytes()),
        2 => (0i64..200).prop_map(|n| n.to_string().into_bytes()),
        1 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        1 => (0usize..6000).prop_map(|n| vec![b'y'; n]),
    ]
}

/// An entry of a stream: how much later it is than the one before, its fields and values.
type Step = (u64, Vec<(Vec<u8>, Vec<u8>)>);

#[derive(Clone, Debug)]
enum Model {
    String(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    SortedSet(BTreeMap<Vec<u8>, f64>),
    Hash(BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>),
    Stream(Vec<Step>),
}

fn model() -> impl Strategy<Value = Model> {
    let score = prop_oneof![
        any::<i32>().prop_map(f64::from),
        any::<f64>().prop_filter("a score", |x| !x.is_nan())
    ];
    let due = prop_oneof![3 => Just(None), 1 => (1u64..1 << 40).prop_map(|ms| Some(NOW_MS + ms))];
    let pairs = prop::collection::vec((text(), text()), 1..4);
    prop_oneof![
        text().prop_map(Model::String),
        prop::collection::vec(text(), 1..15).prop_map(Model::List),
        prop::collection::btree_set(text(), 1..10).prop_map(Model::Set),
        prop::collection::btree_set(
            (-300i64..300).prop_map(|n| n.to_string().into_bytes()),
            1..10
        )
        .prop_map(Model::Set),
        prop::collection::btree_map(text(), score, 1..10).prop_map(Model::SortedSet),
        prop::collection::btree_map(text(), (text(), due), 1..10).prop_map(Model::Hash),
        prop::collection::vec((1u64..1000, pairs), 0..12).prop_map(Model::Stream),
    ]
}

fn build(model: &Model, compress: bool) -> Vec<u8> {
    match model {
        Model::String(text) => dumped(store::new_value(text), compress),
        Model::List(items) => {
            let mut list = List::new();
            for item in items {
                list.push(End::Back, std::iter::once(Item::Bytes(item)), SETTINGS.list);
            }
            dumped(object(list), compress)
        }
        Model::Set(members) => {
            let mut set = Set::new();
            for member in members {
                set.insert(member, SETTINGS.set);
            }
            dumped(object(set), compress)
        }
        Model::SortedSet(members) => {
            let mut set = SortedSet::new();
            for (member, score) in members {
                set.insert(member, *score, SETTINGS.sorted_set);
            }
            dumped(object(set), compress)
        }
        Model::Hash(fields) => {
            let mut hash = Hash::new();
            for (field, (value, due)) in fields {
                let expiry = due.map_or(Expiry::Clear, Expiry::At);
                hash.set(field, value, expiry, NOW_MS, SETTINGS.hash);
            }
            dumped(object(hash), compress)
        }
        Model::Stream(entries) => dumped(object(stream_of(entries)), compress),
    }
}

/// A stream of these entries, each so much later than the one before, some deleted, with a group that has read some.
fn stream_of(entries: &[Step]) -> Stream {
    let mut stream = Stream::new();
    let mut id = StreamId::new(5, 0);
    let mut group = Group::new(StreamId::new(6, 0), Some(2));
    let (one, _) = group.consumer_or_new(b"one", NOW_MS as i64);
    group.consumer_or_new(b"two", NOW_MS as i64 + 1);
    for (i, (step, pairs)) in entries.iter().enumerate() {
        id = if step % 3 == 0 {
            id.next().unwrap()
        } else {
            StreamId::new(id.ms + step, step % 2)
        };
        let texts: Vec<&[u8]> = pairs.iter().flat_map(|(n, v)| [n.as_slice(), v]).collect();
        stream.append(id, &texts, SETTINGS.stream);
        if i % 4 == 1 {
            group.assign(
                id,
                Pending {
                    consumer: one,
                    delivered_ms: 77,
                    deliveries: i as u64,
                },
            );
        }
        if i % 5 == 2 {
            stream.delete(id);
        }
    }
    stream.create_group(b"group", group);
    stream
}

/// What can be seen of a stream.
fn shown(stream: &Stream) -> String {
    use std::fmt::Write;
    let view = stream.view();
    let mut out = format!(
        "{} {} {} {} {}\n",
        view.len(),
        view.first_id(),
        view.last_id(),
        view.max_deleted_id(),
        view.entries_added()
    );
    for entry in view.range(StreamId::MIN, StreamId::MAX) {
        let pairs: Vec<_> = entry
            .pairs()
            .map(|(n, v)| (n.to_vec(), v.to_vec()))
            .collect();
        writeln!(out, "{} {pairs:?}", entry.id).unwrap();
    }
    for (name, group) in view.groups() {
        writeln!(out, "{name:?} {} {:?}", group.last_id, group.entries_read).unwrap();
        for (id, pending) in group.pending_from(StreamId::MIN) {
            writeln!(out, "{id} {} {}", pending.delivered_ms, pending.deliveries).unwrap();
        }
        for consumer in group.consumers() {
            let ids: Vec<_> = consumer.pending_from(StreamId::MIN).collect();
            writeln!(out, "{:?} {} {ids:?}", consumer.name, consumer.seen_ms).unwrap();
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(600)))]

    #[test]
    fn round_trip(model in model(), compress in any::<bool>()) {
        let payload = build(&model, compress);
        match &model {
            Model::String(text) => match restore(&payload, &SETTINGS) {
                Ok(Loaded::String(read)) => prop_assert_eq!(&read, text),
                other => panic!("{other:?}"),
            },
            Model::List(items) => {
                let object = loaded(&payload);
                let list = List::of(&object).unwrap();
                let read: Vec<_> = list.view().iter().map(|i| i.to_vec()).collect();
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
        writer::string(&mut bytes, &body, false);
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
    for version in [13, 40, 79, 81, u16::MAX] {
        let mut bytes = good[..good.len() - 10].to_vec();
        seal(&mut bytes, version);
        assert_eq!(
            restore(&bytes, &SETTINGS).unwrap_err(),
            Refused::Footer,
            "version {version}"
        );
    }
    assert_eq!(restore(b"", &SETTINGS).unwrap_err(), Refused::Footer);
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
    writer::length(&mut body, due);
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
        writer::string(&mut bytes, z, false);
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
        let read: Vec<_> = List::of(&object)
            .unwrap()
            .view()
            .iter()
            .map(|i| i.to_vec())
            .collect();
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
