//! DEBUG: switches and probes for testing a server from outside.
//!
//! Who may call it `enable-debug-command` decides. Its subcommands are no commands of their own: they may come and go,
//! and COMMAND does not list them. One that belongs to a feature that is not built says so; none answers OK without
//! doing what it says.
//!
//! The probes lock what they look at themselves; those that look at everything do so one segment of one shard's table
//! at a time on a helper thread, so that a test's DEBUG DIGEST does not stop other clients.

mod digest;
mod tables;

use self::digest::{Digest, digest_all, digest_value};
use super::generic::{encoding, help};
use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::fault;
use crate::base::glob;
use crate::base::memory::idle_seconds;
use crate::base::random::random_below;
use crate::base::stats::Counters;
use crate::config::host::{Persistence, Reload};
use crate::context::command::{ADMIN, Command, Group, LOADING, NOSCRIPT, OWN_LOCKS, STALE, row};
use crate::context::ctx::Ctx;
use crate::context::gate::Intent;
use crate::door::change::Event;
use crate::door::keys::Keys;
use crate::table::docs::SYSCMD;
use resp::number::{parse_f64, parse_i64};
use resp::{Out, Proto};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use store::types::list::List;
use store::{EntryRef, NewValue, ObjectValue, Type, Value};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("debug", -2, ADMIN | NOSCRIPT | LOADING | STALE | SYSCMD | OWN_LOCKS, Group::Server, "1.0.0", debug)
        .docs("Holds the switches and probes used in testing.", "Depends on the subcommand"),
];

/// What DEBUG HELP prints.
#[rustfmt::skip]
const HELP: &[&str] = &[
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CLIENT-EVICTION",
    "    The pools of clients that may be evicted; there are none here.",
    "DIGEST",
    "    A SHA-1 that two servers share if and only if they hold the same data.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    The same of the values of some keys, each for itself.",
    "ERROR <text>",
    "    Answers the text as an error.",
    "HTSTATS <dbid> [FULL]",
    "    The shape of a database's tables.",
    "HTSTATS-KEY <key> [FULL]",
    "    The size of the table that holds a key's value.",
    "LISTPACK <key>",
    "    How large the listpack of a key's value is.",
    "LOADAOF",
    "    Removes all keys and loads the append-only file.",
    "LOG <text>",
    "    Writes the text to the server's log.",
    "OBJECT <key> [FAST]",
    "    How a key's value is stored; FAST leaves out what takes time to find out.",
    "PANIC [<words>]",
    "    A bug in a handler, which says these words: one error reply, and a report in the log.",
    "PAUSE-CRON <0|1>",
    "    1: no maintenance in the background.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Creates so many strings named <prefix>:<number>, of <size> bytes.",
    "PROTOCOL <type>",
    "    Answers an example of a type of reply: string, integer, double, bignum,",
    "    null, array, set, map, attrib, push, verbatim, true or false.",
    "QUICKLIST <key> [<0|1>]",
    "    How many elements and nodes a key's list has.",
    "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
    "    Saves a snapshot, removes all keys and loads it. NOSAVE and NOFLUSH leave out one",
    "    of that; with MERGE, what is loaded takes the place of keys that are there.",
    "SDSLEN <key>",
    "    The lengths and the spare room of a key and its string.",
    "SEGFAULT",
    "    Ends the server by SIGSEGV, with a report in the log.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    0: expired keys are removed only when somebody asks for them.",
    "SET-DISABLE-DENY-SCRIPTS <0|1>",
    "    1: scripts may use commands that are not meant for them.",
    "SLEEP <seconds>",
    "    Answers so much later. Nobody is served meanwhile.",
    "STRINGMATCH-LEN <pattern> <text>",
    "    1 if the text matches the glob pattern, else 0.",
    "STRINGMATCH-TEST",
    "    Tries the glob matcher on many random patterns.",
    "HELP",
    "    Prints this help.",
];

