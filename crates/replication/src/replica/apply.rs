//! Carrying out the stream of a primary.
//!
//! What has come is taken as a whole: all commands that are there, up to the last that does not stand inside of a transaction whose
//! EXEC is still to come. Such a batch goes through the same dispatch as a client's pipeline, with its look ahead, so that a
//! transaction, and a command on several keys, is seen whole by whoever reads here.
//!
//! For these commands nothing expires by itself: what had expired for the primary it has deleted, by commands that stand in
//! the stream.

use crate::wire::malformed;
use engine::{Client, Counters, Engine, Kind, Next, Origin, Session, Worker};
use resp::{Batch, Limits, Out, Parser};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use store::parked::this_thread;

/// Bytes of stream that are carried out together, unless a command or a transaction has more.
const TOGETHER: usize = 128 << 10;

/// Different errors that are told of.
const MOST_TOLD: usize = 64;

/// What stands at the front of the bytes that have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Whole {
    /// So many bytes of them can be carried out.
    pub bytes: usize,
    /// The primary wants to be told how far this is.
    pub asks: bool,
    /// There is more in them than signs of life and such questions.
    pub changes: bool,
}

/// Finds whole commands and transactions in a stream that may be cut anywhere.
#[derive(Default)]
pub(crate) struct Finder {
    parser: Parser,
    /// What has been looked through: whole commands of a transaction whose end has not come.
    seen: usize,
    in_transaction: bool,
    asks: bool,
    changes: bool,
}

fn limits() -> Limits {
    Limits {
        // What a primary has let in once is let in here.
        max_bulk_bytes: usize::MAX >> 1,
        ..Limits::default()
    }
}

impl Finder {
    /// Looks at what has come: it begins with the bytes that were not [used up](Finder::used) the last time.
    ///
    /// # Errors
    /// It is no stream of commands.
    pub fn look(&mut self, bytes: &[u8]) -> io::Result<Whole> {
        let limits = limits();
        let mut argv: Vec<&[u8]> = Vec::new();
        let mut whole = Whole::default();
        loop {
            if whole.bytes >= TOGETHER {
                break;
            }
            let rest = &bytes[self.seen..];
            match rest.first() {
                None => break,
                Some(b'*' | b'\r' | b'\n') => {}
                Some(_) => return Err(malformed("something in the stream that is no command")),
            }
            argv.clear();
            match self.parser.next(rest, &limits, &mut argv) {
                Err(error) => return Err(malformed(&format!("the stream is malformed: {error}"))),
                Ok(None) => break,
                Ok(Some(taken)) => self.seen += taken,
            }
            self.changes |= argv.first().is_some_and(|name| {
                let silent: [&[u8]; 3] = [b"ping", b"replconf", b"select"];
                !silent.iter().any(|word| name.eq_ignore_ascii_case(word))
            });
            match argv.first() {
                Some(name) if name.eq_ignore_ascii_case(b"multi") => self.in_transaction = true,
                Some(name) if name.eq_ignore_ascii_case(b"exec") => self.in_transaction = false,
                Some(name) if name.eq_ignore_ascii_case(b"replconf") => {
                    self.asks |= argv
                        .get(1)
                        .is_some_and(|w| w.eq_ignore_ascii_case(b"getack"));
                }
                _ => {}
            }
            if !self.in_transaction {
                whole.bytes = self.seen;
                whole.changes |= std::mem::take(&mut self.changes);
            }
        }
        if whole.bytes > 0 {
            whole.asks = std::mem::take(&mut self.asks);
        }
        Ok(whole)
    }

    /// So many bytes are gone from the front.
    pub fn used(&mut self, bytes: usize) {
        self.seen -= bytes.min(self.seen);
    }
}

/// What carries a stream out: it remembers the database that the stream is in, also from one link to the next.
pub struct Applier {
    engine: Arc<Engine>,
    /// Where the stream comes from, as MONITOR shows it.
    from: String,
    worker: Worker,
    session: Session,
    /// Number of the piece of the journal that the last change of earlier sessions is in.
    piece: u64,
    told: HashSet<String>,
    /// Errors that commands of the stream were answered with.
    errors: u64,
}

