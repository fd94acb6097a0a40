//! A job's progress as server-sent events (WHATWG HTML, section 9.2).

use std::{sync::Arc, time::Duration};

use actix_web::web::Bytes;
use futures::{Stream, stream};
use nipworker_core::PROGRESS_INTERVAL;
use serde_json::Value;
use tokio::{sync::OwnedSemaphorePermit, sync::watch, time::Instant};

use super::Job;

/// The id of the event with the outcome. A client that comes back with it has seen everything.
pub(crate) const LAST_EVENT: &str = "outcome";

/// While nothing changes a comment is sent so often, so that a connection whose other end has
/// gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What is written while a client looks on.
struct Watch {
    job: Arc<Job>,
    stopping: watch::Receiver<bool>,
    /// The figures that were sent last, and when something was sent last.
    last: Option<(u64, u64, Value)>,
    sent: Instant,
    number: u64,
    over: bool,
    _permit: OwnedSemaphorePermit,
}

/// The events of a job: `progress` about four times a second while something changes, at the end
/// one `outcome`, after which the stream ends. It also ends, without an outcome, when the gateway
/// stops.
///
/// Each piece is made when the client has taken what came before, so nothing piles up for a slow
/// one: it sees fewer events.
pub(crate) fn events(
    job: Arc<Job>,
    stopping: watch::Receiver<bool>,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
    let watch = Watch {
        job,
        stopping,
        last: None,
        sent: Instant::now(),
        number: 0,
        over: false,
        _permit: permit,
    };
    stream::unfold(watch, |mut watch| async move {
        let piece = watch.next().await?;
        Some((Ok(Bytes::from(piece)), watch))
    })
}

impl Watch {
    async fn next(&mut self) -> Option<String> {
        if self.over {
            return None;
        }
        // What there is, at once.
        if self.last.is_none() && !self.job.has_ended() {
            return self.progress();
        }
        let mut tick = tokio::time::interval(PROGRESS_INTERVAL);
        tick.reset();
        let mut stopping = self.stopping.clone();
        loop {
            tokio::select! {
                biased;
                outcome = self.job.finished() => {
                    let outcome = outcome?;
                    return Some(self.outcome(&outcome));
                }
                _ = stopping.wait_for(|stopping| *stopping) => return None,
                _ = tick.tick() => if let Some(piece) = self.progress() {
                    return Some(piece);
                },
            }
        }
    }

    /// The figures, if they changed; else a sign of life, if it is time for one.
    fn progress(&mut self) -> Option<String> {
        let progress = self.job.progress();
        let data = self.job.progress_json(&progress, false);
        let now = (progress.attempts, progress.best_bits, data["state"].clone());
        if self.last.as_ref() == Some(&now) {
            if self.sent.elapsed() < HEARTBEAT {
                return None;
            }
            self.sent = Instant::now();
            return Some(": still here\n\n".to_owned());
        }
        self.last = Some(now);
        self.sent = Instant::now();
        self.number += 1;
        let number = self.number.to_string();
        Some(event("progress", &number, &data))
    }

    fn outcome(&mut self, outcome: &Value) -> String {
        self.over = true;
        event(LAST_EVENT, LAST_EVENT, outcome)
    }
}

/// JSON has no line breaks outside of strings, and escapes those within.
fn event(name: &str, id: &str, data: &Value) -> String {
    format!("event: {name}\nid: {id}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_three_lines_and_an_empty_one_whatever_its_text() {
        let text = event("outcome", "outcome", &json!({ "content": "a\r\nb\n\ndata: c" }));
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.ends_with("}\n\n"));
    }
}
