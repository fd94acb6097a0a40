//! The actor.

use std::{
    collections::HashMap,
    convert::Infallible,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use actix::{Actor, AsyncContext, Context, Handler, ResponseFuture, Running, SpawnHandle};
use futures::{FutureExt, channel::oneshot};
use nipworker_relay::{
    ConnectionId, DeliveryId, Effect, Event, Loss, PublishId, Receipt, ReconcileId, Reconciled,
    RelayBook, RelayConfig, RelayPool, RelayUrl, SignFailure, SignId,
    transport::{
        CloseFrame, Connection, FrameSink, FrameStream, Incoming, InformationOptions, Outgoing,
        RelayInformation, TransportError, WebSocketTransport,
    },
};
use nipworker_schema::{
    CloseReqT, CryptoEdge, IngestEdge, OpenNegT, OpenReqT, RelayEdge, RelayEdgeMessageT,
    ReqClosedT, ReqOpenedT, SendEventT,
};
use nipworker_supervision::{
    Address, ChildSpec, MailboxConfig, Recipient, RestartPolicy, Shutdown, StartContext, StopSignal,
};

use crate::{
    SharedClock, deliver,
    edge::{self, Refusal},
    link::{self, Half, Link, State},
    sign,
    tasks::{Owner, Tasks},
};

/// Bounds of the mailbox. Senders wait when it is full; nothing is dropped.
pub const MAILBOX: MailboxConfig = MailboxConfig { capacity: 1_024, control_capacity: 16 };
/// A handler never waits: one that takes so long hangs.
pub const HANG_LIMIT: Duration = Duration::from_secs(5);
/// Started again whatever ended it.
pub const RESTART: RestartPolicy = RestartPolicy::Permanent;

/// How long relays have for answers that are still due when the worker is asked to stop.
pub const STOP_GRACE: Duration = Duration::from_secs(1);
/// How long a stop may take; more than [`STOP_GRACE`].
pub const SHUTDOWN: Shutdown = Shutdown::Timeout(Duration::from_secs(3));

/// What an incarnation is made of. Cloned for each.
#[derive(Clone)]
pub struct Dependencies {
    /// Limits and times.
    pub config: Arc<RelayConfig>,
    /// What outlives an incarnation.
    pub book: Arc<RelayBook>,
    /// How sockets are opened.
    pub transport: Arc<dyn WebSocketTransport>,
    /// How relays are asked about themselves (NIP-11); `None` asks nobody.
    pub information: Option<Arc<dyn RelayInformation>>,
    /// Who gets what relays say.
    pub parser: Recipient<IngestEdge>,
    /// Who signs what tells relays who we are.
    pub crypto: Recipient<CryptoEdge>,
    /// The time.
    pub clock: SharedClock,
}

/// The actor as a child of a supervisor, with the policies of this crate.
pub fn child(address: Address<Connections>, dependencies: Dependencies) -> ChildSpec {
    ChildSpec::new(address, move |start: &StartContext| {
        Ok::<_, Infallible>(Connections::new(dependencies.clone(), start))
    })
    .restart(RESTART)
    .hang_limit(HANG_LIMIT)
    .shutdown(SHUTDOWN)
}

/// Holds the sockets; see the [crate](crate).
pub struct Connections {
    transport: Arc<dyn WebSocketTransport>,
    information: Option<Arc<dyn RelayInformation>>,
    parser: Recipient<IngestEdge>,
    crypto: Recipient<CryptoEdge>,
    clock: SharedClock,
    stop_signal: StopSignal,
    in_a_hurry: bool,
    pool: RelayPool,
    /// What is to be done once there is a context to do it in.
    first: Vec<Effect>,
    links: HashMap<RelayUrl, Link>,
    tasks: Option<Tasks<Outcome>>,
    waiting: HashMap<PublishId, oneshot::Sender<Vec<Receipt>>>,
    reconciling: HashMap<ReconcileId, oneshot::Sender<Reconciled>>,
    alarm: Option<(Duration, SpawnHandle)>,
}

/// What came of a task.
pub(crate) enum Outcome {
    Dialled(RelayUrl, ConnectionId, Result<Connection, TransportError>),
    Read(RelayUrl, ConnectionId, FrameStream, Vec<Incoming>, Option<TransportError>),
    Written(RelayUrl, ConnectionId, FrameSink, Result<usize, TransportError>),
    Delivered(RelayUrl, DeliveryId, Vec<Loss>),
    Signed(RelayUrl, SignId, Result<Event, SignFailure>),
    Informed(RelayUrl, Option<String>),
    Farewell,
}

impl Connections {
    /// Takes the book over. Nothing is dialled before the actor is started.
    pub fn new(dependencies: Dependencies, start: &StartContext) -> Self {
        let Dependencies { config, book, transport, information, parser, crypto, clock } =
            dependencies;
        let seed = RandomState::new().hash_one(0);
        let (pool, first) = RelayPool::new(config, &book, seed, clock.now());
        Self {
            transport,
            information,
            parser,
            crypto,
            clock,
            stop_signal: start.stop_signal.clone(),
            in_a_hurry: false,
            pool,
            first,
            links: HashMap::new(),
            tasks: None,
            waiting: HashMap::new(),
            reconciling: HashMap::new(),
            alarm: None,
        }
    }

    fn perform(&mut self, effects: Vec<Effect>, ctx: &mut Context<Self>) {
        for effect in effects {
            match effect {
                Effect::Dial { relay, connection, options } => {
                    let dial = self.transport.connect(relay.clone(), options);
                    let url = relay.clone();
                    let task = async move { Outcome::Dialled(url, connection, dial.await) };
                    if let Some(task) = self.begin(task) {
                        self.links.insert(relay, Link::dialling(connection, task));
                    }
                }
                Effect::Send { relay, connection, frame } => self.send(relay, connection, frame),
                Effect::Read { relay, connection } => self.read(relay, connection),
                Effect::Disconnect { relay, connection, close } => {
                    self.disconnect(&relay, connection, close);
                }
                Effect::Deliver { relay, delivery, deliveries } => {
                    let parser = self.parser.clone();
                    self.begin(async move {
                        let losses = deliver::deliver(parser, relay.clone(), deliveries).await;
                        Outcome::Delivered(relay, delivery, losses)
                    });
                }
                Effect::Sign { relay, connection, request, key, template } => {
                    let crypto = self.crypto.clone();
                    let url = relay.clone();
                    let task = self.begin(async move {
                        Outcome::Signed(url, request, sign::sign(crypto, key, template).await)
                    });
                    if let (Some(link), Some(task)) = (self.link(&relay, connection), task) {
                        link.signing(task);
                    }
                }
                Effect::FetchInformation { relay, options } => self.ask_for(relay, options),
                Effect::Receipts { publish, receipts } => {
                    if let Some(asker) = self.waiting.remove(&publish)
                        && asker.send(receipts).is_err()
                    {
                        tracing::debug!("nobody waits for the receipts of a publish any more");
                    }
                }
                Effect::Reconciled { reconcile, result } => {
                    if let Some(asker) = self.reconciling.remove(&reconcile)
                        && asker.send(result).is_err()
                    {
                        tracing::debug!("nobody waits for the end of a reconciliation any more");
                    }
                }
            }
        }
        self.set_alarm(ctx);
    }

    /// Asks for a relay's information document; without anybody to ask, or in time, there is none.
    fn ask_for(&self, relay: RelayUrl, options: InformationOptions) {
        let question = self.information.as_ref().map(|it| it.fetch(relay.clone(), options.clone()));
        self.begin(async move {
            let document = match question {
                Some(question) => match tokio::time::timeout(options.timeout, question).await {
                    Ok(Ok(document)) => Some(document),
                    Ok(Err(error)) => {
                        tracing::debug!(%relay, %error, "no information document");
                        None
                    }
                    Err(_) => None,
                },
                None => None,
            };
            Outcome::Informed(relay, document)
        });
    }

    fn begin(
        &self,
        task: impl Future<Output = Outcome> + 'static,
    ) -> Option<futures::future::AbortHandle> {
        self.tasks.as_ref().map(|tasks| tasks.begin(task))
    }

    fn link(&mut self, relay: &RelayUrl, connection: ConnectionId) -> Option<&mut Link> {
        self.links.get_mut(relay).filter(|link| link.connection == connection)
    }

    fn send(&mut self, relay: RelayUrl, connection: ConnectionId, frame: Outgoing) {
        if let Some(Link { state: State::Open { queue, .. }, .. }) = self.link(&relay, connection) {
            queue.push_back(frame);
            self.write_on(relay, connection);
        }
    }

    /// Writes what is queued, unless the sink is in use: then that task's end comes here again.
    fn write_on(&mut self, relay: RelayUrl, connection: ConnectionId) {
        let Some(tasks) = &self.tasks else { return };
        let Some(link) = self.links.get_mut(&relay) else { return };
        if link.connection != connection {
            return;
        }
        let State::Open { writing, queue, .. } = &mut link.state else { return };
        if queue.is_empty() || matches!(writing, Half::Busy(_)) {
            return;
        }
        let frames = std::mem::take(queue);
        *writing = take_half(writing, |sink| {
            tasks.begin(async move {
                let (sink, result) = link::write(sink, frames).await;
                Outcome::Written(relay, connection, sink, result)
            })
        });
    }

    fn read(&mut self, relay: RelayUrl, connection: ConnectionId) {
        let Some(tasks) = &self.tasks else { return };
        let Some(link) = self.links.get_mut(&relay) else { return };
        if link.connection != connection {
            return;
        }
        let State::Open { reading, .. } = &mut link.state else { return };
        *reading = take_half(reading, |stream| {
            tasks.begin(async move {
                let (stream, messages, end) = link::read(stream).await;
                Outcome::Read(relay, connection, stream, messages, end)
            })
        });
    }

    fn disconnect(
        &mut self,
        relay: &RelayUrl,
        connection: ConnectionId,
        close: Option<CloseFrame>,
    ) {
        if self.link(relay, connection).is_none() {
            return;
        }
        let sink = self.links.remove(relay).and_then(Link::abandon);
        if let (Some(sink), Some(close)) = (sink, close) {
            self.begin(async move {
                link::farewell(sink, close).await;
                Outcome::Farewell
            });
        }
    }

    /// One alarm for the earliest deadline. One that rings too early does nothing and is set anew.
    fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        let Some(next) = self.pool.next_deadline() else { return };
        match self.alarm {
            Some((at, _)) if at <= next => return,
            Some((_, alarm)) => {
                ctx.cancel_future(alarm);
            }
            None => {}
        }
        let alarm = ctx.run_later(self.clock.until(next), |actor, ctx| {
            actor.alarm = None;
            let effects = actor.pool.timer(actor.clock.now());
            actor.perform(effects, ctx);
        });
        self.alarm = Some((next, alarm));
    }

    fn open_req(
        &mut self,
        message: OpenReqT,
        ctx: &mut Context<Self>,
    ) -> Result<RelayEdge, Refusal> {
        let (relays, effects) = self.pool.open(self.clock.now(), edge::open_request(message)?)?;
        self.perform(effects, ctx);
        let relays = relays.iter().map(ToString::to_string).collect();
        Ok(RelayEdge::encode(ReqOpenedT { relays }))
    }

    fn close_req(&mut self, message: &CloseReqT, ctx: &mut Context<Self>) -> RelayEdge {
        let (known, effects) = self.pool.close(self.clock.now(), &message.subscription);
        self.perform(effects, ctx);
        RelayEdge::encode(ReqClosedT { known })
    }

    fn open_neg(
        &mut self,
        message: OpenNegT,
        ctx: &mut Context<Self>,
    ) -> Result<oneshot::Receiver<Reconciled>, Refusal> {
        let request = edge::reconcile_request(message)?;
        let (reconcile, effects) = self.pool.reconcile(self.clock.now(), request)?;
        let (asker, answer) = oneshot::channel();
        self.reconciling.insert(reconcile, asker);
        self.perform(effects, ctx);
        Ok(answer)
    }

    fn send_event(
        &mut self,
        message: SendEventT,
        ctx: &mut Context<Self>,
    ) -> Result<oneshot::Receiver<Vec<Receipt>>, Refusal> {
        let request = edge::publish_request(message)?;
        let (publish, effects) = self.pool.publish(self.clock.now(), request)?;
        let (asker, answer) = oneshot::channel();
        self.waiting.insert(publish, asker);
        self.perform(effects, ctx);
        Ok(answer)
    }
}

