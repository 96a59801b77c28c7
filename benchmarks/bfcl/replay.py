"""The replay through a session: one message per call, earlier results named by handles.

A message takes one unit to decode and is answered at once, so that a later message may name its
handle. A tool sleeps its latency and then acts: on the virtual clock as an async function, on the real
one as ordinary blocking code in a thread.
"""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from asyncfc.futures.call import Call
from asyncfc.futures.future import Future
from asyncfc.session import Session
from asyncfc.testing.loop import run_virtual
from asyncfc.tools import Tool
from benchmarks.bfcl.backend import methods
from benchmarks.bfcl.dependencies import with_handles
from benchmarks.bfcl.labels import footprint
from benchmarks.bfcl.plan import Clock, Plan, Settings
from benchmarks.bfcl.sequential import Trace, fresh, trace
from benchmarks.bfcl.state import differences

_latency: ContextVar[float] = ContextVar("latency")
"""Seconds that the call being submitted will take; the session hands it on to the tool's run."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What one asynchronous replay gave."""

    trace: Trace
    seconds: float
    """From the first message's decoding to the last call's settling, on the clock of the run."""

    def mismatches(self, reference: Trace) -> list[str]:
        """Names of calls and attributes that are not as in the reference; empty if all are."""
        pairs = enumerate(zip(reference.results, self.trace.results, strict=True))
        calls = [f"call {place}" for place, (expected, found) in pairs if expected != found]
        return calls + differences(reference.state, self.trace.state)


def replay(plan: Plan, settings: Settings) -> Replay:
    """Replay one case through a session of its own, on an event loop of its own."""
    main = functools.partial(_replay, plan, settings)
    return run_virtual(main) if settings.clock == "virtual" else asyncio.run(main())


async def _replay(plan: Plan, settings: Settings) -> Replay:
    instances = fresh(plan.case)
    futures: list[Future] = []
    clock = asyncio.get_running_loop().time
    async with Session(make_tools(instances, settings), id=plan.case.id) as session:
        start = clock()
        for segment in plan.segments:
            decoded = clock()
            for place in segment:
                decoded += settings.unit_s  # not now + unit: the model does not wait for a late timer
                await asyncio.sleep(decoded - clock())
                _latency.set(plan.latencies[place] * settings.unit_s)
                [answer] = await session.submit([_emit(plan, place, futures)])
                futures.append(answer.future)
            for future in futures[segment.start :]:
                await future.wait()
        seconds = clock() - start
    return Replay(trace([await future.wait() for future in futures], instances), seconds)


def make_tools(instances: Mapping[str, Any], settings: Settings) -> list[Tool]:
    """Tools of all public methods of the instances, declared at the level of detail of the run."""
    made = []
    for class_name, instance in instances.items():
        for name in methods(class_name):
            labels = footprint(class_name, name, settings.labels)
            declared = None if settings.labels == "none" else labels.declaration()
            function = _slow(getattr(instance, name), settings.clock)
            made.append(Tool(function, name=name, effects=declared))
    return made


def _emit(plan: Plan, place: int, futures: list[Future]) -> Call:
    """The call as a model would write it: arguments as JSON text, with handles in it."""
    call = plan.case.calls[place]
    arguments = with_handles(
        call.arguments, plan.dependencies[place], lambda producer: str(futures[producer])
    )
    return Call(f"call_{place}", call.tool, json.dumps(arguments))


def _slow(method: Callable[..., Any], clock: Clock) -> Callable[..., Any]:
    """The method, unchanged, after the latency of the call."""

    @functools.wraps(method)
    def blocking(**arguments: Any) -> Any:
        time.sleep(_latency.get())
        return method(**arguments)

    @functools.wraps(method)
    async def waiting(**arguments: Any) -> Any:
        await asyncio.sleep(_latency.get())
        return method(**arguments)

    return waiting if clock == "virtual" else blocking
