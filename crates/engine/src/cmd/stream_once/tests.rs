//! Producers that send a message twice, and what a stream remembers of them.

use crate::testing::TestClient;

#[test]
fn messages_are_added_once() {
    let mut c = TestClient::new();
    for (line, reply) in [
        // An ID in the future makes those that follow known.
        ("XADD s 9999999999999-1 f v", "\"9999999999999-1\""),
        ("XADD s IDMP p i * f v", "\"9999999999999-2\""),
        ("XADD s IDMP p i * g w", "\"9999999999999-2\""),
        ("XADD s IDMP q i * f v", "\"9999999999999-3\""),
        ("XADD s IDMPAUTO p * f v g 1", "\"9999999999999-4\""),
        ("XADD s IDMPAUTO p * g 1 f v", "\"9999999999999-4\""),
        ("XADD s IDMPAUTO p * fv g 1 \"\"", "\"9999999999999-5\""),
        ("XADD s IDMPAUTO p * f v g 1 f v", "\"9999999999999-6\""),
        ("XLEN s", "6"),
        (
            "XADD s IDMP p j 5-5 f v",
            "-ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs",
        ),
        (
            "XADD s IDMP p j IDMPAUTO p * f v",
            "-ERR syntax error, IDMP/IDMPAUTO specified multiple times",
        ),
        (
            "XADD s IDMP \"\" j * f v",
            "-ERR syntax error, IDMP requires a non-empty producer ID",
        ),
        (
            "XADD s IDMPAUTO \"\" * f v",
            "-ERR syntax error, IDMPAUTO requires a non-empty producer ID",
        ),
        (
            "XADD s IDMP p \"\" * f v",
            "-ERR syntax error, IDMP requires a non-empty idempotent ID",
        ),
        (
            "XADD s IDMP p * f v",
            "-ERR Invalid stream ID specified as stream command argument",
        ),
        ("XADD no NOMKSTREAM IDMP p i * f v", "nil"),
        ("XCFGSET s IDMP-DURATION 100", "OK"),
        ("XADD s IDMP p i * f v", "\"9999999999999-2\""),
        ("XCFGSET s IDMP-MAXSIZE 1", "OK"),
        ("XADD s IDMP p i * f v", "\"9999999999999-7\""),
        ("XADD s IDMP p j * f v", "\"9999999999999-8\""),
        ("XADD s IDMP p i * f v", "\"9999999999999-9\""),
        ("XCFGSET s", "-ERR At least one parameter must be specified"),
        (
            "XCFGSET s IDMP-MAXSIZE 0",
            "-ERR IDMP-MAXSIZE must be between 1 and 10000 entries",
        ),
        (
            "XCFGSET s IDMP-DURATION 1 IDMP-DURATION 2",
            "-ERR IDMP-DURATION specified multiple times",
        ),
        ("XCFGSET s IDMP-DURATION", "-ERR syntax error"),
        ("XCFGSET none FOO", "-ERR no such key"),
        ("XIDMPRECORD s p k 1-1", "-ERR No such message in stream"),
        ("XIDMPRECORD s r k 9999999999999-3", "OK"),
        ("XIDMPRECORD s r k 9999999999999-3", "OK"),
        (
            "XIDMPRECORD s r k 9999999999999-4",
            "-ERR IID already exists for this producer with a different stream ID",
        ),
        ("XADD s IDMP r k * f v", "\"9999999999999-3\""),
        (
            "XIDMPRECORD s p k 1-x",
            "-ERR Invalid stream ID specified as stream command argument",
        ),
        (
            "CONFIG SET stream-idmp-maxsize 7; XGROUP CREATE t g $ MKSTREAM",
            "OK",
        ),
    ] {
        c.check(line, reply);
    }
    let info = c.run("XINFO STREAM t");
    assert!(
        info.contains("\"idmp-duration\" 100 \"idmp-maxsize\" 7 \"pids-tracked\" 0"),
        "{info}"
    );
    let info = c.run("XINFO STREAM s FULL");
    assert!(
        info.contains("\"iids-tracked\" 2 \"iids-added\" 9 \"iids-duplicates\" 4 \"entries\""),
        "{info}"
    );
    c.check("COPY s u; XADD u IDMP r k * f v", "\"9999999999999-3\"");
}

#[test]
fn what_is_known_already_is_no_change() {
    let mut c = TestClient::new();
    c.check_events("XADD s IDMP p i * f v", "xadd s");
    c.check_events("XADD s IDMP p i * f v", "");
}
