//! What the router learns, and from where: relay lists (kind 10002) that are stored, read, published,
//! or looked for when a request needs them, and the relays that tags name.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use futures::StreamExt;
use nipworker_pipeline::{Plan, kinds::ParsedKind};
use nipworker_protocol::{Event, Filter, PublicKey, RelayUrl};
use nipworker_relay::routing::{LISTS_MAX, Router, RouterCounts, Wanted};
use serde::{Deserialize, Serialize};

use crate::{ClientConfig, ClientError, NostrClient, client::How};

/// The kind of a relay list.
const RELAY_LIST: u16 = 10_002;
/// Authors that one request looks for; the others are asked for at the configured relays.
const LOOKED_UP_MAX: usize = 1_000;

/// Where requests go, and what is known for that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingStatus {
    /// What the router knows and has refused.
    #[serde(flatten)]
    pub counts: RouterCounts,
    /// Times that relays were asked for lists.
    pub lookups: u64,
}

/// The router and what belongs to it.
#[derive(Debug)]
pub(crate) struct Routing {
    pub(crate) router: Arc<Router>,
    start: Instant,
    lookups: AtomicU64,
    asked: Vec<RelayUrl>,
}

impl Routing {
    pub(crate) fn new(config: &ClientConfig) -> Self {
        let mut asked = config.relays.clone();
        asked.extend(config.routing.lookup_relays.iter().cloned());
        Self {
            router: Arc::new(Router::new(config.routing.domain())),
            start: Instant::now(),
            lookups: AtomicU64::new(0),
            asked,
        }
    }

    pub(crate) fn status(&self) -> RoutingStatus {
        RoutingStatus {
            counts: self.router.counts(),
            lookups: self.lookups.load(Ordering::Relaxed),
        }
    }
}

/// Takes from an event what it says about relays.
pub(crate) fn learn(router: &Router, event: &Event) {
    if event.kind == RELAY_LIST {
        if let Ok(ParsedKind::RelayList(list)) = ParsedKind::of(event) {
            let relays: Vec<_> =
                list.relays.into_iter().map(|relay| (relay.url, relay.read, relay.write)).collect();
            router.learn(event.pubkey, event.created_at, &relays);
            router.not_urls(list.skipped);
        }
        return;
    }
    for (person, relay) in hints(event) {
        match RelayUrl::parse(relay) {
            Ok(relay) => router.hint(person, &relay),
            Err(_) => router.not_urls(1),
        }
    }
}

/// Whose events the tags say are at which relay: `p` names a person and a relay, `e` and `q` an
/// event, a relay and (last) its author, `a` an address with its author and a relay.
fn hints(event: &Event) -> Vec<(PublicKey, &str)> {
    let mut hints = Vec::new();
    for tag in &event.tags {
        let Some(relay) = tag.get(2).filter(|relay| !relay.is_empty()) else { continue };
        let person = match tag.get(0) {
            Some("p" | "P") => tag.get(1).and_then(|key| key.parse().ok()),
            Some("e" | "E") => tag.get(4).or_else(|| tag.get(3)).and_then(|key| key.parse().ok()),
            Some("q") => tag.get(3).and_then(|key| key.parse().ok()),
            Some("a" | "A") => {
                tag.get(1).and_then(|address| address.split(':').nth(1)?.parse().ok())
            }
            _ => None,
        };
        hints.extend(person.map(|person| (person, relay)));
    }
    hints
}

impl NostrClient {
    /// Tells routing that somebody's events may be at a relay, such as an `nprofile` or a `nevent`
    /// says. It counts while no list of theirs is known; the last few of each person are kept. Does
    /// nothing where `routing.mode` is off.
    pub fn hint_relay(&self, person: PublicKey, relay: &RelayUrl) {
        if let Some(routing) = self.routing() {
            routing.router.hint(person, relay);
        }
    }

