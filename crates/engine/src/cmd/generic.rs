//! Keys of any type: deleting, renaming, expiring, finding them.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::expiry::{self, to_unix_ms};
use crate::base::glob;
use crate::base::memory::{idle_seconds, minutes};
use crate::cmd::dump::LONG_VALUE;
use crate::cmd::scan_options::{ScanOptions, Scanned};
use crate::context::command::{
    Command, DENYOOM, Databases, FAST, Group, KS_ACCESS, KS_DELETE, KS_INSERT, KS_OW, KS_RM, KS_RO,
    KS_RW, KS_UPDATE, KeySpec, LOADING, OTHER_DB, OWN_LOCKS, READONLY, STALE, WHOLE, WRITE,
    container, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::KeyBytes;
use crate::ops::{self, keys::ExpireIf};
use crate::table::categories::{CAT_DANGEROUS, CAT_KEYSPACE};
use resp::number::parse_i64;
use resp::{Mark, Out};
use store::table::POSITIONS;
use store::{Dict, EntryRef, Type, Value};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("copy", -3, WHOLE | OTHER_DB | WRITE | DENYOOM, Group::Generic, "6.2.0", copy)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS), KeySpec::at(2, KS_OW | KS_UPDATE)])
        .args("source:key destination:key#1 [DB destination-db:int] [REPLACE]")
        .databases(Databases::AfterWord("DB"))
        .docs("Copies the value of a key to another key.",
              "O(N), N being the number of elements of a collection; O(1) for a string"),
    row("del", -2, WRITE, Group::Generic, "1.0.0", del)
        .keys(&[KeySpec::range(1, -1, 1, KS_RM | KS_DELETE)]).args("key...")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .docs("Deletes keys.",
              "O(N), N being the number of keys, and O(M) for each collection of M elements"),
    row("exists", -2, READONLY | FAST, Group::Generic, "1.0.0", exists)
        .keys(&[KeySpec::range(1, -1, 1, KS_RO)]).args("key...")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .docs("Counts how many of the given keys exist.", "O(N), N being the number of keys")
        .history(&[("3.0.3", "Several keys may be given.")]),
    row("expire", -3, WRITE | FAST, Group::Generic, "1.0.0", expire)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key seconds:int [condition(NX | XX | GT | LT)@7.0.0]")
        .docs("Lets a key expire after so many seconds.", "O(1)")
        .history(&[("7.0.0", "New options NX, XX, GT and LT.")]),
    row("expireat", -3, WRITE | FAST, Group::Generic, "1.2.0", expireat)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key unix-time-seconds:time [condition(NX | XX | GT | LT)@7.0.0]")
        .docs("Lets a key expire at a Unix time in seconds.", "O(1)")
        .history(&[("7.0.0", "New options NX, XX, GT and LT.")]),
    row("expiretime", 2, READONLY | FAST, Group::Generic, "7.0.0", expiretime)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key")
        .docs("Returns the Unix time in seconds at which a key expires.", "O(1)"),
    row("keys", 2, OWN_LOCKS | READONLY, Group::Generic, "1.0.0", keys)
        .args("pattern:pattern").acl(CAT_KEYSPACE | CAT_DANGEROUS)
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .docs("Returns every key that matches a pattern.",
              "O(N), N being the number of keys in the database"),
    row("move", 3, OTHER_DB | WRITE | FAST, Group::Generic, "1.0.0", move_)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE)]).args("key db:int")
        .databases(Databases::AlsoNamed(2))
        .docs("Moves a key to another database.", "O(1)"),
    container("object", Group::Generic, "2.2.3", OBJECT_COMMANDS)
        .docs("Holds the commands that look at how a value is stored.",
              "Depends on the subcommand"),
    row("persist", 2, WRITE | FAST, Group::Generic, "2.2.0", persist)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)]).args("key")
        .docs("Removes the expiry of a key.", "O(1)"),
    row("pexpire", -3, WRITE | FAST, Group::Generic, "2.6.0", pexpire)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key milliseconds:int [condition(NX | XX | GT | LT)@7.0.0]")
        .docs("Lets a key expire after so many milliseconds.", "O(1)")
        .history(&[("7.0.0", "New options NX, XX, GT and LT.")]),
    row("pexpireat", -3, WRITE | FAST, Group::Generic, "2.6.0", pexpireat)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key unix-time-milliseconds:time [condition(NX | XX | GT | LT)@7.0.0]")
        .docs("Lets a key expire at a Unix time in milliseconds.", "O(1)")
        .history(&[("7.0.0", "New options NX, XX, GT and LT.")]),
    row("pexpiretime", 2, READONLY | FAST, Group::Generic, "7.0.0", pexpiretime)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key")
        .docs("Returns the Unix time in milliseconds at which a key expires.", "O(1)"),
    row("pttl", 2, READONLY | FAST, Group::Generic, "2.6.0", pttl)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key").tips(&["nondeterministic_output"])
        .docs("Returns how many milliseconds a key has left to live.", "O(1)")
        .history(&[("2.8.0", "Answers -2 for a missing key.")]),
    row("randomkey", 1, OWN_LOCKS | READONLY, Group::Generic, "1.0.0", randomkey)
        .tips(&["request_policy:all_shards", "response_policy:special", "nondeterministic_output"])
        .docs("Returns one of the database's keys, picked at random.", "O(1)"),
    row("rename", 3, WRITE, Group::Generic, "1.0.0", rename)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE), KeySpec::at(2, KS_OW | KS_UPDATE)])
        .args("key newkey:key#1")
        .docs("Renames a key, replacing the target if it exists.", "O(1)"),
    row("renamenx", 3, WRITE | FAST, Group::Generic, "1.0.0", renamenx)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE), KeySpec::at(2, KS_OW | KS_INSERT)])
        .args("key newkey:key#1")
        .docs("Renames a key if the new name is free.", "O(1)")
        .history(&[("3.2.0", "Renaming a key to itself is no longer an error.")]),
    row("scan", -2, OWN_LOCKS | READONLY, Group::Generic, "2.8.0", scan)
        .args("cursor:int [MATCH pattern:pattern] [COUNT count:int] [TYPE type@6.0.0]")
        .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"])
        .docs("Goes through the keys of the database step by step.",
              "O(1) for a call, O(N) for a full pass, N being the number of keys")
        .history(&[("6.0.0", "New option TYPE.")]),
    row("touch", -2, READONLY | FAST, Group::Generic, "3.2.1", touch)
        .keys(&[KeySpec::range(1, -1, 1, KS_RO)]).args("key...")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .docs("Counts the keys that exist and marks them as just used.",
              "O(N), N being the number of keys"),
    row("ttl", 2, READONLY | FAST, Group::Generic, "1.0.0", ttl)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key").tips(&["nondeterministic_output"])
        .docs("Returns how many seconds a key has left to live.", "O(1)")
        .history(&[("2.8.0", "Answers -2 for a missing key.")]),
    row("type", 2, READONLY | FAST, Group::Generic, "1.0.0", type_)
        .keys(&[KeySpec::at(1, KS_RO)]).args("key")
        .docs("Returns the type of the value at a key.", "O(1)"),
    row("unlink", -2, WRITE | FAST, Group::Generic, "4.0.0", unlink)
        .keys(&[KeySpec::range(1, -1, 1, KS_RM | KS_DELETE)]).args("key...")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .docs("Deletes keys and frees large values in the background.",
              "O(N), N being the number of keys; freeing is O(M), M being the number of \
               allocations, on another thread"),
];

