//! Sets whose members expire: adding members with an expiry, setting, showing and removing it.
//!
//! The reference is the published documentation of Redis 8.12 (redis.io, SADDEX, SEXPIRE and their like), where no server is at
//! hand. What a member's expiry comes to is written down as SREM, which every server knows.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::expiry::{MILLISECONDS, SECONDS, UNIX_MILLISECONDS, UNIX_SECONDS, Unit};
use crate::cmd::element_expiry::{
    AT_MILLISECONDS, AT_SECONDS, Conditions, Lasting, MILLISECONDS_LEFT, SECONDS_LEFT, Show,
    goes_at_once, reply_expiry, time,
};
use crate::cmd::set::{expire_members, limits, tell};
use crate::context::command::{
    Command, DENYOOM, FAST, Group, KS_ACCESS, KS_INSERT, KS_RO, KS_RW, KS_UPDATE, KeySpec,
    READONLY, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use crate::door::keys::Keys;
use resp::number::{format_i64, parse_i64};
use store::Collection;
use store::types::set::Set;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("saddex", -5, WRITE | DENYOOM | FAST, Group::Set, "8.12.0", saddex)
        .keys(&[KeySpec::at(1, KS_RW | KS_INSERT)])
        .args("key [condition(MNX | MXX)] [expiration(EX seconds:int | PX milliseconds:int \
               | EXAT unix-time-seconds:time | PXAT unix-time-milliseconds:time | KEEPTTL)] \
               MEMBERS{nummembers:int member...}")
        .docs("Adds members to a set with one expiry for all, on a condition if asked.",
              "O(N), N being the number of members"),
    row("sexpire", -6, WRITE | FAST, Group::Set, "8.12.0", sexpire)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key seconds:int [condition(NX | XX | GT | LT)] MEMBERS{nummembers:int member...}")
        .docs("Lets members of a set expire after so many seconds.",
              "O(N), N being the number of members"),
    row("sexpireat", -6, WRITE | FAST, Group::Set, "8.12.0", sexpireat)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key unix-time-seconds:time [condition(NX | XX | GT | LT)] MEMBERS{nummembers:int member...}")
        .docs("Lets members of a set expire at a Unix time in seconds.",
              "O(N), N being the number of members"),
    row("sexpiretime", -5, READONLY | FAST, Group::Set, "8.12.0", sexpiretime)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key MEMBERS{nummembers:int member...}")
        .docs("Returns the Unix times in seconds at which members expire.",
              "O(N), N being the number of members"),
    row("spersist", -5, WRITE | FAST, Group::Set, "8.12.0", spersist)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)]).args("key MEMBERS{nummembers:int member...}")
        .docs("Removes the expiry of members.", "O(N), N being the number of members"),
    row("spexpire", -6, WRITE | FAST, Group::Set, "8.12.0", spexpire)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key milliseconds:int [condition(NX | XX | GT | LT)] MEMBERS{nummembers:int member...}")
        .docs("Lets members of a set expire after so many milliseconds.",
              "O(N), N being the number of members"),
    row("spexpireat", -6, WRITE | FAST, Group::Set, "8.12.0", spexpireat)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key unix-time-milliseconds:time [condition(NX | XX | GT | LT)] MEMBERS{nummembers:int member...}")
        .docs("Lets members of a set expire at a Unix time in milliseconds.",
              "O(N), N being the number of members"),
    row("spexpiretime", -5, READONLY | FAST, Group::Set, "8.12.0", spexpiretime)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key MEMBERS{nummembers:int member...}")
        .docs("Returns the Unix times in milliseconds at which members expire.",
              "O(N), N being the number of members"),
    row("spttl", -5, READONLY | FAST, Group::Set, "8.12.0", spttl)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key MEMBERS{nummembers:int member...}")
        .tips(&["nondeterministic_output"])
        .docs("Returns how many milliseconds members have left to live.",
              "O(N), N being the number of members"),
    row("sttl", -5, READONLY | FAST, Group::Set, "8.12.0", sttl)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key MEMBERS{nummembers:int member...}")
        .tips(&["nondeterministic_output"])
        .docs("Returns how many seconds members have left to live.",
              "O(N), N being the number of members"),
];

const SEXPIRE: Event = Event::set("sexpire");
const SPERSIST: Event = Event::set("spersist");
const SREM: Event = Event::set("srem");

fn unknown(word: &[u8]) -> Error {
    Error::quoting("ERR unknown argument: {}", &[word])
}

/// `MEMBERS nummembers member ...` among other options, once.
fn take_members<'a>(
    args: &mut Args<'a>,
    members: &mut Option<&'a [&'a [u8]]>,
    not_a_count: &'static str,
) -> Result {
    if members.is_some() {
        return Err(Error::new("ERR MEMBERS keyword specified multiple times"));
    }
    let n = parse_i64(args.take()).filter(|n| *n > 0);
    let n = n.ok_or(Error::new(not_a_count))?;
    let these = args.rest().get(..n as usize);
    let these = these.ok_or(Error::new("ERR wrong number of arguments"))?;
    for _ in these {
        args.take();
    }
    *members = Some(these);
    Ok(())
}

