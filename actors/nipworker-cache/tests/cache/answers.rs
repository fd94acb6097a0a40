//! What each request is answered with.

use futures::executor::block_on;
use nipworker_protocol::{EventId, Filter};
use nipworker_schema::*;
use nipworker_store::{
    EventStore, PageRequest,
    conformance::samples::{self, NOW, note},
};

use crate::system::*;

#[test]
fn what_is_persisted_is_queried_counted_and_swept() {
    let system = System::start();
    let kept = samples::event(1, NOW - 1, 1, &[&["t", "ü"]], "quote \" and \u{1f980}");
    let mortal = samples::event(1, NOW, 1, &[&["expiration", &(NOW + 5).to_string()]], "");
    let passing = samples::event(1, NOW, 20_001, &[], "");
    assert_eq!(
        system.persist(&[kept.clone(), mortal.clone(), passing, kept.clone()]),
        [PutStatus::Stored, PutStatus::Stored, PutStatus::Ephemeral, PutStatus::Duplicate]
    );
    let page = system.page(everything());
    assert!(!page.more);
    assert_eq!(rows(&page), [mortal.into_inner(), kept.into_inner()]);
    let count = CountStoredT { filters: vec![Filter::new().tag('t', ["ü"]).into()], hll: false };
    assert!(matches!(system.ask(count), CacheMessageT::StoredCount(count) if count.count == 1));
    let sweep = |now| system.ask(SweepExpiredT { now });
    assert!(matches!(sweep(NOW), CacheMessageT::Swept(swept) if swept.removed == 0));
    assert!(matches!(sweep(NOW + 5), CacheMessageT::Swept(swept) if swept.removed == 1));
    assert_eq!(system.store.stats().unwrap().events, 1);
}

#[test]
fn pages_join_without_gap_or_repetition_and_keep_each_filters_limit() {
    let system = System::start();
    let events: Vec<_> =
        (0..30_u8).map(|n| note(n % 2, NOW - i64::from(n / 4), &n.to_string())).collect();
    system.persist(&events);
    let one = vec![Filter::new().limit(11)];
    let two = vec![Filter::new().authors([samples::author(0)]).limit(4), Filter::new().limit(9)];
    for filters in [one, two] {
        let direct = system.store.query(&filters, &PageRequest::default(), NOW).unwrap();
        let expected: Vec<_> = direct.unpack().iter().map(|event| event.id).collect();
        let mut found = Vec::new();
        let mut request = QueryPageT {
            filters: filters.iter().map(Into::into).collect(),
            max_events: 3,
            ..QueryPageT::default()
        };
        loop {
            let page = system.page(request.clone());
            let rows = rows(&page);
            assert!(rows.len() <= 3);
            found.extend(ids(&page));
            let (Some(last), true) = (rows.last(), page.more) else { break };
            request.after_created_at = Some(last.created_at);
            request.after_id = Some(last.id.into());
            request.skip = found.len() as u64;
        }
        assert_eq!(found, expected);
    }
}

#[test]
fn what_cannot_be_understood_is_refused_with_a_reason() {
    let system = System::start();
    let request = CacheEdge::from_bytes(RelayEdge::encode(ReqClosedT { known: true }).into_bytes());
    let answer = block_on(system.cache.ask(request)).unwrap().decode().unwrap();
    assert!(matches!(&answer, CacheMessageT::Failed(f) if f.code == FailureCode::Invalid));
    let answer = system.failure(PageT { events: vec![], more: false });
    assert_eq!(answer.code, FailureCode::Unsupported);
    let half = QueryPageT { after_created_at: Some(1), ..everything() };
    assert_eq!(system.failure(half).code, FailureCode::Invalid);
    let search = Filter { search: Some("x".into()), ..Filter::new() };
    let search = QueryPageT { filters: vec![search.into()], ..QueryPageT::default() };
    let refused = system.failure(search);
    assert_eq!((refused.code, refused.transient), (FailureCode::Unsupported, false));
    assert_eq!(system.restarts(), 0);
}

#[test]
fn a_publish_is_committed_before_it_is_sent_and_brings_the_receipts_back() {
    let system = System::start();
    let event = note(1, NOW, "hello");
    let CacheMessageT::Sent(sent) = system.ask(publish(&event, &["wss://a", "wss://b"], true))
    else {
        panic!("not sent")
    };
    assert_eq!(sent.outcome.status, PutStatus::Stored);
    let relays: Vec<_> = sent.receipts.iter().map(|receipt| receipt.relay.as_str()).collect();
    assert_eq!(relays, ["wss://a", "wss://b"]);
    assert_eq!(ids(&system.page(everything())), [event.id]);
    let RelayEdgeMessageT::SendEvent(asked) = system.asked.lock().unwrap()[0].clone() else {
        panic!("not a send")
    };
    assert_eq!(asked.event, event.to_json());
    assert_eq!(EventId::from(&asked.id), event.id);
    assert_eq!(asked.timeout_ms, 1_000);

    // Kept to ourselves, and what its author has replaced: neither is sent.
    let newer = samples::event(1, NOW, 0, &[], "new");
    let older = samples::event(1, NOW - 1, 0, &[], "old");
    for (event, use_relays, status) in
        [(newer, false, PutStatus::Stored), (older, true, PutStatus::Superseded)]
    {
        let CacheMessageT::Sent(sent) = system.ask(publish(&event, &["wss://a"], use_relays))
        else {
            panic!("no answer")
        };
        assert_eq!((sent.outcome.status, sent.receipts.len()), (status, 0));
    }
    assert_eq!(system.asked.lock().unwrap().len(), 1);
}

#[test]
fn subscriptions_are_opened_and_closed_at_connections() {
    let system = System::start();
    let CacheMessageT::RelaysAsked(asked) = system.ask(open_req("known")) else {
        panic!("not asked")
    };
    assert_eq!(asked.relays, ["wss://one"]);
    for (subscription, known) in [("known", true), ("other", false)] {
        let stop = StopAskingT { subscription: subscription.to_owned() };
        assert!(
            matches!(system.ask(stop), CacheMessageT::Stopped(stopped) if stopped.known == known)
        );
    }
    let RelayEdgeMessageT::OpenReq(request) = system.asked.lock().unwrap()[0].clone() else {
        panic!("not a request")
    };
    assert!(request.close_on_eose);
    assert_eq!(request.relay_timeout_ms, 7_000);
    assert_eq!(request.filters, [Filter::new().kinds([1]).into()]);
    let refused = system.failure(open_req("refuse"));
    assert_eq!((refused.code, refused.transient), (FailureCode::Busy, true));
    assert!(refused.reason.contains("too many subscriptions"));
}
