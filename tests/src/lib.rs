//! The kit of the system tests: it starts and stops the processes they need, makes events, waits
//! for conditions, and reads what a process costs.
//!
//! Everything here is on loopback ports that the system gave out, and ends with the test that
//! started it, also when that test panics. Nothing is skipped when a peer is missing: the test
//! fails and says which command installs it.

pub mod cable;
pub mod cost;
pub mod daemon;
pub mod database;
pub mod events;
pub mod http;
pub mod naive;
pub mod peer;
pub mod place;
pub mod process;
pub mod relay;
pub mod socket;
pub mod staged;
pub mod turn;
pub mod wait;
