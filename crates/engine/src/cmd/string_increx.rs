//! INCREX: a number that is raised within bounds, and its expiry, in one step.
//!
//! The reference is Redis 8.8's published documentation (redis.io, INCREX), where no server is at hand.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::expiry::Expiry;
use crate::context::command::{
    Command, DENYOOM, FAST, Group, KS_ACCESS, KS_RW, KS_UPDATE, KeySpec, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use crate::ops::strings::{integer, text};
use resp::number::{format_i64, parse_i64};
use resp::{LongDouble, Out, Proto};
use std::cmp::Ordering;
use store::string_value;

/// The command of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("increx", -2, WRITE | DENYOOM | FAST, Group::String, "8.8.0", increx)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE)])
        .args("key [increment(BYFLOAT float:double | BYINT integer:int)] [SATURATE] [LBOUND lowerbound] \
               [UBOUND upperbound] [expiration(EX seconds:int | PX milliseconds:int \
               | EXAT unix-time-seconds:time | PXAT unix-time-milliseconds:time | PERSIST)] [ENX]")
        .docs("Adds an amount to the number at a key, within bounds if asked, and sets or removes the key's expiry.",
              "O(1)"),
];

/// A number that INCREX can add: 64-bit integers, or the long doubles of INCRBYFLOAT.
trait Number: Copy {
    /// What the increment is if none is given.
    const ONE: Self;
    /// The bounds if none are given.
    const MAX: Self;
    const MIN: Self;
    /// How an argument that is no such number is told.
    const MISFIT: &'static str;
    const EVENT: Event;
    fn read(text: &[u8]) -> Option<Self>;
    fn stored(value: store::Value<'_>) -> Result<Self>;
    fn zero() -> Self;
    fn plus(self, other: Self) -> Option<Self>;
    fn minus(self, other: Self) -> Option<Self>;
    fn order(&self, other: &Self) -> Ordering;
    /// Its text, as it is stored.
    fn print(&self) -> Vec<u8>;
    fn reply(&self, out: &mut Out);
}

impl Number for i64 {
    const ONE: i64 = 1;
    const MAX: i64 = i64::MAX;
    const MIN: i64 = i64::MIN;
    const MISFIT: &'static str = "is not an integer or out of range";
    const EVENT: Event = Event::string("incrby");

    fn read(text: &[u8]) -> Option<i64> {
        parse_i64(text)
    }

    fn stored(value: store::Value<'_>) -> Result<i64> {
        integer(value)
    }

    fn zero() -> i64 {
        0
    }

    fn plus(self, other: i64) -> Option<i64> {
        self.checked_add(other)
    }

    fn minus(self, other: i64) -> Option<i64> {
        self.checked_sub(other)
    }

    fn order(&self, other: &i64) -> Ordering {
        self.cmp(other)
    }

    fn print(&self) -> Vec<u8> {
        format_i64(*self, &mut [0; 20]).to_vec()
    }

    fn reply(&self, out: &mut Out) {
        out.int(*self);
    }
}

impl Number for LongDouble {
    const ONE: LongDouble = LongDouble::ONE;
    const MAX: LongDouble = LongDouble::MAX;
    const MIN: LongDouble = LongDouble::MIN;
    const MISFIT: &'static str = "is not a valid float";
    const EVENT: Event = Event::string("incrbyfloat");

    fn read(text: &[u8]) -> Option<LongDouble> {
        LongDouble::parse(text)
    }

    fn stored(value: store::Value<'_>) -> Result<LongDouble> {
        let number = LongDouble::parse(text(value, &mut [0; 20])).ok_or(Error::NOT_A_FLOAT)?;
        if !number.is_finite() {
            return Err(Error::new("ERR value cannot be Infinity"));
        }
        Ok(number)
    }

    fn zero() -> LongDouble {
        LongDouble::ZERO
    }

    fn plus(self, other: LongDouble) -> Option<LongDouble> {
        self.checked_add(other)
    }

    fn minus(self, other: LongDouble) -> Option<LongDouble> {
        self.checked_add(other.negated())
    }