/// `MEMBERS nummembers member ...` at the end.
fn last_members<'a>(args: &mut Args<'a>) -> Result<&'a [&'a [u8]]> {
    if !args.keyword("MEMBERS") {
        return Err(Error::new(
            "ERR Mandatory argument MEMBERS is missing or not at the right position",
        ));
    }
    let n = parse_i64(args.take()).filter(|n| *n > 0);
    let n = n.ok_or(Error::new(
        "ERR Number of members must be a positive integer",
    ))?;
    if n as u64 != args.left() as u64 {
        return Err(Error::new(
            "ERR The `nummembers` parameter must match the number of arguments",
        ));
    }
    Ok(args.rest())
}

/// Writes down a command on some members of a set: its words, then MEMBERS with their number, then they.
fn record_members(keys: &mut Keys<'_>, words: &[&[u8]], members: &[&[u8]]) {
    if members.is_empty() || !keys.recording() {
        return;
    }
    let mut digits = [0; 20];
    let n = format_i64(members.len() as i64, &mut digits);
    let mut argv: Vec<&[u8]> = words.to_vec();
    argv.extend([&b"MEMBERS"[..], n]);
    argv.extend(members);
    keys.record(&argv);
}

/// Writes down that members are in a set, or no longer.
fn record_plain(keys: &mut Keys<'_>, verb: &[u8], key: &[u8], members: &[&[u8]]) {
    if !members.is_empty() {
        let mut argv: Vec<&[u8]> = vec![verb, key];
        argv.extend(members);
        keys.record(&argv);
    }
}

// ---- Setting

fn expire(ctx: &mut Ctx<'_>, mut args: Args<'_>, unit: Unit) -> Result {
    let (key, now_ms) = (args.take(), ctx.keys.now_ms);
    ctx.keys.peek_view::<Set>(key)?;
    let at = time(args.take(), unit, now_ms, ctx.command.name)?;
    let (mut only, mut members) = (None, None);
    while let Some(word) = args.peek() {
        if args.keyword_with_value("MEMBERS") {
            take_members(
                &mut args,
                &mut members,
                "ERR Parameter `numMembers` should be greater than 0",
            )?;
        } else {
            let mut condition = Conditions::default();
            if !condition.take_one(&mut args) {
                return Err(unknown(word));
            }
            if only.is_some_and(|old| old != condition) {
                return Err(Error::new("ERR Multiple condition flags specified"));
            }
            only = Some(condition);
        }
    }
    let members = members.ok_or(Error::new("ERR missing MEMBERS argument"))?;
    let only = only.unwrap_or_default();
    let (limits, at_once) = (limits(ctx), goes_at_once(ctx, at));
    let out = &mut *ctx.out;
    out.array(members.len());
    let (mut timed, mut gone): (Vec<&[u8]>, Vec<&[u8]>) = (Vec::new(), Vec::new());
    let expired = ctx.keys.edit::<Set, _>(key, |set| {
        let expired = expire_members(set, now_ms, members);
        for member in members {
            out.int(match set.view().due_ms(member) {
                None => -2,
                Some(old) if !only.allow(old, at) => 0,
                Some(_) if at_once => {
                    set.remove(member);
                    gone.push(member);
                    2
                }
                Some(_) => {
                    set.set_expiry(member, Some(at), limits);
                    timed.push(member);
                    1
                }
            });
        }
        expired
    })?;
    let Some(expired) = expired else {
        members.iter().for_each(|_| ctx.out.int(-2));
        return Ok(());
    };
    let keys = &mut ctx.keys;
    let event = match (timed.is_empty(), gone.is_empty()) {
        (false, _) => Some(SEXPIRE),
        (true, false) => Some(SREM),
        (true, true) => None,
    };
    tell(keys, key, &expired, event, timed.len() + gone.len());
    let mut digits = [0; 20];
    let time = format_i64(at as i64, &mut digits);
    record_members(keys, &[b"SPEXPIREAT", key, time], &timed);
    record_plain(keys, b"SREM", key, &gone);
    Ok(())
}

fn sexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    expire(ctx, args, SECONDS)
}

fn spexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    expire(ctx, args, MILLISECONDS)
}

fn sexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    expire(ctx, args, UNIX_SECONDS)
}

fn spexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    expire(ctx, args, UNIX_MILLISECONDS)
}

fn spersist(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, now_ms) = (args.take(), ctx.keys.now_ms);
    ctx.keys.peek_view::<Set>(key)?;
    let members = last_members(&mut args)?;
    let limits = limits(ctx);
    let out = &mut *ctx.out;
    out.array(members.len());
    let mut lasting: Vec<&[u8]> = Vec::new();
    let expired = ctx.keys.edit::<Set, _>(key, |set| {
        let expired = expire_members(set, now_ms, members);
        for member in members {
            out.int(match set.view().due_ms(member) {
                None => -2,
                Some(None) => -1,
                Some(Some(_)) => {
                    set.set_expiry(member, None, limits);
                    lasting.push(member);
                    1
                }
            });
        }
        expired
    })?;
    match expired {
        Some(expired) => {
            let event = (!lasting.is_empty()).then_some(SPERSIST);
            tell(&mut ctx.keys, key, &expired, event, lasting.len());
            record_members(&mut ctx.keys, &[b"SPERSIST", key], &lasting);
        }
        None => members.iter().for_each(|_| ctx.out.int(-2)),
    }
    Ok(())
}

