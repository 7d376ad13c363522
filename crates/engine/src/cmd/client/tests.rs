//! CLIENT: who is listed, found and killed.

use crate::client::clients::{Kind, Origin};
use crate::testing::{Asked, TestClient, check, check3};

/// The value of a field in a client's line.
fn field(line: &str, name: &str) -> String {
    let field = line
        .trim_start_matches('"')
        .split(' ')
        .find_map(|f| f.strip_prefix(&format!("{name}=")));
    field
        .unwrap_or_else(|| panic!("no {name} in {line}"))
        .trim_end_matches("\\n\"")
        .to_owned()
}

/// The ids in a CLIENT LIST.
fn ids(list: &str) -> Vec<u64> {
    let lines = list
        .trim_matches('"')
        .split("\\n")
        .filter(|l| !l.is_empty());
    lines.map(|l| field(l, "id").parse().unwrap()).collect()
}

#[test]
fn names_and_libraries_are_words() {
    let mut c = TestClient::new();
    let error = "cannot contain spaces, newlines or special characters.";
    c.check("CLIENT GETNAME", "nil");
    c.check("CLIENT SETNAME a-name", "OK");
    for bad in [r#""a b""#, r#""a\nb""#, r#""a\x80""#, r#""\x7f""#] {
        c.check(
            &format!("CLIENT SETNAME {bad}"),
            &format!("-ERR Client names {error}"),
        );
    }
    for byte in 0..=u8::MAX {
        let said = match byte {
            b'!'..=b'~' => "OK".to_owned(),
            _ => format!("-ERR Client names {error}"),
        };
        c.check(&format!(r#"CLIENT SETNAME "\x{byte:02x}""#), &said);
    }
    c.check("CLIENT SETNAME a-name", "OK");
    c.check("CLIENT GETNAME", r#""a-name""#);
    c.check(r#"CLIENT SETNAME """#, "OK");
    c.check("CLIENT GETNAME", "nil");
    c.check("CLIENT SETINFO lib-name redis-py", "OK");
    c.check("CLIENT SETINFO LIB-VER 5", "OK");
    c.check(
        r#"CLIENT SETINFO lib-ver "a b""#,
        &format!("-ERR lib-ver {error}"),
    );
    c.check("CLIENT SETINFO foo bar", "-ERR Unrecognized option 'foo'");
    let info = c.run("CLIENT INFO");
    assert_eq!(
        (field(&info, "lib-name"), field(&info, "lib-ver")),
        ("redis-py".into(), "5".into())
    );
}

#[test]
fn info_shows_the_connection_as_it_is() {
    let mut c = TestClient::new();
    c.run("SELECT 2; CLIENT SETNAME me; CLIENT NO-TOUCH ON; CLIENT NO-EVICT ON; CLIENT CAPA redirect dance");
    let info = c.run("CLIENT INFO");
    for (name, value) in [
        ("id", "1"),
        ("addr", "127.0.0.1:5000"),
        ("laddr", "127.0.0.1:6379"),
        ("fd", "8"),
        ("name", "me"),
        ("idle", "0"),
        ("flags", "eT"),
        ("capa", "r"),
        ("db", "2"),
        ("cmd", "client|info"),
        ("user", "default"),
        ("resp", "2"),
        ("io-thread", "0"),
        ("tot-cmds", "5"),
    ] {
        assert_eq!(field(&info, name), value, "{name} in {info}");
    }
    c.run("CLIENT NO-TOUCH OFF; CLIENT NO-EVICT OFF");
    assert_eq!(field(&c.run("CLIENT INFO"), "flags"), "N");
    // Who has not sent CLIENT CAPA may not know the field.
    let info = c.another().run("CLIENT INFO");
    assert!(!info.contains("capa="), "{info}");
    check("CLIENT NO-EVICT maybe", "-ERR syntax error");
    check("CLIENT NO-TOUCH maybe", "-ERR syntax error");
    assert!(
        TestClient::new()
            .resp3()
            .run("CLIENT INFO")
            .starts_with("=txt:\"id=1 ")
    );
}

#[test]
fn list_shows_the_last_command_of_others() {
    let mut c = TestClient::new();
    let mut other = c.another();
    let line = |list: &str, n: usize| list.split("\\n").nth(n).unwrap().to_owned();
    assert_eq!(field(&line(&c.run("CLIENT LIST"), 1), "cmd"), "NULL");
    other.run("CLIENT GETNAME");
    assert_eq!(
        field(&line(&c.run("CLIENT LIST"), 1), "cmd"),
        "client|getname"
    );
    drop(other);
    assert_eq!(ids(&c.run("CLIENT LIST")), [1]);
}

#[test]
fn filters_choose_clients() {
    let mut c = TestClient::new();
    let mut b = c.another();
    b.run("CLIENT SETNAME bee; SELECT 3; CLIENT SETINFO LIB-NAME lib; CLIENT NO-TOUCH ON");
    let _third = c.engine.session(Origin {
        addr: "[::1]:77".into(),
        laddr: "[::1]:6379".into(),
        fd: 9,
        kind: Kind::Unix,
        waker: None,
    });
    for (filter, expected) in [
        ("", &[1, 2, 3][..]),
        ("TYPE normal", &[1, 2, 3]),
        ("type pubsub", &[]),
        ("TYPE REPLICA", &[]),
        ("NOT-TYPE master", &[1, 2, 3]),
        ("ID 2 3 99", &[2, 3]),
        ("ID 2 3 NOT-ID 3", &[2]),
        ("ID 0 -1", &[]),
        ("USER default", &[1, 2, 3]),
        ("NOT-USER default", &[]),
        ("NAME bee", &[2]),
        (r#"NAME """#, &[]),
        ("NOT-NAME bee", &[1, 3]),
        ("ADDR [::1]:77", &[3]),
        ("LADDR 127.0.0.1:6379", &[1, 2]),
        ("IP ::1", &[3]),
        ("NOT-IP 127.0.0.1", &[3]),
        ("DB 3", &[2]),
        ("NOT-DB 3", &[1, 3]),
        ("FLAGS T", &[2]),
        ("FLAGS U", &[3]),
        ("FLAGS N", &[1]),
        ("NOT-FLAGS N", &[2, 3]),
        (r#"FLAGS """#, &[1, 2, 3]),
        ("LIB-NAME lib", &[2]),
        ("LIB-VER 1", &[]),
        ("CAPA r", &[]),
        ("NOT-CAPA r", &[1, 2, 3]),
        ("MAXAGE 100000", &[]),
        ("IDLE 100000", &[]),
        ("SKIPME yes", &[2, 3]),
        ("SKIPME NO NAME x NAME bee", &[2]),
        ("ID 1 2 SKIPME yes DB 3", &[2]),
    ] {
        assert_eq!(
            ids(&c.run(&format!("CLIENT LIST {filter}"))),
            expected,
            "{filter}"
        );
    }
}

#[test]
fn filters_are_checked() {
    for (filter, error) in [
        ("foo", "syntax error"),
        ("TYPE", "syntax error"),
        ("NOT-MAXAGE 1", "syntax error"),
        ("SKIPME maybe", "syntax error"),
        ("ID 1 a", "Invalid client ID"),
        ("TYPE odd", "Unknown client type 'odd'"),
        ("NOT-ID a", "syntax error"),
        ("NOT-ID 0", "client-id should be greater than 0"),
        ("USER nobody", "No such user 'nobody'"),
        ("MAXAGE x", "maxage is not an integer or out of range"),
        ("MAXAGE 0", "maxage should be greater than 0"),
        ("IDLE -1", "idle should be greater than 0"),
        ("FLAGS ZZ", "Unknown flags found in the provided filter: ZZ"),
        ("CAPA rz", "Unknown capa found in the provided filter: rz"),
        ("DB x", "DB is not an integer or out of range"),
        ("NOT-DB 16", "NOT-DB number should be between 0 and 15"),
    ] {
        check(&format!("CLIENT LIST {filter}"), &format!("-ERR {error}"));
    }
    check("CLIENT LIST ID a", "-ERR Invalid client ID");
    check("CLIENT KILL ID", "-ERR No such client");
    check(
        "CLIENT KILL ID a",
        "-ERR client-id should be greater than 0",
    );
    check(
        "CLIENT KILL ID 0 TYPE normal",
        "-ERR client-id should be greater than 0",
    );
    check("CLIENT KILL ADDR", "-ERR No such client");
    check("CLIENT KILL ID 1 ADDR", "-ERR syntax error");
}

#[test]
fn kill_closes_those_who_match() {
    let mut c = TestClient::new();
    let (a, b) = (c.another(), c.another());
    c.check("CLIENT KILL ID 2", "1");
    assert!(a.session.client().kill_requested() && !b.session.client().kill_requested());
    // Gone already, though its connection has not noticed.
    c.check("CLIENT KILL ID 2", "0");
    assert_eq!(ids(&c.run("CLIENT LIST")), [1, 3]);
    c.check("CLIENT KILL USER default", "1");
    assert!(b.session.client().kill_requested());
    assert_eq!(c.asked, Asked::Nothing);
    c.check("CLIENT KILL TYPE normal SKIPME no", "1");
    assert_eq!(c.asked, Asked::Close);
    assert!(!c.session.client().kill_requested());
}

#[test]
fn kill_knows_its_old_form() {
    let mut c = TestClient::new();
    c.check("CLIENT KILL 1.2.3.4:5", "-ERR No such client");
    c.check("CLIENT KILL 127.0.0.1:5000", "OK");
    assert_eq!(c.asked, Asked::Close);
}

#[test]
fn replies_are_left_out_on_demand() {
    let mut c = TestClient::new();
    c.check("CLIENT REPLY ON", "OK");
    c.check("CLIENT REPLY SKIP", "");
    c.check("PING", "");
    c.check("PING", "PONG");
    c.check("CLIENT REPLY SKIP; CLIENT REPLY SKIP; PING", "");
    c.check("PING; CLIENT REPLY SKIP; CLIENT REPLY ON", "OK");
    c.check("PING", "PONG");
    c.check("CLIENT REPLY OFF", "");
    c.check("CLIENT REPLY SKIP; PING", "");
    c.check("CLIENT REPLY sometimes", "");
    c.check("NOSUCH", "");
    c.check("CLIENT REPLY ON", "OK");
    c.check("CLIENT REPLY sometimes", "-ERR syntax error");
}

#[test]
fn pause_holds_commands_back() {
    let mut c = TestClient::new();
    c.check(
        "CLIENT PAUSE x",
        "-ERR timeout is not an integer or out of range",
    );
    c.check("CLIENT PAUSE -1", "-ERR timeout is negative");
    c.check(
        "CLIENT PAUSE 9223372036854775807",
        "-ERR timeout is out of range",
    );
    c.check(
        "CLIENT PAUSE 1 reads",
        "-ERR CLIENT PAUSE mode must be WRITE or ALL",
    );
    c.check(
        "CLIENT PAUSE 1 ALL x",
        "-ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.",
    );
    c.check("PING", "PONG");
    c.check("CLIENT PAUSE 1000000 WRITE", "OK");
    c.check("PING", "PONG");
    c.check("FLUSHALL", "");
    assert!(matches!(c.asked, Asked::Retry(_)));
    c.check("CLIENT PAUSE 1000000", "OK");
    c.check("PING", "");
    assert!(matches!(c.asked, Asked::Retry(_)));
    // A pause of writes does not weaken it.
    c.check("CLIENT PAUSE 1 WRITE", "OK");
    c.check("PING", "");
    c.check("CLIENT UNPAUSE", "OK");
    c.check("PING", "PONG");
}

#[test]
fn nobody_is_blocked() {
    check("CLIENT UNBLOCK 1", "0");
    check("CLIENT UNBLOCK 1 TIMEOUT", "0");
    check("CLIENT UNBLOCK 1 error", "0");
    check(
        "CLIENT UNBLOCK x",
        "-ERR value is not an integer or out of range",
    );
    check(
        "CLIENT UNBLOCK x later",
        "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
    );
}

#[test]
fn tracking_takes_options_that_go_together() {
    check("CLIENT GETREDIR", "-1");
    check(
        "CLIENT TRACKINGINFO",
        r#"["flags" ["off"] "redirect" -1 "prefixes" []]"#,
    );
    check3(
        "CLIENT TRACKINGINFO",
        r#"{"flags": ~["off"] "redirect": -1 "prefixes": []}"#,
    );
    check("CLIENT TRACKING OFF BCAST PREFIX a REDIRECT 1", "OK");
    check(
        "CLIENT TRACKING OFF REDIRECT 9",
        "-ERR The client ID you want redirect to does not exist",
    );
    check(
        "CLIENT TRACKING OFF REDIRECT x",
        "-ERR value is not an integer or out of range",
    );
    check("CLIENT TRACKING OFF PREFIX", "-ERR syntax error");
    check("CLIENT TRACKING maybe", "-ERR syntax error");
    check(
        "CLIENT TRACKING ON PREFIX a",
        "-ERR PREFIX option requires BCAST mode to be enabled",
    );
    check(
        "CLIENT TRACKING ON BCAST OPTIN",
        "-ERR OPTIN and OPTOUT are not compatible with BCAST",
    );
    check(
        "CLIENT TRACKING ON OPTIN OPTOUT",
        "-ERR You can't specify both OPTIN mode and OPTOUT mode",
    );
    check(
        "CLIENT CACHING YES",
        "-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    );
    check("CLIENT IMPORT-SOURCE OFF", "OK");
    check(
        "CLIENT IMPORT-SOURCE ON",
        "-ERR Server is not in import mode",
    );
}

#[test]
fn unknown_subcommands_are_named() {
    check(
        "CLIENT",
        "-ERR wrong number of arguments for 'client' command",
    );
    check(
        "CLIENT foo a",
        "-ERR unknown subcommand 'foo'. Try CLIENT HELP.",
    );
    check(
        "CLIENT ID x",
        "-ERR wrong number of arguments for 'client|id' command",
    );
    let help = crate::testing::run("CLIENT HELP");
    assert!(
        help.starts_with("[CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are: "),
        "{help}"
    );
}
