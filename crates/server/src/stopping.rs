//! A stop that is under way, from its beginning until nobody can give it up any more.
//!
//! It has up to two steps, for which a thread of its own waits while the server goes on to serve. First replicas get all there is, and
//! meanwhile changes are put off. Then what is to be saved is, as long as a stop can still be refused because that fails. Signals and
//! SHUTDOWN come here; who comes later joins in, as with real servers, whatever his own words say. After that the control thread is told to
//! end the server, and what changes until then is saved by who ends the program.

use crate::listen::Listener;
use engine::{Engine, InSync, OnFailure, STOPPING, SaveMode, ShutdownMode};
use parking_lot::Mutex;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// What SHUTDOWN answers if the server goes on; the log says more.
const FAILED: &str = "Errors trying to SHUTDOWN. Check logs.";

/// What the control thread is told.
pub(crate) enum Order {
    /// Stop; `now` gives clients no time to take their replies.
    Stop { now: bool },
    /// Listen on these sockets from now on and no others.
    Listen(Vec<Arc<Listener>>),
}

/// See the module's page.
#[derive(Default)]
pub(crate) struct Stopping {
    orders: OnceLock<UnboundedSender<Order>>,
    engine: OnceLock<Weak<Engine>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Stops begun so far.
    begun: u64,
    /// The one that is under way and may still come to nothing.
    underway: Option<Underway>,
    /// The control thread has been told how the server ends.
    end: Option<End>,
}

struct Underway {
    number: u64,
    /// How long replicas are waited for, if they are.
    until: Option<Instant>,
    /// Who is told if the server goes on.
    told: Vec<OnFailure>,
}

/// How the server is to end.
#[derive(Clone, Copy, Debug, Default)]
pub struct End {
    /// What SHUTDOWN said, or the directive of the signal.
    pub mode: ShutdownMode,
    /// How long replicas get for what came after all, when nobody is served any more. None: they have been waited for, and those who
    /// did not answer are not asked again.
    pub patience: Option<Duration>,
}

impl Stopping {
    /// From now on there is a server that can be stopped. False: there was one already.
    pub fn start(&self, engine: &Arc<Engine>, orders: UnboundedSender<Order>) -> bool {
        self.engine.set(Arc::downgrade(engine)).is_ok() && self.orders.set(orders).is_ok()
    }

    /// Sends the control thread an order; false if there is no server, or it has stopped.
    pub fn order(&self, order: Order) -> bool {
        self.orders
            .get()
            .is_some_and(|orders| orders.send(order).is_ok())
    }

    /// How the server ends, once it does.
    pub fn end(&self) -> End {
        self.state.lock().end.unwrap_or_default()
    }

    /// Whether a stop is under way that may still come to nothing.
    pub fn is_underway(&self) -> bool {
        self.state.lock().underway.is_some()
    }

    /// Ends the server with no further steps.
    ///
    /// # Errors
    /// There is none, or it has ended.
    pub fn leave(&self, end: End) -> Result<(), String> {
        let mut state = self.state.lock();
        state.end = Some(end);
        // Who has waited for it so far sees the end of his connection.
        state.underway = None;
        match self.order(Order::Stop { now: end.mode.now }) {
            true => Ok(()),
            false => Err("the server is not running".into()),
        }
    }

    /// Begins a stop, or joins the one that is under way. `told` is told if the server goes on, unless this fails.
    ///
    /// # Errors
    /// There is no server, or it has ended.
    pub fn begin(
        self: &Arc<Stopping>,
        mode: ShutdownMode,
        told: Option<OnFailure>,
    ) -> Result<(), String> {
        let engine = self.engine.get().and_then(Weak::upgrade);
        let engine = engine.ok_or("the server is not running")?;
        let patience = patience(&engine, mode);
        let online = || engine.replication().map_or(0, |r| r.replicas_online());
        let waits = !patience.is_zero() && online() > 0;
        let saves = saves_before(&engine, mode);
        let mut state = self.state.lock();
        if let Some(underway) = &mut state.underway {
            underway.told.extend(told);
            return Ok(());
        }
        if state.end.is_some() {
            return Ok(());
        }
        if !waits && !saves {
            drop(state);
            let patience = Some(patience);
            return self.leave(End { mode, patience });
        }
        state.begun += 1;
        let number = state.begun;
        state.underway = Some(Underway {
            number,
            until: waits.then(|| Instant::now() + patience),
            told: told.into_iter().collect(),
        });
        engine.standing.close(STOPPING, waits);
        drop(state);
        let this = self.clone();
        let stop = move || {
            let all = !waits || this.replicas_have_all(&engine, number, patience);
            let patience = all.then_some(patience);
            this.save_and_leave(&engine, number, End { mode, patience }, saves);
        };
        let spawned = std::thread::Builder::new().name("stop".into()).spawn(stop);
        if let Err(error) = spawned {
            self.give_up(number, &format!("there is no thread for it: {error}"));
        }
        Ok(())
    }

