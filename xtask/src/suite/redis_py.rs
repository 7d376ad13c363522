//! redis-py's own tests, its makers' pytest files, in two parts beside each other.
//!
//! Tests of modules, of clusters and of TLS are not run. What else does not pass is in the tables here, and does not with Redis 8.2.3 either.

use super::pytest::{Address, Theirs};

/// All of it.
pub const THEIRS: Theirs = Theirs {
    name: "redis-py",
    imports: "pytest, pytest_asyncio, pytest_timeout",
    folder: "tests/",
    parts: &[
        &["tests", "--ignore=tests/test_asyncio"],
        &["tests/test_asyncio"],
    ],
    options: &["-o", "asyncio_mode=auto"],
    marks: MARKS,
    files_left_out: FILES_LEFT_OUT,
    address: Address::Option("--redis-url=redis://127.0.0.1:PORT/9"),
    fail: FAIL,
    left_out: LEFT_OUT,
};

const PORT: &str = "it asks a server at a port of its own choice";
const OLDER: &str = "it wants what servers answered before Redis 8";
const MOCKED: &str = "the server that it plays itself refuses all databases but the first";

/// Tests that fail, by the beginning of their ids.
const FAIL: &[(&str, &str)] = &[
    (
        "tests/test_asyncio/test_commands.py::TestRedisCommands::test_xgroup_setid[",
        OLDER,
    ),
    (
        "tests/test_asyncio/test_connection.py::test_connection_disconect_race[",
        MOCKED,
    ),
    (
        "tests/test_commands.py::TestRedisCommands::test_xgroup_create_entriesread",
        OLDER,
    ),
    (
        "tests/test_commands.py::TestRedisCommands::test_xgroup_setid",
        OLDER,
    ),
];

/// Tests that are not run, in the same way.
#[rustfmt::skip]
const LEFT_OUT: &[(&str, &str)] = &[
    ("tests/test_asyncio/test_commands.py::TestRedisCommands::test_client_setinfo", PORT),
    ("tests/test_asyncio/test_connection_pool.py::TestConnectionPool::test_max_connections", PORT),
    ("tests/test_asyncio/test_connection_pool.py::TestConnectionPool::test_multiple_connections", PORT),
    ("tests/test_asyncio/test_connection_pool.py::TestConnectionPool::test_reuse_previously_released_connection", PORT),
    ("tests/test_asyncio/test_sentinel.py::test_master_for", PORT),
    ("tests/test_asyncio/test_sentinel.py::test_repr_correctly_represents_connection_object", PORT),
    ("tests/test_asyncio/test_sentinel.py::test_slave_for", PORT),
    ("tests/test_commands.py::TestRedisCommands::test_client_setinfo", PORT),
    ("tests/test_commands.py::TestRedisCommands::test_psync", PORT),
    ("tests/test_commands.py::TestRedisCommands::test_tfcall", PORT),
    ("tests/test_commands.py::TestRedisCommands::test_tfunction", PORT),
    ("tests/test_connection.py::TestConnection::test_retry_connect_on_timeout_error", PORT),
    ("tests/test_connection.py::test_create_single_connection_client_from_url", PORT),
    ("tests/test_sentinel.py::test_dead_pool", PORT),
    ("tests/test_sentinel.py::test_master_for", PORT),
    ("tests/test_sentinel.py::test_slave_for", PORT),
];

/// Files that are about what is not run, or cannot be read without it.
const FILES_LEFT_OUT: &[&str] = &[
    "tests/test_bloom.py",
    "tests/test_cluster.py",
    "tests/test_graph.py",
    "tests/test_json.py",
    "tests/test_search.py",
    "tests/test_ssl.py",
    "tests/test_timeseries.py",
    "tests/test_asyncio/test_bloom.py",
    "tests/test_asyncio/test_cluster.py",
    "tests/test_asyncio/test_graph.py",
    "tests/test_asyncio/test_json.py",
    "tests/test_asyncio/test_search.py",
    "tests/test_asyncio/test_ssl.py",
    "tests/test_asyncio/test_timeseries.py",
];

/// Marks of such tests in other files.
const MARKS: &str = "not redismod and not onlycluster and not ssl";
