//! What is found, in which order, how often and how much of it.

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nipworker_protocol::{Event, EventId, Filter, HllOffset, HyperLogLog, PublicKey};

use crate::{
    Cursor, PageRequest, Position,
    PutOutcome::{Deleted, Stored},
    StoreError,
    conformance::{agree_with_the_naive_store, samples::*},
};

use super::{Make, all, clean, everything, put, sorted};

/// NIP-01's order, from every index and over several of its ranges.
pub fn answers_are_newest_first_and_lowest_id_first(make: Make<'_>) {
    let store = make();
    let tags: [&[&[&str]]; 3] = [&[&["t", "a"]], &[&["t", "b"]], &[&["t", "a"], &["t", "b"]]];
    let events: Vec<_> = (0..60_u8)
        .map(|n| {
            let kind = 1 + u16::from(n % 2);
            event(n % 3, NOW - i64::from(n / 10), kind, tags[usize::from(n % 3)], &n.to_string())
        })
        .collect();
    store.put_batch(&events, NOW).unwrap();
    let expected: Vec<_> = sorted(events.clone()).iter().map(|event| event.id).collect();
    let authors = [author(0), author(1), author(2)];
    for filter in [
        Filter::new(),
        Filter::new().kinds([1, 2]),
        Filter::new().authors(authors),
        Filter::new().authors(authors).kinds([2, 1, 1]),
        Filter::new().tag('t', ["b", "a"]),
        Filter::new().ids(events.iter().map(|event| event.id)),
    ] {
        assert_eq!(all(&*store, std::slice::from_ref(&filter)), expected, "{filter:?}");
        let newest = all(&*store, &[filter.limit(7)]);
        assert_eq!(newest, expected[..7]);
    }
}

/// An event that answers several filters, several tags and several ids comes once.
pub fn every_event_comes_once_over_all_filters(make: Make<'_>) {
    let store = make();
    let one = event(1, NOW, 1, &[&["t", "a"], &["t", "b"], &["t", "a"]], "");
    put(&*store, &one);
    let filters = [
        Filter::new().tag('t', ["a", "b", "b"]),
        Filter::new().ids([one.id, one.id]),
        Filter::new().authors([author(1), author(1)]),
        Filter::new(),
    ];
    assert_eq!(all(&*store, &filters), [one.id]);
    assert_eq!(store.count(&filters, NOW).unwrap(), 1);
}

/// A limit belongs to its own filter and holds over all pages together.
pub fn each_limit_is_exact_over_pages(make: Make<'_>) {
    let store = make();
    let events: Vec<_> = (0..40_u8)
        .map(|n| event(n % 4, NOW - i64::from(n), 1 + u16::from(n % 2), &[], ""))
        .collect();
    store.put_batch(&events, NOW).unwrap();
    let filters = [
        Filter::new().kinds([1]).limit(3),
        Filter::new().authors([author(1)]).limit(5),
        Filter::new().limit(0),
        Filter::new().kinds([1, 2]).until(NOW - 30).limit(100),
    ];
    let mut expected = Vec::new();
    expected.extend(events.iter().filter(|e| e.kind == 1).take(3).map(|e| e.id));
    expected.extend(events.iter().filter(|e| e.pubkey == author(1)).take(5).map(|e| e.id));
    expected.extend(events.iter().skip(30).map(|e| e.id));
    let expected: Vec<_> =
        events.iter().map(|event| event.id).filter(|id| expected.contains(id)).collect();
    for page_size in 1..8 {
        let mut request = PageRequest::first(page_size);
        let mut found = Vec::new();
        loop {
            let page = store.query(&filters, &request, NOW).unwrap();
            assert!(page.events.len() <= page_size);
            found.extend(page.events.iter().map(|event| event.view().id()));
            let Some(next) = page.next else { break };
            request.after = Some(next);
        }
        assert_eq!(found, expected, "pages of {page_size}");
    }
}

