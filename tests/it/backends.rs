//! The stores that a configuration can name, each through the same story.

use std::{fs, path::Path};

use futures::StreamExt;
use nipworker_core::{
    ClientConfig, NostrClient, PutStatus, StartError, StoreBackend, StoreConfig, SubscriptionEvent,
    config::STORE_BYTES_MIN,
    protocol::{Event, EventId, Filter, Tag},
};
use nipworker_tests::{
    database::fresh_schema,
    events::{Author, now},
    place::real_event_lines,
};

/// One process at a time.
const EMBEDDED: [StoreBackend; 2] = [StoreBackend::Redb, StoreBackend::Sled];
/// Several processes at a time.
const SHARED: [StoreBackend; 2] = [StoreBackend::Sqlite, StoreBackend::Postgres];
const IN_FILES: [StoreBackend; 3] = [StoreBackend::Redb, StoreBackend::Sled, StoreBackend::Sqlite];
const DURABLE: [StoreBackend; 4] =
    [StoreBackend::Redb, StoreBackend::Sled, StoreBackend::Sqlite, StoreBackend::Postgres];
const ALL: [StoreBackend; 5] = [
    StoreBackend::Memory,
    StoreBackend::Redb,
    StoreBackend::Sled,
    StoreBackend::Sqlite,
    StoreBackend::Postgres,
];
const OWN_URL: &str = "wss://here.example.com";

fn store(backend: StoreBackend, folder: &Path) -> StoreConfig {
    let mut store = StoreConfig { backend, ..StoreConfig::default() };
    store.path = folder.join(store.place());
    if backend == StoreBackend::Postgres {
        store.url = fresh_schema();
    }
    store
}

async fn client(store: &StoreConfig) -> NostrClient {
    let config = ClientConfig { store: store.clone(), ..ClientConfig::default() };
    NostrClient::new(config).await.unwrap()
}

async fn ids(client: &NostrClient, filter: Filter) -> Vec<EventId> {
    let found = client.query(vec![filter]).await.unwrap();
    found
        .filter_map(async |item| match item {
            SubscriptionEvent::Event { event, .. } => Some(event.id),
            _ => None,
        })
        .collect()
        .await
}

#[tokio::test]
async fn what_was_imported_is_there_after_a_restart_in_the_same_order() {
    for backend in DURABLE {
        let folder = tempfile::tempdir().unwrap();
        let store = store(backend, folder.path());
        let first = client(&store).await;
        let outcomes = first.import(real_event_lines()).await.unwrap();
        assert!(outcomes.iter().any(|outcome| outcome.status == PutStatus::Stored));
        let before = ids(&first, Filter::new()).await;
        assert!(before.len() > 400, "{backend:?}: {}", before.len());
        first.close().await;
        let again = client(&store).await;
        assert_eq!(ids(&again, Filter::new()).await, before, "{backend:?}");
        again.close().await;
        let report = nipworker_core::open_store(&store).unwrap().check().unwrap();
        assert!(report.is_clean(), "{backend:?}: {:?}", report.problems);
    }
}

#[tokio::test]
async fn a_second_client_on_one_store_is_refused_and_the_first_goes_on() {
    for backend in EMBEDDED {
        let folder = tempfile::tempdir().unwrap();
        let store = store(backend, folder.path());
        let first = client(&store).await;
        let config = ClientConfig { store: store.clone(), ..ClientConfig::default() };
        match NostrClient::new(config).await {
            Err(StartError::Store(reason)) => {
                assert!(reason.contains("is already open elsewhere"), "{backend:?}: {reason}");
            }
            other => panic!("{backend:?}: {other:?}"),
        }
        let note = Author::new().note("still here");
        first.import(vec![note.to_json()]).await.unwrap();
        assert_eq!(ids(&first, Filter::new()).await, [note.id], "{backend:?}");
        first.close().await;
    }
}

