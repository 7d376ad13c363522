//! Lists that are waited for: BLPOP, BRPOP, BLMPOP, BLMOVE, BRPOPLPUSH.
//!
//! Each tries like the command without the B. If there is nothing yet, it leaves with a [`Wait`] what is still to be done;
//! see [`crate::follow::waiting`].
//!
//! A client that waits for several keys and is served gets what it would get if it called again: from the first of its keys
//! that has a list. Only keys whose locks are held are looked at. Another cannot have come to hold a list, as the client
//! would have been served then; but it may have come to hold something else, which real servers answer with an error,
//! while here what the client waits for is handed over.

use super::list::{By, MultiPop, end, limits, list_len, move_element, pop_event, reply};
use crate::base::args::Args;
use crate::base::error::Result;
use crate::cmd::list::pop_verb;
use crate::context::command::{
    BLOCKING, Command, DENYOOM, Group, KS_ACCESS, KS_DELETE, KS_INSERT, KS_RW, KeySpec,
    MOVABLEKEYS, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::keys::Keys;
use crate::follow::waiting::{Wait, timeout_seconds};
use resp::Out;
use store::types::list::{End, Limits, List};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("blmove", 6, WRITE | DENYOOM | BLOCKING, Group::List, "6.2.0", blmove)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE), KeySpec::at(2, KS_RW | KS_INSERT)])
        .args("source:key destination:key#1 wherefrom(LEFT | RIGHT) whereto(LEFT | RIGHT) \
               timeout:double")
        .docs("Moves an element from one list to another; waits for one if there is none.", "O(1)"),
    row("blmpop", -5, WRITE | BLOCKING | MOVABLEKEYS, Group::List, "7.0.0", blmpop)
        .keys(&[KeySpec::numkeys(2, KS_RW | KS_ACCESS | KS_DELETE)])
        .args("timeout:double numkeys:int key... where(LEFT | RIGHT) [COUNT count:int]")
        .docs("Pops elements from the first of several lists that has any; waits if none has.",
              "O(N+M), N being the number of keys and M the number of elements popped"),
    row("blpop", -3, WRITE | BLOCKING, Group::List, "2.0.0", blpop)
        .keys(&[KeySpec::range(1, -2, 1, KS_RW | KS_ACCESS | KS_DELETE)])
        .args("key... timeout:double")
        .docs("Pops the first element of the first list that has any; waits if none has.",
              "O(N), N being the number of keys")
        .history(&[("6.0.0", "The timeout may be a fraction of a second.")]),
    row("brpop", -3, WRITE | BLOCKING, Group::List, "2.0.0", brpop)
        .keys(&[KeySpec::range(1, -2, 1, KS_RW | KS_ACCESS | KS_DELETE)])
        .args("key... timeout:double")
        .docs("Pops the last element of the first list that has any; waits if none has.",
              "O(N), N being the number of keys")
        .history(&[("6.0.0", "The timeout may be a fraction of a second.")]),
    row("brpoplpush", 4, WRITE | DENYOOM | BLOCKING, Group::List, "2.2.0", brpoplpush)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE), KeySpec::at(2, KS_RW | KS_INSERT)])
        .args("source:key destination:key#1 timeout:double")
        .docs("Moves the last element of a list to the front of another; waits for one if there \
               is none.",
              "O(1)")
        .history(&[("6.0.0", "The timeout may be a fraction of a second.")]),
];

/// Whether a key that has changed may end a wait: something else than a list does not.
fn is_of_use(keys: &Keys<'_>, key: &[u8]) -> bool {
    matches!(keys.peek_view::<List>(key), Ok(Some(_)))
}

fn owned(keys: &[&[u8]]) -> Vec<Box<[u8]>> {
    keys.iter().map(|key| Box::from(*key)).collect()
}

