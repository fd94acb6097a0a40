//! A network inside the process.
//!
//! Hosts exist once they [listen](MemoryNetwork::listen); each accepted connection is a
//! [`MemoryPeer`] whose owner decides what the other side lives through: messages, garbage,
//! silence, a close, a cut cable. Nothing happens by chance or by time: there is no clock and no
//! thread in here. A dial to a [black hole](MemoryNetwork::black_hole) therefore never ends by
//! itself; the caller's own deadline has to end it.

mod client;
mod network;
mod peer;

pub use network::{InformationAnswer, MemoryListener, MemoryNetwork};
pub use peer::{ClientFrame, MemoryPeer, PeerGone};

/// Messages that one direction of a connection holds before its sender has to wait.
pub const PIPE_MESSAGES: usize = 64;
/// Connections that wait to be accepted before further ones are refused.
pub const BACKLOG_CONNECTIONS: usize = 128;
