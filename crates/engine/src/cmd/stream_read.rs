//! XREAD and XREADGROUP: what has come since, of several streams at once; with BLOCK, what will come.
//!
//! A call that waits remembers what it asked for, with `$` replaced by the ID it stood for. When one of its streams has
//! changed, it is done again on all of them whose locks are held: on the others nothing has come, or it would not be
//! waiting any more. So a transaction that adds to several streams is seen as one.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::cmd::long::LONG_WORK;
use crate::cmd::stream_groups::{Claims, record_place, tell, tell_silently};
use crate::cmd::stream_ids::{self as ids, c_text};
use crate::context::ctx::Ctx;
use crate::door::keys::Keys;
use crate::follow::waiting::{Again, Attempt, Wait, timeout_ms};
use resp::{Out, Proto};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use store::types::stream::{Group, Pending, Stream, StreamId, StreamRef};

/// How much a call reads at most.
#[derive(Clone, Copy, Default)]
struct Most {
    /// Entries of each stream; 0 is all.
    count: usize,
    /// Entries of all streams together.
    total: Option<usize>,
    /// Bytes of the reply, the first entry excepted.
    bytes: Option<usize>,
}

/// What is left of that while a reply is written.
struct Budget {
    most: Most,
    /// Where the reply begins.
    begin: resp::Mark,
    /// Entries in it.
    entries: usize,
    /// There is no room for a further one.
    spent: bool,
}

impl Budget {
    fn new(most: Most, out: &Out) -> Budget {
        Budget {
            most,
            begin: out.mark(),
            entries: 0,
            spent: false,
        }
    }

    /// How many entries of one stream may be looked at.
    fn of_stream(&self) -> usize {
        let count = match self.most.count {
            0 => usize::MAX,
            count => count,
        };
        let total = self.most.total.unwrap_or(usize::MAX);
        count.min(total - self.entries)
    }

    /// Lets `write` write an entry, which is taken back if it is one too many; whether it stays.
    fn admit(&mut self, out: &mut Out, write: impl FnOnce(&mut Out)) -> bool {
        if self.spent {
            return false;
        }
        let mark = out.mark();
        write(out);
        if let Some(bytes) = self.most.bytes
            && self.entries > 0
            && out.since(self.begin) > bytes
        {
            out.rollback(mark);
            self.spent = true;
            return false;
        }
        self.entries += 1;
        self.spent = self.most.total == Some(self.entries);
        true
    }
}

/// What a call says before its keys.
#[derive(Default)]
struct Options<'a> {
    most: Most,
    /// How long to wait (None: as long as it takes), if that is wanted.
    block: Option<Option<Duration>>,
    no_ack: bool,
    /// What has been pending for so many milliseconds is to be read as well, and first.
    claim_ms: Option<i64>,
    /// Group and consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    /// The keys, then as many IDs.
    streams: &'a [&'a [u8]],
}

