use std::ops::Range;

use super::*;
use crate::kernel::{Candidate, Row, Seed};
use crate::midstates::Midstates;

/// The portable kernel with a fault.
#[derive(Debug)]
enum Odd {
    /// Does everything four times.
    Slow,
    /// Wrong in one bit of one lane.
    WrongBit,
    /// Does not look at the limit.
    Boundless,
    /// Does not look at the end of the range.
    Endless,
}

impl SearchKernel for Odd {
    fn name(&self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::WrongBit => "wrong bit",
            Self::Boundless => "boundless",
            Self::Endless => "endless",
        }
    }

    fn fill(&self, seed: &Seed<'_>, lanes: Range<usize>, midstates: &mut Midstates) {
        Portable.fill(seed, lanes, midstates);
    }

    fn scan(&self, row: &Row<'_>, lanes: Range<usize>, limit: u32, found: &mut Vec<Candidate>) {
        match self {
            Self::Slow => {
                for _ in 0..3 {
                    let mut nothing = Vec::new();
                    Portable.scan(row, lanes.clone(), 0, &mut nothing);
                    black_box(nothing);
                }
                Portable.scan(row, lanes, limit, found);
            }
            Self::WrongBit => {
                Portable.scan(row, lanes, limit, found);
                let wrong = found.iter_mut().find(|found| found.lane == 999);
                wrong.into_iter().for_each(|found| found.word ^= 1);
            }
            Self::Boundless => Portable.scan(row, lanes, u32::MAX, found),
            Self::Endless => Portable.scan(row, lanes.start..LANES, limit, found),
        }
    }
}

fn names(measured: &[Measured]) -> Vec<&'static str> {
    measured.iter().map(|measured| measured.name).collect()
}

#[test]
fn every_kernel_of_this_processor_gives_the_known_answers() {
    for kernel in kernels() {
        assert!(right(kernel), "{}", kernel.name());
    }
}

#[test]
fn the_faster_of_two_is_chosen_wherever_it_stands() {
    for kernels in [[&Odd::Slow as _, &Portable as _], [&Portable as _, &Odd::Slow as _]] {
        let choice = choose_among(kernels.to_vec());
        assert_eq!(choice.kernel.name(), "portable", "{choice:?}");
        assert_eq!(names(&choice.measured), kernels.map(|kernel| kernel.name()));
        assert!(choice.measured.iter().all(|measured| measured.ns_per_hash > 0.0), "{choice:?}");
        assert!(choice.rejected.is_empty(), "{choice:?}");
    }
}

#[test]
fn a_kernel_that_is_wrong_is_named_and_not_chosen() {
    for wrong in [&Odd::WrongBit, &Odd::Boundless, &Odd::Endless] {
        let choice = choose_among(vec![wrong, &Odd::Slow, &Portable]);
        assert_eq!(choice.kernel.name(), "portable");
        assert_eq!(choice.rejected, [wrong.name()]);
        assert_eq!(names(&choice.measured), ["slow", "portable"]);
    }
}

#[test]
fn without_a_choice_nothing_is_measured() {
    let choice = choose_among(vec![&Odd::WrongBit, &Odd::Slow]);
    assert_eq!(choice.kernel.name(), "slow");
    assert!(choice.measured.is_empty());
}

#[test]
fn where_no_kernel_is_right_the_portable_one_is_taken_and_all_are_named() {
    let choice = choose_among(vec![&Odd::WrongBit, &Odd::Endless]);
    assert_eq!(choice.kernel.name(), "portable");
    assert_eq!(choice.rejected, ["wrong bit", "endless"]);
}

#[test]
fn the_process_chooses_once_among_all_its_kernels() {
    let choice = choose();
    assert!(std::ptr::eq(choice, choose()));
    assert!(kernel_named(choice.kernel.name()).is_ok());
    assert!(choice.rejected.is_empty(), "{choice:?}");
    let all: Vec<_> = kernels().iter().map(|kernel| kernel.name()).collect();
    if all.len() > 1 {
        assert_eq!(names(&choice.measured), all);
    }
}

#[test]
fn a_kernel_is_found_by_its_name() {
    for kernel in kernels() {
        assert_eq!(kernel_named(kernel.name()).unwrap().name(), kernel.name());
    }
}

#[test]
fn an_unknown_name_is_refused_with_the_names_that_would_do() {
    for name in ["auto", "", "Portable", "sse9"] {
        let error = kernel_named(name).unwrap_err();
        assert_eq!(error.name, name);
        assert!(error.known.contains(&"portable"), "{error:?}");
        assert!(error.to_string().contains(&format!("{name:?}; it has portable")), "{error}");
    }
}

/// A run on a processor that is meant to have certain kernels names them in
/// `NIPWORKER_HASH_KERNELS`, with commas between; else they could be missing from all tests
/// unnoticed.
#[test]
fn the_kernels_that_the_environment_demands_are_there() {
    let demanded = std::env::var("NIPWORKER_HASH_KERNELS");
    for name in demanded.as_deref().unwrap_or("portable").split(',') {
        assert!(kernel_named(name).is_ok(), "{:?}", kernel_named(name));
    }
}
