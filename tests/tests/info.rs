//! Every number of INFO, before and after what it counts. A number that nothing here moves has to stand in a list that says why.

use redpoll_tests::check::show;
use redpoll_tests::{Client, Server, eventually};
use resp::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How a number has moved.
#[derive(Clone, Copy, Debug)]
enum Moved {
    By(f64),
    Up,
    Down,
    To(f64),
}
use Moved::{By, Down, To, Up};

/// Something that happens, and what it moves. Whoever is returned stays connected until the numbers are read.
struct Step {
    args: &'static [&'static str],
    happens: fn(&Server, &mut Client) -> Vec<Client>,
    moves: &'static [(&'static str, Moved)],
}

/// INFO's fields with their values; those of lines with several (`db0:keys=1,...`) by both names.
fn fields(client: &mut Client) -> BTreeMap<String, String> {
    let (Value::Bulk(text) | Value::Verbatim(_, text)) = client.run("INFO everything") else {
        panic!("INFO is text")
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut fields = BTreeMap::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let parts = value.split(',').filter_map(|part| part.split_once('='));
        let parts: Vec<_> = parts.collect();
        if parts.is_empty() {
            fields.insert(name.to_owned(), value.to_owned());
        }
        for (part, value) in parts {
            fields.insert(format!("{name}.{part}"), value.to_owned());
        }
    }
    fields
}

fn number(fields: &BTreeMap<String, String>, name: &str) -> f64 {
    // What is not shown until there is one is 0.
    fields.get(name).map_or(0.0, |value| {
        let digits = value.trim_end_matches(['%', 'K', 'M', 'G', 'B']);
        let unit = match value.chars().last() {
            Some('K') => 1024.0,
            Some('M') => 1024.0 * 1024.0,
            Some('G') => 1024.0 * 1024.0 * 1024.0,
            _ => 1.0,
        };
        digits.parse().map_or(f64::NAN, |n: f64| n * unit)
    })
}

fn has_moved(before: f64, after: f64, moved: Moved) -> bool {
    match moved {
        By(n) => after - before == n,
        Up => after > before,
        Down => after < before,
        To(n) => after == n,
    }
}

fn other(server: &Server, line: &str) -> Client {
    let mut client = server.connect();
    client.send(&redpoll_tests::transcript::words(line));
    client
}

const DEBUG: &[&str] = &["--enable-debug-command", "yes", "--threads", "2"];

