//! Reconciliations with one relay (NIP-77), one after another.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use nipworker_protocol::{ClientMessage, Filter};
use nipworker_transport::Outgoing;

use super::{Link, RelaySession};
use crate::{
    Effect, Now, ReconcileEnd, ReconcileId, ReconcileRequest, Reconciled,
    effect::Out,
    reconcile::{Held, NEG_FRAME_BYTES, RECONCILE_DEADLINE, RECONCILE_IDLE, Reconciler, Step},
    stats::cut,
};

/// Connections over which one reconciliation is begun anew before it is given up. A relay whose
/// answer is what breaks the connection must not keep us busy for ever.
const MAX_STARTS: u32 = 3;
/// Longest time that a reconciliation may take, whatever its request says.
const MAX_DEADLINE: Duration = Duration::from_secs(3_600);

/// Words by which a notice shows that it is about a message that the relay does not know or take.
/// Relays say it in their own ways; what is not recognised costs the idle time.
const NOT_UNDERSTOOD: [&str; 9] = [
    "neg-",
    "negentropy",
    "unknown",
    "unrecogni",
    "unsupported",
    "not supported",
    "invalid",
    "bad msg",
    "could not parse",
];

/// One reconciliation for one relay.
pub(crate) struct Reconciliation {
    id: ReconcileId,
    name: Arc<str>,
    filter: Filter,
    held: Held,
    idle: Duration,
    deadline: Duration,
    starts: u32,
    /// Of all attempts.
    rounds: u32,
    bytes_sent: u64,
    bytes_received: u64,
}

impl Reconciliation {
    pub(crate) fn new(
        id: ReconcileId,
        request: ReconcileRequest,
        now: Now,
        latest: Duration,
    ) -> Self {
        let time = request.deadline.unwrap_or(RECONCILE_DEADLINE).min(MAX_DEADLINE);
        Self {
            id,
            name: request.name.into(),
            filter: request.filter,
            held: Held::new(&request.held),
            idle: request.idle.unwrap_or(RECONCILE_IDLE),
            deadline: now.monotonic.saturating_add(time).min(latest),
            starts: 0,
            rounds: 0,
            bytes_sent: 0,
            bytes_received: 0,
        }
    }

    /// There is not even a session for it.
    pub(crate) fn not_connected(self, reason: String, out: &mut Out) {
        self.tell(ReconcileEnd::NotConnected, reason, None, out);
    }

    fn tell(
        self,
        end: ReconcileEnd,
        message: String,
        reconciler: Option<Reconciler>,
        out: &mut Out,
    ) {
        let rounds = self.rounds + reconciler.as_ref().map_or(0, Reconciler::rounds);
        let (need, have) = reconciler.map(Reconciler::into_differences).unwrap_or_default();
        let result = Reconciled {
            end,
            message,
            need,
            have,
            rounds,
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
        };
        out.effects.push(Effect::Reconciled { reconcile: self.id, result });
    }
}

/// The one that the relay was asked about on this connection.
struct Running {
    task: Reconciliation,
    /// The relay's name for it.
    wire: String,
    reconciler: Reconciler,
    /// Since when its answer is waited for.
    since: Duration,
}

/// Who says goodbye.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parting {
    /// The relay is to be told that it is over.
    Tell,
    /// The relay ended it, or never knew it.
    Silent,
}

#[derive(Default)]
pub(super) struct Reconciliations {
    queue: VecDeque<Reconciliation>,
    running: Option<Running>,
}

impl Reconciliations {
    fn tasks(&self) -> impl Iterator<Item = &Reconciliation> {
        self.queue.iter().chain(self.running.as_ref().map(|running| &running.task))
    }

    /// The relay was not read for so long: that time is not its own.
    pub(super) fn prolong(&mut self, by: Duration) {
        if let Some(running) = &mut self.running {
            running.since += by;
        }
    }

    pub(super) fn hurry(&mut self, latest: Duration) {
        let running = self.running.as_mut().map(|running| &mut running.task);
        for task in self.queue.iter_mut().chain(running) {
            task.deadline = task.deadline.min(latest);
        }
    }
}

