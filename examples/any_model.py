"""Any model that can be called: `asyncfc.run` is the loop. Messages are those of Chat Completions.

The model is a script: no key, no network needed. Like a real one it copies handles out of what it reads.
"""

import asyncio
import json
import re
from typing import Any

from asyncfc import run, tool


@tool(reads="accounts.{owner}")
async def balance(owner: str) -> dict[str, Any]:
    """Tell the balance of an account."""
    await asyncio.sleep(0.1)
    return {"owner": owner, "euros": 250}


@tool(writes="mail")
async def send(to: str, text: str) -> str:
    """Send a mail."""
    await asyncio.sleep(0.1)
    return f"sent to {to}: {text}"


async def model(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
    """Ask for the balance, mail it without having seen it, and tell what became of it."""
    await asyncio.sleep(0.05)
    answers = [message["content"] for message in messages if message["role"] == "tool"]
    if not answers:
        return emit("balance", owner="Ada")
    handles = re.findall(r"\$\w+", "\n".join(answers))
    if len(answers) == 1:
        return emit("send", to="ada@example.com", text=f"You have ${{{handles[0][1:]}.euros}} euros")
    return {"content": f"Mail {handles[-1]}."}


def emit(name: str, **arguments: str) -> dict[str, Any]:
    """A message of the model with one call."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"tool_calls": [{"id": f"call_{name}", "type": "function", "function": function}]}


async def main() -> None:
    """Print what people are to read, and how many messages it took."""
    question = {"role": "user", "content": "Mail Ada her balance."}
    done = await run(model, [question], [balance, send])
    print(done.text)
    print(f"{done.model_messages} messages of the model")


if __name__ == "__main__":
    asyncio.run(main())
