//! Keys counted by what their names begin with: a tree of bounded size, filled by somebody who walks over all keys.
//!
//! Names are cut at colons, as most people build them. A part of a name that takes many values, an id, would give a node each: where
//! more than [`MOST_CHILDREN`] meet, those with few keys become one, `*`, with all that was below them. So `user:17:mail` and a million like
//! it are `user:`, `user:*:` and `user:*:mail`, and the tree is as large as the scheme of the names, not as the number of keys.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use store::Type;

/// Parts of a name that are told apart; what comes after is one.
const MOST_DEPTH: usize = 8;

/// Children of a node, beyond which they are one.
pub const MOST_CHILDREN: usize = 128;

/// A child with more than this part of a node's keys stays what it is, however many there are.
const MOST_KEPT: u64 = 64;

/// Nodes of a tree; beyond, what would be new is counted for the node above it.
const MOST_NODES: usize = 20_000;

/// Bytes of a part that are kept.
const MOST_PART: usize = 64;

/// The largest keys that are remembered.
pub const MOST_BIG: usize = 50;

/// Bytes of such a key that are kept.
const MOST_KEY: usize = 256;

/// The name of the child that stands for many.
pub const ANY: &[u8] = b"*";

/// All types, in the order in which they are told.
pub const TYPES: [Type; 6] = [
    Type::String,
    Type::List,
    Type::Set,
    Type::SortedSet,
    Type::Hash,
    Type::Stream,
];

/// Keys and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub keys: u64,
    /// With their values, as MEMORY USAGE has it.
    pub bytes: u64,
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.keys += other.keys;
        self.bytes += other.bytes;
    }
}

/// What is known of a key that is counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// Its type.
    pub kind: Type,
    /// Its bytes with its value's.
    pub bytes: u64,
    /// Milliseconds until it expires, if it does.
    pub left_ms: Option<u64>,
}

/// All keys whose names begin alike.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// All of them.
    pub all: Sum,
    /// By type, in the order of [`TYPES`].
    pub types: [Sum; TYPES.len()],
    /// Those with an expiry.
    pub expiring: Sum,
    /// The sum of the milliseconds that these have left.
    pub left_ms: u64,
    /// By the next part of the name, with its colon if there is more after it.
    pub children: BTreeMap<Box<[u8]>, Node>,
}

impl Node {
    fn count(&mut self, key: Counted) {
        let one = Sum {
            keys: 1,
            bytes: key.bytes,
        };
        self.all.add(one);
        if let Some(at) = TYPES.iter().position(|kind| *kind == key.kind) {
            self.types[at].add(one);
        }
        if let Some(left) = key.left_ms {
            self.expiring.add(one);
            self.left_ms = self.left_ms.saturating_add(left);
        }
    }

    /// Takes over all that another has; returns how many nodes became superfluous.
    fn merge(&mut self, other: Node) -> usize {
        self.all.add(other.all);
        for (sum, more) in self.types.iter_mut().zip(other.types) {
            sum.add(more);
        }
        self.expiring.add(other.expiring);
        self.left_ms = self.left_ms.saturating_add(other.left_ms);
        let mut gone = 1;
        for (name, child) in other.children {
            match self.children.get_mut(&name) {
                Some(known) => gone += known.merge(child),
                None => {
                    self.children.insert(name, child);
                }
            }
        }
        gone
    }

    /// Makes one of the children that are alike (with a colon, or without) and have few keys, if there are too many. Returns how many nodes
    /// became superfluous.
    fn fold(&mut self) -> usize {
        if self.children.len() <= MOST_CHILDREN {
            return 0;
        }
        let few = self.all.keys / MOST_KEPT;
        let mut gone = 0;
        for (name, child) in std::mem::take(&mut self.children) {
            let own = match child.all.keys > few {
                true => &*name,
                false => any_like(&name),
            };
            match self.children.get_mut(own) {
                Some(known) => gone += known.merge(child),
                None => {
                    self.children.insert(own.into(), child);
                }
            }
        }
        for child in self.children.values_mut() {
            gone += child.fold();
        }
        gone
    }
}

/// The child that stands for all like this one.
fn any_like(part: &[u8]) -> &'static [u8] {
    match part.ends_with(b":") {
        true => b"*:",
        false => ANY,
    }
}

/// A large key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Big {
    /// Bytes, with its value.
    pub bytes: u64,
    /// Its database.
    pub db: usize,
    /// Its first bytes.
    pub key: Box<[u8]>,
    /// The name of its type.
    pub kind: &'static str,
}

/// The trees of all databases, and the largest keys.
#[derive(Clone, Debug, Default)]
pub struct Trees {
    /// By database.
    pub roots: BTreeMap<usize, Node>,
    nodes: usize,
    big: BinaryHeap<Reverse<Big>>,
}

impl Trees {
    /// Counts a key.
    pub fn count(&mut self, db: usize, name: &[u8], key: Counted) {
        self.note_big(db, name, key);
        let mut node = self.roots.entry(db).or_default();
        node.count(key);
        let mut rest = name;
        for depth in 1..=MOST_DEPTH {
            if rest.is_empty() {
                return;
            }
            let colon = rest.iter().position(|byte| *byte == b':');
            let end = match colon {
                Some(at) if depth < MOST_DEPTH => at + 1,
                _ => rest.len(),
            };
            let (part, after) = rest.split_at(end);
            rest = after;
            let short = &part[..part.len().min(MOST_PART)];
            if !node.children.contains_key(short) && !node.children.contains_key(any_like(short)) {
                if self.nodes >= MOST_NODES {
                    return;
                }
                self.nodes += 1;
                node.children.insert(short.into(), Node::default());
                let gone = node.fold();
                self.nodes = self.nodes.saturating_sub(gone);
            }
            let chosen = match node.children.contains_key(short) {
                true => short,
                false => any_like(short),
            };
            let Some(child) = node.children.get_mut(chosen) else {
                return;
            };
            node = child;
            node.count(key);
        }
    }

