"""The conversations that all sides decode: how long they are, where they trap, what is injected."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

SHARES = (0.0, 0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Scene:
    """The size of everything, in tokens and decode steps.

    A conversation begins with a prompt, decodes up to its next trap, waits, gets a few tokens injected, goes
    on, and ends when it fills its context. It has as many traps as it takes for the given share of the living
    conversations to be trapped at any time.
    """

    slots: int = 16
    context: int = 256
    prompt: int = 128
    injected: int = 8
    """Tokens after each trap."""
    wait: int = 200
    """Decode steps that a trap lasts."""
    budget: int = 512
    """Positions that one forward computes at most."""
    steps: int = 80
    """Decode steps that one run measures."""
    block: int = 16
    """Positions of a block of the KV pool."""

    def traps(self, share: float) -> float:
        """How many traps a conversation has on average, so that this share of its life is waiting."""
        return share * (self.context - self.prompt) / ((1 - share) * self.wait + share * self.injected)

    def living(self, share: float) -> int:
        """How many conversations live at a time: those in the slots, and the trapped ones."""
        return round(self.slots / (1 - share))


@dataclass(slots=True)
class Life:
    """A conversation as far as it has come.

    `tokens` is all that it has said and been told when it begins, or goes on after a trap.
    """

    tokens: list[int]
    segments: list[int]
    """How many tokens it still samples: up to its next trap, between the traps, and up to its end."""

    @property
    def ends(self) -> bool:
        """Whether its end comes next, rather than a trap."""
        return len(self.segments) == 1


@dataclass(slots=True)
class Crowd:
    """Conversations without end, the same ones for every side."""

    scene: Scene
    share: float
    """Of the living conversations, how many are trapped."""
    vocabulary: int
    seed: int = 0
    _made: int = 0
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def new(self) -> Life:
        """A conversation that begins."""
        mean = self.scene.traps(self.share)
        traps = int((self._made + 1) * mean) - int(self._made * mean)
        self._made += 1
        return Life(self.text(self.scene.prompt), self._segments(traps))

    def running(self) -> list[Life]:
        """Conversations for all slots, each somewhere in the middle of its life."""
        return [self._running() for _ in range(self.scene.slots)]

    def trapped(self) -> list[tuple[Life, int]]:
        """Conversations that are trapped, somewhere in their life, and how many steps each still waits."""
        count = self.scene.living(self.share) - self.scene.slots
        return [(self._trapped(), self._random.randint(1, self.scene.wait)) for _ in range(count)]

    def text(self, length: int) -> list[int]:
        """Tokens at random."""
        return [self._random.randrange(self.vocabulary) for _ in range(length)]

    def resume(self, life: Life) -> None:
        """A trap is over; `life.tokens` must hold all that was said up to it."""
        life.tokens += self.text(self.scene.injected)

    def _running(self) -> Life:
        life = self.new()
        done = self._random.randrange(sum(life.segments))
        while done >= life.segments[0]:
            done -= life.segments[0]
            self._skip(life)
        life.tokens += self.text(done)
        life.segments[0] -= done
        return life

    def _trapped(self) -> Life:
        life = self.new()
        while life.ends:
            life = self.new()
        for _ in range(self._random.randrange(len(life.segments) - 1)):
            self._skip(life)
        life.tokens += self.text(life.segments.pop(0))
        return life

    def _skip(self, life: Life) -> None:
        life.tokens += self.text(life.segments.pop(0))
        self.resume(life)

    def _segments(self, traps: int) -> list[int]:
        sampled = self.scene.context - self.scene.prompt - traps * self.scene.injected
        cuts = sorted(self._random.sample(range(1, sampled), traps))
        return [stop - start for start, stop in pairwise((0, *cuts, sampled))]
