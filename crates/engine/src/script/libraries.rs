//! Libraries of functions: FUNCTION LOAD's side of [`crate::bridge::run`].
//!
//! All workers look at one immutable [`Set`] of libraries, replaced as a whole when it changes. A worker notices by a number
//! that is raised with every change, and loads a library into its own Lua state when it first calls one of its functions.

use crate::script::known::Slow;
use lua::Flags;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One function.
pub struct Function {
    /// As it was registered.
    pub name: Vec<u8>,
    /// What it says about itself.
    pub description: Option<Vec<u8>>,
    /// What it declares.
    pub flags: Flags,
    /// Whether it has been slow.
    pub slow: Slow,
}

/// One library.
pub struct Library {
    /// From its first line.
    pub name: Vec<u8>,
    /// Tells it from others of that name, before and after it.
    pub version: u64,
    /// The source as it was sent.
    pub source: Vec<u8>,
    /// In the order of their names.
    pub functions: Vec<Function>,
}

/// All libraries at a moment.
#[derive(Clone, Default)]
pub struct Set {
    /// By name.
    pub libraries: BTreeMap<Vec<u8>, Arc<Library>>,
    /// By name in lower case: the library, and where it stands there.
    functions: HashMap<Vec<u8>, (Arc<Library>, usize)>,
}

/// Why a library is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Clash {
    /// There is a library of that name.
    Library,
    /// Another library has a function of this name.
    Function(Vec<u8>),
}

impl Set {
    /// The function of this name, in any case.
    pub fn get(&self, name: &[u8]) -> Option<(&Arc<Library>, &Function)> {
        let (library, at) = self.functions.get(&name.to_ascii_lowercase())?;
        Some((library, &library.functions[*at]))
    }

    /// Bytes of all sources.
    pub fn bytes(&self) -> usize {
        self.libraries.values().map(|l| l.source.len()).sum()
    }

    /// Number of functions.
    pub fn functions(&self) -> usize {
        self.functions.len()
    }

    /// Adds a library, with `replace` in place of one that has its name.
    pub fn add(&mut self, library: Arc<Library>, replace: bool) -> Result<(), Clash> {
        let old = self.libraries.get(&library.name);
        if old.is_some() && !replace {
            return Err(Clash::Library);
        }
        for f in &library.functions {
            let other = self.functions.get(&f.name.to_ascii_lowercase());
            if other.is_some_and(|(l, _)| l.name != library.name) {
                return Err(Clash::Function(f.name.clone()));
            }
        }
        let name = library.name.clone();
        self.remove(&name);
        for (at, f) in library.functions.iter().enumerate() {
            let key = f.name.to_ascii_lowercase();
            self.functions.insert(key, (library.clone(), at));
        }
        self.libraries.insert(name, library);
        Ok(())
    }

    /// Removes a library; whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        self.functions.retain(|_, (l, _)| l.name != name);
        self.libraries.remove(name).is_some()
    }
}

/// See the module's page.
#[derive(Default)]
pub struct Libraries {
    current: Mutex<Arc<Set>>,
    epoch: AtomicU64,
    versions: AtomicU64,
}

impl Libraries {
    /// The libraries of now.
    pub fn current(&self) -> Arc<Set> {
        self.current.lock().clone()
    }

    /// Raised with every change.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Relaxed)
    }

    /// A version for a new library.
    pub fn next_version(&self) -> u64 {
        self.versions.fetch_add(1, Relaxed) + 1
    }

    /// Changes the set, unless `change` fails.
    pub fn update<E>(&self, change: impl FnOnce(&mut Set) -> Result<(), E>) -> Result<(), E> {
        let mut current = self.current.lock();
        let mut set = Set::clone(&current);
        change(&mut set)?;
        *current = Arc::new(set);
        self.epoch.fetch_add(1, Relaxed);
        Ok(())
    }
}
