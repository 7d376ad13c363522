//! Lists.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::reclaim::BIG_VALUE;
use crate::cmd::long::LONG_WORK;
use crate::context::command::{
    Command, DENYOOM, FAST, Group, KS_ACCESS, KS_DELETE, KS_INSERT, KS_RO, KS_RW, KS_UPDATE,
    KeySpec, MOVABLEKEYS, READONLY, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use crate::door::change::Event;
use crate::door::keys::Keys;
use resp::Out;
use resp::number::format_i64;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::Ordering::Relaxed;
use store::types::list::{End, Item, Limits, List, Moved};
use store::{Blob, Collection, Type};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("lindex", 3, READONLY, Group::List, "1.0.0", lindex)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key index:int")
        .docs("Returns the element of a list at an index.",
              "O(N), N being the number of elements between the index and the nearer end"),
    row("linsert", 5, WRITE | DENYOOM, Group::List, "2.2.0", linsert)
        .keys(&[KeySpec::at(1, KS_RW | KS_INSERT)])
        .args("key where(BEFORE | AFTER) pivot element")
        .docs("Inserts an element into a list before or after another.",
              "O(N), N being the number of elements looked at before the other is found"),
    row("llen", 2, READONLY | FAST, Group::List, "1.0.0", llen)
        .keys(&[KeySpec::at(1, KS_RO)]).args("key")
        .docs("Returns the length of a list.", "O(1)"),
    row("lmove", 5, WRITE | DENYOOM, Group::List, "6.2.0", lmove)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE), KeySpec::at(2, KS_RW | KS_INSERT)])
        .args("source:key destination:key#1 wherefrom(LEFT | RIGHT) whereto(LEFT | RIGHT)")
        .docs("Moves an element from one list to another and returns it.", "O(1)"),
    row("lmpop", -4, WRITE | MOVABLEKEYS, Group::List, "7.0.0", lmpop)
        .keys(&[KeySpec::numkeys(1, KS_RW | KS_ACCESS | KS_DELETE)])
        .args("numkeys:int key... where(LEFT | RIGHT) [COUNT count:int]")
        .docs("Pops elements from the first of several lists that has any.",
              "O(N+M), N being the number of keys and M the number of elements popped"),
    row("lpop", -2, WRITE | FAST, Group::List, "1.0.0", lpop)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE)]).args("key [count:int@6.2.0]")
        .docs("Pops elements from the front of a list.",
              "O(N), N being the number of elements popped")
        .history(&[("6.2.0", "New argument count.")]),
    row("lpos", -3, READONLY, Group::List, "6.0.6", lpos)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key element [RANK rank:int] [COUNT num-matches:int] [MAXLEN len:int]")
        .docs("Finds the positions of elements equal to the given one in a list.",
              "O(N), N being the number of elements compared"),
    row("lpush", -3, WRITE | DENYOOM | FAST, Group::List, "1.0.0", lpush)
        .keys(&[KeySpec::at(1, KS_RW | KS_INSERT)]).args("key element...")
        .docs("Puts elements at the front of a list, creating it if need be.",
              "O(N), N being the number of elements added")
        .history(&[("2.4.0", "Several elements may be given.")]),
    row("lpushx", -3, WRITE | DENYOOM | FAST, Group::List, "2.2.0", lpushx)
        .keys(&[KeySpec::at(1, KS_RW | KS_INSERT)]).args("key element...")
        .docs("Puts elements at the front of a list if it exists.",
              "O(N), N being the number of elements added")
        .history(&[("4.0.0", "Several elements may be given.")]),
    row("lrange", 4, READONLY, Group::List, "1.0.0", lrange)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key start:int stop:int")
        .docs("Returns the elements of a list from one index to another.",
              "O(S+N), S being the distance of the first element from the nearer end and N the \
               number of elements returned"),
    row("lrem", 4, WRITE, Group::List, "1.0.0", lrem)
        .keys(&[KeySpec::at(1, KS_RW | KS_DELETE)]).args("key count:int element")
        .docs("Removes elements equal to the given one from a list.",
              "O(N+M), N being the length of the list and M the number of elements removed"),
    row("lset", 4, WRITE | DENYOOM, Group::List, "1.0.0", lset)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)]).args("key index:int element")
        .docs("Replaces the element of a list at an index.",
              "O(N), N being the length of the list; O(1) at either end"),
    row("ltrim", 4, WRITE, Group::List, "1.0.0", ltrim)
        .keys(&[KeySpec::at(1, KS_RW | KS_DELETE)]).args("key start:int stop:int")
        .docs("Keeps only the elements of a list from one index to another.",
              "O(N), N being the number of elements removed"),
    row("rpop", -2, WRITE | FAST, Group::List, "1.0.0", rpop)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE)]).args("key [count:int@6.2.0]")
        .docs("Pops elements from the end of a list.",
              "O(N), N being the number of elements popped")
        .history(&[("6.2.0", "New argument count.")]),
    row("rpoplpush", 3, WRITE | DENYOOM, Group::List, "1.2.0", rpoplpush)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE), KeySpec::at(2, KS_RW | KS_INSERT)])
        .args("source:key destination:key#1")
        .docs("Moves the last element of a list to the front of another and returns it.", "O(1)"),
    row("rpush", -3, WRITE | DENYOOM | FAST, Group::List, "1.0.0", rpush)
        .keys(&[KeySpec::at(1, KS_RW | KS_INSERT)]).args("key element...")
        .docs("Puts elements at the end of a list, creating it if need be.",
              "O(N), N being the number of elements added")
        .history(&[("2.4.0", "Several elements may be given.")]),
    row("rpushx", -3, WRITE | DENYOOM | FAST, Group::List, "2.2.0", rpushx)
        .keys(&[KeySpec::at(1, KS_RW | KS_INSERT)]).args("key element...")
        .docs("Puts elements at the end of a list if it exists.",
              "O(N), N being the number of elements added")
        .history(&[("4.0.0", "Several elements may be given.")]),
];

