//! The `nipworker` binary as its users meet it: real processes, real sockets, real files.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api;
mod commands;
mod daemon;
mod events;
mod http;
mod lifecycle;
mod mine_api;
mod mining;
mod relay_face;
mod socket;
mod store_file;
mod upstream;
