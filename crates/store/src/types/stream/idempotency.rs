//! Messages that producers may send twice and that are to be added once.
//!
//! A producer names each of its messages. While a name is remembered, adding a message under it again finds the entry that
//! was added first. Names are forgotten after a time, which is counted from the entry's ID, and when a producer has too many of
//! them, the oldest first. The reference is Redis 8.6.2.

use super::id::StreamId;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// What one producer has sent.
#[derive(Clone, Debug, Default)]
struct Producer {
    entries: HashMap<Arc<[u8]>, StreamId>,
    /// The names in the order in which they came.
    order: VecDeque<Arc<[u8]>>,
}

/// Of a stream: what its producers have sent, and how long that is remembered.
#[derive(Clone, Debug)]
pub struct Idempotency {
    duration_s: u64,
    max: u64,
    producers: BTreeMap<Box<[u8]>, Producer>,
    /// Bytes of all names.
    names_bytes: usize,
    /// Names in all.
    names: usize,
    /// When all producers were last looked through for names to forget, in Unix milliseconds.
    swept_ms: u64,
    /// Messages ever added under a name.
    pub added: u64,
    /// Messages that turned out to be there already.
    pub duplicates: u64,
}

/// Bytes that a name takes beside its own, in the map, in the list and on the heap.
const NAME_BYTES: usize = 96;
/// The same for a producer.
const PRODUCER_BYTES: usize = size_of::<Producer>() + 64;

impl Default for Idempotency {
    fn default() -> Idempotency {
        Idempotency::new(Idempotency::DURATION_S, Idempotency::MAX)
    }
}

impl Idempotency {
    /// How many seconds a name is remembered if nothing else is said.
    pub const DURATION_S: u64 = 100;
    /// How many names of a producer are remembered if nothing else is said.
    pub const MAX: u64 = 100;

    /// Nothing yet, with how many seconds a name is remembered and how many of a producer.
    pub const fn new(duration_s: u64, max: u64) -> Idempotency {
        Idempotency {
            duration_s,
            max,
            producers: BTreeMap::new(),
            names_bytes: 0,
            names: 0,
            swept_ms: 0,
            added: 0,
            duplicates: 0,
        }
    }

    /// How many seconds a name is remembered.
    pub fn duration_s(&self) -> u64 {
        self.duration_s
    }

    /// How many names of a producer are remembered.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// Sets both. What is remembered is forgotten if one of them changes.
    pub fn configure(&mut self, duration_s: u64, max: u64) {
        if (duration_s, max) != (self.duration_s, self.max) {
            let (added, duplicates) = (self.added, self.duplicates);
            *self = Idempotency::new(duration_s, max);
            (self.added, self.duplicates) = (added, duplicates);
        }
    }

    fn is_over(&self, id: StreamId, now_ms: u64) -> bool {
        id.ms.saturating_add(self.duration_s.saturating_mul(1000)) <= now_ms
    }

    /// The entry that a producer's message was added as, as far as that is remembered. With `now_ms` 0 nothing is over.
    pub fn find(&self, producer: &[u8], name: &[u8], now_ms: u64) -> Option<StreamId> {
        let id = *self.producers.get(producer)?.entries.get(name)?;
        (!self.is_over(id, now_ms)).then_some(id)
    }

    /// Remembers what a producer's message was added as. A name that is remembered already stays as it is.
    pub fn remember(&mut self, producer: &[u8], name: &[u8], id: StreamId, now_ms: u64) {
        if self.swept_ms.saturating_add(self.duration_s * 1000) <= now_ms {
            self.sweep(now_ms);
        }
        if self.find(producer, name, now_ms).is_some() {
            return;
        }
        if !self.producers.contains_key(producer) {
            self.producers.insert(producer.into(), Producer::default());
            self.names_bytes += PRODUCER_BYTES + producer.len();
        }
        self.forget_over(producer, now_ms);
        self.added = self.added.saturating_add(1);
        let max = self.max;
        let Some(known) = self.producers.get_mut(producer) else {
            return;
        };
        let name: Arc<[u8]> = name.into();
        self.names_bytes += NAME_BYTES + name.len();
        self.names += 1;
        if known.entries.insert(name.clone(), id).is_some() {
            // It was over, behind one that is not.
            known.order.retain(|other| *other != name);
            self.names_bytes -= NAME_BYTES + name.len();
            self.names -= 1;
        }
        known.order.push_back(name);
        while known.order.len() as u64 > max {
            if let Some(oldest) = known.order.pop_front() {
                known.entries.remove(&oldest);
                self.names_bytes -= NAME_BYTES + oldest.len();
                self.names -= 1;
            }
        }
    }

