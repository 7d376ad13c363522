//! ZMOVE, BZMOVE and ZMOVEMEMBER: members from one sorted set to another, with their scores.
//!
//! The reference is the published documentation of Redis 8.12 (redis.io, ZMOVE, BZMOVE and ZMOVEMEMBER), where no server is at hand.
//! What it does not show is as with ZMPOP: the form of the reply, the texts of errors and the events of popping and adding.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::ranges::score_range;
use crate::cmd::long::LONG_WORK;
use crate::cmd::sorted_set::{NO_COUNT, is_long, limits};
use crate::context::command::{
    BLOCKING, Command, DENYOOM, Group, KS_ACCESS, KS_DELETE, KS_INSERT, KS_RW, KeySpec, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use crate::door::keys::Keys;
use crate::follow::waiting::{Wait, timeout_seconds};
use resp::Out;
use store::types::sorted_set::{Limits, ScoreRange, SortedSet};
use store::{Collection, Type};

/// The keys of all of them: members are taken from the first, and given to the second.
const KEYS: &[KeySpec] = &[
    KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE),
    KeySpec::at(2, KS_RW | KS_INSERT),
];

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("bzmove", -5, WRITE | DENYOOM | BLOCKING, Group::SortedSet, "8.12.0", bzmove)
        .keys(KEYS)
        .args("source:key destination:key#1 where(MIN | MAX) timeout:double [COUNT count:int]")
        .docs("Moves members with the lowest or highest scores to another sorted set; waits if there are none.",
              "O(K*(log(N)+log(M))), K being the number of members moved, N and M the sizes of the sorted sets"),
    row("zmove", -4, WRITE | DENYOOM, Group::SortedSet, "8.12.0", zmove)
        .keys(KEYS)
        .args("source:key destination:key#1 \
               selection(MIN | MAX | score-range{byscore=BYSCORE score-min:double score-max:double}) \
               [COUNT count:int]")
        .docs("Moves members with the lowest or highest scores, or with scores in a range, to another sorted set.",
              "O(log(N)+K*(log(N)+log(M))), K being the number of members moved, N and M the sizes of the sorted sets"),
    row("zmovemember", -6, WRITE | DENYOOM, Group::SortedSet, "8.12.0", zmovemember)
        .keys(KEYS)
        .args("source:key destination:key#1 [condition(NX | XX)] MEMBERS{num-members:int member...}")
        .docs("Moves members to another sorted set, if asked only those that it has or has not yet.",
              "O(K*(log(N)+log(M))), K being the number of members given, N and M the sizes of the sorted sets"),
];

/// Which members are moved.
#[derive(Clone, Copy)]
enum Which<'a> {
    Lowest,
    Highest,
    Scores(ScoreRange),
    Named(&'a [&'a [u8]], Condition),
}

/// What holds for members that are named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    None,
    /// The destination has it not.
    New,
    /// The destination has it.
    Present,
}

/// Members with their scores, in the order in which they are moved.
type Moved = Vec<(Vec<u8>, f64)>;

/// Moves members and answers with them; false if there are none to be moved.
fn run(
    keys: &mut Keys<'_>,
    (source, target): (&[u8], &[u8]),
    which: Which<'_>,
    count: Option<usize>,
    limits: Limits,
    out: &mut Out,
) -> Result<bool> {
    // It is looked for to be changed.
    let found = keys.write(source).map(|found| found.get().kind());
    match found {
        None => return Ok(false),
        Some(Type::SortedSet) => {}
        Some(_) => return Err(Error::WRONG_TYPE),
    }
    let other = keys.write(target);
    if other.is_some_and(|found| found.get().kind() != Type::SortedSet) {
        return Err(Error::WRONG_TYPE);
    }
    if source == target {
        return Ok(false);
    }
    let moved = take(keys, source, target, which, count)?;
    if moved.is_empty() {
        return Ok(false);
    }
    keys.edit_or_create(target, |set: &mut SortedSet| {
        set.expect(moved.len(), moved[0].0.len(), limits);
        for (member, score) in &moved {
            set.insert(member, *score, limits);
        }
    })?;
    let (taken, verb): (_, &[u8]) = match which {
        Which::Lowest => ("zpopmin", b"ZPOPMIN"),
        Which::Highest => ("zpopmax", b"ZPOPMAX"),
        Which::Scores(_) | Which::Named(..) => ("zrem", b"ZREM"),
    };
    keys.changed_times(target, Event::sorted_set("zadd"), moved.len());
    keys.changed_times(source, Event::sorted_set(taken), moved.len());
    record(keys, (source, target), &moved, verb);
    out.array(moved.len());
    for (member, score) in &moved {
        out.array(2);
        out.bulk(member);
        out.double(*score);
    }
    Ok(true)
}