/// Who only remembers the last event gets the same pages.
pub fn a_cursor_without_counts_keeps_the_limits(make: Make<'_>) {
    let store = make();
    let events: Vec<_> = (0..30).map(|n| note(1, NOW - n, "")).collect();
    store.put_batch(&events, NOW).unwrap();
    let filters = [Filter::new().limit(10), Filter::new().until(NOW - 20).limit(4)];
    let mut request = PageRequest::first(3);
    let mut found = Vec::new();
    loop {
        let page = store.query(&filters, &request, NOW).unwrap();
        found.extend(page.events.iter().map(|event| event.view().id()));
        let (Some(last), Some(_)) = (page.events.last(), page.next) else { break };
        request.after = Some(Cursor::behind(Position::of_view(&last.view())));
    }
    let expected: Vec<_> = events[..10].iter().chain(&events[20..24]).map(|e| e.id).collect();
    assert_eq!(found, expected);
}

/// Whatever the number of events asked for; one event is always given.
pub fn a_page_ends_when_its_bytes_are_reached(make: Make<'_>) {
    let store = make();
    let content = "x".repeat(10_000);
    let events: Vec<_> = (0..10).map(|n| note(1, NOW - n, &content)).collect();
    store.put_batch(&events, NOW).unwrap();
    for (max_bytes, expected) in [(0, 1), (1, 1), (25_000, 3), (10_000_000, 10)] {
        let request = PageRequest { max_bytes, ..PageRequest::default() };
        let page = store.query(&[Filter::new()], &request, NOW).unwrap();
        assert_eq!(page.events.len(), expected, "{max_bytes} bytes");
        assert_eq!(page.next.is_none(), expected == 10);
    }
    let none_asked = PageRequest::first(0);
    assert_eq!(store.query(&[Filter::new()], &none_asked, NOW).unwrap().events.len(), 1);
}

/// An empty list is a condition that nothing meets; no filter asks for nothing.
pub fn empty_lists_match_nothing(make: Make<'_>) {
    let store = make();
    put(&*store, &event(1, NOW, 1, &[&["t", "a"]], ""));
    for filter in [
        Filter::new().ids([]),
        Filter::new().authors([]),
        Filter::new().kinds([]),
        Filter::new().tag::<String>('t', []),
        Filter::new().kinds([1]).tag::<String>('e', []),
        Filter::new().since(2).until(1),
        Filter::new().ids([EventId::from_bytes([9; 32])]),
        Filter::new().authors([author(2)]),
    ] {
        assert_eq!(all(&*store, std::slice::from_ref(&filter)), [], "{filter:?}");
        assert_eq!(store.count(&[filter], NOW).unwrap(), 0);
    }
    assert_eq!(all(&*store, &[]), []);
}

/// Small and capital letters, and only the value counts.
pub fn every_single_letter_tag_is_found(make: Make<'_>) {
    let store = make();
    let letters: Vec<String> = ('a'..='z').chain('A'..='Z').map(String::from).collect();
    let tags: Vec<[&str; 3]> =
        letters.iter().map(|letter| [letter.as_str(), letter.as_str(), "third"]).collect();
    let mut tags: Vec<&[&str]> = tags.iter().map(|tag| &tag[..]).collect();
    tags.extend::<[&[&str]; 3]>([&["title", "long name"], &["1", "digit"], &["é", "accent"]]);
    let one = event(1, NOW, 1, &tags, "");
    put(&*store, &one);
    for letter in ('a'..='z').chain('A'..='Z') {
        let value = letter.to_string();
        assert_eq!(all(&*store, &[Filter::new().tag(letter, [value])]), [one.id], "#{letter}");
        assert_eq!(all(&*store, &[Filter::new().tag(letter, ["third"])]), [], "#{letter}");
        let other = if letter.is_lowercase() {
            letter.to_ascii_uppercase()
        } else {
            letter.to_ascii_lowercase()
        };
        assert_eq!(all(&*store, &[Filter::new().tag(letter, [other.to_string()])]), []);
    }
    clean(&*store);
}

