//! Sorted sets: popping that waits for something to pop.
//!
//! A call that waits is done again when one of its keys has become a sorted set or has got more members. It then looks at
//! all its keys whose locks are held, in its own order: of two that a transaction fills it takes the first that it named.

use crate::base::args::Args;
use crate::base::error::Result;
use crate::cmd::sorted_set::{MultiPop, is_long, pop, reply_member};
use crate::context::command::{
    BLOCKING, Command, FAST, Group, KS_ACCESS, KS_DELETE, KS_RW, KeySpec, MOVABLEKEYS, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::keys::Keys;
use crate::follow::waiting::{Wait, timeout_seconds};
use resp::Out;
use store::types::sorted_set::SortedSet;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("bzmpop", -5, WRITE | BLOCKING | MOVABLEKEYS, Group::SortedSet, "7.0.0", bzmpop)
        .keys(&[KeySpec::numkeys(2, KS_RW | KS_ACCESS | KS_DELETE)])
        .args("timeout:double numkeys:int key... where(MIN | MAX) [COUNT count:int]")
        .docs("Pops members from the first of several sorted sets that has any; waits if none \
               has.",
              "O(K+M*log(N)), K being the number of keys, N the size of the sorted set and M the \
               number of members popped"),
    row("bzpopmax", -3, WRITE | BLOCKING | FAST, Group::SortedSet, "5.0.0", bzpopmax)
        .keys(&[KeySpec::range(1, -2, 1, KS_RW | KS_ACCESS | KS_DELETE)])
        .args("key... timeout:double")
        .docs("Pops the member with the highest score from the first sorted set that has any; \
               waits if none has.",
              "O(log(N)), N being the size of the sorted set")
        .history(&[("6.0.0", "The timeout may be a fraction of a second.")]),
    row("bzpopmin", -3, WRITE | BLOCKING | FAST, Group::SortedSet, "5.0.0", bzpopmin)
        .keys(&[KeySpec::range(1, -2, 1, KS_RW | KS_ACCESS | KS_DELETE)])
        .args("key... timeout:double")
        .docs("Pops the member with the lowest score from the first sorted set that has any; \
               waits if none has.",
              "O(log(N)), N being the size of the sorted set")
        .history(&[("6.0.0", "The timeout may be a fraction of a second.")]),
];

/// Whether a key that has changed may end a wait: something else than a sorted set does not.
fn is_of_use(keys: &Keys<'_>, key: &[u8]) -> bool {
    keys.peek_view::<SortedSet>(key).is_ok()
}

fn bzpop(ctx: &mut Ctx<'_>, args: Args<'_>, highest: bool) -> Result {
    let Some((timeout, keys)) = args.rest().split_last() else {
        return Ok(());
    };
    let timeout = timeout_seconds(timeout, ctx.keys.now_ms)?;
    if pop_first(&mut ctx.keys, ctx.out, keys, highest)? {
        return Ok(());
    }
    let own: Vec<Box<[u8]>> = keys.iter().map(|key| Box::from(*key)).collect();
    let attempt = move |ks: &mut Keys<'_>, key: &[u8], out: &mut Out| {
        Ok(is_of_use(ks, key) && pop_first(ks, out, &own, highest)?)
    };
    ctx.block(Wait::new(keys, timeout, Box::new(attempt)));
    Ok(())
}

/// Pops a member of the first key that has any and writes it with its key; false if none has.
fn pop_first<K: AsRef<[u8]>>(
    keys: &mut Keys<'_>,
    out: &mut Out,
    names: &[K],
    highest: bool,
) -> Result<bool> {
    for key in names.iter().map(AsRef::as_ref) {
        let found = keys.holds(key)
            && pop(keys, key, 1, highest, |_, members| {
                for (member, score) in members {
                    out.array(3);
                    out.bulk(key);
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

fn bzpopmin(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    bzpop(ctx, args, false)
}

fn bzpopmax(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    bzpop(ctx, args, true)
}

fn bzmpop(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let timeout = args.take();
    let request = MultiPop::take(args)?;
    let timeout = timeout_seconds(timeout, ctx.keys.now_ms)?;
    let MultiPop {
        keys,
        highest,
        count,
    } = request;
    if ctx.must_move(count) && keys.iter().any(|key| is_long(&ctx.keys, key)) {
        return ctx.move_elsewhere();
    }
    if request.run(&mut ctx.keys, ctx.out)? {
        return Ok(());
    }
    let own: Vec<Box<[u8]>> = keys.iter().map(|key| Box::from(*key)).collect();
    let attempt = move |ks: &mut Keys<'_>, key: &[u8], out: &mut Out| {
        if !is_of_use(ks, key) {
            return Ok(false);
        }
        let keys: Vec<&[u8]> = own
            .iter()
            .map(AsRef::as_ref)
            .filter(|key| ks.holds(key))
            .collect();
        let keys = &keys;
        MultiPop {
            keys,
            highest,
            count,
        }
        .run(ks, out)
    };
    ctx.block(Wait::new(keys, timeout, Box::new(attempt)));
    Ok(())
}

#[cfg(test)]
mod tests;
