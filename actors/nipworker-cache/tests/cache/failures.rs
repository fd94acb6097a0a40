//! What fails, what that costs, and what goes on.

use std::sync::atomic::Ordering;

use futures::{executor::block_on, future::join_all};
use nipworker_schema::*;
use nipworker_store::{
    EventStore,
    conformance::samples::{NOW, note},
};
use nipworker_supervision::{Fault, prelude::*};

use crate::system::*;

#[test]
fn a_panic_of_connections_is_told_and_the_event_stays_stored() {
    let system = System::start();
    let event = note(1, NOW, "hello");
    for (failed, words) in [
        (system.failure(open_req("poison")), "whether relays were asked is not known"),
        (system.failure(publish(&event, &["poison"], true)), "no receipts came"),
    ] {
        assert_eq!((failed.code, failed.transient), (FailureCode::Worker, true));
        assert!(failed.reason.contains("poison"), "{}", failed.reason);
        assert!(failed.reason.contains(words), "{}", failed.reason);
    }
    assert_eq!(ids(&system.page(everything())), [event.id]);
    assert!(matches!(system.ask(open_req("again")), CacheMessageT::RelaysAsked(_)));
    assert_eq!(system.restarts(), 0);
}

#[test]
fn a_panic_costs_one_message_and_the_next_incarnation_serves_what_is_kept() {
    let system = System::start();
    let before = note(1, NOW - 2, "before");
    system.persist(std::slice::from_ref(&before));
    let poison = [note(1, NOW - 1, "fine"), note(1, NOW - 1, "poison")];
    let after = note(1, NOW, "after");
    let requests = [persist(&poison), persist(std::slice::from_ref(&after))];
    let asks = requests.map(|request| system.cache.try_ask(CacheEdge::encode(request)).unwrap());
    let answers = block_on(join_all(asks));
    let [failed, persisted] = &answers[..] else { panic!("two answers: {answers:?}") };
    let Ok(CacheMessageT::Failed(failed)) = failed.as_ref().unwrap().decode() else {
        panic!("{failed:?}")
    };
    assert_eq!((failed.code, failed.transient), (FailureCode::Worker, true));
    assert!(failed.reason.contains("poison"), "{}", failed.reason);
    assert!(matches!(persisted.as_ref().unwrap().decode(), Ok(CacheMessageT::Persisted(_))));
    assert_eq!(ids(&system.page(everything())), [after.id, before.id]);
    system.restarted(1);
    assert_eq!(system.status().panics, 1);
    let report = system.store.check().unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
}

#[test]
fn every_kind_of_fault_is_survived_with_the_data_intact() {
    let system = System::start();
    let kept = note(1, NOW, "kept");
    system.persist(std::slice::from_ref(&kept));
    for (number, fault) in (1..).zip([Fault::Panic, Fault::FatalError, Fault::KillThread]) {
        system.cache.inject(fault).unwrap();
        // The fault may meet this question or come before it.
        match system.try_ask(everything()) {
            Ok(CacheMessageT::Page(page)) => assert_eq!(ids(&page), [kept.id]),
            Ok(other) => panic!("{other:?}"),
            Err(AskError::Panicked { .. } | AskError::Fatal { .. } | AskError::ThreadLost) => {}
            Err(other) => panic!("{other}"),
        }
        assert_eq!(ids(&system.page(everything())), [kept.id]);
        assert_eq!(system.restarts(), number);
    }
}

#[test]
fn a_broken_disk_ends_the_incarnation_and_its_asker_is_told() {
    let system = System::start();
    system.store.disk_is_broken.store(true, Ordering::SeqCst);
    let event = note(1, NOW, "");
    let failed = system.failure(persist(std::slice::from_ref(&event)));
    assert_eq!((failed.code, failed.transient), (FailureCode::Store, true));
    assert!(failed.reason.contains("broken disk"), "{}", failed.reason);
    system.restarted(1);
    let failure = system.status().last_failure.unwrap();
    assert!(failure.message.contains("broken disk"), "{failure:?}");
    assert_eq!(system.persist(std::slice::from_ref(&event)), [PutStatus::Stored]);
}

#[test]
fn what_is_under_way_is_answered_although_the_worker_fails_meanwhile() {
    let system = System::start();
    let slow_disk = system.store.disk.lock().unwrap();
    let event = note(1, NOW, "kept");
    let request = CacheEdge::encode(persist(std::slice::from_ref(&event)));
    let persisting = system.cache.try_ask(request).unwrap();
    system.commits_begun(1);
    for (number, fault) in (1..).zip([Fault::Panic, Fault::FatalError]) {
        system.cache.inject(fault).unwrap();
        system.restarted(number);
    }
    assert!(system.page(everything()).events.is_empty());
    drop(slow_disk);
    let answer = block_on(persisting).unwrap().decode().unwrap();
    assert!(matches!(answer, CacheMessageT::Persisted(_)), "{answer:?}");
}
