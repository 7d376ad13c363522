//! XINFO: what there is to know about a stream, its groups and their consumers.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::cmd::command::help;
use crate::cmd::stream_groups::no_such_group;
use crate::cmd::stream_ids as ids;
use crate::cmd::stream_once::figures;
use crate::context::command::{
    Command, Group as Docs, KS_ACCESS, KS_RO, KeySpec, LOADING, READONLY, STALE, row,
};
use crate::context::ctx::Ctx;
use resp::Out;
use store::types::stream::{Group, Stream, StreamId, StreamRef};

/// The subcommands of XINFO.
#[rustfmt::skip]
pub const XINFO_COMMANDS: &[Command] = &[
    row("xinfo|consumers", 4, READONLY, Docs::Stream, "5.0.0", xinfo_consumers)
        .keys(&[KeySpec::at(2, KS_RO | KS_ACCESS)]).args("key group")
        .tips(&["nondeterministic_output"])
        .docs("Describes the consumers of a group.", "O(1)")
        .history(&[("7.2.0", "New field inactive; idle has another meaning.")]),
    row("xinfo|groups", 3, READONLY, Docs::Stream, "5.0.0", xinfo_groups)
        .keys(&[KeySpec::at(2, KS_RO | KS_ACCESS)]).args("key")
        .docs("Describes the consumer groups of a stream.", "O(1)")
        .history(&[("7.0.0", "New fields entries-read and lag.")]),
    row("xinfo|help", 2, LOADING | STALE, Docs::Stream, "5.0.0", help)
        .docs("Lists the subcommands of XINFO.", "O(1)"),
    row("xinfo|stream", -3, READONLY, Docs::Stream, "5.0.0", xinfo_stream)
        .keys(&[KeySpec::at(2, KS_RO | KS_ACCESS)])
        .args("key [full-block{FULL [COUNT count:int]}]")
        .docs("Describes a stream.", "O(1)")
        .history(&[
            ("6.0.0", "New option FULL."),
            ("7.0.0", "New fields max-deleted-entry-id, entries-added, recorded-first-entry-id, \
                      entries-read and lag."),
            ("7.2.0", "New field active-time; seen-time has another meaning."),
        ]),
];

fn int_or_null(out: &mut Out, n: Option<i64>) {
    match n {
        Some(n) => out.int(n),
        None => out.null(),
    }
}

/// Entries and pending messages that FULL shows of each list, unless COUNT says otherwise.
const FULL_COUNT: i64 = 10;

fn xinfo_stream(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let now_ms = ctx.keys.now_ms;
    let stream = ctx
        .keys
        .view::<Stream>(args.take())?
        .ok_or(Error::NO_SUCH_KEY)?;
    let mut full = None;
    if args.left() > 0 {
        if !matches!(args.left(), 1 | 3) || !args.keyword("FULL") {
            return Err(Error::subcommand_syntax(args.argv()));
        }
        let mut count = FULL_COUNT;
        if args.left() > 0 {
            if !args.keyword("COUNT") {
                return Err(Error::subcommand_syntax(args.argv()));
            }
            count = args.int();
            args.check()?;
            if count < 0 {
                count = FULL_COUNT;
            }
        }
        // 0 is all.
        full = Some(if count == 0 {
            usize::MAX
        } else {
            count as usize
        });
    }
    // Clients there are that refuse a field they do not know: those of Redis 8.6 are there where somebody uses what they tell of.
    let figures = stream.idempotency().map(|known| figures(known, now_ms));
    let figures = figures.as_ref().map_or(&[][..], |figures| figures);
    let out = &mut *ctx.out;
    out.map(figures.len() + if full.is_some() { 9 } else { 10 });
    for (name, n) in [
        ("length", stream.len()),
        ("radix-tree-keys", stream.nodes()),
        // There is no radix tree here: as many as the smallest one for these keys would have.
        ("radix-tree-nodes", stream.nodes() + 1),
    ] {
        out.bulk(name.as_bytes());
        out.int(n as i64);
    }
    out.bulk(b"last-generated-id");
    ids::reply(out, stream.last_id());
    out.bulk(b"max-deleted-entry-id");
    ids::reply(out, stream.max_deleted_id());
    out.bulk(b"entries-added");
    out.int(stream.entries_added() as i64);
    out.bulk(b"recorded-first-entry-id");
    ids::reply(out, stream.first_id());
    for (name, n) in figures {
        out.bulk(name.as_bytes());
        out.int(*n as i64);
    }
    if let Some(count) = full {
        out.bulk(b"entries");
        ids::reply_entries(out, stream.range(StreamId::MIN, StreamId::MAX), count);
        out.bulk(b"groups");
        out.array(stream.groups().len());
        for (name, group) in stream.groups() {
            full_group(out, stream, name, group, count);
        }
    } else {
        out.bulk(b"groups");
        out.int(stream.groups().len() as i64);
        for (name, entry) in [
            ("first-entry", stream.first()),
            ("last-entry", stream.last()),
        ] {
            out.bulk(name.as_bytes());
            match entry {
                Some(entry) => ids::reply_entry(out, &entry),
                None => out.null(),
            }
        }
    }
    Ok(())
}

