//! Writing to stdout and stderr, and the failure that becomes an exit code.

use std::{
    fmt::Display,
    io::{self, Write},
};

use serde::Serialize;

/// Why a command failed. Its text goes to stderr, after `nipworker: `; the exit code is 1.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A reason for a person.
    Because(String),
    /// The reasons were written already, line by line.
    Told,
    /// Wrong usage that only shows after parsing: exit code 2.
    Usage(String),
    /// Whoever read our output went away. That is no error of ours.
    OutputClosed,
}

impl Failure {
    pub(crate) fn because(reason: impl Display) -> Self {
        Self::Because(reason.to_string())
    }

    pub(crate) fn usage(reason: impl Display) -> Self {
        Self::Usage(reason.to_string())
    }
}

impl From<io::Error> for Failure {
    /// For writing to stdout only: other errors need to name what was being done.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Because(format!("cannot write to stdout: {error}")),
        }
    }
}

/// Writes one line to stdout.
pub(crate) fn line(text: impl Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Writes a value as one line of JSON to stdout.
pub(crate) fn json_line(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string(value).map_err(Failure::because)?)
}

/// Writes one line to stderr. There is nobody to tell when that fails.
pub(crate) fn note(text: impl Display) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}
