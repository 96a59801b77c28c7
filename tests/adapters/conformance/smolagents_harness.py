"""smolagents: a `ToolCallingAgent`, streamed or not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asyncfc.adapters.smolagents import attach, close
from tests.adapters.conformance.harness import Capability, Stage
from tests.adapters.smolagents_model import FunctionTool, agent_of

ABSENT: Mapping[Capability, str] = {
    "cancel": "smolagents works in threads, and what works in a thread cannot be stopped",
    "resubmit": "smolagents makes each call of a message once; no step of it is taken again",
    "structured": "the last word of smolagents is whatever its model gives to `final_answer`",
    "program": "a `CodeAgent` writes programs that compute with results; it cannot be attached",
}


@dataclass(frozen=True)
class SmolagentsHarness:
    """Each turn of the user is one run; only the first resets the agent."""

    name: str
    streamed: bool
    absent: Mapping[Capability, str]

    async def run(self, stage: Stage) -> Sequence[str]:
        """See `Harness`."""
        return await asyncio.to_thread(self._run, stage)

    def _run(self, stage: Stage) -> list[str]:
        tools = [
            FunctionTool(stage.blocking[tool.name], tool.name, tool.description, tool.schema)
            for tool in stage.case.tools
        ]
        plain = agent_of(stage.model(), tools, stream_outputs=self.streamed)
        agent = attach(plain, **stage.settings)
        texts = []
        for number, turn in enumerate(stage.turns):
            if stage.case.forgets:
                agent.memory.steps.clear()
            texts.append(str(agent.run(turn, reset=number == 0)))
        close(agent)
        return texts


HARNESSES = [
    SmolagentsHarness("smolagents", False, ABSENT),
    SmolagentsHarness("smolagents, streamed", True, ABSENT),
]