fn options<'a>(
    args: &mut Args<'a>,
    name: &str,
    in_group: bool,
    now_ms: u64,
) -> Result<Options<'a>> {
    let mut options = Options::default();
    while args.left() > 0 {
        if args.keyword_with_value("BLOCK") {
            options.block = Some(timeout_ms(args.take(), now_ms)?);
        } else if args.keyword_with_value("COUNT") {
            options.most.count = args.int().max(0) as usize;
            args.check()?;
        } else if args.keyword_with_value("MAXCOUNT") {
            let n = args.int_in(
                1..=i64::MAX,
                text("ERR MAXCOUNT must be a positive integer"),
            );
            args.check()?;
            options.most.total = Some(n as usize);
        } else if args.keyword_with_value("MAXSIZE") {
            let n = args.int_in(1..=i64::MAX, text("ERR MAXSIZE must be a positive integer"));
            args.check()?;
            options.most.bytes = Some(n as usize);
        } else if args.keyword_with_value("STREAMS") {
            options.streams = args.rest();
            if !options.streams.len().is_multiple_of(2) {
                let forms = if in_group {
                    "an ID or '>'"
                } else {
                    "an ID, '+', or '$'"
                };
                return Err(Error::new(format!(
                    "ERR Unbalanced '{name}' list of streams: for each stream key {forms} must be specified."
                )));
            }
            break;
        } else if args.left() >= 3 && args.keyword("GROUP") {
            if !in_group {
                return Err(Error::new(
                    "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
                ));
            }
            options.group = Some((args.take(), args.take()));
        } else if args.keyword_with_value("CLAIM") {
            if !in_group {
                return Err(Error::new(
                    "ERR The CLAIM option is only supported by XREADGROUP. You called XREAD instead.",
                ));
            }
            let ms = args.int_or(Error::new(
                "ERR min-idle-time is not an integer or out of range",
            ));
            args.check()?;
            if ms < 0 {
                return Err(Error::new("ERR min-idle-time must be a positive integer"));
            }
            options.claim_ms = Some(ms);
        } else if args.keyword("NOACK") {
            if !in_group {
                return Err(Error::new(
                    "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
                ));
            }
            options.no_ack = true;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    if options.streams.is_empty() {
        return Err(Error::SYNTAX);
    }
    if in_group && options.group.is_none() {
        return Err(Error::new("ERR Missing GROUP option for XREADGROUP"));
    }
    if options.most.total.is_some_and(|n| n < options.most.count) {
        return Err(text("ERR MAXCOUNT must be greater than or equal to COUNT"));
    }
    Ok(options)
}

/// From where on a stream is to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Since {
    /// Everything after this ID; for a consumer, its own pending messages after it.
    After(StreamId),
    /// The last entry (`+`).
    Last,
    /// What the group has not given to anybody yet (`>`).
    New,
}

fn since(text: &[u8], stream: Option<StreamRef<'_>>, in_group: bool) -> Result<Since> {
    match c_text(text) {
        sign @ (b"$" | b"+") if in_group => Err(Error::new(format!(
            "ERR The {0} ID is meaningless in the context of XREADGROUP: you want to read the history of this \
             consumer by specifying a proper ID, or use the > ID to get new messages. The {0} ID would just return \
             an empty result set.",
            sign[0] as char
        ))),
        b"$" => Ok(Since::After(stream.map_or(StreamId::MIN, |s| s.last_id()))),
        b"+" => Ok(Since::Last),
        b">" if in_group => Ok(Since::New),
        b">" => Err(Error::new(
            "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
        )),
        _ => match ids::strict(text)? {
            // The greatest ID is how real servers note `>` down.
            StreamId::MAX if in_group => Ok(Since::New),
            id => Ok(Since::After(id)),
        },
    }
}

/// The reply: a map of keys to entries, in RESP2 an array of pairs. Its length is known when it is complete.
struct Reply {
    mark: resp::Mark,
    streams: usize,
}

impl Reply {
    fn begin(out: &mut Out) -> Reply {
        Reply {
            mark: out.begin_array(),
            streams: 0,
        }
    }

    /// Begins with a stream; where that is.
    fn key(&mut self, out: &mut Out, key: &[u8]) -> resp::Mark {
        let mark = out.mark();
        self.streams += 1;
        if out.proto() == Proto::Resp2 {
            out.array(2);
        }
        out.bulk(key);
        mark
    }

    /// Takes a stream back of which nothing had room.
    fn take_back(&mut self, out: &mut Out, mark: resp::Mark) {
        self.streams -= 1;
        out.rollback(mark);
    }

    /// Completes it; false if there was nothing to read, and nothing is written.
    fn end(self, out: &mut Out) -> bool {
        match (self.streams, out.proto()) {
            (0, _) => return false,
            (n, Proto::Resp2) => out.end_array(self.mark, n),
            (n, Proto::Resp3) => out.end_map(self.mark, n),
        }
        true
    }
}

/// The streams of a call with where to start on each.
type Streams<K> = Vec<(K, Since)>;

