"""A LangChain agent: the middleware is all that changes.

The model is a script: no key, no network needed. Like a real one it copies handles out of what it reads.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import tool

from asyncfc.adapters.langchain import AsyncFCMiddleware


@tool
async def balance(owner: str) -> dict[str, Any]:
    """Tell the balance of an account."""
    await asyncio.sleep(0.3)
    return {"owner": owner, "euros": 250}


@tool
async def send(to: str, text: str) -> str:
    """Send a mail."""
    await asyncio.sleep(0.3)
    return f"sent to {to}: {text!r}"


class Scripted(BaseChatModel):
    """Asks for the balance, mails it without having seen it, and tells what became of it."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **settings: Any) -> Runnable[Any, AIMessage]:
        """It knows its tools."""
        return self.bind(tools=tools, **settings)

    def _generate(self, messages: list[BaseMessage], *_args: Any, **_settings: Any) -> ChatResult:
        time.sleep(0.1)
        answers = [str(message.text) for message in messages if isinstance(message, ToolMessage)]
        handles = re.findall(r"\$\w+", "\n".join(answers))
        if not answers:
            said = call("balance", owner="Ada")
        elif len(answers) == 1:
            euros = f"${{{handles[0][1:]}.euros}}" if handles else "250"
            said = call("send", to="ada@example.com", text=f"You have {euros} euros.")
        else:
            said = AIMessage(f"Mail {handles[-1]}." if handles else f"Mail {answers[-1]}.")
        return ChatResult(generations=[ChatGeneration(message=said)])


def call(name: str, **arguments: str) -> AIMessage:
    """A message of the model with one call."""
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call_{name}"}])


async def main() -> None:
    """Print what people are to read, and what the model was told on the way."""
    effects = {"balance": {"reads": ["accounts.{owner}"]}, "send": {"writes": ["mail"]}}
    asyncfc = AsyncFCMiddleware(effects=effects)
    agent: Any = create_agent(Scripted(), [balance, send], middleware=[asyncfc])
    state = await agent.ainvoke({"messages": [("user", "Mail Ada her balance.")]})
    for message in state["messages"]:
        print(f"{message.type}: {message.text}")


if __name__ == "__main__":
    asyncio.run(main())
