//! `redpoll cli`: a client for people and scripts, in the manner of redis-cli.
//!
//! - [`options`] reads the command line, [`session`] sends commands and keeps what is known of the connection;
//! - [`interactive`] reads lines from a terminal, with [`docs`] for hints and help;
//! - [`mod@format`] and [`quote`] write replies and read words;
//! - [`watch`], [`spectrum`], [`keys`], [`keystats`], [`cache`] and [`transfer`] are the modes that need no command.

mod cache;
mod docs;
mod format;
mod interactive;
mod keys;
mod keystats;
mod options;
mod quote;
mod session;
mod spectrum;
mod transfer;
mod watch;

use crate::link::connection::plain;
use options::Mode;
pub use options::Options;
use session::{Failure, Session};
use std::ffi::OsString;
use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;
pub use watch::Fields;

/// Runs the client. `args` are the words after `redpoll cli`.
///
/// Leaves with status 0, with 1 where the server cannot be reached or something fails, as redis-cli does.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut options = match Options::parse(args, options::auth()) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    match options.mode {
        Mode::Help => {
            print!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Mode::Version => {
            println!("redpoll cli {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    if options.warn_of_password {
        eprintln!(
            "Warning: Using a password with '-a' or '-u' option on the command line interface may not be safe."
        );
    }
    if options.ask_password {
        match ask_password() {
            Ok(password) => options.target.password = Some(password),
            Err(error) => {
                eprintln!("the password: {}", plain(&error));
                return ExitCode::FAILURE;
            }
        }
    }
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Said) => ExitCode::FAILURE,
        Err(Failure::Because(why)) => {
            let _ = std::io::stdout().flush();
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Failure> {
    let mode = options.mode.clone();
    let mut session = Session::new(options);
    match mode {
        Mode::Stat => watch::stat(&mut session),
        Mode::Latency => watch::latency(&mut session),
        Mode::LatencyHistory => watch::latency_history(&mut session),
        Mode::LatencyDist => spectrum::distribution(&mut session),
        Mode::IntrinsicLatency(time) => spectrum::intrinsic(time),
        Mode::Replica => transfer::replica(&mut session),
        Mode::BigKeys => keys::biggest(&mut session, keys::Measure::Elements),
        Mode::MemKeys(samples) => keys::biggest(&mut session, keys::Measure::Memory(samples)),
        Mode::KeyStats(samples) => keystats::report(&mut session, samples),
        Mode::HotKeys(most) => keys::hottest(&mut session, most),
        Mode::LruTest(keys) => cache::simulate(&mut session, keys),
        Mode::Scan => keys::all(&mut session),
        Mode::Pipe => transfer::pipe(&mut session),
        Mode::Rdb(file, only_functions) => transfer::rdb(&mut session, &file, only_functions),
        Mode::Eval(file) => session.eval_file(&file),
        Mode::Help | Mode::Version => Ok(()),
        Mode::Commands => commands(&mut session),
    }
}

fn commands(session: &mut Session) -> Result<(), Failure> {
    let mut args = std::mem::take(&mut session.options.command);
    if args.is_empty() && !session.options.stdin_last {
        return match std::io::stdin().is_terminal() {
            true => interactive::run(session),
            false => session.lines(std::io::stdin().lock()),
        };
    }
    if session.options.quoted_input {
        for arg in &mut args {
            *arg = options::unquote(arg)
                .ok_or_else(|| Failure::from("Invalid quoted string specified for argument"))?;
        }
    }
    if let Some(tag) = session.options.stdin_tag.clone() {
        let place = args
            .iter_mut()
            .find(|arg| **arg == tag)
            .ok_or_else(|| Failure::from("Using -X option but stdin tag not match."))?;
        *place = all_of_stdin()?;
    } else if session.options.stdin_last {
        args.push(all_of_stdin()?);
    }
    session.connect_or_fail()?;
    session.run(&args)
}

fn all_of_stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::from(plain(&error)))?;
    Ok(bytes)
}

/// Reads a password from the terminal, or a line from wherever standard input comes from; nothing is shown of it.
fn ask_password() -> std::io::Result<Vec<u8>> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).ok();
    if let Some(before) = &before {
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    }
    // Only now, so that nobody types before nothing is shown.
    eprint!("Please input password: ");
    let mut line = String::new();
    let read = stdin.read_line(&mut line);
    if let Some(before) = &before {
        tcsetattr(&stdin, OptionalActions::Flush, before)?;
    }
    eprintln!();
    read?;
    Ok(line.trim_end_matches(['\r', '\n']).as_bytes().to_vec())
}
