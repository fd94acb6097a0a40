//! A private PostgreSQL server for tests: a fresh folder, a free port on loopback, one superuser without a
//! password. It ends with whoever started it.
//!
//! Knows nothing of Nostr. The programs come from whoever starts it; `cargo xtask peers` installs them.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long it may take until the server answers.
const START_MAX: Duration = Duration::from_secs(60);
/// Between two looks at it.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// What PostgreSQL says of obstacles that go away.
const PASSING: [&str; 3] =
    ["pre-existing shared memory", "could not create any TCP/IP sockets", "Address already in use"];
/// PostgreSQL refuses to run as root; what root starts runs as this user.
const USER: &str = "nobody";
/// Connections at a time: a test has a few, and tests run side by side.
const CONNECTIONS: u32 = 300;

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    port: u16,
    programs: PathBuf,
    owner: Option<Owner>,
    folder: TempDir,
}

/// User and group.
#[derive(Debug, Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

impl Server {
    /// Starts a server with the programs in `programs`, a folder with `bin`, `lib` and `share`.
    ///
    /// # Errors
    /// In words: a program fails, or the server does not answer in time.
    pub fn start(programs: &Path) -> Result<Self, String> {
        if !programs.join("bin").is_dir() {
            return Err(format!(
                "no PostgreSQL in {}: `cargo xtask peers` installs it",
                programs.display()
            ));
        }
        let folder = tempfile::Builder::new()
            .prefix("nipworker-postgres")
            .tempdir()
            .map_err(|error| format!("a temporary folder: {error}"))?;
        let owner = owner()?;
        let programs = match owner {
            None => programs.to_owned(),
            // The other user need not be able to reach where they are.
            Some(_) => {
                let copy = folder.path().join("programs");
                copy_all(programs, &copy).map_err(|error| format!("copying programs: {error}"))?;
                copy
            }
        };
        if let Some(owner) = owner {
            std::os::unix::fs::chown(folder.path(), Some(owner.user), Some(owner.group))
                .map_err(|error| format!("{}: {error}", folder.path().display()))?;
        }
        let mut server = Self { child: None, port: 0, programs, owner, folder };
        server.initialise()?;
        server.run()?;
        Ok(server)
    }

    /// Address of its database.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Kills all of it at once, as a power cut does, and starts it again at the same address.
    ///
    /// # Errors
    /// In words: it does not come back.
    pub fn kill_and_restart(&mut self) -> Result<(), String> {
        self.kill();
        self.run()
    }

    /// Kills all of it at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let helpers = children_of(child.id());
            child.kill().ok();
            child.wait().ok();
            // They lead groups of their own, and would end by themselves a little later.
            for helper in helpers {
                // SAFETY: one system call on numbers.
                unsafe { libc::kill(helper, libc::SIGKILL) };
            }
        }
    }

    /// Starts it again after [`Server::kill`].
    ///
    /// # Errors
    /// In words: it does not come back.
    pub fn run(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_MAX;
        loop {
            match self.try_run() {
                // What was killed has not ended yet, or somebody else took the port meanwhile.
                Err(told)
                    if Instant::now() < deadline && PASSING.iter().any(|it| told.contains(it)) =>
                {
                    thread::sleep(LOOK_PAUSE);
                }
                result => return result,
            }
        }
    }

    fn try_run(&mut self) -> Result<(), String> {
        if self.port == 0 {
            self.port = free_port().map_err(|error| format!("a free port: {error}"))?;
        }
        let log = fs::File::create(self.folder.path().join("log"))
            .map_err(|error| format!("the log: {error}"))?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data());
        for setting in [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            format!("max_connections={CONNECTIONS}"),
            "shared_buffers=32MB".to_owned(),
        ] {
            command.args(["-c", &setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        end_with_us(&mut command);
        let mut child = command.spawn().map_err(|error| format!("postgres: {error}"))?;
        let deadline = Instant::now() + START_MAX;
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("postgres ended with {status}: {}", self.log()));
            }
            // The last line of this file says how far it is.
            let state = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
            let is_ours = state.lines().next() == Some(&child.id().to_string());
            if is_ours && state.lines().any(|line| line.trim() == "ready") {
                self.child = Some(child);
                return Ok(());
            }
            if Instant::now() > deadline {
                child.kill().ok();
                child.wait().ok();
                return Err(format!("postgres does not get ready: {}", self.log()));
            }
            thread::sleep(LOOK_PAUSE);
        }
    }

    fn initialise(&self) -> Result<(), String> {
        let mut command = self.command("initdb");
        command.arg("-D").arg(self.data());
        command.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale"]);
        command.arg("--no-sync").stdin(Stdio::null());
        let output = command.output().map_err(|error| format!("initdb: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("initdb: {}", String::from_utf8_lossy(&output.stderr)))
    }

    fn command(&self, program: &str) -> Command {
        use std::os::unix::process::CommandExt;

        let mut command = Command::new(self.programs.join("bin").join(program));
        command.current_dir(self.folder.path()).env("LC_ALL", "C");
        if let Some(owner) = self.owner {
            command.uid(owner.user).gid(owner.group);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whom the server runs as, where we must not.
fn owner() -> Result<Option<Owner>, String> {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(|error| format!("users: {error}"))?;
    users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&USER))
        .and_then(|fields| {
            Some(Owner { user: fields.get(2)?.parse().ok()?, group: fields.get(3)?.parse().ok()? })
        })
        .map(Some)
        .ok_or_else(|| format!("root cannot run PostgreSQL, and there is no user {USER}"))
}

/// Makes the command lead a group of its own, and the kernel kill it when we end.
fn end_with_us(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    command.process_group(0);
    #[cfg(target_os = "linux")]
    // SAFETY: prctl is one system call; it allocates nothing and takes no lock, so it may stand
    // between fork and exec.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGQUIT) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

/// Processes that `parent` started, where the system tells.
fn children_of(parent: u32) -> Vec<libc::pid_t> {
    let listed = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    listed.unwrap_or_default().split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
