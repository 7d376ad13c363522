//! Bitmaps: strings used as arrays of bits, and of integers of any width.
//!
//! The bits themselves are handled in [`store::types::bits`], and how strings grow in [`crate::ops::bits`]; here are the
//! commands' options.

use crate::base::args::Args;
use crate::context::command::{
    Command, DENYOOM, FAST, Group, KS_ACCESS, KS_OW, KS_RO, KS_RW, KS_UPDATE, KS_VARIABLE_FLAGS,
    KeySpec, READONLY, WRITE, row,
};
use store::types::bits::{self, Field, Op, Overflow};

use crate::base::error::{Error, Result};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use crate::ops::bits::{SETBIT, change, set_bit};
use crate::ops::strings::text;
use resp::number::parse_i64;
use smallvec::SmallVec;
use std::sync::atomic::Ordering::Relaxed;
use store::{Blob, EntryRef, MAX_INLINE, NewValue, Type, Value};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("bitcount", -2, READONLY, Group::Bitmap, "2.6.0", bitcount)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key [range{start:int [end-unit-block{end:int [unit(BYTE | BIT)@7.0.0]}]}]")
        .docs("Counts the bits that are set in a string.",
              "O(N), N being the number of bytes looked at")
        .history(&[
            ("7.0.0", "New option BYTE or BIT."),
            ("8.0.0", "The end may be left out and is then the last byte."),
        ]),
    row("bitfield", -2, WRITE | DENYOOM, Group::Bitmap, "3.2.0", bitfield)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE | KS_VARIABLE_FLAGS)
                    .note("May read, write or both, by its operations")])
        .args("key [operation(GET get-block{encoding offset:int} \
               | write{[OVERFLOW overflow-block(WRAP | SAT \
               | FAIL)] write-operation(SET set-block{encoding \
               offset:int value:int} | INCRBY incrby-block{encoding \
               offset:int increment:int})})...]")
        .docs("Reads, sets and increments integers of any width inside a string.",
              "O(1) for each operation"),
    row("bitfield_ro", -2, READONLY | FAST, Group::Bitmap, "6.0.0", bitfield_ro)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key [GET* get-block{encoding offset:int}...]")
        .docs("Reads integers of any width inside a string.", "O(1) for each operation"),
    row("bitop", -4, WRITE | DENYOOM, Group::Bitmap, "2.6.0", bitop)
        .keys(&[KeySpec::at(2, KS_OW | KS_UPDATE), KeySpec::range(3, -1, 1, KS_RO | KS_ACCESS)])
        .args("operation(AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE) destkey:key key#1...")
        .docs("Combines strings bit by bit and stores the result.",
              "O(N), N being the length of the longest string"),
    row("bitpos", -3, READONLY, Group::Bitmap, "2.8.7", bitpos)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key bit:int [range{start:int [end-unit-block{end:int [unit(BYTE | BIT)@7.0.0]}]}]")
        .docs("Finds the first set or clear bit of a string.",
              "O(N), N being the number of bytes looked at")
        .history(&[("7.0.0", "New option BYTE or BIT.")]),
    row("getbit", 3, READONLY | FAST, Group::Bitmap, "2.2.0", getbit)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key offset:int")
        .docs("Returns one bit of a string.", "O(1)"),
    row("setbit", 4, WRITE | DENYOOM, Group::Bitmap, "2.2.0", setbit)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE)]).args("key offset:int value:int")
        .docs("Sets or clears one bit of a string and returns what it was.", "O(1)"),
];

/// Counting, searching and combining that many bytes or more is left to a helper thread.
const LONG: u64 = 4 << 20;

/// A bit offset, within what `proto-max-bulk-len` allows. `#n` counts in fields of `width` bits, where that is given.
fn bit_offset(ctx: &Ctx<'_>, arg: &[u8], width: Option<u32>) -> Result<u64> {
    let offset = match (arg, width) {
        ([b'#', n @ ..], Some(width)) => parse_i64(n).and_then(|n| n.checked_mul(width.into())),
        _ => parse_i64(arg),
    };
    let limit = ctx.engine.config().live.proto_max_bulk_len.load(Relaxed) as u64;
    offset
        .and_then(|n| u64::try_from(n).ok())
        .filter(|n| n / 8 < limit)
        .ok_or(Error::BIT_OFFSET)
}

fn setbit(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let offset = bit_offset(ctx, args.take(), None)?;
    let on = args.int_in(0..=1, Error::BIT_VALUE) == 1;
    args.check()?;
    let was = set_bit(&mut ctx.keys, key, offset, on)?;
    ctx.out.int(was.into());
    Ok(())
}

