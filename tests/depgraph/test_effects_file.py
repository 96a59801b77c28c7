from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfc.depgraph.declaration import Declaration, parse_declaration
from asyncfc.depgraph.effects_file import load_effects, place_in
from asyncfc.errors import DeclarationError

NAMES = st.text(min_size=1, max_size=8).filter(
    lambda name: not re.search("[\x00-\x1f\x7f\ud800-\udfff]", name)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "effects.toml"


def load(path: Path, text: str) -> dict[str, dict[str, Any]]:
    path.write_text(text, encoding="utf-8")
    return load_effects(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tools.pay", r": this file of effects is no TOML: .*\(at "),
        ("[tools.pay]\npure = yes", r": this file of effects is no TOML: .*line 2"),
        ("[tools.pay]\n[tools.pay]", ": this file of effects is no TOML: "),
        ("[pay]\npure = true", r": 'pay' stands outside of \[tools\]; write \[tools\.pay\]"),
        ('search = "pure"', r": 'search' stands outside of \[tools\]; write \[tools\.search\]"),
        ('["git.*"]\n', r""": 'git\.\*' stands outside of \[tools\]; write \[tools\."git\.\*"\]"""),
        ('tools = "pure"', r": 'tools' is no table; each tool has one of its own, \[tools\.NAME\]"),
        ("[[tools]]", ": 'tools' is no table"),
        ("[tools.pay]\nwirtes = 'db'", r", \[tools\.pay\]: unknown field 'wirtes'"),
        ("[tools.pay]\nwrites = 7", r", \[tools\.pay\]: field 'writes': Input should be a label or a list"),
        (
            "[tools.pay]\nwrites = {a = 1}",
            r", \[tools\.pay\]: field 'writes': Input should be a label or a l",
        ),
        ("[tools.pay]\nwrites = ['a', 7]", r", \[tools\.pay\]: field 'writes.1': .*, got 7"),
        ("[tools.pay]\ntimeout = 0", r", \[tools\.pay\]: field 'timeout': .* greater than 0"),
        ("[tools.pay]\ntimeout = 2026-01-01", r", \[tools\.pay\]: field 'timeout': .* number"),
        ("[tools.'p*']\nlevel = 'wirte'", r""", \[tools\."p\*"\]: field 'level': .*'irreversible'"""),
        ("[tools.pay]\nreads = 'db.*.x'", r", \[tools\.pay\]: .*field 'reads': label 'db\.\*\.x'"),
        ("[tools.pay]\nwrites = ['a', 'db.{']", r", \[tools\.pay\]: .*field 'writes': label 'db\.\{'"),
        ("[tools.pay]\npure = true\nreads = 'a'", r", \[tools\.pay\]: .*pure means no effects"),
        ("[tools]\npay = 'write'", r", \[tools\.pay\]: effects are 'pure', 'read' or a mapping"),
        ("[tools]\npay = ['a']", r", \[tools\.pay\]: effects are 'pure', 'read' or a mapping"),
        (
            "[tools.bank.pay]\npure = true",
            r", \[tools\.bank\]: field 'pay' is a table; .* quote it: \[tools\.\"bank\.pay\"\]",
        ),
    ],
)
def test_refuses_naming_the_file_the_table_and_the_field(path: Path, text: str, message: str) -> None:
    with pytest.raises(DeclarationError, match=f"^{re.escape(str(path))}{message}"):
        load(path, text)


def test_refuses_a_file_that_is_not_there_or_cannot_be_read(path: Path) -> None:
    for unreadable in (path, path.parent):
        with pytest.raises(DeclarationError, match=f"^{re.escape(str(unreadable))}: .* cannot be read: "):
            load_effects(unreadable)


def test_refuses_bytes_that_are_no_text(path: Path) -> None:
    path.write_bytes(b"[tools.\xff]")
    with pytest.raises(DeclarationError, match=f"^{re.escape(str(path))}: this file of effects is no TOML: "):
        load_effects(path)


@pytest.mark.parametrize("text", ["", "# nothing yet", "[tools]"])
def test_a_file_may_declare_nothing(path: Path, text: str) -> None:
    assert load(path, text) == {}


def test_says_what_a_dict_says_in_the_order_of_the_file(path: Path) -> None:
    loaded = load(
        path,
        """
        [tools]
        search = "pure"

        [tools."github_*"]
        level = "read"

        [tools.pay]
        writes = ["bank.{account}", "log"]
        level = "irreversible"
        timeout = 30

        [tools."bank.check"]
        reads = "bank"
        """,
    )
    in_python: dict[str, Any] = {
        "search": "pure",
        "github_*": "read",
        "pay": {"writes": ["bank.{account}", "log"], "level": "irreversible", "timeout": 30.0},
        "bank.check": {"reads": "bank"},
    }
    assert list(loaded) == list(in_python)
    for name, declaration in loaded.items():
        assert parse_declaration(declaration, tool=name) == parse_declaration(in_python[name], tool=name)


def test_holes_are_left_to_be_checked_against_the_tool(path: Path) -> None:
    assert load(path, "[tools.pay]\nwrites = 'bank.{acount}'") == {"pay": {"writes": ("bank.{acount}",)}}


def test_the_path_may_be_text(path: Path) -> None:
    path.write_text("[tools.a]\npure = true", encoding="utf-8")
    assert load_effects(str(path)) == {"a": {"pure": True}}


@settings(max_examples=40)  # each writes a file
@given(NAMES)
def test_messages_write_a_table_as_the_file_must(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    path = tmp_path_factory.getbasetemp() / "one.toml"
    line = place_in(path, name).removeprefix(f"{path}, ")
    assert load(path, f"{line}\npure = true") == {name: {"pure": True}}


def test_every_field_can_be_written(path: Path) -> None:
    fields = {
        "reads": ["a"],
        "writes": ["b"],
        "pure": False,
        "level": "write",
        "idempotent": True,
        "retries": 2,
        "breaker": {"failures": 3, "rest": 60.0},
        "thread": "pool",
        "timeout": 5.0,
        "abandon_after": 2.5,
        "on_abandon": "release",
    }
    assert fields.keys() == Declaration.model_fields.keys()
    text = "\n".join(f"{name} = {json.dumps(value).replace(':', ' =')}" for name, value in fields.items())
    (loaded,) = load(path, f"[tools.a]\n{text}").values()
    assert parse_declaration(loaded, tool="a") == parse_declaration(fields, tool="a")


def test_the_example_in_the_documentation_loads(path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "labels.md"
    (example,) = re.findall(
        r"^```toml\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert load(path, example) == {
        "pay": {"writes": ("bank.{account}",), "level": "irreversible", "timeout": 30},
        "github_*": {"level": "read"},
        "search": {"pure": True},
    }
