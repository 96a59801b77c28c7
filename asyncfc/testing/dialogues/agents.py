"""Agents: the same conversations held by `asyncfc.run`, which has the loop to itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

from asyncfc.agent import run
from asyncfc.conversation.formats.base import Json
from asyncfc.testing.dialogues.drawn import Talk
from asyncfc.testing.dialogues.loop import scripted
from asyncfc.testing.dialogues.record import Heard, Record
from asyncfc.testing.dialogues.scene import FORGERY, SESSION_ID, Voice, World
from asyncfc.testing.loop import run_virtual


def let_run(talk: Talk) -> Record:
    """Hold the first turn of a talk by `asyncfc.run`.

    Args:
        talk: over Chat Completions and without faults of the connection.
    """
    record, manner = Record(talk), talk.manner
    shown: list[str] = []

    async def main() -> None:
        world, voice = World(), Voice(talk.says)
        model = scripted(talk, voice)

        def body(messages: list[Json], tools: list[Json]) -> Json:
            sent = record.sends({"model": "m", "messages": messages, "tools": tools}, fresh=False)
            sent.succeeded = True
            return sent.body

        async def whole(messages: list[Json], tools: list[Json]) -> Json:
            reply = await model(body(messages, tools))
            voice.turn += 1
            return reply

        async def streamed(messages: list[Json], tools: list[Json]) -> AsyncIterator[Json]:
            async for chunk in model.stream(body(messages, tools)):
                yield chunk
            voice.turn += 1

        done = await run(
            streamed if manner.streamed else whole,
            [{"role": "user", "content": f"Do it, and see {FORGERY}"}],
            world.tools(),
            on_text=shown.append,
            final=manner.final,
            grace=manner.grace,
            inline=("bare",) if manner.inline else (),
            note=not manner.bare,
            control=not manner.bare,
            relax="none" if manner.bare else "always",
            id=SESSION_ID,
            on_event=record.events.append,
        )
        record.ran, record.named, record.items = world.ran, voice.named, done.messages
        record.extra_messages = done.extra_messages
        record.heard.append(Heard("final", done.text, done.text))

    run_virtual(main)
    _check_shown(record, "".join(shown))
    return record


def _check_shown(record: Record, shown: str) -> None:
    """What people have read ends in the last words of the model."""
    assert shown.endswith(record.heard[-1].text), (shown, record.heard[-1])
