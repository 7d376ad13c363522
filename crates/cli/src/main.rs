//! The program `redpoll`: the server by default, and its tools as subcommands.

use engine::config::{Config, directives};
use engine::{Engine, Host, SaveMode, ShutdownMode};
use keeper::Keeper;
use replication::Hub;
use server::{Server, ServerHost, ServerOptions, logging, system};
use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

mod allocator;
mod check;

const USAGE: &str = "\
Redpoll, an in-memory data store that speaks the Redis protocol.

Usage: redpoll [/path/to/redis.conf|-] [--directive value ...] [-]
       redpoll cli [options] [command ...]
                                    a client like redis-cli; see redpoll cli --help
       redpoll top [options]        what a server does now; see redpoll top --help
       redpoll bench [options]      load generator; see redpoll bench --help
       redpoll check-rdb file       what a snapshot holds and what is wrong with it
       redpoll check-aof [--fix] path
                                    the same of an append-only log, and cuts a damaged end off
       redpoll -v | --version
       redpoll -h | --help

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
        Some("-h" | "--help") => {
            print!("{USAGE}");
            for row in directives() {
                let default = if row.default.is_empty() {
                    "\"\""
                } else {
                    row.default
                };
                println!("  {} {default}\n      {}", row.name, row.doc);
            }
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redpoll: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Loads the data set beside the server, whose clients are told so until it is there. If it cannot be loaded the server is
/// stopped. `kinds` are those of its TCP listeners.
fn load(
    engine: &Engine,
    keeper: &Keeper,
    hub: &Hub,
    host: &dyn Host,
    kinds: &[&str],
) -> Result<(), String> {
    let loaded = keeper.load();
    if loaded.is_err() {
        if engine.loading.is_stopped() {
            tracing::info!("The server stops before its data set is loaded");
            return Ok(());
        }
        let now = ShutdownMode {
            now: true,
            ..ShutdownMode::default()
        };
        // If it is not running any more, there is nothing to stop.
        let _ = host.shutdown(now);
        return loaded;
    }
    hub.loaded();
    for kind in kinds {
        tracing::info!("Ready to accept connections {kind}");
    }
    if let Some(path) = engine.config().unixsocket() {
        tracing::info!("Ready to accept connections unix ({})", path.display());
    }
    Ok(())
}

/// Serves until a signal or SHUTDOWN ends it.
fn serve(args: impl Iterator<Item = OsString>) -> Result<(), Box<dyn Error>> {
    let config = Config::from_args(args)?;
    let dir = config.dir();
    system::enter_dir(&config).map_err(|error| format!("dir '{}': {error}", dir.display()))?;
    let level = logging::install(&config).map_err(|error| format!("logfile: {error}"))?;
    let host = ServerHost::new();
    host.set_log_level(level);
    host.set_allocator(server::Allocator {
        name: allocator::name(),
        collect: allocator::collect,
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

    tracing::info!(
        "Redpoll {} starting with {} threads",
        env!("CARGO_PKG_VERSION"),
        config.threads()
    );
    tell_of_moot(&config);
    let engine = Engine::new(config, host.clone());
    engine.load_users()?;
    let keeper = Keeper::prepare(&engine)?;
    let hub = Hub::start(&engine, &keeper)?;
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
    let loader = {
        let (engine, keeper, host) = (engine.clone(), keeper.clone(), host.clone());
        let hub = hub.clone();
        std::thread::Builder::new()
            .name("loader".into())
            .spawn(move || load(&engine, &keeper, &hub, &*host, &kinds))?
    };
    running.join();
    drop(pid_file);
    engine.loading.stop();
    match loader.join() {
        Ok(loaded) => loaded?,
        Err(_) => return Err("loading the data set panicked; the log says where".into()),
    }
    hub.close();
    let saves = match host.save_mode() {
        SaveMode::NoSave => false,
        SaveMode::Save => true,
        SaveMode::Configured => keeper.saves_at_the_end(),
    };
    keeper.close(saves)?;
    tracing::info!("Bye");
    // The process is about to end: giving back millions of entries one by one would only delay that.
    std::mem::forget::<Arc<Engine>>(engine);
    Ok(())
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
