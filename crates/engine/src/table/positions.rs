//! Finding the keys among a command's arguments.
//!
//! A row says with its key specs where keys stand: at an index, behind a keyword, or after a count. [`extract`]
//! carries those rules out for a call and says for every key what the call would do with it. Dispatch takes from
//! it which shards to lock, ACLs which keys to check, COMMAND GETKEYS its reply. It runs for every command, so it
//! allocates nothing.
//!
//! A few commands escape the rules. What SET and BITFIELD do with their key depends on their options; SORT's and
//! GEORADIUS's STORE may stand anywhere, and only the last one counts; MIGRATE's KEYS replaces its key argument.
//! Rows mark them (`KS_VARIABLE_FLAGS`, `KS_INCOMPLETE`, [`Begin::Unknown`]) and they are read here by hand, as real
//! servers read them.

use crate::table::registry::{Entry, KeyLayout};
use crate::table::row::{
    Begin, Facts, Find, KS_ACCESS, KS_DELETE, KS_INCOMPLETE, KS_NOT_KEY, KS_OW, KS_RM, KS_RO,
    KS_RW, KS_UPDATE, KS_VARIABLE_FLAGS, KeySpec, NO_MANDATORY_KEYS,
};
use std::ops::Range;

/// The arguments do not fit the command's key specs: a count that is no number or promises more keys than there
/// are arguments, or no argument where a key must be. The command itself will answer a better error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeysError;

/// The mask of the key-spec flags that say what is done, without those about the spec itself.
const USE_FLAGS: u32 = !(KS_NOT_KEY | KS_INCOMPLETE | KS_VARIABLE_FLAGS);

/// Further ways to write a rule.
impl KeySpec {
    /// Keys behind `keyword`, which is searched from argument `from` on. `last` counts from the first key, or from
    /// the end if negative; `limit` 2 or more: only the first 1/limit of what is left are keys.
    pub const fn after(
        keyword: &'static str,
        from: i32,
        last: i32,
        limit: i32,
        flags: u32,
    ) -> KeySpec {
        KeySpec {
            flags,
            begin: Begin::Keyword(keyword, from),
            find: Find::Range {
                last,
                step: 1,
                limit,
            },
            notes: "",
        }
    }

    /// Keys that no rule finds.
    pub const fn unknown(flags: u32) -> KeySpec {
        KeySpec {
            flags,
            begin: Begin::Unknown,
            find: Find::Unknown,
            notes: "",
        }
    }

    /// The same rule with a key at every `step`th argument only.
    pub const fn every(mut self, step: i32) -> KeySpec {
        self.find = match self.find {
            Find::Range { last, limit, .. } => Find::Range { last, step, limit },
            Find::Keynum {
                keynumidx, first, ..
            } => Find::Keynum {
                keynumidx,
                first,
                step,
            },
            Find::Unknown => Find::Unknown,
        };
        self
    }

    const fn is_rule(&self) -> bool {
        self.flags & (KS_VARIABLE_FLAGS | KS_INCOMPLETE) == 0
            && !matches!(self.begin, Begin::Unknown)
    }
}

/// Whether the command takes keys at all (a channel that is routed like a key is none).
pub fn has_keys(cmd: &Facts) -> bool {
    cmd.keys.iter().any(|spec| spec.flags & KS_NOT_KEY == 0)
}

/// Calls `f` with the index in `argv` and the flags (`KS_RO | KS_ACCESS` ...) of every key of the call, in the order
/// of the key specs. `argv[0]` is the command's name.
///
/// An error ends the search. Keys reported before it are keys all the same: `PFMERGE d` has its destination, and
/// it is an error that the sources are missing.
#[inline]
pub fn extract(
    cmd: &Facts,
    argv: &[&[u8]],
    mut f: impl FnMut(usize, u32),
) -> Result<(), KeysError> {
    for spec in cmd.keys {
        if !spec.is_rule() {
            return by_hand(cmd, argv, &mut f);
        }
    }
    by_rules(cmd, argv, &mut f)
}

