//! What every [`Store`](rowmesh_core::store::Store) promises, whatever its database: one function for each clause of the contract, which a kind of
//! database runs by implementing [`Place`] and naming it in [`contract!`]. Only what the documentation of the trait and of its data says is
//! asked for here; what one kind of database alone can do, and what can go wrong with it alone, is for its own tests.

mod attaching;
mod colliding;
mod copying;
mod counting;
mod editing;
mod examples;
mod keeping;
mod leaving;
mod logging;
mod looking;
mod node;
mod numbering;
mod orphaning;
mod parking;
mod place;
mod renaming;
mod restless;
mod sealing;
mod settling;
mod taking;
mod undoing;
mod viewing;
mod watching;

pub use node::{
    Copy, EPOCH, FIRST_LIFE, MESH, Node, Stopped, check_equal, check_refused, converge, lacked, nodes, now, travels,
    two, verified,
};
pub use place::Place;
pub use restless::{Restless, RestlessStore};

/// Lists the clauses by room, makes each public, and makes the macros that turn them into tests: a clause that is not listed is code that nobody
/// uses, which the compiler tells.
macro_rules! clauses {
    (($dollar:tt) $($room:ident { $($clause:ident)* })*) => {
        /// The clauses by room.
        pub mod clauses {
            $(
                #[doc = concat!("Those of `", stringify!($room), ".rs`.")]
                pub mod $room {
                    $(
                        #[doc = concat!("Asserts what its name says: `", stringify!($clause), "`.")]
                        pub fn $clause<P: crate::Place>() {
                            crate::$room::$clause::<P>();
                        }
                    )*
                }
            )*
        }

        /// Makes a test of every clause for a kind of [`Place`](crate::Place), in a module of a test program.
        #[macro_export]
        macro_rules! contract {
            ($dollar place:ty) => {
                $($crate::contract_about!($room, $dollar place);)*
            };
        }

        /// The same for the clauses of one room.
        #[macro_export]
        macro_rules! contract_about {
            $(
                ($room, $dollar place:ty) => {
                    mod $room {
                        $(
                            #[test]
                            fn $clause() {
                                $crate::clauses::$room::$clause::<$dollar place>();
                            }
                        )*
                    }
                };
            )*
        }
    };
}

