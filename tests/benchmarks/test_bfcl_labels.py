from __future__ import annotations

from copy import deepcopy

import pytest

from benchmarks.bfcl import backend, footprints
from benchmarks.bfcl.data import packaged_cases
from benchmarks.bfcl.labels import BARRIER, Footprint, footprint, table
from benchmarks.bfcl.sequential import fresh
from benchmarks.bfcl.state import differences, snapshot

pytestmark = pytest.mark.bfcl

TOOLS = [(class_name, tool) for class_name in backend.CLASSES for tool in backend.methods(class_name)]


def test_the_table_has_every_tool_and_no_other() -> None:
    assert sorted((class_name, tool) for class_name, tools in table().items() for tool in tools) == sorted(
        TOOLS
    )


def test_what_a_tool_reads_and_writes_stands_under_writes_only() -> None:
    for tools in table().values():
        assert not [name for name, labels in tools.items() if labels.reads & labels.writes]


@pytest.mark.parametrize("class_name", backend.CLASSES)
def test_the_table_covers_what_the_source_shows(class_name: str) -> None:
    for tool in backend.methods(class_name):
        shown, _ = footprints.footprint(class_name, tool)
        declared = table()[class_name][tool]
        assert shown.writes <= declared.writes, f"{tool} writes more than the table says"
        assert shown.reads <= declared.reads | declared.writes, f"{tool} reads more than the table says"


@pytest.mark.parametrize("class_name", backend.CLASSES)
def test_the_table_declares_nothing_that_the_source_does_not_show(class_name: str) -> None:
    for tool in backend.methods(class_name):
        shown, _ = footprints.footprint(class_name, tool)
        declared = table()[class_name][tool]
        own = {label for label in declared.writes | declared.reads if label.startswith(f"{class_name}.")}
        assert own == shown.writes | shown.reads, tool


def test_tools_that_change_what_no_instance_owns_say_so() -> None:
    found = {tool: changed for name, tool in TOOLS if (changed := footprints.footprint(name, tool)[1])}
    assert found == {
        "logarithm": {"mpmath"},
        "square_root": {"getcontext"},
        "get_outside_temperature_from_google": {"LONG_WEATHER_EXTENSION"},
    }
    foreign = {
        tool: {label for label in table()[name][tool].writes if not label.startswith(f"{name}.")}
        for name, tool in TOOLS
        if tool in found
    }
    assert foreign == {
        "logarithm": {"mpmath.mp"},
        "square_root": {"decimal.context"},
        "get_outside_temperature_from_google": {"long_context.LONG_WEATHER_EXTENSION"},
    }


@pytest.mark.slow
def test_no_call_of_the_ground_truth_changes_an_attribute_that_its_tool_does_not_declare() -> None:
    changes = 0
    for case in packaged_cases("base"):
        instances = fresh(case)
        for call in case.calls:
            before = snapshot(instances)
            getattr(instances[call.class_name], call.tool)(**deepcopy(dict(call.arguments)))
            changed = set(differences(before, snapshot(instances)))
            assert changed <= footprint(call.class_name, call.tool, "attribute").writes, (case.id, call)
            changes += bool(changed)
    assert changes == 658  # of 1142 calls: the snapshots do see what calls do


def test_hidden_writers_are_declared() -> None:
    trading, travel = table()["TradingBot"], table()["TravelAPI"]
    assert "TradingBot._random" in trading["fund_account"].writes
    assert "TravelAPI._flight_cost_lookup" in travel["get_flight_cost"].writes
    assert "TravelAPI._random" in travel["book_flight"].writes
    assert table()["GorillaFileSystem"]["cd"].writes == {"GorillaFileSystem._current_dir"}
    assert "GorillaFileSystem.root" in table()["GorillaFileSystem"]["mkdir"].writes


def test_at_class_level_a_tool_reads_or_writes_its_class() -> None:
    assert footprint("TradingBot", "place_order", "class") == Footprint(writes=frozenset({"TradingBot"}))
    assert footprint("TradingBot", "get_stock_info", "class") == Footprint(reads=frozenset({"TradingBot"}))
    assert footprint("TradingBot", "get_current_time", "class") == Footprint(reads=frozenset({"TradingBot"}))


def test_at_class_level_state_that_no_class_owns_stays_as_it_is() -> None:
    assert footprint("MathAPI", "logarithm", "class").writes == {"mpmath.mp"}


def test_without_labels_every_tool_is_a_barrier() -> None:
    assert all(footprint(class_name, tool, "none") == BARRIER for class_name, tool in TOOLS)


def test_two_footprints_conflict_if_they_share_a_label_that_one_of_them_writes() -> None:
    reader, writer = Footprint(reads=frozenset({"a"})), Footprint(writes=frozenset({"a"}))
    other = Footprint(reads=frozenset({"b"}), writes=frozenset({"c"}))
    assert reader.conflicts(writer)
    assert writer.conflicts(reader)
    assert writer.conflicts(writer)
    assert not reader.conflicts(reader)
    assert not writer.conflicts(other)
    assert BARRIER.conflicts(BARRIER)


def test_a_tool_without_labels_is_declared_pure() -> None:
    assert Footprint().declaration() == {"pure": True}
    assert footprint("MathAPI", "add", "attribute").declaration() == {"pure": True}
