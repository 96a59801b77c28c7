r"""Handles: how the text that names a future is written, recognised and escaped.

The grammar knows shapes only. What a handle names, if anything, is decided by the session's table:
authority never comes from text (DESIGN H1).

    $k7qz_1                     a handle: sigil, tag, separator, number
    $this_2                     the second tool call of the same message
    $k7qz_1.items[0]["a key"]   with a path; so without braces only as a whole string
    ${k7qz_1.items[0].id}       the same anywhere in a text
    $$k7qz_1                    the literal text $k7qz_1
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from string import ascii_lowercase, digits
from typing import TypeAlias

from asyncfc.errors import BadReference, DeclarationError

Path: TypeAlias = tuple[str | int, ...]
"""The way into a value: mapping keys (str) and sequence indices (int), never attributes (DESIGN H2)."""

THIS = "this"
"""The reserved tag: `$this_k` is the k-th tool call of the same message."""

MAX_PATH_CHARS = 1_000
MAX_PATH_PARTS = 100
MAX_DIGITS = 9

_PUNCTUATION = frozenset("!#$%&*+-/:;<=>?@^_`|~")
"""What sigils and separators may be made of: no braces, quotes, dots or brackets, which paths use."""


@dataclass(frozen=True, slots=True)
class HandleGrammar:
    """The written form of handles; models differ in what they copy well.

    Args:
        sigil: what a handle starts with, for example "$" or "@ref-".
        separator: what stands between tag and number.
        tag_length: characters of a tag, 3 to 16.

    Raises:
        DeclarationError: the parts could not be told from each other or from paths.
    """

    sigil: str = "$"
    separator: str = "_"
    tag_length: int = 4
    mention: re.Pattern[str] = field(init=False, repr=False, compare=False)
    """One or more sigils (group 1: all but the first), `{` if any (2), tag (3), separator, digits (4).

    Every string that scanning recognises, or unescapes, starts with a match; and since the pattern starts
    with a literal and never backtracks, a search takes linear time.
    """
    _word: re.Pattern[str] = field(init=False, repr=False, compare=False)
    """What makes a handle without braces part of a longer word where it touches one."""

    def __post_init__(self) -> None:
        self._check()
        sigil, rest = re.escape(self.sigil), self.tag_length - 1
        # A letter, then not letters alone: `$user_1` of PHP or a shell is no handle.
        tag = rf"[a-z](?![a-z]{{{rest}}})[a-z0-9]{{{rest}}}|{THIS}"
        mention = (
            rf"{sigil}(?<!{sigil}{sigil})((?:{sigil})*+)(\{{?)({tag}){re.escape(self.separator)}([0-9]++)"
        )
        object.__setattr__(self, "mention", re.compile(mention))
        # ASCII letters only: scripts without spaces put no boundary around a handle. Digits of all
        # scripts, so that no digit is ever cut off a number.
        object.__setattr__(self, "_word", re.compile(rf"[A-Za-z\d_]|{sigil}"))

    def _check(self) -> None:
        sigil, separator = self.sigil, self.separator
        if not re.fullmatch(r"[!#-&(-\-/-Z^-z|~]{1,16}", sigil):
            raise DeclarationError(
                f"sigil {sigil!r}: expected 1 to 16 printable ASCII characters, but no space, quote, dot, "
                "backslash, bracket or brace"
            )
        if sigil[0] not in _PUNCTUATION or sigil[-1] not in _PUNCTUATION:
            raise DeclarationError(
                f"sigil {sigil!r} must start and end with punctuation, not a letter or digit"
            )
        if any(sigil.endswith(sigil[:length]) for length in range(1, len(sigil))):
            raise DeclarationError(f"sigil {sigil!r} starts as it ends, so that repeats of it are ambiguous")
        if not 1 <= len(separator) <= 4 or not set(separator) <= _PUNCTUATION or sigil in separator:
            allowed = "".join(sorted(_PUNCTUATION))
            raise DeclarationError(
                f"separator {separator!r}: expected 1 to 4 of {allowed} without the sigil {sigil!r}"
            )
        if not 3 <= self.tag_length <= 16:
            raise DeclarationError(f"tag_length is {self.tag_length}; expected 3 to 16")

    def tag_for(self, session_id: str) -> str:
        """Return the session's tag, the same for the same id, so that replay gives the same text.

        A letter first and at least one digit; so never the reserved tag `this`.
        """
        digest = hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).digest()
        number = int.from_bytes(digest)
        number, letter = divmod(number, 26)
        tag = ascii_lowercase[letter]
        for _ in range(self.tag_length - 1):
            number, index = divmod(number, 36)
            tag += (ascii_lowercase + digits)[index]
        if tag.isalpha():
            number, place = divmod(number, self.tag_length - 1)
            tag = f"{tag[: place + 1]}{number % 10}{tag[place + 2 :]}"
        return tag

    def mint(self, tag: str, number: int) -> str:
        """Return the handle text of a number, for example `$k7qz_1`."""
        return f"{self.sigil}{tag}{self.separator}{number}"

    def parse(self, text: str) -> tuple[str, int] | None:
        """Return the tag and number of a text that is one handle and nothing else, or None."""
        match = self.mention.fullmatch(text)
        return None if match is None or match[1] or match[2] else (match[3], number_of(match[4]))

    def stands_alone(self, text: str, start: int, end: int) -> bool:
        """Whether a handle without braces at `text[start:end]` is not part of a longer word."""
        before = start > 0 and self._word.match(text, start - 1)
        return not before and not self._word.match(text, end)

    def escape(self, text: str, tag: str) -> str:
        """Return the text with one more sigil before what would read as a handle of this session.

        For text from tools and users when the model is to read it (DESIGN H2): copied into arguments it
        then stays text. Handles of other sessions are left alone, except where they follow several sigils,
        which `unescape` would take for an escape.
        """
        if self.sigil not in text:
            return text

        def longer(match: re.Match[str]) -> str:
            foreign = match[3] not in (tag, THIS)
            return match[0] if foreign and not match[1] else self.sigil + match[0]

        return self.mention.sub(longer, text)

    def may_mention(self, text: str, tag: str) -> bool:
        """Whether a handle with this tag stands in the text, escaped or not, or may begin at its end."""
        if any(match[3] == tag for match in self.mention.finditer(text)):
            return True
        plain, braced = f"{self.sigil}{tag}{self.separator}", f"{self.sigil}{{{tag}{self.separator}"
        return any(
            text.endswith(start[:length]) for start in (plain, braced) for length in range(1, len(start) + 1)
        )

    def unescape(self, text: str) -> str:
        """Undo `escape`: of two or more sigils before a handle, one is dropped."""
        if self.sigil not in text:
            return text
        return self.mention.sub(lambda match: match[0][len(self.sigil) :] if match[1] else match[0], text)


DEFAULT_GRAMMAR = HandleGrammar()


def number_of(digits: str) -> int:
    """Return the number, or 0, which no handle has, if it is not written as handles write theirs."""
    return 0 if digits[0] == "0" or len(digits) > MAX_DIGITS else int(digits)


_PART = re.compile(
    r"""\.([\w-]++)
      | \[(-?[0-9]{1,9})\]
      | \["((?:[^"\\]|\\.)*+)"\]
      | \['((?:[^'\\]|\\.)*+)'\]""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PLAIN_NAME = re.compile(r"[\w-]+")