    /// Forgets the first names of a producer whose time is over.
    fn forget_over(&mut self, producer: &[u8], now_ms: u64) {
        let limit_ms = self.duration_s.saturating_mul(1000);
        let Some(known) = self.producers.get_mut(producer) else {
            return;
        };
        while let Some(oldest) = known.order.front() {
            let over = known
                .entries
                .get(oldest)
                .is_none_or(|id| id.ms.saturating_add(limit_ms) <= now_ms);
            if !over {
                break;
            }
            known.entries.remove(oldest);
            self.names_bytes -= NAME_BYTES + oldest.len();
            self.names -= 1;
            known.order.pop_front();
        }
    }

    /// Forgets what is over of all producers, once in the time that names are remembered for.
    fn sweep(&mut self, now_ms: u64) {
        self.swept_ms = now_ms;
        let producers: Vec<Box<[u8]>> = self.producers.keys().cloned().collect();
        for producer in producers {
            self.forget_over(&producer, now_ms);
            if self
                .producers
                .get(&producer)
                .is_some_and(|p| p.order.is_empty())
            {
                self.producers.remove(&producer);
                self.names_bytes -= PRODUCER_BYTES + producer.len();
            }
        }
    }

    /// Takes over what was remembered elsewhere, without counting it as added.
    pub fn restore(&mut self, producer: &[u8], name: &[u8], id: StreamId) {
        let added = self.added;
        self.remember(producer, name, id, 0);
        self.added = added;
    }

    /// The producers that have names whose time is not over, with those names, the oldest first, and their entries.
    pub fn producers(&self, now_ms: u64) -> impl Iterator<Item = (&[u8], Vec<(&[u8], StreamId)>)> {
        self.producers.iter().filter_map(move |(producer, known)| {
            let names: Vec<(&[u8], StreamId)> = known
                .order
                .iter()
                .filter_map(|name| Some((&**name, *known.entries.get(name)?)))
                .filter(|(_, id)| !self.is_over(*id, now_ms))
                .collect();
            (!names.is_empty()).then_some((&**producer, names))
        })
    }

    /// Bytes it takes, about.
    pub fn memory(&self) -> usize {
        size_of::<Idempotency>() + self.names_bytes
    }

    /// Names that are kept, over or not.
    pub fn len(&self) -> usize {
        self.names
    }

    /// Whether no name is kept.
    pub fn is_empty(&self) -> bool {
        self.names == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64) -> StreamId {
        StreamId::new(ms, 0)
    }

    #[test]
    fn names_are_found_until_their_time_is_over_or_there_are_too_many() {
        let mut i = Idempotency::new(1, 2);
        i.remember(b"p", b"a", id(1000), 1000);
        assert_eq!(i.find(b"p", b"a", 1999), Some(id(1000)));
        assert_eq!(i.find(b"q", b"a", 1999), None);
        assert_eq!(i.find(b"p", b"a", 2000), None);
        assert_eq!(i.find(b"p", b"a", 0), Some(id(1000)));
        i.remember(b"p", b"b", id(1500), 1500);
        i.remember(b"p", b"b", id(1600), 1600);
        i.remember(b"p", b"c", id(1700), 1700);
        assert_eq!(i.find(b"p", b"a", 1800), None, "two are remembered");
        assert_eq!(i.find(b"p", b"b", 1800), Some(id(1500)));
        assert_eq!((i.added, i.len()), (3, 2));
        i.remember(b"q", b"d", id(5000), 5000);
        assert_eq!(i.len(), 1, "all producers are looked through");
        assert_eq!(i.producers(5000).count(), 1);
        let before = i.memory();
        i.configure(1, 2);
        assert_eq!(i.memory(), before);
        i.configure(1, 3);
        assert!(i.is_empty() && i.added == 4);
        assert_eq!(i.memory(), Idempotency::new(1, 3).memory());
    }

    #[test]
    fn a_name_that_is_over_behind_one_that_is_not_is_taken_anew() {
        let mut i = Idempotency::new(1, 5);
        i.restore(b"p", b"young", id(5000));
        i.restore(b"p", b"old", id(1000));
        i.remember(b"p", b"old", id(5500), 5500);
        assert_eq!(i.find(b"p", b"old", 5600), Some(id(5500)));
        assert_eq!((i.len(), i.added), (2, 1));
    }
}
