"""Fetching: calls that run in this program with values that lie in the object store."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from ray.exceptions import RayError

from asyncfc.adapters.ray.values import Left, RemoteValue
from asyncfc.execution.work import Executor, Result, Running, Work, collect
from asyncfc.futures.outcome import Failure


class FetchingRunning:
    """A call of another executor, begun as soon as its values have come."""

    def __init__(self, executor: Executor, work: Work) -> None:
        self._executor = executor
        self._work = work
        self._inner: Running | None = None
        self.outcome = self.ended = asyncio.get_running_loop().create_task(self._run())

    def cancel(self) -> bool:
        """See `Running.cancel`."""
        return self.outcome.cancel() if self._inner is None else self._inner.cancel()

    async def _run(self) -> Result:
        left, values = Left.of(self._work.sites)
        data = []
        for value in values:
            try:
                data.append(await value.ref if isinstance(value, RemoteValue) else value.get())
            except RayError as error:
                assert isinstance(value, RemoteValue)
                return Result(Failure(value.lost(type(error).__name__)))
        try:
            arguments = left.fill(self._work.arguments, data, self._work.tool.schema)
            self._inner = self._executor.start(replace(self._work, arguments=arguments, sites=()))
        except Exception as error:
            return Result(Failure(error))
        await asyncio.wait([self._inner.ended])
        return collect(self._inner.ended)
