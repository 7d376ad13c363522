//! Strings compared before they are replaced or deleted: DELEX, DELIFEQ, DIGEST, and the conditions of SET and MSETEX.
//!
//! The reference is Redis 8.6.2, and Valkey 9.1.2 for DELIFEQ.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::context::command::{
    Command, FAST, Group, KS_ACCESS, KS_DELETE, KS_RM, KS_RO, KS_RW, KS_VARIABLE_FLAGS, KeySpec,
    READONLY, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::ops::strings::{self, Condition, digest_of, text};
use store::Type;

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

/// Takes one of the four comparisons, if the next argument is one and a value follows.
pub fn take_comparison<'a>(args: &mut Args<'a>) -> Option<Condition<'a>> {
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

fn digest(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    match ctx.keys.read_string(args.take())? {
        Some(e) => ctx.out.bulk(&digest_of(text(e.value(), &mut [0; 20]))),
        None => ctx.out.null(),
    }
    Ok(())
}

fn delex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    if args.left() != 0 && args.left() != 2 {
        return Err(Error::wrong_arity(ctx.command.name));
    }
    let deleted = match ctx.keys.write(key) {
        None => false,
        Some(_) if args.left() == 0 => strings::delete_if(&mut ctx.keys, key, Condition::Always)?,
        Some(f) if f.get().kind() != Type::String => {
            return Err(Error::new(
                "ERR Key should be of string type if conditions are specified",
            ));
        }
        Some(_) => {
            let condition = take_comparison(&mut args).ok_or(Error::new(
                "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
            ))?;
            strings::delete_if(&mut ctx.keys, key, condition)?
        }
    };
    ctx.out.int(i64::from(deleted));
    Ok(())
}

fn delifeq(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let condition = Condition::Equals(args.take());
    let deleted = strings::delete_if(&mut ctx.keys, key, condition)?;
    ctx.out.int(i64::from(deleted));
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
