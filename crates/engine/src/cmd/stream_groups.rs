//! Consumer groups of streams: XGROUP, and acknowledging, listing and handing over pending messages.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::cmd::command::help;
use crate::cmd::stream::id_text;
use crate::cmd::stream::{parse_all, refs_and_ids};
use crate::cmd::stream_ids::{self as ids};
use crate::cmd::stream_once::new_stream;
use crate::context::command::{
    Command, DENYOOM, Group as Docs, KS_DELETE, KS_INSERT, KS_RW, KS_UPDATE, KeySpec, LOADING,
    STALE, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use crate::door::keys::Keys;
use resp::number::format_i64;
use resp::number::parse_i64;
use store::Collection;
use store::types::stream::{Group, NOBODY, Pending, Refs, Stream, StreamId, StreamRef};

/// The subcommands of XGROUP.
#[rustfmt::skip]
pub const XGROUP_COMMANDS: &[Command] = &[
    row("xgroup|create", -5, WRITE | DENYOOM, Docs::Stream, "5.0.0", xgroup_create)
        .keys(&[KeySpec::at(2, KS_RW | KS_INSERT)])
        .args("key group id-selector(id | new-id='$') [MKSTREAM] \
               [ENTRIESREAD entriesread<entries-read>:int]")
        .docs("Creates a consumer group.", "O(1)")
        .history(&[("7.0.0", "New option ENTRIESREAD.")]),
    row("xgroup|createconsumer", 5, WRITE | DENYOOM, Docs::Stream, "6.2.0", xgroup_createconsumer)
        .keys(&[KeySpec::at(2, KS_RW | KS_INSERT)]).args("key group consumer")
        .docs("Creates a consumer in a group.", "O(1)"),
    row("xgroup|delconsumer", 5, WRITE, Docs::Stream, "5.0.0", xgroup_delconsumer)
        .keys(&[KeySpec::at(2, KS_RW | KS_DELETE)]).args("key group consumer")
        .docs("Deletes a consumer from a group.", "O(1)"),
    row("xgroup|destroy", 4, WRITE, Docs::Stream, "5.0.0", xgroup_destroy)
        .keys(&[KeySpec::at(2, KS_RW | KS_DELETE)]).args("key group")
        .docs("Deletes a consumer group.",
              "O(N), N being the number of pending messages of the group"),
    row("xgroup|help", 2, LOADING | STALE, Docs::Stream, "5.0.0", help)
        .docs("Lists the subcommands of XGROUP.", "O(1)"),
    row("xgroup|setid", -5, WRITE, Docs::Stream, "5.0.0", xgroup_setid)
        .keys(&[KeySpec::at(2, KS_RW | KS_UPDATE)])
        .args("key group id-selector(id | new-id='$') [ENTRIESREAD entriesread<entries-read>:int]")
        .docs("Sets the last ID that a group has delivered.", "O(1)")
        .history(&[("7.0.0", "New option ENTRIESREAD.")]),
];

/// A group that must be there, asked for by a subcommand of XGROUP or XINFO.
pub(super) fn no_such_group(key: &[u8], group: &[u8]) -> Error {
    Error::quoting(
        "NOGROUP No such consumer group '{}' for key name '{}'",
        &[group, key],
    )
}

/// The same, asked for by any other command.
pub(super) fn no_key_or_group(key: &[u8], group: &[u8]) -> Error {
    Error::quoting(
        "NOGROUP No such key '{}' or consumer group '{}'",
        &[key, group],
    )
}

/// Says that something has happened to the groups of a stream.
pub(super) fn tell(keys: &mut Keys<'_>, key: &[u8], name: &'static str) {
    keys.changed(key, Event::stream(name).aside());
}

/// Says so of what no notification tells: this many deliveries, acknowledgements, claims.
pub(super) fn tell_silently(keys: &mut Keys<'_>, key: &[u8], times: usize) {
    keys.changed_times(key, Event::SILENT.aside().of_pending(), times);
}

// ---- XGROUP

/// What CREATE and SETID may say behind the ID.
#[derive(Default)]
struct GroupOptions {
    make_stream: bool,
    entries_read: Option<i64>,
}

fn group_options(args: &mut Args<'_>, creating: bool) -> Result<GroupOptions> {
    let mut options = GroupOptions::default();
    while args.left() > 0 {
        if creating && args.keyword("MKSTREAM") {
            options.make_stream = true;
        } else if args.keyword_with_value("ENTRIESREAD") {
            let n = args.int();
            args.check()?;
            if n < -1 {
                return Err(Error::new(
                    "ERR value for ENTRIESREAD must be positive or -1",
                ));
            }
            options.entries_read = Some(n).filter(|n| *n >= 0);
        } else {
            return Err(Error::subcommand_syntax(args.argv()));
        }
    }
    Ok(options)
}

const NO_STREAM: Error = Error::fixed(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM \
     option to create an empty stream automatically.",
);

/// The stream that a subcommand of XGROUP needs.
fn existing<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Result<StreamRef<'a>> {
    // It is looked for to be changed.
    let _ = ctx.keys.write(key);
    ctx.keys.peek_view::<Stream>(key)?.ok_or(NO_STREAM)
}

