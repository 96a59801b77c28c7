from __future__ import annotations

import sys
from itertools import product
from subprocess import run
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.depgraph.effects import (
    EVERYTHING,
    NO_CLAIM,
    UNDECLARED,
    Claim,
    EffectSpec,
    conflict,
    covers,
    uncovered,
)
from asyncfc.depgraph.resource import Label, is_within, overlaps
from asyncfc.errors import DeclarationError

TREE: list[Label] = [(), ("a",), ("b",), ("a", "x"), ("a", "y"), ("b", "x")]
LABELS = st.lists(st.sampled_from(TREE), max_size=3)
CLAIMS = st.builds(Claim.make, LABELS, LABELS)
TEMPLATES = st.lists(
    st.sampled_from(["a", "a.x", "b.{p}", "a.{q}", "{p}", "c.{p}.{q}", "fs:/s/{p}"]), max_size=3
)
FUNCTIONS: list[Any] = [
    lambda: "a",
    lambda p: f"b.{p}",
    lambda q=None: [] if q is None else ["a", f"fs:/s/{q}"],
    lambda p, q: "*" if p == q else "c",
    lambda **arguments: [f"b.{key}" for key in arguments],
    lambda q: [f"fs:/{n}" for n in range(q)],  # raises unless q is a number
    lambda **_: "a.*",  # no label
]


def claims_of_at_most(reads: int, writes: int) -> list[Claim]:
    """Every claim over TREE with that many labels at most (None pads)."""
    padded = [None, *TREE]
    return [
        Claim.make(
            [label for label in chosen[:reads] if label is not None],
            [label for label in chosen[reads:] if label is not None],
        )
        for chosen in product(padded, repeat=reads + writes)
    ]


class TestClaim:
    @given(LABELS, LABELS)
    def test_normal_form(self, reads: list[Label], writes: list[Label]) -> None:
        claim = Claim.make(reads, writes)
        assert claim.writes == tuple(sorted(set(writes)))
        assert claim.reads == tuple(
            sorted({read for read in reads if not any(is_within(read, write) for write in writes)})
        )
        assert Claim.make(claim.reads, claim.writes) == claim

    @given(LABELS, LABELS, st.randoms(use_true_random=False))
    def test_the_order_in_which_labels_are_declared_does_not_matter(
        self, reads: list[Label], writes: list[Label], random: Any
    ) -> None:
        claim = Claim.make(reads, writes)
        random.shuffle(reads)
        random.shuffle(writes)
        assert Claim.make(reads, writes) == claim

    def test_what_is_read_above_what_is_written_stays_read(self) -> None:
        assert Claim.make([("a",)], [("a", "x")]) == Claim((("a",),), (("a", "x"),))

    def test_reading_and_writing_everything_is_writing_everything(self) -> None:
        assert Claim.make([(), ("a",)], [()]) == EVERYTHING


class TestConflict:
    def test_agrees_with_brute_force_on_all_pairs_over_a_tree(self) -> None:
        claims = claims_of_at_most(reads=1, writes=1)
        for older, newer in product(claims, claims):
            found = conflict(older, newer)
            expected = {
                (kind, mine)
                for kind, all_theirs, all_mine in [
                    ("WAW", older.writes, newer.writes),
                    ("WAR", older.reads, newer.writes),
                    ("RAW", older.writes, newer.reads),
                ]
                for theirs, mine in product(all_theirs, all_mine)
                if overlaps(theirs, mine)
            }
            assert (found in expected) if expected else (found is None)

    @given(CLAIMS, CLAIMS)
    def test_is_symmetric_but_for_its_kind(self, older: Claim, newer: Claim) -> None:
        assert (conflict(older, newer) is None) == (conflict(newer, older) is None)

    @pytest.mark.parametrize(
        ("older", "newer", "expected"),
        [
            (Claim.make([], [("a",)]), Claim.make([("a",)], []), ("RAW", ("a",))),
            (Claim.make([("a",)], []), Claim.make([], [("a",)]), ("WAR", ("a",))),
            (Claim.make([], [("a",)]), Claim.make([], [("a",)]), ("WAW", ("a",))),
            (Claim.make([], [("a",)]), Claim.make([], [("a", "x")]), ("WAW", ("a", "x"))),
            (Claim.make([], [("a", "x")]), Claim.make([("a",)], []), ("RAW", ("a",))),
            (Claim.make([("a",)], []), Claim.make([("a",)], []), None),
            (Claim.make([], [("a",)]), Claim.make([], [("b",)]), None),
            (Claim.make([], [("a", "x")]), Claim.make([], [("a", "y")]), None),
            (EVERYTHING, EVERYTHING, ("WAW", ())),
            (EVERYTHING, NO_CLAIM, None),
            (NO_CLAIM, EVERYTHING, None),
        ],
    )
    def test_kind_and_label(self, older: Claim, newer: Claim, expected: Any) -> None:
        assert conflict(older, newer) == expected

    def test_read_and_written_counts_as_written(self) -> None:
        both = Claim.make([("a",)], [("a",)])
        assert conflict(both, both) == ("WAW", ("a",))
        # One kind for a label of the newer call, even if the older one reads above it and writes below it.
        assert conflict(Claim.make([("a",)], [("a", "x")]), Claim.make([], [("a",)])) == ("WAW", ("a",))


