//! One relay: its connection, its subscriptions, its publishes.
//!
//! ```text
//!          wanted               dialled: ok
//!  Idle ──────────▶ Dialling ────────────────▶ Up
//!   ▲                │    ▲                    │
//!   │     error, too │    │ back-off over      │ lost, stale,
//!   │           long ▼    │                    ▼ too many bad frames
//!   └───────────────── Waiting ◀───────────────┘
//!     nothing wanted
//! ```

mod asking;
mod auth;
mod carrier;
mod information;
mod pages;
mod places;
mod private;
mod publishes;
mod receive;
mod reconcile;
mod subscriptions;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use nipworker_protocol::RelayUrl;
use nipworker_transport::{CloseFrame, ConnectOptions, Outgoing, TransportError};
use rand::{SeedableRng, rngs::SmallRng};

use self::{
    auth::Auth, carrier::Carrier, information::Information, places::Waiting, private::PutOff,
    reconcile::Reconciliations,
};
pub(crate) use self::{
    publishes::Outbound, reconcile::Reconciliation, subscriptions::Subscription,
};
use crate::{
    Backoff, ConnectionId, Delivery, DeliveryId, Effect, ErrorKind, LinkState, Loss, Now,
    PublishId, ReconcileEnd, RelayConfig, effect::Out, stats::RelayStats,
};

/// How much longer than the transport's own limit an attempt may take.
const DIAL_GRACE: Duration = Duration::from_secs(1);
/// Messages that may wait to be written before the relay counts as not reading.
const MAX_UNWRITTEN_MESSAGES: usize = 8_192;

pub(crate) struct RelaySession {
    url: RelayUrl,
    configured: bool,
    /// Whether routing brought it in, by a stranger's word.
    stranger: bool,
    public_only: bool,
    config: Arc<RelayConfig>,
    stats: Arc<RelayStats>,
    rng: SmallRng,
    backoff: Backoff,
    link: Link,
    idle_since: Option<Duration>,
    /// When the last attempt to connect began.
    dialled_at: Duration,
    stopped: bool,

    subscriptions: BTreeMap<Arc<str>, Subscription>,
    /// The REQs that are open on the present connection, by the names that the relay knows.
    wire: HashMap<String, Carrier>,
    last_wire: u64,
    waiting: Waiting,
    /// Subscriptions that wait until the relay knows who we are; see `private`.
    put_off: PutOff,
    /// What is due when: ends of EOSE deadlines and retries of REQs.
    alarms: BTreeSet<(Duration, Arc<str>)>,

    auth: Auth,
    information: Information,
    /// REQs that the relay showed to take at once, by refusing one more.
    shown_places: Option<usize>,

    publishes: BTreeMap<PublishId, Outbound>,
    publish_alarms: BTreeSet<(Duration, PublishId)>,

    reconciliations: Reconciliations,

    /// What is to be handed on next.
    outbox: Vec<Delivery>,
    delivering: Option<DeliveryId>,
    /// Subscriptions whose progress the book does not know yet.
    dirty: BTreeSet<Arc<str>>,
    /// Subscriptions that are over here; the book learns it once that was handed on.
    finished: Vec<Arc<str>>,
}

enum Link {
    Idle,
    Dialling {
        connection: ConnectionId,
        until: Duration,
    },
    Up(Up),
    /// `reached` is false when the last attempt failed.
    Waiting {
        until: Duration,
        reached: bool,
    },
}

struct Up {
    connection: ConnectionId,
    since: Duration,
    heard: Duration,
    /// When the ping that is not answered was sent.
    pinged: Option<Duration>,
    /// Whether the owner reads. What is not read says nothing about the relay.
    reading: bool,
    unwritten: usize,
    bad_since: Duration,
    bad_frames: u32,
    /// Until when nothing is asked or sent, because the relay is to know first who we are.
    held_until: Option<Duration>,
}

/// Why a connection is given up.
enum Fault {
    /// It may be tried again as if nothing was.
    Lost,
    /// The relay did wrong: the back-off goes on however long the connection lasted.
    Misbehaved,
}