/// The same with keys of its own, to be done again later.
fn owned(streams: &Streams<&[u8]>) -> Streams<Box<[u8]>> {
    let own = |(key, since): &(&[u8], Since)| (Box::from(*key), *since);
    streams.iter().map(own).collect()
}

const fn text(text: &'static str) -> Error {
    Error::fixed(text)
}

/// Waits for something to read.
fn wait(
    ctx: &mut Ctx<'_>,
    keys: &[&[u8]],
    timeout: Option<Duration>,
    on_delete: bool,
    again: Option<Again>,
    attempt: Attempt,
) {
    ctx.block(Wait {
        on_delete,
        again,
        ..Wait::new(keys, timeout, attempt)
    });
}

pub(super) fn xread(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let options = options(&mut args, ctx.command.name, false, ctx.keys.now_ms)?;
    let (keys, from) = options.streams.split_at(options.streams.len() / 2);
    let mut streams: Streams<&[u8]> = Vec::with_capacity(keys.len());
    let most = options.most;
    let mut may_move = ctx.must_move(match most.count {
        0 => usize::MAX,
        count => count,
    });
    for (key, text) in keys.iter().zip(from) {
        let stream = ctx.keys.view::<Stream>(key)?;
        may_move &= stream.is_some();
        streams.push((*key, since(text, stream, false)?));
    }
    // How much there is to read shows only when it has been read.
    let first = match may_move {
        true => Most {
            count: LONG_WORK,
            ..most
        },
        false => most,
    };
    let mark = ctx.out.mark();
    let longest = read(&ctx.keys, ctx.out, &streams, first)?;
    if may_move && longest == LONG_WORK {
        ctx.out.rollback(mark);
        return ctx.move_after_reads(keys.len());
    }
    if longest > 0 {
        return Ok(());
    }
    let Some(timeout) = options.block else {
        ctx.out.null_array();
        return Ok(());
    };
    let streams = owned(&streams);
    let attempt = move |ks: &mut Keys<'_>, key: &[u8], out: &mut Out| {
        // Something else than a stream does not end the wait.
        Ok(ks.peek_view::<Stream>(key).is_ok() && read(ks, out, &streams, most)? > 0)
    };
    wait(ctx, keys, timeout, false, None, Box::new(attempt));
    Ok(())
}

/// Writes what there is to read in the streams that are held; returns how many entries of one stream were read at most, 0 if there
/// is nothing to read.
fn read<K: AsRef<[u8]>>(
    keys: &Keys<'_>,
    out: &mut Out,
    streams: &Streams<K>,
    most: Most,
) -> Result<usize> {
    let mut budget = Budget::new(most, out);
    let mut reply = Reply::begin(out);
    let mut longest = 0;
    for (key, since) in streams {
        let key = key.as_ref();
        if !keys.holds(key) || budget.spent {
            continue;
        }
        let Some(stream) = keys.peek_view::<Stream>(key)? else {
            continue;
        };
        let Some(last) = stream.last() else { continue };
        let start = match since {
            Since::Last => Some(last.id),
            Since::After(id) => id.next().filter(|start| *start <= last.id),
            Since::New => None,
        };
        if let Some(start) = start {
            let before = reply.key(out, key);
            let mark = out.begin_array();
            let mut n = 0;
            for entry in stream.range(start, StreamId::MAX).take(budget.of_stream()) {
                if !budget.admit(out, |out| ids::reply_entry(out, &entry)) {
                    break;
                }
                n += 1;
            }
            if n == 0 {
                reply.take_back(out, before);
                continue;
            }
            out.end_array(mark, n);
            longest = longest.max(n);
        }
    }
    reply.end(out);
    Ok(longest)
}

/// Who reads in a group, and how.
struct Reader<T> {
    group: T,
    consumer: T,
    most: Most,
    no_ack: bool,
    claim_ms: Option<i64>,
}

