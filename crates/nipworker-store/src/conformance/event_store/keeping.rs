//! Which events are kept, which give way, and which stay away.

use nipworker_protocol::Filter;

use crate::{
    PageRequest,
    PutOutcome::{self, Deleted, Duplicate, Ephemeral, Expired, Stored},
    conformance::samples::*,
};

use super::{Make, all, clean, everything, put, sorted};

/// Content, tags and signature come back as they were put.
pub fn a_stored_event_comes_back_equal(make: Make<'_>) {
    let store = make();
    let tags: &[&[&str]] = &[&["t", "ü\n\"\\\u{1}"], &[], &["p"], &["x", "", "more"]];
    let event = event(1, NOW, 1, tags, "quote \" slash \\ control \u{0}\u{1f} \u{1f980}");
    assert_eq!(store.get(&event.id, NOW).unwrap(), None);
    assert_eq!(put(&*store, &event), Stored);
    assert_eq!(store.get(&event.id, NOW).unwrap(), Some(event.pack()));
    let page = store.query(&[Filter::new()], &PageRequest::default(), NOW).unwrap();
    assert_eq!(page.unpack(), [event]);
    assert_eq!(page.next, None);
    clean(&*store);
}

/// In another batch and in the same one.
pub fn the_same_event_again_is_a_duplicate(make: Make<'_>) {
    let store = make();
    let (one, two) = (note(1, NOW, "one"), note(1, NOW, "two"));
    assert_eq!(put(&*store, &one), Stored);
    let outcomes = store.put_batch(&[one, two.clone(), two], NOW).unwrap();
    assert_eq!(outcomes, [Duplicate, Stored, Duplicate]);
    assert_eq!(store.put_batch(&[], NOW).unwrap(), []);
    assert_eq!(store.stats().unwrap().events, 2);
}

/// Kinds 20000 to 29999.
pub fn an_ephemeral_event_is_never_stored(make: Make<'_>) {
    let store = make();
    for kind in [20_000, 29_999] {
        assert_eq!(put(&*store, &event(1, NOW, kind, &[], "")), Ephemeral);
    }
    for kind in [19_999, 30_000] {
        assert_eq!(put(&*store, &event(1, NOW, kind, &[], "")), Stored);
    }
    assert_eq!(everything(&*store).len(), 2);
}

/// Older ones are superseded, newer ones replace; authors and kinds do not mix.
pub fn the_newest_replaceable_event_is_kept(make: Make<'_>) {
    let store = make();
    let old = event(1, NOW - 2, 10_002, &[], "old");
    let middle = event(1, NOW - 1, 10_002, &[], "middle");
    let new = event(1, NOW, 10_002, &[], "new");
    assert_eq!(put(&*store, &middle), Stored);
    assert_eq!(put(&*store, &old), PutOutcome::Superseded { by: middle.id });
    assert_eq!(put(&*store, &new), Stored);
    assert_eq!(put(&*store, &middle), PutOutcome::Superseded { by: new.id });
    assert_eq!(put(&*store, &new), Duplicate);
    let others = [event(2, NOW - 5, 10_002, &[], ""), event(1, NOW - 5, 0, &[], "")];
    assert_eq!(store.put_batch(&others, NOW).unwrap(), [Stored, Stored]);
    assert_eq!(all(&*store, &[Filter::new().kinds([10_002]).authors([author(1)])]), [new.id]);
    assert_eq!(everything(&*store).len(), 3);
    assert_eq!(store.get(&middle.id, NOW).unwrap(), None);
    clean(&*store);
}

/// Whatever the order in which they come (NIP-01).
pub fn the_lowest_id_is_kept_when_replaceable_times_tie(make: Make<'_>) {
    let tied = sorted((0..4).map(|n| event(1, NOW, 0, &[], &n.to_string())).collect());
    for rotation in 0..tied.len() {
        let store = make();
        let mut events = tied.clone();
        events.rotate_left(rotation);
        for event in &events {
            put(&*store, event);
        }
        assert_eq!(everything(&*store), [tied[0].id], "rotated by {rotation}");
        clean(&*store);
    }
}

