//! Measures the strategies of the Tokio tutorial's chapter "Shared state" side by side; see the library's
//! `shared_state`. Prints a table, and writes a CSV and a plot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use redpoll_benches::shared_state::{self, Settings, plot};

/// Ways of sharing one map between tasks, under contention.
#[derive(Parser)]
struct Args {
    /// Numbers of tasks.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8, 16])]
    tasks: Vec<usize>,
    /// Keys in the map.
    #[arg(long, default_value_t = 100_000)]
    keys: usize,
    /// Seconds of one measurement.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Measurements of each figure, whose median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Folder for shared-state.csv and shared-state.svg [default: the workspace's docs].
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("shared-state: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let time = Duration::try_from_secs_f64(args.seconds).map_err(|why| why.to_string())?;
    if args.tasks.contains(&0) || args.keys == 0 || args.rounds == 0 {
        return Err("--tasks, --keys and --rounds must be at least 1".to_string());
    }
    let mut tasks = args.tasks.clone();
    tasks.sort_unstable();
    tasks.dedup();
    let settings = Settings {
        tasks,
        keys: args.keys,
        value_size: 64,
        sets_percent: 10,
        time,
        rounds: args.rounds,
    };
    let figures = shared_state::run(&settings, |now| eprintln!("{now}"))?;
    let table = shared_state::table(&figures);
    let title = format!(
        "One map of {} keys, {} % get and {} % set",
        settings.keys,
        100 - settings.sets_percent,
        settings.sets_percent
    );
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs"));
    let write = |name: &str, text: String| {
        let path = out.join(name);
        fs::write(&path, text).map_err(|why| format!("{}: {why}", path.display()))
    };
    write("shared-state.csv", shared_state::csv(&figures))?;
    write("shared-state.svg", plot::svg(&title, &figures))?;
    print!("{table}");
    Ok(())
}
