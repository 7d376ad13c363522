//! The thread that follows a primary: it connects, takes a copy of the data set if need be, and carries the stream out, until it is
//! told to stop. Whatever breaks, it tries again.

use super::acks::Acks;
use super::apply::{Applier, Finder, Whole};
use super::handover::Handover;
use super::handshake::{Answer, Failed, Introduction, greet};
use super::payload::{self, Payload};
use super::shown::Shown;
use super::status::{Phase, Status};
use super::{Address, Downstream, patience};
use crate::wire::{Bell, Dial, Leash, TICK, Wire};
use engine::{Client, Counters, Engine, Persistence};
use keeper::load::StreamPlace;
use keeper::{Keeper, Replace};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::Waker;
use std::time::{Duration, Instant};

/// During a pause so many bytes of the stream are taken in, and the rest is left to wait with the primary.
const MOST_HELD: usize = 16 << 20;

/// The rest between two attempts.
const REST: Duration = Duration::from_secs(1);

/// The longest rest after copies that could not be loaded.
const LONGEST_REST: Duration = Duration::from_secs(64);

/// See the module's page.
pub(super) struct Link {
    pub engine: Arc<Engine>,
    pub keeper: Arc<Keeper>,
    pub downstream: Arc<dyn Downstream>,
    pub dial: Arc<Dial>,
    pub primary: Address,
    pub leash: Leash,
    pub status: Arc<Status>,
    /// The database that the stream is in, from one link to the next.
    pub db: Arc<AtomicUsize>,
    /// A copy of the stream's data set was taken, so that there is a place in it to go on from, be it the very beginning.
    pub known: Arc<AtomicBool>,
    pub handover: Option<Handover>,
    pub counters: Arc<Counters>,
    /// The client that the stream came over until the link broke.
    pub was: Option<Arc<Client>>,
}

/// Why a link ended.
enum Ended {
    /// It broke, or was refused.
    Link(Failed),
    /// The copy of the data set cannot be loaded.
    Copy(String),
    /// The primary is not ready.
    Later(String),
    /// Somebody has closed it, by CLIENT KILL.
    Killed,
}

impl From<Failed> for Ended {
    fn from(failed: Failed) -> Ended {
        Ended::Link(failed)
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Ended {
        Ended::Link(Failed::Io(error))
    }
}

impl Link {
    /// Follows the primary until the leash ends.
    pub fn run(mut self) {
        let mut applier = Applier::new(&self.engine, self.counters.clone());
        applier.begin(self.db.load(Relaxed));
        let mut rest = REST;
        while !self.leash.is_ended() {
            let ended = self.once(&mut applier);
            if self.leash.is_ended() {
                break;
            }
            self.downstream.link_is(false);
            let Address { host, port } = &self.primary;
            let (text, next) = match ended {
                Ended::Link(failed) => (failed.to_string(), REST),
                Ended::Later(text) => (format!("the primary is not ready: {text}"), REST),
                Ended::Killed => {
                    tracing::info!("The link to the primary {host}:{port} was closed by a client");
                    self.status.enter(Phase::Down);
                    rest = REST;
                    continue;
                }
                Ended::Copy(text) => {
                    let text = format!("the copy of its data set cannot be loaded: {text}");
                    (text, (rest * 2).min(LONGEST_REST))
                }
            };
            rest = next;
            if self.status.fail(&text) {
                tracing::warn!("No link to the primary {host}:{port}: {text}");
            }
            self.leash.wait(rest);
        }
        self.status.enter(Phase::Down);
    }

    /// One connection, from its beginning to its end.
    fn once(&mut self, applier: &mut Applier) -> Ended {
        match self.connect(applier) {
            Ok(mut wire) => match self.stream(&mut wire, applier) {
                Ok(never) => match never {},
                Err(ended) => ended,
            },
            Err(ended) => ended,
        }
    }

    fn introduction(&self) -> Introduction {
        let config = self.engine.config();
        let announced = |name: &str| u16::try_from(config.number(name)).ok().filter(|n| *n > 0);
        let listens = match config.flag("tls-replication") {
            true => "tls-port",
            false => "port",
        };
        let port = announced("replica-announce-port").or_else(|| announced(listens));
        let ip = config.text("replica-announce-ip");
        let standing = &self.engine.standing;
        let offset = standing.offset();
        Introduction {
            user: config.text("masteruser"),
            password: config.text("masterauth"),
            port: port.unwrap_or(0),
            ip: (!ip.is_empty()).then_some(ip),
            // Who has nothing of any stream asks for a copy.
            from: (offset > 0 || self.known.load(Relaxed)).then(|| (standing.ids().id, offset)),
            failover: self.handover.as_ref().is_some_and(Handover::asks),
        }
    }

