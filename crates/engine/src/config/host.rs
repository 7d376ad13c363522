//! The world outside the engine, as far as a command may ask something of it.
//!
//! The engine executes commands and knows nothing of sockets, signals or processes. What a few commands need of those
//! (SHUTDOWN, CONFIG SET port, INFO's section on the server) they ask of a `Host`: the network server implements it, a
//! program that embeds the engine may use [`NoHost`].

use crate::base::replication::StreamWish;
use crate::config::Config;
use std::any::Any;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

/// What SHUTDOWN was asked to do with the data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaveMode {
    /// What the configuration says.
    #[default]
    Configured,
    /// Write a snapshot first.
    Save,
    /// Write none.
    NoSave,
}

/// The options of SHUTDOWN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownMode {
    /// SAVE, NOSAVE or neither.
    pub save: SaveMode,
    /// NOW: wait neither for replicas to have what was changed, nor for clients to take their replies.
    pub now: bool,
    /// FORCE: stop even when something that should come first fails.
    pub force: bool,
}

/// Told that something comes to nothing, and why.
pub type OnFailure = Box<dyn FnOnce(&str) + Send>;

/// What the engine's surroundings can do for a command. Every method is called from a worker and must not block long.
pub trait Host: Send + Sync {
    /// Begins an orderly stop, or joins the one that is under way, and returns at once. `failed` is called if it comes to nothing, with
    /// the text to answer, without its code; not while this is called. The error is that text of a host that cannot be stopped by a
    /// client.
    fn shutdown(&self, mode: ShutdownMode, failed: OnFailure) -> Result<(), String>;

    /// SHUTDOWN ABORT: gives up a stop that is under way. False: there is none, or it is too late.
    fn abort_shutdown(&self) -> bool {
        false
    }

    /// Puts a directive's new value into effect; `config` has it already.
    ///
    /// An error is the reason CONFIG SET gives; the value is then set back, and `applied` called again for the old one.
    fn applied(&self, directive: &str, config: &Config) -> Result<(), String>;

    /// This server follows a primary from now on, or does not any more.
    fn role_changed(&self, is_replica: bool, config: &Config) {
        let _ = (is_replica, config);
    }

    /// Replaces a configuration file as a whole or not at all by what `change` makes of its text; of one that is not there,
    /// of an empty text. Not called from a worker. The error is the reason.
    fn replace_config(&self, path: &Path, change: &dyn Fn(&str) -> String) -> Result<(), String> {
        let _ = (path, change);
        Err("the program that embeds this database keeps its configuration".into())
    }

    /// Appends the host's lines, each ending in CR LF, to a section of INFO. `section` is its name in lower case.
    fn info(&self, section: &str, into: &mut String);

    /// Restarts the counters that [`Host::info`] reports (CONFIG RESETSTAT).
    fn reset_stats(&self) {}

    /// The calling thread will be in the middle of a command for long: whatever else it has to do is to be done by others from
    /// now on. False if there is nobody, or nothing else that it would do (it is not a worker).
    fn hand_over(&self) -> bool {
        false
    }

    /// The contents of a file. The error is what the system says.
    fn read_file(&self, _path: &Path) -> Result<Vec<u8>, String> {
        Err("this program reads no files for its database".into())
    }

    /// Replaces a file, or makes it: as a whole or not at all. The error is what the system says.
    fn replace_file(&self, _path: &Path, _contents: &[u8]) -> Result<(), String> {
        Err("this program writes no files for its database".into())
    }

    /// The name of the allocator, if it is known.
    fn allocator(&self) -> Option<&str> {
        None
    }

    /// The allocator's own statistics, for people, if it keeps any. May take long.
    fn allocator_stats(&self) -> Option<String> {
        None
    }

    /// Has memory that is freed from now on go back to the system after so many milliseconds, or after the usual while. Costs nothing
    /// to call.
    fn give_back_after(&self, ms: Option<u32>) {
        let _ = ms;
    }

