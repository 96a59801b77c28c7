from __future__ import annotations

import math
import os.path
import unicodedata
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.depgraph.resource import Label, is_within, overlaps, parse_label
from asyncfc.depgraph.template import MOST_LABELS, Template
from asyncfc.errors import DeclarationError

TEXTS = st.text(st.sampled_from("ab./{}*é\N{COMBINING ACUTE ACCENT}\x00\ud800 "), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
STEPS = st.sampled_from(["a", "b", "é", ".", "..", "...", "", "a.txt"])
PATHS = st.lists(STEPS, min_size=1, max_size=5).map("/".join)


def bind(text: str, unresolved: Collection[str] = (), **arguments: Any) -> tuple[Label, ...]:
    return Template.parse(text).bind(arguments, unresolved)


def climbs(path: str) -> bool:
    """Whether the path, at some step, lies above where it began."""
    depth = 0
    for step in path.split("/"):
        depth += -1 if step == ".." else step not in ("", ".")
        if depth < 0:
            return True
    return False


class TestParse:
    def test_refuses_a_hole_that_no_parameter_fills_and_names_those_there_are(self) -> None:
        with pytest.raises(DeclarationError, match=r"'fs:/\{pth\}': no parameter 'pth'.*'mode', 'path'"):
            Template.parse("fs:/{pth}", parameters={"path", "mode"})

    def test_refuses_a_hole_in_a_tool_without_parameters(self) -> None:
        with pytest.raises(DeclarationError, match="parameters: none"):
            Template.parse("fs:/{path}", parameters=())

    @pytest.mark.parametrize("text", ["db.{", "db.}", "db.{}", "db.{a", "db.a}", "db.{{a}", "{a{b}}"])
    def test_refuses_a_lone_brace(self, text: str) -> None:
        with pytest.raises(DeclarationError, match="a literal brace is written twice"):
            Template.parse(text)

    @pytest.mark.parametrize("text", ["fs:/srv/{path}/..", "fs:{path}/../{name}", "fs:/a/b{c}/x/../y"])
    def test_refuses_to_climb_after_a_hole(self, text: str) -> None:
        with pytest.raises(DeclarationError, match="after a hole"):
            Template.parse(text)

    @pytest.mark.parametrize("text", ["", " ", ".", "db.\n{a}", "db.*.{a}", " {a}"])
    def test_refuses_what_a_plain_label_is_refused_for(self, text: str) -> None:
        with pytest.raises(DeclarationError):
            Template.parse(text)

    def test_a_tool_that_takes_any_argument_may_name_any(self) -> None:
        assert Template.parse("db.{file-name}", parameters=None).holes == ("file-name",)

    @pytest.mark.parametrize(
        ("text", "prefix"),
        [
            ("*", ()),
            ("{a}", ()),
            ("db.{id}", ("db",)),
            ("db:{id}", ("db",)),
            ("db.users.{id}.name", ("db", "users")),
            ("db.user_{id}", ("db",)),
            ("db.{id}_user", ("db",)),
            ("db.users.{a}.fixed.{b}", ("db", "users")),
            ("fs:{path}", ("fs",)),
            ("fs:/out/{name}.txt", ("fs", "out")),
            ("fs:/out/v1.{name}", ("fs", "out")),
            ("fs:/a/../b/./{name}", ("fs", "b")),
            ("fs:../{name}", ("fs",)),
            ("{scheme}:a.b", ()),
        ],
    )
    def test_the_prefix_ends_at_the_first_component_with_a_hole(self, text: str, prefix: Label) -> None:
        assert Template.parse(text).prefix == prefix

    @given(st.sampled_from(["fs:", "fs:/", "db:", "db.", ""]), PATHS)
    def test_without_holes_it_is_the_label(self, start: str, rest: str) -> None:
        text = start + rest
        try:
            label = parse_label(text)
        except DeclarationError:
            with pytest.raises(DeclarationError):
                Template.parse(text)
            return
        template = Template.parse(text)
        assert template.is_static
        assert template.bind({}) == (template.prefix,) == (label,)

    def test_doubled_braces_are_literal(self) -> None:
        assert bind("db.{{a}}") == (("db", "{a}"),)
        assert bind("db.{{{a}}}", a=1) == (("db", "{1}"),)


class TestValues:
    @pytest.mark.parametrize("value", [None, "", [], (), set(), {}, {"a": 1}, b"a", object(), [[]], [["a"]]])
    @pytest.mark.parametrize("text", ["db.users.{x}", "db.users.u_{x}.name", "fs:db/users/{x}"])
    def test_a_value_that_does_not_fit_means_the_prefix(self, text: str, value: Any) -> None:
        prefix = Template.parse(text).prefix
        assert prefix[-2:] == ("db", "users")
        assert bind(text, x=value) == (prefix,)

    @pytest.mark.parametrize("value", [7, 7.5, True, b"/etc"])
    def test_a_path_must_be_text(self, value: Any) -> None:
        assert bind("fs:/srv/{path}", path=value) == (("fs", "srv"),)

    def test_a_missing_argument_means_the_prefix(self) -> None:
        assert bind("db.users.{id}") == (("db", "users"),)

    def test_an_unresolved_argument_means_the_prefix_whatever_text_stands_in_it(self) -> None:
        assert bind("fs:/srv/{path}", {"path"}, path="out/$k7qz_1.txt") == (("fs", "srv"),)
        assert bind("db.{a}.{b}", ["b"], a="x", b="$k7qz_1") == (("db",),)

    def test_an_unresolved_argument_that_no_hole_names_changes_nothing(self) -> None:
        assert bind("db.{id}", {"other"}, id=1) == (("db", "1"),)

    def test_an_absolute_value_beside_an_unresolved_one_widens_to_the_store(self) -> None:
        # /srv would not cover what it binds to later, and the call would fail for no fault of its own.
        assert bind("fs:/srv/{a}/{b}", {"a"}, b="/etc/x") == (("fs",),)
        assert bind("fs:/srv/{a}/{b}", {"a"}, b="../../etc") == (("fs",),)
        assert bind("fs:/srv/{a}/{b}", {"a"}, b="c/d.txt") == (("fs", "srv"),)

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("7", "7"),
            (7, "7"),
            (7.0, "7"),
            (-0.0, "0"),
            (7.5, "7.5"),
            (True, "true"),
            (False, "false"),
            (math.inf, "Infinity"),
            (math.nan, "NaN"),
            ("a.b/c:d", "a.b/c:d"),
            ("..", ".."),
            ("*", "*"),
            (" a ", " a "),
        ],
    )
    def test_any_other_value_is_one_component(self, value: Any, text: str) -> None:
        assert bind("db.users.{id}.name", id=value) == (("db", "users", text, "name"),)
        assert bind("db.user_{id}", id=value) == (("db", f"user_{text}"),)

    def test_an_int_too_long_for_text_means_the_prefix(self) -> None:
        assert bind("db.{id}", id=10**5000) == (("db",),)

    def test_glued_text_is_normalised_together_with_the_value(self) -> None:
        assert bind("db.cafe{accent}", accent="\N{COMBINING ACUTE ACCENT}") == (("db", "café"),)
        assert bind("fs:/{name}", name=unicodedata.normalize("NFD", "é")) == (("fs", "é"),)

    def test_a_list_means_one_label_for_each_element(self) -> None:
        labels = (("db", "1"), ("db", "2"))
        assert bind("db.{ids}", ids=[1, 2, "1"]) == labels
        assert bind("db.{ids}", ids=(1, 2)) == labels
        assert set(bind("db.{ids}", ids={1, 2})) == set(labels)

    def test_several_lists_mean_all_combinations(self) -> None:
        labels = bind("db.{tables}.{ids}", tables=["t", "u"], ids=[1, 2])
        assert set(labels) == {("db", "t", "1"), ("db", "t", "2"), ("db", "u", "1"), ("db", "u", "2")}

    def test_one_hole_twice_is_one_choice(self) -> None:
        assert bind("db.{id}.copy_{id}", id=[1, 2]) == (("db", "1", "copy_1"), ("db", "2", "copy_2"))

    def test_an_element_that_does_not_fit_means_the_prefix_beside_the_others(self) -> None:
        assert set(bind("fs:/srv/{paths}", paths=["/etc/x", None])) == {("fs", "etc", "x"), ("fs", "srv")}

    def test_too_many_combinations_mean_the_prefix(self) -> None:
        assert len(bind("db.{ids}", ids=list(range(MOST_LABELS)))) == MOST_LABELS
        assert bind("db.{ids}", ids=list(range(MOST_LABELS + 1))) == (("db",),)
        assert bind("db.{a}.{b}", a=list(range(10**4)), b=list(range(10**4))) == (("db",),)

    def test_too_many_paths_mean_the_store_if_one_leads_out_of_the_prefix(self) -> None:
        paths = [f"{n}.txt" for n in range(MOST_LABELS + 1)]
        assert bind("fs:/srv/{paths}", paths=paths) == (("fs", "srv"),)
        for away in ("/etc/x", "../etc"):
            assert bind("fs:/srv/{paths}", paths=[*paths, away]) == (("fs",),)

    @given(
        st.sampled_from(["{x}", "db.{x}.{y}", "db.u_{x}{y}", "fs:{x}", "fs:/s/{x}/{y}", "fs:/s/{x}{y}.t"]),
        st.dictionaries(st.sampled_from(["x", "y"]), JSON),
        st.sets(st.sampled_from(["x", "y"])),
        st.sampled_from([None, str.upper, lambda path: path[0]]),
    )
    def test_never_raises_and_gives_labels_in_normal_form(
        self, text: str, arguments: dict[str, Any], unresolved: set[str], resolve: Any
    ) -> None:
        labels = Template.parse(text, resolve=resolve).bind(arguments, unresolved)
        assert 1 <= len(labels) <= MOST_LABELS
        assert len(set(labels)) == len(labels)
        for component in (component for label in labels for component in label):
            assert component
            assert unicodedata.is_normalized("NFC", component)


