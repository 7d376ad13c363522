//! What is measured, as tables. A new figure is a new row.

use std::time::Duration;

/// How much is measured.
pub struct Settings {
    /// Measurements of each figure.
    pub rounds: usize,
    /// Time of one measurement.
    pub time: Duration,
    /// Time before it.
    pub warmup: Duration,
    /// Numbers of keys on one core: few enough for the caches, more than they hold, far more.
    pub keys: [u64; 3],
    /// Keys when load and server share two cores, and for the commands.
    pub shared_keys: u64,
    /// Elements of a data set of many small keys.
    pub elements: u64,
    /// Elements of a data set that is one big collection.
    pub big_collection: u64,
    /// Idle connections.
    pub connections: usize,
}

impl Settings {
    /// What the project's goals speak of.
    pub fn full() -> Settings {
        Settings {
            rounds: 5,
            time: Duration::from_secs(3),
            warmup: Duration::from_millis(500),
            keys: [10_000, 1_000_000, 10_000_000],
            shared_keys: 1_000_000,
            // Between two powers of two, where a table that doubles is neither at its best nor at its worst.
            elements: 6_000_000,
            big_collection: 1_000_000,
            connections: 10_000,
        }
    }

    /// Enough to see whether something broke.
    pub fn quick() -> Settings {
        Settings {
            rounds: 3,
            time: Duration::from_millis(700),
            warmup: Duration::from_millis(200),
            keys: [10_000, 100_000, 1_000_000],
            shared_keys: 100_000,
            elements: 750_000,
            big_collection: 200_000,
            connections: 1_000,
        }
    }
}

/// Where server and load run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    /// The server with one thread on core 0, the load on core 1.
    OnePinned,
    /// Both wherever they like; Redpoll with a thread for each core.
    All,
}

/// A load and where it runs.
pub struct Scenario {
    /// Name for `--only` and the report.
    pub name: String,
    /// Cores.
    pub cores: Cores,
    /// Keys loaded beforehand, and drawn from uniformly.
    pub keys: u64,
    /// Requests under way on each connection.
    pub pipeline: u32,
    /// What is sent.
    pub command: &'static str,
    /// The bare Tokio server takes part, replying with a bulk string of so many bytes, or with +OK for `None`.
    pub echo: Option<Option<usize>>,
}

impl Scenario {
    /// One line that says what it is.
    pub fn describe(&self) -> String {
        let cores = match self.cores {
            Cores::OnePinned => "server on one core, load on another",
            Cores::All => "server and load share all cores",
        };
        format!(
            "{}, pipeline {}, {} keys, {cores}",
            self.command, self.pipeline, self.keys
        )
    }
}

/// Bytes of a value in all scenarios.
pub const VALUE_SIZE: usize = 64;
/// Connections in all scenarios.
pub const CONNECTIONS: usize = 50;

const GET: &str = "GET {key}";
const SET: &str = "SET {key} {value}";

/// Commands beyond GET and SET, at a pipeline of 16 on one core.
const COMMANDS: [(&str, &str); 8] = [
    ("incr", "INCR counter:{member:100000}"),
    ("set-ex", "SET {key} {value} EX 1000"),
    ("exists", "EXISTS {key}"),
    ("getrange", "GETRANGE {key} 8 23"),
    ("strlen", "STRLEN {key}"),
    ("ttl", "TTL {key}"),
    (
        "mget-10",
        "MGET {key} {key} {key} {key} {key} {key} {key} {key} {key} {key}",
    ),
    (
        "mset-10",
        "MSET {key} {value} {key} {value} {key} {value} {key} {value} {key} {value} {key} {value} {key} {value} \
         {key} {value} {key} {value} {key} {value}",
    ),
];

/// All loads, in an order in which those that can share loaded servers follow one another.
pub fn all(settings: &Settings) -> Vec<Scenario> {
    let mut all = Vec::new();
    let gets_and_sets = [("get", GET), ("set", SET)];
    for (size, keys) in settings.keys.into_iter().enumerate() {
        // One request at a time costs what the kernel's network stack costs, whatever the number of keys.
        let pipelines: &[u32] = if size == 0 { &[1, 16, 64] } else { &[16, 64] };
        for &pipeline in pipelines {
            for (verb, command) in gets_and_sets {
                let reply = if verb == "get" {
                    Some(VALUE_SIZE)
                } else {
                    None
                };
                all.push(Scenario {
                    name: one_core(verb, pipeline, keys),
                    cores: Cores::OnePinned,
                    keys,
                    pipeline,
                    command,
                    echo: (pipeline == 1).then_some(reply),
                });
            }
        }
    }
    for pipeline in [1, 16, 64] {
        for (verb, command) in gets_and_sets {
            all.push(Scenario {
                name: two_cores(verb, pipeline),
                cores: Cores::All,
                keys: settings.shared_keys,
                pipeline,
                command,
                echo: None,
            });
        }
    }
    for (name, command) in COMMANDS {
        all.push(Scenario {
            name: format!("command/{name}"),
            cores: Cores::OnePinned,
            keys: settings.shared_keys,
            pipeline: 16,
            command,
            echo: None,
        });
    }
    all
}

