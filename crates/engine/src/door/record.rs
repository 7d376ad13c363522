//! What is written down of changes that commands could not do again by themselves.
//!
//! Most write commands are written down as they came. Those whose effect depends on the time, on chance, or on what a
//! program made of a value say themselves what another server has to do for the same result.

use crate::base::journal::{Records, put_command};
use crate::door::change::KeyBytes;
use crate::door::keys::Keys;
use resp::number::format_i64;
use std::collections::BTreeMap;
use store::types::hash::Hash;
use store::types::list::List;
use store::types::set::Set;
use store::{Type, Value};

/// Elements that one command removes, of those that are gone because their time was over: others take no more than a million.
const MOST_ELEMENTS: usize = 1024;

/// Writes down that fields of a hash, or members of a set, are gone because their time was over.
pub(crate) fn record_fields<F: AsRef<[u8]>>(
    records: &mut Records,
    db: usize,
    key: &[u8],
    gone: &[F],
    of_set: bool,
) {
    if !gone.is_empty() {
        let verb: &[u8] = if of_set { b"SREM" } else { b"HDEL" };
        for gone in gone.chunks(MOST_ELEMENTS) {
            let mut argv: Vec<&[u8]> = vec![verb, key];
            argv.extend(gone.iter().map(AsRef::as_ref));
            records.push_expired_elements(db, &argv);
        }
    }
}

impl Keys<'_> {
    /// Notes that members of a set of the selected database are gone because their time was over, ahead of what the command does with
    /// the others.
    pub(crate) fn record_expired_ahead(&mut self, key: &[u8], gone: &Gone) {
        if self.recording {
            record_fields(self.records, self.db, key, &gone.0, true);
        }
    }

    /// Notes that elements of a hash or set, of which the command has just written down more, are gone.
    pub(crate) fn record_expired_elements(&mut self, key: &[u8], gone: &Gone) {
        let of_set = self.peek(key).is_some_and(|e| e.kind() == Type::Set);
        if self.recording {
            record_fields(self.records, self.db, key, &gone.0, of_set);
        }
    }

    /// The same of a set that the command itself has changed since. What it has added again is there for whoever does this again, with
    /// the time that is over, and must not have it any more.
    pub(crate) fn record_expired_members(&mut self, key: &[u8], gone: &Gone) {
        if !self.recording || gone.0.is_empty() {
            return;
        }
        let Some(set) = self.peek_view::<Set>(key).ok().flatten() else {
            return self.record_expired_ahead(key, gone);
        };
        let (mut absent, mut lasting) = (Vec::new(), Vec::new());
        for member in &gone.0 {
            match set.due_ms(member) {
                None => absent.push(&member[..]),
                Some(None) => lasting.push(&member[..]),
                // The command says when.
                Some(Some(_)) => {}
            }
        }
        self.record_behind(&[b"SREM", key], absent);
        for lasting in lasting.chunks(MOST_ELEMENTS) {
            let number = lasting.len().to_string();
            let head: [&[u8]; 4] = [b"SPERSIST", key, b"MEMBERS", number.as_bytes()];
            self.record_behind(&head, lasting.to_vec());
        }
    }

    /// Notes that fields of a hash of the selected database are gone because their time was over, unless they are there again.
    pub(crate) fn record_expired_fields(&mut self, key: &[u8], gone: &Gone) {
        if !self.recording {
            return;
        }
        let hash = self.peek_view::<Hash>(key).ok().flatten();
        let is_there = |field: &[u8]| hash.is_some_and(|h| h.get(field, 0).is_some());
        let absent = gone.0.iter().filter(|field| !is_there(field));
        let absent = absent.map(|field| &field[..]).collect();
        self.record_behind(&[b"HDEL", key], absent);
    }

    /// Writes a command down with these elements, behind what the running one did.
    fn record_behind(&mut self, head: &[&[u8]], elements: Vec<&[u8]>) {
        for elements in elements.chunks(MOST_ELEMENTS) {
            let argv = head.iter().chain(elements).map(|arg| arg.to_vec());
            self.records.push_expired_behind(self.db, argv.collect());
        }
    }

    /// The running command is written down in another way than it came, or not at all: see what follows.
    pub(crate) fn record_instead(&mut self) {
        if self.recording {
            self.records.say();
        }
    }

    /// The running command has changed something that is no key, and is written down as it came.
    pub(crate) fn record_command(&mut self) {
        if self.recording {
            self.records.touch();
        }
    }

    /// The running command changes nothing, but replicas are to do it too.
    pub(crate) fn pass_on(&mut self) {
        if self.recording {
            self.records.pass_on();
        }
    }

    /// Writes down when a key expires.
    pub(crate) fn record_expiry(&mut self, key: &[u8], at_ms: u64) {
        if self.recording {
            let mut digits = [0; 20];
            let at = format_i64(at_ms as i64, &mut digits);
            self.record(&[b"PEXPIREAT", key, at]);
        }
    }
}

