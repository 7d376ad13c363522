//! Replies: the bytes `Out` writes in both versions, what lies between marks, and shared strings between the bytes.

use std::io::IoSlice;
use std::sync::Arc;

use proptest::prelude::*;
use redpoll_resp::reply::SHARE_THRESHOLD;
use redpoll_resp::{Batch, Limits, Out, Parser, Proto};

/// What `write` writes, in RESP2 and RESP3.
fn both(write: impl Fn(&mut Out)) -> [String; 2] {
    [Proto::Resp2, Proto::Resp3].map(|proto| {
        let mut out = Out::new(proto);
        write(&mut out);
        out.to_vec().escape_ascii().to_string()
    })
}

#[test]
fn forms_that_are_the_same_in_both_versions() {
    let same = |write: fn(&mut Out), text: &str| assert_eq!(both(write), [text, text]);
    same(|out| out.ok(), r"+OK\r\n");
    same(|out| out.simple("QUEUED"), r"+QUEUED\r\n");
    same(|out| out.simple("two\r\nlines"), r"+two  lines\r\n");
    same(
        |out| out.error("ERR syntax error"),
        r"-ERR syntax error\r\n",
    );
    same(|out| out.error("\r\nERR a\rb\nc\r\n\n"), r"-ERR a b c\r\n");
    same(|out| out.error(""), r"-\r\n");
    same(|out| out.error("\r\n"), r"-\r\n");
    same(|out| out.error_bytes(b"ERR '\xff'"), r"-ERR \'\xff\'\r\n");
    same(|out| out.int(0), r":0\r\n");
    same(|out| out.int(9), r":9\r\n");
    same(|out| out.int(10), r":10\r\n");
    same(|out| out.int(-1), r":-1\r\n");
    same(|out| out.int(i64::MIN), r":-9223372036854775808\r\n");
    same(|out| out.bulk(b""), r"$0\r\n\r\n");
    same(|out| out.bulk(b"a\r\nb"), r"$4\r\na\r\nb\r\n");
    same(|out| out.bulk(b"123456789"), r"$9\r\n123456789\r\n");
    same(|out| out.bulk(b"1234567890"), r"$10\r\n1234567890\r\n");
    same(|out| out.bulk_int(-42), r"$3\r\n-42\r\n");
    same(
        |out| out.bulk_display(format_args!("{}-{}", 15, 0)),
        r"$4\r\n15-0\r\n",
    );
    same(|out| out.array(0), r"*0\r\n");
    same(|out| out.array(99), r"*99\r\n");
    same(|out| out.array(100), r"*100\r\n");
    same(|out| out.array(1_000_000), r"*1000000\r\n");
    same(|out| out.raw(b"+x\r\n"), r"+x\r\n");
    let (long, expected) = ("x".repeat(99), format!(r"$99\r\n{}\r\n", "x".repeat(99)));
    assert_eq!(
        both(|out| out.bulk(long.as_bytes())),
        [&expected[..], &expected]
    );
}

#[test]
fn forms_that_differ() {
    let forms =
        |write: fn(&mut Out), resp2: &str, resp3: &str| assert_eq!(both(write), [resp2, resp3]);
    forms(|out| out.null(), r"$-1\r\n", r"_\r\n");
    forms(|out| out.null_array(), r"*-1\r\n", r"_\r\n");
    forms(|out| out.map(3), r"*6\r\n", r"%3\r\n");
    forms(|out| out.set(3), r"*3\r\n", r"~3\r\n");
    forms(|out| out.push(3), r"*3\r\n", r">3\r\n");
    forms(
        |out| assert_eq!(out.attribute(1), out.proto() == Proto::Resp3),
        "",
        r"|1\r\n",
    );
    forms(|out| out.double(3.0), r"$1\r\n3\r\n", r",3\r\n");
    forms(|out| out.double(-0.1), r"$4\r\n-0.1\r\n", r",-0.1\r\n");
    forms(
        |out| out.double(f64::INFINITY),
        r"$3\r\ninf\r\n",
        r",inf\r\n",
    );
    forms(|out| out.bool(true), r":1\r\n", r"#t\r\n");
    forms(|out| out.bool(false), r":0\r\n", r"#f\r\n");
    forms(|out| out.big_number("123"), r"$3\r\n123\r\n", r"(123\r\n");
    forms(
        |out| out.verbatim("txt", b"a\r\n"),
        r"$3\r\na\r\n\r\n",
        r"=7\r\ntxt:a\r\n\r\n",
    );
    forms(
        |out| out.verbatim("x", b""),
        r"$0\r\n\r\n",
        r"=4\r\nx  :\r\n",
    );
    forms(
        |out| out.verbatim("text", b""),
        r"$0\r\n\r\n",
        r"=4\r\ntex:\r\n",
    );
}

