from __future__ import annotations

import json
from collections import Counter
from dataclasses import astuple
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from asyncfc.agent import run
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.models import Emit, model_of, play
from benchmarks.bfcl.data import packaged_cases
from benchmarks.protocol import __main__ as command
from benchmarks.protocol import compare, texts
from benchmarks.protocol.compare import Target, headline, lost, missed, ratios
from benchmarks.protocol.loops import plain_turn
from benchmarks.protocol.measured import Heard, Measured, mean
from benchmarks.protocol.report import lines
from benchmarks.protocol.strategies import STRATEGIES
from benchmarks.protocol.sweep import Row, measure
from benchmarks.protocol.turns import BFCL_MIX, Ending, Kind, Turn, make_step

BY_NAME = {strategy.name: strategy for strategy in STRATEGIES}
LENGTHS = (1, 3)


def _measured(
    name: str,
    q: float,
    kind: Kind = "independent",
    ending: Ending = "stop",
    lengths: tuple[int, ...] = LENGTHS,
) -> dict[int, Measured]:
    return measure(BY_NAME[name], kind, ending, q, lengths)


def _seconds(name: str, q: float, kind: Kind = "independent", ending: Ending = "stop") -> list[float]:
    return [one.seconds for one in _measured(name, q, kind, ending).values()]


def _messages(name: str, q: float, kind: Kind = "independent", ending: Ending = "stop") -> list[float]:
    return [one.messages for one in _measured(name, q, kind, ending).values()]


def _row(name: str, q: float, seconds: dict[int, float], **changes: Any) -> Row:
    by_calls = {calls: Measured(spent, calls + 1, 0.5, 1.5) for calls, spent in seconds.items()}
    given = {"kind": "independent", "ending": "stop", "mix": dict.fromkeys(seconds, 1), **changes}
    return Row(BY_NAME[name], q=q, by_calls=by_calls, **given)


# --- what is run ------------------------------------------------------------------------------------------


def test_a_dependent_step_refuses_anything_but_the_result_before_it() -> None:
    step = make_step(1, "dependent")
    with pytest.raises(ValueError, match=r"step 2 got '\$k7qz_1'; expected '<result 1>'"):
        run_virtual(step(2, "$k7qz_1"))
    assert run_virtual(step(2, "<result 1>")) == "<result 2>"


def test_a_wrong_result_in_a_plain_loop_is_no_measurement() -> None:
    with pytest.raises(ValueError, match="step 2 got"):
        run_virtual(plain_turn(Turn(2, "dependent", together=True), 1))


@pytest.mark.bfcl
def test_the_mix_is_that_of_the_packaged_cases() -> None:
    turns = Counter(len(turn.calls) for case in packaged_cases("base") for turn in case.turns)
    assert {calls: number for calls, number in turns.items() if calls} == dict(BFCL_MIX)


# --- what comes out, against what follows from the rules --------------------------------------------------


@pytest.mark.parametrize("q", [0.1, 1, 5])
@pytest.mark.parametrize("kind", ["independent", "dependent"])
def test_the_synchronous_loop_takes_all_messages_and_all_tools(q: float, kind: Kind) -> None:
    assert _seconds("sync", q, kind) == pytest.approx([n + 1 + n * q for n in LENGTHS])
    assert _messages("sync", q, kind) == [n + 1 for n in LENGTHS]


@pytest.mark.parametrize("q", [0.1, 5])
def test_parallel_calls_take_two_messages_and_the_time_of_one_tool(q: float) -> None:
    assert _seconds("parallel", q) == pytest.approx([2 + q] * 2)
    assert _messages("parallel", q) == [2, 2]


@pytest.mark.parametrize("ending", ["stop", "await"])
@pytest.mark.parametrize("q", [0.1, 0.75, 1, 5])
def test_without_grace_every_turn_takes_one_message_more(q: float, ending: Ending) -> None:
    assert _messages("grace_0", q, ending=ending) == [n + 2 for n in LENGTHS]
    assert _seconds("grace_0", q, ending=ending) == pytest.approx([n + 1 + max(1, q) for n in LENGTHS])


@pytest.mark.parametrize("kind", ["independent", "dependent"])
@pytest.mark.parametrize("q", [0.1, 0.5, 0.75])
def test_what_is_short_is_held_and_costs_what_it_costs_in_a_plain_loop(q: float, kind: Kind) -> None:
    for ours, plain in zip(*(_measured(name, q, kind).values() for name in ("auto", "sync")), strict=True):
        assert astuple(ours) == pytest.approx(astuple(plain))
    assert _messages("auto", q, kind) == [n + 1 for n in LENGTHS]


