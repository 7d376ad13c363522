//! Consumer groups: who has been given which entries and has not acknowledged them yet.
//!
//! A group reads a stream once for all its consumers. Each entry given out is pending until it is acknowledged: it
//! stands in the group's list, by ID, with its consumer, and in that consumer's own list, so that both "what has the
//! group pending" and "what has this consumer pending" are ranges. Consumers are known by a number, which pending
//! entries can hold more cheaply than a name.

use super::id::StreamId;
use std::collections::BTreeSet;
use std::collections::btree_map::{self, BTreeMap};
use std::sync::Arc;

/// Number of a consumer within its group.
pub type ConsumerNo = u32;

/// The consumer of an entry that was given back (XNACK) and waits for whoever claims it.
pub const NOBODY: ConsumerNo = ConsumerNo::MAX;

/// A pending entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// To whom it was given last, or [`NOBODY`].
    pub consumer: ConsumerNo,
    /// When, in Unix milliseconds.
    pub delivered_ms: i64,
    /// How many times.
    pub deliveries: u64,
}

/// A consumer.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// Its name.
    pub name: Arc<[u8]>,
    /// When it was last heard of, in Unix milliseconds.
    pub seen_ms: i64,
    /// When it last got something, in Unix milliseconds; `None`: never.
    pub active_ms: Option<i64>,
    /// Its pending entries.
    pending: BTreeSet<StreamId>,
}

impl Consumer {
    /// Its pending entries from `start` on.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = StreamId> + '_ {
        self.pending.range(start..).copied()
    }

    /// Number of its pending entries.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }
}

/// A consumer group.
#[derive(Clone, Debug)]
pub struct Group {
    /// The last entry given to a consumer as new.
    pub last_id: StreamId,
    /// How many entries were read up to there, counted from the stream's very first; `None` if that is not known.
    pub entries_read: Option<i64>,
    pending: BTreeMap<StreamId, Pending>,
    /// The pending entries by when they were given out, once somebody has asked for them in that order.
    by_time: Option<BTreeSet<(i64, StreamId)>>,
    /// How many of them belong to nobody.
    unowned: usize,
    /// By number; the places of deleted ones are used again.
    consumers: Vec<Option<Consumer>>,
    numbers: BTreeMap<Arc<[u8]>, ConsumerNo>,
    names_bytes: usize,
}

/// Bytes a pending entry takes in the two ordered lists, which are some two thirds full.
const PENDING_BYTES: usize = 3 * (2 * size_of::<StreamId>() + size_of::<Pending>()) / 2;
/// The same in the list by time.
const TIMED_BYTES: usize = 3 * size_of::<(i64, StreamId)>() / 2;
/// Bytes a consumer takes without its name and entries.
const CONSUMER_BYTES: usize = size_of::<Consumer>() + 64;

impl Group {
    /// A group that goes on after `last_id`.
    pub fn new(last_id: StreamId, entries_read: Option<i64>) -> Group {
        Group {
            last_id,
            entries_read,
            pending: BTreeMap::new(),
            by_time: None,
            unowned: 0,
            consumers: Vec::new(),
            numbers: BTreeMap::new(),
            names_bytes: 0,
        }
    }

    /// Bytes it owns, about. Takes constant time.
    pub fn memory(&self) -> usize {
        let by_time = self.by_time.as_ref().map_or(0, |times| times.len());
        self.pending.len() * PENDING_BYTES
            + by_time * TIMED_BYTES
            + self.consumers.capacity() * CONSUMER_BYTES
            + self.names_bytes
    }

