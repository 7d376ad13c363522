//! A selector: commands, keys, channels and databases that go together. A user may do what one of its selectors allows as a whole.

use super::catalog::Catalog;
use super::rule_list::{CommandRules, Patterns};
use super::rules::{Wrong, has_spaces, is};
use crate::base::glob;
use crate::table::categories::{CAT_KEYSPACE, CAT_READ, CAT_WRITE, categories, category_by_name};
use crate::table::positions::{each_key, has_keys};
use crate::table::registry::{Entry, KeyLayout};
use crate::table::row::{
    Channels, Databases, Facts, KS_ACCESS, KS_DELETE, KS_INSERT, KS_UPDATE, NO_AUTH,
};
use std::collections::{HashMap, HashSet};

/// What a pattern of keys allows: the value may be looked at.
pub(crate) const READ: u8 = 1;
/// The value may be changed.
pub(crate) const WRITE: u8 = 2;
const BOTH: u8 = READ | WRITE;

/// Why something is refused. Where several selectors refuse it for different reasons, the last in this order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    Command,
    Database,
    Key,
    Channel,
}

/// What is refused: the argument at that index, 0 being the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Denied {
    pub reason: Reason,
    pub at: usize,
}

fn denied(reason: Reason, at: usize) -> Result<(), Denied> {
    Err(Denied { reason, at })
}

/// What has to be compared of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// All of it.
    Text,
    /// The part before the star at its end.
    Prefix,
    Glob,
}

/// A pattern of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyPattern {
    text: Box<[u8]>,
    shape: Shape,
    /// `READ | WRITE`
    allows: u8,
}

impl KeyPattern {
    fn new(text: &[u8], allows: u8) -> KeyPattern {
        let special = |byte: &u8| b"*?[\\".contains(byte);
        let shape = match text.iter().position(special) {
            None => Shape::Text,
            Some(at) if at > 0 && at + 1 == text.len() && text[at] == b'*' => Shape::Prefix,
            Some(_) => Shape::Glob,
        };
        KeyPattern {
            text: text.into(),
            shape,
            allows,
        }
    }

    #[inline]
    fn matches(&self, key: &[u8]) -> bool {
        match self.shape {
            Shape::Prefix => key.starts_with(&self.text[..self.text.len() - 1]),
            Shape::Text => *self.text == *key,
            Shape::Glob => glob::matches(&self.text, key),
        }
    }
}

impl AsRef<[u8]> for KeyPattern {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// What a use of a key needs to be allowed, by the flags of its key spec: nothing, if nothing of the value is shown or changed.
fn needed(flags: u32) -> u8 {
    let mut needed = 0;
    if flags & KS_ACCESS != 0 {
        needed |= READ;
    }
    if flags & (KS_INSERT | KS_DELETE | KS_UPDATE) != 0 {
        needed |= WRITE;
    }
    needed
}

/// Whether a call works on the data of the selected database, as Valkey sees it.
fn uses_database(facts: &Facts) -> bool {
    has_keys(facts) || categories(facts) & (CAT_KEYSPACE | CAT_READ | CAT_WRITE) != 0
}

/// See the module's page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    /// A bit for each command's id.
    commands: Box<[u64]>,
    /// All commands, those included that come with later versions.
    all_commands: bool,
    /// What the rules of commands begin with: `+@all` or `-@all`.
    future: bool,
    /// The rules of commands since.
    rules: CommandRules,
    /// First arguments, in lower case, with which a command is allowed that is not allowed as such, by id.
    first_args: HashMap<usize, HashSet<Box<[u8]>>>,
    all_keys: bool,
    keys: Patterns<KeyPattern>,
    all_channels: bool,
    channels: Patterns<Box<[u8]>>,
    /// None: all.
    databases: Option<Vec<usize>>,
}

impl Selector {
    /// One that allows nothing, but perhaps all channels (`acl-pubsub-default`).
    pub fn new(catalog: &Catalog, all_channels: bool) -> Selector {
        Selector {
            commands: vec![0; catalog.len().div_ceil(64)].into(),
            all_commands: false,
            future: false,
            rules: CommandRules::default(),
            first_args: HashMap::new(),
            all_keys: false,
            keys: Patterns::default(),
            all_channels,
            channels: Patterns::default(),
            databases: None,
        }
    }

    /// The selector that a word in parentheses describes.
    pub fn parse(word: &[u8], catalog: &Catalog, all_channels: bool) -> Result<Selector, Wrong> {
        let mut selector = Selector::new(catalog, all_channels);
        let inner = &word[1..word.len() - 1];
        for word in inner
            .split(|byte| *byte == b' ')
            .filter(|word| !word.is_empty())
        {
            selector.apply(word, catalog)?;
        }
        Ok(selector)
    }

