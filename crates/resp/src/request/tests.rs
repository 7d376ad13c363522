//! Requests as they are parsed: what is given back, what is scanned once, what a batch keeps.

use super::*;

#[test]
fn announced_counts_and_lengths_reserve_nothing() {
    let mut parser = Parser::new();
    let mut argv = Vec::new();
    let stream = b"*2147483647\r\n$3\r\nGET\r\n$536870912\r\nab";
    assert_eq!(parser.next(stream, &Limits::default(), &mut argv), Ok(None));
    assert_eq!(parser.missing_bytes(stream.len()), 536_870_912);
    assert!(parser.spans.capacity() < 10 && argv.capacity() < 10);
}

#[test]
fn what_a_command_in_pieces_needed_is_given_back() {
    let mut stream = Vec::new();
    write_command(&mut stream, &[b"x"; 1000]);
    let mut parser = Parser::new();
    let mut argv = Vec::new();
    assert_eq!(
        parser.next(&stream[..6000], &Limits::default(), &mut argv),
        Ok(None)
    );
    assert!(parser.spans.len() > 800 && argv.is_empty());
    assert_eq!(
        parser.next(&stream, &Limits::default(), &mut argv),
        Ok(Some(stream.len()))
    );
    assert_eq!((parser.spans.capacity(), argv.len()), (0, 1000));
}

#[test]
fn pieces_are_scanned_once() {
    let limits = Limits::default();
    let mut parser = Parser::new();
    let mut argv = Vec::new();
    // Lines already read are not looked at again: spoiling them changes nothing.
    assert_eq!(
        parser.next(b"*2\r\n$3\r\nGET\r\n$1\r\n", &limits, &mut argv),
        Ok(None)
    );
    assert_eq!(
        parser.next(b"*???$???GET??$???k\r\n", &limits, &mut argv),
        Ok(Some(20))
    );
    assert_eq!(argv, [&b"GET"[..], b"k"]);
    // Nor is the part of a line known to hold no end.
    assert_eq!(parser.next(b"GET k", &limits, &mut argv), Ok(None));
    assert_eq!(
        parser.next(b"G\n\0 key\r\n", &limits, &mut argv),
        Ok(Some(9))
    );
}

#[test]
fn recycling_keeps_the_allocations() {
    let stream = b"*1\r\n$4\r\nPING\r\n".repeat(100);
    let mut batch = Batch::new();
    batch.fill(&mut Parser::new(), &stream, &Limits::default(), 100);
    let (args, ends) = (batch.args.as_ptr().addr(), batch.ends.as_ptr().addr());
    let again: Batch<'static> = batch.recycle();
    drop(stream);
    assert!(again.is_empty() && again.args.is_empty() && again.args.capacity() >= 100);
    assert_eq!(
        (again.args.as_ptr().addr(), again.ends.as_ptr().addr()),
        (args, ends)
    );
}

#[test]
fn a_command_is_had_as_it_came_if_it_came_in_the_usual_form() {
    let long = format!("*2\r\n$3\r\nGET\r\n$123\r\n{}\r\n", "x".repeat(123));
    for (form, usual) in [
        (&b"*1\r\n$4\r\nPING\r\n"[..], true),
        (long.as_bytes(), true),
        (b"PING\r\n", false),
    ] {
        let stream = [form, form].concat();
        let mut batch = Batch::new();
        batch.fill(&mut Parser::new(), &stream, &Limits::default(), 9);
        for at in 0..2 {
            assert_eq!(batch.raw(at), if usual { form } else { b"" });
            let mut made = Vec::new();
            write_command(&mut made, batch.get(at));
            assert_eq!(made == form, usual);
        }
        // One of which the first bytes had come before.
        let (mut parser, mut batch) = (Parser::new(), Batch::new());
        let (used, _) = batch.fill(&mut parser, &form[..3], &Limits::default(), 9);
        batch.fill(&mut parser, &stream[used..], &Limits::default(), 9);
        assert_eq!(batch.raw(0), b"");
        assert_eq!(batch.raw(1), if usual { form } else { b"" });
    }
}

#[test]
fn recycling_frees_large_allocations() {
    let mut stream = Vec::new();
    write_command(&mut stream, &[b"x"; 10_000]);
    let mut batch = Batch::new();
    batch.fill(&mut Parser::new(), &stream, &Limits::default(), 1);
    assert_eq!(batch.get(0).len(), 10_000);
    assert_eq!(batch.recycle().args.capacity(), 0);
}

#[test]
fn errors_keep_the_offending_byte() {
    let mut text = Vec::new();
    ProtocolError(Malformed::ExpectedBulk(0xe9)).write_text(&mut text);
    assert_eq!(text, b"expected '$', got '\xe9'");
}
