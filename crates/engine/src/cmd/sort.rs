//! SORT and SORT_RO: the elements of a list, set or sorted set in an order that may come from other keys.
//!
//! BY and GET patterns name keys by the elements' content, so which they are is known only once the elements have been
//! read; a call with such patterns holds all shards ([`PATTERN_KEYS`]). Without patterns it holds its keys' shards alone.
//!
//! Alphabetical order is that of bytes, whatever the machine's locale.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::cmd::set::{expire_members_of, visible};
use crate::context::command::{
    Command, DENYOOM, Group, KS_ACCESS, KS_OW, KS_RO, KS_UPDATE, KeySpec, MOVABLEKEYS,
    PATTERN_KEYS, READONLY, WHOLE, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use crate::door::keys::Keys;
use crate::table::categories::{CAT_DANGEROUS, CAT_LIST, CAT_SET, CAT_SORTEDSET};
use std::cmp::Ordering;
use store::types::hash::Hash;
use store::types::list::{End, Item as ListItem, List};
use store::types::set::Set;
use store::types::sorted_set::SortedSet;
use store::{Collection, EntryRef, Type};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("sort", -2, WHOLE | WRITE | DENYOOM | MOVABLEKEYS | PATTERN_KEYS, Group::Generic, "1.0.0", sort)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS),
                KeySpec::unknown(KS_RO | KS_ACCESS)
                    .note("Keys of BY and GET: unknown, as their names come from the elements"),
                KeySpec::unknown(KS_OW | KS_UPDATE)
                    .note("Key of STORE: unknown because the word may stand anywhere")])
        .args("key [BY by-pattern<pattern>:pattern#1] [LIMIT{offset:int count:int}] \
               [GET* get-pattern<pattern>:pattern#1...] [order(ASC | DESC)] [sorting=ALPHA] \
               [STORE destination:key#2]")
        .acl(CAT_SET | CAT_SORTEDSET | CAT_LIST | CAT_DANGEROUS)
        .docs("Sorts a list, set or sorted set, and can store the result.",
              "O(N+M*log(M)), N being the number of elements and M the number returned"),
    row("sort_ro", -2, WHOLE | READONLY | MOVABLEKEYS | PATTERN_KEYS, Group::Generic, "7.0.0", sort_ro)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS),
                KeySpec::unknown(KS_RO | KS_ACCESS)
                    .note("Keys of BY and GET: unknown, as their names come from the elements")])
        .args("key [BY by-pattern<pattern>:pattern#1] [LIMIT{offset:int count:int}] \
               [GET* get-pattern<pattern>:pattern#1...] [order(ASC | DESC)] [sorting=ALPHA]")
        .acl(CAT_SET | CAT_SORTEDSET | CAT_LIST | CAT_DANGEROUS)
        .docs("Sorts a list, set or sorted set and returns the result.",
              "O(N+M*log(M)), N being the number of elements and M the number returned"),
];

/// More elements than this are sorted on a helper thread.
const LONG_SORT: usize = 4000;

fn sort(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    sort_generic(ctx, args, false)
}

fn sort_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    sort_generic(ctx, args, true)
}

/// A pattern of BY or GET.
#[derive(Clone, Copy)]
enum Pattern<'a> {
    /// `#`: the element itself.
    Element,
    /// Without `*`: names nothing.
    Nothing,
    /// The element stands between the two in a key, and if there is a field, the key is a hash's.
    Key {
        before: &'a [u8],
        after: &'a [u8],
        field: Option<&'a [u8]>,
    },
}

