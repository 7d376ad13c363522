//! Group `geo`.

use super::How::Exact;
use super::{Row, row};

/// A corner of a polygon. None is damaged: what a number may look like is different in Valkey. They do not span the map:
/// Valkey finds nothing in polygons that do.
macro_rules! corner {
    () => {
        "(13.361389|15.087269|-0.1|60.5|-70|100.5|2) (38.115556|37.5|-0.1|85.05|-80|66.5|0) "
    };
}

/// The group's commands. Coordinates have fewer digits in Redis 8 than in Valkey; so polygons are asked for none.
pub const GEO: &[Row] = &[
    row("GEOADD", 20, "key {[NX|XX] [CH]} (lon lat place)+", Exact),
    row(
        "GEOADD",
        8,
        "key lon lat place lon lat place lon lat place lon lat place",
        Exact,
    ),
    row(
        "GEOADD",
        1,
        "key {[NX] [XX] [CH]} (float float val)+",
        Exact,
    ),
    row("ZADD", 2, "key float place", Exact),
    row("GEODIST", 10, "key place place [geounit]", Exact),
    row("GEODIST", 1, "key place place text", Exact),
    row("GEOHASH", 6, "key place*", Exact),
    row("GEOPOS", 6, "key place*", Exact),
    row(
        "GEORADIUS",
        10,
        "key lon lat radius geounit {[WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC|DESC]}",
        Exact,
    ),
    row(
        "GEORADIUS",
        5,
        "key lon lat radius geounit {[COUNT count] [ASC|DESC] (STORE key|STOREDIST key)}",
        Exact,
    ),
    row(
        "GEORADIUS",
        2,
        "key lon lat radius geounit {[WITHDIST] [COUNT count] [ANY] [STORE key] [STOREDIST key]}",
        Exact,
    ),
    row(
        "GEORADIUS_RO",
        5,
        "key lon lat radius geounit {[WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]]}",
        Exact,
    ),
    row(
        "GEORADIUSBYMEMBER",
        10,
        "key place radius geounit {[WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC|DESC]}",
        Exact,
    ),
    row(
        "GEORADIUSBYMEMBER",
        4,
        "key place radius geounit {[COUNT count] [ASC|DESC] (STORE key|STOREDIST key)}",
        Exact,
    ),
    row(
        "GEORADIUSBYMEMBER_RO",
        4,
        "key place radius geounit {[WITHDIST] [COUNT count [ANY]] [STORE key]}",
        Exact,
    ),
    row(
        "GEOSEARCH",
        24,
        "key {(FROMMEMBER place|FROMLONLAT lon lat) (BYRADIUS radius geounit|BYBOX radius radius geounit) \
         [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC|DESC]}",
        Exact,
    ),
    row(
        "GEOSEARCH",
        3,
        "key {[FROMMEMBER place] [FROMLONLAT lon lat] [BYRADIUS radius geounit] [BYBOX radius radius geounit] [ANY]}",
        Exact,
    ),
    row(
        "GEOSEARCH",
        10,
        concat!(
            "key {(BYPOLYGON 3 ",
            corner!(),
            corner!(),
            corner!(),
            ") [WITHDIST] [WITHHASH] [COUNT (1|3|10) [ANY]] [ASC|DESC]}"
        ),
        Exact,
    )
    .valkey()
    .tame(),
    row(
        "GEOSEARCH",
        4,
        concat!(
            "key BYPOLYGON 5 ",
            corner!(),
            corner!(),
            corner!(),
            corner!(),
            corner!(),
            "{[WITHDIST] [COUNT (1|3) [ANY]] [ASC|DESC]}"
        ),
        Exact,
    )
    .valkey()
    .tame(),
    row(
        "GEOSEARCH",
        3,
        concat!(
            "key {[FROMLONLAT ",
            corner!(),
            "] [BYRADIUS 100 geounit] [BYPOLYGON (2|3|4|text) ",
            corner!(),
            corner!(),
            corner!(),
            "]}"
        ),
        Exact,
    )
    .valkey()
    .tame(),
    row(
        "GEOSEARCHSTORE",
        10,
        "key key {(FROMMEMBER place|FROMLONLAT lon lat) (BYRADIUS radius geounit|BYBOX radius radius geounit) \
         [COUNT count [ANY]] [ASC|DESC] [STOREDIST]}",
        Exact,
    ),
    row(
        "GEOSEARCHSTORE",
        2,
        "key key {(FROMMEMBER place|FROMLONLAT lon lat) BYRADIUS radius geounit [WITHDIST] [STOREDIST]}",
        Exact,
    ),
    row("ZRANGE", 4, "key 0 -1 WITHSCORES", Exact),
    row("OBJECT ENCODING", 2, "key", Exact),
    row(
        "CONFIG SET",
        1,
        "'zset-max-listpack-entries (0|2|128)",
        Exact,
    )
    .tame()
    .alone(),
];
