//! Going through a list in either direction.

use super::compressed::{self, Compressed};
use super::entry::{Item, Places, Span, item};
use super::nodes::{Node, Nodes};
use super::run::Run;
use super::{End, View};
use crate::types::kind::Blob;

/// A piece of a list as it is stored.
#[derive(Clone, Copy, Debug)]
pub enum Chunk<'a> {
    /// Listpack entries, without header and end mark, and how many they are.
    Packed(&'a [u8], usize),
    /// A large element.
    Plain(&'a Blob),
    /// One of the other two in LZF.
    Compressed {
        /// A whole listpack, with header and end mark, or the text of a large element.
        lzf: &'a [u8],
        /// Its length before it was compressed.
        len: usize,
        /// The number of elements; 0: it is a large one.
        count: usize,
    },
}

impl<'a> Chunk<'a> {
    /// Of a compressed node.
    pub(super) fn of(node: &'a Compressed) -> Chunk<'a> {
        Chunk::Compressed {
            lzf: node.lzf(),
            len: node.len(),
            count: if node.is_plain() { 0 } else { node.count() },
        }
    }

    /// Calls `f` with each of its elements in turn.
    pub fn for_each(self, mut f: impl FnMut(Item<'_>)) {
        let mut scratch = Vec::new();
        let run = match self {
            Chunk::Packed(run, _) => run,
            Chunk::Plain(blob) => return f(Item::Blob(blob)),
            Chunk::Compressed { lzf, len, count } => {
                let bytes = compressed::read(lzf, len, count == 0, &mut scratch);
                if count == 0 {
                    return f(Item::Bytes(bytes));
                }
                bytes
            }
        };
        let mut span = Span::of(run);
        while let Some(range) = span.next(End::Front) {
            f(item(&run[range]));
        }
    }
}

/// Where the element is that comes next.
enum Source<'a> {
    /// Among these entries.
    Run(&'a [u8]),
    /// Among the entries of a compressed node, which were expanded.
    Expanded,
    /// It is a large one.
    Plain(&'a Blob),
    /// It is a large one, which was expanded.
    ExpandedPlain,
    /// In the next node.
    None,
}

/// Elements of a list, in the order in which they come from the index where it began. It lends them: what was compressed is in
/// its own memory until it goes on.
pub struct Iter<'a> {
    from: End,
    source: Source<'a>,
    /// What is left of a source that is a run.
    places: Places,
    /// The list's nodes and the present one's place among them, if it has nodes.
    nodes: Option<(&'a Nodes, usize)>,
    /// What was expanded.
    scratch: Vec<u8>,
    /// Where the entries are in it.
    expanded: std::ops::Range<usize>,
}

impl<'a> Iter<'a> {
    pub(super) fn new(view: View<'a>, index: usize, from: End) -> Iter<'a> {
        let mut iter = Iter {
            from,
            source: Source::None,
            places: Places::default(),
            nodes: None,
            scratch: Vec::new(),
            expanded: 0..0,
        };
        match view {
            View::Run(run, count) => {
                if index < count {
                    iter.source = Source::Run(run);
                    iter.places = Places::starting(run, count, index, from);
                }
            }
            View::Nodes(nodes) => {
                if index < nodes.len() {
                    let (at, index) = nodes.locate(index);
                    iter.nodes = Some((nodes, at));
                    if let Some(node) = nodes.node(at) {
                        iter.enter(node, Some(index));
                    }
                }
            }
        }
        iter
    }

    /// Begins with a node, at the element of an index in it or at its end.
    fn enter(&mut self, node: &'a Node, index: Option<usize>) {
        let places = |run: &[u8]| match index {
            Some(index) => Places::starting(run, node.count(), index, self.from),
            None => Places::of(run),
        };
        match node {
            Node::Packed(run) => {
                self.places = places(run.bytes());
                self.source = Source::Run(run.bytes());
            }
            Node::Plain(blob) => self.source = Source::Plain(blob),
            Node::Compressed(node) => {
                let run = node.read(&mut self.scratch);
                if node.is_plain() {
                    self.source = Source::ExpandedPlain;
                } else {
                    self.places = places(run);
                    let len = run.len();
                    self.expanded = compressed::HEADER..compressed::HEADER + len;
                    self.source = Source::Expanded;
                }
            }
        }
    }

    /// Goes on to the next node; false if there is none.
    #[cold]
    fn next_node(&mut self) -> bool {
        let Some((nodes, at)) = &mut self.nodes else {
            return false;
        };
        let next = if self.from == End::Front {
            Some(*at + 1)
        } else {
            at.checked_sub(1)
        };
        let node = next.and_then(|next| Some((next, nodes.node(next)?)));
        match node {
            Some((next, node)) => {
                *at = next;
                self.enter(node, None);
                true
            }
            None => false,
        }
    }

    /// The next element.
    #[inline]
    pub fn next_item(&mut self) -> Option<Item<'_>> {
        loop {
            match self.source {
                Source::Run(run) => match self.places.next(run, self.from) {
                    Some(range) => return Some(item(&run[range])),
                    None => self.source = Source::None,
                },
                Source::Expanded => {
                    let run = &self.scratch[self.expanded.clone()];
                    match self.places.next(run, self.from) {
                        Some(range) => {
                            let at = self.expanded.start;
                            return Some(item(&self.scratch[at + range.start..at + range.end]));
                        }
                        None => self.source = Source::None,
                    }
                }
                Source::Plain(blob) => {
                    self.source = Source::None;
                    return Some(Item::Blob(blob));
                }
                Source::ExpandedPlain => {
                    self.source = Source::None;
                    return Some(Item::Bytes(&self.scratch));
                }
                Source::None => {
                    if !self.next_node() {
                        return None;
                    }
                }
            }
        }
    }

    /// Calls `f` with up to `n` elements.
    #[inline]
    pub fn for_each(mut self, n: usize, mut f: impl FnMut(Item<'_>)) {
        for _ in 0..n {
            match self.next_item() {
                Some(item) => f(item),
                None => return,
            }
        }
    }

    /// Copies of them.
    pub fn texts(mut self) -> impl Iterator<Item = Vec<u8>> {
        std::iter::from_fn(move || self.next_item().map(Item::to_vec))
    }
}
