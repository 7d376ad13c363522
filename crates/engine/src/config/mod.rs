//! Configuration: one table of directives, and everything that is asked of it.
//!
//! Reading a redis.conf, command-line flags, CONFIG GET, CONFIG SET, the list that `redpoll --help` prints and
//! docs/configuration.md all come from the rows in `table`, `moot` and `fixed`, so that they cannot disagree. The values
//! stand behind a lock, because they are read rarely; the few that every command or connection looks at are copied
//! into the atomics of [`Live`].

mod cpus;
mod directive;
mod fixed;
pub mod host;
mod lines;
mod moot;
#[cfg(test)]
mod page;
mod rewrite;
mod table;
pub mod title;
mod unknown;

pub use cpus::parse as cpu_list;
pub(crate) use directive::parse_size;
pub use directive::{Change, Directive, Kind, OutputLimit, Value};
pub(crate) use lines::is_secret;
pub use rewrite::Lists;

use crate::base::error::Error;
use crate::base::memory::Aging;
use crate::base::ticks;
use crate::config::host::Host;
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed,
};

/// Every directive, those that do something first.
static DIRECTIVES: LazyLock<Vec<&'static Directive>> = LazyLock::new(|| {
    let all = table::BUILT.iter().chain(moot::MOOT).chain(fixed::FIXED);
    all.collect()
});

/// All directives that are known, those that do something first.
pub fn all_directives() -> impl Iterator<Item = &'static Directive> {
    DIRECTIVES.iter().copied()
}

/// The directives that do something, in the order of their page: for a program's list of options.
pub fn directives() -> &'static [Directive] {
    table::BUILT
}

/// Every name and alias, with the index of its directive.
static BY_NAME: LazyLock<HashMap<&'static str, usize>> = LazyLock::new(|| {
    let names = |(at, row): (usize, &&'static Directive)| {
        let aliases = row.aliases.iter().map(move |alias| (*alias, at));
        std::iter::once((row.name, at)).chain(aliases)
    };
    DIRECTIVES.iter().enumerate().flat_map(names).collect()
});

/// A configuration that cannot be used: one line that says where and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// The bounds of one class of clients, as [`Live`] holds them; see [`OutputLimit`].
#[derive(Debug, Default)]
pub struct LiveOutputLimit {
    /// Bytes at which a client is disconnected at once; 0 is no bound.
    pub hard: AtomicU64,
    /// Bytes over which a client may stay for `soft_seconds`; 0 is no bound.
    pub soft: AtomicU64,
    /// See `soft`.
    pub soft_seconds: AtomicU64,
    /// Clients that were disconnected by it.
    pub disconnections: AtomicU64,
}

/// What one of the logs of commands that stand out keeps.
#[derive(Debug)]
pub struct LogSettings {
    /// The value from which a command is logged, microseconds or bytes; `u64::MAX` for never.
    pub from: AtomicU64,
    /// Most entries.
    pub most: AtomicUsize,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings {
            from: AtomicU64::new(u64::MAX),
            most: AtomicUsize::new(0),
        }
    }
}

impl Live {
    /// Computes [`Live::noted_from`] anew.
    fn heed_thresholds(&self) {
        let slow_us = self.logs[0].from.load(Relaxed);
        let latency_us = match self.latency_threshold_ms.load(Relaxed) {
            0 => u64::MAX,
            ms => ms.saturating_mul(1000),
        };
        let from = match slow_us.min(latency_us) {
            u64::MAX => u64::MAX,
            us => ticks::of_micros(us),
        };
        self.noted_from.store(from, Relaxed);
    }
}

