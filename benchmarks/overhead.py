"""What a session adds to one call: a no-op tool through a session, against a bare asyncio task.

    python benchmarks/overhead.py --json

`submit_us_*`  the synchronous part of a submission: open a message, seal one call, commit
`cycle_us`     the whole of it: submit, run, settle, answer; in batches, one message per call
`asyncio_us`   `create_task` and `gather` of the same coroutine, in batches of the same size

Both sides take turns batch by batch, so that whatever else the machine does meets both. Each round has
its own session and gives one mean per side; reported is the median of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from itertools import count
from statistics import fmean, median, quantiles
from time import perf_counter

from asyncfc import Answer, Call, Session, Tool

BATCH = 100  # calls
ARGUMENTS = '{"query": "weather in Zurich", "limit": 5}'


async def nothing(query: str, limit: int) -> None:
    """Do nothing: what is left is the cost of getting here and back."""


TOOL = Tool(nothing, effects="pure")


async def session_batch(session: Session, ids: count[int], submits: list[float]) -> float:
    """Seconds for one batch through the session; appends the time of each submission."""
    begin = perf_counter()
    answers: list[Answer] = []
    for _ in range(BATCH):
        call = Call(f"call_{next(ids)}", TOOL.name, ARGUMENTS)
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


async def one_round(batches: int, submits: list[float]) -> tuple[float, float]:
    """Mean seconds per call of both sides."""
    ids = count()
    ours, bare = [], []
    async with Session([TOOL]) as session:
        await session_batch(session, ids, [])  # warm up
        await asyncio_batch()
        gc.collect()
        for _ in range(batches):
            ours.append(await session_batch(session, ids, submits))
            bare.append(await asyncio_batch())
    return fmean(ours) / BATCH, fmean(bare) / BATCH


async def measure(rounds: int, batches: int) -> dict[str, float]:
    """All numbers in microseconds, but the ratio."""
    submits: list[float] = []
    pairs = []
    for number in range(rounds):
        print(f"overhead: round {number + 1}/{rounds}", file=sys.stderr)
        pairs.append(await one_round(batches, submits))
    cuts = quantiles(submits, n=100)
    cycle, bare = (median(side) * 1e6 for side in zip(*pairs, strict=True))
    return {
        "submit_us_p50": cuts[49] * 1e6,
        "submit_us_p99": cuts[98] * 1e6,
        "cycle_us": cycle,
        "asyncio_us": bare,
        "cycle_ratio": cycle / bare,
        "calls": len(submits),
    }


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=20, help=f"per round and side, of {BATCH} calls each")
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    options = parser.parse_args()
    result = asyncio.run(measure(options.rounds, options.batches))
    if not options.json:
        for name, value in result.items():
            print(f"{name:<14} {value:10.2f}")
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
