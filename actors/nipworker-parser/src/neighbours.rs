//! Asking crypto and cache: with a deadline, once more when that may help, and item by item when
//! an item may be the reason.

use std::{cell::Cell, time::Duration};

use actix::Message;
use nipworker_pipeline::{
    Candidate, Verdict,
    protocol::{PackedEvent, PackedEvents, Verified},
};
use nipworker_schema::{
    CacheEdge, CacheMessageT, CryptoEdge, CryptoMessageT, EdgeError, FailedT, FailureCode,
    PersistT, PutOutcomeT, PutStatus, SignedIdT, VerifyBatchT,
};
use nipworker_supervision::{AskError, Recipient};

use crate::{
    config::{MAX_BAD_ITEMS, ParserConfig},
    convert::failed,
};

/// What the cache is given.
type Packed = Verified<PackedEvent>;

pub(crate) struct Neighbours {
    crypto: Recipient<CryptoEdge>,
    cache: Recipient<CacheEdge>,
    crypto_deadline: Duration,
    cache_deadline: Duration,
}

/// Why there is no answer, and what that says about asking again.
#[derive(Debug, Clone)]
struct Trouble {
    failed: FailedT,
    /// The message itself may be the reason.
    may_be_poison: bool,
}

impl Trouble {
    fn may_repeat(&self) -> bool {
        self.failed.transient
    }
}

impl From<AskError> for Trouble {
    fn from(error: AskError) -> Self {
        let code = match error {
            AskError::Closed => FailureCode::Closed,
            AskError::Timeout { .. } => FailureCode::Timeout,
            _ => FailureCode::Worker,
        };
        // What was in a worker's hand when it broke is suspect; what was only waiting is not.
        let may_be_poison = matches!(
            error,
            AskError::Panicked { .. } | AskError::Hung { .. } | AskError::ThreadLost
        );
        let transient = !matches!(error, AskError::Closed);
        Self { failed: failed(code, error, transient), may_be_poison }
    }
}

impl From<EdgeError> for Trouble {
    fn from(error: EdgeError) -> Self {
        unexpected(error)
    }
}

fn unexpected(what: impl ToString) -> Trouble {
    Trouble { failed: failed(FailureCode::Worker, what, false), may_be_poison: false }
}

fn told(failed: FailedT) -> Trouble {
    // A worker that catches its own panics reports them in this way.
    let may_be_poison = failed.code == FailureCode::Worker && failed.transient;
    Trouble { failed, may_be_poison }
}

async fn ask_once<M>(to: &Recipient<M>, message: M, deadline: Duration) -> Result<M, AskError>
where
    M: Message<Result = M>,
{
    to.ask(message).timeout(deadline).await
}

impl Neighbours {
    pub(crate) fn new(
        crypto: Recipient<CryptoEdge>,
        cache: Recipient<CacheEdge>,
        config: &ParserConfig,
    ) -> Self {
        Self {
            crypto,
            cache,
            crypto_deadline: config.crypto_deadline,
            cache_deadline: config.cache_deadline,
        }
    }

    async fn cache_once(
        &self,
        request: CacheEdge,
        deadline: Duration,
    ) -> Result<CacheMessageT, Trouble> {
        match ask_once(&self.cache, request, deadline).await?.decode()? {
            CacheMessageT::Failed(failed) => Err(told(*failed)),
            answer => Ok(answer),
        }
    }

    /// Asks the cache what can be asked again without harm.
    pub(crate) async fn cache(
        &self,
        request: impl Into<CacheMessageT>,
    ) -> Result<CacheMessageT, FailedT> {
        let request = CacheEdge::encode(request);
        match self.cache_once(request.clone(), self.cache_deadline).await {
            Err(trouble) if trouble.may_repeat() => {
                self.cache_once(request, self.cache_deadline).await
            }
            answer => answer,
        }
        .map_err(|trouble| trouble.failed)
    }

    /// Asks the cache once, and gives it `more` time than usual.
    pub(crate) async fn cache_with_time(
        &self,
        request: impl Into<CacheMessageT>,
        more: Duration,
    ) -> Result<CacheMessageT, FailedT> {
        let deadline = self.cache_deadline.saturating_add(more);
        let answer = self.cache_once(CacheEdge::encode(request), deadline).await;
        answer.map_err(|trouble| trouble.failed)
    }

