//! Runs of a `Vm`: replies and values, what one leaves for the next, and what the server is asked.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::interrupts::CATCHES;
use crate::store::{Store, message, reply, reply3, try_run};
use redpoll_lua::{Ended, Interrupt, LogLevel, Script, Vm, sha1_hex};
use resp::Proto;

#[test]
fn commands_get_strings_and_their_replies_become_values() {
    for (script, expected) in [
        (
            "redis.call('SET','k','v') return redis.call('GET','k')",
            "$1 v",
        ),
        ("return redis.call('SET','k','v')", "+OK"),
        ("return redis.call('SET','k','v').ok", "$2 OK"),
        ("return redis.call('GET','no')", "$-1"),
        ("return tostring(redis.call('GET','no'))", "$5 false"),
        (
            "redis.call('INCR','n') return redis.call('INCR','n') + 0.5",
            ":2",
        ),
        (
            "return redis.call('ARGS',1,2.5,'x',-0,1e15,0.1)",
            "*6 $1 1 $3 2.5 $1 x $1 0 $16 1000000000000000 $3 0.1",
        ),
        (
            r"return redis.call('ARGS','a\0b','\255')",
            r"*2 $3 a\x00b $1 \xff",
        ),
        ("return redis.call('MAP')", "*4 $1 a :1 $1 b $-1"),
        ("return redis.call('DOUBLE')", "$3 1.5"),
        ("return redis.call('BOOL')", ":1"),
        ("return redis.call('BIG')", "$21 123456789012345678901"),
        ("return redis.call('VERBATIM')", "$4 text"),
        ("return redis.call('ATTRIBUTE')", "$5 value"),
        (
            "local r = redis.call('SHARED') return {#r, #r[1], r[2], #r[3]}",
            "*4 :3 :40000 :7 :40000",
        ),
        (
            "local t = {} for i = 1, 100 do t[i] = i end return #redis.call('ARGS', unpack(t))",
            ":100",
        ),
    ] {
        assert_eq!(reply(script), expected, "{script}");
    }
}

#[test]
fn replies_of_resp3_become_tables_that_say_their_type() {
    for (script, expected) in [
        ("return redis.call('MAP')", "%1 $1 a :1"),
        ("return redis.call('MAP').map.a", ":1"),
        ("return tostring(redis.call('MAP').map.b)", "$3 nil"),
        ("return redis.call('SET?')", "~1 $1 m"),
        ("return redis.call('SET?').set.m", "#t"),
        ("return redis.call('DOUBLE')", ",1.5"),
        ("return redis.call('DOUBLE').double * 2", ":3"),
        ("return redis.call('BOOL')", "#t"),
        ("return redis.call('BIG')", "(123456789012345678901"),
        (
            "return redis.call('BIG').big_number",
            "$21 123456789012345678901",
        ),
        ("return redis.call('VERBATIM')", "=8 mkd:text"),
        (
            "return redis.call('VERBATIM').verbatim_string.format",
            "$3 mkd",
        ),
        ("return redis.call('ATTRIBUTE')", "$5 value"),
        ("return tostring(redis.call('GET','no'))", "$3 nil"),
        ("return false", "#f"),
    ] {
        assert_eq!(reply3(script), expected, "{script}");
    }
}

#[test]
fn the_protocol_of_a_script_is_its_own() {
    let (mut vm, mut store) = (Vm::new(), Store::default());
    let mut run = |script: &str| {
        try_run(&mut vm, &mut store, script, &[], &[], Proto::Resp3).map(|(_, reply)| reply)
    };
    assert_eq!(
        run("redis.setresp(3) return redis.call('DOUBLE')").as_deref(),
        Ok(",1.5")
    );
    assert_eq!(run("return redis.call('DOUBLE')").as_deref(), Ok("$3 1.5"));
}

#[test]
fn errors_say_whether_the_server_has_counted_them() {
    let (mut vm, mut store) = (Vm::new(), Store::default());
    store.strings.insert(b"s".to_vec(), b"abc".to_vec());
    for (script, ended, expected) in [
        (
            "return redis.call('INCR','s')",
            Ended::Error { counted: true },
            "-ERR value is not an integer or out of range",
        ),
        (
            "return redis.pcall('INCR','s')",
            Ended::Reply,
            "-ERR value is not an integer or out of range",
        ),
        (
            "local ok, e = pcall(redis.call,'INCR','s') return e",
            Ended::Reply,
            "$43 ERR value is not an integer or out of range",
        ),
        (
            "error(redis.pcall('INCR','s'))",
            Ended::Error { counted: true },
            "-ERR value is not an integer or out of range",
        ),
        (
            "error('x')",
            Ended::Error { counted: false },
            "-ERR user_script:1: x",
        ),
        ("return", Ended::Reply, "$-1"),
        (
            "(",
            Ended::Error { counted: false },
            "-ERR Error compiling script (new function): user_script:1: unexpected symbol near '<eof>'",
        ),
        (
            "#!lua x\n",
            Ended::Error { counted: false },
            "-ERR Unknown lua shebang option: x",
        ),
    ] {
        let (how, reply) =
            try_run(&mut vm, &mut store, script, &[], &[], Proto::Resp2).expect("no abort");
        assert_eq!((how, message(&reply)), (ended, expected), "{script}");
    }
}

