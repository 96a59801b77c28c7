"""What becomes of sessions when the program shuts Ray down before them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray

from asyncfc import DeclarationError, Failure, Session, WorkerLost
from asyncfc.adapters.ray import RayExecutor, ValueLost
from tests.adapters.ray import ray_tools as tools
from tests.adapters.ray.stories import call, outcomes, run, there


def test_after_a_shutdown_nothing_goes_to_another_cluster_and_what_ran_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        executor = RayExecutor()
        counter = executor.actor(tools.Counter)
        effects: dict[str, Any] = {"read": "pure", "write": {"writes": "a"}}
        made = {"read": tools.hold, "write": tools.hold, "add": counter.add, "big": tools.big}
        session = Session(made, effects=effects, executor=executor, max_chars=10)
        (big, _) = await outcomes(session, call(1, "big", chars=20_000), call(2, "add", by=1))
        begun, never = [tmp_path / name for name in ("read", "write")], str(tmp_path / "never")
        answers = await session.submit(
            [call(n, file.name, begun=str(file), path=never) for n, file in enumerate(begun, 3)]
        )
        for file in begun:
            await there(file)
        ray.shutdown()
        with pytest.raises(ValueLost, match=r"the value that big returned .* is gone \(Ray was shut down\)"):
            big.unwrap()
        for name, arguments in (("big", {"chars": 1}), ("add", {"by": 1})):
            with pytest.raises(DeclarationError, match="Ray was shut down since this RayExecutor was made"):
                await session.submit([call(5, name, **arguments)])
        with pytest.raises(DeclarationError, match="Ray was shut down"):
            executor.actor(tools.Counter)
        assert not ray.is_initialized()
        assert (await session.close()).left == ()
        for answer in answers:
            outcome = answer.future.outcome
            assert isinstance(outcome, Failure)
            assert isinstance(outcome.error, WorkerLost)
            assert "Ray was shut down in this program while it ran" in str(outcome.error)
        assert not ray.is_initialized()

    run(story())
