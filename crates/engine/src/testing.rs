//! Running commands in unit tests: an engine, one worker and one client, without sockets.
//!
//! A test writes commands as a user types them and compares replies in a short notation:
//!
//! | reply | shown as |
//! |---|---|
//! | simple string, error | `OK`, `-ERR syntax error` |
//! | integer, double, boolean, big number | `5`, `,1.5`, `#t`, `(123` |
//! | bulk string, verbatim string | `"a\r\n\x00"`, `=txt:"a"` |
//! | null | `nil` |
//! | array, set, push | `[1 "a" nil]`, `~[1]`, `>[1]` |
//! | map | `{"a": 1 "b": 2}` |
//!
//! ```ignore
//! check("SET k v; GET k", r#""v""#);           // a new database each time; the last reply counts
//! let mut db = TestClient::new();
//! db.check("HELLO 3", "..");                  // state is kept between calls
//! ```

use crate::client::clients::{Kind, Origin};
use crate::config::Config;
use crate::config::host::{Host, NoHost};
use crate::context::engine::Engine;
use crate::context::next::{Next, Progress};
use crate::context::session::Session;
use crate::dispatch::worker::Worker;
use crate::follow::waiting::{GiveUp, Waiter};
use resp::{Batch, Limits, Out, Parser, Proto, Value};
use std::sync::Arc;
use std::time::Duration;

/// What a command asked of the connection beside its reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Asked {
    #[default]
    Nothing,
    Close,
    CloseNow,
    Retry(Duration),
    Block,
}

/// An engine and a client of it.
pub(crate) struct TestClient {
    pub engine: Arc<Engine>,
    pub worker: Worker,
    pub session: Session,
    /// What the last command asked for. Jobs for helper threads have been run already.
    pub asked: Asked,
    /// Whether the last command was executed to its end.
    pub finished: bool,
    /// Whether the last command was carried out on a helper thread.
    pub moved: bool,
    /// The last command that blocked.
    pub waiter: Option<Arc<Waiter>>,
}

impl TestClient {
    /// A new database.
    pub fn new() -> TestClient {
        TestClient::with(&[])
    }

    /// A new database with some directives set.
    #[track_caller]
    pub fn with(directives: &[(&str, &str)]) -> TestClient {
        TestClient::behind(Arc::new(NoHost), directives)
    }

    /// The same with a host of the test's own.
    #[track_caller]
    pub fn behind(host: Arc<dyn Host>, directives: &[(&str, &str)]) -> TestClient {
        let mut config = Config::default();
        for (name, value) in directives {
            config.directive(name, &[value]).expect("a directive");
        }
        TestClient::of(Engine::new(config, host))
    }

    /// A new database that also has commands which panic.
    pub fn with_panics() -> TestClient {
        let mut families = crate::cmd::FAMILIES.to_vec();
        families.push(crate::dispatch::panic_tests::COMMANDS);
        let registry = crate::context::command::Registry::new(&families);
        TestClient::of(Engine::with_commands(
            registry,
            Config::default(),
            Arc::new(NoHost),
        ))
    }

    /// A further client of the same engine.
    pub fn another(&self) -> TestClient {
        TestClient::of(self.engine.clone())
    }

    fn of(engine: Arc<Engine>) -> TestClient {
        let origin = Origin {
            addr: "127.0.0.1:5000".into(),
            laddr: "127.0.0.1:6379".into(),
            fd: 8,
            kind: Kind::Tcp,
            waker: None,
        };
        TestClient {
            worker: engine.worker(),
            session: engine.session(origin),
            engine,
            asked: Asked::Nothing,
            finished: true,
            moved: false,
            waiter: None,
        }
    }

    /// Replies in RESP3 from now on.
    pub fn resp3(mut self) -> TestClient {
        self.session.set_proto(Proto::Resp3);
        self
    }

