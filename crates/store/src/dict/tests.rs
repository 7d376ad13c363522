//! The dictionary against simple models.

use super::*;
use crate::types::hash::{self as hashes, Expiry, Hash};
use crate::types::kind::Type;
use crate::types::set::{self, Set};
use crate::types::watch::Watcher;
use parking_lot::Mutex;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

fn hash(key: &[u8]) -> u64 {
    // Poor on purpose in its low bits: the table uses only the top ones, which the multiplication mixes well.
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    for &b in key {
        h = (h ^ u64::from(b))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29);
    }
    h.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn bytes_of(v: Value<'_>) -> Vec<u8> {
    match v {
        Value::Int(i) => i.to_string().into_bytes(),
        Value::Inline(b) => b.to_vec(),
        Value::Blob(b) => b.to_vec(),
    }
}

#[derive(Debug, Clone)]
enum Op {
    Set(u16, Vec<u8>, Option<u64>),
    Remove(u16),
    Expire(u16, Option<u64>),
    Append(u16, Vec<u8>),
    Edit(u16),
}

fn op(keys: u16) -> impl Strategy<Value = Op> {
    let value = prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..80),
        2 => any::<i64>().prop_map(|i| i.to_string().into_bytes()),
        1 => (0usize..6000).prop_map(|n| vec![b'x'; n]),
    ];
    prop_oneof![
        5 => (0..keys, value.clone(), prop::option::of(1u64..100)).prop_map(|(k, v, e)| Op::Set(k, v, e)),
        3 => (0..keys).prop_map(Op::Remove),
        1 => (0..keys, prop::option::of(1u64..100)).prop_map(|(k, e)| Op::Expire(k, e)),
        1 => (0..keys, value).prop_map(|(k, v)| Op::Append(k, v)),
        1 => (0..keys).prop_map(Op::Edit),
    ]
}

fn key_of(k: u16) -> Vec<u8> {
    // Some keys are long enough to need the long form of their length.
    let mut key = format!("key:{k}").into_bytes();
    if k.is_multiple_of(17) {
        key.resize(250 + k as usize % 20, b'k');
        key.extend(k.to_le_bytes());
    }
    key
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::testing::cases(48), ..ProptestConfig::default() })]
    /// The dictionary against a plain map, over random histories.
    #[test]
    fn behaves_like_a_map(ops in prop::collection::vec(op(400), 1..3000)) {
        let mut dict = Dict::new();
        let mut model: HashMap<Vec<u8>, (Vec<u8>, Option<u64>)> = HashMap::new();
        for op in ops {
            match op {
                Op::Set(k, v, e) => {
                    let k = key_of(k);
                    dict.set(hash(&k), &k, new_value(&v), e, 7);
                    model.insert(k, (v, e));
                }
                Op::Remove(k) => {
                    let k = key_of(k);
                    let was = dict.find(hash(&k), &k).map(|f| f.change().remove()).is_some();
                    prop_assert_eq!(was, model.remove(&k).is_some());
                }
                Op::Expire(k, e) => {
                    let k = key_of(k);
                    if let Some(mut f) = dict.find(hash(&k), &k).map(Found::change) {
                        f.set_expiry(e);
                    }
                    if let Some(m) = model.get_mut(&k) {
                        m.1 = e;
                    }
                }
                Op::Append(k, more) => {
                    let k = key_of(k);
                    if let Some(mut f) = dict.find(hash(&k), &k).map(Found::change) {
                        if f.edit_blob(|b| b.extend_from_slice(&more)).is_none() {
                            let mut whole = bytes_of(f.get().value());
                            whole.extend_from_slice(&more);
                            f.set_value(string_value(&whole), true);
                        }
                        prop_assert!(f.get().is_raw());
                        model.get_mut(&k).unwrap().0.extend_from_slice(&more);
                    }
                }
                Op::Edit(k) => {
                    let k = key_of(k);
                    if let Some(mut f) = dict.find(hash(&k), &k).map(Found::change)
                        && f.edit_bytes(|b| if let Some(x) = b.first_mut() { *x = b'!' }).is_some()
                        && let Some(x) = model.get_mut(&k).unwrap().0.first_mut() {
                        *x = b'!';
                    }
                }
            }
        }
        dict.check();
        prop_assert_eq!(dict.len(), model.len());
        for (k, (v, e)) in &model {
            let found = dict.get(hash(k), k).expect("a key of the model");
            prop_assert_eq!(&bytes_of(found.value()), v);
            prop_assert_eq!(found.expiry_ms(), *e);
        }
        for n in 0..dict.len() {
            let e = dict.nth(n).unwrap();
            prop_assert!(model.contains_key(e.key()));
        }
        let mut due = Vec::new();
        let mut at = Some(0);
        while let Some(p) = at {
            at = dict.due_from(p, 50, usize::MAX, &mut due).1;
        }
        due.sort();
        let mut want: Vec<_> = model.iter().filter(|(_, (_, e))| e.is_some_and(|e| e <= 50)).map(|(k, _)| k.clone()).collect();
        want.sort();
        prop_assert_eq!(due, want);
        // Removing everything leaves nothing behind.
        for k in model.keys() {
            dict.find(hash(k), k).unwrap().change().remove();
        }
        dict.check();
        prop_assert!(dict.arena.as_ref().is_none_or(|a| a.is_idle()));
    }
}

