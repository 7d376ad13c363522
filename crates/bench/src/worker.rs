//! The loop of one thread: its own poll, its own connections, its own histogram.
//!
//! Threads share a phase (set by the coordinator), and each publishes how many replies it has seen in a counter of
//! its own; nothing else is shared while the load runs.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::connect::Stream;
use crate::skip::Skipper;
use crate::template::{Source, Template};

/// What the workers are doing. Goes up only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// The load runs, nothing is recorded yet.
    Warmup,
    /// The load runs and is recorded.
    Measure,
    /// No new requests.
    Stop,
}

/// The phase all workers look at.
pub struct SharedPhase(AtomicU8);

impl SharedPhase {
    /// Begins in `phase`.
    pub fn new(phase: Phase) -> SharedPhase {
        SharedPhase(AtomicU8::new(phase as u8))
    }

    /// Moves on to `phase`.
    pub fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    fn get(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::Warmup,
            1 => Phase::Measure,
            _ => Phase::Stop,
        }
    }
}

/// A counter alone on its cache lines, so that one thread's counting does not slow another's.
#[repr(align(128))]
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// What has been counted so far, warm-up included.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Error replies by their first word (`ERR`, `WRONGTYPE`, `OOM` ...).
#[derive(Clone, Debug, Default)]
pub struct Errors {
    /// All of them.
    pub total: u64,
    /// By first word.
    pub by_code: BTreeMap<String, u64>,
    /// The text of the first one.
    pub first: Option<String>,
}

impl Errors {
    fn note(&mut self, text: &[u8]) {
        self.total += 1;
        let code = text.split(|&b| b == b' ').next().unwrap_or_default();
        let code = String::from_utf8_lossy(&code[..code.len().min(32)]);
        match self.by_code.get_mut(code.as_ref()) {
            Some(count) => *count += 1,
            None => {
                self.by_code.insert(code.into_owned(), 1);
            }
        }
        if self.first.is_none() {
            self.first = Some(String::from_utf8_lossy(text).into_owned());
        }
    }

    /// Adds the errors of another thread.
    pub fn merge(&mut self, other: Errors) {
        self.total += other.total;
        for (code, count) in other.by_code {
            *self.by_code.entry(code).or_default() += count;
        }
        self.first = self.first.take().or(other.first);
    }
}

/// What one thread does.
pub struct Job<'a> {
    /// Its connections, greeted.
    pub streams: Vec<Stream>,
    /// Commands and weights.
    pub commands: &'a [(Template, u32)],
    /// What placeholders are filled with.
    pub source: Source,
    /// Requests under way on each connection.
    pub pipeline: u32,
    /// Requests to send once the measurement begins; `u64::MAX` for as many as fit in the time.
    pub quota: u64,
    /// Requests due per second on this thread, if the loop is open.
    pub rate: Option<f64>,
    /// What to do.
    pub phase: &'a SharedPhase,
    /// Where answered requests are counted.
    pub counter: &'a Counter,
    /// Connections that have subscribed, whose messages are counted and dropped.
    pub subscribers: Vec<Stream>,
    /// Where those messages are counted.
    pub deliveries: &'a Counter,
}

/// What one thread saw during the measurement.
pub struct Seen {
    /// Latencies in nanoseconds.
    pub latencies: Histogram<u64>,
    /// Error replies.
    pub errors: Errors,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// When the last reply came.
    pub ended: Instant,
}

/// Longest latency the histogram tells apart: longer ones count as this long.
const LONGEST: u64 = 3_600_000_000_000;

/// An empty histogram of latencies in nanoseconds: three significant digits from 1 ns to an hour.
pub fn histogram() -> Result<Histogram<u64>, String> {
    Histogram::new_with_bounds(1, LONGEST, 3).map_err(|why| format!("histogram: {why}"))
}

/// How long replies may still come in after the end of a timed run. They are not recorded; waiting for them spares
/// the server writes to closed sockets.
const DRAIN: Duration = Duration::from_secs(1);

/// Wakes up at least this often to look at the phase.
const TICK: Duration = Duration::from_millis(50);

/// Bytes asked for in one read.
const READ_SIZE: usize = 64 * 1024;

struct Connection {
    stream: Stream,
    skipper: Skipper,
    /// Requests rendered and not yet written from `written` on.
    out: Vec<u8>,
    written: usize,
    /// Requests that are not answered yet, oldest first.
    under_way: VecDeque<UnderWay>,
    in_flight: u32,
}

