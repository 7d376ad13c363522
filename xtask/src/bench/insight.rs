//! What it costs to be told what a server is doing: a scrape of `/metrics` with many clients and commands, and everything that counts,
//! scrapes and looks against the same server without.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Bench;
use super::client::Client;
use super::load;
use super::saving::{Figure, figures};
use super::scenarios::Cores;
use super::servers::{Contender, Server};

/// All of them, with what they are. Peers have no such port.
pub const ALL: [(&str, &str); 2] = [
    (
        "insight/scrape",
        "a scrape of /metrics with 10,000 clients and all harmless commands used",
    ),
    (
        "insight/all",
        "CPU of requests with latency tracking, command logs, scrapes and a console, and without, at P=16 and P=64",
    ),
];

/// The rows that goals are about.
pub const SCRAPE: &str = "a scrape of /metrics with 10,000 clients, median (ms)";
pub const MORE: &str = "everything of insight on: more CPU a request (%), ";

/// Measures one of them in a server.
pub fn measure(bench: &Bench, name: &str, contender: &Contender) -> Result<Vec<Figure>> {
    if !contender.is_redpoll() {
        return Ok(Vec::new());
    }
    let mut rows = Vec::new();
    match name {
        "insight/scrape" => scrape(bench, contender, &mut rows)?,
        _ => all(bench, contender, &mut rows)?,
    }
    Ok(figures(rows, contender))
}

type Rows = Vec<(String, f64)>;

/// Clients beside a scrape.
const CLIENTS: usize = 10_000;

/// Scrapes that are timed.
const SCRAPES: usize = 100;

/// Commands that wait, end the connection or the server, or change what it is.
const NOT_USED: &[&str] = &[
    "acl|load",
    "acl|save",
    "auth",
    "bgrewriteaof",
    "bgsave",
    "client|kill",
    "client|pause",
    "client|reply",
    "config|resetstat",
    "config|rewrite",
    "debug",
    "discard",
    "exec",
    "failover",
    "hello",
    "migrate",
    "monitor",
    "multi",
    "psubscribe",
    "psync",
    "quit",
    "replconf",
    "replicaof",
    "reset",
    "save",
    "script|kill",
    "shutdown",
    "slaveof",
    "ssubscribe",
    "subscribe",
    "sync",
    "wait",
    "waitaof",
];

fn scrape(bench: &Bench, contender: &Contender, rows: &mut Rows) -> Result<()> {
    let http = bench.first_port + 1;
    let port = http.to_string();
    let most = (CLIENTS + 100).to_string();
    let server = Server::start_with(
        &bench.programs,
        contender,
        bench.first_port,
        Cores::All,
        &["--http-port", &port, "--maxclients", &most],
    )?;
    let mut control = Client::connect(&server)?;
    let names = control.text(&["EVAL", COMMANDS, "0"])?;
    let mut used = 0;
    for line in names.lines() {
        let (name, arity) = line.split_once(' ').context("a command and its arity")?;
        if NOT_USED.contains(&name) {
            continue;
        }
        let mut words: Vec<&str> = name.split('|').collect();
        let arity: i64 = arity.parse().context("an arity")?;
        words.resize(words.len().max(arity.unsigned_abs() as usize), "1");
        // Most are errors, which are calls as well.
        let _ = control.call(&words);
        used += 1;
    }
    let clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| server.connect())
        .collect::<Result<_, _>>()
        .context("no room for so many clients (ulimit -n)")?;
    eprintln!(
        "{used} commands were used, {} clients are there",
        clients.len()
    );
    let (mut took, mut bytes) = (Vec::new(), 0);
    let before = server.usage()?;
    for _ in 0..SCRAPES {
        let began = Instant::now();
        bytes = get(http, "/metrics")?.len();
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let cpu = server.usage()?.cpu_since(&before).as_secs_f64() * 1e3 / SCRAPES as f64;
    rows.push((SCRAPE.into(), load::median(took).unwrap_or_default()));
    rows.push(("the same: CPU (ms)".into(), cpu));
    rows.push(("the same: kilobytes".into(), bytes as f64 / 1024.0));
    Ok(())
}

/// A line for each command and subcommand: its name and its arity.
const COMMANDS: &str = "local lines = {} \
    local function add(all) for _, c in ipairs(all) do \
      if #c[10] > 0 then add(c[10]) else lines[#lines + 1] = c[1] .. ' ' .. c[2] end end end \
    add(redis.call('COMMAND')) return table.concat(lines, '\\n')";

/// Switches everything off that there is a switch for, or on.
fn switch(control: &mut Client, on: bool, http: u16) -> Result<()> {
    let of = |on: &'static str, off: &'static str, is: bool| if is { on } else { off };
    let port = if on { http.to_string() } else { "0".into() };
    for (name, value) in [
        ("latency-tracking", of("yes", "no", on)),
        ("hotkey-tracking", of("yes", "no", on)),
        ("slowlog-log-slower-than", of("10000", "-1", on)),
        ("commandlog-request-larger-than", of("1048576", "-1", on)),
        ("commandlog-reply-larger-than", of("1048576", "-1", on)),
        ("http-port", &port),
    ] {
        control.call(&["CONFIG", "SET", name, value])?;
    }
    Ok(())
}

