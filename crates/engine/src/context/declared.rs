//! What a call says before it runs, by which it is let in or held: a script's own flags count more than its command's.

use crate::context::command::{Command, LIKE_WRITE, READONLY, RUNS_SCRIPT, WRITE};
use crate::context::engine::Engine;
use lua::Flags;

impl Engine {
    /// What the script or function of a call says of itself. None if it says nothing, is not known, or this is no such call.
    pub(crate) fn declared(&self, command: &Command, argv: &[&[u8]]) -> Option<Flags> {
        let (scripts, name) = (&self.scripts, argv.get(1)?);
        if !command.has(RUNS_SCRIPT) {
            return None;
        }
        match command.name {
            "eval" | "eval_ro" => {
                let header = lua::shebang::script(name).ok()?;
                header.present.then_some(header.flags)
            }
            "evalsha" | "evalsha_ro" => scripts.get(name)?.flags,
            _ => Some(scripts.libraries.current().get(name)?.1.flags),
        }
    }

    /// Whether a call may change something, as far as is known before it runs: what the script declares counts more than what its
    /// command does.
    pub(crate) fn may_write(&self, command: &Command, argv: &[&[u8]]) -> bool {
        match self.declared(command, argv) {
            Some(flags) => !flags.contains(Flags::NO_WRITES),
            None => {
                command.has(WRITE | LIKE_WRITE)
                    || command.has(RUNS_SCRIPT) && !command.has(READONLY)
            }
        }
    }
}
