//! Publish and subscribe: SUBSCRIBE, PUBLISH and their kin, PUBSUB.
//!
//! Subscribing and unsubscribing answer once for each name, and these answers are pushes, which CLIENT REPLY does not
//! silence. Who gets what is kept by [`crate::follow::messages`].

use super::command::help;
use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::context::command::{
    CHANGES_SESSION, Channels, Command, FAST, GATHERS, Group, KS_NOT_KEY, KeySpec, LIKE_WRITE,
    LOADING, NOSCRIPT, PUBSUB, STALE, WHILE_SUBSCRIBED, container, row,
};
use crate::context::ctx::Ctx;
use crate::context::session::ReplyMode;
use crate::door::change::Change;
use crate::follow::messages::Kind;
use std::sync::atomic::Ordering::Relaxed;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("psubscribe", -2, WHILE_SUBSCRIBED | CHANGES_SESSION | PUBSUB | NOSCRIPT | LOADING | STALE, Group::Pubsub, "2.0.0", psubscribe)
        .args("pattern:pattern...").channels(Channels::Patterns)
        .docs("Subscribes to the channels whose names match patterns.",
              "O(N), N being the number of patterns"),
    row("publish", 3, GATHERS | PUBSUB | LOADING | STALE | FAST | LIKE_WRITE, Group::Pubsub, "2.0.0", publish)
        .args("channel message").channels(Channels::First)
        .docs("Sends a message to all who subscribe to a channel.",
              "O(N+M), N being the number of subscribers of the channel and M the number of \
               patterns subscribed to"),
    container("pubsub", Group::Pubsub, "2.8.0", PUBSUB_COMMANDS)
        .docs("Holds the commands that look at channels and subscribers.",
              "Depends on the subcommand"),
    row("punsubscribe", -1, WHILE_SUBSCRIBED | CHANGES_SESSION | PUBSUB | NOSCRIPT | LOADING | STALE,
            Group::Pubsub, "2.0.0", punsubscribe)
        .args("[pattern:pattern...]")
        .docs("Ends subscriptions to patterns.", "O(N), N being the number of patterns"),
    row("spublish", 3, PUBSUB | LOADING | STALE | FAST | LIKE_WRITE,
            Group::Pubsub, "7.0.0", spublish)
        .keys(&[KeySpec::at(1, KS_NOT_KEY)]).args("shardchannel message").channels(Channels::First)
        .docs("Sends a message to all who subscribe to a shard channel.",
              "O(N), N being the number of subscribers of the shard channel"),
    row("ssubscribe", -2, WHILE_SUBSCRIBED | CHANGES_SESSION | PUBSUB | NOSCRIPT | LOADING | STALE, Group::Pubsub, "7.0.0", ssubscribe)
        .keys(&[KeySpec::range(1, -1, 1, KS_NOT_KEY)]).args("shardchannel...").channels(Channels::All)
        .docs("Subscribes to shard channels.", "O(N), N being the number of shard channels"),
    row("subscribe", -2, WHILE_SUBSCRIBED | CHANGES_SESSION | PUBSUB | NOSCRIPT | LOADING | STALE, Group::Pubsub, "2.0.0", subscribe)
        .args("channel...").channels(Channels::All)
        .docs("Subscribes to channels.", "O(N), N being the number of channels"),
    row("sunsubscribe", -1, WHILE_SUBSCRIBED | CHANGES_SESSION | PUBSUB | NOSCRIPT | LOADING | STALE,
            Group::Pubsub, "7.0.0", sunsubscribe)
        .keys(&[KeySpec::range(1, -1, 1, KS_NOT_KEY)]).args("[shardchannel...]")
        .docs("Ends subscriptions to shard channels.",
              "O(N), N being the number of shard channels"),
    row("unsubscribe", -1, WHILE_SUBSCRIBED | CHANGES_SESSION | PUBSUB | NOSCRIPT | LOADING | STALE, Group::Pubsub, "2.0.0", unsubscribe)
        .args("[channel...]")
        .docs("Ends subscriptions to channels.", "O(N), N being the number of channels"),
];

