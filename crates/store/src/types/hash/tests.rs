//! Hashes against a plain map, over random histories with time passing.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

type Model = HashMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

#[derive(Clone, Debug)]
enum Op {
    Set(u8, Vec<u8>, Expiry),
    Expire(u8, Option<u64>),
    Remove(u8),
    Pass(u64),
    Sweep,
}

fn op() -> impl Strategy<Value = Op> {
    let value = prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(any::<u8>(), 100..200),
        2 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
    ];
    let expiry = prop_oneof![
        5 => Just(Expiry::Clear),
        1 => Just(Expiry::Keep),
        1 => (1u64..100).prop_map(Expiry::At),
    ];
    prop_oneof![
        8 => (any::<u8>(), value, expiry).prop_map(|(f, v, e)| Op::Set(f, v, e)),
        2 => (any::<u8>(), prop::option::of(1u64..100)).prop_map(|(f, e)| Op::Expire(f, e)),
        4 => any::<u8>().prop_map(Op::Remove),
        1 => (1u64..20).prop_map(Op::Pass),
        1 => Just(Op::Sweep),
    ]
}

fn name(f: u8) -> Vec<u8> {
    let mut name = format!("f{f}").into_bytes();
    if f.is_multiple_of(16) {
        name.resize(35, b'.');
    }
    name
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::testing::cases(128), ..ProptestConfig::default() })]
    #[test]
    fn behave_like_a_map(ops in prop::collection::vec(op(), 1..600), entries in 0usize..200, value in 20usize..300) {
        let limits = Limits { entries, value };
        let mut hash = Hash::new();
        let mut model = Model::new();
        let mut now = 1000u64;
        let mut timed = false;
        for op in ops {
            model.retain(|_, (_, due)| due.is_none_or(|ms| ms > now));
            match op {
                Op::Set(f, v, e) => {
                    let f = name(f);
                    let old = model.get(&f).and_then(|(_, due)| *due);
                    let (e, due) = match e {
                        Expiry::Clear => (e, None),
                        Expiry::Keep => (e, old),
                        Expiry::At(ms) => (Expiry::At(now + ms), Some(now + ms)),
                    };
                    timed |= due.is_some();
                    prop_assert_eq!(hash.set(&f, &v, e, now, limits), !model.contains_key(&f));
                    model.insert(f, (v, due));
                }
                Op::Expire(f, e) => {
                    let (f, e) = (name(f), e.map(|ms| now + ms));
                    if let Some(m) = model.get_mut(&f) {
                        timed |= e.is_some();
                        hash.set_expiry(&f, e);
                        m.1 = e;
                    }
                }
                Op::Remove(f) => {
                    let f = name(f);
                    prop_assert_eq!(hash.remove(&f, now), model.remove(&f).is_some());
                }
                Op::Pass(ms) => now += ms,
                Op::Sweep => {
                    hash.expire_fields(now, usize::MAX, &mut |_| {});
                    prop_assert!(hash.next_due_ms().is_none_or(|ms| ms > now));
                    prop_assert_eq!(hash.len(), model.len());
                }
            }
            let first = model.values().filter_map(|(_, due)| *due).min();
            prop_assert!(first.is_none_or(|first| hash.next_due_ms().is_some_and(|ms| ms <= first)));
            prop_assert!(timed || hash.next_due_ms().is_none());
        }
        model.retain(|_, (_, due)| due.is_none_or(|ms| ms > now));
        // Inside an entry and back.
        if let Some(bytes) = hash.packed() {
            prop_assert!(!timed);
            let view = Hash::view_packed(bytes);
            prop_assert_eq!(view.len(), model.len());
            hash = Hash::from_packed(bytes.to_vec());
        }
        let copy = hash.clone();
        for hash in [&hash, &copy] {
            let view = hash.view();
            let all: HashMap<_, _> = view.iter(now).map(|(f, field)| (f.to_vec(), (field.value.to_vec(), field.due_ms))).collect();
            prop_assert_eq!(&all, &model);
            for (f, (v, due)) in &model {
                let field = view.get(f, now).expect("a field of the model");
                prop_assert_eq!((&field.value.to_vec(), field.due_ms), (v, *due));
            }
            prop_assert_eq!(view.get(b"none", now), None);
            let mut seen = HashMap::new();
            let mut cursor = 0;
            loop {
                cursor = view.scan(cursor, 5, now, |f, v| drop(seen.insert(f.to_vec(), v.to_vec())));
                if cursor == 0 {
                    break;
                }
            }
            prop_assert_eq!(seen.len(), model.len());
            match view.random(now, |n| n / 2) {
                Some((f, field)) => prop_assert_eq!(&model[f].0, &field.value.to_vec()),
                None => prop_assert!(model.is_empty()),
            }
        }
        if model.len() > entries || model.values().any(|(v, _)| v.len() > value) || model.keys().any(|f| f.len() > value) {
            prop_assert_eq!(Hash::encoding(hash.view()), "hashtable");
        }
    }
}

const LIMITS: Limits = Limits {
    entries: 4,
    value: 10,
};

fn set(hash: &mut Hash, field: &[u8], value: &[u8]) {
    hash.set(field, value, Expiry::Clear, 0, LIMITS);
}

#[test]
fn forms_change_where_redis_changes_them() {
    let encoding = |h: &Hash| Hash::encoding(h.view());
    let mut h = Hash::new();
    for f in [b"a", b"b", b"c", b"d"] {
        set(&mut h, f, b"0123456789");
    }
    assert_eq!(encoding(&h), "listpack");
    let mut grown = h.clone();
    set(&mut grown, b"e", b"");
    assert_eq!(encoding(&grown), "hashtable");
    let mut long = h.clone();
    set(&mut long, b"a", b"01234567890");
    assert_eq!(encoding(&long), "hashtable");
    let mut many = h.clone();
    many.prepare(4, [], LIMITS);
    assert_eq!(encoding(&many), "listpack");
    many.prepare(5, [], LIMITS);
    assert_eq!(encoding(&many), "hashtable");
    let mut lowered = h.clone();
    lowered.set(
        b"a",
        b"",
        Expiry::Clear,
        0,
        Limits {
            entries: 3,
            value: 10,
        },
    );
    assert_eq!(encoding(&lowered), "hashtable");
    h.set_expiry(b"a", Some(50));
    assert_eq!(encoding(&h), "listpackex");
    h.set_expiry(b"a", None);
    assert_eq!(encoding(&h), "listpackex", "never back");
    assert!(h.packed().is_none(), "the sweeper only looks at objects");
}

#[test]
fn a_large_hash_expires_in_parts() {
    let limits = Limits {
        entries: 0,
        value: 0,
    };
    let mut h = Hash::new();
    for i in 0..3000u32 {
        h.set(
            &i.to_le_bytes(),
            b"v",
            if i < 2500 {
                Expiry::At(5)
            } else {
                Expiry::Clear
            },
            1,
            limits,
        );
    }
    assert_eq!(h.expire_fields(4, 1024, &mut |_| {}), 0);
    let mut rounds = 0;
    while h.next_due_ms().is_some_and(|ms| ms <= 5) {
        assert!(h.expire_fields(5, 1024, &mut |_| {}) <= 1024);
        rounds += 1;
    }
    assert_eq!((rounds, h.len(), h.next_due_ms()), (3, 500, None));
}
