"""Placement: where in a request the deliveries go, and in which form (DESIGN D3).

Piggybacked on the last tool answer that has not been sent yet; as the late answer to a call that the provider
lets be answered late; as a call of `await_future` that the model did not make, with its answer; or as a note
of the user. What has been sent never changes, so everything goes behind it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from asyncfc.conversation.control import AWAIT_FUTURE
from asyncfc.conversation.delivery import Delivery, Note
from asyncfc.conversation.formats.base import Format
from asyncfc.conversation.providers import Provider, Role, delivery_form
from asyncfc.conversation.shadow import Anchor, Insertion, Shadow
from asyncfc.conversation.transcript import CallAnswer, Entry
from asyncfc.conversation.wording import Wording
from asyncfc.futures.call import Call


@dataclass(frozen=True, slots=True)
class Placement:
    """Puts deliveries into the requests of one conversation.

    Args:
        shadow: says what has been sent.
        format: of the provider.
        wording: of the block around the results.
        awaits: the model has `await_future`, so that a call of it may stand in the transcript.
    """

    shadow: Shadow
    format: Format
    wording: Wording
    awaits: bool = True

    def place(
        self,
        deliveries: Sequence[Delivery | Note],
        items: Sequence[Any],
        provider: Provider,
        *,
        late: Collection[str] = (),
    ) -> list[Insertion]:
        """Where these deliveries go.

        Args:
            deliveries: at least one.
            items: the request's own, one at least.
            provider: whose rules hold.
            late: the ids of calls whose answer may come late, and has not been given.
        """
        answers = [one for one in deliveries if isinstance(one, Delivery) and one.call_id in late]
        rest = [one for one in deliveries if one not in answers]
        entries = [self.format.read(item) for item in items]
        anchors = self.shadow.anchors(items)
        place = _last_fixed(entries, anchors, self.shadow)
        placed = [self._late(one, anchors[place]) for one in answers]
        if rest:
            left_out = any(answer.call_id in late for answer in entries[place].answers)
            tail = self.shadow.behind(anchors[place])
            may_grow = not left_out and not tail and not self.shadow.was_sent(anchors[place])
            last = self.format.read(tail[-1]) if tail else entries[place]
            placed.append(self._among(rest, entries, anchors, place, last.role, provider, may_grow=may_grow))
        return placed

    def _among(
        self,
        rest: Sequence[Delivery | Note],
        entries: Sequence[Entry],
        anchors: Sequence[Anchor],
        place: int,
        last: Role,
        provider: Provider,
        *,
        may_grow: bool,
    ) -> Insertion:
        """Behind the item at this place, where the loop's own items end or a person's follow.

        `last` is the role of what stands there.
        """
        is_end = place == len(entries) - 1
        answer = Insertion(anchors[place], "extend", text=f"\n\n{self._block(rest)}")
        if last == "tool" and may_grow:
            return answer
        follows = "assistant" if is_end and last == "tool" else "user" if not is_end else last
        form = delivery_form(provider, follows, any(entry.thinking for entry in entries), before=last)
        if form == "note" and entries[-1].role == "user" and not provider.user_after_user:
            return Insertion(anchors[-1], "prefix", text=f"{self._block(rest)}\n\n")
        only_pair = is_end and last == "tool" and not provider.user_after_tool
        refused = only_pair or (last == "user" and not provider.user_after_user)
        if refused and entries[place].role == "tool" and (form == "note" or not self.awaits):
            return answer  # although it was sent: nothing else is accepted
        return Insertion(anchors[place], "after", items=self._items(rest, form, even_notes=only_pair))

    def alone(self, deliveries: Sequence[Delivery | Note]) -> list[Any]:
        """The items of a request that has none of its own."""
        return self.format.write(Entry("user", text=self._block(deliveries)))

    def omit(self, items: Sequence[Any], late: Collection[str]) -> list[Insertion]:
        """Leave out the first answers, with handles, of calls whose answer may come late."""
        if not late:
            return []
        entries = [self.format.read(item) for item in items]
        return [
            Insertion(anchor, "omit")
            for entry, anchor in zip(entries, self.shadow.anchors(items), strict=True)
            if any(answer.call_id in late for answer in entry.answers) and not self.shadow.was_sent(anchor)
        ]

    def _late(self, delivery: Delivery, anchor: Anchor) -> Insertion:
        answer = Entry("tool", answers=(CallAnswer(delivery.call_id, delivery.text),))
        return Insertion(anchor, "after", items=tuple(self.format.write(answer)))

    def _items(
        self, deliveries: Sequence[Delivery | Note], form: str, *, even_notes: bool = False
    ) -> tuple[Any, ...]:
        """A pair or a note; a pair may bring what people have said where nothing else is allowed."""
        handles = [one.handle for one in deliveries if isinstance(one, Delivery)]
        if form != "pair" or not self.awaits or not (handles or even_notes):
            return tuple(self.alone(deliveries))
        arguments = {"handles": handles} if handles else {}
        call = Call(f"await{len(self.shadow):04}", AWAIT_FUTURE, json.dumps(arguments))
        text = "\n\n".join(one.text for one in deliveries)
        entries = [Entry("assistant", calls=(call,)), Entry("tool", answers=(CallAnswer(call.id, text),))]
        return tuple(item for entry in entries for item in self.format.write(entry))

    def _block(self, deliveries: Sequence[Delivery | Note]) -> str:
        return self.wording.block.format(results="\n\n".join(one.text for one in deliveries))


def _last_fixed(entries: Sequence[Entry], anchors: Sequence[Anchor], shadow: Shadow) -> int:
    """The item behind which deliveries go: before what a person has said since, as that came later."""
    place = len(entries) - 1
    while place >= 0 and not _is_fixed(entries[place]) and not shadow.was_sent(anchors[place]):
        place -= 1
    if place >= 0:
        return place
    leading = next((n for n, entry in enumerate(entries) if entry.role != "system"), len(entries))
    return leading - 1 if leading else len(entries) - 1


def _is_fixed(entry: Entry) -> bool:
    """It came before what a person has said since."""
    return entry.role in ("tool", "assistant")