const STEPS: &[Step] = &[
    // Clients and what they wait for.
    Step {
        args: &[],
        happens: |server, _| vec![other(server, "PING"), other(server, "PING")],
        moves: &[
            ("connected_clients", By(2.0)),
            ("total_connections_received", By(2.0)),
            ("mem_clients_normal", Up),
            ("used_memory_overhead", Up),
        ],
    },
    Step {
        args: &[],
        happens: |_, c| {
            c.run("HOTKEYS START METRICS 1 CPU");
            vec![]
        },
        moves: &[("hotkeys-tracking-active", To(1.0))],
    },
    Step {
        args: &["--threads", "2"],
        happens: |_, c| {
            for _ in 0..3 {
                c.run("ECHO x");
            }
            vec![]
        },
        moves: &[
            ("total_commands_processed", Up),
            ("total_net_input_bytes", Up),
            ("total_net_output_bytes", Up),
            ("total_reads_processed", Up),
            ("total_writes_processed", Up),
            ("io_threaded_reads_processed", Up),
            ("io_threaded_writes_processed", Up),
            ("eventloop_cycles", Up),
            ("eventloop_duration_sum", Up),
            ("eventloop_duration_cmd_sum", Up),
            ("cmdstat_echo.calls", By(3.0)),
            ("latency_percentiles_usec_echo.p50", Up),
        ],
    },
    Step {
        args: &[],
        happens: |_, c| {
            c.run("INCR k");
            c.run("SET k text");
            c.run("INCR k");
            c.run("GET");
            vec![]
        },
        moves: &[
            ("cmdstat_incr.failed_calls", By(1.0)),
            ("cmdstat_get.rejected_calls", By(1.0)),
            ("errorstat_ERR.count", By(2.0)),
            ("total_error_replies", By(2.0)),
        ],
    },
    Step {
        args: &[],
        happens: |server, c| {
            c.run("XGROUP CREATE stream group $ MKSTREAM");
            vec![
                other(server, "BLPOP a b 100"),
                other(server, "BLPOP b 0"),
                other(server, "XREADGROUP GROUP group me BLOCK 0 STREAMS stream >"),
            ]
        },
        moves: &[
            ("blocked_clients", By(3.0)),
            ("clients_in_timeout_table", By(1.0)),
            ("total_blocking_keys", By(3.0)),
            ("total_blocking_keys_on_nokey", By(1.0)),
        ],
    },
    Step {
        args: &[],
        happens: |server, _| {
            let mut reads = server.connect();
            reads.run("HELLO 3");
            reads.run("CLIENT TRACKING ON");
            reads.run("MGET a b");
            let mut all = server.connect();
            all.run("HELLO 3");
            all.run("CLIENT TRACKING ON BCAST PREFIX x PREFIX y");
            vec![reads, all]
        },
        moves: &[
            ("tracking_clients", By(2.0)),
            ("tracking_total_keys", By(2.0)),
            ("tracking_total_items", By(2.0)),
            ("tracking_total_prefixes", By(2.0)),
            ("mem_tracking", Up),
        ],
    },
    Step {
        args: &[],
        happens: |server, _| {
            vec![
                other(server, "SUBSCRIBE a b"),
                other(server, "PSUBSCRIBE a* b* c*"),
                other(server, "SSUBSCRIBE s"),
            ]
        },
        moves: &[
            ("pubsub_clients", By(3.0)),
            ("pubsub_channels", By(2.0)),
            ("pubsub_patterns", By(3.0)),
            ("pubsubshard_channels", By(1.0)),
        ],
    },
    Step {
        args: &[],
        happens: |server, _| vec![other(server, "WATCH a b a"), other(server, "WATCH a")],
        moves: &[
            ("watching_clients", By(2.0)),
            ("total_watched_keys", By(3.0)),
        ],
    },
    Step {
        args: &[],
        happens: |_, c| {
            c.run("CLIENT PAUSE 1000000 WRITE");
            vec![]
        },
        moves: &[("paused_timeout_milliseconds", Up)],
    },
    Step {
        args: &[],
        happens: |server, c| {
            c.run("CONFIG SET maxclients 40");
            (0..50).map(|_| other(server, "PING")).collect()
        },
        moves: &[("rejected_connections", Up), ("maxclients", To(40.0))],
    },
    Step {
        args: &["--client-output-buffer-limit", "normal 100000 0 0"],
        happens: |server, c| {
            c.call(&["SET", "k", &"x".repeat(90_000)]);
            vec![other(server, "MGET k k")]
        },
        moves: &[("client_output_buffer_limit_disconnections", By(1.0))],
    },
    Step {
        args: &["--client-query-buffer-limit", "1mb"],
        happens: |server, _| {
            let mut client = server.connect();
            // The server may close it before all is sent.
            let _ = client.send_raw(b"*2\r\n$4\r\nECHO\r\n$3000000\r\n");
            let _ = client.send_raw(&vec![b'x'; 2_500_000]);
            vec![client]
        },
        moves: &[("client_query_buffer_limit_disconnections", By(1.0))],
    },
    Step {
        args: &[],
        happens: |server, _| {
            let mut client = server.connect();
            let part = [&b"*2\r\n$4\r\nECHO\r\n$300000\r\n"[..], &[b'x'; 200_000]].concat();
            client.send_raw(&part).expect("to send");
            let mut garbled = server.connect();
            garbled.send_raw(b"*x\r\n").expect("to send");
            vec![client, garbled]
        },
        moves: &[
            ("client_recent_max_input_buffer", Up),
            ("protocol_errors", By(1.0)),
        ],
    },
    Step {
        args: &[],
        happens: |server, c| {
            c.call(&["SET", "k", &"x".repeat(1_000_000)]);
            let mut lazy = server.connect();
            for _ in 0..30 {
                lazy.send(&["GET", "k"]);
            }
            vec![lazy]
        },
        moves: &[("client_recent_max_output_buffer", Up)],
    },
    Step {
        // Less than what a client may have unsent before it is served no further: else it would depend on what its socket takes.
        args: &["--maxmemory-clients", "1mb"],
        happens: |server, c| {
            c.call(&["SETRANGE", "k", "999999", "x"]);
            let mut lazy = server.connect();
            for _ in 0..30 {
                lazy.send(&["GET", "k"]);
            }
            vec![lazy]
        },
        // One that asks while it is late to be freed may go too.
        moves: &[("evicted_clients", Up)],
    },
    Step {
        args: &["--acllog-max-len", "10"],
        happens: |server, c| {
            c.run("ACL SETUSER few on nopass ~a &a +get +publish +select db=0");
            let mut few = server.connect();
            few.run("AUTH few wrong");
            few.run("AUTH nobody x");
            few.run("AUTH few x");
            few.run("SET a b");
            few.run("GET b");
            few.run("PUBLISH b x");
            few.run("SELECT 1");
            vec![few]
        },
        moves: &[
            ("acl_access_denied_auth", By(1.0)),
            ("acl_access_denied_cmd", By(1.0)),
            ("acl_access_denied_key", By(1.0)),
            ("acl_access_denied_channel", By(1.0)),
            ("acl_access_denied_db", By(1.0)),
        ],
    },
    Step {
        args: DEBUG,
        happens: |server, c| {
            c.run("SET k v");
            let holds = other(server, "EVAL \"while true do end\" 1 k");
            eventually("the script runs", || {
                !show(&c.run("FUNCTION STATS")).starts_with("[\"running_script\", nil")
            });
            let mut waits = other(server, "GET k");
            eventually("somebody waits", || {
                !show(&c.run("CLIENT WAITS")).contains("\"parked\", []")
            });
            c.run("SCRIPT KILL");
            waits.read();
            vec![holds, waits]
        },
        moves: &[
            // Maintenance may wait for the same shard.
            ("redpoll_lock_waits", Up),
            ("redpoll_lock_wait_usec", Up),
        ],
    },
    // Keys and their memory.
    Step {
        args: &[],
        happens: |_, c| {
            c.call(&["SET", "k", &"x".repeat(5_000_000)]);
            c.run("SET short-lived v EX 1000");
            vec![]
        },
        moves: &[
            ("db0.keys", By(2.0)),
            ("db0.expires", By(1.0)),
            ("db0.avg_ttl", Up),
            ("used_memory", Up),
            ("used_memory_human", Up),
            ("used_memory_rss", Up),
            ("used_memory_rss_human", Up),
            ("used_memory_peak", Up),
            ("used_memory_peak_human", Up),
            ("used_memory_dataset", Up),
            ("used_memory_dataset_perc", Up),
            ("allocator_allocated", Up),
            ("allocator_active", Up),
            ("allocator_resident", Up),
            ("rdb_changes_since_last_save", Up),
        ],
    },
    Step {
        args: &[],
        happens: |_, c| {
            c.call(&["SET", "k", &"x".repeat(5_000_000)]);
            let before = number(&fields(c), "used_memory_peak_perc");
            assert!(before > 90.0, "{before}");
            c.run("DEL k");
            vec![]
        },
        moves: &[("lazyfreed_objects", Up), ("used_memory_peak_perc", Down)],
    },
    Step {
        args: &[],
        happens: |_, c| {
            c.run("SET k v");
            c.run("GET k");
            c.run("GET none");
            vec![]
        },
        moves: &[("keyspace_hits", By(1.0)), ("keyspace_misses", By(1.0))],
    },
    Step {
        args: &[],
        happens: |_, c| {
            c.run("SET k v PX 1");
            c.run("HSET h f v");
            c.run("HPEXPIRE h 1 FIELDS 1 f");
            vec![]
        },
        moves: &[
            ("expired_keys", By(1.0)),
            ("expired_keys_active", By(1.0)),
            ("expired_subkeys", By(1.0)),
            ("expired_subkeys_active", By(1.0)),
            ("expired_fields", By(1.0)),
            ("expire_cycle_cpu_milliseconds", Up),
        ],
    },
    Step {
        args: &["--maxmemory-policy", "allkeys-lru"],
        happens: |_, c| {
            for i in 0..3000 {
                c.call(&["SET", &format!("key:{i}"), &"x".repeat(2000)]);
            }
            c.run("CONFIG SET maxmemory 3mb");
            vec![]
        },
        moves: &[
            ("evicted_keys", Up),
            ("total_eviction_exceeded_time", Up),
            ("maxmemory", To(3_145_728.0)),
            ("maxmemory_human", Up),
        ],
    },
    Step {
        args: &[],
        happens: |_, c| {
            for i in 0..3000 {
                c.call(&["SET", &format!("key:{i}"), &"x".repeat(2000)]);
            }
            c.run("CONFIG SET maxmemory 3mb");
            vec![]
        },
        moves: &[("current_eviction_exceeded_time", Up)],
    },
    Step {
        args: &["--activedefrag", "yes"],
        happens: |_, c| {
            let value = "x".repeat(100);
            for i in 0..100_000 {
                c.send(&["SET", &format!("key:{i}"), &value]);
            }
            for _ in 0..100_000 {
                c.read();
            }
            // All but some of each page.
            let mut keys: Vec<String> = (0..100_000).map(|i| format!("key:{i}")).collect();
            keys.retain(|key| !key.ends_with('7'));
            keys.insert(0, "DEL".to_owned());
            c.call(&keys);
            vec![]
        },
        moves: &[
            ("active_defrag_hits", Up),
            ("active_defrag_misses", Up),
            ("active_defrag_key_hits", Up),
            ("active_defrag_key_misses", Up),
            ("total_active_defrag_time", Up),
        ],
    },
    Step {
        args: &[],
        happens: |_, c| {
            c.run("SET k v");
            c.run("BLESS SET k NO-EVICT");
            vec![]
        },
        moves: &[("blessed_keys", By(1.0))],
    },
    Step {
        args: &[],
        happens: |_, c| {
            for i in 0..200_000 {
                c.send(&["SET", &format!("key:{i}"), "v", "PX", "1"]);
            }
            for _ in 0..200_000 {
                c.read();
            }
            vec![]
        },
        moves: &[("expired_time_cap_reached_count", Up)],
    },
    Step {
        args: &[],
        happens: |server, _| {
            let mut busy = server.connect();
            for _ in 0..200 {
                for _ in 0..100 {
                    busy.send(&["ECHO", &"x".repeat(10_000)]);
                }
                for _ in 0..100 {
                    busy.read();
                }
            }
            vec![busy]
        },
        moves: &[
            ("instantaneous_ops_per_sec", Up),
            ("instantaneous_input_kbps", Up),
            ("instantaneous_output_kbps", Up),
            ("instantaneous_eventloop_cycles_per_sec", Up),
            ("instantaneous_eventloop_duration_usec", Up),
        ],
    },
    // Scripts.
    Step {
        args: &[],
        happens: |_, c| {
            c.call(&["EVAL", "return 1", "0"]);
            c.call(&["SCRIPT", "LOAD", "return 2"]);
            c.call(&[
                "FUNCTION",
                "LOAD",
                "#!lua name=l\nredis.register_function('a',function() end) redis.register_function('b',function() end)",
            ]);
            c.run("FCALL a 0");
            vec![]
        },
        moves: &[
            ("number_of_cached_scripts", By(2.0)),
            ("used_memory_scripts_eval", Up),
            ("used_memory_vm_eval", Up),
            ("used_memory_lua", Up),
            ("used_memory_lua_human", Up),
            ("number_of_libraries", By(1.0)),
            ("number_of_functions", By(2.0)),
            ("used_memory_functions", Up),
            ("used_memory_vm_functions", Up),
            ("used_memory_vm_total", Up),
            ("used_memory_vm_total_human", Up),
            ("used_memory_scripts", Up),
            ("used_memory_scripts_human", Up),
        ],
    },
    Step {
        args: &[],
        happens: |_, c| {
            for i in 0..600 {
                c.call(&["EVAL", &format!("return {i}"), "0"]);
            }
            vec![]
        },
        moves: &[("evicted_scripts", Up)],
    },
    // Files.
    Step {
        args: &[],
        happens: |_, c| {
            let members = (0..10_000).map(|i| format!("member:{i}"));
            let sadd: Vec<String> = ["SADD".to_owned(), "set".to_owned()]
                .into_iter()
                .chain(members)
                .collect();
            c.call(&sadd);
            c.run("SAVE");
            c.run("BGSAVE");
            vec![]
        },
        moves: &[
            ("rdb_saves", By(2.0)),
            ("rdb_last_bgsave_time_sec", Up),
            ("redpoll_snapshot_last_collections", Up),
        ],
    },
    Step {
        args: DEBUG,
        happens: |_, c| {
            c.run("MSET a 1 b 2 c 3");
            c.run("DEBUG SET-ACTIVE-EXPIRE 0");
            c.run("SET d v PX 1");
            c.run("DEBUG SLEEP 0.005");
            c.run("DEBUG RELOAD");
            vec![]
        },
        moves: &[
            ("rdb_last_load_keys_loaded", By(3.0)),
            ("rdb_last_load_keys_expired", By(1.0)),
        ],
    },
    Step {
        args: &[],
        happens: |_, c| {
            c.run("SET k v");
            c.run("CONFIG SET appendonly yes");
            let rewritten = |c: &mut Client, times: f64| {
                eventually("the log is there", || {
                    let now = fields(c);
                    let none = number(&now, "aof_rewrite_in_progress")
                        + number(&now, "aof_rewrite_scheduled");
                    none == 0.0 && number(&now, "aof_rewrites") == times
                });
            };
            rewritten(c, 1.0);
            c.run("BGREWRITEAOF");
            rewritten(c, 2.0);
            c.run("SET k w");
            vec![]
        },
        moves: &[
            ("aof_enabled", To(1.0)),
            ("aof_rewrites", Up),
            ("aof_last_rewrite_time_sec", Up),
            ("aof_base_size", Up),
            ("aof_current_size", Up),
            ("redpoll_log_piece_given", Up),
            ("redpoll_log_piece_durable", Up),
        ],
    },
    // Replicas.
    Step {
        args: &["--repl-diskless-sync-delay", "0"],
        happens: |server, c| {
            let streams = [
                ("?", "-1"),
                ("0123456789012345678901234567890123456789", "5"),
            ];
            let replicas = streams.map(|(stream, offset)| {
                let mut replica = server.connect();
                replica.run("REPLCONF listening-port 1");
                replica.run("REPLCONF capa eof capa psync2");
                replica.send(&["PSYNC", stream, offset]);
                replica
            });
            eventually("both have been taken in", || {
                number(&fields(c), "sync_full") == 2.0
            });
            c.run("SET k v");
            replicas.into()
        },
        moves: &[
            ("connected_slaves", By(2.0)),
            ("sync_full", By(2.0)),
            ("sync_partial_err", By(1.0)),
            ("master_repl_offset", Up),
            ("repl_backlog_active", To(1.0)),
            ("repl_backlog_first_byte_offset", Up),
            ("repl_backlog_histlen", Up),
            ("mem_replication_backlog", Up),
            ("mem_clients_slaves", Up),
            ("mem_total_replication_buffers", Up),
            ("total_net_repl_output_bytes", Up),
        ],
    },
    Step {
        args: &["--repl-diskless-sync-delay", "0"],
        happens: |server, c| {
            let mut first = server.connect();
            first.run("REPLCONF listening-port 1");
            first.run("REPLCONF capa eof capa psync2");
            first.send(&["PSYNC", "?", "-1"]);
            eventually("it has been taken in", || {
                number(&fields(c), "sync_full") == 1.0
            });
            let (id, offset) = (
                fields(c)["master_replid"].clone(),
                fields(c)["master_repl_offset"].clone(),
            );
            let next = offset.parse::<u64>().expect("an offset") + 1;
            let mut second = server.connect();
            second.run("REPLCONF listening-port 1");
            second.run("REPLCONF capa eof capa psync2");
            second.send(&["PSYNC", &id, &next.to_string()]);
            vec![first, second]
        },
        moves: &[("sync_partial_ok", By(1.0))],
    },
];

