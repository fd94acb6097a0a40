//! Setting a store aside that cannot be opened.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Names that are tried when the first is taken.
const NAMES_TRIED_MAX: u32 = 1_000;

/// A file or folder that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// Where it was.
    pub from: PathBuf,
    /// Where it is now.
    pub to: PathBuf,
}

/// Renames the file or folder at `path` to `….corrupt-<now>` beside it, so that a fresh store can take
/// its place. Nothing is deleted and nothing overwritten. `now` is unix seconds.
///
/// Meant for an [`OpenError`](crate::OpenError) that
/// [says so](crate::OpenError::may_be_set_aside).
///
/// # Errors
/// What the operating system says to the renaming; [`io::ErrorKind::AlreadyExists`] when no
/// name is free.
pub fn set_aside(path: impl AsRef<Path>, now: i64) -> io::Result<Quarantine> {
    let from = path.as_ref().to_owned();
    for attempt in 0..NAMES_TRIED_MAX {
        let mut name = from.clone().into_os_string();
        name.push(format!(".corrupt-{now}"));
        if attempt > 0 {
            name.push(format!("-{attempt}"));
        }
        let to = PathBuf::from(name);
        if to.symlink_metadata().is_ok() {
            continue;
        }
        fs::rename(&from, &to)?;
        return Ok(Quarantine { from, to });
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("no free name to set {} aside under", from.display()),
    ))
}
