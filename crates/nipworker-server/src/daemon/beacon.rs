//! The file that tells other commands where the daemon of a data folder listens.

use std::{
    fs::{self, File, TryLockError},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Name of the file in the data folder.
const FILE: &str = "daemon.json";
/// Locked by the daemon that the file tells of; the lock goes when the process does.
const LOCK_FILE: &str = "daemon.lock";

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    pid: u32,
    url: String,
}

/// The file, for as long as the daemon runs.
#[derive(Debug)]
pub(crate) struct Beacon {
    file: PathBuf,
    /// `None` when the file belongs to another daemon on the same folder.
    lock: Option<File>,
}

impl Beacon {
    /// Writes the file, unless it tells of another daemon that runs. Failing to do so costs only
    /// that commands need `--daemon`.
    pub(crate) fn light(data: &Path, address: SocketAddr) -> Self {
        let file = data.join(FILE);
        let lock = match locked(data) {
            Ok(lock) => lock,
            Err(error) => {
                tracing::warn!(
                    %error,
                    file = %file.display(),
                    "another daemon uses this data folder, or its lock fails; commands on the \
                     folder do not find this daemon without --daemon"
                );
                return Self { file, lock: None };
            }
        };
        if let Err(error) = write(&file, address) {
            tracing::warn!(%error, file = %file.display(), "cannot tell where the daemon listens");
        }
        Self { file, lock: Some(lock) }
    }

    /// Where the daemon of this data folder says that it listens. It may have died since.
    pub(crate) fn seen(data: &Path) -> Option<String> {
        let text = fs::read(data.join(FILE)).ok()?;
        serde_json::from_slice::<Content>(&text).ok().map(|content| content.url)
    }
}

impl Drop for Beacon {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // What stays is found to be stale by whoever asks there.
            drop(fs::remove_file(&self.file));
        }
    }
}

fn locked(data: &Path) -> io::Result<File> {
    let lock = File::create(data.join(LOCK_FILE))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::new(io::ErrorKind::WouldBlock, "it is locked"),
        TryLockError::Error(error) => error,
    })?;
    Ok(lock)
}

fn write(file: &Path, address: SocketAddr) -> io::Result<()> {
    let content = Content { pid: std::process::id(), url: url(address) };
    let new = file.with_extension("json.new");
    fs::write(&new, serde_json::to_vec(&content)?)?;
    fs::rename(new, file)
}

/// An address that listens everywhere is asked on the loopback.
fn url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_there_while_the_daemon_runs_and_gone_after() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Beacon::seen(folder.path()), None);
        let beacon = Beacon::light(folder.path(), SocketAddr::from(([0, 0, 0, 0], 7447)));
        assert_eq!(Beacon::seen(folder.path()).as_deref(), Some("http://127.0.0.1:7447"));
        drop(beacon);
        assert_eq!(Beacon::seen(folder.path()), None);
    }

    #[test]
    fn another_daemon_on_the_folder_neither_takes_nor_removes_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let seen = || Beacon::seen(folder.path());
        let first = Beacon::light(folder.path(), SocketAddr::from(([127, 0, 0, 1], 1)));
        let second = Beacon::light(folder.path(), SocketAddr::from(([127, 0, 0, 1], 2)));
        assert_eq!(seen().as_deref(), Some("http://127.0.0.1:1"));
        drop(second);
        assert_eq!(seen().as_deref(), Some("http://127.0.0.1:1"));
        drop(first);
        assert_eq!(seen(), None);
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        assert_eq!(url("[::]:80".parse().unwrap()), "http://[::1]:80");
    }
}
