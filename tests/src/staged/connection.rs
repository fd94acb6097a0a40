//! One connection of a staged relay.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use nipworker_protocol::{ClientMessage, Event, EventLimits, Filter};
use nipworker_signer::verify_event;
use rand::{Rng, rngs::SmallRng};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::broadcast,
};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{
        Message,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use super::{BAD_CONNECTIONS, Habit, Stage};

/// How long a relay that stalls answers nothing but pings.
const STALL: Duration = Duration::from_millis(1_500);

pub(super) async fn serve(mut socket: TcpStream, stage: Arc<Stage>) {
    let (number, chance) = stage.connection();
    let is_bad = number < BAD_CONNECTIONS;
    if is_bad && stage.has(Habit::Refuses) {
        drop(socket.read(&mut [0; 4_096]).await);
        let refusal = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        if socket.write_all(refusal).await.is_ok() {
            stage.did(Habit::Refuses);
        }
        return;
    }
    // Before anything is stored that a REQ might not see.
    let live = stage.live.subscribe();
    let Ok(socket) = accept_async(socket).await else { return };
    let (sink, stream) = socket.split();
    let mut connection = Connection {
        stage,
        is_bad,
        was_limited: false,
        chance,
        sink,
        open: BTreeMap::new(),
        unanswered: Vec::new(),
        unheard: Vec::new(),
        challenges: Vec::new(),
        is_known: false,
        was_late: false,
        live,
    };
    // The end of a connection is no news to a relay.
    _ = connection.run(stream).await;
}

/// The other side is gone, or this side is to end.
struct Over;

struct Connection {
    stage: Arc<Stage>,
    is_bad: bool,
    /// A REQ was refused for its rate.
    was_limited: bool,
    chance: SmallRng,
    sink: SplitSink<WebSocketStream<TcpStream>, Message>,
    open: BTreeMap<String, Vec<Filter>>,
    /// REQs that came while it stalled.
    unanswered: Vec<(String, Vec<Filter>)>,
    /// Authentications that came while it stalled.
    unheard: Vec<Event>,
    /// What it asked to know who is there (NIP-42).
    challenges: Vec<String>,
    /// It knows who is there.
    is_known: bool,
    /// It asked after it had answered.
    was_late: bool,
    live: broadcast::Receiver<Arc<Event>>,
}

impl Connection {
    async fn run(
        &mut self,
        mut stream: SplitStream<WebSocketStream<TcpStream>>,
    ) -> Result<(), Over> {
        loop {
            tokio::select! {
                event = self.live.recv() => {
                    let event = event.map_err(|_| Over)?;
                    self.pass_on(&event).await?;
                }
                message = stream.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        let Ok(message) = ClientMessage::parse(text.as_str()) else {
                            self.say(&json!(["NOTICE", "error: no message"])).await?;
                            continue;
                        };
                        self.hear(message, &mut stream).await?;
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(Over),
                },
            }
        }
    }

    async fn hear(
        &mut self,
        message: ClientMessage,
        stream: &mut SplitStream<WebSocketStream<TcpStream>>,
    ) -> Result<(), Over> {
        match message {
            ClientMessage::Req { subscription, filters } => {
                self.stall(stream).await?;
                for event in std::mem::take(&mut self.unheard) {
                    self.recognise(&event).await?;
                }
                self.answer(subscription, filters).await
            }
            ClientMessage::Close { subscription } => {
                self.open.remove(&subscription);
                Ok(())
            }
            ClientMessage::Event(json) => {
                let Some(event) = event_of(json.get()) else { return Ok(()) };
                let id = event.id;
                self.stage.take(event);
                self.say(&json!(["OK", id, true, ""])).await
            }
            ClientMessage::Auth(json) => match event_of(json.get()) {
                Some(event) => self.recognise(&event).await,
                None => Ok(()),
            },
            ClientMessage::NegOpen { .. } if self.stage.has(Habit::NegNotice) => {
                self.stage.did(Habit::NegNotice);
                self.say(&json!(["NOTICE", "error: unknown command NEG-OPEN"])).await
            }
            _ => Ok(()),
        }
    }

    /// Reads on, so that pings are answered, and says nothing.
    async fn stall(
        &mut self,
        stream: &mut SplitStream<WebSocketStream<TcpStream>>,
    ) -> Result<(), Over> {
        if !(self.is_bad && self.stage.has(Habit::Stalls)) {
            return Ok(());
        }
        self.stage.did(Habit::Stalls);
        let pause = tokio::time::sleep(STALL);
        let mut pause = std::pin::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return Ok(()),
                message = stream.next() => match message {
                    // What was asked meanwhile goes under, as with any relay that is overloaded,
                    // but for further questions and names: those are answered when the time is over.
                    Some(Ok(Message::Text(text))) => match ClientMessage::parse(text.as_str()) {
                        Ok(ClientMessage::Req { subscription, filters }) => {
                            self.unanswered.push((subscription, filters));
                        }
                        Ok(ClientMessage::Auth(json)) => self.unheard.extend(event_of(json.get())),
                        _ => {}
                    },
                    // The answer to a ping waits in the sink until it is flushed.
                    Some(Ok(_)) => self.sink.flush().await.map_err(|_| Over)?,
                    Some(Err(_)) | None => return Err(Over),
                },
            }
        }
    }

    /// Asks who is there, and ends a subscription until it knows.
    async fn demand(&mut self, subscription: &str) -> Result<(), Over> {
        let challenge = self.chance.random::<u64>().to_string();
        self.say(&json!(["AUTH", challenge])).await?;
        self.challenges.push(challenge);
        self.is_known = false;
        self.open.remove(subscription);
        self.say(&json!(["CLOSED", subscription, "auth-required: who are you?"])).await
    }

    /// Hears who is there.
    async fn recognise(&mut self, event: &Event) -> Result<(), Over> {
        let asked = event.tags.iter().any(|tag| {
            tag.0.first().is_some_and(|name| name == "challenge")
                && tag.0.get(1).is_some_and(|answer| self.challenges.last() == Some(answer))
        });
        let is_right = asked && event.kind == 22_242 && verify_event(event.clone()).is_ok();
        self.is_known |= is_right;
        if is_right && self.stage.has(Habit::AuthFirst) {
            self.stage.did(Habit::AuthFirst);
        }
        self.say(&json!(["OK", event.id, is_right, ""])).await
    }

    async fn answer(&mut self, subscription: String, filters: Vec<Filter>) -> Result<(), Over> {
        let asks = self.stage.has(Habit::AuthFirst) || !self.challenges.is_empty();
        if asks && !self.is_known {
            if self.challenges.is_empty() {
                return self.demand(&subscription).await;
            }
            let refusal = "auth-required: who are you?";
            return self.say(&json!(["CLOSED", subscription, refusal])).await;
        }
        if self.is_bad && !self.was_limited && self.stage.has(Habit::RateLimits) {
            self.say(&json!(["CLOSED", subscription, "rate-limited: slow down"])).await?;
            self.stage.did(Habit::RateLimits);
            self.was_limited = true;
            return Ok(());
        }
        self.unanswered.push((subscription, filters));
        for (subscription, filters) in std::mem::take(&mut self.unanswered) {
            self.open.insert(subscription.clone(), filters);
            self.stored(&subscription).await?;
        }
        Ok(())
    }

    /// The stored events of a subscription, with the deeds that go with them.
    async fn stored(&mut self, subscription: &str) -> Result<(), Over> {
        let filters = self.open.get(subscription).cloned().unwrap_or_default();
        self.lies(subscription).await?;
        let found = self.stage.stored(&filters);
        let breaks_at = self.chance.random_range(0..=found.len().min(8));
        for (at, event) in found.iter().enumerate() {
            if at == breaks_at {
                self.break_off().await?;
            }
            self.event(subscription, event).await?;
        }
        if breaks_at >= found.len() {
            self.break_off().await?;
        }
        if self.stage.has(Habit::NeverEose) {
            self.stage.did(Habit::NeverEose);
        } else {
            self.say(&json!(["EOSE", subscription])).await?;
            if self.stage.has(Habit::EoseTwice) {
                self.say(&json!(["EOSE", subscription])).await?;
                self.stage.did(Habit::EoseTwice);
            }
        }
        if self.stage.has(Habit::AuthLate) && !self.was_late {
            self.was_late = true;
            self.demand(subscription).await?;
            self.stage.did(Habit::AuthLate);
        }
        Ok(())
    }

    async fn pass_on(&mut self, event: &Event) -> Result<(), Over> {
        let for_whom: Vec<String> = self
            .open
            .iter()
            .filter(|(_, filters)| Filter::any_matches(filters, event))
            .map(|(subscription, _)| subscription.clone())
            .collect();
        for subscription in for_whom {
            self.event(&subscription, event).await?;
        }
        Ok(())
    }

    async fn event(&mut self, subscription: &str, event: &Event) -> Result<(), Over> {
        let frame = json!(["EVENT", subscription, event]);
        self.say(&frame).await?;
        if self.stage.has(Habit::Duplicates) {
            self.say(&frame).await?;
            self.stage.did(Habit::Duplicates);
        }
        Ok(())
    }

    /// What it sends besides.
    async fn lies(&mut self, subscription: &str) -> Result<(), Over> {
        let stage = Arc::clone(&self.stage);
        let props = &stage.props;
        let tell = |event: Value| json!(["EVENT", subscription, event]);
        let mut deeds: Vec<(Habit, Message)> = Vec::new();
        let mut text = |habit: Habit, frame: String| {
            if stage.has(habit) {
                deeds.push((habit, Message::text(frame)));
            }
        };
        for frame in ["}{", "[\"EVENT\"]", "[\"OK\",\"no id\",true,\"\"]"] {
            text(Habit::Garbage, frame.to_owned());
        }
        text(Habit::Notices, json!(["NOTICE", "buy more space"]).to_string());
        for event in &props.huge {
            text(Habit::Huge, tell(json!(event)).to_string());
        }
        for event in &props.unasked {
            text(Habit::OffFilter, tell(json!(event)).to_string());
            let frame = json!(["EVENT", "nobody's", event]);
            text(Habit::UnknownSubscription, frame.to_string());
        }
        for (habit, events) in [(Habit::Forges, &props.to_forge), (Habit::Replays, &props.known)] {
            for event in events {
                let mut other_content = json!(event);
                other_content["content"] = "another text".into();
                text(habit, tell(other_content).to_string());
                let mut other_signature = json!(event);
                other_signature["sig"] = "11".repeat(64).into();
                text(habit, tell(other_signature).to_string());
            }
        }
        if stage.has(Habit::Binary) {
            deeds.push((Habit::Binary, Message::binary(vec![7_u8; 100])));
        }
        for (habit, message) in deeds {
            self.sink.send(message).await.map_err(|_| Over)?;
            self.stage.did(habit);
        }
        Ok(())
    }

    /// Breaks a bad connection in the way of its habit.
    async fn break_off(&mut self) -> Result<(), Over> {
        if !self.is_bad {
            return Ok(());
        }
        if self.stage.has(Habit::Closes) {
            self.stage.did(Habit::Closes);
            return Err(Over);
        }
        if self.stage.has(Habit::InvalidUtf8) {
            let frame = Frame::message(vec![b'a', 0xff, 0xc0], OpCode::Data(Data::Text), true);
            self.sink.send(Message::Frame(frame)).await.map_err(|_| Over)?;
            self.stage.did(Habit::InvalidUtf8);
        }
        if self.stage.has(Habit::Vanishes) {
            self.stage.did(Habit::Vanishes);
            // The socket stays open until the relay ends; nobody reads it.
            return std::future::pending().await;
        }
        if self.stage.has(Habit::SlowLoris) {
            // The first frame of a message that is never finished.
            let frame = Frame::message(&b"[\"EVENT\""[..], OpCode::Data(Data::Text), false);
            self.sink.send(Message::Frame(frame)).await.map_err(|_| Over)?;
            self.stage.did(Habit::SlowLoris);
            return std::future::pending().await;
        }
        Ok(())
    }

    async fn say(&mut self, frame: &Value) -> Result<(), Over> {
        self.sink.send(Message::text(frame.to_string())).await.map_err(|_| Over)
    }
}

fn event_of(json: &str) -> Option<Event> {
    Event::from_json(json.as_bytes(), &EventLimits::default()).ok()
}
