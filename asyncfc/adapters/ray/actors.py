"""Actors: state that lives on Ray, and tools that are its methods."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import ray

from asyncfc.adapters.ray.job import Done, Job, Recipe, Report, Request, pickled, why_not_pickled
from asyncfc.adapters.ray.turns import Turns
from asyncfc.errors import DeclarationError
from asyncfc.signature import is_async
from asyncfc.tools import Tool

AT_A_TIME = 1000
"""Calls that share the event loop of an actor, if nothing else is said. As in Ray."""


class Home:
    """The actor itself, as the executor sees it.

    - `handle`: Ray's. `kind`: the class of the object in it; `asynchronous`: some method of that is.
    - `restarts`: Ray may make the object anew when it was lost.
    - `sent`: the number of the newest call; `lost`: of the one that was the newest when it became known
      that the actor had died. Those after that have not run.
    - `ended`: it was ended from here.
    - `turns`: of the calls.
    """

    def __init__(
        self, kind: type[Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> None:
        self.kind = kind
        self.asynchronous = any(_is_async(member) for _, member in inspect.getmembers(kind))
        self.restarts = bool(options.get("max_restarts"))
        self.sent = -1
        self.lost: int | None = None
        self.ended = False
        size = options.get("max_concurrency") or (AT_A_TIME if self.asynchronous else 1)
        host: Any = ray.remote(_AsyncHost if self.asynchronous else _Host)
        try:
            if self.asynchronous:  # the request to stop a call must not wait for a call to end
                options = {**options, "max_concurrency": size + 1}
            self.handle = host.options(**options).remote(kind, tuple(args), dict(kwargs))
        except (TypeError, ValueError) as error:
            raise DeclarationError(f"the actor of {kind.__name__}{_reason(kind, error)}") from error
        self.turns = Turns(size, self.handle.__ray_ready__.remote())

    def end(self) -> None:
        """End the actor."""
        self.lost, self.ended = self.sent, True
        ray.kill(self.handle)


class RayActor:
    """An object of a class of yours in a Ray actor. Its methods are tools: `Session([shop.sell, ...])`.

    Made by `RayExecutor.actor`. A method that was declared with `@tool` keeps what it declares.
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    def __getattr__(self, name: str) -> Any:
        """The method of this name, bound to the actor."""
        if name.startswith("_"):
            raise AttributeError(name)  # also where the object is not made yet, as in copying
        kind = self._home.kind
        found = inspect.getattr_static(kind, name, None)
        if isinstance(found, Tool) or inspect.isfunction(found):
            return found.__get__(self, kind)
        raise AttributeError(
            f"{name!r} cannot be had here: the object of {kind.__name__} lives in a Ray actor, and only its "
            "methods can be used, as tools"
        )

    def __repr__(self) -> str:
        return f"<RayActor of {self._home.kind.__name__}>"


def home_of(tool: Tool) -> Home | None:
    """The actor that a tool is a method of, if it is one."""
    owner = getattr(tool.function, "__self__", None)
    return owner._home if isinstance(owner, RayActor) else None  # noqa: SLF001  # its public names are tools


class _Host:
    """In the actor: the object, and the tools made of its methods."""

    def __init__(self, kind: type[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._state = kind(*args, **kwargs)
        self._tools: dict[tuple[Any, str], Tool] = {}

    def run(self, recipe: Recipe, request: Request, *data: Any) -> Done:
        """Run a call to its end."""
        return self._job(recipe, request, data).run()

    def _job(self, recipe: Recipe, request: Request, data: tuple[Any, ...]) -> Job:
        return Job(recipe.making["name"], partial(self._tool, recipe), request, data)

    def _tool(self, recipe: Recipe) -> Tool:
        key = (recipe.function, recipe.making["name"])
        if key not in self._tools:
            self._tools[key] = recipe.make(self._state)
        return self._tools[key]


class _AsyncHost(_Host):
    """The same where some method is asynchronous: calls then share the loop of the actor."""

    def __init__(self, kind: type[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__(kind, args, kwargs)
        self._running: dict[int, asyncio.Task[Any]] = {}
        self._stopped: set[int] = set()

    async def run(self, recipe: Recipe, request: Request, *data: Any) -> Done:  # type: ignore[override]
        """Run a call to its end."""
        number = request.number
        if number in self._stopped:
            self._stopped.discard(number)
            return Report(stopped="before it began"), None
        task = asyncio.current_task()
        assert task is not None
        self._running[number] = task
        try:
            return await self._job(recipe, request, data).run_async()
        except asyncio.CancelledError:
            return Report(stopped="while it ran"), None
        finally:
            del self._running[number]

    async def stop(self, number: int) -> None:
        """Cancel a call, which may be on its way still."""
        if number in self._running:
            self._running[number].cancel()
        else:
            self._stopped.add(number)


def _reason(kind: type[Any], error: Exception) -> str:
    """Why an actor cannot be made."""
    if "Could not serialize" not in str(error):
        return f": {error}"
    if pickled(kind) is not None:
        return f" cannot be made: an argument of its constructor cannot be pickled ({why_not_pickled(error)})"
    members = (m.function if isinstance(m, Tool) else m for _, m in inspect.getmembers(kind))
    return f" cannot be made: its class refers to what cannot be pickled ({why_not_pickled(error, *members)})"


def _is_async(member: Any) -> bool:
    function = member.function if isinstance(member, Tool) else member
    return inspect.isfunction(function) and is_async(function)