fn debug(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    if !ctx
        .engine
        .config()
        .allows("enable-debug-command", ctx.session.client.is_local())
    {
        return Err(Error::new(
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from \
             a local connection, otherwise you need to set this option in the configuration file, and then restart \
             the server.",
        ));
    }
    let name = String::from_utf8_lossy(args.argv()[1]);
    let probed = match (&name.to_ascii_lowercase()[..], &args.argv()[2..]) {
        ("object" | "sdslen" | "listpack" | "quicklist" | "htstats-key", [key, ..]) => &[*key],
        ("digest-value", keys) => keys,
        _ => &[],
    };
    if !ctx.hold(probed)? {
        return Ok(());
    }
    match (&name.to_ascii_lowercase()[..], &args.argv()[2..]) {
        ("help", []) => {
            help(ctx.out, HELP);
            Ok(())
        }
        // Switches.
        ("sleep", [seconds]) => sleep(ctx, seconds),
        ("set-active-expire", [on]) => switch(ctx, &ctx.engine.config().live.active_expire, on),
        ("quicklist-packed-threshold", [size]) => list_threshold(ctx, size),
        ("set-disable-deny-scripts", [on]) => {
            let on = parse_i64(on).is_some_and(|on| on != 0);
            ctx.engine.scripts.allow_denied.store(on, Relaxed);
            ctx.out.ok();
            Ok(())
        }
        ("pause-cron", [on]) => switch(ctx, &ctx.engine.maintenance_paused, on),
        // Probes of one key.
        ("object", [key]) => object(ctx, key, false),
        ("object", [key, word]) => object(ctx, key, word.eq_ignore_ascii_case(b"fast")),
        ("sdslen", [key]) => sdslen(ctx, key),
        ("listpack", [key]) => listpack(ctx, key),
        ("quicklist", [key] | [key, _]) => quicklist(ctx, key),
        ("htstats-key", [key] | [key, _]) => tables::htstats_key(ctx, key),
        ("digest-value", keys) => values_digests(ctx, keys),
        // Probes of all keys.
        ("digest", []) if ctx.nested || !ctx.moves_elsewhere() => {
            if let Some(digest) = digest_all(ctx)? {
                ctx.out.simple(&digest.hex());
            }
            Ok(())
        }
        ("digest", []) => Ok(()),
        ("htstats", [db]) => tables::htstats(ctx, db, false),
        ("htstats", [db, word]) => tables::htstats(ctx, db, word.eq_ignore_ascii_case(b"full")),
        // What makes data, replies, log lines.
        ("populate", [_] | [_, _] | [_, _, _]) => populate(ctx, &args.argv()[2..]),
        ("protocol", [kind]) => protocol(ctx.out, kind),
        ("error", [text]) => Err(Error::of_bytes(text.to_vec())),
        ("log", [text]) => {
            tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(text));
            ctx.out.ok();
            Ok(())
        }
        // Bugs on purpose.
        ("panic", []) => panic!("told to by DEBUG PANIC"),
        ("panic", [words]) => panic!("told to: {}", words.escape_ascii()),
        ("segfault", []) => {
            fault::segfault();
            Err(Error::new("ERR there was no page to fault on"))
        }
        // Glob patterns.
        ("stringmatch-len", [pattern, text]) => {
            ctx.out.int(glob::matches(pattern, text).into());
            Ok(())
        }
        ("stringmatch-test", []) => {
            ctx.offload(Box::new(|out| {
                try_globs();
                out.simple("The matcher came through all random patterns: test passed");
            }));
            Ok(())
        }
        // What belongs to features that are not built, or that are built in a way that leaves nothing to switch.
        ("client-eviction", []) => Err(Error::new(
            match ctx.engine.config().text("maxmemory-clients").as_str() {
                "0" => "ERR maxmemory-clients is disabled.",
                _ => "ERR clients that may be evicted stand in no pools here",
            },
        )),
        ("reload", options) if !options.iter().all(is_reload_option) => Err(Error::new(
            "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
        )),
        ("reload", options) => reload(ctx, options),
        ("loadaof", []) => load_anew(ctx, "the AOF files", |keeper| keeper.load_log()),
        ("set-skip-checksum-validation", [_]) => {
            Err(not_built(&name, "restoring a payload unchecked"))
        }
        ("change-repl-id", []) => {
            if let Some(hub) = ctx.engine.replication() {
                hub.rename_stream();
            }
            ctx.out.ok();
            Ok(())
        }
        ("replybuffer", [_, _]) => Err(nothing_to_switch(
            &name,
            "clients have no reply buffers of their own",
        )),
        ("dict-resizing", [_]) => Err(nothing_to_switch(
            &name,
            "tables grow by splitting one segment at a time",
        )),
        _ => Err(Error::new(format!(
            "ERR unknown subcommand or wrong number of arguments for '{name}'. Try DEBUG HELP."
        ))),
    }
}

fn not_built(name: &str, feature: &str) -> Error {
    Error::new(format!(
        "ERR DEBUG {} belongs to {feature}, which is not built yet",
        name.to_ascii_uppercase()
    ))
}

