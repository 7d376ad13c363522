//! Writing lengths and strings as [`crate::cursor`] reads them.

use crate::listpack::{self, Builder};
use crate::opcode;
use store::lzf;
use store::packed::Item;

/// Appends a length, or a number that is stored as one.
pub fn length(out: &mut Vec<u8>, n: u64) {
    match n {
        0..=0x3f => out.push(n as u8),
        0x40..=0x3fff => out.extend([0x40 | (n >> 8) as u8, n as u8]),
        0x4000..=0xffff_ffff => {
            out.push(0x80);
            out.extend((n as u32).to_be_bytes());
        }
        _ => {
            out.push(0x81);
            out.extend(n.to_be_bytes());
        }
    }
}

/// Strings up to this length are never compressed.
const SHORT: usize = 20;

/// Appends a string: as a number if it is the canonical text of a small one, compressed if that is wanted and saves some
/// bytes.
pub fn string(out: &mut Vec<u8>, text: &[u8], compress: bool) {
    if text.len() <= 11
        && let Item::Int(n) = Item::of(text)
        && let Ok(n) = i32::try_from(n)
    {
        return small_number(out, n);
    }
    if compress
        && text.len() > SHORT
        && let Some(small) = lzf::compress(text, text.len() - 4)
    {
        return compressed(out, &small, text.len());
    }
    length(out, text.len() as u64);
    out.extend_from_slice(text);
}

fn small_number(out: &mut Vec<u8>, n: i32) {
    if let Ok(n) = i8::try_from(n) {
        out.push(0xc0);
        out.extend(n.to_le_bytes());
    } else if let Ok(n) = i16::try_from(n) {
        out.push(0xc1);
        out.extend(n.to_le_bytes());
    } else {
        out.push(0xc2);
        out.extend(n.to_le_bytes());
    }
}

/// Appends an element of a packed collection as a string.
pub fn item(out: &mut Vec<u8>, item: Item<'_>, compress: bool) {
    string(out, item.text(&mut [0; 20]), compress);
}

/// Appends a listpack of entries that are in its format already.
pub fn listpack(out: &mut Vec<u8>, entries: &[u8], count: usize, compress: bool) {
    let (header, total) = listpack::frame(entries.len(), count);
    if compress && total > SHORT {
        let mut whole = Vec::with_capacity(total);
        whole.extend(header);
        whole.extend_from_slice(entries);
        whole.push(listpack::END);
        return string(out, &whole, true);
    }
    length(out, total as u64);
    out.extend(header);
    out.extend_from_slice(entries);
    out.push(listpack::END);
}

/// Room for the longest length of a listpack.
const GAP: usize = 5;

/// Appends a listpack of what `fill` puts into it.
pub fn packed(out: &mut Vec<u8>, compress: bool, fill: impl FnOnce(&mut Builder)) {
    let start = out.len();
    // Where it will stand if its length is a long one.
    out.extend([0; GAP]);
    let mut builder = Builder::behind(std::mem::take(out));
    fill(&mut builder);
    *out = builder.finish();
    let whole = &out[start + GAP..];
    let total = whole.len();
    if compress
        && total > SHORT
        && let Some(small) = lzf::compress(whole, total - 4)
    {
        out.truncate(start);
        return compressed(out, &small, total);
    }
    let mut head = Vec::with_capacity(GAP);
    length(&mut head, total as u64);
    out[start..start + head.len()].copy_from_slice(&head);
    if head.len() < GAP {
        out.copy_within(start + GAP.., start + head.len());
        out.truncate(start + head.len() + total);
    }
}

/// Appends a string of `whole` bytes that is compressed already.
pub fn compressed(out: &mut Vec<u8>, small: &[u8], whole: usize) {
    out.push(0xc3);
    length(out, small.len() as u64);
    length(out, whole as u64);
    out.extend_from_slice(small);
}

/// Appends a library of functions, as files and payloads have it.
pub fn function(out: &mut Vec<u8>, source: &[u8], compress: bool) {
    out.push(opcode::FUNCTION);
    string(out, source, compress);
}