/// The settings that shape lists.
pub(crate) fn limits(engine: &Engine) -> Limits {
    let live = &engine.config().live;
    Limits {
        max_listpack_size: live.list_max_listpack_size.load(Relaxed),
        packed_threshold: live.quicklist_packed_threshold.load(Relaxed),
        compress_depth: live.list_compress_depth.load(Relaxed),
    }
}

/// An argument as an element: one that dispatch has copied already is not copied again.
#[inline]
fn argument<'v>(prepared: &'v [(usize, Blob)], arg: &'v [u8]) -> Item<'v> {
    if arg.len() >= BIG_VALUE {
        let copied =
            |(at, blob): &&(usize, Blob)| *at == arg.as_ptr() as usize && blob.len() == arg.len();
        if let Some((_, blob)) = prepared.iter().find(copied) {
            return Item::Blob(blob);
        }
    }
    Item::Bytes(arg)
}

/// Writes an element.
#[inline]
pub(super) fn reply(out: &mut Out, item: Item<'_>) {
    match item {
        Item::Int(n) => out.bulk_int(n),
        Item::Bytes(text) => out.bulk(text),
        Item::Blob(blob) => out.shared(blob),
    }
}

/// What is announced when elements are added at an end.
pub(super) fn push_event(end: End) -> Event {
    Event::list(match end {
        End::Front => "lpush",
        End::Back => "rpush",
    })
}

/// What is announced when elements are taken from an end.
pub(super) fn pop_event(end: End) -> Event {
    Event::list(match end {
        End::Front => "lpop",
        End::Back => "rpop",
    })
}

/// LEFT or RIGHT.
pub(super) fn end(args: &mut Args<'_>) -> End {
    if args.keyword("LEFT") {
        End::Front
    } else if args.keyword("RIGHT") {
        End::Back
    } else {
        args.fail(Error::SYNTAX);
        End::Back
    }
}

/// An integer other than the smallest, which has no counterpart.
fn signed_count(args: &mut Args<'_>) -> i64 {
    let n = args.int();
    if n == i64::MIN {
        args.fail(Error::new(format!(
            "ERR value is out of range, value must between {} and {}",
            -i64::MAX,
            i64::MAX
        )));
    }
    n
}

