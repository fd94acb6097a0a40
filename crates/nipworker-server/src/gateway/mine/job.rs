//! One job as HTTP shows it.

use std::sync::Arc;

use nipworker_core::{ClientError, MiningOutcome, MiningProgress, MiningView};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::super::state::Gateway;
use super::finish::{self, Finish};

/// What is done with the event once it is mined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Then {
    pub(crate) sign: bool,
    pub(crate) publish: bool,
}

/// Beside every job of an earlier process.
const RESTORED: &str = "taken over after a restart of the daemon, from which on it is neither signed \
                        nor published, even if that was asked for";

/// A job, and what became of it.
#[derive(Debug)]
pub(crate) struct Job {
    view: MiningView,
    then: Then,
    /// Whether an earlier process took it, which knew what was asked for beyond mining.
    restored: bool,
    /// The whole outcome, once everything is done.
    finished: watch::Receiver<Option<Arc<Value>>>,
}

impl Job {
    /// A job that goes on in the engine. A task waits for its end and does what is to be done
    /// then.
    pub(crate) fn follow(gateway: &Arc<Gateway>, view: MiningView, then: Then) -> Arc<Self> {
        Arc::new(Self::new(gateway, view, then, false))
    }

    /// As [`follow`](Self::follow), of a job that an earlier process took. What was to be done with
    /// its event is not known.
    pub(super) fn take_over(gateway: &Arc<Gateway>, view: MiningView) -> Arc<Self> {
        Arc::new(Self::new(gateway, view, Then::default(), true))
    }

    fn new(gateway: &Arc<Gateway>, view: MiningView, then: Then, restored: bool) -> Self {
        let (done, finished) = watch::channel(None);
        let finish = Finish { gateway: gateway.clone(), view: view.clone(), then };
        gateway.runtime.spawn(async move {
            let outcome = finish.run().await;
            done.send_replace(Some(Arc::new(outcome)));
        });
        Self { view, then, restored, finished }
    }

    pub(crate) fn number(&self) -> u64 {
        self.view.job()
    }

    /// Whether everything is done.
    pub(crate) fn has_ended(&self) -> bool {
        self.finished.borrow().is_some()
    }

    /// Whether the search is over and its event is being signed or sent.
    pub(super) fn is_finishing(&self) -> bool {
        !self.has_ended() && self.view.outcome().is_some()
    }

    /// The outcome, once everything is done.
    pub(crate) fn outcome(&self) -> Option<Arc<Value>> {
        self.finished.borrow().clone()
    }

    /// Waits for the outcome; `None` when the gateway ends before the job. Cancel safe.
    pub(crate) async fn finished(&self) -> Option<Arc<Value>> {
        let mut finished = self.finished.clone();
        let outcome = finished.wait_for(Option::is_some).await.ok()?;
        outcome.clone()
    }

    pub(crate) fn progress(&self) -> MiningProgress {
        self.view.progress()
    }

    /// Where it stands, how far it is, and the outcome.
    pub(crate) fn json(&self) -> Value {
        let outcome = self.outcome();
        let mut job = self.brief();
        job["outcome"] = outcome.map_or(Value::Null, |outcome| (*outcome).clone());
        job
    }

    /// As [`json`](Self::json), but of the outcome only what it is.
    pub(crate) fn brief(&self) -> Value {
        let outcome = self.outcome();
        let progress = self.progress();
        let mut job = self.progress_json(&progress, outcome.is_some());
        job["sign"] = self.then.sign.into();
        job["publish"] = self.then.publish.into();
        job["outcome"] = outcome.map_or(Value::Null, |outcome| outcome["outcome"].clone());
        job
    }

    /// The figures of one moment, with `state` in place of the search's own phase: an event that
    /// is found may still have to be signed and sent.
    pub(crate) fn progress_json(&self, progress: &MiningProgress, ended: bool) -> Value {
        let mut job = json!(progress);
        let phase = match job.as_object_mut() {
            Some(fields) => fields.remove("phase").unwrap_or_default(),
            None => Value::Null,
        };
        job["state"] = match phase.as_str() {
            _ if ended => json!("ended"),
            Some("ended") => json!("finishing"),
            _ => phase,
        };
        if self.restored {
            job["restored"] = RESTORED.into();
        }
        job
    }
}

/// The outcome of a search alone, as JSON. A found event has its id and its nonce beside it: all
/// that a client needs who holds the key and asked for the work only.
pub(super) fn outcome_json(outcome: Result<MiningOutcome, ClientError>, seconds: f64) -> Value {
    let mut json = match outcome {
        Ok(MiningOutcome::Found { event, id, bits, attempts }) => {
            let nonce = event.tags.last().and_then(|tag| tag.get(1)).map(str::to_owned);
            json!({
                "outcome": "found", "id": id, "nonce": nonce, "bits": bits, "attempts": attempts,
                "event": finish::with_id(&event, id),
            })
        }
        Ok(other) => json!(other),
        Err(error) => json!({
            "outcome": "failed",
            "error": { "code": "internal", "message": error.to_string() },
        }),
    };
    json["elapsed_secs"] = seconds.into();
    json
}
