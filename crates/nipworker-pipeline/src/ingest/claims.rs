//! Signatures that are being checked at this moment.
//!
//! Many relays send the same new event within the time that one check takes. Only the first batch
//! has it checked; the others wait for what comes of it and then know the event.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{
    FutureExt,
    channel::oneshot,
    future::{self, Shared},
};
use nipworker_protocol::{EventId, Signature};

use super::pipeline::{Candidate, Ingest, Pipeline, Seen};

type Key = (EventId, Signature);
/// Completes when the check, and what follows from it, is over.
type Over = Shared<oneshot::Receiver<()>>;

#[derive(Debug, Default)]
pub(super) struct Checking(Mutex<HashMap<Key, Over>>);

impl Checking {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Over>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to have signatures checked. While it is held, other batches with the same events wait:
/// it is to be dropped once the events are [remembered](Pipeline::remember), and before anything
/// that waits for a reader.
#[derive(Debug)]
#[must_use = "dropping it lets others check the same signatures"]
pub struct Checks {
    checking: Arc<Checking>,
    keys: Vec<Key>,
    /// Dropping it wakes those who wait.
    _over: oneshot::Sender<()>,
}

impl Drop for Checks {
    fn drop(&mut self) {
        let mut checking = self.checking.lock();
        for key in &self.keys {
            checking.remove(key);
        }
    }
}

/// Events of a batch whose signatures are being checked for another batch.
#[derive(Debug)]
pub struct Elsewhere {
    candidates: Vec<(Candidate, Over)>,
}

impl Elsewhere {
    /// Number of events.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }
}

impl Pipeline {
    /// Takes the right to check the signatures of a batch, and takes those events out of it that
    /// are being checked for another one. Whoever holds such a right never waits for another: the
    /// batch goes its way first, then [`Pipeline::after`] brings back what was taken out.
    pub fn claim(&self, ingest: &mut Ingest) -> (Checks, Elsewhere) {
        let (over, receiver) = oneshot::channel();
        let receiver = receiver.shared();
        let mut keys = Vec::new();
        let mut candidates = Vec::new();
        let mut checking = self.checking.lock();
        let mut own = Vec::with_capacity(ingest.to_verify.len());
        for candidate in ingest.to_verify.drain(..) {
            let key = (candidate.view().id(), candidate.view().sig());
            match checking.entry(key) {
                Entry::Occupied(other) => candidates.push((candidate, other.get().clone())),
                // Between the look into the memory and this one a check may have come to its end.
                Entry::Vacant(_) if self.knows(&key.0, &key.1) => ingest.known.push(candidate),
                Entry::Vacant(place) => {
                    place.insert(receiver.clone());
                    keys.push(key);
                    own.push(candidate);
                }
            }
        }
        drop(checking);
        ingest.to_verify = own;
        let checks = Checks { checking: Arc::clone(&self.checking), keys, _over: over };
        (checks, Elsewhere { candidates })
    }

    /// Waits until the checks for other batches are over, and gives a batch of these events: known
    /// where they turned out genuine and were kept, seen where the subscription has got them, to
    /// be verified where not. They are added to `rest`, which is [empty](Ingest::empty).
    pub async fn after(
        &self,
        mut rest: Ingest,
        elsewhere: Elsewhere,
        is_seen: impl Fn(&EventId) -> bool,
    ) -> Ingest {
        let (candidates, over): (Vec<_>, Vec<_>) = elsewhere.candidates.into_iter().unzip();
        // However it ended, the right is free.
        future::join_all(over).await;
        for candidate in candidates {
            let (id, sig) = (candidate.view().id(), candidate.view().sig());
            if !self.knows(&id, &sig) {
                rest.to_verify.push(candidate);
            } else if is_seen(&id) {
                let texts = std::iter::once(candidate.at).chain(candidate.copies);
                rest.seen.extend(texts.map(|at| Seen { at, id }));
            } else {
                rest.known.push(candidate);
            }
        }
        self.count_seen(&rest);
        rest
    }
}

#[cfg(test)]
mod tests {
    use nipworker_protocol::{PublicKey, UnsignedEvent};

