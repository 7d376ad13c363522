//! What a call says before it runs, by which it is let in or held: a script's own flags count more than its command's.

use crate::context::engine::Engine;
use crate::table::row::{BY_DIGEST, BY_NAME, DENYOOM, Facts, LIKE_WRITE, READONLY, STALE, WRITE};
use lua::Flags;

impl Engine {
    /// The flags of a call that runs a script: its row's, but where the script says what it does, that. One that says nothing,
    /// or is not known, may do anything that its row allows.
    #[cold]
    pub(crate) fn flags_of_script(&self, facts: &Facts, argv: &[&[u8]]) -> u64 {
        match self.declared(facts, argv) {
            Some(declared) => with_declared(facts.flags, declared),
            None if facts.has(READONLY) => facts.flags,
            None => facts.flags | LIKE_WRITE,
        }
    }

    /// Whether a call that runs a script may do so on a replica without its primary that shows no old data: if the script says so. One
    /// that says nothing about itself is `queued` all the same, and refused when it is to run; one that is not known has its own error.
    #[cold]
    pub(crate) fn may_be_stale(&self, facts: &Facts, argv: &[&[u8]], queued: bool) -> bool {
        let Some(which) = argv.get(1) else {
            return true;
        };
        let known = match (facts.has(BY_DIGEST), facts.has(BY_NAME)) {
            (true, _) => self.scripts.get(which).is_some(),
            (_, true) => self.scripts.libraries.current().get(which).is_some(),
            _ => lua::shebang::script(which).is_ok(),
        };
        match self.declared(facts, argv) {
            Some(declared) => declared.contains(Flags::ALLOW_STALE),
            None => queued || !known,
        }
    }

    /// What the script or function of a call says of itself. None if it says nothing or is not known.
    fn declared(&self, facts: &Facts, argv: &[&[u8]]) -> Option<Flags> {
        let (scripts, which) = (&self.scripts, argv.get(1)?);
        if facts.has(BY_DIGEST) {
            return scripts.get(which)?.flags;
        }
        if facts.has(BY_NAME) {
            return Some(scripts.libraries.current().get(which)?.1.flags);
        }
        let header = lua::shebang::script(which).ok()?;
        header.present.then_some(header.flags)
    }
}

/// A row's flags with what a script declares in their place.
fn with_declared(row: u64, declared: Flags) -> u64 {
    let only_reads = declared.contains(Flags::NO_WRITES);
    let mut flags = row & !(WRITE | LIKE_WRITE | DENYOOM | STALE);
    if !only_reads {
        flags |= WRITE;
    }
    if !only_reads && !declared.contains(Flags::ALLOW_OOM) {
        flags |= DENYOOM;
    }
    if declared.contains(Flags::ALLOW_STALE) {
        flags |= STALE;
    }
    flags
}

#[cfg(test)]
mod tests {
    use crate::context::command::{DENYOOM, LIKE_WRITE, STALE, WRITE};
    use crate::testing::TestClient;

    #[test]
    fn a_script_is_what_it_says() {
        let mut db = TestClient::new();
        db.raw(&["FUNCTION", "LOAD", "#!lua name=l\nredis.register_function{function_name='reads', \
            callback=function() end, flags={'no-writes'}} redis.register_function('may', function() end)"]);
        let mut load = |source: &str| {
            db.run(&format!("SCRIPT LOAD \"{source}\""))
                .trim_matches('"')
                .to_owned()
        };
        let reads = load("#!lua flags=no-writes\\nreturn 1");
        let old = load("return 1");
        let eval = ["EVAL", "EVAL_RO"];
        let evalsha = ["EVALSHA", "EVALSHA_RO"];
        let fcall = ["FCALL", "FCALL_RO"];
        let declared = WRITE | LIKE_WRITE | DENYOOM | STALE;
        for (names, which, may, reader) in [
            (eval, "return 1", LIKE_WRITE | STALE, STALE),
            (eval, "#!lua\nreturn 1", WRITE | DENYOOM, WRITE | DENYOOM),
            (eval, "#!lua flags=no-writes\nreturn 1", 0, 0),
            (eval, "#!lua flags=allow-oom\nreturn 1", WRITE, WRITE),
            (
                eval,
                "#!lua flags=no-writes,allow-stale\nreturn 1",
                STALE,
                STALE,
            ),
            (eval, "#!nonsense", LIKE_WRITE | STALE, STALE),
            (evalsha, &reads, 0, 0),
            (evalsha, &old, LIKE_WRITE | STALE, STALE),
            (evalsha, "unknown", LIKE_WRITE | STALE, STALE),
            (fcall, "reads", 0, 0),
            (fcall, "may", WRITE | DENYOOM, WRITE | DENYOOM),
            (fcall, "unknown", LIKE_WRITE | STALE, STALE),
        ] {
            for (name, expected) in names.into_iter().zip([may, reader]) {
                let argv = [name.as_bytes(), which.as_bytes(), b"0"];
                let entry = db.engine.registry().resolve(&argv).expect("a command");
                let flags = db.engine.flags_of_script(entry.command, &argv);
                assert_eq!(flags & declared, expected, "{name} {which}");
            }
        }
    }
}
