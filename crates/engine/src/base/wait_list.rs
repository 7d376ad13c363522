//! Waiting for a state that somebody else changes: who waits leaves a waker, and who changes the state calls those whom it
//! concerns, the longest waiting first.
//!
//! It is for what a gate of [`crate::context::gate`] says of the whole server, that it is paused or being loaded, not for
//! locks, which have lines of their own ([`store::parked`]). All who are called may go on; whoever finds the state as it was
//! waits again, in the place that it had.
//!
//! # Why no call is lost
//! A list counts its calls. Who is about to wait takes that number *before* it looks at the state ([`WaitList::seen`]), and gives it
//! when it leaves its waker. Who changes the state does so first and calls then. If there was a call since the number was taken,
//! nobody can say whether the state was looked at before it or after: the waker is not kept, and the state is looked at again. If
//! there was none, the next call finds the waker. All this is under one mutex, which only those take who wait or call.

use super::sync::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;
use store::parked::this_thread;

/// What a call concerns whoever waits here; a number of the state's own choice.
pub type Topic = usize;

/// Those who wait for one state.
#[derive(Debug, Default)]
pub struct WaitList {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Calls so far.
    calls: u64,
    /// Numbers given out.
    numbers: u64,
    /// Who waits, by number.
    waiting: BTreeMap<u64, (Topic, Waker)>,
}

/// How many calls there were when the state was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(u64);

impl WaitList {
    /// To be asked before one looks at the state.
    pub fn seen(&self) -> Seen {
        Seen(self.queue.lock().calls)
    }

    /// Has this thread sleep until it is called; not at all if there was a call since `seen`. May return for no reason.
    #[cold]
    pub fn sleep(self: &Arc<WaitList>, seen: Seen) {
        let place = InLine::last(self);
        if place.wait(seen, 0, &this_thread()) {
            std::thread::park();
        }
    }

    /// The same, for no longer than this.
    #[cold]
    pub fn sleep_for(self: &Arc<WaitList>, seen: Seen, most: Duration) {
        let place = InLine::last(self);
        if place.wait(seen, 0, &this_thread()) {
            std::thread::park_timeout(most);
        }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.lock().waiting.len()
    }

    /// The state has changed: whoever waits goes on.
    pub fn call(&self) {
        self.call_those(|_| true);
    }

    /// The same for those with these topics.
    pub(crate) fn call_those(&self, concerns: impl Fn(Topic) -> bool) {
        let called: Vec<Waker> = {
            let mut queue = self.queue.lock();
            queue.calls += 1;
            if queue.waiting.is_empty() {
                return;
            }
            let all = std::mem::take(&mut queue.waiting);
            let mut called = Vec::new();
            for (number, (topic, waker)) in all {
                match concerns(topic) {
                    true => called.push(waker),
                    false => drop(queue.waiting.insert(number, (topic, waker))),
                }
            }
            called
        };
        called.into_iter().for_each(Waker::wake);
    }
}

/// A place in a list, kept for as long as this is, whether one is called in between or not.
#[derive(Debug)]
pub struct InLine {
    list: Arc<WaitList>,
    number: u64,
}

impl InLine {
    /// A place behind all others.
    pub fn last(list: &Arc<WaitList>) -> InLine {
        let mut queue = list.queue.lock();
        queue.numbers += 1;
        InLine {
            list: list.clone(),
            number: queue.numbers,
        }
    }

    /// Whether this is the list.
    pub(crate) fn is_in(&self, list: &Arc<WaitList>) -> bool {
        Arc::ptr_eq(&self.list, list)
    }

    /// Has this waker called once. False if there was a call since `seen`: then the state is to be looked at again.
    #[must_use]
    pub fn wait(&self, seen: Seen, topic: Topic, waker: &Waker) -> bool {
        let mut queue = self.list.queue.lock();
        let current = queue.calls == seen.0;
        if current {
            queue.waiting.insert(self.number, (topic, waker.clone()));
        }
        current
    }

    /// Whether it has been called, or never waited.
    pub fn is_called(&self) -> bool {
        !self.list.queue.lock().waiting.contains_key(&self.number)
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.list.queue.lock().waiting.remove(&self.number);
    }
}
