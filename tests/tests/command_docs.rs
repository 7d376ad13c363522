//! COMMAND and its subcommands, compared with what the real servers say about the same commands.
//!
//! Client libraries, proxies and completion tools read these replies, so every field that is a fact (arity, flags, key
//! positions, ACL categories, tips, key specifications, arguments) must equal that of Valkey 9 or Redis 8. Wording is ours:
//! of summaries, complexities and histories only the presence is compared.

use redpoll_tests::check::{check, show};
use redpoll_tests::{Client, Peers, Server};
use resp::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Groups of which every command must be there.
const GROUPS: &[&str] = &[
    "string",
    "generic",
    "bitmap",
    "connection",
    "list",
    "hash",
    "set",
    "sorted-set",
    "stream",
    "hyperloglog",
    "geo",
    "transactions",
    "scripting",
    "pubsub",
    "cluster",
];

/// Commands of those groups that are still to come. A test fails as soon as one of them exists, so that the list stays true.
const NOT_YET: &[&str] = &[];

/// Commands of Redis versions that no server at hand is of: their facts are those of their published documentation, which
/// nothing can be held against here.
const PUBLISHED: &[&str] = &[
    "increx",
    "xnack",
    "lmovem",
    "blmovem",
    "sunioncard",
    "sdiffcard",
    "saddex",
    "sexpire",
    "sexpireat",
    "sexpiretime",
    "spersist",
    "spexpire",
    "spexpireat",
    "spexpiretime",
    "spttl",
    "sttl",
    "zmove",
    "bzmove",
    "zmovemember",
    "bless",
    "bless|set",
    "bless|clear",
    "bless|get",
    "bless|scan",
    "bless|help",
];

/// Commands of ours, which no real server has.
const OURS: &[&str] = &["client|waits", "hotkeys|top", "memory|tree"];

/// Arguments of such versions of commands that are older: AGGREGATE COUNT, and XREAD's MAXCOUNT and MAXSIZE.
const PUBLISHED_ARGUMENTS: &[&str] = &[
    r#" {name="count" since="8.8.0" token="COUNT" type="pure-token"}"#,
    r#" {flags=[optional] name="maxcount" since="8.10.0" token="MAXCOUNT" type="integer"}"#,
    r#" {flags=[optional] name="maxsize" since="8.10.0" token="MAXSIZE" type="integer"}"#,
];

/// Commands of other groups that must be there.
const ALSO: &[&str] = &[
    "command", "info", "dbsize", "flushdb", "flushall", "swapdb", "time", "lolwut", "config",
    "shutdown", "memory", "debug", "monitor",
];

/// Containers that have all subcommands of one of the newer servers; the others have some of them.
const COMPLETE: &[&str] = &["client", "command", "object", "pubsub", "function"];

/// What a server says about its commands, both replies merged: command (`config` or `config|get`) to field to canonical text.
type Facts = BTreeMap<String, BTreeMap<String, String>>;

#[test]
fn facts_equal_those_of_a_newer_server() {
    let Some((ours, theirs)) = all_facts("facts_equal_those_of_a_newer_server") else {
        return;
    };
    let mut wrong = Vec::new();
    for (command, fields) in &ours {
        let known: Vec<_> = theirs
            .iter()
            .filter_map(|(name, facts)| Some((*name, facts.get(command)?)))
            .collect();
        if known.is_empty() {
            if PUBLISHED.contains(&command.as_str()) || OURS.contains(&command.as_str()) {
                continue;
            }
            wrong.push(format!("{command}: no real server knows it"));
            continue;
        }
        let names: BTreeSet<&String> = fields
            .keys()
            .chain(known.iter().flat_map(|(_, facts)| facts.keys()))
            .collect();
        for field in names {
            let our = fields.get(field).map_or("(none)", String::as_str);
            let our = PUBLISHED_ARGUMENTS
                .iter()
                .fold(our.to_owned(), |text, newer| text.replace(newer, ""));
            let their: Vec<_> = known
                .iter()
                .map(|(name, facts)| (*name, facts.get(field).map_or("(none)", String::as_str)))
                .collect();
            if field == "subcommands" && !COMPLETE.contains(&command.as_str()) {
                // Each subcommand that is there is compared like a command.
                continue;
            }
            if !their.iter().any(|(_, text)| *text == our) {
                let mut lines = format!("{command}, {field}:\n    redpoll  {our}");
                for (name, text) in their {
                    lines += &format!("\n    {name:<8} {text}");
                }
                wrong.push(lines);
            }
        }
    }
    let shown = wrong
        .iter()
        .take(40)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n  ");
    assert!(
        wrong.is_empty(),
        "{} facts differ, the first:\n  {shown}",
        wrong.len()
    );
    assert!(
        ours.len() > 80,
        "only {} commands were compared",
        ours.len()
    );
}

