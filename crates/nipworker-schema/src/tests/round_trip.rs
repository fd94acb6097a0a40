//! What goes in comes out.

use proptest::prelude::*;

use super::strategies;
use crate::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_client_message_comes_out_as_it_went_in(message in strategies::client()) {
        prop_assert_eq!(ClientEdge::encode(message.clone()).decode(), Ok(message));
    }

    #[test]
    fn an_ingest_message_comes_out_as_it_went_in(message in strategies::ingest()) {
        prop_assert_eq!(IngestEdge::encode(message.clone()).decode(), Ok(message));
    }

    #[test]
    fn a_crypto_message_comes_out_as_it_went_in(message in strategies::crypto()) {
        prop_assert_eq!(CryptoEdge::encode(message.clone()).decode(), Ok(message));
    }

    #[test]
    fn a_cache_message_comes_out_as_it_went_in(message in strategies::cache()) {
        prop_assert_eq!(CacheEdge::encode(message.clone()).decode(), Ok(message));
    }

    #[test]
    fn a_relay_message_comes_out_as_it_went_in(message in strategies::relay()) {
        prop_assert_eq!(RelayEdge::encode(message.clone()).decode(), Ok(message));
    }

    #[test]
    fn a_miner_message_comes_out_as_it_went_in(message in strategies::miner()) {
        prop_assert_eq!(MinerEdge::encode(message.clone()).decode(), Ok(message));
    }
}

#[test]
fn an_empty_union_reaches_the_other_side_as_a_failure() {
    let edge = ClientEdge::encode(ClientMessageT::NONE);
    let message = edge.decode().unwrap();
    let failed = message.as_failed().unwrap();
    assert_eq!(failed.code, FailureCode::Invalid);
    assert!(!failed.transient);
}

#[test]
fn failed_carries_code_reason_and_hint() {
    let edge = MinerEdge::failed(FailureCode::Timeout, "no answer within 500 ms", true);
    let message = edge.decode().unwrap();
    let failed = message.as_failed().unwrap();
    assert_eq!(failed.to_string(), "timeout: no answer within 500 ms (transient)");
}

#[test]
fn debug_output_shows_the_size_and_not_the_content() {
    let edge = ClientEdge::encode(UnsubscribeT { subscription: "private-name".to_owned() });
    let shown = format!("{edge:?}");
    assert_eq!(shown, format!("ClientEdge({} bytes)", edge.as_bytes().len()));
}

#[test]
fn a_clone_shares_the_bytes() {
    let edge = ClientEdge::encode(CountedT { count: 7, hll: None });
    let clone = edge.clone();
    assert_eq!(edge.as_bytes().as_ptr(), clone.as_bytes().as_ptr());
    assert_eq!(ClientEdge::from_bytes(clone.into_bytes()), edge);
}

#[cfg(feature = "actix")]
#[test]
fn an_actor_answers_a_message_on_the_same_edge() {
    use actix::{Actor, Context, Handler};

    struct Counter;
    impl Actor for Counter {
        type Context = Context<Self>;
    }
    impl Handler<ClientEdge> for Counter {
        type Result = ClientEdge;

        fn handle(&mut self, request: ClientEdge, _: &mut Context<Self>) -> ClientEdge {
            match request.decode() {
                Ok(ClientMessageT::Count(count)) => {
                    ClientEdge::encode(CountedT { count: count.filters.len() as u64, hll: None })
                }
                _ => ClientEdge::failed(FailureCode::Invalid, "not a count", false),
            }
        }
    }

    actix_rt::System::new().block_on(async {
        let counter = Counter.start();
        let request =
            ClientEdge::encode(CountT { filters: vec![FilterT::default(); 3], hll: false });
        let answer = counter.send(request).await.unwrap().decode().unwrap();
        assert_eq!(answer.as_counted().map(|counted| counted.count), Some(3));
    });
}
