//! Some hundred small Lua programs: each replies what it was recorded to reply, here and on the server of the recording.

use redpoll_tests::check::show_command;
use redpoll_tests::lua_programs::{Program, programs};
use redpoll_tests::{Client, Peers, Server, skip};

fn run(client: &mut Client, program: &Program) -> Vec<u8> {
    client.run("FLUSHALL");
    let count = program.keys.len().to_string();
    let mut call: Vec<&[u8]> = vec![b"EVAL", program.script, count.as_bytes()];
    call.extend(program.keys);
    call.extend(program.args);
    client.send(&call);
    client.read_raw()
}

/// Runs all programs in both protocols; the differences from what was recorded.
fn differences(server: &Server) -> Vec<String> {
    let mut found = Vec::new();
    for resp3 in [false, true] {
        let mut client = server.connect();
        if resp3 {
            client.run("HELLO 3");
        }
        for program in programs() {
            let reply = run(&mut client, program);
            let wanted = if resp3 { program.reply3 } else { program.reply };
            if reply != wanted {
                found.push(format!(
                    "{}\n  replied   {}\n  recorded  {}",
                    show_command(&[program.script]),
                    reply.escape_ascii(),
                    wanted.escape_ascii()
                ));
            }
        }
    }
    found
}

#[test]
fn replies_are_those_recorded() {
    let found = differences(&Server::redpoll());
    assert!(
        found.is_empty(),
        "{} programs differ:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// The recording is true.
#[test]
fn the_real_server_still_says_the_same() {
    let test = "lua_programs::the_real_server_still_says_the_same";
    let Some(peers) = Peers::find().or_skip(test) else {
        return;
    };
    let Some(redis8) = &peers.redis8 else {
        skip(test, "Redis 8 is not there");
        return;
    };
    let found = differences(&Server::peer(redis8, &[]));
    assert!(
        found.is_empty(),
        "{} programs differ:\n{}",
        found.len(),
        found.join("\n")
    );
}
