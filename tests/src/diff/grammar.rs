//! The language in which the arguments of a command are written down, and the generator that speaks it.
//!
//! A row's grammar is one string, close to a command's documented syntax:
//!
//! | written | means |
//! |---|---|
//! | `EX` | the word, mostly in upper case, sometimes not |
//! | `'timeout` | a word that is written in lower case |
//! | `key`, `int`, ... | a random argument of that kind, often an odd one: see [`argument`] |
//! | `[a b]` | nothing, or `a b` |
//! | `(a\|b c)` | one of the alternatives (in `[]` too) |
//! | `x+`, `x*` | one to four times, none to three times |
//! | `#(a b)+` | how many times, then that many times |
//! | `{[a] [b]}` | the parts in random order |
//! | `@valkey x`, `@redis x`, `@newest x` | an alternative that only that server knows (the newest Redis), used in rounds played against it alone |
//!
//! One command in eight is then damaged: an argument dropped, doubled, exchanged for something odd, or added.

use crate::rng::Rng;

/// Which servers know a command or an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// All of them.
    Common,
    /// Only Valkey.
    Valkey,
    /// Only Redis 8.
    Redis,
    /// Only the newest Redis.
    Newest,
}

impl Dialect {
    /// Whether something of dialect `self` may be sent in a round of dialect `round`.
    pub fn spoken_in(self, round: Dialect) -> bool {
        self == Dialect::Common
            || self == round
            || (self == Dialect::Redis && round == Dialect::Newest)
    }
}

/// A parsed grammar.
#[derive(Debug)]
pub struct Grammar(Vec<Node>);