    /// Has all threads that execute commands give the memory that was freed back to the system, this one first. Returns
    /// when they have, or after a moment if one of them is busy; false if the host cannot do that. Not called from a worker.
    fn give_back_memory(&self) -> bool {
        false
    }
}

/// What DEBUG RELOAD is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Save a snapshot first.
    pub save: bool,
    /// Remove all keys before it is loaded.
    pub flush: bool,
    /// What is loaded takes the place of keys that are there.
    pub merge: bool,
}

/// How to tell somebody of something who may have given up waiting for it.
pub struct Tell {
    waiter: Weak<dyn Any + Send + Sync>,
    tell: Box<dyn FnOnce() + Send>,
}

impl Tell {
    /// `tell` is called as long as this waiter is there.
    pub fn new<W: Send + Sync + 'static>(
        waiter: &Arc<W>,
        tell: impl FnOnce(&Arc<W>) + Send + 'static,
    ) -> Tell {
        let weak = Arc::downgrade(waiter);
        Tell {
            waiter: weak.clone(),
            tell: Box::new(move || {
                if let Some(waiter) = weak.upgrade() {
                    tell(&waiter);
                }
            }),
        }
    }

    /// Whether anybody still waits.
    pub fn is_wanted(&self) -> bool {
        self.waiter.strong_count() > 0
    }

    /// Tells it.
    pub fn tell(self) {
        (self.tell)();
    }
}

/// Told whether a piece of the journal is on the disk, or never will be.
pub type OnFate = Box<dyn FnOnce(bool) + Send>;

/// Who keeps the data in files. The engine opens none; what commands ask of files they ask of this. Errors are texts to
/// answer, without their code.
pub trait Persistence: Send + Sync {
    /// SAVE: writes a snapshot and returns when it is on the disk. Not called from a worker.
    fn save(&self) -> Result<(), String>;

    /// The same before the server stops: a snapshot that is being written in the background is given up for it.
    fn save_before_stop(&self) -> Result<(), String>;

    /// BGSAVE: begins a snapshot; what to answer. `schedule`: it may begin later, if something else is being written.
    fn save_in_background(&self, schedule: bool) -> Result<&'static str, String>;

    /// BGSAVE CANCEL.
    fn cancel_save(&self) -> Result<&'static str, String>;

    /// BGREWRITEAOF: begins to write the log anew; what to answer.
    fn rewrite(&self) -> Result<&'static str, String>;

    /// DEBUG RELOAD: loads the snapshot while there are clients, who get LOADING meanwhile. Not called from a worker.
    fn reload(&self, how: Reload) -> Result<(), String>;

    /// DEBUG LOADAOF: the same with the log.
    fn load_log(&self) -> Result<(), String>;

    /// When the last save ended well, in Unix seconds.
    fn last_save_s(&self) -> u64;

    /// Gives the log what the [journal](crate::base::journal) has now, for somebody who is about to wait for it.
    fn commit(&self);

    /// Whether a piece of the journal is as durable as was promised; the waker is woken when that is decided. An error: it
    /// never will be, and why.
    fn poll_durable(&self, piece: u64, waker: &Waker) -> Poll<Result<(), String>>;

    /// Whether there is a log (`appendonly yes`).
    fn has_log(&self) -> bool;

    /// Whether a piece of the journal is on the disk, whatever was promised. 0 is the piece of who has changed nothing.
    fn is_on_disk(&self, piece: u64) -> bool;

    /// Calls `tell` once it is known what became of a piece, whatever was promised. Not while this is called.
    fn when_on_disk(&self, piece: u64, tell: OnFate);

    /// Has a piece, and all before it, on the disk before it returns, whatever was promised; 0: all that there is. Not called from a worker.
    fn sync(&self, piece: u64) -> Result<(), String>;

    /// Writes the log anew and returns when that is done. Not called from a worker.
    fn rewrite_now(&self) -> Result<(), String>;

    /// Whether replies to changes wait until these are durable (`appendfsync always`).
    fn promises(&self) -> bool;

    /// Another data set is about to take the place of this one, with all locks held: what is being written of it can no longer be
    /// completed.
    fn data_set_replaced(&self);