/// What says what something is, or moves by itself, and is no count.
const NO_COUNTS: &[&str] = &[
    "allocator_frag_bytes",
    "allocator_frag_ratio",
    "allocator_rss_bytes",
    "allocator_rss_ratio",
    "arch_bits",
    "cluster_enabled",
    "configured_hz",
    "hz",
    "io_threads_active",
    "listener0.port",
    "lru_clock",
    "master_replid2",
    "mem_fragmentation_bytes",
    "mem_fragmentation_ratio",
    "process_id",
    "rdb_last_save_time",
    "redis_git_dirty",
    "redis_git_sha1",
    "repl_backlog_size",
    "second_repl_offset",
    "server_time_usec",
    "tcp_port",
    "total_system_memory",
    "total_system_memory_human",
    "uptime_in_days",
    "uptime_in_seconds",
    "used_cpu_sys",
    "used_cpu_sys_main_thread",
    "used_cpu_user",
    "used_cpu_user_main_thread",
    "used_memory_peak_time",
    "used_memory_startup",
];

/// What is more than nothing only for moments, which this test would have to meet.
const MOMENTS: &[&str] = &[
    "redpoll_keysizes_age_ms",
    "redpoll_keysizes_seen_percent",
    "active_defrag_running",
    "aof_buffer_length",
    "aof_current_rewrite_time_sec",
    "aof_pending_bio_fsync",
    "aof_pending_rewrite",
    "aof_rewrite_in_progress",
    "aof_rewrite_scheduled",
    "async_loading",
    "current_active_defrag_time",
    "current_cow_peak",
    "current_cow_size",
    "current_fork_perc",
    "current_save_keys_processed",
    "current_save_keys_total",
    "instantaneous_input_repl_kbps",
    "instantaneous_output_repl_kbps",
    "lazyfree_pending_objects",
    "loading",
    "mem_aof_buffer",
    "rdb_bgsave_in_progress",
    "rdb_current_bgsave_time_sec",
    "redpoll_snapshot_held_bytes",
];

