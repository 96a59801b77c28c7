from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

ROOT = Path(__file__).parents[3]


class Machines:
    """A cluster of several machines, as far as Ray can tell; all are here.

    The first has four slots, however many processors there are. Further ones take only what asks for them.
    """

    def __init__(self) -> None:
        self._added: dict[str, Any] = {}
        self._cluster: Any = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 4,
                "include_dashboard": False,
                "object_store_memory": 600 * 2**20,
                "_system_config": {
                    "health_check_initial_delay_ms": 500,
                    "health_check_period_ms": 200,
                    "health_check_failure_threshold": 3,
                },
            },
        )

    def connect(self) -> None:
        """Make Ray of this process that of the cluster."""
        if not ray.is_initialized():
            ray.init(address=self._cluster.address, log_to_driver=False, logging_level=logging.ERROR)

    def have(self, name: str) -> None:
        """Have a machine with a resource of this name."""
        if name not in self._added:
            self._added[name] = self._cluster.add_node(
                num_cpus=0, resources={name: 2}, object_store_memory=100 * 2**20
            )

    def lose(self, name: str) -> None:
        """Have it fail."""
        self._cluster.remove_node(self._added.pop(name), allow_graceful=False)

    def settle(self) -> None:
        """Wait until Ray knows of what was lost: else it would go on to use that."""
        nodes: Any = ray.nodes
        while sum(node["Alive"] for node in nodes()) > 1 + len(self._added):
            time.sleep(0.01)

    def shutdown(self) -> None:
        """End everything."""
        ray.shutdown()
        self._cluster.shutdown()


@pytest.fixture(scope="session")
def machines() -> Iterator[Machines]:
    """One cluster for all tests: it takes seconds to begin, and so does every worker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # workers import the tests, too
        machines = Machines()
    yield machines
    machines.shutdown()


@pytest.fixture(scope="module", autouse=True)
def cluster(machines: Machines) -> Machines:
    """The cluster, connected."""
    machines.connect()
    return machines


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("ray")
            item.add_marker("slow")
