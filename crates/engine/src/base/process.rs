//! What the operating system knows of this process, for INFO and MEMORY, read from Linux's /proc and elsewhere unknown; and which
//! threads it is to run first.

use std::cell::Cell;
use std::fs::read_to_string;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;

/// For a thread that does what clients wait for: it gets as much as a worker, nearly.
pub const CLOSE_BEHIND: i32 = 1;
/// For a thread that does what can wait.
pub const FAR_BEHIND: i32 = 5;

/// How long such a thread runs on before another one that stands behind too has its turn, in nanoseconds. Longer than what workers have
/// (some milliseconds at most), and no longer than it must be: one of them may hold a lock that a worker waits for.
#[cfg(target_os = "linux")]
const SLICE_NS: u64 = 5_000_000;

/// Has the calling thread stand behind the workers where there are not processors enough for all, so many steps of `nice`: what takes
/// long does not take theirs. Workers have short errands. With longer slices than theirs, and at least one step behind, a worker that is
/// woken runs at once (Linux since 6.12 asks for both), where it would wait for the next tick of the clock, some milliseconds.
///
/// A thread that has done so stays there.
pub fn stand_behind_workers(steps: i32) {
    if BEHIND.replace(steps) != 0 {
        return;
    }
    // Elsewhere it would be the whole process.
    #[cfg(target_os = "linux")]
    if !set_slice(steps, SLICE_NS) {
        // SAFETY: the call is about the calling thread, which 0 stands for. If it may not do this either, the kernel shares the processors
        // out evenly.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, steps) };
    }
}

/// Sets how far the calling thread stands behind, and how long it goes on once it has its turn. False if it may not.
#[cfg(target_os = "linux")]
fn set_slice(steps: i32, slice_ns: u64) -> bool {
    // SAFETY: the call is about the calling thread, which 0 stands for. The attributes are plain numbers, of which 0 is the usual policy
    // and no flags; they live until the call returns.
    unsafe {
        let mut how: libc::sched_attr = std::mem::zeroed();
        how.size = size_of::<libc::sched_attr>() as u32;
        how.sched_nice = steps;
        how.sched_runtime = slice_ns;
        libc::syscall(libc::SYS_sched_setattr, 0, &raw const how, 0) == 0
    }
}

thread_local! {
    /// How far the thread stands behind the workers.
    static BEHIND: Cell<i32> = const { Cell::new(0) };
}

/// The turn of a thread that holds a lock which workers want, in nanoseconds: for so long none of them takes its processor.
#[cfg(target_os = "linux")]
const SHORT_SLICE_NS: u64 = 100_000;

/// A short piece of work under a lock that workers may have to wait for. It is begun before the lock is taken, and ends with the value.
///
/// A worker that is woken takes the processor of a thread that stands behind at once. If that thread has the lock of a shard just then,
/// the worker soon waits for it, and the lock comes free only when the thread has its next turn: after others that stand behind too, by
/// some milliseconds. So the thread has the shortest slice of all while it holds such a lock, which nobody cuts short for a longer one
/// (Linux since 6.12), and when it has let go of it, it gives way to who has been woken meanwhile.
///
/// Does nothing on threads that do not stand behind.
#[must_use = "the work is over when this is dropped"]
pub struct ShortTurn {
    _on_this_thread: PhantomData<*const ()>,
}

impl ShortTurn {
    /// The work begins.
    pub fn begin() -> ShortTurn {
        #[cfg(target_os = "linux")]
        if BEHIND.get() != 0 {
            set_slice(BEHIND.get(), SHORT_SLICE_NS);
        }
        ShortTurn {
            _on_this_thread: PhantomData,
        }
    }
}

impl Drop for ShortTurn {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        if BEHIND.get() != 0 {
            // Who gives way gives the rest of its slice away, so the slice is still the short one.
            std::thread::yield_now();
            set_slice(BEHIND.get(), SLICE_NS);
        }
    }
}

