"""Do the counts add up, and are the tokens those that `generate` would have chosen?"""

from __future__ import annotations

from collections.abc import Iterable

from asyncfc.gpu_engine.sequence import Sequence
from benchmarks.engine.exactness import LIMITS, last_logits
from benchmarks.engine.ours import Ours, sampled_spans, sampled_tokens
from benchmarks.engine.static import Static


def check_counts(engine: Ours) -> int:
    """How many tokens an engine has sampled; each must stand in one of its rows.

    Raises:
        RuntimeError: some do not, or positions were computed that no row knows of.
    """
    rows = engine.rows()
    held = engine.held + sum(map(sampled_tokens, rows))
    spent = engine.spent + sum(row.spent for row in rows)
    if engine.sampled != held or engine.core.computed != spent:
        raise RuntimeError(
            f"{engine.sampled} tokens were counted, the rows hold {held}; {engine.core.computed} positions "
            f"were computed, the rows know of {spent}"
        )
    return engine.sampled


def greedy_rows(engines: Iterable[Ours], static: Static) -> int:
    """Let `generate` say the sampled parts of a few rows again; how many tokens were compared.

    In a dtype that rounds much, both may differ anywhere; then nothing is compared.

    Raises:
        RuntimeError: it says something else.
    """
    if static.model.dtype not in LIMITS:
        return 0
    rows = [row for engine in engines for row in engine.ended]
    for row in rows:
        for start, stop in sampled_spans(row):
            _check_span(row, start, stop, static)
    return sum(map(sampled_tokens, rows))


def _check_span(row: Sequence, start: int, stop: int, static: Static) -> None:
    """Up to the first position at which two tokens are equally likely, but for rounding."""
    [said] = static.generate([row.tokens[:start]], stop - start)
    for position, (ours, theirs) in enumerate(zip(row.tokens[start:stop], said, strict=True), start):
        if ours != theirs:
            logits = last_logits(static.model, row.tokens[:position])
            gap = float((logits[ours] - logits[theirs]).abs() / logits.abs().max())
            if gap > LIMITS[static.model.dtype]:
                raise RuntimeError(
                    f"row {row.id} has token {ours} at position {position}, where generate chooses {theirs}; "
                    f"their logits differ by {gap:.1e} of the largest"
                )
            return
