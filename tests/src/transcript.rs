//! Conversations of several clients with a server, written down as lines and held against real servers.
//!
//! Each line is one client's command: the client's letter, then how it is sent, then the command in Redis's quoting.
//!
//! | line | means |
//! |---|---|
//! | `a: GET k` | sends it and takes the reply |
//! | `a~ BLPOP k 0` | sends it and waits until the server says that the client blocks |
//! | `a<` | takes the next reply or push of that client |
//! | `a-` | the client goes away |
//! | `# ...` | a remark |
//!
//! [`replies`] gives what a server said, a line each; [`agree`] compares two servers.

use crate::check::show;
use crate::{Client, Server, eventually};
use resp::{Limits, Parser, Value};
use std::collections::BTreeMap;

/// Splits a command as an inline command is split.
#[track_caller]
pub fn words(line: &str) -> Vec<Vec<u8>> {
    let mut parser = Parser::new();
    let mut argv = Vec::new();
    let bytes = format!("{line}\r\n").into_bytes();
    parser
        .next(&bytes, &Limits::default(), &mut argv)
        .expect("a command line");
    let own = |argv: &[&[u8]]| argv.iter().map(|a| a.to_vec()).collect();
    match parser.take_rewritten() {
        None => own(&argv),
        Some(request) => {
            let mut argv = Vec::new();
            Parser::new()
                .next(&request, &Limits::default(), &mut argv)
                .expect("a rewritten line");
            own(&argv)
        }
    }
}

fn blocked(observer: &mut Client) -> u64 {
    let (Value::Bulk(text) | Value::Verbatim(_, text)) = observer.run("INFO clients") else {
        panic!("INFO is text")
    };
    let text = String::from_utf8_lossy(&text);
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix("blocked_clients:"));
    line.and_then(|n| n.trim().parse().ok())
        .expect("INFO tells the number of blocked clients")
}

/// What the server says, line by line. The data set is emptied first.
#[track_caller]
pub fn replies(server: &Server, script: &str, resp3: bool) -> Vec<String> {
    let mut observer = server.connect();
    observer.run("FLUSHALL");
    observer.run("FUNCTION FLUSH");
    observer.run("SCRIPT FLUSH");
    let mut clients: BTreeMap<char, Client> = BTreeMap::new();
    let mut said = Vec::new();
    for line in script.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut chars = line.chars();
        let (Some(name), Some(how)) = (chars.next(), chars.next()) else {
            panic!("a line of a transcript: {line}")
        };
        let client = clients.entry(name).or_insert_with(|| {
            let mut client = server.connect();
            if resp3 {
                client.run("HELLO 3");
            }
            client
        });
        let command = chars.as_str().trim();
        match how {
            ':' => said.push(format!(
                "{line}  ->  {}",
                show(&client.call(&words(command)))
            )),
            '~' => {
                let before = blocked(&mut observer);
                client.send(&words(command));
                eventually(line, || blocked(&mut observer) > before);
            }
            '<' => said.push(format!("{line}  {}", show(&client.read()))),
            '-' => {
                let before = blocked(&mut observer);
                clients.remove(&name);
                if before > 0 {
                    eventually(line, || blocked(&mut observer) < before);
                }
            }
            _ => panic!("a line of a transcript: {line}"),
        }
    }
    said
}

/// Runs transcripts on both servers in both protocols and compares; panics with the first difference of each.
#[track_caller]
pub fn agree(ours: &Server, theirs: &Server, scripts: &[&str]) {
    let mut differences = String::new();
    for (number, script) in scripts.iter().enumerate() {
        for resp3 in [false, true] {
            let (we, they) = (replies(ours, script, resp3), replies(theirs, script, resp3));
            let both = we.iter().zip(&they).enumerate();
            if let Some((line, (w, t))) = both.into_iter().find(|(_, (w, t))| w != t) {
                differences.push_str(&format!(
                    "transcript {number}, line {line}, RESP{}\n  {:9}{w}\n  {:9}{t}\n",
                    if resp3 { 3 } else { 2 },
                    ours.name(),
                    theirs.name(),
                ));
            }
        }
    }
    assert!(differences.is_empty(), "{differences}");
}
