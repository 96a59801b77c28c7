"""How fast a case could be: the oracle of real parallelism, applied to one case.

The oracle (`asyncfc.testing.ideal`) knows labels, conflicts and data flow, and nothing of the scheduler.
"""

from __future__ import annotations

from functools import cache

from asyncfc.futures.store import MemoryStore
from asyncfc.testing.ideal import ideal_times
from asyncfc.testing.oracle import Ref, Step
from asyncfc.testing.programs import Emitted, Program
from asyncfc.tools import Tool
from benchmarks.bfcl.backend import api_class
from benchmarks.bfcl.labels import Level, footprint
from benchmarks.bfcl.plan import Plan

_ANY = MemoryStore().put(None)
"""Every call takes its latency, one that raises too, and nothing refers to that one: it has no value."""


def ideal_units(plan: Plan, level: Level) -> float:
    """The least time, in units, from the first message's decoding to the last call's settling."""
    return sum(_segment(plan, segment, level) for segment in plan.segments)


def _segment(plan: Plan, segment: range, level: Level) -> float:
    calls = [plan.case.calls[place] for place in segment]
    steps = [_step(plan, place, segment) for place in segment]
    messages = tuple(Emitted((step,), (1.0, 0.0)) for step in steps)
    tools = {call.tool: _declared(call.class_name, call.tool, level) for call in calls}
    return max(times.settle for times in ideal_times(Program(messages), [_ANY] * len(steps), tools))


def _step(plan: Plan, place: int, segment: range) -> Step:
    """The call as the oracle sees it: its place, its delay, and what it refers to."""
    producers = {dependency.producer for dependency in plan.dependencies[place]}
    inputs = [Ref(producer - segment.start) for producer in sorted(producers) if producer in segment]
    arguments = {"n": place - segment.start, "delay": plan.latencies[place], "inputs": inputs}
    return Step(plan.case.calls[place].tool, arguments)


@cache
def _declared(class_name: str, name: str, level: Level) -> Tool:
    return Tool(
        getattr(api_class(class_name), name), effects=footprint(class_name, name, level).declaration()
    )
