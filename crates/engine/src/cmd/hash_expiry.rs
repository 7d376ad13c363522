//! Hashes whose fields expire: setting, reading and removing the expiry of single fields.
//!
//! Where Redis 8.2 and Valkey 9.1 disagree on the order of checks or on a text, this is Redis; options that only Valkey
//! has (NX and XX of HSETEX, conditions that combine) are Valkey's.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::expiry::{MILLISECONDS, SECONDS, UNIX_MILLISECONDS, UNIX_SECONDS, Unit};
use crate::cmd::element_expiry::{
    AT_MILLISECONDS, AT_SECONDS, Conditions, Lasting, MILLISECONDS_LEFT, SECONDS_LEFT, Show,
    goes_at_once, option_unit, reply_expiry, time,
};
use crate::cmd::hash::expire_fields;
use crate::cmd::hash::{Touched, limits, reply_field, reply_item, tell};
use crate::context::command::{
    Command, DENYOOM, FAST, Group, KS_ACCESS, KS_DELETE, KS_INSERT, KS_RO, KS_RW, KS_UPDATE,
    KeySpec, READONLY, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use resp::Out;
use resp::number::parse_i64;
use smallvec::SmallVec;
use store::Collection;
use store::types::hash::{Expiry, Hash};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("hexpire", -6, WRITE | FAST, Group::Hash, "7.4.0", hexpire)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key seconds:int [condition(NX | XX | GT | LT)] FIELDS{numfields:int field...}")
        .docs("Lets fields of a hash expire after so many seconds.",
              "O(N), N being the number of fields"),
    row("hexpireat", -6, WRITE | FAST, Group::Hash, "7.4.0", hexpireat)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key unix-time-seconds:time [condition(NX | XX | GT | LT)] \
               FIELDS{numfields:int field...}")
        .docs("Lets fields of a hash expire at a Unix time in seconds.",
              "O(N), N being the number of fields"),
    row("hexpiretime", -5, READONLY | FAST, Group::Hash, "7.4.0", hexpiretime)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key FIELDS{numfields:int field...}")
        .docs("Returns the Unix times in seconds at which fields expire.",
              "O(N), N being the number of fields"),
    row("hgetdel", -5, WRITE | FAST, Group::Hash, "8.0.0", hgetdel)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE)])
        .args("key FIELDS{numfields:int field...}")
        .docs("Returns the values of fields and deletes them.",
              "O(N), N being the number of fields"),
    row("hgetex", -5, WRITE | FAST, Group::Hash, "8.0.0", hgetex)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE)
                    .note("RW and update because the expiry may change")])
        .args("key [expiration(EX seconds:int | PX milliseconds:int \
               | EXAT unix-time-seconds:time | PXAT unix-time-milliseconds:time | PERSIST)] \
               FIELDS{numfields:int field...}")
        .docs("Returns the values of fields and sets or removes their expiry.",
              "O(N), N being the number of fields"),
    row("hpersist", -5, WRITE | FAST, Group::Hash, "7.4.0", hpersist)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)]).args("key FIELDS{numfields:int field...}")
        .docs("Removes the expiry of fields.", "O(N), N being the number of fields"),
    row("hpexpire", -6, WRITE | FAST, Group::Hash, "7.4.0", hpexpire)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key milliseconds:int [condition(NX | XX | GT | LT)] FIELDS{numfields:int field...}")
        .docs("Lets fields of a hash expire after so many milliseconds.",
              "O(N), N being the number of fields"),
    row("hpexpireat", -6, WRITE | FAST, Group::Hash, "7.4.0", hpexpireat)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key unix-time-milliseconds:time [condition(NX | XX | GT | LT)] \
               FIELDS{numfields:int field...}")
        .docs("Lets fields of a hash expire at a Unix time in milliseconds.",
              "O(N), N being the number of fields"),
    row("hpexpiretime", -5, READONLY | FAST, Group::Hash, "7.4.0", hpexpiretime)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key FIELDS{numfields:int field...}")
        .docs("Returns the Unix times in milliseconds at which fields expire.",
              "O(N), N being the number of fields"),
    row("hpttl", -5, READONLY | FAST, Group::Hash, "7.4.0", hpttl)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key FIELDS{numfields:int field...}")
        .tips(&["nondeterministic_output"])
        .docs("Returns how many milliseconds fields have left to live.",
              "O(N), N being the number of fields"),
    row("hsetex", -6, WRITE | DENYOOM | FAST, Group::Hash, "8.0.0", hsetex)
        .keys(&[KeySpec::at(1, KS_RW | KS_INSERT)])
        .args("key [key-condition(NX | XX)] [fields-condition(FNX | FXX)] \
               [expiration(EX seconds:int | PX milliseconds:int \
               | EXAT unix-time-seconds:time | PXAT unix-time-milliseconds:time | KEEPTTL)] \
               FIELDS{numfields:int#0 data{field value}...}")
        .docs("Sets fields of a hash with one expiry for all, on a condition if asked.",
              "O(N), N being the number of fields"),
    row("httl", -5, READONLY | FAST, Group::Hash, "7.4.0", httl)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key FIELDS{numfields:int field...}")
        .tips(&["nondeterministic_output"])
        .docs("Returns how many seconds fields have left to live.",
              "O(N), N being the number of fields"),
];

