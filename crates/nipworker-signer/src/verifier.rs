//! Verification of batches on threads of its own.

use std::sync::Arc;

use nipworker_pool::{BatchFuture, Placement, Pool, PoolConfig, PoolError, Priority};

use crate::{SignedId, known_keys::KnownKeys};

/// The verdicts on a batch, in the order of its items. Dropping it stops the batch.
pub type VerifyFuture = BatchFuture<bool>;

/// Checks signatures on a pool of threads. Clones share the pool.
#[derive(Clone, Debug)]
pub struct Verifier {
    pool: Pool,
    keys: Arc<KnownKeys>,
}

impl Verifier {
    /// A verifier with `threads` threads named `verify-00`, …; `None` takes the number that
    /// [`nipworker_pool::default_threads`] gives.
    ///
    /// They are not bound to cores: a miner binds its threads to the same cores in the same order
    /// and never sleeps, and a verifier bound beside it could not move to a core that is free.
    ///
    /// # Errors
    /// See [`PoolError`].
    pub fn new(threads: Option<usize>) -> Result<Self, PoolError> {
        let config = PoolConfig {
            threads,
            name_prefix: "verify".into(),
            placement: Placement::Off,
            ..PoolConfig::default()
        };
        Pool::new(config).map(Self::on)
    }

    /// A verifier on a pool that exists already. Its batches pass whatever bulk work is there.
    pub fn on(pool: Pool) -> Self {
        Self { pool, keys: Arc::default() }
    }

    /// Checks every item. The work starts at once, and batches run at the same time as others.
    ///
    /// The future answers with one verdict for each item in order, or with
    /// [`nipworker_pool::BatchError`] when the pool was shut down or holds too many batches. It is
    /// cancel safe: dropping it stops the batch.
    pub fn verify(&self, items: Vec<SignedId>) -> VerifyFuture {
        let keys = Arc::clone(&self.keys);
        self.pool.run_batch(Priority::Urgent, items, move |item| keys.verify(item))
    }

    /// The pool, for its metrics.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }
}
