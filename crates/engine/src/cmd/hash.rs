//! Hashes: fields and values. What gives fields an expiry is in [`super::hash_expiry`].

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::random::random_below;
use crate::cmd::generic::parse_cursor;
use crate::cmd::long::{LONG_WORK, check_picks};
use crate::cmd::scan_options::{ScanOptions, Scanned};
use crate::context::command::{
    Command, DENYOOM, FAST, Group, KS_ACCESS, KS_DELETE, KS_INSERT, KS_RO, KS_RW, KS_UPDATE,
    KeySpec, READONLY, WHOLE, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use crate::door::keys::Keys;
use crate::door::record::{EXPIRED_AT_ONCE, Gone};
use resp::number::{format_i64, parse_i64};
use resp::{LongDouble, Out, Proto};
use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use store::packed::Item;
use store::types::hash::{Expiry, Hash, HashRef, Limits};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("hdel", -3, WRITE | FAST, Group::Hash, "2.0.0", hdel)
        .keys(&[KeySpec::at(1, KS_RW | KS_DELETE)]).args("key field...")
        .docs("Deletes fields of a hash.", "O(N), N being the number of fields")
        .history(&[("2.4.0", "Several fields may be given.")]),
    row("hexists", 3, READONLY | FAST, Group::Hash, "2.0.0", hexists)
        .keys(&[KeySpec::at(1, KS_RO)]).args("key field")
        .docs("Tells whether a hash has a field.", "O(1)"),
    row("hget", 3, READONLY | FAST, Group::Hash, "2.0.0", hget)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key field")
        .docs("Returns the value of a field.", "O(1)"),
    row("hgetall", 2, WHOLE | READONLY, Group::Hash, "2.0.0", hgetall)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key")
        .tips(&["nondeterministic_output_order"])
        .docs("Returns all fields and values of a hash.", "O(N), N being the size of the hash"),
    row("hincrby", 4, WRITE | DENYOOM | FAST, Group::Hash, "2.0.0", hincrby)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE)]).args("key field increment:int")
        .docs("Adds an amount to the integer in a field.", "O(1)"),
    row("hincrbyfloat", 4, WRITE | DENYOOM | FAST, Group::Hash, "2.6.0", hincrbyfloat)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE)]).args("key field increment:double")
        .docs("Adds a floating-point amount to the number in a field.", "O(1)"),
    row("hkeys", 2, WHOLE | READONLY, Group::Hash, "2.0.0", hkeys)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key")
        .tips(&["nondeterministic_output_order"])
        .docs("Returns all fields of a hash.", "O(N), N being the size of the hash"),
    row("hlen", 2, READONLY | FAST, Group::Hash, "2.0.0", hlen)
        .keys(&[KeySpec::at(1, KS_RO)]).args("key")
        .docs("Counts the fields of a hash.", "O(1)"),
    row("hmget", -3, READONLY | FAST, Group::Hash, "2.0.0", hmget)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key field...")
        .docs("Returns the values of several fields.", "O(N), N being the number of fields"),
    row("hmset", -4, WRITE | DENYOOM | FAST, Group::Hash, "2.0.0", hmset)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)]).args("key data{field value}...")
        .docs("Sets several fields; the old form of HSET.", "O(N), N being the number of fields"),
    row("hrandfield", -2, READONLY, Group::Hash, "6.2.0", hrandfield)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key [options{count:int [WITHVALUES]}]")
        .tips(&["nondeterministic_output"])
        .docs("Returns fields of a hash picked at random.",
              "O(N), N being the number of fields returned"),
    row("hscan", -3, READONLY, Group::Hash, "2.8.0", hscan)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key cursor:int [MATCH pattern:pattern] [COUNT count:int] [NOVALUES]")
        .tips(&["nondeterministic_output"])
        .docs("Goes through the fields of a hash step by step.",
              "O(1) for a call, O(N) for a full pass, N being the size of the hash"),
    row("hset", -4, WRITE | DENYOOM | FAST, Group::Hash, "2.0.0", hset)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)]).args("key data{field value}...")
        .docs("Sets fields of a hash, creating it if need be.",
              "O(N), N being the number of fields")
        .history(&[("4.0.0", "Several fields may be given.")]),
    row("hsetnx", 4, WRITE | DENYOOM | FAST, Group::Hash, "2.0.0", hsetnx)
        .keys(&[KeySpec::at(1, KS_RW | KS_INSERT)]).args("key field value")
        .docs("Sets a field if the hash does not have it.", "O(1)"),
    row("hstrlen", 3, READONLY | FAST, Group::Hash, "3.2.0", hstrlen)
        .keys(&[KeySpec::at(1, KS_RO)]).args("key field")
        .docs("Returns the length of the value of a field.", "O(1)"),
    row("hvals", 2, WHOLE | READONLY, Group::Hash, "2.0.0", hvals)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key")
        .tips(&["nondeterministic_output_order"])
        .docs("Returns all values of a hash.", "O(N), N being the size of the hash"),
];

