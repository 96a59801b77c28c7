"""An agent's loop over LiteLLM, as one writes it by hand: `wrap` is all that is added.

Without OPENAI_API_KEY a scripted model on this machine answers: no key, no network needed.
"""

import json
import os
import time
from typing import Any

import litellm

from asyncfc.adapters.litellm import wrap
from asyncfc.testing.models import Emit, ModelServer, View

QUESTION = "Book me the cheapest flight to London, and note the weather there."


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


def schema(name: str, *parameters: str) -> Any:
    """Describe a tool whose parameters are strings."""
    properties = {parameter: {"type": "string"} for parameter in parameters}
    described = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "parameters": described}}


SCHEMAS = [schema("find_flight", "city"), schema("find_weather", "city"), schema("book", "flight", "note")]


def agent(question: str, **model: Any) -> str:
    """Ask, call the tools, ask again, until the model calls none."""
    tools: Any = {"find_flight": find_flight, "find_weather": find_weather, "book": book}
    completion, tools = wrapped = wrap(litellm.completion, tools, effects={"find_*": "read"})
    messages: list[Any] = [{"role": "user", "content": question}]
    while True:
        message = completion(messages=messages, tools=SCHEMAS, **model).choices[0].message
        messages.append(message)
        if not message.tool_calls:
            wrapped.close()
            return message.content or ""
        for call in message.tool_calls:
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
        here = {"model": "openai/scripted", "api_base": f"{server.url}/v1", "api_key": "none"}
        begin = time.perf_counter()
        print(agent(QUESTION, **({"model": "openai/gpt-5-mini"} if "OPENAI_API_KEY" in os.environ else here)))
        print(f"{time.perf_counter() - begin:.1f} s")