class TestCovers:
    @given(CLAIMS, CLAIMS)
    def test_means_that_every_conflict_with_the_inner_is_one_with_the_outer(
        self, outer: Claim, inner: Claim
    ) -> None:
        if covers(outer, inner):
            for other in claims_of_at_most(reads=1, writes=1):
                assert conflict(other, inner) is None or conflict(other, outer) is not None

    @pytest.mark.parametrize(
        ("outer", "inner", "missing"),
        [
            (Claim.make([("a",)], []), Claim.make([], [("a",)]), ("a",)),
            (Claim.make([("a",)], []), Claim.make([("b",)], []), ("b",)),
            (Claim.make([], [("a", "x")]), Claim.make([], [("a",)]), ("a",)),
            (Claim.make([], [("a",)]), Claim.make([("a", "x")], [("a", "y")]), None),
            (Claim.make([("a",)], []), Claim.make([("a", "x")], []), None),
            (NO_CLAIM, NO_CLAIM, None),
            (NO_CLAIM, Claim.make([("a",)], []), ("a",)),
        ],
    )
    def test_names_the_label_that_is_missing(self, outer: Claim, inner: Claim, missing: Label | None) -> None:
        assert uncovered(outer, inner) == missing
        assert covers(outer, inner) == (missing is None)

    @given(CLAIMS)
    def test_everything_covers_all_and_all_cover_nothing(self, claim: Claim) -> None:
        assert covers(EVERYTHING, claim)
        assert covers(claim, claim)
        assert covers(claim, NO_CLAIM)


class TestDeclare:
    def test_refuses_pure_with_labels(self) -> None:
        for reads, writes in ((["a"], []), ([], ["a"])):
            with pytest.raises(
                DeclarationError, match=r"tool 't': pure means no effects, but it names labels"
            ):
                EffectSpec.declare("t", pure=True, reads=reads, writes=writes)

    def test_refuses_pure_with_a_level_above_read(self) -> None:
        with pytest.raises(DeclarationError, match=r"tool 't': pure .* 'irreversible'"):
            EffectSpec.declare("t", pure=True, level="irreversible")

    def test_refuses_a_read_that_writes(self) -> None:
        with pytest.raises(DeclarationError, match=r"tool 't': level 'read' but writes db.users, max; drop"):
            EffectSpec.declare("t", writes=["db.users", max], level="read")

    def test_names_the_tool_the_field_the_label_and_the_hole(self) -> None:
        with pytest.raises(
            DeclarationError, match=r"tool 'save': field 'writes'.*'fs:/\{pth\}'.*'pth'.*'path'"
        ):
            EffectSpec.declare("save", reads=["db"], writes=["fs:/{pth}"], parameters=["path"])

    def test_names_the_label_function_and_the_argument_that_it_cannot_get(self) -> None:
        def touched(pth: str) -> str:
            return pth

        with pytest.raises(DeclarationError, match=r"tool 'save': field 'reads': .*touched.*'pth'.*'path'"):
            EffectSpec.declare("save", reads=[touched], parameters=["path"])

    def test_a_tool_that_says_nothing_is_a_barrier(self) -> None:
        spec = EffectSpec.declare("t")
        assert spec == UNDECLARED
        assert not spec.declared
        assert spec.level == "write"
        assert not spec.pure
        assert spec.bind({"a": 1}) == EVERYTHING

    @pytest.mark.parametrize(
        ("declaration", "level", "claim"),
        [
            ({"pure": True}, "read", NO_CLAIM),
            ({"pure": True, "level": "read"}, "read", NO_CLAIM),
            ({"level": "read"}, "read", Claim.make([()], [])),
            ({"level": "write"}, "write", EVERYTHING),
            ({"level": "irreversible"}, "irreversible", EVERYTHING),
            ({"reads": ["a"]}, "read", Claim.make([("a",)], [])),
            ({"reads": ["a"], "level": "write"}, "write", Claim.make([("a",)], [])),
            ({"writes": ["a"]}, "write", Claim.make([], [("a",)])),
            ({"reads": ["b"], "writes": ["a"]}, "write", Claim.make([("b",)], [("a",)])),
            ({"writes": ["mail"], "level": "irreversible"}, "irreversible", Claim.make([], [("mail",)])),
        ],
    )
    def test_level_and_claim(self, declaration: dict[str, Any], level: str, claim: Claim) -> None:
        spec = EffectSpec.declare("t", **declaration)
        assert spec.declared
        assert spec.level == level
        assert spec.pure == (claim == NO_CLAIM)
        assert spec.bind({}) == claim

    def test_needs_the_arguments_that_its_labels_name(self) -> None:
        spec = EffectSpec.declare("t", reads=["db.{table}"], writes=["fs:/{out}.txt", "log"])
        assert spec.parameters == {"table", "out"}

    def test_needs_the_arguments_that_its_label_functions_name(self) -> None:
        spec = EffectSpec.declare("t", reads=[lambda q: q, "db.{p}"], parameters=["n", "p", "q"])
        assert spec.parameters == {"p", "q"}
        assert spec.needs(["q", "n", "p"]) == ["q", "p"]

    def test_a_label_function_with_two_stars_needs_all_parameters(self) -> None:
        spec = EffectSpec.declare("t", reads=[lambda **all_: list(all_)], parameters=["n", "p"])
        assert spec.parameters == {"n", "p"}
        assert spec.needs(["p", "n"]) == ["p", "n"]

    def test_or_any_argument_at_all_where_the_tool_takes_any(self) -> None:
        spec = EffectSpec.declare("t", reads=["db"], writes=[lambda p, **others: [p, *others]])
        assert spec.parameters == {"p"}
        assert spec.needs(["x", "p"]) == ["x", "p"]

    @pytest.mark.parametrize(("reads", "writes", "level"), [(1, 0, "read"), (0, 1, "write"), (1, 1, "write")])
    def test_a_label_function_that_may_write_makes_a_write(self, reads: int, writes: int, level: str) -> None:
        def nothing() -> list[str]:
            return []

        spec = EffectSpec.declare("t", reads=[nothing] * reads, writes=[nothing] * writes)
        assert (spec.level, spec.declared, spec.pure) == (level, True, False)
        assert spec.bind({}) == NO_CLAIM

    def test_hands_resolve_to_its_paths(self) -> None:
        spec = EffectSpec.declare("t", reads=["fs:/A", lambda: "fs:/C"], writes=["fs:{p}"], resolve=str.lower)
        assert spec.bind({"p": "B"}) == Claim.make([("fs", "a"), ("fs", "c")], [("fs", "b")])


