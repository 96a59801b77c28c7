"""BlockPool: which blocks of the KV pool are free. It knows numbers only, no tensors."""

from __future__ import annotations

from asyncfc.errors import EngineError
from asyncfc.gpu_engine.sequence import Sequence


class BlockPool:
    """Hands out blocks of `size` positions each; a block belongs to one row or to none.

    Raises:
        EngineError: there would be no block.
    """

    def __init__(self, count: int, size: int) -> None:
        if count < 1 or size < 1:
            raise EngineError(f"a pool of {count} blocks of {size} positions: expected at least 1 of each")
        self.count = count
        self.size = size
        self._free = list(range(count - 1, -1, -1))

    @property
    def free(self) -> int:
        """How many blocks belong to no row."""
        return len(self._free)

    @property
    def capacity(self) -> int:
        """The longest row that the pool can hold alone, in tokens."""
        return self.count * self.size

    def needed(self, length: int) -> int:
        """How many blocks hold `length` tokens."""
        return -(-length // self.size)

    def reserve(self, row: Sequence, length: int) -> bool:
        """Give a row the blocks for its first `length` tokens; False, and none, if there are too few."""
        missing = max(0, self.needed(length) - len(row.blocks))
        if missing > len(self._free):
            return False
        row.blocks.extend(self._free.pop() for _ in range(missing))
        return True

    def trim(self, row: Sequence) -> None:
        """Take back what a row does not need for the tokens that it has computed."""
        keep = self.needed(row.computed)
        while len(row.blocks) > keep:
            self._free.append(row.blocks.pop())
