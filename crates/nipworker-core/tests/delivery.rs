//! What readers get: pipes, pages, limits.
#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::BTreeSet, time::Duration};

use common::{PATIENCE, TIME, eventually, sign_in};
use futures::StreamExt;
use nipworker_core::{
    ClientConfig, ClientError, DeliveryLimits, NostrClient, Overflow, PageOptions, QueryOptions,
    StartError, SubscribeOptions, Subscription, SubscriptionEvent,
    kinds::ParsedKind,
    pipes::{CounterOptions, CustomPipe, Item, Notes, Pipe, PipeNote, PipeSpec, Step},
    protocol::{Event, Filter, UnsignedEvent},
    transport::memory::MemoryNetwork,
};

async fn start(mut config: ClientConfig) -> NostrClient {
    config.crypto.threads = 1;
    config.miner.threads = 1;
    config.miner.kernel = "portable".to_owned();
    let transport = std::sync::Arc::new(MemoryNetwork::new());
    NostrClient::builder().config(config).transport(transport).build().await.unwrap()
}

/// Notes at these seconds after the beginning.
async fn store(client: &NostrClient, seconds: &[i64], kind: u16) -> Vec<Event> {
    let me = client.public_key().await.unwrap();
    let mut events = Vec::new();
    for (n, second) in seconds.iter().enumerate() {
        let template = UnsignedEvent::new(me, TIME + second, kind, vec![], format!("{kind} {n}"));
        events.push(client.sign(template).await.unwrap());
    }
    let texts = events.iter().map(Event::to_json).collect();
    let outcomes = client.import(texts).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.status.is_accepted()));
    events.sort_unstable_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
    events
}

async fn contents(mut stream: Subscription) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(item) = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap() {
        match item {
            SubscriptionEvent::Event { event, .. } => found.push(event.content.clone()),
            SubscriptionEvent::EndOfStored => break,
            other => panic!("{other:?}"),
        }
    }
    found
}

fn texts(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.content.clone()).collect()
}

/// f681ebe, 3b3bcd5: pages once shared their memory of what was given, and their limits.
#[tokio::test(flavor = "multi_thread")]
async fn f681ebe_3b3bcd5_pages_have_no_gap_and_no_overlap_though_many_events_share_a_second() {
    let client = start(ClientConfig::default()).await;
    sign_in(&client).await;
    // 40 seconds' worth, of which three are crowded.
    let crowds = [(3, 30), (4, 1), (5, 25), (6, 0), (7, 40), (8, 2)];
    let seconds: Vec<i64> =
        crowds.iter().flat_map(|(second, count)| vec![*second; *count]).collect();
    let all = store(&client, &seconds, 1).await;
    for page_events in [1, 7, 25, 98, 500] {
        let options = PageOptions { page_events, ..PageOptions::default() };
        // Overlapping filters, and a limit that is not the page's.
        let filters = vec![Filter::new().kinds([1]).limit(3), Filter::new().kinds([1, 2])];
        let mut pages = client.pages(filters.clone(), options.clone()).unwrap();
        let mut other = client.pages(filters, options).unwrap();
        let mut got = Vec::new();
        let mut number = 0;
        while let Some(page) = pages.next().await.unwrap() {
            assert!(page.events.len() <= page_events && !page.events.is_empty());
            assert_eq!(page.cut_second, None);
            let first = &page.events[0].0;
            if number < 2 {
                let again = other.next().await.unwrap().unwrap();
                assert_eq!(again.events[0].0.id, first.id, "readers share nothing");
            }
            got.extend(page.events.iter().map(|(event, _)| event.content.clone()));
            number += 1;
        }
        assert_eq!(got, texts(&all), "pages of {page_events}");
        assert_eq!(pages.next().await.unwrap(), None, "the end stays the end");
    }
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_keep_within_the_filters_times_and_see_what_comes_later_only_if_it_is_older() {
    let client = start(ClientConfig::default()).await;
    sign_in(&client).await;
    let all = store(&client, &[1, 2, 3, 4, 5, 6], 1).await;
    let filter = Filter { since: Some(TIME + 2), until: Some(TIME + 5), ..Filter::new() };
    let options = PageOptions { page_events: 3, ..PageOptions::default() };
    let mut pages = client.pages(vec![filter], options).unwrap();
    let first = pages.next().await.unwrap().unwrap();
    assert_eq!(first.events.len(), 3);
    // One newer than what was read, one older.
    let late = store(&client, &[4, 2], 7).await;
    let mut rest = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        rest.extend(page.events.iter().map(|(event, _)| event.id));
    }
    let expected: BTreeSet<_> = [all[4].id, late[1].id].into();
    assert_eq!(rest.iter().copied().collect::<BTreeSet<_>>(), expected);
    assert_eq!(rest.len(), 2);
    let none = PageOptions { page_events: 0, ..PageOptions::default() };
    assert!(matches!(client.pages(vec![], none), Err(ClientError::Invalid(_))));
    client.close().await;
}