/// What is wrong where FIELDS should be.
const NO_FIELDS: Error =
    Error::fixed("ERR Mandatory argument FIELDS is missing or not at the right position");

/// What is wrong with a number of fields that is no positive number.
const NOT_A_COUNT: Error = Error::fixed("ERR Number of fields must be a positive integer");

/// The end of most of these commands: `FIELDS numfields field ...`.
fn fields<'a>(args: &mut Args<'a>, not_a_count: Error) -> Result<&'a [&'a [u8]]> {
    if !args.keyword("FIELDS") {
        return Err(NO_FIELDS);
    }
    let n = args.int_in(1..=i64::MAX, not_a_count);
    args.check()?;
    if n as u64 != args.left() as u64 {
        return Err(Error::new(
            "ERR The `numfields` parameter must match the number of arguments",
        ));
    }
    Ok(args.rest())
}

/// An error if the key holds something that is no hash: these commands look at the key before their other arguments.
fn check_type(ctx: &Ctx<'_>, key: &[u8]) -> Result {
    ctx.keys.peek_view::<Hash>(key).map(|_| ())
}

// ---- HEXPIRE

/// Takes all conditions that come. Redis takes one and finds FIELDS missing where another stands; Valkey takes those that can
/// hold together.
fn conditions(args: &mut Args<'_>) -> Result<Conditions> {
    let mut c = Conditions::default();
    let mut n = 0;
    while c.take_one(args) {
        n += 1;
    }
    let rest = args.rest();
    let sound = || {
        let n = rest.get(1).and_then(|n| parse_i64(n));
        rest.first()
            .is_some_and(|word| word.eq_ignore_ascii_case(b"FIELDS"))
            && n.is_some_and(|n| n > 0 && n as u64 == rest.len() as u64 - 2)
    };
    if n > 1 && (c.nx && (c.xx || c.gt || c.lt) || c.gt && c.lt || !sound()) {
        return Err(NO_FIELDS);
    }
    Ok(c)
}

