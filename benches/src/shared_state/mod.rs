//! One map shared by 1 to 16 tasks in six ways, measured side by side.
//!
//! Every task runs on a worker thread of its own in one multi-thread Tokio runtime, and does nothing but get (90 %)
//! and set (10 %) random keys. Strategies take turns round by round, so that a slow minute of the machine hits all of
//! them; each figure is the median of its rounds. A measurement during which other programs kept the cores busy is
//! taken again, as long as there is patience left.

pub mod plot;
mod quiet;
pub mod strategies;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use quiet::Patience;
use strategies::{
    LockFreeReads, OwningTask, ParkingLotMutex, ShardedMutex, StdMutex, Strategy, TokioMutex, Value,
};

/// What is measured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Numbers of tasks.
    pub tasks: Vec<usize>,
    /// Keys in the map.
    pub keys: usize,
    /// Bytes of a value.
    pub value_size: usize,
    /// Operations out of a hundred that are sets.
    pub sets_percent: u64,
    /// Time of one measurement.
    pub time: Duration,
    /// Measurements of each figure.
    pub rounds: usize,
    /// Time that may be spent, in all, on waiting for other programs and on taking disturbed measurements again.
    pub patience: Duration,
}

/// One figure: a strategy with a number of tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Name of the strategy.
    pub strategy: &'static str,
    /// Number of tasks.
    pub tasks: usize,
    /// Operations per second, all tasks together; median of the rounds.
    pub throughput: f64,
    /// Time of an operation in microseconds that half, 99 % and 99.9 % of the operations stay below; medians of the
    /// rounds.
    pub latency_us: [f64; 3],
}

/// What one measurement gave.
struct Sample {
    throughput: f64,
    latency_us: [f64; 3],
}

type Measure = fn(&Settings, usize) -> Result<Sample, String>;

/// The strategies in the order of the table.
const STRATEGIES: [(&str, Measure); 6] = [
    (StdMutex::NAME, measure::<StdMutex>),
    (ParkingLotMutex::NAME, measure::<ParkingLotMutex>),
    (TokioMutex::NAME, measure::<TokioMutex>),
    (OwningTask::NAME, measure::<OwningTask>),
    (ShardedMutex::NAME, measure::<ShardedMutex>),
    (LockFreeReads::NAME, measure::<LockFreeReads>),
];

/// All figures, and how good they are.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// One for each strategy and number of tasks.
    pub figures: Vec<Figure>,
    /// Measurements that count although other programs kept the cores busy: patience had run out.
    pub disturbed: usize,
}

/// Measures everything, calling `progress` before each round.
pub fn run(settings: &Settings, progress: impl Fn(&str)) -> Result<Outcome, String> {
    let mut patience = Patience::new(settings.patience);
    let mut samples: Vec<Vec<Vec<Sample>>> = Vec::new();
    samples.resize_with(settings.tasks.len(), || {
        STRATEGIES.iter().map(|_| Vec::new()).collect()
    });
    for round in 0..settings.rounds {
        for (row, &tasks) in settings.tasks.iter().enumerate() {
            progress(&format!(
                "round {} of {}, {tasks} tasks",
                round + 1,
                settings.rounds
            ));
            // Another strategy goes first each round.
            for turn in 0..STRATEGIES.len() {
                let which = (turn + round) % STRATEGIES.len();
                let measure = STRATEGIES[which].1;
                samples[row][which].push(patience.undisturbed(|| measure(settings, tasks))?);
            }
        }
    }
    let mut figures = Vec::new();
    for (which, (strategy, _)) in STRATEGIES.into_iter().enumerate() {
        for (row, &tasks) in settings.tasks.iter().enumerate() {
            let rounds = &samples[row][which];
            let latency = |i: usize| median(rounds.iter().map(|s| s.latency_us[i]).collect());
            figures.push(Figure {
                strategy,
                tasks,
                throughput: median(rounds.iter().map(|s| s.throughput).collect()),
                latency_us: [latency(0), latency(1), latency(2)],
            });
        }
    }
    Ok(Outcome {
        figures,
        disturbed: patience.disturbed(),
    })
}

/// One operation in this many is timed: reading the clock costs as much as an uncontended get.
const TIMED_EVERY: u64 = 16;

/// Runs `tasks` tasks on a map shared by strategy `S`.
fn measure<S: Strategy>(settings: &Settings, tasks: usize) -> Result<Sample, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(tasks)
        .build()
        .map_err(|why| format!("cannot start a runtime: {why}"))?;
    let keys: Arc<Vec<String>> = Arc::new((0..settings.keys).map(key).collect());
    let value = Value::from(vec![b'x'; settings.value_size]);
    let stop = Arc::new(AtomicBool::new(false));
    let (counts, elapsed) = runtime.block_on(async {
        let entries = keys.iter().map(|key| (key.clone(), Arc::clone(&value)));
        let map = Arc::new(S::new(entries.collect()));
        let began = Instant::now();
        let running: Vec<_> = (0..tasks)
            .map(|task| {
                tokio::spawn(work(
                    Arc::clone(&map),
                    Arc::clone(&keys),
                    settings.value_size,
                    settings.sets_percent,
                    task as u64,
                    Arc::clone(&stop),
                ))
            })
            .collect();
        // This thread is none of the runtime's workers, so it may sleep.
        std::thread::sleep(settings.time);
        stop.store(true, Ordering::Relaxed);
        let elapsed = began.elapsed();
        let mut counts = Vec::new();
        for task in running {
            counts.push(task.await.map_err(|why| format!("a task failed: {why}"))?);
        }
        Ok::<_, String>((counts, elapsed))
    })?;
    let mut operations = 0;
    let mut latencies = histogram()?;
    for outcome in counts {
        let (count, seen) = outcome?;
        operations += count;
        latencies
            .add(seen)
            .map_err(|why| format!("histogram: {why}"))?;
    }
    Ok(Sample {
        throughput: operations as f64 / elapsed.as_secs_f64(),
        latency_us: [50.0, 99.0, 99.9].map(|p| latencies.value_at_percentile(p) as f64 / 1000.0),
    })
}

