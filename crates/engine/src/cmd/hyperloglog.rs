//! HyperLogLogs: estimates of how many different elements were seen.
//!
//! They are strings in the format of [`store::types::hll`]. A sparse one is copied, changed and put back, which at its few bytes
//! costs about nothing; a dense one is changed in place.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::context::command::{
    ADMIN, Command, DENYOOM, FAST, Group, KS_ACCESS, KS_INSERT, KS_RO, KS_RW, KeySpec, LIKE_WRITE,
    READONLY, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use crate::door::keys::Keys;
use crate::ops::strings::text;
use crate::table::docs::SYSCMD;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;
use store::types::hll::{self, Corrupt, Draft, Form, Run, Union};
use store::{Blob, EntryMut, EntryRef, MAX_INLINE, NewValue, Removed};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("pfadd", -2, WRITE | DENYOOM | FAST, Group::Hyperloglog, "2.8.9", pfadd)
        .keys(&[KeySpec::at(1, KS_RW | KS_INSERT)]).args("key [element...]")
        .docs("Adds elements to a HyperLogLog, creating it if need be.", "O(1) for each element"),
    row("pfcount", -2, READONLY | LIKE_WRITE, Group::Hyperloglog, "2.8.9", pfcount)
        .keys(&[KeySpec::range(1, -1, 1, KS_RW | KS_ACCESS)
                    .note("RW because the cached count inside the value may be renewed")])
        .args("key...")
        .docs("Estimates how many distinct elements HyperLogLogs have seen.",
              "O(1) for one key; O(N) for N keys, with a larger constant"),
    row("pfdebug", 3, WRITE | DENYOOM | ADMIN | SYSCMD, Group::Hyperloglog, "2.8.9", pfdebug)
        .keys(&[KeySpec::at(2, KS_RW | KS_ACCESS)]).args("subcommand key")
        .docs("Looks inside a HyperLogLog, for tests.", "N/A"),
    row("pfmerge", -2, WRITE | DENYOOM, Group::Hyperloglog, "2.8.9", pfmerge)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_INSERT),
                KeySpec::range(2, -1, 1, KS_RO | KS_ACCESS)])
        .args("destkey:key [sourcekey:key#1...]")
        .docs("Merges HyperLogLogs into one.",
              "O(N), N being the number of keys, with a large constant"),
    row("pfselftest", 1, ADMIN | SYSCMD, Group::Hyperloglog, "2.8.9", pfselftest)
        .docs("Tests the HyperLogLog implementation.", "N/A"),
];

const NOT_A_HLL: Error = Error::fixed("WRONGTYPE Key is not a valid HyperLogLog string value.");
const CORRUPT: Error = Error::fixed("INVALIDOBJ Corrupted HLL object detected");

impl From<Corrupt> for Error {
    fn from(_: Corrupt) -> Error {
        CORRUPT
    }
}

/// Length up to which HyperLogLogs stay sparse.
fn sparse_max(ctx: &Ctx<'_>) -> usize {
    ctx.engine.config().live.hll_sparse_max_bytes.load(Relaxed)
}

/// The form of a string that has to be a HyperLogLog.
fn form_of(e: EntryRef<'_>) -> Result<Form> {
    hll::form(text(e.value(), &mut [0; 20])).ok_or(NOT_A_HLL)
}