#[test]
fn every_command_of_the_groups_exists() {
    let Some((ours, theirs)) = all_facts("every_command_of_the_groups_exists") else {
        return;
    };
    let mut wanted: BTreeSet<&str> = ALSO.iter().copied().collect();
    for (_, facts) in &theirs {
        for (command, fields) in facts {
            if fields
                .get("group")
                .is_some_and(|g| GROUPS.contains(&g.trim_matches('"')))
            {
                wanted.insert(command);
            }
        }
    }
    assert!(
        wanted.len() > 80,
        "the real servers list only {} commands",
        wanted.len()
    );
    let missing: Vec<_> = wanted
        .iter()
        .filter(|c| !NOT_YET.contains(c) && !ours.contains_key(**c))
        .collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    let early: Vec<_> = NOT_YET.iter().filter(|c| ours.contains_key(**c)).collect();
    assert!(
        early.is_empty(),
        "no longer missing, take them off the list: {early:?}"
    );
}

/// A fact may be that of either server; what one of them lets be said to a command can be said here in any case.
#[test]
fn every_word_of_an_argument_is_known() {
    let Some((ours, theirs)) = all_facts("every_word_of_an_argument_is_known") else {
        return;
    };
    let mut seen = 0;
    let mut missing = Vec::new();
    for (server, facts) in &theirs {
        for (command, fields) in facts {
            let (Some(own), Some(arguments)) = (ours.get(command), fields.get("arguments")) else {
                continue;
            };
            let own = tokens(own.get("arguments").map_or("", String::as_str));
            for token in tokens(arguments) {
                seen += 1;
                if !own.contains(token) {
                    missing.push(format!("{command} {token} ({server})"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "not known: {missing:?}");
    assert!(seen > 500, "only {seen} words were looked for");
}

/// The words in the text of a command's arguments that announce one, or are one.
fn tokens(arguments: &str) -> BTreeSet<&str> {
    let parts = arguments.split("token=\"").skip(1);
    parts.filter_map(|part| part.split('"').next()).collect()
}

#[test]
fn counts_and_lists_agree() {
    let server = Server::redpoll();
    let mut c = server.connect();
    let Value::Int(count) = c.run("COMMAND COUNT") else {
        panic!("COMMAND COUNT is a number")
    };
    let all = items(c.run("COMMAND"));
    // COMMAND LIST names subcommands too, as container|subcommand.
    let names: Vec<String> = strings(c.run("COMMAND LIST"))
        .into_iter()
        .filter(|name| !name.contains('|'))
        .collect();
    let docs = items(c.run("COMMAND DOCS"));
    assert_eq!(usize::try_from(count).ok(), Some(all.len()));
    assert_eq!(names.len(), all.len());
    assert_eq!(docs.len(), 2 * all.len(), "in RESP2 a map is a flat array");
    let from_info: BTreeSet<String> = all.into_iter().map(|info| text(&items(info)[0])).collect();
    assert_eq!(from_info, names.iter().cloned().collect());
}

#[test]
fn list_filters() {
    let server = Server::redpoll();
    let mut c = server.connect();
    let gets = strings(c.run("COMMAND LIST FILTERBY PATTERN get*"));
    assert!(
        gets.contains(&"getrange".to_owned()) && gets.iter().all(|name| name.starts_with("get")),
        "{gets:?}"
    );
    let subcommands = strings(c.run("COMMAND LIST FILTERBY PATTERN config|g*"));
    assert_eq!(subcommands, ["config|get"]);
    let strings_only = strings(c.run("COMMAND LIST FILTERBY ACLCAT string"));
    assert!(
        strings_only.contains(&"append".to_owned()) && !strings_only.contains(&"del".to_owned())
    );
    check(&mut c, "COMMAND LIST FILTERBY ACLCAT nosuchcategory", "[]");
    check(&mut c, "COMMAND LIST FILTERBY MODULE nosuchmodule", "[]");
}

#[test]
fn lookups_of_one_command() {
    let server = Server::redpoll();
    let mut c = server.connect();
    check(&mut c, "COMMAND INFO nosuchcommand", "[nil]");
    check(&mut c, "COMMAND DOCS nosuchcommand", "[]");
    let info = items(c.run("COMMAND INFO GET config|get"));
    assert_eq!(info.len(), 2);
    assert_eq!(show(&items(info[0].clone())[0]), "\"get\"");
    assert_eq!(show(&items(info[1].clone())[0]), "\"config|get\"");
    check(&mut c, "COMMAND GETKEYS MSET a 1 b 2", "[\"a\", \"b\"]");
    check(
        &mut c,
        "COMMAND GETKEYS PING",
        "-ERR The command has no key arguments",
    );
    check(
        &mut c,
        "COMMAND GETKEYSANDFLAGS SET k v",
        "[[\"k\", [OW, update]]]",
    );
}

/// Facts of Redpoll and of the newer servers; None (and reported as skipped) without them.
fn all_facts(test: &str) -> Option<(Facts, Vec<(&'static str, Facts)>)> {
    let peers = Peers::find().or_skip(test)?;
    let mut theirs = Vec::new();
    for (name, peer) in [
        ("valkey", peers.valkey),
        ("redis", peers.redis8),
        ("newest", peers.redis8_6),
    ] {
        if let Some(peer) = peer {
            theirs.push((name, facts(&mut Server::peer(&peer, &[]).connect())));
        }
    }
    let server = Server::redpoll();
    let ours = facts(&mut server.connect());
    Some((ours, theirs))
}

fn facts(client: &mut Client) -> Facts {
    client.run("HELLO 3");
    let mut facts = Facts::new();
    for info in items(client.run("COMMAND")) {
        add_info(&mut facts, info);
    }
    let Value::Map(docs) = client.run("COMMAND DOCS") else {
        panic!("COMMAND DOCS is a map")
    };
    for (name, doc) in docs {
        add_docs(&mut facts, text(&name), doc);
    }
    facts
}

/// The fields of COMMAND INFO by position, and those of its subcommands as commands of their own.
fn add_info(facts: &mut Facts, info: Value) {
    const POSITIONS: [&str; 10] = [
        "name",
        "arity",
        "flags",
        "first key",
        "last key",
        "step",
        "ACL categories",
        "tips",
        "key specifications",
        "subcommands",
    ];
    let values = items(info);
    assert_eq!(values.len(), POSITIONS.len(), "COMMAND INFO has ten fields");
    let name = text(&values[0]);
    for (position, value) in POSITIONS.into_iter().zip(values) {
        let fact = if position == "subcommands" {
            let mut names = Vec::new();
            for subcommand in items(value) {
                let subname = text(&items(subcommand.clone())[0]);
                if !OURS.contains(&subname.as_str()) {
                    names.push(subname);
                }
                add_info(facts, subcommand);
            }
            names.sort();
            names.join(" ")
        } else {
            canonical(&value)
        };
        facts
            .entry(name.clone())
            .or_default()
            .insert(position.to_owned(), fact);
    }
}

fn add_docs(facts: &mut Facts, name: String, doc: Value) {
    let Value::Map(fields) = doc else {
        panic!("the docs of {name} are a map")
    };
    for (field, value) in fields {
        let field = text(&field);
        let fact = match field.as_str() {
            "subcommands" => {
                let Value::Map(subcommands) = value else {
                    panic!("subcommands are a map")
                };
                for (name, doc) in subcommands {
                    add_docs(facts, text(&name), doc);
                }
                continue;
            }
            "summary" | "complexity" | "replaced_by" => "(present)".to_owned(),
            // Pairs of a version and a sentence.
            "history" => {
                let versions: Vec<String> = items(value)
                    .into_iter()
                    .map(|pair| text(&items(pair)[0]))
                    .collect();
                versions.join(" ")
            }
            _ => canonical(&value),
        };
        facts.entry(name.clone()).or_default().insert(field, fact);
    }
}

/// Text of a value that does not depend on the order of maps and sets, nor on whether an empty set is written as an array, and
/// leaves out wording.
fn canonical(value: &Value) -> String {
    let list = |values: &[Value]| values.iter().map(canonical).collect::<Vec<_>>();
    match value {
        Value::Set(values) => {
            let mut texts = list(values);
            texts.sort();
            format!("[{}]", texts.join(" "))
        }
        Value::Array(values) => format!("[{}]", list(values).join(" ")),
        Value::Map(pairs) => {
            let is_wording = |key: &str| ["notes", "summary", "display_text"].contains(&key);
            let mut texts: Vec<_> = pairs
                .iter()
                .filter(|(key, _)| !is_wording(&text(key)))
                .map(|(key, value)| format!("{}={}", text(key), canonical(value)))
                .collect();
            texts.sort();
            format!("{{{}}}", texts.join(" "))
        }
        other => show(other),
    }
}

fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        other => panic!("not an array: {}", show(&other)),
    }
}

fn strings(value: Value) -> Vec<String> {
    items(value).iter().map(text).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Simple(text) => text.clone(),
        other => panic!("not a string: {}", show(other)),
    }
}
