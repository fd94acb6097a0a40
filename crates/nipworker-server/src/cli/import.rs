//! `nipworker import`.

use std::{
    fs::File,
    io::{self, IsTerminal, Read},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{
    args::ImportArgs,
    engine::{self, Engine, Opened},
    output::{Failure, json_line, line, note},
};
use crate::lines::{Line, LineBatches, LineOutcome};

pub(super) fn run(args: &ImportArgs) -> Result<(), Failure> {
    let (input, size) = open(&args.file)?;
    let opened = engine::open_store(&args.config, args.daemon.as_deref(), engine::Access::Write)?;
    let progress = progress(size);
    let mut tally = Tally { json: args.json, accepted: 0, refused: 0 };
    let result = import(input, &opened, &progress, &mut tally);
    progress.finish_and_clear();
    opened.engine.close();
    result?;
    let Tally { accepted, refused, .. } = tally;
    if args.json {
        json_line(&json!({ "accepted": accepted, "refused": refused }))?;
    } else {
        line(format_args!("{accepted} accepted, {refused} refused"))?;
    }
    if refused == 0 { Ok(()) } else { Err(Failure::Told) }
}

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 256 * 1024;

type Input = Box<dyn Read>;

fn open(file: &str) -> Result<(Input, Option<u64>), Failure> {
    if file == "-" {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let refuse = |error| Failure::because(format_args!("{file}: cannot be read: {error}"));
    let opened = File::open(file).map_err(refuse)?;
    let size = opened.metadata().map_err(refuse)?.len();
    Ok((Box::new(opened), Some(size)))
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
    opened: &Opened,
    progress: &ProgressBar,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let mut lines = LineBatches::new(opened.event_limits.max_event_bytes);
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let read = match input.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Failure::because(format_args!("cannot read the input: {error}")));
            }
        };
        bytes += read as u64;
        for batch in lines.push(&piece[..read]) {
            store(batch, &opened.engine, progress, tally)?;
        }
        progress.set_position(bytes);
    }
    store(lines.finish(), &opened.engine, progress, tally)
}

fn store(
    batch: Vec<Line>,
    engine: &Engine,
    progress: &ProgressBar,
    tally: &mut Tally,
) -> Result<(), Failure> {
    for outcome in hand_over(batch, engine)? {
        tally.add(&outcome, progress)?;
    }
    progress.set_message(format!("{} accepted, {} refused", tally.accepted, tally.refused));
    Ok(())
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
