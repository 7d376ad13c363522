//! Sorted sets: everything about ranges of ranks, scores and members.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::ranges::{Limit, index_range, lex_range, score_range};
use crate::cmd::long::LONG_WORK;
use crate::cmd::sorted_set::{limits, reply_members};
use crate::context::command::{
    Command, DENYOOM, FAST, Group, KS_ACCESS, KS_DELETE, KS_OW, KS_RO, KS_RW, KS_UPDATE, KeySpec,
    READONLY, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use std::ops::Range;
use store::Collection;
use store::types::sorted_set::{LexRange, ScoreRange, SortedSet, SortedSetRef};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("zcount", 4, READONLY | FAST, Group::SortedSet, "2.0.0", zcount)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key min:double max:double")
        .docs("Counts the members of a sorted set whose scores lie in a range.",
              "O(log(N)), N being the size of the sorted set"),
    row("zlexcount", 4, READONLY | FAST, Group::SortedSet, "2.8.9", zlexcount)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key min max")
        .docs("Counts the members of a sorted set that lie in an alphabetical range.",
              "O(log(N)), N being the size of the sorted set"),
    row("zrange", -4, READONLY, Group::SortedSet, "1.2.0", zrange)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key start stop [sortby(BYSCORE | BYLEX)@6.2.0] [REV@6.2.0] \
               [LIMIT{offset:int count:int}@6.2.0] [WITHSCORES]")
        .docs("Returns members of a sorted set by rank, score or alphabet.",
              "O(log(N)+M), N being the size of the sorted set and M the number of members \
               returned")
        .history(&[("6.2.0", "New options REV, BYSCORE, BYLEX and LIMIT.")]),
    row("zrangebylex", -4, READONLY, Group::SortedSet, "2.8.9", zrangebylex)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key min max [LIMIT{offset:int count:int}]")
        .docs("Returns members of a sorted set that lie in an alphabetical range.",
              "O(log(N)+M), N being the size of the sorted set and M the number of members \
               returned"),
    row("zrangebyscore", -4, READONLY, Group::SortedSet, "1.0.5", zrangebyscore)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key min:double max:double [WITHSCORES@2.0.0] [LIMIT{offset:int count:int}]")
        .docs("Returns members of a sorted set whose scores lie in a range.",
              "O(log(N)+M), N being the size of the sorted set and M the number of members \
               returned")
        .history(&[("2.0.0", "New option WITHSCORES.")]),
    row("zrangestore", -5, WRITE | DENYOOM, Group::SortedSet, "6.2.0", zrangestore)
        .keys(&[KeySpec::at(1, KS_OW | KS_UPDATE), KeySpec::at(2, KS_RO | KS_ACCESS)])
        .args("dst:key src:key#1 min max [sortby(BYSCORE | BYLEX)] [REV] \
               [LIMIT{offset:int count:int}]")
        .docs("Stores a range of members of a sorted set at another key.",
              "O(log(N)+M), N being the size of the sorted set and M the number of members stored"),
    row("zremrangebylex", 4, WRITE, Group::SortedSet, "2.8.9", zremrangebylex)
        .keys(&[KeySpec::at(1, KS_RW | KS_DELETE)]).args("key min max")
        .docs("Removes the members of a sorted set that lie in an alphabetical range.",
              "O(log(N)+M), N being the size of the sorted set and M the number of members \
               removed"),
    row("zremrangebyrank", 4, WRITE, Group::SortedSet, "2.0.0", zremrangebyrank)
        .keys(&[KeySpec::at(1, KS_RW | KS_DELETE)]).args("key start:int stop:int")
        .docs("Removes the members of a sorted set from one rank to another.",
              "O(log(N)+M), N being the size of the sorted set and M the number of members \
               removed"),
    row("zremrangebyscore", 4, WRITE, Group::SortedSet, "1.2.0", zremrangebyscore)
        .keys(&[KeySpec::at(1, KS_RW | KS_DELETE)]).args("key min:double max:double")
        .docs("Removes the members of a sorted set whose scores lie in a range.",
              "O(log(N)+M), N being the size of the sorted set and M the number of members \
               removed"),
    row("zrevrange", -4, READONLY, Group::SortedSet, "1.2.0", zrevrange)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key start:int stop:int [WITHSCORES]")
        .docs("Returns members of a sorted set by rank, from the highest score down.",
              "O(log(N)+M), N being the size of the sorted set and M the number of members \
               returned"),
    row("zrevrangebylex", -4, READONLY, Group::SortedSet, "2.8.9", zrevrangebylex)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key max min [LIMIT{offset:int count:int}]")
        .docs("Returns members of a sorted set that lie in an alphabetical range, backwards.",
              "O(log(N)+M), N being the size of the sorted set and M the number of members \
               returned"),
    row("zrevrangebyscore", -4, READONLY, Group::SortedSet, "2.2.0", zrevrangebyscore)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key max:double min:double [WITHSCORES] [LIMIT{offset:int count:int}]")
        .docs("Returns members of a sorted set whose scores lie in a range, from the highest \
               down.",
              "O(log(N)+M), N being the size of the sorted set and M the number of members \
               returned")
        .history(&[("2.1.6", "Either bound may be left out of the range.")]),
];