impl<'a> Pattern<'a> {
    fn new(text: &'a [u8]) -> Pattern<'a> {
        if text == b"#" {
            return Pattern::Element;
        }
        let Some(star) = text.iter().position(|b| *b == b'*') else {
            return Pattern::Nothing;
        };
        let (before, after) = (&text[..star], &text[star + 1..]);
        match after.windows(2).position(|pair| pair == b"->") {
            // An arrow that nothing follows is part of the name.
            Some(at) if at + 2 < after.len() => Pattern::Key {
                before,
                after: &after[..at],
                field: Some(&after[at + 2..]),
            },
            _ => Pattern::Key {
                before,
                after,
                field: None,
            },
        }
    }

    /// Calls `f` with the text that the pattern stands for with this element.
    fn look_up<R>(
        self,
        keys: &mut Keys<'_>,
        element: &[u8],
        f: impl FnOnce(Option<&[u8]>) -> R,
    ) -> R {
        let Pattern::Key {
            before,
            after,
            field,
        } = self
        else {
            return f(matches!(self, Pattern::Element).then_some(element));
        };
        let key = [before, element, after].concat();
        let now_ms = keys.now_ms;
        let Some(found) = keys.read(&key) else {
            return f(None);
        };
        let mut buf = [0; 20];
        match (field, found.kind()) {
            (None, Type::String) => f(Some(crate::ops::strings::text(found.value(), &mut buf))),
            (Some(field), Type::Hash) => {
                match found.view::<Hash>().and_then(|h| h.get(field, now_ms)) {
                    Some(field) => f(Some(field.value.text(&mut buf))),
                    None => f(None),
                }
            }
            _ => f(None),
        }
    }
}

/// A call's options.
struct Request<'a> {
    /// None: by the elements themselves.
    by: Option<Pattern<'a>>,
    /// BY a pattern that names nothing: not sorted at all.
    unsorted: bool,
    descending: bool,
    alpha: bool,
    offset: i64,
    count: i64,
    get: Vec<Pattern<'a>>,
    store: Option<&'a [u8]>,
}

/// Reads the options. `reads_all`: whether the user may read any key, which those have to that patterns lead to.
fn parse<'a>(
    args: &mut Args<'a>,
    read_only: bool,
    reads_all: &dyn Fn() -> bool,
) -> Result<Request<'a>> {
    let may_use = |option: &str| match reads_all() {
        true => Ok(()),
        false => Err(Error::new(format!(
            "ERR {option} option of SORT denied due to insufficient ACL permissions."
        ))),
    };
    let mut request = Request {
        by: None,
        unsorted: false,
        descending: false,
        alpha: false,
        offset: 0,
        count: -1,
        get: Vec::new(),
        store: None,
    };
    while args.left() > 0 {
        if args.keyword("ASC") {
            request.descending = false;
        } else if args.keyword("DESC") {
            request.descending = true;
        } else if args.keyword("ALPHA") {
            request.alpha = true;
        } else if args.left() > 2 && args.keyword("LIMIT") {
            (request.offset, request.count) = (args.int(), args.int());
        } else if !read_only && args.keyword_with_value("STORE") {
            request.store = Some(args.take());
        } else if args.keyword_with_value("BY") {
            let text = args.take();
            // As in Redis, a pattern that names nothing stays in force when another BY follows.
            request.unsorted |= !text.contains(&b'*');
            if text.contains(&b'*') {
                may_use("BY")?;
            }
            request.by = Some(Pattern::new(text));
        } else if args.keyword_with_value("GET") {
            may_use("GET")?;
            request.get.push(Pattern::new(args.take()));
        } else {
            args.fail(Error::SYNTAX);
        }
        args.check()?;
    }
    Ok(request)
}

/// Texts one behind the other.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }
}

/// Number of elements of a list, set or sorted set.
fn length(e: &EntryRef<'_>) -> Result<usize> {
    let n = match e.kind() {
        Type::List => e.view::<List>().map(|v| v.len()),
        Type::Set => e.view::<Set>().map(|v| v.len()),
        Type::SortedSet => e.view::<SortedSet>().map(|v| v.len()),
        Type::String | Type::Hash | Type::Stream => None,
    };
    n.ok_or(Error::WRONG_TYPE)
}

