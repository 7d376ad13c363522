//! Redpoll as a library: the database that the server serves, inside your program.
//!
//! A [`Db`] is cheap to clone and can be used from any number of threads and tasks at once. It needs no runtime, no
//! socket and no configuration file:
//!
//! ```
//! use redpoll::{Config, Db};
//! use std::time::Duration;
//!
//! let db = Db::open(Config::default())?;
//! db.set("user:1", "Ada")?;
//! db.set_for("session:1", "user:1", Duration::from_secs(3600))?;
//! assert_eq!(db.get("user:1")?.unwrap(), "Ada");
//! assert_eq!(db.incr("visits")?, 1);
//! db.hset("user:1:profile", "born", 1815)?;
//! db.zadd("best", "user:1", 99.5)?;
//!
//! // Every command of the server, with its own syntax:
//! use redpoll::Value;
//! assert_eq!(db.execute(["STRLEN", "user:1"])?, Value::Int(3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Two ways in
//! *Typed calls* take and return types of Rust. Those on strings ([`Db::get`], [`Db::set`], [`Db::incr`] ...), and those
//! that look at one element of a collection ([`Db::hget`], [`Db::sismember`], [`Db::zscore`], [`Db::llen`] ...), go straight to the
//! key: hash, lock, look, copy out. A hit takes some tens of nanoseconds, and what it takes to find the element in a large
//! collection. *Commands* ([`Db::execute`]) go through the same
//! dispatch as those of the server's clients, in some hundreds; so do the other typed calls, which put a command
//! together and read its reply. Both ways work on the same data, obey the same expiries and pauses, and count towards the same
//! hits and misses; commands also appear in INFO's command statistics.
//!
//! | | calls |
//! |---|---|
//! | keys | [`Db::exists`], [`Db::del`], [`Db::expire`], [`Db::scan`], [`Db::dump`], [`Db::sort`], [`Db::bless`] ... |
//! | strings | [`Db::get`], [`Db::set_with`], [`Db::mget`], [`Db::setbit`], [`Db::pfadd`], [`Db::increx`], [`Db::delex`] ... |
//! | hashes | [`Db::hset`], [`Db::hgetall`], [`Db::hscan`]; fields that expire: [`Db::hexpire`], [`Db::hsetex`] ... |
//! | lists | [`Db::lpush`], [`Db::rpop`], [`Db::lrange`], [`Db::lmove`], [`Db::lmovem`] ... |
//! | sets | [`Db::sadd`], [`Db::sinter`], [`Db::spop`]; members that expire: [`Db::sexpire`], [`Db::saddex`] ... |
//! | sorted sets | [`Db::zadd`], [`Db::zrange`], [`Db::zunionstore`], [`Db::zmove`]; places: [`Db::geoadd`], [`Db::geosearch`] ... |
//! | streams | [`Db::xadd`], [`Db::xread`], [`Db::xtrim`]; groups: [`Db::xgroup_create`], [`Db::xreadgroup`], [`Db::xnack`] ... |
//!
//! Calls are named after commands. Where a command takes one element or several, there are two calls, `sadd` and
//! `sadd_many`; where it has many options, they are a type of their own, such as [`ZRange`] or [`XAdd`]. A call with no elements at
//! all does nothing.
//!
//! # Several calls at one moment
//! [`Db::update`] lets a closure make any typed calls on the keys that it names, and nobody sees a state in between. What
//! needs no decision has calls of its own, such as [`Db::mset`] and [`Db::lmove`]; a [`Script`] does the same in Lua.
//!
//! # Errors
//! Every call returns a [`Result`]. An [`Error`] is the error reply that a client would get, and has a [kind](ErrorKind). A key
//! that holds another type than a call works on is [`ErrorKind::WrongType`], and nothing has changed then. A key that does not
//! exist is no error: it counts as empty. (For consumer groups it is one: a stream or a group that is not there is
//! [`ErrorKind::NoGroup`].) What would refuse a client's command refuses a typed call: writes while changes cannot be kept in
//! files are [`ErrorKind::Misconf`], and a call that a script keeps waiting for longer than `busy-reply-threshold` is
//! [`ErrorKind::Busy`]. No call panics.
//!
//! # Waiting
//! [`Db::blpop`] and its kin, and [`XRead::block`] and [`XReadGroup::block`], wait for something to take. They put the
//! calling thread to sleep; in async code each has a twin that is a future, such as [`Db::blpop_async`], for any runtime. So is
//! [`Subscriber::next`]. Whoever has waited longest for a key is served first, be it a caller or a client of the server. A `timeout` of `None` waits as
//! long as it takes, and a call that is not served in time has an empty result. Times are whole milliseconds, at least one.
//!
//! # Keeping the data
//! [`Db::open`] of a path keeps the data in that folder: every change is appended to a log, and the next `open` finds all of them,
//! however the program ended. [`Files`] says more: how durable ([`Durability`]), and who is told how far loading is. A handle
//! may ask for more than the log does by itself ([`Db::with_durability`]). Dropping the last handle writes all that is left.
//! [`Db::save`] writes a snapshot, [`Db::rewrite`] makes the log short again (it also does so by itself). While changes cannot be kept, because the
//! disk is full or failing, calls that change something are errors of the kind [`ErrorKind::Misconf`].
//!
//! # One database, one server
//! A server that runs in the same program (crate `redpoll-server`) gives a handle to the data that it serves, so that
//! a program can serve its data to Redis clients and use it itself at the price of a function call.
//!
//! # Features
//! | | |
//! |---|---|
//! | `bytes` | values from and to `bytes::Bytes`, without a copy where they are long |
//! | `files` | keeping the data in a folder; on by default |
//! | `replication` | following a server ([`Db::replicate`]), with `files`; on by default |
//! | `serde` | values of any type as JSON: `Db::get_json`, `Db::set_json` and the same for fields |
//!
//! # Locks
//! Keys are spread over shards, each behind a lock that is held for the nanoseconds that a change takes; typed calls that
//! only read mostly need none, so that readers on several cores do not slow each other down. No lock is ever held
//! while code of yours runs, but for that of an update, which can make no call that would wait: [`Db::get_with`] calls its closure
//! after letting go. So nothing you do in a closure, be it another call, can deadlock, and calls may be made from async tasks: they never wait longer than another thread's access.
//! (Those that are there for waiting are marked so: [`Db::blpop`] and its kin, [`XRead::block`] and [`XReadGroup::block`].)
//! (The exceptions are commands that are long by nature, like KEYS on a large database.)

