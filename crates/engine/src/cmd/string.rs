//! Strings: GET, SET and everything that works on one whole value.

use crate::base::args::Args;
use crate::cmd::lcs::lcs;
use crate::cmd::string_compare::Condition;
use crate::context::command::{
    Command, DENYOOM, FAST, Group, KS_ACCESS, KS_DELETE, KS_INSERT, KS_OW, KS_RO, KS_RW, KS_UPDATE,
    KS_VARIABLE_FLAGS, KeySpec, MOVABLEKEYS, READONLY, WRITE, row,
};
use crate::door::keys::Keys;

use crate::base::error::{Error, Result};
use crate::base::expiry::{self, Expiry};
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use crate::door::change::Event;
use resp::number::{format_i64, parse_i64};
use resp::{LongDouble, Out};
use std::sync::atomic::Ordering::Relaxed;
use store::{Blob, EntryMut, NewValue, Value, string_value};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("append", 3, WRITE | DENYOOM | FAST, Group::String, "2.0.0", append)
        .keys(&[KeySpec::at(1, KS_RW | KS_INSERT)]).args("key value")
        .docs("Adds text to the end of a string, creating the key if there is none.",
              "O(1) amortized for a short text"),
    row("decr", 2, WRITE | DENYOOM | FAST, Group::String, "1.0.0", decr)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE)]).args("key")
        .docs("Subtracts one from the integer at a key.", "O(1)"),
    row("decrby", 3, WRITE | DENYOOM | FAST, Group::String, "1.0.0", decrby)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE)]).args("key decrement:int")
        .docs("Subtracts an amount from the integer at a key.", "O(1)"),
    row("get", 2, READONLY | FAST, Group::String, "1.0.0", get)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key")
        .docs("Returns the string at a key.", "O(1)"),
    row("getdel", 2, WRITE | FAST, Group::String, "6.2.0", getdel)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE)]).args("key")
        .docs("Returns the string at a key and deletes the key.", "O(1)"),
    row("getex", -2, WRITE | FAST, Group::String, "6.2.0", getex)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE)
                    .note("RW and update because the expiry may change")])
        .args("key [expiration(EX seconds:int | PX milliseconds:int \
               | EXAT unix-time-seconds:time | PXAT unix-time-milliseconds:time | PERSIST)]")
        .docs("Returns the string at a key and sets or removes its expiry.", "O(1)"),
    row("getrange", 4, READONLY, Group::String, "2.4.0", getrange)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key start:int end:int")
        .docs("Returns part of a string, by first and last byte.",
              "O(N), N being the length of the part returned"),
    row("getset", 3, WRITE | DENYOOM | FAST, Group::String, "1.0.0", getset)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE)]).args("key value")
        .docs("Stores a string and returns the one it replaces.", "O(1)"),
    row("incr", 2, WRITE | DENYOOM | FAST, Group::String, "1.0.0", incr)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE)]).args("key")
        .docs("Adds one to the integer at a key.", "O(1)"),
    row("incrby", 3, WRITE | DENYOOM | FAST, Group::String, "1.0.0", incrby)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE)]).args("key increment:int")
        .docs("Adds an amount to the integer at a key.", "O(1)"),
    row("incrbyfloat", 3, WRITE | DENYOOM | FAST, Group::String, "2.6.0", incrbyfloat)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE)]).args("key increment:double")
        .docs("Adds a floating-point amount to the number at a key.", "O(1)"),
    row("lcs", -3, READONLY, Group::String, "7.0.0", lcs)
        .keys(&[KeySpec::range(1, 1, 1, KS_RO | KS_ACCESS)])
        .args("key1:key key2:key [LEN] [IDX] [MINMATCHLEN min-match-len:int] [WITHMATCHLEN]")
        .docs("Finds the longest common subsequence of two strings.",
              "O(N*M), N and M being the lengths of the strings"),
    row("mget", -2, READONLY | FAST, Group::String, "1.0.0", mget)
        .keys(&[KeySpec::range(1, -1, 1, KS_RO | KS_ACCESS)]).args("key...")
        .tips(&["request_policy:multi_shard"])
        .docs("Returns the strings at several keys.", "O(N), N being the number of keys"),
    row("mset", -3, WRITE | DENYOOM, Group::String, "1.0.1", mset)
        .keys(&[KeySpec::range(1, -1, 2, KS_OW | KS_UPDATE)]).args("data{key value}...")
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .docs("Stores strings at several keys at once.", "O(N), N being the number of keys"),
    row("msetex", -4, WRITE | DENYOOM | MOVABLEKEYS, Group::String, "9.1.0", msetex)
        .keys(&[KeySpec::numkeys(1, KS_OW | KS_UPDATE).every(2)])
        .args("numkeys:int data{key value}... [condition(NX | XX)] \
               [expiration(EX seconds:int | PX milliseconds:int \
               | EXAT unix-time-seconds:time | PXAT unix-time-milliseconds:time | KEEPTTL)]")
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .docs("Stores strings at several keys with one expiry for all, on a condition if asked.",
              "O(N), N being the number of keys"),
    row("msetnx", -3, WRITE | DENYOOM, Group::String, "1.0.1", msetnx)
        .keys(&[KeySpec::range(1, -1, 2, KS_OW | KS_INSERT)]).args("data{key value}...")
        .docs("Stores strings at several keys, but only if none of them exists.",
              "O(N), N being the number of keys"),
    row("psetex", 4, WRITE | DENYOOM, Group::String, "2.6.0", psetex)
        .keys(&[KeySpec::at(1, KS_OW | KS_UPDATE)]).args("key milliseconds:int value")
        .docs("Stores a string that expires after so many milliseconds.", "O(1)"),
    row("set", -3, WRITE | DENYOOM, Group::String, "1.0.0", set)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE | KS_VARIABLE_FLAGS)
                    .note("RW and access because of the GET option")])
        .args("key value [condition(NX | XX | IFEQ ifeq-value@8.4.0 | IFNE ifne-value@8.4.0 \
               | IFDEQ ifdeq-digest:int@8.4.0 | IFDNE ifdne-digest:int@8.4.0)@2.6.12] \
               [GET@6.2.0] [expiration(EX seconds:int@2.6.12 | PX milliseconds:int@2.6.12 \
               | EXAT unix-time-seconds:time@6.2.0 | PXAT unix-time-milliseconds:time@6.2.0 \
               | KEEPTTL@6.0.0)]")
        .docs("Stores a string at a key, whatever the key held before.", "O(1)")
        .history(&[
            ("2.6.12", "New options EX, PX, NX and XX."),
            ("6.0.0", "New option KEEPTTL."),
            ("6.2.0", "New options GET, EXAT and PXAT."),
            ("7.0.0", "NX and GET may be combined."),
            ("8.4.0", "New options IFEQ (in Valkey since 8.1.0), IFNE, IFDEQ and IFDNE."),
        ]),
    row("setex", 4, WRITE | DENYOOM, Group::String, "2.0.0", setex)
        .keys(&[KeySpec::at(1, KS_OW | KS_UPDATE)]).args("key seconds:int value")
        .docs("Stores a string that expires after so many seconds.", "O(1)"),
    row("setnx", 3, WRITE | DENYOOM | FAST, Group::String, "1.0.0", setnx)
        .keys(&[KeySpec::at(1, KS_OW | KS_INSERT)]).args("key value")
        .docs("Stores a string if the key does not exist.", "O(1)"),
    row("setrange", 4, WRITE | DENYOOM, Group::String, "2.2.0", setrange)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)]).args("key offset:int value")
        .docs("Overwrites part of a string from an offset on, padding with zero bytes.",
              "O(M), M being the length of the new part"),
    row("strlen", 2, READONLY | FAST, Group::String, "2.2.0", strlen)
        .keys(&[KeySpec::at(1, KS_RO)]).args("key")
        .docs("Returns the length of a string in bytes.", "O(1)"),
    row("substr", 4, READONLY, Group::String, "1.0.0", substr)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key start:int end:int")
        .docs("Returns part of a string; the old name of GETRANGE.",
              "O(N), N being the length of the part returned"),
];

