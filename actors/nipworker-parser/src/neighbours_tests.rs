#![allow(clippy::unwrap_used)]

use std::cell::{Cell, RefCell};

use futures::executor::block_on;

use super::*;

fn poison() -> Trouble {
    AskError::Panicked { message: "poison".into(), place: None }.into()
}

/// Doubles items; fails as long as a bad one is among them. Returns the sizes that were asked.
fn run(items: &[u32], bad: &[u32]) -> (Result<Vec<String>, FailedT>, Vec<usize>) {
    let asked = RefCell::new(Vec::new());
    let result = block_on(isolate(
        items,
        async |items: &[u32]| {
            asked.borrow_mut().push(items.len());
            if items.iter().any(|item| bad.contains(item)) {
                return Err(poison());
            }
            Ok(items.iter().map(|item| (item * 2).to_string()).collect())
        },
        |reason| reason,
    ));
    (result, asked.into_inner())
}

#[test]
fn a_batch_that_succeeds_is_asked_for_once() {
    assert_eq!(run(&[1, 2], &[]), (Ok(vec!["2".into(), "4".into()]), vec![2]));
    assert_eq!(run(&[], &[]), (Ok(vec![]), vec![]));
}

#[test]
fn the_item_that_makes_a_worker_fail_is_found_and_the_others_pass() {
    let (result, asked) = run(&[1, 2, 3, 4], &[3]);
    let answers = result.unwrap();
    assert_eq!((answers[0].as_str(), answers[1].as_str(), answers[3].as_str()), ("2", "4", "8"));
    assert!(answers[2].contains("poison"), "{}", answers[2]);
    assert_eq!(asked, [4, 4, 1, 1, 1, 1, 1], "the bad one twice");
}

#[test]
fn a_single_item_is_asked_for_twice_at_most() {
    let (result, asked) = run(&[3], &[3]);
    assert!(result.unwrap()[0].contains("poison"));
    assert_eq!(asked, [1, 1]);
}

#[test]
fn too_many_bad_items_are_the_workers_fault() {
    let (result, asked) = run(&[1, 2, 3, 4, 5, 6], &[1, 2, 3, 4]);
    assert!(result.unwrap_err().transient);
    assert_eq!(asked, [6, 6, 1, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn a_failure_that_passes_is_not_noticed() {
    let first = Cell::new(true);
    let result = block_on(isolate(
        &[1],
        async |_: &[i32]| if first.replace(false) { Err(poison()) } else { Ok(vec![5]) },
        |_| 0,
    ));
    assert_eq!(result, Ok(vec![5]));
}

#[test]
fn an_innocent_item_is_not_blamed_for_a_panic_that_has_another_reason() {
    let number = Cell::new(0);
    let result = block_on(isolate(
        &[1, 2, 3],
        async |items: &[i32]| {
            number.set(number.get() + 1);
            // Twice with the whole batch, then once with the second item alone.
            if [1, 2, 4].contains(&number.get()) { Err(poison()) } else { Ok(items.to_vec()) }
        },
        |_| 0,
    ));
    assert_eq!(result, Ok(vec![1, 2, 3]));
}

#[test]
fn no_item_is_blamed_for_a_worker_that_is_away() {
    for (error, transient, times) in [
        (AskError::Timeout { after: Duration::from_secs(1) }, true, 2),
        (AskError::Closed, false, 1),
        (AskError::Dropped { reason: "gone".into() }, true, 2),
    ] {
        let asked = Cell::new(0);
        let result: Result<Vec<()>, _> = block_on(isolate(
            &[1, 2],
            async |_: &[i32]| {
                asked.set(asked.get() + 1);
                Err(error.clone().into())
            },
            |_| (),
        ));
        assert_eq!((result.unwrap_err().transient, asked.get()), (transient, times));
    }
}

#[test]
fn a_wrong_number_of_answers_is_an_error() {
    let result = block_on(isolate(&[1, 2], async |_: &[i32]| Ok(vec![()]), |_| ()));
    assert_eq!(result.unwrap_err().reason, "1 answers for 2 items");
}