/// Calls `f` with the index and the flags of every key of a call, as far as they can be found: a call whose keys cannot be
/// has a mistake that its handler will name before it touches any.
pub fn each_key<H>(entry: &Entry<H>, argv: &[&[u8]], mut f: impl FnMut(usize, u32)) {
    if entry.keys == KeyLayout::None {
        return;
    }
    if let [spec] = entry.command.keys
        && matches!(spec.begin, Begin::Keyword("STREAMS", _))
    {
        return streams(argv).for_each(|i| f(i, spec.flags));
    }
    let _ = extract(entry.command, argv, |i, flags| {
        if i < argv.len() {
            f(i, flags);
        }
    });
}

/// Whether a call of SORT has patterns in which elements are put, and so may touch any key. Looks at every place where one
/// could stand, whether or not the call turns out to be well-formed.
pub fn has_patterns(argv: &[&[u8]]) -> bool {
    argv.iter()
        .skip(2)
        .zip(argv.iter().skip(3))
        .any(|(word, pattern)| {
            (word.eq_ignore_ascii_case(b"by") || word.eq_ignore_ascii_case(b"get"))
                && pattern.contains(&b'*')
        })
}

#[inline]
fn by_rules(cmd: &Facts, argv: &[&[u8]], f: &mut impl FnMut(usize, u32)) -> Result<(), KeysError> {
    for spec in cmd.keys {
        if spec.flags & KS_NOT_KEY != 0 {
            continue;
        }
        match spec.begin {
            // By far the most common rule, without the arithmetic of the others.
            Begin::Index(index)
                if matches!(
                    spec.find,
                    Find::Range {
                        last: 0,
                        limit: 0,
                        ..
                    }
                ) && (index as usize) < argv.len() =>
            {
                f(index as usize, spec.flags);
            }
            _ => apply(cmd, spec, argv, f)?,
        }
    }
    Ok(())
}

/// Carries out one rule.
fn apply(
    cmd: &Facts,
    spec: &KeySpec,
    argv: &[&[u8]],
    f: &mut impl FnMut(usize, u32),
) -> Result<(), KeysError> {
    let argc = argv.len() as i64;
    let first = match spec.begin {
        Begin::Index(index) => i64::from(index),
        Begin::Keyword(keyword, from) => match find_keyword(keyword, from, argv) {
            Some(at) => at as i64 + 1,
            // An option that was not given.
            None => return Ok(()),
        },
        Begin::Unknown => return Err(KeysError),
    };
    let (first, last, step) = match spec.find {
        Find::Range { last, step, limit } => {
            let last = match (last, limit) {
                (0.., _) => first + i64::from(last),
                (_, 2..) => first + (argc - first) / i64::from(limit) + i64::from(last),
                _ => argc + i64::from(last),
            };
            (first, last, step)
        }
        Find::Keynum {
            keynumidx,
            first: offset,
            step,
        } => {
            let count = usize::try_from(first + i64::from(keynumidx))
                .ok()
                .and_then(|at| argv.get(at))
                .and_then(|arg| resp::parse_i64(arg))
                .filter(|n| (0..=argc).contains(n))
                .ok_or(KeysError)?;
            if count == 0 && cmd.has(NO_MANDATORY_KEYS) {
                return Ok(());
            }
            let first = first + i64::from(offset);
            (first, first + (count - 1) * i64::from(step), step)
        }
        Find::Unknown => return Err(KeysError),
    };
    if first < 1 || first >= argc || last < first || last >= argc {
        return Err(KeysError);
    }
    for at in (first..=last).step_by(step.max(1) as usize) {
        f(at as usize, spec.flags);
    }
    Ok(())
}

/// Where `keyword` stands, searched forwards from argument `from`, or backwards from so many before the end if it
/// is negative. The last argument cannot be it: no key could follow.
fn find_keyword(keyword: &str, from: i32, argv: &[&[u8]]) -> Option<usize> {
    let is_it = |at: &usize| argv[*at].eq_ignore_ascii_case(keyword.as_bytes());
    let end = argv.len().saturating_sub(1);
    if from >= 0 {
        (from as usize..end).find(is_it)
    } else {
        let start = argv.len().saturating_sub(from.unsigned_abs() as usize);
        (1..=start.min(end.saturating_sub(1))).rev().find(is_it)
    }
}

