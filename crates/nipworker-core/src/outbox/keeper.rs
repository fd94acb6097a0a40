//! The thread that keeps the outbox: it writes the journal, and tries what is due.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use nipworker_protocol::{Event, EventId, EventLimits, RelayUrl};
use nipworker_relay::{
    Now, ReceiptStatus, RelayBook,
    outbox::{
        Answer, Attempt, Outbox, OutboxConfig, OutboxCounts, OutboxEntry, OutboxError, OutboxRecord,
    },
};
use nipworker_schema::{ClientEdge, ClientMessageT, PublishT, PublishedT};
use nipworker_supervision::Recipient;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::MissedTickBehavior,
};

use super::journal::{Journal, Opened};
use crate::{
    ClientError, PutStatus, Receipt, StartError,
    clock::UnixClock,
    mining::lock,
    publish::milliseconds,
    wire::{ask_parser, expect_answer},
};

/// Requests that wait for the thread; whoever has more waits.
const REQUESTS_MAX: usize = 256;
/// How long after a failure the file is not written anew, unless somebody waits for it.
const REWRITE_AGAIN: Duration = Duration::from_secs(5);

/// How often a try that was taken back is looked for in the pool until it has ended.
const WITHDRAW_AGAIN: Duration = Duration::from_millis(50);

/// The events that are to arrive, and their file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxStatus {
    /// The file.
    pub file: PathBuf,
    /// What waits, and what happened since the start.
    #[serde(flatten)]
    pub counts: OutboxCounts,
    /// Events that waited in the file at the start.
    pub recovered: usize,
    /// Bytes at the end of the file that were cut off when an earlier process ended: a record
    /// that had not been acknowledged.
    pub torn_bytes: usize,
    /// Where a file was put that could not be read in full.
    pub set_aside: Option<PathBuf>,
    /// Times the file was written anew since the start, without what is past.
    pub rewrites: u64,
    /// Why the last attempt to write failed.
    pub last_error: Option<String>,
}

/// What the thread is asked for.
enum Request {
    Queue { event: EventId, json: String, relays: Vec<RelayUrl>, reply: Reply },
    Cancel { event: EventId, reply: Reply },
}

type Reply = oneshot::Sender<Result<OutboxEntry, ClientError>>;

struct Shared {
    outbox: Mutex<Outbox>,
    status: Mutex<OutboxStatus>,
    /// Something is due earlier than the thread knows.
    hurry: Notify,
    start: Instant,
    unix: UnixClock,
}

impl Shared {
    fn now(&self) -> Now {
        Now { monotonic: self.start.elapsed(), unix: (self.unix)() }
    }
}

/// How events are sent.
#[derive(Clone)]
pub(crate) struct Sending {
    pub(crate) parser: Recipient<ClientEdge>,
    /// How long a relay has for its answer.
    pub(crate) timeout: Duration,
    pub(crate) limits: EventLimits,
}

