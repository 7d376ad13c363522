//! SLOWLOG and COMMANDLOG: the commands that stood out, kept in [`crate::follow::command_log`].

use super::command::help;
use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::context::command::{ADMIN, Command, Group, LOADING, STALE, container, row};
use crate::context::ctx::Ctx;
use crate::follow::command_log::Kind;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    container("slowlog", Group::Server, "2.2.12", SLOWLOG_COMMANDS)
        .docs("Holds the commands about the log of slow commands.", "Depends on the subcommand"),
    container("commandlog", Group::Server, "8.1.0", COMMANDLOG_COMMANDS)
        .docs("Holds the commands about the logs of commands that stood out.", "Depends on the subcommand"),
];

/// The subcommands of SLOWLOG.
#[rustfmt::skip]
const SLOWLOG_COMMANDS: &[Command] = &[
    row("slowlog|get", -2, ADMIN | LOADING | STALE, Group::Server, "2.2.12", slowlog_get)
        .args("[count:int]").tips(&["request_policy:all_nodes", "nondeterministic_output"])
        .history(&[("4.0.0", "Entries have the client's address and name.")])
        .docs("Returns the newest entries of the log of slow commands.", "O(N), N being the number of entries returned"),
    row("slowlog|help", 2, LOADING | STALE, Group::Server, "6.2.0", help)
        .docs("Lists the subcommands of SLOWLOG.", "O(1)"),
    row("slowlog|len", 2, ADMIN | LOADING | STALE, Group::Server, "2.2.12", slowlog_len)
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"])
        .docs("Returns the number of entries in the log of slow commands.", "O(1)"),
    row("slowlog|reset", 2, ADMIN | LOADING | STALE, Group::Server, "2.2.12", slowlog_reset)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs("Removes all entries from the log of slow commands.", "O(N), N being the number of entries"),
];

/// The subcommands of COMMANDLOG.
#[rustfmt::skip]
const COMMANDLOG_COMMANDS: &[Command] = &[
    row("commandlog|get", 4, ADMIN | LOADING | STALE, Group::Server, "8.1.0", commandlog_get)
        .args("count:int type(SLOW | LARGE-REQUEST | LARGE-REPLY)").tips(&["request_policy:all_nodes", "nondeterministic_output"])
        .docs("Returns the newest entries of a log of commands.", "O(N), N being the number of entries returned"),
    row("commandlog|help", 2, LOADING | STALE, Group::Server, "8.1.0", help)
        .docs("Lists the subcommands of COMMANDLOG.", "O(1)"),
    row("commandlog|len", 3, ADMIN | LOADING | STALE, Group::Server, "8.1.0", commandlog_len)
        .args("type(SLOW | LARGE-REQUEST | LARGE-REPLY)")
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"])
        .docs("Returns the number of entries in a log of commands.", "O(1)"),
    row("commandlog|reset", 3, ADMIN | LOADING | STALE, Group::Server, "8.1.0", commandlog_reset)
        .args("type(SLOW | LARGE-REQUEST | LARGE-REPLY)").tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs("Removes all entries from a log of commands.", "O(N), N being the number of entries"),
];

fn slowlog_get(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    if args.left() > 1 {
        return Err(Error::subcommand_syntax(args.argv()));
    }
    let most = match args.left() {
        0 => 10,
        _ => count(&mut args)?,
    };
    write_entries(ctx, Kind::Slow, most);
    Ok(())
}

/// A number of entries; -1 is all.
fn count(args: &mut Args<'_>) -> Result<usize> {
    const WRONG: Error = Error::fixed("ERR count should be greater than or equal to -1");
    match resp::parse_i64(args.take()) {
        Some(-1) => Ok(usize::MAX),
        Some(n) => usize::try_from(n).map_err(|_| WRONG),
        None => Err(WRONG),
    }
}

fn kind(args: &mut Args<'_>) -> Result<Kind> {
    let name = args.take();
    let known = |kind: &Kind| kind.name().as_bytes().eq_ignore_ascii_case(name);
    Kind::ALL.into_iter().find(known).ok_or(Error::new(
        "ERR type should be one of the following: slow, large-request, large-reply",
    ))
}

