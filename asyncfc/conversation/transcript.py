"""Transcript: a conversation as a list of entries, whatever the provider calls them; and what it may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asyncfc.conversation.providers import Provider, Role
from asyncfc.errors import TranscriptError
from asyncfc.futures.call import Call, short_name


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """What one call was answered with, as the model reads it."""

    call_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of a transcript, as one item of a provider's list of messages holds it.

    A provider may spread one message of the model over several items (OpenAI Responses), or put the answers
    to several calls, and a text behind them, into one (Anthropic: role `tool`, with `answers` and `text`).
    """

    role: Role
    text: str = ""
    calls: tuple[Call, ...] = ()
    """Of the assistant: its client tool calls, arguments as JSON text. What runs on the server is none."""
    answers: tuple[CallAnswer, ...] = ()
    """Of a tool entry, in order."""
    thinking: bool = False
    """It holds the model's reasoning, which some providers want back exactly as it was."""
    late: bool = False
    """Its calls are marked as asynchronous: the provider lets their answers come in a later request."""


MAX_NAMED = 5
"""Faults that an error message names."""


def require_valid(entries: Sequence[Entry], provider: Provider) -> None:
    """Refuse a transcript that the provider would refuse.

    Raises:
        TranscriptError: naming the first faults.
    """
    if faults := check(entries, provider):
        more = f"; and {len(faults) - MAX_NAMED} more" if len(faults) > MAX_NAMED else ""
        raise TranscriptError(
            f"not a valid request to {provider.name}: {'; '.join(faults[:MAX_NAMED])}{more}"
        )


def check(entries: Sequence[Entry], provider: Provider) -> list[str]:
    """Say what is wrong with the messages of a request (DESIGN D1), in order; an empty list if nothing.

    Every call is answered exactly once, after it and before anything but answers follows its message; where
    late outputs are allowed, at most once and at any time after it, since entries do not tell which calls are
    marked as asynchronous. Equal ids in different messages of the model are different calls, and an answer
    belongs to the latest. Calls without an id (some servers give none) are answered by their number.
    """
    checker = _Checker(provider)
    for index, entry in enumerate(entries):
        checker.take(index, entry)
    checker.end_message("the end of the request")
    return checker.faults


@dataclass(slots=True)
class _Asked:
    """A call, and where it stands."""

    index: int
    message: int
    answered: int | None = None


class _Checker:
    """Goes through a transcript, entry by entry."""

    def __init__(self, provider: Provider) -> None:
        self.faults: list[str] = []
        self._provider = provider
        self._previous: Role | None = None
        """The role of the entry before, the system's at the start apart."""
        self._message = 0
        """Counts the messages, each as the run of entries that it may be spread over."""
        self._asked: dict[str, list[_Asked]] = {}
        """The calls that an answer may belong to, by id."""
        self._closed: dict[str, _Asked] = {}
        """The latest call of each id whose time to be answered is over."""

    def take(self, index: int, entry: Entry) -> None:
        """Check one entry; those before it have been taken."""
        self._check_order(index, entry)
        self._check_content(index, entry)
        if self._begins_message(entry):
            self._message += 1
            self.end_message(f"entry {index} ({entry.role})")
        for call in entry.calls:
            self._ask(index, call)
        for answer in entry.answers:
            self._answer(index, answer)
        if entry.role != "system" or self._previous is not None:
            self._previous = entry.role

    def end_message(self, where: str) -> None:
        """The calls so far must have been answered by now."""
        if self._provider.late_outputs:
            return
        for call_id, calls in self._asked.items():
            for call in calls:
                if call.answered is None:
                    self._fault(
                        call.index,
                        f"call {short_name(call_id)!r} has no answer before {where}; "
                        "expected one in a tool entry directly after the message that made the call",
                    )
            self._closed[call_id] = calls[-1]
        self._asked.clear()

    def _begins_message(self, entry: Entry) -> bool:
        """Whether the calls before this entry are over with it."""
        if entry.role == "assistant":
            return self._previous != "assistant" or not self._provider.split_messages
        return entry.role != "tool"

    def _check_order(self, index: int, entry: Entry) -> None:
        """Check which role follows which."""
        provider, previous, role = self._provider, self._previous, entry.role
        if role == "system":
            if previous is not None and not provider.system_anywhere:
                self._fault(index, "a system message after the start; expected it before all others")
        elif previous is None and role != "user" and provider.first_must_be_user:
            self._fault(index, f"the first message is of role {role}; expected one of the user first")
        elif role == "user" and previous == "tool" and not provider.user_after_tool:
            self._fault(index, "the user directly after a tool; expected a message of the model between")
        elif role == "user" and previous == "user" and not provider.user_after_user:
            self._fault(index, "the user directly after the user; expected both texts in one message")
        elif entry.calls and previous == "assistant" and not provider.calls_after_assistant:
            self._fault(
                index, "calls directly after another message of the model; expected user or tool there"
            )

    def _check_content(self, index: int, entry: Entry) -> None:
        """Check which role says what."""
        if entry.calls and entry.role != "assistant":
            self._fault(index, f"calls in a message of role {entry.role}; only the model makes calls")
        if entry.answers and entry.role != "tool":
            self._fault(index, f"answers in a message of role {entry.role}; expected them in a tool entry")

    def _ask(self, index: int, call: Call) -> None:
        length = self._provider.id_length
        if length is not None and not (len(call.id) == length and call.id.isascii() and call.id.isalnum()):
            self._fault(index, f"call id {short_name(call.id)!r}; expected {length} letters and digits")
        calls = self._asked.setdefault(call.id, [])
        if calls and call.id and calls[-1].message == self._message:
            self._fault(index, f"two calls of one message have the id {short_name(call.id)!r}")
        calls.append(_Asked(index, self._message))

    def _answer(self, index: int, answer: CallAnswer) -> None:
        name = short_name(answer.call_id)
        if not isinstance(answer.text, str):
            kind = type(answer.text).__name__
            self._fault(index, f"the answer to call {name!r} is of the Python type {kind}; expected a text")
        calls = self._asked.get(answer.call_id, [])
        latest = [call for call in calls if call.message == calls[-1].message]
        for call in latest:
            if call.answered is None:
                call.answered = index
                return
        known = latest[-1] if latest else self._closed.get(answer.call_id)
        if known is None:
            self._fault(index, f"an answer to call {name!r}, which no message before it made")
        elif known.answered is None:
            self._fault(index, f"an answer to call {name!r} of entry {known.index} comes too late")
        else:
            self._fault(index, f"call {name!r} is answered a second time; entry {known.answered} answers it")

    def _fault(self, index: int, fault: str) -> None:
        self.faults.append(f"entry {index}: {fault}")
