"""The miniature of the docs: the framework and the adapter of the page, as they stand there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from asyncfc.testing.models import Rejected
from tests.adapters.conformance.clients import NO_PROGRAMS
from tests.adapters.conformance.harness import Capability, Stage
from tests.adapters.conformance.suite import DOCS

PAGE = DOCS / "adapters" / "writing.md"


def names_of_the_page(text: str | None = None) -> dict[str, Any]:
    """What the page defines before it runs anything; or another text of it."""
    text = PAGE.read_text(encoding="utf-8") if text is None else text
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"__name__": "docs.writing"}
    for block in [*blocks[:2], blocks[2].partition("\nfunctions = ")[0]]:
        exec(compile(block, str(PAGE), "exec", dont_inherit=True), names)
    return names


@dataclass(frozen=True)
class MiniHarness:
    """See `Harness`."""

    names: Mapping[str, Any]
    name: str = "miniature"
    absent: Mapping[Capability, str] = field(
        default_factory=lambda: {**NO_PROGRAMS, "structured": "The miniature has no structured output"}
    )

    async def run(self, stage: Stage) -> Sequence[str]:
        """See `Harness`."""
        plugin = self.names["AsyncFC"](stage.functions, **stage.settings)
        agent = self.names["Agent"](self.names["asks"](stage.model()), stage.functions, plugin)
        if stage.case.resubmits:
            _answer_twice(agent)
        texts, messages = list[str](), list[Any]()
        for turn in stage.turns:
            messages = [*([] if stage.case.forgets else messages), self.names["Message"]("user", turn)]
            texts.append(await _run(agent, messages))
        await plugin.session.close()
        return texts


async def _run(agent: Any, messages: list[Any]) -> str:
    """Run it, and again from where it stood if the model's server failed."""
    while True:
        try:
            text: str = await agent.run(messages)
        except Rejected as rejected:
            if rejected.status != 500:
                raise
        else:
            return text


def _answer_twice(agent: Any) -> None:
    """As a framework does whose step was interrupted, and runs again."""
    once = agent.answers

    async def twice(message: Any) -> Any:
        await once(message)
        return await once(message)

    agent.answers = twice


HARNESSES = [MiniHarness(names_of_the_page())]
