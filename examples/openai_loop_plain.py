"""An agent's loop over the OpenAI SDK, as one writes it by hand. `openai_loop.py` differs in two lines.

Without OPENAI_API_KEY a scripted model on this machine answers: no key, no network needed.
"""

import inspect
import json
import os
import time
from collections.abc import Callable
from typing import Any

from openai import OpenAI

from asyncfc.testing.models import Emit, ModelServer, View


def find_flight(city: str) -> str:
    """Find the cheapest flight to a city."""
    time.sleep(0.5)
    return f"LX340 to {city}"


def find_weather(city: str) -> str:
    """Tell tomorrow's weather in a city."""
    time.sleep(0.5)
    return f"rain in {city}"


def book(flight: str, note: str) -> str:
    """Book a flight."""
    time.sleep(0.5)
    return f"booked {flight}, {note}"


def schema(function: Callable[..., str]) -> Any:
    """Describe a function whose parameters are strings."""
    strings = {name: {"type": "string"} for name in inspect.signature(function).parameters}
    about = {"type": "object", "properties": strings, "required": list(strings)}
    described = {"name": function.__name__, "description": function.__doc__, "parameters": about}
    return {"type": "function", "function": described}


def agent(question: str) -> str:
    """Ask, call the tools, ask again, until the model calls none."""
    tools: dict[str, Any] = {"find_flight": find_flight, "find_weather": find_weather, "book": book}
    schemas = [schema(function) for function in tools.values()]
    client = OpenAI()
    messages: list[Any] = [{"role": "user", "content": question}]
    while True:
        reply = client.chat.completions.create(model="gpt-5-mini", messages=messages, tools=schemas)
        message = reply.choices[0].message
        messages.append(message)
        if not message.tool_calls:
            return message.content or ""
        for call in message.tool_calls:
            assert call.type == "function"
            result = tools[call.function.name](**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def script(view: View) -> Emit:
    """Do as a real model does: copy what was given, be it a result or a handle."""
    if not view.answers():
        return Emit(calls=[("find_flight", {"city": "London"}), ("find_weather", {"city": "London"})])
    if not view.answers("book"):
        flight, weather = view.passed_on("find_flight"), view.passed_on("find_weather")
        return Emit(calls=[("book", {"flight": flight, "note": weather})])
    return Emit(f"I have {view.passed_on('book')}.")


if __name__ == "__main__":
    with ModelServer(script, latency=0.2) as server:
        if "OPENAI_API_KEY" not in os.environ:
            os.environ.update(OPENAI_API_KEY="none", OPENAI_BASE_URL=f"{server.url}/v1")
        begin = time.perf_counter()
        print(agent("Book the cheapest flight to London, and note the weather there."))
        print(f"{time.perf_counter() - begin:.1f} s")
