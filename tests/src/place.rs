//! Where things lie: the repository, the installed peers, free ports.

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use nipworker_protocol::{Event, EventLimits};

/// The repository's root folder.
///
/// # Panics
/// Never: this package lies one folder below it.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in a folder")
}

/// The folder of the build: what `CARGO_TARGET_DIR` names, or `target`.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// A file below the folder of the installed peers: `NIPWORKER_PEERS`, or `target/peers`.
///
/// # Panics
/// When it is not there, with the command that installs it. A missing peer is a failure: a test
/// that does not run proves nothing.
pub fn peer(path: &str) -> PathBuf {
    let root = env::var_os("NIPWORKER_PEERS").map_or_else(|| target().join("peers"), PathBuf::from);
    let file = root.join(path);
    assert!(
        file.exists(),
        "the peer {} is not installed; run `cargo xtask peers` first",
        file.display()
    );
    file
}

/// A script of this package's `peers` folder.
pub fn script(name: &str) -> PathBuf {
    repository().join("tests/peers").join(name)
}

/// The ports that tests listen on. They lie below those that the system gives to outgoing
/// connections: one of these must not take the port of a relay that is down for a while.
const PORTS: Range<u32> = 12_000..32_000;

/// A loopback port that nobody listens on, and that no other test of this process is given.
///
/// # Panics
/// When every port is taken.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.end - PORTS.start;
    // Processes that run at the same time begin at different places.
    let first = process::id().wrapping_mul(97);
    for _ in 0..count {
        let next = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(PORTS.start + next % count).expect("the range is of ports");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}

/// The text lines of the 544 real events.
///
/// # Panics
/// When the file is not in the repository.
pub fn real_event_lines() -> Vec<String> {
    let path = repository().join("tests/data/real-events.jsonl");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(str::to_owned).collect()
}

/// The 544 real events.
///
/// # Panics
/// When the file is missing or holds something else.
pub fn real_events() -> Vec<Event> {
    let limits = EventLimits::default();
    real_event_lines()
        .iter()
        .map(|line| Event::from_json(line.as_bytes(), &limits).expect("a real event"))
        .collect()
}