/// Copies the elements out, in the order of the collection; of `range` alone if given, counted from the last if
/// `backwards`. (A set has no order, and is copied whole and as it comes.)
fn elements(
    e: &EntryRef<'_>,
    range: Option<std::ops::Range<usize>>,
    backwards: bool,
    now_ms: u64,
) -> Texts {
    let mut texts = Texts::default();
    let mut buf = [0; 20];
    if let Some(list) = e.view::<List>() {
        let range = range.unwrap_or(0..list.len());
        let from = if backwards { End::Back } else { End::Front };
        let start = if backwards {
            list.len().saturating_sub(range.start + 1)
        } else {
            range.start
        };
        if !range.is_empty() {
            list.iter_from(start, from)
                .for_each(range.len(), |item| texts.push(item.text(&mut buf)));
        }
    } else if let Some(set) = e.view::<Set>() {
        set.at(now_ms)
            .for_each(|member| texts.push(member.text(&mut buf)));
    } else if let Some(set) = e.view::<SortedSet>() {
        let len = set.len();
        let range = range.unwrap_or(0..len);
        let entries = if backwards {
            // Counted from the last as well.
            set.iter_down(len - range.end..len - range.start)
        } else {
            set.iter(range)
        };
        for (member, _) in entries {
            texts.push(member.text(&mut buf));
        }
    }
    texts
}

/// What an element weighs: the decimal number that it is, up to a zero byte if there is one. No text at all is zero; a
/// number too large is infinite.
fn weight(text: &[u8]) -> Option<f64> {
    let text = text.split(|b| *b == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    if text.len() <= 15
        && let Some(n) = resp::number::parse_i64(text)
    {
        // Of so many digits every number has a double of its own.
        return Some(n as f64);
    }
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!number.is_nan()).then_some(number)
}

fn sort_generic(ctx: &mut Ctx<'_>, mut args: Args<'_>, read_only: bool) -> Result {
    let key = args.take();
    let command = ctx.registry().get(ctx.command.name.as_bytes());
    let argv = args.argv();
    let reads_all = || command.is_none_or(|entry| ctx.session.may_read_all_keys(entry, argv));
    let mut request = parse(&mut args, read_only, &reads_all)?;
    let known = ctx
        .keys
        .peek(key)
        .and_then(|e| length(&e).ok())
        .unwrap_or(0);
    if known > LONG_SORT && ctx.moves_elsewhere() {
        return Ok(());
    }
    if request.store.is_some() && ctx.keys.recording() {
        // Who does it again, at a time when nothing has expired, must see the same. Another type is told of below.
        let _ = expire_members_of(&mut ctx.keys, key);
    }
    let (mut texts, mut range) = (Texts::default(), 0..0);
    let mut packed_sorted_set = false;
    let now_ms = ctx.keys.now_ms;
    if let Some(e) = ctx.keys.read(key) {
        let len = match e.view::<Set>() {
            // Those of its members that have expired are not sorted.
            Some(set) => visible(set.at(now_ms)),
            None => length(&e)?,
        };
        let start = request.offset.clamp(0, len as i64) as usize;
        let most = if request.count < 0 {
            len
        } else {
            request.count.min(len as i64) as usize
        };
        range = start..start.saturating_add(most).min(len);
        let must_agree = request.store.is_some() || ctx.in_script;
        if request.unsorted && e.kind() == Type::Set && must_agree {
            // What is stored, or a script sees, must not depend on the order in which a set happens to be.
            (request.unsorted, request.alpha, request.by) = (false, true, None);
        }
        if request.unsorted && e.kind() != Type::Set {
            texts = elements(&e, Some(range.clone()), request.descending, now_ms);
            range = 0..range.len();
        } else {
            texts = elements(&e, None, false, now_ms);
        }
        packed_sorted_set = e.view::<SortedSet>().is_some_and(|set| set.is_packed());
    }
    if packed_sorted_set {
        // Redis turns it into a skip list to work on it, which OBJECT ENCODING shows.
        let limits = super::sorted_set::limits(ctx.engine);
        ctx.keys
            .edit(key, |set: &mut SortedSet| set.expect(usize::MAX, 0, limits))?;
    }
    let mut order: Vec<u32> = (0..texts.len() as u32).collect();
    if !request.unsorted {
        arrange(ctx, &request, &texts, &mut order, &range)?;
    }
    let chosen = order.get(range).unwrap_or_default();
    match request.store {
        Some(destination) => store_result(ctx, &request, &texts, chosen, destination)?,
        None => {
            ctx.out.array(chosen.len() * request.get.len().max(1));
            for at in chosen {
                let element = texts.get(*at as usize);
                if request.get.is_empty() {
                    ctx.out.bulk(element);
                }
                for pattern in &request.get {
                    let out = &mut *ctx.out;
                    pattern.look_up(&mut ctx.keys, element, |text| match text {
                        Some(text) => out.bulk(text),
                        None => out.null(),
                    });
                }
            }
        }
    }
    Ok(())
}

