//! Where the members of a large sorted set are stored, each once, together with its score.
//!
//! A slot is `[score: 8][length: 1, 3 or 5][member]`, little endian, in granules of four bytes, and is known by the
//! number of its first granule: 32 bits where a pointer takes 64, which is what the index and the tree are made of.
//! A 16-byte member takes 28 bytes here.
//!
//! Slots of one size class share pages of 32 KB, so that returned slots find new tenants and empty pages are freed.
//! A class's last page is only as large as it needs to be: growth goes in steps of a sixteenth of what the set
//! already holds. Members over [`MAX_SLOT`] bytes are allocations of their own, which their slot refers to.
//!
//! Nothing here is unsafe: a page is a byte slice and a slot a range of it.

const GRANULE: usize = 4;
/// Granules of a page, as a power of two.
const PAGE_BITS: u32 = 13;
const PAGE: usize = GRANULE << PAGE_BITS;
const IN_PAGE: u32 = (1 << PAGE_BITS) - 1;
/// Longest slot inside a page, in bytes.
pub const MAX_SLOT: usize = 2048;
/// Size classes 1 to 32 are that many granules, then come sixteen to each doubling.
const CLASSES: usize = 32 + 16 * 4 + 1;
/// Where a short member's last byte is, counted from its slot's first.
const USUAL: usize = 24;
/// The smallest step by which a page grows, in bytes.
const MIN_STEP: usize = 256;

const NO_PAGE: u32 = u32::MAX;
const NO_SLOT: u16 = u16::MAX;

/// Length bytes that say where the length really is.
const LEN_U16: u8 = 0xfe;
const LEN_BIG: u8 = 0xff;
/// Where the length byte stands, behind the score.
const LEN_AT: usize = 8;

const fn class_of(size: usize) -> usize {
    let granules = size.div_ceil(GRANULE);
    if granules <= 32 {
        return granules;
    }
    let log = (usize::BITS - 1 - (granules - 1).leading_zeros()) as usize;
    32 + (log - 5) * 16 + (granules - (1 << log)).div_ceil(1 << (log - 4))
}

const fn granules_of(class: usize) -> usize {
    if class <= 32 {
        return class;
    }
    let (octave, step) = ((class - 33) / 16, (class - 33) % 16 + 1);
    (32 << octave) + (step << (octave + 1))
}

/// What is known of a page beside its bytes.
#[derive(Clone, Debug)]
struct Page {
    class: u8,
    /// Slots in use.
    used: u16,
    /// The first returned slot, by granule in the page; a returned slot begins with the next one.
    free: u16,
    /// Granules ever handed out.
    fresh: u16,
    /// Neighbours in the list of the class's pages with room.
    prev: u32,
    next: u32,
}

/// See the module's page.
#[derive(Clone, Debug)]
pub struct Slots {
    /// The bytes of each page; empty for a page that is not in use.
    bytes: Vec<Box<[u8]>>,
    pages: Vec<Page>,
    /// Pages not in use.
    spare: Vec<u32>,
    /// The first page with room of each class.
    room: [u32; CLASSES],
    /// Members too long for a page.
    big: Vec<Box<[u8]>>,
    big_spare: Vec<u32>,
    /// Bytes of all pages and of all big members.
    held: usize,
}

impl Default for Slots {
    fn default() -> Self {
        Slots {
            bytes: Vec::new(),
            pages: Vec::new(),
            spare: Vec::new(),
            room: [NO_PAGE; CLASSES],
            big: Vec::new(),
            big_spare: Vec::new(),
            held: 0,
        }
    }
}

impl Slots {
    /// Stores a member with its score; returns its slot.
    ///
    /// # Panics
    /// When the set holds 16 GB. Nothing has changed then.
    pub fn insert(&mut self, member: &[u8], score: f64) -> u32 {
        let head = match member.len() {
            0..0xfe => LEN_AT + 1,
            _ => LEN_AT + 3,
        };
        if head + member.len() > MAX_SLOT {
            return self.insert_big(member, score);
        }
        let slot = self.take(head + member.len());
        let bytes = self.slot_mut(slot);
        bytes[..8].copy_from_slice(&score.to_le_bytes());
        if head == LEN_AT + 1 {
            bytes[LEN_AT] = member.len() as u8;
        } else {
            bytes[LEN_AT] = LEN_U16;
            bytes[LEN_AT + 1..head].copy_from_slice(&(member.len() as u16).to_le_bytes());
        }
        bytes[head..head + member.len()].copy_from_slice(member);
        slot
    }

