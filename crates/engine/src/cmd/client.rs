//! CLIENT: what connections are, what they say about themselves, and what may be done to them.

mod filter;
mod tracking;
mod waits;

use self::filter::{Filter, Use};
use self::tracking::{client_caching, client_getredir, client_tracking, client_trackinginfo};
use super::command::help;
use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::client::clients::Kind;
use crate::context::command::{
    ABOUT_CLIENT, ADMIN, ALL_SHARDS, ALLOW_BUSY, BLOCKING, CHANGES_SESSION, Command, Group,
    LOADING, NO_MULTI, NOSCRIPT, STALE, container, row,
};
use crate::context::ctx::Ctx;
use crate::context::describe::describe;
use crate::context::session::ReplyMode;
use crate::follow::waiting::{GiveUp, Waiter};
use resp::number::parse_i64;
use std::sync::atomic::Ordering::Relaxed;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    container("client", Group::Connection, "2.4.0", CLIENT_COMMANDS)
        .docs("Holds the commands about connections.", "Depends on the subcommand"),
];

/// The subcommands of CLIENT.
#[rustfmt::skip]
const CLIENT_COMMANDS: &[Command] = &[
    row("client|caching", 3, CHANGES_SESSION | ABOUT_CLIENT | NOSCRIPT | LOADING | STALE | ALLOW_BUSY,
            Group::Connection, "6.0.0", client_caching)
        .args("mode(YES | NO)")
        .docs("Says whether the keys of the next command are to be tracked.", "O(1)"),
    row("client|capa", -3, CHANGES_SESSION | ABOUT_CLIENT | NOSCRIPT | LOADING | STALE | ALLOW_BUSY,
            Group::Connection, "8.0.0", client_capa)
        .args("capability...")
        .docs("Tells the server what this client is able to do.", "O(1)"),
    row("client|getname", 2, ABOUT_CLIENT | NOSCRIPT | LOADING | STALE | ALLOW_BUSY,
            Group::Connection, "2.6.9", client_getname)
        .docs("Returns the name of the connection.", "O(1)"),
    row("client|getredir", 2, ABOUT_CLIENT | NOSCRIPT | LOADING | STALE | ALLOW_BUSY,
            Group::Connection, "6.0.0", client_getredir)
        .docs("Returns the connection that tracking messages are sent to.", "O(1)"),
    row("client|help", 2, ABOUT_CLIENT | LOADING | STALE, Group::Connection, "5.0.0", help)
        .docs("Lists the subcommands of CLIENT.", "O(1)"),
    row("client|id", 2, ABOUT_CLIENT | NOSCRIPT | LOADING | STALE | ALLOW_BUSY,
            Group::Connection, "5.0.0", client_id)
        .docs("Returns the number of the connection.", "O(1)"),
    row("client|import-source", 3, CHANGES_SESSION | ABOUT_CLIENT | NOSCRIPT | LOADING | STALE,
            Group::Connection, "8.1.0", client_import_source)
        .args("enabled(ON | OFF)")
        .docs("Marks the connection as one that imports data from another server.", "O(1)"),
    row("client|info", 2, ABOUT_CLIENT | NOSCRIPT | LOADING | STALE, Group::Connection, "6.2.0", client_info)
        .tips(&["nondeterministic_output"])
        .docs("Describes this connection.", "O(1)"),
    row("client|kill", -3, CHANGES_SESSION | ABOUT_CLIENT | ADMIN | NOSCRIPT | LOADING | STALE,
            Group::Connection, "2.4.0", client_kill)
        .args("filter(old-format<ip:port>!2.8.12 | new-format([ID \
               client-id:int...@2.8.12] | [TYPE client-type(NORMAL \
               | MASTER@3.2.0 | PRIMARY@8.0.0 | SLAVE | REPLICA@5.0.0 \
               | PUBSUB)@2.8.12] | [USER username] | [ADDR addr<ip:port>] \
               | [LADDR laddr<ip:port>@6.2.0] | [SKIPME(YES \
               | NO)] | [MAXAGE maxage:int@8.0.0] | [NAME name@9.0.0] \
               | [IDLE idle:int@9.0.0] | [FLAGS flags@9.0.0] \
               | [LIB-NAME lib-name@9.0.0] | [LIB-VER lib-ver@9.0.0] \
               | [DB db:int@9.0.0] | [CAPA capa@9.0.0] | [IP ip@9.0.0] \
               | [NOT-TYPE not-client-type(NORMAL | MASTER \
               | PRIMARY | SLAVE | REPLICA | PUBSUB)@9.0.0] \
               | [NOT-ID not-client-id:int...@9.0.0] | [NOT-USER not-username@9.0.0] \
               | [NOT-ADDR not-addr<ip:port>@9.0.0] | [NOT-LADDR not-laddr<ip:port>@9.0.0] \
               | [NOT-NAME not-name@9.0.0] | [NOT-FLAGS not-flags@9.0.0] \
               | [NOT-LIB-NAME not-lib-name@9.0.0] | [NOT-LIB-VER not-lib-ver@9.0.0] \
               | [NOT-DB not-db:int@9.0.0] | [NOT-CAPA not-capa@9.0.0] \
               | [NOT-IP not-ip@9.0.0])...)")
        .docs("Closes the connections that match the filters.",
              "O(N), N being the number of connections")
        .history(&[
            ("2.8.12", "New form with filters."),
            ("2.8.12", "New filter ID."),
            ("3.2.0", "TYPE knows master."),
            ("5.0.0", "TYPE knows replica; slave stays as another name for it."),
            ("6.2.0", "New filter LADDR."),
            ("8.0.0", "New filter MAXAGE."),
            ("8.0.0", "TYPE knows primary; master stays as another name for it."),
            ("8.1.0", "ID takes several numbers."),
            ("9.0.0", "New filters NAME, IDLE, FLAGS, LIB-NAME, LIB-VER, DB, CAPA and IP, and \
                      their NOT- forms."),
        ]),
    row("client|list", -2, ABOUT_CLIENT | ADMIN | NOSCRIPT | LOADING | STALE,
            Group::Connection, "2.4.0", client_list)
        .args("[TYPE client-type(NORMAL | MASTER | REPLICA | PUBSUB)@5.0.0] \
               [ID client-id:int...@6.2.0] [USER username@8.1.0] [ADDR addr<ip:port>@8.1.0] \
               [LADDR laddr<ip:port>@8.1.0] [SKIPME(YES | NO)@8.1.0] [MAXAGE maxage:int@8.1.0] \
               [NAME name@9.0.0] [IDLE idle:int@9.0.0] [FLAGS flags@9.0.0] \
               [LIB-NAME lib-name@9.0.0] [LIB-VER lib-ver@9.0.0] [DB db:int@9.0.0] \
               [CAPA capa@9.0.0] [IP ip@9.0.0] [NOT-TYPE not-client-type(NORMAL | MASTER \
               | REPLICA | PUBSUB)@9.0.0] [NOT-ID not-client-id:int...@9.0.0] \
               [NOT-USER not-username@9.0.0] [NOT-ADDR not-addr<ip:port>@9.0.0] \
               [NOT-LADDR not-laddr<ip:port>@9.0.0] [NOT-NAME not-name@9.0.0] \
               [NOT-FLAGS not-flags@9.0.0] [NOT-LIB-NAME not-lib-name@9.0.0] \
               [NOT-LIB-VER not-lib-ver@9.0.0] [NOT-DB not-db:int@9.0.0] \
               [NOT-CAPA not-capa@9.0.0] [NOT-IP not-ip@9.0.0]")
        .tips(&["nondeterministic_output"])
        .docs("Describes the open connections, one a line.",
              "O(N), N being the number of connections")
        .history(&[
            ("2.8.12", "New field id."),
            ("5.0.0", "New filter TYPE."),
            ("6.0.0", "New field user."),
            ("6.2.0", "New fields argv-mem, tot-mem, laddr and redir; new filter ID."),
            ("7.0.0", "New fields resp, multi-mem, rbs and rbp."),
            ("7.0.3", "New field ssub."),
            ("8.0.0", "TYPE knows primary; master stays as another name for it."),
            ("8.1.0", "New filters USER, ADDR, LADDR, SKIPME and MAXAGE."),
            ("9.0.0", "New filters NAME, IDLE, FLAGS, LIB-NAME, LIB-VER, DB, CAPA and IP, and \
                      their NOT- forms."),
        ]),
    row("client|no-evict", 3, CHANGES_SESSION | ABOUT_CLIENT | ADMIN | NOSCRIPT | LOADING | STALE | ALLOW_BUSY,
            Group::Connection, "7.0.0", client_no_evict)
        .args("enabled(ON | OFF)")
        .docs("Exempts the connection from being closed for want of memory.", "O(1)"),
    row("client|no-touch", 3, CHANGES_SESSION | ABOUT_CLIENT | NOSCRIPT | LOADING | STALE | ALLOW_BUSY,
            Group::Connection, "7.2.0", client_no_touch)
        .args("enabled(ON | OFF)")
        .docs("Says whether this connection's commands count as use of their keys.", "O(1)"),
    row("client|pause", -3, ALL_SHARDS | ABOUT_CLIENT | ADMIN | NOSCRIPT | LOADING | STALE,
            Group::Connection, "3.0.0", client_pause)
        .args("timeout:int [mode(WRITE | ALL)@6.2.0]")
        .docs("Holds back the commands of clients for a while.", "O(1)")
        .history(&[("6.2.0", "New option WRITE or ALL.")]),
    row("client|reply", 3, CHANGES_SESSION | ABOUT_CLIENT | NOSCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY,
            Group::Connection, "3.2.0", client_reply)
        .args("action(ON | OFF | SKIP)")
        .docs("Says which commands of this connection are answered.", "O(1)"),
    row("client|setinfo", 4, CHANGES_SESSION | ABOUT_CLIENT | NOSCRIPT | LOADING | STALE | ALLOW_BUSY,
            Group::Connection, "7.2.0", client_setinfo)
        .args("attr(LIB-NAME libname | LIB-VER libver)")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs("Notes the name or version of the client library.", "O(1)"),
    row("client|setname", 3, CHANGES_SESSION | ABOUT_CLIENT | NOSCRIPT | LOADING | STALE | ALLOW_BUSY,
            Group::Connection, "2.6.9", client_setname)
        .args("connection-name")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs("Names the connection.", "O(1)"),
    row("client|tracking", -3, CHANGES_SESSION | ABOUT_CLIENT | NOSCRIPT | LOADING | STALE,
            Group::Connection, "6.0.0", client_tracking)
        .args("status(ON | OFF) [REDIRECT client-id:int] [PREFIX* prefix...] [BCAST] [OPTIN] \
               [OPTOUT] [NOLOOP]")
        .docs("Turns the tracking of keys for client-side caching on or off.",
              "O(1), with more to do for some of the options"),
    row("client|trackinginfo", 2, ABOUT_CLIENT | NOSCRIPT | LOADING | STALE,
            Group::Connection, "6.2.0", client_trackinginfo)
        .docs("Tells how this connection tracks keys.", "O(1)"),
    row("client|unblock", -3, ABOUT_CLIENT | ADMIN | NOSCRIPT | LOADING | STALE,
            Group::Connection, "5.0.0", client_unblock)
        .args("client-id:int [unblock-type(TIMEOUT | ERROR)]")
        .docs("Wakes a connection that waits in a blocking command.",
              "O(log N), N being the number of connections"),
    row("client|unpause", 2, ABOUT_CLIENT | ADMIN | NOSCRIPT | LOADING | STALE,
            Group::Connection, "6.2.0", client_unpause)
        .docs("Lets held-back clients go on.", "O(N), N being the number of clients held back"),
    row("client|waits", 2, ABOUT_CLIENT | ADMIN | NOSCRIPT | LOADING | STALE | ALLOW_BUSY,
            Group::Connection, "8.6.0", waits::client_waits)
        .tips(&["nondeterministic_output"])
        .docs("Tells who waits for whom: blocked clients by key, parked commands, the scripts that run.",
              "O(N), N being the number of connections"),
];

