"""However a model deals with handles, the loop ends, and no handle reaches people or tools."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncfc.futures.handle import DEFAULT_GRAMMAR
from asyncfc.testing.models import Emit, Script, View, behaviours, play
from tests.adapters import loops
from tests.adapters.loops import APIS, GO, Gate, request_of

ON = (False, True)
SLOW = ("slow", {"text": "a"})

SCRIPTS: dict[str, tuple[Script, int]] = {
    "well behaved": (behaviours.well_behaved(SLOW, ("put", "text")), 1),
    "pipelines": (behaviours.pipelines(SLOW, ("put", "text")), 1),
    "calls twice": (behaviours.calls_twice(SLOW), 2),
    "invents a handle": (behaviours.invents_a_handle("slow", "text"), 0),
    "awaits settled": (behaviours.awaits_settled(SLOW), 1),
    "awaits unknown": (behaviours.awaits_unknown(), 0),
    "never awaits": (behaviours.never_awaits(SLOW), 1),
    "answers with handles": (behaviours.answers_with_handles(SLOW), 1),
    "stops mid handle": (behaviours.stops_mid_handle(SLOW), 1),
    "refuses": (behaviours.refuses(), 0),
    "talks and calls": (behaviours.talks_and_calls("Let me see.", SLOW), 1),
}


def put(text: str) -> str:
    """Put."""
    return f"put {text}"


@pytest.mark.parametrize("stream", ON)
@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_the_loop_ends_well(name: str, api: str, stream: bool) -> None:
    script, runs = SCRIPTS[name]
    gate = Gate()
    gate.opened.set()
    slow = gate.tool()
    tools = {"slow": slow, "put": put}
    with loops.wrapped(script, api, tools, grace=0) as (server, made):
        messages = list(GO)
        said = loops.loop(
            made.client, api, made.tools, messages, made.session.inner.tools.values(), stream=stream
        )
        assert made.session.owed == []
        tag = made.session.inner.grammar.tag_for(made.session.inner.id)
    assert len(gate.calls) == runs
    assert f"${tag}" not in said.text + str(gate.calls)
    assert "".join(said.shown) in {"", said.text}
    assert server.rejections == []


@pytest.mark.parametrize("api", APIS)
def test_a_tool_that_is_not_there_is_the_loops_own_business(api: str) -> None:
    script = behaviours.calls_a_missing_tool()
    with (
        loops.wrapped(script, api, {"put": put}) as (_, made),
        pytest.raises(KeyError, match="no_such_tool"),
    ):
        loops.loop(made.client, api, made.tools, list(GO), [])


CUT = behaviours.cut_off_in_arguments(SLOW, ("slow", {"text": "bbbbbbbb"}))


@pytest.mark.parametrize("api", APIS)
def test_a_message_that_is_cut_off_runs_no_call(api: str) -> None:
    gate = Gate()
    gate.opened.set()
    write = gate.tool(writes=["x"])
    with loops.wrapped(CUT, api, {"slow": write}, grace=0) as (server, made):
        messages = list(GO)
        said = loops.ask(made.client, api, **request_of(api, messages, [write]))
        first = made.tools["slow"](**SLOW[1])
        assert first.startswith("Not run")
        messages += said.items
        messages += loops.answer_items(api, [(call.id, first) for call in said.calls])
        assert "Not run" in loops.ask(made.client, api, **request_of(api, messages, [write])).text
    assert gate.calls == []
    assert server.rejections == []


@pytest.mark.parametrize("level", ["reads", "writes"])
@pytest.mark.parametrize("api", APIS)
def test_a_streamed_message_that_is_cut_off_leaves_no_call_behind(api: str, level: str) -> None:
    gate = Gate()
    gate.opened.set()
    slow = gate.tool(reads=["x"]) if level == "reads" else gate.tool(writes=["x"])
    with loops.wrapped(CUT, api, {"slow": slow}, grace=0) as (_, made):
        for _ in loops.surface(made.client, api).create(**request_of(api, GO, [slow]), stream=True):
            pass
        assert made.session.owed == []
        made.session.finish()
        if level == "writes":
            assert gate.calls == []


@pytest.mark.parametrize("api", APIS)
def test_text_of_a_tool_that_reads_as_a_handle_is_passed_on_unharmed(api: str) -> None:
    log = f"see ${DEFAULT_GRAMMAR.tag_for('s')}_1 and $this_2"
    seen: list[str] = []

    def show(text: str) -> str:
        """Show."""
        return log

    def keep(text: str) -> str:
        """Keep."""
        seen.append(text)
        return "kept"

    script = behaviours.copies_an_escaped_handle(("show", {"text": "x"}), ("keep", "text"))
    tools = {"show": show, "keep": keep}
    with loops.wrapped(script, api, tools, grace=loops.PATIENT, id="s") as (server, made):
        messages = [{"role": "user", "content": log}]
        loops.loop(made.client, api, made.tools, messages, made.session.inner.tools.values())
    assert seen == [log]
    assert messages[0]["content"] == log
    sent = server.requests[0].body["input" if api == "responses" else "messages"]
    assert "see $$" in json.dumps([item for item in sent if item["role"] == "user"])


@pytest.mark.parametrize("api", APIS)
def test_every_turn_of_the_user_gets_its_own_results(api: str) -> None:
    gate = Gate()
    gate.opened.set()
    slow = gate.tool()
    script = behaviours.one_call_per_user(SLOW, ("slow", {"text": "b"}))
    messages: list[Any] = []
    with loops.wrapped(script, api, {"slow": slow}, grace=0) as (server, made):
        for letter in "ab":
            messages.append({"role": "user", "content": f"turn {letter}"})
            said = loops.loop(made.client, api, made.tools, messages, [slow])
            assert f"result {letter}" in said.text
        made.session.finish()
    assert gate.calls == ["a", "b"]
    assert server.rejections == []


# --- how a message ends while outcomes are unseen ---


def early(gate: Gate, text: str = "I am done.") -> Script:
    """Says that it is done while its call runs; told the outcome, it says so."""

    def step(view: View) -> Emit:
        gate.opened.set()
        told = [answer.text for answer in view.answers() if "has ended" in answer.text]
        told += [m.text for m in view.messages if m.role == "user" and "has ended" in m.text]
        handle = view.passed_on("slow") if view.answers("slow") else ""
        return Emit("told: " + " ".join(told)) if told else Emit(text.format(handle=handle))

    return play(Emit(calls=[SLOW]), after=step)


@pytest.mark.parametrize("stream", ON)
@pytest.mark.parametrize("api", APIS)
def test_a_provisional_text_never_reaches_the_user(api: str, stream: bool) -> None:
    gate = Gate()
    slow = gate.tool()
    with loops.wrapped(early(gate), api, {"slow": slow}, grace=0) as (_, made):
        messages = list(GO)
        said = loops.loop(made.client, api, made.tools, messages, [slow], stream=stream)
    assert said.text.startswith("told:")
    assert "result a" in said.text
    assert "done" not in "".join(said.shown)
    assert "I am done" not in json.dumps(messages)
    assert made.dialogue.extra_messages == 1


@pytest.mark.parametrize("stream", ON)
@pytest.mark.parametrize("api", APIS)
def test_substitute_writes_the_value_in_place_of_the_handle(api: str, stream: bool) -> None:
    gate = Gate()
    slow = gate.tool()
    script = early(gate, "It is {handle}.")
    with loops.wrapped(script, api, {"slow": slow}, grace=0, final="substitute") as (_, made):
        said = loops.loop(made.client, api, made.tools, list(GO), [slow], stream=stream)
    assert said.text == "It is result a."
    assert "".join(said.shown) in {"", said.text}
    assert made.dialogue.extra_messages == 0


@pytest.mark.parametrize("stream", ON)
@pytest.mark.parametrize("api", APIS)
def test_open_ends_the_turn_and_the_next_one_brings_the_outcome_before_the_users_text(
    api: str, stream: bool
) -> None:
    gate = Gate()
    slow = gate.tool()

    def step(view: View) -> Emit:
        if view.messages[-1].text == "And now?":
            order = [message.role for message in view.messages]
            texts = [answer.text for answer in view.answers()]
            return Emit(f"{order} {texts}")
        return Emit("It runs.")

    script = play(Emit(calls=[SLOW]), after=step)
    with loops.wrapped(script, api, {"slow": slow}, grace=0, final="open") as (server, made):
        messages = list(GO)
        said = loops.loop(made.client, api, made.tools, messages, [slow], stream=stream)
        assert said.text == "It runs."
        assert not gate.opened.is_set()
        gate.opened.set()
        made.session.wait_for(made.session.owed)
        messages.append({"role": "user", "content": "And now?"})
        said = loops.loop(made.client, api, made.tools, messages, [slow], stream=stream)
    assert "result a" in said.text
    assert "'tool', 'user'] [" in said.text
    assert server.rejections == []


@pytest.mark.parametrize("stream", ON)
@pytest.mark.parametrize("api", APIS)
def test_extra_messages_are_capped(api: str, stream: bool) -> None:
    """A model that makes a call instead of ending each time it is asked again."""

    def script(view: View) -> Emit:
        last = view.messages[-1]
        new = len(view.calls("slow"))
        if last.role == "tool" and last.answers[-1].name == "slow" and "is running" in last.answers[-1].text:
            return Emit("Done.")
        return Emit(calls=[("slow", {"text": str(new)})]) if new < 6 else Emit("Really done.")

    gate = Gate()
    gate.opened.set()
    slow = gate.tool()
    with loops.wrapped(script, api, {"slow": slow}, grace=0, max_extra_messages=2) as (_, made):
        said = loops.loop(made.client, api, made.tools, list(GO), [slow], stream=stream)
        assert made.session.owed == []
    assert said.text in {"Done.", "Really done."}
    assert made.dialogue.extra_messages <= 2


@pytest.mark.parametrize("api", APIS)
def test_what_is_posted_comes_with_the_next_request(api: str) -> None:
    with loops.wrapped(
        play(after=lambda view: Emit(str([m.text for m in view.messages]))), api, {"put": put}
    ) as (_, made):
        made.session.post("Stop at noon.", "Ada")
        body = request_of(api, GO, [])
        first = loops.ask(made.client, api, **body)
        second = loops.ask(made.client, api, **body)
    assert first.text.count("Ada says") == 1
    assert second.text == first.text