const LIMIT_OF_RANKS: Error = Error::fixed(
    "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
);
const SCORES_BY_LEX: Error =
    Error::fixed("ERR syntax error, WITHSCORES not supported in combination with BYLEX");

/// What a range is a range of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// A range that has been read.
#[derive(Clone, Copy)]
enum Bounds<'a> {
    Rank(i64, i64),
    Score(ScoreRange),
    Lex(LexRange<'a>),
}

impl<'a> Bounds<'a> {
    /// Reads a range from its low and its high end.
    fn read(ctx: &Ctx<'_>, by: By, low: &'a [u8], high: &'a [u8]) -> Result<Bounds<'a>> {
        Ok(match by {
            By::Rank => {
                let index = |arg| resp::parse_i64(arg).ok_or(Error::NOT_AN_INTEGER);
                Bounds::Rank(index(low)?, index(high)?)
            }
            By::Score => Bounds::Score(score_range(low, high, ctx.session.replays)?),
            By::Lex => Bounds::Lex(lex_range(low, high)?),
        })
    }

    /// The ranks it stands for in a set. Ranks in a range of ranks count from the top if `downwards`.
    fn ranks(&self, set: SortedSetRef<'_>, downwards: bool) -> Range<usize> {
        match self {
            Bounds::Rank(start, stop) => {
                let len = set.len();
                let ranks = index_range(*start, *stop, len);
                if downwards {
                    len - ranks.end..len - ranks.start
                } else {
                    ranks
                }
            }
            Bounds::Score(range) => set.ranks_by_score(range),
            Bounds::Lex(range) => set.ranks_by_lex(range, downwards),
        }
    }
}

/// What is fixed by a command's name; the rest are options.
struct Form {
    by: Option<By>,
    downwards: Option<bool>,
}

/// All the range commands: `key min max [options]` (from the arguments' next), and where the result goes.
fn range_generic(
    ctx: &mut Ctx<'_>,
    mut args: Args<'_>,
    form: Form,
    destination: Option<&[u8]>,
) -> Result {
    let (key, mut low, mut high) = (args.take(), args.take(), args.take());
    let Form {
        mut by,
        mut downwards,
    } = form;
    let mut limit = Limit::ALL;
    let mut with_scores = false;
    while args.left() > 0 && !args.failed() {
        if destination.is_none() && args.keyword("WITHSCORES") {
            with_scores = true;
        } else if limit.take(&mut args) {
        } else if downwards.is_none() && args.keyword("REV") {
            downwards = Some(true);
        } else if by.is_none() && args.keyword("BYLEX") {
            by = Some(By::Lex);
        } else if by.is_none() && args.keyword("BYSCORE") {
            by = Some(By::Score);
        } else {
            args.fail(Error::SYNTAX);
        }
    }
    args.check()?;
    let (by, downwards) = (by.unwrap_or(By::Rank), downwards.unwrap_or(false));
    if by == By::Rank && limit.count != -1 {
        return Err(LIMIT_OF_RANKS);
    }
    if by == By::Lex && with_scores {
        return Err(SCORES_BY_LEX);
    }
    if by != By::Rank && downwards {
        std::mem::swap(&mut low, &mut high);
    }
    if by == By::Rank {
        // An offset with a count of -1 is let through and means nothing.
        limit = Limit::ALL;
    }
    let bounds = Bounds::read(ctx, by, low, high)?;
    let may_move = ctx.must_move(LONG_WORK);
    let set = ctx.keys.view::<SortedSet>(key)?;
    let ranks = set.map_or(0..0, |set| {
        limit.cut(bounds.ranks(set, downwards), downwards)
    });
    if may_move && ranks.len() >= LONG_WORK {
        return ctx.move_after_read();
    }
    let Some(destination) = destination else {
        match set {
            None => ctx.out.array(0),
            Some(set) if downwards => {
                reply_members(ctx.out, ranks.len(), with_scores, set.iter_down(ranks));
            }
            Some(set) => reply_members(ctx.out, ranks.len(), with_scores, set.iter(ranks)),
        }
        return Ok(());
    };
    // One after the other, in the order asked for: the result's form, and whether a zero keeps its sign, are then those of
    // the real servers.
    let limits = limits(ctx.engine);
    let whole = set.map_or(0, |set| set.len()).max(1) as u128;
    let bytes = ctx.keys.peek(key).map_or(0, |e| e.memory()) as u128;
    ctx.keys
        .make_room(0, (bytes * ranks.len() as u128 / whole) as usize)?;
    let set = ctx.keys.peek_view::<SortedSet>(key)?;
    let mut result = SortedSet::new();
    if by == By::Rank {
        result.expect(ranks.len(), 0, limits);
    }
    if let Some(set) = set {
        let entries = if downwards {
            set.iter_down(ranks)
        } else {
            set.iter(ranks)
        };
        for (member, score) in entries {
            result.insert(member.text(&mut [0; 20]), score, limits);
        }
    }
    ctx.out.int(result.len() as i64);
    ctx.keys
        .store_result(destination, result, Event::sorted_set("zrangestore"));
    Ok(())
}

fn zrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    range_generic(
        ctx,
        args,
        Form {
            by: None,
            downwards: None,
        },
        None,
    )
}