/// The outbox of one client.
pub(crate) struct OutboxKeeper {
    shared: Arc<Shared>,
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl OutboxKeeper {
    /// Takes the file and what is in it. Nothing is sent before [`start`](Self::start).
    pub(crate) fn open(
        path: &Path,
        config: OutboxConfig,
        unix: UnixClock,
    ) -> Result<Opening, StartError> {
        let seed = RandomState::new().hash_one(0);
        let mut outbox = Outbox::new(config, seed);
        let now = Now { monotonic: Duration::ZERO, unix: unix() };
        let opened = Journal::open(path, now.unix, |contents| {
            for record in &contents.records {
                outbox.apply(now, record);
            }
            outbox.records().collect()
        });
        let Opened { journal, contents, set_aside } =
            opened.map_err(|error| StartError::Outbox(error.to_string()))?;
        if let (Some(damage), Some(moved)) = (&contents.damage, &set_aside) {
            tracing::error!(
                cause = %damage, moved_to = %moved.display(), records = contents.records.len(),
                "the outbox could not be read in full and has been set aside; it goes on with \
                 what could be read"
            );
        }
        let recovered = outbox.counts(now).waiting;
        tracing::info!(file = %path.display(), events = recovered, "outbox taken over");
        let status = OutboxStatus {
            file: path.to_owned(),
            recovered,
            torn_bytes: contents.torn_bytes,
            set_aside,
            ..OutboxStatus::default()
        };
        let shared = Shared {
            outbox: Mutex::new(outbox),
            status: Mutex::new(status),
            hurry: Notify::new(),
            start: Instant::now(),
            unix,
        };
        Ok(Opening { shared: Arc::new(shared), journal })
    }

    /// Takes an event: it is on the disk when this returns. Dropping the future does not take it
    /// back.
    pub(super) async fn queue(
        &self,
        event: EventId,
        json: String,
        relays: Vec<RelayUrl>,
    ) -> Result<OutboxEntry, ClientError> {
        self.ask(|reply| Request::Queue { event, json, relays, reply }).await
    }

    /// Takes an event back where no relay has decided yet.
    pub(super) async fn cancel(&self, event: EventId) -> Result<OutboxEntry, ClientError> {
        self.ask(|reply| Request::Cancel { event, reply }).await
    }

    async fn ask(
        &self,
        request: impl FnOnce(Reply) -> Request,
    ) -> Result<OutboxEntry, ClientError> {
        let requests = lock(&self.requests).clone().ok_or(ClientError::Closed)?;
        let (reply, answer) = oneshot::channel();
        requests.send(request(reply)).await.map_err(|_| ClientError::Closed)?;
        answer.await.map_err(|_| ClientError::Closed)?
    }

    /// Whether an event of this size could be taken now.
    pub(super) fn check(
        &self,
        event: EventId,
        json: &str,
        relays: Vec<RelayUrl>,
    ) -> Result<(), ClientError> {
        let checked = lock(&self.shared.outbox).queue(self.shared.now(), event, json, relays);
        checked.map(drop).map_err(refused)
    }

    pub(super) fn list(&self) -> Vec<OutboxEntry> {
        lock(&self.shared.outbox).list().cloned().collect()
    }

    pub(super) fn get(&self, event: &EventId) -> Option<OutboxEntry> {
        lock(&self.shared.outbox).get(event).cloned()
    }

    pub(crate) fn status(&self) -> OutboxStatus {
        let counts = lock(&self.shared.outbox).counts(self.shared.now());
        OutboxStatus { counts, ..lock(&self.shared.status).clone() }
    }

    /// Nothing is sent any more; what is under way is tried again by the next process. Does not
    /// wait; [`join`](Self::join) does.
    pub(crate) fn stop(&self) {
        drop(lock(&self.requests).take());
        self.shared.hurry.notify_one();
    }

    /// Waits until the file is left to whoever comes next.
    pub(crate) fn join(&self) {
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the keeper of the outbox panicked");
        }
    }
}

/// An outbox whose thread does not run yet.
pub(crate) struct Opening {
    shared: Arc<Shared>,
    journal: Journal,
}

impl Opening {
    /// Starts to send.
    pub(crate) fn start(
        self,
        book: &Arc<RelayBook>,
        sending: Sending,
    ) -> Result<OutboxKeeper, StartError> {
        let Self { shared, journal } = self;
        let failed = |cause: std::io::Error| StartError::Outbox(format!("no thread: {cause}"));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let watched = Arc::downgrade(&shared);
        book.watch_connections(move |relay| {
            if let Some(shared) = watched.upgrade() {
                lock(&shared.outbox).connected(shared.now(), relay);
                shared.hurry.notify_one();
            }
        });
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let keeper = Keeping {
            shared: Arc::clone(&shared),
            journal,
            book: Arc::clone(book),
            sending,
            tries: FuturesUnordered::new(),
            trying: HashMap::new(),
            withdrawn: HashSet::new(),
            rewrite_from: Duration::ZERO,
        };
        let thread = std::thread::Builder::new()
            .name("nipworker-outbox".to_owned())
            .spawn(move || runtime.block_on(keeper.run(inbox)))
            .map_err(failed)?;
        let (requests, thread) = (Mutex::new(Some(requests)), Mutex::new(Some(thread)));
        Ok(OutboxKeeper { shared, requests, thread })
    }
}

/// The thread's own.
struct Keeping {
    shared: Arc<Shared>,
    journal: Journal,
    book: Arc<RelayBook>,
    sending: Sending,
    tries: FuturesUnordered<BoxFuture<'static, Tried>>,
    /// How many tries of each event are under way.
    trying: HashMap<EventId, usize>,
    /// Of these, the ones that were taken back.
    withdrawn: HashSet<EventId>,
    /// Not before then, after it could not be written.
    rewrite_from: Duration,
}

