//! A second hold on a connection's socket, to end connections whose client stopped reading.
//!
//! The HTTP server writes to a socket only when its peer reads. A peer that stops reading without
//! closing would keep its connection, and what is buffered for it, for as long as TCP allows.

use std::{
    any::Any,
    sync::atomic::{AtomicU64, Ordering},
};

#[cfg(unix)]
use std::os::fd::AsFd;

/// The socket of one connection. Lives as long as the connection.
#[derive(Debug)]
pub(crate) struct Socket {
    handle: Option<std::net::TcpStream>,
    /// Requests that came over it and were answered.
    requests: AtomicU64,
}

impl Socket {
    /// Takes a second handle of the stream that the server accepted.
    pub(crate) fn of(stream: &dyn Any) -> Self {
        #[cfg(unix)]
        {
            let stream = stream.downcast_ref::<actix_web::rt::net::TcpStream>();
            let handle = stream.and_then(|stream| stream.as_fd().try_clone_to_owned().ok());
            Self { handle: handle.map(std::net::TcpStream::from), requests: AtomicU64::new(0) }
        }
        #[cfg(not(unix))]
        {
            let _: &dyn Any = stream;
            Self { handle: None, requests: AtomicU64::new(0) }
        }
    }

    /// Counts one more request; its number.
    pub(crate) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Number of the latest request.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Ends the connection in both directions at once.
    pub(crate) fn end(&self) {
        if let Some(stream) = &self.handle {
            // An error says that the connection has ended already.
            drop(stream.shutdown(std::net::Shutdown::Both));
        }
    }
}
