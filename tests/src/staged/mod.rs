//! A relay in this process, on a real socket, whose bad habits the test chooses.
//!
//! Without a habit it keeps to NIP-01: it stores what it is given, answers each REQ with what
//! matches and one EOSE, and sends on what comes later. Each bad deed is counted when it is done,
//! so that a test can ask whether the other side counted it too. A habit that breaks connections
//! only breaks the first [`BAD_CONNECTIONS`]: in the end every relay serves what it has.

mod connection;
mod habit;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use nipworker_protocol::{Event, Filter};
use rand::{SeedableRng, rngs::SmallRng};
use tokio::{
    net::TcpListener,
    sync::broadcast,
    task::{JoinHandle, JoinSet},
};

pub use habit::{BAD_CONNECTIONS, Habit};

/// Live events that a connection may lag behind.
const LIVE_EVENTS: usize = 4_096;

/// The relay. It ends when it is dropped.
#[derive(Debug)]
pub struct Staged {
    address: SocketAddr,
    stage: Arc<Stage>,
    task: JoinHandle<()>,
}

/// What a relay's connections share.
#[derive(Debug)]
struct Stage {
    habits: Vec<Habit>,
    /// Events that it has and serves.
    events: Mutex<Vec<Arc<Event>>>,
    /// Events of others, to be abused by habits.
    props: Props,
    live: broadcast::Sender<Arc<Event>>,
    deeds: Mutex<BTreeMap<Habit, u64>>,
    connections: AtomicU32,
    seed: u64,
}

/// Genuine events that a relay does not serve, as material of its deeds.
#[derive(Debug, Clone, Default)]
pub struct Props {
    /// Events that nobody asks for.
    pub unasked: Vec<Event>,
    /// Events that others serve, with the ids of which it lies.
    pub known: Vec<Event>,
    /// Events that it makes false ones of.
    pub to_forge: Vec<Event>,
    /// One that is larger than any client takes.
    pub huge: Vec<Event>,
}

impl Staged {
    /// A relay that keeps to the rules.
    ///
    /// # Panics
    /// When there is no port left.
    pub async fn honest() -> Self {
        Self::start(Vec::new(), Props::default(), 0).await
    }

    /// A relay with these habits. What is left to chance follows from `seed`.
    ///
    /// # Panics
    /// When there is no port left.
    pub async fn start(habits: Vec<Habit>, props: Props, seed: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let stage = Arc::new(Stage {
            habits,
            events: Mutex::default(),
            props,
            live: broadcast::Sender::new(LIVE_EVENTS),
            deeds: Mutex::default(),
            connections: AtomicU32::new(0),
            seed,
        });
        let shared = Arc::clone(&stage);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(connection::serve(socket, Arc::clone(&shared)));
            }
        });
        Self { address, stage, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Stores events and sends them to who asked.
    pub fn give(&self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.stage.take(event);
        }
    }

    /// Everything that it has.
    pub fn events(&self) -> Vec<Arc<Event>> {
        lock(&self.stage.events).clone()
    }

    /// What it has done, and how often.
    pub fn deeds(&self) -> BTreeMap<Habit, u64> {
        lock(&self.stage.deeds).clone()
    }

    /// Its habits.
    pub fn habits(&self) -> &[Habit] {
        &self.stage.habits
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stage {
    fn has(&self, habit: Habit) -> bool {
        self.habits.contains(&habit)
    }

    fn did(&self, habit: Habit) {
        *lock(&self.deeds).entry(habit).or_default() += 1;
    }

    fn take(&self, event: Event) {
        let event = Arc::new(event);
        let mut events = lock(&self.events);
        if events.iter().any(|known| known.id == event.id) {
            return;
        }
        events.push(Arc::clone(&event));
        // Within the lock: a REQ that comes now sees the event stored or live, and not neither.
        // It fails when nobody is connected.
        drop(self.live.send(event));
    }

    /// What is stored and matches, newest first, and a receiver of all that comes after it.
    fn stored(&self, filters: &[Filter]) -> Vec<Arc<Event>> {
        let mut found: Vec<Arc<Event>> = lock(&self.events)
            .iter()
            .filter(|event| Filter::any_matches(filters, event))
            .cloned()
            .collect();
        found.sort_by(|a, b| b.created_at.cmp(&a.created_at).then(a.id.cmp(&b.id)));
        found
    }

    /// The number of a new connection and its chance.
    fn connection(&self) -> (u32, SmallRng) {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        (number, SmallRng::seed_from_u64(self.seed ^ u64::from(number)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
