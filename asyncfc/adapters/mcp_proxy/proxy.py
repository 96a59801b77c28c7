"""Proxy: what all hosts share, and how each of them begins and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from asyncfc.adapters.mcp_proxy.host import Host
from asyncfc.adapters.mcp_proxy.settings import Config
from asyncfc.adapters.mcp_proxy.transport import Opens, opens
from asyncfc.runtime import Runtime

URGENT = 1.5
"""Seconds that calls have to end after a signal: who sends one kills the process soon after."""


class Proxy:
    """The hosts of one process. Make it within the event loop.

    Args:
        config: the servers, and the settings.
        opened: what opens a transport to each of them; default: as the configuration says.
    """

    def __init__(self, config: Config, opened: Mapping[str, Opens] | None = None) -> None:
        self._config = config
        self._opened = opened or {name: opens(server) for name, server in config.servers.items()}
        settings = config.asyncfc
        self._runtime = Runtime(limits=settings.limits or None, rates=settings.rates or None)
        self._runtime.scheduler.learn()

    def new_host(self) -> Host:
        """A host connects."""
        return Host(self._config, self._opened, self._runtime)

    async def end(self, host: Host, urgent: asyncio.Event | None = None) -> None:
        """A host has gone: its calls are finished, as far as there is time.

        Args:
            host: that one.
            urgent: from when it is set on there is little time.
        """
        drain = self._config.asyncfc.drain
        finishing = asyncio.create_task(host.finish(drain))
        if urgent is not None:
            hurried = asyncio.create_task(urgent.wait())
            await asyncio.wait([finishing, hurried], return_when=asyncio.FIRST_COMPLETED)
            hurried.cancel()
            await asyncio.wait([finishing], timeout=min(drain, URGENT))
            finishing.cancel()
        await asyncio.gather(finishing, return_exceptions=True)
        await host.close()

    def close(self) -> None:
        """All hosts have ended."""
        self._runtime.close()
