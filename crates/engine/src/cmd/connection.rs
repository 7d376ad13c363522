//! The connection itself: who it is, which protocol it speaks, which database it works on.

use super::client::validate_word;
use crate::acl::DEFAULT_USER;
use crate::acl::log::Kind as Refused;
use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::version::{MODE, REDIS_VERSION};
use crate::context::command::{
    ALLOW_BUSY, CHANGES_SESSION, Command, Databases, FAST, Group, IN_MULTI, LOADING, NO_AUTH,
    NOSCRIPT, SECRET, SECRET_AFTER_AUTH, STALE, WHILE_SUBSCRIBED, row,
};
use crate::context::ctx::Ctx;
use crate::context::session::ReplyMode;
use resp::Proto;
use std::sync::atomic::Ordering::Relaxed;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("auth", -2, SECRET | CHANGES_SESSION | NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
            Group::Connection, "1.0.0", auth)
        .args("[username@6.0.0] password")
        .docs("Authenticates the connection.", "O(N), N being the number of passwords of the user")
        .history(&[("6.0.0", "A user name may be given with the password.")]),
    row("echo", 2, LOADING | STALE | FAST, Group::Connection, "1.0.0", echo)
        .args("message")
        .docs("Returns the message it is given.", "O(1)"),
    row("hello", -1, SECRET_AFTER_AUTH | CHANGES_SESSION | NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
            Group::Connection, "6.0.0", hello)
        .args("[arguments{protover:int [AUTH{username password}] [SETNAME clientname]}]")
        .docs("Agrees on the protocol version, and can authenticate and name the connection.",
              "O(1)")
        .history(&[
            ("8.1.0", "The reply has an availability_zone field if one is configured."),
            ("6.2.0", "The version may be left out."),
        ]),
    row("ping", -1, WHILE_SUBSCRIBED | FAST, Group::Connection, "1.0.0", ping)
        .args("[message]").tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs("Answers PONG or the message it is given.", "O(1)"),
    row("quit", -1, WHILE_SUBSCRIBED | CHANGES_SESSION | IN_MULTI | NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
            Group::Connection, "1.0.0", quit)
        .docs("Closes the connection.", "O(1)"),
    row("reset", 1, WHILE_SUBSCRIBED | CHANGES_SESSION | IN_MULTI | NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
            Group::Connection, "6.2.0", reset)
        .docs("Brings the connection back to the state it had when new.", "O(1)"),
    row("select", 2, CHANGES_SESSION | LOADING | STALE | FAST | ALLOW_BUSY, Group::Connection, "1.0.0", select)
        .args("index:int").databases(Databases::Named(&[1]))
        .docs("Chooses the database this connection works on.", "O(1)"),
];

fn ping(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    match args.left() {
        0 | 1 if ctx.session.subscriptions.is_some() && ctx.session.proto == Proto::Resp2 => {
            // Where everything is a message, so is this.
            ctx.out.array(2);
            ctx.out.bulk(b"pong");
            ctx.out.bulk(args.peek().unwrap_or_default());
        }
        0 => ctx.out.simple("PONG"),
        1 => ctx.out.bulk(args.take()),
        _ => return Err(Error::wrong_arity("ping")),
    }
    Ok(())
}

fn echo(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    ctx.out.bulk(args.take());
    Ok(())
}

fn select(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let db = args.int32();
    args.finish()?;
    match usize::try_from(db) {
        Ok(db) if db < ctx.engine.keyspace().databases() => ctx.session.select(db),
        _ => return Err(Error::DB_INDEX),
    }
    ctx.out.ok();
    Ok(())
}