#[test]
fn the_version_can_change_between_replies() {
    let mut out = Out::new(Proto::Resp2);
    out.null();
    out.set_proto(Proto::Resp3);
    out.null();
    assert_eq!(out.as_bytes(), Some(&b"$-1\r\n_\r\n"[..]));
    assert_eq!(out.take().proto(), Proto::Resp3);
    assert_eq!(
        (out.proto(), out.len(), out.is_empty()),
        (Proto::Resp3, 0, true)
    );
}

#[test]
fn protocol_errors_as_replies() {
    for (stream, reply) in [
        (
            &b"*x\r\n"[..],
            &b"-ERR Protocol error: invalid multibulk length\r\n"[..],
        ),
        (
            b"*1\r\n\xff\r\n",
            b"-ERR Protocol error: expected '$', got '\xff'\r\n",
        ),
        (
            b"*1\r\n\r\n",
            b"-ERR Protocol error: expected '$', got ' '\r\n",
        ),
    ] {
        let (_, error) = Batch::new().fill(&mut Parser::new(), stream, &Limits::default(), 1);
        let mut out = Out::new(Proto::Resp2);
        out.protocol_error(&error.unwrap());
        assert_eq!(out.as_bytes(), Some(reply));
    }
}

#[test]
fn lengths_known_only_afterwards() {
    let forms =
        |write: fn(&mut Out), resp2: &str, resp3: &str| assert_eq!(both(write), [resp2, resp3]);
    forms(
        |out| {
            out.int(7);
            let mark = out.begin_array();
            for n in 0..12 {
                out.int(n % 10);
            }
            out.end_array(mark, 12);
            out.ok();
        },
        r":7\r\n*12\r\n:0\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n:9\r\n:0\r\n:1\r\n+OK\r\n",
        r":7\r\n*12\r\n:0\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n:9\r\n:0\r\n:1\r\n+OK\r\n",
    );
    forms(
        |out| {
            let outer = out.begin_array();
            let inner = out.begin_array();
            out.end_set(inner, 0);
            let inner = out.begin_array();
            out.int(1);
            out.int(2);
            out.end_map(inner, 1);
            out.end_array(outer, 2);
        },
        r"*2\r\n*0\r\n*2\r\n:1\r\n:2\r\n",
        r"*2\r\n~0\r\n%1\r\n:1\r\n:2\r\n",
    );
}

#[test]
fn rollback_forgets_what_came_after_the_mark() {
    let big = Arc::new(vec![b'x'; SHARE_THRESHOLD]);
    let mut out = Out::new(Proto::Resp2);
    out.ok();
    out.shared(&big);
    let (mark, before) = (out.mark(), out.to_vec());
    out.array(2);
    out.shared(&big);
    out.shared(&big);
    assert_eq!(Arc::strong_count(&big), 4);
    out.rollback(mark);
    assert_eq!((out.to_vec(), out.len()), (before.clone(), before.len()));
    assert_eq!(Arc::strong_count(&big), 2);
    out.shared(&big);
    assert_eq!(out.len(), 2 * before.len() - 5);
    // A mark from before a rollback to an earlier place is stale, but harmless.
    let stale = out.mark();
    out.clear();
    out.rollback(stale);
    out.end_array(stale, 0);
    assert_eq!(out.to_vec(), b"*0\r\n");
    assert_eq!(Arc::strong_count(&big), 1);
}

#[test]
fn large_strings_are_shared_and_small_ones_copied() {
    let small = Arc::new(vec![b's'; SHARE_THRESHOLD - 1]);
    let large = Arc::new(vec![b'l'; SHARE_THRESHOLD]);
    let mut out = Out::new(Proto::Resp2);
    out.shared(&small);
    assert_eq!(
        (Arc::strong_count(&small), out.as_bytes().is_some()),
        (1, true)
    );
    out.shared(&large);
    assert_eq!(
        (Arc::strong_count(&large), out.as_bytes().is_some()),
        (2, false)
    );
    let mut slices = Vec::new();
    out.slices(0, &mut slices, 10);
    assert_eq!(slices.len(), 3);
    assert_eq!(slices[1].as_ptr(), large.as_ptr());
    out.shared_range(&large, 1..SHARE_THRESHOLD);
    assert_eq!(Arc::strong_count(&large), 2);
    out.clear();
    // Ranges beyond the end are cut.
    let mut text = |range| {
        let five = Arc::new(b"12345".to_vec());
        out.clear();
        out.shared_range(&five, range);
        out.to_vec()
    };
    assert_eq!(text(1..3), b"$2\r\n23\r\n");
    assert_eq!(text(3..100), b"$2\r\n45\r\n");
    assert_eq!(text(7..9), b"$0\r\n\r\n");
}

#[test]
fn clearing_keeps_a_small_buffer_and_frees_a_large_one() {
    let mut out = Out::new(Proto::Resp2);
    out.bulk(&[b'x'; 60_000]);
    out.clear();
    assert!((60_000..70_000).contains(&out.capacity()));
    out.bulk(&[b'x'; 1_000_000]);
    out.clear();
    assert!(out.capacity() <= 64 * 1024);
    assert!(out.is_empty());
}

