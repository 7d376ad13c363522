//! Which of our crates may depend on which, held against what `cargo metadata` says; and inside of the larger crates, which room
//! may import which, held against the code. [`library`] holds that the library shows its users no type of another crate, and [`surface`] that crates
//! show each other no more than they use.

use crate::{library, rooms, run, surface};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Which of our crates each crate imports, outside its tests and examples, by short names (without the prefix `redpoll-`).
/// Imports go one way: `resp`, `store` <- `rdb` <- `engine` <- `redpoll`, `http` <- `server` <- `cli`; `resp` and `store` do not
/// know each other, `lua` knows only `resp`, and `disk` nobody.
///
/// A crate or an edge that is not in this table fails the check, because adding one is a decision; so does an edge of the
/// table that the code does not have, because the table is read as what the code needs.
const CRATES: &[(&str, &[&str])] = &[
    ("resp", &[]),
    ("store", &[]),
    ("lua", &["resp"]),
    ("rdb", &["resp", "store"]),
    ("disk", &[]),
    ("engine", &["lua", "rdb", "resp", "store"]),
    ("keeper", &["disk", "engine", "rdb", "resp", "store"]),
    (
        "replication",
        &["disk", "engine", "keeper", "rdb", "resp", "store"],
    ),
    (
        "redpoll",
        &["engine", "keeper", "replication", "resp", "store"],
    ),
    ("http", &["engine", "resp"]),
    (
        "server",
        &["engine", "http", "redpoll", "replication", "resp"],
    ),
    ("bench", &[]),
    ("terminal", &["engine", "resp"]),
    (
        "cli",
        &[
            "bench",
            "disk",
            "engine",
            "keeper",
            "rdb",
            "replication",
            "resp",
            "server",
            "terminal",
        ],
    ),
    ("tests", &["resp"]),
    ("benches", &[]),
    ("fuzz-targets", &["disk", "lua", "rdb", "resp", "store"]),
    ("xtask", &[]),
];

/// Crates that stay free of an async runtime, tests included: no lock of theirs can be held across an await.
const WITHOUT_TOKIO: &[&str] = &[
    "resp",
    "store",
    "rdb",
    "disk",
    "lua",
    "engine",
    "keeper",
    "replication",
];

/// What a crate shows though no other crate names it, and why: see [`surface`].
const SHOWN: &[(&str, &str, &str)] = &[(
    "server",
    "RunningServer::http_addresses",
    "a program that has the system choose ports asks for them, of HTTP as of the others",
)];

/// The rooms of a crate, from the bottom up, each with the rooms that it imports. A room is a folder or file in the crate's
/// `src/`; `lib.rs` names them all and is no room. The rules are those of [`CRATES`]: no import that is not here, and nothing
/// here that the code does not need; and a room imports only rooms that stand before it, so that there is no circle.
type Rooms = &'static [(&'static str, &'static [&'static str])];

const ROOMS: &[(&str, Rooms)] = &[
    ("bench", BENCH),
    ("disk", DISK),
    ("engine", ENGINE),
    ("http", HTTP),
    ("keeper", KEEPER),
    ("lua", LUA),
    ("rdb", RDB),
    ("redpoll", REDPOLL),
    ("replication", REPLICATION),
    ("resp", RESP),
    ("server", SERVER),
    ("store", STORE),
    ("terminal", TERMINAL),
];

/// The keyspace; its `lib.rs` says what each room is.
const STORE: Rooms = &[
    ("lzf", &[]),
    ("mem", &[]),
    ("table", &["mem"]),
    ("types", &["lzf", "mem", "table"]),
    ("dict", &["mem", "table", "types"]),
    ("shard", &["dict", "mem", "table"]),
];

