//! Where Redpoll differs from a real server, by name and with the reason.
//!
//! A round is played against one server, and a reply that is not that server's is a mismatch, unless a row of [`NAMED`] says
//! that we differ from it there on purpose. A row tells its cases as narrowly as it can: by command and by both replies.

use super::engine::Reference::{self, NewestRedis, Redis, Valkey};
use super::engine::Step;

/// A reply of ours beside that of the server of the round.
pub struct Case<'a> {
    server: Reference,
    /// What was sent in this round up to now.
    round: &'a [Step],
    /// The command's words, the first two in upper case.
    words: Vec<Vec<u8>>,
    ours: &'a [u8],
    theirs: &'a [u8],
}

impl<'a> Case<'a> {
    /// Of this command, the last of the round up to now or a look at what the round left.
    pub fn new<A: AsRef<[u8]>>(
        server: Reference,
        round: &'a [Step],
        args: &[A],
        ours: &'a [u8],
        theirs: &'a [u8],
    ) -> Case<'a> {
        let mut words: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_ref().to_vec()).collect();
        words
            .iter_mut()
            .take(2)
            .for_each(|w| w.make_ascii_uppercase());
        Case {
            server,
            round,
            words,
            ours,
            theirs,
        }
    }

    /// Whether it is this command, by its first words.
    fn is(&self, command: &str) -> bool {
        let mut words = self.words.iter();
        command
            .split(' ')
            .all(|word| words.next().is_some_and(|w| w == word.as_bytes()))
    }

    /// Whether it is one of these commands, by their first words.
    fn is_any(&self, commands: &[&str]) -> bool {
        commands.iter().any(|command| self.is(command))
    }

    /// Whether a command of this name, or with this word in it, was sent before.
    fn was_sent(&self, word: &str) -> bool {
        let is = |arg: &Vec<u8>| arg.eq_ignore_ascii_case(word.as_bytes());
        self.round.iter().any(|step| step.args.iter().any(is))
    }

    /// Whether the replies are these encodings.
    fn encodings(&self, ours: &str, theirs: &str) -> bool {
        let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        self.is("OBJECT ENCODING") && self.replies(&bulk(ours), &bulk(theirs))
    }

    /// Whether the replies begin so, ours and theirs.
    fn replies(&self, ours: &str, theirs: &str) -> bool {
        self.ours.starts_with(ours.as_bytes()) && self.theirs.starts_with(theirs.as_bytes())
    }
}

/// What a difference means for the rest of its round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Both servers hold the same data still.
    GoOn,
    /// What follows may differ because of it.
    EndRound,
}

/// One difference.
struct Difference {
    /// From these servers.
    from: &'static [Reference],
    /// What it is and why.
    why: &'static str,
    case: fn(&Case) -> bool,
    then: Then,
}

/// The reason of the first difference that covers a case, and what it means for the round.
pub fn named(case: &Case) -> Option<(&'static str, Then)> {
    NAMED
        .iter()
        .find(|row| row.from.contains(&case.server) && (row.case)(case))
        .map(|row| (row.why, row.then))
}

/// Commands on the expiry of fields.
const FIELD_EXPIRY: &[&str] = &[
    "HEXPIRE",
    "HPEXPIRE",
    "HEXPIREAT",
    "HPEXPIREAT",
    "HGETEX",
    "HSETEX",
];

/// How many conditions stand among the arguments of SET.
fn conditions(c: &Case) -> usize {
    let words = ["NX", "XX", "IFEQ", "IFNE", "IFDEQ", "IFDNE"];
    let is = |word: &&Vec<u8>| {
        words
            .iter()
            .any(|w| word.eq_ignore_ascii_case(w.as_bytes()))
    };
    c.words.iter().skip(3).filter(is).count()
}

const BOTH: &[Reference] = &[Redis, NewestRedis];
const ALL: &[Reference] = &[Redis, NewestRedis, Valkey];

