"""Core: verbs and steps, one at a time; all of them together are in `test_core_machine`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from asyncfc.errors import EngineError
from asyncfc.gpu_engine.blocks import BlockPool
from asyncfc.gpu_engine.core import Core
from asyncfc.gpu_engine.keeping import Keeping
from asyncfc.gpu_engine.sequence import Sampling, Sequence
from tests.gpu_engine.checking import Broken, CheckingRunner, alone


def core(blocks: int = 50, size: int = 4, **options: Any) -> Core:
    return Core(CheckingRunner(blocks, size), BlockPool(blocks, size), **options)


def continued(tokens: list[int], count: int, sampling: Sampling | None = None) -> list[int]:
    """What a row says alone."""
    made = list(tokens)
    for _ in range(count):
        made.append(alone(made, sampling or Sampling()))
    return made


def test_an_engine_needs_slots_and_a_budget_for_them() -> None:
    with pytest.raises(EngineError, match="slots=0"):
        core(slots=0)
    with pytest.raises(EngineError, match="slots=4, budget=3"):
        core(slots=4, budget=3)


def test_a_prompt_must_have_tokens_and_fit() -> None:
    at = core(blocks=2, size=4)
    with pytest.raises(EngineError, match="sequence 0 has no tokens"):
        at.add([])
    with pytest.raises(EngineError, match=r"sequence 1 would have 9 tokens; at most 8 fit\. Use a larger"):
        at.add([1] * 9)
    assert (at.running, at.waiting, at.trapped) == ((), (), ())


def test_the_model_may_set_a_lower_limit_than_the_pool() -> None:
    at = core(blocks=2, size=4, max_tokens=5)
    assert at.max_tokens == 5
    row = at.add([1] * 5)
    with pytest.raises(EngineError, match="would have 6 tokens; at most 5 fit"):
        at.inject(row, [1])
    assert core(blocks=2, size=4, max_tokens=100).max_tokens == 8


@pytest.mark.parametrize(
    ("prepare", "verb", "message"),
    [
        ((), "resume", "sequence 0 is waiting; only a trapped one can be resumed"),
        (("step",), "resume", "sequence 0 is running; only a trapped one can be resumed"),
        (("trap",), "trap", "sequence 0 is trapped already"),
        (("step",), "evict", "sequence 0 is running; only a trapped or waiting one can be evicted"),
        ((), "preempt", "sequence 0 is waiting; only a running one can be preempted"),
        (("trap",), "preempt", "sequence 0 is trapped; only a running one can be preempted"),
        (("finish",), "trap", "sequence 0 has ended"),
        (("finish",), "evict", "sequence 0 has ended"),
        (("finish",), "resume", "sequence 0 is finished; only a trapped one can be resumed"),
        (("finish",), "preempt", "sequence 0 is finished; only a running one can be preempted"),
        (("finish",), "inject", "sequence 0 has ended"),
        (("finish",), "substitute", "sequence 0 has ended"),
    ],
)
def test_a_verb_in_the_wrong_state_says_so_and_changes_nothing(
    prepare: tuple[str, ...], verb: str, message: str
) -> None:
    at = core()
    row = at.add([1, 2, 3])
    verbs: dict[str, Callable[[], Any]] = {
        "step": at.step,
        "trap": lambda: at.trap(row),
        "finish": lambda: at.finish(row),
        "resume": lambda: at.resume(row),
        "evict": lambda: at.evict(row),
        "preempt": lambda: at.preempt(row),
        "inject": lambda: at.inject(row, [1]),
        "substitute": lambda: at.substitute(row, 0, 1, [1]),
    }
    for name in prepare:
        verbs[name]()
    before = (list(row.tokens), row.state, row.computed, row.epoch)
    with pytest.raises(EngineError, match=message):
        verbs[verb]()
    assert (list(row.tokens), row.state, row.computed, row.epoch) == before


def test_rows_say_what_they_would_say_alone() -> None:
    at = core(slots=2, budget=3)
    settings = [Sampling(seed=n, banned=frozenset({n})) for n in range(4)]
    rows = [at.add([n + 1] * (2 * n + 1), sampling) for n, sampling in enumerate(settings)]
    while any(row.state != "finished" for row in rows):
        for row, _ in at.step():
            if len(row) == 12:
                at.finish(row)
    for n, (row, sampling) in enumerate(zip(rows, settings, strict=True)):
        assert row.tokens == continued([n + 1] * (2 * n + 1), 11 - 2 * n, sampling)
    assert at.pool.free == at.pool.count


def test_finishing_twice_is_no_error() -> None:
    at = core()
    row = at.add([1])
    at.step()
    at.finish(row)
    at.finish(row)
    assert at.pool.free == at.pool.count


def test_without_a_row_that_can_go_on_a_step_does_nothing() -> None:
    at = core()
    row = at.add([1])
    at.trap(row)
    assert at.step() == []
    assert (at.steps, at.computed) == (0, 0)


def test_injected_tokens_are_computed_in_one_go_and_the_model_goes_on_behind_them() -> None:
    at = core()
    row = at.add([1, 2])
    at.step()
    at.inject(row, [5, 6, 7])
    (sampled,) = at.step()
    assert row.tokens[-2:] == [7, sampled.token]
    assert sampled.token == alone(row.tokens[:-1])
    assert [row.is_forced(n) for n in range(len(row))] == [True, True, False, True, True, True, False]


def test_a_substitution_computes_again_from_there_on_and_no_more() -> None:
    at = core()
    row = at.add([1, 2, 3, 4])
    at.step()
    at.substitute(row, 3, 5, [9])
    before = at.computed
    at.step()
    assert at.computed - before == 1
    assert row.tokens == continued([1, 2, 3, 9], 1)


def test_host_memory_is_given_free_when_a_substitution_leaves_one_token() -> None:
    """What is left of the row is a last token, which is always to be computed: nothing saved counts."""
    at = core(keeping=Keeping(move=1e-9))
    row = at.add([1, 2, 3])
    at.step()
    at.trap(row)
    at.evict(row, "offload")
    other = at.add([1])
    at.step()
    at.substitute(row, 1, 4, [])
    assert row.held == 0
    at.step()
    assert isinstance(at.runner, CheckingRunner)
    assert not at.runner.saved
    at.resume(row)
    at.step()
    assert row.tokens == continued([1], 1)
    assert other.tokens == continued([1], 3)


def test_what_a_step_brings_for_a_row_that_has_changed_is_thrown_away() -> None:
    at = core()
    rows = [at.add([n, n]) for n in range(6)]
    trapped, injected, replaced, preempted, ended, same = rows
    plan = at.plan()
    at.trap(trapped)
    at.inject(injected, [7])
    at.substitute(replaced, 1, 2, [8])
    at.preempt(preempted)
    at.finish(ended)
    sampled = at.take(plan, at.runner.run(plan))
    assert [one.row for one in sampled] == [same]
    assert [len(row) for row in rows] == [2, 3, 2, 2, 2, 3]
    assert sum(row.spent for row in rows) == at.computed == 12
    at.resume(trapped)
    for _ in range(2):
        at.step()
    for row, tokens in zip(rows, ([0, 0], [1, 1, 7], [2, 8], [3, 3], [4, 4], [5, 5]), strict=True):
        assert row.tokens == continued(tokens, len(row) - len(tokens))


def test_a_row_trapped_and_resumed_during_a_step_samples_that_token_later() -> None:
    at = core()
    row = at.add([1, 2])
    plan = at.plan()
    at.trap(row)
    at.resume(row)
    assert at.take(plan, at.runner.run(plan)) == []
    assert row.computed == 1, "only the last position is to be computed again"
    at.step()
    assert row.tokens == continued([1, 2], 1)


def test_after_a_failed_step_everything_goes_on_exactly() -> None:
    at = core()
    rows = [at.add([n, n]) for n in range(3)]
    at.step()
    plan = at.plan()
    assert isinstance(at.runner, CheckingRunner)
    at.runner.failing = "sampling"
    with pytest.raises(Broken):
        at.runner.run(plan)
    at.lost(plan)
    assert [row.computed for row in rows] == [0, 0, 0]
    at.step()
    for n, row in enumerate(rows):
        assert row.tokens == continued([n, n], 2)


def test_two_rows_outgrow_a_pool_for_one_and_both_come_to_their_end() -> None:
    at = core(blocks=4, size=2, slots=2, budget=4)
    rows = [at.add([1, 2]), at.add([3, 4])]
    for _ in range(40):
        for row, _ in at.step():
            if len(row) == 8:
                at.finish(row)
    assert [row.tokens for row in rows] == [continued([1, 2], 6), continued([3, 4], 6)]
    assert rows[1].dropped > 0, "the younger one gave way"


def test_prompts_teach_what_a_position_costs_and_decoding_does_not() -> None:
    keeping = Keeping(compute=0.0)
    at = core(keeping=keeping)
    at.add([1] * 10)
    plan = at.plan()
    at.take(plan, at.runner.run(plan), 20.0)
    assert keeping.compute == pytest.approx(0.2)
    plan = at.plan()
    at.take(plan, at.runner.run(plan), 1000.0)
    assert keeping.compute == pytest.approx(0.2)


@pytest.mark.slow
def test_the_policy_costs_little_beside_a_forward() -> None:
    """Host time per row and step, on the plan and on taking in what comes; generous for a loaded machine."""
    at = core(blocks=2000, size=16, slots=64, budget=512)
    for n in range(64):
        at.add([n])

    class Nothing(CheckingRunner):
        def run(self, plan: Any) -> list[int | None]:
            return [1] * len(plan.works)

    at.runner = Nothing(1, 1)
    start = time.process_time()
    for _ in range(200):
        at.step()
    per_row = (time.process_time() - start) / (200 * 64)
    assert per_row < 100e-6


def test_nothing_of_a_row_is_shared_with_the_caller() -> None:
    at = core()
    prompt = [1, 2, 3]
    row: Sequence = at.add(prompt)
    at.step()
    assert prompt == [1, 2, 3]
    prompt[0] = 9
    assert row.tokens[:3] == [1, 2, 3]
