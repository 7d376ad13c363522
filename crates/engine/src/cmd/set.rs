//! Sets.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::random::random_below;
use crate::cmd::generic::parse_cursor;
use crate::cmd::long::{LONG_WORK, check_picks};
use crate::cmd::scan_options::{ScanOptions, Scanned};
use crate::context::command::{
    Command, DENYOOM, FAST, Group, KS_ACCESS, KS_DELETE, KS_INSERT, KS_OW, KS_RO, KS_RW, KS_UPDATE,
    KeySpec, MOVABLEKEYS, READONLY, WHOLE, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use crate::door::keys::Keys;
use crate::door::record::Gone;
use crate::door::room::Sources;
use resp::Out;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::sync::atomic::Ordering::Relaxed;
use store::packed::Item;
use store::types::hll;
use store::types::set::{Limits, Set, SetRef};
use store::{Collection, Type};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("sadd", -3, WRITE | DENYOOM | FAST, Group::Set, "1.0.0", sadd)
        .keys(&[KeySpec::at(1, KS_RW | KS_INSERT)]).args("key member...")
        .docs("Adds members to a set, creating it if need be.",
              "O(N), N being the number of members given")
        .history(&[("2.4.0", "Several members may be given.")]),
    row("scard", 2, READONLY | FAST, Group::Set, "1.0.0", scard)
        .keys(&[KeySpec::at(1, KS_RO)]).args("key")
        .docs("Counts the members of a set.", "O(1)"),
    row("sdiff", -2, WHOLE | READONLY, Group::Set, "1.0.0", sdiff)
        .keys(&[KeySpec::range(1, -1, 1, KS_RO | KS_ACCESS)]).args("key...")
        .tips(&["nondeterministic_output_order"])
        .docs("Returns the members of the first set that are in none of the others.",
              "O(N), N being the number of members of all sets"),
    row("sdiffstore", -3, WHOLE | WRITE | DENYOOM, Group::Set, "1.0.0", sdiffstore)
        .keys(&[KeySpec::at(1, KS_OW | KS_UPDATE), KeySpec::range(2, -1, 1, KS_RO | KS_ACCESS)])
        .args("destination:key key#1...")
        .docs("Stores the members of the first set that are in none of the others.",
              "O(N), N being the number of members of all sets"),
    row("sdiffcard", -3, WHOLE | READONLY | MOVABLEKEYS, Group::Set, "8.10.0", sdiffcard)
        .keys(&[KeySpec::numkeys(1, KS_RO | KS_ACCESS)])
        .args("numkeys:int key... [LIMIT limit:int]")
        .docs("Counts the members of a set that are in none of several others.",
              "O(N), N being the number of members of all sets"),
    row("sinter", -2, WHOLE | READONLY, Group::Set, "1.0.0", sinter)
        .keys(&[KeySpec::range(1, -1, 1, KS_RO | KS_ACCESS)]).args("key...")
        .tips(&["nondeterministic_output_order"])
        .docs("Returns the members that several sets have in common.",
              "O(N*M), N being the size of the smallest set and M the number of sets"),
    row("sintercard", -3, WHOLE | READONLY | MOVABLEKEYS, Group::Set, "7.0.0", sintercard)
        .keys(&[KeySpec::numkeys(1, KS_RO | KS_ACCESS)])
        .args("numkeys:int key... [LIMIT limit:int]")
        .docs("Counts the members that several sets have in common.",
              "O(N*M), N being the size of the smallest set and M the number of sets"),
    row("sinterstore", -3, WHOLE | WRITE | DENYOOM, Group::Set, "1.0.0", sinterstore)
        .keys(&[KeySpec::at(1, KS_OW | KS_UPDATE), KeySpec::range(2, -1, 1, KS_RO | KS_ACCESS)])
        .args("destination:key key#1...")
        .docs("Stores the members that several sets have in common.",
              "O(N*M), N being the size of the smallest set and M the number of sets"),
    row("sismember", 3, READONLY | FAST, Group::Set, "1.0.0", sismember)
        .keys(&[KeySpec::at(1, KS_RO)]).args("key member")
        .docs("Tells whether a set has a member.", "O(1)"),
    row("smembers", 2, WHOLE | READONLY, Group::Set, "1.0.0", smembers)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key")
        .tips(&["nondeterministic_output_order"])
        .docs("Returns all members of a set.", "O(N), N being the size of the set"),
    row("smismember", -3, READONLY | FAST, Group::Set, "6.2.0", smismember)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key member...")
        .docs("Tells which of several members a set has.",
              "O(N), N being the number of members asked for"),
    row("smove", 4, WRITE | FAST, Group::Set, "1.0.0", smove)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE), KeySpec::at(2, KS_RW | KS_INSERT)])
        .args("source:key destination:key#1 member")
        .docs("Moves a member from one set to another.", "O(1)"),
    row("spop", -2, WRITE | FAST, Group::Set, "1.0.0", spop)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE)]).args("key [count:int@3.2.0]")
        .tips(&["nondeterministic_output"])
        .docs("Removes members picked at random and returns them.",
              "O(1) without a count, else O(N), N being the count")
        .history(&[("3.2.0", "New argument count.")]),
    row("srandmember", -2, READONLY, Group::Set, "1.0.0", srandmember)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key [count:int@2.6.0]")
        .tips(&["nondeterministic_output"])
        .docs("Returns members picked at random.",
              "O(1) without a count, else O(N), N being the absolute value of the count")
        .history(&[("2.6.0", "New argument count.")]),
    row("srem", -3, WRITE | FAST, Group::Set, "1.0.0", srem)
        .keys(&[KeySpec::at(1, KS_RW | KS_DELETE)]).args("key member...")
        .docs("Removes members from a set.", "O(N), N being the number of members given")
        .history(&[("2.4.0", "Several members may be given.")]),
    row("sscan", -3, READONLY, Group::Set, "2.8.0", sscan)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key cursor:int [MATCH pattern:pattern] [COUNT count:int]")
        .tips(&["nondeterministic_output"])
        .docs("Goes through the members of a set step by step.",
              "O(1) for a call, O(N) for a full pass, N being the size of the set"),
    row("sunion", -2, WHOLE | READONLY, Group::Set, "1.0.0", sunion)
        .keys(&[KeySpec::range(1, -1, 1, KS_RO | KS_ACCESS)]).args("key...")
        .tips(&["nondeterministic_output_order"])
        .docs("Returns the members that are in any of several sets.",
              "O(N), N being the number of members of all sets"),
    row("sunioncard", -3, WHOLE | READONLY | MOVABLEKEYS, Group::Set, "8.10.0", sunioncard)
        .keys(&[KeySpec::numkeys(1, KS_RO | KS_ACCESS)])
        .args("numkeys:int key... [APPROX] [LIMIT limit:int]")
        .docs("Counts the members that are in any of several sets, or estimates how many they are.",
              "O(N), N being the number of members of all sets"),
    row("sunionstore", -3, WHOLE | WRITE | DENYOOM, Group::Set, "1.0.0", sunionstore)
        .keys(&[KeySpec::at(1, KS_OW | KS_UPDATE), KeySpec::range(2, -1, 1, KS_RO | KS_ACCESS)])
        .args("destination:key key#1...")
        .docs("Stores the members that are in any of several sets.",
              "O(N), N being the number of members of all sets"),
];

