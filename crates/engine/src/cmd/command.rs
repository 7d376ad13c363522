//! COMMAND and its subcommands: what the server tells about its own commands.
//!
//! Client libraries ask it at the start (which commands exist, where their keys are, which may go to a replica),
//! redis-cli for its hints. Every answer is written from the table of rows; there is nothing to keep up to date
//! here. The replies themselves are written by [`crate::table::docs`].

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::glob;
use crate::context::command::Registry;
use crate::context::command::{Command, Entry, Group, LOADING, NO_MANDATORY_KEYS, STALE, row};
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use crate::table::categories::{CAT_CONNECTION, categories, category_by_name};
use crate::table::docs;
use crate::table::positions;
use resp::Out;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("command", -1, LOADING | STALE, Group::Server, "2.8.13", command)
        .subs(COMMAND_COMMANDS).acl(CAT_CONNECTION).tips(&["nondeterministic_output_order"])
        .docs("Describes the commands of the server.", "O(N), N being the number of commands"),
];

/// The subcommands of COMMAND.
#[rustfmt::skip]
const COMMAND_COMMANDS: &[Command] = &[
    row("command|count", 2, LOADING | STALE, Group::Server, "2.8.13", command_count)
        .acl(CAT_CONNECTION)
        .docs("Counts the commands of the server.", "O(1)"),
    row("command|docs", -2, LOADING | STALE, Group::Server, "7.0.0", command_docs)
        .args("[command-name...]").acl(CAT_CONNECTION).tips(&["nondeterministic_output_order"])
        .docs("Documents commands: what they do, since when, with which arguments.",
              "O(N), N being the number of commands asked for"),
    row("command|getkeys", -3, LOADING | STALE, Group::Server, "2.8.13", command_getkeys)
        .args("command [arg...]").acl(CAT_CONNECTION)
        .docs("Returns the keys of a full command line.",
              "O(N), N being the number of arguments of the command line"),
    row("command|getkeysandflags", -3, LOADING | STALE,
            Group::Server, "7.0.0", command_getkeysandflags)
        .args("command [arg...]").acl(CAT_CONNECTION)
        .docs("Returns the keys of a full command line and how they would be used.",
              "O(N), N being the number of arguments of the command line"),
    row("command|help", 2, LOADING | STALE, Group::Server, "5.0.0", help)
        .acl(CAT_CONNECTION)
        .docs("Lists the subcommands of COMMAND.", "O(1)"),
    row("command|info", -2, LOADING | STALE, Group::Server, "2.8.13", command_info)
        .args("[command-name...]").acl(CAT_CONNECTION).tips(&["nondeterministic_output_order"])
        .docs("Describes commands: arity, flags, keys and categories.",
              "O(N), N being the number of commands asked for")
        .history(&[("7.0.0", "May be called without names and then describes all commands.")]),
    row("command|list", -2, LOADING | STALE, Group::Server, "7.0.0", command_list)
        .args("[FILTERBY(MODULE module-name | ACLCAT category | PATTERN pattern:pattern)]")
        .acl(CAT_CONNECTION).tips(&["nondeterministic_output_order"])
        .docs("Lists the names of the commands.", "O(N), N being the number of commands"),
];

/// COMMAND: describes every command.
fn command(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    info_of_all(ctx);
    Ok(())
}

fn info_of_all(ctx: &mut Ctx<'_>) {
    let engine = ctx.engine;
    ctx.out.array(callable(engine).count());
    for entry in callable(engine) {
        docs::write_info(entry.command, ctx.out);
    }
}

/// COMMAND COUNT: subcommands are not counted.
fn command_count(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.out.int(callable(ctx.engine).count() as i64);
    Ok(())
}

/// COMMAND INFO [name ...]: null for a name that does not exist.
fn command_info(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let names = &args.argv()[2..];
    if names.is_empty() {
        info_of_all(ctx);
        return Ok(());
    }
    ctx.out.array(names.len());
    for name in names {
        match by_full_name(ctx.engine, name) {
            Some(entry) => docs::write_info(entry.command, ctx.out),
            None => ctx.out.null(),
        }
    }
    Ok(())
}

/// COMMAND DOCS [name ...]: a name that does not exist is left out.
fn command_docs(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let names = &args.argv()[2..];
    let engine = ctx.engine;
    if names.is_empty() {
        write_docs_of(callable(engine).count(), callable(engine), ctx.out);
        return Ok(());
    }
    let found = || names.iter().filter_map(|name| by_full_name(engine, name));
    ctx.out.map(found().count());
    for entry in found() {
        ctx.out.bulk(entry.command.name.as_bytes());
        docs::write_command(entry.command, ctx.out);
    }
    Ok(())
}