impl Applier {
    /// Of this engine, counting with these counters, of which nobody else makes use meanwhile; the stream begins in database 0.
    pub fn new(engine: &Arc<Engine>, counters: Arc<Counters>) -> Applier {
        let from = "primary".to_owned();
        Applier {
            engine: engine.clone(),
            worker: engine.worker_counting(counters),
            session: session(engine, &from, 0),
            from,
            piece: 0,
            told: HashSet::new(),
            errors: 0,
        }
    }

    /// Begins anew, in a database.
    pub fn begin(&mut self, db: usize) {
        let db = db.min(self.engine.keyspace().databases() - 1);
        self.piece = self.piece();
        self.session = session(&self.engine, &self.from, db);
    }

    /// The stream comes from this address from now on.
    pub(crate) fn comes_from(&mut self, address: String) {
        self.from = address;
        self.begin(self.session.db);
    }

    /// The client that its commands are those of, with their number and the last of them.
    pub fn client(&self) -> &Client {
        self.session.client()
    }

    /// The database that the stream is in.
    pub fn db(&self) -> usize {
        self.session.db
    }

    /// Number of the piece of the journal that the last change is in.
    pub fn piece(&self) -> u64 {
        self.piece.max(self.session.piece())
    }

    /// Errors that commands were answered with: signs that the data are not those of the primary.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// Carries whole commands out.
    pub(crate) fn carry_out(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let (mut parser, mut batch) = (Parser::new(), Batch::new());
            let (taken, error) = batch.fill(&mut parser, &bytes[at..], &limits(), 4096);
            if taken == 0 || error.is_some() {
                // They were looked through before.
                return;
            }
            at += taken;
            self.execute(&batch);
        }
    }

    fn execute(&mut self, batch: &Batch<'_>) {
        let mut out = Out::new(self.session.proto);
        let mut from = 0;
        while from < batch.len() {
            let before = self.worker.counters().error_replies.get();
            let progress = self
                .worker
                .run_long(&mut self.session, batch, from, &mut out);
            let first = std::mem::replace(&mut from, progress.executed);
            match progress.next {
                Next::Done | Next::Elsewhere => {}
                Next::Offload(job) => job(&mut out),
                Next::Retry(time) => {
                    // Whoever is to wake this thread must know it before.
                    if !self.session.client().set_waker(&this_thread()) {
                        thread::park_timeout(time);
                    }
                }
                _ => {
                    let name = batch.get(from.saturating_sub(1)).first().copied();
                    self.tell(name.unwrap_or_default(), "it has no place in a stream");
                    // Whatever it has left behind goes with its session.
                    let db = self.session.db;
                    self.begin(db);
                }
            }
            if self.worker.counters().error_replies.get() != before {
                self.note_errors(batch, first, &out.to_vec());
            }
            out.clear();
        }
    }

    /// Finds out which commands were answered with errors.
    #[cold]
    fn note_errors(&mut self, batch: &Batch<'_>, first: usize, replies: &[u8]) {
        let mut rest = replies;
        let mut at = first;
        while let Ok(Some((reply, used))) = resp::decode(rest) {
            let name = batch.get(at).first().copied().unwrap_or_default();
            match reply {
                resp::Value::Error(text) => self.tell(name, &text),
                resp::Value::Array(replies) if name.eq_ignore_ascii_case(b"exec") => {
                    for reply in replies {
                        if let resp::Value::Error(text) = reply {
                            self.tell(name, &text);
                        }
                    }
                }
                _ => {}
            }
            rest = &rest[used..];
            at += 1;
        }
    }

    fn tell(&mut self, name: &[u8], error: &str) {
        self.errors += 1;
        let unexpected = &self.engine.stats().unexpected_errors;
        unexpected.fetch_add(1, Relaxed);
        let text = format!("'{}': {error}", name.escape_ascii());
        if self.told.len() < MOST_TOLD && self.told.insert(text.clone()) {
            tracing::error!(
                "A command of the primary could not be carried out, so that the data may differ from its: {text}"
            );
        }
    }
}

