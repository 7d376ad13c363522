//! One stage of a run (loading, or warm-up and measurement): starts the workers, moves them through the phases,
//! samples the processes that are watched, and merges what the workers saw.

use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{Plan, Until};
use crate::connect;
use crate::draw::Distribution;
use crate::process::{self, Usage};
use crate::template::{Source, Template};
use crate::worker::{self, Counter, Errors, Job, Phase, Seen, SharedPhase};

/// Requests under way on a connection while loading.
const LOAD_PIPELINE: u32 = 256;
/// Connections of a thread while loading, at most.
const LOAD_CONNECTIONS: usize = 8;
/// How often the progress bar moves.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// What a stage sends and for how long.
pub struct Stage {
    /// Name for the progress bar.
    label: &'static str,
    commands: Vec<(Template, u32)>,
    distribution: Distribution,
    connections: usize,
    subscribers: usize,
    pipeline: u32,
    /// Requests of each thread, or the time for all.
    until: StageUntil,
    warmup: Duration,
    rate: Option<f64>,
}

enum StageUntil {
    Requests(Vec<u64>),
    Elapsed(Duration),
}

impl Stage {
    /// Sends `template` until every key has been used, in order.
    pub fn load(plan: &Plan, template: &Template) -> Stage {
        let requests = shares(plan.fill.keys, plan.threads)
            .map(|keys| keys.div_ceil(template.keys().max(1)))
            .collect();
        Stage {
            label: "load",
            commands: vec![(template.clone(), 1)],
            distribution: Distribution::Sequential,
            connections: plan.connections.min(plan.threads * LOAD_CONNECTIONS),
            subscribers: 0,
            pipeline: LOAD_PIPELINE.max(plan.pipeline),
            until: StageUntil::Requests(requests),
            warmup: Duration::ZERO,
            rate: None,
        }
    }

    /// Sends what the plan asks to measure.
    pub fn measure(plan: &Plan) -> Stage {
        Stage {
            label: "run",
            commands: plan.commands.clone(),
            distribution: plan.distribution,
            connections: plan.connections,
            subscribers: plan.subscribers,
            pipeline: plan.pipeline,
            until: match plan.until {
                Until::Requests(n) => StageUntil::Requests(shares(n, plan.threads).collect()),
                Until::Elapsed(time) => StageUntil::Elapsed(time),
            },
            warmup: plan.warmup,
            rate: plan.rate,
        }
    }
}

/// Splits `n` into `parts` numbers that differ by at most one.
fn shares(n: u64, parts: usize) -> impl Iterator<Item = u64> {
    let cut = move |part: usize| (u128::from(n) * part as u128 / parts as u128) as u64;
    (0..parts).map(move |part| cut(part + 1) - cut(part))
}

/// A watched process before and after.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// Its process id.
    pub pid: u32,
    /// At the beginning of the measurement.
    pub before: Usage,
    /// At its end.
    pub after: Usage,
}

/// What a stage measured.
pub struct Outcome {
    /// Requests answered.
    pub requests: u64,
    /// Messages that subscribers received, if there were any subscribers.
    pub delivered: Option<u64>,
    /// How long it took.
    pub elapsed: Duration,
    /// Latencies in nanoseconds.
    pub latencies: Histogram<u64>,
    /// Error replies.
    pub errors: Errors,
    /// Bytes sent to the server.
    pub sent: u64,
    /// Bytes received from it.
    pub received: u64,
    /// CPU time of the load generator itself, where the system tells it.
    pub own_cpu: Option<Duration>,
    /// The watched processes.
    pub servers: Vec<Watched>,
}

/// Usage of the watched processes and of this one, and the replies so far: one edge of the measurement.
struct Edge {
    servers: Vec<Usage>,
    own: Option<Usage>,
    completed: u64,
    delivered: u64,
    at: Instant,
}

/// What the threads count while they run, one of each for each thread.
struct Counters {
    answered: Vec<Counter>,
    delivered: Vec<Counter>,
}

impl Counters {
    fn new(threads: usize) -> Counters {
        let counters = || (0..threads).map(|_| Counter::default()).collect();
        Counters {
            answered: counters(),
            delivered: counters(),
        }
    }