/// The subcommands of OBJECT.
#[rustfmt::skip]
const OBJECT_COMMANDS: &[Command] = &[
    row("object|encoding", 3, READONLY, Group::Generic, "2.2.3", object_encoding)
        .keys(&[KeySpec::at(2, KS_RO)]).args("key").tips(&["nondeterministic_output"])
        .docs("Returns how a value is encoded inside the server.", "O(1)"),
    row("object|freq", 3, READONLY, Group::Generic, "4.0.0", object_freq)
        .keys(&[KeySpec::at(2, KS_RO)]).args("key").tips(&["nondeterministic_output"])
        .docs("Returns how often a key is used, on a logarithmic scale.", "O(1)"),
    row("object|help", 2, LOADING | STALE, Group::Generic, "6.2.0", object_help)
        .docs("Lists the subcommands of OBJECT.", "O(1)"),
    row("object|idletime", 3, READONLY, Group::Generic, "2.2.3", object_idletime)
        .keys(&[KeySpec::at(2, KS_RO)]).args("key").tips(&["nondeterministic_output"])
        .docs("Returns for how many seconds a key has not been used.", "O(1)"),
    row("object|refcount", 3, READONLY, Group::Generic, "2.2.3", object_refcount)
        .keys(&[KeySpec::at(2, KS_RO)]).args("key").tips(&["nondeterministic_output"])
        .docs("Returns how many references a value has.", "O(1)"),
];

