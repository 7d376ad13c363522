//! As a replica: following a primary, be it Redis, Valkey or Redpoll.
//!
//! [`Replica`] says whom to follow; a [thread](link) does it. It [introduces](handshake) this server, takes a copy of the data set
//! as a [payload], and [carries out](apply) the stream behind it. Whoever follows this server in turn gets the very bytes of that
//! stream ([`Downstream`]).

mod acks;
pub mod apply;
pub(crate) mod handover;
pub mod handshake;
pub mod link;
pub mod payload;
mod shown;
pub mod status;

use crate::wire::{Dial, Leash};
use engine::{Config, Counters, Engine, READ_ONLY_REPLICA, RoleReport, STALE_REPLICA};
use handover::{Handover, OnHandover};
use keeper::Keeper;
use link::Link;
use parking_lot::Mutex;
use status::{Phase, Status};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// What there is to do for those who follow this server, when its own place in the stream changes. Called from the link's thread,
/// but for the two that change the role.
pub trait Downstream: Send + Sync {
    /// This server follows a primary from now on. Its own replicas are disconnected: they may go on where they were once it is
    /// known what the stream is called.
    fn become_replica(&self);

    /// It follows nobody any more: the stream gets a new name, and the old one is its second.
    fn become_primary(&self);

    /// A copy of the data set was taken that stands at this offset of the stream of this name. Called before anybody sees it.
    fn begin(&self, id: &str, offset: u64);

    /// The stream goes on under another name.
    fn rename(&self, id: &str);

    /// The data set is gone, and with it the place in the stream.
    fn forget(&self);

    /// Carries `bytes` of the stream out, which are whole commands and transactions, and passes them on as they are. `carry_out` does
    /// the former; it returns the database that the stream is in then, or None if it was not done. No copy of the data set
    /// begins in between.
    fn pass(&self, bytes: &[u8], carry_out: &mut dyn FnMut() -> Option<usize>);

    /// The link to the primary is up or down.
    fn link_is(&self, up: bool);
}

/// A primary's address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

struct Following {
    primary: Address,
    leash: Leash,
    status: Arc<Status>,
    thread: Option<JoinHandle<()>>,
}

/// Ends a link. Its thread, if that is to be waited for: one that is just connecting may do so for as long as `repl-timeout` says,
/// with nobody at the other end, and does nothing any more when that is over.
fn end(mut following: Following) -> Option<JoinHandle<()>> {
    following.leash.end();
    let connects = following.status.phase() == Phase::Connecting;
    following.thread.take().filter(|_| !connects)
}

/// See the module's page.
pub struct Replica {
    engine: Weak<Engine>,
    keeper: Arc<Keeper>,
    downstream: Arc<dyn Downstream>,
    dial: Arc<Dial>,
    /// Held while the role changes.
    changing: Mutex<()>,
    following: Mutex<Option<Following>>,
    db: Arc<AtomicUsize>,
    known: Arc<AtomicBool>,
    /// What the threads that follow count with, one after the other.
    counters: Arc<Counters>,
}

impl Replica {
    /// One that follows nobody.
    pub fn new(
        engine: &Arc<Engine>,
        keeper: &Arc<Keeper>,
        downstream: Arc<dyn Downstream>,
        dial: Arc<Dial>,
    ) -> Replica {
        Replica {
            engine: Arc::downgrade(engine),
            keeper: keeper.clone(),
            downstream,
            dial,
            changing: Mutex::new(()),
            following: Mutex::new(None),
            db: Arc::default(),
            known: Arc::default(),
            counters: engine.add_counters(),
        }
    }

    /// Whom this server follows.
    pub fn primary(&self) -> Option<Address> {
        self.following.lock().as_ref().map(|f| f.primary.clone())
    }

    /// What is known of the link.
    pub fn status(&self) -> Option<Arc<Status>> {
        self.following.lock().as_ref().map(|f| f.status.clone())
    }

    /// Follows a primary. What is under way from another one is ended. `on_handover`: it is asked to take the place of this one, and
    /// this is told whether it did. Takes as long as a batch of the stream at most. No lock of the keyspace may be held.
    ///
    /// # Errors
    /// There is no thread for it, or the database is being closed.
    pub fn follow(&self, primary: Address, on_handover: Option<OnHandover>) -> Result<(), String> {
        let engine = self.engine()?;
        let _changing = self.changing.lock();
        let before = self.following.lock().take().and_then(end);
        if !engine.standing.is_replica() {
            self.known.store(false, Relaxed);
            self.downstream.become_replica();
            engine.host().role_changed(true, engine.config());
            engine.release_blocked_clients();
        }
        let (leash, status) = (Leash::default(), Arc::new(Status::default()));
        self.heed_access(&engine);
        self.set_stale(&engine, true);
        let link = Link {
            engine: engine.clone(),
            keeper: self.keeper.clone(),
            downstream: self.downstream.clone(),
            dial: self.dial.clone(),
            primary: primary.clone(),
            leash: leash.clone(),
            status: status.clone(),
            db: self.db.clone(),
            known: self.known.clone(),
            handover: on_handover.map(Handover::new),
            counters: self.counters.clone(),
            was: None,
        };
        let thread = std::thread::Builder::new()
            .name("replica".into())
            .spawn(move || {
                // It may be in the middle of loading.
                if let Some(before) = before {
                    let _ = before.join();
                }
                link.run();
            });
        let thread = thread.map_err(|e| format!("no thread to follow the primary: {e}"))?;
        *self.following.lock() = Some(Following {
            primary,
            leash,
            status,
            thread: Some(thread),
        });
        Ok(())
    }

