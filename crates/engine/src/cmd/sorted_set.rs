//! Sorted sets: adding, removing, popping and looking at single members.
//!
//! Ranges are in [`super::sorted_set_range`], set algebra in [`super::sorted_set_combine`].

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::random::random_below;
use crate::cmd::generic::parse_cursor;
use crate::cmd::long::{LONG_WORK, check_picks};
use crate::cmd::scan_options::{ScanOptions, Scanned};
use crate::context::command::{
    ADDS_SCORE, Command, DENYOOM, FAST, Group, KS_ACCESS, KS_DELETE, KS_RO, KS_RW, KS_UPDATE,
    KeySpec, MOVABLEKEYS, READONLY, SEEKS_PLACE, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use crate::door::change::Event;
use crate::door::keys::Keys;
use resp::number::format_i64;
use resp::{Out, Proto};
use smallvec::SmallVec;
use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use store::packed::Item;
use store::types::sorted_set::{Limits, SortedSet, SortedSetRef};
use store::{Collection, Type};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("zadd", -4, WRITE | DENYOOM | FAST, Group::SortedSet, "1.2.0", zadd)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key [condition(NX | XX)@3.0.2] [comparison(GT | LT)@6.2.0] [change=CH@3.0.2] \
               [increment=INCR@3.0.2] data{score:double member}...")
        .docs("Adds members to a sorted set, or changes their scores.",
              "O(log(N)) for each member, N being the size of the sorted set")
        .history(&[
            ("2.4.0", "Several members may be given."),
            ("3.0.2", "New options XX, NX, CH and INCR."),
            ("6.2.0", "New options GT and LT."),
        ]),
    row("zcard", 2, READONLY | FAST, Group::SortedSet, "1.2.0", zcard)
        .keys(&[KeySpec::at(1, KS_RO)]).args("key")
        .docs("Counts the members of a sorted set.", "O(1)"),
    row("zincrby", 4, ADDS_SCORE | WRITE | DENYOOM | FAST, Group::SortedSet, "1.2.0", zincrby)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE)]).args("key increment:int member")
        .docs("Adds an amount to the score of a member.",
              "O(log(N)), N being the size of the sorted set"),
    row("zmpop", -4, WRITE | MOVABLEKEYS, Group::SortedSet, "7.0.0", zmpop)
        .keys(&[KeySpec::numkeys(1, KS_RW | KS_ACCESS | KS_DELETE)])
        .args("numkeys:int key... where(MIN | MAX) [COUNT count:int]")
        .docs("Pops members with the lowest or highest scores from the first of several sorted \
               sets that has any.",
              "O(K+M*log(N)), K being the number of keys, N the size of the sorted set and M the \
               number of members popped"),
    row("zmscore", -3, READONLY | FAST, Group::SortedSet, "6.2.0", zmscore)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key member...")
        .docs("Returns the scores of several members.",
              "O(N), N being the number of members asked for"),
    row("zpopmax", -2, WRITE | FAST, Group::SortedSet, "5.0.0", zpopmax)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE)]).args("key [count:int]")
        .docs("Pops the members with the highest scores.",
              "O(M*log(N)), N being the size of the sorted set and M the number of members popped"),
    row("zpopmin", -2, WRITE | FAST, Group::SortedSet, "5.0.0", zpopmin)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE)]).args("key [count:int]")
        .docs("Pops the members with the lowest scores.",
              "O(M*log(N)), N being the size of the sorted set and M the number of members popped"),
    row("zrandmember", -2, READONLY, Group::SortedSet, "6.2.0", zrandmember)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key [options{count:int [WITHSCORES]}]")
        .tips(&["nondeterministic_output"])
        .docs("Returns members of a sorted set picked at random.",
              "O(N), N being the number of members returned"),
    row("zrank", -3, SEEKS_PLACE | READONLY | FAST, Group::SortedSet, "2.0.0", zrank)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key member [WITHSCORE]")
        .docs("Returns the rank of a member, counted from the lowest score.",
              "O(log(N)), N being the size of the sorted set")
        .history(&[("7.2.0", "New option WITHSCORE.")]),
    row("zrem", -3, SEEKS_PLACE | WRITE | FAST, Group::SortedSet, "1.2.0", zrem)
        .keys(&[KeySpec::at(1, KS_RW | KS_DELETE)]).args("key member...")
        .docs("Removes members from a sorted set.",
              "O(M*log(N)), N being the size of the sorted set and M the number of members given")
        .history(&[("2.4.0", "Several members may be given.")]),
    row("zrevrank", -3, SEEKS_PLACE | READONLY | FAST, Group::SortedSet, "2.0.0", zrevrank)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key member [WITHSCORE]")
        .docs("Returns the rank of a member, counted from the highest score.",
              "O(log(N)), N being the size of the sorted set")
        .history(&[("7.2.0", "New option WITHSCORE.")]),
    row("zscan", -3, READONLY, Group::SortedSet, "2.8.0", zscan)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key cursor:int [MATCH pattern:pattern] [COUNT count:int] [NOSCORES]")
        .tips(&["nondeterministic_output"])
        .docs("Goes through the members of a sorted set step by step.",
              "O(1) for a call, O(N) for a full pass, N being the size of the sorted set")
        .history(&[("8.0.0", "New option NOSCORES.")]),
    row("zscore", 3, READONLY | FAST, Group::SortedSet, "1.2.0", zscore)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key member")
        .docs("Returns the score of a member.", "O(1)"),
];

