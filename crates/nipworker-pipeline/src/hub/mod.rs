//! The registry of subscriptions and their streams.

mod abandoned;
mod config;
mod drive;
mod registry;
mod room;
mod stats;
mod stream;
mod subscription;
mod times;
mod types;

pub use abandoned::AbandonedFuture;
pub use config::{
    DEFAULT_QUEUE_EVENTS, DeliveryLimits, HubConfig, Overflow, Plan, SubscriptionSpec,
};
pub use drive::Progress;
pub use registry::{Hub, HubError, Offered};
pub use room::RoomFuture;
pub use stats::{SubscriptionStats, Tally};
pub use stream::SubscriptionStream;
pub use subscription::MAX_QUEUED_NEWS;
pub use types::{
    Claim, CloseReason, HubClock, RelayNews, RelayState, ReplayCursor, SubscriptionEvent,
};
