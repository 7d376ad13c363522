//! Which of the suite's units are run, and in which of their tests Redpoll differs.

/// A test that is not to pass.
pub struct Difference {
    /// Its name as the suite prints it.
    pub test: &'static str,
    pub kind: Kind,
    /// Why.
    pub reason: &'static str,
}

/// What is done about a difference.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is run, and fails; if it passes, the table is wrong.
    Fails,
    /// It is not run: it hangs, takes others with it, takes long for what it says, or passes now and then.
    LeftOut,
}

const fn fails(test: &'static str, reason: &'static str) -> Difference {
    Difference {
        test,
        kind: Kind::Fails,
        reason,
    }
}

const fn left_out(test: &'static str, reason: &'static str) -> Difference {
    Difference {
        test,
        kind: Kind::LeftOut,
        reason,
    }
}

/// The differences of a unit.
pub fn of(unit: &str) -> &'static [Difference] {
    let of_unit = DIFFERENCES.iter().find(|(name, _)| *name == unit);
    of_unit.map_or(&[], |(_, differences)| differences)
}

/// Blocks of tests with these tags are not run: there are no clusters.
pub const TAGS: &[&str] = &["-cluster"];

/// The units that are run, long ones first.
#[rustfmt::skip]
pub const UNITS: &[&str] = &[
    "unit/hyperloglog",
    "unit/geo",
    "unit/type/list-3",
    "integration/psync2",
    "integration/replication-psync",
    "integration/replication",
    "integration/replication-4",
    "integration/block-repl",
    "unit/type/list",
    "unit/dump",
    "unit/type/zset",
    "integration/psync2-reg",
    "unit/type/stream",
    "integration/psync2-pingoff",
    "integration/psync2-master-restart",
    "integration/replication-buffer",
    "unit/wait",
    "unit/latency-monitor",
    "integration/logging",
    "integration/dismiss-mem",
    "unit/expire",
    "unit/obuf-limits",
    "unit/type/list-2",
    "integration/convert-ziplist-hash-on-load",
    "integration/convert-ziplist-zset-on-load",
    "integration/convert-zipmap-hash-on-load",
    "integration/aof",
    "integration/aof-multi-part",
    "integration/aof-race",
    "integration/rdb",
    "unit/aofrw",
    "unit/shutdown",
    "integration/failover",
    "integration/shutdown",
    "integration/redis-benchmark",
    "integration/redis-cli",
    "integration/replication-2",
    "integration/replication-3",
    "unit/acl",
    "unit/lazyfree",
    "unit/maxmemory",
    "unit/auth",
    "unit/functions",
    "unit/memefficiency",
    "unit/acl-v2",
    "unit/bitfield",
    "unit/client-eviction",
    "unit/bitops",
    "unit/info",
    "unit/info-command",
    "unit/info-keysizes",
    "unit/introspection",
    "unit/introspection-2",
    "unit/keyspace",
    "unit/limits",
    "unit/multi",
    "unit/networking",
    "unit/oom-score-adj",
    "unit/other",
    "unit/pause",
    "unit/printver",
    "unit/protocol",
    "unit/pubsub",
    "unit/pubsubshard",
    "unit/querybuf",
    "unit/quit",
    "unit/replybufsize",
    "unit/scan",
    "unit/scripting",
    "unit/slowlog",
    "unit/sort",
    "unit/tls",
    "unit/tracking",
    "unit/type/hash",
    "unit/type/hash-field-expire",
    "unit/type/incr",
    "unit/type/set",
    "unit/type/stream-cgroups",
    "unit/type/string",
    "unit/violations",
];

/// Units that are not run, and why.
#[rustfmt::skip]
pub const UNITS_LEFT_OUT: &[(&str, &str)] = &[
    ("integration/corrupt-dump", SLOW),
    ("integration/corrupt-dump-fuzzer", SLOW),
    ("integration/replication-rdbchannel", ONE_LINK),
];

// ---- Reasons

const SHARED: &str = "no objects are shared: OBJECT REFCOUNT is 1";
const BUFFERS: &str = "a connection that waits owns no buffer";
const QUERY: &str =
    "qbuf is all of a request that is being received, not the last of its arguments alone";
const UNREAD: &str = "a client that reads no replies is served no further after a megabyte of them";
const LOG: &str = "the log says it in other words, or another way";
const PIECES: &str =
    "the log's pieces stand behind annotations of Redpoll's own, where the suite expects commands";
const CHECK: &str = "`redpoll check-aof` says the same in other words";
const UNSAID: &str = "the log has no line about scripts that are slow";
const STILL: &str =
    "DEBUG AOF-FLUSH-SLEEP has Redis's one thread stand still, of which there is none";