fn getbit(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let offset = bit_offset(ctx, args.take(), None)?;
    let on = ctx
        .keys
        .read_string(key)?
        .is_some_and(|e| bits::get(text(e.value(), &mut [0; 20]), offset));
    ctx.out.int(on.into());
    Ok(())
}

/// The part of a string that BITCOUNT and BITPOS look at.
struct Range {
    first: i64,
    last: Option<i64>,
    /// Both are bits, else bytes.
    bits: bool,
}

impl Range {
    /// Takes `[start [end [BYTE | BIT]]]`.
    fn take(args: &mut Args<'_>) -> Result<Range> {
        if args.left() > 3 {
            return Err(Error::SYNTAX);
        }
        let first = if args.left() > 0 { args.int() } else { 0 };
        args.check()?;
        let mut range = Range {
            first,
            last: None,
            bits: false,
        };
        if let [end, unit @ ..] = args.rest() {
            range.bits = match unit {
                [] => false,
                [unit] if unit.eq_ignore_ascii_case(b"BIT") => true,
                [unit] if unit.eq_ignore_ascii_case(b"BYTE") => false,
                _ => return Err(Error::SYNTAX),
            };
            range.last = Some(parse_i64(end).ok_or(Error::NOT_AN_INTEGER)?);
        }
        Ok(range)
    }

    /// The first and last bit that it means in a string of `len` bytes.
    fn in_string(&self, len: usize) -> Option<(u64, u64)> {
        let n = if self.bits {
            len as i64 * 8
        } else {
            len as i64
        };
        let from_end = |i: i64| if i < 0 { n.saturating_add(i).max(0) } else { i };
        let (first, last) = (
            from_end(self.first),
            from_end(self.last.unwrap_or(-1)).min(n - 1),
        );
        if first > last {
            return None;
        }
        let (first, last) = (first as u64, last as u64);
        Some(if self.bits {
            (first, last)
        } else {
            (first * 8, last * 8 + 7)
        })
    }
}

fn bitcount(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    // A word that is no number is told before a unit that is none; BITPOS tells the unit first.
    if let [first, last, _] = args.rest()
        && (parse_i64(first).is_none() || parse_i64(last).is_none())
    {
        return Err(Error::NOT_AN_INTEGER);
    }
    let range = Range::take(&mut args)?;
    let Some(e) = ctx.keys.read_string(key)? else {
        ctx.out.int(0);
        return Ok(());
    };
    let value = e.value();
    let mut buf = [0; 20];
    let bytes = text(value, &mut buf);
    // Two ends before the string's beginning would otherwise both come to mean its first byte.
    let backwards = range
        .last
        .is_some_and(|last| range.first < 0 && last < 0 && range.first > last);
    match (range.in_string(bytes.len()).filter(|_| !backwards), value) {
        (Some((first, last)), Value::Blob(b)) if (last - first) / 8 >= LONG => {
            let b = b.clone();
            ctx.offload(Box::new(move |out| {
                out.int(bits::count_range(&b, first, last) as i64)
            }));
        }
        (Some((first, last)), _) => ctx.out.int(bits::count_range(bytes, first, last) as i64),
        (None, _) => ctx.out.int(0),
    }
    Ok(())
}

fn bitpos(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    const BIT_ARGUMENT: Error = Error::fixed("ERR The bit argument must be 1 or 0.");
    let key = args.take();
    let bit = args.int();
    args.check()?;
    if !(0..=1).contains(&bit) {
        return Err(BIT_ARGUMENT);
    }
    let on = bit == 1;
    let range = Range::take(&mut args)?;
    let Some(e) = ctx.keys.read_string(key)? else {
        // As if there were zeros without end.
        ctx.out.int(if on { -1 } else { 0 });
        return Ok(());
    };
    let value = e.value();
    let mut buf = [0; 20];
    let bytes = text(value, &mut buf);
    let Some((first, last)) = range.in_string(bytes.len()) else {
        ctx.out.int(-1);
        return Ok(());
    };
    // Unless an end was given, zeros follow the string.
    let none = if on || range.last.is_some() {
        -1
    } else {
        bytes.len() as i64 * 8
    };
    match value {
        Value::Blob(b) if (last - first) / 8 >= LONG => {
            let b = b.clone();
            ctx.offload(Box::new(move |out| {
                out.int(bits::find(&b, on, first, last).map_or(none, |i| i as i64));
            }));
        }
        _ => ctx
            .out
            .int(bits::find(bytes, on, first, last).map_or(none, |i| i as i64)),
    }
    Ok(())
}

