//! What is fetched from Debian 13, whatever Debian this machine has: packages and sources.
//!
//! This machine's own apt fetches them, and checks the archive's signatures, with a list of sources, of packages, and a cache
//! that are not the machine's.

use super::servers::files;
use crate::run;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Packages, unpacked into a folder below `apt` that is returned. `apt` is the caller's to remove.
pub fn unpacked(apt: &Path, packages: &[&str]) -> Result<PathBuf> {
    let downloads = prepare(apt)?;
    // Of Debian 13, whatever else this machine has.
    let packages = packages.iter().map(|name| format!("{name}/trixie"));
    run::output(apt_get(apt).arg("download").args(packages))?;
    let root = apt.join("root");
    std::fs::create_dir_all(&root)?;
    for package in files(&downloads)? {
        run::output(Command::new("dpkg").arg("-x").arg(&package).arg(&root))?;
    }
    Ok(root)
}

/// The archives of a source package as its authors published them, in a folder below `apt` that is returned.
pub fn source(apt: &Path, package: &str) -> Result<PathBuf> {
    let downloads = prepare(apt)?;
    run::output(apt_get(apt).args(["source", "--download-only", "--tar-only", package]))?;
    Ok(downloads)
}

/// Makes the folders that apt works in, and has it read the list of packages.
fn prepare(apt: &Path) -> Result<PathBuf> {
    let keys = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
    if run::on_path("apt-get").is_none() || !keys.is_file() {
        bail!("it comes from Debian 13, and Debian's apt is not here to fetch it");
    }
    for folder in ["lists/partial", "cache/archives/partial", "downloads"] {
        std::fs::create_dir_all(apt.join(folder))?;
    }
    let mut sources = String::new();
    for kind in ["deb", "deb-src"] {
        sources += &format!(
            "{kind} [arch=amd64 signed-by={}] http://deb.debian.org/debian trixie main\n",
            keys.display()
        );
    }
    std::fs::write(apt.join("sources.list"), sources)?;
    run::output(apt_get(apt).arg("update"))?;
    Ok(apt.join("downloads"))
}

/// apt-get with what is its own in `apt`, which puts downloads where it is started.
fn apt_get(apt: &Path) -> Command {
    let mut command = Command::new("apt-get");
    command.args([
        "-qq".to_owned(),
        format!(
            "-oDir::Etc::sourcelist={}",
            apt.join("sources.list").display()
        ),
        "-oDir::Etc::sourceparts=/dev/null".to_owned(),
        format!("-oDir::State::lists={}", apt.join("lists").display()),
        format!("-oDir::Cache={}", apt.join("cache").display()),
        "-oAcquire::Languages=none".to_owned(),
    ]);
    command.current_dir(apt.join("downloads"));
    command
}