/// Grows through every size of segment and several splits, then shrinks back, with a walk in progress.
#[test]
fn walks_meet_what_stays_through_growth_and_shrinking() {
    let n: u32 = if cfg!(feature = "memcheck") {
        12_000
    } else {
        60_000
    };
    let mut dict = Dict::new();
    let key = |i: u32| format!("k{i}").into_bytes();
    for i in 0..n / 10 {
        let k = key(i);
        dict.insert(hash(&k), &k, NewValue::Int(i.into()), None, false, 0);
    }
    let mut seen = vec![false; n as usize / 10];
    let mut at = Some(0);
    let (mut added, mut step) = (n / 10, 0);
    while let Some(p) = at {
        at = dict.visit_from(p, |_, e| {
            if let Value::Int(i) = e.value()
                && i < i64::from(n / 10)
            {
                seen[i as usize] = true;
            }
        });
        step += 1;
        if step % 2 == 0 {
            for i in added..(added + n / 8).min(n) {
                let k = key(i);
                dict.insert(hash(&k), &k, NewValue::Int(i.into()), None, false, 0);
            }
            added = (added + n / 8).min(n);
        } else {
            for i in (n / 10).max(added.saturating_sub(n / 16))..added {
                let k = key(i);
                dict.find(hash(&k), &k).unwrap().change().remove();
            }
            added = (n / 10).max(added.saturating_sub(n / 16));
        }
        dict.check();
    }
    assert!(seen.iter().all(|&s| s), "a key that stayed was not met");
    let bytes = dict.bytes();
    for i in 0..added {
        let k = key(i);
        dict.find(hash(&k), &k).unwrap().change().remove();
    }
    assert_eq!(dict.len(), 0);
    assert!(
        dict.bytes() < bytes / 10 + 8192,
        "an emptied table gives its memory back"
    );
}

