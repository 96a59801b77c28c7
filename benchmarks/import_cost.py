"""What `import asyncfc` costs, against `import asyncio`: median of fresh interpreters, interleaved.

The start of a bare interpreter is subtracted from each. The claim: ratio <= 1.5.

    python benchmarks/import_cost.py --json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

ROOT = Path(__file__).parents[1]
STATEMENTS = {
    "bare": "pass",
    "asyncio": "import asyncio",
    "asyncfc": "import asyncfc",
    "session": "from asyncfc import Session",
}


def start_ms(statement: str) -> float:
    """Milliseconds from starting a fresh interpreter to its end."""
    begin = perf_counter()
    subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True)
    return (perf_counter() - begin) * 1000


def measure(rounds: int) -> dict[str, float]:
    """Median costs above a bare interpreter, in milliseconds, and their ratio."""
    for statement in STATEMENTS.values():
        start_ms(statement)  # byte code and file cache are warm afterwards
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for number in range(rounds):
        print(f"import cost: round {number + 1}/{rounds}", file=sys.stderr)
        for name, statement in STATEMENTS.items():
            times[name].append(start_ms(statement))
    bare = median(times["bare"])
    cost = {name: median(values) - bare for name, values in times.items()}
    return {
        "ratio": cost["asyncfc"] / cost["asyncio"],
        "asyncfc_ms": cost["asyncfc"],
        "asyncio_ms": cost["asyncio"],
        "session_ms": cost["session"],
        "bare_ms": bare,
        "rounds": rounds,
    }


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11, help="fresh interpreters per statement")
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    options = parser.parse_args()
    result = measure(options.rounds)
    if not options.json:
        print(f"import asyncio               {result['asyncio_ms']:7.1f} ms")
        print(f"import asyncfc               {result['asyncfc_ms']:7.1f} ms")
        print(f"from asyncfc import Session  {result['session_ms']:7.1f} ms")
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
