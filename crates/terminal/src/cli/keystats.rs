//! `--keystats`: the keys that take most memory and those with most elements, and how sizes are distributed over all keys.

use super::keys::{Walk, count, percent, requests, size_of, type_of};
use super::quote::quoted;
use super::session::{Failure, Session, show};
use crate::link::{Connection, Reply};
use hdrhistogram::Histogram;
use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

const INTRODUCTION: &str = "
# Scanning the entire keyspace to find the biggest keys and distribution information.
# Use -i 0.1 to sleep 0.1 sec per 100 SCAN commands (not usually needed).
# Use --cursor <n> to start the scan at the cursor <n> (usually after a Ctrl-C).
# Use --top <n> to display <n> top key sizes (default is 10).
# Ctrl-C to stop the scan.

";

/// The largest value that has a place of its own in a distribution; larger ones share the last.
const MOST: u64 = 1 << 40;

/// Between two lines about how far it is, on a terminal.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// What is known of a type's keys.
struct Kind {
    name: String,
    keys: u64,
    bytes: u64,
    elements: u64,
    /// The key that takes most memory, and the one with most elements.
    largest: Option<(Vec<u8>, u64)>,
    longest: Option<(Vec<u8>, u64)>,
}

/// What the walk has seen.
struct Seen {
    kinds: Vec<Kind>,
    top: Vec<(u64, usize, Vec<u8>)>,
    most_top: usize,
    keys: u64,
    bytes: u64,
    name_bytes: u64,
    sizes: Histogram<u64>,
    names: Histogram<u64>,
}

impl Seen {
    fn new(most_top: usize) -> Result<Seen, Failure> {
        let histogram = |digits| {
            Histogram::new_with_bounds(1, MOST, digits)
                .map_err(|error| Failure::from(error.to_string()))
        };
        let kinds = ["list", "hash", "stream", "string", "set", "zset"];
        let kinds = kinds.map(|name| Kind::new(name.to_owned()));
        Ok(Seen {
            kinds: kinds.into(),
            top: Vec::new(),
            most_top,
            keys: 0,
            bytes: 0,
            name_bytes: 0,
            sizes: histogram(4)?,
            names: histogram(4)?,
        })
    }

    /// Where a type is in the list of them.
    fn kind(&mut self, name: String) -> usize {
        match self.kinds.iter().position(|kind| kind.name == name) {
            Some(place) => place,
            None => {
                self.kinds.push(Kind::new(name));
                self.kinds.len() - 1
            }
        }
    }

    /// Counts a key.
    fn add(&mut self, key: &[u8], place: usize, bytes: u64, elements: u64) {
        let length = key.len() as u64;
        self.keys += 1;
        self.bytes += bytes;
        self.name_bytes += length;
        self.sizes.saturating_record(bytes);
        self.names.saturating_record(length);
        let kind = &mut self.kinds[place];
        kind.keys += 1;
        kind.bytes += bytes;
        kind.elements += elements;
        for (most, figure) in [(&mut kind.largest, bytes), (&mut kind.longest, elements)] {
            if figure > most.as_ref().map_or(0, |(_, figure)| *figure) {
                *most = Some((key.to_vec(), figure));
            }
        }
        // Of equal ones, those that were seen first.
        let at = self.top.partition_point(|(other, ..)| *other >= bytes);
        if at < self.most_top {
            self.top.truncate(self.most_top - 1);
            self.top.insert(at, (bytes, place, key.to_vec()));
        }
    }

