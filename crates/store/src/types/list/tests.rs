//! Lists of every form against a plain vector, through random histories.

use super::*;
use proptest::prelude::*;
use std::sync::Arc;

/// Texts of every kind of entry, with equal ones among them.
pub(super) fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (0u8..6).prop_map(|n| vec![b'a' + n; n as usize]),
        4 => (-9i64..200).prop_map(|n| n.to_string().into_bytes()),
        2 => (0u32..64, any::<bool>()).prop_map(|(b, neg)| {
            let n = 1i64.wrapping_shl(b);
            (if neg { n.wrapping_neg() } else { n.wrapping_sub(1) }).to_string().into_bytes()
        }),
        3 => prop::collection::vec(any::<u8>(), 0..300),
        1 => (1usize..20_000).prop_map(|n| vec![b'x'; n]),
    ]
}

fn end() -> impl Strategy<Value = End> {
    any::<bool>().prop_map(|front| if front { End::Front } else { End::Back })
}

#[derive(Clone, Debug)]
enum Op {
    Push(End, Vec<Vec<u8>>),
    Pop(End),
    Rotate(End, End),
    Set(usize, Vec<u8>),
    Insert(usize, bool, Vec<u8>),
    Remove(usize, usize),
    Keep(usize, usize),
    RemoveEqual(usize, End, usize),
}