/// Values that begin alike, hex in both cases, and values of any length.
pub fn tag_values_of_any_length_are_told_apart(make: Make<'_>) {
    let store = make();
    let hex = "0f".repeat(32);
    let values: Vec<String> = vec![
        String::new(),
        "a".into(),
        "a\0".into(),
        "ab".into(),
        hex.clone(),
        hex.to_uppercase(),
        format!("{hex}0"),
        hex[..63].to_owned(),
        "z".repeat(64),
        "z".repeat(65),
        "z".repeat(300),
        "z".repeat(70_000),
        format!("{}y", "z".repeat(70_000)),
    ];
    for value in &values {
        assert_eq!(put(&*store, &event(1, NOW, 1, &[&["r", value]], "")), Stored);
    }
    for value in &values {
        let page = store
            .query(&[Filter::new().tag('r', [value.as_str()])], &PageRequest::default(), NOW)
            .unwrap();
        assert_eq!(page.events.len(), 1, "value of {} bytes", value.len());
        assert_eq!(page.events[0].view().tag_value("r"), Some(value.as_str()));
    }
    clean(&*store);
}

/// Before 1970 and at both ends of the number range.
pub fn times_at_the_ends_of_their_range_are_kept(make: Make<'_>) {
    let store = make();
    let times = [i64::MAX, i64::MAX - 1, NOW, 1, 0, -1, i64::MIN + 1, i64::MIN];
    let events: Vec<_> = times.iter().map(|&at| note(1, at, "")).collect();
    store.put_batch(&events, NOW).unwrap();
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(everything(&*store), ids);
    for (index, &time) in times.iter().enumerate() {
        for filter in [Filter::new(), Filter::new().authors([author(1)])] {
            let until = all(&*store, &[filter.clone().until(time)]);
            assert_eq!(until, ids[index..], "until {time}");
            let since = all(&*store, &[filter.clone().since(time)]);
            assert_eq!(since, ids[..=index], "since {time}");
            assert_eq!(all(&*store, &[filter.since(time).until(time)]), [ids[index]]);
        }
    }
    assert_eq!(store.sweep_expired(i64::MAX).unwrap(), 0);
    assert_eq!(store.count(&[Filter::new()], i64::MAX).unwrap(), times.len() as u64);
    clean(&*store);
}

/// A filter with thousands of authors, kinds or tag values.
pub fn more_ranges_than_are_merged_are_answered_all_the_same(make: Make<'_>) {
    let store = make();
    let events: Vec<_> = (0..50_u8)
        .map(|n| event(n, NOW - i64::from(n), u16::from(n) + 1_000, &[&["t", "x"]], ""))
        .collect();
    store.put_batch(&events, NOW).unwrap();
    let many_authors = || {
        (0..3_000_u16).map(|n| {
            let mut key = *author((n % 256) as u8).as_bytes();
            key[31] = if n < 40 { key[31] } else { 255 };
            PublicKey::from_bytes(key)
        })
    };
    let many_words = || (0..3_000).map(|n| if n == 7 { "x".to_owned() } else { n.to_string() });
    let first_forty: Vec<_> = events[..40].iter().map(|event| event.id).collect();
    let all_fifty: Vec<_> = events.iter().map(|event| event.id).collect();
    for (filter, expected) in [
        (Filter::new().authors(many_authors()), &first_forty),
        (Filter::new().authors(many_authors()).kinds(1_000..1_050), &first_forty),
        (Filter::new().kinds(0..=u16::MAX), &all_fifty),
        (Filter::new().tag('t', many_words()), &all_fifty),
        (Filter::new().tag('t', many_words()).kinds([1_000]), &all_fifty[..1].to_vec()),
    ] {
        assert_eq!(&all(&*store, &[filter]), expected);
    }
}

/// Ignoring a condition would answer with too much.
pub fn a_search_is_refused(make: Make<'_>) {
    let store = make();
    let filters = [Filter::new(), Filter { search: Some("x".into()), ..Filter::new() }];
    let refused = store.query(&filters, &PageRequest::default(), NOW);
    assert!(matches!(refused, Err(StoreError::SearchUnsupported)));
    assert!(matches!(store.count(&filters, NOW), Err(StoreError::SearchUnsupported)));
}