    /// Follows nobody any more: this server is a primary. If a copy of the data set is just being put in place, that is waited
    /// for. No lock of the keyspace may be held.
    ///
    /// # Errors
    /// The database is being closed.
    pub fn lead(&self) -> Result<(), String> {
        let engine = self.engine()?;
        let _changing = self.changing.lock();
        if !engine.standing.is_replica() {
            return Ok(());
        }
        self.leave();
        self.downstream.become_primary();
        engine.host().role_changed(false, engine.config());
        self.set_stale(&engine, false);
        self.heed_access(&engine);
        Ok(())
    }

    /// Ends the link, for good.
    pub fn close(&self) {
        let _changing = self.changing.lock();
        self.leave();
    }

    fn leave(&self) {
        let before = self.following.lock().take().and_then(end);
        if let Some(thread) = before {
            let _ = thread.join();
        }
    }

    /// Puts directives into effect.
    pub fn applied(&self, directive: &str) {
        let Ok(engine) = self.engine() else { return };
        match directive {
            "replica-read-only" => self.heed_access(&engine),
            "replica-serve-stale-data" => {
                let up = self
                    .status()
                    .is_some_and(|status| status.phase() == Phase::Up);
                self.set_stale(&engine, !up);
            }
            "repl-timeout" => {
                if let Some(following) = &*self.following.lock() {
                    following.leash.set_patience(patience(engine.config()));
                }
            }
            // They are said when a link is made.
            "masterauth"
            | "masteruser"
            | "tls-replication"
            | "replica-announce-ip"
            | "replica-announce-port" => {}
            _ => {}
        }
    }

    /// The stream is in this database.
    pub(crate) fn note_db(&self, db: usize) {
        self.db.store(db, Relaxed);
    }

    /// The database that the stream is in.
    pub(crate) fn db(&self) -> usize {
        self.db.load(Relaxed)
    }

    /// The data set that was loaded has a place in a stream, which is in this database there: it goes on from there.
    pub(crate) fn knows(&self, db: usize) {
        self.note_db(db);
        self.known.store(true, Relaxed);
    }

    fn heed_access(&self, engine: &Engine) {
        let closed = engine.standing.is_replica() && engine.config().flag("replica-read-only");
        engine.standing.close(READ_ONLY_REPLICA, closed);
    }

    /// The link is down, or not.
    fn set_stale(&self, engine: &Engine, down: bool) {
        set_stale(engine, down);
    }

    fn engine(&self) -> Result<Arc<Engine>, String> {
        self.engine
            .upgrade()
            .ok_or_else(|| "the database is being closed".to_owned())
    }

    /// Whom this server follows, or is just about to, and what is known of the link.
    fn followed(&self, engine: &Engine) -> Option<(Address, Arc<Status>)> {
        if let Some((host, port)) = engine.about_to_follow() {
            return Some((Address { host, port }, Arc::default()));
        }
        let following = self.following.lock();
        following
            .as_ref()
            .map(|f| (f.primary.clone(), f.status.clone()))
    }

    /// What ROLE tells of a replica; None of a primary.
    pub fn role(&self) -> Option<RoleReport> {
        let engine = self.engine().ok()?;
        let (primary, status) = self.followed(&engine)?;
        let phase = status.phase();
        let offset = match phase {
            Phase::Up => i64::try_from(engine.standing.offset()).unwrap_or(i64::MAX),
            _ => -1,
        };
        Some(RoleReport::Replica(
            primary.host,
            primary.port,
            phase.name(),
            offset,
        ))
    }

    /// Appends what INFO tells of a replica, each line ending in CR LF; nothing of a primary.
    pub fn info(&self, into: &mut String) {
        let Ok(engine) = self.engine() else { return };
        let Some((primary, status)) = self.followed(&engine) else {
            return;
        };
        let config = engine.config();
        let _ = write!(
            into,
            "master_host:{}\r\nmaster_port:{}\r\n",
            primary.host, primary.port
        );
        status.info(engine.standing.offset(), into);
        let _ = write!(
            into,
            "slave_priority:{}\r\nslave_read_only:{}\r\nreplica_announced:{}\r\n",
            config.number("replica-priority"),
            u8::from(config.flag("replica-read-only")),
            u8::from(config.flag("replica-announced")),
        );
    }
}

/// How long nothing may come from a primary.
fn patience(config: &Config) -> Duration {
    Duration::from_secs(config.number("repl-timeout").max(1) as u64)
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(following) = &*self.following.lock() {
            following.leash.end();
        }
    }
}

/// Whether a replica answers, now that its link is down or up.
pub(crate) fn set_stale(engine: &Engine, down: bool) {
    let closed =
        down && engine.standing.is_replica() && !engine.config().flag("replica-serve-stale-data");
    engine.standing.close(STALE_REPLICA, closed);
}
