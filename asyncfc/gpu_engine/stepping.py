"""Stepping: where and on which clock a step runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TypeAlias

from asyncfc.gpu_engine.plan import Plan, Runner

Stepper: TypeAlias = Callable[[Plan], Awaitable[list[int | None]]]
"""Runs a plan; returns the token sampled for each of its works."""


def in_thread(runner: Runner, thread: Executor) -> Stepper:
    """The runner works in a thread of its own, the only one that touches the tensors (DESIGN G5)."""

    async def step(plan: Plan) -> list[int | None]:
        return await asyncio.get_running_loop().run_in_executor(thread, runner.run, plan)

    return step


def on_clock(runner: Runner, seconds: Callable[[Plan], float]) -> Stepper:
    """The runner works at once, and the step takes so long on the clock of the loop.

    On a loop with virtual time decoding then costs exactly what is said, whatever the machine.
    """

    async def step(plan: Plan) -> list[int | None]:
        tokens = runner.run(plan)
        await asyncio.sleep(seconds(plan))
        return tokens

    return step
