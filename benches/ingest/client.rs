//! Through the workers of a client.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use nipworker_benches::{figures_by_round, median, median_ratio, process_cpu, thread_cpu};
use nipworker_core::{
    ClientConfig, NostrClient, SubscriptionEvent,
    protocol::{ClientMessage, Event, Filter, RelayUrl},
    transport::memory::{ClientFrame, MemoryNetwork},
};
use secp256k1::{SECP256K1, XOnlyPublicKey, schnorr};

use crate::{Options, texts};

pub(crate) fn run(options: &Options) {
    let texts: Arc<Vec<String>> = Arc::new(texts::corpus(options.events));
    let events: Vec<Event> = texts.iter().map(|text| texts::decode(text)).collect();
    let rate = |events: usize, cpu: Duration| events as f64 / cpu.as_secs_f64();
    let mut contenders: Vec<nipworker_benches::Contender<'_>> = vec![
        ("bare secp256k1 verify", Box::new(|| rate(events.len(), bare(&events)))),
        (
            "client, 1 thread verifies",
            Box::new(|| {
                let (count, cpu) = client(&texts, 1);
                rate(count, cpu)
            }),
        ),
        (
            "client, 2 threads verify",
            Box::new(|| {
                let (count, cpu) = client(&texts, 2);
                rate(count, cpu)
            }),
        ),
    ];
    let names: Vec<String> = contenders.iter().map(|(name, _)| (*name).to_owned()).collect();
    let figures = figures_by_round(options.rounds, &mut contenders);
    drop(contenders);
    println!("## Client, {} events of the corpus\n", events.len());
    println!("| what | events/s of CPU | µs each | of the bare check |");
    println!("|---|---:|---:|---:|");
    for (name, rates) in names.iter().zip(&figures) {
        let (rate, ratio) = (median(rates), 100.0 * median_ratio(rates, &figures[0]));
        println!("| {name} | {rate:.0} | {:.2} | {ratio:.1} % |", 1e6 / rate);
    }
    println!();
}

fn bare(events: &[Event]) -> Duration {
    let begin = thread_cpu();
    for event in events {
        let key = XOnlyPublicKey::from_slice(event.pubkey.as_bytes()).unwrap();
        let sig = schnorr::Signature::from_byte_array(*event.sig.as_bytes());
        SECP256K1.verify_schnorr(&sig, event.id.as_bytes(), &key).unwrap();
    }
    thread_cpu() - begin
}

/// How many events came, and the CPU time of the process from the question to the end.
fn client(texts: &Arc<Vec<String>>, threads: usize) -> (usize, Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let network = MemoryNetwork::new();
        let mut config =
            ClientConfig { relays: vec![relay(&network, 1, texts)], ..ClientConfig::default() };
        config.crypto.threads = threads;
        config.miner.threads = 1;
        let builder = NostrClient::builder().config(config).transport(Arc::new(network));
        let client = builder.build().await.unwrap();
        let begin = process_cpu();
        let mut stream = client.query(vec![Filter::new().since(1)]).await.unwrap();
        let mut count = 0;
        while let Some(item) = stream.next().await {
            count += usize::from(matches!(item, SubscriptionEvent::Event { .. }));
        }
        let cpu = process_cpu() - begin;
        let stats = client.status().ingest.total;
        // Of replaceable events only the newest is delivered; each is checked.
        assert_eq!(stats.fresh as usize, texts.len(), "{stats:?}");
        drop(stream);
        client.close().await;
        assert!(count > 0);
        (texts.len(), cpu)
    })
}

/// A relay that answers every question with all events.
pub(crate) fn relay(network: &MemoryNetwork, number: usize, texts: &Arc<Vec<String>>) -> RelayUrl {
    let url = RelayUrl::parse(&format!("ws://relay{number}.test")).unwrap();
    let mut listener = network.listen(&url);
    let texts = Arc::clone(texts);
    tokio::spawn(async move {
        let mut peer = listener.accept().await;
        while let Some(ClientFrame::Text(frame)) = peer.receive().await {
            let ClientMessage::Req { subscription, .. } = ClientMessage::parse(&frame).unwrap()
            else {
                continue;
            };
            for text in texts.iter() {
                let frame = format!("[\"EVENT\",\"{subscription}\",{text}]");
                if peer.send_text(frame).await.is_err() {
                    return;
                }
            }
            if peer.send_text(format!("[\"EOSE\",\"{subscription}\"]")).await.is_err() {
                return;
            }
        }
    });
    url
}
