//! Users: who may run which commands, on which keys, channels and databases.
//!
//! A [`User`] is a value that never changes. Its rules, as people write them ([`rules`]), are worked into sets as they come: one bit
//! for each command, and lists of patterns ([`selector`]). So a check is some look-ups, and nothing has to be compiled first.
//!
//! [`Users`] is the list of all of them by name. A session keeps a reference to its own user together with the list's
//! [version](Users::version); whoever changes a user puts another in its place and raises the version, and each session takes the new one
//! up before its next command. Between two changes nobody takes a lock or writes anything that others read.
//!
//! What was refused is remembered in a [log](log::Log).

pub(crate) mod catalog;
pub(crate) mod file;
pub(crate) mod log;
pub(crate) mod password;
mod rule_list;
pub(crate) mod rules;
pub(crate) mod selector;
pub(crate) mod user;

use self::catalog::Catalog;
use self::log::Log;
use self::password::Digest;
use self::selector::Reason;
use self::user::User;
use crate::base::error::shown;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};

/// The user that a client is until it says that it is another.
pub(crate) const DEFAULT_USER: &[u8] = b"default";

/// What a client lost that was somebody, or may listen to less than before.
pub(crate) struct Changed {
    /// The number of the user.
    pub id: u64,
    /// What it is now; None if there is no such user any more.
    pub now: Option<Arc<User>>,
    /// It has channels no more that it had before.
    pub fewer_channels: bool,
}

/// All users. See the module's page.
pub(crate) struct Users {
    by_name: RwLock<BTreeMap<Box<[u8]>, Arc<User>>>,
    /// Raised with every change, while the list is locked.
    version: AtomicU64,
    /// Whether everybody who comes is the default user without a password.
    open: AtomicBool,
    next_id: AtomicU64,
    /// The commands that rules name.
    pub catalog: Catalog,
    pub log: Mutex<Log>,
    /// How often something was refused: a command, a key, a channel, a database.
    pub denied: [AtomicU64; 4],
    /// Certificates that named nobody who can come.
    pub denied_certificates: AtomicU64,
}

impl Users {
    /// The default user alone, who may do everything. `password`: it has this one (`requirepass`).
    pub fn new(catalog: Catalog, password: Option<&[u8]>) -> Users {
        let users = Users {
            by_name: RwLock::default(),
            version: AtomicU64::new(1),
            open: AtomicBool::new(true),
            next_id: AtomicU64::new(1),
            catalog,
            log: Mutex::default(),
            denied: Default::default(),
            denied_certificates: AtomicU64::new(0),
        };
        let mut default = users.all_powerful();
        default.set_only_password(password);
        users.change(|list| drop(list.insert(DEFAULT_USER.into(), Arc::new(default))));
        users
    }

    /// The default user as it is at first.
    fn all_powerful(&self) -> User {
        let mut user = User::new(DEFAULT_USER, self.next_id(), &self.catalog, true);
        user.become_all_powerful(&self.catalog);
        user
    }

    fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    /// Raised with every change of any user.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Acquire)
    }

    /// Whether everybody who comes is the default user without a password.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// Whether the default user needs no password, even if nobody can become it (protected mode asks).
    pub fn default_has_no_password(&self) -> bool {
        self.default_user().nopass
    }

    fn change<R>(&self, change: impl FnOnce(&mut BTreeMap<Box<[u8]>, Arc<User>>) -> R) -> R {
        let mut list = self.by_name.write();
        let result = change(&mut list);
        let open = list
            .get(DEFAULT_USER)
            .is_some_and(|user| user.nopass && user.enabled);
        self.open.store(open, Relaxed);
        self.version.fetch_add(1, Release);
        result
    }

    /// The user of this name.
    pub fn get(&self, name: &[u8]) -> Option<Arc<User>> {
        self.by_name.read().get(name).cloned()
    }

    /// The user that was meant by this one, as it is now, and the version of the list. None if it is gone.
    pub fn renewed(&self, old: &User) -> (Option<Arc<User>>, u64) {
        let list = self.by_name.read();
        let user = list.get(&old.name).filter(|user| user.id == old.id);
        (user.cloned(), self.version())
    }

    /// The default user, who cannot be removed.
    pub fn default_user(&self) -> Arc<User> {
        self.get(DEFAULT_USER)
            .unwrap_or_else(|| Arc::new(self.all_powerful()))
    }

    /// All users by name.
    pub fn list(&self) -> Vec<Arc<User>> {
        self.by_name.read().values().cloned().collect()
    }

    /// The user of that name, if it may come in with that password. Takes as long whether there is one or not.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        let digest = Digest::of(password);
        self.get(name)
            .filter(|user| user.enabled && user.lets_in(&digest))
    }

    /// ACL SETUSER: changes a user by rules, or makes one; all of them or none. The error is the reply's text after its code.
    pub fn set(
        &self,
        name: &[u8],
        words: &[&[u8]],
        all_channels: bool,
    ) -> Result<Changed, Vec<u8>> {
        let words = rules::merge(words).map_err(|at| {
            [
                b"Unmatched parenthesis in acl selector starting at '",
                words[at],
                b"'.",
            ]
            .concat()
        })?;
        // Two who change one user come one after the other.
        self.change(|list| {
            let old = list.get(name).cloned();
            let mut user = match &old {
                Some(old) => User::clone(old),
                None => User::new(name, self.next_id(), &self.catalog, all_channels),
            };
            for word in &words {
                user.apply(word, &self.catalog, all_channels)
                    .map_err(|why| {
                        [
                            b"Error in ACL SETUSER modifier '",
                            shown(word),
                            b"': ",
                            why.text().as_bytes(),
                        ]
                        .concat()
                    })?;
            }
            let fewer_channels = old.is_some_and(|old| user.has_lost_channels(&old));
            let user = Arc::new(user);
            list.insert(name.into(), user.clone());
            Ok(Changed {
                id: user.id,
                now: Some(user),
                fewer_channels,
            })
        })
    }

    /// ACL DELUSER of one user.
    pub fn remove(&self, name: &[u8]) -> Option<Changed> {
        let user = self.change(|list| list.remove(name))?;
        Some(Changed {
            id: user.id,
            now: None,
            fewer_channels: false,
        })
    }

    /// `requirepass` in force: the default user has this password only, or needs none.
    pub fn set_default_password(&self, password: Option<&[u8]>) {
        self.change(|list| {
            if let Some(default) = list.get_mut(DEFAULT_USER) {
                let mut user = User::clone(default);
                user.set_only_password(password);
                *default = Arc::new(user);
            }
        });
    }

    /// ACL LOAD: replaces all users by those of a file; by none of them if one line of it is wrong.
    pub fn load(
        &self,
        path: &str,
        text: &[u8],
        all_channels: bool,
    ) -> Result<Vec<Changed>, String> {
        let mut loaded = file::parse(path, text, &self.catalog, all_channels, || self.next_id())?;
        if !loaded.contains_key(DEFAULT_USER) {
            loaded.insert(DEFAULT_USER.into(), self.all_powerful());
        }
        Ok(self.change(|list| {
            let mut changes = Vec::new();
            for (name, old) in &*list {
                // Who is called the same is the same.
                let now = loaded.get_mut(name).map(|user| {
                    user.id = old.id;
                    &*user
                });
                let fewer_channels = now.is_some_and(|user| user.has_lost_channels(old));
                let now = now.map(|user| Arc::new(user.clone()));
                changes.push(Changed {
                    id: old.id,
                    now,
                    fewer_channels,
                });
            }
            *list = loaded
                .into_iter()
                .map(|(name, user)| (name, Arc::new(user)))
                .collect();
            changes
        }))
    }

    /// All users, one a line, as ACL LIST prints them and an ACL file holds them.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        self.list().iter().map(|user| user.line()).collect()
    }

    /// Counts a refusal.
    pub fn count(&self, reason: Reason) {
        self.denied[reason as usize].fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