    /// Connects, and gets to where the stream begins.
    fn connect(&mut self, applier: &mut Applier) -> Result<Wire, Ended> {
        let Address { host, port } = self.primary.clone();
        let patience = patience(self.engine.config());
        self.status.enter(Phase::Connecting);
        // Whoever ends it from here on does not wait for it.
        if self.leash.is_ended() {
            return Err(io::Error::other("the link was ended").into());
        }
        let (mut wire, answer) = match (self.dial)(&self.engine, &host, port, patience)
            .and_then(|channel| Wire::new(channel, self.leash.clone(), patience))
        {
            Ok(mut wire) => {
                // It may have been set meanwhile.
                self.leash
                    .set_patience(super::patience(self.engine.config()));
                wire.count(&self.engine.stats().from_primary);
                self.status.enter(Phase::Handshake);
                let from = wire.socket().peer_addr();
                applier.comes_from(from.map_or_else(|_| host.clone(), |from| from.to_string()));
                let answer = greet(&mut wire, &self.introduction());
                (Some(wire), answer)
            }
            Err(error) => (None, Err(Failed::Io(error))),
        };
        if let Some(handover) = &mut self.handover
            && !self.leash.is_ended()
            && handover.is_settled_by(&answer, &self.engine.standing.ids().id)
        {
            self.handover = None;
        }
        let answer = answer?;
        if self.handover.is_some() {
            // It would be a circle.
            return Err(Ended::Later("it is a replica of this server".into()));
        }
        let Some(mut wire) = wire.take() else {
            return Err(io::Error::from(io::ErrorKind::NotConnected).into());
        };
        match answer {
            Answer::Later(text) => return Err(Ended::Later(text)),
            Answer::Continue(id) => {
                let known = self.engine.standing.ids().id;
                match id {
                    Some(id) if id != known => {
                        self.downstream.rename(&id);
                        tracing::info!(
                            "The primary {host}:{port} goes on with the stream, under the name {id}"
                        );
                    }
                    _ => tracing::info!("The primary {host}:{port} goes on with the stream"),
                }
                self.status.resume();
            }
            Answer::Full { id, offset } => {
                self.was = None;
                tracing::info!(
                    "A copy of the data set comes from the primary {host}:{port} ({id}:{offset})"
                );
                self.copy(&mut wire, applier, &id, offset)?;
            }
        }
        Ok(wire)
    }

    /// How a copy is taken.
    fn way(&self) -> Replace {
        let keyspace = self.engine.keyspace();
        let is_empty = || (0..keyspace.databases()).all(|db| keyspace.is_empty(db));
        match &*self.engine.config().text("repl-diskless-load") {
            "swapdb" => Replace::Beside,
            "flush-before-load" => Replace::FlushFirst,
            "on-empty-db" if is_empty() => Replace::FlushFirst,
            "disabled" if is_empty() && !self.keeper.has_log() => Replace::BesideAndFile,
            _ => Replace::ThroughFile,
        }
    }

    fn copy(
        &self,
        wire: &mut Wire,
        applier: &mut Applier,
        id: &str,
        offset: u64,
    ) -> Result<(), Ended> {
        self.status.enter(Phase::Copying);
        self.status.begin_copy(None);
        let end = payload::begin(wire)?;
        let mut copy = Payload::new(wire, end);
        let (total, way, began) = (copy.total(), self.way(), Instant::now());
        self.status.begin_copy(total);
        let (status, downstream) = (&self.status, &self.downstream);
        let (known, db) = (&self.known, &self.db);
        let mut done = |place: Option<&StreamPlace>| {
            match place {
                Some(_) => downstream.begin(id, offset),
                // What there was is gone, and with it the place in the stream.
                None => downstream.forget(),
            }
            known.store(place.is_some(), Relaxed);
            applier.begin(place.and_then(|place| place.db).unwrap_or(0));
            db.store(applier.db(), Relaxed);
        };
        let taken = self
            .keeper
            .take_copy(way, total, &mut copy, &|n| status.copied(n), &mut done);
        if let Err(why) = taken {
            return Err(match copy.broken() {
                Some(error) => Ended::Link(Failed::Io(error)),
                None => Ended::Copy(why),
            });
        }
        self.status.end_copy();
        let keyspace = self.engine.keyspace();
        let keys: usize = (0..keyspace.databases()).map(|db| keyspace.len(db)).sum();
        tracing::info!(
            "The copy is in place after {:.3} seconds: {keys} keys",
            began.elapsed().as_secs_f64()
        );
        Ok(())
    }

    /// Carries the stream out until it breaks.
    fn stream(
        &mut self,
        wire: &mut Wire,
        applier: &mut Applier,
    ) -> Result<std::convert::Infallible, Ended> {
        let mut acks = Acks::new(Instant::now());
        self.acknowledge(wire, &mut acks)?;
        let (was, worker) = (self.was.as_deref(), applier.client());
        let mut shown = Shown::new(&self.engine, wire, &self.leash, was, worker);
        self.was = Some(shown.client().clone());
        self.status.enter(Phase::Up);
        self.downstream.link_is(true);
        match self.carry(wire, applier, &mut acks, &mut shown) {
            Err(_) if shown.is_killed() => Err(Ended::Killed),
            other => other,
        }
    }

