//! Going on in the background (`daemonize`).
//!
//! The process is forked at its very beginning, when it has one thread, holds no lock and has no data: a server that serves never forks.
//! The one that was started waits for the other to say that it listens, so that whoever starts a server sees whether it did.

use rustix::process::setsid;
use std::fs::File;
use std::io::{self, PipeWriter, Read, Write};
use std::process::ExitCode;

/// Who is who after a fork.
pub enum Role {
    /// The process that was started: it is to end like this.
    Started(ExitCode),
    /// The one that goes on.
    Background(Background),
}

/// A process in the background that has not said yet that it serves. If it ends before, whoever waits for it is told.
pub struct Background(PipeWriter);

/// Forks. Only while the process has one thread.
pub fn begin() -> io::Result<Role> {
    if threads() != 1 {
        return Err(io::Error::other("the process has several threads already"));
    }
    let (mut reader, writer) = io::pipe()?;
    // SAFETY: the process has one thread, so that the new one finds no lock that somebody else of the old one holds, and may go on with
    // all of the program.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(reader);
            setsid()?;
            rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
            rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
            Ok(Role::Background(Background(writer)))
        }
        _ => {
            drop(writer);
            let mut said = [0];
            // It says one byte, or ends; then it has written why.
            let ready = reader.read_exact(&mut said).is_ok();
            Ok(Role::Started(match ready {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }))
        }
    }
}

impl Background {
    /// The server listens. What it has to say from now on goes to its logs.
    pub fn ready(mut self) -> io::Result<()> {
        rustix::stdio::dup2_stderr(File::options().write(true).open("/dev/null")?)?;
        // Nobody may be waiting any more.
        let _ = self.0.write_all(&[1]);
        Ok(())
    }
}

/// Threads of this process, as far as the system tells.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, |tasks| tasks.count())
}
