//! The log of [`Members`](super::Members): chunks of bytes in which items stand one behind the other, and the places of items in
//! them. It knows an item's head and nothing of its tail.

use crate::table;
use smallvec::SmallVec;

/// Bytes of a chunk, at most, unless a single item needs more.
const CHUNK: usize = 8192;
/// Bytes of the first chunk.
const FIRST_CHUNK: usize = 256;
/// Items longer than this have a chunk each.
const LARGE: usize = CHUNK / 4;

const OFFSET_BITS: u32 = CHUNK.trailing_zeros();
const ID_BITS: u32 = 27;
/// Bits of hash in a place, beyond those that the table compares: nearly no lookup touches a wrong member.
pub(super) const EXTRA_BITS: u32 = 4;
/// A table's addresses are multiples of 8.
const ADDR_SHIFT: u32 = 3;

pub(super) const REMOVED: u8 = 0x80;
pub(super) const LONG: u8 = 0x7f;

/// Length of an item's head and of its member.
#[inline]
pub(super) fn head(item: &[u8]) -> (usize, usize) {
    match item[0] & !REMOVED {
        LONG => (
            5,
            u32::from_le_bytes([item[1], item[2], item[3], item[4]]) as usize,
        ),
        n => (1, n as usize),
    }
}

/// A place in the log as the table holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place(pub usize);

impl Place {
    #[inline]
    pub fn new(hash: u64, id: usize, offset: usize) -> Place {
        assert!(id < 1 << ID_BITS, "more than a terabyte in one collection");
        Place(((extra(hash) << ID_BITS | id) << OFFSET_BITS | offset) << ADDR_SHIFT)
    }
    #[inline]
    pub(crate) fn extra(self) -> usize {
        self.0 >> (ADDR_SHIFT + OFFSET_BITS + ID_BITS)
    }
    #[inline]
    pub fn id(self) -> usize {
        self.0 >> (ADDR_SHIFT + OFFSET_BITS) & ((1 << ID_BITS) - 1)
    }
    #[inline]
    pub fn offset(self) -> usize {
        self.0 >> ADDR_SHIFT & (CHUNK - 1)
    }
}

/// The bits of a hash that a place holds: those below the table's.
#[inline]
pub(super) fn extra(hash: u64) -> usize {
    (hash >> (64 - table::HASH_BITS - EXTRA_BITS)) as usize & ((1 << EXTRA_BITS) - 1)
}

pub(super) struct Chunk {
    /// Items one behind the other; never grows past its capacity.
    pub bytes: Vec<u8>,
    /// Bytes of those that have not been removed.
    pub live: usize,
}

impl Chunk {
    pub(crate) fn is_sparse(&self) -> bool {
        self.live * 2 < self.bytes.len()
    }
}

/// The chunks. See the module's page.
#[derive(Default)]
pub(super) struct Log {
    pub chunks: Vec<Chunk>,
    /// Indices of chunks that own nothing.
    pub vacant: Vec<u32>,
    /// The chunk that is being filled.
    pub current: usize,
    /// Capacity of all chunks.
    pub bytes: usize,
    /// Chunks whose rest is to be moved.
    pub sparse: SmallVec<[u32; 2]>,
}

impl Log {
    #[inline]
    pub fn item(&self, place: Place) -> &[u8] {
        &self.chunks[place.id()].bytes[place.offset()..]
    }

    #[inline]
    pub fn member(&self, place: Place) -> &[u8] {
        let item = self.item(place);
        let (start, len) = head(item);
        &item[start..start + len]
    }

    /// Appends an item of these parts; returns its chunk and offset.
    #[inline]
    pub fn push<const N: usize>(&mut self, parts: [&[u8]; N]) -> (usize, usize) {
        let size = parts.iter().map(|p| p.len()).sum();
        let fits = |c: &Chunk| c.bytes.capacity().min(CHUNK) >= c.bytes.len() + size;
        let id = if self.chunks.get(self.current).is_some_and(fits) {
            self.current
        } else {
            self.chunk_for(size)
        };
        let chunk = &mut self.chunks[id];
        let offset = chunk.bytes.len();
        for part in parts {
            chunk.bytes.extend_from_slice(part);
        }
        chunk.live += size;
        (id, offset)
    }

    /// A chunk with room for `size` bytes, which becomes the current one unless it is for one large item.
    #[cold]
    pub fn chunk_for(&mut self, size: usize) -> usize {
        // Chunks grow with the log, so that a small one wastes little.
        let large = size > LARGE;
        let capacity = match large {
            true => size,
            false => (self.bytes / 4)
                .next_multiple_of(64)
                .clamp(FIRST_CHUNK, CHUNK)
                .max(size),
        };
        let chunk = Chunk {
            bytes: Vec::with_capacity(capacity),
            live: 0,
        };
        self.bytes += chunk.bytes.capacity();
        let id = match self.vacant.pop() {
            Some(id) => {
                self.chunks[id as usize] = chunk;
                id as usize
            }
            None => {
                self.chunks.push(chunk);
                self.chunks.len() - 1
            }
        };
        if !large {
            let full = std::mem::replace(&mut self.current, id);
            if full != id && self.chunks[full].bytes.capacity() > 0 {
                self.consider(full);
            }
        }
        id
    }

    /// Marks an item of `size` bytes removed.
    pub fn remove(&mut self, place: Place, size: usize) {
        let id = place.id();
        let chunk = &mut self.chunks[id];
        chunk.bytes[place.offset()] |= REMOVED;
        chunk.live -= size;
        if id != self.current || chunk.bytes.capacity() > CHUNK {
            self.consider(id);
        } else if chunk.live == 0 {
            chunk.bytes.clear();
        }
    }

    /// Frees a chunk in which nothing is left, and notes one in which little is.
    pub fn consider(&mut self, id: usize) {
        if self.chunks[id].live == 0 {
            self.take(id);
            self.vacant.push(id as u32);
        } else if self.chunks[id].is_sparse() {
            self.sparse.push(id as u32);
        }
    }

    /// Takes a chunk's bytes out. The caller makes its index vacant.
    pub fn take(&mut self, id: usize) -> Vec<u8> {
        let chunk = std::mem::replace(
            &mut self.chunks[id],
            Chunk {
                bytes: Vec::new(),
                live: 0,
            },
        );
        self.bytes -= chunk.bytes.capacity();
        chunk.bytes
    }

    pub fn memory(&self) -> usize {
        self.bytes + self.chunks.capacity() * size_of::<Chunk>() + self.vacant.capacity() * 4
    }
}
