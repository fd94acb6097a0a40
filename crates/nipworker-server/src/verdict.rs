//! From what became of a published event to what its sender is told.
//!
//! The rule (DESIGN: "never OK before a relay said so"): without upstream relays an event is
//! accepted when it is stored here, was stored before, or is an ephemeral one that was passed on.
//! With upstream relays it is accepted when that holds and at least one of them said OK true.

use nipworker_core::{
    ClientError, PublishReport, PutOutcome, PutStatus, Receipt, ReceiptStatus, RemineResult,
    Remined, protocol::MachinePrefix,
};

/// The answer to a published event, as `OK` carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether the event was accepted.
    pub(crate) accepted: bool,
    /// `prefix: text`, or text, or nothing.
    pub(crate) message: String,
}

impl Verdict {
    /// Judges a report.
    pub(crate) fn of(report: &PublishReport) -> Self {
        let here = Self::of_outcome(&report.outcome);
        if !here.accepted || report.receipts.is_empty() {
            return here;
        }
        let mut relays = summary(&report.receipts);
        if let Some(remined) = &report.remined {
            // About another event: it changes nothing of the verdict on this one.
            relays.push_str(&format!("; {}", remined_text(remined)));
        }
        if report.accepted() == 0 {
            let kept = match report.outcome.status {
                PutStatus::Ephemeral => "passed on here",
                _ => "stored here",
            };
            return Self {
                accepted: false,
                message: MachinePrefix::Error
                    .message(format_args!("{kept}, but no relay accepted it: {relays}")),
            };
        }
        let message = match report.outcome.status {
            PutStatus::Duplicate => {
                MachinePrefix::Duplicate.message(format_args!("already stored; relays: {relays}"))
            }
            _ => format!("relays: {relays}"),
        };
        Self { accepted: true, message }
    }

    /// Judges what the store did.
    pub(crate) fn of_outcome(outcome: &PutOutcome) -> Self {
        let PutOutcome { status, reason, .. } = outcome;
        let (prefix, text) = match status {
            PutStatus::Stored | PutStatus::Ephemeral => {
                return Self { accepted: true, message: String::new() };
            }
            PutStatus::Duplicate => (MachinePrefix::Duplicate, "already stored"),
            // Not `duplicate`, which says that this event is here.
            PutStatus::Superseded => (MachinePrefix::Blocked, "a newer version is stored"),
            PutStatus::Deleted => (MachinePrefix::Blocked, "its author asked for its deletion"),
            PutStatus::Expired => (MachinePrefix::Blocked, "it has expired"),
            PutStatus::Invalid => (MachinePrefix::Invalid, "not a valid event"),
            _ => (MachinePrefix::Error, "could not be stored"),
        };
        let text = if reason.is_empty() { text } else { reason.as_str() };
        Self { accepted: *status == PutStatus::Duplicate, message: prefixed(prefix, text) }
    }

    /// Judges a request that failed as a whole.
    pub(crate) fn of_error(error: &ClientError) -> Self {
        Self { accepted: false, message: error_message(error) }
    }
}

/// A client error as the text of an `OK false` or `CLOSED`.
pub(crate) fn error_message(error: &ClientError) -> String {
    match error {
        ClientError::Invalid(reason) => prefixed(MachinePrefix::Invalid, reason),
        ClientError::Unsupported(reason) => prefixed(MachinePrefix::Unsupported, reason),
        ClientError::Busy(reason) | ClientError::OutboxFull(reason) => {
            prefixed(MachinePrefix::RateLimited, reason)
        }
        other => prefixed(MachinePrefix::Error, &other.to_string()),
    }
}

/// Puts a prefix before a text unless it has one already.
pub(crate) fn prefixed(prefix: MachinePrefix, text: &str) -> String {
    match MachinePrefix::of(text) {
        Some(_) => text.to_owned(),
        None => prefix.message(text),
    }
}

/// What was done for relays that refused an event for too little work.
pub(crate) fn remined_text(remined: &Remined) -> String {
    match &remined.result {
        RemineResult::Published { event, bits, outcome, receipts, .. } => {
            let receipts = match receipts.as_slice() {
                [] => Verdict::of_outcome(outcome).message,
                receipts => summary(receipts),
            };
            format!("mined anew with {bits} bits as {}: {receipts}", event.id)
        }
        RemineResult::NotTried { reason } => format!("not mined anew: {reason}"),
        RemineResult::Failed { reason } => format!("mining anew failed: {reason}"),
        _ => "mining anew ended otherwise".to_owned(),
    }
}

