//! What every parser must bear.
//!
//! A [`Target`] is a function from arbitrary bytes to nothing: it feeds them to a parser and
//! panics when a promise is broken. Where there is a naive way to the same answer, the target
//! goes both ways and compares. The same functions run in two places:
//!
//! * `cargo test -p nipworker-fuzz`: the seeds and some thousands of mutations of them, the same
//!   ones each time, in seconds;
//! * `cargo xtask fuzz`: libFuzzer with coverage and the address sanitizer, for as long as asked.
//!   Its binaries lie in `cargo-fuzz`, a workspace of its own.
//!
//! Seeds lie in `seeds/TARGET`; `cargo run -p nipworker-fuzz --example seeds` writes the made ones
//! anew. What the fuzzer ever found is a seed and a test named after it.

// A target speaks by panicking.
#![allow(clippy::unwrap_used)]

mod checked_bech32;
pub mod targets;
pub mod text;

/// One parser, or a few that take the same input.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of the target, of its binary and of the folder of its seeds.
    pub name: &'static str,
    /// Feeds bytes to it.
    ///
    /// # Panics
    /// A promise is broken: this is the finding.
    pub run: fn(&[u8]),
    /// Words that mutations insert, since chance would not find them.
    pub words: &'static [&'static str],
}
