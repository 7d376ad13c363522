//! The list type: elements in the order in which they were put there, added and removed at either end at constant cost.
//!
//! A short list is one run of elements ([`run`]), inside of its entry as long as it is a few hundred bytes, else with room
//! at both ends. A long one is a deque of such runs ([`nodes`]), each small enough to be changed in the middle. Elements are
//! stored as listpack entries ([`entry`]), so that sizes count as they do in Redis, and which form a list has is decided by
//! Redis's rules, for OBJECT ENCODING shows it: "listpack" for the one, "quicklist" for the other. Nodes far from both ends may
//! be kept compressed ([`compressed`]).

mod compressed;
mod entry;
mod iter;
pub(super) mod nodes;
mod run;
#[cfg(test)]
mod tests;
mod was;

pub use entry::Item;
pub use iter::{Chunk, Iter};

use crate::types::kind::Type;
use crate::types::object::{Collection, Object};
use entry::{Encoded, Span};
use nodes::{Node, Nodes};
use run::{Packed, Run, Small, is_body, small};
use std::ops::{ControlFlow, Range};

/// One end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where index 0 is; LEFT to commands.
    Front,
    /// Where index -1 is; RIGHT to commands.
    Back,
}

/// How large a list's runs may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The setting `list-max-listpack-size`: so many elements, or, if negative, 4 KB (-1), 8 KB (-2) and so on up to 64 KB.
    pub max_listpack_size: i32,
    /// Elements of at least so many bytes have a node of their own; 0: those longer than a node may be.
    pub packed_threshold: usize,
    /// The setting `list-compress-depth`: so many nodes at either end are not compressed; 0: none is.
    pub compress_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_listpack_size: -2,
            packed_threshold: 0,
            compress_depth: 0,
        }
    }
}

impl Limits {
    /// The bound on a node's bytes that a setting stands for.
    fn node_bytes(setting: i32) -> usize {
        match setting {
            0.. => 8192,
            -1 => 4096,
            -2 => 8192,
            -3 => 16_384,
            -4 => 32_768,
            _ => 65_536,
        }
    }

    /// The bound on a node's elements that a setting stands for.
    fn node_count(setting: i32) -> Option<usize> {
        usize::try_from(setting).ok().map(|n| n.max(1))
    }

    /// Whether a node of so many bytes and elements is larger than the setting allows.
    fn exceeded(setting: i32, bytes: usize, count: usize) -> bool {
        bytes > Limits::node_bytes(setting)
            || Limits::node_count(setting).is_some_and(|max| count > max)
    }

    /// Whether a list's last node is so much smaller than the setting allows that the list becomes a listpack.
    fn is_half_empty(setting: i32, bytes: usize, count: usize) -> bool {
        match Limits::node_count(setting) {
            Some(max) => count <= max / 2,
            None => bytes <= Limits::node_bytes(setting) / 2,
        }
    }
}

/// Longest run inside of an entry, in bytes: up to here, copying a list out and in is cheaper than having it elsewhere.
const MAX_INLINE: usize = 896;

/// A list. See the module's page.
#[derive(Clone, Debug)]
pub struct List(Repr);

#[derive(Clone, Debug)]
enum Repr {
    /// A listpack, to be kept inside of its entry.
    Small(Small),
    /// A listpack in memory of its own.
    Single(Packed),
    /// A quicklist.
    Nodes(Nodes),
}

impl Default for List {
    fn default() -> Self {
        List(Repr::Small(Small::default()))
    }
}

/// Runs `$body` with `$run` a short list's run, or `$long` with `$nodes` a long one's nodes.
macro_rules! each_form {
    ($list:expr, $run:ident => $body:expr, $nodes:ident => $long:expr) => {
        match $list {
            Repr::Small($run) => $body,
            Repr::Single($run) => $body,
            Repr::Nodes($nodes) => $long,
        }
    };
}

impl List {
    fn of_nodes(nodes: Nodes) -> List {
        List(Repr::Nodes(nodes))
    }

    /// The long form.
    pub(super) fn nodes(&self) -> Option<&Nodes> {
        match &self.0 {
            Repr::Nodes(nodes) => Some(nodes),
            _ => None,
        }
    }