/// Counts for two filters say nothing about one.
pub fn a_cursor_of_another_query_is_refused(make: Make<'_>) {
    let store = make();
    let after = Position { created_at: NOW, id: EventId::from_bytes([0; 32]) };
    let request = PageRequest {
        after: Some(Cursor { after, matched: vec![1, 2] }),
        ..PageRequest::default()
    };
    let refused = store.query(&[Filter::new()], &request, NOW);
    assert!(matches!(refused, Err(StoreError::CursorMismatch { filters: 1, cursor: 2 })));
}

/// NIP-45 counts what there is.
pub fn a_count_ignores_limits(make: Make<'_>) {
    let store = make();
    let events: Vec<_> = (0..20_u8).map(|n| note(n % 2, NOW - i64::from(n), "")).collect();
    store.put_batch(&events, NOW).unwrap();
    let filters =
        [Filter::new().authors([author(1)]).limit(1), Filter::new().since(NOW - 3).limit(0)];
    assert_eq!(store.count(&filters, NOW).unwrap(), 12);
    assert_eq!(store.count(&[], NOW).unwrap(), 0);
}

/// The registers of NIP-45 are those of the authors, however much each of them wrote.
pub fn a_count_of_authors_takes_each_of_them_in_once(make: Make<'_>) {
    let store = make();
    let target = "ab".repeat(32);
    let events: Vec<_> = (0..300_i64)
        .map(|n| {
            let tags: &[&[&str]] =
                if n % 5 == 0 { &[&["e", &"cd".repeat(32)]] } else { &[&["e", &target]] };
            event((n % 90) as u8, NOW - n, if n % 2 == 0 { 7 } else { 1 }, tags, &n.to_string())
        })
        .collect();
    store.put_batch(&events, NOW).unwrap();
    let filters = [Filter::new().kinds([7]).tag('e', [target]).limit(3)];
    let offset = HllOffset::of(&filters).unwrap();
    let answers = |event: &Event| filters[0].matches(event);
    let mut expected = HyperLogLog::new();
    for event in events.iter().filter(|event| answers(event)) {
        expected.add(&event.pubkey, offset);
    }
    let count = events.iter().filter(|event| answers(event)).count() as u64;
    assert!(count > 100);
    assert_eq!(store.count_authors(&filters, offset, NOW).unwrap(), (count, expected));
    let nobody = store.count_authors(&[], offset, NOW).unwrap();
    assert_eq!(nobody, (0, HyperLogLog::new()));
}

