//! A supervised word count that has nothing to do with Nostr: a reader hands out lines in batches,
//! counters count them, one of which cannot stand a certain word, and a tally sums up.
//!
//! `cargo run -p nipworker-supervision --example words`
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use nipworker_supervision::prelude::*;

/// Sums up. Starts first and stops last, because everybody else sends to it.
#[derive(Default)]
struct Tally {
    words: BTreeMap<String, u64>,
}

impl Actor for Tally {
    type Context = Context<Self>;
}

/// From the counters to the tally.
struct Found(Vec<String>);

impl Message for Found {
    type Result = ();
}

impl Handler<Found> for Tally {
    type Result = ();

    fn handle(&mut self, Found(words): Found, _: &mut Self::Context) {
        for word in words {
            *self.words.entry(word).or_default() += 1;
        }
    }
}

/// Asks the tally for the most frequent words.
struct Top(usize);

impl Message for Top {
    type Result = Vec<(String, u64)>;
}

impl Handler<Top> for Tally {
    type Result = Vec<(String, u64)>;

    fn handle(&mut self, Top(n): Top, _: &mut Self::Context) -> Self::Result {
        let mut all: Vec<_> = self.words.clone().into_iter().collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all.truncate(n);
        all
    }
}

/// Splits lines into words.
struct Counter {
    tally: Recipient<Found>,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

/// A batch of lines: few fat messages cost less than many thin ones.
struct Lines(Vec<String>);

impl Message for Lines {
    type Result = usize;
}

impl Handler<Lines> for Counter {
    type Result = ResponseFuture<usize>;

    fn handle(&mut self, Lines(lines): Lines, _: &mut Self::Context) -> Self::Result {
        let words: Vec<String> =
            lines.iter().flat_map(|line| line.split(' ')).map(str::to_lowercase).collect();
        // A bug, on purpose: it costs this batch and nothing else.
        assert!(!words.iter().any(|word| word == "macbeth"), "unspeakable word");
        let (tally, count) = (self.tally.clone(), words.len());
        // Waits while the tally is busy, instead of piling up messages.
        Box::pin(async move {
            match tally.send(Found(words)).await {
                Ok(()) => count,
                Err(_) => 0,
            }
        })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let tally = Address::new("tally", MailboxConfig { capacity: 64, ..Default::default() });
    let counters: Vec<Address<Counter>> =
        (0..2).map(|n| Address::new(format!("counter-{n}"), MailboxConfig::default())).collect();

    let mut pool = Supervisor::builder("counters")
        .strategy(Strategy::OneForOne)
        .intensity(Intensity { max_restarts: 10, within: Duration::from_secs(1) });
    for counter in &counters {
        let found = tally.recipient::<Found>();
        pool = pool.child(ChildSpec::new(counter.clone(), move |_: &StartContext| {
            Ok::<_, String>(Counter { tally: found.clone() })
        }));
    }
    let tree = Supervisor::builder("words")
        .strategy(Strategy::RestForOne)
        .child(ChildSpec::new(tally.clone(), |_: &StartContext| Ok::<_, String>(Tally::default())))
        .supervisor(pool)
        .start_blocking()?;

    let lines = ["the quick brown fox", "jumps over the lazy dog", "and reads Macbeth"];
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        for (n, counter) in (0..30).zip(counters.iter().cycle()) {
            match counter.ask(Lines(vec![lines[n % 3].to_owned()])).await {
                Ok(words) => println!("batch {n}: {words} words"),
                Err(error) => println!("batch {n}: {error}"),
            }
        }
        println!("{:?}", tally.ask(Top(3)).await?);
        Ok::<(), AskError>(())
    })?;
    println!("{}", tree.status());
    let report = tree.stop_blocking();
    println!("stopped in {} ms, clean: {}", report.took_ms, report.is_clean());
    Ok(())
}
