//! A user: its passwords, and what it may do.

use super::catalog::Catalog;
use super::password::Digest;
use super::rules::{Wrong, is};
use super::selector::{Denied, Reason, Selector};
use crate::table::registry::Entry;
use std::collections::HashSet;

/// See the module's page. A value: whoever changes a user makes another.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub name: Box<[u8]>,
    /// Another user that gets the same name later has another.
    pub id: u64,
    /// Whether somebody can become it.
    pub enabled: bool,
    /// Any password will do.
    pub nopass: bool,
    /// What it restores is checked (`sanitize-payload`), which all of it is here.
    sanitize: bool,
    passwords: Vec<Digest>,
    /// The selector that its rules outside of parentheses are about.
    root: Selector,
    selectors: Vec<Selector>,
    /// It may do everything.
    pub all: bool,
}

impl User {
    /// One that can do nothing, but perhaps listen to all channels (`acl-pubsub-default`).
    pub fn new(name: &[u8], id: u64, catalog: &Catalog, all_channels: bool) -> User {
        User {
            name: name.into(),
            id,
            enabled: false,
            nopass: false,
            sanitize: true,
            passwords: Vec::new(),
            root: Selector::new(catalog, all_channels),
            selectors: Vec::new(),
            all: false,
        }
    }

    /// Makes it one that can do everything, without a password.
    pub fn become_all_powerful(&mut self, catalog: &Catalog) {
        for word in ["+@all", "~*", "&*", "alldbs", "on", "nopass"] {
            // None of these can be wrong.
            let _ = self.apply(word.as_bytes(), catalog, true);
        }
    }

    /// It has this password from now on and no other, or needs none.
    pub fn set_only_password(&mut self, password: Option<&[u8]>) {
        self.passwords = password.map(Digest::of).into_iter().collect();
        self.nopass = password.is_none();
    }

    /// Whether a password is right.
    pub fn lets_in(&self, digest: &Digest) -> bool {
        digest.is_among(&self.passwords) || self.nopass
    }

    /// Whether it may make a call with the database `db` selected.
    #[inline]
    pub fn check<H>(&self, entry: &Entry<H>, argv: &[&[u8]], db: usize) -> Result<(), Denied> {
        if self.all {
            return Ok(());
        }
        match self.root.check(entry, argv, db) {
            Err(first) => self.check_others(first, entry, argv, db),
            allowed => allowed,
        }
    }

    /// The same with its other selectors. What the last of several reasons is about is told.
    #[cold]
    fn check_others<H>(
        &self,
        first: Denied,
        entry: &Entry<H>,
        argv: &[&[u8]],
        db: usize,
    ) -> Result<(), Denied> {
        let mut told = first;
        for selector in &self.selectors {
            match selector.check(entry, argv, db) {
                Ok(()) => return Ok(()),
                Err(denied) => told = told.max(denied),
            }
        }
        Err(told)
    }

    /// Whether one of its selectors allows a call and every key to be read.
    pub fn reads_all_keys<H>(&self, entry: &Entry<H>, argv: &[&[u8]], db: usize) -> bool {
        let mut all = std::iter::once(&self.root).chain(&self.selectors);
        self.all || all.any(|s| s.reads_all_keys() && s.check(entry, argv, db).is_ok())
    }

    /// Whether it may listen to a channel, or to a pattern of channels.
    pub fn allows_channel(&self, name: &[u8], is_pattern: bool) -> bool {
        let mut all = std::iter::once(&self.root).chain(&self.selectors);
        all.any(|selector| selector.allows_channel(name, is_pattern))
    }

    /// Whether it has patterns of channels no more that it had before.
    pub fn has_lost_channels(&self, before: &User) -> bool {
        let now = || std::iter::once(&self.root).chain(&self.selectors);
        if now().any(Selector::has_all_channels) {
            return false;
        }
        let mut then = std::iter::once(&before.root).chain(&before.selectors);
        let known: HashSet<&Box<[u8]>> = now().flat_map(Selector::channels).collect();
        then.any(|s| s.has_all_channels() || !s.channels().iter().all(|p| known.contains(p)))
    }

    /// Carries out one rule: a word, or a selector in parentheses.
    pub fn apply(
        &mut self,
        word: &[u8],
        catalog: &Catalog,
        all_channels: bool,
    ) -> Result<(), Wrong> {
        self.apply_one(word, catalog, all_channels)?;
        let mut all = std::iter::once(&self.root).chain(&self.selectors);
        self.all = all.any(Selector::allows_all);
        Ok(())
    }

