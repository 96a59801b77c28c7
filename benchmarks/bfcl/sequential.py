"""The reference: the calls of a case one after the other, with literal arguments, on fresh instances."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from asyncfc.futures.outcome import Failure, Outcome, Value
from asyncfc.futures.store import MemoryStore
from benchmarks.bfcl.backend import instantiate, reset_shared_state, shared_state
from benchmarks.bfcl.data import Case
from benchmarks.bfcl.state import snapshot


@dataclass(frozen=True, slots=True)
class Trace:
    """What a replay gave: the outcome of each call and, in comparable form, results and final state."""

    outcomes: tuple[Outcome, ...]
    results: tuple[str, ...]
    state: Mapping[str, str]


def run_in_order(case: Case) -> Trace:
    """Replay a case synchronously. What a tool raises is its result, and the loop goes on."""
    instances = fresh(case)
    outcomes: list[Outcome] = []
    for call in case.calls:
        try:
            # A copy, because some tools keep what they are given.
            result = getattr(instances[call.class_name], call.tool)(**deepcopy(dict(call.arguments)))
            outcomes.append(MemoryStore().put(result))
        except Exception as error:
            outcomes.append(Failure(error))
    return trace(outcomes, instances)


def fresh(case: Case) -> dict[str, Any]:
    """The instances of a case in its first state, in a process as good as new."""
    reset_shared_state()
    return instantiate(case.classes, case.initial_config, long_context=case.long_context)


def trace(outcomes: list[Outcome], instances: Mapping[str, Any]) -> Trace:
    """Put what a replay gave into comparable form."""
    state = snapshot(instances) | {name: repr(value) for name, value in shared_state().items()}
    return Trace(tuple(outcomes), tuple(map(show, outcomes)), state)


def show(outcome: Outcome) -> str:
    """An outcome as text: equal texts mean the same outcome, types included."""
    match outcome:
        case Value() as value if value.is_artifact:
            return f"artifact {value.text()}"
        case Value() as value:
            return f"value {json.dumps(value.get())}"
        case Failure(error):
            return f"{type(error).__name__}: {error}"
        case _:
            return f"{type(outcome).__name__}: {outcome.reason}"