/// One task: gets and sets random keys until told to stop. Returns how many, and the times of some.
async fn work<S: Strategy>(
    map: Arc<S>,
    keys: Arc<Vec<String>>,
    value_size: usize,
    sets_percent: u64,
    seed: u64,
    stop: Arc<AtomicBool>,
) -> Result<(u64, Histogram<u64>), String> {
    let mut latencies = histogram()?;
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut count = 0u64;
    // The check comes last, so that even the shortest run counts an operation of every task.
    loop {
        // Xorshift: good enough to pick keys, and a nanosecond.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let key = &keys[(((random >> 32) * keys.len() as u64) >> 32) as usize];
        let is_set = ((random & 0xFFFF) * 100) >> 16 < sets_percent;
        let began = count.is_multiple_of(TIMED_EVERY).then(Instant::now);
        if is_set {
            let value = Value::from(vec![random as u8; value_size]);
            map.set(key, value).await;
        } else if map.get(key).await.is_none() {
            return Err(format!("{} lost the key {key}", S::NAME));
        }
        if let Some(began) = began {
            latencies.saturating_record(began.elapsed().as_nanos() as u64);
        }
        count += 1;
        if stop.load(Ordering::Relaxed) {
            return Ok((count, latencies));
        }
    }
}

fn histogram() -> Result<Histogram<u64>, String> {
    Histogram::new_with_bounds(1, 60_000_000_000, 2).map_err(|why| format!("histogram: {why}"))
}

fn key(n: usize) -> String {
    format!("key:{n:012}")
}

/// The middle of `values`; the mean of the middle two if their number is even; 0 if there is none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// The figures as a Markdown table: throughput in millions a second, and p99.9 of an operation's time.
pub fn table(figures: &[Figure]) -> String {
    let mut tasks: Vec<usize> = figures.iter().map(|f| f.tasks).collect();
    tasks.sort_unstable();
    tasks.dedup();
    let mut out = String::from("| million operations/s (p99.9 of one, us) |");
    for n in &tasks {
        let _ = write!(out, " {n} task{} |", if *n == 1 { "" } else { "s" });
    }
    out.push_str("\n|---|");
    out.push_str(&"---:|".repeat(tasks.len()));
    for row in figures.chunk_by(|a, b| a.strategy == b.strategy) {
        let _ = write!(out, "\n| {} |", row[0].strategy);
        for figure in row {
            let _ = write!(
                out,
                " {:.2} ({}) |",
                figure.throughput / 1e6,
                short(figure.latency_us[2])
            );
        }
    }
    out.push('\n');
    out
}

/// Lines between which `docs/shared-state.md` holds the figures of the last run.
const BEGIN: &str = "<!-- figures: written by the shared-state program -->";
const END: &str = "<!-- end of figures -->";

/// Puts `figures` between the marks in the text of a page, in place of what is there.
pub fn put_into_page(page: &str, figures: &str) -> Result<String, String> {
    let marked = page
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    match marked {
        Some((before, after)) => Ok(format!("{before}{BEGIN}\n\n{figures}\n{END}{after}")),
        None => Err(format!("the page lacks the lines {BEGIN} and {END}")),
    }
}

/// A number with as many decimals as its size calls for.
fn short(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// The figures as CSV, one line each.
pub fn csv(figures: &[Figure]) -> String {
    let mut out = String::from("strategy,tasks,operations_per_second,p50_us,p99_us,p99.9_us\n");
    for figure in figures {
        let [p50, p99, p999] = figure.latency_us;
        let _ = writeln!(
            out,
            "{},{},{:.0},{p50:.3},{p99:.3},{p999:.3}",
            figure.strategy, figure.tasks, figure.throughput
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_page_keeps_what_is_around_the_figures() {
        let page = format!("# Title\n{BEGIN}\nold\n{END}\nText.\n");
        let once = put_into_page(&page, "new\n").expect("marks");
        assert_eq!(once, format!("# Title\n{BEGIN}\n\nnew\n\n{END}\nText.\n"));
        assert_eq!(put_into_page(&once, "new\n"), Ok(once));
        assert!(put_into_page("no marks", "new").is_err());
    }

    #[test]
    fn every_strategy_gets_a_figure_for_every_number_of_tasks() {
        let settings = Settings {
            tasks: vec![1, 3],
            keys: 100,
            value_size: 8,
            sets_percent: 10,
            time: Duration::from_millis(5),
            rounds: 1,
            patience: Duration::ZERO,
        };
        let figures = run(&settings, |_| {}).expect("figures").figures;
        assert_eq!(figures.len(), 2 * STRATEGIES.len());
        assert!(figures.iter().all(|f| f.throughput > 0.0), "{figures:?}");
        assert_eq!(csv(&figures).lines().count(), 1 + figures.len());
        assert_eq!(table(&figures).lines().count(), 2 + STRATEGIES.len());
    }
}
