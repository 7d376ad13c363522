//! What becomes of a request that is not carried out now: refused, put off, or queued by MULTI. Whether it may run says the
//! [gate].

use crate::base::error::Error;
use crate::base::stats::Counters;
use crate::context::command::{Entry, RUNS_QUEUE};
use crate::context::gate::{self, CLIENT, Closed};
use crate::context::next::Next;
use crate::context::session::{ReplyMode, Session};
use crate::dispatch::execute::mute;
use crate::dispatch::look_ahead::Planned;
use crate::door::known::{KnownKey, PlacedKey};
use crate::table::positions::each_key;
use resp::{Mark, Out};
use smallvec::SmallVec;
use std::sync::atomic::Ordering::Relaxed;

/// Answers a command that there is not.
#[cold]
pub(super) fn reject_unknown(
    counters: &Counters,
    session: &mut Session,
    argv: &[&[u8]],
    out: &mut Out,
    mark: Mark,
) -> Next {
    if is_http(argv[0]) {
        tracing::warn!(
            "a client speaks HTTP (perhaps against its user's will); its connection is closed"
        );
        return Next::CloseNow;
    }
    if let Some(multi) = &mut session.multi {
        multi.aborted = true;
    }
    let error = gate::unknown(&session.engine, CLIENT, argv);
    refuse(counters, session, out, mark, &error)
}

/// Whether a first word is that of an HTTP request. A web page can make a browser send one to any local port, with a body
/// of the page's choice, so such a connection must be closed before more of it is taken for commands.
fn is_http(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"post") || word.eq_ignore_ascii_case(b"host:")
}

/// Answers a command, or puts it off, that the gate does not let in. A transaction that it was to be part of fails.
#[cold]
pub(super) fn reject(
    counters: &Counters,
    session: &mut Session,
    entry: &Entry,
    closed: Closed,
    out: &mut Out,
    mark: Mark,
) -> Next {
    session.leave_lines();
    let error = match closed {
        Closed::Until(opens) => {
            let waker = session.client.waker();
            return Next::Retry(opens.wait(&mut session.in_line, &waker));
        }
        Closed::Refused(error) => error,
    };
    counters.commands[entry.id].rejected.add(1);
    if entry.command.has(RUNS_QUEUE) {
        let error = abort_multi(session, &error);
        return refuse(counters, session, out, mark, &error);
    }
    if let Some(multi) = &mut session.multi {
        multi.aborted = true;
    }
    refuse(counters, session, out, mark, &error)
}

/// Ends a transaction whose EXEC is refused; the error that says so.
fn abort_multi(session: &mut Session, why: &Error) -> Error {
    session.end_multi();
    session.unwatch();
    let text = why.bytes();
    let text = text.strip_prefix(b"ERR ").unwrap_or(text);
    Error::quoting("EXECABORT Transaction discarded because of: {}", &[text])
}

/// Answers a command that is not executed.
fn refuse(
    counters: &Counters,
    session: &mut Session,
    out: &mut Out,
    mark: Mark,
    error: &Error,
) -> Next {
    counters.error(error.code());
    out.error_bytes(error.bytes());
    if session.tracks_reads {
        session.end_caching();
    }
    if session.reply_mode != ReplyMode::On {
        mute(session, out, mark);
    }
    Next::Done
}

/// Puts a command into the queue of the transaction that it is part of; its keys are left in `known`. `flags`: what it does.
pub(super) fn enqueue(
    session: &mut Session,
    entry: &Entry,
    (planned, known): (&Planned, &mut Vec<KnownKey>),
    flags: u64,
    argv: &[&[u8]],
    out: &mut Out,
    mark: Mark,
) -> Next {
    let Some(multi) = &mut session.multi else {
        unreachable!("only a transaction's commands are queued")
    };
    let (ks, first) = (session.engine.keyspace(), planned.place());
    let mut keys: SmallVec<[PlacedKey; 8]> = SmallVec::new();
    each_key(entry, argv, |i, _| {
        let first = first.filter(|_| keys.is_empty());
        let place = first.unwrap_or_else(|| ks.place(argv[i]));
        keys.push(PlacedKey::new(i, place));
    });
    let places = keys
        .iter()
        .map(|key| KnownKey::new(argv[key.index as usize], key.place));
    known.clear();
    known.extend(places);
    multi.push(entry, argv, &keys, flags);
    let limits = &session.engine.config().live;
    if multi.memory() >= limits.client_query_buffer_limit.load(Relaxed) {
        tracing::warn!(
            "client {} has queued more than client-query-buffer-limit allows; its connection is closed",
            session.client.id
        );
        return Next::CloseNow;
    }
    session.client.queued_bytes.store(multi.memory(), Relaxed);
    session.client.queued.store(multi.len() + 1, Relaxed);
    out.simple("QUEUED");
    if session.reply_mode != ReplyMode::On {
        mute(session, out, mark);
    }
    Next::Done
}