/// `2 accepted, 1 refused (wss://c: blocked: …), 1 no answer (wss://d)`.
fn summary(receipts: &[Receipt]) -> String {
    let mut parts = Vec::new();
    for (status, word) in [
        (ReceiptStatus::Accepted, "accepted"),
        (ReceiptStatus::Refused, "refused"),
        (ReceiptStatus::NoAnswer, "no answer"),
        (ReceiptStatus::NotConnected, "not connected"),
    ] {
        let these: Vec<&Receipt> =
            receipts.iter().filter(|receipt| receipt.status == status).collect();
        if these.is_empty() {
            continue;
        }
        let mut part = format!("{} {word}", these.len());
        if status != ReceiptStatus::Accepted {
            let named: Vec<String> = these
                .iter()
                .map(|receipt| match receipt.message.as_str() {
                    "" => receipt.relay.clone(),
                    message => format!("{}: {message}", receipt.relay),
                })
                .collect();
            part.push_str(&format!(" ({})", named.join("; ")));
        }
        parts.push(part);
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use nipworker_core::protocol::EventId;

    use super::*;

    fn outcome(status: PutStatus, reason: &str) -> PutOutcome {
        PutOutcome { id: EventId::from_bytes([1; 32]), status, reason: reason.to_owned() }
    }

    fn receipt(relay: &str, status: ReceiptStatus, message: &str) -> Receipt {
        let (relay, message) = (relay.to_owned(), message.to_owned());
        Receipt { relay, status, message, elapsed_ms: 1, auth: None }
    }

    fn verdict(status: PutStatus, receipts: Vec<Receipt>) -> (bool, String) {
        let report = PublishReport { outcome: outcome(status, ""), receipts, remined: None };
        let Verdict { accepted, message } = Verdict::of(&report);
        (accepted, message)
    }

    #[test]
    fn without_relays_the_store_decides() {
        assert_eq!(verdict(PutStatus::Stored, vec![]), (true, String::new()));
        assert_eq!(verdict(PutStatus::Ephemeral, vec![]), (true, String::new()));
        assert_eq!(
            verdict(PutStatus::Duplicate, vec![]),
            (true, "duplicate: already stored".to_owned())
        );
        for status in [
            PutStatus::Superseded,
            PutStatus::Deleted,
            PutStatus::Expired,
            PutStatus::Invalid,
            PutStatus::Failed,
        ] {
            let (accepted, message) = verdict(status, vec![]);
            assert!(!accepted);
            assert!(MachinePrefix::of(&message).is_some(), "{message}");
        }
    }

    #[test]
    fn a_valid_event_that_is_not_kept_is_not_called_invalid() {
        for (status, wanted) in [
            (PutStatus::Superseded, "blocked: a newer version is stored"),
            (PutStatus::Deleted, "blocked: its author asked for its deletion"),
            (PutStatus::Expired, "blocked: it has expired"),
        ] {
            assert_eq!(verdict(status, vec![]), (false, wanted.to_owned()));
        }
    }

    #[test]
    fn a_reason_is_passed_on_with_one_prefix() {
        let text = |reason| Verdict::of_outcome(&outcome(PutStatus::Invalid, reason)).message;
        assert_eq!(text("signature is not valid"), "invalid: signature is not valid");
        assert_eq!(text("invalid: signature"), "invalid: signature");
    }

    #[test]
    fn with_relays_one_of_them_must_have_accepted() {
        use ReceiptStatus::{Accepted, NoAnswer, NotConnected, Refused};
        let refused = receipt("wss://b", Refused, "blocked: no");
        let (accepted, message) =
            verdict(PutStatus::Stored, vec![receipt("wss://a", Accepted, ""), refused.clone()]);
        assert!(accepted);
        assert_eq!(message, "relays: 1 accepted, 1 refused (wss://b: blocked: no)");
        let (accepted, message) = verdict(
            PutStatus::Stored,
            vec![refused, receipt("wss://c", NoAnswer, ""), receipt("wss://d", NotConnected, "x")],
        );
        assert!(!accepted);
        assert_eq!(
            message,
            "error: stored here, but no relay accepted it: 1 refused (wss://b: blocked: no), \
             1 no answer (wss://c), 1 not connected (wss://d: x)"
        );
    }

    #[test]
    fn what_was_mined_anew_is_told_and_does_not_count_for_the_event() {
        let refused = receipt("wss://a", ReceiptStatus::Refused, "pow: 30 bits needed");
        let remined = |result| {
            let remined = Some(Remined { demands: vec![], result });
            let report = PublishReport {
                outcome: outcome(PutStatus::Stored, ""),
                receipts: vec![refused.clone()],
                remined,
            };
            Verdict::of(&report)
        };
        let reason = "the event is another author's".to_owned();
        let verdict = remined(RemineResult::NotTried { reason });
        assert!(!verdict.accepted);
        assert!(
            verdict.message.ends_with("; not mined anew: the event is another author's"),
            "{}",
            verdict.message
        );
    }

    #[test]
    fn an_event_refused_here_is_refused_whatever_relays_say() {
        let relays = vec![receipt("wss://a", ReceiptStatus::Accepted, "")];
        assert!(!verdict(PutStatus::Invalid, relays).0);
    }
}
