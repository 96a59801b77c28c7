"""The world of the property programs, and the APIs of BFCL, as objects for Ray actors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from asyncfc.adapters.ray import job
from asyncfc.signature import is_async
from asyncfc.testing.world import READERS, VARIANTS, WRITERS, Fail, World, world_tool
from benchmarks.bfcl.backend import api_class, instantiate, methods, reset_shared_state, shared_state
from benchmarks.bfcl.state import snapshot

UNIT_S = 0.002
"""What a second of a program takes here."""
NAMES = [
    f"{kind}_{variant}" if variant else kind
    for kind in (*READERS, *WRITERS)
    for variant in VARIANTS
]  # fmt: skip


class Island:
    """A world in an actor. Its tools are those of `asyncfc.testing.world`, at the speed of real time."""

    def __init__(self, *, keep_all: bool) -> None:
        self._world = World()
        if keep_all:  # also the smallest values then lie in the object store
            vars(job)["_is_small"] = lambda _: False

    async def reset(self) -> None:
        """Begin anew."""
        self._world = World()

    async def seen(self) -> list[Any]:
        """What is in the world, by path, and what has happened in it."""
        return [list(self._world.cells.items()), self._world.log]


def _method(name: str) -> Callable[..., Any]:
    function: Any = world_tool(name).function

    async def work(self: Island, n: int, *, delay: float = 0, fail: Fail = None, **arguments: Any) -> Any:
        self._world.enter()
        return await function(n=n, delay=delay * UNIT_S, fail=fail, **arguments)

    functools.update_wrapper(work, function.__func__)
    work.__name__ = f"do_{name}"
    return work


for _name in (*NAMES, "pick"):
    setattr(Island, f"do_{_name}", _method(_name))


class Api:
    """One of BFCL's API classes in an actor, to be loaded with the first state of a case."""

    def __init__(self, class_name: str) -> None:
        self._class_name = class_name
        self._instance: Any = None

    def load(self, config: dict[str, Any], long_context: bool) -> None:
        """Begin a case."""
        reset_shared_state()
        made = instantiate([self._class_name], config, long_context=long_context)
        self._instance = made[self._class_name]

    def state(self) -> dict[str, str]:
        """The whole state, in comparable form."""
        shared = {name: repr(value) for name, value in shared_state().items()}
        return snapshot({self._class_name: self._instance}) | shared


def _api_method(class_name: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def work(self: Api, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._instance, name)(*args, **kwargs)

    assert not is_async(work)
    return work


@functools.cache
def api(class_name: str) -> type[Api]:
    """The class of the actors for one of BFCL's API classes: with its tools as methods."""
    members = {
        name: _api_method(class_name, name, getattr(api_class(class_name), name))
        for name in methods(class_name)
    }
    return type(class_name, (Api,), members)
