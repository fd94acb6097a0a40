//! redb asserts that what it reads makes sense. On a damaged file an assertion may fail where
//! no error was foreseen; here that becomes an error like any other.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use nipworker_store::KvError;

/// Runs `work`; a panic in it is told as a corrupt database.
///
/// What a panic leaves half done is not looked at again: the database is opened afresh before
/// the next use.
pub(crate) fn guarded<T>(
    during: &'static str,
    work: impl FnOnce() -> Result<T, KvError>,
) -> Result<T, KvError> {
    caught(work).unwrap_or_else(|detail| Err(KvError::Corrupt { during, detail }))
}

/// Runs `work`; a panic becomes its text.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|payload| format!("the database engine gave up: {}", text_of(&*payload)))
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
}
