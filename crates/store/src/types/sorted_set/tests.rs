//! Sorted sets against a simple model: a map of scores, sorted when asked.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const LIMITS: Limits = Limits {
    entries: 8,
    member: 12,
};
const NEVER_SMALL: Limits = Limits {
    entries: 0,
    member: 0,
};

/// Members and scores in order.
fn sorted(model: &BTreeMap<Vec<u8>, f64>) -> Vec<(Vec<u8>, f64)> {
    let mut all: Vec<_> = model.iter().map(|(m, s)| (m.clone(), *s)).collect();
    all.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap().then_with(|| a.0.cmp(&b.0)));
    all
}

fn collect<'a>(entries: impl Iterator<Item = (Item<'a>, f64)>) -> Vec<(Vec<u8>, f64)> {
    entries.map(|(m, s)| (m.to_vec(), s)).collect()
}

fn check(set: &SortedSet, model: &BTreeMap<Vec<u8>, f64>) {
    let (view, all) = (set.view(), sorted(model));
    if let Repr::Large(large) = &set.0 {
        large.check();
    }
    assert_eq!(view.len(), all.len());
    assert_eq!(collect(view.entries()), all);
    let mut down = collect(view.iter_down(0..all.len()));
    down.reverse();
    assert_eq!(down, all);
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-5i32..5).prop_map(f64::from),
        2 => (0u32..1_000_000).prop_map(f64::from),
        1 => any::<f64>().prop_filter("no NaN", |s| !s.is_nan()),
        1 => prop::sample::select(vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, 0.5, 1e300, -1e-300]),
    ]
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (0u32..400).prop_map(|n| n.to_string().into_bytes()),
        2 => (0u32..100).prop_map(|n| format!("member-{n:03}").into_bytes()),
        1 => (0usize..4).prop_map(|n| vec![b'x'; [0, 13, 300, 5000][n]]),
    ]
}

