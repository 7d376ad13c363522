//! The program `redpoll`: the server by default, and its tools as subcommands.

use engine::config::{Config, Directive, directives};
use engine::{Engine, SaveMode};
use keeper::Keeper;
use replication::Hub;
use server::service::Supervisor;
use server::{Server, ServerHost, ServerOptions, logging, system};
use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

mod allocator;
mod check;
mod crash;
mod daemon;
mod migrate;
mod pages;
mod title;

const USAGE: &str = "\
Redpoll, an in-memory data store that speaks the Redis protocol.

Usage: redpoll [/path/to/redis.conf|-] [--directive value ...] [-]
       redpoll cli [options] [command ...]
                                    a client like redis-cli; see redpoll cli --help
       redpoll top [options]        what a server does now; see redpoll top --help
       redpoll bench [options]      load generator; see redpoll bench --help
       redpoll check-rdb file       what a snapshot holds and what is wrong with it
       redpoll check-aof [--fix | --truncate-to-timestamp seconds] path
                                    the same of an append-only log, and cuts a damaged end off
       redpoll migrate --from redis://OLD --to redis://NEW
                                    moves a data set between servers in use; see redpoll migrate --help
       redpoll -v | --version
       redpoll -h | --help [word]   this page, or the directives with a word in their names

A lone dash reads directives from standard input.

Examples:
       redpoll
       redpoll --port 7777 --bind 127.0.0.1 ::1
       redpoll /etc/redpoll.conf --loglevel verbose
       echo 'maxclients 100' | redpoll -

Directives, each with its default:
";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    match args.peek().and_then(|first| first.to_str()) {
        Some("bench") => return bench::main(args.skip(1)),
        Some("cli") => return terminal::cli(args.skip(1)),
        Some("top") => return terminal::top(args.skip(1)),
        Some("check-rdb") => return check::rdb(args.skip(1)),
        Some("check-aof") => return check::aof(args.skip(1)),
        Some("migrate") => return migrate::main(args.skip(1)),
        Some("-v" | "--version") => {
            // The version of Redis that it is compatible with stands where programs look for a version.
            println!(
                "Redpoll server v={} redpoll={} malloc={} bits={}",
                engine::REDIS_VERSION,
                env!("CARGO_PKG_VERSION"),
                allocator::name(),
                usize::BITS
            );
            return ExitCode::SUCCESS;
        }
        Some("-h" | "--help") => return help(args.nth(1)),
        _ => {}
    }
    let ended = Config::from_args(args).map_err(Into::into).and_then(begin);
    ended.unwrap_or_else(|error| failed(&*error))
}

/// Prints how the program is called and every directive, or only those whose names have a word in them.
fn help(word: Option<OsString>) -> ExitCode {
    let word = word.map(|word| word.to_string_lossy().to_ascii_lowercase());
    let mut page = String::new();
    if word.is_none() {
        page.push_str(USAGE);
    }
    let word = word.unwrap_or_default();
    let word = word.trim_start_matches('-');
    let named = |row: &&Directive| {
        let mut names = row.aliases.iter().chain(std::iter::once(&row.name));
        names.any(|name| name.contains(word))
    };
    let mut rows = directives().iter().filter(named).peekable();
    if rows.peek().is_none() {
        let why = format!("no directive has '{word}' in its name");
        return failed(&*Box::<dyn Error>::from(why));
    }
    for row in rows {
        let default = if row.default.is_empty() {
            "\"\""
        } else {
            row.default
        };
        let _ = writeln!(page, "  {} {default}\n      {}", row.name, row.doc);
    }
    // Whoever reads it may have seen enough.
    let _ = io::stdout().lock().write_all(page.as_bytes());
    ExitCode::SUCCESS
}

fn failed(why: &dyn Error) -> ExitCode {
    eprintln!("redpoll: {why}");
    ExitCode::FAILURE
}

/// The server waits so long for the data set before it serves: who comes as soon as it listens finds a small one loaded, as with real servers.
const LOAD_FIRST: Duration = Duration::from_millis(100);

/// Loads the data set, and `tell`s whether it is there. Clients of a server that serves meanwhile are told that it is loading, and if it cannot
/// be loaded the server is stopped. `serving` brings the kinds of its TCP listeners, or ends where there is to be no server.
fn load(
    engine: &Engine,
    keeper: &Keeper,
    hub: &Hub,
    host: &ServerHost,
    tell: &mpsc::Sender<bool>,
    serving: &mpsc::Receiver<Vec<&str>>,
) -> Result<(), String> {
    host.supervisor().tell_loading();
    let loaded = keeper.load();
    if loaded.is_ok() {
        hub.loaded();
    }
    // Nobody waits for it if it took long.
    let _ = tell.send(loaded.is_ok());
    let Ok(kinds) = serving.recv() else {
        return loaded;
    };
    if loaded.is_err() {
        if engine.loading.is_stopped() {
            tracing::info!("The server stops before its data set is loaded");
            return Ok(());
        }
        host.stop_now();
        return loaded;
    }
    for kind in kinds {
        tracing::info!("Ready to accept connections {kind}");
    }
    if let Some(path) = engine.config().unixsocket() {
        tracing::info!("Ready to accept connections unix ({})", path.display());
    }
    host.supervisor().tell_ready();
    pages::drop_what_the_start_used();
    Ok(())
}

/// Serves here, or in another process if the server is to go on in the background.
fn begin(config: Config) -> Result<ExitCode, Box<dyn Error>> {
    let supervisor = Supervisor::of(&config)?;
    let mut background = if config.flag("daemonize") && supervisor == Supervisor::None {
        match daemon::begin().map_err(|error| format!("daemonize: {error}"))? {
            daemon::Role::Started(code) => return Ok(code),
            daemon::Role::Background(background) => Some(background),
        }
    } else {
        None
    };
    let served = serve(config, supervisor, &mut background);
    // Before who has begun it stops waiting.
    let code = served.map_or_else(|error| failed(&*error), |()| ExitCode::SUCCESS);
    drop(background);
    Ok(code)
}

