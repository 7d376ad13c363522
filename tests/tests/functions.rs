//! FUNCTION and FCALL, held against the real servers.

use redpoll_tests::transcript::agree;
use redpoll_tests::{Peers, Server, skip};

const SCRIPTS: &[&str] = &[
    r##"
    a: FUNCTION LOAD "#!lua name=lib\nredis.register_function('get', function(k, a) return redis.call('GET', k[1]) end)\nredis.register_function{function_name='answer', callback=function(k, a) return 42 end, flags={'no-writes'}, description='the answer'}"
    a: SET k v
    a: FCALL get 1 k
    a: FCALL GET 1 k
    a: FCALL answer 0
    a: FCALL_RO answer 0
    a: FCALL_RO get 1 k
    a: FCALL nosuch 0
    a: FCALL get
    a: FCALL get x
    a: FCALL get 2 k
    a: FCALL get -1 k
    a: FUNCTION LOAD "#!lua name=lib\nredis.register_function('other', function() return 1 end)"
    a: FUNCTION LOAD REPLACE "#!lua name=lib\nredis.register_function('other', function() return 1 end)"
    a: FCALL get 1 k
    a: FCALL other 0
    a: FUNCTION LOAD "#!lua name=second\nredis.register_function('other', function() return 1 end)"
    a: FUNCTION LIST WITHCODE
    a: FUNCTION LIST LIBRARYNAME li*
    a: FUNCTION LIST LIBRARYNAME x* WITHCODE
    a: FUNCTION LIST LIBRARYNAME
    a: FUNCTION LIST NONSENSE
    a: FUNCTION DELETE second
    a: FUNCTION DELETE lib
    a: FUNCTION LIST
    a: FCALL other 0
    "##,
    r##"
    a: FUNCTION LOAD ""
    a: FUNCTION LOAD "return 1"
    a: FUNCTION LOAD "#!lua\nreturn 1"
    a: FUNCTION LOAD "#!lua name=a b=c\nreturn 1"
    a: FUNCTION LOAD "#!lua name=bad-name\nreturn 1"
    a: FUNCTION LOAD "#!python name=lib\nreturn 1"
    a: FUNCTION LOAD "#!lua name=lib\nreturn 1"
    a: FUNCTION LOAD "#!lua name=lib\nsyntax error here"
    a: FUNCTION LOAD "#!lua name=lib\nredis.register_function('f')"
    a: FUNCTION LOAD "#!lua name=lib\nredis.register_function('f', 1)"
    a: FUNCTION LOAD "#!lua name=lib\nredis.register_function('bad name', function() end)"
    a: FUNCTION LOAD "#!lua name=lib\nredis.register_function{function_name='f', callback=function() end, flags={'nonsense'}}"
    a: FUNCTION LOAD "#!lua name=lib\nredis.register_function{callback=function() end}"
    a: FUNCTION LOAD "#!lua name=lib\nredis.register_function{function_name='f', callback=function() end, more=1}"
    a: FUNCTION LOAD "#!lua name=lib\nredis.register_function('f', function() end)\nredis.register_function('f', function() end)"
    a: FUNCTION LOAD "#!lua name=lib\nredis.call('SET', 'x', 'y')"
    a: FUNCTION LOAD "#!lua name=lib\nglobal = 1"
    a: FUNCTION LOAD REPLACE REPLACE
    a: FUNCTION LOAD NONSENSE x
    a: FUNCTION DUMP EXTRA
    a: FUNCTION RESTORE x
    a: FUNCTION RESTORE x NONSENSE
    a: FUNCTION FLUSH NONSENSE
    a: FUNCTION FLUSH SYNC
    a: FUNCTION KILL
    a: FUNCTION STATS
    a: FUNCTION NONSENSE
    "##,
    r##"
    a: FUNCTION LOAD "#!lua name=lib\nlocal n = 0\nredis.register_function('count', function() n = n + 1 return n end)\nredis.register_function('err', function() return redis.error_reply('MY error') end)\nredis.register_function('fail', function() error('oops') end)\nredis.register_function('global', function() x = 1 end)\nredis.register_function{function_name='write', callback=function(k) return redis.call('SET', k[1], 'v') end, flags={'no-writes'}}\nredis.register_function('three', function() redis.setresp(3) return redis.call('HGETALL', 'h') end)"
    a: FCALL count 0
    a: FUNCTION LOAD "#!lua name=lib\nredis.register_function('count', 1)"
    a: FUNCTION LOAD "#!lua name=lib\nredis.register_function('count', function() return 'another' end)"
    a: FCALL count 0
    a: FCALL err 0
    a: FCALL fail 0
    a: FCALL global 0
    a: FCALL write 1 k
    a: FCALL_RO write 1 k
    a: HSET h f v
    a: FCALL three 0
    a: MULTI
    a: FCALL count 0
    a: FCALL nosuch 0
    a: EXEC
    "##,
];

