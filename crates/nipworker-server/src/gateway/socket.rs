//! A second hold on a connection's socket, to end connections whose client stopped reading.
//!
//! The HTTP server writes to a socket only when its peer reads. A peer that stops reading without
//! closing would keep its connection, and what is buffered for it, for as long as TCP allows.

use std::any::Any;

#[cfg(unix)]
use std::os::fd::AsFd;

/// The socket of one connection. Lives as long as the connection.
#[derive(Debug)]
pub(crate) struct Socket(Option<std::net::TcpStream>);

impl Socket {
    /// Takes a second handle of the stream that the server accepted.
    pub(crate) fn of(stream: &dyn Any) -> Self {
        #[cfg(unix)]
        {
            let stream = stream.downcast_ref::<actix_web::rt::net::TcpStream>();
            let handle = stream.and_then(|stream| stream.as_fd().try_clone_to_owned().ok());
            Self(handle.map(std::net::TcpStream::from))
        }
        #[cfg(not(unix))]
        {
            let _: &dyn Any = stream;
            Self(None)
        }
    }

    /// Ends the connection in both directions at once.
    pub(crate) fn end(&self) {
        if let Some(stream) = &self.0 {
            // An error says that the connection has ended already.
            drop(stream.shutdown(std::net::Shutdown::Both));
        }
    }
}
