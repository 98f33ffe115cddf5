"""Toxiproxy's HTTP API over our proxies, and metrics as Prometheus reads them.

`server` listens, `routes` answers, `shapes` are the values in JSON, `notation` is how Toxiproxy
writes and reads that, `metrics` is what is counted. Nothing here changes a proxy: `Proxies` does.
"""

from typing import TYPE_CHECKING

from pystack.apps.proxy.api.address import ApiAddress, parse_api_address
from pystack.core.extras import need

if TYPE_CHECKING:
    from pystack.apps.proxy.api.server import ApiServer, MetricsServer
else:

    def __getattr__(name: str) -> object:
        """Return a server when it is first used: it is made of h11, which is an extra."""
        if name not in ("ApiServer", "MetricsServer"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        need("h11", "the API of proxies")
        from pystack.apps.proxy.api import server

        return getattr(server, name)


__all__ = ["ApiAddress", "ApiServer", "MetricsServer", "parse_api_address"]
