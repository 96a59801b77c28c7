"""Destinations: where the calls of a tool go on Ray."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError

from asyncfc.adapters.ray import losses
from asyncfc.adapters.ray.actors import Home
from asyncfc.adapters.ray.job import Done, Job, Recipe, Request
from asyncfc.adapters.ray.turns import Turns
from asyncfc.errors import CallError
from asyncfc.execution.processes import target_of
from asyncfc.tools import Tool


class Destination(ABC):
    """Where the calls of one tool go.

    - `stops`: a call can be stopped once it has begun, and leaves nothing half done then.
    - `tells`: a call has to tell when it begins, so that it is known whether it can still be taken back;
      `at_once`: it begins when it is sent.
    - `tries`: how often a call may run that is lost on its way.
    - `turns`: calls are sent when it is their turn; None: at once.
    """

    stops: bool
    tells: bool
    at_once = False
    tries: int
    turns: Turns | None = None

    @abstractmethod
    def send(self, request: Request, refs: list[Any]) -> tuple[Any, Any]:
        """Send a call; return the references of its report and of its value."""

    @abstractmethod
    def may_try_again(self, error: RayError) -> bool:
        """Whether another try may go better."""

    @abstractmethod
    def failure(self, request: Request, error: RayError) -> CallError:
        """What a lost call fails with."""

    @abstractmethod
    def stop(self, request: Request, report: Any) -> None:
        """Stop a call that was sent, or take it back if it has not begun."""


class AsTask(Destination):
    """A tool as a Ray task: any worker can run it."""

    def __init__(self, tool: Tool, options: Mapping[str, Any], retries: int) -> None:
        spec = tool.spec
        self._name = tool.name
        self.stops = spec.declared and spec.level == "read"
        self.tells = not self.stops
        # What depends on nothing but its arguments Ray may also run again to replace a value that was lost
        # with its machine. All else would give another value than the one that was seen.
        pure = spec.declared and not spec.reads and not spec.writes
        self.tries = 1 if pure else _tries(tool, retries)
        self._function = _remote(tool).options(
            **{"name": tool.name, **options}, num_returns=2, max_retries=retries if pure else 0
        )

    def send(self, request: Request, refs: list[Any]) -> tuple[Any, Any]:
        """See `Destination`."""
        report, value = self._function.remote(request, *refs)
        return report, value

    def stop(self, _request: Request, report: Any) -> None:
        """See `Destination`. Without force only what has not begun: a worker is deaf to it while it works."""
        # What a call has rung is a task of its own to Ray, and is to be heard, so not that of a write.
        ray.cancel(report, force=self.stops, recursive=self.stops)

    def may_try_again(self, error: RayError) -> bool:
        """See `Destination`."""
        return losses.may_try_again(error, restarts=False)

    def failure(self, _request: Request, error: RayError) -> CallError:
        """See `Destination`."""
        return losses.of_task(self._name, error)


class AsMethod(Destination):
    """A tool that is a method of the object in an actor.

    Ray is never asked to cancel a call of an actor: a synchronous one would run all the same and be
    reported as cancelled, and one that is still on its way would hold up all that come after it.
    """

    tells = False

    def __init__(self, tool: Tool, home: Home, retries: int) -> None:
        self._name = tool.name
        self._recipe = Recipe(tool.function.__name__, tool.making)
        self._home = home
        # A synchronous method of an asynchronous object has the loop for itself: nothing reaches it there.
        self.stops = home.asynchronous and (tool.is_async or inspect.isgeneratorfunction(tool.function))
        self.at_once = not self.stops
        self.turns = home.turns
        self.tries = _tries(tool, retries)

    def send(self, request: Request, refs: list[Any]) -> tuple[Any, Any]:
        """See `Destination`."""
        self._home.sent = request.number
        run = self._home.handle.run.options(num_returns=2, name=self._name)
        report, value = run.remote(self._recipe, request, *refs)
        return report, value

    def may_try_again(self, error: RayError) -> bool:
        """See `Destination`."""
        return losses.may_try_again(error, restarts=self._home.restarts)

    def failure(self, request: Request, error: RayError) -> CallError:
        """See `Destination`."""
        if not isinstance(error, RayActorError):
            return losses.of_task(self._name, error)
        home = self._home
        may_come_back = home.restarts or isinstance(error, ActorUnavailableError)
        if home.lost is None and not may_come_back:
            home.lost = home.sent
        gone = home.lost is not None and request.number > home.lost
        if gone and home.ended:
            return losses.of_ended_actor(self._name, home.kind.__name__)
        return losses.of_actor(self._name, home.kind.__name__, error, gone=gone)

    def stop(self, request: Request, _report: Any) -> None:
        """See `Destination`."""
        self._home.handle.stop.remote(request.number)


def _tries(tool: Tool, retries: int) -> int:
    """How often a call may run: more than once only if the tool says so (DESIGN F3)."""
    reads = tool.spec.declared and tool.spec.level == "read"
    return 1 + retries if reads or tool.idempotent else 1


def _remote(tool: Tool) -> Any:
    """The remote function of a tool. Ray sends it to a worker once."""
    recipe = Recipe(target_of(tool, has_main=False) or tool.function, tool.making)
    made: list[Tool] = []

    def make() -> Tool:
        if not made:
            made.append(recipe.make())
        return made[0]

    def run(request: Request, *data: Any) -> Done:
        return Job(recipe.making["name"], make, request, data).run()

    return ray.remote(run)