/// What is there because programs look for it, and what it counts is not: forks, clusters, modules, hash tables that are copied,
/// pools of buffers, samples.
const NOTHING_TO_COUNT: &[&str] = &[
    "allocator_muzzy",
    "aof_delayed_fsync",
    "cluster_connections",
    "current_cow_size_age",
    "dump_payload_sanitizations",
    "expired_keys_with_volatile_items_stale_perc",
    "expired_stale_perc",
    "latest_fork_usec",
    "mem_cluster_links",
    "mem_overhead_db_hashtable_rehashing",
    "mem_replica_full_sync_buffer",
    "mem_replicas_repl_buffer",
    "migrate_cached_sockets",
    "module_fork_in_progress",
    "module_fork_last_cow_size",
    "reply_buffer_expands",
    "reply_buffer_shrinks",
    "rss_overhead_bytes",
    "rss_overhead_ratio",
    "total_forks",
    "used_cpu_sys_children",
    "used_cpu_user_children",
];

/// What takes what this test has not: certificates, a primary that errs, disks that fail, commands that panic, keys that change just
/// while they are saved.
const ELSEWHERE: &[&str] = &[
    "acl_access_denied_tls_cert",
    "aof_last_cow_size",
    "aof_rewrites_consecutive_failures",
    "command_panics",
    "mem_not_counted_for_evict",
    "rdb_last_cow_size",
    "rdb_saves_consecutive_failures",
    "redpoll_log_queue_bound_bytes",
    "redpoll_log_queue_bytes",
    "redpoll_log_queue_waits",
    "redpoll_repl_spilled_bytes",
    "redpoll_snapshot_bound_bytes",
    "redpoll_snapshot_last_longest_hold_us",
    "redpoll_snapshot_last_old_elements",
    "redpoll_snapshot_last_old_keys",
    "redpoll_snapshot_last_peak_bytes",
    "redpoll_snapshot_waits",
    "tls_ca_cert_expires_in_seconds",
    "tls_client_cert_expires_in_seconds",
    "tls_server_cert_expires_in_seconds",
    "total_net_repl_input_bytes",
    "unexpected_error_replies",
];

