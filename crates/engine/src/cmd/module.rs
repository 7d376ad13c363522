//! MODULE: what was loaded into the server. Nothing can be.

use super::command::help;
use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::context::command::{
    ADMIN, Command, Group, LOADING, NO_ASYNC_LOADING, NOSCRIPT, STALE, container, row,
};
use crate::context::ctx::Ctx;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    container("module", Group::Server, "4.0.0", MODULE_COMMANDS)
        .docs("Holds the commands about modules.", "Depends on the subcommand"),
];

/// Would change what is loaded.
const CHANGES: u64 = ADMIN | NOSCRIPT | NO_ASYNC_LOADING;

/// The subcommands of MODULE.
#[rustfmt::skip]
const MODULE_COMMANDS: &[Command] = &[
    row("module|help", 2, LOADING | STALE, Group::Server, "5.0.0", help)
        .docs("Lists the subcommands of MODULE.", "O(1)"),
    row("module|load", -3, CHANGES, Group::Server, "4.0.0", not_built)
        .args("path [arg...]").docs("Loads a module.", "O(1)"),
    row("module|loadex", -3, CHANGES, Group::Server, "7.0.0", not_built)
        .args("path [CONFIG* configs{name value}...] [ARGS args...]")
        .docs("Loads a module with settings.", "O(1)"),
    row("module|unload", 3, CHANGES, Group::Server, "4.0.0", not_built)
        .args("name").docs("Takes a module away.", "O(1)"),
    row("module|list", 2, ADMIN | NOSCRIPT, Group::Server, "4.0.0", module_list)
        .tips(&["nondeterministic_output_order"])
        .docs("Lists the modules: there are none.", "O(1)"),
];

/// Real servers with `enable-module-command no`, their default, refuse these too.
fn not_built(_: &mut Ctx<'_>, _: Args<'_>) -> Result {
    Err(Error::new(
        "ERR MODULE command not allowed. There are no modules: code that was built for another server cannot be loaded",
    ))
}

fn module_list(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.out.array(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn there_are_none() {
        check("MODULE LIST", "[]");
        check(
            "MODULE LOAD x",
            "-ERR MODULE command not allowed. There are no modules: code that was built for another server cannot be loaded",
        );
    }
}
