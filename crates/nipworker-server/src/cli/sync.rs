//! `nipworker sync`.

use std::time::Duration;

use futures::StreamExt;
use nipworker_core::{
    SyncDirection, SyncEvent, SyncHow, SyncOptions, SyncProgress, SyncReport, SyncStage,
    protocol::Filter,
};
use serde_json::json;

use super::{
    args::{EngineArgs, SyncArgs},
    engine::{self, Access, Engine, Opened},
    output::{Failure, json_line, line, note},
};

/// Events between two lines of progress about the same thing.
const PROGRESS_EVENTS: u64 = 1_000;

pub(super) fn run(args: &SyncArgs) -> Result<(), Failure> {
    let filters = engine::filters(&args.filters)?;
    if args.direction != SyncDirection::Down && filters.iter().any(|filter| filter.limit.is_some())
    {
        return Err(Failure::usage("a filter with a limit can only be synced down"));
    }
    let access = EngineArgs {
        config: args.config.clone(),
        relays: args.relays.clone(),
        daemon: args.daemon.clone(),
        ..EngineArgs::default()
    };
    let Opened { engine, .. } = engine::open_with(&access, true, Access::Write)?;
    let mut shown = Shown { json: args.json, last: None, all_complete: true };
    let result = filters.into_iter().try_for_each(|filter| one(args, &engine, filter, &mut shown));
    engine.close();
    result?;
    if shown.all_complete { Ok(()) } else { Err(Failure::Told) }
}

fn one(args: &SyncArgs, engine: &Engine, filter: Filter, shown: &mut Shown) -> Result<(), Failure> {
    match engine {
        Engine::Remote(remote) => {
            let request = json!({
                "filter": filter,
                "relays": args.relays,
                "direction": args.direction,
                "timeout_ms": milliseconds(args.timeout),
                "idle_ms": milliseconds(args.idle),
                "reconcile": !args.paged,
            });
            remote.sync(&request, |event| shown.event(event))
        }
        Engine::Embedded(embedded) => embedded.block_on(async {
            // The relays of the command line are the configuration's here.
            let options = SyncOptions {
                relays: None,
                direction: args.direction,
                deadline: args.timeout,
                idle: args.idle,
                reconcile: !args.paged,
            };
            let mut sync = embedded.client.sync(filter, options).map_err(Failure::because)?;
            while let Some(event) = sync.next().await {
                shown.event(event)?;
            }
            Ok(())
        }),
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What was told so far.
struct Shown {
    json: bool,
    last: Option<SyncProgress>,
    all_complete: bool,
}

impl Shown {
    fn event(&mut self, event: SyncEvent) -> Result<(), Failure> {
        match event {
            SyncEvent::Progress(progress) => {
                self.progress(progress);
                Ok(())
            }
            SyncEvent::Done(report) => {
                self.all_complete &= report.is_complete();
                if self.json { json_line(&report) } else { lines(&report) }
            }
        }
    }

    fn progress(&mut self, progress: SyncProgress) {
        let is_news = self.last.as_ref().is_none_or(|last| {
            (&last.relay, last.stage) != (&progress.relay, progress.stage)
                || progress.done >= last.done + PROGRESS_EVENTS
        });
        if is_news {
            let SyncProgress { relay, stage, total, done } = &progress;
            let stage = match stage {
                SyncStage::Reconciling => "comparing",
                SyncStage::Fetching => "fetching",
                SyncStage::Paging => "reading",
                SyncStage::Sending => "sending",
                _ => "at work",
            };
            let of = total.map_or(String::new(), |total| format!(" of {total}"));
            note(format_args!("{relay} {stage}: {done}{of} events"));
            self.last = Some(progress);
        }
    }
}

/// A report for a person.
fn lines(report: &SyncReport) -> Result<(), Failure> {
    let how = match report.how {
        SyncHow::Negentropy => "by NIP-77",
        SyncHow::Req => "page by page",
        _ => "nothing done",
    };
    line(format_args!(
        "{} {how}: {} came, {} of them new, {} sent, {} ms",
        report.relay, report.fetched, report.stored, report.sent, report.elapsed_ms
    ))?;
    if let Some((end, words)) = &report.fell_back {
        line(format_args!("  not by NIP-77 ({end:?}): {words}"))?;
    }
    for (kind, count) in &report.refused {
        line(format_args!("  {count} not let in: {kind:?}"))?;
    }
    for (count, what) in [
        (report.not_kept, "deleted by their authors or expired"),
        (report.missing, "named by the relay and not sent"),
        (report.crowded_seconds, "seconds of which the relay may have more"),
        (report.receipts.refused, "refused by the relay"),
        (report.receipts.no_answer, "sent without an answer"),
        (report.receipts.not_connected, "not sent for want of a connection"),
    ] {
        if count > 0 {
            line(format_args!("  {count} {what}"))?;
        }
    }
    if let Some(words) = &report.receipts.last_refusal {
        line(format_args!("  its last refusal: {words}"))?;
    }
    if let Some(failure) = report.failure {
        line(format_args!("  failed ({failure:?}): {}", report.message))?;
    }
    Ok(())
}
