//! Keys, whatever they hold: deleting, expiring, renaming, copying.

use crate::base::error::{Error, Result};
use crate::door::change::Event;
use crate::door::keys::Keys;
use crate::door::stored::Stored;

/// DEL: deletes a key; whether it was there. Large values are freed on another thread, so this is UNLINK too.
#[inline]
pub fn delete(keys: &mut Keys<'_>, key: &[u8]) -> bool {
    let was = keys.remove(key);
    if was {
        keys.changed(key, Event::DEL);
    }
    was
}

/// When EXPIRE and its kin set an expiry; several conditions must all hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpireIf {
    /// If the key has none.
    pub nx: bool,
    /// If the key has one.
    pub xx: bool,
    /// If it is later than the key's, no expiry counting as one in the infinite future.
    pub gt: bool,
    /// If it is sooner than the key's.
    pub lt: bool,
}

/// EXPIRE: has a key expire at a time in Unix milliseconds; whether it is there and the conditions hold. A time that has passed
/// deletes it.
pub fn expire(keys: &mut Keys<'_>, key: &[u8], at_ms: i64, only: ExpireIf) -> bool {
    let past = u64::try_from(at_ms).map_or(true, |at_ms| keys.has_come(at_ms));
    let Some(mut f) = keys.write(key) else {
        return false;
    };
    let present = f.expiry_ms().map(|ms| ms as i64);
    let refused = (only.nx && present.is_some())
        || (only.xx && present.is_none())
        || (only.gt && present.is_none_or(|p| at_ms <= p))
        || (only.lt && present.is_some_and(|p| at_ms >= p));
    if refused {
        return false;
    }
    if past {
        keys.remove(key);
        keys.changed(key, Event::DEL);
        keys.record(&[b"DEL", key]);
    } else {
        f.set_expiry(Some(at_ms as u64));
        keys.will_expire(keys.db, key, Some(at_ms as u64));
        keys.changed(key, Event::generic("expire"));
        keys.record_expiry(key, at_ms as u64);
    }
    true
}

/// PERSIST: has a key never expire; whether it is there and would have.
pub fn persist(keys: &mut Keys<'_>, key: &[u8]) -> bool {
    match keys.write(key) {
        Some(mut f) if f.expiry_ms().is_some() => f.set_expiry(None),
        _ => return false,
    };
    keys.changed(key, Event::generic("persist"));
    keys.record(&[b"PERSIST", key]);
    true
}

/// RENAME: gives a key another name, whose key is replaced unless `only_if_new`; whether it did so, which it does not where the
/// names are the same. An error if there is no such key.
pub fn rename(keys: &mut Keys<'_>, from: &[u8], to: &[u8], only_if_new: bool) -> Result<bool> {
    let db = keys.db;
    if keys.write(from).is_none() {
        return Err(Error::NO_SUCH_KEY);
    }
    if from == to || only_if_new && keys.write(to).is_some() {
        return Ok(false);
    }
    let Some(stored) = keys.take_stored(db, from) else {
        return Ok(false);
    };
    let was = keys.remove_to_replace(to);
    keys.put_stored(db, to, stored);
    keys.changed(from, Event::generic("rename_from"));
    keys.changed_too(to, Event::generic("rename_to"));
    keys.replaced(db, to, was);
    Ok(true)
}

/// COPY: copies a key to one of any database, which is replaced if `replace`; whether it did so. A long string is shared until
/// one of the two changes.
pub fn copy(keys: &mut Keys<'_>, from: &[u8], db: usize, to: &[u8], replace: bool) -> Result<bool> {
    let Some(bytes) = keys.read(from).map(|e| e.memory()) else {
        return Ok(false);
    };
    if keys.write_in(db, to).is_some() && !replace {
        return Ok(false);
    }
    keys.make_room(bytes, 0)?;
    let Some(mut stored) = keys.peek(from).map(Stored::copy_of) else {
        return Ok(false);
    };
    let was = keys.remove_to_replace_in(db, to);
    // A key is protected from eviction, not a value.
    stored.kept = was.is_some_and(|was| was.kept);
    keys.put_stored(db, to, stored);
    keys.changed_in(db, to, Event::generic("copy_to"));
    keys.replaced(db, to, was);
    Ok(true)
}

/// MOVE: takes a key to another database, unless that has one of this name; whether it did so.
pub fn move_to(keys: &mut Keys<'_>, key: &[u8], db: usize) -> bool {
    let here = keys.db;
    if keys.write(key).is_none() || keys.write_in(db, key).is_some() {
        return false;
    }
    let Some(stored) = keys.take_stored(here, key) else {
        return false;
    };
    keys.put_stored(db, key, stored);
    keys.changed_too(key, Event::generic("move_from"));
    keys.changed_in(db, key, Event::generic("move_to"));
    true
}
