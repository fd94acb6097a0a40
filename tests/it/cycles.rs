//! A client that is made and closed a hundred times leaves nothing behind.

use std::time::Duration;

use futures::StreamExt;
use nipworker_core::{ClientConfig, NostrClient, protocol::Filter};
use nipworker_tests::{
    cost::{Cost, allocated_bytes, give_back_free_memory, thread_names},
    events::Author,
    place::real_event_lines,
    relay::Relay,
    turn,
    wait::eventually,
};

const CYCLES: usize = 100;
/// How much more may be allocated after cycles 60 to 100 than after cycles 20 to 60, on average.
/// What leaks in each cycle counts 40 times: 3 kB would show.
const ALLOCATED_NOISE_BYTES: i64 = 128 * 1024;
/// The same for resident memory, which also holds what the allocator keeps for later; over 500
/// cycles it levels off.
const RESIDENT_NOISE_BYTES: i64 = 4 * 1024 * 1024;

/// One life: a durable store, a relay, events in, a query, a subscription, mining, and the end.
async fn live(relay: &str, author: &Author, lines: &[String]) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = ClientConfig { relays: vec![relay.parse().unwrap()], ..<_>::default() };
    config.store.backend = nipworker_core::StoreBackend::Redb;
    config.store.path = folder.path().join("events.redb");
    let client = NostrClient::new(config).await.unwrap();
    client.import(lines.to_vec()).await.unwrap();
    let mut found = client.query(vec![Filter::new().limit(10)]).await.unwrap();
    while found.next().await.is_some() {}
    let open = client.subscribe(vec![Filter::new().authors([author.key()])]).await.unwrap();
    client.publish(author.note("cycle")).await.unwrap();
    let template = author.template(1, vec![], "never found", 1_700_000_000);
    let mining = client.mine(template, 255).await.unwrap();
    drop((open, mining));
    client.close().await;
}

/// The cost once what has ended is really gone: a thread that was joined may still be listed for
/// a moment.
async fn settled(threads: usize, handles: usize) -> Cost {
    eventually("threads and handles are back", Duration::from_secs(10), async || {
        let cost = Cost::own();
        (cost.threads <= threads && cost.handles <= handles).then_some(cost)
    })
    .await
}

// One thread: the test's own runtime must not be what grows.
#[tokio::test]
async fn a_hundred_clients_leave_no_thread_no_handle_and_no_memory() {
    let _turn = turn::alone().await;
    let relay = Relay::local().await;
    let author = Author::new();
    let lines = &real_event_lines()[..20];
    // What is made once per process: lazy statics, the panic hook, the allocator's arenas.
    for _ in 0..5 {
        live(&relay.url(), &author, lines).await;
    }
    let start = Cost::own();
    println!("at the start: {start:?}");
    let (mut resident, mut allocated) = (Vec::with_capacity(CYCLES), Vec::with_capacity(CYCLES));
    for cycle in 0..CYCLES {
        live(&relay.url(), &author, lines).await;
        give_back_free_memory();
        let cost = Cost::own();
        resident.push(i64::try_from(cost.rss_bytes).unwrap());
        allocated.push(i64::try_from(allocated_bytes()).unwrap());
        if cycle % 20 == 19 {
            println!("after {} cycles: {cost:?}, {} bytes allocated", cycle + 1, allocated[cycle]);
        }
    }
    let end = settled(start.threads, start.handles).await;
    println!("at the end: {end:?}; threads: {:?}", thread_names());
    let growth = |by_cycle: &[i64]| {
        let mean = |part: &[i64]| part.iter().sum::<i64>() / part.len() as i64;
        mean(&by_cycle[60..]) - mean(&by_cycle[20..60])
    };
    let (allocated_more, resident_more) = (growth(&allocated), growth(&resident));
    println!(
        "cycles 60 to 100 against 20 to 60: {allocated_more} bytes allocated, {resident_more} \
         bytes resident"
    );
    assert!(allocated_more < ALLOCATED_NOISE_BYTES, "{allocated_more}: {allocated:?}");
    assert!(resident_more < RESIDENT_NOISE_BYTES, "{resident_more}: {resident:?}");
}
