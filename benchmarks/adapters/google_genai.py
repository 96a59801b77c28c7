"""google-genai, with a wrapped client and without, in a loop as users write it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import partial
from typing import Any

from google import genai
from google.genai import types

from asyncfc.adapters.google_genai import wrap
from benchmarks.adapters.clients import DECLARED, http, timed
from benchmarks.adapters.scene import QUESTION, Scene

_SSL = ssl.create_default_context()
"""One for all clients: each would make its own, and none is used."""


async def play(scene: Scene, with_asyncfc: bool) -> float:
    """See `Play`: the asynchronous client."""
    options = types.HttpOptions(httpx_async_client=http(scene.model("gemini")), client_args={"verify": _SSL})
    made: Any = genai.Client(api_key="k", http_options=options)
    client, functions = made.aio, scene.functions
    if with_asyncfc:
        client, functions = wrap(client, functions, **scene.asyncfc)
    async with client:
        return await timed(_loop, partial(client.models.generate_content, model="m"), functions)


async def _loop(ask: Any, functions: Mapping[str, Any]) -> str | None:
    declaration = types.FunctionDeclaration(
        name=DECLARED.name, description=DECLARED.description, parameters_json_schema=DECLARED.schema
    )
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declaration])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    contents: list[Any] = [types.UserContent(QUESTION)]
    while True:
        reply = await ask(contents=contents, config=config)
        if not reply.function_calls:
            text: str | None = reply.text
            return text
        contents.append(reply.candidates[0].content)
        answers = []
        for call in reply.function_calls:
            output = {"output": await functions[call.name](**call.args)}
            response = types.FunctionResponse(id=call.id, name=call.name, response=output)
            answers.append(types.Part(function_response=response))
        contents.append(types.UserContent(answers))
