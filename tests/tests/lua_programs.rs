//! The small Lua programs of [`redpoll_tests::lua_programs`], run by the server and by a real one.

use redpoll_tests::lua_programs::{Program, TOPICS};
use redpoll_tests::rng::Rng;
use redpoll_tests::{Client, Peers, Server, env_number};

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

/// Scripts that fill Lua's stack nearly or just too far: what is done with so many values must be done, or be an error that says so,
/// and never be an answer as if there were none.
#[test]
fn near_the_limits_of_luas_stack() {
    /// With `N` values in the table `t`.
    const WITH_MANY: &[&str] = &[
        "return redis.call('SADD', KEYS[1], unpack(t))",
        "return #redis.call('MGET', unpack(t))",
        "return #redis.pcall('MGET', unpack(t))",
        "return redis.call('DEL', KEYS[1], unpack(t))",
        "redis.call('RPUSH', KEYS[1], unpack(t)) return redis.call('LLEN', KEYS[1])",
        "return redis.call(unpack(t))",
        "return redis.pcall('NOSUCH', unpack(t))",
        "return redis.acl_check_cmd('mget', unpack(t))",
        "return redis.sha1hex(unpack(t))",
        "return {unpack(t)}",
        "return #{unpack(t)}",
        "return unpack(t)",
        "return select('#', unpack(t))",
        "return select(-1, unpack(t))",
        "return select('#', pcall(unpack, t))",
        "return select('#', pcall(redis.call, 'MGET', unpack(t)))",
        "return select('#', xpcall(function() return unpack(t) end, print))",
        "return select('#', coroutine.wrap(function(...) return ... end)(unpack(t)))",
        "return select('#', coroutine.resume(coroutine.create(function() return unpack(t) end)))",
        "local f = function(...) return select('#', ...) end return f(unpack(t))",
        "local f = function(...) return #arg end return f(unpack(t))",
        "local function f(n) if n == 0 then return select('#', unpack(t)) end return (f(n - 1)) end return f(FEW)",
        "return #table.concat({unpack(t)}, ',')",
        "return math.max(unpack(t))",
        "return #string.char(unpack(bytes))",
        "return select('#', string.byte(string.rep('x', N), 1, -1))",
        "return #string.format(string.rep('%s', N), unpack(t))",
        "return select('#', string.find(string.rep('x', N), string.rep('(x)', FEW)))",
        "return #cmsgpack.pack(unpack(t))",
        "return select('#', cmsgpack.unpack(cmsgpack.pack(unpack(t))))",
        "return #struct.pack(string.rep('b', N), unpack(bytes))",
        "return select('#', struct.unpack(string.rep('b', N), string.rep('x', N)))",
        "return #cjson.encode({unpack(t)})",
        "return #cjson.decode(cjson.encode({unpack(t)}))",
        "return bit.bor(unpack(bytes))",
        "return tostring((function(...) return (...) end)(unpack(t)))",
        "return setmetatable({}, {__call = function(_, ...) return select('#', ...) end})(unpack(t))",
        "local r = {} for i = 1, N do r = {r} end return r",
        "local r = {} for i = 1, N do r = {map = {a = r}} end redis.setresp(3) return r",
    ];
    let Some(peers) = Peers::find().or_skip("near_the_limits_of_luas_stack") else {
        return;
    };
    let ours = Server::redpoll();
    let theirs: Vec<Server> = [&peers.redis8, &peers.valkey]
        .into_iter()
        .flatten()
        .map(|peer| Server::peer(peer, &[]))
        .collect();
    let mut rng = Rng::new(env_number("REDPOLL_SEED", 3));
    let mut clients: Vec<Client> = theirs.iter().map(Server::connect).collect();
    clients.push(ours.connect());
    for script in WITH_MANY {
        for _ in 0..6 {
            let n = match rng.below(3) {
                // What real servers take, Lua's own limits, and those of its stack.
                0 => 7980 + rng.below(30),
                1 => *rng.pick(&[199, 200, 201, 249, 250, 255, 256, 7999, 8000]),
                _ => 1900 + rng.below(200),
            };
            let few = 1 + rng.below(40);
            let script = script.replace(" N", &format!(" {n}"));
            let script = format!(
                "local t, bytes = {{}}, {{}} for i = 1, {n} do t[i], bytes[i] = 'k' .. i, i % 100 end {}",
                script.replace("FEW", &few.to_string())
            );
            let mut replies = clients.iter_mut().map(|client| {
                client.call(&["FLUSHALL"]);
                client.send(&["EVAL", &script, "1", "key"]);
                let reply = client.read_raw();
                // What they say of the script that erred is their own, and so is their name.
                let end = reply.windows(9).position(|part| part == b" script: ");
                reply[..end.unwrap_or(reply.len())].to_vec()
            });
            let first = replies.next().expect("a reply");
            let others: Vec<_> = replies.collect();
            let we = others.last().unwrap_or(&first);
            let known = we == &first || others[..others.len().saturating_sub(1)].contains(we);
            assert!(
                known,
                "{script}\n  redpoll  {}\n  {}  {}",
                we[..we.len().min(200)].escape_ascii(),
                theirs[0].name(),
                first[..first.len().min(200)].escape_ascii()
            );
        }
    }
}