/// Calls `f` with a draft as a value to store.
fn with_value<R>(draft: Draft, f: impl FnOnce(NewValue<'_>) -> R) -> R {
    if draft.bytes().len() <= MAX_INLINE {
        f(NewValue::Inline(draft.bytes()))
    } else {
        f(NewValue::Blob(Blob::new(draft.into_vec())))
    }
}

/// Puts a changed HyperLogLog back.
fn put_back(found: &mut EntryMut<'_>, draft: Draft) -> Removed {
    with_value(draft, |value| found.set_value(value, true))
}

/// Stores a HyperLogLog under a key that is not there.
fn insert(keys: &mut Keys<'_>, key: &[u8], draft: Draft) {
    with_value(draft, |value| {
        keys.insert_in(keys.db, key, value, None, true)
    });
}

/// What adding elements came to.
struct Added {
    /// How many of them changed the HyperLogLog, or what went wrong on the way.
    outcome: Result<usize>,
    /// Some were added before that went wrong.
    in_part: bool,
    removed: Removed,
}

impl Added {
    fn in_place(outcome: Result<usize>) -> Added {
        Added {
            outcome,
            in_part: false,
            removed: Removed { freed: None },
        }
    }
}

/// Adds elements to the HyperLogLog at a key that is there.
fn add_to(found: &mut EntryMut<'_>, elements: &[&[u8]], max: usize) -> Added {
    let form = match form_of(found.get()) {
        Ok(form) => form,
        Err(e) => return Added::in_place(Err(e)),
    };
    if form == Form::Dense {
        let changed = found.edit_bytes(|bytes| {
            let changed = elements.iter().filter(|e| hll::dense_add(bytes, e)).count();
            if changed > 0 {
                hll::invalidate(bytes);
            }
            changed
        });
        return Added::in_place(Ok(changed.unwrap_or(0)));
    }
    let mut draft = Draft::of(text(found.get().value(), &mut [0; 20]));
    let mut changed = 0;
    let outcome = elements.iter().try_for_each(|element| {
        changed += usize::from(draft.add(element, max)?);
        Ok(())
    });
    if changed == 0 {
        // Marks the string as raw, as it is after each attempt at changing it.
        found.edit_bytes(|_| ());
        return Added::in_place(outcome.map(|()| 0));
    }
    if outcome.is_ok() {
        hll::invalidate(draft.bytes_mut());
    }
    Added {
        in_part: outcome.is_err(),
        outcome: outcome.map(|()| changed),
        removed: put_back(found, draft),
    }
}

const PFADD: Event = Event::string("pfadd");

fn pfadd(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let max = sparse_max(ctx);
    let changed = match ctx.keys.write_string(key)? {
        Some(mut found) => {
            let added = add_to(&mut found, args.rest(), max);
            ctx.keys.discard(added.removed);
            if added.in_part {
                // That stays, as in real servers, which do not write it down. A command that was answered with an error is
                // no way to tell others of it, so they get the string.
                ctx.keys.record_state(key);
                ctx.keys.changed_too(key, Event::SILENT);
            }
            added.outcome?
        }
        None => {
            let mut draft = Draft::new();
            // That it came to be counts too.
            let mut changed = 1;
            for element in args.rest() {
                changed += usize::from(draft.add(element, max)?);
            }
            hll::invalidate(draft.bytes_mut());
            insert(&mut ctx.keys, key, draft);
            changed
        }
    };
    if changed > 0 {
        ctx.keys.changed_times(key, PFADD, changed);
    }
    ctx.out.int((changed > 0).into());
    Ok(())
}

/// The union of HyperLogLogs, and whether one of them is dense. Keys that are not there count as empty.
fn union_of(keys: &mut Keys<'_>, names: &[&[u8]]) -> Result<(Union, bool)> {
    let mut union = Union::default();
    let mut dense = false;
    for name in names {
        if let Some(e) = keys.read_string(name)? {
            dense |= form_of(e)? == Form::Dense;
            union.merge(text(e.value(), &mut [0; 20]))?;
        }
    }
    Ok((union, dense))
}

fn pfcount(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    if args.left() > 1 {
        let (union, _) = union_of(&mut ctx.keys, args.rest())?;
        ctx.out.int(union.estimate() as i64);
        return Ok(());
    }
    let key = args.take();
    let Some(e) = ctx.keys.read_string(key)? else {
        ctx.out.int(0);
        return Ok(());
    };
    form_of(e)?;
    let mut buf = [0; 20];
    let bytes = text(e.value(), &mut buf);
    let (kept, is_raw) = (hll::cached(bytes), e.is_raw());
    let card = kept.map_or_else(|| hll::count(bytes), Ok);
    if (kept.is_none() || !is_raw)
        && let Some(mut found) = ctx.keys.write(key)
    {
        // The string is raw then, as in Redis, even where it turned out to be corrupt.
        found.edit_bytes(|bytes| {
            card.into_iter()
                .for_each(|card| hll::set_cached(bytes, card))
        });
        if kept.is_none() && card.is_ok() {
            ctx.keys.changed(key, Event::SILENT);
        }
    }
    let card = card?;
    ctx.out.int(card as i64);
    Ok(())
}

fn pfmerge(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    // The destination is one of the sources.
    let (union, dense) = union_of(&mut ctx.keys, args.rest())?;
    let key = args.take();
    let max = sparse_max(ctx);
    let mut draft = match ctx.keys.write(key) {
        Some(found) => Draft::of(text(found.get().value(), &mut [0; 20])),
        None => Draft::new(),
    };
    draft.raise_all(&union, dense, max)?;
    hll::invalidate(draft.bytes_mut());
    match ctx.keys.write(key) {
        Some(mut found) => {
            let removed = put_back(&mut found, draft);
            ctx.keys.discard(removed);
        }
        None => insert(&mut ctx.keys, key, draft),
    }
    ctx.keys.changed(key, PFADD);
    ctx.out.ok();
    Ok(())
}

fn pfdebug(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (subcommand, key) = (args.take(), args.take());
    let Some(mut found) = ctx.keys.write_string(key)? else {
        return Err(Error::new("ERR The specified key does not exist"));
    };
    let form = form_of(found.get())?;
    found.edit_bytes(|_| ());
    let is = |name: &str| subcommand.eq_ignore_ascii_case(name.as_bytes());
    if is("ENCODING") {
        ctx.out.simple(if form == Form::Dense {
            "dense"
        } else {
            "sparse"
        });
    } else if is("DECODE") {
        if form != Form::Sparse {
            return Err(Error::new("ERR HLL encoding is not sparse"));
        }
        let mut decoded = String::new();
        for run in hll::runs(text(found.get().value(), &mut [0; 20])) {
            let space = if decoded.is_empty() { "" } else { " " };
            let _ = match run {
                Run::Zero(n) => write!(decoded, "{space}z:{n}"),
                Run::XZero(n) => write!(decoded, "{space}Z:{n}"),
                Run::Val(value, n) => write!(decoded, "{space}v:{value},{n}"),
            };
        }
        ctx.out.bulk(decoded.as_bytes());
    } else if is("TODENSE") || is("GETREG") {
        if form == Form::Sparse {
            let mut draft = Draft::of(text(found.get().value(), &mut [0; 20]));
            draft.make_dense()?;
            let removed = put_back(&mut found, draft);
            ctx.keys.discard(removed);
            ctx.keys.changed(key, Event::SILENT);
        }
        if is("TODENSE") {
            ctx.out.int((form == Form::Sparse).into());
            return Ok(());
        }
        let (union, _) = union_of(&mut ctx.keys, &[key])?;
        ctx.out.array(hll::REGISTERS);
        for register in union.registers() {
            ctx.out.int(i64::from(*register));
        }
    } else {
        return Err(Error::quoting(
            "ERR Unknown PFDEBUG subcommand '{}'",
            &[subcommand],
        ));
    }
    Ok(())
}

fn pfselftest(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.offload(Box::new(|out| match hll::self_test() {
        Ok(()) => out.ok(),
        Err(text) => out.error(&format!("ERR {text}")),
    }));
    Ok(())
}

#[cfg(test)]
mod tests;
