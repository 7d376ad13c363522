//! Runs of a `Vm` that are stopped: by an abort, a kill, in whatever they are in the middle of.

use crate::store::{Store, message, reply, shown, try_run};
use redpoll_lua::{Abort, Ended, Interrupt, LogLevel, Script, Server, Vm, sha1_hex};
use resp::{Out, Proto};

/// Ways to keep an error from ending the script.
pub const CATCHES: &[&str] = &[
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
