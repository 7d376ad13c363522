//! Test suites of others: the sources of a server, as Debian 13 has them, and of clients, from PyPI. `crate::suite` runs them; nothing of
//! them is part of this project.

use super::{debian, venv};
use crate::run;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Somebody's sources.
pub struct Source {
    /// For the report.
    pub title: &'static str,
    /// What [`source`] finds them by.
    pub name: &'static str,
    from: From,
    archive: &'static str,
    /// Of the archive, in hexadecimal digits.
    sha256: &'static str,
}

/// Where they come from.
enum From {
    /// Debian's source package of this name.
    Debian(&'static str),
    /// PyPI's, of this name and version.
    Pypi(&'static str),
}

/// All sources that are fetched.
pub const ALL: &[Source] = &[
    Source {
        title: "sources of Redis 8.0.2",
        name: "redis",
        from: From::Debian("redis"),
        archive: "redis_8.0.2.orig.tar.gz",
        sha256: "caf3c0069f06fc84c5153bd2a348b204c578de80490c73857bee01d9b5d7401f",
    },
    Source {
        title: "sources of redis-py 5.2.1",
        name: "redis-py",
        from: From::Pypi("redis==5.2.1"),
        archive: "redis-5.2.1.tar.gz",
        sha256: "16f2e22dff21d5125e8481515e386711a34cbec50f0e44413dd7d9c060a54e0f",
    },
    Source {
        title: "sources of fakeredis 2.41.0",
        name: "fakeredis",
        from: From::Pypi("fakeredis==2.41.0"),
        archive: "fakeredis-2.41.0.tar.gz",
        sha256: "a10d97197e6c6e9e98affc10abba9fb0efa9bc5671bbc425dca7f47063c2c577",
    },
];

/// The archive of somebody's sources, if it has been fetched.
pub fn source(name: &str) -> Option<PathBuf> {
    let source = ALL.iter().find(|source| source.name == name)?;
    Some(place(source)).filter(|path| path.is_file())
}

/// Fetches an archive if it is not there, and checks that it is the one that is meant.
pub fn fetch(source: &Source) -> Result<String> {
    let path = place(source);
    if !path.is_file() {
        let folder = run::peers_dir().join(format!("fetched-{}", source.name));
        let archive = match source.from {
            From::Debian(package) => debian::source(&folder, package)?.join(source.archive),
            From::Pypi(package) => {
                run::output(
                    Command::new(venv()?)
                        .args(["-m", "pip", "download", "--quiet", "--no-deps"])
                        .args(["--no-binary", ":all:", package, "--dest"])
                        .arg(&folder),
                )?;
                folder.join(source.archive)
            }
        };
        if !archive.is_file() {
            bail!("there is another version than {}", source.archive);
        }
        check(source, &archive)?;
        std::fs::rename(&archive, &path)?;
        std::fs::remove_dir_all(&folder)?;
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
