//! What a running script asks of the outside: the trait [`Server`] and the types it speaks in.

use resp::Out;

/// The script is to be unwound at once, past every `pcall`, up to the caller of the run, which finds no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort;

/// What [`Server::poll`] may want of a running script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// SCRIPT KILL or FUNCTION KILL: the run ends with an error that says so, which the script cannot catch.
    Kill,
    /// As [`Abort`].
    Abort,
}

/// The level of a `redis.log` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `redis.LOG_DEBUG`, 0
    Debug,
    /// `redis.LOG_VERBOSE`, 1
    Verbose,
    /// `redis.LOG_NOTICE`, 2
    Notice,
    /// `redis.LOG_WARNING`, 3
    Warning,
}

/// The outside of a running script.
pub trait Server {
    /// Executes a command (never an empty one) and appends exactly one reply to `reply`, in its protocol. Errors are
    /// replies too, code first: `ERR ...`.
    ///
    /// The protocol is RESP2 unless the script has called `redis.setresp(3)`. After `Err` nothing in `reply` is used.
    fn call(&mut self, argv: &[&[u8]], reply: &mut Out) -> Result<(), Abort>;

    /// The value of a run has this error in it, code first, which is written into its reply. `counted`: it is that of a command,
    /// whose error the server has seen.
    fn replied_error(&mut self, line: &[u8], counted: bool);

    /// `redis.log`: the arguments joined by spaces.
    fn log(&mut self, level: LogLevel, message: &[u8]);

    /// Called from time to time, some ten thousand times a second, so that a script that takes long is noticed and can be ended.
    ///
    /// `ahead`: how many bytes single steps work on that cannot be interrupted, for as long as that is known: megabytes say
    /// that the next call may be late.
    fn poll(&mut self, ahead: usize) -> Option<Interrupt>;

    /// `redis.acl_check_cmd`: whether the user may run the command; None if there is no such command.
    fn acl_check(&mut self, argv: &[&[u8]]) -> Option<bool>;

    /// `redis.set_repl`: whether the writes that follow go to the append-only file and to the replicas.
    fn set_repl(&mut self, aof: bool, replicas: bool);
}
