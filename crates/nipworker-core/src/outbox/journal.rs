//! The file: records one behind the other, each with its checksum, written anew when most of them
//! are of the past.
//!
//! A record is a line: eight hex digits of the CRC-32 of what follows, a space, and JSON (which
//! has no line break). The first line names the version. A record that was cut off by the end of
//! a process or of the machine is the last one, and it was not acknowledged.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use nipworker_relay::outbox::OutboxRecord;
use serde::{Deserialize, Serialize};

use crate::kept_file::{FileError, KeptFile};

/// Version of the file that this release writes.
pub(super) const VERSION: u32 = 1;
/// Largest file that is read, in bytes: what the largest allowed outbox takes, and what may stand
/// beside it before it is written anew.
const MAX_BYTES: u64 = 1024 * 1024 * 1024;
/// Bytes of past records that are not worth writing the file anew.
const SLACK_BYTES: u64 = 256 * 1024;

#[derive(Serialize, Deserialize)]
struct Header {
    nipworker_outbox: u64,
}

/// What a file held.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// What can be read, in order.
    pub(super) records: Vec<OutboxRecord>,
    /// Bytes of a last record that was cut off.
    pub(super) torn_bytes: usize,
    /// Why the rest cannot be read.
    pub(super) damage: Option<String>,
}

pub(super) struct Journal {
    kept: KeptFile,
    file: File,
    /// Bytes that are known to be good.
    len: u64,
    /// Bytes when it was last written anew.
    compact: u64,
    /// A write failed: what the file holds is not known until it is written anew.
    stale: bool,
}

/// A journal, what it held, and where a damaged file was put.
pub(super) struct Opened {
    pub(super) journal: Journal,
    pub(super) contents: Contents,
    pub(super) set_aside: Option<PathBuf>,
}

impl Journal {
    /// Takes the file, which need not exist. `restate` makes of what was read what the file is to
    /// hold; it is written at once, so that a file that cannot be written is told now.
    pub(super) fn open(
        path: &Path,
        now: i64,
        restate: impl FnOnce(&Contents) -> Vec<OutboxRecord>,
    ) -> Result<Opened, FileError> {
        let kept = KeptFile::open(path)?;
        let contents = match kept.read(MAX_BYTES)? {
            None => Contents::default(),
            Some(bytes) if bytes.len() as u64 > MAX_BYTES => Contents {
                damage: Some(format!("it is larger than {MAX_BYTES} bytes")),
                ..Contents::default()
            },
            Some(bytes) => read(&bytes).map_err(|version| FileError::Newer {
                path: path.to_owned(),
                version,
                known: VERSION,
            })?,
        };
        let set_aside = match &contents.damage {
            Some(_) => Some(kept.set_aside(now).map_err(|cause| kept.io(cause))?),
            None => None,
        };
        let bytes = whole(&restate(&contents)).map_err(|cause| kept.io(cause))?;
        let file = kept.replace(&bytes).map_err(|cause| kept.io(cause))?;
        let len = bytes.len() as u64;
        let journal = Self { kept, file, len, compact: len, stale: false };
        Ok(Opened { journal, contents, set_aside })
    }

    pub(super) fn path(&self) -> &Path {
        self.kept.path()
    }

    /// Adds records; with `sync` they are on the disk when it returns. After an error none of
    /// them counts, and the file is to be written anew.
    pub(super) fn append(&mut self, records: &[OutboxRecord], sync: bool) -> io::Result<()> {
        if self.stale {
            return Err(io::Error::other("an earlier write failed"));
        }
        let mut bytes = Vec::new();
        for record in records {
            line(&mut bytes, record)?;
        }
        let written = self.file.write_all(&bytes).and_then(|()| match sync {
            true => self.file.sync_data(),
            false => Ok(()),
        });
        match written {
            Ok(()) => self.len += bytes.len() as u64,
            Err(_) => {
                self.stale = true;
                // So that the next process does not take for queued what was refused.
                self.file.set_len(self.len).ok();
                self.file.seek(SeekFrom::Start(self.len)).ok();
            }
        }
        written
    }

    /// Whether the file is to be written anew: because most of it is past, or because it is not
    /// known what it holds.
    pub(super) fn is_due(&self) -> bool {
        self.stale || self.len > 2 * self.compact + SLACK_BYTES
    }

    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    /// Writes the file anew.
    pub(super) fn rewrite(&mut self, records: &[OutboxRecord]) -> io::Result<()> {
        let bytes = whole(records)?;
        self.file = self.kept.replace(&bytes)?;
        self.len = bytes.len() as u64;
        self.compact = self.len;
        self.stale = false;
        Ok(())
    }

    /// Leaves the file, on the disk, to whoever comes next.
    pub(super) fn release(self) {
        if let Err(error) = self.file.sync_all() {
            tracing::error!(%error, file = %self.path().display(), "the outbox was not synced");
        }
        self.kept.release();
    }
}

fn line(bytes: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_vec(value)?;
    write!(bytes, "{:08x} ", crc32fast::hash(&json))?;
    bytes.extend_from_slice(&json);
    bytes.push(b'\n');
    Ok(())
}

/// A whole file.
pub(super) fn whole(records: &[OutboxRecord]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    line(&mut bytes, &Header { nipworker_outbox: u64::from(VERSION) })?;
    for record in records {
        line(&mut bytes, record)?;
    }
    Ok(bytes)
}

/// Reads a whole file; the error is the version of one by a later release.
pub(super) fn read(bytes: &[u8]) -> Result<Contents, u64> {
    let mut contents = Contents::default();
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').peekable();
    match lines.next().map(checked::<Header>) {
        Some(Ok(Header { nipworker_outbox: version })) if version <= u64::from(VERSION) => {}
        Some(Ok(Header { nipworker_outbox: version })) => return Err(version),
        Some(Err(reason)) => {
            contents.damage = Some(format!("its first line: {reason}"));
            return Ok(contents);
        }
        None => return Ok(contents),
    }
    let mut number = 1_usize;
    while let Some(line) = lines.next() {
        number += 1;
        match checked(line) {
            Ok(record) => contents.records.push(record),
            // Only what was written last can have been cut off.
            Err(_) if lines.peek().is_none() && !line.ends_with(b"\n") => {
                contents.torn_bytes = line.len();
            }
            Err(reason) => {
                contents.damage.get_or_insert_with(|| format!("its line {number}: {reason}"));
            }
        }
    }
    Ok(contents)
}

fn checked<T: for<'de> Deserialize<'de>>(line: &[u8]) -> Result<T, String> {
    let line = line.strip_suffix(b"\n").ok_or("it is cut off")?;
    let (sum, json) = line.split_at_checked(8).ok_or("it has no checksum")?;
    let json = json.strip_prefix(b" ").ok_or("it has no checksum")?;
    let sum = std::str::from_utf8(sum).ok().and_then(|sum| u32::from_str_radix(sum, 16).ok());
    if sum != Some(crc32fast::hash(json)) {
        return Err("its checksum is wrong".to_owned());
    }
    serde_json::from_slice(json).map_err(|error| error.to_string())
}