/// Commands. Between `table`, what a command is, and `dispatch`, who runs it, no handler knows who called it.
const ENGINE: Rooms = &[
    ("base", &[]),
    ("config", &["base"]),
    ("client", &["config"]),
    ("door", &["base", "client"]),
    ("ops", &["base", "door"]),
    ("script", &["base"]),
    ("table", &[]),
    ("acl", &["base", "table"]),
    ("follow", &["base", "client", "config", "door", "table"]),
    ("evict", &["base", "door", "follow"]),
    (
        "context",
        &[
            "acl", "base", "client", "config", "door", "evict", "follow", "script", "table",
        ],
    ),
    ("bridge", &["base", "context", "door", "script", "table"]),
    (
        "cmd",
        &[
            "acl", "base", "bridge", "client", "config", "context", "door", "follow", "ops",
            "script", "table",
        ],
    ),
    ("direct", &["base", "context", "door"]),
    (
        "dispatch",
        &[
            "base", "context", "direct", "door", "follow", "script", "table",
        ],
    ),
    ("upkeep", &["base", "cmd", "context", "door", "evict"]),
    ("insight", &["base", "client", "cmd", "context", "follow"]),
    // Built only for tests and fuzzing.
    (
        "fuzz",
        &["base", "client", "config", "context", "dispatch", "upkeep"],
    ),
    (
        "start",
        &["base", "cmd", "config", "context", "dispatch", "upkeep"],
    ),
];

/// The network server: sockets and certificates at the bottom, then what a worker's connections share, then who uses it.
const SERVER: Rooms = &[
    ("input", &[]),
    ("lines", &[]),
    ("service", &[]),
    ("system", &[]),
    ("listen", &["system"]),
    ("syslog", &["lines", "system"]),
    ("logging", &["lines", "syslog", "system"]),
    ("tls", &["system"]),
    ("dial", &["tls"]),
    ("http_port", &["listen", "tls"]),
    ("tls_stream", &[]),
    ("handshake", &["tls", "tls_stream"]),
    ("plain", &[]),
    ("outbox", &["plain"]),
    ("stream", &["plain", "tls_stream"]),
    ("output", &["stream"]),
    ("wire", &["stream", "tls_stream"]),
    ("commit", &[]),
    ("seat", &["commit", "outbox", "tls_stream"]),
    (
        "connection",
        &["input", "outbox", "output", "seat", "stream", "tls"],
    ),
    ("worker", &["connection", "seat"]),
    ("stopping", &["listen"]),
    (
        "host",
        &[
            "http_port",
            "listen",
            "logging",
            "seat",
            "service",
            "stopping",
            "system",
            "tls",
        ],
    ),
    (
        "control",
        &[
            "handshake",
            "host",
            "listen",
            "seat",
            "stopping",
            "system",
            "worker",
        ],
    ),
    (
        "server",
        &["control", "host", "listen", "seat", "stopping", "worker"],
    ),
];

/// HTTP without its sockets.
const HTTP: Rooms = &[
    ("answer", &[]),
    ("history", &[]),
    ("json", &[]),
    ("login", &[]),
    ("patience", &[]),
    ("peer", &[]),
    ("text", &[]),
    ("page", &["answer"]),
    ("command", &["json", "peer"]),
    ("shared", &["command", "history", "login"]),
    (
        "events",
        &[
            "answer", "command", "history", "json", "login", "peer", "shared",
        ],
    ),
    ("hot_keys", &["shared", "text"]),
    ("metrics", &["hot_keys", "shared", "text"]),
    (
        "route",
        &[
            "answer", "command", "events", "login", "metrics", "page", "peer", "shared", "text",
        ],
    ),
];

/// The log's files.
const DISK: Rooms = &[
    ("command", &[]),
    ("direct", &[]),
    ("disk", &["direct"]),
    ("error", &[]),
    ("guarded", &[]),
    ("manifest", &[]),
    ("piece", &[]),
    ("rewrite", &[]),
    ("room", &[]),
    // Built only for tests and fuzzing.
    ("faulty", &["disk"]),
    ("temp", &["disk"]),
    ("folder", &["disk", "error", "manifest", "temp"]),
    (
        "reader",
        &[
            "command", "disk", "error", "folder", "piece", "room", "temp",
        ],
    ),
    ("check", &["disk", "error", "folder", "reader"]),
    (
        "writer",
        &[
            "disk", "error", "folder", "manifest", "piece", "reader", "room", "temp",
        ],
    ),
    (
        "log",
        &[
            "disk", "error", "folder", "guarded", "reader", "temp", "writer",
        ],
    ),
];