impl RelaySession {
    pub(crate) fn new(
        url: RelayUrl,
        configured: bool,
        config: Arc<RelayConfig>,
        stats: Arc<RelayStats>,
        seed: u64,
    ) -> Self {
        stats.set_state(LinkState::Idle);
        Self {
            url,
            configured,
            stranger: false,
            public_only: false,
            backoff: Backoff::new(config.backoff.clone()),
            config,
            stats,
            rng: SmallRng::seed_from_u64(seed),
            link: Link::Idle,
            idle_since: None,
            dialled_at: Duration::ZERO,
            stopped: false,
            subscriptions: BTreeMap::new(),
            wire: HashMap::new(),
            last_wire: 0,
            waiting: Waiting::default(),
            put_off: PutOff::default(),
            alarms: BTreeSet::new(),
            auth: Auth::default(),
            information: Information::default(),
            shown_places: None,
            publishes: BTreeMap::new(),
            publish_alarms: BTreeSet::new(),
            reconciliations: Reconciliations::default(),
            outbox: Vec::new(),
            delivering: None,
            dirty: BTreeSet::new(),
            finished: Vec::new(),
        }
    }

    /// One that routing brings in, and whether it may be at public addresses only.
    pub(crate) fn stranger(self, public_only: bool) -> Self {
        Self { stranger: true, public_only, ..self }
    }

    pub(crate) fn is_stranger(&self) -> bool {
        self.stranger
    }

    /// Subscriptions that it has answered and missed, and how long the last answer took.
    pub(crate) fn answers(&self) -> (u64, u64, Duration) {
        let latency = Duration::from_millis(self.stats.eose_latency_ms.get());
        (self.stats.eoses.get(), self.stats.eose_missed.get(), latency)
    }

    pub(crate) fn start(&mut self, now: Now, out: &mut Out) {
        self.dial(now, out);
        self.settle(now, out);
    }

    pub(crate) fn dialled(
        &mut self,
        now: Now,
        connection: ConnectionId,
        result: Result<(), &TransportError>,
        out: &mut Out,
    ) {
        let expected =
            matches!(&self.link, Link::Dialling { connection: c, .. } if *c == connection);
        match result {
            Ok(()) if expected => self.up(now, connection, out),
            Ok(()) => self.disconnect(connection, None, out),
            Err(error) if expected => {
                self.stats.dial_failures.increment();
                let kind = ErrorKind::of(error);
                self.fail(now, kind, &error.to_string(), Fault::Lost, out);
            }
            Err(_) => {}
        }
        self.settle(now, out);
    }

    pub(crate) fn lost(
        &mut self,
        now: Now,
        connection: ConnectionId,
        error: &TransportError,
        out: &mut Out,
    ) {
        if self.current(connection).is_none() {
            return;
        }
        let fault = match error {
            TransportError::TooLarge { .. }
            | TransportError::InvalidUtf8
            | TransportError::Protocol { .. } => {
                self.stats.bad_frames.increment();
                Fault::Misbehaved
            }
            _ => Fault::Lost,
        };
        self.disconnect(connection, None, out);
        self.fail(now, ErrorKind::of(error), &error.to_string(), fault, out);
        self.settle(now, out);
    }

    pub(crate) fn written(&mut self, connection: ConnectionId, messages: usize) {
        if let Some(up) = self.current(connection) {
            up.unwritten = up.unwritten.saturating_sub(messages);
        }
    }

    pub(crate) fn delivered(
        &mut self,
        now: Now,
        delivery: DeliveryId,
        losses: &[Loss],
        out: &mut Out,
    ) {
        if self.delivering != Some(delivery) {
            return;
        }
        self.delivering = None;
        for Loss { subscription, events } in losses {
            self.stats.lost_events.add(*events as u64);
            if let Some(subscription) = self.subscriptions.get_mut(subscription) {
                subscription.lost_events();
            }
        }
        if self.outbox.is_empty() {
            self.note_progress(out);
        }
        self.settle(now, out);
    }

    pub(crate) fn timer(&mut self, now: Now, out: &mut Out) {
        let time = now.monotonic;
        match &self.link {
            Link::Dialling { connection, until } if *until <= time => {
                let connection = *connection;
                self.stats.dial_failures.increment();
                self.disconnect(connection, None, out);
                let limit = self.config.connect_timeout.as_millis();
                let reason = format!("no connection within {limit} ms");
                self.fail(now, ErrorKind::Timeout, &reason, Fault::Lost, out);
            }
            Link::Waiting { until, .. } if *until <= time => {
                if self.is_wanted() {
                    self.dial(now, out);
                } else {
                    self.set_link(Link::Idle);
                }
            }
            Link::Up(_) => self.keep_alive(now, out),
            _ => {}
        }
        self.expire_auth(now, out);
        self.expire_put_off(now, out);
        let held = matches!(&self.link, Link::Up(up) if up.held_until.is_some());
        if held && !self.is_held_back(now) {
            self.let_go(now, out);
        }
        self.ring(now, out);
        self.expire_publishes(now, out);
        self.expire_reconciliations(now, out);
        self.settle(now, out);
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let link = match &self.link {
            Link::Idle => None,
            Link::Dialling { until, .. } | Link::Waiting { until, .. } => Some(*until),
            Link::Up(up) if !up.reading => None,
            Link::Up(up) => Some(self.silence_ends(up)),
        };
        let idle = self.idle_since.map(|since| since + self.config.idle_grace);
        let alarm = self.alarms.first().map(|(at, _)| *at);
        let publish = self.publish_alarms.first().map(|(at, _)| *at);
        let reconciliation = self.reconciliation_alarm();
        let auth = self.auth.next_deadline();
        let held = match &self.link {
            Link::Up(up) => up.held_until,
            _ => None,
        };
        let put_off = self.put_off.next_deadline();
        [link, idle, alarm, publish, reconciliation, auth, held, put_off]
            .into_iter()
            .flatten()
            .min()
    }

