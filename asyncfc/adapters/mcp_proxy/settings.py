"""Settings: what a configuration may say, as pydantic checks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from asyncfc.depgraph.declaration import Declaration
from asyncfc.errors import DeclarationError
from asyncfc.execution.limits import Limits
from asyncfc.execution.rates import Rates

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)

WORDS: dict[str, dict[str, Any]] = {"pure": {"pure": True}, "read": {"level": "read"}}


def _written_out(raw: Any) -> Any:
    """A declaration that is one word as a mapping; null means left out."""
    fields = WORDS.get(raw, raw) if isinstance(raw, str) else raw
    if not isinstance(fields, Mapping):
        raise PydanticCustomError(
            "declaration", "expected 'pure', 'read' or an object such as {{\"writes\": \"fs:{{path}}\"}}"
        )
    return {name: value for name, value in fields.items() if value is not None}


Effects = Annotated[Declaration, BeforeValidator(_written_out)]


class ServerSettings(BaseModel):
    """What asyncfc is told of one server."""

    model_config = _STRICT

    trust: bool = False
    """Whether the annotations of its tools are believed."""
    effects: dict[str, Effects] = Field(default_factory=dict)
    """By the name of a tool, as the server calls it, or a pattern."""
    irreversible: list[str] = Field(default_factory=list)
    """Names and patterns of tools whose calls cannot be taken back."""
    inline: list[str] = Field(default_factory=list)
    """Names and patterns of tools that are answered with their outcome only, never with a handle."""
    timeout: Seconds | None = None
    """Seconds for each call, where its effects do not say it. None: that of the proxy."""
    start_timeout: Seconds = 20.0
    """Seconds until it has to be connected."""

    @field_validator("effects")
    @classmethod
    def _check_labels(cls, effects: dict[str, Declaration]) -> dict[str, Declaration]:
        for name, declaration in effects.items():
            try:
                declaration.spec(name, parameters=None)
            except DeclarationError as error:
                raise PydanticCustomError("labels", "{fault}", {"fault": str(error), "key": name}) from None
        return effects


class Server(BaseModel):
    """One server: a command to start, or an address."""

    model_config = ConfigDict(extra="allow", frozen=True)

    command: str | None = None
    args: list[str] = Field(default_factory=list)
    env: dict[str, str] = Field(default_factory=dict)
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    type: Literal["stdio", "http", "streamable-http", "streamableHttp", "sse"] | None = None
    disabled: bool = False
    asyncfc: ServerSettings = Field(default_factory=ServerSettings)

    @model_validator(mode="after")
    def _check_kind(self) -> Server:
        if (self.command is None) == (self.url is None):
            raise PydanticCustomError("kind", "expected either 'command' or 'url'")
        return self


class ProxySettings(BaseModel):
    """What asyncfc is told of the proxy as a whole."""

    model_config = _STRICT

    grace: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Seconds for which an answer is held at most, so that the value goes out rather than a handle."""
    limits: dict[str, PositiveInt] = Field(default_factory=dict)
    rates: dict[str, str] = Field(default_factory=dict)
    timeout: Seconds | None = None
    """Seconds for each call, where neither its effects nor its server say it."""
    await_limit: Seconds = 45.0
    """Seconds that `await_future` waits at most, as hosts give up a request after some time."""
    drain: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0
    """Seconds that calls have to end when the host has gone."""
    relax: Literal["always", "auto", "none"] = "always"
    max_chars: PositiveInt | None = None
    max_retained_bytes: PositiveInt | None = None

    @field_validator("limits")
    @classmethod
    def _check_limits(cls, limits: dict[str, int]) -> dict[str, int]:
        try:
            Limits(limits)
        except DeclarationError as error:
            raise PydanticCustomError("limits", "{fault}", {"fault": str(error)}) from None
        return limits

    @field_validator("rates")
    @classmethod
    def _check_rates(cls, rates: dict[str, str]) -> dict[str, str]:
        try:
            Rates(rates)
        except DeclarationError as error:
            raise PydanticCustomError("rates", "{fault}", {"fault": str(error)}) from None
        return rates


class Config(BaseModel):
    """All of it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    servers: dict[str, Server] = Field(alias="mcpServers", min_length=1)
    asyncfc: ProxySettings = Field(default_factory=ProxySettings)