const SET: Event = Event::string("set");
const EXPIRE: Event = Event::generic("expire");
const PERSIST: Event = Event::generic("persist");

/// Writes a string value as a reply.
#[inline]
pub fn reply_value(out: &mut Out, value: Value<'_>) {
    match value {
        Value::Int(i) => out.bulk_int(i),
        Value::Inline(b) => out.bulk(b),
        Value::Blob(b) => out.shared(b),
    }
}

/// The text of a string value; numbers are written into `buf`.
#[inline]
pub fn text<'a>(value: Value<'a>, buf: &'a mut [u8; 20]) -> &'a [u8] {
    match value {
        Value::Int(i) => format_i64(i, buf),
        Value::Inline(b) => b,
        Value::Blob(b) => b,
    }
}

/// Refuses a string of this length if it is over `proto-max-bulk-len`.
pub fn check_length(engine: &Engine, len: usize) -> Result {
    if len > engine.config().live.proto_max_bulk_len.load(Relaxed) {
        return Err(Error::STRING_TOO_LONG);
    }
    Ok(())
}

fn get(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    match ctx.keys.read_string(args.take())? {
        Some(e) => reply_value(ctx.out, e.value()),
        None => ctx.out.null(),
    }
    Ok(())
}

impl Condition<'_> {
    fn exclusive<'a>(&mut self, args: &mut Args<'_>, new: Condition<'a>) -> Condition<'a> {
        if *self != Condition::Always && *self != new {
            args.fail(Error::SYNTAX);
        }
        new
    }
}

