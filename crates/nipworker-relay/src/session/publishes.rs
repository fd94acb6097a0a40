//! Events on their way to one relay.

use std::{sync::Arc, time::Duration};

use nipworker_protocol::{EventId, MachinePrefix};
use nipworker_transport::Outgoing;

use super::{Link, RelaySession};
use crate::{Now, PublishId, Receipt, ReceiptStatus, book::BookedPublish, effect::Out, stats::cut};

/// One event for one relay.
pub(crate) struct Outbound {
    publish: PublishId,
    event: EventId,
    frame: Arc<str>,
    asked: Duration,
    pub(super) deadline: Duration,
    /// Whether it was handed to a connection, ever. From then on the relay may have it.
    sent: bool,
}

impl Outbound {
    pub(crate) fn new(publish: PublishId, booked: &BookedPublish) -> Self {
        Self {
            publish,
            event: booked.event,
            frame: Arc::clone(&booked.frame),
            asked: booked.asked,
            deadline: booked.deadline,
            sent: false,
        }
    }
}

impl RelaySession {
    pub(crate) fn publish(&mut self, now: Now, outbound: Outbound, out: &mut Out) {
        let publish = outbound.publish;
        self.publish_alarms.insert((outbound.deadline, publish));
        // The same event asked for twice is sent once; its one answer answers both.
        let under_way =
            self.publishes.values().any(|other| other.event == outbound.event && other.sent);
        let frame = Arc::clone(&outbound.frame);
        self.publishes.insert(publish, outbound);
        match self.link {
            Link::Up(_) => {
                if let Some(outbound) = self.publishes.get_mut(&publish) {
                    outbound.sent = true;
                }
                if !under_way {
                    self.transmit(Outgoing::Text(frame.to_string()), out);
                }
            }
            Link::Waiting { until, .. } => {
                let reason = "no connection, and the next attempt comes too late";
                self.give_up_publishes(now, reason, |outbound| outbound.deadline < until, out);
            }
            Link::Idle | Link::Dialling { .. } => {}
        }
        self.expire_publishes(now, out);
        self.settle(now, out);
    }

    /// On a new connection everything that has no answer is sent, again or for the first time.
    /// Sending twice is harmless: the relay knows the id.
    pub(super) fn send_all(&mut self, out: &mut Out) {
        let mut frames: Vec<(EventId, Arc<str>)> = Vec::new();
        for outbound in self.publishes.values_mut() {
            outbound.sent = true;
            if !frames.iter().any(|(event, _)| *event == outbound.event) {
                frames.push((outbound.event, Arc::clone(&outbound.frame)));
            }
        }
        for (_, frame) in frames {
            self.transmit(Outgoing::Text(frame.to_string()), out);
        }
    }

    /// The relay answered.
    pub(super) fn answered(
        &mut self,
        now: Now,
        event: EventId,
        accepted: bool,
        message: &str,
        out: &mut Out,
    ) {
        // Some relays say no to what they already have. They have it.
        let has_it = accepted || MachinePrefix::of(message) == Some(MachinePrefix::Duplicate);
        let status = if has_it { ReceiptStatus::Accepted } else { ReceiptStatus::Refused };
        let answered = self.take(|outbound| outbound.event == event && outbound.sent);
        if answered.is_empty() {
            self.stats.late_oks.increment();
        }
        for outbound in answered {
            self.receipt(now, &outbound, status, &cut(message), out);
        }
    }

    /// No publish, and no reconciliation, waits longer than until `latest`.
    pub(crate) fn hurry(&mut self, now: Now, latest: Duration, out: &mut Out) {
        self.publish_alarms.clear();
        for outbound in self.publishes.values_mut() {
            outbound.deadline = outbound.deadline.min(latest);
            self.publish_alarms.insert((outbound.deadline, outbound.publish));
        }
        self.expire_publishes(now, out);
        self.reconciliations.hurry(latest);
        self.expire_reconciliations(now, out);
        self.settle(now, out);
    }

    pub(super) fn expire_publishes(&mut self, now: Now, out: &mut Out) {
        if self.publish_alarms.first().is_some_and(|(at, _)| *at <= now.monotonic) {
            let reason = match self.link {
                Link::Up(_) => "no answer in time",
                _ => "no connection in time",
            };
            self.give_up_publishes(now, reason, |outbound| outbound.deadline <= now.monotonic, out);
        }
    }

    pub(super) fn give_up_publishes(
        &mut self,
        now: Now,
        reason: &str,
        which: impl Fn(&Outbound) -> bool,
        out: &mut Out,
    ) {
        for outbound in self.take(which) {
            let status =
                if outbound.sent { ReceiptStatus::NoAnswer } else { ReceiptStatus::NotConnected };
            self.receipt(now, &outbound, status, reason, out);
        }
    }

    fn take(&mut self, which: impl Fn(&Outbound) -> bool) -> Vec<Outbound> {
        let taken: Vec<Outbound> =
            self.publishes.extract_if(.., |_, outbound| which(outbound)).map(|(_, o)| o).collect();
        for outbound in &taken {
            self.publish_alarms.remove(&(outbound.deadline, outbound.publish));
        }
        taken
    }

    fn receipt(
        &mut self,
        now: Now,
        outbound: &Outbound,
        status: ReceiptStatus,
        message: &str,
        out: &mut Out,
    ) {
        match status {
            ReceiptStatus::Accepted => self.stats.accepted.increment(),
            ReceiptStatus::Refused => self.stats.refused.increment(),
            ReceiptStatus::NoAnswer => self.stats.no_answer.increment(),
            ReceiptStatus::NotConnected => self.stats.not_connected.increment(),
        }
        let receipt = Receipt {
            relay: self.url.clone(),
            status,
            message: message.to_owned(),
            elapsed: now.monotonic.saturating_sub(outbound.asked),
        };
        out.receipts.push((outbound.publish, receipt));
    }
}
