//! Strings compared before they are replaced or deleted: DELEX, DELIFEQ, DIGEST, and the conditions of SET and MSETEX.
//!
//! The reference is Redis 8.6.2, and Valkey 9.1.2 for DELIFEQ.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::cmd::string::text;
use crate::context::command::{
    Command, FAST, Group, KS_ACCESS, KS_DELETE, KS_RM, KS_RO, KS_RW, KS_VARIABLE_FLAGS, KeySpec,
    READONLY, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use store::{EntryRef, Type};
use xxhash_rust::xxh3::xxh3_64;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("delex", -2, WRITE | FAST, Group::String, "8.4.0", delex)
        .keys(&[KeySpec::at(1, KS_RW | KS_DELETE | KS_VARIABLE_FLAGS)])
        .args("key [condition(IFEQ ifeq-value | IFNE ifne-value \
               | IFDEQ ifdeq-digest:int | IFDNE ifdne-digest:int)]")
        .docs("Deletes a key, on the condition that its string, or the digest of it, is or is not a given one.",
              "O(1), and O(N) for IFDEQ and IFDNE, N being the length of the string"),
    row("delifeq", 3, WRITE | FAST, Group::String, "9.0.0", delifeq)
        .keys(&[KeySpec::at(1, KS_RM | KS_DELETE)]).args("key value")
        .docs("Deletes a key if it holds exactly the given string.", "O(1)"),
    row("digest", 2, READONLY | FAST, Group::String, "8.4.0", digest)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key")
        .docs("Returns the 64-bit XXH3 digest of the string at a key, as 16 hexadecimal digits.",
              "O(N), N being the length of the string"),
];