/// What alphabetical order looks at. Redis compares as the C library does, up to a zero byte, unless the result is stored.
fn seen(text: &[u8], stored: bool) -> &[u8] {
    if stored {
        text
    } else {
        text.split(|b| *b == 0).next().unwrap_or_default()
    }
}

/// Brings the places of `range` into order; the others may end up in any.
fn arrange(
    ctx: &mut Ctx<'_>,
    request: &Request<'_>,
    texts: &Texts,
    order: &mut [u32],
    range: &std::ops::Range<usize>,
) -> Result {
    let direction = |o: Ordering| if request.descending { o.reverse() } else { o };
    if request.alpha {
        let mut weights = Texts::default();
        let mut has_weight = Vec::new();
        if let Some(by) = request.by {
            for at in 0..texts.len() {
                by.look_up(&mut ctx.keys, texts.get(at), |text| {
                    has_weight.push(text.is_some());
                    weights.push(text.unwrap_or_default());
                });
            }
        }
        let stored = request.store.is_some();
        // Equal weights leave the elements in the order in which they were.
        arrange_by(order, range, |a, b| {
            let (x, y) = (*a as usize, *b as usize);
            direction(if request.by.is_some() {
                (has_weight[x], seen(weights.get(x), stored))
                    .cmp(&(has_weight[y], seen(weights.get(y), stored)))
            } else {
                seen(texts.get(x), stored).cmp(seen(texts.get(y), stored))
            })
            .then(a.cmp(b))
        });
        return Ok(());
    }
    let mut weights = Vec::with_capacity(texts.len());
    for at in 0..texts.len() {
        let element = texts.get(at);
        weights.push(match request.by {
            Some(by) => by.look_up(&mut ctx.keys, element, |text| {
                text.map_or(Some(0.0), weight)
            }),
            None => weight(element),
        });
    }
    let weights: Option<Vec<f64>> = weights.into_iter().collect();
    let weights = weights.ok_or(Error::new(
        "ERR One or more scores can't be converted into double",
    ))?;
    let text = |at: u32| texts.get(at as usize);
    // Weights beside their places, as numbers in the order wanted: what is compared is next to each other in memory.
    let mut pairs: Vec<(u64, u32)> = (0u32..)
        .zip(&weights)
        .map(|(at, weight)| {
            let key = order_of(*weight);
            (if request.descending { !key } else { key }, at)
        })
        .collect();
    let ties =
        |a: &(u64, u32), b: &(u64, u32)| direction(text(a.1).cmp(text(b.1))).then(a.1.cmp(&b.1));
    if *range == (0..pairs.len()) {
        pairs.sort_unstable_by_key(|(key, _)| *key);
        for same in pairs.chunk_by_mut(|a, b| a.0 == b.0) {
            if same.len() > 1 {
                same.sort_unstable_by(ties);
            }
        }
    } else {
        arrange_by(&mut pairs, range, |a, b| {
            a.0.cmp(&b.0).then_with(|| ties(a, b))
        });
    }
    for (place, (_, at)) in order.iter_mut().zip(pairs) {
        *place = at;
    }
    Ok(())
}