pub(super) fn xreadgroup(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let options = options(&mut args, ctx.command.name, true, ctx.keys.now_ms)?;
    let (keys, from) = options.streams.split_at(options.streams.len() / 2);
    let (group, consumer) = options.group.unwrap_or_default();
    let most = options
        .most
        .count
        .min(options.most.total.unwrap_or(usize::MAX));
    if ctx.must_move(if most == 0 { usize::MAX } else { most })
        && keys
            .iter()
            .zip(from)
            .any(|(key, text)| is_long(&ctx.keys, key, group, text, options.claim_ms.is_some()))
    {
        return ctx.move_elsewhere();
    }
    let mut streams: Streams<&[u8]> = Vec::with_capacity(keys.len());
    for (key, text) in keys.iter().zip(from) {
        let stream = ctx.keys.view::<Stream>(key)?;
        check_group(stream, key, group)?;
        streams.push((*key, since(text, stream, true)?));
    }
    let reader = Reader {
        group,
        consumer,
        most: options.most,
        no_ack: options.no_ack,
        claim_ms: options.claim_ms,
    };
    if read_in_group(&mut ctx.keys, ctx.out, &streams, &reader)? {
        return Ok(());
    }
    let Some(timeout) = options.block else {
        ctx.out.null_array();
        return Ok(());
    };
    let streams = owned(&streams);
    let reader = Reader {
        group: Box::<[u8]>::from(group),
        consumer: Box::<[u8]>::from(consumer),
        most: options.most,
        no_ack: options.no_ack,
        claim_ms: options.claim_ms,
    };
    let again = reader.claim_ms.map(|_| Again::default());
    if let Some(again) = &again {
        let (due, _) = due_ms(&mut ctx.keys, &streams, &reader)?;
        again.store(due, Relaxed);
    }
    let when = again.clone();
    let attempt = move |ks: &mut Keys<'_>, _: &[u8], out: &mut Out| {
        for (key, _) in &streams {
            if ks.holds(key) {
                check_group(ks.peek_view::<Stream>(key)?, key, &reader.group)?;
            }
        }
        let done = read_in_group(ks, out, &streams, &reader)?;
        if let Some(when) = &when
            && !done
        {
            let (due, of_all) = due_ms(ks, &streams, &reader)?;
            match of_all {
                true => when.store(due, Relaxed),
                // Of the other streams it is still what it was.
                false => _ = when.fetch_min(due, Relaxed),
            }
        }
        Ok(done)
    };
    wait(ctx, keys, timeout, true, again, Box::new(attempt));
    Ok(())
}

/// When the first entry that is pending now will have been so for long enough, in Unix milliseconds; whether that is said of all
/// streams, and not only of those that are held.
fn due_ms<K: AsRef<[u8]>, T: AsRef<[u8]>>(
    keys: &mut Keys<'_>,
    streams: &Streams<K>,
    reader: &Reader<T>,
) -> Result<(u64, bool)> {
    let (mut due, mut of_all) = (u64::MAX, true);
    let claim_ms = reader.claim_ms.unwrap_or(i64::MAX);
    for (key, since) in streams {
        let key = key.as_ref();
        if *since != Since::New {
            continue;
        }
        if !keys.holds(key) {
            of_all = false;
            continue;
        }
        let first = keys.edit(key, |s: &mut Stream| {
            s.edit_group(reader.group.as_ref(), |entries, group| {
                let first = group.delivered_until(i64::MAX);
                let first = first.filter(|id| entries.contains(*id)).take(1).next();
                first.and_then(|id| group.pending(id).map(|p| p.delivered_ms))
            })
        })?;
        if let Some(delivered_ms) = first.flatten().flatten() {
            due = due.min(delivered_ms.saturating_add(claim_ms).max(0) as u64);
        }
    }
    Ok((due, of_all))
}

/// Whether a group has so much to read, or to acknowledge, that all of it is long work.
fn is_long(keys: &Keys<'_>, key: &[u8], group: &[u8], from: &[u8], claims: bool) -> bool {
    let Ok(Some(stream)) = keys.peek_view::<Stream>(key) else {
        return false;
    };
    let Some(group) = stream.group(group) else {
        return false;
    };
    if c_text(from) == b">" {
        let claims = claims && group.pending_len() >= LONG_WORK;
        claims || stream.lag(group).is_some_and(|n| n >= LONG_WORK as i64)
    } else {
        group.pending_len() >= LONG_WORK
    }
}