/// The values that are read on busy paths. Relaxed loads will do: a change need not be seen at once.
#[derive(Debug, Default)]
pub struct Live {
    /// Longest argument and longest string, in bytes.
    pub proto_max_bulk_len: AtomicUsize,
    /// Most clients at a time.
    pub maxclients: AtomicUsize,
    /// Seconds of idleness after which a client is disconnected; 0 never.
    pub timeout_s: AtomicU64,
    /// Seconds before the first keepalive probe; 0 for no probes.
    pub tcp_keepalive_s: AtomicU64,
    /// Connections accepted from one listener in a row.
    pub accepts_per_turn: AtomicUsize,
    /// The same of a listener for TLS.
    pub tls_accepts_per_turn: AtomicUsize,
    /// Milliseconds after which a script makes those who wait for it be told BUSY.
    pub(crate) busy_reply_threshold_ms: AtomicU64,
    /// Most unexecuted bytes of a client's requests.
    pub client_query_buffer_limit: AtomicUsize,
    /// Output buffer limits of normal clients, replicas and subscribers, in this order.
    pub output_limits: [LiveOutputLimit; 3],
    /// Whether clients from elsewhere are refused while there is no password.
    pub protected_mode: AtomicBool,
    /// Seconds a stop may wait for clients.
    pub shutdown_timeout_s: AtomicU64,
    /// `hash-max-listpack-entries`
    pub(crate) hash_max_listpack_entries: AtomicUsize,
    /// `hash-max-listpack-value`, in bytes
    pub(crate) hash_max_listpack_value: AtomicUsize,
    /// `list-max-listpack-size`
    pub(crate) list_max_listpack_size: AtomicI32,
    /// `list-compress-depth`
    pub(crate) list_compress_depth: AtomicUsize,
    /// Bytes from which an element of a list has a node of its own; 0: those that are longer than a node may be. No
    /// directive: DEBUG QUICKLIST-PACKED-THRESHOLD changes it.
    pub(crate) quicklist_packed_threshold: AtomicUsize,
    /// `set-max-intset-entries`
    pub(crate) set_max_intset_entries: AtomicUsize,
    /// `set-max-listpack-entries`
    pub(crate) set_max_listpack_entries: AtomicUsize,
    /// `set-max-listpack-value`, in bytes
    pub(crate) set_max_listpack_value: AtomicUsize,
    /// Most members of a packed sorted set.
    pub(crate) zset_max_listpack_entries: AtomicUsize,
    /// Longest member of a packed sorted set, in bytes.
    pub(crate) zset_max_listpack_value: AtomicUsize,
    /// Longest sparse HyperLogLog, in bytes.
    pub(crate) hll_sparse_max_bytes: AtomicUsize,
    /// Bytes of a stream's node; 0 for no bound.
    pub(crate) stream_node_max_bytes: AtomicUsize,
    /// Entries of a stream's node; 0 for no bound.
    pub(crate) stream_node_max_entries: AtomicUsize,
    /// `stream-idmp-duration`: seconds.
    pub(crate) stream_idmp_duration: AtomicUsize,
    /// `stream-idmp-maxsize`
    pub(crate) stream_idmp_maxsize: AtomicUsize,
    /// `notify-keyspace-events`: bits of [`crate::base::class`].
    pub notify_keyspace_events: AtomicU32,
    /// `tracking-table-max-keys`; 0 for no bound.
    pub(crate) tracking_table_max_keys: AtomicUsize,
    /// `lazyfree-lazy-user-flush`
    pub(crate) lazy_user_flush: AtomicBool,
    /// The logs of slow commands, large requests and large replies.
    pub logs: [LogSettings; 3],
    /// `latency-monitor-threshold`, in milliseconds; 0 for none.
    pub(crate) latency_threshold_ms: AtomicU64,
    /// Ticks from which a command's time may have to be noted: the smaller of the two thresholds, `u64::MAX` for never.
    pub(crate) noted_from: AtomicU64,
    /// `latency-tracking`
    pub(crate) latency_tracking: AtomicBool,
    /// `hotkey-tracking`
    pub(crate) hotkey_tracking: AtomicBool,
    /// `crash-log-enabled`
    pub crash_log: AtomicBool,
    /// `hide-user-data-from-log`
    pub(crate) hide_user_data: AtomicBool,
    /// How keys age.
    pub(crate) aging: Aging,
    /// `replica-ignore-maxmemory`
    pub(crate) replica_ignore_maxmemory: AtomicBool,
    /// `rdbcompression`
    pub(crate) rdb_compression: AtomicBool,
    /// Whether expired keys are also looked for in the background. No directive: DEBUG SET-ACTIVE-EXPIRE changes it.
    pub(crate) active_expire: AtomicBool,
}

/// The values of all directives.
pub struct Config {
    values: RwLock<Vec<Value>>,
    /// Held by CONFIG SET, so that two of them do not interleave.
    setting: Mutex<()>,
    file: Option<PathBuf>,
    /// The lines that begin with `user`: a name and its rules.
    users: Vec<(String, Vec<String>)>,
    /// The lines that begin with `rename-command`: a name, and what clients say instead.
    renames: Vec<(String, String)>,
    /// Directives that a line has set.
    seen: HashSet<usize>,
    /// The copies for busy paths.
    pub live: Live,
}

