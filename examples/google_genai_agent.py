"""A chat with Gemini in which Google's SDK calls the functions itself: `wrap` is all that is added.

Without GEMINI_API_KEY a scripted model on this machine answers: no key, no network needed.
"""

import os
import time

from google import genai
from google.genai import types

from asyncfc.adapters.google_genai import wrap
from asyncfc.testing.models import Emit, ModelServer, View

QUESTION = "Book me the cheapest flight to London for two, and note the weather there."


def find_flight(city: str) -> dict[str, str]:
    """Find the cheapest flight to a city."""
    time.sleep(0.5)
    return {"flight": f"LX340 to {city}"}


def count_seats(party: str) -> int:
    """Count the seats that a party needs."""
    time.sleep(0.5)
    return 2


def book(flight: str, seats: int) -> str:
    """Book seats on a flight."""
    time.sleep(0.5)
    return f"{seats} seats on {flight}"


def agent(client: genai.Client, question: str) -> str:
    """Ask, and let the SDK call the functions until the model calls none."""
    client, tools = wrap(
        client, [find_flight, count_seats, book], effects={"find_*": "read", "count_*": "read"}
    )
    with client:
        chat = client.chats.create(model="gemini-3-flash", config=types.GenerateContentConfig(tools=tools))
        return chat.send_message(question).text or ""


def script(view: View) -> Emit:
    """Do as a real model does: copy handles out of what was given, for a number, too."""
    if not view.answers():
        return Emit(calls=[("find_flight", {"city": "London"}), ("count_seats", {"party": "me and her"})])
    if not view.answers("book"):
        flight, seats = view.handles()
        return Emit(calls=[("book", {"flight": f"{flight}.flight", "seats": seats})])
    return Emit(f"I have booked {view.passed_on('book')}.")


if __name__ == "__main__":
    begin = time.perf_counter()
    if "GEMINI_API_KEY" in os.environ:
        print(agent(genai.Client(), QUESTION))
    else:
        with ModelServer(script, latency=0.1) as server:
            options = types.HttpOptions(base_url=server.url)
            print(agent(genai.Client(api_key="none", http_options=options), QUESTION))
    print(f"{time.perf_counter() - begin:.1f} s")