/// The same with a group that must be there as well.
fn existing_group<'a>(ctx: &'a mut Ctx<'_>, key: &[u8], group: &[u8]) -> Result<StreamRef<'a>> {
    let stream = existing(ctx, key)?;
    match stream.group(group) {
        Some(_) => Ok(stream),
        None => Err(no_such_group(key, group)),
    }
}

/// A group cannot have read more than was ever added.
fn plausible(entries_read: Option<i64>, entries_added: u64) -> Option<i64> {
    entries_read.map(|n| n.min(i64::try_from(entries_added).unwrap_or(i64::MAX)))
}

fn xgroup_create(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let (key, name, at) = (args.take(), args.take(), args.take());
    let options = group_options(&mut args, true)?;
    // It is looked for to be changed.
    let _ = ctx.keys.write(key);
    let stream = match ctx.keys.peek_view::<Stream>(key)? {
        None if !options.make_stream => return Err(NO_STREAM),
        stream => stream,
    };
    let (last_id, added) = stream.map_or((StreamId::MIN, 0), |s| (s.last_id(), s.entries_added()));
    let is_new = stream.is_none();
    // An option given twice.
    if args.argv().len() > 8 {
        return Err(Error::subcommand_syntax(args.argv()));
    }
    let at = if at == b"$" {
        last_id
    } else {
        ids::strict(at)?
    };
    let group = Group::new(at, plausible(options.entries_read, added));
    if is_new {
        ctx.keys.put(key, new_stream(&ctx.engine.config().live));
    }
    let created = ctx
        .keys
        .edit(key, |s: &mut Stream| s.create_group(name, group))?;
    if created != Some(true) {
        return Err(Error::new("BUSYGROUP Consumer Group name already exists"));
    }
    let event = Event::stream("xgroup-create");
    ctx.keys
        .changed(key, if is_new { event } else { event.aside() });
    ctx.out.ok();
    Ok(())
}

fn xgroup_setid(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let (key, name, at) = (args.take(), args.take(), args.take());
    let options = group_options(&mut args, false)?;
    let stream = existing_group(ctx, key, name)?;
    if args.argv().len() > 7 {
        return Err(Error::subcommand_syntax(args.argv()));
    }
    let at = if at == b"$" {
        stream.last_id()
    } else {
        ids::or_end(at)?
    };
    let entries_read = plausible(options.entries_read, stream.entries_added());
    ctx.keys.edit(key, |s: &mut Stream| {
        s.edit_group(name, |_, group| {
            group.last_id = at;
            group.entries_read = entries_read;
        })
    })?;
    tell(&mut ctx.keys, key, "xgroup-setid");
    ctx.out.ok();
    Ok(())
}

fn xgroup_destroy(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let (key, name) = (args.take(), args.take());
    existing(ctx, key)?;
    let destroyed = ctx.keys.edit(key, |s: &mut Stream| s.destroy_group(name))?;
    if destroyed == Some(true) {
        // Who waits for messages of the group has to be told that there will be none.
        let event = Event::stream("xgroup-destroy").aside().waking();
        ctx.keys.changed(key, event);
    }
    ctx.out.int(i64::from(destroyed == Some(true)));
    Ok(())
}

fn xgroup_createconsumer(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let (key, name, consumer) = (args.take(), args.take(), args.take());
    existing_group(ctx, key, name)?;
    let now_ms = ctx.keys.now_ms as i64;
    let created = ctx.keys.edit(key, |s: &mut Stream| {
        s.edit_group(name, |_, group| group.consumer_or_new(consumer, now_ms).1)
    })?;
    let created = created.flatten() == Some(true);
    if created {
        tell(&mut ctx.keys, key, "xgroup-createconsumer");
    }
    ctx.out.int(i64::from(created));
    Ok(())
}