fn op() -> impl Strategy<Value = Op> {
    let at = 0usize..1000;
    prop_oneof![
        8 => (end(), prop::collection::vec(text(), 1..8)).prop_map(|(e, t)| Op::Push(e, t)),
        4 => end().prop_map(Op::Pop),
        1 => (end(), end()).prop_map(|(a, b)| Op::Rotate(a, b)),
        4 => (at.clone(), text()).prop_map(|(i, t)| Op::Set(i, t)),
        4 => (at.clone(), any::<bool>(), text()).prop_map(|(i, b, t)| Op::Insert(i, b, t)),
        1 => (at.clone(), 0usize..60).prop_map(|(i, n)| Op::Remove(i, n)),
        1 => (at.clone(), 0usize..200).prop_map(|(i, n)| Op::Keep(i, n)),
        2 => (at, end(), 1usize..5).prop_map(|(i, e, n)| Op::RemoveEqual(i, e, if n == 4 { usize::MAX } else { n })),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let sizes = prop_oneof![
        Just(-2),
        Just(-1),
        Just(1),
        Just(2),
        Just(4),
        Just(16),
        Just(128),
        Just(0),
        Just(-5)
    ];
    let thresholds = prop_oneof![4 => Just(0usize), 1 => Just(100usize), 1 => Just(1usize)];
    let depths = prop_oneof![2 => Just(0usize), 3 => Just(1), 1 => Just(2), 1 => Just(3)];
    (sizes, thresholds, depths).prop_map(|(max_listpack_size, packed_threshold, compress_depth)| {
        Limits {
            max_listpack_size,
            packed_threshold,
            compress_depth,
        }
    })
}

fn texts(items: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    items.collect()
}

fn check(list: &List, model: &[Vec<u8>]) {
    let view = list.view();
    assert_eq!(
        (view.len(), Collection::len(list)),
        (model.len(), model.len())
    );
    assert_eq!(texts(view.iter().texts()), model);
    let mut backwards = texts(
        view.iter_from(model.len().wrapping_sub(1), End::Back)
            .texts(),
    );
    backwards.reverse();
    assert_eq!(backwards, model);
    let chunks: usize = (0..view.chunk_count())
        .map(|at| match view.chunk(at) {
            Some(Chunk::Packed(_, count)) => count,
            Some(Chunk::Plain(_)) => 1,
            Some(Chunk::Compressed { count, .. }) => count.max(1),
            None => panic!("a piece is missing"),
        })
        .sum();
    assert_eq!(chunks, model.len());
    let mut by_chunk = Vec::new();
    for at in 0..view.chunk_count() {
        let chunk = view.chunk(at).expect("a piece");
        chunk.for_each(|item| by_chunk.push(item.to_vec()));
    }
    assert_eq!(by_chunk, model);
    match &list.0 {
        Repr::Nodes(nodes) => nodes.check(),
        Repr::Small(run) => assert!(run.0.len() <= MAX_INLINE),
        Repr::Single(_) => {}
    }
}

/// Applies an operation to both; they must agree on what it returns.
fn apply(op: Op, list: &mut List, model: &mut Vec<Vec<u8>>, limits: Limits) {
    let pick = |at: usize, model: &[Vec<u8>]| {
        if model.is_empty() {
            0
        } else {
            at % model.len()
        }
    };
    match op {
        Op::Push(end, new) => {
            // Some of them come with memory of their own.
            let blobs: Vec<_> = new.iter().map(|t| Arc::new(t.clone())).collect();
            let items = blobs.iter().map(|b| {
                if b.len() % 2 == 0 {
                    Item::Bytes(b)
                } else {
                    Item::Blob(b)
                }
            });
            list.push(end, items, limits);
            for text in new {
                model.insert(if end == End::Front { 0 } else { model.len() }, text);
            }
        }
        Op::Pop(end) => {
            let got = list.pop(end, limits, |item| item.to_vec());
            let want = match end {
                End::Front => (!model.is_empty()).then(|| model.remove(0)),
                End::Back => model.pop(),
            };
            assert_eq!(got, want);
        }
        Op::Rotate(from, to) => {
            let got = list.rotate(from, to, limits, |item| item.to_vec());
            let want = match from {
                End::Front => (!model.is_empty()).then(|| model.remove(0)),
                End::Back => model.pop(),
            };
            assert_eq!(got, want);
            if let Some(text) = want {
                model.insert(if to == End::Front { 0 } else { model.len() }, text);
            }
        }
        Op::Set(at, text) => {
            let at = if at % 10 == 0 {
                model.len()
            } else {
                pick(at, model)
            };
            assert_eq!(list.set(at, Item::Bytes(&text), limits), at < model.len());
            if let Some(old) = model.get_mut(at) {
                *old = text;
            }
        }
        Op::Insert(at, behind, text) => {
            let pivot = model
                .get(pick(at, model))
                .cloned()
                .unwrap_or_else(|| b"missing".to_vec());
            let found = model.iter().position(|t| *t == pivot);
            assert_eq!(
                list.insert(&pivot, behind, Item::Bytes(&text), limits),
                found.is_some()
            );
            if let Some(found) = found {
                model.insert(found + usize::from(behind), text);
            }
        }
        Op::Remove(at, n) => {
            let at = pick(at, model);
            let range = at..(at + n).min(model.len());
            list.remove(range.clone(), limits);
            model.drain(range);
        }
        Op::Keep(at, n) => {
            let at = pick(at, model);
            let range = at..(at + n).min(model.len());
            list.keep(range.clone(), limits);
            *model = model[range].to_vec();
        }
        Op::RemoveEqual(at, end, most) => {
            let Some(text) = model.get(pick(at, model)).cloned() else {
                return;
            };
            let mut places: Vec<usize> = (0..model.len()).filter(|i| model[*i] == text).collect();
            if end == End::Back {
                places.reverse();
            }
            places.truncate(most);
            assert_eq!(list.remove_equal(&text, end, most, limits), places.len());
            let mut at = 0;
            model.retain(|_| (!places.contains(&at), at += 1).0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::testing::cases(150), ..ProptestConfig::default() })]
    #[test]
    fn behaves_like_a_vector(
        histories in prop::collection::vec((limits(), prop::collection::vec(op(), 1..60)), 1..4),
        looks in prop::collection::vec(any::<prop::sample::Index>(), 5),
    ) {
        let (mut list, mut model) = (List::new(), Vec::new());
        for (limits, ops) in histories {
            for op in ops {
                apply(op, &mut list, &mut model, limits);
                // As a keyspace would: a short list lives in its bytes alone.
                if let Some(bytes) = list.packed() {
                    let bytes = bytes.to_vec();
                    assert_eq!(List::view_packed(&bytes).len(), model.len());
                    list = List::from_packed(bytes);
                }
                check(&list, &model);
            }
        }
        for look in looks {
            if model.is_empty() {
                prop_assert!(list.view().get(0, |_| ()).is_none());
                break;
            }
            let at = look.index(model.len());
            prop_assert_eq!(&list.view().get(at, |item| item.to_vec()).unwrap(), &model[at]);
            let rest = texts(list.view().iter_from(at, End::Front).texts());
            prop_assert_eq!(&rest, &model[at..]);
            let mut found = Vec::new();
            list.view().find(&model[at], End::Back, model.len(), |i| {
                found.push(model.len() - 1 - i);
                ControlFlow::Continue(())
            });
            found.reverse();
            let want: Vec<usize> = (0..model.len()).filter(|i| model[*i] == model[at]).collect();
            prop_assert_eq!(found, want);
        }
        let copy = list.clone();
        check(&copy, &model);
        // What spare room there is is bounded.
        prop_assert!(copy.memory() <= list.memory() + 4 * size_of::<Node>() * (1 + list.view().chunk_count()));
        list.remove(0..model.len(), Limits::default());
        prop_assert!(Collection::is_empty(&list));
        check(&list, &[]);
    }
}

fn push(list: &mut List, end: End, text: &str, limits: Limits) {
    list.push(end, std::iter::once(Item::Bytes(text.as_bytes())), limits);
}

/// A list of a million elements of 16 bytes, filled from either end.
#[test]
fn a_long_list_costs_little_more_than_its_elements() {
    // What a list takes by itself weighs more in a short one.
    let (n, bound) = if cfg!(feature = "memcheck") {
        (20_000, 19.0)
    } else {
        (1_000_000, 18.4)
    };
    for end in [End::Front, End::Back] {
        let mut list = List::new();
        for i in 0..n {
            push(
                &mut list,
                end,
                &format!("element:{i:08}"),
                Limits::default(),
            );
        }
        let each = list.memory() as f64 / n as f64;
        println!("{end:?}: {each:.2} bytes an element");
        assert!(each < bound, "{each} bytes an element");
        let first = if end == End::Front { n - 1 } else { 0 };
        assert_eq!(
            list.view().get(0, |item| item.to_vec()).unwrap(),
            format!("element:{first:08}").into_bytes()
        );
        // Taking the elements away again gives the memory back on the way.
        for _ in 0..n - n / 10 {
            list.pop(End::Front, Limits::default(), |_| ());
        }
        // In a short list the two nodes at the ends, which may be nearly empty, weigh more.
        let left = list.memory();
        assert!(left < n / 10 * 20 + (16 << 10), "{left} bytes");
        println!("{end:?}: {left} bytes left");
    }
}

/// Nodes that their elements do not fill to the end are cut to size when the next one begins.
#[test]
fn nodes_keep_no_room_that_nothing_will_fill() {
    let mut list = List::new();
    for _ in 0..1000 {
        push(&mut list, End::Back, &"x".repeat(3000), Limits::default());
    }
    let each = list.memory() as f64 / 1000.0;
    assert!(each < 3100.0, "{each} bytes an element");
}

/// The boundaries between the encodings, as the real servers have them (checked against them by the differential tests).
#[test]
fn encodings_change_where_redis_changes_them() {
    let encoding = |list: &List| List::encoding(list.view());
    let limits = Limits {
        max_listpack_size: 4,
        ..Limits::default()
    };
    let mut list = List::new();
    for i in 0..4 {
        push(&mut list, End::Back, &i.to_string(), limits);
    }
    assert_eq!(encoding(&list), "listpack");
    push(&mut list, End::Back, "5", limits);
    assert_eq!(encoding(&list), "quicklist");
    // Three elements are too many to go back, two are not.
    list.remove(3..5, limits);
    assert_eq!(encoding(&list), "quicklist");
    list.pop(End::Front, limits, |_| ());
    assert_eq!((encoding(&list), Collection::len(&list)), ("listpack", 2));
    // Setting an index that is not there can make it long nevertheless.
    let bytes = Limits {
        max_listpack_size: -1,
        ..Limits::default()
    };
    assert!(!list.set(9, Item::Bytes(&[b'x'; 4090]), bytes));
    assert_eq!(encoding(&list), "quicklist");
    // A large element has a node of its own.
    push(&mut list, End::Front, &"y".repeat(5000), bytes);
    assert_eq!(list.view().chunk_count(), 2);
    assert!(matches!(list.view().chunk(0), Some(Chunk::Plain(blob)) if blob.len() == 5000));
}

/// Which nodes are compressed, as c, and which are not, as o.
fn shape(list: &List) -> String {
    let view = list.view();
    let node = |at| match view.chunk(at) {
        Some(Chunk::Compressed { .. }) => 'c',
        _ => 'o',
    };
    (0..view.chunk_count()).map(node).collect()
}

/// Nodes are compressed but for so many at either end, whatever is done to a list.
#[test]
fn inner_nodes_are_compressed() {
    let limits = |compress_depth| Limits {
        max_listpack_size: 4,
        packed_threshold: 200,
        compress_depth,
    };
    // Even one of them alone is worth compressing.
    let text = |i: usize| format!("element {i:04} ").repeat(12);
    for depth in 0..4 {
        let limits = limits(depth);
        let (mut list, mut model) = (List::new(), Vec::new());
        let check_shape = |list: &List, model: &[Vec<u8>]| {
            check(list, model);
            let n = list.view().chunk_count();
            let expected: String = (0..n)
                .map(|at| {
                    let inner = depth > 0 && at >= depth && at + depth < n;
                    if inner { 'c' } else { 'o' }
                })
                .collect();
            assert_eq!(shape(list), expected, "depth {depth}");
        };
        for i in 0..60 {
            let (end, at) = if i % 3 == 0 {
                (End::Front, 0)
            } else {
                (End::Back, model.len())
            };
            push(&mut list, end, &text(i), limits);
            model.insert(at, text(i).into_bytes());
            check_shape(&list, &model);
        }
        for at in [0, 7, 20, 30, 31, 50, 59] {
            assert!(list.set(at, Item::Bytes(text(100 + at).as_bytes()), limits));
            model[at] = text(100 + at).into_bytes();
            check_shape(&list, &model);
        }
        // One that needs a node of its own, in the middle and at an end; then they are short again.
        for at in [25, 0] {
            let large = "large ".repeat(100);
            assert!(list.set(at, Item::Bytes(large.as_bytes()), limits));
            model[at] = large.into_bytes();
            check_shape(&list, &model);
            assert!(list.set(at, Item::Bytes(text(at).as_bytes()), limits));
            model[at] = text(at).into_bytes();
            check_shape(&list, &model);
        }
        for at in [3, 25, 40] {
            let pivot = model[at].clone();
            let at = model.iter().position(|t| *t == pivot).unwrap();
            assert!(list.insert(&pivot, true, Item::Bytes(text(at).as_bytes()), limits));
            model.insert(at + 1, text(at).into_bytes());
            check_shape(&list, &model);
        }
        list.remove(20..33, limits);
        model.drain(20..33);
        check_shape(&list, &model);
        let gone = model[15].clone();
        list.remove_equal(&gone, End::Front, usize::MAX, limits);
        model.retain(|t| *t != gone);
        check_shape(&list, &model);
        while !model.is_empty() {
            let end = if model.len() % 3 == 0 {
                End::Front
            } else {
                End::Back
            };
            let want = if end == End::Front {
                model.remove(0)
            } else {
                model.pop().unwrap()
            };
            assert_eq!(list.pop(end, limits, |item| item.to_vec()), Some(want));
            check_shape(&list, &model);
        }
    }
}

/// A list follows a new depth where it is changed, and what cannot be compressed stays as it is.
#[test]
fn a_new_depth_counts_where_a_list_is_changed() {
    let limits = |compress_depth| Limits {
        max_listpack_size: 2,
        packed_threshold: 0,
        compress_depth,
    };
    let mut list = List::new();
    for i in 0..16 {
        push(
            &mut list,
            End::Back,
            &format!("{i:04}").repeat(30),
            limits(0),
        );
    }
    assert_eq!(shape(&list), "oooooooo");
    push(&mut list, End::Back, "a new node", limits(1));
    assert_eq!(shape(&list), "ocoooooco");
    list.set(8, Item::Bytes(b"in the middle"), limits(1));
    assert_eq!(shape(&list), "occccccco");
    let small = list.memory();
    list.set(8, Item::Bytes(b"once more"), limits(0));
    assert_eq!(shape(&list), "ooooooooo");
    assert!(list.memory() > small * 2, "{small} then {}", list.memory());
    // Texts without repetition.
    let mut state = 1u64;
    let mut random = || {
        let byte = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        (0..200).map(byte).collect::<Vec<u8>>()
    };
    let mut list = List::new();
    for _ in 0..12 {
        list.push(
            End::Back,
            std::iter::once(Item::Bytes(&random())),
            limits(1),
        );
    }
    assert_eq!(shape(&list), "oooooo");
}

/// Elements that are alike, such as jobs in a queue.
#[test]
fn a_compressed_list_costs_a_fraction() {
    let fill = |compress_depth| {
        let limits = Limits {
            compress_depth,
            ..Limits::default()
        };
        let mut list = List::new();
        for i in 0..20_000 {
            push(
                &mut list,
                End::Back,
                &format!("{{\"id\":{i},\"state\":\"waiting\"}}"),
                limits,
            );
        }
        list.memory()
    };
    let (plain, compressed) = (fill(0), fill(1));
    println!("{plain} bytes, compressed {compressed}");
    assert!(
        compressed * 3 < plain,
        "{plain} bytes, compressed {compressed}"
    );
}
