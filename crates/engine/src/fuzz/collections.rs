//! The model's collections: hashes, lists, sets, sorted sets.

use super::Input;
use super::model::{
    Answer, Data, Family, Model, NO_SUCH_KEY, OVERFLOW, Reply, WRONG_TYPE, array, bulk,
    bulk_or_null, int, null, number, ok, push, range,
};
use resp::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(super) const HASHES: Family = &[
    ("HSET", Model::hset),
    ("HSET", Model::hset),
    ("HGET", Model::hget),
    ("HDEL", Model::hdel),
    ("HLEN", Model::hlen),
    ("HEXISTS", Model::hexists),
    ("HGETALL", Model::hgetall),
    ("HINCRBY", Model::hincrby),
];

pub(super) const LISTS: Family = &[
    ("LPUSH", Model::lpush),
    ("RPUSH", Model::rpush),
    ("RPUSH", Model::rpush),
    ("LPOP", Model::lpop),
    ("RPOP", Model::rpop),
    ("LLEN", Model::llen),
    ("LRANGE", Model::lrange),
    ("LINDEX", Model::lindex),
    ("LSET", Model::lset),
    ("LREM", Model::lrem),
    ("LTRIM", Model::ltrim),
    ("LINSERT", Model::linsert),
    ("LMOVE", Model::lmove),
];

pub(super) const SETS: Family = &[
    ("SADD", Model::sadd),
    ("SADD", Model::sadd),
    ("SREM", Model::srem),
    ("SISMEMBER", Model::sismember),
    ("SCARD", Model::scard),
    ("SMEMBERS", Model::smembers),
    ("SMOVE", Model::smove),
    ("SINTER", Model::sinter),
    ("SUNION", Model::sunion),
    ("SDIFF", Model::sdiff),
    ("SINTERSTORE", Model::sinterstore),
    ("SUNIONSTORE", Model::sunionstore),
    ("SDIFFSTORE", Model::sdiffstore),
];

pub(super) const SORTED_SETS: Family = &[
    ("ZADD", Model::zadd),
    ("ZADD", Model::zadd),
    ("ZINCRBY", Model::zincrby),
    ("ZREM", Model::zrem),
    ("ZSCORE", Model::zscore),
    ("ZCARD", Model::zcard),
    ("ZRANGE", Model::zrange),
    ("ZREVRANGE", Model::zrevrange),
    ("ZRANGEBYSCORE", Model::zrangebyscore),
    ("ZCOUNT", Model::zcount),
    ("ZRANK", Model::zrank),
    ("ZREVRANK", Model::zrevrank),
    ("ZPOPMIN", Model::zpopmin),
    ("ZPOPMAX", Model::zpopmax),
    ("ZREMRANGEBYRANK", Model::zremrangebyrank),
    ("ZREMRANGEBYSCORE", Model::zremrangebyscore),
    ("ZUNIONSTORE", Model::zunionstore),
    ("ZINTERSTORE", Model::zinterstore),
];

type Args<'a> = &'a mut Vec<Vec<u8>>;

/// What two sets become.
type Combine = fn(&Members, &Members) -> Members;
type Members = BTreeSet<Vec<u8>>;

/// Methods that look at a collection of one type, and that make an empty one to be filled.
macro_rules! access {
    ($look:ident, $fill:ident, $variant:ident, $type:ty) => {
        fn $look(&mut self, key: &[u8]) -> Result<Option<&mut $type>, &'static str> {
            match self.entry(key).map(|entry| &mut entry.data) {
                None => Ok(None),
                Some(Data::$variant(data)) => Ok(Some(data)),
                Some(_) => Err(WRONG_TYPE),
            }
        }

        fn $fill(&mut self, key: &[u8]) -> Result<&mut $type, &'static str> {
            if self.$look(key)?.is_none() {
                self.put(key, Data::$variant(Default::default()), None);
            }
            Ok(self.$look(key)?.expect("just put there"))
        }
    };
}