fn xgroup_delconsumer(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let (key, name, consumer) = (args.take(), args.take(), args.take());
    existing_group(ctx, key, name)?;
    let pending = ctx.keys.edit(key, |s: &mut Stream| {
        s.edit_group(name, |_, group| group.delete_consumer(consumer))
    })?;
    let pending = pending.flatten().flatten();
    if pending.is_some() {
        tell(&mut ctx.keys, key, "xgroup-delconsumer");
    }
    ctx.out.int(pending.unwrap_or(0) as i64);
    Ok(())
}

// ---- Acknowledging

/// Whether there is such a stream with such a group.
fn has_group(ctx: &mut Ctx<'_>, key: &[u8], group: &[u8]) -> Result<bool> {
    let stream = ctx.keys.view::<Stream>(key)?;
    Ok(stream.is_some_and(|s| s.group(group).is_some()))
}

pub(super) fn xack(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name) = (args.take(), args.take());
    if !has_group(ctx, key, name)? {
        ctx.out.int(0);
        return Ok(());
    }
    let wanted = ids::rest(&args)?;
    let acknowledged = ctx.keys.edit(key, |s: &mut Stream| {
        s.edit_group(name, |_, group| {
            wanted.iter().filter(|id| group.acknowledge(**id)).count()
        })
    })?;
    let acknowledged = acknowledged.flatten().unwrap_or(0);
    if acknowledged > 0 {
        tell_silently(&mut ctx.keys, key, acknowledged);
    }
    ctx.out.int(acknowledged as i64);
    Ok(())
}

pub(super) fn xackdel(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name) = (args.take(), args.take());
    let exists = has_group(ctx, key, name)?;
    let (refs, texts) = refs_and_ids(&mut args)?;
    ctx.out.array(texts.len());
    if !exists {
        texts.iter().for_each(|_| ctx.out.int(-1));
        return Ok(());
    }
    let wanted = parse_all(texts)?;
    let out = &mut *ctx.out;
    let (mut acknowledged, mut deleted) = (0, false);
    ctx.keys.edit(key, |s: &mut Stream| {
        for id in wanted {
            let done = acknowledge_and_delete(s, name, id, refs, &mut deleted);
            acknowledged += usize::from(done > 0);
            out.int(done);
        }
    })?;
    if deleted {
        ctx.keys
            .changed_times(key, Event::stream("xdel"), acknowledged);
    } else if acknowledged > 0 {
        tell_silently(&mut ctx.keys, key, acknowledged);
    }
    Ok(())
}

/// -1: not pending; 1: acknowledged and no longer in the stream, `deleted` if it was until now; 2: acknowledged, but other
/// groups still refer to the entry.
fn acknowledge_and_delete(
    s: &mut Stream,
    name: &[u8],
    id: StreamId,
    refs: Refs,
    deleted: &mut bool,
) -> i64 {
    if s.edit_group(name, |_, group| group.acknowledge(id)) != Some(true) {
        return -1;
    }
    if refs == Refs::Acknowledged && s.view().is_referenced(id) {
        return 2;
    }
    if refs == Refs::Delete {
        s.drop_references(id);
    }
    *deleted |= s.delete(id);
    1
}

// ---- Listing what is pending

pub(super) fn xpending(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let argc = args.argv().len();
    if argc != 3 && !(6..=9).contains(&argc) {
        return Err(Error::SYNTAX);
    }
    let (key, name) = (args.take(), args.take());
    let mut filter = None;
    if argc > 3 {
        let mut min_idle_ms = 0;
        if args.keyword("IDLE") {
            min_idle_ms = args.int();
            args.check()?;
            if argc < 8 {
                return Err(Error::SYNTAX);
            }
        }
        let (start, end) = (args.take(), args.take());
        let count = args.int();
        args.check()?;
        filter = Some(Filter {
            min_idle_ms,
            count: count.max(0) as usize,
            start: ids::start(start)?,
            end: ids::end(end)?,
            consumer: args.peek(),
        });
    }
    let now_ms = ctx.keys.now_ms as i64;
    let stream = ctx.keys.view::<Stream>(key)?;
    let group = stream.and_then(|s| s.group(name));
    let group = group.ok_or_else(|| no_key_or_group(key, name))?;
    let out = &mut *ctx.out;
    if let Some(filter) = filter {
        list_pending(out, group, &filter, now_ms);
    } else {
        out.array(4);
        out.int(group.pending_len() as i64);
        let Some((first, last)) = group.pending_ends() else {
            out.null();
            out.null();
            out.null_array();
            return Ok(());
        };
        ids::reply(out, first);
        ids::reply(out, last);
        let mark = out.begin_array();
        let mut n = 0;
        for consumer in group.consumers().filter(|c| c.pending_len() > 0) {
            out.array(2);
            out.bulk(&consumer.name);
            out.bulk_int(consumer.pending_len() as i64);
            n += 1;
        }
        out.end_array(mark, n);
    }
    Ok(())
}