#[test]
fn agree_with_real_servers() {
    let Some(peers) = Peers::find().or_skip("functions::agree_with_real_servers") else {
        return;
    };
    // One worker, since a library's own variables live in each worker's copy of it.
    let ours = Server::redpoll_with(&["--threads", "1"]);
    match &peers.redis8 {
        Some(peer) => agree(&ours, &Server::peer(peer, &[]), SCRIPTS),
        None => skip("functions", "Redis 8 is not there"),
    }
}

/// Libraries move between servers in either direction.
#[test]
fn dumps_cross() {
    use redpoll_tests::check::{check, check_args, show};
    use resp::Value;
    let Some(peers) = Peers::find().or_skip("functions::dumps_cross") else {
        return;
    };
    let library = "#!lua name=lib\nredis.register_function('f', function() return 'from a library that is long enough to be compressed, long enough to be compressed' end)";
    let ours = Server::redpoll();
    let mut here = ours.connect();
    for peer in [&peers.redis7, &peers.redis8, &peers.valkey]
        .into_iter()
        .flatten()
    {
        let theirs = Server::peer(peer, &[]);
        let mut there = theirs.connect();
        check(&mut here, "FUNCTION FLUSH", "OK");
        check_args(&mut here, &["FUNCTION", "LOAD", library], "\"lib\"");
        for forth in [true, false] {
            let (from, to) = match forth {
                true => (&mut here, &mut there),
                false => (&mut there, &mut here),
            };
            let Value::Bulk(dump) = from.run("FUNCTION DUMP") else {
                panic!("a dump is a string")
            };
            check(to, "FUNCTION FLUSH", "OK");
            let restored = to.call(&[&b"FUNCTION"[..], b"RESTORE", &dump]);
            assert_eq!(show(&restored), "OK", "{}", peer.name);
            let (a, b) = (from.run("FCALL f 0"), to.run("FCALL f 0"));
            assert_eq!(show(&a), show(&b));
            let again = to.call(&[&b"FUNCTION"[..], b"RESTORE", &dump]);
            assert_eq!(show(&again), "-ERR Library lib already exists");
            let replaced = to.call(&[&b"FUNCTION"[..], b"RESTORE", &dump, b"REPLACE"]);
            assert_eq!(show(&replaced), "OK");
        }
    }
}

/// A library that goes makes room for what another one of the same dump has of it, and is what is told of before its functions.
#[test]
fn a_dump_replaces_all_its_libraries_at_once() {
    use redpoll_tests::check::{check, check_args, show};
    use resp::Value;
    let Some(peers) = Peers::find().or_skip("functions::a_dump_replaces_all_its_libraries_at_once")
    else {
        return;
    };
    let library = |name: &str, function: &str| {
        format!(
            "#!lua name={name}\nredis.register_function('{function}', function() return '{name}' end)"
        )
    };
    let mut servers = vec![Server::redpoll()];
    let real = [&peers.redis7, &peers.redis8, &peers.valkey];
    servers.extend(
        real.into_iter()
            .flatten()
            .map(|peer| Server::peer(peer, &[])),
    );
    let mut here = servers[0].connect();
    let load = |client: &mut redpoll_tests::Client, name: &str, function: &str| {
        let source = library(name, function);
        check_args(
            client,
            &["FUNCTION", "LOAD", &source],
            &format!("\"{name}\""),
        );
    };
    load(&mut here, "one", "moved");
    load(&mut here, "two", "other");
    let Value::Bulk(dump) = here.run("FUNCTION DUMP") else {
        panic!("a dump is a string")
    };
    for server in &servers {
        let mut client = server.connect();
        check(&mut client, "FUNCTION FLUSH", "OK");
        load(&mut client, "two", "moved");
        let refused = client.call(&[&b"FUNCTION"[..], b"RESTORE", &dump]);
        let name = server.name();
        assert_eq!(show(&refused), "-ERR Library two already exists", "{name}");
        check(&mut client, "FCALL moved 0", "\"two\"");
        let replaced = client.call(&[&b"FUNCTION"[..], b"RESTORE", &dump, b"REPLACE"]);
        assert_eq!(show(&replaced), "OK", "{name}");
        check(&mut client, "FCALL moved 0", "\"one\"");
        check(&mut client, "FCALL other 0", "\"two\"");
    }
}
