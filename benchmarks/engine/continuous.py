"""Continuous batching of transformers, through the manager of `init_continuous_batching`.

A request cannot pause there: it ends at the trap, and its whole text comes back as a new request when the
trap is over. Its prefix cache then finds what blocks of the pool still hold: blocks are as small as the
engine's, the pool is as large as the largest of the engine's, and texts that are trapped when a run begins
have been computed in it before. The manager's thread decodes while this one sleeps until a request has
ended: no callback per token; transformers itself notes when each was sampled. Attention is sdpa, all else as
transformers chooses.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from itertools import count
from time import perf_counter
from typing import Any

from transformers import ContinuousBatchingConfig, GenerationConfig, LlamaForCausalLM
from transformers.generation.continuous_batching.requests import GenerationOutput

from benchmarks.engine.scene import Crowd, Life, Scene
from benchmarks.engine.window import Clock, Window

_BACKLOG = 4
"""Requests beyond those in the batch, so that a free slot is filled in the next step."""
_WARM = 16
"""Decode steps before a run measures."""
_REMEMBERED = 2
"""Tokens that a request must sample for its prompt to be kept: with one, it has ended before."""
_POLL_S = 0.05


class Manager:
    """Transformers' manager of requests; its thread runs only while somebody needs it.

    Args:
        model: its own.
        scene: slots, budget and block size are those of the engine.
        rows: of full length that its pool can hold.
    """

    def __init__(self, model: LlamaForCausalLM, scene: Scene, *, rows: int) -> None:
        known = {setting.name for setting in fields(ContinuousBatchingConfig)}
        settings: dict[str, Any] = {
            # Older releases of transformers know the second name only.
            "page_size" if "page_size" in known else "block_size": scene.block,
            "num_blocks": rows * -(-scene.context // scene.block),
            "max_batch_tokens": scene.budget,
            "max_requests_per_batch": scene.slots,
        }
        # By default it looks for flash attention, on the network if need be.
        if "auto_switch_to_flash" in known:
            settings["auto_switch_to_flash"] = False
        else:
            model.set_attn_implementation("paged|sdpa")
        self.open = scene.slots + _BACKLOG
        self._model = model
        self._manager = model.init_continuous_batching(
            generation_config=GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0),
            continuous_batching_config=ContinuousBatchingConfig(**settings),
        )
        self._manager.warmup()

    @property
    def steps(self) -> int:
        """Forwards of this run so far."""
        return int(self._manager.current_batch)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Its thread runs; at the end, requests that are still open fail with what they have."""
        self._manager.current_batch = 0
        self._manager.start()
        try:
            yield
        finally:
            self._manager.stop(keep_for_next_session=True, hard_stop=True)

    def submit(self, name: str, life: Life) -> None:
        """Ask for the tokens up to the next trap or the end."""
        self._manager.add_request(
            life.tokens, request_id=name, max_new_tokens=life.segments[0], record_timestamps=True
        )

    def result(self) -> GenerationOutput | None:
        """The next request that has ended; None if none does so for a while."""
        result: GenerationOutput | None = self._manager.get_result(timeout=_POLL_S)
        if result is None and not self._manager.is_running():
            raise RuntimeError("transformers' continuous batching has stopped; its log says why")
        return result

    def rest(self) -> list[GenerationOutput]:
        """What was open when its thread stopped."""
        return list(iter(lambda: self._manager.get_result(timeout=0), None))

    def close(self) -> None:
        """Give the pool up."""
        self._model.destroy_cached_continuous_batching_manager()


@dataclass(frozen=True, slots=True, order=True)
class _Trap:
    until: int
    number: int
    life: Life = field(compare=False)


class Continuous:
    """A crowd as requests to a manager."""

    def __init__(self, manager: Manager, crowd: Crowd, clock: Clock = perf_counter) -> None:
        self.manager = manager
        self.crowd = crowd
        self.ended: list[GenerationOutput] = []
        """All requests of the last run, with the tokens and the times at which they were sampled."""
        self._clock = clock
        self._lives: dict[str, Life] = {}
        self._traps: list[_Trap] = []
        self._numbers = count()

    def run(self) -> Window:
        """Fill the slots, wait until decoding is under way, and measure from there."""
        self.ended, self._lives, self._traps = [], {}, []
        trapped = self.crowd.trapped()
        with self.manager.running():
            self._remember([life for life, _ in trapped])
            begin = self.manager.steps
            for life, left in trapped:
                self._trap(begin + left, life)
            for life in self.crowd.running():
                self._submit(life)
            self._until(begin + _WARM)
            start, seconds = perf_counter(), self._clock()
            self._until(begin + _WARM + self.crowd.scene.steps)
            stop, seconds = perf_counter(), self._clock() - seconds
        self.ended += self.manager.rest()
        times = [time for request in self.ended for time in request.timestamps or ()]
        return Window(sum(start <= time < stop for time in times), seconds)

    def _remember(self, lives: list[Life]) -> None:
        """Compute texts, so that the prefix cache knows those that are trapped when the run begins."""
        for life in lives:
            self._submit(Life(life.tokens, [_REMEMBERED]))
        while self._lives:
            self._receive()

    def _until(self, step: int) -> None:
        while self.manager.steps < step:
            self._receive()
            while self._traps and self._traps[0].until <= self.manager.steps:
                self._resume(heapq.heappop(self._traps))
            while len(self._lives) < self.manager.open:
                self._submit(self.crowd.new())

    def _receive(self) -> None:
        request = self.manager.result()
        if request is None:
            return
        life = self._lives.pop(request.request_id)
        new = request.generated_tokens
        if request.error or len(new) != life.segments[0]:
            raise RuntimeError(f"request {request.request_id} brought {len(new)} tokens: {request.error}")
        self.ended.append(request)
        life.segments.pop(0)
        if life.segments:
            life.tokens += new
            self._trap(self.manager.steps + self.crowd.scene.wait, life)

    def _trap(self, until: int, life: Life) -> None:
        heapq.heappush(self._traps, _Trap(until, next(self._numbers), life))

    def _resume(self, trap: _Trap) -> None:
        self.crowd.resume(trap.life)
        self._submit(trap.life)

    def _submit(self, life: Life) -> None:
        name = f"{next(self._numbers)}"
        self._lives[name] = life
        self.manager.submit(name, life)
