//! The look ahead: finding every command's row and fetching the memory it will need before any of them runs.

use crate::context::command::{ADDS_SCORE, Entry, FAST, Group, SEEKS_PLACE, WRITE};
use crate::dispatch::worker::Worker;
use crate::table::registry::KeyLayout;
use resp::Batch;
use store::table::fetch_all;
use store::types::sorted_set::{Goal, Move};
use store::{Place, same};

/// Commands looked ahead in a pipeline. Each needs some three cache lines, which must all stay in the first level.
pub(super) const AHEAD: usize = 64;

/// Most arguments of a command that is taken to be quick.
const QUICK_ARGUMENTS: usize = 8;

/// What is fetched of a member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Item,
    Order,
}

/// What a command does with a member.
#[derive(Clone, Copy)]
enum Aim<'a> {
    Find,
    /// Needs its place in the order.
    Place,
    /// Gives it this score.
    Score(&'a [u8]),
    /// Adds that to its score.
    Add(&'a [u8]),
}

/// What is known of a command of the batch before it runs.
pub(super) struct Planned {
    pub entry: Option<*const Entry>,
    /// Of its first key, if that stands at a fixed index; to be asked for by [`Planned::place`].
    place: Place,
    placed: bool,
    /// It takes constant or logarithmic time.
    pub quick: bool,
    /// Index of a registry entry's counters, for the time spent.
    pub id: u32,
}

impl Planned {
    /// Where its first key belongs, if that stands at a fixed index.
    #[inline]
    pub fn place(&self) -> Option<Place> {
        self.placed.then_some(self.place)
    }
}

impl Worker {
    /// Plans a stretch of a batch: finds rows (`renamed`: by the names that a configuration gave them), hashes first keys and begins
    /// to fetch what they need.
    #[inline]
    pub(super) fn look_ahead(
        &mut self,
        db: usize,
        renamed: bool,
        batch: &Batch<'_>,
        range: std::ops::Range<usize>,
    ) {
        let engine = &*self.engine;
        let ks = engine.keyspace();
        self.plan.clear();
        self.probes.clear();
        let alone = range.len() == 1;
        // Pipelines mostly repeat one command: the last one found is tried first.
        let mut last: Option<(&[u8], &Entry)> = None;
        // Some are on one key throughout, which is then hashed and fetched once. The first other key ends the comparing.
        let (mut only, mut varied): (Option<(&[u8], Place)>, bool) = (None, false);
        for i in range {
            let argv = batch.get(i);
            #[cfg(test)]
            assert!(argv.last() != Some(&&b"panic in the look ahead"[..]));
            let entry = match last {
                Some((name, e)) if same(name, argv[0]) => Some(e),
                _ if renamed => engine.resolve(argv),
                _ => engine.registry().resolve(argv),
            };
            if let Some(e) = entry
                && e.one_word
            {
                last = Some((argv[0], e));
            }
            let mut p = Planned {
                entry: entry.map(|e| e as *const Entry),
                place: Place::default(),
                placed: false,
                id: entry.map_or(0, |e| e.id as u32),
                quick: argv.len() <= QUICK_ARGUMENTS && entry.is_some_and(|e| e.command.has(FAST)),
            };
            let first = match entry.map(|e| e.keys) {
                Some(KeyLayout::One(i) | KeyLayout::Range { first: i, .. }) => argv.get(i),
                _ => None,
            };
            if let Some(key) = first {
                p.placed = true;
                match only {
                    Some((before, place)) if !varied && same(before, key) => p.place = place,
                    _ => {
                        p.place = ks.place(key);
                        varied = only.replace((key, p.place)).is_some();
                    }
                }
                if !alone && (varied || self.probes.is_empty()) {
                    self.probes.push(ks.find_home(db, p.place));
                }
            }
            self.plan.push(p);
        }
        fetch_all(&self.probes, self.wide);
    }

    /// Begins to fetch the members that a stretch's commands name in large sets and hashes. Unlike keys they are looked
    /// for under the shard's lock, once for the members' places and once for the members; so that batches without large
    /// collections pay little, only the first such command is looked into until one is found.
    #[inline]
    pub(super) fn look_into(&mut self, db: usize, batch: &Batch<'_>, first: usize) {
        let ks = self.engine.keyspace();
        // The key, the member, and what for.
        let member = |p: &Planned, i: usize| {
            // SAFETY: points into the registry of `self.engine`, which never changes.
            let command = unsafe { &*p.entry? }.command;
            if !p.placed {
                return None;
            }
            #[cfg(test)]
            assert!(batch.get(first + i).last() != Some(&&b"panic in the look into"[..]));
            match (command.group, batch.get(first + i)) {
                (Group::Hash | Group::Set, [_, key, member, ..]) => {
                    Some((*key, *member, Aim::Find))
                }
                (Group::SortedSet, [_, key, member, ..]) if command.has(SEEKS_PLACE) => {
                    Some((*key, *member, Aim::Place))
                }
                (Group::SortedSet, [_, key, member]) => Some((*key, *member, Aim::Find)),
                (Group::SortedSet, [_, key, score, member]) if command.has(ADDS_SCORE) => {
                    Some((*key, *member, Aim::Add(score)))
                }
                (Group::SortedSet, [_, key, score, member]) if command.has(WRITE) => {
                    Some((*key, *member, Aim::Score(score)))
                }
                _ => None,
            }
        };
        self.members.clear();
        self.hashes.clear();
        let mut large = false;
        let mut i = 0;
        while i < self.plan.len() {
            let p = &self.plan[i];
            let Some((key, ..)) = member(p, i) else {
                i += 1;
                continue;
            };
            // Whoever has the lock may keep it for long; this is only about being early.
            let Some(guard) = ks.try_lock(p.place.shard()) else {
                i += 1;
                continue;
            };
            let object = guard
                .db_ref(db)
                .get(p.place.hash(), key)
                .and_then(|e| e.own_object());
            let from = self.hashes.len();
            // All that follow on the same key, under one lock.
            while i < self.plan.len() && self.plan[i].place == p.place {
                if let Some(object) = object
                    && let Some((_, member, _)) = member(&self.plan[i], i)
                    && let Some(hash) = object.hash_of(member)
                {
                    self.members.push(i);
                    self.hashes.push(hash);
                }
                i += 1;
            }
            if let Some(object) = object
                && self.hashes.len() > from
            {
                object.fetch_homes(&self.hashes[from..]);
                large = true;
            }
            if !large && !self.large {
                return;
            }
        }
        self.large = large;
        // First the members, then, for those that will move in their order, their places.
        let mut places: smallvec::SmallVec<[Move<'_>; AHEAD]> = smallvec::SmallVec::new();
        for step in [Step::Item, Step::Order] {
            let (mut at, mut moves) = (0, false);
            while let Some(&first) = self.members.get(at) {
                let p = &self.plan[first];
                let guard = ks.try_lock(p.place.shard());
                let object = member(p, first)
                    .and_then(|(key, ..)| guard.as_ref()?.db_ref(db).get(p.place.hash(), key))
                    .and_then(|e| e.own_object());
                let from = at;
                while let Some(&i) = self.members.get(at)
                    && self.plan[i].place == p.place
                {
                    let hash = self.hashes[at];
                    let (member, aim) =
                        member(&self.plan[i], i).map_or((&b""[..], Aim::Find), |(_, m, a)| (m, a));
                    let number = |score| resp::parse_f64(score).unwrap_or_default();
                    let goal = match aim {
                        Aim::Find => None,
                        Aim::Place => Some(Goal::Same),
                        Aim::Score(_) | Aim::Add(_) if step == Step::Item => Some(Goal::Same),
                        Aim::Score(score) => Some(Goal::Score(number(score))),
                        Aim::Add(score) => Some(Goal::Plus(number(score))),
                    };
                    moves |= goal.is_some();
                    if step == Step::Order
                        && let Some(goal) = goal
                    {
                        places.push(Move { hash, member, goal });
                    }
                    at += 1;
                }
                match (object, step) {
                    (Some(object), Step::Item) => object.fetch_items(&self.hashes[from..at]),
                    (Some(object), Step::Order) => object.fetch_places(&places),
                    (None, _) => {}
                }
                places.clear();
            }
            if !moves {
                return;
            }
        }
    }
}
