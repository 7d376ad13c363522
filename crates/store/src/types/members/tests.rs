//! Tests of members: against a plain map, and of how much memory they take.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

/// One byte of length, that many bytes, and a due time if the first of them is `!`.
struct Tagged;

impl Tail for Tagged {
    fn len(bytes: &[u8]) -> usize {
        1 + usize::from(bytes[0])
    }
    fn due_ms(tail: &[u8]) -> Option<u64> {
        (tail.len() >= 10 && tail[1] == b'!')
            .then(|| u64::from_le_bytes(tail[2..10].try_into().expect("eight bytes")))
    }
    fn element<'a>(member: &'a [u8], _: &'a [u8]) -> Element<'a> {
        Element::Member(member)
    }
    fn object(_: Members<Tagged>) -> Object {
        unreachable!("nobody watches")
    }
}

fn tail(fill: u8, len: usize) -> Vec<u8> {
    let mut t = vec![len as u8];
    t.extend(std::iter::repeat_n(fill & 0x1f, len));
    t
}

fn due_tail(ms: u64) -> Vec<u8> {
    let mut t = vec![9, b'!'];
    t.extend(ms.to_le_bytes());
    t
}

fn member(n: u16) -> Vec<u8> {
    let mut m = format!("member {n}").into_bytes();
    match n % 40 {
        0 => m.resize(126, b'.'),
        1 => m.resize(127, b'.'),
        2 => m.resize(3000, b'.'),
        3 => m.resize(20_000, b'.'),
        _ => {}
    }
    m.extend(n.to_le_bytes());
    m
}

#[derive(Clone, Debug)]
enum Op {
    Put(u16, u8, u8),
    PutDue(u16, u64),
    Remove(u16),
    RemoveRandom(u64),
    Expire(u64, usize),
}

fn op(members: u16) -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..members, any::<u8>(), any::<u8>()).prop_map(|(m, f, l)| Op::Put(m, f, l)),
        2 => (0..members, 0u64..1000).prop_map(|(m, ms)| Op::PutDue(m, ms)),
        3 => (0..members).prop_map(Op::Remove),
        1 => any::<u64>().prop_map(Op::RemoveRandom),
        1 => (0u64..100, 1usize..20).prop_map(|(ms, max)| Op::Expire(ms, max)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::testing::cases(64), ..ProptestConfig::default() })]
    #[test]
    fn behave_like_a_map(ops in prop::collection::vec(op(600), 1..2500)) {
        let mut members: Members<Tagged> = Members::new();
        let mut model: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        let put = |members: &mut Members<Tagged>, model: &mut HashMap<Vec<u8>, Vec<u8>>, m: Vec<u8>, t: Vec<u8>| {
            let (a, b) = t.split_at(t.len() / 2);
            match members.find(&m) {
                Some(at) => members.set(at, [a, b, b""]),
                None => members.add_new(&m, [a, b"", b]),
            }
            model.insert(m, t);
        };
        for op in ops {
            match op {
                Op::Put(m, fill, len) => put(&mut members, &mut model, member(m), tail(fill, len as usize)),
                Op::PutDue(m, ms) => put(&mut members, &mut model, member(m), due_tail(ms)),
                Op::Remove(m) => {
                    let m = member(m);
                    prop_assert_eq!(members.remove(&m), model.remove(&m).is_some());
                }
                Op::RemoveRandom(n) => {
                    if let Some(at) = members.random_at(|below| n % below) {
                        let m = members.get(at).member.to_vec();
                        members.remove_at(at);
                        prop_assert!(model.remove(&m).is_some());
                    }
                }
                Op::Expire(now, max) => {
                    let before = model.len();
                    let (n, next) = members.remove_due(now, max, &mut |_| {});
                    let due = model.values().filter_map(|t| Tagged::due_ms(t)).filter(|&ms| ms <= now).count();
                    prop_assert_eq!(n, due.min(max));
                    model.retain(|m, _| members.contains(m));
                    prop_assert_eq!(model.len(), before - n);
                    if let Some(first) = model.values().filter_map(|t| Tagged::due_ms(t)).min() {
                        prop_assert!(next.is_some_and(|ms| ms <= first));
                        prop_assert!(n == max || next.is_some_and(|ms| ms > now));
                    }
                }
            }
        }
        members.check();
        prop_assert_eq!(members.len(), model.len());
        let copy = members.clone();
        copy.check();
        for (m, t) in &model {
                // Fetching ahead changes nothing, whatever has moved meanwhile.
                let hashes = [members.hash_of(m), members.hash_of(b"none")];
                members.fetch_homes(&hashes);
                members.fetch_items(&hashes);
            for members in [&members, &copy] {
                let at = members.find(m).expect("a member of the model");
                prop_assert_eq!(members.get(at), Item { member: m, tail: t });
            }
        }
        let mut seen = 0;
        let mut cursor = 0;
        loop {
            cursor = members.scan(cursor, 7, |i| {
                seen += 1;
                assert_eq!(model[i.member], i.tail);
            });
            if cursor == 0 {
                break;
            }
        }
        prop_assert_eq!(seen, model.len());
        prop_assert_eq!(copy.items().count(), model.len());
        for m in model.keys() {
            prop_assert!(members.remove(m));
        }
        prop_assert_eq!(members.memory(), 0);
    }
}

