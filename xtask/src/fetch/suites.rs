//! The test suites of real servers: their sources, as Debian 13 has them. `crate::suite` runs them; nothing of them is part of this project.

use super::debian;
use crate::run;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A server's sources.
pub struct Source {
    /// For the report.
    pub title: &'static str,
    /// Debian's source package.
    pub package: &'static str,
    archive: &'static str,
    /// Of the archive, in hexadecimal digits.
    sha256: &'static str,
}

/// All sources that are fetched.
pub const ALL: &[Source] = &[Source {
    title: "sources of Redis 8.0.2",
    package: "redis",
    archive: "redis_8.0.2.orig.tar.gz",
    sha256: "caf3c0069f06fc84c5153bd2a348b204c578de80490c73857bee01d9b5d7401f",
}];

/// The archive of a source package, if it has been fetched.
pub fn source(package: &str) -> Option<PathBuf> {
    let source = ALL.iter().find(|source| source.package == package)?;
    Some(place(source)).filter(|path| path.is_file())
}

/// Fetches an archive if it is not there, and checks that it is the one that is meant.
pub fn fetch(source: &Source) -> Result<String> {
    let path = place(source);
    if !path.is_file() {
        let apt = run::peers_dir().join(format!("apt-{}", source.package));
        let archive = debian::source(&apt, source.package)?.join(source.archive);
        if !archive.is_file() {
            bail!("Debian 13 has another version than {}", source.archive);
        }
        check(source, &archive)?;
        std::fs::rename(&archive, &path)?;
        std::fs::remove_dir_all(&apt)?;
    }
    check(source, &path)?;
    Ok(path.display().to_string())
}

fn place(source: &Source) -> PathBuf {
    run::peers_dir().join(source.archive)
}

fn check(source: &Source, archive: &Path) -> Result<()> {
    let said = run::output(Command::new("sha256sum").arg(archive))?;
    let digest = said.split_whitespace().next();
    if digest.context("sha256sum says nothing")? != source.sha256 {
        bail!("{} is not what it was", archive.display());
    }
    Ok(())
}