class TestPaths:
    @pytest.mark.parametrize(
        "value", ["a/b", "./a/b", "a//b/", "c/../a/b", "a/./b", "/srv/a/b", "../srv/a/b"]
    )
    def test_spellings_of_one_path_are_one_label(self, value: str) -> None:
        assert bind("fs:/srv/{path}", path=value) == (("fs", "srv", "a", "b"),)

    def test_a_path_object_is_a_path(self) -> None:
        assert bind("fs:/srv/{path}", path=PurePosixPath("a/../b")) == (("fs", "srv", "b"),)

    @pytest.mark.parametrize(
        ("text", "value", "label"),
        [
            ("fs:/srv/{x}", "/etc/passwd", ("fs", "etc", "passwd")),
            ("fs:/srv/{x}/log", "/var", ("fs", "var", "log")),
            ("fs:/srv/{x}", "../etc", ("fs", "etc")),
            ("fs:/srv/{x}", "../../../..", ("fs",)),
            ("fs:/srv/{x}.txt", "/etc/a", ("fs", "srv", "etc", "a.txt")),
            ("fs:/srv/v{x}", "/etc/a", ("fs", "srv", "v", "etc", "a")),
            ("fs:/srv/{x}.txt", "../a", ("fs", "a.txt")),
            ("fs:/srv/.{x}", "./a", ("fs", "a")),
        ],
    )
    def test_joins_like_os_path_unless_text_is_glued_on(self, text: str, value: str, label: Label) -> None:
        assert bind(text, x=value) == (label,)

    @given(PATHS, PATHS)
    def test_agrees_with_the_standard_library(self, first: str, second: str) -> None:
        if not first or not second:
            return
        joined = os.path.normpath("/" + str(PurePosixPath("/srv", first, second)))
        assert bind("fs:/srv/{a}/{b}", a=first, b=second) == (parse_label(f"fs:{joined}"),)

    def test_only_files_have_paths(self) -> None:
        assert bind("db.users.{id}", id="/etc/../x") == (("db", "users", "/etc/../x"),)


