//! The packed event: it says what the event says, and any bytes are safe to read.
#![allow(clippy::unwrap_used)]

mod common;

use common::{any_event, event, real_events};
use nipworker_protocol::{
    Coordinate, Event, EventId, EventView, Filter, PackedError, PackedEvent, PackedEvents, Tag,
    packed::{PACKED_VERSION, head_of},
};
use proptest::{collection::vec, prelude::*};

fn agrees(event: &Event) {
    let packed = PackedEvent::new(event);
    let view = packed.view();
    assert_eq!(view.id(), event.id);
    assert_eq!(view.pubkey(), event.pubkey);
    assert_eq!(view.sig(), event.sig);
    assert_eq!(view.kind(), event.kind);
    assert_eq!(view.created_at(), event.created_at);
    assert_eq!(view.content(), event.content);
    assert_eq!(view.expiration(), event.expiration());
    assert_eq!(view.tag_value("d"), event.tag_value("d"));
    assert_eq!(view.coordinate(), Coordinate::of(event));
    let tags: Vec<Tag> = view.tags().map(|tag| Tag::new(tag.elements())).collect();
    assert_eq!(tags, event.tags);
    for (view, tag) in view.tags().zip(&event.tags) {
        assert_eq!((view.name(), view.value(), view.len()), (tag.name(), tag.value(), tag.0.len()));
        assert_eq!(view.indexed(), tag.indexed());
        assert_eq!(view.get(2), tag.get(2));
    }
    assert_eq!(view.to_event(), *event);
    assert_eq!(head_of(packed.as_bytes()), Ok((event.kind, event.expiration())));
    let json = event.to_json();
    assert_eq!(view.to_json(), json);
    assert_eq!(view.json_len(), json.len());
    let read = PackedEvent::parse(packed.as_bytes().clone()).unwrap();
    assert_eq!(read, packed);
    assert_eq!(read.to_event(), *event);
    assert_eq!(EventView::parse(packed.as_bytes()).unwrap().to_packed(), packed);
}

/// Touches everything that a view gives.
fn read_all(view: &EventView<'_>) -> usize {
    let elements: usize =
        view.tags().flat_map(|tag| tag.elements().collect::<Vec<_>>()).map(str::len).sum();
    let json = view.to_json();
    assert_eq!(json.len(), view.json_len());
    let event = view.to_event();
    assert_eq!(event.tags.len(), view.tags().count());
    assert_eq!(view.expiration().is_some(), view.as_bytes()[1] == 1);
    elements + json.len()
}

#[test]
fn real_events_are_read_back_from_fewer_bytes_than_their_json() {
    let (mut packed, mut json) = (0, 0);
    for event in real_events() {
        agrees(&event);
        packed += PackedEvent::new(&event).as_bytes().len();
        json += event.to_json().len();
    }
    assert!(packed * 10 < json * 9, "{packed} bytes packed, {json} bytes of JSON");
}

#[test]
fn tags_of_every_shape_are_read_back() {
    let long = "x".repeat(20_000);
    let many = Tag::new(vec!["e"; 300]);
    for tags in [
        vec![],
        vec![Tag::default(); 200],
        vec![Tag::new([""]), Tag::new(["", ""]), Tag::new(["é", "\u{1f980}"])],
        vec![Tag::new(["t", &long]), many, Tag::default()],
        vec![Tag::new(["expiration", "17"]), Tag::new(["expiration", "18"])],
        vec![Tag::new(["expiration"]), Tag::new(["expiration", "18"])],
        vec![Tag::new(["expiration", "soon"])],
    ] {
        agrees(&Event { tags, ..event() });
    }
    agrees(&Event {
        content: "\u{0}\u{1f}\u{7f}\"\\/\u{8}\u{c}\n\r\tü\u{2028}".into(), ..event()
    });
    agrees(&Event { created_at: i64::MIN, kind: u16::MAX, ..event() });
    agrees(&Event { created_at: i64::MAX, content: String::new(), ..event() });
}

#[test]
fn bytes_that_are_no_packed_event_are_told_apart() {
    let packed = PackedEvent::new(&event()).into_bytes();
    let parse = |bytes: Vec<u8>| PackedEvent::parse(bytes).unwrap_err();
    assert_eq!(parse(vec![]), PackedError::Short { got: 0 });
    assert_eq!(parse(packed[..140].to_vec()), PackedError::Short { got: 140 });
    let changed = |at: usize, byte: u8| {
        let mut bytes = packed.to_vec();
        bytes[at] = byte;
        bytes
    };
    let found = PACKED_VERSION + 1;
    assert_eq!(parse(changed(0, found)), PackedError::Version { found });
    assert!(matches!(parse(changed(1, 2)), PackedError::Malformed(_)));
    // The first tag has more elements than there are lengths.
    assert!(matches!(parse(changed(141, 99)), PackedError::Malformed(_)));
    // Its first element is longer than all text.
    assert!(matches!(parse(changed(142, 99)), PackedError::Malformed(_)));
    assert_eq!(parse(changed(packed.len() - 1, 0xff)), PackedError::Utf8);
}

