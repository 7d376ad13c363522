//! The text of an ACL file: a user a line, `user <name> <rule> ...`.
//!
//! A file counts as a whole or not at all. What is wrong with it is said of every line, with its number, in Redis's words.

use super::catalog::Catalog;
use super::rules::{Wrong, has_spaces, merge};
use super::user::User;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The users of a file. `path` is for the error, which names all lines that are wrong.
pub(crate) fn parse(
    path: &str,
    text: &[u8],
    catalog: &Catalog,
    all_channels: bool,
    mut next_id: impl FnMut() -> u64,
) -> Result<BTreeMap<Box<[u8]>, User>, String> {
    let mut users: BTreeMap<Box<[u8]>, User> = BTreeMap::new();
    let mut errors = String::new();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let number = number + 1;
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        // Writing to a string cannot fail.
        let [b"user", name, rules @ ..] = &words[..] else {
            let _ = write!(
                errors,
                "{path}:{number} should start with user keyword followed by the username. "
            );
            continue;
        };
        let shown = String::from_utf8_lossy(name);
        if has_spaces(name) {
            let _ = write!(
                errors,
                "'{path}:{number}: username '{shown}' contains invalid characters. "
            );
            continue;
        }
        if users.contains_key(*name) {
            let _ = write!(
                errors,
                "WARNING: Duplicate user '{shown}' found on line {number}. "
            );
            continue;
        }
        let Ok(rules) = merge(rules) else {
            let _ = write!(
                errors,
                "{path}:{number}: Unmatched parenthesis in selector definition."
            );
            continue;
        };
        let mut user = User::new(name, next_id(), catalog, all_channels);
        let mut told = false;
        for rule in rules {
            let _ = match user.apply(rule.trim_ascii(), catalog, all_channels) {
                Ok(()) => continue,
                Err(Wrong::Unknown) => {
                    let rule = String::from_utf8_lossy(&rule);
                    let why = Wrong::Unknown.text();
                    write!(
                        errors,
                        "{path}:{number}: Error in applying operation '{rule}': {why}. "
                    )
                }
                // What is wrong first may have made the rest wrong; it is told alone.
                Err(_) if std::mem::replace(&mut told, true) => continue,
                Err(wrong) => write!(errors, "{path}:{number}: {}. ", wrong.text()),
            };
        }
        users.insert((*name).into(), user);
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors.push_str(
        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
    );
    Err(errors)
}
