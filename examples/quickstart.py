"""Three slow tools and three messages of a model (scripted: no key, no network needed)."""

import asyncio
import time
from typing import Any

from asyncfc import Call, Session, tool


@tool(pure=True)  # touches nothing: may run at any time
async def find_flight(city: str) -> dict[str, Any]:
    """Find the cheapest flight to a city."""
    await asyncio.sleep(0.2)
    return {"id": "LX340", "price": 120}


@tool(pure=True)
async def forecast(city: str) -> str:
    """Tell tomorrow's weather in a city."""
    await asyncio.sleep(0.2)
    return f"rain in {city}"


@tool(writes="bookings.{flight}")  # waits for earlier calls about the same flight, and for no others
async def book(flight: str, note: str) -> str:
    """Book a flight."""
    await asyncio.sleep(0.1)
    return f"booked {flight}, {note}"


async def main() -> None:
    """Submit each call as the model would write it, and await only the last one."""
    begin = time.perf_counter()
    async with Session([find_flight, forecast, book]) as session:
        [flight] = await session.submit([Call("call_1", "find_flight", {"city": "London"})])
        [weather] = await session.submit([Call("call_2", "forecast", {"city": "London"})])
        print(flight.text)  # what the model reads, at once: a handle, in place of the value

        # The model names results that do not exist yet: by handle, by path, inside a text.
        arguments = {"flight": f"{flight.future}.id", "note": f"expect {weather.future}"}
        [booking] = await session.submit([Call("call_3", "book", arguments)])

        print(await booking.future)  # booked LX340, expect rain in London
        print(f"{time.perf_counter() - begin:.1f} s; one after the other: 0.5 s")


if __name__ == "__main__":
    asyncio.run(main())