    /// SHUTDOWN ABORT. False: there is nothing to give up.
    pub fn abort(&self) -> bool {
        let number = self.state.lock().underway.as_ref().map(|it| it.number);
        let Some(number) = number else { return false };
        self.end_underway(number, || {
            tracing::info!("Shutdown manually aborted: the server goes on");
        })
    }

    /// A line of INFO while replicas are waited for.
    pub fn info(&self, into: &mut String) {
        let state = self.state.lock();
        if let Some(until) = state.underway.as_ref().and_then(|it| it.until) {
            let left = until.saturating_duration_since(Instant::now());
            let _ = write!(into, "shutdown_in_milliseconds:{}\r\n", left.as_millis());
        }
    }

    fn is_given_up(&self, number: u64) -> bool {
        let state = self.state.lock();
        state.underway.as_ref().map(|it| it.number) != Some(number)
    }

    /// Whether all replicas have all there is.
    fn replicas_have_all(&self, engine: &Engine, number: u64, patience: Duration) -> bool {
        let Some(replication) = engine.replication() else {
            return true;
        };
        tracing::info!("Waiting for replicas before the server stops");
        let given_up = || self.is_given_up(number);
        let InSync { replicas, of } = replication.wait_for_replicas(patience, &given_up);
        if !given_up() {
            tracing::info!("{replicas} of {of} replicas are in sync when shutting down");
        }
        replicas == of
    }

    /// The last step, unless the stop was given up meanwhile.
    fn save_and_leave(&self, engine: &Engine, number: u64, end: End, saves: bool) {
        let keeper = engine.persistence().filter(|_| saves);
        if self.is_given_up(number) {
            return;
        }
        if let Some(Err(why)) = keeper.map(|keeper| keeper.save_before_stop()) {
            let why = format!("the data set cannot be saved, so the server goes on: {why}");
            return self.give_up(number, &why);
        }
        let mut state = self.state.lock();
        if state.underway.as_ref().map(|it| it.number) == Some(number) {
            // Changes stay put off: who has waited for them sees the end of his connection.
            (state.underway, state.end) = (None, Some(end));
            self.order(Order::Stop { now: end.mode.now });
        }
    }

    /// The server goes on.
    fn give_up(&self, number: u64, why: &str) {
        self.end_underway(number, || {
            tracing::warn!("Errors trying to shut down: {why}");
        });
    }

    /// `say` comes first: who is told may look into the log. Whether it was this one that ended.
    fn end_underway(&self, number: u64, say: impl FnOnce()) -> bool {
        let engine = self.engine.get().and_then(Weak::upgrade);
        let told = {
            let mut state = self.state.lock();
            match state.underway.take_if(|it| it.number == number) {
                Some(underway) => {
                    if let Some(engine) = &engine {
                        engine.standing.close(STOPPING, false);
                    }
                    underway.told
                }
                None => return false,
            }
        };
        say();
        told.into_iter().for_each(|tell| tell(FAILED));
        if let Some(replication) = engine.as_ref().and_then(|e| e.replication()) {
            replication.look_again();
        }
        true
    }
}

/// How long replicas and clients get.
fn patience(engine: &Engine, mode: ShutdownMode) -> Duration {
    let seconds = engine.config().live.shutdown_timeout_s.load(Relaxed);
    match mode.now {
        true => Duration::ZERO,
        false => Duration::from_secs(seconds),
    }
}

/// Whether something is to be saved before a stop, which is given up if that fails: not if the stop goes on whatever happens.
fn saves_before(engine: &Engine, mode: ShutdownMode) -> bool {
    let saves = match mode.save {
        // Half a data set does not take the place of the whole one.
        _ if engine.loading.is_on() => false,
        SaveMode::Save => true,
        SaveMode::NoSave => false,
        SaveMode::Configured => !engine.config().text("save").is_empty(),
    };
    saves && !mode.force && engine.persistence().is_some()
}