/// The outcomes are those of one after another.
pub fn replaceable_events_replace_each_other_inside_one_batch(make: Make<'_>) {
    let store = make();
    let old = event(1, NOW - 1, 3, &[&["p", "a"]], "");
    let new = event(1, NOW, 3, &[&["p", "b"]], "");
    let outcomes = store.put_batch(&[old.clone(), new.clone(), old.clone()], NOW).unwrap();
    assert_eq!(outcomes, [Stored, Stored, PutOutcome::Superseded { by: new.id }]);
    assert_eq!(everything(&*store), [new.id]);
    assert_eq!(all(&*store, &[Filter::new().tag('p', ["a"])]), []);
    assert_eq!(store.stats().unwrap().events, 1);
    clean(&*store);
}

/// One for each `d` tag; a missing one is the empty one (NIP-01).
pub fn addressable_events_are_kept_by_identifier(make: Make<'_>) {
    let store = make();
    let missing = event(1, NOW - 3, 30_023, &[], "");
    let valueless = event(1, NOW - 2, 30_023, &[&["d"]], "");
    let empty = event(1, NOW - 1, 30_023, &[&["d", ""]], "");
    let first = event(1, NOW, 30_023, &[&["d", "x"], &["d", "y"]], "first d counts");
    let other = event(1, NOW - 1, 30_023, &[&["d", "y"]], "");
    let batch = [missing.clone(), valueless, empty.clone(), first.clone(), other.clone()];
    assert_eq!(store.put_batch(&batch, NOW).unwrap(), vec![Stored; 5]);
    assert_eq!(put(&*store, &missing), PutOutcome::Superseded { by: empty.id });
    let mut kept = everything(&*store);
    let mut expected = vec![empty.id, first.id, other.id];
    kept.sort();
    expected.sort();
    assert_eq!(kept, expected);
    clean(&*store);
}

/// However long it is and however late it differs.
pub fn a_long_identifier_is_an_address_of_its_own(make: Make<'_>) {
    let store = make();
    let long = "d".repeat(100_000);
    let longer = format!("{long}!");
    let hex = "ab".repeat(32);
    let upper = hex.to_uppercase();
    let identifiers = [&long, &longer, &hex, &upper, &"x".repeat(64), &"x".repeat(65)];
    for identifier in identifiers {
        let at = event(1, NOW - 1, 30_000, &[&["d", identifier]], "");
        let later = event(1, NOW, 30_000, &[&["d", identifier]], "");
        assert_eq!(put(&*store, &at), Stored);
        assert_eq!(put(&*store, &later), Stored);
    }
    assert_eq!(everything(&*store).len(), identifiers.len());
    clean(&*store);
}

/// Somebody else's request has no effect, neither now nor later.
pub fn a_deletion_removes_only_the_authors_own_events(make: Make<'_>) {
    let store = make();
    let mine = note(1, NOW, "mine");
    let theirs = note(2, NOW, "theirs");
    let later = note(2, NOW, "later");
    let address = format!("30023:{}:x", author(2));
    let their_page = event(2, NOW - 1, 30_023, &[&["d", "x"]], "");
    store.put_batch(&[mine.clone(), theirs.clone(), their_page.clone()], NOW).unwrap();
    let request = event(
        1,
        NOW,
        5,
        &[
            &["e", &mine.id.to_hex()],
            &["e", &theirs.id.to_hex()],
            &["e", &later.id.to_hex()],
            &["e", "not an id"],
            &["e"],
            &["a", &address],
            &["a", "nonsense"],
            &["k", "1"],
        ],
        "",
    );
    assert_eq!(put(&*store, &request), Stored);
    assert_eq!(put(&*store, &later), Stored);
    let mut kept = everything(&*store);
    let mut expected = vec![request.id, theirs.id, later.id, their_page.id];
    kept.sort();
    expected.sort();
    assert_eq!(kept, expected);
    clean(&*store);
}

