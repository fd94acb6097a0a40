//! One event that makes the store panic, among many that do not.
#![allow(clippy::unwrap_used)]

use std::{ops::ControlFlow, sync::Arc};

use nipworker_core::{
    CheckReport, EventStore, NostrClient, PutStatus, StoreStats,
    protocol::{Event, EventId, Filter, PackedEvent, PublicKey, UnsignedEvent, Verified},
    store::{KvStore, MemoryKv, Page, PageRequest, PutOutcome, StoreError},
};
use nipworker_signer::PrivateKeySigner;

const POISON: &str = "injected: poison";

/// Panics over one text.
struct Trapped(KvStore);

impl EventStore for Trapped {
    fn put_packed(
        &self,
        events: &[Verified<PackedEvent>],
        now: i64,
    ) -> Result<Vec<PutOutcome>, StoreError> {
        assert!(!events.iter().any(|event| event.view().content() == POISON), "{POISON}");
        self.0.put_packed(events, now)
    }

    fn query(&self, f: &[Filter], p: &PageRequest, now: i64) -> Result<Page, StoreError> {
        self.0.query(f, p, now)
    }

    fn count(&self, filters: &[Filter], now: i64) -> Result<u64, StoreError> {
        self.0.count(filters, now)
    }

    fn get(&self, id: &EventId, now: i64) -> Result<Option<Verified<PackedEvent>>, StoreError> {
        self.0.get(id, now)
    }

    fn sweep_some(&self, now: i64, max: usize) -> Result<u64, StoreError> {
        self.0.sweep_some(now, max)
    }

    fn vanish(&self, author: &PublicKey, until: i64) -> Result<u64, StoreError> {
        self.0.vanish(author, until)
    }

    fn delete(&self, filters: &[Filter], now: i64) -> Result<u64, StoreError> {
        self.0.delete(filters, now)
    }

    fn for_each_oldest_first(
        &self,
        now: i64,
        visit: &mut dyn FnMut(Verified<PackedEvent>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.0.for_each_oldest_first(now, visit)
    }

    fn check(&self) -> Result<CheckReport, StoreError> {
        self.0.check()
    }

    fn stats(&self) -> Result<StoreStats, StoreError> {
        self.0.stats()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.0.flush()
    }
}

#[tokio::test]
async fn an_event_that_makes_the_store_panic_takes_none_of_its_neighbours_along() {
    let store = Arc::new(Trapped(KvStore::open(MemoryKv::new()).unwrap()));
    let client = NostrClient::builder().store(store).build().await.unwrap();
    let signer = PrivateKeySigner::generate().unwrap();
    let sign = |text: &str, at: i64| -> Event {
        signer.sign_now(UnsignedEvent::new(signer.key(), at, 1, vec![], text)).unwrap()
    };
    let mut events: Vec<Event> = (0..60).map(|n| sign(&n.to_string(), 1_700_000_000 + n)).collect();
    events.insert(23, sign(POISON, 1_700_000_000));
    let outcomes = client.import(events.iter().map(Event::to_json).collect()).await.unwrap();
    for (event, outcome) in events.iter().zip(&outcomes) {
        let expected = if event.content == POISON { PutStatus::Failed } else { PutStatus::Stored };
        assert_eq!((outcome.id, outcome.status), (event.id, expected), "{outcome:?}");
        if expected == PutStatus::Failed {
            assert!(outcome.reason.contains(POISON), "{outcome:?}");
        }
    }
    assert_eq!(client.count(vec![Filter::new()]).await.unwrap(), 60);
    client.close().await;
}