class TestEscape:
    """A bound label lies within the prefix, except where a path is absolute or climbs (S3)."""

    @given(
        st.sampled_from(["{x}", "db.{x}", "db.u_{x}.{y}", "db.a.b.{x}{y}"]),
        st.fixed_dictionaries({"x": JSON, "y": JSON}),
    )
    def test_a_label_that_is_no_path_never_leaves_its_prefix(
        self, text: str, arguments: dict[str, Any]
    ) -> None:
        template = Template.parse(text)
        assert all(is_within(label, template.prefix) for label in template.bind(arguments))

    @given(st.sampled_from(["{x}", "{x}/log", "{x}.txt", "v{x}", ".{x}"]), PATHS)
    def test_a_path_leaves_it_only_if_it_is_absolute_or_climbs(self, end: str, value: str) -> None:
        template = Template.parse(f"fs:/srv/{end}")
        (label,) = template.bind({"x": value})
        absolute = value.startswith("/") and end.startswith("{x}") and "." not in end
        if not absolute and not climbs(end.replace("{x}", value)):
            assert is_within(label, template.prefix)

    @pytest.mark.parametrize("value", ["/etc/x", "../etc/x", "a/../../etc/x"])
    def test_it_does_leave_it_then(self, value: str) -> None:
        template = Template.parse("fs:/srv/{x}")
        assert template.bind({"x": value}) == (("fs", "etc", "x"),)
        assert not overlaps(template.prefix, ("fs", "etc", "x"))

    @given(st.lists(STEPS, min_size=1, max_size=4).map("/".join), st.booleans())
    def test_what_stands_in_while_one_hole_is_open_covers_all_that_the_other_can_do(
        self, value: str, glued: bool
    ) -> None:
        template = Template.parse("fs:/srv/.{a}/{b}" if glued else "fs:/srv/{b}/{a}")
        (wide,) = template.bind({"b": value}, {"a"})
        (bound,) = template.bind({"a": "x", "b": value})
        assert is_within(bound, wide)