    fn apply_one(
        &mut self,
        word: &[u8],
        catalog: &Catalog,
        all_channels: bool,
    ) -> Result<(), Wrong> {
        if word.is_empty() {
            return Ok(());
        }
        if is(word, "on") {
            self.enabled = true;
        } else if is(word, "off") {
            self.enabled = false;
        } else if is(word, "nopass") {
            self.nopass = true;
            self.passwords.clear();
        } else if is(word, "resetpass") {
            self.nopass = false;
            self.passwords.clear();
        } else if is(word, "sanitize-payload") {
            self.sanitize = true;
        } else if is(word, "skip-sanitize-payload") {
            self.sanitize = false;
        } else if is(word, "clearselectors") {
            self.selectors.clear();
        } else if is(word, "reset") {
            let new = User::new(&self.name, self.id, catalog, all_channels);
            *self = new;
        } else {
            match word {
                [b'>', password @ ..] => self.add(Digest::of(password)),
                [b'#', hex @ ..] => self.add(Digest::from_hex(hex).ok_or(Wrong::BadDigest)?),
                [b'<', password @ ..] => self.remove(Digest::of(password))?,
                [b'!', hex @ ..] => self.remove(Digest::from_hex(hex).ok_or(Wrong::BadDigest)?)?,
                [b'(', .., b')'] => {
                    self.selectors
                        .push(Selector::parse(word, catalog, all_channels)?);
                }
                _ => self.root.apply(word, catalog)?,
            }
        }
        Ok(())
    }

    fn add(&mut self, digest: Digest) {
        self.nopass = false;
        if !self.passwords.contains(&digest) {
            self.passwords.push(digest);
        }
    }

    fn remove(&mut self, digest: Digest) -> Result<(), Wrong> {
        let at = self.passwords.iter().position(|known| *known == digest);
        self.passwords.remove(at.ok_or(Wrong::NoSuchPassword)?);
        Ok(())
    }

    // ---- as text

    /// What is so or not so of it, as ACL GETUSER lists it.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> {
        let sanitize = if self.sanitize {
            "sanitize-payload"
        } else {
            "skip-sanitize-payload"
        };
        [
            Some(if self.enabled { "on" } else { "off" }),
            self.nopass.then_some("nopass"),
            Some(sanitize),
        ]
        .into_iter()
        .flatten()
    }

    /// The digests of its passwords, in hexadecimal digits.
    pub fn passwords(&self) -> impl ExactSizeIterator<Item = String> {
        self.passwords.iter().map(Digest::hex)
    }

    /// The selector that its rules outside of parentheses are about.
    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// Its other selectors.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// All of it as rules that make the same of a new user.
    pub fn rules(&self) -> Vec<u8> {
        let mut words: Vec<Vec<u8>> = self.flags().map(|flag| flag.as_bytes().to_vec()).collect();
        words.extend(self.passwords().map(|hex| format!("#{hex}").into_bytes()));
        words.push(self.root.text());
        words.extend(
            self.selectors
                .iter()
                .map(|s| [b"(", &s.text()[..], b")"].concat()),
        );
        words.join(&b' ')
    }

    /// The line that ACL LIST prints and an ACL file holds, without its end.
    pub fn line(&self) -> Vec<u8> {
        [b"user ", &self.name[..], b" ", &self.rules()].concat()
    }
}

impl Reason {
    /// What a client is told that may not do something. `what`: the argument that it is about, where that may be said.
    pub fn text(self, user: &User, command: &str, what: Option<&[u8]>) -> Vec<u8> {
        let access = |parts: &[&[u8]]| {
            let begin = [b"User ", &user.name[..], b" has no permissions to "];
            [&begin[..], parts].concat().concat()
        };
        let quoted =
            |what: &[u8], kind: &str| access(&[b"access the '", what, b"' ", kind.as_bytes()]);
        match (self, what) {
            (Reason::Command, _) => access(&[b"run the '", command.as_bytes(), b"' command"]),
            (Reason::Key, Some(key)) => quoted(key, "key"),
            (Reason::Key, None) => "No permissions to access a key".into(),
            (Reason::Channel, Some(channel)) => quoted(channel, "channel"),
            (Reason::Channel, None) => "No permissions to access a channel".into(),
            (Reason::Database, Some(db)) => access(&[b"access database ", db]),
            (Reason::Database, None) => "No permissions to access database".into(),
        }
    }
}
