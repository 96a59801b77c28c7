"""The benchmark of adapters plays the same scene on both sides, and prints one object."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from typer.testing import CliRunner

from asyncfc.testing.models.model import FormatName
from benchmarks.adapters import __main__ as command
from benchmarks.adapters.cases import CASES, load
from benchmarks.adapters.measure import measure
from benchmarks.adapters.scene import ANSWER, TOOL, Canned, Scene

TINY = Scene(messages=2, calls=3, tool_s=0.0, model_s=0.0, settings={"grace": 10.0})


class Counted(Scene):
    """A scene that counts its tool's runs and the messages of its model."""

    __slots__ = ()

    runs: list[int] = []  # noqa: RUF012 - cleared by each test
    models: list[Canned] = []  # noqa: RUF012 - see above

    @property
    def functions(self) -> dict[str, Callable[..., Awaitable[str]]]:
        async def step(number: int) -> str:
            """Do a step."""
            self.runs.append(number)
            return "done"

        return {TOOL: step}

    def model(self, format: FormatName = "chat") -> Canned:
        made = super().model(format)
        self.models.append(made)
        return made


@pytest.mark.parametrize("with_asyncfc", [False, True])
@pytest.mark.parametrize("name", ["run", "openai", "anthropic"])
def test_both_sides_make_the_same_calls_and_ask_the_model_equally_often(
    name: str, with_asyncfc: bool
) -> None:
    Counted.runs.clear()
    Counted.models.clear()
    seconds = asyncio.run(load(name)(Counted(2, 3, 0.0, 0.0, {"grace": 10.0}), with_asyncfc))
    assert seconds > 0
    assert sorted(Counted.runs) == [0, 0, 0, 1, 1, 1]
    assert [model.asked for model in Counted.models] == [3]


def test_the_canned_model_says_its_last_words_again_and_again() -> None:
    model = TINY.model()

    async def ask(times: int) -> list[str | None]:
        return [(await model({}))["choices"][0]["message"]["content"] for _ in range(times)]

    assert asyncio.run(ask(5)) == [None, None, ANSWER, ANSWER, ANSWER]


def test_the_numbers_fit_together() -> None:
    numbers = asyncio.run(measure(load("run"), 1, instant=TINY, slow=TINY))
    assert numbers["added_us"] == pytest.approx(numbers["with_us"] - numbers["without_us"], abs=0.2)
    assert numbers["ratio"] == pytest.approx(numbers["with_us"] / numbers["without_us"], rel=0.05)


def test_the_last_line_is_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    async def numbers(*_: object) -> dict[str, float]:
        return dict.fromkeys(command.COLUMNS, 1.0)

    monkeypatch.setattr(command, "measure", numbers)
    done = CliRunner().invoke(command.app, ["--json", "--only", "run"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout.splitlines()[-1])
    assert printed["adapters"] == {"run": dict.fromkeys(command.COLUMNS, 1.0)}


def test_an_unknown_adapter_is_refused() -> None:
    done = CliRunner().invoke(command.app, ["--only", "nothing"])
    assert done.exit_code == 2
    assert all(name in done.stderr for name in ("nothing", *CASES))
