//! A client as one line: what CLIENT LIST prints of each, CLIENT INFO of one, and ACL LOG of the one that was refused something.

use crate::client::clients::{Client, Kind};
use crate::follow::tracking::state;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

/// The letters CLIENT LIST shows for a client.
pub(crate) fn flags(client: &Client) -> String {
    let tracking = client.tracking.load(Relaxed);
    let letters = [
        ('S', client.follows.load(Relaxed)),
        ('M', client.kind == Kind::Primary),
        ('O', client.monitors.load(Relaxed)),
        ('P', client.subscribes()),
        ('x', client.queued.load(Relaxed) > 0),
        ('b', client.is_blocked()),
        ('t', tracking & state::ON != 0),
        ('R', tracking & state::BROKEN_REDIRECT != 0),
        ('B', tracking & state::BCAST != 0),
        ('U', client.kind == Kind::Unix),
        ('e', client.no_evict.load(Relaxed)),
        ('T', client.no_touch.load(Relaxed)),
    ];
    let shown: String = letters
        .iter()
        .filter(|(_, on)| *on)
        .map(|(letter, _)| *letter)
        .collect();
    if shown.is_empty() { "N".into() } else { shown }
}

/// The letters CLIENT LIST shows for what a client has said it can do.
pub(crate) fn capa(client: &Client) -> &'static str {
    if client.can_redirect.load(Relaxed) {
        "r"
    } else {
        ""
    }
}

/// Appends a client's line, with its end. `asking`: it is the one whose command this is for; `command`: the name of its last one.
pub(crate) fn describe(
    client: &Client,
    asking: bool,
    now_s: u64,
    command: &str,
    into: &mut String,
) {
    let get = |n: &std::sync::atomic::AtomicUsize| n.load(Relaxed);
    let (query, query_free) = (get(&client.query_bytes), get(&client.query_free));
    let unsent = client.unsent_bytes();
    let [channels, patterns, shards] = &client.subscriptions;
    let words = client.words.lock();
    let _ = writeln!(
        into,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={}{} db={} sub={} psub={} ssub={} multi={} \
         watch={} qbuf={} qbuf-free={} argv-mem={} multi-mem={} rbs=0 rbp=0 obl=0 oll={} omem={} tot-mem={} events={} \
         cmd={} user={} redir={} resp={} lib-name={} lib-ver={} io-thread={} tot-net-in={} tot-net-out={} tot-cmds={}",
        client.id,
        client.addr,
        client.laddr,
        client.fd,
        words.name,
        now_s.saturating_sub(client.since_s),
        if asking { 0 } else { client.idle_s(now_s) },
        flags(client),
        // Clients there are that refuse a line with a field they do not know, so it is there for those who know it.
        match capa(client) {
            "" => String::new(),
            letters => format!(" capa={letters}"),
        },
        client.db.load(Relaxed),
        get(channels),
        get(patterns),
        get(shards),
        get(&client.queued) as i64 - 1,
        get(&client.watched),
        query,
        query_free,
        get(&client.argument_bytes),
        get(&client.queued_bytes),
        get(&client.reply_chunks) + client.outbox.len(),
        unsent,
        client.memory_with_stream(),
        if unsent > 0 { "rw" } else { "r" },
        command,
        words.user,
        match client.tracking.load(Relaxed) {
            0 => -1,
            _ => client.redirects_to.load(Relaxed) as i64,
        },
        client.proto.load(Relaxed),
        words.lib_name,
        words.lib_version,
        get(&client.thread),
        client.net_in.load(Relaxed),
        client.net_out.load(Relaxed),
        client.commands.load(Relaxed),
    );
}
