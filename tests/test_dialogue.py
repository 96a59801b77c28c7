"""One conversation: its settings, what requests bring, and whether a message is the model's last word."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from asyncfc.conversation.formats.base import ReplyCall, ToolSchema
from asyncfc.dialogue import Dialogue, split_settings
from asyncfc.errors import DeclarationError
from asyncfc.futures.call import Call
from asyncfc.session import Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, settle_loop

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
READ = ToolSchema("read", "Reads.", SCHEMA, strict=False)


def on_stage(scene: Any, **settings: Any) -> None:
    """Run a scene with a dialogue over the puppet `read`, and the puppet."""

    async def main() -> None:
        puppet = Puppet("read", pure=True)
        async with Session([puppet.tool], id="dialogue") as session:
            await scene(Dialogue(session, **settings), puppet)

    run_virtual(main)


async def emitted(dialogue: Dialogue, puppet: Puppet) -> str:
    """A call that was answered with its handle; its run has started."""
    incoming = dialogue.begin()
    incoming.seal(ReplyCall(Call("c", "read", "{}")))
    incoming.complete()
    (reply,) = await incoming.answers()
    await settle_loop()
    return reply.text.split()[0]


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"final": "never"}, "final is 'never'; expected one of 'deliver', 'substitute', 'open'"),
        ({"relax": True}, "relax is True; expected one of"),
        ({"inline": ["write"]}, "inline has ['write'], which are no tools; they are ['read']"),
    ],
)
def test_what_is_no_setting_is_refused(setting: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        Dialogue(Session([Puppet("read").tool]), **setting)
    assert complaint in str(caught.value)


def test_settings_are_split_and_the_grace_is_automatic_unless_said() -> None:
    assert split_settings({"final": "open", "id": "x"}) == ({"final": "open"}, {"grace": "auto", "id": "x"})
    assert split_settings({"grace": 1}) == ({}, {"grace": 1})


def test_no_settings_at_all_leave_a_request_as_it_is() -> None:
    dialogue = Dialogue(Session([Puppet("read").tool]), note=False, control=False, relax="none")
    assert (dialogue.note, dialogue.controls, dialogue.adapt(READ)) == (None, [], READ)


def test_the_model_is_advised_to_make_the_longest_calls_first_if_the_program_says_so() -> None:
    session = Session([Puppet("read").tool])
    plain, advising = Dialogue(session).note, Dialogue(session, longest_first=True).note
    assert plain is not None
    assert advising is not None
    assert set(advising.split(". ")) - set(plain.split(". "))
    assert session.wording.longest_first_note in advising


def test_the_note_and_the_schemas_are_the_same_for_every_session() -> None:
    one, two = (Dialogue(Session([Puppet("read").tool], id=session_id)) for session_id in "ab")
    assert one.note == two.note
    assert one.adapt(READ) == two.adapt(READ)
    assert one.adapt(READ) is one.adapt(READ), "the same work is not done for each request"


def test_a_refused_schema_is_given_up_once_and_only_its_own() -> None:
    dialogue = Dialogue(Session([Puppet("read").tool, Puppet("write").tool]))
    assert not dialogue.refused("You are not allowed to do that", ["read", "write"])
    assert dialogue.refused("Invalid schema for function 'read'", ["read", "write"])
    assert dialogue.adapt(READ) == READ
    assert dialogue.unrelaxed == {"read"}
    assert dialogue.refused("the compiled grammar is too large", ["read", "write"])
    assert not dialogue.refused("the compiled grammar is too large", ["read", "write"])


def test_with_nothing_unseen_a_message_is_the_last_word() -> None:
    async def scene(dialogue: Dialogue, _: Puppet) -> None:
        assert not dialogue.may_be_provisional
        assert not await dialogue.must_go_on("Done.")

    on_stage(scene)


def test_a_message_that_ends_while_outcomes_are_unseen_is_provisional() -> None:
    async def scene(dialogue: Dialogue, puppet: Puppet) -> None:
        await emitted(dialogue, puppet)
        assert dialogue.may_be_provisional
        going_on = asyncio.ensure_future(dialogue.must_go_on("Done."))
        await settle_loop()
        assert not going_on.done()
        puppet.runs[0].succeed(1)
        assert await going_on
        assert dialogue.extra_messages == 1

    on_stage(scene)


@pytest.mark.parametrize("fails", [False, True])
def test_substituting_asks_again_for_failures_only(fails: bool) -> None:
    async def scene(dialogue: Dialogue, puppet: Puppet) -> None:
        handle = await emitted(dialogue, puppet)
        puppet.runs[0].fail(ValueError("no")) if fails else puppet.runs[0].succeed(42)
        assert await dialogue.must_go_on(f"It is {handle}.") is fails
        if not fails:
            assert dialogue.final_text(f"It is {handle}.") == "It is 42."

    on_stage(scene, final="substitute")


def test_open_waits_for_what_the_text_names_and_for_nothing_else() -> None:
    async def scene(dialogue: Dialogue, puppet: Puppet) -> None:
        handle = await emitted(dialogue, puppet)
        assert not await dialogue.must_go_on("Done.")
        named = asyncio.ensure_future(dialogue.must_go_on(f"It is {handle}."))
        await settle_loop()
        assert not named.done()
        puppet.runs[0].succeed(42)
        assert not await named

    on_stage(scene, final="open")


@pytest.mark.parametrize("final", ["substitute", "open"])
def test_structured_output_is_always_written_with_the_values_in_sight(final: str) -> None:
    async def scene(dialogue: Dialogue, puppet: Puppet) -> None:
        handle = await emitted(dialogue, puppet)
        puppet.runs[0].succeed('a "value"')
        text = json.dumps({"answer": handle})
        assert await dialogue.must_go_on(text, structured=True)
        assert json.loads(dialogue.final_text(text, structured=True)) == {"answer": 'a "value"'}

    on_stage(scene, final=final)


def test_the_model_is_not_asked_again_for_ever() -> None:
    async def scene(dialogue: Dialogue, puppet: Puppet) -> None:
        for number in range(3):
            await emitted(dialogue, puppet)
            puppet.runs[number].succeed()
            assert await dialogue.must_go_on("Done.") is (number < 2)
        assert dialogue.exhausted

    on_stage(scene, max_extra_messages=2)