fn pop_or_wait(ctx: &mut Ctx<'_>, args: Args<'_>, end: End) -> Result {
    let Some((timeout, keys)) = args.rest().split_last() else {
        return Ok(());
    };
    let timeout = timeout_seconds(timeout, ctx.keys.now_ms)?;
    let limits = limits(ctx.engine);
    if pop_first(&mut ctx.keys, ctx.out, keys, end, limits)? {
        return Ok(());
    }
    let own = owned(keys);
    let attempt = move |ks: &mut Keys<'_>, key: &[u8], out: &mut Out| {
        Ok(is_of_use(ks, key) && pop_first(ks, out, &own, end, limits)?)
    };
    ctx.block(Wait::new(keys, timeout, Box::new(attempt)));
    Ok(())
}

/// Pops an element of the first list that is held and writes it with its key; false if there is none.
fn pop_first<K: AsRef<[u8]>>(
    keys: &mut Keys<'_>,
    out: &mut Out,
    names: &[K],
    end: End,
    limits: Limits,
) -> Result<bool> {
    for key in names.iter().map(AsRef::as_ref) {
        if keys.holds(key) && list_len(keys, key)?.is_some() {
            out.array(2);
            out.bulk(key);
            keys.edit(key, |list: &mut List| {
                list.pop(end, limits, |item| reply(out, item))
            })?;
            keys.changed(key, pop_event(end));
            keys.record(&[pop_verb(end), key]);
            return Ok(true);
        }
    }
    Ok(false)
}

fn blpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    pop_or_wait(ctx, args, End::Front)
}

fn brpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    pop_or_wait(ctx, args, End::Back)
}

fn blmpop(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let timeout = args.take();
    let request = MultiPop::take(args)?;
    let timeout = timeout_seconds(timeout, ctx.keys.now_ms)?;
    if request.must_move(ctx) {
        return ctx.move_elsewhere();
    }
    let limits = limits(ctx.engine);
    if request.run(&mut ctx.keys, limits, ctx.out)? {
        return Ok(());
    }
    let MultiPop { keys, end, count } = request;
    let own = owned(keys);
    let attempt = move |ks: &mut Keys<'_>, key: &[u8], out: &mut Out| {
        if !is_of_use(ks, key) {
            return Ok(false);
        }
        let keys: Vec<&[u8]> = own.iter().map(AsRef::as_ref).collect();
        let keys = &keys;
        MultiPop { keys, end, count }.run(ks, limits, out)
    };
    ctx.block(Wait::new(keys, timeout, Box::new(attempt)));
    Ok(())
}

fn move_or_wait(
    ctx: &mut Ctx<'_>,
    (source, from): (&[u8], End),
    (target, to): (&[u8], End),
    timeout: &[u8],
    by: By,
) -> Result {
    let timeout = timeout_seconds(timeout, ctx.keys.now_ms)?;
    let how = (limits(ctx.engine), by);
    if move_element(&mut ctx.keys, (source, from), (target, to), how, ctx.out)? {
        return Ok(());
    }
    if ctx.nested {
        // Other than at the end of a wait, which is a null array in RESP2.
        ctx.out.null();
        return Ok(());
    }
    let own_target: Box<[u8]> = target.into();
    let attempt = move |ks: &mut Keys<'_>, key: &[u8], out: &mut Out| {
        Ok(is_of_use(ks, key) && move_element(ks, (key, from), (&own_target, to), how, out)?)
    };
    ctx.block(Wait {
        further: Some(target),
        ..Wait::new(&[source], timeout, Box::new(attempt))
    });
    Ok(())
}

fn blmove(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (source, target) = (args.take(), args.take());
    let (from, to) = (end(&mut args), end(&mut args));
    args.check()?;
    move_or_wait(ctx, (source, from), (target, to), args.take(), By::Move)
}

fn brpoplpush(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (source, target) = (args.take(), args.take());
    let (source, target) = ((source, End::Back), (target, End::Front));
    move_or_wait(ctx, source, target, args.take(), By::PopPush)
}

#[cfg(test)]
mod tests;