fn del(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let mut n = 0;
    for key in args.rest() {
        n += i64::from(ops::keys::delete(&mut ctx.keys, key));
    }
    ctx.out.int(n);
    Ok(())
}

/// Big values are freed on another thread whichever command deletes them, so this is DEL.
fn unlink(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    del(ctx, args)
}

fn exists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let n = args
        .rest()
        .iter()
        // That it was asked for does not make a key less idle.
        .filter(|k| ctx.keys.read_untouched(k).is_some())
        .count();
    ctx.out.int(n as i64);
    Ok(())
}

fn touch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    // It does so for a client with CLIENT NO-TOUCH too.
    let no_touch = std::mem::take(&mut ctx.keys.no_touch);
    let keys = args.rest().iter();
    let n = keys.filter(|k| ctx.keys.read(k).is_some()).count();
    ctx.keys.no_touch = no_touch;
    ctx.out.int(n as i64);
    Ok(())
}

fn type_(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let name = ctx
        .keys
        .read_untouched(args.take())
        .map_or("none", |e| e.kind().name());
    ctx.out.simple(name);
    Ok(())
}

// ---- Expiry

fn expire_generic(ctx: &mut Ctx<'_>, mut args: Args<'_>, unit: expiry::Unit) -> Result {
    let key = args.take();
    let time = args.take();
    let mut only = ExpireIf::default();
    while let Some(word) = args.peek() {
        if args.keyword("NX") {
            only.nx = true;
        } else if args.keyword("XX") {
            only.xx = true;
        } else if args.keyword("GT") {
            only.gt = true;
        } else if args.keyword("LT") {
            only.lt = true;
        } else {
            return Err(Error::quoting("ERR Unsupported option {}", &[word]));
        }
    }
    if only.nx && (only.xx || only.gt || only.lt) {
        return Err(Error::new(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    if only.gt && only.lt {
        return Err(Error::new(
            "ERR GT and LT options at the same time are not compatible",
        ));
    }
    let n = parse_i64(time).ok_or(Error::NOT_AN_INTEGER)?;
    let now_ms = ctx.keys.now_ms;
    let at = to_unix_ms(n, unit, now_ms).ok_or(Error::invalid_expire(ctx.command.name))?;
    let set = ops::keys::expire(&mut ctx.keys, key, at, only);
    ctx.out.int(i64::from(set));
    Ok(())
}

fn expire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    expire_generic(ctx, args, expiry::SECONDS)
}

fn pexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    expire_generic(ctx, args, expiry::MILLISECONDS)
}

fn expireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    expire_generic(ctx, args, expiry::UNIX_SECONDS)
}

fn pexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    expire_generic(ctx, args, expiry::UNIX_MILLISECONDS)
}

/// Answers -2 without a key, -1 without an expiry, else what `show` makes of it (Unix milliseconds).
fn show_expiry(
    ctx: &mut Ctx<'_>,
    mut args: Args<'_>,
    show: fn(at: u64, now_ms: u64) -> u64,
) -> Result {
    let now_ms = ctx.keys.now_ms;
    let n = match ctx.keys.read_untouched(args.take()).map(|e| e.expiry_ms()) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => show(at, now_ms) as i64,
    };
    ctx.out.int(n);
    Ok(())
}

fn ttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show_expiry(ctx, args, |at, now| (at - now + 500) / 1000)
}

fn pttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show_expiry(ctx, args, |at, now| at - now)
}

fn expiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show_expiry(ctx, args, |at, _| (at + 500) / 1000)
}

fn pexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show_expiry(ctx, args, |at, _| at)
}

