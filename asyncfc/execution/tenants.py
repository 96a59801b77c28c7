"""Tenants: the sessions of one scheduler, and what each may have of what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from weakref import WeakKeyDictionary

from asyncfc.execution.limits import Limits
from asyncfc.execution.task import Tenant


class Tenants:
    """The sessions that are open, in the order in which they came.

    One that nobody has closed counts as long as somebody has it.

    Args:
        limits: how much may run at once.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: WeakKeyDictionary[Tenant, None] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._open)

    def take_in(
        self, emit: Callable[..., object] | None, id: str, *, weight: float = 1.0, ranked: bool = True
    ) -> Tenant:
        """A session begins.

        Args:
            emit: tells of what happens to its calls; None: nobody listens.
            id: its name.
            weight: of its share of the slots, against those of others.
            ranked: of its calls the one with the longest way to go comes first, else the oldest.
        """
        share = self._limits.share(weight, ranked=ranked and bool(self._limits))
        tenant = Tenant(emit, share, id)
        self._open[tenant] = None
        return tenant

    def dismiss(self, tenant: Tenant) -> None:
        """A session has closed. Nothing happens if it is not open."""
        self._open.pop(tenant, None)

    def __iter__(self) -> Iterator[Tenant]:
        return iter(self._open)