impl Keys<'_> {
    /// After a panic, when nobody knows what was done: writes a key down as it is now. Of a collection the command stays as it
    /// came.
    #[cold]
    pub(crate) fn record_what_is_there(&mut self, key: &[u8]) {
        let found = self.holds(key).then(|| self.peek(key).map(|e| e.kind()));
        if let Some(None | Some(Type::String)) = found {
            self.record_state(key);
        }
    }

    /// Writes a key of the selected database down as it is now, for a caller that has no command for what it did: a string, or
    /// that there is nothing.
    ///
    /// # Panics
    /// In tests, if the key holds a collection.
    pub(crate) fn record_state(&mut self, key: &[u8]) {
        if !self.recording {
            return;
        }
        // It lies where this looks at.
        let mut text = Vec::new();
        self.put_state(key, &mut text);
        if !text.is_empty() {
            let db = self.db;
            self.records
                .say_one(db, |into| into.extend_from_slice(&text));
        }
    }

    /// Puts the command there that makes a key of the selected database what it is now: a string, or nothing.
    ///
    /// # Panics
    /// In tests, if the key holds a collection.
    #[inline]
    pub(crate) fn put_state(&self, key: &[u8], into: &mut Vec<u8>) {
        let (mut number, mut time) = ([0; 20], [0; 20]);
        let Some(e) = self.peek(key) else {
            return put_command(into, &[b"DEL", key]);
        };
        if e.kind() != Type::String {
            debug_assert!(false, "a collection has a command of its own");
            return;
        }
        let value = match e.value() {
            Value::Int(i) => format_i64(i, &mut number),
            Value::Inline(b) => b,
            Value::Blob(b) => &b[..],
        };
        match e.expiry_ms() {
            None => put_command(into, &[b"SET", key, value]),
            Some(at) => {
                let at = format_i64(at as i64, &mut time);
                put_command(into, &[b"SET", key, value, b"PXAT", at]);
            }
        }
    }

    /// Writes a list of the selected database down, element by element, in place of the running command.
    pub(crate) fn record_list(&mut self, key: &[u8]) {
        if !self.recording {
            return;
        }
        let mut argv: Vec<Vec<u8>> = vec![b"RPUSH".to_vec(), key.to_vec()];
        if let Ok(Some(list)) = self.peek_view::<List>(key) {
            argv.extend(list.iter().texts());
        }
        self.record(&[b"DEL", key]);
        if argv.len() > 2 {
            let argv: Vec<&[u8]> = argv.iter().map(|a| &a[..]).collect();
            self.record(&argv);
        }
        // Which it would not be any more after the DEL.
        if self.peek(key).is_some_and(|e| e.is_kept()) {
            self.record(&[b"BLESS", b"SET", key, b"NO-EVICT"]);
        }
    }

    /// Writes down what became of fields of a hash: those that are gone, their values if `values`, and when they expire.
    pub(crate) fn record_fields_as_they_are<'f>(
        &mut self,
        key: &[u8],
        fields: impl Iterator<Item = &'f [u8]>,
        values: bool,
    ) {
        if !self.recording {
            return;
        }
        let mut gone: Vec<&[u8]> = vec![b"HDEL", key];
        let mut set: Vec<Vec<u8>> = vec![b"HSET".to_vec(), key.to_vec()];
        let mut lasting: Vec<&[u8]> = Vec::new();
        let mut due: BTreeMap<u64, Vec<&[u8]>> = BTreeMap::new();
        {
            let hash = self.peek_view::<Hash>(key).ok().flatten();
            let mut number = [0; 20];
            for field in fields {
                // With no time, nothing is taken for expired: what is there is written down.
                let Some(f) = hash.and_then(|h| h.get(field, 0)) else {
                    gone.push(field);
                    continue;
                };
                if values {
                    set.extend([field.to_vec(), f.value.text(&mut number).to_vec()]);
                }
                match f.due_ms {
                    Some(at) => due.entry(at).or_default().push(field),
                    None => lasting.push(field),
                }
            }
        }
        self.records.say();
        if gone.len() > 2 {
            self.record(&gone);
        }
        if set.len() > 2 {
            let argv: Vec<&[u8]> = set.iter().map(|a| &a[..]).collect();
            self.record(&argv);
        }
        let mut digits = [0; 20];
        let mut count = [0; 20];
        if !values && !lasting.is_empty() {
            let n = format_i64(lasting.len() as i64, &mut count);
            let mut argv: Vec<&[u8]> = vec![b"HPERSIST", key, b"FIELDS", n];
            argv.extend(lasting);
            self.record(&argv);
        }
        for (at, fields) in due {
            let n = format_i64(fields.len() as i64, &mut count);
            let at = format_i64(at as i64, &mut digits);
            let mut argv: Vec<&[u8]> = vec![b"HPEXPIREAT", key, at, b"FIELDS", n];
            argv.extend(fields);
            self.record(&argv);
        }
    }
}

/// Elements of one large collection whose time is over that are removed at a time, so that nobody waits for more than some hundred
/// microseconds.
pub(crate) const EXPIRED_AT_ONCE: usize = 1024;

/// Names of fields whose time was over.
#[derive(Default)]
pub(crate) struct Gone(pub Vec<KeyBytes>);

impl Gone {
    /// Takes one more.
    pub(crate) fn add(&mut self, field: &[u8]) {
        self.0.push(KeyBytes::from_slice(field));
    }
}
