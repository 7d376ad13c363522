//! `cargo xtask package`: what publishing would do, short of uploading.
//!
//! Cargo makes the package of every crate that is to be published, in the order of their dependencies, and builds each from
//! its package alone, the crates before it standing in for what a registry would have. A file that the package leaves out, a
//! dependency without a version, or a missing description shows here and not on the day of a release.

use crate::run;
use anyhow::Result;

/// Packages and builds all of them.
pub fn main() -> Result<()> {
    // What is packaged is the working tree, committed or not: the check is for people in the middle of a change, too.
    run::show(&mut run::cargo(&[
        "publish",
        "--workspace",
        "--dry-run",
        "--allow-dirty",
        "--quiet",
    ]))
}
