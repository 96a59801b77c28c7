"""`python -m benchmarks.adapters`: each adapter against its framework without asyncfc.

What a call costs more with asyncfc, and the wall time of 12 calls with and without it. An adapter whose
framework has an environment of its own is not run here: stderr and the JSON (`not_run`) give the command.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from benchmarks.adapters.cases import CASES, elsewhere, load
from benchmarks.adapters.measure import INSTANT, ROUNDS, SLOW, measure

COLUMNS = ("without_us", "with_us", "added_us", "ratio", "wall_without_s", "wall_with_s", "speedup")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print a table, or one JSON object."""
    chosen = _parser().parse_args(argv)
    measured, not_run = {}, {}
    for name in chosen.only or CASES:
        command = elsewhere(name)
        if command is not None:
            not_run[name] = command
            _say(f"{name} was not run: its framework is not in this environment; run: {command}")
            continue
        _say(name)
        measured[name] = asyncio.run(measure(load(name), chosen.rounds))
    if chosen.json:
        print(json.dumps(_summary(measured, not_run)))
    else:
        _print_table(measured)


def _parser() -> argparse.ArgumentParser:
    # argparse: the environment of LiteLLM has no other parser.
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.adapters",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "--only", action="append", choices=CASES, help="of these adapters; may be given several times"
    )
    parser.add_argument("--rounds", type=_positive, default=ROUNDS, help="for the cost of a call")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rounds; expected 1 or more")
    return int(text)


def _say(text: str) -> None:
    print(f"adapters: {text}", file=sys.stderr, flush=True)


def _summary(measured: Mapping[str, Any], not_run: Mapping[str, str]) -> dict[str, Any]:
    settings = {"instant": asdict(INSTANT), "slow": asdict(SLOW)}
    versions = {"asyncfc": version("asyncfc"), "python": platform.python_version()}
    return {"adapters": measured, "not_run": not_run, "settings": settings, "versions": versions}


def _print_table(measured: Mapping[str, Mapping[str, Any]]) -> None:
    print(f"{'':<14}" + "".join(f"{column:>16}" for column in COLUMNS))
    for name, numbers in measured.items():
        print(f"{name:<14}" + "".join(f"{numbers[column]:>16}" for column in COLUMNS))


if __name__ == "__main__":
    main()
