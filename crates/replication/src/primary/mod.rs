//! As a primary, or in the middle of a chain: who follows this server.
//!
//! Each who follows has a [link]. They get a [copy](sync) of the data set, if they cannot go on where they were, and the
//! stream. What they [acknowledge](acks) is what WAIT counts.

mod acks;
mod failover;
mod link;
mod sync;

use crate::replica::Replica;
use crate::spool::Reader;
use crate::stream::Stream;
use engine::{
    CHANGES_HELD, Config, Engine, RoleReport, StreamMemory, StreamWish, WaitList, put_command,
    unix_ms,
};
use keeper::Keeper;
use link::{Link, State};
use parking_lot::Mutex;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(100);

/// After so many looks memory of the stream goes that was not needed meanwhile.
const TICKS_TO_LET_GO: u64 = 20;

/// Those who follow, and what they follow.
pub(crate) struct Primary {
    me: Weak<Primary>,
    engine: Weak<Engine>,
    keeper: Arc<Keeper>,
    stream: Arc<Stream>,
    /// The other side of this server: FAILOVER turns to it.
    replica: Arc<Replica>,
    applying: Arc<Mutex<()>>,
    links: Mutex<Vec<Arc<Link>>>,
    waits: Mutex<Vec<acks::Wait>>,
    /// Offset behind the last GETACK.
    asked_at: Mutex<u64>,
    copies: sync::Copies,
    /// Who waits for replicas to say how far they are, or to leave.
    heard: Arc<WaitList>,
    /// When a sign of life was sent last.
    pinged: Mutex<Option<Instant>>,
    /// Since when nobody follows; None: somebody does.
    alone_since: Mutex<Option<Instant>>,
    /// The disk has failed: that was said.
    spill_failed: AtomicBool,
    failing: failover::Failing,
    /// How often the clock was looked at.
    ticks: AtomicU64,
    stop: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn tick(primary: &Weak<Primary>) {
    loop {
        {
            let Some(primary) = primary.upgrade() else {
                return;
            };
            let Some(engine) = primary.engine.upgrade() else {
                return;
            };
            if primary.is_stopping() {
                return;
            }
            primary.tick(&engine);
        }
        std::thread::park_timeout(TICK);
    }
}

impl Primary {
    /// One that nobody follows. `applying`: see [`Primary::between_units`].
    pub fn new(
        engine: &Arc<Engine>,
        keeper: &Arc<Keeper>,
        stream: &Arc<Stream>,
        replica: &Arc<Replica>,
        applying: &Arc<Mutex<()>>,
    ) -> Arc<Primary> {
        Arc::new_cyclic(|me| Primary {
            me: me.clone(),
            engine: Arc::downgrade(engine),
            keeper: keeper.clone(),
            stream: stream.clone(),
            replica: replica.clone(),
            applying: applying.clone(),
            links: Mutex::default(),
            waits: Mutex::default(),
            asked_at: Mutex::default(),
            copies: sync::Copies::default(),
            heard: Arc::default(),
            pinged: Mutex::default(),
            alone_since: Mutex::default(),
            spill_failed: AtomicBool::new(false),
            failing: failover::Failing::default(),
            ticks: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            thread: Mutex::new(None),
        })
    }

    /// Has the clock looked at from now on.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(&self) -> Result<(), String> {
        let weak = self.me.clone();
        let thread = std::thread::Builder::new()
            .name("replication".into())
            .spawn(move || tick(&weak))
            .map_err(|e| format!("no thread for replication: {e}"))?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Nobody may begin to follow any more, and failures are expected.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// Ends the connections of all who follow, and the thread.
    pub fn close(&self) {
        for link in self.links() {
            link.close();
            self.end_link(&link);
        }
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }

    fn engine(&self) -> Result<Arc<Engine>, String> {
        (self.engine.upgrade()).ok_or_else(|| "ERR the database is being closed".to_owned())
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Does something while no unit (a command, a whole transaction) of a primary's stream is half carried out.
    pub fn between_units(&self, work: &mut dyn FnMut()) {
        let replica = self
            .engine
            .upgrade()
            .is_some_and(|e| e.standing.is_replica());
        let _applying = replica.then(|| self.applying.lock());
        work();
    }

    /// The data set is loaded, and with it, perhaps, what the stream was called and how long it was.
    pub(crate) fn begin(&self) {
        let Ok(engine) = self.engine() else { return };
        let Some(place) = self.keeper.loaded_stream() else {
            let offset = self.keeper.loaded_offset();
            if offset > 0 {
                self.stream.restart(&engine.standing.ids().id, offset);
            }
            return;
        };
        let replica = engine.standing.is_replica();
        // What a primary does from now on counts, so that whoever comes back can go on.
        let begun = self.keeper.want_pieces(!replica, || {
            self.stream.restore(&place.id, place.offset);
            self.stream.set_active(true);
        });
        if replica {
            self.replica.knows(place.db.unwrap_or(0));
        }
        let (id, offset) = (place.id, place.offset);
        match begun {
            Ok(()) => tracing::info!("The stream {id} goes on at offset {offset}"),
            Err(why) => tracing::warn!("Replicas will need a copy of the data set: {why}"),
        }
    }

    /// Ends the connections of all who follow: they are to come again, since the stream is another, or has another name.
    pub(crate) fn drop_replicas(&self) {
        for link in self.links() {
            self.end_link(&link);
        }
    }

    fn links(&self) -> Vec<Arc<Link>> {
        self.links.lock().clone()
    }

    /// Has the clock looked at now.
    pub(crate) fn wake(&self) {
        if let Some(thread) = self.thread.lock().as_ref() {
            thread.thread().unpark();
        }
    }

    fn timeout(&self) -> Duration {
        let seconds = self
            .engine()
            .map_or(60, |e| e.config().number("repl-timeout") as u64);
        Duration::from_secs(seconds)
    }

    /// Somebody follows, or does not any more.
    fn replicas_changed(&self) {
        self.heard.call();
        self.count_good();
        self.tell_waits();
        self.wake();
    }

    fn tick(&self, engine: &Arc<Engine>) {
        self.copy_if_due();
        self.ping(engine);
        self.close_slow(engine);
        self.spill(engine);
        if self.stream.is_active() {
            self.between_units(&mut || self.keeper.note_stream());
        }
        self.count_good();
        self.tell_waits();
        self.forget_stream(engine);
        self.drive_failover();
    }

    /// A sign of life, now and then. On a replica the primary's are passed on.
    fn ping(&self, engine: &Engine) {
        if engine.standing.is_replica() || !self.stream.is_active() || self.links.lock().is_empty()
        {
            return;
        }
        let period = Duration::from_secs(engine.config().number("repl-ping-replica-period") as u64);
        let mut pinged = self.pinged.lock();
        let last = *pinged.get_or_insert_with(Instant::now);
        if last.elapsed() < period || engine.standing.closed() & CHANGES_HELD != 0 {
            return;
        }
        *pinged = Some(Instant::now());
        let mut bytes = Vec::new();
        put_command(&mut bytes, &[b"PING"]);
        self.stream.say(&bytes);
    }

    /// Gives up those who have not been heard of for too long, or lack more than their output buffer may hold.
    fn close_slow(&self, engine: &Engine) {
        let timeout = self.timeout().as_secs();
        let limit = &engine.config().live.output_limits[1];
        let (hard, soft) = (limit.hard.load(Relaxed), limit.soft.load(Relaxed));
        let soft_ms = limit.soft_seconds.load(Relaxed) * 1000;
        let keep = engine.config().number("repl-backlog-size") as u64;
        for link in self.links() {
            let lacks = link.look_what_it_lacks(&self.stream);
            let state = link.state();
            if matches!(state, State::Online | State::Loads | State::HasCopy)
                && link.lag_s() > timeout
            {
                tracing::warn!(
                    "The replica {} has not been heard of for {timeout} seconds",
                    link.who()
                );
                self.end_link(&link);
                continue;
            }
            if state != State::Online {
                continue;
            }
            // A bound below the backlog's would save nothing.
            let over = |bound: u64| bound > 0 && lacks > bound.max(keep);
            if !link.caught_up.load(Relaxed) {
                // What it missed while it loaded may be more.
                link.caught_up.store(!over(hard) && !over(soft), Relaxed);
                continue;
            }
            let now = unix_ms();
            let since = link.over_since_ms.load(Relaxed);
            let too_long = over(soft) && since > 0 && now.saturating_sub(since) >= soft_ms;
            match over(soft) {
                true if since == 0 => link.over_since_ms.store(now, Relaxed),
                true => {}
                false => link.over_since_ms.store(0, Relaxed),
            }
            if over(hard) || too_long {
                limit.disconnections.fetch_add(1, Relaxed);
                tracing::warn!(
                    "Closing the replica {}: over client-output-buffer-limit",
                    link.who()
                );
                self.end_link(&link);
            }
        }
    }

    /// What is needed and does not fit in memory goes to the disk.
    fn spill(&self, engine: &Engine) {
        let overflow = self.overflow(engine);
        if self
            .ticks
            .fetch_add(1, Relaxed)
            .is_multiple_of(TICKS_TO_LET_GO)
        {
            self.stream.spool().let_go();
        }
        let failed = &self.spill_failed;
        match self.stream.spool().spill(&overflow) {
            Ok(()) => failed.store(false, Relaxed),
            Err(why) if !failed.swap(true, Relaxed) => {
                tracing::warn!("What replicas lack cannot be kept for them: {why}");
            }
            Err(_) => {}
        }
    }

    /// A primary that nobody has followed for long keeps nothing for replicas, and what it does from then on is not counted: so the
    /// stream is another afterwards.
    fn forget_stream(&self, engine: &Engine) {
        let mut alone = self.alone_since.lock();
        if !self.links.lock().is_empty() || engine.standing.is_replica() || !self.stream.is_active()
        {
            *alone = None;
            return;
        }
        let ttl = engine.config().number("repl-backlog-ttl") as u64;
        let since = *alone.get_or_insert_with(Instant::now);
        if ttl == 0 || since.elapsed().as_secs() < ttl {
            return;
        }
        *alone = None;
        let ended = self.keeper.want_pieces(false, || {
            self.stream.set_active(false);
            self.stream.rename();
            self.stream.spool().restart(self.stream.offset());
        });
        // Whoever has come at this very moment would be told nothing any more.
        self.drop_replicas();
        if ended.is_ok() {
            tracing::info!(
                "Nobody has followed for {ttl} seconds: nothing is kept for replicas any more"
            );
        }
    }

    /// Whether a client may have the stream now.
    pub(crate) fn admit(&self, wish: &StreamWish) -> Result<(), String> {
        if self.is_stopping() {
            return Err("ERR the server is stopping".into());
        }
        let engine = self.engine()?;
        if wish.failover {
            if wish.id != engine.standing.ids().id {
                return Err("ERR PSYNC FAILOVER replid must match my replid.".into());
            }
            if !engine.standing.is_replica() {
                return Err("ERR PSYNC FAILOVER can't be sent to a master.".into());
            }
            return Ok(());
        }
        match self.replica.role() {
            Some(RoleReport::Replica(_, _, state, _)) if state != "connected" => {
                Err("NOMASTERLINK Can't SYNC while not connected with my master".into())
            }
            _ => Ok(()),
        }
    }

    /// A reader of the stream for who knows it and lacks nothing that is gone. None: it needs a copy.
    fn resume(&self, wish: &StreamWish, link: &Link) -> Result<Option<Reader>, String> {
        if wish.failover {
            // It was the primary until now. Its own link is not dropped with those that had the stream under its old name.
            let mut links = std::mem::take(&mut *self.links.lock());
            let own = links.iter().position(|one| std::ptr::eq(&**one, link));
            let own = own.map(|at| links.remove(at));
            self.links.lock().extend(links);
            let turned = self.replica.lead();
            self.links.lock().extend(own);
            turned?;
            let _ = self.engine()?.config().record("replicaof", "");
        }
        if wish.old_style || wish.id.is_empty() || link.announced.rdb_only {
            return Ok(None);
        }
        let from = wish.from.and_then(|from| from.checked_sub(1));
        let reader = from.and_then(|at| self.stream.resume(&wish.id, at));
        let copies = &self.copies;
        match (&reader, from) {
            (Some(_), _) => {
                copies.partial.fetch_add(1, Relaxed);
                let at = from.unwrap_or(0);
                tracing::info!("The replica {} goes on at offset {at}", link.who());
            }
            (None, _) => {
                copies.refused_partial.fetch_add(1, Relaxed);
                tracing::info!(
                    "The replica {} wants to go on at offset {from:?} of {}, and cannot",
                    link.who(),
                    wish.id
                );
            }
        }
        Ok(reader)
    }

    /// Has the stream hold all that was done up to now, so that whoever is told how long it is can tell by that whether a replica has
    /// all that it saw done here. A replica's own changes are in no stream.
    fn bring_stream_up(&self, engine: &Engine) {
        if self.stream.is_active() && !engine.standing.is_replica() {
            self.keeper.give_pieces();
        }
    }

    pub(crate) fn role(&self) -> RoleReport {
        if let Ok(engine) = self.engine() {
            self.bring_stream_up(&engine);
        }
        let links = self.links();
        let online = links.iter().filter(|link| link.is_online());
        let replicas = online.map(|link| {
            let acked = link.acked.load(Relaxed);
            (link.ip().to_owned(), link.announced.port, acked)
        });
        RoleReport::Primary(self.stream.offset(), replicas.collect())
    }

    pub(crate) fn info(&self, into: &mut String) {
        let Ok(engine) = self.engine() else { return };
        self.bring_stream_up(&engine);
        let mut links = self.links();
        links.retain(|link| link.state() != State::Gone);
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            let _ = write!(into, "{name}:{value}\r\n");
        };
        line("connected_slaves", &links.len());
        let config = engine.config();
        if config.number("min-replicas-to-write") > 0 && config.number("min-replicas-max-lag") > 0 {
            line("min_slaves_good_slaves", &self.good_replicas());
        }
        for (at, link) in links.iter().enumerate() {
            let state = link.state();
            let lag = match state {
                State::Online => link.lag_s(),
                _ => 0,
            };
            let fields = format_args!(
                "ip={},port={},state={},offset={},lag={lag},type=replica",
                link.ip(),
                link.announced.port,
                link.state_name(),
                link.acked.load(Relaxed),
            )
            .to_string();
            line(&format!("slave{at}"), &fields);
        }
        let ids = engine.standing.ids();
        let offset = self.stream.offset();
        line("master_failover_state", &self.failover_state());
        line("master_replid", &ids.id);
        line("master_replid2", &ids.second);
        line("master_repl_offset", &offset);
        line("second_repl_offset", &ids.second_until);
        let (active, first) = (self.stream.is_active(), self.stream.spool().first());
        line("repl_backlog_active", &u8::from(active));
        line("repl_backlog_size", &config.number("repl-backlog-size"));
        line(
            "repl_backlog_first_byte_offset",
            &if active { first + 1 } else { 0 },
        );
        line(
            "repl_backlog_histlen",
            &if active { offset - first } else { 0 },
        );
        line("redpoll_repl_spilled_bytes", &self.stream.spool().spilled());
    }