fn zrangestore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let destination = args.take();
    range_generic(
        ctx,
        args,
        Form {
            by: None,
            downwards: None,
        },
        Some(destination),
    )
}

fn zrevrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    range_generic(
        ctx,
        args,
        Form {
            by: Some(By::Rank),
            downwards: Some(true),
        },
        None,
    )
}

fn zrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    range_generic(
        ctx,
        args,
        Form {
            by: Some(By::Score),
            downwards: Some(false),
        },
        None,
    )
}

fn zrevrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    range_generic(
        ctx,
        args,
        Form {
            by: Some(By::Score),
            downwards: Some(true),
        },
        None,
    )
}

fn zrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    range_generic(
        ctx,
        args,
        Form {
            by: Some(By::Lex),
            downwards: Some(false),
        },
        None,
    )
}

fn zrevrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    range_generic(
        ctx,
        args,
        Form {
            by: Some(By::Lex),
            downwards: Some(true),
        },
        None,
    )
}

// ---- Counting and removing

fn count_generic(ctx: &mut Ctx<'_>, mut args: Args<'_>, by: By) -> Result {
    let key = args.take();
    let bounds = Bounds::read(ctx, by, args.take(), args.take())?;
    let n = ctx
        .keys
        .view::<SortedSet>(key)?
        .map_or(0, |set| bounds.ranks(set, false).len());
    ctx.out.int(n as i64);
    Ok(())
}

fn zcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    count_generic(ctx, args, By::Score)
}

fn zlexcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    count_generic(ctx, args, By::Lex)
}

fn remove_generic(ctx: &mut Ctx<'_>, mut args: Args<'_>, by: By) -> Result {
    let key = args.take();
    let bounds = Bounds::read(ctx, by, args.take(), args.take())?;
    let may_move = ctx.must_move(LONG_WORK);
    let removed = ctx.keys.edit(key, |set: &mut SortedSet| {
        let ranks = bounds.ranks(set.view(), false);
        if may_move && ranks.len() >= LONG_WORK {
            return None;
        }
        set.remove_ranks(ranks.clone());
        Some(ranks.len())
    })?;
    let Some(removed) = removed.unwrap_or(Some(0)) else {
        return ctx.move_elsewhere();
    };
    if removed > 0 {
        let event = Event::sorted_set(ctx.command.name);
        ctx.keys.changed_times(key, event, removed);
    }
    ctx.out.int(removed as i64);
    Ok(())
}

fn zremrangebyrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    remove_generic(ctx, args, By::Rank)
}

fn zremrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    remove_generic(ctx, args, By::Score)
}

fn zremrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    remove_generic(ctx, args, By::Lex)
}
