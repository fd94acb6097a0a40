//! The query of the whole engine against its naive twin, over the real events.

use std::{
    cell::{Cell, RefCell},
    sync::OnceLock,
    time::Duration,
};

use futures::StreamExt;
use nipworker_core::{
    ClientConfig, NostrClient, PutStatus, SubscriptionEvent,
    protocol::{Event, Filter},
};
use nipworker_tests::{
    daemon::Home,
    naive,
    place::{real_event_lines, real_events},
    socket::Socket,
    turn,
    wait::within,
};
use proptest::{
    collection::vec,
    option::weighted,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

const CASES: u32 = 300;
const ANSWER: Duration = Duration::from_secs(10);

fn real_values() -> &'static [Value] {
    static EVENTS: OnceLock<Vec<Value>> = OnceLock::new();
    EVENTS.get_or_init(|| {
        real_event_lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    })
}

/// What occurs under a name in the real events.
fn occurring(of: impl Fn(&Value) -> Vec<Value>) -> Vec<Value> {
    real_values().iter().flat_map(of).collect()
}

fn values_of_tag(name: &str) -> Vec<Value> {
    occurring(|event| {
        let tags = event["tags"].as_array().unwrap().iter();
        tags.filter(|tag| tag[0] == name && tag[1].is_string()).map(|t| t[1].clone()).collect()
    })
}

/// Mostly what occurs, sometimes what does not.
fn list(values: Vec<Value>, stranger: Value) -> impl Strategy<Value = Value> {
    let one = prop_oneof![20 => select(values), 1 => Just(stranger)];
    vec(one, 1..6).prop_map(Value::from)
}

fn time() -> impl Strategy<Value = Value> {
    let times = occurring(|event| vec![event["created_at"].clone()]);
    (select(times), -2_i64..=2).prop_map(|(at, off)| json!(at.as_i64().unwrap() + off))
}

/// A filter with each condition now and then, and often with several.
fn filter() -> impl Strategy<Value = Value> {
    let nobody = Value::from("ab".repeat(32));
    let conditions = (
        weighted(0.1, list(occurring(|e| vec![e["id"].clone()]), nobody.clone())),
        weighted(0.3, list(occurring(|e| vec![e["pubkey"].clone()]), nobody.clone())),
        weighted(0.4, list(occurring(|e| vec![e["kind"].clone()]), json!(65_535))),
        weighted(0.1, list(values_of_tag("e"), nobody.clone())),
        weighted(0.1, list(values_of_tag("p"), nobody)),
        weighted(0.1, list(values_of_tag("t"), json!("no such topic"))),
        weighted(0.3, time()),
        weighted(0.3, time()),
        weighted(0.4, (0_u32..60).prop_map(Value::from)),
    );
    conditions.prop_map(|(ids, authors, kinds, e, p, t, since, until, limit)| {
        let named = [
            ("ids", ids),
            ("authors", authors),
            ("kinds", kinds),
            ("#e", e),
            ("#p", p),
            ("#t", t),
            ("since", since),
            ("until", until),
            ("limit", limit),
        ];
        let set = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(set.collect::<Map<_, _>>())
    })
}

fn runner() -> TestRunner {
    // No file of failures: the seed is in the output, and the inputs are printed.
    TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() })
}

async fn ask(client: &NostrClient, filters: &[Value]) -> Vec<String> {
    let filters: Vec<Filter> =
        filters.iter().map(|filter| serde_json::from_value(filter.clone()).unwrap()).collect();
    let mut stream = client.query(filters).await.unwrap();
    let mut ids = Vec::new();
    let read = async {
        while let Some(item) = stream.next().await {
            match item {
                SubscriptionEvent::Event { event, .. } => ids.push(event.id.to_hex()),
                SubscriptionEvent::EndOfStored => {}
                other => panic!("{other:?}"),
            }
        }
    };
    within("the end of a query", ANSWER, read).await;
    ids
}

#[test]
fn a_query_through_all_workers_finds_exactly_what_a_naive_filter_finds() {
    let runtime = Runtime::new().unwrap();
    let _turn = runtime.block_on(turn::beside_others());
    let client = runtime.block_on(async {
        let client = NostrClient::new(ClientConfig::default()).await.unwrap();
        let lines = real_event_lines();
        for batch in lines.chunks(256) {
            for outcome in client.import(batch.to_vec()).await.unwrap() {
                assert_eq!(outcome.status, PutStatus::Stored, "{outcome:?}");
            }
        }
        client
    });
    let found = Cell::new(0);
    runner()
        .run(&vec(filter(), 1..4), |filters| {
            let expected = naive::query(real_values(), &filters);
            let got = runtime.block_on(ask(&client, &filters));
            if filters.len() == 1 {
                prop_assert_eq!(&got, &expected, "order and content");
            } else {
                let sorted = |mut ids: Vec<String>| {
                    ids.sort();
                    ids
                };
                prop_assert_eq!(sorted(got), sorted(expected.clone()));
            }
            found.set(found.get() + expected.len());
            Ok(())
        })
        .unwrap();
    let found = found.get();
    println!("{CASES} queries, {found} events found");
    assert!(found > 1_000, "the queries found too little to prove anything: {found}");
    runtime.block_on(client.close());
}

#[test]
fn the_gateway_of_the_daemon_finds_exactly_what_a_naive_filter_finds() {
    let runtime = Runtime::new().unwrap();
    let _turn = runtime.block_on(turn::beside_others());
    let home = Home::new();
    let imported = home.run(&["import", "-"], &real_event_lines().join("\n"));
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    let (_daemon, socket) = runtime.block_on(async {
        let daemon = home.daemon(&[]).await;
        let socket = Socket::open(&daemon.url()).await;
        (daemon, RefCell::new(socket))
    });
    runner()
        .run(&filter(), |filter| {
            let expected = naive::query(real_values(), std::slice::from_ref(&filter));
            let got: Vec<String> = runtime
                .block_on(socket.borrow_mut().fetch(&filter))
                .iter()
                .map(|event| event["id"].as_str().unwrap().to_owned())
                .collect();
            prop_assert_eq!(got, expected);
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn an_event_comes_back_byte_for_byte_as_it_was_signed() {
    let _turn = turn::beside_others().await;
    let client = NostrClient::new(ClientConfig::default()).await.unwrap();
    let events: Vec<Event> = real_events();
    client.import(real_event_lines()[..100].to_vec()).await.unwrap();
    for event in &events[..100] {
        let mut stream = client.query(vec![Filter::new().ids([event.id])]).await.unwrap();
        let found = within("one event by its id", ANSWER, async {
            loop {
                match stream.next().await {
                    Some(SubscriptionEvent::Event { event, .. }) => return (**event).clone(),
                    Some(_) => {}
                    None => panic!("{} was not found", event.id),
                }
            }
        });
        assert_eq!(found.await, *event);
    }
    client.close().await;
}
