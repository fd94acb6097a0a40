//! Filters: their JSON, their limits, and what they match.
#![allow(clippy::unwrap_used)]

mod common;

use common::{event, real_events};
use nipworker_protocol::{
    Event, EventId, Filter, FilterError, FilterLimits, PublicKey, SingleLetterTag, Tag,
};
use proptest::prelude::*;

fn read(text: &str) -> Result<Filter, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn every_field_is_read_and_written() {
    let text = format!(
        r##"{{"ids":["{}"],"authors":["{}"],"kinds":[0,65535],"#E":["x"],"#e":["y","z"],"since":-5,"until":7,"limit":0,"search":"w"}}"##,
        "01".repeat(32),
        "02".repeat(32),
    );
    let filter = read(&text).unwrap();
    let wanted = Filter {
        search: Some("w".to_owned()),
        ..Filter::new()
            .ids([EventId::from_bytes([1; 32])])
            .authors([PublicKey::from_bytes([2; 32])])
            .kinds([0, 65_535])
            .tag('e', ["y", "z"])
            .tag('E', ["x"])
            .since(-5)
            .until(7)
            .limit(0)
    };
    assert_eq!(filter, wanted);
    assert_eq!(serde_json::to_string(&filter).unwrap(), text);
    assert_eq!(read("{}").unwrap(), Filter::new());
    assert_eq!(serde_json::to_string(&Filter::new()).unwrap(), "{}");
}

#[test]
fn a_condition_that_would_be_ignored_is_an_error() {
    for text in [
        r#"{"kind":[1]}"#,
        r#"{"Kinds":[1]}"#,
        r##"{"#ee":["x"]}"##,
        r##"{"#":["x"]}"##,
        r##"{"#1":["x"]}"##,
        r##"{"#é":["x"]}"##,
        r##"{"&e":["x"]}"##,
        r#"{"":1}"#,
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains("unknown filter key"), "{text}: {error}");
    }
    for text in [
        r#"{"kinds":[1],"kinds":[2]}"#,
        r#"{"limit":1,"limit":1}"#,
        r##"{"#e":["x"],"#e":["y"]}"##,
        r#"{"since":1,"\u0073ince":2}"#,
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains("given twice"), "{text}: {error}");
    }
}

