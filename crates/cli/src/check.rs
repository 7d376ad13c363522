//! `redpoll check-rdb` and `redpoll check-aof`: what files of data hold and what is wrong with them, without loading them.

use clap::Parser;
use disk::{
    Disk, Lock, RealDisk,
    check::{Repair, check_aof},
    lock_folder,
};
use rdb::file::{ReadOptions, Report, Summary, check};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Reads a snapshot as a start does and says what it holds and what is wrong with it.
///
/// Leaves with status 0 if nothing is, 1 if something is, 2 when the command line makes no sense.
#[derive(Debug, Parser)]
#[command(name = "redpoll check-rdb", no_binary_name = true)]
struct CheckRdb {
    /// The snapshot.
    file: PathBuf,
}

/// Reads an append-only log as a start does and says what it holds and what is wrong with it.
///
/// Leaves with status 0 if nothing is (any more), 1 if something is, 2 when the command line makes no sense.
#[derive(Debug, Parser)]
#[command(name = "redpoll check-aof", no_binary_name = true)]
struct CheckAof {
    /// Cut what is torn or damaged off the end of the last file. What was damaged is kept in a file beside it.
    #[arg(long)]
    fix: bool,
    /// Cut what is later than this (seconds since 1970) off the end of the last file, as far as the timestamps in it tell
    /// (`aof-timestamp-enabled`).
    #[arg(long, value_name = "SECONDS", conflicts_with = "fix")]
    truncate_to_timestamp: Option<u64>,
    /// The log: its folder, its manifest, or one file.
    path: PathBuf,
}

/// Parses the words that follow the tool's name; an error is the status to leave with.
fn parse<T: Parser>(args: impl Iterator<Item = OsString>) -> Result<T, ExitCode> {
    T::try_parse_from(args).map_err(|help_or_error| {
        let status = u8::try_from(help_or_error.exit_code()).unwrap_or(2);
        // Nothing useful is left to do when even the message cannot be written.
        let _ = help_or_error.print();
        ExitCode::from(status)
    })
}

/// Writes a report to standard output. Who reads it may have read enough, which is no failure.
fn print(report: &str) {
    let _ = io::stdout().lock().write_all(report.as_bytes());
}

fn leave(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// `redpoll check-rdb`. `args` are the words that follow it.
pub fn rdb(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args = match parse::<CheckRdb>(args) {
        Ok(args) => args,
        Err(status) => return status,
    };
    let checked = read_rdb(&args.file);
    let (report, size) = match checked {
        Ok(checked) => checked,
        Err(error) => {
            eprintln!("redpoll check-rdb: {}: {error}", args.file.display());
            return ExitCode::FAILURE;
        }
    };
    let mut text = report.to_string();
    let behind = report
        .summary
        .map_or(0, |Summary { bytes, .. }| size.saturating_sub(bytes));
    if behind > 0 {
        text += &format!("{behind} bytes behind the end\n");
    }
    let good = report.is_good() && behind == 0;
    text += if good { "valid\n" } else { "not valid\n" };
    print(&text);
    leave(good)
}

/// Checks the RDB that a file begins with; gives the file's size as well.
fn read_rdb(path: &Path) -> io::Result<(Report, u64)> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("is not a file"));
    }
    let options = ReadOptions {
        total: Some(about.len()),
        ..ReadOptions::default()
    };
    let settings = rdb::Settings::usual(engine::unix_ms());
    Ok((check(file, options, &settings), about.len()))
}

/// `redpoll check-aof`. `args` are the words that follow it.
pub fn aof(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args = match parse::<CheckAof>(args) {
        Ok(args) => args,
        Err(status) => return status,
    };
    let disk = RealDisk::shared();
    let repair = match args.truncate_to_timestamp {
        Some(time) => Repair::Until(time),
        None if args.fix => Repair::Fix,
        None => Repair::No,
    };
    let lock = if repair != Repair::No {
        take_folder(&*disk, &args.path)
    } else {
        Ok(None)
    };
    let lock = match lock {
        Ok(lock) => lock,
        Err(error) => {
            eprintln!("redpoll check-aof: {error}");
            return ExitCode::FAILURE;
        }
    };
    let report = check_aof(&disk, &args.path, repair, &mut |part| {
        // Its report needs the whole of it and says where it ends, and commands may follow. So it is read from a handle of
        // its own, and then gone past.
        let (report, _) = read_rdb(part.path()).map_err(|e| e.to_string())?;
        let summary = report.summary.filter(|_| report.is_good());
        let mut left = summary.ok_or_else(|| report.to_string())?.bytes;
        while left > 0 {
            let have = part.fill_buf().map_err(|e| e.to_string())?.len();
            if have == 0 {
                return Err("became shorter while it was read".to_owned());
            }
            let n = usize::try_from(left).map_or(have, |left| left.min(have));
            part.consume(n);
            left -= n as u64;
        }
        Ok(())
    });
    drop(lock);
    print(&report.to_string());
    leave(report.is_valid())
}

/// Takes the data folder that a log belongs to, so that no server writes to it meanwhile: the one around the log's folder, if
/// that is what it is, or the one that its file is in. Without a lock file there has been no server; and a log in another folder
/// than the one that the file names is a copy, which no server has.
fn take_folder(disk: &dyn Disk, log: &Path) -> Result<Option<Lock>, String> {
    let failed = |e: io::Error| format!("{}: {e}", log.display());
    // Relative paths have too few parents.
    let log = std::path::absolute(log).map_err(failed)?;
    let mut folder = log.as_path();
    if !folder.is_dir() {
        folder = folder.parent().unwrap_or(folder);
    }
    let mut names = disk.list(folder).map_err(failed)?.into_iter();
    if names.any(|name| name.ends_with(".manifest")) {
        let name = folder.file_name().unwrap_or_default().as_encoded_bytes();
        let data = folder.parent().unwrap_or(folder);
        let told = std::fs::read(data.join(disk::disk::LOCK_FILE)).unwrap_or_default();
        let has = told.split(|&b| b == b'\n').nth(1).unwrap_or_default();
        if !has.is_empty() && has != name {
            return Ok(None);
        }
        folder = data;
    }
    if !folder.join(disk::disk::LOCK_FILE).is_file() {
        return Ok(None);
    }
    lock_folder(disk, folder, "").map(Some)
}
