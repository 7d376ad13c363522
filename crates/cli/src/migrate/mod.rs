//! `redpoll migrate`: moving a data set from one server to another while both are in use, and clients with it.
//!
//! The new server becomes a replica of the old one. When it has caught up, writes to the old one are held back (CLIENT PAUSE), the
//! new one is compared with it, and becomes the primary; the old one follows it from then on, so that nothing is written there that
//! would be lost, and the way back is the same. Whatever goes wrong before that moment leaves the old server as it was.

mod client;
mod compare;

use client::{Address, Server, field};
use compare::Extent;
use resp::Value;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use terminal::link::tls::TlsOptions;

const USAGE: &str = "\
Moves a data set from one server to another, while both are in use.

Usage: redpoll migrate --from URL --to URL [options]

A URL is redis://[[user]:password@]host[:port], or rediss:// the same for a port that speaks TLS. Both may be Redis, Valkey or
Redpoll.

  --check            only say what would not work
  --no-switch        only make the new server a replica and wait until it has caught up
  --verify N|all|no  keys to compare before the switch, with writes held back (1000)
  --overwrite        the new server may hold keys; they are lost
  --from-as HOST:PORT
                     how the new server reaches the old one, if not as this program does
  --to-as HOST:PORT  how the old server reaches the new one
                     (either may be a URL, if one of the ports speaks TLS and the other does not)
  --leave-old        the old server is not made a replica of the new one after the switch
  --hold SECONDS     how long writes may be held back for the switch (30)
  --timeout SECONDS  how long catching up may take without getting on (60)

TLS between this program and the servers (they have settings of their own for it: tls-ca-cert-file and its kin):
  --cacert FILE      certificates to trust (the system's)
  --cacertdir DIR    a folder of such files
  --cert FILE, --key FILE
                     the certificate to show, and its key
  --from-sni NAME, --to-sni NAME
                     the name that a server's certificate must have, if not its host's
  --tls-ciphers LIST, --tls-ciphersuites LIST
                     ciphers of TLS 1.2 and of TLS 1.3, by OpenSSL's names
  --insecure         any certificate will do
";

/// How often it is looked how far the new server is.
const LOOK: Duration = Duration::from_millis(200);

/// How often that is told.
const TELL: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Options {
    from: Address,
    to: Address,
    /// As the other server reaches them.
    from_as: Address,
    to_as: Address,
    tls: TlsOptions,
    from_sni: Option<String>,
    to_sni: Option<String>,
    check: bool,
    switch: bool,
    verify: Extent,
    overwrite: bool,
    leave_old: bool,
    hold: Duration,
    timeout: Duration,
}

/// Runs it with the arguments behind `migrate`.
pub fn main(args: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let args: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    if args.iter().any(|arg| arg == "-h" || arg == "--help") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let done = options(&args).and_then(|options| run(&options));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("redpoll migrate: {why}");
            ExitCode::FAILURE
        }
    }
}

