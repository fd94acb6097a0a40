//! Requests that name no relay, with relays in memory that note what they are asked.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{PATIENCE, TIME, eventually};
use futures::StreamExt;
use nipworker_core::{
    ClientConfig, NostrClient, PrivateKeySigner, PublishOptions, QueryOptions, RoutingMode,
    SecretKey, SubscriptionEvent,
    protocol::{
        ClientMessage, Event, Filter, PublicKey, RelayMessage, RelayUrl, Tag, UnsignedEvent,
    },
    transport::memory::{ClientFrame, MemoryNetwork},
};

/// Somebody who writes.
struct Person(PrivateKeySigner);

impl Person {
    fn new() -> Self {
        Self(PrivateKeySigner::new(SecretKey::generate().unwrap()))
    }

    fn key(&self) -> PublicKey {
        self.0.key()
    }

    fn write(&self, kind: u16, tags: Vec<Tag>, text: &str) -> Event {
        self.0.sign_now(UnsignedEvent::new(self.key(), TIME, kind, tags, text)).unwrap()
    }

    fn note(&self, text: &str) -> Event {
        self.write(1, vec![], text)
    }

    /// A relay list: `write` and `read` relays.
    fn list(&self, write: &[&Relay], read: &[&Relay]) -> Event {
        let tag = |relay: &&Relay, side: &str| {
            Tag::new(["r".to_owned(), relay.url.to_string(), side.to_owned()])
        };
        let write = write.iter().map(|relay| tag(relay, "write"));
        let tags = write.chain(read.iter().map(|relay| tag(relay, "read")));
        self.write(10_002, tags.collect(), "")
    }
}

/// A relay that keeps what it gets and notes the filters that it is asked.
#[derive(Clone)]
struct Relay {
    url: RelayUrl,
    stored: Arc<Mutex<Vec<Event>>>,
    asked: Arc<Mutex<Vec<Filter>>>,
}

