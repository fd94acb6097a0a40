//! Relays that are not ours, and addresses where none answers.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use futures::StreamExt;
use nipworker_protocol::PublicKey;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    place::{free_port, peer, script},
    process::Process,
    socket::Socket,
    wait::eventually,
};

/// How long a relay may take until it listens.
const READY: Duration = Duration::from_secs(20);

/// Which relay it is.
#[derive(Debug)]
enum Make {
    /// rust-nostr's LocalRelay; its events are gone when it ends.
    LocalRelay { refuse: Option<String> },
    /// nostr-rs-relay; its events are in a SQLite file.
    NostrRsRelay { folder: TempDir },
}

/// A relay by somebody else, as a process of its own.
#[derive(Debug)]
pub struct Relay {
    make: Make,
    port: u16,
    process: Option<Process>,
}

impl Relay {
    /// rust-nostr's `LocalRelay`, which takes everything that is valid.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn local() -> Self {
        Self::begin(Make::LocalRelay { refuse: None }).await
    }

    /// rust-nostr's `LocalRelay` with a policy that refuses every event.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn local_refusing(reason: &str) -> Self {
        Self::begin(Make::LocalRelay { refuse: Some(reason.to_owned()) }).await
    }

    /// `nostr-rs-relay`, which takes everything that is valid.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn nostr_rs() -> Self {
        Self::nostr_rs_with("").await
    }

    /// `nostr-rs-relay`, which takes events of these authors only.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn nostr_rs_for(authors: &[PublicKey]) -> Self {
        let mut section = "[authorization]\npubkey_whitelist = [".to_owned();
        for author in authors {
            write!(section, "\"{author}\",").expect("writing into a string");
        }
        Self::nostr_rs_with(&(section + "]\n")).await
    }

    async fn nostr_rs_with(section: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("section.toml"), section).expect("a file in our own folder");
        Self::begin(Make::NostrRsRelay { folder }).await
    }

    async fn begin(make: Make) -> Self {
        let mut relay = Self { make, port: free_port(), process: None };
        relay.start().await;
        relay
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Kills it at once (SIGKILL).
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        self.process.take().expect("the relay runs").kill();
    }

    /// Starts it again on its port, with what its store kept.
    ///
    /// # Panics
    /// When it runs already or does not start.
    pub async fn start(&mut self) {
        assert!(self.process.is_none(), "the relay runs already");
        let command = match &self.make {
            Make::LocalRelay { refuse } => {
                let mut command = Command::new(peer("venv/bin/python"));
                command.arg(script("relay.py")).args(["--port", &self.port.to_string()]);
                if let Some(reason) = refuse {
                    command.args(["--refuse", reason]);
                }
                command
            }
            Make::NostrRsRelay { folder } => {
                let folder = folder.path();
                let section = fs::read_to_string(folder.join("section.toml"))
                    .expect("a file in our own folder");
                let config = format!(
                    "[info]\nrelay_url = \"{}\"\nname = \"test\"\n\
                     [network]\naddress = \"127.0.0.1\"\nport = {}\n\
                     [verified_users]\nmode = \"disabled\"\n{section}",
                    self.url(),
                    self.port
                );
                fs::write(folder.join("config.toml"), config).expect("a file in our own folder");
                let mut command = Command::new(peer("bin/nostr-rs-relay"));
                command.current_dir(folder).env("RUST_LOG", "warn");
                command.arg("--config").arg(folder.join("config.toml"));
                command.arg("--db").arg(folder);
                command
            }
        };
        let mut process = Process::start(command);
        let url = self.url();
        eventually(&format!("{url} takes a connection"), READY, async || {
            assert!(process.is_running(), "the relay ended: {}", process.stderr());
            Socket::try_open(&url).await
        })
        .await;
        self.process = Some(process);
    }
}

/// An address at which something listens and gives no answer.
#[derive(Debug)]
pub struct Silence {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Silence {
    /// Takes WebSocket connections, reads everything, and never says a word.
    ///
    /// # Panics
    /// When there is no port left.
    pub async fn after_the_handshake() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    if let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await {
                        while let Some(Ok(_)) = socket.next().await {}
                    }
                });
            }
        });
        Self { address, task }
    }

    /// Takes TCP connections and does not even answer the handshake.
    ///
    /// # Panics
    /// When there is no port left.
    pub async fn before_the_handshake() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        Self { address, task }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address where nobody listens.
pub fn nobody() -> String {
    format!("ws://127.0.0.1:{}", free_port())
}
