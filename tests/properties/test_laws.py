"""Every law holds of the programs that are drawn for it; see `asyncfc.testing.laws`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from asyncfc.testing.laws import LAWS

SEEDS = st.integers(0, 2**16)
MODES = st.sampled_from(["fifo", "shuffled"])
OBEYED: set[str] = set()


def obeys(name: str) -> Callable[[], None]:
    """A test that what this law is about obeys it."""
    law = LAWS[name]
    OBEYED.add(name)

    @given(law.drawn, SEEDS, MODES)
    def test(drawn: Any, seed: int, mode: Any) -> None:
        law.check(drawn, seed, mode)

    return test


test_P5_however_a_path_is_spelt_it_is_one_resource = obeys("P5 paths spelt otherwise")
test_P9_a_call_that_takes_too_long_holds_its_claims_until_its_work_ends = obeys("P9 timeouts")
test_P10_closing_early_leaves_nothing_and_stops_work_in_order = obeys("P10 closed early")
test_P12_O4_a_message_that_is_submitted_again_runs_once = obeys("O4 submitted again")
test_P14_O5_calls_from_inside_are_a_part_of_their_caller_and_never_lack_a_slot = obeys(
    "P14 calls from inside"
)
test_P15_of_the_calls_that_wait_for_a_slot_the_one_with_the_longest_way_starts_first = obeys(
    "P15 longest way first"
)
test_P15_a_call_that_nobody_waits_for_starts_whatever_comes_after_it = obeys("P15 nobody starves")
test_sessions_that_wait_have_slots_by_their_weights = obeys("shares")
test_no_session_exceeds_its_cap_and_what_is_tried_again_succeeds_at_last = obeys("caps and retries")
test_P21_no_handle_reaches_a_tool_whatever_stands_around_it = obeys("P21 scribbles")
test_P22_P23_P24_values_arrive_as_they_are_and_nobody_spoils_them_for_others = obeys("P22 P23 P24 values")
test_P22_H2_what_the_model_copies_from_what_it_reads_is_text = obeys("H2 echoes")
test_P25_every_handle_that_names_nothing_here_gets_the_same_answer = obeys("P25 strangers")
test_O1_the_calls_of_all_sessions_of_a_runtime_have_one_order = obeys("O1 several sessions")
test_O3_a_broken_message_leaves_no_trace = obeys("O3 broken messages")
test_O3_a_retry_adopts_no_read_that_must_see_a_write_first = obeys("O3 retried behind a write")
test_E1b_undeclared_calls_of_a_message_run_in_some_order = obeys("E1b groups")
test_E1b_undeclared_calls_of_a_message_do_not_wait_for_each_other = obeys("E1b groups overlap")
test_E4_an_irreversible_call_needs_the_success_of_its_message = obeys("E4 irreversible, succeeded")
test_E4_an_irreversible_call_needs_that_all_before_was_seen = obeys("E4 irreversible, seen")
test_F2_what_was_given_up_is_quarantined_until_it_ends = obeys("F2 given up")
test_F2_a_label_that_is_known_late_meets_the_quarantine_too = obeys("F2 late into quarantine")
test_S9_a_shared_read_gives_what_it_would_have_read = obeys("S9 repeated reads")
test_S12_cancelled_calls_are_recorded_and_the_others_obey_the_order = obeys("S12 cancelled")
test_S12_holds_for_all_that_may_happen_at_once = obeys("S12 all at once")
test_V3_what_a_live_call_refers_to_is_kept = obeys("V3 retention")
test_D1_every_note_comes_once = obeys("D1 notes")
test_no_window_of_a_rate_holds_too_many_starts = obeys("rates")

ELSEWHERE = {
    "P1 any program",
    "P4 any program",
    "P4 late and lost",
    "S1 never runs",
    "S2 wide covers",
    "S3 escapes",
    "S10 two failed inputs",
    "S37 groups",
    "V1 live results",
}
"""Laws that `test_order.py` and `test_timing.py` put to the test, each in more ways than one."""


def test_every_law_is_put_to_the_test() -> None:
    assert LAWS.keys() == OBEYED | ELSEWHERE