    fn note_big(&mut self, db: usize, name: &[u8], key: Counted) {
        let full = self.big.len() >= MOST_BIG;
        if full
            && self
                .big
                .peek()
                .is_some_and(|least| least.0.bytes >= key.bytes)
        {
            return;
        }
        if full {
            self.big.pop();
        }
        self.big.push(Reverse(Big {
            bytes: key.bytes,
            db,
            key: name[..name.len().min(MOST_KEY)].into(),
            kind: key.kind.name(),
        }));
    }

    /// The largest keys, the largest first.
    pub fn big(&self) -> Vec<&Big> {
        let mut all: Vec<&Big> = self.big.iter().map(|big| &big.0).collect();
        all.sort_by(|a, b| b.cmp(a));
        all
    }

    /// The node of a prefix, which ends where a part of names does; and how it is called here, where many are one.
    pub fn find(&self, db: usize, prefix: &[u8]) -> Option<(&Node, Vec<u8>)> {
        let mut node = self.roots.get(&db)?;
        let (mut rest, mut name) = (prefix, Vec::new());
        while !rest.is_empty() {
            let colon = rest.iter().position(|byte| *byte == b':');
            let (part, after) = rest.split_at(colon.map_or(rest.len(), |at| at + 1));
            let part = &part[..part.len().min(MOST_PART)];
            let known = match node.children.contains_key(part) {
                true => part,
                false => any_like(part),
            };
            node = node.children.get(known)?;
            name.extend_from_slice(known);
            rest = after;
        }
        Some((node, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(bytes: u64) -> Counted {
        Counted {
            kind: Type::String,
            bytes,
            left_ms: None,
        }
    }

    fn names(node: &Node) -> Vec<String> {
        let names = node.children.keys();
        names
            .map(|n| String::from_utf8_lossy(n).into_owned())
            .collect()
    }

    #[test]
    fn keys_are_counted_along_their_names() {
        let mut trees = Trees::default();
        trees.count(0, b"user:1:mail", counted(100));
        trees.count(0, b"user:1:name", counted(50));
        let hash = Counted {
            kind: Type::Hash,
            bytes: 7,
            left_ms: Some(1000),
        };
        trees.count(0, b"user:", hash);
        trees.count(0, b"plain", counted(1));
        trees.count(3, b"", counted(1));
        let root = &trees.roots[&0];
        assert_eq!(
            root.all,
            Sum {
                keys: 4,
                bytes: 158
            }
        );
        assert_eq!(names(root), ["plain", "user:"]);
        let (user, name) = trees.find(0, b"user:").expect("a node");
        assert_eq!(name, b"user:");
        assert_eq!(
            user.all,
            Sum {
                keys: 3,
                bytes: 157
            }
        );
        assert_eq!(user.types[4], Sum { keys: 1, bytes: 7 });
        assert_eq!((user.expiring.keys, user.left_ms), (1, 1000));
        let (one, _) = trees.find(0, b"user:1:").expect("a node");
        assert_eq!(names(one), ["mail", "name"]);
        assert!(trees.find(0, b"user:2:").is_none() && trees.find(1, b"").is_none());
        assert_eq!(trees.roots[&3].all.keys, 1);
        let big: Vec<u64> = trees.big().iter().map(|big| big.bytes).collect();
        assert_eq!(big, [100, 50, 7, 1, 1]);
    }

    /// A million ids make no million nodes: they are one, and what comes after them is told apart all the same.
    #[test]
    fn ids_become_one() {
        let mut trees = Trees::default();
        for id in 0..20_000u64 {
            for (field, bytes) in [("mail", 10), ("name", 20)] {
                let key = format!("app:user:{id}:{field}");
                trees.count(0, key.as_bytes(), counted(bytes));
            }
            trees.count(0, format!("session{id}").as_bytes(), counted(1));
        }
        let (user, _) = trees.find(0, b"app:user:").expect("a node");
        assert_eq!(names(user), ["*:"]);
        let (any, name) = trees.find(0, b"app:user:17:").expect("a node");
        assert_eq!(name, b"app:user:*:");
        assert_eq!(
            any.all,
            Sum {
                keys: 40_000,
                bytes: 600_000
            }
        );
        assert_eq!(
            any.children[&b"name"[..]].all,
            Sum {
                keys: 20_000,
                bytes: 400_000
            }
        );
        assert_eq!(trees.roots[&0].children[ANY].all.keys, 20_000);
        assert!(trees.nodes < 500, "{}", trees.nodes);
        assert_eq!(trees.big().len(), MOST_BIG);
    }

    #[test]
    fn deep_and_long_names_are_bounded() {
        let mut trees = Trees::default();
        for i in 0..500u64 {
            let deep = format!("{}{i}", "a:".repeat(100));
            trees.count(0, deep.as_bytes(), counted(1));
            let long = format!("{}{i}", "x".repeat(5000));
            trees.count(0, long.as_bytes(), counted(1));
            let wide = format!("{i}:{i}:{i}:{i}");
            trees.count(0, wide.as_bytes(), counted(1));
        }
        let root = &trees.roots[&0];
        assert_eq!(root.all.keys, 1500);
        assert!(trees.nodes < 2000, "{}", trees.nodes);
        fn sums(node: &Node) {
            let below: u64 = node.children.values().map(|child| child.all.keys).sum();
            assert!(below <= node.all.keys);
            node.children.values().for_each(sums);
        }
        sums(root);
    }
}