fn check_group(stream: Option<StreamRef<'_>>, key: &[u8], group: &[u8]) -> Result {
    match stream.and_then(|s| s.group(group)) {
        Some(_) => Ok(()),
        None => Err(Error::quoting(
            "NOGROUP No such key '{}' or consumer group '{}' in XREADGROUP with GROUP option",
            &[key, group],
        )),
    }
}

/// Writes what there is to read for a consumer in the streams that are held; false if there is nothing.
fn read_in_group<K: AsRef<[u8]>, T: AsRef<[u8]>>(
    keys: &mut Keys<'_>,
    out: &mut Out,
    streams: &Streams<K>,
    reader: &Reader<T>,
) -> Result<bool> {
    let now_ms = keys.now_ms as i64;
    let mut budget = Budget::new(reader.most, out);
    let mut reply = Reply::begin(out);
    for (key, since) in streams {
        let key = key.as_ref();
        if !keys.holds(key) || budget.spent {
            continue;
        }
        let (mut created, mut delivered) = (false, false);
        let mut done = Claims::default();
        let mut entries_read = None;
        keys.edit(key, |s: &mut Stream| {
            s.edit_group(reader.group.as_ref(), |entries, group| {
                let (no, is_new) = group.consumer_or_new(reader.consumer.as_ref(), now_ms);
                created = is_new;
                if let Some(consumer) = group.consumer_mut(no) {
                    consumer.seen_ms = now_ms;
                }
                if let Since::After(id) = *since {
                    let _ = reply.key(out, key);
                    delivered = read_history(
                        out,
                        entries,
                        group,
                        (no, id),
                        &mut budget,
                        now_ms,
                        &mut done,
                    );
                } else {
                    let most = budget.of_stream();
                    let idle = match reader.claim_ms {
                        None => Vec::new(),
                        Some(ms) => long_pending(entries, group, now_ms.saturating_sub(ms), most),
                    };
                    let more = idle.len() < most
                        && entries.last().is_some_and(|last| last.id > group.last_id);
                    if more || !idle.is_empty() {
                        let before = reply.key(out, key);
                        let mark = out.begin_array();
                        let claims = (no, &idle[..]);
                        let mut n = claim(
                            out,
                            entries,
                            group,
                            claims,
                            now_ms,
                            (&mut budget, &mut done),
                        );
                        if more && !budget.spent {
                            n += read_new(
                                out,
                                entries,
                                group,
                                no,
                                (reader, most - n),
                                now_ms,
                                (&mut budget, &mut done),
                            );
                            entries_read = Some(group.entries_read);
                        }
                        if n > 0 {
                            out.end_array(mark, n);
                            delivered = true;
                        } else {
                            reply.take_back(out, before);
                        }
                    }
                }
                done.last_id = group.last_id;
            })
        })?;
        if created {
            tell(keys, key, "xgroup-createconsumer");
        }
        if delivered {
            // That a consumer looks at what it has once more is no change towards a save point.
            tell_silently(keys, key, usize::from(matches!(since, Since::New)));
        }
        if created || delivered {
            let (group, consumer) = (reader.group.as_ref(), reader.consumer.as_ref());
            done.record(keys, key, group, consumer, created);
            if let Some(read) = entries_read {
                record_place(keys, key, group, done.last_id, read);
            }
        }
    }
    Ok(reply.end(out))
}