/// Lets `change` have each of some fields of a hash and answer for it, or `absent` where there is no hash. What `change` says has
/// happened to fields is told, and how they are then is recorded.
fn change_fields<'f>(
    ctx: &mut Ctx<'_>,
    (key, fields): (&[u8], &[&'f [u8]]),
    absent: fn(&mut Out),
    mut change: impl FnMut(&mut Hash, &'f [u8], &mut Out) -> Option<Event>,
) -> Result {
    let now_ms = ctx.keys.now_ms;
    let out = &mut *ctx.out;
    out.array(fields.len());
    let mut touched = Touched::new(&ctx.keys);
    let done = ctx.keys.edit::<Hash, _>(key, |hash| {
        let expired = expire_fields(hash, now_ms, fields.iter().copied());
        let (mut event, mut n) = (None, 0);
        for field in fields {
            let happened = change(hash, field, out);
            touched.add_if(happened.is_some(), field);
            n += usize::from(happened.is_some());
            event = happened.or(event);
        }
        (expired, event, n)
    })?;
    let Some((expired, event, n)) = done else {
        fields.iter().for_each(|_| absent(ctx.out));
        return Ok(());
    };
    tell(&mut ctx.keys, key, &expired, event, n);
    if let Some(event) = event {
        touched.tell(&mut ctx.keys, key, event);
        let fields = fields.iter().copied();
        ctx.keys.record_fields_as_they_are(key, fields, false);
    }
    Ok(())
}

const HDEL: Event = Event::hash("hdel");
const HEXPIRE: Event = Event::hash("hexpire");
const HPERSIST: Event = Event::hash("hpersist");

fn expire(ctx: &mut Ctx<'_>, mut args: Args<'_>, unit: Unit) -> Result {
    let (key, now_ms) = (args.take(), ctx.keys.now_ms);
    check_type(ctx, key)?;
    let at = time(args.take(), unit, now_ms, ctx.command.name)?;
    let only = conditions(&mut args)?;
    if args.left() < 2 {
        return Err(Error::wrong_arity(ctx.command.name));
    }
    let fields = fields(
        &mut args,
        Error::new("ERR Parameter `numFields` should be greater than 0"),
    )?;
    let absent: fn(&mut Out) = |out| out.int(-2);
    let at_once = goes_at_once(ctx, at);
    change_fields(ctx, (key, fields), absent, |hash, field, out| {
        let (answer, event) = match hash.view().get(field, now_ms) {
            None => (-2, None),
            Some(f) if !only.allow(f.due_ms, at) => (0, None),
            Some(_) if at_once => {
                hash.remove(field, now_ms);
                (2, Some(HDEL))
            }
            Some(_) => {
                hash.set_expiry(field, Some(at));
                (1, Some(HEXPIRE))
            }
        };
        out.int(answer);
        event
    })
}

fn hexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    expire(ctx, args, SECONDS)
}

fn hpexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    expire(ctx, args, MILLISECONDS)
}

fn hexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    expire(ctx, args, UNIX_SECONDS)
}

fn hpexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    expire(ctx, args, UNIX_MILLISECONDS)
}

fn hpersist(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, now_ms) = (args.take(), ctx.keys.now_ms);
    check_type(ctx, key)?;
    let fields = fields(&mut args, NOT_A_COUNT)?;
    let absent: fn(&mut Out) = |out| out.int(-2);
    change_fields(ctx, (key, fields), absent, |hash, field, out| {
        let (answer, event) = match hash.view().get(field, now_ms).map(|f| f.due_ms) {
            None => (-2, None),
            Some(None) => (-1, None),
            Some(Some(_)) => {
                hash.set_expiry(field, None);
                (1, Some(HPERSIST))
            }
        };
        out.int(answer);
        event
    })
}

/// Answers for each field what is to be shown of its expiry.
fn show_expiry(ctx: &mut Ctx<'_>, mut args: Args<'_>, show: Show) -> Result {
    let (key, now_ms) = (args.take(), ctx.keys.now_ms);
    let hash = ctx.keys.view::<Hash>(key)?;
    let fields = fields(&mut args, NOT_A_COUNT)?;
    ctx.out.array(fields.len());
    for field in fields {
        let found = hash.and_then(|h| h.get(field, now_ms)).map(|f| f.due_ms);
        reply_expiry(ctx.out, found, show, now_ms);
    }
    Ok(())
}

fn httl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show_expiry(ctx, args, SECONDS_LEFT)
}

fn hpttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show_expiry(ctx, args, MILLISECONDS_LEFT)
}

fn hexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show_expiry(ctx, args, AT_SECONDS)
}

fn hpexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show_expiry(ctx, args, AT_MILLISECONDS)
}

// ---- Reading and writing values along with it

/// What HGETEX does to the fields it returns.
enum After {
    Nothing,
    Persist,
    ExpireAt(u64),
}

