//! Pictures of what was measured: `cargo xtask bench --plot` redraws those of the README from the tables of docs/benchmarks.md
//! and docs/bench-report.md, or from another report's.
//!
//! The tables are the data, so that pictures and pages cannot say different things; a test holds them together. Bars, drawn by
//! hand, on a white ground so that they can be read on a dark page too.

use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::path::Path;

use crate::run;

/// A picture: where it goes, what it says, and the rows it shows.
struct Picture {
    file: &'static str,
    title: &'static str,
    unit: &'static str,
    /// The column that figures are in, for tables with a server a row; else servers are columns.
    column: Option<&'static str>,
    /// The beginning of the header of a table with a server a column.
    table: &'static str,
    /// Rows by their first cell, and how they are called in the picture.
    rows: &'static [(&'static str, &'static str)],
}

const PICTURES: &[Picture] = &[
    Picture {
        file: "docs/bench-cpu.svg",
        title: "CPU per request",
        unit: "microseconds of one core, 1 M keys, 64-byte values; less is better",
        column: Some("server CPU us/request"),
        table: "scenario",
        rows: &[
            ("one-core/get-p16-1m", "GET, 16 in a pipeline"),
            ("one-core/set-p16-1m", "SET, 16 in a pipeline"),
            ("one-core/get-p64-1m", "GET, 64 in a pipeline"),
            ("one-core/set-p64-1m", "SET, 64 in a pipeline"),
        ],
    },
    Picture {
        file: "docs/bench-memory.svg",
        title: "Bytes a key",
        unit: "resident, with everything, 6 M keys of 16 bytes; less is better",
        column: None,
        table: "resident bytes an element, 6 M keys",
        rows: &[
            ("string, 16 B key, 32 B value", "value of 32 bytes"),
            (
                "string with TTL, 16 B key, 32 B value",
                "the same with an expiry",
            ),
            ("string, 16 B key, integer", "integer"),
        ],
    },
    Picture {
        file: "docs/bench-stops.svg",
        title: "Longest stop",
        unit: "milliseconds, 3 M keys, 20,000 SETs a second beside it; less is better",
        column: None,
        table: "3 M strings of 256 B",
        rows: &[
            ("no save: p99.9, longest (ms)", "nothing else"),
            ("BGSAVE: p99.9, longest (ms)", "a snapshot is written"),
            ("BGREWRITEAOF: p99.9, longest (ms)", "the log is rewritten"),
        ],
    },
];

/// Servers by the beginning of their names, with their colours. Of several versions the last column or row counts: the newest.
const SERVERS: [(&str, &str); 3] = [
    ("Redpoll", "#a3202d"),
    ("Redis", "#8f979e"),
    ("Valkey", "#4f78a8"),
];

/// The pages whose tables are drawn when no other is named.
const PAGES: [&str; 2] = ["docs/benchmarks.md", "docs/bench-report.md"];

/// Draws all pictures whose figures a report has, or, without one, the project's pages. Says which those are.
pub fn main(report: Option<&Path>) -> Result<()> {
    let tables = match report {
        Some(report) => tables(&read(report)?),
        None => pages()?,
    };
    let mut drawn = 0;
    for picture in PICTURES {
        match svg(picture, &tables) {
            Some(svg) => {
                std::fs::write(run::root().join(picture.file), svg)?;
                println!("drawn    {}", picture.file);
                drawn += 1;
            }
            None => println!(
                "left out {}: the report has none of its figures",
                picture.file
            ),
        }
    }
    match drawn {
        0 => bail!("the report has no table that is drawn"),
        _ => Ok(()),
    }
}

fn read(page: &Path) -> Result<String> {
    std::fs::read_to_string(page).with_context(|| page.display().to_string())
}

/// The tables of all of `PAGES`.
fn pages() -> Result<Vec<Table>> {
    let mut all = Vec::new();
    for page in PAGES {
        all.extend(tables(&read(&run::root().join(page))?));
    }
    Ok(all)
}

