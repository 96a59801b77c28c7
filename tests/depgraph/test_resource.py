from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncfc.depgraph.resource import ROOT, Label, is_within, overlaps, parse_label, show_label
from asyncfc.errors import DeclarationError

NAMES = st.sampled_from(["a", "b", "c", "é"])
LABELS = st.lists(NAMES, max_size=3).map(tuple)
HOSTILE = st.lists(
    st.sampled_from(["fs", "fs:", "a", ".", "/", "%", "*", ":", "%2E", "\n", "é", "\ud800", "a.b", "a/b"]),
    min_size=1,
    max_size=3,
).map("".join)
HOSTILE_LABELS = st.lists(HOSTILE, max_size=2).map(tuple)


class TestParseLabel:
    @pytest.mark.parametrize("text", ["", " ", ".", "/", "..", " db", "db ", "db.users\n"])
    def test_refuses_what_names_nothing_or_is_padded(self, text: str) -> None:
        with pytest.raises(DeclarationError, match="write"):
            parse_label(text)

    @pytest.mark.parametrize("text", ["db.us\ners", "fs:/a\x00b", "a\x7fb", "a\x85b"])
    def test_refuses_control_characters(self, text: str) -> None:
        with pytest.raises(DeclarationError, match="control characters"):
            parse_label(text)

    @pytest.mark.parametrize("text", ["db.*", "fs:/a/*.txt", "fs:*", "**", "*.users"])
    def test_refuses_wildcards_because_taken_literally_they_would_overlap_nothing(self, text: str) -> None:
        with pytest.raises(DeclarationError, match="covers all that is below"):
            parse_label(text)

    def test_star_is_the_root(self) -> None:
        assert parse_label("*") == ROOT

    @pytest.mark.parametrize(
        ("text", "label"),
        [
            ("db", ("db",)),
            ("db.users", ("db", "users")),
            ("db/users", ("db", "users")),
            ("db:users.active", ("db", "users", "active")),
            ("db..users/", ("db", "users")),
            ("s3+eu:bucket", ("s3+eu", "bucket")),
            ("db.users:7", ("db", "users:7")),
            ("fs:", ("fs",)),
            ("fs:/", ("fs",)),
            ("fs:/a/b.txt", ("fs", "a", "b.txt")),
            ("fs:/a/..", ("fs",)),
            ("fs:/../../etc", ("fs", "etc")),
            ("fs:/a/.../b", ("fs", "a", "...", "b")),
            ("fs:/with space/x", ("fs", "with space", "x")),
        ],
    )
    def test_reads(self, text: str, label: Label) -> None:
        assert parse_label(text) == label

    @pytest.mark.parametrize(
        "alias", ["fs:a/b", "fs:/a/b", "fs:./a/b", "fs:a//b/", "fs:a/./b", "fs:b/../a/b", "fs:/../a/b"]
    )
    def test_spellings_of_one_path_are_one_label(self, alias: str) -> None:
        assert parse_label(alias) == ("fs", "a", "b")

    @pytest.mark.parametrize("text", ["fs:/caf{}", "menu.caf{}", "menu:caf{}", "caf{}:menu"])
    def test_composed_and_decomposed_are_one_label(self, text: str) -> None:
        composed, decomposed = text.format("é"), text.format(unicodedata.normalize("NFD", "é"))
        assert composed != decomposed
        assert parse_label(composed) == parse_label(decomposed)

    def test_case_counts(self) -> None:
        assert not overlaps(parse_label("fs:/A"), parse_label("fs:/a"))

    @given(st.lists(NAMES, min_size=1, max_size=3), st.data())
    def test_detours_do_not_change_a_path(self, names: list[str], data: st.DataObject) -> None:
        steps = []
        for name in names:
            steps += data.draw(st.sampled_from([[], ["."], [""], ["x", ".."], ["x", "y", "..", ".."]]))
            steps.append(data.draw(st.sampled_from([name, unicodedata.normalize("NFD", name)])))
        prefix, suffix = (
            data.draw(st.sampled_from(["", "/", "./", "../"])),
            data.draw(st.sampled_from(["", "/", "/."])),
        )
        assert parse_label(f"fs:{prefix}{'/'.join(steps)}{suffix}") == ("fs", *names)


class TestOverlap:
    @given(LABELS, LABELS)
    @example((), ())
    @example((), ("a",))
    @example(("a",), ("a", "b"))
    @example(("a", "b"), ("a", "c"))
    def test_is_symmetric_and_means_that_one_begins_with_the_other(self, a: Label, b: Label) -> None:
        begins = any(a[:n] == b for n in range(len(a) + 1)) or any(b[:n] == a for n in range(len(b) + 1))
        assert overlaps(a, b) == overlaps(b, a) == begins == (is_within(a, b) or is_within(b, a))

    def test_names_that_share_letters_only_are_apart(self) -> None:
        assert not overlaps(("fs", "a"), ("fs", "ab"))
        assert not is_within(("fs", "ab"), ("fs", "a"))

    @given(LABELS)
    def test_everything_is_within_the_root(self, label: Label) -> None:
        assert is_within(label, ROOT)
        assert is_within(ROOT, label) == (label == ROOT)


class TestShowLabel:
    @pytest.mark.parametrize(
        ("label", "text"),
        [
            ((), "*"),
            (("db", "users", "7"), "db.users.7"),
            (("fs",), "fs:/"),
            (("fs", "srv", "a.txt"), "fs:/srv/a.txt"),
            (("db", "users", "a.b/c"), "db.users.a%2Eb%2Fc"),
            (("db", "100%"), "db.100%25"),
            (("fs", "a\nb"), "fs:/a%0Ab"),
            (("*",), "%2A"),
        ],
    )
    def test_shows(self, label: Label, text: str) -> None:
        assert show_label(label) == text

    @given(HOSTILE_LABELS, HOSTILE_LABELS)
    @example(("fs", "a"), ("fs:/a",))
    @example(("a.b",), ("a", "b"))
    @example(("a%2Eb",), ("a.b",))
    def test_different_labels_look_different(self, a: Label, b: Label) -> None:
        assert (show_label(a) == show_label(b)) == (a == b)

    @given(LABELS)
    def test_reads_back_where_nothing_was_escaped(self, names: Label) -> None:
        assert parse_label(show_label(names)) == names
        assert parse_label(show_label(("fs", *names))) == ("fs", *names)
