//! Our side against the crate's other side, and against naive sets.

use std::collections::BTreeSet;

use negentropy::{Id, Negentropy, NegentropyStorageVector};
use nipworker_protocol::EventId;
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::*;

type Item = (i64, EventId);

/// A relay by the book.
fn relay(items: &[Item], frame_bytes: u64) -> Negentropy<'static, NegentropyStorageVector> {
    let mut storage = NegentropyStorageVector::new();
    for (at, id) in items {
        storage.insert(at.cast_unsigned(), Id::from_byte_array(*id.as_bytes())).unwrap();
    }
    storage.seal().unwrap();
    Negentropy::owned(storage, frame_bytes).unwrap()
}

/// Differences, steps, and the largest message of ours.
fn reconcile(
    ours: &[Item],
    theirs: &[Item],
    frames: (u64, u64),
) -> (Vec<EventId>, Vec<EventId>, usize) {
    let mut relay = relay(theirs, frames.1);
    let (mut reconciler, mut message) = Reconciler::start(Held::new(ours), frames.0).unwrap();
    let mut largest = message.len();
    loop {
        let answer = relay.reconcile(&message).unwrap();
        match reconciler.answer(&answer) {
            Step::Say(next) => message = next,
            Step::Over(end, said) => {
                assert_eq!((end, said.as_str()), (ReconcileEnd::Complete, ""));
                let (need, have) = reconciler.into_differences();
                return (need, have, largest);
            }
        }
        largest = largest.max(message.len());
    }
}

fn set(ids: &[EventId]) -> BTreeSet<EventId> {
    let set: BTreeSet<EventId> = ids.iter().copied().collect();
    assert_eq!(set.len(), ids.len(), "an id was told twice");
    set
}

/// Random items with few distinct times, so that ids decide within a second.
fn items(rng: &mut SmallRng, count: usize) -> Vec<Item> {
    let mut item = || (1_700_000_000 + rng.random_range(0..300), EventId::from_bytes(rng.random()));
    (0..count).map(|_| item()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_differences_are_those_of_naive_sets(
        (shared, only_ours, only_theirs) in (0..1_500_usize, 0..400_usize, 0..400_usize),
        seed in any::<u64>(),
        ours_limit in prop::sample::select(vec![0_u64, 4_096, 5_000, 60_000]),
        theirs_limit in prop::sample::select(vec![0_u64, 4_096, 5_000, 60_000]),
    ) {
        let rng = &mut SmallRng::seed_from_u64(seed);
        let (shared, more, other) = (items(rng, shared), items(rng, only_ours), items(rng, only_theirs));
        let ours: Vec<Item> = shared.iter().chain(&more).copied().collect();
        let theirs: Vec<Item> = other.iter().chain(&shared).copied().collect();
        let (need, have, largest) = reconcile(&ours, &theirs, (ours_limit, theirs_limit));
        let ids = |items: &[Item]| items.iter().map(|item| item.1).collect::<BTreeSet<_>>();
        let (a, b) = (ids(&ours), ids(&theirs));
        prop_assert_eq!(set(&need), b.difference(&a).copied().collect());
        prop_assert_eq!(set(&have), a.difference(&b).copied().collect());
        if ours_limit > 0 {
            prop_assert!(largest as u64 <= ours_limit, "{} over {}", largest, ours_limit);
        }
    }

    #[test]
    fn no_message_of_a_relay_breaks_a_reconciliation(
        ours in 0..200_u32,
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
        versioned in any::<bool>(),
    ) {
        let (mut reconciler, _) = Reconciler::start(Held::new(&numbered(ours)), NEG_FRAME_BYTES).unwrap();
        for mut message in messages {
            if versioned {
                message.insert(0, 0x61);
            }
            if matches!(reconciler.answer(&message), Step::Over(..)) {
                break;
            }
        }
    }
}

fn numbered(count: u32) -> Vec<Item> {
    let id = |n: u32| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        EventId::from_bytes(bytes)
    };
    (0..count).map(|n| (1_700_000_000 + i64::from(n), id(n))).collect()
}