fn nothing_to_switch(name: &str, why: &str) -> Error {
    Error::new(format!(
        "ERR DEBUG {} has nothing to switch here: {why}",
        name.to_ascii_uppercase()
    ))
}

fn is_reload_option(option: &&[u8]) -> bool {
    ["merge", "noflush", "nosave"]
        .iter()
        .any(|known| option.eq_ignore_ascii_case(known.as_bytes()))
}

fn reload(ctx: &mut Ctx<'_>, options: &[&[u8]]) -> Result {
    let has = |word: &[u8]| options.iter().any(|o| o.eq_ignore_ascii_case(word));
    let how = Reload {
        save: !has(b"nosave"),
        flush: !has(b"noflush"),
        merge: has(b"merge"),
    };
    load_anew(ctx, "the RDB dump", move |keeper| keeper.reload(how))
}

/// Has files loaded on a helper thread while other clients get LOADING.
fn load_anew(
    ctx: &mut Ctx<'_>,
    what: &'static str,
    load: impl FnOnce(&dyn Persistence) -> std::result::Result<(), String> + Send + 'static,
) -> Result {
    if ctx.nested {
        return Err(Error::new(
            "ERR DEBUG RELOAD and DEBUG LOADAOF cannot be part of a transaction or script",
        ));
    }
    if ctx.engine.loading.is_on() {
        return Err(Error::LOADING);
    }
    let keeper = ctx.engine.persistence().cloned();
    let keeper = keeper.ok_or_else(|| Error::new("ERR this database is not kept in files"))?;
    ctx.offload(Box::new(move |out| match load(&*keeper) {
        Ok(()) => out.ok(),
        Err(why) => {
            tracing::warn!("Loading {what}: {why}");
            out.error(&format!(
                "ERR Error trying to load {what}, check server logs."
            ));
        }
    }));
    Ok(())
}

/// Sets the size from which an element of a list has a node of its own; 0: as by default.
fn list_threshold(ctx: &mut Ctx<'_>, text: &[u8]) -> Result {
    const MOST: i64 = (1 << 32) - (1 << 20);
    let size = str::from_utf8(text)
        .ok()
        .and_then(crate::config::parse_size)
        .filter(|bytes| (0..=MOST).contains(bytes))
        .ok_or(Error::new(
            "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
        ))?;
    let live = &ctx.engine.config().live;
    live.quicklist_packed_threshold
        .store(size as usize, Relaxed);
    ctx.out.ok();
    Ok(())
}

fn switch(ctx: &mut Ctx<'_>, switch: &AtomicBool, to: &[u8]) -> Result {
    let to = parse_i64(to).ok_or(Error::NOT_AN_INTEGER)?;
    switch.store(to != 0, Relaxed);
    ctx.out.ok();
    Ok(())
}

/// Tests use it to make a whole server unresponsive: all threads that execute commands stand still, this one at once, the
/// others as soon as they would do something.
fn sleep(ctx: &mut Ctx<'_>, seconds: &[u8]) -> Result {
    // hiredis's own tests send a line end with it, which real servers read over.
    let seconds = parse_f64(seconds.trim_ascii_end()).ok_or(Error::NOT_A_FLOAT)?;
    let time = Duration::try_from_secs_f64(seconds.max(0.0)).map_err(|_| Error::NOT_A_FLOAT)?;
    ctx.engine.sleep(time);
    ctx.out.ok();
    Ok(())
}

// ---- one key

/// Looks at a key of the selected database, whose shard is held; `None` if it is not there. One that has expired and is
/// still there is seen.
fn with_any_entry<R>(ctx: &Ctx<'_>, key: &[u8], look: impl FnOnce(EntryRef<'_>) -> R) -> Option<R> {
    let place = ctx.keys.place(key);
    let shard = ctx.keys.held.shard(place.shard())?;
    shard.db_ref(ctx.keys.db).get(place.hash(), key).map(look)
}

/// The same; `None` also if it has expired.
fn with_entry<R>(ctx: &Ctx<'_>, key: &[u8], look: impl FnOnce(EntryRef<'_>) -> R) -> Option<R> {
    let now_ms = ctx.keys.now_ms;
    with_any_entry(ctx, key, |entry| {
        let expired = entry.expiry_ms().is_some_and(|ms| ms <= now_ms);
        (!expired).then(|| look(entry))
    })?
}