/// Gives a half that is at rest to a task; one that is in use stays as it is.
fn take_half<T>(
    half: &mut Half<T>,
    begin: impl FnOnce(T) -> futures::future::AbortHandle,
) -> Half<T> {
    // The stand-in is never seen: the caller writes the result over it.
    let idle = futures::future::AbortHandle::new_pair().0;
    match std::mem::replace(half, Half::Busy(idle)) {
        Half::Idle(half) => Half::Busy(begin(half)),
        busy => busy,
    }
}

impl Actor for Connections {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (tasks, runner) = Tasks::new();
        self.tasks = Some(tasks);
        ctx.spawn(runner);
        let first = std::mem::take(&mut self.first);
        self.perform(first, ctx);
    }

    /// Nothing waits any more: close frames are sent if the socket takes them at once.
    ///
    /// After a failure there is no farewell: the next incarnation goes on with what is unfinished.
    fn stopping(&mut self, ctx: &mut Self::Context) -> Running {
        if !self.stop_signal.is_set() {
            return Running::Stop;
        }
        let mut effects = self.pool.shut_down(self.clock.now());
        for effect in &mut effects {
            if let Effect::Disconnect { relay, close, .. } = effect
                && let (Some(link), Some(close)) = (self.links.remove(relay), close.take())
                && let Some(sink) = link.abandon()
                && link::farewell(sink, close).now_or_never().is_none()
            {
                tracing::debug!(%relay, "closed without a close frame");
            }
        }
        self.perform(effects, ctx);
        Running::Stop
    }
}