impl RelaySession {
    pub(crate) fn reconcile(&mut self, now: Now, task: Reconciliation, out: &mut Out) {
        if let Link::Waiting { reached: false, .. } = self.link {
            let reason = "the last attempt to connect failed".to_owned();
            task.tell(ReconcileEnd::NotConnected, reason, None, out);
            return;
        }
        self.stats.reconciliations.increment();
        self.reconciliations.queue.push_back(task);
        self.begin_reconciliation(now, out);
        self.expire_reconciliations(now, out);
        self.settle(now, out);
    }

    /// Number of reconciliations under way and waiting.
    pub(crate) fn reconciliations(&self) -> usize {
        self.reconciliations.tasks().count()
    }

    /// Number of reconciliations of other names.
    pub(crate) fn reconciliations_but(&self, name: &str) -> usize {
        self.reconciliations.tasks().filter(|task| *task.name != *name).count()
    }

    /// Whether this filter is being reconciled under another name.
    pub(crate) fn reconciles(&self, filter: &Filter, name: &str) -> bool {
        self.reconciliations.tasks().any(|task| task.filter == *filter && *task.name != *name)
    }

    /// Ends the one of this name; `false` when there is none.
    pub(crate) fn cancel_reconciliation(&mut self, now: Now, name: &str, out: &mut Out) -> bool {
        let queue = &mut self.reconciliations.queue;
        let waiting = queue.iter().position(|task| *task.name == *name);
        if let Some(task) = waiting.and_then(|at| queue.remove(at)) {
            task.tell(ReconcileEnd::Cancelled, String::new(), None, out);
        } else if self.reconciliations.running.as_ref().is_some_and(|it| *it.task.name == *name) {
            self.end(now, ReconcileEnd::Cancelled, "", Parting::Tell, out);
        } else {
            return false;
        }
        self.settle(now, out);
        true
    }

    /// Begins with the next one if there is a connection and none is under way.
    pub(super) fn begin_reconciliation(&mut self, now: Now, out: &mut Out) {
        while self.reconciliations.running.is_none()
            && matches!(self.link, Link::Up(_))
            && let Some(mut task) = self.reconciliations.queue.pop_front()
        {
            let (reconciler, first) = match Reconciler::start(task.held.clone(), NEG_FRAME_BYTES) {
                Ok(begun) => begun,
                Err(error) => {
                    task.tell(ReconcileEnd::Garbled, error.to_string(), None, out);
                    continue;
                }
            };
            self.last_wire += 1;
            let wire = format!("n{:x}", self.last_wire);
            let frame = ClientMessage::neg_open_frame(&wire, &task.filter, &first);
            task.starts += 1;
            task.bytes_sent += frame.len() as u64;
            let since = now.monotonic;
            self.reconciliations.running = Some(Running { task, wire, reconciler, since });
            self.transmit(Outgoing::Text(frame), out);
        }
    }

    /// The connection is gone, or there was none. What was found on it is found again on the next
    /// one: the relay's events may have changed.
    pub(super) fn interrupt_reconciliation(&mut self, reached: bool, reason: &str, out: &mut Out) {
        if !reached {
            self.end_reconciliations(ReconcileEnd::NotConnected, reason, out);
            return;
        }
        let Some(Running { mut task, reconciler, .. }) = self.reconciliations.running.take() else {
            return;
        };
        task.rounds += reconciler.rounds();
        if task.starts < MAX_STARTS {
            self.reconciliations.queue.push_front(task);
        } else {
            let message = format!("lost on {MAX_STARTS} connections, the last time: {reason}");
            self.stats.reconciliations_failed.increment();
            task.tell(ReconcileEnd::Disconnected, message, None, out);
        }
    }

    /// Ends all of them.
    pub(super) fn end_reconciliations(&mut self, end: ReconcileEnd, reason: &str, out: &mut Out) {
        let running = self.reconciliations.running.take();
        let reconciler = running.map(|it| (it.task, Some(it.reconciler)));
        let waiting = self.reconciliations.queue.drain(..).map(|task| (task, None));
        for (task, reconciler) in reconciler.into_iter().chain(waiting) {
            self.stats.reconciliations_failed.increment();
            task.tell(end, reason.to_owned(), reconciler, out);
        }
    }

