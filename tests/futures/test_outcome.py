"""Outcomes are data; asking for the value turns them back into a value or an exception."""

from __future__ import annotations

import dataclasses
import traceback
from typing import Any

import pytest

from asyncfc.errors import CallCancelled, CallWithheld
from asyncfc.futures.outcome import Cancelled, Failure, Withheld
from asyncfc.futures.store import MemoryStore


def failed() -> Failure:
    try:
        raise KeyError("boom")
    except KeyError as error:
        return Failure(error)


def test_a_failure_raises_the_very_error() -> None:
    failure = failed()
    with pytest.raises(KeyError, match="boom") as caught:
        failure.unwrap()
    assert caught.value is failure.error


def test_the_traceback_does_not_grow_however_often_it_is_raised() -> None:
    failure = failed()
    lengths = set()
    for _ in range(5):
        with pytest.raises(KeyError) as caught:
            failure.unwrap()
        lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(lengths) == 1
    assert "in failed" in "".join(traceback.format_tb(failure.traceback))


@pytest.mark.parametrize(
    ("outcome", "error"), [(Cancelled("why"), CallCancelled), (Withheld("why"), CallWithheld)]
)
def test_what_did_not_run_raises_its_reason(outcome: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^why$"):
        outcome.unwrap()


def test_a_value_is_copied_for_everyone_who_asks() -> None:
    value = MemoryStore().put({"items": [1]})
    value.unwrap()["items"].append(2)
    assert value.unwrap() == {"items": [1]}


@pytest.mark.parametrize("outcome", [failed(), Cancelled("why"), Withheld("why")])
def test_outcomes_are_final(outcome: Any) -> None:
    name = dataclasses.fields(outcome)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(outcome, name, None)
