//! Streams against a plain list of entries, and their groups' two lists of pending entries against each other.

use super::*;
use proptest::prelude::*;

type Texts = Vec<Vec<u8>>;

#[derive(Clone, Debug)]
enum Op {
    /// Milliseconds and sequence numbers to go up by, and names and values.
    Add(u64, u64, Texts),
    /// The entry so far from the front, or an ID that is not there.
    Delete(usize),
    KeepLast(usize, bool, u64),
    KeepFrom(usize, bool),
}

fn texts() -> impl Strategy<Value = Texts> {
    let text = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..5),
        any::<i32>().prop_map(|n| n.to_string().into_bytes()),
        (60usize..300).prop_map(|n| vec![b'x'; n]),
    ];
    let usual = text.clone().prop_map(|v| vec![b"name".to_vec(), v]);
    let odd = prop::collection::vec(text, 1..4)
        .prop_map(|t| t.iter().chain(&t).cloned().collect::<Texts>());
    prop_oneof![3 => usual, 1 => odd]
}

fn ops() -> impl Strategy<Value = Op> {
    let step = prop_oneof![Just(0u64), 1u64..5, Just(1u64 << 40)];
    prop_oneof![
        8 => (step, 0u64..300, texts()).prop_map(|(ms, seq, t)| Op::Add(ms, seq, t)),
        3 => (0usize..60).prop_map(Op::Delete),
        1 => (0usize..60, any::<bool>(), 0u64..40).prop_map(|(n, a, l)| Op::KeepLast(n, a, l)),
        1 => (0usize..60, any::<bool>()).prop_map(|(n, a)| Op::KeepFrom(n, a)),
    ]
}

fn list<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Vec<(StreamId, Texts)> {
    entries
        .map(|e| {
            let pairs = e.pairs().flat_map(|(n, v)| [n.to_vec(), v.to_vec()]);
            let pairs: Texts = pairs.collect();
            assert_eq!(pairs.len(), e.len() * 2);
            (e.id, pairs)
        })
        .collect()
}

/// The bytes as they are counted, against a fresh count.
fn check_memory(s: &Stream) {
    let nodes = s.0.nodes.values();
    let bytes: usize = nodes.map(|n| NODE_BYTES + n.memory()).sum();
    assert_eq!(s.0.node_bytes, bytes);
    let groups = s.0.groups.iter();
    let bytes: usize = groups
        .map(|(n, g)| GROUP_BYTES + n.len() + g.memory())
        .sum();
    assert_eq!(s.0.group_bytes, bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::testing::cases(200), ..ProptestConfig::default() })]
    #[test]
    fn behaves_like_a_list(
        list_of_ops in prop::collection::vec(ops(), 1..80),
        node_entries in prop_oneof![Just(0usize), 1usize..8],
        node_bytes in prop_oneof![Just(0usize), 40usize..500],
        bounds in (0usize..80, 0usize..80),
    ) {
        let limits = Limits { node_bytes, node_entries };
        let mut s = Stream::new();
        let mut model: Vec<(StreamId, Texts)> = Vec::new();
        let mut added = 0;
        for op in list_of_ops {
            match op {
                Op::Add(ms, seq, t) => {
                    let last = s.view().last_id();
                    let ms = last.ms.saturating_add(ms);
                    let base = if ms == last.ms { last.seq + 1 } else { 0 };
                    let id = StreamId::new(ms, base + seq);
                    let pairs: Vec<&[u8]> = t.iter().map(Vec::as_slice).collect();
                    s.append(id, &pairs, limits);
                    model.push((id, t));
                    added += 1;
                    prop_assert_eq!(s.view().last_id(), id);
                }
                Op::Delete(n) => {
                    let id = model.get(n).map_or(StreamId::new(3, 1 << 20), |e| e.0);
                    prop_assert_eq!(s.view().contains(id), n < model.len());
                    prop_assert_eq!(s.delete(id), n < model.len());
                    if n < model.len() {
                        model.remove(n);
                    }
                }
                Op::KeepLast(n, approximate, limit) => {
                    let limit = if approximate { limit } else { 0 };
                    let keep = Keep::Last(n as u64);
                    let gone = s.trim(Trim { keep, approximate, limit, refs: Refs::Keep }) as usize;
                    let most = model.len().saturating_sub(n);
                    prop_assert!(gone <= most && (limit == 0 || gone as u64 <= limit));
                    prop_assert!(approximate || gone == most);
                    model.drain(..gone);
                }
                Op::KeepFrom(n, approximate) => {
                    let from = model.get(n).map_or(StreamId::MAX, |e| e.0);
                    let keep = Keep::From(from);
                    let gone = s.trim(Trim { keep, approximate, limit: 0, refs: Refs::Keep }) as usize;
                    let most = n.min(model.len());
                    prop_assert!(gone <= most);
                    prop_assert!(approximate || gone == most);
                    model.drain(..gone);
                }
            }
            let view = s.view();
            prop_assert_eq!(view.len(), model.len());
            prop_assert_eq!(view.first_id(), model.first().map_or(StreamId::MIN, |e| e.0));
            prop_assert_eq!(view.entries_added(), added);
            prop_assert_eq!(view.last().map(|e| e.id), model.last().map(|e| e.0));
            check_memory(&s);
        }
        let view = s.view();
        prop_assert_eq!(list(view.range(StreamId::MIN, StreamId::MAX)), model.clone());
        let id = |n: usize| model.get(n).map_or(StreamId::new(5, 7), |e| e.0);
        let (start, end) = (id(bounds.0), id(bounds.1));
        let wanted = model.iter().filter(|e| (start..=end).contains(&e.0));
        let mut wanted: Vec<_> = if start <= end { wanted.cloned().collect() } else { Vec::new() };
        prop_assert_eq!(list(view.range(start, end)), wanted.clone());
        wanted.reverse();
        prop_assert_eq!(list(view.range_back(start, end)), wanted);
        for (id, t) in &model {
            prop_assert_eq!(&list(view.get(*id).into_iter())[0].1, t);
        }
    }

    #[test]
    fn pending_lists_agree(steps in prop::collection::vec((0u8..4, 0u64..12, 0u8..3), 1..80)) {
        let mut g = Group::new(StreamId::MIN, None);
        for (what, n, who) in steps {
            let (id, name) = (StreamId::new(n, 0), [b'a' + who]);
            match what {
                0 | 1 => {
                    let (consumer, _) = g.consumer_or_new(&name, 0);
                    g.assign(id, Pending { consumer, delivered_ms: 0, deliveries: 1 });
                }
                2 => {
                    let was = g.pending(id).is_some();
                    prop_assert_eq!(g.acknowledge(id), was);
                }
                _ => {
                    let had = g.find_consumer(&name).and_then(|no| g.consumer(no)).map(Consumer::pending_len);
                    prop_assert_eq!(g.delete_consumer(&name), had);
                }
            }
            let by_consumer: usize = g.consumers().map(Consumer::pending_len).sum();
            prop_assert_eq!(by_consumer, g.pending_len());
            for (id, pending) in g.pending_from(StreamId::MIN) {
                let owner = g.consumer(pending.consumer);
                prop_assert!(owner.is_some_and(|c| c.pending_from(*id).next() == Some(*id)));
            }
        }
    }
}

