"""Many sessions on one runtime: do all get on at the same pace, and is nothing left of them when they close?

    python -m benchmarks.crowd --sessions 1000 --calls 100 --json

Every session submits a graph of calls at the same time, on few slots and a virtual clock.

`max_share_over_min`   calls finished of the session that has finished the most, over that of the one that has
                       finished the fewest, when half of all calls have finished (weights are equal)
`weighted_max_over_min`  the same over the weights, where every third session has weight 2, when a quarter has
`memory_ratio`         what Python has allocated when all sessions have closed, over what it had before them:
                       of the whole process (by tracemalloc, in a process of its own)
`us_per_call`          of the machine's time, for all of it
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from asyncfc import Runtime, Session
from asyncfc.testing.loop import run_virtual
from benchmarks.simulate.programs import Program, Step, Times, times, tool_means
from benchmarks.simulate.runs import READERS, calls_of

FAIR, BACK = 1.2, 1.1
"""What the ratios must not exceed: of shares, and of memory."""


def graph(rng: random.Random, seconds: Times, calls: int) -> Program:
    """A graph of so many calls; half of them need one of the ten before."""
    steps: list[Step] = []
    for n in range(calls):
        parents = (rng.randrange(max(0, n - 10), n),) if n and rng.random() < 0.5 else ()
        tool = rng.randrange(len(READERS))
        steps.append(Step(tool, seconds(tool), parents))
    return tuple(steps)


def draw(sessions: int, calls: int, seed: int) -> list[Program]:
    """What each session submits."""
    rng = random.Random(f"crowd {seed}")
    seconds = times(rng, tool_means(rng))
    return [graph(rng, seconds, calls) for _ in range(sessions)]


def finished_at(programs: Sequence[Program], weights: Sequence[float], slots: int, part: float) -> list[int]:
    """How many calls of each session have finished when a part of all has. All close then, or when done."""
    most = round(part * sum(map(len, programs)))
    found: list[int] = []

    async def main() -> None:
        runtime = Runtime(limits={"*": slots})
        enough = asyncio.Event()
        sessions = [Session(READERS, runtime=runtime, weight=weight) for weight in weights]
        left = most

        def note(_: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                found.extend(session.finished for session in runtime.statistics().sessions)
                enough.set()

        for session, program in zip(sessions, programs, strict=True):
            for answer in await session.submit(calls_of(program)):
                answer.future.add_done_callback(note)
        await enough.wait()
        for session in sessions:
            if part == 1:
                await session.finish(None)
            await session.close()
        runtime.close()

    run_virtual(main)
    return found


def memory(programs: Sequence[Program], slots: int) -> tuple[int, int, int]:
    """What Python holds before, at most, and after all of them, in bytes; the runtime stays open."""
    held: list[int] = []

    async def all_of_them(runtime: Runtime, some: Sequence[Program]) -> None:
        sessions = [Session(READERS, runtime=runtime) for _ in some]
        for session, program in zip(sessions, some, strict=True):
            await session.submit(calls_of(program))
        for session in sessions:
            await session.finish(None)
            await session.close()

    async def main() -> None:
        runtime = Runtime(limits={"*": slots})
        await all_of_them(runtime, programs[:10])  # what is loaded and cached at first is of no session
        gc.collect()
        tracemalloc.reset_peak()
        held.append(tracemalloc.get_traced_memory()[0])
        await all_of_them(runtime, programs)
        gc.collect()
        held.extend(reversed(tracemalloc.get_traced_memory()))
        runtime.close()

    run_virtual(main)
    before, most, after = held
    return before, most, after


def memory_apart(options: Sequence[str]) -> dict[str, float]:
    """The same, in a process in which everything is traced from its start."""
    command = [sys.executable, "-X", "tracemalloc=1", "-m", "benchmarks.crowd", "--only-memory", *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(sessions: int, calls: int, slots: int, seed: int) -> dict[str, Any]:
    """Run all of it and sum up."""
    programs = draw(sessions, calls, seed)
    start = perf_counter()
    equal = finished_at(programs, [1.0] * sessions, slots, 0.5)
    took = perf_counter() - start
    print(f"crowd: equal weights: {min(equal)} to {max(equal)} calls finished", file=sys.stderr)
    weights = [2.0 if number % 3 == 0 else 1.0 for number in range(sessions)]
    weighted = finished_at(programs, weights, slots, 0.25)
    shares = [count / weight for count, weight in zip(weighted, weights, strict=True)]
    print(f"crowd: weighted: {min(shares):g} to {max(shares):g}", file=sys.stderr)
    sizes = {"--sessions": sessions, "--calls": calls, "--slots": slots, "--seed": seed}
    return {
        "benchmark": "crowd",
        "sessions": sessions,
        "calls": sessions * calls,
        "slots": slots,
        "max_share_over_min": max(equal) / max(min(equal), 1e-9),
        "weighted_max_over_min": max(shares) / max(min(shares), 1e-9),
        "us_per_call": took / (sessions * calls) * 1e6,
        **memory_apart([str(word) for option in sizes.items() for word in option]),
    }


def main() -> None:
    """Measure and print; the last line is one JSON object. Status 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=100, help="of each session")
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    parser.add_argument("--only-memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_memory:
        programs = draw(options.sessions, options.calls, options.seed)
        before, most, after = memory(programs, options.slots)
        names = {"memory_before_mb": before, "memory_peak_mb": most, "memory_after_mb": after}
        found = {name: size / 2**20 for name, size in names.items()}
        print(json.dumps(found | {"memory_ratio": after / before}))
        return
    result = measure(options.sessions, options.calls, options.slots, options.seed)
    if not options.json:
        for name, value in result.items():
            print(f"{name:<22} {value if isinstance(value, str) else round(value, 3)}")
    print(json.dumps(result))
    sys.exit(0 if result["max_share_over_min"] <= FAIR and result["memory_ratio"] <= BACK else 1)


if __name__ == "__main__":
    main()