/// Cells of a table of Markdown, its header first.
type Table = Vec<Vec<String>>;

fn tables(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let Some(row) = line
            .trim()
            .strip_prefix('|')
            .and_then(|row| row.strip_suffix('|'))
        else {
            inside = false;
            continue;
        };
        let cells: Vec<String> = row.split('|').map(|cell| cell.trim().to_owned()).collect();
        let is_rule = cells
            .iter()
            .all(|cell| !cell.is_empty() && cell.chars().all(|c| c == '-' || c == ':'));
        match (inside, is_rule, tables.last_mut()) {
            (true, true, _) => {}
            (true, false, Some(table)) => table.push(cells),
            _ => {
                tables.push(vec![cells]);
                inside = true;
            }
        }
    }
    tables
}

/// The number in a cell; of several, with commas between them, the last: the longest stop comes after the percentile.
fn number(cell: &str) -> Option<f64> {
    cell.rsplit(", ").next()?.trim_matches('*').parse().ok()
}

/// The figures of one row of a picture, in the order of `SERVERS`, with the servers' full names.
fn figures(picture: &Picture, row: &str, tables: &[Table]) -> Option<Vec<(String, f64)>> {
    let mut found = Found::default();
    for table in tables {
        let (header, rows) = table.split_first()?;
        match picture.column {
            Some(column) => {
                let Some(at) = header.iter().position(|cell| cell == column) else {
                    continue;
                };
                // A scenario stands in its first row only.
                let mut scenario = "";
                for cells in rows {
                    let first = cells.first().map_or("", String::as_str);
                    if !first.is_empty() {
                        scenario = first;
                    }
                    if scenario == row
                        && let (Some(name), Some(cell)) = (cells.get(1), cells.get(at))
                    {
                        found.note(name, cell);
                    }
                }
            }
            None => {
                let starts = header.first().is_some_and(|cell| cell == picture.table);
                let Some(cells) = rows.iter().find(|cells| starts && cells[0] == row) else {
                    continue;
                };
                for (name, cell) in header.iter().zip(cells) {
                    found.note(name, cell);
                }
            }
        }
        if found.0.iter().all(Option::is_some) {
            return found.0.into_iter().collect();
        }
    }
    None
}

/// The figures of `SERVERS`, as far as they were found.
#[derive(Default)]
struct Found([Option<(String, f64)>; SERVERS.len()]);

impl Found {
    fn note(&mut self, name: &str, cell: &str) {
        // A server with more threads than the others is another comparison.
        if name.contains(',') {
            return;
        }
        let place = SERVERS
            .iter()
            .position(|(server, _)| name.starts_with(server));
        if let (Some(place), Some(n)) = (place, number(cell)) {
            self.0[place] = Some((name.to_owned(), n));
        }
    }
}

const WIDTH: f64 = 460.0;
const LEFT: f64 = 16.0;
const BAR: f64 = 17.0;
const STEP: f64 = 20.0;
const NAME: f64 = 96.0;
const VALUE: f64 = 52.0;