fn write_entries(ctx: &mut Ctx<'_>, kind: Kind, most: usize) {
    let entries = ctx.engine.follow.command_log.newest(kind, most);
    ctx.out.array(entries.len());
    for entry in entries {
        ctx.out.array(6);
        ctx.out.int(entry.id as i64);
        ctx.out.int(entry.at_s as i64);
        ctx.out.int(entry.value as i64);
        ctx.out.raw(&entry.arguments);
        ctx.out.bulk(entry.addr.as_bytes());
        ctx.out.bulk(entry.name.as_bytes());
    }
}

fn slowlog_len(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.out
        .int(ctx.engine.follow.command_log.len(Kind::Slow) as i64);
    Ok(())
}

fn slowlog_reset(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.engine.follow.command_log.reset(Kind::Slow);
    ctx.out.ok();
    Ok(())
}

fn commandlog_get(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let most = count(&mut args)?;
    let kind = kind(&mut args)?;
    write_entries(ctx, kind, most);
    Ok(())
}

fn commandlog_len(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let kind = kind(&mut args)?;
    ctx.out.int(ctx.engine.follow.command_log.len(kind) as i64);
    Ok(())
}

fn commandlog_reset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let kind = kind(&mut args)?;
    ctx.engine.follow.command_log.reset(kind);
    ctx.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::follow::command_log::Kind;
    use crate::testing::TestClient;

    /// A client whose commands are all logged from now on.
    fn logging() -> TestClient {
        let mut c = TestClient::new();
        c.check("CONFIG SET slowlog-log-slower-than 0", "OK");
        c.check("SLOWLOG RESET", "OK");
        c
    }

    /// The commands in a log, the newest first, without the ones that asked.
    fn logged(c: &mut TestClient, ask: &str) -> Vec<String> {
        let reply = c.run(ask);
        let (mut found, mut rest) = (Vec::new(), reply.as_str());
        // An entry: [id seconds value [arguments] "address" "name"].
        while let Some(at) = rest.find(" [\"") {
            let end = at + rest[at..].find(']').expect("an array ends");
            found.push(rest[at + 2..end].replace('"', ""));
            rest = &rest[end..];
        }
        found.retain(|line| !line.to_lowercase().contains("log "));
        found
    }

    #[test]
    fn commands_are_logged_with_their_arguments() {
        let mut c = logging();
        c.check("SET k v", "OK");
        c.run("GET; NOSUCH a; LPUSH k x");
        c.run("AUTH u p");
        assert_eq!(
            logged(&mut c, "SLOWLOG GET -1"),
            ["AUTH (redacted) (redacted)", "LPUSH k x", "SET k v"]
        );
        c.check("SLOWLOG GET 0", "[]");
        assert_eq!(logged(&mut c, "SLOWLOG GET 1").len(), 0);
        c.check("SLOWLOG RESET", "OK");
        // RESET itself is logged when it is done.
        c.check("SLOWLOG LEN", "1");
        c.check("CONFIG SET slowlog-log-slower-than -1", "OK");
        c.check("SLOWLOG RESET", "OK");
        c.check("SET k v", "OK");
        c.check("SLOWLOG LEN", "0");
    }

    #[test]
    fn what_sets_the_threshold_is_judged_by_it() {
        let mut c = TestClient::new();
        let setting = "CONFIG SET slowlog-log-slower-than 0";
        c.pipeline(&["GET a", setting, "GET b", "GET c"]);
        assert_eq!(
            logged(&mut c, "SLOWLOG GET -1"),
            ["GET c", "GET b", setting]
        );
        c.check("SLOWLOG RESET", "OK");
        c.pipeline(&["CONFIG SET slowlog-log-slower-than -1", "GET d"]);
        // RESET only.
        c.check("SLOWLOG LEN", "1");
    }

    #[test]
    fn transactions_and_scripts_are_logged_command_by_command() {
        let mut c = logging();
        c.run("MULTI; SET x 1; INCR x; EXEC");
        assert_eq!(
            logged(&mut c, "SLOWLOG GET -1"),
            ["INCR x", "SET x 1", "MULTI"]
        );
        c.check("SLOWLOG RESET", "OK");
        c.run("EVAL \"return redis.call('get', KEYS[1])\" 1 x");
        let lines = logged(&mut c, "SLOWLOG GET -1");
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].starts_with("EVAL") && lines[1] == "get x",
            "{lines:?}"
        );
    }

    #[test]
    fn who_waits_is_logged_when_it_is_served() {
        let mut c = logging();
        let mut waits = c.another();
        waits.run("BLPOP l 0");
        assert!(logged(&mut c, "SLOWLOG GET -1").is_empty());
        c.check("RPUSH l a", "1");
        let lines = logged(&mut c, "SLOWLOG GET -1");
        assert_eq!(lines, ["RPUSH l a", "BLPOP l 0"]);
    }

    #[test]
    fn logs_are_bounded_also_when_the_bound_is_lowered() {
        let mut c = logging();
        for _ in 0..200 {
            c.run("PING");
        }
        c.check("SLOWLOG LEN", "128");
        c.check("CONFIG SET slowlog-max-len 10", "OK");
        c.check("CONFIG SET slowlog-log-slower-than -1", "OK");
        c.check("SLOWLOG LEN", "10");
        c.check("CONFIG SET slowlog-max-len 0", "OK");
        c.check("SLOWLOG LEN", "0");
        // What is not kept has no number.
        let count = |c: &TestClient| c.engine.follow.command_log.count(Kind::Slow);
        let before = count(&c);
        c.check("CONFIG SET slowlog-log-slower-than 0", "OK");
        c.check("PING", "PONG");
        assert_eq!(count(&c), before);
    }

    #[test]
    fn large_requests_and_replies_are_logged() {
        let mut c = TestClient::new();
        c.check(
            "CONFIG SET commandlog-request-larger-than 1000 commandlog-reply-larger-than 500",
            "OK",
        );
        // On a busy machine any command may be slow.
        c.check("CONFIG SET slowlog-log-slower-than -1", "OK");
        let value = "x".repeat(1000);
        c.check(&format!("SET k {value}"), "OK");
        c.check("SET small v", "OK");
        c.run("GET small; GET k");
        let large = logged(&mut c, "COMMANDLOG GET -1 large-reply");
        assert_eq!(large, ["GET k"]);
        let large = logged(&mut c, "COMMANDLOG GET -1 large-request");
        assert_eq!(large.len(), 1);
        assert!(large[0].starts_with("SET k xxx") && large[0].ends_with("... (872 more bytes)"));
        // *3 $3 SET $1 k $1000 ...
        let reply = c.run("COMMANDLOG GET 1 LARGE-REQUEST");
        assert!(reply.contains(" 1029 ["), "{reply}");
        c.check("COMMANDLOG LEN slow", "0");
        c.check("COMMANDLOG RESET large-reply", "OK");
        c.check("COMMANDLOG LEN large-reply", "0");
        c.check("COMMANDLOG LEN large-request", "1");
    }

    #[test]
    fn mistakes() {
        let mut c = TestClient::new();
        let count = "-ERR count should be greater than or equal to -1";
        c.check("SLOWLOG GET -2", count);
        c.check("SLOWLOG GET abc", count);
        c.check(
            "SLOWLOG foo",
            "-ERR unknown subcommand 'foo'. Try SLOWLOG HELP.",
        );
        c.check(
            "SLOWLOG",
            "-ERR wrong number of arguments for 'slowlog' command",
        );
        c.check(
            "SLOWLOG GET 1 2",
            "-ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.",
        );
        let kind = "-ERR type should be one of the following: slow, large-request, large-reply";
        c.check("COMMANDLOG GET 1 foo", kind);
        c.check("COMMANDLOG LEN foo", kind);
        c.check("COMMANDLOG RESET foo", kind);
        c.check("COMMANDLOG GET x slow", count);
        c.check(
            "COMMANDLOG GET 1",
            "-ERR wrong number of arguments for 'commandlog|get' command",
        );
    }
}