fn object(ctx: &mut Ctx<'_>, key: &[u8], fast: bool) -> Result {
    let now_ms = ctx.keys.now_ms;
    let text = with_any_entry(ctx, key, |entry| {
        let length = match serialized_length(&entry) {
            Some(bytes) if !fast => format!("serializedlength:{bytes} "),
            _ => String::new(),
        };
        format!(
            "Value at:{:p} refcount:1 encoding:{} {length}lru:{} lru_seconds_idle:{}",
            entry.key().as_ptr(),
            encoding(&entry),
            entry.clock() >> 4,
            idle_seconds(entry.clock(), now_ms),
        )
    });
    ctx.out.simple(&text.ok_or(Error::NO_SUCH_KEY)?);
    Ok(())
}

/// Bytes of a string in a snapshot, not compressed: small numbers in binary, else a length and the bytes. `None` for
/// collections.
fn serialized_length(entry: &EntryRef<'_>) -> Option<usize> {
    if entry.kind() != Type::String {
        return None;
    }
    let of_bytes = |length: usize| match length {
        0..64 => 1 + length,
        64..16384 => 2 + length,
        _ => 5 + length,
    };
    Some(match entry.value() {
        Value::Int(n) if i8::try_from(n).is_ok() => 2,
        Value::Int(n) if i16::try_from(n).is_ok() => 3,
        Value::Int(n) if i32::try_from(n).is_ok() => 5,
        Value::Int(n) => of_bytes(n.to_string().len()),
        Value::Inline(bytes) => of_bytes(bytes.len()),
        Value::Blob(blob) => of_bytes(blob.len()),
    })
}

fn sdslen(ctx: &mut Ctx<'_>, key: &[u8]) -> Result {
    let text = with_entry(ctx, key, |entry| {
        if entry.kind() != Type::String {
            return None;
        }
        // (length, spare room, bytes outside of the entry)
        let (length, spare, own) = match entry.value() {
            Value::Int(_) => return None,
            Value::Inline(bytes) => (bytes.len(), 0, 0),
            Value::Blob(blob) => (blob.len(), blob.capacity() - blob.len(), blob.capacity()),
        };
        Some(format!(
            "key_sds_len:{}, key_sds_avail:0, key_zmalloc: {}, val_sds_len:{length}, val_sds_avail:{spare}, \
             val_zmalloc: {own}",
            entry.key().len(),
            entry.memory() - own,
        ))
    });
    let text = text.ok_or(Error::NO_SUCH_KEY)?;
    ctx.out
        .simple(&text.ok_or_else(|| Error::new("ERR Not an sds encoded string."))?);
    Ok(())
}

fn listpack(ctx: &mut Ctx<'_>, key: &[u8]) -> Result {
    let found = with_entry(ctx, key, |entry| match entry.kind() {
        Type::String => None,
        _ if encoding(&entry) != "listpack" => None,
        _ => match entry.object() {
            ObjectValue::Packed(bytes) => Some(bytes.len()),
            ObjectValue::Object(object) => Some(object.memory()),
        },
    });
    let bytes = found.ok_or(Error::NO_SUCH_KEY)?;
    let bytes = bytes.ok_or_else(|| Error::new("ERR Not a listpack encoded object."))?;
    ctx.out.simple(&format!("Listpack of {bytes} bytes"));
    Ok(())
}

fn quicklist(ctx: &mut Ctx<'_>, key: &[u8]) -> Result {
    let found = with_entry(ctx, key, |entry| {
        let list = entry
            .view::<List>()
            .filter(|_| encoding(&entry) == "quicklist");
        list.map(|list| (list.chunk_count(), list.len()))
    });
    let shape = found.ok_or(Error::NO_SUCH_KEY)?;
    let (nodes, elements) =
        shape.ok_or_else(|| Error::new("ERR Not a quicklist encoded object."))?;
    ctx.out.simple(&format!(
        "Quicklist of {elements} elements in {nodes} nodes"
    ));
    Ok(())
}

fn values_digests(ctx: &mut Ctx<'_>, keys: &[&[u8]]) -> Result {
    let now_ms = ctx.keys.now_ms;
    ctx.out.array(keys.len());
    for key in keys {
        let digest = with_entry(ctx, key, |entry| digest_value(&entry, now_ms));
        ctx.out.simple(&digest.unwrap_or(Digest::ZERO).hex());
    }
    Ok(())
}

// ---- data and replies

