//! Ten thousand mined and signed events: id, work and nonce tag of each are checked by nostr-tools
//! and by rust-nostr, the signatures all by rust-nostr and one in ten by nostr-tools.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use nipworker_core::{
    ClientConfig, MineOptions, MiningOutcome, NostrClient,
    protocol::{Event, Tag, UnsignedEvent},
};
use nipworker_tests::{events::Author, peer::PeerClient, turn, wait::within};
use rand::{
    Rng, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

const EVENTS: usize = 10_000;
/// Jobs that share the threads.
const AT_ONCE: usize = 32;
/// Events that a peer checks with one command.
const CHUNK: usize = 200;
const MAX_BITS: u16 = 16;
/// Bytes of a block of SHA-256: the content's length in the id's preimage takes every remainder.
const BLOCK: usize = 64;

/// What text is made of: plain, escaped in JSON, of several bytes to a character.
const PIECES: [&str; 9] = [
    "plain words and a comma, ",
    "\"quoted\" \\ back/slash ",
    "line\nbreak\ttab\r\n",
    "\u{8}\u{c}",
    "\u{1}\u{1f}\u{7f}",
    "é漢字 ",
    "\u{1f980}\u{1f469}\u{200d}\u{1f467} ",
    "\u{2028}\u{2029}\u{feff}",
    "</script>[0,\"nonce\",\"1\",\"20\"]",
];
const KINDS: [u16; 9] = [0, 1, 3, 7, 1_059, 10_002, 20_001, 30_023, 65_535];

fn text(random: &mut StdRng, pieces: usize) -> String {
    (0..pieces).map(|_| *PIECES.choose(random).expect("there are pieces")).collect()
}

/// Bytes of a text inside the quotes of JSON.
fn json_len(text: &str) -> usize {
    json!(text).to_string().len() - 2
}

/// A content of `remainder` bytes in the preimage, modulo the block.
fn content(random: &mut StdRng, remainder: usize) -> String {
    let pieces = *[0, 1, 2, 5, 20, 60].choose(random).expect("there are sizes");
    let mut content = text(random, pieces);
    let missing = (remainder + BLOCK - json_len(&content) % BLOCK) % BLOCK;
    content.push_str(&"x".repeat(missing));
    assert_eq!(json_len(&content) % BLOCK, remainder);
    content
}

fn tags(random: &mut StdRng) -> Vec<Tag> {
    let hex = "5f".repeat(32);
    let mut all = vec![
        Tag::new(["p", &hex]),
        Tag::new(["e", &hex, "wss://relay.example.com", "reply"]),
        Tag::new(["t", &text(random, 2)]),
        Tag::new(["d", ""]),
        // Of an earlier miner: to be replaced.
        Tag::new(["nonce", "776797", "20"]),
    ];
    all.shuffle(random);
    all.truncate(random.random_range(0..=4));
    all
}

/// One event to be mined.
struct Order {
    template: UnsignedEvent,
    bits: u16,
    refresh: bool,
}

fn order(author: &Author, random: &mut StdRng, number: usize) -> Order {
    let content = content(random, number % BLOCK);
    let kind = *KINDS.choose(random).expect("there are kinds");
    Order {
        template: author.template(kind, tags(random), &content, 1_700_000_000),
        bits: random.random_range(1..=MAX_BITS),
        refresh: random.random(),
    }
}

/// Mines an event, holds it against what was ordered, and signs it.
async fn mine(client: &NostrClient, author: &Author, order: Order) -> (Event, u16) {
    let Order { template, bits, refresh } = order;
    let options = MineOptions { refresh_created_at: refresh, ..MineOptions::default() };
    let job = client.mine_with(template.clone(), bits, options).await.unwrap();
    let outcome = within("the mined event", Duration::from_secs(60), job.solved()).await.unwrap();
    let MiningOutcome::Found { event, .. } = outcome else { panic!("{outcome:?}: {template:?}") };
    let (nonce, others) = event.tags.split_last().expect("a nonce tag");
    let ordered: Vec<_> = template.tags.iter().filter(|tag| tag.name() != "nonce").collect();
    assert_eq!(others.iter().collect::<Vec<_>>(), ordered, "the other tags were changed");
    assert!(nonce.0[1].parse::<u128>().is_ok(), "the nonce is no number: {nonce:?}");
    assert_eq!((event.kind, &event.content), (template.kind, &template.content));
    match refresh {
        true => assert!(event.created_at > template.created_at, "created_at does not follow"),
        false => assert_eq!(event.created_at, template.created_at),
    }
    (author.sign(event), bits)
}

/// Lets a peer check what comes; returns how many events that were and what it found wrong.
async fn check(
    mut peer: PeerClient,
    mut events: mpsc::UnboundedReceiver<Arc<Vec<Value>>>,
) -> (usize, Vec<Value>, Duration) {
    let (mut checked, mut wrong, mut spent) = (0, Vec::new(), Duration::ZERO);
    while let Some(chunk) = events.recv().await {
        let start = Instant::now();
        let found = peer.ask("mined", json!({ "events": *chunk })).await;
        spent += start.elapsed();
        wrong.extend(found.as_array().expect("a list of findings").iter().cloned());
        checked += chunk.len();
    }
    (checked, wrong, spent)
}

#[tokio::test]
async fn ten_thousand_mined_events_of_every_shape_are_right_by_both_libraries() {
    let _turn = turn::beside_others().await;
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let author = Author::new();
    let client = NostrClient::new(ClientConfig::default()).await.unwrap();
    let (to_tools, for_tools) = mpsc::unbounded_channel();
    let (to_rust, for_rust) = mpsc::unbounded_channel();
    let start = Instant::now();
    let mining = async {
        let orders = (0..EVENTS).map(|number| order(&author, &mut random, number));
        let mined = stream::iter(orders).map(|order| mine(&client, &author, order));
        let mut chunks = mined.buffer_unordered(AT_ONCE).chunks(CHUNK);
        while let Some(chunk) = chunks.next().await {
            let chunk =
                chunk.into_iter().map(|(event, bits)| json!({ "event": event, "bits": bits }));
            let chunk: Arc<Vec<Value>> = Arc::new(chunk.collect());
            to_tools.send(Arc::clone(&chunk)).expect("the checker runs");
            to_rust.send(chunk).expect("the checker runs");
        }
        drop((to_tools, to_rust));
        start.elapsed()
    };
    let tools = check(PeerClient::nostr_tools(), for_tools);
    let rust = check(PeerClient::rust_nostr(), for_rust);
    let (mined_after, tools, rust) = tokio::join!(mining, tools, rust);
    println!(
        "{EVENTS} events mined and signed in {mined_after:?}, checked by nostr-tools in {:?} and \
         by rust-nostr in {:?}, all of it {:?}",
        tools.2,
        rust.2,
        start.elapsed()
    );
    for (peer, (checked, wrong, _)) in [("nostr-tools", tools), ("rust-nostr", rust)] {
        assert_eq!(checked, EVENTS, "{peer}");
        assert!(wrong.is_empty(), "{peer}: {} findings, first {}", wrong.len(), wrong[0]);
    }
    let jobs = client.status().mining.jobs;
    assert!(jobs.iter().all(|job| (job.bad_hits, job.doubled) == (0, 0)), "{jobs:#?}");
    client.close().await;
}
