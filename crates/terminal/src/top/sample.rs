//! What a server says of itself at a moment, and what happened between two of them.
//!
//! Everything comes from INFO, LATENCY HISTOGRAM, SLOWLOG GET and HOTKEYS GET. What a server does not know, or does not tell the
//! user, is left out.

use crate::cli::Fields;
use crate::link::{Connection, Reply};
use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

/// How many slow commands are asked for.
const SLOW: &str = "32";

/// Calls of a command and the time they took, since the server started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Calls.
    pub calls: u64,
    /// Microseconds.
    pub usec: u64,
}

/// A command that took long.
#[derive(Clone, Debug, PartialEq)]
pub struct Slow {
    /// Its number in the log.
    pub id: i64,
    /// When it ran, in Unix seconds.
    pub at: i64,
    /// How long, in microseconds.
    pub usec: i64,
    /// The command.
    pub text: String,
    /// Whose it was.
    pub client: String,
}

/// Keys by one measure, the hottest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Hot {
    /// By what: `cpu-time-us`, `net-bytes` ...
    pub measure: String,
    /// Keys with their figures.
    pub keys: Vec<(String, String)>,
}

/// A server at a moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it was asked.
    pub at: Instant,
    /// All of INFO.
    pub info: Fields,
    /// By command.
    pub commands: BTreeMap<String, Usage>,
    /// Calls up to each number of microseconds, of all commands together; empty if the server has no histograms.
    pub histogram: BTreeMap<u64, u64>,
    /// The latest first.
    pub slow: Vec<Slow>,
    /// A list for each measure; empty if the server has none.
    pub hot: Vec<Hot>,
}

/// How a server is asked for hot keys.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum HotSource {
    /// As INFO says what it is.
    #[default]
    Unknown,
    /// HOTKEYS TOP, which Redpoll always has.
    Top,
    /// HOTKEYS GET, of what somebody has started.
    Get,
    /// It has none, or does not tell this user.
    None,
}

/// What HOTKEYS TOP orders by, and how that is shown.
const MEASURES: [(&str, &str); 4] = [
    ("OPS", "operations"),
    ("CPU", "CPU time"),
    ("IN", "bytes in"),
    ("OUT", "bytes out"),
];

/// Asks the server. An error is one of the connection, or what the server has against INFO.
pub fn take(connection: &mut Connection, source: &mut HotSource) -> io::Result<Sample> {
    let requests: Vec<Vec<&str>> = vec![
        vec!["INFO", "ALL"],
        vec!["LATENCY", "HISTOGRAM"],
        vec!["SLOWLOG", "GET", SLOW],
    ];
    let replies = connection.pipeline(&requests)?;
    let [info, histogram, slow] = &replies[..] else {
        return Err(io::Error::other("fewer replies than requests"));
    };
    if let Some(error) = info.error() {
        return Err(io::Error::other(error));
    }
    let info = Fields(info.text().unwrap_or_default());
    if *source == HotSource::Unknown {
        *source = match info.get("redpoll_version") {
            Some(_) => HotSource::Top,
            None => HotSource::Get,
        };
    }
    Ok(Sample {
        at: Instant::now(),
        commands: usages(&info),
        histogram: counts(histogram),
        slow: slow
            .elements()
            .unwrap_or_default()
            .iter()
            .filter_map(slow_one)
            .collect(),
        hot: hottest(connection, source)?,
        info,
    })
}

