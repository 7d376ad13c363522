//! The command line of `redpoll cli`: redis-cli's options, as far as there is something behind them here.

use super::format::Form;
use super::quote;
use crate::link::target::{Family, Wish};
use crate::link::tls::TlsOptions;
use crate::link::{Address, Target};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// The command of the arguments, or without one whatever is typed.
    Commands,
    /// A line of figures from time to time.
    Stat,
    /// How long PING takes, as one figure.
    Latency,
    /// The same, with a new line every so often.
    LatencyHistory,
    /// The same as a distribution, in colours.
    LatencyDist,
    /// How long the machine itself makes a program wait, tried for so long. Asks no server.
    IntrinsicLatency(Duration),
    /// What a primary's stream of changes has in it.
    Replica,
    /// The key with most elements of each type.
    BigKeys,
    /// The key that takes most memory of each type, each value being estimated from so many elements.
    MemKeys(Option<u64>),
    /// The keys that take most memory and those with most elements, and the distribution of both; memory being estimated from so
    /// many elements of each value.
    KeyStats(Option<u64>),
    /// The keys that are used most, so many.
    HotKeys(usize),
    /// A load as caches have it, on so many keys.
    LruTest(u64),
    /// All keys.
    Scan,
    /// Requests from standard input, as they are.
    Pipe,
    /// A snapshot from a replication stream, to this file; only functions, if so asked.
    Rdb(String, bool),
    /// This script.
    Eval(String),
    /// The help page, and what is to be complained of.
    Help,
    /// The version.
    Version,
}

/// All that the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub target: Target,
    /// What to do.
    pub mode: Mode,
    /// The form of replies, if one was asked for.
    pub form: Option<Form>,
    /// Between elements of raw replies.
    pub between: Vec<u8>,
    /// After raw replies.
    pub after: Vec<u8>,
    /// How often the command is run; None is for ever.
    pub repeat: Option<u64>,
    /// The pause between.
    pub interval: Option<Duration>,
    /// Whether the last argument comes from standard input ...
    pub stdin_last: bool,
    /// ... or the one that is this word.
    pub stdin_tag: Option<Vec<u8>>,
    /// Whether the arguments are to be unquoted.
    pub quoted_input: bool,
    /// Whether pushes are shown, if that was said.
    pub show_pushes: Option<bool>,
    /// Whether MOVED and ASK are followed.
    pub cluster: bool,
    /// Whether an error ends with a status of its own.
    pub fail_on_error: bool,
    /// Of --scan and its kin.
    pub pattern: Option<Vec<u8>>,
    /// COUNT of the calls of SCAN.
    pub count: Option<u64>,
    /// Where --keystats begins.
    pub cursor: u64,
    /// How many keys --keystats names.
    pub top: usize,
    /// Of --pipe: how long to wait for replies at the end; None is for ever.
    pub pipe_timeout: Option<Duration>,
    /// Whether the password is to be typed.
    pub ask_password: bool,
    /// Whether a password on the command line is to be warned of.
    pub warn_of_password: bool,
    /// Tell more of what happens.
    pub verbose: bool,
    /// The command and its arguments.
    pub command: Vec<Vec<u8>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            target: Target::default(),
            mode: Mode::Commands,
            form: None,
            between: b"\n".to_vec(),
            after: b"\n".to_vec(),
            repeat: Some(1),
            interval: None,
            stdin_last: false,
            stdin_tag: None,
            quoted_input: false,
            show_pushes: None,
            cluster: false,
            fail_on_error: false,
            pattern: None,
            count: None,
            cursor: 0,
            top: 10,
            pipe_timeout: Some(Duration::from_secs(30)),
            ask_password: false,
            warn_of_password: false,
            verbose: false,
            command: Vec::new(),
        }
    }
}

/// Options of redis-cli that are about what does not exist here, and why.
const NOT_HERE: &[(&str, &str)] = &[
    ("--cluster", "there is no cluster to manage"),
    ("--ldb", "there is no debugger of scripts"),
    ("--ldb-sync-mode", "there is no debugger of scripts"),
    ("--mptcp", "connections take one path"),
    ("--vset-recall", "there are no vector sets"),
];