/// Even when the request itself is gone.
pub fn a_deleted_event_cannot_come_back(make: Make<'_>) {
    let store = make();
    let gone = note(1, NOW - 1, "gone");
    put(&*store, &gone);
    let expires = (NOW + 10).to_string();
    let request = event(1, NOW, 5, &[&["e", &gone.id.to_hex()], &["expiration", &expires]], "");
    assert_eq!(put(&*store, &request), Stored);
    assert_eq!(put(&*store, &gone), Deleted);
    assert_eq!(everything(&*store), [request.id]);
    assert_eq!(store.sweep_expired(NOW + 10).unwrap(), 1);
    assert_eq!(store.put_batch(&[gone], NOW + 10).unwrap(), [Deleted]);
    assert_eq!(store.stats().unwrap().events, 0);
    clean(&*store);
}

/// The order of arrival does not matter.
pub fn a_deletion_may_come_before_its_event(make: Make<'_>) {
    let store = make();
    let gone = note(1, NOW - 1, "gone");
    let request = event(1, NOW - 5, 5, &[&["e", &gone.id.to_hex()]], "older than the note");
    assert_eq!(put(&*store, &request), Stored);
    assert_eq!(put(&*store, &gone), Deleted);
    assert_eq!(everything(&*store), [request.id]);
}

/// A request against a request has no effect, whichever comes first (NIP-09).
pub fn a_deletion_cannot_be_deleted(make: Make<'_>) {
    let gone = note(1, NOW - 2, "gone");
    let request = event(1, NOW - 1, 5, &[&["e", &gone.id.to_hex()]], "");
    let revoke = event(1, NOW, 5, &[&["e", &request.id.to_hex()]], "");
    for order in [[&request, &revoke], [&revoke, &request]] {
        let store = make();
        put(&*store, &gone);
        for event in order {
            assert_eq!(put(&*store, event), Stored);
        }
        assert_eq!(put(&*store, &gone), Deleted);
        assert_eq!(everything(&*store), [revoke.id, request.id]);
        clean(&*store);
    }
}

/// Versions up to the request's time are gone and stay away, later ones are welcome (NIP-09).
pub fn an_address_is_deleted_up_to_the_time_of_the_request(make: Make<'_>) {
    let store = make();
    let page = |at: i64| event(1, at, 30_023, &[&["d", "x"]], "");
    let other = event(1, NOW - 9, 30_023, &[&["d", "y"]], "");
    let profile = event(1, NOW - 9, 0, &[], "");
    let same_second = event(1, NOW - 2, 30_023, &[&["d", "z"]], "");
    store.put_batch(&[page(NOW - 3), other.clone(), profile, same_second], NOW).unwrap();
    let pages = format!("30023:{}:x", author(1));
    let profiles = format!("0:{}:", author(1));
    let z = format!("30023:{}:z", author(1));
    let named: &[&[&str]] = &[&["a", &pages], &["a", &profiles], &["a", &z]];
    let request = event(1, NOW - 2, 5, named, "");
    assert_eq!(put(&*store, &request), Stored);
    assert_eq!(everything(&*store), [request.id, other.id]);
    assert_eq!(put(&*store, &page(NOW - 3)), Deleted);
    assert_eq!(put(&*store, &page(NOW - 2)), Deleted);
    let welcome = page(NOW - 1);
    assert_eq!(put(&*store, &welcome), Stored);
    let earlier = event(1, NOW - 7, 5, &[&["a", &pages]], "an earlier request lowers nothing");
    assert_eq!(put(&*store, &earlier), Stored);
    assert_eq!(put(&*store, &page(NOW - 4)), Deleted);
    assert_eq!(all(&*store, &[Filter::new().kinds([30_023]).tag('d', ["x"])]), [welcome.id]);
    assert_eq!(put(&*store, &event(1, NOW - 8, 0, &[], "")), Deleted);
    clean(&*store);
}