fn client_id(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.out.int(ctx.session.client.id as i64);
    Ok(())
}

// ---- what a connection says about itself

/// Checks a name that will stand in CLIENT LIST, where spaces and line ends separate. `what` begins the error.
pub(crate) fn validate_word<'a>(what: &str, word: &'a [u8]) -> Result<&'a str> {
    let text = str::from_utf8(word)
        .ok()
        .filter(|w| w.bytes().all(|b| b.is_ascii_graphic()));
    text.ok_or_else(|| {
        Error::new(format!(
            "ERR {what} cannot contain spaces, newlines or special characters."
        ))
    })
}

fn client_setname(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let name = validate_word("Client names", args.take())?;
    ctx.session.client.words.lock().name = name.into();
    ctx.out.ok();
    Ok(())
}

fn client_getname(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let words = ctx.session.client.words.lock();
    if words.name.is_empty() {
        ctx.out.null();
    } else {
        ctx.out.bulk(words.name.as_bytes());
    }
    Ok(())
}

fn client_setinfo(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let attribute = args.take();
    let is_name = attribute.eq_ignore_ascii_case(b"lib-name");
    if !is_name && !attribute.eq_ignore_ascii_case(b"lib-ver") {
        return Err(Error::quoting("ERR Unrecognized option '{}'", &[attribute]));
    }
    let value = validate_word(&String::from_utf8_lossy(attribute), args.take())?;
    let mut words = ctx.session.client.words.lock();
    let place = if is_name {
        &mut words.lib_name
    } else {
        &mut words.lib_version
    };
    *place = value.into();
    ctx.out.ok();
    Ok(())
}

