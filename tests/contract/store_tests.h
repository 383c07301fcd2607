/* The contract: every test runs over every store. A test registers by standing here. */
#ifndef FARHAND_TESTS_STORE_TESTS_H
#define FARHAND_TESTS_STORE_TESTS_H

#define STORE_TESTS(X)                                         \
	/* store_submit_tests.c */                             \
	X(a_function_is_known_by_its_digest)                   \
	X(a_function_is_found_by_id_and_by_name)               \
	X(an_unknown_function_is_not_found)                    \
	X(functions_are_listed_in_pages)                       \
	X(a_task_comes_back_as_it_was_submitted)               \
	X(a_submission_makes_its_group)                        \
	X(a_submission_adds_to_a_group)                        \
	X(a_group_that_does_not_exist_refuses_tasks)           \
	X(a_group_that_exists_is_not_made_again)               \
	X(an_id_that_exists_refuses_the_whole_submission)      \
	X(an_idempotency_key_replays_the_first_answer)         \
	X(an_idempotency_key_with_another_request_conflicts)   \
	X(an_idempotency_key_belongs_to_an_account)            \
	X(an_idempotency_key_can_be_looked_up)                 \
	X(a_refused_call_leaves_no_idempotency_key)            \
	X(a_group_has_idempotency_too)                         \
	X(calls_are_done_in_the_order_of_submission)           \
	X(calls_of_one_commit_see_those_before_them)           \
	/* store_claim_tests.c */                              \
	X(claims_come_by_priority_then_id)                     \
	X(a_claim_goes_on_where_the_last_one_ended)            \
	X(what_is_more_urgent_is_claimed_next)                 \
	X(a_claim_stops_at_its_limits)                         \
	X(a_claim_of_nothing_only_looks)                       \
	X(lanes_do_not_mix)                                    \
	X(what_is_claimed_at_submission_is_not_handed_out)     \
	X(what_is_given_back_is_claimed_again_in_order)        \
	X(a_delayed_task_waits_until_it_is_due)                \
	X(a_claim_moves_due_tasks_of_all_lanes)                \
	X(a_delayed_task_can_be_claimed_at_submission)         \
	X(claims_are_forgotten_at_a_restart)                   \
	X(an_expired_task_fails)                               \
	X(a_claimed_task_does_not_expire)                      \
	X(expiry_is_bounded)                                   \
	/* store_finish_tests.c */                             \
	X(a_final_state_is_recorded_with_all_it_says)          \
	X(results_are_read_as_far_as_they_are_wanted)          \
	X(a_final_task_stays_as_it_is)                         \
	X(a_task_without_a_group_counts_for_none)              \
	X(an_empty_result_is_not_a_missing_one)                \
	X(a_retry_counts_and_goes_back_to_its_lane)            \
	X(a_retry_can_wait)                                    \
	X(a_retry_can_stay_claimed)                            \
	X(a_retry_of_nothing_says_so)                          \
	X(a_start_is_recorded)                                 \
	X(a_waiting_task_is_cancelled)                         \
	X(a_claimed_task_is_not_cancelled_here)                \
	X(a_final_task_is_not_cancelled)                       \
	/* store_fleet_tests.c */                              \
	X(named_tasks_are_taken_in_the_order_of_their_names)   \
	X(what_cannot_be_taken_is_left_out)                    \
	X(a_taken_task_comes_with_all_that_is_known_of_it)     \
	X(a_delayed_task_is_taken_once_it_is_due)              \
	X(workers_are_remembered_until_they_are_forgotten)     \
	X(a_worker_too_many_is_refused)                        \
	X(a_lane_too_many_is_refused)                          \
	X(a_lane_is_kept_for_tasks_that_need_nothing)          \
	X(a_lane_without_tasks_makes_room_for_another)         \
	/* store_read_tests.c */                               \
	X(tasks_are_read_in_the_order_asked_for)               \
	X(tasks_are_read_up_to_a_size)                         \
	X(finished_tasks_are_listed_in_the_order_of_finishing) \
	X(a_list_goes_on_behind_its_cursor)                    \
	X(a_list_ends_at_a_size)                               \
	X(a_list_counts_its_group)                             \
	X(an_unknown_group_is_not_found)                       \
	/* store_purge_tests.c */                              \
	X(old_results_are_purged)                              \
	X(old_records_and_empty_groups_are_purged)             \
	X(old_keys_are_purged)                                 \
	X(a_time_to_come_does_not_keep_what_is_old)            \
	X(keys_from_times_to_come_go_with_younger_ones)        \
	X(many_keys_are_told_apart)                            \
	X(a_purge_is_bounded)                                  \
	/* store_read_tests.c */                               \
	X(stats_count_what_is_there)                           \
	X(a_restart_finds_everything)                          \
	X(a_restart_finds_the_lanes)                           \
	X(the_generation_rises_at_every_start)                 \
	X(what_was_submitted_is_committed_at_a_close)          \
	/* store_model_tests.c, store_torture_tests.c */       \
	X(random_calls_agree_with_a_model)                     \
	X(a_call_without_memory_changes_nothing)

#define X(name) void name(void **state);
STORE_TESTS(X)
#undef X

#endif