impl Owner for Connections {
    type Outcome = Outcome;

    /// A stop waits for the answers that are due; relays do not have for ever then.
    fn turned(&mut self, ctx: &mut Context<Self>) {
        if !self.in_a_hurry && self.stop_signal.is_set() {
            self.in_a_hurry = true;
            let effects = self.pool.hurry(self.clock.now(), STOP_GRACE);
            self.perform(effects, ctx);
        }
    }

    fn ended(&mut self, outcome: Outcome, ctx: &mut Context<Self>) {
        let now = self.clock.now();
        let effects = match outcome {
            Outcome::Dialled(relay, connection, result) => {
                if self.link(&relay, connection).is_none() {
                    return;
                }
                match result {
                    Ok(socket) => {
                        tracing::info!(%relay, "connected");
                        self.links.insert(relay.clone(), Link::open(connection, socket));
                        self.pool.dialled(now, &relay, connection, Ok(()))
                    }
                    Err(error) => {
                        tracing::debug!(%relay, %error, "not connected");
                        self.links.remove(&relay);
                        self.pool.dialled(now, &relay, connection, Err(&error))
                    }
                }
            }
            Outcome::Read(relay, connection, stream, messages, end) => {
                let Some(link) = self.link(&relay, connection) else { return };
                if let State::Open { reading, .. } = &mut link.state {
                    *reading = Half::Idle(stream);
                }
                let mut effects = self.pool.received(now, &relay, connection, messages);
                if let Some(error) = end {
                    tracing::info!(%relay, %error, "connection ended");
                    effects.extend(self.pool.lost(now, &relay, connection, &error));
                }
                effects
            }
            Outcome::Written(relay, connection, sink, result) => {
                let Some(link) = self.link(&relay, connection) else { return };
                if let State::Open { writing, .. } = &mut link.state {
                    *writing = Half::Idle(sink);
                }
                match result {
                    Ok(count) => {
                        self.pool.written(&relay, connection, count);
                        self.write_on(relay, connection);
                        return;
                    }
                    Err(error) => {
                        tracing::info!(%relay, %error, "connection ended");
                        self.pool.lost(now, &relay, connection, &error)
                    }
                }
            }
            Outcome::Delivered(relay, delivery, losses) => {
                self.pool.delivered(now, &relay, delivery, &losses)
            }
            Outcome::Informed(relay, document) => {
                self.pool.information(now, &relay, document.as_deref())
            }
            Outcome::Signed(relay, request, result) => {
                let result = result.as_ref().map_err(|failure| *failure);
                self.pool.signed(now, &relay, request, result)
            }
            Outcome::Farewell => return,
        };
        self.perform(effects, ctx);
    }
}

