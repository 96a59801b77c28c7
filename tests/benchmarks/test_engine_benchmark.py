"""The benchmark of the engine counts what it says, and notices when the engine is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM
from transformers.generation.continuous_batching.requests import GenerationOutput
from typer.testing import CliRunner

from asyncfc.gpu_engine.batcher import Batcher
from asyncfc.gpu_engine.model import CausalModel
from asyncfc.gpu_engine.sequence import Sequence
from benchmarks.engine import __main__ as command
from benchmarks.engine import report
from benchmarks.engine.check import check_counts, greedy_rows
from benchmarks.engine.compare import SIDES, TARGETS, missed
from benchmarks.engine.continuous import Continuous, Manager
from benchmarks.engine.exactness import LIMITS, exactness
from benchmarks.engine.models import TINY, llama
from benchmarks.engine.ours import Ours, sampled_spans, sampled_tokens
from benchmarks.engine.scene import SHARES, Crowd, Life, Scene
from benchmarks.engine.static import Static

SCENE = Scene(slots=2, context=32, prompt=8, injected=2, wait=6, budget=64, steps=24, block=4)
CPU = torch.device("cpu")


def crowd(share: float, scene: Scene = SCENE) -> Crowd:
    return Crowd(scene, share, TINY.vocabulary)


def model(dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    return llama(TINY, positions=128, device=CPU, dtype=dtype)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def wrapped() -> Iterator[CausalModel]:
    wrapped = CausalModel(model())
    yield wrapped
    wrapped.close()


@pytest.fixture(scope="module")
def static() -> Static:
    return Static(model(), crowd(0.0))


@pytest.fixture
def busy(wrapped: CausalModel) -> Ours:
    """An engine with rows that have ended, one of them after a trap."""
    ours = Ours(wrapped, crowd(0.5))
    while not any(len(row.forced) > 1 for row in ours.ended):
        ours.step()
    return ours


# --- the conversations -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", [Scene(), SCENE, command.QUICK])
@pytest.mark.parametrize("share", SHARES)
def test_a_conversation_waits_for_the_given_share_of_its_life(scene: Scene, share: float) -> None:
    source = crowd(share, scene)
    lives = [source.new() for _ in range(500)]
    waiting = sum(scene.wait * (len(life.segments) - 1) for life in lives)
    decoding = sum(sum(life.segments) for life in lives)
    assert waiting / (waiting + decoding) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("share", SHARES)
def test_a_conversation_fills_its_context_wherever_it_is_met(share: float) -> None:
    source = crowd(share, Scene())

    def length(life: Life) -> int:
        return len(life.tokens) + sum(life.segments) + (len(life.segments) - 1) * source.scene.injected

    new = [source.new() for _ in range(50)]
    trapped = [life for life, _ in source.trapped()]
    assert {length(life) for life in (*new, *source.running())} == {source.scene.context}
    assert {length(life) for life in trapped} <= {source.scene.context - source.scene.injected}
    assert all(min(life.segments) >= 1 for life in (*new, *trapped))


def test_all_sides_meet_the_same_conversations() -> None:
    one, other = crowd(0.5), crowd(0.5)
    assert one.trapped() == other.trapped()
    assert one.running() == other.running()
    assert [one.new() for _ in range(5)] == [other.new() for _ in range(5)]


# --- the sides ---------------------------------------------------------------------------------------------


def test_a_free_slot_is_filled_and_a_trapped_row_is_in_no_forward(
    wrapped: CausalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Ours(wrapped, crowd(0.75))
    plan = ours.core.plan
    rows: list[set[Sequence]] = []

    def noted() -> object:
        trapped = set(ours.core.trapped)
        made = plan()
        rows.append({work.row for work in made.works})
        assert not rows[-1] & trapped
        return made

    monkeypatch.setattr(ours.core, "plan", noted)
    window = ours.run()
    assert {len(works) for works in rows} == {SCENE.slots}
    assert window.trapped == pytest.approx(0.75, abs=0.1)


def test_only_a_text_that_is_submitted_again_is_computed_again(wrapped: CausalModel) -> None:
    ours, resubmit = (Ours(wrapped, crowd(0.5), resubmit=again) for again in (False, True))
    for side in (ours, resubmit):
        side.run()
        check_counts(side)
    spent = {side: max(row.spent - len(row) for row in side.ended) for side in (ours, resubmit)}
    assert spent[ours] < 0
    assert resubmit.core.computed / resubmit.sampled > ours.core.computed / ours.sampled


def test_tokens_sampled_while_waiting_do_not_count() -> None:
    share = 0.75
    window = Static(model(), crowd(share)).run()
    assert window.useful == SCENE.slots * (SCENE.context - SCENE.prompt) * (1 - share)


@pytest.mark.slow
def test_continuous_batching_brings_every_token_that_was_asked_for() -> None:
    manager = Manager(model(), SCENE, rows=SCENE.living(0.75) + SCENE.slots)
    side = Continuous(manager, crowd(0.75))
    try:
        windows = [side.run() for _ in range(2)]
    finally:
        manager.close()
    full = [request for request in side.ended if request.error is None]
    assert all(len(request.timestamps or ()) == len(request.generated_tokens) for request in side.ended)
    assert all(len(r.prompt_ids) + len(r.generated_tokens) <= SCENE.context for r in full)
    assert any(len(r.prompt_ids) > SCENE.prompt for r in full)
    # Its steps are counted from outside, hence not to the token.
    assert all(
        0.5 * SCENE.slots * SCENE.steps <= w.useful <= 1.5 * SCENE.slots * SCENE.steps for w in windows
    )


def test_a_request_that_fails_is_no_measurement() -> None:
    class Failing:
        name = ""
        open = 1
        steps = 0

        def submit(self, name: str, life: Life) -> None:
            self.name = name

        def result(self) -> GenerationOutput | None:
            return GenerationOutput(self.name, error="out of memory") if self.name else None

    side = Continuous(Failing(), crowd(0.0))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="brought 0 tokens: out of memory"):
        side._until(1)


# --- the checks --------------------------------------------------------------------------------------------


def test_a_token_that_stands_in_no_row_is_noticed(busy: Ours) -> None:
    assert check_counts(busy) == busy.sampled
    busy.sampled += 1
    with pytest.raises(RuntimeError, match=f"{busy.sampled} tokens were counted"):
        check_counts(busy)


def test_a_position_that_no_row_knows_of_is_noticed(busy: Ours) -> None:
    busy.core.computed += 1
    with pytest.raises(RuntimeError, match="positions were computed"):
        check_counts(busy)


def test_the_sampled_parts_of_a_row_are_those_between_what_was_put_there() -> None:
    row = Sequence(0, [1, 2, 3])
    row.append_sampled(4)
    row.append_forced([5, 6])
    row.append_sampled(7)
    row.append_sampled(8)
    row.append_forced([9])
    assert sampled_spans(row) == [(3, 4), (6, 8)]
    assert sampled_tokens(row) == 3


def test_generate_says_what_the_engine_has_said(busy: Ours, static: Static) -> None:
    assert greedy_rows([busy], static) == sum(map(sampled_tokens, busy.ended)) > 0


def test_another_token_than_that_of_generate_is_noticed(busy: Ours, static: Static) -> None:
    row = busy.ended[0]
    position = sampled_spans(row)[-1][1] - 1
    row.tokens[position] = (row.tokens[position] + 1) % TINY.vocabulary
    with pytest.raises(
        RuntimeError, match=f"row {row.id} has token {row.tokens[position]} at position {position}"
    ):
        greedy_rows([busy], static)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_engine_is_exact(dtype: torch.dtype) -> None:
    found = exactness(model(dtype), steps=30)
    assert found.exact
    assert found.checks > 30
    assert found.recomputed > 100
    assert set(found.events) >= {"drop", "inject", "offload", "preempt", "resume", "substitute", "trap"}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kv_of_tokens_that_were_replaced_is_noticed(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink = Batcher.shrink
    monkeypatch.setattr(Batcher, "shrink", lambda self, row, length: length or shrink(self, row, length))
    forget = Sequence.forget
    monkeypatch.setattr(Sequence, "forget", lambda self, length: forget(self, length and len(self)))
    found = exactness(model(dtype), steps=30)
    assert not found.exact
    assert found.worst > 2 * found.limit


# --- the command -------------------------------------------------------------------------------------------


def test_only_what_falls_short_of_its_target_is_missed() -> None:
    good = {f"ratio_to_{name}": [0.96] * 4 if name == "generate" else [1.1] * 4 for name in SIDES[1:]}
    good["ratio_to_generate"] = [0.5, 0.95, 1.001, 2.0]
    assert missed(good) == []
    bad = good | {"ratio_to_continuous_batching": [1.0, 1.1, 1.1, 1.1], "ratio_to_generate": [2, 0.949, 1, 2]}
    assert [text.split(",")[0] for text in missed(bad)] == [
        "ratio_to_continuous_batching at 0% is 1.0",
        "ratio_to_generate at 25% is 0.949",
        "ratio_to_generate at 50% is 1",
    ]
    assert TARGETS.keys() < set(SIDES)


@pytest.mark.slow
def test_the_command_measures_checks_and_keeps_one_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    done = CliRunner().invoke(command.app, ["--quick", "--json", "--save"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout.splitlines()[-1])
    [kept] = (tmp_path / "results").iterdir()
    assert json.loads(kept.read_text()) == printed
    assert printed["shares"] == list(SHARES)
    assert printed["useful_tokens_per_s"].keys() == set(SIDES)
    assert all(len(printed[f"ratio_to_{name}"]) == len(SHARES) for name in SIDES[1:])
    assert printed["checked"]["sampled"] > printed["checked"]["greedy_tokens"] > 0
    assert all(one["exact"] for one in printed["exactness"])
    assert (printed["device"], printed["threads"], printed["missed"]) == ("cpu", 1, [])


@pytest.mark.slow
def test_logits_can_be_compared_alone_and_a_difference_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_exact", lambda *_, **__: iter([("llama", model())]))
    done = CliRunner().invoke(command.app, ["--quick", "--exactness"])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("llama")
    monkeypatch.setitem(LIMITS, torch.float32, 0.0)
    done = CliRunner().invoke(command.app, ["--quick", "--exactness", "--json"])
    assert done.exit_code == 1
    printed = json.loads(done.stdout.splitlines()[-1])
    assert printed["missed"] == ["llama is exact in float32"]
    assert "shares" not in printed