fn options(args: &[String]) -> Result<Options, String> {
    let (mut from, mut to, mut from_as, mut to_as) = (None, None, None, None);
    let mut options = Options {
        from: Address::default(),
        to: Address::default(),
        from_as: Address::default(),
        to_as: Address::default(),
        tls: TlsOptions::default(),
        from_sni: None,
        to_sni: None,
        check: false,
        switch: true,
        verify: Extent::Some(1000),
        overwrite: false,
        leave_old: false,
        hold: Duration::from_secs(30),
        timeout: Duration::from_secs(60),
    };
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{arg} needs a value"));
        let seconds = |text: &str| {
            let seconds = text.parse().ok().filter(|n| *n > 0);
            seconds
                .map(Duration::from_secs)
                .ok_or(format!("{arg}: '{text}' is no number of seconds"))
        };
        match arg.as_str() {
            "--from" => from = Some(Address::parse(value()?)?),
            "--to" => to = Some(Address::parse(value()?)?),
            "--from-as" => from_as = Some(value()?),
            "--to-as" => to_as = Some(value()?),
            "--cacert" => options.tls.cacert = Some(value()?.clone()),
            "--cacertdir" => options.tls.cacert_dir = Some(value()?.clone()),
            "--cert" => options.tls.cert = Some(value()?.clone()),
            "--key" => options.tls.key = Some(value()?.clone()),
            "--from-sni" => options.from_sni = Some(value()?.clone()),
            "--to-sni" => options.to_sni = Some(value()?.clone()),
            "--tls-ciphers" => options.tls.ciphers = Some(value()?.clone()),
            "--tls-ciphersuites" => options.tls.ciphersuites = Some(value()?.clone()),
            "--insecure" => options.tls.insecure = true,
            "--check" => options.check = true,
            "--no-switch" => options.switch = false,
            "--overwrite" => options.overwrite = true,
            "--leave-old" => options.leave_old = true,
            "--hold" => options.hold = seconds(value()?)?,
            "--timeout" => options.timeout = seconds(value()?)?,
            "--verify" => {
                options.verify = match value()?.as_str() {
                    "all" => Extent::All,
                    "no" => Extent::Some(0),
                    n => Extent::Some(n.parse().map_err(|_| {
                        format!("--verify: '{n}' is neither a number nor all nor no")
                    })?),
                }
            }
            other => return Err(format!("{other} is no option; see redpoll migrate --help")),
        }
    }
    options.from = from.ok_or("--from is missing; see redpoll migrate --help")?;
    options.to = to.ok_or("--to is missing; see redpoll migrate --help")?;
    let seen = |address: &Address, text: Option<&String>| match text {
        Some(text) => address.seen_at(text),
        None => Ok(address.clone()),
    };
    options.from_as = seen(&options.from, from_as)?;
    options.to_as = seen(&options.to, to_as)?;
    Ok(options)
}

fn run(options: &Options) -> Result<(), String> {
    let tls = |sni: &Option<String>| TlsOptions {
        sni: sni.clone(),
        ..options.tls.clone()
    };
    let mut old = Server::connect(&options.from, tls(&options.from_sni))?;
    let mut new = Server::connect(&options.to, tls(&options.to_sni))?;
    println!("From {} to {}", old.describe()?, new.describe()?);
    let findings = check(&mut old, &mut new, options)?;
    for note in &findings.notes {
        println!("  note: {note}");
    }
    for problem in &findings.problems {
        println!("  problem: {problem}");
    }
    if !findings.problems.is_empty() {
        return Err("it would not work; nothing was changed".into());
    }
    println!("Nothing stands in the way");
    if options.check {
        return Ok(());
    }
    let before = follow(&mut new, options)?;
    let caught_up = catch_up(&mut old, &mut new, options.timeout);
    if let Err(why) = caught_up {
        before.undo(&mut new)?;
        return Err(format!("{why}; the new server follows nobody any more"));
    }
    if !options.switch {
        println!("The new server has caught up, and goes on to follow the old one");
        return Ok(());
    }
    switch(&mut old, &mut new, options)?;
    before.restore(&mut new)?;
    println!(
        "{} is the primary: clients are to be sent there",
        options.to
    );
    Ok(())
}

#[derive(Default)]
struct Findings {
    problems: Vec<String>,
    notes: Vec<String>,
}

/// Finds out what would not work, before anything is changed.
fn check(old: &mut Server, new: &mut Server, options: &Options) -> Result<Findings, String> {
    let mut found = Findings::default();
    let (of_old, of_new) = (old.info()?, new.info()?);
    for (name, info) in [("old", &of_old), ("new", &of_new)] {
        if field(info, "cluster_enabled") == "1" {
            found
                .problems
                .push(format!("the {name} server is part of a cluster"));
        }
        if field(info, "loading") == "1" {
            found
                .problems
                .push(format!("the {name} server is loading its data set"));
        }
    }
    if field(&of_new, "run_id") == field(&of_old, "run_id") {
        found.problems.push("the two are the same server".into());
    }
    let follows_old = field(&of_new, "role") == "slave";
    if follows_old {
        found.notes.push(format!(
            "the new server follows {}:{} already",
            field(&of_new, "master_host"),
            field(&of_new, "master_port")
        ));
    } else {
        let keys: u64 = client::keyspace(&of_new).values().sum();
        match options.overwrite {
            false if keys > 0 => found.problems.push(format!(
                "the new server holds {keys} keys, which would be lost (--overwrite)"
            )),
            true if keys > 0 => found
                .notes
                .push(format!("the {keys} keys of the new server are lost")),
            _ => {}
        }
    }
    if field(&of_old, "role") == "slave" {
        found
            .problems
            .push("the old server is a replica itself: name its primary".into());
    }
    modules(old, &mut found);
    databases(old, new, &of_old, &mut found);
    memory(&of_old, new, &mut found);
    versions(&of_old, &of_new, &mut found);
    settings(old, new, &mut found);
    users(old, new, &mut found);
    if let Some(why) = cannot_follow(new, &options.from_as) {
        found
            .problems
            .push(format!("the new server cannot follow the old one: {why}"));
    }
    if options.switch
        && !options.leave_old
        && let Some(why) = cannot_follow(old, &options.to_as)
    {
        found.notes.push(format!(
            "the old server cannot follow the new one after the switch: {why}"
        ));
    }
    if old.call(&["CLIENT", "UNPAUSE"]).is_err() && options.switch {
        found
            .problems
            .push("writes cannot be held back on the old server (CLIENT PAUSE)".into());
    }
    Ok(found)
}

