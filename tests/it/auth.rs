//! Relays of others that want to know who we are (NIP-42): rust-nostr's, which serves nobody else,
//! and nostr-rs-relay, which hides private messages.

use std::time::Duration;

use futures::StreamExt;
use nipworker_core::{
    AuthState, ClientConfig, Consent, NostrClient, RelayNews, SubscriptionEvent,
    protocol::{AuthProblem, Event, EventId, Filter, RelayUrl, Tag},
};
use nipworker_tests::{
    events::{Author, now},
    relay::Relay,
    socket::Socket,
    wait::within,
};
use serde_json::{Value, json};

/// How long anything may take on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

async fn client(relay: &Relay, author: &Author, consent: Consent) -> NostrClient {
    let url = RelayUrl::parse(&relay.url()).unwrap();
    let mut config = ClientConfig { relays: vec![url], ..ClientConfig::default() };
    config.connections.auth = consent;
    NostrClient::builder()
        .config(config)
        .signer(std::sync::Arc::new(author.signer()))
        .build()
        .await
        .unwrap()
}

/// Ids that come until the end of stored events, and then until `done`.
async fn read(client: &NostrClient, filter: Filter, done: impl Fn(&[EventId]) -> bool) {
    let mut stream = client.subscribe(vec![filter]).await.unwrap();
    let (mut ids, mut ended) = (Vec::new(), false);
    let read = async {
        while !(ended && done(&ids)) {
            match stream.next().await.expect("the subscription goes on") {
                SubscriptionEvent::Event { event, .. } => ids.push(event.id),
                SubscriptionEvent::EndOfStored => ended = true,
                SubscriptionEvent::Relay { news: RelayNews::Unauthenticated(problem), .. } => {
                    panic!("{problem}")
                }
                _ => {}
            }
        }
    };
    within("the events of a relay that knows us", PATIENCE, read).await;
}

/// Authenticates by hand, so that a test can put something into a closed relay.
async fn open_as(relay: &Relay, author: &Author) -> Socket {
    let url = relay.url();
    let mut socket = Socket::open(&url).await;
    // This relay sends its challenge with the first refusal.
    socket.say(&json!(["REQ", "who", { "limit": 1 }])).await;
    let challenge = socket.hear_one_of(&["AUTH"]).await;
    let tag = |name: &str, value: &str| Tag::new([name, value]);
    let tags = vec![tag("relay", &url), tag("challenge", challenge[1].as_str().unwrap())];
    let answer = author.event(22_242, tags, "", now());
    socket.say(&json!(["AUTH", answer])).await;
    loop {
        let frame = socket.hear_one_of(&["OK"]).await;
        if frame[1] == json!(answer.id) {
            assert_eq!(frame[2], true, "{frame}");
            return socket;
        }
    }
}

fn report(client: &NostrClient) -> Value {
    json!(client.status().relays[0])
}

#[tokio::test]
async fn a_relay_that_serves_only_whom_it_knows_serves_us() {
    let (me, other) = (Author::new(), Author::new());
    let relay = Relay::local_for_known().await;
    let mut socket = open_as(&relay, &other).await;
    let stored: Vec<Event> = other.notes("stored", 20);
    for event in &stored {
        assert!(socket.publish(&event.to_json()).await.0);
    }
    let client = client(&relay, &me, Consent::Configured).await;

    // Nobody has been here before: the subscription waits until the relay knows us.
    let all = |ids: &[EventId]| stored.iter().all(|event| ids.contains(&event.id));
    read(&client, Filter::new().authors([other.key()]), all).await;
    assert_eq!(client.status().relays[0].auth, AuthState::Authenticated);

    let note = me.note("published");
    let sent = within("an answer", PATIENCE, client.publish(note.clone())).await.unwrap();
    assert_eq!(sent.accepted(), 1, "{sent:?}");
    let filter = json!({ "authors": [me.key()] });
    assert_eq!(socket.fetch(&filter).await.len(), 1);
    let told = report(&client);
    assert!(told["auths_accepted"].as_u64() >= Some(1), "{told}");
    assert!(told["auth_resent"].as_u64() >= Some(1), "{told}");
    client.close().await;
}

#[tokio::test]
async fn an_event_is_published_where_nothing_was_asked_before() {
    let me = Author::new();
    let relay = Relay::local_for_known().await;
    let client = client(&relay, &me, Consent::All).await;
    let sent = within("an answer", PATIENCE, client.publish(me.note("first"))).await.unwrap();
    assert_eq!(sent.accepted(), 1, "{sent:?}");
    client.close().await;
}

#[tokio::test]
async fn without_consent_the_relay_learns_nothing_and_the_reason_is_told() {
    let me = Author::new();
    let relay = Relay::local_for_known().await;
    let client = client(&relay, &me, Consent::Off).await;
    let filter = Filter::new().authors([me.key()]);
    let mut stream = client.subscribe(vec![filter]).await.unwrap();
    let news = async {
        loop {
            let item = stream.next().await.expect("the subscription goes on");
            if let SubscriptionEvent::Relay { news: RelayNews::Unauthenticated(problem), .. } = item
            {
                return problem;
            }
        }
    };
    let problem = within("the reason", PATIENCE, news).await;
    assert_eq!(problem, AuthProblem::NoConsent);
    let sent = within("an answer", PATIENCE, client.publish(me.note("kept"))).await.unwrap();
    assert_eq!(sent.receipts[0].auth, Some(AuthProblem::NoConsent), "{sent:?}");
    let status = client.status();
    let told = &status.relays[0];
    assert_eq!((told.auth, told.auths_sent), (AuthState::Declined, 0), "{told:?}");
    assert!(told.auth_challenges > 0, "{told:?}");
    client.close().await;
}

#[tokio::test]
async fn private_messages_come_from_a_relay_that_hides_them_from_strangers() {
    let (me, other) = (Author::new(), Author::new());
    let relay = Relay::nostr_rs_with_private_messages().await;
    let mut socket = Socket::open(&relay.url()).await;
    let to_me = vec![Tag::new(["p", &me.key().to_string()])];
    let messages: Vec<Event> =
        (0..20).map(|n| other.event(4, to_me.clone(), &format!("sealed {n}"), now() - n)).collect();
    for message in &messages {
        let (accepted, reason) = socket.publish(&message.to_json()).await;
        assert!(accepted, "{reason}");
    }
    let filter = Filter::new().kinds([4]).tag('p', [me.key().to_string()]);
    let strangers = socket.fetch(&json!({ "kinds": [4] })).await;
    assert_eq!(strangers.len(), 0, "the relay hides them");

    let client = client(&relay, &me, Consent::Configured).await;
    let all = |ids: &[EventId]| messages.iter().all(|event| ids.contains(&event.id));
    read(&client, filter.clone(), all).await;
    // This relay does not answer an `AUTH` that it accepts.
    assert_eq!(client.status().relays[0].auths_sent, 1);
    client.close().await;

    // A query has them too: its end is not told before the relay knows us.
    let client = self::client(&relay, &me, Consent::Configured).await;
    let mut found = client.query(vec![filter]).await.unwrap();
    let read = async {
        let mut ids = Vec::new();
        while let Some(item) = found.next().await {
            if let SubscriptionEvent::Event { event, .. } = item {
                ids.push(event.id);
            }
        }
        ids
    };
    assert_eq!(within("the query's end", PATIENCE, read).await.len(), messages.len());
    client.close().await;
}
