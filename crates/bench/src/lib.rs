//! `redpoll bench`: a load generator for anything that speaks RESP.
//!
//! A load generator on the same machine as the server competes with it for the same cores, so what it costs itself
//! decides what it can measure. This one renders a request by copying fixed bytes and overwriting the digits that
//! change, skips replies without building them, and reads the clock once per read. Each thread runs its own epoll
//! loop over its own connections; threads share nothing but a phase flag and a counter each.
//!
//! | file | what |
//! |---|---|
//! | `args` | the command line, checked and turned into a `Plan` |
//! | `template` | command templates and how a request is rendered from one |
//! | `draw` | random numbers and which key comes next |
//! | `skip` | finds the ends of replies in a stream of bytes |
//! | `connect` | opens connections and greets the server |
//! | `worker` | the loop of one thread |
//! | `stage` | runs workers through warm-up and measurement, and samples the server |
//! | `process` | CPU time and resident memory of a process |
//! | `report` | text for people, JSON for programs |

mod args;
mod connect;
mod draw;
mod process;
mod report;
mod skip;
mod stage;
mod template;
#[cfg(test)]
mod tests;
mod worker;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

/// Runs the load generator.
///
/// `args` are the words that follow `redpoll bench`; neither the program's name nor the word `bench` is among them.
/// The report goes to standard output, the progress bar and complaints to standard error.
///
/// Leaves with status 0 after a complete run, 1 when the run failed (or, with `--verify-errors`, when a reply was an
/// error), 2 when the command line makes no sense.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let parsed = match args::Args::try_parse_from(args) {
        Ok(parsed) => parsed,
        Err(help_or_error) => {
            let status = u8::try_from(help_or_error.exit_code()).unwrap_or(2);
            // Nothing useful is left to do when even the message cannot be written.
            let _ = help_or_error.print();
            return ExitCode::from(status);
        }
    };
    let plan = match args::Plan::new(&parsed) {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("redpoll bench: {why}");
            return ExitCode::from(2);
        }
    };
    match run(&plan) {
        Ok(errors) if errors > 0 && plan.verify_errors => {
            eprintln!("redpoll bench: {errors} replies were errors");
            ExitCode::FAILURE
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("redpoll bench: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the stages the plan asks for and prints the report. Returns the number of error replies.
fn run(plan: &args::Plan) -> Result<u64, String> {
    let mut load = None;
    let mut measured = None;
    if let Some(template) = &plan.load {
        load = Some(stage::run(plan, &stage::Stage::load(plan, template))?);
    }
    if !plan.load_only {
        measured = Some(stage::run(plan, &stage::Stage::measure(plan))?);
    }
    let errors = [&load, &measured]
        .into_iter()
        .flatten()
        .map(|outcome| outcome.errors.total)
        .sum();
    let text = if plan.json {
        report::json(plan, load.as_ref(), measured.as_ref())
    } else {
        report::text(plan, load.as_ref(), measured.as_ref())
    };
    report::print(&text).map_err(|why| format!("cannot write the report: {why}"))?;
    Ok(errors)
}
