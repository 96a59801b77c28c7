"""Dialogue: one conversation between a model and a session, whoever runs the loop.

What all adapters share. It says what a request has to bring, takes in what the model says, and decides
whether a message without calls is the model's last word (DESIGN D5).
"""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Literal, TypeAlias, TypeVar

from asyncfc.conversation.control import await_tool, cancel_tool
from asyncfc.conversation.formats.base import Json, ToolSchema
from asyncfc.conversation.providers import provider_of
from asyncfc.conversation.relaxation import relax as relaxed
from asyncfc.conversation.returns import describe_return, may_come_from
from asyncfc.errors import DeclarationError
from asyncfc.futures.outcome import Value
from asyncfc.futures.plain import map_strings
from asyncfc.incoming import Incoming
from asyncfc.message import Message
from asyncfc.session import Session

Final: TypeAlias = Literal["deliver", "substitute", "open"]
Relax: TypeAlias = Literal["always", "auto", "none"]
_T = TypeVar("_T")

_OF_SCHEMAS = ("schema", "grammar", "parameters", "anyof", "$defs")
"""What providers speak of when they refuse the schema of a tool."""


class Dialogue:
    """The protocol of one conversation.

    Args:
        session: runs the calls.
        final: what becomes of a message without calls while outcomes are unseen. `deliver`: it is
            provisional; the outcomes are waited for and delivered, and the model goes on. `substitute`:
            values replace the handles in it, once they are there; only failures are delivered. `open`: it
            ends the turn, and what still runs belongs to the next one.
        inline: tools that are answered with their outcome only, never with a handle, and start when the
            loop calls them: those whose result the loop itself reads, or that it may refuse to call.
        note: whether the system prompt explains handles.
        control: whether the model gets `await_future` and `cancel_future`.
        pipelining: whether the model is taught `$this_k`.
        longest_first: whether the model is advised to make the calls first that take longest.
        relax: where schemas admit handles: in every position (`always`), in those that the result of some
            tool may fill (`auto`), nowhere (`none`). A strict schema is relaxed as by `auto`, because its
            provider compiles it.
        provider: whose rules hold (see `PROVIDERS`), where the requests alone do not say it: `"mistral"`,
            say, behind an address that speaks the protocol of OpenAI.
        max_extra_messages: how many messages the model may be asked for only because outcomes were
            unseen. After that, calls are answered with their outcomes.

    Raises:
        DeclarationError: a setting is written wrongly.
    """

    def __init__(
        self,
        session: Session,
        *,
        final: Final = "deliver",
        inline: Collection[str] = (),
        note: bool = True,
        control: bool = True,
        pipelining: bool = True,
        longest_first: bool = False,
        relax: Relax = "always",
        max_extra_messages: int = 8,
        provider: str | None = None,
    ) -> None:
        self.session = session
        self.extra_messages = 0
        """How many messages the model was asked for only because outcomes were unseen."""
        self.unrelaxed: set[str] = set()
        """Tools whose relaxed schema the provider refused."""
        self.provider = None if provider is None else provider_of(provider)
        self._final = _one_of("final", final, ("deliver", "substitute", "open"))
        self._relax = _one_of("relax", relax, ("always", "auto", "none"))
        self._inline = frozenset(inline)
        unknown = sorted(self._inline - session.tools.keys())
        if unknown:
            raise DeclarationError(
                f"inline has {unknown}, which are no tools; they are {sorted(session.tools)}"
            )
        self._note = note
        self._control = control
        self._pipelining = pipelining
        self._longest_first = longest_first
        self._max_extra = max_extra_messages
        self._again: Message | None = None
        self._adapted: dict[str, ToolSchema] = {}

    # --- what a request brings ------------------------------------------------------------------------

    @property
    def note(self) -> str | None:
        """What stands behind the system prompt; the same text for every session (DESIGN D7)."""
        if not self._note:
            return None
        session = self.session
        return session.wording.system(
            session.grammar,
            pipelining=self._pipelining,
            longest_first=self._longest_first,
            awaits=self._control,
        )

    @property
    def controls(self) -> list[ToolSchema]:
        """The tools that the model gets beside the program's."""
        wording = self.session.wording
        return [await_tool(wording), cancel_tool(wording)] if self._control else []

    def adapt(self, schema: ToolSchema) -> ToolSchema:
        """A tool as the model is told of it: handles admitted, its return type told where known."""
        tool = self.session.tools.get(schema.name)
        if tool is None or self._relax == "none" or schema.name in self.unrelaxed:
            return schema
        key = json.dumps([schema.name, schema.description, schema.parameters, schema.strict], default=repr)
        if key not in self._adapted:
            picky = schema.strict or self._relax == "auto"
            wording = self.session.wording
            parameters = relaxed(
                schema.parameters,
                self.session.grammar,
                only=self._may_be_filled if picky else None,
                description=wording.handle,
            )
            description = describe_return(schema.description, tool.returns, template=wording.returns)
            self._adapted[key] = replace(schema, description=description, parameters=parameters)
        return self._adapted[key]

    def refused(self, complaint: str, names: Collection[str]) -> bool:
        """A provider refused a request: whether relaxed schemas may be why, and are given up for it.

        Args:
            complaint: the provider's words.
            names: the tools of the request.
        """
        relaxed = {name for name in names if name in self.session.tools} - self.unrelaxed
        if self._relax == "none" or not relaxed or not any(word in complaint.lower() for word in _OF_SCHEMAS):
            return False
        self.unrelaxed |= {name for name in relaxed if name in complaint} or relaxed
        return True

    def _may_be_filled(self, position: Json) -> bool:
        """Whether the result of some tool may stand in a position."""
        return may_come_from(position, [tool.returns for tool in self.session.tools.values()])

    # --- what the model says --------------------------------------------------------------------------

    def begin(self) -> Incoming:
        """A message of the model begins. If the one before broke off, this one repeats it (DESIGN O3)."""
        message, self._again = self._again or self.session.message(), None
        return Incoming(self.session, message, self._inline)

    def broke(self, incoming: Incoming) -> None:
        """The stream of a message broke off; the program may send the request again, or never.

        Nothing but reads is left of it, as nothing else may be waited for. Where a tool is irreversible not
        even these: what the model has seen counts from the moment at which a message begins.
        """
        message = incoming.broken()
        if not message.is_open:  # the session was closed meanwhile
            return
        if any(tool.spec.level == "irreversible" for tool in self.session.tools.values()):
            message.withdraw("its message broke off")
        else:
            self._again = message.retry()

    @property
    def may_be_provisional(self) -> bool:
        """Whether a message that begins now may have to be superseded, should it have no calls."""
        return self._final != "open" and bool(self.session.owed)

    @property
    def exhausted(self) -> bool:
        """Whether the extra messages are used up, so that calls are answered with their outcomes."""
        return self.extra_messages >= self._max_extra

    async def must_go_on(self, text: str, *, structured: bool = False) -> bool:
        """A message without calls is complete: whether outcomes must be delivered and the model asked again.

        Otherwise the message is final; `Handles.fill` then gives its text without handles.

        Args:
            text: of the message.
            structured: it is to be JSON of some form, in which no handle fits: outcomes are delivered
                whatever `final` says.
        """
        session = self.session
        owed = session.owed
        if self._final == "open" and not structured:
            await session.wait_for(session.handles.mentioned(text))
            return False
        if not owed:
            return False
        await session.wait_for(owed)
        told_by_text = self._final == "substitute" and not structured
        if told_by_text and all(isinstance(future.outcome, Value) for future in owed):
            return False
        if self.exhausted:
            return False
        self.extra_messages += 1
        session.note_extra()
        return True

    def final_text(self, text: str, *, structured: bool = False) -> str:
        """The text of a final message without handles: their values stand for them (P21).

        Args:
            text: of the message.
            structured: it is JSON; only the strings in it are changed.
        """
        return _in_strings(text, self.session.handles.fill) if structured else self.session.handles.fill(text)