fn hgetex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, now_ms) = (args.take(), ctx.keys.now_ms);
    check_type(ctx, key)?;
    let mut after = After::Nothing;
    if let Some(unit) = args.peek().and_then(option_unit) {
        args.take();
        after = After::ExpireAt(time(args.take(), unit, now_ms, ctx.command.name)?);
    } else if args.keyword("PERSIST") {
        after = After::Persist;
    }
    if args.left() < 2 {
        return Err(Error::wrong_arity(ctx.command.name));
    }
    let fields = fields(&mut args, NOT_A_COUNT)?;
    if let After::Nothing = after {
        let out = &mut *ctx.out;
        out.array(fields.len());
        let hash = ctx.keys.view::<Hash>(key)?;
        fields
            .iter()
            .for_each(|field| reply_field(out, hash, field, now_ms));
        return Ok(());
    }
    let at_once = matches!(after, After::ExpireAt(at) if goes_at_once(ctx, at));
    change_fields(ctx, (key, fields), Out::null, |hash, field, out| {
        let Some(f) = hash.view().get(field, now_ms) else {
            out.null();
            return None;
        };
        reply_item(out, f.value);
        match after {
            After::ExpireAt(_) if at_once => {
                hash.remove(field, now_ms);
                Some(HDEL)
            }
            After::ExpireAt(at) => {
                hash.set_expiry(field, Some(at));
                Some(HEXPIRE)
            }
            After::Persist if f.due_ms.is_some() => {
                hash.set_expiry(field, None);
                Some(HPERSIST)
            }
            _ => None,
        }
    })
}

fn hgetdel(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, now_ms) = (args.take(), ctx.keys.now_ms);
    check_type(ctx, key)?;
    let fields = fields(&mut args, NOT_A_COUNT)?;
    change_fields(ctx, (key, fields), Out::null, |hash, field, out| {
        reply_field(out, Some(hash.view()), field, now_ms);
        hash.remove(field, now_ms).then_some(HDEL)
    })
}

/// What Valkey says of a number of fields that is not right.
const VALKEY_COUNT: Error =
    Error::fixed("ERR numfields should be greater than 0 and match the provided number of fields");

/// The options of HSETEX. `key` and `field` say whether the key and every field must be there, or must not.
#[derive(Default)]
struct SetOptions<'a> {
    key: Option<bool>,
    field: Option<bool>,
    lasting: Lasting<'a>,
}

impl SetOptions<'_> {
    fn expiry(&self, now_ms: u64, command: &str) -> Result<Expiry> {
        match self.lasting.time {
            // As Valkey checks it, for which there is no latest time.
            Some((text, unit)) if self.key.is_some() => {
                let n = parse_i64(text).ok_or(Error::NOT_AN_INTEGER)?;
                match crate::base::expiry::to_unix_ms(n, unit, now_ms) {
                    Some(ms) if n >= 0 => Ok(Expiry::At(ms as u64)),
                    _ => Err(Error::invalid_expire(command)),
                }
            }
            Some((text, unit)) => time(text, unit, now_ms, command).map(Expiry::At),
            None if self.lasting.keep => Ok(Expiry::Keep),
            None => Ok(Expiry::Clear),
        }
    }
}

