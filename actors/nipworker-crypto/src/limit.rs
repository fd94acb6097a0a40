//! A bound on what is under way.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counts what is under way, up to a bound.
pub(crate) struct Limit {
    under_way: Arc<AtomicUsize>,
    most: usize,
}

/// One place of a [`Limit`]; dropping it frees the place.
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Limit {
    pub(crate) fn new(most: usize) -> Self {
        Self { under_way: Arc::default(), most }
    }

    /// Takes a place, if there is one.
    pub(crate) fn enter(&self) -> Option<Permit> {
        let entered =
            self.under_way.fetch_update(Ordering::AcqRel, Ordering::Acquire, |under_way| {
                (under_way < self.most).then_some(under_way + 1)
            });
        entered.is_ok().then(|| Permit(Arc::clone(&self.under_way)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