fn hottest(connection: &mut Connection, source: &mut HotSource) -> io::Result<Vec<Hot>> {
    let requests: Vec<Vec<&str>> = match source {
        HotSource::Unknown | HotSource::None => return Ok(Vec::new()),
        HotSource::Get => vec![vec!["HOTKEYS", "GET"]],
        HotSource::Top => {
            let by = |(word, _)| vec!["HOTKEYS", "TOP", "BY", word];
            MEASURES.map(by).into()
        }
    };
    let replies = connection.pipeline(&requests)?;
    if matches!(replies.first(), Some(Reply::Error(_))) {
        // Asking again would only be counted as one more error.
        *source = HotSource::None;
        return Ok(Vec::new());
    }
    if *source == HotSource::Get {
        return Ok(replies.first().map(hot_keys).unwrap_or_default());
    }
    let lists = MEASURES.iter().zip(&replies);
    let lists = lists.map(|((_, measure), reply)| Hot {
        measure: format!("{measure} a second"),
        keys: reply.field("keys").map(hottest_of).unwrap_or_default(),
    });
    Ok(lists.filter(|hot| !hot.keys.is_empty()).collect())
}

/// Keys of HOTKEYS TOP with their figures a second: maps with more in them.
fn hottest_of(keys: &Reply) -> Vec<(String, String)> {
    let one = |key: &Reply| {
        let figure: f64 = key.field("per-second")?.text()?.parse().ok()?;
        let name = key.field("key")?.text()?;
        let db = key.field("db").and_then(Reply::int).unwrap_or(0);
        let name = match db {
            0 => name,
            db => format!("db{db} {name}"),
        };
        Some((name, super::view::count(figure)))
    };
    let keys = keys.elements().unwrap_or_default();
    keys.iter().filter_map(one).collect()
}

fn usages(info: &Fields) -> BTreeMap<String, Usage> {
    let mut found = BTreeMap::new();
    for line in info.0.lines() {
        let Some((name, values)) = line
            .strip_prefix("cmdstat_")
            .and_then(|line| line.split_once(':'))
        else {
            continue;
        };
        let number = |field: &str| {
            let pair = values.split(',').find_map(|pair| pair.strip_prefix(field));
            pair.and_then(|n| n.trim_end().parse().ok()).unwrap_or(0)
        };
        let usage = Usage {
            calls: number("calls="),
            usec: number("usec="),
        };
        found.insert(name.replace('|', " "), usage);
    }
    found
}

/// The histograms of all commands added up; those of servers are cumulative, this one is not.
fn counts(reply: &Reply) -> BTreeMap<u64, u64> {
    let mut all = BTreeMap::new();
    for (_, command) in reply.pairs() {
        let Some(buckets) = command.field("histogram_usec") else {
            continue;
        };
        let mut before = 0;
        for (usec, count) in buckets.pairs() {
            if let (Some(usec), Some(count)) = (usec.int(), count.int()) {
                let count = count.unsigned_abs();
                *all.entry(usec.unsigned_abs()).or_default() += count.saturating_sub(before);
                before = count;
            }
        }
    }
    all
}

fn slow_one(entry: &Reply) -> Option<Slow> {
    let [id, at, usec, argv, rest @ ..] = entry.elements()? else {
        return None;
    };
    let words: Vec<String> = argv.elements()?.iter().filter_map(Reply::text).collect();
    let text: String = words
        .join(" ")
        .chars()
        .map(|c| if c.is_control() { '·' } else { c })
        .collect();
    let client = rest.iter().rev().filter_map(Reply::text);
    Some(Slow {
        id: id.int()?,
        at: at.int()?,
        usec: usec.int()?,
        text,
        // The name if there is one, else the address.
        client: client
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_default(),
    })
}

/// Lists of Redis 8.6's form: fields `by-...` whose values are keys and figures by turns. Any other array of keys and figures
/// is one list.
fn hot_keys(reply: &Reply) -> Vec<Hot> {
    if matches!(reply, Reply::Error(_)) {
        return Vec::new();
    }
    let by = |reply: &Reply| {
        let fields = reply.pairs();
        fields
            .iter()
            .any(|(field, _)| field.bytes().is_some_and(|field| field.starts_with(b"by-")))
    };
    // Redis has one element for each node.
    let reply = match reply.elements() {
        Some([only]) if by(only) => only,
        _ => reply,
    };
    let mut found = Vec::new();
    for (field, value) in reply.pairs() {
        let Some(measure) = field
            .text()
            .and_then(|f| f.strip_prefix("by-").map(str::to_owned))
        else {
            continue;
        };
        let keys = figures(value);
        if !keys.is_empty() {
            found.push(Hot { measure, keys });
        }
    }
    if found.is_empty() {
        let keys = figures(reply);
        if !keys.is_empty() {
            found.push(Hot {
                measure: "use".into(),
                keys,
            });
        }
    }
    found
}

