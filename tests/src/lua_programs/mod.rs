//! Small Lua programs and what a real server replies to them, one row each: `p(script, keys, arguments, reply)`.
//!
//! Recorded from Redis 8.2.3, each program running against an empty database; [`p3`] has the reply in RESP3 too, where it
//! differs. Other servers word some errors in other ways (Valkey leaves out the digest), so that their replies are to be
//! compared with care. Programs leave no settings behind: those of cjson are changed in instances of their own.
//!
//! The test of the crate `lua` includes this file and runs the programs that call no commands.

pub mod api;
pub mod bytes;
pub mod cjson;
pub mod cmsgpack;
pub mod conversions;
pub mod limits;
pub mod sandbox;

/// A program and what it must reply.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The source, as EVAL gets it.
    pub script: &'static [u8],
    /// KEYS
    pub keys: &'static [&'static [u8]],
    /// ARGV
    pub args: &'static [&'static [u8]],
    /// The bytes of the reply to a client that speaks RESP2.
    pub reply: &'static [u8],
    /// The same in RESP3.
    pub reply3: &'static [u8],
}

impl Program {
    /// Whether it runs commands, or asks something else of the server.
    pub fn calls(&self) -> bool {
        [&b"call("[..], b"redis.call", b"acl_check"]
            .iter()
            .any(|text| self.script.windows(text.len()).any(|part| part == *text))
    }
}

/// A program whose reply is the same in both protocols.
const fn p(
    script: &'static [u8],
    keys: &'static [&'static [u8]],
    args: &'static [&'static [u8]],
    reply: &'static [u8],
) -> Program {
    p3(script, keys, args, reply, reply)
}

/// A program with its replies in RESP2 and RESP3.
const fn p3(
    script: &'static [u8],
    keys: &'static [&'static [u8]],
    args: &'static [&'static [u8]],
    reply: &'static [u8],
    reply3: &'static [u8],
) -> Program {
    Program {
        script,
        keys,
        args,
        reply,
        reply3,
    }
}

/// Every program, by topic.
pub const TOPICS: &[(&str, &[Program])] = &[
    ("sandbox", sandbox::SANDBOX),
    ("api", api::API),
    ("conversions", conversions::CONVERSIONS),
    ("shebang", conversions::SHEBANG),
    ("cjson", cjson::CJSON),
    ("cmsgpack", cmsgpack::CMSGPACK),
    ("struct", bytes::STRUCT),
    ("bit", bytes::BIT),
    ("limits", limits::LIMITS),
    ("libraries", limits::LIBRARIES),
];

/// Every program.
pub fn programs() -> impl Iterator<Item = &'static Program> {
    TOPICS.iter().flat_map(|(_, programs)| programs.iter())
}