/// Which pending messages to list.
struct Filter<'a> {
    min_idle_ms: i64,
    count: usize,
    start: StreamId,
    end: StreamId,
    consumer: Option<&'a [u8]>,
}

fn list_pending(out: &mut resp::Out, group: &Group, filter: &Filter<'_>, now_ms: i64) {
    let consumer = filter.consumer.map(|name| group.find_consumer(name));
    let consumer = match consumer {
        Some(None) => return out.array(0),
        Some(Some(no)) => group.consumer(no),
        None => None,
    };
    let mark = out.begin_array();
    let mut n = 0;
    let mut show = |id: StreamId, pending: &Pending| {
        let idle_ms = now_ms.saturating_sub(pending.delivered_ms);
        let unowned = pending.consumer == NOBODY;
        if n == filter.count || id > filter.end {
            return false;
        }
        if filter.min_idle_ms != 0 && idle_ms < filter.min_idle_ms {
            return true;
        }
        out.array(4);
        ids::reply(out, id);
        let owner = group.consumer(pending.consumer);
        out.bulk(owner.map_or(b"", |c| &c.name));
        out.int(if unowned { -1 } else { idle_ms.max(0) });
        out.int(pending.deliveries as i64);
        n += 1;
        true
    };
    match consumer {
        Some(consumer) => {
            for id in consumer.pending_from(filter.start) {
                let pending = group.pending(id);
                if pending.is_some_and(|pending| !show(id, pending)) {
                    break;
                }
            }
        }
        None => {
            for (id, pending) in group.pending_from(filter.start) {
                if !show(*id, pending) {
                    break;
                }
            }
        }
    }
    out.end_array(mark, n);
}

// ---- Handing over

/// An integer with an error of its own for one option.
fn int_of(args: &mut Args<'_>, what: &'static str) -> Result<i64> {
    parse_i64(args.take()).ok_or(Error::new(what))
}