#[derive(Clone, Debug)]
enum Op {
    Insert(Vec<u8>, f64),
    /// Inserts all of these after a look ahead.
    Ahead(Vec<(Vec<u8>, f64)>),
    Remove(Vec<u8>),
    RemoveRanks(prop::sample::Index, usize),
    Many(u16, bool),
    Clone,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => (member(), score()).prop_map(|(m, s)| Op::Insert(m, s)),
        3 => prop::collection::vec((member(), score()), 1..20).prop_map(Op::Ahead),
        8 => member().prop_map(Op::Remove),
        2 => (any::<prop::sample::Index>(), prop_oneof![0usize..5, 0usize..200]).prop_map(|(at, n)| Op::RemoveRanks(at, n)),
        1 => (0u16..300, any::<bool>()).prop_map(|(n, up)| Op::Many(n, up)),
        1 => Just(Op::Clone),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::testing::cases(96), ..ProptestConfig::default() })]
    #[test]
    fn behaves_like_a_sorted_map(
        limits in prop::sample::select(vec![LIMITS, NEVER_SMALL, Limits { entries: 128, member: 64 }]),
        ops in prop::collection::vec(op(), 1..250),
        ranges in prop::collection::vec((score(), score(), any::<bool>(), any::<bool>()), 8),
    ) {
        let mut set = SortedSet::default();
        let mut model = BTreeMap::new();
        for op in ops {
            match op {
                Op::Insert(m, s) => {
                    let old = model.get(&m).copied();
                    prop_assert_eq!(set.insert(&m, s, limits), old);
                    // Equal scores are not exchanged, so that a zero keeps its sign.
                    if old != Some(s) {
                        model.insert(m, s);
                    }
                }
                Op::Ahead(all) => {
                    let ahead = all.iter().filter_map(|(member, score)| {
                        let hash = set.hash_of(member)?;
                        Some(Move { hash, member, goal: Goal::Score(*score) })
                    });
                    let ahead: Vec<_> = ahead.collect();
                    let hashes: Vec<u64> = ahead.iter().map(|m| m.hash).collect();
                    set.fetch_homes(&hashes);
                    set.fetch_items(&hashes);
                    set.fetch_places(&ahead);
                    for (m, s) in all {
                        let old = model.get(&m).copied();
                        prop_assert_eq!(set.insert(&m, s, limits), old);
                        if old != Some(s) {
                            model.insert(m, s);
                        }
                    }
                }
                Op::Remove(m) => {
                    if let Some(hash) = set.hash_of(&m) {
                        set.fetch_places(&[Move { hash, member: &m, goal: Goal::Same }]);
                    }
                    let rank = sorted(&model).iter().position(|(member, _)| *member == m);
                    prop_assert_eq!(set.view().rank(&m).map(|(rank, _)| rank), rank);
                    prop_assert_eq!(set.remove(&m), model.remove(&m));
                }
                Op::RemoveRanks(at, n) => {
                    let all = sorted(&model);
                    let at = if all.is_empty() { 0 } else { at.index(all.len()) };
                    let ranks = at..(at + n).min(all.len());
                    set.remove_ranks(ranks.clone());
                    for (m, _) in &all[ranks] {
                        model.remove(m);
                    }
                }
                Op::Many(n, up) => {
                    for i in 0..n {
                        let i = if up { i } else { n - i };
                        let (m, s) = (format!("many-{i}").into_bytes(), f64::from(i) * 1.5);
                        set.insert(&m, s, limits);
                        model.insert(m, s);
                    }
                }
                Op::Clone => set = set.clone(),
            }
            prop_assert_eq!(set.view().len(), model.len());
        }
        check(&set, &model);
        let (view, all) = (set.view(), sorted(&model));
        for (rank, (m, s)) in all.iter().enumerate() {
            prop_assert_eq!(view.rank(m), Some((rank, *s)));
            prop_assert_eq!(view.score(m), Some(*s));
        }
        prop_assert_eq!(view.rank(b"nobody"), None);
        for (a, b, min_open, max_open) in ranges {
            let range = ScoreRange { min: a, max: b, min_open, max_open };
            let ranks = view.ranks_by_score(&range);
            let want: Vec<_> = all.iter().filter(|(_, s)| range.above_min(*s) && range.below_max(*s)).cloned().collect();
            prop_assert_eq!(collect(view.iter(ranks.clone())), want.clone());
            let mut down = collect(view.iter_down(ranks));
            down.reverse();
            prop_assert_eq!(down, want);
        }
        let mut cursor = 0;
        let mut seen = BTreeMap::new();
        loop {
            cursor = view.scan(cursor, 7, |m, s| { seen.insert(m.to_vec(), s); });
            if cursor == 0 {
                break;
            }
        }
        prop_assert_eq!(seen, model);
    }

    #[test]
    fn ranges_of_members(
        limits in prop::sample::select(vec![NEVER_SMALL, Limits { entries: 1000, member: 64 }]),
        members in prop::collection::btree_set(member(), 0..300),
        bounds in prop::collection::vec((member(), member(), 0u8..4, 0u8..4), 8),
    ) {
        let mut set = SortedSet::default();
        for m in &members {
            set.insert(m, 3.5, limits);
        }
        for (a, b, low, high) in &bounds {
            let bound = |m, kind| match kind { 0 => LexBound::Min, 1 => LexBound::Max, 2 => LexBound::Closed(m), _ => LexBound::Open(m) };
            let range = LexRange { min: bound(&a[..], *low), max: bound(&b[..], *high) };
            let want: Vec<_> = members.iter().filter(|m| range.above_min(m) && range.below_max(m)).cloned().collect();
            for downwards in [false, true] {
                let ranks = set.view().ranks_by_lex(&range, downwards);
                let got: Vec<_> = set.view().iter(ranks).map(|(m, _)| m.to_vec()).collect();
                prop_assert_eq!(&got, &want);
            }
        }
    }

    #[test]
    fn built_at_once(list in prop::collection::vec((member(), score()), 0..700), small in any::<bool>()) {
        let limits = if small { Limits { entries: 1000, member: 5000 } } else { NEVER_SMALL };
        let mut builder = Builder::new();
        let mut model = BTreeMap::new();
        for (m, s) in list {
            builder.merge(&m, |old| old.map_or(s, |o| o.max(s)));
            let old = model.get(&m).copied();
            model.insert(m, old.map_or(s, |o: f64| o.max(s)));
        }
        let mut set = builder.finish(limits);
        check(&set, &model);
        prop_assert_eq!(SortedSet::encoding(set.view()), if small || model.is_empty() { "listpack" } else { "skiplist" });
        // And what was built at once can be changed like any other.
        for m in model.keys().cloned().collect::<Vec<_>>().iter().step_by(2) {
            prop_assert_eq!(set.remove(m), model.remove(m));
        }
        check(&set, &model);
    }
}

