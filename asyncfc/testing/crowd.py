"""Crowds: several sessions of one runtime that want more than there is, and calls that fail at first."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from asyncfc.futures.call import Call
from asyncfc.runtime import Runtime
from asyncfc.session import Answer, Session
from asyncfc.testing.loop import Mode, run_virtual
from asyncfc.tools import Tool

CALLS = 24
"""Of each session."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Sessions with their weights, slots for all of them and for each, and how often calls fail at first."""

    weights: tuple[float, ...]
    slots: int
    cap: int
    fails: tuple[int, ...]


CROWDS = st.builds(
    Crowd,
    weights=st.lists(st.sampled_from([1.0, 1.0, 2.0, 3.0]), min_size=2, max_size=4).map(tuple),
    slots=st.integers(1, 4),
    cap=st.integers(1, 4),
    fails=st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=1, max_size=5).map(tuple),
)


class _Watch:
    """A tool that fails as often as it is told, and notes who runs how much."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.running: Counter[int] = Counter()
        self.tries: Counter[str] = Counter()
        self.slots, self.cap = 0, 0
        self.wrong: list[str] = []
        self.tool = Tool(self._work, name="work", effects={"pure": True, "retries": 2})

    async def _work(self, who: int, name: str, fails: int) -> None:
        self.starts.append(who)
        self.running[who] += 1
        if self.running[who] > self.cap:
            self.wrong.append(f"session {who} runs {self.running[who]} calls at a time")
        if self.running.total() > self.slots:
            self.wrong.append(f"{self.running.total()} calls run at a time")
        try:
            await asyncio.sleep(1)
        finally:
            self.running[who] -= 1
        self.tries[name] += 1
        if self.tries[name] <= fails:
            raise ConnectionError(name)


def shared_fairly(crowd: Crowd, seed: int, mode: Mode) -> None:
    """Whoever always waits has its part of the slots by its weight."""
    watch = _Watch()
    watch.slots, watch.cap = crowd.slots, crowd.slots  # no cap: it would decide in place of the weights

    async def main() -> None:
        runtime = Runtime(limits={"*": crowd.slots})
        sessions = [Session([watch.tool], runtime=runtime, weight=weight) for weight in crowd.weights]
        for who, session in enumerate(sessions):
            await session.submit(_calls(who, CALLS, (0,)))
        await asyncio.sleep(CALLS / (2 * crowd.slots) + 0.5)
        for who, weight in enumerate(crowd.weights):
            part = weight / sum(crowd.weights) * len(watch.starts)
            had = watch.starts.count(who)
            assert abs(had - part) <= len(sessions) + weight, (
                f"session {who} had {had} turns instead of {part}"
            )
        for session in sessions:
            await session.close()
        runtime.close()

    run_virtual(main, seed=seed, mode=mode)
    assert not watch.wrong, watch.wrong[0]


def within_caps(crowd: Crowd, seed: int, mode: Mode) -> None:
    """No session runs more than its cap, nor all more than there are slots, and all calls succeed at last."""
    watch = _Watch()
    watch.slots, watch.cap = crowd.slots, crowd.cap

    async def main() -> None:
        runtime = Runtime(limits={"*": crowd.slots}, per_session={"*": crowd.cap})
        sessions = [Session([watch.tool], runtime=runtime, weight=weight) for weight in crowd.weights]
        answers: list[Answer] = []
        for who, session in enumerate(sessions):
            answers += await session.submit(_calls(who, 6, crowd.fails))
        for session in sessions:
            await session.finish()
            await session.close()
        for answer in answers:
            answer.future.result()
        assert not watch.wrong, watch.wrong[0]
        statistics = runtime.statistics()
        assert (statistics.live, statistics.limits["*"].used) == (0, 0)
        runtime.close()

    run_virtual(main, seed=seed, mode=mode)
    expected = {
        f"{who} {n}": crowd.fails[n % len(crowd.fails)] + 1
        for who in range(len(crowd.weights))
        for n in range(6)
    }
    assert watch.tries == expected, f"tries: {watch.tries}"


def nobody_starves(crowd: Crowd, seed: int, mode: Mode) -> None:
    """A call that nobody waits for starts, although calls with a longer way to go come again and again.

    So does a call of another session, although sessions come anew again and again.
    """
    watch = _Watch()
    tool = Tool(watch._work, name="work", effects="pure")

    async def alone() -> None:
        async with Session([tool], limits={"*": 1}) as session:
            await session.submit(_calls(0, 1, (0,)) + _calls(1, 1, (0,)))
            for turn in range(2, 50):
                way = _calls(turn, 1 + len(crowd.fails), (0,))
                await session.submit([way[0], *(_after(one, n) for n, one in enumerate(way[1:], 1))])
                await asyncio.sleep(1)
            assert 1 in watch.starts, "it has not started after 48 turns"
            await session.close()

    async def among_others() -> None:
        runtime = Runtime(limits={"*": 1})
        sessions = [Session([tool], runtime=runtime)]
        await sessions[0].submit(_calls(100, 2, (0,)))
        for turn in range(101, 101 + 12):
            sessions.append(Session([tool], runtime=runtime, weight=crowd.weights[turn % len(crowd.weights)]))
            await sessions[-1].submit(_calls(turn, 1, (0,)))
            await asyncio.sleep(1)
        assert watch.starts.count(100) == 2, "an old session's call has not started after 12 turns"
        for session in sessions:
            await session.close()
        runtime.close()

    run_virtual(alone, seed=seed, mode=mode)
    run_virtual(among_others, seed=seed, mode=mode)


def _after(call: Call, number: int) -> Call:
    """The same call, where it needs the one of this number of its message."""
    assert isinstance(call.arguments, dict)
    return Call(call.id, call.tool, {**call.arguments, "name": f"$this_{number}"})


def _calls(who: int, count: int, fails: Sequence[int]) -> list[Call]:
    return [
        Call(f"{who} {n}", "work", {"who": who, "name": f"{who} {n}", "fails": fails[n % len(fails)]})
        for n in range(count)
    ]
