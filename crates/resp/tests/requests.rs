//! Requests whole, in pieces and malformed: what [`Batch::fill`] makes of them.

use proptest::prelude::*;
use redpoll_resp::{Batch, Limits, Parser, write_command};

/// What came of a stream of bytes: the commands, and the error that ended it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    commands: Vec<Vec<Vec<u8>>>,
    error: Option<String>,
}

/// Runs a stream through a parser as a connection does, its bytes arriving in the given pieces.
fn receive<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, limits: &Limits) -> Outcome {
    let mut outcome = Outcome::default();
    let mut parser = Parser::new();
    let mut buffer = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let mut batch = Batch::new();
            let (consumed, error) = batch.fill(&mut parser, &buffer, limits, 3);
            outcome.commands.extend(batch.iter().map(owned));
            let rewritten = parser.take_rewritten();
            if let Some(command) = &rewritten {
                let mut own = Batch::new();
                assert_eq!(
                    own.fill(&mut Parser::new(), command, &Limits::default(), 2),
                    (command.len(), None)
                );
                assert_eq!(own.len(), 1);
                outcome.commands.push(owned(own.get(0)));
            }
            let done = batch.is_empty() && rewritten.is_none();
            // A command of which nothing has been seen is not one half received.
            assert!(error.is_some() || consumed < buffer.len() || !parser.is_mid_command());
            buffer.drain(..consumed);
            if let Some(error) = error {
                outcome.error = Some(error.to_string());
                return outcome;
            }
            if done {
                break;
            }
        }
    }
    outcome
}

fn owned(args: &[&[u8]]) -> Vec<Vec<u8>> {
    args.iter().map(|arg| arg.to_vec()).collect()
}

fn whole(stream: &[u8]) -> Outcome {
    receive([stream], &Limits::default())
}

/// Commands as lists of words, for streams of which nothing is malformed.
fn commands(stream: &[u8]) -> Vec<Vec<String>> {
    let outcome = whole(stream);
    assert_eq!(outcome.error, None, "{}", stream.escape_ascii());
    let text = |arg: &Vec<u8>| arg.escape_ascii().to_string();
    outcome
        .commands
        .iter()
        .map(|args| args.iter().map(text).collect())
        .collect()
}

fn error(stream: &[u8]) -> Option<String> {
    whole(stream).error
}