class TestBind:
    def test_fills_reads_and_writes(self) -> None:
        spec = EffectSpec.declare("copy", reads=["fs:{source}"], writes=["fs:{target}"])
        assert spec.bind({"source": ["a", "b"], "target": "/c"}) == Claim.make(
            [("fs", "a"), ("fs", "b")], [("fs", "c")]
        )

    def test_does_no_work_where_no_label_has_a_hole(self) -> None:
        spec = EffectSpec.declare("t", reads=["a"], writes=["b.x"])
        assert spec.bind({}) is spec.bind({"p": 1}, {"p"})

    @given(
        TEMPLATES,
        TEMPLATES,
        st.dictionaries(st.sampled_from("pq"), st.sampled_from(["x", 1, None, ["x", "y"]])),
    )
    def test_an_unbound_claim_covers_what_it_binds_to_unless_a_path_escapes(
        self, reads: list[str], writes: list[str], arguments: dict[str, Any]
    ) -> None:
        spec = EffectSpec.declare("t", reads=reads, writes=writes)
        for unresolved in ({"p"}, {"q"}, {"p", "q"}):
            assert covers(spec.bind(arguments, unresolved), spec.bind(arguments))

    def test_asks_label_functions_for_reads_and_writes_apart(self) -> None:
        spec = EffectSpec.declare(
            "copy", reads=[lambda source: f"fs:{source}"], writes=[lambda target: f"fs:{target}"]
        )
        known = {"source": "a", "target": "b"}
        assert spec.bind(known) == Claim.make([("fs", "a")], [("fs", "b")])
        assert spec.bind(known, {"source"}) == Claim.make([()], [("fs", "b")])
        assert spec.bind(known, (), {"target"}) == EVERYTHING

    @given(
        st.lists(st.sampled_from(FUNCTIONS), max_size=2),
        st.lists(st.sampled_from(FUNCTIONS), max_size=2),
        TEMPLATES,
        st.dictionaries(st.sampled_from("pq"), st.sampled_from(["x", 1, None, ["x", "y"]])),
    )
    def test_an_unbound_claim_covers_what_label_functions_bind_it_to(
        self, reads: list[Any], writes: list[Any], templates: list[str], arguments: dict[str, Any]
    ) -> None:
        spec = EffectSpec.declare("t", reads=[*reads, *templates], writes=writes)
        for unknown in ({"p"}, {"q"}, {"p", "q"}):
            assert covers(spec.bind(arguments, unknown), spec.bind(arguments))
            assert covers(spec.bind(arguments, (), unknown), spec.bind(arguments))
            known = {name: value for name, value in arguments.items() if name not in unknown}
            assert covers(spec.bind(known, unknown), spec.bind(arguments))

    @pytest.mark.parametrize("escape", ["/etc/x", "../etc/x"])
    def test_an_unbound_claim_does_not_cover_an_escape(self, escape: str) -> None:
        spec = EffectSpec.declare("t", writes=["fs:/srv/{path}"])
        unbound, bound = spec.bind({}, {"path"}), spec.bind({"path": escape})
        assert uncovered(unbound, bound) == ("fs", "etc", "x")


def test_importing_effects_loads_neither_pydantic_nor_asyncio() -> None:
    code = (
        "import sys, asyncfc.depgraph.effects, asyncfc.depgraph.assignment\n"
        "print({'pydantic', 'asyncio', 'networkx'} & set(sys.modules))"
    )
    assert run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "set()\n"
