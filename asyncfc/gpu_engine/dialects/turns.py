"""Turns: what the chat template writes after a turn of the model, to be put there as tokens.

The token list is the truth (DESIGN G1): what the model sampled stays as it is, however the chat template
would write it. So a dummy conversation is rendered in which the model's turn ends with a mark, and what
follows the mark is what to inject.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from asyncfc.errors import DeclarationError
from asyncfc.gpu_engine.dialects.called import NoCall, Unreadable
from asyncfc.gpu_engine.dialects.families import CALLS, Family
from asyncfc.gpu_engine.dialects.json_calls import check_json
from asyncfc.gpu_engine.dialects.parts import AnsweredCall
from asyncfc.gpu_engine.dialects.renderer import Habits, Message, Renderer
from asyncfc.gpu_engine.dialects.scanner import Region, Scanner
from asyncfc.gpu_engine.dialects.shield import MARK

AWAIT_FUTURE = "await_future"
_QUESTION: Message = {"role": "user", "content": "Go on."}
_PROBE = AnsweredCall("callprobe0", "probe_tool", {}, "probe result")
_WORDS: tuple[Message, ...] = (_QUESTION, {"role": "assistant", "content": MARK})
_ID = "zQidQz"
"""Stands for the id of the call in what closes it."""
_PROBES = (_PROBE, AnsweredCall("callprobe1", "probe_tool", {}, "second result"))


class Turns:
    """What follows a turn of the model, as text.

    Args:
        renderer: whose habits are found out here.
        family: the format of the calls.
        stops: the texts that may end a turn.

    Raises:
        DeclarationError: the chat template renders no calls of that format, or no results behind them.
    """

    def __init__(self, renderer: Renderer, family: Family, stops: Sequence[str]) -> None:
        self._family = family
        self._stops = stops
        self.renderer = renderer
        self._closer = ""
        """What closes a call whose last argument ends with the mark."""
        self._find_habits()

    def answers(self, calls: Sequence[AnsweredCall]) -> tuple[str, str]:
        """Return what closes the last call's region, and what follows: tool turns and generation prompt."""
        asked = self._asked(calls)
        after = self._after([*asked, *self._results(calls)])
        closer = self._closer.replace(_ID, self.renderer.id_of(asked[-1]["tool_calls"][-1]["id"]))
        if not after.startswith(closer):
            raise DeclarationError(
                f"the chat template closes a call with {after[:40]!r}, not with {closer!r}"
            )
        return closer, after[len(closer) :]

    def said(self, text: str) -> str:
        """Return what follows the model's words if the user says `text` then."""
        return self._after([*_WORDS, {"role": "user", "content": text}])

    def continued(self) -> str:
        """Return what follows the model's words if the model goes on in a turn of its own."""
        before, opened = self.opening()
        after, header = self._after(_WORDS), opened[len(before) :]
        return after if after.endswith(header) else after + header

    def opening(self) -> tuple[str, str]:
        """Return a conversation up to the model's turn: without, and then with the generation prompt."""
        return self.renderer.text([_QUESTION], prompt=False), self.renderer.text([_QUESTION])

    def awaited(self, handles: Sequence[str], text: str) -> tuple[str, str]:
        """Return a turn of the model that awaits handles, with what follows.

        The first text goes behind the generation prompt; the second, where the generation prompt begins a
        thought that the template would not have begun in such a turn, behind the end of that thought; only
        one of them is not empty.
        """
        call = self.renderer.call(AWAIT_FUTURE, {"handles": list(handles)}, _PROBE.id)
        answer = AnsweredCall(_PROBE.id, AWAIT_FUTURE, {}, text)
        asked: Message = {"role": "assistant", "content": "", "tool_calls": [call]}
        whole = self.renderer.text([_QUESTION, asked, *self._results([answer])])
        before, opened = self.opening()
        if whole.startswith(opened):
            return whole[len(opened) :], ""
        header = _common(whole, opened)
        if not header.startswith(before):
            raise DeclarationError(
                "the chat template rewrites what comes before the model's turn once that turn is there"
            )
        return "", whole[len(header) :]

    def _asked(self, calls: Sequence[AnsweredCall]) -> list[Message]:
        shown = calls[:1] if self.renderer.habits.one_call else calls
        written = [self.renderer.call(call.name, {"value": MARK}, call.id) for call in shown]
        return [_QUESTION, {"role": "assistant", "content": "", "tool_calls": written}]

    @staticmethod
    def _results(calls: Sequence[AnsweredCall]) -> list[Message]:
        return [
            {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": call.text}
            for call in calls
        ]

    def _after(self, messages: Sequence[Message]) -> str:
        text = self.renderer.text(messages)
        at = text.rfind(MARK)
        if at < 0:
            raise DeclarationError("the chat template leaves out what the model's last turn said")
        return text[at + len(MARK) :]

    def _find_habits(self) -> None:
        faults: dict[str, None] = {}
        for habits in _habits(plain=self._family.plain):
            self.renderer = replace(self.renderer, habits=habits)
            try:
                self._closer = self._read_back()
            except DeclarationError as error:
                faults[str(error)] = None
                continue
            if not self._shows(_PROBES):
                self.renderer = replace(self.renderer, habits=replace(habits, one_call=True))
                if not self._shows(_PROBES):
                    raise DeclarationError("the chat template leaves out the second of two results")
            return
        raise DeclarationError(
            f"the chat template does not go with the format {self._family.name!r}: {'; '.join(faults)}. "
            "Pass another family=, or a chat_template= that renders calls and tool results"
        )

    def _shows(self, calls: Sequence[AnsweredCall]) -> bool:
        try:
            _, after = self.answers(calls)
        except DeclarationError:
            return False
        places = [after.find(call.text) for call in calls]
        return -1 not in places and places == sorted(places)

    def _read_back(self) -> str:
        """Read the call that the template wrote; return what stands between its last argument and its end."""
        text = self.renderer.text([*self._asked([_PROBE]), *self._results([_PROBE])])
        at = text.rfind(MARK) + len(MARK)
        if at < len(MARK):
            raise DeclarationError("it leaves out the arguments of calls")
        if _PROBE.text not in text[at:]:
            raise DeclarationError("it leaves out tool results, or puts them before the calls")
        region, closer = self._last_region(text[:at], text[at:])
        try:
            calls = [] if region is None else self._family.read(region, {})
        except (Unreadable, NoCall) as error:
            raise DeclarationError(f"its calls are written in another format ({error})") from None
        found = [(name, check_json(args) if isinstance(args, str) else args) for name, args in calls]
        if found != [(_PROBE.name, {"value": MARK})]:
            raise DeclarationError("its calls are written in another format")
        return closer.replace(self.renderer.id_of(_PROBE.id), _ID)

    def _last_region(self, before: str, after: str) -> tuple[Region | None, str]:
        scanner = Scanner(self._family.template, before)
        for index, char in enumerate(after):
            stop = next((stop for stop in self._stops if after.startswith(stop, index)), None)
            if stop is not None:
                events = scanner.feed(stop) if self._family.closes(scanner.field, stop) else []
                return _call_region([*events, *scanner.finish()]), after[:index]
            if region := _call_region(scanner.feed(char)):
                return region, after[: index + 1 - scanner.held]
        return None, ""


def _common(one: str, other: str) -> str:
    size = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    common = min(one, other, key=len) if size is None else one[:size]
    return re.sub(r"<[^<>]*\Z", "", common)  # two tags have their beginning in common


def _call_region(events: Sequence[object]) -> Region | None:
    regions = (event for event in events if isinstance(event, Region) and event.field.startswith(CALLS))
    return next(regions, None)


def _habits(*, plain: bool) -> list[Habits]:
    if plain:
        return [Habits(plain=True)]
    choices = product((False, True), repeat=3)
    return [Habits(text_arguments=a, no_content=b, short_ids=c) for c, b, a in choices]
