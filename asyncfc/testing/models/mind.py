"""Mind: a script with a provider's rules and memory, apart from how its messages travel."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace

from asyncfc.testing.models.api import Api, Event, Utterance
from asyncfc.testing.models.faults import Fault, Faults, cut_short
from asyncfc.testing.models.rejection import Rejected
from asyncfc.testing.models.requirements import check_names, check_view
from asyncfc.testing.models.script import Ask, Emit, Json, MadeCall, Message, Script, View


@dataclass(frozen=True, slots=True)
class Turn:
    """What comes of a request: the same message in two forms, and what goes wrong on its way."""

    reply: Json
    events: list[Event]
    fault: Fault | None

    def breaks_before(self, index: int) -> bool:
        """Whether a stream breaks off instead of sending the event with this index."""
        if self.fault is None or self.fault.kind not in {"drop", "malformed"}:
            return False
        last = max(at for at, (_, data) in enumerate(self.events) if not isinstance(data, str))
        return index == min(self.fault.number, last)


class Mind:
    """A script that is asked in a provider's form.

    Args:
        script: what the model says.
        api: the provider.
        repeat_ids: ids of calls start again in every message, as with Gemini and Ollama.
        require: see `Requirement`.
        faults: see `Faults`.

    Raises:
        ValueError: unknown requirement.
    """

    def __init__(
        self, script: Script, api: Api, *, repeat_ids: bool, require: Collection[str], faults: Faults
    ) -> None:
        check_names(require)
        self.api = api
        self._script = script
        self._repeat_ids = repeat_ids
        self._require = require
        self._faults = faults
        self._said = 0
        self._calls = 0
        self._issued: set[str] = set()

    def hear(self, body: Json) -> Turn:
        """Check a request and answer it.

        Raises:
            Rejected: the provider would not take it, or the fault of this request is a status.
        """
        fault = self._faults.next()
        try:
            if fault is not None:
                fault.raise_status()
            return self._answer(json.loads(json.dumps(body, allow_nan=False)), fault)
        except Rejected as rejected:
            rejected.error = self.api.error(rejected)
            raise

    def _answer(self, body: Json, fault: Fault | None) -> Turn:
        view = self._read(body)
        check_view(view, self._require)
        emit = self._script(view)
        is_cut = fault is not None and fault.kind == "length"
        said = self._utter(cut_short(emit) if is_cut else emit, self.api.thinks(body))
        reply = self.api.reply(body, said)
        return Turn(reply, self.api.events(body, said, reply), fault)

    def _read(self, body: Json) -> View:
        try:
            self.api.check(body, repeated_ids=self._repeat_ids)
            return self._view(body)
        except (AttributeError, KeyError, TypeError) as error:
            # The checks name the faults that are likely; all others are still faults of the request.
            raise Rejected(f"The request has a part of a wrong type: {error!r}") from error

    def _view(self, body: Json) -> View:
        messages = tuple(self._marked(message) for message in self.api.messages(body))
        tools = {tool.name: tool for tool in self.api.tools(body)}
        return View(messages, self.api.system(body), tools, body)

    def _marked(self, message: Message) -> Message:
        issued = not message.calls or any(call.id in self._issued for call in message.calls)
        return replace(message, issued=issued)

    def _utter(self, emit: Emit, thinks: bool | None) -> Utterance:
        self._said += 1
        calls = tuple(self._made(index, ask) for index, ask in enumerate(emit.asks()))
        thinking = emit.thinking
        if thinks is not None:
            thinking = (emit.thinking or "Let me think.") if thinks else None
        return Utterance(self._said, emit.text, calls, thinking, emit.stop, emit.deltas)

    def _made(self, index: int, ask: Ask) -> MadeCall:
        self._calls += 1
        number = index if self._repeat_ids else self._calls
        call = MadeCall(f"{self.api.call_prefix}{number}", ask.name, ask.text, ask.kind)
        self._issued.add(call.id)
        return call