/// What is required of a key's present state before it is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Nothing.
    Always,
    /// NX: there is no such key.
    Absent,
    /// XX: there is one.
    Present,
    /// IFEQ: it holds this string.
    Equals(&'a [u8]),
    /// IFNE: it holds another string, or there is none.
    Differs(&'a [u8]),
    /// IFDEQ: it holds a string of this digest.
    DigestEquals(&'a [u8]),
    /// IFDNE: it holds a string of another digest, or there is none.
    DigestDiffers(&'a [u8]),
}

impl<'a> Condition<'a> {
    /// Takes one of the four comparisons, if the next argument is one and a value follows.
    pub fn take_comparison(args: &mut Args<'a>) -> Option<Condition<'a>> {
        for (word, make) in [
            ("IFEQ", Condition::Equals as fn(&'a [u8]) -> Condition<'a>),
            ("IFNE", Condition::Differs),
            ("IFDEQ", Condition::DigestEquals),
            ("IFDNE", Condition::DigestDiffers),
        ] {
            if args.keyword_with_value(word) {
                return Some(make(args.take()));
            }
        }
        None
    }

    /// Whether it looks at the value, which then has to be a string.
    pub fn compares(&self) -> bool {
        !matches!(
            self,
            Condition::Always | Condition::Absent | Condition::Present
        )
    }

    /// Whether a key meets it. The caller has made sure that it holds a string if the condition compares. An error if a digest
    /// that has to be compared with is not of 16 characters.
    pub fn met_by(&self, found: Option<&EntryRef<'_>>) -> Result<bool> {
        let mut digits = [0; 20];
        Ok(match *self {
            Condition::Always => true,
            Condition::Absent => found.is_none(),
            Condition::Present => found.is_some(),
            Condition::Equals(want) => found.is_some_and(|e| text(e.value(), &mut digits) == want),
            Condition::Differs(want) => found.is_none_or(|e| text(e.value(), &mut digits) != want),
            Condition::DigestEquals(want) => match found {
                None => false,
                Some(e) => has_digest(text(e.value(), &mut digits), want)?,
            },
            Condition::DigestDiffers(want) => match found {
                None => true,
                Some(e) => !has_digest(text(e.value(), &mut digits), want)?,
            },
        })
    }
}

/// A string's digest as DIGEST writes it.
fn digest_of(bytes: &[u8]) -> [u8; 16] {
    let mut rest = xxh3_64(bytes);
    let mut digits = [0; 16];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
    digits
}

/// Whether a string has this digest, given in either case.
fn has_digest(bytes: &[u8], want: &[u8]) -> Result<bool> {
    if want.len() != 16 {
        return Err(Error::new("ERR must be exactly 16 hexadecimal characters"));
    }
    Ok(digest_of(bytes).eq_ignore_ascii_case(want))
}

fn digest(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    match ctx.keys.read_string(args.take())? {
        Some(e) => ctx.out.bulk(&digest_of(text(e.value(), &mut [0; 20]))),
        None => ctx.out.null(),
    }
    Ok(())
}

/// Deletes a key for a reply of one, if it is to be.
fn delete_if(ctx: &mut Ctx<'_>, key: &[u8], met: bool) {
    if met {
        ctx.keys.remove(key);
        ctx.keys.changed(key, Event::DEL);
        ctx.keys.record(&[b"DEL", key]);
    }
    ctx.out.int(i64::from(met));
}

fn delex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    if args.left() != 0 && args.left() != 2 {
        return Err(Error::wrong_arity(ctx.command.name));
    }
    let met = match ctx.keys.write(key) {
        None => false,
        Some(_) if args.left() == 0 => true,
        Some(f) if f.get().kind() != Type::String => {
            return Err(Error::new(
                "ERR Key should be of string type if conditions are specified",
            ));
        }
        Some(f) => Condition::take_comparison(&mut args)
            .ok_or(Error::new(
                "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
            ))?
            .met_by(Some(&f.get()))?,
    };
    delete_if(ctx, key, met);
    Ok(())
}

fn delifeq(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let condition = Condition::Equals(args.take());
    let found = ctx.keys.write_string(key)?;
    let met = match found {
        None => false,
        Some(f) => condition.met_by(Some(&f.get()))?,
    };
    delete_if(ctx, key, met);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::TestClient;

    #[test]
    fn digests_are_those_of_redis() {
        let mut c = TestClient::new();
        for (value, digest) in [
            ("hello", "9555e8555c62dcfd"),
            ("123", "404a763b3f4c8c9a"),
            ("12", "7ecd2e572c949f74"),
            ("\"\"", "2d06800538d394c2"),
        ] {
            c.check(&format!("SET k {value}"), "OK");
            c.check("DIGEST k", &format!("\"{digest}\""));
        }
        // A digest of more than 240 bytes is another algorithm's.
        c.check(&format!("SET k {}", "x".repeat(269)), "OK");
        c.check("DIGEST k", "\"ef70f7cac1eda399\"");
    }

    #[test]
    fn conditions() {
        let mut c = TestClient::new();
        for (line, reply) in [
            ("SET k hello; DELEX k IFEQ x", "0"),
            (
                "DELEX k foo x",
                "-ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
            ),
            (
                "DELEX k IFDEQ zz",
                "-ERR must be exactly 16 hexadecimal characters",
            ),
            ("DELEX none IFDEQ zz", "0"),
            ("DELEX k IFDEQ 9555E8555C62DCFD", "1"),
            ("DELEX k foo x", "0"),
            (
                "RPUSH l a; DELEX l IFNE x",
                "-ERR Key should be of string type if conditions are specified",
            ),
            (
                "DELEX l IFNE",
                "-ERR wrong number of arguments for 'delex' command",
            ),
            ("DELEX l", "1"),
            ("SET k a; SET k b IFNE a", "nil"),
            ("SET k b IFNE c GET", "\"a\""),
            (
                "SET k c IFDEQ zz",
                "-ERR must be exactly 16 hexadecimal characters",
            ),
            ("SET n c IFDEQ zz", "nil"),
            ("SET n c IFDNE zz", "OK"),
            ("SET k c IFDNE xxxxxxxxxxxxxxxx", "OK"),
            ("SET k c IFEQ c IFNE d", "-ERR syntax error"),
            ("SET k c EX 10 EX 20", "OK"),
            ("SET k c EX 10 PX 20", "-ERR syntax error"),
        ] {
            c.check(line, reply);
        }
    }
}
