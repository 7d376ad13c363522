//! Bits of strings. A string is changed where it stands. One that grows gets room for more than was asked, so that setting ever
//! higher bits copies each byte a bounded number of times; and where a far bit makes it much longer, the zeros in between
//! come from the system and cost nothing until they are touched.

use crate::base::error::Result;
use crate::door::change::Event;
use crate::door::keys::Keys;
use crate::ops::strings::{length, text};
use smallvec::SmallVec;
use store::types::bits;
use store::{Blob, Freed, MAX_INLINE, NewValue, Removed};

/// A string that has to be longer than this grows by a quarter of its length at least, a shorter one to the double.
const LARGE: usize = 1 << 20;

pub(crate) const SETBIT: Event = Event::string("setbit");

/// Lets `change` work on the string at a key in place, after padding it with zeros to `len` bytes if it is shorter. A
/// key that does not exist is created. The string is raw afterwards. Returns what `change` returns, and whether the string
/// was shorter.
///
/// That the key has changed is left to the caller to say.
pub fn change<R>(
    keys: &mut Keys<'_>,
    key: &[u8],
    len: usize,
    mut change: impl FnMut(&mut [u8]) -> R,
) -> Result<(R, bool)> {
    let there = keys
        .write_string(key)?
        .map_or(0, |f| length(f.get().value()));
    if len > there {
        keys.make_room(len - there, there)?;
    }
    let Some(mut f) = keys.write_string(key)? else {
        let mut new = vec![0; len];
        let r = change(&mut new);
        let value = if len <= MAX_INLINE {
            NewValue::Inline(&new)
        } else {
            NewValue::Blob(Blob::new(std::mem::take(&mut new)))
        };
        keys.insert_in(keys.db, key, value, None, true);
        return Ok((r, true));
    };
    if let Some((r, grown, old)) = f.edit_blob(|b| {
        let grown = b.len() < len;
        let old = grow(b, len);
        (change(b), grown, old)
    }) {
        // Unmapping a large buffer takes its time, which others need not wait for.
        keys.discard(Removed {
            freed: old.map(|v| Freed::Blob(Blob::new(v))),
        });
        return Ok((r, grown));
    }
    let mut buf = [0; 20];
    let old = text(f.get().value(), &mut buf);
    if len <= old.len()
        && let Some(r) = f.edit_bytes(&mut change)
    {
        return Ok((r, false));
    }
    let mut buf = [0; 20];
    let old = text(f.get().value(), &mut buf);
    let grown = old.len() < len;
    let len = len.max(old.len());
    if len <= MAX_INLINE {
        let mut new: SmallVec<[u8; 256]> = SmallVec::from_slice(old);
        new.resize(len, 0);
        let r = change(&mut new);
        f.set_value(NewValue::Inline(&new), true);
        Ok((r, grown))
    } else {
        let mut new = vec![0; len];
        new[..old.len()].copy_from_slice(old);
        let r = change(&mut new);
        f.set_value(NewValue::Blob(Blob::new(new)), true);
        Ok((r, grown))
    }
}

/// Pads a string with zeros to `len` bytes. Returns its old buffer if it has moved to a new one.
fn grow(b: &mut Vec<u8>, len: usize) -> Option<Vec<u8>> {
    if len <= b.len() {
        return None;
    }
    if len > b.capacity() {
        if len / 2 >= b.len() {
            // More zeros than content: pages that the system gives are zeroed already.
            let mut new = vec![0; len];
            new[..b.len()].copy_from_slice(b);
            return Some(std::mem::replace(b, new));
        }
        let spare = len.min(LARGE).max(len / 4);
        b.reserve_exact(len + spare - b.len());
    }
    b.resize(len, 0);
    None
}

/// SETBIT: sets a bit of the string at a key and returns what it was.
pub fn set_bit(keys: &mut Keys<'_>, key: &[u8], offset: u64, on: bool) -> Result<bool> {
    let len = (offset / 8) as usize + 1;
    let (was, grown) = change(keys, key, len, |bytes| bits::set(bytes, offset, on))?;
    if grown || was != on {
        keys.changed(key, SETBIT);
    }
    Ok(was)
}