#[test]
fn a_panic_of_the_server_reaches_the_caller_and_spares_the_vm() {
    let mut vm = Vm::new();
    for catch in CATCHES {
        let script = catch.replace("BODY", "redis.call('PANIC')");
        let caught = catch_unwind(AssertUnwindSafe(|| {
            try_run(
                &mut vm,
                &mut Store::default(),
                &script,
                &[],
                &[],
                Proto::Resp2,
            )
        }));
        let panic = caught.expect_err("a panic");
        assert_eq!(
            panic.downcast_ref::<&str>(),
            Some(&"the server panics"),
            "{script}"
        );
        assert_eq!(
            try_run(
                &mut vm,
                &mut Store::default(),
                "return 1",
                &[],
                &[],
                Proto::Resp2
            ),
            Ok((Ended::Reply, ":1".to_owned()))
        );
    }
}

#[test]
fn keys_and_arguments_are_those_of_the_run() {
    let (mut vm, mut store) = (Vm::new(), Store::default());
    let script = "KEYS.x = 'x' ARGV.y = 1 return {KEYS[1], #KEYS, ARGV[1], #ARGV}";
    for (keys, args, expected) in [
        (
            &[&b"k1"[..], b"k2"][..],
            &[&b"a\0"[..]][..],
            r"*4 $2 k1 :2 $2 a\x00 :1",
        ),
        (&[b"other"], &[b"", b"z"], "*4 $5 other :1 $0  :2"),
    ] {
        let (_, reply) =
            try_run(&mut vm, &mut store, script, keys, args, Proto::Resp2).expect("no abort");
        assert_eq!(reply, expected);
    }
}

#[test]
fn a_run_leaves_nothing_for_the_next() {
    for (first, second, expected) in [
        ("x = 1", "return rawget(_G, 'x')", "$-1"),
        ("rawset(string, 'len', nil)", "return ('abc'):len()", ":3"),
        (
            "getmetatable('').__index.upper = nil",
            "return ('a'):upper()",
            "$1 A",
        ),
        (
            "string.upper = function() return 'no' end",
            "return string.upper('a')",
            "$1 A",
        ),
        (
            "for k in pairs(_G) do pcall(rawset, _G, k, nil) end",
            "return cjson.encode({1})",
            "$3 [1]",
        ),
        (
            "cjson.encode_max_depth(1)",
            "return cjson.encode({{}})",
            "$4 [{}]",
        ),
        (
            "cjson.encode_number_precision(3)",
            "return cjson.encode(1.23456)",
            "$7 1.23456",
        ),
        ("table.insert(redis, 1)", "return #redis", ":0"),
        (
            "setmetatable(_G, {__index = function() return 1 end})",
            "return pcall(function() return nope end)",
            "$-1",
        ),
    ] {
        let (mut vm, mut store) = (Vm::new(), Store::default());
        for (script, expected) in [(first, None), (second, Some(expected))] {
            let (_, reply) =
                try_run(&mut vm, &mut store, script, &[], &[], Proto::Resp2).expect("no abort");
            assert_eq!(reply, expected.unwrap_or(&reply), "{first} / {second}");
        }
    }
}

#[test]
fn garbage_does_not_pile_up_even_if_a_script_stops_the_collector() {
    let (mut vm, mut store) = (Vm::new(), Store::default());
    for stop in [
        "",
        "collectgarbage('stop') ",
        "collectgarbage('setpause', 100000) ",
    ] {
        let script =
            format!("{stop}local t = {{}} for i = 1, 100 do t[i] = {{i, 'x' .. i}} end return #t");
        for _ in 0..3000 {
            let (_, reply) =
                try_run(&mut vm, &mut store, &script, &[], &[], Proto::Resp2).expect("no abort");
            assert_eq!(reply, ":100");
        }
        // Each run makes some 15 kB of garbage.
        assert!(
            vm.memory_scripts() < 4 << 20,
            "{script}: {}",
            vm.memory_scripts()
        );
    }
}

#[test]
fn compiled_scripts_are_bounded_and_can_be_forgotten() {
    let (mut vm, mut store) = (Vm::new(), Store::default());
    for i in 0..2500 {
        let script = format!("return {i}");
        let (_, reply) =
            try_run(&mut vm, &mut store, &script, &[], &[], Proto::Resp2).expect("no abort");
        assert_eq!(reply, format!(":{i}"));
        // Used all the time, it is never the one that goes.
        try_run(&mut vm, &mut store, "return 'hot'", &[], &[], Proto::Resp2).expect("no abort");
    }
    assert!(vm.scripts() <= 1000, "{}", vm.scripts());
    assert!(vm.memory_scripts() < 4 << 20, "{}", vm.memory_scripts());
    let known = vm.scripts();
    vm.forget(&sha1_hex(b"return 'hot'"));
    assert_eq!(vm.scripts(), known - 1);
    vm.clear();
    assert_eq!((vm.scripts(), vm.memory_scripts()), (0, 0));
    assert_eq!(
        try_run(&mut vm, &mut store, "return 'hot'", &[], &[], Proto::Resp2)
            .map(|(_, reply)| reply)
            .as_deref(),
        Ok("$3 hot")
    );
    let bad = Script {
        sha: &sha1_hex(b"x"),
        body: b"x",
    };
    assert_eq!(
        vm.compile(&bad)
            .map_err(|line| String::from_utf8_lossy(&line).into_owned()),
        Err(
            "ERR Error compiling script (new function): user_script:1: '=' expected near '<eof>'"
                .to_owned()
        )
    );
}

