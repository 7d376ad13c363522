//! What the project depends on: licences, sources, and crates that must not come in.
//!
//! It is read from `cargo metadata`, for Linux, on which it runs, and all features, so that the check needs no tool that is not there anyway. What it cannot
//! know is which versions have been found to be dangerous: for that there is `cargo deny check advisories`, where its database can be had.

use crate::run;
use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Licences under which code may be part of the project.
const ALLOWED: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "MPL-2.0",
];

/// Crates that must not come in, with the reason.
const BANNED: &[(&str, &str)] = &[
    (
        "openssl-sys",
        "TLS is rustls, which needs no library of the system",
    ),
    (
        "native-tls",
        "TLS is rustls, which needs no library of the system",
    ),
    (
        "aws-lc-sys",
        "it needs a toolchain for C and assembler that ring does without",
    ),
    ("jemalloc-sys", "there is one allocator, mimalloc"),
    ("tikv-jemalloc-sys", "there is one allocator, mimalloc"),
    ("async-std", "there is one runtime, tokio"),
];

/// The one registry that code comes from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks everything that any package of the workspace depends on.
pub fn check() -> Result<()> {
    let text = run::output(&mut run::cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--all-features",
        "--filter-platform",
        "x86_64-unknown-linux-gnu",
    ]))?;
    let metadata: Value = serde_json::from_str(&text)?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    let mut faults: Vec<String> = packages.iter().filter_map(fault).collect();
    faults.sort();
    faults.dedup();
    for fault in &faults {
        println!("dependencies: {fault}");
    }
    if !faults.is_empty() {
        bail!("{} dependencies that must not be", faults.len());
    }
    Ok(())
}

/// What is wrong with a package.
fn fault(package: &Value) -> Option<String> {
    let text = |field: &str| package[field].as_str();
    let name = text("name").unwrap_or("?");
    let version = text("version").unwrap_or("?");
    if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
        return Some(format!("{name} {version} must not come in: {why}"));
    }
    // Those of the project have no source.
    if let Some(source) = text("source").filter(|source| *source != REGISTRY) {
        return Some(format!("{name} {version} comes from {source}"));
    }
    let licence = text("license").unwrap_or("none");
    // What is not published, like the fuzz targets, need not say.
    if text("source").is_none() && text("license").is_none() {
        return None;
    }
    match is_allowed(licence) {
        Some(true) => None,
        Some(false) => Some(format!("{name} {version} has the licence {licence}")),
        None => Some(format!(
            "{name} {version}: what is the licence {licence:?}?"
        )),
    }
}

/// Whether an SPDX expression leaves the choice of licences that are allowed; None if it cannot be read.
fn is_allowed(expression: &str) -> Option<bool> {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        // As it was written in older packages.
        .replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let allowed = any_of(&mut words)?;
    words.next().is_none().then_some(allowed)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>) -> Option<bool> {
    let mut allowed = all_of(words)?;
    while words.next_if_eq(&"OR").is_some() {
        allowed |= all_of(words)?;
    }
    Some(allowed)
}

fn all_of(words: &mut Words<'_>) -> Option<bool> {
    let mut allowed = one(words)?;
    while words.next_if_eq(&"AND").is_some() {
        allowed &= one(words)?;
    }
    Some(allowed)
}

fn one(words: &mut Words<'_>) -> Option<bool> {
    match words.next()? {
        "(" => {
            let allowed = any_of(words)?;
            (words.next()? == ")").then_some(allowed)
        }
        ")" | "AND" | "OR" | "WITH" => None,
        name => {
            let mut name = name.to_owned();
            if words.next_if_eq(&"WITH").is_some() {
                name = format!("{name} WITH {}", words.next()?);
            }
            Some(ALLOWED.contains(&name.as_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn expressions() {
        for (expression, allowed) in [
            ("MIT", Some(true)),
            ("MIT OR Apache-2.0", Some(true)),
            ("MIT/GPL-3.0", Some(true)),
            ("GPL-3.0-only", Some(false)),
            ("MIT AND GPL-3.0-only", Some(false)),
            ("(MIT OR GPL-2.0) AND Unicode-3.0", Some(true)),
            ("GPL-2.0 OR (MIT AND LGPL-2.1)", Some(false)),
            ("Apache-2.0 WITH LLVM-exception OR MIT", Some(true)),
            ("Apache-2.0 WITH Other-exception", Some(false)),
            ("MIT OR", None),
            ("(MIT", None),
            ("MIT Apache-2.0", None),
            ("", None),
        ] {
            assert_eq!(is_allowed(expression), allowed, "{expression}");
        }
    }

    #[test]
    fn packages() {
        let of = |name: &str, licence: &str, source: &str| {
            fault(&json!({"name": name, "version": "1.0.0", "license": licence, "source": source}))
        };
        assert_eq!(of("x", "MIT", REGISTRY), None);
        assert!(of("x", "AGPL-3.0", REGISTRY).unwrap().contains("AGPL"));
        let elsewhere = of("x", "MIT", "git+https://example.org/x");
        assert!(elsewhere.unwrap().contains("example.org"));
        assert!(
            of("openssl-sys", "MIT", REGISTRY)
                .unwrap()
                .contains("rustls")
        );
        assert!(of("x", "BSL-1.0", REGISTRY).is_some());
    }
}
