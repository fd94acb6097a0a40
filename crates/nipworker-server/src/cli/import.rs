//! `nipworker import`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Read},
};

use indicatif::{ProgressBar, ProgressStyle};
use nipworker_core::protocol::EventLimits;
use serde_json::json;

use super::{
    args::ImportArgs,
    engine::{self, Engine},
    output::{Failure, json_line, line, note},
};
use crate::lines::{IMPORT_BATCH, Line, LineOutcome};

pub(super) fn run(args: &ImportArgs) -> Result<(), Failure> {
    let (input, size) = open(&args.file)?;
    let engine = engine::open_store(&args.config, args.daemon.as_deref())?;
    let progress = progress(size);
    let mut tally = Tally { json: args.json, accepted: 0, refused: 0 };
    let result = import(input, &engine, &progress, &mut tally);
    progress.finish_and_clear();
    if let Engine::Embedded(embedded) = engine {
        embedded.close();
    }
    result?;
    let Tally { accepted, refused, .. } = tally;
    if args.json {
        json_line(&json!({ "accepted": accepted, "refused": refused }))?;
    } else {
        line(format_args!("{accepted} accepted, {refused} refused"))?;
    }
    if refused == 0 { Ok(()) } else { Err(Failure::Told) }
}

type Input = Box<dyn BufRead>;

fn open(file: &str) -> Result<(Input, Option<u64>), Failure> {
    if file == "-" {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let refuse = |error| Failure::because(format_args!("{file}: cannot be read: {error}"));
    let opened = File::open(file).map_err(refuse)?;
    let size = opened.metadata().map_err(refuse)?.len();
    Ok((Box::new(BufReader::with_capacity(256 * 1024, opened)), Some(size)))
}

/// A bar on stderr when it is a terminal.
fn progress(size: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = size.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let template = "{bar:30} {bytes}/{total_bytes} {msg} {eta}";
    bar.with_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

struct Tally {
    json: bool,
    accepted: u64,
    refused: u64,
}

impl Tally {
    fn add(&mut self, outcome: &LineOutcome, progress: &ProgressBar) -> Result<(), Failure> {
        if outcome.accepted {
            self.accepted += 1;
        } else {
            self.refused += 1;
        }
        if self.json {
            return json_line(outcome);
        }
        if !outcome.accepted {
            progress.suspend(|| note(format_args!("line {}: {}", outcome.line, outcome.message)));
        }
        Ok(())
    }
}

fn import(
    mut input: Input,
    engine: &Engine,
    progress: &ProgressBar,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let mut reader = LineReader::new(EventLimits::default().max_event_bytes);
    loop {
        let mut batch = Vec::with_capacity(IMPORT_BATCH);
        let mut more = true;
        while batch.len() < IMPORT_BATCH && more {
            more = reader.next(&mut input, |line| batch.push(line))?;
        }
        for outcome in hand_over(batch, engine)? {
            tally.add(&outcome, progress)?;
        }
        progress.set_position(reader.bytes);
        progress.set_message(format!("{} accepted, {} refused", tally.accepted, tally.refused));
        if !more {
            return Ok(());
        }
    }
}

/// Hands a batch to the engine; the outcomes come in the order of the lines.
fn hand_over(batch: Vec<Line>, engine: &Engine) -> Result<Vec<LineOutcome>, Failure> {
    let texts: Vec<String> = batch.iter().filter_map(|line| line.text.clone().ok()).collect();
    if texts.is_empty() {
        return Ok(batch.into_iter().map(|line| refused(&line)).collect());
    }
    let mut outcomes = match engine {
        Engine::Remote(remote) => remote.import(&texts)?,
        Engine::Embedded(embedded) => {
            let outcomes = embedded.block_on(embedded.client.import(texts));
            let outcomes = outcomes.map_err(Failure::because)?;
            outcomes.into_iter().map(|outcome| LineOutcome::of(0, Some(outcome))).collect()
        }
    }
    .into_iter();
    Ok(batch
        .into_iter()
        .map(|line| {
            let outcome = line.text.is_ok().then(|| outcomes.next()).flatten();
            outcome.map_or_else(
                || refused(&line),
                |outcome| LineOutcome { line: line.number, ..outcome },
            )
        })
        .collect())
}

fn refused(line: &Line) -> LineOutcome {
    match &line.text {
        Ok(_) => LineOutcome::of(line.number, None),
        Err(reason) => LineOutcome::unreadable(line.number, reason.clone()),
    }
}

/// Reads lines of bounded length; what is over the limit is read and dropped.
struct LineReader {
    max_bytes: usize,
    number: u64,
    bytes: u64,
    buffer: Vec<u8>,
}

impl LineReader {
    fn new(max_bytes: usize) -> Self {
        Self { max_bytes, number: 0, bytes: 0, buffer: Vec::new() }
    }

    /// Reads one line; false at the end of the input.
    fn next(&mut self, input: &mut Input, mut take: impl FnMut(Line)) -> Result<bool, Failure> {
        // White space around an event does not count towards its size; a little is let in.
        let limit = self.max_bytes as u64 + 1024;
        let failed =
            |error: io::Error| Failure::because(format_args!("cannot read the input: {error}"));
        self.buffer.clear();
        let read = input.take(limit).read_until(b'\n', &mut self.buffer).map_err(failed)?;
        if read == 0 {
            return Ok(false);
        }
        self.number += 1;
        self.bytes += read as u64;
        let whole = self.buffer.last() == Some(&b'\n') || (read as u64) < limit;
        if whole {
            if let Some(line) = Line::of(self.number, &self.buffer, self.max_bytes) {
                take(line);
            }
            return Ok(true);
        }
        let dropped = skip_line(input).map_err(failed)?;
        self.bytes += dropped;
        let total = read as u64 + dropped;
        let text =
            Err(format!("line of {total} bytes is over the limit of {} bytes", self.max_bytes));
        take(Line { number: self.number, text });
        Ok(true)
    }
}

/// Reads to the end of the line without keeping it; the number of bytes.
fn skip_line(input: &mut Input) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let available = input.fill_buf()?;
        if available.is_empty() {
            return Ok(skipped);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(available.len(), |at| at + 1);
        input.consume(used);
        skipped += used as u64;
        if end.is_some() {
            return Ok(skipped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static [u8], max_bytes: usize) -> Vec<Line> {
        let mut input: Input = Box::new(BufReader::with_capacity(16, text));
        let mut reader = LineReader::new(max_bytes);
        let mut lines = Vec::new();
        while reader.next(&mut input, |line| lines.push(line)).unwrap() {}
        assert_eq!(reader.bytes, text.len() as u64);
        lines
    }

    #[test]
    fn lines_are_numbered_and_the_last_needs_no_line_break() {
        let lines = lines(b"a\n\nb", 10);
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn an_endless_line_is_dropped_and_the_next_is_read() {
        static TEXT: [u8; 5_004] = {
            let mut text = [b'x'; 5_004];
            text[5_000] = b'\n';
            text[5_001] = b'o';
            text[5_002] = b'k';
            text[5_003] = b'\n';
            text
        };
        let lines = lines(&TEXT, 100);
        assert!(lines[0].text.as_ref().is_err_and(|why| why.contains("line of 5001 bytes")));
        assert_eq!(lines[1], Line { number: 2, text: Ok("ok".to_owned()) });
    }
}
