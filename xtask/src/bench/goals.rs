//! The project's goals, held against the figures of a run.
//!
//! A goal whose figures are missing (a peer that is not there, a measurement that was not asked for, other numbers of
//! keys in a quick run) is left out.

use super::load::Measurement;
use super::operations::OPERATIONS;
use super::scenarios::{Settings, one_core, two_cores};
use super::servers::{ECHO, ONE_THREAD};
use super::{OperationFigure, Results, atomic, collections, growth, insight, listeners, stalls};

/// A goal and what was measured.
pub struct Outcome {
    /// What is asked for.
    pub goal: String,
    /// The number the goal is about.
    pub measured: f64,
    /// The bound.
    pub bound: f64,
    /// Whether the number must stay below the bound or reach it.
    pub at_most: bool,
}

impl Outcome {
    /// Whether the goal is met.
    pub fn met(&self) -> bool {
        if self.at_most {
            self.measured <= self.bound
        } else {
            self.measured >= self.bound
        }
    }
}

/// Holds the goals against `results`.
pub fn check(settings: &Settings, results: &Results) -> Vec<Outcome> {
    let figure = |scenario: &str, is_wanted: &dyn Fn(&str) -> bool| -> Option<Measurement> {
        results
            .loads
            .iter()
            .filter(|figure| figure.scenario == scenario)
            // Servers of a name come oldest first, and the plain Valkey before the one with I/O threads.
            .filter(|figure| is_wanted(&figure.contender))
            .map(|figure| figure.median)
            .next_back()
    };
    let redpoll = |scenario: &str| figure(scenario, &|name| name == "Redpoll");
    let echo = |scenario: &str| figure(scenario, &|name| name == ECHO);
    let valkey = |scenario: &str| figure(scenario, &is_valkey);
    let [few, more, many] = settings.keys;
    let mut outcomes = Vec::new();
    let mut compare = |goal: String,
                       ours: Option<Measurement>,
                       theirs: Option<Measurement>,
                       number: fn(&Measurement) -> f64,
                       at_most: bool,
                       bound: f64| {
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            outcomes.push(Outcome {
                goal,
                measured: number(&ours) / number(&theirs).max(1e-9),
                bound,
                at_most,
            });
        }
    };
    for verb in ["get", "set"] {
        let name = one_core(verb, 1, few);
        let goal = format!("{name}: CPU per request over the bare Tokio echo's");
        compare(
            goal,
            redpoll(&name),
            echo(&name),
            |m| m.server_cpu_us,
            true,
            1.05,
        );
        for keys in [more, many] {
            for (pipeline, bound) in [(16, 0.8), (64, 0.5)] {
                let name = one_core(verb, pipeline, keys);
                let goal = format!("{name}: CPU per request over Valkey's");
                compare(
                    goal,
                    redpoll(&name),
                    valkey(&name),
                    |m| m.server_cpu_us,
                    true,
                    bound,
                );
            }
        }
        for (pipeline, bound) in [(1, 1.4), (16, 1.4), (64, 2.0)] {
            let name = two_cores(verb, pipeline);
            let (ours, theirs) = (redpoll(&name), valkey(&name));
            let goal = format!("{name}: throughput over Valkey's");
            compare(goal, ours, theirs, |m| m.throughput, false, bound);
            let goal = format!("{name}: p99 over Valkey's");
            compare(goal, ours, theirs, |m| m.p99_us, true, 1.0);
        }
    }
    for pipeline in [16, 64] {
        let (at_many, at_few) = (
            one_core("get", pipeline, many),
            one_core("get", pipeline, few),
        );
        let goal = format!("{at_many}: CPU per request over {at_few}");
        compare(
            goal,
            redpoll(&at_many),
            redpoll(&at_few),
            |m| m.server_cpu_us,
            true,
            1.3,
        );
    }
    for (name, bound) in collections::bounds() {
        let best = NEWEST
            .iter()
            .filter_map(|prefix| figure(&name, &|label| is_plain(label, prefix)))
            .min_by(|a, b| a.server_cpu_us.total_cmp(&b.server_cpu_us));
        let goal = format!("{name}: CPU per request over the best peer's");
        let ours = redpoll(&name);
        compare(goal, ours, best, |m| m.server_cpu_us, true, bound);
    }
    let [small, large] = settings.sorted_sets.map(collections::growth_name);
    let goal = format!("{large}: CPU per request over {small}");
    let (ours, theirs) = (redpoll(&large), redpoll(&small));
    compare(goal, ours, theirs, |m| m.server_cpu_us, true, 2.0);
    for name in [atomic::EVAL, atomic::EXEC] {
        let goal = format!("{name}: CPU per request over Valkey's");
        let (ours, theirs) = (redpoll(name), valkey(name));
        compare(goal, ours, theirs, |m| m.server_cpu_us, true, 0.75);
    }
    for (name, bound) in [(atomic::DECLARED, 1.7), (atomic::UNDECLARED, 1.3)] {
        let goal = format!("{name}: throughput over that with one thread");
        let one_thread = figure(name, &|label| label == ONE_THREAD);
        let ours = redpoll(name);
        compare(goal, ours, one_thread, |m| m.throughput, false, bound);
    }
    let name = atomic::PUBLISH;
    let goal = format!("{name}: delivered messages a second over Valkey's");
    let (ours, theirs) = (redpoll(name), valkey(name));
    compare(goal, ours, theirs, |m| m.delivered, false, 1.5);
    let goal = format!("{}: p99.9 over {}", atomic::BESIDE, atomic::ALONE);
    let (ours, theirs) = (redpoll(atomic::BESIDE), redpoll(atomic::ALONE));
    compare(goal, ours, theirs, |m| m.p999_us, true, 2.0);
    for operation in &OPERATIONS {
        // Where the machine is not quiet, the CPU time is the one to trust.
        type Number = fn(&OperationFigure) -> f64;
        let kinds: [(&str, Number); 2] = [("time", |f| f.wall_ms), ("CPU time", |f| f.cpu_ms)];
        for (kind, number) in kinds {
            let time = |is_wanted: &dyn Fn(&str) -> bool| {
                results
                    .operations
                    .iter()
                    .filter(|figure| figure.operation.name == operation.name)
                    .filter(|figure| is_wanted(&figure.contender))
                    .map(number)
                    .next_back()
            };
            let best = NEWEST
                .iter()
                .filter_map(|prefix| time(&|label| is_plain(label, prefix)))
                .min_by(f64::total_cmp);
            if let (Some(ours), Some(best)) = (time(&|name| name == "Redpoll"), best) {
                outcomes.push(Outcome {
                    goal: format!("{}: {kind} over the best peer's", operation.name),
                    measured: ours / best.max(1e-9),
                    bound: operation.bound,
                    at_most: true,
                });
            }
        }
    }
    let ours = |contender: &str| contender == "Redpoll";
    for figure in results.memory.iter().filter(|f| ours(&f.contender)) {
        outcomes.push(Outcome {
            goal: format!("{}: resident bytes an element", figure.data_set.name),
            measured: figure.bytes_per_element,
            bound: figure.data_set.goal,
            at_most: true,
        });
    }
    for figure in results.idle.iter().filter(|f| ours(&f.contender)) {
        outcomes.push(Outcome {
            goal: "idle-connections: resident bytes a connection".to_string(),
            measured: figure.value,
            bound: 4096.0,
            at_most: true,
        });
    }
    for figure in results.start.iter().filter(|f| ours(&f.contender)) {
        outcomes.push(Outcome {
            goal: "start: milliseconds to the first PONG".to_string(),
            measured: figure.value,
            bound: 20.0,
            at_most: true,
        });
    }
    for figure in results.stalls.iter().filter(|f| ours(&f.contender)) {
        for (probed, [without, with]) in stalls::PROBED.iter().zip(figure.waits) {
            outcomes.push(Outcome {
                goal: format!(
                    "{}: milliseconds that {probed} waits longer at most",
                    figure.stall.name
                ),
                measured: with - without,
                bound: 2.0,
                at_most: true,
            });
        }
    }
    for figure in results.saving.iter().filter(|f| ours(&f.contender)) {
        let theirs = |is_wanted: &dyn Fn(&str) -> bool| {
            let mut of_row = results.saving.iter().filter(|f| f.row == figure.row);
            of_row.find(|f| is_wanted(&f.contender)).map(|f| f.value)
        };
        let (measured, bound) = match &*figure.row {
            growth::WATCH => match theirs(&is_valkey) {
                Some(valkey) => (figure.value / valkey.max(1e-9), 1.5),
                None => continue,
            },
            growth::FREED => (figure.value, 20.0),
            row if row.starts_with(growth::ARGUMENTS) => (figure.value, 15.0),
            insight::SCRAPE => (figure.value, 5.0),
            row if row.starts_with(insight::MORE) => (figure.value, 5.0),
            row if row.starts_with(listeners::TIMES) => (figure.value, 1.1),
            _ => continue,
        };
        outcomes.push(Outcome {
            goal: match &*figure.row {
                growth::WATCH => format!("{}: time over Valkey's", figure.row),
                row => row.to_owned(),
            },
            measured,
            bound,
            at_most: true,
        });
    }
    outcomes
}

