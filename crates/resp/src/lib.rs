//! RESP, the Redis serialisation protocol, versions 2 and 3: bytes to commands and replies to bytes, without I/O.
//!
//! A server reads whatever its socket has and hands the buffer to [`Batch::fill`], which finds every complete
//! command in it and yields their arguments as slices of that same buffer: nothing is copied and nothing is
//! allocated per command. Executing a command appends its reply to an [`Out`], whose bytes go to the socket in one
//! write. Clients of ours (tests, the load generator) read those replies with [`decode()`] and write requests with
//! [`write_command`]. The number formats that the protocol and its commands share are in [`number`].
//!
//! This crate knows nothing of keys, values or sockets, and contains no unsafe code.

#![forbid(unsafe_code)]

mod bigint;
pub mod decode;
mod integer;
mod long_double;
pub mod number;
mod proto;
pub mod reply;
pub mod request;
mod rounding;
mod shortest;

pub use decode::{DecodeError, Value, decode, skip_reply};
pub use long_double::{LongDouble, LongDoubleError, add_long_double};
pub use number::{format_f64, format_f64_shortest, format_i64, parse_f64, parse_i64};
pub use proto::Proto;
pub use reply::{Mark, Out};
pub use request::{Batch, Limits, Parser, ProtocolError, write_command};