fn persist(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let had = ops::keys::persist(&mut ctx.keys, args.take());
    ctx.out.int(i64::from(had));
    Ok(())
}

// ---- Moving whole keys

fn rename(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let from = args.take();
    ops::keys::rename(&mut ctx.keys, from, args.take(), false)?;
    ctx.out.ok();
    Ok(())
}

fn renamenx(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let from = args.take();
    let renamed = ops::keys::rename(&mut ctx.keys, from, args.take(), true)?;
    ctx.out.int(i64::from(renamed));
    Ok(())
}

/// A database number as COPY and MOVE take it.
fn database(ctx: &Ctx<'_>, args: &mut Args<'_>) -> usize {
    let n = args.int32();
    match usize::try_from(n) {
        Ok(db) if db < ctx.engine.keyspace().databases() => db,
        _ => {
            args.fail(Error::DB_INDEX);
            0
        }
    }
}

fn move_(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let db = database(ctx, &mut args);
    args.check()?;
    if db == ctx.keys.db {
        return Err(Error::SAME_OBJECT);
    }
    let moved = ops::keys::move_to(&mut ctx.keys, key, db);
    ctx.out.int(i64::from(moved));
    Ok(())
}

fn copy(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (from, to) = (args.take(), args.take());
    let here = ctx.keys.db;
    let (mut db, mut replace) = (here, false);
    while args.left() > 0 && !args.failed() {
        if args.keyword_with_value("DB") {
            db = database(ctx, &mut args);
        } else if args.keyword("REPLACE") {
            replace = true;
        } else {
            args.fail(Error::SYNTAX);
        }
    }
    args.check()?;
    if db == here && from == to {
        return Err(Error::SAME_OBJECT);
    }
    // A long string is shared until one of the two changes, a collection copied.
    let is_long = |e: EntryRef<'_>| e.kind() != Type::String && e.memory() > LONG_VALUE;
    if ctx.keys.peek(from).is_some_and(is_long) && ctx.moves_elsewhere() {
        return Ok(());
    }
    let copied = ops::keys::copy(&mut ctx.keys, from, db, to, replace)?;
    ctx.out.int(i64::from(copied));
    Ok(())
}

// ---- Finding keys

/// Databases with more keys than this are listed on a helper thread.
const LONG_LISTING: usize = 20_000;

/// Keys that are looked at under one hold of a shard's lock: some tens of microseconds.
const AT_ONCE: usize = 256;

/// How far KEYS has come: what it has found, and where it goes on.
struct Listing {
    found: Out,
    mark: Mark,
    n: usize,
    shard: usize,
    position: u64,
}

fn keys(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let pattern = args.take();
    let (db, now_ms) = (ctx.session.db, ctx.keys.now_ms);
    let ks = ctx.engine.keyspace();
    if !ctx.nested && ks.len(db) > LONG_LISTING && ctx.moves_elsewhere() {
        return Ok(());
    }
    let all = pattern == b"*";
    let mut listing = ctx.take_up().unwrap_or_else(|| {
        let mut found = Out::new(ctx.session.proto);
        found.bound(ctx.session.room_for_replies());
        Box::new(Listing {
            mark: found.begin_array(),
            found,
            n: 0,
            shard: 0,
            position: 0,
        })
    });
    while listing.shard < ks.shards() && !listing.found.is_over() {
        let to = &mut *listing;
        let next = ctx.look(to.shard, |shard| {
            shard.db_ref(db).step_from(to.position, AT_ONCE, |_, e| {
                if alive(&e, now_ms) && (all || glob::matches(pattern, e.key())) {
                    to.found.bulk(e.key());
                    to.n += 1;
                }
            })
        })?;
        match next {
            None => {
                ctx.put_off(listing);
                return Ok(());
            }
            Some(Some(position)) => to.position = position,
            Some(None) => (to.shard, to.position) = (to.shard + 1, 0),
        }
    }
    listing.found.end_array(listing.mark, listing.n);
    ctx.out.append(&mut listing.found);
    Ok(())
}

fn alive(e: &EntryRef<'_>, now_ms: u64) -> bool {
    e.expiry_ms().is_none_or(|ms| ms > now_ms)
}

