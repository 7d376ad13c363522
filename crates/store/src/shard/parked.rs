//! A lock with a line: who cannot have it leaves a number and a waker, and whoever lets go of it calls the first of the line.
//!
//! Nobody who has others to serve can stand still at a lock, and nobody should come back every millisecond to look. So a
//! waiter here need not be a thread: it is an entry in the lock's [`Line`] with a [`Waker`], which wakes a task of a runtime
//! or a thread alike. The owner of the entry tries again when it is called, and moves to the line of another lock if it
//! then wants for that one.
//!
//! # Order
//! Entries stand in the order of their numbers, which are given out when a wait begins and kept as long as it lasts,
//! whatever line it is at. Somebody who comes along while the lock is free may take it before the one who was called, which
//! costs less than to have the lock stand idle until that one is there. But whoever was passed over [`CLAIM_AFTER`]
//! times makes a *claim*: from then on the lock can be taken only by those whose number is lower, and by the owner of the claim.
//! Whoever waits for several locks claims each that it comes to, so it gets all of them unless one is held for long; it
//! waits for that one with nothing else in its hands. If that happens to it [`KEEP_AFTER`] times, because long holders alternate,
//! it keeps its claims where it has been. The lowest number is barred by nobody, so no two claims can wait for each other.
//!
//! Number 0 is that of the one who may wait while it holds other locks (see [`crate::shard::locks`]): it comes first, and
//! always claims.
//!
//! # Why no call is lost
//! Whether the lock is held and whether its line has entries are bits of one word. Letting go is one exchange of
//! "held, no line" for nothing, which is all that it costs while nobody waits; it fails if there is a line. Whoever joins
//! the line sets its bit first and looks then: if the lock was held at that moment, its holder will find the bit; if not, the
//! first of the line is called at once. All changes of a line happen under a mutex of its own, under which the calls are
//! decided too. Somebody who was called and does not come (its client is gone) leaves the line, and leaving calls the next.

use parking_lot::lock_api::{GuardSend, RawMutex};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Who was passed over so often makes a claim.
pub(crate) const CLAIM_AFTER: u32 = 3;

/// Who was passed over so often keeps its claims while it waits elsewhere.
pub(crate) const KEEP_AFTER: u32 = 12;

/// How long a lock is tried for before its line is joined: longer than nearly every command takes, and short enough for
/// a thread that has others to serve.
const SOON: Duration = Duration::from_micros(30);

/// The number of the one who may wait while it holds locks.
pub(super) const FIRST: u64 = 0;

/// Somebody has the lock.
const HELD: usize = 1;
/// The line has entries.
const LINE: usize = 2;
/// One of them is a claim.
const CLAIMED: usize = 4;

/// The word of a lock: an atomic integer, or what a model checker has in its place.
pub trait Word {
    /// Reads it.
    fn load(&self) -> usize;
    /// Exchanges it for another value if it has this one, else returns what it has. Acquires if `new` is a lock that is
    /// held, else releases.
    fn exchange(&self, current: usize, new: usize) -> Result<(), usize>;
    /// Sets bits.
    fn set(&self, bits: usize);
    /// Clears bits; releases.
    fn clear(&self, bits: usize);
}

impl Word for AtomicUsize {
    #[inline]
    fn load(&self) -> usize {
        AtomicUsize::load(self, Relaxed)
    }
    #[inline]
    fn exchange(&self, current: usize, new: usize) -> Result<(), usize> {
        let order = if new & HELD != 0 { Acquire } else { Release };
        self.compare_exchange(current, new, order, Relaxed)
            .map(drop)
    }
    fn set(&self, bits: usize) {
        self.fetch_or(bits, Relaxed);
    }
    fn clear(&self, bits: usize) {
        self.fetch_and(!bits, Release);
    }
}

/// A queue that threads share.
pub trait Shared {
    /// Works on it, alone.
    fn with<R>(&self, f: impl FnOnce(&mut Queue) -> R) -> R;
}

impl Shared for parking_lot::Mutex<Queue> {
    fn with<R>(&self, f: impl FnOnce(&mut Queue) -> R) -> R {
        f(&mut self.lock())
    }
}

