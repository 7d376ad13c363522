//! The keyspace: shards behind locks.
//!
//! The low bits of a key's hash choose its shard and the high bits its place in the shard's table, so the two are
//! independent. A shard holds its part of *every* database: MOVE, COPY between databases and SWAPDB then need no
//! locks beyond those of their keys' shards, and one order of locks is enough for everything.
//!
//! Who only looks can often do without the lock: see [`crate::shard::readers`]. The roots that prefetching starts from (see
//! [`crate::table::Probe`]) and the counts of keys and bytes are kept apart from the locks, for those who do not hold them.

use crate::dict::{Board, Counts};
use crate::shard::guarded::{Guarded, Padded, Readers, Slot};
use crate::shard::locks::{Escalation, Indices, Lockable, Many};
use crate::shard::parked::Turn;
use crate::shard::place::Place;
use crate::shard::readers::{Slots, Word};
use crate::table::{Probe, table_hash};
use foldhash::quality::FixedState;
use parking_lot::Mutex;
use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Waker;
use std::time::{Duration, Instant};

pub use crate::shard::guarded::{Shard, ShardGuard, ShardGuards, ShardLoad};

/// Threads that can look at open shards at a time; further ones take locks.
const READERS: usize = 128;

thread_local! {
    /// The address of the keyspace that this thread is looking at, or 0.
    static LOOKING: Cell<usize> = const { Cell::new(0) };
}

/// That this thread looks at a shard. A look may be one of another keyspace.
struct Looking {
    outer: usize,
}

impl Looking {
    #[inline]
    fn at(keyspace: &Keyspace) -> Looking {
        let at = &raw const *keyspace as usize;
        let outer = LOOKING.get();
        assert!(
            outer != at,
            "a look at a shard inside another look, which could wait for itself"
        );
        LOOKING.set(at);
        Looking { outer }
    }
}

impl Drop for Looking {
    #[inline]
    fn drop(&mut self) {
        LOOKING.set(self.outer);
    }
}

/// All keys of all databases. See the module's page.
pub struct Keyspace {
    /// The shards, and behind them the token, a lock without keys.
    locks: Arc<[Padded<Guarded>]>,
    /// Number of shards less one.
    mask: usize,
    readers: Arc<Readers>,
    registering: Mutex<()>,
    board: Arc<Board>,
    databases: usize,
    hasher: FixedState,
    escalation: Escalation,
}

/// The right to wait for a shard's lock while holding others: see [`crate::shard::locks`].
pub struct Token<'a> {
    _held: ShardGuard<'a>,
}

/// The place of somebody who waits for locks and is no thread that could stand still: see [`crate::shard::parked`]. It leaves
/// the lines when it is dropped.
pub struct Ticket {
    locks: Arc<[Padded<Guarded>]>,
    turn: Turn,
    /// The lock it stands for, and since when.
    stands: Option<(usize, Instant)>,
}

impl Ticket {
    /// Waits for the lock that could not be had: `index` is that of a shard, or [`Keyspace::token_index`]. As soon as it may be
    /// tried for again `waker` is woken, perhaps before this returns. Nothing is held meanwhile.
    pub fn stand(&mut self, index: usize, waker: Waker) {
        self.note_wait();
        self.stands = Some((index, Instant::now()));
        self.turn.set_waker(waker);
        self.turn.stand(index, |i| self.locks[i].0.line());
    }

    /// Whether its waker was woken since it began to stand.
    pub fn is_called(&self) -> bool {
        self.stands
            .is_some_and(|(index, _)| self.turn.is_called(self.locks[index].0.line()))
    }
}

impl Ticket {
    /// Books the time since it stood to the lock that it stood for.
    fn note_wait(&mut self) {
        if let Some((index, since)) = self.stands.take() {
            self.locks[index].0.note_wait(0, since.elapsed());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.note_wait();
        self.turn.leave(|i| self.locks[i].0.line());
    }
}

impl Keyspace {
    /// `shards` is rounded up to a power of two. `seed` should be unpredictable: it keeps outsiders from finding keys
    /// that collide.
    ///
    /// # Panics
    /// If `databases` is zero.
    pub fn new(shards: usize, databases: usize, seed: u64) -> Keyspace {
        assert!(databases > 0);
        let shards = shards.clamp(1, 1 << 16).next_power_of_two();
        let board = Arc::new(Board::new(shards, databases));
        let readers = Arc::new(Slots {
            slots: (0..READERS).map(|_| Slot::default()).collect(),
            used: AtomicUsize::new(0),
        });
        let locks = (0..=shards)
            .map(|i| {
                let shard = match i < shards {
                    true => Shard::new(&board, i, databases),
                    false => Shard::without_keys(),
                };
                Padded(Guarded::new(i, shard, &readers))
            })
            .collect();
        Keyspace {
            locks,
            mask: shards - 1,
            readers,
            registering: Mutex::new(()),
            board,
            databases,
            hasher: FixedState::with_seed(seed),
            escalation: Escalation::default(),
        }
    }

