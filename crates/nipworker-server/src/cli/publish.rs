//! `nipworker publish`.

use nipworker_core::{
    PublishOptions, Receipt, ReceiptStatus, Remined,
    protocol::{Event, EventLimits},
};
use serde_json::{Value, json};

use super::{
    args::PublishArgs,
    engine::{self, Access, Embedded, Engine, Opened},
    input,
    output::{Failure, json_line, line, note},
    remote::Published,
};
use crate::verdict::{Verdict, remined_text};

/// Largest input in bytes.
const MAX_INPUT_BYTES: u64 = 64 * 1024 * 1024;

pub(super) fn run(args: &PublishArgs) -> Result<(), Failure> {
    let input = input(&args.event)?;
    let Opened { engine, use_relays, event_limits: limits } =
        engine::open(&args.engine, true, Access::Write)?;
    if args.durable && matches!(engine, Engine::Embedded(_)) {
        engine.close();
        return Err(Failure::because(
            "no daemon runs on this data folder, and a durable publication needs one to send it",
        ));
    }
    let result = publish_all(args, &input, &engine, use_relays, &limits);
    engine.close();
    if result? { Ok(()) } else { Err(Failure::Told) }
}

/// Publishes one event after the other; whether all were accepted.
fn publish_all(
    args: &PublishArgs,
    input: &[u8],
    engine: &Engine,
    use_relays: bool,
    limits: &EventLimits,
) -> Result<bool, Failure> {
    let mut all_accepted = true;
    let mut any = false;
    for line in input::values(input, limits.max_event_bytes) {
        any = true;
        let read = line.text.and_then(|text| {
            let read = Event::from_json(text.as_bytes(), limits);
            read.map(|event| (text, event)).map_err(|error| error.to_string())
        });
        let published = match read {
            Err(reason) => unreadable(line.number, &reason),
            Ok((text, event)) => match engine {
                Engine::Remote(remote) if args.durable => remote.publish_durable(&text)?,
                Engine::Remote(remote) => remote.publish(&text, use_relays)?,
                Engine::Embedded(embedded) => {
                    let options = PublishOptions {
                        use_relays,
                        timeout: Some(args.timeout),
                        ..PublishOptions::default()
                    };
                    publish_here(embedded, event, options)
                }
            },
        };
        all_accepted &= published.accepted;
        show(args.json, &published)?;
    }
    if any { Ok(all_accepted) } else { Err(Failure::because("no event was given")) }
}

fn publish_here(embedded: &Embedded, event: Event, options: PublishOptions) -> Published {
    let id = event.id;
    match embedded.block_on(embedded.client.publish_with(event, options)) {
        Ok(report) => {
            let Verdict { accepted, message } = Verdict::of(&report);
            let mut answer = json!({
                "id": report.outcome.id,
                "status": report.outcome.status,
                "receipts": report.receipts,
            });
            if let Some(remined) = &report.remined {
                answer["remined"] = json!(remined);
            }
            Published { accepted, message, answer }
        }
        Err(error) => Published {
            accepted: false,
            message: Verdict::of_error(&error).message,
            answer: json!({ "id": id, "status": "failed", "receipts": [] }),
        },
    }
}

fn input(argument: &str) -> Result<Vec<u8>, Failure> {
    let input = input::read(argument, MAX_INPUT_BYTES)?;
    if input.len() as u64 > MAX_INPUT_BYTES {
        return Err(Failure::because(format_args!(
            "the input is over the limit of {MAX_INPUT_BYTES} bytes; use nipworker import for so \
             many"
        )));
    }
    Ok(input)
}

fn unreadable(number: u64, reason: &str) -> Published {
    Published {
        accepted: false,
        message: format!("invalid: line {number}: {reason}"),
        answer: json!({ "id": null, "status": "invalid", "receipts": [] }),
    }
}

fn show(as_json: bool, published: &Published) -> Result<(), Failure> {
    let Published { accepted, message, answer } = published;
    if as_json {
        let mut answer = answer.clone();
        answer["accepted"] = (*accepted).into();
        answer["message"] = message.clone().into();
        return json_line(&answer);
    }
    let id = answer["id"].as_str().unwrap_or("event");
    let status = answer["status"].as_str().unwrap_or("refused");
    if answer["queued"] == true {
        line(format_args!("{id} {status}, {message}"))?;
    } else if *accepted {
        line(format_args!("{id} {status}"))?;
    } else {
        note(format_args!("{id} {message}"));
    }
    receipts(answer)
        .iter()
        .try_for_each(|receipt| line(format_args!("  {}", receipt_line(receipt))))?;
    match serde_json::from_value::<Remined>(answer["remined"].clone()) {
        Ok(remined) => line(format_args!("  {}", remined_text(&remined))),
        // There is none.
        Err(_) => Ok(()),
    }
}

/// What one relay answered, for a person.
pub(super) fn receipt_line(receipt: &Receipt) -> String {
    let word = match receipt.status {
        ReceiptStatus::Accepted => "accepted",
        ReceiptStatus::Refused => "refused",
        ReceiptStatus::NoAnswer => "no answer",
        _ => "not connected",
    };
    let Receipt { relay, message, elapsed_ms, .. } = receipt;
    let message = if message.is_empty() { String::new() } else { format!(": {message}") };
    format!("{relay} {word} after {elapsed_ms} ms{message}")
}

fn receipts(answer: &Value) -> Vec<Receipt> {
    serde_json::from_value(answer["receipts"].clone()).unwrap_or_default()
}
