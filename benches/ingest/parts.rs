//! One step at a time.

use std::hint::black_box;

use nipworker_benches::{figures_by_round, median, per_cpu_second};
use nipworker_pipeline::{
    Pipeline, Source, content::BlockKind, content::Content, kinds::ParsedKind,
};
use nipworker_protocol::{Event, EventFrame, Filter, RelayMessage};

use crate::{Options, texts};

/// Notes of a batch.
const BATCH: usize = 64;

/// Scans between two looks at the clock, which costs more than one of them.
const SCANS: u64 = 1_000;

/// A row: its name, its target in microseconds, and what is done once, with how many items.
type Row<'a> = (String, Option<f64>, Box<dyn FnMut() -> u64 + 'a>);

pub(crate) fn run(options: &Options) {
    let frames: Vec<(usize, f64, String)> = [(1, 0.5), (16, 1.3), (64, 4.5)]
        .map(|(kib, target)| (kib, target, texts::frame_of(kib * 1024)))
        .into();
    let notes: Vec<String> = (1..=BATCH as u8).map(|n| texts::typical(n).to_json()).collect();
    let size = notes.iter().map(String::len).sum::<usize>() / notes.len();
    let filters = [Filter::new().kinds([0, 3]), Filter::new().kinds([1, 6]).since(1)];
    let pipeline = Pipeline::default();
    let source = Source::relay("wss://relay.example");
    let ours = |texts: &[String]| {
        let ingest = pipeline.ingest(source.clone(), Some(&filters), black_box(texts), |_| false);
        assert_eq!(ingest.to_verify.len(), texts.len());
        texts.len() as u64
    };
    let rich = texts::rich();
    check_rich(&rich);

    let mut rows: Vec<Row<'_>> = Vec::new();
    for (kib, target, frame) in &frames {
        let scan = || {
            for _ in 0..SCANS {
                black_box(EventFrame::find(black_box(frame)).unwrap());
            }
            SCANS
        };
        rows.push((format!("frame scan, {kib} KB"), Some(*target), Box::new(scan)));
        let take = || {
            for _ in 0..SCANS {
                black_box(EventFrame::find(black_box(frame)).unwrap().event.to_owned());
            }
            SCANS
        };
        rows.push((format!("frame scan and copy of the event, {kib} KB"), None, Box::new(take)));
        let parse = || {
            black_box(RelayMessage::parse(black_box(frame)).unwrap());
            1
        };
        rows.push((format!("serde_json, all of the frame, {kib} KB"), None, Box::new(parse)));
    }

    let name = format!("decode, id, filter match, {size} bytes");
    rows.push((format!("{name}, batches of {BATCH}"), Some(3.0), Box::new(|| ours(&notes))));
    rows.push((format!("{name}, alone"), None, Box::new(|| ours(&notes[..1]))));
    rows.push((
        format!("the same by serde_json and sha2, {size} bytes"),
        None,
        Box::new(|| {
            for text in &notes {
                let event: Event = serde_json::from_str(black_box(text)).unwrap();
                event.check_id().unwrap();
                assert!(Filter::any_matches(&filters, &event));
            }
            notes.len() as u64
        }),
    ));
    rows.push((
        format!("nostr crate: parse and id, {size} bytes"),
        None,
        Box::new(|| {
            for text in &notes {
                assert!(
                    serde_json::from_str::<nostr::event::Event>(black_box(text))
                        .unwrap()
                        .verify_id()
                );
            }
            notes.len() as u64
        }),
    ));

    let parse = || {
        black_box(ParsedKind::of(black_box(&rich)).unwrap());
        black_box(Content::new(&rich.content, &rich.tags).blocks());
        1
    };
    rows.push(("rich kind 1: view and blocks of the text".to_owned(), Some(30.0), Box::new(parse)));

    let mut contenders: Vec<nipworker_benches::Contender<'_>> = rows
        .iter_mut()
        .map(|(name, _, step)| {
            let run = || 1e6 / per_cpu_second(options.budget / 4, &mut *step);
            (name.as_str(), Box::new(run) as Box<dyn FnMut() -> f64>)
        })
        .collect();
    let figures = figures_by_round(options.rounds, &mut contenders);
    drop(contenders);
    println!("## Parts\n\n| step | µs | target µs |\n|---|---:|---:|");
    for ((name, target, _), figures) in rows.iter().zip(figures) {
        let target = target.map_or_else(String::new, |target| format!("{target}"));
        println!("| {name} | {:.3} | {target} |", median(&figures));
    }
    println!();
}

/// A text in which nothing is found would be quick to read.
fn check_rich(rich: &Event) {
    let blocks = Content::new(&rich.content, &rich.tags).blocks();
    let count =
        |is: fn(&BlockKind<'_>) -> bool| blocks.iter().filter(|block| is(&block.what)).count();
    let found = [
        count(|what| matches!(what, BlockKind::Mention(_))),
        count(|what| matches!(what, BlockKind::Link(_))),
        count(|what| matches!(what, BlockKind::Hashtag(_))),
        count(|what| matches!(what, BlockKind::Emoji { .. })),
        count(|what| matches!(what, BlockKind::Invoice(_))),
    ];
    assert_eq!(found, [5, 4, 5, 3, 1], "{blocks:?}");
}