    /// Its consumers in the order of their names.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.numbers.values().filter_map(|no| self.consumer(*no))
    }

    /// Number of its consumers.
    pub fn consumers_len(&self) -> usize {
        self.numbers.len()
    }

    /// The number of the consumer of this name.
    pub fn find_consumer(&self, name: &[u8]) -> Option<ConsumerNo> {
        self.numbers.get(name).copied()
    }

    /// A consumer by number.
    pub fn consumer(&self, no: ConsumerNo) -> Option<&Consumer> {
        self.consumers.get(no as usize)?.as_ref()
    }

    /// A consumer by number, to be changed.
    pub fn consumer_mut(&mut self, no: ConsumerNo) -> Option<&mut Consumer> {
        self.consumers.get_mut(no as usize)?.as_mut()
    }

    /// The consumer of this name, which is made if need be; whether it was.
    pub fn consumer_or_new(&mut self, name: &[u8], now_ms: i64) -> (ConsumerNo, bool) {
        if let Some(no) = self.find_consumer(name) {
            return (no, false);
        }
        let name: Arc<[u8]> = name.into();
        let consumer = Some(Consumer {
            name: name.clone(),
            seen_ms: now_ms,
            active_ms: None,
            pending: BTreeSet::new(),
        });
        self.names_bytes += name.len();
        // Looked for only where there is one: a group may have very many consumers.
        let has_free = self.numbers.len() < self.consumers.len();
        let free = || self.consumers.iter().position(Option::is_none);
        let no = match has_free.then(free).flatten() {
            Some(free) => {
                self.consumers[free] = consumer;
                free
            }
            None => {
                self.consumers.push(consumer);
                self.consumers.len() - 1
            }
        } as ConsumerNo;
        self.numbers.insert(name, no);
        (no, true)
    }

    /// Deletes a consumer with its pending entries; returns how many they were.
    pub fn delete_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let no = self.numbers.remove(name)?;
        let consumer = self.consumers.get_mut(no as usize)?.take()?;
        self.names_bytes -= consumer.name.len();
        for id in &consumer.pending {
            if let Some(old) = self.pending.remove(id) {
                self.no_longer(*id, old);
            }
        }
        Some(consumer.pending.len())
    }

    /// Number of pending entries.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// A pending entry.
    pub fn pending(&self, id: StreamId) -> Option<&Pending> {
        self.pending.get(&id)
    }

    /// Gives an entry to its consumer once more.
    pub fn deliver_again(&mut self, id: StreamId, now_ms: i64) -> Option<Pending> {
        let old = *self.pending.get(&id)?;
        let pending = Pending {
            delivered_ms: now_ms,
            deliveries: old.deliveries.wrapping_add(1),
            ..old
        };
        self.assign(id, pending);
        Some(pending)
    }

    /// How many pending entries belong to nobody.
    pub fn unowned(&self) -> usize {
        self.unowned
    }

    /// The pending entries that were given out at this time or before, in Unix milliseconds: the oldest first.
    pub fn delivered_until(&mut self, at_ms: i64) -> impl Iterator<Item = StreamId> + '_ {
        let pending = &self.pending;
        let times = self.by_time.get_or_insert_with(|| {
            let times = pending.iter().map(|(id, p)| (p.delivered_ms, *id));
            times.collect()
        });
        times.range(..=(at_ms, StreamId::MAX)).map(|(_, id)| *id)
    }

    /// A pending entry is none any more, or another one.
    fn no_longer(&mut self, id: StreamId, old: Pending) {
        if let Some(times) = &mut self.by_time {
            times.remove(&(old.delivered_ms, id));
        }
        self.unowned -= usize::from(old.consumer == NOBODY);
    }

    /// The pending entries from `start` on.
    pub fn pending_from(&self, start: StreamId) -> btree_map::Range<'_, StreamId, Pending> {
        self.pending.range(start..)
    }

    /// The first and the last pending entry.
    pub fn pending_ends(&self) -> Option<(StreamId, StreamId)> {
        let (first, _) = self.pending.first_key_value()?;
        let (last, _) = self.pending.last_key_value()?;
        Some((*first, *last))
    }

    /// Makes an entry pending, or gives it to another consumer, as `pending` says.
    pub fn assign(&mut self, id: StreamId, pending: Pending) {
        let old = self.pending.insert(id, pending);
        if let Some(old) = old {
            self.no_longer(id, old);
        }
        if let Some(times) = &mut self.by_time {
            times.insert((pending.delivered_ms, id));
        }
        self.unowned += usize::from(pending.consumer == NOBODY);
        if let Some(old) = old {
            if old.consumer == pending.consumer {
                return;
            }
            if let Some(consumer) = self.consumer_mut(old.consumer) {
                consumer.pending.remove(&id);
            }
        }
        if let Some(consumer) = self.consumer_mut(pending.consumer) {
            consumer.pending.insert(id);
        }
    }

    /// Makes an entry no longer pending; whether it was.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&id) else {
            return false;
        };
        self.no_longer(id, pending);
        if let Some(consumer) = self.consumer_mut(pending.consumer) {
            consumer.pending.remove(&id);
        }
        true
    }
}