/// A consumer's pending messages once more; whether there are any.
fn read_history(
    out: &mut Out,
    entries: StreamRef<'_>,
    group: &mut Group,
    (no, after): (u32, StreamId),
    budget: &mut Budget,
    now_ms: i64,
    done: &mut Claims,
) -> bool {
    let pending: Vec<StreamId> = match (group.consumer(no), after.next()) {
        (Some(consumer), Some(start)) => consumer
            .pending_from(start)
            .take(budget.of_stream())
            .collect(),
        _ => Vec::new(),
    };
    let mark = out.begin_array();
    let mut n = 0;
    for id in pending {
        let entry = entries.get(id);
        let stays = budget.admit(out, |out| match &entry {
            Some(entry) => ids::reply_entry(out, entry),
            // Deleted since: its consumer is told by there being no fields.
            None => {
                out.array(2);
                ids::reply(out, id);
                out.null_array();
            }
        });
        if !stays {
            break;
        }
        n += 1;
        if entry.is_some()
            && let Some(pending) = group.deliver_again(id, now_ms)
        {
            done.claimed.push((id, pending));
        }
    }
    out.end_array(mark, n);
    n > 0
}

/// The first entries that were given out at this time or before, and are still there: the longest pending first.
fn long_pending(
    entries: StreamRef<'_>,
    group: &mut Group,
    at_ms: i64,
    most: usize,
) -> Vec<StreamId> {
    let pending = group.delivered_until(at_ms);
    pending
        .filter(|id| entries.contains(*id))
        .take(most)
        .collect()
}

/// Gives pending entries to another consumer, and says of each for how long it was pending and how often it was given out; returns
/// how many.
fn claim(
    out: &mut Out,
    entries: StreamRef<'_>,
    group: &mut Group,
    (no, ids): (u32, &[StreamId]),
    now_ms: i64,
    (budget, done): (&mut Budget, &mut Claims),
) -> usize {
    let mut n = 0;
    for id in ids {
        let (Some(entry), Some(old)) = (entries.get(*id), group.pending(*id).copied()) else {
            continue;
        };
        let stays = budget.admit(out, |out| {
            out.array(4);
            ids::reply(out, *id);
            ids::reply_pairs(out, &entry);
            out.int(now_ms.saturating_sub(old.delivered_ms).max(0));
            out.int(old.deliveries as i64);
        });
        if !stays {
            break;
        }
        n += 1;
        let pending = Pending {
            consumer: no,
            delivered_ms: now_ms,
            deliveries: old.deliveries.wrapping_add(1),
        };
        group.assign(*id, pending);
        done.claimed.push((*id, pending));
        if let Some(consumer) = group.consumer_mut(no) {
            consumer.active_ms = Some(now_ms);
        }
    }
    n
}

/// What the group has not given to anybody yet, `most` entries of it; returns how many. With CLAIM each is answered as one that
/// was never pending.
fn read_new<T>(
    out: &mut Out,
    entries: StreamRef<'_>,
    group: &mut Group,
    no: u32,
    (reader, most): (&Reader<T>, usize),
    now_ms: i64,
    (budget, done): (&mut Budget, &mut Claims),
) -> usize {
    let start = group.last_id.next().unwrap_or(StreamId::MAX);
    let mut n = 0;
    for entry in entries.range(start, StreamId::MAX).take(most) {
        let stays = budget.admit(out, |out| match reader.claim_ms {
            Some(_) => {
                out.array(4);
                ids::reply(out, entry.id);
                ids::reply_pairs(out, &entry);
                out.int(0);
                out.int(0);
            }
            None => ids::reply_entry(out, &entry),
        });
        if !stays {
            break;
        }
        group.entries_read = match group.entries_read {
            // Without gaps ahead the count goes on by one.
            Some(read)
                if group.last_id >= entries.first_id() && !entries.has_gap_after(group.last_id) =>
            {
                read.checked_add(1)
            }
            _ if entries.entries_added() > 0 => entries.entries_up_to(entry.id),
            read => read,
        };
        group.last_id = entry.id;
        n += 1;
        if !reader.no_ack {
            let pending = Pending {
                consumer: no,
                delivered_ms: now_ms,
                deliveries: 1,
            };
            group.assign(entry.id, pending);
            done.claimed.push((entry.id, pending));
            if let Some(consumer) = group.consumer_mut(no) {
                consumer.active_ms = Some(now_ms);
            }
        }
    }
    n
}

#[cfg(test)]
mod tests;