/// What an observer was told, in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Observer for Told {
    fn before_change(&mut self, h: u64, old: EntryRef<'_>) -> Option<Box<dyn Watcher>> {
        assert_eq!(h, hash(old.key()));
        let key = String::from_utf8_lossy(old.key()).into_owned();
        let was = match old.kind() {
            Type::String => String::from_utf8_lossy(&bytes_of(old.value())).into_owned(),
            kind => format!(
                "{} of {}",
                kind.name(),
                old.view::<Set>().expect("a set").len()
            ),
        };
        let expiry = old.expiry_ms();
        self.0.lock().push(format!("{key} was {was} {expiry:?}"));
        None
    }

    fn before_insert(&mut self, h: u64, key: &[u8]) {
        assert_eq!(h, hash(key));
        self.0
            .lock()
            .push(format!("{} is new", String::from_utf8_lossy(key)));
    }

    fn moved(&mut self, db: usize) {
        self.0.lock().push(format!("it is in {db}"));
    }

    fn take(self: Box<Self>, rest: Dict) -> Option<Dict> {
        self.0.lock().push(format!("{} keys are left", rest.len()));
        Some(rest).filter(|rest| rest.len() > 1)
    }
}

impl Told {
    #[track_caller]
    fn expect(&self, what: &[&str]) {
        assert_eq!(std::mem::take(&mut *self.0.lock()), what);
    }
}

fn found<'d>(dict: &'d mut Dict, key: &[u8]) -> EntryMut<'d> {
    dict.find(hash(key), key).expect("is there").change()
}

#[test]
fn an_observer_is_told_before_each_change_and_of_nothing_else() {
    let told = Told::default();
    let mut dict = Dict::new();
    let h = hash(b"k");
    dict.set(h, b"k", new_value(b"before"), None, 0);
    assert!(dict.observe(Some(Box::new(told.clone()))).is_none());

    // Looking is not changing, nor is holding the door open.
    assert!(dict.get(h, b"k").is_some());
    let open = found(&mut dict, b"k");
    open.touch(9);
    assert_eq!(open.get().clock(), 9);
    told.expect(&[]);

    dict.set(h, b"k", new_value(b"after"), None, 0);
    told.expect(&["k was before None"]);
    dict.set(h, b"k", new_value(b"12"), Some(7), 0);
    told.expect(&["k was after None"]);
    dict.set(hash(b"n"), b"n", new_value(b"1"), None, 0);
    told.expect(&["n is new"]);
    found(&mut dict, b"k").set_expiry(Some(7));
    told.expect(&[]);
    found(&mut dict, b"k").set_expiry(Some(8));
    told.expect(&["k was 12 Some(7)"]);
    found(&mut dict, b"k").set_expiry(None);
    told.expect(&["k was 12 Some(8)"]);
    // Once for each time that the door is opened.
    let mut change = found(&mut dict, b"k");
    change.set_value(new_value(b"text"), true);
    change.edit_bytes(|b| b[0] = b'T');
    change.set_value(string_value(&[b'x'; 5000]), true);
    change.edit_blob(|b| b.truncate(2));
    told.expect(&["k was 12 None"]);
    assert_eq!(found(&mut dict, b"k").edit(|_: &mut Set| ()), None);
    assert!(found(&mut dict, b"n").edit_bytes(|_| ()).is_none());
    told.expect(&[]);
    found(&mut dict, b"k").edit_blob(|b| b.truncate(1));
    told.expect(&["k was xx None"]);
    found(&mut dict, b"k").remove();
    told.expect(&["k was x None"]);

    // Collections, packed and of their own.
    let limits = set::Limits {
        intset_entries: 3,
        listpack_entries: 4,
        listpack_value: 8,
    };
    dict.set(hash(b"s"), b"s", NewValue::Packed(Type::Set, &[]), None, 0);
    told.expect(&["s is new"]);
    for n in 0..8 {
        let member = format!("member {n}");
        let added = found(&mut dict, b"s").edit(|s: &mut Set| s.insert(member.as_bytes(), limits));
        assert_eq!(added, Some(true));
        told.expect(&[&format!("s was set of {n} None")]);
    }
    assert!(dict.get(hash(b"s"), b"s").unwrap().own_object().is_some());

    // It goes along with what it observes.
    let mut other = Dict::new();
    other.swap_contents(&mut dict);
    assert!(other.is_observed() && !dict.is_observed());
    other.tell_where(3);
    dict.tell_where(4);
    told.expect(&["it is in 3"]);
    let observer = other.observe(None);
    assert!(observer.is_some());
    found(&mut other, b"s").remove();
    told.expect(&[]);
    other.check();

    // Who observes what was taken out may have it, and gives it back if not.
    other.set(hash(b"t"), b"t", new_value(b"1"), None, 0);
    other.observe(observer);
    let mut other = other.let_go().expect("two keys");
    told.expect(&["2 keys are left"]);
    assert!(!other.is_observed());
    found(&mut other, b"t").remove();
    other.observe(Some(Box::new(told.clone())));
    assert!(other.let_go().is_none());
    told.expect(&["1 keys are left"]);
    assert!(dict.let_go().is_some());
}