/// Lets `ps` show what the server is, if it may.
fn show_title(config: &Config, host: &ServerHost) {
    let program = std::env::args().next().unwrap_or_default();
    if config.flag("set-proc-title")
        // SAFETY: no thread has been started, the configuration has been read, and what `args` returned is a copy.
        && let Some(title) = unsafe { title::Title::take() }
    {
        host.set_title(&program, move |text| title.show(text));
        host.show_title(config);
    }
}

/// Serves until a signal or SHUTDOWN ends it.
fn serve(
    config: Config,
    supervisor: Supervisor,
    background: &mut Option<daemon::Background>,
) -> Result<(), Box<dyn Error>> {
    let host = ServerHost::new();
    show_title(&config, &host);
    system::choose_processors(&config).map_err(|error| format!("server-cpulist: {error}"))?;
    let dir = config.dir();
    system::enter_dir(&config)
        .map_err(|error| format!("dir '{}': {}", dir.display(), system::reason(&error)))?;
    let level = logging::install(&config)?;
    host.set_log_level(level);
    host.set_supervisor(supervisor);
    host.set_allocator(server::Allocator {
        name: allocator::name(),
        collect: allocator::collect,
        give_back_after: Some(allocator::give_back_after),
        stats: Some(allocator::stats),
        huge_pages: (!config.flag("disable-thp")).then_some(allocator::allow_huge_pages),
    });
    let wanted = config.number("maxclients") as usize;
    let possible = system::allow_clients(wanted);
    if possible == 0 {
        return Err("the limit on open files (ulimit -n) leaves none for clients".into());
    }
    if possible < wanted {
        tracing::warn!(
            "Lowered maxclients from {wanted} to {possible}: no more files may be open (ulimit -n)"
        );
        config.record("maxclients", &possible.to_string())?;
    }
    if let Some(limit) = system::lower_backlog(&config) {
        let wanted = config.tcp_backlog();
        tracing::warn!("tcp-backlog is {wanted}, but net.core.somaxconn lets only {limit} wait");
    }
    system::apply_huge_pages(&config).map_err(|error| format!("disable-thp: {error}"))?;

    if let Err(error) = host.apply_oom_score(&config) {
        tracing::warn!("oom-score-adj: {error}");
    }

    tracing::info!(
        "Redpoll {} starting with {} threads",
        env!("CARGO_PKG_VERSION"),
        config.threads()
    );
    tell_of_moot(&config);
    let engine = Engine::new(config, host.clone());
    if let Err(error) = crash::install(&engine) {
        tracing::warn!("Crashes will not be reported: {error}");
    }
    engine.load_users()?;
    host.heed_load(&engine.loading);
    let keeper = Keeper::prepare(&engine)?;
    let hub = Hub::start_with(&engine, &keeper, server::dial::dialler())?;
    let (tell_loaded, loaded) = mpsc::channel();
    let (tell_serving, serving) = mpsc::channel();
    let loader = {
        let (engine, keeper, host) = (engine.clone(), keeper.clone(), host.clone());
        let hub = hub.clone();
        let load = move || load(&engine, &keeper, &hub, &host, &tell_loaded, &serving);
        std::thread::Builder::new()
            .name("loader".into())
            .spawn(load)?
    };
    if loaded.recv_timeout(LOAD_FIRST) == Ok(false) {
        drop(tell_serving);
        return Ok(joined(loader)?);
    }
    let options = ServerOptions {
        signals: true,
        ..ServerOptions::new(host.clone())
    };
    let running = Server::start(engine.clone(), options)?;
    let pid_file = system::PidFile::write(engine.config()).unwrap_or_else(|error| {
        tracing::warn!("Could not write the pid file: {error}");
        None
    });
    let kinds: Vec<&str> = [
        ("tcp", running.tcp_addresses()),
        ("tls", running.tls_addresses()),
    ]
    .into_iter()
    .filter_map(|(kind, addresses)| (!addresses.is_empty()).then_some(kind))
    .collect();
    let _ = tell_serving.send(kinds);
    if let Some(background) = background.take() {
        background
            .ready()
            .map_err(|error| format!("daemonize: {error}"))?;
    }
    running.join();
    drop(pid_file);
    engine.loading.stop();
    joined(loader)?;
    let server::End { mode, patience } = host.end();
    hub.close(patience);
    let saves = match mode.save {
        SaveMode::NoSave => false,
        SaveMode::Save => true,
        SaveMode::Configured => keeper.saves_at_the_end(),
    };
    match keeper.close(saves) {
        // The log has its line about it.
        Err(_) if mode.force => {}
        closed => closed?,
    }
    tracing::info!("Redpoll is ready to exit, bye bye");
    // The process is about to end: giving back millions of entries one by one would only delay that.
    std::mem::forget::<Arc<Engine>>(engine);
    Ok(())
}

/// What came of loading.
fn joined(loader: JoinHandle<Result<(), String>>) -> Result<(), String> {
    let loaded = loader.join();
    loaded.unwrap_or_else(|_| Err("loading the data set panicked; the log says where".into()))
}

/// Says which of the directives that are set change nothing, and why.
fn tell_of_moot(config: &Config) {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, why) in config.moot() {
        by_reason.entry(why).or_default().push(name);
    }
    for (why, names) in by_reason {
        let change = if names.len() == 1 {
            "changes"
        } else {
            "change"
        };
        tracing::warn!("{} {change} nothing: {why}", names.join(", "));
    }
}