/// Up to where hashes stay packed.
pub(crate) fn limits(ctx: &Ctx<'_>) -> Limits {
    let live = &ctx.engine.config().live;
    Limits {
        entries: live.hash_max_listpack_entries.load(Relaxed),
        value: live.hash_max_listpack_value.load(Relaxed),
    }
}

/// Writes a value as a reply.
#[inline]
pub(super) fn reply_item(out: &mut Out, item: Item<'_>) {
    match item {
        Item::Int(n) => out.bulk_int(n),
        Item::Bytes(b) => out.bulk(b),
    }
}

/// Writes the value of a field, or null.
#[inline]
pub(super) fn reply_field(out: &mut Out, hash: Option<HashRef<'_>>, field: &[u8], now_ms: u64) {
    match hash.and_then(|h| h.get(field, now_ms)) {
        Some(f) => reply_item(out, f.value),
        None => out.null(),
    }
}

// ---- Reading

fn hget(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let now_ms = ctx.keys.now_ms;
    let hash = ctx.keys.view::<Hash>(args.take())?;
    reply_field(ctx.out, hash, args.take(), now_ms);
    Ok(())
}

fn hmget(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let now_ms = ctx.keys.now_ms;
    let hash = ctx.keys.view::<Hash>(args.take())?;
    ctx.out.array(args.left());
    for field in args.rest() {
        reply_field(ctx.out, hash, field, now_ms);
    }
    Ok(())
}

fn hexists(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let now_ms = ctx.keys.now_ms;
    let hash = ctx.keys.view::<Hash>(args.take())?;
    let found = hash.and_then(|h| h.get(args.take(), now_ms));
    ctx.out.int(i64::from(found.is_some()));
    Ok(())
}

fn hstrlen(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let now_ms = ctx.keys.now_ms;
    let hash = ctx.keys.view::<Hash>(args.take())?;
    let found = hash.and_then(|h| h.get(args.take(), now_ms));
    ctx.out.int(found.map_or(0, |f| f.value.text_len() as i64));
    Ok(())
}

fn hlen(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    // Fields that have expired count until they are removed, as on the real servers.
    let hash = ctx.keys.view::<Hash>(args.take())?;
    ctx.out.int(hash.map_or(0, |h| h.len()) as i64);
    Ok(())
}

/// Writes all fields, all values, or both as a map.
fn reply_all(ctx: &mut Ctx<'_>, key: &[u8], fields: bool, values: bool) -> Result {
    let now_ms = ctx.keys.now_ms;
    let both = fields && values;
    let may_move = ctx.must_move(LONG_WORK);
    let Some(hash) = ctx.keys.view::<Hash>(key)? else {
        if both {
            ctx.out.map(0)
        } else {
            ctx.out.array(0)
        }
        return Ok(());
    };
    if may_move && !hash.is_packed() && hash.len() >= LONG_WORK {
        return ctx.move_after_read();
    }
    let out = &mut *ctx.out;
    // Where counting would take a walk of its own, the header is written last.
    let known = (!hash.is_packed() && !hash.may_be_due(now_ms)).then(|| hash.len());
    let mark = out.begin_array();
    match known {
        Some(n) if both => out.map(n),
        Some(n) => out.array(n),
        None => {}
    }
    let mut n = 0;
    for (name, field) in hash.iter(now_ms) {
        n += 1;
        if fields {
            out.bulk(name);
        }
        if values {
            reply_item(out, field.value);
        }
    }
    match known {
        Some(_) => {}
        None if both => out.end_map(mark, n),
        None => out.end_array(mark, n),
    }
    Ok(())
}