#[test]
fn appending_another_output() {
    let big = Arc::new(vec![b'x'; SHARE_THRESHOLD]);
    let write = |out: &mut Out| {
        out.ok();
        out.shared(&big);
        out.int(1);
        out.shared(&big);
    };
    let mut one = Out::new(Proto::Resp2);
    write(&mut one);
    let mut two = Out::new(Proto::Resp2);
    write(&mut two);
    let expected = [one.to_vec(), two.to_vec()].concat();
    one.append(&mut two);
    assert_eq!(
        (one.to_vec(), two.len(), one.len()),
        (expected.clone(), 0, expected.len())
    );
    let mut slices = Vec::new();
    one.slices(expected.len() - 10, &mut slices, 10);
    assert_eq!(
        *slices[0],
        expected[expected.len() - 10..expected.len() - 2]
    );
    let mark = one.mark();
    one.append(&mut one.clone());
    one.rollback(mark);
    assert_eq!(one.to_vec(), expected);
}

/// One step of writing, mirrored on a plain vector of bytes.
#[derive(Clone, Debug)]
enum Step {
    Copy(usize),
    Share(usize),
    Begin,
    End,
    Rollback,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0usize..40).prop_map(Step::Copy),
        3 => (SHARE_THRESHOLD - 2..SHARE_THRESHOLD + 40).prop_map(Step::Share),
        2 => Just(Step::Begin),
        2 => Just(Step::End),
        1 => Just(Step::Rollback),
    ]
}

fn append_bulk(model: &mut Vec<u8>, bytes: &[u8]) {
    model.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
    model.extend_from_slice(bytes);
    model.extend_from_slice(b"\r\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn marks_and_shared_strings_behave_as_bytes_in_one_vector(
        steps in prop::collection::vec(step(), 0..24),
        skips in prop::collection::vec(any::<prop::sample::Index>(), 4),
        max in 1usize..5,
    ) {
        let mut out = Out::new(Proto::Resp2);
        let mut model = Vec::new();
        let mut marks = Vec::new();
        for (n, step) in steps.into_iter().enumerate() {
            let fill = b'a' + (n % 26) as u8;
            match step {
                Step::Copy(len) => {
                    out.bulk(&vec![fill; len]);
                    append_bulk(&mut model, &vec![fill; len]);
                }
                Step::Share(len) => {
                    out.shared_range(&Arc::new(vec![fill; len + 3]), 1..len + 1);
                    append_bulk(&mut model, &vec![fill; len]);
                }
                Step::Begin => marks.push((out.begin_array(), model.len())),
                Step::End => if let Some((mark, at)) = marks.pop() {
                    out.end_array(mark, n);
                    model.splice(at..at, format!("*{n}\r\n").into_bytes());
                },
                Step::Rollback => if let Some((mark, at)) = marks.pop() {
                    out.rollback(mark);
                    model.truncate(at);
                },
            }
            prop_assert_eq!(out.len(), model.len());
        }
        prop_assert!(out.to_vec() == model);
        for skip in skips {
            let skip = skip.index(model.len() + 1);
            let mut slices: Vec<IoSlice> = vec![IoSlice::new(b"")];
            out.slices(skip, &mut slices, max);
            let slices = &slices[1..];
            prop_assert!(slices.len() <= max && slices.iter().all(|slice| !slice.is_empty()));
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            prop_assert!(model[skip..].starts_with(&bytes));
            // Fewer than asked for only at the end, and something as long as there is something.
            prop_assert!(slices.len() == max || skip + bytes.len() == model.len());
        }
    }
}

/// An output that grows over its bound is dropped, takes no more memory, and says so.
#[test]
fn a_bound_holds_while_a_reply_is_made() {
    let fill = |bound: usize, n: usize| {
        let mut out = Out::new(Proto::Resp2);
        out.bulk(b"sent before");
        out.bound(bound);
        let mark = out.begin_array();
        for _ in 0..n {
            out.bulk(&[b'x'; 1000]);
            out.int(1234);
        }
        out.end_array(mark, n * 2);
        out
    };
    assert!(!fill(100_000, 50).is_over());
    assert!(!fill(usize::MAX, 5000).is_over());
    let mut out = fill(100_000, 5000);
    assert!(out.is_over());
    assert!(out.capacity() < 300_000, "{}", out.capacity());
    // It stays over, whatever is done with it, until it is cleared.
    out.bound(usize::MAX);
    out.bulk(&[b'x'; 300_000]);
    assert!(out.is_over());
    let mut other = Out::new(Proto::Resp2);
    other.append(&mut out);
    assert!(other.is_over() && !out.is_over());
    other.clear();
    other.bulk(b"a");
    assert!(!other.is_over());
    assert_eq!(other.to_vec(), b"$1\r\na\r\n");
    // Strings that are shared count too.
    let shared = Arc::new(vec![b'x'; 60_000]);
    out.bound(100_000);
    out.shared(&shared);
    assert!(!out.is_over());
    out.shared(&shared);
    assert!(out.is_over());
}