impl Default for Config {
    fn default() -> Config {
        let value = |row: &&Directive| row.parse_default().unwrap_or(Value::Text(String::new()));
        let values: Vec<Value> = DIRECTIVES.iter().map(value).collect();
        let live = Live {
            active_expire: AtomicBool::new(true),
            ..Live::default()
        };
        for (row, value) in DIRECTIVES.iter().zip(&values) {
            if let Some(apply) = row.apply {
                apply(&live, value);
            }
        }
        Config {
            values: RwLock::new(values),
            setting: Mutex::new(()),
            file: None,
            users: Vec::new(),
            renames: Vec::new(),
            seen: HashSet::new(),
            live,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the values: one of them is a password.
        f.debug_struct("Config")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Reads the arguments of the server program, without its name: `[redis.conf|-] [--directive value ...] [-]`, in the
    /// syntax and precedence of redis-server. `-` stands for standard input.
    pub fn from_args(args: impl Iterator<Item = OsString>) -> Result<Config, ConfigError> {
        Config::from_args_and(args, &mut std::io::stdin().lock())
    }

    /// The same, with what stands for standard input.
    pub(crate) fn from_args_and(
        args: impl Iterator<Item = OsString>,
        stdin: &mut dyn std::io::Read,
    ) -> Result<Config, ConfigError> {
        let source = lines::from_args(args, stdin)?;
        let mut config = Config {
            file: source.file,
            ..Config::default()
        };
        for line in &source.lines {
            let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
            config
                .directive(&line.name, &words)
                .map_err(|reason| line.error(&reason))?;
        }
        Ok(config)
    }

    /// Sets a directive before anything runs, as a line of redis.conf would. The error is the reason alone.
    pub fn directive(&mut self, name: &str, words: &[&str]) -> Result<(), String> {
        if name.eq_ignore_ascii_case("user") {
            return self.add_user(words);
        }
        if name.eq_ignore_ascii_case("rename-command") {
            let &[from, to] = words else {
                return Err("wrong number of arguments".into());
            };
            self.renames.push((from.to_owned(), to.to_owned()));
            return Ok(());
        }
        let Some(at) = find(name) else {
            let line = fixed::LINES
                .iter()
                .find(|(line, _)| line.eq_ignore_ascii_case(name));
            return Err(match line {
                Some((_, why)) => (*why).into(),
                None => unknown::refusal(&name.to_ascii_lowercase(), BY_NAME.keys().copied()),
            });
        };
        let row = DIRECTIVES[at];
        let again = !self.seen.insert(at);
        let values = self.values.get_mut();
        let value = read(row, words, &values[at], again)?;
        if !row.built {
            only_value(row, name, &value, &values[at])?;
        }
        if let Some(apply) = row.apply {
            apply(&self.live, &value);
        }
        values[at] = value;
        Ok(())
    }

    /// A line that begins with `user`. Its rules are read when there are commands that they can be about.
    fn add_user(&mut self, words: &[&str]) -> Result<(), String> {
        let [name, rules @ ..] = words else {
            return Err("Bad directive or wrong number of arguments".into());
        };
        if self.users.iter().any(|(known, _)| known == name) {
            return Err(format!(
                "Error in user declaration '{name}': Duplicate user found. A user can only be defined once in config files"
            ));
        }
        let rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
        self.users.push(((*name).to_owned(), rules));
        Ok(())
    }

    /// The users that the configuration names, each with its rules.
    pub fn users(&self) -> &[(String, Vec<String>)] {
        &self.users
    }

    /// The commands that the configuration renames, each with its new name, or an empty one where it is taken away.
    pub(crate) fn renames(&self) -> &[(String, String)] {
        &self.renames
    }

    /// CONFIG GET with one pattern: calls `found` with the name and value of every directive that it matches.
    ///
    /// A pattern without wildcards names its directive in any case and gets it back as it was written.
    pub(crate) fn get_matching(&self, pattern: &[u8], found: &mut dyn FnMut(&str, &str)) {
        let values = self.values.read();
        if !pattern.iter().any(|byte| b"*?[".contains(byte)) {
            if let Ok(name) = str::from_utf8(pattern)
                && let Some(at) = find(name)
            {
                found(name, &values[at].text());
            }
            return;
        }
        for (row, value) in DIRECTIVES
            .iter()
            .zip(&*values)
            .filter(|(row, _)| !row.hidden)
        {
            for name in std::iter::once(&row.name).chain(row.aliases) {
                if crate::base::glob::matches_ignore_case(pattern, name.as_bytes()) {
                    found(name, &value.text());
                }
            }
        }
    }

    /// CONFIG SET for a client that is not on this machine; see [`Config::set_for`].
    pub fn set(&self, pairs: &[(&[u8], &[u8])], host: &dyn Host) -> Result<(), Error> {
        self.set_for(pairs, host, false)
    }

    /// CONFIG SET: sets all of the name and value pairs or none.
    ///
    /// `local` says whether the client is on this machine, which protected directives may depend on. The error is the
    /// reply.
    pub fn set_for(
        &self,
        pairs: &[(&[u8], &[u8])],
        host: &dyn Host,
        local: bool,
    ) -> Result<(), Error> {
        let _alone = self.setting.lock();
        let mut rows: Vec<usize> = Vec::with_capacity(pairs.len());
        let mut names: HashSet<String> = HashSet::with_capacity(pairs.len());
        for (name, _) in pairs {
            let known = str::from_utf8(name).ok().and_then(|n| Some((n, find(n)?)));
            let (name, at) = known.ok_or_else(|| {
                let text = "ERR Unknown option or number of arguments for CONFIG SET - '{}'";
                Error::quoting(text, &[name])
            })?;
            let refused = match DIRECTIVES[at].change {
                Change::Startup => Some("can't set immutable config"),
                Change::Protected if !self.allows("enable-protected-configs", local) => {
                    Some("can't set protected config")
                }
                // A name and its alias may stand together; the last of the values counts.
                _ if !names.insert(name.to_ascii_lowercase()) => Some("duplicate parameter"),
                _ => None,
            };
            if let Some(reason) = refused {
                return Err(failed(name, reason));
            }
            rows.push(at);
        }
        let old = self.values.read().clone();
        let mut new = old.clone();
        for (&at, (name, text)) in rows.iter().zip(pairs) {
            // Redis names a directive as it was written when it may not be set, and in lower case when its value is wrong.
            let row = DIRECTIVES[at];
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            let text = str::from_utf8(text).map_err(|_| failed(&name, "argument must be UTF-8"))?;
            let value = row
                .parse(&row.kind.words_of(text), Some(&new[at]))
                .map_err(|reason| failed(&name, &reason))?;
            if !row.built {
                only_value(row, &name, &value, &old[at])
                    .map_err(|reason| failed(&name, &reason))?;
            }
            new[at] = value;
        }
        self.install(&rows, new);
        for (done, &at) in rows.iter().enumerate() {
            let row = DIRECTIVES[at];
            if let Err(reason) = host.applied(row.name, self) {
                self.install(&rows, old);
                for &undone in &rows[..=done] {
                    // The old value worked a moment ago; if it does not any more there is nothing left to go back to.
                    let _ = host.applied(DIRECTIVES[undone].name, self);
                }
                return Err(failed(&String::from_utf8_lossy(pairs[done].0), &reason));
            }
        }
        Ok(())
    }

    /// Makes `values` current and copies those of `rows` to [`Live`].
    fn install(&self, rows: &[usize], values: Vec<Value>) {
        for &at in rows {
            if let Some(apply) = DIRECTIVES[at].apply {
                apply(&self.live, &values[at]);
            }
        }
        *self.values.write() = values;
    }

    /// Whether a directive of the values no, yes and local lets a client through.
    pub(crate) fn allows(&self, name: &str, local: bool) -> bool {
        match self.text(name).as_str() {
            "yes" => true,
            "local" => local,
            _ => false,
        }
    }

    /// The text of a directive, as CONFIG GET answers it; empty for a name that is none.
    pub fn text(&self, name: &str) -> String {
        find(name).map_or_else(String::new, |at| self.values.read()[at].text())
    }

    /// The number of a directive; 0 for one that has none.
    pub fn number(&self, name: &str) -> i64 {
        match find(name).map(|at| self.values.read()[at].clone()) {
            Some(Value::Int(n)) => n,
            Some(Value::Octal(n)) => n.into(),
            _ => 0,
        }
    }

    /// Whether a yes-or-no directive is `yes`.
    pub fn flag(&self, name: &str) -> bool {
        self.text(name) == "yes"
    }

    /// Directives that have a value other than their default and change nothing whatever it is, with the reason.
    pub fn moot(&self) -> Vec<(&'static str, &'static str)> {
        let values = self.values.read();
        let rows = DIRECTIVES.iter().zip(&*values);
        let moot =
            rows.filter(|(row, value)| row.moot && row.parse_default().as_ref() != Ok(value));
        moot.map(|(row, _)| (row.name, row.doc)).collect()
    }

    /// Why a directive changes nothing; None if it does change something.
    pub fn why_moot(name: &str) -> Option<&'static str> {
        let row = DIRECTIVES[find(name)?];
        row.moot.then_some(row.doc)
    }

    /// The configuration file, absolute, if one was named.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The TCP port; 0 for none.
    pub fn port(&self) -> u16 {
        self.number("port") as u16
    }

    /// The TCP port for TLS; 0 for none.
    pub fn tls_port(&self) -> u16 {
        self.number("tls-port") as u16
    }

    /// The addresses to listen on as they were written, `-` prefixes included.
    pub fn bind(&self) -> Vec<String> {
        self.text("bind")
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(Into::into)
            .collect()
    }

    /// The TCP port for HTTP; 0 for none.
    pub fn http_port(&self) -> u16 {
        self.number("http-port") as u16
    }

    /// The addresses to listen on for HTTP.
    pub fn http_bind(&self) -> Vec<String> {
        let text = self.text("http-bind");
        text.split_ascii_whitespace().map(Into::into).collect()
    }

    /// The path of the unix socket to listen on.
    pub fn unixsocket(&self) -> Option<PathBuf> {
        self.path("unixsocket")
    }

    /// The unix socket's permissions, unless they are left to the umask.
    pub fn unixsocketperm(&self) -> Option<u32> {
        Some(self.number("unixsocketperm") as u32).filter(|&mode| mode != 0)
    }

    /// How many connections may wait to be accepted.
    pub fn tcp_backlog(&self) -> i32 {
        self.number("tcp-backlog") as i32
    }

    /// The number of databases.
    pub fn databases(&self) -> usize {
        self.number("databases") as usize
    }

    /// The number of worker threads.
    pub fn threads(&self) -> usize {
        self.number("threads") as usize
    }

    /// The number of shards, a power of two.
    pub fn shards(&self) -> usize {
        self.number("shards") as usize
    }

    /// The bytes that a directive of [`Kind::Memory`] stands for; percents are parts of `whole`.
    pub fn memory(&self, name: &str, whole: impl FnOnce() -> u64) -> usize {
        let Some(at) = find(name) else { return 0 };
        match self.values.read()[at] {
            Value::Memory { percent: true, n } => (whole() as u128 * n as u128 / 100) as usize,
            Value::Memory { n, .. } => n.max(0) as usize,
            _ => 0,
        }
    }

    /// The password clients must give.
    pub(crate) fn requirepass(&self) -> Option<String> {
        Some(self.text("requirepass")).filter(|password| !password.is_empty())
    }

    /// The working directory.
    pub fn dir(&self) -> PathBuf {
        self.text("dir").into()
    }

    /// The file to log to; None is standard output.
    pub fn logfile(&self) -> Option<PathBuf> {
        self.path("logfile")
    }

    /// The least important level that is logged: debug, verbose, notice, warning or nothing.
    pub fn loglevel(&self) -> String {
        self.text("loglevel")
    }

    /// The file that holds the process id.
    pub fn pidfile(&self) -> Option<PathBuf> {
        self.path("pidfile")
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.text(name))
            .filter(|path| !path.is_empty())
            .map(Into::into)
    }

