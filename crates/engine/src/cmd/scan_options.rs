//! The options that SCAN, HSCAN, SSCAN and ZSCAN share, and the few that only one of them has.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::glob;
use store::Type;

/// What is gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// The keys of a database.
    Keys,
    /// The members of a set.
    Set,
    /// The fields of a hash.
    Hash,
    /// The members of a sorted set.
    SortedSet,
}

/// The options of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScanOptions<'a> {
    /// COUNT: about how many elements to look at, at least 1.
    pub count: usize,
    /// MATCH; a pattern that everything matches is none.
    pattern: Option<&'a [u8]>,
    /// NOVALUES or NOSCORES: only the names.
    pub names_only: bool,
    /// TYPE: only keys of this type, `Some(None)` standing for one that does not exist.
    pub kind: Option<Option<Type>>,
}

impl<'a> ScanOptions<'a> {
    /// Reads all arguments that are left. The first mistake counts. The texts for options of other commands are those of the
    /// server whose option it is: Redis for NOVALUES, Valkey for NOSCORES.
    pub fn take(args: &mut Args<'a>, of: Scanned) -> Result<ScanOptions<'a>> {
        let mut options = ScanOptions {
            count: 10,
            pattern: None,
            names_only: false,
            kind: None,
        };
        while args.left() > 0 {
            if args.keyword_with_value("COUNT") {
                let n = args.int();
                args.check()?;
                if n < 1 {
                    return Err(Error::SYNTAX);
                }
                options.count = n as usize;
            } else if args.keyword_with_value("MATCH") {
                options.pattern = Some(args.take()).filter(|p| p != b"*");
            } else if of == Scanned::Keys && args.keyword_with_value("TYPE") {
                options.kind = Some(kind(args.take()));
            } else if args.keyword("NOVALUES") {
                if of != Scanned::Hash {
                    return Err(Error::new("ERR NOVALUES option can only be used in HSCAN"));
                }
                options.names_only = true;
            } else if args.keyword("NOSCORES") {
                if of != Scanned::SortedSet {
                    return Err(Error::new("ERR NOSCORES option can only be used in ZSCAN"));
                }
                options.names_only = true;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(options)
    }

    /// Whether a name is to be shown.
    #[inline]
    pub fn wants(&self, name: &[u8]) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches(pattern, name))
    }
}

/// The type of a name, in any case.
fn kind(name: &[u8]) -> Option<Type> {
    [
        Type::String,
        Type::List,
        Type::Set,
        Type::SortedSet,
        Type::Hash,
        Type::Stream,
    ]
    .into_iter()
    .find(|kind| kind.name().as_bytes().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    const KEYS: &str = "HSET h a b; SADD s a; ZADD z 1 a; ";

    #[test]
    fn the_first_mistake_counts() {
        let syntax = "-ERR syntax error";
        let novalues = "-ERR NOVALUES option can only be used in HSCAN";
        let noscores = "-ERR NOSCORES option can only be used in ZSCAN";
        let number = "-ERR value is not an integer or out of range";
        for (call, error) in [
            ("SCAN 0 COUNT 5 NOVALUES", novalues),
            ("SSCAN s 0 NOVALUES", novalues),
            ("ZSCAN z 0 NOVALUES COUNT 0", novalues),
            ("ZSCAN z 0 COUNT 0 NOVALUES", syntax),
            ("SCAN 0 NOSCORES", noscores),
            ("HSCAN h 0 NOSCORES", noscores),
            ("SSCAN s 0 noscores", noscores),
            ("HSCAN h 0 TYPE hash", syntax),
            ("HSCAN h 0 COUNT", syntax),
            ("HSCAN h 0 MATCH", syntax),
            ("HSCAN h 0 COUNT 0 FOO", syntax),
            ("HSCAN h 0 COUNT x FOO", number),
            ("SSCAN s 0 COUNT 9223372036854775808", number),
            ("SCAN 0 TYPE", syntax),
        ] {
            check(&format!("{KEYS}{call}"), error);
        }
    }

    #[test]
    fn options_in_any_order() {
        for (call, reply) in [
            ("HSCAN h 0 novalues match a COUNT 1", r#"["0" ["a"]]"#),
            ("HSCAN h 0 MATCH x MATCH *", r#"["0" ["a" "b"]]"#),
            ("SSCAN s 0 COUNT 1 COUNT 9 MATCH b", r#"["0" []]"#),
            ("ZSCAN z 0 NOSCORES MATCH [a-c]", r#"["0" ["a"]]"#),
            ("SCAN 0 COUNT 1000 TYPE ZSET", r#"["0" ["z"]]"#),
            ("SCAN 0 COUNT 1000 TYPE nosuch", r#"["0" []]"#),
            ("HSCAN absent 0 COUNT 0", r#"["0" []]"#),
        ] {
            check(&format!("{KEYS}{call}"), reply);
        }
    }
}
