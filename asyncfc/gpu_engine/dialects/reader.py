"""Reader: reads one assistant turn, token by token."""

from __future__ import annotations

from collections.abc import Mapping

from asyncfc.gpu_engine.dialects.called import NoCall, Unreadable
from asyncfc.gpu_engine.dialects.detokenize import Detokenizer
from asyncfc.gpu_engine.dialects.families import CALLS, CONTENT, FOREIGN, THINKING, Family
from asyncfc.gpu_engine.dialects.parts import Malformed, Part, Sealed, Text, Thought
from asyncfc.gpu_engine.dialects.scanner import Chunk, Event, Region, Scanner
from asyncfc.gpu_engine.dialects.tagged import Types

CUT_OFF = "the turn ended inside the call"


class Reader:
    """Reads one assistant turn, token by token; how text falls into tokens makes no difference.

    Args:
        family: the format of its calls.
        detokenizer: fresh, knowing the tokens in front of the turn.
        prefix: the text that the chat template pre-wrote of the turn, its header included.
        stops: the text of each token that ends the turn.
        types: what the schemas of the tools say about the types of their parameters.
    """

    __slots__ = ("_detokenizer", "_family", "_margin", "_scanner", "_stops", "_types", "end", "ends", "text")

    def __init__(
        self, family: Family, detokenizer: Detokenizer, prefix: str, stops: Mapping[int, str], types: Types
    ) -> None:
        self._family = family
        self._detokenizer = detokenizer
        self._scanner = Scanner(family.template, prefix)
        self._stops = stops
        self._types = types
        # White space that is layout unless more words follow; None where words have yet to begin.
        self._margin: str | None = None
        self.end: int | None = None
        """The token that ended the turn."""
        self.text = ""
        """The turn so far, as it was sampled, what is held back included."""
        self.ends: list[int] = []
        """Where in `text` each token ends that was fed and did not end the turn."""

    @property
    def ended(self) -> bool:
        """Whether the end of the turn was sampled."""
        return self.end is not None

    @property
    def critical(self) -> bool:
        """Whether nothing may be injected here (DESIGN G2).

        So it is inside a call or a thought, and where the beginning of a delimiter, or of a character, is
        held back.
        """
        region = self._scanner.region
        outside = region is None or region.field == CONTENT
        return not outside or self._scanner.held > 0 or self._detokenizer.pending

    def feed(self, token: int) -> list[Part]:
        """Take a sampled token; return what became certain."""
        if token in self._stops:
            self.end = token
            return []
        text = self._detokenizer.add(token)
        self.text += text
        self.ends.append(len(self.text))
        return self._parts(self._scanner.feed(text)) if text else []

    def finish(self) -> list[Part]:
        """Return what was held back, once the turn is over.

        Calls that close with the turn are sealed here if its end was sampled, and malformed if it was cut
        off, at a token limit for example.
        """
        rest = self._detokenizer.finish()
        self.text += rest
        events = self._scanner.feed(rest)
        if self.end is not None and self._family.closes(self._scanner.field, self._stops[self.end]):
            events += self._scanner.feed(self._stops[self.end])
        return self._parts(events + self._scanner.finish(), finished=True)

    def _parts(self, events: list[Event], *, finished: bool = False) -> list[Part]:
        parts: list[Part] = []
        for event in events:
            if not isinstance(event, Chunk):
                self._margin = None
                parts += self._region(event, finished=finished) if isinstance(event, Region) else ()
            elif event.field == CONTENT or event.field in THINKING:
                parts += self._words(event)
        return _joined(parts)

    def _words(self, chunk: Chunk) -> list[Part]:
        text = chunk.text if self._margin is not None else chunk.text.lstrip()
        body = text.rstrip()
        if not body:
            self._margin = None if self._margin is None else self._margin + text
            return []
        words = (self._margin or "") + body
        self._margin = text[len(body) :]
        return [Text(words) if chunk.field == CONTENT else Thought(words)]

    def _region(self, region: Region, *, finished: bool) -> list[Part]:
        if region.field == FOREIGN:
            reason = "a message in the name of somebody else: tool results come from tools only"
            return [Malformed(region.raw, reason)]
        if not region.field.startswith(CALLS):
            return []
        closed = region.closed or self._family.open_ended
        complete = closed and (bool(region.closing) or self.ended or not finished)
        try:
            calls = self._family.read(region, self._types)
        except NoCall:
            return [Text(region.raw.strip())]
        except Unreadable as error:
            return [Malformed(region.raw, error.reason if complete else CUT_OFF, error.name)]
        if not complete:
            return [Malformed(region.raw, CUT_OFF, calls[0].name)]
        return [Sealed(call.name, call.arguments, region.raw) for call in calls]


def _joined(parts: list[Part]) -> list[Part]:
    """Make one of neighbouring words of a kind."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, Text) and isinstance(last, Text):
            joined[-1] = Text(last.text + part.text)
        elif isinstance(part, Thought) and isinstance(last, Thought):
            joined[-1] = Thought(last.text + part.text)
        else:
            joined.append(part)
    return joined