    fn order(&self, other: &LongDouble) -> Ordering {
        self.compare(other)
    }

    fn print(&self) -> Vec<u8> {
        let mut text = Vec::new();
        self.write_text(&mut text);
        text
    }

    fn reply(&self, out: &mut Out) {
        let text = self.print();
        if out.proto() == Proto::Resp3 {
            out.raw(b",");
            out.raw(&text);
            out.raw(b"\r\n");
        } else {
            out.bulk(&text);
        }
    }
}

/// The options of INCREX: numbers as the arguments they are, read once it is known of which kind.
#[derive(Default)]
struct Options<'a> {
    by: Option<&'a [u8]>,
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
    float: bool,
    saturate: bool,
    expiry: Expiry,
    only_new_expiry: bool,
}

impl<'a> Options<'a> {
    fn take(args: &mut Args<'a>) -> Result<Options<'a>> {
        let mut o = Options::default();
        let once = |args: &mut Args<'a>, slot: &mut Option<&'a [u8]>| {
            if slot.is_some() {
                args.fail(Error::SYNTAX);
            }
            *slot = Some(args.take());
        };
        while args.left() > 0 && !args.failed() {
            let had_time = o.expiry != Expiry::None;
            if args.keyword_with_value("BYINT") {
                once(args, &mut o.by);
            } else if args.keyword_with_value("BYFLOAT") {
                once(args, &mut o.by);
                o.float = true;
            } else if args.keyword_with_value("LBOUND") {
                once(args, &mut o.lower);
            } else if args.keyword_with_value("UBOUND") {
                once(args, &mut o.upper);
            } else if !o.saturate && args.keyword("SATURATE") {
                o.saturate = true;
            } else if !o.only_new_expiry && args.keyword("ENX") {
                o.only_new_expiry = true;
            } else if o.expiry.take_time(args)
                || o.expiry.take_word(args, "PERSIST", Expiry::Persist)
            {
                if had_time {
                    args.fail(Error::SYNTAX);
                }
            } else {
                args.fail(Error::SYNTAX);
            }
        }
        args.check()?;
        if o.only_new_expiry {
            match o.expiry {
                Expiry::Persist => return Err(Error::SYNTAX),
                Expiry::At(..) => {}
                _ => return Err(Error::new("ERR ENX flag requires an expiration")),
            }
        }
        Ok(o)
    }
}

fn increx(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let options = Options::take(&mut args)?;
    if options.float {
        if options
            .by
            .and_then(LongDouble::parse)
            .is_some_and(|by| !by.is_finite())
        {
            return Err(Error::new("ERR BYFLOAT increment cannot be Infinity"));
        }
        raise::<LongDouble>(ctx, key, &options, args.argv())
    } else {
        raise::<i64>(ctx, key, &options, args.argv())
    }
}

/// The number that comes of adding, and what was added in effect; `None` if that is out of bounds and nothing is to be done.
fn add_within<N: Number>(old: N, by: N, bounds: (N, N), saturate: bool) -> Result<Option<(N, N)>> {
    let (lower, upper) = bounds;
    let sum = old.plus(by);
    let reached = sum.unwrap_or(match by.order(&N::zero()) {
        Ordering::Less => N::MIN,
        _ => N::MAX,
    });
    let capped = if reached.order(&lower).is_lt() {
        Some(lower)
    } else if reached.order(&upper).is_gt() {
        Some(upper)
    } else {
        None
    };
    match (sum, capped) {
        (Some(sum), None) => Ok(Some((sum, by))),
        _ if !saturate => Ok(None),
        _ => {
            let new = capped.unwrap_or(reached);
            let added = new
                .minus(old)
                .ok_or(Error::new("ERR applied increment would overflow"))?;
            Ok(Some((new, added)))
        }
    }
}

fn raise<N: Number>(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    options: &Options<'_>,
    argv: &[&[u8]],
) -> Result {
    let read = |text: Option<&[u8]>, what: &str, otherwise: N| match text {
        None => Ok(otherwise),
        Some(text) => N::read(text).ok_or_else(|| Error::new(format!("ERR {what} {}", N::MISFIT))),
    };
    let by = read(options.by, "Increment", N::ONE)?;
    let lower = read(options.lower, "LBOUND", N::MIN)?;
    let upper = read(options.upper, "UBOUND", N::MAX)?;
    if lower.order(&upper).is_gt() {
        return Err(Error::new("ERR LBOUND can't be greater than UBOUND"));
    }
    let now_ms = ctx.keys.now_ms;
    let at = options.expiry.time(argv, now_ms, "increx")?;
    let found = ctx.keys.write_string(key)?;
    let (old, had) = match &found {
        None => (N::zero(), None),
        Some(f) => (N::stored(f.get().value())?, f.expiry_ms()),
    };
    let Some((new, added)) = add_within(old, by, (lower, upper), options.saturate)? else {
        ctx.out.array(2);
        old.reply(ctx.out);
        N::zero().reply(ctx.out);
        return Ok(());
    };
    // The time that is set; an expiry that is there stays with ENX.
    let at = at.filter(|_| !(options.only_new_expiry && had.is_some()));
    let persists = options.expiry == Expiry::Persist && had.is_some();
    let bytes = new.print();
    if at.is_some_and(|at| at <= now_ms) {
        let was = ctx.keys.remove(key);
        if was {
            ctx.keys.changed(key, Event::DEL);
            ctx.keys.record(&[b"DEL", key]);
        }
    } else {
        // What was raised by a fraction stays text, even where it is a whole number.
        let value = match options.float {
            true => string_value(&bytes),
            false => store::new_value(&bytes),
        };
        let expiry = at.or(had).filter(|_| !persists);
        match found {
            Some(mut f) => {
                let removed = f.set_value(value, false);
                if expiry != had {
                    f.set_expiry(expiry);
                }
                ctx.keys.discard(removed);
                if expiry != had {
                    ctx.keys.will_expire(ctx.keys.db, key, expiry);
                }
            }
            None => ctx.keys.insert_in(ctx.keys.db, key, value, expiry, false),
        }
        ctx.keys.changed(key, N::EVENT);
        if at.is_some() {
            ctx.keys.changed_too(key, Event::generic("expire"));
        } else if persists {
            ctx.keys.changed_too(key, Event::generic("persist"));
        }
        record(ctx, key, &bytes, at, persists);
    }
    ctx.out.array(2);
    new.reply(ctx.out);
    added.reply(ctx.out);
    Ok(())
}

/// Writes the result down as SET, which every server knows.
fn record(ctx: &mut Ctx<'_>, key: &[u8], bytes: &[u8], at: Option<u64>, persists: bool) {
    if !ctx.keys.recording() {
        return;
    }
    match at {
        Some(at) => {
            let mut digits = [0; 20];
            let at = format_i64(at as i64, &mut digits);
            ctx.keys.record(&[b"SET", key, bytes, b"PXAT", at]);
        }
        None if persists => ctx.keys.record(&[b"SET", key, bytes]),
        None => ctx.keys.record(&[b"SET", key, bytes, b"KEEPTTL"]),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::TestClient;

    /// Examples of the published documentation and of Redis's own tests: `line | reply`, in one database.
    const TALK: &str = r#"
INCREX k | [1 1]
INCREX k | [2 1]
SET k 100; INCREX k BYINT 5 | [105 5]
INCREX k BYINT -10 | [95 -10]
SET k 1.5; INCREX k BYFLOAT 0.25 | ["1.75" "0.25"]
GET k | "1.75"
DEL k; INCREX k BYINT 1 EX 100 | [1 1]
TTL k | 100
SET k 10; INCREX k BYINT 1 EX 100 ENX | [11 1]
TTL k | 100
SET k 10 EX 500; INCREX k BYINT 1 EX 10 ENX | [11 1]
TTL k | 500
INCREX k PERSIST | [12 1]
TTL k | -1
SET k 99; INCREX k BYINT 5 UBOUND 100 | [99 0]
INCREX k BYINT 5 UBOUND 100 SATURATE | [100 1]
INCREX k BYINT 5 UBOUND 30 | [100 0]
INCREX k BYINT 5 UBOUND 30 SATURATE | [30 -70]
INCREX k LBOUND 0 BYINT 100 EX 10 UBOUND 15 | [30 0]
TTL k | -1
SET k 9223372036854775800; INCREX k BYINT 9223372036854775800 | [9223372036854775800 0]
INCREX k BYINT 9223372036854775800 SATURATE | [9223372036854775807 7]
INCREX k BYINT 1 SATURATE UBOUND -9223372036854775808 | -ERR applied increment would overflow
SET k 10; INCREX k BYFLOAT 100 UBOUND 42.5 SATURATE | ["42.5" "32.5"]
SET k 0; INCREX k BYFLOAT -100 LBOUND -5.5 SATURATE | ["-5.5" "-5.5"]
INCREX k BYFLOAT +inf | -ERR BYFLOAT increment cannot be Infinity
SET k inf; INCREX k BYFLOAT 1 | -ERR value cannot be Infinity
DEL k; INCREX k BYINT 15 UBOUND 10 | [0 0]
EXISTS k | 0
INCREX k BYFLOAT 15.5 UBOUND 10 | ["0" "0"]
EXISTS k | 0
INCREX k FOO | -ERR syntax error
INCREX k BYINT 1 BYFLOAT 1.5 | -ERR syntax error
INCREX k EX 10 EX 20 | -ERR syntax error
INCREX k PERSIST PERSIST | -ERR syntax error
INCREX k PERSIST ENX | -ERR syntax error
INCREX k SATURATE SATURATE | -ERR syntax error
INCREX k ENX | -ERR ENX flag requires an expiration
INCREX k BYINT abc | -ERR Increment is not an integer or out of range
INCREX k BYFLOAT abc | -ERR Increment is not a valid float
INCREX k LBOUND 1.5 | -ERR LBOUND is not an integer or out of range
INCREX k LBOUND 10 UBOUND 5 | -ERR LBOUND can't be greater than UBOUND
INCREX k BYFLOAT 1 LBOUND 10.5 UBOUND 1.5 | -ERR LBOUND can't be greater than UBOUND
INCREX k EX 0 | -ERR invalid expire time in 'increx' command
SET k hello; INCREX k | -ERR value is not an integer or out of range
INCREX k BYFLOAT 1 | -ERR value is not a valid float
DEL k; RPUSH k a; INCREX k | -WRONGTYPE Operation against a key holding the wrong kind of value
SET k 10; INCREX k EXAT 1 | [11 1]
EXISTS k | 0
SET k 10 EX 500; INCREX k EXAT 1 ENX | [11 1]
TTL k | 500
INCREX f BYFLOAT 3 | ["3" "3"]
OBJECT ENCODING f | "embstr"
INCREX i; OBJECT ENCODING i | "int"
"#;

    #[test]
    fn examples() {
        let mut c = TestClient::new();
        for line in TALK.lines().filter(|line| !line.is_empty()) {
            let (call, reply) = line.rsplit_once(" | ").expect("a call and a reply");
            c.check(call, reply);
        }
        c.check("SET k 1.5", "OK");
        let mut c = c.resp3();
        c.check("INCREX k BYFLOAT 0.25", "[,1.75 ,0.25]");
    }

    #[test]
    fn events() {
        let mut c = TestClient::new();
        c.check_events("INCREX k", "incrby k");
        c.check_events("INCREX k BYFLOAT 0.5", "incrbyfloat k");
        c.check_events(
            "SET k 10 EX 100; INCREX k PERSIST",
            "set k, expire k, incrby k, persist k",
        );
        c.check_events("INCREX k EX 100", "incrby k, expire k");
        c.check_events("INCREX k EX 200 ENX", "incrby k");
        c.check_events("SET k 10; INCREX k EXAT 1", "set k, del k");
        c.check_events("SET k 10; INCREX k UBOUND 5", "set k");
    }
}