/// The load generator.
const BENCH: Rooms = &[
    ("draw", &[]),
    ("process", &[]),
    ("skip", &[]),
    ("template", &["draw"]),
    ("args", &["draw", "template"]),
    ("connect", &["args", "skip"]),
    ("worker", &["connect", "skip", "template"]),
    (
        "stage",
        &["args", "connect", "draw", "process", "template", "worker"],
    ),
    ("report", &["args", "stage"]),
];

/// `redpoll cli` and `redpoll top`.
const TERMINAL: Rooms = &[("link", &[]), ("cli", &["link"]), ("top", &["cli", "link"])];

/// The protocol: numbers, then requests, then replies.
const RESP: Rooms = &[
    ("bigint", &[]),
    ("integer", &[]),
    ("proto", &[]),
    ("rounding", &["bigint"]),
    ("long_double", &["bigint", "rounding"]),
    ("shortest", &["integer"]),
    (
        "number",
        &["integer", "long_double", "rounding", "shortest"],
    ),
    ("request", &["number"]),
    ("reply", &["number", "proto", "request"]),
    ("decode", &["number", "reply"]),
];

/// RDB: building blocks, then values, then files and payloads.
const RDB: Rooms = &[
    ("crc64", &[]),
    ("kinds", &[]),
    ("malformed", &[]),
    ("cursor", &["malformed"]),
    ("listpack", &["cursor", "malformed"]),
    ("opcode", &[]),
    ("put", &["listpack", "opcode"]),
    ("settings", &[]),
    (
        "stream",
        &[
            "cursor",
            "kinds",
            "listpack",
            "malformed",
            "put",
            "settings",
        ],
    ),
    ("version", &[]),
    ("encode", &["kinds", "opcode", "put", "stream", "version"]),
    ("metadata", &["cursor", "malformed", "opcode", "version"]),
    ("ziplist", &["cursor", "listpack", "malformed"]),
    (
        "decode",
        &[
            "cursor",
            "kinds",
            "listpack",
            "malformed",
            "settings",
            "stream",
            "version",
            "ziplist",
        ],
    ),
    (
        "file",
        &[
            "crc64",
            "cursor",
            "decode",
            "encode",
            "kinds",
            "malformed",
            "metadata",
            "opcode",
            "put",
            "settings",
            "version",
        ],
    ),
    (
        "payload",
        &[
            "crc64",
            "cursor",
            "decode",
            "encode",
            "kinds",
            "malformed",
            "metadata",
            "opcode",
            "put",
            "settings",
            "version",
        ],
    ),
];

/// Scripts: Lua's API with its context at the bottom, libraries above, and the machine that has them all on top.
const LUA: Rooms = &[
    ("json_settings", &[]),
    ("number", &[]),
    ("pattern", &[]),
    ("random", &[]),
    ("server", &[]),
    ("sha", &[]),
    ("shebang", &[]),
    ("spec", &["shebang"]),
    (
        "ctx",
        &["json_settings", "pattern", "random", "server", "spec"],
    ),
    ("raw", &["ctx"]),
    ("bit", &["ctx", "raw"]),
    ("budget", &["ctx", "raw", "server"]),
    ("compile", &["budget", "raw"]),
    ("functions", &["ctx", "raw", "shebang", "spec"]),
    ("readonly", &["ctx", "raw"]),
    (
        "cjson",
        &[
            "budget",
            "ctx",
            "json_settings",
            "number",
            "raw",
            "readonly",
        ],
    ),
    ("cmsgpack", &["budget", "ctx", "raw", "readonly"]),
    ("strings", &["budget", "ctx", "pattern", "raw", "readonly"]),
    ("tables", &["budget", "ctx", "raw", "readonly"]),
    ("upvalues", &[]),
    ("reply", &["budget", "ctx", "raw", "upvalues"]),
    (
        "run",
        &["budget", "ctx", "raw", "readonly", "reply", "upvalues"],
    ),
    ("structs", &["budget", "ctx", "raw", "reply"]),
    ("value", &["budget", "ctx", "raw"]),
    (
        "api",
        &[
            "budget",
            "ctx",
            "functions",
            "raw",
            "server",
            "sha",
            "value",
        ],
    ),
    (
        "sandbox",
        &[
            "api", "bit", "budget", "cjson", "cmsgpack", "ctx", "random", "raw", "readonly",
            "reply", "run", "strings", "structs", "tables", "upvalues",
        ],
    ),
    (
        "vm",
        &[
            "budget", "ctx", "raw", "run", "sandbox", "server", "sha", "shebang", "spec",
        ],
    ),
];

