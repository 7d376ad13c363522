//! What is wrong with a log, for a person: `redpoll check-aof`.
//!
//! The files are read exactly as a start reads them. Whatever could be cut from the last one is found, torn or damaged, and cut
//! if asked to; what was damaged is kept in a file of its own. Anything else is named, and is beyond repair here.

use crate::disk::{Disk, read_all};
use crate::error::LogError;
use crate::folder::AofFolder;
use crate::reader::{Cut, Event, Later, LogReader, RdbPart, ReadOptions, Summary};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads an RDB up to its end and says what is wrong with it.
pub type CheckRdb<'a> = &'a mut dyn FnMut(&mut RdbPart<'_>) -> Result<(), String>;

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// The files that were looked at, with their sizes.
    pub files: Vec<(PathBuf, u64)>,
    /// What they hold, up to where something is wrong.
    pub summary: Summary,
    /// What to make of it.
    pub verdict: Verdict,
}

/// What to make of a log.
#[derive(Debug)]
pub enum Verdict {
    /// It loads as it is.
    Valid,
    /// It loads once the end of its last file is cut.
    Cuttable(Cut),
    /// That was done; what was cut may be kept in a file.
    WasCut(Cut, Option<PathBuf>),
    /// It was cut at this place: what was behind it is later than was asked for.
    CutAtTime(PathBuf, u64),
    /// Nothing in it is later than was asked for.
    NothingLater,
    /// It does not load, and cutting does not help.
    Broken(LogError),
}

/// What is to be done beside looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing.
    No,
    /// What can be cut is cut.
    Fix,
    /// What is later than this, in seconds since 1970, is cut, as far as timestamps in the log tell.
    Until(u64),
}

impl Report {
    /// Whether the log loads now.
    pub fn is_valid(&self) -> bool {
        !matches!(self.verdict, Verdict::Cuttable(_) | Verdict::Broken(_))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, size) in &self.files {
            writeln!(f, "{}: {size} bytes", path.display())?;
        }
        writeln!(f, "{} commands", self.summary.commands)?;
        if self.summary.last > 0 {
            writeln!(f, "pieces up to {}, checksums right", self.summary.last)?;
        }
        let cut = match &self.verdict {
            Verdict::Valid => return writeln!(f, "valid"),
            Verdict::NothingLater => return writeln!(f, "valid, and nothing in it is later"),
            Verdict::CutAtTime(path, offset) => {
                return writeln!(
                    f,
                    "valid, and {} is cut to {offset} bytes: what was behind them is later",
                    path.display()
                );
            }
            Verdict::Broken(error) => return writeln!(f, "not valid: {error}"),
            Verdict::Cuttable(cut) | Verdict::WasCut(cut, _) => cut,
        };
        writeln!(f, "{cut}")?;
        if cut.pieces_behind > 0 {
            writeln!(f, "{} later pieces go with them", cut.pieces_behind)?;
        }
        match &self.verdict {
            Verdict::WasCut(cut, kept) => {
                writeln!(f, "cut to {} bytes", cut.offset)?;
                match kept {
                    Some(path) => writeln!(f, "what was cut is in {}", path.display()),
                    None => Ok(()),
                }
            }
            _ => writeln!(f, "not valid, but can be cut to {} bytes", cut.offset),
        }
    }
}

/// Looks at a log: its folder, its manifest, or one file. Where it is to be repaired nobody may be writing to it.
pub fn check_aof(
    disk: &Arc<dyn Disk>,
    path: &Path,
    repair: Repair,
    check_rdb: CheckRdb<'_>,
) -> Report {
    let mut report = Report {
        files: Vec::new(),
        summary: Summary::default(),
        verdict: Verdict::Valid,
    };
    if let Err(error) = look(disk, path, repair, check_rdb, &mut report) {
        report.verdict = Verdict::Broken(error);
    }
    report
}

