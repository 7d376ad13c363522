//! Transactions, scripts and messages, as tables.
//!
//! Where two cores are compared with one, the load generator runs on the same two cores. The scripts are long enough
//! (twenty commands each) that what it takes away is small beside them.

use super::scenarios::{Contenders, Cores, Prepare, Scenario, Settings};

/// A script of three commands on declared keys, one core.
pub const EVAL: &str = "scripts/eval-3-p16";
/// MULTI, five SETs and EXEC, one core.
pub const EXEC: &str = "transactions/exec-5-p16";
/// Scripts on declared keys, all cores.
pub const DECLARED: &str = "scripts/shared-cores-declared";
/// Scripts on keys they do not declare, all cores.
pub const UNDECLARED: &str = "scripts/shared-cores-undeclared";
/// Messages to a hundred subscribers, all cores.
pub const PUBLISH: &str = "pubsub/publish-100";
/// GET at a fixed rate, with nothing else to do.
pub const ALONE: &str = "slow-script/get-alone";
/// GET at a fixed rate while a slow script runs.
pub const BESIDE: &str = "slow-script/get-beside";

/// Three commands on two keys.
const THREE_COMMANDS: &str = "EVAL \"redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], ARGV[1]) \
                              return redis.call('INCR', KEYS[2])\" 2 key:{key} counter:{key} {value:64}";
const FIVE_SETS: &str = "MULTI ; SET key:{key} {value:64} ; SET key:{key} {value:64} ; SET key:{key} {value:64} ; \
                         SET key:{key} {value:64} ; SET key:{key} {value:64} ; EXEC";
const TWENTY_DECLARED: &str =
    "EVAL \"for i = 1, 20 do redis.call('INCR', KEYS[1]) end\" 1 counter:{key}";
const TWENTY_UNDECLARED: &str =
    "EVAL \"for i = 1, 20 do redis.call('INCR', ARGV[1]) end\" 0 counter:{key}";

const STRINGS: &str = "SET key:{key} {value:64}";
const COUNTERS: &str = "SET counter:{key} 1";

/// Runs for about a second of CPU time: nothing that a script may call tells it how late it is.
const SLOW_SCRIPT: [&str; 4] = [
    "EVAL",
    "local began = os.clock() while os.clock() - began < 1 do end return redis.call('GET', KEYS[1])",
    "1",
    "slow",
];
/// So few that none is likely to share its shard with the script's key.
const OTHER_KEYS: u64 = 8;
/// Requests a second: far from what would keep a core busy, so that waiting is the script's doing.
const RATE: u32 = 10_000;

/// The scenarios on one core.
pub fn on_one_core(settings: &Settings) -> Vec<Scenario> {
    let keys = settings.shared_keys;
    [(EVAL, THREE_COMMANDS), (EXEC, FIVE_SETS)]
        .map(|(name, command)| Scenario {
            prepare: vec![Prepare::Fill(STRINGS, keys), Prepare::Fill(COUNTERS, keys)],
            ..Scenario::prepared(name.to_string(), Cores::OnePinned, keys, 16, command)
        })
        .into()
}

/// The scenarios on all cores.
pub fn on_all_cores(settings: &Settings) -> Vec<Scenario> {
    let keys = settings.shared_keys;
    let scripts = [(DECLARED, TWENTY_DECLARED), (UNDECLARED, TWENTY_UNDECLARED)];
    let mut all: Vec<Scenario> = scripts
        .map(|(name, command)| Scenario {
            prepare: vec![Prepare::Fill(COUNTERS, keys)],
            contenders: Contenders::AllAndOneThread,
            ..Scenario::prepared(name.to_string(), Cores::All, keys, 16, command)
        })
        .into();
    all.push(Scenario {
        subscribers: 100,
        connections: 10,
        load_threads: 1,
        ..Scenario::prepared(
            PUBLISH.to_string(),
            Cores::All,
            keys,
            16,
            "PUBLISH channel {value:64}",
        )
    });
    for (name, beside) in [(ALONE, None), (BESIDE, Some(&SLOW_SCRIPT[..]))] {
        let mut prepare = vec![Prepare::Fill(STRINGS, OTHER_KEYS)];
        // What has never been slow runs on the worker that received it, and holds it up.
        prepare.extend(beside.map(Prepare::Call));
        all.push(Scenario {
            prepare,
            beside,
            rate: Some(RATE),
            contenders: Contenders::RedpollAlone,
            load_threads: 1,
            ..Scenario::prepared(name.to_string(), Cores::All, OTHER_KEYS, 1, "GET key:{key}")
        });
    }
    all
}