const NOT_COMPATIBLE: Error = text("ERR XX and NX options at the same time are not compatible");
const NOT_COMPARABLE: Error =
    text("ERR GT, LT, and/or NX options at the same time are not compatible");
const ONE_INCREMENT: Error = text("ERR INCR option supports a single increment-element pair");
const NOT_A_NUMBER: Error = text("ERR resulting score is not a number (NaN)");
const NO_KEYS: Error = text("ERR numkeys should be greater than 0");
pub(super) const NO_COUNT: Error = text("ERR count should be greater than 0");
const COUNT_RANGE: Error = text(
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
);
const OUT_OF_RANGE: Error = text("ERR value is out of range");

const fn text(text: &'static str) -> Error {
    Error::fixed(text)
}

/// Up to where sorted sets are packed, as configured at the moment.
#[inline]
pub fn limits(engine: &Engine) -> Limits {
    let live = &engine.config().live;
    Limits {
        entries: live.zset_max_listpack_entries.load(Relaxed),
        member: live.zset_max_listpack_value.load(Relaxed),
    }
}

/// Writes a member as a reply.
#[inline]
pub fn reply_member(out: &mut Out, member: Item<'_>) {
    match member {
        Item::Int(n) => out.bulk_int(n),
        Item::Bytes(bytes) => out.bulk(bytes),
    }
}

/// Writes members, with their scores if wanted: in RESP2 one list of both in turns, in RESP3 a list of pairs.
pub fn reply_members<'a>(
    out: &mut Out,
    n: usize,
    with_scores: bool,
    members: impl Iterator<Item = (Item<'a>, f64)>,
) {
    let nested = with_scores && out.proto() == Proto::Resp3;
    out.array(if with_scores && !nested { 2 * n } else { n });
    for (member, score) in members {
        if nested {
            out.array(2);
        }
        reply_member(out, member);
        if with_scores {
            out.double(score);
        }
    }
}

// ---- ZADD, ZINCRBY

/// Members of one ZADD whose places are fetched into the cache together.
const AHEAD: usize = 8;

/// ZADD's options.
#[derive(Clone, Copy, Default)]
struct Add {
    new_only: bool,
    present_only: bool,
    greater: bool,
    less: bool,
    count_changed: bool,
    increment: bool,
}

/// What came of it.
#[derive(Clone, Copy, Default)]
struct Added {
    added: i64,
    updated: i64,
    /// The last score that was asked for and not refused by an option.
    score: Option<f64>,
    not_a_number: bool,
}

impl Add {
    /// The score a member is to get, `None` to leave it as it is.
    #[inline]
    fn apply(&self, given: f64, present: Option<f64>, done: &mut Added) -> Option<f64> {
        let Some(old) = present else {
            if self.present_only {
                return None;
            }
            done.added += 1;
            done.score = Some(given);
            return Some(given);
        };
        if self.new_only {
            return None;
        }
        let new = if self.increment { old + given } else { given };
        if new.is_nan() {
            done.not_a_number = true;
            return None;
        }
        if self.less && new >= old || self.greater && new <= old {
            return None;
        }
        done.score = Some(new);
        if new == old {
            return None;
        }
        done.updated += 1;
        Some(new)
    }
}

