//! Files put together by hand: as no server writes them, as servers of long ago did, and wrong ones.

mod file;
mod model;

use file::*;
use model::{NOW_MS, SETTINGS};
use redpoll_rdb::Dialect;
use redpoll_rdb::encode::Hint;
use redpoll_rdb::file::{Checksum, Item, ReadOptions, Reader, check};
use redpoll_rdb::{Loaded, kinds, put};
use std::io::{self, Read};

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

/// Servers before 2.6 wrote none. One flipped bit of the version does not have that of a newer file ignored.
#[test]
fn a_file_without_a_checksum_ends_where_it_says() {
    let zipmap = b"\x09\x01k\x07\x01\x01f\x01\x00v\xff";
    for version in 1..=4 {
        let magic = format!("REDIS000{version}");
        let old = [magic.as_bytes(), &[254, 0], zipmap, &[255]].concat();
        for step in [1, 1 << 20] {
            for total in [None, Some(old.len() as u64)] {
                let options = ReadOptions {
                    total,
                    ..ReadOptions::default()
                };
                let (contents, summary) = read(&old, step, options).expect("an old file");
                let [(0, key, None, None, _)] = &contents.entries[..] else {
                    panic!("{contents:?}");
                };
                assert_eq!(key, b"k");
                assert_eq!(summary.checksum, Checksum::Absent);
                assert_eq!(summary.bytes, old.len() as u64);
            }
            let torn = read(&old[..old.len() - 1], step, ReadOptions::default());
            assert_eq!(
                torn.unwrap_err().to_string(),
                "at byte 22: the file ends in the middle"
            );
            let newer = [&old[..], &[0; 8]].concat();
            let wrong = read(&newer, step, ReadOptions::default());
            let said = "at byte 23: a file without a checksum goes on behind its end";
            assert_eq!(wrong.unwrap_err().to_string(), said);
        }
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
        "at byte 0: RDB version REDIS0015 is not understood, only REDIS0001 to REDIS0014 and VALKEY080"
    );
    assert!(head(b"VALKEY081").contains("VALKEY081 is not understood"));
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

/// It was loaded as a set without members, which nothing ever removed.
#[test]
fn nothing_is_left_of_a_set_whose_members_have_all_expired() {
    let set = |due_ms: u64| {
        let head = [200, 1, b's', 1, 1, b'm'];
        [&head[..], &due_ms.to_le_bytes()].concat()
    };
    for (due_ms, expected) in [(1, "nothing"), (NOW_MS + 1, r#"{"m"}"#)] {
        let bytes = file(b"REDIS0012", &set(due_ms));
        let (contents, _) = read(&bytes, 1, ReadOptions::default()).unwrap();
        let shown = &contents.entries[0].4;
        assert_eq!(shown, expected);
    }
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
