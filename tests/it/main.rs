//! One binary for all system tests: they share what costs time to start, and take turns where
//! they measure. `cargo test -p nipworker-tests --test it -- NAME` runs one of them.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod auth;
mod backends;
mod chaos;
mod churn;
mod cycles;
mod daemon;
mod garbage;
mod gateway;
mod mine;
mod outbox;
mod partition;
mod peers_agree;
mod query;
mod real_relays;
mod reconcile;
mod relays;
mod routing;
mod sync;
