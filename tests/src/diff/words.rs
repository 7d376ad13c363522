//! Arguments that are no data: channels, users and their rules, scripts, libraries of functions.

use crate::rng::Rng;

/// A random argument of such a kind; None if it is none of them.
pub fn word(rng: &mut Rng, kind: &str) -> Option<Vec<u8>> {
    let text = match kind {
        "channel" => (*rng.pick(&["news", "news.a", "x", "", "a*b"])).to_owned(),
        "channels" => (*rng.pick(&["*", "news*", "new?", "[x-z]", "a\\*b", "x", ""])).to_owned(),
        "word" => (*rng.pick(&["a", "b", "key:1", "key:2", "other"])).to_owned(),
        "user" => (*rng.pick(&["alice", "bob", "carol"])).to_owned(),
        "password" => (*rng.pick(&["pw", "pw", "other", "wrong", ""])).to_owned(),
        "rule" => {
            let rules = if rng.chance(85) { RULES } else { ODD_RULES };
            (*rng.pick(rules)).to_owned()
        }
        "script" => script(rng),
        "known-script" => (*rng.pick(&KNOWN)).to_owned(),
        "sha" => (*rng.pick(SHAS)).to_owned(),
        "function" => (*rng.pick(&["f", "f", "g", "g", "h", "F", "nosuch"])).to_owned(),
        "libname" => (*rng.pick(&["one", "two", "three"])).to_owned(),
        "library" => library(rng),
        "functions" => {
            let mut payload = rng.pick(FUNCTIONS).to_vec();
            if rng.chance(10) {
                let at = rng.below(payload.len());
                payload[at] ^= 1;
            }
            return Some(payload);
        }
        _ => return None,
    };
    Some(text.into_bytes())
}

/// Rules of users that are taken, if only by themselves.
const RULES: &[&str] = &[
    "on",
    "on",
    "on",
    "off",
    "nopass",
    ">pw",
    ">pw",
    ">other",
    "<pw",
    "resetpass",
    "reset",
    "resetkeys",
    "resetchannels",
    "allkeys",
    "allchannels",
    "allcommands",
    "nocommands",
    "~*",
    "~a",
    "~key:*",
    "%R~b",
    "%W~c",
    "%RW~a",
    "&*",
    "&news*",
    "&x",
    "+@all",
    "-@all",
    "+@read",
    "-@write",
    "+@string",
    "-@dangerous",
    "+@connection",
    "+acl",
    "+get",
    "-get",
    "+set",
    "+config|get",
    "-config",
    "+config",
    "-config|set",
    "+select|0",
    "+acl|whoami",
    "(~a +get)",
    "(+@all ~b)",
    "(%R~c +set -get)",
    "()",
    "clearselectors",
    "sanitize-payload",
    "skip-sanitize-payload",
];

/// Rules that are refused, and such as are seldom seen.
const ODD_RULES: &[&str] = &[
    "",
    "x",
    "+",
    "-",
    "@read",
    "+@",
    "+@nosuch",
    "-nosuch",
    "+nosuch",
    "+get|x",
    "+config|nosuch",
    "+acl|",
    "+|x",
    "+*",
    "~",
    "%",
    "%~x",
    "%X~x",
    "%R",
    "%RR~x",
    "&",
    "~a b",
    "~**",
    ">",
    "<",
    "<nosuch",
    "#x",
    "!x",
    "(",
    ")",
    "(+get",
    "(>x)",
    "(on)",
    "((+get))",
    "ON",
    "NoPass",
    "+GET",
    "+CONFIG|GET",
];

/// What scripts and functions do with `k`, a key, and `a`, an argument. Redis 8.2.3 crashes after a function that calls a
/// command with no arguments, or with one that is neither a string nor a number.
const BODIES: &[&str] = &[
    "return 1",
    "return {keys, args}",
    "return #keys + #args",
    "return redis.call('INCR', k)",
    "return redis.call('GET', k)",
    "return redis.call('SET', k, a)",
    "return redis.pcall('LPUSH', k, a)",
    "return redis.pcall('INCR', k).err",
    "redis.call('SET', k, a) return redis.call('LPUSH', k, a)",
    "return redis.call('NOSUCH')",
    "return redis.call('GET')",
    "return redis.call('MULTI')",
    "return redis.call('PUBLISH', 'news', a)",
    "return redis.call('SELECT', '1')",
    "redis.setresp(3) return redis.call('HGETALL', 'h')",
    "redis.setresp(4)",
    "return redis.error_reply('MY error')",
    "return redis.status_reply('fine')",
    "return {err='an error'}",
    "return {ok='fine'}",
    "return {double=1.5}",
    "return {map={a=1}}",
    "return {set={a=true}}",
    "return {big_number='123'}",
    "return {verbatim_string={format='txt', string='x'}}",
    "return {1, 2.7, nil, 4}",
    "return {true, false}",
    "return tonumber(a)",
    "error('an error')",
    "error({err='MY error'})",
    "error()",
    "x = 1",
    "return nosuch",
    "return redis.sha1hex(a)",
    "return cjson.encode(args)",
    "return cjson.decode(a)",
    "return bit.band(7, 3)",
    "return redis.acl_check_cmd('get', k)",
    "return redis.set_repl(9)",
    "return redis.register_function('q', function() end)",
];