fn modules(old: &mut Server, found: &mut Findings) {
    if let Ok(list) = old.call(&["MODULE", "LIST"]) {
        let names = modules_with_types(&list);
        if !names.is_empty() {
            found.notes.push(format!(
                "the old server has modules ({}): if keys hold their types, the copy will be refused",
                names.join(", ")
            ));
        }
    }
}

/// Those modules in a reply of MODULE LIST that may have types of their own. Valkey 9.1 lists its engine for Lua, which has none.
fn modules_with_types(list: &Value) -> Vec<String> {
    let texts = client::texts(list);
    texts
        .windows(2)
        .filter(|pair| pair[0] == "name" && pair[1] != "lua")
        .map(|pair| pair[1].clone())
        .collect()
}

fn databases(old: &mut Server, new: &mut Server, of_old: &str, found: &mut Findings) {
    let used = client::keyspace(of_old).keys().max().copied().unwrap_or(0);
    if let Some(databases) = new.setting("databases").and_then(|n| n.parse::<u64>().ok())
        && used >= databases
    {
        found.problems.push(format!(
            "database {used} of the old server is in use, but the new one has only {databases} (directive databases)"
        ));
    }
    if let (Some(mine), Some(its)) = (old.setting("databases"), new.setting("databases"))
        && mine != its
    {
        found.notes.push(format!(
            "the old server has {mine} databases, the new one {its}"
        ));
    }
}

fn memory(of_old: &str, new: &mut Server, found: &mut Findings) {
    let used: u64 = field(of_old, "used_memory").parse().unwrap_or(0);
    let limit: u64 = new
        .setting("maxmemory")
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    if limit > 0 && used > limit {
        found.problems.push(format!(
            "the old server uses {used} bytes, and maxmemory of the new one is {limit}"
        ));
    }
}

/// A version as its first two numbers.
fn version(info: &str) -> (String, (u32, u32)) {
    for (name, field_name) in [
        ("Redpoll", "redpoll_version"),
        ("Valkey", "valkey_version"),
        ("Redis", "redis_version"),
    ] {
        let text = field(info, field_name);
        if !text.is_empty() {
            let mut numbers = text.split('.').map(|n| n.parse().unwrap_or(0));
            let numbers = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
            return (name.to_owned(), numbers);
        }
    }
    ("?".into(), (0, 0))
}

fn versions(of_old: &str, of_new: &str, found: &mut Findings) {
    let ((of, old), (to, new)) = (version(of_old), version(of_new));
    let too_new = match (of.as_str(), to.as_str()) {
        (_, "Redpoll") | ("Redpoll", _) => false,
        ("Redis", "Valkey") => old >= (7, 4),
        ("Valkey", "Redis") => old >= (9, 0),
        _ => old > new,
    };
    if too_new {
        found.problems.push(format!(
            "{to} {}.{} does not load what {of} {}.{} sends; by way of Redpoll it can be done in two steps",
            new.0, new.1, old.0, old.1
        ));
    }
}

/// Settings that programs may depend on.
const SETTINGS: [&str; 8] = [
    "maxmemory",
    "maxmemory-policy",
    "notify-keyspace-events",
    "appendonly",
    "save",
    "timeout",
    "proto-max-bulk-len",
    "maxclients",
];

