//! Sets combined: unions, intersections, differences, what they count, and where they are stored.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::cmd::set::{expire_members_of, expiring_must_move, limits, reply_member, reply_set};
use crate::context::command::{
    Command, DENYOOM, Group, KS_ACCESS, KS_OW, KS_RO, KS_UPDATE, KeySpec, MOVABLEKEYS, READONLY,
    WHOLE, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use crate::door::keys::Keys;
use crate::door::room::Sources;
use store::packed::Item;
use store::types::hll;
use store::types::set::{Limits, Set, SetRef};
use store::{Collection, Type};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
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
    const BAD_COUNT: Error = Error::fixed("ERR numkeys should be greater than 0");
    const BAD_LIMIT: Error = Error::fixed("ERR LIMIT can't be negative");
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
/// True if the command has to move before.
fn expire_sources(ctx: &mut Ctx<'_>, names: &[&[u8]]) -> Result<bool> {
    if !ctx.keys.recording() {
        return Ok(false);
    }
    if expiring_must_move(ctx, names.iter().copied()) {
        return Ok(true);
    }
    for name in names {
        expire_members_of(&mut ctx.keys, name)?;
    }
    Ok(false)
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
    if expire_sources(ctx, args.rest())? {
        return ctx.move_elsewhere();
    }
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
    if expire_sources(ctx, args.rest())? {
        return ctx.move_elsewhere();
    }
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
    if expire_sources(ctx, args.rest())? {
        return ctx.move_elsewhere();
    }
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