/// Keys with figures: a map, an array of both by turns, or an array of pairs.
fn figures(reply: &Reply) -> Vec<(String, String)> {
    let text = |reply: &Reply| match reply {
        Reply::Int(n) => Some(n.to_string()),
        other => other.text(),
    };
    let pair = |reply: &Reply| match reply.elements() {
        Some([key, figure, ..]) => Some((text(key)?, text(figure)?)),
        _ => None,
    };
    let elements = reply.elements().unwrap_or_default();
    let nested: Vec<(String, String)> = elements.iter().filter_map(pair).collect();
    if !nested.is_empty() {
        return nested;
    }
    let flat = reply.pairs();
    flat.iter()
        .filter_map(|(key, figure)| {
            let figure = text(figure)?;
            figure.parse::<f64>().ok()?;
            Some((text(key)?, figure))
        })
        .collect()
}

/// What happened between two samples, by second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates {
    /// Commands.
    pub ops: f64,
    /// Bytes that came in, and went out.
    pub net_in: f64,
    #[allow(missing_docs)]
    pub net_out: f64,
    /// Connections.
    pub connections: f64,
    /// Keys that were evicted, and that expired.
    pub evicted: f64,
    #[allow(missing_docs)]
    pub expired: f64,
    /// The share of lookups that found their key; None if there were none.
    pub hit_ratio: Option<f64>,
    /// Error replies.
    pub errors: f64,
    /// Seconds of CPU a second.
    pub cpu: f64,
    /// Microseconds below which half, 99 and 99.9 % of the calls stayed; None if there were none, or the server has no
    /// histograms.
    pub percentiles: Option<[u64; 3]>,
    /// Calls a second and microseconds a call, by command, the busiest first.
    pub commands: Vec<(String, f64, f64)>,
}

