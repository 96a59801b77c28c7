"""The benchmark of adapters plays the same scene on both sides, and prints one object."""

from __future__ import annotations

import asyncio
import json

import pytest

from benchmarks.adapters import __main__ as command
from benchmarks.adapters import cases
from benchmarks.adapters.cases import CASES, elsewhere, load
from benchmarks.adapters.measure import measure
from benchmarks.adapters.scene import ANSWER, Scene
from tests.benchmarks.counted import assert_alike

TINY = Scene(messages=2, calls=3, tool_s=0.0, model_s=0.0, settings={"grace": 10.0})
HERE = {name: load(name) for name in CASES if elsewhere(name) is None}


@pytest.fixture
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    async def numbers(*_: object) -> dict[str, float]:
        return dict.fromkeys(command.COLUMNS, 1.0)

    monkeypatch.setattr(command, "measure", numbers)


def test_all_cases_but_that_of_litellm_are_played_here() -> None:
    assert set(CASES) - set(HERE) == {"litellm"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning:inspect")  # LlamaIndex looks at its workflows
@pytest.mark.parametrize("with_asyncfc", [False, True])
@pytest.mark.parametrize("name", HERE)
def test_both_sides_make_the_same_calls_and_ask_the_model_equally_often(
    name: str, with_asyncfc: bool
) -> None:
    assert_alike(HERE[name], with_asyncfc)


def test_the_canned_model_says_its_last_words_again_and_again() -> None:
    model = TINY.model()

    async def ask(times: int) -> list[str | None]:
        return [(await model({}))["choices"][0]["message"]["content"] for _ in range(times)]

    assert asyncio.run(ask(5)) == [None, None, ANSWER, ANSWER, ANSWER]


def test_the_numbers_fit_together() -> None:
    numbers = asyncio.run(measure(load("run"), 1, instant=TINY, slow=TINY))
    assert numbers["added_us"] == pytest.approx(numbers["with_us"] - numbers["without_us"], abs=0.2)
    assert numbers["ratio"] == pytest.approx(numbers["with_us"] / numbers["without_us"], rel=0.05)


@pytest.mark.usefixtures("_measured")
def test_the_last_line_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--json", "--only", "run"])
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["adapters"] == {"run": dict.fromkeys(command.COLUMNS, 1.0)}
    assert printed["not_run"] == {}


@pytest.mark.usefixtures("_measured")
@pytest.mark.parametrize(
    ("absent", "python", "has_litellm"),
    [("litellm", ".venv-litellm/bin/python", False), ("openai", ".venv/bin/python", True)],
)
def test_what_is_not_run_comes_with_the_command_for_it(
    absent: str,
    python: str,
    has_litellm: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cases, "find_spec", lambda _: object() if has_litellm else None)
    command.main(["--json", "--only", absent])
    captured = capsys.readouterr()
    wanted = f"{python} -m benchmarks.adapters --only {absent} --json"
    printed = json.loads(captured.out)
    assert (printed["adapters"], printed["not_run"]) == ({}, {absent: wanted})
    assert f"{absent} was not run" in captured.err
    assert captured.err.endswith(wanted + "\n")


@pytest.mark.usefixtures("_measured")
def test_the_others_are_measured_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cases, "find_spec", lambda _: None)
    command.main(["--json"])
    printed = json.loads(capsys.readouterr().out)
    assert list(printed["adapters"]) == [name for name in CASES if name != "litellm"]


@pytest.mark.parametrize(("option", "value"), [("--only", "nothing"), ("--rounds", "0"), ("--rounds", "x")])
def test_an_option_written_wrongly_is_refused(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        command.main([option, value])
    assert refused.value.code == 2
    error = capsys.readouterr().err
    assert all(word in error for word in (option, f"'{value}'"))
    assert option != "--only" or all(name in error for name in CASES)
