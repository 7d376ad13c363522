//! What replicas acknowledge: WAIT, WAITAOF, and whether there are enough of them to take changes.

use super::Primary;
use super::link::{Link, NONE};
use engine::{InSync, TOO_FEW_REPLICAS, Tell, put_command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Somebody who waits for acknowledgements.
pub(super) struct Wait {
    piece: u64,
    replicas: usize,
    on_disk: bool,
    tell: Tell,
}

/// What asks replicas how far they are.
fn question() -> Vec<u8> {
    let mut bytes = Vec::new();
    put_command(&mut bytes, &[&b"REPLCONF"[..], b"GETACK", b"*"]);
    bytes
}

impl Primary {
    /// The offset that a replica must have for a piece of the journal. None: it is not known yet.
    fn offset_of(&self, piece: u64) -> Option<u64> {
        if piece != 0 && self.stream.end_of(piece).is_none() {
            self.keeper.give_pieces();
        }
        self.known_offset_of(piece)
    }

    /// The same, by what the stream has been given so far.
    fn known_offset_of(&self, piece: u64) -> Option<u64> {
        if piece == 0 {
            return Some(0);
        }
        // What was done while nobody kept it is in every copy that was made since.
        (self.stream.end_of(piece)).or_else(|| (self.stream.last_piece() >= piece).then_some(0))
    }

    pub(crate) fn count_acknowledged(&self, piece: u64, on_disk: bool) -> usize {
        match self.offset_of(piece) {
            Some(offset) => self.count_at(offset, on_disk),
            None => 0,
        }
    }

    fn count_at(&self, offset: u64, on_disk: bool) -> usize {
        // A replica whose disk has not even the copy says 0. Whoever waits has asked, so that there is more in the stream.
        let offset = offset.max(u64::from(on_disk));
        let has = |link: &&Arc<Link>| {
            let at = match on_disk {
                true => link.on_disk.load(Relaxed),
                false => link.acked.load(Relaxed),
            };
            link.is_online() && at != NONE && at >= offset
        };
        self.links.lock().iter().filter(has).count()
    }

    pub(crate) fn tell_when_acknowledged(
        &self,
        piece: u64,
        replicas: usize,
        on_disk: bool,
        tell: Tell,
    ) {
        let wait = Wait {
            piece,
            replicas,
            on_disk,
            tell,
        };
        // First, so that what was done stands before the question.
        let _ = self.offset_of(piece);
        self.waits.lock().push(wait);
        self.ask_for_acks();
    }

    /// Asks all replicas how far they are, unless they have been asked and nothing was done since.
    pub(super) fn ask_for_acks(&self) {
        if self
            .engine()
            .is_ok_and(|engine| engine.standing.is_replica())
        {
            return;
        }
        let mut asked_at = self.asked_at.lock();
        let online = self.links.lock().iter().any(|link| link.is_online());
        if !online || *asked_at == self.stream.offset() && *asked_at != 0 {
            return;
        }
        if let Some(end) = self.stream.say(&question()) {
            *asked_at = end;
        }
    }

    /// What a replica must have to have all there is. The question at the end of the stream moves no keys, and who has answered it has what
    /// was before.
    pub(super) fn end_of_changes(&self) -> u64 {
        let asked_at = self.asked_at.lock();
        let end = self.stream.offset();
        match *asked_at == end && end != 0 {
            true => end - question().len() as u64,
            false => end,
        }
    }

    /// A replica has come, who has not heard what those were asked that are here.
    pub(super) fn ask_who_has_come(&self) {
        if self.waits.lock().is_empty() {
            return;
        }
        *self.asked_at.lock() = 0;
        self.ask_for_acks();
    }

    /// A replica has said how far it is.
    pub(super) fn acknowledged_something(&self) {
        self.heard.call();
        self.tell_waits();
        if self.is_failing_over() {
            self.wake();
        }
        if self
            .engine()
            .is_ok_and(|e| e.standing.closed() & TOO_FEW_REPLICAS != 0)
        {
            self.count_good();
        }
    }

    /// Tells those who have waited long enough.
    pub(super) fn tell_waits(&self) {
        let mut told = Vec::new();
        {
            let mut waits = self.waits.lock();
            if waits.is_empty() {
                return;
            }
            waits.retain(|wait| wait.tell.is_wanted());
            let mut at = 0;
            while at < waits.len() {
                let wait = &waits[at];
                // What they wait for was given to the stream when they came. To give it more would be to wait for whoever carries out
                // a primary's stream, with their list in hand.
                let enough = self
                    .known_offset_of(wait.piece)
                    .is_some_and(|offset| self.count_at(offset, wait.on_disk) >= wait.replicas);
                if enough {
                    told.push(waits.swap_remove(at));
                } else {
                    at += 1;
                }
            }
        }
        told.into_iter().for_each(|wait| wait.tell.tell());
    }

    /// Replicas that follow closely enough to count.
    pub(super) fn good_replicas(&self) -> usize {
        let most = self
            .engine()
            .map_or(0, |e| e.config().number("min-replicas-max-lag") as u64);
        let links = self.links.lock();
        links
            .iter()
            .filter(|link| link.is_online() && link.lag_s() <= most)
            .count()
    }

    /// Changes are refused while there are too few.
    pub(super) fn count_good(&self) {
        let Ok(engine) = self.engine() else { return };
        let config = engine.config();
        let least = config.number("min-replicas-to-write") as usize;
        let wanted = least > 0 && config.number("min-replicas-max-lag") > 0;
        let few = wanted && !engine.standing.is_replica() && self.good_replicas() < least;
        engine.standing.close(TOO_FEW_REPLICAS, few);
    }

    /// Replicas that have their copy of the data set.
    pub(crate) fn online(&self) -> usize {
        self.links().iter().filter(|l| l.is_online()).count()
    }

    /// Waits until all replicas that follow have all there is, for this long at most, and no longer once that is given up. Changes, or
    /// the stream of the primary that this server follows, are held back. A replica that still gets its copy of the data set is not
    /// waited for.
    pub(crate) fn wait_for_replicas(&self, most: Duration, given_up: &dyn Fn() -> bool) -> InSync {
        let until = Instant::now() + most;
        // What was under way when changes began to be held back has to be done first, which may take longer than is waited.
        let still = Arc::new(AtomicBool::new(false));
        let (primary, is_still) = (self.me.clone(), still.clone());
        let begun = std::thread::Builder::new()
            .name("last changes".into())
            .spawn(move || {
                if let Some(primary) = primary.upgrade() {
                    primary.come_to_a_stop();
                    is_still.store(true, Relaxed);
                    primary.heard.call();
                }
            });
        if begun.is_err() {
            self.come_to_a_stop();
            still.store(true, Relaxed);
        }
        loop {
            let seen = self.heard.seen();
            if still.load(Relaxed) || given_up() {
                break;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.heard.sleep_for(seen, left);
        }
        self.wait_until_replicas_have_all(until, given_up)
    }

    /// What was under way when changes began to be held back is done, and in the stream, when this returns: on a primary what clients do,
    /// on a replica what its primary sent.
    fn come_to_a_stop(&self) {
        if !self.come_to_rest() {
            self.between_units(&mut || ());
        }
    }

    /// The same, with nothing under way any more.
    pub(crate) fn wait_until_replicas_have_all(
        &self,
        until: Instant,
        given_up: &dyn Fn() -> bool,
    ) -> InSync {
        if self.online() == 0 {
            return InSync::default();
        }
        self.keeper.give_pieces();
        let offset = self.end_of_changes();
        let in_sync = |lagging: usize| {
            let of = self.online().max(lagging);
            let replicas = of - lagging;
            InSync { replicas, of }
        };
        // A question that nobody waits for the answer to would be behind what replicas have: they could not go on there after a restart.
        if until > Instant::now() && !self.lagging(offset).is_empty() {
            self.ask_for_acks();
        }
        loop {
            let seen = self.heard.seen();
            let lagging = self.lagging(offset);
            if lagging.is_empty() || given_up() {
                return in_sync(lagging.len());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                for link in &lagging {
                    let (who, acked) = (link.who(), link.acked.load(Relaxed));
                    tracing::warn!("Lagging replica {who}: it has {acked} of {offset} bytes");
                }
                return in_sync(lagging.len());
            }
            self.heard.sleep_for(seen, left);
        }
    }

    /// Has who waits for replicas look whether that is given up.
    pub(crate) fn look_again(&self) {
        self.heard.call();
    }

    fn lagging(&self, offset: u64) -> Vec<Arc<Link>> {
        let links = self.links.lock();
        let lags = |link: &&Arc<Link>| link.is_online() && link.acked.load(Relaxed) < offset;
        links.iter().filter(lags).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hub;
    use disk::faulty::FaultyDisk;
    use engine::{Config, Engine, NoHost};
    use keeper::Keeper;
    use std::path::Path;

    fn hub() -> (Arc<Engine>, Arc<Hub>) {
        let mut config = Config::default();
        config.directive("appendonly", &["yes"]).unwrap();
        let engine = Engine::new(config, Arc::new(NoHost));
        let disk = Arc::new(FaultyDisk::new());
        let keeper = Keeper::open_on(&engine, disk, Path::new("/d")).unwrap();
        let hub = Hub::start(&engine, &keeper).unwrap();
        (engine, hub)
    }

    #[test]
    fn who_has_given_up_waiting_is_forgotten() {
        let (_engine, hub) = hub();
        let primary = hub.primary();
        let waiter = Arc::new(());
        let tell = Tell::new(&waiter, |_| panic!("there is no replica"));
        primary.tell_when_acknowledged(1, 1, false, tell);
        primary.tell_waits();
        assert_eq!(primary.waits.lock().len(), 1);
        drop(waiter);
        primary.tell_waits();
        assert_eq!(primary.waits.lock().len(), 0);
    }

    /// Who becomes a primary holds up what carries out the stream, and then looks whom there is to tell: others who do must not wait for
    /// the one with the other in hand.
    #[test]
    fn who_is_told_does_not_wait_for_the_stream() {
        let (engine, hub) = hub();
        let waiter = Arc::new(());
        // Of a piece that the stream has not been given.
        let tell = Tell::new(&waiter, |_| ());
        hub.primary().tell_when_acknowledged(7, 1, false, tell);
        engine.standing.set_replica(true);
        let (done, is_done) = std::sync::mpsc::channel();
        hub.stop_carrying_out(|| {
            let primary = hub.primary().clone();
            std::thread::spawn(move || {
                primary.tell_waits();
                done.send(()).unwrap();
            });
            is_done.recv_timeout(Duration::from_secs(20)).unwrap();
        });
    }
}