const NOT_BUSY: &str =
    "a script holds up only those who need its keys: the others are served, and not told BUSY";
const SCRIPT_STAYS: &str = "a script holds up only those who need its keys, and the test leaves it running for those behind it";
const LAZY_FIELDS: &str =
    "reading removes no fields whose time is over: they are hidden until the sweep comes";
const INNER: &str = "it looks at a mechanism inside Redis";
const KEYSIZES: &str = "key sizes are surveyed from time to time, not counted with every change";
const RECORDS: &str = "what is written down has the same effect, in other words";
const NEWER: &str = "answers have what newer servers added";
const LATER: &str = "what is found expired may be removed a moment after the reply, and after what others do to other keys";
const CLOCK: &str = "it asks how long something takes";
const CHILD: &str = "there is no child process, and so none to kill";
const GLOB: &str = "patterns are matched however long they are";
const BIND: &str = "the default address is the loopback's";
const COUNTS: &str = "a count whose reply no buffer could take is refused";
const VALKEY: &str = "it is taken as Valkey takes it";
const ADDRESS: &str = "it needs an address beside the loopback's";
const THREADS: &str = "what two connections send is done by two threads, in either order";
const FREES: &str =
    "large values are always freed by a thread of their own and what is small is not counted";
const FORCED: &str = "it needs DEBUG CONFIG-REWRITE-FORCE-ALL, for which there is no use here";
const FIXED: &str =
    "it sets every directive to what it is, and more of them cannot be set while the server runs";
const WORKERS: &str = "io-threads are workers, of which the first has clients too";
const DEBUGGER: &str = "there is no debugger for scripts";
const EARLY: &str = "it is started anew, and the suite connects before it listens";
const CLUSTER: &str = "no operation is counted for not going together with a cluster";
const BEHIND: &str =
    "what FLUSHALL in a transaction leaves is written right behind that, and counted then";
const TITLE: &str = "the program has another name";
const PAUSED: &str = "a pause holds up no CLIENT command, so that CLIENT UNPAUSE can end it";
const EXPIRED: &str = "RANDOMKEY names no key that has expired, also while a pause keeps it";
const STATES: &str =
    "every thread that runs scripts has a state of its own, of some hundred kilobytes";
const ONE_LINK: &str = "a copy of the data set and the stream behind it come over one connection, whatever the other side can do";
const OLD_FIRST: &str = "what changes while a copy is made is written at once, without the delay that the test gives each key";
const MEANWHILE: &str = "a replica answers while a copy comes: what is done then is in it, and REPLICAOF is refused while it is loaded";
const KEPT_MEMORY: &str =
    "memory of the stream is kept for the next changes for some seconds, and goes in blocks";
const SWEPT: &str =
    "what expired before a restart is removed behind it, and replicas may be back before it is";
const SYNCED: &str = "a log that is turned off is synced first, so that who waits for that has it";
const UNLOADED: &str = "fields that have expired, and hashes without others, are not loaded, so that the sweep finds and counts none";
const CRON: &str = "there is no cron to be paused";
const FIRST_BASE: &str = "who stops while a log that was turned on has no base yet waits for that";
const PAIR: &str = "the list of a log's files has a pair of Redpoll's own (`redpoll-after`), which every server passes over";
const ONE_FOLDER: &str = "a data folder is locked by one server at a time";
const BEHIND_KILLED: &str = "it goes on where a test leaves off that kills a child process";
const SLOW: &str = "it takes minutes";
const ALIKE: &str = "it takes many seconds, and others of its kind are run";
const GONE: &str =
    "what clients take is added up every 20 ms, so that keys may go for those who have just left";
const LINK_AWAKE: &str = "the link to the primary has a thread of its own, which comes back while DEBUG SLEEP holds up the rest";
const WATCHDOG: &str = "there is no watchdog";
const NO_SAVE: &str = "a copy for replicas goes to no file, so that it ends with them whatever is to be saved, and at its next write";
const WRITTEN_SOON: &str =
    "what is written down is in the log, and in its size, some milliseconds after the reply";
const ALERT: &str = "who does not speak TLS is told so with one of its alerts";
const CIPHERS: &str =
    "it names ciphers in CBC mode with keys encrypted by RSA, which are not offered";
const OPEN: &str = "it is not known yet who is wrong";

// ---- The table

