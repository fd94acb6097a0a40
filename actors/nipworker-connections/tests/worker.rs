//! The worker under real supervision, over a network in memory.
#![allow(clippy::unwrap_used)]

mod common;

use std::{sync::Arc, time::Duration};

use common::{Host, House, Manner, event, eventually, quick, send_event};
use nipworker_connections::{LinkState, RelayConfig, SHUTDOWN};
use nipworker_protocol::Event;
use nipworker_schema::{
    EventReceiptsT, FailureCode, IngestMessageT, OpenReqT, ReceiptStatus, RelayEdgeMessageT,
    SendEventT,
};
use nipworker_supervision::{Fault, Shutdown};
use nipworker_transport::memory::MemoryNetwork;

async fn house(hosts: &[Host], network: &MemoryNetwork) -> House {
    let relays = hosts.iter().map(|host| host.url.clone()).collect();
    House::build(Arc::new(network.clone()), RelayConfig { relays, ..quick() }).await
}

fn some_hosts(network: &MemoryNetwork, count: usize) -> Vec<Host> {
    (0..count).map(|number| Host::new(network, number)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_events_come_before_their_end_and_live_ones_after() {
    let network = MemoryNetwork::new();
    let hosts = some_hosts(&network, 2);
    let stored: Vec<Event> = (0..1_000).map(|number| event("a", number)).collect();
    for event in &stored {
        hosts[0].relay.appear(event);
    }
    let house = house(&hosts, &network).await;
    assert_eq!(house.open("s", "a", false).await.len(), 2);
    eventually("both relays told their end", || house.ear.eoses() == 2).await;
    let texts: Vec<String> = stored.iter().map(Event::to_json).collect();
    assert_eq!(house.ear.texts("s"), texts);
    {
        let heard = house.ear.heard.lock().unwrap();
        let mut before_end = 0;
        for message in &heard.messages {
            match message {
                IngestMessageT::EventBatch(batch) => {
                    assert!((1..=256).contains(&batch.events.len()));
                    before_end += batch.events.len();
                }
                IngestMessageT::EndOfStored(end) if end.relay == hosts[0].url.as_str() => {
                    assert_eq!(before_end, 1_000, "the end came before the last event");
                }
                _ => {}
            }
        }
    }
    let live = event("a", 5_000);
    hosts[1].relay.appear(&live);
    eventually("the live event", || house.ear.heard_event("s", &live)).await;
    assert!(house.close("s").await && !house.close("s").await);
    assert!(house.supervisor.stop().await.is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_true_for_each_relay() {
    let network = MemoryNetwork::new();
    let mut hosts = some_hosts(&network, 4);
    hosts[1].relay.notes.lock().unwrap().manner = Manner::Refuses;
    hosts[2].relay.notes.lock().unwrap().manner = Manner::Silent;
    hosts[3].stop().await;
    let house = house(&hosts, &network).await;
    let event = event("a", 1);
    let receipts = house.publish(&event, Duration::from_millis(500)).await;
    let got: Vec<_> = receipts.iter().map(|receipt| receipt.status).collect();
    assert_eq!(
        got,
        [
            ReceiptStatus::Accepted,
            ReceiptStatus::Refused,
            ReceiptStatus::NoAnswer,
            ReceiptStatus::NotConnected
        ]
    );
    assert_eq!(receipts[1].message, "blocked: not you");
    assert!((400..5_000).contains(&receipts[2].elapsed_ms), "{}", receipts[2].elapsed_ms);
    assert_eq!(hosts[0].relay.sent(&event.id.to_string()), 1);
    house.supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_returns_is_asked_again_without_anybody_sending() {
    let network = MemoryNetwork::new();
    let mut hosts = some_hosts(&network, 1);
    let house = house(&hosts, &network).await;
    house.open("s", "a", false).await;
    eventually("the end of stored events", || house.ear.eoses() == 1).await;
    hosts[0].stop().await;
    eventually("attempts that fail", || house.book.report()[0].dial_failures > 2).await;
    let missed = event("a", 1);
    hosts[0].relay.appear(&missed);
    hosts[0].start();
    eventually("the missed event", || house.ear.heard_event("s", &missed)).await;
    let live = event("a", 2);
    hosts[0].relay.appear(&live);
    eventually("the live event", || house.ear.heard_event("s", &live)).await;
    assert_eq!(house.ear.eoses(), 1, "the end of stored events is told once");
    house.supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unanswered_batch_stops_its_own_relay_and_nothing_else() {
    let network = MemoryNetwork::new();
    let hosts = some_hosts(&network, 2);
    let house = house(&hosts, &network).await;
    house.open("s", "a", false).await;
    eventually("the ends of stored events", || house.ear.eoses() == 2).await;
    house.ear.heard.lock().unwrap().hold = Some(hosts[0].url.to_string());
    for number in 0..2_000 {
        hosts[0].relay.appear(&event("a", number));
    }
    let other = event("a", 9_999);
    hosts[1].relay.appear(&other);
    eventually("the other relay's event", || house.ear.heard_event("s", &other)).await;
    // The worker itself answers as ever.
    assert!(!house.close("unknown").await);
    let held = house.book.report()[0].events;
    assert!(held < 1_000, "{held} events were read although the first is not answered");
    house.ear.heard.lock().unwrap().hold = None;
    eventually("all the others", || house.ear.texts("s").len() == 2_001).await;
    house.supervisor.stop().await;
}

async fn after_a_fault(fault: Fault) {
    let network = MemoryNetwork::new();
    let hosts = some_hosts(&network, 2);
    hosts[1].relay.notes.lock().unwrap().manner = Manner::Silent;
    let house = house(&hosts, &network).await;
    house.open("s", "a", false).await;
    eventually("the first answer", || house.ear.eoses() == 1).await;
    let unanswered = event("b", 1);
    let asked = house.try_ask(send_event(&unanswered, Duration::from_secs(60)));
    let asker = async {
        match asked.await {
            Ok(RelayEdgeMessageT::Failed(failed)) => assert!(failed.transient, "{failed:?}"),
            Ok(other) => panic!("{other:?}"),
            Err(error) => drop(error),
        }
        std::time::Instant::now()
    };
    let faulty = async {
        let id = unanswered.id.to_string();
        eventually("the event is out", || hosts[1].relay.sent(&id) == 1).await;
        house.connections.inject(fault).unwrap();
        let injected = std::time::Instant::now();
        for host in &hosts {
            eventually("a new connection", || host.relay.connections() == 2).await;
            eventually("one connection is left", || host.relay.open() == 1).await;
            eventually("asked again", || host.relay.requests() == 2).await;
        }
        // What had no answer is sent again, without anybody asking.
        eventually("sent again", || hosts[1].relay.sent(&id) == 2).await;
        injected
    };
    let (answered, injected) = tokio::join!(asker, faulty);
    let wait = answered - injected;
    assert!(wait < Duration::from_millis(1_500), "the asker waited for {wait:?}");
    let live = event("a", 2);
    hosts[0].relay.appear(&live);
    eventually("the live event", || house.ear.heard_event("s", &live)).await;
    let event = event("a", 3);
    let receipts = house.publish(&event, Duration::from_millis(100)).await;
    assert_eq!(receipts[0].status, ReceiptStatus::Accepted);
    assert_eq!(house.ear.eoses(), 1, "nobody is told twice");
    house.supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_closes_the_sockets_and_the_next_incarnation_carries_on() {
    after_a_fault(Fault::Panic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_is_replaced_and_the_next_incarnation_carries_on() {
    after_a_fault(Fault::Hang(Duration::from_secs(2))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_thread_is_replaced_and_the_next_incarnation_carries_on() {
    after_a_fault(Fault::KillThread).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_breaks_the_parser_costs_only_itself() {
    let network = MemoryNetwork::new();
    let hosts = some_hosts(&network, 1);
    for number in 0..100 {
        hosts[0].relay.appear(&event("a", number));
    }
    let house = house(&hosts, &network).await;
    house.ear.heard.lock().unwrap().poison = Some("number 42".to_owned());
    house.open("s", "a", false).await;
    eventually("the end of stored events", || house.ear.eoses() == 1).await;
    assert_eq!(house.ear.texts("s").len(), 99);
    eventually("the loss is counted", || house.book.report()[0].lost_events == 1).await;
    house.supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_parser_is_asked_again() {
    let network = MemoryNetwork::new();
    let hosts = some_hosts(&network, 1);
    let one = event("a", 1);
    hosts[0].relay.appear(&one);
    let house = house(&hosts, &network).await;
    house.ear.heard.lock().unwrap().fail_next = 3;
    house.open("s", "a", false).await;
    eventually("the end of stored events", || house.ear.eoses() == 1).await;
    assert_eq!(house.ear.texts("s"), [one.to_json()]);
    assert_eq!(house.book.report()[0].lost_events, 0);
    house.supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_relay_is_told_and_holds_nothing_back() {
    let network = MemoryNetwork::new();
    let mut hosts = some_hosts(&network, 2);
    hosts[1].stop().await;
    let house = house(&hosts, &network).await;
    house.open("q", "a", true).await;
    let unavailable = || {
        house.ear.count(|message| {
            matches!(message, IngestMessageT::RelayUnavailable(told)
                if told.relay == hosts[1].url.as_str() && told.subscriptions == ["q"])
        })
    };
    eventually("the dead one is told", || unavailable() == 1).await;
    eventually("the living one answers", || house.ear.eoses() == 1).await;
    eventually("the query is over", || house.book.open_subscriptions() == 0).await;
    house.supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_sets_how_long_relays_may_take() {
    let network = MemoryNetwork::new();
    let hosts = some_hosts(&network, 1);
    hosts[0].relay.notes.lock().unwrap().manner = Manner::Silent;
    let house = house(&hosts, &network).await;
    let open = OpenReqT {
        subscription: "q".to_owned(),
        filters: vec![nipworker_protocol::Filter::new().into()],
        relays: Vec::new(),
        close_on_eose: true,
        relay_timeout_ms: 70,
    };
    assert!(matches!(house.ask(open).await, RelayEdgeMessageT::ReqOpened(_)));
    let told = || {
        house.ear.count(|message| {
            matches!(message, IngestMessageT::RelayUnavailable(told)
                if told.reason.ends_with("within 70 ms"))
        })
    };
    eventually("the silent relay is given up", || told() == 1).await;
    house.supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_make_no_sense_are_refused_with_a_reason() {
    let network = MemoryNetwork::new();
    let hosts = some_hosts(&network, 1);
    let house = house(&hosts, &network).await;
    let open = OpenReqT {
        subscription: "s".to_owned(),
        filters: vec![nipworker_protocol::Filter::new().into()],
        relays: vec!["http://relay.test".to_owned()],
        close_on_eose: false,
        relay_timeout_ms: 0,
    };
    let bad_url = house.ask(open.clone()).await;
    let no_filter = house.ask(OpenReqT { filters: Vec::new(), relays: Vec::new(), ..open }).await;
    let not_json =
        SendEventT { event: "{".to_owned(), ..send_event(&event("a", 1), Duration::ZERO) };
    let not_json = house.ask(not_json).await;
    let wrong_way = house.ask(EventReceiptsT { receipts: Vec::new() }).await;
    for (answer, code, reason) in [
        (bad_url, FailureCode::Invalid, "http://relay.test"),
        (no_filter, FailureCode::Invalid, "at least one filter"),
        (not_json, FailureCode::Invalid, "not JSON"),
        (wrong_way, FailureCode::Unsupported, "no such message"),
    ] {
        let RelayEdgeMessageT::Failed(failed) = answer else { panic!("{answer:?}") };
        assert_eq!(failed.code, code);
        assert!(failed.reason.contains(reason) && !failed.transient, "{failed:?}");
    }
    let garbage = nipworker_schema::RelayEdge::from_bytes(vec![1, 2, 3].into());
    let answer = house.connections.ask(garbage).await.unwrap().decode().unwrap();
    assert!(matches!(answer, RelayEdgeMessageT::Failed(_)), "{answer:?}");
    house.supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_does_not_stop_is_given_up_after_its_own_limit() {
    let hang = Duration::from_secs(8);
    let network = Arc::new(MemoryNetwork::new());
    let house = House::with_hang_limit(network, quick(), 2 * hang).await;
    house.connections.inject(Fault::Hang(hang)).unwrap();
    let report = house.supervisor.stop().await;
    assert_eq!(report.killed, ["connections"]);
    // The supervisor's own limit for children that set none is 5 s.
    let Shutdown::Timeout(limit) = SHUTDOWN else { panic!("no limit") };
    let took = Duration::from_millis(report.took_ms);
    assert!((limit..Duration::from_secs(5)).contains(&took), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_says_goodbye_and_answers_everybody() {
    let network = MemoryNetwork::new();
    let hosts = some_hosts(&network, 1);
    hosts[0].relay.notes.lock().unwrap().manner = Manner::Silent;
    let house = house(&hosts, &network).await;
    let unanswered = event("b", 1);
    let id = unanswered.id.to_string();
    let asked = house.publish(&unanswered, Duration::from_secs(60));
    let stopping = async {
        eventually("the event is out", || hosts[0].relay.sent(&id) == 1).await;
        assert_eq!(house.book.report()[0].state, LinkState::Connected);
        house.supervisor.stop().await
    };
    let (receipts, report) = tokio::join!(asked, stopping);
    assert_eq!(receipts[0].status, ReceiptStatus::NoAnswer);
    assert!(report.is_clean());
    eventually("the relay saw the close", || hosts[0].relay.notes.lock().unwrap().closes == 1)
        .await;
    assert_eq!(house.book.report()[0].state, LinkState::Idle);
}
