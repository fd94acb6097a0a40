//! The checks, in order.

use std::{collections::HashMap, ops::Range, sync::Arc};

use foldhash::quality::RandomState;
use nipworker_protocol::{
    Attestation, Event, EventError, EventId, EventLimits, EventReader, EventView, Filter,
    PackedEvent, Signature, Verified,
};
use serde::{Deserialize, Serialize};

use super::{
    claims::Checking,
    ids::Ids,
    known::{Known, TextDigest},
    refusal::{Refusal, RefusalKind},
    stats::{Counters, IngestStats, SourceStats},
};
use crate::Source;

/// Settings of a [`Pipeline`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PipelineConfig {
    /// What one event may be at most.
    pub event_limits: EventLimits,
    /// Verified events that are remembered at least; at most twice as many are. An event that was
    /// forgotten is verified again when it comes again. The default, 57 344, fills hash tables of
    /// 65 536 places: about 21 MB when two generations are full.
    pub known_events: usize,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self { event_limits: EventLimits::default(), known_events: 57_344 }
    }
}

/// An event whose form, id and filter match are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Position of its text in the batch.
    pub at: usize,
    /// Positions of exact copies in the same batch. They share its fate.
    pub copies: Vec<usize>,
    /// The event; its id was recomputed.
    pub event: PackedEvent,
    digest: Option<TextDigest>,
}

impl Candidate {
    /// What the event says.
    pub fn view(&self) -> EventView<'_> {
        self.event.view()
    }
}

/// A text that this subscription has been delivered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Position of its text in the batch.
    pub at: usize,
    /// The event's id.
    pub id: EventId,
}

/// A text that is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Position of its text in the batch.
    pub at: usize,
    /// The id that it states, where it could be read.
    pub id: Option<EventId>,
    /// Why.
    pub refusal: Refusal,
}

/// What becomes of a batch: to be verified, known, seen, or refused. Each text is in one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "candidates wait for their verdicts"]
pub struct Ingest {
    source: Source,
    /// Events whose signature is to be checked by whoever can.
    pub to_verify: Vec<Candidate>,
    /// Events that were verified and stored before, and that this subscription has not got yet.
    pub known: Vec<Candidate>,
    /// Texts that this subscription has got before.
    pub seen: Vec<Seen>,
    /// Texts that are not let in.
    pub refused: Vec<Refused>,
}

impl Ingest {
    /// A batch from the same place without any text.
    pub fn empty(&self) -> Self {
        Self {
            source: self.source.clone(),
            to_verify: Vec::new(),
            known: Vec::new(),
            seen: Vec::new(),
            refused: Vec::new(),
        }
    }
}

/// The answer of the signature check on one candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The signature is the author's.
    Valid,
    /// It is not.
    Invalid,
    /// The check itself failed on this event, with this reason.
    Undecided(String),
}

impl From<bool> for Verdict {
    fn from(valid: bool) -> Self {
        if valid { Self::Valid } else { Self::Invalid }
    }
}

/// A genuine event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genuine {
    /// Position of its text in the batch.
    pub at: usize,
    /// Positions of exact copies in the same batch.
    pub copies: Vec<usize>,
    /// The event, in the bytes that are stored.
    pub event: Verified<PackedEvent>,
    /// Whether it was verified and stored before.
    pub is_known: bool,
    digest: Option<TextDigest>,
}

impl Genuine {
    /// Unpacks the event, for readers.
    pub fn unpack(&self) -> Arc<Verified<Event>> {
        Arc::new(self.event.unpack())
    }
}

/// What is left of a batch after verification. Each text is in one of the lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Events to store and deliver, in the order of the batch.
    pub genuine: Vec<Genuine>,
    /// Texts that this subscription has got before.
    pub seen: Vec<Seen>,
    /// Texts that are not let in, in no order.
    pub refused: Vec<Refused>,
}

/// The number of verdicts is not the number of candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{verdicts} verdicts for {candidates} events")]
pub struct VerdictCountError {
    /// Verdicts that came.
    pub verdicts: usize,
    /// Candidates that wait.
    pub candidates: usize,
}

/// The checks of everything that comes in. See the crate's page for their order.
///
/// It is shared: all methods take `&self`. It may outlive the worker that uses it, but need not:
/// an empty one verifies everything once more.
#[derive(Debug)]
pub struct Pipeline {
    limits: EventLimits,
    ids: Ids,
    known: Known,
    pub(super) checking: Arc<Checking>,
    counters: Counters,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self::new(PipelineConfig::default())
    }
}

impl Pipeline {
    /// A pipeline that knows no event yet.
    pub fn new(config: PipelineConfig) -> Self {
        Self {
            limits: config.event_limits,
            ids: Ids::detect(),
            known: Known::new(config.known_events),
            checking: Arc::default(),
            counters: Counters::default(),
        }
    }

