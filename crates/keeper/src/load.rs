//! Loading: an RDB by several threads, a log by replaying it. How far it is, [`engine::Loading`] is told, which also says when it
//! is to be given up.

mod building;

use crate::delay::Delay;
use disk::{AofFolder, Disk, Event, File, LogReader, ReadOptions};
use engine::{Engine, Kind, Loading, Next, Origin};
use resp::{Limits, Out, Parser};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use store::Keyspace;
use store::parked::this_thread;

/// Where in a stream of replication a data set stands, as a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamPlace {
    /// The stream's name; empty if the file names none.
    pub id: String,
    /// Bytes of it that are in the data set.
    pub offset: u64,
    /// The database that the stream is in.
    pub db: Option<usize>,
}

impl StreamPlace {
    fn note(&mut self, name: &[u8], value: &[u8]) {
        let text = str::from_utf8(value).unwrap_or_default();
        match name {
            b"repl-id" if text.len() == 40 => text.clone_into(&mut self.id),
            b"repl-offset" => self.offset = text.parse().unwrap_or(0),
            b"repl-stream-db" => self.db = text.parse().ok(),
            _ => {}
        }
    }
}

/// What was loaded.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Keys.
    pub keys: u64,
    /// Keys of a primary that had expired: they were left out, or are there until they are swept away.
    pub expired: u64,
    /// Commands of a log.
    pub commands: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Where the data set stands in a stream of replication, as the files say; without a name if that is not known.
    pub stream: StreamPlace,
    /// Libraries of functions that were not loaded, because the keys went elsewhere too.
    pub(crate) functions: Vec<Vec<u8>>,
}

/// A file read from its beginning.
struct FromStart(Box<dyn File>, u64);

impl Read for FromStart {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read_at(into, self.1)?;
        self.1 += n as u64;
        Ok(n)
    }
}

/// A file, to be read from its beginning.
pub(crate) fn buffered(file: Box<dyn File>) -> impl BufRead + Send {
    // What was read is still near the processor when it is looked at.
    BufReader::with_capacity(building::BATCH, FromStart(file, 0))
}

/// What loading says that was to be given up.
pub(crate) const GIVEN_UP: &str = "loading was given up";

/// Something that is read, whose bytes are counted as they are used up.
pub(crate) struct Counted<'l, R> {
    pub inner: R,
    pub loading: &'l Loading,
}

impl<R: BufRead> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(into)?;
        self.loading.read(n as u64);
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Counted<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.inner.consume(n);
        self.loading.read(n as u64);
    }
}

/// What becomes of a key that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twice {
    /// It is an error: a file holds each key once, and there were none before.
    Refuse,
    /// It takes the place of the other.
    Replace,
}

/// Where what is read goes.
#[derive(Clone, Copy)]
pub(crate) enum To<'k> {
    /// To the data set.
    DataSet,
    /// To a keyspace beside it, which has nothing in it.
    Beside(&'k Keyspace),
    /// Nowhere: only whether it could be loaded is of interest.
    Nowhere,
}

/// How an RDB is read.
#[derive(Clone, Copy)]
pub(crate) struct How<'k> {
    /// How many bytes it has, if that is known.
    pub total: Option<u64>,
    pub twice: Twice,
    /// Keys and fields whose time is over are kept: a replica removes nothing that its primary has not removed, and a primary what others
    /// have to be told of only once that is so.
    pub keep_expired: bool,
    pub to: To<'k>,
}

impl How<'_> {
    /// Into the data set, of a primary or of a replica.
    pub fn usual(engine: &Engine, total: Option<u64>, twice: Twice) -> How<'static> {
        How {
            total,
            twice,
            keep_expired: engine.standing.is_replica(),
            to: To::DataSet,
        }
    }
}

