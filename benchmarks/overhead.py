"""What a session adds to one call: a no-op tool through a session, against a bare asyncio task.

    python -m benchmarks.overhead --json

`submit_us_*`  the synchronous part of a submission: open a message, seal one call, commit
`cycle_us`     the whole of it: submit, run, settle, answer; in batches, one message per call
`asyncio_us`   `create_task` and `gather` of the same coroutine, in batches of the same size
`trace_on_ratio`   the cycle with `Session(trace=True)`, against the cycle without
`trace_off_ratio`  the cycle without, against that of a copy of asyncfc in which nobody can listen
`trace_file_ratio` the cycle with a trace that is written to a file (of no disk), against the cycle without
`report_us`        what the report of a trace takes, per call

All sides take turns batch by batch, so that whatever else the machine does meets all of them. Each round
has its own sessions and gives one median per side; reported is the median of the rounds, of a ratio that of
the rounds' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import sys
from collections.abc import Callable, Coroutine
from itertools import count
from statistics import median, quantiles
from time import perf_counter
from typing import Any

from asyncfc import Answer, Call, Session, Tool
from benchmarks import untraced

BATCH = 100  # calls
ARGUMENTS = '{"query": "weather in Zurich", "limit": 5}'


async def nothing(query: str, limit: int) -> None:
    """Do nothing: what is left is the cost of getting here and back."""


TOOL = Tool(nothing, effects="pure")


async def session_batch(
    session: Session, ids: count[int], submits: list[float], kind: type[Call] = Call
) -> float:
    """Seconds for one batch through the session; appends the time of each submission."""
    begin = perf_counter()
    answers: list[Answer] = []
    for _ in range(BATCH):
        call = kind(f"call_{next(ids)}", TOOL.name, ARGUMENTS)
        start = perf_counter()
        message = session.message()
        message.seal(call)
        message.commit()
        submits.append(perf_counter() - start)
        answers += await message.answers()
    for answer in answers:
        await answer.future
    return perf_counter() - begin


async def asyncio_batch() -> float:
    """Seconds for one batch of bare tasks."""
    begin = perf_counter()
    tasks = [asyncio.create_task(nothing("weather in Zurich", 5)) for _ in range(BATCH)]
    await asyncio.gather(*tasks)
    return perf_counter() - begin


async def one_round(batches: int, submits: list[float]) -> dict[str, float]:
    """Seconds per call of each side: the median of its batches."""
    ids = count()
    call: type[Call] = untraced.load("futures.call").Call
    tool: Any = untraced.load("tools").Tool(nothing, effects="pure")
    async with (
        Session([TOOL]) as session,
        Session([TOOL], trace=True) as traced,
        Session([TOOL], trace=os.devnull) as filed,
        untraced.load("session").Session([tool]) as copy,
    ):
        sides: list[tuple[str, Callable[[], Coroutine[Any, Any, float]]]] = [
            ("bare", asyncio_batch),
            ("ours", lambda: session_batch(session, ids, submits)),
            ("traced", lambda: session_batch(traced, ids, [])),
            ("filed", lambda: session_batch(filed, ids, [])),
            ("untraced", lambda: session_batch(copy, ids, [], call)),
        ]
        for _, batch in sides:
            await batch()  # to warm up
        submits.clear()
        gc.collect()
        took: dict[str, list[float]] = {name: [] for name, _ in sides}
        order = random.Random(0)
        for _ in range(batches):
            for name, batch in order.sample(sides, len(sides)):  # so that none always follows the same other
                took[name].append(await batch())
        begin = perf_counter()
        _ = traced.trace.report
        took["report"] = [(perf_counter() - begin) / (batches + 1)]
    return {name: median(times) / BATCH for name, times in took.items()}


async def measure(rounds: int, batches: int) -> dict[str, float]:
    """All numbers in microseconds, but the ratios."""
    submits: list[float] = []
    found = []
    for number in range(rounds):
        print(f"overhead: round {number + 1}/{rounds}", file=sys.stderr)
        of_round: list[float] = []
        found.append(await one_round(batches, of_round))
        submits += of_round
    cuts = quantiles(submits, n=100)
    cycle, bare = (median(means[name] for means in found) * 1e6 for name in ("ours", "bare"))
    return {
        "submit_us_p50": cuts[49] * 1e6,
        "submit_us_p99": cuts[98] * 1e6,
        "cycle_us": cycle,
        "asyncio_us": bare,
        "cycle_ratio": cycle / bare,
        "trace_on_ratio": median(means["traced"] / means["ours"] for means in found),
        "trace_file_ratio": median(means["filed"] / means["ours"] for means in found),
        "report_us": median(means["report"] for means in found) * 1e6,
        "trace_off_ratio": median(means["ours"] / means["untraced"] for means in found),
        "calls": len(submits),
    }


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batches", type=int, default=20, help=f"per round and side, of {BATCH} calls each")
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    options = parser.parse_args()
    result = asyncio.run(measure(options.rounds, options.batches))
    if not options.json:
        for name, value in result.items():
            print(f"{name:<16} {value:10.2f}")
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
