//! What others do: rust-nostr, the loop one writes first, and Node.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nipworker_protocol::{Tag, UnsignedEvent};
use nostr::nips::nip13::{PowAdapter, SingleThreadPow};
use nostr::types::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::note::{Note, assert_mined};

/// rust-nostr on one thread, by its public interface.
pub(crate) struct RustNostr {
    event: nostr::event::UnsignedEvent,
    bits: NonZeroU8,
}

impl RustNostr {
    /// Mines to `bits` again and again, each time from nonce 1 under another `created_at`.
    pub(crate) fn new(note: Note, bits: u8) -> Self {
        let bits = NonZeroU8::new(bits).expect("at least one bit");
        Self { event: note.for_rust_nostr(), bits }
    }

    /// Mines the note once. It counts its nonces from 1, so the nonce is the number of attempts.
    pub(crate) fn step(&mut self) -> u64 {
        self.event.created_at = Timestamp::from_secs(self.event.created_at.as_secs() + 1);
        let Ok(mined) = SingleThreadPow.compute(self.event.clone(), self.bits);
        let nonce = mined.tags.iter().last().and_then(|tag| tag.as_slice().get(1).cloned());
        nonce.and_then(|nonce| nonce.parse().ok()).expect("a mined note ends with its nonce")
    }
}

/// Version of rust-nostr that this was built with, by the lock file.
pub(crate) fn rust_nostr_version() -> &'static str {
    const LOCK: &str = include_str!("../../Cargo.lock");
    let after = LOCK.split_once("name = \"nostr\"\nversion = \"").map(|(_, after)| after);
    after.and_then(|after| after.split('"').next()).unwrap_or("of unknown version")
}

/// What a good programmer writes first: the event is serialised once, the state of SHA-256 before
/// the nonce is kept and cloned, and the digits are counted up in place.
pub(crate) struct Template {
    before_nonce: Sha256,
    /// The digits of the nonce and all that follows.
    rest: Vec<u8>,
    event: UnsignedEvent,
}

impl Template {
    /// Digits of the nonce: enough for every `u64`.
    const DIGITS: usize = 20;
    /// Attempts of one step.
    const STEP: u64 = 4096;

    pub(crate) fn new(note: Note) -> Self {
        let event = note.event();
        let zeros = "0".repeat(Self::DIGITS);
        let bytes = with_nonce(&event, &zeros).id_preimage();
        let at = bytes
            .windows(Self::DIGITS)
            .rposition(|window| window == zeros.as_bytes())
            .expect("the nonce is in the serialisation");
        let (before, rest) = bytes.split_at(at);
        Self { before_nonce: Sha256::new_with_prefix(before), rest: rest.to_vec(), event }
    }

    /// Tries some nonces; says how many.
    pub(crate) fn step(&mut self) -> u64 {
        for _ in 0..Self::STEP {
            let bits = self.attempt();
            assert!(bits < 60, "60 bits were reached");
        }
        Self::STEP
    }

    /// Leading zero bits of the next nonce, as far as the first 64 bits go.
    fn attempt(&mut self) -> u32 {
        for digit in self.rest[..Self::DIGITS].iter_mut().rev() {
            if *digit != b'9' {
                *digit += 1;
                break;
            }
            *digit = b'0';
        }
        let mut hasher = self.before_nonce.clone();
        hasher.update(&self.rest);
        let id = hasher.finalize();
        let head: [u8; 8] = id[..8].try_into().expect("an id has 32 bytes");
        u64::from_be_bytes(head).leading_zeros()
    }

    /// Asserts that what it finds is real.
    pub(crate) fn check(mut self) {
        while self.attempt() < 12 {}
        let nonce = String::from_utf8_lossy(&self.rest[..Self::DIGITS]).into_owned();
        assert_mined(&with_nonce(&self.event, &nonce), 12, "template");
    }
}

fn with_nonce(event: &UnsignedEvent, nonce: &str) -> UnsignedEvent {
    let mut event = event.clone();
    event.tags.push(Tag::new(["nonce", nonce, "60"]));
    event
}

/// A Node process that mines when it is told to and sleeps in between.
pub(crate) struct Node {
    process: Child,
    /// One command and its answer at a time; gone when the process was told to end.
    talk: RefCell<Option<Talk>>,
    /// Version of Node.
    pub(crate) version: String,
    /// Version of nostr-tools, if it is installed.
    pub(crate) nostr_tools: Option<String>,
}

/// Its standard input and output.
struct Talk {
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Node {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// Says what is missing.
    pub(crate) fn start() -> Result<Self, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/node.mjs");
        let mut process = Command::new("node")
            .arg(script)
            .arg(packages())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("node cannot be started: {error}"))?;
        let (Some(commands), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("node has no pipes".to_owned());
        };
        let talk = Talk { commands, answers: BufReader::new(answers) };
        let mut node = Self {
            process,
            talk: RefCell::new(Some(talk)),
            version: String::new(),
            nostr_tools: None,
        };
        let hello = node.ask(&json!({ "do": "hello" }))?;
        hello["node"].as_str().unwrap_or("of unknown version").clone_into(&mut node.version);
        node.nostr_tools = hello["nostrTools"].as_str().map(str::to_owned);
        Ok(node)
    }

    fn ask(&self, command: &Value) -> Result<Value, String> {
        let failed = |error: std::io::Error| format!("node: {error}");
        let mut talk = self.talk.borrow_mut();
        let talk = talk.as_mut().ok_or("node was told to end")?;
        writeln!(talk.commands, "{command}").map_err(failed)?;
        let mut line = String::new();
        talk.answers.read_line(&mut line).map_err(failed)?;
        serde_json::from_str(&line).map_err(|error| format!("node answered {line:?}: {error}"))
    }

    /// Attempts per second of CPU time of the Node process. `peer` is `create-hash` or
    /// `nostr-tools`, which has one worker.
    ///
    /// # Panics
    ///
    /// If the process has ended.
    pub(crate) fn rate(&self, peer: &str, workers: usize, note: Note, millis: u64) -> f64 {
        let command = json!({
            "do": "measure", "peer": peer, "workers": workers, "event": note.json(),
            "millis": millis,
        });
        let answer = self.ask(&command).expect("node measures");
        let figure = |name: &str| answer[name].as_f64().expect("node answers with numbers");
        figure("attempts") / figure("cpuSeconds")
    }

    /// Asserts that what a peer finds is real: otherwise its rate says nothing.
    pub(crate) fn check(&self, peer: &str, note: Note) {
        let command = json!({ "do": "mine", "peer": peer, "event": note.json(), "bits": 12 });
        let answer = self.ask(&command).expect("node mines");
        let event: UnsignedEvent =
            serde_json::from_value(answer["event"].clone()).expect("node answers with an event");
        assert_mined(&event, 12, peer);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.talk.take();
        // It ends by itself when its input does; that it is gone already is as good.
        self.process.wait().ok();
    }
}

/// Where `cargo xtask peers` puts the packages of Node.
fn packages() -> PathBuf {
    let below = |peers: PathBuf| peers.join("node");
    if let Some(peers) = std::env::var_os("NIPWORKER_PEERS") {
        return below(peers.into());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    below(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(target).join("peers"))
}