/// Loads a snapshot. `Ok(None)`: there is no such file.
pub fn snapshot(
    engine: &Arc<Engine>,
    disk: &Arc<dyn Disk>,
    path: &Path,
    twice: Twice,
) -> Result<Option<Loaded>, String> {
    let in_file = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let size = disk.size(path).map_err(|e| in_file(&e))?;
    let Some(size) = size else { return Ok(None) };
    let file = disk.open(path).map_err(|e| in_file(&e))?;
    engine.loading.expect(size);
    let mut source = Counted {
        inner: buffered(file),
        loading: &engine.loading,
    };
    let mut how = How::usual(engine, Some(size), twice);
    // Replicas that go on with the stream have it too, and are told when it is removed.
    how.keep_expired |= names_stream(source.fill_buf().map_err(|e| in_file(&e))?);
    let loaded = read_rdb(engine, &mut source, how);
    if engine.loading.is_stopped() {
        return Err(GIVEN_UP.into());
    }
    let mut loaded = loaded.map_err(|e| in_file(&e))?;
    if !source.fill_buf().map_err(|e| in_file(&e))?.is_empty() {
        return Err(in_file(&format!(
            "bytes behind the end, at offset {}",
            loaded.bytes
        )));
    }
    loaded.bytes = size;
    Ok(Some(loaded))
}

/// The fields at the head of a snapshot stand in so many of its bytes.
const HEAD: usize = 4 << 10;

/// Whether the fields at the head of a snapshot say where it stands in a stream of replication.
fn names_stream(head: &[u8]) -> bool {
    let field = b"\xfa\x07repl-id";
    head[..head.len().min(HEAD)]
        .windows(field.len())
        .any(|bytes| bytes == field)
}

/// Reads an RDB up to its end, and not further. Its libraries of functions are loaded too, but for those of one that goes beside
/// the data set, which come with what is returned.
pub(crate) fn read_rdb(
    engine: &Arc<Engine>,
    source: &mut (impl BufRead + Send + ?Sized),
    how: How<'_>,
) -> Result<Loaded, String> {
    let (mut loaded, functions) = building::read_keys(engine, source, how)?;
    match how.to {
        To::DataSet => load_functions(engine, &functions)?,
        To::Beside(_) | To::Nowhere => {
            check_functions(&functions)?;
            loaded.functions = functions;
        }
    }
    Ok(loaded)
}

/// Loads libraries of functions.
pub(crate) fn load_functions(engine: &Arc<Engine>, sources: &[Vec<u8>]) -> Result<(), String> {
    for source in sources {
        execute(engine, &[b"FUNCTION", b"LOAD", b"REPLACE", source])
            .map_err(|e| format!("a library of functions: {e}"))?;
    }
    Ok(())
}

/// Puts libraries of functions in the place of those that there are, all at one moment.
pub(crate) fn replace_functions(engine: &Arc<Engine>, sources: &[Vec<u8>]) -> Result<(), String> {
    let payload = rdb::payload::dump_functions(sources.iter().map(|source| &source[..]));
    execute(engine, &[b"FUNCTION", b"RESTORE", &payload, b"FLUSH"])
        .map_err(|e| format!("a library of functions: {e}"))
}

/// Whether libraries of functions could be loaded.
fn check_functions(sources: &[Vec<u8>]) -> Result<(), String> {
    if sources.is_empty() {
        return Ok(());
    }
    let mut config = engine::Config::default();
    config.directive("shards", &["1"])?;
    let scratch = Engine::new(config, Arc::new(engine::NoHost));
    load_functions(&scratch, sources)
}