/// Members that begin alike for a while, so that hints hold what stands behind that, among few scores.
fn alike() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        30 => (0u32..3000).prop_map(|n| format!("element:{n:06}").into_bytes()),
        10 => (0u32..3000).prop_map(|n| format!("element:00{n}").into_bytes()),
        1 => prop::sample::select(vec![&b""[..], b"e", b"element:", b"element:00", b"elements", b"elemental", b"f", b"\xff"]).prop_map(<[u8]>::to_vec),
    ]
}

fn few_scores() -> impl Strategy<Value = f64> {
    prop_oneof![
        20 => (-3i32..3).prop_map(f64::from),
        1 => (-3i32..3).prop_map(|n| f64::from(n) / 3.0),
        1 => prop::sample::select(vec![0.0, 1e9, 1e-300, f64::NEG_INFINITY]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::testing::cases(48), ..ProptestConfig::default() })]
    #[test]
    fn members_that_begin_alike_are_in_order(
        same in any::<bool>(),
        first in prop::collection::vec((0u32..3000, -3i32..3), 0..400),
        then in prop::collection::vec((alike(), few_scores(), any::<bool>()), 1..400),
        asked in prop::collection::vec((alike(), alike(), few_scores()), 20),
    ) {
        let mut set = SortedSet::default();
        let mut model = BTreeMap::new();
        let score = |s: f64| if same { 7.0 } else { s };
        for (n, s) in first {
            let member = format!("element:{n:06}").into_bytes();
            set.insert(&member, score(f64::from(s)), NEVER_SMALL);
            model.insert(member, score(f64::from(s)));
        }
        check(&set, &model);
        for (m, s, removes) in then {
            if removes {
                prop_assert_eq!(set.remove(&m), model.remove(&m));
            } else {
                set.insert(&m, score(s), NEVER_SMALL);
                model.insert(m, score(s));
            }
        }
        check(&set, &model);
        let (view, all) = (set.view(), sorted(&model));
        for (rank, (m, s)) in all.iter().enumerate() {
            prop_assert_eq!(view.rank(m), Some((rank, *s)));
        }
        // Places of members that are not there, on either side of those that begin alike.
        for (a, b, s) in asked {
            let s = score(s);
            let mut below = Vec::new();
            if let Some(large) = set.own() {
                large.stretch(Some((s, &a)), all.len(), &mut |element| {
                    if let crate::types::watch::Element::Scored(m, s) = element {
                        below.push((m.to_vec(), s));
                    }
                });
                below.reverse();
                let n = all.iter().filter(|(m, other)| (*other, m) < (s, &a)).count();
                prop_assert_eq!(&below[..], &all[..n]);
            }
            if same {
                let range = LexRange { min: LexBound::Open(&a), max: LexBound::Closed(&b) };
                let want = all.iter().filter(|(m, _)| range.above_min(m) && range.below_max(m));
                let got = collect(view.iter(view.ranks_by_lex(&range, false)));
                prop_assert!(got.iter().eq(want));
            }
            let ranks = view.ranks_by_score(&ScoreRange::closed(s, s));
            prop_assert!(collect(view.iter(ranks)).iter().eq(all.iter().filter(|(_, other)| *other == s)));
        }
    }
}