    /// The report.
    fn write(&self, total: u64) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        let so_far = percent(self.keys, total).min(100.0);
        writeln!(text, "{so_far:6.2}% keys scanned")?;
        writeln!(text, "Keys sampled: {}", self.keys)?;
        writeln!(text, "Keys size:    {}", human(self.bytes))?;
        writeln!(text, "\n--- Top {} key sizes ---", self.most_top)?;
        for (n, (bytes, place, key)) in self.top.iter().enumerate() {
            let kind = &self.kinds[*place].name;
            let (size, key) = (human(*bytes), quoted(key));
            writeln!(text, "{:3} {size:>8} {kind:<10} {key}", n + 1)?;
        }
        writeln!(text, "\n--- Top size per type ---")?;
        for kind in &self.kinds {
            if let Some((key, bytes)) = &kind.largest {
                let (name, size) = (&kind.name, human(*bytes));
                writeln!(text, "{name:<10} {} is {size}", shown(key))?;
            }
        }
        writeln!(text, "\n--- Top length and cardinality per type ---")?;
        for kind in &self.kinds {
            if let Some((key, elements)) = &kind.longest {
                let (name, length) = (&kind.name, kind.length(*elements));
                writeln!(text, "{name:<10} {} has {length}", shown(key))?;
            }
        }
        self.write_sizes(&mut text)?;
        self.write_names(&mut text)?;
        self.write_kinds(&mut text)?;
        Ok(text)
    }

    /// How many keys take at most so much: at the smallest, at the half of them, at the half of the rest and so on.
    fn write_sizes(&self, text: &mut String) -> std::fmt::Result {
        text.push_str("\nKey size Percentile Total keys\n-------- ---------- -----------\n");
        let mut keys = 0;
        for step in self.sizes.iter_quantiles(1) {
            let more = step.count_since_last_iteration();
            keys += more;
            // A step that has no more keys than the one before it is left out; where all are counted, the rest of the steps is one.
            if (more == 0 || keys == self.keys) && step.quantile_iterated_to() < 1.0 {
                continue;
            }
            let size = human(step.value_iterated_to());
            let percentile = 100.0 * step.quantile_iterated_to();
            writeln!(text, "{size:>8} {percentile:9.4}% {keys:11}")?;
        }
        let (mean, deviation) = (self.sizes.mean(), self.sizes.stdev());
        writeln!(
            text,
            "Note: 0.01% size precision, Mean: {}, StdDeviation: {}",
            human(mean as u64),
            human(deviation as u64)
        )
    }

    /// The same of the lengths of their names, by powers of eight.
    fn write_names(&self, text: &mut String) -> std::fmt::Result {
        text.push_str("\nKey name length Percentile Total keys\n");
        text.push_str("--------------- ---------- -----------\n");
        let mut keys = 0;
        let (mut limit, longest) = (32, self.names.max());
        while keys < self.keys {
            let below = self.names.count_between(0, limit);
            if below > keys {
                keys = below;
                let length = human(limit.min(longest));
                let percentile = percent(keys, self.keys);
                writeln!(text, "{length:>15} {percentile:9.4}% {keys:11}")?;
            }
            limit *= 8;
        }
        let average = match self.name_bytes.checked_div(self.keys) {
            Some(average) => human(average),
            None => "0".to_owned(),
        };
        let all = human(self.name_bytes);
        writeln!(text, "Total key length is {all} ({average} avg)")
    }

    fn write_kinds(&self, text: &mut String) -> std::fmt::Result {
        text.push_str(
            "\nType        Total keys  Keys % Tot size Avg size  Total length/card Avg ln/card\n",
        );
        text.push_str(
            "--------- ------------ ------- -------- -------- ------------------ -----------\n",
        );
        for kind in self.kinds.iter().filter(|kind| kind.keys > 0) {
            let name = &kind.name;
            let (bytes, average) = (human(kind.bytes), human(kind.bytes / kind.keys));
            let share = percent(kind.keys, self.keys);
            let length = kind.length(kind.elements);
            let average_length = match kind.name.as_str() {
                "string" => human((kind.elements as f64 / kind.keys as f64).round() as u64),
                _ => format!("{:.2}", kind.elements as f64 / kind.keys as f64),
            };
            let keys = kind.keys;
            writeln!(
                text,
                "{name:<9} {keys:12} {share:6.2}% {bytes:>8} {average:>8} {length:>18} {average_length:>11}"
            )?;
        }
        Ok(())
    }
}

impl Kind {
    fn new(name: String) -> Kind {
        Kind {
            name,
            keys: 0,
            bytes: 0,
            elements: 0,
            largest: None,
            longest: None,
        }
    }

    /// So many of its elements, in words.
    fn length(&self, elements: u64) -> String {
        match size_of(&self.name) {
            Some((_, "bytes")) => human(elements),
            Some((_, unit)) => format!("{elements} {unit}"),
            None => format!("{elements} ?"),
        }
    }
}

/// Bytes as people read them.
fn human(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let (mut size, mut unit) = (bytes as f64 / 1024.0, 0);
    let units = ["K", "M", "G", "T", "P", "E"];
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.2}{}", units[unit])
}

/// A name as it is, or quoted if a terminal would not show it as it is.
fn shown(key: &[u8]) -> String {
    match str::from_utf8(key) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => quoted(key),
    }
}

