"""Puppets: tools that do nothing until the test says how they end.

With a `VirtualLoop` they make every interleaving reachable by hand: start calls, let the loop settle,
look at what runs, end one of the runs, settle again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from asyncfc.testing.loop import VirtualLoop
from asyncfc.tools import Tool


class Run:
    """One started run of a puppet, waiting for the test to end it.

    - `arguments`: what the tool was called with, after substitution.
    - `started_at`: virtual time of the start, in seconds.
    - `cancels`: how often it was asked to stop.
    - `ignore_cancel`: whether it goes on when asked to stop; may be set at any time.
    - `ended`: whether its work is over.
    """

    def __init__(self, puppet: Puppet, arguments: dict[str, Any], *, ignore_cancel: bool) -> None:
        self.puppet = puppet
        self.arguments = arguments
        self.started_at = asyncio.get_running_loop().time()
        self.ignore_cancel = ignore_cancel
        self.cancels = 0
        self.ended = False
        self._verdict: Callable[[], Any] | None = None
        self._waiter: asyncio.Future[None] | None = None

    def succeed(self, value: Any = None) -> None:
        """End the run: the tool returns `value`. Takes effect when the loop runs on."""
        self._end(lambda: value)

    def fail(self, error: BaseException) -> None:
        """End the run: the tool raises `error`. Takes effect when the loop runs on."""

        def throw() -> Any:
            raise error

        self._end(throw)

    def _end(self, verdict: Callable[[], Any]) -> None:
        if self.ended or self._verdict is not None:
            raise AssertionError(f"{self!r} was already told how to end")
        self._verdict = verdict
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _play(self) -> Any:
        try:
            while self._verdict is None:
                await self._wait()
            return self._verdict()
        finally:
            self.ended = True

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.cancels += 1
            if not self.ignore_cancel:
                raise

    def __repr__(self) -> str:
        return f"<Run of {self.puppet.name}({self.arguments}), {'ended' if self.ended else 'running'}>"


class Puppet:
    """A tool of the given name and effects whose runs the test ends one by one.

    Args:
        name: of the tool. It takes any arguments, so that `reads` and `writes` may name any in holes.
        ignore_cancel: the initial `Run.ignore_cancel` of its runs.
        effects: in the one written form: `reads`, `writes`, `pure`, `level`, `timeout`, ...

    - `tool`: what to give to the session.
    - `runs`: all runs, in order of their starts.
    """

    def __init__(self, name: str, *, ignore_cancel: bool = False, **effects: Any) -> None:
        self.name = name
        self.ignore_cancel = ignore_cancel
        self.runs: list[Run] = []
        self.tool = Tool(self._perform, name=name, effects=effects or None)

    @property
    def running(self) -> list[Run]:
        """The runs that have started and not ended, in order of their starts."""
        return [run for run in self.runs if not run.ended]

    async def _perform(self, **arguments: Any) -> Any:
        """Wait for the test to say how this ends."""
        run = Run(self, arguments, ignore_cancel=self.ignore_cancel)
        self.runs.append(run)
        return await run._play()

    def __repr__(self) -> str:
        return f"<Puppet {self.name}, {len(self.running)} running>"


class Stage:
    """Several puppets together.

    - `puppets`: by name.
    """

    def __init__(self, *puppets: Puppet) -> None:
        self.puppets = {puppet.name: puppet for puppet in puppets}

    @property
    def tools(self) -> Sequence[Tool]:
        """The tools of all puppets, for a session."""
        return [puppet.tool for puppet in self.puppets.values()]

    @property
    def running(self) -> list[Run]:
        """The runs of all puppets that have not ended, puppet by puppet."""
        return [run for puppet in self.puppets.values() for run in puppet.running]

    def __getitem__(self, name: str) -> Puppet:
        return self.puppets[name]


async def settle_loop() -> None:
    """Let the running `VirtualLoop` go on until nothing is ready; time does not advance.

    Raises:
        RuntimeError: the running loop is not a `VirtualLoop`.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise RuntimeError(f"settle_loop() needs a VirtualLoop, not {type(loop).__name__}; use run_virtual()")
    await loop.idle()