fn settings(old: &mut Server, new: &mut Server, found: &mut Findings) {
    for name in SETTINGS {
        if let (Some(mine), Some(its)) = (old.setting(name), new.setting(name))
            && mine != its
        {
            found.notes.push(format!(
                "{name} is '{mine}' on the old server and '{its}' on the new one"
            ));
        }
    }
}

fn users(old: &mut Server, new: &mut Server, found: &mut Findings) {
    let (Ok(mine), Ok(its)) = (old.call(&["ACL", "USERS"]), new.call(&["ACL", "USERS"])) else {
        return;
    };
    let its = client::texts(&its);
    let missing: Vec<String> = client::texts(&mine)
        .into_iter()
        .filter(|user| !its.contains(user))
        .collect();
    if !missing.is_empty() {
        found.notes.push(format!(
            "users that the new server does not have (they are not part of the data): {}",
            missing.join(", ")
        ));
    }
}

/// Why a server cannot follow another one over TLS, if it has to and that is known beforehand.
fn cannot_follow(server: &mut Server, other: &Address) -> Option<&'static str> {
    if !other.tls {
        return None;
    }
    if server.setting("tls-replication").is_none() {
        return Some("it has no directive tls-replication");
    }
    let mut unset = |name| server.setting(name).is_none_or(|value| value.is_empty());
    (unset("tls-ca-cert-file") && unset("tls-ca-cert-dir"))
        .then_some("it trusts no certificate (directive tls-ca-cert-file)")
}

/// Settings of a server that say how it gets into its primary.
const ACCESS: [&str; 3] = ["masteruser", "masterauth", "tls-replication"];

/// What has to be set so that a server gets into another one. It may have no TLS, and then no such setting.
fn access(server: &mut Server, other: &Address) -> Vec<(&'static str, String)> {
    let tls = server.setting("tls-replication").unwrap_or_default();
    let wanted = if other.tls { "yes" } else { "no" };
    let values = [&other.user, &other.password, wanted];
    let settings = ACCESS.into_iter().zip(values.map(String::from));
    settings
        .filter(|(name, value)| match *name {
            "tls-replication" => *value != tls && (other.tls || !tls.is_empty()),
            _ => !other.password.is_empty(),
        })
        .collect()
}