/// The commands whose rows say that rules are not enough.
fn by_hand(cmd: &Facts, argv: &[&[u8]], f: &mut impl FnMut(usize, u32)) -> Result<(), KeysError> {
    match cmd.name {
        "set" => set(argv, f),
        "bitfield" => bitfield(argv, f),
        "delex" => delex(argv, f),
        "sort" => last_store(argv, 2, &SORT_OPTIONS, f),
        // BY and GET name keys by the elements' content: they are found when the command runs.
        "sort_ro" => require(argv, 1, KS_RO | KS_ACCESS, f),
        "georadius" => last_store(argv, 6, &[], f),
        "georadiusbymember" => last_store(argv, 5, &[], f),
        "migrate" => migrate(argv, f),
        _ => {
            for spec in cmd.keys {
                if spec.flags & KS_NOT_KEY == 0 && !matches!(spec.begin, Begin::Unknown) {
                    apply(cmd, spec, argv, &mut |at, flags| f(at, flags & USE_FLAGS))?;
                }
            }
            Ok(())
        }
    }
}

fn require(
    argv: &[&[u8]],
    at: usize,
    flags: u32,
    f: &mut impl FnMut(usize, u32),
) -> Result<(), KeysError> {
    if at >= argv.len() {
        return Err(KeysError);
    }
    f(at, flags);
    Ok(())
}

/// SET overwrites its key, unless GET asks for the old value.
fn set(argv: &[&[u8]], f: &mut impl FnMut(usize, u32)) -> Result<(), KeysError> {
    let returns_old = argv
        .iter()
        .skip(3)
        .any(|arg| arg.eq_ignore_ascii_case(b"get"));
    let flags = if returns_old {
        KS_RW | KS_ACCESS | KS_UPDATE
    } else {
        KS_OW | KS_UPDATE
    };
    require(argv, 1, flags, f)
}

/// DELEX looks at what it deletes where it has a condition.
fn delex(argv: &[&[u8]], f: &mut impl FnMut(usize, u32)) -> Result<(), KeysError> {
    let conditions: [&[u8]; 4] = [b"ifeq", b"ifne", b"ifdeq", b"ifdne"];
    let looks = argv
        .iter()
        .skip(2)
        .any(|arg| conditions.iter().any(|c| arg.eq_ignore_ascii_case(c)));
    let flags = if looks { KS_RW } else { KS_RM };
    require(argv, 1, flags | KS_DELETE, f)
}

/// BITFIELD with nothing but GETs only reads. What cannot be understood counts as writing.
fn bitfield(argv: &[&[u8]], f: &mut impl FnMut(usize, u32)) -> Result<(), KeysError> {
    let mut only_reads = true;
    let mut at = 2;
    while at < argv.len() {
        let left = argv.len() - at - 1;
        if argv[at].eq_ignore_ascii_case(b"get") && left >= 2 {
            at += 3;
        } else if argv[at].eq_ignore_ascii_case(b"overflow") && left >= 1 {
            at += 2;
        } else {
            only_reads = false;
            break;
        }
    }
    let flags = if only_reads {
        KS_RO | KS_ACCESS
    } else {
        KS_RW | KS_ACCESS | KS_UPDATE
    };
    require(argv, 1, flags, f)
}

/// SORT's options that take arguments, with how many: their values must not be taken for STORE.
const SORT_OPTIONS: [(&[u8], usize); 3] = [(b"limit", 2), (b"get", 1), (b"by", 1)];

/// One key that is read, and the destination of the last STORE (or STOREDIST) from argument `from` on.
fn last_store(
    argv: &[&[u8]],
    from: usize,
    options: &[(&[u8], usize)],
    f: &mut impl FnMut(usize, u32),
) -> Result<(), KeysError> {
    require(argv, 1, KS_RO | KS_ACCESS, f)?;
    let mut destination = None;
    let mut at = from;
    while at < argv.len() {
        let word = argv[at];
        let is_store = word.eq_ignore_ascii_case(b"store")
            || (options.is_empty() && word.eq_ignore_ascii_case(b"storedist"));
        if is_store && at + 1 < argv.len() {
            destination = Some(at + 1);
            at += 1;
        } else if let Some((_, values)) = options.iter().find(|(o, _)| word.eq_ignore_ascii_case(o))
        {
            at += values;
        }
        at += 1;
    }
    if let Some(at) = destination {
        f(at, KS_OW | KS_UPDATE);
    }
    Ok(())
}

