//! ACL: who may do what. What it is about is [`crate::acl`]; here are the commands.

use super::command::help;
use crate::acl::DEFAULT_USER;
use crate::acl::selector::Selector;
use crate::base::args::Args;
use crate::base::clock::unix_ms;
use crate::base::error::{Error, Result};
use crate::base::random::random_bytes;
use crate::context::command::{
    ADMIN, Command, Group, LOADING, NOSCRIPT, STALE, Secret, container, row,
};
use crate::context::ctx::Ctx;
use crate::table::categories::{CATEGORY_NAMES, category_by_name};
use resp::Out;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    container("acl", Group::Server, "6.0.0", ACL_COMMANDS)
        .docs("Holds the commands about users and what they may do.", "Depends on the subcommand"),
];

/// The subcommands of ACL.
#[rustfmt::skip]
const ACL_COMMANDS: &[Command] = &[
    row("acl|cat", -2, NOSCRIPT | LOADING | STALE, Group::Server, "6.0.0", cat)
        .args("[category]")
        .docs("Lists the categories of commands, or the commands of one.",
              "O(1), categories and commands being a fixed set"),
    row("acl|deluser", -3, ADMIN | NOSCRIPT | LOADING | STALE, Group::Server, "6.0.0", deluser)
        .args("username...").secret(Secret::From(2))
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs("Removes users and closes their connections.", "O(1) for each user"),
    row("acl|dryrun", -4, ADMIN | NOSCRIPT | LOADING | STALE, Group::Server, "7.0.0", dryrun)
        .args("username command [arg...]")
        .docs("Tells whether a user may run a command, without running it.", "O(1)"),
    row("acl|genpass", -2, NOSCRIPT | LOADING | STALE, Group::Server, "6.0.0", genpass)
        .args("[bits:int]")
        .docs("Makes up a password.", "O(1)"),
    row("acl|getuser", 3, ADMIN | NOSCRIPT | LOADING | STALE, Group::Server, "6.0.0", getuser)
        .args("username").secret(Secret::From(2))
        .docs("Describes a user.", "O(N), N being the number of its passwords, commands and patterns")
        .history(&[
            ("6.2.0", "Channels are listed."),
            ("7.0.0", "Selectors are listed; keys and channels are written as rules instead of lists."),
        ]),
    row("acl|help", 2, LOADING | STALE, Group::Server, "6.0.0", help)
        .docs("Lists the subcommands of ACL.", "O(1)"),
    row("acl|list", 2, ADMIN | NOSCRIPT | LOADING | STALE, Group::Server, "6.0.0", list)
        .docs("Lists all users with their rules, as an ACL file holds them.",
              "O(N), N being the number of users"),
    row("acl|load", 2, ADMIN | NOSCRIPT | LOADING | STALE, Group::Server, "6.0.0", load)
        .docs("Replaces all users by those of the ACL file.", "O(N), N being the number of users"),
    row("acl|log", -2, ADMIN | NOSCRIPT | LOADING | STALE, Group::Server, "6.0.0", log)
        .args("[operation(count:int | RESET)]")
        .docs("Lists what clients were refused of late, or forgets it.",
              "O(N), N being the number of entries shown")
        .history(&[("7.2.0", "Entries have a number and the times of their first and last refusal.")]),
    row("acl|save", 2, ADMIN | NOSCRIPT | LOADING | STALE, Group::Server, "6.0.0", save)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs("Writes all users to the ACL file.", "O(N), N being the number of users"),
    row("acl|setuser", -3, ADMIN | NOSCRIPT | LOADING | STALE, Group::Server, "6.0.0", setuser)
        .args("username [rule...]").secret(Secret::From(2))
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs("Changes what a user may do, or makes a user.", "O(N), N being the number of rules")
        .history(&[
            ("6.2.0", "Rules about channels."),
            ("7.0.0", "Selectors, and rules about reading and writing of keys."),
        ]),
    row("acl|users", 2, ADMIN | NOSCRIPT | LOADING | STALE, Group::Server, "6.0.0", users)
        .docs("Lists the names of all users.", "O(N), N being the number of users"),
    row("acl|whoami", 2, NOSCRIPT | LOADING | STALE, Group::Server, "6.0.0", whoami)
        .docs("Returns the name of the connection's user.", "O(1)"),
];