/// Requests that were sent at the same time and are not answered yet.
struct UnderWay {
    /// When they were sent (or due).
    at: u64,
    /// How many they are.
    requests: u32,
    /// Replies that each of them gets.
    replies: u32,
    /// Replies to the oldest of them that have come.
    came: u32,
}

/// A connection that has subscribed.
struct Subscriber {
    stream: Stream,
    /// Bytes of messages that have come.
    received: u64,
    /// Finds the end of the first message, as long as no connection has had a whole one.
    skipper: Skipper,
}

/// Runs `job` to its end. The error is one line for the user.
pub fn run(job: Job<'_>) -> Result<Seen, String> {
    #[cfg(target_os = "linux")]
    if job.rate.is_some() {
        // Waits end on time, not up to 50 us late. Where that is refused they are late, and no more than that.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    }
    let mut worker = Worker::new(job)?;
    worker.run()?;
    Ok(worker.seen)
}

struct Worker<'a> {
    poll: Poll,
    connections: Vec<Connection>,
    commands: &'a [(Template, u32)],
    total_weight: u64,
    source: Source,
    pipeline: u32,
    quota: u64,
    /// Requests that may still be begun.
    remaining: u64,
    schedule: Option<Schedule>,
    shared: &'a SharedPhase,
    phase: Phase,
    counter: &'a Counter,
    completed: u64,
    /// Requests that are not answered, over all connections.
    in_flight: u64,
    subscribers: Vec<Subscriber>,
    /// Bytes of a message; 0 until a whole one has come.
    message_size: u64,
    /// Messages that have come to the subscribers.
    delivered: u64,
    deliveries: &'a Counter,
    /// All times are nanoseconds since this.
    epoch: Instant,
    seen: Seen,
    buf: Vec<u8>,
}

/// When the requests of an open loop are due.
struct Schedule {
    interval: f64,
    next: u64,
    /// The connection whose turn it is.
    turn: usize,
}

impl Schedule {
    /// When request number `next` is due.
    fn due(&self) -> u64 {
        (self.next as f64 * self.interval) as u64
    }
}

impl<'a> Worker<'a> {
    fn new(job: Job<'a>) -> Result<Worker<'a>, String> {
        let poll = Poll::new().map_err(|why| format!("cannot poll: {why}"))?;
        let mut connections = Vec::with_capacity(job.streams.len());
        for (n, mut stream) in job.streams.into_iter().enumerate() {
            stream
                .register(poll.registry(), Token(n))
                .map_err(|why| format!("cannot poll a connection: {why}"))?;
            connections.push(Connection {
                stream,
                skipper: Skipper::default(),
                out: Vec::new(),
                written: 0,
                under_way: VecDeque::new(),
                in_flight: 0,
            });
        }
        let mut subscribers = Vec::with_capacity(job.subscribers.len());
        for (n, mut stream) in job.subscribers.into_iter().enumerate() {
            stream
                .register(poll.registry(), Token(connections.len() + n))
                .map_err(|why| format!("cannot poll a connection: {why}"))?;
            subscribers.push(Subscriber {
                stream,
                received: 0,
                skipper: Skipper::default(),
            });
        }
        let phase = job.phase.get();
        Ok(Worker {
            poll,
            connections,
            total_weight: job.commands.iter().map(|&(_, w)| u64::from(w)).sum(),
            commands: job.commands,
            source: job.source,
            pipeline: job.pipeline,
            quota: job.quota,
            remaining: if phase == Phase::Measure {
                job.quota
            } else {
                u64::MAX
            },
            schedule: job.rate.map(|rate| Schedule {
                interval: 1e9 / rate,
                next: 0,
                turn: 0,
            }),
            shared: job.phase,
            phase,
            counter: job.counter,
            completed: 0,
            in_flight: 0,
            subscribers,
            message_size: 0,
            delivered: 0,
            deliveries: job.deliveries,
            epoch: Instant::now(),
            seen: Seen {
                latencies: histogram()?,
                errors: Errors::default(),
                sent: 0,
                received: 0,
                ended: Instant::now(),
            },
            buf: vec![0; READ_SIZE],
        })
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    fn run(&mut self) -> Result<(), String> {
        let mut events = Events::with_capacity(1024);
        if self.schedule.is_none() {
            for n in 0..self.connections.len() {
                let now = self.now();
                self.next_batch(n, now)?;
            }
        }
        let mut stopped = None;
        loop {
            self.look_at_phase();
            if self.phase == Phase::Stop || self.remaining == 0 {
                let since = *stopped.get_or_insert_with(Instant::now);
                if self.in_flight == 0 || (self.phase == Phase::Stop && since.elapsed() > DRAIN) {
                    break;
                }
            }
            let wait = self.send_due()?.unwrap_or(TICK);
            let whole = Duration::from_millis(wait.as_millis() as u64);
            if whole.is_zero() {
                self.nap(wait)?;
            }
            match self.poll.poll(&mut events, Some(whole)) {
                Ok(()) => {}
                Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
                Err(why) => return Err(format!("cannot poll: {why}")),
            }
            for event in &events {
                let n = event.token().0;
                if let Some(subscriber) = n.checked_sub(self.connections.len()) {
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        self.read_messages(subscriber)?;
                    }
                    continue;
                }
                if event.is_writable() && self.has_unwritten(n) {
                    self.write(n)?;
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.read(n)?;
                }
            }
        }
        Ok(())
    }

    /// Waits for events for less than a millisecond. The poll itself waits in whole milliseconds, and to spin instead
    /// would take a core from a server on the same machine.
    fn nap(&self, wait: Duration) -> Result<(), String> {
        let mut events = [PollFd::new(self.poll.registry(), PollFlags::IN)];
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: wait.subsec_nanos().into(),
        };
        match rustix::event::poll(&mut events, Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(why) => Err(format!("cannot poll: {why}")),
        }
    }

