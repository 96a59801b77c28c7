"""Random programs through real sessions, against the oracles: how many hold what is promised.

    python benchmarks/programs.py --programs 200000 --seed 1 --processes 2 --json

Programs are spread over all laws of `asyncfc.testing.laws` (or the one named with `--law`), half on a loop
that is first in, first out, half on a shuffled one. The same seed gives the same programs, whatever the
number of processes. Ends with status 1 if a program broke a law; each is printed on stderr, to be pasted
into a test.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from time import perf_counter
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from asyncfc.testing.laws import LAWS

CHUNK = 250
"""Programs that are drawn in one go."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some programs for one law."""

    law: str
    programs: int
    seed: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a chunk: how many programs were run, and what was found."""

    law: str
    programs: int
    violations: list[str]


def check(chunk: Chunk) -> Checked:
    """Draw the programs of a chunk and check each."""
    law = LAWS[chunk.law]
    violations: list[str] = []
    count = 0

    @seed(random.Random(chunk.seed).getrandbits(64))
    @settings(
        max_examples=chunk.programs,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(law.drawn, st.integers(0, 2**32 - 1), st.sampled_from(["fifo", "shuffled"]))
    def run(program: Any, loop_seed: int, mode: Any) -> None:
        nonlocal count
        count += 1
        try:
            law.check(program, loop_seed, mode)
        except Exception as error:
            where = f"law {chunk.law!r}, loop seed {loop_seed}, {mode}"
            violations.append(f"{where}: {type(error).__name__}: {error}\n{program!r}")

    run()
    return Checked(chunk.law, count, violations)


def chunks(names: list[str], programs: int, run_seed: int) -> Iterator[Chunk]:
    """Spread the programs evenly over the laws."""
    number = 0
    while programs > 0:
        size = min(CHUNK, programs)
        yield Chunk(names[number % len(names)], size, f"{run_seed}:{number}")
        programs -= size
        number += 1


def run_all(work: list[Chunk], processes: int) -> Iterator[Checked]:
    """Check all chunks, here or in other processes; in order."""
    if processes == 1:
        yield from map(check, work)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(check, work)


def measure(names: list[str], programs: int, run_seed: int, processes: int) -> dict[str, Any]:
    """Run the programs and sum up."""
    start = perf_counter()
    by_law: Counter[str] = Counter()
    violations = 0
    work = list(chunks(names, programs, run_seed))
    for done, checked in enumerate(run_all(work, processes), 1):
        by_law[checked.law] += checked.programs
        violations += len(checked.violations)
        for violation in checked.violations[:3]:
            print(f"programs: {violation}", file=sys.stderr)
        if done % 20 == 0 or done == len(work):
            seconds = perf_counter() - start
            print(f"programs: {by_law.total()}, {violations} violations, {seconds:.0f} s", file=sys.stderr)
    return {
        "programs": by_law.total(),
        "violations": violations,
        "seed": run_seed,
        "total_s": round(perf_counter() - start, 1),
        "processes": processes,
        "laws": len(by_law),
    }


def main() -> None:
    """Check and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--programs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one each time")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--law", choices=list(LAWS), action="append", help="only this one; may be repeated")
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    options = parser.parse_args()
    run_seed = random.randrange(2**32) if options.seed is None else options.seed
    result = measure(options.law or list(LAWS), options.programs, run_seed, options.processes)
    if not options.json:
        for name, value in result.items():
            print(f"{name:<12} {value}")
    print(json.dumps(result))
    sys.exit(1 if result["violations"] else 0)


if __name__ == "__main__":
    main()
