//! Values as simple models, and how they are built and shown.

#![allow(dead_code, missing_docs)]

use proptest::prelude::*;
use redpoll_rdb::encode::Options;
use redpoll_rdb::payload::{dump, restore};
use redpoll_rdb::{Loaded, Settings, Version};
use std::collections::{BTreeMap, BTreeSet};
use store::types::hash::{self, Expiry, Hash};
use store::types::list::{self, End, Item, List};
use store::types::set::{self, Set};
use store::types::sorted_set::{self, SortedSet};
use store::types::stream::{self, Group, Pending, Stream, StreamId};
use store::{Collection, Dict, NewValue, Object};

/// Cases a property test runs: `RDB_PROPTEST_CASES` if set, else `default`.
pub fn cases(default: u32) -> u32 {
    std::env::var("RDB_PROPTEST_CASES")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

pub const NOW_MS: u64 = 1_700_000_000_000;

/// Limits so small that a few elements reach every form.
pub const SETTINGS: Settings = Settings {
    now_ms: NOW_MS,
    list: list::Limits {
        max_listpack_size: 4,
        packed_threshold: 100,
        compress_depth: 1,
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

pub fn options(compress: bool) -> Options {
    Options {
        version: Version::V10,
        compress,
        now_ms: NOW_MS,
        for_replica: false,
    }
}

/// The payload of a value that a key is given.
pub fn dumped(value: NewValue<'_>, compress: bool) -> Vec<u8> {
    let mut dict = Dict::new();
    dict.set(1, b"key", value, None, 0);
    dump(&dict.get(1, b"key").unwrap(), &options(compress)).unwrap()
}

pub fn object(collection: impl Collection) -> NewValue<'static> {
    NewValue::Object(Box::new(collection.into_object()))
}

pub fn loaded(payload: &[u8]) -> Object {
    match restore(payload, &SETTINGS) {
        Ok(Loaded::Object(object)) => object,
        other => panic!("no collection: {other:?}"),
    }
}

pub fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..8),
        3 => (-10_000_000_000i64..10_000_000_000).prop_map(|n| n.to_string().into_bytes()),
        2 => (0i64..200).prop_map(|n| n.to_string().into_bytes()),
        1 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        1 => (0usize..6000).prop_map(|n| vec![b'y'; n]),
    ]
}

/// An entry of a stream: how much later it is than the one before, its fields and values.
pub type Step = (u64, Vec<(Vec<u8>, Vec<u8>)>);

#[derive(Clone, Debug)]
pub enum Model {
    String(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    SortedSet(BTreeMap<Vec<u8>, f64>),
    Hash(BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>),
    Stream(Vec<Step>),
}

pub fn model() -> impl Strategy<Value = Model> {
    let score = prop_oneof![
        any::<i32>().prop_map(f64::from),
        // Negative zero has no form of its own in small sets.
        any::<f64>()
            .prop_filter("a score", |x| !x.is_nan())
            .prop_map(|x| x + 0.0)
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

/// The payload of a model's value.
pub fn build(model: &Model, compress: bool) -> Vec<u8> {
    let dict = stored(model);
    dump(&dict.get(1, b"key").unwrap(), &options(compress)).unwrap()
}

/// A model's value under the key `key`.
pub fn stored(model: &Model) -> Dict {
    let mut dict = Dict::new();
    let mut put = |value: NewValue<'_>| drop(dict.set(1, b"key", value, None, 0));
    match model {
        Model::String(text) => put(store::new_value(text)),
        Model::List(items) => {
            let mut list = List::new();
            for item in items {
                list.push(End::Back, std::iter::once(Item::Bytes(item)), SETTINGS.list);
            }
            put(object(list));
        }
        Model::Set(members) => {
            let mut set = Set::new();
            for member in members {
                set.insert(member, SETTINGS.set);
            }
            put(object(set));
        }
        Model::SortedSet(members) => {
            let mut set = SortedSet::new();
            for (member, score) in members {
                set.insert(member, *score, SETTINGS.sorted_set);
            }
            put(object(set));
        }
        Model::Hash(fields) => {
            let mut hash = Hash::new();
            for (field, (value, due)) in fields {
                let expiry = due.map_or(Expiry::Clear, Expiry::At);
                hash.set(field, value, expiry, NOW_MS, SETTINGS.hash);
            }
            put(object(hash));
        }
        Model::Stream(entries) => put(object(stream_of(entries))),
    }
    dict
}

/// A stream of these entries, each so much later than the one before, some deleted, with a group that has read some.
pub fn stream_of(entries: &[Step]) -> Stream {
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
pub fn shown(stream: &Stream) -> String {
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
