"""All sides on the same conversations, in turns, so that whatever else the machine does meets all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import fmean, median
from time import perf_counter
from typing import Any

import torch
from transformers import LlamaForCausalLM

from asyncfc.gpu_engine.model import CausalModel
from benchmarks.engine.check import check_counts, greedy_rows
from benchmarks.engine.continuous import Continuous, Manager
from benchmarks.engine.models import Size, llama, parameters
from benchmarks.engine.ours import Ours
from benchmarks.engine.scene import SHARES, Crowd, Scene
from benchmarks.engine.static import Static
from benchmarks.engine.window import Clock, Side, Window

SIDES = ("ours", "continuous_batching", "resubmit", "generate")

_MORE = 1.001
"""The least ratio of three digits that is a gain."""
TARGETS = {
    "continuous_batching": dict.fromkeys(SHARES, _MORE),
    "generate": {0.25: 0.95, 0.5: _MORE, 0.75: _MORE},
}
"""On a CPU, by side and share."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured, and where."""

    size: Size
    scene: Scene
    device: torch.device
    dtype: torch.dtype
    runs: int
    clock: Clock = perf_counter
    cache: str | None = None
    """Of `generate`: what transformers calls its implementation."""

    def model(self) -> LlamaForCausalLM:
        """The model, once more: every side changes the attention of its own."""
        return llama(self.size, positions=self.scene.context, device=self.device, dtype=self.dtype)

    def crowd(self, share: float) -> Crowd:
        """The conversations, from the first one on."""
        return Crowd(self.scene, share, self.size.vocabulary)


@dataclass(frozen=True, slots=True)
class Contest:
    """The sides, by name and share."""

    ours: dict[float, Ours]
    continuous_batching: dict[float, Continuous]
    resubmit: dict[float, Ours]
    generate: dict[float, Static]

    def side(self, name: str, share: float) -> Side:
        """One of `SIDES`."""
        side: Side = getattr(self, name)[share]
        return side


def compare(setting: Setting, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all sides.

    Args:
        setting: what, and where.
        say: progress.

    Returns:
        Medians by side and share, ours over theirs, and what was checked on the way.

    Raises:
        RuntimeError: tokens were lost, counted twice, or are not those that the model chooses.
    """
    say(f"{setting.size.name}: filling slots and traps")
    with _contest(setting) as contest:
        for name in SIDES:
            contest.side(name, SHARES[0]).run()
        windows: dict[str, list[list[Window]]] = {name: [[] for _ in SHARES] for name in SIDES}
        for number in range(setting.runs):
            for index, share in enumerate(SHARES):
                for name in SIDES:
                    windows[name][index].append(contest.side(name, share).run())
                speeds = ", ".join(f"{name} {windows[name][index][-1].speed:.0f}" for name in SIDES)
                say(f"{setting.size.name}: run {number + 1} of {setting.runs}, {share:.0%} trapped: {speeds}")
        engines = [*contest.ours.values(), *contest.resubmit.values()]
        return {
            "model": asdict(setting.size) | {"parameters": parameters(contest.generate[SHARES[0]].model)},
            "dtype": f"{setting.dtype}".removeprefix("torch."),
            "settings": asdict(setting.scene) | {"runs": setting.runs, "generate_cache": setting.cache},
            **summary(windows),
            "checked": {
                "sampled": sum(map(check_counts, engines)),
                "greedy_tokens": greedy_rows(engines, contest.generate[SHARES[0]]),
            },
        }


def summary(windows: dict[str, list[list[Window]]]) -> dict[str, Any]:
    """The medians over the runs, by side and share, and their ratios."""
    speeds = {
        name: [[window.speed for window in runs] for runs in shares] for name, shares in windows.items()
    }
    medians = {name: [median(runs) for runs in shares] for name, shares in speeds.items()}
    ours = medians["ours"]
    return {
        "shares": list(SHARES),
        "trapped": [round(fmean(window.trapped or 0 for window in runs), 3) for runs in windows["ours"]],
        "useful_tokens_per_s": {name: _rounded(shares, 1) for name, shares in medians.items()},
        **{
            f"ratio_to_{name}": _rounded([a / b for a, b in zip(ours, medians[name], strict=True)], 3)
            for name in SIDES[1:]
        },
        "all_runs": {name: [_rounded(runs, 1) for runs in shares] for name, shares in speeds.items()},
    }


def missed(result: dict[str, Any]) -> list[str]:
    """The targets that were not reached."""
    return [
        f"ratio_to_{name} at {share:.0%} is {ratio}, less than {TARGETS[name][share]}"
        for name in TARGETS
        for share, ratio in zip(SHARES, result[f"ratio_to_{name}"], strict=True)
        if share in TARGETS[name] and ratio < TARGETS[name][share]
    ]


@contextmanager
def _contest(setting: Setting) -> Iterator[Contest]:
    scene, clock = setting.scene, setting.clock
    rows = scene.living(max(SHARES)) + scene.slots
    plain = setting.model()
    wrapped = CausalModel(setting.model())
    manager = Manager(setting.model(), scene, rows=rows)
    try:
        yield Contest(
            ours={s: Ours(wrapped, setting.crowd(s), clock) for s in SHARES},
            continuous_batching={s: Continuous(manager, setting.crowd(s), clock) for s in SHARES},
            resubmit={s: Ours(wrapped, setting.crowd(s), clock, resubmit=True) for s in SHARES},
            generate={s: Static(plain, setting.crowd(s), clock, cache=setting.cache) for s in SHARES},
        )
    finally:
        manager.close()
        wrapped.close()


def _rounded(numbers: Sequence[float], digits: int) -> list[float]:
    return [round(number, digits) for number in numbers]