@pytest.mark.parametrize("ending", ["stop", "await"])
@pytest.mark.parametrize("q", [0.8, 1, 2, 10])
def test_what_is_long_runs_beside_the_messages(q: float, ending: Ending) -> None:
    assert _seconds("auto", q, ending=ending) == pytest.approx([n + 1 + max(1, q) for n in LENGTHS])
    ends = [0.0]
    for n in range(1, max(LENGTHS) + 1):
        ends.append(max(n, ends[-1]) + q)  # emitted after n messages, and needs the one before
    expected = [max(n + 1, ends[n]) + 1 for n in LENGTHS]
    assert _seconds("auto", q, "dependent", ending) == pytest.approx(expected)


@pytest.mark.parametrize("ending", ["stop", "await"])
@pytest.mark.parametrize("q", [0.5, 0.8, 1, 5])
def test_calls_of_one_message_are_as_fast_as_parallel_ones_save_in_the_window(
    q: float, ending: Ending
) -> None:
    slower = 1 - q if 0.75 < q < 1 else 0
    assert _seconds("auto_together", q, ending=ending) == pytest.approx([2 + q + slower] * 2)


def test_the_window_is_worst_just_above_the_hold() -> None:
    assert compare.just_above_the_hold() == pytest.approx(2.751 / 3)


def test_a_tool_that_nothing_is_known_of_is_held_in_vain_once() -> None:
    assert _seconds("auto_cold", 1)[0] == pytest.approx(3.75)
    assert _seconds("auto", 1)[0] == pytest.approx(3)


@pytest.mark.parametrize("q", [0.1, 1, 10])
def test_five_dependent_calls_in_one_message_take_at_most_three(q: float) -> None:
    assert _measured("pipelined", q, "dependent", lengths=(5,))[5].messages <= 3
    assert _measured("sync", q, "dependent", lengths=(5,))[5].messages == 6


def test_reads_start_while_their_message_is_still_written() -> None:
    (two,) = _measured("pipelined", 2, "dependent", lengths=(2,)).values()
    assert 1 + 2 * 2 < two.seconds < 1 + 2 * 2 + 1  # the first of them began before the message had ended


def test_the_first_text_is_no_later_than_in_a_plain_loop_and_the_answer_comes_as_it_is_written() -> None:
    for q in (0.5, 2):
        ours, plain = _measured("auto", q)[3], _measured("sync", q)[3]
        assert ours.first_text == pytest.approx(plain.first_text)
        assert ours.first_text < 1
        assert ours.seconds - 1 < ours.first_answer < ours.seconds - 0.5


# --- sums -------------------------------------------------------------------------------------------------


def test_a_turn_that_did_not_end_with_its_answer_is_no_measurement() -> None:
    heard = Heard(10)
    heard.note("Let me see.", 11)
    with pytest.raises(AssertionError, match=r"ended with 'Let me see\.'; expected 'Done' at its end"):
        heard.measured("Done", 2, 12)


def test_the_answer_begins_with_the_piece_that_has_its_first_character() -> None:
    heard = Heard(10)
    for now, text in ((11, "Let me see."), (12, ""), (13, "Do"), (14, "ne")):
        heard.note(text, now)
    assert heard.measured("Done", 2, 15) == Measured(5, 2, 1, 3)


def test_the_mean_turn_is_weighted_by_the_mix() -> None:
    by_calls = {1: Measured(2, 2, 1, 1), 2: Measured(6, 4, 1, 5)}
    assert mean(by_calls, {1: 3, 2: 1}) == Measured(3, 2.5, 1, 2)


def test_a_strategy_is_compared_with_the_same_turns_only() -> None:
    rows = [_row("sync", 1, {1: 4.0}), _row("sync", 2, {1: 9.0}), _row("auto", 1, {1: 2.0})]
    assert [ratio.of_mix for ratio in ratios(rows)] == [2.0]
    assert ratios([_row("auto", 5, {1: 2.0}), *rows], "pipelined") == []


def test_losses_are_named_with_the_turns_that_lose() -> None:
    rows = [_row("sync", 1, {1: 3.0, 2: 5.0}), _row("auto", 1, {1: 4.0, 2: 4.0})]
    rows.append(_row("auto", 1, {1: 3.0, 2: 6.0}, ending="await"))
    expected = {"strategy": "auto", "against": "sync", "q": 1, "mix": 0.8889}
    assert lost(rows) == [{**expected, "by_calls": {"1": 0.75, "2": 0.8333}}]
    assert lost([rows[0], _row("auto", 1, {1: 3.0, 2: 5.0})]) == []