#[test]
fn arrays_of_bulk_strings() {
    assert_eq!(
        commands(b"*2\r\n$3\r\nGET\r\n$16\r\n0123456789abcdef\r\n"),
        [["GET", "0123456789abcdef"]]
    );
    assert_eq!(
        commands(b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n"),
        [["PING"], ["PING"]]
    );
    assert_eq!(commands(b"*2\r\n$0\r\n\r\n$2\r\n\r\n\r\n"), [["", r"\r\n"]]);
    let long = "x".repeat(123_456);
    assert_eq!(
        commands(format!("*2\r\n$4\r\nECHO\r\n$123456\r\n{long}\r\n").as_bytes()),
        [["ECHO", &long]]
    );
    let hundred = [&b"*100\r\n"[..], &b"$1\r\na\r\n".repeat(100)].concat();
    assert_eq!(commands(&hundred), [vec!["a"; 100]]);
}

#[test]
fn commands_without_arguments_are_skipped() {
    assert_eq!(
        commands(b"*0\r\n*-1\r\n*-5\r\n*-9223372036854775808\r\n\r\n\n  \r\n*1\r\n$4\r\nPING\r\n"),
        [["PING"]]
    );
}

#[test]
fn inline_commands() {
    assert_eq!(commands(b"PING\r\nPING\n"), [["PING"], ["PING"]]);
    assert_eq!(commands(b"\t SET  k\tv \r\n"), [["SET", "k", "v"]]);
    // A carriage return that is not the line's end separates words.
    assert_eq!(
        commands(b"ECHO a\rb\r\nPING \r\r\n"),
        [vec!["ECHO", "a", "b"], vec!["PING"]]
    );
    // Vertical tab and form feed are skipped before a word and part of it within.
    assert_eq!(
        commands(b"\x0bPING\r\nECHO a\x0bb\x0c\r\n"),
        [vec!["PING"], vec!["ECHO", r"a\x0bb\x0c"]]
    );
    assert_eq!(commands(b"$4\r\nPING\r\n"), [["$4"], ["PING"]]);
    assert_eq!(commands(b"ECHO \\x41\r\n"), [["ECHO", r"\\x41"]]);
}

#[test]
fn quoted_inline_commands() {
    let cases: [(&[u8], &str); 13] = [
        (br#"ECHO "a b""#, "a b"),
        (br#"ECHO """#, ""),
        (br#"ECHO 'a "b" c'"#, r#"a \"b\" c"#),
        (br#"ECHO "it's""#, r"it\'s"),
        (
            br#"ECHO "a\x41\x7e\n\r\t\b\a\q\\\"""#,
            r#"aA~\n\r\t\x08\x07q\\\""#,
        ),
        (br#"ECHO "\x00\xff""#, r"\x00\xff"),
        // Not two hex digits: an escaped x.
        (br#"ECHO "a\x4""#, "ax4"),
        (br#"ECHO "a\x4g""#, "ax4g"),
        (br#"ECHO 'a\'b\n'"#, r"a\'b\\n"),
        (br#"ECHO foo"bar""#, "foobar"),
        (br#"ECHO foo'b"ar'"#, r#"foob\"ar"#),
        (br#""ECHO" "a""#, "a"),
        (br#"'EC'"#, "EC"),
    ];
    for (line, word) in cases {
        let got = commands(&[line, &b"\r\n"[..]].concat());
        assert_eq!(got[0].last().unwrap(), word, "{}", line.escape_ascii());
        assert_eq!(got.len(), 1);
    }
    // The line ends before quotes are looked at.
    assert_eq!(
        error(b"ECHO \"a\nb\"\r\n").unwrap(),
        "unbalanced quotes in request"
    );
    // Words before and after the one that needed rewriting keep their places, and so do the commands around it.
    let stream = b"PING\r\nMSET a \"b c\" \"d\\n\" e 'f' g\\h\r\nPING x\r\n";
    let mset = vec!["MSET", "a", "b c", r"d\n", "e", "f", r"g\\h"];
    assert_eq!(commands(stream), [vec!["PING"], mset, vec!["PING", "x"]]);
}

#[test]
fn unbalanced_quotes() {
    let lines: [&[u8]; 9] = [
        b"ECHO \"foo",
        b"ECHO 'foo",
        b"ECHO \"foo\"bar",
        b"ECHO 'foo'x",
        b"ECHO foo\"bar\"'baz'",
        b"ECHO \"abc\\\"",
        b"ECHO \"",
        b"ECHO 'a\\'",
        b"ECHO a\"",
    ];
    for line in lines {
        let error = error(&[line, b"\r\n"].concat());
        assert_eq!(
            error.as_deref(),
            Some("unbalanced quotes in request"),
            "{}",
            line.escape_ascii()
        );
    }
}

#[test]
fn malformed_requests_and_their_errors() {
    let cases: [(&[u8], &str); 31] = [
        (b"*abc\r\n", "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*03\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"* 1\r\n", "invalid multibulk length"),
        (b"*1 \r\n", "invalid multibulk length"),
        (b"*-0\r\n", "invalid multibulk length"),
        (b"*3\x00\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*9999999999\r\n", "invalid multibulk length"),
        (b"*9223372036854775808\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\r\n+PING\r\n", "expected '$', got '+'"),
        (b"*1\r\n*1\r\n", "expected '$', got '*'"),
        (b"*1\r\n+4\r\nPING\r\n", "expected '$', got '+'"),
        (b"*1\r\n\xe93\r\n", "expected '$', got '\u{e9}'"),
        (b"*2\r\n$1\r\na\r\nb\r\n", "expected '$', got 'b'"),
        (b"*1\r\n\r\n", "expected '$', got '\r'"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$abc\r\n", "invalid bulk length"),
        (b"*1\r\n$\r\n", "invalid bulk length"),
        (b"*1\r\n$04\r\nPING\r\n", "invalid bulk length"),
        (b"*1\r\n$+4\r\nPING\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$4294967296\r\n", "invalid bulk length"),
        (b"*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
        (b"*1\r\n$18446744073709551616\r\n", "invalid bulk length"),
        (b"*1\r\n$4\r\nPINGxx", "invalid CRLF in request"),
        (b"*1\r\n$4\r\nPING\r\r", "invalid CRLF in request"),
        (b"*1\rx$4\r\nPING\r\n", "invalid CRLF in request"),
        (b"*1\r\n$4\rxPING\r\n", "invalid CRLF in request"),
    ];
    for (stream, text) in cases {
        assert_eq!(
            error(stream).as_deref(),
            Some(text),
            "{}",
            stream.escape_ascii()
        );
        // What came before is executed.
        let after = whole(&[b"*1\r\n$4\r\nPING\r\n", stream].concat());
        assert_eq!(
            (after.commands.len(), after.error.as_deref()),
            (1, Some(text))
        );
    }
}

#[test]
fn what_might_still_become_valid_is_waited_for() {
    let streams: [&[u8]; 9] = [
        b"",
        b"*2147483647\r\n",
        b"*1\r\n$536870912\r\n",
        b"*1\r\nP",
        b"*1\r\nP\r",
        b"*1\n$4\nPING\n",
        b"*1\r\n$4\r\nPING\r",
        b"PING",
        b"PING\r",
    ];
    for stream in streams {
        assert_eq!(
            whole(stream),
            Outcome::default(),
            "{}",
            stream.escape_ascii()
        );
    }
}

#[test]
fn endless_lines() {
    let limit = Limits::default().max_inline_bytes;
    for (start, text) in [
        (&b"*"[..], "too big mbulk count string"),
        (b"*1\r\n$", "too big bulk count string"),
        (b"P", "too big inline request"),
    ] {
        let line = start.rsplit(|&b| b == b'\n').next().unwrap().len();
        let longest = [start, &b"1".repeat(limit - line)].concat();
        assert_eq!(whole(&longest), Outcome::default());
        let too_long = [&longest[..], b"1"].concat();
        assert_eq!(error(&too_long).as_deref(), Some(text));
        // The same, its end having come with it.
        assert_eq!(
            error(&[&too_long[..], b"\r\n"].concat()).as_deref(),
            Some(text)
        );
    }
    // The longest inline command, with a bare line feed.
    let longest = [&b"ECHO "[..], &b"a".repeat(limit - 5), b"\n"].concat();
    assert_eq!(commands(&longest)[0][1].len(), limit - 5);
}

/// Redis looks for the end of an inline command in a C string. Its own suite for protocol errors sends such bytes and
/// expects a protocol error, never a reply to a command.
#[test]
fn a_nul_hides_the_end_of_an_inline_command() {
    for start in [&b"\0"[..], b"$\0", b"PI\0NG"] {
        let stream = [start, &[&b"A".repeat(1024)[..], b"\n"].concat().repeat(3)].concat();
        assert_eq!(whole(&stream), Outcome::default());
        let pieces: Vec<u8> =
            [start, &[&b"A".repeat(1024)[..], b"\n"].concat().repeat(65)].concat();
        assert_eq!(
            receive(pieces.chunks(1000), &Limits::default())
                .error
                .as_deref(),
            Some("too big inline request")
        );
    }
}

#[test]
fn limits_of_the_caller() {
    let limits = Limits {
        max_args: 2,
        max_bulk_bytes: 5,
        max_inline_bytes: 20,
        authenticated: true,
    };
    let error = |stream: &[u8]| receive([stream], &limits).error;
    assert_eq!(error(b"*2\r\n$5\r\n12345\r\n$1\r\na\r\n"), None);
    assert_eq!(
        error(b"*3\r\n").as_deref(),
        Some("invalid multibulk length")
    );
    assert_eq!(
        error(b"*1\r\n$6\r\n").as_deref(),
        Some("invalid bulk length")
    );
    assert_eq!(
        error(&b"P".repeat(21)).as_deref(),
        Some("too big inline request")
    );
    let largest = Limits {
        max_args: usize::MAX,
        max_bulk_bytes: usize::MAX,
        ..Limits::default()
    };
    let receive = |stream: &[u8]| receive([stream], &largest).error;
    assert_eq!(receive(b"*1\r\n$9223372036854775807\r\nabc"), None);
    assert_eq!(
        receive(b"*2147483648\r\n").as_deref(),
        Some("invalid multibulk length")
    );
}

#[test]
fn limits_before_authentication() {
    let limits = Limits {
        authenticated: false,
        ..Limits::default()
    };
    let run = |stream: &[u8]| receive([stream], &limits);
    assert_eq!(
        run(b"*11\r\n").error.as_deref(),
        Some("unauthenticated multibulk length")
    );
    assert_eq!(
        run(b"*10\r\n$16385\r\n").error.as_deref(),
        Some("unauthenticated bulk length")
    );
    assert_eq!(
        run(b"*2147483648\r\n").error.as_deref(),
        Some("invalid multibulk length")
    );
    assert_eq!(
        run(b"*1\r\n$536870913\r\n").error.as_deref(),
        Some("invalid bulk length")
    );
    let largest = [
        &b"*10\r\n"[..],
        &[b"$16384\r\n", &b"x".repeat(16384)[..], b"\r\n"]
            .concat()
            .repeat(10),
    ]
    .concat();
    assert_eq!(run(&largest).commands[0].len(), 10);
    assert_eq!(receive(largest.chunks(3), &limits).commands[0].len(), 10);
    // All there, and still too long.
    let long = [&b"*1\r\n$16385\r\n"[..], &[b'x'; 16385], b"\r\n"].concat();
    assert_eq!(
        run(&long).error.as_deref(),
        Some("unauthenticated bulk length")
    );
    let many = [&b"*11\r\n"[..], &b"$1\r\na\r\n".repeat(11)].concat();
    assert_eq!(
        run(&many).error.as_deref(),
        Some("unauthenticated multibulk length")
    );
    // Inline commands have only the limit of their line.
    assert_eq!(run(b"a a a a a a a a a a a a\r\n").commands[0].len(), 12);
}

#[test]
fn one_command_at_a_time_before_authentication() {
    let stream = [
        &b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n*11\r\n"[..],
        &b"$1\r\na\r\n".repeat(11),
    ]
    .concat();
    let mut parser = Parser::new();
    let mut batch = Batch::new();
    let strict = Limits {
        authenticated: false,
        ..Limits::default()
    };
    let (consumed, error) = batch.fill(&mut parser, &stream, &strict, 100);
    assert_eq!((batch.len(), error), (1, None));
    let mut batch = batch.recycle();
    let rest = &stream[consumed..];
    assert_eq!(
        batch.fill(&mut parser, rest, &Limits::default(), 100),
        (rest.len(), None)
    );
}

#[test]
fn the_number_of_commands_is_limited() {
    let stream = b"*1\r\n$4\r\nPING\r\n".repeat(10);
    let mut parser = Parser::new();
    let mut batch = Batch::new();
    assert_eq!(
        batch.fill(&mut parser, &stream, &Limits::default(), 4),
        (4 * 14, None)
    );
    assert_eq!(
        batch.fill(&mut parser, &stream[4 * 14..], &Limits::default(), 7),
        (3 * 14, None)
    );
    assert_eq!(
        (batch.len(), batch.iter().len(), batch.get(100).len()),
        (7, 7, 0)
    );
}

#[test]
fn missing_bytes_are_known_within_a_bulk_string() {
    let stream = b"*2\r\n$3\r\nSET\r\n$1000\r\n";
    let mut parser = Parser::new();
    let mut argv = Vec::new();
    for end in 0..stream.len() {
        assert_eq!(
            parser.next(&stream[..end], &Limits::default(), &mut argv),
            Ok(None)
        );
        let expected = if (8..13).contains(&end) { 13 - end } else { 0 };
        assert_eq!(parser.missing_bytes(end), expected, "after {end} bytes");
        assert_eq!(parser.is_mid_command(), end > 0);
    }
    assert_eq!(parser.next(stream, &Limits::default(), &mut argv), Ok(None));
    assert_eq!(parser.missing_bytes(stream.len()), 1002);
    assert_eq!(argv.len(), 0);
    let all = [&stream[..], &[b'x'; 1000], b"\r\n"].concat();
    assert_eq!(
        parser.next(&all, &Limits::default(), &mut argv),
        Ok(Some(all.len()))
    );
    assert_eq!(
        (parser.missing_bytes(0), parser.is_mid_command(), argv.len()),
        (0, false, 2)
    );
}

#[test]
fn nothing_more_is_parsed_until_a_rewritten_command_is_taken() {
    let mut parser = Parser::new();
    let mut argv = Vec::new();
    let limits = Limits::default();
    assert_eq!(
        parser.next(b"ECHO \"\\n\"\r\n", &limits, &mut argv),
        Ok(Some(11))
    );
    assert!(argv.is_empty());
    assert_eq!(parser.next(b"PING\r\n", &limits, &mut argv), Ok(None));
    assert_eq!(
        parser.take_rewritten().unwrap(),
        b"*2\r\n$4\r\nECHO\r\n$1\r\n\n\r\n"
    );
    assert_eq!(parser.take_rewritten(), None);
    assert_eq!(parser.next(b"PING\r\n", &limits, &mut argv), Ok(Some(6)));
    assert_eq!(argv, [b"PING"]);
}

#[test]
fn arguments_found_before_an_error_are_withdrawn() {
    let mut argv: Vec<&[u8]> = vec![b"earlier"];
    for stream in [
        &b"*2\r\n$1\r\na\r\nb\r\n"[..],
        b"ECHO a \"b\r\n",
        b"ECHO \"\\n\" \"b\r\n",
    ] {
        assert!(
            Parser::new()
                .next(stream, &Limits::default(), &mut argv)
                .is_err()
        );
        assert_eq!(argv, [b"earlier"]);
    }
}

/// A stream with every kind of command in it.
const PIPELINE: &[u8] = b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n*0\r\nPING\r\n\r\n*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\n\r\n$3\r\n*1\r\n\0\0\r\n\
    ECHO \"a\\x41 b\" c'd'\r\nECHO 'plain' \"quotes\"\n*-1\r\n*1\r\n$4\r\nQUIT\r\n";

#[test]
fn every_cut_of_a_pipeline_gives_the_same_commands() {
    let expected = whole(PIPELINE);
    assert_eq!((expected.commands.len(), &expected.error), (6, &None));
    let limits = Limits::default();
    for first in 0..=PIPELINE.len() {
        let (a, rest) = PIPELINE.split_at(first);
        assert_eq!(receive([a, rest], &limits), expected, "cut at {first}");
        for second in first..=PIPELINE.len() {
            let (b, c) = PIPELINE[first..].split_at(second - first);
            assert_eq!(
                receive([a, b, c], &limits),
                expected,
                "cut at {first} and {second}"
            );
        }
    }
    assert_eq!(receive(PIPELINE.chunks(1), &limits), expected);
}

fn argument() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(prop::sample::select(&b"\r\n$*0123456789- \"'"[..]), 0..200),
        1 => (900usize..1100).prop_map(|n| vec![b'x'; n]),
    ]
}

/// Bytes that look enough like requests to get far into the parser.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let fragments: Vec<&[u8]> = vec![
        b"*",
        b"$",
        b"\r\n",
        b"\r",
        b"\n",
        b"1",
        b"2",
        b"0",
        b"-1",
        b"10",
        b"9999999999",
        b"GET",
        b" ",
        b"\"",
        b"'",
        b"\\x41",
        b"\\",
        b"\0",
        b"*1\r\n",
        b"*2\r\n",
        b"$1\r\na\r\n",
        b"$3\r\nGET\r\n",
        b"PING\r\n",
        b"\xff",
        b"+",
    ];
    prop::collection::vec(prop::sample::select(fragments), 0..40).prop_map(|pieces| pieces.concat())
}

/// Cuts `stream` at places drawn as fractions of its length.
fn cut<'s>(stream: &'s [u8], places: &[prop::sample::Index]) -> Vec<&'s [u8]> {
    let mut places: Vec<usize> = places
        .iter()
        .map(|place| place.index(stream.len() + 1))
        .collect();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut start = 0;
    for place in places.into_iter().chain([stream.len()]) {
        pieces.push(&stream[start..place]);
        start = place;
    }
    pieces
}

proptest! {
    #[test]
    fn written_commands_come_back_however_they_arrive(
        sent in prop::collection::vec(prop::collection::vec(argument(), 1..6), 0..12),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut stream = Vec::new();
        for command in &sent {
            write_command(&mut stream, command);
        }
        let outcome = receive(cut(&stream, &places), &Limits::default());
        prop_assert_eq!(outcome, Outcome { commands: sent, error: None });
    }

    #[test]
    fn cuts_never_matter(stream in noise(), places in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let limits = Limits { max_args: 3, max_bulk_bytes: 12, max_inline_bytes: 16, authenticated: true };
        let expected = receive([&stream[..]], &limits);
        prop_assert_eq!(&receive(cut(&stream, &places), &limits), &expected);
        prop_assert_eq!(&receive(stream.chunks(1), &limits), &expected);
    }
}
