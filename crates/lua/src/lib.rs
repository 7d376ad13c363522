//! Lua for scripts and functions: a sandboxed PUC Lua 5.1 with the interface Redis gives scripts.
//!
//! The crate knows nothing of keys, connections or threads. A worker has a [`Vm`] and hands it a script with a
//! [`Server`], which executes the script's commands; the script's value is appended to a [`resp::Out`] as a reply.
//! Texts of errors, conversions and libraries (cjson, cmsgpack, struct, bit) are those of Redis 8.2, so that scripts and
//! whoever reads their errors need no change.
//!
//! - [`Vm`] compiles scripts and loads libraries, and runs them;
//! - [`Server`] is what a running script can ask of the outside;
//! - [`shebang`] reads the first lines of scripts and libraries.
//!
//! Inside, `raw` is Lua's C API with the rules this crate follows, `budget` counts how much a run has done, `sandbox` makes the
//! globals, `api` the table `redis`, `run` is one run from the loaded function to the reply, `value` and `reply` are the conversions in
//! either direction.
//!
//! Nothing that a script does escapes the server's sight for long: instructions are counted by a hook, which comes the more
//! often the longer they take, and functions that could take long count what they do ([`Server::poll`]).
//!
//! Threads that run scripts need a stack of at least 4 MiB: Lua allows 200 nested calls from C to Lua and back, and some
//! of its library functions keep buffers of 8 KiB on the stack.

mod api;
mod bit;
mod budget;
mod cjson;
mod cmsgpack;
mod compile;
mod ctx;
mod functions;
mod json_settings;
mod number;
mod pattern;
mod random;
mod raw;
mod readonly;
mod reply;
mod run;
mod sandbox;
mod server;
mod sha;
pub mod shebang;
mod spec;
mod strings;
mod structs;
mod tables;
mod upvalues;
mod value;
mod vm;

pub use run::Ended;
pub use server::{Abort, Interrupt, LogLevel, Server};
pub use sha::{Sha, sha1_hex};
pub use shebang::Flags;
pub use spec::FunctionSpec;
pub use vm::{Library, LoadError, Script, Vm};