/// Takes what is to be moved out of the source, which is a sorted set.
fn take(
    keys: &mut Keys<'_>,
    source: &[u8],
    target: &[u8],
    which: Which<'_>,
    count: Option<usize>,
) -> Result<Moved> {
    let mut moved = Moved::new();
    if let Which::Named(names, condition) = which {
        let there = keys.peek_view::<SortedSet>(target)?;
        let may_go = |name: &[u8]| match condition {
            Condition::None => true,
            Condition::New => there.is_none_or(|set| set.score(name).is_none()),
            Condition::Present => there.is_some_and(|set| set.score(name).is_some()),
        };
        let names: Vec<&[u8]> = names.iter().copied().filter(|name| may_go(name)).collect();
        keys.edit(source, |set: &mut SortedSet| {
            // One that is named twice is gone the second time.
            for name in names {
                moved.extend(set.remove(name).map(|score| (name.to_vec(), score)));
            }
        })?;
        return Ok(moved);
    }
    keys.edit(source, |set: &mut SortedSet| {
        let view = set.view();
        let len = view.len();
        let ranks = match which {
            Which::Scores(range) => view.ranks_by_score(&range),
            // One, unless it is said how many.
            Which::Highest => len - count.unwrap_or(1).min(len)..len,
            _ => 0..count.unwrap_or(1).min(len),
        };
        let end = ranks
            .end
            .min(ranks.start.saturating_add(count.unwrap_or(usize::MAX)));
        let ranks = match which {
            Which::Highest => ranks,
            _ => ranks.start..end.max(ranks.start),
        };
        if ranks.is_empty() {
            return;
        }
        let own = |(member, score): (store::packed::Item<'_>, f64)| (member.to_vec(), score);
        match which {
            Which::Highest => moved.extend(view.iter_down(ranks.clone()).map(own)),
            _ => moved.extend(view.iter(ranks.clone()).map(own)),
        }
        set.remove_ranks(ranks);
    })?;
    Ok(moved)
}

/// Writes it down as commands that older servers know.
fn record(
    keys: &mut Keys<'_>,
    (source, target): (&[u8], &[u8]),
    moved: &[(Vec<u8>, f64)],
    verb: &[u8],
) {
    if !keys.recording() {
        return;
    }
    let mut scores = Vec::with_capacity(moved.len());
    for (_, score) in moved {
        let mut text = Vec::new();
        resp::format_f64(*score, &mut text);
        scores.push(text);
    }
    let mut add: Vec<&[u8]> = vec![b"ZADD", target];
    for ((member, _), score) in moved.iter().zip(&scores) {
        add.extend([&score[..], member]);
    }
    keys.record(&add);
    if verb == b"ZREM" {
        let mut remove: Vec<&[u8]> = vec![verb, source];
        remove.extend(moved.iter().map(|(member, _)| &member[..]));
        keys.record(&remove);
    } else {
        let mut digits = [0; 20];
        let n = resp::number::format_i64(moved.len() as i64, &mut digits);
        keys.record(&[verb, source, n]);
    }
}

/// Reads `COUNT count` if it is there, and nothing after it.
fn take_count(mut args: Args<'_>) -> Result<Option<usize>> {
    let mut count = None;
    if args.keyword_with_value("COUNT") {
        count = Some(args.int_in(1..=i64::MAX, NO_COUNT) as usize);
    }
    args.finish()?;
    Ok(count)
}

/// Reads MIN or MAX.
fn take_end(args: &mut Args<'_>) -> Option<Which<'static>> {
    if args.keyword("MIN") {
        Some(Which::Lowest)
    } else {
        args.keyword("MAX").then_some(Which::Highest)
    }
}

fn zmove(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (source, target) = (args.take(), args.take());
    let which = match take_end(&mut args) {
        Some(which) => which,
        None if args.left() >= 3 && args.keyword("BYSCORE") => {
            Which::Scores(score_range(args.take(), args.take(), ctx.session.replays)?)
        }
        None => return Err(Error::SYNTAX),
    };
    let count = take_count(args)?;
    let work = match (which, count) {
        (Which::Scores(_), None) => usize::MAX,
        (_, count) => count.unwrap_or(1),
    };
    if ctx.must_move(work) && is_long(&ctx.keys, source) {
        return ctx.move_elsewhere();
    }
    let limits = limits(ctx.engine);
    if !run(
        &mut ctx.keys,
        (source, target),
        which,
        count,
        limits,
        ctx.out,
    )? {
        ctx.out.null_array();
    }
    Ok(())
}

fn bzmove(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (source, target) = (args.take(), args.take());
    let which = take_end(&mut args).ok_or(Error::SYNTAX)?;
    let timeout = args.take();
    let count = take_count(args)?;
    let timeout = timeout_seconds(timeout, ctx.keys.now_ms)?;
    if ctx.must_move(count.unwrap_or(1)) && is_long(&ctx.keys, source) {
        return ctx.move_elsewhere();
    }
    let limits = limits(ctx.engine);
    if run(
        &mut ctx.keys,
        (source, target),
        which,
        count,
        limits,
        ctx.out,
    )? {
        return Ok(());
    }
    if source == target {
        ctx.out.null_array();
        return Ok(());
    }
    let own_target: Box<[u8]> = target.into();
    let highest = matches!(which, Which::Highest);
    let attempt = move |ks: &mut Keys<'_>, key: &[u8], out: &mut Out| {
        let which = match highest {
            true => Which::Highest,
            false => Which::Lowest,
        };
        // Something else than a sorted set does not end the wait.
        let is_set = matches!(ks.peek_view::<SortedSet>(key), Ok(Some(_)));
        Ok(is_set && run(ks, (key, &own_target), which, count, limits, out)?)
    };
    ctx.block(Wait {
        further: Some(target),
        ..Wait::new(&[source], timeout, Box::new(attempt))
    });
    Ok(())
}

fn zmovemember(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    const BAD: Error = Error::fixed("ERR num-members should be greater than 0");
    let (source, target) = (args.take(), args.take());
    let condition = if args.keyword("NX") {
        Condition::New
    } else if args.keyword("XX") {
        Condition::Present
    } else {
        Condition::None
    };
    if args.left() < 3 || !args.keyword("MEMBERS") {
        return Err(Error::SYNTAX);
    }
    let n = args.int_in(1..=i64::MAX, BAD);
    args.check()?;
    let names = args.rest();
    if names.len() as i64 != n {
        return Err(Error::SYNTAX);
    }
    if ctx.must_move(names.len()) && names.len() >= LONG_WORK {
        return ctx.move_elsewhere();
    }
    let limits = limits(ctx.engine);
    let which = Which::Named(names, condition);
    if !run(
        &mut ctx.keys,
        (source, target),
        which,
        None,
        limits,
        ctx.out,
    )? {
        ctx.out.null_array();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::base::random::random_below;
    use crate::follow::waiting::GiveUp;
    use crate::testing::TestClient;

    const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

    /// What the published documentation says, line by line: `line | reply`, in one database.
    const TALK: &str = r#"
ZADD s 1 a 2 b 3 c 4 d 5 e; ZMOVE s t MIN | [["a" "1"]]
ZMOVE s t MAX COUNT 2 | [["e" "5"] ["d" "4"]]
ZRANGE t 0 -1 WITHSCORES | ["a" "1" "d" "4" "e" "5"]
ZADD t 9 b; ZMOVE s t BYSCORE 2 (3 | [["b" "2"]]
ZSCORE t b | "2"
ZMOVE s t BYSCORE -inf +inf COUNT 9 | [["c" "3"]]
EXISTS s | 0
ZMOVE s t MIN | nil
ZMOVE t s BYSCORE 100 +inf | nil
EXISTS s | 0
ZMOVE t s BYSCORE (1 4 COUNT 2 | [["b" "2"] ["c" "3"]]
ZMOVE t t MIN | nil
ZMOVE none none MIN | nil
ZMOVE t s MIN COUNT 0 | -ERR count should be greater than 0
ZMOVE t s MIN COUNT | -ERR syntax error
ZMOVE t s BYSCORE 1 | -ERR syntax error
ZMOVE t s BYSCORE a b | -ERR min or max is not a float
ZMOVE t s LEFT | -ERR syntax error
ZMOVE t s MIN MAX | -ERR syntax error
SET x v; ZMOVE x s MIN | -WRONGTYPE Operation against a key holding the wrong kind of value
ZMOVE s x MIN | -WRONGTYPE Operation against a key holding the wrong kind of value
ZMOVE none x MIN | nil
EXPIRE t 100; EXPIRE s 200; ZMOVE s t MIN; TTL t | 100
TTL s | 200
ZMOVE t n MIN; TTL n | -1
FLUSHALL; ZADD s 1 a 2 b 3 c; ZADD t 7 b; ZMOVEMEMBER s t MEMBERS 3 c x a | [["c" "3"] ["a" "1"]]
ZRANGE t 0 -1 WITHSCORES | ["a" "1" "c" "3" "b" "7"]
ZMOVEMEMBER s t NX MEMBERS 1 b | nil
ZMOVEMEMBER s t XX MEMBERS 2 b b | [["b" "2"]]
EXISTS s | 0
ZMOVEMEMBER t s XX MEMBERS 1 a | nil
EXISTS s | 0
ZMOVEMEMBER t s NX MEMBERS 2 a a | [["a" "1"]]
ZMOVEMEMBER t t MEMBERS 1 b | nil
ZMOVEMEMBER t s MEMBERS 0 b | -ERR num-members should be greater than 0
ZMOVEMEMBER t s MEMBERS 2 b | -ERR syntax error
ZMOVEMEMBER t s NX XX MEMBERS 1 b | -ERR syntax error
ZMOVEMEMBER t s MEMBER 1 b | -ERR syntax error
SET x v; ZMOVEMEMBER t x MEMBERS 1 nothing | -WRONGTYPE Operation against a key holding the wrong kind of value
MULTI; BZMOVE none t MIN 0; EXEC | [nil]
BZMOVE t t MAX 0 | nil
BZMOVE none none MAX 0 | nil
BZMOVE t s MIN 0 COUNT 9 | [["b" "2"] ["c" "3"]]
BZMOVE t s MIN x | -ERR timeout is not a float or out of range
BZMOVE t s MIN -1 | -ERR timeout is negative
BZMOVE t s BYSCORE 1 2 0 | -ERR syntax error
"#;

    /// A sorted set as a list of scores and members.
    type Model = Vec<(u32, String)>;

    fn shown(set: &Model) -> String {
        let pair = |(score, member): &(u32, String)| format!(r#"["{member}" "{score}"]"#);
        format!("[{}]", set.iter().map(pair).collect::<Vec<_>>().join(" "))
    }

    fn put(set: &mut Model, score: u32, member: &str) {
        set.retain(|(_, other)| other != member);
        set.push((score, member.to_owned()));
        set.sort();
    }

    /// Random moves to and fro do what they do to two lists, in every form that sorted sets have.
    #[test]
    fn random_moves_are_those_of_lists() {
        for round in 0..20 {
            let mut c = TestClient::new();
            let mut sets = [Model::new(), Model::new()];
            // Some grow out of their packed form.
            let members = if round % 2 == 0 { 20 } else { 400 };
            for _ in 0..300 {
                let from = random_below(2) as usize;
                let (a, b) = (["s", "t"][from], ["t", "s"][from]);
                let n = random_below(members / 8) as usize + 1;
                if random_below(2) == 0 {
                    for _ in 0..n {
                        let member = format!("m{}", random_below(members));
                        let score = random_below(30) as u32;
                        c.run(&format!("ZADD {a} {score} {member}"));
                        put(&mut sets[from], score, &member);
                    }
                    continue;
                }
                let source = sets[from].clone();
                let has = |member: &String| sets[1 - from].iter().any(|(_, other)| other == member);
                let (line, moved): (String, Model) = match random_below(4) {
                    0 => (
                        format!("ZMOVE {a} {b} MIN COUNT {n}"),
                        source.iter().take(n).cloned().collect(),
                    ),
                    1 => (
                        format!("BZMOVE {a} {b} MAX 0.001 COUNT {n}"),
                        source.iter().rev().take(n).cloned().collect(),
                    ),
                    2 => {
                        let (low, high) = (random_below(30) as u32, random_below(30) as u32);
                        let inside = |(score, _): &&(u32, String)| low < *score && *score <= high;
                        (
                            format!("ZMOVE {a} {b} BYSCORE ({low} {high} COUNT {n}"),
                            source.iter().filter(inside).take(n).cloned().collect(),
                        )
                    }
                    _ => {
                        let names: Vec<String> = (0..n)
                            .map(|_| format!("m{}", random_below(members)))
                            .collect();
                        let condition = ["", "NX ", "XX "][random_below(3) as usize];
                        let mut moved = Model::new();
                        for name in &names {
                            let may = condition.is_empty() || has(name) == (condition == "XX ");
                            let found = source.iter().find(|(_, member)| member == name);
                            moved.extend(found.filter(|f| may && !moved.contains(f)).cloned());
                        }
                        let words = names.join(" ");
                        (
                            format!("ZMOVEMEMBER {a} {b} {condition}MEMBERS {n} {words}"),
                            moved,
                        )
                    }
                };
                if line.starts_with('B') && moved.is_empty() {
                    continue;
                }
                for (score, member) in &moved {
                    sets[from].retain(|(_, other)| other != member);
                    put(&mut sets[1 - from], *score, member);
                }
                let reply = if moved.is_empty() {
                    "nil".into()
                } else {
                    shown(&moved)
                };
                c.check(&line, &reply);
                for (key, set) in ["s", "t"].iter().zip(&sets) {
                    let all: Vec<_> = set
                        .iter()
                        .map(|(score, member)| format!(r#""{member}" "{score}""#))
                        .collect();
                    c.check(
                        &format!("ZRANGE {key} 0 -1 WITHSCORES"),
                        &format!("[{}]", all.join(" ")),
                    );
                }
            }
        }
    }

    #[test]
    fn as_documented() {
        let mut c = TestClient::new();
        for line in TALK.lines().filter(|line| !line.is_empty()) {
            let (call, reply) = line.rsplit_once(" | ").expect("a call and a reply");
            c.check(call, reply);
        }
        let mut c = c.resp3();
        c.check("ZADD q 1.5 a; ZMOVE q r MIN", r#"[["a" ,1.5]]"#);
    }

    #[test]
    fn who_waits_gets_what_there_is() {
        let mut c = TestClient::new();
        let (mut first, mut second) = (c.another(), c.another());
        first.block("BZMOVE s t MAX 0 COUNT 5");
        second.block("BZMOVE s u MIN 0");
        // Another type does not end the wait, and neither does the destination.
        c.run("SET s v; DEL s; ZADD t 1 z");
        first.check_blocked("waits");
        c.run("ZADD s 1 a 2 b");
        first.check_blocked(r#"[["b" "2"] ["a" "1"]]"#);
        second.check_blocked("waits");
        c.check("ZRANGE t 0 -1", r#"["a" "z" "b"]"#);
        // A chain of them.
        first.block("BZMOVE u v MIN 0");
        c.run("ZADD s 3 c");
        second.check_blocked(r#"[["c" "3"]]"#);
        first.check_blocked(r#"[["c" "3"]]"#);
        c.check("ZRANGE v 0 -1", r#"["c"]"#);
        first.block("BZMOVE s x MIN 0");
        c.run("SET x v; ZADD s 1 a");
        first.check_blocked(WRONG_TYPE);
        first.block("BZMOVE none t MIN 0");
        assert!(first.give_up(GiveUp::Timeout));
        first.check_blocked("nil");
    }

    #[test]
    fn events() {
        let mut c = TestClient::new();
        c.run("ZADD s 1 a 2 b 3 c 4 d");
        c.check_events("ZMOVE s t MIN", "zadd t, zpopmin s");
        c.check_events("ZMOVE s t BYSCORE 2 2", "zadd t, zrem s");
        c.check_events("ZMOVEMEMBER s t MEMBERS 1 c", "zadd t, zrem s");
        c.check_events("ZMOVE s t MAX", "zadd t, zpopmax s, del s");
        c.check_events("ZMOVE t t MAX", "");
    }
}
