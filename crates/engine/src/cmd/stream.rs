//! Streams: adding, reading by range, deleting and trimming.
//!
//! Consumer groups are in [`super::stream_groups`], XREAD in [`super::stream_read`], XINFO in [`super::stream_info`].

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::cmd::long::LONG_WORK;
use crate::cmd::stream_groups::{
    XGROUP_COMMANDS, tell_silently, xack, xackdel, xautoclaim, xclaim, xpending,
};
use crate::cmd::stream_ids as ids;
use crate::cmd::stream_info::XINFO_COMMANDS;
use crate::cmd::stream_once::{Once, known, new_stream, xcfgset, xidmprecord};
use crate::cmd::stream_read::{xread, xreadgroup};
use crate::config::Live;
use crate::context::command::{
    BLOCKING, CHANGES_READ_KEYS, Command, DENYOOM, FAST, Group, KS_ACCESS, KS_DELETE, KS_RO, KS_RW,
    KS_UPDATE, KeySpec, MOVABLEKEYS, READONLY, WRITE, container, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use resp::number::parse_i64;
use std::sync::atomic::Ordering::Relaxed;
use store::Collection;
use store::types::stream::{Keep, Limits, Refs, Stream, StreamId, StreamRef, Trim};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("xack", -4, WRITE | FAST, Group::Stream, "5.0.0", xack)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)]).args("key group id...")
        .docs("Acknowledges messages that a consumer group has delivered.", "O(1) for each ID"),
    row("xackdel", -6, WRITE | FAST, Group::Stream, "8.2.0", xackdel)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE | KS_DELETE)])
        .args("key group [condition(KEEPREF | DELREF | ACKED)] IDS{numids:int id...}")
        .docs("Acknowledges messages of a consumer group and deletes them from the stream.",
              "O(1) for each ID"),
    row("xadd", -5, WRITE | DENYOOM | FAST, Group::Stream, "5.0.0", xadd)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)
                    .note("Update rather than insert because entries may be trimmed")])
        .args("key [NOMKSTREAM@6.2.0] [condition(KEEPREF | DELREF | ACKED)] \
               [idmp(idmpauto-with-pid{idmpauto-token=IDMPAUTO pid} \
               | idmp-with-pid-iid{idmp-token=IDMP pid iid})] [trim{strategy(MAXLEN | MINID@6.2.0) [operator(equal='=' \
               | approximately='~')] threshold [LIMIT count:int@6.2.0]}] \
               id-selector(auto-id='*' | id) data{field value}...")
        .tips(&["nondeterministic_output"])
        .docs("Appends an entry to a stream, creating it if need be.",
              "O(1), and O(N) to trim N entries")
        .history(&[
            ("6.2.0", "New options NOMKSTREAM, MINID and LIMIT."),
            ("7.0.0", "IDs may be given as ms-*."),
            ("8.2.0", "New options KEEPREF, DELREF and ACKED."),
        ]),
    row("xcfgset", -2, WRITE | FAST, Group::Stream, "8.6.0", xcfgset)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key [idmp-duration-block{idmp-duration-token='IDMP-DURATION' duration:int}] \
               [idmp-maxsize-block{idmp-maxsize-token='IDMP-MAXSIZE' maxsize:int}]")
        .docs("Sets for how long a stream remembers the names of producers' messages, and how many of each producer.",
              "O(1)"),
    row("xidmprecord", 5, WRITE | DENYOOM | FAST, Group::Stream, "8.6.2", xidmprecord)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)]).args("key pid iid stream-id")
        .docs("Remembers that an entry of a stream is a producer's message of this name, as replication does.", "O(1)"),
    row("xautoclaim", -6, WRITE | FAST, Group::Stream, "6.2.0", xautoclaim)
        .keys(&[KeySpec::at(1, KS_RW | KS_DELETE)])
        .args("key group consumer min-idle-time start [COUNT count:int] [JUSTID]")
        .tips(&["nondeterministic_output"])
        .docs("Hands pending messages that have waited too long to another consumer.",
              "O(1) for a small COUNT")
        .history(&[
            ("7.0.0", "The reply lists the deleted entries that were dropped from the pending \
                      ones."),
        ]),
    row("xclaim", -6, WRITE | FAST, Group::Stream, "5.0.0", xclaim)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key group consumer min-idle-time id... [IDLE ms:int] \
               [TIME unix-time-milliseconds:time] [RETRYCOUNT count:int] [FORCE] [JUSTID] \
               [LASTID lastid]")
        .tips(&["nondeterministic_output"])
        .docs("Hands pending messages to another consumer.",
              "O(log N), N being the number of pending messages of the group"),
    row("xdel", -3, WRITE | FAST, Group::Stream, "5.0.0", xdel)
        .keys(&[KeySpec::at(1, KS_RW | KS_DELETE)]).args("key id...")
        .docs("Deletes entries from a stream.", "O(1) for each ID"),
    row("xdelex", -5, WRITE | FAST, Group::Stream, "8.2.0", xdelex)
        .keys(&[KeySpec::at(1, KS_RW | KS_DELETE)])
        .args("key [condition(KEEPREF | DELREF | ACKED)] IDS{numids:int id...}")
        .docs("Deletes entries from a stream and says what becomes of references to them.",
              "O(1) for each ID"),
    container("xgroup", Group::Stream, "5.0.0", XGROUP_COMMANDS)
        .docs("Holds the commands that manage consumer groups.", "Depends on the subcommand"),
    container("xinfo", Group::Stream, "5.0.0", XINFO_COMMANDS)
        .docs("Holds the commands that look at streams.", "Depends on the subcommand"),
    row("xlen", 2, READONLY | FAST, Group::Stream, "5.0.0", xlen)
        .keys(&[KeySpec::at(1, KS_RO)]).args("key")
        .docs("Counts the entries of a stream.", "O(1)"),
    row("xpending", -3, READONLY, Group::Stream, "5.0.0", xpending)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key group [filters{[IDLE min-idle-time:int@6.2.0] start end count:int [consumer]}]")
        .tips(&["nondeterministic_output"])
        .docs("Lists the messages that a group has delivered and nobody has acknowledged.",
              "O(N), N being the number of entries returned; O(M) with IDLE, M being the number \
               of entries looked at")
        .history(&[("6.2.0", "New option IDLE; bounds may be left out of the range.")]),
    row("xrange", -4, READONLY, Group::Stream, "5.0.0", xrange)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key start end [COUNT count:int]")
        .docs("Returns entries of a stream from one ID to another.",
              "O(N), N being the number of entries returned")
        .history(&[("6.2.0", "Bounds may be left out of the range.")]),
    row("xread", -4, READONLY | BLOCKING | MOVABLEKEYS, Group::Stream, "5.0.0", xread)
        .keys(&[KeySpec::after("STREAMS", 1, -1, 2, KS_RO | KS_ACCESS)])
        .args("[COUNT count:int] [MAXCOUNT maxcount:int@8.10.0] [MAXSIZE maxsize:int@8.10.0] \
               [BLOCK milliseconds:int] STREAMS{key... id...}")
        .docs("Returns new entries of streams; waits for some if asked.", ""),
    row("xreadgroup", -7, CHANGES_READ_KEYS | WRITE | BLOCKING | MOVABLEKEYS, Group::Stream, "5.0.0", xreadgroup)
        .keys(&[KeySpec::after("STREAMS", 4, -1, 2, KS_RO | KS_ACCESS)])
        .args("GROUP group-block{group consumer} [COUNT count:int] [MAXCOUNT maxcount:int@8.10.0] \
               [MAXSIZE maxsize:int@8.10.0] [BLOCK milliseconds:int] \
               [CLAIM min-idle-time:int] [NOACK] STREAMS{key... id...}")
        .docs("Returns entries of streams to a consumer of a group; waits for some if asked.",
              "O(M) for each stream, M being the number of entries returned; O(N) when a new \
               entry wakes N waiting clients"),
    row("xrevrange", -4, READONLY, Group::Stream, "5.0.0", xrevrange)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key end start [COUNT count:int]")
        .docs("Returns entries of a stream from one ID down to another.",
              "O(N), N being the number of entries returned")
        .history(&[("6.2.0", "Bounds may be left out of the range.")]),
    row("xsetid", -3, WRITE | DENYOOM | FAST, Group::Stream, "5.0.0", xsetid)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key last-id [ENTRIESADDED entries-added:int@7.0.0] \
               [MAXDELETEDID max-deleted-id@7.0.0]")
        .docs("Sets the last ID of a stream, as replication does.", "O(1)")
        .history(&[("7.0.0", "New options ENTRIESADDED and MAXDELETEDID.")]),
    row("xtrim", -4, WRITE, Group::Stream, "5.0.0", xtrim)
        .keys(&[KeySpec::at(1, KS_RW | KS_DELETE)])
        .args("key trim{strategy(MAXLEN | MINID@6.2.0) [operator(equal='=' \
               | approximately='~')] threshold [LIMIT count:int@6.2.0] \
               [condition(KEEPREF | DELREF | ACKED)]}")
        .tips(&["nondeterministic_output"])
        .docs("Deletes the oldest entries of a stream.",
              "O(N), N being the number of entries deleted")
        .history(&[
            ("6.2.0", "New options MINID and LIMIT."),
            ("8.2.0", "New options KEEPREF, DELREF and ACKED."),
        ]),
];

