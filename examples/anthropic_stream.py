"""An asynchronous loop over the Anthropic SDK that shows the text while it comes.

Without ANTHROPIC_API_KEY a scripted model on this machine answers: no key, no network needed.
"""

import asyncio
import os
from typing import Any

from anthropic import AsyncAnthropic

from asyncfc import tool
from asyncfc.adapters.anthropic import wrap
from asyncfc.testing.models import Emit, ModelServer, View


@tool(reads="accounts.{owner}")
async def balance(owner: str) -> dict[str, Any]:
    """Tell the balance of an account."""
    await asyncio.sleep(0.4)
    return {"owner": owner, "euros": 250}


@tool(writes="mail")
async def send(to: str, text: str) -> str:
    """Send a mail."""
    await asyncio.sleep(0.2)
    return f"sent to {to}: {text}"


async def agent(question: str) -> None:
    """Ask, print, call the tools, ask again, until the model calls none."""
    client, tools = wrap(AsyncAnthropic(), {"balance": balance, "send": send})
    schemas: Any = [
        {"name": one.name, "description": one.description, "input_schema": one.schema}
        for one in (balance, send)
    ]
    messages: list[Any] = [{"role": "user", "content": question}]
    async with client:
        while messages[-1]["role"] == "user":
            async with client.messages.stream(
                model="claude-sonnet-5", max_tokens=1000, messages=messages, tools=schemas
            ) as stream:
                async for text in stream.text_stream:
                    print(text, end="", flush=True)
                reply = await stream.get_final_message()
            print()
            messages.append({"role": "assistant", "content": reply.content})
            results = []
            for block in reply.content:
                if block.type == "tool_use":
                    result = str(await tools[block.name](**block.input))
                    results.append({"type": "tool_result", "tool_use_id": block.id, "content": result})
            if results:
                messages.append({"role": "user", "content": results})


def script(view: View) -> Emit:
    """Ask for the balance, and mail it without having seen it."""
    if not view.answers():
        return Emit("I look it up.", calls=[("balance", {"owner": "Ada"})])
    if not view.answers("send"):
        text = f"You have ${{{view.passed_on('balance')[1:]}.euros}} euros."
        return Emit("I mail it.", calls=[("send", {"to": "ada@example.com", "text": text})])
    return Emit(f"Done: {view.passed_on('send')}")


if __name__ == "__main__":
    with ModelServer(script, latency=0.1) as server:
        if "ANTHROPIC_API_KEY" not in os.environ:
            os.environ.update(ANTHROPIC_API_KEY="none", ANTHROPIC_BASE_URL=server.url)
        asyncio.run(agent("Mail Ada her balance."))