#[test]
fn a_relay_that_never_agrees_is_given_up() {
    // It says each time that a range differs, and never which ids it has in there.
    let (mut reconciler, _) =
        Reconciler::start(Held::new(&numbered(1_000)), NEG_FRAME_BYTES).unwrap();
    let mut disagree = vec![0x61, 0, 0, 1];
    disagree.extend([7; 16]);
    let mut steps = 0;
    loop {
        steps += 1;
        match reconciler.answer(&disagree) {
            Step::Say(_) => assert!(steps <= MAX_BARREN_ROUNDS, "it goes on"),
            Step::Over(end, message) => {
                assert_eq!(end, ReconcileEnd::Endless, "{message}");
                break;
            }
        }
    }
    assert_eq!(steps, MAX_BARREN_ROUNDS + 1);
}

#[test]
fn what_is_no_negentropy_is_told_from_an_end() {
    for (message, expected) in [
        (&b""[..], ReconcileEnd::Garbled),
        (&[0x61], ReconcileEnd::Complete),
        (&[0x60], ReconcileEnd::Garbled),
        (&[0x62], ReconcileEnd::Garbled),
        (&[0x61, 0, 0, 9], ReconcileEnd::Garbled),
        (&[0x61, 0, 0, 2, 0xff, 0xff, 0x7f], ReconcileEnd::Garbled),
    ] {
        let (mut reconciler, _) = Reconciler::start(Held::new(&numbered(3)), 0).unwrap();
        match reconciler.answer(message) {
            Step::Over(end, _) => assert_eq!(end, expected, "{message:?}"),
            Step::Say(_) => panic!("{message:?} is answered"),
        }
    }
}

#[test]
fn equal_sets_cost_one_step_and_events_before_1970_are_left_out() {
    let mut ours = numbered(100_000);
    let (mut reconciler, first) = {
        ours.push((-5, EventId::from_bytes([9; 32])));
        Reconciler::start(Held::new(&ours), NEG_FRAME_BYTES).unwrap()
    };
    let mut other = relay(&numbered(100_000), 0);
    let answer = other.reconcile(&first).unwrap();
    assert_eq!(reconciler.answer(&answer), Step::Over(ReconcileEnd::Complete, String::new()));
    assert_eq!(reconciler.rounds(), 1);
    assert_eq!(reconciler.into_differences(), (vec![], vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn our_two_sides_find_every_difference(
        seed: u64,
        ours in 0_usize..400,
        theirs in 0_usize..400,
        shared in 0_usize..400,
    ) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (shared, ours) = (items(&mut rng, shared), items(&mut rng, ours));
        let theirs = items(&mut rng, theirs);
        let responder = Responder::new(&[&shared[..], &theirs].concat());
        prop_assert_eq!(responder.len(), shared.len() + theirs.len());
        let held = Held::new(&[&shared[..], &ours].concat());
        let (mut reconciler, mut message) = Reconciler::start(held, NEG_FRAME_BYTES).unwrap();
        let end = loop {
            let answer = responder.answer(&message).unwrap();
            prop_assert!(answer.len() as u64 <= NEG_FRAME_BYTES);
            match reconciler.answer(&answer) {
                Step::Say(next) => message = next,
                Step::Over(end, _) => break end,
            }
        };
        prop_assert_eq!(end, ReconcileEnd::Complete);
        let (need, have) = reconciler.into_differences();
        let ids = |items: &[Item]| items.iter().map(|(_, id)| *id).collect::<BTreeSet<_>>();
        prop_assert_eq!(set(&need), ids(&theirs));
        prop_assert_eq!(set(&have), ids(&ours));
    }

    #[test]
    fn whatever_a_peer_says_is_answered_or_refused(
        seed: u64,
        version: bool,
        mut message in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        if version && !message.is_empty() {
            message[0] = 0x61;
        }
        let mut rng = SmallRng::seed_from_u64(seed);
        let responder = Responder::new(&items(&mut rng, 200));
        if let Ok(answer) = responder.answer(&message) {
            prop_assert!(answer.len() as u64 <= NEG_FRAME_BYTES);
        }
    }
}
