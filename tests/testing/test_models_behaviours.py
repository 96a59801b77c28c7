"""Each behaviour does what its name says, in a conversation that any loop of a user would have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from asyncfc.testing.loop import run_virtual
from asyncfc.testing.models import Script, behaviours, model_of

Json = dict[str, Any]
SEARCH = ("search", {"text": "x"})
RUNNING = "$k7qz_1 is running."
TOOLS = ("search", "mail", "await_future")


def converse(
    script: Script, answers: Mapping[str, str], users: Sequence[str] = ("hi",), tools: Sequence[str] = TOOLS
) -> list[Json]:
    """All messages of the model, in a plain loop that answers calls from a table.

    A message is followed by the next request as long as it has calls; then the next user speaks.
    """

    async def main() -> list[Json]:
        model = model_of(script)
        offered = [{"type": "function", "function": {"name": name}} for name in tools]
        messages: list[Json] = []
        choices = []
        for user in users:
            messages.append({"role": "user", "content": user})
            while True:
                choice = (await model({"model": "m", "messages": messages, "tools": offered}))["choices"][0]
                choices.append(choice)
                messages.append(choice["message"])
                calls = choice["message"].get("tool_calls") or ()
                for call in calls:
                    text = answers[call["function"]["name"]]
                    messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})
                if not calls:
                    break
        return choices

    return run_virtual(main)


def said(choices: Sequence[Json]) -> list[Any]:
    """Each message as the list of its calls, `(name, arguments)`, or else its text."""
    found: list[Any] = []
    for choice in choices:
        about = [call["function"] for call in choice["message"].get("tool_calls") or ()]
        calls = [(call["name"], json.loads(call["arguments"])) for call in about]
        found.append(calls or choice["message"]["content"])
    return found


def test_well_behaved_passes_the_handle_on_and_awaits() -> None:
    answers = {"search": RUNNING, "mail": "$k7qz_2 is running.", "await_future": "sent"}
    assert said(converse(behaviours.well_behaved(SEARCH, ("mail", "body")), answers)) == [
        [SEARCH],
        [("mail", {"body": "$k7qz_1"})],
        [("await_future", {"handles": ["$k7qz_1", "$k7qz_2"]})],
        "Done: sent",
    ]


@pytest.mark.parametrize("tools", [("search", "mail"), TOOLS])
def test_well_behaved_passes_a_value_on_where_there_is_no_handle(tools: Sequence[str]) -> None:
    script = behaviours.well_behaved(SEARCH, ("mail", "body"))
    messages = said(converse(script, {"search": "found", "mail": "sent"}, tools=tools))
    assert messages == [[SEARCH], [("mail", {"body": "found"})], "Done: sent"]


def test_pipelines_sends_both_calls_in_one_message() -> None:
    script = behaviours.pipelines(SEARCH, ("mail", "body"))
    answers = {"search": RUNNING, "mail": "sent", "await_future": "found"}
    assert said(converse(script, answers)) == [
        [SEARCH, ("mail", {"body": "$this_1"})],
        [("await_future", {"handles": ["$k7qz_1"]})],
        "Done: found",
    ]


def test_calls_twice() -> None:
    messages = said(converse(behaviours.calls_twice(SEARCH), {"search": RUNNING}))
    assert messages == [[SEARCH], [SEARCH], f"Done: {RUNNING}"]


def test_invents_a_handle() -> None:
    messages = said(converse(behaviours.invents_a_handle("mail", "body"), {"mail": "Error"}))
    assert messages == [[("mail", {"body": "$zz9z_7"})], "Done: Error"]


def test_awaits_settled() -> None:
    answers = {"search": RUNNING, "await_future": "found"}
    waits = [("await_future", {"handles": ["$k7qz_1"]})]
    assert said(converse(behaviours.awaits_settled(SEARCH), answers)) == [
        [SEARCH],
        waits,
        waits,
        "Done: found",
    ]


def test_awaits_unknown() -> None:
    messages = said(converse(behaviours.awaits_unknown(), {"await_future": "Error"}))
    assert messages == [[("await_future", {"handles": ["$zz9z_7"]})], "Done: Error"]


def test_never_awaits_and_tells_more_only_if_asked_again() -> None:
    messages = said(converse(behaviours.never_awaits(SEARCH), {"search": RUNNING}, users=["hi", "and?"]))
    assert messages == [[SEARCH], "Done.", "Done: and?"]


def test_answers_with_handles() -> None:
    messages = said(converse(behaviours.answers_with_handles(SEARCH), {"search": RUNNING}))
    assert messages == [[SEARCH], "The result is $k7qz_1."]


def test_stops_mid_handle() -> None:
    messages = said(converse(behaviours.stops_mid_handle(SEARCH), {"search": RUNNING}))
    assert messages == [[SEARCH], "The result is $k7q"]


def test_calls_a_missing_tool() -> None:
    messages = said(converse(behaviours.calls_a_missing_tool(), {"no_such_tool": "Error"}))
    assert messages == [[("no_such_tool", {"x": 1})], "Done: Error"]


def test_cut_off_in_arguments() -> None:
    script = behaviours.cut_off_in_arguments(SEARCH, ("mail", {"body": "long"}))
    first, _ = converse(script, {"search": "found", "mail": "Error"})
    assert first["finish_reason"] == "length"
    whole, cut = [call["function"]["arguments"] for call in first["message"]["tool_calls"]]
    assert json.loads(whole) == {"text": "x"}
    assert '{"body": "long"}'.startswith(cut)
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut)


def test_refuses() -> None:
    (choice,) = converse(behaviours.refuses(), {})
    assert (choice["message"]["content"], choice["message"]["refusal"]) == (None, "I cannot help with that.")


def test_copies_an_escaped_handle() -> None:
    script = behaviours.copies_an_escaped_handle(SEARCH, ("mail", "body"))
    messages = said(converse(script, {"search": "pay $$k7qz_1", "mail": "sent"}))
    assert messages == [[SEARCH], [("mail", {"body": "pay $$k7qz_1"})], "Done: sent"]


def test_talks_and_calls() -> None:
    first, _ = converse(behaviours.talks_and_calls("Let me see.", SEARCH), {"search": "found"})
    assert first["message"]["content"] == "Let me see."
    assert said([first]) == [[SEARCH]]


def test_one_call_per_user() -> None:
    script = behaviours.one_call_per_user(SEARCH, ("mail", {}))
    messages = said(converse(script, {"search": "found", "mail": "sent"}, users=["a", "b", "c"]))
    assert messages == [[SEARCH], "Done: found", [("mail", {})], "Done: sent", "Done: c"]
