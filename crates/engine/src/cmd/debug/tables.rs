//! DEBUG HTSTATS: the shape of a database's tables.

use super::with_entry;
use crate::base::error::{Error, Result};
use crate::cmd::generic::encoding;
use crate::context::ctx::Ctx;
use resp::number::parse_i64;
use std::fmt::Write;
use store::{ObjectValue, Type};

/// Entries a bucket of a table has room for.
const PER_BUCKET: usize = 7;

/// Writes the shape of all shards' tables of a database together; `full` adds how evenly the keys are spread.
pub(super) fn htstats(ctx: &mut Ctx<'_>, db: &[u8], full: bool) -> Result {
    let db = parse_i64(db).ok_or(Error::NOT_AN_INTEGER)?;
    let ks = ctx.engine.keyspace();
    let db = usize::try_from(db).ok().filter(|db| *db < ks.databases());
    let db = db.ok_or_else(|| Error::new("ERR Out of range database"))?;
    let mut keys = Vec::with_capacity(ks.shards());
    let (mut segments, mut buckets, mut expiring, mut bytes) = (0, 0, 0, 0);
    for shard in 0..ks.shards() {
        let seen = ctx.look(shard, |shard| {
            let dict = shard.db_ref(db);
            let shape = dict.shape();
            segments += shape.0;
            buckets += shape.1;
            expiring += dict.expiring();
            bytes += dict.bytes();
            keys.push(dict.len());
        })?;
        if seen.is_none() {
            return Ok(());
        }
    }
    let total: usize = keys.iter().sum();
    let slots = buckets * PER_BUCKET;
    let mut text = String::from("[Dictionary HT]\n");
    if slots > 0 {
        // The first lines are those that test suites look for.
        let _ = write!(
            text,
            "Hash table 0 stats (main hash table):\n table size: {slots}\n number of elements: {total}\n \
             load: {:.1}%\n segments: {segments}\n buckets: {buckets}\n bytes with keys and values: {bytes}\n",
            total as f64 * 100.0 / slots as f64,
        );
    }
    if full && slots > 0 {
        keys.sort_unstable();
        let at = |part: usize| keys[(keys.len() - 1) * part / 100];
        let _ = writeln!(
            text,
            " shards: {}\n keys in a shard: {} least, {} median, {} most",
            keys.len(),
            at(0),
            at(50),
            at(100)
        );
    }
    text.push_str("[Expires HT]\n");
    if expiring > 0 {
        let _ = write!(
            text,
            "Hash table 0 stats (main hash table):\n table size: 0\n number of elements: {expiring}\n \
             kept: with their keys\n"
        );
    }
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Writes the size of the table that a key's value is.
pub(super) fn htstats_key(ctx: &mut Ctx<'_>, key: &[u8]) -> Result {
    let found = with_entry(ctx, key, |entry| {
        if entry.kind() == Type::String || !matches!(encoding(&entry), "hashtable" | "skiplist") {
            return None;
        }
        match entry.object() {
            ObjectValue::Object(object) => Some((object.len(), object.memory())),
            ObjectValue::Packed(_) => None,
        }
    });
    let size = found.ok_or(Error::NO_SUCH_KEY)?;
    let (elements, bytes) = size.ok_or_else(|| {
        Error::new(
            "ERR The value stored at the specified key is not represented using an hash table",
        )
    })?;
    let text = format!(
        "Hash table 0 stats (main hash table):\n number of elements: {elements}\n bytes with elements: {bytes}\n"
    );
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}