/// What lines are made of, and how a thread waits: the real thing, or a model checker's.
pub trait Parts {
    /// The word.
    type Word: Word;
    /// The queue.
    type Queue: Shared;
    /// Since when one has been trying.
    type Since: Default;
    /// Lets a moment pass; false if it has been trying for long enough.
    fn pause(since: &mut Self::Since) -> bool;
    /// Wakes the calling thread out of [`Parts::sleep`].
    fn waker() -> Waker;
    /// Sleeps until woken, or at least for some time. May return for no reason.
    fn sleep(most: Option<Duration>);
}

/// Atomic integers and the system's threads.
pub struct Real;

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    static UNPARK: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// A waker that unparks the calling thread.
pub fn this_thread() -> Waker {
    let new = || Waker::from(Arc::new(Unpark(std::thread::current())));
    let kept = UNPARK.try_with(|kept| kept.borrow_mut().get_or_insert_with(new).clone());
    // In a thread that is ending.
    kept.unwrap_or_else(|_| new())
}

impl Parts for Real {
    type Word = AtomicUsize;
    type Queue = parking_lot::Mutex<Queue>;
    type Since = Option<Instant>;

    fn pause(since: &mut Option<Instant>) -> bool {
        let began = *since.get_or_insert_with(Instant::now);
        for _ in 0..8 {
            std::hint::spin_loop();
        }
        began.elapsed() < SOON
    }

    fn waker() -> Waker {
        this_thread()
    }

    fn sleep(most: Option<Duration>) {
        match most {
            Some(most) => std::thread::park_timeout(most),
            None => std::thread::park(),
        }
    }
}

/// One who waits.
struct Entry {
    number: u64,
    waker: Waker,
    /// It has been called and has not said since that it could not have the lock.
    called: bool,
    /// Higher numbers stand back.
    claims: bool,
    /// It waits here. Else it has only left its claim.
    here: bool,
}

/// Those who wait for one lock, the lowest number first.
#[derive(Default)]
pub struct Queue {
    entries: Vec<Entry>,
}

impl Queue {
    const fn new() -> Queue {
        Queue {
            entries: Vec::new(),
        }
    }

    /// The entry of this number, which is made if there is none.
    fn entry(&mut self, number: u64, waker: &Waker) -> &mut Entry {
        let at = match self.entries.binary_search_by_key(&number, |e| e.number) {
            Ok(at) => {
                self.entries[at].waker.clone_from(waker);
                at
            }
            Err(at) => {
                let entry = Entry {
                    number,
                    waker: waker.clone(),
                    called: false,
                    claims: false,
                    here: true,
                };
                self.entries.insert(at, entry);
                at
            }
        };
        &mut self.entries[at]
    }
}

/// A lock with its line. See the module's page.
pub struct Line<P: Parts = Real> {
    word: P::Word,
    queue: P::Queue,
}

impl<P: Parts> Line<P> {
    /// A lock that nobody has: the word is 0 and the queue empty.
    pub const fn of(word: P::Word, queue: P::Queue) -> Line<P> {
        Line { word, queue }
    }

