//! FAILOVER: giving the role of the primary to a replica.
//!
//! Changes are held back (not refused), until a replica has all there is. Then this server follows it, and asks it, with the PSYNC by
//! which it does so, to be the primary. If that does not work, this one is the primary again; if nobody knows whether it did, the replica
//! is asked until somebody does ([`crate::replica::handover`]).

use super::Primary;
use super::link::Link;
use crate::replica::Address;
use crate::replica::handover::TookOver;
use engine::{FAILING_OVER, Failover};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How far that is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    No,
    /// For the replica to have everything.
    Waiting(Wait),
    /// The replica is asked to take over.
    Switching,
    /// It did not, or that was given up: this server is to be the primary again.
    Failed,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wait {
    /// Tells this failover from one that was given up.
    number: u64,
    how: Failover,
    until: Option<Instant>,
    /// What was under way when changes began to be held back is done.
    still: bool,
}

/// See the module's page. The gate is opened and closed with the stage locked, so that it is open where there is none.
#[derive(Default)]
pub(super) struct Failing {
    stage: Mutex<Stage>,
    /// Failovers so far.
    begun: AtomicU64,
    /// Held by who changes the role, and taken before the stage is looked at for that. Such a step waits for locks of the keyspace.
    step: Mutex<()>,
}

impl Primary {
    /// FAILOVER.
    pub(crate) fn begin_failover(&self, how: Failover) -> Result<(), String> {
        let engine = self.engine()?;
        let mut stage = self.failing.stage.lock();
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
        engine.standing.close(FAILING_OVER, true);
        let patience = Duration::from_millis(how.timeout_ms);
        let until = (how.timeout_ms > 0).then(|| Instant::now() + patience);
        *stage = Stage::Waiting(Wait {
            number: self.failing.begun.fetch_add(1, Relaxed),
            how,
            until,
            still: false,
        });
        drop(stage);
        self.wake();
        Ok(())
    }

    /// FAILOVER ABORT. `waits`: no lock of the keyspace is held, so that this server is a primary when it returns, even if it followed
    /// the replica already.
    pub(crate) fn end_failover(&self, waits: bool) -> Result<(), String> {
        let _step = waits.then(|| self.failing.step.lock());
        {
            let mut stage = self.failing.stage.lock();
            match *stage {
                Stage::No => return Err("ERR No failover in progress.".into()),
                Stage::Waiting(_) => self.failover_is_over(&mut stage),
                Stage::Switching | Stage::Failed => *stage = Stage::Failed,
            }
            tracing::info!("FAILOVER is given up, as was asked for");
            if *stage == Stage::No {
                return Ok(());
            }
        }
        match waits {
            true => self.lead_again(),
            false => self.wake(),
        }
        Ok(())
    }

    pub(crate) fn is_failing_over(&self) -> bool {
        *self.failing.stage.lock() != Stage::No
    }