/// The rates between `old` and `new`.
pub fn rates(old: &Sample, new: &Sample) -> Rates {
    let seconds = new.at.duration_since(old.at).as_secs_f64().max(1e-3);
    let difference = |name: &str| {
        let float = |fields: &Fields| {
            fields
                .get(name)
                .and_then(|n| n.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        // CONFIG RESETSTAT sets some back.
        (float(&new.info) - float(&old.info)).max(0.0)
    };
    let per_second = |name: &str| difference(name) / seconds;
    let (hits, misses) = (difference("keyspace_hits"), difference("keyspace_misses"));
    let mut commands: Vec<(String, f64, f64)> = new
        .commands
        .iter()
        .filter_map(|(name, now)| {
            let before = old.commands.get(name).copied().unwrap_or_default();
            let calls = now.calls.saturating_sub(before.calls);
            let usec = now.usec.saturating_sub(before.usec);
            (calls > 0).then(|| {
                let calls = calls as f64;
                (name.clone(), calls / seconds, usec as f64 / calls)
            })
        })
        .collect();
    commands.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Rates {
        ops: per_second("total_commands_processed"),
        net_in: per_second("total_net_input_bytes"),
        net_out: per_second("total_net_output_bytes"),
        connections: per_second("total_connections_received"),
        evicted: per_second("evicted_keys"),
        expired: per_second("expired_keys"),
        hit_ratio: (hits + misses > 0.0).then(|| hits / (hits + misses)),
        errors: per_second("total_error_replies"),
        cpu: per_second("used_cpu_user") + per_second("used_cpu_sys"),
        percentiles: percentiles(&old.histogram, &new.histogram),
        commands,
    }
}

fn percentiles(old: &BTreeMap<u64, u64>, new: &BTreeMap<u64, u64>) -> Option<[u64; 3]> {
    let between: Vec<(u64, u64)> = new
        .iter()
        .map(|(usec, count)| {
            let before = old.get(usec).copied().unwrap_or(0);
            (*usec, count.saturating_sub(before))
        })
        .collect();
    let total: u64 = between.iter().map(|(_, count)| count).sum();
    if total == 0 {
        return None;
    }
    Some([0.5, 0.99, 0.999].map(|share| {
        let wanted = (total as f64 * share).ceil() as u64;
        let mut seen = 0;
        let found = between.iter().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        found.map_or(0, |(usec, _)| *usec)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::reply::Replies;
    use std::time::Duration;

    fn reply(text: &str) -> Reply {
        let mut replies = Replies::default();
        replies.feed(text.replace(' ', "\r\n").as_bytes());
        replies.feed(b"\r\n");
        replies.next().unwrap().unwrap()
    }

    pub fn sample(info: &str, histogram: &[(u64, u64)], at: Instant) -> Sample {
        let info = Fields(info.to_owned());
        Sample {
            at,
            commands: usages(&info),
            histogram: histogram.iter().copied().collect(),
            slow: Vec::new(),
            hot: Vec::new(),
            info,
        }
    }

    #[test]
    fn rates_are_differences_by_second() {
        let begin = Instant::now();
        let old = sample(
            "total_commands_processed:100\nkeyspace_hits:1\nkeyspace_misses:1\ncmdstat_get:calls=10,usec=20,x=1\n",
            &[(1, 10)],
            begin,
        );
        let new = sample(
            "total_commands_processed:300\nkeyspace_hits:4\nkeyspace_misses:2\ncmdstat_get:calls=30,usec=80,x=1\ncmdstat_config|get:calls=100,usec=50\n",
            &[(1, 110), (8, 899), (64, 1)],
            begin + Duration::from_secs(2),
        );
        let rates = rates(&old, &new);
        assert_eq!(rates.ops, 100.0);
        assert_eq!(rates.hit_ratio, Some(0.75));
        assert_eq!(rates.percentiles, Some([8, 8, 8]));
        assert_eq!(
            rates.commands,
            [("config get".into(), 50.0, 0.5), ("get".into(), 10.0, 3.0)]
        );
        // A server that began anew has smaller counters.
        assert_eq!(super::rates(&new, &old).ops, 0.0);
    }

    #[test]
    fn histograms_are_added_up() {
        let text = "%2 $1 a %2 $5 calls :3 $14 histogram_usec %2 :1 :2 :4 :3 $1 b %1 $14 histogram_usec %1 :4 :5";
        assert_eq!(counts(&reply(text)), BTreeMap::from([(1, 2), (4, 6)]));
        assert_eq!(counts(&reply("-ERR")), BTreeMap::new());
    }

    #[test]
    fn hot_keys_of_several_servers() {
        let of_redis = "*1 *4 $15 tracking-active :1 $14 by-cpu-time-us *4 $1 a :67 $1 b :5";
        let hot = hot_keys(&reply(of_redis));
        assert_eq!(hot.len(), 1);
        assert_eq!(hot[0].measure, "cpu-time-us");
        assert_eq!(
            hot[0].keys,
            [("a".into(), "67".into()), ("b".into(), "5".into())]
        );
        let pairs = hot_keys(&reply("*2 *2 $1 a :9 *2 $1 b :3"));
        assert_eq!(pairs[0].keys[1], ("b".into(), "3".into()));
        let ours = "*2 *4 $3 key $1 a $10 per-second $5 12500 *6 $3 key $1 b $2 db :2 $10 per-second $3 7.5";
        let hot = hottest_of(&reply(ours));
        assert_eq!(
            hot,
            [("a".into(), "12.5k".into()), ("db2 b".into(), "7.5".into())]
        );
        assert!(hot_keys(&reply("-ERR")).is_empty());
        assert!(hot_keys(&reply("*0")).is_empty());
    }
}