/// When nodes are full, as configured.
fn limits(live: &Live) -> Limits {
    Limits {
        node_bytes: live.stream_node_max_bytes.load(Relaxed),
        node_entries: live.stream_node_max_entries.load(Relaxed),
    }
}

/// Takes KEEPREF, DELREF or ACKED.
fn refs_keyword(args: &mut Args<'_>) -> Option<Refs> {
    [
        ("KEEPREF", Refs::Keep),
        ("DELREF", Refs::Delete),
        ("ACKED", Refs::Acknowledged),
    ]
    .into_iter()
    .find(|(word, _)| args.keyword(word))
    .map(|(_, refs)| refs)
}

// ---- Adding and trimming

/// Which ID a new entry is to have.
#[derive(Clone, Copy)]
enum NewId {
    Auto,
    /// The milliseconds, and the sequence number if it is given.
    Given(u64, Option<u64>),
}

/// The options that XADD and XTRIM share.
struct Options<'a> {
    trim: Option<Trim>,
    no_create: bool,
    id: Option<NewId>,
    once: Option<Once<'a>>,
}

/// Reads them up to XADD's ID, or all of XTRIM's. `replayed`: they stand in a log, or in a primary's stream.
fn options<'a>(
    args: &mut Args<'a>,
    adding: bool,
    live: &Live,
    replayed: bool,
) -> Result<Options<'a>> {
    let (mut keep, mut approximate, mut refs) = (None, false, None);
    let mut once = None;
    let (mut limit, mut no_create, mut id) = (None, false, None);
    while let Some(word) = args.peek() {
        if adding && word == b"*" {
            args.take();
            id = Some(NewId::Auto);
            break;
        }
        let by_length = args.keyword_with_value("MAXLEN");
        if by_length || args.keyword_with_value("MINID") {
            if keep.is_some() {
                return Err(Error::new(
                    "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
                ));
            }
            approximate = false;
            if args.left() >= 2 {
                approximate = args.keyword("~");
                if !approximate {
                    args.keyword("=");
                }
            }
            keep = Some(if by_length {
                let n = args.int();
                args.check()?;
                Keep::Last(
                    u64::try_from(n)
                        .map_err(|_| Error::new("ERR The MAXLEN argument must be >= 0."))?,
                )
            } else {
                Keep::From(ids::strict(args.take())?)
            });
        } else if args.keyword_with_value("LIMIT") {
            let n = args.int();
            args.check()?;
            limit = Some(
                u64::try_from(n).map_err(|_| Error::new("ERR The LIMIT argument must be >= 0."))?,
            );
        } else if adding && args.keyword("NOMKSTREAM") {
            no_create = true;
        } else if refs.is_none()
            && let Some(chosen) = refs_keyword(args)
        {
            refs = Some(chosen);
        } else if adding && let Some(message) = Once::take(args, once.is_some())? {
            once = Some(message);
        } else if adding {
            let (ms, seq) = ids::of_new(args.take())?;
            if once.is_some() {
                return Err(Error::new(
                    "ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs",
                ));
            }
            id = Some(NewId::Given(ms, seq));
            break;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    if limit.is_some_and(|n| n != 0) && keep.is_none() {
        return Err(Error::new(
            "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
        ));
    }
    if !adding && keep.is_none() {
        return Err(Error::new(
            "ERR syntax error, XTRIM must be called with a trimming strategy",
        ));
    }
    if replayed {
        // What was trimmed is said exactly. Real servers only write an = over the ~ for that, and leave the limit behind it.
        limit = Some(0);
    } else if limit.is_some() && !approximate {
        return Err(Error::new(
            "ERR syntax error, LIMIT cannot be used without the special ~ option",
        ));
    }
    // Approximate trimming is bounded even if nobody says so: by some hundred nodes.
    let limit = limit.unwrap_or_else(|| match live.stream_node_max_entries.load(Relaxed) {
        _ if !approximate => 0,
        0 => 10_000,
        n => (n as u64).saturating_mul(100).min(1_000_000),
    });
    Ok(Options {
        trim: keep.map(|keep| Trim {
            keep,
            approximate,
            limit,
            refs: refs.unwrap_or_default(),
        }),
        no_create,
        id,
        once,
    })
}

/// The ID that an entry to be added gets.
fn choose_id(stream: &Stream, wanted: NewId, now_ms: u64) -> Result<StreamId> {
    let last = stream.view().last_id();
    if last == StreamId::MAX {
        return Err(Error::new(
            "ERR The stream has exhausted the last possible ID, unable to add more items",
        ));
    }
    let id = match wanted {
        NewId::Auto => stream.next_id(now_ms),
        NewId::Given(ms, Some(seq)) => Some(StreamId::new(ms, seq)),
        NewId::Given(ms, None) if ms == last.ms => {
            last.seq.checked_add(1).map(|seq| StreamId::new(ms, seq))
        }
        NewId::Given(ms, None) => Some(StreamId::new(ms, 0)),
    };
    id.filter(|id| *id > last).ok_or(Error::new(
        "ERR The ID specified in XADD is equal or smaller than the target stream top item",
    ))
}

fn xadd(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let live = &ctx.engine.config().live;
    let key = args.take();
    let options = options(&mut args, true, live, ctx.session.replays)?;
    let pairs = args.rest();
    let Some(wanted) = options
        .id
        .filter(|_| pairs.len() >= 2 && pairs.len().is_multiple_of(2))
    else {
        return Err(Error::wrong_arity(ctx.command.name));
    };
    if matches!(wanted, NewId::Given(0, Some(0))) {
        return Err(Error::new(
            "ERR The ID specified in XADD must be greater than 0-0",
        ));
    }
    let (now_ms, limits) = (ctx.keys.now_ms, limits(live));
    let once = options
        .once
        .map(|once| (once.producer, once.name_of(pairs)));
    let add = |stream: &mut Stream| {
        if let Some((producer, name)) = &once
            && let Some(id) = known(stream, producer, name, now_ms)
        {
            return Ok((id, None));
        }
        let id = choose_id(stream, wanted, now_ms)?;
        // Nodes count their bytes in 32 bits.
        if pairs.iter().map(|text| text.len()).sum::<usize>() > 1 << 30 {
            return Err(Error::new("ERR Elements are too large to be stored"));
        }
        stream.append(id, pairs, limits);
        let trimmed = options.trim.map_or(0, |trim| stream.trim(trim));
        if let Some((producer, name)) = &once {
            let known = stream.idempotency_mut();
            known.remember(producer, name, id, now_ms);
        }
        Ok((id, Some(trimmed)))
    };
    let (id, trimmed) = match ctx.keys.edit(key, add)? {
        Some(id) => id?,
        None if options.no_create => {
            ctx.out.null();
            return Ok(());
        }
        None => {
            let mut stream = new_stream(live);
            let done = add(&mut stream)?;
            ctx.keys.put(key, stream);
            done
        }
    };
    ids::reply(ctx.out, id);
    let Some(trimmed) = trimmed else {
        // It is there already, which real servers count as a change all the same.
        ctx.keys.count_changes(1);
        return Ok(());
    };
    ctx.keys.changed(key, Event::stream("xadd"));
    if trimmed > 0 {
        ctx.keys.changed_too(key, Event::stream("xtrim"));
    }
    if ctx.keys.recording() {
        let id = id_text(id);
        let mut argv: Vec<&[u8]> = vec![b"XADD", key];
        let trim = (trimmed > 0).then(|| trim_record(ctx, key, options.trim));
        if let Some(trim) = &trim {
            argv.extend(trim.iter().map(|word| &word[..]));
        }
        argv.push(&id);
        argv.extend(pairs);
        ctx.keys.record(&argv);
        if let Some((producer, name)) = &once {
            ctx.keys.record(&[b"XIDMPRECORD", key, producer, name, &id]);
        }
    }
    Ok(())
}

fn xtrim(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let live = &ctx.engine.config().live;
    let options = options(&mut args, false, live, ctx.session.replays)?;
    let trimmed = ctx.keys.edit(key, |s: &mut Stream| {
        options.trim.map_or(0, |trim| s.trim(trim))
    })?;
    let trimmed = trimmed.unwrap_or(0);
    if trimmed > 0 {
        ctx.keys
            .changed_times(key, Event::stream("xtrim"), trimmed as usize);
        let trim = trim_record(ctx, key, options.trim);
        let mut argv: Vec<&[u8]> = vec![b"XTRIM", key];
        argv.extend(trim.iter().map(|word| &word[..]));
        ctx.keys.record(&argv);
    }
    ctx.out.int(trimmed as i64);
    Ok(())
}

/// The options that leave as many entries as there are now, however the nodes of whoever does it again are filled.
fn trim_record(ctx: &Ctx<'_>, key: &[u8], trim: Option<Trim>) -> Vec<Vec<u8>> {
    let stream = ctx.keys.peek_view::<Stream>(key).ok().flatten();
    let len = stream.map_or(0, |s| s.len());
    let mut words: Vec<Vec<u8>> = Vec::new();
    // What is not said is KEEPREF, which older servers do not know.
    match trim.map_or(Refs::default(), |trim| trim.refs) {
        Refs::Keep => {}
        Refs::Delete => words.push(b"DELREF".to_vec()),
        Refs::Acknowledged => words.push(b"ACKED".to_vec()),
    }
    words.extend([
        b"MAXLEN".to_vec(),
        b"=".to_vec(),
        len.to_string().into_bytes(),
    ]);
    words
}

/// An ID as commands write it.
pub(super) fn id_text(id: StreamId) -> Vec<u8> {
    format!("{}-{}", id.ms, id.seq).into_bytes()
}

// ---- Reading

fn xlen(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let stream = ctx.keys.view::<Stream>(args.take())?;
    ctx.out.int(stream.map_or(0, |s| s.len() as i64));
    Ok(())
}

fn range(ctx: &mut Ctx<'_>, mut args: Args<'_>, backwards: bool) -> Result {
    let key = args.take();
    let (mut from, mut to) = (args.take(), args.take());
    if backwards {
        std::mem::swap(&mut from, &mut to);
    }
    let (start, end) = (ids::start(from)?, ids::end(to)?);
    let mut count = None;
    while args.left() > 0 {
        if !args.keyword_with_value("COUNT") {
            return Err(Error::SYNTAX);
        }
        let n = args.int();
        args.check()?;
        count = Some(n.max(0) as usize);
    }
    let may_move = ctx.must_move(count.unwrap_or(usize::MAX));
    match ctx.keys.view::<Stream>(key)? {
        None => ctx.out.array(0),
        Some(_) if count == Some(0) => ctx.out.null_array(),
        Some(s) => {
            // How long a range is shows only when it has been read.
            let most = if may_move {
                LONG_WORK
            } else {
                count.unwrap_or(0)
            };
            let mark = ctx.out.mark();
            let n = if backwards {
                ids::reply_entries(ctx.out, s.range_back(start, end), most)
            } else {
                ids::reply_entries(ctx.out, s.range(start, end), most)
            };
            if may_move && n == LONG_WORK {
                ctx.out.rollback(mark);
                return ctx.move_after_read();
            }
        }
    }
    Ok(())
}

fn xrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    range(ctx, args, false)
}

