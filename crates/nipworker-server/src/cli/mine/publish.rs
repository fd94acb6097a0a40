//! Sending what was mined, and what became of it.

use std::time::Duration;

use nipworker_core::{
    NostrClient, PublishOptions, PublishReport, Receipt, ReceiptStatus, RemineResult,
    protocol::{Event, RelayUrl},
};
use serde_json::{Value, json};

use crate::{
    cli::{
        output::{Failure, json_line, note},
        publish::receipt_line,
    },
    verdict::{Verdict, remined_text},
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
    /// Whether at least one relay has it, or has what was mined anew for it.
    fn accepted(&self) -> bool {
        self.report.accepted() > 0
            || self.mined_anew().is_some_and(|(_, receipts)| {
                receipts.iter().any(|receipt| receipt.status == ReceiptStatus::Accepted)
            })
    }

    /// The other event that was published instead, where relays demanded more work.
    fn mined_anew(&self) -> Option<(&Event, &[Receipt])> {
        match &self.report.remined.as_ref()?.result {
            RemineResult::Published { event, receipts, .. } => Some((event, receipts)),
            _ => None,
        }
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
            "remined": self.report.remined,
        })
    }

    /// One line for each relay, on stderr: stdout carries the event, and, where relays demanded
    /// more work and it was done, the event with that on a second line (unless `as_json`, which
    /// has it already).
    pub(super) fn tell(&self, as_json: bool) -> Result<(), Failure> {
        for receipt in &self.report.receipts {
            note(receipt_line(receipt));
        }
        if let Some(remined) = &self.report.remined {
            note(remined_text(remined));
        }
        if let Some((event, _)) = self.mined_anew().filter(|_| !as_json) {
            json_line(event)?;
        }
        if self.accepted() {
            return Ok(());
        }
        Err(Failure::because(format_args!("the event was not published: {}", self.refusal())))
    }
}