/// MIGRATE's keys: the third argument, or, if that is empty, all that follow KEYS.
fn migrate(argv: &[&[u8]], f: &mut impl FnMut(usize, u32)) -> Result<(), KeysError> {
    const FLAGS: u32 = KS_RW | KS_ACCESS | KS_DELETE;
    let mut at = 6;
    while at < argv.len() {
        let word = argv[at];
        if word.eq_ignore_ascii_case(b"keys") && at + 1 < argv.len() {
            if !argv[3].is_empty() {
                return Err(KeysError);
            }
            for key in at + 1..argv.len() {
                f(key, FLAGS);
            }
            return Ok(());
        } else if word.eq_ignore_ascii_case(b"auth") {
            at += 1;
        } else if word.eq_ignore_ascii_case(b"auth2") {
            at += 2;
        }
        at += 1;
    }
    require(argv, 3, FLAGS, f)
}

/// The keys of XREAD and XREADGROUP. By the rule in their rows the first STREAMS is the keyword, and that is what COMMAND
/// GETKEYS answers; but a group, a consumer or a number can be called that too, so this goes through the options as the
/// handler does.
fn streams(argv: &[&[u8]]) -> Range<usize> {
    let mut at = 1;
    while let Some(word) = argv.get(at) {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        at += if is("STREAMS") {
            let first = at + 1;
            return first..first + (argv.len() - first) / 2;
        } else if ["COUNT", "BLOCK", "CLAIM", "MAXCOUNT", "MAXSIZE"]
            .into_iter()
            .any(is)
        {
            2
        } else if is("GROUP") {
            3
        } else {
            1
        };
    }
    0..0
}

