//! What a relay says.

use std::{sync::Arc, time::Duration};

use nipworker_protocol::{
    ClientMessage, EventFrame, EventReader, Filter, MachinePrefix, MessageError, RelayMessage,
    StoredHint,
};
use nipworker_transport::{Incoming, Outgoing};
use serde::Deserialize;

use super::{
    Fault, RelaySession,
    carrier::Carrier,
    pages::Pages,
    places::says_full,
    subscriptions::{Asked, Ended},
};
use crate::{
    AuthProblem, ConnectionId, Delivery, ErrorKind, Now, RelayPool, book::Told, effect::Out,
    stats::cut,
};

/// Time over which malformed messages are counted.
const BAD_FRAME_WINDOW: Duration = Duration::from_secs(60);
/// Notices of one input that are handed on; further ones are only counted.
const NOTICES_PER_BATCH: usize = 8;

/// Events that came in a row, by subscription.
#[derive(Default)]
struct Runs(Vec<Run>);

struct Run {
    subscription: Arc<str>,
    events: Vec<String>,
    /// Events with which they are handed on.
    full: usize,
}

impl RelaySession {
    pub(crate) fn received(
        &mut self,
        now: Now,
        connection: ConnectionId,
        messages: Vec<Incoming>,
        out: &mut Out,
    ) {
        let Some(up) = self.current(connection) else { return };
        up.reading = false;
        up.heard = now.monotonic;
        up.pinged = None;
        let mut runs = Runs::default();
        let mut notices = 0;
        for message in messages {
            match message {
                Incoming::Alive => {}
                Incoming::Binary { bytes } => {
                    self.stats.frames_in.increment();
                    self.stats.bytes_in.add(bytes as u64);
                    self.bad_frame(now, connection);
                }
                Incoming::Text(text) => {
                    self.stats.frames_in.increment();
                    self.stats.bytes_in.add(text.len() as u64);
                    self.text(now, connection, &text, &mut runs, &mut notices, out);
                }
            }
        }
        self.end_runs(now, &mut runs);
        self.fill(now, out);
        self.check_manners(now, connection, out);
        self.settle(now, out);
    }

    fn text(
        &mut self,
        now: Now,
        connection: ConnectionId,
        text: &str,
        runs: &mut Runs,
        notices: &mut usize,
        out: &mut Out,
    ) {
        // The event is not looked into here: the parser refuses what is none, and counts it.
        if let Some(EventFrame { subscription, event }) = EventFrame::find(text) {
            return self.event(now, subscription, event.to_owned(), runs);
        }
        match RelayMessage::parse(text) {
            Ok(RelayMessage::Event { subscription, event }) => {
                self.event(now, &subscription, Box::<str>::from(event).into(), runs);
            }
            Ok(RelayMessage::Eose { subscription, stored }) => {
                self.end_runs(now, runs);
                self.end_of_stored(now, &subscription, stored, out);
            }
            Ok(RelayMessage::Closed { subscription, message }) => {
                self.end_runs(now, runs);
                self.closed(now, &subscription, &message, out);
                self.neg_refused(now, &subscription, &message, out);
            }
            Ok(RelayMessage::Auth(challenge)) => self.challenged(now, &challenge, out),
            Ok(RelayMessage::Ok { id, accepted, message }) => {
                self.answered(now, id, accepted, &message, out);
            }
            Ok(RelayMessage::Notice(message)) => {
                self.end_runs(now, runs);
                self.neg_notice(now, &message, out);
                self.stats.notices.increment();
                self.stats.set_notice(&message);
                if says_full(&message) {
                    self.refused_by_notice(now, out);
                }
                *notices += 1;
                if *notices <= NOTICES_PER_BATCH {
                    self.outbox.push(Delivery::Notice { message: cut(&message) });
                }
            }
            Ok(RelayMessage::NegMsg { subscription, message }) => {
                self.neg_message(now, &subscription, &message, text.len(), out);
            }
            Ok(RelayMessage::NegErr { subscription, message }) => {
                self.neg_refused(now, &subscription, &message, out);
            }
            // Types that this client does not use, and those of the future (NIP-01 lets them be
            // ignored).
            Ok(_) | Err(MessageError::UnknownType(_)) => self.stats.unknown_frames.increment(),
            Err(error) => {
                self.bad_frame(now, connection);
                if matches!(error, MessageError::Malformed { kind: "NEG-MSG" | "NEG-ERR", .. }) {
                    self.neg_garbled(now, &error.to_string(), out);
                }
            }
        }
    }