fn hgetall(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    reply_all(ctx, args.take(), true, true)
}

fn hkeys(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    reply_all(ctx, args.take(), true, false)
}

fn hvals(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    reply_all(ctx, args.take(), false, true)
}

fn hscan(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let cursor = parse_cursor(args.take())?;
    let now_ms = ctx.keys.now_ms;
    let mut found: Vec<(&[u8], Item<'_>)> = Vec::new();
    let (mut next, mut names_only) = (0, false);
    let may_move = ctx.must_move(LONG_WORK);
    // Without a key the options do not matter.
    if let Some(hash) = ctx.keys.view::<Hash>(key)? {
        let options = ScanOptions::take(&mut args, Scanned::Hash)?;
        names_only = options.names_only;
        if may_move && options.count >= LONG_WORK && hash.len() >= LONG_WORK {
            return ctx.move_after_read();
        }
        next = hash.scan(cursor, options.count, now_ms, |field, value| {
            if options.wants(field) {
                found.push((field, value));
            }
        });
    }
    ctx.out.array(2);
    ctx.out.bulk_display(next);
    ctx.out.array(found.len() * if names_only { 1 } else { 2 });
    for (field, value) in found {
        ctx.out.bulk(field);
        if !names_only {
            reply_item(ctx.out, value);
        }
    }
    Ok(())
}

// ---- Random fields

fn hrandfield(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let now_ms = ctx.keys.now_ms;
    if args.left() == 0 {
        match ctx
            .keys
            .view::<Hash>(key)?
            .and_then(|h| h.random(now_ms, random_below))
        {
            Some((field, _)) => ctx.out.bulk(field),
            None => ctx.out.null(),
        }
        return Ok(());
    }
    let count = args.int();
    args.check()?;
    if count == i64::MIN {
        return Err(Error::new(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let values = args.keyword("WITHVALUES");
    if args.left() > 0 {
        return Err(Error::SYNTAX);
    }
    if values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::new("ERR value is out of range"));
    }
    let may_move = ctx.must_move(count.unsigned_abs() as usize);
    let may_move_walk = ctx.must_move(LONG_WORK);
    let out = &mut *ctx.out;
    let nested = values && out.proto() == Proto::Resp3;
    let each = if values && !nested { 2 } else { 1 };
    let reply = |out: &mut Out, field: &[u8], value: Item<'_>| {
        if nested {
            out.array(2);
        }
        out.bulk(field);
        if values {
            reply_item(out, value);
        }
    };
    let Some(hash) = ctx.keys.view::<Hash>(key)? else {
        out.array(0);
        return Ok(());
    };
    check_picks(count)?;
    let hides = hash.may_be_due(now_ms);
    if may_move && count < 0 || (may_move || may_move_walk && hides) && hash.len() >= LONG_WORK {
        return ctx.move_after_read();
    }
    if count < 0 {
        let picks = count.unsigned_abs() as usize;
        // A packed hash is walked once, not once a pick, and so is one of which perhaps hardly anything has not expired.
        let all: Vec<_> = if hash.is_packed() || hides {
            hash.iter(now_ms).collect()
        } else {
            Vec::new()
        };
        let pick = || match all.len() {
            0 if hides => None,
            0 => hash.random(now_ms, random_below),
            n => Some(all[random_below(n as u64) as usize]),
        };
        let mark = out.begin_array();
        let n = std::iter::repeat_with(pick)
            .take(picks)
            .map_while(|picked| picked)
            .map(|(field, f)| reply(out, field, f.value))
            .count();
        out.end_array(mark, n * each);
        return Ok(());
    }
    let wanted = count as usize;
    let size = if hides {
        hash.iter(now_ms).count()
    } else {
        hash.len()
    };
    out.array(wanted.min(size) * each);
    if !hash.is_packed() && wanted < size / 3 && !hides {
        // Few of many: drawn again where a field comes up twice.
        let mut seen = HashSet::with_capacity(wanted);
        while seen.len() < wanted {
            let Some((field, f)) = hash.random(now_ms, random_below) else {
                break;
            };
            if seen.insert(field) {
                reply(out, field, f.value);
            }
        }
        return Ok(());
    }
    // Each field in turn is taken with the chance that it has among those that are left.
    let mut left = wanted.min(size);
    for (i, (field, f)) in hash.iter(now_ms).enumerate() {
        if left > 0 && random_below((size - i) as u64) < left as u64 {
            reply(out, field, f.value);
            left -= 1;
        }
    }
    Ok(())
}

// ---- Writing

/// Removes fields of a hash that have expired, ahead of a command that changes it: those that the command names, and as many others
/// as do not hold it up. The sweep removes the rest.
#[inline]
pub(super) fn expire_fields<'n>(
    hash: &mut Hash,
    now_ms: u64,
    named: impl IntoIterator<Item = &'n [u8]>,
) -> Gone {
    let mut gone = Gone::default();
    if hash.next_due_ms().is_some_and(|ms| ms <= now_ms) {
        hash.expire_fields(now_ms, EXPIRED_AT_ONCE, &mut |field| gone.add(field));
        if hash.next_due_ms().is_some_and(|ms| ms <= now_ms) {
            for field in named {
                if hash.expire_field(field, now_ms) {
                    gone.add(field);
                }
            }
        }
    }
    gone
}

