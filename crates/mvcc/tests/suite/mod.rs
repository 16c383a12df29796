//! What every store must do. Each function is a test; `suite!` makes tests of them for one store.

pub mod reads;
pub mod retention;
pub mod writes;

/// The tests of the suite, for the fixture that `$make` makes.
#[macro_export]
macro_rules! suite {
    ($make:path) => {
        suite!(@ $make, reads:
            a_version_is_visible_from_its_commit_until_the_next_one
            a_deadline_hides_from_its_moment_on
            without_history_a_read_below_the_newest_version_fails
            keys_that_begin_one_another_are_read_and_scanned_apart
            a_scan_ends_where_its_span_does
            pages_of_any_bound_add_up_to_the_whole
            the_latest_commit_counts_deletions
            the_exact_version_probe_knows_puts_and_deletions
        );
        suite!(@ $make, writes:
            a_transaction_applies_all_or_nothing
            conflicts_name_their_kind_and_the_first_key_of_the_call
            a_span_that_was_read_conflicts_with_new_keys_in_it
            conflicts_are_counted_by_class
            concurrent_increments_lose_nothing
            commits_must_ascend
            input_that_no_store_accepts_is_refused
            a_deadline_is_given_to_what_is_visible
            a_log_entry_is_applied_once
            a_prefix_deletion_deletes_what_was_visible_and_nothing_else
            prefix_deletions_and_later_writes_do_not_mix
            many_prefix_deletions_are_all_in_force
            a_prefix_deletion_conflicts_like_the_deletions_it_stands_for
            a_run_replaces_what_its_keys_had
            a_run_that_is_not_sorted_changes_nothing
        );
        suite!(@ $make, retention:
            reads_and_transactions_below_the_watermark_are_refused
            a_compaction_keeps_what_readers_above_it_see
            pinned_readers_hold_the_watermark_back
            nothing_is_left_of_what_was_deleted_or_has_expired
            the_probe_refuses_to_guess_below_the_watermark
            an_image_restores_everything
            a_damaged_image_changes_nothing
            an_image_needs_the_same_retention
        );
    };
    (@ $make:path, $module:ident: $($name:ident)*) => {
        mod $module {
            $(
                #[test]
                fn $name() {
                    super::suite::$module::$name(&|retention| $make(retention));
                }
            )*
        }
    };
}

pub type Make<'a> = &'a dyn Fn(mvcc::Retention) -> Box<dyn crate::common::Fixture>;