fn set(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let bytes = args.take();
    if args.left() == 0 {
        let value = ctx.keys.value(bytes);
        ctx.keys.set(key, value, None);
        ctx.keys.changed(key, SET);
        ctx.out.ok();
        return Ok(());
    }
    let mut condition = Condition::Always;
    let mut expiry = Expiry::None;
    let mut want_old = false;
    while args.left() > 0 && !args.failed() {
        if expiry.take_time(&mut args) || expiry.take_word(&mut args, "KEEPTTL", Expiry::Keep) {
        } else if args.keyword("NX") {
            condition = condition.exclusive(&mut args, Condition::Absent);
        } else if args.keyword("XX") {
            condition = condition.exclusive(&mut args, Condition::Present);
        } else if let Some(comparison) = Condition::take_comparison(&mut args) {
            if condition != Condition::Always {
                args.fail(Error::SYNTAX);
            }
            condition = comparison;
        } else if args.keyword("GET") {
            want_old = true;
        } else {
            args.fail(Error::SYNTAX);
        }
    }
    args.check()?;
    let at = expiry.time(args.argv(), ctx.keys.now_ms, "set")?;
    let value = ctx.keys.value(bytes);
    // What GET wants, and what the condition says of the present state.
    let mut met = true;
    let mut kept = None;
    if want_old || condition != Condition::Always || expiry == Expiry::Keep {
        let found = if want_old {
            ctx.keys.read(key)
        } else {
            ctx.keys.read_silently(key)
        };
        if let Some(e) = &found
            && (want_old || condition.compares())
            && e.kind() != store::Type::String
        {
            return Err(Error::WRONG_TYPE);
        }
        met = condition.met_by(found.as_ref())?;
        kept = found.as_ref().and_then(|e| e.expiry_ms());
        if want_old {
            match &found {
                Some(e) => reply_value(ctx.out, e.value()),
                None => ctx.out.null(),
            }
        }
    }
    if !met {
        if !want_old {
            ctx.out.null();
        }
        return Ok(());
    }
    let keeps = expiry == Expiry::Keep;
    store_expiring(ctx, key, bytes, value, if keeps { kept } else { at }, keeps);
    if !want_old {
        ctx.out.ok();
    }
    Ok(())
}

/// Sets a key that may have to expire at once. `kept`: the expiry is the one it had.
/// `bytes`: the value's text.
fn store_expiring(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    bytes: &[u8],
    value: NewValue<'_>,
    at: Option<u64>,
    kept: bool,
) {
    let gone = at.is_some_and(|ms| ms <= ctx.keys.now_ms);
    if gone {
        ctx.keys.remove(key);
    } else {
        ctx.keys.set(key, value, at);
    }
    ctx.keys.changed(key, SET);
    if at.is_some() && !kept {
        ctx.keys.changed(key, EXPIRE);
    }
    if gone {
        ctx.keys.changed(key, Event::EXPIRED);
        ctx.keys.record(&[b"DEL", key]);
    } else {
        record_set(&mut ctx.keys, key, bytes, at);
    }
}

/// Writes down that a key was set, and when it expires.
fn record_set(keys: &mut Keys<'_>, key: &[u8], bytes: &[u8], at: Option<u64>) {
    if !keys.recording() {
        return;
    }
    let mut digits = [0; 20];
    match at {
        None => keys.record(&[b"SET", key, bytes]),
        Some(at) => {
            let at = format_i64(at as i64, &mut digits);
            keys.record(&[b"SET", key, bytes, b"PXAT", at]);
        }
    }
}