/// Keeping the data: what a keeper has, then what it does, and opening and closing on top.
const KEEPER: Rooms = &[
    ("commands", &[]),
    ("delay", &[]),
    ("feed", &[]),
    ("load", &["delay"]),
    ("pump", &["feed"]),
    ("snapshot", &["delay"]),
    ("saving", &["feed", "snapshot"]),
    ("keeper", &["feed", "load", "pump", "saving"]),
    ("info", &["keeper", "saving", "snapshot"]),
    ("log", &["commands", "feed", "keeper", "pump", "snapshot"]),
    ("open", &["keeper", "load", "saving"]),
    ("turn", &["keeper", "saving"]),
    ("reload", &["keeper", "load", "saving"]),
    ("save", &["feed", "keeper", "log", "saving", "snapshot"]),
    (
        "send",
        &["feed", "keeper", "load", "save", "saving", "snapshot"],
    ),
];

/// Other servers: the stream and the connections, then the side that follows, the side that is followed, and both as one.
const REPLICATION: Rooms = &[
    ("spool", &[]),
    ("stream", &["spool"]),
    ("wire", &[]),
    ("migrate", &["wire"]),
    ("replica", &["wire"]),
    ("primary", &["replica", "spool", "stream"]),
    ("hub", &["migrate", "primary", "replica", "stream", "wire"]),
];

