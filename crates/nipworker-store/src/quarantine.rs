//! Setting a store aside that cannot be opened.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What a database may keep beside its file, under the file's name with one of these behind it. It
/// belongs to that file and to no other.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

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
/// its place. What a database keeps beside its file (`-wal`, `-shm`, `-journal`) goes along. Nothing is
/// deleted and nothing overwritten. `now` is unix seconds.
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
        // First: a fresh file would take these for its own.
        for companion in COMPANIONS {
            match fs::rename(beside(&from, companion), beside(&to, companion)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&from, &to)?;
        return Ok(Quarantine { from, to });
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("no free name to set {} aside under", from.display()),
    ))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