impl Options {
    /// Reads the words after `redpoll cli`. `auth` is the password that the environment holds. The error is one line.
    pub fn parse(
        args: impl Iterator<Item = OsString>,
        auth: Option<Vec<u8>>,
    ) -> Result<Options, String> {
        let mut args = args.map(OsString::into_vec).peekable();
        let mut options = Options::default();
        options.target.password = auth.filter(|password| !password.is_empty());
        let (mut forced_resp2, mut wants_tls, mut tls) = (false, false, TlsOptions::default());
        let mut samples = None;
        while let Some(arg) = args.peek() {
            // The first word that is no option is the command, and all that follows belongs to it.
            if !arg.starts_with(b"-") || arg == b"-" {
                break;
            }
            let name = String::from_utf8_lossy(arg).into_owned();
            args.next();
            let unknown = || format!("Unrecognized option or bad number of args for: '{name}'");
            let mut bytes = || args.next().ok_or_else(unknown);
            let target = &mut options.target;
            match name.as_str() {
                "-h" => set_host(target, text(bytes()?)?),
                "-p" => {
                    let port = text(bytes()?)?;
                    let port = port
                        .parse()
                        .map_err(|_| "Invalid server port.".to_owned())?;
                    set_port(target, port);
                }
                "-s" => target.address = Address::Unix(text(bytes()?)?),
                "-a" | "--pass" => {
                    target.password = Some(bytes()?);
                    options.warn_of_password = true;
                }
                "--user" => target.user = Some(text(bytes()?)?),
                "--askpass" => options.ask_password = true,
                "--no-auth-warning" => options.warn_of_password = false,
                "-u" => {
                    let url = text(bytes()?)?;
                    target.apply_url(&url)?;
                    wants_tls |= target.tls.take().is_some();
                    if url.contains('@') {
                        options.warn_of_password = true;
                    }
                }
                "-n" => {
                    let db = text(bytes()?)?;
                    target.db = db
                        .parse()
                        .map_err(|_| format!("{db} is no number of a database"))?;
                }
                "-t" => {
                    let time = seconds(&text(bytes()?)?)
                        .map_err(|_| "Invalid connection timeout for -t.".to_owned())?;
                    target.patience = (!time.is_zero()).then_some(time);
                }
                "-4" => target.family = Some(Family::V4),
                "-6" => target.family = Some(Family::V6),
                "-2" => forced_resp2 = true,
                "-3" => target.resp3 = Wish::Resp3,
                "-r" => {
                    let count = text(bytes()?)?;
                    let count: i64 = count
                        .parse()
                        .map_err(|_| format!("{count} is no number of times"))?;
                    options.repeat = u64::try_from(count).ok();
                }
                "-i" => options.interval = Some(seconds(&text(bytes()?)?)?),
                "-x" => options.stdin_last = true,
                "-X" => options.stdin_tag = Some(bytes()?),
                "-d" => options.between = bytes()?,
                "-D" => options.after = bytes()?,
                "-c" => options.cluster = true,
                "-e" => options.fail_on_error = true,
                "--raw" => options.form = Some(Form::Raw),
                "--no-raw" => options.form = Some(Form::Pretty),
                "--csv" => options.form = Some(Form::Csv),
                "--json" => options.form = Some(Form::Json),
                "--quoted-json" => options.form = Some(Form::QuotedJson),
                "--quoted-input" => options.quoted_input = true,
                "--show-pushes" => {
                    options.show_pushes =
                        Some(match text(bytes()?)?.to_ascii_lowercase().as_str() {
                            "y" | "yes" => true,
                            "n" | "no" => false,
                            other => {
                                return Err(format!(
                                    "Unknown --show-pushes value '{other}' (valid: '[y]es', '[n]o')"
                                ));
                            }
                        });
                }
                "--tls" => wants_tls = true,
                "--sni" => tls.sni = Some(text(bytes()?)?),
                "--cacert" => tls.cacert = Some(text(bytes()?)?),
                "--cacertdir" => tls.cacert_dir = Some(text(bytes()?)?),
                "--cert" => tls.cert = Some(text(bytes()?)?),
                "--key" => tls.key = Some(text(bytes()?)?),
                "--tls-ciphers" => tls.ciphers = Some(text(bytes()?)?),
                "--tls-ciphersuites" => tls.ciphersuites = Some(text(bytes()?)?),
                "--insecure" => tls.insecure = true,
                "--stat" => options.mode = Mode::Stat,
                "--latency" => options.mode = Mode::Latency,
                "--latency-history" => options.mode = Mode::LatencyHistory,
                "--latency-dist" => options.mode = Mode::LatencyDist,
                "--intrinsic-latency" => {
                    options.mode = Mode::IntrinsicLatency(seconds(&text(bytes()?)?)?);
                }
                "--replica" | "--slave" => options.mode = Mode::Replica,
                "--count" => {
                    let number = text(bytes()?)?;
                    let number = number.parse().ok().filter(|n| *n > 0);
                    options.count = Some(number.ok_or("--count is a number of keys, at least 1")?);
                }
                "--bigkeys" => options.mode = Mode::BigKeys,
                "--memkeys" => options.mode = Mode::MemKeys(None),
                "--memkeys-samples" => {
                    samples = Some(Mode::MemKeys(Some(number(&name, &text(bytes()?)?)?)));
                }
                "--keystats" => options.mode = Mode::KeyStats(None),
                "--keystats-samples" => {
                    samples = Some(Mode::KeyStats(Some(number(&name, &text(bytes()?)?)?)));
                }
                "--cursor" => options.cursor = number(&name, &text(bytes()?)?)?,
                "--top" => {
                    options.top =
                        usize::try_from(number(&name, &text(bytes()?)?)?).unwrap_or(usize::MAX);
                }
                "--hotkeys" => options.mode = Mode::HotKeys(16),
                "--hotkeys-count" => {
                    let most = text(bytes()?)?;
                    let most = most.parse().ok().filter(|most| *most > 0);
                    options.mode = Mode::HotKeys(most.ok_or_else(unknown)?);
                }
                "--lru-test" => {
                    let keys = text(bytes()?)?;
                    let keys = keys.parse().ok().filter(|keys| *keys > 0);
                    let keys = keys.ok_or("--lru-test is a number of keys, at least 1")?;
                    options.mode = Mode::LruTest(keys);
                }
                "--scan" => options.mode = Mode::Scan,
                "--pattern" => options.pattern = Some(bytes()?),
                "--quoted-pattern" => {
                    let word = bytes()?;
                    let pattern = unquote(&word)
                        .ok_or_else(|| "Invalid quoted string specified for pattern".to_owned())?;
                    options.pattern = Some(pattern);
                }
                "--pipe" => options.mode = Mode::Pipe,
                "--pipe-timeout" => {
                    let time = seconds(&text(bytes()?)?)?;
                    options.pipe_timeout = (!time.is_zero()).then_some(time);
                }
                "--rdb" => options.mode = Mode::Rdb(text(bytes()?)?, false),
                "--functions-rdb" => options.mode = Mode::Rdb(text(bytes()?)?, true),
                "--eval" => options.mode = Mode::Eval(text(bytes()?)?),
                "--verbose" => options.verbose = true,
                "--help" => options.mode = Mode::Help,
                "-v" | "--version" => options.mode = Mode::Version,
                _ => {
                    return Err(match NOT_HERE.iter().find(|(known, _)| *known == name) {
                        Some((_, why)) => format!("redpoll cli has no {name}: {why}"),
                        None => unknown(),
                    });
                }
            }
        }
        options.command = args.collect();
        if let Some(mode) = samples {
            options.mode = mode;
        }
        if wants_tls {
            options.target.tls = Some(tls);
        }
        let is_json = matches!(options.form, Some(Form::Json | Form::QuotedJson));
        if forced_resp2 {
            if options.target.resp3 == Wish::Resp3 {
                return Err("Options -2 and -3 are mutually exclusive.".into());
            }
            options.target.resp3 = Wish::Resp2;
        } else if is_json && options.target.resp3 == Wish::Resp2 {
            options.target.resp3 = Wish::Resp3IfThere;
        }
        Ok(options)
    }
}