def test_headline_takes_the_worst_and_leaves_open_what_was_not_measured() -> None:
    rows = [_row("sync", 2, {1: 4.0}), _row("auto", 2, {1: 2.0})]
    rows.append(_row("auto", 2, {1: 4.5}, ending="await"))
    numbers = headline(rows)
    assert numbers.pop("auto_min_speedup") == pytest.approx(4 / 4.5)
    assert set(numbers.values()) == {None}


def test_the_window_counts_against_parallel_calls_but_not_outside_of_it() -> None:
    rows = [_row(name, q, {1: 3.0}) for name in ("parallel", "auto_together") for q in (0.75, 1)]
    rows += [_row("parallel", 0.8, {1: 2.8}), _row("auto_together", 0.8, {1: 3.0})]
    numbers = headline(rows)
    assert numbers["auto_min_vs_parallel"] == pytest.approx(2.8 / 3)
    assert numbers["auto_min_vs_parallel_outside"] == 1


def test_a_missed_target_is_named_with_its_number() -> None:
    numbers: dict[str, float | None] = dict.fromkeys(compare.TARGETS)
    assert missed(numbers) == []
    assert missed({**numbers, "auto_min_speedup": 1 - 1e-12, "pipelining_messages": 3}) == []
    assert missed({**numbers, "auto_min_speedup": 0.99, "pipelining_messages": 4}) == [
        "auto_min_speedup is 0.99; expected >= 1.0",
        "pipelining_messages is 4; expected <= 3",
    ]


def test_ways_to_end_the_calls_share_a_line_only_if_they_differ_in_nothing() -> None:
    rows = [_row("sync", 1, {1: 3.0}), _row("auto", 1, {1: 2.0}), _row("auto", 1, {1: 2.0}, ending="await")]
    assert [line["endings"] for line in lines(rows)] == [["stop"], ["stop", "await"]]
    rows[2] = _row("auto", 1, {1: 2.5}, ending="await")
    assert [line["speedup"] for line in lines(rows)] == [{}, {"sync": 1.5}, {"sync": 1.2}]


# --- texts ------------------------------------------------------------------------------------------------


def test_the_characters_of_the_texts_are_those_that_stand_in_requests() -> None:
    search = ("search", texts.ARGUMENTS)
    model = model_of(play(Emit(calls=[search]), Emit(calls=[search]), after=Emit("Done.")), decode=2.0)

    async def speak(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        return await model({"model": "scripted", "messages": messages, "tools": tools})

    run_virtual(run(speak, [{"role": "user", "content": "Go."}], [texts.search], grace=0, id="texts"))
    sizes, (first, second, third, *_) = texts.characters(), model.requests
    assert len(first["messages"][0]["content"]) == sizes["system_note"]
    controls = json.dumps(first["tools"][1:], separators=(",", ":"), ensure_ascii=False)
    assert len(controls) - len("[,]") == sizes["control_tools"]
    assert len(second["messages"][-1]["content"]) == sizes["placeholder"]
    told = sizes["placeholder"] + sizes["block"] + sizes["delivery"] + len("sunny")
    assert len(third["messages"][-1]["content"]) == told
    assert texts.sums(sizes)["tokens_per_call"] == (told - len("sunny")) / 4


def test_a_parameter_that_takes_any_string_already_costs_nothing() -> None:
    sizes = texts.characters()
    assert 0 < sizes["relaxation_per_further_parameter"] < sizes["relaxation_first_of_a_tool"]


# --- the command ------------------------------------------------------------------------------------------


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(command.app, [*arguments, "--longest", "1"])


def test_the_json_has_the_numbers_the_rows_and_the_settings() -> None:
    result = _invoke("--json", "--q", "2")
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 1
    sums = json.loads(result.stdout)
    assert (sums["missed"], sums["auto_min_speedup"], sums["pipelining_messages"]) == ([], 1.0, None)
    assert {line["strategy"] for line in sums["rows"]} == set(BY_NAME)
    assert (sums["settings"]["q"], sums["settings"]["mix"]) == ([2.0], {"1": 474})
    assert sums["tokens_once"] > sums["tokens_per_call"] > 0
    assert "python" in sums["versions"]


def test_a_missed_target_is_told_and_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compare.TARGETS, "auto_min_speedup", Target(least=1.5))
    result = _invoke("--q", "2")
    assert result.exit_code == 1
    assert "target missed: auto_min_speedup is 1.0; expected >= 1.5" in result.stderr
    assert "auto_min_speedup" in result.stdout


@pytest.mark.parametrize(("option", "value"), [("--q", "-1"), ("--longest", "8")])
def test_wrong_options_are_refused_before_anything_runs(option: str, value: str) -> None:
    result = CliRunner().invoke(command.app, [option, value])
    assert result.exit_code == 2
    assert option in result.output