/// By unit.
#[rustfmt::skip]
const DIFFERENCES: &[(&str, &[Difference])] = &[
    ("integration/failover", &[
        left_out("failover aborts if target rejects sync request", LOG),
        fails("failover to a replica with force works", LOG),
    ]),
    ("integration/logging", &[
        fails("Crash report generated on DEBUG SEGFAULT", LOG),
        fails("Crash report generated on SIGABRT", LOG),
        fails("Stacktraces generated on SIGALRM", LOG),
    ]),
    ("integration/redis-cli", &[
        fails("Interactive CLI: db_num showed in redis-cli after reconnected", LOG),
        fails("Non-interactive non-TTY CLI: Test command-line hinting - latest server", NEWER),
    ]),
    ("integration/replication-buffer", &[
        left_out("All replicas share one global replication buffer rdbchannel=no", KEPT_MEMORY),
        left_out("All replicas share one global replication buffer rdbchannel=yes", ONE_LINK),
        left_out("Replica could use replication buffer (beyond backlog config) for partial resynchronization rdbchannel=no", OLD_FIRST),
        left_out("Replica could use replication buffer (beyond backlog config) for partial resynchronization rdbchannel=yes", OLD_FIRST),
        left_out("Replication backlog memory will become smaller if disconnecting with replica rdbchannel=no", OLD_FIRST),
        left_out("Replication backlog memory will become smaller if disconnecting with replica rdbchannel=yes", OLD_FIRST),
        left_out("Replication buffer will become smaller when no replica uses rdbchannel=no", KEPT_MEMORY),
        left_out("Replication buffer will become smaller when no replica uses rdbchannel=yes", ONE_LINK),
    ]),
    ("integration/replication", &[
        left_out("Allow appendonly config change while loading rdb on slave", WRITTEN_SOON),
        fails("Busy script during async loading", NOT_BUSY),
        left_out("Connect multiple replicas at the same time (issue #141), master diskless=no, replica diskless=disabled, rdbchannel=no", ALIKE),
        left_out("Connect multiple replicas at the same time (issue #141), master diskless=no, replica diskless=swapdb, rdbchannel=no", ALIKE),
        left_out("Connect multiple replicas at the same time (issue #141), master diskless=yes, replica diskless=disabled, rdbchannel=yes", ALIKE),
        left_out("Diskless load swapdb (different replid): replica enter loading rdbchannel=no", MEANWHILE),
        left_out("Kill rdb child process if its dumping RDB is not useful", NO_SAVE),
        left_out("Master stream is correctly processed while the replica has a script in -BUSY state", SLOW),
        fails("PSYNC with wrong offset should throw error", LOG),
        left_out("Replica flushes db lazily when replica-lazy-flush enabled", FREES),
        left_out("Replica should reply LOADING while flushing a large db (disklessload: disabled)", MEANWHILE),
        left_out("Replica should reply LOADING while flushing a large db (disklessload: on-empty-db)", MEANWHILE),
        left_out("Slave enters wait_bgsave", ONE_LINK),
        left_out("Slave is able to detect timeout during handshake", LOG),
        left_out("diskless all replicas drop during rdb pipe", LOG),
        left_out("diskless fast replicas drop during rdb pipe", LOG),
        left_out("diskless loading short read", LOG),
        left_out("diskless no replicas drop during rdb pipe", LOG),
        left_out("diskless replication child being killed is collected", CHILD),
        left_out("diskless replication read pipe cleanup", CHILD),
        left_out("diskless slow replicas drop during rdb pipe", LOG),
        left_out("diskless timeout replicas drop during rdb pipe", LOG),
        left_out("replica can handle EINTR if use diskless load", WATCHDOG),
        fails("replica do not write the reply to the replication link - PSYNC (_addReplyToBufferOrList)", LOG),
        fails("replica do not write the reply to the replication link - PSYNC (addReplyDeferredLen)", LOG),
        left_out("replica do not write the reply to the replication link - SYNC (_addReplyToBufferOrList)", LOG),
        left_out("replica do not write the reply to the replication link - SYNC (addReplyDeferredLen)", LOG),
        left_out("replication child dies when parent is killed - diskless: no", CHILD),
        left_out("replication child dies when parent is killed - diskless: yes", CHILD),
    ]),
    ("integration/replication-psync", &[
        left_out("Test replication partial resync: backlog expired (diskless: no, disabled, reconnect: 1, rdbchannel: no)", LINK_AWAKE),
        left_out("Test replication partial resync: backlog expired (diskless: no, swapdb, reconnect: 1, rdbchannel: no)", LINK_AWAKE),
        left_out("Test replication partial resync: backlog expired (diskless: yes, disabled, reconnect: 1, rdbchannel: no)", LINK_AWAKE),
        left_out("Test replication partial resync: backlog expired (diskless: yes, swapdb, reconnect: 1, rdbchannel: no)", LINK_AWAKE),
        left_out("Test replication partial resync: backlog expired (diskless: yes, disabled, reconnect: 1, rdbchannel: yes)", ONE_LINK),
        left_out("Test replication partial resync: backlog expired (diskless: yes, swapdb, reconnect: 1, rdbchannel: yes)", ONE_LINK),
        left_out("Test replication partial resync: no backlog (diskless: no, disabled, reconnect: 1, rdbchannel: no)", ALIKE),
        left_out("Test replication partial resync: no backlog (diskless: no, swapdb, reconnect: 1, rdbchannel: no)", ALIKE),
        left_out("Test replication partial resync: no backlog (diskless: yes, disabled, reconnect: 1, rdbchannel: no)", ALIKE),
        left_out("Test replication partial resync: no backlog (diskless: yes, swapdb, reconnect: 1, rdbchannel: no)", LINK_AWAKE),
        left_out("Test replication partial resync: no backlog (diskless: yes, disabled, reconnect: 1, rdbchannel: yes)", ONE_LINK),
        left_out("Test replication partial resync: no backlog (diskless: yes, swapdb, reconnect: 1, rdbchannel: yes)", ONE_LINK),
        left_out("Test replication partial resync: no reconnection, just sync (diskless: yes, disabled, reconnect: 0, rdbchannel: yes)", ONE_LINK),
        left_out("Test replication partial resync: no reconnection, just sync (diskless: yes, swapdb, reconnect: 0, rdbchannel: yes)", ONE_LINK),
        left_out("Test replication partial resync: ok after delay (diskless: no, disabled, reconnect: 1, rdbchannel: no)", ALIKE),
        left_out("Test replication partial resync: ok after delay (diskless: no, swapdb, reconnect: 1, rdbchannel: no)", ALIKE),
        left_out("Test replication partial resync: ok after delay (diskless: yes, disabled, reconnect: 1, rdbchannel: no)", ALIKE),
        left_out("Test replication partial resync: ok after delay (diskless: yes, disabled, reconnect: 1, rdbchannel: yes)", ONE_LINK),
        left_out("Test replication partial resync: ok after delay (diskless: yes, swapdb, reconnect: 1, rdbchannel: yes)", ONE_LINK),
        left_out("Test replication partial resync: ok psync (diskless: no, swapdb, reconnect: 1, rdbchannel: no)", ALIKE),
        left_out("Test replication partial resync: ok psync (diskless: yes, disabled, reconnect: 1, rdbchannel: no)", ALIKE),
        left_out("Test replication partial resync: ok psync (diskless: yes, disabled, reconnect: 1, rdbchannel: yes)", ONE_LINK),
    ]),
    ("integration/psync2-master-restart", &[
        left_out("PSYNC2: Full resync after Master restart when too many key expired", SWEPT),
    ]),
    ("integration/rdb", &[
        fails("HFE - save and load expired fields, expired soon after, or long after (dict)", UNLOADED),
        fails("HFE - save and load expired fields, expired soon after, or long after (listpack)", UNLOADED),
        fails("HFE - save and load rdb all fields expired, (dict)", UNLOADED),
        fails("HFE - save and load rdb all fields expired, (listpack)", UNLOADED),
        fails("Server should not start if RDB is corrupted", LOG),
        left_out("Test child sending info", CHILD),
        left_out("client freed during loading", EARLY),
        left_out("failed bgsave prevents writes", CHILD),
    ]),
    ("integration/replication-4", &[
        fails("Data divergence can happen under default conditions", INNER),
        fails("spopwithcount rewrite srem command", RECORDS),
    ]),
    ("integration/aof", &[
        fails("AOF fsync always barrier issue", STILL),
        left_out("Allow changing appendonly config while loading from AOF on startup", EARLY),
        left_out("Allow changing appendonly config while loading from RDB on startup", EARLY),
        left_out("Bad format: Server should have logged an error", LOG),
        left_out("EVAL timeout with slow verbatim Lua script from AOF", UNSAID),
        fails("FLUSHDB / FLUSHALL should persist in AOF", PIECES),
        fails("Generate timestamp annotations in AOF", PIECES),
        left_out("Short read: Server should have logged an error", LOG),
        fails("Short read: Utility should be able to fix the AOF", CHECK),
        fails("Short read: Utility should show the abnormal line num in AOF", CHECK),
        fails("Test redis-check-aof for Multi Part AOF contains a format error", CHECK),
        fails("Test redis-check-aof for Multi Part AOF with rdb-preamble AOF base", CHECK),
        fails("Test redis-check-aof for Multi Part AOF with resp AOF base", CHECK),
        fails("Test redis-check-aof for old style rdb-preamble AOF", CHECK),
        fails("Test redis-check-aof for old style resp AOF", CHECK),
        fails("Test redis-check-aof for old style resp AOF - has data in the same format as manifest", CHECK),
        fails("Test redis-check-aof only truncates the last file for Multi Part AOF in fix mode", CHECK),
        fails("Test redis-check-aof only truncates the last file for Multi Part AOF in truncate-to-timestamp mode", CHECK),
        left_out("Unfinished MULTI: Server should have logged an error", LOG),
        left_out("Unknown command: Server should have logged an error", LOG),
    ]),
    ("integration/aof-multi-part", &[
        left_out("AOF can produce consecutive sequence number after reload", BEHIND_KILLED),
        left_out("AOF enable during BGSAVE will not write data util AOFRW finish", CHILD),
        left_out("AOF multiple rewrite failures will open multiple INCR AOFs", CHILD),
        left_out("AOF will open a temporary INCR AOF to accumulate data until the first AOFRW success when AOF is dynamically enabled", CHILD),
        left_out("AOF enable/disable auto gc", BEHIND_KILLED),
        left_out("AOF rewrite doesn't open new aof when AOF turn off", BEHIND_KILLED),
        left_out("AOF will trigger limit when AOFRW fails many times", CHILD),
        fails("Multi Part AOF can handle appendfilename contains whitespaces", PAIR),
        left_out("Multi Part AOF can't load data when some file missing", LOG),
        left_out("Multi Part AOF can't load data when the manifest contains the old AOF file name but the file does not exist in server dir and aof dir", LOG),
        left_out("Multi Part AOF can't load data when the manifest file is empty", LOG),
        left_out("Multi Part AOF can't load data when the manifest format is wrong (line too long)", LOG),
        left_out("Multi Part AOF can't load data when the manifest format is wrong (line too short)", LOG),
        left_out("Multi Part AOF can't load data when the manifest format is wrong (missing key)", LOG),
        left_out("Multi Part AOF can't load data when the manifest format is wrong (odd parameter)", LOG),
        left_out("Multi Part AOF can't load data when the manifest format is wrong (type unknown)", LOG),
        left_out("Multi Part AOF can't load data when the sequence not increase monotonically", LOG),
        left_out("Multi Part AOF can't load data when there are blank lines in the manifest file", LOG),
        left_out("Multi Part AOF can't load data when there is a duplicate base file", LOG),
        fails("Multi Part AOF will add the end offset if we close gracefully the AOF", PAIR),
        left_out("Multi Part AOF can upgrade when when two redis share the same server dir", ONE_FOLDER),
    ]),
    ("unit/aofrw", &[
        left_out("Turning off AOF kills the background writing child if any", LOG),
    ]),
    ("unit/auth", &[
        fails("MASTERAUTH test with binary password rdbchannel=no", LOG),
        fails("MASTERAUTH test with binary password rdbchannel=yes", LOG),
    ]),
    ("unit/bitops", &[
        fails("BITCOUNT with illegal arguments", VALKEY),
    ]),
    ("unit/client-eviction", &[
        fails("avoid client eviction when client is freed by output buffer limit", QUERY),
        left_out("client total memory grows during client no-evict", UNREAD),
        left_out("client total memory grows during maxmemory-clients disabled", UNREAD),
        fails("evict clients in right order (large to small)", BUFFERS),
        fails("evict clients only until below limit", BUFFERS),
    ]),
    ("unit/dump", &[
        fails("MIGRATE is caching connections", INNER),
        left_out("MIGRATE timeout actually works", THREADS),
        fails("RESTORE should not store key that are already expired, with REPLACE will propagate it as DEL or UNLINK", RECORDS),
    ]),
    ("unit/expire", &[
        fails("All TTL in commands are propagated as absolute timestamp in replication stream", RECORDS),
        fails("All time-to-live(TTL) in commands are propagated as absolute timestamp in milliseconds in AOF", PIECES),
    ]),
    ("unit/functions", &[
        fails("FUNCTION - async function flush rebuilds Lua VM without causing race condition between main and lazyfree thread", INNER),
        fails("FUNCTION - test debug reload different options", OPEN),
        left_out("FUNCTION - test function kill", NOT_BUSY),
        left_out("FUNCTION - test function kill not working on eval", NOT_BUSY),
        left_out("FUNCTION - test script kill not working on function", NOT_BUSY),
    ]),
    ("unit/geo", &[
        fails("GEOSEARCH BYRADIUS and BYBOX one must exist", NEWER),
    ]),
    ("unit/hyperloglog", &[
        fails("PFMERGE results with simd", INNER),
    ]),
    ("unit/info", &[
        fails("errorstats: limit errors will not increase indefinitely", LOG),
        fails("memory: database and pubsub overhead and rehashing dict count", INNER),
        fails("stats: debug metrics", INNER),
        left_out("stats: instantaneous metrics", CLOCK),
    ]),
    ("unit/info-keysizes", &[
        fails("KEYSIZES - DEBUG RELOAD reset keysizes ", KEYSIZES),
        fails("KEYSIZES - DEBUG RELOAD reset keysizes (replica)", KEYSIZES),
        fails("KEYSIZES - Histogram of values of Bytes, Kilo and Mega ", KEYSIZES),
        fails("KEYSIZES - Histogram of values of Bytes, Kilo and Mega (replica)", KEYSIZES),
        fails("KEYSIZES - Test HASH (hashtable) ", KEYSIZES),
        fails("KEYSIZES - Test HASH (hashtable) (replica)", KEYSIZES),
        fails("KEYSIZES - Test HASH (listpackex) ", KEYSIZES),
        fails("KEYSIZES - Test HASH (listpackex) (replica)", KEYSIZES),
        fails("KEYSIZES - Test Hash field lazy expiration (hashtable) ", KEYSIZES),
        fails("KEYSIZES - Test Hash field lazy expiration (hashtable) (replica)", KEYSIZES),
        fails("KEYSIZES - Test Hash field lazy expiration (listpackex) ", KEYSIZES),
        fails("KEYSIZES - Test Hash field lazy expiration (listpackex) (replica)", KEYSIZES),
        fails("KEYSIZES - Test List ", KEYSIZES),
        fails("KEYSIZES - Test List (replica)", KEYSIZES),
        fails("KEYSIZES - Test MOVE ", KEYSIZES),
        fails("KEYSIZES - Test MOVE (replica)", KEYSIZES),
        fails("KEYSIZES - Test RDB ", KEYSIZES),
        fails("KEYSIZES - Test RDB (replica)", KEYSIZES),
        fails("KEYSIZES - Test RENAME ", KEYSIZES),
        fails("KEYSIZES - Test RENAME (replica)", KEYSIZES),
        fails("KEYSIZES - Test RESTORE ", KEYSIZES),
        fails("KEYSIZES - Test RESTORE (replica)", KEYSIZES),
        fails("KEYSIZES - Test SET ", KEYSIZES),
        fails("KEYSIZES - Test SET (replica)", KEYSIZES),
        fails("KEYSIZES - Test STRING ", KEYSIZES),
        fails("KEYSIZES - Test STRING (replica)", KEYSIZES),
        fails("KEYSIZES - Test STRING BITS ", KEYSIZES),
        fails("KEYSIZES - Test STRING BITS (replica)", KEYSIZES),
        fails("KEYSIZES - Test SWAPDB ", KEYSIZES),
        fails("KEYSIZES - Test SWAPDB (replica)", KEYSIZES),
        fails("KEYSIZES - Test ZSET ", KEYSIZES),
        fails("KEYSIZES - Test ZSET (replica)", KEYSIZES),
        fails("KEYSIZES - Test hyperloglog ", KEYSIZES),
        fails("KEYSIZES - Test hyperloglog (replica)", KEYSIZES),
        fails("KEYSIZES - Test i'th bin counts keysizes between (2^i) and (2^(i+1)-1) as expected ", KEYSIZES),
        fails("KEYSIZES - Test i'th bin counts keysizes between (2^i) and (2^(i+1)-1) as expected (replica)", KEYSIZES),
    ]),
    ("unit/introspection", &[
        fails("CONFIG REWRITE sanity", FORCED),
        fails("CONFIG sanity", FIXED),
        fails("Clients are evenly distributed among io threads", WORKERS),
        left_out("IO threads client number", DEBUGGER),
        left_out("cannot modify protected configuration - local", ADDRESS),
        left_out("config during loading", EARLY),
    ]),
    ("unit/keyspace", &[
        fails("Regression for pattern matching very long nested loops", GLOB),
    ]),
    ("unit/latency-monitor", &[
        left_out("LATENCY of expire events are correctly collected", CLOCK),
    ]),
    ("unit/lazyfree", &[
        fails("Client closed in the middle of blocking FLUSHALL ASYNC", FREES),
        fails("FLUSHALL SYNC optimized to run in bg as blocking FLUSHALL ASYNC", FREES),
        fails("Pending commands in querybuf processed once unblocking FLUSHALL ASYNC", FREES),
        fails("Run consecutive blocking FLUSHALL ASYNC successfully", FREES),
        fails("Unblocks client blocked on lazyfree via REPLICAOF command", FREES),
        fails("lazy free a stream with all types of metadata", FREES),
    ]),
    ("unit/maxmemory", &[
        fails("With maxmemory and non-LRU policy integers are still shared", SHARED),
        fails("Without maxmemory small integers are shared", SHARED),
        left_out("eviction due to output buffers of many MGET clients, client eviction: false", UNREAD),
        left_out("eviction due to output buffers of pubsub, client eviction: false", GONE),
        fails("propagation with eviction in MULTI", RECORDS),
    ]),
    ("unit/multi", &[
        left_out("EXEC and script timeout", SCRIPT_STAYS),
        fails("MULTI / EXEC is propagated correctly (multiple commands with SELECT)", RECORDS),
        fails("MULTI / EXEC is propagated correctly (multiple commands)", RECORDS),
        left_out("MULTI and script timeout", SCRIPT_STAYS),
        fails("MULTI propagation of XREADGROUP", RECORDS),
        fails("MULTI with BGREWRITEAOF", CHILD),
        fails("MULTI with FLUSHALL and AOF", PIECES),
        fails("MULTI with config set appendonly", LOG),
        left_out("MULTI-EXEC body and script timeout", SCRIPT_STAYS),
        left_out("just EXEC and script timeout", SCRIPT_STAYS),
    ]),
    ("unit/networking", &[
        fails("Default bind address configuration handling", BIND),
        left_out("Protected mode works as expected", ADDRESS),
    ]),
    ("unit/obuf-limits", &[
        fails("No response for multi commands in pipeline if client output buffer limit is enforced", OPEN),
        fails("Obuf limit, HRANDFIELD with huge count stopped mid-run", COUNTS),
    ]),
    ("unit/oom-score-adj", &[
        fails("CONFIG SET oom-score-adj works as expected", CHILD),
    ]),
    ("unit/other", &[
        fails("Cross DB command is incompatible with cluster mode", CLUSTER),
        fails("Don't rehash if redis has child process", CHILD),
        left_out("FLUSHALL and bgsave", BEHIND),
        fails("Function no-cluster flag is incompatible with cluster mode", CLUSTER),
        fails("Lua scripts are incompatible with cluster mode", CLUSTER),
        fails("Normal cross slot commands are incompatible with cluster mode", CLUSTER),
        fails("Process title set as expected", TITLE),
        fails("SORT command incompatible operations with cluster mode", CLUSTER),
        fails("Script no-cluster flag is incompatible with cluster mode", CLUSTER),
        fails("Shard subscribe commands are incompatible with cluster mode", CLUSTER),
        fails("Transaction is incompatible with cluster mode", CLUSTER),
        fails("cluster-compatibility-sample-ratio configuration can work", CLUSTER),
    ]),
    ("unit/pause", &[
        left_out("Test old pause-all takes precedence over new pause-write (less restrictive)", PAUSED),
        left_out("Test the randomkey command will not cause the server to get into an infinite loop during the client pause write", EXPIRED),
    ]),
    ("unit/pubsub", &[
        left_out("Keyspace notifications: hash events test (hashtable)", LAZY_FIELDS),
        left_out("Keyspace notifications: hash events test (listpackex)", LAZY_FIELDS),
    ]),
    ("unit/querybuf", &[
        fails("query buffer resized correctly", BUFFERS),
        fails("query buffer resized correctly when not idle", BUFFERS),
        fails("query buffer resized correctly with fat argv", BUFFERS),
    ]),
    ("unit/replybufsize", &[
        fails("verify reply buffer limits", BUFFERS),
    ]),
    ("unit/scripting", &[
        fails("EVAL does not leak in the Lua stack", STATES),
        fails("INCRBYFLOAT: We can call scripts expanding client->argv from Lua", RECORDS),
        left_out("SHUTDOWN NOSAVE can kill a timedout script anyway", NOT_BUSY),
        left_out("Test scripting debug lua stack overflow", DEBUGGER),
        left_out("Test scripting debug protocol parsing", DEBUGGER),
        left_out("Timedout read-only scripts can be killed by SCRIPT KILL", NOT_BUSY),
        left_out("Timedout read-only scripts can be killed by SCRIPT KILL even when use pcall", NOT_BUSY),
        left_out("Timedout script does not cause a false dead client", NOT_BUSY),
        left_out("Timedout script link is still usable after Lua returns", NOT_BUSY),
        left_out("Timedout scripts and unblocked command", NOT_BUSY),
        left_out("Timedout scripts that modified data can't be killed by SCRIPT KILL", NOT_BUSY),
        left_out("not enough good replicas state change during long script", NOT_BUSY),
    ]),
    ("integration/shutdown", &[
        fails("Shutting down master waits for replica then fails", FIRST_BASE),
    ]),
    ("unit/shutdown", &[
        left_out("SHUTDOWN ABORT can cancel SIGTERM", CRON),
        left_out("SHUTDOWN SIGTERM will abort if there's an initial AOFRW - default", FIRST_BASE),
        left_out("SHUTDOWN can proceed if shutdown command was with nosave", LOG),
        left_out("SHUTDOWN will abort if rdb save failed on signal", LOG),
        left_out("Temp rdb will be deleted if we use bg_unlink when shutdown", CHILD),
    ]),
    ("unit/sort", &[
        fails("SORT STORE quicklist with the right options", INNER),
    ]),
    ("unit/tls", &[
        fails("TLS: Not accepting non-TLS connections on a TLS port", ALERT),
        fails("TLS: Verify tls-ciphers behaves as expected", CIPHERS),
        fails("TLS: Verify tls-prefer-server-ciphers behaves as expected", CIPHERS),
    ]),
    ("unit/wait", &[
        left_out("WAITAOF local if AOFRW was postponed", CHILD),
        fails("WAITAOF local wait and then stop aof", SYNCED),
        left_out("WAITAOF replica copy before fsync", MEANWHILE),
        left_out("WAITAOF when replica switches between masters, fsync: always", MEANWHILE),
    ]),
    ("unit/type/hash-field-expire", &[
        left_out("Active Expire - deletes hash that all its fields got expired (hashtable)", CLOCK),
        left_out("Active Expire - deletes hash that all its fields got expired (listpackex)", CLOCK),
        fails("All TTL in commands are propagated as absolute timestamp in replication stream", RECORDS),
        left_out("All TTLs in commands are propagated as absolute timestamp in milliseconds in AOF", PIECES),
        left_out("Test Command propagated to replica as expected (ht)", PIECES),
        left_out("Test Command propagated to replica as expected (listpack)", PIECES),
        fails("HGETEX - Test with lazy expiry (hashtable)", LAZY_FIELDS),
        fails("HGETEX - Test with lazy expiry (listpackex)", LAZY_FIELDS),
        fails("HGETEX - input validation (hashtable)", NEWER),
        fails("HGETEX - input validation (listpackex)", NEWER),
        fails("HRANDFIELD delete expired fields and propagate DELs to replica", LAZY_FIELDS),
        fails("HSETEX - Test FXX flag with lazy expire (hashtable)", LAZY_FIELDS),
        fails("HSETEX - Test FXX flag with lazy expire (listpackex)", LAZY_FIELDS),
        fails("HSETEX - input validation (hashtable)", VALKEY),
        fails("HSETEX - input validation (listpackex)", VALKEY),
        fails("Lazy Expire - fields are lazy deleted (hashtable)", LAZY_FIELDS),
        fails("Lazy Expire - fields are lazy deleted (listpackex)", LAZY_FIELDS),
        fails("Lazy Expire - fields are lazy deleted and propagated to replicas (listpack)", LAZY_FIELDS),
        fails("Lazy Expire - fields are lazy deleted and propagated to replicas (ht)", LAZY_FIELDS),
        fails("Lazy Expire - verify various HASH commands handling expired fields (hashtable)", LAZY_FIELDS),
        fails("Lazy Expire - verify various HASH commands handling expired fields (listpackex)", LAZY_FIELDS),
        fails("Statistics - Hashes with HFEs (hashtable)", INNER),
        fails("Test HGETEX command replication", RECORDS),
        fails("Test HRANDFIELD deletes all expired fields (hashtable)", LAZY_FIELDS),
        fails("Test HRANDFIELD deletes all expired fields (listpackex)", LAZY_FIELDS),
        fails("Test HSCAN with mostly expired fields return empty result (hashtable)", LAZY_FIELDS),
        fails("Test HSCAN with mostly expired fields return empty result (listpackex)", LAZY_FIELDS),
        fails("Test HSETEX command replication", RECORDS),
        fails("Test listpack converts to ht and active expiry works", INNER),
        fails("Test listpack debug listpack", INNER),
    ]),
    ("unit/type/incr", &[
        fails("INCR uses shared objects in the 0-9999 range", SHARED),
    ]),
    ("unit/type/list", &[
        left_out("BLMPOP propagate as pop with count command to replica", RECORDS),
        left_out("BLPOP unblock but the key is expired and then block again - reprocessing command", CLOCK),
        fails("Command being unblocked cause another command to get unblocked execution order test", RECORDS),
        left_out("MULTI + LPUSH + EXPIRE + DEBUG SLEEP on blocked client, key already expired", LATER),
        left_out("SWAPDB wants to wake blocked client, but the key already expired", LATER),
    ]),
    ("unit/type/set", &[
        fails("SPOP new implementation: code path #1 propagate as DEL or UNLINK", RECORDS),
        left_out("SRANDMEMBER with a dict containing long chain", CHILD),
    ]),
    ("unit/type/stream-cgroups", &[
    ]),
    ("unit/type/zset", &[
        left_out("BZMPOP propagate as pop with count command to replica", RECORDS),
        left_out("BZPOPMIN unblock but the key is expired and then block again - reprocessing command", CLOCK),
    ]),
];