impl Model {
    access!(hash, hash_or_new, Hash, BTreeMap<Vec<u8>, Vec<u8>>);
    access!(list, list_or_new, List, VecDeque<Vec<u8>>);
    access!(members, set_or_new, Set, BTreeSet<Vec<u8>>);
    access!(sorted, sorted_or_new, Sorted, BTreeMap<Vec<u8>, f64>);

    /// Removes a key whose collection has become empty.
    fn tidy(&mut self, key: &[u8]) {
        let empty = match self.entry(key).map(|entry| &entry.data) {
            Some(Data::Hash(hash)) => hash.is_empty(),
            Some(Data::List(list)) => list.is_empty(),
            Some(Data::Set(set)) => set.is_empty(),
            Some(Data::Sorted(sorted)) => sorted.is_empty(),
            _ => false,
        };
        if empty {
            self.remove(key);
        }
    }

    fn hset(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let key = input.key(argv);
        let pairs: Vec<_> = (0..1 + input.byte() % 3)
            .map(|_| (input.word(argv), input.word(argv)))
            .collect();
        let hash = self.hash_or_new(&key)?;
        let mut new = 0;
        for (name, value) in pairs {
            new += usize::from(hash.insert(name, value).is_none());
        }
        int(new)
    }

    fn hget(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, name) = (input.key(argv), input.word(argv));
        bulk_or_null(self.hash(&key)?.and_then(|hash| hash.get(&name).cloned()))
    }

    fn hdel(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, names) = (input.key(argv), input.words(argv));
        let mut gone = 0;
        if let Some(hash) = self.hash(&key)? {
            gone = names
                .iter()
                .filter(|name| hash.remove(*name).is_some())
                .count();
        }
        self.tidy(&key);
        int(gone)
    }

    fn hlen(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let key = input.key(argv);
        int(self.hash(&key)?.map_or(0, |hash| hash.len()))
    }

    fn hexists(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, name) = (input.key(argv), input.word(argv));
        let there = self
            .hash(&key)?
            .is_some_and(|hash| hash.contains_key(&name));
        int(usize::from(there))
    }

    fn hgetall(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let key = input.key(argv);
        Ok(Reply::Pairs(self.hash(&key)?.cloned().unwrap_or_default()))
    }

    fn hincrby(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, name) = (input.key(argv), input.word(argv));
        let by: i64 = input.of(&[1, -5, 1000, i64::MAX]);
        push(argv, by);
        let was = match self.hash(&key)?.and_then(|hash| hash.get(&name)) {
            Some(value) => number(value).ok_or("ERR hash value is not an integer")?,
            None => 0,
        };
        let n = was.checked_add(by).ok_or(OVERFLOW)?;
        self.hash_or_new(&key)?
            .insert(name, n.to_string().into_bytes());
        Ok(Reply::Is(Value::Int(n)))
    }

    fn lpush(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, items) = (input.key(argv), input.words(argv));
        let list = self.list_or_new(&key)?;
        items.into_iter().for_each(|item| list.push_front(item));
        int(list.len())
    }

    fn rpush(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, items) = (input.key(argv), input.words(argv));
        let list = self.list_or_new(&key)?;
        list.extend(items);
        int(list.len())
    }

    fn pop(&mut self, input: &mut Input<'_>, argv: Args, front: bool) -> Answer {
        let key = input.key(argv);
        let count = input.of(&[None, None, Some(1), Some(3), Some(0)]);
        if let Some(count) = count {
            push(argv, count);
        }
        let Some(list) = self.list(&key)? else {
            return null();
        };
        let mut popped = Vec::new();
        while popped.len() < count.unwrap_or(1) && !list.is_empty() {
            popped.extend(if front {
                list.pop_front()
            } else {
                list.pop_back()
            });
        }
        self.tidy(&key);
        match count {
            Some(_) => array(popped),
            None => bulk_or_null(popped.pop()),
        }
    }

    fn lpop(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        self.pop(input, argv, true)
    }

    fn rpop(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        self.pop(input, argv, false)
    }

    fn llen(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let key = input.key(argv);
        int(self.list(&key)?.map_or(0, |list| list.len()))
    }

    fn lrange(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let key = input.key(argv);
        let (first, last) = (input.index(argv), input.index(argv));
        let list = self.list(&key)?.cloned().unwrap_or_default();
        array(list.range(range(list.len(), first, last)).cloned())
    }

    fn lindex(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, at) = (input.key(argv), input.index(argv));
        bulk_or_null(self.list(&key)?.and_then(|list| {
            let at = if at < 0 { at + list.len() as i64 } else { at };
            list.get(usize::try_from(at).ok()?).cloned()
        }))
    }

    fn lset(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, at, item) = (input.key(argv), input.index(argv), input.word(argv));
        let list = self.list(&key)?.ok_or(NO_SUCH_KEY)?;
        let at = if at < 0 { at + list.len() as i64 } else { at };
        let place = usize::try_from(at).ok().and_then(|at| list.get_mut(at));
        *place.ok_or("ERR index out of range")? = item;
        ok()
    }

    fn lrem(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let key = input.key(argv);
        let count = input.of(&[0, 1, 2, -1, -2]);
        push(argv, count);
        let item = input.word(argv);
        let Some(list) = self.list(&key)? else {
            return int(0);
        };
        let mut left = if count == 0 {
            usize::MAX
        } else {
            (count as i64).unsigned_abs() as usize
        };
        let before = list.len();
        if count < 0 {
            list.make_contiguous().reverse();
        }
        list.retain(|other| {
            let goes = *other == item && left > 0;
            left -= usize::from(goes);
            !goes
        });
        if count < 0 {
            list.make_contiguous().reverse();
        }
        let gone = before - list.len();
        self.tidy(&key);
        int(gone)
    }

    fn ltrim(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let key = input.key(argv);
        let (first, last) = (input.index(argv), input.index(argv));
        if let Some(list) = self.list(&key)? {
            let kept = range(list.len(), first, last);
            *list = list.range(kept).cloned().collect();
        }
        self.tidy(&key);
        ok()
    }

    fn linsert(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let key = input.key(argv);
        let before = input.byte().is_multiple_of(2);
        push(argv, if before { "BEFORE" } else { "AFTER" });
        let (pivot, item) = (input.word(argv), input.word(argv));
        let Some(list) = self.list(&key)? else {
            return int(0);
        };
        match list.iter().position(|other| *other == pivot) {
            Some(at) => {
                list.insert(at + usize::from(!before), item);
                int(list.len())
            }
            None => Ok(Reply::Is(Value::Int(-1))),
        }
    }

    fn lmove(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (from, to) = (input.key(argv), input.key(argv));
        let ends = ["LEFT", "RIGHT"];
        let (source, target) = (input.of(&ends), input.of(&ends));
        push(argv, source);
        push(argv, target);
        if self.list(&from)?.is_none() {
            return null();
        }
        self.list(&to)?;
        let list = self.list_or_new(&from)?;
        let item = if source == "LEFT" {
            list.pop_front()
        } else {
            list.pop_back()
        };
        let item = item.expect("a list is not empty");
        // An only element comes back to its own list, which keeps its expiry.
        let list = self.list_or_new(&to)?;
        if target == "LEFT" {
            list.push_front(item.clone());
        } else {
            list.push_back(item.clone());
        }
        self.tidy(&from);
        bulk(item)
    }

    fn sadd(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, words) = (input.key(argv), input.words(argv));
        let set = self.set_or_new(&key)?;
        let new = words
            .into_iter()
            .filter(|word| set.insert(word.clone()))
            .count();
        int(new)
    }

    fn srem(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, words) = (input.key(argv), input.words(argv));
        let mut gone = 0;
        if let Some(set) = self.members(&key)? {
            gone = words.iter().filter(|word| set.remove(*word)).count();
        }
        self.tidy(&key);
        int(gone)
    }

    fn sismember(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, word) = (input.key(argv), input.word(argv));
        let there = self.members(&key)?.is_some_and(|set| set.contains(&word));
        int(usize::from(there))
    }

    fn scard(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let key = input.key(argv);
        int(self.members(&key)?.map_or(0, |set| set.len()))
    }

    fn smembers(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let key = input.key(argv);
        Ok(Reply::Members(
            self.members(&key)?.cloned().unwrap_or_default(),
        ))
    }

    fn smove(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (from, to, word) = (input.key(argv), input.key(argv), input.word(argv));
        if self.entry(&from).is_none() {
            return int(0);
        }
        self.members(&from)?;
        self.members(&to)?;
        let there = self.members(&from)?.is_some_and(|set| set.contains(&word));
        if there && from != to {
            self.set_or_new(&from)?.remove(&word);
            self.tidy(&from);
            self.set_or_new(&to)?.insert(word);
        }
        int(usize::from(there))
    }

    /// Draws some keys and combines their sets.
    fn combined(
        &mut self,
        input: &mut Input<'_>,
        argv: Args,
        combine: Combine,
    ) -> Result<BTreeSet<Vec<u8>>, &'static str> {
        let keys: Vec<_> = (0..1 + input.byte() % 3).map(|_| input.key(argv)).collect();
        let mut sets = Vec::new();
        for key in keys {
            sets.push(self.members(&key)?.cloned().unwrap_or_default());
        }
        let (first, rest) = sets.split_first().expect("at least one key");
        Ok(rest
            .iter()
            .fold(first.clone(), |all, set| combine(&all, set)))
    }

    /// The same, kept in a key.
    fn stored(&mut self, input: &mut Input<'_>, argv: Args, combine: Combine) -> Answer {
        let to = input.key(argv);
        let set = self.combined(input, argv, combine)?;
        let len = set.len();
        self.put(&to, Data::Set(set), None);
        self.tidy(&to);
        int(len)
    }

    fn sinter(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        self.combined(input, argv, |a, b| a & b).map(Reply::Members)
    }

    fn sunion(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        self.combined(input, argv, |a, b| a | b).map(Reply::Members)
    }

    fn sdiff(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        self.combined(input, argv, |a, b| a - b).map(Reply::Members)
    }

    fn sinterstore(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        self.stored(input, argv, |a, b| a & b)
    }

    fn sunionstore(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        self.stored(input, argv, |a, b| a | b)
    }

    fn sdiffstore(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        self.stored(input, argv, |a, b| a - b)
    }

    fn zadd(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let key = input.key(argv);
        let condition = input.option(argv, &["NX", "XX", "GT", "LT", "XX GT", "XX LT"]);
        if condition.contains(' ') {
            argv.pop();
            argv.extend(condition.split(' ').map(|word| word.as_bytes().to_vec()));
        }
        let changed = input.option(argv, &["CH"]) == "CH";
        let incr = input.option(argv, &["INCR"]) == "INCR";
        let count = if incr { 1 } else { 1 + input.byte() % 4 };
        let pairs: Vec<_> = (0..count)
            .map(|_| (score(input, argv), input.word(argv)))
            .collect();
        self.sorted(&key)?;
        let (mut added, mut updated, mut result) = (0, 0, None);
        for (score, member) in pairs {
            let was = self
                .sorted(&key)?
                .and_then(|sorted| sorted.get(&member).copied());
            let new = if incr {
                was.unwrap_or(0.0) + score
            } else {
                score
            };
            let allowed = match was {
                None => !condition.contains("XX"),
                Some(was) => {
                    condition != "NX"
                        && (!condition.contains("GT") || new > was)
                        && (!condition.contains("LT") || new < was)
                }
            };
            if allowed {
                self.sorted_or_new(&key)?.insert(member, new);
                added += usize::from(was.is_none());
                updated += usize::from(was.is_some_and(|was| was != new));
                result = Some(new);
            }
        }
        match (incr, changed) {
            (true, _) => bulk_or_null(result.map(text)),
            (false, true) => int(added + updated),
            (false, false) => int(added),
        }
    }

    fn zincrby(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, by, member) = (input.key(argv), score(input, argv), input.word(argv));
        let place = self.sorted_or_new(&key)?.entry(member).or_insert(0.0);
        *place += by;
        bulk(text(*place))
    }

    fn zrem(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, words) = (input.key(argv), input.words(argv));
        let mut gone = 0;
        if let Some(sorted) = self.sorted(&key)? {
            gone = words
                .iter()
                .filter(|word| sorted.remove(*word).is_some())
                .count();
        }
        self.tidy(&key);
        int(gone)
    }

    fn zscore(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, member) = (input.key(argv), input.word(argv));
        let score = self
            .sorted(&key)?
            .and_then(|sorted| sorted.get(&member).copied());
        bulk_or_null(score.map(text))
    }

    fn zcard(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let key = input.key(argv);
        int(self.sorted(&key)?.map_or(0, |sorted| sorted.len()))
    }

    /// Members with their scores, lowest first.
    fn ordered(&mut self, key: &[u8]) -> Result<Vec<(Vec<u8>, f64)>, &'static str> {
        Ok(self
            .sorted(key)?
            .map(|sorted| in_order(sorted))
            .unwrap_or_default())
    }

    fn ranks(&mut self, input: &mut Input<'_>, argv: Args, reverse: bool) -> Answer {
        let key = input.key(argv);
        let (first, last) = (input.index(argv), input.index(argv));
        let scores = input.option(argv, &["WITHSCORES"]) == "WITHSCORES";
        let mut all = self.ordered(&key)?;
        if reverse {
            all.reverse();
        }
        let part = range(all.len(), first, last);
        array(flat(&all[part], scores))
    }

    fn zrange(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        self.ranks(input, argv, false)
    }

    fn zrevrange(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        self.ranks(input, argv, true)
    }

    fn zrangebyscore(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, within) = (input.key(argv), scores(input, argv));
        let mut all = self.ordered(&key)?;
        all.retain(|(_, score)| within.contains(*score));
        array(flat(&all, false))
    }

    fn zcount(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, within) = (input.key(argv), scores(input, argv));
        let all = self.ordered(&key)?;
        int(all
            .iter()
            .filter(|(_, score)| within.contains(*score))
            .count())
    }

    fn rank(&mut self, input: &mut Input<'_>, argv: Args, reverse: bool) -> Answer {
        let (key, member) = (input.key(argv), input.word(argv));
        let mut all = self.ordered(&key)?;
        if reverse {
            all.reverse();
        }
        all.iter()
            .position(|(other, _)| *other == member)
            .map_or_else(null, int)
    }

    fn zrank(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        self.rank(input, argv, false)
    }

    fn zrevrank(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        self.rank(input, argv, true)
    }

    fn zpop(&mut self, input: &mut Input<'_>, argv: Args, reverse: bool) -> Answer {
        let key = input.key(argv);
        let count = input.of(&[None, Some(1), Some(3), Some(0)]);
        if let Some(count) = count {
            push(argv, count);
        }
        let mut all = self.ordered(&key)?;
        if reverse {
            all.reverse();
        }
        all.truncate(count.unwrap_or(1));
        self.take(&key, &all)?;
        array(flat(&all, true))
    }

    fn zpopmin(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        self.zpop(input, argv, false)
    }

    fn zpopmax(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        self.zpop(input, argv, true)
    }

    /// Removes members.
    fn take(&mut self, key: &[u8], gone: &[(Vec<u8>, f64)]) -> Result<(), &'static str> {
        if let Some(sorted) = self.sorted(key)? {
            for (member, _) in gone {
                sorted.remove(member);
            }
        }
        self.tidy(key);
        Ok(())
    }

    fn zremrangebyrank(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let key = input.key(argv);
        let (first, last) = (input.index(argv), input.index(argv));
        let all = self.ordered(&key)?;
        let gone = &all[range(all.len(), first, last)];
        self.take(&key, gone)?;
        int(gone.len())
    }

    fn zremrangebyscore(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        let (key, within) = (input.key(argv), scores(input, argv));
        let mut gone = self.ordered(&key)?;
        gone.retain(|(_, score)| within.contains(*score));
        self.take(&key, &gone)?;
        int(gone.len())
    }

    /// ZUNIONSTORE or ZINTERSTORE of two keys, sets among them, scores added.
    fn zcombine(&mut self, input: &mut Input<'_>, argv: Args, union: bool) -> Answer {
        let to = input.key(argv);
        push(argv, 2);
        let mut parts = Vec::new();
        for key in [input.key(argv), input.key(argv)] {
            parts.push(match self.entry(&key).map(|entry| entry.data.clone()) {
                None => BTreeMap::new(),
                Some(Data::Sorted(sorted)) => sorted,
                Some(Data::Set(set)) => set.into_iter().map(|member| (member, 1.0)).collect(),
                Some(_) => return Err(WRONG_TYPE),
            });
        }
        let mut result = BTreeMap::new();
        for member in parts[0].keys().chain(parts[1].keys()) {
            let scores: Vec<f64> = parts
                .iter()
                .filter_map(|part| part.get(member).copied())
                .collect();
            if union || scores.len() == 2 {
                result.insert(member.clone(), scores.iter().sum());
            }
        }
        let len = result.len();
        self.put(&to, Data::Sorted(result), None);
        self.tidy(&to);
        int(len)
    }

    fn zunionstore(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        self.zcombine(input, argv, true)
    }

    fn zinterstore(&mut self, input: &mut Input<'_>, argv: Args) -> Answer {
        self.zcombine(input, argv, false)
    }
}