fn set_with_expiry(ctx: &mut Ctx<'_>, mut args: Args<'_>, unit: expiry::Unit) -> Result {
    let key = args.take();
    let n = args.int();
    let bytes = args.take();
    args.finish()?;
    let at = expiry::positive_ms(n, unit, ctx.keys.now_ms, ctx.command.name)?;
    let value = ctx.keys.value(bytes);
    ctx.keys.set(key, value, Some(at));
    ctx.keys.changed(key, SET);
    ctx.keys.changed(key, EXPIRE);
    record_set(&mut ctx.keys, key, bytes, Some(at));
    ctx.out.ok();
    Ok(())
}

fn setex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    set_with_expiry(ctx, args, expiry::SECONDS)
}

fn psetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    set_with_expiry(ctx, args, expiry::MILLISECONDS)
}

fn setnx(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let bytes = args.take();
    let absent = ctx.keys.write(key).is_none();
    if absent {
        let value = ctx.keys.value(bytes);
        ctx.keys.insert_in(ctx.keys.db, key, value, None, false);
        ctx.keys.changed(key, SET);
    }
    ctx.out.int(i64::from(absent));
    Ok(())
}

fn getset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let bytes = args.take();
    match ctx.keys.read_string(key)? {
        Some(e) => reply_value(ctx.out, e.value()),
        None => ctx.out.null(),
    }
    let value = ctx.keys.value(bytes);
    ctx.keys.set(key, value, None);
    ctx.keys.changed(key, SET);
    Ok(())
}

fn getdel(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    match ctx.keys.read_string(key)? {
        Some(e) => reply_value(ctx.out, e.value()),
        None => {
            ctx.out.null();
            return Ok(());
        }
    }
    ctx.keys.remove(key);
    ctx.keys.changed(key, Event::DEL);
    Ok(())
}

fn getex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let mut expiry = Expiry::None;
    while args.left() > 0 && !args.failed() {
        if !expiry.take_time(&mut args) && !expiry.take_word(&mut args, "PERSIST", Expiry::Persist)
        {
            args.fail(Error::SYNTAX);
        }
    }
    args.check()?;
    let now_ms = ctx.keys.now_ms;
    let Some(e) = ctx.keys.read_string(key)? else {
        // A time is only looked at once there is a key.
        ctx.out.null();
        return Ok(());
    };
    let mark = ctx.out.mark();
    reply_value(ctx.out, e.value());
    match expiry {
        Expiry::None | Expiry::Keep => {}
        Expiry::Persist => {
            if let Some(mut f) = ctx.keys.write(key)
                && f.expiry_ms().is_some()
            {
                f.set_expiry(None);
                ctx.keys.changed(key, PERSIST);
                ctx.keys.record(&[b"PERSIST", key]);
            }
        }
        Expiry::At(..) => match expiry.time(args.argv(), now_ms, "getex") {
            Err(e) => {
                ctx.out.rollback(mark);
                return Err(e);
            }
            Ok(Some(at)) if at <= now_ms => {
                ctx.keys.remove(key);
                ctx.keys.changed(key, Event::DEL);
                ctx.keys.record(&[b"DEL", key]);
            }
            Ok(at) => {
                if let Some(mut f) = ctx.keys.write(key) {
                    f.set_expiry(at);
                    ctx.keys.changed(key, EXPIRE);
                    if let Some(at) = at {
                        ctx.keys.record_expiry(key, at);
                    }
                }
            }
        },
    }
    Ok(())
}

fn mget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let keys = args.rest();
    ctx.out.array(keys.len());
    for key in keys {
        match ctx.keys.read_string(key) {
            Ok(Some(e)) => reply_value(ctx.out, e.value()),
            Ok(None) | Err(_) => ctx.out.null(),
        }
    }
    Ok(())
}

/// The key-value pairs of MSET.
fn pairs<'a>(ctx: &Ctx<'_>, rest: &'a [&'a [u8]]) -> Result<std::slice::ChunksExact<'a, &'a [u8]>> {
    if !rest.len().is_multiple_of(2) {
        return Err(Error::wrong_arity(ctx.command.name));
    }
    Ok(rest.chunks_exact(2))
}

fn mset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    for pair in pairs(ctx, args.rest())? {
        let value = ctx.keys.value(pair[1]);
        ctx.keys.set(pair[0], value, None);
        ctx.keys.changed(pair[0], SET);
    }
    ctx.out.ok();
    Ok(())
}

fn msetnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let pairs = pairs(ctx, args.rest())?;
    let free = pairs.clone().all(|pair| ctx.keys.write(pair[0]).is_none());
    if free {
        for pair in pairs {
            let value = ctx.keys.value(pair[1]);
            ctx.keys.set(pair[0], value, None);
            ctx.keys.changed(pair[0], SET);
        }
    }
    ctx.out.int(i64::from(free));
    Ok(())
}