/// And it ends when it is told to.
pub fn the_oldest_come_first_in_an_export(make: Make<'_>) {
    let store = make();
    let events: Vec<_> = (0..10).map(|n| note(1, NOW - n, "")).collect();
    store.put_batch(&events, NOW).unwrap();
    let mut seen = Vec::new();
    store
        .for_each_oldest_first(NOW, &mut |event| {
            seen.push(event.view().created_at());
            if seen.len() == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!(seen, [NOW - 9, NOW - 8, NOW - 7, NOW - 6]);
}

/// Deletions and replacements included.
pub fn an_export_makes_an_equal_store(make: Make<'_>) {
    let (store, copy) = (make(), make());
    let gone = note(1, NOW - 9, "gone");
    let mut batch = vec![gone.clone(), event(1, NOW - 3, 5, &[&["e", &gone.id.to_hex()]], "")];
    batch.extend((0..20).map(|n| event(2, NOW - n, 30_000 + (n % 3) as u16, &[], "")));
    batch.push(event(1, NOW, 1, &[&["expiration", &(NOW + 5).to_string()]], "soon over"));
    store.put_batch(&batch, NOW).unwrap();
    let mut exported = Vec::new();
    store
        .for_each_oldest_first(NOW + 5, &mut |event| {
            exported.push(event);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(exported.len(), 4);
    assert!(copy.put_packed(&exported, NOW).unwrap().iter().all(|outcome| *outcome == Stored));
    assert_eq!(put(&*copy, &gone), Deleted);
    store.sweep_expired(NOW + 5).unwrap();
    assert_eq!(everything(&*copy), everything(&*store));
}

/// Positions without events are those of the events, whatever the numbers that are asked for.
pub fn positions_are_those_of_the_answers(make: Make<'_>) {
    let store = make();
    let events: Vec<_> =
        (0..30).map(|n| note((n % 3) as u8, NOW - n / 2, &n.to_string())).collect();
    store.put_batch(&events, NOW).unwrap();
    for filters in [
        vec![Filter::new()],
        vec![Filter::new().limit(usize::MAX)],
        vec![Filter::new().limit(7), Filter::new().authors([author(1)]).limit(usize::MAX)],
        vec![Filter::new().authors([author(1), author(2), author(1)])],
    ] {
        let page = store.query(&filters, &PageRequest::default(), NOW).unwrap();
        let expected: Vec<Position> =
            page.events.iter().map(|event| Position::of_view(&event.view())).collect();
        for max in [usize::MAX, 5, 0] {
            let some = &expected[..expected.len().min(max)];
            assert_eq!(store.ids(&filters, max, NOW).unwrap(), some, "{max}: {filters:?}");
        }
        // A cursor that has forgotten its counts.
        let after = Some(Cursor::behind(expected[2]));
        let request = PageRequest { after, ..PageRequest::default() };
        let rest = store.query(&filters, &request, NOW).unwrap();
        assert_eq!(rest.events.len(), expected.len() - 3, "{filters:?}");
    }
}

/// The counter goes up and down with the events.
pub fn figures_follow_what_is_kept(make: Make<'_>) {
    let store = make();
    assert_eq!(store.stats().unwrap().events, 0);
    clean(&*store);
    let kept = note(1, NOW, "");
    put(&*store, &kept);
    put(&*store, &note(1, NOW, "more"));
    assert_eq!(store.stats().unwrap().events, 2);
    put(&*store, &event(1, NOW, 5, &[&["e", &kept.id.to_hex()]], ""));
    let stats = store.stats().unwrap();
    assert_eq!(stats.events, 2);
    assert!(!stats.backend.is_empty());
    store.flush().unwrap();
    let report = store.check().unwrap();
    assert_eq!((report.events, report.deletion_marks), (2, 1));
    // What no event can have as its address leaves no mark.
    let regular = format!("1:{}:x", author(1));
    let replaceable_with_identifier = format!("0:{}:x", author(1));
    let tags: &[&[&str]] = &[&["a", &regular], &["a", &replaceable_with_identifier]];
    put(&*store, &event(1, NOW - 1, 5, tags, ""));
    assert_eq!(store.check().unwrap().deletion_marks, 1);
    // Both have id, author, kind and author+kind; the request also an `e` tag.
    assert_eq!(report.index_entries, 9);
}

/// Writers take turns, readers see whole batches.
pub fn puts_and_queries_from_many_threads_agree(make: Make<'_>) {
    const BATCHES: i64 = 12;
    let store = make();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                let held = store.query(&[Filter::new()], &PageRequest::default(), NOW).unwrap();
                for by in 1..=2 {
                    let own = held.events.iter().map(|event| event.view());
                    let own = own.filter(|e| e.kind() == 1 && e.pubkey() == author(by));
                    assert_eq!(own.count() % 10, 0, "a batch is seen as a whole");
                }
            }
        });
        let writers: Vec<_> = (1..=2_u8)
            .map(|by| {
                let store = &store;
                scope.spawn(move || {
                    for batch in 0..BATCHES {
                        let mut events: Vec<_> =
                            (0..10).map(|n| note(by, NOW - batch * 10 - n, "")).collect();
                        // Both writers also fight for one address.
                        events.push(event(3, NOW + batch, 0, &[], &by.to_string()));
                        store.put_batch(&events, NOW).unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(store.stats().unwrap().events, 2 * 10 * BATCHES.unsigned_abs() + 1);
    clean(&*store);
}

/// A few seeds; the crate's own tests run thousands over the memory backend.
pub fn random_work_agrees_with_the_naive_store(make: Make<'_>) {
    agree_with_the_naive_store(make, 0..8);
}