#[derive(Debug)]
enum Node {
    Word(&'static str),
    Kind(&'static str),
    Choice {
        optional: bool,
        branches: Vec<(Dialect, Vec<Node>)>,
    },
    Repeat {
        at_least: usize,
        counted: bool,
        body: Box<Node>,
    },
    Shuffled(Vec<Node>),
}

impl Grammar {
    /// Whether anything in it belongs to this dialect alone.
    pub fn knows(&self, dialect: Dialect) -> bool {
        fn any(nodes: &[Node], dialect: Dialect) -> bool {
            nodes.iter().any(|node| match node {
                Node::Word(_) | Node::Kind(_) => false,
                Node::Choice { branches, .. } => branches
                    .iter()
                    .any(|(own, nodes)| *own == dialect || any(nodes, dialect)),
                Node::Repeat { body, .. } => any(std::slice::from_ref(body), dialect),
                Node::Shuffled(parts) => any(parts, dialect),
            })
        }
        any(&self.0, dialect)
    }

    /// Parses a row's grammar; panics on a mistake in it, since grammars are part of the program.
    pub fn parse(text: &'static str) -> Grammar {
        let mut tokens = tokens(text);
        tokens.reverse();
        let nodes = sequence(&mut tokens, text);
        assert!(tokens.is_empty(), "unbalanced grammar: {text}");
        Grammar(nodes)
    }

    /// Random arguments, without the command's name, for a round of this dialect; and the dialect they turned out to be.
    pub fn generate(&self, rng: &mut Rng, round: Dialect, now_ms: u64) -> (Dialect, Vec<Vec<u8>>) {
        let mut sink = Sink {
            rng,
            round,
            now_ms,
            spoken: Dialect::Common,
            args: Vec::new(),
        };
        sink.all(&self.0);
        (sink.spoken, sink.args)
    }
}

fn tokens(text: &'static str) -> Vec<&'static str> {
    let mut tokens = Vec::new();
    let mut start = None;
    for (i, c) in text.char_indices() {
        let single = "[](){}|+*#".contains(c);
        if single || c == ' ' {
            if let Some(start) = start.take() {
                tokens.push(&text[start..i]);
            }
            if single {
                tokens.push(&text[i..=i]);
            }
        } else if start.is_none() {
            start = Some(i);
        }
    }
    if let Some(start) = start {
        tokens.push(&text[start..]);
    }
    tokens
}

/// Reads nodes up to a closing bracket or a bar; `rest` is reversed, so that its end is the next token.
fn sequence(rest: &mut Vec<&'static str>, text: &str) -> Vec<Node> {
    let mut nodes = Vec::new();
    while let Some(&token) = rest.last() {
        if ["]", ")", "}", "|"].contains(&token) {
            break;
        }
        rest.pop();
        let counted = token == "#";
        let opener = if counted {
            rest.pop().unwrap_or_default()
        } else {
            token
        };
        let node = match opener {
            "[" => choice(rest, true, "]", text),
            "(" => choice(rest, false, ")", text),
            "{" => {
                let parts = sequence(rest, text);
                assert_eq!(rest.pop(), Some("}"), "unbalanced grammar: {text}");
                Node::Shuffled(parts)
            }
            word if word.starts_with(|c: char| c.is_ascii_lowercase()) => Node::Kind(word),
            word => Node::Word(word.trim_start_matches('\'')),
        };
        nodes.push(match rest.last() {
            Some(&("+" | "*")) => {
                let at_least = usize::from(rest.pop() == Some("+"));
                Node::Repeat {
                    at_least,
                    counted,
                    body: Box::new(node),
                }
            }
            _ => node,
        });
    }
    nodes
}

fn choice(rest: &mut Vec<&'static str>, optional: bool, closer: &str, text: &str) -> Node {
    let mut branches = Vec::new();
    loop {
        let dialect = match rest.last() {
            Some(&"@valkey") => Dialect::Valkey,
            Some(&"@redis") => Dialect::Redis,
            Some(&"@newest") => Dialect::Newest,
            _ => Dialect::Common,
        };
        if dialect != Dialect::Common {
            rest.pop();
        }
        branches.push((dialect, sequence(rest, text)));
        match rest.pop() {
            Some("|") => {}
            Some(end) if end == closer => return Node::Choice { optional, branches },
            _ => panic!("unbalanced grammar: {text}"),
        }
    }
}

struct Sink<'a> {
    rng: &'a mut Rng,
    round: Dialect,
    now_ms: u64,
    spoken: Dialect,
    args: Vec<Vec<u8>>,
}

impl Sink<'_> {
    fn all(&mut self, nodes: &[Node]) {
        for node in nodes {
            self.one(node);
        }
    }

    fn one(&mut self, node: &Node) {
        match node {
            Node::Word(word) => self.args.push(random_case(self.rng, word)),
            Node::Kind(kind) => self.args.push(argument(self.rng, kind, self.now_ms)),
            Node::Choice { optional, branches } => {
                let spoken: Vec<_> = branches
                    .iter()
                    .filter(|(d, _)| d.spoken_in(self.round))
                    .collect();
                if spoken.is_empty() || (*optional && self.rng.chance(65)) {
                    return;
                }
                let (dialect, branch) = *self.rng.pick(&spoken);
                if *dialect != Dialect::Common {
                    self.spoken = *dialect;
                }
                self.all(branch);
            }
            Node::Repeat {
                at_least,
                counted,
                body,
            } => {
                let times = at_least + self.rng.below(4);
                if *counted {
                    self.args.push(times.to_string().into_bytes());
                }
                for _ in 0..times {
                    self.one(body);
                }
            }
            Node::Shuffled(parts) => {
                let mut order: Vec<usize> = (0..parts.len()).collect();
                for i in (1..order.len()).rev() {
                    order.swap(i, self.rng.below(i + 1));
                }
                for i in order {
                    self.one(&parts[i]);
                }
            }
        }
    }
}

/// The word, one time in ten in lower or mixed case.
pub fn random_case(rng: &mut Rng, word: &str) -> Vec<u8> {
    match rng.below(20) {
        0 => word.to_ascii_lowercase().into_bytes(),
        1 => word
            .bytes()
            .enumerate()
            .map(|(i, b)| {
                if i % 2 == 0 {
                    b.to_ascii_lowercase()
                } else {
                    b
                }
            })
            .collect(),
        _ => word.as_bytes().to_vec(),
    }
}

const KEYS: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"key:1",
    b"key:2",
    b"{t}x",
    b"",
    b"\x00\xff\r\n",
    b"missing",
];