clauses! {
    ($)
    attaching {
        an_empty_database_begins_with_number_one
        rows_that_stood_there_before_make_no_event_and_count_as_the_first_changeset
        a_database_of_another_node_is_refused
        the_life_of_a_database_is_its_own_whatever_is_offered_when_it_is_opened_again
        what_needs_the_roster_is_refused_before_it_is_known_and_what_is_written_meanwhile_is_not_lost
        the_same_roster_again_changes_nothing
    }
    looking {
        a_look_tells_of_what_was_written_until_it_is_sealed
        what_is_left_of_a_round_is_still_dirty
        following_attaches_to_a_new_table_and_takes_in_what_it_holds_already
        i1_a_column_that_comes_or_goes_makes_no_event_and_the_rows_go_on
        i3_a_key_column_that_gets_another_name_on_one_node_first_goes_on_naming_the_same_rows
        i2_a_column_that_was_dropped_and_is_back_shows_what_others_wrote_and_sends_nothing
        i2_a_column_that_came_back_while_the_daemon_was_stopped_sends_nothing
        i2_a_column_that_comes_and_goes_again_and_again_keeps_what_it_held
        m2_rows_that_a_new_column_lets_travel_do_so_though_the_daemon_stops_before_they_are_judged
        a5_what_was_written_while_triggers_were_gone_is_recovered
        q32_one_cell_that_was_changed_unnoticed_is_found_and_named
        the_fingerprint_of_a_schema_tells_its_shape_and_nothing_else
        the_digest_of_contents_is_equal_exactly_where_the_rows_are
    }
    watching {
        a_look_tells_of_a_schema_that_moved_until_it_is_followed
        following_says_what_it_found
        b14_an_earlier_state_under_the_store_is_noticed_and_nothing_is_sealed_or_taken
    }
    sealing {
        p1_of_many_writes_their_net_effect_is_sealed
        where_nothing_changed_nothing_is_sealed
        each_event_tells_the_row_before_and_after
        one_round_is_one_changeset_however_many_transactions_made_it
        a_changeset_tells_where_it_belongs_when_it_was_sealed_and_what_came_before_it
        the_context_of_a_changeset_is_what_its_node_knew_but_for_what_was_parked
        c6_an_edit_made_after_seeing_another_lies_above_it_whatever_the_clock_says
        a_round_too_large_for_one_changeset_is_sealed_in_numbered_parts
        c1_h6_q31_a_round_in_several_parts_is_whole_after_each_of_them
        d1_an_edit_made_between_two_parts_of_a_round_is_sealed_before_anything_is_applied_over_it
        h7_a_change_too_large_to_travel_stays_alone_and_everything_else_flows
        c5_an_edit_made_after_the_clock_went_back_fifty_years_still_beats_the_one_before
        c8_an_edit_counts_from_when_it_was_made_not_from_when_the_daemon_came_back
    }
    taking {
        inserts_updates_and_deletes_arrive
        bulk_statements_upserts_and_cascades_arrive
        j1_what_comes_again_changes_nothing
        j2_what_comes_before_its_time_is_not_taken_and_what_fits_before_it_is
        e9_what_refers_to_something_unheard_of_waits_for_it_by_whatever_way_it_comes
        own_changesets_that_come_back_change_nothing
        g5_a_restored_database_takes_back_what_it_had_sealed_since_and_goes_on_in_another_life
        an_offer_of_nothing_seals_what_is_dirty
        d1_an_unsealed_edit_is_sealed_before_anything_is_applied_over_it
        d2_q26_what_was_applied_is_never_sealed_again
        d6_e14_one_key_many_times_in_one_batch_ends_as_its_last_write
        p3_changesets_that_come_together_make_what_they_make_one_by_one
        d7_rows_of_five_hundred_columns_and_keys_of_eight_travel
        e1_a_changed_primary_key_moves_the_row_and_its_children
        e3_unique_values_swap_and_rotate_inside_a_transaction
        e5_what_cascades_did_at_the_origin_is_done_everywhere_once
        e7_a_transaction_that_is_legal_only_at_its_end_arrives_whole
        a_node_that_stops_anywhere_goes_on_where_it_was
    }
    counting {
        f3_two_sales_of_one_leave_two_less_and_no_ledger_entry
        f3_a_thousand_sales_on_each_of_two_nodes_that_meet_now_and_then_are_two_thousand
        who_joins_while_sales_stand_side_by_side_adds_up_like_the_others
        a_column_that_people_declare_to_count_shows_the_sum_of_what_met_before_that_too
        q28_a_stock_take_says_what_there_is_and_sales_that_it_did_not_know_of_are_taken_from_it
        a_sum_that_the_database_refuses_waits_and_is_shown_once_it_fits
        a_row_that_waits_for_a_new_column_adds_up_each_change_once
        a_sum_that_fits_no_number_of_the_column_waits_and_is_not_bent
        sums_that_come_out_whole_are_nobodys_write
    }
    editing {
        what_a_person_writes_through_rowmesh_is_sealed_as_one_changeset_after_what_the_application_wrote
        what_a_person_writes_of_both_sides_ends_their_conflict_even_if_it_is_what_stands
        what_a_person_writes_that_the_database_refuses_changes_nothing
        a_row_that_was_deleted_comes_back_with_what_it_held_last_when_a_person_says_so
        what_is_too_large_to_travel_is_not_written_either
        a_delete_that_stands_is_accepted_by_one_event_and_nobody_sees_the_row_between
    }
    undoing {
        a_wrong_delete_is_taken_back_on_any_node_with_every_row_that_went
        what_others_wrote_since_is_left_alone_and_told
        a_while_is_taken_back_to_what_stood_before_it_and_only_in_the_table_that_is_named
        what_somebody_else_wrote_between_two_accidents_is_what_stands_again
        what_was_made_by_accident_goes_unless_something_hangs_on_it
        what_stood_there_before_rowmesh_came_is_no_change_that_could_be_taken_back
        of_a_counter_only_the_wrong_change_is_taken_back_and_what_it_beat_stands_again
    }
    examples {
        the_examples_of_the_page_on_conflicts_come_out_as_they_say
    }
    settling {
        a_policy_that_people_change_shows_at_once_what_it_prefers_and_its_withdrawal_what_stood_before
        what_was_written_and_not_sealed_when_a_policy_changes_is_sealed_before_anything_is_shown_over_it
        concurrent_edits_of_different_columns_both_survive_without_a_ledger_entry
        f7_equal_edits_on_both_sides_are_no_conflict
        f6_a_row_deleted_here_and_edited_there_stands_with_all_its_columns
        concurrent_edits_of_one_column_leave_the_loser_in_the_ledger
        o3_the_ledger_of_a_hot_row_is_what_all_its_events_tell
        a_policy_may_change_at_any_time_and_what_comes_then_is_settled_by_it
        p3_whatever_the_order_of_arrival_all_end_with_the_same_rows
    }
    colliding {
        e2_two_rows_that_took_one_value_both_stand_and_the_later_shows_it_with_a_suffix
        e2_who_gave_way_shows_the_value_again_as_soon_as_it_is_free
        q13_what_a_user_writes_on_top_is_what_he_sees
        e2_three_rows_that_collide_in_a_circle_end_the_same_whatever_the_order
        e2_a_number_that_another_row_keeps_is_shown_as_null
        e2_where_a_check_refuses_the_suffix_null_is_shown_or_the_row_is_hidden
        e2_what_can_show_nothing_else_is_hidden_with_its_children_and_comes_back
        e2_what_is_hidden_takes_along_the_children_that_came_with_it
        q29_of_several_columns_the_last_that_is_no_reference_shows_the_suffix
        e2_what_is_derived_never_displaces_what_somebody_writes
        e2_what_is_taken_back_is_what_was_written_and_not_what_stood_in_its_place
        e2_another_index_changes_what_is_shown_also_while_the_daemon_is_stopped
        e2_a_write_that_loses_in_two_indexes_is_told_once_and_the_same_everywhere
        e2_who_joins_with_a_copy_shows_the_same
        e3_values_change_places_while_others_wait_for_them
    }
    orphaning {
        e6_a_row_that_was_deleted_while_another_came_to_refer_to_it_stands_everywhere_whole
        e6_of_three_levels_what_is_needed_stands_and_the_rest_stays_deleted
        e6_a_row_goes_again_once_nobody_refers_to_it_any_more
        e6_who_edits_a_row_that_was_brought_back_gives_it_its_life_again
        q7_who_deletes_a_row_that_was_brought_back_and_all_that_needs_it_has_deleted_it
        q8_a_row_that_is_brought_back_takes_no_unique_value_from_one_that_lives
        e6_where_the_rule_says_so_a_row_is_hidden_whose_parent_was_deleted_and_comes_back_with_it
        e6_where_the_rule_says_so_a_reference_to_a_deleted_row_shows_null_until_it_is_back
        e6_a_row_whose_delete_went_with_its_parents_and_that_was_edited_elsewhere_waits_for_a_person
        e6_triangles_of_three_nodes_end_the_same_whatever_the_order
        e6_what_was_edited_stands_while_it_is_needed_though_its_parents_delete_had_seen_it
        e6_trees_and_rows_that_refer_to_one_another_stand_while_they_are_needed
        e6_whoever_joins_by_a_copy_shows_what_others_show
        e6_what_an_application_writes_while_it_joins_hangs_on_nothing_that_is_not_there
        e6_a_row_that_comes_to_refer_to_a_hidden_one_is_hidden_with_it
        e6_of_a_row_that_is_hidden_the_ledger_tells_what_else_it_has_lost
        e6_a_reference_by_several_columns_is_one_that_somebody_wrote
        e6_a_rule_that_people_change_shows_at_once_what_it_says
        e1_a_row_that_came_under_an_earlier_key_of_another_finds_it
        e6_a_restart_between_any_two_steps_changes_nothing
    }
    numbering {
        q9_two_orders_under_one_number_are_both_whole_and_the_later_goes_under_another
        q9_whoever_hears_of_it_in_whatever_order_ends_the_same
        q11_a_row_keeps_the_number_under_which_it_is_shown_whatever_becomes_of_the_other
        q10_what_users_write_to_either_row_stays_with_it
        q9_a_number_used_again_is_another_row_and_the_old_one_comes_back_under_another
        q9_rows_that_are_deleted_and_made_anew_as_they_were_are_the_same_rows
        q9_equal_rows_that_hold_a_unique_value_are_one_row
        q9_rows_that_collide_in_number_and_unique_value_both_stand
        q9_rows_that_refer_to_others_of_their_table_follow_them
        q9_whoever_joins_by_a_copy_shows_the_same_and_goes_on_the_same
        q9_what_the_joiners_application_makes_meanwhile_gives_way_to_what_the_mesh_has
        q9_a_restart_between_any_two_steps_changes_nothing
        q9_what_came_while_the_table_was_not_here_is_told_apart_when_it_is
        q23_births_under_a_clock_that_was_ahead_take_their_right_place
        e1_who_is_brought_back_by_a_person_is_who_was_deleted
        q9_numbers_in_the_band_of_the_derived_ones_belong_to_whoever_is_born_with_them
    }
    parking {
        c11_a_row_that_cannot_stand_here_waits_alone_and_comes_when_it_can
        i5_what_comes_for_a_table_that_is_not_here_is_shown_when_it_is
        a_column_that_is_not_here_parks_nothing_and_its_values_wait_for_it
        any_number_of_changes_may_wait_for_a_table_while_sealing_and_receiving_go_on
        e9_q3_a_child_whose_parent_is_gone_has_it_back_and_no_reference_dangles
        p5_e9_a_parent_that_has_to_stay_stands_beside_who_took_its_unique_value
        p5_e9_a_parent_that_others_refer_to_by_another_value_than_its_key_keeps_it
        b8_an_orphan_that_was_written_without_foreign_keys_holds_up_nothing_but_itself
        q20_what_comes_for_a_table_while_it_stays_at_home_is_shown_when_it_travels_again
    }
    leaving {
        m2_q18_grandchildren_that_were_sealed_one_by_one_go_and_come_back_with_what_left
        m2_q18_a_snapshot_shows_nothing_whose_owner_has_left
        m2_q18_a_snapshot_of_the_node_that_a_row_left_at_shows_nothing_that_came_to_hang_on_it
        m2_with_all_owners_a_loan_that_came_to_need_a_shop_that_left_brings_it_back
        m2_a_delete_beside_a_leave_and_a_filter_that_goes_lose_nothing
    }
    logging {
        the_log_is_read_from_where_the_other_side_stands_and_in_pages
        what_the_log_gives_has_causes_before_effects_and_leaves_out_what_depends_on_what_is_left_out
        the_hash_of_a_changeset_is_known_while_the_log_has_it
        a_copy_knows_the_last_hash_of_what_its_log_leaves_out
        the_highest_timestamp_of_a_stretch_of_changesets_is_told
        rows_that_stood_there_before_have_the_timestamp_of_the_first_changeset
        where_nothing_stood_before_nothing_has_a_timestamp
        what_the_clock_read_at_sealing_is_told_of_own_changesets
        events_are_listed_newest_first_by_table_key_node_number_and_time
    }
    copying {
        g1_a_copy_holds_rows_ledger_log_and_what_is_remembered_of_the_deleted
        a_copy_tells_its_rows_and_is_of_one_moment
        what_is_stable_is_left_out_of_the_log_and_stands_all_the_same
        g1_what_the_joiner_s_application_writes_before_it_is_let_in_reaches_the_others
        g1_a_load_that_is_cut_short_keeps_what_the_application_did_meanwhile
        g1_a_load_begun_anew_takes_nothing_with_it_that_the_application_hung_on_rows_that_had_come
        g1_a_load_begun_anew_reverts_nothing_of_the_mesh_s_rows_that_the_application_has_edited
        g1_a_row_that_stays_for_its_children_when_a_load_is_begun_anew_takes_up_what_was_written_elsewhere
        p5_a_row_that_is_deleted_elsewhere_while_the_application_hangs_another_on_it_lets_no_reference_dangle
        g1_a_row_that_the_joiner_made_and_deleted_itself_says_nothing_about_the_mesh_s_row_of_that_key
        a_load_cut_short_after_any_piece_is_begun_anew_and_comes_to_the_same_end
        pieces_of_a_copy_are_refused_where_none_was_begun
        a_copy_with_a_piece_missing_is_not_taken_for_whole
        pieces_of_a_copy_are_taken_in_their_order_only_and_each_once
        a_damaged_piece_of_a_copy_is_refused_and_the_load_can_be_begun_anew
        p5_no_row_of_a_copy_refers_to_what_the_application_has_written_otherwise
        p5_a_copy_brings_parents_before_their_children_whatever_their_names
        p5_no_row_of_a_copy_refers_to_what_the_application_deletes_while_it_comes_in
        a_database_that_holds_rows_already_is_not_loaded_over
        tables_and_columns_of_a_copy_that_are_not_here_wait_for_them
    }
    renaming {
        another_life_counts_from_one_again_and_the_old_one_stays_known
        q23_the_same_history_goes_on_under_new_names_and_at_the_right_time
        q23_where_writes_stand_side_by_side_the_later_one_by_the_right_clock_is_shown
        q23_what_cannot_be_named_anew_changes_nothing
        q23_where_everything_was_taken_in_by_somebody_nothing_is_named_anew_and_the_old_names_stay_whole
        q23_what_somebody_has_gone_on_from_keeps_its_name
    }
    keeping {
        roster_entries_are_kept_once_each_with_what_they_mean
        of_each_node_the_newest_acknowledgement_is_kept
        a_session_that_went_well_tells_when_the_peer_was_last_seen_and_a_failed_one_does_not
        a_partition_is_one_row_that_is_opened_and_closed
        figures_of_one_hour_add_up
    }
    viewing {
        every_table_is_listed_with_how_it_fares
        conflicts_are_listed_newest_first_and_closed_ones_only_if_asked_for
        a_row_is_shown_as_it_stands
        a_row_tells_who_wrote_it_what_stands_beside_that_and_what_lost
        what_filters_hold_back_is_told_by_filter_and_root
        columns_that_change_with_every_update_are_told_by_their_names
        a_database_is_described_in_a_line
        n6_uninstalling_leaves_the_database_as_it_was_found
    }
}