impl Relay {
    fn listen(network: &MemoryNetwork, name: &str, stored: Vec<Event>) -> Self {
        let url = RelayUrl::parse(&format!("ws://{name}.test")).unwrap();
        let relay = Self { url, stored: Arc::new(Mutex::new(stored)), asked: Arc::default() };
        let mut listener = network.listen(&relay.url);
        let serving = relay.clone();
        tokio::spawn(async move {
            loop {
                let mut peer = listener.accept().await;
                let relay = serving.clone();
                tokio::spawn(async move {
                    while let Some(ClientFrame::Text(frame)) = peer.receive().await {
                        for reply in relay.replies(&frame) {
                            if peer.send_text(reply).await.is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
        relay
    }

    fn replies(&self, frame: &str) -> Vec<String> {
        let mut stored = self.stored.lock().unwrap();
        match ClientMessage::parse(frame).unwrap() {
            ClientMessage::Req { subscription, filters } => {
                self.asked.lock().unwrap().extend(filters.iter().cloned());
                let found = stored.iter().filter(|event| Filter::any_matches(&filters, event));
                found
                    .map(|event| RelayMessage::event_frame(&subscription, &event.to_json()))
                    .chain([RelayMessage::Eose {
                        subscription: subscription.clone(),
                        stored: Default::default(),
                    }
                    .to_frame()])
                    .collect()
            }
            ClientMessage::Event(event) => {
                let event: Event = serde_json::from_str(event.get()).unwrap();
                let id = event.id;
                stored.push(event);
                vec![RelayMessage::Ok { id, accepted: true, message: String::new() }.to_frame()]
            }
            _ => Vec::new(),
        }
    }

    /// The authors of notes that it was asked for.
    fn asked_for(&self) -> BTreeSet<PublicKey> {
        let asked = self.asked.lock().unwrap();
        let notes = asked.iter().filter(|filter| filter.kinds.as_deref() == Some(&[1]));
        notes.flat_map(|filter| filter.authors.clone().unwrap_or_default()).collect()
    }

    fn has(&self, event: &Event) -> bool {
        self.stored.lock().unwrap().iter().any(|stored| stored.id == event.id)
    }
}

fn config(home: &Relay) -> ClientConfig {
    let mut config = ClientConfig { relays: vec![home.url.clone()], ..ClientConfig::default() };
    config.miner.threads = 1;
    config.miner.kernel = "portable".to_owned();
    config.crypto.threads = 1;
    config.routing.mode = RoutingMode::Outbox;
    config.routing.allow_private = true;
    config
}

async fn start(network: &MemoryNetwork, config: ClientConfig) -> NostrClient {
    let builder = NostrClient::builder().config(config);
    builder.transport(Arc::new(network.clone())).build().await.unwrap()
}

async fn found(client: &NostrClient, filters: Vec<Filter>, options: QueryOptions) -> Vec<String> {
    let stream = client.query_with(filters, options).await.unwrap();
    let contents = stream.filter_map(async |item| match item {
        SubscriptionEvent::Event { event, .. } => Some(event.content.clone()),
        _ => None,
    });
    let mut contents: Vec<String> =
        tokio::time::timeout(PATIENCE, contents.collect()).await.unwrap();
    contents.sort();
    contents
}

#[tokio::test]
async fn a_feed_asks_each_relay_for_its_own_authors_and_the_others_at_home() {
    let network = MemoryNetwork::new();
    let (anna, ben, unlisted) = (Person::new(), Person::new(), Person::new());
    let at_a = Relay::listen(&network, "a", vec![anna.note("anna"), ben.note("not asked for")]);
    let at_b = Relay::listen(&network, "b", vec![ben.note("ben"), anna.note("nor this")]);
    let lists = vec![anna.list(&[&at_a], &[]), ben.list(&[&at_b], &[])];
    let home = Relay::listen(&network, "home", [lists, vec![unlisted.note("unlisted")]].concat());
    let client = start(&network, config(&home)).await;
    let feed = || {
        let authors = [anna.key(), ben.key(), unlisted.key()];
        vec![Filter::new().kinds([1]).authors(authors)]
    };
    let all = found(&client, feed(), QueryOptions::default()).await;
    assert_eq!(all, ["anna", "ben", "unlisted"]);
    assert_eq!(at_a.asked_for(), [anna.key()].into());
    assert_eq!(at_b.asked_for(), [ben.key()].into());
    assert_eq!(home.asked_for(), [unlisted.key()].into());
    let status = client.status().routing.unwrap();
    assert_eq!((status.counts.lists, status.lookups), (2, 1));
    // Known now, and who was not found is not looked for again at once.
    found(&client, feed(), QueryOptions::default()).await;
    assert_eq!(client.status().routing.unwrap().lookups, 1);

    // Relays that a request names are asked for all, and no others are.
    let other = Relay::listen(&network, "other", vec![]);
    let named = QueryOptions { relays: Some(vec![other.url.clone()]), ..QueryOptions::default() };
    found(&client, feed(), named).await;
    assert_eq!(other.asked_for().len(), 3);
    client.close().await;
}

#[tokio::test]
async fn an_event_goes_to_its_authors_relays_and_the_inboxes_of_those_it_mentions() {
    let network = MemoryNetwork::new();
    let (me, friend) = (Person::new(), Person::new());
    let [mine, inbox, named] =
        ["mine", "inbox", "named"].map(|name| Relay::listen(&network, name, vec![]));
    let lists = vec![me.list(&[&mine], &[]), friend.list(&[], &[&inbox])];
    let home = Relay::listen(&network, "home", lists);
    let client = start(&network, config(&home)).await;
    let tags = vec![Tag::new(["p".to_owned(), friend.key().to_string()])];
    let note = me.write(1, tags, "hello");
    let report = client.publish(note.clone()).await.unwrap();
    let told: BTreeMap<_, _> =
        report.receipts.iter().map(|receipt| (receipt.relay.clone(), receipt.status)).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(report.accepted(), 2);
    assert!(mine.has(&note) && inbox.has(&note) && !home.has(&note));

    let options =
        PublishOptions { relays: Some(vec![named.url.clone()]), ..PublishOptions::default() };
    let other = me.note("elsewhere");
    client.publish_with(other.clone(), options).await.unwrap();
    assert!(named.has(&other) && !mine.has(&other), "named relays win");
    client.close().await;
}

#[tokio::test]
async fn junk_is_not_dialled_and_who_lists_only_that_is_asked_for_at_home() {
    let network = MemoryNetwork::new();
    let person = Person::new();
    let junk = Relay::listen(&network, "junk", vec![person.note("from a bad place")]);
    let list = person.list(&[&junk], &[]);
    let home = Relay::listen(&network, "home", vec![list, person.note("at home")]);
    let mut config = config(&home);
    config.routing.allow_private = false;
    let client = start(&network, config).await;
    let feed = vec![Filter::new().kinds([1]).authors([person.key()])];
    assert_eq!(found(&client, feed, QueryOptions::default()).await, ["at home"]);
    assert!(junk.asked.lock().unwrap().is_empty());
    let refused = client.status().routing.unwrap().counts.refused;
    assert!(refused["not_secure"] >= 1, "{refused:?}");
    client.close().await;
}

#[tokio::test]
async fn hundreds_of_listed_relays_bring_in_no_more_than_the_bound() {
    let network = MemoryNetwork::new();
    let people: Vec<Person> = (0..30).map(|_| Person::new()).collect();
    let mut stored = Vec::new();
    for (number, person) in people.iter().enumerate() {
        let own: Vec<Tag> = (0..20)
            .map(|n| Tag::new(["r".to_owned(), format!("ws://r{number}-{n}.test")]))
            .collect();
        stored.push(person.write(10_002, own, ""));
    }
    let home = Relay::listen(&network, "home", stored);
    let mut config = config(&home);
    config.routing.max_relays = 5;
    config.connections.eose_deadline = Duration::from_millis(300);
    let client = start(&network, config).await;
    let mut open = Vec::new();
    for some in people.chunks(10) {
        let feed = Filter::new().kinds([1]).authors(some.iter().map(Person::key));
        let mut live = client.subscribe(vec![feed]).await.unwrap();
        tokio::time::timeout(PATIENCE, async {
            while live.next().await != Some(SubscriptionEvent::EndOfStored) {}
        })
        .await
        .unwrap();
        let brought = client.status().relays.iter().filter(|relay| !relay.configured).count();
        assert!(brought <= 5, "{brought} relays");
        open.push(live);
    }
    eventually("the bound holds", || client.status().relays.len() <= 6).await;
    assert_eq!(client.status().routing.unwrap().counts.lists, 30);
    assert!(client.status().routing.unwrap().counts.without_place > 0);
    client.close().await;
}
