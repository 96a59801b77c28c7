"""Losses: what Ray says when a call does not come back, as errors of that call."""

from __future__ import annotations

from ray.exceptions import (
    ActorUnavailableError,
    ActorUnschedulableError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    RuntimeEnvSetupError,
    TaskUnschedulableError,
    WorkerCrashedError,
)

from asyncfc.adapters.ray.values import ValueLost
from asyncfc.errors import CallError, NotTransferable, WorkerLost

MAX_CHARS = 500
"""Of what Ray says."""

_CRASHES = {
    WorkerCrashedError: "its Ray worker died while it ran",
    NodeDiedError: "the machine of its Ray worker was lost while it ran",
    OutOfMemoryError: "Ray ended its worker, because the machine was short of memory",
}
_NOT_RUN = (RuntimeEnvSetupError, TaskUnschedulableError, ActorUnschedulableError)


def may_try_again(error: RayError, *, restarts: bool) -> bool:
    """Whether another try may go better, as far as the error says."""
    return isinstance(error, tuple(_CRASHES)) or (restarts and isinstance(error, RayActorError))


def of_task(tool: str, error: RayError) -> CallError:
    """The error of a call that ran as a task, or as a method of an actor that lives."""
    for kind, what in _CRASHES.items():
        if isinstance(error, kind):
            return WorkerLost(f"{tool} may or may not have taken effect: {what}")
    if isinstance(error, ObjectLostError):
        return ValueLost(
            f"{tool} did not run: a value among its arguments lay in Ray's object store and is gone "
            f"({type(error).__name__}). Call the tool again that returned it"
        )
    if isinstance(error, _NOT_RUN):
        return WorkerLost(f"{tool} did not run: {_short(error)}")
    if isinstance(error, RayTaskError):  # a worker reports what the tool raises, so it is none of that
        return NotTransferable(
            f"{tool}: its function, an argument or its result cannot cross between this program and a Ray "
            f"worker: {_short(error.cause or error)}. Workers must be able to import what is pickled by name"
        )
    return WorkerLost(f"{tool} may or may not have taken effect: {_short(error)}")


def of_actor(tool: str, kind: str, error: RayActorError, *, gone: bool) -> WorkerLost:
    """The error of a call to an actor that does not answer.

    Args:
        tool: its name.
        kind: the class of the object in the actor.
        error: what Ray says.
        gone: the actor was known to be dead before this call.
    """
    text = str(error)
    if "creation task" in text:
        cause = text[text.find("ray::") :] if "ray::" in text else text
        return WorkerLost(f"{tool} did not run: the object of {kind} could not be made: {cause[-MAX_CHARS:]}")
    if gone:
        return WorkerLost(f"{tool} did not run: the actor of {kind} has died, and its state with it")
    if isinstance(error, ActorUnavailableError):
        return WorkerLost(f"{tool} may or may not have taken effect: the actor of {kind} cannot be reached")
    return WorkerLost(
        f"{tool} may or may not have taken effect: the actor of {kind} died, and its state with it"
    )


def of_ended_actor(tool: str, kind: str) -> WorkerLost:
    """The error of a call to an actor whose executor was closed before."""
    return WorkerLost(
        f"{tool} did not run: the actor of {kind} has ended with its executor, which is closed by its "
        "session, or by the Runtime that several sessions share"
    )


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:MAX_CHARS]}"