const NAMED: &[Difference] = &[
    Difference {
        from: ALL,
        why: "OBJECT FREQ answers without an LFU policy too, from what is known of hot keys, so that redis-cli --hotkeys works",
        case: |c| {
            c.is("OBJECT FREQ") && c.replies(":", "-ERR An LFU maxmemory policy is not selected")
        },
        then: Then::GoOn,
    },
    Difference {
        from: &[NewestRedis],
        why: "SET takes one condition, and tells of a second; Redis 8.6 lets others follow an IFEQ or its like, and heeds them all",
        case: |c| c.is("SET") && c.ours == b"-ERR syntax error\r\n" && conditions(c) > 1,
        then: Then::EndRound,
    },
    Difference {
        from: &[NewestRedis],
        why: "a SET with GET that is refused for its digest answers that alone; Redis 8.6 sends the old value and then the error",
        case: |c| c.is("SET") && c.ours == b"-ERR must be exactly 16 hexadecimal characters\r\n",
        then: Then::EndRound,
    },
    Difference {
        from: &[Valkey],
        why: "MSETEX has the error texts of Redis 8.6, not of Valkey",
        case: |c| c.is("MSETEX") && c.replies("-ERR ", "-ERR "),
        then: Then::GoOn,
    },
    Difference {
        from: ALL,
        why: "up to which length a string is embstr is each server's own layout: 44 bytes here, as in Redis 7; what fits beside \
              the key in Redis 8 and Valkey",
        case: |c| c.encodings("embstr", "raw") || c.encodings("raw", "embstr"),
        then: Then::GoOn,
    },
    Difference {
        from: BOTH,
        why: "BITCOUNT takes a start without an end, as in Valkey",
        case: |c| c.is("BITCOUNT") && c.words.len() == 3 && c.theirs == b"-ERR syntax error\r\n",
        then: Then::GoOn,
    },
    Difference {
        from: BOTH,
        why: "CLIENT LIST takes several filters, as in Valkey",
        case: |c| c.is("CLIENT LIST") && c.words.len() > 4 && c.theirs == b"-ERR syntax error\r\n",
        then: Then::GoOn,
    },
    Difference {
        from: ALL,
        why: "of several mistakes in the filters of CLIENT LIST another one is told",
        case: |c| c.is("CLIENT LIST") && c.words.len() > 4 && c.replies("-ERR ", "-ERR "),
        then: Then::GoOn,
    },
    Difference {
        from: BOTH,
        why: "CLIENT KILL ID takes several IDs, as in Valkey",
        case: |c| c.is("CLIENT KILL") && c.words.len() > 4 && c.theirs == b"-ERR syntax error\r\n",
        then: Then::EndRound,
    },
    Difference {
        from: BOTH,
        why: "a key that is given a time in the past is gone at once; Redis keeps it until it is looked at or swept",
        case: |c| {
            let earlier = c.was_sent("PXAT") || c.was_sent("EXAT");
            earlier
                && (c.is("DBSIZE") && c.replies(":", ":")
                    || c.replies("(counted as 0", "(counted as 1")
                    || c.is_any(&["FLUSHDB", "FLUSHALL"]) && c.replies("(counted", "(counted")
                    || c.is("DEBUG DIGEST-VALUE")
                    || c.is("MEMORY USAGE") && (c.replies("$-1", ":") || c.replies("_", ":")))
        },
        then: Then::GoOn,
    },
    Difference {
        from: BOTH,
        why: "HEXPIRE and its like take GT or LT together with XX, or a condition twice, as in Valkey",
        case: |c| {
            c.is_any(&FIELD_EXPIRY[..4])
                && c.replies("*", "-ERR ")
                && (c.theirs == b"-ERR Multiple condition flags specified\r\n"
                    || c.theirs
                        == b"-ERR Mandatory argument FIELDS is missing or not at the right position\r\n")
        },
        then: Then::EndRound,
    },
    Difference {
        from: BOTH,
        why: "a small hash is listpackex while a field of it expires; in Redis from the first time that one was given an expiry, \
              even one that is over",
        case: |c| c.encodings("listpack", "listpackex"),
        then: Then::GoOn,
    },
    Difference {
        from: BOTH,
        why: "with set-max-intset-entries below the numbers of a set, chance decides what SUNIONSTORE and its like store: the \
              order of the hash table they read",
        case: |c| {
            c.was_sent("set-max-intset-entries")
                && (c.encodings("hashtable", "listpack") || c.encodings("listpack", "hashtable"))
        },
        then: Then::GoOn,
    },
    Difference {
        from: &[Valkey],
        why: "a small hash with fields that expire is listpackex, as in Redis; Valkey keeps it as a hash table",
        case: |c| c.encodings("listpackex", "hashtable"),
        then: Then::GoOn,
    },
    Difference {
        from: BOTH,
        why: "SORT in Redis takes an overflow that an earlier command met for one of its own numbers'",
        case: |c| {
            let theirs = b"-ERR One or more scores can't be converted into double\r\n";
            c.is_any(&["SORT", "SORT_RO", "EVAL"])
                && c.theirs == theirs
                && c.was_sent("18446744073709551616")
        },
        then: Then::EndRound,
    },
    Difference {
        from: &[NewestRedis],
        why: "Redis 8.6 reads the options of HEXPIRE, HGETEX, HSETEX and their like in any order, and has other texts for what it \
              refuses; here they stand where Redis 8.2 wants them",
        case: |c| c.is_any(FIELD_EXPIRY) && c.replies("-ERR ", ""),
        then: Then::EndRound,
    },
    Difference {
        from: &[NewestRedis],
        why: "Redis 8.6 does not speak of arguments when it is sent an unknown command without any",
        case: |c| c.words.len() == 1 && c.replies("-ERR unknown command", "-ERR unknown command"),
        then: Then::GoOn,
    },
    Difference {
        from: &[NewestRedis],
        why: "Redis 8.6 takes a ~ together with ACKED or DELREF for =, and trims to the entry",
        case: |c| c.was_sent("~") && (c.was_sent("ACKED") || c.was_sent("DELREF")),
        then: Then::EndRound,
    },
    Difference {
        from: &[Redis, Valkey],
        why: "XINFO STREAM tells of idempotent producers, as in Redis 8.6",
        case: |c| {
            let ours = String::from_utf8_lossy(c.ours);
            c.is("XINFO STREAM") && ours.contains("idmp") && c.theirs.first() == c.ours.first()
        },
        then: Then::GoOn,
    },
    Difference {
        from: &[NewestRedis],
        why: "XINFO STREAM tells of idempotent producers where a stream has or had some: clients of older servers refuse the fields",
        case: |c| {
            let [ours, theirs] = [c.ours, c.theirs].map(String::from_utf8_lossy);
            c.is("XINFO STREAM") && !ours.contains("idmp") && theirs.contains("idmp-duration")
        },
        then: Then::GoOn,
    },
    Difference {
        from: ALL,
        why: "of several functions or libraries whose names are taken, chance decides which one a real server tells of",
        case: |c| {
            let same = |begin| c.replies(begin, begin);
            c.is_any(&["FUNCTION LOAD", "FUNCTION RESTORE"])
                && (same("-ERR Function ") || same("-ERR Library "))
                && [c.ours, c.theirs]
                    .iter()
                    .all(|r| r.ends_with(b" already exists\r\n"))
        },
        then: Then::GoOn,
    },
    Difference {
        from: &[Redis, Valkey],
        why: "XREADGROUP takes CLAIM, and XADD takes IDMP and IDMPAUTO, as in Redis 8.6",
        case: |c| c.is_any(&["XREADGROUP", "XADD"]) && c.was_sent("CLAIM"),
        then: Then::EndRound,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_covers_its_server_command_and_replies_alone() {
        let named = |server, line: &str, ours: &str, theirs: &str| {
            let args: Vec<&str> = line.split(' ').collect();
            let case = Case::new(server, &[], &args, ours.as_bytes(), theirs.as_bytes());
            named(&case).map(|(_, then)| then)
        };
        let (ours, theirs) = (":0\r\n", "-ERR syntax error\r\n");
        assert_eq!(named(Redis, "bitcount k 1", ours, theirs), Some(Then::GoOn));
        assert_eq!(named(Redis, "BITCOUNT k 1 2", ours, theirs), None);
        assert_eq!(named(Redis, "BITPOS k 1", ours, theirs), None);
        assert_eq!(named(Valkey, "BITCOUNT k 1", ours, theirs), None);
        assert_eq!(named(Redis, "BITCOUNT k 1", theirs, ours), None);
        assert_eq!(named(Redis, "DBSIZE", ":1\r\n", ":2\r\n"), None);
    }
}