#[test]
fn an_element_never_ends_inside_a_character() {
    let event = Event { tags: vec![Tag::new(["é"])], content: String::new(), ..event() };
    let mut bytes = PackedEvent::new(&event).into_bytes().to_vec();
    let length = bytes.len() - 3;
    assert_eq!(bytes[length], 2);
    bytes[length] = 1;
    assert!(matches!(PackedEvent::parse(bytes), Err(PackedError::Malformed(_))));
}

#[test]
fn a_batch_gives_its_events_back_and_stops_at_what_is_none() {
    let events = real_events();
    let packed: PackedEvents = events.iter().collect();
    assert_eq!(packed.len(), events.len());
    let bytes = packed.into_bytes();
    let read: Vec<Event> =
        PackedEvents::read(bytes.clone()).map(|event| event.unwrap().to_event()).collect();
    assert_eq!(read, events);
    let cut = PackedEvents::read(bytes[..bytes.len() - 1].to_vec());
    let results: Vec<_> = cut.collect();
    assert_eq!(results.len(), events.len());
    assert!(results.last().unwrap().is_err());
    assert_eq!(PackedEvents::read(vec![0xff; 40]).count(), 1);
    assert_eq!(PackedEvents::read(Vec::new()).count(), 0);
}

fn filters_about(event: &Event) -> impl Strategy<Value = Filter> + use<> {
    let (id, author, kind, at) = (event.id, event.pubkey, event.kind, event.created_at);
    let values: Vec<(char, String)> = event
        .tags
        .iter()
        .filter_map(Tag::indexed)
        .map(|(letter, value)| (letter.as_char(), value.to_owned()))
        .chain([('e', "x".to_owned()), ('t', String::new())])
        .collect();
    let tag = proptest::sample::select(values);
    (any::<[bool; 6]>(), vec(tag, 0..3), -1..=1_i64).prop_map(move |(with, tags, off)| {
        let mut filter = Filter::new();
        if with[0] {
            filter = filter
                .ids([EventId::from_bytes([9; 32]), id].into_iter().skip(off.max(0) as usize));
        }
        if with[1] {
            filter = filter.authors([author]);
        }
        if with[2] {
            filter = filter.kinds([kind.wrapping_add(u16::from(with[5]))]);
        }
        if with[3] {
            filter = filter.since(at.saturating_add(off));
        }
        if with[4] {
            filter = filter.until(at.saturating_add(off));
        }
        tags.into_iter().fold(filter, |filter, (letter, value)| filter.tag(letter, [value]))
    })
}

proptest! {
    #[test]
    fn any_event_is_read_back(event in any_event()) {
        agrees(&event);
    }

    #[test]
    fn a_filter_matches_the_packed_event_as_it_does_the_event(
        (event, filters) in any_event().prop_flat_map(|event| {
            let filters = vec(filters_about(&event), 1..8);
            (Just(event), filters)
        })
    ) {
        let packed = PackedEvent::new(&event);
        for filter in &filters {
            prop_assert_eq!(filter.matches_view(&packed.view()), filter.matches(&event), "{:?}", filter);
        }
        let any = Filter::any_matches(&filters, &event);
        prop_assert_eq!(Filter::any_matches_view(&filters, &packed.view()), any);
    }

    #[test]
    fn changed_bytes_are_refused_or_read_without_a_panic(
        event in any_event(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = PackedEvent::new(&event).into_bytes().to_vec();
        for (at, byte) in changes {
            // Behind the signature: before it every byte is a value.
            let at = if byte % 8 == 0 { at.index(bytes.len()) } else { 140 + at.index(bytes.len() - 140) };
            bytes[at] = byte;
        }
        if let Ok(view) = EventView::parse(&bytes) {
            read_all(&view);
        }
        if let Ok(view) = EventView::parse(&bytes[..cut.index(bytes.len())]) {
            read_all(&view);
        }
    }

    #[test]
    fn any_bytes_behind_a_good_beginning_are_refused_or_read(rest in vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![0; 140];
        bytes[0] = PACKED_VERSION;
        bytes.extend(rest);
        if let Ok(packed) = PackedEvent::parse(bytes) {
            read_all(&packed.view());
        }
    }
}
