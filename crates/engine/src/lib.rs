//! What commands mean.
//!
//! The engine takes requests that are already parsed and executes them on the keyspace: [`dispatch`] runs them,
//! [`cmd`] holds the commands by family, [`context`] is what a handler works with, [`table`] says what a command is.
//! It is synchronous, knows nothing of sockets, and asks its [`Host`] for the little it needs from outside.

mod acl;
mod base;
mod bridge;
mod client;
mod cmd;
pub mod config;
mod context;
mod direct;
mod dispatch;
mod door;
mod evict;
mod follow;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod insight;
#[cfg(test)]
mod journal_tests;
pub mod ops;
mod script;
mod start;
mod table;
#[cfg(test)]
mod testing;
mod upkeep;

pub use base::clock::unix_ms;
pub use base::error::{Error, Result};
pub use base::histogram::{Bounds, Total as Times};
pub use base::hot::{HotKey, HotKeys, MEASURES, Measure};
pub use base::journal::put_command;
pub use base::loading::{LoadProgress, Loading, OnLoad};
pub use base::log_queue::LogQueue;
pub use base::pressure::Pressure;
pub use base::process::{
    CLOSE_BEHIND, CpuTime, FAR_BEHIND, ShortTurn, stand_behind_workers, wait_for_turn,
};
pub use base::random::random_bytes;
pub use base::replication::{
    Announced, CHANGES_HELD, FAILING_OVER, Filter, NO_STREAM_ID, READ_ONLY_REPLICA, STALE_REPLICA,
    STOPPING, Standing, StreamIds, StreamWish, TOO_FEW_REPLICAS, new_stream_id,
};
pub use base::stats::Counters;
pub use base::version::{REDIS_VERSION, VERSION};
pub use base::wait_list::{InLine, WaitList};
pub use client::clients::{Client, Clients, Kind, Origin};
pub use config::Config;
pub use config::host::{
    Failover, Host, InSync, Migration, NoHost, OnFailure, OnFate, Persistence, Reload, Replication,
    RoleReport, SaveMode, ShutdownMode, StreamMemory, Tell, Wire,
};
pub use context::engine::Engine;
pub use context::gate::Intent;
pub use context::next::{Job, Next, Progress, TakeOver};
pub use context::running::{describe as describe_running, here as running_here};
pub use context::session::Session;
pub use context::shards::ShardFigures;
pub use dispatch::update::Update;
pub use dispatch::worker::Worker;
pub use door::change::Event;
pub use door::keys::Keys;
pub use follow::command_log::{Entry as LogEntry, Kind as LogKind};
pub use follow::messages::Kind as Subscription;
pub use follow::waiting::{GiveUp, Waiter};
pub use insight::{
    ClientFigures, CommandFigures, DbFigures, Figures, MemoryFigures, ScriptFigures,
};
pub use lua::sha1_hex;
pub use start::command_docs;
pub use table::row::{CHANGES_SESSION, Group};
pub use upkeep::load::{Hints, NewKey};
pub use upkeep::sweep::Maintenance;
