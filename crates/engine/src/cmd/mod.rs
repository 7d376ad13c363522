//! The commands, a family a file: rows at the top, handlers below.

use crate::context::command::Command;
use store::types::{hash::Hash, list::List, set::Set, sorted_set::SortedSet, stream::Stream};
use store::{Collection, EntryRef, Type};

mod acl;
pub mod bitmap;
pub mod bless;
pub mod client;
mod cluster;
pub mod command;
pub mod command_log;
pub mod config;
pub mod connection;
pub mod debug;
pub mod dump;
mod element_expiry;
#[cfg(test)]
mod event_tests;
#[cfg(test)]
mod event_tests_keys;
pub mod function;
pub mod generic;
pub mod geo;
pub mod hash;
pub mod hash_expiry;
pub mod hotkeys;
pub mod hyperloglog;
pub mod info;
pub mod latency;
pub mod lcs;
pub mod list;
pub mod list_blocking;
pub mod list_move;
pub mod long;
pub mod memory;
pub mod module;
#[cfg(test)]
mod page;
pub mod persistence;
pub mod pubsub;
pub mod replicaof;
pub mod replication;
mod scan_options;
pub mod scripting;
pub mod server;
pub mod set;
pub mod set_combine;
pub mod set_expiry;
pub mod sort;
pub mod sorted_set;
pub mod sorted_set_blocking;
pub mod sorted_set_combine;
pub mod sorted_set_move;
pub mod sorted_set_range;
pub mod stream;
pub mod stream_groups;
pub mod stream_ids;
pub mod stream_info;
mod stream_nack;
mod stream_once;
pub mod stream_read;
pub mod string;
pub mod string_compare;
pub mod string_increx;
pub mod transactions;

/// Every family's rows, in the order COMMAND lists them.
pub const FAMILIES: &[&[Command]] = &[
    connection::COMMANDS,
    client::COMMANDS,
    debug::COMMANDS,
    server::COMMANDS,
    persistence::COMMANDS,
    memory::COMMANDS,
    module::COMMANDS,
    cluster::COMMANDS,
    info::COMMANDS,
    config::COMMANDS,
    acl::COMMANDS,
    command_log::COMMANDS,
    latency::COMMANDS,
    hotkeys::COMMANDS,
    bitmap::COMMANDS,
    string::COMMANDS,
    string_compare::COMMANDS,
    string_increx::COMMANDS,
    list::COMMANDS,
    list_blocking::COMMANDS,
    list_move::COMMANDS,
    hash::COMMANDS,
    hash_expiry::COMMANDS,
    sorted_set::COMMANDS,
    sorted_set_blocking::COMMANDS,
    sorted_set_range::COMMANDS,
    sorted_set_combine::COMMANDS,
    sorted_set_move::COMMANDS,
    set::COMMANDS,
    set_combine::COMMANDS,
    set_expiry::COMMANDS,
    hyperloglog::COMMANDS,
    geo::COMMANDS,
    generic::COMMANDS,
    bless::COMMANDS,
    sort::COMMANDS,
    dump::COMMANDS,
    replicaof::COMMANDS,
    replication::COMMANDS,
    stream::COMMANDS,
    stream_nack::COMMANDS,
    pubsub::COMMANDS,
    transactions::COMMANDS,
    scripting::COMMANDS,
    function::COMMANDS,
    command::COMMANDS,
];

/// The name of a collection's encoding.
fn collection_encoding(e: &EntryRef<'_>) -> &'static str {
    fn of<C: Collection + 'static>(e: &EntryRef<'_>) -> &'static str {
        e.view::<C>().map_or("unknown", C::encoding)
    }
    match e.kind() {
        Type::String => "raw",
        Type::List => of::<List>(e),
        Type::Set => of::<Set>(e),
        Type::SortedSet => of::<SortedSet>(e),
        Type::Hash => of::<Hash>(e),
        Type::Stream => of::<Stream>(e),
    }
}