#![forbid(unsafe_code)]

mod bitmaps;
mod blocking;
mod bytes;
mod call;
mod config;
mod connection;
mod counters;
mod db;
#[doc(hidden)]
pub mod door;
mod dump;
mod durability;
mod element_scan;
mod error;
mod expiry;
mod files;
mod geo;
mod hash_expiry;
mod hashes;
mod hyperloglog;
#[cfg(feature = "serde")]
mod json;
mod kept;
mod keys;
mod list_moves;
mod lists;
mod pubsub;
#[cfg(feature = "replication")]
mod replicate;
mod reply;
mod scan;
mod script;
mod set_expiry;
mod sets;
mod shared;
mod sort;
mod sorted_set_moves;
mod sorted_set_ranges;
mod sorted_sets;
mod stream_groups;
mod stream_id;
mod stream_info;
mod stream_pending;
mod streams;
mod string_compare;
mod strings;
mod threads;
mod timer;
mod update;
mod updating;
mod value;
mod waiting;
mod way;

pub use bitmaps::{BitField, BitOp, Overflow};
pub use bytes::{Bytes, Payload};
pub use call::Decode;
pub use config::Config;
pub use connection::Connection;
pub use counters::{IncrEx, Increment};
pub use db::Db;
pub use dump::Restore;
pub use durability::Durability;
pub use element_scan::ElementScan;
pub use error::{Error, ErrorKind, Result};
pub use expiry::{ExpireIf, Ttl};
pub use files::{Files, LoadProgress, Open};
pub use geo::{Center, GeoHit, GeoPoint, GeoSearch, Unit};
pub use hash_expiry::{Expire, FieldExpire, HSetEx};
pub use hashes::Sample;
pub use keys::Type;
pub use list_moves::LMoveM;
pub use lists::{End, LPos};
pub use pubsub::{Message, Subscriber};
pub use scan::Scan;
pub use script::{Script, ScriptCall};
pub use set_expiry::SAddEx;
pub use sort::Sort;
pub use sorted_set_ranges::{Aggregate, ZCombine, ZRange};
pub use sorted_sets::{Extreme, ZAdd};
pub use stream_groups::{ClaimedEntry, GroupStart, XReadGroup};
pub use stream_id::StreamId;
pub use stream_info::{
    ConsumerInfo, ConsumerInfoFull, Delivery, GroupInfo, GroupInfoFull, StreamInfo, StreamInfoFull,
};
pub use stream_pending::{AutoClaimed, Nack, PendingEntry, PendingSummary, XClaim, XPending};
pub use streams::{Deletion, References, StreamEntry, Trim, XAdd, XRead};
pub use string_compare::{Compare, MSetEx};
pub use strings::SetOptions;
pub use update::Update;
pub use value::Value;
pub use waiting::Waiting;
pub use way::{Direct, InUpdate};