/// What stands on a terminal while the walk goes on.
fn tell(so_far: f64) -> Result<(), Failure> {
    let bars = "|".repeat((so_far * 0.6) as usize);
    show(format!("\r{so_far:6.2}% {bars}").as_bytes())?;
    io::Write::flush(&mut io::stdout()).ok();
    Ok(())
}

/// One step of the walk. False at its end.
fn step(
    walk: &mut Walk,
    connection: &mut Connection,
    seen: &mut Seen,
    samples: Option<&str>,
) -> Result<bool, Failure> {
    let Some(keys) = walk.next(connection)? else {
        return Ok(false);
    };
    let types = connection.pipeline(&requests(&keys, &["TYPE"], &[]))?;
    let mut asked = Vec::new();
    let mut calls = Vec::new();
    for (key, reply) in keys.iter().zip(&types) {
        let Some(name) = type_of(reply)? else {
            continue;
        };
        let one = std::slice::from_ref(key);
        let after: &[&str] = match &samples {
            Some(samples) => &["SAMPLES", samples],
            None => &[],
        };
        calls.extend(requests(one, &["MEMORY", "USAGE"], after));
        // A type that nobody knows how to measure has no elements.
        let length = size_of(&name).map_or("EXISTS", |(command, _)| command);
        calls.extend(requests(one, &[length], &[]));
        asked.push((key, name));
    }
    let figures = connection.pipeline(&calls)?;
    for ((key, name), pair) in asked.into_iter().zip(figures.chunks(2)) {
        // Gone, or of another type, since TYPE saw it.
        let [Reply::Int(bytes), Reply::Int(elements)] = pair else {
            continue;
        };
        let elements = match size_of(&name) {
            Some(_) => elements.unsigned_abs(),
            None => 0,
        };
        let place = seen.kind(name);
        seen.add(key, place, bytes.unsigned_abs(), elements);
    }
    Ok(true)
}

/// Walks over all keys and prints the report; Ctrl-C ends the walk early.
pub fn report(session: &mut Session, samples: Option<u64>) -> Result<(), Failure> {
    show(INTRODUCTION.as_bytes())?;
    let mut walk = Walk::new(session, 100);
    let mut seen = Seen::new(session.options.top)?;
    let samples = samples.map(|samples| samples.to_string());
    let interrupted = session
        .catch_interrupts()
        .map_err(|error| Failure::from(error.to_string()))?;
    let connection = session.connection()?;
    let total = count(connection)?;
    let is_terminal = io::stdout().is_terminal();
    let mut told = Instant::now();
    while !interrupted() && step(&mut walk, connection, &mut seen, samples.as_deref())? {
        if is_terminal && told.elapsed() > TELL_EVERY {
            tell(percent(seen.keys, total).min(100.0))?;
            told = Instant::now();
        }
    }
    if is_terminal {
        show(b"\r\x1b[2K")?;
    }
    let text = seen
        .write(total)
        .map_err(|error| Failure::from(error.to_string()))?;
    show(text.as_bytes())?;
    if let Some(cursor) = walk.cursor()
        && interrupted()
    {
        let cursor = String::from_utf8_lossy(cursor);
        let text = format!(
            "\nScan interrupted:\nUse 'redpoll cli --keystats --cursor {cursor}' to restart from the last cursor.\n"
        );
        show(text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_as_people_read_them() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_044_000, "1019.53K"),
            (3 << 20, "3.00M"),
            (u64::MAX, "16.00E"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn of_equal_keys_the_first_are_the_top() {
        let mut seen = Seen::new(2).unwrap();
        let string = seen.kind("string".into());
        for (key, bytes) in [("a", 5), ("b", 5), ("c", 5), ("d", 7), ("e", 1)] {
            seen.add(key.as_bytes(), string, bytes, 1);
        }
        let names: Vec<&[u8]> = seen.top.iter().map(|(.., key)| &key[..]).collect();
        assert_eq!(names, [b"d", b"a"]);
        // None asked for is none.
        let mut seen = Seen::new(0).unwrap();
        seen.add(b"a", 0, 5, 1);
        assert!(seen.top.is_empty());
    }

    #[test]
    fn nothing_seen_is_told_of_too() {
        let text = Seen::new(10).unwrap().write(0).unwrap();
        assert!(text.starts_with("  0.00% keys scanned\nKeys sampled: 0\n"));
        assert!(text.contains("Mean: 0B, StdDeviation: 0B\n"));
        assert!(text.contains("Total key length is 0B (0 avg)\n"));
    }
}
