//! What a process costs, read from `/proc`.

use std::{fs, path::Path, time::Duration};

/// What a process uses at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Threads.
    pub threads: usize,
    /// Open file handles.
    pub handles: usize,
}

impl Cost {
    /// Of a process.
    ///
    /// # Panics
    /// When there is no such process.
    pub fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a live process");
        Self {
            rss_bytes: field(&status, "VmRSS:") * 1024,
            threads: field(&status, "Threads:") as usize,
            handles: fs::read_dir(format!("/proc/{pid}/fd")).expect("a live process").count(),
        }
    }

    /// Of this process. The handle that reads the list of handles is not counted.
    pub fn own() -> Self {
        let cost = Self::of(std::process::id());
        Self { handles: cost.handles - 1, ..cost }
    }
}

/// How long this thread has been ready to run while others had the processors.
pub fn waited_for_a_processor() -> Duration {
    waited(Path::new("/proc/thread-self/schedstat"))
}

/// As [`waited_for_a_processor`], summed over the threads of this process that live.
pub fn threads_waited_for_a_processor() -> Duration {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    tasks.flatten().map(|task| waited(&task.path().join("schedstat"))).sum()
}

fn waited(schedstat: &Path) -> Duration {
    // The second number is nanoseconds on a run queue (kernel: sched-stats). A kernel without it
    // leaves the measurement as it is.
    fs::read_to_string(schedstat)
        .ok()
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .map_or(Duration::ZERO, Duration::from_nanos)
}

/// Bytes that this process has allocated and not freed (glibc). Unlike the resident memory, this
/// is not blurred by what the allocator keeps for later.
pub fn allocated_bytes() -> u64 {
    // SAFETY: mallinfo2 takes nothing and returns numbers by value.
    let info = unsafe { libc::mallinfo2() };
    // Large blocks are mapped one by one and counted apart.
    (info.uordblks + info.hblkhd) as u64
}

/// Has the allocator give back to the system what it keeps for later (glibc).
pub fn give_back_free_memory() {
    // SAFETY: malloc_trim takes a number; whether there was anything to give back is no matter.
    unsafe { libc::malloc_trim(0) };
}

/// Whether a process with this id is there and is no zombie.
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('Z')))
}

/// The names of this process's threads, for messages.
pub fn thread_names() -> Vec<String> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let mut names: Vec<String> = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect();
    names.sort();
    names
}

fn field(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("/proc has no {name}"))
}
