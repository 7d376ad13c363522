//! Log lines in the form operators of redis-server know, `123:M 22 Nov 2026 20:00:57.220 * Ready to accept connections`.
//!
//! The code logs through `tracing`. A program that embeds the server installs whatever subscriber it likes; the binary
//! installs this one. The marks `. - * #` stand for the levels debug, verbose, notice and warning, which here are
//! `tracing`'s TRACE, DEBUG, INFO and WARN (or ERROR). `log-format` and `log-timestamp-format` choose other forms.

use crate::lines::{Form, Lines};
use crate::syslog::{self, Syslog};
use crate::system::reason;
use chrono::{DateTime, Local, SecondsFormat};
use engine::config::Config;
use std::any::Any;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// Changes the level and the form of the installed subscriber's lines.
#[derive(Clone, Debug)]
pub struct LogLevel {
    filter: reload::Handle<LevelFilter, Registry>,
    style: Arc<Style>,
}

impl LogLevel {
    /// Sets the level by its name in `loglevel`.
    pub fn set(&self, name: &str) {
        // Fails only when the subscriber is gone, and with it all logging.
        let _ = self.filter.reload(filter(name));
    }

    /// Takes up `log-format`, `log-timestamp-format` and `hide-user-data-from-log`.
    pub(crate) fn heed_style(&self, config: &Config) {
        self.style.set(config);
    }

    /// Lines say from now on whether this server is a replica.
    pub(crate) fn heed_role(&self, is_replica: bool) {
        self.style.is_replica.store(is_replica, Relaxed);
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

/// Makes `loglevel`, `logfile` and `syslog-enabled` true for the whole process.
///
/// Fails if the file cannot be opened, if nobody takes what is for the log of the system, or if the process has a subscriber already.
/// The error says which directive it is about.
pub fn install(config: &Config) -> Result<LogLevel, String> {
    let target = match config.logfile() {
        Some(path) => {
            let whole = std::path::absolute(&path).and_then(|path| append(&path).map(|_| path));
            let fails = |error| format!("logfile '{}': {}", path.display(), reason(&error));
            Target::File(whole.map_err(fails)?)
        }
        None => Target::Stdout,
    };
    let (level, handle) = reload::Layer::new(filter(&config.loglevel()));
    let style = Arc::new(Style::default());
    style.set(config);
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Lines(style.clone()))
        .with_writer(target)
        .with_ansi(false);
    let system = if config.flag("syslog-enabled") {
        let to = Syslog::connect(syslog::SOCKET.as_ref())
            .map_err(|error| format!("syslog-enabled: {}: {}", syslog::SOCKET, reason(&error)))?;
        let named = syslog::Named {
            ident: config.text("syslog-ident"),
            facility: syslog::facility(&config.text("syslog-facility")),
        };
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Lines(Arc::new(named)))
            .with_writer(to)
            .with_ansi(false);
        Some(layer)
    } else {
        None
    };
    tracing_subscriber::registry()
        .with(level)
        .with(lines)
        .with(system)
        .try_init()
        .map_err(|error| error.to_string())?;
    log_panics(style.clone());
    Ok(LogLevel {
        filter: handle,
        style,
    })
}

/// Has panics written to the log, with their place in the code and how it came there, and not to standard error.
fn log_panics(style: Arc<Style>) {
    std::panic::set_hook(Box::new(move |panic| {
        let what = words(panic.payload(), style.shows_user_data.load(Relaxed));
        let place = panic
            .location()
            .map_or_else(String::new, |place| place.to_string());
        let thread = std::thread::current();
        tracing::error!(
            "A panic on the thread {} at {place}: {}\n{}",
            thread.name().unwrap_or("?"),
            what,
            std::backtrace::Backtrace::force_capture()
        );
    }));
}

/// Messages of the standard library that are put together, of numbers alone.
const OF_NUMBERS: [&str; 4] = [
    "index out of bounds: the len is ",
    "range start index ",
    "range end index ",
    "slice index starts at ",
];

/// What a panic says. Words that stand in the code are told; what was put together while it ran may have in it what a client has sent, and is
/// told only if that may be.
fn words(payload: &dyn Any, shows_user_data: bool) -> &str {
    if let Some(fixed) = payload.downcast_ref::<&'static str>() {
        return fixed;
    }
    match payload.downcast_ref::<String>() {
        Some(made) if shows_user_data || OF_NUMBERS.iter().any(|of| made.starts_with(of)) => made,
        Some(_) => "(its words may have user data in them, and hide-user-data-from-log is on)",
        None => "without words",
    }
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

