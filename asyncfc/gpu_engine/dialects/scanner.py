"""Scanner: where the regions of a turn begin and end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from transformers.utils.chat_parsing import ResponseParser
from transformers.utils.chat_parsing.response_templates import ResponseTemplate

REST = ""
"""The field that text outside any region goes to, where a template names none."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Text in a field, as soon as it is certain to be no delimiter."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A region began."""

    field: str


@dataclass(slots=True)
class Region:
    """A stretch of text between two delimiters; `captured` holds the named groups of the opening one.

    `closed` is false if the turn ended where a closing delimiter was due.
    """

    field: str
    opening: str
    captured: Mapping[str, str]
    body: str = ""
    closing: str = ""
    closed: bool = False

    @property
    def raw(self) -> str:
        """The whole stretch as the model wrote it."""
        return self.opening + self.body + self.closing


Event: TypeAlias = Chunk | Opened | Region
"""A region is reported when it is over."""


class Scanner:
    """transformers' ResponseParser, told not to read what it finds.

    The parser raises in the middle of its work when the body of a region cannot be read, and what it had
    found by then is lost with the rest of the turn. So its fields are made plain text here, and bodies are
    read by whoever gets the regions.

    Args:
        template: what delimits regions.
        prefix: the text before the turn, with whatever the chat template pre-wrote of it.
    """

    def __init__(self, template: ResponseTemplate, prefix: str) -> None:
        self._fields = template.fields
        self._parser = ResponseParser(_plain(template), prefix=prefix)
        self._text = template.truncate_past_last_anchor(prefix)
        self._at = 0
        self.region: Region | None = None
        """The region that is open."""
        for _ in self._follow(self._parser.initial_events):
            pass  # what the template pre-wrote is nothing that the model said

    @property
    def held(self) -> int:
        """Characters that are held back because they may begin a delimiter."""
        return len(self._text) - self._at

    @property
    def field(self) -> str | None:
        """The field of the region that is open, or that is if its opening delimiter is not to grow on."""
        if self.region is not None:
            return self.region.field
        for name, field in self._fields.items():
            found = field.open_re and field.open_re.match(self._text, self._at)
            if found and found.end() == len(self._text):
                return name
        return None

    def feed(self, text: str) -> list[Event]:
        """Take more text; return what became certain."""
        self._text += text
        return list(self._follow(self._parser.feed(text)))

    def finish(self) -> list[Event]:
        """Take the end of the text."""
        return list(self._follow(self._parser.finalize()[1]))

    def _follow(self, found: Iterable[Mapping[str, Any]]) -> Iterable[Event]:
        for event in found:
            name, kind = event["field"], event["type"]
            explicit = name != REST and self._fields[name].open_re is not None
            if kind == "region_chunk":
                yield self._chunk(name, event["text"])
            elif explicit and kind == "region_open":
                yield self._open(name)
            elif explicit:
                yield self._close(name)

    def _chunk(self, name: str, text: str) -> Chunk:
        self._at += len(text)
        if self.region is not None:
            self.region.body += text
        return Chunk(name, text)

    def _open(self, name: str) -> Opened:
        found = self._fields[name].open_re.match(self._text, self._at)
        captured = {key: text for key, text in found.groupdict().items() if text is not None}
        self.region = Region(name, self._pass(found), captured)
        return Opened(name)

    def _close(self, name: str) -> Region:
        region, pattern = self.region, self._fields[name].close_re
        assert region is not None
        found = pattern.match(self._text, self._at) if pattern is not None else None
        region.closing = "" if found is None else self._pass(found)
        # Without a closing delimiter a region lasts to the end of the turn.
        region.closed = pattern is None or found is not None
        self.region = None
        return region

    def _pass(self, found: Any) -> str:
        """Step over a delimiter: the parser matched the same pattern at the same place of the same text."""
        self._at = found.end()
        return str(found.group())


def _plain(template: ResponseTemplate) -> ResponseTemplate:
    fields = {
        name: replace(
            each,
            content="text",
            content_args={"strip": False},
            transform=None,
            transform_each=False,
            repeats=False,
            join=None,
            optional=True,
        )
        for name, each in template.fields.items()
    }
    implicit = template.implicit
    if implicit is None:
        implicit, any_field = REST, next(iter(fields.values()))
        fields[REST] = replace(any_field, name=REST, open_re=None, open_literals=None)
    # What ends the turn is told by tokens, never by text.
    fields[implicit] = replace(fields[implicit], close_re=None, close_literals=None)
    return ResponseTemplate(
        defaults={},
        fields=fields,
        start_anchor_re=template.start_anchor_re,
        implicit=implicit,
        start_anchor_literals=template.start_anchor_literals,
    )
