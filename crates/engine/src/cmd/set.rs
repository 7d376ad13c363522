//! Sets, one at a time. Set algebra is in [`super::set_combine`].

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::random::random_below;
use crate::cmd::generic::parse_cursor;
use crate::cmd::long::{LONG_WORK, check_picks};
use crate::cmd::scan_options::{ScanOptions, Scanned};
use crate::context::command::{
    Command, DENYOOM, FAST, Group, KS_ACCESS, KS_DELETE, KS_INSERT, KS_RO, KS_RW, KeySpec,
    READONLY, WHOLE, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use crate::door::keys::Keys;
use crate::door::record::{EXPIRED_AT_ONCE, Gone};
use resp::Out;
use smallvec::SmallVec;
use std::sync::atomic::Ordering::Relaxed;
use store::Collection;
use store::packed::Item;
use store::types::set::{Limits, Set, SetRef};

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
pub(super) fn reply_member(out: &mut Out, item: Item<'_>) {
    match item {
        Item::Int(n) => out.bulk_int(n),
        Item::Bytes(b) => out.bulk(b),
    }
}

pub(super) fn reply_set(out: &mut Out, set: SetRef<'_>) {
    out.set(visible(set));
    set.for_each(|item| reply_member(out, item));
}

/// Number of members that are shown.
pub(super) fn visible(set: SetRef<'_>) -> usize {
    match set.timed() {
        Some(members) if set.may_hide() => members.count(),
        _ => set.len(),
    }
}

/// Removes members of a set that have expired, ahead of a command that changes it: those that the command names, and as many others as
/// do not hold it up. The sweep removes the rest.
#[inline]
pub(super) fn expire_members(set: &mut Set, now_ms: u64, named: &[&[u8]]) -> Gone {
    let mut gone = Gone::default();
    if set.next_due_ms().is_some_and(|ms| ms <= now_ms) {
        set.expire_members(now_ms, EXPIRED_AT_ONCE, &mut |member| gone.add(member));
        if set.next_due_ms().is_some_and(|ms| ms <= now_ms) {
            for member in named {
                if set.expire_member(member, now_ms) {
                    gone.add(member);
                }
            }
        }
    }
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
    keys.record_expired_members(key, expired);
    announce(keys, key, expired, events, times);
}

fn announce(
    keys: &mut Keys<'_>,
    key: &[u8],
    expired: &Gone,
    events: impl IntoIterator<Item = Event>,
    times: usize,
) {
    let mut first = None;
    if !expired.0.is_empty() {
        keys.counters.expired_fields.add(expired.0.len() as u64);
        first = Some(Event::SET_EXPIRED);
    }
    let events: SmallVec<[Event; 4]> = first.into_iter().chain(events).collect();
    if !events.is_empty() {
        keys.changed_in_turn(key, events, times);
    }
}

/// Removes all members of a key's set that have expired, ahead of a command that picks among the others, or writes down what it makes of
/// them.
pub(super) fn expire_members_of(keys: &mut Keys<'_>, key: &[u8]) -> Result {
    expire_with(keys, key, |set, now_ms| {
        let mut gone = Gone::default();
        set.expire_members(now_ms, usize::MAX, &mut |member| gone.add(member));
        gone
    })
}

/// Whether that may be so much for one of these keys that the command has to move.
pub(super) fn expiring_must_move<'k>(
    ctx: &Ctx<'_>,
    keys: impl IntoIterator<Item = &'k [u8]>,
) -> bool {
    let now_ms = ctx.keys.now_ms;
    ctx.must_move(LONG_WORK)
        && keys.into_iter().any(|key| {
            matches!(ctx.keys.peek_view::<Set>(key),
                Ok(Some(set)) if set.may_be_due(now_ms) && set.len() >= LONG_WORK)
        })
}

/// Removes members of a key's set that have expired, ahead of a command that changes these: see [`expire_members`].
fn expire_named_of(keys: &mut Keys<'_>, key: &[u8], named: &[&[u8]]) -> Result {
    expire_with(keys, key, |set, now_ms| expire_members(set, now_ms, named))
}

fn expire_with(
    keys: &mut Keys<'_>,
    key: &[u8],
    expire: impl FnOnce(&mut Set, u64) -> Gone,
) -> Result {
    let now_ms = keys.now_ms;
    let set = keys.peek_view::<Set>(key)?;
    if !keys.frozen && set.is_some_and(|set| set.may_be_due(now_ms)) {
        let gone = keys.edit::<Set, _>(key, |set| expire(set, now_ms))?;
        let gone = gone.unwrap_or_default();
        keys.record_expired_ahead(key, &gone);
        announce(keys, key, &gone, None, 0);
    }
    Ok(())
}

fn sadd(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let members = args.rest();
    let (limits, now_ms) = (limits(ctx), ctx.keys.now_ms);
    let (expired, n) = ctx.keys.edit_or_create::<Set, _>(key, |set| {
        let expired = expire_members(set, now_ms, members);
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
    expire_named_of(&mut ctx.keys, key, members)?;
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
    expire_named_of(&mut ctx.keys, from, &[member])?;
    expire_named_of(&mut ctx.keys, to, &[member])?;
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
        if expiring_must_move(ctx, [key]) {
            return ctx.move_elsewhere();
        }
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
    if expiring_must_move(ctx, [key]) {
        return ctx.move_elsewhere();
    }
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
    let (may_move, may_move_walk) = (ctx.must_move(wanted), ctx.must_move(LONG_WORK));
    let now_ms = ctx.keys.now_ms;
    let Some(set) = ctx.keys.view::<Set>(key)?.map(|s| s.at(now_ms)) else {
        ctx.out.array(0);
        return Ok(());
    };
    check_picks(count)?;
    // Where hardly any may be shown, drawing until one is would take long for each: all are looked at, once.
    let hides = set.may_hide();
    if may_move && count < 0 || (may_move || may_move_walk && hides) && set.len() >= LONG_WORK {
        return ctx.move_after_read();
    }
    let len = visible(set);
    if len == 0 {
        ctx.out.array(0);
        return Ok(());
    }
    if count < 0 {
        ctx.out.array(wanted);
        let shown: Vec<&[u8]> = match set.timed() {
            Some(members) if hides => members.map(|(member, _)| member).collect(),
            _ => Vec::new(),
        };
        for _ in 0..wanted {
            if hides {
                ctx.out
                    .bulk(shown[random_below(shown.len() as u64) as usize]);
            } else if let Some(item) = set.random(random_below) {
                reply_member(ctx.out, item);
            }
        }
    } else if wanted >= len {
        ctx.out.array(len);
        set.for_each(|item| reply_member(ctx.out, item));
    } else if wanted * 3 > len || hides {
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