/// Whether a number is written in hexadecimal digits.
#[inline]
fn is_hex(number: &[u8]) -> bool {
    matches!(
        number,
        [b'0', b'x' | b'X', ..] | [b'+' | b'-', b'0', b'x' | b'X', ..]
    )
}

/// Has a command that has changed something written down with its hexadecimal numbers in decimal, if it has any: `strtod` reads them, and
/// with it Redis, but Valkey 9 does not, and would stop following what its primary does. `is_number` tells of an index in the command whether
/// a number stands there.
pub(super) fn record_in_decimal(
    ctx: &mut Ctx<'_>,
    argv: &[&[u8]],
    is_number: impl Fn(usize) -> bool,
) {
    let is_hex = |(i, arg): (usize, &&[u8])| is_number(i) && is_hex(arg);
    if !ctx.keys.recording() || !argv.iter().enumerate().any(is_hex) {
        return;
    }
    if !ctx.keys.records.is_unsaid() {
        return;
    }
    let mut decimal: Vec<Vec<u8>> = argv.iter().map(|arg| arg.to_vec()).collect();
    decimal[0] = ctx.command.name.to_ascii_uppercase().into_bytes();
    for (i, arg) in argv.iter().enumerate().filter(|arg| is_hex(*arg)) {
        if let Some(number) = resp::parse_f64(arg) {
            decimal[i].clear();
            resp::number::format_f64_shortest(number, &mut decimal[i]);
        }
    }
    let decimal: Vec<&[u8]> = decimal.iter().map(|arg| &arg[..]).collect();
    ctx.keys.record(&decimal);
}

fn zadd_generic(ctx: &mut Ctx<'_>, mut args: Args<'_>, mut add: Add) -> Result {
    let argv = args.argv();
    let key = args.take();
    loop {
        if args.keyword("NX") {
            add.new_only = true;
        } else if args.keyword("XX") {
            add.present_only = true;
        } else if args.keyword("CH") {
            add.count_changed = true;
        } else if args.keyword("INCR") {
            add.increment = true;
        } else if args.keyword("GT") {
            add.greater = true;
        } else if args.keyword("LT") {
            add.less = true;
        } else {
            break;
        }
    }
    let pairs = args.rest();
    if pairs.is_empty() || pairs.len() % 2 == 1 {
        return Err(Error::SYNTAX);
    }
    if add.new_only && add.present_only {
        return Err(NOT_COMPATIBLE);
    }
    if (add.greater || add.less) && add.new_only || add.greater && add.less {
        return Err(NOT_COMPARABLE);
    }
    if add.increment && pairs.len() > 2 {
        return Err(ONE_INCREMENT);
    }
    let mut scores: SmallVec<[f64; 8]> = SmallVec::with_capacity(pairs.len() / 2);
    for pair in pairs.chunks_exact(2) {
        scores.push(resp::parse_f64(pair[0]).ok_or(Error::NOT_A_FLOAT)?);
    }
    let limits = limits(ctx.engine);
    let mut done = Added::default();
    let change = |set: &mut SortedSet| {
        set.expect(scores.len(), pairs[1].len(), limits);
        for (pairs, scores) in pairs.chunks(2 * AHEAD).zip(scores.chunks(AHEAD)) {
            // A single member has been fetched with the pipeline's others.
            if scores.len() > 1 {
                for (pair, &score) in pairs.chunks_exact(2).zip(scores) {
                    set.fetch(pair[1], score);
                }
            }
            for (pair, &score) in pairs.chunks_exact(2).zip(scores) {
                set.update(pair[1], limits, |present| {
                    add.apply(score, present, &mut done)
                });
            }
        }
    };
    if add.present_only {
        ctx.keys.edit(key, change)?;
    } else {
        ctx.keys.edit_or_create(key, change)?;
    }
    if done.not_a_number {
        return Err(NOT_A_NUMBER);
    }
    if done.added + done.updated > 0 {
        let name = if add.increment { "zincr" } else { "zadd" };
        let times = (done.added + done.updated) as usize;
        ctx.keys.changed_times(key, Event::sorted_set(name), times);
        let first = argv.len() - pairs.len();
        record_in_decimal(ctx, argv, |i| i >= first && (i - first).is_multiple_of(2));
    }
    match (add.increment, done.score) {
        (true, Some(score)) => ctx.out.double(score),
        (true, None) => ctx.out.null(),
        (false, _) if add.count_changed => ctx.out.int(done.added + done.updated),
        (false, _) => ctx.out.int(done.added),
    }
    Ok(())
}

