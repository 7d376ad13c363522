//! A replica that is none: tests say step by step what it says.

use crate::client::encode;
use crate::server::Server;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Somebody who speaks the protocol of replicas, step by step.
pub struct Pretender(TcpStream);

impl Pretender {
    /// Connects, and says these, each of which is answered with OK.
    #[track_caller]
    pub fn to(server: &Server, said: &[&[&str]]) -> Pretender {
        let stream = TcpStream::connect(server.addr()).expect("a server");
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).expect("a socket");
        let mut pretender = Pretender(stream);
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
        self.0.write_all(&bytes).expect("it is connected");
    }

    /// The next bytes.
    #[track_caller]
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.0.read_exact(&mut bytes).expect("so many bytes");
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

    /// Says how far it is.
    #[track_caller]
    pub fn ack(&mut self, offset: u64) {
        self.say(&["REPLCONF", "ACK", &offset.to_string()]);
    }
}

/// How it says that it can do without a copy's length.
pub const EOF: &[&str] = &["REPLCONF", "capa", "eof", "capa", "psync2"];