/// The index that a possibly negative one stands for, if there is an element.
fn index(n: i64, len: usize) -> Option<usize> {
    let n = if n < 0 { n + len as i64 } else { n };
    usize::try_from(n).ok().filter(|n| *n < len)
}

/// The indices from `start` to `stop`, both included and possibly negative.
fn range(start: i64, stop: i64, len: usize) -> Range<usize> {
    let from_front = |n: i64| if n < 0 { n + len as i64 } else { n };
    let start = from_front(start).max(0);
    let stop = from_front(stop).min(len as i64 - 1);
    if start > stop {
        0..0
    } else {
        start as usize..stop as usize + 1
    }
}

/// Whether looking for something in a list, from one end to the other if need be, is so long that it has to go elsewhere.
fn must_move_search(ctx: &Ctx<'_>, key: &[u8]) -> bool {
    let Ok(Some(list)) = ctx.keys.peek_view::<List>(key) else {
        return false;
    };
    ctx.must_move(list.len())
}

// ---- Adding

fn push(ctx: &mut Ctx<'_>, mut args: Args<'_>, end: End, only_existing: bool) -> Result {
    let key = args.take();
    if ctx.must_move(args.left()) {
        return ctx.move_elsewhere();
    }
    let (limits, prepared, n) = (limits(ctx.engine), ctx.keys.prepared, args.left());
    let items = args.rest().iter().map(|arg| argument(prepared, arg));
    let add = |list: &mut List| {
        list.push(end, items.clone(), limits);
        list.len()
    };
    let len = match ctx.keys.edit(key, add)? {
        Some(len) => len,
        None if only_existing => {
            ctx.out.int(0);
            return Ok(());
        }
        None => {
            let mut list = List::new();
            let len = add(&mut list);
            ctx.keys.insert_collection(ctx.keys.db, key, list, None);
            len
        }
    };
    ctx.keys.changed_times(key, push_event(end), n);
    ctx.out.int(len as i64);
    Ok(())
}

fn lpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    push(ctx, args, End::Front, false)
}

fn rpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    push(ctx, args, End::Back, false)
}

fn lpushx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    push(ctx, args, End::Front, true)
}

fn rpushx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    push(ctx, args, End::Back, true)
}

fn linsert(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let behind = args.keyword("AFTER");
    if !behind && !args.keyword("BEFORE") {
        return Err(Error::SYNTAX);
    }
    if must_move_search(ctx, key) {
        return ctx.move_elsewhere();
    }
    let (pivot, value) = (args.take(), argument(ctx.keys.prepared, args.take()));
    let limits = limits(ctx.engine);
    let len = ctx.keys.edit(key, |list: &mut List| {
        if list.insert(pivot, behind, value, limits) {
            list.len() as i64
        } else {
            -1
        }
    })?;
    if len > Some(0) {
        ctx.keys.changed(key, Event::list("linsert"));
    }
    ctx.out.int(len.unwrap_or(0));
    Ok(())
}

fn lset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    if list_len(&mut ctx.keys, key)?.is_none() {
        return Err(Error::NO_SUCH_KEY);
    }
    // Both Redis and Valkey keep only 32 bits of this command's index.
    let n = i64::from(args.int() as i32);
    args.check()?;
    let value = argument(ctx.keys.prepared, args.take());
    let limits = limits(ctx.engine);
    let set = ctx.keys.edit(key, |list: &mut List| {
        let at = index(n, list.len()).unwrap_or(usize::MAX);
        list.set(at, value, limits)
    })?;
    if set != Some(true) {
        return Err(Error::INDEX_RANGE);
    }
    ctx.keys.changed(key, Event::list("lset"));
    ctx.out.ok();
    Ok(())
}

// ---- Removing

/// The length of a list that is to be changed, if there is one.
pub(super) fn list_len(keys: &mut Keys<'_>, key: &[u8]) -> Result<Option<usize>> {
    match keys.write(key) {
        None => Ok(None),
        Some(found) => found
            .get()
            .view::<List>()
            .map(|list| Some(list.len()))
            .ok_or(Error::WRONG_TYPE),
    }
}

