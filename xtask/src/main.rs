//! `cargo xtask`: what a developer runs, and what CI runs, are the same commands.
//!
//! Each task is a module: `fetch` brings the real servers and clients that the tests speak to, `peers` finds them,
//! `test` runs everything that can run on this machine, `suite` the tests of others, `check`, `layers`, `docs` and `deny` hold the rules that a compiler does not,
//! `package` tries what publishing would do, `bench` measures.

mod bench;
mod check;
mod deb;
mod deny;
mod docs;
mod fetch;
mod fuzz;
mod layers;
mod library;
mod memcheck;
mod package;
mod page;
mod peers;
mod rooms;
mod run;
mod suite;
mod surface;
mod test;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The command line of `cargo xtask`.
#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks for people who work on Redpoll")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Fetch what the tests need into .peers/ and run all of them
    Test(test::Options),
    /// Formatting, lints, documentation and layer checks, then everything that `test` runs
    Ci(test::Options),
    /// Measure Redpoll and the servers beside it, in one run
    Bench(bench::Options),
    /// Only fetch the servers and clients that the tests speak to
    Fetch,
    /// Only the layer checks: which crate, and which room inside of a crate, may import which
    Layers {
        /// Print the rooms' imports as they are, in the form of the tables
        #[arg(long)]
        print: bool,
    },
    /// Only the check of pages: whether the files, folders and items that they name are there
    Docs,
    /// Build the Debian package, where cargo-deb is, and look into it
    Deb,
    /// Only the check of dependencies: licences, sources, and crates that must not come in
    Deny,
    /// Run each fuzz target for some seconds, where cargo-fuzz and a nightly toolchain are
    Fuzz {
        /// How long each of them runs
        #[arg(long, default_value_t = 30)]
        seconds: u32,
    },
    /// Make every crate's package in the order of publishing, and build each from its package
    Package,
    /// Build the console's page into crates/http/ui/dist, with Node and npm
    Page,
    /// Only Redis's own tests, and those of redis-py and fakeredis, against Redpoll
    Suite(suite::Options),
    /// Only the tests of the crates with unsafe modules, under valgrind memcheck
    Memcheck,
}

fn main() -> ExitCode {
    match perform(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Test(options) => test::main(&options),
        Task::Ci(options) => {
            // Each part runs whatever the others say: one run shows all that is wrong, and its end names it.
            let parts = [
                ("checks", check::main()),
                ("tests", test::main(&options)),
                ("fuzzing", fuzz::main(5)),
            ];
            let failed = parts
                .into_iter()
                .filter_map(|(part, done)| done.err().map(|e| format!("{part}: {e:#}")));
            let failed: Vec<String> = failed.collect();
            if !failed.is_empty() {
                anyhow::bail!("{}", failed.join("; "));
            }
            println!("checks, tests and fuzzing: all passed");
            Ok(())
        }
        Task::Bench(options) => bench::main(&options),
        Task::Fetch => {
            let report = fetch::all();
            report.print();
            report.complete_in_ci()
        }
        Task::Deb => deb::main(),
        Task::Deny => deny::check(),
        Task::Docs => docs::check(),
        Task::Layers { print: true } => layers::print(),
        Task::Layers { print: false } => layers::check(),
        Task::Fuzz { seconds } => fuzz::main(seconds),
        Task::Package => package::main(),
        Task::Page => page::main(),
        Task::Suite(options) => suite::main(&options),
        Task::Memcheck => memcheck::main(),
    }
}
