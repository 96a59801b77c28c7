"""An agent of smolagents: `attach` is all that is added. The model is a script: no key, no network needed."""

# mypy: disable-error-code="import-untyped, untyped-decorator, misc"
# smolagents has no type hints for others.

import re
import time
from typing import Any

from smolagents import ChatMessage, LogLevel, MessageRole, Model, ToolCallingAgent, tool
from smolagents.models import ChatMessageToolCall, ChatMessageToolCallFunction

from asyncfc.adapters.smolagents import attach


@tool
def find_flight(city: str) -> str:
    """Find the cheapest flight to a city.

    Args:
        city: of arrival.
    """
    time.sleep(0.3)
    return f"LX340 to {city}"


@tool
def find_weather(city: str) -> str:
    """Tell tomorrow's weather in a city.

    Args:
        city: where.
    """
    time.sleep(0.3)
    return f"rain in {city}"


@tool
def book(flight: str, note: str) -> str:
    """Book a flight.

    Args:
        flight: which.
        note: for the traveller.
    """
    time.sleep(0.3)
    return f"booked {flight}, {note}"


class Scripted(Model):
    """Does as a real model does: copies what was given, be it a result or a handle."""

    def generate(self, messages: list[Any], **_: Any) -> ChatMessage:
        """Look for two things, book with them, and tell what became of it."""
        time.sleep(0.1)
        observed = [m.content[0]["text"] for m in messages if m.role == MessageRole.TOOL_RESPONSE]
        text = "\n".join(observed)
        given = re.findall(r"\$\w+(?= is running)", text) or text.splitlines()[1:]
        if not observed:
            return calls(find_flight={"city": "London"}, find_weather={"city": "London"})
        if len(observed) == 1:
            return calls(book={"flight": given[0], "note": given[1]})
        return calls(final_answer={"answer": f"I have {given[-1]}."})


def calls(**made: dict[str, Any]) -> ChatMessage:
    """A message of the model that calls tools."""
    functions = [ChatMessageToolCallFunction(arguments, name) for name, arguments in made.items()]
    asked = [ChatMessageToolCall(one, f"call_{one.name}", "function") for one in functions]
    return ChatMessage(MessageRole.ASSISTANT, tool_calls=asked)


if __name__ == "__main__":
    plain = ToolCallingAgent([find_flight, find_weather, book], Scripted(), verbosity_level=LogLevel.OFF)
    agent = attach(plain, effects={"find_*": "read"})
    begin = time.perf_counter()
    print(agent.run("Book me the cheapest flight to London, and note the weather there."))
    print(f"{time.perf_counter() - begin:.1f} s")