/// The settings that decide when a set outgrows its small forms.
pub(crate) fn limits(ctx: &Ctx<'_>) -> Limits {
    let live = &ctx.engine.config().live;
    Limits {
        intset_entries: live.set_max_intset_entries.load(Relaxed),
        listpack_entries: live.set_max_listpack_entries.load(Relaxed),
        listpack_value: live.set_max_listpack_value.load(Relaxed),
    }
}

/// Writes a member as a reply.
fn reply_member(out: &mut Out, item: Item<'_>) {
    match item {
        Item::Int(n) => out.bulk_int(n),
        Item::Bytes(b) => out.bulk(b),
    }
}

fn reply_set(out: &mut Out, set: SetRef<'_>) {
    out.set(visible(set));
    set.for_each(|item| reply_member(out, item));
}

/// Number of members that are shown.
pub(super) fn visible(set: SetRef<'_>) -> usize {
    match set.timed() {
        Some(members) => members.count(),
        None => set.len(),
    }
}

/// Removes the members of a set that have expired.
#[inline]
pub(super) fn expire_members(set: &mut Set, now_ms: u64) -> Gone {
    let mut gone = Gone::default();
    set.expire_members(now_ms, &mut |member| gone.add(member));
    gone
}

/// Says what has become of a set: `expired` members had to go first, then came the events.
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
        keys.record_expired_members(key, expired);
        first = Some(Event::SET_EXPIRED);
    }
    let events: SmallVec<[Event; 4]> = first.into_iter().chain(events).collect();
    if !events.is_empty() {
        keys.changed_in_turn(key, events, times);
    }
}

