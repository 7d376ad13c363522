//! FAILOVER: giving the role of the primary to a replica.
//!
//! Changes are held back (not refused), until a replica has all there is. Then this server follows it, and asks it, with the PSYNC by
//! which it does so, to be the primary. If that does not work, this one is the primary again; if nobody knows whether it did, the replica
//! is asked until somebody does ([`crate::replica::handover`]).

use super::Primary;
use super::link::Link;
use crate::replica::Address;
use crate::replica::handover::TookOver;
use engine::{CHANGES_HELD, Failover};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How far that is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    No,
    /// For the replica to have everything.
    Waiting {
        how: Failover,
        until: Option<Instant>,
        /// What was under way when changes began to be held back is done.
        still: bool,
    },
    /// The replica is asked to take over.
    Switching,
    /// It did.
    Done,
    /// It did not, or that was given up.
    Failed,
}

/// See the module's page.
#[derive(Default)]
pub(super) struct Failing(Mutex<Stage>);

impl Primary {
    /// FAILOVER.
    pub(crate) fn begin_failover(&self, how: Failover) -> Result<(), String> {
        let engine = self.engine()?;
        let mut stage = self.failing.0.lock();
        if *stage != Stage::No {
            return Err("ERR FAILOVER already in progress.".into());
        }
        if engine.standing.is_replica() {
            return Err("ERR FAILOVER is not valid when server is a replica.".into());
        }
        let links = self.links();
        if links.is_empty() {
            return Err("ERR FAILOVER requires connected replicas.".into());
        }
        if how.force && (how.timeout_ms == 0 || how.to.is_none()) {
            return Err(
                "ERR FAILOVER with force option requires both a timeout and target HOST and IP."
                    .into(),
            );
        }
        if how.to.is_some() {
            match links.iter().find(|link| is_meant(link, &how)) {
                None => return Err("ERR FAILOVER target HOST and PORT is not a replica.".into()),
                Some(link) if !link.is_online() => {
                    return Err("ERR FAILOVER target replica is not online.".into());
                }
                Some(_) => {}
            }
        }
        tracing::info!("FAILOVER begins: changes are held back until a replica has everything");
        engine.standing.close(CHANGES_HELD, true);
        let patience = Duration::from_millis(how.timeout_ms);
        let until = (how.timeout_ms > 0).then(|| Instant::now() + patience);
        *stage = Stage::Waiting {
            how,
            until,
            still: false,
        };
        drop(stage);
        self.wake();
        Ok(())
    }

    /// FAILOVER ABORT.
    pub(crate) fn end_failover(&self) -> Result<(), String> {
        let mut stage = self.failing.0.lock();
        if *stage == Stage::No {
            return Err("ERR No failover in progress.".into());
        }
        tracing::info!("FAILOVER is given up, as was asked for");
        *stage = Stage::Failed;
        drop(stage);
        self.wake();
        Ok(())
    }

    pub(crate) fn is_failing_over(&self) -> bool {
        *self.failing.0.lock() != Stage::No
    }