/// A closure may panic at any point of changing a collection: the counts are what a recount gives.
#[test]
fn counts_are_right_after_a_panic_in_the_middle_of_a_change() {
    let board = Arc::new(Board::new(2, 3));
    let row = |db| BoardRow::new(&board, db, 1);
    let (mut dict, mut other) = (Dict::at(row(2)), Dict::at(row(0)));
    let limits = hashes::Limits {
        entries: 2,
        value: 8,
    };
    let put = |dict: &mut Dict, key: &[u8], fields: std::ops::Range<u32>, panics: bool| {
        let run = std::panic::AssertUnwindSafe(|| {
            found(dict, key).edit(|h: &mut Hash| {
                for i in fields {
                    let field = format!("a field {i}");
                    let due = Expiry::At(u64::from(1000 - i));
                    h.set(field.as_bytes(), &[b'v'; 50], due, 0, limits);
                }
                assert!(!panics, "on purpose");
            })
        });
        assert_eq!(std::panic::catch_unwind(run).is_err(), panics);
        dict.check();
    };
    for key in [b"h", b"p"] {
        dict.set(hash(key), key, NewValue::Packed(Type::Hash, &[]), None, 0);
    }
    // Of its own from here on.
    put(&mut dict, b"h", 0..10, false);
    let before = dict.bytes();
    put(&mut dict, b"h", 10..500, true);
    assert!(dict.bytes() > before + 490 * 50, "what was done is counted");
    // And when its first field becomes due is known.
    let mut due = Vec::new();
    assert!(dict.due_from(0, 501, 9, &mut due).0);
    assert_eq!(due, [b"h"]);
    // A packed one is changed in a copy, so nothing has happened.
    put(&mut dict, b"p", 0..1, true);
    assert!(dict.get(hash(b"p"), b"p").unwrap().is_empty_collection());

    let big = [b'x'; 9000];
    other.set(hash(b"b"), b"b", new_value(&big), Some(5), 0);
    let shared = match other.get(hash(b"b"), b"b").unwrap().value() {
        Value::Blob(b) => b.clone(),
        other => panic!("{other:?}"),
    };
    let run = std::panic::AssertUnwindSafe(|| {
        found(&mut other, b"b").edit_blob(|b| {
            b.extend_from_slice(&big);
            panic!("on purpose");
        })
    });
    assert!(std::panic::catch_unwind(run).is_err());
    assert_eq!(shared.len(), 9000);
    other.check();

    // What the board says is the sum, also after databases are exchanged and emptied.
    assert_eq!(board.bytes(1), dict.bytes() + other.bytes());
    assert_eq!((board.bytes(0), board.counts(1, 1)), (0, Counts::default()));
    dict.swap_contents(&mut other);
    assert_eq!(board.counts(2, 1).expiring, 1);
    assert_eq!(board.counts(0, 1).keys, 2);
    assert_eq!(board.bytes(1), dict.bytes() + other.bytes());
    let mut taken = Dict::new();
    other.swap_contents(&mut taken);
    assert_eq!(board.bytes(1), dict.bytes());
    drop((dict, other));
    assert_eq!(board.bytes(1), 0);
}

