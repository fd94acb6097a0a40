//! Answers "pong" to every note that says "ping".
//!
//! `cargo run -p nipworker-core --example bot -- wss://relay.example.com nsec1…`
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{env, error::Error, sync::Arc, time::SystemTime};

use futures::StreamExt;
use nipworker_core::protocol::{Filter, Tag, UnsignedEvent};
use nipworker_core::{NostrClient, PrivateKeySigner, SecretKey, SubscriptionEvent};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let relay = args.next().ok_or("first argument: a relay, ws:// or wss://")?;
    let key = args.next().ok_or("second argument: a secret key, nsec or hex")?;
    let client = NostrClient::builder().relay(&relay)?.build().await?;
    client.set_signer(Some(Arc::new(PrivateKeySigner::new(SecretKey::parse(&key)?))));
    let me = client.public_key().await?;

    let now = || SystemTime::UNIX_EPOCH.elapsed().map_or(0, |age| age.as_secs() as i64);
    let mut notes = client.subscribe(vec![Filter::new().kinds([1]).since(now())]).await?;
    while let Some(item) = notes.next().await {
        let SubscriptionEvent::Event { event, .. } = item else { continue };
        if event.content != "ping" || event.pubkey == me {
            continue;
        }
        let tags =
            vec![Tag::new(["e", &event.id.to_hex()]), Tag::new(["p", &event.pubkey.to_hex()])];
        let reply = client.sign(UnsignedEvent::new(me, now(), 1, tags, "pong")).await?;
        for receipt in client.publish(reply).await?.receipts {
            eprintln!("{}: {:?} {}", receipt.relay, receipt.status, receipt.message);
        }
    }
    Ok(())
}
