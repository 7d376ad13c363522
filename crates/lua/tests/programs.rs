//! Runs the small programs that call no commands and compares their replies with those recorded from a real server.

#[allow(dead_code, reason = "the other test of these programs uses all of it")]
#[path = "../../../tests/src/lua_programs/mod.rs"]
mod lua_programs;

use lua_programs::{Program, TOPICS};
use redpoll_lua::{Abort, Interrupt, LogLevel, Script, Server, Vm, sha1_hex};
use resp::{Out, Proto};

/// A server without commands.
struct Nothing;

impl Server for Nothing {
    fn call(&mut self, argv: &[&[u8]], _: &mut Out) -> Result<(), Abort> {
        panic!("called {argv:?}");
    }
    fn replied_error(&mut self, _: &[u8], _: bool) {}
    fn log(&mut self, _: LogLevel, _: &[u8]) {}
    fn poll(&mut self, _: usize) -> Option<Interrupt> {
        None
    }
    fn acl_check(&mut self, _: &[&[u8]]) -> Option<bool> {
        None
    }
    fn set_repl(&mut self, _: bool, _: bool) {}
}

fn reply_of(vm: &mut Vm, program: &Program, proto: Proto) -> Vec<u8> {
    let mut out = Out::new(proto);
    let sha = sha1_hex(program.script);
    let script = Script {
        sha: &sha,
        body: program.script,
    };
    let ended = vm.run(&script, program.keys, program.args, &mut Nothing, &mut out);
    assert!(ended.is_ok(), "{}", program.script.escape_ascii());
    out.to_vec()
}

#[test]
fn programs_reply_as_real_servers_do() {
    let mut vm = Vm::new();
    let mut failures = Vec::new();
    let mut run = 0;
    for (topic, programs) in TOPICS {
        for program in programs.iter().filter(|program| !program.calls()) {
            for (proto, expected) in [
                (Proto::Resp2, program.reply),
                (Proto::Resp3, program.reply3),
            ] {
                let reply = reply_of(&mut vm, program, proto);
                run += 1;
                if reply != expected {
                    failures.push(format!(
                        "{topic}: {}\n  with {:?}\n  replied  {}\n  expected {}",
                        program.script.escape_ascii(),
                        program.args,
                        reply.escape_ascii(),
                        expected.escape_ascii()
                    ));
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {run} differ\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(run > 2000, "only {run}");
}
