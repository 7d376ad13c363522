//! The targets without a fuzzer: samples of what they take, then the same damaged at random, the same way each time.
//!
//! `REDPOLL_FUZZ_INPUTS` says how many damaged ones each target gets, `REDPOLL_SEED` (a number, or `random`) which. Inputs that cargo-fuzz
//! found go into `fuzz/seeds/TARGET/`, and are samples from then on.

use redpoll_fuzz_targets as targets;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Damaged inputs of each target, unless the environment says otherwise.
const INPUTS: u64 = 3000;

/// SplitMix64: of no merit, but the same everywhere.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % n.max(1) as u64) as usize
    }

    /// Changes an input at some places: bytes set, taken out, doubled, or put there from another one.
    fn damage(&mut self, input: &mut Vec<u8>, others: &[Vec<u8>]) {
        for _ in 0..1 + self.below(6) {
            let (from, to) = (self.below(input.len()), self.below(input.len()));
            let part = from.min(to)..from.max(to);
            match self.below(6) {
                0 | 1 if !input.is_empty() => input[from] = self.below(256) as u8,
                2 if !input.is_empty() => input[from] ^= 1 << self.below(8),
                3 => drop(input.drain(part)),
                4 => {
                    let twice = input[part.start..part.end.min(part.start + 40)].to_vec();
                    input.splice(from..from, twice);
                }
                _ => {
                    let other = &others[self.below(others.len())];
                    let at = self.below(other.len());
                    let some = &other[at..other.len().min(at + 1 + self.below(20))];
                    input.splice(from..from, some.iter().copied());
                }
            }
        }
    }
}

/// Runs a target with samples, with what lies in `fuzz/seeds/NAME`, and with damaged ones.
fn replay(name: &str, run: fn(&[u8]), mut samples: Vec<Vec<u8>>, inputs: u64) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../seeds")
        .join(name);
    for entry in std::fs::read_dir(seeds).into_iter().flatten().flatten() {
        samples.push(std::fs::read(entry.path()).expect("an input"));
    }
    for sample in &samples {
        println!("{}", sample.escape_ascii());
        run(sample);
    }
    let inputs = std::env::var("REDPOLL_FUZZ_INPUTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(inputs);
    let seed = match std::env::var("REDPOLL_SEED").as_deref() {
        Ok("random") => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |d| d.as_nanos() as u64),
        Ok(number) => number.parse().expect("a number or the word random"),
        Err(_) => 1,
    };
    println!("REDPOLL_SEED={seed}");
    let mut rng = Rng(seed);
    for number in 0..inputs {
        let mut input = samples[rng.below(samples.len())].clone();
        rng.damage(&mut input, &samples);
        // The last line of a failure says which input it was.
        println!("{number}: {}", input.escape_ascii());
        run(&input);
    }
}

fn samples(texts: &[&[u8]]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.to_vec()).collect()
}

#[test]
fn decode() {
    let texts = samples(&[
        b"*3\r\n$1\r\na\r\n:-12\r\n*-1\r\n",
        b"%2\r\n+a\r\n,1.5\r\n$2\r\nbb\r\n#t\r\n",
        b"~2\r\n_\r\n(12345678901234567890\r\n",
        b"|1\r\n+key\r\n:1\r\n=15\r\ntxt:Some string\r\n",
        b">2\r\n+message\r\n-ERR an error\r\n",
    ]);
    replay("decode", targets::decode::run, texts, INPUTS);
}

#[test]
fn request() {
    let texts = samples(&[
        b"\x03*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n",
        b"\x90SET \"a b\" 'c\\'d' \x00\r\nPING\n\r\n*0\r\n",
        b"\x01*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\nhello\r\nworld\r\n",
    ]);
    replay("request", targets::request::run, texts, INPUTS);
}

#[test]
fn number() {
    let texts = samples(&[
        b"1.5 -2e3",
        b"0x1.8p3 1",
        b"-9223372036854775808",
        b"1e4932 1e-4951",
        b"inf nan",
        b"3.14159265358979323846 .1",
    ]);
    replay("number", targets::number::run, texts, INPUTS);
}

#[test]
fn restore() {
    let texts = samples(&[
        b"\x00\x04\x00\x05hello",
        b"\x01\x04\x00\xc0\xf9",
        b"\x01\x04\x12\x01\x02\x0c\x0c\x00\x00\x00\x02\x00\x81a\x02\x0a\x01\xff",
        b"\x02\x04\x11\x0f\x0f\x00\x00\x00\x02\x00\x81m\x02\x831.5\x04\xff",
        b"\x02\x40\x10\x0d\x0d\x00\x00\x00\x02\x00\x81f\x02\x81v\x02\xff",
        b"\x01\x01\x0b\x0c\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00\x02\x00",
    ]);
    replay("restore", targets::restore::run, texts, INPUTS);
}

#[test]
fn lua() {
    let texts = samples(&[
        br#"_{"a":[1,2.5,null,true,"\u00e9"],"b":{}}"#,
        b"\x01\x82\xa1a\x93\x01\xcb?\xf8\x00\x00\x00\x00\x00\x00\xc0\xa1b\xc3",
        b"\x03\x00\x01\x02\x00\x00\x00\x03\x05abcde\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x04>I2hsBd",
        b"\x05%5.2f %s %d",
        b"\x06(%a+) [^x]*",
        b"\x07local t = {} for i = 1, 9 do t[i] = i * 2 end return {#t, tostring(t[3]), {err='x'}}",
    ]);
    // Each has an interpreter of its own.
    replay("lua", targets::lua::run, texts, INPUTS / 5);
}

#[test]
fn rdb_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/rdb/tests/corpus");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("files of real servers") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "rdb") {
            files.push(std::fs::read(path).expect("a file"));
        }
    }
    replay("rdb_file", targets::rdb_file::run, files, INPUTS / 30);
}

#[test]
fn log() {
    let texts = samples(&[
        b"\x00\x00\x00*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n*1\r\n$4\r\nEXEC\r\n",
        b"\x05\x09\x10*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$2\r\n22\r\n",
        b"\x02\x00\x00#TS:1700000000\r\n*2\r\n$4\r\nINCR\r\n$1\r\nc\r\n",
    ]);
    replay("log", targets::log::run, texts, INPUTS);
}