const VALUES: &[&[u8]] = &[
    b"",
    b"hello",
    b"0",
    b"1",
    b"10",
    b"-7",
    b"3.0",
    b"1.5",
    b"-0",
    b"007",
    b" 1",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"1e5",
    b"nan",
    b"\x00\x01\xfe\xff\r\n",
    b"exactly forty-four bytes: the embedded limit",
    b"forty-five bytes, one over the embedded limit",
    b"ohmytext, mynewtext, and some more words that are shared between these longer values",
    b"mynewtext and ohmytext: some other words shared between values that are longer still",
];

/// What DIGEST answers for the first of [`VALUES`] and some others, in either case, and what is no digest.
const DIGESTS: &[&str] = &[
    "2d06800538d394c2",
    "9555e8555c62dcfd",
    "1982E3A7BB241055",
    "65cd25028f98f158",
    "d0698444ed39c832",
    "524bed8349fc77ae",
    "0123456789abcdeg",
    "0123456789abcde",
];

/// Names of a hash's fields: few, so that commands meet.
const FIELDS: &[&[u8]] = &[
    b"f",
    b"g",
    b"h",
    b"field:1",
    b"field:2",
    b"0",
    b"17",
    b"",
    b"\x00\xff\r\n",
    b"a name of a length that no small head can hold, and more",
];

/// What a number may look like on the way to being refused.
const ODD_NUMBERS: &[&str] = &[
    "-0",
    "+1",
    "01",
    " 1",
    "1 ",
    "",
    "abc",
    "1.0",
    "1e3",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "0x10",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
];

