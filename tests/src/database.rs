//! Places in the PostgreSQL server that the test command started.

use std::{
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// The address of a schema that nobody else uses. The server makes it when the first table is.
///
/// # Panics
/// When no server was started.
pub fn fresh_schema() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("NIPWORKER_POSTGRES").expect(
        "NIPWORKER_POSTGRES names no server: run `cargo xtask test`, or \
         `cargo xtask with-postgres cargo test -p nipworker-tests`",
    );
    let name = format!("it_{}_{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("{server}?options=-c%20search_path%3D{name}")
}