/// First key, last key and step as COMMAND INFO gives them: the key positions that do not depend on the arguments,
/// as far as one range can say it; zeros if there are none. `last` is counted from the end if negative.
pub fn legacy_range(cmd: &Facts) -> (i32, i32, i32) {
    let mut found = None::<(i32, i32, i32)>;
    for spec in cmd.keys {
        let (Begin::Index(index), Find::Range { last, step, .. }) = (spec.begin, spec.find) else {
            continue;
        };
        let last = if last >= 0 { index + last } else { last };
        found = match found {
            None => Some((index, last, step)),
            // Only what continues the range so far, key by key, can be said in the same three numbers.
            Some((first, so_far, 1)) if step == 1 && so_far == index - 1 => {
                let further = if last < 0 { last } else { last.max(so_far) };
                Some((first, further, 1))
            }
            unchanged => unchanged,
        };
    }
    found.unwrap_or((0, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::row::{Command, Group, KS_INSERT, row};

    fn cmd(name: &'static str, flags: u64, keys: &'static [KeySpec]) -> Command<()> {
        row(name, -2, flags, Group::Generic, "1.0.0", ()).keys(keys)
    }

    /// The keys of a call, by index, or None if it does not fit.
    fn keys(cmd: &Facts, call: &str) -> Option<Vec<(usize, u32)>> {
        let argv: Vec<&[u8]> = call
            .split(' ')
            .map(|a| if a == "''" { b"" } else { a.as_bytes() })
            .collect();
        let mut found = Vec::new();
        extract(cmd, &argv, |at, flags| found.push((at, flags)))
            .ok()
            .map(|()| found)
    }

    fn at(cmd: &Facts, call: &str) -> Option<Vec<usize>> {
        keys(cmd, call).map(|k| k.iter().map(|k| k.0).collect())
    }

    const READ: u32 = KS_RO | KS_ACCESS;

    #[test]
    fn ranges_by_index() {
        const GET: &[KeySpec] = &[KeySpec::at(1, READ)];
        assert_eq!(keys(&cmd("get", 0, GET), "get k"), Some(vec![(1, READ)]));
        assert_eq!(at(&cmd("get", 0, GET), "get"), None);
        const MGET: &[KeySpec] = &[KeySpec::range(1, -1, 1, READ)];
        assert_eq!(at(&cmd("mget", 0, MGET), "mget a b c"), Some(vec![1, 2, 3]));
        const MSET: &[KeySpec] = &[KeySpec::range(1, -1, 2, READ)];
        assert_eq!(at(&cmd("mset", 0, MSET), "mset a 1 b 2"), Some(vec![1, 3]));
        assert_eq!(at(&cmd("mset", 0, MSET), "mset a 1 b"), Some(vec![1, 3]));
        const BLPOP: &[KeySpec] = &[KeySpec::range(1, -2, 1, READ)];
        assert_eq!(at(&cmd("blpop", 0, BLPOP), "blpop a b 0"), Some(vec![1, 2]));
        assert_eq!(at(&cmd("blpop", 0, BLPOP), "blpop 0"), None);
    }

    #[test]
    fn keys_found_before_an_error_are_reported() {
        const PFMERGE: &[KeySpec] = &[
            KeySpec::at(1, KS_RW | KS_INSERT),
            KeySpec::range(2, -1, 1, READ),
        ];
        let mut found = Vec::new();
        let argv: [&[u8]; 2] = [b"pfmerge", b"d"];
        let result = extract(&cmd("pfmerge", 0, PFMERGE), &argv, |at, _| found.push(at));
        assert_eq!((result, found), (Err(KeysError), vec![1]));
    }

    #[test]
    fn counts_of_keys() {
        const ZUNION: &[KeySpec] = &[KeySpec::numkeys(1, READ)];
        let zunion = cmd("zunion", 0, ZUNION);
        assert_eq!(at(&zunion, "zunion 2 a b withscores"), Some(vec![2, 3]));
        for bad in [
            "zunion 0 a",
            "zunion -1 a",
            "zunion 3 a b",
            "zunion x a",
            "zunion 9223372036854775807 a",
            "zunion",
        ] {
            assert_eq!(at(&zunion, bad), None, "{bad}");
        }
        const EVAL: &[KeySpec] = &[KeySpec::numkeys(2, READ)];
        let eval = cmd("eval", NO_MANDATORY_KEYS, EVAL);
        assert_eq!(at(&eval, "eval s 0"), Some(vec![]));
        assert_eq!(at(&eval, "eval s 1 k a"), Some(vec![3]));
        const MSETEX: &[KeySpec] = &[KeySpec::numkeys(1, READ).every(2)];
        assert_eq!(
            at(&cmd("msetex", 0, MSETEX), "msetex 2 a 1 b 2 ex 9"),
            Some(vec![2, 4])
        );
    }

    #[test]
    fn keywords() {
        const XREAD: &[KeySpec] = &[KeySpec::after("STREAMS", 1, -1, 2, READ)];
        let xread = cmd("xread", 0, XREAD);
        assert_eq!(
            at(&xread, "xread count 1 streams a b 0 0"),
            Some(vec![4, 5])
        );
        assert_eq!(at(&xread, "xread count 1"), Some(vec![]));
        assert_eq!(at(&xread, "xread count streams"), Some(vec![]));
        // The rule does not know options, but what is locked does.
        let confused = "xread count streams streams a 0";
        assert_eq!(at(&xread, confused), Some(vec![3]));
        let used = |call: &str| streams(&call.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        assert_eq!(used(confused), 4..5);
        assert_eq!(used("xread streams a b 0 0"), 2..4);
        assert_eq!(
            used("xreadgroup group streams c block streams STREAMS a >"),
            7..8
        );
        assert_eq!(
            used("xreadgroup count 1 group g streams noack streams a >"),
            8..9
        );
        for nothing in [
            "xread",
            "xread streams",
            "xread count streams",
            "xread group streams a",
        ] {
            assert!(used(nothing).is_empty(), "{nothing}");
        }
        const BACKWARDS: &[KeySpec] = &[KeySpec::after("KEYS", -2, -1, 0, READ)];
        assert_eq!(at(&cmd("x", 0, BACKWARDS), "x keys a b"), Some(vec![2, 3]));
    }

    #[test]
    fn set_delex_and_bitfield_depend_on_their_options() {
        const ONE: &[KeySpec] = &[KeySpec::at(1, KS_RW | KS_VARIABLE_FLAGS)];
        let set = cmd("set", 0, ONE);
        assert_eq!(keys(&set, "set k v"), Some(vec![(1, KS_OW | KS_UPDATE)]));
        assert_eq!(
            keys(&set, "set k v nx GET"),
            Some(vec![(1, KS_RW | KS_ACCESS | KS_UPDATE)])
        );
        assert_eq!(
            keys(&set, "set get get"),
            Some(vec![(1, KS_OW | KS_UPDATE)])
        );
        assert_eq!(keys(&set, "set"), None);
        let delex = cmd("delex", 0, ONE);
        for (call, flags) in [
            ("delex k", KS_RM | KS_DELETE),
            ("delex k ifeq v", KS_RW | KS_DELETE),
            ("delex k IFDNE v", KS_RW | KS_DELETE),
        ] {
            assert_eq!(keys(&delex, call), Some(vec![(1, flags)]), "{call}");
        }
        let bitfield = cmd("bitfield", 0, ONE);
        let write = KS_RW | KS_ACCESS | KS_UPDATE;
        for (call, flags) in [
            ("bitfield k", READ),
            ("bitfield k get u8 0 overflow sat get u8 1", READ),
            ("bitfield k get u8", write),
            ("bitfield k set u8 0 1", write),
            ("bitfield k get u8 0 incrby u8 0 1", write),
        ] {
            assert_eq!(keys(&bitfield, call), Some(vec![(1, flags)]), "{call}");
        }
    }

    #[test]
    fn stores_anywhere() {
        const SPECS: &[KeySpec] = &[KeySpec::at(1, READ), KeySpec::unknown(KS_OW | KS_UPDATE)];
        let sort = cmd("sort", 0, SPECS);
        assert_eq!(at(&sort, "sort k"), Some(vec![1]));
        assert_eq!(
            at(&sort, "sort k by store get store limit 0 store store d"),
            Some(vec![1, 10])
        );
        assert_eq!(at(&sort, "sort k store a store b"), Some(vec![1, 5]));
        assert_eq!(at(&sort, "sort k store"), Some(vec![1]));
        assert_eq!(
            at(&cmd("sort_ro", 0, SPECS), "sort_ro k store d"),
            Some(vec![1])
        );
        const RADIUS: &[KeySpec] = &[KeySpec::at(1, KS_VARIABLE_FLAGS)];
        let radius = cmd("georadius", 0, RADIUS);
        assert_eq!(
            at(&radius, "georadius k 1 2 3 m store a storedist b"),
            Some(vec![1, 9])
        );
    }

    #[test]
    fn migrate_with_keys() {
        const SPECS: &[KeySpec] = &[
            KeySpec::at(3, 0),
            KeySpec::after("KEYS", -2, -1, 0, KS_INCOMPLETE),
        ];
        let migrate = cmd("migrate", 0, SPECS);
        assert_eq!(at(&migrate, "migrate h 1 k 0 9"), Some(vec![3]));
        assert_eq!(
            at(&migrate, "migrate h 1 '' 0 9 copy keys a b"),
            Some(vec![8, 9])
        );
        assert_eq!(
            at(&migrate, "migrate h 1 '' 0 9 auth2 keys keys keys a"),
            Some(vec![10])
        );
        assert_eq!(at(&migrate, "migrate h 1 k 0 9 keys a"), None);
        assert_eq!(at(&migrate, "migrate h 1 k 0 9 keys"), Some(vec![3]));
        assert_eq!(at(&migrate, "migrate"), None);
    }

    #[test]
    fn legacy_ranges() {
        const MGET: &[KeySpec] = &[KeySpec::range(1, -1, 1, READ)];
        assert_eq!(legacy_range(&cmd("mget", 0, MGET)), (1, -1, 1));
        const RENAME: &[KeySpec] = &[KeySpec::at(1, READ), KeySpec::at(2, READ)];
        assert_eq!(legacy_range(&cmd("rename", 0, RENAME)), (1, 2, 1));
        const MERGE: &[KeySpec] = &[KeySpec::at(1, READ), KeySpec::range(2, -1, 1, READ)];
        assert_eq!(legacy_range(&cmd("pfmerge", 0, MERGE)), (1, -1, 1));
        const GAP: &[KeySpec] = &[KeySpec::at(1, READ), KeySpec::at(3, READ)];
        assert_eq!(legacy_range(&cmd("gap", 0, GAP)), (1, 1, 1));
        const ZUNION: &[KeySpec] = &[KeySpec::numkeys(1, READ)];
        assert_eq!(legacy_range(&cmd("zunion", 0, ZUNION)), (0, 0, 0));
    }
}