fn bitop(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    const OPERATIONS: [(&str, Op); 8] = [
        ("AND", Op::And),
        ("OR", Op::Or),
        ("XOR", Op::Xor),
        ("NOT", Op::Not),
        ("DIFF", Op::Diff),
        ("DIFF1", Op::Diff1),
        ("ANDOR", Op::AndOr),
        ("ONE", Op::One),
    ];
    let word = args.take();
    let (name, op) = *OPERATIONS
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
        .ok_or(Error::SYNTAX)?;
    let dest = args.take();
    let keys = args.rest();
    if op == Op::Not && keys.len() != 1 {
        return Err(Error::new(
            "ERR BITOP NOT must be called with a single source key.",
        ));
    }
    if matches!(op, Op::Diff | Op::Diff1 | Op::AndOr) && keys.len() < 2 {
        return Err(Error::new(format!(
            "ERR BITOP {name} must be called with at least two source keys."
        )));
    }
    let work: usize = keys.iter().map(|key| blob_len(ctx.keys.peek(key))).sum();
    if work as u64 >= LONG && ctx.moves_elsewhere() {
        return Ok(());
    }
    for key in keys {
        ctx.keys.read_string(key)?;
    }
    let mut bufs: SmallVec<[[u8; 20]; 8]> = SmallVec::from_elem([0; 20], keys.len());
    let sources: SmallVec<[&[u8]; 8]> = keys
        .iter()
        .zip(&mut bufs)
        .map(|(key, buf)| {
            ctx.keys
                .peek(key)
                .map_or(&b""[..], |e| text(e.value(), buf))
        })
        .collect();
    let longest = sources.iter().map(|source| source.len()).max();
    ctx.keys.make_room(0, longest.unwrap_or(0))?;
    let result = bits::combine(op, &sources);
    let len = result.len();
    drop(sources);
    if len > MAX_INLINE {
        let value = NewValue::Blob(Blob::new(result));
        ctx.keys.put_string(dest, value, true);
    } else if len > 0 {
        ctx.keys.put_string(dest, NewValue::Inline(&result), true);
    }
    if len > 0 {
        ctx.keys.changed(dest, Event::string("set"));
    } else if ctx.keys.remove(dest) {
        ctx.keys.changed(dest, Event::DEL);
    }
    ctx.out.int(len as i64);
    Ok(())
}

