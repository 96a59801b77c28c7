"""`python -m benchmarks.engine`: the decode engine against other ways to decode, and against itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from time import perf_counter, process_time
from typing import Annotated, Any

import torch
import typer
from transformers import PreTrainedModel
from transformers.utils import logging

from benchmarks.engine.compare import Setting, compare, missed
from benchmarks.engine.exactness import exactness
from benchmarks.engine.models import LARGE, MIDDLE, SMALL, TINY, Size, llama, others
from benchmarks.engine.report import origin, print_tables, results_file
from benchmarks.engine.scene import Scene

app = typer.Typer(add_completion=False)

QUICK = Scene(slots=4, context=64, prompt=16, injected=2, wait=20, budget=32, steps=32, block=4)
_POSITIONS = 256


class Device(StrEnum):
    """Where the models are."""

    CPU = "cpu"
    CUDA = "cuda"


class Time(StrEnum):
    """How seconds are counted: as on the wall, or those that processors worked for this process."""

    WALL = "wall"
    CPU = "cpu"


_CLOCKS = {Time.WALL: perf_counter, Time.CPU: process_time}


@app.command()
def main(
    device: Annotated[
        Device, typer.Option(help="Where to decode: 7M parameters on a CPU, 0.1B and 1B on a GPU.")
    ] = Device.CPU,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each side, of which the median counts.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Of torch.")] = 1,
    clock: Annotated[
        Time, typer.Option(help="How seconds are counted; cpu is for a machine that others use, too.")
    ] = Time.WALL,
    cache: Annotated[
        str | None, typer.Option(help="Of generate: a cache_implementation of transformers, such as static.")
    ] = None,
    only_exactness: Annotated[
        bool, typer.Option("--exactness", help="Compare logits, measure nothing.")
    ] = False,
    quick: Annotated[bool, typer.Option(help="Seconds instead of minutes: does everything work?")] = False,
    save: Annotated[bool, typer.Option(help="Keep the JSON object under benchmarks/results.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the tables.")
    ] = False,
) -> None:
    """Measure useful tokens per second while conversations wait for tools, and compare logits.

    Exits with 1 if logits differ, or, on a CPU, if a ratio misses its target.
    """
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")
    logging.set_verbosity_error()
    where = torch.device(device)
    result = origin(where) | {"clock": clock, "quick": quick}
    if not only_exactness:
        settings = [
            Setting(size, scene, where, dtype, 1 if quick else runs, _CLOCKS[clock], cache)
            for size, scene, dtype in _compared(device, quick=quick)
        ]
        result |= _measured(settings)
    result["exactness"] = [
        {
            "model": name,
            "dtype": f"{model.dtype}".removeprefix("torch."),
            **_checked(name, model, quick=quick),
        }
        for name, model in _exact(where, quick=quick)
    ]
    result["missed"] = _missed(result, device, quick=quick)
    if save:
        _save(result, where)
    if as_json:
        print(json.dumps(result))
    else:
        print_tables(result)
    raise SystemExit(1 if result["missed"] else 0)


def _compared(device: Device, *, quick: bool) -> list[tuple[Size, Scene, torch.dtype]]:
    if quick:
        return [(TINY, QUICK, torch.float32)]
    if device == Device.CPU:
        return [(SMALL, Scene(), torch.float32)]
    return [(size, Scene(), torch.bfloat16) for size in (MIDDLE, LARGE)]


def _measured(settings: list[Setting]) -> dict[str, Any]:
    """The numbers of one model as they are, those of several by name."""
    found = {setting.size.name: compare(setting, _say) for setting in settings}
    return next(iter(found.values())) if len(found) == 1 else {"models": found}


def _exact(device: torch.device, *, quick: bool) -> Iterator[tuple[str, PreTrainedModel]]:
    """Tiny models of all architectures, and those that are measured."""
    for dtype in (torch.float32,) if quick else (torch.float32, torch.float64):
        yield "llama", llama(TINY, positions=_POSITIONS, device=device, dtype=dtype)
        yield from others(device, dtype).items()
    if not quick:
        for size in (SMALL,) if device.type == "cpu" else (MIDDLE, LARGE):
            for dtype in (torch.float32, torch.bfloat16):
                yield size.name, llama(size, positions=_POSITIONS, device=device, dtype=dtype)


def _checked(name: str, model: PreTrainedModel, *, quick: bool) -> dict[str, Any]:
    _say(f"{name}, {model.dtype}: comparing logits")
    found = exactness(model, steps=30 if quick else 60)
    return asdict(found) | {"exact": found.exact}


def _missed(result: dict[str, Any], device: Device, *, quick: bool) -> list[str]:
    inexact = [
        f"{one['model']} is exact in {one['dtype']}" for one in result["exactness"] if not one["exact"]
    ]
    timed = device == Device.CPU and not quick and "shares" in result
    return inexact + (missed(result) if timed else [])


def _save(result: dict[str, Any], device: torch.device) -> None:
    path = results_file(device)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    _say(f"kept in {path}")


def _say(text: str) -> None:
    print(f"engine: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    app()
