//! Rows with their handlers: the table's rows, for handlers that get a [`Ctx`].

use crate::base::args::Args;
use crate::base::error::Error;
use crate::context::ctx::Ctx;
pub use crate::table::row::*;

/// Carries a command out: reads its arguments from the cursor, works on the keys that dispatch has locked, and
/// writes one reply to `ctx.out`. An `Err` becomes the reply instead of whatever had been written.
pub type Handler = for<'a, 'b, 'c> fn(&'a mut Ctx<'b>, Args<'c>) -> Result<(), Error>;

/// A command with its handler.
pub type Command = crate::table::row::Command<Handler>;

/// A command of the registry.
pub type Entry = crate::table::registry::Entry<Handler>;

/// All commands by name.
pub type Registry = crate::table::registry::Registry<Handler>;

/// Begins a row: see [`crate::table::row::row`].
pub const fn row(
    name: &'static str,
    arity: i16,
    flags: u64,
    group: Group,
    since: &'static str,
    run: Handler,
) -> Command {
    crate::table::row::row(name, arity, flags, group, since, run)
}

/// A command that only holds subcommands (CLIENT, OBJECT ...).
pub const fn container(
    name: &'static str,
    group: Group,
    since: &'static str,
    subs: &'static [Command],
) -> Command {
    row(name, -2, 0, group, since, never).subs(subs)
}

/// A container's first word alone has too few arguments, and with a second one its subcommand is carried out or there is none.
fn never(_: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    Err(Error::unknown_subcommand(args.argv()))
}