fn xrevrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    range(ctx, args, true)
}

// ---- Deleting

fn xdel(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    if ctx.keys.view::<Stream>(key)?.is_none() {
        ctx.out.int(0);
        return Ok(());
    }
    let wanted = ids::rest(&args)?;
    let deleted = ctx.keys.edit(key, |s: &mut Stream| {
        wanted.iter().filter(|id| s.delete(**id)).count()
    })?;
    let deleted = deleted.unwrap_or(0);
    if deleted > 0 {
        ctx.keys.changed_times(key, Event::stream("xdel"), deleted);
    }
    ctx.out.int(deleted as i64);
    Ok(())
}

/// The arguments of XDELEX and XACKDEL behind key and group: what to do with references, and the IDs, still as text.
pub(super) fn refs_and_ids<'a>(args: &mut Args<'a>) -> Result<(Refs, &'a [&'a [u8]])> {
    let (mut refs, mut wanted) = (None, None);
    while args.left() > 0 {
        if refs.is_none()
            && let Some(chosen) = refs_keyword(args)
        {
            refs = Some(chosen);
        } else if args.keyword_with_value("IDS") {
            let count = parse_i64(args.take()).filter(|n| *n > 0);
            let count = count.ok_or(Error::new("ERR Number of IDs must be a positive integer"))?;
            let rest = args.rest();
            let these = rest.get(..count as usize).ok_or(Error::new(
                "ERR The `numids` parameter must match the number of arguments",
            ))?;
            for _ in these {
                args.take();
            }
            wanted = Some(these);
        } else {
            return Err(Error::SYNTAX);
        }
    }
    Ok((refs.unwrap_or_default(), wanted.ok_or(Error::SYNTAX)?))
}