#[tokio::test]
async fn clients_on_one_database_see_what_the_others_put() {
    for backend in SHARED {
        let folder = tempfile::tempdir().unwrap();
        let store = store(backend, folder.path());
        let (first, second) = (client(&store).await, client(&store).await);
        let author = Author::new();
        let (one, other) = (author.note("one"), author.note("other"));
        first.import(vec![one.to_json()]).await.unwrap();
        let outcomes = second.import(vec![one.to_json(), other.to_json()]).await.unwrap();
        let outcomes: Vec<_> = outcomes.iter().map(|outcome| &outcome.status).collect();
        assert_eq!(outcomes, [&PutStatus::Duplicate, &PutStatus::Stored], "{backend:?}");
        assert_eq!(ids(&first, Filter::new()).await.len(), 2, "{backend:?}");
        // A request to delete that one takes is one for the other.
        let deletion = author.event(5, vec![Tag::new(["e", &one.id.to_hex()])], "", now());
        second.import(vec![deletion.to_json()]).await.unwrap();
        let notes = ids(&first, Filter::new().kinds([1])).await;
        assert_eq!(notes, [other.id], "{backend:?}");
        first.close().await;
        second.close().await;
    }
}

#[tokio::test]
async fn a_postgres_store_takes_its_password_from_a_file_and_a_missing_server_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(StoreBackend::Postgres, folder.path());
    store.password_file = folder.path().join("password");
    let config = || ClientConfig { store: store.clone(), ..ClientConfig::default() };
    match NostrClient::new(config()).await {
        Err(StartError::Config { key, .. }) => assert_eq!(key, "store.password_file"),
        other => panic!("{other:?}"),
    }
    fs::write(&store.password_file, "not asked for\n").unwrap();
    NostrClient::new(config()).await.unwrap().close().await;
    store.url = "postgres://nip@127.0.0.1:1/events".to_owned();
    let config = ClientConfig { store: store.clone(), ..ClientConfig::default() };
    match NostrClient::new(config).await {
        Err(StartError::Store(reason)) => {
            assert!(reason.contains("postgres://nip@127.0.0.1:1/events"), "{reason}");
            assert!(!reason.contains("not asked for"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

/// Makes the store unreadable, and says what it holds then.
fn damage(backend: StoreBackend, path: &Path) -> Vec<u8> {
    let file = match backend {
        StoreBackend::Sled => path.join("db"),
        _ => path.to_owned(),
    };
    let mut bytes = fs::read(&file).unwrap();
    let (middle, end) = (bytes.len() / 2, bytes.len());
    bytes[..middle].fill(0xa5);
    bytes[middle..end].fill(0x5a);
    fs::write(&file, &bytes).unwrap();
    bytes
}

fn set_aside_of(backend: StoreBackend, folder: &Path) -> Vec<u8> {
    let entry = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains(".corrupt-"))
        .unwrap_or_else(|| panic!("{backend:?}: nothing was set aside"));
    fs::read(if entry.is_dir() { entry.join("db") } else { entry }).unwrap()
}

#[tokio::test]
async fn a_damaged_store_is_set_aside_or_refused_as_configured() {
    for backend in IN_FILES {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(backend, folder.path());
        let first = client(&store).await;
        first.import(real_event_lines()).await.unwrap();
        first.close().await;
        let damaged = damage(backend, &store.path);

        store.set_aside_damaged = false;
        let config = ClientConfig { store: store.clone(), ..ClientConfig::default() };
        let refused = NostrClient::new(config).await;
        assert!(matches!(refused, Err(StartError::Store(_))), "{backend:?}: {refused:?}");

        store.set_aside_damaged = true;
        let fresh = client(&store).await;
        assert!(ids(&fresh, Filter::new()).await.is_empty(), "{backend:?}");
        let set_aside = set_aside_of(backend, folder.path());
        // sled writes to a log that it opens, also to a damaged one, which its page says.
        let is_untouched = set_aside == damaged;
        assert!(is_untouched || backend == StoreBackend::Sled, "{backend:?}");
        // Refilled, it serves as before.
        fresh.import(real_event_lines()).await.unwrap();
        assert!(ids(&fresh, Filter::new()).await.len() > 400, "{backend:?}");
        fresh.close().await;
    }
}

/// All bytes of a store's file, or of the files of its folder.
fn bytes_of(path: &Path) -> Vec<u8> {
    if path.is_file() {
        return fs::read(path).unwrap();
    }
    fs::read_dir(path).unwrap().flat_map(|entry| bytes_of(&entry.unwrap().path())).collect()
}

#[tokio::test]
async fn sensitive_kinds_are_encrypted_at_rest_and_the_store_opens_with_its_key_only() {
    let holds = |bytes: &[u8], text: &str| {
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    for backend in EMBEDDED {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(backend, folder.path());
        store.seal_key_file = folder.path().join("key");
        fs::write(&store.seal_key_file, format!("{}\n", "5a".repeat(32))).unwrap();
        let first = client(&store).await;
        let author = Author::new();
        let whispered = author.event(4, vec![], "whispered to one", now());
        let aloud = author.event(1, vec![], "said to all", now() - 1);
        first.import(vec![whispered.to_json(), aloud.to_json()]).await.unwrap();
        assert_eq!(ids(&first, Filter::new()).await, [whispered.id, aloud.id]);
        first.close().await;
        let at_rest = bytes_of(&store.path);
        assert!(!holds(&at_rest, "whispered to one"), "{backend:?}");
        // sled compresses nothing either: what is not sensitive stands there.
        assert!(holds(&at_rest, "said to all"), "{backend:?}");

        let right = store.seal_key_file.clone();
        fs::write(folder.path().join("other"), "5b".repeat(32)).unwrap();
        fs::write(folder.path().join("short"), "5a").unwrap();
        for (file, told) in
            [("", "it needs its key"), ("other", "by another key"), ("short", "64 hexadecimal")]
        {
            store.seal_key_file =
                if file.is_empty() { file.into() } else { folder.path().join(file) };
            let config = ClientConfig { store: store.clone(), ..ClientConfig::default() };
            let error = NostrClient::new(config).await.err().unwrap().to_string();
            assert!(error.contains(told), "{backend:?}, {file}: {error}");
        }
        store.seal_key_file = right;
        let again = client(&store).await;
        assert_eq!(ids(&again, Filter::new()).await, [whispered.id, aloud.id], "{backend:?}");
        again.close().await;
    }
    for backend in SHARED {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(backend, folder.path());
        store.seal_key_file = "key".into();
        let config = ClientConfig { store, ..ClientConfig::default() };
        match NostrClient::new(config).await {
            Err(StartError::Config { key, .. }) => assert_eq!(key, "store.seal_key_file"),
            other => panic!("{backend:?}: {other:?}"),
        }
    }
}

fn request_to_vanish(author: &Author, relay: &str) -> Event {
    author.event(62, vec![Tag::new(["relay", relay])], "", now())
}

#[tokio::test]
async fn a_request_to_vanish_is_carried_out_where_it_names_this_store() {
    for backend in ALL {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(backend, folder.path());
        store.own_urls = vec![OWN_URL.parse().unwrap()];
        let client = client(&store).await;
        let author = Author::new();
        let notes = author.notes("gone", 20);
        client.import(notes.iter().map(Event::to_json).collect()).await.unwrap();
        let written = || Filter::new().authors([author.key()]).kinds([1]);
        let elsewhere = request_to_vanish(&author, "wss://there.example.com");
        client.import(vec![elsewhere.to_json()]).await.unwrap();
        assert_eq!(ids(&client, written()).await.len(), 20, "{backend:?}");
        let here = request_to_vanish(&author, OWN_URL);
        client.import(vec![here.to_json()]).await.unwrap();
        assert!(ids(&client, written()).await.is_empty(), "{backend:?}");
        // What comes back is kept away.
        let outcomes = client.import(vec![notes[0].to_json()]).await.unwrap();
        assert_eq!(outcomes[0].status, PutStatus::Deleted, "{backend:?}");
        client.close().await;
    }
}

#[tokio::test]
async fn a_store_with_a_size_limit_keeps_it_and_says_what_made_room() {
    for backend in ALL {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(backend, folder.path());
        let (pinned, other) = (Author::new(), Author::new());
        store.max_bytes = STORE_BYTES_MIN;
        store.pinned_authors = vec![pinned.key()];
        let client = client(&store).await;
        let kept: Vec<EventId> = {
            let notes = pinned.notes("pinned", 20);
            client.import(notes.iter().map(Event::to_json).collect()).await.unwrap();
            notes.iter().map(|note| note.id).collect()
        };
        let text = "x".repeat(20_000);
        for number in 0..100 {
            let large = other.event(1, vec![], &format!("{number} {text}"), now());
            client.import(vec![large.to_json()]).await.unwrap();
            let stats = client.status().store.unwrap();
            assert!(stats.event_bytes <= STORE_BYTES_MIN, "{backend:?}: {stats:?}");
        }
        let stats = client.status().store.unwrap();
        assert!(stats.event_bytes > STORE_BYTES_MIN * 9 / 10, "{backend:?}: {stats:?}");
        assert!(stats.evicted > 40, "{backend:?}: {stats:?}");
        let found = ids(&client, Filter::new().authors([pinned.key()])).await;
        assert_eq!(found.len(), kept.len(), "{backend:?}");
        client.close().await;
    }
}
