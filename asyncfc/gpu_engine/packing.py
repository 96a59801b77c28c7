"""Packing: the rows of a step as one flat batch, and in groups that attention can take at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor

# Padding that is not worth a group of its own, in key positions; from there on, a share of what counts.
_SLACK = 1024
_SHARE = 0.25
# What one group may have at most, which bounds the memory of its mask and of its gathered keys.
_PAIRS = 1 << 24
_KEYS = 1 << 17


@dataclass(frozen=True, slots=True)
class Part:
    """What a step computes of one row: these tokens, from position `start` on."""

    start: int
    tokens: list[int]
    blocks: list[int]
    """Of the KV pool, enough for all positions up to the last of these."""
    samples: bool

    @property
    def count(self) -> int:
        """How many positions are computed."""
        return len(self.tokens)

    @property
    def stop(self) -> int:
        """The position behind the last one."""
        return self.start + len(self.tokens)


@dataclass(slots=True)
class View:
    """The keys that a group of rows sees, seen through one window.

    `tables` (`[rows, blocks per row]`) says where they are; None: they are the group's own new ones, as all
    of its rows start at 0. `bases` (`[rows]`) is the position of the first one, `length` how many there are.
    """

    tables: Tensor | None
    bases: Tensor
    length: int
    window: int | None
    starts: Tensor
    stops: Tensor
    queries: int
    _biases: dict[tuple[torch.dtype, int], Tensor] = field(default_factory=dict)

    @property
    def causal(self) -> bool:
        """Whether query i sees keys 0 to i and nothing else."""
        return self.tables is None and self.window is None

    def bias(self, dtype: torch.dtype, repeats: int) -> Tensor:
        """What is added to the scores, `[rows, 1, repeats * queries, length]`: 0, or the least number.

        Not infinity: a block of keys of which a query sees none must not give NaN on the way.
        """
        if (dtype, repeats) not in self._biases:
            bias = torch.zeros(self.hidden.shape, dtype=dtype, device=self.hidden.device)
            bias.masked_fill_(self.hidden, torch.finfo(dtype).min)
            self._biases[dtype, repeats] = bias.repeat(1, 1, repeats, 1)
        return self._biases[dtype, repeats]

    @property
    def hidden(self) -> Tensor:
        """Which keys a query does not see, `[rows, 1, queries, length]`."""
        device = self.starts.device
        # A padded query looks at what the last real one sees; nobody reads what it finds.
        at = self.starts[:, None] + torch.arange(self.queries, device=device)
        at = torch.minimum(at, self.stops[:, None] - 1)[:, None, :, None]
        keys = (self.bases[:, None] + torch.arange(self.length, device=device))[:, None, None, :]
        hidden = keys > at
        return hidden if self.window is None else hidden | (keys <= at - self.window)


@dataclass(frozen=True, slots=True)
class Group:
    """Rows with about as many new positions, and about as many keys.

    `first` and `count` are its part of the batch. If its rows differ in length, `spread`
    (`[rows * queries]`) says which position a padded query is, and `keep` (`[count]`) the reverse.
    """

    first: int
    count: int
    rows: int
    queries: int
    spread: Tensor | None
    keep: Tensor | None
    views: dict[int | None, View]
    """By the window of a layer."""


@dataclass(frozen=True, slots=True)
class Batch:
    """All positions that one forward computes, row after row, group after group.

    `tokens` and `positions` are `[1, positions]`, `slots` (`[positions]`) where in the KV pool each belongs,
    `last` the positions whose logits count, in the order of the parts that sample.
    """

    tokens: Tensor
    positions: Tensor
    slots: Tensor
    last: Tensor
    groups: tuple[Group, ...]


def pack(
    parts: Sequence[Part], *, block_size: int, windows: Iterable[int | None], device: torch.device
) -> Batch:
    """Lay out the parts of a step; one copy takes all of the numbers to the device.

    Args:
        parts: at least one.
        block_size: positions of a block of the KV pool.
        windows: of the model's layers.
        device: of the model.
    """
    groups = _group(parts)
    order = [index for group in groups for index in group]
    ends = dict(zip(order, accumulate(parts[index].count for index in order), strict=True))
    flat = [parts[index] for index in order]
    numbers = _Numbers()
    tokens = numbers.add([token for part in flat for token in part.tokens])
    positions = numbers.add([p for part in flat for p in range(part.start, part.stop)])
    slots = numbers.add([slot for part in flat for slot in _slots(part, block_size)])
    last = numbers.add([ends[index] - 1 for index, part in enumerate(parts) if part.samples])
    drafts = []
    first = 0
    for group in groups:
        members = [parts[index] for index in group]
        drafts.append(_draft(members, first, block_size, windows, numbers))
        first += sum(part.count for part in members)
    numbers.upload(device)
    return Batch(tokens()[None], positions()[None], slots(), last(), tuple(draft() for draft in drafts))


def _slots(part: Part, block_size: int) -> list[int]:
    return [part.blocks[p // block_size] * block_size + p % block_size for p in range(part.start, part.stop)]


# --- groups ------------------------------------------------------------------------------------------------


def _group(parts: Sequence[Part]) -> list[list[int]]:
    """Which parts attention takes together: as few groups as possible, without too much padding."""
    alike: dict[tuple[bool, int], list[int]] = {}
    for index, part in enumerate(parts):
        alike.setdefault((part.start == 0, (part.count - 1).bit_length()), []).append(index)
    groups: list[list[int]] = []
    for indices in alike.values():
        indices.sort(key=lambda index: -parts[index].stop)
        groups += _cut(parts, indices)
    return groups


def _cut(parts: Sequence[Part], indices: list[int]) -> list[list[int]]:
    """Cut rows that are sorted by length, longest first, where padding them would cost too much."""
    groups: list[list[int]] = []
    keys = queries = 0
    for index in indices:
        part = parts[index]
        if groups:
            group = groups[-1]
            length, rows = parts[group[0]].stop, len(group) + 1
            queries = max(queries, part.count)
            padding = length * rows - keys - part.stop
            fits = length * rows <= _KEYS and length * rows * queries <= _PAIRS
            if fits and padding <= max(_SLACK, _SHARE * keys):
                group.append(index)
                keys += part.stop
                continue
        groups.append([index])
        keys, queries = part.stop, part.count
    return groups


def _draft(
    parts: list[Part], first: int, block_size: int, windows: Iterable[int | None], numbers: _Numbers
) -> Callable[[], Group]:
    """Note the numbers of a group; what is returned makes it once they are on the device."""
    counts = [part.count for part in parts]
    rows, queries, count = len(parts), max(counts), sum(counts)
    starts = numbers.add([part.start for part in parts])
    stops = numbers.add([part.stop for part in parts])
    longest = max(part.stop for part in parts)
    # A window that holds the longest row hides nothing.
    seen_through = {window: window if window and window < longest else None for window in windows}
    tables = {window: _table(parts, window, block_size, numbers) for window in set(seen_through.values())}
    spread = keep = None
    if count < rows * queries:
        offsets = [first + end - n for end, n in zip(accumulate(counts), counts, strict=True)]
        spread = numbers.add(
            [o + min(i, n - 1) for o, n in zip(offsets, counts, strict=True) for i in range(queries)]
        )
        keep = numbers.add([row * queries + i for row, n in enumerate(counts) for i in range(n)])

    def make() -> Group:
        views = {}
        for window, (table, bases, length) in tables.items():
            at = table() if table else None
            views[window] = View(
                tables=None if at is None else at.view(rows, -1),
                bases=bases(),
                length=length,
                window=window,
                starts=starts(),
                stops=stops(),
                queries=queries,
            )
        return Group(
            first=first,
            count=count,
            rows=rows,
            queries=queries,
            spread=spread() if spread else None,
            keep=keep() if keep else None,
            views={window: views[effective] for window, effective in seen_through.items()},
        )

    return make


def _table(
    parts: list[Part], window: int | None, block_size: int, numbers: _Numbers
) -> tuple[Callable[[], Tensor] | None, Callable[[], Tensor], int]:
    """The blocks that a group sees through a window, the position of the first of them, how many keys."""
    if all(part.start == 0 for part in parts):
        return None, numbers.add([0] * len(parts)), max(part.count for part in parts)
    firsts = [max(0, part.start - window + 1) // block_size if window else 0 for part in parts]
    seen = [
        part.blocks[first : -(-part.stop // block_size)] for part, first in zip(parts, firsts, strict=True)
    ]
    width = max(map(len, seen))
    # Padding repeats a block of the row itself; the mask hides it.
    table = [block for blocks in seen for block in (*blocks, *blocks[-1:] * (width - len(blocks)))]
    return numbers.add(table), numbers.add([first * block_size for first in firsts]), width * block_size


class _Numbers:
    """Lists of whole numbers that go to the device together."""

    def __init__(self) -> None:
        self._values: list[int] = []
        self._sizes: list[int] = []
        self._parts: tuple[Tensor, ...] = ()

    def add(self, values: list[int]) -> Callable[[], Tensor]:
        """Note a list; what is returned gives its tensor once all are on the device."""
        index = len(self._sizes)
        self._values += values
        self._sizes.append(len(values))
        return lambda: self._parts[index]

    def upload(self, device: torch.device) -> None:
        pinned = device.type == "cuda"
        values = torch.tensor(self._values, dtype=torch.int64, pin_memory=pinned)
        self._parts = torch.split(values.to(device, non_blocking=True), self._sizes)