struct NoSevens;

impl Pipe for NoSevens {
    fn take(&mut self, item: &Item<'_>, _: &mut Notes) -> Step {
        assert!(!item.event().content.ends_with('5'), "a five");
        if item.event().content.ends_with('7') { Step::Drop("a seven") } else { Step::Pass }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_pipes_empty_is_not_the_end_and_counts_come_once() {
    let client = start(ClientConfig::default()).await;
    sign_in(&client).await;
    store(&client, &(0..20).collect::<Vec<_>>(), 1).await;
    let pipes = vec![
        PipeSpec::Custom(CustomPipe::new("no sevens", || NoSevens)),
        PipeSpec::Counter(CounterOptions::default()),
    ];
    let query = QueryOptions { pipes: Some(pipes), ..QueryOptions::default() };
    let options = PageOptions { page_events: 1, query };
    let mut pages = client.pages(vec![Filter::new()], options).unwrap();
    let (mut events, mut counts) = (0, Vec::new());
    while let Some(page) = pages.next().await.unwrap() {
        events += page.events.len();
        for (_, note) in page.notes {
            let PipeNote::Counts(count) = note else { panic!("{note:?}") };
            counts.push(count.total.all);
        }
    }
    assert_eq!((events, counts), (16, vec![16]));
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_pipes_hold_for_whoever_names_none_and_are_counted_in_the_status() {
    let mut config = ClientConfig::default();
    config.pipeline.pipes = vec!["kind-filter".to_owned()];
    config.pipeline.kind_filter.deny = [7].into();
    let client = start(config).await;
    sign_in(&client).await;
    let notes = store(&client, &[1, 2], 1).await;
    store(&client, &[3, 4], 7).await;
    let filters = || vec![Filter::new().kinds([1, 7])];
    assert_eq!(contents(client.query(filters()).await.unwrap()).await, texts(&notes));
    let options = QueryOptions { pipes: Some(vec![]), ..QueryOptions::default() };
    let all = client.query_with(filters(), options).await.unwrap();
    assert_eq!(contents(all).await.len(), 4);

    // A live event goes through the same pipes as a stored one.
    let mut live = client.subscribe(filters()).await.unwrap();
    while live.next().await.unwrap() != SubscriptionEvent::EndOfStored {}
    store(&client, &[5], 7).await;
    let last = store(&client, &[6], 1).await;
    let item = live.next().await.unwrap();
    let Some(Ok(ParsedKind::TextNote(note))) = item.view() else { panic!("{item:?}") };
    assert_eq!(note.content.text(), last[0].content);
    let stats = live.stats();
    assert_eq!((stats.delivered, stats.filtered, stats.pipes[0].dropped), (3, 3, 3));
    assert!(stats.first_event_ms.is_some() && stats.complete_ms.is_some());
    let status = client.status().subscriptions;
    assert_eq!(status.held_back["kind-filter"], 3);
    client.close().await;
}

#[tokio::test]
async fn pipes_that_do_not_exist_are_refused_before_anything_starts() {
    let mut config = ClientConfig::default();
    config.pipeline.pipes = vec!["spam-filter".to_owned()];
    let error = NostrClient::new(config).await.unwrap_err();
    let StartError::Config { key, problem } = error else { panic!("{error:?}") };
    assert_eq!(key, "pipeline.pipes");
    assert!(problem.contains("kind-filter, mute"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_ends_at_its_own_limits_and_says_which() {
    let client = start(ClientConfig::default()).await;
    sign_in(&client).await;
    store(&client, &[1, 2, 3], 1).await;
    let limits = |max_events, max_bytes| DeliveryLimits { max_events, max_bytes };
    let time = Some(Duration::from_millis(20));
    for (limits, deadline, events, reason) in [
        (limits(Some(2), None), None, 2, "as many events"),
        (limits(None, Some(400)), None, 2, "as many bytes"),
        (limits(None, None), time, 3, "the time of the subscription is over"),
    ] {
        let options = SubscribeOptions { limits, deadline, ..SubscribeOptions::default() };
        let mut stream = client.subscribe_with(vec![Filter::new()], options).await.unwrap();
        let mut got = 0;
        let mut said = String::new();
        while let Some(item) = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap() {
            match item {
                SubscriptionEvent::Event { .. } => got += 1,
                SubscriptionEvent::Closed { reason } => said = reason,
                _ => {}
            }
        }
        assert!(said.contains(reason), "{said:?} of {reason:?}");
        // The deadline may come before the store has answered.
        assert!(got == events || deadline.is_some(), "{got} of {events}");
    }
    client.close().await;
}

/// nostr#10: a channel that overflowed lost events and told nobody.
#[tokio::test(flavor = "multi_thread")]
async fn nostr_10_a_reader_that_lags_learns_how_many_events_it_lost() {
    let client = start(ClientConfig::default()).await;
    sign_in(&client).await;
    let options = SubscribeOptions {
        overflow: Overflow::DropOldest,
        queue_events: Some(4),
        ..SubscribeOptions::default()
    };
    let mut stream = client.subscribe_with(vec![Filter::new()], options).await.unwrap();
    assert_eq!(stream.next().await, Some(SubscriptionEvent::EndOfStored));
    let all = store(&client, &(0..50).collect::<Vec<_>>(), 1).await;
    let (mut got, mut missed) = (0, 0);
    while got + missed < all.len() as u64 {
        match tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap() {
            SubscriptionEvent::Event { .. } => got += 1,
            SubscriptionEvent::Lagged { missed: more } => missed += more,
            _ => {}
        }
    }
    assert_eq!((got, missed), (4, 46));
    assert_eq!(stream.stats().lagged, 46);
    client.close().await;
}

/// RUSTSEC-2026-0230: a filter with an empty search matched everything.
#[tokio::test(flavor = "multi_thread")]
async fn rustsec_2026_0230_an_empty_search_is_refused_like_any_other() {
    let client = start(ClientConfig::default()).await;
    for search in ["", " ", "x"] {
        let filter = Filter { search: Some(search.to_owned()), ..Filter::new() };
        let pages = client.pages(vec![filter.clone()], PageOptions::default());
        let refused = [
            client.subscribe(vec![filter.clone()]).await.map(drop),
            client.query(vec![filter.clone()]).await.map(drop),
            client.count(vec![filter]).await.map(drop),
            pages.unwrap().next().await.map(drop),
        ];
        for refused in refused {
            assert!(matches!(refused, Err(ClientError::Unsupported(_))), "{refused:?}");
        }
    }
    client.close().await;
}

/// L16: every subscription and every publish once left something behind.
#[tokio::test(flavor = "multi_thread")]
async fn l16_a_thousand_subscriptions_and_publishes_leave_no_subscription_open() {
    let client = start(ClientConfig::default()).await;
    let me = sign_in(&client).await;
    for n in 0..1_000 {
        let stream = client.subscribe(vec![Filter::new().kinds([1])]).await.unwrap();
        if n % 20 == 0 {
            let template = UnsignedEvent::new(me, TIME + n, 1, vec![], n.to_string());
            let event = client.sign(template).await.unwrap();
            client.publish(event).await.unwrap();
        }
        drop(stream);
    }
    eventually("no subscription", || client.status().subscriptions.open == 0).await;
    assert_eq!(client.status().unanswered_publishes, 0);
    client.close().await;
}