    /// Takes note of what the coordinator wants. At the beginning of the measurement what was seen so far is
    /// forgotten.
    fn look_at_phase(&mut self) {
        let phase = self.shared.get();
        if phase == self.phase {
            return;
        }
        if self.phase == Phase::Warmup && phase == Phase::Measure {
            self.seen.errors = Errors::default();
            self.seen.sent = 0;
            self.seen.received = 0;
            self.remaining = self.quota;
        }
        self.phase = phase;
    }

    fn may_begin(&self) -> bool {
        self.remaining > 0 && self.phase != Phase::Stop
    }

    /// Closed loop: sends a full pipeline on connection `n`, whose replies have all come.
    fn next_batch(&mut self, n: usize, now: u64) -> Result<(), String> {
        self.look_at_phase();
        if !self.may_begin() {
            return Ok(());
        }
        let count = u64::from(self.pipeline).min(self.remaining);
        for _ in 0..count {
            let replies = self.render(n);
            self.begun(n, now, replies);
        }
        self.write(n)
    }

    /// Open loop: sends what is due, as far as connections have room. Returns how long to wait for events: nothing
    /// is due before that.
    fn send_due(&mut self) -> Result<Option<Duration>, String> {
        let Some(mut schedule) = self.schedule.take() else {
            return Ok(None);
        };
        let mut wait = TICK;
        let connections = self.connections.len();
        let mut dirty = Vec::new();
        while self.may_begin() {
            let due = schedule.due();
            let now = self.now();
            if due > now {
                wait = TICK.min(Duration::from_nanos(due - now));
                break;
            }
            let Some(n) = (0..connections)
                .map(|step| (schedule.turn + step) % connections)
                .find(|&n| self.connections[n].in_flight < self.pipeline)
            else {
                break;
            };
            schedule.turn = (n + 1) % connections;
            schedule.next += 1;
            let replies = self.render(n);
            self.begun(n, due, replies);
            if dirty.last() != Some(&n) {
                dirty.push(n);
            }
        }
        self.schedule = Some(schedule);
        for n in dirty {
            self.write(n)?;
        }
        Ok(Some(wait))
    }

    /// Appends one request to the output of connection `n`. Returns how many replies it gets.
    fn render(&mut self, n: usize) -> u32 {
        let template = match self.commands {
            [(only, _)] => only,
            several => {
                let mut at = self.source.below(self.total_weight);
                let mut chosen = &several[0].0;
                for (template, weight) in several {
                    chosen = template;
                    match at.checked_sub(u64::from(*weight)) {
                        Some(rest) => at = rest,
                        None => break,
                    }
                }
                chosen
            }
        };
        template.render(&mut self.source, &mut self.connections[n].out);
        template.replies()
    }

    /// Takes note of a request on connection `n` that gets `replies` replies.
    fn begun(&mut self, n: usize, at: u64, replies: u32) {
        let connection = &mut self.connections[n];
        match connection.under_way.back_mut() {
            Some(last) if last.at == at && last.replies == replies => last.requests += 1,
            _ => connection.under_way.push_back(UnderWay {
                at,
                requests: 1,
                replies,
                came: 0,
            }),
        }
        connection.in_flight += 1;
        self.in_flight += 1;
        self.remaining -= 1;
    }

    fn has_unwritten(&self, n: usize) -> bool {
        let connection = &self.connections[n];
        connection.written < connection.out.len()
    }

