"""A state machine over puppets: the test decides when each call is sealed, ends, fails or is cancelled.

After every step the runtime is compared with a model that works everything out anew from the rules.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from asyncfc.errors import UpstreamFailed
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Cancelled, Failure, Value
from asyncfc.message import Message
from asyncfc.session import Call, Session
from asyncfc.testing.loop import VirtualLoop
from asyncfc.testing.puppets import Puppet, Run, Stage, settle_loop

KEYS = st.sampled_from(["a", "a/b", "b"])
INDEX = st.integers(0, 1000)  # taken modulo what there is to choose from
T = TypeVar("T")


@dataclass(eq=False)
class Model:
    """What the rules say about one call. `key` is None while its label is unknown."""

    n: int
    kind: Literal["read", "write", "bare", "pure"]
    key: str | None
    label_from: Model | None
    value_from: Model | None
    future: Future
    committed: bool = False
    outcome: Literal["value", "failure", "cancelled", "upstream"] | None = None

    @property
    def inputs(self) -> list[Model]:
        found = {model.n: model for model in (self.label_from, self.value_from) if model is not None}
        return [found[n] for n in sorted(found)]

    def conflicts(self, other: Model) -> bool:
        if "pure" in (self.kind, other.kind) or self.kind == other.kind == "read":
            return False
        one, two = (
            model.key.split("/") if model.key and model.kind != "bare" else [] for model in (self, other)
        )
        return all(left == right for left, right in zip(one, two, strict=False))


class Machine(RuleBasedStateMachine):
    limit = 0

    @initialize(mode=st.sampled_from(["fifo", "shuffled"]), seed=st.integers(0, 99), ignore=st.booleans())
    def start(self, mode: Any, seed: int, ignore: bool) -> None:
        self.loop = VirtualLoop(seed=seed, mode=mode)
        self.stage = Stage(
            Puppet("read", reads="fs:/{key}", ignore_cancel=ignore),
            Puppet("write", writes="fs:/{key}", ignore_cancel=ignore),
            Puppet("bare", ignore_cancel=ignore),
            Puppet("pure", pure=True, ignore_cancel=ignore),
        )
        self.calls: list[Model] = []
        self.message: Message | None = None
        self.session = Session(self.stage.tools, limits={"*": self.limit} if self.limit else None)

    # --- what the test does -------------------------------------------------------------------------

    @rule(
        kind=st.sampled_from(["read", "write", "write", "bare", "pure"]),
        key=KEYS,
        label=st.none() | INDEX,
        value=st.none() | INDEX,
    )
    def seal(self, kind: Any, key: str, label: int | None, value: int | None) -> None:
        label_from, value_from = self._pick(label if kind in ("read", "write") else None), self._pick(value)
        self.message = self.message or self.session.message()
        n = len(self.calls)
        arguments = {
            "n": n,
            "key": key if label_from is None else label_from.future,
            "value": None if value_from is None else [value_from.future],
        }
        future = self._do(self._seal(self.message, Call(str(n), kind, arguments)))
        known = key if label_from is None else None
        self.calls.append(Model(n, kind, known, label_from, value_from, future))

    @precondition(lambda self: self.message is not None)
    @rule()
    def commit(self) -> None:
        assert self.message is not None
        self._do(self._commit(self.message))
        self.message = None
        for model in self.calls:
            model.committed = True

    @precondition(lambda self: self.message is not None)
    @rule()
    def withdraw(self) -> None:
        assert self.message is not None
        self._do(self._withdraw(self.message))
        self.message = None
        for model in self.calls:
            if not model.committed and model.outcome is None:
                model.outcome = "cancelled"
            model.committed = True

    @precondition(lambda self: self._runs())
    @rule(which=INDEX, key=KEYS)
    def succeed(self, which: int, key: str) -> None:
        run = self._runs()[which % len(self._runs())]
        self._end(run, "value")
        run.succeed(key)
        self._do(settle_loop())

    @precondition(lambda self: self._runs())
    @rule(which=INDEX)
    def fail(self, which: int) -> None:
        run = self._runs()[which % len(self._runs())]
        self._end(run, "failure")
        run.fail(ValueError("told to"))
        self._do(settle_loop())

    @precondition(lambda self: self._cancellable())
    @rule(which=INDEX)
    def cancel(self, which: int) -> None:
        model = self._cancellable()[which % len(self._cancellable())]
        run = self._run_of(model)
        assert self._do(self._cancel(model.future))
        if run is None or not run.ignore_cancel:
            model.outcome = "cancelled"

    # --- what must hold -----------------------------------------------------------------------------

    @invariant()
    def runtime_and_model_agree(self) -> None:
        self._work_out_the_rest()
        running = {run.arguments["n"] for run in self._runs()}
        ready = self._may_work()
        if self.limit:
            assert running <= ready
            assert len(running) == min(len(ready), self.limit), f"{running} run, {ready} could"
        else:
            assert running == ready
        assert len(running) == len(self._runs()), "a call runs twice"
        for model in self.calls:
            assert _kind_of(model.future) == model.outcome, f"call {model.n}"
        assert self.loop.unnoticed() == []

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            if self.message is not None:
                self.commit()
            while self._runs():
                self.succeed(0, "a")
                self.runtime_and_model_agree()
            finished = self._do(self.session.finish())
            assert finished.left == ()
            assert all(model.outcome is not None for model in self.calls)
            self._do(self.session.close())
            assert self.loop.troubles() == []
        finally:
            self.loop.close()

    # --- the model ----------------------------------------------------------------------------------

    def _work_out_the_rest(self) -> None:
        """What follows from what is known: labels, and calls that never run (in order of emission)."""
        for model in self.calls:
            source = model.label_from
            if source is not None and source.outcome == "value" and model.key is None:
                model.key = source.future.result()
            settled = [one.outcome for one in model.inputs]
            while settled and settled[0] == "value":
                del settled[0]
            if model.outcome is None and settled and settled[0] is not None:
                model.outcome = "upstream"

    def _may_work(self) -> set[int]:
        """Whose work may go on or, with free slots, must have started."""
        running = {run.arguments["n"] for run in self._runs()}
        held: list[Model] = []  # calls that have not released, so that newer ones wait for them (O2)
        may_work: set[int] = set()
        for model in self.calls:
            free = not any(older.conflicts(model) for older in held)
            ready = free and (model.committed or model.kind in ("read", "pure"))
            if model.outcome is not None:
                if model.n in running:  # asked to stop, and does not
                    may_work.add(model.n)
            elif ready and all(one.outcome == "value" for one in model.inputs):
                may_work.add(model.n)
            if not free or model.outcome is None or model.n in running:
                held.append(model)
        return may_work

    def _cancellable(self) -> list[Model]:
        """Committed, not settled, and with a known label: the label of a dead call may stay unknown."""
        return [
            m for m in self.calls if m.committed and m.outcome is None and (m.key or m.label_from is None)
        ]

    # --- helpers ------------------------------------------------------------------------------------

    def _pick(self, index: int | None) -> Model | None:
        return self.calls[index % len(self.calls)] if self.calls and index is not None else None

    def _runs(self) -> list[Run]:
        return self.stage.running

    def _run_of(self, model: Model) -> Run | None:
        return next((run for run in self._runs() if run.arguments["n"] == model.n), None)

    def _end(self, run: Run, outcome: Literal["value", "failure"]) -> None:
        model = self.calls[run.arguments["n"]]
        model.outcome = model.outcome or outcome

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def _seal(self, message: Message, call: Call) -> Future:
        future = message.seal(call)
        await settle_loop()
        return future

    async def _commit(self, message: Message) -> None:
        message.commit()
        await message.answers()
        await settle_loop()

    async def _withdraw(self, message: Message) -> None:
        message.withdraw()
        await settle_loop()

    async def _cancel(self, future: Future) -> bool:
        accepted = self.session.cancel(future)
        await settle_loop()
        return accepted


def _kind_of(future: Future) -> str | None:
    match future.outcome:
        case None:
            return None
        case Value():
            return "value"
        case Failure(UpstreamFailed()):
            return "upstream"
        case Failure():
            return "failure"
        case Cancelled():
            return "cancelled"
        case other:
            raise AssertionError(other)


class LimitedMachine(Machine):
    limit = 2


PROFILE = settings.get_profile(settings.get_current_profile_name())
SETTINGS = settings(PROFILE, max_examples=max(40, PROFILE.max_examples // 20), stateful_step_count=30)
TestMachine = Machine.TestCase
TestMachine.settings = SETTINGS
TestLimitedMachine = LimitedMachine.TestCase
TestLimitedMachine.settings = SETTINGS
