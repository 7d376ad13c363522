//! The page of directives, docs/configuration.md, written from the table.

use super::directive::{Change, Directive};
use super::{fixed, moot, table};
use std::fmt::Write;

const INTRO: &str = "\
# Configuration

This page is written from the table of directives in `crates/engine/src/config/table.rs`; a test keeps the two in step.

`redpoll [redis.conf|-] [--directive value ...]` takes the files and flags of redis-server. Lines of the file count first,
then lines from standard input (`-`), then the command line; of several values the last one counts. An unknown directive or
a value that cannot be used ends the program with one line on standard error and status 1.

The last column says whether CONFIG SET can change a directive while the server runs; *protected* ones only if
`enable-protected-configs` allows it. Sizes take the units `k` (1000), `kb` (1024), `m`, `mb`, `g` and `gb`.
";

const MOOT_INTRO: &str = "
## Known, and changing nothing

These directives of other servers ask for what Redpoll has no use for, for the reason given. Each takes any value that the
other servers take, can be read back and changed, and changes nothing. The log says so when a configuration sets one.

| directive | value | default | why it changes nothing |
|---|---|---|---|
";

const FIXED_INTRO: &str = "
## Known, with one value

These directives stand in configurations of Redis, but what they configure is not built yet or has no counterpart in
Redpoll. Each is accepted with the value below, which describes the server as it is, and refused with any other.
";

/// The page as Markdown.
pub(crate) fn markdown() -> String {
    let mut page = INTRO.to_owned();
    let mut group = "";
    for row in table::BUILT {
        if row.group != group {
            group = row.group;
            let _ = write!(
                page,
                "\n## {group}\n\n| directive | value | default | what it does | CONFIG SET |\n"
            );
            page.push_str("|---|---|---|---|---|\n");
        }
        let change = match row.change {
            Change::Startup => "no",
            Change::Runtime => "yes",
            Change::Protected => "protected",
        };
        let (names, value, default) = (names(row), row.kind.describe(), code(row.default));
        let _ = writeln!(
            page,
            "| {names} | {value} | {default} | {} | {change} |",
            row.doc
        );
    }
    page.push_str(MOOT_INTRO);
    for row in moot::MOOT {
        let (names, value, default) = (names(row), row.kind.describe(), code(row.default));
        let _ = writeln!(page, "| {names} | {value} | {default} | {} |", row.doc);
    }
    page.push_str(FIXED_INTRO);
    let mut rows: Vec<&Directive> = fixed::FIXED.iter().collect();
    rows.sort_by_key(|row| (row.group, row.name));
    let mut group = "";
    for row in rows {
        if row.group != group {
            group = row.group;
            let mut heading = group.chars();
            let first = heading.next().unwrap_or_default().to_ascii_uppercase();
            let _ = write!(
                page,
                "\n### {first}{}\n\n| directive | only value |\n|---|---|\n",
                heading.as_str()
            );
        }
        let _ = writeln!(page, "| {} | {} |", names(row), code(row.default));
    }
    page.push_str(
        "\n## Lines that are no directives\n\n`include FILE`, also with wildcards; `user NAME RULE ...` ([security.md](security.md)); and \
         `rename-command NAME OTHER`, which has clients and scripts call\na command by another name, or with `\"\"` not at all. \
         Rules of users, logs and replicas go on to say the commands' own names.\n",
    );
    page.push_str("\n## Lines that are refused\n\n| line | why |\n|---|---|\n");
    for (name, why) in fixed::LINES {
        let _ = writeln!(page, "| {} | {why} |", code(name));
    }
    page
}

fn names(row: &Directive) -> String {
    let names: Vec<String> = std::iter::once(&row.name)
        .chain(row.aliases)
        .map(|name| code(name))
        .collect();
    names.join(", ")
}

fn code(text: &str) -> String {
    if text.is_empty() {
        "`\"\"`".into()
    } else {
        format!("`{text}`")
    }
}