fn msetex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    const BAD_COUNT: Error = Error(std::borrow::Cow::Borrowed("ERR invalid numkeys value"));
    let n = args.int_in(1..=i64::from(i32::MAX), BAD_COUNT);
    args.check()?;
    let n = n as usize * 2;
    if args.left() < n {
        return Err(Error::new("ERR wrong number of key-value pairs"));
    }
    let pairs = args.rest()[..n].chunks_exact(2);
    for _ in 0..n {
        args.take();
    }
    let mut condition = Condition::Always;
    let mut expiry = Expiry::None;
    while args.left() > 0 && !args.failed() {
        if expiry.take_time(&mut args) || expiry.take_word(&mut args, "KEEPTTL", Expiry::Keep) {
        } else if args.keyword("NX") {
            condition = condition.exclusive(&mut args, Condition::Absent);
        } else if args.keyword("XX") {
            condition = condition.exclusive(&mut args, Condition::Present);
        } else {
            args.fail(Error::SYNTAX);
        }
    }
    args.check()?;
    let at = expiry.time(args.argv(), ctx.keys.now_ms, "msetex")?;
    let met = match condition {
        Condition::Absent => pairs.clone().all(|p| ctx.keys.write(p[0]).is_none()),
        Condition::Present => pairs.clone().all(|p| ctx.keys.write(p[0]).is_some()),
        _ => true,
    };
    if met {
        for pair in pairs {
            let at = match expiry {
                Expiry::Keep => ctx.keys.write(pair[0]).and_then(|f| f.expiry_ms()),
                _ => at,
            };
            let value = ctx.keys.value(pair[1]);
            store_expiring(ctx, pair[0], pair[1], value, at, expiry == Expiry::Keep);
        }
    }
    ctx.out.int(i64::from(met));
    Ok(())
}

/// The integer that a string is, for INCR and its kin.
pub fn integer(value: Value<'_>) -> Result<i64> {
    match value {
        Value::Int(i) => Ok(i),
        Value::Inline(b) => parse_i64(b).ok_or(Error::NOT_AN_INTEGER),
        Value::Blob(_) => Err(Error::NOT_AN_INTEGER),
    }
}

fn add(ctx: &mut Ctx<'_>, key: &[u8], by: i64) -> Result {
    let new = match ctx.keys.write_string(key)? {
        Some(mut f) => {
            let old = integer(f.get().value())?;
            let new = old.checked_add(by).ok_or(Error::OVERFLOW)?;
            // An integer is never a blob, so nothing is freed.
            f.set_value(NewValue::Int(new), false);
            new
        }
        None => {
            ctx.keys
                .insert_in(ctx.keys.db, key, NewValue::Int(by), None, false);
            by
        }
    };
    ctx.keys.changed(key, Event::string("incrby"));
    ctx.out.int(new);
    Ok(())
}

fn incr(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    add(ctx, args.take(), 1)
}

fn decr(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    add(ctx, args.take(), -1)
}

fn incrby(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let by = args.int();
    args.check()?;
    add(ctx, key, by)
}

fn decrby(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let by = args.int();
    args.check()?;
    let by = by
        .checked_neg()
        .ok_or(Error::new("ERR decrement would overflow"))?;
    add(ctx, key, by)
}

fn incrbyfloat(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let by = args.take();
    let mut new = Vec::new();
    let mut add_to = |old: &[u8]| {
        let old = LongDouble::parse(old).ok_or(Error::NOT_A_FLOAT)?;
        let by = LongDouble::parse(by).ok_or(Error::NOT_A_FLOAT)?;
        let sum = old.checked_add(by).ok_or(Error::NAN_OR_INFINITY)?;
        sum.write_text(&mut new);
        Ok::<_, Error>(())
    };
    // The result stays text, even where it is a whole number.
    match ctx.keys.write_string(key)? {
        Some(mut f) => {
            add_to(text(f.get().value(), &mut [0; 20]))?;
            let removed = f.set_value(string_value(&new), false);
            ctx.keys.discard(removed);
        }
        None => {
            add_to(b"0")?;
            ctx.keys
                .insert_in(ctx.keys.db, key, string_value(&new), None, false);
        }
    }
    ctx.keys.changed(key, Event::string("incrbyfloat"));
    ctx.keys.record(&[b"SET", key, &new, b"KEEPTTL"]);
    ctx.out.bulk(&new);
    Ok(())
}