    /// All databases are about to lose their keys (FLUSHALL), with all locks held: a file of what they held is of no use. Whether a
    /// snapshot of what is left is wanted ([`Persistence::save_flushed`]): there are save points.
    fn all_flushed(&self) -> bool;

    /// Writes a snapshot after FLUSHALL, so that a start does not find what was flushed, and returns when it is on the disk; not called from
    /// a worker then. With `later` it is only begun, as soon as nothing else is being written.
    fn save_flushed(&self, later: bool);

    /// CONFIG SET dir: files are in this folder from the moment on at which `enter` makes it the working directory. An error: they stay
    /// where they are, and why.
    fn move_to(&self, folder: &Path, enter: &dyn Fn() -> Result<(), String>) -> Result<(), String>;

    /// Puts a directive's new value into effect; `config` has it already. An error is the reason CONFIG SET gives.
    fn applied(&self, directive: &str, config: &Config) -> Result<(), String>;

    /// Appends its lines, each ending in CR LF, to INFO's section on persistence.
    fn info(&self, into: &mut String);
}

/// A connection that is no client's any more: plain bytes both ways. Reading and writing wait, each on a thread of its own.
pub struct Wire {
    /// What comes. 0 bytes: the other side has ended it. `WouldBlock` or `TimedOut`: nothing came for about a second.
    pub reader: Box<dyn Read + Send>,
    /// What goes. `WouldBlock` or `TimedOut`: nothing was taken for about a second, and the same is to be tried again.
    pub writer: Box<dyn Write + Send>,
    /// Ends both, from any thread, whatever they are waiting for.
    pub close: Arc<dyn Fn() + Send + Sync>,
    /// What has come and was not looked at.
    pub unread: Vec<u8>,
}

/// How FAILOVER goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failover {
    /// The replica that is to be the primary; None: the one that has everything first.
    pub to: Option<(String, u16)>,
    /// Go on when the time is over, though the replica lacks something.
    pub force: bool,
    /// How long to wait for the replica, in milliseconds; 0: as long as it takes.
    pub timeout_ms: u64,
}

/// What MIGRATE is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The other server.
    pub host: String,
    /// Its port; None if what was given is none, where nobody can be reached.
    pub port: Option<u16>,
    /// Its database, which is for it to judge.
    pub to_db: i64,
    /// The keys' database here.
    pub from_db: usize,
    /// How long it may take to answer.
    pub timeout_ms: u64,
    /// The keys stay here.
    pub copy: bool,
    /// Keys that are there are replaced.
    pub replace: bool,
    /// Who one is there; None for the default user.
    pub user: Option<Vec<u8>>,
    /// With which password, if with any.
    pub password: Option<Vec<u8>>,
    /// The keys.
    pub keys: Vec<Vec<u8>>,
}

/// How many replicas have all there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InSync {
    /// Those that do.
    pub replicas: usize,
    /// All that follow.
    pub of: usize,
}

/// What ROLE tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleReport {
    /// Its offset; of each replica the address, the port and the offset that it has acknowledged.
    Primary(u64, Vec<(String, u16, u64)>),
    /// The primary's address and port, the state of the link to it (`connect`, `connecting`, `sync`, `connected`), and the
    /// offset up to which its stream was carried out, -1 if none.
    Replica(String, u16, &'static str, i64),
}

/// Bytes of memory that are kept for replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamMemory {
    /// The backlog: what is kept of the stream in any case.
    pub backlog: usize,
    /// What else of the stream a replica still has to be sent.
    pub waiting: usize,
    /// Memory of the stream that has been sent, and is kept for some time for what comes next.
    pub spare: usize,
    /// Copies of the data set that replicas still have to be sent.
    pub copies: usize,
    /// The replicas' connections, which are among the clients too.
    pub clients: usize,
}

impl StreamMemory {
    /// All of the stream.
    pub fn stream(&self) -> usize {
        self.backlog + self.waiting + self.spare
    }