/// The subcommands of PUBSUB.
#[rustfmt::skip]
const PUBSUB_COMMANDS: &[Command] = &[
    row("pubsub|channels", -2, PUBSUB | LOADING | STALE, Group::Pubsub, "2.8.0", pubsub_channels)
        .args("[pattern:pattern]")
        .docs("Lists the channels that have subscribers.",
              "O(N), N being the number of channels, taking each match as constant time"),
    row("pubsub|help", 2, LOADING | STALE, Group::Pubsub, "6.2.0", help)
        .docs("Lists the subcommands of PUBSUB.", "O(1)"),
    row("pubsub|numpat", 2, PUBSUB | LOADING | STALE, Group::Pubsub, "2.8.0", pubsub_numpat)
        .docs("Counts the patterns that are subscribed to.", "O(1)"),
    row("pubsub|numsub", -2, PUBSUB | LOADING | STALE, Group::Pubsub, "2.8.0", pubsub_numsub)
        .args("[channel...]")
        .docs("Counts the subscribers of channels.",
              "O(N), N being the number of channels asked for"),
    row("pubsub|shardchannels", -2, PUBSUB | LOADING | STALE,
            Group::Pubsub, "7.0.0", pubsub_shardchannels)
        .args("[pattern:pattern]")
        .docs("Lists the shard channels that have subscribers.",
              "O(N), N being the number of shard channels, taking each match as constant time"),
    row("pubsub|shardnumsub", -2, PUBSUB | LOADING | STALE,
            Group::Pubsub, "7.0.0", pubsub_shardnumsub)
        .args("[shardchannel...]")
        .docs("Counts the subscribers of shard channels.",
              "O(N), N being the number of shard channels asked for"),
];

/// Number of subscriptions that a confirmation shows: shard channels are counted for themselves.
fn count(ctx: &Ctx<'_>, kind: Kind) -> i64 {
    let n = |kind: Kind| ctx.session.client.subscriptions[kind as usize].load(Relaxed) as i64;
    match kind {
        Kind::Shard => n(Kind::Shard),
        _ => n(Kind::Channel) + n(Kind::Pattern),
    }
}

/// Writes a confirmation.
fn confirm(ctx: &mut Ctx<'_>, word: &str, kind: Kind, name: Option<&[u8]>) {
    let n = count(ctx, kind);
    ctx.out.push(3);
    ctx.out.bulk(word.as_bytes());
    match name {
        Some(name) => ctx.out.bulk(name),
        None => ctx.out.null(),
    }
    ctx.out.int(n);
    ctx.session.pushing = ctx.session.reply_mode != ReplyMode::On && !ctx.nested;
}

fn begin(ctx: &mut Ctx<'_>, mut args: Args<'_>, word: &str, kind: Kind) -> Result {
    while args.left() > 0 {
        let name = args.take();
        ctx.session.subscribe(kind, name);
        confirm(ctx, word, kind, Some(name));
    }
    Ok(())
}

fn end(ctx: &mut Ctx<'_>, mut args: Args<'_>, word: &str, kind: Kind) -> Result {
    let end = |ctx: &mut Ctx<'_>, name: &[u8]| {
        ctx.session.unsubscribe(kind, name);
        if !ctx.nested {
            // What came before goes before. Within EXEC's reply there is no place for it.
            ctx.session.client.outbox.drain(ctx.out);
        }
        confirm(ctx, word, kind, Some(name));
    };
    if args.left() > 0 {
        while args.left() > 0 {
            end(ctx, args.take());
        }
        return Ok(());
    }
    let all = ctx.session.subscribed(kind);
    for name in &all {
        end(ctx, name);
    }
    if all.is_empty() {
        confirm(ctx, word, kind, None);
    }
    Ok(())
}

fn subscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    begin(ctx, args, "subscribe", Kind::Channel)
}

fn psubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    begin(ctx, args, "psubscribe", Kind::Pattern)
}

fn ssubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    // The others of its kind are older than this rule, and are let in.
    if ctx.nested {
        return Err(Error::new(
            "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client",
        ));
    }
    begin(ctx, args, "ssubscribe", Kind::Shard)
}

