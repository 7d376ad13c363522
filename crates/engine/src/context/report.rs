//! What a panic or a crash leaves in the log, beside its place in the code: what ran, where, for whom, and what came before it. Names of
//! commands, lengths and numbers; and what a client has sent only where `hide-user-data-from-log no` asks for it.

use crate::context::command::Entry;
use crate::context::ctx::Ctx;
use crate::context::running::Running;
use crate::follow::monitor::is_secret;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Arguments that are told, by their lengths or as they are.
const MOST_ARGUMENTS: usize = 16;

/// Bytes of an argument that are told.
const MOST_BYTES: usize = 128;

/// Logs what is known of a command whose handler has panicked.
#[cold]
pub(crate) fn panicked(ctx: &Ctx<'_>, entry: &Entry, argv: &[&[u8]]) {
    let lines = lines(&ctx.running(entry, argv));
    tracing::error!(
        "=== report of a panic: one command has failed, the server goes on ==={lines}\n  thread: {}",
        std::thread::current().name().unwrap_or("?")
    );
}

impl<'e> Ctx<'e> {
    /// The note that says that a command is being carried out here.
    #[inline]
    pub(crate) fn running<'a>(&self, entry: &'a Entry, argv: &'a [&'a [u8]]) -> Running<'a>
    where
        'e: 'a,
    {
        Running {
            entry,
            argv,
            engine: self.engine,
            counters: Some(self.keys.counters),
            client: Arc::as_ptr(&self.session.client),
            db: self.session.db,
            in_script: self.in_script,
            nested: self.nested,
            helper: self.helper.get(),
            within: Running::innermost(),
        }
    }
}

/// What a command is, of whom and after which others; each line begins with a line feed. Waits for no lock: of a thread that has
/// crashed nobody knows which it holds.
pub(crate) fn lines(running: &Running<'_>) -> String {
    // SAFETY: the session that carries the command out outlives that, and keeps its client.
    let client = unsafe { &*running.client };
    let (entry, argv) = (running.entry, running.argv);
    let lengths: Vec<String> = argv
        .iter()
        .skip(1)
        .take(MOST_ARGUMENTS)
        .map(|arg| arg.len().to_string())
        .collect();
    let within = match (running.in_script, running.nested) {
        (true, _) => ", in a script",
        (false, true) => ", in a transaction",
        (false, false) => "",
    };
    let helper = match running.helper {
        true => ", on a helper thread",
        false => "",
    };
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "\n  command: {} with {} arguments of {} bytes{within}{helper}",
        entry.command.name,
        argv.len().saturating_sub(1),
        lengths.join("/"),
    );
    // SAFETY: what it is part of stands further out on the same stack.
    let mut outer = unsafe { running.within.as_ref() };
    while let Some(running) = outer {
        let _ = write!(text, "\n  part of: {}", running.entry.command.name);
        // SAFETY: as above.
        outer = unsafe { running.within.as_ref() };
    }
    if !running.engine.config().live.hide_user_data.load(Relaxed) {
        for (i, arg) in argv.iter().enumerate().take(MOST_ARGUMENTS + 1) {
            let shown = match is_secret(&entry.command.facts, argv, i) {
                true => "(redacted)".to_owned(),
                false => quoted(arg),
            };
            let _ = write!(text, "\n  argument {i}: {shown}");
        }
    }
    let _ = write!(text, "\n  client: id {}", client.id);
    if let Some(words) = client.words.try_lock() {
        let _ = write!(
            text,
            ", user {}, library {} {}",
            words.user, words.lib_name, words.lib_version
        );
    }
    let registry = running.engine.registry();
    let name = |id| {
        let found = registry.iter_all().find(|entry| entry.id == id);
        found.map_or("?", |entry| entry.command.name)
    };
    let before = running.counters.map(|counters| counters.recent());
    let before: Vec<&str> = before.unwrap_or_default().into_iter().map(name).collect();
    let keyspace = running.engine.keyspace();
    let keys = (0..keyspace.databases()).map(|db| keyspace.counts(db).keys);
    let _ = write!(
        text,
        ", database {}, {} commands before, RESP{}\n  \
         before it on this thread, the latest first: {}\n  version: {}, {} keys",
        running.db,
        client.commands.load(Relaxed),
        client.proto.load(Relaxed),
        before.join(" "),
        crate::VERSION,
        keys.sum::<usize>(),
    );
    text
}

/// An argument as text that nothing in it breaks out of, shortened.
fn quoted(arg: &[u8]) -> String {
    let kept = &arg[..arg.len().min(MOST_BYTES)];
    match arg.len() - kept.len() {
        0 => format!("\"{}\"", kept.escape_ascii()),
        more => format!("\"{}\"... ({more} more bytes)", kept.escape_ascii()),
    }
}
