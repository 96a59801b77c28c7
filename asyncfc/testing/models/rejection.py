"""Rejected: a request that the provider would not take."""

from __future__ import annotations

from typing import Any


class Rejected(Exception):
    """The provider answers with an error status.

    Args:
        message: in the provider's words.
        status: of HTTP.
        param: what in the request is wrong, where the provider says so.
        code: the provider's short name of the fault, where it has one.
    """

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.code = code
        self.error: dict[str, Any] = {}
        """The provider's error body; set on the way out."""


def need(holds: object, message: str, param: str | None = None) -> None:
    """Reject the request unless the condition holds."""
    if not holds:
        raise Rejected(message, param=param)