/// Entries that ACL LOG shows if it is not said how many.
const SHOWN: usize = 10;

/// Longest password that ACL GENPASS makes, in bits.
const MAX_BITS: i64 = 4096;

fn cat(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    if args.left() > 1 {
        return Err(Error::subcommand_syntax(args.argv()));
    }
    if args.left() == 0 {
        ctx.out.array(CATEGORY_NAMES.len());
        for (_, name) in CATEGORY_NAMES {
            ctx.out.bulk(name.as_bytes());
        }
        return Ok(());
    }
    let name = args.take();
    let category = category_by_name(name).ok_or_else(|| {
        Error::quoting("ERR Unknown category '{}'", &[&name[..name.len().min(128)]])
    })?;
    let catalog = &ctx.engine.users.catalog;
    ctx.out.array(catalog.of_category(category).count());
    for id in catalog.of_category(category) {
        ctx.out.bulk(catalog.get(id).name.as_bytes());
    }
    Ok(())
}

fn setuser(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let (name, rules) = (args.argv()[2], &args.argv()[3..]);
    if crate::acl::rules::has_spaces(name) {
        return Err(Error::new(
            "ERR Usernames can't contain spaces or null characters",
        ));
    }
    let engine = ctx.engine;
    let changed = engine
        .users
        .set(name, rules, engine.all_channels_by_default())
        .map_err(|why| Error::quoting("ERR {}", &[&why]))?;
    if engine.disconnect(&changed, ctx.session) {
        ctx.close_after_reply();
    }
    ctx.out.ok();
    Ok(())
}

fn deluser(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    // Before anybody is removed: what is refused changes nothing.
    if args.argv()[2..].contains(&DEFAULT_USER) {
        return Err(Error::new("ERR The 'default' user cannot be removed"));
    }
    args.take();
    let mut removed = 0;
    while args.left() > 0 {
        if let Some(changed) = ctx.engine.users.remove(args.take()) {
            removed += 1;
            if ctx.engine.disconnect(&changed, ctx.session) {
                ctx.close_after_reply();
            }
        }
    }
    ctx.out.int(removed);
    Ok(())
}

fn getuser(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let Some(user) = ctx.engine.users.get(args.argv()[2]) else {
        ctx.out.null();
        return Ok(());
    };
    let out = &mut *ctx.out;
    let limited = user.root().databases_text().is_some();
    out.map(6 + usize::from(limited));
    out.bulk(b"flags");
    out.set(user.flags().count());
    user.flags().for_each(|flag| out.bulk(flag.as_bytes()));
    out.bulk(b"passwords");
    let passwords = user.passwords();
    out.array(passwords.len());
    passwords.for_each(|hex| out.bulk(hex.as_bytes()));
    describe(user.root(), out);
    out.bulk(b"selectors");
    out.array(user.selectors().len());
    for selector in user.selectors() {
        out.map(3 + usize::from(selector.databases_text().is_some()));
        describe(selector, out);
    }
    Ok(())
}

/// Writes what a selector allows. Its databases are only told if it does not have all: Redis knows no such field.
fn describe(selector: &Selector, out: &mut Out) {
    out.bulk(b"commands");
    out.bulk(&selector.commands_text());
    out.bulk(b"keys");
    out.bulk(&selector.keys_text());
    out.bulk(b"channels");
    out.bulk(&selector.channels_text());
    if let Some(databases) = selector.databases_text() {
        out.bulk(b"databases");
        // Without any, Valkey shows nothing.
        out.bulk(
            databases
                .strip_prefix("resetdbs")
                .unwrap_or(&databases)
                .as_bytes(),
        );
    }
}

fn list(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let lines = ctx.engine.users.lines();
    ctx.out.array(lines.len());
    lines.iter().for_each(|line| ctx.out.bulk(line));
    Ok(())
}

