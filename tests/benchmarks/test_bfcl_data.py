from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bfcl import backend
from benchmarks.bfcl.data import (
    CATEGORIES,
    Case,
    Category,
    DataError,
    cases_from,
    packaged_cases,
    parse_call,
    select,
)

pytestmark = pytest.mark.bfcl


@pytest.mark.parametrize(
    "text",
    ["cd(folder=folder)", "cd('a'", "cd", "os.remove('a')", "cd('a')('b')", "launch_rocket()", "cd(**{})(1)"],
)
def test_what_is_no_call_with_literals_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(DataError) as error:
        parse_call(text)
    assert repr(text) in str(error.value)


def test_positional_arguments_get_the_names_of_the_parameters() -> None:
    call = parse_call("sort('final_report.pdf')")
    assert (call.tool, call.class_name, call.arguments) == (
        "sort",
        "GorillaFileSystem",
        {"file_name": "final_report.pdf"},
    )


def test_keyword_arguments_keep_their_types() -> None:
    call = parse_call("place_order(order_type='Buy', symbol='AAPL', price=227, amount=1.5)")
    assert call.arguments == {"order_type": "Buy", "symbol": "AAPL", "price": 227, "amount": 1.5}
    assert type(call.arguments["price"]) is int


@pytest.mark.parametrize(
    ("category", "turns", "empty_turns", "calls"),
    [
        ("base", 734, 3, 1142),
        ("miss_func", 934, 203, 1140),
        ("miss_param", 934, 203, 1140),
        ("long_context", 734, 3, 1203),
    ],
)
def test_the_package_has_200_cases_of_each_category(
    category: Category, turns: int, empty_turns: int, calls: int
) -> None:
    cases = packaged_cases(category)
    assert len({case.id for case in cases}) == 200
    assert sum(len(case.turns) for case in cases) == turns
    assert sum(not turn.calls for case in cases for turn in case.turns) == empty_turns
    assert sum(len(case.calls) for case in cases) == calls
    assert all(case.long_context == (category == "long_context") for case in cases)


def test_no_tool_name_occurs_in_two_classes() -> None:
    names = [name for class_name in backend.CLASSES for name in backend.methods(class_name)]
    assert len(names) == len(set(names)) == len(backend.owners()) == 128


def _row(id: str = "multi_turn_base_1", **changes: Any) -> dict[str, Any]:
    call = {"name": "touch", "class": "GorillaFileSystem", "args": {"file_name": "a\u2028b"}}
    return {
        "id": id,
        "classes": ["GorillaFileSystem"],
        "initial_config": {},
        "long_context": False,
        "turns": [{"user": ["Make it."], "calls": [call]}, {"user": [], "calls": []}],
    } | changes


def _write(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")
    return path


def test_cases_are_read_from_a_file_even_with_unusual_line_separators_in_strings(tmp_path: Path) -> None:
    [case] = cases_from(_write(tmp_path / "cases.jsonl", _row()))
    assert [call.arguments for call in case.calls] == [{"file_name": "a\u2028b"}]
    assert [turn.user for turn in case.turns] == [("Make it.",), ()]


def test_a_line_that_is_no_case_is_named(tmp_path: Path) -> None:
    broken = _row()
    del broken["classes"]
    with pytest.raises(DataError, match=r"cases\.jsonl, line 2.*classes"):
        cases_from(_write(tmp_path / "cases.jsonl", _row(), broken))


def test_a_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text('{"id": ', encoding="utf-8")
    with pytest.raises(DataError, match="line 1: not JSON"):
        cases_from(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.jsonl: cannot be read"):
        cases_from(tmp_path / "nowhere.jsonl")


def _case(id: str) -> Case:
    return Case(id, (), {}, long_context=False, turns=())


@pytest.mark.parametrize(
    "text",
    ["multi_turn_base_2\n\nmulti_turn_miss_func_1\n", '["multi_turn_base_2", "multi_turn_miss_func_1"]'],
)
def test_one_list_of_ids_serves_all_categories(tmp_path: Path, text: str) -> None:
    ids = tmp_path / "ids"
    ids.write_text(text, encoding="utf-8")
    cases = [_case(f"multi_turn_base_{n}") for n in (1, 2, 3)]
    assert [case.id for case in select(cases, ids)] == ["multi_turn_base_2"]


def test_an_id_that_no_case_has_is_an_error(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    ids.write_text("multi_turn_base_1\nmulti_turn_base_999\n", encoding="utf-8")
    with pytest.raises(DataError, match="'multi_turn_base_999'"):
        select([_case("multi_turn_base_1")], ids)


def test_a_broken_array_of_ids_is_an_error(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    ids.write_text('["multi_turn_base_1"', encoding="utf-8")
    with pytest.raises(DataError, match="JSON array"):
        select([_case("multi_turn_base_1")], ids)


def test_a_list_that_selects_nothing_is_an_error(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    ids.write_text("multi_turn_miss_func_1\n", encoding="utf-8")
    with pytest.raises(DataError, match="none of its 1 ids"):
        select([_case("multi_turn_base_1")], ids)


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_tool_that_a_case_calls_belongs_to_one_of_its_classes(category: Category) -> None:
    for case in packaged_cases(category):
        assert {call.class_name for call in case.calls} <= set(case.classes), case.id


def test_a_tool_of_another_class_is_refused_by_name(tmp_path: Path) -> None:
    turn = {"user": [], "calls": [{"name": "add", "class": "MathAPI", "args": {}}]}
    with pytest.raises(DataError, match=r"line 1.*'add' of 'MathAPI'"):
        cases_from(_write(tmp_path / "cases.jsonl", _row(turns=[turn])))
