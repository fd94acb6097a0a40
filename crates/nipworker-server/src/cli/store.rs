//! `nipworker check` and `nipworker compact`: the store's file itself, without an engine.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use nipworker_core::{EventStore, StoreBackend, open_store};
use serde_json::json;

use super::{
    args::StoreArgs,
    engine, one_shot,
    output::{Failure, json_line, line, note},
};
use crate::embedded::engine_config;

/// How often the time that has passed is shown on a terminal.
const TICK: Duration = Duration::from_millis(200);

/// Reads everything; exit code 1 when something disagrees.
pub(super) fn check(args: &StoreArgs) -> Result<(), Failure> {
    let store = open(args)?;
    let begin = Instant::now();
    let report = while_shown("checking", || store.check()).map_err(Failure::because)?;
    if args.json {
        json_line(&report)?;
    } else {
        for problem in &report.problems {
            note(problem);
        }
        let more = report.problem_count.saturating_sub(report.problems.len() as u64);
        if more > 0 {
            note(format_args!("and {more} more"));
        }
        line(format_args!(
            "{} events, {} index entries and {} deletion marks read in {:.1} s: {}",
            report.events,
            report.index_entries,
            report.deletion_marks,
            begin.elapsed().as_secs_f64(),
            match report.problem_count {
                0 => "all agree".to_owned(),
                1 => "1 problem".to_owned(),
                count => format!("{count} problems"),
            }
        ))?;
    }
    if report.is_clean() { Ok(()) } else { Err(Failure::Told) }
}

/// Makes the file as small as its content allows.
pub(super) fn compact(args: &StoreArgs) -> Result<(), Failure> {
    let store = open(args)?;
    let size = || store.stats().map(|stats| stats.disk_bytes).map_err(Failure::because);
    let before = size()?;
    while_shown("compacting", || store.compact()).map_err(Failure::because)?;
    let after = size()?;
    if args.json {
        return json_line(&json!({ "bytes_before": before, "bytes_after": after }));
    }
    let shown =
        |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), |it| it.to_string());
    line(format_args!("{} bytes before, {} after", shown(before), shown(after)))
}

/// The store that the configuration names. A question about it neither makes one nor renames a
/// damaged one.
fn open(args: &StoreArgs) -> Result<Arc<dyn EventStore>, Failure> {
    let loaded = one_shot(&args.config, args.config.flags(&[]))?;
    let data = loaded.config.data_dir();
    if engine::find(&data).is_some() {
        return Err(Failure::because(format_args!(
            "the daemon has the store in {} open; stop it first",
            data.display()
        )));
    }
    let mut config = engine_config(&loaded.config).store;
    if config.backend == StoreBackend::Memory {
        return Err(Failure::because("store.backend is \"memory\": there is no file"));
    }
    config.set_aside_damaged = false;
    // Nor does it make room in one.
    config.max_bytes = 0;
    // Nor does it need what makes others faster.
    config.kept_filters.clear();
    config.recent_bytes = 0;
    if config.backend != StoreBackend::Postgres {
        let file = config.path.display();
        match config.path.try_exists() {
            Ok(true) => {}
            Ok(false) => return Err(Failure::because(format_args!("{file}: no such store"))),
            Err(error) => {
                return Err(Failure::because(format_args!("{file}: cannot be read: {error}")));
            }
        }
    }
    open_store(&config).map_err(Failure::because)
}

/// Shows on a terminal that the work goes on.
fn while_shown<T>(what: &'static str, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    let bar = ProgressBar::new_spinner().with_message(what);
    bar.enable_steady_tick(TICK);
    let done = work();
    bar.finish_and_clear();
    done
}
