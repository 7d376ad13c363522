//! Libraries of functions in a `Vm`.

use crate::store::{Store, message, shown};
use redpoll_lua::{Flags, Library, LoadError, Vm};
use resp::{Out, Proto};

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
