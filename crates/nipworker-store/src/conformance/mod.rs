//! The suites that every backend runs, and the naive twin they compare with.
//!
//! [`ordered_kv_conformance!`](crate::ordered_kv_conformance) and
//! [`event_store_conformance!`](crate::event_store_conformance) make one test of each rule, so
//! that a report names what a backend breaks. Both take an expression that makes a fresh, empty
//! instance. [`durable`] is for backends with a disk. The functions panic when a rule is broken.

// A suite is test code that lives in the library so that other crates can run it.
#![allow(clippy::unwrap_used)]

pub mod durable;
pub mod event_store;
mod oracle;
pub mod ordered_kv;
mod random;
pub mod samples;

pub use oracle::NaiveStore;
pub use random::{Rng, agree_with_the_naive_store};

/// Makes one test of each rule of an [`OrderedKv`](crate::OrderedKv).
#[macro_export]
macro_rules! ordered_kv_conformance {
    ($make:expr) => {
        $crate::conformance_tests! { ordered_kv, $make;
            what_is_committed_is_read_back,
            compaction_changes_nothing_that_is_read,
            a_batch_is_applied_as_a_whole_and_its_last_change_counts,
            keys_are_in_the_order_of_their_bytes,
            a_scan_keeps_to_its_range_both_ways,
            an_empty_or_reversed_range_has_no_entries,
            a_cursor_stays_at_its_end,
            a_snapshot_does_not_see_later_commits,
            a_snapshot_and_its_cursor_do_not_hold_up_commits,
            large_values_and_many_keys_are_read_back,
            concurrent_readers_see_whole_commits_only,
            random_changes_agree_with_a_map
        }
    };
}

/// Makes one test of each rule of an [`EventStore`](crate::EventStore).
#[macro_export]
macro_rules! event_store_conformance {
    ($make:expr) => {
        $crate::conformance_tests! { event_store, $make;
            a_stored_event_comes_back_equal,
            the_same_event_again_is_a_duplicate,
            an_ephemeral_event_is_never_stored,
            the_newest_replaceable_event_is_kept,
            the_lowest_id_is_kept_when_replaceable_times_tie,
            replaceable_events_replace_each_other_inside_one_batch,
            addressable_events_are_kept_by_identifier,
            a_long_identifier_is_an_address_of_its_own,
            a_deletion_removes_only_the_authors_own_events,
            a_deleted_event_cannot_come_back,
            a_deletion_may_come_before_its_event,
            a_deletion_cannot_be_deleted,
            an_address_is_deleted_up_to_the_time_of_the_request,
            deletions_work_inside_one_batch,
            what_an_author_wants_gone_vanishes_and_stays_away,
            a_request_to_vanish_concerns_only_whom_it_names,
            gift_wraps_vanish_with_whom_they_are_for,
            what_filters_name_is_deleted_and_may_come_again,
            an_expired_event_is_refused_hidden_and_swept,
            a_sweep_takes_nothing_else,
            answers_are_newest_first_and_lowest_id_first,
            every_event_comes_once_over_all_filters,
            each_limit_is_exact_over_pages,
            a_cursor_without_counts_keeps_the_limits,
            a_page_ends_when_its_bytes_are_reached,
            empty_lists_match_nothing,
            every_single_letter_tag_is_found,
            tag_values_of_any_length_are_told_apart,
            times_at_the_ends_of_their_range_are_kept,
            more_ranges_than_are_merged_are_answered_all_the_same,
            a_search_is_refused,
            a_cursor_of_another_query_is_refused,
            a_count_ignores_limits,
            a_count_of_authors_takes_each_of_them_in_once,
            the_oldest_come_first_in_an_export,
            an_export_makes_an_equal_store,
            positions_are_those_of_the_answers,
            figures_follow_what_is_kept,
            puts_and_queries_from_many_threads_agree,
            random_work_agrees_with_the_naive_store
        }
    };
}

/// Turns function names of a suite into tests.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($suite:ident, $make:expr; $($rule:ident),*) => {
        $(
            #[test]
            fn $rule() {
                $crate::conformance::$suite::$rule(&$make);
            }
        )*
    };
}
