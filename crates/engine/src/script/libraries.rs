//! Libraries of functions: FUNCTION LOAD's side of [`crate::bridge::run`].
//!
//! All workers look at one immutable [`Set`] of libraries, replaced as a whole when it changes. A worker notices by a number
//! that is raised with every change, and loads a library into its own Lua state when it first calls one of its functions.

use crate::script::known::Slow;
use lua::Flags;
use parking_lot::Mutex;
use std::collections::HashMap;
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

/// A map in so many parts; a change copies the one that it concerns, and shares the others with the map as it was.
const PARTS: usize = 256;

/// See [`PARTS`].
struct Parted<V> {
    parts: Vec<Arc<HashMap<Vec<u8>, V>>>,
    len: usize,
}

impl<V> Clone for Parted<V> {
    fn clone(&self) -> Parted<V> {
        Parted {
            parts: self.parts.clone(),
            len: self.len,
        }
    }
}

impl<V> Default for Parted<V> {
    fn default() -> Parted<V> {
        Parted {
            parts: vec![Arc::default(); PARTS],
            len: 0,
        }
    }
}

impl<V: Clone> Parted<V> {
    fn part(name: &[u8]) -> usize {
        // FNV-1a, of which the upper half is well mixed.
        let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        (hash >> 32) as usize % PARTS
    }

    fn get(&self, name: &[u8]) -> Option<&V> {
        self.parts[Self::part(name)].get(name)
    }

    fn insert(&mut self, name: Vec<u8>, value: V) {
        let part = Arc::make_mut(&mut self.parts[Self::part(&name)]);
        self.len += usize::from(part.insert(name, value).is_none());
    }

    fn remove(&mut self, name: &[u8]) -> Option<V> {
        let part = &mut self.parts[Self::part(name)];
        if !part.contains_key(name) {
            return None;
        }
        self.len -= 1;
        Arc::make_mut(part).remove(name)
    }

    fn values(&self) -> impl Iterator<Item = &V> {
        self.parts.iter().flat_map(|part| part.values())
    }

    /// What is in parts that are not those of `other` too.
    fn apart_from<'a>(&'a self, other: &'a Parted<V>) -> impl Iterator<Item = &'a V> {
        let parts = self.parts.iter().zip(&other.parts);
        parts
            .filter(|(one, other)| !Arc::ptr_eq(one, other))
            .flat_map(|(part, _)| part.values())
    }
}

/// All libraries at a moment.
#[derive(Clone, Default)]
pub struct Set {
    /// By name.
    libraries: Parted<Arc<Library>>,
    /// By name in lower case: the library, and where it stands there.
    functions: Parted<(Arc<Library>, usize)>,
    bytes: usize,
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

    /// Whether there is a library of this name.
    pub fn has(&self, name: &[u8]) -> bool {
        self.libraries.get(name).is_some()
    }

    /// All of them, by name.
    pub fn libraries(&self) -> Vec<&Arc<Library>> {
        let mut all: Vec<_> = self.libraries.values().collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Number of libraries.
    pub fn len(&self) -> usize {
        self.libraries.len
    }

    /// Bytes of all sources.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of functions.
    pub fn functions(&self) -> usize {
        self.functions.len
    }

    /// The libraries that a later set has not, or has in another version.
    pub fn gone_in<'a>(&'a self, later: &'a Set) -> impl Iterator<Item = &'a Arc<Library>> {
        let changed = self.libraries.apart_from(&later.libraries);
        changed.filter(|old| {
            let kept = later.libraries.get(&old.name);
            kept.is_none_or(|kept| kept.version != old.version)
        })
    }

    /// Adds a library, with `replace` in place of one that has its name.
    pub fn add(&mut self, library: Arc<Library>, replace: bool) -> Result<(), Clash> {
        if self.has(&library.name) && !replace {
            return Err(Clash::Library);
        }
        for f in &library.functions {
            let other = self.functions.get(&f.name.to_ascii_lowercase());
            if other.is_some_and(|(l, _)| l.name != library.name) {
                return Err(Clash::Function(f.name.clone()));
            }
        }
        self.remove(&library.name);
        for (at, f) in library.functions.iter().enumerate() {
            let key = f.name.to_ascii_lowercase();
            self.functions.insert(key, (library.clone(), at));
        }
        self.bytes += library.source.len();
        self.libraries.insert(library.name.clone(), library);
        Ok(())
    }

    /// Removes a library; whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(library) = self.libraries.remove(name) else {
            return false;
        };
        for f in &library.functions {
            self.functions.remove(&f.name.to_ascii_lowercase());
        }
        self.bytes -= library.source.len();
        true
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

#[cfg(test)]
mod tests {
    use super::*;

    fn library(name: &str, version: u64, functions: &[&str]) -> Arc<Library> {
        let functions = functions.iter().map(|name| Function {
            name: name.as_bytes().to_vec(),
            description: None,
            flags: Flags::default(),
            slow: Slow::default(),
        });
        Arc::new(Library {
            name: name.as_bytes().to_vec(),
            version,
            source: format!("{name} {version}").into_bytes(),
            functions: functions.collect(),
        })
    }

    fn names<'a>(libraries: impl Iterator<Item = &'a Arc<Library>>) -> Vec<String> {
        let text = |l: &Arc<Library>| String::from_utf8_lossy(&l.name).into_owned();
        libraries.map(text).collect()
    }

    #[test]
    fn what_replaces_a_library_takes_its_functions_away() {
        let mut set = Set::default();
        set.add(library("a", 1, &["F", "g"]), false).expect("new");
        assert_eq!(
            set.add(library("b", 2, &["G"]), false),
            Err(Clash::Function(b"G".to_vec()))
        );
        assert_eq!(set.add(library("a", 3, &["h"]), false), Err(Clash::Library));
        set.add(library("a", 3, &["h"]), true).expect("in place");
        assert!(set.get(b"f").is_none() && set.get(b"H").is_some());
        set.add(library("b", 4, &["G", "i"]), false).expect("free");
        assert_eq!((set.len(), set.functions(), set.bytes()), (2, 3, 6));
        assert_eq!(names(set.libraries().into_iter()), ["a", "b"]);
        assert!(set.remove(b"b") && !set.remove(b"b"));
        assert_eq!((set.len(), set.functions(), set.bytes()), (1, 1, 3));
    }

    /// However many there are, one more costs the copy of what lies beside it.
    #[test]
    fn a_change_copies_little_of_many() {
        let libraries = Libraries::default();
        let add = |n: usize, version| {
            let (name, function) = (format!("library{n}"), format!("function{n}"));
            libraries.update(|set| set.add(library(&name, version, &[&function]), true))
        };
        for n in 0..2000 {
            add(n, 1).expect("a new one");
        }
        let before = libraries.current();
        add(7, 2).expect("in place of one");
        add(2000, 1).expect("one more");
        let now = libraries.current();
        assert_eq!((before.len(), now.len()), (2000, 2001));
        let copied = now.libraries.apart_from(&before.libraries).count()
            + now.functions.apart_from(&before.functions).count();
        assert!(copied < 200, "{copied} are copied");
        assert_eq!(names(before.gone_in(&now)), ["library7"]);
        assert_eq!(names(now.gone_in(&before)).len(), 2);
    }
}
