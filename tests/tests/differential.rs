//! The same random commands to Redpoll and to Redis 8.2.3, Redis 8.6.2 or Valkey 9.1.2: see `redpoll_tests::diff`.
//!
//! A failure prints the commands, shrunk, what each server replied, and the seed to set as `REDPOLL_SEED`.

use redpoll_tests::diff::engine::{Protocol, compare};
use redpoll_tests::diff::rows;

/// A test a group and protocol.
macro_rules! groups {
    ($($resp2:ident, $resp3:ident: $table:ident;)*) => { $(
        #[test]
        fn $resp2() {
            compare(stringify!($resp2), rows::$table, Protocol::Resp2);
        }

        #[test]
        fn $resp3() {
            compare(stringify!($resp3), rows::$table, Protocol::Resp3);
        }
    )* };
}

groups! {
    string_resp2, string_resp3: STRING;
    generic_resp2, generic_resp3: GENERIC;
    bitmap_resp2, bitmap_resp3: BITMAP;
    connection_resp2, connection_resp3: CONNECTION;
    server_resp2, server_resp3: SERVER;
    stream_resp2, stream_resp3: STREAM;
    stream_once_resp2, stream_once_resp3: STREAM_ONCE;
    hash_resp2, hash_resp3: HASH;
    list_resp2, list_resp3: LIST;
    list_nodes_resp2, list_nodes_resp3: LIST_NODES;
    set_resp2, set_resp3: SET_GROUP;
    sort_resp2, sort_resp3: SORT;
    sorted_set_resp2, sorted_set_resp3: SORTED_SET;
    sorted_set_lex_resp2, sorted_set_lex_resp3: SORTED_SET_LEX;
    sorted_set_large_resp2, sorted_set_large_resp3: SORTED_SET_LARGE;
    geo_resp2, geo_resp3: GEO;
    hyperloglog_resp2, hyperloglog_resp3: HYPERLOGLOG;
    script_resp2, script_resp3: SCRIPT;
    function_resp2, function_resp3: FUNCTION;
    transaction_resp2, transaction_resp3: TRANSACTION;
    messages_resp2, messages_resp3: MESSAGES;
    acl_resp2, acl_resp3: ACL;
    hyperloglog_growth_resp2, hyperloglog_growth_resp3: HYPERLOGLOG_GROWTH;
}
