//! Messages that are added once however often they are sent: XADD's IDMP and IDMPAUTO, XCFGSET and XIDMPRECORD.
//!
//! The reference is Redis 8.6.2. What IDMPAUTO computes of a message's fields to name it is each server's own.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::cmd::stream_ids as ids;
use crate::config::Live;
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use resp::number::parse_i64;
use std::sync::atomic::Ordering::Relaxed;
use store::Collection;
use store::types::stream::{Idempotency, Stream, StreamId};
use twox_hash::XxHash3_128;

/// How a message is named, and by whom.
#[derive(Clone, Copy)]
pub(super) struct Once<'a> {
    pub producer: &'a [u8],
    /// IDMP; `None` with IDMPAUTO.
    name: Option<&'a [u8]>,
}

impl<'a> Once<'a> {
    /// Takes IDMP or IDMPAUTO with what belongs to it, if the next argument is one of them. `again`: one was there before.
    pub(super) fn take(args: &mut Args<'a>, again: bool) -> Result<Option<Once<'a>>> {
        let word = args.peek().unwrap_or_default();
        let named = word.eq_ignore_ascii_case(b"IDMP");
        if !named && !word.eq_ignore_ascii_case(b"IDMPAUTO") {
            return Ok(None);
        }
        if again {
            return Err(Error::new(
                "ERR syntax error, IDMP/IDMPAUTO specified multiple times",
            ));
        }
        // Without its arguments the word is taken for an ID.
        if args.left() <= if named { 2 } else { 1 } {
            return Ok(None);
        }
        args.take();
        let producer = args.take();
        if producer.is_empty() {
            return Err(Error::new(if named {
                "ERR syntax error, IDMP requires a non-empty producer ID"
            } else {
                "ERR syntax error, IDMPAUTO requires a non-empty producer ID"
            }));
        }
        let name = named.then(|| args.take());
        if name.is_some_and(<[u8]>::is_empty) {
            return Err(Error::new(
                "ERR syntax error, IDMP requires a non-empty idempotent ID",
            ));
        }
        Ok(Some(Once { producer, name }))
    }

    /// The name of a message with these fields and values: what was given, or a digest of them whose order does not matter.
    pub(super) fn name_of(&self, pairs: &[&[u8]]) -> Box<[u8]> {
        if let Some(name) = self.name {
            return name.into();
        }
        let mut sum = pairs.len() as u128;
        for pair in pairs.chunks_exact(2) {
            let mut digest = XxHash3_128::new();
            digest.write(&(pair[0].len() as u64).to_le_bytes());
            digest.write(pair[0]);
            digest.write(pair[1]);
            sum = sum.wrapping_add(digest.finish_128());
        }
        Box::from(sum.to_be_bytes())
    }
}

/// The entry that a message was added as, which is counted as sent again.
pub(super) fn known(
    stream: &mut Stream,
    producer: &[u8],
    name: &[u8],
    now_ms: u64,
) -> Option<StreamId> {
    let id = stream.view().idempotency()?.find(producer, name, now_ms)?;
    let known = stream.idempotency_mut();
    known.duplicates = known.duplicates.saturating_add(1);
    Some(id)
}

/// A stream as it begins: names are remembered as the settings of now say.
pub(super) fn new_stream(live: &Live) -> Stream {
    let mut stream = Stream::new();
    let duration_s = live.stream_idmp_duration.load(Relaxed) as u64;
    let max = live.stream_idmp_maxsize.load(Relaxed) as u64;
    if (duration_s, max) != (Idempotency::DURATION_S, Idempotency::MAX) {
        stream.idempotency_mut().configure(duration_s, max);
    }
    stream
}

/// What XINFO STREAM says of it: how long names are remembered and how many, producers and names there are, messages added
/// and found to be there.
pub(super) fn figures(known: &Idempotency, now_ms: u64) -> [(&'static str, u64); 6] {
    let (mut producers, mut names) = (0, 0);
    for (_, of_one) in known.producers(now_ms) {
        producers += 1;
        names += of_one.len() as u64;
    }
    [
        ("idmp-duration", known.duration_s()),
        ("idmp-maxsize", known.max()),
        ("pids-tracked", producers),
        ("iids-tracked", names),
        ("iids-added", known.added),
        ("iids-duplicates", known.duplicates),
    ]
}

pub(super) fn xcfgset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    // It is looked for to be changed.
    let _ = ctx.keys.write(key);
    let stream = ctx.keys.peek_view::<Stream>(key)?;
    let stream = stream.ok_or(Error::NO_SUCH_KEY)?;
    let old = stream
        .idempotency()
        .map_or((Idempotency::DURATION_S, Idempotency::MAX), |known| {
            (known.duration_s(), known.max())
        });
    let mut chosen = [None, None];
    const PARTS: [(&str, i64, &str, &str); 2] = [
        (
            "IDMP-DURATION",
            86_400,
            "ERR IDMP-DURATION must be between 1 and 86400 seconds",
            "ERR IDMP-DURATION specified multiple times",
        ),
        (
            "IDMP-MAXSIZE",
            10_000,
            "ERR IDMP-MAXSIZE must be between 1 and 10000 entries",
            "ERR IDMP-MAXSIZE specified multiple times",
        ),
    ];
    if args.left() == 0 {
        return Err(Error::new("ERR At least one parameter must be specified"));
    }
    while args.left() > 0 {
        let part = PARTS
            .iter()
            .zip(&mut chosen)
            .find(|((word, ..), _)| args.keyword_with_value(word));
        let Some(((_, most, range, again), slot)) = part else {
            return Err(Error::SYNTAX);
        };
        if slot.is_some() {
            return Err(Error::new(*again));
        }
        let n = parse_i64(args.take()).ok_or(Error::NOT_AN_INTEGER)?;
        if !(1..=*most).contains(&n) {
            return Err(Error::new(*range));
        }
        *slot = Some(n as u64);
    }
    let [duration_s, max] = chosen;
    let new = (duration_s.unwrap_or(old.0), max.unwrap_or(old.1));
    if new != old {
        ctx.keys.edit(key, |s: &mut Stream| {
            s.idempotency_mut().configure(new.0, new.1);
        })?;
        ctx.keys.changed(key, Event::SILENT);
    }
    ctx.out.ok();
    Ok(())
}

pub(super) fn xidmprecord(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, producer, name) = (args.take(), args.take(), args.take());
    let id = ids::strict(args.take())?;
    for (text, what) in [
        (producer, "ERR producer ID must be non-empty"),
        (name, "ERR idempotent ID must be non-empty"),
    ] {
        if text.is_empty() {
            return Err(Error::new(what));
        }
    }
    let _ = ctx.keys.write(key);
    let stream = ctx.keys.peek_view::<Stream>(key)?;
    let stream = stream.ok_or(Error::NO_SUCH_KEY)?;
    // In a log it stands behind what has added the entry, and perhaps trimmed it.
    if !ctx.session.replays && !stream.contains(id) {
        return Err(Error::new("ERR No such message in stream"));
    }
    let now_ms = ctx.keys.now_ms;
    let known = stream.idempotency();
    match known.and_then(|known| known.find(producer, name, now_ms)) {
        Some(known) if known != id => {
            return Err(Error::new(
                "ERR IID already exists for this producer with a different stream ID",
            ));
        }
        Some(_) => {
            ctx.out.ok();
            return Ok(());
        }
        None => {}
    }
    ctx.keys.edit(key, |s: &mut Stream| {
        s.idempotency_mut().remember(producer, name, id, now_ms);
    })?;
    ctx.keys.changed(key, Event::SILENT);
    ctx.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests;