/// Reads options up to and with FIELDS and the number of fields.
fn set_options<'a>(
    args: &mut Args<'a>,
    now_ms: u64,
    command: &'static str,
) -> Result<(SetOptions<'a>, &'a [&'a [u8]])> {
    let mut o = SetOptions::default();
    let equal = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    // Conditions on the key are Valkey's, and so are the checks of a call that has one.
    let mut before = args.rest().iter().take_while(|word| !equal(word, "FIELDS"));
    let valkey = before.any(|word| equal(word, "NX") || equal(word, "XX"));
    let wrong_count = || {
        if valkey {
            VALKEY_COUNT
        } else {
            Error::wrong_arity(command)
        }
    };
    while let Some(word) = args.peek() {
        if args.keyword("FIELDS") {
            if args.left() < 3 {
                return Err(wrong_count());
            }
            let not_a_count = Error::new("ERR invalid number of fields");
            let n = args.int_or(if valkey {
                Error::NOT_AN_INTEGER
            } else {
                not_a_count.clone()
            });
            args.check()?;
            if !valkey && !(1..=i64::from(i32::MAX)).contains(&n) {
                return Err(not_a_count);
            }
            if n < 1 || n.checked_mul(2) != Some(args.left() as i64) {
                return Err(wrong_count());
            }
            return Ok((o, args.rest()));
        }
        if o.lasting.take(args)? {
            if !valkey {
                o.expiry(now_ms, command)?;
            }
            continue;
        }
        args.take();
        let is = |name| equal(word, name);
        if is("FNX") || is("FXX") {
            if o.field.replace(is("FXX")).is_some() {
                return Err(Error::new(
                    "ERR Only one of FXX or FNX arguments can be specified",
                ));
            }
        } else if is("NX") || is("XX") {
            if o.key
                .replace(is("XX"))
                .is_some_and(|before| before != is("XX"))
            {
                return Err(Error::SYNTAX);
            }
        } else if valkey {
            return Err(Error::SYNTAX);
        } else {
            return Err(Error::quoting("ERR unknown argument: {}", &[word]));
        }
    }
    Err(wrong_count())
}

fn hsetex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, now_ms) = (args.take(), ctx.keys.now_ms);
    let (options, pairs) = set_options(&mut args, now_ms, ctx.command.name)?;
    let hash = ctx.keys.peek_view::<Hash>(key)?;
    let mut names = pairs.iter().step_by(2);
    if options.key.is_some_and(|must| hash.is_some() != must) {
        ctx.out.int(0);
        return Ok(());
    }
    let expiry = options.expiry(now_ms, ctx.command.name)?;
    let is_there = |field: &[u8]| hash.is_some_and(|h| h.get(field, now_ms).is_some());
    if options
        .field
        .is_some_and(|must| names.any(|field| is_there(field) != must))
    {
        ctx.out.int(0);
        return Ok(());
    }
    // What expires at once is set all the same, for what that may make of the hash, and removed.
    let gone = matches!(expiry, Expiry::At(ms) if goes_at_once(ctx, ms));
    let was_there = hash.is_some();
    let then = match expiry {
        Expiry::At(_) if gone => Some(HDEL),
        Expiry::At(_) => Some(HEXPIRE),
        Expiry::Keep | Expiry::Clear => None,
    };
    let expiry = if gone { Expiry::Clear } else { expiry };
    let limits = limits(ctx);
    let mut lost = 0;
    let expired = ctx.keys.edit_or_create::<Hash, _>(key, |hash| {
        let named = pairs.iter().step_by(2).copied();
        let expired = expire_fields(hash, now_ms, named);
        hash.prepare(pairs.len() / 2, pairs.iter().copied(), limits);
        for pair in pairs.chunks_exact(2) {
            let is_new = hash.set(pair[0], pair[1], expiry, now_ms, limits);
            if gone {
                lost += usize::from(!is_new);
                hash.remove(pair[0], now_ms);
            }
        }
        expired
    })?;
    let mut events: SmallVec<[Event; 3]> = SmallVec::from_slice(&[Event::hash("hset")]);
    events.extend(then);
    if gone && !was_there {
        // A hash that never came to be leaves no trace that it is gone.
        events.push(Event::DEL);
    }
    // Valkey counts of those that expire at once only what was there before.
    let times = match gone && options.key.is_some() {
        true => lost,
        false => pairs.len() / 2,
    };
    tell(&mut ctx.keys, key, &expired, events, times);
    let fields = pairs.iter().step_by(2).copied();
    for event in [Some(Event::hash("hset")), then].into_iter().flatten() {
        ctx.keys.of_fields(key, event, fields.clone());
    }
    ctx.keys.record_fields_as_they_are(key, fields, true);
    ctx.out.int(1);
    Ok(())
}

#[cfg(test)]
mod tests;