    /// An empty keyspace that hashes keys alike and has as many shards and databases, so that contents can be exchanged with it
    /// ([`Shard::swap_with`]).
    pub fn twin(&self) -> Keyspace {
        let mut twin = Keyspace::new(self.shards(), self.databases(), 0);
        twin.hasher.clone_from(&self.hasher);
        twin
    }

    /// Number of shards: a power of two.
    pub fn shards(&self) -> usize {
        self.mask + 1
    }

    /// Number of databases.
    pub fn databases(&self) -> usize {
        self.databases
    }

    /// Where a key belongs. It takes going through the key's bytes: once is enough.
    #[inline]
    pub fn place(&self, key: &[u8]) -> Place {
        #[cfg(debug_assertions)]
        crate::shard::place::count::one_more();
        let mut h = self.hasher.build_hasher();
        h.write(key);
        self.place_of(h.finish())
    }

    /// Where a key with this hash belongs.
    #[inline]
    pub fn place_of(&self, hash: u64) -> Place {
        Place::new(hash, hash as usize & self.mask)
    }

    /// Waits for a shard's lock.
    #[inline]
    pub fn lock(&self, shard: usize) -> ShardGuard<'_> {
        self.locks[shard].0.acquire()
    }

    /// Lets `look` see a shard, if possible without taking its lock: see [`crate::shard::readers`]. `look` must not lock
    /// anything of this keyspace.
    ///
    /// # Panics
    /// If this is called from within `look`, which might wait for ever for a lock that is held further out.
    #[inline]
    pub fn read<R>(&self, shard: usize, look: impl FnOnce(&Shard) -> R) -> R {
        let _looking = Looking::at(self);
        let reader = crate::shard::threads::number();
        match self.locks[shard].0.enter(reader) {
            Some(entered) => look(entered.shard()),
            None => self.read_locked(shard, reader, look),
        }
    }

    #[cold]
    fn read_locked<R>(&self, shard: usize, reader: usize, look: impl FnOnce(&Shard) -> R) -> R {
        self.locks[shard]
            .0
            .look_locked(look, || self.register(reader))
    }

    fn register(&self, reader: usize) -> bool {
        if reader < Word::load(&self.readers.used) || reader >= READERS {
            return reader < READERS;
        }
        let _alone = self.registering.lock();
        self.readers.register(reader)
    }

