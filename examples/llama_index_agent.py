"""An agent of LlamaIndex: `attach` is all that is added.

The model is a script: no key, no network needed. Like a real one it copies handles out of what it reads.
"""

import asyncio
import re
import time
import warnings
from collections.abc import Sequence
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage, MessageRole, TextBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM

from asyncfc.adapters.llama_index import attach

# LlamaIndex looks at every attribute of an agent, and so at those that pydantic has deprecated.
warnings.filterwarnings("ignore", category=DeprecationWarning, module="inspect")


async def find_flight(city: str) -> str:
    """Find the cheapest flight to a city."""
    await asyncio.sleep(0.3)
    return f"LX340 to {city}"


async def find_weather(city: str) -> str:
    """Tell tomorrow's weather in a city."""
    await asyncio.sleep(0.3)
    return f"rain in {city}"


async def book(flight: str, note: str) -> str:
    """Book a flight."""
    await asyncio.sleep(0.3)
    return f"booked {flight}, {note}"


def script(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
    """Do as a real model does: copy what was given, be it a result or a handle."""
    answers = [message.content or "" for message in messages if message.role == MessageRole.TOOL]
    given = [re.findall(r"^\$\w+", answer) or [answer] for answer in answers]
    if not answers:
        return calls(("find_flight", {"city": "London"}), ("find_weather", {"city": "London"}))
    if len(answers) == 2:
        return calls(("book", {"flight": given[0][0], "note": given[1][0]}))
    return ChatMessage(role=MessageRole.ASSISTANT, content=f"I have {given[2][0]}.")


def calls(*made: tuple[str, dict[str, Any]]) -> ChatMessage:
    """A message of the model that calls tools."""
    blocks = [ToolCallBlock(tool_call_id=f"call_{n}", tool_name=n, tool_kwargs=kwargs) for n, kwargs in made]
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text=""), *blocks])


async def main() -> None:
    """Print what people are to read, and how long it took."""
    llm = MockFunctionCallingLLM(response_generator=script, is_chat_model=True)
    agent = attach(
        FunctionAgent(tools=[find_flight, find_weather, book], llm=llm), effects={"find_*": "read"}
    )
    begin = time.perf_counter()
    print(await agent.run(user_msg="Book me the cheapest flight to London, and note the weather there."))
    print(f"{time.perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    asyncio.run(main())