/// Each event of a batch sees the effect of those before it.
pub fn deletions_work_inside_one_batch(make: Make<'_>) {
    let store = make();
    let (before, after) = (note(1, NOW - 2, "before"), note(1, NOW - 2, "after"));
    let request =
        event(1, NOW - 1, 5, &[&["e", &before.id.to_hex()], &["e", &after.id.to_hex()]], "");
    let batch = [before.clone(), request.clone(), after, before];
    assert_eq!(store.put_batch(&batch, NOW).unwrap(), [Stored, Stored, Deleted, Deleted]);
    assert_eq!(everything(&*store), [request.id]);
    assert_eq!(store.stats().unwrap().events, 1);
    clean(&*store);
}

/// NIP-40: at its time an event is over, whether it was swept or not.
pub fn an_expired_event_is_refused_hidden_and_swept(make: Make<'_>) {
    let store = make();
    let at = NOW + 10;
    let mortal = event(1, NOW, 1, &[&["expiration", &at.to_string()], &["t", "x"]], "");
    let eternal = event(1, NOW - 1, 1, &[&["expiration", "soon"]], "not a number: none");
    assert_eq!(store.put_batch(&[mortal.clone(), eternal.clone()], NOW).unwrap(), [Stored, Stored]);
    let filters = [Filter::new().limit(1)];
    let shown = |now: i64| {
        let page = store.query(&filters, &PageRequest::default(), now).unwrap();
        page.events.iter().map(|event| event.view().id()).collect::<Vec<_>>()
    };
    assert_eq!(shown(at - 1), [mortal.id]);
    assert_eq!(shown(at), [eternal.id], "an expired event uses up no limit");
    assert_eq!(store.get(&mortal.id, at - 1).unwrap(), Some(mortal.pack()));
    assert_eq!(store.get(&mortal.id, at).unwrap(), None);
    assert_eq!(store.count(&[Filter::new()], at).unwrap(), 1);
    assert_eq!(store.put_batch(std::slice::from_ref(&mortal), at).unwrap(), [Expired]);
    assert_eq!(store.sweep_expired(at - 1).unwrap(), 0);
    assert_eq!(store.sweep_expired(at).unwrap(), 1);
    assert_eq!(store.sweep_expired(at).unwrap(), 0);
    assert_eq!(store.get(&mortal.id, NOW).unwrap(), None);
    assert_eq!(store.stats().unwrap().events, 1);
    clean(&*store);
}

/// More than one commit's worth goes, everything else stays.
pub fn a_sweep_takes_nothing_else(make: Make<'_>) {
    let store = make();
    let at = (NOW + 1).to_string();
    let later = (NOW + 2).to_string();
    let mut batch: Vec<_> =
        (0..1_200).map(|n| event(1, NOW - n, 1, &[&["expiration", &at]], &n.to_string())).collect();
    batch.push(event(1, NOW, 1, &[&["expiration", &later]], "later"));
    batch.push(note(1, NOW, "never"));
    store.put_batch(&batch, NOW).unwrap();
    assert_eq!(store.sweep_expired(NOW + 1).unwrap(), 1_200);
    assert_eq!(everything(&*store).len(), 2);
    clean(&*store);
}

/// Whatever comes in what order, and whatever deletes what (NIP-62).
pub fn what_an_author_wants_gone_vanishes_and_stays_away(make: Make<'_>) {
    let store = make();
    let old = note(1, NOW - 10, "old");
    let list = event(1, NOW - 9, 10_002, &[&["r", "x"]], "");
    let deletion = event(1, NOW - 8, 5, &[&["e", &note(1, NOW - 20, "x").id.to_hex()]], "");
    let young = note(1, NOW - 4, "young");
    let theirs = note(2, NOW - 10, "theirs");
    let request = event(1, NOW - 5, 62, &[&["relay", "ALL_RELAYS"]], "bye");
    let batch = [old.clone(), list.clone(), deletion.clone(), theirs.clone(), young.clone()];
    assert_eq!(store.put_batch(&batch, NOW).unwrap(), vec![Stored; 5]);
    let late = note(1, NOW - 5, "late");
    let outcomes = store.put_batch(&[request.clone(), late.clone(), old.clone()], NOW).unwrap();
    assert_eq!(outcomes, [Stored, Deleted, Deleted]);
    assert_eq!(everything(&*store), [young.id, request.id, theirs.id]);
    assert_eq!(store.put_batch(&[old, list, deletion, late], NOW).unwrap(), vec![Deleted; 4]);
    let undone = event(1, NOW, 5, &[&["e", &request.id.to_hex()]], "no effect on the request");
    assert_eq!(put(&*store, &undone), Stored);
    assert_eq!(put(&*store, &request), Duplicate);
    let earlier = event(1, NOW - 30, 62, &[&["relay", "ALL_RELAYS"]], "takes nothing back");
    assert_eq!(put(&*store, &earlier), Stored);
    assert_eq!(put(&*store, &note(1, NOW - 6, "still")), Deleted);
    assert_eq!(store.vanish(&author(1), NOW - 4).unwrap(), 1);
    assert_eq!(store.vanish(&author(1), NOW - 4).unwrap(), 0);
    assert_eq!(put(&*store, &young), Deleted);
    clean(&*store);
}

