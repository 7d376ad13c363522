//! `cargo xtask deb`: the Debian package, and what is in it.
//!
//! cargo-deb makes it of the tree (`[package.metadata.deb]` of `crates/cli`). Where it is not installed the files that it is made of are
//! examined all the same: a package that cannot be made should not be found out on the day of a release.

use crate::run;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};

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
    examine(&path)?;
    println!("{} holds what it should", path.display());
    Ok(())
}

/// Whether a package holds what it should: its files, what its scripts do, and a program that runs.
fn examine(path: &Path) -> Result<()> {
    let shown = path.display();
    let listed = run::output(run::command("dpkg-deb", &["--contents"]).arg(path))?;
    for file in FILES {
        ensure!(
            listed.lines().any(|line| line.ends_with(file)),
            "{shown} lacks {file}"
        );
    }
    let folder = std::env::temp_dir().join(format!("redpoll-deb-{}", std::process::id()));
    let inside = || -> Result<()> {
        run::output(
            run::command("dpkg-deb", &["--raw-extract"])
                .arg(path)
                .arg(&folder),
        )?;
        let read = |name: &str| {
            let path = folder.join("DEBIAN").join(name);
            std::fs::read_to_string(path).with_context(|| format!("{shown} lacks {name}"))
        };
        for (script, lines) in [
            ("postinst", ["adduser --system", "deb-systemd-helper"]),
            ("postrm", ["rm -rf /var/lib/redpoll", "systemctl"]),
            (
                "conffiles",
                ["/etc/redpoll/redpoll.conf", "/etc/logrotate.d/redpoll"],
            ),
        ] {
            let text = read(script)?;
            for line in lines {
                ensure!(text.contains(line), "{shown}: {script} lacks {line}");
            }
            ensure!(
                !text.contains("#DEBHELPER#"),
                "{shown}: {script} was not completed"
            );
        }
        let units =
            ["usr/lib", "lib"].map(|lib| folder.join(lib).join("systemd/system/redpoll.service"));
        let unit = units.iter().find(|unit| unit.exists());
        verify_unit(unit.with_context(|| format!("{shown} lacks the unit"))?)?;
        let version = run::output(&mut run::command(
            folder.join("usr/bin/redpoll"),
            &["--version"],
        ))?;
        ensure!(
            version.contains("Redpoll"),
            "{shown}: its program says {version}"
        );
        Ok(())
    };
    let result = inside();
    let _ = std::fs::remove_dir_all(&folder);
    result
}

/// Whether the files that packages are made of are whole: those that the package lists are there, scripts can be read by a shell, the unit
/// by systemd where that is here. (That the server starts with its configuration is a test of its own.)
pub fn sources() -> Result<()> {
    let packaging = run::root().join("packaging");
    for script in ["debian/postinst", "debian/postrm"] {
        let path = packaging.join(script);
        run::output(run::command("sh", &["-n"]).arg(&path))
            .with_context(|| format!("{script} is no script"))?;
    }
    let unit = packaging.join("redpoll.service");
    let text = std::fs::read_to_string(&unit)?;
    for line in ["Type=notify", "User=redpoll", "--supervised systemd"] {
        if !text.contains(line) {
            bail!("the unit lacks {line}");
        }
    }
    verify_unit(&unit)?;
    assets()
}

/// Has systemd read a unit, where it is here. It also looks for the program, which need not be installed.
fn verify_unit(unit: &Path) -> Result<()> {
    if run::on_path("systemd-analyze").is_none() {
        return Ok(());
    }
    let folder = std::env::temp_dir().join(format!("redpoll-unit-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let copy = folder.join("redpoll.service");
    let text = std::fs::read_to_string(unit)?.replace("/usr/bin/redpoll", "/bin/true");
    std::fs::write(&copy, text)?;
    let read = run::output(run::command("systemd-analyze", &["verify"]).arg(&copy));
    let _ = std::fs::remove_dir_all(&folder);
    read.context("systemd does not like the unit")?;
    Ok(())
}

/// Whether all that the package is to be made of is there.
fn assets() -> Result<()> {
    let metadata = run::output(&mut run::cargo(&[
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array();
    let package = packages
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "redpoll-cli")
        .context("there is no package redpoll-cli")?;
    let deb = &package["metadata"]["deb"];
    let folder = run::root().join("crates/cli");
    let is_there = |path: &str| -> Result<()> {
        ensure!(
            folder.join(path).exists(),
            "the package is to hold {path}, which is not there"
        );
        Ok(())
    };
    let assets = deb["assets"]
        .as_array()
        .context("the package holds nothing")?;
    let mut places = Vec::new();
    for asset in assets {
        let [Some(from), Some(to)] = [asset[0].as_str(), asset[1].as_str()] else {
            bail!("{asset} says nothing of a file");
        };
        if !from.starts_with("target/") {
            is_there(from)?;
        }
        places.push(format!("/{to}"));
    }
    for file in deb["conf-files"].as_array().into_iter().flatten() {
        ensure!(
            places.iter().any(|place| *place == *file),
            "{file} is configuration and not in the package"
        );
    }
    for path in [
        &deb["license-file"][0],
        &deb["maintainer-scripts"],
        &deb["systemd-units"]["unit-scripts"],
    ] {
        is_there(path.as_str().context("the package lacks a path")?)?;
    }
    Ok(())
}
