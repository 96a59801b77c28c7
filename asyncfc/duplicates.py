"""Duplicates: the same tool with the same arguments while the first call is still in flight."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from asyncfc.errors import DuplicateCall
from asyncfc.execution.task import Task
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Failure
from asyncfc.futures.reference import Reference, Site

Duplicates: TypeAlias = Literal["allow", "share", "reject"]


class InFlight:
    """The unsettled calls of a session, by tool and arguments.

    Args:
        policy: `allow`: every call runs. `share`: a declared read gets the outcome of the call in flight,
            unless a conflicting call was emitted in between, which would make it stale. `reject`: a
            second call fails, naming the handle of the first.
    """

    def __init__(self, policy: Duplicates) -> None:
        self._policy = policy
        self._futures: dict[Hashable, Future] = {}

    def meets(self, task: Task, newest_conflict: Callable[[Task], int]) -> bool:
        """Whether the call, about to be registered, shares the outcome of another and must not run.

        Args:
            task: the call.
            newest_conflict: gives the order of the newest live call that it would be ordered after.

        Raises:
            DuplicateCall: it is a duplicate, and those are rejected.
        """
        if self._policy == "allow":
            return False
        try:
            key = _key(task)
        except Exception:  # objects and keys that only a program can pass, and that JSON does not have
            return False
        first = self._futures.get(key)
        if first is not None and self._policy == "reject":
            raise DuplicateCall(
                f"{task.name} is running already with the same arguments, as "
                f"{first.handle or first.call_id}; use that result"
            )
        if first is not None and task.tool.spec.level == "read" and newest_conflict(task) < first.order:
            follow(first, task.future)
            return True
        self._futures[key] = task.future
        task.future.add_done_callback(lambda settled: self._forget(key, settled))
        return False

    def forget(self, task: Task) -> None:
        """The call is about to be withdrawn, so no other may share its outcome or be rejected for it."""
        with suppress(Exception):  # as above
            self._forget(_key(task), task.future)

    def _forget(self, key: Hashable, settled: Future) -> None:
        if self._futures.get(key) is settled:
            del self._futures[key]


@dataclass(slots=True, eq=False)
class Broken:
    """What is left of a message whose stream broke, for the one that repeats it (DESIGN O3)."""

    futures: list[Future]
    """One per call, in order."""
    tasks: list[Task]
    """The reads that run, or have run, and are not adopted yet."""

    def adopt(self, task: Task, place: int, newest_conflict: Callable[[Task], int]) -> Task | None:
        """The same read at the same place, unless something came in between that the new one must see.

        Args:
            task: the call, about to be registered; its future then shares the outcome.
            place: of the call in its message.
            newest_conflict: as for `InFlight.meets`.
        """
        if place >= len(self.futures) or task.tool.spec.level != "read":
            return None
        leader = self.futures[place].leader
        running = next((other for other in self.tasks if other.future is leader), None)
        if running is None or isinstance(leader.outcome, Failure) or not same_call(running, task):
            return None
        if newest_conflict(task) > running.order:
            return None
        self.tasks.remove(running)
        follow(leader, task.future)
        return running


def same_call(one: Task, other: Task) -> bool:
    """Whether two calls have the same tool and arguments."""
    try:
        return _key(one) == _key(other)
    except Exception:  # as above
        return False


def follow(first: Future, duplicate: Future) -> None:
    """Let a future that has no task share the outcome of another."""
    duplicate.leader = first

    def settle(settled: Future) -> None:
        assert settled.outcome is not None
        if not duplicate.settled:  # its message may have been withdrawn
            duplicate.settle(settled.outcome)

    first.add_done_callback(settle)


def _key(task: Task) -> Hashable:
    """Tool, arguments and parent; a reference counts as the call that it names, however it was written.

    Other than siblings are no duplicates: a call of the model may wait for the one whose child this is.
    """
    references = tuple((site.location, _parts(site)) for site in task.sites)
    blanked = json.dumps(task.arguments, sort_keys=True, default=repr) if not references else _blank(task)
    parent = None if task.parent is None else task.parent.order
    return task.tool.name, blanked, references, parent


def _blank(task: Task) -> str:
    places = {site.location for site in task.sites}

    def without(value: Any, location: tuple[str | int, ...]) -> Any:
        if location in places:
            return None
        if isinstance(value, dict):
            return {key: without(item, (*location, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [without(item, (*location, index)) for index, item in enumerate(value)]
        return value

    return json.dumps(without(task.arguments, ()), sort_keys=True, default=repr)


def _parts(site: Site) -> Hashable:
    return tuple(
        (part.future.leader.order, part.path) if isinstance(part, Reference) else part for part in site.parts
    )