    // ---- what it allows

    /// Whether it allows everything.
    pub fn allows_all(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels && self.databases.is_none()
    }

    #[inline]
    fn has_bit(&self, id: usize) -> bool {
        self.commands[id / 64] >> (id % 64) & 1 != 0
    }

    /// Whether it allows a call with the database `db` selected.
    #[inline]
    pub fn check<H>(&self, entry: &Entry<H>, argv: &[&[u8]], db: usize) -> Result<(), Denied> {
        if !self.has_bit(entry.id) && !self.allows_with(entry, argv) {
            return denied(Reason::Command, 0);
        }
        if let Some(allowed) = &self.databases {
            check_databases(allowed, entry.command, argv, db)?;
        }
        if !self.all_keys && entry.keys != KeyLayout::None {
            self.check_keys(entry, argv)?;
        }
        if entry.command.channels != Channels::None && !self.all_channels {
            self.check_channels(entry.command, argv)?;
        }
        Ok(())
    }

    /// Whether a command that is not allowed as such is so with these arguments, or is one that lets clients in.
    #[cold]
    fn allows_with<H>(&self, entry: &Entry<H>, argv: &[&[u8]]) -> bool {
        let allowed = || {
            let (allowed, first) = (self.first_args.get(&entry.id)?, argv.get(1)?);
            Some(allowed.contains(&first.to_ascii_lowercase()[..]))
        };
        entry.command.has(NO_AUTH) || allowed() == Some(true)
    }

    #[inline]
    fn check_keys<H>(&self, entry: &Entry<H>, argv: &[&[u8]]) -> Result<(), Denied> {
        // Most commands have one key, and most patterns allow both: then it need not be found out what is done to it.
        if let KeyLayout::One(i) = entry.keys
            && let Some(key) = argv.get(i)
            && self
                .keys
                .list()
                .iter()
                .any(|pattern| pattern.allows == BOTH && pattern.matches(key))
        {
            return Ok(());
        }
        self.check_each_key(entry, argv)
    }

    #[inline(never)]
    fn check_each_key<H>(&self, entry: &Entry<H>, argv: &[&[u8]]) -> Result<(), Denied> {
        let mut result = Ok(());
        each_key(entry, argv, |i, flags| {
            let needed = needed(flags);
            let allows = |p: &KeyPattern| p.allows & needed == needed && p.matches(argv[i]);
            if result.is_ok() && !self.keys.list().iter().any(allows) {
                result = denied(Reason::Key, i);
            }
        });
        result
    }

    /// Whether it allows every key to be read.
    pub fn reads_all_keys(&self) -> bool {
        self.all_keys
            || self
                .keys
                .list()
                .iter()
                .any(|p| p.allows & READ != 0 && *p.text == *b"*")
    }

    fn check_channels(&self, facts: &Facts, argv: &[&[u8]]) -> Result<(), Denied> {
        let (names, is_pattern) = match facts.channels {
            Channels::None => return Ok(()),
            Channels::First => (argv.get(1..2), false),
            Channels::All => (argv.get(1..), false),
            Channels::Patterns => (argv.get(1..), true),
        };
        let mut names = names.unwrap_or_default().iter();
        match names.position(|name| !self.allows_channel(name, is_pattern)) {
            Some(at) => denied(Reason::Channel, at + 1),
            None => Ok(()),
        }
    }

    /// Whether it allows a channel, or a pattern of channels, which has to be among its own as it stands.
    pub fn allows_channel(&self, name: &[u8], is_pattern: bool) -> bool {
        let allows = |pattern: &[u8]| match is_pattern {
            true => pattern == name,
            false => glob::matches(pattern, name),
        };
        let mut patterns = self.channels.list().iter();
        self.all_channels || patterns.any(|pattern| allows(pattern))
    }

    /// Whether it has all channels.
    pub fn has_all_channels(&self) -> bool {
        self.all_channels
    }

    /// Its patterns of channels.
    pub fn channels(&self) -> &[Box<[u8]>] {
        self.channels.list()
    }

    // ---- rules