// ---- Showing

/// Answers for each member what is to be shown of its expiry.
fn show_expiry(ctx: &mut Ctx<'_>, mut args: Args<'_>, show: Show) -> Result {
    let (key, now_ms) = (args.take(), ctx.keys.now_ms);
    let set = ctx.keys.view::<Set>(key)?.map(|set| set.at(now_ms));
    let members = last_members(&mut args)?;
    ctx.out.array(members.len());
    for member in members {
        let found = set.and_then(|set| set.due_ms(member));
        reply_expiry(ctx.out, found, show, now_ms);
    }
    Ok(())
}

fn sttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show_expiry(ctx, args, SECONDS_LEFT)
}

fn spttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show_expiry(ctx, args, MILLISECONDS_LEFT)
}

fn sexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show_expiry(ctx, args, AT_SECONDS)
}

fn spexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show_expiry(ctx, args, AT_MILLISECONDS)
}

// ---- Adding

/// The options of SADDEX.
#[derive(Default)]
struct Adding<'a> {
    /// Whether all of the members have to be there already (MXX), or none (MNX).
    present: Option<bool>,
    lasting: Lasting<'a>,
    members: Option<&'a [&'a [u8]]>,
}

impl<'a> Adding<'a> {
    fn take(args: &mut Args<'a>) -> Result<Adding<'a>> {
        let mut o = Adding::default();
        while let Some(word) = args.peek() {
            let wants = [("MXX", true), ("MNX", false)];
            if args.keyword_with_value("MEMBERS") {
                take_members(args, &mut o.members, "ERR invalid number of members")?;
            } else if let Some((_, present)) = wants.iter().find(|(word, _)| args.keyword(word)) {
                if o.present.is_some() {
                    return Err(Error::new(
                        "ERR Only one of MXX or MNX arguments can be specified",
                    ));
                }
                o.present = Some(*present);
            } else if !o.lasting.take(args)? {
                return Err(unknown(word));
            }
        }
        Ok(o)
    }
}

fn saddex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, now_ms) = (args.take(), ctx.keys.now_ms);
    ctx.keys.peek_view::<Set>(key)?;
    let options = Adding::take(&mut args)?;
    let members = options
        .members
        .ok_or(Error::new("ERR missing MEMBERS argument"))?;
    let at = match options.lasting.time {
        None => None,
        Some((text, unit)) => Some(time(text, unit, now_ms, ctx.command.name)?),
    };
    let limits = limits(ctx);
    let at_once = at.is_some_and(|at| goes_at_once(ctx, at));
    let (mut met, mut added, mut persisted) = (true, 0, false);
    let mut gone: Vec<&[u8]> = Vec::new();
    let expired = ctx.keys.edit_or_create::<Set, _>(key, |set| {
        let expired = expire_members(set, now_ms, members);
        if let Some(present) = options.present {
            met = members
                .iter()
                .all(|member| set.view().contains(member) == present);
        }
        if !met {
            return expired;
        }
        if at_once {
            for member in members {
                if set.remove(member) {
                    gone.push(member);
                }
            }
            return expired;
        }
        if set.is_empty() {
            *set = Set::for_first(members[0], members.len(), limits);
        } else {
            set.expect(members.len(), limits);
        }
        for member in members {
            added += usize::from(set.insert(member, limits));
            match at {
                Some(at) => set.set_expiry(member, Some(at), limits),
                None if options.lasting.keep => {}
                None => {
                    persisted |= set.view().due_ms(member).flatten().is_some();
                    set.set_expiry(member, None, limits);
                }
            }
        }
        expired
    })?;
    let keys = &mut ctx.keys;
    if !met {
        tell(keys, key, &expired, None, 0);
        ctx.out.int(0);
        return Ok(());
    }
    if at_once {
        let event = (!gone.is_empty()).then_some(SREM);
        tell(keys, key, &expired, event, gone.len());
        keys.record_instead();
        record_plain(keys, b"SREM", key, &gone);
    } else {
        let events = [
            (added > 0).then_some(Event::set("sadd")),
            at.map(|_| SEXPIRE),
            persisted.then_some(SPERSIST),
        ];
        tell(
            keys,
            key,
            &expired,
            events.into_iter().flatten(),
            members.len(),
        );
        keys.record_instead();
        record_plain(keys, b"SADD", key, members);
        let mut digits = [0; 20];
        match at {
            Some(at) => {
                let time = format_i64(at as i64, &mut digits);
                record_members(keys, &[b"SPEXPIREAT", key, time], members);
            }
            None if persisted => record_members(keys, &[b"SPERSIST", key], members),
            None => {}
        }
    }
    ctx.out.int(1);
    Ok(())
}

#[cfg(test)]
mod tests;
