from __future__ import annotations

import logging
import unicodedata
from collections.abc import Collection, Iterator
from functools import partial
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.depgraph.label_function import Complaint, LabelFunction
from asyncfc.depgraph.resource import Label
from asyncfc.depgraph.template import MOST_LABELS
from asyncfc.errors import DeclarationError

TEXTS = st.text(st.sampled_from("abf:s./{}*é\N{COMBINING ACUTE ACCENT}\x00\ud800 "), max_size=6)
ANYTHING = st.none() | st.integers() | TEXTS | st.binary(max_size=3) | st.lists(TEXTS | st.none(), max_size=3)


def make(function: Any, parameters: Collection[str] | None = ("path", "mode"), **settings: Any) -> LabelFunction:
    return LabelFunction.make(function, complaint=Complaint("save"), parameters=parameters, **settings)


class TestMake:
    def test_refuses_an_argument_that_the_tool_does_not_have_and_names_those_there_are(self) -> None:
        def touched(pth: str) -> str:
            return pth

        with pytest.raises(DeclarationError, match=r"function .*touched: no parameter 'pth'.*'mode', 'path'"):
            make(touched)
        with pytest.raises(DeclarationError, match=r"the tool's parameters: none"):
            make(touched, ())

    def test_refuses_one_that_cannot_be_called_with_names(self) -> None:
        with pytest.raises(DeclarationError, match="'path' cannot be passed by name"):
            make(lambda path, /: path)

    def test_refuses_one_that_would_have_to_be_awaited(self) -> None:
        async def coroutine(path: str) -> str:
            return path

        async def generator(path: str) -> Any:
            yield path

        for function in (coroutine, generator):
            with pytest.raises(DeclarationError, match=f"{function.__name__} is async.*use `def`"):
                make(function)

    @pytest.mark.parametrize(
        ("function", "holes"),
        [
            (lambda: "db", ()),
            (lambda path: path, ("path",)),
            (lambda mode, *, path: mode + path, ("path", "mode")),
            (lambda path, base="/srv": base + path, ("path",)),
            (lambda path, *rest: path, ("path",)),
            (lambda path, _=0, /, **others: path, ("path", "mode")),
            (lambda **arguments: arguments["path"], ("path", "mode")),
            (partial(lambda path, base: base + path, base="/srv"), ("path",)),
            (partial(lambda base, path: base + path, "/srv"), ("path",)),
        ],
    )
    def test_needs_what_it_names_or_with_two_stars_all_that_the_tool_has(
        self, function: Any, holes: tuple[str, ...]
    ) -> None:
        made = (make(function, ("path", "mode")) if "_" not in str(holes) else None) if holes != ("path", "mode") or True else None
        assert made is not None
        assert made.holes == holes
        assert not made.needs_all