fn look(
    disk: &Arc<dyn Disk>,
    path: &Path,
    repair: Repair,
    check_rdb: CheckRdb<'_>,
    report: &mut Report,
) -> Result<(), LogError> {
    let files = files(disk, path)?;
    for (path, _) in &files {
        let size = disk.size(path);
        let size = size.map_err(|e| LogError::io(path, "look at it", &e))?;
        report.files.push((path.clone(), size.unwrap_or(0)));
    }
    let everything = ReadOptions {
        load_truncated: true,
        corrupt_tail_max: u64::MAX,
    };
    let mut reader = LogReader::of(disk, files, everything)?;
    if let Repair::Until(time) = repair {
        reader = reader.only_until(time);
    }
    let summary = loop {
        match reader.next() {
            Ok(Event::Rdb(mut rdb)) => {
                if let Err(what) = check_rdb(&mut rdb) {
                    return Err(LogError::manifest(rdb.path(), what));
                }
            }
            Ok(Event::Commands(commands)) => report.summary.commands += commands.count,
            Ok(Event::End(summary)) => break summary,
            Err(error) => return Err(error),
        }
    };
    report.summary = summary;
    if let Some(cut) = &report.summary.cut {
        report.verdict = match repair {
            Repair::Fix => Verdict::WasCut(cut.clone(), cut.apply(disk)?),
            Repair::No | Repair::Until(_) => Verdict::Cuttable(cut.clone()),
        };
        return Ok(());
    }
    if let Repair::Until(time) = repair {
        report.verdict = match &report.summary.later {
            None => Verdict::NothingLater,
            Some(later) => {
                cut_later(disk, later, time)?;
                Verdict::CutAtTime(later.path.clone(), later.offset)
            }
        };
    }
    Ok(())
}

/// Cuts what is later than was asked for.
fn cut_later(disk: &Arc<dyn Disk>, later: &Later, time: u64) -> Result<(), LogError> {
    let path = &later.path;
    if !later.is_last {
        let what = format!(
            "is later than {time} from offset {} on, and not the last file: whoever insists removes those behind it, and their \
             lines in the manifest, first",
            later.offset
        );
        return Err(LogError::manifest(path, what));
    }
    if !later.follows {
        let what = format!("has nothing that is not later than {time}; aborting");
        return Err(LogError::manifest(path, what));
    }
    let cut = disk.append(path).and_then(|mut file| {
        file.truncate(later.offset)?;
        file.sync()
    });
    cut.map_err(|e| LogError::io(path, "cut it", &e))
}

/// The files of what a path stands for.
fn files(disk: &Arc<dyn Disk>, path: &Path) -> Result<Vec<(PathBuf, Option<u64>)>, LogError> {
    let io = |e: std::io::Error| LogError::io(path, "look at it", &e);
    let manifest = if disk.is_folder(path).map_err(io)? {
        // A server that was killed while it wrote a manifest leaves a temporary one beside it.
        let names = disk.list(path).map_err(io)?;
        let mut manifests = (names.into_iter())
            .filter(|name| name.ends_with(".manifest") && !name.starts_with("temp-"));
        match (manifests.next(), manifests.next()) {
            (Some(name), None) => path.join(name),
            (None, _) => return Err(LogError::manifest(path, "holds no manifest")),
            (Some(_), Some(_)) => {
                return Err(LogError::manifest(
                    path,
                    "holds several manifests: name one",
                ));
            }
        }
    } else if disk.size(path).map_err(io)?.is_none() {
        return Err(LogError::manifest(path, "is missing"));
    } else if is_manifest(disk, path)? {
        path.to_owned()
    } else {
        return Ok(vec![(path.to_owned(), None)]);
    };
    let name = manifest.file_name().and_then(|name| name.to_str());
    let name = name.and_then(|name| name.strip_suffix(".manifest"));
    let Some(name) = name else {
        return Err(LogError::manifest(manifest, "does not end in .manifest"));
    };
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let folder = AofFolder::look_at(disk, folder.to_owned(), name)?;
    Ok(folder.map_or_else(Vec::new, |folder| folder.chain()))
}

/// By its name, or by how it begins, as a manifest may be called anything.
fn is_manifest(disk: &Arc<dyn Disk>, path: &Path) -> Result<bool, LogError> {
    if path.extension().is_some_and(|e| e == "manifest") {
        return Ok(true);
    }
    let size = disk.size(path).ok().flatten().unwrap_or(0);
    if size > 1 << 20 {
        return Ok(false);
    }
    let text = read_all(&**disk, path).map_err(|e| LogError::io(path, "read it", &e))?;
    Ok(text.starts_with(b"file "))
}
