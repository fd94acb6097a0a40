//! Independent clients: nostr-tools on Node, rust-nostr's `nostr-sdk` on Python.

use std::{
    collections::HashMap,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::{
    place::{peer, script},
    process::Process,
    wait::within,
};

/// How long a peer may take to answer one command.
const ANSWER: Duration = Duration::from_secs(30);

type Answers = Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

/// A client of somebody else, driven over its standard input and output.
///
/// See `peers/client.mjs` and `peers/client.py` for the commands.
#[derive(Debug)]
pub struct PeerClient {
    process: Process,
    answers: Answers,
    notes: mpsc::UnboundedReceiver<Value>,
    last: u64,
}

impl PeerClient {
    /// nostr-tools on Node.
    pub fn nostr_tools() -> Self {
        // The folder that npm installed into; its package.json resolves the imports.
        let tools = peer("node/node_modules/nostr-tools");
        let root = tools.ancestors().nth(2).expect("the path has that many parts");
        let mut command = Command::new("node");
        command.arg(script("client.mjs")).arg(root);
        Self::start(command)
    }

    /// rust-nostr on Python.
    pub fn rust_nostr() -> Self {
        let mut command = Command::new(peer("venv/bin/python"));
        command.arg(script("client.py"));
        Self::start(command)
    }

    fn start(command: Command) -> Self {
        let answers = Answers::default();
        let waiting = Arc::clone(&answers);
        let (sender, notes) = mpsc::unbounded_channel();
        let process = Process::start_with(command, move |line| {
            let Ok(line) = serde_json::from_str::<Value>(&line) else { return };
            let asker = line["seq"].as_u64().and_then(|seq| {
                waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&seq)
            });
            // Both sends fail only when the test no longer listens.
            match asker {
                Some(asker) => drop(asker.send(line)),
                None => drop(sender.send(line)),
            }
        });
        Self { process, answers, notes, last: 0 }
    }

    /// Sends a command and returns what it gave.
    ///
    /// # Errors
    /// The peer's own error text.
    ///
    /// # Panics
    /// When the peer does not answer within 30 s.
    pub async fn try_ask(&mut self, cmd: &str, mut arguments: Value) -> Result<Value, String> {
        self.last += 1;
        let (sender, answer) = oneshot::channel();
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(self.last, sender);
        arguments["seq"] = self.last.into();
        arguments["cmd"] = cmd.into();
        self.process.write_line(&arguments.to_string());
        let mut answer = within(&format!("the peer's answer to {cmd}"), ANSWER, answer)
            .await
            .unwrap_or_else(|_| panic!("the peer ended before it answered {cmd}"));
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["value"].take()),
        }
    }

    /// As [`PeerClient::try_ask`], for what has to succeed.
    ///
    /// # Panics
    /// Also when the peer answers with an error.
    pub async fn ask(&mut self, cmd: &str, arguments: Value) -> Value {
        self.try_ask(cmd, arguments).await.unwrap_or_else(|error| panic!("{cmd}: {error}"))
    }

    /// Connects to a relay.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn connect(&mut self, url: &str) {
        self.ask("connect", json!({ "url": url })).await;
    }

    /// Makes an event that the peer signs with its own key and its own code.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn make(&mut self, event: Value) -> Value {
        self.ask("make", event).await
    }

    /// Publishes an event: whether it was accepted, and the relay's text.
    ///
    /// # Panics
    /// When the peer does not answer, or refuses to send it.
    pub async fn publish(&mut self, event: &Value) -> (bool, String) {
        let answer = self.ask("publish", json!({ "event": event })).await;
        (
            answer["accepted"].as_bool().unwrap_or_default(),
            answer["message"].as_str().unwrap_or_default().to_owned(),
        )
    }

    /// Opens a subscription.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn subscribe(&mut self, sub: &str, filters: Value) {
        self.ask("subscribe", json!({ "sub": sub, "filters": filters })).await;
    }

    /// What a subscription brings next, in `within` at most. What comes for others is dropped.
    pub async fn note(&mut self, sub: &str, within: Duration) -> Option<Value> {
        let next = async {
            loop {
                let note = self.notes.recv().await?;
                if note["sub"] == sub {
                    return Some(note);
                }
            }
        };
        tokio::time::timeout(within, next).await.ok().flatten()
    }

    /// The stored events of a subscription: all that comes before the end of stored events.
    ///
    /// # Panics
    /// When the end does not come.
    pub async fn stored(&mut self, sub: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let note = self.note(sub, ANSWER).await;
            let mut note = note.unwrap_or_else(|| panic!("no end of stored events for {sub}"));
            if note["eose"] == true {
                return events;
            }
            assert!(note["event"].is_object(), "not an event: {note}");
            events.push(note["event"].take());
        }
    }

    /// The next event of a subscription.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    pub async fn live(&mut self, sub: &str) -> Value {
        let note = self.note(sub, ANSWER).await;
        let mut note = note.unwrap_or_else(|| panic!("no live event for {sub}"));
        assert!(note["event"].is_object(), "not an event: {note}");
        note["event"].take()
    }
}
