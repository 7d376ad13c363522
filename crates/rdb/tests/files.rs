//! Whole files: written and read again, cut short, damaged, and as no server writes them.

mod model;

use model::{Model, NOW_MS, SETTINGS, cases, model, options, stored, text};
use proptest::prelude::*;
use redpoll_rdb::Dialect;
use redpoll_rdb::encode::{Head, Hint, Meta, Miscounted, Options, Pieces};
use redpoll_rdb::file::{
    Assembly, Built, Checksum, Error, Item, ReadOptions, Reader, Summary, What, Writer, check, show,
};
use redpoll_rdb::{Loaded, Version, kinds, put};
use std::io::{self, Read};
use store::packed::Item as Element;
use store::types::hash::Hash;
use store::types::list::List;
use store::types::set::Set;
use store::types::sorted_set::SortedSet;
use store::types::stream::{Stream, StreamId};

/// Bytes that come so many at a time, and a check that nobody makes much more room than has come.
struct Trickle<'a> {
    rest: &'a [u8],
    step: usize,
    given: usize,
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

fn reader(bytes: &[u8], step: usize, options: ReadOptions) -> Reader<Trickle<'_>> {
    let source = Trickle {
        rest: bytes,
        step,
        given: 0,
    };
    Reader::new(source, options)
}

/// An entry as it was read: database, key, expiry, hint, value.
type Shown = (u32, Vec<u8>, Option<u64>, Option<Hint>, String);

#[derive(Debug, Default, PartialEq)]
struct Contents {
    entries: Vec<Shown>,
    other: Vec<String>,
    pieces: usize,
}