fn pop(ctx: &mut Ctx<'_>, mut args: Args<'_>, end: End) -> Result {
    let key = args.take();
    match args.left() {
        0 => {
            let limits = limits(ctx.engine);
            let out = &mut *ctx.out;
            let popped = ctx.keys.edit(key, |list: &mut List| {
                list.pop(end, limits, |item| reply(out, item))
            })?;
            match popped.flatten() {
                Some(()) => ctx.keys.changed(key, pop_event(end)),
                None => ctx.out.null(),
            }
        }
        1 => {
            let count = args.int_in(0..=i64::MAX, Error::NOT_POSITIVE);
            args.check()?;
            match list_len(&mut ctx.keys, key)? {
                None => ctx.out.null_array(),
                Some(_) if count == 0 => ctx.out.array(0),
                Some(len) => {
                    let n = len.min(count as usize);
                    if ctx.must_move(n) {
                        return ctx.move_elsewhere();
                    }
                    pop_several(&mut ctx.keys, key, end, n, limits(ctx.engine), ctx.out)?;
                }
            }
        }
        _ => return Err(Error::wrong_arity(ctx.command.name)),
    }
    Ok(())
}

fn lpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    pop(ctx, args, End::Front)
}

fn rpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    pop(ctx, args, End::Back)
}

/// Removes `n` elements from an end of a list that has that many, and writes them as an array.
pub(super) fn pop_several(
    keys: &mut Keys<'_>,
    key: &[u8],
    end: End,
    n: usize,
    limits: Limits,
    out: &mut Out,
) -> Result {
    out.array(n);
    let emptied = keys.edit(key, |list: &mut List| {
        let len = list.len();
        let first = if end == End::Front { 0 } else { len - 1 };
        list.view()
            .iter_from(first, end)
            .for_each(n, |item| reply(out, item));
        if n == len {
            return true;
        }
        list.remove(
            if end == End::Front {
                0..n
            } else {
                len - n..len
            },
            limits,
        );
        false
    })?;
    let emptied = emptied == Some(true);
    if emptied {
        // What it owned is dropped when the locks are gone.
        keys.remove(key);
    }
    keys.changed_times(key, pop_event(end), n);
    if emptied {
        keys.changed_too(key, Event::DEL);
    }
    Ok(())
}

/// The command that pops at an end.
pub(super) fn pop_verb(end: End) -> &'static [u8] {
    match end {
        End::Front => b"LPOP",
        End::Back => b"RPOP",
    }
}

/// The command that adds elements at an end.
pub(super) fn push_verb(end: End) -> &'static [u8] {
    match end {
        End::Front => b"LPUSH",
        End::Back => b"RPUSH",
    }
}

fn end_word(end: End) -> &'static [u8] {
    match end {
        End::Front => b"LEFT",
        End::Back => b"RIGHT",
    }
}

/// What LMPOP and BLMPOP are to do.
pub(super) struct MultiPop<'a> {
    pub keys: &'a [&'a [u8]],
    pub end: End,
    /// Elements at most.
    pub count: usize,
}

