//! What stands between a command and its execution: the checks it has to pass, and the queue of MULTI.

use crate::base::error::Error;
use crate::base::stats::Counters;
use crate::context::command::{Command, Entry, NO_MULTI};
use crate::context::next::Next;
use crate::context::session::{ReplyMode, Session};
use crate::dispatch::execute::mute;
use crate::dispatch::look_ahead::Planned;
use crate::table::registry::KeyLayout;
use resp::{Mark, Out};
use std::sync::atomic::Ordering::Relaxed;

/// Whether a first word is that of an HTTP request. A web page can make a browser send one to any local port, with a body
/// of the page's choice, so such a connection must be closed before more of it is taken for commands.
#[cold]
pub(super) fn is_http(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"post") || word.eq_ignore_ascii_case(b"host:")
}

/// Ends a transaction whose EXEC is refused; the error that says so.
#[cold]
pub(super) fn abort_exec(session: &mut Session, why: &Error) -> Error {
    session.end_multi();
    session.unwatch();
    let text = why.0.trim_start_matches("ERR ");
    Error::new(format!(
        "EXECABORT Transaction discarded because of: {text}"
    ))
}

/// Answers a command that is not executed.
#[cold]
pub(super) fn refuse(
    counters: &Counters,
    session: &mut Session,
    out: &mut Out,
    mark: Mark,
    error: &Error,
) -> Next {
    counters.error(error.code());
    out.error(&error.0);
    if session.tracks_reads {
        session.end_caching();
    }
    if session.reply_mode != ReplyMode::On {
        mute(session, out, mark);
    }
    Next::Done
}

/// Whether a command is one of the few that a client of RESP2, which could not tell replies from messages, may use while it
/// subscribes to something.
#[cold]
pub(super) fn goes_on_while_subscribed(command: &Command) -> bool {
    [
        "ping",
        "subscribe",
        "ssubscribe",
        "unsubscribe",
        "sunsubscribe",
        "psubscribe",
        "punsubscribe",
        "quit",
        "reset",
    ]
    .contains(&command.name)
}

/// Puts a command into the queue of the transaction that it is part of.
pub(super) fn enqueue(
    counters: &Counters,
    session: &mut Session,
    entry: &Entry,
    planned: &Planned,
    argv: &[&[u8]],
    out: &mut Out,
    mark: Mark,
) -> Next {
    let Some(multi) = &mut session.multi else {
        unreachable!("only a transaction's commands are queued")
    };
    if entry.command.has(NO_MULTI) {
        multi.aborted = true;
        counters.commands[entry.id].rejected.add(1);
        let error = Error::new("ERR Command not allowed inside a transaction");
        return refuse(counters, session, out, mark, &error);
    }
    let hash = match entry.keys {
        KeyLayout::One(i) if planned.hashed => Some((i, planned.hash)),
        _ => None,
    };
    multi.push(entry, argv, hash);
    let limits = &session.engine.config().live;
    if multi.memory() >= limits.client_query_buffer_limit.load(Relaxed) {
        tracing::warn!(
            "client {} has queued more than client-query-buffer-limit allows; its connection is closed",
            session.client.id
        );
        return Next::CloseNow;
    }
    session.client.queued.store(multi.len() + 1, Relaxed);
    out.simple("QUEUED");
    if session.reply_mode != ReplyMode::On {
        mute(session, out, mark);
    }
    Next::Done
}
