"""However a loop calls its tools, it gets the calls that the model made."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from asyncfc import tool
from asyncfc.adapters.callables import PendingText
from asyncfc.errors import DeclarationError, TranscriptError
from asyncfc.testing.models import Emit, ModelServer, View, play
from tests.adapters import loops
from tests.adapters.loops import GO, PATIENT, Gate, fetch, search

PENDING = PendingText("$k7qz_1 is running.", "search")


# --- the text that stands for a result ---


@pytest.mark.parametrize(
    "use",
    [
        lambda out: out["rows"],
        lambda out: out[0],
        lambda out: out.rows,
        lambda out: out.get("rows"),
        list,
        lambda out: [*out],
        lambda out: dict.fromkeys(out, 1),
    ],
)
def test_a_program_that_reads_a_pending_result_is_told_what_to_do(use: Callable[[Any], Any]) -> None:
    with pytest.raises((TypeError, AttributeError), match=r"search.*still runs.*inline=\{'search'\}"):
        use(PENDING)


def test_a_pending_result_is_a_text_to_all_that_writes_texts() -> None:
    text = str(PENDING)
    assert json.loads(json.dumps({"content": PENDING})) == {"content": text}
    assert f"<{PENDING}>" == f"<{text}>"
    assert str(PENDING[:8]) == "$k7qz_1 "
    assert str(PENDING + "!") == text + "!"
    assert text == PENDING
    assert len(PENDING) == len(text)
    assert not hasattr(PENDING, "model_dump")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_pending_result_can_be_copied(copied: Callable[[Any], Any]) -> None:
    other = copied({"content": PENDING})["content"]
    assert other == PENDING
    with pytest.raises(AttributeError, match="search"):
        _ = other.rows


# --- ways of calling ---


TWO = play(Emit(calls=[("search", {"text": "a"}), ("fetch", {"url": "b"})]), Emit("Done."))


def after_one_message(
    use: Callable[[dict[str, Any]], Any], script: Any = TWO, tools: Any = (search, fetch), **settings: Any
) -> Any:
    """What a loop makes of the calls of one message."""
    settings = {"grace": PATIENT, **settings}
    with loops.wrapped(script, "chat", {one.name: one for one in tools}, **settings) as (_, made):
        loops.ask(made.client, "chat", **loops.request_of("chat", GO, tools))
        return use(made.tools)


WAYS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "by name": lambda tools: [tools["search"](text="a"), tools["fetch"](url="b")],
    "positionally": lambda tools: [tools["search"]("a"), tools["fetch"]("b")],
    "in another order": lambda tools: [tools["fetch"](url="b"), tools["search"](text="a")][::-1],
    "in threads": lambda tools: list(
        ThreadPoolExecutor(2).map(
            lambda ask: tools[ask[0]](**ask[1]), [("search", {"text": "a"}), ("fetch", {"url": "b"})]
        )
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_calling_gives_each_call_its_own_result(way: str) -> None:
    assert after_one_message(WAYS[way]) == [["a", "a!"], "page of b"]


def counted() -> tuple[Any, list[str]]:
    made: list[str] = []

    @tool(writes=["x"])
    def put(text: str, times: int = 1) -> str:
        made.append(text)
        if text == "bad":
            raise ValueError("not that")
        return f"put {text} x{times}"

    return put, made


def puts(*texts: str) -> Any:
    return play(Emit(calls=[("put", {"text": text}) for text in texts]), Emit("Done."))


def test_each_call_runs_once_although_asyncfc_and_the_loop_both_make_it() -> None:
    put, made = counted()
    assert after_one_message(lambda t: t["put"]("a"), puts("a"), [put]) == "put a x1"
    assert made == ["a"]


def test_two_equal_calls_of_the_model_are_two_calls() -> None:
    put, made = counted()
    after_one_message(lambda t: [t["put"]("a"), t["put"]("a")], puts("a", "a"), [put])
    assert made == ["a", "a"]


def test_a_call_made_again_after_an_exception_is_made_again() -> None:
    put, made = counted()

    def retried(tools: dict[str, Any]) -> None:
        for _ in range(2):
            with pytest.raises(ValueError, match="not that"):
                tools["put"]("bad")

    after_one_message(retried, puts("bad"), [put])
    assert made == ["bad", "bad"]


def test_the_tools_own_defaults_change_no_arguments() -> None:
    put, made = counted()
    assert after_one_message(lambda t: t["put"](text="a", times=1), puts("a"), [put]) == "put a x1"
    assert made == ["a"]


def test_changed_arguments_are_refused_by_name_and_the_call_is_not_made_twice() -> None:
    put, made = counted()
    with pytest.raises(
        TranscriptError, match=r'put was called with \{"text": "b"\}.*"a".*inline=\{\'put\'\}'
    ):
        after_one_message(lambda t: t["put"]("b"), puts("a"), [put])
    assert made == ["a"]


def test_an_inline_tool_may_be_called_with_changed_arguments() -> None:
    put, made = counted()
    assert after_one_message(lambda t: t["put"]("b"), puts("a"), [put], inline={"put"}) == "put b x1"
    assert made == ["b"]


def test_an_inline_tool_that_the_loop_refuses_to_call_never_runs() -> None:
    put, made = counted()
    script = play(Emit(calls=[("put", {"text": "a"})]), lambda view: Emit(view.last_texts()[0]))
    messages = list(GO)
    with loops.wrapped(script, "messages", {"put": put}, inline={"put"}, grace=0) as (_, wrapped):
        said = loops.ask(wrapped.client, "messages", **loops.request_of("messages", messages, [put]))
        messages += [*said.items, *loops.answer_items("messages", [(said.calls[0].id, "The user said no.")])]
        said = loops.ask(wrapped.client, "messages", **loops.request_of("messages", messages, [put]))
    assert said.text == "The user said no."
    assert made == []


def test_an_inline_call_gets_the_values_of_the_handles_in_its_arguments() -> None:
    gate = Gate()
    gate.opened.set()
    put, made = counted()
    script = play(
        Emit(calls=[("slow", {"text": "a"})]),
        lambda view: Emit(calls=[("put", {"text": view.passed_on("slow")})]),
        Emit("Done."),
    )
    tools = {"slow": gate.tool(), "put": put}
    with loops.wrapped(script, "chat", tools, inline={"put"}, grace=0) as (_, wrapped):
        loops.loop(wrapped.client, "chat", wrapped.tools, list(GO), list(tools.values()))
    assert made == ["result a"]


def test_the_programs_own_calls_between_the_models_are_calls_of_their_own() -> None:
    put, made = counted()

    def use(tools: dict[str, Any]) -> list[str]:
        return [tools["put"]("a"), tools["put"]("mine"), tools["put"]("a")]

    assert after_one_message(use, puts("a"), [put]) == ["put a x1", "put mine x1", "put a x1"]
    assert made == ["a", "mine", "a"]


def test_a_loop_that_calls_nothing_is_warned_and_the_results_come_later() -> None:
    def told(view: View) -> Emit:
        texts = [
            text for message in view.messages for text in (message.text, *(a.text for a in message.answers))
        ]
        return Emit(" ".join(texts))

    script = play(Emit(calls=[("search", {"text": "a"})]), told)
    messages = list(GO)
    with loops.wrapped(script, "chat", {"search": search}, grace=PATIENT) as (_, made):
        said = loops.ask(made.client, "chat", **loops.request_of("chat", messages, [search]))
        made.session.wait_for(made.session.owed)
        messages += [*said.items, *loops.answer_items("chat", [(said.calls[0].id, "my own")])]
        with pytest.warns(RuntimeWarning, match=r"did not ask for the results of \['search'\].*inline="):
            said = loops.ask(made.client, "chat", **loops.request_of("chat", messages, [search]))
    assert "my own" in said.text
    assert '["a","a!"]' in said.text


def test_the_warning_names_only_the_calls_that_were_left_out() -> None:
    messages = list(GO)
    with loops.wrapped(TWO, "chat", {"search": search, "fetch": fetch}, grace=PATIENT) as (_, made):
        said = loops.ask(made.client, "chat", **loops.request_of("chat", messages, [search, fetch]))
        answers = [(said.calls[0].id, str(made.tools["search"]("a"))), (said.calls[1].id, "denied")]
        messages += [*said.items, *loops.answer_items("chat", answers)]
        with pytest.warns(RuntimeWarning, match=r"results of \['fetch'\]"):
            loops.ask(made.client, "chat", **loops.request_of("chat", messages, [search, fetch]))


# --- what is wrapped ---


def find(text: str) -> str:
    """Imported under another name."""
    return f"found {text}"


class Files:
    def read(self, path: str) -> str:
        """A method."""
        return f"text of {path}"


def test_a_list_gives_a_list_in_the_same_order() -> None:
    with loops.wrapped(TWO, "chat", [search, fetch], grace=PATIENT) as (_, (client, (first, second, *rest))):
        loops.ask(client, "chat", **loops.request_of("chat", GO, [search, fetch]))
        assert second("b") == "page of b"
        assert first("a") == ["a", "a!"]
        assert len(rest) == 2


@pytest.mark.parametrize(
    ("name", "function", "arguments", "result"),
    [
        ("lookup", find, {"text": "x"}, "found x"),
        ("read", Files().read, {"path": "x"}, "text of x"),
        ("look", search.with_name("look"), {"text": "x"}, ["x", "x!"]),
    ],
)
def test_functions_methods_and_tools_go_by_the_name_in_the_mapping(
    name: str, function: Any, arguments: dict[str, Any], result: Any
) -> None:
    script = play(Emit(calls=[(name, arguments)]), Emit("Done."))
    with loops.wrapped(script, "chat", {name: function}, grace=PATIENT) as (_, made):
        loops.ask(made.client, "chat", **loops.request_of("chat", GO, []))
        assert made.tools[name](**arguments) == result


def test_a_wrapped_function_keeps_its_signature_and_docstring() -> None:
    with loops.wrapped(play(), "chat", {"find": find}) as (_, made):
        assert inspect.signature(made.tools["find"]) == inspect.signature(find)
        assert made.tools["find"].__doc__ == "Imported under another name."


def test_settings_written_wrongly_are_refused_at_once() -> None:
    with ModelServer(play()) as server:
        client = loops.new_client(server, "chat")
        with client:
            with pytest.raises(DeclarationError, match="inline has"):
                loops.wrap(client, {"find": find}, inline={"fnid"})
            with pytest.raises(DeclarationError, match="final is 'maybe'"):
                loops.wrap(client, {"find": find}, final="maybe")
            with pytest.raises(DeclarationError, match="no setting 'graec'; did you mean 'grace'"):
                loops.wrap(client, {"find": find}, graec=1)
    with pytest.raises(DeclarationError, match="no client of the OpenAI SDK"):
        loops.wrap(object(), {"find": find})


# --- asynchronous clients ---


async def _asynchronously(use: Callable[[Any], Any], tools: Any, script: Any, **settings: Any) -> Any:
    with ModelServer(script) as server:
        client = loops.new_client(server, "chat", asynchronous=True)
        made = loops.wrap(client, {one.name: one for one in tools}, **{"grace": PATIENT, **settings})
        async with made.client:
            await loops.ask_async(made.client, "chat", **loops.request_of("chat", GO, tools))
            return await use(made)


def asynchronously(use: Callable[[Any], Any], tools: Any, script: Any, **settings: Any) -> Any:
    return asyncio.run(_asynchronously(use, tools, script, **settings))


@tool(pure=True)
async def look(text: str) -> str:
    return f"saw {text}"


LOOKS = play(Emit(calls=[("look", {"text": "a"}), ("look", {"text": "b"})]), Emit("Done."))


def test_gather_gives_each_call_its_own_result() -> None:
    async def use(made: Any) -> Any:
        return await asyncio.gather(made.tools["look"]("b"), made.tools["look"]("a"))

    assert asynchronously(use, [look], LOOKS) == ["saw b", "saw a"]


def test_synchronous_tools_answer_at_once_on_an_asynchronous_client() -> None:
    async def use(made: Any) -> Any:
        return [made.tools["search"]("a"), made.tools["fetch"]("b"), made.tools["fetch"]("own")]

    assert asynchronously(use, [search, fetch], TWO) == [["a", "a!"], "page of b", "page of own"]


def test_synchronous_tools_may_be_called_in_a_thread_of_an_asynchronous_program() -> None:
    put, made = counted()

    async def use(wrapped: Any) -> Any:
        return [await asyncio.to_thread(wrapped.tools["put"], text) for text in ("a", "b", "c")]

    settings = {"inline": {"put"}}
    assert asynchronously(use, [put], puts("a", "b"), **settings) == ["put a x1", "put b x1", "put c x1"]
    assert made == ["a", "b", "c"]


def test_an_inline_synchronous_tool_runs_at_once_where_it_has_nothing_to_wait_for() -> None:
    put, made = counted()

    async def use(wrapped: Any) -> Any:
        return wrapped.tools["put"]("a")

    assert asynchronously(use, [put], puts("a"), inline={"put"}) == "put a x1"
    assert made == ["a"]


def test_a_synchronous_tool_on_the_loop_that_would_have_to_wait_says_so() -> None:
    gate = Gate()
    put, made = counted()
    script = play(Emit(calls=[("slow", {"text": "x"}), ("put", {"text": "$this_1"})]), Emit("Done."))

    async def use(wrapped: Any) -> Any:
        with pytest.raises(TranscriptError, match=r"put is synchronous.*to_thread"):
            wrapped.tools["put"]("$this_1")
        gate.opened.set()

    asynchronously(use, [gate.tool(), put], script, inline={"put"}, grace=0)
    assert made == []


def test_asynchronous_tools_work_on_a_synchronous_client() -> None:
    with loops.wrapped(LOOKS, "chat", {"look": look}, grace=PATIENT) as (_, made):
        loops.ask(made.client, "chat", **loops.request_of("chat", GO, [look]))

        async def use() -> Any:
            return await asyncio.gather(made.tools["look"]("b"), made.tools["look"]("a"))

        assert asyncio.run(use()) == ["saw b", "saw a"]


def test_a_synchronous_client_works_where_a_loop_is_running() -> None:
    async def main() -> str:
        with loops.wrapped(TWO, "chat", {"search": search, "fetch": fetch}, grace=PATIENT) as (_, made):
            return loops.loop(made.client, "chat", made.tools, list(GO), [search, fetch], stream=True).text

    assert asyncio.run(main()) == "Done."


# --- await_future and cancel_future, as the loop calls them ---


def test_the_loop_answers_an_await_of_the_model_like_any_other_call() -> None:
    gate = Gate()
    script = play(
        Emit(calls=[("slow", {"text": "a"})]),
        gate.open(lambda view: Emit(calls=[("await_future", {"handles": view.handles()})])),
        lambda view: Emit(view.last_texts()[-1]),
    )
    with loops.wrapped(script, "chat", {"slow": gate.tool()}, grace=0) as (_, made):
        said = loops.loop(made.client, "chat", made.tools, list(GO), [gate.tool()])
    assert said.text.endswith("result a")


def test_the_model_cancels_a_call_through_the_loop() -> None:
    gate = Gate()
    put, made = counted()
    tools = {"slow": gate.tool(writes=["x"]), "put": put}
    script = play(
        Emit(calls=[("slow", {"text": "a"}), ("put", {"text": "b"})]),
        lambda view: Emit(calls=[("cancel_future", {"handle": view.handles()[1]})]),
        gate.open(Emit("Done.")),
        after=lambda view: Emit(" ".join(view.last_texts())),
    )
    with loops.wrapped(script, "messages", tools, grace=0) as (_, wrapped):
        messages = list(GO)
        said = loops.loop(wrapped.client, "messages", wrapped.tools, messages, list(tools.values()))
    assert "was asked to stop" in json.dumps(messages)
    assert "result a" in said.text
    assert made == []


def test_a_program_that_awaits_futures_by_the_models_tool_is_sent_to_the_session() -> None:
    with (
        loops.wrapped(play(), "chat", {"find": find}) as (_, made),
        pytest.raises(TranscriptError, match="session"),
    ):
        made.tools["await_future"]()
