"""Google's SDK: clients whose calls work in the background."""

# ruff: noqa: SLF001 - the SDK has no public way to exchange the HTTP client of a client that is made

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn, TypeVar

import httpx2
from google.genai import Client
from google.genai.client import AsyncClient

from asyncfc.adapters.google_genai.functions import declared, declared_control
from asyncfc.adapters.wrapped import Tools, Wrapped
from asyncfc.adapters.wrapping import wrap_client
from asyncfc.blocking import BlockingSession
from asyncfc.conversation.control import AWAIT_FUTURE, CANCEL_FUTURE
from asyncfc.conversation.formats.gemini import GEMINI
from asyncfc.errors import DeclarationError

ClientT = TypeVar("ClientT", Client, AsyncClient)

FORMATS = {":generateContent": GEMINI, ":streamGenerateContent": GEMINI}


def wrap(client: ClientT, tools: Tools, **settings: Any) -> Wrapped[ClientT]:
    """Make the tool calls of a loop asynchronous. One wrapped client is one conversation.

    Args:
        client: of the SDK, or its `aio` for an asynchronous loop; it stays usable, and its HTTP client is
            what sends. (The asynchronous one sends by httpx2, even where the SDK would use aiohttp.)
        tools: the functions that the loop calls: by name, or a list of them.
        settings: of the conversation (see `Dialogue`: `final`, `inline`, `note`, `control`, `pipelining`,
            `relax`, `max_extra_messages`) and of its session (see `Session`: `effects`, `grace`, `limits`,
            ...). `grace` is `"auto"` if nothing is said.

    Returns:
        the client and the functions to use instead.

    Raises:
        DeclarationError: no client of this SDK, one that sends by other means than httpx2, or a setting
            written wrongly.
    """
    if not isinstance(client, Client | AsyncClient):
        raise DeclarationError(
            f"{client!r} is no client of Google's SDK; expected google.genai.Client or its `aio`"
        )
    made = wrap_client(_Seam(client), tools, FORMATS, settings)
    return replace(made, tools=_as_declared(made, is_mapping=isinstance(tools, Mapping)))


def _as_declared(made: Wrapped[Any], *, is_mapping: bool) -> Any:
    """The functions as the SDK is to see them; those to wait and cancel only if the model has them."""
    session = made.session.inner if isinstance(made.session, BlockingSession) else made.session
    controls = {schema.name: schema for schema in made.dialogue.controls}
    names = dict.fromkeys((*session.tools, AWAIT_FUTURE, CANCEL_FUTURE))
    functions = made.tools if is_mapping else dict(zip(names, made.tools, strict=True))
    found = {
        name: declared(function, session.tools[name]) if name in session.tools else function
        for name, function in functions.items()
    }
    for name in controls.keys() - session.tools.keys():
        found[name] = declared_control(found[name], controls[name])
    kept = {name: function for name, function in found.items() if name in session.tools or name in controls}
    return kept if is_mapping else list(kept.values())


class _Seam:
    """A client of the SDK as `wrap_client` takes it: with `_client`, which sends, and `copy`."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self._genai = client
        self._asynchronous = isinstance(client, AsyncClient)
        api = client._api_client
        by_google_auth = api._use_google_auth_async() if self._asynchronous else api._use_google_auth_sync()
        name = "_async_httpx_client" if self._asynchronous else "_httpx_client"
        self._client = None if by_google_auth else getattr(api, name)

    def __repr__(self) -> str:
        return repr(self._genai)

    def copy(self, *, http_client: Any) -> Any:
        """The same client, sending through another HTTP client, and closing it when it is closed."""
        other = _Elsewhere(asynchronous=self._asynchronous)
        sync, asynchronous = (other, http_client) if self._asynchronous else (http_client, other)
        api: Any = copy.copy(self._genai._api_client)
        api._httpx_client = sync
        api._async_httpx_client = asynchronous
        api._http_options = api._http_options.model_copy(
            update={"httpx_client": sync, "httpx_async_client": asynchronous}
        )
        if self._asynchronous:
            api.aclose = _closing(http_client)
        else:
            api.close = http_client.close
        vars(api)["wrapped"] = self._genai  # if that were collected, it would close its HTTP client
        return _with_api(self._genai, api)


class _Elsewhere:
    """Stands for the HTTP client that a wrapped client does not use: what it is asked for is a mistake."""

    def __init__(self, *, asynchronous: bool) -> None:
        self._kind = "an asynchronous" if asynchronous else "a synchronous"
        self._wanted = "the client" if asynchronous else "its `aio`"

    def _refuse(self, **_: Any) -> NoReturn:
        raise DeclarationError(
            f"this client was wrapped for {self._kind} loop; for one of the other kind, wrap {self._wanted}"
        )

    build_request = request = _refuse


def _closing(http_client: httpx2.AsyncClient) -> Callable[[], Awaitable[None]]:
    """Closes it, once: the SDK does so again when its client is collected."""

    async def aclose() -> None:
        if not http_client.is_closed:
            await http_client.aclose()

    return aclose


def _with_api(client: Any, api: Any) -> Any:
    """A copy of a client, or of a part of one (`models`, `aio`), that goes through another API client."""
    made = copy.copy(client)
    for name, part in vars(client).items():
        if part is client._api_client:
            setattr(made, name, api)
        elif getattr(part, "_api_client", None) is client._api_client:
            setattr(made, name, _with_api(part, api))
    return made