fn populate(ctx: &mut Ctx<'_>, args: &[&[u8]]) -> Result {
    let number = |arg: Option<&&[u8]>| match arg {
        None => Ok(0),
        Some(n) => parse_i64(n)
            .and_then(|n| u64::try_from(n).ok())
            .ok_or(Error::NOT_POSITIVE),
    };
    let count = number(args.first())?;
    let prefix = args.get(1).map_or(&b"key"[..], |p| p).to_vec();
    let size = number(args.get(2))?;
    if size > ctx.engine.config().live.proto_max_bulk_len.load(Relaxed) as u64 {
        return Err(Error::STRING_TOO_LONG);
    }
    let numbered = move |n: u64| {
        let mut key = prefix.clone();
        key.extend_from_slice(format!(":{n}").as_bytes());
        let mut value = format!("value:{n}").into_bytes();
        if size > 0 {
            value.resize(size as usize, 0);
        }
        (key, value)
    };
    if ctx.nested {
        for (key, value) in (0..count).map(numbered) {
            add_new(&mut ctx.keys, &key, store::string_value(&value));
        }
        ctx.out.ok();
        return Ok(());
    }
    let (engine, db) = (ctx.engine.handle(), ctx.keys.db);
    ctx.offload(Box::new(move |out| {
        let counters = Counters::new(engine.registry().ids(), engine.journal.add_lane());
        for (key, value) in (0..count).map(numbered) {
            // Copied before the lock is taken if it is large.
            let value = store::string_value(&value);
            // As in real servers nobody is in its way: neither a primary nor a limit of memory.
            let added = engine.with_key(db, &key, Intent::Look, &counters, |keys| {
                add_new(keys, &key, value);
                Ok(())
            });
            if let Err(refused) = added {
                return out.error_bytes(refused.bytes());
            }
        }
        out.ok();
    }));
    Ok(())
}

/// Adds a key of POPULATE unless it is there. It is data for this server alone: as in real servers neither the log nor replicas are told.
fn add_new(keys: &mut Keys<'_>, key: &[u8], value: NewValue<'_>) {
    keys.record_instead();
    // During a pause what has expired stays.
    if keys.peek_or_expire(key).is_none() && keys.expiry_in(keys.db, key).is_none() {
        keys.insert_in(keys.db, key, value, None, false);
        keys.changed(key, Event::SILENT);
    }
}

#[expect(
    clippy::approx_constant,
    reason = "it is an example of a double, not pi"
)]
fn protocol(out: &mut Out, kind: &[u8]) -> Result {
    let numbers = |out: &mut Out| (0..3).for_each(|n| out.int(n));
    match &kind.to_ascii_lowercase()[..] {
        b"string" => out.bulk(b"Hello World"),
        b"integer" => out.int(12345),
        b"double" => out.double(3.141),
        b"bignum" => out.big_number("1234567999999999999999999999999999999"),
        b"null" => out.null(),
        b"array" => {
            out.array(3);
            numbers(out);
        }
        b"set" => {
            out.set(3);
            numbers(out);
        }
        b"map" => {
            out.map(3);
            for n in 0..3 {
                out.int(n);
                out.bool(n == 1);
            }
        }
        b"attrib" => {
            if out.attribute(1) {
                out.bulk(b"key-popularity");
                out.array(2);
                out.bulk(b"key:123");
                out.int(90);
            }
            out.bulk(b"Some real reply following the attribute");
        }
        b"push" if out.proto() == Proto::Resp2 => {
            return Err(Error::new("ERR RESP2 is not supported by this command"));
        }
        b"push" => {
            out.bulk(b"Some real reply following the push reply");
            out.push(2);
            out.bulk(b"server-cpu-usage");
            out.int(42);
        }
        b"verbatim" => out.verbatim("txt", b"This is a verbatim\nstring"),
        b"true" => out.bool(true),
        b"false" => out.bool(false),
        _ => {
            return Err(Error::new(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

/// Matches random patterns with random texts: whatever they are, the matcher has to come to an end.
fn try_globs() {
    const LETTERS: &[u8] = b"ab*?[]^-\\\0";
    let word = || -> Vec<u8> {
        let letter = |_| LETTERS[random_below(LETTERS.len() as u64) as usize];
        (0..random_below(24)).map(letter).collect()
    };
    for _ in 0..100_000 {
        let (pattern, text) = (word(), word());
        glob::matches(&pattern, &text);
        glob::matches_ignore_case(&pattern, &text);
    }
}

#[cfg(test)]
mod tests;