fn zadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    zadd_generic(ctx, args, Add::default())
}

fn zincrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    zadd_generic(
        ctx,
        args,
        Add {
            increment: true,
            ..Add::default()
        },
    )
}

// ---- One member or all of them

fn zcard(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let len = ctx
        .keys
        .view::<SortedSet>(args.take())?
        .map_or(0, |set| set.len());
    ctx.out.int(len as i64);
    Ok(())
}

fn reply_score(out: &mut Out, score: Option<f64>) {
    match score {
        Some(score) => out.double(score),
        None => out.null(),
    }
}

fn zscore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let set = ctx.keys.view::<SortedSet>(args.take())?;
    reply_score(ctx.out, set.and_then(|set| set.score(args.take())));
    Ok(())
}

fn zmscore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let set = ctx.keys.view::<SortedSet>(args.take())?;
    ctx.out.array(args.left());
    for member in args.rest() {
        reply_score(ctx.out, set.and_then(|set| set.score(member)));
    }
    Ok(())
}

fn zrank_generic(ctx: &mut Ctx<'_>, mut args: Args<'_>, from_top: bool) -> Result {
    let (key, member) = (args.take(), args.take());
    if args.left() > 1 {
        return Err(Error::wrong_arity(ctx.command.name));
    }
    let with_score = args.keyword("WITHSCORE");
    args.finish()?;
    let set = ctx.keys.view::<SortedSet>(key)?;
    match set.and_then(|set| Some((set.len(), set.rank(member)?))) {
        Some((len, (rank, score))) => {
            if with_score {
                ctx.out.array(2);
            }
            ctx.out
                .int(if from_top { len - 1 - rank } else { rank } as i64);
            if with_score {
                ctx.out.double(score);
            }
        }
        None if with_score => ctx.out.null_array(),
        None => ctx.out.null(),
    }
    Ok(())
}

fn zrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    zrank_generic(ctx, args, false)
}

fn zrevrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    zrank_generic(ctx, args, true)
}