def read_path(text: str, start: int = 0) -> tuple[Path, int]:
    """Read as much of a path as there is at `start`; return it and where it ends.

    Raises:
        BadReference: the path is too long.
    """
    parts: list[str | int] = []
    end = start
    while match := _PART.match(text, end):
        end = match.end()
        if end - start > MAX_PATH_CHARS or len(parts) == MAX_PATH_PARTS:
            raise BadReference(
                f"the path {text[start : start + 40]!r}… is too long: "
                f"at most {MAX_PATH_PARTS} steps and {MAX_PATH_CHARS} characters"
            )
        name, index, *quoted = match.groups()
        if name is not None:
            parts.append(name)
        elif index is not None:
            parts.append(int(index))
        else:
            parts.append(_ESCAPED.sub(r"\1", quoted[0] if quoted[0] is not None else quoted[1]))
    return tuple(parts), end


def parse_path(text: str) -> Path:
    r"""Parse `.name`, `[0]`, `["a key"]` and sequences of them; `\` makes the next character literal.

    Raises:
        BadReference: this is no path, or too long a one.
    """
    path, end = read_path(text)
    if end != len(text):
        raise BadReference(
            f"cannot read the path {text[: end + 40]!r} from character {end} on: "
            'expected .name, [0] or ["a key"]'
        )
    return path


def show_path(path: Path) -> str:
    """Write a path as `parse_path` reads it."""
    return "".join(_show_part(part) for part in path)


def _show_part(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    if _PLAIN_NAME.fullmatch(part):
        return f".{part}"
    quoted = part.replace("\\", "\\\\").replace('"', '\\"')
    return f'["{quoted}"]'