    /// Writes what connection `n` has to send, until the socket takes no more.
    fn write(&mut self, n: usize) -> Result<(), String> {
        let connection = &mut self.connections[n];
        while connection.written < connection.out.len() {
            match connection
                .stream
                .write(&connection.out[connection.written..])
            {
                Ok(count) => {
                    connection.written += count;
                    self.seen.sent += count as u64;
                }
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(format!("cannot send: {why}")),
            }
        }
        connection.out.clear();
        connection.written = 0;
        Ok(())
    }

    /// Reads what connection `n` has received. Events are edge-triggered: a read that fills the buffer is followed by
    /// another, a shorter one has emptied the socket.
    fn read(&mut self, n: usize) -> Result<(), String> {
        loop {
            let connection = &mut self.connections[n];
            let count = match connection.stream.read(&mut self.buf) {
                Ok(0) => return Err("the server closed a connection".to_string()),
                Ok(count) => count,
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
                Err(why) => return Err(format!("cannot receive: {why}")),
            };
            self.seen.received += count as u64;
            let errors = &mut self.seen.errors;
            let replies = connection
                .skipper
                .feed(&self.buf[..count], |text| errors.note(text))
                .map_err(|why| why.to_string())?;
            if replies > 0 {
                self.received(n, replies)?;
            }
            if count < self.buf.len() {
                return Ok(());
            }
        }
    }

    /// Records `replies` on connection `n` and goes on with its next requests.
    fn received(&mut self, n: usize, mut replies: u32) -> Result<(), String> {
        let now = self.now();
        let connection = &mut self.connections[n];
        let mut answered = 0;
        while replies > 0 {
            let Some(oldest) = connection.under_way.front_mut() else {
                return Err("the server sent more replies than there were requests".to_string());
            };
            let ended = ((oldest.came + replies) / oldest.replies).min(oldest.requests);
            if self.phase == Phase::Measure && ended > 0 {
                let latency = now.saturating_sub(oldest.at).max(1);
                self.seen
                    .latencies
                    .saturating_record_n(latency, u64::from(ended));
            }
            answered += ended;
            if ended == oldest.requests {
                replies -= ended * oldest.replies - oldest.came;
                connection.under_way.pop_front();
            } else {
                oldest.came = oldest.came + replies - ended * oldest.replies;
                oldest.requests -= ended;
                replies = 0;
            }
        }
        connection.in_flight -= answered;
        let all_answered = connection.in_flight == 0;
        self.completed += u64::from(answered);
        self.counter.0.store(self.completed, Ordering::Relaxed);
        self.in_flight -= u64::from(answered);
        if self.remaining == 0 && self.in_flight == 0 {
            self.seen.ended = Instant::now();
        }
        if all_answered && self.schedule.is_none() {
            self.next_batch(n, now)?;
        }
        Ok(())
    }

    /// Counts the messages that subscriber `n` has received.
    ///
    /// There may be a hundred of them for each request, so they are not parsed: all of them have the length of the
    /// first, and it is enough to see that one begins where it should in each read.
    fn read_messages(&mut self, n: usize) -> Result<(), String> {
        loop {
            let subscriber = &mut self.subscribers[n];
            let count = match subscriber.stream.read(&mut self.buf) {
                Ok(0) => return Err("the server closed a subscriber's connection".to_string()),
                Ok(count) => count,
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
                Err(why) => return Err(format!("cannot receive: {why}")),
            };
            let bytes = &self.buf[..count];
            if self.message_size == 0 {
                self.message_size = first_message(subscriber, bytes)?;
            }
            let before = subscriber.received;
            subscriber.received += count as u64;
            if self.message_size > 0 {
                let size = self.message_size;
                let next = before.next_multiple_of(size) - before;
                if bytes.get(next as usize).is_some_and(|&byte| byte != b'*') {
                    return Err("the messages to subscribers differ in length".to_string());
                }
                self.delivered += subscriber.received / size - before / size;
                self.deliveries.0.store(self.delivered, Ordering::Relaxed);
            }
            if count < self.buf.len() {
                return Ok(());
            }
        }
    }
}

/// Length of the first message to `subscriber`, which `bytes` go on with; 0 if they do not reach its end.
fn first_message(subscriber: &mut Subscriber, bytes: &[u8]) -> Result<u64, String> {
    for (at, byte) in bytes.iter().enumerate() {
        let ended = subscriber
            .skipper
            .feed(std::slice::from_ref(byte), |_| {})
            .map_err(|why| why.to_string())?;
        if ended > 0 {
            return Ok(subscriber.received + at as u64 + 1);
        }
    }
    Ok(0)
}
