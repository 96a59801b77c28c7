"""Sequence: one row of the engine. Its token list is the truth, its KV a cache of a prefix (DESIGN G1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from asyncfc.errors import EngineError

State: TypeAlias = Literal["waiting", "running", "trapped", "finished"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the tokens of one row are chosen. The same tokens and seed give the same next token in any batch.

    Args:
        temperature: 0 is greedy.
        top_k: only among this many of the likeliest; None: all.
        top_p: only among the likeliest that together have this probability.
        seed: of the noise, which depends on it and on the position alone.
        banned: tokens that are never sampled (DESIGN G5).

    Raises:
        EngineError: a number is out of range.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0
    seed: int = 0
    banned: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise EngineError(f"temperature is {self.temperature!r}; expected a number of at least 0")
        if self.top_k is not None and self.top_k < 1:
            raise EngineError(f"top_k is {self.top_k!r}; expected None or a whole number of at least 1")
        if not 0 < self.top_p <= 1:
            raise EngineError(f"top_p is {self.top_p!r}; expected a number above 0 and at most 1")


GREEDY = Sampling()


@dataclass(slots=True, eq=False)
class Sequence:
    """One row: what it has said and been told, and what of it the KV pool holds.

    - `tokens[:computed]` have KV, in `blocks`; what follows is to be computed. At least one token always
      is, because the next one is sampled from the logits of the last.
    - `epoch` counts the changes that make a step under way worthless for this row.
    - `saved`: the KV of so many tokens lies in host memory instead; then `computed` is 0.
    - `spent` counts the positions computed, `dropped` those whose KV was given up; `spent` is always
      `computed + saved + dropped`.
    """

    id: int
    tokens: list[int]
    sampling: Sampling = GREEDY
    state: State = "waiting"
    computed: int = 0
    blocks: list[int] = field(default_factory=list)
    saved: int = 0
    forced: list[tuple[int, int]] = field(default_factory=list)
    """Spans `[start, stop)` of tokens that nobody sampled: the prompt, and what was injected."""
    trapped_at: float = 0.0
    """Seconds on the engine's clock."""
    wait: float | None = None
    """Seconds that the trap is expected to last; None: unknown."""
    epoch: int = 0
    spent: int = 0
    dropped: int = 0

    def __post_init__(self) -> None:
        if not self.tokens:
            raise EngineError(f"sequence {self.id} has no tokens; a prompt needs at least one")
        self.forced.append((0, len(self.tokens)))

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def held(self) -> int:
        """How many tokens have KV, in the pool or in host memory."""
        return self.saved or self.computed

    @property
    def pending(self) -> int:
        """How many tokens are to be computed before the next one is sampled."""
        return len(self.tokens) - self.held

    def is_forced(self, position: int) -> bool:
        """Whether the token at a position was put there rather than sampled."""
        return any(start <= position < stop for start, stop in self.forced)

    def append_sampled(self, token: int) -> None:
        """The model has chosen its next token."""
        self.tokens.append(token)

    def append_forced(self, tokens: Iterable[int]) -> None:
        """Put tokens behind the last one, in the model's place."""
        start = len(self.tokens)
        self.tokens.extend(tokens)
        self._force(start, len(self.tokens))
        self.epoch += 1

    def replace(self, start: int, stop: int, tokens: Iterable[int]) -> None:
        """Put forced tokens in the place of `tokens[start:stop]`. What stands from there on is recomputed.

        Raises:
            EngineError: there is no such span, or nothing would be left.
        """
        new = list(tokens)
        self.check_span(start, stop, len(new))
        behind = [(a, b) for a, b in self.forced if b > stop]
        self.forced = [(a, min(b, start)) for a, b in self.forced if a < start]
        self.tokens[start:stop] = new
        self._force(start, start + len(new))
        shift = len(new) - (stop - start)
        for a, b in behind:
            self._force(max(a, stop) + shift, b + shift)
        self.forget(start)

    def check_span(self, start: int, stop: int, new: int) -> None:
        """Whether `tokens[start:stop]` can be replaced by `new` tokens.

        Raises:
            EngineError: there is no such span, or nothing would be left.
        """
        length = len(self.tokens)
        if not 0 <= start <= stop <= length:
            raise EngineError(f"sequence {self.id} has {length} tokens; there is no span [{start}, {stop})")
        if length - (stop - start) + new == 0:
            raise EngineError(f"nothing would be left of sequence {self.id}")

    def forget(self, length: int) -> None:
        """Only the KV of the first `length` tokens counts any more, and never that of the last token."""
        keep = max(0, min(self.held, length, len(self.tokens) - 1))
        self.dropped += self.held - keep
        if self.saved:
            self.saved = keep
        else:
            self.computed = keep
        self.epoch += 1

    def offload(self) -> None:
        """Its KV is in host memory from now on."""
        self.saved, self.computed = self.computed, 0
        self.epoch += 1

    def restore(self) -> None:
        """Its KV is in the pool again."""
        self.saved, self.computed = 0, self.saved

    def advance(self, stop: int) -> None:
        """The tokens up to `stop` have been computed."""
        self.spent += stop - self.computed
        self.computed = stop

    def waste(self, count: int) -> None:
        """Positions were computed that do not count, because the row has changed meanwhile."""
        self.spent += count
        self.dropped += count

    def _force(self, start: int, stop: int) -> None:
        if start == stop:
            return
        if self.forced and self.forced[-1][1] == start:
            self.forced[-1] = (self.forced[-1][0], stop)
        else:
            self.forced.append((start, stop))