/// Whether the calling thread, when it is woken where all processors are busy, waits for one that sleeps or has had its turn, instead of
/// taking the place of the thread that runs there. It gets as much as before, some milliseconds later, and the others go on with
/// what they have in the cache.
pub fn wait_for_turn(wait: bool) {
    thread_local! {
        static WAITS: Cell<bool> = const { Cell::new(false) };
    }
    if WAITS.replace(wait) == wait {
        return;
    }
    #[cfg(target_os = "linux")]
    // SAFETY: the call is about the calling thread, which 0 stands for, and reads the argument, which lives until it returns. Where it
    // may not be made nothing changes.
    unsafe {
        let policy = match wait {
            true => libc::SCHED_BATCH,
            false => libc::SCHED_OTHER,
        };
        let priority: libc::sched_param = std::mem::zeroed();
        libc::sched_setscheduler(0, policy, &raw const priority);
    }
}

/// Whether [`barrier`] may be used: asks the system to prepare for it, once, which may take some milliseconds.
pub(crate) fn has_barrier() -> bool {
    static PREPARED: OnceLock<bool> = OnceLock::new();
    *PREPARED.get_or_init(prepare_barrier)
}

#[cfg(target_os = "linux")]
fn prepare_barrier() -> bool {
    membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
}

#[cfg(not(target_os = "linux"))]
fn prepare_barrier() -> bool {
    false
}

/// Puts a full memory barrier into every other thread of the process: what such a thread did before is seen by this one, or what this
/// one did before is seen by what that thread does next. Costs those threads no instruction, and the caller some microseconds.
///
/// Only after [`has_barrier`] has said so. A system that takes it back later ends the process: others rely on it.
pub(crate) fn barrier() {
    std::sync::atomic::fence(SeqCst);
    #[cfg(target_os = "linux")]
    if !(membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
        // A child of the process that was prepared may have to be prepared itself.
        || prepare_barrier() && membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED))
    {
        eprintln!("redpoll: the system does not provide membarrier any more");
        std::process::abort();
    }
}