fn stream(n: u64) -> Stream {
    let mut s = Stream::new();
    let limits = Limits {
        node_bytes: 0,
        node_entries: 3,
    };
    for i in 1..=n {
        s.append(StreamId::new(i, 0), &[b"a", b"1"], limits);
    }
    s
}

#[test]
fn references_decide_what_may_be_deleted() {
    let id = |n| StreamId::new(n, 0);
    let mut s = stream(5);
    s.create_group(b"g", Group::new(id(3), None));
    s.edit_group(b"g", |_, g| {
        let (consumer, _) = g.consumer_or_new(b"c", 0);
        g.assign(
            id(1),
            Pending {
                consumer,
                delivered_ms: 0,
                deliveries: 1,
            },
        );
    });
    assert_eq!(s.delete_with(id(9), Refs::Acknowledged), Some(false));
    assert_eq!(s.delete_with(id(9), Refs::Keep), None);
    // Pending, and not read yet.
    assert_eq!(s.delete_with(id(1), Refs::Acknowledged), Some(false));
    assert_eq!(s.delete_with(id(4), Refs::Acknowledged), Some(false));
    assert_eq!(s.delete_with(id(2), Refs::Acknowledged), Some(true));
    assert_eq!(s.delete_with(id(1), Refs::Delete), Some(true));
    assert_eq!(s.view().group(b"g").map(Group::pending_len), Some(0));
    assert_eq!(s.view().len(), 3);
    check_memory(&s);
    s.destroy_group(b"g");
    check_memory(&s);
}

/// The figure in the design: two small fields, one node of a hundred entries after the other.
#[test]
fn an_entry_of_two_small_fields_takes_at_most_24_bytes() {
    let mut s = Stream::new();
    let limits = Limits {
        node_bytes: 4096,
        node_entries: 100,
    };
    let n = 100_000u64;
    for i in 0..n {
        let (a, b) = (format!("value{:03}", i % 1000), format!("x{:06}", i));
        let pairs: [&[u8]; 4] = [b"field1", a.as_bytes(), b"field2", b.as_bytes()];
        s.append(
            StreamId::new(1_700_000_000_000 + i / 3, i % 3),
            &pairs,
            limits,
        );
    }
    let each = s.memory() as f64 / n as f64;
    assert!(each <= 24.0, "{each} bytes an entry");
}

#[test]
fn nodes_are_visited_one_by_one() {
    let mut stream = Stream::new();
    let limits = Limits {
        node_bytes: 0,
        node_entries: 3,
    };
    for ms in 1..=10 {
        stream.append(StreamId::new(ms, 0), &[b"f", b"v"], limits);
    }
    // One node loses its first entry, one all.
    for ms in [4, 7, 8, 9] {
        stream.delete(StreamId::new(ms, 0));
    }
    let view = stream.view();
    let (mut at, mut nodes) = (StreamId::MIN, Vec::new());
    while let Some((first, entries)) = view.node_from(at) {
        nodes.push((first.ms, entries.map(|e| e.id.ms).collect::<Vec<_>>()));
        at = first.next().unwrap();
    }
    assert_eq!(nodes.len(), view.nodes());
    assert_eq!(nodes, [(1, vec![1, 2, 3]), (4, vec![5, 6]), (10, vec![10])]);
}
