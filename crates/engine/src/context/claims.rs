//! Serving those who wait for entries to have been pending for long enough: see [`crate::follow::claims`].

use crate::base::clock::unix_ms;
use crate::base::stats::Counters;
use crate::context::engine::Engine;
use crate::door::held::Held;
use crate::door::keys::{Keys, Said};
use crate::follow::waiting::{Waiter, Whom, serve};
use std::time::Duration;
use store::locks::Indices;

/// How long the locks of a client's keys are waited for.
const PATIENCE: Duration = Duration::from_millis(1);

/// After how long somebody is tried again whose locks were not to be had.
const LATER_MS: u64 = 5;

/// Serves those whose time has come; how long until the next one's comes.
pub(crate) fn serve_due(engine: &Engine, counters: &Counters) -> Option<Duration> {
    let claims = &engine.follow.claims;
    if !claims.any() {
        return None;
    }
    serve_until(engine, counters, unix_ms());
    let next = claims.next_ms()?;
    Some(Duration::from_millis(next.saturating_sub(unix_ms())))
}

/// Serves those whose time has come by now.
pub(crate) fn serve_until(engine: &Engine, counters: &Counters, now_ms: u64) {
    let claims = &engine.follow.claims;
    // Each once: who is not served is listed again, for later.
    let due: Vec<_> = std::iter::from_fn(|| claims.take_due(now_ms)).collect();
    for waiter in due {
        if !try_again(engine, counters, &waiter, now_ms)
            && let Some(again) = &waiter.again
        {
            again.store(now_ms + LATER_MS, std::sync::atomic::Ordering::Relaxed);
            claims.list(&waiter);
        }
    }
}

/// Tries those who wait for pending entries of a client's keys; false if the locks are not to be had.
fn try_again(engine: &Engine, counters: &Counters, waiter: &Waiter, now_ms: u64) -> bool {
    let ks = engine.keyspace();
    let mut wanted: Indices = waiter.keys.iter().map(|(place, _)| place.shard()).collect();
    let Some(held) = ks.lock_many_for(&mut wanted, PATIENCE) else {
        return false;
    };
    if engine.holds_changes(now_ms) || engine.standing.is_replica() {
        // Since it was asked. On a replica nobody waits for long.
        return false;
    }
    let mut said = Said::default();
    let mut keys = Keys::of_nobody(
        (ks, Held::of_many(held)),
        (
            &engine.config().live.aging,
            &engine.follow.effects.listening,
        ),
        counters,
        now_ms,
        &mut said,
    );
    (keys.db, keys.recording) = (waiter.db, engine.journal.is_on());
    for (place, key) in &waiter.keys {
        serve(
            &engine.follow,
            &mut keys,
            waiter.db,
            (key, *place),
            Whom::Claims,
        );
    }
    engine.follow.apply(&mut keys, None);
    if keys.recording {
        engine.write_down_unasked(&mut keys);
    }
    let Keys { held, garbage, .. } = keys;
    drop(held);
    for freed in garbage {
        engine.reclaimer.take(freed);
    }
    true
}