    /// As INFO calls it.
    pub(super) fn failover_state(&self) -> &'static str {
        match *self.failing.stage.lock() {
            Stage::No => "no-failover",
            Stage::Waiting(_) => "waiting-for-sync",
            Stage::Switching | Stage::Failed => "failover-in-progress",
        }
    }

    /// Follows another server or none, as it was told to, unless there is a failover, which is to decide that.
    pub(crate) fn change_role(
        &self,
        change: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), String> {
        let _step = self.failing.step.lock();
        if self.is_failing_over() {
            return Err("ERR REPLICAOF not allowed while failing over.".into());
        }
        change()
    }

    /// Whoever was in the middle of a change when changes began to be held back has it done when this returns, and it is in the stream.
    /// Whether this server is a primary.
    pub(super) fn come_to_rest(&self) -> bool {
        let _step = self.failing.step.lock();
        !self.follows() && self.keeper.want_pieces(true, || ()).is_ok()
    }

    pub(super) fn follows(&self) -> bool {
        self.engine()
            .is_ok_and(|engine| engine.standing.is_replica())
    }

    /// Does what is to be done next, if there is a failover.
    pub(super) fn drive_failover(&self) {
        let stage = self.failing.stage.lock().clone();
        match stage {
            Stage::No | Stage::Switching => {}
            Stage::Waiting(wait) => self.wait_to_switch(wait),
            Stage::Failed => {
                let _step = self.failing.step.lock();
                self.lead_again();
            }
        }
    }

    /// After one that failed. With the step held.
    fn lead_again(&self) {
        // Somebody else may have done so.
        if *self.failing.stage.lock() != Stage::Failed {
            return;
        }
        if let Err(why) = self.replica.lead() {
            tracing::warn!("After a FAILOVER that failed: {why}");
        }
        self.failover_is_over(&mut self.failing.stage.lock());
    }

    fn failover_is_over(&self, stage: &mut Stage) {
        *stage = Stage::No;
        if let Ok(engine) = self.engine() {
            engine.standing.close(FAILING_OVER, false);
        }
    }

    /// Looks at, and changes, the stage of this failover; None if it is another's by now.
    fn while_waiting<R>(&self, number: u64, work: impl FnOnce(&mut Stage) -> R) -> Option<R> {
        let mut stage = self.failing.stage.lock();
        let is_this = matches!(&*stage, Stage::Waiting(wait) if wait.number == number);
        is_this.then(|| work(&mut stage))
    }

    fn wait_to_switch(&self, wait: Wait) {
        let Wait {
            number,
            how,
            until,
            still,
        } = wait;
        if !still {
            let is_still = self.come_to_rest();
            self.while_waiting(number, |stage| match stage {
                Stage::Waiting(wait) if is_still => wait.still = true,
                // It was told to follow another server just before.
                _ => self.failover_is_over(stage),
            });
            if !is_still {
                return;
            }
        }
        self.keeper.give_pieces();
        self.ask_for_acks();
        let links = self.links();
        let meant: Vec<&Arc<Link>> = (links.iter())
            .filter(|link| how.to.is_none() || is_meant(link, &how))
            .filter(|link| link.is_online())
            .collect();
        let all = self.end_of_changes();
        let has_all = |link: &&&Arc<Link>| link.acked.load(Relaxed) >= all;
        let over = until.is_some_and(|until| Instant::now() >= until);
        let target = match meant.iter().find(has_all) {
            Some(link) => Some(*link),
            None if over && how.force => meant.first().copied(),
            None => None,
        };
        match target {
            Some(link) => self.switch_to(number, link),
            None if over => {
                self.while_waiting(number, |stage| {
                    tracing::warn!("FAILOVER is given up: no replica got everything in time");
                    self.failover_is_over(stage);
                });
            }
            None => {}
        }
    }

    fn switch_to(&self, number: u64, link: &Link) {
        // Whoever gives it up from here on finds that this server follows the replica, and ends that.
        let _step = self.failing.step.lock();
        let goes_on = self.while_waiting(number, |stage| {
            let leads = !self.follows();
            match leads {
                true => *stage = Stage::Switching,
                false => self.failover_is_over(stage),
            }
            leads
        });
        if goes_on != Some(true) {
            return;
        }
        let (host, port) = (link.ip().to_owned(), link.announced.port);
        tracing::info!("FAILOVER: {host}:{port} is asked to be the primary");
        let primary = self.me.clone();
        let told = move |took_over| {
            if let Some(primary) = primary.upgrade() {
                primary.handed_over(took_over);
            }
        };
        let address = Address { host, port };
        if let Err(why) = self.replica.follow(address, Some(Box::new(told))) {
            tracing::warn!("FAILOVER: {why}");
            *self.failing.stage.lock() = Stage::Failed;
            self.wake();
        }
    }

    /// What came of asking it. Called by the thread that asks, which whoever gives the failover up waits for.
    fn handed_over(&self, took_over: TookOver) {
        let Ok(engine) = self.engine() else { return };
        {
            let mut stage = self.failing.stage.lock();
            if *stage != Stage::Switching {
                return;
            }
            match took_over {
                TookOver::Yes => {
                    let address = self.replica.primary();
                    let text =
                        address.map_or_else(String::new, |p| format!("{} {}", p.host, p.port));
                    let _ = engine.config().record("replicaof", &text);
                    self.failover_is_over(&mut stage);
                }
                TookOver::No => *stage = Stage::Failed,
                // That may last. As a replica this server says at once that it takes no changes.
                TookOver::Unknown if engine.config().flag("replica-read-only") => {
                    engine.standing.close(FAILING_OVER, false);
                }
                TookOver::Unknown => {}
            }
        }
        match took_over {
            TookOver::Yes => {
                tracing::info!("FAILOVER: it is the primary, and followed from now on");
            }
            TookOver::No => {
                tracing::warn!("FAILOVER: it is not, and this server goes on to be");
                self.wake();
            }
            TookOver::Unknown => {
                tracing::warn!(
                    "FAILOVER: the link broke when it had been asked, so that it may be the primary. It is asked until it answers; \
                     FAILOVER ABORT makes this server the primary in any case"
                );
            }
        }
    }
}

fn is_meant(link: &Link, how: &Failover) -> bool {
    let named = |host: &str| {
        host == link.ip() || host.eq_ignore_ascii_case("localhost") && link.client.is_local()
    };
    (how.to.as_ref()).is_some_and(|(host, port)| named(host) && *port == link.announced.port)
}

#[cfg(test)]
mod tests {
    use crate::Hub;
    use disk::faulty::FaultyDisk;
    use engine::{Config, Engine, Kind, Next, NoHost, Origin};
    use keeper::Keeper;
    use std::path::Path;
    use std::sync::Arc;

    /// A reply, and what is left to be done.
    fn run(engine: &Arc<Engine>, line: &str) -> (String, Next) {
        let mut session = engine.session(Origin {
            addr: String::new(),
            laddr: String::new(),
            fd: -1,
            kind: Kind::Embedded,
            waker: None,
        });
        let (mut batch, mut out) = (resp::Batch::new(), resp::Out::new(resp::Proto::Resp2));
        batch.push(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        let next = (engine.worker()).run_long(&mut session, &batch, 0, &mut out);
        (
            String::from_utf8_lossy(&out.to_vec()).into_owned(),
            next.next,
        )
    }

    /// Another client has asked for another role, and is not answered yet.
    #[test]
    fn no_failover_begins_while_replicaof_is_carried_out() {
        let engine = Engine::new(Config::default(), Arc::new(NoHost));
        let disk = Arc::new(FaultyDisk::new());
        let keeper = Keeper::open_on(&engine, disk, Path::new("/d")).unwrap();
        let _hub = Hub::start(&engine, &keeper).unwrap();
        let (_, begun) = run(&engine, "REPLICAOF 127.0.0.1 1");
        assert!(matches!(begun, Next::Offload(_)));
        let busy = "-ERR FAILOVER is not valid while REPLICAOF is carried out.\r\n";
        assert_eq!(run(&engine, "FAILOVER").0, busy);
        // It is not done after all.
        drop(begun);
        let alone = "-ERR FAILOVER requires connected replicas.\r\n";
        assert_eq!(run(&engine, "FAILOVER").0, alone);
    }
}