class TestResolve:
    def test_gets_the_whole_path_as_written(self) -> None:
        seen: list[str] = []

        def resolve(path: str) -> str:
            seen.append(path)
            return path

        template = Template.parse("fs:srv/./{name}.txt", resolve=resolve)
        assert template.bind({"name": "../a"}) == (("fs", "a.txt"),)
        Template.parse("fs:/srv/{path}", resolve=resolve).bind({"path": "/etc/x"})
        Template.parse("fs:a", resolve=resolve).bind({})
        assert seen == ["srv/./../a.txt", "/etc/x", "a"]

    def test_makes_aliases_one_label(self) -> None:
        fold = Template.parse("fs:/Srv/{path}", resolve=str.casefold)
        assert fold.bind({"path": "README"}) == fold.bind({"path": "readme"}) == (("fs", "srv", "readme"),)
        at_home = Template.parse("fs:{path}", resolve=lambda path: str(PurePosixPath("/home/me", path)))
        assert at_home.bind({"path": "a"}) == at_home.bind({"path": "/home/me/a"})

    def test_is_asked_for_a_label_without_holes_too(self) -> None:
        template = Template.parse("fs:/link", resolve=lambda path: "/target")
        assert template.bind({}) == (("fs", "target"),)

    def test_may_lead_anywhere_so_the_prefix_is_the_store(self) -> None:
        template = Template.parse("fs:/srv/{path}", resolve=lambda path: "/data/x")
        assert template.bind({}, {"path"}) == (template.prefix,) == (("fs",),)
        assert is_within(template.bind({"path": "x"})[0], template.prefix)

    def test_that_fails_or_returns_no_text_means_the_prefix(self) -> None:
        def fail(path: str) -> str:
            raise OSError(path)

        for broken in (fail, lambda path: None, lambda path: b"/srv"):
            template = Template.parse("fs:/srv/{path}", resolve=broken)  # type: ignore[arg-type]
            assert template.bind({"path": "a"}) == (template.prefix,)

    def test_is_not_asked_about_labels_that_are_no_paths(self) -> None:
        template = Template.parse("db.{id}", resolve=pytest.fail)
        assert template.bind({"id": "a"}) == (("db", "a"),)