struct Tried {
    event: EventId,
    relay: RelayUrl,
    answer: Answer,
}

impl Keeping {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        let mut requests = Vec::new();
        // Not a sleep of each round: other work could come before its end for ever.
        let mut again = tokio::time::interval(WITHDRAW_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.tidy();
            for attempt in lock(&self.shared.outbox).attempts(self.shared.now()) {
                *self.trying.entry(attempt.event).or_default() += 1;
                self.withdrawn.remove(&attempt.event);
                self.tries.push(attempted(self.sending.clone(), attempt).boxed());
            }
            let idle = lock(&self.shared.outbox).idle(self.shared.now());
            tokio::select! {
                count = inbox.recv_many(&mut requests, REQUESTS_MAX) => {
                    if count == 0 {
                        break;
                    }
                    self.serve(std::mem::take(&mut requests));
                }
                Some(tried) = self.tries.next(), if !self.tries.is_empty() => self.tried(tried),
                () = self.shared.hurry.notified() => {}
                () = sleep(idle) => {}
                // A try that had not reached the pool yet may have by now.
                _ = again.tick(), if !self.withdrawn.is_empty() => {
                    self.withdrawn.iter().for_each(|event| self.book.withdraw(event));
                }
            }
        }
        self.journal.release();
    }

    /// Takes what was asked for, writes all of it with one sync, and answers.
    fn serve(&mut self, requests: Vec<Request>) {
        let now = self.shared.now();
        if self.journal.is_stale() {
            self.rewrite();
        }
        let mut records = Vec::new();
        let mut changed = Vec::new();
        let mut outbox = lock(&self.shared.outbox);
        for request in requests {
            let (event, is_cancel, reply, wanted) = match request {
                Request::Queue { event, json, relays, reply } => {
                    let record = outbox.queue(now, event, &json, relays);
                    (event, false, reply, record.map(|record| vec![record]))
                }
                Request::Cancel { event, reply } => {
                    (event, true, reply, outbox.cancel(now, &event))
                }
            };
            match wanted {
                Ok(wanted) => {
                    let earlier = outbox.get(&event).cloned();
                    for record in &wanted {
                        outbox.apply(now, record);
                    }
                    let is_cancel = is_cancel && !wanted.is_empty();
                    records.extend(wanted);
                    changed.push((event, is_cancel, earlier, reply));
                }
                Err(error) => answer(reply, Err(refused(error))),
            }
        }
        drop(outbox);
        let written = self.journal.append(&records, true);
        if let Err(error) = &written {
            self.told(error);
        }
        if written.is_ok() {
            let taken_back = changed.iter().filter(|(_, is_cancel, ..)| *is_cancel);
            taken_back.for_each(|(event, ..)| self.withdraw(*event));
        }
        let mut outbox = lock(&self.shared.outbox);
        match written {
            Ok(()) => {
                for (event, _, _, reply) in changed {
                    let entry = outbox.get(&event).cloned();
                    answer(reply, entry.ok_or_else(|| refused(OutboxError::NotFound(event))));
                }
            }
            Err(error) => {
                for (event, _, earlier, reply) in changed.into_iter().rev() {
                    outbox.restore(now, &event, earlier);
                    let reason = format!("the outbox was not written: {error}");
                    answer(reply, Err(ClientError::Store { reason, transient: true }));
                }
            }
        }
    }

    /// A try may wait for its connection in the pool, or be on its way there.
    fn withdraw(&mut self, event: EventId) {
        self.book.withdraw(&event);
        if self.trying.contains_key(&event) {
            self.withdrawn.insert(event);
        }
    }

    /// Notes what came of tries: those that have ended by now, with one write.
    fn tried(&mut self, first: Tried) {
        let mut all = vec![first];
        while let Some(Some(tried)) = self.tries.next().now_or_never() {
            all.push(tried);
        }
        for Tried { event, .. } in &all {
            if let Some(count) = self.trying.get_mut(event) {
                *count -= 1;
                if *count == 0 {
                    self.trying.remove(event);
                    self.withdrawn.remove(event);
                }
            }
        }
        let now = self.shared.now();
        let mut records = Vec::new();
        let mut outbox = lock(&self.shared.outbox);
        for Tried { event, relay, answer } in all {
            if let Some(record) = outbox.answered(now, &event, &relay, answer) {
                outbox.apply(now, &record);
                records.push(record);
            }
        }
        drop(outbox);
        self.note(&records);
    }

    /// Gives up what is too old, and keeps the file from growing.
    fn tidy(&mut self) {
        let now = self.shared.now();
        let mut outbox = lock(&self.shared.outbox);
        let records = outbox.tidy(now);
        for record in &records {
            outbox.apply(now, record);
        }
        drop(outbox);
        self.note(&records);
        if self.journal.is_due() && self.shared.start.elapsed() >= self.rewrite_from {
            self.rewrite();
        }
    }

    /// Writes down what has happened. It need not be on the disk at once: what is lost with the
    /// machine is asked again, and the relay knows the id.
    fn note(&mut self, records: &[OutboxRecord]) {
        if records.is_empty() {
            return;
        }
        if let Err(error) = self.journal.append(records, false) {
            self.told(&error);
        }
    }

    fn rewrite(&mut self) {
        let records: Vec<_> = lock(&self.shared.outbox).records().collect();
        match self.journal.rewrite(&records) {
            Ok(()) => {
                let mut status = lock(&self.shared.status);
                status.rewrites += 1;
                status.last_error = None;
            }
            Err(error) => {
                self.rewrite_from = self.shared.start.elapsed() + REWRITE_AGAIN;
                self.told(&error);
            }
        }
    }

    fn told(&self, error: &std::io::Error) {
        let file = self.journal.path().display();
        tracing::error!(%file, %error, "the outbox was not written");
        lock(&self.shared.status).last_error = Some(error.to_string());
    }
}