/// Under churn of one size and of many, the log stays within about twice what is in it.
#[test]
fn waste_is_bounded() {
    let mut set: Members = Members::new();
    let n = if cfg!(feature = "memcheck") {
        2_000u64
    } else {
        40_000
    };
    let name = |i: u64| format!("{:0>w$}", i, w = 12 + (i % 9) as usize).into_bytes();
    for i in 0..n {
        assert!(set.insert(&name(i)));
        assert!(!set.insert(&name(i)));
    }
    let full = set.memory();
    assert!(
        full as f64 / n as f64 <= 12.0 + 17.5 + 1.5,
        "{} bytes a member",
        full as f64 / n as f64
    );
    for i in n..4 * n {
        // Old ones go in an order unrelated to the one they came in.
        assert!(set.remove(&name(i - n)) && set.insert(&name(i)));
    }
    set.check();
    // How much lies idle meanwhile depends on the order that the hash's seed makes.
    assert!(set.memory() < full * 2, "{} of {full}", set.memory());
    for i in (3 * n..4 * n).filter(|i| i % 10 != 0) {
        assert!(set.remove(&name(i)));
    }
    set.check();
    assert!(set.memory() < full / 3, "{} of {full}", set.memory());
    assert_eq!(set.iter().count() as u64, n / 10);
}

#[test]
fn a_large_member_leaves_nothing_behind() {
    let mut set: Members = Members::new();
    assert!(set.insert(&vec![b'x'; 1 << 20]) && set.insert(b"small"));
    assert!(set.remove(&vec![b'x'; 1 << 20]));
    set.check();
    assert!(set.memory() < 10_000);
    assert!(set.insert(&vec![b'y'; 5000]) && set.insert(b"other"));
    set.check();
    // Nor where it stands in the place that the first chunk for small ones would have.
    let mut set: Members = Members::new();
    assert!(set.insert(&vec![b'x'; 1 << 20]) && set.insert(&vec![b'y'; 5000]));
    assert!(set.remove(&vec![b'x'; 1 << 20]));
    set.check();
    assert!(set.memory() < 10_000);
    assert!(set.insert(b"small") && set.contains(b"small"));
    set.check();
}

#[test]
fn cursors_from_nowhere_end_the_scan() {
    let mut set: Members = Members::new();
    assert_eq!(set.scan(0, 10, |_| panic!("nothing is there")), 0);
    set.insert(b"a");
    assert_eq!(set.scan(u64::MAX, 10, |_| panic!("past the end")), 0);
}
