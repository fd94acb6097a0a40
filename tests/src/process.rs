//! Child processes that end with the test.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::wait::eventually_blocking;

/// Lines of standard error that are kept.
const KEPT_LINES: usize = 10_000;
/// Lines of standard error that a failing test shows.
const SHOWN_LINES: usize = 60;

/// A running child process. Killed and reaped when dropped, and by the kernel when the thread
/// that started it ends: start it on the test's own thread.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    stderr: Arc<Mutex<VecDeque<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts a command with its three streams connected to the test.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: Command) -> Self {
        let (sender, lines) = mpsc::channel();
        let mut process = Self::start_with(command, move |line| drop(sender.send(line)));
        process.lines = lines;
        process
    }

    /// Starts a command; each line of its standard output goes to `each`, on a thread of its own.
    /// [`Process::line`] has none of them then.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_with(mut command: Command, each: impl FnMut(String) + Send + 'static) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: prctl is one system call; it allocates nothing and takes no lock, so it may
        // stand between fork and exec.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        let out = read_lines(child.stdout.take().expect("stdout is piped"), each);
        let stderr = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&stderr);
        let err = read_lines(child.stderr.take().expect("stderr is piped"), move |line| {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == KEPT_LINES {
                kept.pop_front();
            }
            kept.push_back(line);
        });
        let stdin = child.stdin.take();
        let (_, lines) = mpsc::channel();
        Self { name, child, stdin, lines, stderr, readers: vec![out, err] }
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes one line to its standard input.
    ///
    /// # Panics
    /// When it has ended or its input was closed.
    pub fn write_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        let written = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        assert!(written.is_ok(), "{} does not read: {written:?}", self.name);
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line of its standard output, if one comes `within` that time.
    pub fn line(&self, within: Duration) -> Option<String> {
        self.lines.recv_timeout(within).ok()
    }

    /// The last lines of its standard error.
    pub fn stderr(&self) -> String {
        let kept = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|line| format!("{line}\n")).collect()
    }

    /// The tail of its standard error, for a message.
    fn tail(&self) -> String {
        let kept = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = kept.len().saturating_sub(SHOWN_LINES);
        kept.iter().skip(skipped).map(|line| format!("{}| {line}\n", self.name)).collect()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: libc::c_int) {
        // A child's process id fits: the kernel gave it out as an i32.
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process id");
        // SAFETY: kill takes two numbers; the child is not reaped yet, so the id is still its own.
        let sent = unsafe { libc::kill(pid, signal) };
        assert_eq!(sent, 0, "{}: {}", self.name, std::io::Error::last_os_error());
    }

    /// Kills it at once (SIGKILL) and waits until it is gone.
    ///
    /// # Panics
    /// When it cannot be reaped.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("a child of ours");
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end `within` that time; the text shows its last lines.
    pub fn exit(&mut self, within: Duration) -> ExitStatus {
        let what = format!("the end of {} (process {})", self.name, self.child.id());
        eventually_blocking(&what, within, || self.child.try_wait().expect("a child of ours"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the child is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            drop(std::io::stderr().write_all(self.tail().as_bytes()));
        }
    }
}

fn read_lines(
    stream: impl Read + Send + 'static,
    mut each: impl FnMut(String) + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            each(String::from_utf8_lossy(&line).trim_end().to_owned());
            line.clear();
        }
    })
}

/// What a command that ran to its end left.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a command to its end with `input` on its standard input.
///
/// # Panics
/// When it cannot be started or does not end `within` that time.
pub fn run(command: Command, input: &str, within: Duration) -> Finished {
    let mut process = Process::start(command);
    // From another thread: a child that prints before it has read all of a long input would wait
    // for us while we wait for it.
    let mut stdin = process.stdin.take().expect("standard input is piped");
    let input = input.to_owned();
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let status = process.exit(within);
    drop(writer.join());
    for reader in process.readers.drain(..) {
        drop(reader.join());
    }
    let stdout = process.lines.try_iter().map(|line| line + "\n").collect();
    Finished { code: status.code(), stdout, stderr: process.stderr() }
}
