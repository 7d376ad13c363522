//! Files of RDB: a header, entries, what is to be known beside them, a checksum.
//!
//! **Reading** is cut in two, so that several threads can share it. A [`Scanner`] is fed bytes and finds where entries begin
//! and end, without building any value; it hands out [`Batch`]es of whole entries, which own their bytes and can go to any
//! thread. There, an [`Entry`] becomes a value with [`Entry::load`]. A large collection comes in pieces of some megabytes, each
//! a batch of its own, which an [`Assembly`] puts together: nobody needs to hold the whole of it as bytes.
//! [`Reader`] joins a scanner with anything that can be read, for those who want one item after the other; [`check()`] says what
//! a file holds.
//!
//! **Writing**: a [`Writer`] begins and ends a file and keeps the checksum of what passes through. Entries are written with
//! [`crate::encode`] into buffers, by any thread, and handed to it.
//!
//! Nothing read is trusted: memory grows with bytes that have come, never with what they announce.

mod batch;
mod check;
mod error;
mod reader;
mod scanner;
mod shape;
mod show;
mod writer;

pub use batch::{Assembly, Batch, Built, Entry, Item, Items, Piece, Place};
pub use check::{Database, Report, TypeCount, check, kind_name, type_of};
pub use error::{Error, What};
pub use reader::Reader;
pub use scanner::{Checksum, ReadOptions, Scanner, Step, Summary};
pub use show::show;
pub use writer::Writer;