    /// Since when nothing needs this relay.
    pub(crate) fn idle_since(&self) -> Option<Duration> {
        self.idle_since
    }

    /// Whether nothing has needed this relay for long enough.
    pub(crate) fn is_over(&self, now: Now) -> bool {
        self.idle_since.is_some_and(|since| since + self.config.idle_grace <= now.monotonic)
    }

    /// Ends the connection; the session is dropped after this.
    pub(crate) fn dismiss(&mut self, out: &mut Out) {
        self.close_link("idle", out);
    }

    pub(crate) fn shut_down(&mut self, now: Now, out: &mut Out) {
        self.stopped = true;
        self.give_up_publishes(now, "shutting down", |_| true, out);
        self.end_reconciliations(ReconcileEnd::Cancelled, "shutting down", out);
        self.close_link("shutting down", out);
    }

    fn close_link(&mut self, reason: &str, out: &mut Out) {
        match &self.link {
            Link::Dialling { connection, .. } => self.disconnect(*connection, None, out),
            Link::Up(Up { connection, .. }) => {
                let connection = *connection;
                self.stats.disconnects.increment();
                self.disconnect(connection, Some(CloseFrame::normal(reason)), out);
            }
            Link::Idle | Link::Waiting { .. } => {}
        }
        self.set_link(Link::Idle);
        self.forget_wire();
    }

    fn is_wanted(&self) -> bool {
        if self.stopped {
            return false;
        }
        self.configured
            || !self.subscriptions.is_empty()
            || !self.publishes.is_empty()
            || self.reconciliations() > 0
    }

    fn current(&mut self, connection: ConnectionId) -> Option<&mut Up> {
        match &mut self.link {
            Link::Up(up) if up.connection == connection => Some(up),
            _ => None,
        }
    }

    fn connection(&self) -> Option<ConnectionId> {
        match &self.link {
            Link::Up(up) => Some(up.connection),
            _ => None,
        }
    }

    fn set_link(&mut self, link: Link) {
        self.stats.set_state(match &link {
            Link::Idle => LinkState::Idle,
            Link::Dialling { .. } => LinkState::Connecting,
            Link::Up(_) => LinkState::Connected,
            Link::Waiting { .. } => LinkState::Waiting,
        });
        if !matches!(link, Link::Up(_)) {
            self.stats.connected_since.set(0);
        }
        self.link = link;
    }

    fn dial(&mut self, now: Now, out: &mut Out) {
        let connection = ConnectionId(out.next_id());
        self.stats.dials.increment();
        let until = now.monotonic + self.config.connect_timeout + DIAL_GRACE;
        self.dialled_at = now.monotonic;
        self.ask_for_information(now, out);
        self.set_link(Link::Dialling { connection, until });
        out.effects.push(Effect::Dial {
            relay: self.url.clone(),
            connection,
            options: ConnectOptions {
                public_only: self.public_only,
                ..self.config.connect_options()
            },
        });
    }

    fn up(&mut self, now: Now, connection: ConnectionId, out: &mut Out) {
        self.set_link(Link::Up(Up {
            connection,
            since: now.monotonic,
            heard: now.monotonic,
            pinged: None,
            reading: false,
            unwritten: 0,
            bad_since: now.monotonic,
            bad_frames: 0,
            held_until: None,
        }));
        self.stats.connects.increment();
        self.stats.connect_latency_ms.set(millis(now.monotonic.saturating_sub(self.dialled_at)));
        self.stats.connected_since.set(u64::try_from(now.unix).unwrap_or_default());
        self.auth = self.fresh_auth();
        self.hold_back(now);
        self.ask_all(now, out);
        self.send_all(now, out);
        self.begin_reconciliation(now, out);
    }

