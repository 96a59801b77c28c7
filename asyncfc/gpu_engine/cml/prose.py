"""Prose: the model's words between its blocks, as people read them."""

from __future__ import annotations


class Prose:
    """One message, piece by piece. White space around blocks is layout: one line end stands for it."""

    def __init__(self) -> None:
        self.text = ""
        """What people have read."""
        self._space = ""
        self._gap = False

    def feed(self, text: str) -> str:
        """More words; return what people read now."""
        text = self._space + text
        words = text.rstrip()
        self._space = text[len(words) :]
        if self._gap or not self.text:
            words = words.lstrip()
        if words and self._gap and self.text:
            words = "\n" + words
        if words:
            self._gap = False
        self.text += words
        return words

    def gap(self) -> None:
        """A block stands here."""
        self._space, self._gap = "", True
