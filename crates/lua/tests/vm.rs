//! Runs, libraries and interruptions of a `Vm`, with a server that is a small map.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redpoll_lua::{
    Abort, Ended, Flags, Interrupt, Library, LoadError, LogLevel, Script, Server, Vm, sha1_hex,
};
use resp::{Out, Proto, parse_i64};

/// A server with strings, and commands whose replies are of every type.
#[derive(Default)]
struct Store {
    strings: HashMap<Vec<u8>, Vec<u8>>,
    log: Vec<(LogLevel, String)>,
    repl: Vec<(bool, bool)>,
    calls: usize,
    /// The call that is answered with Abort, counted from 1.
    abort_at: usize,
    polls: usize,
    /// What the third poll and later ones answer.
    interrupt: Option<Interrupt>,
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
fn shown(reply: &[u8]) -> String {
    let text = reply.escape_ascii().to_string();
    text.replace(r"\r\n", " ")
        .replace(r"\'", "'")
        .trim_end()
        .to_owned()
}

fn try_run(
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
fn reply(script: &str) -> String {
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
fn reply3(script: &str) -> String {
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
fn message(reply: &str) -> &str {
    reply.split(" script: ").next().unwrap_or_default()
}

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

/// Ways to keep an error from ending the script.
const CATCHES: &[&str] = &[
    "BODY",
    "pcall(function() BODY end) return 'caught'",
    "while true do pcall(function() BODY end) end",
    "xpcall(function() BODY end, function() redis.call('SET','handler','ran') end) return 'caught'",
    "coroutine.resume(coroutine.create(function() BODY end)) return 'caught'",
    "pcall(coroutine.wrap(function() pcall(function() BODY end) end)) return 'caught'",
    "return pcall(pcall, pcall, function() BODY end)",
    "local t = setmetatable({}, {__index = function() BODY end}) pcall(function() return t.x end) return 'caught'",
    "pcall(table.sort, {1, 2, 3}, function() BODY end) return 'caught'",
    "pcall(string.gsub, 'abc', '.', function() BODY end) return 'caught'",
    "load(function() BODY end) return 'caught'",
];

#[test]
fn an_abort_passes_everything_that_catches_errors() {
    let mut vm = Vm::new();
    for catch in CATCHES {
        let script = catch.replace(
            "BODY",
            "redis.call('SET','a','1') redis.call('SET','b','2')",
        );
        let mut store = Store {
            abort_at: 2,
            ..Store::default()
        };
        let run = try_run(&mut vm, &mut store, &script, &[], &[], Proto::Resp2);
        assert_eq!(run, Err(Abort), "{script}");
        assert_eq!(store.calls, 2, "{script}");
        assert!(
            !store.strings.contains_key(&b"b"[..]) && !store.strings.contains_key(&b"handler"[..]),
            "{script}"
        );
        // The Vm is as before.
        let run = try_run(
            &mut vm,
            &mut Store::default(),
            "return redis.call('INCR','n')",
            &[],
            &[],
            Proto::Resp2,
        );
        assert_eq!(run, Ok((Ended::Reply, ":1".to_owned())));
    }
}

#[test]
fn a_kill_passes_everything_that_catches_errors() {
    let mut vm = Vm::new();
    for catch in CATCHES {
        for (interrupt, expected) in [
            (
                Interrupt::Kill,
                Ok("-ERR Script killed by user with SCRIPT KILL..."),
            ),
            (Interrupt::Abort, Err(Abort)),
        ] {
            let script = catch.replace("BODY", "while true do end");
            let mut store = Store {
                interrupt: Some(interrupt),
                ..Store::default()
            };
            let run = try_run(&mut vm, &mut store, &script, &[], &[], Proto::Resp2);
            let found = run.map(|(_, reply)| message(&reply).to_owned());
            assert_eq!(found, expected.map(str::to_owned), "{script}");
            assert_eq!(store.calls, 0, "{script}");
        }
    }
}

/// When a run is stopped Lua calls the handler of an `xpcall` before it unwinds: it must not be the script's.
#[test]
fn nothing_of_a_script_runs_while_it_is_stopped() {
    let mut vm = Vm::new();
    for interrupt in [Interrupt::Kill, Interrupt::Abort] {
        for body in [
            "while true do end",
            "string.find(('a'):rep(30000), ('.-'):rep(30) .. 'b')",
            "redis.call('GET', 'a') while true do end",
        ] {
            for handler in [
                "function(e) redis.log(redis.LOG_WARNING, 'handler') while true do end end",
                "redis.call",
                "function(e) return redis.call('SET', 'handler', '1') end",
            ] {
                for script in [
                    format!("return {{xpcall(function() {body} end, {handler})}}"),
                    format!("load(function() {body} end) redis.log(redis.LOG_WARNING, 'after')"),
                    format!(
                        "local f = coroutine.wrap(function() return xpcall(function() {body} end, {handler}) end) \
                         xpcall(f, {handler}) redis.log(redis.LOG_WARNING, 'after')"
                    ),
                ] {
                    let mut store = Store {
                        interrupt: Some(interrupt),
                        ..Store::default()
                    };
                    let run = try_run(&mut vm, &mut store, &script, &[], &[], Proto::Resp2);
                    match interrupt {
                        Interrupt::Abort => assert_eq!(run, Err(Abort), "{script}"),
                        Interrupt::Kill => {
                            let reply = run.expect("a reply").1;
                            assert!(reply.contains("killed by user"), "{script}: {reply}");
                        }
                    }
                    assert!(store.log.is_empty() && store.strings.is_empty(), "{script}");
                }
            }
        }
    }
}

/// A handler that never ends is stopped like everything else.
#[test]
fn an_error_handler_that_never_ends_is_killed() {
    let mut store = Store {
        interrupt: Some(Interrupt::Kill),
        ..Store::default()
    };
    let script = "return {xpcall(error, function() while true do end end)}";
    let run = try_run(&mut Vm::new(), &mut store, script, &[], &[], Proto::Resp2);
    let reply = run.expect("a reply").1;
    assert!(reply.contains("killed by user"), "{reply}");
}

/// Functions of the libraries that would take for ever, or long, ask the server whether to go on.
#[test]
fn long_functions_can_be_stopped() {
    let strings = "local s = ('a'):rep(200000)";
    let table = "local t = {} for i = 1, 200000 do t[i] = (i * 7919) % 200003 end";
    for (before, long) in [
        (strings, "s:find(('a?'):rep(20) .. ('a'):rep(20) .. 'b')"),
        (strings, "s:match(('.-'):rep(9) .. 'b')"),
        (strings, "s:gsub('(a*)*b', '')"),
        (strings, "s:gsub(('a*'):rep(9) .. 'b', '')"),
        (strings, "for _ in s:gmatch(('a-'):rep(9) .. 'b') do end"),
        (
            strings,
            "s:find(('[^' .. ('b'):rep(9000) .. ']*'):rep(2) .. 'b')",
        ),
        (strings, "s:gsub('', ('x'):rep(2000))"),
        (strings, "s:gsub('a', tostring)"),
        ("", "local s = ('x'):rep(2000000000)"),
        (
            "local t = {} for i = 1, 700 do t[i] = ('x'):rep(100000) .. i end",
            "table.concat(t)",
        ),
        (table, "table.sort(t)"),
        (table, "table.sort(t, rawequal)"),
        (table, "for i = 1, 300 do table.insert(t, 1, i) end"),
        (table, "for i = 1, 300 do table.remove(t, 1) end"),
        (table, "for i = 1, 100 do table.maxn(t) end"),
        (table, "for i = 1, 100 do table.foreach(t, rawequal) end"),
        (table, "for i = 1, 100 do table.foreachi(t, math.max) end"),
        (table, "for i = 1, 100 do cjson.encode(t) end"),
        (
            table,
            "local j = cjson.encode(t) for i = 1, 100 do cjson.decode(j) end",
        ),
        (table, "for i = 1, 100 do cmsgpack.pack(t) end"),
        (
            table,
            "local m = cmsgpack.pack(t) for i = 1, 100 do cmsgpack.unpack(m) end",
        ),
        ("", "struct.pack(('x'):rep(30000000))"),
        ("", "struct.size(('x'):rep(30000000))"),
        ("local s = ('a = 1 '):rep(3000000)", "loadstring(s)"),
        (
            "local s = ('1'):rep(3000000)",
            "for i = 1, 1000 do local n = s + 1 end",
        ),
        (
            "local s = ('a'):rep(3000000)",
            "for i = 1, 1000 do local n = s .. i end",
        ),
        (
            "local s = ('a'):rep(3000000) local a, b = s .. 1, s .. 2",
            "for i = 1, 1000 do local n = a < b end",
        ),
        (
            "local s = ('\"'):rep(1000000)",
            "for i = 1, 200 do cjson.encode(s) end",
        ),
        (
            "local t = {} for i = 1, 200000 do t[i] = i end for i = 1, 200000 do t[i] = nil end",
            "for i = 1, 2000 do next(t) end",
        ),
        (
            "local t = {} for i = 1, 200000 do t[i] = {} end",
            "for i = 1, 50 do collectgarbage() end",
        ),
        (
            "local t = {} for i = 1, 3000000 do t[i] = i end",
            "return t",
        ),
    ] {
        // The clock of this test's server: it is asked often enough if never much happens between two questions.
        let mut clock = Clock::default();
        let script = format!("{before} redis.call('BEGIN') {long}");
        let mut out = Out::new(Proto::Resp2);
        let sha = sha1_hex(script.as_bytes());
        let parsed = Script {
            sha: &sha,
            body: script.as_bytes(),
        };
        let ended = Vm::new().run(&parsed, &[], &[], &mut clock, &mut out);
        assert_eq!(ended, Err(Abort), "{script}: {}", shown(&out.to_vec()));
    }
}

/// A function that works on one long string asks the server while it is at it, not only when it is done.
#[test]
fn long_strings_are_worked_on_in_pieces() {
    let long = "local s = ('Ab'):rep(12000000)";
    for (before, work) in [
        ("", "s:reverse()"),
        ("", "s:upper()"),
        ("", "s:lower()"),
        ("", "string.rep('Ab', 12000000)"),
        ("", "string.format('%s!', s)"),
        ("", "string.format('%q', s)"),
        ("", "redis.sha1hex(s)"),
        ("", "cjson.encode({s})"),
        ("local j = cjson.encode(s)", "cjson.decode(j)"),
        ("local j = '1' .. (' '):rep(9000000)", "cjson.decode(j)"),
        ("", "s:match('((((((.*))))))')"),
        ("", "s:gsub('.*', '%0%0%0%0%0%0')"),
    ] {
        let polls = |work: &str| {
            let script = format!("{long} {before} redis.call('BEGIN') {work} redis.call('END')");
            let mut counts = Counts::default();
            let mut out = Out::new(Proto::Resp2);
            let sha = sha1_hex(script.as_bytes());
            let parsed = Script {
                sha: &sha,
                body: script.as_bytes(),
            };
            let ended = Vm::new().run(&parsed, &[], &[], &mut counts, &mut out);
            assert_eq!(
                ended,
                Ok(Ended::Reply),
                "{script}: {}",
                shown(&out.to_vec())
            );
            counts.between.expect("a count")
        };
        // Beside a function that does nothing with it.
        let (many, few) = (polls(work), polls("s:len()"));
        assert!(many >= few + 4, "{work}: {many}, {few}");
    }
}

/// Long strings are made as Lua's own functions make short ones.
#[test]
fn long_strings_are_what_short_ones_are() {
    let long = "local s = ('aB\\n\"\\0\\r'):rep(20000) local q = ('aB\\\\\\n\\\\\"\\\\000\\\\r'):rep(20000) ";
    for (test, expected) in [
        ("s:reverse():reverse() == s", ":1"),
        ("s:reverse():sub(1, 6) == '\\r\\0\"\\nBa'", ":1"),
        ("s:upper() == ('AB\\n\"\\0\\r'):rep(20000)", ":1"),
        ("s:lower() == ('ab\\n\"\\0\\r'):rep(20000)", ":1"),
        ("(''):reverse() .. (''):upper() .. (12):lower()", "-ERR"),
        ("string.lower(12) .. string.reverse(12)", "$4 1221"),
        ("string.format('%q', s) == '\"' .. q .. '\"'", ":1"),
        (
            "string.format('%5s|%-3d|%%|%s|%05.1f%s', 'a', 7, s, 2.25, s) == '    a|7  |%|' .. s .. '|002.2' .. s",
            ":1",
        ),
        ("string.format('%3.1s|%s', s, 'x')", "$5   a|x"),
        (
            "string.format('%s|%q|%s', s, 5, 6) == s .. '|\"5\"|6'",
            ":1",
        ),
        ("string.format('%x|%s', '255', s) == 'ff|' .. s", ":1"),
        ("#string.format(s .. '%%' .. s)", ":240001"),
        ("string.format('%d', s)", "-ERR"),
        ("string.format('%s%s', s)", "-ERR"),
        ("string.format('%s%s', s, {})", "-ERR"),
        ("string.format('%y', s)", "-ERR"),
        ("string.format('%s%', s)", "-ERR"),
        ("string.format('%123s', s)", "-ERR"),
        ("string.format('%------s', s)", "-ERR"),
        (
            "({s:gsub('a', 'b')})[1] == ('bB\\n\"\\0\\r'):rep(20000)",
            ":1",
        ),
        (
            "({s:gsub('[aB]', {a = 1, B = 'xyz'})})[1] == ('1xyz\\n\"\\0\\r'):rep(20000)",
            ":1",
        ),
        (
            "({s:gsub('B', function(b) return b:rep(3) end)})[1] == ('aBBB\\n\"\\0\\r'):rep(20000)",
            ":1",
        ),
        ("({s:gsub('nothing', '')})[1] == s", ":1"),
        ("({('abc'):gsub('b', '%0%0')})[1]", "$4 abbc"),
        ("cjson.decode(cjson.encode({s}))[1] == s", ":1"),
        (
            "redis.sha1hex(s) == redis.sha1hex(s:sub(1, 60000) .. s:sub(60001))",
            ":1",
        ),
    ] {
        let got = reply(&format!("{long} return {test}"));
        match expected {
            "-ERR" => assert!(got.starts_with("-ERR"), "{test}: {got:.100}"),
            _ => assert_eq!(&got[..got.len().min(100)], expected, "{test}"),
        }
    }
    // What is wrong is said as of short ones.
    for wrong in [
        "string.format('%d', s)",
        "string.format('%s%s', s)",
        "string.format('%s%s', s, {})",
        "string.format('%y', s)",
        "string.format('%s%', s)",
        "string.format('%123s', s)",
        "string.format('%------s', s)",
    ] {
        let of = |s: &str| {
            let text = reply(&format!("local s = {s} return {wrong}"));
            message(&text).to_owned()
        };
        assert_eq!(of("('x'):rep(100000)"), of("'x'"), "{wrong}");
    }
}

/// A server that counts the calls of `poll` between BEGIN and END.
#[derive(Default)]
struct Counts {
    polls: usize,
    between: Option<usize>,
}

impl Server for Counts {
    fn call(&mut self, argv: &[&[u8]], reply: &mut Out) -> Result<(), Abort> {
        match argv {
            [b"BEGIN"] => self.polls = 0,
            _ => self.between = Some(self.polls),
        }
        reply.ok();
        Ok(())
    }
    fn replied_error(&mut self, _: &[u8], _: bool) {}
    fn log(&mut self, _: LogLevel, _: &[u8]) {}
    fn poll(&mut self, _: usize) -> Option<Interrupt> {
        self.polls += 1;
        None
    }
    fn acl_check(&mut self, _: &[&[u8]]) -> Option<bool> {
        None
    }
    fn set_repl(&mut self, _: bool, _: bool) {}
}

/// A server that ends a script some calls of `poll` after BEGIN.
#[derive(Default)]
struct Clock {
    begun: bool,
    polls: usize,
}

impl Server for Clock {
    fn call(&mut self, _: &[&[u8]], reply: &mut Out) -> Result<(), Abort> {
        self.begun = true;
        reply.ok();
        Ok(())
    }
    fn replied_error(&mut self, _: &[u8], _: bool) {}
    fn log(&mut self, _: LogLevel, _: &[u8]) {}
    fn poll(&mut self, _: usize) -> Option<Interrupt> {
        self.polls += usize::from(self.begun);
        (self.polls >= 3).then_some(Interrupt::Abort)
    }
    fn acl_check(&mut self, _: &[&[u8]]) -> Option<bool> {
        None
    }
    fn set_repl(&mut self, _: bool, _: bool) {}
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

/// The library with `code` behind its first line.
fn load(vm: &mut Vm, version: u64, code: &str) -> Result<Vec<redpoll_lua::FunctionSpec>, String> {
    let body = format!("#!lua name=lib\n{code}");
    let library = Library {
        name: b"lib",
        version,
        body: body.as_bytes(),
    };
    vm.load_library(&library, &mut Store::default())
        .map_err(|error| match error {
            LoadError::Reply(line) => String::from_utf8_lossy(&line).into_owned(),
            LoadError::Abort => "abort".to_owned(),
        })
}

fn call(vm: &mut Vm, function: &str, keys: &[&[u8]], args: &[&[u8]]) -> Option<String> {
    let mut out = Out::new(Proto::Resp2);
    let ended = vm.call_function(
        b"lib",
        function.as_bytes(),
        keys,
        args,
        &mut Store::default(),
        &mut out,
    )?;
    assert!(ended.is_ok());
    Some(shown(&out.to_vec()))
}

#[test]
fn libraries_register_functions_that_can_be_called() {
    let mut vm = Vm::new();
    let code = "local count = 0
        local function helper(x) return x .. '!' end
        redis.register_function('count', function() count = count + 1 return count end)
        redis.register_function{
            function_name = 'echo', description = 'gives back', flags = {'no-writes', 'allow-stale'},
            callback = function(keys, args) return {keys, args, helper(args[1])} end }
        redis.register_function('bad', function() return nope end)
        redis.register_function('calls', function() redis.call('SET', 'k', 'v') return redis.call('GET', 'k') end)";
    let specs = load(&mut vm, 1, code).expect("loads");
    let names: Vec<_> = specs
        .iter()
        .map(|spec| String::from_utf8_lossy(&spec.name).into_owned())
        .collect();
    assert_eq!(names, ["count", "echo", "bad", "calls"]);
    assert_eq!(specs[1].description.as_deref(), Some(&b"gives back"[..]));
    assert_eq!(specs[1].flags, Flags::NO_WRITES | Flags::ALLOW_STALE);
    assert_eq!(specs[0].flags.names().count(), 0);
    assert!(
        vm.has_library(b"lib", 1) && !vm.has_library(b"lib", 2) && !vm.has_library(b"other", 1)
    );

    assert_eq!(call(&mut vm, "count", &[], &[]).as_deref(), Some(":1"));
    assert_eq!(call(&mut vm, "count", &[], &[]).as_deref(), Some(":2"));
    assert_eq!(
        call(&mut vm, "echo", &[b"k"], &[b"a", b"b"]).as_deref(),
        Some("*3 *1 $1 k *2 $1 a $1 b $2 a!")
    );
    assert_eq!(call(&mut vm, "calls", &[], &[]).as_deref(), Some("$1 v"));
    assert_eq!(
        call(&mut vm, "bad", &[], &[]).as_deref(),
        Some(
            "-ERR user_function:8: Script attempted to access nonexistent global variable 'nope' script: bad, on @user_function:8."
        )
    );
    assert_eq!(call(&mut vm, "nope", &[], &[]), None);

    // A library that fails to load leaves the one before in place; one that loads takes its place.
    assert!(load(&mut vm, 2, "redis.register_function('count', 1)").is_err());
    assert!(vm.has_library(b"lib", 1));
    assert!(
        load(
            &mut vm,
            3,
            "redis.register_function('count', function() return 'new' end)"
        )
        .is_ok()
    );
    assert!(vm.has_library(b"lib", 3) && !vm.has_library(b"lib", 1));
    assert_eq!(call(&mut vm, "count", &[], &[]).as_deref(), Some("$3 new"));
    assert_eq!(call(&mut vm, "echo", &[], &[]), None);
    vm.drop_library(b"lib");
    assert!(!vm.has_library(b"lib", 3));
    assert_eq!(call(&mut vm, "count", &[], &[]), None);
    assert!(vm.memory_functions() > 0);
    vm.clear_libraries();
    assert_eq!(vm.memory_functions(), 0);
}

#[test]
fn errors_of_loading_are_those_of_real_servers() {
    const ONLY_NAMES: &str = "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";
    const NAMED: &str = "ERR calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).";
    let f = "function() end";
    for (code, expected) in [
        ("return 1", "ERR No functions registered"),
        (
            "redis.call('SET','a',1)",
            "ERR user_function:2: Script attempted to access nonexistent global variable 'call'",
        ),
        (
            "local x = redis.foo",
            "ERR user_function:2: Script attempted to access nonexistent global variable 'foo'",
        ),
        (
            "foo = 1",
            "ERR user_function:2: Attempt to modify a readonly table",
        ),
        (
            "redis.x = 1",
            "ERR user_function:2: Attempt to modify a readonly table",
        ),
        (
            "error('x')",
            "ERR user_function:2: Script attempted to access nonexistent global variable 'error'",
        ),
        (
            "local t = _G",
            "ERR user_function:2: Script attempted to access nonexistent global variable '_G'",
        ),
        (
            "redis.register_function()",
            "ERR wrong number of arguments to redis.register_function",
        ),
        ("redis.register_function('a')", NAMED),
        ("redis.register_function(5)", NAMED),
        (
            "redis.register_function('a', 1)",
            "ERR second argument to redis.register_function must be a function",
        ),
        (
            "redis.register_function({}, F)",
            "ERR first argument to redis.register_function must be a string",
        ),
        (
            "redis.register_function('a', F, 1)",
            "ERR wrong number of arguments to redis.register_function",
        ),
        ("redis.register_function('a-b', F)", ONLY_NAMES),
        ("redis.register_function('', F)", ONLY_NAMES),
        (r"redis.register_function('a\0b', F)", ONLY_NAMES),
        (
            "redis.register_function({})",
            "ERR redis.register_function must get a function name argument",
        ),
        (
            "redis.register_function({function_name='a'})",
            "ERR redis.register_function must get a callback argument",
        ),
        (
            "redis.register_function({callback=F})",
            "ERR redis.register_function must get a function name argument",
        ),
        (
            "redis.register_function({function_name='a',callback=F,bad=1})",
            "ERR unknown argument given to redis.register_function",
        ),
        (
            "redis.register_function({function_name='a',callback=F,flags={'bad'}})",
            "ERR unknown flag given",
        ),
        (
            "redis.register_function({function_name='a',callback=F,flags={1}})",
            "ERR unknown flag given",
        ),
        (
            "redis.register_function({function_name='a',callback=F,flags='no-writes'})",
            "ERR flags argument to redis.register_function must be a table representing function flags",
        ),
        (
            "redis.register_function({function_name={},callback=F})",
            "ERR function_name argument given to redis.register_function must be a string",
        ),
        (
            "redis.register_function({function_name='a',callback=1})",
            "ERR callback argument given to redis.register_function must be a function",
        ),
        (
            "redis.register_function({'a',F})",
            "ERR unknown argument given to redis.register_function",
        ),
        (
            "redis.register_function('a',F) redis.register_function('a',F)",
            "ERR Function already exists in the library",
        ),
        ("while true do end", "ERR FUNCTION LOAD timeout"),
    ] {
        let found = load(&mut Vm::new(), 1, &code.replace('F', f)).expect_err(code);
        let expected = match expected {
            "ERR No functions registered" => expected.to_owned(),
            _ => format!("ERR Error registering functions: {expected}"),
        };
        assert_eq!(found, expected, "{code}");
    }
    assert_eq!(
        load(&mut Vm::new(), 1, "x x").expect_err("syntax"),
        "ERR Error compiling function: user_function:2: '=' expected near 'x'"
    );
}

#[test]
fn functions_cannot_register_functions_or_change_globals() {
    let mut vm = Vm::new();
    let code = "local at_load = redis
        redis.register_function('late', function() at_load.register_function('x', function() end) end)
        redis.register_function('gone', function() return redis.register_function end)
        redis.register_function('set', function() x = 1 end)
        redis.register_function('keys', function() return KEYS end)
        redis.register_function('pairs', function() local n = 0 for _ in pairs(_G) do n = n + 1 end return n > 20 end)";
    load(&mut vm, 1, code).expect("loads");
    for (function, expected) in [
        (
            "late",
            "-ERR redis.register_function can only be called on FUNCTION LOAD command",
        ),
        ("gone", "$-1"),
        (
            "set",
            "-ERR user_function:5: Attempt to modify a readonly table",
        ),
        (
            "keys",
            "-ERR user_function:6: Script attempted to access nonexistent global variable 'KEYS'",
        ),
        ("pairs", ":1"),
    ] {
        let reply = call(&mut vm, function, &[], &[]).expect(function);
        assert_eq!(message(&reply), expected, "{function}");
    }
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

/// A large script was compiled right after another one had been stopped, and got the error that had stopped that one: the compiler
/// asks from time to time whether to go on, and took the answer from before.
#[test]
fn what_stopped_one_script_does_not_stop_the_compiling_of_the_next() {
    let mut vm = Vm::new();
    let mut store = Store {
        abort_at: 1,
        ..Store::default()
    };
    let stopped = "return redis.call('GET', 'k')";
    let run = try_run(&mut vm, &mut store, stopped, &[], &[], Proto::Resp2);
    assert_eq!(run, Err(Abort));
    let large = format!("local x = 0 {} return x", "x = x + 1 ".repeat(30_000));
    let sha = sha1_hex(large.as_bytes());
    let script = Script {
        sha: &sha,
        body: large.as_bytes(),
    };
    assert_eq!(vm.compile(&script), Ok(()));
}
