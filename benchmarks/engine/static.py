"""`generate` of transformers, on a batch that stays as it is until all of its rows have ended.

A row that waits for a tool cannot leave the batch; it goes on sampling, and what it samples does not count.
This is the best case for `generate`: all rows are equally long and end together, none grows by what it
samples in vain (the context stays as short as in the engines), and injecting is free.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import torch
from transformers import GenerationConfig, LlamaForCausalLM

from benchmarks.engine.scene import Crowd
from benchmarks.engine.window import Clock, Window


class Static:
    """Greedy decoding of one batch after the other, sdpa, with transformers' own cache and no callbacks.

    Args:
        model: its own, as engines change the attention of theirs.
        crowd: of conversations.
        cache: `cache_implementation` of transformers; "static" has it compiled on a GPU.
    """

    def __init__(
        self, model: LlamaForCausalLM, crowd: Crowd, clock: Clock = perf_counter, *, cache: str | None = None
    ) -> None:
        self.model = model
        self.crowd = crowd
        self._clock = clock
        self._cache = cache

    def run(self) -> Window:
        """As many whole batches as come closest to the steps of a run."""
        scene = self.crowd.scene
        new = scene.context - scene.prompt
        batches = max(1, round(scene.steps / new))
        start = self._clock()
        for _ in range(batches):
            self.generate([self.crowd.text(scene.prompt) for _ in range(scene.slots)], new)
        seconds = self._clock() - start
        return Window(batches * scene.slots * new * (1 - self.crowd.share), seconds)

    def generate(self, prompts: list[list[int]], new: int) -> list[list[int]]:
        """The tokens that follow prompts of one length."""
        model: Any = self.model  # its types speak of a mixin that it has only in part
        ids = torch.tensor(prompts, device=self.model.device)
        config = GenerationConfig(
            max_new_tokens=new, do_sample=False, cache_implementation=self._cache, pad_token_id=0
        )
        out = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
        texts: list[list[int]] = out[:, ids.shape[1] :].tolist()
        if any(len(text) != new for text in texts):
            raise RuntimeError(f"generate stopped before {new} tokens; the model must not end texts")
        return texts
