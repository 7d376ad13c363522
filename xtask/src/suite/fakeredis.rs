//! The tests of fakeredis, which its makers hold its answers against a real server's with: those that speak to the server, with both
//! versions of the protocol.
//!
//! What waits for long is not run, nor what is about modules and other servers. What does not pass is in the tables here.

use super::pytest::{Address, Theirs};

/// All of it.
pub const THEIRS: Theirs = Theirs {
    name: "fakeredis",
    imports: "fakeredis, lupa, pytest, pytest_asyncio, pytest_mock, pytest_timeout, valkey",
    folder: "test/",
    parts: &[&[
        "test/test_mixins",
        "test/test_async",
        "test/test_keyspace_notifications.py",
        "test/test_subkey_notifications.py",
    ]],
    options: &[],
    marks: "real",
    files_left_out: &[],
    address: Address::Written("6390"),
    fail: FAIL,
    left_out: LEFT_OUT,
};

const HELP: &str = "what HELP says is in words of our own";
const VALKEY: &str = "the error names BYPOLYGON, too, as Valkey's does";
const NEWER: &str = "it wants the error of servers before Redis 8.8";
const WAITS: &str = "it waits for half a second or more";
const BACKS_OFF: &str = "its client tries again for seconds what is refused";

/// Tests that fail, by the beginning of their ids.
#[rustfmt::skip]
const FAIL: &[(&str, &str)] = &[
    ("test/test_mixins/test_function_commands.py::test_function_help[", HELP),
    ("test/test_mixins/test_geo_commands.py::test_geosearch_bybox[", VALKEY),
    ("test/test_mixins/test_pubsub_commands.py::test_pubsub_help_redis71[", HELP),
    ("test/test_mixins/test_scripting_commands.py::test_script_help73[", HELP),
    ("test/test_mixins/test_stream_read_caps.py::test_stream_read_caps_unsupported[", NEWER),
];

/// Tests that are not run, in the same way.
#[rustfmt::skip]
const LEFT_OUT: &[(&str, &str)] = &[
    ("test/test_async/test_asyncredis.py::test_pubsub_disconnect", WAITS),
    ("test/test_async/test_asyncredis.py::test_pubsub_timeout", WAITS),
    ("test/test_async/test_blocking.py::test_blocking_timeout", WAITS),
    ("test/test_mixins/test_acl_commands.py::test_acl_log_auth_exist", BACKS_OFF),
    ("test/test_mixins/test_acl_commands.py::test_auth", BACKS_OFF),
    ("test/test_mixins/test_bitmap_commands.py::test_bitfield_get", WAITS),
    ("test/test_mixins/test_connection_commands.py::test_client_unblock_timeout", WAITS),
    ("test/test_mixins/test_generic_commands.py::test_delete_expire", WAITS),
    ("test/test_mixins/test_generic_commands.py::test_expire_should_expire_key", WAITS),
    ("test/test_mixins/test_generic_commands.py::test_expire_should_expire_key_using_timedelta", WAITS),
    ("test/test_mixins/test_generic_commands.py::test_expireat_should_expire_key_by_datetime", WAITS),
    ("test/test_mixins/test_generic_commands.py::test_expireat_should_expire_key_by_timestamp", WAITS),
    ("test/test_mixins/test_generic_commands.py::test_pexpire_should_expire_key_using_timedelta", WAITS),
    ("test/test_mixins/test_generic_scan_commands.py::test_scan_expired_key", WAITS),
    ("test/test_mixins/test_hash_expire_commands.py::test_hexpire_basic", WAITS),
    ("test/test_mixins/test_hash_expire_commands.py::test_hexpire_conditions", WAITS),
    ("test/test_mixins/test_hash_expire_commands.py::test_hexpire_multiple_fields", WAITS),
    ("test/test_mixins/test_hash_expire_commands.py::test_hexpireat_basic", WAITS),
    ("test/test_mixins/test_hash_expire_commands.py::test_hexpireat_multiple_fields", WAITS),
    ("test/test_mixins/test_hash_expire_commands.py::test_hpexpire_conditions", WAITS),
    ("test/test_mixins/test_list_commands.py::test_blmpop", WAITS),
    ("test/test_mixins/test_list_commands.py::test_blocking_operations_when_empty", WAITS),
    ("test/test_mixins/test_list_commands.py::test_blpop_block", WAITS),
    ("test/test_mixins/test_list_commands.py::test_blpop_block_float", WAITS),
    ("test/test_mixins/test_list_commands.py::test_brpop_block", WAITS),
    ("test/test_mixins/test_pubsub_commands.py::test_pubsub_binary", WAITS),
    ("test/test_mixins/test_pubsub_commands.py::test_pubsub_ignore_sub_messages_listen", WAITS),
    ("test/test_mixins/test_pubsub_commands.py::test_pubsub_listen", WAITS),
    ("test/test_mixins/test_pubsub_commands.py::test_pubsub_listen_handler", WAITS),
    ("test/test_mixins/test_pubsub_commands.py::test_pubsub_psubscribe", WAITS),
    ("test/test_mixins/test_pubsub_commands.py::test_pubsub_punsubscribe", WAITS),
    ("test/test_mixins/test_pubsub_commands.py::test_pubsub_subscribe", WAITS),
    ("test/test_mixins/test_pubsub_commands.py::test_pubsub_timeout", WAITS),
    ("test/test_mixins/test_pubsub_commands.py::test_pubsub_unsubscribe", WAITS),
    ("test/test_mixins/test_server_commands.py::test_bgsave_timestamp_update", WAITS),
    ("test/test_mixins/test_server_commands.py::test_save_timestamp_update", WAITS),
    ("test/test_mixins/test_set_commands.py::test_psetex_expire_value", WAITS),
    ("test/test_mixins/test_set_commands.py::test_psetex_expire_value_using_timedelta", WAITS),
    ("test/test_mixins/test_set_commands.py::test_set_ex_should_expire_value", WAITS),
    ("test/test_mixins/test_set_commands.py::test_set_px_should_expire_value", WAITS),
    ("test/test_mixins/test_sortedset_commands.py::test_bzmpop", WAITS),
    ("test/test_mixins/test_specific_redis_versions/test_redis_8_0_hash_expire.py::test_hgetex_validate_expired_fields_removed", WAITS),
    ("test/test_mixins/test_specific_redis_versions/test_redis_8_0_hash_expire.py::test_hsetex_expiration_ex_and_keepttl", WAITS),
    ("test/test_mixins/test_streams_commands.py::test_xreadgroup", WAITS),
    ("test/test_mixins/test_string_commands.py::test_getex", WAITS),
];
