"""Rows: the asyncio side of the engine. A conversation is a coroutine that asks its row for tokens.

    row = rows.open(prompt)
    token = await row.sample()      # one step of the whole batch
    row.append(injected)            # computed with the next step

A row is in the batch as long as its coroutine waits for a token. While it waits for anything else, the row
is trapped: it costs no forward, and others have its slot. So there is no trap to forget, and none that
lasts longer than what is waited for (DESIGN G4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from collections.abc import Sequence as Tokens

from asyncfc.errors import EngineError
from asyncfc.gpu_engine.core import Core, Sampled
from asyncfc.gpu_engine.plan import Plan
from asyncfc.gpu_engine.sequence import GREEDY, Sampling, Sequence
from asyncfc.gpu_engine.stepping import Stepper

TICKS = 8
"""Rounds of the event loop in which a coroutine may ask again before its row counts as trapped: those that
an answer takes which waits for no tool."""


class Row:
    """One row as its conversation sees it. Made by `Rows.open`."""

    def __init__(self, rows: Rows, sequence: Sequence) -> None:
        self._rows = rows
        self._asked: asyncio.Future[int] | None = None
        self.sequence = sequence

    def __len__(self) -> int:
        return len(self.sequence)

    @property
    def tokens(self) -> Tokens[int]:
        """All tokens, sampled and forced; not to be changed."""
        return self.sequence.tokens

    @property
    def room(self) -> int:
        """How many more tokens fit."""
        return self._rows.core.max_tokens - len(self.sequence)

    @property
    def asks(self) -> bool:
        """Whether its coroutine waits for a token."""
        return self._asked is not None and not self._asked.done()

    async def sample(self) -> int:
        """The model's next token; it stands behind the others then.

        Raises:
            EngineError: the row has ended or is full, the step failed, or another coroutine waits already.
        """
        if self.room < 0:
            raise EngineError(f"sequence {self.sequence.id} is full: {len(self)} tokens")
        if self.asks:
            raise EngineError(f"sequence {self.sequence.id} is asked for a token already; one at a time")
        self._rows.asked(self)
        self._asked = asyncio.get_running_loop().create_future()
        try:
            return await self._asked
        except asyncio.CancelledError:
            self._rows.left(self)
            raise
        finally:
            self._asked = None

    def append(self, tokens: Tokens[int]) -> None:
        """Inject tokens behind the last one; computed in one go with the next step."""
        self._rows.core.inject(self.sequence, tokens)

    def replace(self, start: int, stop: int, tokens: Tokens[int]) -> None:
        """Substitute tokens for `tokens[start:stop]`; what follows is computed again."""
        self._rows.core.substitute(self.sequence, start, stop, tokens)

    def close(self) -> None:
        """The row has ended; its blocks are free."""
        self._rows.close(self)

    def give(self, token: int) -> None:
        """The token that was asked for."""
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(token)

    def fail(self, error: BaseException) -> None:
        """There is no token."""
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(error)


class Rows:
    """The rows of one engine, and the task that steps as long as one of them asks for a token.

    Used within one event loop at a time.

    Args:
        core: the engine.
        step: runs its plans.
    """

    def __init__(self, core: Core, step: Stepper) -> None:
        self.core = core
        self._step = step
        self._rows: dict[int, Row] = {}
        self._driver: asyncio.Task[None] | None = None

    def open(self, prompt: Tokens[int], sampling: Sampling = GREEDY) -> Row:
        """A new row; it enters the batch when it is first asked for a token.

        Raises:
            EngineError: the prompt is empty or too long.
        """
        sequence = self.core.add(prompt, sampling)
        self.core.trap(sequence)
        row = self._rows[sequence.id] = Row(self, sequence)
        return row

    def close(self, row: Row) -> None:
        """A row has ended; whoever waits for its token is told so."""
        self._rows.pop(row.sequence.id, None)
        self.core.finish(row.sequence)
        row.fail(_ended(row))

    def left(self, row: Row) -> None:
        """Nobody waits for the token of a row any more: what the step under way brings is not taken."""
        if row.sequence.state in ("running", "waiting"):
            self.core.trap(row.sequence)

    def asked(self, row: Row) -> None:
        """A coroutine waits for a token of its row.

        Raises:
            EngineError: the row has ended, or the engine decodes in another event loop.
        """
        if row.sequence.state == "finished":
            raise _ended(row)
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive(), name="asyncfc decode")
        elif self._driver.get_loop() is not asyncio.get_running_loop():
            raise EngineError("the engine decodes in another event loop; use one engine within one loop")
        if row.sequence.state == "trapped":
            self.core.resume(row.sequence)

    async def rest(self) -> None:
        """Wait for the step under way, unless others ask for more."""
        driver = self._driver
        if driver is None or driver.done() or any(row.asks for row in self._rows.values()):
            return
        await asyncio.wait([driver])

    async def _drive(self) -> None:
        """Step until nobody asks. Whoever asks again starts the next driver."""
        try:
            while await self._settle():
                plan = self.core.plan()
                if not plan:
                    raise EngineError("no row can go on: the KV pool is too small for what is asked of it")
                await self._run(plan)
        except Exception as error:  # nobody else would ever hear of it
            self._fail(self._rows.values(), error)
        except BaseException as error:
            self._fail(self._rows.values(), error)
            raise

    async def _run(self, plan: Plan) -> None:
        clock = asyncio.get_running_loop().time
        start = clock()
        try:
            tokens = await self._step(plan)
        except Exception as error:
            self.core.lost(plan)
            rows = (self._rows.get(work.row.id) for work in plan.works)
            self._fail([row for row in rows if row is not None], error)
            return
        except BaseException:
            self.core.lost(plan)
            raise
        for sampled in self.core.take(plan, tokens, clock() - start):
            self._give(sampled)

    def _give(self, sampled: Sampled) -> None:
        row = self._rows.get(sampled.row.id)
        if row is not None:
            row.give(sampled.token)

    async def _settle(self) -> bool:
        """Let the coroutines come back for more, and trap the rows of those that wait for something else.

        Returns:
            whether anybody asks.
        """
        for _ in range(TICKS):
            await asyncio.sleep(0)
            if all(row.asks for row in self._in_batch()):
                break
        for row in self._in_batch():
            if not row.asks:
                self.core.trap(row.sequence)
        return any(row.asks for row in self._rows.values())

    def _in_batch(self) -> list[Row]:
        return [row for row in self._rows.values() if row.sequence.state in ("running", "waiting")]

    @staticmethod
    def _fail(rows: Iterable[Row], error: BaseException) -> None:
        """Tell each conversation of a failure, with an error of its own."""
        said = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"
        for row in list(rows):
            failed = EngineError(f"the step failed: {said}")
            failed.__cause__ = error
            row.fail(failed)


def _ended(row: Row) -> EngineError:
    return EngineError(f"sequence {row.sequence.id} has ended; it gives no more tokens")
