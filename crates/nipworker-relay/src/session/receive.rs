//! What a relay says.

use std::{sync::Arc, time::Duration};

use nipworker_protocol::{EventFrame, EventReader, MachinePrefix, MessageError, RelayMessage};
use nipworker_transport::Incoming;
use serde::Deserialize;

use super::{Fault, RelaySession};
use crate::{ConnectionId, Delivery, Now, RelayPool, book::Told, effect::Out, stats::cut};

/// Time over which malformed messages are counted.
const BAD_FRAME_WINDOW: Duration = Duration::from_secs(60);
/// Notices of one input that are handed on; further ones are only counted.
const NOTICES_PER_BATCH: usize = 8;

/// Events of one subscription that came in a row.
struct Run {
    subscription: Arc<str>,
    events: Vec<String>,
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
        let mut run = None;
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
                    self.text(now, connection, &text, &mut run, &mut notices, out);
                }
            }
        }
        self.end_run(now, &mut run);
        self.fill(now, out);
        self.check_manners(now, connection, out);
        self.settle(now, out);
    }

    fn text(
        &mut self,
        now: Now,
        connection: ConnectionId,
        text: &str,
        run: &mut Option<Run>,
        notices: &mut usize,
        out: &mut Out,
    ) {
        // The event is not looked into here: the parser refuses what is none, and counts it.
        if let Some(EventFrame { subscription, event }) = EventFrame::find(text) {
            return self.event(now, subscription, event.to_owned(), run);
        }
        match RelayMessage::parse(text) {
            Ok(RelayMessage::Event { subscription, event }) => {
                self.event(now, &subscription, Box::<str>::from(event).into(), run);
            }
            Ok(RelayMessage::Eose { subscription }) => {
                self.end_run(now, run);
                self.end_of_stored(now, &subscription, out);
            }
            Ok(RelayMessage::Closed { subscription, message }) => {
                self.end_run(now, run);
                self.closed(now, &subscription, &message);
                self.neg_refused(now, &subscription, &message, out);
            }
            Ok(RelayMessage::Ok { id, accepted, message }) => {
                self.answered(now, id, accepted, &message, out);
            }
            Ok(RelayMessage::Notice(message)) => {
                self.end_run(now, run);
                self.neg_notice(now, &message, out);
                self.stats.notices.increment();
                self.stats.set_notice(&message);
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

    fn event(&mut self, now: Now, wire: &str, event: String, run: &mut Option<Run>) {
        let Some(name) = self.wire.get(wire) else {
            self.stats.unasked_events.increment();
            return;
        };
        self.stats.events.increment();
        match run {
            Some(run)
                if run.subscription == *name && run.events.len() < RelayPool::EVENTS_PER_BATCH =>
            {
                run.events.push(event);
            }
            _ => {
                let subscription = Arc::clone(name);
                self.end_run(now, run);
                *run = Some(Run { subscription, events: vec![event] });
            }
        }
    }

    fn end_run(&mut self, now: Now, run: &mut Option<Run>) {
        let Some(Run { subscription, events }) = run.take() else { return };
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

    fn end_of_stored(&mut self, now: Now, wire: &str, out: &mut Out) {
        let Some(name) = self.wire.get(wire).cloned() else { return };
        let Some(subscription) = self.subscriptions.get_mut(&name) else { return };
        let Some(asked) = subscription.completed(now) else {
            self.stats.repeated_eoses.increment();
            return;
        };
        let first = std::mem::replace(&mut subscription.told, Told::Answer) != Told::Answer;
        let close = subscription.close_on_eose;
        self.stats.eoses.increment();
        let latency = now.monotonic.saturating_sub(asked).as_millis();
        self.stats.eose_latency_ms.set(u64::try_from(latency).unwrap_or(u64::MAX));
        if first {
            self.outbox.push(Delivery::EndOfStored { subscription: Arc::clone(&name) });
        }
        if close {
            self.remove(&name, out);
            self.finished.push(name);
        } else {
            self.dirty.insert(name);
        }
    }

    fn closed(&mut self, now: Now, wire: &str, message: &str) {
        let Some(name) = self.wire.get(wire).cloned() else { return };
        self.stats.closed.increment();
        let passing = matches!(
            MachinePrefix::of(message),
            None | Some(MachinePrefix::RateLimited | MachinePrefix::Error)
        );
        self.ended(now, &name, passing);
        let over = self.subscriptions.get(&name).is_some_and(|entry| entry.close_on_eose);
        if over {
            self.subscriptions.remove(&name);
            self.alarms.retain(|(_, alarm)| *alarm != name);
            self.finished.push(Arc::clone(&name));
        } else {
            self.dirty.insert(Arc::clone(&name));
        }
        self.outbox.push(Delivery::Closed { subscription: name, message: cut(message) });
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
            self.fail(now, &reason, Fault::Misbehaved, out);
        }
    }
}

/// When an event says it was made; the rest of the text is not looked at beyond its form.
fn created_at(event: &str) -> Option<i64> {
    if let Some(event) = EventReader::new().read(event) {
        return Some(event.created_at());
    }
    #[derive(Deserialize)]
    struct Created {
        created_at: i64,
    }
    serde_json::from_str::<Created>(event).ok().map(|created| created.created_at)
}