fn read(bytes: &[u8], step: usize, options: ReadOptions) -> Result<(Contents, Summary), Error> {
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

fn shown(model: &Model) -> String {
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
struct Put {
    db: u32,
    key: Vec<u8>,
    expiry_ms: Option<u64>,
    hint: Option<Hint>,
    value: Model,
}

fn put() -> impl Strategy<Value = Put> {
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

fn has_timed_fields(model: &Model) -> bool {
    matches!(model, Model::Hash(fields) if fields.values().any(|(_, due)| due.is_some()))
}

fn options_of(version: Version, compress: bool) -> Options {
    Options {
        version,
        ..options(compress)
    }
}

fn written(puts: &[Put], version: Version, compress: bool, checksum: bool) -> Vec<u8> {
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

fn expected(puts: &[Put], version: Version) -> Vec<Shown> {
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
fn sayable(version: Version, model: &Model, text: String) -> String {
    let cut = match (model, version) {
        (Model::Stream(_), Version::V9) => " last ",
        (Model::Stream(_), Version::V10) => ", consumer ",
        _ => return text,
    };
    text.split(cut).next().unwrap_or_default().to_owned()
}

fn comparable(version: Version, puts: &[Put], mut entries: Vec<Shown>) -> Vec<Shown> {
    let held = puts
        .iter()
        .filter(|put| version >= Version::V11 || !has_timed_fields(&put.value));
    for (entry, put) in entries.iter_mut().zip(held) {
        entry.4 = sayable(version, &put.value, std::mem::take(&mut entry.4));
    }
    entries
}

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

/// A file of these bytes between header and end.
fn file(magic: &[u8; 9], body: &[u8]) -> Vec<u8> {
    [&magic[..], body, &[255], &[0; 8]].concat()
}

fn error_of(magic: &[u8; 9], body: &[u8]) -> String {
    match read(&file(magic, body), 1 << 20, ReadOptions::default()) {
        Ok((contents, _)) => panic!("it can be read: {contents:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let head = |bytes: &[u8]| {
        read(bytes, 1 << 20, ReadOptions::default())
            .unwrap_err()
            .to_string()
    };
    for no_rdb in [
        &b"REDIX0011"[..],
        b"*1\r\n$4\r\nPING\r\n",
        b"REDIS00a1",
        b"REDIS0000",
        b"Q",
    ] {
        assert!(
            head(no_rdb).starts_with("at byte 0: not an RDB file"),
            "{no_rdb:?}"
        );
    }
    assert_eq!(
        head(b"REDIS0015"),
        "at byte 0: RDB version REDIS0015 is not understood, only REDIS0005 to REDIS0014 and VALKEY080"
    );
    assert!(head(b"VALKEY081").contains("VALKEY081 is not understood"));
    // Before the checksum: one flipped bit would be enough to have it ignored.
    assert!(head(b"REDIS0004").contains("not understood"));
    // Valkey's numbers do not begin at one.
    assert!(head(b"VALKEY011").contains("not understood"));
    assert_eq!(head(b""), "at byte 0: the file ends in the middle");

    let v11 = b"REDIS0011";
    assert_eq!(
        error_of(v11, &[242]),
        "at byte 10: 242 is neither a type of value nor an opcode"
    );
    assert_eq!(
        error_of(v11, &[8, 1, b'k', 0]),
        "at byte 10: 8 is neither a type of value nor an opcode"
    );
    assert!(error_of(v11, &[246, 0]).contains("release candidate"));
    assert!(error_of(v11, &[6, 1, b'k', 0]).contains("data of a module"));
    assert!(error_of(v11, &[252, 0, 0, 0, 0, 0, 0, 0, 0, 254, 0]).contains("no key follows"));
    // Valkey has other meanings for 22, and none for 24 and up.
    assert!(error_of(b"VALKEY080", &[24, 1, b'k', 0]).contains("24 is neither"));
    let id = b"vectorset".iter().fold(0u64, |id, b| {
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        id << 6 | letters.iter().position(|l| l == b).unwrap() as u64
    }) << 10;
    let mut module = vec![254, 2, 7, 1, b'k'];
    put::length(&mut module, id);
    let value = module.len();
    module.extend([2, 5, 0]);
    assert_eq!(
        error_of(v11, &module),
        format!(
            "at byte {}, key 'k' in database 2: data of a module, which cannot be loaded: vectorset version 0",
            9 + value
        )
    );
    let mut aux = vec![247];
    put::length(&mut aux, id);
    aux.extend([2, 1, 2, 1, 5, 1, b'x', 0]);
    assert!(error_of(v11, &aux).ends_with("vectorset version 0"));
    // Those who only look go past both.
    let bytes = file(v11, &[&module[..], &aux, &[0, 1, b's', 1, b'v']].concat());
    let report = check(&bytes[..], ReadOptions::default(), &SETTINGS);
    assert!(report.is_good(), "{report:?}");
    assert_eq!(report.modules, ["vectorset version 0"]);
    assert_eq!(report.types[&kinds::STRING].keys, 1);
    assert_eq!(report.types[&kinds::MODULE_2].keys, 1);
    assert_eq!(report.databases[&2].keys, 2);

    // Metadata of a class that must not, or may, be ignored.
    let metadata = |flags: u8| {
        let class = (1u32 << 8 | u32::from(flags)).to_le_bytes();
        [&[243, 1][..], &class, &[2, 7, 0, 0, 1, b'k', 1, b'v']].concat()
    };
    assert_eq!(
        error_of(b"REDIS0013", &metadata(0)),
        "at byte 21, key 'k' in database 0: metadata of a module's class AAAB, which it says must not be left out"
    );
    let bytes = file(b"REDIS0013", &metadata(1));
    let (contents, _) = read(&bytes, 3, ReadOptions::default()).unwrap();
    assert_eq!(contents.entries.len(), 1);

    // A value that makes no sense: the place is inside of it.
    assert_eq!(
        error_of(
            v11,
            &[0, 1, b'a', 1, b'v', 2, 2, b'k', b'2', 2, 1, b'x', 1, b'x']
        ),
        "at byte 23, key 'k2' in database 0: an element that stands twice"
    );
    let mut bytes = file(v11, &[0, 1, b'a', 1, b'v']);
    let end = bytes.len() - 8;
    bytes[end] = 1;
    assert!(
        head(&bytes).starts_with("at byte 15: the checksum is 0000000000000001 but should be"),
        "{}",
        head(&bytes)
    );
}

#[test]
fn the_rest_of_the_opcodes() {
    let v12 = b"REDIS0012";
    let body = [
        &[254, 3, 251, 2, 1, 244, 5, 2, 1][..],
        // Seconds, in the past, before a counter of uses.
        &[253, 2, 0, 0, 0, 249, 200, 0, 1, b'a', 0xc0, 0xff],
        &[
            252, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 248, 9, 0, 1, b'b', 0,
        ],
    ]
    .concat();
    let (contents, summary) = read(&file(v12, &body), 1, ReadOptions::default()).unwrap();
    assert_eq!(
        contents.other,
        [
            "Select(3)",
            "Resize { keys: 2, expires: 1 }",
            "Slot { slot: 5, keys: 2, expires: 1 }"
        ]
    );
    assert_eq!(
        contents.entries,
        [
            (
                3,
                b"a".to_vec(),
                Some(2000),
                Some(Hint::Frequency(200)),
                "\"-1\"".to_owned()
            ),
            (
                3,
                b"b".to_vec(),
                Some(0),
                Some(Hint::Idle(9)),
                "\"\"".to_owned()
            ),
        ]
    );
    assert_eq!(summary.checksum, Checksum::Absent);
    assert_eq!(summary.dialect, Dialect::Redis);
    // Valkey's: slots that are being imported.
    let import = [243, 1, b'j', 2, 1, 2, 5, 9, 0, 1, b'k', 1, b'v'];
    let (contents, _) = read(&file(b"VALKEY080", &import), 1, ReadOptions::default()).unwrap();
    assert_eq!(contents.other, ["SlotImport"]);
    assert_eq!(contents.entries.len(), 1);
}

#[test]
fn forms_of_long_ago() {
    let v9 = b"REDIS0009";
    let entry = |kind: u8, value: &[u8]| [&[kind, 1, b'k'], value].concat();
    let of = |kind, value: &[u8]| {
        let bytes = file(v9, &entry(kind, value));
        read(&bytes, 1, ReadOptions::default()).unwrap().0.entries[0]
            .4
            .clone()
    };
    // Two fields; one byte behind the first value is unused. A long value behind four bytes of length.
    let mut zipmap = vec![
        2, 1, b'f', 2, 1, b'v', b'w', b'?', 1, b'g', 254, 3, 0, 0, 0, 0, b'x', b'y', b'z', 255,
    ];
    zipmap.insert(0, zipmap.len() as u8);
    assert_eq!(
        of(kinds::HASH_ZIPMAP, &zipmap),
        r#"{"f": "vw", "g": "xyz"}"#
    );
    // Scores as text.
    let scores = [
        4, 1, b'a', 3, b'1', b'.', b'5', 1, b'b', 254, 1, b'c', 255, 1, b'd', 2, b'-', b'7',
    ];
    assert_eq!(
        of(kinds::ZSET, &scores),
        r#"{"c": -inf, "d": -7, "a": 1.5, "b": inf}"#
    );
    assert_eq!(of(kinds::LIST, &[2, 1, b'a', 0xc0, 5]), r#"["a", "5"]"#);
    // A stream of Redis 8.6 with what it remembers of a producer.
    let mut stream = vec![0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
    stream.extend([
        50, 0x40, 200, 1, 1, b'p', 2, 1, b'x', 5, 0, 1, b'y', 5, 1, 2, 0,
    ]);
    let bytes = file(b"REDIS0013", &entry(kinds::STREAM_LISTPACKS_4, &stream));
    let result = read(&bytes, 1, ReadOptions::default());
    assert!(result.is_ok(), "{:?}", result);
    // Collections without elements are left out, as servers do.
    assert_eq!(of(kinds::SET, &[0]), "nothing");
    assert_eq!(of(kinds::HASH, &[0]), "nothing");
    assert_eq!(of(kinds::LIST, &[0]), "nothing");
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

#[test]
fn what_stands_behind_the_end_is_left_alone() {
    let bytes = [
        &file(b"REDIS0011", &[0, 1, b'k', 1, b'v'])[..],
        b"*1\r\n$4\r\nPING\r\n",
    ]
    .concat();
    let mut reader = reader(&bytes, 7, ReadOptions::default());
    while reader.next().unwrap().is_some() {}
    let (mut source, mut rest) = reader.into_rest();
    source.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"*1\r\n$4\r\nPING\r\n");
}

#[test]
fn a_source_that_fails_is_an_error_with_its_place() {
    struct Broken(usize);
    impl Read for Broken {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("the disk is on fire"));
            }
            self.0 -= 1;
            buf[..9].copy_from_slice(b"REDIS0011");
            Ok(9)
        }
    }
    let mut reader = Reader::new(Broken(1), ReadOptions::default());
    let error = reader.next().unwrap_err();
    assert_eq!(
        error.to_string(),
        "at byte 9: cannot be read: the disk is on fire"
    );
}

#[test]
fn damaged_values_do_not_hide_the_next() {
    // A set with a member that stands twice, a string that does not decompress, a good one.
    let body = [
        &[2, 1, b'a', 2, 1, b'x', 1, b'x'][..],
        &[0, 1, b'b', 0xc3, 2, 9, 0xff, 0xff],
        &[0, 1, b'c', 1, b'v'],
    ]
    .concat();
    let report = check(
        &file(b"REDIS0011", &body)[..],
        ReadOptions::default(),
        &SETTINGS,
    );
    assert_eq!(report.damaged_count, 2);
    assert_eq!(
        report.damaged[1].to_string(),
        "at byte 25, key 'b' in database 0: bad compressed string"
    );
    assert_eq!(report.types[&kinds::STRING].elements, 1);
    assert!(report.summary.is_some());
    assert!(!report.is_good());
    assert_eq!(
        report.to_string(),
        "version 11, 39 bytes\n\
         database 0: 3 keys, 0 expire, 0 have expired\n\
         type 0 (string): 2 keys, 1 elements, 7 bytes\n\
         type 2 (set): 1 keys, 0 elements, 5 bytes\n\
         damaged at byte 17, key 'a' in database 0: an element that stands twice\n\
         damaged at byte 25, key 'b' in database 0: bad compressed string\n\
         no checksum in the file\n"
    );
}

/// A value of 64 MB: as long as one may be is only a matter of patience.
#[test]
fn a_large_string() {
    let text: Vec<u8> = (0..64u32 << 18).flat_map(u32::to_le_bytes).collect();
    let mut body = vec![0, 1, b'k'];
    put::string(&mut body, &text, false);
    let bytes = file(b"REDIS0011", &body);
    let mut reader = reader(&bytes, 1 << 20, ReadOptions::default());
    let Some(Item::Entry(entry)) = reader.next().unwrap() else {
        panic!("no entry");
    };
    match entry.load(&SETTINGS).unwrap() {
        Some(Loaded::String(read)) => assert!(*read == text[..]),
        other => panic!("{:?}", other.is_some()),
    }
}