/// A number that is in the order of the weights, none of which is NaN; 0 and -0 are the same.
fn order_of(weight: f64) -> u64 {
    let bits = (weight + 0.0).to_bits();
    if bits >> 63 == 0 {
        bits | 1 << 63
    } else {
        !bits
    }
}

/// Sorts, but only as much as it takes for `range` to be right.
fn arrange_by<T>(
    order: &mut [T],
    range: &std::ops::Range<usize>,
    cmp: impl Fn(&T, &T) -> Ordering,
) {
    let mut wanted = order;
    if range.end < wanted.len() {
        if range.is_empty() {
            return;
        }
        wanted.select_nth_unstable_by(range.end, &cmp);
        wanted = &mut wanted[..range.end];
    }
    if range.start > 0 && range.start < wanted.len() {
        wanted.select_nth_unstable_by(range.start, &cmp);
        wanted = &mut wanted[range.start..];
    }
    wanted.sort_unstable_by(cmp);
}

/// Bytes of a result between two looks at whether there is memory for them.
const STEP: usize = 1 << 20;

/// Makes the destination a list of the result; what a GET pattern does not find is an empty element.
fn store_result(
    ctx: &mut Ctx<'_>,
    request: &Request<'_>,
    texts: &Texts,
    chosen: &[u32],
    destination: &[u8],
) -> Result {
    let limits = super::list::limits(ctx.engine);
    let mut list = List::new();
    let (mut bytes, mut asked) = (0, 0);
    let mut push = |text: &[u8]| {
        bytes += text.len();
        list.push(End::Back, std::iter::once(ListItem::Bytes(text)), limits);
        bytes
    };
    for at in chosen {
        let element = texts.get(*at as usize);
        let mut now = 0;
        if request.get.is_empty() {
            now = push(element);
        }
        for pattern in &request.get {
            pattern.look_up(&mut ctx.keys, element, |text| {
                now = push(text.unwrap_or_default());
            });
        }
        // As it grows: nobody knows before how much the patterns find.
        if now >= asked + STEP {
            asked = now;
            ctx.keys.make_room(0, now + STEP)?;
        }
    }
    let n = list.len();
    ctx.keys
        .store_result_of(destination, list, Event::list("sortstore"), n);
    if request.by.is_some() || !request.get.is_empty() {
        // The keys that patterns named may look different to who does it again: some had expired.
        ctx.keys.record_list(destination);
    }
    ctx.out.int(n as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{TestClient, check};

    #[test]
    fn orders() {
        check("RPUSH l 3 1 2 10; SORT l", r#"["1" "2" "3" "10"]"#);
        check("RPUSH l 3 1 2 10; SORT l DESC LIMIT 1 2", r#"["3" "2"]"#);
        check("RPUSH l 3 1 2 10; SORT l ALPHA", r#"["1" "10" "2" "3"]"#);
        check("RPUSH l 3 1 2 10; SORT l LIMIT -5 2", r#"["1" "2"]"#);
        check("RPUSH l 3 1 2 10; SORT l LIMIT 4 2", "[]");
        check(
            "RPUSH l 3 1 2 10; SORT l BY nosort DESC LIMIT 1 2",
            r#"["2" "1"]"#,
        );
        check("RPUSH l 3 1 2 10; SORT l BY nosort DESC LIMIT 9 2", "[]");
        check(
            "ZADD z 1 b 2 a 3 c; SORT z BY nosort DESC",
            r#"["c" "a" "b"]"#,
        );
        let z = "ZADD z 1 a 5 b 2 c 10 d 3 e";
        for (limit, reply) in [
            ("LIMIT 0 2", r#"["d" "b"]"#),
            ("LIMIT 1 2", r#"["b" "e"]"#),
            ("LIMIT 4 9", r#"["a"]"#),
            ("LIMIT 9 9", "[]"),
            ("LIMIT -2 3", r#"["d" "b" "e"]"#),
            ("LIMIT 1 -5", r#"["b" "e" "c" "a"]"#),
            ("LIMIT 0 2 GET #", r#"["d" "b"]"#),
        ] {
            check(&format!("{z}; SORT z BY nosort DESC {limit}"), reply);
        }
        check(
            &format!("{z}; SORT z BY nosort DESC LIMIT 1 2 STORE d; LRANGE d 0 -1"),
            r#"["b" "e"]"#,
        );
        check(
            "SADD s b a c; SORT s BY nosort STORE d; LRANGE d 0 -1",
            r#"["a" "b" "c"]"#,
        );
        check(
            "RPUSH l 1 x; SORT l",
            "-ERR One or more scores can't be converted into double",
        );
        check(
            "SET s 1; SORT s",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        );
        check("SORT nothing", "[]");
    }

    #[test]
    fn weights() {
        let numbers: [&[u8]; 12] = [
            b"",
            b"+1",
            b"-1",
            b"1e400",
            b"1e-400",
            b".5",
            b"5.",
            b"1E5",
            b"-Infinity",
            b"1\0x",
            b"\0",
            b"1e-310",
        ];
        for text in numbers {
            assert!(super::weight(text).is_some(), "{text:?}");
        }
        let others: [&[u8]; 8] = [b" 1", b"1 ", b"nan", b"0x10", b"1e", b".", b"+-1", b"\xff"];
        for text in others {
            assert!(super::weight(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn patterns_reach_keys_that_are_no_arguments() {
        let mut db = TestClient::new();
        db.run("RPUSH l 1 2 3 4; MSET w1 30 w2 20 w3 10 o1 one o2 two; HSET h1 f x; HSET h2 f 5; SET h3 f");
        db.check("SORT l BY w* GET #", r#"["4" "3" "2" "1"]"#);
        db.check(
            "SORT_RO l BY nosort GET o* GET # LIMIT 1 2",
            r#"["two" "2" nil "3"]"#,
        );
        db.check(
            "SORT l BY h*->f",
            "-ERR One or more scores can't be converted into double",
        );
        db.check("SORT l BY h*->f ALPHA GET h*->f", r#"[nil nil "5" "x"]"#);
        db.check("SORT l BY w* DESC GET o* GET fixed STORE d", "8");
        db.check("LRANGE d 0 -1", r#"["one" "" "two" "" "" "" "" ""]"#);
        db.check("SORT l LIMIT 9 1 STORE d", "0");
        db.check("EXISTS d", "0");
        db.check("SORT_RO l STORE d", "-ERR syntax error");
    }

    #[test]
    fn limits_choose_the_same_as_sorting_all() {
        let mut db = TestClient::new();
        let all: Vec<String> = (0..200).map(|n| (n * 7919 % 211).to_string()).collect();
        db.run(&format!("RPUSH l {}", all.join(" ")));
        let mut sorted = all.clone();
        sorted.sort_by_key(|n| n.parse::<u32>().unwrap());
        for (start, n) in [(0, 1), (0, 200), (5, 7), (199, 5), (100, 100), (50, 0)] {
            let expected: Vec<String> = sorted
                .iter()
                .skip(start)
                .take(n)
                .map(|n| format!("\"{n}\""))
                .collect();
            db.check(
                &format!("SORT l LIMIT {start} {n}"),
                &format!("[{}]", expected.join(" ")),
            );
        }
    }

    #[test]
    fn long_lists_are_sorted_on_a_helper_thread() {
        let mut db = TestClient::new();
        let all: Vec<String> = (0..5000).rev().map(|n| n.to_string()).collect();
        db.run(&format!("RPUSH l {}", all.join(" ")));
        db.check("SORT l LIMIT 0 2", r#"["0" "1"]"#);
    }
}
