"""An agent of the OpenAI Agents SDK with asynchronous tool calls. The model is a script: no key needed."""

import asyncio
import re
from typing import Any

from agents import Agent, ModelResponse, RunConfig, Usage, function_tool
from agents.testing import ScriptedModel, assistant_message, function_call

from asyncfc.adapters.openai_agents import AsyncFCRunner

Runner = AsyncFCRunner(effects={"*": "pure"}, grace=0)  # the line that makes the calls asynchronous


@function_tool(strict_mode=False)
async def forecast(city: str) -> dict[str, float]:
    """Tell tomorrow's temperature."""
    print(f"forecast for {city} ...")
    await asyncio.sleep(0.3)
    return {"degrees": {"Rome": 24.5, "Oslo": 11.0}[city]}


@function_tool(strict_mode=False)
async def warmer(a: float, b: float) -> str:
    """Tell whether one temperature is above another."""
    print(f"is {a} above {b}?")
    return "Rome is warmer." if a > b else "Oslo is warmer."


class Model(ScriptedModel):
    """Ask for two forecasts, compare them without having seen them, and tell the result."""

    async def get_response(self, *request: Any, **about: Any) -> ModelResponse:  # noqa: ARG002  # the SDK's
        """Say what is due; a script cannot know the handles beforehand."""
        await asyncio.sleep(0.1)
        answers = [one["output"] for one in about["input"] if "output" in one]
        return ModelResponse(said(answers), Usage(), None)


def said(answers: list[str]) -> list[Any]:
    """The next message, given what the tools have answered."""
    if not answers:
        return [function_call("forecast", {"city": city}, call_id=city) for city in ("Rome", "Oslo")]
    if len(answers) == 2:
        a, b = (re.findall(r"\$\w+", answer)[0] for answer in answers)
        return [function_call("warmer", {"a": f"{a}.degrees", "b": f"{b}.degrees"}, call_id="warmer")]
    if "has ended" not in answers[-1]:
        return [assistant_message("I am comparing them.")]
    return [assistant_message(answers[-1].splitlines()[-1])]


async def main() -> None:
    """Ask once."""
    agent = Agent(name="weather", model=Model(), tools=[forecast, warmer])
    config = RunConfig(tracing_disabled=True)
    result = await Runner.run(agent, "Is it warmer in Rome than in Oslo?", run_config=config)
    print(result.final_output)
    await Runner.close()


if __name__ == "__main__":
    asyncio.run(main())