#[test]
fn grows_out_of_its_packed_form_as_redis_does() {
    let encoding = |set: &SortedSet| SortedSet::encoding(set.view());
    let mut set = SortedSet::default();
    for n in 0..8 {
        set.insert(format!("{n}").as_bytes(), 1.0, LIMITS);
    }
    set.insert(b"3", 7.5, LIMITS);
    assert_eq!(encoding(&set), "listpack");
    set.insert(b"8", 1.0, LIMITS);
    assert_eq!(encoding(&set), "skiplist");
    for n in 0..8 {
        set.remove(format!("{n}").as_bytes());
    }
    assert_eq!(
        (encoding(&set), set.view().len()),
        ("skiplist", 1),
        "there is no way back"
    );
    let mut set = SortedSet::default();
    set.insert(b"twelve bytes", 1.0, LIMITS);
    assert_eq!(encoding(&set), "listpack");
    set.insert(b"thirteen byte", 1.0, LIMITS);
    assert_eq!(encoding(&set), "skiplist");
    let mut set = SortedSet::default();
    set.expect(9, 1, LIMITS);
    assert_eq!(encoding(&set), "skiplist");
}

/// All the memory that a million members take, as far as a sorted set knows it: the promise is 56 bytes each.
#[test]
fn a_member_of_16_bytes_takes_few_more() {
    const N: u64 = 100_000;
    let mut state = 1u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 11
    };
    for ascending in [false, true] {
        let mut set = SortedSet::default();
        for n in 0..N {
            let score = if ascending { n as f64 } else { random() as f64 };
            set.insert(format!("{n:016}").as_bytes(), score, LIMITS);
        }
        let each = set.memory() as f64 / N as f64;
        assert!(each < 54.0, "{each} bytes a member");
    }
}

/// Trees of several levels: filled in random, ascending and descending order, thinned out at random and in runs, with
/// everything that must hold checked in between.
#[test]
fn deep_trees_stay_in_order() {
    let n = crate::testing::cases(70_000) as u64;
    let mut state = 7u64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for order in 0..3 {
        let mut set = SortedSet::default();
        let mut model = BTreeMap::new();
        for i in 0..n {
            let score = match order {
                0 => random(n / 3) as f64 - 100.0,
                1 => i as f64,
                _ => -(i as f64),
            };
            let member = format!("{i}").into_bytes();
            set.insert(&member, score, NEVER_SMALL);
            model.insert(member, score);
        }
        check(&set, &model);
        for _ in 0..n / 2 {
            let member = format!("{}", random(n)).into_bytes();
            match random(3) {
                0 => assert_eq!(set.remove(&member), model.remove(&member)),
                1 if model.contains_key(&member) => {
                    let score = random(n) as f64;
                    set.insert(&member, score, NEVER_SMALL);
                    model.insert(member, score);
                }
                _ => assert_eq!(set.view().score(&member), model.get(&member).copied()),
            }
        }
        check(&set, &model);
        while model.len() > 1000 {
            let all = sorted(&model);
            let start = random(all.len() as u64) as usize;
            let end = (start + all.len() / 3).min(all.len());
            set.remove_ranks(start..end);
            for (member, _) in &all[start..end] {
                model.remove(member);
            }
            check(&set, &model);
            for rank in (0..model.len()).step_by(97) {
                let (member, score) = set.view().at(rank).unwrap();
                assert_eq!(set.view().rank(&member.to_vec()), Some((rank, score)));
            }
        }
    }
}
