//! A large collection of a snapshot: written a stretch at a time while it takes changes.
//!
//! From when it is opened the collection is [watched](store::Watcher). The one who writes the file takes a stretch of it under one
//! short hold of its shard's lock, and remembers how far it is. Whoever changes an element beyond that appends the element's
//! old state to what is written next, and leaves a mark, so that the stretches pass it over; an element that is new there only
//! gets the mark. So what is written are the elements that there were when the collection was opened, each once, in the state
//! they had then. That is the snapshot's moment, for it is opened before it is first changed.
//!
//! A collection that is renamed tells where it is; one that is deleted or replaced is handed over, and its rest is written without
//! any lock.

use super::Shared;
use super::marks::{MARK, Marks};
use parking_lot::Mutex;
use rdb::encode::{Head, Meta, Miscounted, Pieces};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use store::packed::Item;
use store::types::list::Chunk;
use store::{Collection as _, Element, EntryRef, Object, Watcher};

/// Bytes that are gathered in one buffer: a larger one would be moved when it grows, with a shard's lock held.
const BUFFER: usize = 64 << 10;

/// What an element of a list or stream is taken for where bytes are asked for.
const BYTES_EACH: usize = 64;

/// Where a collection stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub db: usize,
    pub hash: u64,
    pub key: Vec<u8>,
}

/// See the module's page.
pub(super) struct Collection {
    id: u64,
    /// The database it was in at the snapshot's moment.
    pub db: u32,
    shared: Arc<Shared>,
    state: Mutex<State>,
}

struct State {
    place: Place,
    written: Written,
    /// Elements that are to be passed over: their old state is written, or they are new.
    marked: Marks,
    /// `None` at the end of a stream.
    pieces: Option<Pieces>,
    /// What is to be written next: buffers that are full, and one that is not.
    full: Vec<Vec<u8>>,
    out: Vec<u8>,
    /// Bytes of it that stand for old states.
    old_bytes: usize,
    /// The collection itself, once nobody else wants it.
    rest: Option<Object>,
    ended: bool,
}

/// How far a collection is written.
enum Written {
    /// A set or hash: up to this position of its table.
    Position(u64),
    /// A sorted set: down to this member, or nothing yet.
    DownTo(Option<(f64, Vec<u8>)>),
    /// A list or stream, which knows by itself.
    Nodes,
}

impl Written {
    /// Whether an element is still to be written.
    fn is_ahead(&self, position: u64, element: Element<'_>) -> bool {
        match (self, element) {
            (Written::DownTo(None), _) => true,
            (Written::DownTo(Some((last, of))), Element::Scored(member, score)) => {
                score < *last || score == *last && *member < **of
            }
            (Written::Position(written), _) => position >= *written,
            (Written::DownTo(Some(_)) | Written::Nodes, _) => false,
        }
    }
}

