//! The naive twin of a query: every event is looked at, nothing is indexed. It reads the rules of
//! NIP-01 a second time, from JSON, and shares no code with the store.

use std::cmp::Reverse;

use serde_json::Value;

/// The ids of the events that answer `filters`, in the order of one filter's answer: newest first,
/// among equals the lowest id first. Events that answer several filters count once.
pub fn query(events: &[Value], filters: &[Value]) -> Vec<String> {
    let mut found: Vec<&Value> = Vec::new();
    for filter in filters {
        let mut matching: Vec<&Value> =
            events.iter().filter(|event| matches(event, filter)).collect();
        sort(&mut matching);
        if let Some(limit) = filter["limit"].as_u64() {
            matching.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        found.extend(matching);
    }
    sort(&mut found);
    found.dedup_by_key(|event| event["id"].clone());
    found.into_iter().map(|event| text(&event["id"]).to_owned()).collect()
}

fn sort(events: &mut [&Value]) {
    events.sort_by_key(|event| {
        (Reverse(event["created_at"].as_i64()), text(&event["id"]).to_owned())
    });
}

/// Whether an event answers a filter.
pub fn matches(event: &Value, filter: &Value) -> bool {
    let Some(conditions) = filter.as_object() else { return false };
    conditions.iter().all(|(key, wanted)| match key.as_str() {
        "ids" => has(wanted, &event["id"]),
        "authors" => has(wanted, &event["pubkey"]),
        "kinds" => has(wanted, &event["kind"]),
        "since" => event["created_at"].as_i64() >= wanted.as_i64(),
        "until" => event["created_at"].as_i64() <= wanted.as_i64(),
        "limit" => true,
        tag => tag.strip_prefix('#').is_some_and(|name| {
            let tags = event["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
            tags.iter().any(|tag| tag[0] == name && has(wanted, &tag[1]))
        }),
    })
}

fn has(list: &Value, value: &Value) -> bool {
    list.as_array().is_some_and(|list| list.contains(value))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
