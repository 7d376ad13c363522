//! CPU time and resident memory of a process, from Linux's `/proc`.
//!
//! `/proc/PID/stat` counts CPU time in ticks of 10 ms, for all threads of the process including those that have
//! ended. Over a measurement of a few seconds a tick is a fraction of a percent. Shorter ones, such as popping a list
//! empty, need a finer clock: the `schedstat` of each thread counts nanoseconds, but those of a thread that ends are
//! lost. So both are read, and the finer one counts as long as the other does not contradict it.
//!
//! `cargo xtask bench` includes this very file. It needs only `std`.

use std::fs;
use std::time::Duration;

/// Ticks a second in `/proc/PID/stat`. The kernel converts its own clock to this rate (USER_HZ) on every
/// architecture Rust's Linux targets cover, so it need not be asked for.
const TICKS_PER_SECOND: u64 = 100;

/// A moment in the life of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU time used so far, user and kernel together, in whole ticks.
    cpu: Duration,
    /// The same in nanoseconds, without the threads that have ended; zero where the system does not tell.
    fine: Duration,
    /// Resident memory in bytes.
    pub resident: u64,
}

/// How far the two clocks may lie apart over any time: user and kernel time are each cut down to ticks at either end.
const SLACK: Duration = Duration::from_millis(2 * 2 * 1000 / TICKS_PER_SECOND);

impl Usage {
    /// CPU time used since `before`, user and kernel together.
    pub fn cpu_since(&self, before: &Usage) -> Duration {
        let ticks = self.cpu.saturating_sub(before.cpu);
        let fine = self.fine.saturating_sub(before.fine);
        // Sampled ticks may also be a few percent off.
        if fine.is_zero() || fine + SLACK + ticks / 20 < ticks {
            ticks
        } else {
            fine
        }
    }
}

/// Reads the usage of process `pid`. The error is one line for the user.
pub fn usage(pid: u32) -> Result<Usage, String> {
    let read = |file: &str| {
        fs::read_to_string(format!("/proc/{pid}/{file}"))
            .map_err(|why| format!("process {pid}: cannot read its {file}: {why}"))
    };
    let cpu = cpu_time(&read("stat")?);
    let resident = resident(&read("status")?);
    match (cpu, resident) {
        (Some(cpu), Some(resident)) => Ok(Usage {
            cpu,
            fine: fine_cpu_time(pid),
            resident,
        }),
        _ => Err(format!(
            "process {pid}: /proc does not tell its CPU time and memory"
        )),
    }
}

/// utime + stime of a `stat` line: fields 14 and 15. Field 2, the program's name in parentheses, may itself hold
/// blanks and parentheses, so counting starts after the last closing one.
fn cpu_time(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(
        (user + kernel) * (1000 / TICKS_PER_SECOND),
    ))
}

/// CPU time of all threads that process `pid` has now: the first field of their `schedstat`, in nanoseconds. Zero where
/// the system does not tell.
fn fine_cpu_time(pid: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Duration::ZERO;
    };
    let nanoseconds = threads
        .filter_map(Result::ok)
        // A thread may end while it is looked at.
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(nanoseconds)
}

/// VmRSS of a `status` file, in bytes.
fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_stat_line_with_an_awkward_name() {
        let stat =
            "42 (a) (b c) S 1 42 42 0 -1 4194304 900 0 1 0 150 25 3 4 20 0 4 0 12345 1000 200\n";
        assert_eq!(cpu_time(stat), Some(Duration::from_millis(1750)));
        assert_eq!(cpu_time("42 (x) S 1"), None);
        assert_eq!(cpu_time(""), None);
    }

    #[test]
    fn the_finer_clock_counts_until_a_thread_ends() {
        let ms = Duration::from_millis;
        let usage = |cpu, fine| Usage {
            cpu,
            fine,
            resident: 0,
        };
        let before = usage(ms(500), ms(507));
        let since = |cpu, fine| usage(cpu, fine).cpu_since(&before);
        assert_eq!(since(ms(530), ms(542)), ms(35));
        // A thread with 300 ms has ended.
        assert_eq!(since(ms(900), ms(600)), ms(400));
        assert_eq!(since(ms(900), Duration::ZERO), ms(400));
    }

    #[test]
    fn reads_resident_memory() {
        assert_eq!(
            resident("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n"),
            Some(2048 * 1024)
        );
        assert_eq!(resident("Name:\tx\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn reads_this_process_and_refuses_none() {
        let own = usage(std::process::id()).expect("own usage");
        assert!(own.resident > 0);
        // Above the largest process id Linux hands out (2^22).
        assert!(usage(u32::MAX).is_err());
    }
}
