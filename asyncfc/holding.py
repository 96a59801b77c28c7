"""Holding: the answers of a message wait a while, so that values rather than handles go out (DESIGN D2)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from asyncfc.conversation.grace import TOLERANCE, budget, hold_for
from asyncfc.core import Core
from asyncfc.execution.task import Task
from asyncfc.futures.future import Future, wait_settled


async def hold_answers(
    core: Core, futures: Sequence[Future], tasks: Sequence[Task], *, soon: bool = False, spent: float = 0.0
) -> float:
    """Wait as the session's grace says; return for how long, in seconds.

    Args:
        core: of the session.
        futures: of the message, one per call.
        tasks: of those of its calls that entered the order.
        soon: the program is about to ask for those calls that wait for that; else nobody knows when.
        spent: seconds for which answers of this message were held before.

    Raises:
        DeclarationError: the executor says that the program is set up wrongly.
    """
    await core.scheduler.all_have_come()
    for task in tasks:
        task.raise_misuse()
    if core.grace == "auto":
        waiting = set() if soon else {task.future for task in tasks if task.waits}
        held_for = [future for future in futures if future not in waiting]
        return await _hold_while_short(core, held_for, spent, soon=soon) if futures else 0.0
    held = await _hold_at_most(core.grace - spent, tasks)
    if core.emit is not None and futures and core.grace:
        pending = any(not future.settled for future in futures)
        decision = "budget spent" if pending else "settled"
        core.emit("held", futures[0].order, decision=decision, budget=core.grace, expected=None, held_s=held)
    return held


async def _hold_while_short(core: Core, futures: Sequence[Future], spent: float, *, soon: bool) -> float:
    """Wait while all calls are expected to settle within what the next message of the model is worth.

    What has settled changes the forecast, and so does a call that takes longer than expected.
    """
    clock = asyncio.get_running_loop().time
    start = clock()
    whole = budget(core.cost.typical) - spent
    first = None
    while pending := [future for future in futures if not future.settled]:
        forecast = core.scheduler.forecast(pending, soon=soon)
        first = first or forecast
        left = start + whole - clock()
        pause = hold_for(left, forecast.remaining, forecast.next_end, forecast.put_off)
        if not pause:
            break
        await wait_settled(pending, any_one=True, timeout=pause)
    held = clock() - start
    if core.emit is not None and futures:
        over = held >= whole - TOLERANCE
        decision = "settled" if not pending else "budget spent" if over else "too long"
        expected = first.remaining if first is not None else 0.0
        core.emit("held", futures[0].order, decision=decision, budget=whole, expected=expected, held_s=held)
    return held


async def _hold_at_most(grace: float, tasks: Sequence[Task]) -> float:
    """Wait while calls of this message run; one that still waits for others is not waited for."""
    clock = asyncio.get_running_loop().time
    start = clock()
    while (rest := start + grace - clock()) > 0:
        running = [task.future for task in tasks if task.running and not task.future.settled]
        if not running:
            break
        await wait_settled(running, timeout=rest)
    return clock() - start