    /// What replicas that are connected have to themselves: what they still have to be sent, and their connections.
    pub(crate) fn of_replicas(&self) -> usize {
        self.waiting + self.copies + self.clients
    }

    /// What is there for replicas that are behind, and goes once they are not: neither backlog nor connections.
    pub fn behind(&self) -> usize {
        self.waiting + self.spare + self.copies
    }
}

/// Who speaks to primaries and to replicas. The engine opens no connection; what commands ask of other servers they ask of
/// this. Errors are whole replies, with their code, but without the dash.
pub trait Replication: Send + Sync {
    /// REPLICAOF: follows the primary at this host and port, or none. Returns at once. What to answer after the plus.
    fn follow(&self, primary: Option<(&str, u16)>) -> Result<&'static str, String>;

    /// MIGRATE: moves keys to another server, and returns when that is done. What to answer after the plus. No lock of the keyspace
    /// may be held, and not on a worker.
    fn migrate(&self, what: &Migration) -> Result<&'static str, String>;

    /// FAILOVER: begins to give the role of the primary to a replica, and returns at once.
    fn failover(&self, how: Failover) -> Result<(), String>;

    /// FAILOVER ABORT. `waits`: it is over when this returns, for which no lock of the keyspace may be held, and not on a worker.
    fn abort_failover(&self, waits: bool) -> Result<(), String>;

    /// Whether a FAILOVER is under way.
    fn is_failing_over(&self) -> bool;

    /// Whether a client may have the stream now (PSYNC, SYNC). Its connection is handed over then, with [`Replication::take`].
    fn admit(&self, wish: &StreamWish) -> Result<(), String>;

    /// Takes the connection of a client that was admitted, and answers it. `keep`, its session, is dropped when it has ended.
    fn take(&self, keep: Box<dyn Any + Send>, client: u64, wish: StreamWish, wire: Wire);

    /// How many replicas have a piece of the journal; `on_disk`: on their disks.
    fn acknowledged(&self, piece: u64, on_disk: bool) -> usize;

    /// Tells somebody once so many replicas have a piece of the journal. Not while this is called. The replicas are asked at
    /// once how far they are.
    fn when_acknowledged(&self, piece: u64, replicas: usize, on_disk: bool, tell: Tell);

    /// Replicas that follow this server, a primary or a replica itself, and have their copy of the data set.
    fn replicas_online(&self) -> usize;

    /// Waits until all replicas that follow have all there is, for this long at most, and no longer once that is given up. Changes are
    /// held back, and on a replica the stream of its primary. Not called from a worker.
    fn wait_for_replicas(&self, most: Duration, given_up: &dyn Fn() -> bool) -> InSync;

    /// Has who waits so look whether that is given up.
    fn look_again(&self);

    /// What ROLE tells.
    fn role(&self) -> RoleReport;

    /// Appends its lines, each ending in CR LF, to INFO's section on replication.
    fn info(&self, into: &mut String);

    /// Copies of the data set that replicas got, how often one could go on without, and how often one that wanted to could not.
    fn syncs(&self) -> [u64; 3];

    /// CONFIG RESETSTAT: begins to count them anew.
    fn reset_syncs(&self);

    /// Bytes that are kept for replicas.
    fn memory(&self) -> StreamMemory;

    /// Notes with each client that is a replica what it still has to be sent, for who is about to look at clients.
    fn look_at_replicas(&self);

    /// The stream gets another name, and those who follow it have to take a copy of the data set anew (DEBUG CHANGE-REPL-ID).
    fn rename_stream(&self);

    /// Puts a directive's new value into effect; `config` has it already. An error is the reason CONFIG SET gives.
    fn applied(&self, directive: &str, config: &Config) -> Result<(), String>;
}

/// The host of an engine that is not behind a network server.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn shutdown(&self, _mode: ShutdownMode, _failed: OnFailure) -> Result<(), String> {
        Err("the program that embeds this database decides when it ends".into())
    }

    fn applied(&self, _directive: &str, _config: &Config) -> Result<(), String> {
        Ok(())
    }

    fn info(&self, _section: &str, _into: &mut String) {}
}
