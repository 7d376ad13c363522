//! What CI holds besides the tests: formatting, lints, documentation, and which crate may depend on which.

use crate::run;
use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Which of our crates each crate may import, outside its tests and examples. Imports go one way:
/// `resp`, `store` <- `persist` <- `engine` <- `redpoll` <- `server`; `resp` and `store` do not know each other. `lua` knows
/// only `resp`.
/// A crate that is not in this table, or an edge that is not, fails the check: adding one is a decision.
const ALLOWED: &[(&str, &[&str])] = &[
    ("redpoll-resp", &[]),
    ("redpoll-store", &[]),
    ("redpoll-lua", &["redpoll-resp"]),
    ("persist", &["redpoll-resp", "redpoll-store"]),
    (
        "redpoll-engine",
        &["redpoll-resp", "redpoll-store", "persist", "redpoll-lua"],
    ),
    (
        "redpoll",
        &["redpoll-resp", "redpoll-store", "persist", "redpoll-engine"],
    ),
    (
        "redpoll-server",
        &[
            "redpoll-resp",
            "redpoll-store",
            "persist",
            "redpoll-engine",
            "redpoll",
        ],
    ),
    ("redpoll-tests", &["redpoll-resp"]),
    (
        "redpoll-benches",
        &["redpoll-resp", "redpoll-store", "redpoll-engine", "redpoll"],
    ),
    ("xtask", &["redpoll-resp"]),
];

/// Crates that stay free of an async runtime, tests included: no lock of theirs can be held across an await.
const WITHOUT_TOKIO: &[&str] = &[
    "redpoll-resp",
    "redpoll-store",
    "persist",
    "redpoll-lua",
    "redpoll-engine",
];

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
        layers(),
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

/// The layers of the design, as absences: imports that do not exist, and crates that never reach tokio.
pub fn layers() -> Result<()> {
    let metadata = run::output(&mut run::cargo(&[
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    let names: Vec<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!("crate {name} is not in the table of layers"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = dependency["name"].as_str().unwrap_or_default();
            let for_tests = dependency["kind"] == "dev";
            if names.contains(&on) && !for_tests && !allowed.contains(&on) {
                wrong.push(format!("{name} may not depend on {on}"));
            }
        }
    }
    for name in WITHOUT_TOKIO.iter().filter(|name| names.contains(name)) {
        // With tokio outside the crate's tree, cargo prints nothing; with tokio unknown altogether, it fails.
        let tree = run::cargo(&["tree", "--package", name, "--invert", "tokio"]).output()?;
        if tree.status.success() && !tree.stdout.is_empty() {
            wrong.push(format!(
                "{name} reaches tokio:\n{}",
                String::from_utf8_lossy(&tree.stdout)
            ));
        }
    }
    if !wrong.is_empty() {
        bail!("layers:\n  {}", wrong.join("\n  "));
    }
    println!(
        "layers: {} crates, no import that the design forbids",
        names.len()
    );
    Ok(())
}
