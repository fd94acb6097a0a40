//! One event that makes the store panic, among many that do not.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use nipworker_core::{
    NostrClient, PutStatus,
    protocol::{Event, Filter, UnsignedEvent},
    store::{KvError, KvSnapshot, KvStats, KvStore, MemoryKv, OrderedKv, WriteBatch},
};
use nipworker_signer::PrivateKeySigner;

const POISON: &str = "injected: poison";

/// Panics over one text.
struct Trapped(MemoryKv);

impl OrderedKv for Trapped {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn snapshot(&self) -> Result<Box<dyn KvSnapshot>, KvError> {
        self.0.snapshot()
    }

    fn commit(&self, batch: &WriteBatch) -> Result<(), KvError> {
        let mut values = batch.iter().filter_map(|(_, value)| value);
        let is_poisoned =
            values.any(|value| value.windows(POISON.len()).any(|part| part == POISON.as_bytes()));
        assert!(!is_poisoned, "{POISON}");
        self.0.commit(batch)
    }

    fn stats(&self) -> Result<KvStats, KvError> {
        self.0.stats()
    }

    fn flush(&self) -> Result<(), KvError> {
        self.0.flush()
    }
}

#[tokio::test]
async fn an_event_that_makes_the_store_panic_takes_none_of_its_neighbours_along() {
    let store = Arc::new(KvStore::open(Trapped(MemoryKv::new())).unwrap());
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