/// The password that the environment holds.
pub fn auth() -> Option<Vec<u8>> {
    let found = ["REDISCLI_AUTH", "VALKEYCLI_AUTH"]
        .into_iter()
        .find_map(std::env::var_os);
    found.map(OsString::into_vec)
}

impl Options {
    /// The same for `redpoll top`, which has only those about the server and `-i`. None if help was asked for.
    pub fn for_top(args: impl Iterator<Item = OsString>) -> Result<Option<Options>, String> {
        let mut options = Options::parse(args, auth())?;
        match &options.mode {
            Mode::Help => return Ok(None),
            Mode::Commands if options.command.is_empty() => {}
            _ => return Err("redpoll top takes only options about the server; see --help".into()),
        }
        if options.ask_password {
            let password = super::ask_password();
            let password = password.map_err(|error| format!("the password: {error}"))?;
            options.target.password = Some(password);
        }
        Ok(Some(options))
    }
}

fn set_host(target: &mut Target, name: String) {
    let port = match &target.address {
        Address::Tcp(_, port) => *port,
        Address::Unix(_) => 6379,
    };
    target.address = Address::Tcp(name, port);
}

fn set_port(target: &mut Target, number: u16) {
    let host = match &target.address {
        Address::Tcp(host, _) => host.clone(),
        Address::Unix(_) => "127.0.0.1".into(),
    };
    target.address = Address::Tcp(host, number);
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8: {}", error.as_bytes().escape_ascii()))
}