fn client_capa(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    // Abilities this server does not know are none of its business: a client tells all of its own to every server.
    if args
        .rest()
        .iter()
        .any(|capa| capa.eq_ignore_ascii_case(b"redirect"))
    {
        ctx.session.client.can_redirect.store(true, Relaxed);
    }
    ctx.out.ok();
    Ok(())
}

// ---- what is known of connections

fn client_info(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let mut text = String::new();
    let now_s = ctx.keys.now_ms / 1000;
    describe(
        &ctx.session.client,
        true,
        now_s,
        ctx.command.name,
        &mut text,
    );
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

fn client_list(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let filter = Filter::parse(&mut args, ctx, Use::List)?;
    let mut names = vec![""; ctx.registry().ids()];
    for entry in ctx.registry().iter_all() {
        names[entry.id] = entry.command.name;
    }
    if let Some(replication) = ctx.engine.replication() {
        replication.look_at_replicas();
    }
    let mut text = String::new();
    for client in ctx.engine.clients().list() {
        if !client.kill_requested() && filter.accepts(&client, ctx) {
            let asking = client.id == ctx.session.client.id;
            let command = match client.last_command.load(Relaxed) {
                _ if asking => ctx.command.name,
                0 => "NULL",
                id => names.get(id - 1).copied().unwrap_or("NULL"),
            };
            describe(&client, asking, ctx.keys.now_ms / 1000, command, &mut text);
        }
    }
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

// ---- what may be done to connections

fn client_kill(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let me = ctx.session.client.id;
    let old_form = args.left() == 1;
    let filter = if old_form {
        Filter::address(args.take())
    } else {
        Filter::parse(&mut args, ctx, Use::Kill)?
    };
    let mut killed = 0;
    // Connections of the program around the engine are not listed, but one may end itself.
    let me_too = Some(&ctx.session.client).filter(|client| client.kind == Kind::Embedded);
    let all = ctx.engine.clients().list().into_iter();
    let all: Vec<_> = all.chain(me_too.cloned()).collect();
    for client in all {
        if client.kill_requested() || !filter.accepts(&client, ctx) {
            continue;
        }
        killed += 1;
        if client.id == me {
            // It still gets the reply.
            ctx.close_after_reply();
        } else {
            client.kill();
        }
    }
    match (old_form, killed) {
        (true, 0) => return Err(Error::new("ERR No such client")),
        (true, _) => ctx.out.ok(),
        (false, n) => ctx.out.int(n),
    }
    Ok(())
}

/// Reads ON or OFF.
fn on_or_off(args: &mut Args<'_>) -> Result<bool> {
    let on = args.keyword("ON");
    if !on && !args.keyword("OFF") {
        return Err(Error::SYNTAX);
    }
    Ok(on)
}

fn client_no_evict(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let on = on_or_off(&mut args)?;
    ctx.session.client.no_evict.store(on, Relaxed);
    ctx.out.ok();
    Ok(())
}

fn client_no_touch(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let on = on_or_off(&mut args)?;
    ctx.session.client.no_touch.store(on, Relaxed);
    ctx.out.ok();
    Ok(())
}

fn client_reply(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let mode = &mut ctx.session.reply_mode;
    if args.keyword("ON") {
        *mode = ReplyMode::On;
        ctx.out.ok();
    } else if args.keyword("OFF") {
        *mode = ReplyMode::Off;
    } else if args.keyword("SKIP") {
        if *mode != ReplyMode::Off {
            *mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(Error::SYNTAX);
    }
    Ok(())
}

fn client_pause(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    if args.left() > 2 {
        return Err(Error::subcommand_syntax(args.argv()));
    }
    let timeout = args.take();
    let mut writes_only = false;
    if args.left() > 0 {
        writes_only = args.keyword("WRITE");
        if !writes_only && !args.keyword("ALL") {
            return Err(Error::new("ERR CLIENT PAUSE mode must be WRITE or ALL"));
        }
    }
    let Some(timeout) = parse_i64(timeout) else {
        return Err(Error::new("ERR timeout is not an integer or out of range"));
    };
    let Ok(timeout) = u64::try_from(timeout) else {
        return Err(Error::new("ERR timeout is negative"));
    };
    let now = ctx.keys.now_ms;
    let until = now.checked_add(timeout).filter(|&t| t <= i64::MAX as u64);
    let until = until.ok_or_else(|| Error::new("ERR timeout is out of range"))?;
    // With all locks held: what was let in before is done, and what comes for its locks after this sees it.
    ctx.engine.pause.start(now, until, writes_only);
    ctx.out.ok();
    Ok(())
}

fn client_unpause(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.engine.pause.stop();
    // Those that were held back sleep until somebody tells them, or their time is over.
    for client in ctx.engine.clients().list() {
        client.wake();
    }
    ctx.out.ok();
    Ok(())
}

fn client_unblock(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    if args.left() > 2 {
        return Err(Error::subcommand_syntax(args.argv()));
    }
    let id = args.take();
    let mut how = GiveUp::Timeout;
    if args.left() > 0 && !args.keyword("TIMEOUT") {
        if !args.keyword("ERROR") {
            return Err(Error::new(
                "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
            ));
        }
        how = GiveUp::Error;
    }
    let id = parse_i64(id).ok_or(Error::NOT_AN_INTEGER)?;
    let client = u64::try_from(id).ok();
    let client = client.and_then(|id| ctx.engine.clients().get(id));
    let registry = ctx.registry();
    let waiter = client
        .and_then(|client| client.waits_for::<Waiter>())
        // Whoever asked the server to stop waits for nothing that could be given up.
        .filter(|waiter| {
            let mut all = registry.iter_all();
            all.any(|entry| entry.id == waiter.command && entry.command.has(BLOCKING))
        });
    let unblocked =
        waiter.is_some_and(|waiter| ctx.engine.follow.give_up(&waiter, how, ctx.keys.counters));
    ctx.out.int(i64::from(unblocked));
    Ok(())
}

fn client_import_source(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    if args.keyword("OFF") {
        ctx.out.ok();
        return Ok(());
    }
    // There is no import mode, so the server is never in it.
    Err(Error::new("ERR Server is not in import mode"))
}

#[cfg(test)]
mod tests;