fn set(server: &mut Server, settings: &[(&'static str, String)]) -> Result<(), String> {
    for (name, value) in settings {
        server.call(&["CONFIG", "SET", name, value])?;
    }
    Ok(())
}

/// What the new server had before.
struct Before {
    /// Its settings for a primary, as far as they had to be changed.
    access: Vec<(&'static str, String)>,
}

impl Before {
    fn restore(&self, new: &mut Server) -> Result<(), String> {
        set(new, &self.access)
    }

    fn undo(&self, new: &mut Server) -> Result<(), String> {
        new.call(&["REPLICAOF", "NO", "ONE"])?;
        self.restore(new)
    }
}

/// Makes the new server a replica of the old one.
fn follow(new: &mut Server, options: &Options) -> Result<Before, String> {
    let from = &options.from_as;
    let wanted = access(new, from);
    let had = wanted
        .iter()
        .map(|(name, _)| (*name, new.setting(name).unwrap_or_default()));
    let before = Before {
        access: had.collect(),
    };
    println!("The new server follows {from}");
    let follows = set(new, &wanted)
        .and_then(|()| new.call(&["REPLICAOF", &from.host, &from.port.to_string()]));
    match follows {
        Ok(_) => Ok(before),
        Err(why) => {
            before.restore(new)?;
            Err(why)
        }
    }
}

fn number(info: &str, name: &str) -> u64 {
    field(info, name).parse().unwrap_or(0)
}

/// Waits until the new server has what the old one has, but for what is just being written.
fn catch_up(old: &mut Server, new: &mut Server, patience: Duration) -> Result<(), String> {
    let (mut got_on, mut told) = (Instant::now(), Instant::now());
    let mut last = (0, 0);
    let mut near = 0;
    loop {
        let of_new = new.info()?;
        let offset = number(&old.info()?, "master_repl_offset");
        let (up, has) = (
            field(&of_new, "master_link_status") == "up",
            number(&of_new, "slave_repl_offset"),
        );
        let copied =
            number(&of_new, "master_sync_read_bytes").max(number(&of_new, "loading_loaded_bytes"));
        if last != (has, copied) {
            (last, got_on) = ((has, copied), Instant::now());
        }
        let lag = offset.saturating_sub(has);
        if up && lag < 1 << 20 {
            // Twice, so that it is not one moment's chance.
            near += 1;
            if near > 1 {
                println!("It has caught up ({lag} bytes behind)");
                return Ok(());
            }
        } else {
            near = 0;
        }
        let error = field(&of_new, "redpoll_link_error");
        if error.contains("peer certificate") {
            return Err(format!(
                "the new server does not trust the old one (directive tls-ca-cert-file): {error}"
            ));
        }
        if error.contains("cannot be loaded") || error.contains("was answered with") {
            return Err(format!("the new server does not take the copy: {error}"));
        }
        if got_on.elapsed() > patience {
            let why = if error.is_empty() {
                "its log may say why"
            } else {
                error
            };
            return Err(format!("the new server does not get on: {why}"));
        }
        if told.elapsed() >= TELL {
            told = Instant::now();
            match (up, number(&of_new, "master_sync_total_bytes")) {
                (true, _) => println!("  {lag} bytes behind"),
                (false, 0) => println!("  {copied} bytes of the copy have come"),
                (false, total) => println!("  {copied} of {total} bytes of the copy have come"),
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// Holds writes back, waits for the last of them, compares, and promotes.
fn switch(old: &mut Server, new: &mut Server, options: &Options) -> Result<(), String> {
    let hold_ms = options.hold.as_millis().to_string();
    old.call(&["CLIENT", "PAUSE", &hold_ms, "WRITE"])?;
    let paused = Instant::now();
    println!("Writes to the old server are held back");
    let ready = complete(old, new, options, paused);
    let promoted = ready.and_then(|()| {
        if paused.elapsed() > options.hold / 2 {
            return Err("there is too little time left for the switch (--hold)".into());
        }
        new.call(&["REPLICAOF", "NO", "ONE"]).map(drop)
    });
    if let Err(why) = promoted {
        old.call(&["CLIENT", "UNPAUSE"])?;
        return Err(format!(
            "{why}; the old server is the primary as before, and the new one follows it"
        ));
    }
    if !options.leave_old {
        let to = &options.to_as;
        let mut wanted = access(old, to);
        if to.password.is_empty() {
            // It may have followed somebody once.
            wanted.extend(["masteruser", "masterauth"].map(|name| (name, String::new())));
        }
        let followed = set(old, &wanted)
            .and_then(|()| old.call(&["REPLICAOF", &to.host, &to.port.to_string()]));
        match followed {
            Ok(_) => println!("The old server follows the new one, and takes no writes any more"),
            Err(why) => {
                println!("The old server could not be made a replica of the new one: {why}")
            }
        }
    }
    old.call(&["CLIENT", "UNPAUSE"])?;
    println!(
        "Writes were held back for {:.1} seconds",
        paused.elapsed().as_secs_f64()
    );
    Ok(())
}

fn complete(
    old: &mut Server,
    new: &mut Server,
    options: &Options,
    paused: Instant,
) -> Result<(), String> {
    // What was let in before the pause is done by now, or within a moment.
    std::thread::sleep(Duration::from_millis(20));
    loop {
        // A sign of life may come at any time, and counts.
        let offset = number(&old.info()?, "master_repl_offset");
        let has = number(&new.info()?, "slave_repl_offset");
        if has >= offset {
            break;
        }
        if paused.elapsed() > options.hold / 2 {
            return Err(format!(
                "the new server is still {} bytes behind",
                offset - has
            ));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let compared = compare::compare(old, new, options.verify)?;
    if compared > 0 {
        println!("{compared} keys were compared, and are the same");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_for_lua_is_no_module_to_warn_of() {
        let text = |text: &str| Value::Bulk(text.into());
        let module =
            |name: &str| Value::Array(vec![text("name"), text(name), text("path"), text(name)]);
        let list = Value::Array(vec![module("lua"), module("search")]);
        assert_eq!(modules_with_types(&list), ["search"]);
    }
}
