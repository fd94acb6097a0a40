use std::{fs, time::Duration};

use nipworker_protocol::{EventId, RelayUrl};
use nipworker_relay::{
    Now, ReceiptStatus,
    outbox::{Answer, Outbox, OutboxConfig, OutboxEntry, OutboxRecord},
};
use tempfile::TempDir;

use super::journal::{Contents, Journal, Opened, read, whole};
use crate::kept_file::FileError;

const START: i64 = 1_700_000_000;

fn now(seconds: u64) -> Now {
    let monotonic = Duration::from_secs(seconds);
    Now { monotonic, unix: START + i64::try_from(seconds).unwrap() }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(path: &std::path::Path) -> Opened {
    Journal::open(path, START, |contents| contents.records.clone()).unwrap()
}

/// A history with every kind of record, and the state behind each of them.
fn history() -> (Vec<OutboxRecord>, Vec<Vec<OutboxEntry>>) {
    let mut outbox = Outbox::new(OutboxConfig::default(), 1);
    let mut records = Vec::new();
    let mut states = vec![Vec::new()];
    let mut note = |outbox: &mut Outbox, at, more: Vec<OutboxRecord>| {
        for record in more {
            outbox.apply(at, &record);
            records.push(record);
            states.push(outbox.list().cloned().collect());
        }
    };
    let id = |number| EventId::from_bytes([number; 32]);
    let url = |text| RelayUrl::parse(text).unwrap();
    for number in 1..=5 {
        let json = format!("{{\"content\":\"ü\\n{number}\"}}");
        let relays = vec![url("wss://a.test"), url("wss://b.test")];
        let record = outbox.queue(now(0), id(number), &json, relays).unwrap();
        note(&mut outbox, now(0), vec![record]);
    }
    for (round, text) in ["", "error: later", "blocked: ß", "duplicate: had it"].iter().enumerate()
    {
        let at = now(1_000 * (round as u64 + 1));
        for attempt in outbox.attempts(at) {
            let status = match text.is_empty() {
                true => ReceiptStatus::NoAnswer,
                false => ReceiptStatus::Refused,
            };
            let answer = Answer::Receipt { status, message: (*text).to_owned() };
            let record = outbox.answered(at, &attempt.event, &attempt.relay, answer);
            note(&mut outbox, at, record.into_iter().collect());
        }
    }
    let cancelled = outbox.cancel(now(9_000), &id(5)).unwrap();
    note(&mut outbox, now(9_000), cancelled);
    let forgotten = outbox.tidy(now(9_000 + 25 * 3_600));
    note(&mut outbox, now(9_000), forgotten);
    (records, states)
}

fn state(records: &[OutboxRecord]) -> Vec<OutboxEntry> {
    let mut outbox = Outbox::new(OutboxConfig::default(), 2);
    for record in records {
        outbox.apply(now(0), record);
    }
    outbox.list().cloned().collect()
}

#[test]
fn a_journal_that_is_cut_off_at_any_byte_gives_a_state_that_was_there() {
    let (records, states) = history();
    assert!(records.len() > 20, "{}", records.len());
    let bytes = whole(&records).unwrap();
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut seen = 0;
    for length in 0..=bytes.len() {
        let contents = read(&bytes[..length]).unwrap();
        if length < header {
            assert!(contents.records.is_empty());
            continue;
        }
        assert_eq!(contents.damage, None, "cut off at {length}");
        let kept = contents.records.len();
        assert_eq!(contents.records, records[..kept], "cut off at {length}");
        assert_eq!(state(&contents.records), states[kept], "cut off at {length}");
        // All whole lines count; what is left over is told.
        let lines = bytes[..length].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(kept, lines - 1);
        assert_eq!(contents.torn_bytes == 0, bytes[length - 1] == b'\n', "cut off at {length}");
        seen = kept;
    }
    assert_eq!(seen, records.len());
}

#[test]
fn a_torn_record_is_cut_away_and_the_journal_goes_on_behind_what_was_whole() {
    let folder = folder();
    let path = folder.path().join("not/yet/there/outbox.journal");
    let (records, _) = history();
    let Opened { mut journal, contents, .. } = open(&path);
    assert_eq!(contents, Contents::default());
    journal.append(&records[..10], true).unwrap();
    journal.release();
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 7);
    fs::write(&path, &bytes).unwrap();

    let Opened { mut journal, contents, set_aside } = open(&path);
    assert_eq!(contents.records, records[..9]);
    assert!(contents.torn_bytes > 7 && set_aside.is_none());
    journal.append(&records[9..], false).unwrap();
    journal.release();
    assert_eq!(open(&path).contents.records, records);
}

#[test]
fn a_damaged_record_costs_itself_and_the_damaged_file_is_kept() {
    let folder = folder();
    let path = folder.path().join("outbox.journal");
    let (records, _) = history();
    let Opened { mut journal, .. } = open(&path);
    journal.append(&records, true).unwrap();
    journal.release();
    let whole = fs::read(&path).unwrap();
    let second = whole.iter().position(|byte| *byte == b'\n').unwrap() + 20;
    let mut bytes = whole.clone();
    bytes[second] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let Opened { contents, set_aside, .. } = open(&path);
    assert_eq!(contents.records, records[1..]);
    assert!(contents.damage.unwrap().starts_with("its line 2: "));
    assert_eq!(fs::read(set_aside.unwrap()).unwrap(), bytes);
}

#[test]
fn a_journal_belongs_to_one_process_and_one_of_a_later_release_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("outbox.journal");
    let first = open(&path);
    let refused = Journal::open(&path, START, |_| Vec::new()).err().unwrap();
    assert!(matches!(refused, FileError::InUse { .. }), "{refused}");
    first.journal.release();
    let json = "{\"nipworker_outbox\":2}";
    let text = format!("{:08x} {json}\nsomething new\n", crc32fast::hash(json.as_bytes()));
    fs::write(&path, &text).unwrap();
    let refused = Journal::open(&path, START, |_| Vec::new()).err().unwrap();
    assert!(matches!(refused, FileError::Newer { version: 2, known: 1, .. }), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn the_file_is_written_anew_when_most_of_it_is_past() {
    let folder = folder();
    let path = folder.path().join("outbox.journal");
    let (records, _) = history();
    let Opened { mut journal, .. } = open(&path);
    let mut appended = 0;
    while !journal.is_due() {
        journal.append(&records, false).unwrap();
        appended += 1;
        assert!(appended < 1_000);
    }
    let before = fs::metadata(&path).unwrap().len();
    let live: Vec<OutboxRecord> = records[..3].to_vec();
    journal.rewrite(&live).unwrap();
    assert!(!journal.is_due());
    assert!(fs::metadata(&path).unwrap().len() < before / 10);
    journal.append(&records[3..4], true).unwrap();
    journal.release();
    assert_eq!(open(&path).contents.records, records[..4]);
}
