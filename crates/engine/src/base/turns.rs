//! Work that is done on threads of its own, one after the other, in the order in which it was asked for.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;

/// Who has asked and is not done yet, in that order, and what for, if that is to be known meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Turns<What> {
    state: Mutex<State<What>>,
    moved_on: Condvar,
}

#[derive(Debug, Default)]
struct State<What> {
    last: u64,
    waiting: VecDeque<(u64, Option<What>)>,
}

/// A place behind all that was asked for before. Whoever drops it is done, or does without.
#[derive(Debug)]
pub(crate) struct InTurn<What> {
    turns: Arc<Turns<What>>,
    number: u64,
}

impl<What: Clone> Turns<What> {
    /// The last place, unless `is_refused` says that there is none to be had. `known`: what is asked for, if others are to know.
    pub(crate) fn ask(
        self: &Arc<Turns<What>>,
        known: Option<What>,
        is_refused: impl FnOnce() -> bool,
    ) -> Option<InTurn<What>> {
        let mut state = self.state.lock();
        if is_refused() {
            return None;
        }
        state.last += 1;
        let number = state.last;
        state.waiting.push_back((number, known));
        Some(InTurn {
            turns: self.clone(),
            number,
        })
    }

    /// Does something if nobody has asked who is not done yet, and nobody asks meanwhile.
    pub(crate) fn while_none_asks<R>(&self, work: impl FnOnce() -> R) -> Option<R> {
        let state = self.state.lock();
        state.waiting.is_empty().then(work)
    }

    /// What was asked for last, if that is not done and is to be known.
    pub(crate) fn last(&self) -> Option<What> {
        let state = self.state.lock();
        state.waiting.back().and_then(|(_, known)| known.clone())
    }
}

impl<What> InTurn<What> {
    /// Waits until all who asked before are done.
    pub(crate) fn wait(&self) {
        let mut state = self.turns.state.lock();
        while state.waiting.front().map(|(number, _)| *number) != Some(self.number) {
            self.turns.moved_on.wait(&mut state);
        }
    }
}

impl<What> Drop for InTurn<What> {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock();
        state.waiting.retain(|(number, _)| *number != self.number);
        self.turns.moved_on.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_was_asked_for_first_is_done_first_and_who_does_without_holds_up_nobody() {
        let turns = Arc::new(Turns::default());
        let asked: Vec<InTurn<()>> = (0..4).filter_map(|_| turns.ask(None, || false)).collect();
        let done = Arc::new(Mutex::new(Vec::new()));
        let threads: Vec<_> = asked
            .into_iter()
            .enumerate()
            .map(|(n, turn)| {
                let done = done.clone();
                std::thread::spawn(move || {
                    // Those behind get there first.
                    std::thread::sleep(Duration::from_millis(20 * (3 - n as u64)));
                    if n != 1 {
                        turn.wait();
                        done.lock().push(n);
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|t| t.join().expect("no panic"));
        assert_eq!(*done.lock(), [0, 2, 3]);
    }

    #[test]
    fn what_was_asked_for_last_is_known_until_it_is_done() {
        let turns = Arc::new(Turns::default());
        assert_eq!(turns.last(), None);
        let first = turns.ask(Some("first"), || false);
        let second = turns.ask(Some("second"), || false);
        assert_eq!(turns.last(), Some("second"));
        drop(first);
        assert_eq!(turns.last(), Some("second"));
        let third = turns.ask(None, || false);
        assert_eq!(turns.last(), None, "it is not to be known");
        assert!(turns.ask(Some("fourth"), || true).is_none());
        assert_eq!(turns.while_none_asks(|| ()), None);
        drop((second, third));
        assert_eq!(turns.last(), None);
        assert_eq!(turns.while_none_asks(|| ()), Some(()));
    }
}