#[test]
fn values_of_a_wrong_type_or_range_are_errors() {
    for text in [
        "[]",
        "null",
        r#"{"ids":null}"#,
        r#"{"ids":"x"}"#,
        r#"{"ids":["00"]}"#,
        r#"{"authors":[1]}"#,
        r#"{"kinds":[65536]}"#,
        r#"{"kinds":[-1]}"#,
        r#"{"kinds":["1"]}"#,
        r#"{"kinds":1}"#,
        r##"{"#e":[1]}"##,
        r##"{"#e":"x"}"##,
        r#"{"since":"1"}"#,
        r#"{"until":1.5}"#,
        r#"{"limit":-1}"#,
        r#"{"search":1}"#,
        r#"{"kinds":[1]"#,
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn an_empty_list_matches_nothing_and_an_absent_one_everything() {
    assert!(Filter::new().matches(&event()));
    assert!(!Filter::new().ids([]).matches(&event()));
    assert!(!Filter::new().authors([]).matches(&event()));
    assert!(!Filter::new().kinds([]).matches(&event()));
    assert!(!Filter::new().tag('e', Vec::<String>::new()).matches(&event()));
    assert!(!Filter::any_matches(&[], &event()));
}

#[test]
fn times_are_inclusive() {
    let at = event().created_at;
    for (since, until, matches) in
        [(at, at, true), (at + 1, at, false), (at, at - 1, false), (i64::MIN, i64::MAX, true)]
    {
        assert_eq!(Filter::new().since(since).until(until).matches(&event()), matches);
    }
}

#[test]
fn tags_match_by_letter_case_and_first_value_in_any_tag() {
    let event = Event {
        tags: vec![
            Tag::default(),
            Tag::new(["e"]),
            Tag::new(["e", "one", "two"]),
            Tag::new(["E", "three"]),
            Tag::new(["ee", "four"]),
            Tag::new(["e", "five"]),
            Tag::new(["t", ""]),
        ],
        ..event()
    };
    let matches = |letter, value: &str| Filter::new().tag(letter, [value]).matches(&event);
    assert!(matches('e', "one") && matches('e', "five") && matches('E', "three"));
    assert!(!matches('e', "two"), "only the first value counts");
    assert!(!matches('e', "three") && !matches('E', "one"), "case counts");
    assert!(!matches('e', "four") && !matches('e', "on") && !matches('p', "one"));
    assert!(matches('t', "") && !matches('e', ""));
    assert!(Filter::new().tag('e', ["one"]).tag('E', ["three"]).matches(&event));
    assert!(!Filter::new().tag('e', ["one"]).tag('E', ["one"]).matches(&event));
    assert!(Filter::new().tag('e', ["x", "one"]).matches(&event));
}

#[test]
fn limit_and_search_play_no_part_in_matching() {
    let filter = Filter { search: Some("nothing like it".into()), ..Filter::new().limit(0) };
    assert!(filter.matches(&event()));
}

#[test]
fn limits_are_checked_and_a_missing_or_larger_limit_is_lowered() {
    let limits = FilterLimits { max_filters: 2, max_filter_values: 3, max_limit: 10 };
    assert_eq!(limits.apply(&mut []), Err(FilterError::None));
    let mut filters = vec![Filter::new(); 3];
    assert_eq!(limits.apply(&mut filters), Err(FilterError::TooManyFilters { got: 3, limit: 2 }));
    let wide = Filter::new().kinds([1, 2]).tag('e', ["a"]).tag('p', ["b"]);
    assert_eq!(wide.value_count(), 4);
    assert_eq!(limits.apply(&mut [wide]), Err(FilterError::TooManyValues { got: 4, limit: 3 }));
    let mut filters = [Filter::new().limit(3), Filter::new().kinds([1, 2, 3])];
    assert_eq!(limits.apply(&mut filters), Ok(()));
    assert_eq!([filters[0].limit, filters[1].limit], [Some(3), Some(10)]);
    let mut filters = [Filter::new().limit(11), Filter::new().limit(0)];
    assert_eq!(limits.apply(&mut filters), Ok(()));
    assert_eq!([filters[0].limit, filters[1].limit], [Some(10), Some(0)]);
}

#[test]
fn letters_are_the_ascii_ones() {
    for c in ('\0'..='\u{17f}').chain(['漢']) {
        let letter = SingleLetterTag::new(c);
        assert_eq!(letter.is_some(), c.is_ascii_alphabetic(), "{c:?}");
        assert!(
            letter.is_none_or(|letter| letter.as_char() == c && char::from(letter.as_byte()) == c)
        );
    }
}

/// The rules of NIP-01, one after the other.
fn naive(filter: &Filter, event: &Event) -> bool {
    let mut conditions = Vec::new();
    if let Some(ids) = &filter.ids {
        conditions.push(ids.contains(&event.id));
    }
    if let Some(authors) = &filter.authors {
        conditions.push(authors.contains(&event.pubkey));
    }
    if let Some(kinds) = &filter.kinds {
        conditions.push(kinds.contains(&event.kind));
    }
    if let Some(since) = filter.since {
        conditions.push(since <= event.created_at);
    }
    if let Some(until) = filter.until {
        conditions.push(event.created_at <= until);
    }
    for (letter, wanted) in &filter.tags {
        let mut found = false;
        for tag in &event.tags {
            if tag.0.len() >= 2 && tag.0[0] == letter.as_char().to_string() {
                found |= wanted.contains(&tag.0[1]);
            }
        }
        conditions.push(found);
    }
    !conditions.contains(&false)
}

/// Filters whose conditions are taken from events that exist, so that many match.
fn filter() -> impl Strategy<Value = Filter> {
    let picks = || proptest::option::weighted(0.3, proptest::collection::vec(0..544_usize, 0..40));
    let letters = proptest::collection::btree_map(
        prop::sample::select(vec!['e', 'p', 't', 'd', 'a', 'E', 'z']),
        proptest::collection::vec(0..544_usize, 0..60),
        0..3,
    );
    let times = (proptest::option::weighted(0.4, 0..544_usize), any::<bool>());
    (picks(), picks(), picks(), letters, times.clone(), times).prop_map(
        |(ids, authors, kinds, letters, since, until)| {
            thread_local!(static EVENTS: Vec<Event> = real_events());
            EVENTS.with(|events| {
                let mut filter = Filter {
                    ids: ids.map(|ids| ids.iter().map(|n| events[*n].id).collect()),
                    authors: authors.map(|all| all.iter().map(|n| events[*n].pubkey).collect()),
                    kinds: kinds.map(|kinds| kinds.iter().map(|n| events[*n].kind).collect()),
                    since: since.0.map(|n| events[n].created_at + i64::from(since.1)),
                    until: until.0.map(|n| events[n].created_at - i64::from(until.1)),
                    ..Filter::new()
                };
                for (letter, picks) in letters {
                    let name = letter.to_string();
                    let values: Vec<String> = picks
                        .iter()
                        .flat_map(|n| &events[*n].tags)
                        .filter(|tag| tag.name() == name)
                        .filter_map(|tag| tag.value().map(str::to_owned))
                        .collect();
                    filter = filter.tag(letter, values);
                }
                filter
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn real_events_match_as_the_naive_matcher_says(filter in filter()) {
        thread_local!(static EVENTS: Vec<Event> = real_events());
        EVENTS.with(|events| {
            for event in events {
                prop_assert_eq!(filter.matches(event), naive(&filter, event));
            }
            Ok(())
        })?;
    }

    #[test]
    fn any_filter_survives_writing_and_reading(filter in filter(), limit: Option<u32>) {
        let filter = Filter { limit: limit.map(|limit| limit as usize), ..filter };
        let text = serde_json::to_string(&filter).unwrap();
        prop_assert_eq!(read(&text).unwrap(), filter);
    }
}