/// Removes the members of a key's set that have expired, ahead of a command that changes it or writes down what it makes of it.
pub(super) fn expire_members_of(keys: &mut Keys<'_>, key: &[u8]) -> Result {
    let now_ms = keys.now_ms;
    let set = keys.peek_view::<Set>(key)?;
    if !keys.frozen && set.is_some_and(|set| set.may_be_due(now_ms)) {
        let gone = keys.edit::<Set, _>(key, |set| expire_members(set, now_ms))?;
        tell(keys, key, &gone.unwrap_or_default(), None, 0);
    }
    Ok(())
}

fn sadd(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let members = args.rest();
    let (limits, now_ms) = (limits(ctx), ctx.keys.now_ms);
    let (expired, n) = ctx.keys.edit_or_create::<Set, _>(key, |set| {
        let expired = expire_members(set, now_ms);
        if set.is_empty() {
            *set = Set::for_first(members[0], members.len(), limits);
        } else {
            set.expect(members.len(), limits);
        }
        let added = members.iter().filter(|m| set.insert(m, limits)).count();
        (expired, added)
    })?;
    if !expired.0.is_empty() {
        let event = (n > 0).then_some(Event::set("sadd"));
        tell(&mut ctx.keys, key, &expired, event, n);
    } else if n > 0 {
        ctx.keys.changed_times(key, Event::set("sadd"), n);
    }
    ctx.out.int(n as i64);
    Ok(())
}

fn srem(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let members = args.rest();
    let n = ctx
        .keys
        .edit::<Set, _>(key, |set| members.iter().filter(|m| set.remove(m)).count())?;
    let n = n.unwrap_or(0);
    if n > 0 {
        ctx.keys.changed_times(key, Event::set("srem"), n);
    }
    ctx.out.int(n as i64);
    Ok(())
}

fn scard(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let n = ctx.keys.view::<Set>(args.take())?.map_or(0, |s| s.len());
    ctx.out.int(n as i64);
    Ok(())
}

fn sismember(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let member = args.take();
    let now_ms = ctx.keys.now_ms;
    let is = ctx
        .keys
        .view::<Set>(key)?
        .is_some_and(|s| s.at(now_ms).contains(member));
    ctx.out.int(i64::from(is));
    Ok(())
}

fn smismember(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let now_ms = ctx.keys.now_ms;
    let set = ctx.keys.view::<Set>(args.take())?.map(|s| s.at(now_ms));
    ctx.out.array(args.left());
    for member in args.rest() {
        let is = set.as_ref().is_some_and(|s| s.contains(member));
        ctx.out.int(i64::from(is));
    }
    Ok(())
}