    /// Carries out one rule.
    pub fn apply(&mut self, word: &[u8], catalog: &Catalog) -> Result<(), Wrong> {
        if is(word, "allkeys") || word == b"~*" {
            self.all_keys = true;
            self.keys.clear();
        } else if is(word, "resetkeys") {
            self.all_keys = false;
            self.keys.clear();
        } else if is(word, "allchannels") || word == b"&*" {
            self.all_channels = true;
            self.channels.clear();
        } else if is(word, "resetchannels") {
            self.all_channels = false;
            self.channels.clear();
        } else if is(word, "allcommands") || is(word, "+@all") {
            self.set_all_commands(true);
        } else if is(word, "nocommands") || is(word, "-@all") {
            self.set_all_commands(false);
        } else if is(word, "alldbs") {
            self.databases = None;
        } else if is(word, "resetdbs") {
            self.databases = Some(Vec::new());
        } else {
            match word {
                [b'~', pattern @ ..] => self.add_keys(pattern, BOTH)?,
                [b'%', rest @ ..] => {
                    if self.all_keys {
                        return Err(Wrong::AllKeys);
                    }
                    let (allows, pattern) = permissions(rest)?;
                    self.add_keys(pattern, allows)?;
                }
                [b'&', pattern @ ..] => self.add_channels(pattern)?,
                [sign @ (b'+' | b'-'), name @ ..] => {
                    self.change_commands(*sign == b'+', name, catalog)?
                }
                _ if word.len() > 3 && is(&word[..3], "db=") => self.set_databases(&word[3..])?,
                _ => return Err(Wrong::Syntax),
            }
        }
        Ok(())
    }

    fn set_all_commands(&mut self, allowed: bool) {
        self.commands.fill(if allowed { u64::MAX } else { 0 });
        (self.all_commands, self.future) = (allowed, allowed);
        self.rules.clear();
        self.first_args.clear();
    }

    fn add_keys(&mut self, pattern: &[u8], allows: u8) -> Result<(), Wrong> {
        if self.all_keys {
            return Err(Wrong::AllKeys);
        }
        if has_spaces(pattern) {
            return Err(Wrong::Syntax);
        }
        match self.keys.find(pattern) {
            Some(known) => known.allows |= allows,
            None => self.keys.push(KeyPattern::new(pattern, allows)),
        }
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), Wrong> {
        if self.all_channels {
            return Err(Wrong::AllChannels);
        }
        if has_spaces(pattern) {
            return Err(Wrong::Syntax);
        }
        if self.channels.find(pattern).is_none() {
            self.channels.push(pattern.into());
        }
        Ok(())
    }

    /// `+get`, `-config|set`, `+@read`, `+select|0`, without the sign.
    fn change_commands(
        &mut self,
        allow: bool,
        name: &[u8],
        catalog: &Catalog,
    ) -> Result<(), Wrong> {
        if let [b'@', category @ ..] = name {
            let category = category_by_name(category).ok_or(Wrong::Unknown)?;
            self.rules.note(allow, name);
            for id in catalog.of_category(category) {
                self.change_command(id, allow, catalog);
            }
            return Ok(());
        }
        let bar = name.iter().rposition(|byte| *byte == b'|');
        let Some(bar) = bar.filter(|_| allow) else {
            let id = catalog.find(name).ok_or(Wrong::Unknown)?;
            self.change_command(id, allow, catalog);
            self.rules.note(allow, name);
            return Ok(());
        };
        let (container, sub) = (&name[..bar], &name[bar + 1..]);
        let id = catalog.find(container).ok_or(Wrong::Unknown)?;
        if catalog.get(id).is_sub {
            return Err(Wrong::SubOfSub);
        }
        if sub.is_empty() {
            return Err(Wrong::Syntax);
        }
        if catalog.get(id).subs.is_empty() {
            // Of a command without subcommands: one of its first arguments.
            let allowed = self.first_args.entry(id).or_default();
            allowed.insert(sub.to_ascii_lowercase().into());
        } else {
            let id = catalog.find(name).ok_or(Wrong::Unknown)?;
            self.change_command(id, true, catalog);
        }
        self.rules.note(true, name);
        Ok(())
    }

    fn change_command(&mut self, id: usize, allow: bool, catalog: &Catalog) {
        let bit = 1 << (id % 64);
        if allow {
            self.commands[id / 64] |= bit;
            // What was taken away after `+@all` may all be given back.
            self.all_commands |= self.future && self.commands.iter().all(|bits| *bits == u64::MAX);
        } else {
            self.commands[id / 64] &= !bit;
            self.all_commands = false;
        }
        self.first_args.remove(&id);
        for sub in &catalog.get(id).subs {
            self.change_command(*sub, allow, catalog);
        }
    }

    /// `1,3`
    fn set_databases(&mut self, list: &[u8]) -> Result<(), Wrong> {
        let mut databases = Vec::new();
        for number in list.split(|byte| *byte == b',') {
            let number = resp::parse_i64(trim_zeros(number)).ok_or(Wrong::Syntax)?;
            databases.push(
                i32::try_from(number)
                    .ok()
                    .and_then(|n| usize::try_from(n).ok())
                    .ok_or(Wrong::Database)?,
            );
        }
        databases.sort_unstable();
        databases.dedup();
        self.databases = Some(databases);
        Ok(())
    }

