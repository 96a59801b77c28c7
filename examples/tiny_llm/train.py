"""Trains the models in the box, from nothing, on a CPU: `python -m examples.tiny_llm.train first|second`.

    first     synchronous transcripts only
    second    synchronous transcripts, pipelines, and CML

Takes some twenty minutes on two cores. Everything that is random is seeded; two runs on different
machines differ by rounding, not in accuracy. Progress goes to stderr.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import LlamaAttention, apply_rotary_pos_emb

from examples.tiny_llm.language import Mode
from examples.tiny_llm.tokenizer import Which, build
from examples.tiny_llm.transcripts import Transcript, copying, transcript

HERE = Path(__file__).parent
THETA = 1e6
"""The base of the rotary embedding's turns."""
IGNORE = -100
"""The label of a token that is read and not learned."""

Example = tuple[list[int], list[int], list[tuple[int, int]]]
"""Token ids; labels of as many: the id itself where it is learned, else IGNORE; and pointers: pairs of the
place where a copied token is predicted and the place of its original."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a model is and how it is trained."""

    modes: tuple[Mode, ...]
    hidden: int
    layers: int
    heads: int
    steps: int
    tokens: int = 3072
    """Tokens of a batch, at most."""
    rate: float = 3e-3
    warm_up: int = 60
    copying: int = 200
    """The first so many steps see repeated random tokens only; as many again, fewer and fewer of them."""
    easy: int = 175
    """The first so many of these steps see short sequences."""
    plain: int = 5000
    """The first so many transcripts are of short tasks with nothing put in."""
    polish: int = 700
    """Steps at the end, at a third of the rate; half of their transcripts are long, with ids much alike.
    What is kept is the mean of the weights before and after, which does better than either."""
    seed: int = 0


RECIPES: dict[Which, Recipe] = {
    "first": Recipe(modes=("sync",), hidden=128, layers=4, heads=4, steps=3600),
    "second": Recipe(modes=("sync", "pipeline", "cml"), hidden=128, layers=4, heads=4, steps=3800),
}


