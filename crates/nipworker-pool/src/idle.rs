//! Where the time goes that a thread is not inside a batch.

/// Why a thread does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It found nothing to do.
    Nothing,
    /// All there is to do is at its share of CPU time.
    Throttled,
    /// While there is work nobody brings it: sequential mode, or the thread is dead.
    Unfed,
}

/// A wait that has not ended.
#[derive(Clone, Copy, Debug)]
struct Wait {
    from_ns: u64,
    reason: Reason,
    /// Since when there had been work when it began; the same later says nothing.
    work_since: u64,
    /// When the wait was first found to be one that should not be, unless the next look did not.
    suspected_ns: Option<u64>,
    /// Whether that look found it so again.
    starving: bool,
}

/// The times a thread has waited, the wait it is in included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Idle {
    pub(crate) with_job_ns: u64,
    pub(crate) no_job_ns: u64,
    pub(crate) throttled_ns: u64,
    pub(crate) starvation_events: u64,
    pub(crate) starved_ns: u64,
    waiting: Option<Wait>,
}

/// What a wait was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waited {
    /// Nanoseconds there was something to do.
    pub(crate) with_job_ns: u64,
    /// Nanoseconds of starving.
    pub(crate) starved_ns: u64,
}

impl Idle {
    /// A wait begins at pool time `now_ns`. `work_since` is the pool time, plus one, since when
    /// there has been work; 0 if there is none.
    pub(crate) fn begin(&mut self, now_ns: u64, reason: Reason, work_since: u64) {
        self.waiting =
            Some(Wait { from_ns: now_ns, reason, work_since, suspected_ns: None, starving: false });
    }

    /// Somebody looked at pool time `now_ns` whether the thread waits `beside_work`. True if it
    /// was found so at two looks in a row within one wait: the work is not merely on its way to
    /// another thread.
    pub(crate) fn look(&mut self, now_ns: u64, beside_work: bool) -> bool {
        let Some(wait) = self.waiting.as_mut().filter(|wait| wait.reason == Reason::Nothing) else {
            return false;
        };
        match wait.suspected_ns {
            None if beside_work => wait.suspected_ns = Some(now_ns),
            Some(_) if beside_work => wait.starving = true,
            // What it was found starving before stays.
            _ if !wait.starving => wait.suspected_ns = None,
            _ => {}
        }
        wait.starving && beside_work
    }

    /// The work that there has been since `work_since` is at its end. What an unfed thread starved
    /// is booked now: later nobody knows when it was.
    pub(crate) fn work_ended(&mut self, now_ns: u64, work_since: u64) {
        if self.waiting.is_some_and(|wait| wait.reason == Reason::Unfed) {
            self.end(now_ns, work_since);
            self.begin(now_ns, Reason::Unfed, 0);
        }
    }

    /// The wait ends.
    pub(crate) fn end(&mut self, now_ns: u64, work_since: u64) -> Waited {
        let Some(wait) = self.waiting.take() else { return Waited::default() };
        let waited_ns = now_ns.saturating_sub(wait.from_ns);
        // Work that appeared during the wait splits it.
        let beside_work = |since: u64| {
            waited_ns.saturating_sub(since.saturating_sub(1).saturating_sub(wait.from_ns))
        };
        let (with_job_ns, starved_ns) = match wait.reason {
            Reason::Throttled => {
                self.throttled_ns += waited_ns;
                return Waited::default();
            }
            Reason::Unfed if work_since == 0 => (0, 0),
            Reason::Unfed => (beside_work(work_since), beside_work(work_since)),
            Reason::Nothing => {
                let starved = match wait.suspected_ns {
                    Some(from) if wait.starving => now_ns.saturating_sub(from),
                    _ => 0,
                };
                let new = work_since != 0 && work_since != wait.work_since;
                let with_job = if new { beside_work(work_since) } else { 0 };
                (with_job.max(starved), starved)
            }
        };
        self.with_job_ns += with_job_ns - starved_ns;
        self.no_job_ns += waited_ns.saturating_sub(with_job_ns);
        if starved_ns > 0 {
            self.starvation_events += 1;
            self.starved_ns += starved_ns;
        }
        Waited { with_job_ns, starved_ns }
    }

    /// The times as of `now_ns`.
    pub(crate) fn as_of(&self, now_ns: u64, work_since: u64) -> Self {
        let mut idle = self.clone();
        idle.end(now_ns, work_since);
        idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_appears_splits_the_wait() {
        let mut idle = Idle::default();
        idle.begin(100, Reason::Nothing, 0);
        assert_eq!(idle.end(500, 401), Waited { with_job_ns: 100, starved_ns: 0 });
        assert_eq!((idle.no_job_ns, idle.with_job_ns, idle.starved_ns), (300, 100, 0));
    }

    #[test]
    fn work_that_others_had_all_along_says_nothing_about_a_wait() {
        let mut idle = Idle::default();
        idle.begin(100, Reason::Nothing, 51);
        idle.end(500, 51);
        assert_eq!((idle.no_job_ns, idle.with_job_ns), (400, 0));
    }

    #[test]
    fn a_wait_found_beside_work_twice_is_starvation_from_the_first_time_on() {
        let mut idle = Idle::default();
        idle.begin(100, Reason::Nothing, 0);
        assert!(!idle.look(200, true));
        assert_eq!(idle.as_of(300, 0).starved_ns, 0, "once may be work on its way to another");
        assert!(idle.look(400, true));
        assert_eq!(idle.end(500, 151).starved_ns, 300);
        assert_eq!((idle.no_job_ns, idle.with_job_ns), (50, 50));
        assert_eq!((idle.starvation_events, idle.starved_ns), (1, 300));
        assert!(!idle.look(600, true), "it does not wait any more");
    }

    #[test]
    fn work_that_was_there_at_single_looks_only_is_no_starvation() {
        let mut idle = Idle::default();
        idle.begin(100, Reason::Nothing, 51);
        for (now, beside_work) in [(200, true), (300, false), (400, true), (500, false)] {
            assert!(!idle.look(now, beside_work));
        }
        assert_eq!(idle.end(600, 51), Waited::default());
        assert_eq!((idle.starvation_events, idle.no_job_ns), (0, 500));
    }

    #[test]
    fn a_thread_that_nobody_feeds_starves_while_there_is_work() {
        let mut idle = Idle::default();
        idle.begin(100, Reason::Unfed, 51);
        assert_eq!(idle.as_of(150, 51).starved_ns, 50);
        idle.end(200, 51);
        assert_eq!((idle.starved_ns, idle.with_job_ns, idle.no_job_ns), (100, 0, 0));
    }

    #[test]
    fn what_was_starved_stays_so_when_the_work_ends_during_the_wait() {
        let mut idle = Idle::default();
        idle.begin(100, Reason::Unfed, 51);
        idle.work_ended(150, 51);
        assert_eq!(idle.as_of(400, 0).starved_ns, 50);
        assert_eq!(idle.as_of(500, 451).starved_ns, 100, "and goes on with the next work");
        idle.end(600, 0);
        assert_eq!((idle.starved_ns, idle.no_job_ns), (50, 450));
    }

    #[test]
    fn a_throttled_thread_is_neither_idle_nor_starved() {
        let mut idle = Idle::default();
        idle.begin(100, Reason::Throttled, 51);
        assert!(!idle.look(150, true));
        assert_eq!(idle.end(200, 51), Waited::default());
        assert_eq!((idle.throttled_ns, idle.starved_ns, idle.with_job_ns), (100, 0, 0));
        assert_eq!(idle.no_job_ns, 0);
    }
}