fn unsubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    end(ctx, args, "unsubscribe", Kind::Channel)
}

fn punsubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    end(ctx, args, "punsubscribe", Kind::Pattern)
}

fn sunsubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    end(ctx, args, "sunsubscribe", Kind::Shard)
}

/// A message of so many bytes is counted when it is sent.
const LARGE: usize = 4 << 10;

fn send(ctx: &mut Ctx<'_>, mut args: Args<'_>, sharded: bool) -> Result {
    let (channel, message) = (args.take(), args.take());
    if ctx.engine.journal.has_replicas() {
        // Theirs get it too.
        ctx.keys.pass_on();
    }
    let pubsub = &ctx.engine.follow.pubsub;
    let received = if ctx.nested {
        // It goes out with all else that the transaction or script does, once that is certain to be done.
        let (to, what) = (channel.to_vec(), message.to_vec());
        ctx.keys.happened(Change::Publish(sharded, to, what));
        pubsub.receivers(sharded, channel)
    } else if sharded {
        ctx.engine.follow.publish(true, channel, message)
    } else {
        ctx.session.publish(channel, message)
    };
    if received > 0 && message.len() >= LARGE {
        // Whoever looks after memory learns of it before it has become much.
        ctx.engine.memory().grow(message.len() as isize);
    }
    ctx.out.int(received as i64);
    Ok(())
}

fn publish(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    send(ctx, args, false)
}

fn spublish(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    send(ctx, args, true)
}

fn list(ctx: &mut Ctx<'_>, mut args: Args<'_>, kind: Kind) -> Result {
    args.take();
    if args.left() > 1 {
        return Err(Error::subcommand_syntax(args.argv()));
    }
    let pattern = (args.left() > 0).then(|| args.take());
    let names = ctx.engine.follow.pubsub.names(kind, pattern);
    ctx.out.array(names.len());
    names.iter().for_each(|name| ctx.out.bulk(name));
    Ok(())
}

fn numbers(ctx: &mut Ctx<'_>, mut args: Args<'_>, kind: Kind) -> Result {
    args.take();
    ctx.out.array(2 * args.left());
    while args.left() > 0 {
        let name = args.take();
        ctx.out.bulk(name);
        ctx.out
            .int(ctx.engine.follow.pubsub.subscribers(kind, name) as i64);
    }
    Ok(())
}

fn pubsub_channels(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    list(ctx, args, Kind::Channel)
}

fn pubsub_shardchannels(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    list(ctx, args, Kind::Shard)
}

fn pubsub_numsub(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    numbers(ctx, args, Kind::Channel)
}

fn pubsub_shardnumsub(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    numbers(ctx, args, Kind::Shard)
}

