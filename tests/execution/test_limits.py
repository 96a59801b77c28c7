from __future__ import annotations

import pytest

from asyncfc.depgraph.effects import EVERYTHING, NO_CLAIM, Claim
from asyncfc.errors import DeclarationError
from asyncfc.execution.limits import Limits
from asyncfc.execution.line import Ticket

USERS = Claim.make([("db", "users")], [])


def keys_of(limits: Limits, tool: str, claim: Claim) -> tuple[str, ...]:
    made = limits.ticket(0, tool, claim, limits.share())
    return () if made is None else made.keys


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "4", None])
def test_a_limit_is_a_whole_number_of_at_least_one(size: object) -> None:
    with pytest.raises(DeclarationError, match="'\\*'"):
        Limits({"*": size})  # type: ignore[dict-item]


def test_a_key_that_is_no_label_is_refused() -> None:
    with pytest.raises(DeclarationError):
        Limits({"": 1})


def test_keys_are_resources_then_tool_then_global() -> None:
    limits = Limits({"*": 9, "tool:search": 4, "db": 2, "fs": 1})
    assert keys_of(limits, "search", USERS) == ("db", "tool:search", "*")
    assert keys_of(limits, "other", NO_CLAIM) == ("*",)
    assert keys_of(limits, "other", EVERYTHING) == ("db", "fs", "*")
    assert keys_of(Limits(), "search", USERS) == ()


def test_slots_go_to_the_oldest_that_waits() -> None:
    limits = Limits({"*": 1})
    tickets = {order: Ticket(order, ("*",)) for order in (0, 2, 1)}
    assert [limits.enter(ticket) for ticket in tickets.values()] == [True, False, False]
    assert limits.leave(tickets[0]) == [tickets[1]]
    assert limits.leave(tickets[1]) == [tickets[2]]
    assert limits.leave(tickets[2]) == []
    assert limits.enter(Ticket(3, ("*",)))


def test_one_that_gave_up_while_it_waited_is_passed_over_and_gives_back_what_it_had() -> None:
    limits = Limits({"tool:a": 1, "*": 1})
    first, quitter, last = Ticket(0, ("*",)), Ticket(1, ("tool:a", "*")), Ticket(2, ("tool:a", "*"))
    assert limits.enter(first)
    assert not limits.enter(quitter)  # has tool:a, waits for *
    assert not limits.enter(last)  # waits for tool:a
    assert limits.leave(quitter) == []  # last moves on to the queue for *
    assert not last.complete
    assert limits.leave(first) == [last]
    assert last.complete


def test_a_ticket_keeps_its_slots_while_it_waits_for_more() -> None:
    limits = Limits({"db": 1, "*": 1})
    running, holder = Ticket(0, ("*",)), Ticket(1, ("db", "*"))
    limits.enter(running)
    limits.enter(holder)
    assert not limits.enter(Ticket(2, ("db",)))
    assert limits.leave(running) == [holder]


def test_several_that_come_together_queue_before_any_of_them_has_a_slot() -> None:
    limits = Limits({"*": 2, "tool:a": 1})
    shares = [limits.share(), limits.share()]
    tickets = [Ticket(n, ("tool:a", "*"), share=shares[0]) for n in range(3)]
    tickets += [Ticket(3, ("*",), share=shares[1])]
    limits.enter_all(tickets)
    assert [ticket.complete for ticket in tickets] == [True, False, False, True]
    assert limits.leave(tickets[0]) == [tickets[1]]


def test_of_sessions_that_come_together_each_has_its_part_of_the_free_slots() -> None:
    limits = Limits({"*": 4})
    shares = [limits.share(), limits.share(weight=3)]
    tickets = [Ticket(n, ("*",), share=shares[n // 5]) for n in range(10)]
    limits.enter_all(tickets)
    assert [ticket.order for ticket in tickets if ticket.complete] == [0, 5, 6, 7]