/// The documentation of all commands of a table.
pub fn write_docs(registry: &Registry, out: &mut Out) {
    write_docs_of(registry.len(), registry.iter(), out);
}

fn write_docs_of<'a>(count: usize, entries: impl Iterator<Item = &'a Entry>, out: &mut Out) {
    out.map(count);
    for entry in entries {
        out.bulk(entry.command.name.as_bytes());
        docs::write_command(entry.command, out);
    }
}

/// COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]: names, subcommands among them.
fn command_list(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    if args.left() == 0 {
        list(ctx, |_| true);
        return Ok(());
    }
    if !args.keyword("filterby") || args.left() != 2 {
        return Err(Error::SYNTAX);
    }
    if args.keyword("module") {
        // There are no modules, so no command comes from one.
        list(ctx, |_| false);
    } else if args.keyword("aclcat") {
        let category = category_by_name(args.take()).unwrap_or(0);
        list(ctx, |command| categories(command) & category != 0);
    } else if args.keyword("pattern") {
        let pattern = args.take();
        list(ctx, |command| {
            glob::matches_ignore_case(pattern, command.name.as_bytes())
        });
    } else {
        return Err(Error::SYNTAX);
    }
    Ok(())
}

fn list(ctx: &mut Ctx<'_>, belongs: impl Fn(&Command) -> bool) {
    let engine = ctx.engine;
    let found = || {
        let all = callable(engine).flat_map(|e| std::iter::once(e).chain(e.subs.iter()));
        let all = all.map(|entry| entry.command);
        all.filter(|command| belongs(command))
    };
    ctx.out.array(found().count());
    for command in found() {
        ctx.out.bulk(command.name.as_bytes());
    }
}

/// COMMAND GETKEYS name arg ...
fn command_getkeys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    get_keys(ctx, &args.argv()[2..], false)
}

/// COMMAND GETKEYSANDFLAGS name arg ...
fn command_getkeysandflags(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    get_keys(ctx, &args.argv()[2..], true)
}