/// Name of a scenario on one core.
pub fn one_core(verb: &str, pipeline: u32, keys: u64) -> String {
    format!("one-core/{verb}-p{pipeline}-{}", short(keys))
}

/// Name of a scenario on cores shared with the load.
pub fn two_cores(verb: &str, pipeline: u32) -> String {
    format!("shared-cores/{verb}-p{pipeline}")
}

/// 10k, 1m and the like.
fn short(n: u64) -> String {
    if n >= 1_000_000 && n.is_multiple_of(1_000_000) {
        format!("{}m", n / 1_000_000)
    } else if n >= 1000 && n.is_multiple_of(1000) {
        format!("{}k", n / 1000)
    } else {
        n.to_string()
    }
}

/// Elements of one kind whose resident memory is weighed.
pub struct DataSet {
    /// Name for `--only`.
    pub name: &'static str,
    /// What it is, for the report.
    pub what: &'static str,
    /// The command that stores one element; `{key}` is 16 bytes long and goes through all elements.
    pub command: &'static str,
    /// Bytes of `{value}`.
    pub value_size: usize,
    /// Bytes of user data in an element: the floor. `None` where it is not a fixed number.
    pub payload: Option<u32>,
    /// All elements are in one collection.
    pub one_collection: bool,
    /// Resident bytes an element may cost in Redpoll.
    pub goal: f64,
}

impl DataSet {
    /// How many elements are stored.
    pub fn elements(&self, settings: &Settings) -> u64 {
        if self.one_collection {
            settings.big_collection
        } else {
            settings.elements
        }
    }
}

/// The data sets. Those whose type a server does not know are left out with a note.
pub const DATA_SETS: [DataSet; 8] = [
    DataSet {
        name: "memory/string",
        what: "string, 16 B key, 32 B value",
        command: "SET {key} {value}",
        value_size: 32,
        payload: Some(48),
        one_collection: false,
        goal: 70.0,
    },
    DataSet {
        name: "memory/integer",
        what: "string, 16 B key, integer",
        command: "SET {key} {int:100000000-999999999}",
        value_size: 0,
        payload: Some(24),
        one_collection: false,
        goal: 44.0,
    },
    DataSet {
        name: "memory/ttl",
        what: "string with TTL, 16 B key, 32 B value",
        command: "SET {key} {value} EX 1000000",
        value_size: 32,
        payload: Some(56),
        one_collection: false,
        goal: 80.0,
    },
    DataSet {
        name: "memory/hash",
        what: "hash of 10 fields, 7 B names, 16 B values",
        command: "HSET {key} field:0 {value} field:1 {value} field:2 {value} field:3 {value} field:4 {value} \
                  field:5 {value} field:6 {value} field:7 {value} field:8 {value} field:9 {value}",
        value_size: 16,
        payload: Some(246),
        one_collection: false,
        goal: 300.0,
    },
    DataSet {
        name: "memory/set",
        what: "one set of 16 B members",
        command: "SADD set {key}",
        value_size: 0,
        payload: Some(16),
        one_collection: true,
        goal: 34.0,
    },
    DataSet {
        name: "memory/sorted-set",
        what: "one sorted set of 16 B members",
        command: "ZADD sorted-set {int:0-999999999} {key}",
        value_size: 0,
        payload: Some(24),
        one_collection: true,
        goal: 56.0,
    },
    DataSet {
        name: "memory/list",
        what: "one list of 16 B items",
        command: "RPUSH list {key}",
        value_size: 0,
        payload: Some(16),
        one_collection: true,
        goal: 18.5,
    },
    DataSet {
        name: "memory/stream",
        what: "one stream, 2 fields an entry",
        command: "XADD stream * key {key} n {int}",
        value_size: 0,
        payload: None,
        one_collection: true,
        goal: 24.0,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_groups_lie_together() {
        for settings in [Settings::full(), Settings::quick()] {
            let all = all(&settings);
            let names: HashSet<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
            assert_eq!(names.len(), all.len());
            let groups = all.chunk_by(|a, b| (a.cores, a.keys) == (b.cores, b.keys));
            assert!(groups.count() <= 5);
        }
        let names: HashSet<&str> = DATA_SETS.iter().map(|data_set| data_set.name).collect();
        assert_eq!(names.len(), DATA_SETS.len());
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(short(10_000), "10k");
        assert_eq!(short(1_000_000), "1m");
        assert_eq!(short(1_500_000), "1500k");
        assert_eq!(short(7), "7");
    }
}
