//! What is written down of changes, in the order in which they happened.
//!
//! A command that changed something leaves a *record*: the command as it came, or canonical commands in its place, as an array
//! of bulk strings ([`Records`]). When the whole command, transaction or script is done, and before its locks are released, its
//! records go as one *unit* into the [`Lane`] of the thread that ran it. Log and replicas are fed from the lanes.
//!
//! # Order without a shared line
//! One log needs one order, but one counter would bounce between all cores. So each shard has a clock of its own, touched
//! only under the shard's lock, and so does each session. A unit is stamped with one more than the largest of the clocks of
//! its session and of the shards it holds, and sets them all to that. Two units that share a shard, or come from one
//! connection, are so ordered as they ran; others may come in either order.
//!
//! Whoever empties the lanes takes a *cut*: all lanes' locks at once, ascending, for as long as it takes to swap their memory.
//! The units of a cut, sorted by stamp, are a [`Piece`]: nothing is missing in it that came before anything in it, since what
//! came before was in its lane before the shard's lock went on. Pieces follow each other in real time.
//!
//! Nothing of this exists while nobody reads it: then a command looks at one flag.

use super::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use super::sync::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Duration;

/// One command that was written down.
#[derive(Clone, Copy, Debug)]
struct Written {
    db: usize,
    /// Where it ends in the bytes.
    end: usize,
    /// It removes what had expired, which stays true when a script is undone.
    expired: bool,
}

/// The records of a command that runs, until they go into a lane.
#[derive(Debug, Default)]
pub struct Records {
    commands: Vec<Written>,
    bytes: Vec<u8>,
    /// What has expired, to be written down behind the running command: (database, command).
    behind: Vec<(usize, Vec<Vec<u8>>)>,
    /// The running command has changed something.
    changed: bool,
    /// It has said itself what to write down.
    said: bool,
}

/// A place in [`Records`].
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordMark(usize);

impl Records {
    /// Whether nothing is written down.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// The running command has changed something.
    #[inline]
    pub fn touch(&mut self) {
        self.changed = true;
    }

    /// Whether the running command has changed something and not said what is to be written down.
    pub fn is_unsaid(&self) -> bool {
        self.changed && !self.said
    }

    /// The running command says itself what is written down of it: what follows, or nothing.
    pub fn say(&mut self) {
        self.said = true;
    }

    /// Writes a command down that belongs to the running one.
    pub fn push<A: AsRef<[u8]>>(&mut self, db: usize, argv: &[A]) {
        self.write(db, argv, false);
    }

    /// Writes down that something is gone because its time was over.
    pub fn push_expired(&mut self, db: usize, argv: &[&[u8]]) {
        self.write(db, argv, true);
    }

    /// The same, but behind what the running command did: whoever does it again must not lose a collection, with what else is
    /// known of it, by removing its last element before the next one is there.
    pub fn push_expired_behind(&mut self, db: usize, argv: Vec<Vec<u8>>) {
        self.behind.push((db, argv));
    }

    fn write<A: AsRef<[u8]>>(&mut self, db: usize, argv: &[A], expired: bool) {
        put_command(&mut self.bytes, argv);
        self.commands.push(Written {
            db,
            end: self.bytes.len(),
            expired,
        });
    }

    /// The running command is done: if it changed something and said nothing, it is written down as it came.
    ///
    /// # Panics
    /// In tests, if there is no command to write down (`argv` is empty): who changes keys without one has to say what is
    /// written down.
    pub fn finish(&mut self, db: usize, argv: &[&[u8]]) {
        if self.changed && !self.said {
            debug_assert!(!argv.is_empty(), "a change that is not written down");
            if !argv.is_empty() {
                self.push(db, argv);
            }
        }
        for (db, argv) in std::mem::take(&mut self.behind) {
            self.write(db, &argv, true);
        }
        self.changed = false;
        self.said = false;
    }

    /// Where the records are now.
    pub fn mark(&self) -> RecordMark {
        RecordMark(self.commands.len())
    }

