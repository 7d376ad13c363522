//! The numbers of the last hour, one row a second: so that whoever opens the console sees what has been, not only what is.

use engine::{Engine, Figures, LogKind, RoleReport, Times};
use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

/// Rows that are kept.
const MOST_ROWS: usize = 3600;

/// What a row has, in its order; the first is the second it is of. `ui/README.md` says what they mean.
pub(crate) const COLUMNS: [&str; 27] = [
    "t",
    "ops",
    "p50_us",
    "p99_us",
    "p999_us",
    "used_memory",
    "resident_memory",
    "max_memory",
    "in",
    "out",
    "clients",
    "blocked",
    "hits",
    "misses",
    "expired",
    "evicted",
    "errors",
    "keys",
    "cpu",
    "lock_waits",
    "slow",
    "journal",
    "durability_lag_ms",
    "replicas",
    "lag",
    "subscribers",
    "scripts_running_ms",
];

/// One second. NaN: not known.
pub(crate) type Row = Arc<[f64; COLUMNS.len()]>;

/// What counts have been a second ago.
struct Before {
    at: Instant,
    figures: Figures,
    times: Times,
    traffic: [f64; 2],
    lock_waits: u64,
}

/// See the module's page.
pub(crate) struct History {
    rows: VecDeque<Row>,
    before: Option<Before>,
    /// Pieces of the journal that were not on the disk when last looked at, and when each was the last there was.
    pending: VecDeque<(Instant, u64)>,
}

impl History {
    pub fn new() -> History {
        History {
            rows: VecDeque::new(),
            before: None,
            pending: VecDeque::new(),
        }
    }

    /// How long the oldest change has been waiting that is not on the disk yet, to a second. None without a log.
    fn durability_lag(&mut self, engine: &Engine) -> Option<f64> {
        let keeper = engine.persistence().filter(|keeper| keeper.has_log());
        let Some(keeper) = keeper else {
            self.pending.clear();
            return None;
        };
        let (now, last) = (Instant::now(), engine.journal.last_piece());
        if self.pending.back().is_none_or(|(_, piece)| *piece < last) {
            self.pending.push_back((now, last));
        }
        while let Some((_, piece)) = self.pending.front()
            && keeper.is_on_disk(*piece)
        {
            self.pending.pop_front();
        }
        let since = self
            .pending
            .front()
            .map(|(since, _)| now.duration_since(*since));
        Some(since.map_or(0.0, |lag| lag.as_secs_f64() * 1000.0))
    }

    /// Takes the numbers of the second that is over. None the first time: there is nothing to compare them with.
    pub fn sample(&mut self, engine: &Engine) -> Option<Row> {
        let now = Before {
            at: Instant::now(),
            figures: engine.figures(),
            times: engine.all_times(),
            traffic: traffic(engine),
            lock_waits: lock_waits(engine),
        };
        let lag = self.durability_lag(engine).unwrap_or(f64::NAN);
        let others = replicas(engine);
        let row = self
            .before
            .as_ref()
            .map(|before| row(before, &now, lag, others));
        self.before = Some(now);
        let row = Arc::new(row?);
        if self.rows.len() == MOST_ROWS {
            self.rows.pop_front();
        }
        self.rows.push_back(row.clone());
        Some(row)
    }

    /// The last so many rows as JSON, with the names of their columns.
    pub fn json(&self, most: usize) -> String {
        let mut text = format!("{{\"columns\":{},\"rows\":[", serde_json::json!(COLUMNS));
        let first = self.rows.len().saturating_sub(most);
        for (i, row) in self.rows.range(first..).enumerate() {
            text.push_str(if i > 0 { ",[" } else { "[" });
            for (j, value) in row.iter().enumerate() {
                if j > 0 {
                    text.push(',');
                }
                number(&mut text, *value);
            }
            text.push(']');
        }
        text.push_str("]}");
        text
    }
}

/// A row as a JSON object.
pub(crate) fn object(row: &Row) -> String {
    let mut text = String::from("{");
    for (i, (name, value)) in COLUMNS.iter().zip(row.iter()).enumerate() {
        let _ = write!(text, "{}\"{name}\":", if i > 0 { "," } else { "" });
        number(&mut text, *value);
    }
    text.push('}');
    text
}

fn number(text: &mut String, value: f64) {
    // Thousandths are enough for a graph.
    let value = (value * 1000.0).round() / 1000.0;
    let _ = match value.is_finite() {
        true => write!(text, "{value}"),
        false => write!(text, "null"),
    };
}