    /// Requests answered so far.
    fn answered(&self) -> u64 {
        self.answered.iter().map(Counter::get).sum()
    }

    /// Messages delivered so far.
    fn delivered(&self) -> u64 {
        self.delivered.iter().map(Counter::get).sum()
    }
}

impl Edge {
    fn now(plan: &Plan, counters: &Counters) -> Result<Edge, String> {
        let servers = plan
            .server_pids
            .iter()
            .map(|&pid| process::usage(pid))
            .collect::<Result<_, _>>()?;
        Ok(Edge {
            servers,
            own: process::usage(std::process::id()).ok(),
            completed: counters.answered(),
            delivered: counters.delivered(),
            at: Instant::now(),
        })
    }
}

/// Runs `stage`. The error is one line for the user.
pub fn run(plan: &Plan, stage: &Stage) -> Result<Outcome, String> {
    let threads = plan.threads;
    let mut streams = connect::open(&plan.address, &plan.greeting, stage.connections)?;
    let mut subscribers =
        connect::open(&plan.address, &plan.subscribers_greeting, stage.subscribers)?;
    let first_phase = if stage.warmup.is_zero() {
        Phase::Measure
    } else {
        Phase::Warmup
    };
    let phase = SharedPhase::new(first_phase);
    let counters = Counters::new(threads);
    let quotas: Vec<u64> = match &stage.until {
        StageUntil::Requests(of_threads) => of_threads.clone(),
        StageUntil::Elapsed(_) => vec![u64::MAX; threads],
    };
    let longest_value = stage
        .commands
        .iter()
        .map(|(template, _)| template.longest_value())
        .max()
        .unwrap_or(0);
    let mut jobs = Vec::with_capacity(threads);
    let share_out = shares(stage.connections as u64, threads)
        .zip(shares(stage.subscribers as u64, threads))
        .zip(quotas);
    for (thread, ((count, subscribed), quota)) in share_out.enumerate() {
        let keep = streams.len() - count as usize;
        let keep_subscribers = subscribers.len() - subscribed as usize;
        jobs.push(Job {
            streams: streams.split_off(keep),
            subscribers: subscribers.split_off(keep_subscribers),
            deliveries: &counters.delivered[thread],
            commands: &stage.commands,
            source: Source::new(
                &plan.fill,
                stage.distribution,
                plan.seed,
                thread as u64,
                threads as u64,
                longest_value,
            ),
            pipeline: stage.pipeline,
            quota,
            rate: stage.rate.map(|rate| rate / threads as f64),
            phase: &phase,
            counter: &counters.answered[thread],
        });
    }

    thread::scope(|scope| {
        let (report, reports) = mpsc::channel();
        let mut from = Edge::now(plan, &counters)?;
        for job in jobs {
            let report = report.clone();
            thread::Builder::new()
                .name("bench".to_string())
                .spawn_scoped(scope, move || {
                    // The coordinator may have given up already, and then nobody waits for this.
                    let _ = report.send(worker::run(job));
                })
                .map_err(|why| {
                    phase.set(Phase::Stop);
                    format!("cannot start a thread: {why}")
                })?;
        }
        drop(report);
        let mut collector = Collector {
            reports,
            left: threads,
            merged: None,
        };
        let outcome = conduct(plan, stage, &phase, &counters, &mut from, &mut collector);
        phase.set(Phase::Stop);
        let to = outcome?;
        let seen = collector.finish()?;
        let end = match stage.until {
            StageUntil::Requests(_) => seen.ended,
            StageUntil::Elapsed(_) => to.at,
        };
        Ok(Outcome {
            requests: to.completed - from.completed,
            delivered: (stage.subscribers > 0).then(|| to.delivered - from.delivered),
            elapsed: end.saturating_duration_since(from.at),
            latencies: seen.latencies,
            errors: seen.errors,
            sent: seen.sent,
            received: seen.received,
            own_cpu: from.own.zip(to.own).map(|(from, to)| to.cpu_since(&from)),
            servers: plan
                .server_pids
                .iter()
                .zip(from.servers.iter().zip(&to.servers))
                .map(|(&pid, (&before, &after))| Watched { pid, before, after })
                .collect(),
        })
    })
}

