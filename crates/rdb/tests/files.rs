//! Whole files: written and read again, cut short and damaged.

mod file;
mod model;

use file::*;
use model::{Model, NOW_MS, SETTINGS, cases, model, options, stored};
use proptest::prelude::*;
use redpoll_rdb::Version;
use redpoll_rdb::encode::{Head, Hint, Meta, Miscounted, Pieces};
use redpoll_rdb::file::{
    Assembly, Built, Checksum, Item, ReadOptions, Summary, What, Writer, check, show,
};
use store::packed::Item as Element;
use store::types::hash::Hash;
use store::types::list::List;
use store::types::set::Set;
use store::types::sorted_set::SortedSet;
use store::types::stream::{Stream, StreamId};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(150)))]

    #[test]
    fn what_is_written_is_read(
        puts in prop::collection::vec(put(), 0..8),
        version in prop::sample::select(Version::ALL.to_vec()),
        compress in any::<bool>(),
        checksum in any::<bool>(),
        step in prop_oneof![1usize..50, Just(1 << 20)],
        batch_bytes in prop_oneof![1usize..200, Just(256 << 10)],
        piece_bytes in prop_oneof![1usize..200, Just(4 << 20)],
        known_length in any::<bool>(),
    ) {
        let bytes = written(&puts, version, compress, checksum);
        let options = ReadOptions {
            batch_bytes,
            piece_bytes,
            total: known_length.then_some(bytes.len() as u64),
            ..ReadOptions::default()
        };
        let (contents, summary) = read(&bytes, step, options).unwrap();
        prop_assert_eq!(
            comparable(version, &puts, contents.entries),
            expected(&puts, version)
        );
        prop_assert_eq!(&contents.other[0], r#"Aux { name: Text(Plain([114, 101, 100, 105, 115, 45, 118, 101, 114])), value: Text(Plain([56, 46, 48, 46, 48])) }"#);
        prop_assert!(contents.other[2].starts_with("Function"));
        prop_assert_eq!(summary, Summary {
            version: version.number(),
            dialect: version.dialect(),
            checksum: if checksum { Checksum::Right } else { Checksum::Absent },
            bytes: bytes.len() as u64,
        });
        let report = check(&bytes[..], options, &SETTINGS);
        prop_assert!(report.is_good(), "{:?}", report);
        prop_assert_eq!(
            report.types.values().map(|t| t.keys).sum::<u64>(),
            expected(&puts, version).len() as u64
        );
    }

}

