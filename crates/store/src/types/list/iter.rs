//! Going through a list in either direction.

use super::entry::{Item, Span, item};
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
}

/// Elements of a list, in the order in which they come from the index where it began.
pub struct Iter<'a> {
    from: End,
    span: Span<'a>,
    /// A large element that is next.
    plain: Option<&'a Blob>,
    /// The list's nodes and the present one's place among them, if it has nodes.
    nodes: Option<(&'a Nodes, usize)>,
}

impl<'a> Iter<'a> {
    pub(super) fn new(view: View<'a>, index: usize, from: End) -> Iter<'a> {
        let mut iter = Iter {
            from,
            span: Span::of(&[]),
            plain: None,
            nodes: None,
        };
        match view {
            View::Run(run, count) => {
                if index < count {
                    iter.span = Span::starting(run, count, index, from);
                }
            }
            View::Nodes(nodes) => {
                if index < nodes.len() {
                    let (at, index) = nodes.locate(index);
                    iter.nodes = Some((nodes, at));
                    match nodes.node(at) {
                        Some(Node::Packed(run)) => {
                            iter.span = Span::starting(run.bytes(), run.count(), index, from);
                        }
                        Some(Node::Plain(blob)) => iter.plain = Some(blob),
                        None => {}
                    }
                }
            }
        }
        iter
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
                match node {
                    Node::Packed(run) => self.span = Span::of(run.bytes()),
                    Node::Plain(blob) => self.plain = Some(blob),
                }
                true
            }
            None => false,
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            if let Some(range) = self.span.next(self.from) {
                return Some(item(&self.span.run()[range]));
            }
            if let Some(blob) = self.plain.take() {
                return Some(Item::Blob(blob));
            }
            if !self.next_node() {
                return None;
            }
        }
    }
}