/// Takes the workers through warm-up and measurement. Returns the end of the measurement; its beginning is in `from`.
fn conduct(
    plan: &Plan,
    stage: &Stage,
    phase: &SharedPhase,
    counters: &Counters,
    from: &mut Edge,
    collector: &mut Collector,
) -> Result<Edge, String> {
    let completed = || counters.answered();
    if !stage.warmup.is_zero() {
        let bar = progress("warm-up", stage.warmup.as_millis() as u64);
        let end = from.at + stage.warmup;
        while collector.wait(end.min(Instant::now() + PROGRESS_EVERY))? {
            if Instant::now() >= end {
                break;
            }
            bar.set_position(from.at.elapsed().as_millis() as u64);
            bar.set_message(rate(completed(), from.at.elapsed()));
        }
        bar.finish_and_clear();
        *from = Edge::now(plan, counters)?;
        phase.set(Phase::Measure);
    }
    let length = match &stage.until {
        StageUntil::Requests(of_threads) => of_threads.iter().sum(),
        StageUntil::Elapsed(time) => time.as_millis() as u64,
    };
    let bar = progress(stage.label, length);
    loop {
        let mut until = Instant::now() + PROGRESS_EVERY;
        if let StageUntil::Elapsed(time) = stage.until {
            until = until.min(from.at + time);
        }
        let running = collector.wait(until)?;
        let elapsed = from.at.elapsed();
        let over = match stage.until {
            StageUntil::Requests(_) => false,
            StageUntil::Elapsed(time) => elapsed >= time,
        };
        if over || !running {
            bar.finish_and_clear();
            return Edge::now(plan, counters);
        }
        let requests = completed() - from.completed;
        bar.set_position(match stage.until {
            StageUntil::Requests(_) => requests,
            StageUntil::Elapsed(_) => elapsed.as_millis() as u64,
        });
        bar.set_message(rate(requests, elapsed));
    }
}

/// Receives what the workers saw as they end.
struct Collector {
    reports: mpsc::Receiver<Result<Seen, String>>,
    left: usize,
    merged: Option<Seen>,
}

impl Collector {
    /// Waits until `until` or until all workers have ended; says whether any still runs.
    fn wait(&mut self, until: Instant) -> Result<bool, String> {
        while self.left > 0 {
            let patience = until.saturating_duration_since(Instant::now());
            match self.reports.recv_timeout(patience) {
                Ok(report) => self.take(report?)?,
                Err(RecvTimeoutError::Timeout) => return Ok(true),
                Err(RecvTimeoutError::Disconnected) => return Err(died()),
            }
        }
        Ok(false)
    }

    /// Waits for all workers.
    fn finish(mut self) -> Result<Seen, String> {
        while self.left > 0 {
            let report = self.reports.recv().map_err(|_| died())?;
            self.take(report?)?;
        }
        self.merged.ok_or_else(died)
    }

    fn take(&mut self, seen: Seen) -> Result<(), String> {
        self.left -= 1;
        match &mut self.merged {
            None => self.merged = Some(seen),
            Some(merged) => {
                merged
                    .latencies
                    .add(&seen.latencies)
                    .map_err(|why| format!("histogram: {why}"))?;
                merged.errors.merge(seen.errors);
                merged.sent += seen.sent;
                merged.received += seen.received;
                merged.ended = merged.ended.max(seen.ended);
            }
        }
        Ok(())
    }
}

fn died() -> String {
    "a thread of the load generator ended without a report".to_string()
}

/// A progress bar on standard error, or a hidden one if that is no terminal.
fn progress(label: &'static str, length: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{prefix:8} [{bar:40}] {percent:>3}%  {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(label);
    bar
}

fn rate(requests: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(1e-9);
    format!("{:.0} requests/s", requests as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_are_even() {
        for (n, parts) in [(10, 3), (3, 3), (1, 4), (0, 2), (u64::MAX, 7)] {
            let shares: Vec<u64> = shares(n, parts).collect();
            assert_eq!(shares.len(), parts);
            assert_eq!(
                shares.iter().map(|&s| u128::from(s)).sum::<u128>(),
                u128::from(n)
            );
            let (low, high) = (shares.iter().min(), shares.iter().max());
            assert!(high.unwrap_or(&0) - low.unwrap_or(&0) <= 1, "{shares:?}");
        }
    }
}