/// Length of a large string, 0 for everything else.
fn blob_len(e: Option<EntryRef<'_>>) -> usize {
    match e.filter(|e| e.kind() == Type::String).map(|e| e.value()) {
        Some(Value::Blob(b)) => b.len(),
        _ => 0,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Get,
    Set,
    IncrBy,
}

/// One operation of BITFIELD.
struct FieldOp {
    action: Action,
    field: Field,
    offset: u64,
    /// What is set or added.
    n: i64,
    overflow: Overflow,
}

impl FieldOp {
    /// Carries it out and returns its reply. A string that is only read may be shorter than the field.
    fn run(&self, bytes: &mut [u8]) -> Option<i64> {
        let old = self.field.get(bytes, self.offset);
        let wanted = match self.action {
            Action::Get => return Some(old),
            Action::Set if self.field.signed => self.n.into(),
            // A negative number is a very large one to an unsigned field.
            Action::Set => (self.n as u64).into(),
            Action::IncrBy => i128::from(old) + i128::from(self.n),
        };
        let new = self.field.fit(wanted, self.overflow)?;
        self.field.set(bytes, self.offset, new);
        Some(if self.action == Action::Set { old } else { new })
    }
}

/// Takes all operations of a call.
fn field_ops(ctx: &Ctx<'_>, args: &mut Args<'_>) -> Result<SmallVec<[FieldOp; 4]>> {
    let mut ops = SmallVec::new();
    let mut overflow = Overflow::default();
    while args.left() > 0 {
        let action = if args.left() > 2 && args.keyword("GET") {
            Action::Get
        } else if args.left() > 3 && args.keyword("SET") {
            Action::Set
        } else if args.left() > 3 && args.keyword("INCRBY") {
            Action::IncrBy
        } else if args.keyword_with_value("OVERFLOW") {
            overflow = if args.keyword("WRAP") {
                Overflow::Wrap
            } else if args.keyword("SAT") {
                Overflow::Saturate
            } else if args.keyword("FAIL") {
                Overflow::Fail
            } else {
                return Err(Error::new("ERR Invalid OVERFLOW type specified"));
            };
            continue;
        } else {
            return Err(Error::SYNTAX);
        };
        let field = Field::parse(args.take()).ok_or(Error::new(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        ))?;
        let offset = bit_offset(ctx, args.take(), Some(field.bits))?;
        let n = if action == Action::Get { 0 } else { args.int() };
        args.check()?;
        ops.push(FieldOp {
            action,
            field,
            offset,
            n,
            overflow,
        });
    }
    Ok(ops)
}

fn bitfield(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let ops = field_ops(ctx, &mut args)?;
    fields(ctx, key, &ops)
}

fn bitfield_ro(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let ops = field_ops(ctx, &mut args)?;
    if ops.iter().any(|op| op.action != Action::Get) {
        return Err(Error::new(
            "ERR BITFIELD_RO only supports the GET subcommand",
        ));
    }
    fields(ctx, key, &ops)
}

fn fields(ctx: &mut Ctx<'_>, key: &[u8], ops: &[FieldOp]) -> Result {
    let last_written = ops
        .iter()
        .filter(|op| op.action != Action::Get)
        .map(|op| op.offset + u64::from(op.field.bits) - 1)
        .max();
    let Some(last) = last_written else {
        let e = ctx.keys.read_string(key)?;
        let mut buf = [0; 20];
        let bytes = e.map_or(&b""[..], |e| text(e.value(), &mut buf));
        ctx.out.array(ops.len());
        for op in ops {
            ctx.out.int(op.field.get(bytes, op.offset));
        }
        return Ok(());
    };
    let (mut written, mut altered) = (0, 0);
    let (replies, grown): (SmallVec<[Option<i64>; 4]>, bool) =
        change(&mut ctx.keys, key, (last / 8) as usize + 1, |bytes| {
            let run = |op: &FieldOp| {
                let old = op.field.get(bytes, op.offset);
                let reply = op.run(bytes);
                written += usize::from(op.action != Action::Get && reply.is_some());
                altered += usize::from(op.field.get(bytes, op.offset) != old);
                reply
            };
            ops.iter().map(run).collect()
        })?;
    // Of a string that became longer every write counts, else those that made a difference.
    let times = if grown { written } else { altered };
    if times > 0 {
        ctx.keys.changed_times(key, SETBIT, times);
    } else if grown {
        // Real servers do not tell of a string that became longer while all operations failed.
        ctx.keys.changed_too(key, Event::SILENT);
    }
    ctx.out.array(ops.len());
    for reply in replies {
        match reply {
            Some(n) => ctx.out.int(n),
            None => ctx.out.null(),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{TestClient, check, check3};

    const OFFSET: &str = "-ERR bit offset is not an integer or out of range";
    const BIT: &str = "-ERR bit is not an integer or out of range";
    const NUMBER: &str = "-ERR value is not an integer or out of range";
    const SYNTAX: &str = "-ERR syntax error";

    #[test]
    fn single_bits() {
        let mut db = TestClient::new();
        db.check("SETBIT k 9 1", "0");
        db.check("SETBIT k 9 1", "1");
        db.check("GET k", r#""\x00@""#);
        db.check("SETBIT k 9 0; SETBIT k 9 0", "0");
        db.check("GETBIT k 4294967295", "0");
        db.check("SET n 5; GETBIT n 2", "1");
        db.check("SETBIT n 15 0; GET n", r#""5\x00""#);
        db.check("OBJECT ENCODING n", r#""raw""#);
        db.check(
            "SET e embedded; SETBIT e 7 1; OBJECT ENCODING e",
            r#""raw""#,
        );
        db.check("SET t x EX 100; SETBIT t 100 1; TTL t", "100");
        for (line, error) in [
            ("SETBIT k -1 1", OFFSET),
            ("SETBIT k 01 x", OFFSET),
            ("SETBIT k #1 1", OFFSET),
            ("SETBIT k 4294967296 1", OFFSET),
            ("GETBIT k 4294967296", OFFSET),
            ("SETBIT k 1 2", BIT),
            ("SETBIT k 1 x", BIT),
        ] {
            db.check(line, error);
        }
        TestClient::with(&[("proto-max-bulk-len", "1mb")]).check("SETBIT k 8388608 1", OFFSET);
    }

    /// Strings that grow over every boundary of how they are stored keep their bits.
    #[test]
    fn growth() {
        let mut db = TestClient::new();
        let mut set = Vec::new();
        for offset in [
            0,
            7,
            8,
            200,
            32_767,
            32_768,
            40_000,
            80_001,
            9_000_000,
            9_000_001,
            10_000_000,
            100_000_000,
        ] {
            db.check(&format!("SETBIT k {offset} 1"), "0");
            set.push(offset);
            db.check("BITCOUNT k", &set.len().to_string());
            db.check("STRLEN k", &(offset / 8 + 1).to_string());
            for at in &set {
                db.check(&format!("GETBIT k {at}"), "1");
            }
        }
        db.check("SET i 12; BITFIELD i SET u8 32768 1; STRLEN i", "4097");
        db.check("GETRANGE i 0 2", r#""12\x00""#);
    }

    #[test]
    fn counting() {
        let mut db = TestClient::new();
        db.run("SET s foobar");
        for (args, reply) in [
            ("s", "26"),
            ("s 0", "26"),
            ("s 1", "22"),
            ("s 0 0 byte", "4"),
            ("s 1 1 BIT", "1"),
            ("s 5 30 BIT", "17"),
            ("s -1 -5", "0"),
            ("s -100 -50", "4"),
            ("s -50 -100", "0"),
            ("s 5 2", "0"),
            ("s -9223372036854775808 9223372036854775807 bit", "26"),
            ("nokey 0 1", "0"),
            ("s x", NUMBER),
            ("nokey 0 x", NUMBER),
            ("s x 1 foo", NUMBER),
            ("s 1 x foo", "-ERR value is not an integer or out of range"),
            ("s 0 1 foo", SYNTAX),
            ("s x y bit z", SYNTAX),
        ] {
            db.check(&format!("BITCOUNT {args}"), reply);
        }
    }

    #[test]
    fn searching() {
        let mut db = TestClient::new();
        db.run(r#"SET s foobar; SET f "\xff\xff\xff"; SET e """#);
        for (args, reply) in [
            ("s 1", "1"),
            ("s 0", "0"),
            ("s 1 1", "9"),
            ("s 1 -50 -100", "1"),
            ("s 1 0 0 bit", "-1"),
            ("s 0 5 2", "-1"),
            ("f 0", "24"),
            ("f 0 0", "24"),
            ("f 0 0 -1", "-1"),
            ("f 0 3", "-1"),
            ("f 1 5 9 bit", "5"),
            ("f 0 2 24 bit", "-1"),
            ("e 0", "-1"),
            ("e 1", "-1"),
            ("nokey 0 5 7", "0"),
            ("nokey 1", "-1"),
            ("s 2 x 1 foo bar", "-ERR The bit argument must be 1 or 0."),
            ("s x", NUMBER),
            ("s 1 x 1 foo", NUMBER),
            ("s 1 1 x foo", SYNTAX),
            ("s 1 x 1 foo bar", SYNTAX),
            ("nokey 0 x", NUMBER),
        ] {
            db.check(&format!("BITPOS {args}"), reply);
        }
    }

    /// Long strings are looked at on a helper thread, with the same results.
    #[test]
    fn long_strings() {
        let mut db = TestClient::new();
        db.run("SETBIT k 80000000 1; SETBIT k 5 1");
        db.check("BITCOUNT k", "2");
        db.check("BITCOUNT k 1", "1");
        db.check("BITPOS k 1 6 -1 BIT", "80000000");
        db.check("BITPOS k 0", "0");
        db.check("BITOP NOT k k; BITPOS k 0 1", "80000000");
        db.check("BITPOS k 0 10000001", "-1");
        // Combining them is counted once, though it is begun twice.
        let before = db.engine.stats().sum(|c| c.hits.get());
        let reply = db.raw(&["BITOP", "OR", "d", "k", "k"]);
        assert_eq!(reply, b":10000001\r\n");
        let hits = db.engine.stats().sum(|c| c.hits.get());
        assert_eq!(hits - before, 2);
    }

    #[test]
    fn combining() {
        let mut db = TestClient::new();
        db.run(r#"SET a "\xf0\x0f"; SET b "\xcc"; SET n 5; SET e """#);
        for (args, len, result) in [
            ("AND d a b", "2", r#""\xc0\x00""#),
            ("or d a b", "2", r#""\xfc\x0f""#),
            ("XOR d a b", "2", r#""<\x0f""#),
            ("NOT d a", "2", r#""\x0f\xf0""#),
            ("DIFF d a b", "2", r#""0\x0f""#),
            ("DIFF1 d a b", "2", r#""\x0c\x00""#),
            ("ANDOR d a b", "2", r#""\xc0\x00""#),
            ("ONE d a b a", "2", r#""\x0c\x00""#),
            ("ONE d a", "2", r#""\xf0\x0f""#),
            ("OR d n nokey", "1", r#""5""#),
            ("OR d e nokey", "0", "nil"),
        ] {
            db.check(&format!("BITOP {args}"), len);
            db.check("GET d", result);
        }
        db.check("SET d x EX 100; BITOP OR d n n; TTL d", "-1");
        db.check("OBJECT ENCODING d", r#""raw""#);
        db.check("BITOP AND a a b; GET a", r#""\xc0\x00""#);
        for (args, error) in [
            ("FOO d a", SYNTAX),
            (
                "NOT d a b",
                "-ERR BITOP NOT must be called with a single source key.",
            ),
            (
                "diff d a",
                "-ERR BITOP DIFF must be called with at least two source keys.",
            ),
            (
                "DIFF1 d a",
                "-ERR BITOP DIFF1 must be called with at least two source keys.",
            ),
            (
                "ANDOR d a",
                "-ERR BITOP ANDOR must be called with at least two source keys.",
            ),
        ] {
            db.check(&format!("BITOP {args}"), error);
        }
    }

    #[test]
    fn fields() {
        let mut db = TestClient::new();
        db.run("SET s foobar");
        for (args, reply) in [
            (
                "s GET u8 0 GET u8 #1 get i64 0",
                "[102 111 7381240782615871488]",
            ),
            ("s", "[]"),
            ("nokey GET i5 100", "[0]"),
            ("new OVERFLOW FAIL SET u8 0 256", "[nil]"),
            (
                "new OVERFLOW SAT SET u8 0 256 GET u8 0 INCRBY u8 0 -300 INCRBY i8 0 200 INCRBY i8 0 -1000",
                "[0 255 0 127 -128]",
            ),
            (
                "new SET u8 0 -1 SET i8 0 -129 GET i8 0 SET u63 0 -1 GET u63 0 SET i64 0 -1 INCRBY i64 0 -9223372036854775808",
                "[128 -1 127 4575657221408423936 9223372036854775807 -2 9223372036854775807]",
            ),
            (
                "new OVERFLOW FAIL INCRBY i64 0 1 INCRBY i64 0 -9223372036854775808 SET i4 0 8 SET i4 0 7 GET i4 0",
                "[nil -1 nil -1 7]",
            ),
            ("s SET u8 100 1 GET u8 100", "[0 1]"),
            ("s OVERFLOW wrap", "[]"),
            ("s OVERFLOW", SYNTAX),
            ("s OVERFLOW foo", "-ERR Invalid OVERFLOW type specified"),
            ("s GET u8", SYNTAX),
            ("s SET u8 0", SYNTAX),
            ("s FOO u8 0 1", SYNTAX),
            ("s SET u8 0 x", NUMBER),
            ("s SET u8 x x", OFFSET),
            ("s GET u8 #-1", OFFSET),
            ("s GET u8 #", OFFSET),
            ("s GET u8 #536870912", OFFSET),
            ("s GET i64 #4611686018427387904", OFFSET),
            (
                "s SET u64 x x",
                "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
            ),
        ] {
            db.check(&format!("BITFIELD {args}"), reply);
        }
        // What is refused changes nothing, what merely fails creates the key.
        db.check("STRLEN new", "8");
        db.check("EXISTS nokey", "0");
        db.check(
            "BITFIELD failed OVERFLOW FAIL SET u8 8 256; STRLEN failed",
            "2",
        );
        check3("BITFIELD k OVERFLOW FAIL SET u8 0 256", "[nil]");
    }

    #[test]
    fn fields_to_read_only() {
        let mut db = TestClient::new();
        db.run("SET s foobar");
        db.check("BITFIELD_RO s GET u8 0 GET u8 8", "[102 111]");
        db.check("BITFIELD_RO s OVERFLOW WRAP GET u8 0", "[102]");
        db.check(
            "BITFIELD_RO s SET u8 0 1",
            "-ERR BITFIELD_RO only supports the GET subcommand",
        );
        db.check("BITFIELD_RO s SET u8 x 1", OFFSET);
        db.check("BITFIELD_RO s INCRBY u8 0 1 FOO", SYNTAX);
        check("BITFIELD_RO nokey", "[]");
    }
}
