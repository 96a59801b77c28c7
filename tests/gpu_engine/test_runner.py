"""TorchRunner: whatever is computed together, in whatever pieces, the logits are those of a whole forward."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfc.errors import EngineError
from asyncfc.gpu_engine.model import CausalModel
from asyncfc.gpu_engine.plan import Move, Plan, Work
from asyncfc.gpu_engine.runner import TorchRunner, free_memory_blocks
from asyncfc.gpu_engine.sequence import Sampling, Sequence
from tests.gpu_engine import tiny
from tests.gpu_engine.tiny import MOST, NAMES, WINDOW, Table, from_scratch, oracle, table

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["fp64", "fp32"])
MODELS = pytest.mark.parametrize("name", NAMES)


@cache
def engine(name: str = "llama", dtype: torch.dtype = torch.float64) -> CausalModel:
    return CausalModel(tiny.make(name, dtype))


def gap(at: Table, name: str, dtype: torch.dtype, *works: Work) -> float:
    """How far the logits of a step are from those of whole forwards."""
    found = at.logits(*works)
    wanted = [from_scratch(oracle(name, dtype), work.row.tokens)[-1] for work in works if work.samples]
    assert len(found) == len(wanted)
    return max((float((a - b).abs().max()) for a, b in zip(found, wanted, strict=True)), default=0.0)


# --- what goes wrong -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("blocks", "block_size"), [(0, 16), (4, 0)])
def test_a_pool_without_room_is_refused(blocks: int, block_size: int) -> None:
    with pytest.raises(EngineError, match=f"{blocks} blocks of {block_size} positions"):
        TorchRunner(engine(), blocks=blocks, block_size=block_size)


def test_a_pool_that_does_not_fit_says_how_large_it_would_be() -> None:
    with pytest.raises(EngineError, match=r"no room on cpu for a KV pool of .* blocks \([0-9.]+ GB\)"):
        TorchRunner(engine(), blocks=1 << 44)


@pytest.mark.parametrize("token", [-1, tiny.VOCABULARY])
def test_a_token_outside_of_the_vocabulary_is_named_and_others_go_on(token: int) -> None:
    at = table(engine())
    good, bad = at.add(5), at.add([3, token])
    with pytest.raises(EngineError, match=f"sequence 1 has token {token}; .* has 101"):
        at.run(at.work(good), at.work(bad))
    assert gap(at, "llama", torch.float64, at.work(good)) <= MOST[torch.float64]


def test_a_row_longer_than_the_model_reads_is_named() -> None:
    at = table(engine(), blocks=80)
    with pytest.raises(EngineError, match="sequence 0 reaches position 256; the model reads at most 256"):
        at.run(at.work(at.add(257)))


def test_blocks_that_were_never_reserved_are_a_fault_of_the_caller() -> None:
    row = Sequence(7, [1, 2, 3, 4, 5], blocks=[0])
    with pytest.raises(EngineError, match="sequence 7 is to be computed up to position 5"):
        table(engine()).runner.run(Plan((Work(row, 0, 5, samples=True, epoch=0),)))


def test_a_row_that_lost_its_blocks_meanwhile_is_left_out() -> None:
    at = table(engine())
    gone, row = at.add(6), at.add(6)
    works = (at.work(gone), at.work(row))
    at.drop(gone)
    gone.epoch += 1
    tokens = at.runner.run(Plan(works))
    assert tokens[0] is None
    assert tokens[1] == int(from_scratch(oracle("llama"), row.tokens)[-1].argmax())
    assert at.runner.run(Plan(works[:1])) == [None]


def test_a_forward_that_fails_is_an_engine_error_and_the_pool_stays_usable() -> None:
    at = table(engine())
    row = at.add(9)
    at.run(at.work(row, 5))
    layer = engine()._model.model.layers[1]

    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("no room")

    hook = layer.register_forward_pre_hook(fail)
    try:
        with pytest.raises(EngineError, match=r"4 positions in 1 rows failed with OutOfMemoryError: no room"):
            at.run(at.work(row))
    finally:
        hook.remove()
    assert gap(at, "llama", torch.float64, at.work(row)) <= MOST[torch.float64]


def test_logits_that_are_no_numbers_name_the_row_and_poison_nobody() -> None:
    model = CausalModel(tiny.make("llama"))
    at = table(model, blocks=3)
    weights = model._model.model.embed_tokens.weight
    kept = weights[5].detach().clone()
    with torch.no_grad():
        weights[5] = torch.nan
    sick = at.add([5, 6, 7])
    with pytest.raises(EngineError, match="sequence 0 at position 3: the model's logits are not finite"):
        at.run(at.work(sick))
    with torch.no_grad():
        weights[5] = kept
    at.drop(sick)
    row = at.add(9)  # takes all blocks, the last of them only in part
    at.run(at.work(row, 8))
    assert gap(at, "llama", torch.float64, at.work(row)) <= MOST[torch.float64]


def test_a_row_without_any_token_left_names_itself() -> None:
    at = table(engine())
    row = at.add(4, Sampling(banned=frozenset(range(tiny.VOCABULARY))))
    with pytest.raises(EngineError, match=r"sequence 0 at position 4: all 101 tokens .* are banned"):
        at.run(at.work(row))


def test_kv_that_was_never_saved_cannot_be_loaded() -> None:
    runner = table(engine()).runner
    with pytest.raises(EngineError, match="sequence 3 has 0 blocks of KV in host memory; 2 were asked for"):
        runner.run(Plan(loads=(Move(3, (0, 1)),)))


def test_no_block_that_fits_is_an_error() -> None:
    with pytest.raises(EngineError, match="10 bytes on cpu hold no block of KV, which takes"):
        free_memory_blocks(engine(), host_bytes=10)


# --- exactness -------------------------------------------------------------------------------------------


@DTYPES
@MODELS
def test_chunks_decoding_and_mixed_steps_are_exact(name: str, dtype: torch.dtype) -> None:
    at = table(engine(name, dtype))
    long, short, late = at.add(4 * WINDOW), at.add(5), at.add(2 * WINDOW + 1)
    worst = gap(at, name, dtype, at.work(long, 7), at.work(short))
    for row in (long, short, late, long, short, late):
        if not short.pending:
            short.append_sampled(at.random.randrange(tiny.VOCABULARY))
        worst = max(worst, gap(at, name, dtype, *(at.work(r, 9) for r in {long, short, row} if r.pending)))
    assert not long.pending
    assert worst <= MOST[dtype]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "qwen3", "mistral", "gemma2", "gemma3"])
@settings(max_examples=25)
@given(st.data())
def test_any_interleaving_is_exact(name: str, data: st.DataObject) -> None:
    at = table(engine(name), blocks=40, block_size=data.draw(st.sampled_from([1, 3, 8])) + 1)
    rows = [at.add(data.draw(st.integers(1, 20))) for _ in range(data.draw(st.integers(1, 4)))]
    for _ in range(data.draw(st.integers(1, 4))):
        for row in data.draw(st.lists(st.sampled_from(rows), unique=True)):
            act(at, row, data)
        works = [
            at.work(row, data.draw(st.sampled_from([1, 2, 5, 99])))
            for row in rows
            if data.draw(st.booleans())
        ]
        if works:
            assert gap(at, name, torch.float64, *works) <= MOST[torch.float64]
        for row in rows:
            if not row.pending:
                row.append_sampled(data.draw(st.integers(0, tiny.VOCABULARY - 1)))


def act(at: Table, row: Sequence, data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        at.drop(row)
    elif len(row) < 24 and data.draw(st.booleans()):
        row.append_forced(at.tokens(data.draw(st.integers(1, 4))))
    else:
        start = data.draw(st.integers(0, len(row) - 1))
        row.replace(start, len(row), at.tokens(data.draw(st.integers(1, 3))))
        at.pool.trim(row)


@MODELS
def test_what_was_moved_to_host_memory_and_back_is_exact(name: str) -> None:
    at = table(engine(name), blocks=8)
    row, other = at.add(2 * WINDOW + 3), at.add(4 * 4)
    at.run(at.work(row))
    saved, computed = Move(row.id, tuple(row.blocks)), row.computed
    at.drop(row)
    work = at.work(other)
    assert set(work.row.blocks) & set(saved.blocks), "the blocks are in use again in the same step"
    at.runner.run(Plan((work,), saves=(saved,)))
    assert at.runner.saved == {row.id}
    at.drop(other)
    row.append_sampled(3)
    assert at.pool.reserve(row, len(row))
    row.computed = computed
    loads = (Move(row.id, tuple(row.blocks[: len(saved.blocks)])),)
    work = Work(row, computed, len(row), samples=True, epoch=row.epoch)
    found = at.runner.logits(Plan((work,), loads=loads, forgets=(row.id,)))
    assert (found[0] - from_scratch(oracle(name), row.tokens)[-1]).abs().max() <= MOST[torch.float64]
    assert not at.runner.saved


def test_a_prefix_of_what_was_saved_can_be_loaded() -> None:
    at = table(engine())
    row = at.add(12)
    at.run(at.work(row))
    at.runner.run(Plan(saves=(Move(row.id, tuple(row.blocks)),)))
    at.drop(row)
    row.replace(7, 12, [1, 2])
    assert at.pool.reserve(row, 7)
    row.computed = 7
    loads = (Move(row.id, tuple(row.blocks)),)
    found = at.runner.logits(Plan((at.work(row),), loads=loads))
    assert (found[0] - from_scratch(oracle("llama"), row.tokens)[-1]).abs().max() <= MOST[torch.float64]


def test_only_the_rows_that_ask_for_it_sample() -> None:
    at = table(engine())
    first, second, third = at.add(6), at.add(9), at.add(3)
    tokens = at.run(at.work(first), at.work(second, 4), at.work(third))
    assert tokens[1] is None
    for token, row in ((tokens[0], first), (tokens[2], third)):
        assert token == int(from_scratch(oracle("llama"), row.tokens)[-1].argmax())
    assert at.run() == []


def test_what_a_row_samples_does_not_depend_on_its_company() -> None:
    hot = Sampling(temperature=1.3, top_k=40, top_p=0.95, seed=11)
    prompt = Random(1).choices(range(tiny.VOCABULARY), k=9)

    def told(others: int, chunk: int) -> list[int]:
        at = table(engine(), blocks=120, seed=others)
        row = at.add(prompt, hot)
        company = [at.add(3 + i, Sampling(temperature=0.5 * i, seed=i)) for i in range(others)]
        while len(row) < len(prompt) + 8:
            rows = [row, *(r for r in company if r.pending)]
            at.random.shuffle(rows)
            works = [at.work(r, chunk) for r in rows]
            for work, token in zip(works, at.run(*works), strict=True):
                if token is not None:
                    work.row.append_sampled(token)
        return row.tokens[len(prompt) :]

    alone = told(0, 99)
    assert told(5, 2) == told(3, 4) == alone
    assert len(set(alone)) > 1


def test_two_engines_on_two_threads_do_not_meet() -> None:
    models = [CausalModel(tiny.make(name)) for name in ("llama", "gemma2")]

    def work(model: CausalModel) -> list[float]:
        at = table(model, seed=3)
        name = "llama" if model is models[0] else "gemma2"
        rows = [at.add(9), at.add(5)]
        return [gap(at, name, torch.float64, *(at.work(r, 2) for r in rows if r.pending)) for _ in range(3)]

    with ThreadPoolExecutor(2) as threads:
        for worst in threads.map(work, models * 2):
            assert max(worst) <= MOST[torch.float64]


def test_half_precision_stays_within_rounding() -> None:
    model = tiny.make("llama", torch.bfloat16)
    at = table(CausalModel(model))
    row = at.add(20)
    at.logits(at.work(row, 11))
    found = at.logits(at.work(row))[0].double()
    wanted = from_scratch(tiny.make("llama", torch.bfloat16).double(), row.tokens)[-1]
    assert (found - wanted).norm() <= 0.05 * wanted.norm()


def test_the_default_pool_fills_the_memory_that_is_meant_for_it() -> None:
    model = engine("llama")
    # Keys and values of 3 layers, 2 heads of 8 numbers in double precision.
    assert model.bytes_per_position == 2 * 3 * 2 * 8 * 8
    assert free_memory_blocks(model, block_size=4, host_bytes=10 * 4 * 768 + 1) == 10
