//! Work that is done on threads of its own, one after the other, in the order in which it was asked for.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;

/// Who has asked and is not done yet, in that order.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    state: Mutex<State>,
    moved_on: Condvar,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    waiting: VecDeque<u64>,
}

/// A place behind all that was asked for before. Whoever drops it is done, or does without.
#[derive(Debug)]
pub(crate) struct InTurn {
    turns: Arc<Turns>,
    number: u64,
}

impl Turns {
    /// The last place.
    pub(crate) fn ask(self: &Arc<Turns>) -> InTurn {
        let mut state = self.state.lock();
        state.last += 1;
        let number = state.last;
        state.waiting.push_back(number);
        InTurn {
            turns: self.clone(),
            number,
        }
    }
}

impl InTurn {
    /// Waits until all who asked before are done.
    pub(crate) fn wait(&self) {
        let mut state = self.turns.state.lock();
        while state.waiting.front() != Some(&self.number) {
            self.turns.moved_on.wait(&mut state);
        }
    }
}

impl Drop for InTurn {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock();
        state.waiting.retain(|number| *number != self.number);
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
        let asked: Vec<InTurn> = (0..4).map(|_| turns.ask()).collect();
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
}