fn zrem(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let removed = ctx.keys.edit(key, |set: &mut SortedSet| {
        args.rest()
            .iter()
            .filter(|member| set.remove(member).is_some())
            .count()
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        ctx.keys
            .changed_times(key, Event::sorted_set("zrem"), removed);
    }
    ctx.out.int(removed as i64);
    Ok(())
}

// ---- Popping

/// Pops up to `count` members and writes them with `reply`, which gets their number first; says that the key has changed.
/// False if there is no such key.
pub(super) fn pop(
    keys: &mut Keys<'_>,
    key: &[u8],
    count: usize,
    highest: bool,
    mut reply: impl FnMut(usize, &mut dyn Iterator<Item = (Item<'_>, f64)>),
) -> Result<bool> {
    let found = keys.edit(key, |set: &mut SortedSet| {
        let view = set.view();
        let len = view.len();
        let n = count.min(len);
        let ranks = if highest { len - n..len } else { 0..n };
        if highest {
            reply(n, &mut view.iter_down(ranks.clone()));
        } else {
            reply(n, &mut view.iter(ranks.clone()));
        }
        set.remove_ranks(ranks);
        n
    })?;
    if let Some(n) = found
        && count > 0
    {
        let name = if highest { "zpopmax" } else { "zpopmin" };
        keys.changed_times(key, Event::sorted_set(name), n);
        let verb: &[u8] = if highest { b"ZPOPMAX" } else { b"ZPOPMIN" };
        keys.record(&[verb, key, format_i64(n as i64, &mut [0; 20])]);
    }
    Ok(found.is_some())
}

/// Whether a sorted set is so large that to pop all of it takes long.
pub(super) fn is_long(keys: &Keys<'_>, key: &[u8]) -> bool {
    let set = keys.peek_view::<SortedSet>(key).ok().flatten();
    set.is_some_and(|set| set.len() >= LONG_WORK)
}

fn zpop(ctx: &mut Ctx<'_>, mut args: Args<'_>, highest: bool) -> Result {
    let key = args.take();
    let mut count = None;
    if args.left() > 1 {
        return Err(Error::SYNTAX);
    } else if args.left() == 1 {
        count = Some(args.int_in(0..=i64::MAX, Error::NOT_POSITIVE) as usize);
    }
    args.finish()?;
    if ctx.must_move(count.unwrap_or(1)) && is_long(&ctx.keys, key) {
        return ctx.move_elsewhere();
    }
    let Ctx { keys, out, .. } = ctx;
    let nested = count.is_some() && out.proto() == Proto::Resp3;
    let found = pop(keys, key, count.unwrap_or(1), highest, |n, members| {
        out.array(if nested { n } else { 2 * n });
        for (member, score) in members {
            if nested {
                out.array(2);
            }
            reply_member(out, member);
            out.double(score);
        }
    })?;
    if !found {
        ctx.out.array(0);
    }
    Ok(())
}

fn zpopmin(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    zpop(ctx, args, false)
}

fn zpopmax(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    zpop(ctx, args, true)
}

/// What ZMPOP (and its blocking twin) asks for, from the number of keys on.
pub struct MultiPop<'a> {
    /// The keys, in the order in which they are tried.
    pub keys: &'a [&'a [u8]],
    /// Whether the highest are popped.
    pub highest: bool,
    /// How many at most.
    pub count: usize,
}

impl<'a> MultiPop<'a> {
    /// Reads `numkeys key ... MIN|MAX [COUNT count]` and nothing after it.
    pub fn take(mut args: Args<'a>) -> Result<MultiPop<'a>> {
        let n = args.int_in(1..=i64::MAX, NO_KEYS);
        args.check()?;
        // At least MIN or MAX must follow the keys.
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        if n >= args.left() {
            return Err(Error::SYNTAX);
        }
        let keys = &args.rest()[..n];
        for _ in keys {
            args.take();
        }
        let highest = args.keyword("MAX");
        if !highest && !args.keyword("MIN") {
            return Err(Error::SYNTAX);
        }
        let mut count = 1;
        if args.keyword_with_value("COUNT") {
            count = args.int_in(1..=i64::MAX, NO_COUNT) as usize;
        }
        args.finish()?;
        Ok(MultiPop {
            keys,
            highest,
            count,
        })
    }

    /// Pops from the first key that holds anything and writes the reply; false if none does.
    pub fn run(&self, keys: &mut Keys<'_>, out: &mut Out) -> Result<bool> {
        for key in self.keys {
            let found = pop(keys, key, self.count, self.highest, |n, members| {
                out.array(2);
                out.bulk(key);
                out.array(n);
                for (member, score) in members {
                    out.array(2);
                    reply_member(out, member);
                    out.double(score);
                }
            })?;
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn zmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let request = MultiPop::take(args)?;
    if ctx.must_move(request.count) && request.keys.iter().any(|key| is_long(&ctx.keys, key)) {
        return ctx.move_elsewhere();
    }
    if !request.run(&mut ctx.keys, ctx.out)? {
        ctx.out.null_array();
    }
    Ok(())
}

// ---- ZRANDMEMBER, ZSCAN

/// `n` different ranks below `len`, each as likely as any other, in no order.
fn random_ranks(n: usize, len: usize) -> Vec<usize> {
    // Floyd's way: one draw for each, whatever n is.
    let mut drawn = HashSet::with_capacity(n);
    let mut ranks = Vec::with_capacity(n);
    for last in len - n..len {
        let rank = random_below(last as u64 + 1) as usize;
        let rank = if drawn.insert(rank) { rank } else { last };
        drawn.insert(rank);
        ranks.push(rank);
    }
    ranks
}

fn zrandmember(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    if args.left() == 0 {
        match ctx.keys.view::<SortedSet>(key)? {
            Some(set) => {
                let member = set.at(random_below(set.len() as u64) as usize);
                reply_member(
                    ctx.out,
                    member.map_or(Item::Bytes(b""), |(member, _)| member),
                );
            }
            None => ctx.out.null(),
        }
        return Ok(());
    }
    let count = args.int();
    if count == i64::MIN {
        args.fail(COUNT_RANGE);
    }
    args.check()?;
    let with_scores = args.keyword("WITHSCORES");
    args.finish()?;
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(OUT_OF_RANGE);
    }
    let may_move = ctx.must_move(count.unsigned_abs() as usize);
    let Some(set) = ctx.keys.view::<SortedSet>(key)? else {
        ctx.out.array(0);
        return Ok(());
    };
    check_picks(count)?;
    let len = set.len();
    if may_move && (count < 0 || len >= LONG_WORK) {
        return ctx.move_after_read();
    }
    if count < 0 {
        let n = count.unsigned_abs() as usize;
        let draws = std::iter::repeat_with(|| random_below(len as u64) as usize).take(n);
        reply_ranks(ctx.out, set, n, draws, with_scores);
    } else if count as usize >= len {
        reply_members(ctx.out, len, with_scores, set.entries());
    } else {
        let ranks = random_ranks(count as usize, len);
        reply_ranks(ctx.out, set, ranks.len(), ranks.into_iter(), with_scores);
    }
    Ok(())
}

/// Writes the members of `n` ranks.
fn reply_ranks(
    out: &mut Out,
    set: SortedSetRef<'_>,
    n: usize,
    ranks: impl Iterator<Item = usize>,
    with_scores: bool,
) {
    if set.is_packed() && n > 1 {
        // Rather once through all of it than once for each.
        let all: Vec<_> = set.entries().collect();
        reply_members(out, n, with_scores, ranks.map(|rank| all[rank]));
    } else {
        let none = (Item::Bytes(b""), 0.0);
        reply_members(
            out,
            n,
            with_scores,
            ranks.map(|rank| set.at(rank).unwrap_or(none)),
        );
    }
}

fn zscan(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let cursor = parse_cursor(args.take())?;
    let may_move = ctx.must_move(LONG_WORK);
    let Ctx { keys, out, .. } = ctx;
    let Some(set) = keys.view::<SortedSet>(key)? else {
        // Before any look at the options.
        out.array(2);
        out.bulk(b"0");
        out.array(0);
        return Ok(());
    };
    let options = ScanOptions::take(&mut args, Scanned::SortedSet)?;
    let with_scores = !options.names_only;
    if may_move && options.count >= LONG_WORK && set.len() >= LONG_WORK {
        return ctx.move_after_read();
    }
    let mut found = Vec::new();
    let next = set.scan(cursor, options.count, |member, score| {
        if options.wants(member.text(&mut [0; 20])) {
            found.push((member, score));
        }
    });
    out.array(2);
    out.bulk_display(next);
    out.array(if with_scores {
        2 * found.len()
    } else {
        found.len()
    });
    for (member, score) in found {
        reply_member(out, member);
        if with_scores {
            let mut digits = Vec::new();
            if set.is_packed() {
                resp::format_f64(score, &mut digits);
            } else {
                format_17_digits(score, &mut digits);
            }
            out.bulk(&digits);
        }
    }
    Ok(())
}

/// A double as C's `%.17g` prints it, which is how ZSCAN shows the scores of a large set.
fn format_17_digits(score: f64, into: &mut Vec<u8>) {
    if !score.is_finite() {
        return resp::format_f64(score, into);
    }
    let scientific = format!("{score:.16e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..17).contains(&exponent) {
        let fixed = format!("{score:.*}", (16 - exponent) as usize);
        let short = if fixed.contains('.') {
            fixed.trim_end_matches('0').trim_end_matches('.')
        } else {
            &fixed
        };
        into.extend_from_slice(short.as_bytes());
    } else {
        into.extend_from_slice(
            mantissa
                .trim_end_matches('0')
                .trim_end_matches('.')
                .as_bytes(),
        );
        let sign = if exponent < 0 { '-' } else { '+' };
        into.extend_from_slice(format!("e{sign}{:02}", exponent.unsigned_abs()).as_bytes());
    }
}

/// The type of a key's value, if there is one, counted as a read.
pub(super) fn kind_of(keys: &mut Keys<'_>, key: &[u8]) -> Option<Type> {
    keys.read(key).map(|e| e.kind())
}

#[cfg(test)]
mod tests;