    /// Whether nobody has it and nobody is in its line.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.word.load() == 0
    }

    /// Takes the lock if nobody has it or claims it.
    #[inline]
    pub fn try_lock(&self) -> bool {
        match self.word.exchange(0, HELD) {
            Ok(()) => true,
            Err(seen) => self.try_beside_line(seen),
        }
    }

    #[cold]
    fn try_beside_line(&self, mut seen: usize) -> bool {
        while seen & (HELD | CLAIMED) == 0 {
            match self.word.exchange(seen, seen | HELD) {
                Ok(()) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Takes the lock if nobody has it and no lower number claims it.
    pub(crate) fn try_lock_as(&self, number: u64) -> bool {
        self.queue.with(|queue| {
            let mut before = queue.entries.iter().take_while(|e| e.number < number);
            if before.any(|e| e.claims) {
                return false;
            }
            loop {
                let seen = self.word.load();
                if seen & HELD != 0 {
                    return false;
                }
                if self.word.exchange(seen, seen | HELD).is_ok() {
                    return true;
                }
            }
        })
    }

    /// Whether it is worth while to try.
    #[inline]
    pub(crate) fn may_be_free(&self) -> bool {
        self.word.load() & HELD == 0
    }

    /// Lets go of the lock, which the caller has.
    #[inline]
    pub(crate) fn unlock(&self) {
        if self.word.exchange(HELD, 0).is_err() {
            self.unlock_and_call();
        }
    }

    #[cold]
    fn unlock_and_call(&self) {
        self.change(|_, word| word.clear(HELD));
    }

    /// Changes the line and calls its first if the lock is free.
    fn change<R>(&self, f: impl FnOnce(&mut Queue, &P::Word) -> R) -> R {
        let (result, called) = self.queue.with(|queue| {
            let result = f(queue, &self.word);
            (result, self.first_to_call(queue))
        });
        if let Some(waker) = called {
            waker.wake();
        }
        result
    }

    fn first_to_call(&self, queue: &mut Queue) -> Option<Waker> {
        let first = queue.entries.first_mut()?;
        if self.word.load() & HELD != 0 || !first.here || first.called {
            return None;
        }
        first.called = true;
        Some(first.waker.clone())
    }

    /// Waits in the line under this number, or goes on to. It may be called before this returns.
    fn stand(&self, number: u64, waker: &Waker, claims: bool) {
        self.change(|queue, word| {
            let entry = queue.entry(number, waker);
            (entry.called, entry.here) = (false, true);
            entry.claims |= claims;
            word.set(if entry.claims { LINE | CLAIMED } else { LINE });
        });
    }

    /// Has higher numbers stand back while the owner of this one is trying.
    fn claim(&self, number: u64, waker: &Waker) {
        self.change(|queue, word| {
            let entry = queue.entry(number, waker);
            (entry.called, entry.here, entry.claims) = (true, true, true);
            word.set(LINE | CLAIMED);
        });
    }

    /// Leaves the claim of this number in the line while its owner waits elsewhere.
    fn keep(&self, number: u64, waker: &Waker) {
        self.change(|queue, word| {
            let entry = queue.entry(number, waker);
            (entry.here, entry.claims) = (false, true);
            word.set(LINE | CLAIMED);
        });
    }

    /// Leaves the line.
    fn leave(&self, number: u64) {
        self.change(|queue, word| {
            queue.entries.retain(|e| e.number != number);
            if queue.entries.is_empty() {
                word.clear(LINE | CLAIMED);
            } else if queue.entries.iter().all(|e| !e.claims) {
                word.clear(CLAIMED);
            }
        });
    }

    /// Whether the owner of this number was called since it began to wait here.
    fn has_called(&self, number: u64) -> bool {
        self.queue.with(|queue| {
            let mut entries = queue.entries.iter();
            entries.any(|e| e.number == number && e.called)
        })
    }

    /// Takes the lock if that is possible within some tens of microseconds.
    pub fn lock_soon(&self) -> bool {
        self.soon(None)
    }

    /// The same for one who may have waited.
    pub(super) fn soon(&self, number: Option<u64>) -> bool {
        let mut since = P::Since::default();
        loop {
            if self.may_be_free()
                && (self.try_lock() || number.is_some_and(|number| self.try_lock_as(number)))
            {
                return true;
            }
            if !P::pause(&mut since) {
                return false;
            }
        }
    }

    /// Has this thread wait for the lock.
    #[cold]
    pub fn wait(&self) {
        let mut turn = Turn::new(P::waker());
        while !self.soon(Some(turn.number)) {
            turn.stand(0, |_| self);
            P::sleep(None);
        }
        turn.leave(|_| self);
    }

    /// The same, for no longer than this; whether it has the lock.
    pub fn wait_for(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut turn = Turn::new(P::waker());
        let taken = loop {
            if self.soon(Some(turn.number)) {
                break true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break false;
            }
            turn.stand(0, |_| self);
            P::sleep(Some(left));
        };
        turn.leave(|_| self);
        taken
    }

    /// Has this thread wait for the lock before everybody else. `long` is called once that has taken some time.
    pub(super) fn wait_as_first(&self, long: &mut dyn FnMut()) {
        /// How long is long.
        const LONG: Duration = Duration::from_micros(300);
        let waker = P::waker();
        let (mut most, mut told) = (Some(LONG), false);
        self.stand(FIRST, &waker, true);
        while !self.try_lock_as(FIRST) {
            P::sleep(most);
            if !told && !self.may_be_free() {
                told = true;
                long();
            }
            most = None;
            self.stand(FIRST, &waker, true);
        }
        self.leave(FIRST);
    }
}

// SAFETY: `try_lock` and `lock` return with HELD set by this caller, by an exchange of a word without it, and nobody clears
// HELD but `unlock`. Setting it acquires and clearing it releases.
unsafe impl RawMutex for Line {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Line = Line::of(AtomicUsize::new(0), parking_lot::Mutex::new(Queue::new()));
    type GuardMarker = GuardSend;

    #[inline]
    fn lock(&self) {
        if !Line::try_lock(self) {
            self.wait();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        Line::try_lock(self)
    }

    #[inline]
    unsafe fn unlock(&self) {
        Line::unlock(self);
    }
}

/// Numbers that have been given out.
static NUMBERS: AtomicU64 = AtomicU64::new(FIRST);

/// The place of somebody who waits, which it keeps until it has what it waits for. Whoever is done with one calls
/// [`Turn::leave`].
pub struct Turn {
    pub(super) number: u64,
    waker: Waker,
    /// How often it had to wait again.
    passed: u32,
    /// It waits, or did.
    stood: bool,
    /// The locks in whose lines it has an entry.
    places: SmallVec<[usize; 2]>,
}

impl Turn {
    /// Behind all others.
    pub fn new(waker: Waker) -> Turn {
        Turn {
            number: NUMBERS.fetch_add(1, Relaxed) + 1,
            waker,
            passed: 0,
            stood: false,
            places: SmallVec::new(),
        }
    }

    /// Has another waker called from the next time on that it waits.
    pub fn set_waker(&mut self, waker: Waker) {
        self.waker = waker;
    }

    /// Whether it has been passed over so often that others are to stand back.
    pub(super) fn claims(&self) -> bool {
        self.passed >= CLAIM_AFTER
    }

    /// Claims a lock that it is about to try, if it may.
    pub(super) fn come_to<P: Parts>(&mut self, index: usize, line: &Line<P>) {
        if self.claims() {
            line.claim(self.number, &self.waker);
            if !self.places.contains(&index) {
                self.places.push(index);
            }
        }
    }

    /// Waits for lock `index`, which it could not have. It may be called before this returns.
    pub fn stand<'a, P: Parts + 'a>(&mut self, index: usize, line: impl Fn(usize) -> &'a Line<P>) {
        self.passed += u32::from(self.stood);
        self.stood = true;
        let keeps = self.passed >= KEEP_AFTER;
        for place in std::mem::take(&mut self.places) {
            if place == index {
            } else if keeps {
                line(place).keep(self.number, &self.waker);
                self.places.push(place);
            } else {
                line(place).leave(self.number);
            }
        }
        self.places.push(index);
        line(index).stand(self.number, &self.waker, self.claims());
    }

    /// Whether it could not have this lock before.
    pub(super) fn has_wanted(&self, index: usize) -> bool {
        self.places.contains(&index)
    }

    /// Whether it was called since it began to wait for lock `index`.
    pub(super) fn is_called<P: Parts>(&self, line: &Line<P>) -> bool {
        line.has_called(self.number)
    }

    /// Leaves all lines.
    pub fn leave<'a, P: Parts + 'a>(&mut self, line: impl Fn(usize) -> &'a Line<P>) {
        for place in std::mem::take(&mut self.places) {
            line(place).leave(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    /// Notes that it was called.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn someone() -> (Arc<Bell>, Turn) {
        let bell = Arc::new(Bell::default());
        (bell.clone(), Turn::new(Waker::from(bell)))
    }

    fn rung(bell: &Bell) -> usize {
        bell.0.swap(0, Relaxed)
    }

    fn locks<const N: usize>() -> [Line; N] {
        std::array::from_fn(|_| <Line as RawMutex>::INIT)
    }

    #[test]
    fn the_first_of_the_line_is_called_and_then_the_next() {
        let [line] = locks::<1>();
        let at = |_| &line;
        assert!(line.try_lock());
        let ((a, mut first), (b, mut second)) = (someone(), someone());
        // In the order of their numbers, not of their coming to this line.
        second.stand(0, at);
        first.stand(0, at);
        assert!(!line.try_lock_as(first.number));
        line.unlock();
        assert_eq!((rung(&a), rung(&b)), (1, 0));
        // Somebody passes by; the first has been called already.
        assert!(line.try_lock());
        line.unlock();
        assert_eq!((rung(&a), rung(&b)), (0, 0));
        assert!(line.try_lock_as(first.number));
        first.leave(at);
        line.unlock();
        assert_eq!((rung(&a), rung(&b)), (0, 1));
        // Who does not come passes the call on.
        let (c, mut third) = someone();
        third.stand(0, at);
        assert_eq!(rung(&c), 0);
        second.leave(at);
        assert_eq!(rung(&c), 1);
        third.leave(at);
        assert!(line.is_idle());
        // Who joins the line of a lock that is free is called at once.
        let (d, mut late) = someone();
        late.stand(0, at);
        assert_eq!(rung(&d), 1);
        late.leave(at);
    }

    #[test]
    fn who_was_passed_over_often_is_not_passed_over_again() {
        let [line] = locks::<1>();
        let at = |_| &line;
        let ((a, mut first), (b, mut second)) = (someone(), someone());
        assert!(line.try_lock());
        first.stand(0, at);
        second.stand(0, at);
        for passed in 0..CLAIM_AFTER {
            line.unlock();
            assert_eq!(rung(&a), 1, "after {passed}");
            assert!(line.try_lock(), "nobody claims it");
            assert!(!line.try_lock_as(first.number));
            first.stand(0, at);
        }
        line.unlock();
        assert_eq!((rung(&a), rung(&b)), (1, 0));
        assert!(!line.try_lock(), "the claim is not heeded");
        assert!(!line.try_lock_as(second.number));
        assert!(line.try_lock_as(FIRST), "the first of all is barred");
        line.unlock();
        assert!(line.try_lock_as(first.number));
        first.leave(at);
        line.unlock();
        assert_eq!(rung(&b), 1);
        assert!(line.try_lock(), "the claim is still there");
        line.unlock();
        second.leave(at);
        assert!(line.is_idle());
    }

    /// Two who wait for both locks, which are held in turns for long: claims that are kept do not wait for each other.
    #[test]
    fn kept_claims_bar_only_higher_numbers() {
        let lines = locks::<2>();
        let at = |i: usize| &lines[i];
        let ((a, mut first), (b, mut second)) = (someone(), someone());
        assert!(lines.iter().all(Line::try_lock));
        for _ in 0..=KEEP_AFTER {
            for i in [0, 1] {
                first.stand(i, at);
                second.stand(1 - i, at);
            }
        }
        lines[0].unlock();
        // The first stands at the other one, and the second may not have it.
        assert_eq!((rung(&a), rung(&b)), (0, 0));
        assert!(!lines[0].try_lock());
        assert!(!lines[0].try_lock_as(second.number));
        lines[1].unlock();
        assert_eq!((rung(&a), rung(&b)), (1, 0));
        assert!(at(0).try_lock_as(first.number) && at(1).try_lock_as(first.number));
        first.leave(at);
        lines.iter().for_each(Line::unlock);
        assert_eq!(rung(&b), 1);
        second.leave(at);
        assert!(lines.iter().all(Line::is_idle));
    }

    #[test]
    fn threads_wait_for_each_other_and_for_no_longer_than_they_want() {
        let lock = parking_lot::lock_api::Mutex::<Line, u64>::new(0);
        let held = AtomicBool::new(false);
        let rounds = if cfg!(feature = "memcheck") { 50 } else { 5000 };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        let mut n = lock.lock();
                        assert!(!held.swap(true, Relaxed), "two have it");
                        *n += 1;
                        if n.is_multiple_of(512) {
                            std::thread::yield_now();
                        }
                        held.store(false, Relaxed);
                    }
                });
            }
        });
        assert_eq!(*lock.lock(), 4 * rounds);
        let [line] = locks::<1>();
        assert!(line.try_lock());
        assert!(!line.wait_for(Duration::from_millis(1)));
        line.unlock();
        assert!(line.wait_for(Duration::ZERO));
        line.unlock();
        assert!(line.is_idle());
    }
}
