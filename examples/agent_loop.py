"""A whole agent loop around a session, with messages in the form of the OpenAI API.

The model is a script: no key, no network needed. Like a real one it copies handles out of what it reads.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from asyncfc import Call, Delivery, Note, Session, Tool, tool

Message = dict[str, Any]
Model = Callable[[list[Message]], Awaitable[Message]]


def note(deliveries: Sequence[Delivery | Note]) -> list[Message]:
    """What the model is to read: quoted, in user role, after the answers to all calls."""
    text = "\n\n".join(delivery.text for delivery in deliveries)
    return [{"role": "user", "content": f"[tool results]\n{text}"}] if deliveries else []


async def agent(model: Model, tools: Sequence[Tool], question: str) -> str:
    """Run until the model has answered and has seen the outcome of every call."""
    messages: list[Message] = [{"role": "user", "content": question}]
    async with Session(tools) as session:
        while True:
            with session.sampling() as deliveries:  # seen once the request has succeeded
                messages += note(deliveries)
                reply = await model(messages)  # with retries in here, if you have any
            messages.append(reply)
            calls = [
                Call(call["id"], call["function"]["name"], call["function"]["arguments"])
                for call in reply.get("tool_calls", [])
            ]
            for answer in await session.submit(calls):
                messages.append({"role": "tool", "tool_call_id": answer.call_id, "content": answer.text})
            if not calls:  # the model is done: is there anything that it has not been told?
                waited = await session.await_future()
                if not (waited.settled or waited.notes):
                    return str(reply["content"])
                messages += note([*waited.settled, *waited.notes])


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


async def scripted_model(messages: list[Message]) -> Message:
    """Ask for the balance, mail it without having seen it, and answer from what was delivered."""
    await asyncio.sleep(0.05)
    answers = [message["content"] for message in messages if message["role"] == "tool"]
    if not answers:
        return emit("balance", owner="Ada")
    if len(answers) == 1:
        handle = re.findall(r"\$\w+", answers[0])[0]
        return emit("send", to="ada@example.com", text=f"You have ${{{handle[1:]}.euros}} euros.")
    sent = re.findall(r"sent to .*", messages[-1]["content"])
    return {"role": "assistant", "content": sent[0] if sent else "I have asked for the mail to be sent."}


def emit(name: str, **arguments: str) -> Message:
    """A message of the model with one call."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    calls = [{"id": f"call_{name}", "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls}


if __name__ == "__main__":
    print(asyncio.run(agent(scripted_model, [balance, send], "Mail Ada her balance.")))