    fn event(&mut self, now: Now, wire: &str, event: String, runs: &mut Runs) {
        if !self.wire.contains_key(wire) {
            self.stats.unasked_events.increment();
            return;
        }
        self.stats.events.increment();
        let riders = self.riders_of(wire, &event);
        self.add_to_runs(now, runs, riders, event);
    }

    fn add_to_runs(&mut self, now: Now, runs: &mut Runs, riders: Vec<Arc<str>>, event: String) {
        let Some((last, others)) = riders.split_last() else { return };
        for rider in others {
            self.add_to_run(now, runs, rider, event.clone());
        }
        self.add_to_run(now, runs, last, event);
    }

    fn add_to_run(&mut self, now: Now, runs: &mut Runs, rider: &Arc<str>, event: String) {
        let at = runs.0.iter().position(|run| run.subscription == *rider).unwrap_or_else(|| {
            let full = self.subscriptions.get(rider).map(|entry| entry.next_batch);
            let full = full.unwrap_or(RelayPool::EVENTS_PER_BATCH);
            runs.0.push(Run { subscription: Arc::clone(rider), events: Vec::new(), full });
            runs.0.len() - 1
        });
        let run = &mut runs.0[at];
        run.events.push(event);
        if run.events.len() >= run.full {
            run.full = run.full.saturating_mul(2).min(RelayPool::EVENTS_PER_BATCH);
            if let Some(entry) = self.subscriptions.get_mut(rider) {
                entry.next_batch = run.full;
            }
            let events = std::mem::take(&mut run.events);
            self.end_run(now, Arc::clone(rider), events);
        }
    }

    fn end_runs(&mut self, now: Now, runs: &mut Runs) {
        for run in std::mem::take(&mut runs.0) {
            self.end_run(now, run.subscription, run.events);
        }
    }

    fn end_run(&mut self, now: Now, subscription: Arc<str>, events: Vec<String>) {
        if events.is_empty() {
            return;
        }
        if let Some(entry) = self.subscriptions.get_mut(&subscription) {
            // The first and the last are enough: relays send stored events in the order of their
            // time, and a time that is too early only means that more is asked for again.
            let last = if events.len() > 1 { events.last() } else { None };
            for event in events.first().into_iter().chain(last) {
                if entry.may_learn(now)
                    && let Some(created_at) = created_at(event)
                {
                    entry.saw(created_at, now);
                }
            }
            self.dirty.insert(Arc::clone(&subscription));
        }
        self.outbox.push(Delivery::Events { subscription, events });
    }

    fn end_of_stored(&mut self, now: Now, wire: &str, stored: StoredHint, out: &mut Out) {
        let Some(carrier) = self.wire.get_mut(wire) else { return };
        if std::mem::replace(&mut carrier.is_complete, true) {
            self.stats.repeated_eoses.increment();
            return;
        }
        let mut stored = stored;
        if let Some(mut pages) = carrier.pages.take() {
            if let Some(filters) = pages.next(stored) {
                return self.next_page(wire, pages, &filters, out);
            }
            if pages.is_cut() {
                stored = StoredHint::More;
            }
        }
        self.stats.eoses.increment();
        for name in carrier.riders.clone() {
            self.stored_events_complete(now, &name, stored, out);
        }
    }

    /// The rest of the stored events is asked for. A live REQ stays open beside its pages.
    fn next_page(&mut self, wire: &str, pages: Pages, filters: &[Filter], out: &mut Out) {
        let Some(carrier) = self.wire.get(wire) else { return };
        let riders = carrier.riders.clone();
        let stays = carrier.is_live && !carrier.is_page;
        self.stats.pages.increment();
        for name in &riders {
            if let Some(subscription) = self.subscriptions.get_mut(name) {
                subscription.turns_page(wire, stays);
            }
        }
        if !stays {
            self.wire.remove(wire);
            self.transmit(Outgoing::Text(ClientMessage::close_frame(wire)), out);
        }
        self.send_req(Carrier::page(riders, pages), filters, out);
    }