    use super::*;
    use crate::{Source, Verdict};

    fn texts(numbers: std::ops::Range<i64>) -> Vec<String> {
        let note = |at| {
            UnsignedEvent::new(PublicKey::from_bytes([1; 32]), at, 1, vec![], "x")
                .with_signature(Signature::from_bytes([2; 64]))
                .to_json()
        };
        numbers.map(note).collect()
    }

    fn batch(pipeline: &Pipeline, numbers: std::ops::Range<i64>) -> Ingest {
        let relay = Source::relay("ws://relay.test".to_owned());
        pipeline.ingest(relay, None, &texts(numbers), |_| false)
    }

    /// The check comes out, and genuine events are kept.
    fn settle(pipeline: &Pipeline, ingest: Ingest, verdict: Verdict) {
        let verdicts = vec![verdict; ingest.to_verify.len()];
        let accepted = pipeline.accept(ingest, &verdicts, 0).unwrap();
        accepted.genuine.iter().for_each(|genuine| pipeline.remember(genuine));
    }

    #[test]
    fn an_event_of_two_batches_at_once_is_checked_for_one_of_them() {
        let pipeline = Pipeline::default();
        let (mut first, mut second) = (batch(&pipeline, 0..10), batch(&pipeline, 5..15));
        let (checks, elsewhere) = pipeline.claim(&mut first);
        assert!(elsewhere.is_empty());
        let (others, elsewhere) = pipeline.claim(&mut second);
        assert_eq!((second.to_verify.len(), elsewhere.len()), (5, 5));
        let rest = second.empty();
        settle(&pipeline, second, Verdict::Valid);
        drop(others);
        let seen = batch(&pipeline, 5..6).to_verify[0].view().id();
        let mut after = Box::pin(pipeline.after(rest, elsewhere, |id| *id == seen));
        assert!(after.as_mut().now_or_never().is_none(), "the first is not over");
        settle(&pipeline, first, Verdict::Valid);
        assert!(after.as_mut().now_or_never().is_none(), "its right is still held");
        drop(checks);
        let rest = after.now_or_never().unwrap();
        assert_eq!((rest.known.len(), rest.to_verify.len(), rest.seen.len()), (4, 0, 1));
        settle(&pipeline, rest, Verdict::Valid);
        let total = pipeline.stats().total;
        assert_eq!((total.fresh, total.duplicates, total.received), (15, 5, 21));
    }

    #[test]
    fn a_check_that_ended_in_between_is_not_made_again() {
        let pipeline = Pipeline::default();
        let (mut first, mut second) = (batch(&pipeline, 0..3), batch(&pipeline, 0..3));
        let (checks, _) = pipeline.claim(&mut first);
        settle(&pipeline, first, Verdict::Valid);
        drop(checks);
        let (_checks, elsewhere) = pipeline.claim(&mut second);
        assert_eq!((second.known.len(), second.to_verify.len(), elsewhere.len()), (3, 0, 0));
    }

    #[test]
    fn what_was_not_kept_for_the_other_batch_is_checked_again() {
        let pipeline = Pipeline::default();
        let (mut first, mut second) = (batch(&pipeline, 0..3), batch(&pipeline, 0..3));
        let (checks, _) = pipeline.claim(&mut first);
        let (others, elsewhere) = pipeline.claim(&mut second);
        // The worker that had the first one failed.
        drop((checks, first, others));
        let rest = pipeline.after(second.empty(), elsewhere, |_| false).now_or_never();
        let mut rest = rest.unwrap();
        assert_eq!((rest.known.len(), rest.to_verify.len()), (0, 3));
        assert!(pipeline.claim(&mut rest).1.is_empty(), "the right is free again");
    }
}
