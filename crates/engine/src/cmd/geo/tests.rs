//! Geo commands as clients see them. The differential tests compare far more with the real servers.

use crate::testing::{TestClient, check, check3};

const SICILY: &str = "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania; ";

fn sicily(line: &str, expected: &str) {
    check(&format!("{SICILY}{line}"), expected);
}

#[test]
fn positions_and_distances() {
    check(
        "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
        "2",
    );
    sicily("ZSCORE g Palermo", r#""3479099956230698""#);
    sicily(
        "GEOPOS g Palermo nobody",
        r#"[["13.361389338970184" "38.1155563954963"] nil]"#,
    );
    sicily(
        "GEOHASH g Palermo Catania nobody",
        r#"["sqc8b49rny0" "sqdtr74hyu0" nil]"#,
    );
    sicily("GEODIST g Palermo Catania", r#""166274.1516""#);
    sicily("GEODIST g Palermo Catania km", r#""166.2742""#);
    sicily("GEODIST g Palermo Palermo", r#""0.0000""#);
    sicily("GEODIST g Palermo nobody", "nil");
    sicily(
        "GEODIST g Palermo Catania yards",
        "-ERR unsupported unit provided. please use M, KM, FT, MI",
    );
    check3(
        &format!("{SICILY}GEOPOS g Catania"),
        "[[,15.087267458438873 ,37.50266842333162]]",
    );
}

#[test]
fn geoadd_and_its_options() {
    sicily("GEOADD g 13.361389 38.115556 Palermo 1 1 Catania", "0");
    sicily(
        "GEOADD g CH 13.361389 38.115556 Palermo 1 1 Catania 2 2 new",
        "2",
    );
    sicily("GEOADD g NX CH 1 1 Palermo 2 2 new", "1");
    sicily("GEOADD g XX CH 1 1 Palermo 2 2 new", "1");
    sicily("GEOADD g NX XX 1 1 Palermo", "-ERR syntax error");
    check("GEOADD g XX 1 1 a; EXISTS g", "0");
    check(
        "GEOADD g 180 86 a",
        "-ERR invalid longitude,latitude pair 180.000000,86.000000",
    );
    check("GEOADD g 1 x a", "-ERR value is not a valid float");
    check("GEOADD g NX CH NX", "-ERR syntax error");
    check(
        "GEOADD g 180 85.05112878 a -180 -85.05112878 b; GEOPOS g b",
        r#"[["-179.99999731779099" "-85.05112751263943"]]"#,
    );
}

#[test]
fn searches() {
    sicily(
        "GEORADIUS g 15 37 200 km WITHDIST ASC",
        r#"[["Catania" "56.4413"] ["Palermo" "190.4424"]]"#,
    );
    sicily(
        "GEORADIUS g 15 37 200 km WITHHASH COUNT 1",
        r#"[["Catania" 3479447370796909]]"#,
    );
    sicily("GEORADIUSBYMEMBER g Palermo 100 km", r#"["Palermo"]"#);
    sicily(
        "GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km DESC",
        r#"["Palermo" "Catania"]"#,
    );
    sicily(
        "GEOSEARCH g BYPOLYGON 3 10 30 20 30 15 45 WITHDIST",
        r#"[["Palermo" "369997.5654"] ["Catania" "271790.7291"]]"#,
    );
    sicily(
        "GEOSEARCH g FROMMEMBER nobody BYRADIUS 1 m",
        "-ERR could not decode requested zset member",
    );
    sicily(
        "GEORADIUS g 15 37 200 km STORE h; ZRANGE h 0 -1",
        r#"["Palermo" "Catania"]"#,
    );
    sicily("GEORADIUS g 15 37 100 m STORE g; EXISTS g", "0");
    sicily(
        "GEOSEARCHSTORE h g FROMLONLAT 15 37 BYRADIUS 100 km STOREDIST; ZRANGE h 0 -1 WITHSCORES",
        r#"["Catania" "56.4412578701582"]"#,
    );
    sicily("GEORADIUS_RO g 15 37 200 km STORE h", "-ERR syntax error");
    sicily(
        "GEORADIUS g 15 37 200 km ANY",
        "-ERR the ANY argument requires COUNT argument",
    );
    sicily("GEORADIUS g 15 37 200 km COUNT 0", "-ERR COUNT must be > 0");
    check("GEORADIUSBYMEMBER nothing nobody x y STORE h", "0");
    check("GEOSEARCH nothing FROMMEMBER nobody BYRADIUS 1 m", "[]");
    check(
        "SET s x; GEOSEARCH s nonsense 1 2 3 4 5",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

#[test]
fn scores_that_are_no_positions_are_borne() {
    let mut db = TestClient::new();
    db.run("ZADD g inf a -inf b 1e300 c -5 d 0.5 e 9e18 f");
    for line in [
        "GEOPOS g a b c d e f",
        "GEOHASH g a b c d e f",
        "GEODIST g a d",
        "GEORADIUS g 0 0 inf m WITHHASH WITHDIST",
    ] {
        let reply = db.run(line);
        assert!(
            reply.starts_with('[') || reply.starts_with('"'),
            "{line}: {reply}"
        );
    }
}
