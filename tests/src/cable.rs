//! A cable to a relay, which can be held, lost, refused, slowed down and repaired: the network of
//! tests about partitions, on loopback and without privileges.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Bytes that one read takes at most.
const READ_BYTES: usize = 16 * 1024;

/// What happens to bytes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fair,
    /// Nothing passes and nothing is told.
    Held,
    /// Connections are ended and new ones are not taken.
    Refused,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    weather: Weather,
    /// Connections taken so far; the number of the next one.
    taken: u64,
    /// Connections with a lower number are dead for ever.
    alive_from: u64,
    delay: Duration,
}

/// A TCP forwarder in front of one relay. It ends when it is dropped.
#[derive(Debug)]
pub struct Cable {
    address: SocketAddr,
    line: Arc<watch::Sender<Line>>,
    task: JoinHandle<()>,
}

impl Cable {
    /// A good cable to whoever listens at `relay`.
    ///
    /// # Panics
    /// When there is no port left.
    pub async fn to(relay: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let fair = Line { weather: Weather::Fair, taken: 0, alive_from: 0, delay: Duration::ZERO };
        let line = Arc::new(watch::Sender::new(fair));
        let task = tokio::spawn(accept(listener, relay, Arc::clone(&line)));
        Self { address, line, task }
    }

    /// Its near end as the address of a relay.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Holds every byte back, both ways; nobody is told. After the repair the connections go on
    /// where they were, as TCP does when its packets get through again.
    pub fn hold(&self) {
        self.line.send_modify(|line| line.weather = Weather::Held);
    }

    /// As [`hold`](Self::hold), but the present connections are dead for ever: neither the repair
    /// nor an end of the other side gets through to them, as when a router forgets them.
    pub fn lose(&self) {
        self.line.send_modify(|line| {
            line.weather = Weather::Held;
            line.alive_from = line.taken;
        });
    }

    /// Ends the present connections and refuses new ones, as when the relay's process is gone.
    pub fn refuse(&self) {
        self.line.send_modify(|line| line.weather = Weather::Refused);
    }

    /// Whatever passes takes so long.
    pub fn delay(&self, time: Duration) {
        self.line.send_modify(|line| line.delay = time);
    }

    /// Bytes pass again.
    pub fn repair(&self) {
        self.line.send_modify(|line| line.weather = Weather::Fair);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, relay: SocketAddr, line: Arc<watch::Sender<Line>>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let mut number = 0;
        line.send_modify(|line| {
            number = line.taken;
            line.taken += 1;
        });
        connections.spawn(carry(near, relay, number, line.subscribe()));
    }
}

async fn carry(near: TcpStream, relay: SocketAddr, number: u64, mut line: watch::Receiver<Line>) {
    if !may_pass(&mut line, number).await {
        return;
    }
    let Ok(far) = TcpStream::connect(relay).await else { return };
    drop((near.set_nodelay(true), far.set_nodelay(true)));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    // When either way has ended, dropping the other ends both sides.
    tokio::select! {
        () = pump(near_in, far_out, number, line.clone()) => {}
        () = pump(far_in, near_out, number, line) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: u64,
    mut line: watch::Receiver<Line>,
) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        // The weather may change while nothing comes.
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            () = refused(&mut line) => return,
        };
        let delay = line.borrow().delay;
        tokio::time::sleep(delay).await;
        if !may_pass(&mut line, number).await {
            return;
        }
        match read {
            Ok(bytes) if bytes > 0 => {
                if to.write_all(&buffer[..bytes]).await.is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}

async fn refused(line: &mut watch::Receiver<Line>) {
    if line.wait_for(|line| line.weather == Weather::Refused).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until bytes of this connection pass; `false` when it is to end.
async fn may_pass(line: &mut watch::Receiver<Line>, number: u64) -> bool {
    let decided = line.wait_for(|line| match line.weather {
        Weather::Fair => number >= line.alive_from,
        Weather::Held => false,
        Weather::Refused => true,
    });
    decided.await.is_ok_and(|line| line.weather == Weather::Fair)
}
