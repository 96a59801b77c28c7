"""KvPool: the tensors of the KV pool, and what lies in host memory while its row waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from asyncfc.errors import EngineError


@dataclass(frozen=True, slots=True)
class Layer:
    """What one attention layer keeps for each position, and how far back it looks."""

    heads: int
    key_dim: int
    value_dim: int
    window: int | None = None
    """Keys that a query sees, its own included; None: all before it."""

    @property
    def width(self) -> int:
        """Numbers kept for one position."""
        return self.heads * (self.key_dim + self.value_dim)


_Host: TypeAlias = tuple[tuple[Tensor, Tensor], ...]


class KvPool:
    """Keys and values by layer, `[heads, blocks, block_size * dim]`.

    Heads are outermost because attention reads the keys of one head after the other: on a CPU it is nearly
    twice as fast where they are neighbours.

    Raises:
        EngineError: the device has too little memory.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        blocks: int,
        block_size: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.layers = tuple(layers)
        self.blocks = blocks
        self.block_size = block_size
        self._pinned = device.type == "cuda"
        self._saved: dict[int, _Host] = {}
        self._scratch = [torch.empty(0, dtype=dtype, device=device) for _ in range(2)]

        def tensor(heads: int, dim: int) -> Tensor:
            # Zeros: what was never written is masked, but 0 times NaN would still be NaN.
            return torch.zeros(heads, blocks, block_size * dim, dtype=dtype, device=device)

        try:
            self._keys = [tensor(layer.heads, layer.key_dim) for layer in self.layers]
            self._values = [tensor(layer.heads, layer.value_dim) for layer in self.layers]
        except RuntimeError as error:
            size = sum(layer.width for layer in self.layers) * blocks * block_size * dtype.itemsize
            raise EngineError(
                f"no room on {device} for a KV pool of {blocks} blocks ({size / 1e9:.2f} GB); ask for fewer"
            ) from error

    def write(self, layer: int, slots: Tensor, keys: Tensor, values: Tensor) -> None:
        """Keep `[heads, positions, dim]` in the slots of the positions (block, times size, plus offset)."""
        for pool, new in ((self._keys[layer], keys), (self._values[layer], values)):
            pool.view(pool.shape[0], -1, new.shape[-1]).index_copy_(1, slots, new)

    def gather(self, layer: int, tables: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values `[rows, heads, length, dim]` of the blocks in `tables` (`[rows, blocks per row]`).

        They are good until the next call.
        """
        flat = tables.flatten()
        found = []
        for index, pool in enumerate((self._keys[layer], self._values[layer])):
            heads, _, width = pool.shape
            out = self._take_scratch(index, heads * len(flat) * width).view(heads, len(flat), width)
            torch.index_select(pool, 1, flat, out=out)
            found.append(out.view(heads, len(tables), -1, width // self.block_size).transpose(0, 1))
        return found[0], found[1]

    def _take_scratch(self, index: int, size: int) -> Tensor:
        """Memory that is used again: fresh pages would cost as much as what is copied into them."""
        if self._scratch[index].numel() < size:
            self._scratch[index] = self._scratch[index].new_empty(size)
        return self._scratch[index][:size]

    def clear(self, blocks: Sequence[int]) -> None:
        """Zero blocks whose numbers are not finite: their next owner would multiply them by 0 in vain."""
        for pool in (*self._keys, *self._values):
            pool[:, list(blocks)] = 0

    # --- host memory ------------------------------------------------------------------------------

    @property
    def saved(self) -> frozenset[int]:
        """The ids of the rows with KV in host memory."""
        return frozenset(self._saved)

    def save(self, row: int, blocks: Sequence[int]) -> None:
        """Copy blocks of a row into host memory, in place of an older copy; pinned if the pool is on a GPU.

        Later work on the same stream waits for the copy, so that the blocks may be used again at once.
        """
        index = torch.tensor(blocks, device=self._keys[0].device)
        self._saved[row] = tuple(
            (self._to_host(keys, index), self._to_host(values, index))
            for keys, values in zip(self._keys, self._values, strict=True)
        )

    def load(self, row: int, blocks: Sequence[int]) -> None:
        """Bring back what was saved of a row, into these blocks: its first ones, if they are fewer.

        Raises:
            EngineError: less than that was saved.
        """
        saved = self._saved.get(row, ())
        held = saved[0][0].shape[1] if saved else 0
        if held < len(blocks):
            raise EngineError(
                f"sequence {row} has {held} blocks of KV in host memory; {len(blocks)} were asked for"
            )
        index = torch.tensor(blocks, device=self._keys[0].device)
        for pools, kept in zip(zip(self._keys, self._values, strict=True), saved, strict=True):
            for pool, host in zip(pools, kept, strict=True):
                # Only what a pinned copy holds can be sent on without waiting, hence the slice comes after.
                pool.index_copy_(1, index, host.to(pool.device, non_blocking=True)[:, : len(blocks)])

    def forget(self, row: int) -> None:
        """Give up what host memory holds of a row, if anything."""
        self._saved.pop(row, None)

    def _to_host(self, pool: Tensor, index: Tensor) -> Tensor:
        part = pool.index_select(1, index)
        if not self._pinned:
            return part
        host = torch.empty(part.shape, dtype=part.dtype, pin_memory=True)
        return host.copy_(part, non_blocking=True)
