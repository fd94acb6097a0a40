//! Relays that are not ours, and addresses where none answers.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use nipworker_protocol::PublicKey;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    place::{free_port, peer, script},
    process::Process,
    socket::Socket,
    wait::{eventually, within},
};

/// How long a relay may take until it listens.
const READY: Duration = Duration::from_secs(20);

/// Which relay it is.
#[derive(Debug)]
enum Make {
    /// rust-nostr's LocalRelay; its events are gone when it ends.
    LocalRelay { refuse: Option<String>, min_pow: u8, auth: bool },
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
        Self::begin(Make::LocalRelay { refuse: None, min_pow: 0, auth: false }).await
    }

    /// rust-nostr's `LocalRelay` with a policy that refuses every event.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn local_refusing(reason: &str) -> Self {
        let refuse = Some(reason.to_owned());
        Self::begin(Make::LocalRelay { refuse, min_pow: 0, auth: false }).await
    }

    /// rust-nostr's `LocalRelay`, which takes events whose ids begin with so many zero bits.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn local_with_pow(bits: u8) -> Self {
        Self::begin(Make::LocalRelay { refuse: None, min_pow: bits, auth: false }).await
    }

    /// rust-nostr's `LocalRelay`, which serves only those who authenticated (NIP-42).
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn local_for_known() -> Self {
        Self::begin(Make::LocalRelay { refuse: None, min_pow: 0, auth: true }).await
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

    /// `nostr-rs-relay`, which asks everybody who they are (NIP-42) and hands private messages only
    /// to those whom they concern. To others it leaves them out and says nothing.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn nostr_rs_with_private_messages() -> Self {
        Self::nostr_rs_with("[authorization]\nnip42_auth = true\nnip42_dms = true\n").await
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
            Make::LocalRelay { refuse, min_pow, auth } => {
                let mut command = Command::new(peer("venv/bin/python"));
                command.arg(script("relay.py")).args(["--port", &self.port.to_string()]);
                if let Some(reason) = refuse {
                    command.args(["--refuse", reason]);
                }
                if *min_pow > 0 {
                    command.args(["--min-pow", &min_pow.to_string()]);
                }
                if *auth {
                    command.arg("--auth");
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

/// A relay that says only what the test lets it say. Left alone, it takes WebSocket connections,
/// reads everything and is silent.
#[derive(Debug)]
pub struct Scripted {
    address: SocketAddr,
    heard: mpsc::UnboundedReceiver<Heard>,
    task: JoinHandle<()>,
}

/// A frame that a scripted relay heard, and the way to answer on its connection.
#[derive(Debug)]
pub struct Heard {
    /// The frame.
    pub frame: Value,
    answers: mpsc::UnboundedSender<Message>,
}

impl Heard {
    /// Sends a frame on the connection that this one came from.
    pub fn answer(&self, frame: &Value) {
        // Fails only when that connection is gone: then nobody waits for the answer.
        drop(self.answers.send(Message::text(frame.to_string())));
    }
}

impl Scripted {
    /// Starts to listen.
    ///
    /// # Panics
    /// When there is no port left.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (sender, heard) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, sender.clone()));
            }
        });
        Self { address, heard, task }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The next frame of this type.
    ///
    /// # Panics
    /// When none comes for 20 s.
    pub async fn hear(&mut self, kind: &str) -> Heard {
        let next = async {
            loop {
                let heard = self.heard.recv().await.expect("the relay's task runs");
                if heard.frame[0] == kind {
                    return heard;
                }
            }
        };
        within(&format!("a frame {kind} at the scripted relay"), READY, next).await
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, heard: mpsc::UnboundedSender<Heard>) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    let (answers, mut to_send) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            Some(answer) = to_send.recv() => {
                if socket.send(answer).await.is_err() {
                    return;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(text.as_str()).unwrap_or_default();
                    // Nobody listens when the test does not care what comes.
                    drop(heard.send(Heard { frame, answers: answers.clone() }));
                }
                Some(Ok(_)) => {}
                _ => return,
            },
        }
    }
}

/// An address at which TCP connections are taken and not even the handshake is answered.
#[derive(Debug)]
pub struct Deaf {
    listener: std::net::TcpListener,
}

impl Deaf {
    /// Starts to listen.
    ///
    /// # Panics
    /// When there is no port left.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        Self { listener }
    }

    /// Its address. The kernel takes the connections; nobody reads them.
    ///
    /// # Panics
    /// Never: it is bound.
    pub fn url(&self) -> String {
        format!("ws://{}", self.listener.local_addr().expect("it is bound"))
    }
}

/// An address where nobody listens.
pub fn nobody() -> String {
    format!("ws://127.0.0.1:{}", free_port())
}
