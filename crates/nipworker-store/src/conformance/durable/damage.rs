//! Damaged files: what is wrong is told as an error or found by a check, and nothing panics.

use std::{fs, path::Path};

use nipworker_protocol::Filter;

use crate::{
    EventStore, OpenError, PageRequest, StoreError,
    conformance::{Rng, samples},
};

/// A store in one file, and what its damages are to come to.
pub struct Case {
    /// Opens the file.
    pub open: fn(&Path) -> Result<Box<dyn EventStore>, OpenError>,
    /// What every error of opening a damaged file has to be.
    pub refusal: fn(&OpenError),
    /// Bytes at the beginning that decide most: every other flip hits them.
    pub header_bytes: usize,
    /// Damages that are tried.
    pub damages: u64,
    /// Damages that are noticed at least.
    pub noticed_min: u64,
}

/// Bytes with some flipped, the end cut off, or a hole in them, as `seed` has it. Where the size of a
/// header is given, every other seed flips bytes within it.
pub fn harmed(bytes: &[u8], seed: u64, header_bytes: Option<usize>) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut copy = bytes.to_vec();
    match seed % 3 {
        0 => {
            let reach = header_bytes.filter(|_| seed.is_multiple_of(2)).unwrap_or(copy.len());
            for _ in 0..=rng.below(16) {
                let at = rng.below(reach);
                copy[at] ^= 1 << rng.below(8);
            }
        }
        1 => copy.truncate(rng.below(bytes.len())),
        _ => {
            let at = rng.below(copy.len());
            let end = (at + 4_096 * (1 + rng.below(4))).min(copy.len());
            copy[at..end].fill(0);
        }
    }
    copy
}

/// A few hundred events with tags, of different length.
pub fn varied_events(count: i64) -> Vec<crate::Verified> {
    (0..count)
        .map(|n| {
            samples::event(
                (n % 7) as u8,
                samples::NOW - n,
                1,
                &[&["t", "x"], &["e", &"ab".repeat(32)]],
                &"content ".repeat(n as usize % 40),
            )
        })
        .collect()
}

/// # Panics
/// When a damage makes the store panic, when an error is not what the case says, or when too few damages
/// are noticed.
pub fn flipped_bytes_cut_ends_and_holes_give_errors_and_no_panic(case: &Case) {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let store = (case.open)(&whole).unwrap();
    store.put_batch(&varied_events(300), samples::NOW).unwrap();
    drop(store);
    let bytes = fs::read(&whole).unwrap();
    let mut noticed = 0;
    for seed in 0..case.damages {
        // Each in a place of its own: some stores keep files beside theirs.
        let damaged = folder.path().join(format!("damaged-{seed}"));
        fs::write(&damaged, harmed(&bytes, seed, Some(case.header_bytes))).unwrap();
        if let Err(told) = use_it(case, &damaged) {
            assert!(!told.is_empty());
            noticed += 1;
        }
    }
    let (least, all) = (case.noticed_min, case.damages);
    assert!(noticed >= least, "only {noticed} of {all} damages were noticed");
    assert_eq!(use_it(case, &whole), Ok(()));
}

/// Reads, writes and checks; only typed errors may come of it.
fn use_it(case: &Case, path: &Path) -> Result<(), String> {
    let store = (case.open)(path).map_err(|error| {
        (case.refusal)(&error);
        error.to_string()
    })?;
    let told = |error: StoreError| error.to_string();
    let now = samples::NOW;
    let mut request = PageRequest::first(50);
    loop {
        let filter = Filter::new().tag('t', ["x"]);
        let page = store.query(&[filter], &request, now).map_err(told)?;
        request.after = page.next;
        if request.after.is_none() {
            break;
        }
    }
    store.put_batch(&[samples::note(9, now, "more")], now).map_err(told)?;
    let report = store.check().map_err(told)?;
    if report.is_clean() { Ok(()) } else { Err(report.problems.join("; ")) }
}
