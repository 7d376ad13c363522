//! The process: its limits, its working directory and its pid file.

use engine::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Files a server needs besides those of its clients: listeners, epoll and event descriptors, logs.
const OTHER_FILES: u64 = 32;
/// As many more are allowed where that takes no privileges: each thread has some, each replica, and what is being saved.
const SPARE_FILES: u64 = 1024;

/// Raises the limit on open files so that `clients` can be connected.
///
/// Returns how many can: `clients`, or fewer when the hard limit is lower and may not be raised.
pub fn allow_clients(clients: usize) -> usize {
    let wanted = clients as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|n| n >= wanted);
    if limit.current.is_none_or(|n| n >= wanted + SPARE_FILES) {
        return clients;
    }
    let (soft, hard) = if enough(limit.maximum) {
        let most = limit.maximum.unwrap_or(u64::MAX);
        ((wanted + SPARE_FILES).min(most), limit.maximum)
    } else {
        (wanted, Some(wanted))
    };
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(soft),
            maximum: hard,
        },
    )
    .is_ok();
    if raised {
        return clients;
    }
    // Raising the hard limit takes privileges; going up to it does not.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    clients.min(files.saturating_sub(OTHER_FILES) as usize)
}

/// How many connections the kernel lets wait, if that is fewer than `tcp-backlog` asks for.
pub fn lower_backlog(config: &Config) -> Option<i32> {
    let text = fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?;
    let limit = text.trim().parse().ok()?;
    (limit < config.tcp_backlog()).then_some(limit)
}

/// Makes `dir` the working directory of the process and records its absolute form in the configuration.
pub fn enter_dir(config: &Config) -> io::Result<()> {
    std::env::set_current_dir(config.dir())?;
    let absolute = std::env::current_dir()?;
    // A path that is not UTF-8 stays as it was written.
    if let Some(text) = absolute.to_str() {
        let _ = config.record("dir", text);
    }
    Ok(())
}

/// Replaces a text file as a whole or not at all by what `change` makes of it. One that is not there counts as empty.
pub(crate) fn rewrite_file(path: &Path, change: &dyn Fn(&str) -> String) -> io::Result<()> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    replace_file(path, change(&old).as_bytes())
}

/// Gives a file other contents, all of them or none, and leaves its permissions as they are. Returns when they are on the disk.
pub(crate) fn replace_file(path: &Path, contents: &[u8]) -> io::Result<()> {
    // A link is followed, so that what it points to is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = folder.join(name);
    let write = || {
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)?;
        if let Ok(metadata) = fs::metadata(&path) {
            file.set_permissions(metadata.permissions())?;
        }
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(folder)?.sync_all()
    };
    write().inspect_err(|_| {
        // It may never have been made.
        let _ = fs::remove_file(&temporary);
    })
}

/// An I/O error without the number that the standard library appends.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Bytes of the process that are in memory, if the system tells.
pub(crate) fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Asks the kernel for no transparent huge pages, if the configuration says so.
pub fn apply_huge_pages(config: &Config) -> io::Result<()> {
    if config.flag("disable-thp") {
        rustix::thread::disable_transparent_huge_pages(true)?;
    }
    Ok(())
}

/// Has the threads that are started from now on run on the processors of `server-cpulist`.
pub fn choose_processors(config: &Config) -> io::Result<()> {
    let list = engine::config::cpu_list(&config.text("server-cpulist")).unwrap_or_default();
    if list.is_empty() {
        return Ok(());
    }
    let mut set = rustix::thread::CpuSet::new();
    for cpu in list {
        set.set(cpu);
    }
    rustix::thread::sched_setaffinity(None, &set)?;
    Ok(())
}

/// Keeps the threads that work behind commands on the processors of `bio-cpulist`. They come and go, so it has to look for them from
/// time to time.
#[derive(Default)]
pub(crate) struct Background {
    processors: Option<rustix::thread::CpuSet>,
    /// Threads that have been looked at.
    seen: HashSet<i32>,
}

impl Background {
    /// Their names: those that free what is large, and those that write the log and sync it.
    const NAMES: [&str; 5] = [
        "reclaim",
        "redpoll-log",
        "keeper",
        "appendonly",
        "give back",
    ];

    /// By a configuration.
    pub(crate) fn of(config: &Config) -> Background {
        let list = engine::config::cpu_list(&config.text("bio-cpulist")).unwrap_or_default();
        let mut set = rustix::thread::CpuSet::new();
        list.iter().for_each(|cpu| set.set(*cpu));
        Background {
            processors: (!list.is_empty()).then_some(set),
            seen: HashSet::new(),
        }
    }

    /// Looks for threads that were not there before.
    pub(crate) fn look(&mut self) {
        let Some(processors) = &self.processors else {
            return;
        };
        let Ok(threads) = fs::read_dir("/proc/self/task") else {
            return;
        };
        let mut there = HashSet::new();
        for thread in threads.flatten() {
            let name = thread.file_name();
            let Some(id) = name.to_str().and_then(|id| id.parse().ok()) else {
                continue;
            };
            there.insert(id);
            if self.seen.contains(&id) {
                continue;
            }
            let comm = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
            if Background::NAMES.contains(&comm.trim_end())
                && let Err(error) = rustix::thread::sched_setaffinity(
                    rustix::process::Pid::from_raw(id),
                    processors,
                )
            {
                tracing::warn!("bio-cpulist: {error}");
                self.processors = None;
                return;
            }
        }
        self.seen = there;
    }
}

/// The number of a group by its name, or as it is written.
pub(crate) fn group(name: &str) -> io::Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let groups = fs::read_to_string("/etc/group")?;
    let number = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next() == Some(name);
        found.then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    number.ok_or_else(|| {
        let text = format!("unixsocketgroup: there is no group '{name}' in /etc/group");
        io::Error::new(io::ErrorKind::NotFound, text)
    })
}

/// Where a server in the background tells its process id if nobody says where.
const DAEMON_PID_FILE: &str = "/var/run/redpoll.pid";

/// The file that tells others the process id; removed when dropped.
#[derive(Debug)]
pub struct PidFile(PathBuf);

impl PidFile {
    /// Writes the pid file, if one is configured.
    pub fn write(config: &Config) -> io::Result<Option<PidFile>> {
        let daemon = config.flag("daemonize") && config.text("supervised") == "no";
        let Some(path) = config.pidfile().or(daemon.then(|| DAEMON_PID_FILE.into())) else {
            return Ok(None);
        };
        let path = std::path::absolute(&path)?;
        fs::write(&path, format!("{}\n", std::process::id()))?;
        Ok(Some(PidFile(path)))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Somebody may have removed it already, which is as good.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_replaced_file_keeps_its_name_its_place_and_its_permissions() {
        let dir = std::env::temp_dir().join(format!("redpoll-replace-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (file, link) = (dir.join("there"), dir.join("link"));
        replace_file(&file, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        rewrite_file(&link, &|text| format!("{text}er")).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"newer");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        // Nothing else is left, and what is not text is not rewritten.
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
        fs::write(&file, [0xff]).unwrap();
        assert!(rewrite_file(&file, &|_| String::new()).is_err());
        assert_eq!(fs::read(&file).unwrap(), [0xff]);
        fs::remove_dir_all(&dir).unwrap();
    }
}
