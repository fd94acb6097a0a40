//! Draining a source in one step, and knowing what was lost.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use nipworker_pool::source::{Closed, SourceWriter, channel};

#[test]
fn a_drain_takes_what_is_there_up_to_the_maximum() {
    let (writer, mut reader) = channel(128);
    assert_eq!(writer.push_batch(0..24), 24);
    let drained = reader.next_batch(10, Duration::from_secs(1)).unwrap();
    assert_eq!(drained.items, (0..10).collect::<Vec<_>>());
    assert_eq!((drained.lagged, drained.remaining), (0, 14));
    let drained = reader.try_next_batch(100).unwrap();
    assert_eq!(drained.items, (10..24).collect::<Vec<_>>());
    assert_eq!(reader.try_next_batch(100).unwrap().items, []);
}

#[test]
fn ten_thousand_events_into_128_places_lose_exactly_what_did_not_fit() {
    let (writer, mut reader) = channel(128);
    for event in 0..10_000u32 {
        writer.push_batch([event]);
    }
    let drained = reader.try_next_batch(usize::MAX).unwrap();
    assert_eq!(drained.lagged, 10_000 - 128);
    assert_eq!(drained.items, (9_872..10_000).collect::<Vec<_>>());
}

#[test]
fn a_slow_reader_and_a_fast_writer_account_for_every_event() {
    let (writer, mut reader) = channel(128);
    let feeder = std::thread::spawn(move || {
        for start in (0..100_000u64).step_by(10) {
            writer.push_batch(start..start + 10);
        }
    });
    let (mut seen, mut lagged, mut expected) = (0u64, 0u64, 0u64);
    while let Ok(drained) = reader.next_batch(7, Duration::from_secs(30)) {
        expected += drained.lagged;
        lagged += drained.lagged;
        for item in drained.items {
            assert_eq!(item, expected);
            expected += 1;
            seen += 1;
        }
    }
    feeder.join().unwrap();
    assert_eq!(seen + lagged, 100_000);
}

#[test]
fn the_wait_ends_with_the_first_item() {
    let (writer, mut reader) = channel(4);
    let feeder = std::thread::spawn(move || {
        writer.push_batch(["late"]);
        writer
    });
    let drained = reader.next_batch(4, Duration::from_secs(30)).unwrap();
    assert_eq!(drained.items, ["late"]);
    drop(feeder.join().unwrap());
    assert_eq!(reader.next_batch(4, Duration::from_secs(30)), Err(Closed));
}

#[test]
fn time_running_out_is_an_empty_drain_and_not_an_error() {
    let (_writer, mut reader) = channel::<u8>(4);
    assert_eq!(reader.next_batch(4, Duration::from_millis(1)).unwrap().items, []);
}

#[test]
fn what_was_pushed_before_the_close_is_still_read() {
    let (writer, mut reader) = channel(4);
    writer.push_batch([1, 2]);
    drop(writer);
    assert_eq!(reader.try_next_batch(9).unwrap().items, [1, 2]);
    assert_eq!(reader.try_next_batch(9), Err(Closed));
}

#[test]
fn two_readers_see_the_same_items() {
    let (writer, mut first) = channel(8);
    writer.push_batch([1]);
    let mut second = writer.subscribe();
    writer.clone().push_batch([2, 3]);
    assert_eq!(first.try_next_batch(9).unwrap().items, [1, 2, 3]);
    assert_eq!(second.try_next_batch(9).unwrap().items, [2, 3]);
}

#[test]
fn a_source_may_be_waited_for_without_a_limit() {
    let (writer, mut reader) = channel::<u32>(4);
    let waiting = std::thread::spawn(move || reader.next_batch(1, Duration::MAX));
    writer.push_batch([7]);
    assert_eq!(waiting.join().unwrap().unwrap().items, [7]);
}

#[test]
fn more_than_fits_in_one_push_loses_the_oldest_and_counts_them() {
    let (writer, mut reader) = channel(4);
    writer.push_batch([1, 2, 3]);
    assert_eq!(writer.push_batch(4..=6), 3);
    assert_eq!(writer.push_batch(7..=16), 10);
    let drained = reader.try_next_batch(9).unwrap();
    assert_eq!((drained.items, drained.lagged), (vec![13, 14, 15, 16], 12));
}

/// Tells the source that it was lost.
#[derive(Clone)]
struct Plaintive(u64, Option<SourceWriter<u64>>);

impl Drop for Plaintive {
    fn drop(&mut self) {
        if let Some(writer) = self.1.take() {
            writer.push_batch([self.0]);
        }
    }
}

#[test]
fn an_item_may_use_a_source_while_it_is_made_and_while_it_is_dropped() {
    let (complaints, mut lost) = channel(8);
    let (writer, reader) = channel(1);
    // Its own source, through the iterator; another one, through the drop.
    writer.push_batch((0..3).map(|n| {
        writer.push_batch([Plaintive(100 + n, None)]);
        Plaintive(n, Some(complaints.clone()))
    }));
    drop((writer, reader));
    let mut all = lost.try_next_batch(9).unwrap().items;
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2]);
}