/// The form of lines, as places of the values of `log-format` and `log-timestamp-format`.
#[derive(Debug, Default)]
struct Style {
    format: AtomicU8,
    time: AtomicU8,
    /// `hide-user-data-from-log no`.
    shows_user_data: AtomicBool,
    is_replica: AtomicBool,
}

const LOGFMT: u8 = 1;
const ISO8601: u8 = 1;
const MILLISECONDS: u8 = 2;

impl Style {
    fn set(&self, config: &Config) {
        let format = match config.text("log-format").as_str() {
            "logfmt" => LOGFMT,
            _ => 0,
        };
        let time = match config.text("log-timestamp-format").as_str() {
            "iso8601" => ISO8601,
            "milliseconds" => MILLISECONDS,
            _ => 0,
        };
        self.format.store(format, Relaxed);
        self.time.store(time, Relaxed);
        let hides = config.flag("hide-user-data-from-log");
        self.shows_user_data.store(!hides, Relaxed);
    }
}

impl Form for Style {
    fn line(&self, level: Level, now: DateTime<Local>, text: &str) -> String {
        let pid = std::process::id();
        let is_replica = self.is_replica.load(Relaxed);
        let time = match self.time.load(Relaxed) {
            ISO8601 => now.to_rfc3339_opts(SecondsFormat::Millis, false),
            MILLISECONDS => now.timestamp_millis().to_string(),
            _ => now.format("%d %b %Y %H:%M:%S%.3f").to_string(),
        };
        if self.format.load(Relaxed) == LOGFMT {
            let level = match level {
                Level::TRACE => "debug",
                Level::DEBUG => "info",
                Level::INFO => "notice",
                Level::WARN | Level::ERROR => "warning",
            };
            // Nothing that would end the field.
            let text = text.replace('"', "'").replace(['\n', '\r'], " ");
            let role = if is_replica { "replica" } else { "primary" };
            return format!(
                "pid={pid} role={role} timestamp=\"{time}\" level={level} message=\"{text}\""
            );
        }
        let mark = match level {
            Level::TRACE => '.',
            Level::DEBUG => '-',
            Level::INFO => '*',
            Level::WARN | Level::ERROR => '#',
        };
        let role = if is_replica { 'S' } else { 'M' };
        format!("{pid}:{role} {time} {mark} {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_say_is_told_as_far_as_it_stands_in_the_code() {
        let caught = |f: fn()| std::panic::catch_unwind(f).unwrap_err();
        let fixed = caught(|| panic!("a rule is broken"));
        assert_eq!(words(&*fixed, false), "a rule is broken");
        let made = caught(|| panic!("no such key: {}", std::hint::black_box("secret")));
        assert!(words(&*made, false).contains("hide-user-data-from-log"));
        assert_eq!(words(&*made, true), "no such key: secret");
        let numbers = caught(|| {
            let at = std::hint::black_box(3);
            let _ = [0; 2].map(std::hint::black_box)[at];
        });
        let said = "index out of bounds: the len is 2 but the index is 3";
        assert_eq!(words(&*numbers, false), said);
        let none = caught(|| std::panic::panic_any(5));
        assert_eq!(words(&*none, true), "without words");
    }
    use chrono::TimeZone;

    #[test]
    fn lines_have_the_form_that_is_asked_for() {
        let now = Local.with_ymd_and_hms(2026, 11, 22, 20, 0, 57).unwrap();
        let mut config = Config::default();
        let style = Style::default();
        let mut line = |format: &str, time: &str, level| {
            config.directive("log-format", &[format]).unwrap();
            config.directive("log-timestamp-format", &[time]).unwrap();
            style.set(&config);
            style.line(level, now, "a \"b\"\nc")
        };
        let (pid, ms) = (std::process::id(), now.timestamp_millis());
        assert_eq!(
            line("legacy", "legacy", Level::INFO),
            format!("{pid}:M 22 Nov 2026 20:00:57.000 * a \"b\"\nc")
        );
        assert_eq!(
            line("logfmt", "milliseconds", Level::ERROR),
            format!("pid={pid} role=primary timestamp=\"{ms}\" level=warning message=\"a 'b' c\"")
        );
        let iso = line("legacy", "iso8601", Level::DEBUG);
        assert!(
            iso.starts_with(&format!("{pid}:M 2026-11-22T20:00:57.000")),
            "{iso}"
        );
        style.is_replica.store(true, Relaxed);
        let of_replica = |format: &str| {
            config.directive("log-format", &[format]).unwrap();
            style.set(&config);
            style.line(Level::INFO, now, "a")
        };
        let lines = ["legacy", "logfmt"].map(of_replica);
        assert!(lines[0].starts_with(&format!("{pid}:S 2026")), "{lines:?}");
        assert!(lines[1].contains(" role=replica "), "{lines:?}");
    }
}
