//! What CI holds besides the tests: formatting, lints, documentation, layers, what pages name, what may be depended on.

use crate::{deb, deny, docs, layers, run};
use anyhow::{Result, bail};

/// Everything that `cargo xtask ci` checks before the tests; a failure does not stop the later checks.
pub fn main() -> Result<()> {
    let checks = [
        run::show(&mut run::cargo(&["fmt", "--all", "--check"])),
        run::show(&mut run::cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])),
        // Libraries only: the server's binary has the name of the library that programs link. Private items too: the pages
        // are for people who work on the crates.
        run::show(
            run::cargo(&[
                "doc",
                "--workspace",
                "--lib",
                "--document-private-items",
                "--no-deps",
                "--quiet",
            ])
            .env(
                "RUSTDOCFLAGS",
                "-D warnings -A rustdoc::private_intra_doc_links",
            ),
        ),
        layers::check(),
        docs::check(),
        deny::check(),
        deb::sources(),
    ];
    let failed: Vec<String> = checks
        .into_iter()
        .filter_map(|check| check.err().map(|e| format!("{e:#}")))
        .collect();
    for failure in &failed {
        println!("FAILED: {failure}");
    }
    if !failed.is_empty() {
        bail!("{} check(s) failed", failed.len());
    }
    Ok(())
}