/// The library: what replies and handles are, then calls, a family a room.
const REDPOLL: Rooms = &[
    ("bytes", &[]),
    ("error", &[]),
    ("config", &["error"]),
    ("durability", &["error"]),
    ("kept", &[]),
    ("stream_id", &["error"]),
    ("threads", &[]),
    ("timer", &[]),
    ("updating", &["error"]),
    ("value", &[]),
    ("reply", &["bytes", "error", "value"]),
    (
        "connection",
        &[
            "durability",
            "error",
            "reply",
            "threads",
            "updating",
            "value",
        ],
    ),
    ("shared", &["connection", "kept", "threads"]),
    (
        "way",
        &[
            "durability",
            "error",
            "reply",
            "shared",
            "updating",
            "value",
        ],
    ),
    (
        "db",
        &[
            "connection",
            "error",
            "kept",
            "shared",
            "updating",
            "value",
            "way",
        ],
    ),
    ("bitmaps", &["db", "error", "reply", "value", "way"]),
    ("call", &["bytes", "db", "error", "reply", "value", "way"]),
    ("door", &["db", "error", "updating"]),
    ("element_scan", &["bytes", "call", "db", "error", "value"]),
    ("expiry", &["call", "error", "value", "way"]),
    ("counters", &["call", "db", "error", "expiry", "way"]),
    ("dump", &["bytes", "db", "error", "expiry", "way"]),
    ("files", &["config", "db", "durability", "error", "kept"]),
    (
        "hash_expiry",
        &[
            "bytes", "call", "db", "error", "expiry", "reply", "value", "way",
        ],
    ),
    (
        "hashes",
        &["bytes", "call", "db", "element_scan", "error", "way"],
    ),
    ("hyperloglog", &["db", "error", "way"]),
    ("json", &["db", "error", "way"]),
    (
        "keys",
        &["bytes", "db", "error", "expiry", "reply", "value", "way"],
    ),
    ("lists", &["bytes", "call", "db", "error", "way"]),
    ("pubsub", &["bytes", "db", "error"]),
    ("replicate", &["db", "error", "files", "kept", "updating"]),
    ("scan", &["bytes", "db", "error", "keys"]),
    ("script", &["bytes", "call", "db", "error", "value"]),
    (
        "set_expiry",
        &["call", "db", "error", "expiry", "hash_expiry", "way"],
    ),
    (
        "sets",
        &["bytes", "db", "element_scan", "error", "hashes", "way"],
    ),
    ("sort", &["bytes", "call", "db", "error", "way"]),
    (
        "sorted_set_ranges",
        &["bytes", "call", "db", "error", "way"],
    ),
    (
        "sorted_sets",
        &[
            "bytes",
            "call",
            "db",
            "element_scan",
            "error",
            "hashes",
            "way",
        ],
    ),
    (
        "geo",
        &[
            "bytes",
            "call",
            "db",
            "error",
            "sorted_sets",
            "value",
            "way",
        ],
    ),
    ("string_compare", &["bytes", "db", "error", "expiry", "way"]),
    (
        "strings",
        &[
            "bytes",
            "db",
            "error",
            "expiry",
            "reply",
            "string_compare",
            "value",
            "way",
        ],
    ),
    ("update", &["db", "error", "updating", "way"]),
    (
        "waiting",
        &[
            "call",
            "connection",
            "durability",
            "error",
            "reply",
            "timer",
            "updating",
            "value",
            "way",
        ],
    ),
    (
        "blocking",
        &[
            "bytes",
            "call",
            "db",
            "error",
            "expiry",
            "lists",
            "sorted_sets",
            "waiting",
            "way",
        ],
    ),
    (
        "list_moves",
        &[
            "blocking", "bytes", "call", "db", "error", "lists", "waiting", "way",
        ],
    ),
    (
        "sorted_set_moves",
        &[
            "blocking",
            "bytes",
            "call",
            "db",
            "error",
            "sorted_set_ranges",
            "sorted_sets",
            "waiting",
            "way",
        ],
    ),
    (
        "streams",
        &[
            "blocking",
            "bytes",
            "call",
            "db",
            "error",
            "reply",
            "stream_id",
            "value",
            "waiting",
            "way",
        ],
    ),
    (
        "stream_groups",
        &[
            "blocking",
            "bytes",
            "call",
            "db",
            "error",
            "expiry",
            "stream_id",
            "streams",
            "value",
            "waiting",
            "way",
        ],
    ),
    (
        "stream_info",
        &[
            "bytes",
            "call",
            "db",
            "error",
            "stream_id",
            "streams",
            "value",
            "way",
        ],
    ),
    (
        "stream_pending",
        &[
            "bytes",
            "call",
            "db",
            "error",
            "expiry",
            "reply",
            "stream_id",
            "streams",
            "value",
            "way",
        ],
    ),
];

/// The layers of the design, as absences: imports that do not exist, and crates that never reach tokio.
pub fn check() -> Result<()> {
    let mut wrong = Vec::new();
    let packages = packages()?;
    let crates = crates(&packages, &mut wrong)?;
    surfaces(&packages, &mut wrong)?;
    for (name, table) in ROOMS {
        let graph = rooms::read(&run::root().join("crates").join(name).join("src"))?;
        rooms::compare(name, &graph, table, &mut wrong);
    }
    let others: Vec<&str> = CRATES.iter().map(|(name, _)| *name).collect();
    library::check(&run::root().join("crates/redpoll/src"), &others, &mut wrong)?;
    if !wrong.is_empty() {
        bail!("layers:\n  {}", wrong.join("\n  "));
    }
    let rooms: usize = ROOMS.iter().map(|(_, table)| table.len()).sum();
    println!("layers: {crates} crates and {rooms} rooms, no import that the design forbids");
    Ok(())
}