    /// Records what the host made of a directive by itself: the absolute working directory, a bound the system lowered.
    pub fn record(&self, name: &str, text: &str) -> Result<(), String> {
        let at = find(name).ok_or("no such directive")?;
        let row = DIRECTIVES[at];
        let value = row.parse(&row.kind.words_of(text), None)?;
        if let Some(apply) = row.apply {
            apply(&self.live, &value);
        }
        self.values.write()[at] = value;
        Ok(())
    }
}

fn find(name: &str) -> Option<usize> {
    BY_NAME.get(name.to_ascii_lowercase().as_str()).copied()
}

/// Reads a line's words. `old` is the value so far, `again` whether a line before this one has set it: save points add up.
fn read(row: &Directive, words: &[&str], old: &Value, again: bool) -> Result<Value, String> {
    let value = match words {
        // As redis-server takes them, several words may come as one.
        [one] => row.parse(&row.kind.words_of(one), Some(old))?,
        words => row.parse(words, Some(old))?,
    };
    match (row.kind, value, old) {
        (Kind::Save, Value::Words(more), Value::Words(points)) if again && !more.is_empty() => {
            Ok(Value::Words([points.as_slice(), &more].concat()))
        }
        (_, value, _) => Ok(value),
    }
}

/// The error of a directive whose feature is missing, unless the value is the one that holds without it.
fn only_value(row: &Directive, name: &str, value: &Value, only: &Value) -> Result<(), String> {
    if value == only {
        return Ok(());
    }
    let only = only.text();
    let only = if only.is_empty() { "\"\"".into() } else { only };
    Err(format!(
        "{name} belongs to {}, which is not built yet: the only value is {only}",
        row.group
    ))
}

fn failed(name: &str, reason: &str) -> Error {
    Error::new(format!(
        "ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"
    ))
}

#[cfg(test)]
mod tests;
