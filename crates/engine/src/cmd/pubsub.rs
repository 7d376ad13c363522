//! Publish and subscribe: SUBSCRIBE, PUBLISH and their kin, PUBSUB.
//!
//! Subscribing and unsubscribing answer once for each name, and these answers are pushes, which CLIENT REPLY does not
//! silence. Who gets what is kept by [`crate::pubsub`].

use super::command::help;
use crate::args::Args;
use crate::command::{
    Command, FAST, Group, KS_NOT_KEY, KeySpec, LOADING, NOSCRIPT, PUBSUB, STALE, container, row,
};
use crate::ctx::Ctx;
use crate::effects::Change;
use crate::error::{Error, Result};
use crate::pubsub::Kind;
use crate::session::ReplyMode;
use std::sync::atomic::Ordering::Relaxed;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("psubscribe", -2, PUBSUB | NOSCRIPT | LOADING | STALE, Group::Pubsub, "2.0.0", psubscribe)
        .args("pattern:pattern...")
        .docs("Subscribes to the channels whose names match patterns.",
              "O(N), N being the number of patterns"),
    row("publish", 3, PUBSUB | LOADING | STALE | FAST, Group::Pubsub, "2.0.0", publish)
        .args("channel message")
        .docs("Sends a message to all who subscribe to a channel.",
              "O(N+M), N being the number of subscribers of the channel and M the number of \
               patterns subscribed to"),
    container("pubsub", Group::Pubsub, "2.8.0", PUBSUB_COMMANDS)
        .docs("Holds the commands that look at channels and subscribers.",
              "Depends on the subcommand"),
    row("punsubscribe", -1, PUBSUB | NOSCRIPT | LOADING | STALE,
            Group::Pubsub, "2.0.0", punsubscribe)
        .args("[pattern:pattern...]")
        .docs("Ends subscriptions to patterns.", "O(N), N being the number of patterns"),
    row("spublish", 3, PUBSUB | LOADING | STALE | FAST, Group::Pubsub, "7.0.0", spublish)
        .keys(&[KeySpec::at(1, KS_NOT_KEY)]).args("shardchannel message")
        .docs("Sends a message to all who subscribe to a shard channel.",
              "O(N), N being the number of subscribers of the shard channel"),
    row("ssubscribe", -2, PUBSUB | NOSCRIPT | LOADING | STALE, Group::Pubsub, "7.0.0", ssubscribe)
        .keys(&[KeySpec::range(1, -1, 1, KS_NOT_KEY)]).args("shardchannel...")
        .docs("Subscribes to shard channels.", "O(N), N being the number of shard channels"),
    row("subscribe", -2, PUBSUB | NOSCRIPT | LOADING | STALE, Group::Pubsub, "2.0.0", subscribe)
        .args("channel...")
        .docs("Subscribes to channels.", "O(N), N being the number of channels"),
    row("sunsubscribe", -1, PUBSUB | NOSCRIPT | LOADING | STALE,
            Group::Pubsub, "7.0.0", sunsubscribe)
        .keys(&[KeySpec::range(1, -1, 1, KS_NOT_KEY)]).args("[shardchannel...]")
        .docs("Ends subscriptions to shard channels.",
              "O(N), N being the number of shard channels"),
    row("unsubscribe", -1, PUBSUB | NOSCRIPT | LOADING | STALE, Group::Pubsub, "2.0.0", unsubscribe)
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

fn send(ctx: &mut Ctx<'_>, mut args: Args<'_>, sharded: bool) -> Result {
    let (channel, message) = (args.take(), args.take());
    let pubsub = &ctx.engine.pubsub;
    let received = if ctx.nested {
        // It goes out with all else that the transaction or script does, once that is certain to be done.
        let (to, what) = (channel.to_vec(), message.to_vec());
        ctx.keys.happened(Change::Publish(sharded, to, what));
        pubsub.receivers(sharded, channel)
    } else {
        let limits = &ctx.engine.config().live.output_limits;
        pubsub.publish(limits, sharded, channel, message)
    };
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
        return Err(Error::new(format!(
            "ERR unknown subcommand or wrong number of arguments for '{}'. Try PUBSUB HELP.",
            crate::error::shown(args.argv()[1])
        )));
    }
    let pattern = (args.left() > 0).then(|| args.take());
    let names = ctx.engine.pubsub.names(kind, pattern);
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
            .int(ctx.engine.pubsub.subscribers(kind, name) as i64);
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
    ctx.out.int(ctx.engine.pubsub.len(Kind::Pattern) as i64);
    Ok(())
}
