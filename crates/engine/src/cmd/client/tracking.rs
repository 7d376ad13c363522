//! CLIENT TRACKING and what belongs to it: client-side caching, which [`crate::follow::tracking`] does.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::context::ctx::Ctx;
use crate::follow::tracking::{Wish, state};
use std::sync::atomic::Ordering::Relaxed;

pub(super) fn client_getredir(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let client = &ctx.session.client;
    ctx.out.int(match client.tracking.load(Relaxed) {
        0 => -1,
        _ => client.redirects_to.load(Relaxed) as i64,
    });
    Ok(())
}

pub(super) fn client_trackinginfo(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let client = &ctx.session.client;
    let bits = client.tracking.load(Relaxed);
    let caching = bits & state::CACHING != 0;
    let words = [
        ("off", bits == 0),
        ("on", bits != 0),
        ("bcast", bits & state::BCAST != 0),
        ("optin", bits & state::OPTIN != 0),
        ("caching-yes", bits & state::OPTIN != 0 && caching),
        ("optout", bits & state::OPTOUT != 0),
        ("caching-no", bits & state::OPTOUT != 0 && caching),
        ("noloop", bits & state::NOLOOP != 0),
        ("broken_redirect", bits & state::BROKEN_REDIRECT != 0),
    ];
    let out = &mut *ctx.out;
    out.map(3);
    out.bulk(b"flags");
    out.set(words.iter().filter(|(_, is)| *is).count());
    for (word, _) in words.iter().filter(|(_, is)| *is) {
        out.bulk(word.as_bytes());
    }
    out.bulk(b"redirect");
    out.int(match bits {
        0 => -1,
        _ => client.redirects_to.load(Relaxed) as i64,
    });
    out.bulk(b"prefixes");
    let prefixes = ctx.engine.follow.tracking.prefixes_of(client);
    out.array(prefixes.len());
    prefixes.iter().for_each(|prefix| out.bulk(prefix));
    Ok(())
}

pub(super) fn client_caching(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let tracking = &ctx.session.client.tracking;
    let bits = tracking.load(Relaxed);
    if bits == 0 {
        return Err(Error::new(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ));
    }
    if args.keyword("YES") {
        if bits & state::OPTIN == 0 {
            return Err(Error::new(
                "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ));
        }
    } else if args.keyword("NO") {
        if bits & state::OPTOUT == 0 {
            return Err(Error::new(
                "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ));
        }
    } else {
        return Err(Error::SYNTAX);
    }
    tracking.fetch_or(state::CACHING, Relaxed);
    ctx.out.ok();
    Ok(())
}

pub(super) fn client_tracking(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let on = args.take();
    let mut wish = Wish::default();
    while args.left() > 0 {
        if args.keyword_with_value("REDIRECT") {
            if wish.redirect.is_some() {
                return Err(Error::new(
                    "ERR A client can only redirect to a single other client",
                ));
            }
            let id = args.int();
            args.check()?;
            let id = u64::try_from(id).ok();
            let target = id.and_then(|id| ctx.engine.clients().get(id));
            wish.redirect = Some(target.ok_or_else(|| {
                Error::new("ERR The client ID you want redirect to does not exist")
            })?);
        } else if args.keyword_with_value("PREFIX") {
            wish.prefixes.push(args.take());
        } else if args.keyword("BCAST") {
            wish.bits |= state::BCAST;
        } else if args.keyword("OPTIN") {
            wish.bits |= state::OPTIN;
        } else if args.keyword("OPTOUT") {
            wish.bits |= state::OPTOUT;
        } else if args.keyword("NOLOOP") {
            wish.bits |= state::NOLOOP;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    if on.eq_ignore_ascii_case(b"off") {
        ctx.session.untrack();
        ctx.out.ok();
        return Ok(());
    }
    if !on.eq_ignore_ascii_case(b"on") {
        return Err(Error::SYNTAX);
    }
    check(ctx, &wish)?;
    ctx.session.track(wish);
    ctx.out.ok();
    Ok(())
}

/// Checks that the options go together, and with how the client tracks already.
fn check(ctx: &Ctx<'_>, wish: &Wish<'_>) -> Result {
    let old = ctx.session.client.tracking.load(Relaxed);
    let asks = |bit: u32| wish.bits & bit != 0;
    let text = if !wish.prefixes.is_empty() && !asks(state::BCAST) {
        "ERR PREFIX option requires BCAST mode to be enabled"
    } else if old != 0 && (old ^ wish.bits) & state::BCAST != 0 {
        "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it \
         with a different mode."
    } else if asks(state::BCAST) && asks(state::OPTIN | state::OPTOUT) {
        "ERR OPTIN and OPTOUT are not compatible with BCAST"
    } else if asks(state::OPTIN) && asks(state::OPTOUT) {
        "ERR You can't specify both OPTIN mode and OPTOUT mode"
    } else if asks(state::OPTIN) && old & state::OPTOUT != 0
        || asks(state::OPTOUT) && old & state::OPTIN != 0
    {
        "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it \
         with a different mode."
    } else {
        return check_prefixes(ctx, &wish.prefixes);
    };
    Err(Error::new(text))
}

/// Checks that no prefix covers another: a client is told of a key once.
fn check_prefixes(ctx: &Ctx<'_>, prefixes: &[&[u8]]) -> Result {
    let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
    let error = |prefix: &[u8], what: &[u8], other: &[u8]| {
        Err(Error::quoting(
            "ERR Prefix '{}' overlaps with {} prefix '{}'. Prefixes for a single client must not overlap.",
            &[prefix, what, other],
        ))
    };
    let own = ctx.engine.follow.tracking.prefixes_of(&ctx.session.client);
    // In order, one that covers another has one that it covers right behind it.
    let mut sorted: Vec<&[u8]> = own
        .iter()
        .map(|p| &**p)
        .chain(prefixes.iter().copied())
        .collect();
    sorted.sort_unstable();
    if !sorted.windows(2).any(|pair| pair[1].starts_with(pair[0])) {
        return Ok(());
    }
    for (i, prefix) in prefixes.iter().enumerate() {
        if let Some(other) = own.iter().find(|other| overlap(prefix, other)) {
            return error(prefix, b"an existing", other);
        }
        if let Some(other) = prefixes[i + 1..]
            .iter()
            .find(|other| overlap(prefix, other))
        {
            return error(prefix, b"another provided", other);
        }
    }
    Ok(())
}