    /// The connection, or the attempt, is over: everything on it is void, and the next attempt is
    /// set.
    fn fail(&mut self, now: Now, kind: ErrorKind, reason: &str, fault: Fault, out: &mut Out) {
        let mut reached = false;
        if let Link::Up(up) = &self.link {
            reached = true;
            self.stats.disconnects.increment();
            let healthy = up.since + self.config.backoff.reset_after <= now.monotonic;
            if healthy && matches!(fault, Fault::Lost) {
                self.backoff.reset();
            }
        }
        self.stats.failed(kind, reason);
        self.forget_wire();
        self.interrupt_reconciliation(reached, reason, out);
        let until = now.monotonic + self.backoff.next(&mut self.rng);
        self.stats.failures_in_a_row.set(self.backoff.failures().into());
        self.set_link(Link::Waiting { until, reached });
        if !reached {
            self.tell_unavailable(reason, out);
        }
        self.give_up_publishes(now, reason, |publish| publish.deadline < until, out);
    }

    fn disconnect(&mut self, connection: ConnectionId, close: Option<CloseFrame>, out: &mut Out) {
        out.effects.push(Effect::Disconnect { relay: self.url.clone(), connection, close });
    }

    fn transmit(&mut self, frame: Outgoing, out: &mut Out) {
        let Link::Up(up) = &mut self.link else { return };
        up.unwritten += 1;
        let connection = up.connection;
        self.stats.frames_out.increment();
        if let Outgoing::Text(text) = &frame {
            self.stats.bytes_out.add(text.len() as u64);
        }
        out.effects.push(Effect::Send { relay: self.url.clone(), connection, frame });
    }

    fn silence_ends(&self, up: &Up) -> Duration {
        match up.pinged {
            Some(pinged) => pinged + self.config.ping_grace,
            None => up.heard + self.config.ping_interval,
        }
    }

    fn keep_alive(&mut self, now: Now, out: &mut Out) {
        let Link::Up(up) = &self.link else { return };
        if !up.reading || self.silence_ends(up) > now.monotonic {
            return;
        }
        let (connection, pinged) = (up.connection, up.pinged.is_some());
        if pinged {
            self.stats.stale.increment();
            self.disconnect(connection, None, out);
            let silence = self.config.ping_interval + self.config.ping_grace;
            let reason = format!("nothing heard for {} ms", silence.as_millis());
            self.fail(now, ErrorKind::Timeout, &reason, Fault::Lost, out);
            return;
        }
        if let Some(up) = self.current(connection) {
            up.pinged = Some(now.monotonic);
        }
        self.transmit(Outgoing::Ping, out);
    }

    /// Every input ends here: hands on what there is, else reads on, and sees whether the relay is
    /// still needed.
    fn settle(&mut self, now: Now, out: &mut Out) {
        if let Link::Up(up) = &self.link
            && up.unwritten > MAX_UNWRITTEN_MESSAGES
        {
            let connection = up.connection;
            self.disconnect(connection, None, out);
            let reason = format!("{MAX_UNWRITTEN_MESSAGES} messages wait: the relay reads nothing");
            self.fail(now, ErrorKind::Protocol, &reason, Fault::Misbehaved, out);
        }
        if self.delivering.is_none() && !self.outbox.is_empty() {
            let delivery = DeliveryId(out.next_id());
            self.delivering = Some(delivery);
            let deliveries = std::mem::take(&mut self.outbox);
            out.effects.push(Effect::Deliver { relay: self.url.clone(), delivery, deliveries });
        }
        if self.delivering.is_none()
            && let Link::Up(up) = &mut self.link
            && !up.reading
        {
            up.reading = true;
            self.reconciliations.prolong(now.monotonic.saturating_sub(up.heard));
            up.heard = now.monotonic;
            let connection = up.connection;
            out.effects.push(Effect::Read { relay: self.url.clone(), connection });
        }
        let busy = self.is_wanted() || self.delivering.is_some();
        self.idle_since = match (busy, self.idle_since) {
            (true, _) => None,
            (false, since) => since.or(Some(now.monotonic)),
        };
        if !busy && matches!(self.link, Link::Waiting { .. }) {
            self.set_link(Link::Idle);
        } else if self.is_wanted() && matches!(self.link, Link::Idle) {
            self.dial(now, out);
        }
        self.stats.open_subscriptions.set(self.wire.len() as u64);
        self.stats.queued_subscriptions.set(self.waiting.len() as u64);
        self.stats.places.set(self.places() as u64);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
