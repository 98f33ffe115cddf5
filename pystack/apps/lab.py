"""Services on the hosts of a lab: what its file asks for with `serve`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pystack.apps.service import ServiceOptions, place_services
from pystack.apps.serving import serve
from pystack.core.rng import component_rng
from pystack.runtime.host import TrioHost


async def start_services(host: TrioHost, words: Sequence[str], seed: int) -> None:
    """Start services on a host ("http", "echo:7"), and wait until they answer.

    Raises ConfigError, OSError.
    """
    options = ServiceOptions(rng=component_rng(seed, f"services/{host.name}"))
    for placement in place_services(words, options):
        run = partial(
            serve,
            host,
            placement.service,
            tcp_port=placement.tcp_port,
            udp_port=placement.udp_port,
        )
        await host.start(run)


def check_services(words: Sequence[str]) -> None:
    """Raise ConfigError for services that there are not, or that claim one port."""
    if words:
        place_services(words)
