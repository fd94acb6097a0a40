//! Filters as JSON (NIP-01), beside a look at the tree of values.

use nipworker_protocol::{Event, EventId, Filter, FilterLimits, PublicKey, Signature, Tag};
use serde_json::Value;

const KEYS: [&str; 7] = ["ids", "authors", "kinds", "since", "until", "limit", "search"];

pub(super) fn run(bytes: &[u8]) {
    let Ok(filter) = serde_json::from_slice::<Filter>(bytes) else { return };
    let value: Value = serde_json::from_slice(bytes).expect("a filter is JSON");
    let members = value.as_object().expect("a filter is an object");
    for (key, member) in members {
        let is_tag = matches!(key.as_bytes(), [b'#', letter] if letter.is_ascii_alphabetic());
        assert!(is_tag || KEYS.contains(&key.as_str()), "the key {key:?} would be ignored");
        assert!(!is_tag || member.is_array());
    }
    let lists = members.values().filter_map(Value::as_array).map(Vec::len).sum::<usize>();
    assert_eq!(filter.value_count(), lists);

    let text = serde_json::to_string(&filter).unwrap();
    assert_eq!(serde_json::from_str::<Filter>(&text).unwrap(), filter, "written and read again");

    let event = sample(&filter);
    let wanted = naive_matches(members, &event);
    assert_eq!(filter.matches(&event), wanted, "{text}");

    let limits = FilterLimits::default();
    let mut filters = vec![filter];
    if limits.apply(&mut filters).is_ok() {
        assert!(filters[0].limit.is_some_and(|limit| limit <= limits.max_limit));
    }
}

/// An event that has what the filter asks for first, where it asks.
fn sample(filter: &Filter) -> Event {
    let first = |list: &Option<Vec<u16>>| list.as_ref().and_then(|list| list.first().copied());
    let author = filter.authors.as_ref().and_then(|list| list.first().copied());
    let tags = filter.tags.iter().filter_map(|(letter, values)| {
        Some(Tag::new([letter.as_char().to_string(), values.first()?.clone()]))
    });
    Event {
        id: filter
            .ids
            .as_ref()
            .and_then(|list| list.last().copied())
            .unwrap_or(EventId::from_bytes([1; 32])),
        pubkey: author.unwrap_or(PublicKey::from_bytes([2; 32])),
        created_at: filter.since.or(filter.until).unwrap_or(1_700_000_000),
        kind: first(&filter.kinds).unwrap_or(1),
        tags: tags.collect(),
        content: String::new(),
        sig: Signature::from_bytes([0; 64]),
    }
}

fn naive_matches(filter: &serde_json::Map<String, Value>, event: &Event) -> bool {
    let has = |list: &Value, value: Value| list.as_array().is_some_and(|l| l.contains(&value));
    filter.iter().all(|(key, wanted)| match key.as_str() {
        "limit" | "search" => true,
        _ if wanted.is_null() => true,
        "ids" => has(wanted, event.id.to_string().into()),
        "authors" => has(wanted, event.pubkey.to_string().into()),
        "kinds" => has(wanted, event.kind.into()),
        "since" => wanted.as_i64().is_some_and(|since| event.created_at >= since),
        "until" => wanted.as_i64().is_some_and(|until| event.created_at <= until),
        name => event.tags.iter().any(|tag| {
            Some(tag.name()) == name.strip_prefix('#')
                && tag.value().is_some_and(|value| has(wanted, value.into()))
        }),
    })
}
