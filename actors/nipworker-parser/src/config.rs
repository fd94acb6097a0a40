//! The worker's bounds and times.

use std::time::Duration;

/// Requests under way at once. While there are so many, the mailbox is not read.
pub const MAX_IN_FLIGHT: usize = 64;
/// Publishes that wait for relays at once.
pub const MAX_AWAITING_RECEIPTS: usize = 1_024;
/// Reconciliations with relays at once.
pub const MAX_RECONCILING: usize = 64;
/// Items of one batch that may each make a worker fail before the batch is given up.
pub const MAX_BAD_ITEMS: usize = 3;
/// Events of one page of the cache.
pub const PAGE_EVENTS: usize = 256;
/// Texts of an import that are taken through the checks together.
pub const IMPORT_CHUNK_TEXTS: usize = 256;
/// Time before something that nobody waits for is tried again.
pub const RETRY_DELAY: Duration = Duration::from_millis(500);

/// The worker's times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParserConfig {
    /// For one request to crypto. Default: 20 s.
    pub crypto_deadline: Duration,
    /// For one request to the cache. Default: 30 s.
    pub cache_deadline: Duration,
    /// For relays to send what they have stored, from when they were asked; then the subscription
    /// is complete without them. Default: 15 s.
    pub relay_deadline: Duration,
    /// For the reader of a subscription that is to be waited for, per batch; one that made no room
    /// in that time is not waited for again until half its queue is free. Default: 5 s.
    pub reader_deadline: Duration,
}

impl Default for ParserConfig {
    fn default() -> Self {
        Self {
            crypto_deadline: Duration::from_secs(20),
            cache_deadline: Duration::from_secs(30),
            relay_deadline: Duration::from_secs(15),
            reader_deadline: Duration::from_secs(5),
        }
    }
}