const HSET: Event = Event::hash("hset");
const HDEL: Event = Event::hash("hdel");

/// The fields that a command does something to, if their names are wanted.
pub(super) struct Touched<'a> {
    wanted: bool,
    fields: Vec<&'a [u8]>,
}

impl<'a> Touched<'a> {
    pub(super) fn new(keys: &Keys<'_>) -> Touched<'a> {
        Touched {
            wanted: keys.listening.to_fields(),
            fields: Vec::new(),
        }
    }

    pub(super) fn add_if(&mut self, touched: bool, field: &'a [u8]) {
        if touched && self.wanted {
            self.fields.push(field);
        }
    }

    /// Says what has happened to them, after it was said of their hash.
    pub(super) fn tell(self, keys: &mut Keys<'_>, key: &[u8], event: Event) {
        keys.of_fields(key, event, self.fields);
    }
}

/// Says what has become of a hash: `expired` fields had to go first, then came the events.
#[inline]
pub(super) fn tell(
    keys: &mut Keys<'_>,
    key: &[u8],
    expired: &Gone,
    events: impl IntoIterator<Item = Event>,
    times: usize,
) {
    let mut first = None;
    if !expired.0.is_empty() {
        keys.counters.expired_fields.add(expired.0.len() as u64);
        keys.record_expired_fields(key, expired);
        first = Some(Event::HASH_EXPIRED);
    }
    keys.changed_in_turn(key, first.into_iter().chain(events), times);
    keys.of_fields(key, Event::HASH_EXPIRED, expired.0.iter().map(|f| &f[..]));
}

/// Sets the fields that the rest of the arguments say; returns how many are new.
fn set_all(ctx: &mut Ctx<'_>, key: &[u8], pairs: &[&[u8]]) -> Result<i64> {
    if !pairs.len().is_multiple_of(2) {
        return Err(Error::wrong_arity(ctx.command.name));
    }
    let (limits, now_ms) = (limits(ctx), ctx.keys.now_ms);
    let (expired, n) = ctx.keys.edit_or_create::<Hash, _>(key, |hash| {
        let named = pairs.iter().step_by(2).copied();
        let expired = expire_fields(hash, now_ms, named);
        hash.prepare(pairs.len() / 2, pairs.iter().copied(), limits);
        let set = |pair: &&[&[u8]]| hash.set(pair[0], pair[1], Expiry::Clear, now_ms, limits);
        (expired, pairs.chunks_exact(2).filter(set).count() as i64)
    })?;
    tell(&mut ctx.keys, key, &expired, [HSET], pairs.len() / 2);
    let fields = pairs.iter().step_by(2).copied();
    ctx.keys.of_fields(key, HSET, fields);
    Ok(n)
}

fn hset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let n = set_all(ctx, key, args.rest())?;
    ctx.out.int(n);
    Ok(())
}

fn hmset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    set_all(ctx, key, args.rest())?;
    ctx.out.ok();
    Ok(())
}