fn get_keys(ctx: &mut Ctx<'_>, call: &[&[u8]], with_flags: bool) -> Result {
    let called = ctx.engine.resolve(call);
    let command = called
        .ok_or(Error::new("ERR Invalid command specified"))?
        .command;
    if !positions::has_keys(command) {
        return Err(Error::new("ERR The command has no key arguments"));
    }
    if !command.accepts(call.len()) {
        return Err(Error::new(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let start = ctx.out.mark();
    let list = ctx.out.begin_array();
    let mut count = 0;
    let result = positions::extract(command, call, |at, flags| {
        count += 1;
        if with_flags {
            ctx.out.array(2);
        }
        ctx.out.bulk(call[at]);
        if with_flags {
            docs::write_key_flags(flags, ctx.out);
        }
    });
    if result.is_ok() && count > 0 {
        ctx.out.end_array(list, count);
        return Ok(());
    }
    ctx.out.rollback(start);
    if !command.has(NO_MANDATORY_KEYS) {
        return Err(Error::new("ERR Invalid arguments specified for command"));
    }
    ctx.out.array(0);
    Ok(())
}

/// The commands that clients can call, whatever they call them.
fn callable(engine: &Engine) -> impl Iterator<Item = &Entry> {
    let renamed = engine.renamed();
    let all = engine.registry().iter();
    all.filter(move |entry| renamed.is_none_or(|renamed| renamed.has(entry)))
}

/// The command that clients call `name`, or the subcommand of what they call `container` by `container|name`.
fn by_full_name<'a>(engine: &'a Engine, name: &[u8]) -> Option<&'a Entry> {
    match name.iter().position(|&b| b == b'|') {
        None => engine.called(name),
        Some(bar) => engine.called(&name[..bar])?.sub(&name[bar + 1..]),
    }
}

/// HELP of this or any other container: its subcommands, from their rows.
pub(crate) fn help(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    if let Some(entry) = ctx.registry().get(args.argv()[0]) {
        docs::write_help(entry.command, ctx.out);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{TestClient, check, check3, run};

    #[test]
    fn info_describes_by_name_and_answers_null_for_others() {
        check(
            "COMMAND INFO Get nosuch get|x",
            "[[\"get\" 2 [readonly fast] 1 1 1 [@read @string @fast] [] \
             [[\"flags\" [RO access] \"begin_search\" [\"type\" \"index\" \"spec\" [\"index\" 1]] \
             \"find_keys\" [\"type\" \"range\" \"spec\" [\"lastkey\" 0 \"keystep\" 1 \"limit\" 0]]]] []] nil nil]",
        );
        check(
            "COMMAND INFO command|count",
            "[[\"command|count\" 2 [loading stale] 0 0 0 [@slow @connection] [] [] []]]",
        );
    }

    #[test]
    fn all_commands_are_counted_and_listed_alike() {
        let mut db = TestClient::new().resp3();
        let Some(resp::Value::Int(count)) = db.call(&["command", "count"]) else {
            panic!("COUNT answers a number")
        };
        for call in [&["command"][..], &["command", "info"], &["command", "docs"]] {
            let len = match db.call(call) {
                Some(resp::Value::Array(all)) => all.len(),
                Some(resp::Value::Map(all)) => all.len(),
                other => panic!("{call:?}: {other:?}"),
            };
            assert_eq!(len as i64, count, "{call:?}");
        }
        let Some(resp::Value::Array(names)) = db.call(&["command", "list"]) else {
            panic!("LIST answers an array")
        };
        assert!(
            names.len() as i64 > count,
            "subcommands are listed, not counted"
        );
    }

    #[test]
    fn docs_tells_of_commands_and_subcommands() {
        check3("COMMAND DOCS nosuch", "{}");
        let docs = run("COMMAND DOCS command|getkeys");
        assert!(
            docs.starts_with("[\"command|getkeys\" [\"summary\" "),
            "{docs}"
        );
        assert!(
            docs.contains("\"arguments\" [[\"name\" \"command\""),
            "{docs}"
        );
        let docs = run("COMMAND DOCS COMMAND");
        assert!(
            docs.contains("\"subcommands\" [\"command|count\""),
            "{docs}"
        );
    }

    #[test]
    fn list_filters() {
        check(
            "COMMAND LIST FILTERBY PATTERN COMMAND|get*",
            "[\"command|getkeys\" \"command|getkeysandflags\"]",
        );
        check("COMMAND LIST FILTERBY MODULE json", "[]");
        check("COMMAND LIST FILTERBY ACLCAT nosuch", "[]");
        let strings = run("COMMAND LIST FILTERBY ACLCAT STRING");
        assert!(
            strings.contains("\"get\"") && !strings.contains("\"command\""),
            "{strings}"
        );
        for bad in [
            "FILTERBY",
            "FILTERBY ACLCAT",
            "FILTERBY x y",
            "x",
            "FILTERBY PATTERN a b",
        ] {
            check(&format!("COMMAND LIST {bad}"), "-ERR syntax error");
        }
    }

    #[test]
    fn getkeys() {
        check("COMMAND GETKEYS mset a 1 b 2", "[\"a\" \"b\"]");
        check("COMMAND GETKEYSANDFLAGS set k v", "[[\"k\" [OW update]]]");
        check3(
            "COMMAND GETKEYSANDFLAGS set k v GET",
            "[[\"k\" ~[RW access update]]]",
        );
        for (call, error) in [
            ("nosuch a", "Invalid command specified"),
            ("command nosuch", "Invalid command specified"),
            ("command|count", "Invalid command specified"),
            ("command count", "The command has no key arguments"),
            ("command", "The command has no key arguments"),
            ("get", "Invalid number of arguments specified for command"),
            ("msetex 3 a 1", "Invalid arguments specified for command"),
        ] {
            check(&format!("COMMAND GETKEYS {call}"), &format!("-ERR {error}"));
        }
    }

    #[test]
    fn unknown_subcommands_and_wrong_counts() {
        check(
            "COMMAND nosuch",
            "-ERR unknown subcommand 'nosuch'. Try COMMAND HELP.",
        );
        check(
            "COMMAND COUNT x",
            "-ERR wrong number of arguments for 'command|count' command",
        );
        check(
            "COMMAND GETKEYS",
            "-ERR wrong number of arguments for 'command|getkeys' command",
        );
    }

    #[test]
    fn help_is_made_from_the_rows() {
        let help = run("COMMAND HELP");
        for line in [
            "(no subcommand)",
            "COUNT",
            "GETKEYS <command> [<arg> [<arg> ...]]",
            "    Counts the commands of the server.",
        ] {
            assert!(help.contains(line), "{line}: {help}");
        }
    }
}
