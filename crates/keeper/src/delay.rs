//! Delays that tests ask for (`rdb-key-save-delay`, `key-load-delay`): what usually is over in a moment can be watched while it goes on.

use engine::Engine;
use std::thread::sleep;
use std::time::Duration;

/// How much later each key comes.
pub(crate) struct Delay {
    /// Microseconds; a negative number is so many keys that take one of them.
    micros: i64,
    /// Keys that have not taken theirs yet.
    keys: u64,
}

/// The longest that nobody looks whether it is still wanted.
const STEP: Duration = Duration::from_millis(5);

impl Delay {
    /// What a directive says now; `None` if that is no delay.
    pub fn of(engine: &Engine, directive: &str) -> Option<Delay> {
        let micros = engine.config().number(directive);
        (micros != 0).then_some(Delay { micros, keys: 0 })
    }

    /// Waits as long as some keys take, or until there is no reason to any more.
    pub fn wait(&mut self, keys: usize, ended: impl Fn() -> bool) {
        self.keys += keys as u64;
        let micros = match u64::try_from(self.micros) {
            Ok(micros) => std::mem::take(&mut self.keys).saturating_mul(micros),
            Err(_) => {
                let many = self.micros.unsigned_abs();
                let due = self.keys / many;
                self.keys %= many;
                due
            }
        };
        let mut left = Duration::from_micros(micros);
        while !left.is_zero() && !ended() {
            let step = left.min(STEP);
            sleep(step);
            left -= step;
        }
    }
}
