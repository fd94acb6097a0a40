//! The file that tells other commands where the daemon of a data folder listens.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Name of the file in the data folder.
const FILE: &str = "daemon.json";

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    pid: u32,
    url: String,
}

/// The file, for as long as the daemon runs.
#[derive(Debug)]
pub(crate) struct Beacon(PathBuf);

impl Beacon {
    /// Writes the file. Failing to do so costs only that commands need `--daemon`.
    pub(crate) fn light(data: &Path, address: SocketAddr) -> Self {
        let file = data.join(FILE);
        if let Err(error) = write(&file, address) {
            tracing::warn!(%error, file = %file.display(), "cannot tell where the daemon listens");
        }
        Self(file)
    }

    /// Where the daemon of this data folder says that it listens. It may have died since.
    pub(crate) fn seen(data: &Path) -> Option<String> {
        let text = fs::read(data.join(FILE)).ok()?;
        serde_json::from_slice::<Content>(&text).ok().map(|content| content.url)
    }
}

impl Drop for Beacon {
    fn drop(&mut self) {
        // What stays is found to be stale by whoever asks there.
        drop(fs::remove_file(&self.0));
    }
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
    fn an_ipv6_address_stands_in_brackets() {
        assert_eq!(url("[::]:80".parse().unwrap()), "http://[::1]:80");
    }
}
