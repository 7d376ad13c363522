//! Whether the data set is being loaded, and how far that is.
//!
//! Whoever loads (`crates/keeper`) begins and ends it; the gate refuses commands meanwhile, INFO tells how far it is, and the
//! program around the engine may watch or stop it.

use crate::base::clock::unix_ms;
use crate::base::wait_list::WaitList;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// How far loading is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadProgress {
    /// Bytes of the files that were read.
    pub loaded_bytes: u64,
    /// Bytes that the files have.
    pub total_bytes: u64,
}

/// Told how far loading is, at least once a megabyte. It is called by the thread that reads, and holds it up.
pub type OnLoad = Box<dyn Fn(LoadProgress) + Send + Sync>;

/// Bytes read after which the watcher is told again.
const STEP: u64 = 1 << 20;

/// What is being loaded: the data set, or another one beside it.
const DATA_SET: u8 = 1;
const BESIDE: u8 = 1 << 1;

/// See the module's page.
#[derive(Default)]
pub struct Loading {
    /// [`DATA_SET`], [`BESIDE`], in one word: the gate looks at it for each command.
    what: AtomicU8,
    stopped: AtomicBool,
    /// Unix milliseconds.
    began_ms: AtomicU64,
    total: AtomicU64,
    loaded: AtomicU64,
    used_memory: AtomicU64,
    told: AtomicU64,
    watcher: OnceLock<OnLoad>,
    /// Those who wait for its end.
    pub(crate) line: Arc<WaitList>,
}

impl Loading {
    /// Whether the data set is being loaded: then it is not to be looked at.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.what.load(Relaxed) & DATA_SET != 0
    }

    /// Whether anything is being loaded, be it beside the data set that is served.
    #[inline]
    pub fn any(&self) -> bool {
        self.what.load(Relaxed) != 0
    }

    /// Loading begins.
    pub fn begin(&self) {
        self.start();
        self.what.fetch_or(DATA_SET, Relaxed);
    }

    /// Whether a data set is being loaded beside the one that is served.
    pub fn is_beside(&self) -> bool {
        self.what.load(Relaxed) & BESIDE != 0
    }

    /// A data set begins to be loaded beside the one that is served, or that is over.
    pub fn beside(&self, on: bool) {
        if on {
            self.start();
            self.what.fetch_or(BESIDE, Relaxed);
        } else {
            self.what.fetch_and(!BESIDE, Relaxed);
        }
    }

    fn start(&self) {
        for count in [&self.total, &self.loaded, &self.used_memory, &self.told] {
            count.store(0, Relaxed);
        }
        self.began_ms.store(unix_ms(), Relaxed);
    }

    /// The data set is whole.
    pub fn end(&self) {
        self.what.fetch_and(!DATA_SET, Relaxed);
        self.line.call();
    }

    /// From now on this is told how far loading is. Of several the first stays.
    pub fn watch(&self, watcher: OnLoad) {
        let _ = self.watcher.set(watcher);
    }

    /// Whoever loads is to give up: the program is about to end.
    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// Whether it is to be given up.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// So many bytes are to be read.
    pub fn expect(&self, bytes: u64) {
        self.total.store(bytes, Relaxed);
    }

    /// So many bytes were read, since the beginning.
    pub fn reached(&self, bytes: u64) {
        self.loaded.store(bytes, Relaxed);
        if bytes >= self.told.load(Relaxed) + STEP || bytes == self.total.load(Relaxed) {
            self.told.store(bytes, Relaxed);
            if let Some(watcher) = self.watcher.get() {
                watcher(self.progress());
            }
        }
    }

    /// So many more bytes were read.
    pub fn read(&self, bytes: u64) {
        self.reached(self.loaded.load(Relaxed) + bytes);
    }

    /// How far it is.
    pub fn progress(&self) -> LoadProgress {
        LoadProgress {
            loaded_bytes: self.loaded.load(Relaxed),
            total_bytes: self.total.load(Relaxed),
        }
    }

    /// The memory that whoever wrote the file used, as that says.
    pub fn note_used_memory(&self, bytes: u64) {
        self.used_memory.store(bytes, Relaxed);
    }

    /// Appends INFO's lines about it, if it is on.
    pub fn info(&self, into: &mut String) {
        use std::fmt::Write;
        if !self.any() {
            return;
        }
        let LoadProgress {
            loaded_bytes: loaded,
            total_bytes: total,
        } = self.progress();
        let began_ms = self.began_ms.load(Relaxed);
        let percent = match total {
            0 => 0.0,
            total => loaded as f64 * 100.0 / total as f64,
        };
        let elapsed_s = unix_ms().saturating_sub(began_ms) / 1000;
        // As real servers: nothing is known in the first second.
        let eta_s = match (elapsed_s, loaded) {
            (0, _) | (_, 0) => 1,
            _ => {
                (u128::from(elapsed_s) * u128::from(total.saturating_sub(loaded))
                    / u128::from(loaded)) as u64
            }
        };
        let _ = write!(
            into,
            "loading_start_time:{}\r\nloading_total_bytes:{total}\r\nloading_rdb_used_mem:{}\r\n\
             loading_loaded_bytes:{loaded}\r\nloading_loaded_perc:{percent:.2}\r\nloading_eta_seconds:{eta_s}\r\n",
            began_ms / 1000,
            self.used_memory.load(Relaxed),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn tells_how_far_it_is() {
        let loading = Loading::default();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let for_watcher = seen.clone();
        loading.watch(Box::new(move |p| {
            for_watcher.lock().unwrap().push(p.loaded_bytes);
        }));
        let mut text = String::new();
        loading.info(&mut text);
        assert_eq!(text, "");
        loading.begin();
        loading.expect(4 * STEP);
        loading.read(STEP - 1);
        loading.read(1);
        loading.read(STEP);
        loading.note_used_memory(77);
        loading.info(&mut text);
        for line in [
            "loading_total_bytes:4194304\r\n",
            "loading_loaded_bytes:2097152\r\n",
            "loading_loaded_perc:50.00\r\n",
            "loading_rdb_used_mem:77\r\n",
            "loading_eta_seconds:1\r\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        loading.reached(4 * STEP);
        assert_eq!(*seen.lock().unwrap(), [STEP, 2 * STEP, 4 * STEP]);
        loading.end();
        assert!(!loading.is_on());
        // Beside the data set it is the same, but that it is not closed.
        loading.beside(true);
        loading.expect(8);
        loading.read(2);
        text.clear();
        loading.info(&mut text);
        assert!(!loading.is_on() && text.contains("loading_loaded_perc:25.00\r\n"));
        loading.beside(false);
        text.clear();
        loading.info(&mut text);
        assert_eq!(text, "");
    }
}
