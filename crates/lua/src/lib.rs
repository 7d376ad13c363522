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
//! Inside, `raw` is Lua's C API with the rules this crate follows, `sandbox` the globals, `api` the table `redis`, `run`
//! one run from the loaded function to the reply, `value` and `reply` the conversions in either direction.
//!
//! Nothing that a script does escapes the server's sight for long: instructions are counted by a hook, which comes the more
//! often the longer they take, and functions that could take long count what they do ([`Server::poll`]).
//!
//! Threads that run scripts need a stack of at least 4 MiB: Lua allows 200 nested calls from C to Lua and back, and some
//! of its library functions keep buffers of 8 KiB on the stack.

mod api;
mod bit;
mod cjson;
mod cmsgpack;
mod ctx;
mod functions;
mod number;
mod pattern;
mod random;
mod raw;
mod reply;
mod run;
mod sandbox;
mod server;
pub mod shebang;
mod strings;
mod structs;
mod tables;
mod value;
mod vm;

pub use functions::FunctionSpec;
pub use run::Ended;
pub use server::{Abort, Interrupt, LogLevel, Server};
pub use shebang::Flags;
pub use vm::{Library, LoadError, Script, Vm};

/// A SHA-1 digest as 40 lower-case hexadecimal digits, by which scripts are known.
pub type Sha = [u8; 40];

/// The digest of a script's body.
pub fn sha1_hex(body: &[u8]) -> Sha {
    hex_of(sha1_smol::Sha1::from(body))
}

fn hex_of(sha: sha1_smol::Sha1) -> Sha {
    let bytes = sha.digest().bytes();
    let mut text = [0; 40];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}
