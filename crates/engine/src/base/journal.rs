//! What is written down of changes, in the order in which they happened.
//!
//! A command that changed something leaves a *record*: the command as it came, or canonical commands in its place, as an array
//! of bulk strings ([`Records`]). When the whole command, transaction or script is done, and before its locks are released, its
//! records go as one *unit* into the [`Lane`] of the thread that ran it. Log and replicas are fed from the lanes.
//!
//! # Order without a shared line
//! One log needs one order, but one counter would bounce between all cores. So each shard has a clock of its own, touched
//! only under the shard's lock, and so does each session ([`Clock`]: a stamp, and the lane that set it). A unit's stamp is the least
//! that comes before nothing it has to come after: no less than those of its session, of its thread, and of the shards it holds, and
//! more than those of them that another lane has set. It then sets all these clocks (after Lamport). Two units that share a shard, or
//! come from one connection, are so ordered as they ran, by their stamps or by their places in one lane; others may come in either
//! order, but for clients: the clock of a session is never behind the time at which its request was read ([`clock_at`]), so that what a
//! client does behind the reply to another one comes behind what that one did. While nobody else comes to its shards, all that a thread
//! does with one look at the time has one stamp, and stands in the lane as one *run*.
//!
//! Whoever empties the lanes takes a *cut*: all lanes' locks at once, ascending, for as long as it takes to swap their memory. A lane's
//! lock costs the thread whose lane it is next to nothing ([`super::owned`]).
//! The runs of a cut, merged by their stamps, are a [`Piece`]: nothing is missing in it that came before anything in it, since what
//! came before was in its lane before the shard's lock went on. Pieces follow each other in real time.
//!
//! Nothing of this exists while nobody reads it: then a command looks at one flag.