/// The number of an option that takes none below zero.
fn number(name: &str, text: &str) -> Result<u64, String> {
    match text.parse::<i64>().map(u64::try_from) {
        Ok(Ok(number)) => Ok(number),
        Ok(Err(_)) if name.ends_with("-samples") => {
            Err(format!("{name} value should be positive."))
        }
        Ok(Err(_)) => Err(format!("{name} should be followed by a positive integer.")),
        Err(_) => Err(format!("{name} conversion error.")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|n| Duration::try_from_secs_f64(n).ok())
        .ok_or_else(|| format!("{text} is no number of seconds"))
}

/// An argument with its quotes and escapes undone; without quotes it stays as it is.
pub fn unquote(arg: &[u8]) -> Option<Vec<u8>> {
    if !arg.starts_with(b"\"") && !arg.starts_with(b"'") {
        return Some(arg.to_vec());
    }
    match quote::split(arg)?.as_slice() {
        [word] => Some(word.clone()),
        _ => None,
    }
}

/// What `--help` prints.
pub const USAGE: &str = "\
Usage: redpoll cli [OPTIONS] [cmd [arg [arg ...]]]

The server
  -h <hostname>        Host name or address (default: 127.0.0.1)
  -p <port>            Port (default: 6379)
  -s <socket>          Unix socket, instead of host and port
  -u <url>             redis://user:password@host:port/db or valkey://; rediss:// or valkeys:// for TLS; unix://path
  -n <db>              Number of the database
  -a, --pass <pw>      Password; the variable REDISCLI_AUTH (or VALKEYCLI_AUTH) keeps it from other users' eyes
  --user <name>        User of the password
  --askpass            Type the password
  --no-auth-warning    No warning of a password on the command line
  -t <seconds>         Give up connecting after so long (default: the system's patience)
  -4, -6               Prefer addresses of IPv4, of IPv6
  -2, -3               Speak RESP2 (the default but for --json), RESP3
  -c                   Follow MOVED and ASK
TLS
  --tls                Encrypt
  --sni <host>         Name that the certificate must have
  --cacert <file>      Certificates to trust (default: the system's)
  --cacertdir <dir>    A folder of such files
  --insecure           Trust every certificate
  --cert <file>        Certificate to authenticate with
  --key <file>         Its private key
  --tls-ciphers, --tls-ciphersuites <list>
                       Ciphers of TLS 1.2, of TLS 1.3, by OpenSSL's names with colons
Commands
  -r <n>               Run the command n times, -1 for ever
  -i <seconds>         Pause in between; also of --stat, --scan and other loops
  -x                   The last argument is what standard input holds
  -X <tag>             The argument <tag> is what standard input holds
  --quoted-input       Arguments have quotes and escapes
  --eval <file>        Run a script: key1 key2 , arg1 arg2
  -e                   A reply that is an error ends with status 1
Replies
  --raw, --no-raw      Bytes alone (default unless a terminal reads them), or for people
  --csv, --json        As CSV, as JSON
  --quoted-json        As JSON of plain ASCII, with bytes escaped
  -d, -D <text>        Between elements, after a reply, where it is raw (default: a line break)
  --show-pushes <yn>   Show messages of RESP3
Instead of commands
  --stat               Figures of the server, line by line
  --latency            How long PING takes
  --latency-history    The same, with a new line every 15 seconds (see -i)
  --latency-dist       The same as a distribution in colours, a line each second (see -i)
  --lru-test <keys>    A load as caches have it, four fifths of it for a fifth of the keys
  --intrinsic-latency <s> How long the machine itself makes programs wait, tried for s seconds
  --replica            What a primary sends its replicas, as CSV
  --bigkeys            Keys with most elements
  --memkeys            Keys that take most memory
  --memkeys-samples <n> The same, estimated from n elements of each
  --keystats           Both, and how sizes are distributed over all keys; Ctrl-C ends it early
  --keystats-samples <n> The same, with memory estimated from n elements of each
  --cursor <n>         Where --keystats begins: where an earlier one ended
  --top <n>            How many keys --keystats names (default: 10)
  --hotkeys            Keys used most: the server's own list, or by their LFU counters
  --hotkeys-count <n>  The same, n of them (default: 16)
  --scan               All keys
  --pattern, --quoted-pattern <pattern>
                       Only keys that match, of --scan, --bigkeys, --memkeys, --keystats, --hotkeys
  --count <n>          COUNT of their calls of SCAN
  --pipe               Send what standard input holds, in RESP or as lines
  --pipe-timeout <s>   Give up s seconds after the last reply (default: 30; 0: never)
  --rdb <file>         Fetch a snapshot; - is standard output
  --functions-rdb <file> The same, of functions only
  --verbose            Say more
  --help, --version

Without a command it is interactive; `help` there explains commands.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split(' ').map(OsString::from), None)
    }

    #[test]
    fn options_end_with_the_command() {
        let options = parse("-h h -p 7 -n 2 -r -1 GET -x").unwrap();
        assert_eq!(options.target.address, Address::Tcp("h".into(), 7));
        assert_eq!((options.target.db, options.repeat), (2, None));
        assert_eq!(options.command, [b"GET".to_vec(), b"-x".to_vec()]);
        assert!(!options.stdin_last);
    }

    #[test]
    fn json_asks_for_resp3_unless_told_otherwise() {
        assert_eq!(
            parse("--json GET").unwrap().target.resp3,
            Wish::Resp3IfThere
        );
        assert_eq!(parse("-2 --json GET").unwrap().target.resp3, Wish::Resp2);
        assert_eq!(parse("-3 GET").unwrap().target.resp3, Wish::Resp3);
    }

    #[test]
    fn tls_may_be_said_in_any_order() {
        let options = parse("--cacert f -u rediss://h:1 PING").unwrap();
        assert_eq!(options.target.tls.unwrap().cacert.as_deref(), Some("f"));
        assert!(parse("--cacert f PING").unwrap().target.tls.is_none());
    }

    #[test]
    fn what_is_not_there_says_so() {
        assert_eq!(
            parse("--nosuch").unwrap_err(),
            "Unrecognized option or bad number of args for: '--nosuch'"
        );
        assert_eq!(
            parse("-p").unwrap_err(),
            "Unrecognized option or bad number of args for: '-p'"
        );
        assert!(parse("--ldb x").unwrap_err().contains("has no --ldb"));
        for bad in [
            "-p x",
            "-i x",
            "-n x",
            "-r x",
            "--show-pushes q",
            "--lru-test 0",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
