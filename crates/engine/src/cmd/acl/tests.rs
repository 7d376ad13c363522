//! ACL's commands, and what the gate lets through for whom.

use crate::config::Config;
use crate::config::host::{Host, OnFailure, ShutdownMode};
use crate::testing::{Asked, TestClient, show};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;

/// A client of a new database that is a user with these rules, and another that may do everything.
fn user(rules: &str) -> (TestClient, TestClient) {
    let mut admin = TestClient::new();
    admin.check(&format!("ACL SETUSER u on nopass {rules}"), "OK");
    let mut client = admin.another();
    client.check("AUTH u x", "OK");
    (client, admin)
}

#[test]
fn users_are_made_shown_and_removed() {
    let mut c = TestClient::new();
    c.check(
        "ACL LIST",
        r#"["user default on nopass sanitize-payload ~* &* +@all"]"#,
    );
    c.check("ACL SETUSER bob", "OK");
    c.check("ACL USERS", r#"["bob" "default"]"#);
    c.check(
        "ACL SETUSER bob on >pw ~a %R~b &c +@read -get +config|get +select|0 (+set ~x)",
        "OK",
    );
    let digest = "30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4";
    let commands = "-@all +@read -get +config|get +select|0";
    c.check(
        "ACL LIST",
        &format!(
            r#"["user bob on sanitize-payload #{digest} ~a %R~b resetchannels &c {commands} (~x resetchannels -@all +set)" "user default on nopass sanitize-payload ~* &* +@all"]"#
        ),
    );
    c.check(
        "ACL GETUSER bob",
        &format!(
            r#"["flags" ["on" "sanitize-payload"] "passwords" ["{digest}"] "commands" "{commands}" "keys" "~a %R~b" "channels" "&c" "selectors" [["commands" "-@all +set" "keys" "~x" "channels" ""]]]"#
        ),
    );
    c.check("ACL SETUSER bob reset db=2,1", "OK");
    assert!(
        c.run("ACL GETUSER bob")
            .contains(r#""databases" "db=1,2" "selectors" []"#)
    );
    c.check("ACL DELUSER bob nosuch", "1");
    c.check("ACL GETUSER bob", "nil");
    c.check(
        "ACL DELUSER default",
        "-ERR The 'default' user cannot be removed",
    );
    c.check(
        "ACL SETUSER \"a b\"",
        "-ERR Usernames can't contain spaces or null characters",
    );
    c.run("HELLO 3");
    assert!(
        c.run("ACL GETUSER default")
            .starts_with(r#"{"flags": ~["on" "nopass" "sanitize-payload"] "passwords": []"#)
    );
}

/// One rule that is wrong, and nothing is changed.
#[test]
fn rules_count_together_or_not_at_all() {
    let mut c = TestClient::new();
    c.run("ACL SETUSER bob on +get");
    let before = c.run("ACL LIST");
    for (rule, why) in [
        ("nope", "Error in ACL SETUSER modifier 'nope': Syntax error"),
        (
            "+nope",
            "Error in ACL SETUSER modifier '+nope': Unknown command or category name in ACL",
        ),
        (
            "+@nope",
            "Error in ACL SETUSER modifier '+@nope': Unknown command or category name in ACL",
        ),
        (
            "-get|x",
            "Error in ACL SETUSER modifier '-get|x': Unknown command or category name in ACL",
        ),
        (
            "+config|get|x",
            "Error in ACL SETUSER modifier '+config|get|x': Allowing first-arg of a subcommand is not supported",
        ),
        (
            "<nope",
            "Error in ACL SETUSER modifier '<nope': The password you are trying to remove from the user does not exist",
        ),
        (
            "#abc",
            "Error in ACL SETUSER modifier '#abc': The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters",
        ),
        (
            "allkeys ~a",
            "Error in ACL SETUSER modifier '~a': Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns",
        ),
        (
            "allchannels &a",
            "Error in ACL SETUSER modifier '&a': Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels",
        ),
        ("(on)", "Error in ACL SETUSER modifier '(on)': Syntax error"),
        (
            "(+get ~a",
            "Unmatched parenthesis in acl selector starting at '(+get'.",
        ),
        (
            "db=-1",
            "Error in ACL SETUSER modifier 'db=-1': The provided database ID is out of range",
        ),
        (
            "db=1,",
            "Error in ACL SETUSER modifier 'db=1,': Syntax error",
        ),
    ] {
        c.check(
            &format!("ACL SETUSER bob off +set {rule}"),
            &format!("-ERR {why}"),
        );
        assert_eq!(c.run("ACL LIST"), before);
    }
}

#[test]
fn what_a_user_may_not_is_refused() {
    let (mut c, mut admin) = user("+@all ~a* &c*");
    admin.run("SET b 1");
    let key = "-NOPERM No permissions to access a key";
    let channel = "-NOPERM No permissions to access a channel";
    for (line, reply) in [
        ("ACL WHOAMI", r#""u""#),
        ("SET a1 v", "OK"),
        ("GET b", key),
        ("MGET a1 b", key),
        ("RENAME a1 b", key),
        (
            "SORT a1 BY x* GET #",
            "-ERR BY option of SORT denied due to insufficient ACL permissions.",
        ),
        (
            "SORT a1 BY nosort GET #",
            "-ERR GET option of SORT denied due to insufficient ACL permissions.",
        ),
        ("EVAL \"return 1\" 1 b", key),
        ("EVAL \"return redis.call('get', 'a1')\" 0", r#""v""#),
        (
            "EVAL \"return redis.pcall('get', 'b')\" 0",
            "-ERR ACL failure in script: No permissions to access a key",
        ),
        ("EVAL \"return redis.acl_check_cmd('get', 'b')\" 0", "nil"),
        ("EVAL \"return redis.acl_check_cmd('get', 'a')\" 0", "1"),
        ("PUBLISH c1 m", "0"),
        ("PUBLISH d m", channel),
        ("SPUBLISH d m", channel),
        ("SUBSCRIBE c1 d", channel),
        ("PSUBSCRIBE c1", channel),
        ("SSUBSCRIBE d", channel),
        ("CLIENT LIST", ""),
    ] {
        match reply {
            "" => assert!(c.run(line).contains(" user=u ")),
            reply => c.check(line, reply),
        }
    }
    admin.run("ACL SETUSER u -@all +client|id");
    c.check("CLIENT ID", "2");
    c.check(
        "CLIENT LIST",
        "-NOPERM User u has no permissions to run the 'client|list' command",
    );
    c.check(
        "PING",
        "-NOPERM User u has no permissions to run the 'ping' command",
    );
    // Who comes in, or wants to be somebody else, may always.
    assert!(c.run("HELLO 3").starts_with('{'));
    c.check("AUTH default x", "OK");
    c.check("PING", "PONG");
    c.check("RESET", "RESET");
    c.check("ACL WHOAMI", r#""default""#);
}

#[test]
fn what_is_no_subcommand_is_no_command_before_anybody_asks_for_rights() {
    let unknown = "-ERR unknown subcommand 'nosuch'. Try CLIENT HELP.";
    let (mut c, mut admin) = user("+get +multi +exec +eval ~*");
    c.check(
        "CLIENT",
        "-ERR wrong number of arguments for 'client' command",
    );
    admin.run("ACL LOG RESET; CONFIG RESETSTAT");
    c.check("CLIENT nosuch", unknown);
    // A transaction that it was to be part of fails, and a script is told what it is told of any other name.
    c.run("MULTI");
    c.check("CLIENT nosuch", unknown);
    c.check(
        "EXEC",
        "-EXECABORT Transaction discarded because of previous errors.",
    );
    let mut eval = |script| show(&c.call(&["EVAL", script, "0"]).unwrap());
    assert_eq!(
        eval("return redis.pcall('client', 'nosuch')"),
        "-ERR Unknown Redis command called from script"
    );
    let reply = eval("return redis.acl_check_cmd('client', 'nosuch')");
    assert!(
        reply.contains("Invalid command passed to redis.acl_check_cmd()"),
        "{reply}"
    );
    // Neither refused nor called.
    admin.check("ACL LOG", "[]");
    let info = admin.run("INFO COMMANDSTATS");
    assert!(!info.contains("cmdstat_client"), "{info}");
}

#[test]
fn transactions_are_checked_when_queued_and_when_executed() {
    let (mut c, mut admin) = user("+@all ~a");
    c.run("MULTI");
    c.check("GET b", "-NOPERM No permissions to access a key");
    c.check(
        "EXEC",
        "-EXECABORT Transaction discarded because of previous errors.",
    );
    let changed = "-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command \
                   is no longer allowed for the following reason:";
    c.run("MULTI; GET a; ACL SETUSER u -get resetkeys; GET a; SET a 1; PING");
    c.check(
        "EXEC",
        &format!(
            "[nil OK {changed} no permission to execute the command or subcommand {changed} no permission to touch the \
             specified keys PONG]"
        ),
    );
    admin.run("ACL SETUSER u +get ~a");
    c.run("MULTI; GET a");
    admin.run("ACL SETUSER u resetkeys");
    c.check(
        "EXEC",
        &format!("[{changed} no permission to touch the specified keys]"),
    );
}

#[test]
fn a_pipeline_is_checked_command_by_command() {
    let mut c = TestClient::new();
    let replies = c.pipeline(&[
        "ACL SETUSER default -get",
        "GET k",
        "ACL SETUSER default +get",
        "GET k",
    ]);
    assert_eq!(
        replies,
        "+OK -NOPERM User default has no permissions to run the 'get' command +OK $-1"
    );
}

/// Who waits for a key is asked again when it comes.
#[test]
fn a_client_that_waits_is_asked_again() {
    let (mut c, mut admin) = user("+@all ~a");
    c.block("BLPOP a 0");
    admin.run("ACL SETUSER u -blpop");
    admin.run("LPUSH a 1");
    c.check_blocked("-NOPERM User u has no permissions to run the 'blpop' command");
    admin.check("LRANGE a 0 -1", r#"["1"]"#);
    // It was rejected, as if it had come only then: nothing of it was carried out.
    let stats = admin.run("INFO commandstats");
    let line =
        "cmdstat_blpop:calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0\\r\\n";
    assert!(stats.contains(line), "{stats}");
    let log = admin.run("ACL LOG");
    let refused = r#""reason" "command" "context" "toplevel" "object" "blpop" "username" "u""#;
    assert!(log.contains(refused), "{log}");
    admin.run("ACL SETUSER u +blpop");
    admin.run("DEL a");
    c.block("BLPOP a 0");
    admin.run("ACL SETUSER u +get");
    admin.run("LPUSH a 2");
    c.check_blocked(r#"["a" "2"]"#);
}

#[test]
fn connections_of_users_that_lose_their_channels_or_go_are_closed() {
    let (mut c, mut admin) = user("+@all ~* &a* &b*");
    c.run("SUBSCRIBE a1");
    admin.run("ACL SETUSER u resetchannels &a*");
    assert!(
        !c.session.client().kill_requested(),
        "it may still listen to a1"
    );
    admin.run("ACL SETUSER u resetchannels &b*");
    assert!(c.session.client().kill_requested());
    let mut other = admin.another();
    other.run("AUTH u x; PSUBSCRIBE b*");
    admin.run("ACL SETUSER u allchannels");
    assert!(!other.session.client().kill_requested());
    admin.run("ACL SETUSER u resetchannels &b1");
    assert!(
        other.session.client().kill_requested(),
        "a pattern has to stand among its own"
    );
    let mut last = admin.another();
    last.run("AUTH u x");
    last.check("ACL DELUSER u", "1");
    assert_eq!(last.asked, Asked::Close);
    // What still comes of a client that is being closed is nobody's.
    let mut c = admin.another();
    admin.run("ACL SETUSER v on nopass +@all ~*; CONFIG SET requirepass pw");
    c.run("AUTH v x");
    admin.run("ACL DELUSER v");
    assert!(c.session.client().kill_requested());
    c.check("GET k", "-NOAUTH Authentication required.");
    // Nor is it the user's who has the name after that.
    admin.run("ACL SETUSER v on nopass +@all ~*");
    c.check("GET k", "-NOAUTH Authentication required.");
}

#[test]
fn the_default_user_and_its_password() {
    let mut c = TestClient::with(&[("requirepass", "pw")]);
    c.check("PING", "-NOAUTH Authentication required.");
    c.check("AUTH pw; CONFIG GET requirepass", r#"["requirepass" "pw"]"#);
    let mut other = c.another();
    other.check("PING", "-NOAUTH Authentication required.");
    assert!(!other.session.limits().authenticated);
    c.run("ACL SETUSER default nopass");
    assert!(other.session.limits().authenticated);
    other.check("PING", "PONG");
    c.run("CONFIG SET requirepass new");
    other.check("PING", "-NOAUTH Authentication required.");
    other.check(
        "AUTH pw",
        "-WRONGPASS invalid username-password pair or user is disabled.",
    );
    other.check("AUTH new; PING", "PONG");
    // Who is in stays in, even when nobody else may come.
    c.run("ACL SETUSER default off");
    other.check("PING", "PONG");
    other.another().check(
        "AUTH new",
        "-WRONGPASS invalid username-password pair or user is disabled.",
    );
    c.run("ACL SETUSER default on; CONFIG SET requirepass \"\"");
    other.another().check("PING", "PONG");
    c.run("ACL SETUSER default >a >b");
    for password in ["a", "b"] {
        other.another().check(&format!("AUTH {password}"), "OK");
    }
    other.another().check(
        "AUTH c",
        "-WRONGPASS invalid username-password pair or user is disabled.",
    );
}

#[test]
fn dryrun_says_what_it_would_be() {
    let mut c = TestClient::new();
    c.run("ACL SETUSER u +@read -get +config +client|id -@slow +set %R~r* %W~w*");
    for (call, reply) in [
        ("nosuch", "-ERR Command 'nosuch' not found"),
        ("get", "-ERR wrong number of arguments for 'get' command"),
        ("set w v", "OK"),
        (
            "set w v get",
            r#""User u has no permissions to access the 'w' key""#,
        ),
        (
            "set r v",
            r#""User u has no permissions to access the 'r' key""#,
        ),
        (
            "config get x",
            r#""User u has no permissions to run the 'config|get' command""#,
        ),
        ("config nosuch", "-ERR Command 'config' not found"),
        ("exists r", "OK"),
    ] {
        c.check(&format!("ACL DRYRUN u {call}"), reply);
    }
    c.check("ACL DRYRUN nobody get k", "-ERR User 'nobody' not found");
}

#[test]
fn the_log_tells_what_was_refused() {
    let (mut c, mut admin) = user("+@all ~a");
    c.run("GET b; GET b; EVAL \"redis.pcall('get', 'b')\" 0; MULTI; PUBLISH x y; DISCARD; AUTH nobody x");
    let log = admin.run("ACL LOG");
    let shown: Vec<String> = log
        .split("\"count\" ")
        .skip(1)
        .map(|entry| {
            entry
                .split(" \"age-seconds\"")
                .next()
                .expect("fields")
                .to_owned()
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#"1 "reason" "auth" "context" "toplevel" "object" "AUTH" "username" "nobody""#,
            r#"1 "reason" "channel" "context" "multi" "object" "x" "username" "u""#,
            r#"1 "reason" "key" "context" "lua" "object" "b" "username" "u""#,
            r#"2 "reason" "key" "context" "toplevel" "object" "b" "username" "u""#,
        ]
    );
    assert!(log.contains(" cmd=get user=u "), "{log}");
    assert!(log.contains(" cmd=eval user=u "), "{log}");
    let info = admin.run("INFO stats");
    for field in ["auth:1", "cmd:0", "key:3", "channel:1", "db:0"] {
        assert!(
            info.contains(&format!("acl_access_denied_{field}\\r")),
            "{field}: {info}"
        );
    }
    admin.check("ACL LOG -1", "[]");
    assert_eq!(admin.run("ACL LOG 2").matches("\"count\"").count(), 2);
    // A lower bound holds from the next refusal on.
    admin.run("CONFIG SET acllog-max-len 1");
    assert_eq!(admin.run("ACL LOG").matches("\"count\"").count(), 4);
    admin.run("AUTH nobody x");
    assert_eq!(admin.run("ACL LOG").matches("\"count\"").count(), 1);
    admin.check("ACL LOG RESET", "OK");
    admin.check("ACL LOG", "[]");
    admin.check("ACL LOG x", "-ERR value is not an integer or out of range");
    admin.run("CONFIG RESETSTAT");
    assert!(admin.run("INFO stats").contains("acl_access_denied_key:0"));
}

#[test]
fn passwords_are_made_up() {
    let mut c = TestClient::new();
    assert_eq!(c.run("ACL GENPASS").len(), 64 + 2);
    assert_eq!(c.run("ACL GENPASS 5").len(), 2 + 2);
    assert_ne!(c.run("ACL GENPASS"), c.run("ACL GENPASS"));
    for bits in ["0", "4097", "-1"] {
        assert!(
            c.run(&format!("ACL GENPASS {bits}"))
                .starts_with("-ERR ACL GENPASS argument must be")
        );
    }
}

#[test]
fn categories_list_their_commands() {
    let mut c = TestClient::new();
    assert!(
        c.run("ACL CAT")
            .starts_with(r#"["keyspace" "read" "write""#)
    );
    let hash = c.run("ACL CAT HASH");
    assert!(hash.contains("\"hset\"") && !hash.contains("\"set\""));
    assert!(c.run("ACL CAT dangerous").contains("\"config|set\""));
    c.check("ACL CAT nope", "-ERR Unknown category 'nope'");
}

#[test]
fn new_users_have_the_channels_that_the_configuration_says() {
    let mut c = TestClient::with(&[("acl-pubsub-default", "allchannels")]);
    c.run("ACL SETUSER a (+get); CONFIG SET acl-pubsub-default resetchannels; ACL SETUSER b");
    let list = c.run("ACL LIST");
    assert!(
        list.contains("user a off sanitize-payload &* -@all (&* -@all +get)"),
        "{list}"
    );
    assert!(
        list.contains("user b off sanitize-payload resetchannels -@all"),
        "{list}"
    );
}

/// Nobody who watches sees a password, and the configuration's errors do not quote any.
#[test]
fn passwords_are_not_shown() {
    let mut c = TestClient::new();
    let mut watcher = c.another();
    watcher.run("MONITOR");
    c.run("ACL SETUSER u on >secret1 +@all; AUTH u secret1; HELLO 3 AUTH u secret1; CONFIG SET requirepass secret2; CONFIG SET masteruser secret3");
    let seen = watcher.messages();
    assert!(
        !seen.contains("secret") && seen.contains("(redacted)"),
        "{seen}"
    );
    let info = c.run("INFO everything");
    assert!(!info.contains("secret"));
    assert!(!c.run("ACL LIST").contains("secret"));
    assert!(!c.run("ACL LOG").contains("secret"));
}

/// A folder with one file in memory.
#[derive(Default)]
struct OneFile(Mutex<Option<Vec<u8>>>);

impl Host for OneFile {
    fn shutdown(&self, _: ShutdownMode, _: OnFailure) -> Result<(), String> {
        Err(String::new())
    }

    fn applied(&self, _: &str, _: &Config) -> Result<(), String> {
        Ok(())
    }

    fn info(&self, _: &str, _: &mut String) {}

    fn read_file(&self, path: &Path) -> Result<Vec<u8>, String> {
        assert_eq!(path, Path::new("users.acl"));
        self.0
            .lock()
            .clone()
            .ok_or_else(|| "No such file or directory".into())
    }

    fn replace_file(&self, _: &Path, contents: &[u8]) -> Result<(), String> {
        *self.0.lock() = Some(contents.to_vec());
        Ok(())
    }
}

#[test]
fn users_are_saved_to_a_file_and_loaded_from_it() {
    let mut c = TestClient::new();
    for command in ["LOAD", "SAVE"] {
        assert!(
            c.run(&format!("ACL {command}"))
                .starts_with("-ERR This Redis instance is not configured to use an ACL file.")
        );
    }
    let host = Arc::new(OneFile::default());
    let mut c = TestClient::behind(host.clone(), &[("aclfile", "users.acl")]);
    c.check(
        "ACL LOAD",
        "-ERR Error loading ACLs, opening file 'users.acl': No such file or directory",
    );
    c.run("ACL SETUSER bob on >pw ~a +get (+set ~x)");
    c.check("ACL SAVE", "OK");
    let before = c.run("ACL LIST");
    let mut bob = c.another();
    bob.check("AUTH bob pw", "OK");
    c.run("ACL SETUSER bob -get; ACL SETUSER eve on nopass +@all &x");
    let mut eve = c.another();
    eve.run("AUTH eve x");
    c.check("ACL LOAD", "OK");
    assert_eq!(c.run("ACL LIST"), before);
    // Bob goes on as what the file says; Eve is gone.
    bob.check("GET a", "nil");
    assert!(!bob.session.client().kill_requested() && eve.session.client().kill_requested());

    let tail =
        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
    for (text, why) in [
        (
            "# a comment",
            "users.acl:1 should start with user keyword followed by the username. ",
        ),
        (
            "user",
            "users.acl:1 should start with user keyword followed by the username. ",
        ),
        (
            "user b on nope\n\n  user c +nosuch \r\nuser b on",
            "users.acl:1: Syntax error. users.acl:3: Error in applying operation '+nosuch': Unknown command or category name in \
             ACL. WARNING: Duplicate user 'b' found on line 4. ",
        ),
        (
            "user b (+get",
            "users.acl:1: Unmatched parenthesis in selector definition.",
        ),
        (
            "user b\t+get",
            "'users.acl:1: username 'b\\t+get' contains invalid characters. ",
        ),
        (
            "user b nope #x +nope",
            "users.acl:1: Syntax error. users.acl:1: Error in applying operation '+nope': Unknown command or category name in \
             ACL. ",
        ),
    ] {
        *host.0.lock() = Some(text.into());
        let reply = c.call(&["ACL", "LOAD"]).expect("a reply");
        let reply = crate::testing::show(&reply).replace('\t', "\\t");
        assert_eq!(reply, format!("-ERR {why}{tail}"), "{text}");
        assert_eq!(c.run("ACL LIST"), before, "{text}");
    }
    // Without the default user in it, that is as it was at first.
    *host.0.lock() = Some(b"user x on nopass (+get ~a)\n".into());
    c.run("ACL SETUSER default >pw");
    c.check("ACL LOAD", "OK");
    c.check(
        "ACL LIST",
        r#"["user default on nopass sanitize-payload ~* &* +@all" "user x on nopass sanitize-payload resetchannels -@all (~a resetchannels -@all +get)"]"#,
    );
}

/// Users of the configuration.
#[test]
fn users_are_lines_of_the_configuration() {
    let engine = |lines: &[&[&str]]| {
        let mut config = Config::default();
        for line in lines {
            config.directive(line[0], &line[1..])?;
        }
        let engine = crate::Engine::new(config, Arc::new(crate::NoHost));
        engine.load_users().map(|()| engine)
    };
    let made = engine(&[
        &["user", "bob", "on", ">pw", "+get", "(+set", "~x)"],
        &["user", "default", "on", "nopass", "+ping"],
    ])
    .expect("users");
    let lines: Vec<String> = made
        .users
        .lines()
        .iter()
        .map(|l| String::from_utf8_lossy(l).into_owned())
        .collect();
    assert_eq!(
        lines,
        [
            "user bob on sanitize-payload #30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4 resetchannels -@all \
             +get (~x resetchannels -@all +set)",
            "user default on nopass sanitize-payload resetchannels -@all +ping",
        ]
    );
    for (lines, why) in [
        (
            &[&["user", "a", "on", ">pw", "+nope"][..]][..],
            "Error in user declaration 'a': Unknown command or category name in ACL",
        ),
        (&[&["user", "a b"]], "Spaces not allowed in ACL usernames"),
        (
            &[&["user", "a"], &["user", "a"]],
            "Error in user declaration 'a': Duplicate user found. A user can only be defined once in config files",
        ),
        (&[&["user"]], "Bad directive or wrong number of arguments"),
        (
            &[&["user", "a"], &["aclfile", "f"]],
            "There are users in the configuration and an aclfile: they have to stand in one place or the other",
        ),
        (
            &[&["aclfile", "f"]],
            "The users cannot be loaded: Error loading ACLs, opening file 'f': this program reads no files for its database",
        ),
    ] {
        assert_eq!(engine(lines).err().as_deref(), Some(why));
    }
}

/// Calls of the program around the engine may do everything, unless they say that they are somebody.
#[test]
fn a_program_is_above_all_users() {
    let mut c = TestClient::new();
    let mut program = c.another();
    program.session = c.engine.session(crate::Origin {
        addr: String::new(),
        laddr: String::new(),
        fd: -1,
        kind: crate::Kind::Embedded,
        waker: None,
    });
    c.run("ACL SETUSER default -@all +acl");
    c.check(
        "GET k",
        "-NOPERM User default has no permissions to run the 'get' command",
    );
    program.check("GET k", "nil");
    program.run("ACL SETUSER u on nopass +ping; AUTH u x");
    program.check(
        "GET k",
        "-NOPERM User u has no permissions to run the 'get' command",
    );
    program.check("RESET", "RESET");
    program.check("GET k", "nil");
}

#[test]
fn databases_are_checked_as_in_valkey() {
    let (mut c, _) = user("+@all ~* &* db=1");
    let refused = "-NOPERM No permissions to access database";
    for line in [
        "GET a",
        "SELECT 0",
        "KEYS *",
        "DBSIZE",
        "SCAN 0",
        "FLUSHALL",
        "SWAPDB 0 1",
        "EVAL \"return 1\" 0",
        "WATCH a",
    ] {
        c.check(line, refused);
    }
    c.check("PUBLISH a b", "0");
    c.check("SWAPDB 1 1", "OK");
    c.check("SELECT 1; SET a 1", "OK");
    c.check("MOVE a 0", refused);
    c.check("COPY a b DB 0", refused);
    c.check("COPY a b DB 1", "1");
    c.check("FLUSHDB", "OK");
    c.check(
        "EVAL \"return redis.pcall('select', 0)\" 0",
        "-ERR ACL failure in script: No permissions to access database",
    );
}