fn users(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let users = ctx.engine.users.list();
    ctx.out.array(users.len());
    users.iter().for_each(|user| ctx.out.bulk(&user.name));
    Ok(())
}

fn whoami(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.out.bulk(ctx.session.user_name());
    Ok(())
}

fn genpass(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    if args.left() > 1 {
        return Err(Error::subcommand_syntax(args.argv()));
    }
    let mut bits = 256;
    if args.left() == 1 {
        bits = args.int();
        args.check()?;
    }
    if !(1..=MAX_BITS).contains(&bits) {
        return Err(Error::new(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
        ));
    }
    let digits = (bits as usize).div_ceil(4);
    let random = random_bytes::<{ MAX_BITS as usize / 8 }>();
    let mut text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(digits);
    ctx.out.bulk(text.as_bytes());
    Ok(())
}

fn dryrun(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let (name, argv) = (args.argv()[2], &args.argv()[3..]);
    let user = ctx
        .engine
        .users
        .get(name)
        .ok_or_else(|| Error::quoting("ERR User '{}' not found", &[name]))?;
    let entry = ctx.engine.resolve(argv);
    let entry = entry.ok_or_else(|| Error::quoting("ERR Command '{}' not found", &[argv[0]]))?;
    if !entry.command.accepts(argv.len()) {
        return Err(Error::wrong_arity(entry.command.name));
    }
    match user.check(entry, argv, ctx.session.db) {
        Ok(()) => ctx.out.ok(),
        Err(denied) => {
            let what = argv.get(denied.at).copied();
            let text = denied.reason.text(&user, entry.command.name, what);
            ctx.out.bulk(&text);
        }
    }
    Ok(())
}

fn log(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    if args.left() > 1 {
        return Err(Error::subcommand_syntax(args.argv()));
    }
    let mut most = SHOWN;
    if args.left() == 1 {
        if args.keyword("RESET") {
            ctx.engine.users.log.lock().clear();
            ctx.out.ok();
            return Ok(());
        }
        let count = args.int();
        args.check()?;
        most = usize::try_from(count).unwrap_or(0);
    }
    let entries = ctx.engine.users.log.lock().newest(most);
    let now_ms = unix_ms();
    let out = &mut *ctx.out;
    out.array(entries.len());
    for entry in &entries {
        out.map(10);
        out.bulk(b"count");
        out.int(entry.count as i64);
        out.bulk(b"reason");
        out.bulk(entry.kind.name().as_bytes());
        out.bulk(b"context");
        out.bulk(entry.context.as_bytes());
        out.bulk(b"object");
        out.bulk(&entry.object);
        out.bulk(b"username");
        out.bulk(&entry.user);
        out.bulk(b"age-seconds");
        out.double(now_ms.saturating_sub(entry.updated_ms) as f64 / 1000.0);
        out.bulk(b"client-info");
        out.bulk(entry.client.as_bytes());
        out.bulk(b"entry-id");
        out.int(entry.number as i64);
        out.bulk(b"timestamp-created");
        out.int(entry.created_ms as i64);
        out.bulk(b"timestamp-last-updated");
        out.int(entry.updated_ms as i64);
    }
    Ok(())
}

/// The error of ACL LOAD and ACL SAVE where there is no file.
fn needs_file(ctx: &Ctx<'_>) -> Result {
    if ctx.engine.config().text("aclfile").is_empty() {
        return Err(Error::new(
            "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER \
             command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store \
             users in the Redis configuration.",
        ));
    }
    Ok(())
}

fn load(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    needs_file(ctx)?;
    let changes = ctx
        .engine
        .load_user_file()
        .map_err(|why| Error::new(format!("ERR {why}")))?;
    for changed in &changes {
        if ctx.engine.disconnect(changed, ctx.session) {
            ctx.close_after_reply();
        }
    }
    ctx.out.ok();
    Ok(())
}

fn save(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    needs_file(ctx)?;
    if let Err(why) = ctx.engine.save_user_file() {
        tracing::warn!("The users were not saved to the ACL file: {why}");
        return Err(Error::new(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
        ));
    }
    ctx.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests;
