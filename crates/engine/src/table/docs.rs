//! What is told about a command: COMMAND DOCS, COMMAND INFO, HELP and the syntax lines of the documentation.
//!
//! All of it is written from the command's row. The arguments stand there in the [`notation`], which is parsed
//! when somebody asks, never when a command runs.

pub mod notation;

use resp::Out;

use crate::table::categories::{categories, category_names};
#[cfg(test)]
use crate::table::docs::notation::syntax;
use crate::table::docs::notation::{Arg, ArgType, help_syntax, parse};
use crate::table::positions::legacy_range;
use crate::table::row::{
    Begin, Command, FLAG_NAMES, Find, KS_ACCESS, KS_DELETE, KS_INCOMPLETE, KS_INSERT, KS_NOT_KEY,
    KS_OW, KS_RM, KS_RO, KS_RW, KS_UPDATE, KS_VARIABLE_FLAGS, KeySpec,
};

/// Writes `args` as the array that is the value of `arguments` in COMMAND DOCS.
pub fn write_args(args: &[Arg<'_>], out: &mut Out) {
    out.array(args.len());
    for arg in args {
        write_arg(arg, out);
    }
}

fn write_arg(arg: &Arg<'_>, out: &mut Out) {
    let is_group = matches!(arg.kind, ArgType::OneOf | ArgType::Block);
    let flags = [
        (arg.optional, "optional"),
        (arg.multiple, "multiple"),
        (arg.multiple_token, "multiple_token"),
    ];
    let flag_count = flags.iter().filter(|f| f.0).count();
    let fields = 2
        + usize::from(!is_group)
        + usize::from(arg.key_spec.is_some())
        + usize::from(arg.token.is_some())
        + usize::from(arg.since.is_some())
        + usize::from(arg.deprecated_since.is_some())
        + usize::from(flag_count > 0)
        + usize::from(is_group);
    out.map(fields);
    pair(out, "name", &arg.name);
    pair(out, "type", arg.kind.name());
    if !is_group {
        pair(out, "display_text", arg.display.unwrap_or(&arg.name));
    }
    if let Some(n) = arg.key_spec {
        out.bulk(b"key_spec_index");
        out.int(i64::from(n));
    }
    for (label, value) in [
        ("token", arg.token),
        ("since", arg.since),
        ("deprecated_since", arg.deprecated_since),
    ] {
        if let Some(value) = value {
            pair(out, label, value);
        }
    }
    if flag_count > 0 {
        out.bulk(b"flags");
        out.set(flag_count);
        for (_, name) in flags.iter().filter(|f| f.0) {
            out.simple(name);
        }
    }
    if is_group {
        out.bulk(b"arguments");
        write_args(&arg.args, out);
    }
}

fn pair(out: &mut Out, key: &str, value: &str) {
    out.bulk(key.as_bytes());
    out.bulk(value.as_bytes());
}

/// Marks the few commands that COMMAND DOCS calls `syscmd`: made for the servers themselves, not for people. It
/// stands among the flags of a row above those that COMMAND INFO prints.
pub const SYSCMD: u64 = 1 << 42;

/// Writes the map that COMMAND DOCS answers for one command, subcommands included.
pub fn write_command<H>(cmd: &Command<H>, out: &mut Out) {
    // A test keeps every row's notation well-formed, so there is nothing better to do here than leave it out.
    let args = parse(cmd.args).unwrap_or_default();
    let doc_flags = [
        (cmd.deprecated.is_some(), "deprecated"),
        (cmd.has(SYSCMD), "syscmd"),
    ];
    let doc_flag_count = doc_flags.iter().filter(|f| f.0).count();
    out.map(
        3 + usize::from(!cmd.complexity.is_empty())
            + usize::from(doc_flag_count > 0)
            + 2 * usize::from(cmd.deprecated.is_some())
            + usize::from(!cmd.history.is_empty())
            + usize::from(!args.is_empty())
            + usize::from(!cmd.subs.is_empty()),
    );
    pair(out, "summary", cmd.summary);
    pair(out, "since", cmd.since);
    pair(out, "group", cmd.group.name());
    if !cmd.complexity.is_empty() {
        pair(out, "complexity", cmd.complexity);
    }
    if doc_flag_count > 0 {
        out.bulk(b"doc_flags");
        out.set(doc_flag_count);
        for (_, name) in doc_flags.iter().filter(|f| f.0) {
            out.simple(name);
        }
    }
    if let Some((since, instead)) = cmd.deprecated {
        pair(out, "deprecated_since", since);
        pair(out, "replaced_by", instead);
    }
    if !cmd.history.is_empty() {
        out.bulk(b"history");
        out.set(cmd.history.len());
        for (version, change) in cmd.history {
            out.array(2);
            out.bulk(version.as_bytes());
            out.bulk(change.as_bytes());
        }
    }
    if !args.is_empty() {
        out.bulk(b"arguments");
        write_args(&args, out);
    }
    if !cmd.subs.is_empty() {
        out.bulk(b"subcommands");
        out.map(cmd.subs.len());
        for sub in cmd.subs {
            out.bulk(sub.name.as_bytes());
            write_command(sub, out);
        }
    }
}

const KEY_FLAG_NAMES: &[(u32, &str)] = &[
    (KS_RO, "RO"),
    (KS_RW, "RW"),
    (KS_OW, "OW"),
    (KS_RM, "RM"),
    (KS_ACCESS, "access"),
    (KS_UPDATE, "update"),
    (KS_INSERT, "insert"),
    (KS_DELETE, "delete"),
    (KS_NOT_KEY, "not_key"),
    (KS_INCOMPLETE, "incomplete"),
    (KS_VARIABLE_FLAGS, "variable_flags"),
];

/// Writes key-spec flags as the set of their names.
pub fn write_key_flags(flags: u32, out: &mut Out) {
    out.set(KEY_FLAG_NAMES.iter().filter(|f| flags & f.0 != 0).count());
    for (_, name) in KEY_FLAG_NAMES.iter().filter(|f| flags & f.0 != 0) {
        out.simple(name);
    }
}

/// Writes the ten elements that COMMAND INFO answers for one command, subcommands included.
pub fn write_info<H>(cmd: &Command<H>, out: &mut Out) {
    out.array(10);
    out.bulk(cmd.name.as_bytes());
    out.int(i64::from(cmd.arity));
    out.set(FLAG_NAMES.iter().filter(|f| cmd.has(f.0)).count());
    for (_, name) in FLAG_NAMES.iter().filter(|f| cmd.has(f.0)) {
        out.simple(name);
    }
    let (first, last, step) = legacy_range(cmd);
    out.int(i64::from(first));
    out.int(i64::from(last));
    out.int(i64::from(step));
    let categories = categories(cmd);
    out.set(categories.count_ones() as usize);
    for name in category_names(categories) {
        out.simple(&format!("@{name}"));
    }
    out.set(cmd.tips.len());
    for tip in cmd.tips {
        out.bulk(tip.as_bytes());
    }
    out.set(cmd.keys.len());
    for spec in cmd.keys {
        write_key_spec(spec, out);
    }
    // As real servers have it: no subcommands are an empty set, some are an array.
    if cmd.subs.is_empty() {
        out.set(0);
    } else {
        out.array(cmd.subs.len());
    }
    for sub in cmd.subs {
        write_info(sub, out);
    }
}

fn write_key_spec(spec: &KeySpec, out: &mut Out) {
    out.map(3 + usize::from(!spec.notes.is_empty()));
    if !spec.notes.is_empty() {
        pair(out, "notes", spec.notes);
    }
    out.bulk(b"flags");
    write_key_flags(spec.flags, out);
    out.bulk(b"begin_search");
    out.map(2);
    match spec.begin {
        Begin::Index(index) => {
            pair(out, "type", "index");
            write_numbers(&[("index", index)], out);
        }
        Begin::Keyword(keyword, from) => {
            pair(out, "type", "keyword");
            out.bulk(b"spec");
            out.map(2);
            pair(out, "keyword", keyword);
            out.bulk(b"startfrom");
            out.int(i64::from(from));
        }
        Begin::Unknown => {
            pair(out, "type", "unknown");
            write_numbers(&[], out);
        }
    }
    out.bulk(b"find_keys");
    out.map(2);
    match spec.find {
        Find::Range { last, step, limit } => {
            pair(out, "type", "range");
            let numbers = [("lastkey", last), ("keystep", step), ("limit", limit)];
            write_numbers(&numbers, out);
        }
        Find::Keynum {
            keynumidx,
            first,
            step,
        } => {
            pair(out, "type", "keynum");
            let numbers = [
                ("keynumidx", keynumidx),
                ("firstkey", first),
                ("keystep", step),
            ];
            write_numbers(&numbers, out);
        }
        Find::Unknown => {
            pair(out, "type", "unknown");
            write_numbers(&[], out);
        }
    }
}

/// The `spec` of a key spec: a map of numbers.
fn write_numbers(numbers: &[(&str, i32)], out: &mut Out) {
    out.bulk(b"spec");
    out.map(numbers.len());
    for (name, n) in numbers {
        out.bulk(name.as_bytes());
        out.int(i64::from(*n));
    }
}

/// How the page of commands writes a call: `SET key value ...`, `CLIENT SETNAME connection-name`.
#[cfg(test)]
pub fn usage(cmd: &crate::table::row::Facts) -> String {
    let mut text = cmd.name.replace('|', " ").to_ascii_uppercase();
    let args = syntax(&parse(cmd.args).unwrap_or_default());
    if !args.is_empty() {
        text.push(' ');
        text.push_str(&args);
    }
    text
}

/// Writes the reply of a container's HELP: how each subcommand is called and what it does, from their rows.
pub fn write_help<H>(container: &Command<H>, out: &mut Out) {
    let alone = container.accepts(1);
    let subs = || {
        let listed = container.subs.iter();
        listed.filter(|sub| !sub.name.ends_with("|help"))
    };
    out.array(1 + 2 * (usize::from(alone) + subs().count() + 1));
    let name = container.name.to_ascii_uppercase();
    out.simple(&format!(
        "{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    ));
    if alone {
        out.simple("(no subcommand)");
        out.simple(&format!("    {}", container.summary));
    }
    for sub in subs() {
        let (_, short) = sub.name.split_once('|').unwrap_or_default();
        let args = help_syntax(&parse(sub.args).unwrap_or_default());
        let line = format!("{} {args}", short.to_ascii_uppercase());
        out.simple(line.trim_end());
        out.simple(&format!("    {}", sub.summary));
    }
    // As in real servers it comes last.
    out.simple("HELP");
    out.simple("    Prints this help.");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::row::{Group, READONLY, row};
    use resp::Proto;

    #[test]
    fn docs_reply_leaves_out_what_a_row_does_not_say() {
        let plain = row("echo", 2, READONLY, Group::Connection, "1.0.0", ());
        let mut out = Out::new(Proto::Resp3);
        write_command(&plain.docs("Says it.", ""), &mut out);
        let text = String::from_utf8(out.to_vec()).unwrap();
        assert!(text.starts_with("%3\r\n$7\r\nsummary\r\n$8\r\nSays it.\r\n"));
        let full = plain
            .docs("Says it.", "O(1)")
            .args("message [x(A | B)]")
            .history(&[("2.0.0", "New.")])
            .deprecated("3.0.0", "`PING`");
        let mut out = Out::new(Proto::Resp3);
        write_command(&full, &mut out);
        let bytes = out.to_vec();
        let (value, used) = resp::decode(&bytes).unwrap().unwrap();
        assert_eq!(used, bytes.len(), "counts agree with what is written");
        let resp::Value::Map(pairs) = value else {
            panic!("not a map")
        };
        assert_eq!(pairs.len(), 9);
    }

    #[test]
    fn help_lists_every_subcommand() {
        const SUBS: &[Command<()>] = &[
            row("box|put", 3, 0, Group::Server, "1.0.0", ())
                .args("item")
                .docs("Puts.", "O(1)"),
            row("box|help", 2, 0, Group::Server, "1.0.0", ()).docs("Helps.", "O(1)"),
        ];
        let cmd = crate::table::row::row("box", -2, 0, Group::Server, "1.0.0", ()).subs(SUBS);
        let mut out = Out::new(Proto::Resp2);
        write_help(&cmd, &mut out);
        assert_eq!(
            String::from_utf8(out.to_vec()).unwrap(),
            "*5\r\n+BOX <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n\
             +PUT <item>\r\n+    Puts.\r\n+HELP\r\n+    Prints this help.\r\n"
        );
    }

    fn for_each_row(mut f: impl FnMut(&'static crate::context::command::Command)) {
        for row in crate::cmd::FAMILIES.iter().flat_map(|family| family.iter()) {
            f(row);
            row.subs.iter().for_each(&mut f);
        }
    }

    #[test]
    fn every_row_is_well_formed() {
        fn check_args(cmd: &crate::table::row::Facts, args: &[Arg<'_>]) {
            for (i, arg) in args.iter().enumerate() {
                let spec = arg.key_spec.map_or(0, usize::from);
                assert!(
                    arg.key_spec.is_none() || spec < cmd.keys.len(),
                    "{}: no key spec {spec}",
                    cmd.name
                );
                assert!(
                    !args[..i].iter().any(|other| other.name == arg.name),
                    "{}: two arguments {}",
                    cmd.name,
                    arg.name
                );
                check_args(cmd, &arg.args);
            }
        }
        for_each_row(|cmd| {
            let name = cmd.name;
            let args = parse(cmd.args).unwrap_or_else(|e| panic!("{name}: {e}: {}", cmd.args));
            check_args(cmd, &args);
            assert!(cmd.summary.ends_with('.'), "{name}: {:?}", cmd.summary);
            assert_eq!(name, name.to_ascii_lowercase());
            let versions = cmd.history.iter().map(|(version, _)| *version);
            for version in versions.chain([cmd.since]) {
                assert!(parse(&format!("x@{version}")).is_ok(), "{name}: {version}");
            }
            for sub in cmd.subs {
                let (container, short) = sub.name.split_once('|').unwrap_or_default();
                assert!(container == name && !short.is_empty(), "{}", sub.name);
                assert!(sub.subs.is_empty(), "{}", sub.name);
            }
        });
    }
}
