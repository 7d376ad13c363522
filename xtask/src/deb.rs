//! `cargo xtask deb`: the Debian package, and what is in it.
//!
//! cargo-deb makes it of the tree (`[package.metadata.deb]` of `crates/cli`). Where it is not installed the files that it is made of are
//! examined all the same: a package that cannot be made should not be found out on the day of a release.

use crate::run;
use anyhow::{Context, Result, bail, ensure};
use std::path::PathBuf;

/// What the package must hold.
const FILES: &[&str] = &[
    "./usr/bin/redpoll",
    "./etc/redpoll/redpoll.conf",
    "./etc/logrotate.d/redpoll",
    "./usr/share/doc/redpoll/copyright",
];

/// Builds the package, unless cargo-deb is missing, and looks into it.
pub fn main() -> Result<()> {
    sources()?;
    if run::output(&mut run::cargo(&["deb", "--version"])).is_err() {
        println!("no Debian package: cargo-deb is not installed (cargo install cargo-deb)");
        return Ok(());
    }
    let made = run::output(&mut run::cargo(&["deb", "--package", "redpoll-cli"]))?;
    let path = made.lines().rev().find(|line| line.ends_with(".deb"));
    let path = PathBuf::from(path.context("cargo deb does not say what it made")?.trim());
    let listed = run::output(run::command("dpkg-deb", &["--contents"]).arg(&path))?;
    for file in FILES {
        ensure!(
            listed.lines().any(|line| line.ends_with(file)),
            "{} lacks {file}",
            path.display()
        );
    }
    ensure!(
        listed.contains("redpoll.service"),
        "{} lacks the unit",
        path.display()
    );
    println!("{} holds what it should", path.display());
    Ok(())
}

/// Whether the files that packages are made of are whole: the server starts with its configuration, scripts can be read by a shell, the unit
/// by systemd where that is here.
pub fn sources() -> Result<()> {
    let packaging = run::root().join("packaging");
    for script in ["debian/postinst", "debian/postrm"] {
        let path = packaging.join(script);
        run::output(run::command("sh", &["-n"]).arg(&path))
            .with_context(|| format!("{script} is no script"))?;
    }
    let unit = std::fs::read_to_string(packaging.join("redpoll.service"))?;
    for line in ["Type=notify", "User=redpoll", "--supervised systemd"] {
        if !unit.contains(line) {
            bail!("the unit lacks {line}");
        }
    }
    Ok(())
}