/// Reads the IDs that [`refs_and_ids`] found.
pub(super) fn parse_all(texts: &[&[u8]]) -> Result<Vec<StreamId>> {
    texts.iter().map(|text| ids::strict(text)).collect()
}

fn xdelex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let exists = ctx.keys.view::<Stream>(key)?.is_some();
    let (refs, texts) = refs_and_ids(&mut args)?;
    ctx.out.array(texts.len());
    if !exists {
        texts.iter().for_each(|_| ctx.out.int(-1));
        return Ok(());
    }
    let wanted = parse_all(texts)?;
    let out = &mut *ctx.out;
    let (mut deleted, mut dropped) = (0, 0);
    ctx.keys.edit(key, |s: &mut Stream| {
        for id in wanted {
            out.int(match s.delete_with(id, refs) {
                None => {
                    // Groups may still hold what was deleted without looking at them.
                    dropped += usize::from(refs == Refs::Delete && s.drop_references(id));
                    -1
                }
                Some(true) => {
                    deleted += 1;
                    1
                }
                Some(false) => 2,
            });
        }
    })?;
    if deleted > 0 {
        ctx.keys.changed_times(key, Event::stream("xdel"), deleted);
    } else if dropped > 0 {
        tell_silently(&mut ctx.keys, key, dropped);
    }
    Ok(())
}

