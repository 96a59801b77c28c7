"""What one run does: the settings, and for each case what is known before it is replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal, TypeAlias, get_args

from benchmarks.bfcl.data import Case
from benchmarks.bfcl.dependencies import Dependency, dependencies
from benchmarks.bfcl.labels import Footprint, Level, footprint
from benchmarks.bfcl.latency import Shape, latencies
from benchmarks.bfcl.sequential import Trace, run_in_order

Barrier: TypeAlias = Literal["turn", "case"]
Clock: TypeAlias = Literal["virtual", "real"]
Fault: TypeAlias = Literal["raw", "war", "waw", "data", "late-snapshot"]
FAULTS: tuple[Fault, ...] = get_args(Fault)


@dataclass(frozen=True, slots=True)
class Settings:
    """The knobs of a run; see the command's help."""

    labels: Level = "attribute"
    barrier: Barrier = "turn"
    clock: Clock = "virtual"
    unit_ms: float = 5.0
    q: float = 2.0
    latency: Shape = "lognormal"
    seed: int = 0
    fault: Fault | None = None

    @property
    def unit_s(self) -> float:
        """Seconds that one decoded message takes; on the virtual clock the unit itself is the second."""
        return self.unit_ms / 1000 if self.clock == "real" else 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One case, ready to be replayed through a session. Everything per call is by place in the case."""

    case: Case
    reference: Trace
    dependencies: Sequence[tuple[Dependency, ...]]
    latencies: Sequence[float]
    footprints: Sequence[Footprint]
    segments: tuple[range, ...]
    """The places of the calls between two points where everything drains."""

    @property
    def sync_units(self) -> float:
        """How long a synchronous run takes: it decodes and waits in turn."""
        return sum(1 + latency for latency in self.latencies)

    @property
    def references(self) -> int:
        """How many handles stand in arguments."""
        return sum(map(len, self.dependencies))


def plan(case: Case, settings: Settings) -> Plan:
    """Run the case in order and prepare its replay."""
    reference = run_in_order(case)
    return Plan(
        case=case,
        reference=reference,
        dependencies=dependencies(case, reference.outcomes),
        latencies=latencies(case, shape=settings.latency, mean=settings.q, seed=settings.seed),
        footprints=[footprint(call.class_name, call.tool, settings.labels) for call in case.calls],
        segments=_segments(case, settings.barrier),
    )


def _segments(case: Case, barrier: Barrier) -> tuple[range, ...]:
    sizes = [len(turn.calls) for turn in case.turns] if barrier == "turn" else [len(case.calls)]
    return tuple(range(start, end) for start, end in pairwise(accumulate(sizes, initial=0)) if end > start)