fn auth(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let user = if args.left() > 1 {
        args.take()
    } else {
        DEFAULT_USER
    };
    let password = args.take();
    let (named, command) = (args.index() == 3, args.argv()[0]);
    args.finish()?;
    if !named && ctx.engine.is_without_password() {
        return Err(Error::new(
            "ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        ));
    }
    authenticate(ctx, command, user, password)?;
    ctx.out.ok();
    Ok(())
}

/// Lets the client in if name and password are right. A failure leaves it as it was. `command`: as it was written.
fn authenticate(ctx: &mut Ctx<'_>, command: &[u8], name: &[u8], password: &[u8]) -> Result {
    let Some(user) = ctx.engine.users.authenticate(name, password) else {
        ctx.keys.counters.auth_failures.add(1);
        let context = if ctx.nested { "multi" } else { "toplevel" };
        let kind = Refused::Authentication;
        let engine = ctx.engine;
        engine.note_refusal(
            &ctx.session.client,
            ctx.command.name,
            kind,
            context,
            command,
            name,
        );
        return Err(Error::WRONG_PASS);
    };
    ctx.session.sign_in(user);
    Ok(())
}

fn hello(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let mut proto = None;
    if args.left() > 0 {
        let version = args.int_or(Error::new(
            "ERR Protocol version is not an integer or out of range",
        ));
        args.check()?;
        proto = match version {
            2 => Some(Proto::Resp2),
            3 => Some(Proto::Resp3),
            _ => return Err(Error::NO_PROTO),
        };
    }
    let mut credentials = None;
    let mut name = None;
    while let Some(option) = args.peek() {
        if args.left() > 2 && args.keyword("AUTH") {
            credentials = Some((args.take(), args.take()));
        } else if args.keyword_with_value("SETNAME") {
            name = Some(validate_word("Client names", args.take())?);
        } else {
            return Err(Error::quoting(
                "ERR Syntax error in HELLO option '{}'",
                &[option],
            ));
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(ctx, args.argv()[0], user, password)?;
    }
    if !ctx.session.authenticated {
        return Err(Error::new(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> \
             AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
             version at the same time",
        ));
    }
    if let Some(name) = name {
        ctx.session.client.words.lock().name = name.into();
    }
    if let Some(proto) = proto {
        set_proto(ctx, proto);
    }
    let version = if ctx.session.proto == Proto::Resp3 {
        3
    } else {
        2
    };
    let role = ctx.engine.role();
    let out = &mut *ctx.out;
    out.map(7);
    out.bulk(b"server");
    out.bulk(b"redis");
    out.bulk(b"version");
    out.bulk(REDIS_VERSION.as_bytes());
    out.bulk(b"proto");
    out.int(version);
    out.bulk(b"id");
    out.int(ctx.session.client.id as i64);
    out.bulk(b"mode");
    out.bulk(MODE.as_bytes());
    out.bulk(b"role");
    out.bulk(role.as_bytes());
    out.bulk(b"modules");
    out.array(0);
    Ok(())
}

fn set_proto(ctx: &mut Ctx<'_>, proto: Proto) {
    ctx.session.set_proto(proto);
    if !ctx.nested {
        // What has come so far is in the form of the old version.
        ctx.session.client.outbox.drain(ctx.out);
    }
    ctx.out.set_proto(proto);
}

fn quit(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    // Before the reply: who has it may rely on being gone.
    ctx.session.take_leave();
    ctx.out.ok();
    ctx.close_after_reply();
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let session = &mut *ctx.session;
    session.end_multi();
    session.unwatch();
    session.unsubscribe_all();
    session.untrack();
    session.stop_to_monitor();
    session.select(0);
    session.reply_mode = ReplyMode::On;
    session.debugs_scripts = false;
    session.sign_out();
    session.client.no_evict.store(false, Relaxed);
    session.client.no_touch.store(false, Relaxed);
    {
        // What it said about its library and its abilities is still so.
        let mut words = session.client.words.lock();
        words.name.clear();
    }
    set_proto(ctx, Proto::Resp2);
    ctx.out.simple("RESET");
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Asked, TestClient, check, check3};

    #[test]
    fn ping_and_echo_answer() {
        check("PING", "PONG");
        check("PING hi", r#""hi""#);
        check(
            "PING a b",
            "-ERR wrong number of arguments for 'ping' command",
        );
        check(r#"ECHO "a\x00b""#, r#""a\x00b""#);
    }

    #[test]
    fn select_checks_the_number() {
        let mut c = TestClient::new();
        c.check("SELECT 15", "OK");
        assert_eq!(c.session.db, 15);
        c.check("SELECT 16", "-ERR DB index is out of range");
        c.check("SELECT -1", "-ERR DB index is out of range");
        c.check("SELECT 0x1", "-ERR value is not an integer or out of range");
        assert_eq!(c.session.db, 15);
    }

    #[test]
    fn hello_switches_the_protocol_and_tells_about_the_server() {
        let mut c = TestClient::new();
        let map = |proto: u8| {
            format!(
                r#""server"{s} "redis"{e}"version"{s} "{}"{e}"proto"{s} {proto}{e}"id"{s} 1{e}"mode"{s} "standalone"{e}"role"{s} "master"{e}"modules"{s} []"#,
                crate::REDIS_VERSION,
                s = if proto == 3 { ":" } else { "" },
                e = " ",
            )
        };
        c.check("HELLO", &format!("[{}]", map(2)));
        c.check("HELLO 3 SETNAME me", &format!("{{{}}}", map(3)));
        c.check("CLIENT GETNAME", r#""me""#);
        c.check("HELLO", &format!("{{{}}}", map(3)));
        c.check("HELLO 2", &format!("[{}]", map(2)));
    }

    #[test]
    fn hello_refuses_what_it_does_not_know() {
        let mut c = TestClient::new();
        c.check(
            "HELLO abc",
            "-ERR Protocol version is not an integer or out of range",
        );
        c.check("HELLO 4", "-NOPROTO unsupported protocol version");
        c.check("HELLO 99999999999", "-NOPROTO unsupported protocol version");
        c.check("HELLO 3 AUTH a", "-ERR Syntax error in HELLO option 'AUTH'");
        c.check(
            "HELLO 3 SETNAME",
            "-ERR Syntax error in HELLO option 'SETNAME'",
        );
        c.check("HELLO 3 foo", "-ERR Syntax error in HELLO option 'foo'");
        c.check(
            r#"HELLO 3 SETNAME "a b""#,
            "-ERR Client names cannot contain spaces, newlines or special characters.",
        );
        c.check(
            "CLIENT TRACKINGINFO",
            r#"["flags" ["off"] "redirect" -1 "prefixes" []]"#,
        );
    }

    #[test]
    fn a_password_keeps_clients_out_until_they_give_it() {
        let mut c = TestClient::with(&[("requirepass", "pw")]);
        let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
        c.check("PING", "-NOAUTH Authentication required.");
        assert!(
            c.run("HELLO 3")
                .starts_with("-NOAUTH HELLO must be called with")
        );
        c.check("AUTH p", wrong);
        c.check("AUTH pwd", wrong);
        c.check("AUTH other pw", wrong);
        c.check("HELLO 3 AUTH default p SETNAME x", wrong);
        c.check("AUTH pw extra x", "-ERR syntax error");
        c.check("PING", "-NOAUTH Authentication required.");
        c.check("AUTH pw; PING", "PONG");
        // A failure does not throw out who is in.
        c.check("AUTH p", wrong);
        c.check("CLIENT GETNAME", "nil");
        c.check("RESET; PING", "-NOAUTH Authentication required.");
        c.check("AUTH default pw; PING", "PONG");
        assert_eq!(c.engine.stats().sum(|s| s.auth_failures.get()), 5);
        c.another().check("HELLO 2 AUTH default pw; PING", "PONG");
    }

    #[test]
    fn without_a_password_anybody_is_the_default_user() {
        let mut c = TestClient::new();
        assert!(
            c.run("AUTH x")
                .starts_with("-ERR AUTH <password> called without any password")
        );
        c.check("AUTH default x", "OK");
        c.check(
            "AUTH y x",
            "-WRONGPASS invalid username-password pair or user is disabled.",
        );
    }

    #[test]
    fn reset_undoes_what_the_connection_did() {
        let mut c = TestClient::new();
        c.run("HELLO 3 SETNAME me; SELECT 3; CLIENT NO-TOUCH ON; CLIENT NO-EVICT ON; CLIENT REPLY OFF");
        c.check("RESET", "RESET");
        assert_eq!(c.raw(&["CLIENT", "GETNAME"]), b"$-1\r\n");
        let info = c.run("CLIENT INFO");
        assert!(
            info.contains(" flags=N ") && info.contains(" db=0 ") && info.contains(" resp=2 "),
            "{info}"
        );
    }

    #[test]
    fn quit_answers_and_closes() {
        let mut c = TestClient::new();
        c.check("QUIT now", "OK");
        assert_eq!(c.asked, Asked::Close);
        check3("CLIENT GETNAME", "nil");
    }
}