#[test]
fn what_is_no_entry_of_ours_is_not_taken_for_one() {
    let mut dict = Dict::new();
    let h = hash(b"k");
    dict.set(h, b"k", NewValue::Packed(Type::Set, &[]), None, 0);
    let text = |f: &mut dyn FnMut()| {
        let run = std::panic::AssertUnwindSafe(f);
        *std::panic::catch_unwind(run)
            .expect_err("was accepted")
            .downcast::<String>()
            .expect("a text")
    };
    let said = text(&mut || {
        found(&mut dict, b"k").edit_bytes(|_| ());
    });
    assert_eq!(said, "a Set was taken for a string");
    let first = dict.get(h, b"k").unwrap().entry().addr() as *mut u8;
    // SAFETY: the first byte of a live entry, which is put back before anybody else looks.
    let poke = |byte: u8| unsafe { first.write(byte) };
    for damage in [0x0f_u8, 0x25, 0x51] {
        poke(damage);
        let said = text(&mut || {
            let e = dict.get(h, b"k").unwrap();
            let _ = (e.kind() != Type::String).then(|| e.object());
            e.memory();
        });
        assert!(said.starts_with("an entry is damaged"), "{said}");
    }
    poke(0x21);
    dict.check();
}

#[test]
#[cfg(not(feature = "memcheck"))]
#[should_panic(expected = "a key of 4 GiB")]
fn a_key_whose_length_does_not_fit_is_not_cut() {
    // Never touched, so it takes no memory.
    let key = vec![0; MAX_KEY + 1];
    Dict::new().insert(1, &key, NewValue::Int(1), None, false, 0);
}

/// Most of what was there goes; what stays is moved together, unchanged, and the pages it leaves are given back.
#[test]
#[cfg(not(feature = "memcheck"))]
fn compaction_gives_back_pages_and_changes_nothing() {
    let mut dict = Dict::new();
    let key = |i: u64| format!("key:{i:08}").into_bytes();
    let hash = |i: u64| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let value = |i: u64| vec![i as u8; 20 + (i as usize * 37) % 300];
    let n = 40_000u64;
    for i in 0..n {
        let expiry = i.is_multiple_of(3).then_some(1000 + i);
        dict.insert(
            hash(i),
            &key(i),
            NewValue::Inline(&value(i)),
            expiry,
            false,
            i as u32,
        );
    }
    for i in (0..n).filter(|i| i % 8 != 0) {
        dict.find(hash(i), &key(i)).unwrap().change().remove();
    }
    let (held, used) = (dict.bytes() + dict.idle_bytes(), dict.bytes());
    assert!(dict.idle_bytes() > used, "{} {used}", dict.idle_bytes());
    assert!(dict.begin_compaction());
    let (mut at, mut moved) = (Some(0), [0; 2]);
    while let Some(from) = at {
        at = dict.compact_from(from, &mut moved);
    }
    dict.end_compaction();
    dict.check();
    assert_eq!(moved[0] + moved[1], dict.len() as u64);
    assert!(moved[0] > 0 && moved[1] > 0, "{moved:?}");
    // Pages that are gone take their headers along.
    assert!(
        dict.bytes() <= used && dict.bytes() > used / 4 * 3,
        "{}",
        dict.bytes()
    );
    assert!(dict.bytes() + dict.idle_bytes() < held / 2);
    assert!(dict.idle_bytes() < used / 2, "{} {used}", dict.idle_bytes());
    for i in 0..n {
        let found = dict.get(hash(i), &key(i));
        assert_eq!(found.is_some(), i % 8 == 0);
        let Some(e) = found else { continue };
        assert!(matches!(e.value(), Value::Inline(v) if v == value(i)));
        assert_eq!(e.expiry_ms(), i.is_multiple_of(3).then_some(1000 + i));
        assert_eq!(e.clock(), i as u32);
    }
}
