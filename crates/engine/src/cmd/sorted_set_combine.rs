//! Sorted sets: union, intersection and difference, of sets without scores as well.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::cmd::set::{expire_members_of, expiring_must_move};
use crate::cmd::sorted_set::{kind_of, limits, record_in_decimal, reply_members};
use crate::context::command::{
    Command, DENYOOM, Group, KS_ACCESS, KS_OW, KS_RO, KS_UPDATE, KeySpec, MOVABLEKEYS, READONLY,
    WHOLE, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use crate::door::keys::Keys;
use crate::door::room::Sources;
use smallvec::SmallVec;
use store::packed::Item;
use store::types::set::{Set, SetRef};
use store::types::sorted_set::{Builder, Limits, SortedSet, SortedSetRef};
use store::{Collection, EntryRef, Type};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("zdiff", -3, WHOLE | READONLY | MOVABLEKEYS, Group::SortedSet, "6.2.0", zdiff)
        .keys(&[KeySpec::numkeys(1, KS_RO | KS_ACCESS)]).args("numkeys:int key... [WITHSCORES]")
        .docs("Returns the members of the first sorted set that are in none of the others.",
              "O(L+(N-K)*log(N)), L being the number of members of all sets, N the size of the \
               first and K that of the result"),
    row("zdiffstore", -4, WHOLE | WRITE | DENYOOM | MOVABLEKEYS, Group::SortedSet, "6.2.0", zdiffstore)
        .keys(&[KeySpec::at(1, KS_OW | KS_UPDATE), KeySpec::numkeys(2, KS_RO | KS_ACCESS)])
        .args("destination:key numkeys:int key#1...")
        .docs("Stores the members of the first sorted set that are in none of the others.",
              "O(L+(N-K)*log(N)), L being the number of members of all sets, N the size of the \
               first and K that of the result"),
    row("zinter", -3, WHOLE | READONLY | MOVABLEKEYS, Group::SortedSet, "6.2.0", zinter)
        .keys(&[KeySpec::numkeys(1, KS_RO | KS_ACCESS)])
        .args("numkeys:int key... [WEIGHTS weight:int...] [AGGREGATE(SUM | MIN | MAX | COUNT@8.8.0)] \
               [WITHSCORES]")
        .docs("Returns the members that several sorted sets have in common.",
              "O(N*K+M*log(M)), N being the size of the smallest set, K the number of sets and M \
               the size of the result"),
    row("zintercard", -3, WHOLE | READONLY | MOVABLEKEYS, Group::SortedSet, "7.0.0", zintercard)
        .keys(&[KeySpec::numkeys(1, KS_RO | KS_ACCESS)])
        .args("numkeys:int key... [LIMIT limit:int]")
        .docs("Counts the members that several sorted sets have in common.",
              "O(N*K), N being the size of the smallest set and K the number of sets"),
    row("zinterstore", -4, WHOLE | WRITE | DENYOOM | MOVABLEKEYS, Group::SortedSet, "2.0.0", zinterstore)
        .keys(&[KeySpec::at(1, KS_OW | KS_UPDATE), KeySpec::numkeys(2, KS_RO | KS_ACCESS)])
        .args("destination:key numkeys:int key#1... [WEIGHTS weight:int...] \
               [AGGREGATE(SUM | MIN | MAX | COUNT@8.8.0)]")
        .docs("Stores the members that several sorted sets have in common.",
              "O(N*K+M*log(M)), N being the size of the smallest set, K the number of sets and M \
               the size of the result"),
    row("zunion", -3, WHOLE | READONLY | MOVABLEKEYS, Group::SortedSet, "6.2.0", zunion)
        .keys(&[KeySpec::numkeys(1, KS_RO | KS_ACCESS)])
        .args("numkeys:int key... [WEIGHTS weight:int...] [AGGREGATE(SUM | MIN | MAX | COUNT@8.8.0)] \
               [WITHSCORES]")
        .docs("Returns the members that are in any of several sorted sets.",
              "O(N+M*log(M)), N being the number of members of all sets and M the size of the \
               result"),
    row("zunionstore", -4, WHOLE | WRITE | DENYOOM | MOVABLEKEYS, Group::SortedSet, "2.0.0", zunionstore)
        .keys(&[KeySpec::at(1, KS_OW | KS_UPDATE), KeySpec::numkeys(2, KS_RO | KS_ACCESS)])
        .args("destination:key numkeys:int key#1... [WEIGHTS weight:int...] \
               [AGGREGATE(SUM | MIN | MAX | COUNT@8.8.0)]")
        .docs("Stores the members that are in any of several sorted sets.",
              "O(N+M*log(M)), N being the number of members of all sets and M the size of the \
               result"),
];