fn smembers(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let may_move = ctx.must_move(LONG_WORK);
    let now_ms = ctx.keys.now_ms;
    match ctx.keys.view::<Set>(args.take())?.map(|s| s.at(now_ms)) {
        Some(set) if may_move && set.len() >= LONG_WORK => return ctx.move_after_read(),
        Some(set) => reply_set(ctx.out, set),
        None => ctx.out.set(0),
    }
    Ok(())
}

fn smove(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (from, to, member) = (args.take(), args.take(), args.take());
    let limits = limits(ctx);
    let due = match ctx.keys.peek_view::<Set>(from)? {
        None => {
            ctx.out.int(0);
            return Ok(());
        }
        Some(set) => set.at(ctx.keys.now_ms).due_ms(member),
    };
    ctx.keys.peek_view::<Set>(to)?;
    expire_members_of(&mut ctx.keys, from)?;
    expire_members_of(&mut ctx.keys, to)?;
    if let Some(due) = due
        && from != to
    {
        ctx.keys.edit::<Set, _>(from, |set| set.remove(member))?;
        ctx.keys.changed(from, Event::set("srem"));
        // The member's expiry goes with it.
        let (new, old) = ctx.keys.edit_or_create::<Set, _>(to, |set| {
            let old = set.view().due_ms(member).flatten();
            let new = set.insert(member, limits);
            if due != old {
                set.set_expiry(member, due, limits);
            }
            (new, old)
        })?;
        if new {
            ctx.keys.changed(to, Event::set("sadd"));
        }
        if due.is_some() {
            ctx.keys.changed_too(to, Event::set("sexpire"));
        } else if old.is_some() {
            ctx.keys.changed_too(to, Event::set("spersist"));
        }
    }
    ctx.out.int(i64::from(due.is_some()));
    Ok(())
}

fn spop(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    if args.left() > 1 {
        return Err(Error::SYNTAX);
    }
    if args.left() == 0 {
        expire_members_of(&mut ctx.keys, key)?;
        let member = ctx.keys.edit::<Set, _>(key, |set| {
            let member = set.view().random(random_below).map(Item::to_vec);
            if let Some(m) = &member {
                set.remove(m);
            }
            member
        })?;
        match member.flatten() {
            Some(m) => {
                ctx.keys.changed(key, Event::set("spop"));
                ctx.keys.record(&[b"SREM", key, &m]);
                ctx.out.bulk(&m);
            }
            None => ctx.out.null(),
        }
        return Ok(());
    }
    let count = args.int_in(0..=i64::MAX, Error::NOT_POSITIVE) as usize;
    args.check()?;
    expire_members_of(&mut ctx.keys, key)?;
    let may_move = ctx.must_move(count);
    // It is looked for to be changed.
    let _ = ctx.keys.write(key);
    let len = match ctx.keys.peek_view::<Set>(key)? {
        None => 0,
        Some(set) if may_move && set.len() >= LONG_WORK => return ctx.move_elsewhere(),
        Some(set) if count >= set.len() => {
            let n = set.len();
            reply_set(ctx.out, set);
            ctx.keys.remove(key);
            ctx.keys
                .changed_in_turn(key, [Event::set("spop"), Event::DEL], n);
            ctx.keys.record(&[b"DEL", key]);
            return Ok(());
        }
        Some(set) => set.len(),
    };
    if count == 0 || len == 0 {
        ctx.out.set(0);
        return Ok(());
    }
    ctx.out.set(count);
    let out = &mut *ctx.out;
    let recording = ctx.keys.recording();
    let mut popped: Vec<Vec<u8>> = Vec::new();
    ctx.keys.edit::<Set, _>(key, |set| {
        for _ in 0..count {
            if let Some(m) = set.view().random(random_below).map(Item::to_vec) {
                set.remove(&m);
                out.bulk(&m);
                if recording {
                    popped.push(m);
                }
            }
        }
    })?;
    ctx.keys.changed_times(key, Event::set("spop"), count);
    let mut argv: Vec<&[u8]> = vec![b"SREM", key];
    argv.extend(popped.iter().map(|m| &m[..]));
    ctx.keys.record(&argv);
    Ok(())
}