    /// The limits it reads events under.
    pub fn limits(&self) -> &EventLimits {
        &self.limits
    }

    /// Takes a batch of raw texts as far as the signature check.
    ///
    /// `filters` are what the relay was asked for; `None` takes any event. `is_seen` says whether
    /// the subscription has got an event before, which saves a known copy all further work.
    pub fn ingest<S: AsRef<str>>(
        &self,
        source: Source,
        filters: Option<&[Filter]>,
        texts: &[S],
        is_seen: impl Fn(&EventId) -> bool,
    ) -> Ingest {
        let mut batch = Batch::new(source, filters);
        let mut decoded = Vec::with_capacity(texts.len());
        let mut reader = EventReader::new();
        // What the ids are hashes of, one after another.
        let mut preimages = Vec::with_capacity(texts.iter().map(|text| text.as_ref().len()).sum());
        for (at, text) in texts.iter().enumerate() {
            let text = text.as_ref();
            if text.len() > self.limits.max_event_bytes {
                let (got, limit) = (text.len(), self.limits.max_event_bytes);
                batch.refuse(at, None, EventError::TooLarge { got, limit }.into());
                continue;
            }
            let digest = self.known.digest(text);
            let known_as = self.known.id_of(&digest);
            if let Some(id) = known_as.filter(|id| is_seen(id)) {
                batch.ingest.seen.push(Seen { at, id });
                continue;
            }
            let start = preimages.len();
            match reader.read_packed(text, &self.limits, &mut preimages) {
                Ok(event) => {
                    let is_known_text = known_as.is_some();
                    if is_known_text {
                        // The very bytes were verified before, so their id was right.
                        preimages.truncate(start);
                    }
                    let preimage = start..preimages.len();
                    decoded.push(Decoded { at, event, digest, is_known_text, preimage });
                }
                Err(error) => batch.refuse(at, None, error.into()),
            }
        }
        let unknown = decoded.iter().filter(|it| !it.is_known_text);
        let messages: Vec<&[u8]> = unknown.map(|it| &preimages[it.preimage.clone()]).collect();
        let mut ids = self.ids.of(&messages).into_iter();
        batch.places.reserve(decoded.len());
        for Decoded { at, event, digest, is_known_text, .. } in decoded {
            let computed = if is_known_text { None } else { ids.next() };
            let stated = event.view().id();
            match computed.filter(|computed| *computed != stated) {
                Some(computed) => {
                    let error = EventError::IdMismatch { stated, computed };
                    batch.refuse(at, Some(stated), error.into());
                }
                None => self.decide(&mut batch, at, event, Some(digest), is_known_text),
            }
        }
        self.finish(batch, texts.len())
    }

    /// Takes one event that came decoded, from a client that wants it published.
    pub fn ingest_event(&self, source: Source, event: Event) -> Ingest {
        let mut batch = Batch::new(source, None);
        match self.limits.check(&event).and_then(|()| event.check_id()) {
            Ok(()) => self.decide(&mut batch, 0, PackedEvent::new(&event), None, false),
            Err(error) => batch.refuse(0, Some(event.id), error.into()),
        }
        self.finish(batch, 1)
    }

    /// Goes on with an event whose id is right.
    fn decide(
        &self,
        batch: &mut Batch<'_>,
        at: usize,
        event: PackedEvent,
        digest: Option<TextDigest>,
        is_known_text: bool,
    ) {
        let view = event.view();
        let id = view.id();
        if batch.filters.is_some_and(|filters| !Filter::any_matches_view(filters, &view)) {
            return batch.refuse(at, Some(id), Refusal::NotAsked);
        }
        let is_known = is_known_text || self.known.has(&id, &view.sig());
        batch.add(Candidate { at, copies: Vec::new(), event, digest }, is_known);
    }

    fn finish(&self, batch: Batch<'_>, received: usize) -> Ingest {
        let ingest = batch.ingest;
        let mut stats = SourceStats {
            received: received as u64,
            duplicates: ingest.seen.len() as u64,
            ..SourceStats::default()
        };
        count_refusals(&mut stats, &ingest.refused);
        self.counters.add(&ingest.source, &stats);
        ingest
    }

    /// Counts texts that were refused before they were looked at.
    pub fn refuse_unseen(&self, source: &Source, texts: usize, why: &Refusal) {
        let count = texts as u64;
        let refused = [(why.kind(), count)].into();
        self.counters.add(source, &SourceStats { received: count, refused, ..Default::default() });
    }