const NOT_A_WEIGHT: Error = Error::fixed("ERR weight value is not a float");
const NEGATIVE_LIMIT: Error = Error::fixed("ERR LIMIT can't be negative");

/// For results that are only shown.
const NEVER_PACKED: Limits = Limits {
    entries: 0,
    member: 0,
};

/// How the inputs are combined.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Combine {
    Union,
    Intersection,
    Difference,
}

/// What becomes of the scores of a member that several inputs have.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
    /// How many inputs have it.
    Count,
}

impl Aggregate {
    /// What a member of an input begins with.
    #[inline]
    fn first(self, input: &Input<'_>, score: f64) -> f64 {
        match self {
            Aggregate::Count => 1.0,
            _ => number(input.weighted(score)),
        }
    }

    /// Infinities of both signs add up to zero.
    #[inline]
    fn join(self, so_far: f64, score: f64) -> f64 {
        match self {
            Aggregate::Sum => number(so_far + score),
            Aggregate::Count => so_far + 1.0,
            Aggregate::Min if score < so_far => score,
            Aggregate::Max if score > so_far => score,
            _ => so_far,
        }
    }
}

/// Zero for what is not a number.
#[inline]
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// An input.
#[derive(Clone, Copy)]
enum Members<'a> {
    None,
    Plain(SetRef<'a>),
    Scored(SortedSetRef<'a>),
}

impl<'a> Members<'a> {
    /// The value of a key that has been found to be of the right type.
    fn of(keys: &'a Keys<'_>, key: &[u8], kind: Option<Type>) -> Result<Members<'a>> {
        Ok(match kind {
            Some(Type::Set) => keys
                .peek_view::<Set>(key)?
                .map_or(Members::None, |set| Members::Plain(set.at(keys.now_ms))),
            Some(_) => keys
                .peek_view::<SortedSet>(key)?
                .map_or(Members::None, Members::Scored),
            None => Members::None,
        })
    }

    fn len(&self) -> usize {
        match self {
            Members::None => 0,
            Members::Plain(set) => set.len(),
            Members::Scored(set) => set.len(),
        }
    }

    /// A member's score; 1 in a set without scores.
    #[inline]
    fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Members::None => None,
            Members::Plain(set) => set.contains(member).then_some(1.0),
            Members::Scored(set) => set.score(member),
        }
    }

    /// Calls `f` with every member until it returns false.
    fn for_each_while(&self, mut f: impl FnMut(&[u8], f64) -> bool) {
        let mut f = |member: Item<'_>, score| f(member.text(&mut [0; 20]), score);
        match self {
            Members::None => {}
            Members::Plain(set) => set.for_each_while(|member| f(member, 1.0)),
            Members::Scored(set) => {
                for (member, score) in set.entries() {
                    if !f(member, score) {
                        return;
                    }
                }
            }
        }
    }
}

/// An input with its weight.
struct Input<'a> {
    members: Members<'a>,
    weight: f64,
}

impl Input<'_> {
    /// The score a member counts with; may be NaN.
    fn weighted(&self, score: f64) -> f64 {
        self.weight * score
    }
}

