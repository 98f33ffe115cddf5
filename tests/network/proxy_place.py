"""Proxies with their API on sockets of this machine, and somebody behind them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import trio
from proxy_rig import echo

from pystack.apps.proxy.api import ApiAddress, ApiServer
from pystack.apps.proxy.proxies import Proxies


@dataclass(frozen=True)
class ProxyPlace:
    proxies: Proxies
    api: str  # the URL of the API
    upstream: str  # where what is sent comes back

    @property
    def api_port(self) -> int:
        return int(self.api.rpartition(":")[2])


@asynccontextmanager
async def proxy_place() -> AsyncIterator[ProxyPlace]:
    """Let proxies, their API and an echo server run."""
    async with Proxies() as proxies, trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, echo, 0, host="127.0.0.1"))
        api = await nursery.start(ApiServer(proxies, ApiAddress(("127.0.0.1",), 0)).run)
        yield ProxyPlace(proxies, api, f"127.0.0.1:{listener.socket.getsockname()[1]}")
        nursery.cancel_scope.cancel()
