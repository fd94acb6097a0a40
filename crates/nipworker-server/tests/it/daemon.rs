//! A real daemon process on a free port with its own data folder.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Longest wait for anything in these tests; only reached when something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The binary under test, without anything of the caller's own configuration.
pub(crate) fn nipworker() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nipworker"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("NIPWORKER_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs a command to its end: exit code, stdout, stderr.
pub(crate) fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

/// The tests may run under `nohup`, whose way with SIGHUP a child inherits and the daemon respects.
fn mind_hangups(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec only `signal` is called, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| match libc::signal(libc::SIGHUP, libc::SIG_DFL) {
            libc::SIG_ERR => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
}

/// A daemon; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Log>,
    address: String,
    data: PathBuf,
    _folder: Option<TempDir>,
}

impl Daemon {
    /// Starts one with embedded defaults.
    pub(crate) fn start() -> Self {
        Self::with("", &[])
    }

    /// Starts one with a configuration and more arguments, in a folder of its own.
    pub(crate) fn with(config: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let file = folder.path().join("nipworker.toml");
        std::fs::write(&file, config).unwrap();
        let mut command = nipworker();
        command.arg("run").arg("--config").arg(&file).args(arguments);
        let mut daemon = Self::spawn(command, &data);
        daemon._folder = Some(folder);
        daemon
    }

    /// Starts one on an existing data folder.
    pub(crate) fn on(data: &Path) -> Self {
        let mut command = nipworker();
        command.arg("run");
        Self::spawn(command, data)
    }

    /// Starts a prepared command with the folder and a free port, and waits until it is ready.
    pub(crate) fn spawn(mut command: Command, data: &Path) -> Self {
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data);
        Self::spawn_as_is(command, data)
    }

    pub(crate) fn spawn_as_is(mut command: Command, data: &Path) -> Self {
        mind_hangups(&mut command);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().unwrap();
        thread::spawn({
            let log = log.clone();
            move || {
                for line in BufReader::new(stderr).lines() {
                    let mut text = log.text.lock().unwrap();
                    text.push_str(&line.unwrap());
                    text.push('\n');
                    log.grown.notify_all();
                }
            }
        });
        let mut daemon =
            Self { child, log, address: String::new(), data: data.to_owned(), _folder: None };
        let ready = daemon.wait_for_log(" ready in ");
        let after = ready.split("ws://").nth(1).unwrap();
        daemon.address = after.split(',').next().unwrap().to_owned();
        daemon
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything written to stderr so far.
    pub(crate) fn log(&self) -> String {
        self.log.text.lock().unwrap().clone()
    }

    /// Waits for a line that holds `what` and returns it.
    pub(crate) fn wait_for_log(&self, what: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut text = self.log.text.lock().unwrap();
        loop {
            if let Some(line) = text.lines().find(|line| line.contains(what)) {
                return line.to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what:?} in:\n{text}");
            // Also looks again from time to time: a daemon that died says nothing more.
            text = self.log.grown.wait_timeout(text, left.min(PATIENCE)).unwrap().0;
        }
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops it in order.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(self.wait().code(), Some(0), "{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until `check` gives something.
pub(crate) fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