/// A random argument of a kind. The numbers that make a server reserve hundreds of megabytes are left out.
///
/// `now_ms`: the time of the round in milliseconds since 1970, from which absolute times are made. Expiries lie either in
/// the past or at least 100 seconds ahead, so that no key expires while a round runs.
pub fn argument(rng: &mut Rng, kind: &str, now_ms: u64) -> Vec<u8> {
    let fixed = |rng: &mut Rng, usual: &[&str]| -> Vec<u8> {
        let odd = rng.chance(12);
        let text = if odd {
            rng.pick(ODD_NUMBERS)
        } else {
            rng.pick(usual)
        };
        text.as_bytes().to_vec()
    };
    match kind {
        "key" => rng.pick(KEYS).to_vec(),
        "val" => rng.pick(VALUES).to_vec(),
        "int" => fixed(
            rng,
            &[
                "0",
                "1",
                "-1",
                "2",
                "100",
                "-1000",
                "4294967296",
                "9223372036854775806",
            ],
        ),
        "float" => fixed(
            rng,
            &[
                "0", "1", "-1.5", "0.1", "3.0e3", "1e17", "1e-7", "5e-324", "1.7e308", "-0.0",
            ],
        ),
        "sec" => fixed(
            rng,
            &[
                "100",
                "1000",
                "1000000",
                "100",
                "0",
                "-1",
                "9223372036854775",
            ],
        ),
        // Never twice the same, so that GT does not depend on whether a millisecond has passed since the last time.
        "newsec" => (100 + rng.below(1_000_000_000)).to_string().into_bytes(),
        "newms" => (100_000 + rng.below(1_000_000_000_000))
            .to_string()
            .into_bytes(),
        "ms" => fixed(rng, &["100000", "1000000", "123456", "100000", "0", "-1"]),
        "at" => {
            let (soon, late) = (
                (now_ms / 1000 + 1000).to_string(),
                (now_ms / 1000 + 86_400).to_string(),
            );
            fixed(rng, &[&soon, &late, &soon, "1", "0", "-5"])
        }
        "atms" => {
            let (soon, late) = (
                (now_ms + 1_000_000).to_string(),
                (now_ms + 86_400_123).to_string(),
            );
            fixed(rng, &[&soon, &late, &soon, "1", "0", "-5"])
        }
        "pos" => fixed(
            rng,
            &[
                "0",
                "1",
                "-1",
                "-2",
                "3",
                "5",
                "-100",
                "100",
                "44",
                "4294967295",
            ],
        ),
        "offset" => fixed(rng, &["0", "1", "5", "10", "50", "-1", "536870912"]),
        "bitpos" => fixed(
            rng,
            &[
                "0",
                "1",
                "7",
                "8",
                "9",
                "33",
                "100",
                "1000",
                "-1",
                "4294967296",
            ],
        ),
        "bit" => fixed(rng, &["0", "1", "0", "1", "0", "1", "2"]),
        "bittype" => fixed(
            rng,
            &[
                "u1", "u8", "i8", "u4", "i5", "u63", "i64", "u64", "i65", "i0", "u7", "x8", "U8",
            ],
        ),
        "bitfield" => fixed(
            rng,
            &[
                "0", "1", "7", "#0", "#1", "#3", "100", "-1", "#-1", "#", "1000",
            ],
        ),
        "db" => fixed(rng, &["0", "1", "2", "0", "1", "15", "16", "-1"]),
        "field" => rng.pick(FIELDS).to_vec(),
        // Elements of lists: a few that are often equal, and some that fill the nodes of a list or are larger than one.
        "elem" => match rng.below(16) {
            0..6 => rng.pick(VALUES).to_vec(),
            6..12 => rng.below(12).to_string().into_bytes(),
            12..14 => vec![*rng.pick(b"xy"); *rng.pick(&[63, 64, 100, 127, 500, 1000])],
            14 => vec![*rng.pick(b"xy"); 4040 + rng.below(70)],
            _ => vec![*rng.pick(b"xy"); *rng.pick(&[2000, 3000, 5000, 8170, 8192, 8193, 9000])],
        },
        "nth" => (rng.below(24) as i64 - 12).to_string().into_bytes(),
        "count" => fixed(rng, &["1", "2", "10", "1000", "0", "-1"]),
        "bound" => fixed(
            rng,
            &[
                "-inf", "+inf", "0", "(0", "1", "(1", "-1.5", "(3.0e3", "1e17", "(inf", "", "(",
            ],
        ),
        "lex" => {
            let bounds = [
                "-", "+", "[", "(", "[hello", "(hello", "[1", "(1", "[007", "(9", "[z", "(ohmy",
                "hello", "+x",
            ];
            rng.pick(&bounds).as_bytes().to_vec()
        }
        "pattern" => {
            let patterns = [
                "*", "key:*", "key:?", "[ab]", "[^a]", "[a-c]", "k*[0-9]", "\\a", "nothing*", "",
                "**", "[", "a*b",
            ];
            rng.pick(&patterns).as_bytes().to_vec()
        }
        // Patterns that meet only commands which Redpoll has.
        "listpattern" => {
            let patterns = [
                "append*",
                "[gs]et",
                "GETR*",
                "object|enc*",
                "config|get",
                "",
                "nothing*",
                "\\set",
            ];
            rng.pick(&patterns).as_bytes().to_vec()
        }
        "type" => rng
            .pick(&[
                "string", "list", "set", "zset", "hash", "stream", "STRING", "nonsense",
            ])
            .as_bytes()
            .to_vec(),
        "text" => rng
            .pick(&[
                &b"hello"[..],
                b"",
                b"a b",
                b"\x00\xff",
                b"line\r\nbreak",
                b"\xc3\xa9",
            ])
            .to_vec(),
        "name" => rng
            .pick(&["alice", "bob", "", "with space", "line\nbreak", "x-1.2.3"])
            .as_bytes()
            .to_vec(),
        "payload" => {
            let mut payload = rng.pick(PAYLOADS).to_vec();
            if rng.chance(10) {
                let at = rng.below(payload.len());
                payload[at] ^= 1;
            }
            payload
        }
        "weights" => rng
            .pick(&[
                "w*", "w*", "h*->f", "*", "w*->f", "h*->", "key:*", "nothing*",
            ])
            .as_bytes()
            .to_vec(),
        "pattern-of-get" => rng
            .pick(&[
                "#",
                "w*",
                "h*->f",
                "fixed",
                "h*->nothing",
                "w*->",
                "*",
                "->*",
                "h*->f->g",
                "",
            ])
            .as_bytes()
            .to_vec(),
        "sort-script" => rng
            .pick(&[
                "return redis.pcall('SORT', KEYS[1], unpack(ARGV))",
                "return redis.pcall('sort_ro', KEYS[1], unpack(ARGV))",
            ])
            .as_bytes()
            .to_vec(),
        // Members of sorted sets that grow large, and scores of which many are the same.
        "zmember" => format!("m{}", rng.below(400)).into_bytes(),
        "zscore" => rng
            .pick(&[
                "0",
                "1",
                "1",
                "2",
                "-1",
                "2.5",
                "1e20",
                "-inf",
                "inf",
                "0.1",
                "1.0000000000000002",
            ])
            .as_bytes()
            .to_vec(),
        "zbound" => rng
            .pick(&[
                "-inf", "+inf", "0", "(0", "1", "(1", "2", "(2.5", "(-inf", "(inf", "1e20", "0.1",
            ])
            .as_bytes()
            .to_vec(),
        "zlex" => match rng.below(6) {
            0 => b"-".to_vec(),
            1 => b"+".to_vec(),
            n => format!("{}m{}", if n < 4 { "[" } else { "(" }, rng.below(400)).into_bytes(),
        },
        "zrank" => (rng.below(300) as i64 - 150).to_string().into_bytes(),
        // Elements of HyperLogLogs: some that are often the same, or so many that they are rarely.
        "hkey" => match rng.below(3) {
            0 => rng.pick(KEYS).to_vec(),
            _ => rng.pick(&["hll1", "hll2"]).as_bytes().to_vec(),
        },
        "hllelem" => rng.below(60).to_string().into_bytes(),
        "hllmany" => rng.below(4000).to_string().into_bytes(),
        "hllbyte" => vec![*rng.pick(b"\x00\x01\x80\xff\xfd")],
        // Strings that are HyperLogLogs, or nearly. None ends within a run: Redis then goes on reading past the end.
        "hll" => {
            let runs: &[&[u8]] = &[
                b"\x7f\xff",
                b"\x7f\xfe\x80",
                b"\x80\x84\xfc\xff\x7f\xf4",
                b"\x00\x00",
                b"\x7f\xff\x00",
                b"",
            ];
            let mut bytes = [
                &b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80"[..],
                *rng.pick::<&[u8]>(runs),
            ]
            .concat();
            if rng.chance(5) {
                let at = rng.below(8);
                bytes[at] ^= 1;
            }
            bytes
        }
        "lon" => fixed(
            rng,
            &[
                "13.361389",
                "15.087269",
                "13.5",
                "0",
                "-0.1",
                "180",
                "-180",
                "179.9999",
                "-73.98",
                "2.35",
                "120.5",
                "15",
            ],
        ),
        "lat" => fixed(
            rng,
            &[
                "38.115556",
                "37.502669",
                "38",
                "0",
                "-0.1",
                "85.05112878",
                "-85.05112878",
                "66.5",
                "80.1",
                "40.7",
                "-33.9",
            ],
        ),
        "radius" => fixed(
            rng,
            &[
                "0", "1", "100", "200.5", "1000", "5000", "20000", "100000", "30000000", "1e300",
                "-1", "0.001",
            ],
        ),
        "geounit" => rng.pick(&["m", "km", "km", "ft", "mi"]).as_bytes().to_vec(),
        "place" => rng
            .pick(&["Palermo", "Catania", "1", "2", "x", "y", "z", ""])
            .as_bytes()
            .to_vec(),
        // Streams: few keys, IDs that are often there, and IDs that mostly go up.
        "skey" => rng
            .pick(&[
                &b"s:1"[..],
                b"s:1",
                b"s:1",
                b"s:1",
                b"s:1",
                b"s:2",
                b"s:2",
                b"s:2",
                b"a",
                b"missing",
            ])
            .to_vec(),
        "sid" => match rng.below(24) {
            0 => rng
                .pick(&["-", "+", "$", ">", "1-*", "(1-1"])
                .as_bytes()
                .to_vec(),
            1 => rng.pick(ODD_NUMBERS).as_bytes().to_vec(),
            2 => rng
                .pick(&[
                    "0",
                    "0-0",
                    "0-1",
                    "18446744073709551615-18446744073709551615",
                ])
                .as_bytes()
                .to_vec(),
            3..6 => (1 + rng.below(12)).to_string().into_bytes(),
            _ => format!("{}-{}", 1 + rng.below(12), rng.below(3)).into_bytes(),
        },
        "newsid" => match rng.below(16) {
            0 => rng
                .pick(&["0-0", "0-*", "1-*-*", "-", "18446744073709551615-*", "7"])
                .as_bytes()
                .to_vec(),
            1..8 => format!("{}-{}", 1 + rng.below(12), rng.below(3)).into_bytes(),
            _ => format!("{}-*", 1 + rng.below(13)).into_bytes(),
        },
        "sbound" => match rng.below(12) {
            0..3 => b"-".to_vec(),
            3..6 => b"+".to_vec(),
            6..8 => format!("({}-{}", 1 + rng.below(12), rng.below(3)).into_bytes(),
            8 => rng
                .pick(&[
                    "(-",
                    "(+",
                    "(0-0",
                    "(",
                    "(18446744073709551615-18446744073709551615",
                ])
                .as_bytes()
                .to_vec(),
            _ => format!("{}-{}", 1 + rng.below(12), rng.below(3)).into_bytes(),
        },
        // A stream whose IDs are in the future, its IDs, a producer, and the name of one of its messages.
        "fkey" => fixed(rng, &["fs1", "fs1", "fs1", "fs1", "fs2"]),
        "fsid" => format!("9999999999999-{}", 1 + rng.below(7)).into_bytes(),
        "star" => b"*".to_vec(),
        "pid" => match rng.below(20) {
            0 => Vec::new(),
            n => vec![b"pppqqr"[n % 6]],
        },
        "iid" => match rng.below(30) {
            0 => Vec::new(),
            n => vec![b"abcdef"[n % 6]],
        },
        "group" => rng
            .pick(&[&b"g"[..], b"g", b"g", b"h", b"h", b"nogroup"])
            .to_vec(),
        "consumer" => rng.pick(&[&b"c"[..], b"c", b"d", b""]).to_vec(),
        "idle" => fixed(rng, &["0", "0", "0", "10000000", "-1"]),
        "small" => fixed(rng, &["1", "2", "3", "5", "0", "-1"]),
        "id" => fixed(rng, &["1000000", "2000000", "0", "-1"]),
        // XXH3 of some of the values above, and what is none.
        "digest" => fixed(rng, DIGESTS),
        _ => super::words::word(rng, kind)
            .unwrap_or_else(|| panic!("no such kind of argument: {kind}")),
    }
}

