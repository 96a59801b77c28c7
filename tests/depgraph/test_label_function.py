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
from asyncfc.depgraph.resource import ROOT
from asyncfc.depgraph.template import MOST_LABELS
from asyncfc.errors import DeclarationError

TEXTS = st.text(st.sampled_from("abf:s./{}*é\N{COMBINING ACUTE ACCENT}\x00\ud800 "), max_size=6)
ANYTHING = st.none() | st.integers() | TEXTS | st.binary(max_size=3) | st.lists(TEXTS | st.none(), max_size=3)


def make(
    function: Any, parameters: Collection[str] | None = ("path", "mode"), **settings: Any
) -> LabelFunction:
    return LabelFunction.make(function, complaint=Complaint("save"), parameters=parameters, **settings)


def touched(pth: str) -> str:
    return pth


class TestMake:
    def test_refuses_an_argument_that_the_tool_does_not_have_and_names_those_there_are(self) -> None:
        with pytest.raises(DeclarationError, match=r"function touched: no parameter 'pth'.*'mode', 'path'"):
            make(touched)
        with pytest.raises(DeclarationError, match=r"'pth'.*the tool's parameters: none"):
            make(touched, ())

    def test_refuses_one_that_cannot_be_called_by_names(self) -> None:
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
            (lambda _=0, /, **others: others["path"], ("path", "mode")),
            (lambda **arguments: arguments["path"], ("path", "mode")),
            (lambda path, **_: path, ("path", "mode")),
            (partial(lambda path, base: base + path, base="/srv"), ("path",)),
            (partial(lambda base, path: base + path, "/srv"), ("path",)),
            (max, ("path", "mode")),  # a built-in that does not tell
        ],
    )
    def test_needs_what_it_names_and_with_two_stars_all_that_the_tool_has(
        self, function: Any, holes: tuple[str, ...]
    ) -> None:
        label = make(function)
        assert label.holes == holes
        assert not label.needs_all

    @pytest.mark.parametrize(
        ("function", "holes", "needs_all"),
        [
            (lambda path: path, ("path",), False),
            (lambda path, base="/srv": base + path, ("path", "base"), False),
            (lambda path, **_: path, ("path",), True),
            (lambda **arguments: arguments["path"], (), True),
        ],
    )
    def test_needs_all_arguments_whatever_their_names_of_a_tool_that_takes_any(
        self, function: Any, holes: tuple[str, ...], needs_all: bool
    ) -> None:
        label = make(function, None)
        assert label.holes == holes
        assert label.needs_all == needs_all

    def test_is_never_static_since_it_may_answer_differently_each_time(self) -> None:
        numbers = count()
        label = make(lambda: f"db.{next(numbers)}")
        assert not label.is_static
        assert [label.bind({}), label.bind({})] == [(("db", "0"),), (("db", "1"),)]


