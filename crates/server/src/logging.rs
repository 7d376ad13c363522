//! Log lines in the form operators of redis-server know, `123:M 22 Nov 2026 20:00:57.220 * Ready to accept connections`.
//!
//! The code logs through `tracing`. A program that embeds the server installs whatever subscriber it likes; the binary
//! installs this one. The marks `. - * #` stand for the levels debug, verbose, notice and warning, which here are
//! `tracing`'s TRACE, DEBUG, INFO and WARN (or ERROR).

use engine::config::Config;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// Changes the level of the installed subscriber.
#[derive(Clone, Debug)]
pub struct LogLevel(reload::Handle<LevelFilter, Registry>);

impl LogLevel {
    /// Sets the level by its name in `loglevel`.
    pub fn set(&self, name: &str) {
        // Fails only when the subscriber is gone, and with it all logging.
        let _ = self.0.reload(filter(name));
    }
}

fn filter(name: &str) -> LevelFilter {
    match name {
        "debug" => LevelFilter::TRACE,
        "verbose" => LevelFilter::DEBUG,
        "warning" => LevelFilter::WARN,
        "nothing" => LevelFilter::OFF,
        _ => LevelFilter::INFO,
    }
}

/// Makes `loglevel` and `logfile` true for the whole process.
///
/// Fails if the file cannot be opened, or if the process has a subscriber already.
pub fn install(config: &Config) -> io::Result<LogLevel> {
    let target = match config.logfile() {
        Some(path) => {
            let path = std::path::absolute(&path)?;
            append(&path)?;
            Target::File(path)
        }
        None => Target::Stdout,
    };
    let (level, handle) = reload::Layer::new(filter(&config.loglevel()));
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Lines)
        .with_writer(target)
        .with_ansi(false);
    tracing_subscriber::registry()
        .with(level)
        .with(lines)
        .try_init()
        .map_err(io::Error::other)?;
    log_panics();
    Ok(LogLevel(handle))
}

/// Has panics written to the log, with their place in the code and how it came there, and not to standard error.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let what = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let place = panic
            .location()
            .map_or_else(String::new, |place| place.to_string());
        let thread = std::thread::current();
        tracing::error!(
            "A panic on the thread {} at {place}: {}\n{}",
            thread.name().unwrap_or("?"),
            what.unwrap_or("without words"),
            std::backtrace::Backtrace::force_capture()
        );
    }));
}

fn append(path: &PathBuf) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

/// Where lines go.
enum Target {
    Stdout,
    /// Opened anew for each line, so that a rotated file is left alone without a signal. Lines are rare.
    File(PathBuf),
}

impl<'a> MakeWriter<'a> for Target {
    type Writer = Box<dyn Write>;

    fn make_writer(&'a self) -> Box<dyn Write> {
        match self {
            Target::Stdout => Box::new(io::stdout()),
            Target::File(path) => match append(path) {
                Ok(file) => Box::new(file),
                Err(_) => Box::new(io::stderr()),
            },
        }
    }
}

/// The format of a line.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mark = match *event.metadata().level() {
            Level::TRACE => '.',
            Level::DEBUG => '-',
            Level::INFO => '*',
            Level::WARN | Level::ERROR => '#',
        };
        let time = chrono::Local::now().format("%d %b %Y %H:%M:%S%.3f");
        write!(writer, "{}:M {time} {mark} ", std::process::id())?;
        ctx.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
