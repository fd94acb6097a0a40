//! Mining that is no event, beside events that are mined.

use std::time::Duration;

use nipworker_core::{
    ClientConfig, MiningOutcome, NostrClient,
    tip5::{self, JobLimits, Outcome, Tip5Input},
};
use nipworker_tests::{events::Author, turn, wait::within};

const END: Duration = Duration::from_secs(60);

/// As many digests as one in 512 are hits.
fn input(header: u64) -> Tip5Input {
    Tip5Input { header: [header, 2, 3, 4, 5], target: [0, 0, 0, 0, 1 << 55], nonce_tail: [0; 4] }
}

#[tokio::test]
async fn a_tip5_search_and_an_event_share_the_threads() {
    let _turn = turn::beside_others().await;
    let client = NostrClient::new(ClientConfig::default()).await.unwrap();
    let template = Author::new().template(1, vec![], "beside a search", 1_700_000_000);
    let endless = client.mine(template.clone(), 256).await.unwrap();
    let search = client.search_tip5(&input(1), JobLimits::default()).unwrap();
    let event = client.mine(template, 12).await.unwrap();
    let Outcome::Found(hit) = within("a nonce", END, search.ended()).await else {
        panic!("every 512th nonce is one");
    };
    let outcome = within("an event", END, event.solved()).await.unwrap();
    assert!(matches!(outcome, MiningOutcome::Found { .. }), "{outcome:?}");
    let digest = tip5::hash(input(1).header, [hit.index, 0, 0, 0, 0]);
    assert!(digest[4] <= 1 << 55, "{digest:?}");
    assert_eq!(hit.solution["digest"], serde_json::json!(digest));
    assert_eq!(search.progress().workload, tip5::WORKLOAD_NAME);
    endless.cancel().await.unwrap();
    client.close().await;
}

#[tokio::test]
async fn an_element_outside_the_field_is_refused() {
    let _turn = turn::beside_others().await;
    let client = NostrClient::new(ClientConfig::default()).await.unwrap();
    let refused = client.search_tip5(&input(tip5::MODULUS), JobLimits::default());
    assert!(refused.unwrap_err().to_string().contains("header[0]"));
    let limits = JobLimits { max_attempts: Some(0), ..JobLimits::default() };
    let refused = client.search_tip5(&input(1), limits);
    assert!(refused.unwrap_err().to_string().contains("max_attempts"));
    client.close().await;
}
