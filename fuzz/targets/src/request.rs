//! Any bytes as requests: no panic, and the same commands and error however the bytes are cut into pieces.

use resp::{Batch, Limits, Parser, ProtocolError};

/// Commands in order, one text for each, and the error that ended the stream.
type Outcome = (Vec<String>, Option<ProtocolError>);

fn receive<'p>(pieces: impl Iterator<Item = &'p [u8]>, limits: &Limits) -> Outcome {
    let mut parser = Parser::new();
    let mut buffer = Vec::new();
    let mut commands = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let mut batch = Batch::new();
            let (consumed, error) = batch.fill(&mut parser, &buffer, limits, 16);
            commands.extend(batch.iter().map(|args| format!("{args:?}")));
            let rewritten = parser.take_rewritten();
            if let Some(command) = &rewritten {
                let mut own = Batch::new();
                let taken = own.fill(&mut Parser::new(), command, &Limits::default(), 2);
                assert_eq!((taken, own.len()), ((command.len(), None), 1));
                commands.push(format!("{:?}", own.get(0)));
            }
            let done = batch.is_empty() && rewritten.is_none();
            buffer.drain(..consumed);
            if error.is_some() {
                return (commands, error);
            }
            if done {
                break;
            }
        }
    }
    (commands, None)
}

/// Runs one input; panics if anything is wrong.
pub fn run(data: &[u8]) {
    // The first byte chooses the pieces, its top bit whether the client has authenticated.
    let Some((&first, stream)) = data.split_first() else {
        return;
    };
    let size = usize::from(first & 0x7f) + 1;
    let small = Limits {
        max_args: 20,
        max_bulk_bytes: 100,
        max_inline_bytes: 60,
        authenticated: first < 0x80,
    };
    for limits in [Limits::default(), small] {
        let whole = receive(std::iter::once(stream), &limits);
        assert_eq!(receive(stream.chunks(size), &limits), whole);
    }
}