/// What DUMP gave of a string, a number, a list, a sorted set, a hash and a set at Redis 7.0.
const PAYLOADS: &[&[u8]] = &[
    b"\x00\x05hello\x0a\x00cr\xdfve4 \x0a",
    b"\x00\xc0\xf9\x0a\x00^&\xd10\xd7\xa2B\xab",
    b"\x12\x01\x02\x0c\x0c\x00\x00\x00\x02\x00\x81a\x02\x0a\x01\xff\x0a\x00-\x8aa\x0a?3\xd9Y",
    b"\x11\x0f\x0f\x00\x00\x00\x02\x00\x81m\x02\x831.5\x04\xff\x0a\x00I\xd9\x87`x%N\x8a",
    b"\x10\x0d\x0d\x00\x00\x00\x02\x00\x81f\x02\x81v\x02\xff\x0a\x00 \xf1=D#T\x08\x9d",
    b"\x0b\x0c\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00\x02\x00\x0a\x00oy8\xb14\xeb .",
];

/// Damages a command (name included) in one way that a server has to refuse or to bear with.
pub fn damage(rng: &mut Rng, args: &mut Vec<Vec<u8>>, now_ms: u64) {
    let somewhere = |rng: &mut Rng, args: &[Vec<u8>]| 1 + rng.below(args.len() - 1);
    match rng.below(6) {
        0 => {
            args.pop();
        }
        1 if args.len() > 1 => {
            let i = somewhere(rng, args);
            args.remove(i);
        }
        2 if args.len() > 1 => {
            let i = somewhere(rng, args);
            let twice = args[i].clone();
            args.push(twice);
        }
        3 if args.len() > 1 => {
            let i = somewhere(rng, args);
            args[i] = rng.pick(ODD_NUMBERS).as_bytes().to_vec();
        }
        4 if args.len() > 2 => {
            let (i, j) = (somewhere(rng, args), somewhere(rng, args));
            // A small number where a time stands would let a key expire while the round runs.
            let is_small = |arg: &[u8]| [&b"1"[..], b"2", b"10"].contains(&arg);
            if !is_small(&args[i]) && !is_small(&args[j]) {
                args.swap(i, j);
            }
        }
        _ => {
            let kind = *rng.pick(&["text", "val", "int", "key", "name"]);
            args.push(argument(rng, kind, now_ms));
        }
    }
    if args.is_empty() {
        args.push(b"PING".to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generated(text: &'static str, round: Dialect) -> Vec<String> {
        let grammar = Grammar::parse(text);
        let mut rng = Rng::new(7);
        (0..200)
            .map(|_| {
                let (_, args) = grammar.generate(&mut rng, round, 0);
                let words = args
                    .iter()
                    .map(|a| String::from_utf8_lossy(a).to_uppercase());
                words.collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    #[test]
    fn choices_options_and_order() {
        let lines = generated("A [B] (C|D E) {[X] [Y]}", Dialect::Common);
        for wanted in ["A C", "A D E", "A B C", "A C X Y", "A C Y X"] {
            assert!(
                lines.iter().any(|line| line == wanted),
                "{wanted} is never generated"
            );
        }
        assert!(lines.iter().all(|line| !line.contains("C D")));
    }

    #[test]
    fn counted_repetition_says_how_often() {
        for line in generated("#(K V)+", Dialect::Common) {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(
                words.len(),
                1 + 2 * words[0].parse::<usize>().expect("a count")
            );
        }
    }

    #[test]
    fn a_dialect_is_spoken_only_in_its_own_rounds() {
        let text = "(C|@valkey V|@redis R)";
        assert!(
            generated(text, Dialect::Common)
                .iter()
                .all(|line| line == "C")
        );
        assert!(
            generated(text, Dialect::Valkey)
                .iter()
                .any(|line| line == "V")
        );
        assert!(
            generated(text, Dialect::Redis)
                .iter()
                .all(|line| line != "V")
        );
    }
}