fn xsetid(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let id = ids::strict(args.take())?;
    let (mut added, mut max_deleted) = (None, None);
    while args.left() > 0 {
        if args.keyword_with_value("ENTRIESADDED") {
            let n = args.int();
            args.check()?;
            let n = u64::try_from(n);
            added = Some(n.map_err(|_| Error::new("ERR entries_added must be positive"))?);
        } else if args.keyword_with_value("MAXDELETEDID") {
            let deleted = ids::strict(args.take())?;
            if id < deleted {
                return Err(Error::new(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
            max_deleted = Some(deleted).filter(|id| !id.is_zero());
        } else {
            return Err(Error::SYNTAX);
        }
    }
    // It is looked for to be changed.
    let _ = ctx.keys.write(key);
    let stream = ctx
        .keys
        .peek_view::<Stream>(key)?
        .ok_or(Error::NO_SUCH_KEY)?;
    // Some servers let a stream be set back behind what was deleted; what they have done is done here too.
    let may_go_back = ctx.session.replays;
    check_last_id(stream, id, added, may_go_back)?;
    ctx.keys
        .edit(key, |s: &mut Stream| s.set_last_id(id, added, max_deleted))?;
    ctx.keys.changed(key, Event::stream("xsetid").aside());
    ctx.out.ok();
    Ok(())
}

/// Whether a stream could have this last ID and this many entries ever added.
fn check_last_id(
    stream: StreamRef<'_>,
    id: StreamId,
    added: Option<u64>,
    may_go_back: bool,
) -> Result {
    if !may_go_back && id < stream.max_deleted_id() {
        return Err(Error::new(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if let Some(last) = stream.last() {
        if id < last.id {
            return Err(Error::new(
                "ERR The ID specified in XSETID is smaller than the target stream top item",
            ));
        }
        if added.is_some_and(|n| n < stream.len() as u64) {
            return Err(Error::new(
                "ERR The entries_added specified in XSETID is smaller than the target stream length",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
