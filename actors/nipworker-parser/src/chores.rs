//! What the worker does unasked.

use std::sync::Arc;

use futures::{StreamExt, stream};
use nipworker_pipeline::Claim;
use nipworker_schema::{CacheMessageT, FailureCode, StopAskingT};
use tokio::time::sleep;

use crate::{config::RETRY_DELAY, drive, shared::Shared};

/// Relays that are told at once that a subscription has ended.
const STOPS_AT_ONCE: usize = 16;

/// Takes up what an earlier incarnation left: subscriptions to go on with, deadlines to set.
/// Returns the right to tell relays of those that have ended.
pub(crate) fn take_over(shared: &Arc<Shared>) -> Claim {
    for subscription in shared.hub.unfinished() {
        actix_rt::spawn(drive::go_on(Arc::clone(shared), subscription.id));
    }
    for (id, claim) in shared.hub.waiting_for_relays() {
        drive::set_deadline(shared, id, claim);
    }
    shared.hub.claim_abandoned()
}

/// Tells relays of subscriptions that have ended, until a later incarnation does.
pub(crate) async fn tell_of_ended(shared: Arc<Shared>, claim: Claim) {
    while let Some(ended) = shared.hub.abandoned(claim).await {
        let told = stream::iter(ended).map(|id| tell(&shared, id)).buffer_unordered(STOPS_AT_ONCE);
        let failed: Vec<Arc<str>> = told.filter_map(std::future::ready).collect().await;
        if !failed.is_empty() {
            sleep(RETRY_DELAY).await;
            failed.iter().for_each(|id| shared.hub.put_back(id));
        }
    }
}

/// Returns the name when it did not work.
async fn tell(shared: &Shared, id: Arc<str>) -> Option<Arc<str>> {
    let request = StopAskingT { subscription: id.to_string() };
    match shared.neighbours.cache(request).await {
        Ok(CacheMessageT::Stopped(_)) => {}
        Ok(_) => tracing::warn!(subscription = &*id, "cache did not answer what it was asked"),
        // The system is going down: there is nobody to tell any more.
        Err(error) if error.code == FailureCode::Closed => {}
        Err(error) => {
            tracing::warn!(subscription = &*id, reason = error.reason, "relays are not told yet");
            return Some(id);
        }
    }
    shared.hub.released(&id);
    None
}
