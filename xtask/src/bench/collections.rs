//! The collection types' commands, as tables: what is sent to whom, and what the project asks of Redpoll there.
//!
//! The commands are those that `redis-benchmark` sends: one key for each type, and members that are drawn at random.
//! `{key}` is a number of twelve digits here.

use super::scenarios::{Contenders, Cores, Prepare, Scenario, Settings, Until, short};

/// What becomes of the data while a command is measured.
enum Course {
    /// It grows from nothing: a fixed number of requests, so that all servers do the same work, on empty servers in
    /// every round.
    Grows,
    /// It stays as this command has filled it, with one element for each key.
    Stays(&'static str),
    /// It shrinks to nothing: this command has stored as many elements as there are requests, in every round anew.
    Shrinks(&'static str),
}

/// A command.
struct Row {
    name: &'static str,
    pipeline: u32,
    command: &'static str,
    course: Course,
    /// CPU per request over the best peer's, at most.
    bound: f64,
}

const fn row(name: &'static str, command: &'static str, course: Course) -> Row {
    Row {
        name,
        pipeline: 64,
        command,
        course,
        bound: 0.75,
    }
}

const SADD: &str = "SADD myset element:{key}";
const HSET: &str = "HSET myhash element:{key} {value:3}";
const ZADD: &str = "ZADD myzset {int} element:{key}";
const RPUSH: &str = "RPUSH mylist {key}";

/// The commands.
const ROWS: [Row; 17] = [
    row("incr-p64", "INCR counter:{key}", Course::Grows),
    row("lpush-p64", "LPUSH mylist {value:3}", Course::Grows),
    row("rpush-p64", "RPUSH mylist {value:3}", Course::Grows),
    row("lpop-p64", "LPOP mylist", Course::Shrinks(RPUSH)),
    row("sadd-p64", SADD, Course::Grows),
    row("spop-p64", "SPOP myset", Course::Shrinks(SADD)),
    row(
        "sismember-p64",
        "SISMEMBER myset element:{key}",
        Course::Stays(SADD),
    ),
    row("hset-p64", HSET, Course::Grows),
    row("hget-p64", "HGET myhash element:{key}", Course::Stays(HSET)),
    row("zadd-p64", ZADD, Course::Grows),
    row(
        "zincrby-p64",
        "ZINCRBY myzset 1 element:{key}",
        Course::Stays(ZADD),
    ),
    row(
        "xadd-p64",
        "XADD mystream * myfield {value:3}",
        Course::Grows,
    ),
    row("pfadd-p64", "PFADD myhll element:{key}", Course::Grows),
    row(
        "geoadd-p64",
        "GEOADD mygeo {int:-179-179}.{int:100000-999999} {int:-84-84}.{int:100000-999999} element:{key}",
        Course::Grows,
    ),
    Row {
        name: "lrange-100-p1",
        pipeline: 1,
        command: "LRANGE mylist 0 99",
        course: Course::Stays(RPUSH),
        bound: 0.85,
    },
    Row {
        name: "zrange-10-p16",
        pipeline: 16,
        command: "ZRANGE myzset 0 9",
        course: Course::Stays(ZADD),
        bound: 0.85,
    },
    Row {
        name: "mset-10-p4",
        pipeline: 4,
        command: "MSET element:{key} {value:3} element:{key} {value:3} element:{key} {value:3} \
                  element:{key} {value:3} element:{key} {value:3} element:{key} {value:3} element:{key} {value:3} \
                  element:{key} {value:3} element:{key} {value:3} element:{key} {value:3}",
        course: Course::Stays("SET element:{key} {value:3}"),
        bound: 0.85,
    },
];

/// What all names of the collection commands begin with.
pub const PREFIX: &str = "collections/";

/// Each command with the bound of its CPU per request over the best peer's.
pub fn bounds() -> impl Iterator<Item = (String, f64)> {
    ROWS.iter()
        .map(|row| (format!("{PREFIX}{}", row.name), row.bound))
}

/// The scenarios of the collection commands, one core.
pub fn scenarios(settings: &Settings) -> Vec<Scenario> {
    let requests = settings.requests;
    ROWS.iter()
        .map(|row| {
            let (prepare, until) = match row.course {
                Course::Grows => (Vec::new(), Until::Requests(requests)),
                Course::Stays(command) => (
                    vec![Prepare::Fill(command, settings.shared_keys)],
                    Until::TimeIsUp,
                ),
                Course::Shrinks(command) => (
                    vec![Prepare::Fill(command, requests)],
                    Until::Requests(requests),
                ),
            };
            Scenario {
                prepare,
                until,
                ..Scenario::prepared(
                    format!("{PREFIX}{}", row.name),
                    Cores::OnePinned,
                    settings.shared_keys,
                    row.pipeline,
                    row.command,
                )
            }
        })
        .collect()
}

/// Name of the scenario that changes scores in a sorted set of `members` members.
pub fn growth_name(members: u64) -> String {
    format!("growth/zadd-p64-{}", short(members))
}

/// ZADD of present members into a small and into a large sorted set: what it costs must hardly depend on the size.
pub fn growth(settings: &Settings) -> Vec<Scenario> {
    settings
        .sorted_sets
        .iter()
        .map(|&members| Scenario {
            prepare: vec![Prepare::Fill(ZADD, members)],
            contenders: Contenders::RedpollAlone,
            ..Scenario::prepared(growth_name(members), Cores::OnePinned, members, 64, ZADD)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shrinks_does_not_run_dry() {
        for settings in [Settings::full(), Settings::quick()] {
            for scenario in scenarios(&settings) {
                let pops = ["LPOP", "SPOP"]
                    .iter()
                    .any(|pop| scenario.command.starts_with(pop));
                match scenario.prepare.as_slice() {
                    [Prepare::Fill(_, elements)] if pops => {
                        assert_eq!(scenario.until, Until::Requests(*elements));
                    }
                    _ => assert!(!pops, "{}", scenario.name),
                }
            }
        }
    }

    #[test]
    fn every_command_has_a_bound_under_its_scenarios_name() {
        let names: Vec<String> = scenarios(&Settings::full())
            .into_iter()
            .map(|scenario| scenario.name)
            .collect();
        assert_eq!(names, bounds().map(|(name, _)| name).collect::<Vec<_>>());
    }
}
