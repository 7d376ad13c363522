//! The dictionary against simple models.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

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
                    let was = dict.find(hash(&k), &k).map(|f| f.remove()).is_some();
                    prop_assert_eq!(was, model.remove(&k).is_some());
                }
                Op::Expire(k, e) => {
                    let k = key_of(k);
                    if let Some(mut f) = dict.find(hash(&k), &k) {
                        f.set_expiry(e);
                    }
                    if let Some(m) = model.get_mut(&k) {
                        m.1 = e;
                    }
                }
                Op::Append(k, more) => {
                    let k = key_of(k);
                    if let Some(mut f) = dict.find(hash(&k), &k) {
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
                    if let Some(mut f) = dict.find(hash(&k), &k)
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
            dict.find(hash(k), k).unwrap().remove();
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
                dict.find(hash(&k), &k).unwrap().remove();
            }
            added = (n / 10).max(added.saturating_sub(n / 16));
        }
        dict.check();
    }
    assert!(seen.iter().all(|&s| s), "a key that stayed was not met");
    let bytes = dict.bytes();
    for i in 0..added {
        let k = key(i);
        dict.find(hash(&k), &k).unwrap().remove();
    }
    assert_eq!(dict.len(), 0);
    assert!(
        dict.bytes() < bytes / 10 + 8192,
        "an emptied table gives its memory back"
    );
}