#[test]
fn every_number_counts() {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let mut shown: BTreeSet<String> = BTreeSet::new();
    for step in STEPS {
        let server = Server::redpoll_with(step.args);
        let mut client = server.connect();
        // What INFO itself takes is there before.
        fields(&mut client);
        let before = fields(&mut client);
        let stay = (step.happens)(&server, &mut client);
        let mut after = BTreeMap::new();
        let what = format!("{:?}", step.moves);
        let mut tries = 0;
        eventually(&what, || {
            after = fields(&mut client);
            let still: Vec<_> = (step.moves.iter())
                .map(|(name, moved)| (*name, *moved, number(&before, name), number(&after, name)))
                .filter(|(_, moved, before, after)| !has_moved(*before, *after, *moved))
                .collect();
            tries += 1;
            if tries == 500 {
                eprintln!("{still:?}");
            }
            still.is_empty()
        });
        drop(stay);
        for name in NOTHING_TO_COUNT {
            let (before, after) = (number(&before, name), number(&after, name));
            assert_eq!(before, after, "{name} counts something");
        }
        known.extend(step.moves.iter().map(|(name, _)| name));
        let numbers = after.keys().filter(|name| !number(&after, name).is_nan());
        shown.extend(numbers.cloned());
    }
    for list in [NO_COUNTS, MOMENTS, NOTHING_TO_COUNT, ELSEWHERE] {
        known.extend(list);
    }
    // Of each command and error alike; of threads and replicas what is summed up elsewhere.
    let of_many = [
        "cmdstat_",
        "errorstat_",
        "latency_percentiles_",
        "io_thread_",
        "slave",
        "db0.",
        "db0_distrib_",
    ];
    let missing: Vec<&String> = (shown.iter())
        .filter(|name| !known.contains(&***name) && !of_many.iter().any(|p| name.starts_with(p)))
        .collect();
    assert!(missing.is_empty(), "nothing moves {missing:#?}");
    let gone: Vec<&&str> = (known.iter())
        .filter(|name| !shown.contains(**name))
        .collect();
    assert!(gone.is_empty(), "INFO has no {gone:?}");
}