    /// Takes back what was written down since, but for what had expired: that is over in any case, and said twice does no
    /// harm.
    pub fn undo_to(&mut self, mark: RecordMark) {
        let since = self.commands.split_off(mark.0.min(self.commands.len()));
        let from = self.commands.last().map_or(0, |w| w.end);
        let tail = self.bytes.split_off(from);
        let mut at = 0;
        for w in since {
            let text = &tail[at..w.end - from];
            at = w.end - from;
            if w.expired {
                self.bytes.extend_from_slice(text);
                let end = self.bytes.len();
                self.commands.push(Written { end, ..w });
            }
        }
        self.changed = false;
        self.said = false;
    }

    fn clear(&mut self) {
        self.commands.clear();
        self.bytes.clear();
        self.changed = false;
        self.said = false;
    }
}

/// Writes a command as an array of bulk strings.
pub fn put_command<A: AsRef<[u8]>>(into: &mut Vec<u8>, argv: &[A]) {
    let bytes: usize = argv.iter().map(|arg| arg.as_ref().len()).sum();
    into.reserve(bytes + (argv.len() + 1) * MOST_HEAD);
    put_head(into, b'*', argv.len());
    for arg in argv {
        let arg = arg.as_ref();
        put_head(into, b'$', arg.len());
        into.extend_from_slice(arg);
        into.extend_from_slice(b"\r\n");
    }
}

/// Most bytes of a head, with the end of the line before it.
const MOST_HEAD: usize = 26;

fn put_head(into: &mut Vec<u8>, kind: u8, n: usize) {
    if n < 100 {
        // Nearly all.
        let [tens, ones] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        match n < 10 {
            true => into.extend_from_slice(&[kind, ones, b'\r', b'\n']),
            false => into.extend_from_slice(&[kind, tens, ones, b'\r', b'\n']),
        }
        return;
    }
    let mut digits = [0; 20];
    into.push(kind);
    into.extend_from_slice(resp::number::format_i64(n as i64, &mut digits));
    into.extend_from_slice(b"\r\n");
}

/// What a command, a transaction or a script wrote down, together.
#[derive(Clone, Copy, Debug)]
struct Unit {
    stamp: u64,
    /// Where it ends among the commands.
    end: usize,
}

#[derive(Debug, Default)]
struct Units {
    units: Vec<Unit>,
    commands: Vec<Written>,
    bytes: Vec<u8>,
}

/// The units of one thread that nobody has taken yet.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Lane(Mutex<Units>);

/// Memory of the last cut, for the lanes of the next one, if it is no more than this.
const KEPT_BYTES: usize = 16 << 20;
/// Bytes that wait in the lanes from which whoever empties them does not nap on.
const ENOUGH_BYTES: usize = 1 << 20;

/// A stretch of the log: whole units, in order.
#[derive(Debug, Default)]
pub struct Piece {
    /// Pieces are numbered from 1.
    pub number: u64,
    /// Commands as arrays of bulk strings, with SELECT where the database changes and MULTI and EXEC around units of several.
    pub bytes: Vec<u8>,
    /// Number of units.
    pub units: usize,
}

/// A cache line of its own.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Padded<T>(T);

/// All lanes, and the clocks of the shards. See the module's page.
#[derive(Debug)]
pub struct Journal {
    /// Whether changes are written down; whether they are refused.
    on: Padded<(AtomicBool, AtomicBool)>,
    clocks: Box<[Padded<AtomicU64>]>,
    lanes: Mutex<Vec<Arc<Lane>>>,
    /// Cuts taken so far: the number of the last piece.
    cuts: AtomicU64,
    /// Bytes in the lanes, as of the last look of each thread; for back-pressure.
    waiting: Padded<AtomicUsize>,
    /// Whoever empties the lanes sleeps.
    asleep: Padded<AtomicBool>,
    /// Rung, and not heard yet.
    bell: (Mutex<bool>, Condvar),
    /// Memory for the lanes of the next cut.
    spare: Mutex<Vec<Units>>,
}

