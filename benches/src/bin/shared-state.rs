//! Measures the strategies of the Tokio tutorial's chapter "Shared state" side by side; see the library's
//! `shared_state`. Prints a table, and writes a CSV, a plot, and the table into the page that explains them.

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
    /// Seconds, in all, for taking measurements again that other programs disturbed.
    #[arg(long, default_value_t = 300.0)]
    patience: f64,
    /// Folder for shared-state.csv and shared-state.svg, and for the table in shared-state.md if there is such a page
    /// [default: the workspace's docs].
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
    let seconds = |n: f64| Duration::try_from_secs_f64(n).map_err(|why| why.to_string());
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
        time: seconds(args.seconds)?,
        rounds: args.rounds,
        patience: seconds(args.patience)?,
    };
    let outcome = shared_state::run(&settings, |now| eprintln!("{now}"))?;
    let figures = outcome.figures;
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
    let mut text = format!(
        "Measured {} on {}: medians of {} rounds of {} s.\n\n{table}",
        chrono::Utc::now().format("%Y-%m-%d"),
        machine(),
        settings.rounds,
        args.seconds
    );
    if outcome.disturbed > 0 {
        text += &format!(
            "\nOther programs were at work on the machine during {} of the {} measurements.\n",
            outcome.disturbed,
            figures.len() * settings.rounds
        );
    }
    print!("{text}");
    if let Ok(page) = fs::read_to_string(out.join("shared-state.md")) {
        write(
            "shared-state.md",
            shared_state::put_into_page(&page, &text)?,
        )?;
    }
    Ok(())
}

/// Cores and processor, as far as the system tells.
fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(':'))
        .map_or("an unknown processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} cores of {model}")
}