#[cfg(target_os = "linux")]
fn membarrier(command: libc::membarrier_cmd) -> bool {
    // SAFETY: the call takes plain numbers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

/// How many threads of the machine ran or wanted to, on average over the last minute.
pub fn load() -> Option<f64> {
    #[cfg(target_os = "linux")]
    {
        let text = read_to_string("/proc/loadavg").ok()?;
        text.split(' ').next()?.parse().ok()
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Processor time is counted in hundredths of a second there: a constant of Linux's interface to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuTime {
    /// In the program.
    pub user: f64,
    /// In the kernel on the program's behalf.
    pub system: f64,
    /// The same of child processes that have ended.
    pub(crate) children_user: f64,
    /// See above.
    pub(crate) children_system: f64,
}

/// Processor time of the process with all its threads.
pub fn cpu_time() -> Option<CpuTime> {
    parse_stat(&read_to_string("/proc/self/stat").ok()?)
}

/// Processor time of the thread that the process began with.
pub fn main_thread_cpu_time() -> Option<CpuTime> {
    let path = format!("/proc/self/task/{}/stat", std::process::id());
    parse_stat(&read_to_string(path).ok()?)
}

fn parse_stat(stat: &str) -> Option<CpuTime> {
    // The second field is the program's name in parentheses, which may hold anything. utime is the 14th.
    let rest = &stat[stat.rfind(')')? + 1..];
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut seconds = || {
        fields
            .next()?
            .parse::<f64>()
            .ok()
            .map(|ticks| ticks / TICKS_PER_SECOND)
    };
    Some(CpuTime {
        user: seconds()?,
        system: seconds()?,
        children_user: seconds()?,
        children_system: seconds()?,
    })
}

/// Resident bytes of the process.
pub fn resident_bytes() -> Option<u64> {
    kilobytes(&read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// Bytes of memory the machine has.
pub fn machine_bytes() -> Option<u64> {
    kilobytes(&read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// Bytes of memory that this process may use: the machine's, or fewer if a control group of its allows fewer.
pub fn available_bytes() -> Option<u64> {
    let machine = machine_bytes();
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = group_limits(&groups, &|path| read_to_string(path).ok());
    match (machine, limit) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The lowest limit of the control groups that `/proc/self/cgroup` lists, of version 1 and 2, and of those around them.
fn group_limits(groups: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let mut lowest: Option<u64> = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            c if c.split(',').any(|c| c == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut at = path.trim_end_matches('/');
        loop {
            // In a namespace of its own, a process sees its group as the root.
            let limit = read(&format!("{root}{at}/{file}"));
            if let Some(bytes) = limit.and_then(|text| text.trim().parse::<u64>().ok()) {
                lowest = Some(lowest.map_or(bytes, |low| low.min(bytes)));
            }
            match at.rfind('/') {
                Some(end) => at = &at[..end],
                None => break,
            }
        }
    }
    lowest
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kb| kb * 1024)
}

/// The system's name and version and the processor's architecture, as `uname -srm` prints them.
pub fn system_name() -> String {
    let read = |what: &str| {
        read_to_string(format!("/proc/sys/kernel/{what}")).map(|text| text.trim().to_owned())
    };
    match (read("ostype"), read("osrelease")) {
        (Ok(name), Ok(release)) => format!("{name} {release} {}", std::env::consts::ARCH),
        _ => format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the system says of the calling thread.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_waits_for_its_turn_and_no_longer() {
        // SAFETY: the call is about the calling thread and takes nothing else.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        wait_for_turn(true);
        assert_eq!(policy(), libc::SCHED_BATCH);
        wait_for_turn(false);
        assert_eq!(policy(), libc::SCHED_OTHER);
    }

    /// How long the calling thread goes on once it has its turn, as the system says; 0 where it does not know.
    #[cfg(target_os = "linux")]
    fn slice_ns() -> u64 {
        // SAFETY: the call is about the calling thread, which 0 stands for, and fills in so many bytes as it is told.
        unsafe {
            let mut how: libc::sched_attr = std::mem::zeroed();
            let size = size_of::<libc::sched_attr>();
            let code = libc::syscall(libc::SYS_sched_getattr, 0, &raw mut how, size, 0);
            assert_eq!(code, 0);
            how.sched_runtime
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_lock_is_held_in_a_turn_that_nobody_cuts_short() {
        let usual = slice_ns();
        drop(ShortTurn::begin());
        assert_eq!(slice_ns(), usual, "a worker has the slices it had");
        let own = std::thread::spawn(|| {
            stand_behind_workers(CLOSE_BEHIND);
            let before = slice_ns();
            let turn = ShortTurn::begin();
            let meanwhile = slice_ns();
            drop(turn);
            (before, meanwhile, slice_ns())
        });
        let slices = own.join().expect("a thread ends");
        // Kernels before 6.12 have one slice for all.
        if usual != 0 {
            assert_eq!(slices, (SLICE_NS, SHORT_SLICE_NS, SLICE_NS));
        }
    }

    #[test]
    fn proc_files_are_understood() {
        let stat = "12 (a) b (c) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 3 4 20 0 1 0 100";
        let expected = CpuTime {
            user: 2.5,
            system: 0.5,
            children_user: 0.03,
            children_system: 0.04,
        };
        assert_eq!(parse_stat(stat), Some(expected));
        assert_eq!(parse_stat("12 (a) S 1"), None);
        assert_eq!(
            kilobytes("VmHWM:\t 9 kB\nVmRSS:\t   12 kB\n", "VmRSS:"),
            Some(12 * 1024)
        );
        assert_eq!(kilobytes("VmRSS: many", "VmRSS:"), None);
    }

    #[test]
    fn the_lowest_limit_of_a_group_and_those_around_it_counts() {
        let read = |path: &str| {
            let text = match path {
                "/sys/fs/cgroup/a/b/memory.max" => "max\n",
                "/sys/fs/cgroup/a/memory.max" => "500\n",
                "/sys/fs/cgroup/memory/x/memory.limit_in_bytes" => "700\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes" => "9223372036854771712\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        for (groups, limit) in [
            ("0::/a/b\n", Some(500)),
            ("0::/\n", None),
            ("5:cpu:/x\n3:memory,other:/x\n", Some(700)),
            ("3:memory:/\n0::/a\n", Some(500)),
            ("nonsense", None),
        ] {
            assert_eq!(group_limits(groups, &read), limit, "{groups}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_memory() {
        assert!(resident_bytes().unwrap() > 100_000);
        assert!(machine_bytes() > resident_bytes());
        assert!(cpu_time().is_some() && main_thread_cpu_time().is_some());
        assert!(system_name().starts_with("Linux "));
    }
}