impl Collection {
    /// Opens a large collection: returns it and who is to watch it from now on. `None` if it is none, and is to be written at
    /// once.
    pub fn open(
        shared: &Arc<Shared>,
        place: impl FnOnce() -> Place,
        db: u32,
        e: EntryRef<'_>,
    ) -> Option<(Arc<Collection>, Box<dyn Watcher>)> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let object = e.own_object()?;
        let elements = object.len() as u64;
        let (head, written) = match object {
            Object::SortedSet(_) => (Head::SortedSet(elements), Written::DownTo(None)),
            Object::Set(_) => (Head::Set(elements), Written::Position(0)),
            Object::Hash(_) => {
                let head = match object.next_due_ms() {
                    Some(first_due_ms) => Head::TimedHash {
                        fields: elements,
                        first_due_ms,
                    },
                    None => Head::Hash(elements),
                };
                (head, Written::Position(0))
            }
            Object::List(list) => {
                let nodes = list.view().chunk_count() as u64;
                (Head::ListNodes { nodes, elements }, Written::Nodes)
            }
            Object::Stream(stream) => {
                let view = stream.view();
                let kind = shared.options.kind_of_stream(view);
                (Head::StreamOf(view.nodes() as u64, kind), Written::Nodes)
            }
        };
        let meta = Meta {
            key: e.key(),
            expiry_ms: e.expiry_ms(),
            hint: None,
            kept: e.is_kept(),
        };
        let mut out = Vec::new();
        let pieces = match Pieces::begin(&mut out, &meta, head, &shared.options) {
            Ok(pieces) => pieces,
            Err(unwritable) => {
                shared.fail(unwritable);
                return None;
            }
        };
        let collection = Arc::new(Collection {
            id: IDS.fetch_add(1, Relaxed),
            db,
            shared: shared.clone(),
            state: Mutex::new(State {
                place: place(),
                written,
                marked: Marks::default(),
                pieces: Some(pieces),
                full: Vec::new(),
                out,
                old_bytes: 0,
                rest: None,
                ended: false,
            }),
        });
        let guard = Box::new(Guard(collection.clone()));
        Some((collection, guard))
    }

    /// A number that tells it from all others.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where it stands at the moment.
    pub fn place(&self) -> Place {
        self.state.lock().place.clone()
    }

    /// The collection itself, if nobody else wants it any more.
    pub fn take_rest(&self) -> Option<Object> {
        self.state.lock().rest.take()
    }

    /// Writes down the next stretch, about so many elements, of the collection itself; whether that was the last.
    pub fn stretch(&self, object: &mut Object, want: usize) -> bool {
        let mut state = self.state.lock();
        let State {
            written,
            marked,
            pieces,
            out,
            ended,
            ..
        } = &mut *state;
        let mut visit = |element: Element<'_>| {
            if marked.is_empty() || !marked.contains(self.shared.mark_of(name(element))) {
                self.put(pieces, out, element);
            }
        };
        *ended = match written {
            Written::Position(position) => {
                let next = object.stretch(*position, want, &mut visit);
                *position = next.unwrap_or(u64::MAX);
                next.is_none()
            }
            Written::Nodes => {
                let bytes = want.saturating_mul(BYTES_EACH);
                let mut visit = |put: Result<(), Miscounted>| {
                    if let Err(miscounted) = put {
                        self.shared.fail(miscounted);
                    }
                };
                let (ended, let_go) = match object {
                    Object::Stream(_) => object.stretch_entries(bytes, &mut |entries| {
                        if let Some(pieces) = pieces {
                            visit(pieces.entries(out, entries));
                        }
                    }),
                    _ => object.stretch_nodes(bytes, &mut |node| {
                        if let Some(pieces) = pieces {
                            put_node(pieces, out, node, &mut visit);
                        }
                    }),
                };
                self.shared.release(let_go);
                if ended && let Object::Stream(stream) = object {
                    match (stream.ending(), pieces.take()) {
                        (Some(ending), Some(pieces)) => {
                            visit(pieces.finish_stream(out, &ending));
                        }
                        _ => visit(Err(Miscounted)),
                    }
                }
                ended
            }
            Written::DownTo(last) => {
                let mut visited = 0;
                let mut lowest = last.clone().unwrap_or_default();
                let below = last.as_ref().map(|(score, member)| (*score, &member[..]));
                object.stretch_down(below, want, &mut |element| {
                    visit(element);
                    visited += 1;
                    if let Element::Scored(member, score) = element
                        && visited == want
                    {
                        lowest = (score, member.to_vec());
                    }
                });
                *last = Some(lowest);
                visited < want
            }
        };
        if *ended {
            if pieces.as_ref().is_some_and(|pieces| pieces.left() > 0) {
                self.shared.fail(Miscounted);
            }
            self.shared.release(marked.len() * MARK);
            *marked = Marks::default();
        }
        *ended
    }

    /// What is to be written next.
    pub fn take_out(&self) -> Vec<Vec<u8>> {
        let mut state = self.state.lock();
        self.shared.release(std::mem::take(&mut state.old_bytes));
        let mut all = std::mem::take(&mut state.full);
        all.push(std::mem::take(&mut state.out));
        all
    }

    fn put(&self, pieces: &mut Option<Pieces>, out: &mut Vec<u8>, element: Element<'_>) {
        let Some(pieces) = pieces else { return };
        let put = match element {
            Element::Member(member) => pieces.element(out, Item::Bytes(member)),
            Element::Scored(member, score) => pieces.scored(out, Item::Bytes(member), score),
            Element::Field(name, value, due_ms) => {
                pieces.field(out, name, Item::Bytes(value), due_ms)
            }
        };
        if let Err(miscounted) = put {
            self.shared.fail(miscounted);
        }
    }
}

/// Writes a node of a list, or its elements in a version that knows no nodes.
fn put_node(
    pieces: &mut Pieces,
    out: &mut Vec<u8>,
    node: Chunk<'_>,
    put: &mut impl FnMut(Result<(), Miscounted>),
) {
    if pieces.takes_nodes() {
        return put(pieces.node(out, node));
    }
    node.for_each(|element| {
        let mut number = [0; 20];
        put(pieces.element(out, Item::Bytes(element.text(&mut number))));
    });
}

fn name(element: Element<'_>) -> &[u8] {
    match element {
        Element::Member(name) | Element::Scored(name, _) | Element::Field(name, ..) => name,
    }
}

/// Watches a collection for as long as it is being written.
struct Guard(Arc<Collection>);

impl Watcher for Guard {
    fn id(&self) -> u64 {
        self.0.id
    }

    fn before_change(&mut self, position: u64, old: Element<'_>) {
        let shared = &self.0.shared;
        let mut state = self.0.state.lock();
        if state.ended || shared.is_aborted() || !state.written.is_ahead(position, old) {
            return;
        }
        if state.marked.insert(shared.mark_of(name(old))) {
            let State { pieces, out, .. } = &mut *state;
            let before = out.len();
            self.0.put(pieces, out, old);
            let bytes = out.len() - before;
            state.old_bytes += bytes;
            if state.out.len() >= BUFFER {
                let full = std::mem::take(&mut state.out);
                state.full.push(full);
            }
            shared.old_elements.fetch_add(1, Relaxed);
            shared.hold(MARK + bytes);
        }
    }

    fn before_insert(&mut self, position: u64, new: Element<'_>) {
        let shared = &self.0.shared;
        let mut state = self.0.state.lock();
        if state.ended || shared.is_aborted() || !state.written.is_ahead(position, new) {
            return;
        }
        if state.marked.insert(shared.mark_of(name(new))) {
            shared.hold(MARK);
        }
    }

    fn kept(&mut self, bytes: usize) {
        self.0.shared.hold(bytes);
    }

    fn moved(&mut self, db: usize, hash: u64, key: &[u8]) {
        self.0.state.lock().place = Place {
            db,
            hash,
            key: key.to_vec(),
        };
        self.0.shared.moves.call();
    }

    fn take(self: Box<Self>, rest: Object) {
        let mut state = self.0.state.lock();
        if !state.ended && !self.0.shared.is_aborted() {
            state.rest = Some(rest);
            drop(state);
            self.0.shared.moves.call();
        }
    }
}
