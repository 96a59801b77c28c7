"""Sampling: which token comes next. What a row gets depends on its logits, seed and position alone.

The noise of a row is a function of (seed, position, token), in whole numbers up to the last step, so the
same row gets the same token in any batch, after a recomputation, and on any device (I2 of the invariants).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from asyncfc.errors import EngineError
from asyncfc.gpu_engine.sequence import Sampling

# splitmix64 (Steele, Lea and Flood 2014, with Stafford's variant 13 as the mixer).
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_MASK = (1 << 64) - 1

_FAILED = -1
_CACHED_SETS = 64


class NothingToSample(EngineError):
    """A row has no token with a finite logit; `index` says which of those that asked."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True, slots=True)
class Ask:
    """A row that wants its next token.

    Args:
        row: its id, for messages.
        position: of the token that is sampled.
        sampling: how.
    """

    row: int
    position: int
    sampling: Sampling


class Sampler:
    """Chooses tokens; keeps the lists of banned tokens on the device."""

    def __init__(self) -> None:
        self._banned: dict[frozenset[int], Tensor] = {}

    def sample(self, logits: Tensor, asks: Sequence[Ask]) -> list[int]:
        """The next token of each row.

        Args:
            logits: `[rows, vocabulary]`; they are not changed.
            asks: one for each row.

        Raises:
            NothingToSample: logits are not finite, or all tokens of a row are banned.
        """
        scores = self._ban(logits if logits.dtype == torch.float64 else logits.float(), asks)
        best, tokens = scores.max(dim=-1)
        finite = best.isfinite()
        noisy = [index for index, ask in enumerate(asks) if ask.sampling.temperature > 0]
        if noisy:
            where = torch.tensor(noisy, device=logits.device)
            tokens[where] = _draw(scores[where], [asks[index] for index in noisy])
        # One transfer for tokens and faults: each costs a wait for the device.
        chosen: list[int] = tokens.masked_fill(~finite, _FAILED).tolist()
        for index, token in enumerate(chosen):
            if token == _FAILED:
                raise NothingToSample(_fault(logits[index], asks[index]), index)
        return chosen

    def _ban(self, logits: Tensor, asks: Sequence[Ask]) -> Tensor:
        rows: dict[frozenset[int], list[int]] = {}
        for index, ask in enumerate(asks):
            if ask.sampling.banned:
                rows.setdefault(ask.sampling.banned, []).append(index)
        if not rows:
            return logits
        scores = logits.clone()
        for banned, indices in rows.items():
            tokens = self._tokens(banned, scores)
            if len(indices) == len(asks):
                scores.index_fill_(1, tokens, -torch.inf)
            else:
                scores[torch.tensor(indices, device=scores.device)[:, None], tokens] = -torch.inf
        return scores

    def _tokens(self, banned: frozenset[int], scores: Tensor) -> Tensor:
        if banned not in self._banned:
            if len(self._banned) == _CACHED_SETS:
                del self._banned[next(iter(self._banned))]
            known = sorted(token for token in banned if 0 <= token < scores.shape[1])
            self._banned[banned] = torch.tensor(known, dtype=torch.int64, device=scores.device)
        return self._banned[banned]


def _fault(logits: Tensor, ask: Ask) -> str:
    where = f"sequence {ask.row} at position {ask.position}"
    if logits.max().isfinite():
        return f"{where}: all {len(logits)} tokens of the vocabulary are banned; leave at least one"
    return f"{where}: the model's logits are not finite; try a wider dtype, or check the weights"


def _draw(scores: Tensor, asks: Sequence[Ask]) -> Tensor:
    """One token per row, by the Gumbel-max trick: the best after adding the noise is softmax-distributed."""
    device = scores.device
    settings = [ask.sampling for ask in asks]
    temperatures = torch.tensor([s.temperature for s in settings], dtype=torch.float64, device=device)
    # Against the best one: a tiny temperature must not overflow.
    scores = (scores - scores.amax(-1, keepdim=True)).double() / temperatures[:, None]
    if any(s.top_k is not None or s.top_p < 1 for s in settings):
        scores = _narrow(scores, settings)
    keys = [_key(ask.sampling.seed, ask.position) for ask in asks]
    return (scores + gumbel(torch.tensor(keys, device=device), scores.shape[1])).argmax(-1)


def _narrow(scores: Tensor, settings: Iterable[Sampling]) -> Tensor:
    """Only the likeliest tokens of each row stay; of equally likely ones, those with the lower id."""
    settings = list(settings)
    size = scores.shape[1]
    limits = torch.tensor([min(s.top_k or size, size) for s in settings], device=scores.device)
    shares = torch.tensor([s.top_p for s in settings], dtype=torch.float64, device=scores.device)
    ordered, order = scores.sort(dim=-1, descending=True, stable=True)
    out = torch.arange(size, device=scores.device) >= limits[:, None]
    chances = ordered.masked_fill(out, -torch.inf).softmax(-1)
    # A token stays if those before it fall short of the share, hence the first always does. A share of 1
    # keeps all, whatever the sum of the chances is after rounding.
    before = chances.cumsum(-1) - chances
    out |= (before >= shares[:, None]) & (shares < 1)[:, None]
    return torch.empty_like(scores).scatter_(1, order, ordered.masked_fill(out, -torch.inf))


# --- noise -------------------------------------------------------------------------------------------------


def gumbel(keys: Tensor, size: int) -> Tensor:
    """Standard Gumbel noise `[rows, size]` in double precision.

    Args:
        keys: `[rows]`, int64; the same key always gives the same noise.
        size: of the vocabulary.
    """
    steps = torch.arange(1, size + 1, device=keys.device) * _signed(_GOLDEN)
    bits = _mix(keys[:, None] + steps)
    uniform = (_shift(bits, 11).double() + 0.5) * 2.0**-53
    return uniform.log_().neg_().log_().neg_()


def _mix(bits: Tensor) -> Tensor:
    """Scatter 64 bits. Products of int64 wrap around, on any device alike."""
    bits = (bits ^ _shift(bits, 30)).mul_(_signed(_FIRST))
    bits = (bits ^ _shift(bits, 27)).mul_(_signed(_SECOND))
    return bits ^ _shift(bits, 31)


def _shift(bits: Tensor, by: int) -> Tensor:
    """To the right, with zeros coming in: torch's own shift keeps the sign."""
    return (bits >> by).bitwise_and_((1 << (64 - by)) - 1)


def _signed(bits: int) -> int:
    """The int64 that has these 64 bits."""
    return bits - (1 << 64) if bits >> 63 else bits


def _key(seed: int, position: int) -> int:
    """Where the noise of a position begins: scattered, so that neighbouring seeds share nothing."""
    return _signed(_mix_int(_mix_int(seed & _MASK) + position + 1))


def _mix_int(bits: int) -> int:
    bits = (bits + _GOLDEN) & _MASK
    bits = ((bits ^ (bits >> 30)) * _FIRST) & _MASK
    bits = ((bits ^ (bits >> 27)) * _SECOND) & _MASK
    return bits ^ (bits >> 31)
