//! The nipworker daemon and command line: the edge that knows HTTP, configuration files and
//! terminals.
//!
//! Everything that the daemon does for Nostr is done by [`nipworker_core::NostrClient`]; this
//! crate gives it a configuration, a gateway and commands.
//!
//! * [`config`]: TOML in layers, with mistakes named by file, line, column and key;
//! * [`gateway`]: one port with the NIP-01 WebSocket, NIP-11, the HTTP API, health and metrics;
//! * [`cli`]: the commands of the `nipworker` binary and their exit codes.
//!
//! Units: sizes are bytes, times are unix seconds, durations in configurations are texts with a
//! unit. Sources: NIP-01, NIP-11, NIP-45, RFC 6455.

pub mod cli;
pub mod config;
pub mod gateway;

mod daemon;
mod embedded;
mod keys;
mod lines;
mod logging;
mod signals;
mod template;
mod verdict;
