"""Processes: synchronous tools that keep a processor busy, in worker processes."""

from __future__ import annotations

import copy
import inspect
import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

from asyncfc.errors import DeclarationError
from asyncfc.execution.executors import LocalExecutor
from asyncfc.execution.jobs import JobRunning
from asyncfc.execution.serving import Target
from asyncfc.execution.threads import ThreadPool
from asyncfc.execution.work import Executor, Result, Running, Work
from asyncfc.execution.worker import Begun
from asyncfc.execution.worker_pool import WorkerPool
from asyncfc.futures.outcome import Failure
from asyncfc.futures.store import MemoryStore, Store
from asyncfc.tools import Tool

_log = logging.getLogger("asyncfc")


class ProcessExecutor:
    """Synchronous tools with declared effects in worker processes, everything else in the fallback.

    A tool goes to a worker process if it is synchronous, has declared effects (or none: `pure`), does not
    say `thread=`, is no generator function, and is a function that can be imported by name. One that has
    state of its own (a bound method, a closure, a `partial`, an object) would get a copy of it with each
    call, so it runs in the fallback, and a warning says so once.

    - Arguments and results cross as copies, module-level state does not cross at all: what a tool keeps
      must lie outside of all processes (files, a database). Context variables do not cross either.
      Parameters that validate themselves do so here, before the call goes out.
    - A tool's exception comes back as itself, with the worker's traceback as a note; as a `ToolFailed`
      if it cannot be pickled. What cannot cross is a `NotTransferable`.
    - The death of a process is the failure (`WorkerLost`) of the call that it ran, and of no other. That
      call is not tried again (DESIGN F3); the next one gets a new process.
    - A call that runs cannot be cancelled: nobody knows what it would leave half done. After its timeout
      (which counts from when a process takes it) it goes on and keeps its claims; see `abandon_after`.
    - A worker imports the main module, as every process does that is not forked: what a program does
      belongs under `if __name__ == "__main__":`.

    Args:
        store: keeps the results; default: this process.
        max_workers: processes at most; default: one per processor. They start when they are needed.
        fallback: runs what does not go to a process; default: a `LocalExecutor`. Closed with this one.

    Raises:
        DeclarationError: `max_workers` is no whole number of at least 1.
    """

    def __init__(
        self, store: Store | None = None, *, max_workers: int | None = None, fallback: Executor | None = None
    ) -> None:
        self._size = _checked(max_workers)
        self._store = store or MemoryStore()
        self._fallback = fallback or LocalExecutor(self._store)
        self._targets: dict[Tool, Target | None] = {}
        self._pool: WorkerPool | None = None

    def start(self, work: Work) -> Running:
        """Start the work where its tool belongs.

        Raises:
            DeclarationError: a worker process that imports the main module has come here. This ends it.
        """
        target = self._target(work.tool) if _may_leave(work.tool) else None
        if target is None:
            return self._fallback.start(work)
        if self._pool is None:
            self._pool = WorkerPool(self._size)
        return _ProcessRunning(
            self._pool.threads, partial(self._finish, self._pool, work, target), work.begun
        )

    def close(self) -> None:
        """End all processes: the idle ones by themselves, the others by force.

        Blocks until they are gone: for some ten milliseconds, for about a second if one of them hangs.
        What has not begun yet fails. Work that comes later starts new processes.
        """
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        self._fallback.close()

    def _target(self, tool: Tool) -> Target | None:
        """Where a worker finds the tool's function; None if it cannot. Looked up once."""
        if tool not in self._targets:
            self._targets[tool] = target = target_of(tool)
            if target is None:
                _log.warning(
                    "%r runs in the fallback executor, because no worker process can import its function by "
                    "name; declare thread='pool' to say that this is meant",
                    tool,
                )
        return self._targets[tool]

    def _finish(self, pool: WorkerPool, work: Work, target: Target, begun: Begun) -> Result:
        """In a thread: run to the end, the validation of arguments here and the function there."""
        there = copy.copy(work.tool)
        there.function = partial(self._finish_there, pool, target, begun)
        try:
            result: Result = work.context.run(there.invoke, work.arguments)
        except BaseException as error:
            return Result(Failure(error))
        return result

    def _finish_there(
        self, pool: WorkerPool, target: Target, begun: Begun, /, *args: Any, **kwargs: Any
    ) -> Result:
        """Have a worker run the function. The snapshot is taken before anybody can hear of the end."""
        try:
            value = pool.run(target, args, kwargs, begun)
            return Result(self._store.put(value), value)
        except BaseException as error:
            # The frames here say nothing, and would keep a dead worker's files open as long as the error.
            return Result(Failure(error.with_traceback(None)))


class _ProcessRunning(JobRunning):
    """Work for a worker process. An outcome comes from a worker that is idle again, or dead."""

    def __init__(self, threads: ThreadPool, finish: Callable[[Begun], Result], begun: Begun | None) -> None:
        super().__init__()
        self._finish = finish
        self._begun = begun
        self.begin(threads)

    def run(self) -> None:
        """Have a process do the work, and wait for it."""
        result = self._finish(lambda: self.tell(self._begun))
        self.tell(self.outcome.set_result, result)


def _may_leave(tool: Tool) -> bool:
    """Whether the tool may run in another process as far as its declaration says."""
    if tool.is_async or tool.thread is not None or not tool.spec.declared:
        return False
    return not inspect.isgeneratorfunction(tool.function)  # its items are told as they come


def target_of(tool: Tool, *, has_main: bool = True) -> Target | None:
    """Where another process finds the function by name; None if it does not.

    A decorated function is hidden by the tool that stands at its place, so it is found behind that.

    Args:
        tool: what the function is of.
        has_main: whether the other process has the main module of this one.
    """
    function = tool.function
    module, path = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(path, str) or not _can_be_imported(module):
        return None
    if module == "__main__" and not has_main:
        return None
    try:
        found = attrgetter(path)(sys.modules[module])
    except Exception:  # a function inside a function, or replaced by now
        return None
    if isinstance(found, Tool) and found.function is function:
        return Target(tool.name, module, f"{path}.function")
    return Target(tool.name, module, path) if found is function else None


def _can_be_imported(module: str) -> bool:
    """False for the main module of an interactive interpreter."""
    main = sys.modules["__main__"]
    return module != "__main__" or bool(getattr(main, "__spec__", None) or getattr(main, "__file__", None))


def _checked(max_workers: int | None) -> int:
    if max_workers is None:
        return os.cpu_count() or 1
    if type(max_workers) is not int or max_workers < 1:
        raise DeclarationError(f"max_workers must be a whole number of at least 1, not {max_workers!r}")
    return max_workers