/// The picture as a document of its own.
fn svg(picture: &Picture, tables: &[Table]) -> Option<String> {
    let rows: Vec<(&str, Vec<(String, f64)>)> = picture
        .rows
        .iter()
        .filter_map(|(row, label)| Some((*label, figures(picture, row, tables)?)))
        .collect();
    let most = rows
        .iter()
        .flat_map(|(_, bars)| bars.iter().map(|(_, n)| *n))
        .fold(0.0, f64::max);
    if rows.is_empty() || most <= 0.0 {
        return None;
    }
    let group = 24.0 + STEP * SERVERS.len() as f64 + 10.0;
    let height = 62.0 + group * rows.len() as f64;
    let room = WIDTH - LEFT * 2.0 - NAME - VALUE;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>{}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"17\" font-weight=\"bold\" fill=\"#222\">{}</text>\n\
         <text x=\"{LEFT}\" y=\"44\" font-size=\"11\" fill=\"#666\">{}</text>",
        escape(&spoken(picture, &rows)),
        escape(picture.title),
        escape(picture.unit)
    );
    let mut y = 58.0;
    for (label, bars) in &rows {
        let _ = writeln!(
            out,
            "<text x=\"{LEFT}\" y=\"{:.0}\" fill=\"#222\">{}</text>",
            y + 15.0,
            escape(label)
        );
        y += 24.0;
        for ((name, n), (_, colour)) in bars.iter().zip(SERVERS) {
            let width = (n / most * room).max(1.0);
            let weight = if name.starts_with("Redpoll") {
                "bold"
            } else {
                "normal"
            };
            let _ = writeln!(
                out,
                "<text x=\"{LEFT}\" y=\"{:.0}\" font-size=\"12\" font-weight=\"{weight}\" fill=\"#444\">{}</text>\
                 <rect x=\"{:.0}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{:.0}\" font-size=\"12\" font-weight=\"{weight}\" fill=\"#222\">{n}</text>",
                y + 13.0,
                escape(name),
                LEFT + NAME,
                LEFT + NAME + width + 6.0,
                y + 13.0,
            );
            y += STEP;
        }
        y += 10.0;
    }
    out.push_str("</svg>\n");
    Some(out)
}

/// The figures in a sentence, for who does not see them.
fn spoken(picture: &Picture, rows: &[(&str, Vec<(String, f64)>)]) -> String {
    let row = |(label, bars): &(&str, Vec<(String, f64)>)| {
        let bars: Vec<String> = bars.iter().map(|(name, n)| format!("{name} {n}")).collect();
        format!("{label}: {}", bars.join(", "))
    };
    let rows: Vec<String> = rows.iter().map(row).collect();
    format!("{} ({}). {}", picture.title, picture.unit, rows.join("; "))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_both_kinds_of_tables() {
        let text = "| scenario | server | requests/s | server CPU us/request |\n|---|---|---:|---:|\n\
                    | one-core/get-p16-1m | Redpoll | 9 | 0.5 |\n|  | Redis 7.0.15 | 9 | 1.5 |\n|  | Redis 8.2.3 | 9 | 1.0 |\n\
                    |  | Valkey 9.1.2 | 9 | 0.7 |\n|  | Valkey 9.1.2, 2 io-threads | 9 | 3 |\n\n\
                    | 3 M strings of 256 B | Redpoll | Redis 8.6.2 | Valkey 9.1.2 | asked |\n|---|---:|---:|---:|---|\n| BGSAVE: p99.9, longest (ms) | 44, 67 | 110, 113 | 534, 540 | 2 |\n";
        let tables = tables(text);
        let cpu = figures(&PICTURES[0], "one-core/get-p16-1m", &tables).unwrap();
        assert_eq!(cpu[1], ("Redis 8.2.3".to_owned(), 1.0));
        assert_eq!(cpu[2].1, 0.7);
        let stops = figures(&PICTURES[2], "BGSAVE: p99.9, longest (ms)", &tables).unwrap();
        assert_eq!(
            stops.iter().map(|(_, n)| *n).collect::<Vec<_>>(),
            [67.0, 113.0, 540.0]
        );
        assert!(svg(&PICTURES[0], &tables).is_some());
        assert!(svg(&PICTURES[1], &tables).is_none());
    }

    /// After a change of one of the pages: `cargo xtask bench --plot`.
    #[test]
    fn the_pictures_are_those_of_the_page() {
        let root = run::root();
        let tables = pages().unwrap();
        for picture in PICTURES {
            let there = std::fs::read_to_string(root.join(picture.file)).unwrap_or_default();
            let drawn = svg(picture, &tables).expect(picture.file);
            assert!(
                there == drawn,
                "{}: cargo xtask bench --plot redraws it",
                picture.file
            );
        }
    }
}
