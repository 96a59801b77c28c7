from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from asyncfc.futures.outcome import Cancelled, Outcome
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.oracle import Recorded, Ref, Step, Text, digest, refs, renamed, run_in_order
from asyncfc.tools import Tool


def _run(tools: Mapping[str, Callable[..., Any]], *steps: Step) -> list[Outcome]:
    named = {name: Tool(function, name=name) for name, function in tools.items()}
    return run_virtual(lambda: run_in_order(steps, named))


def give(value: Any) -> Any:
    return value


def fail(text: str = "broken") -> Any:
    raise ValueError(text)


def test_a_tool_that_raises_yields_its_error_and_the_next_call_runs() -> None:
    outcomes = _run(
        {"give": give, "fail": fail}, Step("fail", {"text": "no disk"}), Step("give", {"value": 1})
    )
    assert [digest(o) for o in outcomes] == [("failure", "ValueError", "no disk"), ("value", "1")]


def test_whatever_a_tool_raises_is_its_outcome() -> None:
    def leave() -> None:
        raise SystemExit(3)

    assert digest(_run({"leave": leave}, Step("leave", {}))[0]) == ("failure", "SystemExit", "3")


def test_a_data_dependant_does_not_run_and_names_the_earliest_emitted_root() -> None:
    ran: list[Any] = []
    outcomes = _run(
        {"fail": fail, "note": ran.append, "give": give},
        Step("fail", {"text": "first"}),
        Step("fail", {"text": "second"}),
        Step("give", {"value": Ref(1)}),
        Step("give", {"value": [Ref(2), {"k": Ref(0)}]}),
        Step("give", {"value": Ref(2)}),
    )
    assert [digest(o)[:2] for o in outcomes[2:]] == [("upstream", "1"), ("upstream", "0"), ("upstream", "1")]
    assert not ran


def test_references_are_replaced_whole_by_path_and_inside_text() -> None:
    outcomes = _run(
        {"give": give},
        Step("give", {"value": {"a": [1, {"b": "ä"}]}}),
        Step("give", {"value": Ref(0)}),
        Step("give", {"value": Ref(0, ("a", 1, "b"))}),
        Step("give", {"value": Text(("<", Ref(0, ("a",)), "> ", Ref(2)))}),
        Step("give", {"value": Ref(0, ("a", "b"))}),
    )
    assert [digest(o) for o in outcomes[1:]] == [
        ("value", "{'a': [1, {'b': 'ä'}]}"),
        ("value", "'ä'"),
        ("value", repr('<[1,{"b":"ä"}]> ä')),
        ("failure", "UnresolvedPath"),
    ]


def test_a_result_is_taken_when_the_call_ends_not_later() -> None:
    state: list[int] = []

    def add(n: int) -> list[int]:
        state.append(n)
        return state

    outcomes = _run({"add": add}, *(Step("add", {"n": n}) for n in range(3)))
    assert [digest(o)[1] for o in outcomes] == ["[0]", "[0, 1]", "[0, 1, 2]"]


def test_the_digest_tells_a_text_from_a_number() -> None:
    one, other = _run({"give": give}, Step("give", {"value": 1}), Step("give", {"value": "1"}))
    assert digest(one) != digest(other)


def test_refs_are_found_anywhere_and_in_order() -> None:
    arguments = {"a": [Ref(3)], "b": Text(("x", Ref(1, ("p",)))), "c": {"d": {"e": Ref(2)}}, "f": "$k7qz_1"}
    assert refs(arguments) == [Ref(3), Ref(1, ("p",)), Ref(2)]


def test_a_call_with_a_gate_needs_its_success_but_not_its_value() -> None:
    tools = {"give": Tool(give, name="give"), "fail": Tool(fail, name="fail")}
    steps = [
        Step("fail", {}),
        Step("give", {"value": 1}),
        Step("give", {"value": 2}),
        Step("give", {"value": Ref(0)}),
    ]
    outcomes = run_virtual(lambda: run_in_order(steps, tools, gates={1: (), 2: (0, 1), 3: (0, 1)}))
    assert [digest(o)[0] for o in outcomes] == ["failure", "value", "withheld", "upstream"]


def test_what_was_recorded_is_taken_as_it_is_and_fails_its_dependants() -> None:
    ran: list[Any] = []

    def note(value: Any) -> None:
        ran.append(value)

    tools = {"note": Tool(note, name="note"), "give": Tool(give, name="give")}
    steps = [Step("note", {"value": 1}), Step("note", {"value": 2}), Step("give", {"value": Ref(1)})]
    recorded = {0: Recorded(Cancelled("asked"), ran=False), 1: Recorded(Cancelled("asked"), ran=True)}
    outcomes = run_virtual(lambda: run_in_order(steps, tools, recorded=recorded))
    assert [digest(o)[:2] for o in outcomes] == [
        ("cancelled", "asked"),
        ("cancelled", "asked"),
        ("upstream", "1"),
    ]
    assert ran == [2]


def test_another_order_gives_the_outcomes_in_the_order_of_emission() -> None:
    ran: list[int] = []

    def note(n: int) -> int:
        ran.append(n)
        return n

    steps = [Step("note", {"n": n}) for n in range(3)]
    outcomes = run_virtual(lambda: run_in_order(steps, {"note": Tool(note, name="note")}, order=[2, 0, 1]))
    assert ran == [2, 0, 1]
    assert [digest(o)[1] for o in outcomes] == ["0", "1", "2"]


def test_renamed_references_name_other_calls_and_nothing_else_changes() -> None:
    arguments = {"a": [Ref(3, ("p",))], "b": Text(("x", Ref(1))), "c": "$this_1", "d": 7}
    renamed_arguments = renamed(arguments, lambda n: n + 10)
    assert renamed_arguments == {"a": [Ref(13, ("p",))], "b": Text(("x", Ref(11))), "c": "$this_1", "d": 7}