class TestBind:
    @pytest.mark.parametrize(
        "returned",
        [
            *(None, 7, b"db", object(), ["db", None], ["db", 7], [["db"]], [b"db"], {1: "db"}),
            *("", " ", "db.*", "db\n", " db", ".", ["db", ""]),
        ],
    )
    def test_what_is_no_label_means_everything(self, returned: Any) -> None:
        assert make(lambda: returned).bind({}) == (ROOT,)

    def test_an_exception_means_everything(self) -> None:
        def broken(path: str) -> str:
            raise OSError(path)

        def broken_later(path: str) -> Iterator[str]:
            yield f"fs:{path}"
            raise OSError(path)

        for function in (broken, broken_later):
            assert make(function).bind({"path": "a"}) == (ROOT,)

    def test_an_interrupt_is_nobodys_label(self) -> None:
        def interrupted(path: str) -> str:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            make(interrupted).bind({"path": "a"})

    def test_a_missing_argument_means_everything(self) -> None:
        assert make(lambda path: f"fs:{path}", None).bind({"other": 1}) == (ROOT,)

    def test_more_labels_than_are_bearable_mean_everything(self) -> None:
        def table(size: int | None) -> Iterator[str]:
            return (f"db.{n}" for n in (count() if size is None else range(size)))

        label = make(table, ["size"])
        assert len(label.bind({"size": MOST_LABELS})) == MOST_LABELS
        assert label.bind({"size": MOST_LABELS + 1}) == label.bind({"size": None}) == (ROOT,)

    @pytest.mark.parametrize(("unresolved", "untold"), [(["path"], ()), ((), {"path"}), (["path"], ["path"])])
    def test_an_argument_that_it_needs_and_that_is_not_known_means_everything(
        self, unresolved: Collection[str], untold: Collection[str]
    ) -> None:
        for function in (lambda path: f"fs:{path}", lambda **all_: f"fs:{all_['path']}"):
            assert make(function).bind({"path": "$k7qz_1"}, unresolved, untold) == (ROOT,)

    def test_it_is_not_asked_before_its_arguments_are_known(self) -> None:
        make(pytest.fail, ["reason"]).bind({"reason": "asked"}, {"reason"})

    def test_an_unknown_argument_that_it_does_not_need_changes_nothing(self) -> None:
        known = {"path": "a", "text": "$k7qz_1"}
        assert make(lambda path: f"fs:{path}").bind(known, {"text"}, {"mode"}) == (("fs", "a"),)

    def test_an_unknown_argument_of_any_name_counts_where_it_needs_all(self) -> None:
        label = make(lambda **all_: [f"db.{key}" for key in all_], None)
        assert label.bind({"a": 1, "b": 2}) == (("db", "a"), ("db", "b"))
        assert label.bind({"a": 1}, {"b"}) == label.bind({"a": 1}, (), {"b"}) == (ROOT,)

    @pytest.mark.parametrize(
        ("returned", "labels"),
        [
            ("db.users", (("db", "users"),)),
            ("*", (ROOT,)),
            (("db", "fs:a/../b", "db"), (("db",), ("fs", "b"))),
            ({"db": 1}, (("db",),)),
            (iter(["a.b", "a/b"]), (("a", "b"),)),
            ([], ()),
            ("db.{path}", (("db", "{path}"),)),  # a plain label, no template
        ],
    )
    def test_returns_labels_as_they_are_parsed_each_once(self, returned: Any, labels: Any) -> None:
        assert make(lambda: returned).bind({}) == labels

    def test_gets_what_it_names_and_with_two_stars_all_that_is_there(self) -> None:
        assert make(lambda path, mode="r": f"fs:{path}.{mode}").bind({"path": "a", "x": 1}) == (
            ("fs", "a.r"),
        )
        assert make(lambda **all_: list(all_)).bind({"path": 1, "mode": 2}) == (("path",), ("mode",))

    def test_what_it_does_to_its_arguments_stays_with_it(self) -> None:
        def greedy(paths: list[Any]) -> str:
            first = paths.pop()
            return f"fs:{first.pop('path')}"

        arguments = {"paths": [{"path": "a"}]}
        assert make(greedy, ["paths"]).bind(arguments) == (("fs", "a"),)
        assert arguments == {"paths": [{"path": "a"}]}

    @given(ANYTHING, st.sampled_from([None, str.upper, lambda path: path[0], lambda path: None]))
    def test_never_raises_and_gives_labels_in_normal_form(self, returned: Any, resolve: Any) -> None:
        labels = make(lambda: returned, resolve=resolve).bind({})
        assert len(set(labels)) == len(labels) <= MOST_LABELS
        for component in (component for label in labels for component in label):
            assert component
            assert unicodedata.is_normalized("NFC", component)


class TestResolve:
    def test_makes_aliases_of_its_paths_one_label(self) -> None:
        label = make(lambda path: [f"fs:{path}", "DB"], resolve=str.casefold)
        assert label.bind({"path": "Srv/README"}) == label.bind({"path": "srv/readme"})
        assert label.bind({"path": "A"}) == (("fs", "a"), ("DB",))

    @pytest.mark.parametrize("text", ["fs:a\n", "fs:a ", "fs:a/*"])
    def test_does_not_hide_a_label_that_is_malformed(self, text: str) -> None:
        assert make(lambda: text, resolve=lambda path: "/fine").bind({}) == (ROOT,)


class TestComplaint:
    def test_the_first_fault_is_logged_with_the_name_of_the_tool_and_no_other(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        complaint = Complaint("save")

        def broken(path: str) -> str:
            raise OSError(path)

        functions: list[Any] = [broken, lambda path: None]
        faulty = [LabelFunction.make(function, complaint=complaint) for function in functions]
        with caplog.at_level(logging.WARNING, logger="asyncfc"):
            for path in "ab":
                for label in faulty:
                    assert label.bind({"path": path}) == (ROOT,)
        (record,) = caplog.records
        assert record.name == "asyncfc"
        assert "tool 'save'" in record.getMessage()
        assert "broken" in record.getMessage()
        assert record.exc_info is not None
        assert repr(record.exc_info[1]) == "OSError('a')"

    def test_nothing_is_logged_where_nothing_is_wrong(self, caplog: pytest.LogCaptureFixture) -> None:
        label = make(lambda path: [] if path is None else f"fs:{path}")
        for path in (None, "a"):
            label.bind({"path": path})
        label.bind({"path": "$k7qz_1"}, {"path"})
        assert caplog.records == []
