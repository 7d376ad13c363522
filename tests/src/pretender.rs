//! A replica that is none: tests say step by step what it says.

use crate::client::encode;
use crate::server::Server;
use resp::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Somebody who speaks the protocol of replicas, step by step.
pub struct Pretender {
    stream: TcpStream,
    /// What has come of the stream of commands and is not a whole one yet.
    unread: Vec<u8>,
}

/// How long it waits for what is to come.
const PATIENCE: Duration = Duration::from_secs(30);

impl Pretender {
    /// Connects, and says these, each of which is answered with OK.
    #[track_caller]
    pub fn to(server: &Server, said: &[&[&str]]) -> Pretender {
        let stream = TcpStream::connect(server.addr()).expect("a server");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut pretender = Pretender {
            stream,
            unread: Vec::new(),
        };
        for words in said {
            pretender.say(words);
            assert_eq!(pretender.line(), "+OK");
        }
        pretender
    }

    /// Says a command.
    #[track_caller]
    pub fn say(&mut self, words: &[&str]) {
        let mut bytes = Vec::new();
        encode(words, &mut bytes);
        self.stream.write_all(&bytes).expect("it is connected");
    }

    /// The next bytes.
    #[track_caller]
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.stream.read_exact(&mut bytes).expect("so many bytes");
        bytes
    }

    /// The next line that is not empty.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        loop {
            match self.bytes(1)[0] {
                b'\n' if line.is_empty() => {}
                b'\n' => break,
                byte => line.push(byte),
            }
        }
        String::from_utf8(line).expect("text").trim_end().to_owned()
    }

    /// Takes a copy of the data set, with a new offset.
    pub fn take_copy(&mut self) -> (Vec<u8>, u64) {
        self.say(&["PSYNC", "?", "-1"]);
        let answer = self.line();
        let words: Vec<&str> = answer.split(' ').collect();
        assert_eq!((words[0], words[1].len()), ("+FULLRESYNC", 40), "{answer}");
        let offset = words[2].parse().expect("an offset");
        (self.copy(), offset)
    }

    /// A copy of the data set, after its announcement.
    #[track_caller]
    pub fn copy(&mut self) -> Vec<u8> {
        let head = self.line();
        match head.strip_prefix("$EOF:") {
            None => {
                let length = head[1..].parse().expect("a length");
                self.bytes(length)
            }
            Some(mark) => {
                let mut copy = Vec::new();
                while !copy.ends_with(mark.as_bytes()) {
                    copy.push(self.bytes(1)[0]);
                }
                copy.truncate(copy.len() - mark.len());
                copy
            }
        }
    }

    /// The commands of the stream up to this one, which is left out, as are signs of life and questions how far it is.
    #[track_caller]
    pub fn commands_until(&mut self, last: &[&str]) -> Vec<Vec<Vec<u8>>> {
        let began = Instant::now();
        let (mut all, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
        // A server that had not noticed that its copy was sent when it was told so waits to be told again.
        let often = Duration::from_millis(100);
        self.stream.set_read_timeout(Some(often)).expect("a socket");
        loop {
            let mut taken = 0;
            while let Ok(Some((value, used))) = resp::decode(&self.unread[taken..]) {
                taken += used;
                let argv = words(value);
                if argv == last.iter().map(|w| w.as_bytes()).collect::<Vec<_>>() {
                    self.unread.drain(..taken);
                    return all;
                }
                if !["PING", "REPLCONF"]
                    .map(str::as_bytes)
                    .contains(&&argv[0][..])
                {
                    all.push(argv);
                }
            }
            self.unread.drain(..taken);
            match self.stream.read(&mut chunk) {
                Ok(0) => panic!("the server closes the connection before {last:?}"),
                Ok(n) => self.unread.extend_from_slice(&chunk[..n]),
                Err(error)
                    if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) =>
                {
                    assert!(began.elapsed() < PATIENCE, "{last:?} does not come");
                    self.ack(0);
                }
                Err(error) => panic!("the stream ends before {last:?}: {error}"),
            }
        }
    }

    /// Says how far it is.
    #[track_caller]
    pub fn ack(&mut self, offset: u64) {
        self.say(&["REPLCONF", "ACK", &offset.to_string()]);
    }
}

/// How it says that it can do without a copy's length.
pub const EOF: &[&str] = &["REPLCONF", "capa", "eof", "capa", "psync2"];

/// A command of the stream.
#[track_caller]
fn words(value: Value) -> Vec<Vec<u8>> {
    let Value::Array(items) = value else {
        panic!("not a command: {value:?}");
    };
    let word = |item| match item {
        Value::Bulk(bytes) => bytes,
        other => panic!("not a word of a command: {other:?}"),
    };
    items.into_iter().map(word).collect()
}
