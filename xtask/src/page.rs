//! `cargo xtask page`: builds the console's page into `crates/http/ui/dist`, whose files are checked in and compiled into the server.

use crate::run;
use anyhow::{Result, bail};
use std::process::Command;

/// Installs what the page is built with, as its lock file says, checks the types, and builds.
pub fn main() -> Result<()> {
    if run::on_path("npm").is_none() {
        bail!("npm is not on PATH; it comes with Node");
    }
    let ui = run::root().join("crates/http/ui");
    let install = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
    run::show(Command::new("npm").args(install).current_dir(&ui))?;
    run::show(Command::new("npm").args(["run", "check"]).current_dir(&ui))?;
    run::show(Command::new("npm").args(["run", "build"]).current_dir(&ui))
}
