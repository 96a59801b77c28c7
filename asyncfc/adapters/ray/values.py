"""Values in Ray's object store: what the program knows of them, and what a worker makes of them.

A value of some size stays where it was made. The program has a reference and the start of its text, and
passes the reference on; only who looks at the value itself fetches it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import ray
from ray.exceptions import RayError, RayTaskError

from asyncfc.errors import UnresolvedPath, ValueDropped
from asyncfc.futures.future import Future
from asyncfc.futures.handle import Path, show_path
from asyncfc.futures.mention import Reference
from asyncfc.futures.outcome import Value
from asyncfc.futures.plain import canonical_text, copy_json, shorten
from asyncfc.futures.reference import Site, futures_of, substitute
from asyncfc.futures.store import SMALL_CHARS, Artifact, JsonValue

HEAD_CHARS = SMALL_CHARS
"""Characters of the text of a value that come to the program with the news of it."""


class ValueLost(ValueDropped):
    """A value that lay on a machine which is gone, or in a store that was closed."""


@dataclass(frozen=True, slots=True)
class About:
    """What a worker tells of a value that it keeps in the object store."""

    size: int
    chars: int
    head: str
    """The start of its text; all of it for an artifact."""
    is_artifact: bool
    kind: str
    """The name of its type."""


class RemoteValue(Value):
    """A value in the object store. It lives as long as this object or a call that it was passed to.

    `get`, `at` and `text` fetch it, or a part of it, and block meanwhile.
    """

    __slots__ = ("_about", "_tool", "ref")

    elsewhere = True

    def __init__(self, ref: ray.ObjectRef[Any], about: About, tool: str) -> None:
        self.ref = ref
        self._about = about
        self._tool = tool

    def __repr__(self) -> str:
        return f"RemoteValue({self.preview(60)})"

    @property
    def is_artifact(self) -> bool:  # type: ignore[override]
        """Whether it has no JSON form."""
        return self._about.is_artifact

    @property
    def size(self) -> int:
        """Roughly the bytes that it takes in the object store."""
        return self._about.size

    @property
    def chars(self) -> int:
        """The length of its text."""
        return self._about.chars

    def get(self) -> Any:
        """Fetch the value: a copy, also of an artifact.

        Raises:
            ValueLost: it is gone.
        """
        return self._fetched(lambda: self.ref)

    def at(self, path: Path) -> Any:
        """Fetch the part that the path leads to; a worker takes it out.

        Raises:
            UnresolvedPath: the path does not exist in the value.
            ValueLost: it is gone.
        """
        if not path:
            return self.get()
        if self.is_artifact:
            raise UnresolvedPath(
                f"there is no {show_path(path)}: the value, of type {self._about.kind}, has no JSON form and "
                "can only be passed as a whole"
            )
        there, part = self._fetched(lambda: _part.remote(self.ref, path))
        if not there:
            raise UnresolvedPath(part)
        return part

    def text(self) -> str:
        """Return the canonical text; it is fetched unless it is short, or that of an artifact.

        Raises:
            ValueLost: it is gone.
        """
        about = self._about
        return about.head if len(about.head) == about.chars else canonical_text(self.get())

    def preview(self, max_chars: int) -> str:
        """Return the start of the text. It is known here, up to `HEAD_CHARS`."""
        head = self._about.head
        if max_chars < len(head) or len(head) == self._about.chars:
            return shorten(head, max_chars)
        try:
            return shorten(self.text(), max_chars)
        except ValueDropped:  # a preview must not raise
            return shorten(f"{head}…", max_chars)

    def lost(self, why: str) -> ValueLost:
        """The error of whoever needs it and cannot have it."""
        return ValueLost(
            f"the value that {self._tool} returned ({self._about.size} bytes) lay in Ray's object store and "
            f"is gone ({why}). Call {self._tool} again if it is needed"
        )

    def _fetched(self, ref: Callable[[], Any]) -> Any:
        if not ray.is_initialized():  # Ray would start or find another cluster
            raise self.lost("Ray was shut down")
        try:
            return ray.get(ref())
        except RayTaskError as error:  # of `_part`, whose own errors come as values
            raise self.lost(type(error.cause or error).__name__) from None
        except (RayError, ValueError) as error:  # the second: of another cluster
            raise self.lost(type(error).__name__) from None


@ray.remote(num_cpus=0, max_retries=3)
def _part(data: Any, path: Path) -> tuple[bool, Any]:
    """On a worker: take a part out of a value."""
    try:
        return True, Fetched(data).at(path)
    except UnresolvedPath as error:
        return False, str(error)


# --- where the values are put into the arguments of a call -------------------------------------------


class Fetched(JsonValue):
    """A projected value that was fetched for one call alone: the first whole use need not copy it."""

    __slots__ = ("_given",)

    def __init__(self, data: Any) -> None:
        super().__init__(None)
        self._text, self._data = None, data
        self._given = False

    def get(self) -> Any:
        """Return the value itself, and copies after that."""
        if self._given:
            return copy_json(self._data)
        self._given = True
        return self._data


class FetchedArtifact(Artifact):
    """An artifact that was fetched for one call; nobody asks for its text."""

    __slots__ = ()

    def __init__(self, value: Any) -> None:
        self._value = value
        self._text = ""
        self._size = 0


class Left(NamedTuple):
    """The references left in the arguments of a call, in a form that can be sent to a worker."""

    sites: tuple[Site, ...]
    """With the place in `inputs` instead of each future."""
    inputs: tuple[tuple[str, str, bool], ...]
    """Of each future that is referred to: its call id, its tool, and whether its value is an artifact."""

    @classmethod
    def of(cls, sites: Sequence[Site]) -> tuple[Left, list[Value]]:
        """The references of these sites, and the values of their futures."""
        futures = futures_of(sites)
        places = {future: place for place, future in enumerate(futures)}
        values = [cast("Value", future.outcome) for future in futures]
        inputs = tuple(
            (future.call_id, future.tool, value.is_artifact)
            for future, value in zip(futures, values, strict=True)
        )
        return cls(_with_futures(sites, places), inputs), values

    def fill(self, arguments: dict[str, Any], data: Sequence[Any], schema: Any) -> dict[str, Any]:
        """Put the values, now here, into the arguments.

        Raises:
            CallError: as `substitute`.
        """
        futures: dict[Any, Future] = {}
        for place, ((call_id, tool, is_artifact), value) in enumerate(zip(self.inputs, data, strict=True)):
            futures[place] = future = Future(call_id, tool, place)
            future.outcome = FetchedArtifact(value) if is_artifact else Fetched(value)
        return substitute(arguments, _with_futures(self.sites, futures), schema)


def _with_futures(sites: Sequence[Site], other: Any) -> tuple[Site, ...]:
    """The sites with what `other` says in place of each future."""
    return tuple(
        replace(
            site,
            parts=tuple(
                replace(part, future=other[part.future]) if isinstance(part, Reference) else part
                for part in site.parts
            ),
        )
        for site in sites
    )


NOTHING_LEFT = Left((), ())
