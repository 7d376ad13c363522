//! What is to happen after a command, beyond its reply.

use crate::config::host::Wire;
use crate::context::session::Session;
use crate::follow::waiting::Waiter;
use resp::Out;
use std::sync::Arc;
use std::time::Duration;

/// A computation for a helper thread, which writes the command's reply.
pub type Job = Box<dyn FnOnce(&mut Out) + Send>;

/// What a connection is given to that is no client's any more, with its session.
pub type TakeOver = Box<dyn FnOnce(Session, Wire) + Send>;

/// Why a worker returned from a batch.
pub enum Next {
    /// Everything in the batch has been executed, or [`Progress::executed`] commands of it have filled the output: send it
    /// and go on from there.
    Done,
    /// The connection is to be closed once its replies are sent.
    Close,
    /// The connection is to be closed at once.
    CloseNow,
    /// The command at [`Progress::executed`] was not executed, because of CLIENT PAUSE or because its locks could not be had:
    /// try again as soon as the client is woken, and after this long at the latest.
    Retry(Duration),
    /// Run the job on a helper thread; what it writes is the reply of the last command.
    Offload(Job),
    /// The last command blocks: wait until it is served or its time is over (see [`crate::follow::waiting`]).
    Block(Arc<Waiter>),
    /// The command at [`Progress::executed`] is known to be long: run it with `Worker::run_long` of another worker on
    /// a helper thread.
    Elsewhere,
    /// The connection is a client's no more: once its replies are sent, it is to be given away.
    GiveAway(TakeOver),
}

/// How far a batch got.
pub struct Progress {
    /// Index of the first command that was not executed.
    pub executed: usize,
    /// Why it stopped there.
    pub next: Next,
}