    /// Learns the lists that are stored, in the background.
    pub(crate) async fn begin_to_learn(&self) {
        if self.routing().is_none() {
            return;
        }
        let filters = vec![Filter::new().kinds([RELAY_LIST]).limit(LISTS_MAX)];
        let plan = Plan { use_relays: false, close_on_eose: true, ..Plan::default() };
        match self.open(filters, How::whole(plan)).await {
            // What is read is learned from.
            Ok(stored) => drop(tokio::spawn(stored.for_each(|_| async {}))),
            Err(error) => tracing::warn!(%error, "stored relay lists were not read"),
        }
    }

    pub(crate) fn learn_from(&self, event: &Event) {
        if let Some(routing) = self.routing() {
            learn(&routing.router, event);
        }
    }

    /// Looks for the lists of those whom `filters` are about.
    pub(crate) async fn look_up_for(&self, filters: &[Filter]) {
        if let Some(routing) = self.routing() {
            let wanted = routing.router.wanted_for(routing.start.elapsed(), filters);
            self.look_up(wanted).await;
        }
    }

    /// Looks for the lists of those who have to do with an event.
    pub(crate) async fn look_up_of(&self, event: &Event) {
        if let Some(routing) = self.routing() {
            let wanted = routing.router.wanted_of(routing.start.elapsed(), event);
            self.look_up(wanted).await;
        }
    }

    /// Who is not known is waited for; newer lists of the others come when they come.
    async fn look_up(&self, wanted: Wanted) {
        let Wanted { unknown, stale } = wanted;
        if !stale.is_empty() {
            let client = self.clone();
            tokio::spawn(async move { client.look_for(stale).await });
        }
        self.look_for(unknown).await;
    }

    async fn look_for(&self, mut people: Vec<PublicKey>) {
        let Some(routing) = self.routing() else { return };
        people.truncate(LOOKED_UP_MAX);
        if people.is_empty() || routing.asked.is_empty() {
            return;
        }
        routing.lookups.fetch_add(1, Ordering::Relaxed);
        let deadline = self.config().routing.lookup_deadline;
        let answers = tokio::time::timeout(deadline, self.lists_of(routing, &people));
        if let Ok(Err(error)) = answers.await {
            tracing::debug!(%error, "relay lists were not looked for");
        }
        routing.router.looked_for(routing.start.elapsed(), people);
    }

    async fn lists_of(&self, routing: &Routing, people: &[PublicKey]) -> Result<(), ClientError> {
        let filters = vec![Filter::new().kinds([RELAY_LIST]).authors(people.iter().copied())];
        let plan = Plan {
            relays: routing.asked.iter().map(ToString::to_string).collect(),
            use_cache: true,
            use_relays: true,
            close_on_eose: true,
            relay_deadline: Some(self.config().routing.lookup_deadline),
        };
        let found = self.open(filters, How::whole(plan)).await?;
        found.for_each(|_| async {}).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nipworker_protocol::{EventId, Signature, Tag};

    use super::*;

    #[test]
    fn tags_name_the_relays_of_people() {
        let [a, b, c, d] = [1, 2, 3, 4].map(|number| PublicKey::from_bytes([number; 32]));
        let id = "0".repeat(64);
        let tags = vec![
            Tag::new(["p", &a.to_string(), "wss://a.example"]),
            Tag::new(["e", &id, "wss://b.example", "root", &b.to_string()]),
            Tag::new(["q", &id, "wss://c.example", &c.to_string()]),
            Tag::new(["a", &format!("30023:{d}:x"), "wss://d.example"]),
            Tag::new(["p", &a.to_string()]),
            Tag::new(["p", &a.to_string(), ""]),
            Tag::new(["p", "nobody", "wss://e.example"]),
            Tag::new(["e", &id, "wss://f.example"]),
            Tag::new(["r", "wss://g.example"]),
        ];
        let event = Event {
            id: EventId::from_bytes([0; 32]),
            pubkey: a,
            created_at: 0,
            kind: 1,
            tags,
            content: String::new(),
            sig: Signature::from_bytes([0; 64]),
        };
        let expected = [
            (a, "wss://a.example"),
            (b, "wss://b.example"),
            (c, "wss://c.example"),
            (d, "wss://d.example"),
        ];
        assert_eq!(hints(&event), expected);
    }
}
