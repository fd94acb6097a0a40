//! A service that has its own supervised worker beside a `NostrClient`: the worker counts notes
//! by author, panics now and then, and is back for the next note.
//!
//! `cargo run -p nipworker-core --example service -- wss://relay.example.com`
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, error::Error};

use actix::{Actor, Context, Handler, Message};
use futures::StreamExt;
use nipworker_core::protocol::{Filter, PublicKey};
use nipworker_core::supervision::{
    Address, ChildSpec, Intensity, MailboxConfig, Strategy, Supervisor,
};
use nipworker_core::{NostrClient, SubscriptionEvent};

/// What must survive the worker lives outside of it.
type Tally = Arc<Mutex<HashMap<PublicKey, u64>>>;

struct Seen(PublicKey);

impl Message for Seen {
    type Result = u64;
}

struct Counter(Tally);

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<Seen> for Counter {
    type Result = u64;

    fn handle(&mut self, Seen(author): Seen, _ctx: &mut Self::Context) -> u64 {
        assert!(author.as_bytes()[31] != 0, "this worker cannot stand keys that end in zero");
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = tally.entry(author).or_default();
        *count += 1;
        *count
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let relay = env::args().nth(1).ok_or("first argument: a relay, ws:// or wss://")?;
    let tally = Tally::default();
    let counter = Address::<Counter>::new("counter", MailboxConfig::default());
    let tree = Supervisor::builder("service")
        .strategy(Strategy::OneForOne)
        .intensity(Intensity { max_restarts: 10, within: std::time::Duration::from_secs(60) })
        .child(ChildSpec::new(counter.clone(), move |_| {
            Ok::<_, std::convert::Infallible>(Counter(tally.clone()))
        }))
        .start()
        .await?;

    let client = NostrClient::builder().relay(&relay)?.build().await?;
    let mut notes = client.subscribe(vec![Filter::new().kinds([1]).limit(100)]).await?;
    while let Some(item) = notes.next().await {
        let SubscriptionEvent::Event { event, .. } = item else { continue };
        match counter.ask(Seen(event.pubkey)).await {
            Ok(count) => println!("{} wrote {count} notes", event.pubkey),
            Err(error) => println!("not counted: {error}"),
        }
    }
    println!("{}\n{}", tree.status(), client.status().supervisor);
    client.close().await;
    tree.stop().await;
    Ok(())
}