fn session(engine: &Arc<Engine>, from: &str, db: usize) -> Session {
    let mut session = engine.session(Origin {
        addr: from.into(),
        laddr: String::new(),
        fd: -1,
        kind: Kind::Embedded,
        waker: None,
    });
    session.follow();
    session.select(db);
    session
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{Config, NoHost};

    fn request(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in text.split("; ") {
            resp::write_command(&mut bytes, &line.split(' ').collect::<Vec<_>>());
        }
        bytes
    }

    fn engine() -> Arc<Engine> {
        Engine::new(Config::default(), Arc::new(NoHost))
    }

    /// The stream is cut at every place: what was carried out in two parts is what was in it, and a transaction is never torn.
    #[test]
    fn a_stream_may_be_cut_anywhere() {
        let stream = request(
            "SELECT 3; SET a 1; MULTI; SET b 2; INCR b; EXEC; REPLCONF GETACK *; PING; SET c 3",
        );
        let transaction = request("SELECT 3; SET a 1").len();
        let end = request("SELECT 3; SET a 1; MULTI; SET b 2; INCR b; EXEC").len();
        for cut in 0..=stream.len() {
            let engine = engine();
            let (mut finder, mut applier) = (
                Finder::default(),
                Applier::new(&engine, engine.add_counters()),
            );
            let first = finder.look(&stream[..cut]).unwrap();
            assert!(first.bytes <= cut);
            assert!(
                first.bytes <= transaction || first.bytes >= end,
                "torn at {cut}"
            );
            applier.carry_out(&stream[..first.bytes]);
            finder.used(first.bytes);
            let second = finder.look(&stream[first.bytes..]).unwrap();
            assert_eq!(first.bytes + second.bytes, stream.len());
            assert!(first.asks ^ second.asks);
            applier.carry_out(&stream[first.bytes..]);
            assert_eq!(applier.errors(), 0);
            assert_eq!((applier.db(), engine.keyspace().len(3)), (3, 3));
        }
    }

    #[test]
    fn a_long_transaction_is_looked_through_once() {
        let (mut finder, mut bytes) = (Finder::default(), request("MULTI"));
        for i in 0..50_000 {
            bytes.extend(request(&format!("SET k{i} v")));
            if i % 1000 == 0 {
                assert_eq!(finder.look(&bytes).unwrap(), Whole::default());
                assert_eq!(finder.seen, bytes.len());
            }
        }
        bytes.extend(request("EXEC; PING"));
        let whole = finder.look(&bytes).unwrap();
        assert_eq!(whole.bytes, bytes.len() - request("PING").len());
    }

    #[test]
    fn what_is_no_stream_is_refused() {
        for bad in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"*1\r\n:5\r\n",
            b"*x\r\n",
            b"$3\r\nfoo\r\n",
            b"\0\0",
        ] {
            assert!(
                Finder::default().look(bad).is_err(),
                "{}",
                bad.escape_ascii()
            );
        }
        assert_eq!(Finder::default().look(b"\r\n\n*1\r").unwrap().bytes, 3);
    }

    #[test]
    fn errors_are_counted_and_what_expired_stays() {
        let engine = engine();
        let mut applier = Applier::new(&engine, engine.add_counters());
        applier.carry_out(&request("NOSUCH x; SET k v; INCR k; MULTI; LPUSH k x; EXEC; BLPOP none 0; SET k v PXAT 5; SETRANGE k 1 w; DEL no"));
        assert_eq!(applier.errors(), 4);
        assert_eq!(engine.stats().unexpected_errors.load(Relaxed), 4);
        assert_eq!(engine.keyspace().len(0), 1);
    }
}
