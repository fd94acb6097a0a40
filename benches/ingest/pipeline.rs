//! Frames in, verified events out, beside the bare signature check.

use std::{hint::black_box, time::Duration};

use nipworker_benches::{
    Contender, figures_by_round, median, median_ratio, process_cpu, thread_cpu,
};
use nipworker_pipeline::{Pipeline, Source, Verdict};
use nipworker_protocol::{Event, EventFrame, Filter};
use nipworker_signer::{SignedId, Verifier};
use secp256k1::{SECP256K1, XOnlyPublicKey, schnorr};

use crate::{Options, texts};

/// Frames that are handed on together, at most what a relay's batch holds.
const BATCH: usize = 256;
/// Batches under way at once.
const AHEAD: usize = 4;

pub(crate) fn run(options: &Options) {
    for (name, texts) in [("real", texts::real()), ("corpus", texts::corpus(options.events))] {
        one_corpus(options, name, &texts);
    }
}

fn one_corpus(options: &Options, name: &str, texts: &[String]) {
    let frames = texts::frames(texts);
    let events: Vec<Event> = texts.iter().map(|text| texts::decode(text)).collect();
    let authors: std::collections::HashSet<_> = events.iter().map(|event| event.pubkey).collect();
    let bytes = texts.iter().map(String::len).sum::<usize>() / texts.len();
    let per_second = |cpu: Duration| events.len() as f64 / cpu.as_secs_f64();
    let mut utilisation = [Vec::new(), Vec::new()];
    let [one_thread, two_threads] = &mut utilisation;
    let mut contenders: Vec<Contender<'_>> = vec![
        ("bare secp256k1 verify, 1 thread", Box::new(|| per_second(bare(&events, 1)))),
        ("bare secp256k1 verify, 2 threads", Box::new(|| per_second(bare(&events, 2)))),
        ("pipeline, 1 thread of the pool", Box::new(|| per_second(ours(&frames, 1, one_thread)))),
        ("pipeline, 2 threads of the pool", Box::new(|| per_second(ours(&frames, 2, two_threads)))),
        ("nostr crate, parse and verify", Box::new(|| per_second(nostr_crate(texts)))),
        ("duplicates, same subscription", Box::new(|| per_second(duplicates(&frames)))),
    ];
    let names: Vec<String> = contenders.iter().map(|(name, _)| (*name).to_owned()).collect();
    let figures = figures_by_round(options.rounds, &mut contenders);
    drop(contenders);
    println!(
        "## Pipeline, {name}: {} events of {} authors, {bytes} bytes on average\n",
        events.len(),
        authors.len()
    );
    println!("| what | events/s of CPU | µs each | of the bare check |");
    println!("|---|---:|---:|---:|");
    for (at, (name, rates)) in names.iter().zip(&figures).enumerate() {
        let bare = &figures[usize::from(at == 1 || at == 3)];
        let (rate, ratio) = (median(rates), 100.0 * median_ratio(rates, bare));
        println!("| {name} | {rate:.0} | {:.2} | {ratio:.1} % |", 1e6 / rate);
    }
    println!(
        "\nThreads of the pool at work while there were batches: {:.0} % of one, {:.0} % of two.\n",
        100.0 * median(&utilisation[0]),
        100.0 * median(&utilisation[1]),
    );
}

/// Checks all signatures on so many threads; the CPU time of all of them.
fn bare(events: &[Event], threads: usize) -> Duration {
    let check = |events: &[Event]| {
        let begin = thread_cpu();
        for event in events {
            let key = XOnlyPublicKey::from_slice(event.pubkey.as_bytes()).unwrap();
            let sig = schnorr::Signature::from_byte_array(*event.sig.as_bytes());
            SECP256K1.verify_schnorr(&sig, event.id.as_bytes(), &key).unwrap();
        }
        thread_cpu() - begin
    };
    if threads == 1 {
        return check(events);
    }
    std::thread::scope(|scope| {
        let parts = events.chunks(events.len().div_ceil(threads));
        let handles: Vec<_> = parts.map(|part| scope.spawn(move || check(part))).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).sum()
    })
}

/// What a relay's socket and the parser do with frames, up to the check: the scan, and decoding,
/// id, dedupe and filter match in batches.
fn take_in<'f>(
    pipeline: &'f Pipeline,
    frames: &'f [String],
    is_seen: bool,
) -> impl Iterator<Item = nipworker_pipeline::Ingest> + 'f {
    let filters = [Filter::new().since(1)];
    let source = Source::relay("wss://relay.example");
    frames.chunks(BATCH).map(move |frames| {
        let events: Vec<String> = frames
            .iter()
            .map(|frame| EventFrame::find(black_box(frame)).unwrap().event.to_owned())
            .collect();
        pipeline.ingest(source.clone(), Some(&filters), &events, |_| is_seen)
    })
}

/// The whole way, with so many threads that check signatures; the CPU time of the process.
fn ours(frames: &[String], threads: usize, utilisation: &mut Vec<f64>) -> Duration {
    let (pipeline, verifier) = (Pipeline::default(), Verifier::new(Some(threads)).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let begin = process_cpu();
    let mut under_way = std::collections::VecDeque::new();
    let mut done = 0;
    let mut settle = |(ingest, verdicts): (_, nipworker_signer::VerifyFuture)| {
        let verdicts = runtime.block_on(verdicts).unwrap().into_iter().map(Verdict::from);
        let accepted = pipeline.accept(ingest, &verdicts.collect::<Vec<_>>(), 0).unwrap();
        for genuine in &accepted.genuine {
            pipeline.remember(genuine);
        }
        done += accepted.genuine.len();
    };
    for ingest in take_in(&pipeline, frames, false) {
        let items = ingest.to_verify.iter().map(|it| SignedId::from(it.view())).collect();
        let verdicts = verifier.verify(items);
        under_way.push_back((ingest, verdicts));
        if under_way.len() >= AHEAD {
            under_way.pop_front().into_iter().for_each(&mut settle);
        }
    }
    under_way.into_iter().for_each(&mut settle);
    let cpu = process_cpu() - begin;
    assert_eq!(done, frames.len());
    let metrics = verifier.pool().metrics().threads;
    let busy: u64 = metrics.iter().map(|it| it.busy_ns).sum();
    let idle: u64 = metrics.iter().map(|it| it.idle_with_job_ns).sum();
    utilisation.push(busy as f64 / (busy + idle) as f64);
    cpu
}

/// Frames that this subscription got before.
fn duplicates(frames: &[String]) -> Duration {
    let pipeline = Pipeline::default();
    for ingest in take_in(&pipeline, frames, false) {
        let verdicts = vec![Verdict::Valid; ingest.to_verify.len()];
        let accepted = pipeline.accept(ingest, &verdicts, 0).unwrap();
        accepted.genuine.iter().for_each(|genuine| pipeline.remember(genuine));
    }
    let begin = thread_cpu();
    let mut seen = 0;
    for ingest in take_in(&pipeline, frames, true) {
        seen += ingest.seen.len();
    }
    let cpu = thread_cpu() - begin;
    assert_eq!(seen, frames.len());
    cpu
}

fn nostr_crate(texts: &[String]) -> Duration {
    let begin = thread_cpu();
    for text in texts {
        serde_json::from_str::<nostr::event::Event>(black_box(text)).unwrap().verify().unwrap();
    }
    thread_cpu() - begin
}
