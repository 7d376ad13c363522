//! Between those who have something to log and the thread that writes it.
//!
//! Jobs queue in one order; pieces get their numbers as they are queued. The writer takes all there is, so that whatever came
//! during one sync shares the next, and says how far it got. Who waits for a number leaves a waker, or blocks.
//!
//! This file is compiled twice: with the standard library's locks, and in tests with those of a model checker.

use super::primitives::{Condvar, Mutex, MutexGuard};
use std::collections::{BTreeMap, VecDeque};
use std::sync::PoisonError;
use std::task::{Poll, Waker};
use std::time::Instant;

/// What became of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is as durable as the setting promises.
    Durable,
    /// It is not on the disk and will not be: the reason.
    Lost(String),
}

/// Why a piece was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

/// How far the writer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last number given to a piece.
    pub given: u64,
    /// The last piece that is whole in its file.
    pub written: u64,
    /// The last piece that is on the disk.
    pub durable: u64,
    /// Bytes of pieces that wait to be written.
    pub waiting_bytes: u64,
}

pub struct Handoff<J> {
    inner: Mutex<Inner<J>>,
    work: Condvar,
    progress: Condvar,
}

struct Inner<J> {
    jobs: VecDeque<J>,
    at: Progress,
    /// Pieces up to this number that are not durable are lost.
    lost: u64,
    /// Why pieces are not taken.
    refusing: Option<String>,
    /// Why the last ones were lost; outlives `refusing`.
    reason: String,
    waiters: BTreeMap<u64, Vec<Waker>>,
    closed: bool,
    /// The writer waits for jobs and has not been woken. Whoever wakes nobody makes a system call for nothing.
    idle: bool,
    /// Threads that block until the writer is further.
    blocked: usize,
}

impl<J> Inner<J> {
    fn outcome(&self, number: u64) -> Option<Outcome> {
        if number <= self.at.durable {
            Some(Outcome::Durable)
        } else if number <= self.lost {
            Some(Outcome::Lost(self.reason.clone()))
        } else {
            None
        }
    }

    /// The wakers of those who have an answer now: they wait for the lowest numbers.
    fn answered(&mut self) -> Vec<Waker> {
        let answered = self.at.durable.max(self.lost).saturating_add(1);
        let waiting = self.waiters.split_off(&answered);
        let answered = std::mem::replace(&mut self.waiters, waiting);
        answered.into_values().flatten().collect()
    }
}

impl<J> Handoff<J> {
    /// Nothing queued; pieces are numbered after `last`, and are taken unless `refusing`.
    pub fn new(last: u64, durable: u64, refusing: Option<String>) -> Handoff<J> {
        Handoff {
            inner: Mutex::new(Inner {
                jobs: VecDeque::new(),
                at: Progress {
                    given: last,
                    written: last,
                    durable,
                    waiting_bytes: 0,
                },
                lost: 0,
                reason: refusing.clone().unwrap_or_default(),
                refusing,
                waiters: BTreeMap::new(),
                closed: false,
                idle: false,
                blocked: 0,
            }),
            work: Condvar::new(),
            progress: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<J>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a piece of so many bytes and gives its number.
    pub fn piece(&self, bytes: usize, job: impl FnOnce(u64) -> J) -> Result<u64, Refused> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Refused("the log is closed".to_owned()));
        }
        if let Some(reason) = &inner.refusing {
            return Err(Refused(reason.clone()));
        }
        inner.at.given += 1;
        inner.at.waiting_bytes += bytes as u64;
        let number = inner.at.given;
        inner.jobs.push_back(job(number));
        self.rouse(inner);
        Ok(number)
    }

    /// Wakes the writer if it waits.
    fn rouse(&self, mut inner: MutexGuard<'_, Inner<J>>) {
        let idle = std::mem::take(&mut inner.idle);
        drop(inner);
        if idle {
            self.work.notify_one();
        }
    }

    /// Queues something else.
    pub fn job(&self, job: J) -> Result<(), Refused> {
        self.cut(false, |_, _| job)
    }

    /// Queues what must know the last number given, and whether pieces were refused; with `taking` those behind it are taken
    /// again.
    pub fn cut(&self, taking: bool, job: impl FnOnce(u64, bool) -> J) -> Result<(), Refused> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Refused("the log is closed".to_owned()));
        }
        let refusing = inner.refusing.is_some();
        if taking {
            inner.refusing = None;
        }
        let given = inner.at.given;
        inner.jobs.push_back(job(given, refusing));
        self.rouse(inner);
        Ok(())
    }

    /// Takes everything queued, waiting for it until `deadline`. False once the log is closed and nothing is left.
    pub fn take(&self, into: &mut VecDeque<J>, deadline: Option<Instant>) -> bool {
        let mut inner = self.lock();
        while inner.jobs.is_empty() {
            if inner.closed {
                return false;
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return true;
            }
            inner.idle = true;
            inner = match left {
                None => self
                    .work
                    .wait(inner)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    self.work
                        .wait_timeout(inner, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
            inner.idle = false;
        }
        std::mem::swap(into, &mut inner.jobs);
        true
    }

    /// The writer got so far; `done` bytes of pieces are off its hands.
    pub fn publish(&self, written: u64, durable: u64, done: u64) {
        let mut inner = self.lock();
        inner.at.written = written;
        inner.at.durable = inner.at.durable.max(durable);
        inner.at.waiting_bytes = inner.at.waiting_bytes.saturating_sub(done);
        self.answer(inner);
    }

    /// The writer cannot go on: all pieces that have numbers but are not durable are lost, further ones are not taken.
    pub fn fail(&self, reason: &str) {
        let mut inner = self.lock();
        inner.lost = inner.at.given;
        inner.refusing = Some(reason.to_owned());
        reason.clone_into(&mut inner.reason);
        self.answer(inner);
    }

    /// Takes no more jobs; those queued are still done.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        if inner.reason.is_empty() {
            "the log is closed".clone_into(&mut inner.reason);
        }
        self.rouse(inner);
    }

    /// The writer is done with all that was queued before the log was closed.
    pub fn ended(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.lost = inner.at.given;
        inner.jobs.clear();
        self.answer(inner);
    }

    fn answer(&self, mut inner: MutexGuard<'_, Inner<J>>) {
        let wakers = inner.answered();
        let blocked = inner.blocked > 0;
        drop(inner);
        if blocked {
            self.progress.notify_all();
        }
        for waker in wakers {
            waker.wake();
        }
    }

    /// What became of a piece; if that is not known yet, the waker is woken when it is.
    pub fn poll(&self, number: u64, waker: &Waker) -> Poll<Outcome> {
        let mut inner = self.lock();
        match inner.outcome(number) {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                let waiters = inner.waiters.entry(number).or_default();
                if !waiters.iter().any(|known| known.will_wake(waker)) {
                    waiters.push(waker.clone());
                }
                Poll::Pending
            }
        }
    }

    /// Waits until it is known what became of a piece.
    pub fn wait(&self, number: u64) -> Outcome {
        let mut inner = self.lock();
        loop {
            if let Some(outcome) = inner.outcome(number) {
                return outcome;
            }
            inner.blocked += 1;
            inner = self
                .progress
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
            inner.blocked -= 1;
        }
    }

    /// How far the writer is.
    pub fn progress(&self) -> Progress {
        self.lock().at
    }

    /// Why pieces are not taken, if they are not.
    pub fn refusing(&self) -> Option<String> {
        self.lock().refusing.clone()
    }
}