impl<'a> MultiPop<'a> {
    /// Takes `numkeys key... LEFT|RIGHT [COUNT count]`, and nothing may be left.
    pub fn take(mut args: Args<'a>) -> Result<MultiPop<'a>> {
        let numkeys = args.int_in(
            1..=i64::MAX,
            Error::new("ERR numkeys should be greater than 0"),
        );
        args.check()?;
        let Some(keys) = usize::try_from(numkeys)
            .ok()
            .and_then(|n| args.rest().get(..n))
        else {
            return Err(Error::SYNTAX);
        };
        let mut args = Args::new(args.argv(), args.index() + keys.len());
        let end = end(&mut args);
        args.check()?;
        let mut count = 1;
        if args.keyword_with_value("COUNT") {
            count = args.int_in(
                1..=i64::MAX,
                Error::new("ERR count should be greater than 0"),
            ) as usize;
        }
        args.finish()?;
        Ok(MultiPop { keys, end, count })
    }

    /// Whether that may be so much that it has to go elsewhere.
    pub fn must_move(&self, ctx: &Ctx<'_>) -> bool {
        ctx.must_move(self.count) && self.keys.iter().any(|key| must_move_search(ctx, key))
    }

    /// Pops from the first list that is held and has elements, and writes them with its key; false if there is none.
    pub fn run(&self, keys: &mut Keys<'_>, limits: Limits, out: &mut Out) -> Result<bool> {
        for key in self.keys {
            if keys.holds(key)
                && let Some(len) = list_len(keys, key)?
            {
                out.array(2);
                out.bulk(key);
                let n = len.min(self.count);
                pop_several(keys, key, self.end, n, limits, out)?;
                keys.record(&[pop_verb(self.end), key, format_i64(n as i64, &mut [0; 20])]);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn lmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let request = MultiPop::take(args)?;
    if request.must_move(ctx) {
        return ctx.move_elsewhere();
    }
    let limits = limits(ctx.engine);
    if !request.run(&mut ctx.keys, limits, ctx.out)? {
        ctx.out.null_array();
    }
    Ok(())
}

fn lrem(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let count = signed_count(&mut args);
    args.check()?;
    if must_move_search(ctx, key) {
        return ctx.move_elsewhere();
    }
    let value = args.take();
    let limits = limits(ctx.engine);
    let end = if count < 0 { End::Back } else { End::Front };
    let most = if count == 0 {
        usize::MAX
    } else {
        count.unsigned_abs() as usize
    };
    let removed = ctx.keys.edit(key, |list: &mut List| {
        list.remove_equal(value, end, most, limits)
    })?;
    if let Some(n) = removed
        && n > 0
    {
        ctx.keys.changed_times(key, Event::list("lrem"), n);
    }
    ctx.out.int(removed.unwrap_or(0) as i64);
    Ok(())
}

const LTRIM: Event = Event::list("ltrim");

fn ltrim(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, start, stop) = (args.take(), args.int(), args.int());
    args.check()?;
    let limits = limits(ctx.engine);
    if let Some(len) = list_len(&mut ctx.keys, key)? {
        let kept = range(start, stop, len);
        if kept.is_empty() {
            // What is removed as a whole is freed when the locks are gone.
            ctx.keys.remove(key);
            ctx.keys.changed_times(key, LTRIM, len);
            ctx.keys.changed_too(key, Event::DEL);
        } else {
            let n = len - kept.len();
            if ctx.must_move(n) {
                return ctx.move_elsewhere();
            }
            ctx.keys
                .edit(key, |list: &mut List| list.keep(kept, limits))?;
            ctx.keys.changed_times(key, LTRIM, n);
            if n == 0 {
                // It is announced all the same.
                ctx.keys.record_instead();
            }
        }
    }
    ctx.out.ok();
    Ok(())
}

// ---- Moving

/// By which name a move is written down: replicas get the words of who asked, without the waiting.
#[derive(Clone, Copy)]
pub(super) enum By {
    /// LMOVE and BLMOVE.
    Move,
    /// RPOPLPUSH and BRPOPLPUSH.
    PopPush,
}

/// Moves an element from an end of one list to an end of another and writes it; whether there was one.
pub(super) fn move_element(
    keys: &mut Keys<'_>,
    (source, from): (&[u8], End),
    (target, to): (&[u8], End),
    (limits, by): (Limits, By),
    out: &mut Out,
) -> Result<bool> {
    if list_len(keys, source)?.is_none() {
        return Ok(false);
    }
    if source == target {
        keys.edit(source, |list: &mut List| {
            list.rotate(from, to, limits, |item| reply(out, item))
        })?;
    } else {
        let other = keys.write(target);
        if other.is_some_and(|found| found.get().kind() != Type::List) {
            return Err(Error::WRONG_TYPE);
        }
        let moved = keys.edit(source, |list: &mut List| {
            list.pop(from, limits, |item| {
                reply(out, item);
                Moved::of(item)
            })
        })?;
        if let Some(moved) = moved.flatten() {
            let item = std::iter::once(moved.item());
            keys.edit_or_create(target, |list: &mut List| list.push(to, item, limits))?;
        }
    }
    keys.changed(target, push_event(to));
    keys.changed_too(source, pop_event(from));
    match by {
        By::Move => keys.record(&[b"LMOVE", source, target, end_word(from), end_word(to)]),
        By::PopPush => keys.record(&[b"RPOPLPUSH", source, target]),
    }
    Ok(true)
}

fn move_now(ctx: &mut Ctx<'_>, source: (&[u8], End), target: (&[u8], End), by: By) -> Result {
    let how = (limits(ctx.engine), by);
    if !move_element(&mut ctx.keys, source, target, how, ctx.out)? {
        ctx.out.null();
    }
    Ok(())
}

fn lmove(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (source, target) = (args.take(), args.take());
    let (from, to) = (end(&mut args), end(&mut args));
    args.check()?;
    move_now(ctx, (source, from), (target, to), By::Move)
}

fn rpoplpush(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (source, target) = (args.take(), args.take());
    move_now(ctx, (source, End::Back), (target, End::Front), By::PopPush)
}

// ---- Looking

fn llen(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let len = ctx
        .keys
        .view::<List>(args.take())?
        .map_or(0, |list| list.len());
    ctx.out.int(len as i64);
    Ok(())
}

fn lindex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let out = &mut *ctx.out;
    let Some(list) = ctx.keys.view::<List>(args.take())? else {
        out.null();
        return Ok(());
    };
    let n = args.int();
    args.check()?;
    let shown = index(n, list.len()).and_then(|at| list.get(at, |item| reply(out, item)));
    if shown.is_none() {
        out.null();
    }
    Ok(())
}

fn lrange(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, start, stop) = (args.take(), args.int(), args.int());
    args.check()?;
    let may_move = ctx.must_move(LONG_WORK);
    let out = &mut *ctx.out;
    let Some(list) = ctx.keys.view::<List>(key)? else {
        out.array(0);
        return Ok(());
    };
    let range = range(start, stop, list.len());
    if may_move && range.len() >= LONG_WORK {
        return ctx.move_after_read();
    }
    out.array(range.len());
    list.iter_from(range.start, End::Front)
        .for_each(range.len(), |item| reply(out, item));
    Ok(())
}

fn lpos(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, wanted) = (args.take(), args.take());
    let (mut rank, mut count, mut most) = (1, None, 0);
    while args.left() > 0 && !args.failed() {
        if args.keyword_with_value("RANK") {
            rank = signed_count(&mut args);
            if rank == 0 {
                args.fail(Error::new(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use \
                     negative to start from the end of the list",
                ));
            }
        } else if args.keyword_with_value("COUNT") {
            count =
                Some(args.int_in(0..=i64::MAX, Error::new("ERR COUNT can't be negative")) as u64);
        } else if args.keyword_with_value("MAXLEN") {
            most = args.int_in(0..=i64::MAX, Error::new("ERR MAXLEN can't be negative")) as usize;
        } else {
            args.fail(Error::SYNTAX);
        }
    }
    args.check()?;
    let most = if most == 0 { usize::MAX } else { most };
    if ctx.must_move(most) && must_move_search(ctx, key) {
        return ctx.move_elsewhere();
    }
    let end = if rank < 0 { End::Back } else { End::Front };
    let out = &mut *ctx.out;
    let list = ctx.keys.view::<List>(key)?;
    // The matches that are passed over, and those that are wanted; a COUNT of 0 wants all.
    let mut skip = rank.unsigned_abs() - 1;
    let wanted_matches = match count {
        None => 1,
        Some(0) => u64::MAX,
        Some(n) => n,
    };
    let mark = count.map(|_| out.begin_array());
    let mut found = 0;
    if let Some(list) = list {
        list.find(wanted, end, most, |distance| {
            if skip > 0 {
                skip -= 1;
                return ControlFlow::Continue(());
            }
            let at = if end == End::Front {
                distance
            } else {
                list.len() - 1 - distance
            };
            out.int(at as i64);
            found += 1;
            if found == wanted_matches {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
    }
    match mark {
        Some(mark) => out.end_array(mark, found as usize),
        None if found == 0 => out.null(),
        None => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
