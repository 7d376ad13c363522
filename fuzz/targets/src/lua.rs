//! Any bytes for what scripts decode (JSON, MessagePack, struct) and, one way in eight, as a script of their own: whatever
//! it is, there is exactly one valid reply, no panic, and no memory error.

use lua::{Abort, Ended, Interrupt, LogLevel, Script, Server, Vm, sha1_hex};
use resp::{Out, Proto, decode};

/// A server without commands, whose scripts end after some hundred thousand instructions.
struct Nothing {
    polls: u32,
}

impl Server for Nothing {
    fn call(&mut self, _argv: &[&[u8]], reply: &mut Out) -> Result<(), Abort> {
        reply.error("ERR no commands here");
        Ok(())
    }
    fn replied_error(&mut self, _: &[u8], _: bool) {}
    fn log(&mut self, _level: LogLevel, _message: &[u8]) {}
    fn poll(&mut self, _: usize) -> Option<Interrupt> {
        self.polls += 1;
        (self.polls > 1000).then_some(Interrupt::Kill)
    }
    fn acl_check(&mut self, _argv: &[&[u8]]) -> Option<bool> {
        None
    }
    fn set_repl(&mut self, _aof: bool, _replicas: bool) {}
}

const DECODERS: [&[u8]; 7] = [
    b"return cjson.encode(cjson.decode(ARGV[1]))",
    b"return cmsgpack.pack(cmsgpack.unpack(ARGV[1]))",
    b"local t = {cmsgpack.unpack_limit(ARGV[1], 3, 0)} return #t",
    b"return {struct.unpack('>I2hsBd', ARGV[1])}",
    b"return struct.size(ARGV[1])",
    b"return string.format(ARGV[1], 1, 'x', 2.5)",
    b"return {string.find('an example', ARGV[1])}",
];

/// Runs one input; panics if anything is wrong.
pub fn run(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let body = DECODERS.get(*choice as usize % 8).copied().unwrap_or(rest);
    let mut vm = Vm::new();
    let mut out = Out::new(Proto::Resp3);
    let script = Script {
        sha: &sha1_hex(body),
        body,
    };
    let ended = vm.run(&script, &[], &[rest], &mut Nothing { polls: 0 }, &mut out);
    if let Ok(Ended::Reply | Ended::Error { .. }) = ended {
        let bytes = out.to_vec();
        let (_, used) = decode(&bytes).expect("a valid reply").expect("a whole one");
        assert_eq!(used, bytes.len());
    }
}