fn script(rng: &mut Rng) -> String {
    let first = if rng.chance(75) {
        ""
    } else {
        rng.pick(&[
            "#!lua\n",
            "#!lua flags=no-writes\n",
            "#!lua flags=no-writes,allow-stale\n",
            "#!lua flags=allow-oom\n",
            "#!lua flags=\n",
            "#!lua flags=nonsense\n",
            "#!lua name=x\n",
            "#!python\n",
            "#!",
        ])
    };
    let body = rng.pick(BODIES);
    format!(
        "{first}local keys, args = KEYS, ARGV local k, a = KEYS[1] or 'a', ARGV[1] or '1' {body}"
    )
}

/// Scripts whose hashes are the first of [`SHAS`].
const KNOWN: [&str; 3] = [
    "return 1",
    "return redis.call('INCR', KEYS[1])",
    "return {KEYS, ARGV}",
];

/// Hashes of the scripts of [`KNOWN`], the last in either case, and of none.
const SHAS: &[&str] = &[
    "e0e1f9fabfc9d4800c877a703b823ac0578ff8db",
    "61636018f4e6b5817b89791bbed242f93fa089e3",
    "25798f6e367278f6dedc9713a90c526c253106f3",
    "25798F6E367278F6DEDC9713A90C526C253106F3",
    "ffffffffffffffffffffffffffffffffffffffff",
    "x",
];

fn library(rng: &mut Rng) -> String {
    let first = if rng.chance(90) {
        format!("#!lua name={}", rng.pick(&["one", "two", "three"]))
    } else {
        let odd = [
            "",
            "#!",
            "#!lua",
            "#!lua name=",
            "#!lua name=a b",
            "#!lua name=a-b",
            "#!lua name=one name=two",
            "#!lua name=one x=y",
            "#!python name=one",
            "#!LUA name=one",
            " #!lua name=one",
        ];
        (*rng.pick(&odd)).to_owned()
    };
    let mut text = first;
    for _ in 0..1 + rng.below(3) {
        text.push('\n');
        text.push_str(&registration(rng));
    }
    text
}

fn registration(rng: &mut Rng) -> String {
    if rng.chance(10) {
        let odd = [
            "redis.register_function()",
            "redis.register_function('f')",
            "redis.register_function('f', 1)",
            "redis.register_function('bad name', function() end)",
            "redis.register_function{}",
            "redis.register_function{function_name='f', callback=function() end, more=1}",
            "redis.register_function{function_name='f', callback=function() end, flags={'nonsense'}}",
            "redis.register_function{function_name='f', callback=function() end, flags=1}",
            "redis.call('GET', 'x')",
            "redis.setresp(3)",
            "x = 1",
            "error('an error')",
            "no syntax",
            "return 1",
            "local n = 1",
        ];
        return (*rng.pick(&odd)).to_owned();
    }
    let name = rng.pick(&["f", "g", "h"]);
    let body = rng.pick(BODIES);
    let callback =
        format!("function(keys, args) local k, a = keys[1] or 'a', args[1] or '1' {body} end");
    if rng.chance(50) {
        return format!("redis.register_function('{name}', {callback})");
    }
    let flags = rng.pick(&[
        "",
        "'no-writes'",
        "'no-writes', 'allow-stale'",
        "'allow-oom'",
        "'no-cluster'",
    ]);
    let description = rng.pick(&["", ", description='what it does'"]);
    format!(
        "redis.register_function{{function_name='{name}', callback={callback}, flags={{{flags}}}{description}}}"
    )
}

/// What FUNCTION DUMP gave at Redis 7.0: of a library `one` with `f`, of `one` with `f` and `two` with `g`, of `two` with `f`, of nothing.
const FUNCTIONS: &[&[u8]] = &[
    b"\xf5@R#!lua name=one\nredis.register_function('f', function(keys, args) return 'one' end)\n\x00 B\x84zPLyh",
    b"\xf5@R#!lua name=two\nredis.register_function('g', function(keys, args) return 'two' end)\xf5@R#!lua name=one\nredis.register_function('f', function(keys, args) return 'one' end)\n\x00\xce,>\x1e\xc5\xbc\xcaU",
    b"\xf5@R#!lua name=two\nredis.register_function('f', function(keys, args) return 'two' end)\n\x00)\xc7\xfb\xb9\xd5~0\xb0",
    b"\n\x00]\x9b\\@\x0f\x7f\xa2\xda",
];