impl Journal {
    /// A journal that is off, for a keyspace with this many shards.
    pub fn new(shards: usize) -> Journal {
        Journal {
            on: Padded::default(),
            clocks: (0..shards).map(|_| Padded::default()).collect(),
            lanes: Mutex::default(),
            cuts: AtomicU64::new(0),
            waiting: Padded::default(),
            asleep: Padded::default(),
            bell: Default::default(),
            spare: Mutex::default(),
        }
    }

    /// Whether changes are written down. Read with the locks of the changed keys held, since it is turned on and off with all
    /// of them held.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.0.0.load(Relaxed)
    }

    /// Whether changes are refused because they could not be kept.
    #[inline]
    pub fn refuses(&self) -> bool {
        self.on.0.1.load(Relaxed)
    }

    /// Has changes refused, or taken again.
    pub fn refuse(&self, refuse: bool) {
        if self.refuses() != refuse {
            self.on.0.1.store(refuse, Relaxed);
        }
    }

    /// Begins or ends to write changes down. With the locks of all shards held, so that every change is wholly before it or
    /// wholly after it.
    pub fn turn(&self, on: bool) {
        self.on.0.0.store(on, Relaxed);
    }

    /// A lane for a thread that runs commands.
    pub fn add_lane(&self) -> Arc<Lane> {
        let lane = Arc::new(Lane::default());
        let mut lanes = self.lanes.lock();
        // Those of threads that have ended and left nothing.
        lanes.retain(|lane| Arc::strong_count(lane) > 1 || !lane.0.lock().units.is_empty());
        lanes.push(lane.clone());
        lane
    }

    /// Bytes that wait in the lanes.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting.0.load(Relaxed)
    }

    /// Puts the records of a command that is done into a lane, stamped, and empties them. The locks of `held` shards are held.
    /// `clock` is the session's. Returns the number of the piece that they will be in.
    pub fn write_down(
        &self,
        lane: &Lane,
        records: &mut Records,
        held: impl Fn(&mut dyn FnMut(usize)),
        clock: &mut u64,
    ) -> u64 {
        let mut stamp = *clock;
        held(&mut |shard| stamp = stamp.max(self.clocks[shard].0.load(Relaxed)));
        stamp += 1;
        *clock = stamp;
        held(&mut |shard| self.clocks[shard].0.store(stamp, Relaxed));
        let added = records.bytes.len();
        let enough;
        let piece = {
            let mut units = lane.0.lock();
            // Before it is there, so that a cut never takes more than has been counted.
            let waited = self.waiting.0.fetch_add(added, SeqCst);
            enough = waited < ENOUGH_BYTES && waited + added >= ENOUGH_BYTES;
            let from = units.bytes.len();
            units.bytes.extend_from_slice(&records.bytes);
            units
                .commands
                .extend(records.commands.iter().map(|w| Written {
                    end: from + w.end,
                    ..*w
                }));
            let end = units.commands.len();
            units.units.push(Unit { stamp, end });
            // The cut that takes this is the next one: it needs this lock.
            self.cuts.load(Relaxed) + 1
        };
        records.clear();
        if enough || self.asleep.0.load(SeqCst) {
            self.ring();
        }
        piece
    }

    /// Wakes whoever empties the lanes.
    #[cold]
    pub fn ring(&self) {
        *self.bell.0.lock() = true;
        self.asleep.0.store(false, Relaxed);
        self.bell.1.notify_all();
    }

    /// Returns when there is something in the lanes, when somebody rings, or after this time.
    pub fn sleep(&self, time: Duration) {
        let mut held = self.bell.0.lock();
        // Whoever adds something either sees this and rings, or has added it before the look.
        self.asleep.0.store(true, SeqCst);
        if !*held && self.waiting.0.load(SeqCst) == 0 {
            self.bell.1.wait_for(&mut held, time);
        }
        self.asleep.0.store(false, Relaxed);
        *held = false;
    }

    /// Lets the lanes fill: returns after this time, or as soon as somebody rings, or a megabyte waits. Whoever adds something
    /// meanwhile wakes nobody, which would cost it more than what it adds.
    pub fn nap(&self, time: Duration) {
        let mut held = self.bell.0.lock();
        if !*held && self.waiting.0.load(SeqCst) < ENOUGH_BYTES {
            self.bell.1.wait_for(&mut held, time);
        }
        *held = false;
    }

    /// Takes what is in all lanes. `db` is the database that the log is in, which SELECT changes: None if that is not known.
    /// None if there is nothing.
    pub fn cut(&self, db: &mut Option<usize>) -> Option<Piece> {
        let lanes = self.lanes.lock();
        if self.waiting_bytes() == 0 {
            return None;
        }
        let mut held: Vec<_> = lanes.iter().map(|lane| lane.0.lock()).collect();
        let number = self.cuts.load(Relaxed) + 1;
        self.cuts.store(number, Relaxed);
        let mut spare = std::mem::take(&mut *self.spare.lock());
        let mut taken: Vec<Units> = held
            .iter_mut()
            .map(|units| match units.units.is_empty() {
                true => Units::default(),
                false => std::mem::replace(&mut **units, spare.pop().unwrap_or_default()),
            })
            .collect();
        drop(held);
        drop(lanes);
        let bytes: usize = taken.iter().map(|u| u.bytes.len()).sum();
        self.waiting.0.fetch_sub(bytes, Relaxed);
        let mut piece = Piece {
            number,
            bytes: Vec::new(),
            units: taken.iter().map(|u| u.units.len()).sum(),
        };
        taken.retain(|units| !units.units.is_empty());
        match &mut taken[..] {
            // One thread did all of it, and in this order.
            [one] if one.is_plain(*db) => {
                let room = Vec::with_capacity(bytes.min(KEPT_BYTES));
                piece.bytes = std::mem::replace(&mut one.bytes, room);
            }
            _ => {
                piece.bytes.reserve(bytes + 64);
                for (lane, i) in in_order(&taken) {
                    taken[lane].put(i, db, &mut piece.bytes);
                }
            }
        }
        for mut units in taken {
            units.clear();
            if units.bytes.capacity() <= KEPT_BYTES {
                spare.push(units);
            }
        }
        *self.spare.lock() = spare;
        Some(piece)
    }

    /// The number of the last piece.
    pub fn last_piece(&self) -> u64 {
        self.cuts.load(Relaxed)
    }
}