    /// Has signatures checked: one verdict for each candidate in order.
    pub(crate) async fn verify(&self, candidates: &[Candidate]) -> Result<Vec<Verdict>, FailedT> {
        let items: Vec<SignedIdT> = candidates
            .iter()
            .map(Candidate::view)
            .map(|event| SignedIdT {
                id: event.id().into(),
                pubkey: event.pubkey().into(),
                sig: event.sig().into(),
            })
            .collect();
        isolate(&items, async |items| self.verify_once(items).await, Verdict::Undecided).await
    }

    async fn verify_once(&self, items: &[SignedIdT]) -> Result<Vec<Verdict>, Trouble> {
        let request = CryptoEdge::encode(VerifyBatchT { items: items.to_vec() });
        match ask_once(&self.crypto, request, self.crypto_deadline).await?.decode()? {
            CryptoMessageT::Verdicts(verdicts) => {
                Ok(verdicts.valid.into_iter().map(Verdict::from).collect())
            }
            CryptoMessageT::Failed(failed) => Err(told(*failed)),
            _ => Err(unexpected("crypto did not answer with verdicts")),
        }
    }

    /// Has events stored: one outcome for each in order.
    pub(crate) async fn persist(&self, events: &[Packed]) -> Result<Vec<PutOutcomeT>, FailedT> {
        let quarantine =
            |reason| PutOutcomeT { status: PutStatus::Failed, reason, ..PutOutcomeT::default() };
        let attempts = Cell::new(0_usize);
        let ask = async |events: &[Packed]| {
            attempts.set(attempts.get() + 1);
            self.persist_once(events).await
        };
        let mut outcomes = isolate(events, ask, quarantine).await?;
        let is_repeated = attempts.get() > 1;
        for (event, outcome) in events.iter().zip(&mut outcomes) {
            outcome.id = event.view().id().into();
            if is_repeated && outcome.status == PutStatus::Duplicate {
                outcome.reason =
                    "already stored, perhaps by an earlier attempt of this request".to_owned();
            }
        }
        Ok(outcomes)
    }

    async fn persist_once(&self, events: &[Packed]) -> Result<Vec<PutOutcomeT>, Trouble> {
        let mut packed = PackedEvents::new();
        events.iter().for_each(|event| packed.push(event.as_bytes()));
        let request = CacheEdge::encode(PersistT { events: packed.into_bytes() });
        match self.cache_once(request, self.cache_deadline).await? {
            CacheMessageT::Persisted(persisted) => Ok(persisted.outcomes),
            _ => Err(unexpected("cache did not answer with outcomes")),
        }
    }
}

/// Asks for all items at once; once more if that may help; then for each by itself, once more
/// again, where a failure concerns that item only. An innocent one that was in a worker's hand when
/// it broke for another reason passes the second time.
async fn isolate<I, O>(
    items: &[I],
    ask: impl AsyncFn(&[I]) -> Result<Vec<O>, Trouble>,
    quarantine: impl Fn(String) -> O,
) -> Result<Vec<O>, FailedT> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let ask = async |items: &[I]| {
        let answers = ask(items).await?;
        if answers.len() == items.len() {
            Ok(answers)
        } else {
            let (got, wanted) = (answers.len(), items.len());
            Err(unexpected(format_args!("{got} answers for {wanted} items")))
        }
    };
    let ask_twice = async |items: &[I]| match ask(items).await {
        Err(trouble) if trouble.may_repeat() => ask(items).await,
        answer => answer,
    };
    let trouble = match ask_twice(items).await {
        Ok(answers) => return Ok(answers),
        Err(trouble) => trouble,
    };
    if !trouble.may_be_poison {
        return Err(trouble.failed);
    }
    if items.len() == 1 {
        return Ok(vec![quarantine(trouble.failed.reason)]);
    }
    let mut answers = Vec::with_capacity(items.len());
    let mut bad_items = 0;
    for item in items {
        let item = std::slice::from_ref(item);
        let may_be_bad = bad_items < MAX_BAD_ITEMS;
        // When no further item may be bad, each failure costs the worker a restart for nothing.
        let answer = if may_be_bad { ask_twice(item).await } else { ask(item).await };
        match answer {
            Ok(answer) => answers.extend(answer),
            Err(trouble) if trouble.may_be_poison && may_be_bad => {
                bad_items += 1;
                tracing::warn!(reason = trouble.failed.reason, "an item makes a worker fail");
                answers.push(quarantine(trouble.failed.reason));
            }
            Err(trouble) => return Err(trouble.failed),
        }
    }
    Ok(answers)
}

#[cfg(test)]
#[path = "neighbours_tests.rs"]
mod tests;
