"""Answers: what was told in them, for as long as the host may show that it has not got one.

What a handler returns is on its way, no more. A host that has given the request up drops the answer, and
what it told would be lost. So it is put back, to be told with the next answer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from mcp.shared.dispatcher import coerce_request_id
from mcp_types import RequestId

MOST_REMEMBERED = 1024
"""Answers: a host that gives a request up does so about when the answer comes."""


class Answers:
    """The answers to one host's requests.

    State: `_open` has the requests under way, each with whether its answer will be lost; `_sent` says for
    the newest answers how to put back what they told.
    """

    def __init__(self) -> None:
        self._open: dict[RequestId, bool] = {}
        self._sent: OrderedDict[RequestId, Callable[[], None]] = OrderedDict()

    def begin(self, request: RequestId) -> None:
        """A request has come."""
        request = coerce_request_id(request)
        self._sent.pop(request, None)
        self._open[request] = False

    def send(self, request: RequestId, put_back: Callable[[], None]) -> None:
        """It is answered now; `put_back` makes what the answer tells untold."""
        request = coerce_request_id(request)
        if self._open.pop(request, False):
            put_back()
            return
        self._sent[request] = put_back
        if len(self._sent) > MOST_REMEMBERED:
            self._sent.popitem(last=False)

    def drop(self, request: RequestId) -> None:
        """It will not be answered."""
        self._open.pop(coerce_request_id(request), None)

    def lose(self, request: RequestId) -> None:
        """The host does not take the answer to a request, or cannot have got it."""
        request = coerce_request_id(request)
        if request in self._open:
            self._open[request] = True
        elif (put_back := self._sent.pop(request, None)) is not None:
            put_back()
