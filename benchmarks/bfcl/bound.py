"""What is possible: the bound R of a case, from the order that its calls need.

R = (T_LLM + T_tool) / max(T_LLM, T_cp), summed over the stretches between two points where everything
drains. T_cp is the longest chain of calls that must follow each other. The bound lets the last tool
run hide behind decoding, so that no run quite reaches it.
"""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.bfcl.plan import Plan


class Times(NamedTuple):
    """Units of decoding and of tools, and the least time in which both can be done."""

    llm: float
    tool: float
    least: float


def times(plan: Plan) -> Times:
    """The ingredients of the bound for one case."""
    least = sum(max(len(segment), critical_path(plan, segment)) for segment in plan.segments)
    return Times(float(len(plan.latencies)), sum(plan.latencies), float(least))


def critical_path(plan: Plan, segment: range) -> float:
    """The longest chain of tool time in a segment, emission and decoding left aside."""
    ends: dict[int, float] = {}
    for place in segment:
        begin = max((ends[older] for older in predecessors(plan, place, segment)), default=0.0)
        ends[place] = begin + plan.latencies[place]
    return max(ends.values(), default=0.0)


def predecessors(plan: Plan, place: int, segment: range) -> set[int]:
    """The earlier calls of a segment that a call must follow, by data or by effects."""
    older = range(segment.start, place)
    data = {dependency.producer for dependency in plan.dependencies[place]} & set(older)
    return data | {i for i in older if plan.footprints[i].conflicts(plan.footprints[place])}
