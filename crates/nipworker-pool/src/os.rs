//! What the operating system knows about the calling thread, and lets it be.

use std::io;
use std::sync::OnceLock;

/// Context switches of the calling thread since it started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Switches {
    /// The thread gave the core up (it waited).
    pub(crate) voluntary: u64,
    /// The core was taken from it.
    pub(crate) involuntary: u64,
}

/// CPU nanoseconds of the calling thread.
#[cfg(unix)]
pub(crate) fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid, writable timespec for the length of the call.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    if status != 0 {
        return wall_ns();
    }
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// CPU nanoseconds of the calling thread: wall time where the system has no such clock.
#[cfg(not(unix))]
pub(crate) fn thread_cpu_ns() -> u64 {
    wall_ns()
}

/// Nanoseconds since the first call in this process.
fn wall_ns() -> u64 {
    use std::time::Instant;
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    u64::try_from(EPOCH.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Whether the system counts context switches per thread.
pub(crate) const HAS_SWITCHES: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Context switches of the calling thread; zeros where the system does not count them per thread.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn thread_switches() -> Switches {
    // SAFETY: rusage is plain integers, for which all-zero bytes are a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid, writable rusage for the length of the call.
    if unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) } != 0 {
        return Switches::default();
    }
    Switches {
        voluntary: u64::try_from(usage.ru_nvcsw).unwrap_or(0),
        involuntary: u64::try_from(usage.ru_nivcsw).unwrap_or(0),
    }
}

/// Context switches of the calling thread; zeros where the system does not count them per thread.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn thread_switches() -> Switches {
    Switches::default()
}

/// Gives the calling thread alone a nice value.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn set_nice(nice: u8) -> io::Result<()> {
    // On Linux 0 is the calling thread, not its process.
    // SAFETY: the call takes no pointer.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, libc::c_int::from(nice)) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives the calling thread alone a nice value.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn set_nice(_nice: u8) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether this system has nice values for single threads.
pub(crate) const HAS_NICE: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Lets the calling thread run only when nothing else wants the CPU, or as others again.
///
/// Without privileges Linux refuses the way back.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn set_idle(idle: bool) -> io::Result<()> {
    // SAFETY: sched_param is plain integers, for which all-zero bytes are a valid value; the
    // priority of both policies is 0.
    let parameter: libc::sched_param = unsafe { std::mem::zeroed() };
    let policy = if idle { libc::SCHED_IDLE } else { libc::SCHED_OTHER };
    // The plain system call: some C libraries keep the function only as a refusal.
    // SAFETY: `parameter` is valid for the length of the call; 0 is the calling thread.
    match unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const parameter) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets the calling thread run only when nothing else wants the CPU, or as others again.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn set_idle(_idle: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether a thread of this process can be made idle; tried once, on a thread of its own.
pub(crate) fn has_idle() -> bool {
    static HAS_IDLE: OnceLock<bool> = OnceLock::new();
    *HAS_IDLE.get_or_init(|| {
        let probe = std::thread::Builder::new().name("idle-probe".into());
        let tried = probe.spawn(|| set_idle(true).is_ok());
        tried.is_ok_and(|thread| thread.join().unwrap_or(false))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_cpu_time_grows_with_work_and_not_with_waiting() {
        let start = thread_cpu_ns();
        let mut x = 1u64;
        while thread_cpu_ns() - start < 5_000_000 {
            x = x.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(7);
        }
        std::hint::black_box(x);
        let before = thread_cpu_ns();
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(thread_cpu_ns() - before < 15_000_000);
    }
}