    // ---- as text

    /// Its commands as rules, `-@all +get`.
    pub fn commands_text(&self) -> Vec<u8> {
        let mut text = if self.future {
            b"+@all".to_vec()
        } else {
            b"-@all".to_vec()
        };
        for (allow, name) in self.rules.in_order() {
            text.extend_from_slice(if allow { b" +" } else { b" -" });
            text.extend_from_slice(name);
        }
        text
    }

    /// Its keys as rules, `~a %R~b`.
    pub fn keys_text(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let rule = |pattern: &KeyPattern| {
            let sign: &[u8] = match pattern.allows {
                READ => b"%R~",
                WRITE => b"%W~",
                // Written with its letters, since `~*` would be read as all keys, after which no pattern may follow.
                _ if *pattern.text == *b"*" => b"%RW~",
                _ => b"~",
            };
            [sign, &pattern.text].concat()
        };
        let rules = self.keys.list().iter().map(rule);
        rules.collect::<Vec<_>>().join(&b' ')
    }

    /// Its channels as rules, `&a &b`.
    pub fn channels_text(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let rules = self
            .channels
            .list()
            .iter()
            .map(|pattern| [b"&", &pattern[..]].concat());
        rules.collect::<Vec<_>>().join(&b' ')
    }

    /// Its databases as rules, `db=1,3`; None if it has all.
    pub fn databases_text(&self) -> Option<String> {
        let databases = self.databases.as_ref()?;
        if databases.is_empty() {
            return Some("resetdbs".into());
        }
        let numbers: Vec<String> = databases.iter().map(usize::to_string).collect();
        Some(format!("db={}", numbers.join(",")))
    }

    /// All of it as rules that make the same of a new selector.
    pub fn text(&self) -> Vec<u8> {
        let mut words = vec![self.keys_text()];
        if !self.all_channels {
            words.push(b"resetchannels".to_vec());
        }
        words.push(self.channels_text());
        words.extend(self.databases_text().map(String::into_bytes));
        words.push(self.commands_text());
        words.retain(|word| !word.is_empty());
        words.join(&b' ')
    }
}

/// What stands between `%` and the pattern: `R~`, `W~` or both.
fn permissions(rest: &[u8]) -> Result<(u8, &[u8]), Wrong> {
    let mut allows = 0;
    let mut at = 0;
    while let Some(letter) = rest.get(at) {
        at += 1;
        let bit = match letter.to_ascii_uppercase() {
            b'R' => READ,
            b'W' => WRITE,
            b'~' => break,
            _ => return Err(Wrong::Syntax),
        };
        if allows & bit != 0 {
            return Err(Wrong::Syntax);
        }
        allows |= bit;
    }
    if allows == 0 {
        return Err(Wrong::Syntax);
    }
    Ok((allows, &rest[at..]))
}

fn trim_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == b'0').count();
    &number[zeros.min(number.len().saturating_sub(1))..]
}

/// Whether all databases are allowed that a call works on. The rule is Valkey's.
#[cold]
fn check_databases(
    allowed: &[usize],
    facts: &Facts,
    argv: &[&[u8]],
    db: usize,
) -> Result<(), Denied> {
    let number = |at: usize| {
        let number = argv.get(at).and_then(|arg| resp::parse_i64(arg));
        number.and_then(|number| usize::try_from(number).ok())
    };
    // What is no number is for the command to refuse.
    let named = |at: usize| match number(at) {
        Some(db) if !allowed.contains(&db) => denied(Reason::Database, at),
        _ => Ok(()),
    };
    let selected = || match allowed.contains(&db) {
        true => Ok(()),
        false => denied(Reason::Database, 0),
    };
    match facts.databases {
        Databases::Selected if uses_database(facts) => selected(),
        Databases::Selected => Ok(()),
        Databases::All => denied(Reason::Database, 0),
        Databases::Named(places) => places.iter().try_for_each(|at| named(*at)),
        Databases::AlsoNamed(place) => named(place).and_then(|()| selected()),
        Databases::AfterWord(word) => {
            // The last of several counts, but none may be forbidden.
            let mut words = argv.iter().enumerate().skip(3);
            words
                .try_for_each(
                    |(at, arg)| match arg.eq_ignore_ascii_case(word.as_bytes()) {
                        true => named(at + 1),
                        false => Ok(()),
                    },
                )
                .and_then(|()| selected())
        }
    }
}
