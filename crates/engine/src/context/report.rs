//! What a panic leaves in the log, beside its place in the code: what ran, where, for whom, and what came before it. Names of
//! commands, lengths and numbers, and nothing that a client has sent.

use crate::context::command::Entry;
use crate::context::ctx::Ctx;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

/// Arguments whose lengths are told.
const MOST_LENGTHS: usize = 16;

/// Logs what is known of a command whose handler has panicked.
#[cold]
pub(crate) fn panicked(ctx: &Ctx<'_>, entry: &Entry, argv: &[&[u8]]) {
    tracing::error!("{}", text(ctx, entry, argv));
}

fn text(ctx: &Ctx<'_>, entry: &Entry, argv: &[&[u8]]) -> String {
    let client = &ctx.session.client;
    let lengths: Vec<String> = argv
        .iter()
        .skip(1)
        .take(MOST_LENGTHS)
        .map(|arg| arg.len().to_string())
        .collect();
    let names: Vec<&str> = {
        let registry = ctx.registry();
        let name = |id| {
            let found = registry.iter_all().find(|entry| entry.id == id);
            found.map_or("?", |entry| entry.command.name)
        };
        ctx.keys.counters.recent().into_iter().map(name).collect()
    };
    let within = match (ctx.in_script, ctx.nested) {
        (true, _) => ", in a script",
        (false, true) => ", in a transaction",
        (false, false) => "",
    };
    let helper = if ctx.helper.get() {
        ", on a helper thread"
    } else {
        ""
    };
    let (thread, words) = (std::thread::current(), client.words.lock());
    let mut text =
        String::from("=== report of a panic: one command has failed, the server goes on ===");
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "\n  command: {} with {} arguments of {} bytes{within}{helper}\n  \
         client: id {}, user {}, library {} {}, database {}, {} commands before, RESP{}\n  \
         thread: {}\n  before it on this thread, the latest first: {}\n  version: {}, {} keys",
        entry.command.name,
        argv.len().saturating_sub(1),
        lengths.join("/"),
        client.id,
        words.user,
        words.lib_name,
        words.lib_version,
        ctx.session.db,
        client.commands.load(Relaxed),
        client.proto.load(Relaxed),
        thread.name().unwrap_or("?"),
        names.join(" "),
        crate::VERSION,
        (0..ctx.keys.ks.databases())
            .map(|db| ctx.keys.ks.counts(db).keys)
            .sum::<usize>(),
    );
    text
}
