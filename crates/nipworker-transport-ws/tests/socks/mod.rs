//! A SOCKS5 proxy on loopback, by the server half of fast-socks5.
//!
//! It knows every name below `.invalid` and `.onion`, which no name service may know (RFC 6761,
//! RFC 7686), as this machine: who reaches a relay by such a name was led there by the proxy.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use fast_socks5::{ReplyError, server::Socks5ServerProtocol, util::target_addr::TargetAddr};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A running proxy; it ends when it is dropped.
pub(crate) struct Socks {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Socks {
    /// Lets everybody in.
    #[allow(dead_code, reason = "not every test does without a password")]
    pub(crate) async fn start() -> Self {
        Self::run(None).await
    }

    /// Lets in who knows user and password.
    #[allow(dead_code, reason = "not every test has one")]
    pub(crate) async fn with_password(user: &str, password: &str) -> Self {
        Self::run(Some((user.to_owned(), password.to_owned()))).await
    }

    async fn run(login: Option<(String, String)>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, login.clone(), Arc::clone(&log)));
            }
        });
        Self { address, asked, task }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The targets that were asked for, in order, names as they came.
    #[allow(dead_code, reason = "not every test looks")]
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Socks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: TcpStream, login: Option<(String, String)>, log: Arc<Mutex<Vec<String>>>) {
    let authenticated = match login {
        None => Socks5ServerProtocol::accept_no_auth(socket).await,
        Some(login) => Socks5ServerProtocol::accept_password_auth(socket, |user, password| {
            (user, password) == login
        })
        .await
        .map(|(protocol, _)| protocol),
    };
    // A client that is not let in is told so by the protocol.
    let Ok(authenticated) = authenticated else { return };
    let Ok((request, _, target)) = authenticated.read_command().await else { return };
    let (name, address) = match target {
        TargetAddr::Ip(address) => (address.to_string(), Some(address)),
        TargetAddr::Domain(name, port) => {
            let known = name.ends_with(".invalid") || name.ends_with(".onion");
            let here = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
            (format!("{name}:{port}"), known.then_some(here))
        }
    };
    log.lock().unwrap().push(name);
    let Some(address) = address else {
        drop(request.reply_error(&ReplyError::HostUnreachable).await);
        return;
    };
    let Ok(mut relay) = TcpStream::connect(address).await else {
        drop(request.reply_error(&ReplyError::ConnectionRefused).await);
        return;
    };
    let Ok(mut client) = request.reply_success(address).await else { return };
    // Either side may end whenever it likes.
    drop(copy_bidirectional(&mut client, &mut relay).await);
}