    fn stored_events_complete(
        &mut self,
        now: Now,
        name: &Arc<str>,
        stored: StoredHint,
        out: &mut Out,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(name) else { return };
        let Some(asked) = subscription.completed(now) else { return };
        let first = std::mem::replace(&mut subscription.told, Told::Answer) != Told::Answer;
        let close = subscription.close_on_eose;
        let latency = now.monotonic.saturating_sub(asked).as_millis();
        self.stats.eose_latency_ms.set(u64::try_from(latency).unwrap_or(u64::MAX));
        if first {
            self.outbox.push(Delivery::EndOfStored { subscription: Arc::clone(name), stored });
        }
        if close {
            self.remove(name, out);
            self.finished.push(Arc::clone(name));
        } else {
            self.close_pages(name, out);
            self.dirty.insert(Arc::clone(name));
        }
    }

    /// The REQs for further pages of a live subscription are not needed any more.
    fn close_pages(&mut self, name: &Arc<str>, out: &mut Out) {
        let Some(subscription) = self.subscriptions.get_mut(name) else { return };
        let Asked::Open { wires, .. } = &mut subscription.asked else { return };
        let is_page = |wire: &String| self.wire.get(wire).is_some_and(|carrier| carrier.is_page);
        let pages: Vec<String> = wires.extract_if(.., |wire| is_page(wire)).collect();
        self.get_off(name, &pages, out);
    }

    fn closed(&mut self, now: Now, wire: &str, message: &str, out: &mut Out) {
        let Some(carrier) = self.wire.remove(wire) else { return };
        self.stats.closed.increment();
        let riders = carrier.riders;
        if says_full(message) && (!self.wire.is_empty() || self.places() > 1) {
            self.lower_places(self.wire.len());
            return self.wait_again(now, riders, out);
        }
        let prefix = MachinePrefix::of(message);
        if prefix == Some(MachinePrefix::AuthRequired) {
            for name in riders {
                self.refused_subscription(now, name, message, out);
            }
            return;
        }
        if riders.len() > 1 {
            return self.part(now, riders, out);
        }
        let passing =
            matches!(prefix, None | Some(MachinePrefix::RateLimited | MachinePrefix::Error));
        let retry = passing.then(|| now.monotonic + self.config.closed_retry);
        for name in riders {
            self.ended(&name, Ended::By { retry }, out);
            self.tell_closed(name, message, None);
        }
    }

    /// A subscription is over here, for the reason that is given; a live one maybe not for good.
    pub(super) fn tell_closed(&mut self, name: Arc<str>, message: &str, auth: Option<AuthProblem>) {
        let over = self.subscriptions.get(&name).is_some_and(|entry| entry.close_on_eose);
        if over {
            self.subscriptions.remove(&name);
            self.alarms.retain(|(_, alarm)| *alarm != name);
            self.finished.push(Arc::clone(&name));
        } else {
            self.dirty.insert(Arc::clone(&name));
        }
        self.outbox.push(Delivery::Closed { subscription: name, message: cut(message), auth });
    }

    fn bad_frame(&mut self, now: Now, connection: ConnectionId) {
        self.stats.bad_frames.increment();
        if let Some(up) = self.current(connection) {
            if up.bad_since + BAD_FRAME_WINDOW <= now.monotonic {
                up.bad_since = now.monotonic;
                up.bad_frames = 0;
            }
            up.bad_frames += 1;
        }
    }

    fn check_manners(&mut self, now: Now, connection: ConnectionId, out: &mut Out) {
        let limit = self.config.max_bad_frames;
        if self.current(connection).is_some_and(|up| up.bad_frames > limit) {
            self.disconnect(connection, None, out);
            let window = BAD_FRAME_WINDOW.as_secs();
            let reason = format!("more than {limit} malformed messages within {window} s");
            self.fail(now, ErrorKind::Protocol, &reason, Fault::Misbehaved, out);
        }
    }
}

/// When an event says it was made; the rest of the text is not looked at beyond its form.
pub(super) fn created_at(event: &str) -> Option<i64> {
    if let Some(event) = EventReader::new().read(event) {
        return Some(event.created_at());
    }
    #[derive(Deserialize)]
    struct Created {
        created_at: i64,
    }
    serde_json::from_str::<Created>(event).ok().map(|created| created.created_at)
}
