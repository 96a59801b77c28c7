"""RayExecutor: which tools run on Ray, and how their calls get there."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import ray

from asyncfc.adapters.ray.actors import Home, RayActor, home_of
from asyncfc.adapters.ray.bell import Ears
from asyncfc.adapters.ray.connection import connection
from asyncfc.adapters.ray.destinations import AsMethod, AsTask, Destination
from asyncfc.adapters.ray.fetching import FetchingRunning
from asyncfc.adapters.ray.running import RayRunning
from asyncfc.errors import DeclarationError
from asyncfc.execution.executors import LocalExecutor
from asyncfc.execution.processes import target_of
from asyncfc.execution.work import Executor, Running, Work
from asyncfc.futures.store import MemoryStore
from asyncfc.tools import Tool

_log = logging.getLogger("asyncfc")

CLOSE_S = 1.0
"""Seconds for which `close` tries to end calls."""
OURS = frozenset(("max_retries", "num_returns", "retry_exceptions", "max_task_retries"))
"""Options of Ray that follow from what a tool declares."""


class RayExecutor:
    """Runs tools on Ray: stateless ones as tasks, methods of a `RayActor` in that actor, others here.

    A tool becomes a task if it has options here, or else if it is synchronous, has declared effects (or none:
    `pure`), does not say `thread=`, and is a function without state of its own. Everything else runs in
    the fallback: async tools, undeclared ones, methods of objects of this program, closures.

    - Results are projected by the worker. What is small comes back; a larger value stays in Ray's object
      store, and goes from there to the calls that refer to it. It lives as long as the session keeps it.
    - A call that only reads can be stopped: its worker is ended. Any other task, and a synchronous method,
      only until it has begun; an asynchronous method of an actor gets a `CancelledError`.
    - The death of a worker or a machine is the failure (`WorkerLost`) of the calls that it ran. Calls of
      tools that only read, or are `idempotent`, are sent again (DESIGN F3). An actor that died stays dead,
      unless its options say `max_restarts`: its state is gone, and nothing may go on as if it were not.
    - Arguments and results cross as copies; module state and context variables do not cross.

    Args:
        options: of `ray.remote`, by tool name or pattern: `{"train": {"num_gpus": 1}, "render_*": {...}}`.
        retries: how often a lost call is sent again if that is allowed; tools that declare `retries` are
            tried again by their session instead.
        fallback: runs what does not go to Ray; default: a `LocalExecutor`. Closed with this one.

    Raises:
        DeclarationError: Ray is not running yet, or an option is none of Ray's, or not for you to set.
    """

    fills_in = True

    def __init__(
        self,
        *,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        retries: int = 3,
        fallback: Executor | None = None,
    ) -> None:
        self._connection = connection()
        if self._connection is None:
            raise DeclarationError("Ray is not running in this program; call ray.init() first")
        if type(retries) is not int or retries < 0:
            raise DeclarationError(f"retries must be a whole number of at least 0, not {retries!r}")
        self._options = {name: _checked(name, given) for name, given in (options or {}).items()}
        self._retries = retries
        self._fallback = fallback or LocalExecutor(MemoryStore())
        self._destinations: WeakKeyDictionary[Tool, Destination | None] = WeakKeyDictionary()
        self._homes: list[Home] = []
        self._running: WeakSet[RayRunning] = WeakSet()
        self._ears = Ears()

    def actor(
        self,
        kind: type[Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> RayActor:
        """Make an object of a class in an actor of its own; its methods can be used as tools.

        It begins at once, and ends with `close`. Calls run one after the other, unless the class has
        asynchronous methods, or `max_concurrency` says that it may be used by several threads at a time.

        Args:
            kind: the class.
            args: of its constructor, which runs in the actor.
            kwargs: further ones.
            options: of Ray: `num_gpus=1`, ...

        Raises:
            DeclarationError: `kind` is no class, it or an argument cannot be pickled, or an option is none of
                Ray's, or not for you to set.
        """
        if not isinstance(kind, type):
            raise DeclarationError(
                f"actor() makes the object itself: pass its class, and what that takes as args and kwargs; "
                f"not {kind!r:.100}"
            )
        _refuse_ours(kind.__name__, options)
        self._check_connected()
        home = Home(kind, args, kwargs or {}, options)
        self._homes.append(home)
        return RayActor(home)

    def start(self, work: Work) -> Running:
        """Start the work where its tool belongs.

        Raises:
            DeclarationError: it has to do with Ray, which was shut down.
        """
        to = self._destination(work.tool)
        if to is None and not work.sites:
            return self._fallback.start(work)
        self._check_connected()
        if to is None:
            return FetchingRunning(self._fallback, work)
        running = RayRunning(to, work, self._ears if _must_tell(work, to) else None, self._connection)
        self._running.add(running)
        return running

    def close(self) -> None:
        """End what still runs on Ray, and the actors. Work that comes later goes to new workers.

        Blocks until that is done, at most for about a second.
        """
        running = [running for running in self._running if not running.outcome.done()]
        if connection() == self._connection:
            for home in self._homes:
                home.end()
            _end(running)
            self._ears.close()
        else:
            for each in running:
                each.end()
        for each in running:
            each.give_up()
        self._homes.clear()
        self._fallback.close()

    def _check_connected(self) -> None:
        if connection() != self._connection:
            raise DeclarationError(
                "Ray was shut down since this RayExecutor was made; make another one, and its actors, after "
                "ray.init()"
            )

    def _destination(self, tool: Tool) -> Destination | None:
        """Where the calls of a tool go; None: they stay here. Looked up once."""
        if tool not in self._destinations:
            self._destinations[tool] = self._find(tool)
        return self._destinations[tool]

    def _find(self, tool: Tool) -> Destination | None:
        home = home_of(tool)
        retries = 0 if tool.retries else self._retries  # the session tries again: not both
        if home is not None:
            return AsMethod(tool, home, retries)
        options = self._options_of(tool.name)
        if options is not None or (_may_leave(tool) and _is_stateless(tool)):
            return AsTask(tool, options or {}, retries)
        if _may_leave(tool):
            _log.warning(
                "%r runs in the fallback executor: it has state of its own, of which Ray's workers would get "
                "copies; make an actor of that state, or declare thread='pool' to say that this is meant",
                tool,
            )
        return None

    def _options_of(self, name: str) -> Mapping[str, Any] | None:
        if name in self._options:
            return self._options[name]
        return next((given for pattern, given in self._options.items() if fnmatchcase(name, pattern)), None)


def _end(running: Sequence[RayRunning]) -> None:
    """Stop calls, whatever that leaves half done. Ray passes over a request that comes soon after another."""
    deadline = time.monotonic() + CLOSE_S  # workers know nothing of the time of a loop
    while running and time.monotonic() < deadline:
        for each in running:
            each.end()
        running = [each for each in running if each.report is not None]
        if not running:
            return
        ended, _ = ray.wait([each.report for each in running], num_returns=len(running), timeout=0.1)
        running = [each for each in running if each.report not in ended]


def _must_tell(work: Work, to: Destination) -> bool:
    """Whether somebody has to know when the work begins, or what it yields."""
    function = work.tool.function
    yields = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    return work.begun is not None or to.tells or (yields and work.progress is not None)


def _may_leave(tool: Tool) -> bool:
    """Whether the tool may run elsewhere as far as its declaration says."""
    return not tool.is_async and tool.thread is None and tool.spec.declared


def _is_stateless(tool: Tool) -> bool:
    """Whether its function is found by name, or is one of the main module or a notebook, without closure."""
    function = tool.function
    if target_of(tool) is not None:
        return True
    return inspect.isfunction(function) and not function.__closure__


def _checked(name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    _refuse_ours(name, options)
    try:
        ray.remote(_nothing).options(**options)
    except (TypeError, ValueError) as error:
        raise DeclarationError(f"options of {name!r}: {error}") from error
    return dict(options)


def _nothing() -> None:
    """Stands for a function."""


def _refuse_ours(name: str, options: Collection[str]) -> None:
    ours = sorted(OURS & set(options))
    if ours:
        raise DeclarationError(
            f"options of {name!r}: {', '.join(ours)} cannot be set: that follows from what the tools declare"
        )