    /// As INFO calls it.
    pub(super) fn failover_state(&self) -> &'static str {
        match *self.failing.0.lock() {
            Stage::No => "no-failover",
            Stage::Waiting { .. } => "waiting-for-sync",
            Stage::Switching | Stage::Done | Stage::Failed => "failover-in-progress",
        }
    }

    /// Does what is to be done next, if there is a failover.
    pub(super) fn drive_failover(&self) {
        let stage = self.failing.0.lock().clone();
        match stage {
            Stage::No | Stage::Switching => {}
            Stage::Waiting { how, until, still } => self.wait_to_switch(how, until, still),
            Stage::Done => self.failover_is_over(),
            Stage::Failed => {
                if let Err(why) = self.replica.lead() {
                    tracing::warn!("After a FAILOVER that failed: {why}");
                }
                self.failover_is_over();
            }
        }
    }

    fn failover_is_over(&self) {
        *self.failing.0.lock() = Stage::No;
        if let Ok(engine) = self.engine() {
            engine.standing.close(CHANGES_HELD, false);
        }
    }

    fn wait_to_switch(&self, how: Failover, until: Option<Instant>, still: bool) {
        if !still {
            // Whoever was in the middle of a change has it done when all locks were had.
            if self.keeper.want_pieces(true, || ()).is_ok()
                && let Stage::Waiting { still, .. } = &mut *self.failing.0.lock()
            {
                *still = true;
            }
        }
        self.keeper.give_pieces();
        self.ask_for_acks();
        let links = self.links();
        let meant: Vec<&Arc<Link>> = (links.iter())
            .filter(|link| how.to.is_none() || is_meant(link, &how))
            .filter(|link| link.is_online())
            .collect();
        // The question at the end of the stream moves no keys, and who has answered it has what was before.
        let offset = *self.asked_at.lock();
        let has_all = |link: &&&Arc<Link>| {
            let acked = link.acked.load(Relaxed);
            acked >= self.stream.offset() || acked + 37 >= offset && offset == self.stream.offset()
        };
        let over = until.is_some_and(|until| Instant::now() >= until);
        let target = match meant.iter().find(has_all) {
            Some(link) => Some(*link),
            None if over && how.force => meant.first().copied(),
            None => None,
        };
        match target {
            Some(link) => self.switch_to(link),
            None if over => {
                tracing::warn!("FAILOVER is given up: no replica got everything in time");
                *self.failing.0.lock() = Stage::Failed;
                self.wake();
            }
            None => {}
        }
    }

    fn switch_to(&self, link: &Link) {
        let (host, port) = (link.ip().to_owned(), link.announced.port);
        tracing::info!("FAILOVER: {host}:{port} is asked to be the primary");
        *self.failing.0.lock() = Stage::Switching;
        let primary = self.me.clone();
        let told = move |took_over| {
            if let Some(primary) = primary.upgrade() {
                primary.handed_over(took_over);
            }
        };
        let address = Address { host, port };
        if let Err(why) = self.replica.follow(address, Some(Box::new(told))) {
            tracing::warn!("FAILOVER: {why}");
            *self.failing.0.lock() = Stage::Failed;
        }
    }

    /// What came of asking it.
    fn handed_over(&self, took_over: TookOver) {
        let Ok(engine) = self.engine() else { return };
        {
            let mut stage = self.failing.0.lock();
            if *stage != Stage::Switching {
                return;
            }
            match took_over {
                TookOver::Yes => *stage = Stage::Done,
                TookOver::No => *stage = Stage::Failed,
                TookOver::Unknown => {}
            }
        }
        match took_over {
            TookOver::Yes => {
                let address = self.replica.primary();
                let text = address.map_or_else(String::new, |p| format!("{} {}", p.host, p.port));
                let _ = engine.config().record("replicaof", &text);
                tracing::info!("FAILOVER: it is the primary, and followed from now on");
            }
            TookOver::No => tracing::warn!("FAILOVER: it is not, and this server goes on to be"),
            TookOver::Unknown => {
                tracing::warn!(
                    "FAILOVER: the link broke when it had been asked, so that it may be the primary. It is asked until it answers; \
                     FAILOVER ABORT makes this server the primary in any case"
                );
                // That may take long. As a replica this server says at once that it takes no changes.
                if engine.config().flag("replica-read-only") {
                    engine.standing.close(CHANGES_HELD, false);
                }
            }
        }
        self.wake();
    }
}

fn is_meant(link: &Link, how: &Failover) -> bool {
    let named = |host: &str| {
        host == link.ip() || host.eq_ignore_ascii_case("localhost") && link.client.is_local()
    };
    (how.to.as_ref()).is_some_and(|(host, port)| named(host) && *port == link.announced.port)
}