/// How often somebody had to wait for a shard.
fn lock_waits(engine: &Engine) -> u64 {
    let ks = engine.keyspace();
    (0..ks.shards())
        .map(|shard| ks.shard_load(shard).waits)
        .sum()
}

/// How many replicas there are, and how many bytes the one that is farthest behind is so, if there is one.
fn replicas(engine: &Engine) -> (f64, f64) {
    let Some(RoleReport::Primary(offset, replicas)) = engine.replication().map(|r| r.role()) else {
        return (0.0, f64::NAN);
    };
    let lag = replicas
        .iter()
        .map(|(.., at)| offset.saturating_sub(*at))
        .max();
    (
        replicas.len() as f64,
        lag.map_or(f64::NAN, |lag| lag as f64),
    )
}

/// Bytes read from and written to clients, as the host tells INFO.
fn traffic(engine: &Engine) -> [f64; 2] {
    let mut lines = String::new();
    engine.host().info("stats", &mut lines);
    let pairs: HashMap<&str, &str> = lines.lines().filter_map(|l| l.split_once(':')).collect();
    ["total_net_input_bytes", "total_net_output_bytes"]
        .map(|name| pairs.get(name).and_then(|n| n.parse().ok()).unwrap_or(0.0))
}

fn row(
    before: &Before,
    now: &Before,
    durability_lag_ms: f64,
    replicas: (f64, f64),
) -> [f64; COLUMNS.len()] {
    let seconds = now.at.duration_since(before.at).as_secs_f64().max(0.001);
    let (old, new) = (&before.figures, &now.figures);
    let rate = |of: fn(&Figures) -> u64| of(new).saturating_sub(of(old)) as f64 / seconds;
    let times = now.times.since(&before.times);
    let percentile = |percent: f64| match times.calls {
        0 => f64::NAN,
        _ => times.percentile_ns(percent) as f64 / 1000.0,
    };
    let bytes = |at: usize| (now.traffic[at] - before.traffic[at]).max(0.0) / seconds;
    let cpu = match (old.cpu, new.cpu) {
        (Some(old), Some(new)) => (new.user + new.system - old.user - old.system) / seconds,
        _ => f64::NAN,
    };
    let memory = &new.memory;
    [
        (new.now_ms / 1000) as f64,
        rate(|f| f.calls),
        percentile(50.0),
        percentile(99.0),
        percentile(99.9),
        memory.used as f64,
        memory.resident.map_or(f64::NAN, |bytes| bytes as f64),
        memory.limit as f64,
        bytes(0),
        bytes(1),
        (new.clients.tcp + new.clients.unix) as f64,
        new.clients.blocked as f64,
        rate(|f| f.hits),
        rate(|f| f.misses),
        rate(|f| f.expired),
        rate(|f| f.evicted),
        rate(|f| f.error_replies),
        new.dbs.iter().map(|db| db.keys).sum::<u64>() as f64,
        cpu,
        now.lock_waits.saturating_sub(before.lock_waits) as f64 / seconds,
        new.logged[LogKind::Slow as usize].saturating_sub(old.logged[LogKind::Slow as usize])
            as f64,
        memory.journal as f64,
        durability_lag_ms,
        replicas.0,
        replicas.1,
        new.clients.subscribers as f64,
        new.scripts.running_ms as f64,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::NoHost;
    use engine::config::Config;

    #[test]
    fn rows_are_json() {
        let engine = Engine::new(Config::default(), Arc::new(NoHost));
        let mut history = History::new();
        assert!(history.sample(&engine).is_none());
        assert_eq!(history.json(10).matches('[').count(), 2);
        let row = history.sample(&engine).expect("a row");
        let value: serde_json::Value = serde_json::from_str(&object(&row)).expect("JSON");
        assert_eq!(value["ops"], 0);
        assert!(value["p50_us"].is_null());
        let all: serde_json::Value = serde_json::from_str(&history.json(10)).expect("JSON");
        assert_eq!(all["rows"][0].as_array().map(Vec::len), Some(COLUMNS.len()));
        assert_eq!(all["columns"][0], "t");
        let none: serde_json::Value = serde_json::from_str(&history.json(0)).expect("JSON");
        assert_eq!(none["rows"], serde_json::json!([]));
    }
}
