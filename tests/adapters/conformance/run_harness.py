"""`asyncfc.run`: streamed or not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncfc
from asyncfc.testing.models import Model, Rejected
from asyncfc.testing.models.script import Json
from tests.adapters.conformance.harness import Capability, Stage

ABSENT: Mapping[Capability, str] = {
    "together": "`run` has no framework behind it, so undeclared calls of one message run in their order",
    "open": "`run` closes its session when it returns, so no call goes on into the next turn",
    "resubmit": "`run` makes each call once; no step of it runs again",
    "structured": "`run` has no setting for the form of the last message",
    "program": "`run` speaks Chat Completions, which have no programs of the model",
}


async def whole(model: Model, body: Json) -> Json:
    """The model's message; asked for again if the server failed, as clients do."""
    while True:
        try:
            return await model(body)
        except Rejected as rejected:
            if rejected.status != 500:
                raise


async def streamed(model: Model, body: Json) -> AsyncIterator[Json]:
    """The same as it comes."""
    while True:
        try:
            async for chunk in model.stream({**body, "stream": True}):
                yield chunk
        except Rejected as rejected:
            if rejected.status != 500:
                raise
        else:
            return


@dataclass(frozen=True)
class RunHarness:
    """One turn of the user is one run, with the transcript of the one before."""

    streamed: bool
    absent: Mapping[Capability, str]

    @property
    def name(self) -> str:
        """See `Harness`."""
        return "run, streamed" if self.streamed else "run"

    async def run(self, stage: Stage) -> Sequence[str]:
        """See `Harness`."""
        model, messages, texts = stage.model(), list[Json](), list[str]()

        async def ask(history: list[Json], tools: list[Json]) -> Any:
            body: Json = {"model": "m", "messages": history, "tools": tools}
            return streamed(model, body) if self.streamed else await whole(model, body)

        for turn in stage.turns:
            kept = [] if stage.case.forgets else messages
            done = await asyncfc.run(
                ask,
                [*kept, {"role": "user", "content": turn}],
                stage.functions,
                on_text=stage.show if self.streamed else None,
                **stage.settings,
            )
            messages = done.messages
            texts.append(done.text)
        return texts


HARNESSES = [RunHarness(False, ABSENT), RunHarness(True, ABSENT)]
