//! Events on their way to one relay.

use std::{sync::Arc, time::Duration};

use nipworker_protocol::{Event, EventId, MachinePrefix};
use nipworker_transport::Outgoing;

use super::{Link, RelaySession, auth::Prospect};
use crate::{
    AuthProblem, Now, PublishId, Receipt, ReceiptStatus, RelayLimits, book::BookedPublish,
    effect::Out, stats::cut,
};

/// One event for one relay.
pub(crate) struct Outbound {
    publish: PublishId,
    event: EventId,
    frame: Arc<str>,
    asked: Duration,
    pub(super) deadline: Duration,
    /// Whether it was handed to a connection, ever. From then on the relay may have it.
    sent: bool,
    /// When it was sent last.
    sent_at: Duration,
    /// How often the relay had accepted who we are when it was sent last.
    authenticated: u32,
    /// What the relay said that wants to know first who we are.
    refusal: Option<String>,
    /// It was taken back after it was sent: its answer is waited for, but it is not sent again.
    withdrawn: bool,
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
            sent_at: Duration::ZERO,
            authenticated: 0,
            refusal: None,
            withdrawn: false,
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
            Link::Up(_) if self.is_held_back(now) => {}
            Link::Up(_) => {
                self.withhold_too_long(now, out);
                if !self.publishes.contains_key(&publish) {
                    return self.settle(now, out);
                }
                if let Some(outbound) = self.publishes.get_mut(&publish) {
                    outbound.sent = true;
                    outbound.sent_at = now.monotonic;
                    outbound.authenticated = self.auth.successes();
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
    pub(super) fn send_all(&mut self, now: Now, out: &mut Out) {
        if self.is_held_back(now) {
            return;
        }
        self.withhold_too_long(now, out);
        self.give_up_withdrawn(now, |_| true, out);
        let mut frames: Vec<(EventId, Arc<str>)> = Vec::new();
        for outbound in self.publishes.values_mut() {
            outbound.sent = true;
            outbound.sent_at = now.monotonic;
            outbound.authenticated = self.auth.successes();
            outbound.refusal = None;
            if !frames.iter().any(|(event, _)| *event == outbound.event) {
                frames.push((outbound.event, Arc::clone(&outbound.frame)));
            }
        }
        for (_, frame) in frames {
            self.transmit(Outgoing::Text(frame.to_string()), out);
        }
    }

    /// These publishes were taken back. Those whose answer may be on its way wait for it.
    pub(crate) fn withdraw(&mut self, now: Now, publishes: &[PublishId], out: &mut Out) {
        for outbound in self.publishes.values_mut() {
            outbound.withdrawn |= publishes.contains(&outbound.publish);
        }
        let is_up = matches!(self.link, Link::Up(_));
        self.give_up_withdrawn(
            now,
            |outbound| !outbound.sent || outbound.refusal.is_some() || !is_up,
            out,
        );
        self.settle(now, out);
    }

    fn give_up_withdrawn(&mut self, now: Now, which: impl Fn(&Outbound) -> bool, out: &mut Out) {
        let reason = "the event was taken back";
        self.give_up_publishes(now, reason, |it| it.withdrawn && which(it), out);
    }

    /// What is longer than the relay takes is not sent: it would cost the connection, or bring no
    /// answer at all. Whatever else its document forbids is sent nevertheless: a document may be out
    /// of date or speak of others, and the relay's own answer is the better one.
    fn withhold_too_long(&mut self, now: Now, out: &mut Out) {
        let Some(most) = self.information.limits.max_message_length else { return };
        for outbound in self.take(|outbound| outbound.frame.len() > most) {
            self.stats.too_long.increment();
            let length = outbound.frame.len();
            let reason =
                format!("not sent: {length} bytes are over this relay's limit of {most} bytes");
            self.receipt(now, &outbound, ReceiptStatus::NotConnected, &reason, None, out);
        }
    }

    /// Why the relay may not have answered, as far as its document tells.
    fn broken_limit(&self, now: Now, outbound: &Outbound) -> Option<String> {
        if *self.information.limits == RelayLimits::default() {
            return None;
        }
        let json = outbound.frame.strip_prefix(r#"["EVENT","#)?.strip_suffix(']')?;
        let event: Event = serde_json::from_str(json).ok()?;
        self.information.limits.broken_by(&event, now.unix)
    }

    /// What was refused because the relay did not know who we are is sent again.
    pub(super) fn send_refused_again(&mut self, out: &mut Out) {
        let mut frames: Vec<(EventId, Arc<str>)> = Vec::new();
        for outbound in self.publishes.values_mut() {
            if outbound.refusal.take().is_none() {
                continue;
            }
            outbound.authenticated = self.auth.successes();
            if !frames.iter().any(|(event, _)| *event == outbound.event) {
                frames.push((outbound.event, Arc::clone(&outbound.frame)));
            }
        }
        for (_, frame) in frames {
            self.stats.auth_resent.increment();
            self.transmit(Outgoing::Text(frame.to_string()), out);
        }
    }

    /// The relay will not know who we are: its refusals stand.
    pub(super) fn give_up_refused_publishes(
        &mut self,
        now: Now,
        problem: AuthProblem,
        out: &mut Out,
    ) {
        for mut outbound in self.take(|outbound| outbound.refusal.is_some()) {
            let refusal = outbound.refusal.take().unwrap_or_default();
            self.refuse(now, &outbound, &refusal, Some(problem), out);
        }
    }

    /// The relay refused an event because it wants to know first who we are. `true` when that is
    /// waited for.
    fn wait_for_auth(&mut self, now: Now, event: EventId, message: &str, out: &mut Out) -> bool {
        let concerned = |outbound: &&mut Outbound| outbound.event == event && outbound.sent;
        let Some(outbound) = self.publishes.values_mut().find(concerned) else { return false };
        let authenticated = outbound.authenticated;
        let prospect = self.refused_for_auth(now, authenticated, out);
        if matches!(prospect, Prospect::None(_)) {
            return false;
        }
        for outbound in self.publishes.values_mut().filter(concerned) {
            outbound.refusal = Some(cut(message));
        }
        if prospect == Prospect::Again {
            self.send_refused_again(out);
        }
        true
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
        if self.auth_answered(now, event, accepted, message, out) {
            return;
        }
        let prefix = MachinePrefix::of(message);
        let auth_required = !accepted && prefix == Some(MachinePrefix::AuthRequired);
        if auth_required && self.wait_for_auth(now, event, message, out) {
            return;
        }
        // Some relays say no to what they already have. They have it.
        let has_it = accepted || prefix == Some(MachinePrefix::Duplicate);
        let problem = |session: &Self, outbound: &Outbound| match auth_required {
            true => session.refusal_problem(outbound.authenticated),
            false => None,
        };
        let answered = self.take(|outbound| outbound.event == event && outbound.sent);
        if answered.is_empty() {
            self.stats.late_oks.increment();
        }
        for outbound in answered {
            let latency = now.monotonic.saturating_sub(outbound.sent_at);
            self.stats.ok_latency_ms.set(u64::try_from(latency.as_millis()).unwrap_or(u64::MAX));
            if has_it {
                self.receipt(now, &outbound, ReceiptStatus::Accepted, &cut(message), None, out);
            } else {
                let problem = problem(self, &outbound);
                self.refuse(now, &outbound, &cut(message), problem, out);
            }
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
            if let Some(refusal) = &outbound.refusal {
                // The relay has answered, and nothing has changed its mind.
                let problem = self.refusal_problem(outbound.authenticated);
                self.refuse(now, &outbound, refusal, problem, out);
                continue;
            }
            let status =
                if outbound.sent { ReceiptStatus::NoAnswer } else { ReceiptStatus::NotConnected };
            let reason = match self.broken_limit(now, &outbound) {
                Some(limit) if outbound.sent => format!("{reason}; {limit}"),
                _ => reason.to_owned(),
            };
            self.receipt(now, &outbound, status, &reason, None, out);
        }
    }

    fn refuse(
        &mut self,
        now: Now,
        outbound: &Outbound,
        message: &str,
        auth: Option<AuthProblem>,
        out: &mut Out,
    ) {
        self.receipt(now, outbound, ReceiptStatus::Refused, message, auth, out);
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
        auth: Option<AuthProblem>,
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
            auth,
        };
        out.receipts.push((outbound.publish, receipt));
    }
}
