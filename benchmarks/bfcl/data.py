"""Cases: what the user said and which calls the ground truth makes, turn by turn.

Two sources with one result: the files that ship in the installed `bfcl-eval` package, where calls are
Python text, and JSON-lines files with parsed calls (`--data`).
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from benchmarks.bfcl.backend import api_class, owners

Category: TypeAlias = Literal["base", "miss_func", "miss_param", "long_context"]
CATEGORIES: tuple[Category, ...] = get_args(Category)


class DataError(Exception):
    """A file of cases, or a list of ids, is not what was expected."""


@dataclass(frozen=True, slots=True)
class GroundCall:
    """One ground-truth call, its arguments by name."""

    tool: str
    class_name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """One user turn: the user's messages (none where only a tool is offered) and the calls."""

    user: tuple[str, ...]
    calls: tuple[GroundCall, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One scenario: its classes, their first state, and its turns."""

    id: str
    classes: tuple[str, ...]
    initial_config: Mapping[str, Any]
    long_context: bool
    turns: tuple[Turn, ...]

    @property
    def calls(self) -> tuple[GroundCall, ...]:
        """All calls in order of emission."""
        return tuple(call for turn in self.turns for call in turn.calls)


def packaged_cases(category: Category) -> list[Case]:
    """Read the 200 cases of a category from the installed package.

    Raises:
        DataError: `bfcl-eval` is not installed.
    """
    spec = importlib.util.find_spec("bfcl_eval")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("bfcl-eval is not installed; `make demo` installs it")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    name = f"BFCL_v4_multi_turn_{category}.json"
    answers = {row["id"]: row["ground_truth"] for _, row in _rows(folder / "possible_answer" / name)}
    return [
        _packaged_case(row, answers[row["id"]], long_context=category == "long_context")
        for _, row in _rows(folder / name)
    ]


def cases_from(path: Path) -> list[Case]:
    """Read cases with parsed calls, one JSON object a line: id, classes, initial_config, turns.

    Raises:
        DataError: the file cannot be read, or a line is no such case; names the line.
    """
    cases = []
    for number, row in _rows(path):
        try:
            cases.append(_parsed_case(row))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, line {number}: not a case ({type(error).__name__}: {error})") from error
    return cases


def select(cases: list[Case], ids: Path) -> list[Case]:
    """Keep the cases that a file lists, one id a line or all in one JSON array.

    One list may serve all categories: ids that belong to another category are passed over.

    Raises:
        DataError: an id is unknown, or none is left.
    """
    wanted = _ids(ids)
    known = {case.id for case in cases}
    category = {case.id.rpartition("_")[0] for case in cases}
    others = {f"multi_turn_{name}" for name in CATEGORIES} - category
    unknown = sorted(name for name in wanted - known if name.rpartition("_")[0] not in others)
    if unknown:
        raise DataError(f"{ids}: no case has the id {unknown[0]!r}; unknown ids in all: {len(unknown)}")
    chosen = [case for case in cases if case.id in wanted]
    if not chosen:
        raise DataError(f"{ids}: none of its {len(wanted)} ids is among the {len(cases)} cases")
    return chosen


def _ids(path: Path) -> set[str]:
    text = _text(path)
    if not text.lstrip().startswith("["):
        return set(text.split())
    try:
        return set(map(str, json.loads(text)))
    except ValueError as error:
        raise DataError(f"{path}: starts like a JSON array but is none ({error})") from error


def parse_call(text: str) -> GroundCall:
    """Parse `tool('a', b=1)`; all arguments are literals, positional ones get their names.

    Raises:
        DataError: the text is not such a call, or no API class has the tool.
    """
    try:
        node = ast.parse(text, mode="eval").body
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            raise DataError(f"not a call of a tool: {text!r}")
        tool = node.func.id
        class_name = owners()[tool]
        names = list(inspect.signature(getattr(api_class(class_name), tool)).parameters)[1:]
        arguments = dict(zip(names, map(ast.literal_eval, node.args), strict=False))
        arguments |= {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in node.keywords}
    except (SyntaxError, ValueError) as error:
        raise DataError(f"not a call with literal arguments: {text!r}") from error
    except KeyError as error:
        raise DataError(f"no API class has the tool {error}: {text!r}") from error
    return GroundCall(tool, class_name, arguments)


def _packaged_case(row: Mapping[str, Any], answers: list[list[str]], *, long_context: bool) -> Case:
    turns = [
        Turn(tuple(message["content"] for message in messages), tuple(parse_call(text) for text in texts))
        for messages, texts in zip(row["question"], answers, strict=True)
    ]
    return Case(row["id"], tuple(row["involved_classes"]), row["initial_config"], long_context, tuple(turns))


def _parsed_case(row: Mapping[str, Any]) -> Case:
    classes = tuple(row["classes"])
    turns = [
        Turn(tuple(turn["user"]), tuple(_parsed_call(call, classes) for call in turn["calls"]))
        for turn in row["turns"]
    ]
    return Case(row["id"], classes, row["initial_config"], row["long_context"], tuple(turns))


def _parsed_call(call: Mapping[str, Any], classes: tuple[str, ...]) -> GroundCall:
    tool, class_name = call["name"], call["class"]
    if owners().get(tool) != class_name or class_name not in classes:
        raise ValueError(f"the tool {tool!r} of {class_name!r} is not one of the classes {list(classes)}")
    return GroundCall(tool, class_name, call["args"])


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: not JSON ({error})") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
