//! Replication in the protocol of Redis and Valkey: this server as a primary that others follow, and as a replica of another.
//!
//! A [`Hub`] joins engine and keeper with sockets. The *stream* is what the primary of a chain did, as commands; it is the same,
//! byte for byte and with the same offsets, on all servers of the chain ([`stream`]). A primary's is made of the pieces of its
//! journal, the ones its log gets too. A replica's is what it got from its primary, verbatim: its own journal feeds its log and
//! nothing else.
//!
//! All of this is synchronous: sockets that wait, each with threads of its own, which are few. So it serves the network server and
//! a program that the engine is part of alike. While nobody follows, and nobody has lately, nothing of it runs: the journal is
//! off, unless there is a log.
//!
//! | room | what |
//! |---|---|
//! | [`spool`] | bytes written once and read by several, in memory and beyond that on the disk: the backlog, and copies on their way |
//! | [`stream`] | the stream, its names and offsets |
//! | [`wire`] | connections to other servers |
//! | [`replica`] | whom this server follows |
//! | `primary` | who follows this server: copies of the data set, what they miss, what they acknowledge |
//! | `migrate` | keys that are moved to another server |
//! | `hub` | all of it, as the engine and the keeper see it |

mod hub;
mod migrate;
mod primary;
pub mod replica;
mod spool;
pub mod stream;
pub mod wire;

pub use hub::Hub;
