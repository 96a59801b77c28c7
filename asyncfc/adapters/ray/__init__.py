"""Tools on Ray: on other processors and other machines, under the same graph.

    ray.init()
    executor = RayExecutor(options={"train": {"num_gpus": 1}})
    index = executor.actor(Index, args=("corpus.db",))
    async with Session([train, index.add, index.find], executor=executor) as session:
        ...

Ray runs the work and keeps large values; asyncfc decides what runs when. See `docs/adapters/ray.md`.
"""

from __future__ import annotations

try:
    import ray as _ray  # noqa: F401
except ImportError as error:
    raise ImportError("asyncfc.adapters.ray needs Ray: pip install 'asyncfc[ray]'") from error

from asyncfc.adapters.ray.actors import RayActor
from asyncfc.adapters.ray.executor import RayExecutor
from asyncfc.adapters.ray.values import ValueLost

__all__ = ["RayActor", "RayExecutor", "ValueLost"]
