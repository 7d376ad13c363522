//! Patterns as this crate matches them, compared with Lua's own matcher.

use std::ffi::{CString, c_int};

use mlua_sys as ffi;
use proptest::prelude::*;
use redpoll_lua::{Abort, Interrupt, LogLevel, Script, Server, Vm, sha1_hex};
use resp::{Out, Proto};

/// Calls every function that takes a pattern and writes down what it gives.
const PROGRAM: &str = r#"
local text, pattern, replacement, number = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local lines = {}
local function note(...)
    local line = {}
    for i = 1, select('#', ...) do
        local value = select(i, ...)
        line[i] = type(value) .. ' ' .. tostring(value)
    end
    lines[#lines + 1] = table.concat(line, ',')
end
note(pcall(string.find, text, pattern))
note(pcall(string.find, text, pattern, number))
note(pcall(string.find, text, pattern, number, true))
note(pcall(string.match, text, pattern, number))
note(pcall(string.gsub, text, pattern, replacement))
note(pcall(string.gsub, text, pattern, replacement, number))
note(pcall(string.gsub, text, pattern, function(...) note(...) return (...) end))
note(pcall(string.gsub, text, pattern, {a = 'A', b = 7, ab = false}))
note(pcall(string.gsub, text, pattern, function() return {} end))
note(pcall(function()
    for a, b, c in string.gmatch(text, pattern) do note(a, b, c) end
end))
return (table.concat(lines, ';'):gsub(': 0x%x+', ''))
"#;

struct Nothing;

impl Server for Nothing {
    fn call(&mut self, _: &[&[u8]], _: &mut Out) -> Result<(), Abort> {
        Err(Abort)
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

fn ours(vm: &mut Vm, args: &[&[u8]]) -> Vec<u8> {
    let mut out = Out::new(Proto::Resp2);
    let script = Script {
        sha: &sha1_hex(PROGRAM.as_bytes()),
        body: PROGRAM.as_bytes(),
    };
    vm.run(&script, &[], args, &mut Nothing, &mut out)
        .expect("nothing ends it");
    let reply = out.to_vec();
    assert_eq!(reply[0], b'$', "{}", reply.escape_ascii());
    let head = reply.iter().position(|&b| b == b'\n').expect("a line") + 1;
    reply[head..reply.len() - 2].to_vec()
}

/// A state of plain Lua.
struct Plain(*mut ffi::lua_State);

impl Plain {
    fn new() -> Plain {
        // SAFETY: a new state, used by this test alone.
        unsafe {
            let state = ffi::luaL_newstate();
            assert!(!state.is_null());
            ffi::luaL_openlibs(state);
            Plain(state)
        }
    }

    fn run(&self, args: &[&[u8]]) -> Vec<u8> {
        let l = self.0;
        // SAFETY: the stack has room for these few values, and errors end in the protected call.
        unsafe {
            ffi::lua_createtable(l, args.len() as c_int, 0);
            for (i, arg) in (1..).zip(args) {
                ffi::lua_pushlstring_(l, arg.as_ptr().cast(), arg.len());
                ffi::lua_rawseti_(l, -2, i);
            }
            let name = CString::new("ARGV").expect("no NUL");
            ffi::lua_setfield(l, ffi::LUA_GLOBALSINDEX, name.as_ptr());
            let name = c"@user_script".as_ptr();
            let (text, len) = (PROGRAM.as_ptr().cast(), PROGRAM.len());
            assert_eq!(ffi::luaL_loadbuffer(l, text, len, name), 0);
            let status = ffi::lua_pcall(l, 0, 1, 0);
            let mut len = 0;
            let start = ffi::lua_tolstring(l, -1, &mut len);
            let result = std::slice::from_raw_parts(start.cast::<u8>(), len).to_vec();
            ffi::lua_settop(l, 0);
            assert_eq!(status, 0, "{}", result.escape_ascii());
            result
        }
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { ffi::lua_close(self.0) }
    }
}

/// What patterns are made of.
const PARTS: &[&str] = &[
    "a", "b", "c", ".", "%a", "%d", "%s", "%w", "%W", "%p", "%z", "%x", "%c", "%u", "%l", "[ab]",
    "[^a]", "[a-c]", "[]]", "[^]]", "[%a-]", "[a%]]", "[a-]", "[-a]", "[^%d ]", "%", "(", ")",
    "()", "(a", "b)", "*", "+", "-", "?", "^", "$", "%1", "%2", "%0", "%9", "%b()", "%bab", "%b",
    "%f[a]", "%f[%A]", "%f", "[", "]", "[^", "[%", "%%", "%.", "\0", " ", "(.-)", "(.*)", "(%a+)",
    "a?", "a*", "\u{e9}",
];

/// Cases that are tried: `LUA_PROPTEST_CASES` if set (memcheck makes them slow), else many.
fn cases() -> u32 {
    std::env::var("LUA_PROPTEST_CASES")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(4000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn patterns_match_as_in_lua(
        text in "[ab(). \u{0}é1A]{0,12}",
        parts in proptest::collection::vec(0..PARTS.len(), 0..9),
        replacement in "[a%0129\u{0}]{0,5}",
        number in -14i32..14,
    ) {
        let pattern: String = parts.iter().map(|&part| PARTS[part]).collect();
        let number = number.to_string();
        let args = [text.as_bytes(), pattern.as_bytes(), replacement.as_bytes(), number.as_bytes()];
        let expected = Plain::new().run(&args);
        let found = ours(&mut Vm::new(), &args);
        prop_assert_eq!(
            found.escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "pattern {:?} on {:?}", pattern, text
        );
    }
}
