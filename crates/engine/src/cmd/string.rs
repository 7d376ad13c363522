//! Strings: GET, SET and everything that works on one whole value.

use crate::base::args::Args;
use crate::cmd::lcs::lcs;
use crate::cmd::string_compare::take_comparison;
use crate::context::command::{
    Command, DENYOOM, FAST, Group, KS_ACCESS, KS_DELETE, KS_INSERT, KS_OW, KS_RO, KS_RW, KS_UPDATE,
    KS_VARIABLE_FLAGS, KeySpec, MOVABLEKEYS, READONLY, WRITE, row,
};

use crate::base::error::{Error, Result};
use crate::base::expiry::{self, Expiry};
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use crate::ops::strings::{self, Condition, NewExpiry, Refresh, byte_range, text};
use resp::Out;
use std::sync::atomic::Ordering::Relaxed;
use store::Value;

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

/// Writes a string value as a reply.
#[inline]
pub fn reply_value(out: &mut Out, value: Value<'_>) {
    match value {
        Value::Int(i) => out.bulk_int(i),
        Value::Inline(b) => out.bulk(b),
        Value::Blob(b) => out.shared(b),
    }
}

/// The same, or null where there is none.
fn reply_found(out: &mut Out, value: Option<Value<'_>>) {
    match value {
        Some(value) => reply_value(out, value),
        None => out.null(),
    }
}

/// How long a string may get.
fn most(engine: &Engine) -> usize {
    engine.config().live.proto_max_bulk_len.load(Relaxed)
}

fn get(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    match ctx.keys.read_string(args.take())? {
        Some(e) => reply_value(ctx.out, e.value()),
        None => ctx.out.null(),
    }
    Ok(())
}

/// A condition that an option names; a second, different one is a syntax error.
fn exclusive<'a>(had: Condition<'_>, args: &mut Args<'_>, new: Condition<'a>) -> Condition<'a> {
    if had != Condition::Always && had != new {
        args.fail(Error::SYNTAX);
    }
    new
}

/// What becomes of the expiry, once the time that an option gives is known to be one.
fn new_expiry(expiry: Expiry, at: Option<u64>) -> NewExpiry {
    match (expiry, at) {
        (Expiry::Keep, _) => NewExpiry::Keep,
        (_, Some(at)) => NewExpiry::At(at),
        (_, None) => NewExpiry::Never,
    }
}

fn set(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let bytes = args.take();
    if args.left() == 0 {
        let value = ctx.keys.value(bytes);
        strings::set(&mut ctx.keys, key, value);
        ctx.out.ok();
        return Ok(());
    }
    let mut condition = Condition::Always;
    let mut expiry = Expiry::None;
    let mut want_old = false;
    while args.left() > 0 && !args.failed() {
        if expiry.take_time(&mut args) || expiry.take_word(&mut args, "KEEPTTL", Expiry::Keep) {
        } else if args.keyword("NX") {
            condition = exclusive(condition, &mut args, Condition::Absent);
        } else if args.keyword("XX") {
            condition = exclusive(condition, &mut args, Condition::Present);
        } else if let Some(comparison) = take_comparison(&mut args) {
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
    let expiry = new_expiry(expiry, at);
    let (keys, out) = (&mut ctx.keys, &mut *ctx.out);
    if want_old {
        let mut show = |old: Option<Value<'_>>| reply_found(out, old);
        strings::set_with(keys, key, value, condition, expiry, Some(&mut show))?;
    } else if strings::set_with(keys, key, value, condition, expiry, None)? {
        out.ok();
    } else {
        out.null();
    }
    Ok(())
}

fn set_with_expiry(ctx: &mut Ctx<'_>, mut args: Args<'_>, unit: expiry::Unit) -> Result {
    let key = args.take();
    let n = args.int();
    let bytes = args.take();
    args.finish()?;
    let at = expiry::positive_ms(n, unit, ctx.keys.now_ms, ctx.command.name)?;
    let value = ctx.keys.value(bytes);
    strings::set_expiring(&mut ctx.keys, key, value, at);
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
    let value = ctx.keys.value(args.take());
    let stored = strings::set_if_absent(&mut ctx.keys, key, value);
    ctx.out.int(i64::from(stored));
    Ok(())
}

fn getset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let value = ctx.keys.value(args.take());
    let out = &mut *ctx.out;
    strings::get_and_set(&mut ctx.keys, key, value, |old| reply_found(out, old))
}

fn getdel(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let out = &mut *ctx.out;
    strings::get_and_delete(&mut ctx.keys, args.take(), |old| reply_found(out, old))
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
    let (now_ms, out) = (ctx.keys.now_ms, &mut *ctx.out);
    // A time is only looked at once there is a key.
    let refresh = || match expiry {
        Expiry::Persist => Ok(Refresh::Persist),
        _ => {
            let at = expiry.time(args.argv(), now_ms, "getex")?;
            Ok(at.map_or(Refresh::Leave, Refresh::At))
        }
    };
    strings::get_and_expire(&mut ctx.keys, key, refresh, |value| reply_found(out, value))
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
        strings::set(&mut ctx.keys, pair[0], value);
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
            strings::set(&mut ctx.keys, pair[0], value);
        }
    }
    ctx.out.int(i64::from(free));
    Ok(())
}

fn msetex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    const BAD_COUNT: Error = Error::fixed("ERR invalid numkeys value");
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
            condition = exclusive(condition, &mut args, Condition::Absent);
        } else if args.keyword("XX") {
            condition = exclusive(condition, &mut args, Condition::Present);
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
            let keeps = expiry == Expiry::Keep;
            strings::set_or_expire(&mut ctx.keys, pair[0], value, at, keeps);
        }
    }
    ctx.out.int(i64::from(met));
    Ok(())
}

fn add(ctx: &mut Ctx<'_>, key: &[u8], by: i64) -> Result {
    let sum = strings::add(&mut ctx.keys, key, by)?;
    ctx.out.int(sum);
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
    let sum = strings::add_float(&mut ctx.keys, key, args.take())?;
    ctx.out.bulk(&sum);
    Ok(())
}

fn append(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let len = strings::append(&mut ctx.keys, key, args.take(), most(ctx.engine))?;
    ctx.out.int(len as i64);
    Ok(())
}

fn setrange(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let offset = args.int();
    let bytes = args.take();
    args.check()?;
    let offset = usize::try_from(offset).map_err(|_| Error::OFFSET_RANGE)?;
    let len = strings::set_range(&mut ctx.keys, key, offset, bytes, most(ctx.engine))?;
    ctx.out.int(len as i64);
    Ok(())
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
        .map_or(0, |e| strings::length(e.value()));
    ctx.out.int(len as i64);
    Ok(())
}