fn all(bench: &Bench, contender: &Contender, rows: &mut Rows) -> Result<()> {
    let time = format!("{}ms", bench.settings.time.as_millis());
    let keys = bench.settings.shared_keys.to_string();
    let http = bench.first_port + 1;
    let server = bench.start(contender, bench.first_port, Cores::OnePinned)?;
    let redpoll = &bench.programs.redpoll;
    load::fill(
        redpoll,
        &server,
        Cores::OnePinned,
        bench.settings.shared_keys,
    )?;
    let mut control = Client::connect(&server)?;
    for pipeline in ["16", "64"] {
        for command in ["SET {key} {value}", "GET {key}"] {
            let args = load::on_one_core(command, &keys, pipeline, &time);
            let mut taken = [Vec::new(), Vec::new()];
            for round in 0..bench.settings.rounds {
                // Each goes first as often as the other.
                for on in [round % 2 == 0, round % 2 == 1] {
                    switch(&mut control, on, http)?;
                    let report =
                        beside(on.then_some(http), || load::report(redpoll, &server, &args))?;
                    taken[usize::from(on)].push(load::cpu_us(&report)?);
                }
            }
            // Of each round by itself: what else the machine does changes from one to the next.
            let more = taken[0].iter().zip(&taken[1]);
            let more = more.map(|(without, with)| (with / without - 1.0) * 100.0);
            let more = load::median(more.collect()).unwrap_or_default();
            let [without, with] = taken.map(|taken| load::median(taken).unwrap_or_default());
            let what = format!("{}, P={pipeline}", &command[..3]);
            rows.push((format!("{what}, all off: server CPU (us)"), without));
            rows.push((format!("{what}, all on: server CPU (us)"), with));
            rows.push((format!("{MORE}{what}"), more));
        }
    }
    Ok(())
}

/// Runs a load, and beside it, if there is a port for that, scrapes every five seconds and a page of the console as it is open
/// in a browser.
fn beside<T>(http: Option<u16>, load: impl FnOnce() -> Result<T>) -> Result<T> {
    let Some(http) = http else { return load() };
    let done = AtomicBool::new(false);
    let every =
        |period: Duration, done: &AtomicBool, work: &mut dyn FnMut() -> Result<()>| -> Result<()> {
            while !done.load(Ordering::Relaxed) {
                work()?;
                let next = Instant::now() + period;
                while Instant::now() < next && !done.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(20));
                }
            }
            Ok(())
        };
    thread::scope(|scope| {
        let scraping = scope.spawn(|| {
            every(Duration::from_secs(5), &done, &mut || {
                get(http, "/metrics").map(drop)
            })
        });
        let looking = scope.spawn(|| {
            let console = Console::open(http)?;
            every(Duration::from_secs(2), &done, &mut || console.refresh())
        });
        let outcome = load();
        done.store(true, Ordering::Relaxed);
        for thread in [scraping, looking] {
            match thread.join() {
                Ok(outcome) => outcome?,
                Err(_) => bail!("a thread beside the load has panicked"),
            }
        }
        outcome
    })
}

/// The page Now, as it is open in a browser: a stream of figures, and two panels that ask every two seconds.
struct Console {
    http: u16,
    head: String,
    /// What comes is left to the kernel's buffers, which are larger than what comes.
    _events: TcpStream,
}

impl Console {
    fn open(http: u16) -> Result<Console> {
        let login = r#"{"user":"default","password":""}"#;
        let answer = ask(http, "POST", "/api/login", "", login)?;
        let part = |from: &str, to: char| -> Result<String> {
            let rest = answer.split(from).nth(1).context("a login's answer")?;
            Ok(rest.split(to).next().unwrap_or_default().to_owned())
        };
        let cookie = part("set-cookie: ", ';')?;
        let head = format!(
            "Cookie: {cookie}\r\nX-CSRF-Token: {}\r\n",
            part("\"csrf\":\"", '"')?
        );
        let mut events = TcpStream::connect((Ipv4Addr::LOCALHOST, http))?;
        let request = written(http, "GET", "/api/events?stats=1&slow=1", &head, "");
        events.write_all(request.as_bytes())?;
        Ok(Console {
            http,
            head,
            _events: events,
        })
    }

    fn refresh(&self) -> Result<()> {
        for body in [
            r#"{"args":["HOTKEYS","TOP","BY","OPS","COUNT","16"]}"#,
            r#"{"args":["INFO","SHARDS"]}"#,
        ] {
            ask(self.http, "POST", "/api/command", &self.head, body)?;
        }
        Ok(())
    }
}

fn get(http: u16, path: &str) -> Result<String> {
    ask(http, "GET", path, "", "")
}

/// The whole answer to a request.
fn ask(http: u16, method: &str, path: &str, head: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, http))?;
    let head = format!("Connection: close\r\n{head}");
    stream.write_all(written(http, method, path, &head, body).as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    match answer.starts_with("HTTP/1.1 200 ") {
        true => Ok(answer),
        false => bail!("{path}: {}", answer.lines().next().unwrap_or_default()),
    }
}

fn written(http: u16, method: &str, path: &str, head: &str, body: &str) -> String {
    let kind = match body {
        "" => String::new(),
        body => format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        ),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{http}\r\n{kind}{head}\r\n{body}")
}