pub(super) fn xclaim(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name, consumer) = (args.take(), args.take(), args.take());
    if !has_group(ctx, key, name)? {
        return Err(no_key_or_group(key, name));
    }
    let min_idle_ms = int_of(&mut args, "ERR Invalid min-idle-time argument for XCLAIM")?.max(0);
    let mut wanted = Vec::new();
    while let Some(Ok(id)) = args.peek().map(ids::strict) {
        wanted.push(id);
        args.take();
    }
    let now_ms = ctx.keys.now_ms as i64;
    let (mut force, mut only_ids) = (false, false);
    let (mut delivered_ms, mut deliveries) = (None, -1);
    let mut last_id = StreamId::MIN;
    while let Some(word) = args.peek() {
        if args.keyword("FORCE") {
            force = true;
        } else if args.keyword("JUSTID") {
            only_ids = true;
        } else if args.keyword_with_value("IDLE") {
            let idle = int_of(&mut args, "ERR Invalid IDLE option argument for XCLAIM")?;
            delivered_ms = Some(now_ms.wrapping_sub(idle));
        } else if args.keyword_with_value("TIME") {
            delivered_ms = Some(int_of(
                &mut args,
                "ERR Invalid TIME option argument for XCLAIM",
            )?);
        } else if args.keyword_with_value("RETRYCOUNT") {
            deliveries = int_of(
                &mut args,
                "ERR Invalid RETRYCOUNT option argument for XCLAIM",
            )?;
        } else if args.keyword_with_value("LASTID") {
            last_id = ids::strict(args.take())?;
        } else {
            return Err(Error::quoting(
                "ERR Unrecognized XCLAIM option '{}'",
                &[word],
            ));
        }
    }
    // Clocks differ: a time that cannot be is taken for now.
    let delivered_ms = delivered_ms
        // Where a log is read, there is no now: see `Session::replay`.
        .filter(|at| *at >= 0 && (*at <= now_ms || now_ms == 0))
        .unwrap_or(now_ms);
    let out = &mut *ctx.out;
    let (mut created, mut went_on, mut entries_read) = (false, false, None);
    let mut done = Claims::default();
    let claim = |entries: StreamRef<'_>, group: &mut Group| {
        went_on = group.last_id < last_id;
        group.last_id = group.last_id.max(last_id);
        let (no, is_new) = group.consumer_or_new(consumer, now_ms);
        created = is_new;
        if let Some(consumer) = group.consumer_mut(no) {
            consumer.seen_ms = now_ms;
        }
        let mark = out.begin_array();
        let mut n = 0;
        for id in wanted {
            let Some(entry) = entries.get(id) else {
                // Deleted since: nobody can process it any more.
                if group.acknowledge(id) {
                    done.acknowledged.push(id);
                }
                continue;
            };
            let mut pending = match group.pending(id) {
                Some(p)
                    if min_idle_ms > 0 && now_ms.saturating_sub(p.delivered_ms) < min_idle_ms =>
                {
                    continue;
                }
                Some(p) => *p,
                None if force => Pending {
                    consumer: no,
                    delivered_ms,
                    deliveries: 1,
                },
                None => continue,
            };
            pending.consumer = no;
            pending.delivered_ms = delivered_ms;
            if deliveries >= 0 {
                pending.deliveries = deliveries as u64;
            } else if !only_ids {
                pending.deliveries = pending.deliveries.wrapping_add(1);
            }
            group.assign(id, pending);
            done.claimed.push((id, pending));
            if let Some(consumer) = group.consumer_mut(no) {
                consumer.active_ms = Some(now_ms);
            }
            if only_ids {
                ids::reply(out, id);
            } else {
                ids::reply_entry(out, &entry);
            }
            n += 1;
        }
        out.end_array(mark, n);
        done.last_id = group.last_id;
        entries_read = group.entries_read;
    };
    ctx.keys
        .edit(key, |s: &mut Stream| s.edit_group(name, claim))?;
    // As in real servers, that the group went on is a change by itself only where nothing else is.
    tell_of_claim(ctx, key, created, done.count().max(usize::from(went_on)));
    done.record(&mut ctx.keys, key, name, consumer, created);
    // Else the claims say it.
    if went_on && done.claimed.is_empty() {
        record_place(&mut ctx.keys, key, name, done.last_id, entries_read);
    }
    Ok(())
}

/// Writes down where a group is.
pub(super) fn record_place(
    keys: &mut Keys<'_>,
    key: &[u8],
    group: &[u8],
    last_id: StreamId,
    entries_read: Option<i64>,
) {
    if keys.recording() {
        let (id, mut digits) = (id_text(last_id), [0; 20]);
        let read = format_i64(entries_read.unwrap_or(-1), &mut digits);
        keys.record(&[b"XGROUP", b"SETID", key, group, &id, b"ENTRIESREAD", read]);
    }
}

/// Says what a claim has done: made a consumer, changed what is pending so many times.
fn tell_of_claim(ctx: &mut Ctx<'_>, key: &[u8], created: bool, times: usize) {
    if created {
        tell(&mut ctx.keys, key, "xgroup-createconsumer");
    }
    if times > 0 {
        tell_silently(&mut ctx.keys, key, times);
    }
}

/// What was handed to a consumer, and what turned out to be gone: to be written down.
#[derive(Default)]
pub(super) struct Claims {
    pub claimed: Vec<(StreamId, Pending)>,
    pub acknowledged: Vec<StreamId>,
    /// The last ID that the group has delivered.
    pub last_id: StreamId,
}

impl Claims {
    /// Entries that were claimed or turned out to be gone.
    pub fn count(&self) -> usize {
        self.claimed.len() + self.acknowledged.len()
    }

