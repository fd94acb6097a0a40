//! The CPUs of this process: which it may use, which share a core, and binding a thread to one.

use std::io;
use std::sync::OnceLock;

/// Whether a thread can be bound to a CPU on this system.
pub(crate) const CAN_BIND: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "windows",
    target_os = "freebsd"
));

/// A logical CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// Its number.
    pub(crate) id: usize,
    /// Which physical core it belongs to: package, and lowest CPU of the core.
    pub(crate) core: (usize, usize),
}

/// The CPUs that this process may use, in ascending order; empty where the system does not say.
///
/// They are read once per process, and from its main thread: a bound thread sees its own CPU only,
/// and hands that on to the threads that it starts.
pub(crate) fn usable() -> &'static [Cpu] {
    static CPUS: OnceLock<Vec<Cpu>> = OnceLock::new();
    CPUS.get_or_init(|| {
        if !CAN_BIND {
            return Vec::new();
        }
        allowed().into_iter().map(|id| Cpu { id, core: core_of(id) }).collect()
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn allowed() -> Vec<usize> {
    // SAFETY: a cpu_set_t is plain bits, for which all zeros are a valid value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid and writable, and its true size is given.
    let status =
        unsafe { libc::sched_getaffinity(libc::getpid(), size_of::<libc::cpu_set_t>(), &mut set) };
    if status != 0 {
        return Vec::new();
    }
    let limit = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    // SAFETY: `id` lies below CPU_SETSIZE, the number of bits in the set.
    (0..limit).filter(|id| unsafe { libc::CPU_ISSET(*id, &set) }).collect()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn allowed() -> Vec<usize> {
    let mut ids: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    ids.sort_unstable();
    ids
}

/// Package and lowest CPU of the core that `id` belongs to; where the system does not say, each
/// CPU counts as a core of its own.
fn core_of(id: usize) -> (usize, usize) {
    let read = |name: &str| {
        let path = format!("/sys/devices/system/cpu/cpu{id}/topology/{name}");
        std::fs::read_to_string(path).ok()
    };
    let package = read("physical_package_id").and_then(|text| text.trim().parse().ok());
    let siblings = read("thread_siblings_list").map(|text| parse_ranges(&text));
    let first = siblings.and_then(|siblings| siblings.into_iter().min());
    (package.unwrap_or(0), first.unwrap_or(id))
}

/// Whether the machine has this CPU and it is switched on, as far as the system says.
pub(crate) fn is_online(id: usize) -> bool {
    std::fs::read_to_string("/sys/devices/system/cpu/online")
        .is_ok_and(|text| parse_ranges(&text).contains(&id))
}

/// Reads a list such as `0-3,8`. Ranges that no machine has are cut.
fn parse_ranges(text: &str) -> Vec<usize> {
    const MOST: usize = 65_536;
    let mut ids = Vec::new();
    for part in text.trim().split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(from), Ok(to)) = (from.trim().parse::<usize>(), to.trim().parse::<usize>()) {
            ids.extend((from..=to).take(MOST));
        }
    }
    ids
}

/// Writes a list as `0-3,8`.
pub(crate) fn ranges(ids: &[usize]) -> String {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for id in sorted {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == id => *last = id,
            _ => runs.push((id, id)),
        }
    }
    let parts = runs.iter().map(|(from, to)| match from == to {
        true => from.to_string(),
        false => format!("{from}-{to}"),
    });
    parts.collect::<Vec<_>>().join(",")
}

/// Binds the calling thread to a CPU.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn bind(id: usize) -> io::Result<()> {
    if id >= usize::try_from(libc::CPU_SETSIZE).unwrap_or(0) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: a cpu_set_t is plain bits, for which all zeros are a valid value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `id` lies below CPU_SETSIZE, the number of bits in the set.
    unsafe { libc::CPU_SET(id, &mut set) };
    // SAFETY: `set` is valid and its true size is given; 0 is the calling thread.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Binds the calling thread to a CPU.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn bind(id: usize) -> io::Result<()> {
    match core_affinity::set_for_current(core_affinity::CoreId { id }) {
        true => Ok(()),
        false => Err(io::Error::other("the system refused")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read_and_written() {
        assert_eq!(parse_ranges("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!(parse_ranges("nonsense"), []);
        assert_eq!(ranges(&[8, 0, 1, 2, 3, 3]), "0-3,8");
        assert_eq!(ranges(&[]), "");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_bound_first_does_not_change_what_the_process_may_use() {
        let before = usable().len();
        let last = usable().last().unwrap().id;
        let (parallel, again) = std::thread::spawn(move || {
            bind(last).unwrap();
            (std::thread::available_parallelism().unwrap().get(), allowed().len())
        })
        .join()
        .unwrap();
        assert_eq!((parallel, again), (1, before));
    }

    #[test]
    fn a_cpu_that_does_not_exist_cannot_be_bound() {
        assert!(bind(1023).is_err());
        assert!(bind(usize::MAX).is_err());
    }
}
