//! DEBUG DIGEST: a fingerprint of the data set.
//!
//! Two servers with the same keys, values and expiries have the same digest, whatever the order of keys in their tables
//! and whether the server is Redis, Valkey or this one: that is what makes it useful in tests. The construction is
//! Redis's. A digest is 20 bytes. *Adding* a text is exclusive or with its SHA-1, so that order does not matter; *mixing*
//! is the same followed by replacing the digest by its own SHA-1, so that it does.

use crate::base::clock::unix_ms;
use crate::base::error::Result;
use crate::context::ctx::Ctx;
use sha1_smol::Sha1;
use store::types::{
    hash::Hash,
    list::List,
    set::Set,
    sorted_set::SortedSet,
    stream::{Stream, StreamId},
};
use store::{EntryRef, Type, Value};

/// See the module's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest([u8; 20]);

impl Digest {
    /// Of nothing.
    pub const ZERO: Digest = Digest([0; 20]);

    fn add(&mut self, text: &[u8]) {
        for (mine, other) in self.0.iter_mut().zip(sha1(text)) {
            *mine ^= other;
        }
    }

    fn mix(&mut self, text: &[u8]) {
        self.add(text);
        self.0 = sha1(&self.0);
    }

    fn add_pair(&mut self, name: &[u8], value: &[u8]) {
        let mut pair = Digest::ZERO;
        pair.mix(name);
        pair.mix(value);
        self.add(&pair.0);
    }

    /// 40 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn sha1(text: &[u8]) -> [u8; 20] {
    let mut hash = Sha1::new();
    hash.update(text);
    hash.digest().bytes()
}

/// Mixes an entry's type and value into a digest, and adds whether it will expire.
///
/// A list is mixed in, element by element, a stream entry by entry: its ID, its fields and values. The others have no order: their elements are added, each pair as a digest of
/// its own. Scores are taken in their shortest form, as Redis 8 and Valkey do.
fn mix_value(digest: &mut Digest, entry: &EntryRef<'_>, now_ms: u64) {
    // The numbers of the types are those that they have in Redis.
    digest.mix(&(entry.kind() as u32).to_be_bytes());
    let mut buf = [0; 20];
    match entry.kind() {
        Type::String => match entry.value() {
            Value::Int(n) => digest.mix(n.to_string().as_bytes()),
            Value::Inline(bytes) => digest.mix(bytes),
            Value::Blob(blob) => digest.mix(blob),
        },
        Type::List => {
            if let Some(list) = entry.view::<List>() {
                list.iter()
                    .for_each(usize::MAX, |item| digest.mix(item.text(&mut buf)));
            }
        }
        Type::Set => {
            if let Some(set) = entry.view::<Set>() {
                set.at(now_ms)
                    .for_each(|member| digest.add(member.text(&mut [0; 20])));
            }
        }
        Type::Hash => {
            for (name, field) in entry
                .view::<Hash>()
                .iter()
                .flat_map(|hash| hash.iter(now_ms))
            {
                digest.add_pair(name, field.value.text(&mut buf));
            }
        }
        Type::SortedSet => {
            for (member, score) in entry
                .view::<SortedSet>()
                .iter()
                .flat_map(|set| set.entries())
            {
                let mut text = Vec::new();
                resp::format_f64_shortest(score, &mut text);
                digest.add_pair(member.text(&mut buf), &text);
            }
        }
        Type::Stream => {
            let stream = entry.view::<Stream>();
            let all = stream
                .iter()
                .flat_map(|s| s.range(StreamId::MIN, StreamId::MAX));
            for entry in all {
                digest.mix(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
                for (name, value) in entry.pairs() {
                    digest.mix(name.text(&mut buf));
                    digest.mix(value.text(&mut buf));
                }
            }
        }
    }
    if entry.expiry_ms().is_some() {
        digest.add(b"!!expire!!");
    }
}

/// The digest of one key's value.
pub(super) fn digest_value(entry: &EntryRef<'_>, now_ms: u64) -> Digest {
    let mut digest = Digest::ZERO;
    mix_value(&mut digest, entry, now_ms);
    digest
}

/// Keys that are taken in under one hold of a shard's lock.
const AT_ONCE: usize = 32;

/// How far DEBUG DIGEST has come.
struct Walk {
    digest: Digest,
    db: usize,
    /// The database is in the digest.
    begun: bool,
    shard: usize,
    position: u64,
}

/// The digest of everything. Locks one shard at a time for a few keys, so it is that of a moment only if nobody writes, or if the
/// locks are held. None if it has to wait for one: then it goes on from there.
pub(super) fn digest_all(ctx: &mut Ctx<'_>) -> Result<Option<Digest>> {
    let ks = ctx.engine.keyspace();
    let now_ms = unix_ms();
    let mut walk = ctx.take_up().unwrap_or_else(|| {
        Box::new(Walk {
            digest: Digest::ZERO,
            db: 0,
            begun: false,
            shard: 0,
            position: 0,
        })
    });
    while walk.db < ks.databases() {
        let to = &mut *walk;
        if !to.begun {
            if ks.is_empty(to.db) {
                to.db += 1;
                continue;
            }
            to.digest.mix(&(to.db as u32).to_be_bytes());
            to.begun = true;
        }
        while to.shard < ks.shards() {
            let next = ctx.look(to.shard, |shard| {
                let dict = shard.db_ref(to.db);
                dict.step_from(to.position, AT_ONCE, |_, entry| {
                    if entry.expiry_ms().is_some_and(|ms| ms <= now_ms) {
                        return;
                    }
                    let mut digest = Digest::ZERO;
                    digest.mix(entry.key());
                    mix_value(&mut digest, &entry, now_ms);
                    to.digest.add(&digest.0);
                })
            })?;
            match next {
                None => {
                    ctx.put_off(walk);
                    return Ok(None);
                }
                Some(Some(position)) => to.position = position,
                Some(None) => (to.shard, to.position) = (to.shard + 1, 0),
            }
        }
        (to.db, to.begun, to.shard) = (to.db + 1, false, 0);
    }
    Ok(Some(walk.digest))
}
