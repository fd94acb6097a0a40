//! Jobs that outlive the process.
//!
//! The [`Keeper`] writes the jobs that nobody owns, and what the last of them have found, to a file:
//! every few seconds while something changes, when a job is let go of, cancelled or forgotten, and
//! when mining ends. The next process takes them over and goes on where the last file stands: what was tried after it is tried again, what
//! it holds is not.

mod file;
mod keeper;
#[cfg(test)]
mod tests;

pub use keeper::CheckpointStatus;
pub(super) use keeper::{Keeper, Restored};
