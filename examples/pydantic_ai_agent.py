"""A pydantic-ai agent with asynchronous tool calls: one capability. The model is a script, no key needed."""

import asyncio
import re

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from asyncfc.adapters.pydantic_ai import AsyncFC


async def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Ask for two forecasts, compare them without having seen them, and tell the result."""
    await asyncio.sleep(0.1)
    parts = [part for message in messages for part in message.parts]
    answers = [part.model_response_str() for part in parts if isinstance(part, ToolReturnPart)]
    if not answers:
        return ModelResponse([ToolCallPart("forecast", {"city": city}) for city in ("Rome", "Oslo")])
    handles = re.findall(r"\$\w+", "\n".join(answers[:2]))[::2]
    if len(answers) == 2:
        a, b = handles
        return ModelResponse([ToolCallPart("warmer", {"a": f"{a}.degrees", "b": f"{b}.degrees"})])
    if "has ended" not in answers[-1]:
        return ModelResponse([TextPart("I am comparing them.")])
    return ModelResponse([TextPart(f"Rome is warmer: {answers[-1].splitlines()[-1]}.")])


agent = Agent(
    FunctionModel(model),
    capabilities=[AsyncFC(effects={"*": "pure"}, grace=0)],  # the line that makes the calls asynchronous
)


@agent.tool_plain
async def forecast(city: str) -> dict[str, float]:
    """Tell tomorrow's temperature."""
    print(f"forecast for {city} ...")
    await asyncio.sleep(0.3)
    return {"degrees": {"Rome": 24.5, "Oslo": 11.0}[city]}


@agent.tool_plain
async def warmer(a: float, b: float) -> bool:
    """Tell whether one temperature is above another."""
    print(f"is {a} above {b}?")
    return a > b


async def main() -> None:
    """Ask once."""
    result = await agent.run("Is it warmer in Rome than in Oslo?")
    print(result.output)


if __name__ == "__main__":
    asyncio.run(main())