    /// Ends the one that is under way, and begins with the next.
    fn end(&mut self, now: Now, end: ReconcileEnd, message: &str, parting: Parting, out: &mut Out) {
        let Some(running) = self.reconciliations.running.take() else { return };
        if end != ReconcileEnd::Complete {
            self.stats.reconciliations_failed.increment();
        }
        let Running { mut task, wire, reconciler, .. } = running;
        if parting == Parting::Tell {
            let frame = ClientMessage::neg_close_frame(&wire);
            task.bytes_sent += frame.len() as u64;
            self.transmit(Outgoing::Text(frame), out);
        }
        task.tell(end, cut(message), Some(reconciler), out);
        self.begin_reconciliation(now, out);
    }

    /// The one that is under way, if this is its name on the wire.
    fn running(&mut self, wire: &str) -> Option<&mut Running> {
        self.reconciliations.running.as_mut().filter(|running| running.wire == wire)
    }

    pub(super) fn neg_message(
        &mut self,
        now: Now,
        wire: &str,
        message: &[u8],
        frame_bytes: usize,
        out: &mut Out,
    ) {
        let Some(running) = self.running(wire) else {
            self.stats.unknown_frames.increment();
            return;
        };
        running.task.bytes_received += frame_bytes as u64;
        running.since = now.monotonic;
        match running.reconciler.answer(message) {
            Step::Say(next) => {
                let frame = ClientMessage::neg_msg_frame(wire, &next);
                running.task.bytes_sent += frame.len() as u64;
                self.transmit(Outgoing::Text(frame), out);
            }
            Step::Over(end, message) => self.end(now, end, &message, Parting::Tell, out),
        }
    }

    /// `NEG-ERR`; or `CLOSED`, as some relays answer what they do not offer.
    pub(super) fn neg_refused(&mut self, now: Now, wire: &str, message: &str, out: &mut Out) {
        if self.running(wire).is_some() {
            self.end(now, ReconcileEnd::Refused, message, Parting::Silent, out);
        }
    }

    /// A message that should be a step and is none. It cannot say for which reconciliation; there
    /// is only one.
    pub(super) fn neg_garbled(&mut self, now: Now, message: &str, out: &mut Out) {
        self.end(now, ReconcileEnd::Garbled, message, Parting::Tell, out);
    }

    /// A relay that knows no `NEG-OPEN` says so in a notice, which names no subscription. One that
    /// has answered a step knows it.
    pub(super) fn neg_notice(&mut self, now: Now, message: &str, out: &mut Out) {
        let Some(running) = &self.reconciliations.running else { return };
        let text = message.to_lowercase();
        if running.reconciler.rounds() == 0 && NOT_UNDERSTOOD.iter().any(|word| text.contains(word))
        {
            self.end(now, ReconcileEnd::Notice, message, Parting::Silent, out);
        }
    }

    /// When [`expire_reconciliations`](Self::expire_reconciliations) has something to do.
    pub(super) fn reconciliation_alarm(&self) -> Option<Duration> {
        let idle = match (&self.reconciliations.running, &self.link) {
            // While the relay is not read, its silence is ours.
            (Some(running), Link::Up(up)) if up.reading => Some(running.since + running.task.idle),
            _ => None,
        };
        let deadline = self.reconciliations.tasks().map(|task| task.deadline).min();
        idle.into_iter().chain(deadline).min()
    }

    pub(super) fn expire_reconciliations(&mut self, now: Now, out: &mut Out) {
        let time = now.monotonic;
        let (late, queue) = std::mem::take(&mut self.reconciliations.queue)
            .into_iter()
            .partition::<VecDeque<_>, _>(|task| task.deadline <= time);
        self.reconciliations.queue = queue;
        for task in late {
            self.stats.reconciliations_failed.increment();
            let message = "its turn did not come in time".to_owned();
            task.tell(ReconcileEnd::Deadline, message, None, out);
        }
        let Some(running) = &self.reconciliations.running else { return };
        let is_read = matches!(&self.link, Link::Up(up) if up.reading);
        if running.task.deadline <= time {
            self.end(now, ReconcileEnd::Deadline, "not done in time", Parting::Tell, out);
        } else if is_read && running.since + running.task.idle <= time {
            let message = format!("no answer within {} ms", running.task.idle.as_millis());
            self.end(now, ReconcileEnd::Silent, &message, Parting::Tell, out);
        }
    }
}
