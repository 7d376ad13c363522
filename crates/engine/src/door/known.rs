//! The places of the keys that the running command names.
//!
//! A key is hashed once, by whoever first has to know where it belongs: the look ahead, the locks, the queue of a transaction. What
//! it found is kept with the argument's address, which tells one argument from another without looking at its bytes. It says
//! nothing once the command is over.

use std::cell::Cell;
use store::Place;

/// Up to so many keys are searched one after the other, which takes no longer than halving.
const FEW: usize = 16;

/// An argument and its place. Arguments of an embedding program may begin at one address and differ in length.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KnownKey {
    at: usize,
    len: usize,
    place: Place,
}

impl KnownKey {
    #[inline]
    pub fn new(key: &[u8], place: Place) -> KnownKey {
        KnownKey {
            at: key.as_ptr() as usize,
            len: key.len(),
            place,
        }
    }

    #[inline]
    fn is(&self, key: &[u8]) -> bool {
        key.as_ptr() as usize == self.at && key.len() == self.len
    }
}

/// A key among the arguments of a command that is part of another: its index there, and its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlacedKey {
    pub index: u32,
    pub place: Place,
}

impl PlacedKey {
    #[inline]
    pub fn new(index: usize, place: Place) -> PlacedKey {
        PlacedKey {
            index: index as u32,
            place,
        }
    }
}

/// See the module's page.
pub(crate) struct KnownKeys<'e> {
    /// The first, which is the only one of most commands.
    first: KnownKey,
    /// All of them, if there are several.
    all: &'e mut Vec<KnownKey>,
    /// Where the search among all begins: commands mostly go through their keys in order.
    next: Cell<usize>,
}

/// The place of an argument, if it is among the known ones.
pub(crate) fn find(known: &[KnownKey], key: &[u8]) -> Option<Place> {
    Some(known[index(known, key)?].place)
}

fn index(known: &[KnownKey], key: &[u8]) -> Option<usize> {
    if known.len() <= FEW {
        return known.iter().position(|known| known.is(key));
    }
    // Those of a request lie in its buffer one behind the other. Of others nothing may be found, and they are hashed again.
    let from = key.as_ptr() as usize;
    let at = known.partition_point(|known| known.at < from);
    known.get(at).filter(|known| known.is(key)).map(|_| at)
}

impl<'e> KnownKeys<'e> {
    /// A first key, or the default for none, and all of them if there are several.
    #[inline]
    pub fn new(first: KnownKey, all: &'e mut Vec<KnownKey>) -> KnownKeys<'e> {
        KnownKeys {
            first,
            all,
            next: Cell::new(0),
        }
    }

    /// The place of an argument, if it is known.
    #[inline]
    pub fn place(&self, key: &[u8]) -> Option<Place> {
        if self.first.is(key) {
            return Some(self.first.place);
        }
        if self.all.is_empty() {
            return None;
        }
        self.place_of_another(key)
    }

    fn place_of_another(&self, key: &[u8]) -> Option<Place> {
        let next = self.next.get();
        for at in [next, next + 1] {
            if let Some(known) = self.all.get(at)
                && known.is(key)
            {
                self.next.set(at);
                return Some(known.place);
            }
        }
        let at = index(self.all, key)?;
        self.next.set(at);
        Some(self.all[at].place)
    }

    /// Only this key is known from now on.
    #[inline]
    pub fn set_one(&mut self, key: &[u8], place: Place) {
        self.forget();
        self.first = KnownKey::new(key, place);
    }

    /// Only these keys of a call are known from now on.
    #[inline]
    pub fn set(&mut self, argv: &[&[u8]], keys: &[PlacedKey]) {
        self.forget();
        let known = |key: &PlacedKey| KnownKey::new(argv[key.index as usize], key.place);
        if let [first, others @ ..] = keys {
            self.first = known(first);
            if !others.is_empty() {
                self.all.extend(keys.iter().map(known));
            }
        }
    }

    /// An address says nothing of the next command's arguments.
    #[inline]
    pub fn forget(&mut self) {
        self.first = KnownKey::default();
        self.all.clear();
        self.next.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::Keyspace;

    /// However many there are, whatever the order in which they are asked for, and wherever they lie.
    #[test]
    fn all_keys_of_a_call_are_found() {
        let ks = Keyspace::new(8, 1, 7);
        let text: Vec<u8> = (0..200u8).collect();
        for n in [0, 1, 2, 5, FEW, FEW + 1, FEW + 2, 100] {
            let argv: Vec<&[u8]> = text.chunks(2).take(n).collect();
            let keys: Vec<PlacedKey> = argv
                .iter()
                .enumerate()
                .map(|(i, key)| PlacedKey::new(i, ks.place(key)))
                .collect();
            let mut all = Vec::new();
            let mut known = KnownKeys::new(KnownKey::default(), &mut all);
            known.set(&argv, &keys);
            let forth = 0..n;
            let jumping = (0..n).map(|i| i * 37 % n);
            for i in forth.clone().chain(forth.rev()).chain(jumping) {
                assert_eq!(known.place(argv[i]), Some(ks.place(argv[i])), "{i} of {n}");
                // Another argument that begins there, and the same bytes elsewhere.
                let elsewhere = argv[i].to_vec();
                assert_eq!(known.place(&argv[i][..1]), None);
                assert_eq!(known.place(elsewhere.as_slice()), None);
            }
            known.forget();
            assert!(argv.iter().all(|key| known.place(key).is_none()));
        }
    }
}