impl Handler<RelayEdge> for Connections {
    type Result = ResponseFuture<RelayEdge>;

    fn handle(&mut self, message: RelayEdge, ctx: &mut Self::Context) -> Self::Result {
        let answer = match message.decode() {
            Ok(RelayEdgeMessageT::OpenReq(message)) => self.open_req(*message, ctx),
            Ok(RelayEdgeMessageT::CloseReq(message)) => Ok(self.close_req(&message, ctx)),
            Ok(RelayEdgeMessageT::SendEvent(message)) => match self.send_event(*message, ctx) {
                Ok(receipts) => {
                    return Box::pin(async move {
                        receipts.await.map_or_else(|_| edge::unfinished(), edge::receipts)
                    });
                }
                Err(refusal) => Err(refusal),
            },
            Ok(RelayEdgeMessageT::OpenNeg(message)) => match self.open_neg(*message, ctx) {
                Ok(result) => {
                    return Box::pin(async move {
                        result.await.map_or_else(|_| edge::cut_short(), edge::reconciled)
                    });
                }
                Err(refusal) => Err(refusal),
            },
            Ok(_) => Err(Refusal::Unexpected),
            Err(error) => Err(error.into()),
        };
        Box::pin(std::future::ready(answer.unwrap_or_else(|refusal| refusal.answer())))
    }
}