fn full_group(out: &mut Out, stream: StreamRef<'_>, name: &[u8], group: &Group, count: usize) {
    out.map(7);
    out.bulk(b"name");
    out.bulk(name);
    out.bulk(b"last-delivered-id");
    ids::reply(out, group.last_id);
    out.bulk(b"entries-read");
    int_or_null(out, group.entries_read);
    out.bulk(b"lag");
    int_or_null(out, stream.lag(group));
    out.bulk(b"pel-count");
    out.int(group.pending_len() as i64);
    out.bulk(b"pending");
    out.array(group.pending_len().min(count));
    for (id, pending) in group.pending_from(StreamId::MIN).take(count) {
        out.array(4);
        ids::reply(out, *id);
        let consumer = group.consumer(pending.consumer);
        out.bulk(consumer.map_or(b"", |c| &c.name));
        out.int(pending.delivered_ms);
        out.int(pending.deliveries as i64);
    }
    out.bulk(b"consumers");
    out.array(group.consumers_len());
    for consumer in group.consumers() {
        out.map(5);
        out.bulk(b"name");
        out.bulk(&consumer.name);
        out.bulk(b"seen-time");
        out.int(consumer.seen_ms);
        out.bulk(b"active-time");
        out.int(consumer.active_ms.unwrap_or(-1));
        out.bulk(b"pel-count");
        out.int(consumer.pending_len() as i64);
        out.bulk(b"pending");
        out.array(consumer.pending_len().min(count));
        for id in consumer.pending_from(StreamId::MIN).take(count) {
            let pending = group.pending(id);
            out.array(3);
            ids::reply(out, id);
            out.int(pending.map_or(0, |p| p.delivered_ms));
            out.int(pending.map_or(0, |p| p.deliveries as i64));
        }
    }
}

fn xinfo_groups(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let stream = ctx
        .keys
        .view::<Stream>(args.take())?
        .ok_or(Error::NO_SUCH_KEY)?;
    let out = &mut *ctx.out;
    out.array(stream.groups().len());
    for (name, group) in stream.groups() {
        out.map(6);
        out.bulk(b"name");
        out.bulk(name);
        out.bulk(b"consumers");
        out.int(group.consumers_len() as i64);
        out.bulk(b"pending");
        out.int(group.pending_len() as i64);
        out.bulk(b"last-delivered-id");
        ids::reply(out, group.last_id);
        out.bulk(b"entries-read");
        int_or_null(out, group.entries_read);
        out.bulk(b"lag");
        int_or_null(out, stream.lag(group));
    }
    Ok(())
}

fn xinfo_consumers(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let (key, name) = (args.take(), args.take());
    let now_ms = ctx.keys.now_ms as i64;
    let stream = ctx.keys.view::<Stream>(key)?.ok_or(Error::NO_SUCH_KEY)?;
    let group = stream.group(name).ok_or_else(|| no_such_group(key, name))?;
    let out = &mut *ctx.out;
    out.array(group.consumers_len());
    for consumer in group.consumers() {
        out.map(4);
        out.bulk(b"name");
        out.bulk(&consumer.name);
        out.bulk(b"pending");
        out.int(consumer.pending_len() as i64);
        out.bulk(b"idle");
        out.int(now_ms.saturating_sub(consumer.seen_ms).max(0));
        out.bulk(b"inactive");
        out.int(
            consumer
                .active_ms
                .map_or(-1, |at| now_ms.saturating_sub(at).max(0)),
        );
    }
    Ok(())
}
