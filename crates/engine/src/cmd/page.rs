//! The page of supported commands, docs/commands.md, written from the table.

use crate::cmd::FAMILIES;
use crate::context::command::Command;
use crate::table::docs;
use std::fmt::Write;

const INTRO: &str = "\
# Commands

This page is written from the table of commands in `crates/engine/src/cmd/`; a test keeps the two in step. What is not
listed answers `ERR unknown command`. Semantics, errors and reply shapes are those of Redis 8.2 and Valkey 9.1, in RESP2
and RESP3.
";

/// The page as Markdown.
pub fn markdown() -> String {
    let mut all: Vec<&Command> = FAMILIES.iter().flat_map(|f| f.iter()).collect();
    all.sort_by_key(|c| (c.group.name(), c.name));
    let subs: usize = all.iter().map(|c| c.subs.len()).sum();
    let mut page = INTRO.to_owned();
    let _ = writeln!(page, "\n{} commands and {subs} subcommands.", all.len());
    let mut group = "";
    for c in all {
        if c.group.name() != group {
            group = c.group.name();
            let _ = write!(
                page,
                "\n## {group}\n\n| command | since | what it does | complexity |\n|---|---|---|---|\n"
            );
        }
        line(&mut page, c);
        for sub in c.subs {
            line(&mut page, sub);
        }
    }
    page
}

fn line(page: &mut String, c: &Command) {
    let _ = writeln!(
        page,
        "| `{}` | {} | {} | {} |",
        docs::usage(c).replace('|', "\\|"),
        c.since,
        c.summary,
        c.complexity
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set REDPOLL_BLESS=1 to write the page instead of comparing it.
    #[test]
    fn the_page_of_commands_is_up_to_date() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/commands.md");
        if std::env::var_os("REDPOLL_BLESS").is_some() {
            std::fs::write(&path, markdown()).unwrap();
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            page == markdown(),
            "docs/commands.md is not what the table says: run this test with REDPOLL_BLESS=1"
        );
    }
}