    fn sync_counts(&self) -> [&AtomicU64; 3] {
        let copies = &self.copies;
        [&copies.full, &copies.partial, &copies.refused_partial]
    }

    pub(crate) fn syncs(&self) -> [u64; 3] {
        self.sync_counts().map(|count| count.load(Relaxed))
    }

    pub(crate) fn reset_syncs(&self) {
        for count in self.sync_counts() {
            count.store(0, Relaxed);
        }
    }

    /// Has CLIENT LIST show what each replica still has to be sent.
    pub(crate) fn look_what_replicas_lack(&self) {
        for link in self.links() {
            link.look_what_it_lacks(&self.stream);
        }
    }

    pub(crate) fn memory(&self) -> StreamMemory {
        // Who is killed has gone, though what it reads from may be there for a moment.
        let links = self.links();
        let stay = links.iter().filter(|link| !link.client.kill_requested());
        let each: Vec<usize> = stay.map(|link| link.client.memory()).collect();
        let (backlog, mut waiting, mut spare) = self.stream.spool().memory_for();
        if each.is_empty() {
            spare += std::mem::take(&mut waiting);
        }
        StreamMemory {
            backlog,
            waiting,
            spare,
            copies: self.copies.memory(),
            clients: each.iter().sum(),
        }
    }

    pub(crate) fn applied(&self, directive: &str, config: &Config) {
        match directive {
            "repl-backlog-size" => {
                let keep = config.number(directive) as u64;
                self.stream.spool().set_keep(keep);
            }
            "min-replicas-to-write" | "min-replicas-max-lag" => self.count_good(),
            _ => {}
        }
    }
}
