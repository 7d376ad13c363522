//! HyperLogLog commands as clients see them. The differential tests compare the bytes with the real servers'.

use crate::testing::{TestClient, check};

#[test]
fn elements_are_counted_once() {
    check("PFADD h a b c; PFCOUNT h", "3");
    check("PFADD h a b c", "1");
    check("PFADD h a b c; PFADD h c a", "0");
    check("PFADD h", "1");
    check("PFADD h; PFADD h", "0");
    check("PFCOUNT nothing", "0");
    check("PFADD h a b; PFADD i b c; PFCOUNT h nothing i", "3");
    check("PFADD h a b; PFADD i b c; PFMERGE j h i; PFCOUNT j", "3");
    check("PFADD h a b; PFMERGE h; PFCOUNT h", "2");
    check("PFADD h a; EXPIRE h 100; PFADD h b c; TTL h", "100");
}

#[test]
fn the_bytes_are_those_of_the_real_servers() {
    let header = r"HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    check("PFADD h; GET h", &format!(r#""{header}\x80\x7f\xff""#));
    check(
        "PFADD h; PFCOUNT h; GET h",
        &format!(r#""{header}\x00\x7f\xff""#),
    );
    check(
        "PFADD h a b c; PFDEBUG DECODE h",
        r#""Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603""#,
    );
    check("PFADD h a; OBJECT ENCODING h", r#""raw""#);
}

#[test]
fn what_is_no_hyperloglog_is_refused() {
    let no = "-WRONGTYPE Key is not a valid HyperLogLog string value.";
    check("SET s hello; PFADD s a", no);
    check("SET s 12345678901234567; PFCOUNT s", no);
    check("SET s hello; PFADD h a; PFMERGE h s", no);
    check("SET s hello; PFADD h a; PFCOUNT h s", no);
    check(
        "RPUSH l a; PFADD l a",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    );
    let corrupt = "-INVALIDOBJ Corrupted HLL object detected";
    check("PFADD h a; APPEND h x; PFCOUNT h", corrupt);
    check("PFADD h a; APPEND h x; PFMERGE i h", corrupt);
    check("PFADD h a; APPEND h x; PFDEBUG TODENSE h", corrupt);
    check(
        "PFADD h a; SETRANGE h 16 \"\\x00\\x00\"; PFADD h b",
        corrupt,
    );
    check(
        "PFDEBUG ENCODING nothing",
        "-ERR The specified key does not exist",
    );
    check(
        "PFADD h a; PFDEBUG NONSENSE h",
        "-ERR Unknown PFDEBUG subcommand 'NONSENSE'",
    );
}

#[test]
fn both_forms() {
    check("PFADD h a b c; PFDEBUG ENCODING h", "sparse");
    check("PFADD h a b c; PFDEBUG TODENSE h", "1");
    check("PFADD h a; PFDEBUG TODENSE h; PFDEBUG TODENSE h", "0");
    check("PFADD h a; PFDEBUG TODENSE h; STRLEN h", "12304");
    check("PFADD h a; PFDEBUG TODENSE h; PFADD h b c; PFCOUNT h", "3");
    check("PFADD h a; PFDEBUG TODENSE h; PFADD h a", "0");
    check(
        "PFADD h a; PFDEBUG TODENSE h; PFADD i b; PFMERGE i h; PFDEBUG ENCODING i",
        "dense",
    );
    check(
        "PFADD h a; PFDEBUG TODENSE h; PFDEBUG DECODE h",
        "-ERR HLL encoding is not sparse",
    );
    check(
        "CONFIG SET hll-sparse-max-bytes 20; PFADD h a b c; PFDEBUG ENCODING h",
        "dense",
    );
    check("PFADD h a; PFDEBUG GETREG h; STRLEN h", "12304");
    // A copy shares its bytes until one of the two changes.
    check(
        "PFADD h a; PFDEBUG TODENSE h; COPY h i; PFADD h b; PFCOUNT i",
        "1",
    );
}

#[test]
fn estimates_are_near() {
    let mut db = TestClient::new();
    for n in 0..30_000 {
        db.run(&format!("PFADD h e{n}"));
    }
    let n: u32 = db.run("PFCOUNT h").parse().expect("a number");
    assert!((29_000..31_000).contains(&n), "{n} of 30000");
    db.check("PFDEBUG ENCODING h", "dense");
    db.check("PFSELFTEST", "OK");
}