fn scan(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let cursor = parse_cursor(args.take())?;
    let options = ScanOptions::take(&mut args, Scanned::Keys)?;
    let kind = options.kind;
    scan_keys(ctx, cursor, options.count, &|_| true, &|e| {
        kind.is_none_or(|k| k == Some(e.kind())) && options.wants(e.key())
    })
}

/// Goes through the keys of the database from a cursor on, about `count` of them, in those of its parts that `within` wants to be
/// looked at; answers with the next cursor and the keys that are `wanted`.
pub(super) fn scan_keys(
    ctx: &mut Ctx<'_>,
    cursor: u64,
    count: usize,
    within: &dyn Fn(&Dict) -> bool,
    wanted: &dyn Fn(&EntryRef<'_>) -> bool,
) -> Result {
    let ks = ctx.engine.keyspace();
    let (db, now_ms) = (ctx.session.db, ctx.keys.now_ms);
    let mut shard = (cursor / POSITIONS) as usize;
    let mut position = cursor % POSITIONS;
    // Sparse databases: pass over at most so many empty places before answering with few keys or none.
    let mut budget = count.saturating_mul(10).max(1000);
    let mut seen = 0;
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut expired: Vec<Vec<u8>> = Vec::new();
    while shard < ks.shards() && seen < count && budget > 0 {
        let next = ctx.look(shard, |part| {
            let dict = part.db_ref(db);
            let mut here: Vec<(u64, &[u8], Option<bool>)> = Vec::new();
            // What has expired is removed whether it is wanted or not.
            let look = |e: &EntryRef<'_>| match alive(e, now_ms) {
                true => wanted(e).then_some(true),
                false => Some(false),
            };
            let mut next = within(dict).then_some(position);
            while let Some(from) = next
                && seen < count
                && budget > 0
            {
                let after = dict.visit_from(from, |at, e| {
                    here.push((at, e.key(), look(&e)));
                });
                // In hash order, and never apart if at the same place, so that the cursor needs to know nothing but the place.
                here.sort_unstable_by_key(|&(at, ..)| at);
                let mut cut = (count - seen).min(here.len());
                while cut > 0 && cut < here.len() && here[cut].0 == here[cut - 1].0 {
                    cut += 1;
                }
                next = if cut < here.len() {
                    Some(here[cut].0)
                } else {
                    after
                };
                seen += cut;
                budget = budget.saturating_sub(cut.max(1));
                for (_, key, alive) in here.drain(..).take(cut) {
                    match alive {
                        Some(true) => found.push(key.to_vec()),
                        Some(false) => expired.push(key.to_vec()),
                        None => {}
                    }
                }
            }
            next
        })?;
        let Some(next) = next else {
            return Ok(());
        };
        match next {
            Some(p) => position = p,
            None => {
                shard += 1;
                position = 0;
            }
        }
    }
    let cursor = if shard < ks.shards() {
        shard as u64 * POSITIONS + position
    } else {
        0
    };
    expired.iter().for_each(|key| remove_expired(ctx, key));
    ctx.out.array(2);
    ctx.out.bulk_display(cursor);
    ctx.out.array(found.len());
    for key in &found {
        ctx.out.bulk(key);
    }
    Ok(())
}

/// Removes a key that was found expired, of a command that takes its locks itself, unless a pause keeps it.
fn remove_expired(ctx: &mut Ctx<'_>, key: &[u8]) {
    if ctx.keys.frozen {
        return;
    }
    if ctx.keys.holds(key) {
        // Part of a transaction or a script.
        let _ = ctx.keys.peek_or_expire(key);
        return;
    }
    let (db, counters) = (ctx.keys.db, ctx.keys.counters);
    ctx.engine.remove_expired(db, key, counters);
}

/// A cursor: an unsigned 64-bit number, with the leading space and sign that the C library's reader lets pass, and its
/// wrapping of negative numbers; those that fit 64 bits are refused.
pub fn parse_cursor(arg: &[u8]) -> Result<u64> {
    let text = arg.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty()
        || !digits.iter().all(u8::is_ascii_digit)
        || parse_i64(arg).is_some_and(|n| n < 0)
    {
        return Err(Error::INVALID_CURSOR);
    }
    let n: u64 = std::str::from_utf8(digits)
        .ok()
        .and_then(|s| s.parse().ok())
        .ok_or(Error::INVALID_CURSOR)?;
    Ok(if negative { n.wrapping_neg() } else { n })
}

