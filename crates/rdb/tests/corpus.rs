//! Files that real servers wrote, read without them: what is in each must be what the server answered when it wrote it.
//!
//! The corpus is made by the differential test, which fills a server with every type and encoding that it has, tells it to
//! SAVE, and puts the file and the answers here (long ones by their checksum):
//! `REDPOLL_BLESS=1 cargo test -p redpoll-tests --test rdb_files what_servers_save`.

mod model;

use model::NOW_MS;
use redpoll_rdb::Settings;
use redpoll_rdb::crc64;
use redpoll_rdb::file::{Assembly, Built, Error, Item, ReadOptions, Reader, check, show};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The servers' defaults.
const SETTINGS: Settings = Settings::usual(NOW_MS);

fn files() -> Vec<(String, Vec<u8>, String)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "rdb"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let bytes = std::fs::read(&path).unwrap();
            let answers = std::fs::read_to_string(path.with_extension("txt")).unwrap();
            (name, bytes, answers)
        })
        .collect();
    files.sort();
    assert!(files.len() >= 5, "the corpus is there");
    files
}

/// The contents in the form of the answers, for a server that does not know when consumers were last active if so said.
fn contents(bytes: &[u8], options: ReadOptions, activity: bool) -> Result<String, Error> {
    let mut reader = Reader::new(bytes, options);
    let mut assembly = Assembly::new();
    let mut lines = BTreeMap::new();
    while let Some(item) = reader.next()? {
        let Item::Entry(entry) = item else {
            continue;
        };
        let Built::Value(value) = assembly.add(&entry, &SETTINGS)? else {
            continue;
        };
        let mut text = show(&value, NOW_MS);
        if !activity {
            text = without_activity(&text);
        }
        if let Some(ms) = entry.expiry_ms {
            text += &format!(" until {ms}");
        }
        if text.len() > 200 {
            let sum = crc64::update(0, text.as_bytes());
            text = format!("{} bytes of text, checksum {sum:016x}", text.len());
        }
        lines.insert((entry.db, entry.key.to_vec()), text);
    }
    let line = |((db, key), text): ((u32, Vec<u8>), String)| {
        format!("{db} \"{}\" {text}\n", key.escape_ascii())
    };
    Ok(lines.into_iter().map(line).collect())
}

fn without_activity(text: &str) -> String {
    let mut parts = text.split(" active ");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out += part.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out
}

#[test]
fn files_hold_what_their_servers_answered() {
    for (name, bytes, answers) in files() {
        let activity = !name.starts_with("redis-7.0");
        for (batch_bytes, piece_bytes) in [(256 << 10, 4 << 20), (1, 1), (1000, 300)] {
            let options = ReadOptions {
                batch_bytes,
                piece_bytes,
                total: Some(bytes.len() as u64),
                ..ReadOptions::default()
            };
            let ours = contents(&bytes, options, activity).unwrap();
            for (ours, theirs) in ours.lines().zip(answers.lines()) {
                assert_eq!(ours, theirs, "{name}");
            }
            assert_eq!(ours.lines().count(), answers.lines().count(), "{name}");
        }
        let report = check(&bytes[..], ReadOptions::default(), &SETTINGS);
        assert!(report.is_good(), "{name}: {report:?}");
        assert_eq!(report.functions, 1, "{name}");
        assert_eq!(report.bytes, bytes.len() as u64, "{name}");
    }
}

#[test]
fn cuts_and_flips_are_noticed() {
    for (name, mut bytes, _) in files() {
        let options = ReadOptions {
            total: Some(bytes.len() as u64),
            piece_bytes: 1000,
            ..ReadOptions::default()
        };
        // Steps that visit other places in each file.
        for cut in (name.len()..bytes.len()).step_by(401) {
            assert!(
                contents(&bytes[..cut], options, true).is_err(),
                "{name}: {cut}"
            );
        }
        for bit in (name.len()..bytes.len() * 8).step_by(4001) {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(
                contents(&bytes, options, true).is_err(),
                "{name}: bit {bit}"
            );
            let unverified = ReadOptions {
                verify: false,
                ..options
            };
            let _ = contents(&bytes, unverified, true);
            assert!(
                !check(&bytes[..], options, &SETTINGS).is_good(),
                "{name}: bit {bit}"
            );
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
