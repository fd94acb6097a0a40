//! What follows when a job has ended: signing and publishing, where that was asked for.

use std::sync::Arc;

use nipworker_core::{
    MiningOutcome, MiningView,
    protocol::{Event, EventId, UnsignedEvent},
};
use serde_json::{Value, json};

use super::super::{api, counters::count, state::Gateway};
use super::job::{Then, outcome_json};
use crate::verdict::Verdict;

/// Waits for the end of one job.
pub(super) struct Finish {
    pub(super) gateway: Arc<Gateway>,
    pub(super) view: MiningView,
    pub(super) then: Then,
}

impl Finish {
    /// The whole outcome. What fails after the event was found stands beside it: the work is
    /// never lost.
    pub(super) async fn run(self) -> Value {
        let outcome = self.view.solved().await;
        let template = match &outcome {
            Ok(MiningOutcome::Found { event, .. }) if self.then.sign => Some(event.clone()),
            _ => None,
        };
        let mut json = outcome_json(outcome, self.view.progress().elapsed_secs);
        if let Some(template) = template {
            self.sign(template, &mut json).await;
        }
        json
    }

    async fn sign(&self, template: UnsignedEvent, json: &mut Value) {
        match self.gateway.client.sign(template).await {
            Ok(event) => {
                json["event"] = json!(event);
                if self.then.publish {
                    self.publish(event, json).await;
                }
            }
            Err(error) => {
                self.gateway.engine_failed(&error);
                json["error"] = json!({ "code": "not_signed", "message": error.to_string() });
            }
        }
    }

    async fn publish(&self, event: Event, json: &mut Value) {
        let gateway = &self.gateway;
        count(&gateway.counters.events_in);
        match gateway.client.publish_with(event, gateway.publish_options()).await {
            Ok(report) => {
                let verdict = Verdict::of(&report);
                gateway.tally(verdict.accepted);
                json["published"] = api::events::answer(&report, &verdict);
            }
            Err(error) => {
                gateway.engine_failed(&error);
                gateway.tally(false);
                json["error"] = json!({ "code": "not_published", "message": error.to_string() });
            }
        }
    }
}

/// An unsigned event with the id that it has once signed.
pub(super) fn with_id(event: &UnsignedEvent, id: EventId) -> Value {
    let mut event = json!(event);
    event["id"] = json!(id);
    event
}