#[test]
fn the_server_is_asked_for_what_is_its_own() {
    let (mut vm, mut store) = (Vm::new(), Store::default());
    for (script, expected) in [
        (
            "redis.log(redis.LOG_WARNING, 'a', 1, {}, 'b') return redis.log(0, 'c')",
            "$-1",
        ),
        (
            "redis.set_repl(redis.REPL_AOF) redis.set_repl(redis.REPL_ALL) redis.set_repl(redis.REPL_NONE)",
            "$-1",
        ),
        (
            "return {redis.acl_check_cmd('GET', 'k'), redis.acl_check_cmd('SET')}",
            "*2 :1 $-1",
        ),
        (
            "return redis.acl_check_cmd('NO')",
            "-ERR Invalid command passed to redis.acl_check_cmd()",
        ),
        ("return server.call == redis.call", ":1"),
    ] {
        let (_, reply) =
            try_run(&mut vm, &mut store, script, &[], &[], Proto::Resp2).expect("no abort");
        assert_eq!(message(&reply), expected, "{script}");
    }
    assert_eq!(
        store.log,
        [
            (LogLevel::Warning, "a 1 b".to_owned()),
            (LogLevel::Debug, "c".to_owned())
        ]
    );
    assert_eq!(store.repl, [(true, false), (true, true), (false, false)]);
}

#[test]
fn the_deepest_recursion_fits_the_stack_asked_for() {
    let run = || {
        for (script, expected) in [
            (
                "local function f(s) return (s:gsub('.', f)) end return f('x')",
                "C stack overflow",
            ),
            (
                "local function f() table.sort({1, 2, 3}, f) end f()",
                "C stack overflow",
            ),
            ("local function f() return pcall(f) end return {f()}", ""),
            (
                "local t = {} t[1] = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) return t[1][1]",
                "C stack overflow",
            ),
            (
                "local function f() return coroutine.wrap(f)() end return f()",
                "C stack overflow",
            ),
            (
                "local function f() return 1 + f() end return f()",
                "stack overflow",
            ),
            (
                "local t = {} for i = 1, 100000 do t = {t} end return t",
                "*1",
            ),
            (
                "local t = {} for i = 1, 100000 do t = {map = {x = t}} end return t",
                "*2",
            ),
            (
                "return {string.find(('a'):rep(100000), ('a?'):rep(100000))}",
                "*2",
            ),
            (
                "return {string.find(('a'):rep(1000), ('a?'):rep(1000))}",
                "*2",
            ),
            (
                "cjson.decode_max_depth(1000000) return cjson.decode(('['):rep(1000000))",
                "too many nested",
            ),
            (
                "cjson.encode_max_depth(1000000) local t = {} for i = 1, 100000 do t = {t} end return cjson.encode(t)",
                "excessive nesting",
            ),
            (
                r"return cmsgpack.unpack(('\145'):rep(1000000))",
                "stack overflow",
            ),
            ("return loadstring(('('):rep(100000))", "$-1"),
            ("return loadstring('return ' .. ('{'):rep(100000))", "$-1"),
        ] {
            // Bounded: some of these take exponential time to fail otherwise.
            let mut store = Store {
                interrupt: Some(Interrupt::Kill),
                ..Store::default()
            };
            let run = try_run(&mut Vm::new(), &mut store, script, &[], &[], Proto::Resp2);
            let reply = run.expect("no abort").1;
            assert!(
                reply.contains(expected) || reply.contains("killed"),
                "{script}: {}",
                &reply[..reply.len().min(300)]
            );
        }
    };
    let thread = std::thread::Builder::new().stack_size(4 << 20).spawn(run);
    thread.expect("a thread").join().expect("no panic");
}

#[test]
fn a_vm_can_move_to_another_thread() {
    let mut vm = Vm::new();
    let mut run = |script: &str| {
        let (mut store, mut moved) = (Store::default(), std::mem::take(&mut vm));
        let script = script.to_owned();
        let thread = std::thread::spawn(move || {
            let run = try_run(&mut moved, &mut store, &script, &[], &[], Proto::Resp2);
            (moved, run.map(|(_, reply)| reply))
        });
        let (back, reply) = thread.join().expect("no panic");
        vm = back;
        reply
    };
    assert_eq!(run("return redis.call('INCR','n')").as_deref(), Ok(":1"));
    assert_eq!(run("return cjson.encode({1})").as_deref(), Ok("$3 [1]"));
}