    /// Writes it down as claims of known messages at known times, which come out the same wherever they are done again.
    pub fn record(
        &self,
        keys: &mut Keys<'_>,
        key: &[u8],
        group: &[u8],
        consumer: &[u8],
        created: bool,
    ) {
        if !keys.recording() {
            return;
        }
        keys.record_instead();
        if created {
            keys.record(&[b"XGROUP", b"CREATECONSUMER", key, group, consumer]);
        }
        if !self.acknowledged.is_empty() {
            let ids: Vec<Vec<u8>> = self.acknowledged.iter().map(|id| id_text(*id)).collect();
            let mut argv: Vec<&[u8]> = vec![b"XACK", key, group];
            argv.extend(ids.iter().map(|id| &id[..]));
            keys.record(&argv);
        }
        let last = id_text(self.last_id);
        for (id, pending) in &self.claimed {
            let id = id_text(*id);
            let (mut at, mut n) = ([0; 20], [0; 20]);
            keys.record(&[
                b"XCLAIM",
                key,
                group,
                consumer,
                b"0",
                &id,
                b"TIME",
                format_i64(pending.delivered_ms, &mut at),
                b"RETRYCOUNT",
                format_i64(pending.deliveries as i64, &mut n),
                b"FORCE",
                b"JUSTID",
                b"LASTID",
                &last,
            ]);
        }
    }
}

/// XAUTOCLAIM looks at so many pending messages for each that it may claim.
const LOOKS_PER_CLAIM: u64 = 10;

pub(super) fn xautoclaim(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name, consumer) = (args.take(), args.take(), args.take());
    let min_idle_ms = int_of(
        &mut args,
        "ERR Invalid min-idle-time argument for XAUTOCLAIM",
    )?
    .max(0);
    let start = ids::start(args.take())?;
    let (mut count, mut only_ids) = (100, false);
    while args.left() > 0 {
        if args.keyword_with_value("COUNT") {
            let most = i64::MAX / 16;
            count = args.int_in(1..=most, Error::new("ERR COUNT must be > 0"));
            args.check()?;
        } else if args.keyword("JUSTID") {
            only_ids = true;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    if !has_group(ctx, key, name)? {
        return Err(no_key_or_group(key, name));
    }
    let now_ms = ctx.keys.now_ms as i64;
    let out = &mut *ctx.out;
    let mut created = false;
    let mut done = Claims::default();
    let claim = |entries: StreamRef<'_>, group: &mut Group| {
        let (no, is_new) = group.consumer_or_new(consumer, now_ms);
        created = is_new;
        if let Some(consumer) = group.consumer_mut(no) {
            consumer.seen_ms = now_ms;
        }
        let mut looks = count as u64 * LOOKS_PER_CLAIM;
        let mut left = count;
        let mut next = Some(start);
        let mut claimed = Vec::new();
        let mut deleted = Vec::new();
        while left > 0 && looks > 0 {
            looks -= 1;
            let found = next.and_then(|from| group.pending_from(from).next());
            let Some((&id, &pending)) = found else { break };
            next = id.next();
            if !entries.contains(id) {
                group.acknowledge(id);
                done.acknowledged.push(id);
                deleted.push(id);
                left -= 1;
                continue;
            }
            if min_idle_ms > 0 && now_ms.saturating_sub(pending.delivered_ms) < min_idle_ms {
                continue;
            }
            let deliveries = pending.deliveries.wrapping_add(u64::from(!only_ids));
            let pending = Pending {
                consumer: no,
                delivered_ms: now_ms,
                deliveries,
            };
            group.assign(id, pending);
            done.claimed.push((id, pending));
            claimed.push(id);
            left -= 1;
        }
        if !claimed.is_empty()
            && let Some(consumer) = group.consumer_mut(no)
        {
            consumer.active_ms = Some(now_ms);
        }
        let cursor = next.and_then(|from| group.pending_from(from).next());
        let cursor = cursor.map_or(StreamId::MIN, |(id, _)| *id);
        out.array(3);
        ids::reply(out, cursor);
        out.array(claimed.len());
        for id in claimed {
            match entries.get(id) {
                Some(entry) if !only_ids => ids::reply_entry(out, &entry),
                _ => ids::reply(out, id),
            }
        }
        out.array(deleted.len());
        for id in deleted {
            ids::reply(out, id);
        }
        done.last_id = group.last_id;
    };
    ctx.keys
        .edit(key, |s: &mut Stream| s.edit_group(name, claim))?;
    tell_of_claim(ctx, key, created, done.count());
    done.record(&mut ctx.keys, key, name, consumer, created);
    Ok(())
}
