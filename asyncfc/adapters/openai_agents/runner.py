"""The runner: the SDK's own, with attached agents and models that are listened to."""

from __future__ import annotations

import asyncio
import warnings
from contextlib import suppress
from dataclasses import replace
from typing import Any

from agents import Agent, MultiProvider, RunConfig, Runner, RunResult, RunResultStreaming, RunState
from agents.run_config import DEFAULT_MAX_TURNS

from asyncfc.adapters.hints import Trust
from asyncfc.adapters.openai_agents.model import Listening, Provider
from asyncfc.adapters.openai_agents.talk import Talk, original_of, talk_of

MAX_KEPT = 100
"""Conversations that are kept between runs; of more, those that have rested longest are closed."""
_SERVER_SIDE = ("previous_response_id", "auto_previous_response_id", "conversation_id")


class AsyncFCRunner:
    """Runs agents with asynchronous tool calls; has the methods of the SDK's `Runner`.

    A run whose input holds calls of an earlier one goes on with its session, so that handles stay valid and,
    with `final="open"`, calls go on between runs; so does one with the same SDK session, conversation id
    or `group_id`, and one that resumes an interrupted run. Otherwise each run has a session of its own.

    Args:
        trust: tools whose MCP annotations are believed, so that a read-only one is a read: by name or
            pattern, or `"all"`.
        settings: of the conversation (see `Dialogue`: `final`, `inline`, `note`, `control`, `pipelining`,
            `relax`, `max_extra_messages`) and of its session (see `Session`: `effects`, `grace`, `limits`,
            ...). `grace` is `"auto"` if nothing is said, and undeclared calls of one message run
            concurrently, as the SDK runs them.

    Raises:
        DeclarationError: a setting is written wrongly.
    """

    def __init__(self, *, trust: Trust = (), **settings: Any) -> None:
        self._settings, self._trust = settings, trust
        Talk(settings, trust, Listening)  # what is written wrongly is said here
        self._open = settings.get("final") == "open"
        self._extra = settings.get("max_extra_messages", 8)
        self._kept: list[tuple[Any, asyncio.AbstractEventLoop, Talk]] = []
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self, starting_agent: Agent[Any], input: Any, **options: Any) -> RunResult:
        """See `Runner.run`."""
        key, talk = self._begin(input, options)
        agent, config, provider = self._attached(talk, starting_agent, input, options)
        try:
            result = await Runner.run(agent, input, **{**options, "run_config": config})
        except BaseException:
            await talk.session.close()
            raise
        finally:
            if provider is not None:
                await provider.aclose()
        await self._end(key, talk, interrupted=bool(result.interruptions))
        if not result.interruptions:  # a state made of it goes on with the attached agent
            result._last_agent = original_of(result._last_agent)  # noqa: SLF001  # as the program knows it
        return result

    def run_sync(self, starting_agent: Agent[Any], input: Any, **options: Any) -> RunResult:
        """See `Runner.run_sync`; the calls go on only while it runs."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            policy = asyncio.get_event_loop_policy()
            try:
                loop = policy.get_event_loop()
            except RuntimeError:
                loop = policy.new_event_loop()
                policy.set_event_loop(loop)
        return loop.run_until_complete(self.run(starting_agent, input, **options))

    def run_streamed(self, starting_agent: Agent[Any], input: Any, **options: Any) -> RunResultStreaming:
        """See `Runner.run_streamed`."""
        key, talk = self._begin(input, options)
        agent, config, provider = self._attached(talk, starting_agent, input, options)
        result = Runner.run_streamed(agent, input, **{**options, "run_config": config})
        assert result.run_loop_task is not None

        def ended(task: asyncio.Task[Any]) -> None:
            self._later(self._ended(task, result, key, talk, provider))

        result.run_loop_task.add_done_callback(ended)
        return result

    async def close(self) -> None:
        """Close all conversations that no run is using."""
        while self._ending:
            await asyncio.wait(self._ending)
        kept, self._kept = self._kept, []
        for _, loop, talk in kept:
            if loop is asyncio.get_running_loop():
                await talk.session.close()

    # --- inside -----------------------------------------------------------------------------------------

    def _begin(self, input: Any, options: dict[str, Any]) -> tuple[Any, Talk]:
        """The conversation that a run belongs to."""
        key = options.get("conversation_id") or getattr(options.get("session"), "session_id", None)
        key = key or getattr(options.get("run_config"), "group_id", None)
        if isinstance(input, RunState) and input._current_agent is not None:  # noqa: SLF001
            talk = talk_of(input._current_agent)  # noqa: SLF001
            found = next((one for one in self._kept if one[2] is talk), None)
        else:
            found = next((one for one in self._kept if _goes_on(input, key, one)), None)
        if found is None:
            talk = Talk(self._settings, self._trust, Listening)
        else:
            self._kept.remove(found)
            key, _, talk = found
        talk.server_side = any(options.get(name) for name in _SERVER_SIDE)
        return key, talk

    def _attached(
        self, talk: Talk, agent: Agent[Any], input: Any, options: dict[str, Any]
    ) -> tuple[Agent[Any], RunConfig, MultiProvider | None]:
        """What the SDK's runner gets, and the provider if it is for this run only."""
        given = options.get("run_config")
        config = given if isinstance(given, RunConfig) else RunConfig(**(given or {}))
        own = None
        if not isinstance(given, RunConfig) and "model_provider" not in (given or {}):
            own = config.model_provider if isinstance(config.model_provider, MultiProvider) else None
        model = config.model if isinstance(config.model, str | None) else Listening(config.model, talk)
        if options.get("max_turns", DEFAULT_MAX_TURNS) is not None:
            options["max_turns"] = options.get("max_turns", DEFAULT_MAX_TURNS) + self._extra
        if isinstance(input, RunState):
            _adopt(input, talk)
        config = replace(config, model=model, model_provider=Provider(config.model_provider, talk))
        return talk.attached_agent(agent), config, own

    async def _end(self, key: Any, talk: Talk, *, interrupted: bool) -> None:
        """A run has ended; its conversation may go on."""
        if not self._open and not interrupted:
            await talk.rest()
        self._kept.append((key, asyncio.get_running_loop(), talk))
        if len(self._kept) > MAX_KEPT:
            _, loop, oldest = self._kept.pop(0)
            if loop is asyncio.get_running_loop():
                await oldest.session.close()

    async def _ended(
        self,
        task: asyncio.Task[Any],
        result: RunResultStreaming,
        key: Any,
        talk: Talk,
        provider: MultiProvider | None,
    ) -> None:
        failed = task.cancelled() or task.exception() is not None
        if not result.interruptions:  # as in `run`
            result.current_agent = original_of(result.current_agent)
        if provider is not None:
            with suppress(Exception):
                await provider.aclose()
        if failed:
            await talk.session.close()
        else:
            await self._end(key, talk, interrupted=bool(result.interruptions))

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def _adopt(state: RunState[Any, Any], talk: Talk) -> None:
    """An interrupted run, which may come from another process, goes on with attached agents."""
    if state._current_agent is not None:  # noqa: SLF001  # the SDK has no other way to say it
        state._current_agent = talk.attached_agent(state._current_agent)  # noqa: SLF001
    response, step = state._last_processed_response, state._current_step  # noqa: SLF001
    holders = [one for one in (response, step) if one is not None]
    lists = [getattr(one, name, ()) for one in holders for name in ("new_items", "interruptions")]
    for item in (item for items in (state._generated_items, *lists) for item in items):  # noqa: SLF001
        item.agent = talk.attached_agent(item.agent)


def _goes_on(input: Any, key: Any, kept: tuple[Any, asyncio.AbstractEventLoop, Talk]) -> bool:
    """Whether a run goes on with a conversation: it has the key, or its input holds calls of it."""
    other, loop, talk = kept
    try:
        if loop is not asyncio.get_running_loop():
            return False
    except RuntimeError:
        return False
    if key is not None:
        return bool(key == other)
    items = input if isinstance(input, list) else ()
    ids = (item.get("call_id") for item in items if isinstance(item, dict))
    return any(isinstance(call_id, str) and talk.attached.knows(call_id) for call_id in ids)
