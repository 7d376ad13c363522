//! The commands, a family a file: rows at the top, handlers below.

use crate::command::Command;

pub mod string;

/// Every family's rows, in the order COMMAND lists them.
pub const FAMILIES: &[&[Command]] = &[string::COMMANDS];

/// Whether a command is CLIENT or one of its subcommands, which work while clients are paused.
pub fn is_client_command(command: &Command) -> bool {
    command.name.starts_with("client|")
}