use super::log_queue::LogQueue;
use super::owned::{Owned, Taken};
use super::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use super::sync::{Condvar, Mutex, has_barrier};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Who is to have what is written down. All but what a script keeps from some of them with `redis.set_repl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readers {
    /// The append-only file.
    pub log: bool,
    /// The replicas.
    pub replicas: bool,
}

impl Readers {
    /// All that there are.
    pub const ALL: Readers = Readers {
        log: true,
        replicas: true,
    };
}

impl Default for Readers {
    fn default() -> Readers {
        Readers::ALL
    }
}

/// One command that was written down.
#[derive(Clone, Copy, Debug)]
struct Written {
    db: usize,
    /// Where it ends in the bytes.
    end: usize,
    /// It removes a key that had expired, which stays true when a script is undone.
    stays: bool,
    readers: Readers,
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
    /// It has changed nothing, but replicas are to do it too.
    passed_on: bool,
    /// Who is to have what is done now.
    readers: Readers,
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

    /// The running command changes nothing that a file would keep, but replicas are to do it too.
    pub fn pass_on(&mut self) {
        self.passed_on = true;
    }

    /// Writes a command down that belongs to the running one.
    pub fn push<A: AsRef<[u8]>>(&mut self, db: usize, argv: &[A]) {
        self.put(db, |into| put_command(into, argv), self.readers, false);
    }

    /// Writes down that a key is gone because its time was over.
    pub fn push_expired(&mut self, db: usize, argv: &[&[u8]]) {
        self.put(db, |into| put_command(into, argv), Readers::ALL, true);
    }

    /// Writes down that elements of a collection are gone because their time was over. When a script is undone they are there again, until
    /// somebody finds them once more.
    pub fn push_expired_elements(&mut self, db: usize, argv: &[&[u8]]) {
        self.put(db, |into| put_command(into, argv), Readers::ALL, false);
    }

    /// The same, but behind what the running command did: whoever does it again must not lose a collection, with what else is
    /// known of it, by removing its last element before the next one is there.
    pub fn push_expired_behind(&mut self, db: usize, argv: Vec<Vec<u8>>) {
        self.behind.push((db, argv));
    }

    /// What is written down from now on, but for what has expired, is for these alone.
    pub fn keep_for(&mut self, readers: Readers) {
        self.readers = readers;
    }

    /// The running command says itself what is written down of it: the command that this puts there, as [`put_command`] would.
    pub fn say_one(&mut self, db: usize, put: impl FnOnce(&mut Vec<u8>)) {
        self.said = true;
        self.put(db, put, self.readers, false);
    }

    fn put(&mut self, db: usize, put: impl FnOnce(&mut Vec<u8>), readers: Readers, stays: bool) {
        if !readers.log && !readers.replicas {
            return;
        }
        put(&mut self.bytes);
        self.commands.push(Written {
            db,
            end: self.bytes.len(),
            stays,
            readers,
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
        if std::mem::take(&mut self.passed_on) {
            let readers = self.readers;
            self.readers.log = false;
            self.push(db, argv);
            self.readers = readers;
        }
        for (db, argv) in std::mem::take(&mut self.behind) {
            self.put(db, |into| put_command(into, &argv), Readers::ALL, false);
        }
        self.changed = false;
        self.said = false;
    }

    /// Whether the running command is done and all that there is to write down is the command as it came: then it is taken for
    /// written down, and the caller does it with [`Journal::write_down_one`]. If not, nothing has happened.
    #[inline]
    pub fn take_as_it_came(&mut self) -> bool {
        let so = self.changed && !self.said && self.commands.is_empty() && self.behind.is_empty();
        if so {
            self.changed = false;
        }
        so
    }

    /// Where the records are now.
    pub fn mark(&self) -> RecordMark {
        RecordMark(self.commands.len())
    }

    /// Takes back what was written down since, but for keys that had expired: they stay gone, and said twice it does no harm.
    pub fn undo_to(&mut self, mark: RecordMark) {
        let since = self.commands.split_off(mark.0.min(self.commands.len()));
        let from = self.commands.last().map_or(0, |w| w.end);
        let tail = self.bytes.split_off(from);
        let mut at = 0;
        for w in since {
            let text = &tail[at..w.end - from];
            at = w.end - from;
            if w.stays {
                self.bytes.extend_from_slice(text);
                let end = self.bytes.len();
                self.commands.push(Written { end, ..w });
            }
        }
        self.changed = false;
        self.said = false;
        self.passed_on = false;
    }

    fn clear(&mut self) {
        self.commands.clear();
        self.bytes.clear();
        self.changed = false;
        self.said = false;
        self.passed_on = false;
        self.readers = Readers::ALL;
    }
}

/// Writes a command as an array of bulk strings.
#[inline]
pub fn put_command<A: AsRef<[u8]>>(into: &mut Vec<u8>, argv: &[A]) {
    let bytes: usize = argv.iter().map(|arg| arg.as_ref().len()).sum();
    into.reserve(bytes + (argv.len() + 1) * MOST_HEAD);
    match argv.len() {
        few @ 0..10 => into.extend_from_slice(&[b'*', b'0' + few as u8]),
        many => {
            into.push(b'*');
            put_number(into, many);
        }
    }
    for arg in argv {
        let arg = arg.as_ref();
        put_length(into, arg.len());
        into.extend_from_slice(arg);
    }
    into.extend_from_slice(b"\r\n");
}

/// Most bytes of a head, with the end of the line before it.
const MOST_HEAD: usize = 26;

/// Ends the line before an argument, and writes the line that says how long that is.
#[inline]
fn put_length(into: &mut Vec<u8>, n: usize) {
    // Nearly all have less than a hundred bytes.
    let [tens, ones] = [b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8];
    match n {
        0..10 => into.extend_from_slice(&[b'\r', b'\n', b'$', ones, b'\r', b'\n']),
        10..100 => into.extend_from_slice(&[b'\r', b'\n', b'$', tens, ones, b'\r', b'\n']),
        100.. => {
            into.extend_from_slice(b"\r\n$");
            put_number(into, n);
            into.extend_from_slice(b"\r\n");
        }
    }
}

fn put_number(into: &mut Vec<u8>, n: usize) {
    let mut digits = [0; 20];
    into.extend_from_slice(resp::number::format_i64(n as i64, &mut digits));
}

/// The time of a shard or a session: the last stamp, and behind it, in [`LANE_BITS`], the number of the lane that set it.
type Clock = AtomicU64;

/// Lanes beyond what these bits hold have no number: what they did is taken for another's by all, them included.
const LANE_BITS: u32 = 12;
const LANE_MASK: u64 = (1 << LANE_BITS) - 1;

/// What a session's clock is set to at least before it does something: the time, in nanoseconds since 1970 as whoever reads requests
/// has it. Stamps count microseconds, and one that comes from conflicts is ahead of the time by as many as there were at once.
#[inline]
pub fn clock_at(unix_nanos: u64) -> u64 {
    (unix_nanos / 1000) << LANE_BITS
}

/// Units with the same stamp: single commands in one database, or one unit that is more than that.
#[derive(Clone, Copy, Debug)]
struct Run {
    stamp: u64,
    /// Where its bytes end.
    end: usize,
    /// The database of its commands; of a unit of several, [`Units::commands`] says it.
    db: u32,
    /// How many commands its unit has, if there are several, or if one is not for all readers; else 0.
    several: u32,
}

#[derive(Debug, Default)]
struct Units {
    /// Their stamps do not descend.
    runs: Vec<Run>,
    /// One has several commands, or they are not all in one database.
    mixed: bool,
    /// The commands of those that have several.
    commands: Vec<Written>,
    bytes: Vec<u8>,
}

/// The units of one thread that nobody has taken yet.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Lane {
    units: Owned<Units>,
    /// Its number, from 1 on; of lanes that have none, one more than the last.
    number: u64,
    /// Bytes of them: what others may look at without the lock.
    bytes: AtomicUsize,
}

/// Memory that is kept for the next cut is no more than this, for a lane and for pieces together, and only while changes come
/// ([`Journal::let_go`]): what a disk that stands still for a moment holds up is some tens of megabytes.
const KEPT_BYTES: usize = 64 << 20;
/// The least that is taken for a piece.
const LEAST_ROOM: usize = 64 << 10;
/// Bytes of memory of a lane that become a piece as they are.
const MOST_SWAPPED: usize = 4 << 20;
/// Bytes that wait in the lanes from which whoever empties them does not nap on.
const ENOUGH_BYTES: usize = 1 << 20;

/// A stretch of the log: whole units, in order.
#[derive(Debug, Default)]
pub struct Piece {
    /// Pieces are numbered from 1.
    pub number: u64,
    /// Commands as arrays of bulk strings, with SELECT where the database changes and MULTI and EXEC around units of several.
    pub bytes: Vec<u8>,
    /// What some of the readers are not to have, in order: hardly ever anything.
    partial: Vec<(Range<usize>, Readers)>,
}

impl Piece {
    /// What the replicas get of it.
    pub fn for_replicas(&self) -> Cow<'_, [u8]> {
        match self.partial.iter().any(|(_, readers)| !readers.replicas) {
            false => Cow::Borrowed(&self.bytes),
            true => Cow::Owned(self.without(|readers| !readers.replicas)),
        }
    }

    /// Leaves what the append-only file gets of it.
    pub fn keep_for_log(&mut self) {
        if self.partial.iter().any(|(_, readers)| !readers.log) {
            self.bytes = self.without(|readers| !readers.log);
            self.partial.clear();
        }
    }

    fn without(&self, out: impl Fn(Readers) -> bool) -> Vec<u8> {
        let (mut kept, mut at) = (Vec::with_capacity(self.bytes.len()), 0);
        for (range, _) in self.partial.iter().filter(|(_, readers)| out(*readers)) {
            kept.extend_from_slice(&self.bytes[at..range.start]);
            at = range.end;
        }
        kept.extend_from_slice(&self.bytes[at..]);
        kept
    }
}

/// A cache line of its own.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Padded<T>(T);

/// All lanes. See the module's page.
#[derive(Debug, Default)]
pub struct Journal {
    /// Whether changes are written down; whether they are refused; whether replicas get them.
    on: Padded<(AtomicBool, AtomicBool, AtomicBool)>,
    lanes: Mutex<Vec<Arc<Lane>>>,
    /// Lanes there have been.
    numbered: AtomicU64,
    /// Cuts taken so far: the number of the last piece.
    cuts: AtomicU64,
    /// Bytes of the last piece, until whoever took it has given it on.
    taken: AtomicUsize,
    /// How much may wait here and behind it.
    pub queue: LogQueue,
    /// Whoever empties the lanes sleeps.
    asleep: Padded<AtomicBool>,
    /// Rung, and not heard yet.
    bell: (Mutex<bool>, Condvar),
    /// Memory for the lanes of the next cut, and for the bytes of pieces.
    spare: Mutex<(Vec<Units>, Rooms)>,
}

/// Memory that was used for pieces. Fresh memory costs more than what is put there: the system empties it, and a vector that grows
/// moves what it has.
#[derive(Debug, Default)]
struct Rooms {
    /// Empty ones, the last used last.
    kept: Vec<Vec<u8>>,
    /// What they hold together.
    bytes: usize,
}

impl Rooms {
    /// Memory with room for so many bytes: the least of what is kept that has it. Sizes are few, so that there soon is one.
    fn take(&mut self, bytes: usize) -> Vec<u8> {
        let fit = (0..self.kept.len()).rev();
        let fit = fit.filter(|&at| self.kept[at].capacity() >= bytes);
        match fit.min_by_key(|&at| self.kept[at].capacity()) {
            Some(at) => {
                let room = self.kept.remove(at);
                self.bytes -= room.capacity();
                room
            }
            None => Vec::with_capacity(bytes.next_power_of_two().max(LEAST_ROOM)),
        }
    }

    /// Keeps memory for the next ones; if that is too much, the least are let go of.
    fn give(&mut self, mut room: Vec<u8>) {
        room.clear();
        self.bytes += room.capacity();
        self.kept.push(room);
        while self.bytes > KEPT_BYTES {
            let least = (0..self.kept.len()).min_by_key(|&at| self.kept[at].capacity());
            let Some(least) = least else { return };
            self.bytes -= self.kept.remove(least).capacity();
        }
    }
}

impl Journal {
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

    /// Whether replicas get what is written down.
    #[inline]
    pub fn has_replicas(&self) -> bool {
        self.on.0.2.load(Relaxed)
    }

    /// From now on replicas get it, or no longer. With the locks of all shards held.
    pub fn give_replicas(&self, give: bool) {
        self.on.0.2.store(give, Relaxed);
    }

    /// A lane for a thread that runs commands.
    pub fn add_lane(&self) -> Arc<Lane> {
        // Asked here since it may take a while, and changes are written down with locks held.
        has_barrier();
        let number = self.numbered.fetch_add(1, Relaxed) + 1;
        let lane = Arc::new(Lane {
            number: number.min(LANE_MASK + 1),
            ..Lane::default()
        });
        let mut lanes = self.lanes.lock();
        // Those of threads that have ended and left nothing.
        lanes.retain(|lane| Arc::strong_count(lane) > 1 || !lane.units.take().runs.is_empty());
        lanes.push(lane.clone());
        lane
    }

    /// Bytes that wait in the lanes, or were taken from there and are in nobody else's count yet.
    pub fn waiting_bytes(&self) -> usize {
        let lanes = self.lanes.lock();
        let in_lanes: usize = lanes.iter().map(|lane| lane.bytes.load(Relaxed)).sum();
        in_lanes + self.taken.load(Relaxed)
    }

    /// What waits for the disk behind this has grown.
    pub fn log_has_grown(&self, bytes: impl Fn() -> usize) {
        self.queue.has_grown(|| (bytes(), self.waiting_bytes()));
    }

    /// What waits for the disk behind this has become less.
    pub fn log_has_got_to(&self, bytes: usize) {
        self.queue.has_got_to(bytes, || self.waiting_bytes());
    }

    /// Whoever took the last piece has given it on.
    pub fn is_given(&self) {
        self.taken.store(0, Relaxed);
    }

    /// Puts the records of a command that is done into a lane, stamped, and empties them. `held` calls what it is given with
    /// the clocks of all shards that are held, `clock` is the session's. Returns the number of the piece that they will be in.
    pub fn write_down(
        &self,
        lane: &Lane,
        records: &mut Records,
        held: impl Fn(&mut dyn FnMut(&Clock)),
        clock: &mut u64,
    ) -> u64 {
        debug_assert!(!records.is_empty(), "nothing was changed");
        let piece = self.stamped(lane, held, clock, |units, stamp| units.add(stamp, records));
        records.clear();
        piece
    }

    /// The same for one command that is in no records: its database, and what puts it there as [`put_command`] would.
    #[inline(always)]
    pub fn write_down_one(
        &self,
        lane: &Lane,
        (db, put): (usize, impl FnOnce(&mut Vec<u8>)),
        held: impl Fn(&mut dyn FnMut(&Clock)),
        clock: &mut u64,
    ) -> u64 {
        let add = |units: &mut Units, stamp| {
            put(&mut units.bytes);
            units.close(stamp, db as u32, 0);
        };
        self.stamped(lane, held, clock, add)
    }

    /// Adds a unit to a lane under the lock of the lane, with its stamp.
    #[inline(always)]
    fn stamped(
        &self,
        lane: &Lane,
        held: impl Fn(&mut dyn FnMut(&Clock)),
        clock: &mut u64,
        add: impl FnOnce(&mut Units, u64),
    ) -> u64 {
        let (piece, enough) = lane.units.with(|units| {
            let after = |clock: u64| {
                let by_others = clock & LANE_MASK != lane.number;
                (clock >> LANE_BITS) + u64::from(by_others)
            };
            let mut stamp = units.runs.last().map_or(0, |run| run.stamp);
            stamp = stamp.max(after(*clock));
            held(&mut |shard| stamp = stamp.max(after(shard.load(Relaxed))));
            let set = stamp << LANE_BITS | (lane.number & LANE_MASK);
            *clock = set;
            held(&mut |shard| shard.store(set, Relaxed));
            add(units, stamp);
            let bytes = units.bytes.len();
            let before = lane.bytes.load(Relaxed);
            lane.bytes.store(bytes, Relaxed);
            // The cut that takes this is the next one: it needs this lock.
            let piece = self.cuts.load(Relaxed) + 1;
            (piece, before / ENOUGH_BYTES != bytes / ENOUGH_BYTES)
        });
        if enough {
            self.has_enough();
        } else if self.asleep.0.load(Relaxed) {
            self.ring();
        }
        piece
    }

    /// Another megabyte is in a lane.
    #[cold]
    fn has_enough(&self) {
        self.queue.has_before(self.waiting_bytes());
        self.ring();
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
        // Whoever adds something had the lane's lock before this look has it, or sees after it that somebody sleeps.
        self.asleep.0.store(true, Relaxed);
        if !*held && self.is_empty() {
            self.bell.1.wait_for(&mut held, time);
        }
        self.asleep.0.store(false, Relaxed);
        *held = false;
    }

    /// Whether nothing is in any lane, by their locks.
    fn is_empty(&self) -> bool {
        let lanes = self.lanes.lock();
        lanes.iter().all(|lane| lane.units.take().runs.is_empty())
    }

    /// Lets the lanes fill: returns after this time, or as soon as somebody rings, or a megabyte waits. Whoever adds something
    /// meanwhile wakes nobody, which would cost it more than what it adds.
    pub fn nap(&self, time: Duration) {
        let mut held = self.bell.0.lock();
        if !*held && self.waiting_bytes() < ENOUGH_BYTES {
            self.bell.1.wait_for(&mut held, time);
        }
        *held = false;
    }

    /// Takes what is in all lanes. `db` is the database that the log is in, which SELECT changes: None if that is not known.
    /// None if there is nothing.
    pub fn cut(&self, db: &mut Option<usize>) -> Option<Piece> {
        self.is_given();
        let lanes = self.lanes.lock();
        let mut held = Owned::take_all(lanes.iter().map(|lane| &lane.units));
        if held
            .iter()
            .all(|units: &Taken<'_, Units>| units.runs.is_empty())
        {
            return None;
        }
        let number = self.cuts.load(Relaxed) + 1;
        self.cuts.store(number, Relaxed);
        let mut spare = self.spare.lock();
        let mut taken: Vec<Units> = Vec::new();
        for (units, lane) in held.iter_mut().zip(&*lanes) {
            if !units.runs.is_empty() {
                let empty = spare.0.pop().unwrap_or_default();
                taken.push(std::mem::replace(&mut **units, empty));
                lane.bytes.store(0, Relaxed);
            }
        }
        let bytes: usize = taken.iter().map(|u| u.bytes.len()).sum();
        self.taken.store(bytes, Relaxed);
        drop(held);
        drop(lanes);
        let mut piece = Piece {
            number,
            bytes: Vec::new(),
            partial: Vec::new(),
        };
        match &mut taken[..] {
            // One thread did all of it, and in this order.
            [one] if one.bytes.capacity() <= MOST_SWAPPED && one.is_plain(*db) => {
                // The lane is to have as much room as before: it would have to grow again.
                let room = spare.1.take(one.bytes.capacity());
                piece.bytes = std::mem::replace(&mut one.bytes, room);
            }
            _ => {
                piece.bytes = spare.1.take(bytes + 64);
                merge(&taken, db, &mut piece);
            }
        }
        for mut units in taken {
            units.clear();
            if units.bytes.capacity() <= KEPT_BYTES {
                spare.0.push(units);
            }
        }
        Some(piece)
    }

    /// Takes memory of a piece that is not needed any more for the next ones.
    pub fn reuse(&self, bytes: Vec<u8>) {
        self.spare.lock().1.give(bytes);
    }

    /// Lets go of the memory that is kept for the next cuts.
    pub fn let_go(&self) {
        let kept = std::mem::take(&mut *self.spare.lock());
        drop(kept);
    }

    /// The number of the last piece.
    pub fn last_piece(&self) -> u64 {
        self.cuts.load(Relaxed)
    }
}

/// Writes the units of all lanes as the log has them, by their stamps.
fn merge(lanes: &[Units], db: &mut Option<usize>, into: &mut Piece) {
    let mut readers: Vec<Reader<'_>> = lanes.iter().map(Reader::new).collect();
    while !readers.is_empty() {
        let mut first = 0;
        // Up to which stamp it goes on to be the first.
        let mut until = u64::MAX;
        for at in 1..readers.len() {
            if readers[at].stamp() < readers[first].stamp() {
                until = readers[first].stamp();
                first = at;
            } else {
                until = until.min(readers[at].stamp());
            }
        }
        if !readers[first].put_until(until, db, into) {
            readers.swap_remove(first);
        }
    }
}

/// A lane that is being written out.
struct Reader<'a> {
    lane: &'a Units,
    /// The next run, its first byte, and the next command of those that are listed.
    run: usize,
    byte: usize,
    command: usize,
}

impl Reader<'_> {
    /// At the first run of a lane, which has one.
    fn new(lane: &Units) -> Reader<'_> {
        Reader {
            lane,
            run: 0,
            byte: 0,
            command: 0,
        }
    }

    fn stamp(&self) -> u64 {
        self.lane.runs[self.run].stamp
    }

    /// Writes the next run and those whose stamps are not above this. False at the end of the lane.
    fn put_until(&mut self, stamp: u64, db: &mut Option<usize>, piece: &mut Piece) -> bool {
        let (bytes, into) = (&self.lane.bytes, &mut piece.bytes);
        // Those that stand as the log has them are copied together.
        let mut from = self.byte;
        loop {
            let run = self.lane.runs[self.run];
            if run.several != 0 || *db != Some(run.db as usize) {
                into.extend_from_slice(&bytes[from..self.byte]);
                from = self.byte;
            }
            if run.several == 0 {
                select(run.db as usize, db, into);
            } else {
                let last = self.command + run.several as usize;
                let commands = &self.lane.commands[self.command..last];
                for (n, w) in commands.iter().enumerate() {
                    select(w.db, db, into);
                    if n == 0 && run.several > 1 {
                        put_command(into, &[b"MULTI"]);
                    }
                    let from = into.len();
                    into.extend_from_slice(&bytes[self.byte..w.end]);
                    self.byte = w.end;
                    if w.readers != Readers::ALL {
                        piece.partial.push((from..into.len(), w.readers));
                    }
                }
                if run.several > 1 {
                    put_command(into, &[b"EXEC"]);
                }
                self.command = last;
                from = run.end;
            }
            self.byte = run.end;
            self.run += 1;
            let goes_on = match self.lane.runs.get(self.run) {
                None => false,
                Some(next) if next.stamp > stamp => true,
                Some(_) => continue,
            };
            into.extend_from_slice(&bytes[from..self.byte]);
            return goes_on;
        }
    }
}

/// Has the log go on in a database.
#[inline]
fn select(wanted: usize, db: &mut Option<usize>, into: &mut Vec<u8>) {
    if *db != Some(wanted) {
        *db = Some(wanted);
        let mut digits = [0; 20];
        let text = resp::number::format_i64(wanted as i64, &mut digits);
        put_command(into, &[b"SELECT", text]);
    }
}

impl Units {
    /// Adds the records of a command that is done.
    #[inline]
    fn add(&mut self, stamp: u64, records: &Records) {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(&records.bytes);
        let (mut db, mut several) = (0, 0);
        match &records.commands[..] {
            [one] if one.readers == Readers::ALL => db = one.db as u32,
            all => {
                several = all.len() as u32;
                self.commands.extend(all.iter().map(|w| Written {
                    end: from + w.end,
                    ..*w
                }));
            }
        }
        self.close(stamp, db, several);
    }

    /// What was added is a unit.
    #[inline]
    fn close(&mut self, stamp: u64, db: u32, several: u32) {
        let end = self.bytes.len();
        match self.runs.last_mut() {
            Some(run) if run.stamp == stamp && run.db == db && run.several | several == 0 => {
                run.end = end;
            }
            before => {
                self.mixed |= several != 0 || before.is_some_and(|before| before.db != db);
                self.runs.push(Run {
                    stamp,
                    end,
                    db,
                    several,
                });
            }
        }
        // The memory was last read by another thread: what the next one writes to is fetched while nobody waits for it.
        store::prefetch_room(&mut self.bytes, 3);
    }

    /// Whether the bytes stand as the log has them: single commands, all in this database.
    fn is_plain(&self, db: Option<usize>) -> bool {
        !self.mixed && self.runs.first().map(|run| run.db as usize) == db
    }

    fn clear(&mut self) {
        self.runs.clear();
        self.mixed = false;
        self.commands.clear();
        self.bytes.clear();
    }
}