/// A score: halves, whose sums are exact.
fn score(input: &mut Input<'_>, argv: Args) -> f64 {
    let score = f64::from(input.byte() as i32 % 24 - 8) / 2.0;
    push(argv, score);
    score
}

/// As Redis writes it.
fn text(score: f64) -> Vec<u8> {
    score.to_string().into_bytes()
}

fn in_order(sorted: &BTreeMap<Vec<u8>, f64>) -> Vec<(Vec<u8>, f64)> {
    let mut all: Vec<_> = sorted.iter().map(|(m, s)| (m.clone(), *s)).collect();
    // The map is in the order of members; sorting keeps that among equal scores.
    all.sort_by(|a, b| a.1.total_cmp(&b.1));
    all
}

fn flat(pairs: &[(Vec<u8>, f64)], scores: bool) -> Vec<Vec<u8>> {
    pairs
        .iter()
        .flat_map(|(member, score)| {
            std::iter::once(member.clone()).chain(scores.then(|| text(*score)))
        })
        .collect()
}

/// All of a sorted set, as ZRANGE replies it with scores.
pub(super) fn with_scores(sorted: &BTreeMap<Vec<u8>, f64>) -> Value {
    Value::Array(
        flat(&in_order(sorted), true)
            .into_iter()
            .map(Value::Bulk)
            .collect(),
    )
}

/// A range of scores; a bound that is `true` is left out itself.
struct Scores {
    low: (f64, bool),
    high: (f64, bool),
}

impl Scores {
    fn contains(&self, score: f64) -> bool {
        let (low, above) = self.low;
        let (high, below) = self.high;
        (score > low || !above && score == low) && (score < high || !below && score == high)
    }
}

fn scores(input: &mut Input<'_>, argv: Args) -> Scores {
    let mut bound = |infinite: f64| {
        let byte = input.byte();
        let score = if byte.is_multiple_of(5) {
            infinite
        } else {
            f64::from(byte as i32 % 24 - 8) / 2.0
        };
        let open = byte.is_multiple_of(3);
        push(argv, format!("{}{score}", if open { "(" } else { "" }));
        (score, open)
    };
    Scores {
        low: bound(f64::NEG_INFINITY),
        high: bound(f64::INFINITY),
    }
}
