//! What is measured, as tables. A new figure is a new row. The collection types' rows are in `collections`, those of
//! transactions, scripts and messages in `atomic`.

use std::time::Duration;

use super::servers::cpus;
use super::{atomic, collections};

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
    /// Requests where a collection grows or shrinks: the same number for all servers.
    pub requests: u64,
    /// Members of a small and a large sorted set.
    pub sorted_sets: [u64; 2],
    /// Elements of each collection that an operation is timed on.
    pub operands: u64,
    /// Calls of an operation in a round.
    pub calls: usize,
    /// Strings of a data set that is saved and loaded.
    pub saved_strings: u64,
    /// Members of a sorted set that is saved while it is written to.
    pub saved_members: u64,
    /// SETs of a log that is loaded.
    pub logged: u64,
    /// Time of a load beside which is saved.
    pub saving: Duration,
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
            requests: 2_000_000,
            sorted_sets: [10_000, 10_000_000],
            operands: 100_000,
            calls: 20,
            saved_strings: 3_000_000,
            saved_members: 10_000_000,
            logged: 10_000_000,
            saving: Duration::from_secs(10),
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
            requests: 500_000,
            sorted_sets: [10_000, 1_000_000],
            operands: 100_000,
            calls: 10,
            saved_strings: 150_000,
            saved_members: 300_000,
            logged: 500_000,
            saving: Duration::from_secs(3),
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

/// Which servers take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contenders {
    /// Redpoll and the peers.
    All,
    /// In addition Redpoll with a single thread.
    AllAndOneThread,
    /// Redpoll, compared with itself.
    RedpollAlone,
}

/// When a measurement ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After the time in the settings.
    TimeIsUp,
    /// After so many requests, which change the data: every round begins with fresh data.
    Requests(u64),
}

/// A step of what is done before a measurement.
#[derive(Clone, Copy, Debug)]
pub enum Prepare {
    /// This template, with at least one `{key}`, for so many keys in order.
    Fill(&'static str, u64),
    /// This command, once.
    Call(&'static [&'static str]),
}

/// A load and where it runs.
pub struct Scenario {
    /// Name for `--only` and the report.
    pub name: String,
    /// Cores.
    pub cores: Cores,
    /// Keys that are drawn from uniformly.
    pub keys: u64,
    /// The keys are set beforehand, once for all scenarios that share them, and `{key}` is 16 bytes long. If not, the
    /// server is emptied before the scenario, `prepare` says what it holds, and `{key}` is a number of 12 digits.
    pub loaded: bool,
    /// What is done after emptying the server.
    pub prepare: Vec<Prepare>,
    /// Requests under way on each connection.
    pub pipeline: u32,
    /// What is sent.
    pub command: &'static str,
    /// When a measurement ends.
    pub until: Until,
    /// Connections that send.
    pub connections: usize,
    /// Connections that subscribe to `channel`.
    pub subscribers: usize,
    /// Threads of the load generator.
    pub load_threads: usize,
    /// Requests due per second whether or not the server keeps up; none for as many as it answers.
    pub rate: Option<u32>,
    /// A command that another connection sends over and over meanwhile.
    pub beside: Option<&'static [&'static str]>,
    /// Which servers take part.
    pub contenders: Contenders,
    /// The bare Tokio server takes part, replying with a bulk string of so many bytes, or with +OK for `None`.
    pub echo: Option<Option<usize>>,
}

impl Scenario {
    /// A scenario on keys that are set beforehand.
    fn loaded(
        name: String,
        cores: Cores,
        keys: u64,
        pipeline: u32,
        command: &'static str,
    ) -> Scenario {
        Scenario {
            name,
            cores,
            keys,
            loaded: true,
            prepare: Vec::new(),
            pipeline,
            command,
            until: Until::TimeIsUp,
            connections: CONNECTIONS,
            subscribers: 0,
            load_threads: match cores {
                Cores::OnePinned => 1,
                Cores::All => cpus(),
            },
            rate: None,
            beside: None,
            contenders: Contenders::All,
            echo: None,
        }
    }

    /// A scenario on an empty server.
    pub fn prepared(
        name: String,
        cores: Cores,
        keys: u64,
        pipeline: u32,
        command: &'static str,
    ) -> Scenario {
        Scenario {
            loaded: false,
            ..Scenario::loaded(name, cores, keys, pipeline, command)
        }
    }

    /// Whether the data must be prepared anew in every round.
    pub fn uses_up(&self) -> bool {
        matches!(self.until, Until::Requests(_))
    }

    /// What scenarios share that run on the same servers.
    pub fn group(&self) -> (Cores, u64, bool) {
        (self.cores, self.keys, self.loaded)
    }

    /// One line that says what it is.
    pub fn describe(&self) -> String {
        let cores = match self.cores {
            Cores::OnePinned => "server on one core, load on another",
            Cores::All => "server and load share all cores",
        };
        let mut what = format!(
            "{}, pipeline {}, {} keys, {cores}",
            self.command, self.pipeline, self.keys
        );
        if self.subscribers > 0 {
            what += &format!(", {} subscribers", self.subscribers);
        }
        if let Some(rate) = self.rate {
            what += &format!(", {rate} requests/s");
        }
        if let Some(beside) = self.beside {
            what += &format!(", beside {}", beside.join(" "));
        }
        what
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
                let name = one_core(verb, pipeline, keys);
                all.push(Scenario {
                    echo: (pipeline == 1).then_some(reply),
                    ..Scenario::loaded(name, Cores::OnePinned, keys, pipeline, command)
                });
            }
        }
    }
    for pipeline in [1, 16, 64] {
        for (verb, command) in gets_and_sets {
            let name = two_cores(verb, pipeline);
            let keys = settings.shared_keys;
            all.push(Scenario::loaded(name, Cores::All, keys, pipeline, command));
        }
    }
    for (name, command) in COMMANDS {
        let name = format!("command/{name}");
        let keys = settings.shared_keys;
        all.push(Scenario::loaded(name, Cores::OnePinned, keys, 16, command));
    }
    all.extend(collections::scenarios(settings));
    all.extend(atomic::on_one_core(settings));
    all.extend(collections::growth(settings));
    all.extend(atomic::on_all_cores(settings));
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
pub fn short(n: u64) -> String {
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
            let groups = all.chunk_by(|a, b| a.group() == b.group());
            assert!(groups.count() <= 10);
            // What another scenario has set would be gone, what it has changed would be measured.
            assert!(all.iter().all(|scenario| {
                !scenario.loaded || (scenario.prepare.is_empty() && !scenario.uses_up())
            }));
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
