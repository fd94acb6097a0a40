//! The registry of subscriptions and their streams.

mod config;
mod registry;
mod stats;
mod stream;
mod subscription;
mod types;

pub use config::{DEFAULT_QUEUE_EVENTS, HubConfig, Overflow, Plan, SubscriptionSpec};
pub use registry::{AbandonedFuture, Hub, HubError, Offered, Progress, RoomFuture};
pub use stats::SubscriptionStats;
pub use stream::SubscriptionStream;
pub use subscription::MAX_QUEUED_NEWS;
pub use types::{Claim, CloseReason, RelayNews, RelayState, ReplayCursor, SubscriptionEvent};
