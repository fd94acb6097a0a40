//! A store that the first release wrote is read by this one, also when bringing it up to date was
//! interrupted.

#![allow(clippy::unwrap_used)]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use nipworker_protocol::{Filter, Verified};
use nipworker_store::{
    EventStore, KvError, KvSnapshot, KvStats, KvStore, MemoryKv, OrderedKv, PageRequest,
    PutOutcome, StoreError, WriteBatch,
    conformance::samples::{NOW, author, event, note},
};

/// What the first release had in its database after it took [`put`] in: a key and a value in hex
/// on each line.
const DUMP: &str = include_str!("data/schema-1.hex");

fn restored() -> Arc<MemoryKv> {
    let kv = MemoryKv::new();
    let mut batch = WriteBatch::new();
    for line in DUMP.lines() {
        let (key, value) = line.split_once(' ').unwrap();
        batch.put(hex::decode(key).unwrap(), hex::decode(value).unwrap());
    }
    kv.commit(&batch).unwrap();
    Arc::new(kv)
}

/// What was put then.
fn put() -> Vec<Verified> {
    let long = "x".repeat(100);
    let gone = note(1, NOW - 50, "gone");
    let gone_id = gone.id.to_hex();
    let later = (NOW + 1000).to_string();
    let address = format!("30023:{}:old", author(2));
    let named = author(3).to_hex();
    vec![
        gone,
        note(1, NOW - 40, "quote \" and \u{1f980}\n\u{1}"),
        event(
            1,
            NOW - 39,
            1,
            &[
                &["e", &gone_id],
                &["p", &named],
                &["t", "nostr"],
                &["t", "nostr"],
                &["T", &long],
                &["r", ""],
            ],
            "tags",
        ),
        event(1, NOW - 38, 1, &[&["expiration", &later], &["t", "nostr"]], "mortal"),
        event(1, NOW - 37, 5, &[&["e", &gone_id]], "please"),
        event(2, NOW - 36, 0, &[], "{\"name\":\"old\"}"),
        event(2, NOW - 35, 0, &[], "{\"name\":\"two\"}"),
        event(2, NOW - 34, 30_023, &[&["d", "old"]], "an article"),
        event(2, NOW - 33, 30_023, &[&["d", &long], &["title", "t"]], "another"),
        event(2, NOW - 30, 5, &[&["a", &address], &["k", "30023"]], ""),
        event(
            3,
            NOW - 29,
            7,
            &[&["e", &gone_id, "wss://r", "x"], &["p", &author(1).to_hex()]],
            "+",
        ),
        event(3, -5, 9735, &[&[], &["amount"]], ""),
        event(3, NOW - 28, 10_002, &[&["r", "wss://relay.example"]], ""),
    ]
}

/// Everything that the first release kept is there, and nothing else.
fn is_whole(store: &KvStore) {
    let mut expected = put();
    let lost: Vec<Verified> = [0, 5, 7].iter().map(|index| expected[*index].clone()).collect();
    expected.retain(|event| !lost.contains(event));
    expected.sort_by_key(|event| (std::cmp::Reverse(event.created_at), event.id));
    let page = store.query(&[Filter::new()], &PageRequest::default(), NOW).unwrap();
    assert_eq!(page.unpack(), expected);
    let tagged = Filter::new().tag('t', ["nostr"]).kinds([1]);
    let page = store.query(&[tagged], &PageRequest::default(), NOW).unwrap();
    assert_eq!(page.events.len(), 2);
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!(store.stats().unwrap().events, expected.len() as u64);
    assert_eq!(store.put_batch(&lost[..1], NOW).unwrap(), [PutOutcome::Deleted]);
    assert_eq!(store.put_batch(&lost[2..], NOW).unwrap(), [PutOutcome::Deleted]);
    assert!(matches!(
        store.put_batch(&lost[1..2], NOW).unwrap()[..],
        [PutOutcome::Superseded { .. }]
    ));
    assert_eq!(store.sweep_expired(NOW + 1000).unwrap(), 1);
}

#[test]
fn a_store_of_the_first_release_is_brought_up_to_date_when_it_is_opened() {
    let kv = restored();
    drop(KvStore::open_shared(kv.clone()).unwrap());
    is_whole(&KvStore::open_shared(kv).unwrap());
}

/// Commits so many times, then fails.
struct Failing {
    kv: Arc<MemoryKv>,
    commits_left: AtomicUsize,
}

impl OrderedKv for Failing {
    fn name(&self) -> &'static str {
        self.kv.name()
    }

    fn snapshot(&self) -> Result<Box<dyn KvSnapshot>, KvError> {
        self.kv.snapshot()
    }

    fn commit(&self, batch: &WriteBatch) -> Result<(), KvError> {
        let left = self
            .commits_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_err() {
            let source = std::io::ErrorKind::StorageFull.into();
            return Err(KvError::Full { during: "committing", source });
        }
        self.kv.commit(batch)
    }

    fn stats(&self) -> Result<KvStats, KvError> {
        self.kv.stats()
    }

    fn flush(&self) -> Result<(), KvError> {
        self.kv.flush()
    }
}

#[test]
fn an_interrupted_migration_goes_on_when_the_store_is_opened_again() {
    let mut interrupted = 0;
    for commits in 0.. {
        let kv = restored();
        let commits_left = AtomicUsize::new(commits);
        match KvStore::open(Failing { kv: kv.clone(), commits_left }) {
            Ok(_) => break,
            Err(error) => assert!(matches!(error, StoreError::Kv(KvError::Full { .. })), "{error}"),
        }
        interrupted += 1;
        is_whole(&KvStore::open_shared(kv).unwrap());
    }
    assert!(interrupted >= 3, "interrupted {interrupted} times");
}
