from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncfc.depgraph.claims import MAX_UNBOUND, ClaimIndex
from asyncfc.depgraph.effects import EVERYTHING, Claim, Conflict, conflict

LABELS = st.sampled_from([(), ("a",), ("a", "b"), ("a", "b", "c"), ("a", "d"), ("e",), ("e", "b")])
CLAIMS = st.builds(Claim.make, st.lists(LABELS, max_size=2), st.lists(LABELS, max_size=2))
A, AB, AC, E = ("a",), ("a", "b"), ("a", "c"), ("e",)


def reads(*labels: tuple[str, ...]) -> Claim:
    return Claim.make(labels, ())


def writes(*labels: tuple[str, ...]) -> Claim:
    return Claim.make((), labels)


def test_each_kind_of_conflict_is_named_with_the_newer_label() -> None:
    index = ClaimIndex()
    index.add(0, writes(AB))
    assert index.add(1, reads(A)) == {0: Conflict("RAW", A)}
    assert index.add(2, writes(A)) == {0: Conflict("WAW", A), 1: Conflict("WAR", A)}


def test_readers_and_siblings_do_not_conflict() -> None:
    index = ClaimIndex()
    index.add(0, reads(A))
    assert index.add(1, reads(AB)) == {}
    assert index.add(2, writes(E)) == {}
    index.add(3, writes(AB))
    assert index.add(4, writes(AC)) == {0: Conflict("WAR", AC)}


def test_a_write_stands_alone_at_and_below_its_label() -> None:
    index = ClaimIndex()
    for order in range(3):
        index.add(order, writes((*AB, str(order))))
    index.add(3, writes(A))
    assert index.add(4, reads((*AB, "1"))) == {3: Conflict("RAW", (*AB, "1"))}


def test_a_write_does_not_hide_what_stands_above_it() -> None:
    index = ClaimIndex()
    index.add(0, writes(A))
    index.add(1, writes(AB))
    assert set(index.add(2, writes(AC))) == {0}


def test_a_discarded_claim_is_forgotten_and_twice_is_harmless() -> None:
    index = ClaimIndex()
    index.add(0, EVERYTHING)
    index.discard(0)
    index.discard(0)
    assert index.add(1, EVERYTHING) == {}
    assert len(index) == 1


def test_a_claim_whose_place_was_covered_and_taken_again_leaves_cleanly() -> None:
    index = ClaimIndex()
    index.add(0, writes(("a", "b", "c")))
    index.add(1, writes(A))  # covers and detaches a.b.c
    index.add(2, writes(("a", "b", "c")))  # the same place, new nodes
    index.discard(0)
    assert set(index.add(3, reads(("a", "b", "c")))) == {1, 2}


def test_an_unbound_claim_does_not_hide_older_ones() -> None:
    index = ClaimIndex()
    index.add(0, writes(AB))
    index.add(1, writes(A), late=True)
    assert set(index.add(2, reads(AB))) == {0, 1}
    index.narrow(1, writes(AC))
    assert set(index.add(3, reads(AB))) == {0}
    assert index.conflict(1, 2) is None


def test_beyond_the_cap_a_late_claim_stays_wide_and_covers() -> None:
    index = ClaimIndex()
    for order in range(MAX_UNBOUND):
        index.add(order, reads(("x", str(order))), late=True)
    index.add(MAX_UNBOUND, writes(A))
    index.add(MAX_UNBOUND + 1, writes(A), late=True)
    assert not index.can_narrow(MAX_UNBOUND + 1)
    assert set(index.add(MAX_UNBOUND + 2, reads(A))) == {MAX_UNBOUND + 1}
    index.discard(0)
    index.add(MAX_UNBOUND + 3, reads(A), late=True)
    assert index.can_narrow(MAX_UNBOUND + 3)


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "late", "narrow", "discard"]), CLAIMS, st.integers(0, 30)), max_size=25
)


@given(STEPS)
def test_every_older_conflicting_claim_is_reached_by_edges_and_every_edge_is_a_conflict(
    steps: list[tuple[str, Claim, int]],
) -> None:
    """Brute force on the side: claims in a dict, edges as told, released only after predecessors."""
    index = ClaimIndex()
    claims: dict[int, Claim] = {}
    unbound: list[int] = []
    before: dict[int, set[int]] = {}  # edges as they stand
    for order, (kind, claim, pick) in enumerate(steps):
        if kind in ("add", "late"):
            found = index.add(order, claim, late=kind == "late")
            assert {o: conflict(claims[o], claim) is not None for o in found} == dict.fromkeys(found, True)
            before[order] = set(found)
            claims[order] = claim
            if kind == "late":
                unbound.append(order)
        elif kind == "narrow" and unbound:
            narrowed = unbound.pop(pick % len(unbound))
            bound = Claim.make(claims[narrowed].reads[:1], claims[narrowed].writes[:1])
            index.narrow(narrowed, bound)
            claims[narrowed] = bound
            for newer, olders in before.items():
                before[newer] = {
                    o for o in olders if narrowed not in (o, newer) or index.conflict(o, newer) is not None
                }
        elif kind == "discard":
            free = [o for o, olders in before.items() if not olders]
            if free:
                gone = free[pick % len(free)]
                index.discard(gone)
                del claims[gone], before[gone]
                if gone in unbound:
                    unbound.remove(gone)
                for olders in before.values():
                    olders.discard(gone)
        for newer, claim_of_newer in claims.items():
            expected = {o for o, c in claims.items() if o < newer and conflict(c, claim_of_newer)}
            assert expected <= reached(newer, before)
    assert len(index) == len(claims)


def reached(order: int, before: dict[int, set[int]]) -> set[int]:
    seen: set[int] = set()
    stack = list(before[order])
    while stack:
        older = stack.pop()
        if older not in seen:
            seen.add(older)
            stack.extend(before[older])
    return seen


def test_the_tries_are_empty_when_all_have_left() -> None:
    index = ClaimIndex()
    for order in range(50):
        index.add(order, Claim.make([("r", str(order % 7))], [("w", str(order % 5), str(order))]))
    for order in range(50):
        index.discard(order)
    for trie in (index._readers, index._writers):
        assert not trie._places
        assert not trie._root.children
        assert not trie._root.entries
