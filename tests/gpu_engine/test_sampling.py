"""Sampling: a function of logits, seed and position alone, with the distribution that was asked for."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asyncfc.errors import EngineError
from asyncfc.gpu_engine.sampling import Ask, NothingToSample, Sampler, gumbel
from asyncfc.gpu_engine.sequence import GREEDY, Sampling

SIZE = 13


def ask(sampling: Sampling = GREEDY, position: int = 0, row: int = 0) -> Ask:
    return Ask(row, position, sampling)


def one(logits: list[float] | Tensor, sampling: Sampling = GREEDY, position: int = 0) -> int:
    return Sampler().sample(torch.as_tensor(logits)[None], [ask(sampling, position)])[0]


def many(logits: list[float], count: int, **settings: object) -> Counter[int]:
    """What `count` positions sample from the same logits."""
    sampling = Sampling(**settings)  # type: ignore[arg-type]
    asks = [ask(sampling, position) for position in range(count)]
    return Counter(Sampler().sample(torch.tensor([logits]).expand(count, -1), asks))


def chi_square(found: Counter[int], chances: list[float]) -> float:
    """How unlikely the counts are, in standard deviations above what is expected of chance alone."""
    count = found.total()
    assert set(found) <= {token for token, chance in enumerate(chances) if chance > 0}
    terms = [(found[t] - count * p) ** 2 / (count * p) for t, p in enumerate(chances) if p > 0]
    free = len(terms) - 1
    return (sum(terms) - free) / math.sqrt(2 * free)


def softmax(logits: list[float]) -> list[float]:
    return torch.tensor(logits, dtype=torch.float64).softmax(-1).tolist()


# --- what cannot be sampled ------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_finite_name_the_row(wrong: float, temperature: float) -> None:
    logits = torch.zeros(3, SIZE)
    logits[1, 4] = wrong
    asks = [ask(Sampling(temperature=temperature), position=8, row=row) for row in (5, 6, 7)]
    with pytest.raises(
        NothingToSample, match="sequence 6 at position 8: the model's logits are not"
    ) as caught:
        Sampler().sample(logits, asks)
    assert caught.value.index == 1
    assert isinstance(caught.value, EngineError)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_whose_tokens_are_all_banned_names_itself(temperature: float) -> None:
    sampling = Sampling(temperature=temperature, banned=frozenset(range(SIZE)))
    with pytest.raises(NothingToSample, match="sequence 0 at position 0: all 13 tokens"):
        one(torch.zeros(SIZE), sampling)


def test_a_token_without_any_chance_is_no_fault() -> None:
    assert one([-math.inf, 0.0, -math.inf], Sampling(temperature=1.0)) == 1


# --- greedy and banned -----------------------------------------------------------------------------------


def test_greedy_takes_the_best_and_of_equals_the_lowest() -> None:
    assert one([0.0, 3.0, 1.0, 3.0]) == 1
    assert one(torch.zeros(50_000)) == 0


@pytest.mark.parametrize("temperature", [0.0, 1e-9])
def test_a_banned_token_is_never_sampled(temperature: float) -> None:
    assert one([1.0, 9.0, 2.0], Sampling(temperature=temperature, banned=frozenset({1}))) == 2


def test_rows_have_their_own_bans() -> None:
    logits = torch.tensor([[1.0, 9.0, 2.0]]).repeat(4, 1)
    sampler = Sampler()
    bans = [frozenset({1}), frozenset(), frozenset({1, 2}), frozenset({1})]
    assert sampler.sample(logits, [ask(Sampling(banned=ban)) for ban in bans]) == [2, 1, 0, 2]
    assert sampler.sample(logits, [ask()] * 4) == [1] * 4
    assert logits[0].tolist() == [1.0, 9.0, 2.0], "the logits are the caller's"


def test_bans_of_tokens_that_do_not_exist_change_nothing() -> None:
    assert one([1.0, 9.0, 2.0], Sampling(banned=frozenset({-1, 3, 99}))) == 1


def test_more_sets_of_bans_than_are_cached_still_hold() -> None:
    sampler = Sampler()
    logits = torch.arange(200.0)[None]
    for last in (*range(150, 0, -1), 150):
        ban = Sampling(banned=frozenset(range(last, 200)))
        assert sampler.sample(logits, [ask(ban)]) == [last - 1]


# --- distributions ---------------------------------------------------------------------------------------

LOGITS = [0.3, -1.2, 2.0, 0.0, 1.1, -0.4, 1.9, -3.0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_positions_sample_the_softmax(temperature: float) -> None:
    found = many(LOGITS, 20_000, temperature=temperature, seed=3)
    assert abs(chi_square(found, softmax([x / temperature for x in LOGITS]))) < 4


def test_seeds_sample_the_softmax() -> None:
    asks = [ask(Sampling(temperature=1.0, seed=seed), position=17) for seed in range(-9_000, 9_000)]
    found = Counter(Sampler().sample(torch.tensor([LOGITS]).expand(len(asks), -1), asks))
    assert abs(chi_square(found, softmax(LOGITS))) < 4


def test_neighbouring_positions_are_independent() -> None:
    asks = [ask(Sampling(temperature=1.0, seed=5), position=position) for position in range(10_001)]
    tokens = Sampler().sample(torch.tensor([LOGITS[:4]]).expand(len(asks), -1), asks)
    pairs = Counter(4 * a + b for a, b in pairwise(tokens))
    chances = softmax(LOGITS[:4])
    assert abs(chi_square(pairs, [a * b for a in chances for b in chances])) < 4


def test_top_k_keeps_the_likeliest_and_of_equals_the_lowest() -> None:
    kept = [-math.inf, -math.inf, 2.0, -math.inf, 1.1, -math.inf, 1.9, -math.inf]
    assert abs(chi_square(many(LOGITS, 20_000, temperature=1.0, top_k=3), softmax(kept))) < 4
    assert set(many([1.0, 2.0, 1.0, 1.0], 500, temperature=5.0, top_k=2)) == {0, 1}
    assert set(many(LOGITS, 2_000, temperature=9.0, top_k=99)) == set(range(8))


def test_top_p_keeps_the_fewest_that_reach_it() -> None:
    logits = [math.log(p) for p in (0.5, 0.3, 0.15, 0.05)]
    assert set(many(logits, 2_000, temperature=1.0, top_p=0.4)) == {0}
    found = many(logits, 20_000, temperature=1.0, top_p=0.79)
    assert abs(chi_square(found, [0.625, 0.375, 0.0, 0.0])) < 4
    assert set(many(logits, 2_000, temperature=1.0, top_p=0.81)) == {0, 1, 2}
    assert set(many([0.0] * 300, 40, temperature=1.0, top_p=1e-6)) == {0}


def test_top_p_counts_what_top_k_has_left() -> None:
    logits = [math.log(p) for p in (0.4, 0.3, 0.2, 0.1)]
    # Of the first two, 0.4 is 57 %.
    assert set(many(logits, 2_000, temperature=1.0, top_k=2, top_p=0.55)) == {0}
    assert set(many(logits, 2_000, temperature=1.0, top_k=2, top_p=0.6)) == {0, 1}


def test_a_tiny_temperature_is_greedy_and_does_not_overflow() -> None:
    assert many([3.0, 1e30, -1e30, 5.0], 50, temperature=1e-300) == {1: 50}


# --- noise -----------------------------------------------------------------------------------------------


def test_noise_is_finite_and_as_random_as_it_looks() -> None:
    noise = gumbel(torch.tensor([0, 1, -1, 1 << 62]), 20_000)
    assert noise.isfinite().all()
    euler = 0.5772156649
    assert (noise.mean(-1) - euler).abs().max() < 4 * math.pi / math.sqrt(6 * 20_000)
    assert (torch.corrcoef(noise) - torch.eye(4)).abs().max() < 0.03


def test_noise_is_the_same_on_every_machine() -> None:
    # The generator's published first numbers for seed 1234567, through -log(-log(u)).
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    wanted = [-math.log(-math.log(((bits >> 11) + 0.5) / 2**53)) for bits in published]
    assert gumbel(torch.tensor([1234567]), 3)[0].tolist() == pytest.approx(wanted, abs=1e-12)


def test_a_longer_vocabulary_leaves_the_noise_of_its_start_alone() -> None:
    key = torch.tensor([99])
    assert torch.equal(gumbel(key, 50), gumbel(key, 80)[:, :50])


SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.7, 1.0, 3.0]),
    top_k=st.sampled_from([None, 1, 3, 8]),
    top_p=st.sampled_from([1.0, 0.9, 0.3]),
    seed=st.integers(-(1 << 70), 1 << 70),
    banned=st.frozensets(st.integers(0, SIZE - 2), max_size=4),
)


@settings(max_examples=40)
@given(st.lists(st.tuples(SAMPLINGS, st.integers(0, 1 << 40)), min_size=1, max_size=6), st.integers(0, 999))
def test_a_row_gets_the_same_token_in_any_batch(rows: list[tuple[Sampling, int]], seed: int) -> None:
    random = Random(seed)
    logits = [torch.tensor([random.gauss(0, 2) for _ in range(SIZE)]) for _ in rows]
    asks = [ask(sampling, position) for sampling, position in rows]
    alone = [Sampler().sample(row[None], [its])[0] for row, its in zip(logits, asks, strict=True)]
    order = random.sample(range(len(rows)), len(rows))
    batch = Sampler().sample(torch.stack([logits[i] for i in order]), [asks[i] for i in order])
    assert batch == [alone[i] for i in order]


def test_torch_s_own_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    many(LOGITS, 10, temperature=1.0)
    assert torch.equal(torch.random.get_rng_state(), before)