fn randomkey(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let ks = ctx.engine.keyspace();
    let (db, now_ms) = (ctx.session.db, ctx.keys.now_ms);
    // Expired keys that are still there are drawn again, but not for ever: a database may hold nothing else.
    for _ in 0..100 {
        let mut lens: Vec<usize> = Vec::with_capacity(ks.shards());
        let mut total = 0;
        for shard in 0..ks.shards() {
            total += ks.shard_counts(db, shard).keys;
            lens.push(total);
        }
        if total == 0 {
            break;
        }
        let n = crate::base::random::random_below(total as u64) as usize;
        let shard = lens.partition_point(|&upto| upto <= n);
        let before = if shard == 0 { 0 } else { lens[shard - 1] };
        let drawn = ctx.look(shard, |shard| {
            let drawn = shard.db_ref(db).nth(n - before)?;
            Some((KeyBytes::from_slice(drawn.key()), alive(&drawn, now_ms)))
        })?;
        match drawn {
            None => return Ok(()),
            Some(Some((key, true))) => {
                ctx.out.bulk(&key);
                return Ok(());
            }
            Some(Some((key, false))) => remove_expired(ctx, &key),
            // What is not there any more is drawn again.
            Some(None) => {}
        }
    }
    ctx.out.null();
    Ok(())
}

// ---- OBJECT

/// The encoding's name, as clients know it from Redis.
pub fn encoding(e: &EntryRef<'_>) -> &'static str {
    if e.kind() != Type::String {
        return super::collection_encoding(e);
    }
    match e.value() {
        Value::Int(_) => "int",
        Value::Inline(b) if b.len() <= 44 && !e.is_raw() => "embstr",
        _ => "raw",
    }
}

fn object_encoding(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    match ctx.keys.read_unannounced(args.take()) {
        Some(e) => ctx.out.bulk(encoding(&e).as_bytes()),
        None => ctx.out.null(),
    }
    Ok(())
}

fn object_refcount(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    match ctx.keys.read_unannounced(args.take()) {
        Some(_) => ctx.out.int(1),
        None => ctx.out.null(),
    }
    Ok(())
}

fn object_idletime(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let (aging, now_ms) = (ctx.keys.aging, ctx.keys.now_ms);
    match ctx.keys.read_unannounced(args.take()) {
        Some(_) if aging.counts() => Err(Error::new(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between \
             policies at runtime LRU and LFU data will take some time to adjust.",
        )),
        Some(e) => {
            // The clock wraps around after 194 days.
            ctx.out.int(idle_seconds(e.clock(), now_ms).into());
            Ok(())
        }
        None => {
            ctx.out.null();
            Ok(())
        }
    }
}

fn object_freq(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let (aging, now_ms) = (ctx.keys.aging, ctx.keys.now_ms);
    let key = args.take();
    let Some(e) = ctx.keys.read_unannounced(key) else {
        ctx.out.null();
        return Ok(());
    };
    let n = match aging.counts() {
        true => aging.frequency(e.clock(), minutes(now_ms)),
        // Keys do not count their uses then. What is known of hot keys says the same of those that matter.
        false if !ctx.engine.config().flag("hotkey-tracking") => {
            return Err(Error::new(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between \
                 policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
        false => ctx.engine.hot_frequency(ctx.keys.db, key).into(),
    };
    ctx.out.int(n.into());
    Ok(())
}

fn object_help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    help(
        ctx.out,
        &[
            "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "ENCODING <key>",
            "    How the value of <key> is stored.",
            "FREQ <key>",
            "    How often <key> was used lately, on a logarithmic scale.",
            "IDLETIME <key>",
            "    Seconds since <key> was last used.",
            "REFCOUNT <key>",
            "    How many references there are to the value of <key>.",
            "HELP",
            "    Prints this help.",
        ],
    );
    Ok(())
}

/// Writes the reply of a HELP subcommand: its lines as simple strings.
pub fn help(out: &mut Out, lines: &[&str]) {
    out.array(lines.len());
    for line in lines {
        out.simple(line);
    }
}