    /// The bytes of the reply to one command.
    pub fn raw<A: AsRef<[u8]>>(&mut self, argv: &[A]) -> Vec<u8> {
        let mut request = Vec::new();
        resp::write_command(&mut request, argv);
        let mut parser = Parser::new();
        let mut batch = Batch::new();
        let (_, error) = batch.fill(&mut parser, &request, &Limits::default(), usize::MAX);
        assert_eq!(error, None);
        let mut out = Out::new(self.session.proto);
        let mut progress = self.worker.run(&mut self.session, &batch, 0, &mut out);
        // A connection that did not get a lock would be parked; this thread has nobody else to serve.
        while matches!(progress.next, Next::Retry(_)) && self.may_go_on() {
            progress = self.worker.run(&mut self.session, &batch, 0, &mut out);
        }
        self.moved = matches!(progress.next, Next::Elsewhere);
        if self.moved {
            let at = progress.executed;
            let mut helper = self.engine.worker();
            progress = helper.run_long(&mut self.session, &batch, at, &mut out);
            while matches!(progress.next, Next::Retry(_)) && self.may_go_on() {
                progress = helper.run_long(&mut self.session, &batch, at, &mut out);
            }
        }
        let Progress { next, executed } = progress;
        self.finished = executed == 1;
        self.asked = match next {
            Next::Done | Next::Elsewhere => Asked::Nothing,
            Next::Close => Asked::Close,
            // There is no connection to give.
            Next::CloseNow | Next::GiveAway(_) => Asked::CloseNow,
            Next::Retry(time) => Asked::Retry(time),
            Next::Block(waiter) => {
                self.waiter = Some(waiter);
                Asked::Block
            }
            Next::Offload(job) => {
                job(&mut out);
                Asked::Nothing
            }
        };
        out.to_vec()
    }

    /// Runs a command line that has to block.
    #[track_caller]
    pub fn block(&mut self, line: &str) {
        self.check(line, "");
        assert_eq!(self.asked, Asked::Block, "{line} answers at once");
    }

    /// The reply to the command that blocked; `waits` if it still does.
    #[track_caller]
    pub fn blocked_reply(&mut self) -> String {
        let waiter = self.waiter.as_ref().expect("a command that blocked");
        match waiter.take_reply() {
            None => "waits".into(),
            Some(out) => {
                let (value, _) = resp::decode(&out.to_vec())
                    .expect("a valid reply")
                    .expect("a whole reply");
                self.waiter = None;
                show(&value)
            }
        }
    }

    /// Compares the reply to the command that blocked.
    #[track_caller]
    pub fn check_blocked(&mut self, expected: &str) {
        assert_eq!(self.blocked_reply(), expected, "reply of what blocked");
    }

    /// Ends the wait of the command that blocked; false if it has been served.
    #[track_caller]
    pub fn give_up(&mut self, how: GiveUp) -> bool {
        let waiter = self.waiter.as_ref().expect("a command that blocked");
        self.engine
            .follow
            .give_up(waiter, how, self.worker.counters())
    }

    /// The replies to commands that come at once, without their line ends and separated by spaces.
    pub fn pipeline(&mut self, lines: &[&str]) -> String {
        let mut requests = Vec::new();
        for line in lines {
            resp::write_command(&mut requests, &words(line));
        }
        let (mut parser, mut batch) = (Parser::new(), Batch::new());
        let (_, error) = batch.fill(&mut parser, &requests, &Limits::default(), usize::MAX);
        assert_eq!(error, None);
        let mut out = Out::new(self.session.proto);
        let progress = self.worker.run(&mut self.session, &batch, 0, &mut out);
        assert_eq!(progress.executed, lines.len());
        String::from_utf8_lossy(&out.to_vec())
            .trim_end()
            .replace("\r\n", " ")
    }

    /// Whether what a command waits for is neither the gate nor a script.
    fn may_go_on(&self) -> bool {
        self.session.in_line.is_none() && !self.engine.scripts.any_running()
    }

    /// The reply to one command; None if there is none.
    #[track_caller]
    pub fn call<A: AsRef<[u8]>>(&mut self, argv: &[A]) -> Option<Value> {
        let bytes = self.raw(argv);
        if bytes.is_empty() {
            return None;
        }
        let (value, used) = resp::decode(&bytes)
            .expect("a valid reply")
            .expect("a whole reply");
        assert_eq!(
            used,
            bytes.len(),
            "more than one reply: {}",
            bytes.escape_ascii()
        );
        Some(value)
    }

    /// The reply to a command line with Redis's quoting, in the notation of this module; `""` if there is none.
    /// Semicolons that stand alone separate commands, of which the last one's reply is returned.
    #[track_caller]
    pub fn run(&mut self, line: &str) -> String {
        let mut last = String::new();
        for line in line.split("; ") {
            let argv = words(line);
            last = self.call(&argv).map_or(String::new(), |v| show(&v));
        }
        last
    }