    fn carry(
        &self,
        wire: &mut Wire,
        applier: &mut Applier,
        acks: &mut Acks,
        shown: &mut Shown,
    ) -> Result<std::convert::Infallible, Ended> {
        let standing = &self.engine.standing;
        let mut finder = Finder::default();
        // Rung when all up to there is on the disk, for which the primary waits.
        let mut bell: Option<(Arc<Bell>, u64)> = None;
        // What stands first of what has come, while CLIENT PAUSE or a stop holds it back.
        let mut held: Option<Whole> = None;
        loop {
            // What stands behind a copy has come already.
            loop {
                let whole = match held.take() {
                    Some(whole) => whole,
                    None => finder.look(wire.bytes())?,
                };
                if whole.bytes == 0 {
                    break;
                }
                if standing.holds_stream() || self.engine.pause.holds_stream(whole.changes) {
                    held = Some(whole);
                    break;
                }
                let bytes = &wire.bytes()[..whole.bytes];
                let leash = &self.leash;
                let mut carried = false;
                self.engine.journal.queue.wait_for_room();
                self.downstream.pass(bytes, &mut || {
                    // Whoever has ended this has become something else meanwhile, and who is about to stop has counted what there is.
                    if !leash.is_ended() && !standing.holds_stream() {
                        applier.carry_out(bytes);
                        carried = true;
                    }
                    carried.then(|| applier.db())
                });
                if leash.is_ended() {
                    return Err(io::Error::other("the link was ended").into());
                }
                if !carried {
                    held = Some(whole);
                    break;
                }
                finder.used(whole.bytes);
                wire.consume(whole.bytes);
                acks.note(applier.piece(), standing.offset());
                if whole.asks {
                    acks.asked(standing.offset());
                    self.acknowledge(wire, acks)?;
                } else {
                    self.acknowledge_if_due(wire, acks)?;
                }
            }
            let received = standing.offset() + wire.bytes().len() as u64;
            self.status.heard(wire.heard(), received, applier.errors());
            shown.note(wire, applier.client());
            if shown.is_killed() {
                return Err(Ended::Killed);
            }
            self.acknowledge_if_due(wire, acks)?;
            if let Some(whole) = held {
                self.wait_for_pause(wire, whole.changes)?;
                continue;
            }
            if !acks.are_awaited() {
                wire.more()?;
                continue;
            }
            let (there, upto) = match bell.take() {
                Some(there) => there,
                None => (self.bell_for(applier.piece())?, standing.offset()),
            };
            if wire.more_or(&there, TICK, true)? {
                self.acknowledge_if_due(wire, acks)?;
                // If it is not there now, the log does not take it. What has been asked for since is waited for anew.
                acks.give_up(upto);
            } else {
                bell = Some((there, upto));
            }
        }
    }

    /// Waits for the end of a pause or of a stop that is given up, or a moment. Of what comes meanwhile it takes no more than some.
    fn wait_for_pause(&self, wire: &mut Wire, changes: bool) -> io::Result<()> {
        let bell = Arc::new(Bell::new()?);
        let waker = Waker::from(bell.clone());
        let stop = self.engine.standing.call_when_stream_goes_on(&waker);
        let pause = match stop {
            Some(_) => None,
            None => self.engine.pause.call_when_over(changes, &waker),
        };
        let left = pause.as_ref().map(|(left, _)| *left);
        if let Some(left) = left.or(stop.as_ref().map(|_| TICK)) {
            let takes = wire.bytes().len() < MOST_HELD;
            wire.more_or(&bell, left.min(TICK), takes)?;
        }
        Ok(())
    }

    /// A bell that is rung when a piece of the journal is on the disk, or never will be.
    fn bell_for(&self, piece: u64) -> io::Result<Arc<Bell>> {
        let bell = Arc::new(Bell::new()?);
        let rung = Arc::downgrade(&bell);
        let ring = move |_| {
            if let Some(bell) = rung.upgrade() {
                bell.ring();
            }
        };
        self.keeper.when_on_disk(piece, Box::new(ring));
        Ok(bell)
    }

    /// Tells the primary how far this is.
    fn acknowledge(&self, wire: &mut Wire, acks: &mut Acks) -> io::Result<()> {
        let log = (self.keeper.has_log()).then_some(|piece| self.keeper.is_on_disk(piece));
        let words = acks.say(self.engine.standing.offset(), Instant::now(), log);
        wire.command(&words)
    }

    /// The same if it is time for that.
    fn acknowledge_if_due(&self, wire: &mut Wire, acks: &mut Acks) -> io::Result<()> {
        match acks.are_due(Instant::now(), |piece| self.keeper.is_on_disk(piece)) {
            true => self.acknowledge(wire, acks),
            false => Ok(()),
        }
    }
}
