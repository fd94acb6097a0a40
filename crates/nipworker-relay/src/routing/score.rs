//! How relays behaved.

use std::{collections::HashMap, time::Duration};

use nipworker_protocol::RelayUrl;

use super::SCORES_MAX;

/// After so long what was heard counts half.
const HALF_LIFE: Duration = Duration::from_secs(6 * 3600);
/// The latency of a relay that nothing is known of, and that halves what speed adds.
const USUAL_LATENCY: Duration = Duration::from_millis(500);

/// Something that a relay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It answered a subscription, so long after it was asked.
    Eose(Duration),
    /// It did not answer one in time.
    EoseMissed,
    /// It was connected.
    Connected,
    /// It could not be reached.
    Failed,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    good: f64,
    bad: f64,
    latency_secs: f64,
    at: Duration,
}

/// Of each relay what is left of it by now.
#[derive(Debug, Default)]
pub(super) struct Scores {
    records: HashMap<RelayUrl, Record>,
}

impl Scores {
    pub(super) fn heard(&mut self, now: Duration, relay: &RelayUrl, heard: Heard) {
        if !self.records.contains_key(relay) && self.records.len() >= SCORES_MAX {
            let oldest = self.records.iter().min_by_key(|(_, record)| record.at);
            if let Some(oldest) = oldest.map(|(relay, _)| relay.clone()) {
                self.records.remove(&oldest);
            }
        }
        let fresh =
            Record { good: 0.0, bad: 0.0, latency_secs: USUAL_LATENCY.as_secs_f64(), at: now };
        let record = self.records.entry(relay.clone()).or_insert(fresh);
        let left = left(now, record.at);
        record.good *= left;
        record.bad *= left;
        record.at = now;
        match heard {
            Heard::Eose(latency) => {
                record.good += 1.0;
                record.latency_secs += (latency.as_secs_f64() - record.latency_secs) * 0.3;
            }
            Heard::Connected => record.good += 0.5,
            Heard::EoseMissed => record.bad += 1.0,
            Heard::Failed => record.bad += 2.0,
        }
    }

    /// 0 (it never answers) to 1 (always and at once); a relay that nothing is known of has a half.
    pub(super) fn of(&self, now: Duration, relay: &RelayUrl) -> f64 {
        let usual = USUAL_LATENCY.as_secs_f64();
        let Some(record) = self.records.get(relay) else { return 0.5 };
        let left = left(now, record.at);
        let (good, bad) = (record.good * left, record.bad * left);
        // As if it had answered once and failed once before.
        let answers = (good + 1.0) / (good + bad + 2.0);
        let speed = usual / (usual + record.latency_secs);
        answers * (0.75 + 0.5 * speed)
    }
}

fn left(now: Duration, at: Duration) -> f64 {
    let halves = now.saturating_sub(at).as_secs_f64() / HALF_LIFE.as_secs_f64();
    0.5_f64.powf(halves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_that_answers_is_better_than_one_unknown_and_that_better_than_one_that_fails() {
        let url = |name: &str| RelayUrl::parse(&format!("wss://{name}.test")).unwrap();
        let mut scores = Scores::default();
        let now = Duration::from_secs(10);
        for _ in 0..5 {
            scores.heard(now, &url("fast"), Heard::Eose(Duration::from_millis(50)));
            scores.heard(now, &url("slow"), Heard::Eose(Duration::from_secs(5)));
            scores.heard(now, &url("mute"), Heard::EoseMissed);
            scores.heard(now, &url("dead"), Heard::Failed);
        }
        let of = |name: &str| scores.of(now, &url(name));
        let order = ["fast", "slow", "unknown", "mute", "dead"].map(of);
        assert!(order.is_sorted_by(|a, b| a > b), "{order:?}");
        assert!(order.iter().all(|score| (0.0..=1.1).contains(score)));
        let later = now + 20 * HALF_LIFE;
        assert!((scores.of(later, &url("dead")) - 0.5).abs() < 0.01, "it is forgotten in time");
    }

    #[test]
    fn the_number_of_relays_that_are_remembered_is_bounded() {
        let mut scores = Scores::default();
        for number in 0..SCORES_MAX + 100 {
            let url = RelayUrl::parse(&format!("wss://r{number}.test")).unwrap();
            scores.heard(Duration::from_secs(number as u64), &url, Heard::Failed);
        }
        assert_eq!(scores.records.len(), SCORES_MAX);
    }
}