    /// The long form.
    pub(super) fn nodes_mut(&mut self) -> Option<&mut Nodes> {
        match &mut self.0 {
            Repr::Nodes(nodes) => Some(nodes),
            _ => None,
        }
    }

    /// Adds elements at an end, one after the other: several at the front end up in reverse order.
    pub fn push<'v>(
        &mut self,
        end: End,
        items: impl Iterator<Item = Item<'v>> + Clone,
        limits: Limits,
    ) {
        if !matches!(self.0, Repr::Nodes(_)) {
            let (bytes, count) = items
                .clone()
                .fold((0, 0), |(bytes, n), item| (bytes + counted(item), n + 1));
            self.grow(bytes, count, limits);
        }
        for item in items {
            each_form!(&mut self.0,
                run => run.push(end, item, Limits::node_bytes(limits.max_listpack_size)),
                nodes => nodes.push(end, item, limits));
        }
        self.leave_entry(0);
    }

    /// Removes the element at an end after `f` has seen it; `None` if there is none.
    pub fn pop<R>(&mut self, end: End, limits: Limits, f: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        let r = self.pop_only(end, limits, f);
        self.shrink(limits);
        r
    }

    fn pop_only<R>(
        &mut self,
        end: End,
        limits: Limits,
        f: impl FnOnce(Item<'_>) -> R,
    ) -> Option<R> {
        each_form!(&mut self.0,
            run => (run.count() > 0).then(|| run.pop(end, f)),
            nodes => nodes.pop(end, limits, f))
    }

    /// Moves the element at one end to an end after `f` has seen it; `None` if there is none.
    pub fn rotate<R>(
        &mut self,
        from: End,
        to: End,
        limits: Limits,
        f: impl FnOnce(Item<'_>) -> R,
    ) -> Option<R> {
        let (moved, r) = self.pop_only(from, limits, |item| (Moved::of(item), f(item)))?;
        self.push(to, std::iter::once(moved.item()), limits);
        self.shrink(limits);
        Some(r)
    }

    /// Removes the elements of these indices, which must be there.
    pub fn remove(&mut self, indices: Range<usize>, limits: Limits) {
        if indices.is_empty() {
            return;
        }
        each_form!(&mut self.0,
            run => run.remove(indices),
            nodes => nodes.remove(indices.start, indices.len(), limits));
        self.shrink(limits);
    }

    /// Keeps only the elements of these indices, which must be there.
    pub fn keep(&mut self, indices: Range<usize>, limits: Limits) {
        let len = Collection::len(self);
        for cut in [indices.end..len, 0..indices.start] {
            if !cut.is_empty() {
                each_form!(&mut self.0,
                    run => run.remove(cut),
                    nodes => nodes.remove(cut.start, cut.len(), limits));
            }
        }
        self.shrink(limits);
    }

    /// Removes up to `most` elements equal to a text, from an end on; returns how many.
    pub fn remove_equal(&mut self, text: &[u8], end: End, most: usize, limits: Limits) -> usize {
        let body = Encoded::of(Item::Bytes(text)).body();
        let removed = each_form!(&mut self.0,
            run => {
                let found = run.find_all(&body, end, most);
                run.remove_all(&found);
                found.len()
            },
            nodes => nodes.remove_equal(&body, text, (end, most), limits));
        if removed > 0 {
            self.shrink(limits);
        }
        removed
    }

    /// Replaces the element of this index; false if there is none.
    pub fn set(&mut self, index: usize, value: Item<'_>, limits: Limits) -> bool {
        // As in Redis, the list makes ready for the element before it is known whether there is a place for it.
        self.grow(counted(value), 1, limits);
        if index >= Collection::len(self) {
            return false;
        }
        each_form!(&mut self.0,
            run => run.replace(index, value, Limits::node_bytes(limits.max_listpack_size)),
            nodes => nodes.replace(index, value, limits));
        self.leave_entry(0);
        self.shrink(limits);
        true
    }

    /// Inserts an element before or behind the first one that is equal to `pivot`; false if there is none.
    pub fn insert(&mut self, pivot: &[u8], behind: bool, value: Item<'_>, limits: Limits) -> bool {
        self.grow(counted(value), 1, limits);
        let body = Encoded::of(Item::Bytes(pivot)).body();
        let inserted = each_form!(&mut self.0,
        run => match run.find_all(&body, End::Front, 1).first() {
            Some(found) => {
                let at = if behind { found.end } else { found.start };
                run.insert(at, value, Limits::node_bytes(limits.max_listpack_size));
                true
            }
            None => false,
        },
        nodes => match nodes.find(&body, pivot) {
            Some((at, index)) => {
                nodes.insert(at, index, behind, value, limits);
                true
            }
            None => false,
        });
        self.leave_entry(0);
        inserted
    }

    /// Makes a short list a long one if these elements would be too much for it.
    fn grow(&mut self, bytes: usize, count: usize, limits: Limits) {
        let run = match &self.0 {
            Repr::Small(run) => (run.listpack_bytes(), run.count()),
            Repr::Single(run) => (run.listpack_bytes(), run.count()),
            Repr::Nodes(_) => return,
        };
        let setting = limits.max_listpack_size;
        if Limits::exceeded(setting, run.0 + bytes, run.1 + count) {
            let first = match std::mem::take(self).0 {
                Repr::Small(run) => Packed::from_run(run.bytes(), run.count(), 0),
                Repr::Single(run) => run,
                Repr::Nodes(_) => unreachable!("returned above"),
            };
            // Redis keeps the setting in 16 bits.
            self.0 = Repr::Nodes(Nodes::new(Some(first), setting.clamp(-5, i16::MAX.into())));
        } else {
            // An entry takes two bytes at least.
            self.leave_entry(bytes + 2 * count);
        }
    }

    /// Takes a run out of its entry that is or will be too long for it.
    #[inline]
    fn leave_entry(&mut self, more: usize) {
        if let Repr::Small(run) = &self.0
            && run.0.len() + more > MAX_INLINE
        {
            let room = run.0.len() + more + 64;
            self.0 = Repr::Single(Packed::from_run(run.bytes(), run.count(), room));
        }
    }

    /// Makes a long list a short one if little is left of it.
    #[inline]
    fn shrink(&mut self, limits: Limits) {
        if let Repr::Nodes(nodes) = &mut self.0
            && nodes.node_count() == 1
            && let Some(run) = nodes.single()
            && Limits::is_half_empty(limits.max_listpack_size, run.listpack_bytes(), run.count())
            && let Some(run) = nodes.take_single()
        {
            self.0 = Repr::Single(run);
        }
    }
}

/// Bytes that an element counts when it is added to a short list. A number that comes out of a list counts nothing, since
/// Redis then has it as a number.
fn counted(item: Item<'_>) -> usize {
    match item {
        Item::Int(_) => 0,
        item => item.text_len(),
    }
}

/// An element on its way from one list to another.
#[derive(Clone, Debug)]
pub enum Moved {
    /// A number.
    Int(i64),
    /// A text.
    Bytes(smallvec::SmallVec<[u8; 64]>),
    /// A text in memory of its own.
    Blob(crate::types::kind::Blob),
}

impl Moved {
    /// Takes a copy of an element, or a share of a large one.
    pub fn of(item: Item<'_>) -> Moved {
        match item {
            Item::Int(n) => Moved::Int(n),
            Item::Bytes(text) => Moved::Bytes(smallvec::SmallVec::from_slice(text)),
            Item::Blob(blob) => Moved::Blob(blob.clone()),
        }
    }

    /// The element.
    pub fn item(&self) -> Item<'_> {
        match self {
            Moved::Int(n) => Item::Int(*n),
            Moved::Bytes(text) => Item::Bytes(text),
            Moved::Blob(blob) => Item::Blob(blob),
        }
    }
}