async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

fn answer(reply: Reply, result: Result<OutboxEntry, ClientError>) {
    if reply.send(result).is_err() {
        tracing::debug!("nobody waits for the outbox's answer any more");
    }
}

fn refused(error: OutboxError) -> ClientError {
    match error {
        OutboxError::NotFound(_) => ClientError::NotFound(error.to_string()),
        error if error.is_transient() => ClientError::OutboxFull(error.to_string()),
        error => ClientError::Invalid(error.to_string()),
    }
}

/// Sends one event to one relay as any publish is sent: checked, and stored where it is not yet.
async fn attempted(sending: Sending, attempt: Attempt) -> Tried {
    let Attempt { event, json, relay } = attempt;
    let answer = match Event::from_json(json.as_bytes(), &sending.limits) {
        Ok(event) => match publish(&sending, event, &relay).await {
            Ok(published) => answer_of(published),
            // It may have been sent.
            Err(error) => no_answer(error.to_string()),
        },
        Err(error) => Answer::Withdrawn { message: error.to_string() },
    };
    Tried { event, relay, answer }
}

async fn publish(
    sending: &Sending,
    event: Event,
    relay: &RelayUrl,
) -> Result<PublishedT, ClientError> {
    let request = ClientEdge::encode(PublishT {
        event: Box::new(event.into()),
        relays: vec![relay.to_string()],
        use_relays: true,
        timeout_ms: milliseconds(sending.timeout),
    });
    let answer = ask_parser(&sending.parser, request).await?;
    expect_answer!(answer, ClientMessageT::Published)
}

fn answer_of(published: PublishedT) -> Answer {
    let PublishedT { outcome, receipts } = published;
    let status = PutStatus::from(outcome.status);
    match receipts.into_iter().next().map(Receipt::from) {
        Some(receipt) => Answer::Receipt {
            status: match receipt.status {
                crate::ReceiptStatus::Accepted => ReceiptStatus::Accepted,
                crate::ReceiptStatus::Refused => ReceiptStatus::Refused,
                crate::ReceiptStatus::NoAnswer => ReceiptStatus::NoAnswer,
                crate::ReceiptStatus::NotConnected => ReceiptStatus::NotConnected,
            },
            message: receipt.message,
        },
        None if status == PutStatus::Failed || status.is_accepted() => no_answer(outcome.reason),
        None => Answer::Withdrawn { message: outcome.reason },
    }
}

fn no_answer(message: String) -> Answer {
    Answer::Receipt { status: ReceiptStatus::NoAnswer, message }
}
