//! The cache worker by what it is asked.

#![allow(clippy::unwrap_used)]

mod answers;
mod failures;
mod system;
mod waiting;
