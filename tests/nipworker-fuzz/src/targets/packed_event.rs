//! Packed events, as stores and messages between workers hold them.

use nipworker_protocol::{Coordinate, EventView, PACKED_VERSION, PackedEvent, PackedEvents};

pub(super) fn run(bytes: &[u8]) {
    let mut versioned = bytes.to_vec();
    if let Some(version) = versioned.first_mut() {
        *version = PACKED_VERSION;
    }
    match (PackedEvent::parse(versioned.clone()), EventView::parse(&versioned)) {
        (Ok(event), Ok(view)) => {
            assert_eq!(event.view().as_bytes(), view.as_bytes());
            look(&view);
        }
        (Err(one), Err(other)) => assert_eq!(one, other),
        (one, other) => panic!("{one:?} and {other:?} of the same bytes"),
    }

    let mut whole = true;
    for event in PackedEvents::read(bytes.to_vec()) {
        assert!(whole, "something comes after an error");
        match event {
            Ok(event) => look(&event.view()),
            Err(_) => whole = false,
        }
    }
}

/// Every accessor bears whatever was let through, and they agree with the unpacked event.
fn look(view: &EventView<'_>) {
    let event = view.to_event();
    assert_eq!(view.to_json(), event.to_json());
    assert_eq!(view.json_len(), event.to_json().len());
    assert_eq!(view.coordinate(), Coordinate::of(&event));
    assert_eq!(view.tag_value("d"), event.tag_value("d"));
    let packed = PackedEvent::new(&event);
    assert_eq!(packed.to_event(), event);
    // Packed by us, the expiration time is that of the tags.
    assert_eq!(packed.view().expiration(), event.expiration());
}
