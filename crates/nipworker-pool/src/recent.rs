//! How much one thread has done over the last minute.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Resolution.
const SLOT_NS: u64 = 250_000_000;
/// A minute, the slot that is being filled, and a few that a reader may still be adding up.
const SLOTS: u64 = 248;

/// Items in slots of a quarter of a second. One thread writes; any may read.
#[derive(Debug)]
pub(crate) struct Recent {
    /// Number of the slot in time, plus one, and its items.
    slots: Box<[(AtomicU64, AtomicU64)]>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| Default::default()).collect() }
    }
}

impl Recent {
    /// Notes items that were done at pool time `now_ns`. Only the thread itself calls it.
    pub(crate) fn record(&self, now_ns: u64, items: u64) {
        let number = now_ns / SLOT_NS;
        let (stamp, count) = &self.slots[(number % SLOTS) as usize];
        if stamp.load(Relaxed) == number + 1 {
            count.fetch_add(items, Relaxed);
        } else {
            // A reader between the two sees a slot that is too old, never one too full.
            stamp.store(0, Relaxed);
            count.store(items, Relaxed);
            stamp.store(number + 1, Relaxed);
        }
    }

    /// Items done within the last `seconds`, 60 at most, to a quarter of a second.
    pub(crate) fn within(&self, now_ns: u64, seconds: u64) -> u64 {
        let current = now_ns / SLOT_NS;
        let oldest = now_ns.saturating_sub(seconds.min(60) * 1_000_000_000) / SLOT_NS;
        let within = |stamp: u64| stamp > 0 && (oldest..=current).contains(&(stamp - 1));
        let slots = self.slots.iter().filter(|(stamp, _)| within(stamp.load(Relaxed)));
        // The oldest slot lies in the window only in part.
        let (mut sum, mut edge) = (0, 0);
        for (stamp, count) in slots {
            if stamp.load(Relaxed) == oldest + 1 && oldest != current {
                edge = count.load(Relaxed);
            } else {
                sum += count.load(Relaxed);
            }
        }
        let cut = now_ns.saturating_sub(seconds.min(60) * 1_000_000_000) % SLOT_NS;
        sum + (u128::from(edge) * u128::from(SLOT_NS - cut) / u128::from(SLOT_NS)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_steady_stream_is_seen_in_every_window() {
        let recent = Recent::default();
        for ms in (0..200_000).step_by(10) {
            recent.record(ms * 1_000_000, 10);
        }
        for seconds in [1u64, 10, 60] {
            let items = recent.within(200 * SECOND, seconds);
            let want = seconds * 1_000;
            assert!(items.abs_diff(want) <= want / 10, "{items} in {seconds} s");
        }
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let recent = Recent::default();
        recent.record(SECOND / 2, 1_000);
        assert_eq!(recent.within(SECOND, 1), 1_000);
        assert_eq!(recent.within(5 * SECOND, 1), 0);
        assert_eq!(recent.within(5 * SECOND, 10), 1_000);
        assert_eq!(recent.within(500 * SECOND, 60), 0);
    }
}
