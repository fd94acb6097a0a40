//! Taking the corpus in.

use std::{
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use nipworker_benches::{corpus::Corpus, median, process_cpu};

use crate::{
    Options,
    contenders::{Contender, Prepared},
    survey::Survey,
};

/// What one contender used.
#[derive(Default)]
struct Used {
    cpu: Duration,
    wall: Duration,
    stored: usize,
    /// Wall milliseconds of each batch.
    batches_ms: Vec<f64>,
}

/// Puts the whole corpus into all contenders, in batches of `batch` events, and prints what it
/// took.
pub(crate) fn run(
    options: &Options,
    contenders: &mut [Box<dyn Contender>],
    batch: usize,
) -> Survey {
    let now = options.corpus.end();
    let mut survey = Survey::at(now);
    let mut used: Vec<Used> = contenders.iter().map(|_| Used::default()).collect();
    let mut corpus = Corpus::new(options.corpus);
    for turn in 0.. {
        let events: Vec<_> = corpus.by_ref().take(batch).map(Prepared::new).collect();
        if events.is_empty() {
            break;
        }
        events.iter().for_each(|event| survey.add(&event.ours.to_event()));
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if turn % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let (start, cpu) = (Instant::now(), process_cpu());
            used[index].stored += contenders[index].put(&events, now);
            let wall = start.elapsed();
            used[index].cpu += process_cpu() - cpu;
            used[index].wall += wall;
            used[index].batches_ms.push(wall.as_secs_f64() * 1e3);
        }
    }
    println!("## Ingest, batches of {batch}, each durable\n");
    println!("| store | events/s of CPU | events/s of wall | batch, median ms | stored |");
    println!("|---|---:|---:|---:|---:|");
    for (contender, used) in contenders.iter().zip(&used) {
        println!(
            "| {} | {:.0} | {:.0} | {:.2} | {} |",
            contender.name(),
            survey.events as f64 / used.cpu.as_secs_f64(),
            survey.events as f64 / used.wall.as_secs_f64(),
            median(&used.batches_ms),
            used.stored,
        );
    }
    println!();
    survey
}

/// Prints what the contenders take on the disk.
pub(crate) fn print_disk(survey: &Survey, contenders: &[Box<dyn Contender>]) {
    println!("## Disk\n");
    println!(
        "An event has {:.0} bytes of JSON on average.\n",
        survey.json_bytes as f64 / survey.events as f64
    );
    println!("| store | MiB | bytes for each event put |");
    println!("|---|---:|---:|");
    for contender in contenders {
        let Some(folder) = contender.folder() else { continue };
        let bytes = allocated(folder);
        println!(
            "| {} | {:.1} | {:.0} |",
            contender.name(),
            bytes as f64 / 1024.0 / 1024.0,
            bytes as f64 / survey.events as f64
        );
    }
    println!();
}

/// Bytes that the disk gives to the files in `folder`: a sparse file counts with what it has.
fn allocated(folder: &Path) -> u64 {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512)
        .sum()
}