/// A view of a list.
#[derive(Clone, Copy)]
pub struct ListRef<'a>(View<'a>);

#[derive(Clone, Copy)]
enum View<'a> {
    /// Entries, and how many.
    Run(&'a [u8], usize),
    Nodes(&'a Nodes),
}

impl<'a> ListRef<'a> {
    /// Number of elements. Takes constant time.
    #[inline]
    pub fn len(&self) -> usize {
        match self.0 {
            View::Run(_, count) => count,
            View::Nodes(nodes) => nodes.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What `f` makes of the element of this index.
    pub fn get<R>(&self, index: usize, f: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        self.iter_from(index, End::Front).next_item().map(f)
    }

    /// All elements, from front to back.
    pub fn iter(&self) -> Iter<'a> {
        self.iter_from(0, End::Front)
    }

    /// The elements from this index on to the back (`from`: `Front`) or to the front (`Back`).
    pub fn iter_from(&self, index: usize, from: End) -> Iter<'a> {
        Iter::new(self.0, index, from)
    }

    /// Calls `f` with the distance from an end of each element equal to a text, among the first `most` from that end.
    pub fn find(
        &self,
        text: &[u8],
        end: End,
        most: usize,
        mut f: impl FnMut(usize) -> ControlFlow<()>,
    ) {
        let body = Encoded::of(Item::Bytes(text)).body();
        let mut passed = 0;
        let mut scratch = Vec::new();
        for step in 0..self.chunk_count() {
            let at = if end == End::Front {
                step
            } else {
                self.chunk_count() - 1 - step
            };
            if passed == most {
                return;
            }
            let (run, is_plain): (&[u8], bool) = match self.chunk(at) {
                Some(Chunk::Packed(run, _)) => (run, false),
                Some(Chunk::Plain(blob)) => (blob, true),
                Some(Chunk::Compressed { lzf, len, count }) => (
                    compressed::read(lzf, len, count == 0, &mut scratch),
                    count == 0,
                ),
                None => return,
            };
            if is_plain {
                if run == text && f(passed).is_break() {
                    return;
                }
                passed += 1;
                continue;
            }
            let mut span = Span::of(run);
            while let Some(range) = span.next(end) {
                if passed == most || is_body(&run[range], &body) && f(passed).is_break() {
                    return;
                }
                passed += 1;
            }
        }
    }

    /// The number of pieces that the list is stored in.
    pub fn chunk_count(&self) -> usize {
        match self.0 {
            View::Run(..) => 1,
            View::Nodes(nodes) => nodes.node_count(),
        }
    }

    /// One of those pieces.
    pub fn chunk(&self, at: usize) -> Option<Chunk<'a>> {
        match self.0 {
            View::Run(run, count) => (at == 0).then_some(Chunk::Packed(run, count)),
            View::Nodes(nodes) => nodes.node(at).map(Node::chunk),
        }
    }
}

