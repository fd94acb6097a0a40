//! Making a database file so that no half-made one ever stands in its place.
//!
//! redb fills a new file in several steps, and a process that is killed in between leaves one that
//! cannot be opened. So a new file is made under another name and gets its own when it is whole.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use redb::{Builder, Database};

use nipworker_store::guard::caught;

use crate::{OpenError, error::not_opened, kv::prepare};

/// Makes an empty database at `path` unless something is there already.
///
/// When two processes do so at once, both find one and the same file afterwards.
pub(crate) fn create_if_missing(path: &Path) -> Result<(), OpenError> {
    // A file of no length is what redb itself begins with.
    if fs::metadata(path).is_ok() {
        return Ok(());
    }
    let new = new_name(path);
    let made = match make(&new) {
        // What an earlier attempt left behind; nothing was ever acknowledged from it.
        Err(OpenError::Corrupt { .. }) => {
            fs::remove_file(&new).map_err(|source| OpenError::from_io(&new, source))?;
            make(&new)
        }
        made => made,
    };
    made.map_err(|error| match error {
        OpenError::AlreadyOpen { .. } => OpenError::AlreadyOpen { path: path.to_owned() },
        error => error,
    })?;
    publish(&new, path).map_err(|source| OpenError::from_io(path, source))
}

fn new_name(path: &Path) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(".new");
    PathBuf::from(name)
}

fn make(new: &Path) -> Result<(), OpenError> {
    caught(|| {
        let database: Database =
            Builder::new().create(new).map_err(|error| not_opened(new, error))?;
        prepare(new, &database)
    })
    .unwrap_or_else(|detail| Err(OpenError::Corrupt { path: new.to_owned(), detail }))
}

/// Gives the file its own name, without taking it from a file that another process has just made.
fn publish(new: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(new, path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        // Not every file system has links.
        Err(_) => return fs::rename(new, path).and_then(|()| sync_folder(path)),
    }
    match fs::remove_file(new) {
        // The other process was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed?,
    }
    sync_folder(path)
}

/// Makes the names in the folder durable, where folders can be opened for that.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if cfg!(unix) { File::open(folder.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use nipworker_store::EventStore;

    use super::*;
    use crate::{RedbOptions, open_store};

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_half_made_file_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.redb");
        fs::write(new_name(&path), vec![0; 1_056_768]).unwrap();
        let store = open_store(&path, RedbOptions::default()).unwrap();
        assert_eq!(store.stats().unwrap().events, 0);
        assert_eq!(names(folder.path()), ["events.redb"]);
    }

    #[test]
    fn a_whole_file_that_did_not_get_its_name_yet_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.redb");
        make(&new_name(&path)).unwrap();
        create_if_missing(&path).unwrap();
        assert_eq!(names(folder.path()), ["events.redb"]);
    }

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("theirs"), folder.path().join("ours"));
        fs::write(&path, "theirs").unwrap();
        fs::write(&new, "ours").unwrap();
        create_if_missing(&path).unwrap();
        publish(&new, &path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(names(folder.path()), ["theirs"]);
    }

    #[test]
    fn of_many_who_create_at_once_one_gets_the_file_and_the_others_are_told() {
        for _ in 0..10 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("events.redb");
            let results: Vec<_> = std::thread::scope(|scope| {
                let openings: Vec<_> = (0..4)
                    .map(|_| scope.spawn(|| open_store(&path, RedbOptions::default())))
                    .collect();
                openings.into_iter().map(|opening| opening.join().unwrap()).collect()
            });
            let mut opened = 0;
            for result in &results {
                match result {
                    Ok(_) => opened += 1,
                    Err(OpenError::AlreadyOpen { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            assert!(opened <= 1, "{opened} hold the same file");
            drop(results);
            open_store(&path, RedbOptions::default()).unwrap();
        }
    }
}