/// The versions of which the best counts, where a goal is about the best peer.
const NEWEST: [&str; 3] = ["Redis 8.2.", "Redis 8.6.", "Valkey 9."];

/// A Valkey as it comes.
fn is_valkey(label: &str) -> bool {
    is_plain(label, "Valkey")
}

/// A server of this name and version, as it comes.
fn is_plain(label: &str, prefix: &str) -> bool {
    label.starts_with(prefix) && !label.contains("io-threads")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::LoadFigure;

    fn figure(scenario: &str, contender: &str, cpu: f64, throughput: f64) -> LoadFigure {
        let median = Measurement {
            throughput,
            p50_us: 1.0,
            p99_us: 1.0,
            p999_us: 1.0,
            server_cpu_us: cpu,
            load_cpu_us: 1.0,
            delivered: throughput * 100.0,
        };
        LoadFigure {
            scenario: scenario.to_string(),
            contender: contender.to_string(),
            rounds: vec![median],
            median,
        }
    }

    #[test]
    fn compares_with_the_newest_plain_valkey() {
        let name = two_cores("get", 16);
        let results = Results {
            loads: vec![
                figure(&name, "Redpoll", 1.0, 300.0),
                figure(&name, "Valkey 8.0.1", 1.0, 300.0),
                figure(&name, "Valkey 9.1.2", 1.0, 200.0),
                figure(&name, "Valkey 9.1.2, 2 io-threads", 1.0, 600.0),
            ],
            ..Results::default()
        };
        let outcomes = check(&Settings::full(), &results);
        assert_eq!(outcomes.len(), 2, "throughput and p99");
        assert_eq!(outcomes[0].measured, 1.5);
        assert!(outcomes.iter().all(Outcome::met));
    }

    #[test]
    fn says_when_a_goal_is_missed() {
        let name = one_core("get", 64, 10_000_000);
        let results = Results {
            loads: vec![
                figure(&name, "Redpoll", 0.6, 1.0),
                figure(&name, "Valkey 9.1.2", 1.0, 1.0),
                figure(&one_core("get", 64, 10_000), "Redpoll", 0.5, 1.0),
            ],
            ..Results::default()
        };
        let met: Vec<bool> = check(&Settings::full(), &results)
            .iter()
            .map(Outcome::met)
            .collect();
        assert_eq!(met, [false, true], "0.6 of Valkey's, 1.2 of its own");
    }

    #[test]
    fn compares_with_the_best_of_the_newest_peers() {
        let name = "collections/sadd-p64";
        let results = Results {
            loads: vec![
                figure(name, "Redpoll", 0.6, 1.0),
                figure(name, "Redis 7.0.15", 0.1, 1.0),
                figure(name, "Redis 8.2.3", 1.0, 1.0),
                figure(name, "Redis 8.6.2", 3.0, 1.0),
                figure(name, "Valkey 9.1.2", 2.0, 1.0),
            ],
            operations: [
                ("Redpoll", 4.0),
                ("Redis 7.0.15", 1.0),
                ("Redis 8.2.3", 8.0),
                ("Redis 8.6.2", 5.0),
                ("Valkey 9.1.2", 9.0),
            ]
            .map(|(contender, wall_ms)| OperationFigure {
                operation: &OPERATIONS[0],
                contender: contender.to_string(),
                wall_ms,
                cpu_ms: wall_ms * wall_ms,
            })
            .into(),
            ..Results::default()
        };
        let outcomes = check(&Settings::full(), &results);
        let measured: Vec<f64> = outcomes.iter().map(|outcome| outcome.measured).collect();
        assert_eq!(measured, [0.6, 0.8, 0.64]);
        assert_eq!(
            outcomes.iter().map(Outcome::met).collect::<Vec<_>>(),
            [true, false, true]
        );
    }

    #[test]
    fn two_threads_are_held_against_one() {
        let results = Results {
            loads: vec![
                figure(atomic::DECLARED, "Redpoll", 1.0, 160.0),
                figure(atomic::DECLARED, ONE_THREAD, 1.0, 100.0),
                figure(atomic::UNDECLARED, "Redpoll", 1.0, 160.0),
                figure(atomic::UNDECLARED, ONE_THREAD, 1.0, 100.0),
                figure(atomic::PUBLISH, "Redpoll", 1.0, 160.0),
                figure(atomic::PUBLISH, "Valkey 9.1.2", 1.0, 100.0),
            ],
            ..Results::default()
        };
        let outcomes = check(&Settings::full(), &results);
        assert!(outcomes.iter().all(|outcome| outcome.measured == 1.6));
        let met: Vec<bool> = outcomes.iter().map(Outcome::met).collect();
        assert_eq!(met, [false, true, true], "1.7, 1.3 and 1.5 are asked for");
    }

    #[test]
    fn nothing_measured_is_nothing_promised() {
        assert!(check(&Settings::full(), &Results::default()).is_empty());
    }
}