proptest! {
    // Each case is some hundred files.
    #![proptest_config(ProptestConfig::with_cases(cases(4)))]

    /// Whatever is in a file's way to its end is an error with a place in the file.
    #[test]
    fn every_cut_is_noticed(puts in prop::collection::vec(put(), 0..3), known_length in any::<bool>()) {
        let bytes = written(&puts, Version::V11, true, true);
        let total = known_length.then_some(bytes.len() as u64);
        for cut in (0..bytes.len()).step_by(1 + bytes.len() / 300) {
            let options = ReadOptions { total, piece_bytes: 100, ..ReadOptions::default() };
            let error = read(&bytes[..cut], 1 << 20, options).unwrap_err();
            prop_assert!(matches!(error.what, What::Truncated), "{}", error);
            prop_assert_eq!(error.offset, cut as u64);
        }
    }

    /// One bit is enough for the checksum; without it, anything may come out but a panic or much memory.
    #[test]
    fn every_flipped_bit_is_noticed(
        puts in prop::collection::vec(put(), 1..3),
        version in prop::sample::select(Version::ALL.to_vec()),
        piece_bytes in prop_oneof![1usize..200, Just(4 << 20)],
    ) {
        let mut bytes = written(&puts, version, true, true);
        let bits = bytes.len() * 8;
        for bit in (0..bits).step_by(1 + bits / 150) {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let options = ReadOptions { piece_bytes, ..ReadOptions::default() };
            prop_assert!(read(&bytes, 1 << 20, options).is_err(), "bit {}", bit);
            let _ = read(&bytes, 1 << 20, ReadOptions { verify: false, ..options });
            let report = check(&bytes[..], options, &SETTINGS);
            prop_assert!(!report.is_good(), "bit {}", bit);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(300)))]

    #[test]
    fn any_bytes_are_harmless(
        magic in prop::sample::select(vec![b"REDIS0009", b"REDIS0013", b"VALKEY080"]),
        body in prop::collection::vec(
            prop_oneof![any::<u8>(), 0u8..34, 243u8..=255, Just(0x81), Just(1)],
            0..200,
        ),
        piece_bytes in 1usize..100,
    ) {
        let bytes = [&magic[..], &body].concat();
        let options = ReadOptions { piece_bytes, batch_bytes: piece_bytes, ..ReadOptions::default() };
        let _ = read(&bytes, 50, ReadOptions { verify: false, ..options });
        let _ = check(&bytes[..], options, &SETTINGS);
    }

    /// A collection that is written stretch by stretch is the one that is written at once.
    #[test]
    fn pieces_add_up(
        model in model(),
        version in prop::sample::select(Version::ALL.to_vec()),
        compress in any::<bool>(),
    ) {
        let dict = stored(&model);
        let entry = dict.get(1, b"key").unwrap();
        let options = options_of(version, compress);
        let meta = Meta { key: b"key", expiry_ms: Some(5), hint: None, kept: false };
        let mut writer = Writer::new(Vec::new(), version, true);
        let mut out = Vec::new();
        match &model {
            Model::String(_) => return Ok(()),
            Model::List(items) => {
                let list = entry.view::<List>().unwrap();
                let head = Head::ListNodes { nodes: list.chunk_count() as u64, elements: list.len() as u64 };
                let mut pieces = Pieces::begin(&mut out, &meta, head, &options).unwrap();
                if pieces.takes_nodes() {
                    for at in 0..list.chunk_count() {
                        writer.encoded(&out).unwrap();
                        out.clear();
                        pieces.node(&mut out, list.chunk(at).unwrap()).unwrap();
                    }
                } else {
                    for item in items {
                        pieces.element(&mut out, Element::of(item)).unwrap();
                    }
                }
                pieces.finish().unwrap();
            }
            Model::Set(members) => {
                let n = entry.view::<Set>().unwrap().len() as u64;
                let mut pieces = Pieces::begin(&mut out, &meta, Head::Set(n), &options).unwrap();
                for member in members {
                    writer.encoded(&out).unwrap();
                    out.clear();
                    pieces.element(&mut out, Element::of(member)).unwrap();
                }
                pieces.finish().unwrap();
            }
            Model::SortedSet(_) => {
                let set = entry.view::<SortedSet>().unwrap();
                let n = set.len();
                let mut pieces = Pieces::begin(&mut out, &meta, Head::SortedSet(n as u64), &options).unwrap();
                for (member, score) in set.iter_down(0..n) {
                    pieces.scored(&mut out, member, score).unwrap();
                }
                pieces.finish().unwrap();
            }
            Model::Hash(fields) => {
                let due = fields.values().filter_map(|(_, due)| *due).min();
                let n = fields.len() as u64;
                let head = match due {
                    // Any time before will do.
                    Some(ms) => Head::TimedHash { fields: n, first_due_ms: ms - 1 },
                    None => Head::Hash(n),
                };
                let begun = Pieces::begin(&mut out, &meta, head, &options);
                if due.is_some() && version < Version::V11 {
                    prop_assert!(begun.is_err());
                    prop_assert!(out.is_empty());
                    return Ok(());
                }
                let mut pieces = begun.unwrap();
                for (name, field) in entry.view::<Hash>().unwrap().iter(NOW_MS) {
                    pieces.field(&mut out, name, field.value, field.due_ms).unwrap();
                }
                pieces.finish().unwrap();
            }
            Model::Stream(_) => {
                let stream = entry.view::<Stream>().unwrap();
                let entries: Vec<_> = stream.range(StreamId::MIN, StreamId::MAX).collect();
                let nodes = entries.chunks(2).len() as u64;
                let mut pieces = Pieces::begin(&mut out, &meta, Head::Stream(nodes), &options).unwrap();
                for node in entries.chunks(2) {
                    writer.encoded(&out).unwrap();
                    out.clear();
                    pieces.entries(&mut out, node.iter().cloned()).unwrap();
                }
                pieces.finish_stream(&mut out, &stream.ending()).unwrap();
            }
        }
        writer.encoded(&out).unwrap();
        let bytes = writer.finish().unwrap().0;
        let (contents, _) = read(&bytes, 1 << 20, ReadOptions::default()).unwrap();
        let puts = [Put { db: 0, key: b"key".to_vec(), expiry_ms: Some(5), hint: None, value: model }];
        prop_assert_eq!(comparable(version, &puts, contents.entries), expected(&puts, version));
    }
}

#[test]
fn pieces_are_counted() {
    let meta = Meta {
        key: b"k",
        expiry_ms: None,
        hint: None,
        kept: false,
    };
    let options = options(true);
    let mut out = Vec::new();
    let one = Element::Int(1);
    let begin = |head| Pieces::begin(&mut Vec::new(), &meta, head, &options).unwrap();
    let mut set = begin(Head::Set(1));
    assert_eq!(set.field(&mut out, b"f", one, None), Err(Miscounted));
    assert_eq!(set.scored(&mut out, one, 1.0), Err(Miscounted));
    set.element(&mut out, one).unwrap();
    assert_eq!(set.element(&mut out, one), Err(Miscounted));
    assert_eq!(set.finish(), Ok(()));
    assert_eq!(begin(Head::SortedSet(1)).finish(), Err(Miscounted));
    assert_eq!(begin(Head::Stream(0)).finish(), Err(Miscounted));
    let stream = <Stream as store::Collection>::new();
    let view = store::Collection::view(&stream);
    assert_eq!(
        begin(Head::Set(0)).finish_stream(&mut out, &view.ending()),
        Err(Miscounted)
    );
    assert_eq!(
        begin(Head::Stream(1)).finish_stream(&mut out, &view.ending()),
        Err(Miscounted)
    );
    assert_eq!(
        begin(Head::Stream(1)).entries(&mut out, []),
        Err(Miscounted)
    );
    let mut hash = begin(Head::Hash(1));
    assert_eq!(hash.field(&mut out, b"f", one, Some(5)), Err(Miscounted));
}

