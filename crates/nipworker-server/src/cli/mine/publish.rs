//! Sending what was mined, and what became of it.

use std::time::Duration;

use nipworker_core::{
    NostrClient, PublishOptions, PublishReport,
    protocol::{Event, RelayUrl},
};
use serde_json::{Value, json};

use crate::{
    cli::{
        output::{Failure, note},
        publish::receipt_line,
    },
    verdict::Verdict,
};

/// What became of an event that was sent to relays.
pub(super) struct Sent {
    report: PublishReport,
}

/// Sends an event to these relays and waits for their answers. The engine's own store only checks
/// the event: it is forgotten with the process.
pub(super) async fn send(
    client: &NostrClient,
    event: Event,
    relays: Vec<RelayUrl>,
    timeout: Duration,
) -> Result<Sent, Failure> {
    let options = PublishOptions { relays: Some(relays), use_relays: true, timeout: Some(timeout) };
    let report = client.publish_with(event, options).await.map_err(Failure::because)?;
    Ok(Sent { report })
}

impl Sent {
    /// Whether at least one relay has it.
    fn accepted(&self) -> bool {
        self.report.accepted() > 0 && Verdict::of(&self.report).accepted
    }

    /// Why it does not count as published. What the engine's own store, which is forgotten, made of
    /// it matters only when it was not sent for that.
    fn refusal(&self) -> String {
        match Verdict::of_outcome(&self.report.outcome) {
            Verdict { accepted: false, message } => message,
            _ => "no relay accepted it".to_owned(),
        }
    }

    /// For a program.
    pub(super) fn json(&self) -> Value {
        let accepted = self.accepted();
        let message = if accepted { String::new() } else { self.refusal() };
        json!({
            "accepted": accepted,
            "message": message,
            "receipts": self.report.receipts,
        })
    }

    /// One line for each relay, on stderr: stdout carries the event.
    pub(super) fn tell(&self) -> Result<(), Failure> {
        for receipt in &self.report.receipts {
            note(receipt_line(receipt));
        }
        if self.accepted() {
            return Ok(());
        }
        Err(Failure::because(format_args!("the event was not published: {}", self.refusal())))
    }
}
