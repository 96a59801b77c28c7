from __future__ import annotations

import asyncio

import pytest

from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, Stage, settle_loop


def test_settle_loop_refuses_a_loop_on_real_time() -> None:
    with pytest.raises(RuntimeError, match="needs a VirtualLoop"):
        asyncio.run(settle_loop())


def test_a_run_that_was_told_how_to_end_cannot_be_told_again() -> None:
    async def main() -> None:
        puppet = Puppet("save")
        work = asyncio.ensure_future(puppet.tool())
        await settle_loop()
        (run,) = puppet.running
        run.succeed(1)
        with pytest.raises(AssertionError, match="already told"):
            run.fail(ValueError("late"))
        await work
        with pytest.raises(AssertionError, match="already told"):
            run.succeed(2)

    run_virtual(main)


def test_a_puppet_runs_until_told_and_then_returns_or_raises() -> None:
    async def main() -> None:
        puppet = Puppet("save", writes="fs:{path}")
        works = [asyncio.ensure_future(puppet.tool(path=path)) for path in "ab"]
        await settle_loop()
        first, second = puppet.running
        assert [run.arguments for run in puppet.runs] == [{"path": "a"}, {"path": "b"}]
        second.succeed({"ok": True})
        await settle_loop()
        assert puppet.running == [first]
        assert works[1].result() == {"ok": True}
        first.fail(ValueError("disk full"))
        with pytest.raises(ValueError, match="disk full"):
            await works[0]
        assert not puppet.running

    run_virtual(main)


def test_a_cancelled_run_ends_unless_it_ignores_that() -> None:
    async def main() -> None:
        puppet, stubborn = Puppet("soft"), Puppet("hard", ignore_cancel=True)
        works = [asyncio.ensure_future(tool()) for tool in (puppet.tool, stubborn.tool)]
        await settle_loop()
        (soft,), (hard,) = puppet.running, stubborn.running
        for work in works:
            work.cancel()
        await settle_loop()
        assert works[0].cancelled()
        assert soft.ended
        assert (hard.cancels, hard.ended) == (1, False)
        hard.succeed("in the end")
        assert await works[1] == "in the end"

    run_virtual(main)


def test_a_verdict_given_before_the_run_has_begun_to_wait_is_kept() -> None:
    async def main() -> None:
        puppet = Puppet("quick", ignore_cancel=True)
        work = asyncio.ensure_future(puppet.tool())
        await settle_loop()
        (run,) = puppet.running
        run.succeed("both")
        work.cancel()  # in the same turn
        assert await work == "both"
        assert run.cancels == 1

    run_virtual(main)


def test_a_stage_knows_its_puppets_by_name_and_what_runs() -> None:
    async def main() -> None:
        stage = Stage(Puppet("one", pure=True), Puppet("two", reads="db"))
        assert [tool.name for tool in stage.tools] == ["one", "two"]
        assert stage["two"].tool.spec.level == "read"
        work = asyncio.ensure_future(stage["two"].tool(x=1))
        await settle_loop()
        (run,) = stage.running
        assert "two" in repr(run)
        assert "running" in repr(run)
        assert repr(stage["two"]) == "<Puppet two, 1 running>"
        run.succeed()
        await work
        assert "ended" in repr(run)

    run_virtual(main)
