//! One WebSocket client from its first message to its last.
//!
//! One task does everything for the client, in one `select!`, so there is no lock and no order to
//! get wrong: read a message when there is room to work on it, take what subscriptions say when
//! there is room to send it, send when the socket takes it. A client that does not read stops
//! being read and stops being fed; what it asked for waits in the engine, which counts what a
//! live subscription lost. Such a client is told and disconnected rather than left with gaps.

use std::{
    future::poll_fn,
    io::ErrorKind,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use actix_ws::{AggregatedMessage, AggregatedMessageStream, Message, ProtocolError, Session};
use futures::{FutureExt, Sink, StreamExt};
use nipworker_core::{
    SubscribeOptions, SubscriptionEvent,
    protocol::{Filter, MachinePrefix, RelayMessage, StoredHint},
};
use tokio::sync::watch;

use super::{
    end::End,
    guard::Tripped,
    outgoing::Outgoing,
    reconciliations::{self, Reconciliations},
    requests::{self, Fault, Request},
    subscriptions::{Said, Subscriptions},
    work::{Done, Working, publish, see_through},
};
use crate::{
    gateway::{
        counters::count,
        socket::Socket,
        state::{Gateway, unix_now},
    },
    verdict::{Verdict, error_message, prefixed},
};

/// How long a client that is being disconnected has to take the last messages.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

pub(super) struct Connection {
    gateway: Arc<Gateway>,
    session: Session,
    messages: AggregatedMessageStream,
    /// Set off by the frame guard.
    tripped: Rc<Tripped>,
    socket: Option<Weak<Socket>>,
    stopping: watch::Receiver<bool>,
    outgoing: Outgoing,
    subscriptions: Subscriptions,
    reconciliations: Reconciliations,
    /// Events on their way to the engine. Their client may go; they are seen through.
    publishing: Working,
    /// Answers that nobody needs once the client is gone.
    working: Working,
    /// The client takes nothing more; what it sent before is still read.
    deaf: bool,
    bad_messages: u32,
    last_heard: Instant,
}

impl Connection {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        session: Session,
        messages: AggregatedMessageStream,
        tripped: Rc<Tripped>,
        socket: Option<Weak<Socket>>,
    ) -> Self {
        let now = Instant::now();
        let limits = &gateway.config.websocket;
        Self {
            outgoing: Outgoing::new(limits.outgoing_messages, limits.outgoing_bytes, now),
            subscriptions: Subscriptions::new(gateway.counters.clone()),
            stopping: gateway.stopping.clone(),
            session,
            messages,
            tripped,
            socket,
            reconciliations: Reconciliations::default(),
            publishing: Working::new(),
            working: Working::new(),
            deaf: false,
            bad_messages: 0,
            last_heard: now,
            gateway,
        }
    }

    /// Serves the client until either side ends the connection.
    pub(super) async fn run(mut self) {
        let end = match self.serve().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        match &end {
            End::Idle => count(&self.gateway.counters.idle_clients),
            End::SlowReader(_) => count(&self.gateway.counters.slow_readers),
            End::TooLarge(_) => count(&self.gateway.counters.oversized_messages),
            End::Binary | End::NotUtf8 | End::Protocol(_) => {
                count(&self.gateway.counters.bad_messages);
            }
            End::Gone | End::Stopping | End::TooManyBad => {}
        }
        if end != End::Gone {
            tracing::debug!(?end, "websocket client is disconnected");
        }
        self.part(end).await;
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        let limits = self.gateway.config.websocket.clone();
        let mut ping = tokio::time::interval(limits.ping_interval);
        ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ping.reset();
        if *self.stopping.borrow() {
            return Err(End::Stopping);
        }
        loop {
            if self.deaf {
                self.outgoing.clear();
            }
            let has_room = self.outgoing.has_room();
            let in_flight = self.publishing.len() + self.working.len();
            let may_read = has_room && in_flight < limits.max_in_flight;
            let stalled_at = self.outgoing.stalled_at(limits.slow_reader_timeout);
            tokio::select! {
                ready = ready_to_send(&mut self.session), if !self.outgoing.is_empty() => {
                    self.deaf = ready.is_err() || self.send_next().is_err();
                }
                Some(done) = self.publishing.next() => self.finish(done),
                Some(done) = self.working.next() => self.finish(done),
                Some(said) = self.subscriptions.next(),
                    if has_room && !self.deaf && self.subscriptions.has_streams() => self.tell(said)?,
                message = self.messages.recv(), if may_read => {
                    self.last_heard = Instant::now();
                    self.hear(message)?;
                }
                () = sleep_until(stalled_at) => {
                    return Err(End::SlowReader(format!(
                        "you read too slowly: nothing was taken for {}",
                        humantime::format_duration(limits.slow_reader_timeout)
                    )));
                }
                _ = ping.tick() => {
                    let now = Instant::now();
                    if !may_read {
                        // Not listening is ours, not the client's silence.
                        self.last_heard = now;
                    } else if now.duration_since(self.last_heard) >= limits.idle_timeout {
                        return Err(End::Idle);
                    }
                    for subscription in self.reconciliations.end_idle() {
                        let message = reconciliations::silent();
                        self.say(&RelayMessage::NegErr { subscription, message });
                    }
                    if self.outgoing.is_empty() {
                        self.outgoing.push(Message::Ping(Default::default()), now);
                    }
                }
                bytes = self.tripped.wait() => return Err(End::TooLarge(bytes)),
                Ok(()) = self.stopping.changed() => return Err(End::Stopping),
            }
        }
    }

    /// Hands the oldest waiting message to the socket, which said that it takes one.
    fn send_next(&mut self) -> Result<(), End> {
        if let Some(message) = self.outgoing.pop(Instant::now()) {
            if matches!(message, Message::Text(_)) {
                count(&self.gateway.counters.messages_out);
            }
            Pin::new(&mut self.session).start_send(message).map_err(|_| End::Gone)?;
        }
        Ok(())
    }

    fn say(&mut self, message: &RelayMessage) {
        self.outgoing.push(Message::Text(message.to_frame().into()), Instant::now());
    }

    /// Takes what the client sent.
    fn hear(
        &mut self,
        message: Option<Result<AggregatedMessage, ProtocolError>>,
    ) -> Result<(), End> {
        match message {
            None | Some(Ok(AggregatedMessage::Close(_))) => Err(End::Gone),
            Some(Ok(AggregatedMessage::Text(text))) => self.hear_text(&text),
            Some(Ok(AggregatedMessage::Binary(_))) => Err(End::Binary),
            Some(Ok(AggregatedMessage::Ping(payload))) => {
                self.outgoing.push(Message::Pong(payload), Instant::now());
                Ok(())
            }
            Some(Ok(AggregatedMessage::Pong(_))) => Ok(()),
            Some(Err(error)) => Err(match error {
                ProtocolError::Io(error) if error.kind() == ErrorKind::InvalidData => End::NotUtf8,
                // The connection broke. What came before may not have been read; the end follows.
                ProtocolError::Io(_) => return Ok(()),
                error => End::Protocol(error.to_string()),
            }),
        }
    }

    fn hear_text(&mut self, text: &str) -> Result<(), End> {
        let gateway = self.gateway.clone();
        count(&gateway.counters.messages_in);
        if text.trim_ascii().is_empty() {
            // Some clients keep their connection alive with it.
            return Ok(());
        }
        match requests::read(text, &gateway.config.websocket, &gateway.event_limits, unix_now()) {
            Ok(Request::Event(event)) => {
                count(&gateway.counters.events_in);
                self.publishing.push(publish(gateway, *event).boxed_local());
                Ok(())
            }
            Ok(Request::Req { subscription, filters }) => self.open(&subscription, filters),
            Ok(Request::Close { subscription }) => {
                self.subscriptions.close(&subscription);
                Ok(())
            }
            Ok(Request::NegOpen { subscription, filter, message }) => {
                let limit = gateway.config.websocket.max_reconciliations;
                match self.reconciliations.reserve(&subscription, limit) {
                    Ok(opening) => {
                        let begun = reconciliations::begin(gateway, filter, message);
                        self.reconcile(subscription, opening, begun);
                        Ok(())
                    }
                    Err(message) => {
                        self.say(&RelayMessage::NegErr { subscription, message });
                        self.one_bad_message()
                    }
                }
            }
            Ok(Request::NegMessage { subscription, message }) => {
                match self.reconciliations.next(&subscription) {
                    Ok((opening, share)) => {
                        let stepped = reconciliations::step(share, message);
                        self.reconcile(subscription, opening, stepped);
                        Ok(())
                    }
                    Err(message) => {
                        self.say(&RelayMessage::NegErr { subscription, message });
                        self.one_bad_message()
                    }
                }
            }
            Ok(Request::NegClose { subscription }) => {
                self.reconciliations.close(&subscription);
                Ok(())
            }
            Ok(Request::Count { subscription, filters }) => {
                let counted = async move {
                    let result = gateway.client.count_authors(filters).await;
                    Done::Counted(subscription, result)
                };
                self.working.push(counted.boxed_local());
                Ok(())
            }
            Err(refused) => {
                self.say(&refused.answer);
                match refused.fault {
                    Fault::NotTaken => {
                        count(&gateway.counters.events_in);
                        count(&gateway.counters.events_refused);
                        return Ok(());
                    }
                    Fault::Unknown => count(&gateway.counters.unknown_messages),
                    Fault::Bad => count(&gateway.counters.bad_messages),
                    Fault::BadEvent => {
                        count(&gateway.counters.events_in);
                        count(&gateway.counters.events_refused);
                        count(&gateway.counters.bad_messages);
                    }
                }
                self.one_bad_message()
            }
        }
    }

    /// Works on a step of a reconciliation.
    fn reconcile(
        &mut self,
        name: String,
        opening: reconciliations::Opening,
        step: impl Future<Output = reconciliations::Answered> + 'static,
    ) {
        let step = async move { Done::Reconciled(name, opening, step.await) };
        self.working.push(step.boxed_local());
    }

    fn one_bad_message(&mut self) -> Result<(), End> {
        self.bad_messages += 1;
        if self.bad_messages > self.gateway.config.websocket.max_bad_messages {
            return Err(End::TooManyBad);
        }
        Ok(())
    }

    fn open(&mut self, id: &str, filters: Vec<Filter>) -> Result<(), End> {
        let limit = self.gateway.config.websocket.max_subscriptions;
        if self.subscriptions.len() >= limit && !self.subscriptions.contains(id) {
            count(&self.gateway.counters.bad_messages);
            self.say(&RelayMessage::Closed {
                subscription: id.to_owned(),
                message: MachinePrefix::RateLimited
                    .message(format_args!("{limit} subscriptions are open, which is the limit")),
            });
            return self.one_bad_message();
        }
        let opening = self.subscriptions.reserve(id);
        let gateway = self.gateway.clone();
        let id: Rc<str> = Rc::from(id);
        let opened = async move {
            let options = SubscribeOptions {
                use_relays: gateway.has_upstream(),
                ..SubscribeOptions::default()
            };
            let subscribed = gateway.client.subscribe_with(filters, options).await;
            Done::Subscribed(id, opening, subscribed.map(Box::new))
        };
        self.working.push(opened.boxed_local());
        Ok(())
    }

    /// Answers work that has ended.
    fn finish(&mut self, done: Done) {
        if let Some(error) = done.error() {
            self.gateway.engine_failed(error);
        }
        match done {
            Done::Published(id, result) => {
                let verdict = match &result {
                    Ok(report) => Verdict::of(report),
                    Err(error) => Verdict::of_error(error),
                };
                self.gateway.tally(verdict.accepted);
                let Verdict { accepted, message } = verdict;
                self.say(&RelayMessage::Ok { id, accepted, message });
            }
            Done::Subscribed(id, opening, Ok(subscription)) => {
                self.subscriptions.attach(&id, opening, *subscription);
            }
            Done::Subscribed(id, opening, Err(error)) => {
                if self.subscriptions.close_opening(&id, opening) {
                    let message = error_message(&error);
                    self.say(&RelayMessage::Closed { subscription: id.to_string(), message });
                }
            }
            Done::Reconciled(subscription, opening, answered) => {
                match self.reconciliations.answered(&subscription, opening, answered) {
                    Some(Ok(message)) => self.say(&RelayMessage::NegMsg { subscription, message }),
                    Some(Err(message)) => {
                        self.say(&RelayMessage::NegErr { subscription, message });
                    }
                    None => {}
                }
            }
            Done::Counted(subscription, Ok((count, hll))) => {
                let hll = hll.map(Box::new);
                self.say(&RelayMessage::Count { subscription, count, approximate: false, hll });
            }
            Done::Counted(subscription, Err(error)) => {
                self.say(&RelayMessage::Closed { subscription, message: error_message(&error) });
            }
        }
    }

    /// Passes on what a subscription says.
    fn tell(&mut self, (id, opening, said): Said) -> Result<(), End> {
        if !self.subscriptions.is_open(&id, opening) {
            return Ok(());
        }
        match said {
            SubscriptionEvent::Event { event, .. } => {
                count(&self.gateway.counters.events_out);
                let frame = RelayMessage::event_frame(&id, &event.to_json());
                self.outgoing.push(Message::Text(frame.into()), Instant::now());
            }
            SubscriptionEvent::EndOfStored => {
                let stored = StoredHint::Unsaid;
                self.say(&RelayMessage::Eose { subscription: id.to_string(), stored });
            }
            SubscriptionEvent::Closed { reason } => {
                self.subscriptions.close(&id);
                let message = prefixed(MachinePrefix::Error, &reason);
                self.say(&RelayMessage::Closed { subscription: id.to_string(), message });
            }
            SubscriptionEvent::Lagged { missed } => {
                return Err(End::SlowReader(format!(
                    "you read too slowly: subscription {id} missed {missed} events"
                )));
            }
            _ => {}
        }
        Ok(())
    }

    /// Answers what is being worked on and sends the answers, for as long as a stop may take.
    async fn drain(&mut self) {
        let until = Instant::now() + self.gateway.shutdown_timeout;
        while !(self.publishing.is_empty() && self.working.is_empty() && self.outgoing.is_empty()) {
            tokio::select! {
                ready = ready_to_send(&mut self.session), if !self.outgoing.is_empty() => {
                    if ready.is_err() || self.send_next().is_err() {
                        return;
                    }
                }
                Some(done) = self.publishing.next() => self.finish(done),
                Some(done) = self.working.next() => self.finish(done),
                () = sleep_until(Some(until)) => return,
            }
        }
    }

    /// Says good-bye within [`CLOSE_GRACE`], then ends the socket whatever the client does. Events
    /// that it sent before are published all the same.
    async fn part(mut self, end: End) {
        if end == End::Stopping {
            self.drain().await;
        }
        let (code, notice) = end.farewell(self.gateway.config.websocket.max_message_bytes);
        if matches!(end, End::SlowReader(_)) {
            // It would not take what waits here; the notice must come before the grace is over.
            self.outgoing.clear();
        }
        if let Some(notice) = notice {
            self.say(&RelayMessage::Notice(notice));
        }
        let socket = self.socket.take();
        drop(self.subscriptions);
        drop(self.working);
        let seen_through = see_through(&self.gateway, self.publishing);
        let mut session = self.session;
        let mut outgoing = self.outgoing;
        let farewell = async move {
            if end != End::Gone {
                while let Some(message) = outgoing.pop(Instant::now()) {
                    if ready_to_send(&mut session).await.is_err()
                        || Pin::new(&mut session).start_send(message).is_err()
                    {
                        return;
                    }
                }
            }
            // An error says that the client was faster.
            drop(session.close(Some(code.into())).await);
        };
        let parted = async move {
            drop(tokio::time::timeout(CLOSE_GRACE, farewell).await);
            // Reading on until the client's own close lets it receive all of the above: a socket
            // closed with unread data is reset, and what was sent is lost with it.
            let mut messages = self.messages;
            let drained = async {
                while let Some(message) = messages.recv().await {
                    if message.is_err() {
                        // What comes after a broken frame cannot be read; only time is left to
                        // give.
                        std::future::pending::<()>().await;
                    }
                }
            };
            drop(tokio::time::timeout(CLOSE_GRACE, drained).await);
            if let Some(socket) = socket.and_then(|socket| socket.upgrade()) {
                socket.end();
            }
        };
        tokio::join!(seen_through, parted);
    }
}

async fn ready_to_send(session: &mut Session) -> Result<(), actix_ws::Closed> {
    poll_fn(|cx| Pin::new(&mut *session).poll_ready(cx)).await
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
