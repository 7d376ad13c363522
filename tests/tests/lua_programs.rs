//! The small Lua programs of [`redpoll_tests::lua_programs`], run by the server and by a real one.

use redpoll_tests::lua_programs::{Program, TOPICS};
use redpoll_tests::{Client, Peers, Server};

/// Runs every program in both protocols; each starts with an empty database. Gives what differs from the rows.
fn differences(server: &Server) -> Vec<String> {
    let mut found = Vec::new();
    for proto in ["2", "3"] {
        let mut client = server.connect();
        client.call(&["HELLO", proto]);
        for (topic, programs) in TOPICS {
            for program in *programs {
                let expected = if proto == "2" {
                    program.reply
                } else {
                    program.reply3
                };
                let reply = run(&mut client, program);
                if reply != expected {
                    found.push(format!(
                        "{topic}, RESP{proto}: {}\n  with {:?} {:?}\n  replied  {}\n  expected {}",
                        program.script.escape_ascii(),
                        program.keys,
                        program.args,
                        reply.escape_ascii(),
                        expected.escape_ascii()
                    ));
                }
            }
        }
    }
    found
}

fn run(client: &mut Client, program: &Program) -> Vec<u8> {
    client.call(&["FLUSHALL"]);
    let keys = program.keys.len().to_string();
    let mut command: Vec<&[u8]> = vec![b"EVAL", program.script, keys.as_bytes()];
    command.extend(program.keys);
    command.extend(program.args);
    client.send(&command);
    client.read_raw()
}

#[test]
fn programs_reply_as_recorded() {
    let found = differences(&Server::redpoll());
    assert!(
        found.is_empty(),
        "{} differ\n{}",
        found.len(),
        found.join("\n")
    );
}

/// The rows are what the real server says: a change of either shows here.
#[test]
fn the_rows_are_those_of_the_real_server() {
    let Some(peers) = Peers::find().or_skip("the_rows_are_those_of_the_real_server") else {
        return;
    };
    let Some(peer) = peers.redis8 else {
        return redpoll_tests::skip("the_rows_are_those_of_the_real_server", "no Redis 8");
    };
    let found = differences(&Server::peer(&peer, &[]));
    assert!(
        found.is_empty(),
        "{} differ\n{}",
        found.len(),
        found.join("\n")
    );
}
