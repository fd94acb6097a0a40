//! Mining jobs as a caller sees them, and what is kept of them.

mod checkpoint;
mod client;
mod desk;
mod handle;
mod kernel;
mod options;
mod progress;
#[cfg(feature = "tip5")]
mod tip5;
mod view;

pub use checkpoint::CheckpointStatus;
pub use desk::FOUND_KEPT_MAX;
pub(crate) use desk::{Desk, lock};
pub use handle::MiningHandle;
pub(crate) use kernel::kernel;
pub use options::MineOptions;
pub use progress::{MiningOutcome, MiningProgress, PROGRESS_INTERVAL};
#[cfg(feature = "tip5")]
pub use tip5::Tip5Search;
pub use view::MiningView;
