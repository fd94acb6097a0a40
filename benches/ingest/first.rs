//! How soon the first event comes.

use std::{sync::Arc, time::Instant};

use futures::StreamExt;
use nipworker_benches::median;
use nipworker_core::{
    ClientConfig, NostrClient, SubscriptionEvent, protocol::Filter,
    transport::memory::MemoryNetwork,
};

use crate::{Options, client, texts};

const RELAYS: usize = 5;
/// Events that each relay sends, the same ones.
const EVENTS: u64 = 1_000;
/// Cold clients for each round of the other parts.
const CLIENTS_PER_ROUND: usize = 5;

pub(crate) fn run(options: &Options) {
    let texts: Arc<Vec<String>> = Arc::new(texts::corpus(EVENTS));
    let times: Vec<[f64; 2]> =
        (0..options.rounds * CLIENTS_PER_ROUND).map(|_| cold_client(&texts)).collect();
    println!("## First event, {RELAYS} relays with the same {EVENTS} events\n");
    println!("| {} cold clients, from the question on | median ms | slowest ms |", times.len());
    println!("|---|---:|---:|");
    for (at, name) in ["first event", "all stored events"].into_iter().enumerate() {
        let times: Vec<f64> = times.iter().map(|times| times[at]).collect();
        let slowest = times.iter().copied().fold(0.0, f64::max);
        println!("| {name} | {:.2} | {slowest:.2} |", median(&times));
    }
    println!();
}

/// Milliseconds from the question to the first event, and to the end of the stored ones.
fn cold_client(texts: &Arc<Vec<String>>) -> [f64; 2] {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let network = MemoryNetwork::new();
        let relays = (1..=RELAYS).map(|number| client::relay(&network, number, texts)).collect();
        let mut config = ClientConfig { relays, ..ClientConfig::default() };
        config.crypto.threads = 2;
        config.miner.threads = 1;
        let builder = NostrClient::builder().config(config).transport(Arc::new(network));
        let client = builder.build().await.unwrap();
        let begin = Instant::now();
        let milliseconds = || begin.elapsed().as_secs_f64() * 1e3;
        let mut stream = client.query(vec![Filter::new().since(1)]).await.unwrap();
        let mut first = None;
        while let Some(item) = stream.next().await {
            match item {
                SubscriptionEvent::Event { .. } => {
                    first.get_or_insert_with(milliseconds);
                }
                SubscriptionEvent::EndOfStored => break,
                _ => {}
            }
        }
        let all = milliseconds();
        drop(stream);
        client.close().await;
        [first.unwrap(), all]
    })
}
