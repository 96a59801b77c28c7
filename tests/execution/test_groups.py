"""`same_message="concurrent"`: undeclared calls of one message are not ordered among themselves (E1b)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncfc.depgraph.claims import ClaimIndex, Group
from asyncfc.depgraph.effects import EVERYTHING, Claim, conflict
from asyncfc.session import Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, settle_loop


def test_undeclared_calls_of_one_message_overlap_and_across_messages_order_holds() -> None:
    async def main() -> None:
        doll, writer = Puppet("doll"), Puppet("writer", writes="a")
        async with Session([doll.tool, writer.tool], same_message="concurrent") as session:
            await session.submit([Call("w", "writer", {})])
            await session.submit([Call("a", "doll", {}), Call("b", "doll", {})])
            await session.submit([Call("c", "writer", {})])
            await settle_loop()
            assert (len(doll.running), len(writer.running)) == (0, 1)
            writer.running[0].succeed()
            await settle_loop()
            assert (len(doll.running), len(writer.running)) == (2, 0)
            doll.running[0].succeed()
            await settle_loop()
            assert (len(doll.running), len(writer.running)) == (1, 0)
            doll.running[0].succeed()
            await settle_loop()
            assert (len(doll.running), len(writer.running)) == (0, 1)

    run_virtual(main)


MESSAGES = st.lists(
    st.lists(
        st.one_of(
            st.none(),  # undeclared
            st.builds(
                Claim.make,
                st.lists(st.sampled_from([("a",), ("a", "b"), ("c",)]), max_size=1),
                st.lists(st.sampled_from([("a",), ("a", "b"), ("c",)]), max_size=1),
            ),
        ),
        min_size=1,
        max_size=4,
    ),
    max_size=5,
)


@given(MESSAGES, st.sets(st.integers(0, 20)))
def test_all_but_fellows_are_ordered_and_fellows_are_not(
    messages: list[list[Claim | None]], released: set[int]
) -> None:
    index = ClaimIndex()
    calls: list[tuple[int, Claim, bool]] = []  # message, claim, undeclared
    before: list[set[int]] = []
    gone: set[int] = set()
    for number, message in enumerate(messages):
        group = Group()
        for declared in message:
            claim = EVERYTHING if declared is None else declared
            order = len(calls)
            before.append(set(index.add(order, claim, group=group if declared is None else None)))
            assert not before[order] & gone
            calls.append((number, claim, declared is None))
            if order in released and all(older in gone for older in before[order]):
                index.discard(order)
                gone.add(order)
    for order, (number, claim, undeclared) in enumerate(calls):
        reached = reach(order, before)
        for older, (older_number, older_claim, older_undeclared) in enumerate(calls[:order]):
            fellows = undeclared and older_undeclared and number == older_number
            if fellows:
                assert older not in before[order]
            elif conflict(older_claim, claim) is not None and older not in gone:
                assert older in reached


def reach(order: int, before: list[set[int]]) -> set[int]:
    seen: set[int] = set()
    stack = list(before[order])
    while stack:
        older = stack.pop()
        if older not in seen:
            seen.add(older)
            stack.extend(before[older])
    return seen