/// Other relays may be asked through this one.
pub fn a_request_to_vanish_concerns_only_whom_it_names(make: Make<'_>) {
    let store = make();
    let kept = note(1, NOW - 10, "kept");
    let elsewhere = event(1, NOW, 62, &[&["relay", "wss://other.example"], &["relay"]], "");
    let another_tag = event(1, NOW, 62, &[&["r", "ALL_RELAYS"]], "");
    let another_kind = event(1, NOW, 63, &[&["relay", "ALL_RELAYS"]], "");
    let batch = [kept.clone(), elsewhere, another_tag, another_kind];
    assert_eq!(store.put_batch(&batch, NOW).unwrap(), vec![Stored; 4]);
    assert_eq!(put(&*store, &kept), Duplicate);
    assert_eq!(everything(&*store).len(), 4);
    clean(&*store);
}

/// They are signed by keys that nobody has any more (NIP-59, NIP-62).
pub fn gift_wraps_vanish_with_whom_they_are_for(make: Make<'_>) {
    let store = make();
    let (one, two) = (author(1).to_hex(), author(2).to_hex());
    let wrap = event(9, NOW - 5, 1059, &[&["p", &two], &["p", &one]], "sealed");
    let other = event(9, NOW - 5, 1059, &[&["p", &two]], "sealed");
    let own = event(1, NOW - 6, 1059, &[&["p", &one]], "to myself");
    let mention = event(9, NOW - 5, 1, &[&["p", &one]], "not sealed");
    let batch = [wrap.clone(), other.clone(), mention.clone(), own.clone()];
    assert_eq!(store.put_batch(&batch, NOW).unwrap(), vec![Stored; 4]);
    assert_eq!(store.vanish(&author(1), NOW - 5).unwrap(), 2);
    let mut kept = vec![other.id, mention.id];
    kept.sort();
    assert_eq!(everything(&*store), kept);
    assert_eq!(store.put_batch(&[wrap, own], NOW).unwrap(), [Deleted, Deleted]);
    clean(&*store);
}

/// In as many commits as it takes; nothing bars the way back.
pub fn what_filters_name_is_deleted_and_may_come_again(make: Make<'_>) {
    let store = make();
    let events: Vec<_> = (0..1_200).map(|n| note(1 + (n % 2) as u8, NOW - n, "")).collect();
    let other = event(3, NOW, 7, &[&["e", "x"]], "+");
    store.put_batch(&events, NOW).unwrap();
    assert_eq!(put(&*store, &other), Stored);
    let filters = [Filter::new().kinds([1]).limit(1), Filter::new().authors([author(1)])];
    assert_eq!(store.delete(&filters, NOW).unwrap(), 1_200);
    assert_eq!(store.delete(&filters, NOW).unwrap(), 0);
    assert_eq!(everything(&*store), [other.id]);
    assert_eq!(put(&*store, &events[0]), Stored);
    assert!(store.delete(&[Filter { search: Some("x".into()), ..Filter::new() }], NOW).is_err());
    clean(&*store);
}
