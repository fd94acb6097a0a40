//! Reading: a redb read transaction and its ranges.

use std::{
    ops::Range as Keys,
    sync::{Arc, atomic::AtomicBool},
};

use nipworker_store::{
    Direction, KeyRange, KvCursor, KvEntry, KvError, KvSnapshot, guard::guarded,
};
use redb::{AccessGuard, Range, ReadOnlyTable};

use crate::{error::storage, kv::note};

/// One moment's view. It keeps the pages that it sees from being used again.
pub(crate) struct Snapshot {
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    in_doubt: Arc<AtomicBool>,
}

impl Snapshot {
    pub(crate) fn new(
        table: ReadOnlyTable<&'static [u8], &'static [u8]>,
        in_doubt: Arc<AtomicBool>,
    ) -> Self {
        Self { table, in_doubt }
    }

    fn noted<T>(&self, result: Result<T, KvError>) -> Result<T, KvError> {
        if let Err(error) = &result {
            note(&self.in_doubt, error);
        }
        result
    }
}

impl KvSnapshot for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        let during = "reading a value";
        self.noted(guarded(during, || {
            let value = self.table.get(key).map_err(|error| storage(during, error))?;
            Ok(value.map(|value| value.value().to_vec()))
        }))
    }

    fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn KvCursor + '_>, KvError> {
        let during = "opening a range";
        let entries = if range.is_empty() {
            None
        } else {
            let keys: Keys<&[u8]> = &range.start..&range.end;
            let opened = guarded(during, || {
                self.table.range::<&[u8]>(keys).map_err(|error| storage(during, error))
            });
            Some(self.noted(opened)?)
        };
        Ok(Box::new(Cursor { snapshot: self, entries, direction, current: None }))
    }
}

type Guard = AccessGuard<'static, &'static [u8]>;

struct Cursor<'s> {
    snapshot: &'s Snapshot,
    /// `None` at the end.
    entries: Option<Range<'static, &'static [u8], &'static [u8]>>,
    direction: Direction,
    current: Option<(Guard, Guard)>,
}

impl KvCursor for Cursor<'_> {
    fn advance(&mut self) -> Result<Option<KvEntry<'_>>, KvError> {
        let Self { snapshot, entries, direction, current } = self;
        let Some(range) = entries else { return Ok(None) };
        let during = "reading a range";
        // Guards are large, and are written where they stay.
        let step = guarded(during, || {
            let entry = match direction {
                Direction::Forward => range.next(),
                Direction::Backward => range.next_back(),
            };
            match entry {
                Some(Ok(entry)) => *current = Some(entry),
                Some(Err(error)) => return Err(storage(during, error)),
                None => *current = None,
            }
            Ok(())
        });
        if step.is_err() {
            *current = None;
        }
        snapshot.noted(step)?;
        if current.is_none() {
            *entries = None;
        }
        Ok(current.as_ref().map(|(key, value)| (key.value(), value.value())))
    }
}