def config(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Return the architecture: an ordinary small Llama."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.hidden * 3,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        head_dim=64,
        # Slow turns: to find by content what stands far back, a head needs dimensions that hardly turn.
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        attention_bias=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


@torch.no_grad()
def prepare(model: LlamaForCausalLM) -> None:
    """Start the weights where copying is near, so that it is learned in a minute and not in an hour.

    In each layer a head begins as one that looks for what is like the token at hand (keys are made as
    queries are) and passes on what it finds (the output undoes the value projection). Three heads of
    the first layer begin as ones that look at the token one, two and three places before, whatever it is:
    their biases alone, turned by the rotary embedding, make a score that is greatest at that distance.
    """
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=0.1)
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        width = attention.q_proj.in_features
        torch.nn.init.normal_(attention.q_proj.weight, std=0.85 * width**-0.5)
        attention.k_proj.weight.copy_(attention.q_proj.weight)
        torch.nn.init.orthogonal_(attention.v_proj.weight)
        attention.o_proj.weight.copy_(0.25 * attention.v_proj.weight.T)
        torch.nn.init.normal_(mlp.gate_proj.weight, std=width**-0.5)
        torch.nn.init.normal_(mlp.up_proj.weight, std=width**-0.5)
        torch.nn.init.normal_(mlp.down_proj.weight, std=0.03)
    first = model.model.layers[0].self_attn
    size: int = first.head_dim
    turns = THETA ** (-torch.arange(0, size, 2) / size)
    for head in range(3):
        rows, back = slice(head * size, (head + 1) * size), turns * (head + 1)
        first.q_proj.weight[rows] *= 0.1
        first.k_proj.weight[rows] *= 0.1
        first.k_proj.bias[rows] = 7.0 * torch.cat([torch.ones(size // 2), torch.zeros(size // 2)])
        first.q_proj.bias[rows] = 7.0 * torch.cat([torch.cos(back), -torch.sin(back)])


def example(told: Transcript, tokenizer: PreTrainedTokenizerFast) -> Example:
    """Return a transcript as token ids and labels, by the chat template and the tokenizer."""
    rendered = tokenizer.apply_chat_template(told.messages, tokenize=False)
    assert isinstance(rendered, str)
    encoded = tokenizer.backend_tokenizer.encode(rendered, add_special_tokens=False)
    spans = told.learned(rendered)
    labels, place = [], 0
    for token, (start, _) in zip(encoded.ids, encoded.offsets, strict=True):
        while place < len(spans) and start >= spans[place][1]:
            place += 1
        learned = place < len(spans) and start >= spans[place][0]
        labels.append(token if learned else IGNORE)
    places = {start: place for place, (start, _) in enumerate(encoded.offsets)}
    pointers = [
        (places[target + k] - 1, places[source + k])
        for target, source, length in told.copies(rendered)
        for k in range(length + 1)  # what stands behind the original tells where the copy ends
    ]
    return encoded.ids, labels, pointers


def batches(
    recipe: Recipe, tokenizer: PreTrainedTokenizerFast, *, polish: bool = False
) -> Iterator[list[Example]]:
    """Yield batches of about as many tokens each, of transcripts of about one length."""
    seed = f"{recipe.seed} polish" if polish else f"{recipe.seed}"
    rng = random.Random(f"{seed} order")  # noqa: S311 (seeded, no secret)
    number = 0
    while True:
        pool = []
        for _ in range(512):
            mode = recipe.modes[number % len(recipe.modes)]
            objects = len(recipe.modes) > 1 and rng.random() < 0.5
            hard = polish and rng.random() < 0.5
            plain = not hard and ((number < recipe.plain and not polish) or rng.random() < 0.2)
            told = transcript(f"{seed} {number}", mode, objects=objects, plain=plain, hard=hard)
            pool.append(example(told, tokenizer))
            number += 1
        pool.sort(key=lambda one: len(one[0]))
        ready: list[list[Example]] = [[]]
        for one in pool:
            if ready[-1] and len(one[0]) * (len(ready[-1]) + 1) > recipe.tokens:
                ready.append([])
            ready[-1].append(one)
        rng.shuffle(ready)
        yield from ready


def repeats(rng: random.Random, vocabulary: int, *, easy: bool) -> list[Example]:
    """Return a batch of repeated random tokens, of which the repetitions are learned.

    While it is `easy` they are short, and no token occurs twice in what is repeated.
    """
    length = 64 if easy else rng.choice((64, 128, 192))
    rows = []
    for _ in range(2048 // length):
        few = not easy and rng.random() < 0.5
        tokens = rng.sample(range(vocabulary), rng.randint(8, 24)) if few else range(vocabulary)
        rows.append(copying(rng, tokens, length, repeated=few))
    return [(row, [IGNORE] * period + row[period:], _back(len(row), period)) for row, period in rows]


def _back(length: int, period: int) -> list[tuple[int, int]]:
    return [(place, place + 1 - period) for place in range(period - 1, length - 1)]


def loss_of(model: LlamaForCausalLM, batch: Sequence[Example]) -> torch.Tensor:
    """Return the mean cross entropy of the learned tokens, plus that of where the pointing head looks."""
    length = max(len(row) for row, _, _ in batch)
    ids = torch.tensor([row + [0] * (length - len(row)) for row, _, _ in batch])
    labels = torch.tensor([row + [IGNORE] * (length - len(row)) for _, row, _ in batch])
    seen: dict[str, Any] = {}
    attention = model.model.layers[-1].self_attn
    hook = attention.register_forward_pre_hook(lambda _, __, kwargs: seen.update(kwargs), with_kwargs=True)
    # Padding is on the right, where a causal model does not look: any token does, and no attention mask.
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    hook.remove()
    learned = labels[:, 1:] != IGNORE
    written = functional.cross_entropy(model.lm_head(hidden[learned]), labels[:, 1:][learned])
    return written + 0.3 * pointing_loss(attention, seen, [pointers for _, _, pointers in batch])


def pointing_loss(
    attention: LlamaAttention, seen: Mapping[str, Any], pointers: Sequence[Sequence[tuple[int, int]]]
) -> torch.Tensor:
    """Return how far the first head of a layer is from looking at the originals of what is copied.

    This is a help in training only: a model must learn which value is meant before it can copy one, and
    to be told where it stands makes that a matter of minutes.
    """
    size: int = attention.head_dim
    row, query, key = torch.tensor(
        [(row, *pair) for row, pairs in enumerate(pointers) for pair in pairs]
    ).unbind(1)
    inside = seen["hidden_states"]
    projected = [
        functional.linear(inside, part.weight[:size], part.bias[:size])[:, None]
        for part in (attention.q_proj, attention.k_proj)
    ]
    queries, keys = apply_rotary_pos_emb(*projected, *seen["position_embeddings"])
    scores = (queries[:, 0] @ keys[:, 0].mT * size**-0.5)[row, query]
    later = torch.arange(keys.shape[2]) > query[:, None]
    return functional.cross_entropy(scores.masked_fill(later, -1e9), key)


def rate_at(recipe: Recipe, step: int) -> float:
    """Return the learning rate: a linear rise, then a linear fall to nothing; the same for the polish."""
    rate, steps = recipe.rate, recipe.steps
    if step >= steps:
        step, rate, steps = step - steps, rate / 3, recipe.polish
    if step < recipe.warm_up:
        return rate * (step + 1) / recipe.warm_up
    return rate * (steps - step) / (steps - recipe.warm_up)


def optimizers(model: LlamaForCausalLM, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices, which learns faster here, and AdamW for the rest."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name]
    embedding = [p for name, p in named if p.ndim == 2 and "embed" in name]
    vectors = [p for _, p in named if p.ndim == 1]
    return [
        torch.optim.Muon(matrices, lr=recipe.rate, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(
            [{"params": embedding, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
            lr=recipe.rate,
            betas=(0.9, 0.98),
        ),
    ]


def train(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, *, every: int = 50) -> LlamaForCausalLM:
    """Train a model by a recipe; a line of progress goes to stderr `every` so many steps."""
    torch.manual_seed(recipe.seed)
    model = LlamaForCausalLM(config(recipe, tokenizer))
    prepare(model)
    model.train()
    chosen = optimizers(model, recipe)
    before: dict[str, torch.Tensor] = {}
    start, total = time.perf_counter(), 0.0
    for step, batch in enumerate(_lessons(recipe, tokenizer)):
        if step == recipe.steps:
            before = {name: p.detach().clone() for name, p in model.named_parameters()}
            chosen = optimizers(model, recipe)
        loss = loss_of(model, batch)
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in chosen:
            for group in optimizer.param_groups:
                group["lr"] = rate_at(recipe, step)
            optimizer.step()
        total = loss.item() if step in (0, 2 * recipe.copying) else 0.95 * total + 0.05 * loss.item()
        if (step + 1) % every == 0:
            print(f"step {step + 1:5} loss {total:.4f} {time.perf_counter() - start:6.0f} s", file=sys.stderr)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name in before:
                p.lerp_(before[name], 0.5)
    model.eval()
    return model


def _lessons(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Iterator[list[Example]]:
    """The batch of each step: repetitions at first, then more and more transcripts, the hard ones at last."""
    rng = random.Random(f"{recipe.seed} copying")  # noqa: S311 (seeded, no secret)
    source = batches(recipe, tokenizer)
    for step in range(recipe.steps):
        if recipe.copying and rng.random() < 2 - step / recipe.copying:
            yield repeats(rng, len(tokenizer), easy=step < recipe.easy)
        else:
            yield next(source)
    source = batches(recipe, tokenizer, polish=True)
    for _ in range(recipe.polish):
        yield next(source)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a checkpoint in bf16, which `AutoModelForCausalLM` and `AutoTokenizer` load."""
    stop, pad = model.config.eos_token_id, model.config.pad_token_id
    model.generation_config = GenerationConfig(eos_token_id=stop, pad_token_id=pad, do_sample=False)
    small: torch.nn.Module = model
    small.to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train one of the models and write it."""
    parser = argparse.ArgumentParser(description="Train a model in the box.")
    parser.add_argument("which", choices=sorted(RECIPES))
    parser.add_argument("--out", type=Path, help="folder to write to (default: the checkpoint's own)")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args(arguments)
    which: Which = chosen.which
    torch.set_num_threads(chosen.threads)
    tokenizer = build(which)
    save(train(RECIPES[which], tokenizer), tokenizer, chosen.out or HERE / which)


if __name__ == "__main__":
    main()