    /// Takes the verdicts on [`Ingest::to_verify`], in its order, and the time in unix seconds.
    ///
    /// # Errors
    /// [`VerdictCountError`] when their number is wrong: nothing is let in then.
    pub fn accept(
        &self,
        ingest: Ingest,
        verdicts: &[Verdict],
        now: i64,
    ) -> Result<Accepted, VerdictCountError> {
        let Ingest { source, to_verify, known, seen, mut refused } = ingest;
        if verdicts.len() != to_verify.len() {
            let (verdicts, candidates) = (verdicts.len(), to_verify.len());
            return Err(VerdictCountError { verdicts, candidates });
        }
        let refused_before = refused.len();
        let mut genuine = Vec::with_capacity(to_verify.len() + known.len());
        let mut stats = SourceStats::default();
        let judged = to_verify.into_iter().zip(verdicts.iter().map(Some));
        for (candidate, verdict) in judged.chain(known.into_iter().map(|known| (known, None))) {
            let Candidate { at, copies, event, digest } = candidate;
            let refusal = match verdict {
                Some(Verdict::Invalid) => Some(Refusal::Signature),
                Some(Verdict::Undecided(reason)) => Some(Refusal::Unverifiable(reason.clone())),
                Some(Verdict::Valid) | None => event
                    .view()
                    .expiration()
                    .filter(|at| *at <= now)
                    .map(|at| Refusal::Expired { at }),
            };
            if let Some(refusal) = refusal {
                let id = Some(event.view().id());
                let all = std::iter::once(at).chain(copies);
                refused.extend(all.map(|at| Refused { at, id, refusal: refusal.clone() }));
                continue;
            }
            let is_known = verdict.is_none();
            stats.fresh += u64::from(!is_known);
            stats.duplicates += u64::from(is_known) + copies.len() as u64;
            let event = Verified::attest(event, Attestation::Checked);
            genuine.push(Genuine { at, copies, event, is_known, digest });
        }
        genuine.sort_unstable_by_key(|genuine| genuine.at);
        count_refusals(&mut stats, &refused[refused_before..]);
        self.counters.add(&source, &stats);
        Ok(Accepted { genuine, seen, refused })
    }

    /// Remembers an event that was verified and is safe in the store, or never goes there: exact
    /// copies of it will not be verified again for a while.
    pub fn remember(&self, genuine: &Genuine) {
        let event = genuine.event.view();
        self.known.remember(genuine.digest, event.id(), event.sig());
    }

    /// Counts events that were found to have been delivered after they had been taken in.
    pub(super) fn count_seen(&self, ingest: &Ingest) {
        let duplicates = ingest.seen.len() as u64;
        self.counters.add(&ingest.source, &SourceStats { duplicates, ..SourceStats::default() });
    }

    /// Whether this very event was verified and is remembered.
    pub(super) fn knows(&self, id: &EventId, sig: &Signature) -> bool {
        self.known.has(id, sig)
    }

    /// The counters.
    pub fn stats(&self) -> IngestStats {
        self.counters.snapshot(self.known.len())
    }
}

fn count_refusals(stats: &mut SourceStats, refused: &[Refused]) {
    for refused in refused {
        let kind: RefusalKind = refused.refusal.kind();
        *stats.refused.entry(kind).or_default() += 1;
    }
}

/// An event of a batch before its id is looked at.
struct Decoded {
    at: usize,
    event: PackedEvent,
    digest: TextDigest,
    /// Whether this very text was verified and stored before.
    is_known_text: bool,
    /// Where that which its id is the hash of stands; nowhere for a known text.
    preimage: Range<usize>,
}

/// A batch while it is gone through.
struct Batch<'a> {
    filters: Option<&'a [Filter]>,
    ingest: Ingest,
    /// Where an id stands: in `known` (true) or `to_verify`, and at which index.
    places: HashMap<EventId, (bool, usize), RandomState>,
}

impl<'a> Batch<'a> {
    fn new(source: Source, filters: Option<&'a [Filter]>) -> Self {
        Self {
            filters,
            ingest: Ingest {
                source,
                to_verify: Vec::new(),
                known: Vec::new(),
                seen: Vec::new(),
                refused: Vec::new(),
            },
            places: HashMap::default(),
        }
    }

    fn refuse(&mut self, at: usize, id: Option<EventId>, refusal: Refusal) {
        self.ingest.refused.push(Refused { at, id, refusal });
    }

    fn add(&mut self, candidate: Candidate, is_known: bool) {
        let (id, sig) = (candidate.view().id(), candidate.view().sig());
        if let Some((known, index)) = self.places.get(&id) {
            let list = if *known { &mut self.ingest.known } else { &mut self.ingest.to_verify };
            // Equal ids mean equal content; the signature must be the same as well.
            if let Some(first) = list.get_mut(*index).filter(|first| first.view().sig() == sig) {
                first.copies.push(candidate.at);
                return;
            }
        }
        let list = if is_known { &mut self.ingest.known } else { &mut self.ingest.to_verify };
        self.places.entry(id).or_insert((is_known, list.len()));
        list.push(candidate);
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
