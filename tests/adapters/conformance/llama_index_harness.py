"""LlamaIndex: a `FunctionAgent`, streamed or not, and in an `AgentWorkflow`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool

from asyncfc.adapters.llama_index import attach, close
from tests.adapters.conformance.harness import Capability, Stage
from tests.adapters.llama_index_llm import ScriptedLLM

ABSENT: Mapping[Capability, str] = {
    "resubmit": "LlamaIndex makes each call of a message once; no step of it is taken again",
    "structured": "LlamaIndex makes structured output in a request of its own, behind the last message",
    "program": "a `CodeActAgent` writes programs that compute with results; it cannot be attached",
}


@dataclass(frozen=True)
class LlamaIndexHarness:
    """One memory is one conversation; each turn of the user is one run."""

    name: str
    streamed: bool
    workflow: bool
    absent: Mapping[Capability, str]

    async def run(self, stage: Stage) -> Sequence[str]:
        """See `Harness`."""
        tools: list[Any] = [
            FunctionTool.from_defaults(async_fn=function, description=function.__doc__ or "")
            for function in stage.functions.values()
        ]
        plain = FunctionAgent(
            tools=tools, llm=ScriptedLLM(stage.model()), system_prompt="Be brief.", streaming=self.streamed
        )
        agent: Any = AgentWorkflow([plain]) if self.workflow else plain
        agent = attach(agent, **stage.settings)
        memory = ChatMemoryBuffer.from_defaults(llm=plain.llm)
        texts = []
        for turn in stage.turns:
            if stage.case.forgets:
                await memory.areset()
            handler = agent.run(user_msg=turn, memory=memory)
            async for event in handler.stream_events():
                if isinstance(event, AgentStream) and event.delta:
                    stage.show(event.delta)
            texts.append(str(await handler))
        await close(agent)
        return texts


HARNESSES = [
    LlamaIndexHarness("llama-index", False, False, ABSENT),
    LlamaIndexHarness("llama-index, streamed", True, False, ABSENT),
    LlamaIndexHarness("llama-index workflow, streamed", True, True, ABSENT),
]
