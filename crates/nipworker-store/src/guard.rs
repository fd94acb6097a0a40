//! Database engines assert that what they read makes sense. On a damaged file an assertion may fail
//! where no error was foreseen; here that becomes an error like any other.

use std::{
    any::Any,
    cell::Cell,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::Once,
    thread,
};

use crate::KvError;

/// Runs `work`; a panic in it is told as a corrupt database.
///
/// What a panic leaves half done must not be looked at again: open the database afresh before the
/// next use.
///
/// # Errors
/// What `work` says; [`KvError::Corrupt`] when it panicked.
pub fn guarded<T>(
    during: &'static str,
    work: impl FnOnce() -> Result<T, KvError>,
) -> Result<T, KvError> {
    caught(work).unwrap_or_else(|detail| Err(KvError::Corrupt { during, detail }))
}

/// Runs `work`; a panic becomes its text, and nothing is printed of it.
///
/// # Errors
/// The text of the panic.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    quieten();
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.map_err(|payload| format!("the database engine gave up: {}", text_of(&*payload)))
}

thread_local! {
    /// Whether a panic of this thread is caught here and told as an error.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Puts a hook before the process's own that says nothing of panics that are caught here: whoever
/// reads the error must not see a backtrace before it.
fn quieten() {
    static ONCE: Once = Once::new();
    // The hook cannot be changed during a panic.
    if thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let own = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                own(info);
            }
        }));
    });
}

/// What a panic said.
pub fn text_of(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command};

    use super::*;

    /// Set for the process that panics.
    const VARIABLE: &str = "NIPWORKER_TEST_GUARD_PANICS";

    #[test]
    fn a_panic_that_is_caught_is_not_shown_and_others_are() {
        if env::var_os(VARIABLE).is_some() {
            assert!(caught(|| panic!("inner trouble")).unwrap_err().contains("inner trouble"));
            drop(catch_unwind(|| panic!("outer trouble")));
            return;
        }
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "--test-threads=1"])
            .arg("guard::tests::a_panic_that_is_caught_is_not_shown_and_others_are")
            .env(VARIABLE, "1")
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        assert!(!stderr.contains("inner trouble"), "{stderr}");
        assert!(stderr.contains("outer trouble"), "{stderr}");
    }
}