#[test]
fn a_large_collection_comes_in_pieces() {
    let options = options(true);
    let meta = Meta {
        key: b"large",
        expiry_ms: Some(9),
        hint: Some(Hint::Idle(3)),
        kept: false,
    };
    let mut writer = Writer::new(Vec::new(), Version::V11, true);
    let mut out = Vec::new();
    let n = 50_000u64;
    writer.select(4).unwrap();
    let mut pieces = Pieces::begin(&mut out, &meta, Head::Hash(n), &options).unwrap();
    for i in 0..n {
        let name = format!("field {i}");
        pieces
            .field(&mut out, name.as_bytes(), Element::Int(i as i64), None)
            .unwrap();
    }
    pieces.finish().unwrap();
    writer.encoded(&out).unwrap();
    let bytes = writer.finish().unwrap().0;
    let read_options = ReadOptions {
        piece_bytes: 100_000,
        ..ReadOptions::default()
    };
    let (contents, _) = read(&bytes, 1 << 20, read_options).unwrap();
    assert!(
        contents.pieces >= bytes.len() / 100_000,
        "{}",
        contents.pieces
    );
    let [(4, key, Some(9), Some(Hint::Idle(3)), text)] = &contents.entries[..] else {
        panic!("not one entry: {} of them", contents.entries.len());
    };
    assert_eq!(key, b"large");
    assert_eq!(text.matches(": ").count() as u64, n);
    // A cut in a later piece still knows the key.
    let error = read(&bytes[..bytes.len() / 2], 1 << 20, read_options).unwrap_err();
    assert_eq!(error.key.as_deref(), Some(&b"large"[..]));
    assert_eq!(
        error.to_string(),
        format!(
            "at byte {}, key 'large' in database 4: the file ends in the middle",
            bytes.len() / 2
        )
    );
}

/// As a server loads: one thread finds entries, others build them.
#[test]
fn other_threads_build_what_one_finds() {
    let mut puts = Vec::new();
    for i in 0..2000 {
        let text = format!("value {i}").into_bytes();
        puts.push(Put {
            db: i / 1000,
            key: format!("key {i}").into_bytes(),
            expiry_ms: None,
            hint: None,
            value: match i % 3 {
                0 => Model::String(text),
                1 => Model::List(vec![text.clone(), text]),
                _ => Model::Set(
                    (0..i / 10)
                        .map(|n| (n * 100_003).to_string().into_bytes())
                        .chain([text])
                        .collect(),
                ),
            },
        });
    }
    let bytes = written(&puts, Version::V11, true, true);
    let read_options = ReadOptions {
        batch_bytes: 1000,
        piece_bytes: 300,
        ..ReadOptions::default()
    };
    let (sender, receiver) = std::sync::mpsc::channel::<redpoll_rdb::file::Batch>();
    let receiver = std::sync::Mutex::new(receiver);
    let built = std::sync::Mutex::new(Vec::new());
    let build = |batch: &redpoll_rdb::file::Batch, assembly: &mut Assembly| {
        for item in batch.items() {
            let Item::Entry(entry) = item.unwrap() else {
                continue;
            };
            if let Built::Value(value) = assembly.add(&entry, &SETTINGS).unwrap() {
                let text = show(&value, NOW_MS);
                built
                    .lock()
                    .unwrap()
                    .push((entry.db, entry.key.to_vec(), text));
            }
        }
    };
    let mut pieces = 0;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let next = || receiver.lock().unwrap().recv();
                while let Ok(batch) = next() {
                    build(&batch, &mut Assembly::new());
                }
            });
        }
        let mut reader = reader(&bytes, 1 << 20, read_options);
        let mut assembly = Assembly::new();
        while let Some(batch) = reader.next_batch().unwrap() {
            if batch.piece().is_some() {
                // Pieces of a value stay together.
                pieces += 1;
                build(&batch, &mut assembly);
            } else {
                sender.send(batch).unwrap();
            }
        }
        drop(sender);
    });
    assert!(pieces > 10, "{pieces}");
    let mut built = built.into_inner().unwrap();
    built.sort();
    let mut expected: Vec<_> = expected(&puts, Version::V11)
        .into_iter()
        .map(|(db, key, _, _, text)| (db, key, text))
        .collect();
    expected.sort();
    assert_eq!(built, expected);
}