fn unite(inputs: &[Input<'_>], aggregate: Aggregate) -> Builder {
    let mut result = Builder::new();
    for input in inputs {
        input.members.for_each_while(|member, score| {
            let score = aggregate.first(input, score);
            result.merge(member, |so_far| {
                so_far.map_or(score, |so_far| aggregate.join(so_far, score))
            });
            true
        });
    }
    result
}

/// Calls `f` for each member that all inputs have, with the joined score, until it returns false. The smallest is first.
fn intersect(inputs: &[Input<'_>], aggregate: Aggregate, mut f: impl FnMut(&[u8], f64) -> bool) {
    let Some((first, others)) = inputs.split_first() else {
        return;
    };
    first.members.for_each_while(|member, score| {
        let mut joined = aggregate.first(first, score);
        for other in others {
            match other.members.score(member) {
                Some(score) => joined = aggregate.join(joined, other.weighted(score)),
                None => return true,
            }
        }
        f(member, joined)
    });
}

fn subtract(inputs: &[Input<'_>]) -> Builder {
    let mut result = Builder::new();
    let Some((first, others)) = inputs.split_first() else {
        return result;
    };
    first.members.for_each_while(|member, score| {
        if !others
            .iter()
            .any(|other| other.members.score(member).is_some())
        {
            result.merge(member, |_| score);
        }
        true
    });
    result
}

/// Number of members of an input, 0 if it is none.
fn length(e: EntryRef<'_>) -> usize {
    match e.kind() {
        Type::Set => e.view::<Set>().map_or(0, |set| set.len()),
        Type::SortedSet => e.view::<SortedSet>().map_or(0, |set| set.len()),
        _ => 0,
    }
}

/// How many members have to be looked at to combine inputs of these lengths.
fn work(how: Combine, mut lengths: impl ExactSizeIterator<Item = usize>) -> usize {
    let n = lengths.len();
    match how {
        Combine::Union => lengths.fold(0, usize::saturating_add),
        Combine::Intersection => lengths.min().unwrap_or(0).saturating_mul(n),
        Combine::Difference => lengths.next().unwrap_or(0).saturating_mul(n),
    }
}

/// What a command does with the result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome<'a> {
    Show,
    Store(&'a [u8]),
    Count,
}

/// All the commands of this file, from `numkeys` on.
fn combine(ctx: &mut Ctx<'_>, mut args: Args<'_>, how: Combine, outcome: Outcome<'_>) -> Result {
    let argv = args.argv();
    let n = args.int();
    args.check()?;
    if n < 1 {
        return Err(Error::new(format!(
            "ERR at least 1 input key is needed for '{}' command",
            ctx.command.name
        )));
    }
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    if n > args.left() {
        return Err(Error::SYNTAX);
    }
    let keys: SmallVec<[&[u8]; 8]> = (0..n).map(|_| args.take()).collect();
    if matches!(outcome, Outcome::Store(_)) && ctx.keys.recording() {
        if expiring_must_move(ctx, keys.iter().copied()) {
            return ctx.move_elsewhere();
        }
        for key in &keys {
            // Another type is told of below.
            let _ = expire_members_of(&mut ctx.keys, key);
        }
    }
    let known = keys.iter().map(|key| ctx.keys.peek(key).map_or(0, length));
    if ctx.must_move(work(how, known)) {
        return ctx.move_elsewhere();
    }
    let mut kinds: SmallVec<[Option<Type>; 8]> = SmallVec::new();
    for key in &keys {
        let kind = kind_of(&mut ctx.keys, key);
        if !matches!(kind, None | Some(Type::Set | Type::SortedSet)) {
            return Err(Error::WRONG_TYPE);
        }
        kinds.push(kind);
    }
    let joins = how != Combine::Difference && outcome != Outcome::Count;
    let first_option = args.index();
    let mut weights: SmallVec<[f64; 8]> = SmallVec::from_elem(1.0, n);
    let (mut aggregate, mut with_scores, mut limit) = (Aggregate::Sum, false, 0);
    while args.left() > 0 && !args.failed() {
        if joins && args.left() > n && args.keyword("WEIGHTS") {
            for weight in &mut weights {
                *weight = resp::parse_f64(args.take()).ok_or(NOT_A_WEIGHT)?;
            }
        } else if joins && args.keyword_with_value("AGGREGATE") {
            aggregate = if args.keyword("SUM") {
                Aggregate::Sum
            } else if args.keyword("MIN") {
                Aggregate::Min
            } else if args.keyword("MAX") {
                Aggregate::Max
            } else if args.keyword("COUNT") {
                Aggregate::Count
            } else {
                return Err(Error::SYNTAX);
            };
        } else if outcome == Outcome::Show && args.keyword("WITHSCORES") {
            with_scores = true;
        } else if outcome == Outcome::Count && args.keyword_with_value("LIMIT") {
            limit = args.int_in(0..=i64::MAX, NEGATIVE_LIMIT);
        } else {
            args.fail(Error::SYNTAX);
        }
    }
    args.finish()?;
    if matches!(aggregate, Aggregate::Count) && weights.iter().any(|weight| *weight != 1.0) {
        // What Redis 8.8 makes of both together is not documented.
        return Err(Error::new("ERR AGGREGATE COUNT takes no WEIGHTS"));
    }
    let mut inputs: SmallVec<[Input<'_>; 8]> = SmallVec::new();
    for ((key, kind), weight) in keys.iter().zip(kinds).zip(weights) {
        inputs.push(Input {
            members: Members::of(&ctx.keys, key, kind)?,
            weight,
        });
    }
    if how != Combine::Difference {
        // The smallest first: least to look up. The order in which scores are added is that of the real servers, too.
        inputs.sort_by_key(|input| input.members.len());
    }
    if outcome == Outcome::Count {
        let limit = if limit == 0 { i64::MAX } else { limit };
        let mut found = 0;
        intersect(&inputs, aggregate, |_, _| {
            found += 1;
            found < limit
        });
        ctx.out.int(found);
        return Ok(());
    }
    if let Outcome::Store(_) = outcome {
        let of = match how {
            Combine::Union => Sources::All,
            Combine::Intersection => Sources::Smallest,
            Combine::Difference => Sources::First,
        };
        ctx.keys.make_room_for_result(&keys, of)?;
    }
    let result = match how {
        Combine::Union => unite(&inputs, aggregate),
        Combine::Difference => subtract(&inputs),
        Combine::Intersection => {
            let mut result = Builder::new();
            intersect(&inputs, aggregate, |member, score| {
                result.merge(member, |_| score);
                true
            });
            result
        }
    };
    drop(inputs);
    let n = result.len();
    if let Outcome::Store(destination) = outcome {
        let result = result.finish(limits(ctx.engine));
        ctx.keys
            .store_result(destination, result, Event::sorted_set(ctx.command.name));
        record_in_decimal(ctx, argv, |i| i >= first_option);
        ctx.out.int(n as i64);
    } else {
        reply_members(
            ctx.out,
            n,
            with_scores,
            result.finish(NEVER_PACKED).view().entries(),
        );
    }
    Ok(())
}

fn zunion(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    combine(ctx, args, Combine::Union, Outcome::Show)
}

fn zinter(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    combine(ctx, args, Combine::Intersection, Outcome::Show)
}

fn zdiff(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    combine(ctx, args, Combine::Difference, Outcome::Show)
}

fn zintercard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    combine(ctx, args, Combine::Intersection, Outcome::Count)
}

fn zunionstore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let destination = args.take();
    combine(ctx, args, Combine::Union, Outcome::Store(destination))
}

fn zinterstore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let destination = args.take();
    combine(
        ctx,
        args,
        Combine::Intersection,
        Outcome::Store(destination),
    )
}

fn zdiffstore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let destination = args.take();
    combine(ctx, args, Combine::Difference, Outcome::Store(destination))
}