fn srandmember(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    if args.left() > 1 {
        return Err(Error::SYNTAX);
    }
    if args.left() == 0 {
        let now_ms = ctx.keys.now_ms;
        match ctx
            .keys
            .view::<Set>(key)?
            .and_then(|s| s.at(now_ms).random(random_below))
        {
            Some(item) => reply_member(ctx.out, item),
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
    let wanted = count.unsigned_abs() as usize;
    let may_move = ctx.must_move(wanted);
    let now_ms = ctx.keys.now_ms;
    let Some(set) = ctx.keys.view::<Set>(key)?.map(|s| s.at(now_ms)) else {
        ctx.out.array(0);
        return Ok(());
    };
    check_picks(count)?;
    let len = visible(set);
    if len == 0 {
        ctx.out.array(0);
        return Ok(());
    }
    if may_move && (count < 0 || len >= LONG_WORK) {
        return ctx.move_after_read();
    }
    if count < 0 {
        ctx.out.array(wanted);
        for _ in 0..wanted {
            if let Some(item) = set.random(random_below) {
                reply_member(ctx.out, item);
            }
        }
    } else if wanted >= len {
        ctx.out.array(len);
        set.for_each(|item| reply_member(ctx.out, item));
    } else if wanted * 3 > len {
        // Most of the set: walk it, taking each member with the probability that leaves exactly as many as wanted.
        ctx.out.array(wanted);
        let (mut need, mut left) = (wanted as u64, len as u64);
        let out = &mut *ctx.out;
        set.for_each_while(|item| {
            if random_below(left) < need {
                reply_member(out, item);
                need -= 1;
            }
            left -= 1;
            need > 0
        });
    } else {
        ctx.out.array(wanted);
        let mut seen = std::collections::HashSet::with_capacity(wanted);
        while seen.len() < wanted {
            if let Some(item) = set.random(random_below)
                && seen.insert(item.to_vec())
            {
                reply_member(ctx.out, item);
            }
        }
    }
    Ok(())
}

fn sscan(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let cursor = parse_cursor(args.take())?;
    // Options are not looked at for a key that is not there.
    if ctx.keys.view::<Set>(key)?.is_none() {
        ctx.out.array(2);
        ctx.out.bulk(b"0");
        ctx.out.array(0);
        return Ok(());
    }
    let options = ScanOptions::take(&mut args, Scanned::Set)?;
    if ctx.must_move(options.count)
        && let Some(set) = ctx.keys.peek_view::<Set>(key)?
        && set.len() >= LONG_WORK
    {
        return ctx.move_after_read();
    }
    let mut found = Vec::new();
    let mut next = 0;
    if let Some(set) = ctx.keys.peek_view::<Set>(key)? {
        next = set.at(ctx.keys.now_ms).scan(cursor, options.count, |item| {
            let mut buf = [0; 20];
            let text = item.text(&mut buf);
            if options.wants(text) {
                found.push(text.to_vec());
            }
        });
    }
    ctx.out.array(2);
    ctx.out.bulk_display(next);
    ctx.out.array(found.len());
    for m in &found {
        ctx.out.bulk(m);
    }
    Ok(())
}

// ---- Sets combined

/// Views of several sets; `None` for keys that are not there.
fn views<'a>(keys: &'a Keys<'_>, names: &[&[u8]]) -> Result<Vec<Option<SetRef<'a>>>> {
    names
        .iter()
        .map(|name| Ok(keys.peek_view::<Set>(name)?.map(|set| set.at(keys.now_ms))))
        .collect()
}

/// How many members have to be looked for to intersect the sets.
fn intersection_work(sets: &[Option<SetRef<'_>>]) -> usize {
    let smallest = sets.iter().map(|set| set.map_or(0, |s| s.len())).min();
    smallest.unwrap_or(0).saturating_mul(sets.len())
}

/// How many to subtract all others from the first.
fn difference_work(sets: &[Option<SetRef<'_>>]) -> usize {
    let first = sets.first().copied().flatten();
    first.map_or(0, |s| s.len()).saturating_mul(sets.len())
}

/// How many to unite the sets.
fn union_work(sets: &[Option<SetRef<'_>>]) -> usize {
    sets.iter().flatten().map(SetRef::len).sum()
}

/// Calls `f` for every member that all sets have, until it returns false.
fn intersect(sets: &[Option<SetRef<'_>>], mut f: impl FnMut(Item<'_>) -> bool) {
    let mut sets: Vec<SetRef<'_>> = match sets.iter().copied().collect::<Option<Vec<_>>>() {
        Some(sets) => sets,
        None => return,
    };
    // The smallest is walked and the next smallest asked first: most members fail early.
    sets.sort_by_key(SetRef::len);
    let Some((first, others)) = sets.split_first() else {
        return;
    };
    first.for_each_while(|item| {
        let mut buf = [0; 20];
        let text = item.text(&mut buf);
        if others.iter().all(|s| s.contains(text)) {
            f(item)
        } else {
            true
        }
    });
}

fn sinter(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    ctx.keys.look_for(args.rest(), Type::Set);
    let sets = views(&ctx.keys, args.rest())?;
    if ctx.must_move(intersection_work(&sets)) {
        return ctx.move_elsewhere();
    }
    let mark = ctx.out.begin_array();
    let mut n = 0;
    intersect(&sets, |item| {
        reply_member(ctx.out, item);
        n += 1;
        true
    });
    ctx.out.end_set(mark, n);
    Ok(())
}

/// The arguments of SINTERCARD and its like: the keys, whether an estimate will do, and up to where to count (0: to the end).
fn card_arguments<'a>(
    args: &mut Args<'a>,
    may_estimate: bool,
) -> Result<(&'a [&'a [u8]], bool, usize)> {
    const BAD_COUNT: Error = Error(Cow::Borrowed("ERR numkeys should be greater than 0"));
    const BAD_LIMIT: Error = Error(Cow::Borrowed("ERR LIMIT can't be negative"));
    let n = args.int_in(1..=i64::MAX, BAD_COUNT);
    args.check()?;
    if n as usize > args.left() {
        return Err(Error::new(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    let names = &args.rest()[..n as usize];
    for _ in names {
        args.take();
    }
    let (mut limit, mut estimate) = (0, false);
    while args.left() > 0 && !args.failed() {
        if args.keyword_with_value("LIMIT") {
            limit = args.int_in(0..=i64::MAX, BAD_LIMIT) as usize;
        } else if may_estimate && args.keyword("APPROX") {
            estimate = true;
        } else {
            args.fail(Error::SYNTAX);
        }
    }
    args.check()?;
    Ok((names, estimate, limit))
}

fn sunioncard(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (names, estimate, limit) = card_arguments(&mut args, true)?;
    let limits = limits(ctx);
    ctx.keys.look_for(names, Type::Set);
    let sets = views(&ctx.keys, names)?;
    if ctx.must_move(union_work(&sets)) {
        return ctx.move_elsewhere();
    }
    let n = if estimate {
        let mut draft = hll::Draft::new();
        // What is counted here is no string that might be broken.
        let _ = draft.make_dense();
        for set in sets.iter().flatten() {
            set.for_each(|item| {
                let _ = draft.add(item.text(&mut [0; 20]), 0);
            });
        }
        hll::count(draft.bytes()).unwrap_or(0) as usize
    } else {
        let mut seen = Set::new();
        let mut n = 0;
        for set in sets.iter().flatten() {
            set.for_each_while(|item| {
                n += usize::from(seen.insert(item.text(&mut [0; 20]), limits));
                limit == 0 || n < limit
            });
        }
        n
    };
    let n = if limit == 0 { n } else { n.min(limit) };
    ctx.out.int(n as i64);
    Ok(())
}

fn sdiffcard(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (names, _, limit) = card_arguments(&mut args, false)?;
    ctx.keys.look_for(names, Type::Set);
    let sets = views(&ctx.keys, names)?;
    if ctx.must_move(difference_work(&sets)) {
        return ctx.move_elsewhere();
    }
    let mut n = 0;
    if let Some((Some(first), others)) = sets.split_first() {
        first.for_each_while(|item| {
            let mut buf = [0; 20];
            let text = item.text(&mut buf);
            n += usize::from(!others.iter().flatten().any(|s| s.contains(text)));
            limit == 0 || n < limit
        });
    }
    ctx.out.int(n as i64);
    Ok(())
}

fn sintercard(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (names, _, limit) = card_arguments(&mut args, false)?;
    ctx.keys.look_for(names, Type::Set);
    let sets = views(&ctx.keys, names)?;
    if ctx.must_move(intersection_work(&sets)) {
        return ctx.move_elsewhere();
    }
    let mut n = 0;
    intersect(&sets, |_| {
        n += 1;
        limit == 0 || n < limit
    });
    ctx.out.int(n as i64);
    Ok(())
}

/// Members of any of the sets, or of the first but none of the others, as a set.
fn combine(sets: &[Option<SetRef<'_>>], union: bool, limits: Limits) -> Set {
    let mut result = Set::new();
    if union {
        for set in sets.iter().flatten() {
            set.for_each(|item| {
                result.insert(item.text(&mut [0; 20]), limits);
            });
        }
    } else if let Some((Some(first), others)) = sets.split_first() {
        first.for_each(|item| {
            let mut buf = [0; 20];
            let text = item.text(&mut buf);
            if !others.iter().flatten().any(|s| s.contains(text)) {
                result.insert(text, limits);
            }
        });
    }
    result
}

fn sunion(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let limits = limits(ctx);
    ctx.keys.look_for(args.rest(), Type::Set);
    let sets = views(&ctx.keys, args.rest())?;
    if ctx.must_move(union_work(&sets)) {
        return ctx.move_elsewhere();
    }
    let result = combine(&sets, true, limits);
    reply_set(ctx.out, result.view());
    Ok(())
}

fn sdiff(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    ctx.keys.look_for(args.rest(), Type::Set);
    let sets = views(&ctx.keys, args.rest())?;
    if ctx.must_move(difference_work(&sets)) {
        return ctx.move_elsewhere();
    }
    let mark = ctx.out.begin_array();
    let mut n = 0;
    if let Some((Some(first), others)) = sets.split_first() {
        first.for_each(|item| {
            let mut buf = [0; 20];
            let text = item.text(&mut buf);
            if !others.iter().flatten().any(|s| s.contains(text)) {
                reply_member(ctx.out, item);
                n += 1;
            }
        });
    }
    ctx.out.end_set(mark, n);
    Ok(())
}

/// Removes what has expired of the sets that a result is made of which is stored: who does it again, at a time when nothing has
/// expired, must see the same.
fn expire_sources(keys: &mut Keys<'_>, names: &[&[u8]]) -> Result {
    if keys.recording() {
        for name in names {
            expire_members_of(keys, name)?;
        }
    }
    Ok(())
}

/// Stores a result and answers its size.
fn store_result(ctx: &mut Ctx<'_>, key: &[u8], result: Set) -> Result {
    ctx.out.int(result.len() as i64);
    ctx.keys
        .store_result(key, result, Event::set(ctx.command.name));
    Ok(())
}

fn sinterstore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let limits = limits(ctx);
    expire_sources(&mut ctx.keys, args.rest())?;
    ctx.keys.look_for(args.rest(), Type::Set);
    let sets = views(&ctx.keys, args.rest())?;
    if ctx.must_move(intersection_work(&sets)) {
        return ctx.move_elsewhere();
    }
    ctx.keys
        .make_room_for_result(args.rest(), Sources::Smallest)?;
    // Integers stay the array even where a packed sequence could not hold them.
    let smallest = sets.iter().flatten().min_by_key(|s| s.len());
    let mut result = match smallest {
        Some(SetRef::Ints { .. }) => Set::new(),
        _ => Set::for_first(b"", 0, limits),
    };
    intersect(&sets, |item| {
        result.insert(item.text(&mut [0; 20]), limits);
        true
    });
    result.prefer_ints(limits);
    store_result(ctx, key, result)
}

fn sunionstore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let limits = limits(ctx);
    expire_sources(&mut ctx.keys, args.rest())?;
    ctx.keys.look_for(args.rest(), Type::Set);
    let sets = views(&ctx.keys, args.rest())?;
    if ctx.must_move(union_work(&sets)) {
        return ctx.move_elsewhere();
    }
    ctx.keys.make_room_for_result(args.rest(), Sources::All)?;
    let result = combine(&sets, true, limits);
    store_result(ctx, key, result)
}

fn sdiffstore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let limits = limits(ctx);
    expire_sources(&mut ctx.keys, args.rest())?;
    ctx.keys.look_for(args.rest(), Type::Set);
    let sets = views(&ctx.keys, args.rest())?;
    if ctx.must_move(difference_work(&sets)) {
        return ctx.move_elsewhere();
    }
    ctx.keys.make_room_for_result(args.rest(), Sources::First)?;
    let result = combine(&sets, false, limits);
    store_result(ctx, key, result)
}

#[cfg(test)]
mod tests {
    use crate::testing::TestClient;

    /// The examples of the published documentation of Redis 8.10 and 8.8.
    #[test]
    fn cards() {
        let mut c = TestClient::new();
        c.run("SADD k1 a b c; SADD k2 c d e");
        for (line, reply) in [
            ("SUNIONCARD 2 k1 k2", "5"),
            ("SUNIONCARD 2 k1 k2 LIMIT 3", "3"),
            ("SUNIONCARD 2 k1 k2 APPROX", "5"),
            ("SUNIONCARD 2 k1 k2 APPROX LIMIT 2", "2"),
            ("SUNIONCARD 2 none none", "0"),
            ("SDIFFCARD 2 k1 k2", "2"),
            ("SDIFFCARD 2 k1 k2 LIMIT 1", "1"),
            ("SDIFFCARD 2 none k2", "0"),
            ("SDIFFCARD 2 k1 k2 APPROX", "-ERR syntax error"),
            ("SUNIONCARD 0 k1", "-ERR numkeys should be greater than 0"),
            (
                "SUNIONCARD 3 k1 k2",
                "-ERR Number of keys can't be greater than number of args",
            ),
            ("SUNIONCARD 1 k1 LIMIT -1", "-ERR LIMIT can't be negative"),
            (
                "ZADD z 7 a 9 x; ZUNION 3 k1 k2 z AGGREGATE COUNT WITHSCORES",
                r#"["b" "1" "d" "1" "e" "1" "x" "1" "a" "2" "c" "2"]"#,
            ),
            (
                "ZINTERSTORE d 2 k1 z AGGREGATE COUNT; ZRANGE d 0 -1 WITHSCORES",
                r#"["a" "2"]"#,
            ),
            (
                "ZUNION 2 k1 z WEIGHTS 2 3 AGGREGATE COUNT",
                "-ERR AGGREGATE COUNT takes no WEIGHTS",
            ),
        ] {
            c.check(line, reply);
        }
        for i in 0..5000 {
            c.raw(&["SADD", "large", &format!("member:{i}")]);
        }
        let n: i64 = c
            .run("SUNIONCARD 2 large k1 APPROX")
            .parse()
            .expect("a number");
        assert!((4850..5160).contains(&n), "{n}");
        c.check("SUNIONCARD 2 large k1", "5003");
    }
}