impl Collection for List {
    const KIND: Type = Type::List;
    type Ref<'a> = ListRef<'a>;

    fn new() -> Self {
        List::default()
    }

    #[inline]
    fn view(&self) -> ListRef<'_> {
        ListRef(
            each_form!(&self.0, run => View::Run(run.bytes(), run.count()), nodes => View::Nodes(nodes)),
        )
    }

    #[inline]
    fn view_packed(bytes: &[u8]) -> ListRef<'_> {
        let (run, count) = small(bytes);
        ListRef(View::Run(run, count))
    }

    #[inline]
    fn from_packed(bytes: Vec<u8>) -> Self {
        List(Repr::Small(Small(bytes)))
    }

    #[inline]
    fn packed(&self) -> Option<&[u8]> {
        match &self.0 {
            Repr::Small(run) => Some(&run.0),
            _ => None,
        }
    }

    fn into_scratch(self) -> Option<Vec<u8>> {
        match self.0 {
            Repr::Small(run) => Some(run.0),
            _ => None,
        }
    }

    fn encoding(view: ListRef<'_>) -> &'static str {
        match view.0 {
            View::Run(..) => "listpack",
            View::Nodes(_) => "quicklist",
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.view().len()
    }

    #[inline]
    fn memory(&self) -> usize {
        match &self.0 {
            Repr::Small(run) => run.0.capacity(),
            Repr::Single(run) => run.heap(),
            Repr::Nodes(nodes) => nodes.memory(),
        }
    }

    fn into_object(self) -> Object {
        Object::List(self)
    }

    fn of(object: &Object) -> Option<&Self> {
        match object {
            Object::List(c) => Some(c),
            _ => None,
        }
    }

    fn of_mut(object: &mut Object) -> Option<&mut Self> {
        match object {
            Object::List(c) => Some(c),
            _ => None,
        }
    }
}