    #[cold]
    fn insert_big(&mut self, member: &[u8], score: f64) -> u32 {
        let slot = self.take(LEN_AT + 5);
        let at = self.big_spare.pop().unwrap_or_else(|| {
            self.big.push(Box::default());
            self.big.len() as u32 - 1
        });
        self.big[at as usize] = member.into();
        self.held += member.len();
        let bytes = self.slot_mut(slot);
        bytes[..8].copy_from_slice(&score.to_le_bytes());
        bytes[LEN_AT] = LEN_BIG;
        bytes[LEN_AT + 1..LEN_AT + 5].copy_from_slice(&at.to_le_bytes());
        slot
    }

    /// Takes a slot back.
    pub fn remove(&mut self, slot: u32) {
        let bytes = self.slot(slot);
        if bytes[LEN_AT] == LEN_BIG {
            let at = big_index(bytes);
            self.held -= self.big[at].len();
            self.big[at] = Box::default();
            self.big_spare.push(at as u32);
        }
        let number = slot >> PAGE_BITS;
        let page = &mut self.pages[number as usize];
        let was_full = !has_room(page);
        let next = std::mem::replace(&mut page.free, (slot & IN_PAGE) as u16);
        page.used -= 1;
        let used = page.used;
        self.slot_mut(slot)[..2].copy_from_slice(&next.to_le_bytes());
        if used == 0 {
            if !was_full {
                self.unlist(number);
            }
            self.held -= self.bytes[number as usize].len();
            self.bytes[number as usize] = Box::default();
            self.spare.push(number);
        } else if was_full {
            self.list(number);
        }
    }

    /// Begins to fetch a slot, or the beginning of a long one.
    #[inline]
    pub fn fetch(&self, slot: u32) {
        // Slots begin anywhere in a cache line, so that the member is often in the next one.
        let addr = self.slot(slot).as_ptr() as usize;
        crate::mem::prefetch(addr);
        crate::mem::prefetch(addr + USUAL);
    }

    /// The score in a slot.
    #[inline]
    pub fn score(&self, slot: u32) -> f64 {
        let mut le = [0; 8];
        le.copy_from_slice(&self.slot(slot)[..8]);
        f64::from_le_bytes(le)
    }

    /// Changes the score in a slot.
    #[inline]
    pub fn set_score(&mut self, slot: u32, score: f64) {
        self.slot_mut(slot)[..8].copy_from_slice(&score.to_le_bytes());
    }

    /// The member in a slot.
    #[inline]
    pub fn member(&self, slot: u32) -> &[u8] {
        let bytes = self.slot(slot);
        match bytes[LEN_AT] {
            LEN_BIG => &self.big[big_index(bytes)],
            LEN_U16 => {
                let len = u16::from_le_bytes([bytes[LEN_AT + 1], bytes[LEN_AT + 2]]) as usize;
                &bytes[LEN_AT + 3..LEN_AT + 3 + len]
            }
            len => &bytes[LEN_AT + 1..LEN_AT + 1 + len as usize],
        }
    }

    /// Bytes it owns.
    pub fn memory(&self) -> usize {
        self.held
            + (self.bytes.capacity() + self.big.capacity()) * size_of::<Box<[u8]>>()
            + self.pages.capacity() * size_of::<Page>()
            + (self.spare.capacity() + self.big_spare.capacity()) * size_of::<u32>()
    }

    /// A slot and what follows it in its page.
    #[inline]
    fn slot(&self, slot: u32) -> &[u8] {
        &self.bytes[(slot >> PAGE_BITS) as usize][(slot & IN_PAGE) as usize * GRANULE..]
    }

    #[inline]
    fn slot_mut(&mut self, slot: u32) -> &mut [u8] {
        &mut self.bytes[(slot >> PAGE_BITS) as usize][(slot & IN_PAGE) as usize * GRANULE..]
    }

    /// A slot of at least this many bytes.
    fn take(&mut self, size: usize) -> u32 {
        let class = class_of(size);
        let number = match self.room[class] {
            NO_PAGE => self.add_page(class),
            number => number,
        };
        let page = &mut self.pages[number as usize];
        let granule = if page.free != NO_SLOT {
            let granule = page.free;
            let at = granule as usize * GRANULE;
            let bytes = &self.bytes[number as usize][at..at + 2];
            page.free = u16::from_le_bytes([bytes[0], bytes[1]]);
            granule
        } else {
            let granule = page.fresh;
            page.fresh += granules_of(class) as u16;
            let end = page.fresh as usize * GRANULE;
            if end > self.bytes[number as usize].len() {
                self.grow(number, end);
            }
            granule
        };
        let page = &mut self.pages[number as usize];
        page.used += 1;
        if !has_room(page) {
            self.unlist(number);
        }
        number << PAGE_BITS | u32::from(granule)
    }