def _in_strings(text: str, change: Callable[[str], str]) -> str:
    """The JSON text with its strings changed; the very same text if none is, or if it is no JSON."""
    try:
        value = json.loads(text)
    except ValueError:
        return change(text)
    changed = map_strings(value, change)
    return text if changed == value else json.dumps(changed, ensure_ascii=False)


def _one_of(name: str, value: _T, allowed: tuple[_T, ...]) -> _T:
    if value not in allowed:
        raise DeclarationError(f"{name} is {value!r}; expected one of {', '.join(map(repr, allowed))}")
    return value


def split_settings(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of the dialogue, and those of its session; grace is automatic if nothing is said.

    Raises:
        DeclarationError: there is no such setting.
    """
    of_dialogue, of_session = (
        set(inspect.signature(kind).parameters) - {"session", "tools"} for kind in (Dialogue, Session)
    )
    for name in settings:
        if name not in of_dialogue | of_session:
            near = difflib.get_close_matches(name, sorted(of_dialogue | of_session), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise DeclarationError(
                f"there is no setting {name!r}{hint} The settings are {sorted(of_dialogue | of_session)}"
            )
    return (
        {name: value for name, value in settings.items() if name in of_dialogue},
        {"grace": "auto", **{name: value for name, value in settings.items() if name in of_session}},
    )