impl<'e> How<'e> {
    /// Where keys go; `None`: nowhere.
    fn keyspace(&self, engine: &'e Engine) -> Option<&'e Keyspace> {
        match self.to {
            To::DataSet => Some(engine.keyspace()),
            To::Beside(keyspace) => Some(keyspace),
            To::Nowhere => None,
        }
    }
}

/// Reads a log, and what was found in it.
pub fn log(
    engine: &Arc<Engine>,
    folder: &AofFolder,
    options: ReadOptions,
) -> Result<(Loaded, disk::reader::Summary), String> {
    let mut reader = LogReader::open(folder, options).map_err(|e| e.to_string())?;
    let mut loaded = Loaded::default();
    let mut replay = Replay::new(engine);
    loop {
        if engine.loading.is_stopped() {
            return Err(GIVEN_UP.into());
        }
        let (read, total) = reader.position();
        engine.loading.expect(total);
        engine.loading.reached(read);
        match reader.next().map_err(|e| e.to_string())? {
            Event::Rdb(part) => {
                let path = part.path().to_owned();
                let mut part = Counted {
                    inner: part,
                    loading: &engine.loading,
                };
                let how = How {
                    // Commands behind it may have given it more time, or none.
                    keep_expired: true,
                    ..How::usual(engine, None, Twice::Refuse)
                };
                let rdb = read_rdb(engine, &mut part, how);
                if engine.loading.is_stopped() {
                    return Err(GIVEN_UP.into());
                }
                let rdb = rdb.map_err(|e| format!("{}: {e}", path.display()))?;
                loaded.keys += rdb.keys;
                loaded.expired += rdb.expired;
                loaded.stream = rdb.stream;
            }
            Event::Commands(commands) => {
                loaded.stream = StreamPlace::default();
                if let Err((at, text)) = replay.run(commands.bytes) {
                    return Err(commands.refuse(at, text).to_string());
                }
            }
            Event::End(summary) => {
                loaded.commands = summary.commands;
                loaded.bytes = summary.bytes;
                if let Some(stream) = &summary.stream {
                    loaded.stream = StreamPlace {
                        id: stream.id.clone(),
                        offset: stream.offset,
                        db: usize::try_from(stream.db).ok(),
                    };
                }
                return Ok((loaded, summary));
            }
        }
    }
}

/// Whether loading is still to be held up, which may have been called off meanwhile.
fn is_delayed(engine: &Engine) -> bool {
    engine.config().number("key-load-delay") != 0
}

/// Executes what a log holds.
struct Replay<'e> {
    worker: engine::Worker,
    session: engine::Session,
    delay: Option<Delay>,
    loading: &'e Loading,
    engine: &'e Engine,
}