    /// Takes a shard's lock if nobody has it, or has been passed over at it often.
    #[inline]
    pub fn try_lock(&self, shard: usize) -> Option<ShardGuard<'_>> {
        self.locks[shard].0.try_acquire()
    }

    /// Takes a shard's lock if that is possible within some tens of microseconds. Whoever has been waiting shows its ticket, and
    /// if it is not possible [stands](Ticket::stand) for that shard again.
    #[cold]
    pub fn lock_soon(&self, shard: usize, ticket: Option<&mut Ticket>) -> Option<ShardGuard<'_>> {
        self.locks[shard]
            .0
            .acquire_soon(ticket.map(|t| &mut t.turn))
    }

    /// Waits for a shard's lock no longer than this. The thread stands still meanwhile.
    #[cold]
    pub fn lock_for(&self, shard: usize, patience: Duration) -> Option<ShardGuard<'_>> {
        self.locks[shard].0.acquire_for(patience)
    }

    /// Waits for the locks of several shards, given in any order. The thread stands still meanwhile.
    pub fn lock_many(&self, wanted: &mut Indices) -> ShardGuards<'_> {
        match Many::wait(wanted, |i| &self.locks[i].0, &self.escalation, None) {
            Some(held) => held,
            None => unreachable!("only an impatient wait ends without the locks"),
        }
    }

    /// The same, for no longer than this.
    pub fn lock_many_for(
        &self,
        wanted: &mut Indices,
        patience: Duration,
    ) -> Option<ShardGuards<'_>> {
        let until = Instant::now().checked_add(patience);
        Many::wait(wanted, |i| &self.locks[i].0, &self.escalation, until)
    }

    /// Takes the locks of several shards, given in any order, if that is possible within some tens of microseconds. If it is
    /// not, nothing is held, and the error is the shard that whoever means to wait [stands](Ticket::stand) for.
    pub fn lock_many_soon(
        &self,
        wanted: &mut Indices,
        ticket: Option<&mut Ticket>,
    ) -> Result<ShardGuards<'_>, usize> {
        let turn = ticket.map(|t| &mut t.turn);
        Many::attempt(wanted, |i| &self.locks[i].0, &self.escalation, turn)
    }

    /// Waits for the locks of all shards. The thread stands still meanwhile.
    pub fn lock_all(&self) -> ShardGuards<'_> {
        let mut wanted = (0..self.shards()).collect();
        self.lock_many(&mut wanted)
    }

    /// Takes one more lock if that is possible within some tens of microseconds; true if it is held now.
    pub fn reach<'a>(&'a self, held: &mut ShardGuards<'a>, shard: usize) -> bool {
        held.reach(shard, &self.locks[shard].0)
    }

    /// Waits for one more lock; `long` is called once that has taken some time.
    pub fn escalate<'a>(
        &'a self,
        held: &mut ShardGuards<'a>,
        shard: usize,
        _token: &Token<'a>,
        long: &mut dyn FnMut(),
    ) {
        held.escalate(shard, &self.locks[shard].0, &self.escalation, long);
    }

    /// What whoever waits for the token [stands](Ticket::stand) for.
    pub fn token_index(&self) -> usize {
        self.shards()
    }

    /// Takes the right to escalate if nobody has it.
    pub fn try_token(&self) -> Option<Token<'_>> {
        let held = self.locks[self.token_index()].0.try_acquire()?;
        Some(Token { _held: held })
    }

    /// The same if that is possible within some tens of microseconds. The caller holds no shard.
    pub fn token_soon(&self, ticket: Option<&mut Ticket>) -> Option<Token<'_>> {
        let held = self.lock_soon(self.token_index(), ticket)?;
        Some(Token { _held: held })
    }

    /// A place behind all who wait. It is in no line yet.
    pub fn ticket(&self) -> Ticket {
        Ticket {
            locks: self.locks.clone(),
            turn: Turn::new(Waker::noop().clone()),
            stands: None,
        }
    }

    /// First step of prefetching a key: takes no lock.
    #[inline]
    pub fn probe(&self, db: usize, place: Place) -> Probe {
        let (root, h) = self.root_for(db, place);
        Probe::start(root, h)
    }

    /// The same, but the key's bucket is only found, for [`fetch_all`](crate::table::fetch_all).
    #[inline]
    pub fn find_home(&self, db: usize, place: Place) -> (Probe, u64) {
        let (root, h) = self.root_for(db, place);
        (Probe::new(root, h), h)
    }

    /// Fetches the shard's lock; returns the root of the table that a key belongs to, and its hash there.
    #[inline]
    fn root_for(&self, db: usize, place: Place) -> (u64, u64) {
        self.locks[place.shard()].0.fetch();
        let root = self.board.root(db, place.shard());
        (root, table_hash(place.hash()))
    }

    /// Makes room in the tables for so many keys of a database in all: see [`Dict::reserve`](crate::Dict::reserve). Takes each shard's lock for a moment.
    pub fn reserve(&self, db: usize, keys: usize) {
        for shard in 0..self.shards() {
            self.lock(shard)
                .db(db)
                .reserve(keys.div_ceil(self.shards()));
        }
    }

    /// What there is of a database, without taking a lock: shard after shard, so exact if nobody changes it meanwhile.
    pub fn counts(&self, db: usize) -> Counts {
        let mut total = Counts::default();
        for shard in 0..self.shards() {
            let part = self.board.counts(db, shard);
            total.keys += part.keys;
            total.expiring += part.expiring;
            total.bytes = total.bytes.wrapping_add(part.bytes);
            total.table_bytes += part.table_bytes;
        }
        total
    }

    /// What a shard's lock has had to do, without taking it. [`Keyspace::token_index`]: the token.
    pub fn shard_load(&self, shard: usize) -> ShardLoad {
        self.locks[shard].0.load()
    }

    /// Number of keys that are never to be evicted, without taking a lock.
    pub fn kept(&self) -> usize {
        self.board.kept()
    }

    /// Number of a database's keys with elements that expire, without taking a lock.
    pub fn timed(&self, db: usize) -> usize {
        self.board.timed(db)
    }

    /// What there is of a database in one shard, without taking its lock.
    pub fn shard_counts(&self, db: usize, shard: usize) -> Counts {
        self.board.counts(db, shard)
    }

    /// Bytes in use of a shard, without taking its lock.
    #[inline]
    pub fn shard_bytes(&self, shard: usize) -> usize {
        self.board.bytes(shard)
    }

    /// Bytes of all slab pages that are free slots, without taking a lock: held beside [`Keyspace::bytes`].
    pub fn idle_bytes(&self) -> usize {
        (0..self.shards()).fold(0, |sum, shard| sum.wrapping_add(self.board.idle(shard)))
    }

    /// The same of one shard.
    pub fn shard_idle_bytes(&self, shard: usize) -> usize {
        self.board.idle(shard)
    }

    /// Bytes in use of all databases, without taking a lock.
    pub fn bytes(&self) -> usize {
        (0..self.shards()).fold(0, |sum, shard| sum.wrapping_add(self.board.bytes(shard)))
    }

    /// Number of keys in a database: see [`Keyspace::counts`].
    pub fn len(&self, db: usize) -> usize {
        self.counts(db).keys
    }

    /// Whether a database has no key.
    pub fn is_empty(&self, db: usize) -> bool {
        self.len(db) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dict::Dict;
    use crate::dict::{NewValue, Value};
    use crate::shard::guarded::READS_TO_OPEN;
    use std::sync::atomic::Ordering::Relaxed;

    fn put(ks: &Keyspace, db: usize, key: &[u8], n: i64) {
        let place = ks.place(key);
        let h = place.hash();
        ks.lock(place.shard())
            .db(db)
            .set(h, key, NewValue::Int(n), None, 0);
    }

    fn get(ks: &Keyspace, db: usize, key: &[u8]) -> Option<i64> {
        let place = ks.place(key);
        let h = place.hash();
        let mut shard = ks.lock(place.shard());
        match shard.db(db).get(h, key)?.value() {
            Value::Int(i) => Some(i),
            _ => None,
        }
    }

    #[test]
    fn databases_swap_and_empty() {
        let ks = Keyspace::new(8, 4, 1);
        for i in 0..1000 {
            put(&ks, 0, format!("k{i}").as_bytes(), i);
        }
        put(&ks, 3, b"other", 5);
        for s in ks.lock_all().iter_mut() {
            s.swap_dbs(3, 0);
        }
        assert_eq!((ks.len(0), ks.len(3)), (1, 1000));
        let parts = |of: &dyn Fn(&Dict) -> usize| -> usize {
            (0..ks.shards())
                .map(|s| {
                    let shard = ks.lock(s);
                    (0..4).map(|db| of(shard.db_ref(db))).sum::<usize>()
                })
                .sum()
        };
        assert_eq!(ks.bytes(), parts(&Dict::bytes));
        assert_eq!(ks.counts(3).bytes + ks.counts(0).bytes, ks.bytes());
        assert_eq!(ks.shard_counts(3, 5).keys, ks.lock(5).db(3).len());
        assert_eq!(get(&ks, 3, b"k7"), Some(7));
        assert_eq!(get(&ks, 0, b"other"), Some(5));
        let taken: Vec<Dict> = ks.lock_all().iter_mut().map(|s| s.take_db(3)).collect();
        assert_eq!(taken.iter().map(Dict::len).sum::<usize>(), 1000);
        assert_eq!(ks.counts(3), Counts::default());
        assert!(ks.is_empty(3));
    }

    fn peek(ks: &Keyspace, key: &[u8]) -> Option<Vec<u8>> {
        let place = ks.place(key);
        let h = place.hash();
        ks.read(place.shard(), |shard| {
            match shard.db_ref(0).get(h, key)?.value() {
                Value::Inline(b) => Some(b.to_vec()),
                _ => None,
            }
        })
    }

    #[test]
    fn shards_open_to_readers_and_close_to_writers() {
        let ks = Keyspace::new(1, 1, 3);
        let open = || ks.locks[0].0.is_open();
        put(&ks, 0, b"k", 1);
        for _ in 0..READS_TO_OPEN {
            assert!(!open());
            peek(&ks, b"k");
        }
        assert!(open());
        assert!(open());
        put(&ks, 0, b"k", 2);
        assert!(!open());
    }

    fn message(panic: Box<dyn std::any::Any + Send>) -> String {
        panic.downcast_ref::<&str>().map_or_else(
            || panic.downcast_ref::<String>().cloned().unwrap_or_default(),
            |s| (*s).to_owned(),
        )
    }

    /// Otherwise they would wait for themselves as soon as a writer comes between.
    #[test]
    fn a_look_or_a_lock_inside_a_look_panics() {
        let ks = Keyspace::new(2, 1, 3);
        let open = |shard: usize| ks.locks[shard].0.is_open();
        let look = |f: &dyn Fn()| {
            let run = std::panic::AssertUnwindSafe(|| ks.read(0, |_| f()));
            message(std::panic::catch_unwind(run).expect_err("it was let in"))
        };
        for opened in [false, true] {
            assert_eq!(open(0), opened);
            for inner in [0, 1] {
                let text = look(&|| ks.read(inner, |_| ()));
                assert!(text.contains("inside another look"), "{text}");
            }
            while !open(0) {
                ks.read(0, |_| ());
            }
        }
        let text = look(&|| drop(ks.lock(0)));
        assert!(text.contains("lock was taken inside a look"), "{text}");
        // What panicked has let go of everything; and another keyspace may be looked at meanwhile.
        let other = Keyspace::new(1, 1, 4);
        ks.read(0, |_| other.read(0, |_| ()));
        put(&ks, 0, b"k", 2);
        assert!(!open(0));
    }

    /// Values change size and place, and come and go, while others look without a lock.
    #[test]
    fn readers_beside_writers_see_whole_values() {
        let ks = Arc::new(Keyspace::new(2, 1, 9));
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (ks, stop) = (ks.clone(), stop.clone());
                std::thread::spawn(move || {
                    let mut seen = 0;
                    while !stop.load(Relaxed) {
                        for key in 0..20u8 {
                            if let Some(v) = peek(&ks, &[key]) {
                                assert!(v.iter().all(|b| *b == v[0]), "half of two values: {v:?}");
                                seen += 1;
                            }
                        }
                    }
                    seen
                })
            })
            .collect();
        let rounds = if cfg!(feature = "memcheck") {
            300
        } else {
            20_000
        };
        for i in 0..rounds {
            let key = [(i % 20) as u8];
            let place = ks.place(&key);
            let h = place.hash();
            let mut shard = ks.lock(place.shard());
            if i % 7 == 0 {
                if let Some(found) = shard.db(0).find(h, &key) {
                    found.change().remove();
                }
            } else {
                let value = vec![i as u8; 1 + i % 90];
                shard.db(0).set(h, &key, NewValue::Inline(&value), None, 0);
            }
            drop(shard);
            if i % 500 == 0 {
                // Lets the shards open.
                while !ks.locks[..2].iter().all(|s| s.0.is_open()) {
                    std::thread::yield_now();
                }
            }
        }
        stop.store(true, Relaxed);
        assert!(readers.into_iter().map(|r| r.join().unwrap()).sum::<i32>() > 0);
    }

    /// Prefetching runs beside writers that grow, shrink and flush the tables it looks at.
    #[test]
    fn probing_beside_writers_is_harmless() {
        let ks = Arc::new(Keyspace::new(2, 1, 9));
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let prober = {
            let (ks, stop) = (ks.clone(), stop.clone());
            std::thread::spawn(move || {
                let mut n = 0u64;
                while !stop.load(Relaxed) {
                    let place = ks.place(&n.to_le_bytes());
                    let h = place.hash();
                    ks.probe(0, place).entry(table_hash(h), n.is_multiple_of(2));
                    n += 1;
                }
                n
            })
        };
        for _ in 0..if cfg!(feature = "memcheck") { 2 } else { 30 } {
            for i in 0..10_000u64 {
                put(&ks, 0, &i.to_le_bytes(), i as i64);
            }
            for i in 0..5_000u64 {
                assert_eq!(get(&ks, 0, &i.to_le_bytes()), Some(i as i64));
                let place = ks.place(&i.to_le_bytes());
                let h = place.hash();
                ks.lock(place.shard())
                    .db(0)
                    .find(h, &i.to_le_bytes())
                    .unwrap()
                    .change()
                    .remove();
            }
            drop(
                ks.lock_all()
                    .iter_mut()
                    .map(|s| s.take_db(0))
                    .collect::<Vec<_>>(),
            );
        }
        stop.store(true, Relaxed);
        assert!(prober.join().unwrap() > 0);
    }
}