fn append(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let more = args.take();
    let Some(mut f) = ctx.keys.write_string(key)? else {
        check_length(ctx.engine, more.len())?;
        let value = ctx.keys.value(more);
        ctx.keys.set(key, value, None);
        ctx.keys.changed(key, Event::string("append"));
        ctx.out.int(more.len() as i64);
        return Ok(());
    };
    let old_len = text(f.get().value(), &mut [0; 20]).len();
    check_length(ctx.engine, old_len.saturating_add(more.len()))?;
    let len = extend(&mut f, old_len + more.len(), old_len, more);
    ctx.keys.changed(key, Event::string("append"));
    ctx.out.int(len as i64);
    Ok(())
}

/// Makes a string `len` bytes long (at least as long as it is) with `bytes` at `offset`, zeros in between, and returns its
/// length. It is raw afterwards.
fn extend(f: &mut EntryMut<'_>, len: usize, offset: usize, bytes: &[u8]) -> usize {
    let edited = f.edit_blob(|b| {
        if len > b.len() {
            // Doubling, so that many small appends copy each byte a bounded number of times.
            if len > b.capacity() {
                let room = len.saturating_mul(2).min(len + (1 << 20));
                b.reserve_exact(room - b.len());
            }
            b.resize(len, 0);
        }
        b[offset..offset + bytes.len()].copy_from_slice(bytes);
    });
    if edited.is_some() {
        return len;
    }
    let mut buf = [0; 20];
    let old = text(f.get().value(), &mut buf);
    if len <= store::MAX_INLINE {
        let mut whole = [0u8; store::MAX_INLINE];
        whole[..old.len()].copy_from_slice(old);
        whole[offset..offset + bytes.len()].copy_from_slice(bytes);
        f.set_value(NewValue::Inline(&whole[..len]), true);
    } else {
        let mut whole = Vec::with_capacity(len);
        whole.extend_from_slice(old);
        whole.resize(len, 0);
        whole[offset..offset + bytes.len()].copy_from_slice(bytes);
        f.set_value(NewValue::Blob(Blob::new(whole)), true);
    }
    len
}

fn setrange(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let offset = args.int();
    let bytes = args.take();
    args.check()?;
    let offset = usize::try_from(offset).map_err(|_| Error::OFFSET_RANGE)?;
    let found = ctx.keys.write_string(key)?;
    let old_len = found
        .as_ref()
        .map_or(0, |f| text(f.get().value(), &mut [0; 20]).len());
    if bytes.is_empty() {
        ctx.out.int(old_len as i64);
        return Ok(());
    }
    check_length(ctx.engine, offset.saturating_add(bytes.len()))?;
    let end = offset + bytes.len();
    let len = match found {
        Some(mut f) => extend(&mut f, old_len.max(end), offset, bytes),
        None => {
            let mut whole = vec![0; end];
            whole[offset..].copy_from_slice(bytes);
            let value = if end <= store::MAX_INLINE {
                NewValue::Inline(&whole)
            } else {
                NewValue::Blob(Blob::new(std::mem::take(&mut whole)))
            };
            ctx.keys.insert_in(ctx.keys.db, key, value, None, true);
            end
        }
    };
    ctx.keys.changed(key, Event::string("setrange"));
    ctx.out.int(len as i64);
    Ok(())
}

/// The byte range that first and last index mean in a string, negative ones counting from its end.
fn byte_range(start: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let n = len as i64;
    let from_end = |i: i64| if i < 0 { n.saturating_add(i).max(0) } else { i };
    let (first, last) = (from_end(start), from_end(end).min(n - 1));
    if first > last || n == 0 {
        return 0..0;
    }
    first as usize..last as usize + 1
}

fn getrange(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let start = args.int();
    let end = args.int();
    args.check()?;
    match ctx.keys.read_string(key)? {
        None => ctx.out.bulk(b""),
        Some(e) => match e.value() {
            Value::Blob(b) => {
                let range = byte_range(start, end, b.len());
                ctx.out.shared_range(b, range);
            }
            value => {
                let mut buf = [0; 20];
                let bytes = text(value, &mut buf);
                ctx.out.bulk(&bytes[byte_range(start, end, bytes.len())]);
            }
        },
    }
    Ok(())
}

fn substr(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    getrange(ctx, args)
}

fn strlen(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let len = ctx
        .keys
        .read_string(args.take())?
        .map_or(0, |e| text(e.value(), &mut [0; 20]).len());
    ctx.out.int(len as i64);
    Ok(())
}