impl<'e> Replay<'e> {
    fn new(engine: &'e Arc<Engine>) -> Replay<'e> {
        let mut session = engine.session(Origin {
            addr: "log".into(),
            laddr: String::new(),
            fd: -1,
            kind: Kind::Embedded,
            waker: None,
        });
        session.replay();
        Replay {
            worker: engine.replayer(),
            session,
            delay: Delay::of(engine, "key-load-delay"),
            loading: &engine.loading,
            engine,
        }
    }

    /// Executes whole commands. An error tells where the command stands that cannot be executed: one that there is not, or that
    /// has too few arguments. What a command answers to the data it finds is no error here: real servers take no notice of
    /// it either.
    fn run(&mut self, bytes: &[u8]) -> Result<(), (usize, String)> {
        let mut at = 0;
        while at < bytes.len() {
            let mut parser = Parser::new();
            let mut batch = resp::Batch::new();
            let limits = Limits {
                max_bulk_bytes: usize::MAX >> 1,
                ..Limits::default()
            };
            let (taken, error) = batch.fill(&mut parser, &bytes[at..], &limits, 1024);
            if let Some(delay) = &mut self.delay {
                let ended = || self.loading.is_stopped() || !is_delayed(self.engine);
                delay.wait(batch.len(), ended);
            }
            if let Some(error) = error {
                return Err((at, format!("{error:?}")));
            }
            if taken == 0 || batch.is_empty() {
                return Err((at, "a command that is not whole".into()));
            }
            if let Err((n, text)) = self.execute(&batch) {
                let (mut parser, mut before) = (Parser::new(), resp::Batch::new());
                let (begins, _) = match n {
                    0 => (0, None),
                    n => before.fill(&mut parser, &bytes[at..], &limits, n),
                };
                return Err((at + begins, text));
            }
            at += taken;
        }
        Ok(())
    }

    /// An error comes with the number of its command.
    fn execute(&mut self, batch: &resp::Batch<'_>) -> Result<(), (usize, String)> {
        match first_refusal(&self.replies(batch)?) {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }

    /// Executes commands, each as soon as it may have its locks, and what they are answered with.
    fn replies(&mut self, batch: &resp::Batch<'_>) -> Result<Vec<u8>, (usize, String)> {
        let mut out = Out::new(self.session.proto);
        let mut from = 0;
        while from < batch.len() {
            let progress = self
                .worker
                .run_long(&mut self.session, batch, from, &mut out);
            from = progress.executed;
            match progress.next {
                Next::Done | Next::Elsewhere => {}
                Next::Offload(job) => job(&mut out),
                Next::Retry(_) if self.loading.is_stopped() => {
                    return Err((from, GIVEN_UP.into()));
                }
                Next::Retry(time) => {
                    // Whoever is to wake this thread must know it before.
                    if !self.session.client().set_waker(&this_thread()) {
                        thread::park_timeout(time);
                    }
                }
                Next::Block(_) | Next::Close | Next::CloseNow | Next::GiveAway(_) => {
                    let last = from.saturating_sub(1);
                    return Err((last, "a command that has no place in a log".into()));
                }
            }
        }
        Ok(out.to_vec())
    }
}

/// The first reply that says that a command could not be carried out whatever the data are, and its number.
fn first_refusal(replies: &[u8]) -> Option<(usize, String)> {
    const ERRORS: [&str; 2] = ["ERR unknown command", "ERR wrong number of arguments"];
    // Most replies are short and no errors, and not worth a closer look.
    let is_there = |error: &str| {
        let starts = |at: usize| replies[at + 1..].starts_with(error.as_bytes());
        let mut dashes = replies.iter().enumerate().filter(|(_, b)| **b == b'-');
        dashes.any(|(at, _)| starts(at))
    };
    if !ERRORS.into_iter().any(is_there) {
        return None;
    }
    let mut rest = replies;
    let mut n = 0;
    while let Ok(Some((reply, used))) = resp::decode(rest) {
        match reply {
            resp::Value::Error(text) if ERRORS.iter().any(|e| text.starts_with(e)) => {
                return Some((n, text));
            }
            _ => {}
        }
        rest = &rest[used..];
        n += 1;
    }
    None
}

/// Executes one command, as one of a log.
pub(crate) fn execute(engine: &Arc<Engine>, argv: &[&[u8]]) -> Result<(), String> {
    let mut request = Vec::new();
    resp::write_command(&mut request, argv);
    let mut replay = Replay::new(engine);
    let (mut parser, mut batch) = (Parser::new(), resp::Batch::new());
    let _ = batch.fill(&mut parser, &request, &Limits::default(), 1);
    let reply = replay.replies(&batch).map_err(|(_, error)| error)?;
    match reply.strip_prefix(b"-") {
        Some(error) => Err(String::from_utf8_lossy(error).trim_end().to_owned()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{Config, NoHost};
    use std::time::Duration;

    /// A command of a copy that met somebody's lock was taken for done, so that a library of functions was not there.
    #[test]
    fn a_command_waits_for_its_locks() {
        let engine = Engine::new(Config::default(), Arc::new(NoHost));
        let ks = engine.keyspace();
        thread::scope(|scope| {
            let held: Vec<_> = (0..ks.shards()).map(|shard| ks.lock(shard)).collect();
            let load = scope.spawn(|| {
                let sources =
                    [&b"#!lua name=lib\nredis.register_function('f', function() end)"[..]];
                load_functions(&engine, &sources.map(<[u8]>::to_vec))
            });
            // It stands in line by then, most of the time; if not, this proves nothing.
            thread::sleep(Duration::from_millis(20));
            drop(held);
            load.join().unwrap().unwrap();
        });
        assert_eq!(engine.function_sources().len(), 1);
    }

    #[test]
    fn what_cannot_be_carried_out_is_found_among_replies() {
        assert_eq!(first_refusal(b"+OK\r\n:-1\r\n"), None);
        // An element that looks like one is none.
        assert_eq!(
            first_refusal(b"$27\r\n\r\n-ERR unknown command 'x'\r\n\r\n"),
            None
        );
        assert_eq!(
            first_refusal(b"+OK\r\n-WRONGTYPE x\r\n-ERR unknown command 'y'\r\n+OK\r\n"),
            Some((2, "ERR unknown command 'y'".to_owned()))
        );
    }
}