    /// Runs a command line and compares the events of keys that it causes, `lpush k, del k`. Those of a key's coming to be
    /// and of looks that found nothing are left out.
    #[track_caller]
    pub fn check_events(&mut self, line: &str, expected: &str) {
        let effects = &self.engine.follow.effects;
        effects.listen();
        effects.recorded.lock().clear();
        self.run(line);
        let effects = &self.engine.follow.effects;
        effects.unlisten();
        let mut events = std::mem::take(&mut *effects.recorded.lock());
        let left_out = ["new ", "keymiss ", "overwritten ", "type_changed "];
        events.retain(|e| !left_out.iter().any(|name| e.starts_with(name)));
        assert_eq!(events.join(", "), expected, "events of {line}");
    }

    /// What others have sent the client since it was last asked, separated by spaces.
    #[track_caller]
    pub fn messages(&mut self) -> String {
        let mut shown = Vec::new();
        while let Some(bytes) = self.session.client().outbox.pop() {
            let (value, used) = resp::decode(&bytes).expect("valid").expect("whole");
            assert_eq!(used, bytes.len(), "one message");
            shown.push(show(&value));
        }
        shown.join(" ")
    }

    /// Compares what others have sent the client since it was last asked.
    #[track_caller]
    pub fn check_messages(&mut self, expected: &str) {
        assert_eq!(self.messages(), expected);
    }

    /// Runs a command line and compares the reply.
    #[track_caller]
    pub fn check(&mut self, line: &str, expected: &str) {
        let got = self.run(line);
        assert_eq!(got, expected, "reply of {line}");
    }
}

/// The last reply of a command line in a new database.
#[track_caller]
pub(crate) fn run(line: &str) -> String {
    TestClient::new().run(line)
}

/// Compares the last reply of a command line in a new database.
#[track_caller]
pub(crate) fn check(line: &str, expected: &str) {
    TestClient::new().check(line, expected);
}

/// The same in RESP3.
#[track_caller]
pub(crate) fn check3(line: &str, expected: &str) {
    TestClient::new().resp3().check(line, expected);
}

/// Splits a line as an inline command is split.
#[track_caller]
pub(crate) fn words(line: &str) -> Vec<Vec<u8>> {
    let owned = |argv: &[&[u8]]| argv.iter().map(|a| a.to_vec()).collect();
    let mut parser = Parser::new();
    let mut argv = Vec::new();
    let line = format!("{line}\r\n");
    parser
        .next(line.as_bytes(), &Limits::default(), &mut argv)
        .expect("a command line");
    match parser.take_rewritten() {
        None => owned(&argv),
        Some(request) => {
            let mut argv = Vec::new();
            Parser::new()
                .next(&request, &Limits::default(), &mut argv)
                .expect("a rewritten line");
            owned(&argv)
        }
    }
}

/// A reply in the notation of this module.
pub(crate) fn show(value: &Value) -> String {
    let list = |items: &[Value]| items.iter().map(show).collect::<Vec<_>>().join(" ");
    let quote = |bytes: &[u8]| {
        format!(
            "\"{}\"",
            bytes.escape_ascii().to_string().replace("\\'", "'")
        )
    };
    let pairs = |pairs: &[(Value, Value)]| {
        let pairs = pairs
            .iter()
            .map(|(k, v)| format!("{}: {}", show(k), show(v)));
        pairs.collect::<Vec<_>>().join(" ")
    };
    match value {
        Value::Simple(text) => text.clone(),
        Value::Error(line) => format!("-{line}"),
        Value::Int(n) => n.to_string(),
        Value::Bulk(bytes) => quote(bytes),
        Value::Null => "nil".into(),
        Value::Array(items) => format!("[{}]", list(items)),
        Value::Set(items) => format!("~[{}]", list(items)),
        Value::Push(items) => format!(">[{}]", list(items)),
        Value::Map(items) => format!("{{{}}}", pairs(items)),
        Value::Double(n) => format!(",{n}"),
        Value::Bool(b) => if *b { "#t" } else { "#f" }.into(),
        Value::BigNumber(digits) => format!("({digits}"),
        Value::Verbatim(ext, text) => format!("={ext}:{}", quote(text)),
        Value::Attribute(items, about) => format!("|{{{}}} {}", pairs(items), show(about)),
    }
}

#[test]
fn replies_are_shown() {
    assert_eq!(
        words(r#"SET "a\x00b" 'c d'"#),
        [&b"SET"[..], b"a\0b", b"c d"]
    );
    check(
        "NOSUCH a",
        "-ERR unknown command 'NOSUCH', with args beginning with: 'a' ",
    );
    let nested = Value::Map(vec![(
        Value::Bulk(b"k\r".to_vec()),
        Value::Array(vec![Value::Int(1), Value::Null]),
    )]);
    assert_eq!(show(&nested), r#"{"k\r": [1 nil]}"#);
}