/// The places of all units, (lane, index), by their stamps.
fn in_order(lanes: &[Units]) -> impl Iterator<Item = (usize, usize)> {
    let mut order: Vec<(u64, u32, u32)> = Vec::new();
    for (lane, units) in (0..).zip(lanes) {
        order.extend((0..).zip(&units.units).map(|(i, u)| (u.stamp, lane, i)));
    }
    if lanes.len() > 1 {
        // Those of one lane that have the same stamp stay in the order in which they were put there.
        order.sort_unstable();
    }
    order
        .into_iter()
        .map(|(_, lane, i)| (lane as usize, i as usize))
}

impl Units {
    /// Whether the bytes stand as the log has them: single commands, all in this database.
    fn is_plain(&self, db: Option<usize>) -> bool {
        self.units.len() == self.commands.len() && self.commands.iter().all(|w| Some(w.db) == db)
    }

    fn clear(&mut self) {
        self.units.clear();
        self.commands.clear();
        self.bytes.clear();
    }

    /// Writes a unit as the log has it.
    fn put(&self, i: usize, db: &mut Option<usize>, into: &mut Vec<u8>) {
        let first = match i {
            0 => 0,
            i => self.units[i - 1].end,
        };
        let commands = &self.commands[first..self.units[i].end];
        let mut at = match first {
            0 => 0,
            first => self.commands[first - 1].end,
        };
        let several = commands.len() > 1;
        for (n, w) in commands.iter().enumerate() {
            if *db != Some(w.db) {
                *db = Some(w.db);
                let mut digits = [0; 20];
                let text = resp::number::format_i64(w.db as i64, &mut digits);
                put_command(into, &[b"SELECT", text]);
            }
            if n == 0 && several {
                put_command(into, &[b"MULTI"]);
            }
            into.extend_from_slice(&self.bytes[at..w.end]);
            at = w.end;
        }
        if several {
            put_command(into, &[b"EXEC"]);
        }
    }
}
