//! A server that is a small map, and runs of scripts in a `Vm` on it.

use std::collections::HashMap;
use std::sync::Arc;

use redpoll_lua::{Abort, Ended, Interrupt, LogLevel, Script, Server, Vm, sha1_hex};
use resp::{Out, Proto, parse_i64};

/// A server with strings, and commands whose replies are of every type.
#[derive(Default)]
pub struct Store {
    pub strings: HashMap<Vec<u8>, Vec<u8>>,
    pub log: Vec<(LogLevel, String)>,
    pub repl: Vec<(bool, bool)>,
    pub calls: usize,
    /// The call that is answered with Abort, counted from 1.
    pub abort_at: usize,
    pub polls: usize,
    /// What the third poll and later ones answer.
    pub interrupt: Option<Interrupt>,
}

impl Server for Store {
    fn call(&mut self, argv: &[&[u8]], reply: &mut Out) -> Result<(), Abort> {
        self.calls += 1;
        if self.calls == self.abort_at {
            // Whatever is in the reply must not be seen.
            reply.int(1);
            return Err(Abort);
        }
        match argv {
            [b"SET", key, value] => {
                self.strings.insert(key.to_vec(), value.to_vec());
                reply.ok();
            }
            [b"GET", key] => match self.strings.get(*key) {
                Some(value) => reply.bulk(value),
                None => reply.null(),
            },
            [b"INCR", key] => {
                let value = self.strings.entry(key.to_vec()).or_insert(b"0".to_vec());
                match parse_i64(value) {
                    Some(n) => {
                        *value = (n + 1).to_string().into_bytes();
                        reply.int(n + 1);
                    }
                    None => reply.error("ERR value is not an integer or out of range"),
                }
            }
            [b"ARGS", args @ ..] => {
                reply.array(args.len());
                for arg in args {
                    reply.bulk(arg);
                }
            }
            [b"MAP"] => {
                reply.map(2);
                reply.bulk(b"a");
                reply.int(1);
                reply.bulk(b"b");
                reply.null();
            }
            [b"SET?"] => {
                reply.set(1);
                reply.bulk(b"m");
            }
            [b"DOUBLE"] => reply.double(1.5),
            [b"BOOL"] => reply.bool(true),
            [b"BIG"] => reply.big_number("123456789012345678901"),
            [b"VERBATIM"] => reply.verbatim("mkd", b"text"),
            [b"ATTRIBUTE"] => {
                if reply.attribute(1) {
                    reply.bulk(b"key");
                    reply.int(1);
                }
                reply.bulk(b"value");
            }
            [b"SHARED"] => {
                let long = Arc::new(vec![b'x'; 40_000]);
                reply.array(3);
                reply.shared(&long);
                reply.int(7);
                reply.shared(&long);
            }
            [b"PANIC"] => panic!("the server panics"),
            _ => reply.error("ERR Unknown Redis command called from script"),
        }
        Ok(())
    }

    fn replied_error(&mut self, _: &[u8], _: bool) {}
    fn log(&mut self, level: LogLevel, message: &[u8]) {
        self.log
            .push((level, String::from_utf8_lossy(message).into_owned()));
    }

    fn poll(&mut self, _: usize) -> Option<Interrupt> {
        self.polls += 1;
        self.interrupt.filter(|_| self.polls >= 3)
    }

    fn acl_check(&mut self, argv: &[&[u8]]) -> Option<bool> {
        match argv[0] {
            b"GET" => Some(true),
            b"SET" => Some(false),
            _ => None,
        }
    }

    fn set_repl(&mut self, aof: bool, replicas: bool) {
        self.repl.push((aof, replicas));
    }
}

/// A reply on one line: line ends are written as spaces, other bytes as in Rust.
pub fn shown(reply: &[u8]) -> String {
    let text = reply.escape_ascii().to_string();
    text.replace(r"\r\n", " ")
        .replace(r"\'", "'")
        .trim_end()
        .to_owned()
}

pub fn try_run(
    vm: &mut Vm,
    store: &mut Store,
    script: &str,
    keys: &[&[u8]],
    args: &[&[u8]],
    proto: Proto,
) -> Result<(Ended, String), Abort> {
    let mut out = Out::new(proto);
    out.ok();
    let before = out.len();
    let sha = sha1_hex(script.as_bytes());
    let script = Script {
        sha: &sha,
        body: script.as_bytes(),
    };
    let ended = vm.run(&script, keys, args, store, &mut out);
    if ended.is_err() {
        assert_eq!(out.len(), before, "an aborted run left a reply");
    }
    let reply = shown(&out.to_vec()[before..]);
    ended.map(|ended| (ended, reply))
}

/// Runs a script in a new Vm; line ends of the reply are written as spaces.
pub fn reply(script: &str) -> String {
    let run = try_run(
        &mut Vm::new(),
        &mut Store::default(),
        script,
        &[],
        &[],
        Proto::Resp2,
    );
    run.expect("no abort").1
}

/// The same, of a script that has called `redis.setresp(3)`, for a client with RESP3.
pub fn reply3(script: &str) -> String {
    let script = format!("redis.setresp(3) {script}");
    let run = try_run(
        &mut Vm::new(),
        &mut Store::default(),
        &script,
        &[],
        &[],
        Proto::Resp3,
    );
    run.expect("no abort").1
}

/// An error without what tells the script and the line.
pub fn message(reply: &str) -> &str {
    reply.split(" script: ").next().unwrap_or_default()
}
