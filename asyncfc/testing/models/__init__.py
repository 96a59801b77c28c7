"""Scripted models: a server that plays a provider for the real SDKs, and the same without sockets.

It judges every request as the provider would, so it shares no code with what makes the requests.

    with ModelServer(play(Emit(calls=[("search", {"text": "x"})]), Emit("Found."))) as server:
        client = OpenAI(base_url=f"{server.url}/v1", api_key="none")

    model = model_of(play(...), "messages", decode=1.0)  # await model(body), model.stream(body)
"""

from __future__ import annotations

from asyncfc.testing.models.model import Model, model_of
from asyncfc.testing.models.rejection import Rejected
from asyncfc.testing.models.script import Ask, Emit, Script, View, play
from asyncfc.testing.models.server import ModelServer

__all__ = ["Ask", "Emit", "Model", "ModelServer", "Rejected", "Script", "View", "model_of", "play"]