fn pubsub_numpat(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.out
        .int(ctx.engine.follow.pubsub.len(Kind::Pattern) as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Asked, TestClient, check};
    use std::sync::atomic::Ordering::Relaxed;

    /// Each of the subscribers counted for the whole message, so that a large one that many were about to read had keys evicted.
    #[test]
    fn a_message_to_many_takes_memory_once() {
        let (mut c, message) = (TestClient::new(), "m".repeat(1 << 20));
        let mut all: Vec<TestClient> = (0..50).map(|_| c.another()).collect();
        for client in &mut all {
            client.run("SUBSCRIBE x");
        }
        let before = c.engine.clients().memory();
        assert_eq!(c.raw(&["PUBLISH", "x", &message]), b":50\r\n");
        let more = c.engine.clients().memory() - before;
        assert!((1 << 20..3 << 19).contains(&more), "{more} bytes");
        // If there were no others, it would take as much.
        assert!(all[0].session.client().memory() > 1 << 20);
        all.drain(1..).for_each(drop);
        let left = c.engine.clients().memory();
        assert!(left > 1 << 20, "{left} bytes");
    }

    #[test]
    fn messages_reach_those_who_subscribe() {
        let mut a = TestClient::new();
        let mut b = a.another().resp3();
        let mut c = a.another();
        assert_eq!(
            a.raw(&["SUBSCRIBE", "x", "y"]),
            b"*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\ny\r\n:2\r\n"
        );
        b.check("PSUBSCRIBE x*", r#">["psubscribe" "x*" 1]"#);
        b.check("SUBSCRIBE xy", r#">["subscribe" "xy" 2]"#);
        b.check("SSUBSCRIBE x", r#">["ssubscribe" "x" 1]"#);
        c.check("PUBLISH x 1", "2");
        c.check("PUBLISH xy 2", "2");
        c.check("PUBLISH z 3", "0");
        c.check("SPUBLISH x 4", "1");
        c.check("SPUBLISH y 5", "0");
        a.check_messages(r#"["message" "x" "1"]"#);
        b.check_messages(
            r#">["pmessage" "x*" "x" "1"] >["message" "xy" "2"] >["pmessage" "x*" "xy" "2"] >["smessage" "x" "4"]"#,
        );
        c.check("PUBSUB NUMSUB x xy q", r#"["x" 1 "xy" 1 "q" 0]"#);
        c.check("PUBSUB NUMPAT", "1");
        c.check("PUBSUB SHARDNUMSUB x", r#"["x" 1]"#);
        c.check("PUBSUB SHARDCHANNELS", r#"["x"]"#);
        c.check("PUBSUB CHANNELS x?", r#"["xy"]"#);
        drop(a);
        drop(b);
        c.check("PUBLISH x 1", "0");
        c.check("PUBSUB CHANNELS", "[]");
        c.check("PUBSUB NUMPAT", "0");
        assert!(c.engine.follow.pubsub.is_empty());
    }

    /// What was sent before goes before the confirmation that nothing more comes.
    #[test]
    fn nothing_comes_after_the_end_of_a_subscription() {
        let mut a = TestClient::new().resp3();
        let mut b = a.another();
        a.run("SUBSCRIBE x");
        b.run("PUBLISH x 1; PUBLISH x 2");
        assert_eq!(
            a.raw(&["UNSUBSCRIBE", "x"]),
            b">3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n2\r\n\
              >3\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:0\r\n"
        );
        a.check_messages("");
        b.check("PUBLISH x 3", "0");
        a.check("UNSUBSCRIBE", r#">["unsubscribe" nil 0]"#);
        a.check("PUNSUBSCRIBE q", r#">["punsubscribe" "q" 0]"#);
    }

    #[test]
    fn a_subscriber_of_resp2_may_do_little_else() {
        let only = |name: &str| {
            format!(
                "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
                 this context"
            )
        };
        let mut a = TestClient::new();
        a.run("SUBSCRIBE x");
        a.check("GET k", &only("get"));
        a.check("CLIENT ID", &only("client|id"));
        a.check("PING", r#"["pong" ""]"#);
        a.check("PING hi", r#"["pong" "hi"]"#);
        a.check("RESET", "RESET");
        a.check("GET k", "nil");
        a.check("PUBSUB CHANNELS", "[]");
        a.check(
            "MULTI; SSUBSCRIBE x; EXEC",
            "[-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client]",
        );
        a.run("MULTI; SUBSCRIBE x; EXEC");
        assert!(
            a.run("EXEC")
                .starts_with("-EXECABORT Transaction discarded because of: Can't")
        );
        check("HELLO 3; SUBSCRIBE x; GET k", "nil");
    }

    #[test]
    fn a_transaction_says_what_it_has_to_say_when_it_is_done() {
        let mut a = TestClient::new().resp3();
        let mut b = a.another();
        a.run("SUBSCRIBE x");
        b.run("MULTI; PUBLISH x 1; SET k v; PUBLISH x 2");
        a.check_messages("");
        b.check("EXEC", "[1 OK 1]");
        a.check_messages(r#">["message" "x" "1"] >["message" "x" "2"]"#);
        b.run("MULTI; PUBLISH x 1; DISCARD");
        a.check_messages("");
    }

    #[test]
    fn client_reply_does_not_silence_pushes() {
        let mut a = TestClient::new().resp3();
        a.check("CLIENT REPLY OFF", "");
        a.check("SUBSCRIBE x", r#">["subscribe" "x" 1]"#);
        a.check("PUBLISH x 1", "");
        a.check_messages(r#">["message" "x" "1"]"#);
        a.check("CLIENT REPLY ON", "OK");
    }

    #[test]
    fn a_subscriber_who_does_not_read_is_closed() {
        let mut a = TestClient::new();
        let mut b = a.another();
        b.check(
            r#"CONFIG SET client-output-buffer-limit "pubsub 1000 0 0""#,
            "OK",
        );
        a.run("SUBSCRIBE x");
        let long = "m".repeat(400);
        for _ in 0..10 {
            b.run(&format!("PUBLISH x {long}"));
        }
        let client = a.session.client();
        assert!(client.kill_requested());
        // What it has not taken is nobody's any more, also if it never comes by again.
        assert_eq!((client.outbox.bytes(), client.outbox.len()), (0, 0));
        b.check("PUBLISH x 1", "1");
        assert!(client.outbox.is_empty());
    }

    #[test]
    fn a_change_of_protocol_leaves_no_message_of_the_old_form() {
        let mut a = TestClient::new().resp3();
        let mut b = a.another();
        a.run("SUBSCRIBE x");
        b.run("PUBLISH x 1");
        let reply = a.raw(&["HELLO", "2"]);
        assert!(
            reply.starts_with(b">3\r\n$7\r\nmessage"),
            "{}",
            reply.escape_ascii()
        );
        b.run("PUBLISH x 2");
        a.check_messages(r#"["message" "x" "2"]"#);
    }

    #[test]
    fn notifications_tell_of_the_classes_asked_for() {
        let mut a = TestClient::new();
        let mut b = a.another();
        a.run("PSUBSCRIBE __key*");
        b.run("SET k v");
        a.check_messages("");
        b.check("CONFIG SET notify-keyspace-events K$", "OK");
        b.run("SET k v; LPUSH l 1; DEL k");
        a.check_messages(r#"["pmessage" "__key*" "__keyspace@0__:k" "set"]"#);
        b.check("CONFIG SET notify-keyspace-events Egxnm", "OK");
        b.run("SELECT 1; SET k v; DEL k; GET k");
        a.check_messages(
            r#"["pmessage" "__key*" "__keyevent@1__:new" "k"] ["pmessage" "__key*" "__keyevent@1__:del" "k"] ["pmessage" "__key*" "__keyevent@1__:keymiss" "k"]"#,
        );
        b.run("CONFIG SET notify-keyspace-events E; DEL k; SET k v");
        a.check_messages("");
        assert!(!b.engine.follow.effects.listening());
        b.run("CONFIG SET notify-keyspace-events KEA");
        b.run("CONFIG SET notify-keyspace-events AKE");
        b.run("CONFIG SET notify-keyspace-events \"\"");
        assert!(!b.engine.follow.effects.listening());
    }

    /// Waits until what expires in a millisecond from now has expired.
    fn pass_two_ms() {
        let began = crate::base::clock::unix_ms();
        while crate::base::clock::unix_ms() < began + 2 {
            std::thread::yield_now();
        }
    }

    /// What a client is told under one pattern: channel and message, a line each.
    fn told(client: &mut TestClient) -> Vec<String> {
        let messages = client.messages();
        let parts = messages.split(r#"["pmessage" "__subkey*" ""#).skip(1);
        let line = |part: &str| {
            part.trim_end()
                .trim_end_matches("\"]")
                .replace("\" \"", " ")
        };
        parts.map(line).collect()
    }

    /// As Redis 8.8 documents them (redis.io, subkey notifications); the first is its example.
    #[test]
    fn notifications_of_fields() {
        let mut a = TestClient::new();
        let mut b = a.another();
        a.run("PSUBSCRIBE __subkey*");
        b.run("CONFIG SET notify-keyspace-events STh; HSET myhash field1 val1 field2 val2");
        assert_eq!(
            told(&mut a),
            [
                "__subkeyspace@0__:myhash hset|6:field1,6:field2",
                "__subkeyevent@0__:hset 6:myhash|6:field1,6:field2",
            ]
        );
        b.run("CONFIG SET notify-keyspace-events STIVh; HDEL myhash field2 none");
        assert_eq!(
            told(&mut a),
            [
                "__subkeyspace@0__:myhash hdel|6:field2",
                "__subkeyevent@0__:hdel 6:myhash|6:field2",
                r"__subkeyspaceitem@0__:myhash\nfield2 hdel",
                "__subkeyspaceevent@0__:hdel|myhash 6:field2",
            ]
        );
        // The class of hashes is asked for too, and keys have their own letters.
        b.run("CONFIG SET notify-keyspace-events STIVg; HSET h f v");
        b.run("CONFIG SET notify-keyspace-events KEh; HSET h f v");
        assert_eq!(told(&mut a), [""; 0]);
        b.run("FLUSHALL; CONFIG SET notify-keyspace-events SA");
        for (line, expected) in [
            ("HSET h a 1 b 2 a 3", "hset|1:a,1:b,1:a"),
            ("HMSET h c 4", "hset|1:c"),
            ("HSETNX h c 4", ""),
            ("HSETNX h d 4", "hset|1:d"),
            ("HINCRBY h d 1", "hincrby|1:d"),
            ("HINCRBYFLOAT h d 0.5", "hincrbyfloat|1:d"),
            ("HINCRBY h d 1", ""),
            ("HEXPIRE h 100 FIELDS 3 a x b", "hexpire|1:a,1:b"),
            ("HEXPIRE h 100 NX FIELDS 2 a c", "hexpire|1:c"),
            ("HPERSIST h FIELDS 3 a d x", "hpersist|1:a"),
            ("HPEXPIREAT h 1 FIELDS 2 a x", "hdel|1:a"),
            ("HGETEX h PERSIST FIELDS 2 b d", "hpersist|1:b"),
            ("HGETEX h EX 100 FIELDS 2 b x", "hexpire|1:b"),
            ("HGETEX h PXAT 1 FIELDS 1 b", "hdel|1:b"),
            ("HGETEX h FIELDS 1 c", ""),
            ("HGETDEL h FIELDS 2 c x", "hdel|1:c"),
            ("HGETDEL h FIELDS 1 x", ""),
            ("HSETEX h EX 100 FIELDS 1 e 1", "hset|1:e hexpire|1:e"),
            ("HSETEX h PXAT 1 FIELDS 1 e 1", "hset|1:e hdel|1:e"),
            ("HSETEX h KEEPTTL FIELDS 1 e 1", "hset|1:e"),
            ("HDEL h x", ""),
            ("HDEL h d e", "hdel|1:d,1:e"),
            (r#"HSET h "a,b" 1"#, "hset|3:a,b"),
            ("DEL h", ""),
            ("MULTI; HSET h a 1; HDEL h a; EXEC", "hset|1:a hdel|1:a"),
        ] {
            b.run(line);
            let got: Vec<String> = told(&mut a)
                .iter()
                .map(|line| line.replace("__subkeyspace@0__:h ", ""))
                .collect();
            assert_eq!(got.join(" "), expected, "after {line}");
        }
        // Fields whose time is over, found by who comes by and by the sweep.
        b.run("DEBUG SET-ACTIVE-EXPIRE 0; HSET h a 1 b 2 c 3; HPEXPIRE h 1 FIELDS 2 a b");
        told(&mut a);
        pass_two_ms();
        b.run("HSET h d 1");
        let found = told(&mut a);
        assert_eq!(found.len(), 2, "{found:?}");
        let both = ["1:a,1:b", "1:b,1:a"].map(|f| format!("__subkeyspace@0__:h hexpired|{f}"));
        assert!(
            both.contains(&found[0]) || both.contains(&found[1]),
            "{found:?}"
        );
        b.run("HPEXPIRE h 1 FIELDS 1 c");
        told(&mut a);
        pass_two_ms();
        let counters = b.worker.counters().clone();
        let time = std::time::Duration::from_secs(1);
        crate::upkeep::sweep::Sweep::default().slice(&b.engine, &counters, time);
        assert_eq!(told(&mut a), ["__subkeyspace@0__:h hexpired|1:c"]);
        // A newline in a key would be the end of it.
        b.run(r#"CONFIG SET notify-keyspace-events Ih; HSET "x\ny" f v"#);
        assert_eq!(told(&mut a), [""; 0]);
    }

    #[test]
    fn notification_classes_print_as_in_real_servers() {
        let classes = [
            ("", ""),
            ("KEA", "AKE"),
            ("AKE", "AKE"),
            ("Kg", "gK"),
            ("g$lshzxetd", "A"),
            ("g$lshzxet", "g$lshzxet"),
            ("KEg$lshzxetdmn", "AKEm"),
            ("An", "A"),
            ("KEoc", "ocKE"),
            ("Ed$", "$dE"),
            ("VISThm", "hmSTIV"),
            ("KEASTIV", "AKESTIV"),
        ];
        for (given, shown) in classes {
            let line = format!(
                "CONFIG SET notify-keyspace-events \"{given}\"; CONFIG GET notify-keyspace-events"
            );
            check(&line, &format!(r#"["notify-keyspace-events" "{shown}"]"#));
        }
        check(
            "CONFIG SET notify-keyspace-events KEq",
            "-ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class \
             character. Use 'Ag$lshzxeKEtmdn'.",
        );
    }

    /// Messages of a pipeline go out together, but not past anything else.
    #[test]
    fn a_pipeline_keeps_its_order() {
        let mut a = TestClient::new().resp3();
        let mut b = a.another();
        a.run("SUBSCRIBE x; SUBSCRIBE y; SSUBSCRIBE x");
        let pipeline = [
            "PUBLISH x 1",
            "PUBLISH x 2",
            "PUBLISH y 3",
            "PUBLISH z 4",
            "PUBLISH x 5",
            "SPUBLISH x 6",
            "PUBLISH x 7",
            "GET k",
            "PUBLISH x 8",
        ];
        assert_eq!(b.pipeline(&pipeline), ":1 :1 :1 :0 :1 :1 :1 $-1 :1");
        let mut got = String::new();
        while let Some(bytes) = a.session.client().outbox.pop() {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            got.extend(
                text.split("\r\n")
                    .filter(|l| l.len() == 1 && l.parse::<u8>().is_ok()),
            );
        }
        assert_eq!(got, "1235678");
        a.run("PSUBSCRIBE *");
        b.pipeline(&["PUBLISH x 1", "PUBLISH x 2"]);
        a.check_messages(
            r#">["message" "x" "1"] >["pmessage" "*" "x" "1"] >["message" "x" "2"] >["pmessage" "*" "x" "2"]"#,
        );
    }

    #[test]
    fn a_pause_of_writes_holds_messages_back() {
        let mut a = TestClient::new().resp3();
        a.run("SUBSCRIBE x; CLIENT PAUSE 100000 WRITE");
        a.check("PUBLISH x 1", "");
        assert!(matches!(a.asked, Asked::Retry(_)));
        a.check("CLIENT UNPAUSE", "OK");
        a.check_messages("");
        a.check("PUBLISH x 1", "1");
    }

    #[test]
    fn client_list_tells_of_subscriptions() {
        let mut a = TestClient::new().resp3();
        a.run("SUBSCRIBE x; SUBSCRIBE y; PSUBSCRIBE p; SSUBSCRIBE s");
        let info = a.run("CLIENT INFO");
        assert!(
            info.contains(" flags=P ") && info.contains(" sub=2 psub=1 ssub=1 "),
            "{info}"
        );
        assert_eq!(a.session.client().class(), 2);
        assert!(a.run("CLIENT LIST TYPE pubsub").contains("id=1"));
        assert!(!a.run("CLIENT LIST TYPE normal").contains("id=1"));
        let info = a.run("INFO everything");
        for line in [
            "pubsub_channels:2",
            "pubsub_patterns:1",
            "pubsubshard_channels:1",
            "pubsub_clients:1",
        ] {
            assert!(info.contains(line), "{line}");
        }
        a.run("RESET");
        assert!(
            a.session
                .client()
                .subscriptions
                .iter()
                .all(|n| n.load(Relaxed) == 0)
        );
    }
}