fn hsetnx(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, field, value) = (args.take(), args.take(), args.take());
    let (limits, now_ms) = (limits(ctx), ctx.keys.now_ms);
    if ctx
        .keys
        .peek_view::<Hash>(key)?
        .is_some_and(|h| h.get(field, now_ms).is_some())
    {
        ctx.out.int(0);
        return Ok(());
    }
    let expired = ctx.keys.edit_or_create::<Hash, _>(key, |hash| {
        let expired = expire_fields(hash, now_ms, [field]);
        hash.set(field, value, Expiry::Clear, now_ms, limits);
        expired
    })?;
    tell(&mut ctx.keys, key, &expired, [HSET], 1);
    ctx.keys.of_fields(key, HSET, [field]);
    // Where the field has expired and is still there, HSETNX would do nothing.
    let field = std::iter::once(field);
    ctx.keys.record_fields_as_they_are(key, field, true);
    ctx.out.int(1);
    Ok(())
}

fn hdel(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, now_ms) = (args.take(), ctx.keys.now_ms);
    let fields = args.rest();
    let mut removed = Touched::new(&ctx.keys);
    let done = ctx.keys.edit::<Hash, _>(key, |hash| {
        let expired = expire_fields(hash, now_ms, fields.iter().copied());
        let mut n = 0;
        for field in fields {
            if hash.remove(field, now_ms) {
                n += 1;
                removed.add_if(true, field);
            }
        }
        (expired, n)
    })?;
    let (expired, n) = done.unwrap_or_default();
    let event = (n > 0).then_some(HDEL);
    tell(&mut ctx.keys, key, &expired, event, n);
    removed.tell(&mut ctx.keys, key, HDEL);
    ctx.out.int(n as i64);
    Ok(())
}

/// Reads a field's text, computes a new one from it and stores that; the field keeps its expiry. A failure changes
/// nothing. The event is named after the command.
fn update<R>(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    field: &[u8],
    compute: impl FnOnce(Option<&[u8]>, &mut Vec<u8>) -> Result<R>,
) -> Result<R> {
    let (limits, now_ms) = (limits(ctx), ctx.keys.now_ms);
    let (expired, result) = ctx.keys.edit_or_create::<Hash, _>(key, |hash| {
        let expired = expire_fields(hash, now_ms, [field]);
        let mut new = Vec::new();
        let mut number = [0; 20];
        let found = store::Collection::view(hash).get(field, now_ms);
        let old = found.as_ref().map(|f| f.value.text(&mut number));
        let result = compute(old, &mut new);
        if result.is_ok() {
            hash.set(field, &new, Expiry::Keep, now_ms, limits);
        }
        (expired, result)
    })?;
    let event = Event::hash(ctx.command.name);
    let done = result.is_ok().then_some(event);
    tell(&mut ctx.keys, key, &expired, done, result.is_ok().into());
    if result.is_ok() {
        ctx.keys.of_fields(key, event, [field]);
        // The text, since others may compute it differently, and the expiry, which setting a field would end.
        let field = std::iter::once(field);
        ctx.keys.record_fields_as_they_are(key, field, true);
    }
    result
}

fn hincrby(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, field, by) = (args.take(), args.take(), args.int());
    args.check()?;
    let n = update(ctx, key, field, |old, new| {
        let old = match old {
            Some(text) => parse_i64(text).ok_or(Error::new("ERR hash value is not an integer"))?,
            None => 0,
        };
        let n = old.checked_add(by).ok_or(Error::OVERFLOW)?;
        new.extend_from_slice(format_i64(n, &mut [0; 20]));
        Ok(n)
    })?;
    ctx.out.int(n);
    Ok(())
}

fn hincrbyfloat(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, field) = (args.take(), args.take());
    let by = LongDouble::parse(args.take()).ok_or(Error::NOT_A_FLOAT)?;
    if !by.is_finite() {
        return Err(Error::new("ERR value is NaN or Infinity"));
    }
    let text = update(ctx, key, field, |old, new| {
        let old = LongDouble::parse(old.unwrap_or(b"0"))
            .ok_or(Error::new("ERR hash value is not a float"))?;
        old.checked_add(by)
            .ok_or(Error::NAN_OR_INFINITY)?
            .write_text(new);
        Ok(new.clone())
    })?;
    ctx.out.bulk(&text);
    Ok(())
}

#[cfg(test)]
mod tests;