/// Prints what the code has, as it would stand in the tables of rooms.
pub fn print() -> Result<()> {
    for (name, _) in ROOMS {
        let graph = rooms::read(&run::root().join("crates").join(name).join("src"))?;
        println!("{name}\n{}", rooms::table(&graph));
    }
    Ok(())
}

/// A crate's name in the tables.
fn short(package: &str) -> &str {
    package.strip_prefix("redpoll-").unwrap_or(package)
}

/// What cargo says of our crates.
fn packages() -> Result<Vec<Value>> {
    let metadata = run::output(&mut run::cargo(&[
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    Ok(packages.clone())
}

/// Notes what crates show each other and nobody uses.
fn surfaces(packages: &[Value], wrong: &mut Vec<String>) -> Result<()> {
    let name = |package: &Value| package["name"].as_str().unwrap_or_default().to_owned();
    let folder = |package: &Value| {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        manifest.parent().map(Path::to_owned).unwrap_or_default()
    };
    for package in packages {
        let (of, root) = (name(package), folder(package));
        // What the library shows is for those who use it.
        let of_ours = root.starts_with(run::root().join("crates"));
        if !of_ours || short(&of) == "redpoll" || !root.join("src/lib.rs").is_file() {
            continue;
        }
        // Whoever imports it, and whoever imports those.
        let mut reach = vec![of.clone()];
        loop {
            let more = packages.iter().find(|other| {
                let on = other["dependencies"].as_array().into_iter().flatten();
                let mut on = on.filter_map(|dependency| dependency["name"].as_str());
                !reach.contains(&name(other)) && on.any(|on| reach.iter().any(|r| r == on))
            });
            match more {
                Some(more) => reach.push(name(more)),
                None => break,
            }
        }
        let others = (packages.iter()).filter(|p| name(p) != of && reach.contains(&name(p)));
        let mut users: Vec<PathBuf> = others.map(folder).collect();
        users.extend(["tests", "benches", "examples"].map(|own| root.join(own)));
        // Of a workspace of its own.
        users.push(run::root().join("fuzz/fuzz_targets"));
        let allowed: Vec<(&str, &str)> = (SHOWN.iter())
            .filter(|(which, ..)| *which == short(&of))
            .map(|(_, title, why)| (*title, *why))
            .collect();
        surface::check(short(&of), &root.join("src"), &users, &allowed, wrong)?;
    }
    Ok(())
}

/// Compares the crates with their table, and returns how many there are.
fn crates(packages: &[Value], wrong: &mut Vec<String>) -> Result<usize> {
    let names: Vec<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = CRATES.iter().find(|(known, _)| *known == short(name)) else {
            wrong.push(format!("crate {name} is not in the table of layers"));
            continue;
        };
        let needed: Vec<&str> = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dependency| dependency["kind"] != "dev")
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|on| names.contains(on))
            .map(short)
            .collect();
        compare(short(name), allowed, &needed, wrong);
    }
    for (name, _) in CRATES {
        if !names.iter().any(|package| short(package) == *name) {
            wrong.push(format!("the table names a crate {name} that is not there"));
        }
    }
    for package in &names {
        if !WITHOUT_TOKIO.contains(&short(package)) {
            continue;
        }
        // With tokio outside the crate's tree, cargo prints nothing; with tokio unknown altogether, it fails.
        let tree = run::cargo(&["tree", "--package", package, "--invert", "tokio"]).output()?;
        if tree.status.success() && !tree.stdout.is_empty() {
            wrong.push(format!(
                "{package} reaches tokio:\n{}",
                String::from_utf8_lossy(&tree.stdout)
            ));
        }
    }
    Ok(names.len())
}

/// Notes what `who` imports though its table does not say so, and what the table says though nothing imports it.
fn compare(who: &str, allowed: &[&str], needed: &[&str], wrong: &mut Vec<String>) {
    for on in needed.iter().filter(|on| !allowed.contains(on)) {
        wrong.push(format!("{who} may not depend on {on}"));
    }
    for on in allowed.iter().filter(|on| !needed.contains(on)) {
        wrong.push(format!(
            "{who} does not need {on}: the table says more than the code"
        ));
    }
}