    /// Makes a page at least `end` bytes long.
    #[cold]
    fn grow(&mut self, number: u32, end: usize) {
        let step = (self.held / 16).clamp(MIN_STEP, PAGE);
        let old = std::mem::take(&mut self.bytes[number as usize]);
        let len = end.max(old.len() + step).min(PAGE);
        self.held += len - old.len();
        let mut bytes = old.into_vec();
        bytes.reserve_exact(len - bytes.len());
        bytes.resize(len, 0);
        self.bytes[number as usize] = bytes.into_boxed_slice();
    }

    #[cold]
    fn add_page(&mut self, class: usize) -> u32 {
        let page = Page {
            class: class as u8,
            used: 0,
            free: NO_SLOT,
            fresh: 0,
            prev: NO_PAGE,
            next: NO_PAGE,
        };
        let number = match self.spare.pop() {
            Some(number) => {
                self.pages[number as usize] = page;
                number
            }
            None => {
                let number = self.pages.len() as u32;
                assert!(
                    number < 1 << (32 - PAGE_BITS),
                    "a sorted set of more than 16 GB"
                );
                self.pages.push(page);
                self.bytes.push(Box::default());
                number
            }
        };
        self.list(number);
        number
    }

    fn list(&mut self, number: u32) {
        let class = self.pages[number as usize].class as usize;
        let first = std::mem::replace(&mut self.room[class], number);
        let page = &mut self.pages[number as usize];
        (page.prev, page.next) = (NO_PAGE, first);
        if first != NO_PAGE {
            self.pages[first as usize].prev = number;
        }
    }

    fn unlist(&mut self, number: u32) {
        let page = &self.pages[number as usize];
        let (class, prev, next) = (page.class as usize, page.prev, page.next);
        match prev {
            NO_PAGE => self.room[class] = next,
            prev => self.pages[prev as usize].next = next,
        }
        if next != NO_PAGE {
            self.pages[next as usize].prev = prev;
        }
    }
}

/// Whether a page can give out another slot.
fn has_room(page: &Page) -> bool {
    page.free != NO_SLOT || page.fresh as usize + granules_of(page.class as usize) <= PAGE / GRANULE
}

/// Where the member of a big slot is.
fn big_index(slot: &[u8]) -> usize {
    let mut le = [0; 4];
    le.copy_from_slice(&slot[LEN_AT + 1..LEN_AT + 5]);
    u32::from_le_bytes(le) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn classes_cover_their_sizes() {
        for size in 1..=MAX_SLOT {
            let class = class_of(size);
            assert!(class < CLASSES);
            assert!(granules_of(class) * GRANULE >= size, "{size}");
            assert!(
                class == 1 || granules_of(class - 1) * GRANULE < size,
                "{size}"
            );
        }
        assert_eq!(granules_of(class_of(8 + 1 + 16)) * GRANULE, 28);
        assert_eq!(class_of(MAX_SLOT), CLASSES - 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: crate::testing::cases(64), ..ProptestConfig::default() })]
        #[test]
        fn members_stay_what_they_were(ops in prop::collection::vec((0usize..3000, any::<bool>(), any::<prop::sample::Index>()), 1..400)) {
            let mut slots = Slots::default();
            let mut live: Vec<(u32, Vec<u8>, f64)> = Vec::new();
            for (i, (len, insert, pick)) in ops.into_iter().enumerate() {
                if insert || live.is_empty() {
                    let member = vec![i as u8; if len % 3 == 0 { len } else { len % 40 }];
                    let slot = slots.insert(&member, i as f64);
                    live.push((slot, member, i as f64));
                } else {
                    let (slot, member, score) = live.swap_remove(pick.index(live.len()));
                    prop_assert_eq!(slots.member(slot), &member[..]);
                    prop_assert_eq!(slots.score(slot), score);
                    slots.remove(slot);
                }
                for (slot, _, score) in &mut live {
                    *score += 0.5;
                    slots.set_score(*slot, *score);
                }
            }
            for (slot, member, score) in live.drain(..) {
                prop_assert_eq!(slots.member(slot), &member[..]);
                prop_assert_eq!(slots.score(slot), score);
                slots.remove(slot);
            }
            prop_assert_eq!(slots.held, 0);
            prop_assert!(slots.room.iter().all(|&page| page == NO_PAGE));
        }
    }

    #[test]
    fn returned_slots_are_used_again() {
        let mut slots = Slots::default();
        let all: Vec<u32> = (0..10_000)
            .map(|n| slots.insert(b"0123456789abcdef", n as f64))
            .collect();
        let memory = slots.memory();
        assert!(memory < 10_000 * 31, "{memory}");
        for slot in all.iter().step_by(2) {
            slots.remove(*slot);
        }
        for n in 0..5000 {
            slots.insert(b"fedcba9876543210", n as f64);
        }
        assert_eq!(slots.memory(), memory);
    }
}
