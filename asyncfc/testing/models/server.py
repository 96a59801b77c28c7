"""ModelServer: a scripted model behind HTTP on this machine, for the providers' own SDKs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from asyncfc.testing.models import http
from asyncfc.testing.models.api import Event
from asyncfc.testing.models.faults import Faults
from asyncfc.testing.models.mind import Mind, Turn
from asyncfc.testing.models.model import APIS
from asyncfc.testing.models.rejection import Rejected
from asyncfc.testing.models.script import Json, Script

_AGAIN = {"retry-after-ms": "1"}
"""With a busy or failed server, so that the SDKs' own retries do not wait."""
_NEVER_AGAIN = {"x-should-retry": "false"}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came; names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Json


class ModelServer:
    """A server that speaks the protocols of OpenAI (`{url}/v1`), Anthropic and Gemini (`{url}`).

    It runs in a thread of its own between `with ... as server:` and the end of the block, where it ends
    whatever is still going on and raises what the script raised, if anything.

    Args:
        script: what the model says.
        latency: seconds before a reply begins.
        chunk_latency: seconds before each event of a stream.
        repeat_ids: ids of calls start again in every message, as with Gemini and Ollama.
        require: rules of some providers, see `Requirement`.
        faults: what goes wrong with the requests, in order, see `Faults`.

    Raises:
        ValueError: unknown requirement or fault.
    """

    def __init__(
        self,
        script: Script,
        *,
        latency: float = 0.0,
        chunk_latency: float = 0.0,
        repeat_ids: bool = False,
        require: Collection[str] = (),
        faults: Iterable[str | None] = (),
    ) -> None:
        common = Faults(faults)
        apis = [make() for make in APIS.values()]
        self._minds = {
            api.path: Mind(script, api, repeat_ids=repeat_ids, require=require, faults=common) for api in apis
        }
        self._latency = latency
        self._chunk_latency = chunk_latency
        self._thread = threading.Thread(target=self._run, name="model-server")
        self._ready = threading.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []
        self.url = ""
        """Where it listens, without a path."""
        self.requests: list[Request] = []
        """All requests, in order."""
        self.replies: list[Json] = []
        """All messages of the model, in order, also those that did not arrive."""
        self.rejections: list[Rejected] = []
        """All requests that were not taken, and why; faults are among them."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if not self.url:
            raise OSError("the model server could not start; its thread has said why")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        if self._errors and error is None:
            raise self._errors[0]

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        self._ready.set()
        await self._over.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._converse(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        try:
            while (head := await http.read_head(reader)) is not None:
                await self._respond(head, await http.read_body(head, reader), writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone, or a fault ends the connection
        except Exception as error:
            self._errors.append(error)
        finally:
            writer.transport.abort()

    async def _respond(self, head: http.Head, raw: bytes, writer: asyncio.StreamWriter) -> None:
        mind = next((mind for end, mind in self._minds.items() if head.path.endswith(end)), None)
        if mind is None:
            await http.send_json(writer, 404, {"error": {"message": f"Unknown request URL: {head.path}"}})
            return
        try:
            turn, streams = self._hear(mind, head, raw)
        except Rejected as rejected:
            self.rejections.append(rejected)
            again = _AGAIN if rejected.status in {429, 500} else {}
            await http.send_json(writer, rejected.status, rejected.error, again)
        except Exception as error:
            self._errors.append(error)
            about = {"type": "error", "error": {"message": f"the script failed: {error!r}"}}
            await http.send_json(writer, 500, about, _NEVER_AGAIN)
        else:
            await self._send(turn, writer, streams=streams)

    def _hear(self, mind: Mind, head: http.Head, raw: bytes) -> tuple[Turn, bool]:
        try:
            mind.api.authorise(head.headers)
            body = json.loads(raw)
        except ValueError as error:
            message = f"We could not parse the JSON body of your request: {error}"
            raise _with_error(mind, Rejected(message)) from error
        except Rejected as rejected:
            raise _with_error(mind, rejected) from None
        self.requests.append(Request(head.path, head.headers, body))
        turn = mind.hear(body)
        self.replies.append(turn.reply)
        return turn, body.get("stream") is True or ":stream" in head.path

    async def _send(self, turn: Turn, writer: asyncio.StreamWriter, *, streams: bool) -> None:
        fault = turn.fault.kind if turn.fault else None
        if fault == "timeout":
            await self._loop.create_future()
        await asyncio.sleep(self._latency)
        if streams:
            await self._stream(turn, writer)
        elif fault == "drop":
            raise ConnectionAbortedError("a fault of the script")
        elif fault == "malformed":
            await http.send(writer, 200, b'{"cut": ')
        else:
            await http.send_json(writer, 200, turn.reply)

    async def _stream(self, turn: Turn, writer: asyncio.StreamWriter) -> None:
        if turn.breaks_before(0):
            raise ConnectionAbortedError("a fault of the script")
        http.begin_stream(writer)
        for index, event in enumerate(turn.events):
            await asyncio.sleep(self._chunk_latency)
            if turn.breaks_before(index):
                await self._break(turn, event, writer)
            await http.send_event(writer, event)
        await http.end_stream(writer)

    async def _break(self, turn: Turn, event: Event, writer: asyncio.StreamWriter) -> None:
        """End the stream as its fault has it."""
        if turn.fault is not None and turn.fault.kind == "malformed":
            await http.send_event(writer, (event[0], '{"cut": '))
        writer.close()  # unlike the end by `abort`, this lets through what was sent
        await writer.wait_closed()
        raise ConnectionAbortedError("a fault of the script")


def _with_error(mind: Mind, rejected: Rejected) -> Rejected:
    rejected.error = mind.api.error(rejected)
    return rejected
