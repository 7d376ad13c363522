//! Nodes of a long list in LZF: those that lie further inside than the setting `list-compress-depth`.
//!
//! A packed node is compressed with header and end mark, as the listpack that it is in RDB, so that a file takes it as it is; a
//! large element as its text. Who reads such a node expands it into memory of its own and leaves it as it is; who changes it
//! expands it in its place, and compresses it again when it is done.

use super::entry::LISTPACK_FRAME;
use super::nodes::Node;
use super::run::{Packed, Run};
use crate::lzf;
use crate::types::kind::Blob;
use crate::types::number::length32;
use std::sync::Arc;

/// Bytes of a listpack's header; one more ends it.
pub(super) const HEADER: usize = LISTPACK_FRAME - 1;
/// What is smaller stays as it is.
const WORTHWHILE: usize = 64;
/// Elements that are longer stay as they are: nobody is to wait for them.
const LONGEST: usize = 1 << 20;

/// A compressed node.
#[derive(Clone)]
pub(in crate::types) struct Compressed {
    lzf: Box<[u8]>,
    /// Bytes of what was compressed.
    len: u32,
    /// The number of elements; 0: a large one.
    count: u32,
}

impl Compressed {
    /// What was compressed, and what became of it, which has to be some bytes less.
    fn of(whole: &[u8], count: usize) -> Option<Compressed> {
        let lzf = lzf::compress(whole, whole.len() - whole.len() / 16)?;
        Some(Compressed {
            lzf: lzf.into_boxed_slice(),
            len: length32(whole.len()),
            count: length32(count),
        })
    }

    /// Of several elements, if it is worth it.
    pub(super) fn of_run(run: &Packed) -> Option<Compressed> {
        let len = run.listpack_bytes();
        if !(WORTHWHILE..=LONGEST).contains(&len) {
            return None;
        }
        let mut whole = Vec::with_capacity(len);
        whole.extend(length32(len).to_le_bytes());
        whole.extend(u16::try_from(run.count()).unwrap_or(u16::MAX).to_le_bytes());
        whole.extend_from_slice(run.bytes());
        whole.push(0xff);
        Compressed::of(&whole, run.count())
    }

    /// Of a large element, if it is worth it.
    pub(super) fn of_blob(blob: &Blob) -> Option<Compressed> {
        let worthwhile = (WORTHWHILE..=LONGEST).contains(&blob.len());
        worthwhile.then(|| Compressed::of(blob, 0)).flatten()
    }

    /// The number of elements.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count.max(1) as usize
    }

    /// Whether it is one large element.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the listpack, or of the large element.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Bytes of memory it owns.
    #[inline]
    pub(super) fn heap(&self) -> usize {
        self.lzf.len()
    }

    /// What it was compressed to.
    pub(super) fn lzf(&self) -> &[u8] {
        &self.lzf
    }

    /// Its entries, or the text of the large element, in the memory that is handed in.
    pub(super) fn read<'s>(&self, scratch: &'s mut Vec<u8>) -> &'s [u8] {
        read(&self.lzf, self.len(), self.is_plain(), scratch)
    }

    /// The node that it was.
    pub(super) fn expand(&self) -> Node {
        let mut scratch = Vec::new();
        let bytes = self.read(&mut scratch);
        match self.is_plain() {
            true => Node::Plain(Arc::new(scratch)),
            false => Node::Packed(Packed::from_run(bytes, self.count(), 0)),
        }
    }
}

/// The entries of a compressed listpack, or a compressed text, in the memory that is handed in.
pub(super) fn read<'s>(
    lzf: &[u8],
    len: usize,
    is_plain: bool,
    scratch: &'s mut Vec<u8>,
) -> &'s [u8] {
    assert!(
        lzf::decompress_into(scratch, lzf, len),
        "a node of a list is what it was compressed from"
    );
    match is_plain {
        true => scratch,
        false => &scratch[HEADER..len - 1],
    }
}

impl std::fmt::Debug for Compressed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Compressed({} of {} bytes to {})",
            self.count,
            self.len,
            self.lzf.len()
        )
    }
}
