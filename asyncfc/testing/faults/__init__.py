"""Planted bugs: each breaks one rule of the runtime while its context lasts, and must be caught.

A test bench that has never caught anything proves nothing. Each fault replaces one function of the real
classes by a version that is wrong in the way in which such runtimes are wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from asyncfc.testing.faults import order, protocol, talk, values, work

FAULTS: dict[str, Callable[[], Any]] = {
    # the order of calls
    "drop RAW": partial(order.drop_edges, "RAW"),
    "drop WAR": partial(order.drop_edges, "WAR"),
    "drop WAW": partial(order.drop_edges, "WAW"),
    "exact labels": order.exact_labels,
    "labels as written": order.labels_as_written,
    "settling releases": order.settling_releases,
    "unbound covers": order.unbound_covers,
    "first of group hides": order.first_of_group_hides,
    "group in order": order.group_in_order,
    "escape unchecked": order.escape_unchecked,
    "doomed stays wide": order.doomed_stays_wide,
    "one after the other": order.one_after_the_other,
    "eager writes": order.eager_writes,
    # running calls
    "leaked task": work.leaked_task,
    "run twice": work.run_twice,
    "limit off by one": work.limit_off_by_one,
    "newest first": work.newest_first,
    "rank forgotten": work.rank_forgotten,
    "share forgotten": work.share_forgotten,
    "cap forgotten": work.cap_forgotten,
    "never the longest waiting": work.never_the_longest_waiting,
    "retry without a slot": work.retry_without_a_slot,
    "slot given back twice": work.slot_given_back_twice,
    "slot kept while waiting": work.slot_kept_while_waiting,
    "slot not taken again": work.slot_not_taken_again,
    "rate off by one": work.rate_off_by_one,
    "timeout releases": work.timeout_releases,
    "quarantine forgotten": work.quarantine_forgotten,
    "quarantine unchecked at start": work.quarantine_unchecked_at_start,
    "quarantine for ever": work.quarantine_for_ever,
    "siblings unordered": work.siblings_unordered,
    "parent releases first": work.parent_releases_first,
    "child outside its parent": work.child_outside_its_parent,
    # values
    "late snapshot": values.late_snapshot,
    "lost exception": values.lost_exception,
    "first failure in time": values.first_failure_in_time,
    "own object late": values.own_object_late,
    "inserted text scanned again": values.inserted_text_scanned_again,
    "handle left in text": values.handle_left_in_text,
    "text for value": values.text_for_value,
    "shared values": values.shared_values,
    "hidden handles known": values.hidden_handles_known,
    "dropped while referenced": values.dropped_while_referenced,
    # between the model and the calls
    "stale share": talk.stale_share,
    "stale adoption": talk.stale_adoption,
    "other call adopted": talk.other_call_adopted,
    "withdrawn runs": talk.withdrawn_runs,
    "submitted again runs again": talk.submitted_again_runs_again,
    "gate dropped": talk.gate_dropped,
    "blind runs": talk.blind_runs,
    "told twice": talk.told_twice,
    "note lost": talk.note_lost,
    "unescaped": talk.unescaped,
    # between the session and the provider
    "sent message rewritten": protocol.sent_rewritten,
    "insertion forgotten": protocol.insertion_forgotten,
    "sent answer extended": protocol.sent_answer_extended,
    "delivery lost": protocol.delivery_lost,
    "delivered twice": protocol.delivered_twice,
    "lost with its anchor": protocol.lost_with_its_anchor,
    "provisional text shown": protocol.provisional_shown,
    "handle in the final answer": protocol.handle_in_final_answer,
    "cut message runs": protocol.cut_message_runs,
    "await waits for later calls": protocol.await_waits_for_later_calls,
    "own texts escaped": protocol.own_texts_escaped,
    "user text unescaped": protocol.user_text_unescaped,
}
"""Every planted bug by name; `with FAULTS[name]():` plants it."""
