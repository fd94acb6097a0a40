//! The `nipworker` binary as a user runs it.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    http,
    place::{free_port, repository, target},
    process::{Finished, Process, run},
    wait::eventually,
};

/// How long the daemon may take until it is ready, on a machine that does other things as well.
const READY: Duration = Duration::from_secs(20);
/// How long a command may run.
const COMMAND: Duration = Duration::from_secs(120);

/// The binary, built by cargo just as a user builds it. `NIPWORKER_BIN` names another one: the test
/// command names the one that it builds itself, which has the features that tests ask for as well.
///
/// # Panics
/// When it does not build; the text is cargo's.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("NIPWORKER_BIN") {
            return path.into();
        }
        let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
        let build = Command::new(env!("CARGO"))
            .current_dir(repository())
            .args(["build", "-q", "-p", "nipworker-server", "--bin", "nipworker"])
            .args(["--profile", profile])
            .output()
            .expect("cargo runs");
        assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
        target().join(if cfg!(debug_assertions) { "debug" } else { "release" }).join("nipworker")
    })
}

/// A user's account: a home folder of its own, so that no test meets another's data.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
}

impl Home {
    /// An empty one.
    ///
    /// # Panics
    /// When there is no room for temporary files.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The command `nipworker` in this account.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.path()).env_clear();
        command.env("HOME", self.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Runs `nipworker` with these arguments and this standard input to its end.
    ///
    /// # Panics
    /// When it does not end within two minutes.
    pub fn run(&self, arguments: &[&str], input: &str) -> Finished {
        let mut command = self.command();
        command.args(arguments);
        run(command, input, COMMAND)
    }

    /// Starts the daemon with embedded defaults, on a free port, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready; its last lines are shown.
    pub async fn daemon(&self, arguments: &[&str]) -> Daemon {
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = self.command();
        command.args(arguments).env("NIPWORKER_GATEWAY__LISTEN", &address);
        let start = Instant::now();
        let mut process = Process::start(command);
        eventually("the daemon is ready", READY, async || {
            assert!(process.is_running(), "the daemon ended: {}", process.stderr());
            http::get(&address, "/readyz").await.ok().filter(|answer| answer.status == 200)
        })
        .await;
        Daemon { process, address, ready_after: start.elapsed() }
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    /// Its process.
    pub process: Process,
    /// Where its gateway listens: `address:port`.
    pub address: String,
    /// From the start of the process until `/readyz` said yes.
    pub ready_after: Duration,
}

impl Daemon {
    /// The gateway as a relay.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// `GET /api/v1/status`.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn status(&self) -> Value {
        http::get(&self.address, "/api/v1/status").await.expect("the daemon answers").json()
    }
}
